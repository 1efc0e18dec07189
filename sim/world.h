// World: production Nodes on a virtual network in virtual time. One thread, one queue of things to happen, one seed: the
// same options give the same trace, hashed as it happens.
//
// Simulated: latency, loss, disks that take time to sync and lose what was not synced, crashes and restarts, runs that
// take time, and liars. Real: Node, codec, signatures, sortition, everything that decides.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "node/node.h"
#include "sim/random.h"

namespace mesh::sim {

using node::NodeId;

struct Options {
  std::uint64_t seed = 1;
  std::uint32_t nodes = 5;
  std::uint64_t latency_min_us = 200;
  std::uint64_t latency_max_us = 2000;
  std::uint32_t loss_per_mille = 0;  ///< of direct messages and gossip copies, each
  std::uint32_t duplicate_per_mille = 0;
  std::uint64_t sync_us = 1000;  ///< until a write is durable
  std::uint32_t slots = 2;
  std::uint64_t run_us_min = 3000;  ///< of one execution
  std::uint64_t run_us_max = 8000;
};

/// How a node departs from the protocol. Everything not set is honest.
struct Behaviour {
  /// Changes what a run found before the node gets to see it.
  std::function<void(const node::effect::Execute&, std::uint32_t shard, node::event::ExecutionDone::Output&)> lie;
  /// Changes, adds or drops what the node sends.
  std::function<void(std::uint32_t self, std::vector<node::Effect>&)> tamper;
};

class World {
 public:
  explicit World(Options options);
  ~World();

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(hosts_.size()); }
  [[nodiscard]] node::Node& at(std::uint32_t host) { return *hosts_[host].node; }
  [[nodiscard]] bool running(std::uint32_t host) const { return hosts_[host].node != nullptr; }
  [[nodiscard]] const NodeId& id(std::uint32_t host) const { return hosts_[host].id; }
  [[nodiscard]] std::uint32_t index_of(const NodeId& id) const { return by_id_.at(id); }
  [[nodiscard]] const identity::Signer& signer(std::uint32_t host) const { return *hosts_[host].signer; }
  void behave(std::uint32_t host, Behaviour behaviour) { hosts_[host].behaviour = std::move(behaviour); }
  /// Changes a host's settings; holds from its next start.
  void configure(std::uint32_t host, const std::function<void(node::Config&)>& change) { change(hosts_[host].config); }

  /// Connects everybody and lets them say what they have.
  void start();
  /// Stops a host on the spot: what was not durable is lost, runs and messages in flight too.
  void crash(std::uint32_t host);
  void restart(std::uint32_t host);

  /// A spec of `shards` shards that the simulated executor understands.
  [[nodiscard]] node::JobSpec spec(std::uint32_t shards) const;
  /// Submits to a host and returns the job's id.
  Cid submit(std::uint32_t host, node::JobSpec spec);
  /// Puts a message into a host's inbox as if `from` had sent it.
  void inject(std::uint32_t to, const NodeId& from, node::Channel channel, Bytes bytes);

  /// Runs until `done` says so or `limit` of virtual time has passed; whether `done` did.
  bool run_until(const std::function<bool()>& done, Duration limit);
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }
  [[nodiscard]] Instant now() const { return now_; }
  void at_time(Duration from_now, std::function<void()> action);

  /// What an honest run of a shard finds.
  [[nodiscard]] receipt::Finding truth(const Cid& function, std::uint32_t shard) const;

  [[nodiscard]] Digest trace_hash() const { return trace_; }
  [[nodiscard]] std::uint64_t events() const { return event_count_; }
  [[nodiscard]] std::uint64_t messages() const { return message_count_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_count_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] const std::vector<std::pair<std::uint32_t, node::Notice>>& notices() const { return notices_; }

 private:
  struct Host {
    node::Config config;
    NodeId id;
    std::unique_ptr<identity::Signer> signer;
    std::unique_ptr<node::Node> node;
    std::uint64_t life = 0;  ///< grows with every start: what was under way before is void
    std::vector<node::JournalRecord> journal;  ///< what is durable
    std::vector<node::JournalRecord> unsynced;
    Behaviour behaviour;
    std::optional<Instant> tick_at;
    Instant born{};
  };
  struct Happening {
    Instant at;
    std::uint64_t order;
    std::function<void()> action;
    bool operator>(const Happening& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  void schedule(Duration after, std::function<void()> action);
  void deliver(std::uint32_t host, node::Event event);
  void carry_out(std::uint32_t host, node::Effects effects);
  void rearm(std::uint32_t host);
  void connect_all(std::uint32_t host);
  void trace(std::string_view what, std::uint32_t host, ByteView bytes);
  [[nodiscard]] Duration latency();
  [[nodiscard]] Instant local(const Host& host) const { return Instant(now_ - host.born); }

  Options options_;
  Random random_;
  Instant now_{};
  std::uint64_t order_ = 0;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> queue_;
  std::vector<Host> hosts_;
  std::map<NodeId, std::uint32_t> by_id_;
  std::uint64_t gossip_id_ = 0;
  Digest trace_;
  std::uint64_t event_count_ = 0, message_count_ = 0, lost_count_ = 0, submitted_ = 0;
  std::vector<std::pair<std::uint32_t, node::Notice>> notices_;
};

}  // namespace mesh::sim
