// Merkle trees over 32-byte leaves, as RFC 6962 section 2.1 builds them (leaf prefix 0x00, node prefix 0x01), so
// that one commitment can cover many shards and each is provable alone.
// Bound: 2^20 leaves; a proof has at most 20 hashes.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "codec/hash.h"

namespace mesh::merkle {

/// The root over `leaves` (at least one).
[[nodiscard]] Digest root_of(std::span<const Digest> leaves);
/// The audit path of leaf `index`, from the leaf up.
[[nodiscard]] std::vector<Digest> proof_of(std::span<const Digest> leaves, std::size_t index);
/// The audit paths of all leaves, in their order: what proof_of gives for each, in n log n.
[[nodiscard]] std::vector<std::vector<Digest>> proofs_of(std::span<const Digest> leaves);
/// The root that the audit path of `leaf`, number `index` of `count`, leads to. nullopt for a path that fits no such tree.
[[nodiscard]] std::optional<Digest> root_from(const Digest& leaf, std::size_t index, std::size_t count,
                                              std::span<const Digest> proof);
/// Whether `leaf` is number `index` of `count` leaves under `root`.
[[nodiscard]] bool verify(const Digest& root, const Digest& leaf, std::size_t index, std::size_t count,
                          std::span<const Digest> proof);

}  // namespace mesh::merkle
