// Decay against long double, for every lambda and every number of epochs until nothing is left, and that it is the same
// however the epochs are counted together.
#include "domain/reputation/decay.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "domain/reputation/counters.h"

namespace mesh::reputation {
namespace {

constexpr std::uint64_t most = UINT64_MAX;
constexpr std::uint32_t most_lambda = 1000;

long double factor_of(std::uint32_t lambda) { return std::exp(-static_cast<long double>(lambda) / 1000); }

TEST(Decay, TheFactorIsExpToTheLastBit) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  const long double whole = std::ldexp(1.0L, 64);
  for (std::uint32_t lambda = 1; lambda <= most_lambda; ++lambda) {
    // Half a unit of its own, and what long double is wrong by.
    EXPECT_LE(std::fabs(static_cast<long double>(Decay(lambda).factor()) - factor_of(lambda) * whole), 1.5L) << lambda;
  }
}

TEST(Decay, FactorsArePinned) {
  // exp(-0.001), exp(-0.05), exp(-0.5) and exp(-1), times 2^64, from a computation with 60 digits.
  EXPECT_EQ(Decay(1).factor(), 18'428'306'549'934'190'034U);
  EXPECT_EQ(Decay(50).factor(), 17'547'085'749'146'693'507U);
  EXPECT_EQ(Decay(500).factor(), 11'188'515'852'577'165'300U);
  EXPECT_EQ(Decay(1000).factor(), 6'786'177'901'268'885'275U);
}

TEST(Decay, StaysWithinItsBoundUntilNothingIsLeft) {
  for (std::uint32_t lambda = 1; lambda <= most_lambda; ++lambda) {
    const Decay decay(lambda);
    const long double bound = 1500.0L / lambda + 2;
    for (const std::uint64_t x :
         std::vector<std::uint64_t>{most, most / 3, std::uint64_t{1} << 53, 1'000'000'007, 999'999, 1000, 1}) {
      std::uint64_t left = x;
      std::uint64_t epochs = 0;
      long double worst = 0;
      while (left > 0) {
        const std::uint64_t next = decay.after(left, 1);
        ASSERT_LT(next, left) << lambda << " " << x;
        left = next;
        ++epochs;
        const long double exact = static_cast<long double>(x) *
                                  std::exp(-static_cast<long double>(lambda) * static_cast<long double>(epochs) / 1000);
        // What long double itself is wrong by: x has 64 bits, the exponent's product loses some more.
        const long double own = exact * std::ldexp(1.0L, -57);
        worst = std::max(worst, std::fabs(static_cast<long double>(left) - exact) - own);
      }
      EXPECT_LT(worst, bound) << lambda << " " << x;
      EXPECT_LE(epochs, 46'000 / lambda + 2) << lambda << " " << x;
      EXPECT_EQ(decay.after(x, epochs), 0U);
      EXPECT_GT(decay.after(x, epochs - 1), 0U) << "one epoch before there was something left";
      EXPECT_EQ(decay.after(x, most), 0U) << "as many epochs as can be counted end, too";
    }
  }
}

TEST(Decay, ItIsTheSameInOneGoAndBitByBit) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const Decay decay(static_cast<std::uint32_t>(random() % (most_lambda + 1)));
    const std::uint64_t x = random() >> random() % 64;
    const std::uint64_t a = random() % 60;
    const std::uint64_t b = random() % 60;
    ASSERT_EQ(decay.after(decay.after(x, a), b), decay.after(x, a + b));
    ASSERT_EQ(decay.after(decay.after(x, b), a), decay.after(x, a + b));
  }
}

TEST(Decay, MoreStaysMore) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 5'000; ++i) {
    const Decay decay(static_cast<std::uint32_t>(1 + random() % most_lambda));
    const std::uint64_t x = random() >> random() % 64;
    const std::uint64_t epochs = random() % 100;
    if (x > 0) {
      ASSERT_LE(decay.after(x - 1, epochs), decay.after(x, epochs));
    }
    ASSERT_LE(decay.after(x, epochs + 1), decay.after(x, epochs));
  }
}

TEST(Decay, NothingDecaysWithALambdaOfNothing) {
  const Decay decay(0);
  EXPECT_EQ(decay.after(most, most), most);
  EXPECT_EQ(decay.after(1, 1'000'000), 1U);
  EXPECT_EQ(Decay(1).after(most, 0), most);
  EXPECT_EQ(Decay(1).after(0, 5), 0U);
}

TEST(Decay, HalfIsGoneAfterTwoWeeksOfTheDefault) {
  const Decay decay(policy::ReputationParameters{}.lambda);
  EXPECT_EQ(decay.after(1'000'000, 13), 522'042U);
  EXPECT_EQ(decay.after(1'000'000, 14), 496'581U);
}

}  // namespace
}  // namespace mesh::reputation
