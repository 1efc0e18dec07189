// One sortition round, checked from its records alone: the same code serves the publisher that draws, the verifier that
// asks whether it was drawn, and whoever checks a proof bundle offline.
#pragma once

#include <map>

#include "domain/market/records.h"
#include "domain/verification/nonce_chain.h"
#include "domain/verification/records.h"
#include "domain/verification/sortition.h"

namespace mesh::verification {

/// Who is in: the intent, the roster and its offers, all checked against one another.
struct Field {
  Signed<task::TaskIntent> intent;
  Signed<market::Roster> roster;
  std::vector<Signed<market::ComputeOffer>> offers;  ///< in the order of the roster
  /// What was seen of the chains of the members and the publisher: a memory alone, no part of what the field is.
  mutable std::map<NodeId, ChainChecker> chains;
  [[nodiscard]] ChainChecker& chain_of(const NodeId& node, const Digest& tip) const {
    return chains.try_emplace(node, tip).first->second;
  }

  [[nodiscard]] const Signed<market::ComputeOffer>* offer_of(const NodeId& node) const;
  [[nodiscard]] const Signed<market::ComputeOffer>* offer(const Cid& cid) const;
};

/// Checks that the roster is the publisher's, names exactly `offers`, all of them for this intent, by different nodes,
/// none the publisher's, none refusable (market::check_offer).
[[nodiscard]] Result<Field> make_field(Signed<task::TaskIntent> intent, Signed<market::Roster> roster,
                                       std::vector<Signed<market::ComputeOffer>> offers);

/// A round whose seed is known.
struct DrawnRound {
  Signed<RoundOpen> open;
  Signed<Draw> draw;
  Digest seed;
  std::vector<Member> members;  ///< in the order of the roster
  Member publisher;
  std::uint32_t sample = 0;  ///< the intent's

  /// The drawn order for a shard of `commitment`, whose worker is `worker`.
  [[nodiscard]] SeatOrder order(const Cid& commitment, std::uint32_t shard, const NodeId& worker) const;
  /// Those of the shards of `commitment` (all of them, ascending) that have seats.
  [[nodiscard]] std::vector<std::uint32_t> verified(const Cid& commitment,
                                                    const std::vector<std::uint32_t>& shards) const;
  /// Seats on each of these; 0 if the commitment is not of this round.
  [[nodiscard]] std::uint32_t seats(const Cid& commitment) const;
};

/// Checks open, reveals and draw against the field (signers, rounds, hash chains, order) and computes the seed.
[[nodiscard]] Result<DrawnRound> make_round(const Field& field, const Signed<RoundOpen>& open,
                                            const std::vector<Signed<NonceReveal>>& reveals, const Signed<Draw>& draw);

/// Checks one reveal against the field: a member's, for this open, and its link leads to the tip of the member's offer.
[[nodiscard]] Status check_reveal(const Field& field, const Signed<RoundOpen>& open, const Signed<NonceReveal>& reveal);

/// What a Substitution or an Extension does to the seats of these shards.
struct SeatChange {
  std::vector<std::uint32_t> shards;  ///< ascending
  std::optional<NodeId> lost;  ///< of a substitution: who has no seat on them any more
  std::uint32_t wanted = 0;  ///< of an extension: seats in all
};

/// The seats of one shard as they stand: the first `wanted` of the order that did not lose theirs.
struct Seats {
  SeatOrder order;
  std::uint32_t wanted = 0;
  std::vector<NodeId> lost;

  /// Follows a change, if it is of `shard`.
  void follow(const SeatChange& change, std::uint32_t shard);
  [[nodiscard]] std::vector<NodeId> current() const;
  /// Whether there are `wanted` of them.
  [[nodiscard]] bool complete() const { return current().size() == wanted; }
  [[nodiscard]] bool holds(const NodeId& node) const;
  /// Whether one of the current seats is of the worker's or the publisher's owner.
  [[nodiscard]] bool same_owner() const;
};

}  // namespace mesh::verification
