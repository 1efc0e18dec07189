#include "app/runtime/file_layout.h"

#include <fmt/format.h>

#include "domain/asset/unixfs.h"

namespace mesh::app {

Result<std::optional<std::vector<FileLeaf>>> file_layout(const store::BlockStore& blocks, const Cid& root,
                                                         store::From from) {
  struct Entry {
    Cid cid;
    std::uint64_t bytes = 0;
  };
  std::vector<FileLeaf> leaves;
  std::vector<Entry> next{{.cid = root, .bytes = 0}};
  if (root.codec() == Multicodec::raw) {
    MESH_LET(next.back().bytes, blocks.size(root, from));
  }
  std::uint64_t offset = 0;
  std::size_t inner = 0;
  while (!next.empty()) {
    const Entry entry = next.back();
    next.pop_back();
    if (entry.cid.codec() == Multicodec::raw) {
      if (leaves.size() == max_file_leaves || entry.bytes > asset::max_block_bytes)
        return fail(ErrorCode::exhausted, fmt::format("{} has more than {} leaves of {} bytes", root.text(),
                                                      max_file_leaves, asset::max_block_bytes));
      leaves.push_back({.cid = entry.cid, .offset = offset, .bytes = static_cast<std::uint32_t>(entry.bytes)});
      offset += entry.bytes;
      continue;
    }
    if (++inner > max_file_leaves) return fail(ErrorCode::exhausted, root.text() + " has too many inner nodes");
    MESH_LET(const store::BlockBytes block, blocks.get(entry.cid, from));
    MESH_LET(const asset::Node node, asset::parse_node(entry.cid, *block));
    if (node.kind != asset::NodeKind::file)
      return fail(ErrorCode::invalid, root.text() + " is no file; fetch what it holds file by file");
    if (!node.inline_data.empty()) return std::optional<std::vector<FileLeaf>>();
    for (auto link = node.links.rbegin(); link != node.links.rend(); ++link)
      next.push_back({.cid = link->cid, .bytes = link->bytes});
  }
  return leaves;
}

}  // namespace mesh::app
