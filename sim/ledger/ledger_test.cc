// Replicas of one chain in virtual time: four that are honest, then every fault and every kind of liar for itself, then any mixture
// of them from seeds. More of these: `mesh_sim --ledger WORLDS`.
#include <gtest/gtest.h>

#include "sim/ledger/town.h"

namespace mesh::sim {
namespace {

std::string lines(const LedgerReport& report, const LedgerPlan& plan) {
  std::string text = text_of(report, plan);
  for (const std::string& finding : report.findings.texts()) text += finding + "\n";
  return text;
}

LedgerReport holds(const LedgerPlan& plan) {
  EXPECT_TRUE(check_plan(plan)) << text_of(plan);
  LedgerReport report = run(plan);
  EXPECT_FALSE(report.failed()) << lines(report, plan);
  return report;
}

TEST(Town, FourHonestReplicasMakeOneChain) {
  const LedgerPlan plan{.seed = 1};
  const LedgerReport report = holds(plan);
  EXPECT_GT(report.height, 0U);
  EXPECT_LE(report.height, report.acknowledged + report.faults.at("double-spend"))
      << "no block without a transaction" << lines(report, plan);
  EXPECT_GE(report.acknowledged + report.refused, plan.clients * plan.transfers - 4) << lines(report, plan);
  for (const std::string name : {"blame", "trouble block-refused", "stalled"})
    EXPECT_EQ(report.faults.count(name), 0U) << lines(report, plan);
}

TEST(Town, TheSameSeedIsTheSameRun) {
  LedgerPlan plan = drawn_plan(3);
  const LedgerReport first = run(plan);
  const LedgerReport second = run(plan);
  EXPECT_EQ(first.trace, second.trace);
  EXPECT_EQ(text_of(first, plan), text_of(second, plan));
  ++plan.seed;
  EXPECT_NE(run(plan).trace, first.trace);
}

TEST(Town, AnIdleFederationMakesTwoBlocksForAWithdrawalAndNoOther) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const LedgerPlan plan{
        .seed = seed, .clients = 1, .transfers = 1, .load_s = 400, .withdrawals = 1, .lock_s = 150, .skew_ms = 2'000};
    const LedgerReport report = holds(plan);
    EXPECT_EQ(report.empty, 2U) << lines(report, plan);
    EXPECT_LE(report.height, 5U) << lines(report, plan);
  }
}

struct Class {
  std::string name;
  std::string fault;  ///< that has to strike
  void (*ask)(LedgerPlan&);
};
// Else the test's own name would have the bytes of pointers in it.
void PrintTo(const Class& one, std::ostream* out) { *out << one.name; }

class EachLedgerFault : public testing::TestWithParam<Class> {};

TEST_P(EachLedgerFault, StrikesAndBreaksNothing) {
  std::uint64_t struck = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    LedgerPlan plan{.seed = seed, .load_s = 15};
    GetParam().ask(plan);
    const LedgerReport report = holds(plan);
    const auto found = report.faults.find(GetParam().fault);
    struck += found == report.faults.end() ? 0 : found->second;
    EXPECT_GT(report.acknowledged, 0U) << lines(report, plan);
  }
  EXPECT_TRUE(GetParam().fault.empty() || struck > 0) << "it never struck";
}

INSTANTIATE_TEST_SUITE_P(
    Classes, EachLedgerFault,
    testing::Values(Class{"one_validator", "", [](LedgerPlan& plan) { plan.validators = 1, plan.followers = 2; }},
                    Class{"followers", "", [](LedgerPlan& plan) { plan.followers = 3; }},
                    Class{"loss", "loss", [](LedgerPlan& plan) { plan.loss_per_mille = 100; }},
                    Class{"duplication", "duplication", [](LedgerPlan& plan) { plan.duplicate_per_mille = 300; }},
                    Class{"slow_links", "", [](LedgerPlan& plan) { plan.latency_max_us = 500'000; }},
                    Class{"slow_disks", "", [](LedgerPlan& plan) { plan.sync_max_us = 500'000; }},
                    Class{"wrong_clocks", "", [](LedgerPlan& plan) { plan.skew_ms = 4'000; }},
                    Class{"clocks_far_apart", "", [](LedgerPlan& plan) { plan.skew_ms = 12'000; }},
                    Class{"crashes", "crash", [](LedgerPlan& plan) { plan.crashes = 15; }},
                    Class{"crashes_at_writes", "lost-write",
                          [](LedgerPlan& plan) { plan.crash_at_write_per_mille = 100, plan.sync_max_us = 20'000; }},
                    Class{"torn_writes", "torn-sync",
                          [](LedgerPlan& plan) { plan.crash_at_write_per_mille = 200, plan.sync_max_us = 100'000; }},
                    Class{"partitions", "partition", [](LedgerPlan& plan) { plan.partitions = 6; }},
                    Class{"restored_storages", "restore", [](LedgerPlan& plan) { plan.restores = 1; }},
                    Class{"snapshots", "skipped",
                          [](LedgerPlan& plan) {
                            plan.snapshot_bytes = 1'000, plan.transfers = 30, plan.load_s = 60, plan.crashes = 8;
                            plan.crash_down_ms = 30'000;
                          }},
                    Class{"snapshots_over_changes", "start-from-snapshot",
                          [](LedgerPlan& plan) {
                            plan.snapshot_bytes = 1'000, plan.validators = 7, plan.set_changes = 3, plan.rotations = 5;
                            plan.twins = 1, plan.transfers = 12, plan.crashes = 12;
                          }},
                    Class{"snapshots_of_forgers", "start-from-snapshot",
                          [](LedgerPlan& plan) {
                            plan.snapshot_bytes = 1'000, plan.forgers = 1, plan.transfers = 20, plan.crashes = 12;
                            plan.crash_down_ms = 30'000;
                          }},
                    Class{"other_sets", "", [](LedgerPlan& plan) { plan.validators = 5, plan.set_changes = 3; }},
                    Class{"withdrawals", "empty-block",
                          [](LedgerPlan& plan) { plan.withdrawals = 4, plan.lock_s = 5, plan.crashes = 6; }},
                    Class{"late_withdrawals", "empty-block",
                          [](LedgerPlan& plan) { plan.withdrawals = 3, plan.lock_s = 90, plan.silent = 1; }},
                    Class{"other_keys", "rotation", [](LedgerPlan& plan) { plan.rotations = 8, plan.transfers = 12; }},
                    Class{"other_keys_and_crashes", "rotation",
                          [](LedgerPlan& plan) { plan.rotations = 8, plan.transfers = 12, plan.crashes = 15; }},
                    Class{"other_keys_and_sets", "rotation",
                          [](LedgerPlan& plan) { plan.validators = 5, plan.rotations = 5, plan.set_changes = 3; }},
                    Class{"twins", "evidence", [](LedgerPlan& plan) { plan.twins = 1, plan.transfers = 12; }},
                    Class{"twins_lose_their_bonds", "conviction",
                          [](LedgerPlan& plan) { plan.validators = 7, plan.twins = 2, plan.transfers = 12; }},
                    Class{"twins_are_named_again", "conviction",
                          [](LedgerPlan& plan) {
                            plan.validators = 7, plan.twins = 1, plan.transfers = 12, plan.set_changes = 3;
                          }},
                    Class{"paid_work", "act taken",
                          [](LedgerPlan& plan) { plan.villagers = 8, plan.act_ms = 200, plan.load_s = 90; }},
                    Class{"paid_work_and_crashes", "act taken",
                          [](LedgerPlan& plan) {
                            plan.villagers = 8, plan.act_ms = 200, plan.load_s = 60, plan.crashes = 10, plan.twins = 1;
                          }},
                    Class{"two_twins", "", [](LedgerPlan& plan) { plan.validators = 7, plan.twins = 2; }},
                    Class{"silence", "silence", [](LedgerPlan& plan) { plan.silent = 1; }},
                    Class{"selective", "selective", [](LedgerPlan& plan) { plan.selective = 1; }},
                    Class{"replay", "replay", [](LedgerPlan& plan) { plan.stale = 1; }},
                    Class{"forgery", "forgery", [](LedgerPlan& plan) { plan.forgers = 1, plan.crashes = 6; }}),
    [](const auto& test) { return test.param.name; });

constexpr std::uint64_t worlds_each = 15;

class DrawnTowns : public testing::TestWithParam<std::uint64_t> {};

TEST_P(DrawnTowns, Hold) {
  for (std::uint64_t i = 0; i < worlds_each; ++i) {
    const LedgerPlan plan = drawn_plan(GetParam() * worlds_each + i);
    holds(plan);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, DrawnTowns, testing::Range<std::uint64_t>(0, 8));

TEST(LedgerPlans, AreReadAndWrittenByName) {
  LedgerPlan plan;
  const std::vector<std::string> good{"--seed", "9", "--validators", "7", "--twins", "2"};
  ASSERT_TRUE(read_plan(good, plan));
  EXPECT_EQ(text_of(plan), "--seed 9 --validators 7 --twins 2");
  for (const std::vector<std::string>& bad : {std::vector<std::string>{"--nonsense", "1"},
                                              {"--seed"},
                                              {"--seed", "x"},
                                              {"--validators", "0"},
                                              {"--validators", "65"},
                                              {"--twins", "3"},
                                              {"--validators", "3"},
                                              {"--latency-min-us", "50000"},
                                              {"--restores", "2"}}) {
    LedgerPlan changed = plan;
    EXPECT_FALSE(read_plan(bad, changed)) << bad[0];
  }
  for (std::uint64_t seed = 0; seed < 1'000; ++seed) EXPECT_TRUE(check_plan(drawn_plan(seed))) << seed;
}

}  // namespace
}  // namespace mesh::sim
