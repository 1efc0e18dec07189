// Checks a payment proof (payment_proof.h) with nothing but its blocks: the founding names the first validators, they certify the
// blocks, these have the entries, and the entries say who was drawn and who was paid. Who was drawn is drawn again from the list of the
// eligible and the beacon, what a work came to is settled again from what was revealed, and either has to be what the entries say.
//
// What it rests on: that of each set of validators those with more than two thirds of the power signed no state that is wrong, and
// did not sign for a height that was not theirs any more. Not shown is that whoever was eligible had the weight and the bond that the list
// says: its digest is in the entry, and the validators made it.
//
// What can go wrong, by name: payment-missing, payment-cut (a block of the proof is not there), bad-payment (one that does not read, or is
// not what its place asks for), another-federation, bad-founding, validators-changed, certificate, wrong-certificate,
// wrong-state-root, bad-summary, escrow-missing, escrow-of-another, escrow-older, work-of-another, work-twice, work-missing, works-open,
// before-missing, not-adjacent, draw-missing, wrong-eligible, wrong-draw, wrong-settlement, wrong-payout and the names of
// map-proofs (merkle_proof.h).
#pragma once

#include "domain/ledger/payment_proof.h"
#include "domain/verification/proof.h"

namespace mesh::ledger {

/// A block that validators certified, for people.
struct ProvenBlock {
  Cid block;
  std::uint64_t height = 0;
  std::uint64_t time_ms = 0;
  std::size_t signers = 0;
  std::size_t validators = 0;
  std::uint64_t power = 0;  ///< of those who signed
  std::uint64_t total_power = 0;
};

struct ProvenWork {
  Work work;  ///< as it ended, or as it stands
  ProvenBlock block;
  std::uint32_t drawings = 0;  ///< that were made again and came to the same
  std::uint64_t worker = 0;  ///< out of the escrow
  std::uint64_t verifiers = 0;
  std::uint64_t treasury = 0;
  std::uint64_t penalties = 0;  ///< out of bonds
};

/// What a bundle proves of a task's payment.
struct PaymentReport {
  Escrow escrow;
  ProvenBlock block;  ///< that shows the escrow
  std::vector<ProvenWork> works;
  std::size_t hops = 0;  ///< changes of the set of validators from the founding to that block
  std::uint64_t locked = 0;
  std::uint64_t worker = 0;
  std::uint64_t verifiers = 0;
  std::uint64_t treasury = 0;
  std::uint64_t refunded = 0;  ///< to the publisher so far, where all paid works are here
  bool complete = false;  ///< all paid shards are those of works in the proof
  policy::RewardSettings rewards;
};

/// Where one payment proof is read: for verification::verify_bundle, and afterwards for what it says.
class PaymentCheck final : public verification::PaymentJudge {
 public:
  explicit PaymentCheck(Certify certify) : certify_(std::move(certify)) {}

  [[nodiscard]] Result<verification::Judged> judge(const verification::PaidTask& task) override;
  [[nodiscard]] Result<verification::PaidPart> cut(const verification::PaidTask& task,
                                                   const std::set<Cid>& commitments) override;
  /// Of the first proof that was found good.
  [[nodiscard]] const std::optional<PaymentReport>& report() const { return report_; }

 private:
  Certify certify_;
  std::optional<PaymentReport> report_;
};

/// The part of a bundle for what was gathered.
[[nodiscard]] verification::PaidPart paid_part(const PaymentProof& proof, ProofBlocks blocks,
                                               const identity::Charter& charter, const Genesis& genesis);

}  // namespace mesh::ledger
