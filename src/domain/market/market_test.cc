// What a publisher checks of an offer, which offers win, and the quota of free work.
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "domain/market/market_testing.h"
#include "domain/market/quota.h"
#include "domain/market/selection.h"

namespace mesh::market {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// ---------------------------------------------------------------------------------------------------- offers

Signed<task::TaskIntent> intent_with_fee(std::uint64_t fee, std::uint32_t shards = 4) {
  task::TaskIntent intent = testing::intent(shards);
  intent.fee = fee;
  return testing::signer(1).sign(std::move(intent));
}

/// The error of an offer by node 2 with one change; empty if it is taken.
std::string error_with(const Signed<task::TaskIntent>& intent, const std::function<void(ComputeOffer&)>& change,
                       std::uint8_t bidder = 2) {
  ComputeOffer offer = testing::offer_on(intent.cid);
  change(offer);
  const Status checked = check_offer(testing::signer(bidder).sign(std::move(offer)), intent);
  return checked ? "" : checked.error().message;
}

TEST(Offer, IsTakenWithinItsBounds) {
  const auto intent = intent_with_fee(100);
  EXPECT_EQ(error_with(intent, [](ComputeOffer&) {}), "");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.cost = 100; }), "");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.capacity = 4096; }), "");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.eta_ms = UINT64_MAX; }), "");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.valid_ms = UINT32_MAX; }), "");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.owner = std::string(128, 'o'); }), "");
}

TEST(Offer, IsRefusedByNamePastThem) {
  const auto intent = intent_with_fee(100);
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.intent = testing::record("another"); }),
            "wrong-intent: the offer is for another task");
  EXPECT_EQ(error_with(intent, [](ComputeOffer&) {}, 1), "own-task: a publisher does not bid on its own task");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.cost = 101; }),
            "over-fee: a cost of 101 is above the fee of 100");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.cost = UINT64_MAX; }),
            "over-fee: a cost of 18446744073709551615 is above the fee of 100");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.capacity = 0; }),
            "bad-capacity: the capacity is between 1 and 4096, not 0");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.capacity = 4097; }),
            "bad-capacity: the capacity is between 1 and 4096, not 4097");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.valid_ms = 0; }), "late: the offer is valid for no time at all");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.owner = std::string(129, 'o'); }),
            "bad-owner: the owner has at most 128 bytes");
}

TEST(Offer, ACostThatOverflowsOverAllShardsIsRefused) {
  const std::uint64_t most = UINT64_MAX / 4;
  const auto intent = intent_with_fee(UINT64_MAX);
  EXPECT_EQ(error_with(intent, [&](ComputeOffer& o) { o.cost = most; }), "");
  EXPECT_EQ(error_with(intent, [&](ComputeOffer& o) { o.cost = most + 1; }),
            "overflow: the cost of all shards together is past 64 bits");
  EXPECT_EQ(error_with(intent, [](ComputeOffer& o) { o.cost = UINT64_MAX; }),
            "overflow: the cost of all shards together is past 64 bits");
  EXPECT_EQ(error_with(intent_with_fee(UINT64_MAX, 1), [](ComputeOffer& o) { o.cost = UINT64_MAX; }), "");
}

/// Decodes an offer whose `field` is replaced by `value`.
Result<ComputeOffer> decode_with(std::string_view field, dagcbor::Value value) {
  dagcbor::Value whole = record::to_value(testing::offer_on(testing::record("intent")));
  std::get<dagcbor::Map>(whole.variant()).insert_or_assign(std::string(field), std::move(value));
  return record::decode<ComputeOffer>(dagcbor::encode(whole));
}

TEST(Offer, NumbersThatAreNoneOfOursDoNotDecode) {
  EXPECT_TRUE(decode_with("cost", std::uint64_t{UINT64_MAX}).has_value());
  EXPECT_EQ(decode_with("cost", -1).error().message, "field \"cost\": expected an unsigned integer of 64 bits");
  EXPECT_EQ(decode_with("cost", dagcbor::Integer{UINT64_MAX, true}).error().message,
            "field \"cost\": expected an unsigned integer of 64 bits");
  EXPECT_FALSE(decode_with("cost", 1.0).has_value());
  EXPECT_FALSE(decode_with("cost", "1").has_value());
  EXPECT_FALSE(decode_with("cost", dagcbor::Null{}).has_value());
  EXPECT_FALSE(decode_with("capacity", std::uint64_t{1} << 32).has_value());
  EXPECT_FALSE(decode_with("valid_ms", std::uint64_t{1} << 32).has_value());
  EXPECT_FALSE(decode_with("nonce_tip", Bytes(31)).has_value());
  EXPECT_FALSE(decode_with("nonce_tip", Bytes(33)).has_value());
  EXPECT_FALSE(decode_with("holds_inputs", 1).has_value());
  EXPECT_FALSE(decode_with("owner", "\xff").has_value());
  EXPECT_FALSE(decode_with("more", 1).has_value());
}

TEST(Offer, OfAnotherFederationOrTypeDoesNotOpen) {
  const ComputeOffer offer = testing::offer_on(testing::record("intent"));
  const Envelope good = testing::signer(2).seal(offer);
  EXPECT_TRUE(open<ComputeOffer>(good, testing::federation()).has_value());
  EXPECT_EQ(open<ComputeOffer>(good, testing::other_federation()).error().code, ErrorCode::unauthorised);
  EXPECT_EQ(open<Decline>(good, testing::federation()).error().message,
            "this is a \"compute-offer\", not a \"decline\"");
  Envelope decline = testing::signer(2).seal(Decline{.intent = offer.intent, .reason = "busy"});
  decline.body = good.body;
  EXPECT_EQ(open<ComputeOffer>(decline, testing::federation()).error().code, ErrorCode::unauthorised);
}

TEST(Offer, AnotherSignatureOverTheSameBodyIsTheSameRecord) {
  // So that a replay under a re-encoded signature is still known as one.
  const Signed<ComputeOffer> offer = testing::signer(2).sign(testing::offer_on(testing::record("intent")));
  Envelope other = offer.envelope;
  other.sig = Signature();
  EXPECT_EQ(other.cid(), offer.cid);
  EXPECT_FALSE(open<ComputeOffer>(other, testing::federation()).has_value());
}

TEST(MarketRecords, ReadBackAndAreRefusedCutOff) {
  const Cid intent = testing::record("intent");
  testing::round_trip(testing::offer_on(intent));
  testing::round_trip(Decline{.intent = intent, .reason = "busy: na\xc3\xafve"});
  testing::round_trip(Refusal{.intent = intent, .about = intent, .reason = "late"});
  testing::round_trip(Roster{.intent = intent, .offers = std::vector<Cid>(max_roster, intent)});
  testing::round_trip(
      Award{.intent = intent, .roster = intent, .offer = intent, .lease = 7, .shards = {{0, 1}, {5, 2}}});
  testing::round_trip(Close{.intent = intent, .reason = "done"});
}

TEST(MarketRecords, ReasonsThatAreNotUtf8DoNotDecode) {
  const Cid intent = testing::record("intent");
  const std::string cut = "busy \xe2\x82";
  EXPECT_FALSE(record::decode<Decline>(record::encode(Decline{.intent = intent, .reason = cut})).has_value());
  EXPECT_FALSE(
      record::decode<Refusal>(record::encode(Refusal{.intent = intent, .about = intent, .reason = cut})).has_value());
  EXPECT_FALSE(record::decode<Close>(record::encode(Close{.intent = intent, .reason = cut})).has_value());
}

// ---------------------------------------------------------------------------------------------------- ranking

Candidate candidate(std::uint8_t number, const std::function<void(ComputeOffer&)>& change = {}) {
  ComputeOffer offer = testing::offer_on(testing::record("intent"));
  if (change) change(offer);
  return {.offer = testing::signer(number).sign(std::move(offer)),
          .round_trip = {},
          .reputation = 500,
          .same_federation = true,
          .penalised = false};
}

std::vector<NodeId> order_of(const std::vector<Ranked>& ranking) {
  std::vector<NodeId> nodes;
  for (const Ranked& line : ranking) nodes.push_back(line.node);
  return nodes;
}

TEST(Rank, OfNobodyIsNobody) { EXPECT_TRUE(rank({}, 0).empty()); }

TEST(Rank, PointsAreAsDocumented) {
  Candidate best = candidate(2, [](ComputeOffer& o) {
    o.capacity = 16;
    o.eta_ms = 500;
    o.holds_inputs = true;
  });
  best.reputation = 1000;
  best.round_trip = microseconds(1);
  const Ranked line = rank({best}, 0).front();
  EXPECT_EQ(line.reputation_points, 400U);
  EXPECT_EQ(line.cost_points, 300U);
  EXPECT_EQ(line.capacity_points, 100U);
  EXPECT_EQ(line.speed_points, 100U);
  EXPECT_EQ(line.nearness_points, 50U);
  EXPECT_EQ(line.holding_points, 50U);
  EXPECT_EQ(line.score, 1000U);
}

TEST(Rank, CapacityCountsByDoublings) {
  const std::vector<std::pair<std::uint32_t, std::uint32_t>> cases{{1, 0},  {2, 25},   {3, 25},    {4, 50},
                                                                   {8, 75}, {16, 100}, {4096, 100}};
  for (const auto& [capacity, points] : cases) {
    const Ranked line = rank({candidate(2, [&](ComputeOffer& o) { o.capacity = capacity; })}, 0).front();
    EXPECT_EQ(line.capacity_points, points) << capacity;
  }
}

TEST(Rank, CostPointsAreTheShareOfTheFeeThatIsLeft) {
  const auto points = [](std::uint64_t cost, std::uint64_t fee) {
    return rank({candidate(2, [&](ComputeOffer& o) { o.cost = cost; })}, fee).front().cost_points;
  };
  EXPECT_EQ(points(0, 0), 300U);
  for (const std::uint64_t fee : std::vector<std::uint64_t>{1, 2, 7, 299, 300, 301, 599, 1'000'000, UINT64_MAX}) {
    EXPECT_EQ(points(0, fee), 300U) << fee;
    EXPECT_EQ(points(fee, fee), 0U) << fee;
  }
  EXPECT_EQ(points(1, 3), 200U);
  EXPECT_EQ(points(150, 300), 150U);
  EXPECT_EQ(points(300, 599), 149U);
  EXPECT_EQ(points(UINT64_MAX / 2, UINT64_MAX), 150U);
  EXPECT_EQ(points(50, 5), 0U) << "an unchecked cost above the fee does not wrap";
}

TEST(Rank, SpeedIsAgainstTheBest) {
  const auto with_eta = [](std::uint8_t number, std::uint64_t eta) {
    return candidate(number, [eta](ComputeOffer& o) { o.eta_ms = eta; });
  };
  const std::vector<Ranked> ranking = rank({with_eta(2, 4000), with_eta(3, 1000), with_eta(4, 1'000'000)}, 0);
  EXPECT_EQ(ranking[0].node, testing::node(3));
  EXPECT_EQ(ranking[0].speed_points, 100U);
  EXPECT_EQ(ranking[1].speed_points, 25U);
  EXPECT_EQ(ranking[2].speed_points, 0U);
  // 0 promises no more than 1 ms; the largest is no overflow.
  EXPECT_EQ(rank({with_eta(2, 0), with_eta(3, 1)}, 0)[0].speed_points, 100U);
  for (const Ranked& line : rank({with_eta(2, UINT64_MAX), with_eta(3, UINT64_MAX)}, 0)) {
    EXPECT_LE(line.speed_points, 100U);
  }
  for (const Ranked& line : rank({with_eta(2, std::uint64_t{1} << 50), with_eta(3, (std::uint64_t{1} << 50) + 1)}, 0))
    EXPECT_LE(line.speed_points, 100U);
}

TEST(Rank, NearnessNeedsARoundTripThatWasMeasured) {
  const auto points = [](Duration round_trip) {
    Candidate one = candidate(2);
    one.round_trip = round_trip;
    return rank({one}, 0).front().nearness_points;
  };
  EXPECT_EQ(points({}), 0U) << "unknown";
  EXPECT_EQ(points(microseconds(-5)), 0U);
  EXPECT_EQ(points(microseconds(1)), 50U);
  EXPECT_EQ(points(milliseconds(4)), 49U);
  EXPECT_EQ(points(milliseconds(200)), 0U);
  EXPECT_EQ(points(Duration::max()), 0U);
}

TEST(Rank, TheUntrustedCountLess) {
  Candidate vain = candidate(2);
  vain.reputation = UINT32_MAX;
  EXPECT_EQ(rank({vain}, 0).front().reputation_points, 400U) << "a reputation is at most 1000";
  Candidate foreign = candidate(3);
  foreign.same_federation = false;
  const std::vector<Ranked> ranking = rank({foreign, candidate(4)}, 0);
  EXPECT_EQ(ranking[0].node, testing::node(4));
  EXPECT_EQ(ranking[1].score, ranking[0].score / 2);
}

TEST(Rank, ThePenalisedComeLastWhateverTheyOffer) {
  Candidate liar = candidate(2, [](ComputeOffer& o) {
    o.capacity = 4096;
    o.holds_inputs = true;
  });
  liar.reputation = 1000;
  liar.penalised = true;
  Candidate poor = candidate(3, [](ComputeOffer& o) { o.eta_ms = 1'000'000; });
  poor.reputation = 0;
  const std::vector<Ranked> ranking = rank({liar, poor}, 0);
  EXPECT_EQ(ranking[0].node, testing::node(3));
  EXPECT_TRUE(ranking[1].penalised);
  EXPECT_GT(ranking[1].score, ranking[0].score);
}

TEST(Rank, TiesBreakByNodeWhateverTheOrder) {
  std::vector<Candidate> candidates;
  std::vector<NodeId> expected;
  for (std::uint8_t number = 2; number < 12; ++number) {
    candidates.push_back(candidate(number));
    expected.push_back(testing::node(number));
  }
  std::ranges::sort(expected);
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    std::ranges::shuffle(candidates, random);
    EXPECT_EQ(order_of(rank(candidates, 0)), expected);
  }
}

// ---------------------------------------------------------------------------------------------------- free quota

constexpr std::uint64_t hourly = 1'000'000;
constexpr Instant first_hour{minutes(10)};

FreeQuota quota(std::uint32_t served_percentage = 200) {
  return FreeQuota({.fuel_per_hour = hourly, .served_percentage = served_percentage});
}

TEST(FreeQuota, IsGrantedByTheHour) {
  FreeQuota free = quota();
  const NodeId publisher = testing::node(1);
  EXPECT_TRUE(free.check(first_hour, publisher, hourly).has_value());
  free.use(first_hour, publisher, hourly - 5);
  EXPECT_TRUE(free.check(first_hour, publisher, 5).has_value());
  const Status refused = free.check(first_hour, publisher, 6);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::exhausted);
  EXPECT_EQ(refused.error().message, "free quota used up: 5 fuel left of 1000000 this hour, 6 wanted; more in 50 min");
  EXPECT_TRUE(free.check(first_hour, testing::node(2), hourly).has_value()) << "each publisher has its own";
  EXPECT_FALSE(free.check(Instant(hours(1)) - microseconds(1), publisher, 6).has_value());
  EXPECT_TRUE(free.check(Instant(hours(1)), publisher, hourly).has_value()) << "a new hour";
}

TEST(FreeQuota, NothingWrapsAtTheLargestNumbers) {
  FreeQuota free = quota();
  const NodeId publisher = testing::node(1);
  free.use(first_hour, publisher, UINT64_MAX);
  free.use(first_hour, publisher, UINT64_MAX);
  EXPECT_FALSE(free.check(first_hour, publisher, 1).has_value());
  EXPECT_TRUE(free.check(first_hour, publisher, 0).has_value());
  free.earn(first_hour, publisher, UINT64_MAX);
  free.earn(first_hour, publisher, UINT64_MAX);
  EXPECT_FALSE(free.check(first_hour, publisher, 1).has_value()) << "as much used as can be counted";
  EXPECT_TRUE(free.check(first_hour, testing::node(2), hourly).has_value());
  EXPECT_FALSE(free.check(first_hour, testing::node(2), UINT64_MAX).has_value());
  FreeQuota generous({.fuel_per_hour = UINT64_MAX, .served_percentage = UINT32_MAX});
  generous.earn(first_hour, publisher, UINT64_MAX);
  EXPECT_TRUE(generous.check(first_hour, publisher, UINT64_MAX).has_value());
}

TEST(FreeQuota, WhoServedMayAskForMore) {
  FreeQuota free = quota(200);
  const NodeId publisher = testing::node(1);
  free.earn(first_hour, publisher, 1000);
  EXPECT_TRUE(free.check(first_hour, publisher, hourly + 2000).has_value());
  EXPECT_FALSE(free.check(first_hour, publisher, hourly + 2001).has_value());
  FreeQuota strict = quota(0);
  strict.earn(first_hour, publisher, 1'000'000);
  EXPECT_FALSE(strict.check(first_hour, publisher, hourly + 1).has_value());
}

TEST(FreeQuota, WhatWasEarnedIsHalvedByTheHour) {
  FreeQuota free = quota(100);
  const NodeId publisher = testing::node(1);
  free.earn(first_hour, publisher, 800);
  const auto most = [&](Instant now) {
    std::uint64_t extra = 0;
    while (free.check(now, publisher, hourly + extra + 100)) extra += 100;
    return extra;
  };
  EXPECT_EQ(most(first_hour), 800U);
  EXPECT_EQ(most(first_hour + hours(1)), 400U);
  EXPECT_EQ(most(first_hour + hours(3)), 100U);
  EXPECT_EQ(most(first_hour + hours(4)), 0U);
  EXPECT_EQ(most(first_hour + hours(24 * 365)), 0U) << "more halvings than a number has bits";
  free.use(first_hour + hours(1), publisher, 1);
  EXPECT_EQ(most(first_hour + hours(2)), 200U) << "halved once per hour however often it is asked";
}

TEST(FreeQuota, RemembersSoManyPublishersAndForgetsTheOneIdleLongest) {
  FreeQuota free = quota();
  const auto publisher = [](std::uint32_t number) {
    const Digest digest = tagged_hash("publisher", {big_endian(number)});
    return *NodeId::from(digest.view());
  };
  free.use(first_hour, publisher(0), hourly);
  for (std::uint32_t number = 1; number < 4096; ++number) free.use(first_hour + hours(1), publisher(number), hourly);
  const Instant later = first_hour + hours(1);
  EXPECT_FALSE(free.check(later, publisher(4095), 1).has_value());
  free.use(later, publisher(4096), hourly);
  EXPECT_FALSE(free.check(later, publisher(4096), 1).has_value());
  EXPECT_FALSE(free.check(later, publisher(1), 1).has_value()) << "only the one of an hour ago went";
  EXPECT_FALSE(free.check(later, publisher(4095), 1).has_value());
}

}  // namespace
}  // namespace mesh::market
