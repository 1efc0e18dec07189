// What a node asks for a shard under which demand, what it declines, and what a publisher is told to pay.
#include "domain/market/pricing.h"

#include <gtest/gtest.h>

#include <random>

namespace mesh::market {
namespace {

constexpr std::uint32_t slots = 4;
const policy::RewardSettings rewards;  // Nine tenths are the worker's.

Instant at(std::int64_t second) { return Instant(seconds(second)); }
task::CapabilityScope scope(std::uint64_t fuel) { return {.fuel = fuel}; }
Pricing pricing(PricingSettings settings = {.price = 1000}) { return {settings, rewards, slots, at(0)}; }

TEST(Pricing, AsksForFuelAtItsPriceAndForTheMinimum) {
  const Pricing one = pricing({.price = 1000, .minimum = 50});
  EXPECT_EQ(one.asked_for(scope(fuel_unit), at(0)), 1000U);
  EXPECT_EQ(one.asked_for(scope(200 * fuel_unit), at(0)), 200'000U);
  EXPECT_EQ(one.asked_for(scope(fuel_unit / 10), at(0)), 100U);
  EXPECT_EQ(one.asked_for(scope(fuel_unit / 10 + 1), at(0)), 101U) << "rounded up";
  EXPECT_EQ(one.asked_for(scope(1), at(0)), 50U);
  EXPECT_EQ(one.asked_for(scope(0), at(0)), 50U);
  EXPECT_EQ(pricing({.price = PricingSettings::max_price, .ceiling = 10'000}).asked_for(scope(UINT64_MAX), at(0)),
            UINT64_MAX);
}

TEST(Pricing, IsHeldAgainstWhatTheWorkerGetsOfTheFee) {
  const Pricing one = pricing();
  EXPECT_EQ(one.quote(scope(fuel_unit), 1112, at(0)), 1000U);
  const Result<std::uint64_t> declined = one.quote(scope(fuel_unit), 1111, at(0));
  ASSERT_FALSE(declined.has_value());
  EXPECT_EQ(declined.error().code, ErrorCode::denied);
  EXPECT_EQ(declined.error().message, "price: of the fee of 1111 a worker gets 999, and a shard costs 1000 here");
  EXPECT_EQ(one.quote(scope(fuel_unit), UINT64_MAX, at(0)), 1000U);
  EXPECT_FALSE(one.quote(scope(fuel_unit), 1, at(0)).has_value());
}

TEST(Pricing, WhoSetNoneAsksForTheWholeFeeAndTheFreeIsFree) {
  EXPECT_EQ(pricing({}).quote(scope(fuel_unit), 77, at(0)), 77U);
  EXPECT_EQ(pricing({}).quote(scope(fuel_unit), 0, at(0)), 0U);
  EXPECT_EQ(pricing().quote(scope(UINT64_MAX), 0, at(0)), 0U) << "the quota's business";
  EXPECT_EQ(pricing({.minimum = 5}).quote(scope(fuel_unit), 77, at(0)), 5U);
}

TEST(Pricing, DemandRaisesItStepByStepToTheCeilingAndLetsItFall) {
  Pricing one = pricing({.price = 1000, .ceiling = 135});
  one.observe(at(0), 4, 0);
  EXPECT_EQ(one.percent(at(9)), 100U) << "a window is judged when it is over";
  EXPECT_EQ(one.percent(at(10)), 110U);
  EXPECT_EQ(one.asked_for(scope(fuel_unit), at(10)), 1100U);
  EXPECT_EQ(one.percent(at(29)), 120U);
  EXPECT_EQ(one.percent(at(40)), 135U) << "the ceiling, wherever the steps would end";
  EXPECT_EQ(one.percent(at(1'000'000)), 135U);
  one.observe(at(40), 1, 1);
  EXPECT_EQ(one.percent(at(90)), 135U) << "half of the slots and what is above it leave the price as it is";
  one.observe(at(90), 1, 0);
  EXPECT_EQ(one.percent(at(100)), 125U);
  EXPECT_EQ(one.percent(at(120)), 105U);
  EXPECT_EQ(one.percent(at(130)), 100U);
  EXPECT_EQ(one.percent(at(1'000'000)), 100U);
}

TEST(Pricing, WhatWaitsCountsAndAWindowIsItsMean) {
  Pricing one = pricing();
  one.observe(at(0), 0, 8);
  one.observe(at(5), 0, 0);
  EXPECT_EQ(one.percent(at(10)), 110U) << "eight for half of it are four";
  one.observe(at(10), 4, 0);
  one.observe(Instant(seconds(20) - microseconds(1)), 3, 0);
  EXPECT_EQ(one.percent(at(20)), 110U) << "not quite four";
  one.observe(at(20), 2, 0);
  EXPECT_EQ(one.percent(at(30)), 110U);
  one.observe(at(30), 2, 0);
  one.observe(Instant(seconds(40) - microseconds(1)), 1, 0);
  EXPECT_EQ(one.percent(at(40)), 100U) << "not quite half";
}

TEST(Pricing, TheIdleDiscountIsForWholeWindowsOfNothing) {
  Pricing one = pricing({.price = 1000, .minimum = 900, .idle_discount = 20});
  EXPECT_EQ(one.percent(at(0)), 80U) << "idle since it began";
  EXPECT_EQ(one.asked_for(scope(2 * fuel_unit), at(0)), 1600U);
  EXPECT_EQ(one.asked_for(scope(fuel_unit), at(0)), 900U) << "the minimum stays";
  one.observe(at(3), 1, 0);
  EXPECT_EQ(one.percent(at(3)), 100U);
  one.observe(at(4), 0, 0);
  EXPECT_EQ(one.percent(at(4)), 100U) << "it was busy in this window";
  EXPECT_EQ(one.percent(at(19)), 100U) << "and in the last";
  EXPECT_EQ(one.percent(at(20)), 80U);
  EXPECT_EQ(pricing({.price = 1000, .idle_discount = 100}).asked_for(scope(fuel_unit), at(0)), 0U);
}

TEST(Pricing, IsTheSameHoweverOftenItIsAsked) {
  std::mt19937_64 random(1);
  for (int run = 0; run < 200; ++run) {
    Pricing seldom = pricing({.price = 1000, .idle_discount = 30, .ceiling = 170});
    Pricing often = seldom;
    Instant now = at(0);
    for (int i = 0; i < 20; ++i) {
      const std::size_t running = random() % 5;
      const std::size_t waiting = random() % 3 == 0 ? random() % 9 : 0;
      seldom.observe(now, running, waiting);
      const Instant until = now + microseconds(random() % 40'000'000);
      for (; now < until; now += microseconds(1 + random() % 4'000'000)) often.observe(now, running, waiting);
      now = until;
      often.observe(now, running, waiting);
      ASSERT_EQ(seldom.percent(now), often.percent(now));
      ASSERT_LE(seldom.percent(now), 170U);
      ASSERT_GE(seldom.percent(now), 70U);
    }
  }
}

TEST(Pricing, NothingWrapsAtTheLargestNumbers) {
  Pricing one = pricing();
  one.observe(at(0), SIZE_MAX, SIZE_MAX);
  EXPECT_EQ(one.percent(at(10)), 110U);
  EXPECT_EQ(one.percent(Instant::max()), 300U);
  one.observe(at(20), 0, 0);
  EXPECT_EQ(one.percent(at(10)), 120U) << "time that goes back stands still";
  one.observe(at(5), 4, 0);
  EXPECT_EQ(one.percent(at(30)), 130U);
  EXPECT_EQ(Pricing({.price = 1}, rewards, 0, at(0)).percent(at(100)), 100U) << "no slot counts as one";
}

TEST(Pricing, SettingsHaveBounds) {
  EXPECT_TRUE(validate(PricingSettings{}).has_value());
  EXPECT_TRUE(validate({.price = PricingSettings::max_price,
                        .minimum = PricingSettings::max_price,
                        .idle_discount = 100,
                        .ceiling = 10'000})
                  .has_value());
  EXPECT_FALSE(validate({.price = PricingSettings::max_price + 1}).has_value());
  EXPECT_FALSE(validate({.minimum = PricingSettings::max_price + 1}).has_value());
  EXPECT_FALSE(validate({.idle_discount = 101}).has_value());
  EXPECT_FALSE(validate({.ceiling = 99}).has_value());
  EXPECT_FALSE(validate({.ceiling = 10'001}).has_value());
}

TEST(RecentPrices, TellTheMedianOfTheLast) {
  RecentPrices recent;
  EXPECT_EQ(recent.median(), std::nullopt);
  recent.saw(0, fuel_unit);
  recent.saw(5, 0);
  EXPECT_EQ(recent.median(), std::nullopt) << "what is free tells no price";
  recent.saw(300, fuel_unit);
  EXPECT_EQ(recent.median(), 300U);
  recent.saw(200, 2 * fuel_unit);
  EXPECT_EQ(recent.median(), 100U) << "the lower of two";
  recent.saw(UINT64_MAX, 1);
  EXPECT_EQ(recent.median(), 300U) << "one that is mad moves it little";
  recent.saw(1, 3 * fuel_unit);
  EXPECT_EQ(recent.median(), 100U) << "a third is one, rounded up";
  for (std::size_t i = 0; i < RecentPrices::max_prices; ++i) recent.saw(7, fuel_unit);
  EXPECT_EQ(recent.median(), 7U);
  for (std::size_t i = 0; i < RecentPrices::max_prices / 2; ++i) recent.saw(9, fuel_unit);
  EXPECT_EQ(recent.median(), 7U);
  recent.saw(9, fuel_unit);
  EXPECT_EQ(recent.median(), 9U) << "older ones are forgotten";
}

TEST(ProposeFee, IsTheScopeTimesThePriceAndTheVerifiersShare) {
  EXPECT_EQ(propose_fee(scope(10 * fuel_unit), 90, rewards), 1000U);
  EXPECT_EQ(propose_fee(scope(10 * fuel_unit), 91, rewards), 1012U) << "910 are 90 percent of 1011.1";
  EXPECT_EQ(propose_fee(scope(1), 1, rewards), 2U);
  EXPECT_EQ(propose_fee(scope(0), 90, rewards), 1U) << "a fee of 0 would ask for a free run";
  EXPECT_EQ(propose_fee(scope(9 * fuel_unit), std::nullopt, rewards), 1000U) << "the fallback";
  EXPECT_EQ(propose_fee(scope(UINT64_MAX), UINT64_MAX, rewards), UINT64_MAX);
  const policy::RewardSettings none{.worker_percentage = 0, .verifier_percentage = 100};
  EXPECT_EQ(propose_fee(scope(10 * fuel_unit), 90, none), 900U) << "no fee is enough, so none is added";
}

TEST(ProposeFee, IsTakenByWhoAsksForThatPrice) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t price = 1 + random() % 1'000'000;
    const task::CapabilityScope wanted = scope(1 + (random() >> random() % 64) % (1000 * fuel_unit));
    const Pricing one = pricing({.price = price});
    const std::uint64_t fee = propose_fee(wanted, price, rewards);
    ASSERT_TRUE(one.quote(wanted, fee, at(0)).has_value()) << price << " " << wanted.fuel;
    if (fee > 1) {
      ASSERT_FALSE(one.quote(wanted, fee - 1, at(0)).has_value()) << price << " " << wanted.fuel;
    }
  }
}

}  // namespace
}  // namespace mesh::market
