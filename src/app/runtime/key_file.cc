#include "app/runtime/key_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "app/runtime/files.h"

namespace mesh::app {

namespace {

Error key_error(std::string_view what, const std::filesystem::path& file) {
  return {ErrorCode::storage, fmt::format("{} the key file {} failed: {}", what, file.string(), std::strerror(errno))};
}

/// Where a home says which key was drawn for it.
std::filesystem::path mark_in(const std::filesystem::path& home) { return home / "key-drawn-here"; }

bool is_marked(const std::filesystem::path& home, const Seed& seed) {
  std::ifstream stream(mark_in(home));
  const std::string wanted = public_key_of(seed).hex();
  std::string line;
  for (std::size_t i = 0; i <= max_former_keys && std::getline(stream, line); ++i) {
    if (line == wanted) return true;
  }
  return false;
}

/// Before there is the key: a crash in between leaves the mark of a key that nobody has. `flag` says what becomes of earlier marks.
Status mark(const std::filesystem::path& home, const Seed& seed, int flag) {
  std::error_code error;
  std::filesystem::create_directories(home, error);
  const std::string text = public_key_of(seed).hex() + "\n";
  const FileDescriptor out(::open(mark_in(home).c_str(), O_WRONLY | O_CREAT | flag | O_CLOEXEC, 0600));
  if (!out.is_open() || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(out.get()) != 0)
    return std::unexpected(key_error("marking", mark_in(home)));
  return {};
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.parent_path().empty() ? std::filesystem::path(".") : file.parent_path();
}

Status sync_folder_of(const std::filesystem::path& file) {
  const FileDescriptor folder(::open(folder_of(file).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) return std::unexpected(key_error("syncing", file));
  return {};
}

enum class Place : std::uint8_t { new_alone, instead };

/// Written beside and put into place: a kill leaves no half key, and of two that write a new one one wins.
Status write_key(const std::filesystem::path& file, const Seed& seed, Place place) {
  const std::string text = seed.hex() + "\n";
  const std::filesystem::path temporary = fmt::format("{}.{}.new", file.string(), ::getpid());
  ::unlink(temporary.c_str());
  Status done;
  {
    const FileDescriptor out(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out.is_open()) return std::unexpected(key_error("making", file));
    const bool written =
        ::write(out.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(out.get()) == 0;
    const bool placed = written && (place == Place::instead ? ::rename(temporary.c_str(), file.c_str()) == 0
                                                            : ::link(temporary.c_str(), file.c_str()) == 0);
    if (!placed) done = std::unexpected(key_error("writing", file));
  }
  ::unlink(temporary.c_str());
  MESH_TRY(done);
  return sync_folder_of(file);
}

Result<Seed> random_key() {
  std::array<std::uint8_t, Seed::size> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return fail(ErrorCode::internal, "the kernel gave no random bytes for the node's key");
  }
  return Seed(random);
}

/// None: there is no such file.
Result<std::optional<Seed>> read_key(const std::filesystem::path& file) {
  const FileDescriptor in(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!in.is_open()) {
    if (errno == ENOENT) return std::nullopt;
    return std::unexpected(key_error("opening", file));
  }
  struct stat about{};
  if (::fstat(in.get(), &about) != 0) return std::unexpected(key_error("reading", file));
  if (!S_ISREG(about.st_mode))
    return fail(ErrorCode::denied, fmt::format("the key file {} is no plain file; move it away", file.string()));
  if (about.st_uid != ::geteuid()) {
    return fail(ErrorCode::denied,
                fmt::format("the key file {} belongs to another user; give this node a key of its own", file.string()));
  }
  if ((about.st_mode & 077) != 0) {
    return fail(
        ErrorCode::denied,
        fmt::format("the key file {} can be read by others (mode {:o}); run chmod 600 {}, and consider the key known",
                    file.string(), about.st_mode & 0777, file.string()));
  }
  std::array<char, 80> text{};
  const ssize_t got = ::read(in.get(), text.data(), text.size());
  if (got < 0) return std::unexpected(key_error("reading", file));
  std::string_view hex(text.data(), static_cast<std::size_t>(got));
  if (hex.ends_with('\n')) hex.remove_suffix(1);
  const std::optional<Bytes> bytes = from_hex(hex);
  const std::optional<Seed> seed = bytes ? Seed::from(*bytes) : std::nullopt;
  if (!seed) {
    return fail(
        ErrorCode::invalid,
        fmt::format(
            "the key file {} does not hold 64 hexadecimal digits; restore it from a backup, or move it away to get "
            "a new identity",
            file.string()));
  }
  return seed;
}

std::filesystem::path next_in(const std::filesystem::path& home) {
  return home / fmt::format("{}.next", key_file_name);
}
std::filesystem::path former_in(const std::filesystem::path& home, std::size_t number) {
  return home / fmt::format("{}.{}", key_file_name, number);
}

Result<Seed> draw_key(const std::filesystem::path& file, const std::filesystem::path& home) {
  MESH_LET(const Seed seed, random_key());
  MESH_TRY(mark(home, seed, O_TRUNC));
  MESH_TRY(write_key(file, seed, Place::new_alone));
  return seed;
}

struct Former {
  std::vector<Seed> keys;  ///< in the order in which they were given up
  std::size_t last = 0;  ///< the number of the latest
};
/// Those that are there: some may have been moved away.
Result<Former> former_keys(const std::filesystem::path& home) {
  Former former;
  for (std::size_t number = 1; number <= max_former_keys; ++number) {
    MESH_LET(const std::optional<Seed> key, read_key(former_in(home, number)));
    if (!key) continue;
    former.keys.push_back(*key);
    former.last = number;
  }
  return former;
}

Error too_many_former(const std::filesystem::path& home) {
  return {ErrorCode::exhausted, fmt::format("former-keys-full: {} has a former key with the number {}, which is the "
                                            "last one: move keys away that nothing needs, and number the others anew",
                                            home.string(), max_former_keys)};
}

}  // namespace

Result<NodeKey> load_or_create_key(const std::filesystem::path& file, const std::filesystem::path& home) {
  MESH_LET(const std::optional<Seed> known, read_key(file));
  Seed seed;
  if (known) {
    seed = *known;
  } else {
    MESH_LET(seed, draw_key(file, home));
  }
  return NodeKey{.seed = seed, .was_brought = !is_marked(home, seed)};
}

Result<NodeKey> own_key(const std::filesystem::path& home, const std::filesystem::path& file) {
  std::error_code error;
  std::filesystem::create_directories(home, error);
  if (error)
    return fail(ErrorCode::storage, fmt::format("the home {} cannot be made: {}", home.string(), error.message()));
  return load_or_create_key(file, home);
}

Result<OtherKeys> load_other_keys(const std::filesystem::path& home) {
  OtherKeys keys;
  MESH_LET(keys.next, read_key(next_in(home)));
  MESH_LET(Former former, former_keys(home));
  std::ranges::reverse(former.keys);
  keys.former = std::move(former.keys);
  return keys;
}

Result<Seed> next_key(const std::filesystem::path& home, const std::filesystem::path& file) {
  MESH_LET(const std::optional<Seed> known, read_key(next_in(home)));
  if (known) return *known;
  MESH_LET(const Former former, former_keys(home));
  if (former.last >= max_former_keys) return std::unexpected(too_many_former(home));
  if (::access(folder_of(file).c_str(), W_OK) != 0)
    return fail(ErrorCode::denied,
                fmt::format("the folder of the key file {} cannot be written, so that another key would not last: put "
                            "the key where the node may replace it",
                            file.string()));
  MESH_LET(const Seed seed, random_key());
  MESH_TRY(mark(home, seed, O_APPEND));
  MESH_TRY(write_key(next_in(home), seed, Place::new_alone));
  return seed;
}

Status drop_next_key(const std::filesystem::path& home) {
  if (::unlink(next_in(home).c_str()) != 0 && errno != ENOENT)
    return std::unexpected(key_error("removing", next_in(home)));
  return sync_folder_of(next_in(home));
}

Status adopt_next_key(const std::filesystem::path& home, const std::filesystem::path& file, const Seed& old,
                      const Seed& next) {
  if (old != next) {
    MESH_LET(const Former former, former_keys(home));
    if (std::ranges::find(former.keys, old) == former.keys.end()) {
      if (former.last >= max_former_keys) return std::unexpected(too_many_former(home));
      MESH_TRY(write_key(former_in(home, former.last + 1), old, Place::new_alone));
    }
    MESH_TRY(write_key(file, next, Place::instead));
  }
  return drop_next_key(home);
}

}  // namespace mesh::app
