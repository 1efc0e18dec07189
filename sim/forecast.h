// Forecast: what a mesh of such nodes, on such a network, makes of such a load. Honest nodes that stay up: for planning a
// mesh, where the trials (scenario.h) are for breaking one.
//
// Simulated is what the protocol and the network cost and how long runs take; the processor time that a real node spends
// on signatures and storage is not.
#pragma once

#include "sim/world.h"

namespace mesh::sim {

struct ForecastPlan {
  Options world;
  std::uint64_t duration_s = 600;  ///< in which jobs begin
  std::uint64_t jobs = 100;  ///< at random moments of it, by random nodes
  std::uint64_t shards = 100;  ///< of each job
  std::optional<std::uint32_t> verifiers;  ///< of each shard; none: as the policy says
  std::uint64_t grace_s = 3600;  ///< jobs that take longer than so after the last one began are not waited for
};

struct Forecast {
  std::uint64_t jobs = 0, done = 0, unverified = 0, failed = 0, unfinished = 0, refused = 0;
  std::uint64_t shards_done = 0;
  double virtual_s = 0;  ///< until the last job had ended, or was given up
  double shards_per_s = 0;  ///< finished ones, over that time
  double busy_per_mille = 0;  ///< of all slots
  std::uint64_t runs = 0;  ///< executions, those of verifiers included
  std::uint64_t fuel = 0;  ///< of all runs
  Traffic traffic;
  std::vector<std::uint64_t> job_ms;  ///< from submission to result, sorted
  /// By tenths of the time and finer: shards finished in each of `buckets` equal parts of it.
  static constexpr std::size_t buckets = 60;
  std::vector<std::uint64_t> shards_in_bucket;
  [[nodiscard]] std::uint64_t job_ms_at(std::uint64_t per_mille) const;
};

/// `progress` is called about once a simulated minute with the seconds that have passed; false from it ends the run with
/// what there is.
[[nodiscard]] Forecast forecast(const ForecastPlan& plan, const std::function<bool(std::uint64_t)>& progress = {});

/// Two pictures beside each other as SVG: finished shards per second over time, and how many per cent of the jobs had
/// their result after how long.
[[nodiscard]] std::string svg_of(const Forecast& forecast, std::string_view title);

}  // namespace mesh::sim
