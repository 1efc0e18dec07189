// World: production Nodes on a virtual network in virtual time. One thread, one queue of things to happen, one seed: the
// same options give the same trace, hashed as it happens.
//
// Simulated: links with their own latency, jitter, loss, duplication, reordering and cuts; a sparse graph of peers over
// which gossip is forwarded; disks that take time to sync and lose what was not synced; clocks that drift and leap; runs
// that take time or fail; hosts that crash, leave and come back; peers that lie (Behaviour); who makes a ledger's blocks
// (Notary). Real: Node, ledger, codec, signatures, sortition, everything that decides.
//
// Bounds: none but the memory of what is under way; max_nodes nodes. Nothing here can fail but by a bug of ours.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "node/node.h"
#include "sim/execution.h"
#include "sim/fault.h"
#include "sim/notary.h"
#include "sim/random.h"
#include "sim/spread.h"
#include "sim/trace.h"

namespace mesh::sim {

using node::NodeId;

inline constexpr std::uint64_t max_nodes = 10'000;

/// Times are in microseconds where the name says nothing else. All members are numbers, so that a table of them is the
/// command line (sim/plan.h).
struct Options {
  std::uint64_t seed = 1;
  std::uint64_t nodes = 5;

  // The network. A message takes what its link takes always (drawn once per link) and what it takes by chance.
  std::uint64_t link_min_us = 0;
  std::uint64_t link_max_us = 0;
  std::uint64_t latency_min_us = 200;
  std::uint64_t latency_max_us = 2000;
  std::uint64_t latency_tailed = 0;  ///< 1: Shape::tailed
  std::uint64_t loss_per_mille = 0;  ///< of direct messages and gossip copies, each
  std::uint64_t duplicate_per_mille = 0;
  std::uint64_t reorder_per_mille = 0;  ///< of direct messages: held back, so that later ones of their stream overtake
  std::uint64_t reorder_us = 20'000;  ///< for up to so long
  std::uint64_t uplink_bytes_per_s = 0;  ///< of each host, for direct messages and gossip; 0 = no bound
  /// Peers that each node stays connected with; 0 = everybody with everybody. Gossip is forwarded along these links.
  /// Whoever sends to another connects to it first, and stays so until nothing was said for idle_close_us.
  std::uint64_t degree = 0;
  std::uint64_t idle_close_us = 60'000'000;
  /// Links that what nodes say of themselves travels; 0 = to everybody. Nodes decide by what their connected peers say, so
  /// that 1 spares most of the work in a large mesh and changes no decision.
  std::uint64_t capability_hops = 0;
  std::uint64_t cut_noticed_us = 10'000'000;  ///< until the ends of a cut link take the connection for dead

  // The hosts.
  std::uint64_t sync_us = 1000;  ///< until a write is durable, at least
  std::uint64_t sync_max_us = 0;  ///< and at most; 0 = sync_us
  std::uint64_t stall_per_mille = 0;  ///< of syncs
  std::uint64_t stall_us = 2'000'000;
  std::uint64_t torn_syncs = 0;  ///< 1: a crash may leave some of the writes under way durable
  std::uint64_t drift_ppm = 0;  ///< clocks run fast or slow by up to so much
  std::uint64_t slots = 2;
  std::uint64_t run_us_min = 3000;  ///< of one execution
  std::uint64_t run_us_max = 8000;
  std::uint64_t run_tailed = 0;  ///< 1: Shape::tailed
  std::uint64_t slow_per_mille = 0;  ///< of hosts
  std::uint64_t slow_factor = 10;  ///< their runs take so many times as long
  std::uint64_t fetch_fail_per_mille = 0;  ///< of runs and of fetches of results
  std::uint64_t keep_notices = 1;  ///< 0: notices() stays empty
  std::uint64_t block_us = 0;  ///< between two blocks of the federation's ledger; 0: it has none
};

/// How a node departs from the protocol. Everything not set is honest.
struct Behaviour {
  /// Changes what a run found before the node gets to see it.
  std::function<void(const ShardRun&, Output&)> lie;
  /// How long a run takes, instead of what the host would need.
  std::function<Duration(const ShardRun&)> run_time;
  /// Changes, adds or drops what the node does, at any depth (Persist holds effects, too).
  std::function<void(std::uint32_t self, std::vector<node::Effect>&)> tamper;
  /// Hears what happens to the node before the node does.
  std::function<void(std::uint32_t self, const node::Event&)> hear;
};

/// Who watches the world: told of everything, changes nothing.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_send(std::uint32_t /*from*/, const node::effect::Send& /*send*/) {}
  virtual void on_publish(std::uint32_t /*from*/, const node::effect::Publish& /*publish*/) {}
  virtual void on_notice(std::uint32_t /*host*/, const node::Notice& /*notice*/) {}
  virtual void on_started(std::uint32_t /*host*/) {}
};

/// What went over the network.
struct Traffic {
  std::uint64_t direct_messages = 0, direct_bytes = 0;
  std::uint64_t gossip_copies = 0, gossip_bytes = 0;  ///< intents and events
  std::uint64_t capability_copies = 0, capability_bytes = 0;  ///< what nodes say of themselves
};

/// What was run.
struct Work {
  std::uint64_t runs = 0;
  Duration busy{0};  ///< of all slots together
  std::uint64_t fuel = 0;  ///< at 1000 a microsecond of a host that is not slow
};

class World {
 public:
  explicit World(Options options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] const Options& options() const { return options_; }
  /// Changes what the network and the hosts do from now on (loss, latency, disks); seed, nodes and degree stay.
  [[nodiscard]] Options& tune() { return options_; }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(hosts_.size()); }
  [[nodiscard]] node::Node& at(std::uint32_t host) { return *hosts_[host].node; }
  [[nodiscard]] const node::Node& at(std::uint32_t host) const { return *hosts_[host].node; }
  [[nodiscard]] bool running(std::uint32_t host) const { return hosts_[host].node != nullptr; }
  [[nodiscard]] const NodeId& id(std::uint32_t host) const { return hosts_[host].id; }
  [[nodiscard]] std::uint32_t index_of(const NodeId& id) const { return by_id_.at(id); }
  [[nodiscard]] std::optional<std::uint32_t> find(const NodeId& id) const;
  [[nodiscard]] const identity::Signer& signer(std::uint32_t host) const { return *hosts_[host].signer; }
  [[nodiscard]] const node::Config& config(std::uint32_t host) const { return hosts_[host].config; }
  [[nodiscard]] const std::vector<node::JournalRecord>& journal(std::uint32_t host) const {
    return hosts_[host].journal;
  }
  void behave(std::uint32_t host, Behaviour behaviour) { hosts_[host].behaviour = std::move(behaviour); }
  [[nodiscard]] bool honest(std::uint32_t host) const;
  /// Changes a host's settings; holds from its next start.
  void configure(std::uint32_t host, const std::function<void(node::Config&)>& change) { change(hosts_[host].config); }
  /// A host's runs take `per_mille` thousandths of what the options say.
  void set_speed(std::uint32_t host, std::uint64_t per_mille) { hosts_[host].run_per_mille = per_mille; }
  void watch(Observer& observer) { observers_.push_back(&observer); }
  /// The federation's ledger; it must have one.
  [[nodiscard]] const Notary& notary() const { return *notary_; }

  /// Connects everybody and lets them say what they have.
  void start();
  /// Stops a host on the spot: what was not durable is lost, runs and messages in flight too.
  void crash(std::uint32_t host);
  /// Stops a host once all that it wrote is durable.
  void leave(std::uint32_t host);
  void restart(std::uint32_t host);
  /// Sets a host's clock ahead.
  void jump_clock(std::uint32_t host, Duration ahead);
  /// Cuts the hosts of `side` off from the others: nothing goes out from them and, where it is `both` ways, nothing in.
  /// Returns the cut's name for `heal`.
  std::uint64_t cut(std::vector<bool> side, bool both);
  void heal(std::uint64_t cut);
  [[nodiscard]] std::size_t cuts() const { return cuts_.size(); }

  /// A spec of `shards` shards that the simulated executor understands.
  [[nodiscard]] node::JobSpec spec(std::uint32_t shards) const;
  /// Submits to a host and returns the job's id, or why the host refuses.
  Result<Cid> try_submit(std::uint32_t host, node::JobSpec spec);
  /// As try_submit, of a spec that is known to be fine.
  Cid submit(std::uint32_t host, node::JobSpec spec);
  /// Puts a message into a host's inbox as if `from` had sent it.
  void inject(std::uint32_t to, const NodeId& from, node::Channel channel, Bytes bytes);
  /// Sends a message over the network as if the host's node had decided to.
  void send_as(std::uint32_t from, node::effect::Send send);

  /// Runs until `done` says so or `limit` of virtual time has passed; whether `done` did.
  bool run_until(const std::function<bool()>& done, Duration limit);
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }
  [[nodiscard]] Instant now() const { return now_; }
  void at_time(Duration from_now, std::function<void()> action);

  /// What an honest run of a shard finds.
  [[nodiscard]] receipt::Finding truth(const Cid& function, std::uint32_t shard) const {
    return truth_of(function, shard);
  }

  [[nodiscard]] std::uint64_t trace_hash() const { return trace_.value(); }
  [[nodiscard]] std::uint64_t events() const { return event_count_; }
  [[nodiscard]] std::uint64_t messages() const { return traffic_.direct_messages + traffic_.gossip_copies; }
  [[nodiscard]] std::uint64_t lost() const { return faults_.of(Fault::loss); }
  [[nodiscard]] const Traffic& traffic() const { return traffic_; }
  [[nodiscard]] const Work& work() const { return work_; }
  [[nodiscard]] FaultCounts& faults() { return faults_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] const std::vector<std::pair<std::uint32_t, node::Notice>>& notices() const { return notices_; }

 private:
  struct Write {
    std::vector<node::JournalRecord> append;
    std::vector<Cid> drop;
    std::vector<node::Effect> then;
  };
  /// One message on its way over the graph.
  struct Flight {
    node::Topic topic;
    std::uint64_t message;
    std::uint32_t source;
    Bytes bytes;
    std::vector<bool> seen;
  };
  struct Arrived {
    std::shared_ptr<Flight> flight;
    std::uint64_t hops = 0;
  };
  struct Host {
    node::Config config;
    NodeId id;
    std::unique_ptr<identity::Signer> signer;
    std::unique_ptr<node::Node> node;
    std::uint64_t life = 0;  ///< grows with every start and stop: what was under way before is void
    std::vector<node::JournalRecord> journal;  ///< what is durable
    std::vector<Write> queued;  ///< waits for the sync under way to end
    std::vector<Write> writing;  ///< under way
    bool syncing = false;
    Behaviour behaviour;
    std::optional<Instant> tick_at;
    Instant born{};
    Duration leapt{0};  ///< by how much its clock is ahead
    std::int64_t drift_ppm = 0;
    std::uint64_t run_per_mille = 1000;
    bool slow = false;
    std::vector<std::uint32_t> neighbours;  ///< in order; empty when everybody is one
    std::map<std::uint32_t, Instant> links;  ///< connected with, and when the last message went over it
    std::optional<Arrived> arrived;  ///< gossip that the node judges right now
    Instant uplink_free{};
    node::Interest interest;  ///< in the ledger
    Instant last_news{};  ///< of the ledger: it arrives in order
  };
  struct Happening {
    Instant at;
    std::uint64_t order;
    std::move_only_function<void()> action;
  };
  struct Later {
    bool operator()(const Happening& a, const Happening& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };
  struct Cut {
    std::vector<bool> side;
    bool both;
  };

  void schedule(Duration after, std::move_only_function<void()> action);
  void deliver(std::uint32_t host, node::Event event);
  void carry_out(std::uint32_t host, node::Effects effects);
  void rearm(std::uint32_t host);
  void stop(std::uint32_t host);
  void make_blocks();
  /// Something of the ledger, after all that came of it before.
  void tell(std::uint32_t host, node::Event event);
  void ask_ledger(std::uint32_t host, node::effect::Transact transact);
  /// What a host's clock shows, in milliseconds since 1970.
  [[nodiscard]] std::uint64_t wall_ms(const Host& host) const;
  void make_graph();

  [[nodiscard]] bool everybody_linked() const { return options_.degree == 0; }
  [[nodiscard]] bool neighbours(std::uint32_t a, std::uint32_t b) const;
  void link_up(std::uint32_t a, std::uint32_t b);
  void link_down(std::uint32_t a, std::uint32_t b);
  void link_neighbours(std::uint32_t host);
  void close_when_idle(std::uint32_t a, std::uint32_t b);
  [[nodiscard]] bool blocked(std::uint32_t from, std::uint32_t to) const;
  [[nodiscard]] Duration base_latency(std::uint32_t a, std::uint32_t b) const;
  [[nodiscard]] Duration latency(std::uint32_t from, std::uint32_t to);
  /// Until the last byte has left the host.
  [[nodiscard]] Duration depart(std::uint32_t from, std::size_t bytes);

  void transmit(std::uint32_t from, node::effect::Send send);
  void publish(std::uint32_t from, node::effect::Publish publish);
  void forward(std::uint32_t from, const std::shared_ptr<Flight>& flight, std::uint64_t hops);
  void execute(std::uint32_t host, const node::effect::Execute& request);
  void persist(std::uint32_t host, Write write);
  void sync(std::uint32_t host);
  void commit(Host& host, Write& write);

  void trace(std::uint64_t what, std::uint32_t host);
  [[nodiscard]] Instant local(const Host& host) const;
  [[nodiscard]] Instant global(const Host& host, Instant local) const;

  Options options_;
  Random random_;
  std::unique_ptr<Notary> notary_;
  Instant now_{};
  std::uint64_t order_ = 0;
  std::priority_queue<Happening, std::vector<Happening>, Later> queue_;
  std::vector<Host> hosts_;
  std::map<NodeId, std::uint32_t> by_id_;
  std::map<std::uint64_t, Cut> cuts_;
  std::uint64_t next_cut_ = 1;
  std::unordered_map<std::uint64_t, Instant> last_arrival_;  ///< of each stream: one does not overtake itself
  std::uint64_t gossip_id_ = 0;
  Trace trace_;
  Traffic traffic_;
  Work work_;
  FaultCounts faults_;
  std::uint64_t event_count_ = 0, submitted_ = 0;
  std::vector<std::pair<std::uint32_t, node::Notice>> notices_;
  std::vector<Observer*> observers_;
};

}  // namespace mesh::sim
