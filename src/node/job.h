// Job: the publisher's side of one task, from the bidding to the last verdict.
//
// Shards are leased to workers many at a time. What a worker commits to together is a batch: its seats are drawn, it is
// revealed and judged as one, and shards of it whose seats are the same nodes share one panel. So a shard costs little more
// than its hashes. Where workers have nothing to do, shards of one that lags are leased to them too, and whoever commits
// first counts.
//
// Its state is what its records say: every record is checked, applied by one function whether it has just arrived or
// comes from the journal, and written to the journal. What to do next follows from that state (`advance`), and what is
// outstanding is sent again when time passes or a peer comes back, so that lost messages and restarts cost time only.
//
// Bounds: policy.scheduling.max_shards_per_task shards, market::max_roster members, task::max_rounds rounds,
// max_attempts workers per shard. Each phase has its limit (task::PhaseLimits) and its named failure.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <span>

#include "domain/market/quota.h"
#include "domain/market/selection.h"
#include "domain/reputation/experience.h"
#include "domain/verification/quorum.h"
#include "domain/verification/round.h"
#include "node/executions.h"
#include "node/job_payment.h"
#include "node/ledger_view.h"
#include "node/node.h"
#include "node/outbox.h"
#include "node/peer_table.h"

namespace mesh::node {

/// What all jobs and engagements of one node share.
struct Surroundings {
  const Config& config;
  const identity::Signer& signer;
  const Cid& policy;
  PeerTable& peers;
  Executions& executions;
  market::FreeQuota& quota;
  reputation::Experience& experience;
  LedgerView* ledger = nullptr;  ///< null in a federation without one; then `desk` is, too
  LedgerDesk* desk = nullptr;
  std::span<const identity::Signer> former = {};  ///< of keys that were the node's before
  bool is_former = false;  ///< `signer` is one of them: others take nothing new that it signs

  /// Null where the node never had this key.
  [[nodiscard]] const identity::Signer* signer_by(const PublicKey& key) const {
    if (key == signer.id()) return &signer;
    for (const identity::Signer& one : former) {
      if (one.id() == key) return &one;
    }
    return nullptr;
  }
};

class Job {
 public:
  static constexpr std::uint32_t max_attempts = 5;

  /// The journal's "spec" record: all that `create` needs to make the same job again.
  struct Origin {
    JobSpec spec;
    Digest entropy;
    std::optional<Cid> reduces;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("spec", self.spec);
      v("entropy", self.entropy);
      v("reduces", self.reduces);
    }
  };

  /// Builds and signs the intent. The same spec and entropy give the same job.
  [[nodiscard]] static Result<std::unique_ptr<Job>> create(const Surroundings& around, Instant now, JobSpec spec,
                                                           const Digest& entropy, std::optional<Cid> reduces);

  /// Journals and publishes a new job.
  void start(Instant now, Outbox& out);
  /// Takes back one journal record, in order. "spec" records are taken by `create`.
  [[nodiscard]] Status restore(std::string_view kind, ByteView bytes);
  /// Goes on after the last record was restored.
  void resume(Instant now, Outbox& out);

  void on_offer(Instant now, Signed<market::ComputeOffer> offer, Outbox& out);
  void on_decline(Instant now, const Signed<market::Decline>& decline, Outbox& out);
  void on_commitment(Instant now, const Signed<receipt::Commitment>& commitment, Outbox& out);
  void on_reveal(Instant now, Signed<verification::NonceReveal> reveal, Outbox& out);
  void on_receipt(Instant now, const Signed<receipt::ExecutionReceipt>& receipt, Outbox& out);
  void on_verification(Instant now, const Signed<receipt::VerificationReceipt>& receipt, Outbox& out);
  /// A member lacks something that it should have: it gets all that is outstanding for it.
  void on_refused(Instant now, const Signed<market::Refusal>& refusal, Outbox& out);
  void on_log(const NodeId& from, const LogPiece& piece, Outbox& out);
  void on_peer_up(Instant now, const NodeId& peer, Outbox& out);
  void on_tick(Instant now, Outbox& out);
  void on_executed(Instant now, const std::vector<event::ExecutionDone::Shard>& done, Outbox& out);
  /// A member lacks the keys of sealed inputs.
  void on_key_request(Instant now, const Signed<verification::KeyRequest>& request, Outbox& out);
  void on_keys_wrapped(Instant now, const event::KeysWrapped& wrapped, Outbox& out);
  void on_results_fetched(Instant now, const Status& status, Outbox& out);
  void on_reduce_input(Instant now, const Result<Cid>& inputs, Outbox& out);
  void on_reduced(Instant now, const Job& child, Outbox& out);
  void stop(Instant now, Outbox& out);
  // Of a paid job: job_payment.cc.
  void on_ledger(Instant now, const event::LedgerChanged& changed, Outbox& out);
  void on_transacted(Instant now, const LedgerDesk::Answer& answer, Outbox& out);
  /// So many of its records are durable: what they decide is shown from now on.
  void confirm(std::uint64_t records);

  [[nodiscard]] const Cid& id() const { return intent_.cid; }
  [[nodiscard]] const Signed<task::TaskIntent>& intent() const { return intent_; }
  [[nodiscard]] bool is_paid() const { return payment_.has_value(); }
  [[nodiscard]] bool ended() const {
    return phase_ == JobPhase::done || phase_ == JobPhase::failed || phase_ == JobPhase::stopped;
  }
  [[nodiscard]] Instant ended_at() const { return ended_at_; }
  /// Whether `node` is on the roster of this job, which has not ended: results may come from it.
  [[nodiscard]] bool works_with(const NodeId& node) const { return !ended() && workers_.contains(node); }
  [[nodiscard]] std::optional<Instant> deadline() const;
  /// The job that folds the results, once it is wanted: taken by the node, which creates it.
  [[nodiscard]] std::optional<JobSpec> take_reduce_spec();
  [[nodiscard]] const std::optional<Cid>& reduces() const { return intent_.record.reduces; }
  void set_reduce_job(const Cid& child) { reduce_job_ = child; }

  [[nodiscard]] JobView view() const;
  [[nodiscard]] std::vector<ShardView> shards(std::uint32_t first, std::uint32_t count) const;
  [[nodiscard]] std::vector<std::pair<Cid, Cid>> results() const;
  [[nodiscard]] std::vector<Envelope> story() const;
  /// What it has of the proof of its payment; nothing of a free job.
  [[nodiscard]] ledger::PaymentPart payment_part() const;
  [[nodiscard]] Digest reduce_entropy() const;

 private:
  enum class ShardState : std::uint8_t { waiting, leased, committed, finished };
  struct Shard {
    ShardState state = ShardState::waiting;
    NodeId worker;
    Cid award;
    std::optional<Cid> second_award;  ///< leased to a second worker as well
    Cid commitment;
    Instant since{};
    std::uint32_t attempts = 0;
    std::optional<verification::Decision> decision;
    std::optional<receipt::Finding> finding;
    std::optional<task::ExecutionSummary> summary;
    std::uint32_t contribution = 0;
    std::shared_ptr<const std::vector<SeatView>> seats;  ///< of the verdict; shared with the shards that ended alike
    bool shown = false;  ///< the decision is durable
  };
  /// Of the shards that are decided.
  struct Tally {
    std::uint32_t finished = 0;
    std::uint32_t failed_outcomes = 0;
    std::uint32_t checked = 0;
    std::uint64_t fuel = 0;
  };
  /// A verdict that may not be durable yet.
  struct Unshown {
    std::uint64_t records = 0;  ///< durable with so many
    std::vector<std::uint32_t> shards;
    Tally tally;  ///< with it
  };
  struct Worker {
    std::uint32_t capacity = 1;
    std::uint32_t rank = 0;
    std::set<std::uint32_t> leased;
    std::uint32_t lease_size = 1;  ///< shards that it may have outstanding
    Instant progress{};
    std::string excluded;  ///< why it gets nothing more of this job
    std::optional<Duration> per_shard;  ///< from one commitment to the next, smoothed
    Instant avoid_until{};  ///< timed out: gets nothing until then
    std::optional<Instant> reminded;  ///< when all that is outstanding was last sent to it
    std::uint32_t reminders = 0;  ///< of these in a row without a word from it
  };
  struct Seat {
    enum class State : std::uint8_t { asked, committed, revealed } state = State::asked;
    Cid commitment;  ///< the verifier's own
    Instant since{};
  };
  /// Shards of a batch whose seats are the same nodes, in the same state.
  struct Panel {
    std::vector<std::uint32_t> shards;
    std::map<NodeId, Seat> seats;
    std::uint32_t wanted = 0;
    [[nodiscard]] bool complete() const { return seats.size() == wanted; }
    /// Whether every seat has come at least as far.
    [[nodiscard]] bool all(Seat::State state) const;
  };
  /// A Substitution or an Extension.
  struct Change {
    Envelope envelope;
    verification::SeatChange seats;
    std::string why;  ///< who lost seats lost them
  };
  struct Answer {
    Signed<receipt::VerificationReceipt> receipt;
    std::map<std::uint32_t, receipt::Finding> differing;
  };
  struct Batch {
    Signed<receipt::Commitment> commitment;
    std::vector<std::uint32_t> shards;  ///< that it covers
    std::uint32_t open = 0;  ///< shards that wait for a verdict under this commitment
    std::optional<Cid> round;  ///< the RoundOpen it is in
    std::vector<Panel> panels;  ///< of the shards that are not judged; none before the draw
    std::vector<Change> changes;  ///< since the draw
    std::map<Cid, Signed<receipt::Commitment>> committed;  ///< the verifiers' commitments under the draw
    std::map<Cid, Answer> answers;  ///< by the commitment that is opened
    std::optional<Signed<receipt::ExecutionReceipt>> receipt;
    receipt::Opened opened;
    bool reveal_asked = false;
    bool failed = false;  ///< a shard of it was rejected or disputed
    Instant asked{};  ///< last time that the worker or a verifier was reminded
    Instant since{};
  };
  struct Round {
    Signed<verification::RoundOpen> open;
    std::map<NodeId, Signed<verification::NonceReveal>> reveals;
    std::optional<verification::DrawnRound> drawn;
    Instant since{};
  };

  /// The keys of sealed inputs that are on their way to a member.
  struct KeysFor {
    std::set<std::uint32_t> wanted;  ///< shards; not begun
    bool under_way = false;
    std::optional<Instant> answered;  ///< when it last asked and was heard
  };

  explicit Job(const Surroundings& around) : around_(around) {}

  /// Into the story and the journal.
  template <class T>
  void keep(std::string_view kind, const Signed<T>& record, Outbox& out) {
    story_.push_back(record.envelope);
    out.journal(id(), std::string(kind), record::encode(record.envelope));
    out.confirm(id(), records());
  }
  template <class T>
  Signed<T> sign(T value) const {
    return around_.signer.sign(std::move(value));
  }

  // Apply: the record is checked; only the state changes.
  [[nodiscard]] Status apply_roster(Signed<market::Roster> roster, std::vector<Signed<market::ComputeOffer>> offers);
  [[nodiscard]] Status apply_award(const Signed<market::Award>& award);
  [[nodiscard]] Status apply_commitment(Signed<receipt::Commitment> commitment);
  [[nodiscard]] Status apply_open(Signed<verification::RoundOpen> open);
  [[nodiscard]] Status apply_reveal(Signed<verification::NonceReveal> reveal);
  [[nodiscard]] Status apply_draw(const Signed<verification::Draw>& draw);
  [[nodiscard]] Status apply_verifier_commitment(Signed<receipt::Commitment> commitment);
  [[nodiscard]] Status apply_substitution(const Signed<verification::Substitution>& substitution);
  [[nodiscard]] Status apply_extension(const Signed<verification::Extension>& extension);
  [[nodiscard]] Status apply_receipt(Signed<receipt::ExecutionReceipt> receipt);
  [[nodiscard]] Status apply_verification(Signed<receipt::VerificationReceipt> receipt);
  [[nodiscard]] Status apply_verdict(const verification::Verdict& verdict);

  // Of a paid job.
  void lock_fee(Instant now, Outbox& out);
  void on_locked(Instant now, Outbox& out);
  /// Wants back what is not claimed, once the job is over.
  void ask_refund(Instant now, Outbox& out);
  void on_work(Instant now, const ledger::Work& work, Outbox& out);
  /// Shards that the ledger holds claimed by a work are that worker's.
  [[nodiscard]] Status apply_claim(const ledger::Work& work);
  [[nodiscard]] Status restore_payment(std::string_view kind, ByteView bytes);
  // Of its proof: job_proof.cc.
  void keep_proofs(const event::LedgerChanged& changed, Outbox& out);
  [[nodiscard]] static bool is_proof(std::string_view kind);
  [[nodiscard]] Status restore_proof(std::string_view kind, ByteView bytes);
  void watch_payment(Instant now, Outbox& out);
  void watch_unanchored(Instant now, Batch& batch, Outbox& out);
  void watch_work(Instant now, const ledger::Work& work, Batch& batch, Outbox& out);
  /// Where nobody could be drawn the publisher's word counts.
  void accept_unverified(Instant now, const ledger::Work& work, Batch& batch, Outbox& out);
  void take_receipt(const Signed<receipt::ExecutionReceipt>& receipt, Outbox& out);
  /// How many shards of an open work are accepted here and not by what the ledger shows of it.
  [[nodiscard]] std::uint32_t ahead_of(const ledger::Work& work) const;
  void take_verification(Instant now, const Signed<receipt::VerificationReceipt>& receipt, Outbox& out);
  /// The work as the ledger will have it, by what worker and verifiers showed here; none where that is no more than what it has.
  [[nodiscard]] std::optional<ledger::Work> foreseen(const ledger::Work& work, const Batch& batch) const;
  /// Takes over what the ledger decided, once it is known what was found.
  void conclude(Instant now, const ledger::Work& work, Outbox& out);
  void settle_shards(Instant now, Batch& batch, const ledger::Work& work, verification::Decision decision,
                     const std::vector<std::uint32_t>& shards, Outbox& out);
  /// Takes what a quorum of the verifiers has revealed already, whoever else may still reveal or dispute it: that costs a
  /// job the wait for the end of that time. What is not accepted waits for the ledger, which holds the shard till then.
  void accept_revealed(Instant now, const ledger::Work& work, Batch& batch, Outbox& out);
  /// Says which of the shards that were accepted before their work ended the ledger judged otherwise in the end.
  void compare_with_accepted(const ledger::Work& ended_work, Outbox& out);
  void ask_receipt(Instant now, const Cid& commitment, const NodeId& worker, Outbox& out);
  void show_seats(const ledger::Work& work, const std::vector<std::uint32_t>& shards);
  [[nodiscard]] EscrowView escrow_view() const;
  /// How many more shards the worker's bond answers for.
  [[nodiscard]] std::uint64_t covered_by_bond(const NodeId& node, const Worker& worker) const;

  /// Its reputation in the market.
  [[nodiscard]] std::uint32_t score_of(const NodeId& node) const;

  void advance(Instant now, Outbox& out);
  void advance_bidding(Instant now, Outbox& out);
  void close_bidding(Instant now, Outbox& out);
  void on_gave_up(Instant now, const Signed<market::Decline>& decline, Outbox& out);
  void award_waiting(Instant now, Outbox& out);
  void award(Instant now, const NodeId& to, const std::vector<std::uint32_t>& shards, Outbox& out);
  /// Leases shards of a worker that lags to one that has nothing to do.
  void award_again(Instant now, Outbox& out);
  /// A worker has committed to so many shards, so long after it was last heard of.
  void size_lease(Instant now, Worker& worker, Duration taken, std::size_t shards);
  [[nodiscard]] bool may_work(Instant now, const NodeId& node, const Worker& worker, bool also_penalised) const;
  void run_here(Instant now, Outbox& out);
  void open_round(Instant now, Outbox& out);
  void draw_round(Instant now, Outbox& out);
  /// Asks the worker to reveal, once every seat has committed.
  void ask_for_reveal(Instant now, Batch& batch, Outbox& out);
  /// Hands the worker's receipt to the verifiers that have committed and not answered.
  void forward_receipt(Instant now, Batch& batch, Outbox& out);
  /// Judges what is complete of the batch: one verdict for all shards that end alike. May forget the batch.
  void judge(Instant now, const Cid& batch, Outbox& out);
  struct Ended {
    std::vector<std::uint32_t> shards;
    std::set<Cid> verifications;
    std::uint32_t seats = 0;
  };
  /// The ways in which shards end together: decision and seats that agreed, and seats in all.
  using Endings = std::map<std::tuple<verification::Decision, std::uint32_t, std::uint32_t>, Ended>;
  void judge_panel(const Batch& batch, const Panel& panel, Endings& endings,
                   std::vector<std::uint32_t>& disputed) const;
  void give_verdict(Instant now, Batch& batch, verification::Decision decision, std::uint32_t agreed, Ended ended,
                    Outbox& out);
  void blame_liars(Instant now, const Batch& batch, const verification::Verdict& verdict,
                   const std::vector<std::uint32_t>& shards, Outbox& out);
  /// Gives these shards more seats. Whether there are nodes for them.
  bool extend(Instant now, Batch& batch, const std::vector<std::uint32_t>& shards, Outbox& out);
  /// Sends the draw and the changes of the seats to those that have a seat by them now.
  void invite(Instant now, Batch& batch, const Envelope& change, Outbox& out);
  /// Where only a sample is verified, once all that was drawn is judged: takes back what failed workers did, or, if there is
  /// no such thing, accepts the rest.
  void settle_samples(Instant now, Outbox& out);
  /// Whether every shard is committed to or finished.
  [[nodiscard]] bool all_committed() const;
  /// The seats of a shard as the draw and the changes since give them.
  [[nodiscard]] verification::Seats seats_of(const Batch& batch, std::uint32_t shard) const;
  /// Seats the batch anew after a change under the draw that it is judged by.
  void change_seats(const Cid& draw, const Cid& commitment, Change change);
  /// Makes panels of these shards anew after a change; seats that go on keep their state.
  void reseat(Batch& batch, const std::vector<std::uint32_t>& shards);
  /// What a seat found on a shard of the batch; null while it has not revealed.
  [[nodiscard]] const receipt::Finding* found_by(const Batch& batch, const Seat& seat, std::uint32_t shard) const;
  /// Whether the shard waits for a verdict under this batch (and was not done by a second worker meanwhile).
  [[nodiscard]] bool is_open(const Batch& batch, std::uint32_t shard) const;
  [[nodiscard]] std::vector<std::uint32_t> open_shards(const Batch& batch) const;
  void watch_time(Instant now, Outbox& out);
  void lose_seat(Instant now, Batch& batch, const std::vector<std::uint32_t>& shards, const NodeId& node,
                 const std::string& reason, Outbox& out);
  void redraw(Batch& batch);
  void watch_batch(Instant now, const Cid& cid, Outbox& out);
  void watch_worker(Instant now, Batch& batch, Outbox& out);
  void watch_verifiers(Instant now, Batch& batch, Outbox& out);
  void return_shards(Instant now, const std::vector<std::uint32_t>& shards, const std::string& why, Outbox& out);
  /// The shard does not wait for a verdict under its commitment any more.
  void leave_batch(std::uint32_t shard);
  void end_leases(std::uint32_t shard);
  /// `node` will not do what it has leased: others get it.
  void give_up_leases(Instant now, const NodeId& node, const std::string& why, Outbox& out);
  [[nodiscard]] bool leased_to(std::uint32_t shard, const NodeId& node) const;
  [[nodiscard]] Duration work_limit() const;
  void forget_if_done(const Cid& commitment);
  void finish_if_complete(Instant now, Outbox& out);
  void end(Instant now, JobPhase phase, std::string failure, Outbox& out);

  /// Has the keys of these shards made for a member, where the inputs are sealed.
  void give_keys(const NodeId& to, const std::vector<std::uint32_t>& shards, Outbox& out);
  /// Those of the shards on which these nodes have seats and have not committed.
  void give_keys_of_seats(const Batch& batch, const std::set<NodeId>& nodes, Outbox& out);
  void make_keys(const NodeId& to, Outbox& out);
  /// Those of the shards (ascending) of which the node is the worker, or on which it has a seat, and which are not decided.
  [[nodiscard]] std::vector<std::uint32_t> readable_by(const NodeId& node,
                                                       const std::vector<std::uint32_t>& shards) const;
  void send_roster(const NodeId& to, Outbox& out);
  void send_round(const Round& round, const NodeId& to, Outbox& out) const;
  /// The draw and the nonces that it counts, to a member that has the round already; or the round with them.
  void send_draw(const Round& round, const NodeId& to, Outbox& out) const;
  void send_round_and_draw(const Round& round, const NodeId& to, Outbox& out) const;
  /// `from` has just said something that counts: it is there, and has what it was sent.
  void heard(const NodeId& from);
  /// The verifiers' commitments that allow the worker to reveal its batch, and the request to do so.
  void send_reveal_request(const Batch& batch, Outbox& out) const;
  void send_outstanding(Instant now, const NodeId& to, Outbox& out);
  void refuse(const NodeId& who, const Cid& about, const Error& error, Outbox& out);
  void blame(Instant now, const NodeId& who, const std::string& why, Duration penalty, Outbox& out);
  void note(std::string text, Outbox& out);
  void set_phase(JobPhase phase, std::string text, Outbox& out);
  void tell(std::uint32_t shard, std::string text);
  /// How many records confirm() counts: the envelopes of the story, and the end.
  [[nodiscard]] std::uint64_t records() const { return story_.size() + (ended() ? 1 : 0); }
  /// Whether the job has ended for good.
  [[nodiscard]] bool end_is_durable() const { return ended() && durable_ >= records(); }
  /// By rounds of this job's own; who verifies a paid one is drawn by the ledger.
  [[nodiscard]] bool verified() const { return !is_paid() && !unverified_ && intent_.record.verifiers > 0; }
  [[nodiscard]] bool sampled() const { return verified() && intent_.record.sample < task::TaskIntent::everything; }
  /// How many verifiers the shards of a worker get, as far as there are nodes for them.
  [[nodiscard]] std::uint32_t seats_for(const NodeId& worker) const;
  [[nodiscard]] bool away(Instant now, const NodeId& node) const;
  [[nodiscard]] bool runs_here() const { return field_ && field_->offers.empty(); }

  Surroundings around_;
  JobSpec spec_;
  Digest entropy_;
  std::optional<verification::OwnChain> chain_;  ///< of nonces; always there once created
  Signed<task::TaskIntent> intent_;
  std::optional<JobPayment> payment_;  ///< of a paid job
  JobPhase phase_ = JobPhase::bidding;
  std::string failure_;
  bool unverified_ = false;
  Instant started_{};
  Instant ended_at_{};

  // Bidding.
  Instant window_end_{};
  std::uint32_t reminders_ = 0;
  std::map<NodeId, market::Candidate> offers_;
  std::map<NodeId, std::string> declines_;
  std::vector<RefusalView> refusals_;
  std::vector<std::string> notes_;
  std::vector<market::Ranked> ranking_;
  std::vector<Signed<market::ComputeOffer>> roster_offers_;  ///< gathered while restoring

  // Running.
  std::optional<verification::Field> field_;
  std::vector<Shard> shards_;
  std::set<std::uint32_t> waiting_;
  std::map<NodeId, Worker> workers_;
  std::map<Cid, Signed<market::Award>> awards_;
  std::map<Cid, Batch> batches_;
  std::deque<Cid> undrawn_;  ///< commitments that wait for a round
  std::map<Cid, Round> rounds_;  ///< by RoundOpen; those with open batches
  std::map<Cid, Cid> draws_;  ///< Draw -> RoundOpen
  std::optional<Cid> current_round_;  ///< the one whose nonces are being gathered
  std::set<NodeId> guilty_;  ///< a verdict of this task found against them
  std::optional<std::vector<std::uint32_t>> restored_counts_;  ///< while restoring: of the commitment that comes next
  std::set<Cid> seen_commitments_;  ///< all that were taken, also of decided shards
  std::map<std::uint32_t, std::vector<std::string>> stories_;  ///< of shards with which something went wrong
  std::set<Cid> past_draws_;  ///< all draws, also of decided shards
  std::uint32_t rounds_used_ = 0;
  std::uint32_t leases_ = 0;
  Duration usual_gap_{0};  ///< between a worker's commitments, smoothed over all workers
  Instant next_round_{};
  Instant next_watch_{};
  Tally decided_;
  std::map<std::uint32_t, std::uint64_t> log_bytes_;
  std::map<NodeId, KeysFor> keys_for_;

  bool fetching_ = false;
  std::uint32_t fetch_attempts_ = 0;
  Instant fetch_again_{};
  std::optional<JobSpec> reduce_spec_;
  std::optional<Cid> reduce_job_;
  std::optional<Cid> reduced_result_;
  std::vector<Envelope> story_;

  // What people may see: what is durable.
  std::uint64_t durable_ = 0;  ///< records
  std::deque<Unshown> unshown_;
  Tally shown_;
  JobPhase phase_before_end_ = JobPhase::bidding;
};

}  // namespace mesh::node
