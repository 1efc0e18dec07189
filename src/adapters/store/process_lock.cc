#include "adapters/store/process_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mesh::store {

ProcessLock::~ProcessLock() {
  // The file stays: were it removed, two processes could hold locks on two files of one name.
  if (fd_ >= 0) ::close(fd_);
}

Result<ProcessLock> ProcessLock::take(const std::string& file, std::string_view what, std::string_view way_out) {
  ProcessLock lock;
  lock.fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock.fd_ < 0) {
    return fail(ErrorCode::storage, fmt::format("{} cannot be written ({}); give this user the right to write there, "
                                                "or use another home",
                                                what, std::strerror(errno)));
  }
  while (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      return fail(ErrorCode::storage, fmt::format("{} cannot be locked ({}); use a home on a file system with locks",
                                                  file, std::strerror(errno)));
    }
    std::array<char, 32> text{};
    const ssize_t got = ::pread(lock.fd_, text.data(), text.size(), 0);
    const std::string_view pid(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    const std::string_view digits = pid.substr(0, pid.find_first_not_of("0123456789"));
    return fail(ErrorCode::conflict, fmt::format("{} is in use by {}{}; {}", what,
                                                 digits.empty() ? "another process" : "process ", digits, way_out));
  }
  return lock;
}

Status ProcessLock::sign() const {
  const std::string text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return fail(ErrorCode::storage,
                fmt::format("the lock file cannot be written ({}); free some space on the disk", std::strerror(errno)));
  }
  return {};
}

}  // namespace mesh::store
