// Sortition: who verifies a shard, drawn after the worker has committed, from a seed that nobody chose alone.
//
// The bias that is left without a ledger (docs/design/protocols.md): the publisher, who collects the reveals, can claim that
// some members withheld theirs, and so has as many tries as there are subsets it dares to name; a worker and a publisher
// who collude therefore can choose. Against a worker with colluding verifiers and an honest publisher there is none.
#pragma once

#include <vector>

#include "codec/hash.h"
#include "domain/identity/identity.h"

namespace mesh::verification {

using identity::NodeId;

/// A member of the roster, as the draw sees it.
struct Member {
  NodeId node;
  std::string owner;  ///< did of the owner; empty = itself
  std::uint32_t weight = 1;  ///< reputation; 0 is drawn only when nobody else is left
  bool withheld = false;  ///< has no seat in this round
};

/// An owner that is not named is the node itself, by its did.
[[nodiscard]] bool same_owner(const Member& a, const Member& b);

/// The round's seed: the RoundOpen, the publisher's link, and each member's link (or withheld_link) in roster order.
[[nodiscard]] Digest round_seed(const Cid& open, const Digest& publisher_link, const std::vector<Digest>& member_links);

struct SeatOrder {
  std::vector<NodeId> nodes;  ///< seats go to the first; the others are substitutes, in this order
  std::size_t same_owner_from;  ///< from here on: nodes of the worker's or the publisher's owner, the last resort
};

/// The order for one shard of one commitment: a weighted draw without replacement from the members, less the worker, the
/// publisher and those that withheld. Integer arithmetic alone, so that everybody computes the same.
[[nodiscard]] SeatOrder seat_order(const Digest& seed, const Cid& commitment, std::uint32_t shard,
                                   const std::vector<Member>& members, const Member& worker, const Member& publisher);

/// Of the shards of a commitment (ascending), those that are re-executed: each with a probability of `per_mille`, by itself:
/// those whose H(seed, commitment, shard) begins with a number of 64 bits in the lowest so many thousandths.
[[nodiscard]] std::vector<std::uint32_t> sample_of(const Digest& seed, const Cid& commitment,
                                                   const std::vector<std::uint32_t>& shards, std::uint32_t per_mille);

}  // namespace mesh::verification
