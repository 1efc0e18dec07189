// Keeps what is shared up to date, on a thread of its own, and knows which peer may have which of it.
//
// A refresh runs at the start, when somebody asks, and soon after a shared file was found changed. Who asks while one runs
// gets the next one, which began after he asked. What is added and removed meanwhile takes its turn between two of them.
// Which peer may have what: `lan` those with a connection on a local network (reach.h), `federation` those that have shown
// a record signed for this federation, `everybody` all.
// Thread-safe. What can go wrong: store/shares.h; each refresh that found something new, or failed, is told.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "adapters/store/shares.h"
#include "domain/identity/identity.h"

namespace mesh::app {

class ShareKeeper {
 public:
  using Refreshed = Result<store::Shares::Refreshed>;
  using Done = std::move_only_function<void(const Refreshed&)>;

  /// `tell` hears of refreshes on the keeper's thread, as do those that ask for one. `shares` must outlive this object.
  ShareKeeper(store::Shares& shares, std::function<void(const Refreshed&)> tell);
  /// stop()
  ~ShareKeeper();
  ShareKeeper(const ShareKeeper&) = delete;
  ShareKeeper& operator=(const ShareKeeper&) = delete;

  void refresh(Done done);
  /// store::Shares::add and remove, on the keeper's thread; `done` is called there.
  void add(asset::Share share, std::move_only_function<void(Result<store::Shares::Added>)> done);
  void remove(std::string name, std::move_only_function<void(bool)> done);
  /// Ends a refresh that is under way, and the thread: nobody is told anything any more. Not from the thread itself.
  void stop();

  void peer_up(const identity::NodeId& peer, bool is_local);
  void peer_is_member(const identity::NodeId& peer);
  void peer_down(const identity::NodeId& peer);
  [[nodiscard]] bool may_have(const identity::NodeId& peer, const Cid& root) const;
  /// The classes that the peer is of.
  [[nodiscard]] std::vector<asset::Visibility> classes_of(const identity::NodeId& peer) const;

 private:
  struct Peer {
    bool is_local = false;
    bool is_member = false;
  };

  using Order = std::move_only_function<void()>;

  void serve();
  void refresh_now(std::unique_lock<std::mutex>& guard);
  void order(Order order);
  /// What is listed is not what it was.
  void tell_change(bool is_listed);

  store::Shares& shares_;
  std::function<void(const Refreshed&)> tell_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Done> waiting_;
  std::deque<Order> orders_;
  bool due_ = true;
  bool is_first_ = true;
  std::chrono::steady_clock::time_point not_before_;  ///< of a refresh that nobody asked for
  bool closing_ = false;
  std::map<identity::NodeId, Peer> peers_;
  std::thread thread_;
};

}  // namespace mesh::app
