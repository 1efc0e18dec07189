// The node's small parts: who is there, the queue of runs, and what leaves a step.
#include <gtest/gtest.h>

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

effect::Execute request(const Cid& intent, std::uint32_t shard) {
  effect::Execute execute;
  execute.intent = intent;
  execute.function = testing::content("function");
  execute.inputs = testing::record("inputs");
  execute.shard = shard;
  return execute;
}

/// The runs that were started, and those that were cancelled, since the last call.
std::pair<std::vector<effect::Execute>, std::vector<std::uint64_t>> taken(Outbox& out) {
  std::pair<std::vector<effect::Execute>, std::vector<std::uint64_t>> result;
  for (Effect& effect : out.take(testing::signer(1))) {
    if (auto* execute = std::get_if<effect::Execute>(&effect.value)) result.first.push_back(*execute);
    if (auto* cancel = std::get_if<effect::CancelExecution>(&effect.value)) result.second.push_back(cancel->id);
  }
  return result;
}

const Cid first_task = testing::record("first task");
const Cid second_task = testing::record("second task");

TEST(Executions, RunsAsManyAtATimeAsThereAreSlots) {
  Executions runs(2, 10);
  Outbox out;
  for (std::uint32_t shard = 0; shard < 5; ++shard)
    EXPECT_TRUE(runs.request(request(first_task, shard), Executions::Purpose::work, out));
  auto started = taken(out).first;
  ASSERT_EQ(started.size(), 2U);
  EXPECT_EQ(runs.running(), 2U);
  EXPECT_EQ(runs.queued(), 3U);
  EXPECT_NE(started[0].id, started[1].id);
  const auto done = runs.finished(started[1].id, out);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->shard, 1U);
  EXPECT_FALSE(runs.has(first_task, 1));
  started = taken(out).first;
  ASSERT_EQ(started.size(), 1U);
  EXPECT_EQ(started[0].shard, 2U);
}

TEST(Executions, VerificationGoesBeforeWork) {
  Executions runs(1, 10);
  Outbox out;
  EXPECT_TRUE(runs.request(request(first_task, 0), Executions::Purpose::work, out));
  EXPECT_TRUE(runs.request(request(first_task, 1), Executions::Purpose::work, out));
  EXPECT_TRUE(runs.request(request(second_task, 0), Executions::Purpose::verify, out));
  const auto first = taken(out).first;
  ASSERT_EQ(first.size(), 1U);
  EXPECT_TRUE(runs.finished(first[0].id, out).has_value());
  const auto second = taken(out).first;
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].intent, second_task);
}

TEST(Executions, TheSameShardIsOneRunAndTheBoundHolds) {
  Executions runs(1, 2);
  Outbox out;
  EXPECT_TRUE(runs.request(request(first_task, 0), Executions::Purpose::work, out));
  EXPECT_TRUE(runs.request(request(first_task, 0), Executions::Purpose::verify, out)) << "wanted twice, run once";
  EXPECT_EQ(runs.running() + runs.queued(), 1U);
  EXPECT_TRUE(runs.request(request(first_task, 1), Executions::Purpose::work, out));
  EXPECT_FALSE(runs.request(request(first_task, 2), Executions::Purpose::work, out));
  EXPECT_TRUE(runs.request(request(first_task, 1), Executions::Purpose::work, out)) << "known ones are still taken";
}

TEST(Executions, AnUnknownOrUnstartedRunDoesNotEnd) {
  Executions runs(1, 10);
  Outbox out;
  EXPECT_FALSE(runs.finished(0, out).has_value());
  EXPECT_TRUE(runs.request(request(first_task, 0), Executions::Purpose::work, out));
  EXPECT_TRUE(runs.request(request(first_task, 1), Executions::Purpose::work, out));
  const std::uint64_t running = taken(out).first[0].id;
  EXPECT_FALSE(runs.finished(running + 1, out).has_value()) << "it only waits";
  EXPECT_TRUE(runs.finished(running, out).has_value());
  EXPECT_FALSE(runs.finished(running, out).has_value()) << "not twice";
  EXPECT_EQ(runs.running(), 1U);
}

TEST(Executions, CancellingATaskFreesItsSlotsForOthers) {
  Executions runs(1, 10);
  Outbox out;
  for (std::uint32_t shard = 0; shard < 3; ++shard)
    EXPECT_TRUE(runs.request(request(first_task, shard), Executions::Purpose::work, out));
  EXPECT_TRUE(runs.request(request(second_task, 7), Executions::Purpose::work, out));
  const std::uint64_t running = taken(out).first[0].id;
  runs.cancel(first_task, out);
  const auto [started, cancelled] = taken(out);
  EXPECT_EQ(cancelled, std::vector<std::uint64_t>{running}) << "what only waited needs no cancelling";
  ASSERT_EQ(started.size(), 1U);
  EXPECT_EQ(started[0].intent, second_task);
  EXPECT_EQ(runs.queued(), 0U);
  EXPECT_FALSE(runs.finished(running, out).has_value()) << "its end comes too late";
  EXPECT_TRUE(runs.request(request(first_task, 0), Executions::Purpose::work, out)) << "it can be wanted again";
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
  walk(out.take(testing::signer(1)), false);
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
  EXPECT_TRUE(out.take(testing::signer(1)).empty()) << "and is empty afterwards";
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
  EXPECT_EQ(sent.behind_the_journal, 3U) << "message, notice and gossip wait";
  out.send(testing::node(2), Channel::award, envelope_of(1));
  EXPECT_EQ(sent_by(out).behind_the_journal, 0U) << "the next step is its own";
}

}  // namespace
}  // namespace mesh::node
