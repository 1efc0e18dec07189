// Every fault and every kind of liar, in short runs of their own and all together; and the checkers, the shrinking and the
// reading of plans, each shown to notice what it is there for.
#include "sim/scenario.h"

#include <gtest/gtest.h>

#include <cmath>

#include "domain/verification/quorum.h"
#include "sim/escape.h"
#include "sim/liars/liars.h"
#include "sim/liars/parcels.h"
#include "sim/shrink.h"

namespace mesh::sim {
namespace {

Plan small() {
  Plan plan;
  plan.world.seed = 5;
  plan.world.nodes = 12;
  plan.world.link_max_us = 20'000;
  plan.world.run_us_max = 50'000;
  plan.load_s = 60;
  plan.jobs = 6;
  plan.shards = 8;
  plan.heal_s = 300;
  plan.drain_s = 0;
  return plan;
}

std::string lines(const Report& report) {
  std::string text;
  for (const std::string& finding : report.findings.texts()) text += finding + "\n";
  return text;
}

struct Class {
  Fault fault;
  void (*ask)(Plan&);
};

class EachFault : public testing::TestWithParam<Class> {};

TEST_P(EachFault, StrikesAndBreaksNothing) {
  Plan plan = small();
  GetParam().ask(plan);
  const Report report = run(plan);
  EXPECT_GT(report.faults.of(GetParam().fault), 0U);
  EXPECT_FALSE(report.failed()) << lines(report) << text_of(plan);
  EXPECT_EQ(report.tally.accepted_wrong, 0U);
  EXPECT_GT(report.tally.accepted + report.tally.unverified, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Classes, EachFault,
    testing::Values(Class{Fault::loss, [](Plan& plan) { plan.world.loss_per_mille = 50; }},
                    Class{Fault::duplication, [](Plan& plan) { plan.world.duplicate_per_mille = 200; }},
                    Class{Fault::reordering, [](Plan& plan) { plan.world.reorder_per_mille = 300; }},
                    Class{Fault::partition, [](Plan& plan) { plan.partitions = 3; }},
                    Class{Fault::one_way, [](Plan& plan) { plan.one_ways = 3; }},
                    Class{Fault::crash, [](Plan& plan) { plan.crashes = 12; }},
                    Class{Fault::lost_write,
                          [](Plan& plan) {
                            plan.crashes = 60, plan.jobs = 40;
                            plan.world.sync_us = 20'000;
                            plan.world.sync_max_us = 200'000;
                          }},
                    Class{Fault::torn_sync,
                          [](Plan& plan) {
                            plan.crashes = 60, plan.jobs = 40;
                            plan.world.torn_syncs = 1;
                            plan.world.sync_us = 20'000;
                            plan.world.sync_max_us = 200'000;
                          }},
                    Class{Fault::churn, [](Plan& plan) { plan.leaves = 8; }},
                    Class{Fault::clock_jump, [](Plan& plan) { plan.clock_jumps = 12, plan.world.drift_ppm = 500; }},
                    Class{Fault::disk_stall, [](Plan& plan) { plan.world.stall_per_mille = 30; }},
                    Class{Fault::slow_run, [](Plan& plan) { plan.world.slow_per_mille = 300; }},
                    Class{Fault::failed_fetch, [](Plan& plan) { plan.world.fetch_fail_per_mille = 200; }},
                    Class{Fault::wrong_result, [](Plan& plan) { plan.wrong = 3; }},
                    Class{Fault::collusion, [](Plan& plan) { plan.colluders = 2; }},
                    Class{Fault::lazy_answer, [](Plan& plan) { plan.lazy = 2; }},
                    Class{Fault::copied_commitment, [](Plan& plan) { plan.copiers = 2; }},
                    Class{Fault::no_reveal, [](Plan& plan) { plan.silent = 2; }},
                    Class{Fault::early_reveal, [](Plan& plan) { plan.early = 2; }},
                    Class{Fault::late_reveal, [](Plan& plan) { plan.late = 2; }},
                    Class{Fault::replay, [](Plan& plan) { plan.replayers = 2; }},
                    Class{Fault::flood, [](Plan& plan) { plan.flooders = 1; }},
                    Class{Fault::sybil_offer, [](Plan& plan) { plan.sybils = 1, plan.identities = 8; }}),
    [](const auto& test) {
      std::string name(name_of(test.param.fault));
      std::ranges::replace(name, '-', '_');
      return name;
    });

TEST(Scenario, EverythingAtOnceTwiceTheSameAndAnotherSeedAnother) {
  Plan plan = small();
  plan.world.nodes = 30;
  plan.jobs = 12;  // So that every liar has work.
  plan = everything(plan);
  plan.world.stall_per_mille = 30;  // A minute has too little of either to be sure of one in a thousand.
  plan.world.fetch_fail_per_mille = 60;
  const Report first = run(plan);
  EXPECT_FALSE(first.failed()) << lines(first);
  EXPECT_EQ(first.tally.accepted_wrong, 0U);
  EXPECT_GT(first.tally.accepted, 0U);
  const Report second = run(plan);
  EXPECT_EQ(first.trace, second.trace);
  EXPECT_EQ(text_of(first, plan), text_of(second, plan));
  plan.world.seed = 6;
  plan.jobs = 1;
  EXPECT_NE(run(plan).trace, first.trace);
}

TEST(Scenario, ASparseMeshForwardsGossipAndDialsWhoItSendsTo) {
  Plan plan = small();
  plan.world.nodes = 100;
  plan.world.degree = 6;
  plan.world.capability_hops = 1;
  plan.world.idle_close_us = 5'000'000;
  plan.jobs = 2;
  plan.load_s = 20;
  const Report report = run(plan);
  EXPECT_FALSE(report.failed()) << lines(report);
  EXPECT_EQ(report.ends.at("done"), 2U);
  // Everybody hears of two intents and two ends; nobody sends more copies than it has links.
  EXPECT_GE(report.traffic.gossip_copies, 4 * 99U);
  EXPECT_LE(report.traffic.gossip_copies, 4 * 100 * 12U);
}

// Leases end and shards go to others and come back while publishers are down: what a journal says of a commitment has to
// be what it counted for then.
TEST(Scenario, LongRunsAndCrashesByTheHundredLoseNothing) {
  for (const std::uint64_t seed : {2U, 5U}) {
    Plan plan;
    plan.world = {.seed = seed, .nodes = 10, .link_max_us = 20'000, .run_us_max = 15'000'000, .run_tailed = 1};
    plan.load_s = 60;
    plan.jobs = plan.shards = 12;
    plan.crashes = 100;
    plan.crash_down_ms = 8000;
    plan.heal_s = 300;
    plan.drain_s = 0;
    const Report report = run(plan);
    EXPECT_GE(report.faults.of(Fault::crash), 50U);
    EXPECT_EQ(report.jobs, 12U);
    for (const std::string& text : report.findings.texts()) ADD_FAILURE() << "seed " << seed << ": " << text;
  }
}

// What has to be durable before it is told is told again while it is still being written: a nonce asked for twice, a round
// sent again. A crash then must not find it told and forgotten.
class SlowDisks : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SlowDisks, AndCrashesLoseNothingThatWasTold) {
  Plan plan;
  plan.world = {.seed = GetParam(),
                .nodes = 10,
                .link_max_us = 20'000,
                .sync_us = 500'000,
                .sync_max_us = 2'000'000,
                .run_us_max = 50'000};
  plan.load_s = 60;
  plan.jobs = 40;
  plan.shards = 12;
  plan.crashes = 200;
  plan.crash_down_ms = 2000;
  plan.heal_s = 600;
  plan.drain_s = 0;
  const Report report = run(plan);
  EXPECT_GE(report.faults.of(Fault::lost_write), 10U);
  for (const std::string& text : report.findings.texts()) ADD_FAILURE() << text;
}

// Seeds that had found: a nonce told and forgotten; an end that was shown before it was durable, and became another; an
// offer's notice that was told after the end of the bidding.
INSTANTIATE_TEST_SUITE_P(Seeds, SlowDisks, testing::Values(1, 4, 8, 12, 27, 33, 51, 53, 60, 81, 137));

TEST(Scenario, NothingOfOthersIsKeptInTheEnd) {
  Plan plan = small();
  plan.drain_s = 1000;
  const Report report = run(plan);
  EXPECT_FALSE(report.failed()) << lines(report);
}

TEST(Scenario, AFaultThatWasAskedForAndNeverCameIsAFinding) {
  Plan plan = small();
  plan.world.nodes = 1;
  plan.jobs = 1;
  plan.world.loss_per_mille = 500;
  const Report report = run(plan);
  ASSERT_EQ(report.findings.count(), 1U) << lines(report);
  EXPECT_EQ(report.findings.texts()[0], "no-loss: it was asked for and never came");
}

TEST(Checkers, AWrongResultThatPassesIsFound) {
  World world({.seed = 3, .nodes = 7});
  Collusion group;
  for (std::uint32_t host = 1; host < 7; ++host) group.join(world, host);
  Findings findings;
  Jobs jobs(world, findings, false);
  world.watch(jobs);
  world.start();
  world.run_for(seconds(1));
  jobs.submitted(0, world.submit(0, world.spec(3)));
  for (int i = 0; i < 60 && jobs.poll(); ++i) world.run_for(seconds(1));
  EXPECT_EQ(jobs.tally().accepted_wrong, 3U);
  ASSERT_EQ(findings.count(), 3U);
  EXPECT_TRUE(findings.texts()[0].starts_with("wrong-result: shard ")) << findings.texts()[0];
}

TEST(Checkers, AJobThatDoesNotEndIsFound) {
  World world({.seed = 4, .nodes = 5});
  Findings findings;
  Jobs jobs(world, findings, false);
  world.watch(jobs);
  world.start();
  world.run_for(seconds(1));
  jobs.submitted(0, world.submit(0, world.spec(3)));
  world.crash(0);
  world.run_for(seconds(5));
  EXPECT_TRUE(jobs.poll());
  jobs.check_stuck();
  ASSERT_EQ(findings.count(), 1U);
  EXPECT_TRUE(findings.texts()[0].ends_with("has not ended: its publisher is down")) << findings.texts()[0];
}

TEST(Checkers, AJobThatWasPublishedAndIsForgottenIsFound) {
  World world({.seed = 4, .nodes = 5});
  Findings findings;
  Jobs jobs(world, findings, false);
  world.watch(jobs);
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(3));
  jobs.submitted(0, job);
  world.crash(0);  // Before anything was durable: allowed.
  world.restart(0);
  EXPECT_FALSE(jobs.poll());
  EXPECT_EQ(jobs.dropped(), 1U);
  EXPECT_EQ(findings.count(), 0U);
  // One that nobody has: as if its record had been lost after it was published.
  const Cid other = Cid::of(Multicodec::dag_cbor, to_bytes("no such job"));
  jobs.submitted(1, other);
  const Envelope envelope = world.signer(1).seal(market::Close{.intent = other, .reason = "published"});
  jobs.submitted(1, envelope.cid());
  jobs.on_publish(1, {node::Topic::intents, record::encode(envelope)});
  EXPECT_FALSE(jobs.poll());
  ASSERT_EQ(findings.count(), 1U);
  EXPECT_TRUE(findings.texts()[0].starts_with("lost-job: ")) << findings.texts()[0];
}

TEST(Checkers, ANonceShownForTwoOpeningsIsFound) {
  World world({.seed = 4, .nodes = 2});
  Findings findings;
  Promises promises(world, findings);
  const auto say = [&](std::string_view open) {
    const verification::NonceReveal reveal{.intent = Cid::of(Multicodec::dag_cbor, {}),
                                           .open = Cid::of(Multicodec::dag_cbor, as_bytes(open)),
                                           .round = 1,
                                           .link = {}};
    promises.on_send(1, message_of(world.id(0), node::Channel::receipt, {world.signer(1).seal(reveal)}));
  };
  say("one");
  say("one");
  EXPECT_EQ(findings.count(), 0U);
  say("another");
  ASSERT_EQ(findings.count(), 1U);
  EXPECT_EQ(findings.texts()[0], "two-openings: node 1 showed its nonce of round 1 for two openings");
}

TEST(Escape, TheFormulaIsThatOfTheQuorumAndTheRateIsTheFormulas) {
  for (std::uint32_t eligible = 3; eligible <= 12; ++eligible) {
    for (std::uint32_t colluders = 0; colluders <= eligible; ++colluders) {
      for (std::uint32_t seats = 1; seats <= std::min(eligible, 7U); ++seats) {
        for (std::uint32_t needed = 1; needed <= seats; ++needed) {
          const verification::Fraction exact = verification::escape_probability(eligible, colluders, seats, needed);
          EXPECT_NEAR(escape_formula(eligible, colluders, seats, needed),
                      static_cast<double>(exact.numerator) / static_cast<double>(exact.denominator), 1e-12)
              << eligible << " " << colluders << " " << seats << " " << needed;
        }
      }
    }
  }
  for (const EscapeRow& row : measure_escapes(900, 7, 40)) {
    EXPECT_EQ(row.draws, 40U);
    EXPECT_LE(std::abs(row.deviations()), 4) << row.colluders << ": " << row.passed;
    if (row.colluders < 2) {
      EXPECT_EQ(row.passed, 0U);
    }
  }
}

TEST(Shrink, KeepsWhatItTakesAndDropsTheRest) {
  Plan plan;
  plan.world.nodes = 100;
  plan.load_s = 3600;
  plan = everything(plan);
  std::uint32_t runs = 0;
  const Plan least = shrink(
      plan,
      [&](const Plan& tried) {
        ++runs;
        return tried.crashes > 2 && tried.world.nodes >= 9 && tried.load_s >= 60;
      },
      1000);
  EXPECT_GT(least.crashes, 2U);
  EXPECT_LE(least.crashes, 3U);
  EXPECT_GE(least.world.nodes, 9U);
  EXPECT_LE(least.world.nodes, 11U);
  EXPECT_LE(least.load_s, 79U);
  EXPECT_EQ(least.jobs, 0U);
  EXPECT_EQ(least.liars(), 0U);
  EXPECT_EQ(least.world.loss_per_mille, 0U);
  EXPECT_LT(runs, 300U);
  runs = 0;
  static_cast<void>(shrink(
      plan,
      [&](const Plan&) {
        ++runs;
        return true;
      },
      7));
  EXPECT_EQ(runs, 7U) << "no more than it was allowed";
}

TEST(Plans, AreReadBackFromTheirTextAndRefusedByName) {
  Plan plan = everything(small());
  const std::string text = text_of(plan);
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  Plan again;
  ASSERT_TRUE(read_plan(words, again).has_value());
  EXPECT_EQ(text_of(again), text);

  const auto refusal = [](std::vector<std::string> arguments) {
    Plan into;
    const Status status = read_plan(arguments, into);
    return status ? "" : status.error().message;
  };
  EXPECT_EQ(refusal({"--nonsense", "1"}), "there is no option --nonsense; --help lists them");
  EXPECT_EQ(refusal({"--nodes"}), "--nodes wants a number");
  EXPECT_EQ(refusal({"--nodes", "many"}), "--nodes is a number from 1 to 10000, not \"many\"");
  EXPECT_EQ(refusal({"--nodes", "0"}), "--nodes is a number from 1 to 10000, not \"0\"");
  EXPECT_EQ(refusal({"--nodes", "4", "--wrong", "4"}),
            "4 liars among 4 nodes leave nobody to publish: lower them or add nodes");
  EXPECT_EQ(refusal({"--run-us-min", "9", "--run-us-max", "8"}), "--run-...-us: the least is above the most");
}

TEST(Spreads, KeepTheirBoundsAndTheTailedOneIsSkewed) {
  Random random(1);
  for (const Shape shape : {Shape::even, Shape::tailed}) {
    const Spread spread{1000, 101'000, shape};
    std::uint64_t low_half = 0;
    std::uint64_t lowest = 0;
    for (int i = 0; i < 10'000; ++i) {
      const std::int64_t drawn = spread.draw(random).count();
      ASSERT_GE(drawn, 1000);
      ASSERT_LE(drawn, 101'000);
      low_half += drawn < 51'000 ? 1U : 0U;
      lowest += drawn < 10'000 ? 1U : 0U;
    }
    if (shape == Shape::even) {
      EXPECT_NEAR(static_cast<double>(low_half), 5000, 300);
    } else {
      EXPECT_GT(low_half, 9500U);
      EXPECT_LT(low_half, 9800U);
      EXPECT_GT(lowest, 5000U);
    }
  }
  EXPECT_EQ((Spread{7, 7, Shape::even}.draw(random).count()), 7);
}

}  // namespace
}  // namespace mesh::sim
