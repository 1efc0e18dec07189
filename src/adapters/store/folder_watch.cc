#include "adapters/store/folder_watch.h"

#include <sys/inotify.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace mesh::store {

namespace {
constexpr std::uint32_t file_events = IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr std::uint32_t folder_events = file_events | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
constexpr std::size_t read_bytes = std::size_t{64} << 10;
}  // namespace

FolderWatch::FolderWatch() : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!inotify_.is_open()) complete_ = false;
}

void FolderWatch::add(int folder) { add(folder, folder_events); }
void FolderWatch::add_file(int file) { add(file, file_events); }

void FolderWatch::add(int descriptor, std::uint32_t events) {
  if (!inotify_.is_open()) return;
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  const int number = ::inotify_add_watch(inotify_.fd(), path.c_str(), events);
  if (number < 0) complete_ = false;
}

bool FolderWatch::has_changes(const std::function<bool(std::string_view name)>& matters) {
  if (!inotify_.is_open()) return false;
  bool changed = false;
  alignas(inotify_event) std::array<char, read_bytes> buffer{};
  while (true) {
    const ssize_t got = ::read(inotify_.fd(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return changed;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(got);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* const name = buffer.data() + at + sizeof event;
      at += sizeof event + event.len;
      if ((event.mask & IN_IGNORED) != 0) continue;  // A folder that is gone; its own event came before.
      // More happened than the queue could hold, or it is the folder itself.
      changed = changed || event.len == 0 || matters(std::string_view(name, ::strnlen(name, event.len)));
    }
  }
}

}  // namespace mesh::store
