#include "domain/ledger/draw.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace mesh::ledger {

Digest seat_seed(const Digest& beacon, const Cid& commitment, std::uint32_t shard) {
  return tagged_hash("meshwork/1/ledger-seat", {beacon.view(), commitment.binary(), big_endian(shard)});
}

Drawing::Drawing(const std::vector<verification::Member>& eligible, const verification::Member& worker,
                 const verification::Member& publisher, const std::vector<NodeId>& without) {
  for (const verification::Member& member : eligible) {
    MESH_CHECK(member.weight > 0, "ledger-draw-weight");
    if (member.node == worker.node || member.node == publisher.node || std::ranges::binary_search(without, member.node))
      continue;
    (same_owner(member, worker) || same_owner(member, publisher) ? last_resort_ : others_).add(member);
  }
  others_.build();
  last_resort_.build();
}

std::vector<const verification::Member*> Drawing::order(const Digest& seed, std::size_t width) {
  std::vector<const verification::Member*> out;
  out.reserve(std::min(width, size()));
  others_.draw(seed, width, out);
  last_resort_.draw(seed, width, out);
  return out;
}

void Drawing::Pool::add(const verification::Member& member) {
  MESH_CHECK(members.empty() || members.back()->node < member.node, "ledger-draw-order");
  members.push_back(&member);
  total += member.weight;
}

void Drawing::Pool::build() {
  sums.assign(members.size() + 1, 0);
  for (std::size_t i = 1; i < sums.size(); ++i) {
    sums[i] += members[i - 1]->weight;
    if (const std::size_t above = i + (i & -i); above < sums.size()) sums[above] += sums[i];
  }
}

void Drawing::Pool::change(std::size_t at, std::uint64_t by) {
  for (std::size_t i = at + 1; i < sums.size(); i += i & -i) sums[i] += by;
  total += by;
}

/// The member in whose stretch of the summed weights `weight` lies.
std::size_t Drawing::Pool::find(std::uint64_t weight) const {
  std::size_t at = 0;
  for (std::size_t step = std::bit_floor(sums.size() - 1); step > 0; step >>= 1) {
    if (at + step >= sums.size() || sums[at + step] > weight) continue;
    at += step;
    weight -= sums[at];
  }
  return at;
}

void Drawing::Pool::draw(const Digest& seed, std::size_t width, std::vector<const verification::Member*>& out) {
  __extension__ using Wide = unsigned __int128;
  std::vector<std::size_t> taken;
  while (out.size() < width && total > 0) {
    const Digest random = tagged_hash("meshwork/1/seat", {seed.view(), big_endian(std::uint64_t{out.size()})});
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) number = number << 8 | random.view()[i];
    // Uniform below the total but for a bias under total / 2^64.
    const std::size_t at = find(static_cast<std::uint64_t>(static_cast<Wide>(number) * total >> 64));
    out.push_back(members[at]);
    taken.push_back(at);
    change(at, 0 - std::uint64_t{members[at]->weight});
  }
  for (const std::size_t at : taken) change(at, members[at]->weight);
}

}  // namespace mesh::ledger
