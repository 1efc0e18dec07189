// The UnixFS message inside a DAG-PB node (https://specs.ipfs.tech/unixfs/#data-format). Strict as dagpb.h: fields in
// order of their numbers, shortest varints, none unknown; decode and encode are inverse on what is accepted.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::asset {

/// HAMT: a part of a sharded folder (folder.h).
enum class UnixfsType : std::uint8_t { raw = 0, directory = 1, file = 2, hamt = 5 };

struct UnixfsData {
  UnixfsType type = UnixfsType::file;
  std::optional<Bytes> data;
  std::optional<std::uint64_t> file_bytes;
  std::vector<std::uint64_t> child_bytes;  ///< "blocksizes": the content below each link
  std::optional<std::uint64_t> hash_type;  ///< of hamt: the multicodec of what places names
  std::optional<std::uint64_t> fanout;     ///< of hamt: the number of slots
  std::optional<std::uint64_t> mode;       ///< POSIX permissions: read, never applied
  std::optional<Bytes> modified;           ///< a UnixTime message: kept, never read
  bool operator==(const UnixfsData&) const = default;
};

[[nodiscard]] Bytes encode_unixfs(const UnixfsData& data);
/// Metadata and symbolic links are `unsupported`; all else that is not as above is `invalid`, and so is a hash type or a
/// fanout of what is not hamt, or a hamt without one of them.
[[nodiscard]] Result<UnixfsData> decode_unixfs(ByteView bytes);

}  // namespace mesh::asset
