// Liars in the simulator: fewer than the quorum needs never pass, the honest are never blamed, and explain names them.
#include <gtest/gtest.h>

#include <cmath>

#include <cmath>
#include <set>

#include "domain/verification/proof.h"
#include "domain/verification/quorum.h"
#include "node/parcel.h"
#include "sim/world.h"

namespace mesh::sim {
namespace {

using node::JobPhase;
using verification::Decision;

/// The same lie from everybody who tells it, so that colluders agree with one another.
void false_result(const ShardRun& run, Output& output) {
  const Digest lie = tagged_hash("lie", {run.function.binary(), big_endian(run.shard)});
  output.finding.result = Cid::of(Multicodec::raw, lie.view());
}
void false_fuel(const ShardRun&, Output& output) {
  output.finding.fuel += 1;
  output.summary.fuel += 1;
}

struct Outcome {
  std::uint32_t accepted_wrong = 0;
  std::uint32_t accepted_right = 0;
  std::set<NodeId> blamed;
  std::string story;
  node::JobView view;
};

Outcome run_job(World& world, std::uint32_t shards) {
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(shards));
  EXPECT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase >= JobPhase::done; }, seconds(3600)));
  Outcome outcome;
  outcome.view = *world.at(0).job(job);
  const Cid function = world.spec(1).function;
  for (const node::ShardView& shard : world.at(0).shards(job, 0, shards)) {
    for (const std::string& line : shard.story) outcome.story += line + "\n";
    if (shard.decision != Decision::accepted) continue;
    (*shard.finding == world.truth(function, shard.shard) ? outcome.accepted_right : outcome.accepted_wrong) += 1;
  }
  for (const auto& [host, notice] : world.notices()) {
    if (host == 0 && notice.kind == "job.blame") outcome.blamed.insert(*notice.peer);
  }
  return outcome;
}

TEST(Liars, AWorkerAloneIsRejectedAndNamed) {
  World world({.seed = 21, .nodes = 8});
  world.behave(3, {.lie = false_result});
  const Outcome outcome = run_job(world, 30);
  EXPECT_EQ(outcome.view.phase, JobPhase::done) << outcome.view.failure;
  EXPECT_EQ(outcome.accepted_wrong, 0U);
  EXPECT_EQ(outcome.accepted_right, 30U);
  EXPECT_EQ(outcome.blamed, std::set<NodeId>{world.id(3)});
  EXPECT_NE(outcome.story.find(identity::short_name(world.id(3))), std::string::npos);
}

TEST(Liars, AWorkerWithOneColludingVerifierIsRejectedAndBothAreNamed) {
  // Host 5 backs host 3 and is honest otherwise: two that back each other against an honest worker would be two
  // colluding verifiers, which is at the quorum (see below).
  World world({.seed = 22, .nodes = 8});
  world.behave(3, {.lie = false_result});
  world.behave(5, {.lie = [&](const ShardRun& run, Output& output) {
                 const std::vector<node::ShardView> shard = world.at(0).shards(run.intent, run.shard, 1);
                 if (!shard.empty() && shard.front().worker == world.id(3)) false_result(run, output);
               }});
  const Outcome outcome = run_job(world, 60);
  EXPECT_EQ(outcome.view.phase, JobPhase::done) << outcome.view.failure;
  EXPECT_EQ(outcome.accepted_wrong, 0U);
  EXPECT_EQ(outcome.accepted_right, 60U);
  for (const NodeId& node : outcome.blamed)
    EXPECT_TRUE(node == world.id(3) || node == world.id(5)) << world.index_of(node);
  EXPECT_TRUE(outcome.blamed.contains(world.id(3)));
  EXPECT_TRUE(outcome.blamed.contains(world.id(5)));
}

TEST(Liars, RightBytesWithWrongFuelAreRejected) {
  World world({.seed = 23, .nodes = 8});
  world.behave(2, {.lie = false_fuel});
  const Outcome outcome = run_job(world, 30);
  EXPECT_EQ(outcome.accepted_wrong, 0U);
  EXPECT_EQ(outcome.accepted_right, 30U);
  EXPECT_EQ(outcome.blamed, std::set<NodeId>{world.id(2)});
}

TEST(Liars, AVerifierAloneIsOutvotedAndNamed) {
  // Host 4 lies as a verifier alone: as a worker it is honest, so that it is not rejected first.
  World world({.seed = 24, .nodes = 8});
  std::set<std::uint32_t> awarded;
  world.behave(4, {.lie = [&](const ShardRun& run, Output& output) {
                 if (!awarded.contains(run.shard)) false_result(run, output);
               }});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(40));
  const auto note_awards = [&] {
    for (const node::ShardView& shard : world.at(0).shards(job, 0, 40)) {
      if (shard.worker == world.id(4)) awarded.insert(shard.shard);
    }
    return world.at(0).job(job)->phase >= JobPhase::done;
  };
  ASSERT_TRUE(world.run_until(note_awards, seconds(600)));
  EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::done) << world.at(0).job(job)->failure;
  for (const node::ShardView& shard : world.at(0).shards(job, 0, 40)) {
    EXPECT_EQ(*shard.finding, world.truth(world.spec(1).function, shard.shard));
  }
  std::set<NodeId> blamed;
  for (const auto& [host, notice] : world.notices()) {
    if (host == 0 && notice.kind == "job.blame") blamed.insert(*notice.peer);
  }
  EXPECT_EQ(blamed, std::set<NodeId>{world.id(4)});
}

TEST(Liars, ACopiedCommitmentCannotBeOpened) {
  // Host 4 does no work as a verifier: it commits to the root that the worker committed to, and later repeats what the
  // worker revealed.
  World world({.seed = 25, .nodes = 8});
  world.behave(4, {.tamper = [&](std::uint32_t self, std::vector<node::Effect>& effects) {
                 const auto tamper = [&](auto&& again, std::vector<node::Effect>& list) -> void {
                   for (node::Effect& effect : list) {
                     if (auto* persist = std::get_if<node::effect::Persist>(&effect.value)) again(again, persist->then);
                     auto* send = std::get_if<node::effect::Send>(&effect.value);
                     if (send == nullptr || send->channel != node::Channel::receipt) continue;
                     auto parcel = record::decode<node::Parcel>(send->bytes);
                     if (!parcel) continue;
                     for (Envelope& envelope : parcel->envelopes) {
                       auto commitment = record::decode<receipt::Commitment>(envelope.body);
                       if (!commitment) continue;
                       commitment->root = tagged_hash("copied", {commitment->root.view()});
                       envelope = world.signer(self).seal(*commitment);
                     }
                     send->bytes = record::encode(*parcel);
                   }
                 };
                 tamper(tamper, effects);
               }});
  const Outcome outcome = run_job(world, 40);
  EXPECT_EQ(outcome.view.phase, JobPhase::done) << outcome.view.failure;
  EXPECT_EQ(outcome.accepted_wrong, 0U);
  EXPECT_EQ(outcome.accepted_right, 40U);
  for (const NodeId& node : outcome.blamed) EXPECT_EQ(node, world.id(4));
}

TEST(Liars, TwoColludingVerifiersPassAsOftenAsTheFormulaSays) {
  // One lying worker that gets all the work, two of the other six back it, three are drawn, two must agree: the chance
  // that both are drawn is C(4,1) / C(6,3) = 4/20.
  const verification::Fraction formula = verification::escape_probability(6, 2, 3, 2);
  EXPECT_EQ(formula.numerator, 4U);
  EXPECT_EQ(formula.denominator, 20U);
  std::uint32_t passed = 0;
  std::uint32_t draws = 0;
  for (std::uint64_t seed = 100; seed < 300; ++seed) {
    World world({.seed = seed, .nodes = 8});
    for (const std::uint32_t host : {1U, 2U, 3U}) world.behave(host, {.lie = false_result});
    world.start();
    world.run_for(seconds(1));
    const Cid job = world.submit(0, world.spec(1));
    ASSERT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase >= JobPhase::done; }, seconds(600)));
    const node::ShardView shard = world.at(0).shards(job, 0, 1).front();
    // Only the first worker's draw counts, and only if it lied: a rejected one is named in the first line of the story.
    const bool rejected = !shard.story.empty() && shard.story.front().starts_with("worker ");
    NodeId first = *shard.worker;
    for (std::uint32_t host = 1; rejected && host < 8; ++host) {
      if (shard.story.front().starts_with("worker " + identity::short_name(world.id(host)))) first = world.id(host);
    }
    if (world.index_of(first) > 3) continue;
    ++draws;
    if (!rejected) ++passed;
  }
  RecordProperty("draws", static_cast<int>(draws));
  RecordProperty("passed", static_cast<int>(passed));
  ASSERT_GE(draws, 50U);
  // Four standard deviations of a binomial around 0.2; the seeds are fixed, so this is no matter of luck.
  const double expected = 0.2 * draws;
  const double deviation = 4 * std::sqrt(draws * 0.2 * 0.8);
  EXPECT_NEAR(passed, expected, deviation) << passed << " of " << draws;
}

// ---------------------------------------------------------------------------------------------------- samples, values

Cid run_sampled(World& world, std::uint32_t shards, std::uint32_t per_mille) {
  world.start();
  world.run_for(seconds(1));
  node::JobSpec spec = world.spec(shards);
  spec.sample = per_mille;
  const Cid job = world.submit(0, spec);
  EXPECT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase >= JobPhase::done; }, seconds(3600)));
  return job;
}

TEST(Samples, AreDrawnWhenEveryShardIsCommittedToAndSpareTheRest) {
  World world({.seed = 31, .nodes = 8, .loss_per_mille = 5});
  const Cid job = run_sampled(world, 200, 200);
  const node::JobView view = *world.at(0).job(job);
  ASSERT_EQ(view.phase, JobPhase::done) << view.failure;
  EXPECT_FALSE(view.unverified);
  std::uint32_t spared = 0;
  for (const node::ShardView& shard : world.at(0).shards(job, 0, 200)) {
    EXPECT_EQ(*shard.finding, world.truth(world.spec(1).function, shard.shard));
    spared += shard.decision == Decision::spot_checked ? 1U : 0U;
    EXPECT_EQ(shard.seats.size(), shard.decision == Decision::spot_checked ? 0U : 3U);
  }
  EXPECT_EQ(view.checked + spared, 200U);
  EXPECT_NEAR(view.checked, 40, 4 * std::sqrt(200 * 0.2 * 0.8));
  // The story tells the order: no round is opened before every shard has been committed to.
  std::uint32_t committed = 0;
  std::uint32_t rounds = 0;
  for (const Envelope& envelope : world.at(0).story(job)) {
    if (const auto commitment = record::decode<receipt::Commitment>(envelope.body); commitment && !commitment->worker)
      for (const task::ShardRange& range : commitment->shards) committed += range.count;
    if (!record::decode<verification::RoundOpen>(envelope.body).has_value()) continue;
    ++rounds;
    EXPECT_GE(committed, 200U);
  }
  EXPECT_GE(rounds, 1U);
  const auto report = verification::verify_bundle(
      verification::build_bundle(world.at(0).federation(), world.config(0).policy, job, world.at(0).story(job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(Decision::accepted), view.checked);
  EXPECT_EQ(report->count(Decision::spot_checked), spared);
}

TEST(Samples, NothingOfAWorkerThatIsCaughtCounts) {
  std::uint32_t times_caught = 0;
  for (const std::uint64_t seed : {41U, 42U, 43U, 44U, 45U, 46U, 47U, 48U}) {
    World world({.seed = seed, .nodes = 8, .keep_notices = 100'000});
    std::uint32_t lies = 0;
    world.behave(3, {.lie = [&](const ShardRun& run, Output& output) {
                   if (run.shard % 4 != 0) return;
                   ++lies;
                   false_result(run, output);
                 }});
    const Cid job = run_sampled(world, 120, 250);
    ASSERT_EQ(world.at(0).job(job)->phase, JobPhase::done) << world.at(0).job(job)->failure;
    EXPECT_GT(lies, 0U);
    std::set<std::uint32_t> wrong;
    for (const node::ShardView& shard : world.at(0).shards(job, 0, 120)) {
      if (*shard.finding == world.truth(world.spec(1).function, shard.shard)) continue;
      wrong.insert(shard.shard);
      EXPECT_EQ(shard.decision, Decision::spot_checked) << "what was re-executed is right";
      EXPECT_EQ(shard.worker, world.id(3));
    }
    bool caught = false;
    for (const auto& [host, notice] : world.notices())
      caught = caught || (host == 0 && notice.kind == "job.blame" && notice.peer == world.id(3));
    EXPECT_TRUE(!caught || wrong.empty()) << "seed " << seed;
    times_caught += caught ? 1U : 0U;
  }
  EXPECT_GT(times_caught, 0U);
}

TEST(Values, AskForMoreVerifiersAndEndWhereNodesAreFew) {
  for (const auto& [nodes, value, seats] : {std::tuple<std::uint64_t, std::uint64_t, std::size_t>{12, 0, 3},
                                            {12, 2, 5},
                                            {12, 50, 7},
                                            {7, 50, 5},
                                            {5, 50, 3}}) {
    World world({.seed = 51, .nodes = nodes});
    world.start();
    world.run_for(seconds(1));
    node::JobSpec spec = world.spec(6);
    spec.value = value * policy::VerificationQuorum{}.value_per_verifier;
    const Cid job = world.submit(0, spec);
    ASSERT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase >= JobPhase::done; }, seconds(600)));
    for (const node::ShardView& shard : world.at(0).shards(job, 0, 6)) {
      EXPECT_EQ(shard.decision, Decision::accepted);
      EXPECT_EQ(shard.seats.size(), seats) << nodes << " nodes, value " << value;
    }
  }
}

}  // namespace
}  // namespace mesh::sim
