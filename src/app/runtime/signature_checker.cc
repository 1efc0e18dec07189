#include "app/runtime/signature_checker.h"

#include "node/parcel.h"

namespace mesh::app {

SignatureChecker::SignatureChecker(const Cid& federation, std::size_t max_waiting_bytes)
    : federation_(federation), max_waiting_bytes_(max_waiting_bytes), thread_([this] { serve(); }) {}

SignatureChecker::~SignatureChecker() {
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  more_.notify_all();
  room_.notify_all();
  thread_.join();
}

void SignatureChecker::check(Bytes message, Checked checked) {
  std::unique_lock guard(mutex_);
  // One that is larger than the bound goes in alone.
  room_.wait(guard,
             [&] { return closing_ || waiting_bytes_ == 0 || waiting_bytes_ + message.size() <= max_waiting_bytes_; });
  if (closing_) return;
  waiting_bytes_ += message.size();
  queue_.push_back({std::move(message), std::move(checked)});
  more_.notify_one();
}

void SignatureChecker::serve() {
  std::unique_lock guard(mutex_);
  while (true) {
    more_.wait(guard, [this] { return closing_ || !queue_.empty(); });
    if (closing_) return;
    Waiting next = std::move(queue_.front());
    queue_.pop_front();
    guard.unlock();
    const std::size_t bytes = next.message.size();
    std::vector<Digest> held;
    if (const auto parcel = record::decode<node::Parcel>(next.message))
      held = held_signatures(parcel->envelopes, federation_);
    next.checked(std::move(next.message), std::move(held));
    guard.lock();
    waiting_bytes_ -= bytes;
    room_.notify_one();
  }
}

}  // namespace mesh::app
