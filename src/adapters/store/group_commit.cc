#include "adapters/store/group_commit.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace mesh::store {
namespace {

constexpr auto longest_wait = std::chrono::milliseconds(50);
constexpr auto first_retry = std::chrono::milliseconds(100);
constexpr auto slowest_retry = std::chrono::milliseconds(1600);

}  // namespace

GroupCommit::GroupCommit(sqlite::Connection& connection, Options options)
    : connection_(connection), options_(std::move(options)), thread_([this] { serve(); }) {}

void GroupCommit::close() {
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void GroupCommit::commit(Job job, Status found) {
  Status taken = take(job, std::move(found));
  if (!taken && job.completion) job.completion(std::move(taken));
}

Status GroupCommit::take(Job& job, Status found) {
  const std::lock_guard guard(mutex_);
  if (refused_) return wrap("nothing is written after what was refused", *refused_);
  if (found && (unanswered_.jobs >= options_.max_jobs || unanswered_.bytes + job.bytes > options_.max_bytes)) {
    found = fail(ErrorCode::exhausted,
                 fmt::format("the store's queue is full ({} batches, {} bytes wait for the disk); try again later",
                             unanswered_.jobs, unanswered_.bytes));
  }
  if (!found) {
    if (options_.refuses_for_good) refused_ = found.error();
    return found;
  }
  const auto now = std::chrono::steady_clock::now();
  const auto by = job.may_wait ? now + longest_wait : now;
  // What was put back is not tried with every job that comes, but in its time.
  if (!trouble_ || !due_) due_ = due_ ? std::min(*due_, by) : by;
  ++unanswered_.jobs;
  unanswered_.bytes += job.bytes;
  queue_.push_back(std::move(job));
  changed_.notify_one();
  return {};
}

GroupCommit::Waiting GroupCommit::waiting() const {
  const std::lock_guard guard(mutex_);
  return unanswered_;
}

Status GroupCommit::write(std::deque<Job>& group) {
  const auto all = [&]() -> Status {
    MESH_TRY(connection_.run("BEGIN IMMEDIATE"));
    for (Job& job : group) MESH_TRY(job.write());
    return connection_.run("COMMIT");
  };
  Status done = all();
  if (!done) connection_.roll_back();
  return done;
}

/// Queues what insists and could not be written again, before what has come since; the rest stays in the group.
void GroupCommit::put_back(const Status& done, std::deque<Job>& group) {
  std::deque<Job> kept;
  if (!done) {
    std::deque<Job> rest;
    for (Job& job : group) (job.insists ? kept : rest).push_back(std::move(job));
    group = std::move(rest);
  }
  if (kept.empty() && !trouble_) return;
  {
    const std::lock_guard guard(mutex_);
    if (kept.empty()) {
      trouble_.reset();
    } else {
      trouble_ = trouble_ ? std::min(*trouble_ * 2, slowest_retry) : first_retry;
      due_ = std::chrono::steady_clock::now() + *trouble_;
      queue_.insert(queue_.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
    }
  }
  if (options_.on_trouble) options_.on_trouble(done);
}

void GroupCommit::serve() {
  std::unique_lock guard(mutex_);
  while (true) {
    changed_.wait(guard, [this] { return closing_ || due_; });
    while (!closing_ && due_ && std::chrono::steady_clock::now() < *due_) {
      const auto until = *due_;  // A copy: the wait reads it while it has let go of the mutex.
      changed_.wait_until(guard, until);
    }
    if (queue_.empty()) return;
    std::deque<Job> group = std::exchange(queue_, {});
    due_.reset();
    const bool last_try = closing_;
    guard.unlock();
    const Status done = write(group);
    if (!last_try) put_back(done, group);
    for (Job& job : group) {
      const std::size_t bytes = job.bytes;
      job.write = {};
      {
        // Before the call, so that a completion that queues the next job finds the room of this one.
        const std::lock_guard count(mutex_);
        --unanswered_.jobs;
        unanswered_.bytes -= bytes;
      }
      if (job.completion) job.completion(done);
    }
    guard.lock();
  }
}

}  // namespace mesh::store
