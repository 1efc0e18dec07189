#include "sim/ledger/plan.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "sim/random.h"

namespace mesh::sim {

namespace {

using Plan = LedgerPlan;
constexpr std::uint64_t many = 1'000'000;
constexpr std::uint64_t long_us = 60'000'000;

constexpr std::array entries = {
    LedgerPlanEntry{"seed", &Plan::seed, 0, ~std::uint64_t{0}, "what the run follows from"},
    LedgerPlanEntry{"validators", &Plan::validators, 1, 64, "of the federation"},
    LedgerPlanEntry{"followers", &Plan::followers, 0, 64, "that decide nothing"},
    LedgerPlanEntry{"clients", &Plan::clients, 1, 1'000, "that transfer"},
    LedgerPlanEntry{"transfers", &Plan::transfers, 1, many, "of each client"},
    LedgerPlanEntry{"load-s", &Plan::load_s, 1, many, "seconds in which they begin, and faults happen"},
    LedgerPlanEntry{"set-changes", &Plan::set_changes, 0, 100, "other validators decide"},
    LedgerPlanEntry{"withdrawals", &Plan::withdrawals, 0, 100, "from bonds, which arrive by themselves"},
    LedgerPlanEntry{"lock-s", &Plan::lock_s, 1, 3'600, "seconds until they do"},
    LedgerPlanEntry{"rotations", &Plan::rotations, 0, 100, "of keys of honest validators, two of each at most"},
    LedgerPlanEntry{"villagers", &Plan::villagers, 0, 64, "who live by paid work"},
    LedgerPlanEntry{"act-ms", &Plan::act_ms, 10, many, "between two things that they do, on average"},
    LedgerPlanEntry{"snapshot-bytes", &Plan::snapshot_bytes, 0, many* many, "of blocks before a snapshot; 0: never"},
    LedgerPlanEntry{"latency-min-us", &Plan::latency_min_us, 0, long_us, "of a message, at least"},
    LedgerPlanEntry{"latency-max-us", &Plan::latency_max_us, 0, long_us, "and at most"},
    LedgerPlanEntry{"loss-per-mille", &Plan::loss_per_mille, 0, 900, "messages that are lost"},
    LedgerPlanEntry{"duplicate-per-mille", &Plan::duplicate_per_mille, 0, 900, "messages that come twice"},
    LedgerPlanEntry{"sync-min-us", &Plan::sync_min_us, 0, long_us, "until a write is durable, at least"},
    LedgerPlanEntry{"sync-max-us", &Plan::sync_max_us, 0, long_us, "and at most"},
    LedgerPlanEntry{"skew-ms", &Plan::skew_ms, 0, many, "that clocks are wrong, at most"},
    LedgerPlanEntry{"crashes", &Plan::crashes, 0, many, "hosts that stop on the spot"},
    LedgerPlanEntry{"crash-down-ms", &Plan::crash_down_ms, 1, many, "and start again after so long at most"},
    LedgerPlanEntry{"crash-at-write-per-mille", &Plan::crash_at_write_per_mille, 0, 500, "of writes, with a crash"},
    LedgerPlanEntry{"partitions", &Plan::partitions, 0, many, "cuts of the network"},
    LedgerPlanEntry{"cut-ms", &Plan::cut_ms, 1, many, "and they last so long at most"},
    LedgerPlanEntry{"restores", &Plan::restores, 0, 100, "storages that become old copies"},
    LedgerPlanEntry{"twins", &Plan::twins, 0, 64, "validators on two hosts at once"},
    LedgerPlanEntry{"silent", &Plan::silent, 0, 64, "validators that say nothing"},
    LedgerPlanEntry{"selective", &Plan::selective, 0, 64, "validators that tell each half of it"},
    LedgerPlanEntry{"stale", &Plan::stale, 0, 64, "validators that say old things again"},
    LedgerPlanEntry{"forgers", &Plan::forgers, 0, 64, "validators that change what they send"},
    LedgerPlanEntry{"heal-s", &Plan::heal_s, 1, many, "until all is final everywhere, after that"},
};

}  // namespace

std::span<const LedgerPlanEntry> ledger_plan_entries() { return entries; }

Status read_plan(std::span<const std::string> arguments, LedgerPlan& plan) {
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    const auto* entry =
        std::ranges::find_if(entries, [&](const auto& one) { return name == "--" + std::string(one.name); });
    if (entry == entries.end())
      return fail(ErrorCode::invalid, "there is no option " + name + " of --ledger; --help lists them");
    if (i + 1 == arguments.size()) return fail(ErrorCode::invalid, name + " wants a number");
    const std::string& text = arguments[i + 1];
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < entry->low || value > entry->high) {
      return fail(ErrorCode::invalid, name + " is a number from " + std::to_string(entry->low) + " to " +
                                          std::to_string(entry->high) + ", not \"" + text + "\"");
    }
    plan.*entry->field = value;
  }
  return check_plan(plan);
}

Status check_plan(const LedgerPlan& plan) {
  // A restored validator signs nothing until it is safe: it counts as one that is silent.
  if (3 * (plan.liars() + plan.restores) >= plan.validators && plan.liars() + plan.restores > 0) {
    return fail(ErrorCode::invalid, std::to_string(plan.liars() + plan.restores) +
                                        " liars and restored storages among " + std::to_string(plan.validators) +
                                        " validators are a third or more");
  }
  if (plan.restores > 1) return fail(ErrorCode::invalid, "one storage at most is restored in a run");
  if (plan.latency_min_us > plan.latency_max_us || plan.sync_min_us > plan.sync_max_us)
    return fail(ErrorCode::invalid, "--latency-...-us or --sync-...-us: the least is above the most");
  return {};
}

std::string text_of(const LedgerPlan& plan) {
  std::string text = "--seed " + std::to_string(plan.seed);
  const LedgerPlan plain;
  for (const LedgerPlanEntry& entry : entries) {
    if (plan.*entry.field == plain.*entry.field || entry.name == "seed") continue;
    text += " --" + std::string(entry.name) + " " + std::to_string(plan.*entry.field);
  }
  return text;
}

LedgerPlan drawn_plan(std::uint64_t seed) {
  Random random(seed ^ 0x6c6564676572ULL);
  LedgerPlan plan{.seed = seed};
  constexpr std::array<std::uint64_t, 6> sizes{1, 3, 4, 4, 5, 7};
  plan.validators = sizes[random.below(sizes.size())];
  plan.followers = random.below(3);
  plan.clients = random.between(1, 6);
  plan.transfers = random.between(2, 8);
  plan.load_s = random.between(5, 40);
  if (random.chance(500)) plan.latency_max_us = random.between(plan.latency_min_us, 400'000);
  if (random.chance(400)) plan.loss_per_mille = random.between(1, 150);
  if (random.chance(300)) plan.duplicate_per_mille = random.between(1, 100);
  if (random.chance(400)) plan.sync_max_us = random.between(plan.sync_min_us, 300'000);
  if (random.chance(400)) plan.skew_ms = random.between(1, 2'000);
  if (random.chance(600)) plan.crashes = random.between(1, 12);
  if (random.chance(300)) plan.crash_at_write_per_mille = random.between(1, 60);
  if (random.chance(400)) plan.partitions = random.between(1, 6);
  if (random.chance(250) && plan.validators > 3) plan.set_changes = random.between(1, 3);
  // No more than the smallest set of a change bears.
  std::uint64_t bears = (plan.validators - 1) / 3;
  while (bears > 0 && random.chance(700)) {
    constexpr std::array kinds{&LedgerPlan::twins, &LedgerPlan::silent,  &LedgerPlan::selective,
                               &LedgerPlan::stale, &LedgerPlan::forgers, &LedgerPlan::twins};
    ++(plan.*kinds[random.below(kinds.size())]);
    --bears;
  }
  if (bears > 0 && plan.validators >= 4 && random.chance(200)) plan.restores = 1;
  if (random.chance(400)) {
    plan.withdrawals = random.between(1, 4);
    plan.lock_s = random.between(1, 60);
  }
  if (random.chance(300)) plan.rotations = random.between(1, plan.validators);
  // Drawn last: what was drawn before is what it was.
  if (random.chance(400)) {
    plan.villagers = random.between(6, 12);
    plan.act_ms = random.between(200, 2'000);
  }
  if (random.chance(500)) plan.snapshot_bytes = random.between(1, 20'000);
  return plan;
}

LedgerPlan full_plan(std::uint64_t seed, std::uint64_t validators) {
  Random random(seed ^ 0x66756c6cULL);
  LedgerPlan plan{.seed = seed, .validators = validators};
  plan.followers = random.below(3);
  plan.clients = random.between(2, 4);
  plan.load_s = random.between(900, 2'700);
  plan.transfers = plan.load_s / 60;
  plan.latency_max_us = random.between(20'000, 200'000);
  plan.loss_per_mille = random.between(1, 50);
  plan.duplicate_per_mille = random.between(1, 50);
  plan.sync_max_us = random.between(plan.sync_min_us, 100'000);
  plan.skew_ms = random.between(1, 4'000);
  plan.crashes = plan.load_s / random.between(30, 120);
  plan.crash_down_ms = random.between(1'000, 60'000);
  plan.crash_at_write_per_mille = random.between(1, 5);
  plan.partitions = plan.load_s / random.between(60, 300);
  plan.cut_ms = random.between(5'000, 60'000);
  plan.withdrawals = random.between(1, 4);
  plan.lock_s = random.between(30, 300);
  if (validators >= 4) plan.set_changes = random.between(1, 4);
  plan.rotations = random.between(1, validators);
  plan.villagers = random.between(6, 12);
  plan.act_ms = random.between(5'000, 20'000);
  plan.heal_s = 600;
  std::uint64_t bears = (validators - 1) / 3;
  if (bears > 1) {
    plan.restores = 1;
    --bears;
  }
  for (; bears > 0; --bears) {
    constexpr std::array kinds{&LedgerPlan::twins, &LedgerPlan::silent,  &LedgerPlan::selective,
                               &LedgerPlan::stale, &LedgerPlan::forgers, &LedgerPlan::twins};
    ++(plan.*kinds[random.below(kinds.size())]);
  }
  plan.snapshot_bytes = random.between(1, 20'000);
  return plan;
}

}  // namespace mesh::sim
