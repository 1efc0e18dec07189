#include <algorithm>
#include <string>

#include "adapters/wasm/file_tree.h"
#include "fuzz.h"

namespace {

using mesh::Bytes;
using mesh::ByteView;
using mesh::wasm::FileTree;

/// Every name is one component, every content lies in the archive, every entry is found again by its path.
std::size_t check_folder(const FileTree& tree, const FileTree::Node& folder, const std::string& path, std::size_t depth,
                         const Bytes& archive) {
  MESH_CHECK(depth <= FileTree::max_depth, "fuzz-tar-depth");
  std::size_t entries = 0;
  for (const auto& [name, node] : folder.children) {
    MESH_CHECK(!name.empty() && name.size() <= FileTree::max_name_bytes && name != "." && name != ".." &&
                   name.find('/') == std::string::npos && name.find('\0') == std::string::npos,
               "fuzz-tar-name");
    const std::string below = path.empty() ? name : path + "/" + name;
    MESH_CHECK(below.size() <= FileTree::max_path_bytes && tree.find(below) == node, "fuzz-tar-find");
    ++entries;
    if (node->is_folder) {
      entries += check_folder(tree, *node, below, depth + 1, archive);
    } else if (!node->content.empty()) {
      const ByteView whole(archive);
      MESH_CHECK(node->content.data() >= whole.data() &&
                     node->content.data() + node->content.size() <= whole.data() + whole.size(),
                 "fuzz-tar-content");
    }
  }
  return entries;
}

void put_checksums(Bytes& archive) {
  constexpr std::size_t block = 512;
  constexpr std::size_t field_at = 148;
  constexpr std::size_t field = 8;
  for (std::size_t at = 0; at + block <= archive.size(); at += block) {
    const auto header = std::span(archive).subspan(at, block);
    if (std::ranges::all_of(header, [](std::uint8_t byte) { return byte == 0; })) continue;  // The end of an archive.
    std::ranges::fill(header.subspan(field_at, field), std::uint8_t{' '});
    unsigned sum = 0;
    for (const std::uint8_t byte : header) sum += byte;
    for (std::size_t digit = 6; digit-- > 0; sum /= 8)
      header[field_at + digit] = static_cast<std::uint8_t>('0' + sum % 8);
    header[field_at + 6] = 0;
  }
}

}  // namespace

void mesh::fuzz::check(ByteView input) {
  if (input.empty()) return;
  Bytes bytes(input.begin() + 1, input.end());
  // Chance does not find checksums: an odd first byte asks that every block have the right one.
  if ((input.front() & 1U) != 0) put_checksums(bytes);
  const auto archive = std::make_shared<const Bytes>(std::move(bytes));
  FileTree tree;
  if (!tree.add_tar(archive)) return;
  check_folder(tree, tree.root(), "", 0, *archive);
}
