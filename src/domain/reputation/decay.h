// Decay: what was earned counts less with every epoch, by the factor exp(-lambda / 1000).
//
// The factor is one number f of 64 bits, exp(-lambda / 1000) * 2^64 to the nearest, and an epoch turns x into
// floor(x * f / 2^64). Several epochs are that step, several times, and nothing else: so it is the same whether somebody
// brings a counter forward by a hundred epochs, or by forty and later by sixty. A closed form for many epochs at once would
// round elsewhere, and who looked more often would see other numbers.
//
// f is the sum of (-lambda / 1000)^k / k! in fixed point with 116 bits behind the point, until a term is 0. Each of its 32
// terms is cut off by less than two units, so the sum is right to 2^-109, and f to half a unit and next to nothing.
//
// After n epochs the difference to x * exp(-lambda * n / 1000) is less than 1500 / lambda + 2, whatever x and n. For the
// steps cut off less than 1 each, of which those before count for less: together less than the sum of all powers of the
// factor, 1000 / lambda + 1. And f is wrong by 2^-65 at most, which n steps make x * n * 2^-65 * factor^(n-1), at most
// 500 / lambda + 1 for any x below 2^64.
//
// Every step takes 1 away at least, so x comes to 0. Bound: 64 ln 2 * 1000 / lambda steps until x is 1, and 1000 / lambda
// more for what the cutting leaves: some 46,000 / lambda, after which nothing is computed, however many epochs there were.
#pragma once

#include <cstdint>

namespace mesh::reputation {

class Decay {
 public:
  /// `lambda` per mille, 0 (nothing decays) to 1000.
  explicit Decay(std::uint32_t lambda);

  /// What is left of `x` after so many epochs.
  [[nodiscard]] std::uint64_t after(std::uint64_t x, std::uint64_t epochs) const;
  /// exp(-lambda / 1000) * 2^64. Of no meaning where lambda is 0.
  [[nodiscard]] std::uint64_t factor() const { return factor_; }

 private:
  bool lasting_;  ///< lambda is 0
  std::uint64_t factor_ = 0;
};

}  // namespace mesh::reputation
