// Notices that something in folders was made, written, renamed or removed (inotify(7)). Private to the store.
//
// Bounds: max_folders; the kernel has a bound of its own (fs.inotify.max_user_watches). Past either, or on a file system that
// tells nothing (a network's), changes in some folders go unnoticed: is_complete() says so. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <string_view>

#include "adapters/store/file.h"

namespace mesh::store {

class FolderWatch {
 public:
  static constexpr std::size_t max_folders = 262'144;

  FolderWatch();
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

  /// From now on, of an open folder. Once more is no error.
  void add(int folder);
  /// Whether anything happened since the last call, but to names that do not matter.
  [[nodiscard]] bool has_changes(const std::function<bool(std::string_view name)>& matters);
  /// Whether all folders that were added are watched.
  [[nodiscard]] bool is_complete() const { return complete_; }

 private:
  File inotify_;
  std::atomic<bool> complete_{true};
};

}  // namespace mesh::store
