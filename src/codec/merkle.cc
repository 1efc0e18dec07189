#include "codec/merkle.h"

#include "base/check.h"

namespace mesh::merkle {

namespace {

constexpr std::size_t max_leaves = std::size_t{1} << 20;
constexpr std::array<std::uint8_t, 1> leaf_prefix{0};
constexpr std::array<std::uint8_t, 1> node_prefix{1};

Digest leaf_hash(const Digest& leaf) { return sha256({leaf_prefix, leaf.view()}); }
Digest node_hash(const Digest& left, const Digest& right) { return sha256({node_prefix, left.view(), right.view()}); }

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

}  // namespace mesh::merkle
