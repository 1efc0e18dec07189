// The UnixFS message inside a DAG-PB node (https://specs.ipfs.tech/unixfs/#data-format). Strict as dagpb.h: fields in
// order of their numbers, shortest varints, none unknown; decode and encode are inverse on what is accepted.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::asset {

enum class UnixfsType : std::uint8_t { raw = 0, directory = 1, file = 2 };

struct UnixfsData {
  UnixfsType type = UnixfsType::file;
  std::optional<Bytes> data;
  std::optional<std::uint64_t> file_bytes;
  std::vector<std::uint64_t> child_bytes;  ///< "blocksizes": the content below each link
  std::optional<std::uint64_t> mode;       ///< POSIX permissions: read, never applied
  std::optional<Bytes> modified;           ///< a UnixTime message: kept, never read
  bool operator==(const UnixfsData&) const = default;
};

[[nodiscard]] Bytes encode_unixfs(const UnixfsData& data);
/// Metadata, symbolic links and HAMT shards are `unsupported`; all else that is not as above is `invalid`.
[[nodiscard]] Result<UnixfsData> decode_unixfs(ByteView bytes);

}  // namespace mesh::asset
