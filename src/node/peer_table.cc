#include "node/peer_table.h"

#include <algorithm>
#include <tuple>

namespace mesh::node {

namespace {
constexpr std::size_t max_peers = 4096;
}

PeerTable::Peer& PeerTable::entry(const NodeId& node) {
  if (!peers_.contains(node) && peers_.size() >= max_peers) {
    // Who is connected goes last, and of the others who is remembered for a penalty: the one that ends (or was heard of)
    // the longest ago first.
    const auto worth = [](const auto& known) {
      return std::tuple(known.second.connected, known.second.penalty_until, known.second.info_at);
    };
    peers_.erase(std::ranges::min_element(peers_, {}, worth));
  }
  return peers_[node];
}

void PeerTable::up(Instant now, const NodeId& node) {
  Peer& peer = entry(node);
  peer.connected = true;
  peer.info_at = now;
}

void PeerTable::down(Instant now, const NodeId& node) {
  Peer& peer = entry(node);
  peer.connected = false;
  peer.down_since = now;
  // A node that comes back says anew what it has; until then nobody counts on it. What it said before stays old news.
  peer.info.reset();
}

void PeerTable::round_trip(const NodeId& node, Duration smoothed) { entry(node).round_trip = smoothed; }

bool PeerTable::update(Instant now, const NodeId& node, PeerInfo info) {
  if (info.agent.size() > 128 || info.engine.size() > 256 || info.gpus.size() > 16 || info.services.size() > 32)
    return false;
  for (const auto* texts : {&info.gpus, &info.services}) {
    for (const std::string& text : *texts) {
      if (text.size() > 128) return false;
    }
  }
  Peer& peer = entry(node);
  const std::pair said{info.boot, info.sequence};
  if (peer.last_said && said <= *peer.last_said) return false;
  peer.last_said = said;
  peer.info = std::move(info);
  peer.info_at = now;
  return true;
}

void PeerTable::penalise(const NodeId& node, std::string reason, Instant until) {
  Peer& peer = entry(node);
  peer.penalty = std::move(reason);
  peer.penalty_until = until;
}

const PeerTable::Peer* PeerTable::find(const NodeId& node) const {
  const auto it = peers_.find(node);
  return it == peers_.end() ? nullptr : &it->second;
}

bool PeerTable::connected(const NodeId& node) const {
  const Peer* peer = find(node);
  return peer != nullptr && peer->connected;
}

Duration PeerTable::away(Instant now, const NodeId& node) const {
  const Peer* peer = find(node);
  if (peer == nullptr) return now - born_;
  return peer->connected ? Duration{0} : now - std::max(peer->down_since, born_);
}

bool PeerTable::penalised(Instant now, const NodeId& node) const {
  const Peer* peer = find(node);
  return peer != nullptr && !peer->penalty.empty() && now < peer->penalty_until;
}

std::vector<NodeId> PeerTable::possible_workers() const {
  std::vector<NodeId> nodes;
  for (const auto& [node, peer] : peers_) {
    if (peer.connected && peer.info && peer.info->accepts_work) nodes.push_back(node);
  }
  return nodes;
}

}  // namespace mesh::node
