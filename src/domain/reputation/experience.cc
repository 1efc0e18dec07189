#include "domain/reputation/experience.h"

namespace mesh::reputation {

namespace {

constexpr std::uint64_t most_fuel = 1000 * Experience::half_trust_fuel;  // More earns no more.

}  // namespace

void Experience::earned(const identity::NodeId& node, std::uint64_t fuel) {
  const auto known = fuel_.find(node);
  if (known == fuel_.end()) {
    if (fuel_.size() < max_nodes) fuel_.emplace(node, std::min(fuel, most_fuel));
    return;
  }
  known->second = std::min(most_fuel, known->second + std::min(fuel, most_fuel));
}

std::uint32_t Experience::trust(const identity::NodeId& node) const {
  const auto known = fuel_.find(node);
  if (known == fuel_.end()) return 0;
  return static_cast<std::uint32_t>(1000 * known->second / (known->second + half_trust_fuel));
}

}  // namespace mesh::reputation
