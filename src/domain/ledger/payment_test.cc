// What a shard pays, to the micro-credit, and who is drawn.
#include "domain/ledger/payment.h"

#include <gtest/gtest.h>

#include <map>

#include "domain/ledger/draw.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::ledger {
namespace {

constexpr policy::RewardSettings rewards{};  // 90 / 10 / 0
constexpr std::uint64_t most = ~std::uint64_t{0};

TEST(Payment, OfAnAcceptedShard) {
  struct Case {
    ShardTerms terms;
    std::vector<std::uint64_t> weights;  ///< of those who agreed
    ShardPayment want;
  };
  const std::vector<Case> cases{
      // The whole fee, and all agreed in time.
      {{.fee = 1000, .cost = 1000, .seats = 3, .timeliness = 1000}, {1, 1, 1}, {900, {33, 33, 33}, 0, 1}},
      // Cheaper than its share: what is saved goes back.
      {{.fee = 1000, .cost = 80, .seats = 3, .timeliness = 1000}, {1, 1, 1}, {80, {33, 33, 33}, 0, 821}},
      // Two of three agreed: they share the pot, the worker gets two thirds.
      {{.fee = 1000, .cost = 900, .seats = 3, .timeliness = 1000}, {1, 1}, {600, {50, 50}, 0, 300}},
      // Half as fast as promised.
      {{.fee = 1000, .cost = 900, .seats = 3, .timeliness = 500}, {1, 1, 1}, {450, {33, 33, 33}, 0, 451}},
      // Both, with one rounding.
      {{.fee = 1000, .cost = 899, .seats = 3, .timeliness = 333}, {1, 1}, {199, {50, 50}, 0, 701}},
      // By reputation.
      {{.fee = 1000, .cost = 0, .seats = 3, .timeliness = 1000}, {1, 3, 6}, {0, {10, 30, 60}, 0, 900}},
      // Nobody verified.
      {{.fee = 1000, .cost = 1000, .seats = 0, .timeliness = 1000}, {}, {900, {}, 0, 100}},
      // A fee too small to share.
      {{.fee = 9, .cost = 9, .seats = 3, .timeliness = 1000}, {1, 1, 1}, {8, {0, 0, 0}, 0, 1}},
      {{.fee = 1, .cost = 1, .seats = 3, .timeliness = 1000}, {1, 1, 1}, {0, {0, 0, 0}, 0, 1}},
      {{.fee = most, .cost = most, .seats = 1, .timeliness = 1000},
       {most},
       {most / 100 * 90 + most % 100 * 90 / 100, {most / 10}, 0, 1}},
  };
  for (const Case& one : cases) {
    const ShardPayment got = pay_accepted(one.terms, one.weights, rewards);
    SCOPED_TRACE(std::to_string(one.terms.fee) + " " + std::to_string(one.terms.cost));
    EXPECT_EQ(got.worker, one.want.worker);
    EXPECT_EQ(got.verifiers, one.want.verifiers);
    EXPECT_EQ(got.treasury, one.want.treasury);
    EXPECT_EQ(got.publisher, one.want.publisher);
  }
}

TEST(Payment, TheTreasuryHasItsShare) {
  const policy::RewardSettings with_treasury{
      .worker_percentage = 80, .verifier_percentage = 15, .platform_fee_percentage = 5};
  const ShardPayment got = pay_accepted({.fee = 200, .cost = 200, .seats = 2, .timeliness = 1000},
                                        std::vector<std::uint64_t>{1, 1}, with_treasury);
  EXPECT_EQ(got.worker, 160U);
  EXPECT_EQ(got.verifiers, (std::vector<std::uint64_t>{15, 15}));
  EXPECT_EQ(got.treasury, 10U);
  EXPECT_EQ(got.publisher, 0U);
}

// Whatever the terms, the parts are the fee.
TEST(Payment, PartsAreTheFee) {
  std::uint64_t state = 1;
  const auto random = [&](std::uint64_t below) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return (state >> 16) % below;
  };
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t fee = random(i % 2 == 0 ? 1000 : std::uint64_t{1} << 40) + 1;
    const auto seats = static_cast<std::uint32_t>(random(7) + 1);
    std::vector<std::uint64_t> weights;
    for (std::uint64_t n = random(seats + 1); n > 0; --n) weights.push_back(random(1200) + 1);
    const ShardPayment got = pay_accepted(
        {.fee = fee, .cost = random(fee + 1), .seats = seats, .timeliness = static_cast<std::uint32_t>(random(1001))},
        weights, rewards);
    std::uint64_t sum = got.worker + got.treasury + got.publisher;
    for (const std::uint64_t share : got.verifiers) sum += share;
    ASSERT_EQ(sum, fee);
  }
}

TEST(Timeliness, IsThePromiseOverTheTime) {
  EXPECT_EQ(timeliness_of(100, 1, 10, grace_ms + 1000), 1000U);  // Ten shards of 100 ms, one after the other.
  EXPECT_EQ(timeliness_of(100, 1, 10, grace_ms + 2000), 500U);
  EXPECT_EQ(timeliness_of(100, 4, 10, grace_ms + 300), 1000U);  // Three turns of four.
  EXPECT_EQ(timeliness_of(100, 4, 10, grace_ms + 600), 500U);
  EXPECT_EQ(timeliness_of(100, 4, 10, grace_ms), 1000U);
  EXPECT_EQ(timeliness_of(1, 1, 1, most), 0U);
  EXPECT_EQ(timeliness_of(0, 1, 1, most), 1000U);  // Nothing was promised.
  EXPECT_EQ(timeliness_of(most, 1, 2, most), 1000U);
}

std::vector<verification::Member> crowd(std::uint32_t count) {
  std::vector<verification::Member> members;
  for (std::uint32_t i = 0; i < count; ++i) members.push_back({.node = nobody(i), .owner = {}, .weight = i + 1});
  std::ranges::sort(members, {}, &verification::Member::node);
  return members;
}

TEST(Drawing, IsWithoutReplacementAndLeavesTheSidesOut) {
  const std::vector<verification::Member> members = crowd(40);
  const verification::Member& worker = members[3];
  const verification::Member& publisher = members[30];
  Drawing drawing(members, worker, publisher, {members[7].node});
  ASSERT_EQ(drawing.size(), 37U);
  for (std::uint32_t shard = 0; shard < 200; ++shard) {
    std::set<NodeId> seen;
    const auto order = drawing.order(seat_seed(sha256({}), Cid{}, shard), 100);
    for (const verification::Member* one : order) seen.insert(one->node);
    ASSERT_EQ(order.size(), 37U);
    ASSERT_EQ(seen.size(), 37U);
    ASSERT_FALSE(seen.contains(worker.node) || seen.contains(publisher.node) || seen.contains(members[7].node));
    // A shorter order is the longer one's beginning.
    const auto beginning = drawing.order(seat_seed(sha256({}), Cid{}, shard), 5);
    ASSERT_TRUE(std::ranges::equal(beginning, std::span(order).first(5)));
  }
}

TEST(Drawing, FollowsTheWeights) {
  std::vector<verification::Member> members = crowd(5);
  for (std::size_t i = 0; i < 5; ++i) members[i].weight = i == 2 ? 600 : 100;
  Drawing drawing(members, {.node = nobody(100), .owner = {}}, {.node = nobody(101), .owner = {}}, {});
  std::map<NodeId, int> first;
  constexpr int draws = 20'000;
  for (std::uint32_t shard = 0; shard < draws; ++shard)
    ++first[drawing.order(seat_seed(sha256({}), Cid{}, shard), 1)[0]->node];
  EXPECT_NEAR(first[members[2].node], draws * 0.6, 350);  // Five standard deviations.
  EXPECT_NEAR(first[members[0].node], draws * 0.1, 215);
}

TEST(Drawing, TakesOwnersOfTheSidesLast) {
  std::vector<verification::Member> members = crowd(10);
  for (std::size_t i = 0; i < 10; i += 2) members[i].owner = "did:key:coop";
  Drawing drawing(members, {.node = nobody(100), .owner = "did:key:coop"}, {.node = nobody(101), .owner = {}}, {});
  EXPECT_EQ(drawing.others(), 5U);
  for (std::uint32_t shard = 0; shard < 50; ++shard) {
    const auto order = drawing.order(seat_seed(sha256({}), Cid{}, shard), 10);
    for (std::size_t i = 0; i < 10; ++i) ASSERT_EQ(order[i]->owner.empty(), i < 5);
  }
}

}  // namespace
}  // namespace mesh::ledger
