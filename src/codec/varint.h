// Unsigned varints (https://github.com/multiformats/unsigned-varint): little-endian groups of seven bits.
// Bound: 63 bits in at most 9 bytes, shortest form alone.
#pragma once

#include "base/bytes.h"

namespace mesh {

enum class VarintState : std::uint8_t {
  complete,
  incomplete,  ///< the bytes end inside the varint
  invalid,     ///< longer than needed, or past 63 bits
};

struct Varint {
  VarintState state = VarintState::incomplete;
  std::uint64_t value = 0;
  std::size_t size = 0;  ///< bytes read, when complete
};

/// The varint that `bytes` begin with.
[[nodiscard]] constexpr Varint read_varint(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 9; ++i) {
    if (i == bytes.size()) return {VarintState::incomplete, 0, 0};
    value |= std::uint64_t{bytes[i] & 0x7fU} << (7 * i);
    if (bytes[i] < 0x80) {
      if (bytes[i] == 0 && i > 0) return {VarintState::invalid, 0, 0};
      return {VarintState::complete, value, i + 1};
    }
  }
  return {VarintState::invalid, 0, 0};
}

/// Appends `value`, which is below 2^63 (every length in memory is).
constexpr void append_varint(Bytes& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
  out.push_back(static_cast<std::uint8_t>(value));
}

/// How many bytes append_varint writes for `value`.
[[nodiscard]] constexpr std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace mesh
