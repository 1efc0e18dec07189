#include "app/runtime/share_keeper.h"

namespace mesh::app {

namespace {
using Clock = std::chrono::steady_clock;

constexpr auto look_every = std::chrono::seconds(1);
constexpr int rest_for_each = 9;  // Times what the last refresh took.
constexpr std::size_t max_known_peers = 65'536;
}  // namespace

ShareKeeper::ShareKeeper(store::Shares& shares, std::function<void(const Refreshed&)> tell)
    : shares_(shares), tell_(std::move(tell)), thread_([this] { serve(); }) {}

ShareKeeper::~ShareKeeper() { stop(); }

void ShareKeeper::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  shares_.stop();
  changed_.notify_all();
  thread_.join();
}

void ShareKeeper::serve() {
  std::unique_lock guard(mutex_);
  while (!closing_) {
    changed_.wait_for(guard, look_every, [this] { return closing_ || due_ || !orders_.empty(); });
    if (closing_) return;
    if (!orders_.empty()) {
      Order order = std::move(orders_.front());
      orders_.pop_front();
      guard.unlock();
      order();
      guard.lock();
    } else if (due_ || (shares_.is_outdated() && Clock::now() >= not_before_)) {
      refresh_now(guard);
    }
  }
}

void ShareKeeper::refresh_now(std::unique_lock<std::mutex>& guard) {
  due_ = false;
  std::vector<Done> waiting = std::exchange(waiting_, {});
  guard.unlock();
  const Clock::time_point began = Clock::now();
  const Refreshed done = shares_.refresh();
  // A file that is written to all the time is not read all the time.
  not_before_ = Clock::now() + rest_for_each * (Clock::now() - began);
  if (done || done.error().code != ErrorCode::unavailable) {
    if (!done || done->changed || (is_first_ && done->problem_count > 0)) tell_(done);
    is_first_ = false;
    for (Done& one : waiting) one(done);
  }
  guard.lock();
}

void ShareKeeper::order(Order order) {
  const std::lock_guard guard(mutex_);
  orders_.push_back(std::move(order));
  changed_.notify_all();
}

void ShareKeeper::add(asset::Share share, std::move_only_function<void(Result<store::Shares::Added>)> done) {
  order([this, share = std::move(share), done = std::move(done)]() mutable {
    Result<store::Shares::Added> added = shares_.add(share);
    if (added) tell_change(share.is_listed);
    done(std::move(added));
  });
}

void ShareKeeper::remove(std::string name, std::move_only_function<void(bool)> done) {
  order([this, name = std::move(name), done = std::move(done)]() mutable {
    const bool removed = shares_.remove(name);
    if (removed) tell_change(true);
    done(removed);
  });
}

void ShareKeeper::tell_change(bool is_listed) {
  if (!is_listed || !shares_.is_ready()) return;
  store::Shares::Refreshed now;
  now.files = shares_.files();
  now.bytes = shares_.bytes();
  now.changed = true;
  tell_(now);
}

void ShareKeeper::refresh(Done done) {
  const std::lock_guard guard(mutex_);
  waiting_.push_back(std::move(done));
  due_ = true;
  changed_.notify_all();
}

void ShareKeeper::peer_up(const identity::NodeId& peer, bool is_local) {
  const std::lock_guard guard(mutex_);
  Peer& known = peers_[peer];
  known.is_local = known.is_local || is_local;
}

void ShareKeeper::peer_is_member(const identity::NodeId& peer) {
  const std::lock_guard guard(mutex_);
  if (peers_.size() < max_known_peers || peers_.contains(peer)) peers_[peer].is_member = true;
}

void ShareKeeper::peer_down(const identity::NodeId& peer) {
  const std::lock_guard guard(mutex_);
  const auto known = peers_.find(peer);
  if (known == peers_.end()) return;
  known->second.is_local = false;
  if (!known->second.is_member) peers_.erase(known);  // A member shows its record once, and may come back.
}

std::vector<asset::Visibility> ShareKeeper::classes_of(const identity::NodeId& peer) const {
  std::vector<asset::Visibility> classes{asset::Visibility::everybody};
  const std::lock_guard guard(mutex_);
  const auto known = peers_.find(peer);
  if (known != peers_.end() && known->second.is_local) classes.push_back(asset::Visibility::lan);
  if (known != peers_.end() && known->second.is_member) classes.push_back(asset::Visibility::federation);
  return classes;
}

bool ShareKeeper::may_have(const identity::NodeId& peer, const Cid& root) const {
  return shares_.may_have(root, classes_of(peer));
}

}  // namespace mesh::app
