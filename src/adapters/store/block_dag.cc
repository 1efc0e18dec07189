// What the block store reads as DAGs: files and folders of UnixFS (domain/asset).
#include <fmt/format.h>

#include "adapters/store/block_store.h"
#include "domain/asset/folder.h"

namespace mesh::store {
namespace {

// A balanced file of 2^63 bytes is seven levels deep; others may build deeper ones, but not without end.
constexpr std::size_t max_file_depth = 64;
constexpr std::size_t max_folder_depth = 64;

struct FileReader {
  const BlockReader& blocks;
  std::uint64_t max_bytes;
  const std::function<Status(ByteView)>& sink;
  std::uint64_t given = 0;

  Status give(ByteView bytes) {
    if (bytes.size() > max_bytes - given)
      return fail(ErrorCode::exhausted, fmt::format("the file is larger than the {} bytes allowed", max_bytes));
    given += bytes.size();
    return bytes.empty() ? Status() : sink(bytes);
  }

  /// Gives exactly `expected` bytes, where the parent said how many there are: so a DAG that links the same nodes again
  /// and again cannot make more of them than its root claims.
  Status read(const Cid& cid, std::optional<std::uint64_t> expected, std::size_t depth) {
    if (depth > max_file_depth)
      return fail(ErrorCode::exhausted, fmt::format("the file at {} is nested too deep", cid.text()));
    MESH_LET(const BlockBytes block, blocks(cid));
    MESH_LET(const asset::Node node, asset::parse_node(cid, *block));
    if (node.kind != asset::NodeKind::raw && node.kind != asset::NodeKind::file) {
      return fail(ErrorCode::invalid, fmt::format("{} is not a file", cid.text()));
    }
    if (expected && node.content_bytes != *expected) {
      return fail(ErrorCode::invalid, fmt::format("the file's part {} holds {} bytes where its parent names {}",
                                                  cid.text(), node.content_bytes, *expected));
    }
    if (node.content_bytes > max_bytes - given) {
      return fail(ErrorCode::exhausted, fmt::format("the file is larger than the {} bytes allowed", max_bytes));
    }
    MESH_TRY(give(node.inline_data));
    for (const asset::NodeLink& link : node.links) {
      // An empty part adds nothing, and a tree of empty parts could be walked for ever.
      if (link.bytes > 0) MESH_TRY(read(link.cid, link.bytes, depth + 1));
    }
    return {};
  }
};

struct TreeReader {
  const BlockStore& blocks;
  From from;
  std::size_t max_entries;
  std::map<std::string, Cid> files;
  std::size_t entries = 0;

  Status read(const Cid& cid, const std::string& path, std::size_t depth) {
    if (depth > max_folder_depth)
      return fail(ErrorCode::exhausted, fmt::format("the folder \"{}\" is nested too deep", path));
    // Counted with folders, so that empty folders upon empty folders have an end too.
    if (++entries > max_entries)
      return fail(ErrorCode::exhausted, fmt::format("the folder has more than {} entries", max_entries));
    MESH_LET(const asset::Node node, parse(cid));
    switch (node.kind) {
      case asset::NodeKind::raw:
      case asset::NodeKind::file:
        files.emplace(path, cid);
        return {};
      case asset::NodeKind::record:
        return fail(ErrorCode::invalid, fmt::format("\"{}\" ({}) is a record, not a file or folder", path, cid.text()));
      case asset::NodeKind::directory:
      case asset::NodeKind::shard:
        break;
    }
    const auto visit = [&](const asset::NodeLink& entry) {
      return read(entry.cid, path.empty() ? entry.name : path + "/" + entry.name, depth + 1);
    };
    return asset::visit_folder(node, [this](const Cid& shard) { return parse(shard); }, visit);
  }

  [[nodiscard]] Result<asset::Node> parse(const Cid& cid) const {
    MESH_LET(const BlockBytes block, blocks.get(cid, from));
    return asset::parse_node(cid, *block);
  }
};

}  // namespace

Status read_dag_file(const BlockReader& blocks, const Cid& root, std::uint64_t max_bytes,
                     const std::function<Status(ByteView)>& sink) {
  FileReader reader{.blocks = blocks, .max_bytes = max_bytes, .sink = sink};
  return reader.read(root, std::nullopt, 0);
}

Status BlockStore::read_dag_file(const Cid& root, std::uint64_t max_bytes, const std::function<Status(ByteView)>& sink,
                                 From from) const {
  return store::read_dag_file([&](const Cid& cid) { return get(cid, from); }, root, max_bytes, sink);
}

Result<Bytes> BlockStore::read_dag_file(const Cid& root, std::uint64_t max_bytes, From from) const {
  Bytes whole;
  const auto add = [&whole](ByteView part) -> Status {
    append(whole, part);
    return {};
  };
  MESH_TRY(read_dag_file(root, max_bytes, add, from));
  return whole;
}

Result<std::map<std::string, Cid>> BlockStore::collect_tree(const Cid& root, From from, std::size_t max_entries) const {
  TreeReader reader{.blocks = *this, .from = from, .max_entries = max_entries, .files = {}};
  MESH_TRY(reader.read(root, "", 0));
  return std::move(reader.files);
}

}  // namespace mesh::store
