// Experience: a node's own book on what others' work for it turned out to be. It decides how many verifiers the node asks
// for where something is at stake (verification::seats_for), and nothing that others have to agree on: that is reputation.
//
// Earned is fuel that a quorum confirmed, so trust cannot be had for less work than it is worth; one lie loses all of it.
// Bound: max_nodes; nodes beyond it are trusted as newcomers are.
#pragma once

#include <map>

#include "domain/identity/identity.h"

namespace mesh::reputation {

class Experience {
 public:
  static constexpr std::size_t max_nodes = 65'536;
  /// Confirmed fuel that earns half of all trust: some ten minutes of a core.
  static constexpr std::uint64_t half_trust_fuel = 1'000'000'000'000;

  /// A quorum confirmed so much work of the node's.
  void earned(const identity::NodeId& node, std::uint64_t fuel);
  /// A verdict found against the node.
  void lost(const identity::NodeId& node) { fuel_.erase(node); }
  /// 0 (never heard of, or found lying since) to 999: 1000 * fuel / (fuel + half_trust_fuel).
  [[nodiscard]] std::uint32_t trust(const identity::NodeId& node) const;

 private:
  std::map<identity::NodeId, std::uint64_t> fuel_;
};

}  // namespace mesh::reputation
