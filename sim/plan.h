// Plan: all that a run of the simulator follows from, as numbers with names. The names are the command line, and what a
// failing run prints is the plan that failed.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "sim/world.h"

namespace mesh::sim {

struct Plan {
  Options world;

  // Work: `jobs` tasks of 1 to `shards` shards, begun at random within the first `load_s` seconds by random honest hosts.
  std::uint64_t load_s = 3600;
  std::uint64_t jobs = 20;
  std::uint64_t shards = 20;
  std::uint64_t sampled_per_mille = 0;  ///< of the jobs: verified on a sample alone, of a share drawn for each
  std::uint64_t valued_per_mille = 0;  ///< of the jobs: with a value that asks for more verifiers

  // Faults: so many of each, at random moments of those seconds.
  std::uint64_t crashes = 0;
  std::uint64_t crash_down_ms = 20'000;  ///< at most
  std::uint64_t leaves = 0;
  std::uint64_t partitions = 0;
  std::uint64_t one_ways = 0;
  std::uint64_t cut_ms = 60'000;  ///< at most
  std::uint64_t clock_jumps = 0;
  std::uint64_t clock_jump_ms = 60'000;  ///< at most

  // Liars: so many hosts of each kind.
  std::uint64_t wrong = 0;
  std::uint64_t colluders = 0;
  std::uint64_t lazy = 0;
  std::uint64_t copiers = 0;
  std::uint64_t silent = 0;
  std::uint64_t early = 0;
  std::uint64_t late = 0;
  std::uint64_t late_ms = 8000;
  std::uint64_t replayers = 0;
  std::uint64_t flooders = 0;
  std::uint64_t flood_per_s = 50;
  std::uint64_t sybils = 0;
  std::uint64_t identities = 16;  ///< of each Sybil

  // After the load: everything heals, and every task has to end within so long.
  std::uint64_t heal_s = 600;
  std::uint64_t drain_s = 1000;  ///< and what nodes keep of others' tasks has to go within so long

  [[nodiscard]] std::uint64_t liars() const {
    return wrong + colluders + lazy + copiers + silent + early + late + replayers + flooders + sybils;
  }
};

/// One number of a plan: its name, bounds and meaning.
struct PlanEntry {
  std::string_view name;
  std::uint64_t& (*at)(Plan&);
  std::uint64_t low, high;
  std::string_view help;
  bool fault = false;  ///< 0 means that there is none of it; what shrinking tries to be without
  [[nodiscard]] std::uint64_t of(const Plan& plan) const { return at(const_cast<Plan&>(plan)); }
};
[[nodiscard]] std::span<const PlanEntry> plan_entries();

/// Reads "--name number" pairs into `plan`. The error names what is not known, no number or out of its bounds.
[[nodiscard]] Status read_plan(std::span<const std::string> arguments, Plan& plan);
/// Whether the numbers fit one another: fewer liars than nodes, and so on.
[[nodiscard]] Status check_plan(const Plan& plan);
/// All that differs from a Plan{}, as a command line; the seed and the nodes always.
[[nodiscard]] std::string text_of(const Plan& plan);
/// Every fault and every kind of liar, in numbers that suit the nodes and the time.
[[nodiscard]] Plan everything(Plan plan);
/// The faults that a run of the plan has to see.
[[nodiscard]] std::vector<Fault> expected_faults(const Plan& plan);

}  // namespace mesh::sim
