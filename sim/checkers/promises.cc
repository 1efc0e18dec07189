#include "node/parcel.h"
#include "sim/checkers/checkers.h"

namespace mesh::sim {

void Promises::on_send(std::uint32_t from, const node::effect::Send& send) {
  if (send.channel != node::Channel::receipt || !world_.honest(from)) return;
  const auto parcel = record::decode<node::Parcel>(send.bytes);
  if (!parcel) return findings_.add("not-a-parcel: node " + std::to_string(from) + " sent what does not decode");
  for (const Envelope& envelope : parcel->envelopes) {
    if (envelope.key != world_.id(from)) continue;
    const auto reveal = record::decode<verification::NonceReveal>(envelope.body);
    if (!reveal) continue;
    const auto [known, fresh] = nonces_.try_emplace({envelope.key, reveal->intent, reveal->round}, reveal->open);
    if (!fresh && known->second != reveal->open)
      findings_.add("two-openings: node " + std::to_string(from) + " showed its nonce of round " +
                    std::to_string(reveal->round) + " for two openings");
  }
}

double escape_formula(std::uint32_t eligible, std::uint32_t colluders, std::uint32_t seats, std::uint32_t needed) {
  double tail = 0;
  for (std::uint32_t k = needed; k <= std::min(seats, colluders); ++k) {
    if (seats - k > eligible - colluders) continue;
    // C(c, k) C(n - c, s - k) / C(n, s): the chance of one order of k colluders and s - k others, times the orders.
    double chance = 1;
    for (std::uint32_t i = 0; i < k; ++i) chance *= double(colluders - i) / double(eligible - i);
    for (std::uint32_t i = 0; i < seats - k; ++i) chance *= double(eligible - colluders - i) / double(eligible - k - i);
    for (std::uint32_t i = 0; i < k; ++i) chance *= double(seats - i) / double(i + 1);
    tail += chance;
  }
  return tail;
}

}  // namespace mesh::sim
