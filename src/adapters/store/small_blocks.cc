#include "adapters/store/small_blocks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "adapters/store/schema.h"

namespace mesh::store {
namespace {

constexpr std::int64_t layout = 1;
// The bytes lie apart, so that an opening store reads what it has to know and not all that it holds.
constexpr std::string_view tables = R"sql(
  CREATE TABLE IF NOT EXISTS block(
    id INTEGER PRIMARY KEY,
    cid BLOB NOT NULL,
    size INTEGER NOT NULL,
    written_s INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS content(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
)sql";

bool sync_file(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const int cause = errno;
  if (fd >= 0) ::close(fd);
  errno = cause;
  return synced;
}

}  // namespace

Result<std::unique_ptr<SmallBlocks>> SmallBlocks::open(const std::string& folder) {
  std::unique_ptr<SmallBlocks> self(new SmallBlocks());
  self->file_ = folder + "/small.db";
  // Made by us, so that it and what SQLite puts beside it are the user's alone.
  const int fd = ::open(self->file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return fail(ErrorCode::storage, fmt::format("{} cannot be opened ({}); give this user the right to write there",
                                                self->file_, std::strerror(errno)));
  }
  ::close(fd);
  sqlite::Connection& connection = self->connection_;
  MESH_LET(connection, sqlite::Connection::open(self->file_, sqlite::Connection::Mode::read_write));
  MESH_LET(const std::int64_t found, connection.query_integer("PRAGMA user_version"));
  MESH_LET(const std::int64_t owner, connection.query_integer("PRAGMA application_id"));
  if (owner != 0 && owner != application_id) {
    return fail(ErrorCode::storage,
                fmt::format("{} is another program's database; move it away or use another home", self->file_));
  }
  if (found > layout) {
    return fail(ErrorCode::unsupported,
                fmt::format("{} was written by a newer mesh, with layout {}, and this one knows {}; use the newer "
                            "program, or another home",
                            self->file_, found, layout));
  }
  // One connection that keeps its lock needs no shared memory. NORMAL syncs what keeps the file whole; what was added
  // last is durable once sync() says so.
  MESH_TRY(
      connection.run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; "
                     "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096; PRAGMA cell_size_check = ON; "
                     "PRAGMA journal_size_limit = 67108864;"));
  MESH_LET(const std::string mode, connection.query_text("PRAGMA journal_mode"));
  if (mode != "wal") {
    return fail(ErrorCode::storage,
                fmt::format("{} cannot be kept with a write-ahead log here ({}); use a home on a local disk",
                            self->file_, mode));
  }
  if (found == 0) {
    MESH_TRY(
        connection.run(fmt::format("BEGIN IMMEDIATE; {} PRAGMA application_id = {}; PRAGMA user_version = {}; "
                                   "COMMIT",
                                   tables, application_id, layout)));
    if (!sync_file(folder, O_DIRECTORY)) {
      return fail(ErrorCode::storage, fmt::format("the folder {} cannot be synced to the disk ({}); check the disk",
                                                  folder, std::strerror(errno)));
    }
  }
  const auto make = [&](sqlite::Statement& statement, std::string_view sql) -> Status {
    MESH_LET(statement, connection.prepare(sql));
    return {};
  };
  MESH_TRY(make(self->begin_, "BEGIN IMMEDIATE"));
  MESH_TRY(make(self->commit_, "COMMIT"));
  MESH_TRY(make(self->add_block_, "INSERT INTO block(cid, size, written_s) VALUES (?1, ?2, ?3)"));
  MESH_TRY(make(self->add_bytes_, "INSERT INTO content(id, bytes) VALUES (?1, ?2)"));
  MESH_TRY(make(self->read_, "SELECT bytes FROM content WHERE id = ?1"));
  MESH_TRY(make(self->age_, "SELECT written_s FROM block WHERE id = ?1"));
  MESH_TRY(make(self->erase_block_, "DELETE FROM block WHERE id = ?1"));
  MESH_TRY(make(self->erase_bytes_, "DELETE FROM content WHERE id = ?1"));
  return self;
}

SmallBlocks::~SmallBlocks() = default;

Status SmallBlocks::in_transaction(const std::function<Status()>& work) {
  const auto all = [&]() -> Status {
    MESH_TRY(begin_.run());
    MESH_TRY(work());
    return commit_.run();
  };
  Status done = all();
  if (!done) connection_.roll_back();
  return done;
}

Status SmallBlocks::for_each(const std::function<void(const Row&)>& each) {
  const std::lock_guard guard(mutex_);
  MESH_LET(sqlite::Statement rows, connection_.prepare("SELECT id, cid, size FROM block ORDER BY id"));
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return {};
    const auto cid = Cid::from_bytes(rows.blob(1));
    if (!cid || rows.integer(2) < 0) continue;  // Damaged: it counts as missing.
    each({.number = rows.integer(0), .cid = *cid, .size_bytes = static_cast<std::uint64_t>(rows.integer(2))});
  }
}

Result<std::int64_t> SmallBlocks::add(const Cid& cid, ByteView bytes) {
  const std::lock_guard guard(mutex_);
  std::int64_t row = 0;
  const auto insert = [&]() -> Status {
    const auto binary = cid.binary();
    add_block_.bind(1, ByteView(binary));
    add_block_.bind(2, static_cast<std::int64_t>(bytes.size()));
    add_block_.bind(3, static_cast<std::int64_t>(std::time(nullptr)));
    MESH_TRY(add_block_.run());
    row = sqlite3_last_insert_rowid(connection_.handle());
    add_bytes_.bind(1, row);
    add_bytes_.bind(2, bytes);
    return add_bytes_.run();
  };
  MESH_TRY(in_transaction(insert));
  return row;
}

Result<Bytes> SmallBlocks::read(std::int64_t row) {
  const std::lock_guard guard(mutex_);
  read_.bind(1, row);
  MESH_LET(const bool found, read_.step());
  if (!found) return fail(ErrorCode::not_found, fmt::format("{} has no row {}", file_, row));
  Bytes bytes = to_bytes(read_.blob(0));
  read_.reset();
  return bytes;
}

Result<std::int64_t> SmallBlocks::written_s(std::int64_t row) {
  const std::lock_guard guard(mutex_);
  age_.bind(1, row);
  MESH_LET(const bool found, age_.step());
  if (!found) return fail(ErrorCode::not_found, fmt::format("{} has no row {}", file_, row));
  const std::int64_t at = age_.integer(0);
  age_.reset();
  return at;
}

Status SmallBlocks::erase(std::int64_t row) {
  const std::lock_guard guard(mutex_);
  return in_transaction([&]() -> Status {
    erase_block_.bind(1, row);
    MESH_TRY(erase_block_.run());
    erase_bytes_.bind(1, row);
    return erase_bytes_.run();
  });
}

Status SmallBlocks::sync() {
  // All that is committed lies in the WAL, or was synced when it was moved from there into the database.
  const std::string wal = file_ + "-wal";
  if (sync_file(wal, 0) || errno == ENOENT) return {};
  return fail(ErrorCode::storage, fmt::format("syncing {} failed ({}); check the disk", wal, std::strerror(errno)));
}

Status SmallBlocks::shrink() {
  const std::lock_guard guard(mutex_);
  return connection_.run("PRAGMA incremental_vacuum");
}

}  // namespace mesh::store
