// Planted bugs in the ledger (base/planted.h): with each, random operations beside the model come to a difference or to a
// broken invariant; without, the same ones do not.
#include "base/planted.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "domain/ledger/ledger_trial.h"

#ifndef MESH_PLANTED
#error "this test is of a build with bugs in it"
#endif

namespace mesh::ledger {
namespace {

constexpr std::uint64_t operations = 20'000;
constexpr std::uint64_t seeds = 20;

struct Planted {
  Bug bug;
  std::string_view name;
  const char* finding;  ///< a pattern
};

/// Ends the process at the first finding, as the ledger's own check of its sums does.
void run_with(Bug bug) {
  the_planted_bug = bug;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const std::string finding = Trial(seed).run(operations);
    if (finding.empty()) continue;
    std::cerr << "seed " << seed << ": " << finding << '\n';
    std::abort();
  }
}

class EachBugDeathTest : public testing::TestWithParam<Planted> {};

TEST_P(EachBugDeathTest, IsFound) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    EXPECT_EQ(Trial(seed).run(operations), "") << "without the bug, seed " << seed;
  EXPECT_DEATH(run_with(GetParam().bug), GetParam().finding);
}

INSTANTIATE_TEST_SUITE_P(
    Ledger, EachBugDeathTest,
    testing::Values(
        Planted{Bug::sequence_gap_accepted, "sequence_gap_accepted", "the ledger says .*, the model sequence-gap"},
        Planted{Bug::addition_unchecked, "addition_unchecked",
                "ledger-conservation|ledger-total-overflow|the ledger says taken, the model overflow"},
        Planted{Bug::bond_withdrawn_at_stake, "bond_withdrawn_at_stake", "the ledger says .*, the model bond-at-stake"},
        Planted{Bug::state_root_not_compared, "state_root_not_compared", "a block with another state root is taken"}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace mesh::ledger
