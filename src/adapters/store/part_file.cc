#include "adapters/store/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "adapters/store/file.h"
#include "adapters/store/sync_path.h"

namespace mesh::store {

namespace fs = std::filesystem;

namespace {

std::unexpected<Error> failed(const fs::path& path, std::string_view what) {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::exhausted : ErrorCode::storage;
  return fail(code, fmt::format("{} {}: {}", path.string(), what, std::strerror(errno)));
}

fs::path part_of(const fs::path& target) {
  fs::path part = target;
  part += ".part";
  return part;
}

}  // namespace

Result<std::unique_ptr<PartFile>> PartFile::open(fs::path target, std::uint64_t bytes, std::uint64_t spoken_for) {
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error)
    return fail(ErrorCode::storage,
                fmt::format("the folder {} cannot be made: {}", target.parent_path().string(), error.message()));
  if (fs::is_directory(target, error))
    return fail(ErrorCode::conflict, fmt::format("{} is a folder already", target.string()));
  const fs::path part = part_of(target);
  const int fd = ::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) return failed(part, "cannot be written");
  std::unique_ptr<PartFile> file(new PartFile(std::move(target), fd, bytes));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
    return fail(ErrorCode::conflict, fmt::format("{} is being received already", file->target_.string()));
  struct stat about{};
  struct statvfs disk{};
  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return failed(part, "is no file");
  if (::fstatvfs(fd, &disk) != 0) return failed(part, "lies on a disk that cannot be asked for its room");
  const std::uint64_t more = file->unwritten();
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  const std::uint64_t kept = min_free_bytes + std::min(spoken_for, free);
  if (free < kept || free - kept < more) {
    if (about.st_size == 0) ::unlink(part.c_str());
    std::string text =
        fmt::format("{} takes {} bytes more, and only {} are free on its disk", file->target_.string(), more, free);
    if (spoken_for > 0) text += fmt::format(", {} of them for what is being received already", spoken_for);
    return fail(ErrorCode::exhausted, std::move(text));
  }
  if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return failed(part, "cannot be written");
  return file;
}

PartFile::~PartFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::uint64_t PartFile::unwritten() const {
  struct stat about{};
  if (::fstat(fd_, &about) != 0) return bytes_;
  return bytes_ - std::min<std::uint64_t>(static_cast<std::uint64_t>(about.st_blocks) * 512, bytes_);
}

Result<bool> PartFile::read(std::uint64_t offset, std::span<std::uint8_t> into) const {
  const off_t data = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno == ENXIO) return false;
  if (data < 0) return failed(part_of(target_), "cannot be read");
  if (static_cast<std::uint64_t>(data) >= offset + into.size()) return false;
  std::size_t filled = 0;
  while (filled < into.size()) {
    const ssize_t got = ::pread(fd_, into.data() + filled, into.size() - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return failed(part_of(target_), "cannot be read");
    filled += static_cast<std::size_t>(got);
  }
  return true;
}

Status PartFile::write(std::uint64_t offset, ByteView bytes) {
  const off_t begin = static_cast<off_t>(offset);
  const off_t count = static_cast<off_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t wrote = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return failed(part_of(target_), "cannot be written");
    offset += static_cast<std::uint64_t>(wrote);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
  // The disk begins at once, so that the end does not wait for all of it. It is no matter if it does not.
  (void)::sync_file_range(fd_, begin, count, SYNC_FILE_RANGE_WRITE);
  return {};
}

void PartFile::remove(const fs::path& target) {
  std::error_code ignored;
  fs::remove(part_of(target), ignored);
}

Status PartFile::finish() {
  const fs::path part = part_of(target_);
  if (::fsync(fd_) != 0) return failed(part, "cannot be written");
  if (::rename(part.c_str(), target_.c_str()) != 0) {
    if (errno == EISDIR) return fail(ErrorCode::conflict, fmt::format("{} is a folder already", target_.string()));
    return failed(target_, "cannot be made");
  }
  if (!sync_path(target_.parent_path().string(), O_DIRECTORY)) return failed(target_, "cannot be written");
  return {};
}

}  // namespace mesh::store
