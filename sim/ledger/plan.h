// What a run of a federation's chain follows from, as numbers with names; the names are the command line of `mesh_sim --ledger`.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace mesh::sim {

struct LedgerPlan {
  std::uint64_t seed = 1;
  std::uint64_t validators = 4;
  std::uint64_t followers = 0;

  // Work: so many clients each have so many transfers become final, one after the other, begun within `load_s`.
  std::uint64_t clients = 4;
  std::uint64_t transfers = 6;
  std::uint64_t load_s = 30;
  std::uint64_t set_changes = 0;  ///< by a steward: another part of the validators decides
  std::uint64_t withdrawals = 0;  ///< of as many accounts from their bonds, which arrive by themselves
  std::uint64_t lock_s = 20;  ///< until they do
  std::uint64_t rotations = 0;  ///< of keys of validators
  std::uint64_t villagers = 0;  ///< who live by paid work: tasks, works, verification, settlements, disputes
  std::uint64_t act_ms = 1'000;  ///< between two things that they do, on average
  std::uint64_t snapshot_bytes = 0;  ///< of blocks, after which a snapshot is kept (chain::Config); 0: never

  // The network and the hosts.
  std::uint64_t latency_min_us = 500;
  std::uint64_t latency_max_us = 20'000;
  std::uint64_t loss_per_mille = 0;
  std::uint64_t duplicate_per_mille = 0;
  std::uint64_t sync_min_us = 500;
  std::uint64_t sync_max_us = 5'000;
  std::uint64_t skew_ms = 0;  ///< clocks are wrong by up to so much

  // Faults, at random moments of the load.
  std::uint64_t crashes = 0;
  std::uint64_t crash_down_ms = 5'000;  ///< at most
  std::uint64_t crash_at_write_per_mille = 0;  ///< of writes: the host crashes while that one is under way
  std::uint64_t partitions = 0;
  std::uint64_t cut_ms = 8'000;  ///< at most
  std::uint64_t restores = 0;  ///< hosts whose storage becomes an old copy of itself

  // Liars: so many validators of each kind.
  std::uint64_t twins = 0;  ///< one key on two hosts, each of which forgets what it signed
  std::uint64_t silent = 0;
  std::uint64_t selective = 0;  ///< tell each of the others half of what they say
  std::uint64_t stale = 0;  ///< say again what was said long ago, by anybody
  std::uint64_t forgers = 0;  ///< change what they send

  std::uint64_t heal_s = 180;  ///< until all has to be final everywhere, once everything has healed

  [[nodiscard]] std::uint64_t liars() const { return twins + silent + selective + stale + forgers; }
};

struct LedgerPlanEntry {
  std::string_view name;
  std::uint64_t LedgerPlan::* field;
  std::uint64_t low, high;
  std::string_view help;
};
[[nodiscard]] std::span<const LedgerPlanEntry> ledger_plan_entries();

/// Reads "--name number" pairs into `plan`. The error names what is not known, no number or out of its bounds.
[[nodiscard]] Status read_plan(std::span<const std::string> arguments, LedgerPlan& plan);
/// Whether the numbers fit one another: fewer than a third lie, and so on.
[[nodiscard]] Status check_plan(const LedgerPlan& plan);
/// All that differs from a LedgerPlan{}, as a command line; the seed always.
[[nodiscard]] std::string text_of(const LedgerPlan& plan);
/// A plan drawn from a seed: any mixture of faults and of as many liars as the validators bear.
[[nodiscard]] LedgerPlan drawn_plan(std::uint64_t seed);
/// One of so many validators in which every fault strikes, as many lie as they bear, in a mixture drawn from the seed, and there is
/// paid work all the time.
[[nodiscard]] LedgerPlan full_plan(std::uint64_t seed, std::uint64_t validators);

}  // namespace mesh::sim
