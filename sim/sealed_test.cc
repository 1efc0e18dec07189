// Sealed inputs in the simulator: keys go to those alone that run, get there whatever is lost or restarts, and a publisher
// that keeps them back or gives wrong ones harms nobody but itself. What wraps them here is no cryptography (sim/execution.h).
#include <gtest/gtest.h>

#include <set>

#include "domain/verification/proof.h"
#include "node/parcel.h"
#include "sim/world.h"

namespace mesh::sim {
namespace {

using node::JobPhase;
using verification::KeyRequest;
using verification::ShardKeys;

node::JobSpec sealed_spec(const World& world, std::uint32_t shards) {
  node::JobSpec spec = world.spec(shards);
  spec.sealed = true;
  return spec;
}

std::vector<std::uint32_t> shards_of(const std::vector<task::ShardRange>& ranges) {
  return *task::expand(ranges, task::max_shards);
}

/// Changes the records that a host sends, or leaves them out where `keep` says no.
template <class T>
void each_sent(std::vector<node::Effect>& effects, const std::function<bool(const NodeId&, Envelope&, T)>& keep) {
  for (node::Effect& effect : effects) {
    if (auto* persist = std::get_if<node::effect::Persist>(&effect.value)) each_sent<T>(persist->then, keep);
    auto* send = std::get_if<node::effect::Send>(&effect.value);
    if (send == nullptr) continue;
    Result<node::Parcel> parcel = record::decode<node::Parcel>(send->bytes);
    if (!parcel) continue;
    std::erase_if(parcel->envelopes, [&](Envelope& envelope) {
      Result<T> record = record::decode<T>(envelope.body);
      return record && !keep(send->to, envelope, std::move(*record));
    });
    send->bytes = record::encode(*parcel);
  }
}

/// Hears of every key that is sent.
struct Keys : Observer {
  explicit Keys(World& of) : world(of) { world.watch(*this); }
  World& world;
  std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>> given;  ///< from, to, shard
  std::size_t requests = 0;

  void on_send(std::uint32_t from, const node::effect::Send& send) override {
    std::vector<node::Effect> effects{{send}};
    each_sent<ShardKeys>(effects, [&](const NodeId& to, Envelope&, const ShardKeys& keys) {
      EXPECT_EQ(keys.to, to);
      for (const std::uint32_t shard : shards_of(keys.shards)) given.insert({from, world.index_of(to), shard});
      return true;
    });
    each_sent<KeyRequest>(effects, [&](const NodeId&, Envelope&, const KeyRequest&) {
      ++requests;
      return true;
    });
  }
  [[nodiscard]] bool is_from(std::uint32_t from, std::uint32_t to, std::uint32_t shard) const {
    return given.contains({from, to, shard});
  }
  [[nodiscard]] std::size_t by_others() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(given, [](const auto& one) { return std::get<0>(one) != 0; }));
  }
};

std::set<NodeId> blamed(const World& world) {
  std::set<NodeId> nodes;
  for (const auto& [host, notice] : world.notices()) {
    if (notice.kind == "job.blame") nodes.insert(*notice.peer);
  }
  return nodes;
}

bool run_to_end(World& world, const Cid& job, Duration limit = seconds(3000)) {
  return world.run_until(
      [&] { return world.running(0) && world.at(0).job(job) && world.at(0).job(job)->phase >= JobPhase::done; }, limit);
}

void expect_accepted(World& world, const Cid& job, std::uint32_t shards) {
  const node::JobView view = *world.at(0).job(job);
  ASSERT_EQ(view.phase, JobPhase::done) << view.failure;
  for (const node::ShardView& shard : world.at(0).shards(job, 0, shards)) {
    EXPECT_EQ(shard.decision, verification::Decision::accepted);
    EXPECT_EQ(*shard.finding, world.truth(world.spec(1).function, shard.shard));
  }
  const auto report = verification::verify_bundle(
      verification::build_bundle(world.at(0).federation(), {}, job, world.at(0).story(job), {}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_TRUE(report->intent.record.is_sealed());
  EXPECT_EQ(report->count(verification::Decision::accepted), shards);
}

TEST(Sealed, KeysGoToWorkersAndVerifiersAlone) {
  World world({.seed = 71, .nodes = 8});
  Keys keys(world);
  world.start();
  world.run_for(seconds(1));
  constexpr std::uint32_t shards = 60;
  const Cid job = world.submit(0, sealed_spec(world, shards));
  ASSERT_TRUE(run_to_end(world, job));
  expect_accepted(world, job, shards);
  EXPECT_EQ(keys.requests, 0U) << "they come by themselves";
  std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>> expected;
  for (const node::ShardView& shard : world.at(0).shards(job, 0, shards)) {
    expected.insert({0, world.index_of(*shard.worker), shard.shard});
    for (const node::SeatView& seat : shard.seats) expected.insert({0, world.index_of(seat.node), shard.shard});
  }
  EXPECT_EQ(keys.given, expected) << "no node has a key of a shard that it had no part in";
  EXPECT_EQ(keys.given.size(), shards * 4);
  EXPECT_TRUE(blamed(world).empty());
}

TEST(Sealed, APlainTaskHasNoKeys) {
  World world({.seed = 72, .nodes = 6});
  Keys keys(world);
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(10));
  ASSERT_TRUE(run_to_end(world, job));
  EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::done);
  EXPECT_TRUE(keys.given.empty());
}

TEST(Sealed, ANodeAloneOpensItsOwn) {
  World world({.seed = 73, .nodes = 1});
  world.start();
  const Cid job = world.submit(0, sealed_spec(world, 20));
  ASSERT_TRUE(run_to_end(world, job));
  EXPECT_EQ(world.at(0).job(job)->phase, JobPhase::done) << world.at(0).job(job)->failure;
  EXPECT_TRUE(world.at(0).job(job)->unverified);
}

TEST(Sealed, WhatIsFoldedOfTheResultsIsNotSealed) {
  World world({.seed = 74, .nodes = 6});
  world.start();
  world.run_for(seconds(1));
  node::JobSpec spec = sealed_spec(world, 12);
  spec.reduce = Cid::of(Multicodec::raw, as_bytes("fold"));
  const Cid job = world.submit(0, std::move(spec));
  ASSERT_TRUE(run_to_end(world, job));
  const node::JobView view = *world.at(0).job(job);
  ASSERT_EQ(view.phase, JobPhase::done) << view.failure;
  EXPECT_FALSE(world.at(0).job(*view.reduce_job)->spec.sealed.value_or(false));
}

TEST(Sealed, TheWorkerGivesVerifiersTheKeysThatThePublisherWithholds) {
  World world({.seed = 75, .nodes = 8});
  Keys keys(world);
  constexpr std::uint32_t shards = 40;
  Cid job;
  // Whoever is not the worker of a shard gets nothing of the publisher, and no answer.
  world.behave(0, {.tamper = [&](std::uint32_t, std::vector<node::Effect>& effects) {
                 each_sent<ShardKeys>(effects, [&](const NodeId& to, Envelope&, const ShardKeys& given) {
                   for (const node::ShardView& shard : world.at(0).shards(given.intent, 0, shards)) {
                     if (task::covers(given.shards, shard.shard) && shard.worker != to) return false;
                   }
                   return true;
                 });
               }});
  world.start();
  world.run_for(seconds(1));
  job = world.submit(0, sealed_spec(world, shards));
  ASSERT_TRUE(run_to_end(world, job));
  expect_accepted(world, job, shards);
  EXPECT_EQ(keys.by_others(), shards * 3) << "each of three verifiers has it of the worker";
  for (const auto& [from, to, number] : keys.given) {
    if (from == 0) continue;
    const node::ShardView shard = world.at(0).shards(job, number, 1).front();
    EXPECT_EQ(*shard.worker, world.id(from));
    EXPECT_TRUE(std::ranges::any_of(shard.seats, [&](const auto& seat) { return seat.node == world.id(to); }));
  }
  EXPECT_TRUE(blamed(world).empty());
}

/// Makes a host give keys that open nothing, where `wrong` says so.
Behaviour giving_wrong_keys(World& world, std::function<bool(const ShardKeys&)> wrong) {
  return {.tamper = [&world, wrong = std::move(wrong)](std::uint32_t self, std::vector<node::Effect>& effects) {
    each_sent<ShardKeys>(effects, [&](const NodeId&, Envelope& envelope, ShardKeys given) {
      if (!wrong(given)) return true;
      for (verification::WrappedKeyBytes& key : given.keys) key.data()[0] ^= 1U;
      envelope = world.signer(self).seal(given);
      return true;
    });
  }};
}

TEST(Sealed, WrongKeysAreNamedAndHarmNobodyButThePublisher) {
  World world({.seed = 76, .nodes = 6});
  world.behave(0, giving_wrong_keys(world, [](const ShardKeys&) { return true; }));
  world.start();
  world.run_for(seconds(1));
  node::JobSpec spec = sealed_spec(world, 8);
  spec.limits.total_ms = 600'000;
  const Cid job = world.submit(0, std::move(spec));
  ASSERT_TRUE(run_to_end(world, job));
  EXPECT_EQ(blamed(world), std::set<NodeId>{});
  bool noted = false;
  const node::JobView view = *world.at(0).job(job);
  for (const std::string& note : view.notes)
    noted = noted || note.find("wrong-key: the key of shard") != std::string::npos;
  EXPECT_TRUE(noted) << "the job says why";
  EXPECT_EQ(view.phase, JobPhase::failed);
  std::size_t told = 0;
  for (const auto& [host, notice] : world.notices()) {
    if (notice.kind != "task.key") continue;
    ++told;
    EXPECT_EQ(notice.peer, world.id(0));
    EXPECT_NE(notice.text.find("the publisher, gave a wrong-key"), std::string::npos) << notice.text;
  }
  EXPECT_GT(told, 0U);
  for (const node::PeerView& peer : world.at(0).peers()) EXPECT_EQ(peer.penalty, "");
}

TEST(Sealed, AVerifierWithAWrongKeyGetsTheRightOneOfTheWorker) {
  World world({.seed = 77, .nodes = 7});
  Keys keys(world);
  world.behave(0, giving_wrong_keys(world, [&](const ShardKeys& given) {
                 const node::ShardView shard = world.at(0).shards(given.intent, given.shards.front().first, 1).front();
                 return shard.worker != given.to;
               }));
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, sealed_spec(world, 10));
  ASSERT_TRUE(run_to_end(world, job));
  expect_accepted(world, job, 10);
  EXPECT_GT(keys.by_others(), 0U);
  EXPECT_TRUE(blamed(world).empty());
}

TEST(Sealed, AWorkerThatGivesWrongKeysToItsVerifiersIsNotRejectedForIt) {
  World world({.seed = 78, .nodes = 7});
  const auto wrong = [](const ShardKeys&) { return true; };
  for (std::uint32_t host = 1; host < 7; ++host) world.behave(host, giving_wrong_keys(world, wrong));
  // The publisher is slow to give verifiers theirs: they ask both.
  std::map<std::pair<NodeId, std::uint32_t>, int> withheld;
  world.behave(0, {.tamper = [&](std::uint32_t, std::vector<node::Effect>& effects) {
                 each_sent<ShardKeys>(effects, [&](const NodeId& to, Envelope&, const ShardKeys& given) {
                   return ++withheld[{to, given.shards.front().first}] > 3;
                 });
               }});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, sealed_spec(world, 6));
  ASSERT_TRUE(run_to_end(world, job));
  expect_accepted(world, job, 6);
  EXPECT_TRUE(blamed(world).empty());
}

TEST(Sealed, WhoHasNoPartInAShardIsRefused) {
  World world({.seed = 79, .nodes = 8, .run_us_min = 2'000'000, .run_us_max = 3'000'000});
  Keys keys(world);
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, sealed_spec(world, 1));
  ASSERT_TRUE(world.run_until([&] { return !world.at(0).shards(job, 0, 1).front().seats.empty(); }, seconds(60)));
  const node::ShardView shard = world.at(0).shards(job, 0, 1).front();
  std::uint32_t outsider = 0;
  for (std::uint32_t host = 1; host < 8; ++host) {
    const bool sits = std::ranges::any_of(shard.seats, [&](const auto& seat) { return seat.node == world.id(host); });
    if (world.id(host) != *shard.worker && !sits) outsider = host;
  }
  ASSERT_NE(outsider, 0U);
  const auto ask = [&](std::uint32_t to, const KeyRequest& request) {
    world.run_for(milliseconds(600));  // Nobody answers more often.
    const std::size_t before = world.notices().size();
    world.inject(
        to, world.id(outsider), node::Channel::receipt,
        record::encode(node::Parcel{.envelopes = {world.signer(outsider).seal(request)}, .blocks = {}, .logs = {}}));
    world.run_for(milliseconds(20));
    std::string why;
    for (std::size_t i = before; i < world.notices().size(); ++i) {
      const auto& [host, notice] = world.notices()[i];
      if (host == to && (notice.kind == "job.refused" || notice.kind == "node.refused")) why = notice.text;
    }
    return why;
  };
  KeyRequest request{.intent = job, .shards = {{0, 1}}, .commitment = {}, .proof = {}};
  EXPECT_EQ(ask(0, request), "not-yours: this node is neither the worker of shard 0 nor drawn to verify it (any more)");
  const std::uint32_t worker = world.index_of(*shard.worker);
  EXPECT_TRUE(ask(worker, request).starts_with("unknown-commitment: "));
  // All that is signed about the draw, which gives it no seat.
  for (const Envelope& envelope : world.at(0).story(job)) {
    const std::string type = *type_of(envelope.body);
    if (type == "commitment" && !request.commitment) request.commitment = envelope.cid();
    if (type == "round-open" || type == "nonce-reveal" || type == "draw") request.proof.push_back(envelope);
  }
  ASSERT_TRUE(request.commitment.has_value());
  EXPECT_EQ(ask(worker, request), "not-drawn: the asker has no seat on shard 0");
  ASSERT_TRUE(run_to_end(world, job));
  for (const auto& [from, to, number] : keys.given) EXPECT_NE(to, outsider);
}

TEST(Sealed, WhoeverIsLeasedAShardAsWellGetsItsKeyToo) {
  World world({.seed = 80, .nodes = 7});
  world.set_speed(3, 10'000'000);  // A minute a shard: what it has leased goes to others.
  Keys keys(world);
  world.start();
  world.run_for(seconds(1));
  constexpr std::uint32_t shards = 60;
  const Cid job = world.submit(0, sealed_spec(world, shards));
  ASSERT_TRUE(run_to_end(world, job));
  expect_accepted(world, job, shards);
  std::map<Cid, NodeId> bidders;
  std::map<std::uint32_t, std::set<std::uint32_t>> awarded;  // By shard.
  for (const Envelope& envelope : world.at(0).story(job)) {
    if (const auto offer = record::decode<market::ComputeOffer>(envelope.body))
      bidders.emplace(envelope.cid(), envelope.key);
    if (const auto award = record::decode<market::Award>(envelope.body)) {
      for (const std::uint32_t shard : shards_of(award->shards))
        awarded[shard].insert(world.index_of(bidders.at(award->offer)));
    }
  }
  std::size_t twice = 0;
  for (const auto& [shard, workers] : awarded) {
    if (workers.size() > 1) ++twice;
    for (const std::uint32_t worker : workers) EXPECT_TRUE(keys.is_from(0, worker, shard)) << worker << " " << shard;
  }
  EXPECT_GT(twice, 0U);
}

class SealedRestart : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SealedRestart, AnyNodeAtAnyMoment) {
  World world({.seed = GetParam(),
               .nodes = 7,
               .loss_per_mille = 20,
               .duplicate_per_mille = 20,
               .reorder_per_mille = 100,
               .torn_syncs = 1});
  world.set_speed(3, 20'000);  // It lags: half of what it leases goes to others.
  world.start();
  world.run_for(seconds(1));
  constexpr std::uint32_t shards = 120;
  const Cid job = world.submit(0, sealed_spec(world, shards));
  ASSERT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase > JobPhase::bidding; }, seconds(10)));
  const auto strike = [&] {
    const auto victim = static_cast<std::uint32_t>(world.random().below(7));
    if (!world.running(victim)) return;
    world.crash(victim);
    world.at_time(milliseconds(static_cast<std::int64_t>(world.random().between(1, 900))),
                  [&world, victim] { world.restart(victim); });
  };
  Duration at{0};
  for (int i = 0; i < 20; ++i) {
    at += milliseconds(static_cast<std::int64_t>(world.random().between(5, 400)));
    world.at_time(at, strike);
  }
  // One of the workers goes for good: what it had is awarded again.
  world.at_time(milliseconds(300), [&] {
    if (world.running(5)) world.leave(5);
  });
  ASSERT_TRUE(run_to_end(world, job));
  expect_accepted(world, job, shards);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SealedRestart, testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace mesh::sim
