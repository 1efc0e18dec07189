#include "adapters/store/node_store.h"

#include <fmt/format.h>

#include <array>
#include <future>
#include <mutex>

#include "adapters/store/database.h"
#include "adapters/store/group_commit.h"
#include "adapters/store/sqlite.h"
#include "base/check.h"
#include "codec/hash.h"

namespace mesh::store {
namespace {

constexpr std::size_t max_kind_bytes = 64;
constexpr std::size_t max_key_bytes = 512;

constexpr std::array node_migrations{
    Migration{1, R"sql(
      CREATE TABLE meta(name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;
      CREATE TABLE scope(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        cid BLOB NOT NULL UNIQUE,
        text TEXT NOT NULL UNIQUE) STRICT;
      CREATE TABLE record(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        scope INTEGER NOT NULL REFERENCES scope(id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        bytes BLOB NOT NULL,
        UNIQUE(scope, kind, digest)) STRICT;
      CREATE TABLE pair(key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT;
    )sql"},
};
constexpr Schema schema{.application = application_id, .migrations = node_migrations};

std::size_t size_of(const WriteBatch& batch) {
  constexpr std::size_t per_string = sizeof(std::string);
  std::size_t total = sizeof batch;
  for (const StoredRecord& record : batch.append) total += record.bytes.size() + record.kind.size() + sizeof record;
  for (const auto& [key, value] : batch.put) total += key.size() + value.size() + per_string + sizeof(Bytes);
  for (const std::string& key : batch.erase) total += key.size() + per_string;
  return total + batch.drop_scopes.size() * sizeof(Cid);
}

Status check_key(std::string_view key) {
  if (key.empty() || key.size() > max_key_bytes) {
    return fail(ErrorCode::invalid, fmt::format("a key has {} bytes; it must have 1 to {}", key.size(), max_key_bytes));
  }
  return {};
}

Status check_batch(const WriteBatch& batch) {
  for (const StoredRecord& record : batch.append) {
    if (record.kind.empty() || record.kind.size() > max_kind_bytes) {
      return fail(ErrorCode::invalid, fmt::format("a record's kind has {} bytes; it must have 1 to {}",
                                                  record.kind.size(), max_kind_bytes));
    }
  }
  for (const auto& [key, value] : batch.put) MESH_TRY(check_key(key));
  for (const std::string& key : batch.erase) MESH_TRY(check_key(key));
  return {};
}

/// The first byte string behind every one that begins with `prefix`; nullopt where there is none.
std::optional<Bytes> prefix_end(std::string_view prefix) {
  Bytes end = to_bytes(prefix);
  while (!end.empty() && end.back() == 0xff) end.pop_back();
  if (end.empty()) return std::nullopt;
  ++end.back();
  return end;
}

Result<Cid> stored_cid(ByteView bytes, const std::string& file) {
  auto cid = Cid::from_bytes(bytes);
  if (!cid) {
    return fail(ErrorCode::storage,
                fmt::format("{} is damaged (a scope is not a CID); restore it from a backup, or move it "
                            "away to begin anew",
                            file));
  }
  return cid;
}

}  // namespace

struct NodeStore::Impl {
  std::filesystem::path home;
  std::string file;
  NodeStoreOptions options;
  Database database;  // Declared before what uses it: its lock is let go last.
  sqlite::Statement add_scope, find_scope, add_record, put_pair, erase_pair, drop_scope;

  mutable std::mutex reader_mutex;
  mutable sqlite::Connection reader;

  std::optional<GroupCommit> commits;

  Status prepare() {
    const auto make = [this](sqlite::Statement& statement, std::string_view sql) -> Status {
      MESH_LET(statement, database.connection.prepare(sql));
      return {};
    };
    MESH_TRY(make(add_scope, "INSERT INTO scope(cid, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING"));
    MESH_TRY(make(find_scope, "SELECT id FROM scope WHERE cid = ?1"));
    MESH_TRY(make(add_record,
                  "INSERT INTO record(scope, kind, digest, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"));
    MESH_TRY(make(put_pair, "INSERT INTO pair(key, value) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2"));
    MESH_TRY(make(erase_pair, "DELETE FROM pair WHERE key = ?1"));
    return make(drop_scope, "DELETE FROM scope WHERE cid = ?1");
  }

  Result<std::int64_t> scope_id(const Cid& scope) {
    const auto binary = scope.binary();
    find_scope.bind(1, ByteView(binary));
    MESH_LET(const bool known, find_scope.step());
    if (known) {
      const std::int64_t id = find_scope.integer(0);
      find_scope.reset();
      return id;
    }
    const std::string text = scope.text();
    add_scope.bind(1, ByteView(binary));
    add_scope.bind(2, text);
    MESH_TRY(add_scope.run());
    return sqlite3_last_insert_rowid(database.connection.handle());
  }

  Status write(const WriteBatch& batch) {
    for (const Cid& scope : batch.drop_scopes) {
      const auto binary = scope.binary();
      drop_scope.bind(1, ByteView(binary));
      MESH_TRY(drop_scope.run());
    }
    for (const std::string& key : batch.erase) {
      erase_pair.bind(1, as_bytes(key));
      MESH_TRY(erase_pair.run());
    }
    for (const StoredRecord& record : batch.append) {
      MESH_LET(const std::int64_t scope, scope_id(record.scope));
      const Digest digest = sha256(record.bytes);
      add_record.bind(1, scope);
      add_record.bind(2, std::string_view(record.kind));
      add_record.bind(3, digest.view());
      add_record.bind(4, ByteView(record.bytes));
      MESH_TRY(add_record.run());
    }
    for (const auto& [key, value] : batch.put) {
      put_pair.bind(1, as_bytes(key));
      put_pair.bind(2, ByteView(value));
      MESH_TRY(put_pair.run());
    }
    return {};
  }
};

NodeStore::NodeStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

NodeStore::~NodeStore() {
  impl_->commits.reset();
  // The last connection to close folds the WAL into the file, and only one that may write can. Statements first: they
  // keep a connection open.
  impl_->reader.close();
  impl_->add_scope = {};
  impl_->find_scope = {};
  impl_->add_record = {};
  impl_->put_pair = {};
  impl_->erase_pair = {};
  impl_->drop_scope = {};
  impl_->database.connection.close();
}

Result<std::unique_ptr<NodeStore>> NodeStore::open(const std::filesystem::path& home, NodeStoreOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  std::error_code failed;
  const bool existed = std::filesystem::exists(home, failed);
  if (!existed) {
    std::filesystem::create_directories(home, failed);
    if (!failed) std::filesystem::permissions(home, std::filesystem::perms::owner_all, failed);
  }
  if (failed || !std::filesystem::is_directory(home, failed)) {
    return fail(ErrorCode::storage,
                fmt::format("the home {} cannot be made ({}); give this user the right to write there, or use another "
                            "home",
                            home.string(), failed ? failed.message() : "a file of that name is there"));
  }
  impl->home = std::filesystem::absolute(home, failed);
  if (failed)
    return fail(ErrorCode::storage, fmt::format("the home {} cannot be found ({})", home.string(), failed.message()));
  impl->file = (impl->home / "node.db").string();

  MESH_LET(impl->database, open_database({.file = impl->file,
                                          .schema = schema,
                                          .lock_file = impl->home / "lock",
                                          .what = fmt::format("the home {}", impl->home.string()),
                                          .way_out = "stop that node, or use another home with --home",
                                          .repair = "restore it from a backup, or move it away to begin anew",
                                          .max_bytes = impl->options.max_database_bytes}));
  MESH_TRY(impl->prepare());
  MESH_LET(impl->reader, sqlite::Connection::open(impl->file, sqlite::Connection::Mode::read_only));
  impl->commits.emplace(impl->database.connection, GroupCommit::Options{.max_jobs = impl->options.max_queued_batches,
                                                                        .max_bytes = impl->options.max_queued_bytes,
                                                                        .on_trouble = impl->options.on_trouble});
  return std::unique_ptr<NodeStore>(new NodeStore(std::move(impl)));
}

void NodeStore::commit(WriteBatch batch, Completion completion) {
  Status refusal = check_batch(batch);
  const std::size_t bytes = size_of(batch);
  if (refusal && bytes > impl_->options.max_batch_bytes) {
    refusal = fail(ErrorCode::exhausted, fmt::format("a batch of {} bytes is above the store's bound of {}; split it",
                                                     bytes, impl_->options.max_batch_bytes));
  }
  GroupCommit::Job job{.completion = std::move(completion),
                       .bytes = bytes,
                       .may_wait = batch.urgency == Urgency::may_wait,
                       .insists = batch.insists};
  job.write = [impl = impl_.get(), batch = std::move(batch)] { return impl->write(batch); };
  impl_->commits->commit(std::move(job), std::move(refusal));
}

Status NodeStore::commit_and_wait(WriteBatch batch) {
  MESH_CHECK(!impl_->commits->is_this_thread(), "store-waits-for-itself");
  std::promise<Status> promise;
  std::future<Status> done = promise.get_future();
  commit(std::move(batch), [&promise](Status status) { promise.set_value(std::move(status)); });
  return done.get();
}

Status NodeStore::load_all(const std::function<Status(StoredRecord)>& each) const {
  // A connection of its own: `each` may read through the shared one meanwhile.
  MESH_LET(sqlite::Connection connection, sqlite::Connection::open(impl_->file, sqlite::Connection::Mode::read_only));
  MESH_LET(sqlite::Statement rows, connection.prepare("SELECT scope.cid, record.kind, record.bytes FROM record "
                                                      "JOIN scope ON scope.id = record.scope ORDER BY record.id"));
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return {};
    MESH_LET(const Cid scope, stored_cid(rows.blob(0), impl_->file));
    MESH_TRY(each({.scope = scope, .kind = rows.text(1), .bytes = to_bytes(rows.blob(2))}));
  }
}

Result<std::vector<Cid>> NodeStore::list_scopes(std::string_view prefix, std::size_t limit) const {
  const std::lock_guard guard(impl_->reader_mutex);
  const std::optional<Bytes> end = prefix_end(prefix);
  MESH_LET(sqlite::Statement rows,
           impl_->reader.prepare("SELECT cid FROM scope WHERE text >= ?1 AND (?2 = '' OR text < ?2) "
                                 "ORDER BY id LIMIT ?3"));
  rows.bind(1, prefix);
  rows.bind(2, end ? as_text(*end) : std::string_view());
  rows.bind(3, static_cast<std::int64_t>(std::min<std::size_t>(limit, INT32_MAX)));
  std::vector<Cid> scopes;
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return scopes;
    MESH_LET(const Cid scope, stored_cid(rows.blob(0), impl_->file));
    scopes.push_back(scope);
  }
}

Result<std::vector<StoredRecord>> NodeStore::records(const Cid& scope) const {
  const std::lock_guard guard(impl_->reader_mutex);
  MESH_LET(sqlite::Statement rows,
           impl_->reader.prepare("SELECT record.kind, record.bytes FROM record JOIN scope ON scope.id = record.scope "
                                 "WHERE scope.cid = ?1 ORDER BY record.id"));
  const auto binary = scope.binary();
  rows.bind(1, ByteView(binary));
  std::vector<StoredRecord> records;
  std::size_t total = 0;
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return records;
    total += rows.blob(1).size();
    if (total > impl_->options.max_read_bytes) {
      return fail(ErrorCode::exhausted,
                  fmt::format("the records of {} hold more than {} bytes; read them with load_all", scope.text(),
                              impl_->options.max_read_bytes));
    }
    records.push_back({.scope = scope, .kind = rows.text(0), .bytes = to_bytes(rows.blob(1))});
  }
}

Result<std::optional<Bytes>> NodeStore::get(std::string_view key) const {
  const std::lock_guard guard(impl_->reader_mutex);
  MESH_LET(sqlite::Statement row, impl_->reader.prepare("SELECT value FROM pair WHERE key = ?1"));
  row.bind(1, as_bytes(key));
  MESH_LET(const bool found, row.step());
  if (!found) return std::nullopt;
  return to_bytes(row.blob(0));
}

Result<std::vector<std::pair<std::string, Bytes>>> NodeStore::scan(std::string_view prefix, std::size_t limit) const {
  const std::lock_guard guard(impl_->reader_mutex);
  const std::optional<Bytes> end = prefix_end(prefix);
  MESH_LET(sqlite::Statement rows,
           impl_->reader.prepare("SELECT key, value FROM pair WHERE key >= ?1 AND (length(?2) = 0 OR key < ?2) "
                                 "ORDER BY key LIMIT ?3"));
  rows.bind(1, as_bytes(prefix));
  rows.bind(2, end ? ByteView(*end) : ByteView());
  rows.bind(3, static_cast<std::int64_t>(std::min<std::size_t>(limit, INT32_MAX)));
  std::vector<std::pair<std::string, Bytes>> pairs;
  std::size_t total = 0;
  while (true) {
    MESH_LET(const bool row, rows.step());
    if (!row) return pairs;
    total += rows.blob(0).size() + rows.blob(1).size();
    if (total > impl_->options.max_read_bytes) {
      return fail(ErrorCode::exhausted, fmt::format("the values under \"{}\" hold more than {} bytes; ask for fewer",
                                                    prefix, impl_->options.max_read_bytes));
    }
    pairs.emplace_back(rows.text(0), to_bytes(rows.blob(1)));
  }
}

const std::filesystem::path& NodeStore::home() const { return impl_->home; }

std::size_t NodeStore::queued() const { return impl_->commits->waiting().jobs; }

}  // namespace mesh::store
