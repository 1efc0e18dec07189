// Where the bytes of a UnixFS file stand: its leaves in the order of the content.
#pragma once

#include <optional>
#include <vector>

#include "adapters/store/block_store.h"

namespace mesh::app {

/// A raw block of a file, and where its bytes stand.
struct FileLeaf {
  Cid cid;
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
};

/// Files of more leaves (1 TiB in the profile's chunks) are refused.
inline constexpr std::size_t max_file_leaves = std::size_t{1} << 20;

/// The leaves of a file all of whose inner nodes are in the store, or of a file of one leaf that is; the leaves of larger
/// ones need not be. nullopt if some of its content lies in its inner nodes. Reads inner nodes on the caller's thread.
/// Errors: not_found (an inner node is not here), invalid (no file, or malformed), exhausted, storage.
[[nodiscard]] Result<std::optional<std::vector<FileLeaf>>> file_layout(const store::BlockStore& blocks, const Cid& root,
                                                                       store::From from = store::From::open);

}  // namespace mesh::app
