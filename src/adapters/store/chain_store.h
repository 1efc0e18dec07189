// The durable storage of one replica of a federation's chain, in an SQLite database (WAL, full sync) that belongs to one
// federation and that one process holds.
//
// Writes are asynchronous, on the store's own thread, with group commit: whatever is queued goes into one transaction and one
// fsync. Each is there wholly or not at all, and none without all before it: a write is never given up while the store is open. When
// the disk is full or fails it is tried again, ever less often, and all that comes waits behind it.
//
// Bounds: the queue (writes and bytes) and the size of a write. A write that is refused leaves a gap that nothing may be written over:
// from then on all are refused. So whoever commits looks at queued() and takes less in before the bound is reached.
// What can go wrong: the file is held by another process or is another federation's (conflict), not writable, full or
// damaged (storage), or was written by a newer version (unsupported; then not a byte of it is changed). A file whose pages are
// damaged where something is to be written cannot be written any more; on_trouble says so again and again. A chain that is brought
// back from a backup, or begun anew with a key that has signed, has to be told signs_from = signs_never before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "adapters/store/chain_reader.h"

namespace mesh::store {

struct ChainPart {
  std::uint64_t height = 0;
  std::uint64_t number = 0;
  Bytes bytes;
};

/// All of it or nothing, after all writes before it. Applied in this order: forget_log, forget_below, entries, parts, begins_at, blocks, and
/// the rest.
struct ChainWrite {
  std::vector<ChainBlock> blocks;  ///< Each replaces what is stored at its height, which is at least 1.
  /// Of snapshots. There is one once its part 0 is written, its pieces before that; of all others the latest, and the one with which the chain begins, are then
  /// kept.
  std::vector<ChainPart> parts;
  /// The chain begins with the snapshot of this height, which is there: blocks up to it, and other snapshots, go.
  std::optional<std::uint64_t> begins_at;
  std::uint64_t forget_below = 0;  ///< Entries of the log of lower heights go.
  std::vector<std::pair<std::uint64_t, Bytes>> entries;  ///< Appended to the log, each with its height.
  std::optional<std::uint64_t> signs_from;
  std::vector<ChainOffence> offences;  ///< Each replaces the one of the same offender.
  bool forget_log = false;  ///< The whole log goes: one that cannot be read, by a replica that will not use it.
};

struct ChainStoreOptions {
  std::size_t max_queued_writes = 4096;
  std::size_t max_queued_bytes = std::size_t{1} << 30;
  std::size_t max_write_bytes = std::size_t{256} << 20;
  std::uint64_t max_database_bytes = 0;  ///< 0: as large as the disk allows
  /// Told each time that what is queued could not be written, and once when it is; on the store's thread. It must not wait.
  std::function<void(const Status&)> on_trouble;
};

class ChainStore {
 public:
  /// Called once, on the store's thread (save where commit() says otherwise). It may queue more, and must not wait.
  using Completion = std::move_only_function<void(Status)>;
  struct Queued {
    std::size_t writes = 0;
    std::size_t bytes = 0;
  };

  /// Locks `file`, by a file `file`-lock beside it, and opens it, or makes it (mode 0600) for `federation`. Its folder has to be
  /// there. Pages are checked (PRAGMA quick_check) only if the last shutdown was unclean.
  [[nodiscard]] static Result<std::unique_ptr<ChainStore>> open(const std::filesystem::path& file,
                                                                const Cid& federation, ChainStoreOptions options = {});
  /// Removes a chain of `federation` that check_unused() allows, under its lock; nothing where there is none. Killed meanwhile it leaves
  /// one that opens, or none. Errors: those of open() and of check_unused(), storage.
  [[nodiscard]] static Status remove_unused(const std::filesystem::path& file, const Cid& federation);
  /// Tries once more to write what is queued, calls its completions, and closes.
  ~ChainStore();
  ChainStore(const ChainStore&) = delete;
  ChainStore& operator=(const ChainStore&) = delete;

  /// Queues a write. The completion gets success once it is on the disk, in the order of commit() calls; or an error if the store
  /// closes before that, and then nothing of the write is there. A write that is malformed (invalid), too large or past the queue's
  /// bound (exhausted) is refused at once, and all after it: the completion is then called on the caller's thread, before commit() returns. Thread-safe.
  void commit(ChainWrite write, Completion completion);
  /// The same, waiting for the disk; never from a completion.
  [[nodiscard]] Status commit_and_wait(ChainWrite write);
  /// What is queued and not yet answered.
  [[nodiscard]] Queued queued() const;

  /// As ChainReader says; from any thread.
  [[nodiscard]] const Cid& federation() const;
  [[nodiscard]] Result<std::uint64_t> base() const;
  [[nodiscard]] Result<std::uint64_t> height() const;
  [[nodiscard]] Result<std::vector<ChainBlock>> read(std::uint64_t from, std::size_t count, std::size_t bytes) const;
  [[nodiscard]] Status each_block(const std::function<Status(ChainBlock)>& each, std::uint64_t after = 0) const;
  [[nodiscard]] Result<std::vector<ChainSnapshot>> snapshots() const;
  [[nodiscard]] Result<Bytes> part(std::uint64_t height, std::uint64_t number) const;
  [[nodiscard]] Result<ChainLog> log() const;
  [[nodiscard]] Status each_entry(const std::function<Status(ChainEntry)>& each) const;
  [[nodiscard]] Result<std::vector<ChainOffence>> offences() const;
  /// Whether nobody could miss it: no block is there, and the log has nothing, so no other replica can have heard of it. Errors:
  /// conflict (the text says what is there); those of height() and log().
  [[nodiscard]] Status check_unused() const;

 private:
  struct Impl;
  explicit ChainStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::store
