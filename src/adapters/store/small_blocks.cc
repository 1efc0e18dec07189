#include "adapters/store/small_blocks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "adapters/store/schema.h"
#include "adapters/store/sync_path.h"

namespace mesh::store {
namespace {

constexpr std::int64_t blocks_layout = 1;
// The bytes lie apart, so that an opening store reads what it has to know and not all that it holds.
constexpr std::string_view tables = R"sql(
  CREATE TABLE IF NOT EXISTS block(
    id INTEGER PRIMARY KEY,
    cid BLOB NOT NULL,
    size INTEGER NOT NULL,
    written_s INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS content(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
)sql";

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
  // One connection that keeps its lock needs no shared memory: said before anything reads the log.
  MESH_TRY(connection.run("PRAGMA locking_mode = EXCLUSIVE"));
  MESH_LET(const std::int64_t found, connection.query_integer("PRAGMA user_version"));
  MESH_LET(const std::int64_t owner, connection.query_integer("PRAGMA application_id"));
  if (owner != 0 && owner != application_id) {
    return fail(ErrorCode::storage,
                fmt::format("{} is another program's database; move it away or use another home", self->file_));
  }
  if (found > blocks_layout) {
    return fail(ErrorCode::unsupported,
                fmt::format("{} was written by a newer mesh, with layout {}, and this one knows {}; use the newer "
                            "program, or another home",
                            self->file_, found, blocks_layout));
  }
  if (found == 0) MESH_TRY(connection.run("PRAGMA auto_vacuum = INCREMENTAL"));
  // NORMAL syncs what keeps the file whole; what was added last is durable once sync() says so.
  MESH_LET(const std::string mode, connection.query_text("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return fail(ErrorCode::storage,
                fmt::format("{} cannot be kept with a write-ahead log here ({}); use a home on a local disk",
                            self->file_, mode));
  }
  MESH_TRY(
      connection.run("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096; PRAGMA cell_size_check = ON; "
                     "PRAGMA journal_size_limit = 67108864;"));
  if (found == 0) {
    MESH_TRY(
        connection.run(fmt::format("BEGIN IMMEDIATE; {} PRAGMA application_id = {}; PRAGMA user_version = {}; "
                                   "COMMIT",
                                   tables, application_id, blocks_layout)));
    if (!sync_path(folder, O_DIRECTORY)) {
      return fail(ErrorCode::storage, fmt::format("the folder {} cannot be synced to the disk ({}); check the disk",
                                                  folder, std::strerror(errno)));
    }
  }
  const std::string log = self->file_ + "-wal";
  self->log_ = ::open(log.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (self->log_ < 0) {
    return fail(ErrorCode::storage, fmt::format("{} cannot be opened ({}); check the disk", log, std::strerror(errno)));
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

SmallBlocks::~SmallBlocks() {
  if (log_ >= 0) ::close(log_);
}

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
  const Result<bool> step = read_.step();
  if (!step && (sqlite3_errcode(connection_.handle()) & 0xff) == SQLITE_CORRUPT) return Bytes{};
  MESH_LET(const bool found, step);
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
  const auto erase = [&]() -> Status {
    erase_block_.bind(1, row);
    MESH_TRY(erase_block_.run());
    erase_bytes_.bind(1, row);
    return erase_bytes_.run();
  };
  Status done = in_transaction(erase);
  // To erase takes room in the log, of which a full disk has none: what is in it makes room.
  if (!done && fold_log()) done = in_transaction(erase);
  return done;
}

Status SmallBlocks::fold_log() {
  MESH_LET(const std::int64_t busy, connection_.query_integer("PRAGMA wal_checkpoint(TRUNCATE)"));
  if (busy != 0) return fail(ErrorCode::storage, fmt::format("the log of {} could not be moved into it", file_));
  return {};
}

Status SmallBlocks::sync() {
  const std::lock_guard guard(sync_mutex_);
  if (!sync_failed_ && ::fsync(log_) == 0) return {};
  const int cause = errno;
  const bool again = std::exchange(sync_failed_, true);
  if (again) {
    const std::lock_guard here(mutex_);
    MESH_TRY(fold_log());
    sync_failed_ = false;
    return {};
  }
  return fail(ErrorCode::storage,
              fmt::format("syncing {}-wal failed ({}); check the disk", file_, std::strerror(cause)));
}

Status SmallBlocks::shrink() {
  while (true) {
    const std::lock_guard guard(mutex_);
    MESH_LET(const std::int64_t free, connection_.query_integer("PRAGMA freelist_count"));
    if (free == 0) return {};
    MESH_TRY(connection_.run("PRAGMA incremental_vacuum(256)"));
    MESH_LET(const std::int64_t left, connection_.query_integer("PRAGMA freelist_count"));
    if (left >= free) return {};
  }
}

}  // namespace mesh::store
