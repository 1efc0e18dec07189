// Crashes and restarts at any moment: nothing that was acknowledged is lost, and every shard is accepted exactly once.
#include <gtest/gtest.h>

#include "domain/verification/proof.h"
#include "sim/world.h"

namespace mesh::sim {
namespace {

using node::JobPhase;

void expect_right(World& world, const Cid& job, std::uint32_t shards) {
  const node::JobView view = *world.at(0).job(job);
  ASSERT_EQ(view.phase, JobPhase::done) << view.failure;
  EXPECT_EQ(view.finished, shards);
  for (const node::ShardView& shard : world.at(0).shards(job, 0, shards)) {
    ASSERT_TRUE(shard.finding.has_value());
    EXPECT_EQ(*shard.finding, world.truth(world.spec(1).function, shard.shard));
    EXPECT_EQ(shard.decision, verification::Decision::accepted);
  }
  const auto report = verification::verify_bundle(
      verification::build_bundle(world.at(0).federation(), {}, job, world.at(0).story(job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->missing, 0U);
  EXPECT_EQ(report->count(verification::Decision::accepted), shards);  // Twice decided would not verify.
}

class Restart : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Restart, AnyNodeAtAnyMoment) {
  const std::uint64_t seed = GetParam();
  World world({.seed = seed,
               .nodes = 7,
               .loss_per_mille = 5,
               .duplicate_per_mille = 20,
               .reorder_per_mille = 100,
               .torn_syncs = 1});
  world.start();
  world.run_for(seconds(1));
  constexpr std::uint32_t shards = 150;
  const Cid job = world.submit(0, world.spec(shards));
  // Durable since before the first offer came. A publisher that comes back while it is bidding finds few peers and says
  // `unverified`, so the bidding is over first.
  ASSERT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase > JobPhase::bidding; }, seconds(10)));
  std::function<void()> strike = [&] {
    const auto victim = static_cast<std::uint32_t>(world.random().below(7));
    if (world.running(victim)) {
      world.crash(victim);
      world.at_time(milliseconds(static_cast<std::int64_t>(world.random().between(1, 900))),
                    [&world, victim] { world.restart(victim); });
    }
  };
  Duration at{0};
  for (int i = 0; i < 20; ++i) {
    at += milliseconds(static_cast<std::int64_t>(world.random().between(5, 400)));
    world.at_time(at, strike);
  }
  ASSERT_TRUE(world.run_until(
      [&] { return world.running(0) && world.at(0).job(job) && world.at(0).job(job)->phase >= JobPhase::done; },
      seconds(3000)))
      << world.at(0).job(job)->finished << " of " << shards;
  expect_right(world, job, shards);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Restart, testing::Range<std::uint64_t>(1, 13));

TEST(RestartOfThePublisher, AFinishedJobIsThereAfterwards) {
  World world({.seed = 31});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(6));
  ASSERT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase >= JobPhase::done; }, seconds(60)));
  world.run_for(seconds(1));
  world.crash(0);
  world.restart(0);
  ASSERT_TRUE(world.at(0).job(job).has_value());
  expect_right(world, job, 6);
}

}  // namespace
}  // namespace mesh::sim
