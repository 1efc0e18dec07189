// Planted bugs in the ledger (base/planted.h): with each, random operations beside the model come to a difference or to a
// broken invariant; without, the same ones do not.
#include "base/planted.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <regex>

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
    std::cerr << "seed " << seed << ": ";
    const std::string finding = Trial(seed).run(operations);
    std::cerr << finding << '\n';
    if (!finding.empty()) std::abort();
  }
}

/// Whether what a process said at its end fits a pattern; and says by which seed it was found, that being the last one.
class Finding {
 public:
  using is_gtest_matcher = void;
  explicit Finding(const Planted& planted) : planted_(planted) {}

  bool MatchAndExplain(const std::string& said, std::ostream* why) const {
    const bool found = std::regex_search(said, std::regex(planted_.finding));
    const std::size_t at = said.rfind("seed ");
    if (found && at != std::string::npos) std::cout << planted_.name << ", by " << said.substr(at) << '\n';
    if (!found && why != nullptr) *why << "which is another finding, or none";
    return found;
  }
  void DescribeTo(std::ostream* to) const { *to << "finds " << planted_.finding; }
  void DescribeNegationTo(std::ostream* to) const { *to << "does not find " << planted_.finding; }

 private:
  Planted planted_;
};

class EachBugDeathTest : public testing::TestWithParam<Planted> {};

TEST(NoBug, IsFoundWhereThereIsNone) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) EXPECT_EQ(Trial(seed).run(operations), "") << "seed " << seed;
}

TEST_P(EachBugDeathTest, IsFound) { EXPECT_DEATH(run_with(GetParam().bug), Finding(GetParam())); }

INSTANTIATE_TEST_SUITE_P(
    Ledger, EachBugDeathTest,
    testing::Values(
        Planted{Bug::sequence_gap_accepted, "sequence_gap_accepted", "the ledger says .*, the model sequence-gap"},
        Planted{Bug::addition_unchecked, "addition_unchecked",
                "ledger-conservation|ledger-total-overflow|the ledger says .*, the model overflow"},
        Planted{Bug::bond_withdrawn_at_stake, "bond_withdrawn_at_stake", "the ledger says .*, the model bond-at-stake"},
        Planted{Bug::work_stake_withdrawn, "work_stake_withdrawn", "the ledger says .*, the model bond-at-stake"},
        Planted{Bug::fees_not_at_stake, "fees_not_at_stake", "an account differs|a stake for work differs"},
        Planted{Bug::withdrawals_spared, "withdrawals_spared", "an account differs|of a work what .* differs"},
        Planted{Bug::spent_award_claims, "spent_award_claims", "the ledger says .*, the model award-spent"},
        Planted{Bug::early_reveal_taken, "early_reveal_taken", "the ledger says .*, the model seats-open"},
        Planted{Bug::lie_uncounted, "lie_uncounted", "reputation"},
        Planted{Bug::free_work_counts, "free_work_counts", "reputation"},
        Planted{Bug::offence_punished_twice, "offence_punished_twice",
                "the ledger says .*, the model evidence-repeated"},
        Planted{Bug::shard_paid_twice, "shard_paid_twice",
                "an escrow differs|the ledger says .*, the model shard-claimed"},
        Planted{Bug::claimed_after_refund, "claimed_after_refund", "the ledger says .*, the model escrow-closed"},
        Planted{Bug::settled_after_end, "settled_after_end", "the ledger says .*, the model work-ended"},
        Planted{Bug::drawn_by_earlier_beacon, "drawn_by_earlier_beacon",
                "of a work (a draw|an order|who was drawn) differs"},
        Planted{Bug::verifier_counted_twice, "verifier_counted_twice",
                "an account differs|of a work .* differs|more-votes-than-seats"},
        Planted{Bug::silence_agrees, "silence_agrees", "an account differs|of a work .* differs"},
        Planted{Bug::state_root_not_compared, "state_root_not_compared", "a block with another state root is taken"}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace mesh::ledger
