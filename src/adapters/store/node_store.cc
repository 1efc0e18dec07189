#include "adapters/store/node_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <chrono>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "adapters/store/schema.h"
#include "adapters/store/sqlite.h"
#include "adapters/store/sync_path.h"
#include "base/check.h"
#include "codec/hash.h"

namespace mesh::store {
namespace {

constexpr std::size_t max_kind_bytes = 64;
constexpr std::size_t max_key_bytes = 512;

class HomeLock {
 public:
  HomeLock() = default;
  HomeLock(HomeLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  HomeLock& operator=(HomeLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  HomeLock(const HomeLock&) = delete;
  HomeLock& operator=(const HomeLock&) = delete;
  ~HomeLock() {
    // The file stays: were it removed, two processes could hold locks on two files of one name.
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] static Result<HomeLock> take(const std::filesystem::path& home) {
    const std::string file = home / "lock";
    HomeLock lock;
    lock.fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock.fd_ < 0) {
      return fail(ErrorCode::storage,
                  fmt::format("the home {} cannot be written ({}); give this user the right to write there, or "
                              "use another home",
                              home.string(), std::strerror(errno)));
    }
    while (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) {
        return fail(ErrorCode::storage, fmt::format("{} cannot be locked ({}); use a home on a file system with locks",
                                                    file, std::strerror(errno)));
      }
      std::array<char, 32> text{};
      const ssize_t got = ::pread(lock.fd_, text.data(), text.size(), 0);
      const std::string_view pid(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
      const std::string_view digits = pid.substr(0, pid.find_first_not_of("0123456789"));
      return fail(ErrorCode::conflict,
                  fmt::format("the home {} is in use by {}{}; stop that node, or use another home with --home",
                              home.string(), digits.empty() ? "another process" : "process ", digits));
    }
    return lock;
  }

  /// Leaves our process id for whoever is refused.
  [[nodiscard]] Status sign() const {
    const std::string text = fmt::format("{}\n", ::getpid());
    if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      return fail(ErrorCode::storage,
                  fmt::format("the home's lock file cannot be written ({}); free some space on the disk",
                              std::strerror(errno)));
    }
    return {};
  }

 private:
  int fd_ = -1;
};

Status sync_folder(const std::filesystem::path& folder) {
  if (sync_path(folder, O_DIRECTORY)) return {};
  return fail(ErrorCode::storage, fmt::format("the folder {} cannot be synced to the disk ({}); check the disk",
                                              folder.string(), std::strerror(errno)));
}

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

constexpr auto longest_wait = std::chrono::milliseconds(50);
constexpr auto first_retry = std::chrono::milliseconds(100);
constexpr auto slowest_retry = std::chrono::milliseconds(1600);

struct Queued {
  WriteBatch batch;
  NodeStore::Completion completion;
  std::size_t bytes = 0;
};

}  // namespace

struct NodeStore::Impl {
  std::filesystem::path home;
  std::string file;
  NodeStoreOptions options;
  HomeLock lock;  // Declared before the connections: it is let go after they are closed.

  sqlite::Connection writer;
  sqlite::Statement add_scope, find_scope, add_record, put_pair, erase_pair, drop_scope;

  mutable std::mutex reader_mutex;
  mutable sqlite::Connection reader;

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Queued> queue;
  std::optional<std::chrono::steady_clock::time_point>
      due;  ///< when what is queued has to be written; none: nothing is
  std::size_t unanswered = 0;
  std::size_t unanswered_bytes = 0;
  bool closing = false;
  std::optional<std::chrono::milliseconds> trouble;  ///< what insists cannot be written; until the next try
  std::thread thread;

  Status prepare() {
    const auto make = [this](sqlite::Statement& statement, std::string_view sql) -> Status {
      MESH_LET(statement, writer.prepare(sql));
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
    return sqlite3_last_insert_rowid(writer.handle());
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

  Status write_group(const std::deque<Queued>& group) {
    const auto all = [&]() -> Status {
      MESH_TRY(writer.run("BEGIN IMMEDIATE"));
      for (const Queued& queued : group) MESH_TRY(write(queued.batch));
      return writer.run("COMMIT");
    };
    Status done = all();
    if (!done) writer.roll_back();
    return done;
  }

  /// Queues what insists and could not be written again, before what has come since; the rest stays in the group.
  void put_back(const Status& done, std::deque<Queued>& group) {
    std::deque<Queued> kept;
    if (!done) {
      std::deque<Queued> rest;
      for (Queued& queued : group) (queued.batch.insists ? kept : rest).push_back(std::move(queued));
      group = std::move(rest);
    }
    if (kept.empty() && !trouble) return;
    {
      const std::lock_guard guard(mutex);
      if (kept.empty()) {
        trouble.reset();
      } else {
        trouble = trouble ? std::min(*trouble * 2, slowest_retry) : first_retry;
        due = std::chrono::steady_clock::now() + *trouble;
        queue.insert(queue.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
      }
    }
    if (options.on_trouble) options.on_trouble(done);
  }

  void serve() {
    std::unique_lock guard(mutex);
    while (true) {
      changed.wait(guard, [this] { return closing || due; });
      while (!closing && due && std::chrono::steady_clock::now() < *due) {
        const auto until = *due;  // A copy: the wait reads it while it has let go of the mutex.
        changed.wait_until(guard, until);
      }
      if (queue.empty()) return;
      std::deque<Queued> group = std::exchange(queue, {});
      due.reset();
      const bool last_try = closing;
      guard.unlock();
      const Status done = write_group(group);
      if (!last_try) put_back(done, group);
      for (Queued& queued : group) {
        const std::size_t bytes = queued.bytes;
        queued.batch = {};
        {
          // Before the call, so that a completion that queues the next batch finds the room of this one.
          const std::lock_guard count(mutex);
          --unanswered;
          unanswered_bytes -= bytes;
        }
        if (queued.completion) queued.completion(done);
      }
      guard.lock();
    }
  }
};

NodeStore::NodeStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

NodeStore::~NodeStore() {
  {
    const std::lock_guard guard(impl_->mutex);
    impl_->closing = true;
  }
  impl_->changed.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
  // The last connection to close folds the WAL into the file, and only one that may write can. Statements first: they
  // keep a connection open.
  impl_->reader.close();
  impl_->add_scope = {};
  impl_->find_scope = {};
  impl_->add_record = {};
  impl_->put_pair = {};
  impl_->erase_pair = {};
  impl_->drop_scope = {};
  impl_->writer.close();
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

  // A first look before even the lock file is made or signed: what a newer program wrote is left as it is. Damage is
  // told after the lock is had, since a running node may be writing.
  if (auto version = peek_version(impl->file); version && *version) MESH_TRY(check_version(impl->file, **version));
  MESH_LET(impl->lock, HomeLock::take(impl->home));
  MESH_LET(const std::optional<FileVersion> version, peek_version(impl->file));
  if (version) MESH_TRY(check_version(impl->file, *version));
  MESH_TRY(impl->lock.sign());

  if (!version) {
    // Made by us, so that it and what SQLite puts beside it are the user's alone.
    const int fd = ::open(impl->file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
      return fail(ErrorCode::storage,
                  fmt::format("{} cannot be made ({}); give this user the right to write there, or use another home",
                              impl->file, std::strerror(errno)));
    }
    ::close(fd);
    MESH_TRY(sync_folder(impl->home));
  }
  struct stat wal{};
  const bool unclean = ::stat((impl->file + "-wal").c_str(), &wal) == 0 && wal.st_size > 0;

  MESH_LET(impl->writer, sqlite::Connection::open(impl->file, sqlite::Connection::Mode::read_write));
  MESH_LET(const std::string mode, impl->writer.query_text("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return fail(ErrorCode::storage,
                fmt::format("{} cannot be kept with a write-ahead log here ({}); use a home on a local disk",
                            impl->file, mode));
  }
  MESH_TRY(
      impl->writer.run("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; "
                       "PRAGMA journal_size_limit = 67108864;"));
  if (unclean) {
    MESH_LET(const std::string verdict, impl->writer.query_text("PRAGMA quick_check(1)"));
    if (verdict != "ok") {
      return fail(ErrorCode::storage,
                  fmt::format("{} is damaged ({}); restore it from a backup, or move it away to begin anew", impl->file,
                              verdict));
    }
  }
  if (impl->options.max_database_bytes != 0) {
    MESH_LET(const std::int64_t page_bytes, impl->writer.query_integer("PRAGMA page_size"));
    const std::uint64_t pages =
        impl->options.max_database_bytes / static_cast<std::uint64_t>(page_bytes > 0 ? page_bytes : 4096);
    MESH_TRY(impl->writer.run(fmt::format("PRAGMA max_page_count = {}", pages)));
  }
  MESH_TRY(migrate(impl->writer, impl->file));
  MESH_TRY(impl->prepare());
  MESH_LET(impl->reader, sqlite::Connection::open(impl->file, sqlite::Connection::Mode::read_only));
  impl->thread = std::thread([store = impl.get()] { store->serve(); });
  return std::unique_ptr<NodeStore>(new NodeStore(std::move(impl)));
}

void NodeStore::commit(WriteBatch batch, Completion completion) {
  Status refusal = check_batch(batch);
  const std::size_t bytes = size_of(batch);
  if (refusal && bytes > impl_->options.max_batch_bytes) {
    refusal = fail(ErrorCode::exhausted, fmt::format("a batch of {} bytes is above the store's bound of {}; split it",
                                                     bytes, impl_->options.max_batch_bytes));
  }
  if (refusal) {
    const std::lock_guard guard(impl_->mutex);
    if (impl_->unanswered >= impl_->options.max_queued_batches ||
        impl_->unanswered_bytes + bytes > impl_->options.max_queued_bytes) {
      refusal = fail(ErrorCode::exhausted,
                     fmt::format("the store's queue is full ({} batches, {} bytes wait for the disk); try again later",
                                 impl_->unanswered, impl_->unanswered_bytes));
    } else {
      const auto now = std::chrono::steady_clock::now();
      const auto by = batch.urgency == Urgency::now ? now : now + longest_wait;
      // What was put back is not tried with every batch that comes, but in its time.
      if (!impl_->trouble || !impl_->due) impl_->due = impl_->due ? std::min(*impl_->due, by) : by;
      impl_->queue.push_back({std::move(batch), std::move(completion), bytes});
      ++impl_->unanswered;
      impl_->unanswered_bytes += bytes;
      impl_->changed.notify_one();
      return;
    }
  }
  if (completion) completion(std::move(refusal));
}

Status NodeStore::commit_and_wait(WriteBatch batch) {
  MESH_CHECK(std::this_thread::get_id() != impl_->thread.get_id(), "store-waits-for-itself");
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

std::size_t NodeStore::queued() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->unanswered;
}

}  // namespace mesh::store
