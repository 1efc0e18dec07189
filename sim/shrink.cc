#include "sim/shrink.h"

#include <algorithm>
#include <array>

namespace mesh::sim {

Plan shrink(Plan plan, const std::function<bool(const Plan&)>& fails, std::uint32_t tries) {
  const auto attempt = [&](const PlanEntry& entry, std::uint64_t value) {
    if (tries == 0 || value >= entry.of(plan) || value < entry.low) return false;
    Plan smaller = plan;
    entry.at(smaller) = value;
    if (!check_plan(smaller)) return false;
    --tries;
    if (!fails(smaller)) return false;
    plan = smaller;
    return true;
  };
  constexpr std::array<std::string_view, 5> sizes{"load-s", "nodes", "jobs", "shards", "degree"};
  for (bool better = true; better && tries > 0;) {
    better = false;
    for (const PlanEntry& entry : plan_entries()) {
      if (entry.fault) better = attempt(entry, 0) || better;
    }
    for (const PlanEntry& entry : plan_entries()) {
      if (!entry.fault && std::ranges::find(sizes, entry.name) == sizes.end()) continue;
      // By half as long as that fails; then by a quarter.
      while (attempt(entry, entry.of(plan) / 2)) better = true;
      while (attempt(entry, entry.of(plan) - entry.of(plan) / 4)) better = true;
    }
  }
  return plan;
}

}  // namespace mesh::sim
