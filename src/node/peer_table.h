// Who is there: connected peers, what they say of themselves, how far they are, and whom this node does not want to
// award anything for a while.
//
// Bounds: 4096 peers; an unconnected one is forgotten first. Each bounded in PeerInfo's own limits.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "domain/identity/identity.h"
#include "node/event.h"
#include "node/node.h"
#include "node/peer_info.h"

namespace mesh::node {

class PeerTable {
 public:
  explicit PeerTable(Instant born) : born_(born) {}

  struct Peer {
    bool connected = false;
    std::optional<PeerInfo> info;
    Instant info_at{};
    std::optional<std::pair<std::uint64_t, std::uint64_t>> last_said;  ///< boot and sequence of its latest PeerInfo
    Duration round_trip{0};
    std::string penalty;
    Instant penalty_until{};
    Instant down_since{};
  };

  void up(Instant now, const NodeId& node);
  void down(Instant now, const NodeId& node);
  void round_trip(const NodeId& node, Duration smoothed);
  /// False when the message is older than what is known (a replay) or breaks a bound.
  [[nodiscard]] bool update(Instant now, const NodeId& node, PeerInfo info);
  /// `node` wins no awards until `until`.
  void penalise(const NodeId& node, std::string reason, Instant until);

  [[nodiscard]] const Peer* find(const NodeId& node) const;
  [[nodiscard]] bool connected(const NodeId& node) const;
  /// When this node started: before, it could not know anybody.
  [[nodiscard]] Instant born() const { return born_; }
  /// For how long a peer has been away; zero while connected. One never seen has been away since this node started.
  [[nodiscard]] Duration away(Instant now, const NodeId& node) const;
  [[nodiscard]] bool penalised(Instant now, const NodeId& node) const;
  [[nodiscard]] const std::map<NodeId, Peer>& all() const { return peers_; }
  /// Connected peers that are known to take work: whose answer is worth waiting for.
  [[nodiscard]] std::vector<NodeId> possible_workers() const;

 private:
  Peer& entry(const NodeId& node);
  Instant born_;
  std::map<NodeId, Peer> peers_;
};

}  // namespace mesh::node
