#include "app/runtime/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace mesh::app {

namespace {

constexpr std::size_t max_names = 1'000'000;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<std::vector<std::string>> names_in(const FileDescriptor& folder, const std::filesystem::path& shown) {
  // A second descriptor: closing the stream closes the one it was given.
  const int again = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseFolder> stream(again < 0 ? nullptr : ::fdopendir(again));
  if (!stream) {
    const int failure = errno;
    if (again >= 0) ::close(again);
    return fail(ErrorCode::storage,
                fmt::format("the folder {} cannot be read: {}", shown.string(), std::strerror(failure)));
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() >= max_names)
      return fail(ErrorCode::exhausted,
                  fmt::format("the folder {} has more than {} entries", shown.string(), max_names));
    names.push_back(name);
    errno = 0;
  }
  if (errno != 0)
    return fail(ErrorCode::storage,
                fmt::format("the folder {} cannot be read: {}", shown.string(), std::strerror(errno)));
  std::ranges::sort(names);
  return names;
}

}  // namespace mesh::app
