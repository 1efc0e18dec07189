#include "app/runtime/pacer.h"

#include <algorithm>

namespace mesh::app {

namespace {

/// A tenth of a second's worth, and a few slices at least.
asset::TokenBucket bucket_of(std::uint64_t bytes_per_s) {
  const std::uint64_t rate = std::min(bytes_per_s, asset::TokenBucket::max_rate);
  const std::uint64_t burst = std::clamp<std::uint64_t>(rate / 10, 4 * Pacer::slice_bytes, std::uint64_t{64} << 20);
  return {rate, burst};
}

}  // namespace

Pacer::Pacer(const Rates& rates, Clock now) : now_(std::move(now)) {
  up_.per_peer = rates.up_per_peer;
  down_.per_peer = rates.down_per_peer;
  if (rates.up > 0) up_.whole = bucket_of(rates.up);
  if (rates.down > 0) down_.whole = bucket_of(rates.down);
}

bool Pacer::bounds(Way way) const {
  const Lane& lane = way == Way::up ? up_ : down_;
  return lane.whole || lane.per_peer > 0;
}

asset::TokenBucket& Pacer::of_peer(Lane& lane, const identity::NodeId& peer, Instant time) {
  const auto known = lane.peers.find(peer);
  if (known != lane.peers.end()) return known->second;
  if (lane.peers.size() >= max_peers) {
    // A full bucket is as good as a new one.
    std::erase_if(lane.peers, [&](const auto& other) { return other.second.is_full(time); });
    if (lane.peers.size() >= max_peers) lane.peers.erase(lane.peers.begin());
  }
  return lane.peers.emplace(peer, bucket_of(lane.per_peer)).first->second;
}

Duration Pacer::take(Way way, const identity::NodeId& peer, std::size_t bytes) {
  Lane& lane = way == Way::up ? up_ : down_;
  (way == Way::up ? figures_.up : figures_.down) += bytes;
  const Instant time = now_();
  Instant goes = time;
  if (lane.whole) goes = std::max(goes, lane.whole->take(bytes, time));
  if (lane.per_peer > 0) goes = std::max(goes, of_peer(lane, peer, time).take(bytes, time));
  figures_.waited += goes - time;
  return goes - time;
}

}  // namespace mesh::app
