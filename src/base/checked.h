// Arithmetic on amounts that says when it does not fit, instead of going round.
//
// Bounds: unsigned 64 bits. Who gets nullopt names what overflowed; nothing here decides what that means.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

namespace mesh {

/// a + b; nullopt where that is past 2^64-1.
[[nodiscard]] constexpr std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
  if (a > std::numeric_limits<std::uint64_t>::max() - b) return std::nullopt;
  return a + b;
}

/// a - b; nullopt where that is below 0.
[[nodiscard]] constexpr std::optional<std::uint64_t> checked_subtract(std::uint64_t a, std::uint64_t b) {
  if (a < b) return std::nullopt;
  return a - b;
}

/// a * b; nullopt where that is past 2^64-1.
[[nodiscard]] constexpr std::optional<std::uint64_t> checked_multiply(std::uint64_t a, std::uint64_t b) {
  if (a != 0 && b > std::numeric_limits<std::uint64_t>::max() / a) return std::nullopt;
  return a * b;
}

}  // namespace mesh
