// Syncing what a path names. Private to the store.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace mesh::store {

/// Whether a file, or a folder's entries (O_DIRECTORY), would survive a power cut now. If not, errno says why.
[[nodiscard]] inline bool sync_path(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) return false;
  const bool synced = ::fsync(fd) == 0;
  const int cause = errno;
  ::close(fd);
  errno = cause;
  return synced;
}

}  // namespace mesh::store
