#include "sim/liars/parcels.h"

namespace mesh::sim {

void change_records(std::vector<node::Effect>& effects,
                    const std::function<Fate(const node::effect::Send&, const std::string& type, Envelope&)>& change) {
  std::erase_if(effects, [&](node::Effect& effect) {
    if (auto* persist = std::get_if<node::effect::Persist>(&effect.value)) change_records(persist->then, change);
    auto* send = std::get_if<node::effect::Send>(&effect.value);
    if (send == nullptr) return false;
    Result<node::Parcel> parcel = record::decode<node::Parcel>(send->bytes);
    if (!parcel) return false;
    const std::size_t before = parcel->envelopes.size();
    std::erase_if(parcel->envelopes, [&](Envelope& envelope) {
      const Result<std::string> type = type_of(envelope.body);
      return type && change(*send, *type, envelope) == Fate::drop;
    });
    if (before > 0 && parcel->envelopes.empty()) return true;
    send->bytes = record::encode(*parcel);
    return false;
  });
}

std::vector<Envelope> records_of(const node::Event& event) {
  const auto* message = std::get_if<node::event::Message>(&event);
  if (message == nullptr) return {};
  Result<node::Parcel> parcel = record::decode<node::Parcel>(message->bytes);
  return parcel ? std::move(parcel->envelopes) : std::vector<Envelope>{};
}

std::vector<std::uint32_t> shards_in(const std::vector<task::ShardRange>& ranges) {
  std::vector<std::uint32_t> shards;
  for (const task::ShardRange& range : ranges) {
    for (std::uint32_t i = 0; i < range.count && shards.size() < receipt::max_commitment_shards; ++i)
      shards.push_back(range.first + i);
  }
  return shards;
}

node::effect::Send message_of(const node::NodeId& to, node::Channel channel, std::vector<Envelope> envelopes) {
  return {to, channel, record::encode(node::Parcel{.envelopes = std::move(envelopes), .blocks = {}, .logs = {}})};
}

}  // namespace mesh::sim
