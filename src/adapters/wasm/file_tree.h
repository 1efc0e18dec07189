// A read-only tree of files in memory: all that a guest sees of a file system. Built once, then shared by any number of
// runs; nothing in it ever changes, and it holds no links, devices or permissions.
//
// Bounds: 200,000 entries, depth 64, names of 1 to 255 bytes, paths of at most 4,096. What is put in may come from a
// peer (a tar archive, a UnixFS folder), so every path is checked: no `..`, no `.`, no empty component, no NUL byte.
#pragma once

#include <map>
#include <memory>

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::wasm {

class FileTree {
 public:
  struct Node {
    bool is_folder = true;
    std::uint64_t inode = 0;  ///< 1 for the root, then by order of insertion
    std::map<std::string, const Node*, std::less<>> children;  ///< of a folder, in byte order of names
    std::shared_ptr<const Bytes> owner;  ///< keeps `content` alive
    ByteView content;  ///< of a file
  };

  static constexpr std::size_t max_entries = 200'000;
  static constexpr std::size_t max_depth = 64;
  static constexpr std::size_t max_name_bytes = 255;
  static constexpr std::size_t max_path_bytes = 4'096;

  FileTree();
  ~FileTree();
  FileTree(FileTree&&) noexcept;
  FileTree& operator=(FileTree&&) noexcept;

  /// Adds a file; folders on the way are made. `path` is relative to the root, components joined by `/`, a leading `/`
  /// allowed. Errors: invalid for a path out of bounds or with a component that is empty, `.` or `..`; conflict where
  /// something is there already or a file stands in the way; exhausted past max_entries.
  [[nodiscard]] Status add_file(std::string_view path, std::shared_ptr<const Bytes> content);
  /// The same for a part of a larger buffer: `content` must lie inside `*owner`.
  [[nodiscard]] Status add_file(std::string_view path, std::shared_ptr<const Bytes> owner, ByteView content);
  /// Adds a folder and those above it; one that is there already is no error.
  [[nodiscard]] Status add_folder(std::string_view path);
  /// Adds everything in an uncompressed tar archive (POSIX ustar, with GNU and pax long names) below `mount`. The files
  /// share the archive's buffer. A leading `./` or `/` of a name is dropped. Refused, naming the entry: `..`, links,
  /// devices, sparse files, bad checksums, sizes past the end, duplicates.
  [[nodiscard]] Status add_tar(const std::shared_ptr<const Bytes>& archive, std::string_view mount = "/");

  [[nodiscard]] const Node& root() const;
  /// The node at a path, or null. `..` and `.` are not resolved: they are not found.
  [[nodiscard]] const Node* find(std::string_view path) const;
  [[nodiscard]] std::size_t entries() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::wasm
