#include "app/runtime/event_log.h"

#include <algorithm>

namespace mesh::app {

namespace {

std::size_t size_of(const node::Notice& notice) {
  return sizeof(LoggedEvent) + notice.kind.size() + notice.phase.size() + notice.text.size() + notice.bytes.size() +
         (notice.transfer ? notice.transfer->path.size() : 0);
}

}  // namespace

EventLog::EventLog(std::uint64_t boot, std::size_t event_bound, std::size_t byte_bound)
    : event_bound_(event_bound),
      byte_bound_(byte_bound),
      next_((boot << 32) + 1),
      subscribers_(std::make_shared<std::map<std::uint64_t, std::shared_ptr<Callback>>>()) {}

void EventLog::add(std::int64_t time_ms, node::Notice notice) {
  bytes_ += size_of(notice);
  events_.push_back({.seq = next_++, .time_ms = time_ms, .notice = std::move(notice)});
  const LoggedEvent event = events_.back();
  while (events_.size() > event_bound_ || (bytes_ > byte_bound_ && events_.size() > 1)) {
    bytes_ -= size_of(events_.front().notice);
    events_.pop_front();
  }
  // A copy, since a callback may cancel its own subscription or another's.
  const std::map<std::uint64_t, std::shared_ptr<Callback>> subscribers = *subscribers_;
  for (const auto& [id, callback] : subscribers) {
    if (subscribers_->contains(id)) (*callback)(event);
  }
}

bool EventLog::complete_since(std::uint64_t seq) const {
  const std::uint64_t oldest = events_.empty() ? next_ : events_.front().seq;
  return seq + 1 >= oldest && seq < next_;
}

std::vector<LoggedEvent> EventLog::since(std::uint64_t seq, std::size_t limit) const {
  std::vector<LoggedEvent> found;
  const auto first = std::ranges::upper_bound(events_, seq, {}, &LoggedEvent::seq);
  for (auto it = first; it != events_.end() && found.size() < limit; ++it) found.push_back(*it);
  return found;
}

EventLog::Subscription EventLog::subscribe(Callback callback) {
  Subscription subscription;
  subscription.id_ = next_subscriber_++;
  subscription.subscribers_ = subscribers_;
  subscribers_->emplace(subscription.id_, std::make_shared<Callback>(std::move(callback)));
  return subscription;
}

EventLog::Subscription& EventLog::Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    cancel();
    subscribers_ = std::exchange(other.subscribers_, {});
    id_ = other.id_;
  }
  return *this;
}

EventLog::Subscription::~Subscription() { cancel(); }

void EventLog::Subscription::cancel() {
  if (const auto subscribers = subscribers_.lock()) subscribers->erase(id_);
  subscribers_.reset();
}

}  // namespace mesh::app
