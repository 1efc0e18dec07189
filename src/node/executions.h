// The node's own runs: a queue with as many running at a time as the host has slots. Re-executions for others'
// verification go before new work, since a whole quorum waits for them.
//
// Bounds: policy.scheduling.max_queued_shards runs, waiting and running together.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "node/outbox.h"

namespace mesh::node {

class Executions {
 public:
  enum class Purpose : std::uint8_t { verify, work };
  struct Run {
    effect::Execute request;
    bool started = false;  ///< handed to the executor
  };

  Executions(std::uint32_t slots, std::uint32_t bound) : slots_(slots), bound_(bound) {}

  /// Queues a run and gives it its id; a second one for the same intent and shard is the same run. False when the bound
  /// is reached.
  [[nodiscard]] bool request(effect::Execute request, Purpose purpose, Outbox& out);
  /// A run ended: which one it was. nullopt for one that was cancelled meanwhile.
  [[nodiscard]] std::optional<effect::Execute> finished(std::uint64_t id, Outbox& out);
  [[nodiscard]] const effect::Execute* find(std::uint64_t id) const;
  /// Drops all runs of an intent.
  void cancel(const Cid& intent, Outbox& out);
  [[nodiscard]] std::size_t running() const { return running_; }
  [[nodiscard]] std::size_t queued() const { return runs_.size() - running_; }
  [[nodiscard]] bool has(const Cid& intent, std::uint32_t shard) const { return by_shard_.contains({intent, shard}); }

 private:
  void start(Outbox& out);

  const std::uint32_t slots_;
  const std::uint32_t bound_;
  std::uint64_t next_id_ = 1;
  std::size_t running_ = 0;
  std::map<std::uint64_t, Run> runs_;
  std::map<std::pair<Cid, std::uint32_t>, std::uint64_t> by_shard_;
  std::deque<std::uint64_t> verify_queue_;
  std::deque<std::uint64_t> work_queue_;
};

}  // namespace mesh::node
