#include "sim/spread.h"

#include <array>

namespace mesh::sim {

namespace {

/// exp(z) at the quantiles (i + 1/2) / 64 of the normal distribution, laid over 0..65536.
constexpr std::array<std::uint32_t, 64> quantiles{
    0,     282,   487,   663,   824,   977,   1124,  1268,  1410,  1550,  1690,  1830,  1971,  2113,  2256,  2401,
    2549,  2699,  2852,  3008,  3167,  3330,  3498,  3669,  3846,  4027,  4214,  4408,  4607,  4814,  5028,  5249,
    5480,  5720,  5970,  6232,  6505,  6792,  7092,  7409,  7743,  8095,  8469,  8867,  9291,  9744,  10231, 10756,
    11325, 11944, 12622, 13370, 14201, 15132, 16188, 17400, 18815, 20500, 22561, 25175, 28671, 33759, 42443, 65536};

}  // namespace

Duration Spread::draw(Random& random) const {
  const std::uint64_t drawn = random.next();
  const std::uint64_t range = high_us - low_us;
  if (shape == Shape::even) return Duration(static_cast<std::int64_t>(low_us + drawn % (range + 1)));
  const std::uint64_t step = drawn % 63;
  const std::uint64_t part = (drawn >> 32) & 1023;  // Between two quantiles a straight line.
  const std::uint64_t at = quantiles[step] * (1024 - part) + quantiles[step + 1] * part;
  return Duration(static_cast<std::int64_t>(low_us + range * at / (65536ULL * 1024)));
}

}  // namespace mesh::sim
