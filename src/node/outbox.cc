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

Effects Outbox::take() {
  for (auto& [key, entry] : pending_) {
    if (entry.bytes != 0) flush(key.first, key.second, entry);
  }
  pending_.clear();
  Effects effects = std::move(immediate_);
  immediate_.clear();
  const bool nothing_to_keep = records_.empty() && dropped_.empty();
  if (nothing_to_keep && (!durable_ || outgoing_.empty() || planted(Bug::unsynced_acknowledgement))) {
    for (Effect& effect : outgoing_) effects.push_back(std::move(effect));
  } else if (durable_ && !planted(Bug::unsynced_acknowledgement)) {
    effects.push_back({effect::Persist{std::move(records_), std::move(dropped_), std::move(outgoing_)}});
  } else {
    effects.push_back({effect::Persist{std::move(records_), std::move(dropped_), {}}});
    for (Effect& effect : outgoing_) effects.push_back(std::move(effect));
  }
  records_.clear();
  dropped_.clear();
  outgoing_.clear();
  durable_ = false;
  return effects;
}

}  // namespace mesh::node
