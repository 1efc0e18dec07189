#include "domain/asset/token_bucket.h"

#include <algorithm>

#include "base/check.h"

namespace mesh::asset {

namespace {

constexpr std::uint64_t us_per_s = 1'000'000;

}  // namespace

TokenBucket::TokenBucket(std::uint64_t bytes_per_s, std::uint64_t burst_bytes) : bytes_per_s_(bytes_per_s) {
  MESH_CHECK(bytes_per_s >= 1 && bytes_per_s <= max_rate && burst_bytes <= max_take, "token-bucket-bounds");
  burst_ = Duration(static_cast<Duration::rep>(burst_bytes * us_per_s / bytes_per_s));
}

Instant TokenBucket::take(std::uint64_t bytes, Instant now) {
  MESH_CHECK(bytes <= max_take, "token-bucket-take");
  const std::uint64_t cost = bytes * us_per_s + rest_;
  rest_ = cost % bytes_per_s_;
  paid_at_ = std::max(paid_at_, now - burst_) + Duration(static_cast<Duration::rep>(cost / bytes_per_s_));
  return std::max(now, paid_at_);
}

}  // namespace mesh::asset
