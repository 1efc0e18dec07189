#include "domain/asset/token_bucket.h"

#include <gtest/gtest.h>

#include <random>

namespace mesh::asset {
namespace {

constexpr Instant at(std::int64_t us) { return Instant(Duration(us)); }

TEST(TokenBucket, TheBurstGoesAtOnceAndTheRestByTheRate) {
  TokenBucket bucket(1000, 500);
  EXPECT_TRUE(bucket.is_full(at(0)));
  EXPECT_EQ(bucket.take(500, at(0)), at(0));
  EXPECT_FALSE(bucket.is_full(at(0)));
  EXPECT_EQ(bucket.take(100, at(0)), at(100'000));
  EXPECT_EQ(bucket.take(100, at(0)), at(200'000)) << "whoever comes second waits for both";
  EXPECT_EQ(bucket.take(1, at(200'000)), at(201'000));
  // Half a second without anybody fills it again, and no more than that.
  EXPECT_FALSE(bucket.is_full(at(700'000)));
  EXPECT_TRUE(bucket.is_full(at(701'000)));
  EXPECT_EQ(bucket.take(500, at(9'000'000)), at(9'000'000));
  EXPECT_EQ(bucket.take(1, at(9'000'000)), at(9'001'000));
}

TEST(TokenBucket, APieceLargerThanTheBurstPasses) {
  TokenBucket bucket(1000, 10);
  EXPECT_EQ(bucket.take(2010, at(5)), at(2'000'005));
  EXPECT_EQ(bucket.take(0, at(5)), at(2'000'005));
}

TEST(TokenBucket, TimeThatGoesBackStandsStill) {
  TokenBucket bucket(1000, 100);
  EXPECT_EQ(bucket.take(200, at(1'000'000)), at(1'100'000));
  EXPECT_EQ(bucket.take(100, at(0)), at(1'200'000));
}

TEST(TokenBucket, NothingIsLostByRounding) {
  TokenBucket bucket(3'000'000, 0);  // A third of a microsecond a byte.
  Instant last = at(0);
  for (int i = 0; i < 3'000'000; ++i) last = bucket.take(1, at(0));
  EXPECT_EQ(last, at(1'000'000));
}

TEST(TokenBucket, NeverMoreThanTheBurstAndTheRate) {
  std::mt19937 random(7);
  for (const std::uint64_t rate : {std::uint64_t{1}, std::uint64_t{125'000}, TokenBucket::max_rate}) {
    const std::uint64_t burst = 65'536;
    TokenBucket bucket(rate, burst);
    Instant now = at(0);
    Instant last = at(0);
    std::uint64_t sent = 0;
    for (int i = 0; i < 1000; ++i) {
      now += Duration(static_cast<std::int64_t>(random() % 5'000));
      const std::uint64_t bytes = random() % 100'000;
      const Instant goes = bucket.take(bytes, now);
      EXPECT_GE(goes, now);
      EXPECT_GE(goes, std::min(last, now)) << "in their order";
      last = goes;
      sent += bytes;
      const auto since = static_cast<double>(goes.time_since_epoch().count());
      EXPECT_LE(static_cast<double>(sent),
                static_cast<double>(burst) + static_cast<double>(rate) * (since + 1) / 1e6 + 1);
    }
  }
}

}  // namespace
}  // namespace mesh::asset
