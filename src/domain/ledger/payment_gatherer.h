// Gathers what shows a publisher's payments (payment_proof.h) while a ledger goes from block to block: at the next one it may be
// gone, since the ledger forgets draws and answers when a work ends, and the past states with every block.
//
// It is told of every block twice: before the block changes the state, since of a work that ends what stood before is shown, and of a
// draw who was eligible then; and afterwards. For the changes of the set of validators it has to be told of all blocks
// from the first one on, or from where the ValidatorHops that it begins with end, be they new or read from storage.
//
// Bounds: max_hops changes of the set of validators; what a block shows of the intents that are asked for.
#pragma once

#include <set>

#include "domain/ledger/payment_proof.h"

namespace mesh::ledger {

class PaymentGatherer {
 public:
  PaymentGatherer() = default;
  /// From a block on, up to which the validators changed so.
  explicit PaymentGatherer(ValidatorHops hops) : hops_(std::move(hops)) {}

  /// Before `block` changes `before`. Shown is what concerns `intents` that `publisher` locked for.
  void committing(const State& before, const OpenedBlock& block, const Draft& draft, ByteView certificate,
                  const NodeId& publisher, const std::set<Cid>& intents);
  /// After it has. Answers with what this block showed.
  [[nodiscard]] std::vector<PaymentPart> committed(const State& after);

  /// The escrow and the open works of an intent as they stand in the state after the last block.
  [[nodiscard]] PaymentPart standing(const State& state, const Cid& intent) const;
  /// Puts the changes of the set of validators up to the last block into a proof.
  void add_hops(PaymentProof& proof, ProofBlocks& blocks) const;

 private:
  using Head = ValidatorHops::Head;
  template <class Map>
  static std::optional<Cid> show(PaymentPart& part, const Head& head, const StateSummary& summary, const Map& table,
                                 const Digest& key);
  void show_drawing(PaymentPart& part, const State& before, const Work& work, const Escrow& escrow,
                    std::map<Digest, std::vector<Cid>>& eligible) const;

  ValidatorHops hops_;  ///< and the last block
  std::map<Cid, PaymentPart> parts_;  ///< of the block that is being committed, by intent
  std::vector<Digest> ended_;  ///< works that end with it
  std::vector<Digest> paid_;  ///< escrows that do
};

}  // namespace mesh::ledger
