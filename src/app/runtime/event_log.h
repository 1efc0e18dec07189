// The story of a running node, in memory: every notice with a number and a time, for the event stream of the API, the
// CLI and the log.
//
// Numbers grow by one and never repeat, across restarts too: they begin at boot << 32, so that a reader who resumes after
// a restart sees that there is a gap. All calls on the runtime's thread.
// Bounds: 65,536 notices and 16 MiB; the oldest go first.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "node/effect.h"

namespace mesh::app {

struct LoggedEvent {
  std::uint64_t seq = 0;
  std::int64_t time_ms = 0;  ///< wall clock
  node::Notice notice;
};

class EventLog {
 public:
  static constexpr std::size_t max_events = 65'536;
  static constexpr std::size_t max_bytes = std::size_t{16} << 20;

  /// `boot` counts the node's starts; below 2^21, so that a number fits a JavaScript one.
  explicit EventLog(std::uint64_t boot, std::size_t event_bound = max_events, std::size_t byte_bound = max_bytes);
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  void add(std::int64_t time_ms, node::Notice notice);

  /// The number of the latest event; that of the first one less 1 if there was none.
  [[nodiscard]] std::uint64_t last() const { return next_ - 1; }
  /// Whether all events after `seq` are still here. False: some are lost to a reader who resumes there.
  [[nodiscard]] bool complete_since(std::uint64_t seq) const;
  /// Events after `seq`, oldest first, at most `limit`.
  [[nodiscard]] std::vector<LoggedEvent> since(std::uint64_t seq, std::size_t limit) const;

  /// Calls `callback` for every later event, until the subscription is destroyed (which a callback may do; it may not
  /// add events). A subscription may outlive the log.
  using Callback = std::function<void(const LoggedEvent&)>;
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&&) noexcept = default;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription();
    void cancel();

   private:
    friend class EventLog;
    std::weak_ptr<std::map<std::uint64_t, std::shared_ptr<Callback>>> subscribers_;
    std::uint64_t id_ = 0;
  };
  [[nodiscard]] Subscription subscribe(Callback callback);
  [[nodiscard]] std::size_t subscribers() const { return subscribers_->size(); }

 private:
  std::size_t event_bound_, byte_bound_;
  std::uint64_t next_;
  std::size_t bytes_ = 0;
  std::deque<LoggedEvent> events_;
  std::uint64_t next_subscriber_ = 1;
  std::shared_ptr<std::map<std::uint64_t, std::shared_ptr<Callback>>> subscribers_;
};

}  // namespace mesh::app
