#include "domain/market/selection.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace mesh::market {

namespace {

/// 300 for nothing, 0 for the whole fee (costs are at most the fee: check_offer).
std::uint32_t points_left(std::uint64_t cost, std::uint64_t fee) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint32_t>(static_cast<Wide>(fee - std::min(cost, fee)) * 300 / fee);
}

}  // namespace

std::vector<Ranked> rank(const std::vector<Candidate>& candidates, std::uint64_t fee) {
  std::uint64_t best_eta = std::numeric_limits<std::uint64_t>::max();
  for (const Candidate& candidate : candidates)
    best_eta = std::min(best_eta, std::max<std::uint64_t>(1, candidate.offer.record.eta_ms));

  std::vector<Ranked> ranking;
  ranking.reserve(candidates.size());
  for (const Candidate& candidate : candidates) {
    const ComputeOffer& offer = candidate.offer.record;
    Ranked line{.node = candidate.offer.signer, .offer = candidate.offer.cid};
    line.reputation_points = std::min(candidate.reputation, 1000U) * 2 / 5;
    line.cost_points = fee == 0 ? 300 : points_left(offer.cost, fee);
    line.capacity_points =
        std::min<std::uint32_t>(100, 25 * static_cast<std::uint32_t>(std::bit_width(std::max(1U, offer.capacity)) - 1));
    line.speed_points = static_cast<std::uint32_t>(
        best_eta > (std::uint64_t{1} << 50) ? 0 : 100 * best_eta / std::max<std::uint64_t>(1, offer.eta_ms));
    const std::int64_t round_trip_ms = candidate.round_trip.count() / 1000;
    line.nearness_points = candidate.round_trip.count() <= 0
                               ? 0
                               : static_cast<std::uint32_t>(50 - std::min<std::int64_t>(50, round_trip_ms / 4));
    line.holding_points = offer.holds_inputs ? 50 : 0;
    line.penalised = candidate.penalised;
    line.score = std::uint64_t{line.reputation_points} + line.cost_points + line.capacity_points + line.speed_points +
                 line.nearness_points + line.holding_points;
    if (!candidate.same_federation) line.score /= 2;
    ranking.push_back(line);
  }
  std::ranges::sort(ranking, [](const Ranked& a, const Ranked& b) {
    if (a.penalised != b.penalised) return !a.penalised;
    if (a.score != b.score) return a.score > b.score;
    return a.node < b.node;
  });
  return ranking;
}

}  // namespace mesh::market
