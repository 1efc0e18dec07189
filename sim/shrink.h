// Shrinking: from a plan that fails to a smaller one that fails in the same way, by trying.
#pragma once

#include <functional>

#include "sim/plan.h"

namespace mesh::sim {

/// `fails` runs a plan and says whether it fails as the first did. At most `tries` runs. What is tried, until nothing
/// helps any more: every fault left out, then everything that is counted or lasts halved, then less halved.
[[nodiscard]] Plan shrink(Plan plan, const std::function<bool(const Plan&)>& fails, std::uint32_t tries);

}  // namespace mesh::sim
