// The node's own runs: shards wait in queues, and as many runs as the host has slots are with the executor at a time.
// Re-executions for others' verification go before new work, since a whole quorum waits for them.
//
// Shards of one task that follow one another in a queue run as one run while they are short: as many as are expected to
// take run_target together, judged by the task's shards so far. So what a run costs beside the guest's own work is shared, and
// still no shard waits long for another.
//
// Bounds: policy.scheduling.max_queued_shards shards, waiting and running together; max_run_shards in one run.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "node/outbox.h"

namespace mesh::node {

class Executions {
 public:
  enum class Purpose : std::uint8_t { verify, work };
  static constexpr Duration run_target = milliseconds(20);
  static constexpr std::size_t max_run_shards = 256;

  Executions(std::uint32_t slots, std::uint32_t bound) : slots_(slots), bound_(bound) {}

  /// Queues request.shards; those that are queued or running already are left out. Whether all others were taken: where the
  /// bound is reached the rest is not queued.
  bool request(Instant now, effect::Execute request, Purpose purpose, Outbox& out);
  /// Some shards of a run ended: the run's task, function and inputs (its shards are those that are left). nullopt for a
  /// run that was cancelled meanwhile.
  [[nodiscard]] std::optional<effect::Execute> progressed(Instant now, const event::ExecutionDone& done, Outbox& out);
  /// The run of this id, if it is with the executor.
  [[nodiscard]] const effect::Execute* find(std::uint64_t id) const;
  /// Drops all runs of an intent.
  void cancel(Instant now, const Cid& intent, Outbox& out);
  [[nodiscard]] std::size_t running() const { return runs_.size(); }
  /// Shards that wait.
  [[nodiscard]] std::size_t queued() const { return queued_; }
  [[nodiscard]] bool has(const Cid& intent, std::uint32_t shard) const;

 private:
  /// A request whose shards go to the executor bit by bit.
  struct Waiting {
    effect::Execute request;
    std::size_t next = 0;  ///< of request.shards
  };
  struct Run {
    effect::Execute request;
    Instant since{};  ///< started, or progressed last
  };
  struct Task {
    std::set<std::uint32_t> shards;  ///< waiting and running
    std::optional<Duration> per_shard;  ///< smoothed
  };

  /// Leaves out those that are queued or running already, and what is past the room that is left. Whether it all fits.
  bool trim(effect::Execute& request, const Task& task) const;
  void start(Instant now, Outbox& out);
  [[nodiscard]] std::size_t run_size(const Waiting& waiting) const;

  const std::uint32_t slots_;
  const std::uint32_t bound_;
  std::uint64_t next_id_ = 1;
  std::size_t queued_ = 0;
  std::size_t held_ = 0;  ///< shards, waiting and running
  std::map<Cid, Task> tasks_;  ///< by intent
  std::map<std::uint64_t, Run> runs_;
  std::deque<Waiting> verify_queue_;
  std::deque<Waiting> work_queue_;
};

}  // namespace mesh::node
