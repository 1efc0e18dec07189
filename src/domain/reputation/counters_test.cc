// What each fact does to the two entries, what it is refused for, and what score and weight come of them.
#include "domain/reputation/counters.h"

#include <gtest/gtest.h>

#include <random>

namespace mesh::reputation {
namespace {

constexpr std::uint64_t credit = 1'000'000;
const policy::ReputationParameters rules;

NodeId node(std::uint8_t number) { return public_key_of(*Seed::from(Bytes(32, number))); }
const NodeId publisher = node(1);
const NodeId worker = node(2);

Fact work(std::uint64_t epoch, std::uint64_t to_verifiers, std::uint32_t timeliness = 1000) {
  return {.publisher = publisher,
          .node = worker,
          .part = Fact::Part::worker,
          .epoch = epoch,
          .to_verifiers = to_verifiers,
          .timeliness = timeliness};
}
Fact check(std::uint64_t epoch, std::uint64_t to_verifiers, std::uint64_t own_part, std::uint32_t timeliness = 1000) {
  return {.publisher = publisher,
          .node = worker,
          .part = Fact::Part::verifier,
          .epoch = epoch,
          .to_verifiers = to_verifiers,
          .own_part = own_part,
          .timeliness = timeliness};
}
Counters newcomer(std::uint64_t epoch = 1) { return Counters::newcomer(worker, epoch); }
Counters rich() {
  Counters counters = Counters::founder(worker, 1, 800);
  counters.execution = 30 * credit;
  counters.verification = 20 * credit;
  counters.timely = 45 * credit;
  counters.missed = 2 * credit;
  return counters;
}

using Apply = Result<Standing> (*)(const Counters&, const Pair*, const Fact&, const policy::ReputationParameters&);
const std::vector<Apply> all_kinds{settled, verified, failed, timed_out};

std::string error_of(const Result<Standing>& result) {
  return result ? "" : result.error().message.substr(0, result.error().message.find(':'));
}

TEST(Facts, AWorkerEarnsWhatTheVerifiersGot) {
  const Result<Standing> one = settled(newcomer(), nullptr, work(1, 300'000, 500), rules);
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->counters.execution, 300'000U);
  EXPECT_EQ(one->counters.timely, 150'000U) << "half on time";
  EXPECT_EQ(one->counters.verification, 0U);
  EXPECT_EQ(one->counters.missed, 0U);
  EXPECT_EQ(one->counters.epoch, 1U);
  EXPECT_EQ(one->pair, (Pair{.id = pair_id(publisher, worker), .epoch = 1, .earned = 300'000, .missed = 0}));
}

TEST(Facts, AVerifierEarnsItsPartAsFarAsOthersGotAsMuch) {
  const auto earned = [](std::uint64_t whole, std::uint64_t own) {
    return verified(newcomer(), nullptr, check(1, whole, own), rules)->counters.verification;
  };
  EXPECT_EQ(earned(300'000, 100'000), 100'000U);
  EXPECT_EQ(earned(300'000, 200'000), 100'000U);
  EXPECT_EQ(earned(100'000, 100'000), 0U) << "alone it might have been paid by itself";
  EXPECT_EQ(earned(100'000, 0), 0U);
  const Result<Standing> one = verified(newcomer(), nullptr, check(1, 300'000, 100'000, 250), rules);
  EXPECT_EQ(one->counters.timely, 25'000U);
  EXPECT_EQ(one->counters.execution, 0U);
}

TEST(Facts, OnePublisherHasANodeEarnSoMuchInAnEpoch) {
  Result<Standing> now = settled(newcomer(), nullptr, work(1, pair_cap - 1), rules);
  now = settled(now->counters, &now->pair, work(1, 5), rules);
  EXPECT_EQ(now->counters.execution, pair_cap);
  EXPECT_EQ(now->counters.timely, pair_cap);
  now = settled(now->counters, &now->pair, work(1, UINT64_MAX), rules);
  EXPECT_EQ(now->counters.execution, pair_cap);
  now = verified(now->counters, &now->pair, check(1, 300'000, 100'000), rules);
  EXPECT_EQ(now->counters.verification, 0U) << "both parts count together";
  EXPECT_EQ(now->pair.earned, pair_cap);
  EXPECT_FALSE(now->pair.is_over(1));
  EXPECT_TRUE(now->pair.is_over(2));

  // Another publisher has a pair of its own, and the next epoch begins anew, whether the old entry is still there or not.
  Fact other = work(1, 7);
  other.publisher = node(3);
  EXPECT_EQ(settled(now->counters, nullptr, other, rules)->counters.execution, pair_cap + 7);
  const Result<Standing> next = settled(now->counters, &now->pair, work(2, 400), rules);
  EXPECT_EQ(next->counters.execution, 951'229U + 400);
  EXPECT_EQ(next->pair, (Pair{.id = pair_id(publisher, worker), .epoch = 2, .earned = 400, .missed = 0}));
  EXPECT_EQ(settled(now->counters, nullptr, work(2, 400), rules), next);
}

TEST(Facts, NothingForFreeTasksOrAmongNodesOfOneOwner) {
  for (const Apply apply : all_kinds) {
    for (const Fact::Part part : {Fact::Part::worker, Fact::Part::verifier}) {
      Fact free = work(1, 0);
      free.part = part;
      const Result<Standing> after_free = apply(rich(), nullptr, free, rules);
      if (!after_free) {
        EXPECT_EQ(error_of(after_free), "wrong-part");
        continue;
      }
      EXPECT_EQ(after_free->counters, rich()) << "nor does a free task take anything away";
      Fact own = check(1, 300'000, 100'000);
      own.part = part;
      own.same_owner = true;
      const Result<Standing> after_own = apply(rich(), nullptr, own, rules);
      ASSERT_TRUE(after_own.has_value());
      if (apply == failed) {
        EXPECT_NE(after_own->counters, rich()) << "a lie is one among whomever";
      } else {
        EXPECT_EQ(after_own->counters, rich());
        EXPECT_EQ(after_own->pair.earned + after_own->pair.missed, 0U);
      }
    }
  }
}

TEST(Facts, ALieLeavesATenth) {
  const Result<Standing> after = failed(rich(), nullptr, work(1, 1), rules);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->counters, (Counters{.node = worker,
                                       .epoch = 1,
                                       .founding = 80'000'000,
                                       .execution = 3 * credit,
                                       .verification = 2 * credit,
                                       .timely = 4'500'000,
                                       .missed = 2 * credit}));
  EXPECT_EQ(score_of(rich(), 1, rules), 914U);
  EXPECT_EQ(score_of(after->counters, 1, rules), 189U);
  Counters most = rich();
  most.execution = UINT64_MAX;
  EXPECT_EQ(failed(most, nullptr, work(1, 1), rules)->counters.execution, UINT64_MAX / 10);
}

TEST(Facts, ATimeOutCountsAgainstTimelinessUpToTheCap) {
  Result<Standing> now = timed_out(rich(), nullptr, work(1, 300'000), rules);
  ASSERT_TRUE(now.has_value());
  EXPECT_EQ(now->counters.missed, 2 * credit + 300'000);
  EXPECT_EQ(now->counters.execution, 30 * credit);
  EXPECT_EQ(now->pair.missed, 300'000U);
  EXPECT_EQ(now->pair.earned, 0U);
  now = timed_out(now->counters, &now->pair, check(1, 300'000, 100'000), rules);
  EXPECT_EQ(now->counters.missed, 2 * credit + 400'000);
  now = timed_out(now->counters, &now->pair, work(1, 50 * credit), rules);
  EXPECT_EQ(now->counters.missed, 3 * credit) << "one publisher cannot ruin a node in an epoch";
  EXPECT_LT(score_of(now->counters, 1, rules), score_of(rich(), 1, rules));
  now = settled(now->counters, &now->pair, work(1, 100), rules);
  EXPECT_EQ(now->counters.execution, 30 * credit + 100) << "what is earned has a cap of its own";
}

TEST(Facts, CountersStopAtTheLargestNumber) {
  Counters most{.node = worker,
                .epoch = 1,
                .founding = 0,
                .execution = UINT64_MAX - 5,
                .verification = UINT64_MAX - 5,
                .timely = UINT64_MAX,
                .missed = UINT64_MAX};
  EXPECT_EQ(settled(most, nullptr, work(1, 100), rules)->counters.execution, UINT64_MAX);
  EXPECT_EQ(settled(most, nullptr, work(1, 100), rules)->counters.timely, UINT64_MAX);
  EXPECT_EQ(verified(most, nullptr, check(1, 300, 100), rules)->counters.verification, UINT64_MAX);
  EXPECT_EQ(timed_out(most, nullptr, work(1, UINT64_MAX), rules)->counters.missed, UINT64_MAX);
  EXPECT_EQ(score_of(most, 1, rules), 919U) << "600 and 300 but for a millionth, and a fifth of 100";
}

TEST(Facts, WhatDoesNotFitIsRefusedByName) {
  Standing now = *settled(newcomer(5), nullptr, work(5, 10), rules);
  for (const Apply apply : all_kinds) {
    const Fact good = apply == verified ? check(5, 300, 100) : work(5, 300);
    EXPECT_EQ(error_of(apply(now.counters, &now.pair, good, rules)), "");
    Fact fact = good;
    fact.epoch = 4;
    EXPECT_EQ(error_of(apply(now.counters, &now.pair, fact, rules)), "epoch-backwards");
    Counters earlier = newcomer(3);
    EXPECT_EQ(error_of(apply(earlier, &now.pair, fact, rules)), "epoch-backwards") << "nor before the pair";
    fact = good;
    fact.node = node(9);
    EXPECT_EQ(error_of(apply(now.counters, &now.pair, fact, rules)), "wrong-entry");
    fact = good;
    fact.publisher = node(9);
    EXPECT_EQ(error_of(apply(now.counters, &now.pair, fact, rules)), "wrong-entry");
    fact = good;
    fact.own_part = 301;
    EXPECT_EQ(error_of(apply(now.counters, &now.pair, fact, rules)), "bad-fees");
    fact = good;
    fact.timeliness = 1001;
    EXPECT_EQ(error_of(apply(now.counters, &now.pair, fact, rules)), "bad-timeliness");
  }
  EXPECT_EQ(error_of(settled(now.counters, &now.pair, check(5, 300, 100), rules)), "wrong-part");
  EXPECT_EQ(error_of(verified(now.counters, &now.pair, work(5, 300), rules)), "wrong-part");
  EXPECT_EQ(settled(now.counters, &now.pair, work(4, 1), rules).error().message,
            "epoch-backwards: a fact of epoch 4 comes after one of epoch 5");
}

TEST(Facts, LookingChangesNothing) {
  // Who brings the entry forward at every epoch and who never does come to the same, fact by fact.
  std::mt19937_64 random(3);
  for (int run = 0; run < 50; ++run) {
    Counters seldom = newcomer();
    Counters often = newcomer();
    std::uint64_t epoch = 1;
    for (int i = 0; i < 40; ++i) {
      for (const std::uint64_t until = epoch + random() % 30; epoch < until; ++epoch)
        often = brought_forward(often, epoch, rules);
      const auto timeliness = static_cast<std::uint32_t>(random() % 1001);
      const std::uint64_t amount = random() % credit;
      const bool works = random() % 2 == 0;
      const Fact fact = works ? work(epoch, amount, timeliness) : check(epoch, credit, amount, timeliness);
      Apply apply = works ? settled : verified;
      if (random() % 5 == 0) apply = timed_out;
      if (random() % 10 == 0) apply = failed;
      seldom = apply(seldom, nullptr, fact, rules)->counters;
      often = apply(often, nullptr, fact, rules)->counters;
      ASSERT_EQ(seldom, often);
      ASSERT_EQ(score_of(seldom, epoch + 100, rules),
                score_of(brought_forward(often, epoch + 33, rules), epoch + 100, rules));
    }
  }
  EXPECT_EQ(brought_forward(rich(), 0, rules), rich()) << "never back";
}

TEST(Entries, ReadBackAsWhatTheyWere) {
  EXPECT_EQ(record::decode<Counters>(record::encode(rich())), rich());
  const Pair pair{.id = pair_id(publisher, worker), .epoch = 7, .earned = 8, .missed = 9};
  EXPECT_EQ(record::decode<Pair>(record::encode(pair)), pair);
  EXPECT_NE(pair_id(publisher, worker), pair_id(worker, publisher));
  const Bytes bytes = record::encode(rich());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(record::decode<Counters>(ByteView(bytes).first(size)).has_value()) << size;
}

TEST(Score, BeginsWithTheChartersWeightAndFades) {
  EXPECT_EQ(score_of(newcomer(), 1, rules), 0U);
  for (const std::uint64_t weight : {0U, 1U, 37U, 999U, 1000U})
    EXPECT_EQ(score_of(Counters::founder(worker, 1, weight), 1, rules), weight);
  EXPECT_EQ(score_of(Counters::founder(worker, 1, 5000), 1, rules), 1000U);
  EXPECT_EQ(score_of(Counters::founder(worker, 1, UINT64_MAX), 1, rules), 1000U);
  const Counters founder = Counters::founder(worker, 1, 1000);
  EXPECT_EQ(score_of(founder, 2, rules), 951U);
  EXPECT_EQ(score_of(founder, 15, rules), 496U);
  EXPECT_EQ(score_of(founder, 1000, rules), 0U);
  EXPECT_EQ(score_of(founder, UINT64_MAX, rules), 0U);
}

TEST(Score, HasThreeParts) {
  const auto score = [](std::uint64_t execution, std::uint64_t verification, std::uint64_t timely, std::uint64_t missed,
                        std::uint64_t founding = 0) {
    return score_of({.node = worker,
                     .epoch = 1,
                     .founding = founding * founding_unit,
                     .execution = execution,
                     .verification = verification,
                     .timely = timely,
                     .missed = missed},
                    1, rules);
  };
  EXPECT_EQ(score(half_points, 0, 0, 0), 300U);
  EXPECT_EQ(score(0, half_points, 0, 0), 150U);
  EXPECT_EQ(score(0, 0, half_points, 0), 50U);
  EXPECT_EQ(score(0, 0, half_points, half_points / 4), 33U);
  EXPECT_EQ(score(UINT64_MAX, UINT64_MAX, UINT64_MAX, 0), 999U);
  EXPECT_EQ(score(UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, 1000), 1000U);
  EXPECT_EQ(score(half_points, half_points, half_points, 0, 500), 750U);
  const policy::ReputationParameters other{.alpha = 0, .beta = 1000, .gamma = 0, .lambda = 0};
  EXPECT_EQ(score_of({.node = worker, .epoch = 1, .execution = UINT64_MAX, .verification = half_points}, 900, other),
            500U);
}

TEST(Score, MoreOfAnythingButTimeOutsIsNeverLess) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 20'000; ++i) {
    Counters counters{.node = worker, .epoch = 1};
    counters.founding = random() % (1000 * founding_unit + 1);
    for (std::uint64_t* counter : {&counters.execution, &counters.verification, &counters.timely, &counters.missed})
      *counter = random() >> random() % 64;
    const std::uint32_t score = score_of(counters, 1, rules);
    ASSERT_LE(score, max_score);
    for (std::uint64_t Counters::* counter :
         {&Counters::founding, &Counters::execution, &Counters::verification, &Counters::timely}) {
      Counters more = counters;
      const std::uint64_t by = random() >> random() % 64;
      more.*counter += std::min(by, UINT64_MAX - more.*counter);
      ASSERT_GE(score_of(more, 1, rules), score);
    }
    Counters away = counters;
    away.missed += std::min(random() >> random() % 64, UINT64_MAX - away.missed);
    ASSERT_LE(score_of(away, 1, rules), score);
  }
}

TEST(DrawWeight, IsTheBondAloneForNewcomersAndNeverMoreThanAQuarter) {
  EXPECT_EQ(draw_weight(0, 0), 0U);
  EXPECT_EQ(draw_weight(0, 99'999), 0U);
  EXPECT_EQ(draw_weight(0, credit), 10U);
  EXPECT_EQ(draw_weight(0, 25 * credit - 1), 249U);
  EXPECT_EQ(draw_weight(0, 25 * credit), 250U);
  EXPECT_EQ(draw_weight(0, UINT64_MAX), 250U);
  EXPECT_EQ(draw_weight(300, 0), 300U);
  EXPECT_EQ(draw_weight(300, 2 * credit), 320U);
  EXPECT_EQ(draw_weight(1000, UINT64_MAX), 1250U);
  EXPECT_EQ(draw_weight(UINT32_MAX, UINT64_MAX), 1250U);
}

TEST(DrawWeight, MoreIsNeverLess) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) {
    const auto score = static_cast<std::uint32_t>(random() % 1001);
    const std::uint64_t bond = random() >> random() % 64;
    ASSERT_LE(draw_weight(score, bond), draw_weight(score + 1, bond));
    ASSERT_LE(draw_weight(score, bond),
              draw_weight(score, bond + std::min(random() >> random() % 64, UINT64_MAX - bond)));
  }
}

TEST(Epoch, IsADayOfTheBlocksTime) {
  EXPECT_EQ(epoch_of(0), 0U);
  EXPECT_EQ(epoch_of(epoch_ms - 1), 0U);
  EXPECT_EQ(epoch_of(epoch_ms), 1U);
}

}  // namespace
}  // namespace mesh::reputation
