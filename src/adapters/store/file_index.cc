#include "adapters/store/file_index.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "adapters/store/file.h"
#include "adapters/store/schema.h"
#include "codec/record.h"

namespace mesh::store {

namespace {

constexpr std::int64_t index_layout = 2;
constexpr std::string_view table =
    "CREATE TABLE file(share TEXT NOT NULL, path BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, "
    "bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, cid BLOB NOT NULL, "
    "sha256 BLOB NOT NULL, model BLOB NOT NULL, PRIMARY KEY(share, path)) WITHOUT ROWID;";

}  // namespace

Result<std::unique_ptr<FileIndex>> FileIndex::open(const std::string& home) {
  const std::string file = home + "/shares.db";
  // Made by us, so that it is the user's alone.
  const File made(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!made.is_open()) {
    return fail(ErrorCode::storage, fmt::format("{} cannot be opened ({}); give this user the right to write there",
                                                file, std::strerror(errno)));
  }
  auto opened = try_open(file);
  if (opened || opened.error().code == ErrorCode::unsupported) return opened;
  std::error_code failed;
  for (const std::string_view end : {"", "-wal", "-shm"}) {
    std::filesystem::remove(file + ".damaged" + std::string(end), failed);
    std::filesystem::rename(file + std::string(end), file + ".damaged" + std::string(end), failed);
  }
  const File anew(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  return try_open(file);
}

Result<std::unique_ptr<FileIndex>> FileIndex::try_open(const std::string& file) {
  std::unique_ptr<FileIndex> self(new FileIndex());
  sqlite::Connection& connection = self->connection_;
  MESH_LET(connection, sqlite::Connection::open(file, sqlite::Connection::Mode::read_write));
  MESH_TRY(connection.run("PRAGMA locking_mode = EXCLUSIVE"));
  MESH_LET(const std::int64_t found, connection.query_integer("PRAGMA user_version"));
  MESH_LET(const std::int64_t owner, connection.query_integer("PRAGMA application_id"));
  if (owner != 0 && owner != application_id)
    return fail(ErrorCode::storage, fmt::format("{} is another program's database", file));
  if (found > index_layout) {
    return fail(ErrorCode::unsupported,
                fmt::format("{} was written by a newer mesh, with layout {}, and this one knows {}; "
                            "use the newer program, or another home",
                            file, found, index_layout));
  }
  // What a power cut takes is found out again.
  MESH_TRY(connection.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"));
  if (found < index_layout) {
    MESH_TRY(connection.run(
        fmt::format("BEGIN IMMEDIATE; DROP TABLE IF EXISTS file; {} PRAGMA application_id = {}; PRAGMA user_version = "
                    "{}; COMMIT",
                    table, application_id, index_layout)));
  }
  MESH_LET(self->put_,
           connection.prepare("INSERT OR REPLACE INTO file VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"));
  MESH_LET(self->erase_, connection.prepare("DELETE FROM file WHERE share = ?1 AND path = ?2"));
  return self;
}

Status FileIndex::for_each(const std::function<void(Key, const IndexedFile&)>& each) {
  MESH_LET(sqlite::Statement rows,
           connection_.prepare("SELECT share, path, device, inode, bytes, modified_ns, changed_ns, "
                               "cid, sha256, model FROM file"));
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return {};
    const auto cid = Cid::from_bytes(rows.blob(7));
    const auto digest = Digest::from(rows.blob(8));
    if (!cid || !digest) continue;  // Damaged: found out again.
    ModelPointer model;
    if (const ByteView bytes = rows.blob(9); !bytes.empty()) {
      auto read = record::decode<asset::ModelHeader>(bytes);
      if (!read) continue;
      model = std::make_shared<const asset::ModelHeader>(std::move(*read));
    }
    each({rows.text(0), std::string(as_text(rows.blob(1)))},
         {.stamp = {.device = static_cast<std::uint64_t>(rows.integer(2)),
                    .inode = static_cast<std::uint64_t>(rows.integer(3)),
                    .bytes = static_cast<std::uint64_t>(rows.integer(4)),
                    .modified_ns = rows.integer(5),
                    .changed_ns = rows.integer(6)},
          .cid = *cid,
          .sha256 = *digest,
          .model = std::move(model)});
  }
}

Status FileIndex::change(const std::vector<std::pair<Key, IndexedFile>>& put, const std::vector<Key>& erase) {
  const auto all = [&]() -> Status {
    MESH_TRY(connection_.run("BEGIN IMMEDIATE"));
    for (const Key& key : erase) {
      erase_.bind(1, std::string_view(key.first));
      erase_.bind(2, as_bytes(key.second));
      MESH_TRY(erase_.run());
    }
    for (const auto& [key, file] : put) {
      const auto cid = file.cid.binary();
      put_.bind(1, std::string_view(key.first));
      put_.bind(2, as_bytes(key.second));
      put_.bind(3, static_cast<std::int64_t>(file.stamp.device));
      put_.bind(4, static_cast<std::int64_t>(file.stamp.inode));
      put_.bind(5, static_cast<std::int64_t>(file.stamp.bytes));
      put_.bind(6, file.stamp.modified_ns);
      put_.bind(7, file.stamp.changed_ns);
      put_.bind(8, ByteView(cid));
      put_.bind(9, file.sha256.view());
      const Bytes model = file.model ? record::encode(*file.model) : Bytes{};
      put_.bind(10, ByteView(model));
      MESH_TRY(put_.run());
    }
    return connection_.run("COMMIT");
  };
  Status done = all();
  if (!done) connection_.roll_back();
  return done;
}

}  // namespace mesh::store
