// A hundred nodes, latency, loss, a crash: the job ends with the right result, and the same seed gives the same trace.
#include "sim/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "domain/verification/proof.h"
#include "node/parcel.h"

namespace mesh::sim {
namespace {

using node::JobPhase;

bool ended(World& world, const Cid& job) { return world.at(0).job(job)->phase >= JobPhase::done; }

void expect_all_true(World& world, const Cid& job, std::uint32_t shards) {
  const Cid function = world.spec(1).function;
  const std::vector<node::ShardView> views = world.at(0).shards(job, 0, shards);
  ASSERT_EQ(views.size(), shards);
  for (const node::ShardView& view : views) {
    ASSERT_TRUE(view.finding.has_value()) << "shard " << view.shard;
    EXPECT_EQ(*view.finding, world.truth(function, view.shard)) << "shard " << view.shard;
    EXPECT_EQ(view.decision, verification::Decision::accepted) << "shard " << view.shard;
  }
}

TEST(World, FiveNodesVerifyAJob) {
  World world({.seed = 7});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(4));
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  const node::JobView view = *world.at(0).job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure;
  EXPECT_FALSE(view.unverified);
  EXPECT_EQ(view.ranking.size(), 4U);
  expect_all_true(world, job, 4);
  for (const node::ShardView& shard : world.at(0).shards(job, 0, 4)) {
    EXPECT_EQ(shard.seats.size(), 3U);
    EXPECT_NE(*shard.worker, world.id(0));
    for (const node::SeatView& seat : shard.seats) {
      EXPECT_NE(seat.node, *shard.worker);
      EXPECT_NE(seat.node, world.id(0));
      EXPECT_EQ(seat.state, "agreed");
    }
  }
}

TEST(World, ItsBundleProvesTheJobOfflineAndNoChangedByteDoes) {
  World world({.seed = 8});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(2));
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  const Bytes bundle = verification::build_bundle(world.at(0).federation(), {}, job, world.at(0).story(job), {});
  const auto report = verification::verify_bundle(bundle);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->missing, 0U);
  EXPECT_EQ(report->count(verification::Decision::accepted), 2U);
  EXPECT_EQ(report->intent.signer, world.id(0));
  for (std::size_t at = 0; at < bundle.size(); at += 1) {
    Bytes changed = bundle;
    changed[at] ^= 1;
    EXPECT_FALSE(verification::verify_bundle(changed).has_value()) << "byte " << at << " of " << bundle.size();
  }
  for (std::size_t size = 0; size < bundle.size(); size += 37) {
    EXPECT_FALSE(verification::verify_bundle(ByteView(bundle).first(size)).has_value()) << "cut at " << size;
  }
}

TEST(World, AHundredNodesWithLossAndACrash) {
  const auto run = [](std::uint64_t seed) {
    World world({.seed = seed, .nodes = 100, .latency_max_us = 20'000, .loss_per_mille = 10});
    world.start();
    world.run_for(seconds(2));
    const Cid job = world.submit(0, world.spec(40));
    world.at_time(milliseconds(2300), [&] { world.crash(17); });
    world.at_time(seconds(9), [&] { world.restart(17); });
    EXPECT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(600)));
    EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::done) << world.at(0).job(job)->failure;
    EXPECT_GT(world.lost(), 0U);
    expect_all_true(world, job, 40);
    return world.trace_hash();
  };
  const std::uint64_t first = run(42);
  EXPECT_EQ(first, run(42)) << "the same seed gives the same trace";
  EXPECT_NE(first, run(43));
}

TEST(World, TwoNodesGiveAnUnverifiedResultThatSaysSo) {
  World world({.seed = 9, .nodes = 2});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(3));
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  const node::JobView view = *world.at(0).job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure;
  EXPECT_TRUE(view.unverified);
  for (const node::ShardView& shard : world.at(0).shards(job, 0, 3))
    EXPECT_EQ(shard.decision, verification::Decision::unverified);
  const auto report = verification::verify_bundle(
      verification::build_bundle(world.at(0).federation(), {}, job, world.at(0).story(job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(verification::Decision::unverified), 3U);
}

TEST(World, ANodeAloneRunsItsTaskItself) {
  World world({.seed = 10, .nodes = 1});
  world.start();
  const Cid job = world.submit(0, world.spec(5));
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::done) << world.at(0).job(job)->failure;
  EXPECT_TRUE(world.at(0).job(job)->unverified);
  const auto report = verification::verify_bundle(
      verification::build_bundle(world.at(0).federation(), {}, job, world.at(0).story(job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_TRUE(report->shards.front().self_executed);
}

TEST(World, VerifiersAskedForThatAreNotThereFailTheJobAndSayWhy) {
  World world({.seed = 11, .nodes = 3});
  world.start();
  world.run_for(seconds(1));
  node::JobSpec spec = world.spec(1);
  spec.verifiers = 3;
  const Cid job = world.submit(0, spec);
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::failed);
  EXPECT_EQ(world.at(0).job(job)->failure,
            "too-few-verifiers: 3 verifiers were asked for, which takes 4 nodes beside this one, and 2 offered");
}

TEST(World, WhoLacksTheScopeNeitherOffersNorWins) {
  World world({.seed = 12, .nodes = 7});
  world.configure(3, [](node::Config& config) { config.resources.memory_mb = 128; });
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(40));
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  const node::JobView view = *world.at(0).job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure;
  for (const market::Ranked& line : view.ranking) EXPECT_NE(line.node, world.id(3));
  for (const node::ShardView& shard : world.at(0).shards(job, 0, 40)) EXPECT_NE(*shard.worker, world.id(3));
  ASSERT_EQ(view.refused.size(), 1U);
  EXPECT_EQ(view.refused[0].node, world.id(3));
  EXPECT_EQ(view.refused[0].reason, "memory: 512 MiB wanted, 128 here");
}

TEST(World, AWorkerThatLagsHoldsNobodyUpAndItsLateWordHarmsNobody) {
  World world({.seed = 16, .nodes = 7});
  // What host 3 commits to as a worker is held up on its way.
  std::vector<Bytes> held;
  std::set<std::uint32_t> shards;
  const auto hold_up = [&](const node::Effect& effect) {
    const auto* send = std::get_if<node::effect::Send>(&effect.value);
    if (send == nullptr || send->channel != node::Channel::receipt) return false;
    const auto parcel = record::decode<node::Parcel>(send->bytes);
    bool found = false;
    for (const Envelope& envelope : parcel->envelopes) {
      const auto commitment = record::decode<receipt::Commitment>(envelope.body);
      if (!commitment || commitment->worker) continue;
      found = true;
      const auto covered = task::expand(commitment->shards, 40);
      shards.insert(covered->begin(), covered->end());
    }
    if (found) held.push_back(send->bytes);
    return found;
  };
  world.behave(3, {.lie = {}, .tamper = [&](std::uint32_t, std::vector<node::Effect>& effects) {
                     std::erase_if(effects, hold_up);
                     for (node::Effect& effect : effects) {
                       if (auto* persist = std::get_if<node::effect::Persist>(&effect.value))
                         std::erase_if(persist->then, hold_up);
                     }
                   }});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(40));
  // Until another has committed to one of them.
  const auto overtaken = [&] {
    const std::vector<node::ShardView> views = world.at(0).shards(job, 0, 40);
    return std::ranges::any_of(shards, [&](std::uint32_t shard) {
      return views[shard].worker != world.id(3) && views[shard].state != "running" && views[shard].state != "waiting";
    });
  };
  ASSERT_TRUE(world.run_until(overtaken, seconds(30)));
  EXPECT_FALSE(ended(world, job));
  ASSERT_FALSE(held.empty());
  const std::vector<Bytes> late = held;
  for (const Bytes& parcel : late) world.inject(0, world.id(3), node::Channel::receipt, parcel);
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(30))) << "long before anything times out";
  EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::done) << world.at(0).job(job)->failure;
  expect_all_true(world, job, 40);
  for (const auto& [host, notice] : world.notices()) EXPECT_NE(notice.kind, "job.blame") << notice.text;
  const auto report = verification::verify_bundle(
      verification::build_bundle(world.at(0).federation(), {}, job, world.at(0).story(job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(verification::Decision::accepted), 40U);
}

TEST(World, ManyShortShardsAreVerifiedManyAtATime) {
  World world({.seed = 17, .nodes = 6, .run_us_min = 10, .run_us_max = 50});
  world.start();
  world.run_for(seconds(1));
  constexpr std::uint32_t shards = 3000;
  const Cid job = world.submit(0, world.spec(shards));
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(600)));
  expect_all_true(world, job, shards);
  // What each shard costs is no record of its own: there are far fewer of them than shards.
  std::map<std::string, std::size_t> records;
  for (const Envelope& envelope : world.at(0).story(job)) ++records[*type_of(envelope.body)];
  for (const auto& [type, count] : records) EXPECT_LT(count, shards / 5) << type;
  const auto report = verification::verify_bundle(
      verification::build_bundle(world.at(0).federation(), {}, job, world.at(0).story(job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(verification::Decision::accepted), shards);
}

TEST(World, NobodyOffersAndTheReasonsAreTold) {
  World world({.seed = 13, .nodes = 3});
  for (const std::uint32_t host : {1U, 2U})
    world.configure(host, [](node::Config& config) { config.resources.memory_mb = 64; });
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(1));
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::failed);
  EXPECT_TRUE(world.at(0).job(job)->failure.starts_with("nobody-offered: nobody offered, because "))
      << world.at(0).job(job)->failure;
  EXPECT_NE(world.at(0).job(job)->failure.find("512 MiB wanted, 64 here"), std::string::npos);
}

TEST(World, AReductionFoldsTheResultsAsATaskOfItsOwn) {
  World world({.seed = 14});
  world.start();
  world.run_for(seconds(1));
  node::JobSpec spec = world.spec(6);
  spec.reduce = Cid::of(Multicodec::raw, to_bytes("fold"));
  const Cid job = world.submit(0, spec);
  ASSERT_TRUE(world.run_until([&] { return ended(world, job); }, seconds(60)));
  const node::JobView view = *world.at(0).job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure;
  ASSERT_TRUE(view.reduce_job.has_value());
  ASSERT_TRUE(view.result.has_value());
  EXPECT_EQ(*view.result, world.truth(*spec.reduce, 0).result);
}

TEST(World, AFeeIsRefusedWhileThereIsNoLedger) {
  World world({.seed = 15, .nodes = 1});
  world.start();
  node::JobSpec spec = world.spec(1);
  spec.fee = 100;
  const Result<Cid> job = world.at(0).check_submit({spec, {}});
  ASSERT_FALSE(job.has_value());
  EXPECT_EQ(job.error().code, ErrorCode::unsupported);
  EXPECT_EQ(job.error().message,
            "a fee of 100 cannot be paid: this version has no ledger yet, so tasks are free (leave --fee out)");
}

}  // namespace
}  // namespace mesh::sim
