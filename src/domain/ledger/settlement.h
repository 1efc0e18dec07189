// What a revealed work comes to: every shard judged by the policy's quorum, and who gets how much of its escrow for it.
//
// A vote is what a seat revealed. Who has a seat and did not reveal has no vote, is missing in the quorum and pays what its
// seat would have earned. After a second drawing the seats of both vote together, and what the second changed is known.
//
// Pure: from a work, its escrow and the policy alone, so a node can say beforehand what the ledger will do.
#pragma once

#include <map>

#include "domain/ledger/escrow.h"
#include "domain/ledger/payment.h"

namespace mesh::ledger {

struct WorkResult {
  std::vector<verification::Decision> decisions;  ///< of each row
  std::uint32_t accepted = 0;
  std::uint32_t rejected = 0;
  std::uint32_t undecided = 0;
  std::map<NodeId, std::uint64_t> earned;  ///< out of the escrow, for accepted shards
  std::uint64_t treasury = 0;
  std::map<NodeId, std::uint64_t> shares;  ///< of that, what each had for verifying
  std::uint64_t publisher = 0;  ///< what of the accepted shards' fee goes back
  std::map<NodeId, std::uint64_t> owed;  ///< by the worker's bond to those who found what is right of rejected shards
  std::map<NodeId, std::uint64_t> silent;  ///< what each that did not reveal has to pay
  std::map<NodeId, std::uint32_t> agreed;  ///< shards on which a seat was with the quorum
  std::map<NodeId, std::uint32_t> against;  ///< and those on which it was against it
  bool overturned = false;  ///< the second drawing's seats changed a decision
};

/// Of a work whose worker has revealed.
[[nodiscard]] WorkResult settle(const Work& work, const Escrow& escrow, const policy::MeshPolicy& policy,
                                std::uint64_t time_ms);
/// Of one that the publisher accepted by itself, since nobody could be drawn.
[[nodiscard]] WorkResult settle_unverified(const Work& work, const Escrow& escrow, const policy::MeshPolicy& policy);

}  // namespace mesh::ledger
