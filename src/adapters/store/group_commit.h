// One thread that writes to a database, with group commit: whatever is queued goes into one transaction and one fsync.
//
// A job that insists is not given up when the disk fails: it is tried again, ever less often, until it is written, and
// what was queued behind it stays behind it. Private to the store.
//
// Bounds: the jobs and bytes that wait for the disk; past them `exhausted`.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "adapters/store/sqlite.h"
#include "base/error.h"

namespace mesh::store {

class GroupCommit {
 public:
  using Completion = std::move_only_function<void(Status)>;
  struct Job {
    std::move_only_function<Status()> write;  ///< inside a transaction; called again where that one failed
    Completion completion;
    std::size_t bytes = 0;
    bool may_wait = false;  ///< 50 ms at most, for one that may not
    bool insists = false;
  };
  struct Options {
    std::size_t max_jobs = 0;
    std::size_t max_bytes = 0;
    bool refuses_for_good = false;  ///< after one job that was refused none is taken: none is written over a gap
    std::function<void(const Status&)> on_trouble;
  };
  struct Waiting {
    std::size_t jobs = 0;
    std::size_t bytes = 0;
  };

  /// The connection is the thread's alone until close().
  GroupCommit(sqlite::Connection& connection, Options options);
  ~GroupCommit() { close(); }
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  /// Queues a job. Its completion is called on the thread, in the order of the calls; or here, before commit() returns, where it
  /// is refused: by a bound, or because of what its owner found, `found`.
  void commit(Job job, Status found);
  /// Writes what is queued, tries no more, and ends the thread.
  void close();
  /// What is queued and not yet answered.
  [[nodiscard]] Waiting waiting() const;
  [[nodiscard]] bool is_this_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void serve();
  [[nodiscard]] Status write(std::deque<Job>& group);
  void put_back(const Status& done, std::deque<Job>& group);
  [[nodiscard]] Status take(Job& job, Status found);

  sqlite::Connection& connection_;
  Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queue_;
  std::optional<std::chrono::steady_clock::time_point>
      due_;  ///< when what is queued has to be written; none: nothing is
  Waiting unanswered_;
  std::optional<Error> refused_;
  bool closing_ = false;
  std::optional<std::chrono::milliseconds> trouble_;  ///< what insists cannot be written; until the next try
  std::thread thread_;
};

}  // namespace mesh::store
