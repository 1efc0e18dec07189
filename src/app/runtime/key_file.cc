// The node's key on the disk.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "app/runtime/files.h"
#include "app/runtime/runtime.h"

namespace mesh::app {

namespace {

Error key_error(std::string_view what, const std::filesystem::path& file) {
  return {ErrorCode::storage, fmt::format("{} the key file {} failed: {}", what, file.string(), std::strerror(errno))};
}

/// Where a home says which key was drawn for it.
std::filesystem::path mark_in(const std::filesystem::path& home) { return home / "key-drawn-here"; }

bool is_marked(const std::filesystem::path& home, const Seed& seed) {
  std::ifstream stream(mark_in(home));
  std::string line;
  return std::getline(stream, line) && line == public_key_of(seed).hex();
}

/// Before there is the key: a crash in between leaves the mark of a key that nobody has.
Status mark(const std::filesystem::path& home, const Seed& seed) {
  std::error_code error;
  std::filesystem::create_directories(home, error);
  const std::string text = public_key_of(seed).hex() + "\n";
  const FileDescriptor out(::open(mark_in(home).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out.is_open() || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(out.get()) != 0)
    return std::unexpected(key_error("marking", mark_in(home)));
  return {};
}

Result<Seed> draw_key(const std::filesystem::path& file, const std::filesystem::path& home) {
  std::array<std::uint8_t, Seed::size> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return fail(ErrorCode::internal, "the kernel gave no random bytes for the node's key");
  }
  const Seed seed(random);
  MESH_TRY(mark(home, seed));
  const std::string text = seed.hex() + "\n";
  // Written beside and linked into place: a killed start leaves no half key, and of two starts one wins.
  const std::filesystem::path temporary = fmt::format("{}.{}.new", file.string(), ::getpid());
  ::unlink(temporary.c_str());
  Status done;
  {
    const FileDescriptor out(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out.is_open()) return std::unexpected(key_error("making", file));
    const bool written =
        ::write(out.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(out.get()) == 0;
    if (!written || ::link(temporary.c_str(), file.c_str()) != 0) done = std::unexpected(key_error("writing", file));
  }
  ::unlink(temporary.c_str());
  MESH_TRY(done);
  const auto parent = file.parent_path().empty() ? std::filesystem::path(".") : file.parent_path();
  const FileDescriptor folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) return std::unexpected(key_error("syncing", file));
  return seed;
}

Result<Seed> load_key(const std::filesystem::path& file, const std::filesystem::path& home) {
  const FileDescriptor in(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!in.is_open()) {
    if (errno == ENOENT) return draw_key(file, home);
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
  return *seed;
}

}  // namespace

Result<NodeKey> load_or_create_key(const std::filesystem::path& file, const std::filesystem::path& home) {
  MESH_LET(const Seed seed, load_key(file, home));
  return NodeKey{.seed = seed, .was_brought = !is_marked(home, seed)};
}

Result<NodeKey> own_key(const std::filesystem::path& home, const std::filesystem::path& file) {
  std::error_code error;
  std::filesystem::create_directories(home, error);
  if (error)
    return fail(ErrorCode::storage, fmt::format("the home {} cannot be made: {}", home.string(), error.message()));
  return load_or_create_key(file, home);
}

}  // namespace mesh::app
