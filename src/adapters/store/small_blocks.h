// Small blocks, together in one database, HOME/blocks/small.db: as files of their own, thousands of inputs and results of
// a few bytes would cost a hundred times what they hold (an inode, a folder's entry, three calls and two syncs each).
//
// Rows are added at the end and named by number; which block lies where is the block store's to remember. What was put
// survives the process at once and a power cut after sync(). Whoever reads checks the bytes against their CID.
// Bounds: none of its own; the block store holds the quota and the size of a block. One process at a time (the home's
// lock). Thread-safe: one caller at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "adapters/store/sqlite.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/cid.h"

namespace mesh::store {

class SmallBlocks {
 public:
  struct Row {
    std::int64_t number = 0;
    Cid cid;
    std::uint64_t size_bytes = 0;
  };

  /// Opens or makes small.db in `folder`. Errors: storage (damaged, read-only, not ours), unsupported (a newer mesh's).
  [[nodiscard]] static Result<std::unique_ptr<SmallBlocks>> open(const std::string& folder);
  ~SmallBlocks();
  SmallBlocks(const SmallBlocks&) = delete;
  SmallBlocks& operator=(const SmallBlocks&) = delete;

  /// Every row, the oldest first.
  [[nodiscard]] Status for_each(const std::function<void(const Row&)>& each);
  /// The new row's number. Errors: storage.
  [[nodiscard]] Result<std::int64_t> add(const Cid& cid, ByteView bytes);
  /// Of a row on damaged pages: nothing or something, which is not what its CID names. Errors: not_found, storage.
  [[nodiscard]] Result<Bytes> read(std::int64_t row);
  /// When it was added, in seconds since 1970. Errors: not_found, storage.
  [[nodiscard]] Result<std::int64_t> written_s(std::int64_t row);
  /// One that is not there is no error. Errors: storage; a full disk is none of them as long as what is in the log can be
  /// moved into the database.
  [[nodiscard]] Status erase(std::int64_t row);
  /// Waits until all that was added would survive a power cut. Errors: storage; a later call succeeds only once all has been
  /// written anew, since a failed sync may have dropped what it could not write.
  [[nodiscard]] Status sync();
  /// Gives the disk back what erased rows took, bit by bit: others get in between.
  [[nodiscard]] Status shrink();

 private:
  SmallBlocks() = default;
  /// Moves what is in the log into the database, durably. With the mutex held.
  [[nodiscard]] Status fold_log();
  [[nodiscard]] Status in_transaction(const std::function<Status()>& work);

  std::mutex mutex_;
  std::string file_;
  int log_ = -1;  ///< a descriptor of the write-ahead log: it alone hears of every failed write-back
  std::mutex sync_mutex_;  ///< taken before `mutex_`: others add while one waits for the disk
  bool sync_failed_ = false;
  sqlite::Connection connection_;
  sqlite::Statement begin_, commit_, add_block_, add_bytes_, read_, age_, erase_block_, erase_bytes_;
};

}  // namespace mesh::store
