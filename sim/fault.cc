#include "sim/fault.h"

namespace mesh::sim {

std::span<const std::string_view, fault_count> fault_names() {
  static constexpr std::array<std::string_view, fault_count> names{
      "loss",         "duplication",  "reordering", "partition",   "one-way",           "crash",
      "lost-write",   "torn-sync",    "churn",      "clock-jump",  "disk-stall",        "slow-run",
      "failed-fetch", "wrong-result", "collusion",  "lazy-answer", "copied-commitment", "no-reveal",
      "early-reveal", "late-reveal",  "replay",     "flood",       "sybil-offer",       "forged-draw"};
  return names;
}

}  // namespace mesh::sim
