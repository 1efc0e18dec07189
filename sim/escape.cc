#include "sim/escape.h"

#include <cmath>

#include "sim/checkers/checkers.h"

namespace mesh::sim {

namespace {

/// The first worker of a job with one shard, and what was ruled on its result.
class FirstRuling : public Observer {
 public:
  void on_notice(std::uint32_t host, const node::Notice& notice) override {
    if (host != 0) return;
    if (notice.kind == "job.award" && !worker) worker = notice.peer;
    // What is told of a rejection is whom it found against; its worker comes first.
    const bool rejected = notice.kind == "job.blame" && notice.peer == worker;
    const bool decided = notice.kind == "job.shard" && notice.phase == "verifying";
    if (ruled || (!rejected && !decided)) return;
    ruled = true;
    accepted = decided && notice.text.starts_with("accepted");
  }
  std::optional<NodeId> worker;
  bool ruled = false;
  bool accepted = false;
};

}  // namespace

double EscapeRow::deviations() const {
  const auto n = static_cast<double>(draws);
  const double spread = std::sqrt(n * formula * (1 - formula));
  const double off = static_cast<double>(passed) - n * formula;
  if (std::abs(off) < 1e-6) return 0;
  return spread < 1e-6 ? std::copysign(INFINITY, off) : off / spread;
}

std::vector<EscapeRow> measure_escapes(std::uint64_t seed, std::uint32_t nodes, std::uint64_t worlds) {
  constexpr std::uint32_t seats = 3;
  constexpr std::uint32_t needed = 2;
  std::vector<EscapeRow> rows;
  const std::uint32_t eligible = nodes - 2;  // Neither the publisher nor the worker.
  for (std::uint32_t colluders = 0; colluders <= eligible; ++colluders) {
    EscapeRow row{.colluders = colluders, .formula = escape_formula(eligible, colluders, seats, needed)};
    for (std::uint64_t i = 0; i < worlds; ++i) {
      World world({.seed = seed + i, .nodes = nodes, .keep_notices = 0});
      FirstRuling ruling;
      world.watch(ruling);
      // Who works first follows from the offers; who colludes is settled once it is known, in time for the first run.
      std::set<std::uint32_t> liars;
      for (std::uint32_t host = 1; host < nodes; ++host) {
        world.behave(host, {.lie = [&, host](const ShardRun& run, Output& output) {
                       if (liars.empty() && ruling.worker) {
                         const std::uint32_t first = world.index_of(*ruling.worker);
                         liars.insert(first);
                         Random random(seed * 31 + i);
                         while (liars.size() < colluders + 1)
                           liars.insert(static_cast<std::uint32_t>(1 + random.below(nodes - 1)));
                       }
                       if (!liars.contains(host)) return;
                       const Digest lie =
                           tagged_hash("meshwork/sim/escape", {run.function.binary(), big_endian(run.shard)});
                       output.finding.result = Cid::of(Multicodec::raw, lie.view());
                     }});
      }
      world.start();
      world.run_for(seconds(1));
      static_cast<void>(world.submit(0, world.spec(1)));
      const bool ruled = world.run_until([&] { return ruling.ruled; }, seconds(120));
      if (!ruled) continue;
      ++row.draws;
      row.passed += ruling.accepted ? 1 : 0;
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace mesh::sim
