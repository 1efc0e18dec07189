// A lock that one process holds on a file made for it, and that ends with the process. Whoever is refused is told who holds it.
// Private to the store.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace mesh::store {

class ProcessLock {
 public:
  ProcessLock() = default;
  ProcessLock(ProcessLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ProcessLock& operator=(ProcessLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;
  ~ProcessLock();

  /// `what` is the thing that is locked, `way_out` what whoever is refused can do. Makes `file` where it is missing.
  /// Errors: conflict (another process holds it), storage (it cannot be made or locked).
  [[nodiscard]] static Result<ProcessLock> take(const std::string& file, std::string_view what,
                                                std::string_view way_out);
  /// Leaves our process id for whoever is refused.
  [[nodiscard]] Status sign() const;

 private:
  int fd_ = -1;
};

}  // namespace mesh::store
