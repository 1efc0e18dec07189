#include "codec/ed25519.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "codec/envelope.h"

namespace mesh {
namespace {

template <class T>
T fixed(std::string_view hex) {
  return T::from(from_hex(hex).value()).value();
}

struct Rfc8032 {
  std::string_view seed, key, message, signature;
};
constexpr Rfc8032 rfc8032[] = {{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39"
                                "701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
                               {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
                                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f36"
                                "13d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
                               {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
                                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7"
                                "60984dc6594a7c15e9716ed28dc027beceea1ec40a"}};

TEST(Ed25519, Rfc8032Vectors) {
  for (const Rfc8032& vector : rfc8032) {
    const auto seed = fixed<Seed>(vector.seed);
    const auto key = fixed<PublicKey>(vector.key);
    const Bytes message = from_hex(vector.message).value();
    EXPECT_EQ(public_key_of(seed), key);
    EXPECT_EQ(sign(seed, message).hex(), vector.signature);
    EXPECT_TRUE(verify(key, message, fixed<Signature>(vector.signature)));
    EXPECT_TRUE(can_be_identity(key));
    EXPECT_FALSE(is_small_order(key));
  }
}

TEST(Ed25519, EveryFlippedBitIsRefused) {
  const auto seed = fixed<Seed>(rfc8032[0].seed);
  const PublicKey key = public_key_of(seed);
  const Bytes message = to_bytes("message");
  const Signature good = sign(seed, message);
  for (std::size_t bit = 0; bit < 512; ++bit) {
    Signature bad = good;
    bad.data()[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(verify(key, message, bad)) << bit;
  }
  EXPECT_FALSE(verify(key, as_bytes("massage"), good));
}

TEST(Ed25519, ScalarPastTheOrderIsRefused) {
  const auto seed = fixed<Seed>(rfc8032[1].seed);
  Signature signature = sign(seed, as_bytes("m"));
  // s + L: the same equation, another encoding; every rule since RFC 8032 refuses it.
  const Bytes order = from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").value();
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += static_cast<unsigned>(signature.data()[32 + i]) + order[i];
    signature.data()[32 + i] = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  EXPECT_FALSE(verify(public_key_of(seed), as_bytes("m"), signature));
}

// The 14 encodings of the 8 points of small order: 8 canonical ones, then 6 that are not.
constexpr std::string_view small_order[] = {"0100000000000000000000000000000000000000000000000000000000000000",
                                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                            "0000000000000000000000000000000000000000000000000000000000000000",
                                            "0000000000000000000000000000000000000000000000000000000000000080",
                                            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                                            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
                                            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                                            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
                                            "0100000000000000000000000000000000000000000000000000000000000080",
                                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                                            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                                            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"};

TEST(Ed25519, Zip215SmallOrderPairs) {
  // ZIP-215's own test: every pair (A, R) of such encodings with s = 0 verifies, for any message.
  for (const std::string_view key : small_order) {
    EXPECT_FALSE(can_be_identity(fixed<PublicKey>(key))) << key;
    EXPECT_TRUE(is_small_order(fixed<PublicKey>(key))) << key;
    for (const std::string_view r : small_order) {
      EXPECT_TRUE(
          verify(fixed<PublicKey>(key), as_bytes("Zcash"), fixed<Signature>(std::string(r) + std::string(64, '0'))))
          << key << r;
    }
  }
}

TEST(Ed25519, WhatIsNoPointIsNoKey) {
  const auto no_point = fixed<PublicKey>("0200000000000000000000000000000000000000000000000000000000000000");
  EXPECT_FALSE(can_be_identity(no_point));
  EXPECT_FALSE(is_small_order(no_point)) << "it is no point at all";
  EXPECT_FALSE(verify(no_point, {}, Signature{}));
}

struct Ping {
  static constexpr std::string_view type = "ping";
  static constexpr std::uint64_t version = 1;
  std::uint64_t count = 0;
  std::optional<Cid> about;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("count", self.count);
    v("about", self.about);
  }
  bool operator==(const Ping&) const = default;
};
struct Pong : Ping {
  static constexpr std::string_view type = "pong";
};

class EnvelopeTest : public testing::Test {
 protected:
  Seed seed_ = fixed<Seed>(rfc8032[0].seed);
  PublicKey key_ = public_key_of(seed_);
  Cid federation_ = Cid::of(Multicodec::dag_cbor, as_bytes("federation"));
  Ping ping_{.count = 7, .about = Cid::of(Multicodec::raw, {})};
};

TEST_F(EnvelopeTest, OpensWhatWasSealed) {
  const Envelope envelope = seal(ping_, federation_, seed_, key_);
  const auto opened = open<Ping>(envelope, federation_);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(opened->record, ping_);
  EXPECT_EQ(opened->signer, key_);
  EXPECT_EQ(opened->cid, Cid::of(Multicodec::dag_cbor, envelope.body));
  EXPECT_EQ(record::decode<Envelope>(record::encode(envelope)), envelope);
  EXPECT_EQ(type_of(envelope.body), "ping");
}

TEST_F(EnvelopeTest, SigningInputIsAsDocumented) {
  Bytes expected = to_bytes(std::string_view("meshwork/1\0ping\0", 16));
  append(expected, federation_.bytes());
  expected.push_back(0);
  append(expected, sha256(as_bytes("body")).view());
  EXPECT_EQ(signing_input("ping", federation_, as_bytes("body")), expected);
}

TEST_F(EnvelopeTest, ASignatureMeansOneThing) {
  const Envelope envelope = seal(ping_, federation_, seed_, key_);
  EXPECT_TRUE(check_signature(envelope, "ping", federation_).has_value());
  EXPECT_FALSE(check_signature(envelope, "pong", federation_).has_value());
  EXPECT_FALSE(check_signature(envelope, "ping", Cid::of(Multicodec::dag_cbor, {})).has_value());
  EXPECT_FALSE(check_signature(envelope, "ping", Cid(Multicodec::raw, federation_.digest())).has_value());
  EXPECT_FALSE(check_signature(envelope, "", federation_).has_value());
  EXPECT_FALSE(check_signature(envelope, std::string_view("pi\0ng", 5), federation_).has_value());
  EXPECT_FALSE(open<Pong>(envelope, federation_).has_value());
  Envelope other_key = envelope;
  other_key.key = public_key_of(fixed<Seed>(rfc8032[1].seed));
  EXPECT_FALSE(open<Ping>(other_key, federation_).has_value());
  Envelope other_body = envelope;
  other_body.body = record::encode(Ping{.count = 8, .about = {}});
  EXPECT_EQ(open<Ping>(other_body, federation_).error().code, ErrorCode::unauthorised);
}

TEST_F(EnvelopeTest, ASmallOrderKeySignsNothing) {
  Envelope envelope = seal(ping_, federation_, seed_, key_);
  for (const std::string_view key : small_order) {
    envelope.key = fixed<PublicKey>(key);
    envelope.sig = fixed<Signature>(std::string(small_order[0]) + std::string(64, '0'));
    EXPECT_TRUE(verify(envelope.key, signing_input("ping", federation_, envelope.body), envelope.sig));
    EXPECT_EQ(open<Ping>(envelope, federation_).error().code, ErrorCode::unauthorised);
  }
}

TEST_F(EnvelopeTest, ManyAreCheckedTogetherAndEachAsByItself) {
  std::vector<Envelope> envelopes;
  for (std::uint64_t n = 0; n < 70; ++n) {
    const Seed seed = Seed::from(sha256(as_bytes("seed " + std::to_string(n % 9))).view()).value();
    envelopes.push_back(seal(Ping{.count = n, .about = {}}, federation_, seed, public_key_of(seed)));
  }
  const std::vector<Digest> all = held_signatures(envelopes, federation_);
  EXPECT_EQ(all.size(), 70U);
  EXPECT_EQ(held_signatures(envelopes, federation_), all);
  EXPECT_TRUE(held_signatures({}, federation_).empty());
  EXPECT_TRUE(held_signatures(envelopes, Cid::of(Multicodec::dag_cbor, {})).empty());
  // Each kind of damage takes out the one and no other.
  const std::vector<std::function<void(Envelope&)>> damages{
      [](Envelope& envelope) { envelope.sig.data()[0] ^= 1; },
      [](Envelope& envelope) { envelope.sig.data()[63] ^= 0x80; },
      [](Envelope& envelope) { envelope.key = fixed<PublicKey>(small_order[1]); },
      [](Envelope& envelope) { envelope.key.data()[3] ^= 1; },
      [](Envelope& envelope) { envelope.body = record::encode(Ping{.count = 1000, .about = {}}); },
      [](Envelope& envelope) { envelope.body.clear(); },
      [&](Envelope& envelope) { envelope.sig = envelopes[10].sig; }};
  for (std::size_t i = 0; i < damages.size(); ++i) {
    std::vector<Envelope> damaged = envelopes;
    damages[i](damaged[20]);
    std::vector<Digest> expected = all;
    expected.erase(expected.begin() + 20);
    EXPECT_EQ(held_signatures(damaged, federation_), expected) << i;
    EXPECT_FALSE(check_signature(damaged[20], "ping", federation_)) << i;
  }
}

TEST_F(EnvelopeTest, WhatIsHeldIsNotCheckedAgainOnThisThread) {
  // A signature that does not hold, claimed to: only so can it be seen that it is not looked at.
  Envelope forged = seal(ping_, federation_, seed_, key_);
  forged.sig.data()[5] ^= 1;
  const std::array<Digest, 1> claimed{
      sha256({forged.key.view(), forged.sig.view(), signing_input("ping", federation_, forged.body)})};
  EXPECT_FALSE(check_signature(forged, "ping", federation_));
  hold_signatures(claimed);
  EXPECT_TRUE(check_signature(forged, "ping", federation_));
  EXPECT_FALSE(check_signature(forged, "pong", federation_));
  bool elsewhere = true;
  std::thread([&] { elsewhere = check_signature(forged, "ping", federation_).has_value(); }).join();
  EXPECT_FALSE(elsewhere);
}

TEST_F(EnvelopeTest, BodiesAreReadStrictly) {
  const auto refused = [&](const dagcbor::Value& value) {
    return !open<Ping>(seal_bytes("ping", dagcbor::encode(value), federation_, seed_, key_), federation_).has_value();
  };
  using dagcbor::Map;
  EXPECT_FALSE(refused(Map{{"type", "ping"}, {"v", 1}, {"count", 1}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 1}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 2}, {"count", 1}}));
  EXPECT_TRUE(refused(Map{{"type", "pong"}, {"v", 1}, {"count", 1}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 1}, {"count", -1}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 1}, {"count", 1.0}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 1}, {"count", "1"}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 1}, {"count", 1}, {"more", 1}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 1}, {"count", 1}, {"about", dagcbor::Null{}}}));
  EXPECT_TRUE(refused(Map{{"type", "ping"}, {"v", 1}, {"count", 1}, {"about", dagcbor::Link{Bytes{1, 0x55, 0, 0}}}}));
  EXPECT_TRUE(refused(dagcbor::List{}));
  EXPECT_FALSE(type_of(dagcbor::encode(Map{{"type", std::string(65, 'a')}})).has_value());
  EXPECT_FALSE(type_of(dagcbor::encode(Map{{"type", std::string_view("a\0b", 3)}})).has_value());
  EXPECT_FALSE(type_of(dagcbor::encode(Map{{"type", 1}})).has_value());
  EXPECT_FALSE(type_of({}).has_value());
}

TEST_F(EnvelopeTest, EveryTruncationIsRefused) {
  const Bytes bytes = record::encode(seal(ping_, federation_, seed_, key_));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(record::decode<Envelope>(ByteView(bytes).first(size)).has_value());
  }
}

}  // namespace
}  // namespace mesh
