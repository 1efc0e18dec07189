// How often a wrong result passes when there are liars enough, measured in whole worlds and beside the formula.
#pragma once

#include <vector>

#include "sim/world.h"

namespace mesh::sim {

struct EscapeRow {
  std::uint32_t colluders = 0;  ///< verifiers that back a lying worker
  std::uint64_t draws = 0;      ///< first rulings on a lying worker's result
  std::uint64_t passed = 0;     ///< of them accepted
  double formula = 0;
  /// How many standard deviations the measured rate is from the formula; 0 where the formula leaves no chance and nothing
  /// else was seen.
  [[nodiscard]] double deviations() const;
};

/// Worlds of `nodes` nodes (one publishes), for every number of colluding verifiers from 0 to all, `worlds` of each whose
/// first worker lies.
[[nodiscard]] std::vector<EscapeRow> measure_escapes(std::uint64_t seed, std::uint32_t nodes, std::uint64_t worlds);

}  // namespace mesh::sim
