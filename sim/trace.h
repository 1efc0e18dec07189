// Trace: a running hash of everything that happens, in order. Two runs whose traces are equal did the same. It guards
// against differences, not against adversaries, so it is a fast mix and no cryptographic hash.
#pragma once

#include "base/bytes.h"

namespace mesh::sim {

class Trace {
 public:
  void add(std::uint64_t word) {
    high_ = (high_ ^ word) * 0x9e3779b97f4a7c15ULL;
    low_ = (low_ + (high_ ^ (high_ >> 29))) * 0xbf58476d1ce4e5b9ULL;
    high_ ^= low_ >> 31;
  }
  void add(ByteView bytes) {
    add(bytes.size());
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
      std::uint64_t word = 0;
      for (std::size_t i = 0; i < 8; ++i) word |= std::uint64_t{bytes[at + i]} << (8 * i);
      add(word);
    }
    std::uint64_t rest = 0;
    for (; at < bytes.size(); ++at) rest = rest << 8 | bytes[at];
    add(rest);
  }
  [[nodiscard]] std::uint64_t value() const { return high_ ^ low_; }

 private:
  std::uint64_t high_ = 0x6d657368776f726bULL;
  std::uint64_t low_ = 0x73696d756c61746fULL;
};

}  // namespace mesh::sim
