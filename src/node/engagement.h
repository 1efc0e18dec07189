// Engagement: this node's part in another's task, as worker and as verifier.
//
// What it finds it commits to before it sees what others found, and reveals only when every seat has committed. Salts and
// nonces are derived from the node's key, so that a restarted node opens what it committed to; the findings are kept in
// the journal, and run again where they were lost. Everything that the publisher sends may come twice.
//
// Bounds: the task's own (shards, rounds); draws_kept draws at a time, the oldest are forgotten (the publisher sends them
// again where they are still wanted).
#pragma once

#include <deque>
#include <map>
#include <set>
#include <span>

#include "domain/verification/round.h"
#include "node/job.h"
#include "node/ledger_waits.h"

namespace mesh::node {

class Engagement {
 public:
  static constexpr std::size_t draws_kept = 64;

  Engagement(const Surroundings& around, Instant now, Signed<task::TaskIntent> intent,
             Signed<market::ComputeOffer> offer);

  /// The nonce chain's end for an intent: what this node's offer on it commits to.
  [[nodiscard]] static Digest nonce_tip(const identity::Signer& signer, const Signed<task::TaskIntent>& intent);

  [[nodiscard]] Status restore(std::string_view kind, ByteView bytes);
  void resume(Instant now, Outbox& out);

  /// Takes one signed record that concerns this task. An error is a refusal, to be told to the sender.
  [[nodiscard]] Status on_envelope(Instant now, const std::string& type, const Envelope& envelope, Outbox& out);
  /// Likewise a KeyRequest or ShardKeys of another member.
  [[nodiscard]] Status on_member(Instant now, const NodeId& from, const std::string& type, const Envelope& envelope,
                                 Outbox& out);
  void on_refused(const Signed<market::Refusal>& refusal);
  void on_executed(Instant now, const std::vector<event::ExecutionDone::Shard>& done, Outbox& out);
  void on_keys_wrapped(const event::KeysWrapped& wrapped, Outbox& out);
  void on_tick(Instant now, Outbox& out);
  [[nodiscard]] std::optional<Instant> deadline() const;

  // Of a paid task: engagement_ledger.cc.
  void on_ledger(Instant now, const event::LedgerChanged& changed, Outbox& out);
  void on_transacted(Instant now, const LedgerDesk::Answer& answer, Outbox& out);

  [[nodiscard]] const Cid& id() const { return intent_.cid; }
  [[nodiscard]] const NodeId& publisher() const { return intent_.signer; }
  [[nodiscard]] const Signed<task::TaskIntent>& intent() const { return intent_; }
  [[nodiscard]] const Signed<market::ComputeOffer>& offer() const { return offer_; }
  /// Closed by the publisher, or nothing heard of it for too long: to be dropped.
  [[nodiscard]] bool over(Instant now) const;
  /// The publisher wants nothing more of it.
  void close() { closed_ = true; }
  [[nodiscard]] bool awarded(std::uint32_t shard) const;
  /// Whether the bidding is over and this node is in.
  [[nodiscard]] bool has_roster() const { return field_.has_value(); }
  [[nodiscard]] bool is_member(const NodeId& node) const { return field_ && field_->offer_of(node) != nullptr; }
  /// Fuel of what was run for the publisher since the last call: to be booked on its quota.
  [[nodiscard]] std::uint64_t take_fuel();

 private:
  struct Found {
    receipt::Finding finding;
    Digest digest;
    task::ExecutionSummary summary;
  };
  /// The journal's "found" record.
  struct FoundShards {
    std::vector<task::ShardRange> shards;
    receipt::Findings findings;
    receipt::Usage usage;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("shards", self.shards);
      v("findings", self.findings);
      v("usage", self.usage);
    }
  };
  /// Shards of an award that this node has to find something on and commit to.
  struct Lease {
    std::set<std::uint32_t> running;  ///< nothing found yet
    std::set<std::uint32_t> ready;  ///< found and not committed to
    std::optional<Instant> ready_since;
  };
  /// Shards of one worker's commitment that this node has seats on under a draw.
  struct Bench {
    std::vector<std::uint32_t> covered;  ///< by the worker's commitment
    std::set<std::uint32_t> running;  ///< seats on which nothing is found yet
    std::set<std::uint32_t> ready;  ///< found; committed to once nothing is running
    std::set<std::uint32_t> committed;
    std::map<Cid, verification::SeatChange> changes;  ///< by record
    std::vector<Envelope> change_records;  ///< of sealed tasks: these
  };
  struct DrawnTask {
    verification::DrawnRound round;
    std::vector<Envelope> reveals;  ///< of sealed tasks: those that the draw names
    std::map<Cid, Bench> benches;  ///< by the worker's commitment
  };
  struct Blocks {
    Bytes result, log;
  };
  /// What this node committed to.
  struct Own {
    Signed<receipt::Commitment> commitment;
    std::vector<std::uint32_t> shards;
  };
  struct Retry {
    Instant at{};
    std::uint32_t count = 0;
  };
  /// The key of a sealed input, wrapped for this node.
  struct HeldKey {
    verification::WrappedKey key;
    NodeId from;
  };
  /// A shard that waits for its key.
  struct Awaited {
    Executions::Purpose purpose;
    bool refused = false;  ///< the publisher says that this node is not to have it
  };
  /// A request to the publisher.
  struct Asked {
    Cid request;
    std::vector<std::uint32_t> shards;
  };
  /// A worker's receipt that waits for this node's own runs.
  struct ToAnswer {
    Cid receipt;
    NodeId worker;
    receipt::Opened opened;
  };
  /// What the ledger has of a paid task, as far as this node works for it.
  struct OnLedger {
    std::optional<ledger::Escrow> escrow;
    std::map<Cid, ledger::Work> works;  ///< this node's, by commitment; the ended ones, too
    std::set<Cid> lost;  ///< own commitments of which nothing comes: the ledger refused them for good
    std::set<Cid> alone;  ///< to be anchored one by one: one of those together was refused
    std::map<Cid, std::vector<Cid>> under_way;  ///< by award: those in the transaction that is under way
    std::map<Cid, Instant> told;  ///< by work: when verifiers were last told the intent
    WaitingSince waiting;
    Instant look_again{};
  };

  [[nodiscard]] Status on_roster(const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_award(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_commitment(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_open(const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_draw(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_seats_changed(Instant now, const Envelope& record, const Cid& draw, const Cid& commitment,
                                        const verification::SeatChange& change, Outbox& out);
  [[nodiscard]] Status on_reveal_request(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_receipt(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_verdict(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status from_publisher(const NodeId& signer) const;

  /// Runs those of the shards on which nothing was found yet. Whether there are any.
  bool need(Instant now, std::vector<std::uint32_t> shards, Executions::Purpose purpose, const NodeId* also_holds,
            Outbox& out);
  [[nodiscard]] Status on_keys(Instant now, const NodeId& from, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_key_request(Instant now, const NodeId& from, const Envelope& envelope, Outbox& out);
  /// Of the shards those whose keys are here; the others wait for theirs.
  void await_keys(Instant now, std::vector<std::uint32_t>& shards, Executions::Purpose purpose);
  void on_wrong_key(Instant now, std::uint32_t shard, Outbox& out);
  /// Asks the publisher and, where that does not help, the workers of the shards that are to be verified.
  void ask_for_keys(Instant now, Outbox& out);
  /// Whether this node still has to run the shard, or to show what it found.
  [[nodiscard]] bool has_use_for(std::uint32_t shard) const;
  void ask_workers(Outbox& out) const;
  /// Whether `node` did these shards, on which this node has seats.
  [[nodiscard]] bool is_worker_of(const NodeId& node, std::uint32_t shard) const;
  void take_found(std::uint32_t shard, receipt::Finding finding, const task::ExecutionSummary& summary);
  void take_seats(Instant now, const Cid& draw, const Cid& commitment, Outbox& out);
  /// Leases these shards under the award.
  void take_lease(Instant now, const Cid& award, const std::vector<std::uint32_t>& shards, Outbox& out);
  /// Commits to what is ready, if it is enough or has waited long enough; forgets a lease that is done.
  void commit_ready(Instant now, const Cid& award, Outbox& out);
  void commit_all_ready(Instant now, Outbox& out);
  /// When what is ready of a lease is committed to at the latest.
  [[nodiscard]] Instant gathered_at(const Lease& lease) const;
  void commit_bench(const Cid& draw, const Cid& commitment, Outbox& out);
  /// Commits to as many of these shards, from the first on, as one receipt can reveal; returns how many.
  std::size_t commit(const Cid& basis, const std::optional<Cid>& worker, std::span<const std::uint32_t> shards,
                     Outbox& out);
  void reveal(Instant now, const Cid& commitment, Outbox& out);
  /// The receipt of an own commitment, whose small blocks go to the publisher along with it; none while it has to be run again.
  [[nodiscard]] std::optional<Envelope> make_receipt(Instant now, const Cid& commitment, Outbox& out);
  [[nodiscard]] bool is_paid() const { return intent_.record.fee > 0; }
  /// Whether the fee of the task is locked, and can still be claimed. What is not paid for always is.
  [[nodiscard]] bool is_funded() const;
  /// Whether the ledger owes this node something, or may.
  [[nodiscard]] bool has_open_works() const;
  void watch_ledger(Instant now, Outbox& out);
  void anchor_commitments(Instant now, Outbox& out);
  void watch_work(Instant now, const ledger::Work& work, Outbox& out);
  /// Whether every seat has committed, or it is over: what was found may be shown.
  [[nodiscard]] Status check_reveal_of_work(const Cid& commitment) const;
  void answer_receipt(Instant now, const Cid& commitment, Outbox& out);
  void add_own(Signed<receipt::Commitment> commitment, std::vector<std::uint32_t> shards);
  /// Sends again what was committed to under this award or draw.
  void resend_commitments(const Cid& basis, Outbox& out) const;
  void journal(std::string_view kind, Bytes bytes, Outbox& out) const {
    out.journal(id(), std::string(kind), std::move(bytes));
  }

  Surroundings around_;
  Signed<task::TaskIntent> intent_;
  Signed<market::ComputeOffer> offer_;
  verification::OwnChain chain_;
  Instant began_{};
  Instant heard_{};
  bool closed_ = false;
  bool declared_ = false;
  std::uint64_t fuel_ = 0;

  std::map<Cid, Signed<market::ComputeOffer>> offers_;  ///< until the roster is complete
  std::optional<verification::Field> field_;
  std::map<Cid, Signed<market::Award>> awards_;
  std::map<Cid, Lease> leases_;  ///< by award; those that are not committed to altogether
  std::set<std::pair<Cid, Cid>> open_benches_;  ///< draws and workers' commitments on which this node is not done
  std::map<std::uint32_t, Found> found_;
  std::map<std::uint32_t, Blocks> blocks_;  ///< small ones, to go along with the receipt
  std::map<std::uint32_t, Retry> retries_;

  // Of a task with sealed inputs.
  std::map<std::uint32_t, HeldKey> held_keys_;
  std::map<std::uint32_t, Awaited> awaited_keys_;
  std::map<std::pair<std::uint32_t, NodeId>, std::uint32_t> wrong_keys_;  ///< so many of a shard by a node
  std::optional<Instant> ask_keys_at_;
  std::uint32_t key_asks_ = 0;  ///< in a row that brought nothing
  std::optional<Asked> asked_;
  /// Other members that asked for keys of a commitment of this node's: when each was last heard.
  std::map<std::pair<NodeId, Cid>, Instant> keys_given_;
  std::map<NodeId, std::uint32_t> wraps_under_way_;
  std::map<std::uint32_t, Cid> opened_;  ///< round -> the one RoundOpen that the nonce was revealed for
  std::map<Cid, Signed<verification::RoundOpen>> opens_;
  std::map<Cid, Signed<verification::NonceReveal>> reveals_;
  std::map<Cid, Signed<receipt::Commitment>> commitments_;  ///< others'
  std::map<Cid, Own> own_commitments_;
  std::map<Cid, std::vector<Cid>> own_by_basis_;
  std::map<Cid, std::vector<Cid>> own_by_worker_;  ///< by the worker's commitment; several if it was drawn anew
  std::map<Cid, DrawnTask> draws_;
  std::deque<Cid> draw_order_;
  OnLedger on_ledger_;
  std::set<Cid> to_reveal_;  ///< own commitments whose reveal waits for runs
  std::map<Cid, ToAnswer> to_answer_;  ///< by the worker's commitment
};

}  // namespace mesh::node
