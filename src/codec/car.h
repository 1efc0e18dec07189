// CAR v1 (https://ipld.io/specs/transport/car/carv1/): a header with roots, then blocks, each with its CID.
//
// The reader takes bytes as they come and checks every block against its CID before it hands it out. A CIDv0 in it
// is handed out as v1 dag-pb. What it refuses: version 2, empty sections, CIDs that are no Cid of ours.
// Bounds: a block of at most 2 MiB, or what the caller says where it knows of larger ones; a header of at most 64 KiB with
// 1 to 1024 roots.
#pragma once

#include "base/error.h"
#include "codec/cid.h"

namespace mesh::car {

struct Block {
  Cid cid;
  Bytes bytes;
};

inline constexpr std::size_t max_block_bytes = std::size_t{2} << 20;

[[nodiscard]] Bytes header(std::span<const Cid> roots);
/// One section, ready to be appended. `max_bytes`: what its reader will take.
[[nodiscard]] Bytes section(const Cid& cid, ByteView block, std::size_t max_bytes = max_block_bytes);

/// An incremental reader. Feed bytes, take blocks; after an error it stays in that error.
class Reader {
 public:
  explicit Reader(std::size_t max_bytes = max_block_bytes) : max_block_bytes_(max_bytes) {}

  /// Takes more bytes. The error (malformed, too large, wrong hash) is final and names the block where it can.
  [[nodiscard]] Status feed(ByteView bytes);
  /// The next complete, verified block, if there is one.
  [[nodiscard]] std::optional<Block> next();
  /// The roots, once the header is in.
  [[nodiscard]] const std::vector<Cid>& roots() const { return roots_; }
  [[nodiscard]] bool has_header() const { return has_header_; }
  /// Whether the input may end here: the header is in and no section is half read.
  [[nodiscard]] bool at_boundary() const { return has_header_ && buffer_.size() == consumed_ && status_.has_value(); }

 private:
  Status parse();

  std::size_t max_block_bytes_;
  Bytes buffer_;
  std::size_t consumed_ = 0;
  bool has_header_ = false;
  std::vector<Cid> roots_;
  std::vector<Block> ready_;
  std::size_t taken_ = 0;
  Status status_{};
};

struct Archive {
  std::vector<Cid> roots;
  std::vector<Block> blocks;
};
[[nodiscard]] Result<Archive> read(ByteView bytes);
[[nodiscard]] Bytes write(const Archive& archive);

}  // namespace mesh::car
