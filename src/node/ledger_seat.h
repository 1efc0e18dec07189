// LedgerSeat: this node's part in verifying one worker's commitment for which the ledger's beacon drew it.
//
// Nobody asks for it: the work's entry says who has a seat (or gets one where others are passed over), and so do the rest. The
// intent, which is not in the state, comes from the publisher or the worker, who tell it to whom they wait for, and counts as
// soon as its CID is the entry's. What this node finds it commits to, with the block of the anchor as basis; it reveals once the
// worker has, and, of a second drawing, at once. What it revealed is a transaction of its own, so nobody can keep it back; the
// publisher is told besides, so that it need not wait for blocks.
//
// Bounds: shards of one commitment (1,024), four commitments to each drawing, as the ledger. Everything but the findings is
// written down before it is told; a finding that was lost is found again.
#pragma once

#include <map>
#include <set>

#include "node/job.h"

namespace mesh::node {

class LedgerSeat {
 public:
  LedgerSeat(const Surroundings& around, ledger::Work work) : around_(around), work_(std::move(work)) {}
  /// From the journal: its first record, of which `is_first` holds.
  [[nodiscard]] static Result<std::unique_ptr<LedgerSeat>> restored(const Surroundings& around, ByteView bytes);
  [[nodiscard]] static bool is_first(std::string_view kind) { return kind == "seat-work"; }
  [[nodiscard]] Status restore(std::string_view kind, ByteView bytes);

  void on_work(Instant now, const ledger::Work& work, Outbox& out);
  /// The ledger has no such work any more.
  void on_gone() { gone_ = true; }
  void on_intent(Instant now, const Signed<task::TaskIntent>& intent, Outbox& out);
  /// The worker showed it to this node, ahead of the block in which the ledger is told.
  void on_receipt(Instant now, const Signed<receipt::ExecutionReceipt>& receipt, Outbox& out);
  void on_executed(Instant now, const std::vector<event::ExecutionDone::Shard>& done, Outbox& out);
  void on_transacted(Instant now, const LedgerDesk::Answer& answer, Outbox& out);
  void on_tick(Instant now, Outbox& out);
  [[nodiscard]] std::optional<Instant> deadline() const;

  [[nodiscard]] const Cid& id() const { return work_.commitment; }
  [[nodiscard]] const Cid& intent() const { return work_.intent; }
  /// Whether anything of it is in the journal.
  [[nodiscard]] bool is_written() const { return begun_; }
  /// Nothing more is to be done.
  [[nodiscard]] bool is_over() const { return gone_ || work_.phase == ledger::WorkPhase::ended; }
  /// Nobody fetches what it found any more, either.
  [[nodiscard]] bool is_done(Instant now) const;

 private:
  struct Found {
    receipt::Finding finding;
    Digest digest;
  };
  struct Own {
    Signed<receipt::Commitment> commitment;
    std::vector<std::uint32_t> shards;
  };

  void advance(Instant now, Outbox& out);
  /// Runs those of the shards on which nothing was found yet. Whether there are any.
  bool need(Instant now, const std::vector<std::uint32_t>& shards, Outbox& out);
  [[nodiscard]] bool can_be_anchored(const Own& own) const;
  void commit(Instant now, const std::vector<std::uint32_t>& shards, Outbox& out);
  void anchor(Instant now, Outbox& out);
  void reveal(Instant now, Outbox& out);
  /// To the publisher, ahead of the block: once all who have a seat have committed nothing is left to be copied.
  void show_publisher(Instant now, Outbox& out);
  /// What this node's answer says of the work, in which the worker has revealed, by the key that committed to it.
  [[nodiscard]] Envelope revealed(const ledger::Work& work, const Own& own, const identity::Signer& signer) const;
  [[nodiscard]] std::uint32_t round() const { return static_cast<std::uint32_t>(work_.draws.size() - 1); }
  void begin(Outbox& out);

  Surroundings around_;
  ledger::Work work_;
  std::optional<Signed<task::TaskIntent>> intent_;
  bool gone_ = false;
  bool begun_ = false;  ///< written down
  std::map<std::uint32_t, Found> found_;
  std::set<std::uint32_t> running_;  ///< that are asked for, and not found yet
  std::map<Cid, Own> own_;
  std::optional<Signed<receipt::ExecutionReceipt>> receipt_;  ///< as the worker showed it, until it was answered
  Instant look_again_{};
  Instant over_since_{};
  Instant retry_at_{};
};

}  // namespace mesh::node
