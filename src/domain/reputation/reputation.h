// Reputation: how much a node's word weighs, from 0 to 1000. Derived from ledger facts alone; while there is no
// ledger there are no such facts, and every node weighs the same.
#pragma once

#include "domain/identity/identity.h"
#include "domain/policy/policy.h"

namespace mesh::reputation {

/// The scores at one moment. Without a ledger: `uniform_score` for everyone.
class ReputationSnapshot {
 public:
  static constexpr std::uint32_t uniform_score = 500;

  [[nodiscard]] std::uint32_t score_of(const identity::NodeId&) const { return uniform_score; }
};

}  // namespace mesh::reputation
