// What a publisher knows of the ledger's side of one paid job: the escrow, the works under it, and what came of them.
//
// Written down is what the ledger forgets: works that took shards from a lease, and those that ended. The rest is told anew
// after a restart.
//
// Bounds: a work for each commitment that was anchored; ended ones are small. Of an open one, one reveal for each answer.
#pragma once

#include <map>

#include "node/ledger_waits.h"

namespace mesh::node {

struct JobPayment {
  std::optional<ledger::Escrow> escrow;  ///< as it was last seen
  std::map<Cid, ledger::Work> works;  ///< by commitment, as they were last seen
  std::map<Cid, ledger::Work> revealed;  ///< as the open ones stood before they ended: with draws and answers
  WaitingSince waiting;
  std::map<Cid, Instant> told;  ///< by work: when verifiers were last told the intent
  std::map<Cid, Instant> asked;  ///< by work: when the worker was last asked for its receipt
  /// By work, and by the commitment that each opens: what verifiers showed here ahead of the block.
  std::map<Cid, std::map<Cid, Signed<receipt::VerificationReceipt>>> shown;
  std::map<Cid, std::uint32_t> ahead;  ///< by open work: shards of it that were accepted before the ledger shows why
  bool refunding = false;  ///< it was asked back, or need not be
  Instant look_again{};  ///< when it is next seen what the works wait for
  ledger::PaymentPart proof;  ///< what shows to others what came of the fee (job_proof.cc)
  std::size_t proof_bytes = 0;  ///< of its blocks

  [[nodiscard]] bool is_locked() const { return escrow.has_value(); }
};

/// What became of a fee, for people.
struct EscrowView {
  std::string state;  ///< "locking", "locked", "closing" or "ended"
  Digest place;  ///< of its entry in the ledger's table `escrows`, known by the intent: what a proof shows
  std::uint64_t locked = 0;  ///< micro-credits in all
  std::uint64_t held = 0;  ///< still there
  std::uint64_t paid = 0;  ///< to worker, verifiers and treasury
  std::uint64_t refunded = 0;  ///< to the publisher, out of accepted shards and of what nobody earned
  std::uint32_t shards_paid = 0;
  std::uint32_t ahead = 0;  ///< shards that are accepted, and of which the ledger does not show yet that they are right
  struct Part {
    Cid commitment;  ///< names the entry in the table `works`
    NodeId worker;
    std::string state;  ///< of the work, or how it ended
    std::uint32_t accepted = 0;
    std::uint32_t rejected = 0;
    std::uint32_t undecided = 0;
    std::uint64_t paid = 0;
    std::uint64_t due_ms = 0;  ///< when its phase is over, by the blocks' time: of a revealed one, that for disputes
    std::vector<ledger::Payout>
        payouts;  ///< of an ended one: first out of the escrow, then out of bonds and to whom that went
    std::uint64_t to_treasury = 0;
  };
  std::vector<Part> works;
};

/// What a work that ended took out of the escrow for others than the publisher.
[[nodiscard]] std::uint64_t paid_by(const ledger::Work& work, const ledger::Escrow& escrow);

/// How each row of an ended work was decided: as the ledger's rules have it of what it was before, if that is known, else as far
/// as the counts and the escrow say. Undecided is `disputed`.
[[nodiscard]] std::vector<verification::Decision> decisions_of(const ledger::Work& ended, const ledger::Work* before,
                                                               const ledger::Escrow& escrow, std::uint64_t time_ms);

}  // namespace mesh::node
