// The node's durable state: an append-only journal of records, and key-values, in one SQLite database (WAL, full
// sync) inside the home folder, which it locks for as long as it lives.
//
// Writes are asynchronous, on the store's own thread, with group commit: whatever is queued goes into one
// transaction and one fsync. A batch for which nobody waits may say so: it is then written with the next that is waited for,
// or alone when a twentieth of a second has passed. Reads are synchronous, on a second, read-only connection, from any thread.
// A batch that insists is not given up when the disk fails: it is tried again, ever less often, until it is written, and
// what was queued behind it stays behind it.
// Bounds: the queue (batches and bytes), the size of a batch, the bytes and rows that one read may return.
// What can go wrong: the home is held by another process (conflict), not writable, full or damaged (storage), or was
// written by a newer version (unsupported; then not a byte of it is changed).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/cid.h"

namespace mesh::store {

/// One entry of the journal: `bytes` are the record as signed and encoded, `scope` the thing it belongs to (a task's
/// intent), `kind` the reader's name for what it is, 1 to 64 bytes of text.
struct StoredRecord {
  Cid scope;
  std::string kind;
  Bytes bytes;

  bool operator==(const StoredRecord&) const = default;
};

enum class Urgency : std::uint8_t {
  now,
  may_wait,  ///< written with the next batch, in its order, and 50 ms after it was queued at the latest
};

/// What is written together or not at all. Applied in this order: drop_scopes, erase, append, put.
struct WriteBatch {
  std::vector<StoredRecord> append;  ///< A record that is there already (same scope, kind, bytes) is no error.
  std::vector<std::pair<std::string, Bytes>> put;  ///< Keys of 1 to 512 bytes; replaces.
  std::vector<std::string> erase;  ///< Keys; an absent one is no error.
  std::vector<Cid> drop_scopes;  ///< Every record of these scopes goes.
  Urgency urgency = Urgency::now;
  bool insists = false;  ///< tried again until it is written, or the store closes

  [[nodiscard]] bool empty() const { return append.empty() && put.empty() && erase.empty() && drop_scopes.empty(); }
};

struct NodeStoreOptions {
  std::size_t max_queued_batches = 4096;
  std::size_t max_queued_bytes = std::size_t{256} << 20;
  std::size_t max_batch_bytes = std::size_t{64} << 20;  ///< Of one batch; a larger one is refused as `exhausted`.
  std::size_t max_read_bytes = std::size_t{64}
                               << 20;  ///< That one records() or scan() may return; past it `exhausted`.
  std::uint64_t max_database_bytes = 0;  ///< 0: as large as the disk allows; past it `storage`.
  /// Told each time that a batch that insists could not be written, and once when what was kept is written; on the store's
  /// thread. It must not wait.
  std::function<void(const Status&)> on_trouble;
};

class NodeStore {
 public:
  /// Called once, on the store's thread (save where commit() says otherwise). It may queue more, and must not wait.
  using Completion = std::move_only_function<void(Status)>;

  /// Locks `home` (creating the folder, mode 0700, where it is missing) and opens `home`/node.db.
  /// Errors: conflict (names the process that holds the home), storage (not writable, full, damaged, not ours),
  /// unsupported (a newer schema: nothing is changed, no file is created).
  /// Pages are checked (PRAGMA quick_check) only if the last shutdown was unclean, which a left-over non-empty WAL
  /// shows: a clean close folds the WAL into the database and deletes it.
  [[nodiscard]] static Result<std::unique_ptr<NodeStore>> open(const std::filesystem::path& home,
                                                               NodeStoreOptions options = {});
  /// Writes what is queued, calls its completions, closes cleanly and lets the home go.
  ~NodeStore();
  NodeStore(const NodeStore&) = delete;
  NodeStore& operator=(const NodeStore&) = delete;

  /// Queues a batch. The completion gets success once the batch is on the disk, in the order of commit() calls; or the
  /// error, and then nothing of the batch was written. Batches that were queued together succeed or fail together; those
  /// that insist fail only if the store closes before the disk takes them.
  /// A batch that is malformed (invalid), too large or past the queue's bound (exhausted) is refused at once: the
  /// completion is then called on the caller's thread, before commit() returns. Thread-safe.
  void commit(WriteBatch batch, Completion completion);
  /// The same, waiting for the disk; never from a completion.
  [[nodiscard]] Status commit_and_wait(WriteBatch batch);

  /// Every record in the order of appending, without holding more than one in memory. Stops at the first error of
  /// `each` and returns it. Sees what was committed before the call.
  [[nodiscard]] Status load_all(const std::function<Status(StoredRecord)>& each) const;

  /// Scopes whose CID's text begins with `prefix` (all for ""), in the order in which they first appeared, at most
  /// `limit`.
  [[nodiscard]] Result<std::vector<Cid>> list_scopes(std::string_view prefix = {}, std::size_t limit = 100'000) const;
  /// The records of a scope in the order of appending; empty for an unknown scope.
  [[nodiscard]] Result<std::vector<StoredRecord>> records(const Cid& scope) const;
  [[nodiscard]] Result<std::optional<Bytes>> get(std::string_view key) const;
  /// Keys that begin with `prefix` and their values, by key in byte order, at most `limit`.
  [[nodiscard]] Result<std::vector<std::pair<std::string, Bytes>>> scan(std::string_view prefix,
                                                                        std::size_t limit = 10'000) const;

  [[nodiscard]] const std::filesystem::path& home() const;
  /// Batches queued and not yet answered.
  [[nodiscard]] std::size_t queued() const;

 private:
  struct Impl;
  explicit NodeStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::store
