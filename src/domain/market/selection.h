// Which offers win: an integer score over reputation, cost, capacity, round-trip time and already holding the inputs.
//
// The whole ranking is kept with its parts, so that `mesh job explain` can show why. Ties break by node id.
#pragma once

#include "base/time.h"
#include "domain/market/records.h"
#include "domain/reputation/reputation.h"

namespace mesh::market {

struct Candidate {
  Signed<ComputeOffer> offer;
  Duration round_trip{0};         ///< smoothed; zero = unknown
  std::uint32_t reputation = 0;   ///< 0 to 1000
  bool same_federation = true;
  bool penalised = false;         ///< did not answer when drawn, or was caught: wins nothing for a while
};

/// One line of the ranking. Every part is in points; they add up to `score`.
struct Ranked {
  NodeId node;
  Cid offer;
  std::uint64_t score = 0;
  std::uint32_t reputation_points = 0;  ///< 0 to 400
  std::uint32_t cost_points = 0;        ///< 0 to 300: the share of the fee that is left
  std::uint32_t capacity_points = 0;    ///< 0 to 100: 25 per doubling
  std::uint32_t speed_points = 0;       ///< 0 to 100: by eta against the best
  std::uint32_t nearness_points = 0;    ///< 0 to 50: by round-trip time
  std::uint32_t holding_points = 0;     ///< 0 or 50
  bool penalised = false;
};

/// Best first; those that are penalised come last, whatever their score.
[[nodiscard]] std::vector<Ranked> rank(const std::vector<Candidate>& candidates, std::uint64_t fee);

}  // namespace mesh::market
