#include "codec/merkle.h"

#include <bit>

#include "base/check.h"

namespace mesh::merkle {

namespace {

constexpr std::size_t max_leaves = std::size_t{1} << 20;
constexpr std::size_t max_proof = 20;
constexpr std::array<std::uint8_t, 1> leaf_prefix{0};
constexpr std::array<std::uint8_t, 1> node_prefix{1};

Digest leaf_hash(const Digest& leaf) { return sha256({leaf_prefix, leaf.view()}); }
Digest node_hash(const Digest& left, const Digest& right) { return sha256({node_prefix, left.view(), right.view()}); }

/// The largest power of two below `count`, which is at least 2: where RFC 6962 splits.
std::size_t split_of(std::size_t count) { return std::bit_floor(count - 1); }

}  // namespace

Digest root_of(std::span<const Digest> leaves) {
  MESH_CHECK(!leaves.empty() && leaves.size() <= max_leaves, "merkle-leaf-count");
  // Level by level; the odd one out goes up as it is, which gives the tree of RFC 6962's recursive definition.
  std::vector<Digest> level;
  level.reserve(leaves.size());
  for (const Digest& leaf : leaves) level.push_back(leaf_hash(leaf));
  while (level.size() > 1) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < level.size(); i += 2) {
      level[kept++] = i + 1 < level.size() ? node_hash(level[i], level[i + 1]) : level[i];
    }
    level.resize(kept);
  }
  return level[0];
}

std::vector<Digest> proof_of(std::span<const Digest> leaves, std::size_t index) {
  MESH_CHECK(index < leaves.size() && leaves.size() <= max_leaves, "merkle-proof-index");
  std::vector<Digest> proof;
  while (leaves.size() > 1) {  // From the root down, hence reversed at the end.
    const std::size_t split = split_of(leaves.size());
    if (index < split) {
      proof.push_back(root_of(leaves.subspan(split)));
      leaves = leaves.first(split);
    } else {
      proof.push_back(root_of(leaves.first(split)));
      leaves = leaves.subspan(split);
      index -= split;
    }
  }
  std::ranges::reverse(proof);
  return proof;
}

std::vector<std::vector<Digest>> proofs_of(std::span<const Digest> leaves) {
  MESH_CHECK(!leaves.empty() && leaves.size() <= max_leaves, "merkle-leaf-count");
  std::vector<std::vector<Digest>> proofs(leaves.size());
  std::vector<Digest> level;
  level.reserve(leaves.size());
  for (const Digest& leaf : leaves) level.push_back(leaf_hash(leaf));
  for (std::size_t height = 0; level.size() > 1; ++height) {
    for (std::size_t leaf = 0; leaf < leaves.size(); ++leaf) {
      const std::size_t sibling = (leaf >> height) ^ 1;
      if (sibling < level.size()) proofs[leaf].push_back(level[sibling]);  // Else it is the odd one that goes up.
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < level.size(); i += 2) {
      level[kept++] = i + 1 < level.size() ? node_hash(level[i], level[i + 1]) : level[i];
    }
    level.resize(kept);
  }
  return proofs;
}

// RFC 9162, section 2.1.3.2 (the same tree as RFC 6962's).
std::optional<Digest> root_from(const Digest& leaf, std::size_t index, std::size_t count,
                                std::span<const Digest> proof) {
  if (count > max_leaves || index >= count || proof.size() > max_proof) return std::nullopt;
  std::size_t node = index;
  std::size_t last = count - 1;
  Digest hash = leaf_hash(leaf);
  for (const Digest& sibling : proof) {
    if (last == 0) return std::nullopt;
    if ((node & 1) == 1 || node == last) {
      hash = node_hash(sibling, hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      hash = node_hash(hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 ? std::optional(hash) : std::nullopt;
}

bool verify(const Digest& root, const Digest& leaf, std::size_t index, std::size_t count,
            std::span<const Digest> proof) {
  return root_from(leaf, index, count, proof) == root;
}

}  // namespace mesh::merkle
