#include "domain/asset/murmur3.h"

#include <bit>

namespace mesh::asset {

namespace {

constexpr std::uint64_t first_factor = 0x87c37b91114253d5;
constexpr std::uint64_t second_factor = 0x4cf5ad432745937f;
constexpr std::size_t step_bytes = 16;

/// Up to eight bytes as a number, the first of them lowest.
std::uint64_t little_endian(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
  return value;
}

std::uint64_t mix_first(std::uint64_t word) { return std::rotl(word * first_factor, 31) * second_factor; }
std::uint64_t mix_second(std::uint64_t word) { return std::rotl(word * second_factor, 33) * first_factor; }

std::uint64_t finish(std::uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccd;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53;
  return value ^ value >> 33;
}

}  // namespace

std::uint64_t murmur3_x64_64(ByteView bytes) {
  const std::uint64_t size = bytes.size();
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  for (; bytes.size() >= step_bytes; bytes = bytes.subspan(step_bytes)) {
    first ^= mix_first(little_endian(bytes.first(8)));
    first = (std::rotl(first, 27) + second) * 5 + 0x52dce729;
    second ^= mix_second(little_endian(bytes.subspan(8, 8)));
    second = (std::rotl(second, 31) + first) * 5 + 0x38495ab5;
  }
  const std::size_t low = std::min<std::size_t>(bytes.size(), 8);
  second ^= mix_second(little_endian(bytes.subspan(low)));  // Of nothing: 0.
  first ^= mix_first(little_endian(bytes.first(low)));
  first ^= size;
  second ^= size;
  first += second;
  second += first;
  return finish(first) + finish(second);
}

}  // namespace mesh::asset
