// Spellings of a node's name, hostile ones too; what a signature is good for; the federation's name.
#include "domain/identity/identity.h"

#include <gtest/gtest.h>

namespace mesh::identity {
namespace {

/// The key pair of RFC 8032, section 7.1, test 1. The spellings were computed with Python from the specifications.
const Seed seed = *Seed::from(*from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
const NodeId key = public_key_of(seed);

struct Ping {
  static constexpr std::string_view type = "ping";
  static constexpr std::uint64_t version = 1;
  std::string text;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("text", self.text);
  }
};
struct Pong {
  static constexpr std::string_view type = "pong";
  static constexpr std::uint64_t version = 1;
  std::string text;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("text", self.text);
  }
};

TEST(NodeName, SpellingsAreThoseOfTheSpecifications) {
  EXPECT_EQ(key.hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(did_of(key), "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw");
  EXPECT_EQ(peer_id_of(key), "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV");
  EXPECT_EQ(short_name(key), std::string("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV").substr(52 - 8));
}

TEST(NodeName, BothSpellingsReadBack) {
  EXPECT_EQ(parse_node(did_of(key)), key);
  EXPECT_EQ(parse_node(peer_id_of(key)), key);
  // Another multibase of the same bytes names the same node.
  Bytes bytes{0xed, 0x01};
  append(bytes, key.view());
  EXPECT_EQ(parse_node("did:key:" + multibase_encode(Base::base16, bytes)), key);
}

TEST(NodeName, HostileTextIsRefused) {
  const std::string did = did_of(key);
  const std::string peer = peer_id_of(key);
  std::vector<std::string> texts{"",
                                 "did:key:",
                                 "did:key:z",
                                 "did:web:example.org",
                                 "DID:KEY:" + did.substr(8),
                                 " " + peer,
                                 peer + " ",
                                 peer + "\n",
                                 did + "#key-1",
                                 did + std::string(1, '\0'),
                                 "12D3KooW",
                                 "0" + peer.substr(1),
                                 peer + peer,
                                 std::string(128, '1'),
                                 std::string(129, '1'),
                                 std::string(1 << 20, 'z'),
                                 "\xff\xfe",
                                 "12D3KooW\xc3\xa9"};
  for (const std::string& text : texts) {
    const Result<NodeId> parsed = parse_node(text);
    ASSERT_FALSE(parsed.has_value()) << text.substr(0, 80);
    EXPECT_FALSE(parsed.error().message.empty());
  }
  for (std::size_t size = 0; size < did.size(); ++size)
    EXPECT_FALSE(parse_node(did.substr(0, size)).has_value()) << size;
  for (std::size_t size = 0; size < peer.size(); ++size)
    EXPECT_FALSE(parse_node(peer.substr(0, size)).has_value()) << size;
}

TEST(NodeName, OtherKindsOfKeysAreRefused) {
  const auto did_with = [](Bytes prefix, std::size_t size) {
    prefix.resize(prefix.size() + size, 9);
    return "did:key:" + multibase_encode(Base::base58btc, prefix);
  };
  EXPECT_FALSE(parse_node(did_with({0xe7, 0x01}, 33)).has_value()) << "secp256k1";
  EXPECT_FALSE(parse_node(did_with({0x80, 0x24}, 33)).has_value()) << "P-256";
  EXPECT_FALSE(parse_node(did_with({0xec, 0x01}, 32)).has_value()) << "X25519";
  EXPECT_FALSE(parse_node(did_with({0xed, 0x01}, 31)).has_value());
  EXPECT_FALSE(parse_node(did_with({0xed, 0x01}, 33)).has_value());
  // A PeerId that is a SHA-256 multihash (of an RSA key), and one whose protobuf says another key type.
  Bytes sha{0x12, 0x20};
  sha.resize(34, 5);
  EXPECT_FALSE(parse_node(base58btc_encode(sha)).has_value());
  Bytes secp{0x00, 0x24, 0x08, 0x02, 0x12, 0x20};
  append(secp, key.view());
  EXPECT_FALSE(parse_node(base58btc_encode(secp)).has_value());
}

TEST(NodeName, KeysThatStandForNobodyAreRefused) {
  // The neutral element and the other points of small order, and 32 bytes that are no point.
  for (const std::string_view hex : {"0100000000000000000000000000000000000000000000000000000000000000",
                                     "0000000000000000000000000000000000000000000000000000000000000000",
                                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "0200000000000000000000000000000000000000000000000000000000000000"}) {
    const NodeId bad = *NodeId::from(*from_hex(hex));
    ASSERT_FALSE(parse_node(peer_id_of(bad)).has_value()) << hex;
    EXPECT_NE(parse_node(did_of(bad)).error().message.find("no valid identity"), std::string::npos);
  }
}

TEST(Signer, WhatItSignsOpensForItsTypeAndFederationAlone) {
  const Cid federation = *derive_federation("local", Cid::of(Multicodec::dag_cbor, {}));
  const Cid other = *derive_federation("other", Cid::of(Multicodec::dag_cbor, {}));
  const Signer signer(seed, federation);
  const Signed<Ping> ping = signer.sign(Ping{.text = "hello"});
  EXPECT_EQ(ping.signer, key);
  EXPECT_EQ(ping.cid, ping.envelope.cid());
  const auto opened = open<Ping>(ping.envelope, federation);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(opened->record.text, "hello");
  EXPECT_EQ(open<Ping>(ping.envelope, other).error().code, ErrorCode::unauthorised);
  EXPECT_EQ(open<Pong>(ping.envelope, federation).error().message, "this is a \"ping\", not a \"pong\"");
  // The body of one type under a signature that was given for another.
  Envelope crossed = signer.seal(Pong{.text = "hello"});
  crossed.body = ping.envelope.body;
  EXPECT_EQ(open<Ping>(crossed, federation).error().code, ErrorCode::unauthorised);
  Envelope stolen = ping.envelope;
  stolen.key = public_key_of(*Seed::from(Bytes(32, 1)));
  EXPECT_EQ(open<Ping>(stolen, federation).error().code, ErrorCode::unauthorised);
}

TEST(Signer, TextThatIsNotUtf8DoesNotOpen) {
  const Cid federation = *derive_federation("local", Cid::of(Multicodec::dag_cbor, {}));
  const Signer signer(seed, federation);
  for (const std::string_view text : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xe2\x82"}) {
    const Result<Signed<Ping>> opened = open<Ping>(signer.seal(Ping{.text = std::string(text)}), federation);
    ASSERT_FALSE(opened.has_value());
    EXPECT_NE(opened.error().message.find("text that is not UTF-8"), std::string::npos) << opened.error().message;
  }
}

TEST(Signer, SecretsDifferByNodeDomainAndParts) {
  const Cid federation = Cid::of(Multicodec::dag_cbor, {});
  const Signer signer(seed, federation);
  const Signer same(seed, *derive_federation("other", federation));
  const Signer other(*Seed::from(Bytes(32, 1)), federation);
  const Bytes a{1};
  const Bytes b{2};
  const Digest secret = signer.secret("domain", {a, b});
  EXPECT_EQ(signer.secret("domain", {a, b}), secret) << "derived again after a restart";
  EXPECT_NE(other.secret("domain", {a, b}), secret);
  EXPECT_NE(signer.secret("domain2", {a, b}), secret);
  EXPECT_NE(signer.secret("domain", {b, a}), secret);
  EXPECT_NE(signer.secret("domain", {Bytes{1, 2}}), secret) << "the parts' borders count";
  EXPECT_EQ(same.secret("domain", {a, b}), secret)
      << "of the key alone: the parts name the task, and it the federation";
}

TEST(Federation, IsNamedByItsCharter) {
  const Cid policy = Cid::of(Multicodec::dag_cbor, as_bytes("policy"));
  const Cid local = *derive_federation("local", policy);
  EXPECT_EQ(local.codec(), Multicodec::dag_cbor);
  EXPECT_EQ(derive_federation("local", policy), local);
  EXPECT_NE(derive_federation("local", Cid::of(Multicodec::dag_cbor, as_bytes("other policy"))), local);
  EXPECT_NE(derive_federation("loca1", policy), local);
  EXPECT_TRUE(derive_federation("a", policy).has_value());
  EXPECT_TRUE(derive_federation(std::string(64, '-'), policy).has_value());
}

TEST(Federation, WithoutALedgerItIsCalledAsEver) {
  // The bytes of the charter from before it could name a ledger, put together by hand.
  EXPECT_EQ(derive_federation("local", Cid::of(Multicodec::dag_cbor, as_bytes("policy")))->text(),
            "bafyreifackodfvimuxadgmlvb6lt5ydzhdnztpfanv46gyi7bumnlcfsum");
  const Charter charter{.name = "local", .ledger = Cid::of(Multicodec::dag_cbor, as_bytes("genesis"))};
  EXPECT_EQ(record::decode<Charter>(record::encode(charter))->ledger, charter.ledger);
  EXPECT_NE(record::encode(charter), record::encode(Charter{.name = "local"}));
}

TEST(Federation, OtherNamesAreRefused) {
  const Cid policy;
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("Local"), std::string("a b"),
                                  std::string("a_b"), std::string("a/b"), std::string("\xc3\xa9"),
                                  std::string("a\0b", 3), std::string("a.b"), std::string("local\n")}) {
    const Result<Cid> federation = derive_federation(name, policy);
    ASSERT_FALSE(federation.has_value()) << name;
    EXPECT_EQ(federation.error().message, "a federation's name has 1 to 64 characters of a-z, 0-9 and '-'");
  }
}

}  // namespace
}  // namespace mesh::identity
