#include "adapters/store/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "adapters/store/sync_path.h"

namespace mesh::store {
namespace {

Status make_file(const std::string& file) {
  // Made by us, so that it and what SQLite puts beside it are the user's alone.
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return fail(ErrorCode::storage,
                fmt::format("{} cannot be made ({}); give this user the right to write there, or use another home",
                            file, std::strerror(errno)));
  }
  ::close(fd);
  const std::string folder = std::filesystem::path(file).parent_path().string();
  if (sync_path(folder, O_DIRECTORY)) return {};
  return fail(ErrorCode::storage, fmt::format("the folder {} cannot be synced to the disk ({}); check the disk", folder,
                                              std::strerror(errno)));
}

}  // namespace

Result<Database> open_database(const DatabasePlan& plan) {
  const std::string& file = plan.file;
  // A first look before even the lock file is made or signed: what a newer program wrote is left as it is. Damage is
  // told after the lock is had, since a running node may be writing.
  if (auto version = peek_version(file); version && *version) MESH_TRY(check_version(file, plan.schema, **version));
  Database database;
  MESH_LET(database.lock, ProcessLock::take(plan.lock_file, plan.what, plan.way_out));
  MESH_LET(const std::optional<FileVersion> version, peek_version(file));
  if (version) MESH_TRY(check_version(file, plan.schema, *version));
  MESH_TRY(database.lock.sign());
  if (!version) MESH_TRY(make_file(file));
  struct stat wal{};
  const bool unclean = ::stat((file + "-wal").c_str(), &wal) == 0 && wal.st_size > 0;

  sqlite::Connection& connection = database.connection;
  MESH_LET(connection, sqlite::Connection::open(file, sqlite::Connection::Mode::read_write));
  MESH_LET(const std::string mode, connection.query_text("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return fail(
        ErrorCode::storage,
        fmt::format("{} cannot be kept with a write-ahead log here ({}); use a home on a local disk", file, mode));
  }
  MESH_TRY(
      connection.run("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; "
                     "PRAGMA journal_size_limit = 67108864;"));
  if (unclean) {
    MESH_LET(const std::string verdict, connection.query_text("PRAGMA quick_check(1)"));
    if (verdict != "ok") {
      return fail(ErrorCode::storage, fmt::format("{} is damaged ({}); {}", file, verdict, plan.repair));
    }
  }
  if (plan.max_bytes != 0) {
    MESH_LET(const std::int64_t page_bytes, connection.query_integer("PRAGMA page_size"));
    const std::uint64_t pages = plan.max_bytes / static_cast<std::uint64_t>(page_bytes > 0 ? page_bytes : 4096);
    MESH_TRY(connection.run(fmt::format("PRAGMA max_page_count = {}", pages)));
  }
  MESH_TRY(migrate(connection, file, plan.schema));
  return database;
}

}  // namespace mesh::store
