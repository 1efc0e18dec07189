#include "chain/fetch.h"

#include <algorithm>

namespace mesh::chain {

bool Fetches::peer_up(const PeerId& peer) {
  if (!peers_.contains(peer) && peers_.size() >= max_peers) return false;
  peers_.try_emplace(peer);
  return true;
}

void Fetches::peer_down(const PeerId& peer) { peers_.erase(peer); }

void Fetches::shows(const PeerId& peer, Height height, Height base, Height snapshot) {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  found->second.shown = height;
  found->second.base = base;
  found->second.snapshot = snapshot;
  found->second.said = true;
}

void Fetches::shows_at_least(const PeerId& peer, Height height) {
  if (const auto found = peers_.find(peer); found != peers_.end())
    found->second.shown = std::max(found->second.shown, height);
}

bool Fetches::is_level(Height height) const {
  return std::ranges::any_of(peers_, [height](const auto& one) {
    const Peer& peer = one.second;
    return peer.said && !peer.liar && peer.shown <= height;
  });
}

Height Fetches::target() const {
  Height target = 0;
  for (const auto& [id, peer] : peers_) {
    if (!peer.liar) target = std::max(target, peer.shown);
  }
  return target;
}

Fetches::Peer* Fetches::best(Height from, PeerId& id) {
  Peer* best = nullptr;
  for (auto& [each, peer] : peers_) {
    if (peer.liar || peer.is_busy() || peer.shown < from || peer.base >= from) continue;
    if (best == nullptr || peer.failures < best->failures) {
      best = &peer;
      id = each;
    }
  }
  return best;
}

std::set<Height> Fetches::covered() const {
  std::set<Height> covered;
  for (const auto& [height, held] : held_) covered.insert(height);
  for (const auto& [id, peer] : peers_) {
    for (std::size_t i = 0; peer.is_busy() && i < peer.asked->count; ++i) covered.insert(peer.asked->from + i);
  }
  return covered;
}

std::vector<Fetches::Asked> Fetches::due(Height height) {
  std::vector<Asked> asks;
  const Height target = this->target();
  if (target <= height) return asks;
  const Height last = height + std::min<Height>(target - height, max_fetches * fetch_blocks);
  const std::set<Height> covered = this->covered();
  auto running =
      static_cast<std::size_t>(std::ranges::count_if(peers_, [](const auto& one) { return one.second.is_busy(); }));
  for (Height from = height + 1; from <= last && running < max_fetches;) {
    if (covered.contains(from)) {
      ++from;
      continue;
    }
    if (held_bytes_ >= max_held_bytes && from > height + 1) break;
    PeerId id;
    Peer* peer = best(from, id);
    if (peer == nullptr) break;  // Later ones are of no use before these are here.
    Asked asked{.peer = id, .number = ++asks_, .from = from, .count = 0};
    while (asked.count < fetch_blocks && from <= std::min(last, peer->shown) && !covered.contains(from)) {
      ++asked.count;
      ++from;
    }
    peer->asked = asked;
    peer->overdue = false;
    ++peer->owed;
    ++running;
    asks.push_back(asked);
  }
  return asks;
}

Result<std::uint64_t> Fetches::take(const PeerId& peer, message::Blocks answer) {
  const auto found = peers_.find(peer);
  if (found == peers_.end() || found->second.owed == 0)
    return fail(ErrorCode::invalid, "unasked-blocks: these blocks were not asked for");
  Peer& from = found->second;
  --from.owed;
  if (!from.asked || from.asked->from != answer.from || from.asked->count < answer.blocks.size()) return 0;
  const Asked asked = *std::exchange(from.asked, {});
  if (answer.blocks.empty()) {
    // It has less than it showed.
    ++from.failures;
    from.shown = std::min(from.shown, asked.from - 1);
    return asked.number;
  }
  from.failures = 0;
  for (FinalBlock& block : answer.blocks) {
    if (const auto held = held_.find(block.height); held != held_.end()) let_go(held);
    const Height height = block.height;
    held_bytes_ += answer_bytes(block);
    held_.emplace(height, Held{peer, std::move(block)});
  }
  return asked.number;
}

bool Fetches::has_next(Height height) const {
  return std::ranges::any_of(peers_, [height](const auto& one) {
    return !one.second.liar && one.second.base <= height && one.second.shown > height;
  });
}

std::optional<Fetches::Offer> Fetches::offer(Height height, Height skip) const {
  const bool has_next = this->has_next(height);
  std::optional<Offer> best;
  std::uint64_t failures = 0;
  for (const auto& [id, peer] : peers_) {
    if (peer.liar || peer.snapshot <= height || peer.snapshot == peer.refused_snapshot) continue;
    if (has_next && peer.snapshot - height <= skip) continue;
    if (best && (peer.failures > failures || (peer.failures == failures && peer.snapshot <= best->height))) continue;
    best = Offer{id, peer.snapshot};
    failures = peer.failures;
  }
  return best;
}

void Fetches::failed_to_offer(const PeerId& peer) {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  found->second.refused_snapshot = found->second.snapshot;
  ++found->second.failures;
}

void Fetches::late(std::uint64_t number) {
  for (auto& [id, peer] : peers_) {
    if (!peer.is_busy() || peer.asked->number != number) continue;
    peer.overdue = true;
    ++peer.failures;
  }
}

void Fetches::lied(const PeerId& peer) {
  if (const auto found = peers_.find(peer); found != peers_.end()) {
    found->second.liar = true;
    found->second.asked.reset();
  }
  for (auto held = held_.begin(); held != held_.end();) {
    const auto one = held++;
    if (one->second.peer == peer) let_go(one);
  }
}

void Fetches::let_go(std::map<Height, Held>::iterator held) {
  held_bytes_ -= answer_bytes(held->second.block);
  held_.erase(held);
}

std::optional<Fetches::Held> Fetches::next(Height height) {
  while (!held_.empty() && held_.begin()->first < height) let_go(held_.begin());
  const auto found = held_.find(height);
  if (found == held_.end()) return std::nullopt;
  held_bytes_ -= answer_bytes(found->second.block);
  Held held = std::move(found->second);
  held_.erase(found);
  return held;
}

}  // namespace mesh::chain
