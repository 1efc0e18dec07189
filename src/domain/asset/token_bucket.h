// A bound on bytes per second, as a token bucket: what was not used lately may be used at once, up to the burst.
//
// Whoever takes bytes always gets them, and is told when they may go: a bucket that is empty goes into debt, so that a piece
// larger than the burst passes too, and those that wait are served in their order. Fed with the time: the same calls give the
// same answers. Time that goes backwards counts as standing still.
// Bounds: a rate of 1 to max_rate bytes a second; max_take bytes at a time.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace mesh::asset {

class TokenBucket {
 public:
  static constexpr std::uint64_t max_rate = std::uint64_t{1} << 40;
  static constexpr std::uint64_t max_take = std::uint64_t{1} << 32;

  /// Full at the beginning.
  TokenBucket(std::uint64_t bytes_per_s, std::uint64_t burst_bytes);

  /// From when on the bytes may go: `now`, or later.
  [[nodiscard]] Instant take(std::uint64_t bytes, Instant now);
  /// Whether it is full, as a new one is.
  [[nodiscard]] bool is_full(Instant now) const { return paid_at_ <= now - burst_; }

 private:
  std::uint64_t bytes_per_s_;
  Duration burst_;  ///< in which the bucket fills
  Instant paid_at_ = Instant::min();  ///< when all that was taken has come in; the bucket is full a burst after it
  std::uint64_t rest_ = 0;  ///< of the division, so that nothing is lost by rounding
};

}  // namespace mesh::asset
