// Liars in the simulator: fewer than the quorum needs never pass, the honest are never blamed, and explain names them.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

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

}  // namespace
}  // namespace mesh::sim
