// Node: the one place where the domains meet. A pure function of its state, a moment and an event:
// step(now, event) -> effects. It reads no clock, no random source, no socket and no file, so the same code runs in a
// real node and, many at a time, in the simulator.
//
// Bounds: Config. What can go wrong: nothing that a peer sends breaks an invariant; a record that does not check is
// refused by name, noted and dropped. A journal record that does not read back is a damaged store and an error at start.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "domain/market/pricing.h"
#include "domain/market/selection.h"
#include "domain/policy/policy.h"
#include "domain/verification/records.h"
#include "node/effect.h"
#include "node/event.h"
#include "node/job_payment.h"
#include "node/peer_info.h"

namespace mesh::node {

struct Config {
  Seed seed;  ///< the node's key
  /// Keys that were the node's before: what was begun by one of them can still be shown, and what was promised by it kept.
  std::vector<Seed> former;
  std::string federation = "local";  ///< name that the charter is derived from, where none is given
  std::optional<identity::Charter> charter;  ///< of a federation with a ledger: then tasks can have a fee
  policy::MeshPolicy policy;
  std::string engine;  ///< executor version and flags
  std::string agent;  ///< "meshwork/0.1.0"
  std::string owner;  ///< did of the owner; empty = the node itself
  PeerInfo resources;  ///< what this host has; load fields are filled in by the node
  std::uint32_t slots = 1;  ///< runs at a time
  bool accepts_work = true;  ///< offers and verifies for others
  market::PricingSettings pricing;  ///< what is asked for tasks that have a fee
  std::uint32_t max_jobs = 1024;  ///< own unfinished jobs
  std::uint32_t max_engagements = 1024;  ///< others' tasks that this node is in
  Duration finished_kept{24LL * 3600 * 1'000'000};  ///< how long a finished job's journal is kept
};

enum class JobPhase : std::uint8_t { bidding, running, reducing, fetching, done, failed, stopped };
[[nodiscard]] std::span<const std::string_view> enum_names(JobPhase);

/// A seat of a shard's draw, for people.
struct SeatView {
  NodeId node;
  std::string state;  ///< "asked", "committed", "agreed", "disagreed", "undetermined", or why it lost the seat
};

struct ShardView {
  std::uint32_t shard = 0;
  std::string state;  ///< "waiting", "running", "committed", "verifying", "accepted", "unverified", "failed"
  std::optional<NodeId> worker;
  std::optional<receipt::Finding> finding;  ///< once a verdict fell (or unverified)
  std::optional<task::ExecutionSummary> summary;
  std::optional<verification::Decision> decision;
  std::uint32_t contribution = 0;
  std::vector<SeatView> seats;
  std::vector<std::string> story;  ///< what went wrong on the way: rejected workers, lost seats, re-awards; at most 32
};

struct RefusalView {
  NodeId node;
  std::string reason;
};

struct JobView {
  Cid id;
  JobSpec spec;
  JobPhase phase = JobPhase::bidding;
  std::string failure;  ///< of `failed`: one sentence that begins with the failure's name
  bool unverified = false;  ///< some shard was not re-executed
  std::uint32_t shards = 0, finished = 0, running = 0, verifying = 0;
  std::uint32_t failed_outcomes = 0;  ///< finished shards whose outcome is not success
  std::uint32_t checked = 0;  ///< finished shards that others re-executed
  std::vector<market::Ranked> ranking;  ///< of the roster
  std::vector<RefusalView> refused;  ///< offers refused, and who declined and why
  std::vector<std::string> notes;  ///< bidding rounds, verifiers lowered and why, ...
  std::optional<Cid> reduce_job;  ///< the job that folds the results
  std::optional<Cid> result;  ///< of a job with one shard, or of the reduction
  std::uint64_t fuel = 0;  ///< of all finished shards
  std::optional<EscrowView> escrow;  ///< of a paid job: what became of the fee, as far as the ledger is known here
  Instant started, ended;  ///< on this node's clock; after a restart from the restart on
};

struct PeerView {
  NodeId node;
  bool connected = false;
  std::optional<PeerInfo> info;
  Duration round_trip{0};
  std::string penalty;  ///< why it wins no awards for a while; empty = none
};

/// A connected peer, and whether it is likely to offer to run a task: by what it says of itself, and the ledger of it.
struct Prospect {
  NodeId node;
  std::string lacks;  ///< why it will not take part; empty: it may
};

class Node {
 public:
  /// `journal` is everything that was persisted, in order. The error says which record is damaged.
  [[nodiscard]] static Result<std::unique_ptr<Node>> create(Config config, Instant now,
                                                            const std::vector<JournalRecord>& journal);
  ~Node();

  /// Takes one event; what is to be done comes back. `now` never goes backwards.
  [[nodiscard]] Effects step(Instant now, Event event);
  /// What was decided with a Persist is durable, and can be shown. Asks for nothing.
  void confirm(const effect::Confirm& confirm);
  /// What of the ledger the node wants to hear of (node/ledger_entries.h). Of nobody without one.
  [[nodiscard]] Interest interest() const;
  /// When a Tick is due at the latest.
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  /// Builds and signs the intent that a spec gives, or says why it cannot be (fee without a ledger, out of bounds, too
  /// many jobs). Pure: `Submit` with the same arguments then creates the job of that id.
  [[nodiscard]] Result<Cid> check_submit(const event::Submit& submit) const;

  /// Who could run the task, of those that are connected. What they ask for it, and whether their quota for this node has room, only
  /// they know.
  [[nodiscard]] std::vector<Prospect> prospects(const JobSpec& spec) const;

  /// Whether `OfferByHand` makes an offer: else `own-task`, `unknown-intent`, `already-offered`, `window-closed`, `over-fee`, or
  /// what this node lacks for the task.
  [[nodiscard]] Status check_offer_by_hand(Instant now, const event::OfferByHand& offer) const;

  // What is read below of decisions and ends is durable: a crash takes none of it back.
  [[nodiscard]] const NodeId& id() const;
  [[nodiscard]] const Cid& federation() const;
  [[nodiscard]] std::vector<Cid> jobs() const;  ///< newest last
  [[nodiscard]] std::optional<JobView> job(const Cid& id) const;
  [[nodiscard]] std::vector<ShardView> shards(const Cid& id, std::uint32_t first, std::uint32_t count) const;
  /// The results (and logs) of a finished job in shard order, as roots in the store.
  [[nodiscard]] std::vector<std::pair<Cid, Cid>> results(const Cid& id) const;
  /// The envelopes of a job's whole story, for a proof bundle (verification/proof.h). Empty if unknown.
  [[nodiscard]] std::vector<Envelope> story(const Cid& id) const;
  /// What a paid job has kept of the proof of its payment, for the same bundle. Empty if unknown.
  [[nodiscard]] ledger::PaymentPart payment_part(const Cid& id) const;
  [[nodiscard]] std::vector<PeerView> peers() const;
  [[nodiscard]] PeerInfo own_info() const;
  /// Open intents of others that this node heard of, newest last: {cid, publisher, label}.
  struct IntentView {
    Cid cid;
    NodeId publisher;
    std::string label;
    std::uint32_t shards = 0;
    std::uint64_t fee = 0;  ///< per shard
    std::string state;  ///< "heard", "offered", "declined: ...", "refused: ...", "over"
  };
  [[nodiscard]] std::vector<IntentView> intents() const;
  /// {running, queued} executions.
  [[nodiscard]] std::pair<std::size_t, std::size_t> load() const;

 private:
  class Impl;
  explicit Node(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::node
