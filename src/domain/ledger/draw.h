// The draw of verifiers by a ledger's beacon: for each shard of a worker's commitment an order of nodes, the first of which have
// the seats; the others are substitutes.
//
// Who is in it is what the ledger says of its members at the block with the commitment; the seed is the beacon of the
// block after it, which nobody knew then (protocols.md, "Sortition by the ledger"). Integers alone, so that everybody comes to
// the same order.
//
// Bounds: what is drawn for a shard is `width` nodes; a drawing costs width * log2(candidates) for each shard.
#pragma once

#include <vector>

#include "domain/verification/sortition.h"

namespace mesh::ledger {

using identity::NodeId;

/// What one shard's order is drawn from.
[[nodiscard]] Digest seat_seed(const Digest& beacon, const Cid& commitment, std::uint32_t shard);

class Drawing {
 public:
  /// `eligible` ascending by node, each with a weight of at least 1. Left out are `worker`, `publisher` and who is in `without`
  /// (ascending); nodes that the worker's or the publisher's owner owns come only after all others.
  Drawing(const std::vector<verification::Member>& eligible, const verification::Member& worker,
          const verification::Member& publisher, const std::vector<NodeId>& without);

  [[nodiscard]] std::size_t size() const { return others_.members.size() + last_resort_.members.size(); }
  /// How many there are before one has to be of the worker's or the publisher's owner.
  [[nodiscard]] std::size_t others() const { return others_.members.size(); }
  /// The first `width` of the order of a shard: a weighted draw without replacement.
  [[nodiscard]] std::vector<const verification::Member*> order(const Digest& seed, std::size_t width);

 private:
  /// Nodes with the sums of their weights (a Fenwick tree), so that one is found and taken out in log2 steps.
  struct Pool {
    std::vector<const verification::Member*> members;
    std::vector<std::uint64_t> sums;  ///< from 1
    std::uint64_t total = 0;

    void add(const verification::Member& member);
    void build();
    void change(std::size_t at, std::uint64_t by);  ///< `by` modulo 2^64: to take a weight out and to put it back
    [[nodiscard]] std::size_t find(std::uint64_t weight) const;
    void draw(const Digest& seed, std::size_t width, std::vector<const verification::Member*>& out);
  };

  Pool others_;
  Pool last_resort_;
};

}  // namespace mesh::ledger
