// Notices that something in folders was made, written, renamed or removed (inotify(7)). Private to the store.
//
// Bounds: the kernel's (fs.inotify.max_user_watches), past which changes in some folders go unnoticed: is_complete() says so.
// A file system that tells nothing (a network's) cannot be told from one where nothing happens. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>

#include "adapters/store/file.h"

namespace mesh::store {

class FolderWatch {
 public:
  FolderWatch();
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

  /// From now on, of an open folder. Once more is no error.
  void add(int folder);
  /// From now on, of one open file: what is written to it, and that it loses this name.
  void add_file(int file);
  /// Whether anything happened since the last call, but to names that do not matter.
  [[nodiscard]] bool has_changes(const std::function<bool(std::string_view name)>& matters);
  /// Whether all folders that were added are watched.
  [[nodiscard]] bool is_complete() const { return complete_; }

 private:
  void add(int descriptor, std::uint32_t events);

  File inotify_;
  std::atomic<bool> complete_{true};
};

}  // namespace mesh::store
