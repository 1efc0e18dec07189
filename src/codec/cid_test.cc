#include "codec/cid.h"

#include <gtest/gtest.h>

#include "codec/dagcbor.h"
#include "codec/multibase.h"

namespace mesh {
namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

TEST(Cid, KnownNames) {
  // Kubo: `printf '' | ipfs add --cid-version 1`, `echo hello world | ipfs add --cid-version 1`.
  EXPECT_EQ(Cid::of(Multicodec::raw, {}).text(), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
  EXPECT_EQ(Cid::of(Multicodec::raw, as_bytes("hello world\n")).text(),
            "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4");
  // The empty UnixFS directory, in both versions' spellings.
  const auto v0 = Cid::from_text("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
  ASSERT_TRUE(v0.has_value()) << v0.error().message;
  EXPECT_EQ(v0->text(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
  EXPECT_EQ(*v0, Cid::of(Multicodec::dag_pb, hex("0a020801")));
}

TEST(Cid, EveryTextFormReadsBack) {
  const Cid cid = Cid::of(Multicodec::dag_cbor, as_bytes("x"));
  for (const Base base : {Base::base16, Base::base32, Base::base58btc, Base::base64url}) {
    EXPECT_EQ(Cid::from_text(multibase_encode(base, cid.bytes())), cid);
  }
  EXPECT_FALSE(Cid::from_text(multibase_encode(Base::base64, cid.bytes())).has_value());
}

TEST(Cid, RefusesEveryTruncationAndExtension) {
  const Bytes bytes = Cid::of(Multicodec::raw, as_bytes("x")).bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Cid::from_bytes(ByteView(bytes).first(size)).has_value());
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(Cid::from_bytes(longer).has_value());
  const std::string text = Cid::of(Multicodec::raw, as_bytes("x")).text();
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(Cid::from_text(text.substr(0, size)).has_value());
  }
}

TEST(Cid, RefusesWhatMeshworkDoesNotName) {
  const Bytes good = Cid::of(Multicodec::raw, as_bytes("x")).bytes();
  const auto with = [&](std::size_t at, std::uint8_t byte) {
    Bytes bad = good;
    bad[at] = byte;
    return Cid::from_bytes(bad).has_value();
  };
  EXPECT_TRUE(with(1, 0x70));
  EXPECT_FALSE(with(0, 0));
  EXPECT_FALSE(with(0, 2));
  EXPECT_FALSE(with(0, 0x81));  // The first byte of an overlong varint.
  EXPECT_FALSE(with(1, 0x72));  // libp2p-key
  EXPECT_FALSE(with(2, 0x13));  // sha2-512
  EXPECT_FALSE(with(2, 0x00));  // identity
  EXPECT_FALSE(with(3, 31));
}

TEST(Cid, RefusesBadText) {
  const std::string good = Cid::of(Multicodec::raw, as_bytes("x")).text();
  for (const std::string& bad :
       {std::string(), std::string("b"), std::string("Q"), "B" + good.substr(1), "b" + std::string(58, 'a'), good + "a",
        good + "=", " " + good, good + "\n", std::string(1, 'b') + "A" + good.substr(2), std::string(100000, 'z'),
        std::string("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N0"),
        std::string("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N"),
        std::string("Qmzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz")}) {
    EXPECT_FALSE(Cid::from_text(bad).has_value()) << bad.substr(0, 80);
  }
}

TEST(Cid, LeadingCid) {
  const Cid cid = Cid::of(Multicodec::dag_pb, as_bytes("x"));
  Bytes bytes = cid.bytes();
  append(bytes, as_bytes("rest"));
  const auto v1 = leading_cid(bytes);
  ASSERT_TRUE(v1.has_value());
  EXPECT_EQ(v1->cid, cid);
  EXPECT_EQ(v1->size, 36U);
  const auto v0 = leading_cid(ByteView(bytes).subspan(2));
  ASSERT_TRUE(v0.has_value());
  EXPECT_EQ(v0->cid, cid);
  EXPECT_EQ(v0->size, 34U);
  for (std::size_t size = 0; size < 36; ++size) EXPECT_FALSE(leading_cid(ByteView(bytes).first(size)).has_value());
}

TEST(Cid, NullNamesNothing) {
  EXPECT_TRUE(Cid{}.is_null());
  EXPECT_FALSE(Cid::of(Multicodec::raw, {}).is_null());
  EXPECT_FALSE(Cid{}.matches({}));
}

TEST(IsCid, Structure) {
  EXPECT_TRUE(dagcbor::is_cid(hex("01550000")));                                    // identity, empty
  EXPECT_TRUE(dagcbor::is_cid(hex("0171000401020304")));                            // identity, four bytes
  EXPECT_TRUE(
      dagcbor::is_cid(hex("01"
                          "8001"
                          "12"
                          "02"
                          "aabb")));                  // a codec of two bytes
  EXPECT_FALSE(
      dagcbor::is_cid(hex("01"
                          "800100"
                          "12"
                          "02"
                          "aabb")));
  EXPECT_FALSE(
      dagcbor::is_cid(hex("01"
                          "8000"
                          "12"
                          "02"
                          "aabb")));                 // overlong codec
  EXPECT_FALSE(
      dagcbor::is_cid(hex("8100"
                          "55"
                          "12"
                          "02"
                          "aabb")));                 // overlong version
  EXPECT_FALSE(
      dagcbor::is_cid(hex("00"
                          "55"
                          "12"
                          "02"
                          "aabb")));
  EXPECT_FALSE(
      dagcbor::is_cid(hex("02"
                          "55"
                          "12"
                          "02"
                          "aabb")));
  EXPECT_FALSE(dagcbor::is_cid(hex("01551202aa")));
  EXPECT_FALSE(dagcbor::is_cid(hex("01551202aabbcc")));
  EXPECT_FALSE(
      dagcbor::is_cid(hex("0155"
                          "12"
                          "ffffffffffffffff7f")));             // a length of 2^63 - 1
  EXPECT_FALSE(
      dagcbor::is_cid(hex("0155"
                          "12"
                          "ffffffffffffffffff01")));           // past 63 bits
  EXPECT_FALSE(dagcbor::is_cid({}));
}

}  // namespace
}  // namespace mesh
