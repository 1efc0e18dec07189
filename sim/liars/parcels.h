// How a liar gets at what its node says and hears: the one place that takes parcels apart and puts them together again.
#pragma once

#include <functional>

#include "node/effect.h"
#include "node/parcel.h"

namespace mesh::sim {

/// What becomes of an outgoing record.
enum class Fate : std::uint8_t { keep, drop };

/// Shows every signed record that leaves to `change`, with the message it is in, at any depth of effects. `change` may
/// put another in its place; what it drops is not sent. A message with nothing left in it is not sent at all.
void change_records(std::vector<node::Effect>& effects,
                    const std::function<Fate(const node::effect::Send&, const std::string& type, Envelope&)>& change);

/// The records of a message that a node is about to hear; none if it is no message or no parcel.
[[nodiscard]] std::vector<Envelope> records_of(const node::Event& event);

/// A message with these records.
[[nodiscard]] node::effect::Send message_of(const node::NodeId& to, node::Channel channel,
                                            std::vector<Envelope> envelopes);

/// The shards of ranges that some node sent: no more of them than a commitment may have.
[[nodiscard]] std::vector<std::uint32_t> shards_in(const std::vector<task::ShardRange>& ranges);

}  // namespace mesh::sim
