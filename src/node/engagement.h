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

#include "domain/verification/round.h"
#include "node/job.h"

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
  void on_executed(Instant now, std::uint32_t shard, const event::ExecutionDone& done, Outbox& out);
  void on_tick(Instant now, Outbox& out);
  [[nodiscard]] std::optional<Instant> deadline() const;

  [[nodiscard]] const Cid& id() const { return intent_.cid; }
  [[nodiscard]] const NodeId& publisher() const { return intent_.signer; }
  [[nodiscard]] const Signed<task::TaskIntent>& intent() const { return intent_; }
  [[nodiscard]] const Signed<market::ComputeOffer>& offer() const { return offer_; }
  /// Closed by the publisher, or nothing heard of it for too long: to be dropped.
  [[nodiscard]] bool over(Instant now) const;
  [[nodiscard]] bool awarded(std::uint32_t shard) const;
  /// Whether the bidding is over and this node is in.
  [[nodiscard]] bool has_roster() const { return field_.has_value(); }
  /// Fuel of what was run for the publisher since the last call: to be booked on its quota.
  [[nodiscard]] std::uint64_t take_fuel();

 private:
  struct Found {
    std::uint32_t shard = 0;
    receipt::Finding finding;
    task::ExecutionSummary summary;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("shard", self.shard);
      v("finding", self.finding);
      v("summary", self.summary);
    }
  };
  /// An award or a draw: shards that this node has to find something on and commit to.
  struct Basis {
    bool is_award = false;
    std::set<std::uint32_t> uncommitted;
    std::optional<Instant> ready_since;
  };
  struct SeatedShard {
    Cid commitment;  ///< the worker's
    verification::Seats seats;
  };
  struct DrawnTask {
    verification::DrawnRound round;
    std::map<std::uint32_t, SeatedShard> shards;
  };
  struct Blocks {
    Bytes result, log;
  };
  /// What this node committed to, and what opens it.
  struct Own {
    Signed<receipt::Commitment> commitment;
    std::vector<std::uint32_t> shards;
    std::vector<std::vector<Digest>> proofs;  ///< in the order of the shards; empty when not worked out, or all opened
    std::size_t opened = 0;  ///< openings given out
  };
  struct Retry {
    Instant at{};
    std::uint32_t count = 0;
  };

  [[nodiscard]] Status on_roster(const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_award(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_commitment(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_open(const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_draw(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_seats_changed(Instant now, const Cid& draw, const std::vector<task::ShardRange>& ranges,
                                        const NodeId* lost, std::uint32_t seats, Outbox& out);
  [[nodiscard]] Status on_reveal_request(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status on_receipt(Instant now, const Envelope& envelope, Outbox& out);
  [[nodiscard]] Status from_publisher(const NodeId& signer) const;

  void need(Instant now, std::uint32_t shard, Executions::Purpose purpose, const NodeId* also_holds, Outbox& out);
  void take_seats(Instant now, const Cid& draw, Outbox& out);
  void commit_ready(Instant now, const Cid& basis_cid, Basis& basis, Outbox& out);
  void reveal(Instant now, const Cid& commitment, Outbox& out);
  void answer_receipt(Instant now, std::uint32_t shard, Outbox& out);
  void add_own(Signed<receipt::Commitment> commitment, std::vector<std::uint32_t> shards,
               std::vector<std::vector<Digest>> proofs);
  [[nodiscard]] Digest leaf_of(std::uint32_t shard) const;
  /// nullopt while one of the commitment's shards has to be run again to open it.
  [[nodiscard]] std::optional<receipt::Opening> open_own(Own& own, std::uint32_t shard);
  /// Sends again what was committed to under this award or draw.
  void resend_commitments(const Cid& basis, Outbox& out) const;
  void journal(std::string_view kind, Bytes bytes, Outbox& out) const {
    out.journal(id(), std::string(kind), std::move(bytes));
  }

  Surroundings around_;
  Signed<task::TaskIntent> intent_;
  Signed<market::ComputeOffer> offer_;
  verification::OwnChain chain_;
  Instant heard_{};
  bool closed_ = false;
  bool declared_ = false;
  std::uint64_t fuel_ = 0;

  std::map<Cid, Signed<market::ComputeOffer>> offers_;  ///< until the roster is complete
  std::optional<verification::Field> field_;
  std::map<Cid, Signed<market::Award>> awards_;
  std::map<Cid, Basis> bases_;  ///< by award or draw
  std::map<std::uint32_t, Found> found_;
  std::map<std::uint32_t, Blocks> blocks_;  ///< small ones, to go along with the receipt
  std::map<std::uint32_t, Retry> retries_;
  std::map<std::uint32_t, Cid> opened_;  ///< round -> the one RoundOpen that the nonce was revealed for
  std::map<Cid, Signed<verification::RoundOpen>> opens_;
  std::map<Cid, Signed<verification::NonceReveal>> reveals_;
  std::map<Cid, Signed<receipt::Commitment>> commitments_;  ///< others'
  std::map<Cid, Own> own_commitments_;
  std::map<Cid, std::vector<Cid>> own_by_basis_;
  std::map<std::uint32_t, std::vector<Cid>> own_as_verifier_;  ///< by shard; several if it was drawn anew
  std::map<Cid, DrawnTask> draws_;
  std::deque<Cid> draw_order_;
  std::map<Cid, std::set<std::uint32_t>> to_reveal_;  ///< own commitment -> shards whose reveal waits for a run
  std::map<std::uint32_t, Signed<receipt::ExecutionReceipt>>
      to_answer_;  ///< receipts that wait for this node's own run
};

}  // namespace mesh::node
