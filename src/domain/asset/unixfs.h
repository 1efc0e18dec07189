// UnixFS (https://specs.ipfs.tech/unixfs/): files and folders as DAGs, by the profile unixfs-v1-2025, so that a file
// has the same CID here and in Kubo: CIDv1, sha2-256, raw leaves, chunks of 1 MiB, balanced trees of at most 1024
// links a node; a file of one chunk is that raw leaf alone. A folder is one block, or where that would be too large a
// tree of shards: folder.h builds and reads both; here is what single blocks say.
//
// Bounds: blocks of at most 2 MiB, and so some 50,000 entries of a plain folder; sizes below 2^63. Symbolic links are not
// built: an error says so. Blocks given to the readers have been checked against their CID by whoever received or stored
// them; DagWalk checks them itself.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "base/error.h"
#include "codec/cid.h"

namespace mesh::asset {

inline constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
inline constexpr std::size_t max_links = 1024;  ///< of a file's inner node, when building
inline constexpr std::size_t max_block_bytes = std::size_t{2} << 20;
inline constexpr std::size_t max_name_bytes = 255;
inline constexpr std::uint64_t max_plain_folder_bytes = std::uint64_t{256} << 10;  ///< of its block, when building
inline constexpr std::uint64_t murmur3_code = 0x22;  ///< the multicodec of murmur3-x64-64 (murmur3.h)
inline constexpr std::uint64_t min_fanout = 8, max_fanout = 1024;  ///< of a shard: a power of two between them

/// Takes a finished block, to be stored. Its error stops the building and is handed on.
using BlockSink = std::function<Status(const Cid&, Bytes block)>;

/// What was built: its name and sizes.
struct Built {
  Cid cid;
  std::uint64_t content_bytes = 0;  ///< of the file; 0 for a folder
  std::uint64_t total_bytes = 0;  ///< of all blocks, each as often as it is linked ("Tsize")
  bool operator==(const Built&) const = default;
};

/// Builds a file from bytes as they come; holds one chunk and at most 1024 links a level. Use: feed..., finish once.
class FileBuilder {
 public:
  explicit FileBuilder(BlockSink sink) : sink_(std::move(sink)) {}
  /// Takes more bytes. An error is the sink's and final.
  [[nodiscard]] Status feed(ByteView bytes);
  /// The file, its last blocks given to the sink.
  [[nodiscard]] Result<Built> finish();

 private:
  Status emit_leaf(ByteView chunk);
  Status push(std::size_t level, const Built& child);
  Status emit_node(std::size_t level);

  BlockSink sink_;
  Bytes chunk_;
  std::vector<std::vector<Built>> levels_;  // What waits for a parent, by height above the leaves.
};

/// Whether `name` can be an entry of a folder: 1 to 255 bytes of UTF-8, not "." or "..", no '/' and no zero byte.
[[nodiscard]] Status check_name(std::string_view name);

/// What a shard puts before the names in `slot`: upper-case hexadecimal, as many digits as fanout - 1 has.
[[nodiscard]] std::string slot_prefix(std::uint32_t slot, std::uint32_t fanout);

struct FolderEntry {
  std::string name;
  Cid cid;
  std::uint64_t total_bytes = 0;
};
/// The size of the plain folder's block: what decides whether it is built so.
[[nodiscard]] std::uint64_t plain_folder_bytes(const std::vector<FolderEntry>& entries);

/// A plain folder's block and name. Errors: invalid (bad or repeated names, sizes past 2^63), unsupported (its block would be
/// larger than max_plain_folder_bytes: build_folder of folder.h makes shards of it).
struct BuiltFolder {
  Built built;
  Bytes block;
};
[[nodiscard]] Result<BuiltFolder> build_directory(std::vector<FolderEntry> entries);

enum class NodeKind : std::uint8_t {
  raw,  ///< a raw block: a leaf, or a file of one chunk
  file,  ///< an inner node of a file, or an old-style leaf with inline data
  directory,  ///< a folder, whole
  shard,  ///< the root or a part of a sharded folder
  record,  ///< dag-cbor
};

struct NodeLink {
  Cid cid;
  std::string name;  ///< of a folder's entry, else empty: so too of a shard's link to another shard
  std::uint64_t bytes = 0;  ///< file: the content below; directory, shard: "Tsize" as its author says; record: 0
  std::uint32_t slot = 0;  ///< of a shard's link: which of the fanout
  bool operator==(const NodeLink&) const = default;
};

struct Node {
  NodeKind kind = NodeKind::raw;
  std::uint64_t content_bytes = 0;  ///< file, raw: the content at and below this node
  std::vector<NodeLink> links;  ///< file: the content follows inline_data in this order; directory: sorted by name;
      ///< shard: by slot
  Bytes inline_data;  ///< the content that the block itself holds
  std::uint32_t fanout = 0;  ///< of a shard
};

[[nodiscard]] constexpr bool is_folder(NodeKind kind) { return kind == NodeKind::directory || kind == NodeKind::shard; }

/// What `block`, named `cid`, is. For files the sizes add up; for folders the names are good and unique in the block; a shard's
/// links are those of its bitfield. Whether a shard's names belong there depends on where it hangs: folder.h checks that.
[[nodiscard]] Result<Node> parse_node(const Cid& cid, ByteView block);

/// The blocks that `block` links to, without repeats, in order. raw: none. dag-pb: every link; one that Meshwork cannot
/// name is an error. dag-cbor: every sha2-256 link to raw, dag-pb or dag-cbor; other links point out of the DAG.
[[nodiscard]] Result<std::vector<Cid>> links_of(const Cid& cid, ByteView block);

struct WalkLimits {
  std::size_t max_depth = 64;  ///< links from the root, along the path by which a block was found first
  std::size_t max_blocks = std::size_t{1} << 20;
  std::uint64_t max_bytes = std::uint64_t{64} << 30;
};

/// Walks the DAG below a root without fetching: says which blocks are wanted, takes them in any order, checks each.
/// Every block is wanted once, however often it is linked, so no shape of links makes it run on.
class DagWalk {
 public:
  explicit DagWalk(const Cid& root, const WalkLimits& limits = {});

  /// Up to `count` wanted blocks, in the order in which they were found.
  [[nodiscard]] std::vector<Cid> wanted(std::size_t count) const;
  [[nodiscard]] bool wants(const Cid& cid) const { return wanted_.contains(cid); }
  [[nodiscard]] bool done() const { return wanted_.empty(); }

  /// Takes a wanted block and finds its links. Errors: not wanted (conflict); wrong hash or malformed (invalid); past a
  /// limit (exhausted). After an error the walk is as before.
  [[nodiscard]] Status take(const Cid& cid, ByteView block);

  [[nodiscard]] std::size_t taken_blocks() const { return found_.size() - wanted_.size(); }
  [[nodiscard]] std::uint64_t taken_bytes() const { return taken_bytes_; }

 private:
  struct Place {
    std::uint64_t order = 0;
    std::size_t depth = 0;
  };

  WalkLimits limits_;
  std::set<Cid> found_;
  std::map<Cid, Place> wanted_;
  std::map<std::uint64_t, Cid> by_order_;
  std::uint64_t next_order_ = 1;
  std::uint64_t taken_bytes_ = 0;
};

}  // namespace mesh::asset
