#include "adapters/store/schema.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace mesh::store {
namespace {

constexpr std::size_t header_bytes = 100;
constexpr std::size_t wal_header_bytes = 32;
constexpr std::size_t frame_header_bytes = 24;
constexpr std::string_view magic{"SQLite format 3\0", 16};

class Descriptor {
 public:
  explicit Descriptor(const std::string& file) : fd_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  /// How many bytes of `out` could be filled; less than its size at the file's end and where reading fails.
  [[nodiscard]] std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> out) const {
    std::size_t filled = 0;
    while (filled < out.size()) {
      const ssize_t got = ::pread(fd_, out.data() + filled, out.size() - filled, static_cast<off_t>(offset + filled));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      filled += static_cast<std::size_t>(got);
    }
    return filled;
  }

 private:
  int fd_;
};

std::uint32_t big_endian_32(std::span<const std::uint8_t> bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 | std::uint32_t{bytes[at + 2]} << 8 |
         bytes[at + 3];
}

FileVersion version_in(std::span<const std::uint8_t> header) {
  return {.schema = big_endian_32(header, 60), .application = big_endian_32(header, 68)};
}

/// The version in the last committed copy of page 1 in the WAL, if it holds one. Checksums are not looked at: at
/// worst a version that was being written when the power failed is taken for written, and the file refused.
std::optional<FileVersion> peek_wal(const std::string& file) {
  const Descriptor wal(file);
  std::array<std::uint8_t, wal_header_bytes> start{};
  if (!wal.is_open() || wal.read_at(0, start) < start.size()) return std::nullopt;
  if ((big_endian_32(start, 0) & ~1U) != 0x377f0682) return std::nullopt;
  const std::uint32_t page_bytes = big_endian_32(start, 8);
  if (page_bytes < 512 || page_bytes > 65'536) return std::nullopt;
  std::optional<FileVersion> committed;
  std::optional<FileVersion> pending;
  std::array<std::uint8_t, frame_header_bytes + header_bytes> frame{};
  for (std::uint64_t at = wal_header_bytes; wal.read_at(at, frame) == frame.size();
       at += frame_header_bytes + page_bytes) {
    const std::span<const std::uint8_t> view(frame);
    // Frames left from before the WAL was last begun anew carry other salts.
    if (!std::ranges::equal(view.subspan(8, 8), std::span<const std::uint8_t>(start).subspan(16, 8))) break;
    if (big_endian_32(view, 0) == 1) pending = version_in(view.subspan(frame_header_bytes));
    if (big_endian_32(view, 4) != 0 && pending) committed = pending;
  }
  return committed;
}

}  // namespace

Result<std::optional<FileVersion>> peek_version(const std::string& file) {
  const Descriptor database(file);
  if (!database.is_open()) {
    if (errno == ENOENT) return std::nullopt;
    return fail(ErrorCode::storage,
                fmt::format("{} cannot be read ({}); give this user the right to read it", file, std::strerror(errno)));
  }
  std::array<std::uint8_t, header_bytes> header{};
  const std::size_t got = database.read_at(0, header);
  if (got == 0) return std::nullopt;
  if (got < header.size() || as_text(ByteView(header).first(magic.size())) != magic) {
    return fail(
        ErrorCode::storage,
        fmt::format("{} is damaged (it does not begin as a database does); restore it from a backup, or move it "
                    "away to begin anew",
                    file));
  }
  const std::optional<FileVersion> newer = peek_wal(file + "-wal");
  return newer ? *newer : version_in(header);
}

Status check_version(const std::string& file, const Schema& schema, const FileVersion& version) {
  if (version.application != schema.application && version.application != 0) {
    return fail(ErrorCode::storage,
                fmt::format("{} is another program's database; move it away or use another home", file));
  }
  if (version.application == schema.application && version.schema > schema.version()) {
    std::string writer;
    if (auto connection = sqlite::Connection::open(file, sqlite::Connection::Mode::immutable); connection) {
      writer = connection->query_text("SELECT value FROM meta WHERE name = 'written_by'").value_or("");
    }
    return fail(
        ErrorCode::unsupported,
        fmt::format("{} was written by {}, with schema {}, and this is mesh {}, which knows schema {}; use the newer "
                    "program, or another home",
                    file, writer.empty() ? "a newer mesh" : writer, version.schema, MESH_VERSION, schema.version()));
  }
  return {};
}

Status migrate(sqlite::Connection& connection, const std::string& file, const Schema& schema) {
  MESH_LET(const std::int64_t found, connection.query_integer("PRAGMA user_version"));
  MESH_LET(const std::int64_t owner, connection.query_integer("PRAGMA application_id"));
  if (owner == 0) {
    MESH_LET(const std::int64_t tables, connection.query_integer("SELECT count(*) FROM sqlite_schema"));
    if (tables != 0 || found != 0) {
      return fail(ErrorCode::storage,
                  fmt::format("{} is another program's database; move it away or use another home", file));
    }
  }
  const std::string writer = fmt::format("mesh {}", MESH_VERSION);
  if (std::cmp_equal(found, schema.version())) {
    // Written only when it changes: a start should not cost a write.
    MESH_LET(const std::string known, connection.query_text("SELECT value FROM meta WHERE name = 'written_by'"));
    if (known == writer) return {};
  }
  MESH_TRY(connection.run("BEGIN IMMEDIATE"));
  const auto all = [&]() -> Status {
    for (const Migration& migration : schema.migrations) {
      if (std::cmp_less(found, migration.to)) MESH_TRY(connection.run(migration.sql));
    }
    MESH_TRY(connection.run(
        fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};", schema.application, schema.version())));
    MESH_LET(sqlite::Statement note, connection.prepare("INSERT INTO meta(name, value) VALUES ('written_by', ?1) "
                                                        "ON CONFLICT(name) DO UPDATE SET value = ?1"));
    note.bind(1, writer);
    MESH_TRY(note.run());
    return connection.run("COMMIT");
  };
  if (Status done = all(); !done) {
    connection.roll_back();
    return wrap("bringing the database up to date", std::move(done.error()));
  }
  // The version must be in the main file, where an older program looks first.
  return connection.run("PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace mesh::store
