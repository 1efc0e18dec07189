#include "codec/dagcbor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "codec/utf8.h"

namespace mesh::dagcbor {
namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

std::string error_of(std::string_view hex_text, const Limits& limits = {}) {
  const auto value = decode(hex(hex_text), limits);
  return value ? "accepted" : value.error().message;
}

void expect_same(const Value& value, std::string_view hex_text) {
  EXPECT_EQ(to_hex(encode(value)), hex_text);
  const auto decoded = decode(hex(hex_text));
  ASSERT_TRUE(decoded.has_value()) << hex_text << ": " << decoded.error().message;
  EXPECT_EQ(*decoded, value) << hex_text;
}

TEST(DagCbor, KnownEncodings) {  // RFC 8949, appendix A, as far as DAG-CBOR has it.
  expect_same(0, "00");
  expect_same(23, "17");
  expect_same(24, "1818");
  expect_same(255, "18ff");
  expect_same(256, "190100");
  expect_same(65535, "19ffff");
  expect_same(65536, "1a00010000");
  expect_same(std::uint64_t{0xffffffff}, "1affffffff");
  expect_same(std::uint64_t{0x100000000}, "1b0000000100000000");
  expect_same(std::numeric_limits<std::uint64_t>::max(), "1bffffffffffffffff");
  expect_same(-1, "20");
  expect_same(-24, "37");
  expect_same(-25, "3818");
  expect_same(-1000, "3903e7");
  expect_same(std::numeric_limits<std::int64_t>::min(), "3b7fffffffffffffff");
  expect_same(Integer{std::numeric_limits<std::uint64_t>::max(), true}, "3bffffffffffffffff");
  expect_same(1.5, "fb3ff8000000000000");
  expect_same(-0.0, "fb8000000000000000");
  expect_same(5e-324, "fb0000000000000001");
  expect_same(false, "f4");
  expect_same(true, "f5");
  expect_same(Null{}, "f6");
  expect_same(hex("01020304"), "4401020304");
  expect_same("", "60");
  expect_same("IETF", "6449455446");
  expect_same("\xc3\xbc", "62c3bc");
  expect_same("\xf0\x90\x85\x91", "64f0908591");
  expect_same(List{}, "80");
  expect_same(List{1, List{2, 3}, List{4, 5}}, "8301820203820405");
  expect_same(Map{}, "a0");
  expect_same(Map{{"a", 1}, {"b", List{2, 3}}}, "a26161016162820203");
  expect_same(Map{{"aa", 1}, {"b", 2}},
              "a26162026261610"
              "1");  // Length first: "b" before "aa".
  expect_same(Map{{"", 1}}, "a16001");
}

TEST(DagCbor, Links) {
  const Cid cid = Cid::of(Multicodec::raw, {});
  const std::string cid_hex = to_hex(cid.bytes());
  expect_same(cid, "d82a582500" + cid_hex);
  expect_same(Link{hex("01550000")}, "d82a450001550000");  // Any hash: here the identity of nothing.
  for (const std::string& bad :
       {"d82a5824" + cid_hex,                 // no leading zero
        "d82a582501" + cid_hex,               // another multibase prefix
        std::string("d82a40"),                // empty
        std::string("d82a4100"),              // the prefix alone
        "d82a582600" + cid_hex + "00",        // a byte after the CID
        "d82a582400" + cid_hex.substr(0, 70), // cut
        std::string("d82a60"),                // text
        std::string("d82ad82a4100"),          // a tag in a tag
        std::string("d82af6"), std::string("d82a00"), std::string("d82a"), std::string("d82a80"),
        "d9002a582500" + cid_hex,             // the tag in a longer form
        std::string("c001"), std::string("c11a514b67b0"), std::string("d82b4100"), std::string("d9d9f700"),
        std::string("c249010000000000000000")}) {
    EXPECT_NE(error_of(bad), "accepted") << bad;
  }
}

TEST(DagCbor, RefusesWhatIsNotCanonical) {
  for (const std::string_view bad : {"1800",
                                     "1817",
                                     "190000",
                                     "1900ff",
                                     "1a00000000",
                                     "1a0000ffff",
                                     "1b0000000000000000",
                                     "1b00000000ffffffff",  // integers
                                     "3800",
                                     "3900ff",
                                     "3a0000ffff",
                                     "3b00000000ffffffff",
                                     "5800",
                                     "580161",
                                     "59000161",
                                     "7800",
                                     "780161",
                                     "7900016"
                                     "1",
                                     "980100",
                                     "9900010"
                                     "0",
                                     "b801616100",
                                     "9b0000000000000000",  // lengths
                                     "5f",
                                     "5fff",
                                     "5f4101ff",
                                     "7f",
                                     "7f6161ff",
                                     "9f",
                                     "9fff",
                                     "9f01ff",
                                     "bf",
                                     "bfff",
                                     "bf616101ff",
                                     "ff",
                                     "81ff",  // indefinite
                                     "1c",
                                     "1d",
                                     "1e",
                                     "1f",
                                     "3c",
                                     "3f",
                                     "5c",
                                     "7d",
                                     "9e",
                                     "bc",
                                     "dc",
                                     "df",  // reserved
                                     "f7",
                                     "f0",
                                     "f3",
                                     "e0",
                                     "f8ff",
                                     "f800",
                                     "f818",
                                     "f814",
                                     "f815",
                                     "f816",
                                     "fc",
                                     "fd",
                                     "fe",  // simple values
                                     "f90000",
                                     "f93c00",
                                     "f97e00",
                                     "f97c00",
                                     "fa3f800000",
                                     "fa7fc00000",
                                     "fa7f800000",  // short floats
                                     "fb7ff8000000000000",
                                     "fb7ff0000000000000",
                                     "fbfff0000000000000",
                                     "fb7ff0000000000001",
                                     "fbffffffffffffffff",  // not finite
                                     "a2616101616102",
                                     "a2616201616102",
                                     "a262616101616202",
                                     "a26161016001",
                                     "a36161016162026161"
                                     "03",  // keys
                                     "a10102",
                                     "a1416101",
                                     "a1f601",
                                     "a18001",
                                     "a1d82a01",
                                     "a1f9000001",  // keys that are not text
                                     "61ff",
                                     "62c328",
                                     "61c3",
                                     "62c080",
                                     "63eda080",
                                     "63edbfbf",
                                     "64f4908080",
                                     "64f0808080",
                                     "65f888808080",
                                     "6180",
                                     "63e28"
                                     "028",
                                     "a161ff01",
                                     "0000",
                                     "f6f6",
                                     "8000",
                                     "a000",
                                     "6000",
                                     "00ff"}) {
    EXPECT_NE(error_of(bad), "accepted") << bad;
  }
}

TEST(DagCbor, ErrorsNameThePlace) {
  EXPECT_EQ(error_of("82011818"
                     "00"),
            "DAG-CBOR at byte 4: there are bytes after the value");
  EXPECT_EQ(error_of("82011817"), "DAG-CBOR at byte 2: a number or length is not in its shortest form");
  EXPECT_EQ(error_of("a2616101616102"), "DAG-CBOR at byte 4: a map key twice");
  EXPECT_EQ(error_of("a2616201616102"), "DAG-CBOR at byte 4: map keys out of order");
  EXPECT_EQ(error_of("8161ff"), "DAG-CBOR at byte 2: text that is not UTF-8");
  EXPECT_EQ(error_of(""), "DAG-CBOR at byte 0: the input ends where a value should be");
}

TEST(DagCbor, LengthsPastTheEndAllocateNothing) {
  for (const std::string_view type : {"5b", "7b", "9b", "bb"}) {
    for (const std::string_view length :
         {"8000000000000000", "7fffffffffffffff", "ffffffffffffffff", "4000000000000000", "0000000100000000"}) {
      EXPECT_NE(error_of(std::string(type) + std::string(length)), "accepted");
      EXPECT_NE(error_of(std::string(type) + std::string(length) + "0000000000000000"), "accepted");
    }
  }
  EXPECT_NE(error_of("9a00100000"
                     "00"),
            "accepted");
  EXPECT_NE(error_of("a3"
                     "616100"
                     "6162"),
            "accepted");
}

TEST(DagCbor, DepthIsBounded) {
  const auto nested_lists = [](std::size_t depth) {
    Bytes bytes(depth, 0x81);
    bytes.push_back(0x00);
    return bytes;
  };
  const auto nested_maps = [](std::size_t depth) {
    Bytes bytes;
    for (std::size_t i = 0; i < depth; ++i) append(bytes, hex("a16161"));
    bytes.push_back(0x00);
    return bytes;
  };
  EXPECT_TRUE(decode(nested_lists(64)).has_value());
  EXPECT_TRUE(decode(nested_maps(64)).has_value());
  for (const std::size_t depth : {std::size_t{65}, std::size_t{10000}, std::size_t{600000}}) {
    const auto lists = decode(nested_lists(depth));
    ASSERT_FALSE(lists.has_value());
    EXPECT_EQ(lists.error().code, ErrorCode::exhausted);
    const auto maps = decode(nested_maps(depth));
    ASSERT_FALSE(maps.has_value());
    EXPECT_EQ(maps.error().code, ErrorCode::exhausted);
  }
  EXPECT_TRUE(decode(nested_lists(16), record_limits).has_value());
  EXPECT_FALSE(decode(nested_lists(17), record_limits).has_value());
  EXPECT_FALSE(decode(Bytes(10000, 0xd8)).has_value());
}

TEST(DagCbor, SizeAndItemsAreBounded) {
  EXPECT_EQ(decode(hex("820102"), {.max_bytes = 2}).error().code, ErrorCode::exhausted);
  EXPECT_TRUE(decode(hex("820102"), {.max_items = 3}).has_value());
  EXPECT_EQ(decode(hex("820102"), {.max_items = 2}).error().code, ErrorCode::exhausted);
  EXPECT_TRUE(decode(hex("a161610"
                         "1"),
                     {.max_items = 3})
                  .has_value());
  EXPECT_EQ(decode(hex("a161610"
                       "1"),
                   {.max_items = 2})
                .error()
                .code,
            ErrorCode::exhausted);
  EXPECT_EQ(error_of("fb3ff8000000000000", record_limits), "DAG-CBOR at byte 0: floats are not allowed in records");
}

/// A value of every kind, nested, from a fixed seed.
Value random_value(std::mt19937_64& random, int depth) {
  switch (random() % (depth > 0 ? 10 : 8)) {
    case 0:
      return Null{};
    case 1:
      return random() % 2 == 0;
    case 2:
      return Integer{random() >> (random() % 64), random() % 2 == 0};
    case 3:
      return static_cast<double>(static_cast<std::int64_t>(random())) / 3;
    case 4:
      return Bytes(random() % 40, static_cast<std::uint8_t>(random()));
    case 5:
      return std::string(random() % 40, static_cast<char>('a' + random() % 26));
    case 6:
      return Cid::of(Multicodec::dag_cbor, Bytes(1, static_cast<std::uint8_t>(random())));
    case 7:
      return "\xe2\x82\xac and \xf0\x9f\x98\x80";
    case 8: {
      List list;
      for (std::uint64_t i = random() % 6; i > 0; --i) list.push_back(random_value(random, depth - 1));
      return list;
    }
    default: {
      Map map;
      for (std::uint64_t i = random() % 6; i > 0; --i)
        map.emplace(std::to_string(random() % 2000), random_value(random, depth - 1));
      return map;
    }
  }
}

TEST(DagCbor, RoundTripAndEveryTruncation) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    const Value value = random_value(random, 5);
    const Bytes bytes = encode(value);
    const auto decoded = decode(bytes);
    ASSERT_TRUE(decoded.has_value()) << to_hex(bytes) << decoded.error().message;
    EXPECT_EQ(*decoded, value);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(decode(ByteView(bytes).first(size)).has_value()) << to_hex(bytes) << " cut at " << size;
    }
  }
}

TEST(DagCbor, WhatIsAcceptedEncodesToTheSameBytes) {
  std::mt19937_64 random(11);
  std::size_t accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = encode(random_value(random, 3));
    for (std::uint64_t edits = 1 + random() % 2; edits > 0; --edits) {
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    }
    const auto decoded = decode(bytes);
    if (!decoded) continue;
    ++accepted;
    ASSERT_EQ(to_hex(encode(*decoded)), to_hex(bytes));
  }
  EXPECT_GT(accepted, 1000U);
}

TEST(DagCborDeath, NotANumberIsOurBug) { EXPECT_DEATH((void)encode(std::nan("")), "dagcbor-encode-finite-float"); }

TEST(Utf8, AtEveryPlaceInLongText) {
  for (std::size_t place = 0; place < 20; ++place) {
    std::string text(24, 'a');
    EXPECT_TRUE(is_utf8(text));
    text.replace(place, 3, "\xe2\x82\xac");
    EXPECT_TRUE(is_utf8(text));
    EXPECT_FALSE(is_utf8(text.substr(0, place + 1)));
    EXPECT_FALSE(is_utf8(text.substr(0, place + 2)));
    text[place] = static_cast<char>(0xff);
    EXPECT_FALSE(is_utf8(text));
  }
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8(std::string_view("\0", 1)));
  EXPECT_TRUE(is_utf8("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"));
}

TEST(Utf8, AnExcerptEndsBetweenCharacters) {
  EXPECT_EQ(utf8_excerpt("", 5), "");
  EXPECT_EQ(utf8_excerpt("plain", 0), "");
  EXPECT_EQ(utf8_excerpt("plain", 3), "pla");
  EXPECT_EQ(utf8_excerpt("plain", 100), "plain");
  const std::string euros = "a\xe2\x82\xac\xe2\x82\xac";
  EXPECT_EQ(utf8_excerpt(euros, 7), euros);
  EXPECT_EQ(utf8_excerpt(euros, 6), euros.substr(0, 4));
  EXPECT_EQ(utf8_excerpt(euros, 5), euros.substr(0, 4));
  EXPECT_EQ(utf8_excerpt(euros, 3), "a");
}

TEST(Utf8, AnExcerptIsUtf8WhateverItIsOf) {
  EXPECT_EQ(utf8_excerpt("a\xff"
                         "b",
                         10),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(utf8_excerpt("\xed\xa0\x80", 10), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") << "a surrogate";
  EXPECT_EQ(utf8_excerpt("ab\xff", 4), "ab") << "no room for the replacement";
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random());
    const std::size_t bound = random() % 50;
    const std::string excerpt = utf8_excerpt(text, bound);
    EXPECT_TRUE(is_utf8(excerpt));
    EXPECT_LE(excerpt.size(), bound);
    if (is_utf8(text)) {
      EXPECT_TRUE(text.starts_with(excerpt));
    }
  }
}

}  // namespace
}  // namespace mesh::dagcbor
