// Spread: how a duration varies. Integers only, so that a seed gives the same durations on every machine.
//
// `even` is uniform in [low, high]. `tailed` has the shape of a log-normal distribution (sigma 1) cut at its 1/128 and
// 127/128 quantiles and laid over [low, high]: half of the draws lie in the lowest 9 percent of the range, three in a
// hundred in its upper half.
#pragma once

#include "base/time.h"
#include "sim/random.h"

namespace mesh::sim {

enum class Shape : std::uint8_t { even, tailed };

struct Spread {
  std::uint64_t low_us = 0;
  std::uint64_t high_us = 0;  ///< at least low_us
  Shape shape = Shape::even;

  /// Takes one number from `random`, whatever the spread is.
  [[nodiscard]] Duration draw(Random& random) const;
};

}  // namespace mesh::sim
