#include "adapters/wasm/file_tree.h"

#include <deque>

#include <fmt/format.h>

#include "codec/utf8.h"

namespace mesh::wasm {
namespace {

constexpr std::size_t tar_block = 512;

/// The components of a path, checked; the empty path and "/" have none.
Result<std::vector<std::string_view>> components_of(std::string_view path) {
  if (path.size() > FileTree::max_path_bytes) {
    return fail(ErrorCode::invalid,
                fmt::format("A path of {} bytes is longer than {}.", path.size(), FileTree::max_path_bytes));
  }
  if (path.starts_with('/')) path.remove_prefix(1);
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path.ends_with('/')) return fail(ErrorCode::invalid, "A path has an empty component.");
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (part.empty() || part == "." || part == ".." || part.size() > FileTree::max_name_bytes ||
        part.find('\0') != std::string_view::npos) {
      return fail(
          ErrorCode::invalid,
          fmt::format("The path component \"{}\" is not allowed: a name has 1 to {} bytes and is neither . nor ..",
                      utf8_excerpt(part, 64), FileTree::max_name_bytes));
    }
    parts.push_back(part);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  if (parts.size() > FileTree::max_depth) {
    return fail(ErrorCode::invalid,
                fmt::format("A path of {} components is deeper than {}.", parts.size(), FileTree::max_depth));
  }
  return parts;
}

/// An octal field of a tar header: digits, then blanks or NULs to the end. Base-256 numbers are not read.
std::optional<std::uint64_t> octal(std::string_view field) {
  std::uint64_t value = 0;
  std::size_t i = 0;
  while (i < field.size() && field[i] == ' ') ++i;
  std::size_t digits = 0;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i, ++digits) {
    if (value >> 60U) return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(field[i] - '0');
  }
  for (; i < field.size(); ++i) {
    if (field[i] != ' ' && field[i] != '\0') return std::nullopt;
  }
  if (digits == 0) return std::nullopt;
  return value;
}

std::string_view until_nul(std::string_view field) { return field.substr(0, std::min(field.find('\0'), field.size())); }

bool checksum_holds(ByteView header) {
  const auto stored = octal(as_text(header.subspan(148, 8)));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < tar_block; ++i) sum += i >= 148 && i < 156 ? std::uint8_t{' '} : header[i];
  return stored == sum;
}

/// What one pax record list says of the next entry.
struct PaxOverrides {
  std::optional<std::string> path;
  std::optional<std::uint64_t> size;
};

/// "LENGTH KEY=VALUE\n"..., LENGTH in decimal and counting the whole record.
Result<PaxOverrides> read_pax(std::string_view text) {
  PaxOverrides result;
  while (!text.empty()) {
    std::size_t length = 0;
    std::size_t i = 0;
    for (; i < text.size() && i < 8 && text[i] >= '0' && text[i] <= '9'; ++i) {
      length = length * 10 + static_cast<std::size_t>(text[i] - '0');
    }
    if (i == 0 || i >= text.size() || text[i] != ' ' || length <= i + 1 || length > text.size() ||
        text[length - 1] != '\n') {
      return fail(ErrorCode::invalid, "The archive has a malformed pax header.");
    }
    const std::string_view record = text.substr(i + 1, length - i - 2);
    text.remove_prefix(length);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos) return fail(ErrorCode::invalid, "The archive has a malformed pax header.");
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if (key == "path") result.path = std::string(value);
    if (key == "size") {
      std::uint64_t size = 0;
      if (value.empty() || value.size() > 15)
        return fail(ErrorCode::invalid, "The archive has a pax size that is no size.");
      for (const char c : value) {
        if (c < '0' || c > '9') return fail(ErrorCode::invalid, "The archive has a pax size that is no size.");
        size = size * 10 + static_cast<std::uint64_t>(c - '0');
      }
      result.size = size;
    }
    if (key.starts_with("GNU.sparse"))
      return fail(ErrorCode::unsupported, "The archive has a sparse file; pack it without sparse files.");
  }
  return result;
}

}  // namespace

struct FileTree::Impl {
  std::deque<Node> nodes;

  Node& root() { return nodes.front(); }

  /// The folder at `parts`, made where it is missing.
  Result<Node*> folder(std::span<const std::string_view> parts) {
    Node* at = &root();
    for (const std::string_view part : parts) {
      if (const auto it = at->children.find(part); it != at->children.end()) {
        // The nodes are ours and not const; the map holds them as const for those who read.
        at = const_cast<Node*>(it->second);
        if (!at->is_folder)
          return fail(ErrorCode::conflict, fmt::format("\"{}\" is a file and a folder at once.", part));
      } else {
        MESH_LET(Node * made, add(*at, part));
        at = made;
      }
    }
    return at;
  }

  Result<Node*> add(Node& parent, std::string_view name) {
    if (nodes.size() >= max_entries) {
      return fail(ErrorCode::exhausted, fmt::format("A tree of more than {} entries is not taken.", max_entries));
    }
    Node& node = nodes.emplace_back();
    node.inode = nodes.size();
    parent.children.emplace(name, &node);
    return &node;
  }
};

FileTree::FileTree() : impl_(std::make_unique<Impl>()) { impl_->nodes.emplace_back().inode = 1; }
FileTree::~FileTree() = default;
FileTree::FileTree(FileTree&&) noexcept = default;
FileTree& FileTree::operator=(FileTree&&) noexcept = default;

Status FileTree::add_file(std::string_view path, std::shared_ptr<const Bytes> content) {
  if (!content) return fail(ErrorCode::invalid, "A file needs content, if only of no bytes.");
  const ByteView view(*content);
  return add_file(path, std::move(content), view);
}

Status FileTree::add_file(std::string_view path, std::shared_ptr<const Bytes> owner, ByteView content) {
  MESH_LET(const auto parts, components_of(path));
  if (parts.empty() || path.ends_with('/'))
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is not a file's path.", path));
  MESH_LET(Node * parent, impl_->folder(std::span(parts).first(parts.size() - 1)));
  if (parent->children.contains(parts.back()))
    return fail(ErrorCode::conflict, fmt::format("\"{}\" is there twice.", path));
  MESH_LET(Node * node, impl_->add(*parent, parts.back()));
  node->is_folder = false;
  node->owner = std::move(owner);
  node->content = content;
  return {};
}

Status FileTree::add_folder(std::string_view path) {
  MESH_LET(const auto parts, components_of(path));
  MESH_TRY(impl_->folder(parts));
  return {};
}

Status FileTree::add_tar(const std::shared_ptr<const Bytes>& archive, std::string_view mount) {
  if (!archive) return fail(ErrorCode::invalid, "There is no archive.");
  MESH_TRY(add_folder(mount));
  const ByteView bytes(*archive);
  std::size_t at = 0;
  PaxOverrides next;  // Of the entry that follows.
  while (at < bytes.size()) {
    if (bytes.size() - at < tar_block)
      return fail(ErrorCode::invalid, fmt::format("The archive is cut off at byte {}.", at));
    const ByteView header = bytes.subspan(at, tar_block);
    at += tar_block;
    if (std::ranges::all_of(header, [](std::uint8_t byte) { return byte == 0; })) return {};  // The end mark.
    if (!checksum_holds(header))
      return fail(ErrorCode::invalid, fmt::format("The archive's header at byte {} is damaged.", at - tar_block));
    const std::string_view text = as_text(header);
    const char type = text[156];
    auto size = octal(text.substr(124, 12));
    if (next.size && type != 'x' && type != 'g' && type != 'L') size = next.size;
    const std::size_t left = bytes.size() - at;
    if (!size || *size > left) {
      return fail(ErrorCode::invalid,
                  fmt::format("The archive's entry at byte {} says a size past the archive's end.", at - tar_block));
    }
    const ByteView body = bytes.subspan(at, static_cast<std::size_t>(*size));
    const std::size_t padded = (body.size() + tar_block - 1) / tar_block * tar_block;
    if (padded > left) return fail(ErrorCode::invalid, "The archive is cut off in its last entry.");
    at += padded;

    if (type == 'x') {
      MESH_LET(next, read_pax(as_text(body)));
      continue;
    }
    if (type == 'g') continue;
    if (type == 'L') {
      next.path = std::string(until_nul(as_text(body)));
      continue;
    }
    std::string name;
    if (next.path) {
      name = *next.path;
    } else {
      const std::string_view prefix =
          text.substr(257, 5) == "ustar" && text[262] == '\0' ? until_nul(text.substr(345, 155)) : "";
      name = prefix.empty() ? std::string(until_nul(text.substr(0, 100)))
                            : fmt::format("{}/{}", prefix, until_nul(text.substr(0, 100)));
    }
    next = {};
    std::string_view inside = name;
    if (inside.starts_with("./")) inside.remove_prefix(2);
    if (inside.starts_with('/')) inside.remove_prefix(1);
    const std::string path =
        fmt::format("{}/{}", mount.ends_with('/') ? mount.substr(0, mount.size() - 1) : mount, inside);
    Status added;
    switch (type) {
      case '0':
      case '\0':
      case '7':
        added = inside.ends_with('/') ? add_folder(path) : add_file(path, archive, body);
        break;
      case '5':
        added = inside == "." || inside.empty() ? Status{} : add_folder(path);
        break;
      case '1':
      case '2':
        return fail(ErrorCode::unsupported,
                    fmt::format("The archive's entry \"{}\" is a link; pack it with links followed.", name));
      default:
        return fail(ErrorCode::unsupported,
                    fmt::format("The archive's entry \"{}\" is neither a file nor a folder.", name));
    }
    if (!added) return wrap(fmt::format("The archive's entry \"{}\"", name), std::move(added.error()));
  }
  return {};
}

const FileTree::Node& FileTree::root() const { return impl_->root(); }

const FileTree::Node* FileTree::find(std::string_view path) const {
  const auto parts = components_of(path);
  if (!parts) return nullptr;
  const Node* at = &impl_->root();
  for (const std::string_view part : *parts) {
    const auto it = at->children.find(part);
    if (it == at->children.end()) return nullptr;
    at = it->second;
  }
  return at;
}

std::size_t FileTree::entries() const { return impl_->nodes.size(); }

}  // namespace mesh::wasm
