// Planted bugs: a replica with one thing taken away at a time (base/planted.h), and the same run without that. Each has to be
// found by what is checked of every run, under one of a few seeds; the test says under which.
#include "base/planted.h"

#include <gtest/gtest.h>

#include <iostream>

#include "sim/ledger/town.h"

#ifndef MESH_PLANTED
#error "this test is of a build with bugs in it"
#endif

namespace mesh::sim {
namespace {

struct Planted {
  Bug bug;
  std::string_view name;
  std::vector<std::string_view> findings;  ///< any of these is it
  void (*ask)(LedgerPlan&);
};

class EachChainBug : public testing::TestWithParam<Planted> {
 protected:
  void TearDown() override { the_planted_bug = Bug::none; }
};

TEST_P(EachChainBug, IsFoundAndWithoutItNothingIs) {
  const Planted& planted = GetParam();
  std::string others;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    LedgerPlan plan{.seed = seed, .load_s = 20, .heal_s = 120};
    planted.ask(plan);
    the_planted_bug = planted.bug;
    const LedgerReport with = run(plan);
    std::string_view found;
    for (const std::string& text : with.findings.texts()) {
      for (const std::string_view name : planted.findings) {
        if (text.starts_with(std::string(name) + ":")) found = name;
      }
      others += text + "\n";
    }
    if (found.empty()) continue;
    the_planted_bug = Bug::none;
    const LedgerReport without = run(plan);
    for (const std::string& text : without.findings.texts()) ADD_FAILURE() << "without it: " << text;
    std::cout << planted.name << ": found with seed " << seed << " as " << found << '\n';
    return;
  }
  FAIL() << "not found; what was found instead: " << others;
}

INSTANTIATE_TEST_SUITE_P(
    Bugs, EachChainBug,
    testing::Values(Planted{Bug::chain_tells_before_durable,
                            "votes_before_they_are_durable",
                            {"signed-twice"},
                            [](LedgerPlan& plan) {
                              plan.crash_at_write_per_mille = 150, plan.sync_max_us = 300'000, plan.transfers = 12;
                              plan.crash_down_ms = 50;
                            }},
                    Planted{Bug::chain_tells_before_durable,
                            "final_before_it_is_durable",
                            {"lost-final"},
                            [](LedgerPlan& plan) {
                              plan.validators = 1, plan.crash_at_write_per_mille = 150, plan.sync_max_us = 300'000;
                            }},
                    Planted{Bug::chain_log_forgotten,
                            "log_forgotten",
                            {"signed-twice", "unexpected-trouble"},
                            [](LedgerPlan& plan) {
                              plan.crash_at_write_per_mille = 150, plan.transfers = 12;
                              plan.crash_down_ms = 50, plan.latency_max_us = 200'000;
                            }},
                    Planted{Bug::chain_executes_before_final,
                            "executed_before_it_is_final",
                            {"two-blocks", "two-certificates", "state-roots-differ", "lost-final", "stopped"},
                            [](LedgerPlan& plan) { plan.crashes = 6, plan.loss_per_mille = 100; }},
                    // Clients that hear nothing ask others: it shows where they had no time to ask many.
                    Planted{Bug::chain_transaction_kept,
                            "transaction_handed_to_nobody",
                            {"stuck"},
                            [](LedgerPlan& plan) { plan.validators = 7, plan.heal_s = 15; }}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace mesh::sim
