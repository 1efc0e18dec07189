// Planted bugs: the domain and the node with one check taken away at a time (base/planted.h), and the same run without
// that. Each has to be found by what checks every run, under one of a few seeds; the test says under which.
#include "base/planted.h"

#include <gtest/gtest.h>

#include <iostream>

#include "sim/liars/liars.h"
#include "sim/scenario.h"

#ifndef MESH_PLANTED
#error "this test is of a build with bugs in it"
#endif

namespace mesh::sim {
namespace {

Plan small(std::uint64_t seed) {
  Plan plan;
  plan.world.seed = seed;
  plan.world.nodes = 10;
  plan.world.link_max_us = 20'000;
  plan.world.run_us_max = 50'000;
  plan.load_s = 60;
  plan.jobs = 6;
  plan.shards = 12;
  plan.heal_s = 300;
  plan.drain_s = 0;
  return plan;
}

Findings a_publisher_that_forges(std::uint64_t seed) {
  World world({.seed = seed, .nodes = 7});
  forge_draws(world, 0);
  Findings findings;
  Promises promises(world, findings);
  world.watch(promises);
  world.start();
  world.run_for(seconds(1));
  static_cast<void>(world.submit(0, world.spec(4)));
  world.run_for(seconds(30));
  if (world.faults().of(Fault::forged_draw) == 0) findings.add("no-forged-draw: it was asked for and never came");
  return findings;
}

Findings a_full_queue(std::uint64_t seed) {
  World world({.seed = seed, .nodes = 6, .run_us_min = 100'000, .run_us_max = 300'000});
  for (std::uint32_t host = 0; host < world.size(); ++host)
    world.configure(host, [](node::Config& config) { config.policy.scheduling.max_queued_shards = 8; });
  Findings findings;
  Bounds bounds(findings);
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(300));
  const auto ended = [&] {
    bounds.look(world);
    return world.at(0).job(job)->phase >= node::JobPhase::done;
  };
  if (!world.run_until(ended, seconds(600))) findings.add("stuck: the job has not ended");
  return findings;
}

struct Planted {
  Bug bug;
  std::string_view name;
  std::string_view finding;  ///< what its name is
  void (*ask)(Plan&);  ///< of a run of a plan; nullptr where `look` is one of its own
  Findings (*look)(std::uint64_t seed) = nullptr;

  [[nodiscard]] Findings findings(std::uint64_t seed) const {
    if (look != nullptr) return look(seed);
    Plan plan = small(seed);
    ask(plan);
    return run(plan).findings;
  }
};

class EachBug : public testing::TestWithParam<Planted> {
 protected:
  void TearDown() override { the_planted_bug = Bug::none; }
};

TEST_P(EachBug, IsFoundAndWithoutItNothingIs) {
  const Planted& planted = GetParam();
  std::string others;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    the_planted_bug = planted.bug;
    bool found = false;
    const Findings with = planted.findings(seed);
    for (const std::string& text : with.texts()) {
      found = found || text.starts_with(std::string(planted.finding) + ": ");
      others += text + "\n";
    }
    if (!found) continue;
    the_planted_bug = Bug::none;
    const Findings without = planted.findings(seed);
    for (const std::string& text : without.texts()) ADD_FAILURE() << "without it: " << text;
    RecordProperty("seed", std::to_string(seed));
    std::cout << planted.name << ": found with seed " << seed << " as " << planted.finding << '\n';
    return;
  }
  FAIL() << "not found; what was found instead: " << others;
}

INSTANTIATE_TEST_SUITE_P(
    Bugs, EachBug,
    testing::Values(
        Planted{Bug::draw_unchecked, "no_check_of_the_draw", "forged-draw", nullptr, a_publisher_that_forges},
        Planted{Bug::salt_left_out, "salt_left_out", "no-story", [](Plan&) {}},
        Planted{Bug::early_reveal_taken, "reveals_before_all_commitments", "told-early",
                [](Plan& plan) { plan.early = 3; }},
        Planted{Bug::late_offer_taken, "offer_after_its_time", "late-offer",
                [](Plan& plan) { plan.world.latency_max_us = 3'000'000, plan.world.latency_tailed = 1; }},
        Planted{Bug::shard_accepted_twice, "shard_accepted_twice", "ruled-twice",
                [](Plan& plan) { plan.world.run_tailed = 1, plan.world.run_us_max = 20'000'000, plan.crashes = 30; }},
        Planted{Bug::queue_unbounded, "queue_without_its_bound", "out-of-bounds", nullptr, a_full_queue},
        Planted{Bug::unsynced_acknowledgement, "unsynced_acknowledgement", "lost-job",
                [](Plan& plan) {
                  plan.crashes = 200, plan.crash_down_ms = 2000, plan.jobs = 40;
                  plan.world.sync_us = 300'000, plan.world.sync_max_us = 900'000;
                }},
        Planted{Bug::timeout_never_armed, "timeout_never_armed", "stuck", [](Plan& plan) { plan.silent = 2; }},
        Planted{Bug::verifier_counted_twice, "verifier_counted_twice", "wrong-result",
                [](Plan& plan) { plan.colluders = 2; }},
        Planted{Bug::publisher_verifies, "publisher_verifies", "own-judge", [](Plan&) {}},
        Planted{Bug::stale_award_honoured, "stale_award_honoured", "stale-award",
                [](Plan& plan) {
                  plan.crashes = 100, plan.crash_down_ms = 8000, plan.jobs = 12;
                  plan.world.run_tailed = 1, plan.world.run_us_max = 15'000'000;
                }},
        Planted{Bug::fuel_not_compared, "fuel_not_compared", "wrong-result", [](Plan& plan) { plan.wrong = 3; }}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace mesh::sim
