// Proofs that a Merkle map (merkle_map.h) has an entry, or has none, checked with nothing but the map's root.
//
// The map, to the byte. An entry lies at its *place*, 32 bytes that are a hash of its key, and has a value, of which the map
// knows the SHA-256 of the canonical bytes. With H = SHA-256:
//
//   no entry at all      32 zero bytes
//   one entry            H(00 || place || value digest)
//   two or more          H(01 || left || right): left is the map of the entries whose place has a 0 at the bit that is looked
//                        at, right of those with a 1. Bits are looked at from the first byte's highest one on, one more at
//                        each level down, whether the entries differ in it or not.
//
// So the root says which entries there are, and nothing of how they came there. A proof names the nodes beside the path from
// the root to a place, topmost first, and what the path ends in: the entry asked for, another entry (then there is none for
// this place, since the two would have been parted further down), or nothing.
//
// Bounds: a path has at most 256 steps.
#pragma once

#include "base/error.h"
#include "codec/hash.h"
#include "codec/record.h"

namespace mesh::ledger {

inline constexpr std::size_t max_path = 256;

/// The root of a map with nothing in it.
inline constexpr Digest empty_root{};

[[nodiscard]] Digest leaf_hash(const Digest& place, const Digest& value);
[[nodiscard]] Digest inner_hash(const Digest& left, const Digest& right);
/// The bit of `place` that is looked at on level `depth`, counted from the root.
[[nodiscard]] inline bool goes_right(const Digest& place, std::size_t depth) {
  return (place.data()[depth / 8] >> (7 - depth % 8) & 1) != 0;
}

struct MapProof {
  static constexpr std::string_view type = "map-proof";
  static constexpr std::uint64_t version = 1;

  /// What the path ends in, unless that is nothing.
  struct End {
    Digest place;
    Digest value;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("place", self.place);
      v("value", self.value);
    }
    bool operator==(const End&) const = default;
  };
  std::vector<Digest> beside;  ///< topmost first; at most max_path
  std::optional<End> end;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("beside", self.beside);
    v("end", self.end);
  }
  bool operator==(const MapProof&) const = default;
};

/// Whether `proof` shows that the map with `root` has `value` (a digest) at `place`.
[[nodiscard]] Status check_inclusion(const Digest& root, const Digest& place, const Digest& value,
                                     const MapProof& proof);
/// Whether it shows that the map has nothing at `place`.
[[nodiscard]] Status check_exclusion(const Digest& root, const Digest& place, const MapProof& proof);

}  // namespace mesh::ledger
