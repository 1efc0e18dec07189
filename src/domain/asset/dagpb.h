// DAG-PB (https://ipld.io/specs/codecs/dag-pb/spec/): the node of links and bytes under UnixFS.
//
// Strict: the canonical form alone (links before data, each link's fields in order, links sorted by name, shortest
// varints, names in UTF-8, no unknown or repeated fields), so that decode and encode are inverse on what is accepted.
// Bounds: 2 MiB in all; a varint has 63 bits.
#pragma once

#include <optional>

#include "base/error.h"
#include "codec/cid.h"

namespace mesh::dagpb {

inline constexpr std::size_t max_block_bytes = std::size_t{2} << 20;

struct Link {
  Bytes cid;                                ///< any structurally valid CID, in binary
  std::optional<std::string> name;          ///< absent and empty are different bytes
  std::optional<std::uint64_t>
      total_bytes;  ///< "Tsize": the linked DAG's blocks together, as its author says; below 2^63
  bool operator==(const Link&) const = default;
};

struct Node {
  std::vector<Link> links;  ///< sorted by name, an absent one as the empty one
  std::optional<Bytes> data;
  bool operator==(const Node&) const = default;
};

/// The canonical bytes. The node must be one that decode accepts.
[[nodiscard]] Bytes encode(const Node& node);
/// The whole of `block`. The error says what was wrong.
[[nodiscard]] Result<Node> decode(ByteView block);

}  // namespace mesh::dagpb
