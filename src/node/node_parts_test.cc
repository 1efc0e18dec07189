// The node's small parts: who is there, the queue of runs, and what leaves a step.
#include <gtest/gtest.h>

#include <numeric>

#include "domain/market/market_testing.h"
#include "node/executions.h"
#include "node/outbox.h"
#include "node/peer_table.h"

namespace mesh::node {
namespace {

Instant at(std::int64_t ms) { return Instant(milliseconds(ms)); }

NodeId stranger(std::uint64_t number) {
  const Digest digest = tagged_hash("stranger", {big_endian(number)});
  return *NodeId::from(digest.view());
}

PeerInfo info(std::uint64_t sequence, std::uint64_t boot = 1) {
  PeerInfo result;
  result.sequence = sequence;
  result.boot = boot;
  return result;
}

// ---------------------------------------------------------------------------------------------------- peers

TEST(PeerTable, NobodyIsThereAtFirst) {
  const PeerTable peers(at(100));
  EXPECT_EQ(peers.find(testing::node(2)), nullptr);
  EXPECT_FALSE(peers.connected(testing::node(2)));
  EXPECT_FALSE(peers.penalised(at(100), testing::node(2)));
  EXPECT_EQ(peers.away(at(350), testing::node(2)), milliseconds(250)) << "away since this node started";
  EXPECT_TRUE(peers.possible_workers().empty());
}

TEST(PeerTable, ComesAndGoes) {
  PeerTable peers(at(0));
  const NodeId node = testing::node(2);
  peers.up(at(10), node);
  EXPECT_TRUE(peers.connected(node));
  EXPECT_EQ(peers.away(at(500), node), Duration{0});
  EXPECT_TRUE(peers.possible_workers().empty()) << "it has not said yet that it works";
  EXPECT_TRUE(peers.update(at(20), node, info(1)));
  EXPECT_EQ(peers.possible_workers(), std::vector<NodeId>{node});
  peers.down(at(30), node);
  EXPECT_FALSE(peers.connected(node));
  EXPECT_EQ(peers.away(at(100), node), milliseconds(70));
  EXPECT_TRUE(peers.possible_workers().empty());
  peers.up(at(200), node);
  EXPECT_TRUE(peers.possible_workers().empty()) << "what it said before counts no more";
  PeerInfo idle = info(2);
  idle.accepts_work = false;
  EXPECT_TRUE(peers.update(at(210), node, idle));
  EXPECT_TRUE(peers.possible_workers().empty());
}

TEST(PeerTable, OlderNewsAndReplaysAreNone) {
  PeerTable peers(at(0));
  const NodeId node = testing::node(2);
  peers.up(at(0), node);
  EXPECT_TRUE(peers.update(at(1), node, info(5, 2)));
  EXPECT_FALSE(peers.update(at(2), node, info(5, 2))) << "a replay";
  EXPECT_FALSE(peers.update(at(2), node, info(4, 2)));
  EXPECT_FALSE(peers.update(at(2), node, info(UINT64_MAX, 1))) << "of an earlier start";
  EXPECT_EQ(peers.find(node)->info->sequence, 5U);
  EXPECT_TRUE(peers.update(at(3), node, info(1, 3))) << "after a restart it counts from the beginning";
  EXPECT_TRUE(peers.update(at(4), node, info(2, 3)));
}

TEST(PeerTable, WhatBreaksABoundIsNotTaken) {
  PeerTable peers(at(0));
  const NodeId node = testing::node(2);
  const auto taken = [&](const std::function<void(PeerInfo&)>& change) {
    PeerInfo next =
        info(peers.find(node) != nullptr && peers.find(node)->info ? peers.find(node)->info->sequence + 1 : 1);
    change(next);
    return peers.update(at(1), node, std::move(next));
  };
  EXPECT_TRUE(taken([](PeerInfo& i) { i.agent = std::string(128, 'a'); }));
  EXPECT_FALSE(taken([](PeerInfo& i) { i.agent = std::string(129, 'a'); }));
  EXPECT_TRUE(taken([](PeerInfo& i) { i.engine = std::string(256, 'a'); }));
  EXPECT_FALSE(taken([](PeerInfo& i) { i.engine = std::string(257, 'a'); }));
  EXPECT_TRUE(taken([](PeerInfo& i) { i.gpus.assign(16, std::string(128, 'g')); }));
  EXPECT_FALSE(taken([](PeerInfo& i) { i.gpus.assign(17, "g"); }));
  EXPECT_FALSE(taken([](PeerInfo& i) { i.gpus.assign(1, std::string(129, 'g')); }));
  EXPECT_TRUE(taken([](PeerInfo& i) { i.services.assign(32, std::string(128, 's')); }));
  EXPECT_FALSE(taken([](PeerInfo& i) { i.services.assign(33, "s"); }));
  EXPECT_FALSE(taken([](PeerInfo& i) { i.services.assign(1, std::string(129, 's')); }));
  EXPECT_FALSE(record::decode<PeerInfo>(record::encode([] {
                 PeerInfo bad = info(1);
                 bad.agent = "\xff";
                 return bad;
               }()))
                   .has_value());
}

TEST(PeerTable, PenaltiesEnd) {
  PeerTable peers(at(0));
  const NodeId node = testing::node(2);
  peers.penalise(node, "lied", at(1000));
  EXPECT_TRUE(peers.penalised(at(0), node));
  EXPECT_TRUE(peers.penalised(at(999), node));
  EXPECT_FALSE(peers.penalised(at(1000), node));
  EXPECT_FALSE(peers.penalised(at(0), testing::node(3)));
  peers.up(at(10), node);
  peers.down(at(20), node);
  EXPECT_TRUE(peers.penalised(at(30), node)) << "coming back washes nothing off";
  peers.penalise(node, "again", at(5000));
  EXPECT_TRUE(peers.penalised(at(2000), node));
  EXPECT_EQ(peers.find(node)->penalty, "again");
}

TEST(PeerTable, RemembersSoManyAndForgetsTheUnconnectedFirst) {
  PeerTable peers(at(0));
  peers.up(at(1), testing::node(2));
  peers.penalise(testing::node(3), "lied", at(1'000'000));
  for (std::uint64_t number = 0; number < 5000; ++number)
    EXPECT_TRUE(peers.update(at(10 + static_cast<std::int64_t>(number)), stranger(number), info(1)));
  EXPECT_EQ(peers.all().size(), 4096U);
  EXPECT_TRUE(peers.connected(testing::node(2)));
  EXPECT_TRUE(peers.penalised(at(100), testing::node(3)));
  EXPECT_EQ(peers.find(stranger(0)), nullptr) << "the one silent longest went first";
  EXPECT_NE(peers.find(stranger(4999)), nullptr);
}

TEST(PeerTable, ForgetsThePenalisedBeforeTheConnected) {
  PeerTable peers(at(0));
  for (std::uint64_t number = 0; number < 4095; ++number)
    peers.penalise(stranger(number), "lied", at(10 + static_cast<std::int64_t>(number)));
  peers.up(at(1), testing::node(2));
  peers.up(at(100), testing::node(3));
  EXPECT_EQ(peers.all().size(), 4096U);
  EXPECT_TRUE(peers.connected(testing::node(2)));
  EXPECT_TRUE(peers.connected(testing::node(3)));
  EXPECT_EQ(peers.find(stranger(0)), nullptr) << "its penalty ended first";
}

TEST(PeerTable, WhatWasSaidBeforeAPeerWentIsNoNews) {
  PeerTable peers(at(0));
  const NodeId node = testing::node(2);
  peers.up(at(1), node);
  EXPECT_TRUE(peers.update(at(2), node, info(7)));
  peers.down(at(3), node);
  peers.up(at(4), node);
  EXPECT_FALSE(peers.update(at(5), node, info(7)));
  EXPECT_FALSE(peers.find(node)->info);
  EXPECT_TRUE(peers.update(at(6), node, info(8)));
}

// ---------------------------------------------------------------------------------------------------- runs

effect::Execute request(const Cid& intent, std::vector<std::uint32_t> shards) {
  effect::Execute execute;
  execute.intent = intent;
  execute.function = testing::content("function");
  execute.inputs = testing::record("inputs");
  execute.shards = std::move(shards);
  return execute;
}

std::vector<std::uint32_t> numbers(std::uint32_t first, std::uint32_t count) {
  std::vector<std::uint32_t> shards(count);
  std::iota(shards.begin(), shards.end(), first);
  return shards;
}

/// That these shards of a run ended, all with an error: what they came to is no matter here.
event::ExecutionDone done(std::uint64_t id, const std::vector<std::uint32_t>& shards, bool last = true) {
  event::ExecutionDone event{.id = id, .shards = {}, .last = last};
  for (const std::uint32_t shard : shards)
    event.shards.push_back({shard, fail(ErrorCode::unavailable, "it could not be fetched")});
  return event;
}

using Purpose = Executions::Purpose;

const Cid first_task = testing::record("first task");
const Cid second_task = testing::record("second task");

/// Executions, what it decided since one looked last, and a clock.
struct Runs {
  Executions executions;
  Outbox out;
  Instant now = at(0);
  std::vector<effect::Execute> started;
  std::vector<std::uint64_t> cancelled;

  Runs(std::uint32_t slots, std::uint32_t bound) : executions(slots, bound) {}
  bool want(const Cid& intent, std::vector<std::uint32_t> shards, Purpose purpose = Purpose::work) {
    const bool all = executions.request(now, request(intent, std::move(shards)), purpose, out);
    look();
    return all;
  }
  std::optional<effect::Execute> end(const event::ExecutionDone& event) {
    std::optional<effect::Execute> run = executions.progressed(now, event, out);
    look();
    return run;
  }
  void cancel(const Cid& intent) {
    executions.cancel(now, intent, out);
    look();
  }
  /// Ends a run as a whole, each of its shards having taken so long.
  void end_after(const effect::Execute& run, Duration each) {
    now += each * static_cast<std::int64_t>(run.shards.size());
    EXPECT_TRUE(end(done(run.id, run.shards)).has_value());
  }
  /// The only run that was started since the last call.
  effect::Execute only() {
    EXPECT_EQ(started.size(), 1U);
    effect::Execute run = started.empty() ? effect::Execute() : started.front();
    started.clear();
    return run;
  }
  /// Lets one shard of the task run, so that it is known how long one takes.
  void learn(const Cid& intent, std::uint32_t shard, Duration each) {
    EXPECT_TRUE(want(intent, {shard}));
    end_after(only(), each);
  }

 private:
  void look() {
    for (Effect& effect : out.take()) {
      if (auto* execute = std::get_if<effect::Execute>(&effect.value)) started.push_back(*execute);
      if (auto* cancel = std::get_if<effect::CancelExecution>(&effect.value)) cancelled.push_back(cancel->id);
    }
  }
};

TEST(Executions, RunsAsManyAtATimeAsThereAreSlots) {
  Runs runs(2, 10);
  EXPECT_TRUE(runs.want(first_task, numbers(0, 5)));
  ASSERT_EQ(runs.started.size(), 2U);
  EXPECT_EQ(runs.executions.running(), 2U);
  EXPECT_EQ(runs.executions.queued(), 3U);
  EXPECT_NE(runs.started[0].id, runs.started[1].id);
  EXPECT_EQ(runs.started[0].shards, numbers(0, 1)) << "nothing is known of the task: one at a time";
  EXPECT_EQ(runs.started[1].shards, numbers(1, 1));
  EXPECT_EQ(runs.started[1].function, testing::content("function"));
  EXPECT_EQ(runs.started[1].inputs, testing::record("inputs"));
  const std::uint64_t second = runs.started[1].id;
  runs.started.clear();
  runs.now += seconds(1);
  const auto run = runs.end(done(second, {1}));
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->intent, first_task);
  EXPECT_TRUE(run->shards.empty()) << "nothing is left of it";
  EXPECT_FALSE(runs.executions.has(first_task, 1));
  EXPECT_TRUE(runs.executions.has(first_task, 0)) << "runs";
  EXPECT_TRUE(runs.executions.has(first_task, 4)) << "waits";
  EXPECT_FALSE(runs.executions.has(second_task, 0));
  EXPECT_EQ(runs.only().shards, numbers(2, 1)) << "a second is long: still one at a time";
}

TEST(Executions, ShortShardsRunTogetherForAsLongAsIsMeant) {
  Runs runs(1, 10'000);
  runs.learn(first_task, 0, milliseconds(2));
  EXPECT_TRUE(runs.want(first_task, numbers(1, 100)));
  const effect::Execute run = runs.only();
  EXPECT_EQ(run.shards, numbers(1, static_cast<std::uint32_t>(Executions::run_target / milliseconds(2))));
  EXPECT_EQ(runs.executions.queued(), 90U);
  // They turn out to take longer: fewer at a time, by a quarter of the news.
  runs.end_after(run, milliseconds(6));
  const effect::Execute next = runs.only();
  EXPECT_EQ(next.shards, numbers(11, 6)) << "3 ms each are expected";
  // Another task is judged by itself.
  EXPECT_TRUE(runs.want(second_task, numbers(0, 9), Purpose::verify));
  EXPECT_TRUE(runs.end(done(next.id, next.shards)).has_value());
  EXPECT_EQ(runs.only().shards, numbers(0, 1));
}

TEST(Executions, ARunIsBoundedHoweverShortItsShards) {
  Runs runs(1, 10'000);
  runs.learn(first_task, 0, Duration(0));
  EXPECT_TRUE(runs.want(first_task, numbers(1, 600)));
  EXPECT_EQ(runs.only().shards, numbers(1, Executions::max_run_shards));
}

TEST(Executions, SlotsShareWhatThereIs) {
  Runs runs(4, 10'000);
  runs.learn(first_task, 0, Duration(1));
  EXPECT_TRUE(runs.want(first_task, numbers(1, 10)));
  ASSERT_EQ(runs.started.size(), 4U) << "not all in one run while other slots are free";
  EXPECT_EQ(runs.started[0].shards, numbers(1, 3));
  EXPECT_EQ(runs.started[1].shards, numbers(4, 2));
  EXPECT_EQ(runs.started[2].shards, numbers(6, 2));
  EXPECT_EQ(runs.started[3].shards, numbers(8, 1));
  EXPECT_EQ(runs.executions.queued(), 2U);
}

TEST(Executions, AreToldBitByBitAndEndWithTheLast) {
  Runs runs(1, 100);
  runs.learn(first_task, 0, milliseconds(1));
  EXPECT_TRUE(runs.want(first_task, numbers(1, 5)));
  const effect::Execute run = runs.only();
  ASSERT_EQ(run.shards, numbers(1, 5));
  EXPECT_TRUE(runs.want(second_task, {0}));
  std::optional<effect::Execute> left = runs.end(done(run.id, {2, 4}, false));
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->shards, (std::vector<std::uint32_t>{1, 3, 5}));
  EXPECT_FALSE(runs.executions.has(first_task, 4)) << "it may be wanted again";
  EXPECT_TRUE(runs.executions.has(first_task, 3));
  EXPECT_EQ(runs.executions.running(), 1U);
  EXPECT_TRUE(runs.started.empty()) << "the slot is not free";
  left = runs.end(done(run.id, {}, false));
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->shards.size(), 3U) << "nothing new";
  ASSERT_NE(runs.executions.find(run.id), nullptr);
  EXPECT_EQ(runs.executions.find(run.id)->shards.size(), 3U);
  left = runs.end(done(run.id, {1, 3, 5}));
  ASSERT_TRUE(left.has_value());
  EXPECT_TRUE(left->shards.empty());
  EXPECT_EQ(runs.executions.find(run.id), nullptr);
  EXPECT_EQ(runs.only().intent, second_task) << "and now it is";
}

TEST(Executions, TheLastEndsARunAlsoWhenShardsAreLeft) {
  Runs runs(1, 3);
  runs.learn(first_task, 0, milliseconds(1));
  EXPECT_TRUE(runs.want(first_task, numbers(1, 3)));
  const effect::Execute run = runs.only();
  const std::optional<effect::Execute> left = runs.end(done(run.id, {1}));
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->shards, numbers(2, 2)) << "which nobody told of";
  EXPECT_FALSE(runs.executions.has(first_task, 2));
  EXPECT_EQ(runs.executions.running(), 0U);
  EXPECT_TRUE(runs.want(first_task, numbers(1, 3))) << "they hold no room";
}

TEST(Executions, AShardThatIsToldTwiceOrIsNotOfTheRunCountsOnce) {
  Runs runs(1, 4);
  runs.learn(first_task, 0, milliseconds(1));
  EXPECT_TRUE(runs.want(first_task, numbers(1, 4)));
  const effect::Execute run = runs.only();
  ASSERT_EQ(run.shards.size(), 4U);
  EXPECT_EQ(runs.end(done(run.id, {1, 1, 9}, false))->shards, numbers(2, 3));
  EXPECT_EQ(runs.end(done(run.id, {1}, false))->shards, numbers(2, 3));
  // Three are held still: there is room for one, not for two.
  EXPECT_FALSE(runs.want(second_task, {0, 1}));
  EXPECT_TRUE(runs.executions.has(second_task, 0));
  EXPECT_FALSE(runs.executions.has(second_task, 1));
}

TEST(Executions, VerificationGoesBeforeWork) {
  Runs runs(1, 10);
  EXPECT_TRUE(runs.want(first_task, {0, 1}));
  EXPECT_TRUE(runs.want(second_task, {0}, Purpose::verify));
  EXPECT_TRUE(runs.want(second_task, {1}));
  EXPECT_TRUE(runs.want(first_task, {2}, Purpose::verify));
  std::vector<std::pair<Cid, std::uint32_t>> order;
  while (!runs.started.empty()) {
    const effect::Execute run = runs.only();
    ASSERT_EQ(run.shards.size(), 1U);
    order.emplace_back(run.intent, run.shards.front());
    runs.end_after(run, seconds(1));
  }
  const std::vector<std::pair<Cid, std::uint32_t>> wanted{
      {first_task, 0}, {second_task, 0}, {first_task, 2}, {first_task, 1}, {second_task, 1}};
  EXPECT_EQ(order, wanted);
}

TEST(Executions, TheSameShardIsRunOnceAndTheBoundHolds) {
  Runs runs(1, 3);
  EXPECT_TRUE(runs.want(first_task, {0, 1}));
  EXPECT_TRUE(runs.want(first_task, {0, 1}, Purpose::verify)) << "wanted twice, run once";
  EXPECT_EQ(runs.executions.running() + runs.executions.queued(), 2U);
  EXPECT_FALSE(runs.want(first_task, {1, 2, 3})) << "there is room for one more";
  EXPECT_TRUE(runs.executions.has(first_task, 2));
  EXPECT_FALSE(runs.executions.has(first_task, 3));
  EXPECT_FALSE(runs.want(second_task, {0}));
  EXPECT_FALSE(runs.executions.has(second_task, 0));
  EXPECT_TRUE(runs.want(first_task, {0, 1, 2})) << "known ones are still taken";
  EXPECT_TRUE(runs.want(second_task, {})) << "and nothing is always taken";
  runs.end_after(runs.only(), seconds(1));
  EXPECT_TRUE(runs.want(second_task, {0}));
  EXPECT_FALSE(runs.want(second_task, {1}));
}

TEST(Executions, AnUnknownOrUnstartedOrEndedRunDoesNotEnd) {
  Runs runs(1, 10);
  EXPECT_FALSE(runs.end(done(0, {0})).has_value());
  EXPECT_TRUE(runs.want(first_task, {0, 1}));
  const std::uint64_t running = runs.only().id;
  EXPECT_FALSE(runs.end(done(running + 1, {1})).has_value()) << "it only waits";
  EXPECT_EQ(runs.executions.find(running + 1), nullptr);
  EXPECT_TRUE(runs.end(done(running, {0})).has_value());
  EXPECT_FALSE(runs.end(done(running, {0, 1})).has_value()) << "not twice";
  EXPECT_EQ(runs.executions.running(), 1U);
  EXPECT_TRUE(runs.executions.has(first_task, 1));
}

TEST(Executions, CancellingATaskFreesItsSlotsForOthers) {
  Runs runs(1, 6);
  runs.learn(first_task, 0, milliseconds(5));
  EXPECT_TRUE(runs.want(first_task, numbers(1, 5)));
  const effect::Execute run = runs.only();
  ASSERT_EQ(run.shards, numbers(1, 4)) << "one of its shards waits";
  EXPECT_TRUE(runs.want(second_task, {7}));
  EXPECT_TRUE(runs.end(done(run.id, {2}, false)).has_value());
  runs.cancel(first_task);
  EXPECT_EQ(runs.cancelled, std::vector<std::uint64_t>{run.id}) << "what only waited needs no cancelling";
  EXPECT_EQ(runs.only().intent, second_task);
  EXPECT_EQ(runs.executions.queued(), 0U);
  for (std::uint32_t shard = 1; shard <= 5; ++shard) EXPECT_FALSE(runs.executions.has(first_task, shard));
  EXPECT_FALSE(runs.end(done(run.id, {1, 3, 4})).has_value()) << "its end comes too late";
  EXPECT_EQ(runs.executions.running(), 1U) << "and ends no other";
  EXPECT_TRUE(runs.want(first_task, numbers(1, 5))) << "it can be wanted again, and holds no room";
  EXPECT_FALSE(runs.want(first_task, {6}));
  runs.cancelled.clear();
  runs.cancel(testing::record("no task"));
  EXPECT_TRUE(runs.cancelled.empty());
}

// ---------------------------------------------------------------------------------------------------- outbox

Envelope envelope_of(std::size_t bytes) {
  return testing::signer(1).seal(market::Decline{.intent = first_task, .reason = std::string(bytes, 'x')});
}

/// The parcels that go to `to`, and what of a step is durable first.
struct Sent {
  std::vector<Parcel> parcels;
  std::vector<JournalRecord> journal;
  std::size_t behind_the_journal = 0;
};
Sent sent_by(Outbox& out) {
  Sent sent;
  const std::function<void(Effects, bool)> walk = [&](Effects effects, bool behind) {
    for (Effect& effect : effects) {
      if (behind) ++sent.behind_the_journal;
      if (auto* send = std::get_if<effect::Send>(&effect.value)) {
        EXPECT_LE(send->bytes.size(), max_parcel_bytes);
        const Result<Parcel> parcel = record::decode<Parcel>(send->bytes);
        EXPECT_TRUE(parcel.has_value());
        if (parcel) sent.parcels.push_back(*parcel);
      } else if (auto* persist = std::get_if<effect::Persist>(&effect.value)) {
        sent.journal.insert(sent.journal.end(), persist->append.begin(), persist->append.end());
        walk(std::move(persist->then), true);
      }
    }
  };
  walk(out.take(), false);
  return sent;
}

TEST(Outbox, GathersWhatGoesToOnePeerOnOneChannel) {
  Outbox out;
  out.send(testing::node(2), Channel::offer, envelope_of(10));
  out.send(testing::node(2), Channel::award, envelope_of(11));
  out.send(testing::node(2), Channel::offer, envelope_of(12));
  out.send_block(testing::node(2), Channel::offer, Bytes{1, 2, 3});
  out.send(testing::node(3), Channel::offer, envelope_of(13));
  EXPECT_EQ(sent_by(out).parcels.size(), 3U);
  EXPECT_TRUE(out.take().empty()) << "and is empty afterwards";
}

TEST(Outbox, KeepsTheOrderAndTheBoundOfEachParcel) {
  Outbox out;
  constexpr std::size_t count = 9000;
  std::vector<Cid> order;
  for (std::size_t i = 0; i < count; ++i) {
    const Envelope envelope = testing::signer(1).seal(
        market::Decline{.intent = first_task, .reason = std::to_string(i) + std::string(i % 200, 'x')});
    order.push_back(envelope.cid());
    out.send(testing::node(2), Channel::award, envelope);
  }
  const Sent sent = sent_by(out);
  EXPECT_GT(sent.parcels.size(), 2U);
  std::vector<Cid> arrived;
  for (const Parcel& parcel : sent.parcels) {
    EXPECT_LE(parcel.envelopes.size(), max_parcel_envelopes);
    for (const Envelope& envelope : parcel.envelopes) arrived.push_back(envelope.cid());
  }
  EXPECT_EQ(arrived, order);
}

TEST(Outbox, LargePartsGetParcelsOfTheirOwn) {
  Outbox out;
  for (int i = 0; i < 5; ++i) out.send_block(testing::node(2), Channel::receipt, Bytes(400 << 10, 7));
  out.send_log(testing::node(2), {.intent = first_task, .shard = 0, .bytes = Bytes(500 << 10, 8)});
  const Sent sent = sent_by(out);
  std::size_t blocks = 0;
  std::size_t logs = 0;
  for (const Parcel& parcel : sent.parcels) {
    blocks += parcel.blocks.size();
    logs += parcel.logs.size();
  }
  EXPECT_EQ(blocks, 5U);
  EXPECT_EQ(logs, 1U);
  EXPECT_GE(sent.parcels.size(), 4U);
}

TEST(Outbox, NothingIsSeenBeforeWhatMustBeDurable) {
  Outbox out;
  out.journal(first_task, "award", Bytes{1});
  out.send(testing::node(2), Channel::award, envelope_of(1));
  out.notify({.kind = "job.note"});
  Sent sent = sent_by(out);
  EXPECT_EQ(sent.journal.size(), 1U);
  EXPECT_EQ(sent.behind_the_journal, 0U) << "a record that can be asked for again holds nothing up";
  out.journal(first_task, "verdict", Bytes{2});
  out.send(testing::node(2), Channel::award, envelope_of(1));
  out.notify({.kind = "job.note"});
  out.publish(Topic::events, envelope_of(1));
  out.require_durable();
  sent = sent_by(out);
  EXPECT_EQ(sent.journal.size(), 1U);
  EXPECT_EQ(sent.behind_the_journal, 4U) << "message, notice and gossip wait, and the node is told first";
  out.send(testing::node(2), Channel::award, envelope_of(1));
  EXPECT_EQ(sent_by(out).behind_the_journal, 0U) << "the next step is its own";
}

TEST(Outbox, TellsNoticesInTheirOrder) {
  Outbox out;
  out.journal(first_task, "verdict", Bytes{1});
  out.notify({.kind = "job.shard"});
  out.require_durable();
  Effects first = out.take();
  const auto notice_waits = [&] {
    out.notify({.kind = "job.note"});
    const Effects effects = out.take();
    return std::ranges::none_of(effects,
                                [](const Effect& e) { return std::holds_alternative<effect::Notify>(e.value); });
  };
  EXPECT_TRUE(notice_waits()) << "for the verdict";
  const auto& persist = std::get<effect::Persist>(first.at(0).value);
  EXPECT_TRUE(persist.urgent);
  out.on_confirmed(std::get<effect::Confirm>(persist.then.at(0).value).persist);
  EXPECT_TRUE(notice_waits()) << "for the one that waited";
  out.on_confirmed(2);
  EXPECT_TRUE(notice_waits()) << "for the second that waited";
  out.on_confirmed(3);
  out.on_confirmed(4);
  EXPECT_FALSE(notice_waits());
}

TEST(Outbox, TellsOfWhatIsDurable) {
  Outbox out;
  out.journal(first_task, "award", Bytes{1});
  out.confirm(first_task, 1);
  out.confirm(first_task, 2);
  const Effects effects = out.take();
  const auto& persist = std::get<effect::Persist>(effects.at(0).value);
  EXPECT_FALSE(persist.urgent) << "nobody waits for it";
  const auto& confirm = std::get<effect::Confirm>(persist.then.at(0).value);
  EXPECT_EQ(confirm.persist, 1U);
  EXPECT_EQ(confirm.jobs, (std::vector<std::pair<Cid, std::uint64_t>>{{first_task, 2}}));
}

}  // namespace
}  // namespace mesh::node
