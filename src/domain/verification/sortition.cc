#include "domain/verification/sortition.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "domain/task/intent.h"

namespace mesh::verification {

namespace {

/// The first eight bytes of a digest as a number.
std::uint64_t number_of(const Digest& digest) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = number << 8 | digest.view()[i];
  return number;
}

/// floor(random * bound / 2^64): uniform below `bound` but for a bias under bound / 2^64.
std::uint64_t scale(std::uint64_t random, std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>(static_cast<Wide>(random) * bound >> 64);
}

void draw_all(const Digest& shard_seed, std::vector<const Member*> pool, std::vector<NodeId>& out) {
  std::ranges::sort(pool, {}, [](const Member* member) { return member->node; });
  while (!pool.empty()) {
    std::uint64_t total = 0;
    for (const Member* member : pool) total += member->weight;
    const std::uint64_t random = number_of(tagged_hash("meshwork/1/seat", {shard_seed.view(), big_endian(out.size())}));
    std::size_t chosen = 0;
    if (total == 0) {
      chosen = static_cast<std::size_t>(scale(random, pool.size()));
    } else {
      std::uint64_t left = scale(random, total);
      while (left >= pool[chosen]->weight) left -= pool[chosen++]->weight;
    }
    out.push_back(pool[chosen]->node);
    pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
}

}  // namespace

bool same_owner(const Member& a, const Member& b) {
  if (a.owner.empty() && b.owner.empty()) return a.node == b.node;
  if (a.owner.empty()) return identity::did_of(a.node) == b.owner;
  if (b.owner.empty()) return identity::did_of(b.node) == a.owner;
  return a.owner == b.owner;
}

Digest round_seed(const Cid& open, const Digest& publisher_link, const std::vector<Digest>& member_links) {
  Bytes links;
  links.reserve(member_links.size() * Digest::size);
  for (const Digest& link : member_links) append(links, link.view());
  return tagged_hash("meshwork/1/sortition", {open.binary(), publisher_link.view(), links});
}

SeatOrder seat_order(const Digest& seed, const Cid& commitment, std::uint32_t shard, const std::vector<Member>& members,
                     const Member& worker, const Member& publisher) {
  std::vector<const Member*> others;
  std::vector<const Member*> last_resort;
  for (const Member& member : members) {
    if (member.withheld || member.node == worker.node) continue;
    if (member.node == publisher.node) {
      if (planted(Bug::publisher_verifies)) others.push_back(&member);
      continue;
    }
    (same_owner(member, worker) || same_owner(member, publisher) ? last_resort : others).push_back(&member);
  }
  const Digest shard_seed = tagged_hash("meshwork/1/shard-seed", {seed.view(), commitment.binary(), big_endian(shard)});
  SeatOrder order{.nodes = {}, .same_owner_from = others.size()};
  order.nodes.reserve(others.size() + last_resort.size());
  draw_all(shard_seed, std::move(others), order.nodes);
  draw_all(shard_seed, std::move(last_resort), order.nodes);
  return order;
}

std::vector<std::uint32_t> sample_of(const Digest& seed, const Cid& commitment,
                                     const std::vector<std::uint32_t>& shards, std::uint32_t per_mille) {
  if (per_mille >= task::TaskIntent::everything) return shards;
  constexpr std::uint64_t thousandth = UINT64_MAX / task::TaskIntent::everything + 1;
  std::vector<std::uint32_t> sample;
  for (const std::uint32_t shard : shards) {
    const Digest lot = tagged_hash("meshwork/1/sample", {seed.view(), commitment.binary(), big_endian(shard)});
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) number = number << 8 | lot.view()[i];
    if (number / thousandth < per_mille) sample.push_back(shard);
  }
  return sample;
}

}  // namespace mesh::verification
