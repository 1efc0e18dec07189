// What peers may send and must not get away with: malformed, replayed, late, unauthorised.
#include <gtest/gtest.h>

#include "node/engagement.h"
#include "node/parcel.h"
#include "sim/world.h"

namespace mesh::sim {
namespace {

using node::Channel;
using node::JobPhase;

/// A world with a job in bidding on host 0 whose peers are all busy elsewhere: host 1's key is the test's to use.
struct Bidding {
  World world{{.seed = 51, .nodes = 3}};
  Cid job;
  Signed<task::TaskIntent> intent;

  Bidding() {
    for (const std::uint32_t host : {1U, 2U})
      world.configure(host, [](node::Config& config) { config.resources.memory_mb = 64; });
    world.start();
    world.run_for(milliseconds(300));
    world.crash(2);
    world.crash(1);
    world.run_for(milliseconds(100));
    node::JobSpec spec = world.spec(2);
    spec.bid_window_ms = 60'000;
    job = world.submit(0, spec);
    world.run_for(milliseconds(100));  // Until it is durable.
    const auto opened = open<task::TaskIntent>(world.at(0).story(job).front(), world.at(0).federation());
    EXPECT_TRUE(opened.has_value());
    intent = *opened;
  }

  [[nodiscard]] market::ComputeOffer offer() const {
    return {.intent = job,
            .cost = 0,
            .capacity = 1,
            .eta_ms = 1000,
            .valid_ms = 1000,
            .nonce_tip = node::Engagement::nonce_tip(world.signer(1), intent),
            .holds_inputs = false,
            .owner = {}};
  }
  void send(const Envelope& envelope) {
    world.inject(0, world.id(1), Channel::offer,
                 record::encode(node::Parcel{.envelopes = {envelope}, .blocks = {}, .logs = {}}));
  }
  [[nodiscard]] std::string last_refusal() {
    const node::JobView view = *world.at(0).job(job);
    if (!view.refused.empty()) return view.refused.back().reason;
    for (auto it = world.notices().rbegin(); it != world.notices().rend(); ++it) {
      if (it->first == 0 && it->second.kind == "node.refused") return it->second.text;
    }
    return "";
  }
};

TEST(Hostile, AnOfferIsTakenOnceAndItsReplayRefusedByName) {
  Bidding b;
  const Envelope envelope = b.world.signer(1).seal(b.offer());
  b.send(envelope);
  EXPECT_TRUE(b.world.at(0).job(b.job)->refused.empty());
  b.send(envelope);
  EXPECT_EQ(b.last_refusal(), "replayed: this offer was received before");
  market::ComputeOffer other = b.offer();
  other.eta_ms = 5;
  b.send(b.world.signer(1).seal(other));
  EXPECT_EQ(b.last_refusal(), "replayed: this node has another offer on this task already");
}

TEST(Hostile, OffersOutOfBoundsAreRefusedByName) {
  Bidding b;
  market::ComputeOffer offer = b.offer();
  offer.cost = 1;
  b.send(b.world.signer(1).seal(offer));
  EXPECT_EQ(b.last_refusal(), "over-fee: a cost of 1 is above the fee of 0");
  offer = b.offer();
  offer.capacity = 0;
  b.send(b.world.signer(1).seal(offer));
  EXPECT_EQ(b.last_refusal(), "bad-capacity: the capacity is between 1 and 4096, not 0");
  offer = b.offer();
  offer.valid_ms = 0;
  b.send(b.world.signer(1).seal(offer));
  EXPECT_EQ(b.last_refusal(), "late: the offer is valid for no time at all");
  b.send(b.world.signer(0).seal(b.offer()));
  EXPECT_EQ(b.last_refusal(), "own-task: a publisher does not bid on its own task");
}

TEST(Hostile, ANegativeCostDoesNotDecode) {
  Bidding b;
  dagcbor::Value value = record::to_value(b.offer());
  value.variant() = [&] {
    dagcbor::Map map = *value.get<dagcbor::Map>();
    map["cost"] = dagcbor::Value(-5);
    return map;
  }();
  Bytes body = dagcbor::encode(value);
  const Bytes input = signing_input(market::ComputeOffer::type, b.world.at(0).federation(), body);
  // Validly signed, but not a ComputeOffer.
  b.send(Envelope{body, b.world.id(1), {}});
  EXPECT_NE(b.last_refusal().find("field \"cost\": expected an unsigned integer of 64 bits"), std::string::npos)
      << b.last_refusal();
}

TEST(Hostile, ASignatureOfAnotherTypeOrFederationIsNone) {
  Bidding b;
  const market::ComputeOffer offer = b.offer();
  Envelope wrong_type = b.world.signer(1).seal(market::Decline{.intent = b.job, .reason = "x"});
  wrong_type.body = record::encode(offer);
  b.send(wrong_type);
  EXPECT_NE(b.last_refusal().find("signature"), std::string::npos) << b.last_refusal();
  const auto other = identity::derive_federation("another", policy::cid_of({}));
  ASSERT_TRUE(other.has_value());
  const Envelope foreign = seal(offer, *other, *Seed::from(Bytes(32, 9)), public_key_of(*Seed::from(Bytes(32, 9))));
  b.send(foreign);
  EXPECT_NE(b.last_refusal().find("signature"), std::string::npos) << b.last_refusal();
}

TEST(Hostile, ALateOfferIsRefusedAlsoAfterARestart) {
  World world({.seed = 52});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(2));
  ASSERT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase >= JobPhase::done; }, seconds(60)));
  world.run_for(seconds(1));
  const auto intent = open<task::TaskIntent>(world.at(0).story(job).front(), world.at(0).federation());
  ASSERT_TRUE(intent.has_value());
  const identity::Signer stranger(*Seed::from(Bytes(32, 7)), world.at(0).federation());
  const Envelope offer = stranger.seal(market::ComputeOffer{.intent = job,
                                                            .cost = 0,
                                                            .capacity = 1,
                                                            .eta_ms = 1,
                                                            .valid_ms = 1,
                                                            .nonce_tip = node::Engagement::nonce_tip(stranger, *intent),
                                                            .holds_inputs = false,
                                                            .owner = {}});
  const Bytes parcel = record::encode(node::Parcel{.envelopes = {offer}, .blocks = {}, .logs = {}});
  const auto refused = [&] { return world.at(0).job(job)->refused; };
  world.inject(0, stranger.id(), Channel::offer, parcel);
  ASSERT_FALSE(refused().empty());
  EXPECT_EQ(refused().back().reason, "late: the bidding on this task is closed");
  world.crash(0);
  world.restart(0);
  world.inject(0, stranger.id(), Channel::offer, parcel);
  ASSERT_FALSE(refused().empty());
  EXPECT_EQ(refused().back().reason, "late: the bidding on this task is closed");
}

TEST(Hostile, EveryMessageOfAJobReplayedChangesNothing) {
  World world({.seed = 53, .nodes = 6, .duplicate_per_mille = 1000});
  world.start();
  world.run_for(seconds(1));
  const Cid job = world.submit(0, world.spec(20));
  ASSERT_TRUE(world.run_until([&] { return world.at(0).job(job)->phase >= JobPhase::done; }, seconds(60)));
  const node::JobView view = *world.at(0).job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure;
  EXPECT_EQ(view.finished, 20U);
  for (const auto& [host, notice] : world.notices()) EXPECT_NE(notice.kind, "job.blame") << notice.text;
}

TEST(Hostile, TruncatedAndMangledParcelsAreRefusedAndLoseNothing) {
  Bidding b;
  const Bytes good =
      record::encode(node::Parcel{.envelopes = {b.world.signer(1).seal(b.offer())}, .blocks = {}, .logs = {}});
  for (std::size_t size = 0; size < good.size(); ++size) {
    b.world.inject(0, b.world.id(1), Channel::offer,
                   Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] = static_cast<std::uint8_t>(bad[at] ^ 0x55);
    b.world.inject(0, b.world.id(1), Channel::offer, std::move(bad));
  }
  EXPECT_EQ(b.world.at(0).job(b.job)->phase, JobPhase::bidding);
  b.world.inject(0, b.world.id(1), Channel::offer, good);
  EXPECT_EQ(b.world.at(0).job(b.job)->phase, JobPhase::bidding);
  b.world.inject(0, b.world.id(1), Channel::offer, good);
  EXPECT_EQ(b.last_refusal(), "replayed: this offer was received before") << "the good one was taken";
}

TEST(Hostile, ACommitmentNobodyAwardedIsRefused) {
  Bidding b;
  b.send(b.world.signer(1).seal(b.offer()));
  receipt::Commitment commitment{
      .intent = b.job, .node = b.world.id(1), .basis = b.job, .worker = {}, .shards = {{0, 1}}, .root = {}};
  b.send(b.world.signer(1).seal(commitment));
  EXPECT_NE(b.last_refusal().find("unknown-award"), std::string::npos) << b.last_refusal();
  commitment.worker = b.job;
  b.send(b.world.signer(1).seal(commitment));
  EXPECT_NE(b.last_refusal().find("unknown-basis"), std::string::npos) << b.last_refusal();
}

TEST(Hostile, RecordsForATaskThatThisNodeIsNotInAreRefused) {
  Bidding b;
  const Cid nothing = Cid::of(Multicodec::dag_cbor, {});
  b.send(b.world.signer(1).seal(
      market::Award{.intent = nothing, .roster = nothing, .offer = nothing, .lease = 0, .shards = {{0, 1}}}));
  bool told = false;
  for (const auto& [host, notice] : b.world.notices())
    told = told || notice.text == "unknown-task: this node has no part in that task";
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace mesh::sim
