#include "app/api/amount.h"

#include <gtest/gtest.h>

namespace mesh::app {
namespace {

constexpr std::uint64_t most = 18'446'744'073'709'551'615ULL;

TEST(Amount, CreditsAreReadExactly) {
  EXPECT_EQ(parse_credits("0"), 0U);
  EXPECT_EQ(parse_credits("1"), 1'000'000U);
  EXPECT_EQ(parse_credits("1.5"), 1'500'000U);
  EXPECT_EQ(parse_credits("0.000001"), 1U);
  EXPECT_EQ(parse_credits("0.1"), 100'000U) << "as no binary fraction is";
  EXPECT_EQ(parse_credits("007.50"), 7'500'000U);
  EXPECT_EQ(parse_credits("9007199254.740993"), 9'007'199'254'740'993U) << "past 2^53";
  EXPECT_EQ(parse_credits("18446744073709.551615"), most);
}

TEST(Amount, WhatIsNoAmountIsRefused) {
  for (const char* text : {"",
                           ".",
                           "1.",
                           ".5",
                           "-1",
                           "+1",
                           "1.0000001",
                           "1,5",
                           "1e3",
                           " 1",
                           "1 ",
                           "0x10",
                           "1.2.3",
                           "1.-5",
                           "inf",
                           "nan",
                           "18446744073709.551616",
                           "18446744073710",
                           "99999999999999999999999999",
                           "\xd9\xa1"}) {
    const auto parsed = parse_credits(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid);
    EXPECT_TRUE(parsed.error().message.starts_with("bad-amount: ")) << parsed.error().message;
  }
}

TEST(Amount, MicroCreditsAreDigitsAlone) {
  EXPECT_EQ(parse_micros("0"), 0U);
  EXPECT_EQ(parse_micros("9007199254740993"), 9'007'199'254'740'993U);
  EXPECT_EQ(parse_micros("18446744073709551615"), most);
  for (const char* text :
       {"", "-1", "+1", "1.5", "1.0", "01", "00", " 1", "1e3", "18446744073709551616", "9999999999999999999999"}) {
    const auto parsed = parse_micros(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_TRUE(parsed.error().message.starts_with("bad-amount: ")) << parsed.error().message;
  }
}

TEST(Amount, CreditsAreWrittenInTheShortestForm) {
  EXPECT_EQ(credits_text(0), "0");
  EXPECT_EQ(credits_text(1), "0.000001");
  EXPECT_EQ(credits_text(100'000), "0.1");
  EXPECT_EQ(credits_text(1'500'000), "1.5");
  EXPECT_EQ(credits_text(100'000'000), "100");
  EXPECT_EQ(credits_text(most), "18446744073709.551615");
  for (const std::uint64_t micros :
       {std::uint64_t{0}, std::uint64_t{10}, std::uint64_t{999'999}, std::uint64_t{1'000'001}, most - 1})
    EXPECT_EQ(parse_credits(credits_text(micros)), micros);
}

}  // namespace
}  // namespace mesh::app
