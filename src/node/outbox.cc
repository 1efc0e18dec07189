#include "node/outbox.h"

#include "base/planted.h"

namespace mesh::node {

namespace {
constexpr std::size_t target_bytes = max_parcel_bytes * 3 / 4;  // Leaves room for the encoding around the parts.
constexpr std::size_t envelope_overhead = 128;
}  // namespace

void Outbox::journal(const Cid& scope, std::string kind, Bytes bytes) {
  records_.push_back({scope, std::move(kind), std::move(bytes)});
}

Outbox::Pending& Outbox::pending(const NodeId& to, Channel channel, std::size_t more) {
  Pending& entry = pending_[{to, channel}];
  if (entry.bytes != 0 && (entry.bytes + more > target_bytes || entry.parcel.envelopes.size() >= max_parcel_envelopes ||
                           entry.parcel.blocks.size() >= max_parcel_blocks)) {
    flush(to, channel, entry);
  }
  entry.bytes += more;
  return entry;
}

void Outbox::flush(const NodeId& to, Channel channel, Pending& entry) {
  outgoing_.push_back({effect::Send{to, channel, record::encode(entry.parcel)}});
  entry = {};
}

void Outbox::send(const NodeId& to, Channel channel, const Envelope& envelope) {
  pending(to, channel, envelope.body.size() + envelope_overhead).parcel.envelopes.push_back(envelope);
}

void Outbox::send_block(const NodeId& to, Channel channel, Bytes block) {
  Pending& entry = pending(to, channel, block.size() + 16);
  entry.parcel.blocks.push_back(std::move(block));
}

void Outbox::send_log(const NodeId& to, LogPiece piece) {
  Pending& entry = pending(to, Channel::receipt, piece.bytes.size() + 64);
  entry.parcel.logs.push_back(std::move(piece));
}

void Outbox::publish(Topic topic, const Envelope& envelope) {
  outgoing_.push_back({effect::Publish{topic, record::encode(envelope)}});
}

void Outbox::notify(Notice notice) { outgoing_.push_back({effect::Notify{std::move(notice)}}); }

void Outbox::transact(effect::Transact transact) {
  outgoing_.push_back({std::move(transact)});
  durable_ = true;
}

Effects Outbox::take() {
  for (auto& [key, entry] : pending_) {
    if (entry.bytes != 0) flush(key.first, key.second, entry);
  }
  pending_.clear();
  Effects effects = std::move(immediate_);
  immediate_.clear();
  const bool all_wait = durable_ && !planted(Bug::unsynced_acknowledgement);
  const bool notices_wait = all_wait || notices_wait_for_ > confirmed_;
  Effects then;
  Effects at_once;
  for (Effect& effect : outgoing_) {
    const bool is_notice = std::holds_alternative<effect::Notify>(effect.value);
    if (is_notice && notices_wait) notices_wait_for_ = persists_ + 1;
    (all_wait || (is_notice && notices_wait) ? then : at_once).push_back(std::move(effect));
  }
  if (!records_.empty() || !dropped_.empty() || !then.empty() || !to_confirm_.empty()) {
    const bool awaited = all_wait && !then.empty();
    effect::Confirm confirm{.persist = ++persists_, .jobs = {to_confirm_.begin(), to_confirm_.end()}};
    if (!confirm.jobs.empty() || notices_wait_for_ == persists_) then.insert(then.begin(), {std::move(confirm)});
    effects.push_back({effect::Persist{
        .append = std::move(records_), .drop = std::move(dropped_), .then = std::move(then), .urgent = awaited}});
  }
  for (Effect& effect : at_once) effects.push_back(std::move(effect));
  to_confirm_.clear();
  records_.clear();
  dropped_.clear();
  outgoing_.clear();
  durable_ = false;
  return effects;
}

}  // namespace mesh::node
