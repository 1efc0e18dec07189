#include "chain/outbox.h"

#include <algorithm>

#include "base/planted.h"

namespace mesh::chain {

void Outbox::on_durable(std::uint64_t write) {
  // A number that was never given out makes nothing durable.
  durable_ = std::max(durable_, std::min(write, last_));
  while (!blocks_.empty() && blocks_.front().first <= durable_) {
    durable_height_ = blocks_.front().second;
    blocks_.pop_front();
  }
  while (!waiting_.empty() && waiting_.front().write <= durable_) {
    at_once_.push_back(std::move(waiting_.front().effect));
    waiting_.pop_front();
  }
}

Effects Outbox::take() {
  const bool writes = !persist_.blocks.empty() || !persist_.entries.empty() || persist_.forget_below != 0 ||
                      persist_.signs_from || !persist_.offences.empty() || persist_.snapshot;
  if (writes) {
    std::erase_if(persist_.entries, [this](const auto& entry) { return entry.first < persist_.forget_below; });
    persist_.write = ++last_;
    if (!persist_.blocks.empty() || persist_.begins_at_snapshot) {
      last_block_ = last_;
      blocks_.emplace_back(last_, persist_.blocks.empty() ? persist_.snapshot->height : persist_.blocks.back().height);
    }
    at_once_.emplace_back(std::exchange(persist_, {}));
  }
  for (Effect& effect : then_) {
    if (last_ == durable_ || planted(Bug::chain_tells_before_durable)) {
      at_once_.push_back(std::move(effect));
      continue;
    }
    const bool repeated =
        std::holds_alternative<effect::Broadcast>(effect) || std::holds_alternative<effect::Send>(effect);
    if (repeated && waiting_.size() >= max_waiting_effects) continue;
    waiting_.push_back({last_, std::move(effect)});
  }
  then_.clear();
  return std::exchange(at_once_, {});
}

}  // namespace mesh::chain
