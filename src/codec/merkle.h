// Merkle trees over 32-byte leaves, as RFC 6962 section 2.1 builds them (leaf prefix 0x00, node prefix 0x01), so
// that one commitment can cover many shards.
// Bound: 2^20 leaves.
#pragma once

#include <span>

#include "codec/hash.h"

namespace mesh::merkle {

/// The root over `leaves` (at least one).
[[nodiscard]] Digest root_of(std::span<const Digest> leaves);

}  // namespace mesh::merkle
