#include "domain/asset/bitswap_message.h"

#include <gtest/gtest.h>

#include <random>

#include "domain/asset/protobuf.h"

namespace mesh::asset {
namespace {

const Cid leaf = Cid::of(Multicodec::raw, as_bytes("leaf"));

Bytes v0_of(const Cid& cid) {
  Bytes bytes = cid.bytes();
  return {bytes.begin() + 2, bytes.end()};
}

BitswapMessage everything() {
  BitswapMessage message;
  message.wants = {{.cid = leaf.bytes()},
                   {.cid = leaf.bytes(), .priority = 2'147'483'647, .have = true, .send_dont_have = true},
                   {.cid = v0_of(leaf), .priority = 0, .cancel = true}};
  message.is_full = true;
  message.blocks = {{.prefix = prefix_of_want(leaf.bytes()), .data = to_bytes("leaf")}, {.prefix = {1}, .data = {}}};
  message.presences = {{.cid = leaf.bytes(), .has = true}, {.cid = {1, 2, 3}, .has = false}};
  message.pending_bytes = 77;
  return message;
}

/// A field of bytes within fields of bytes.
Bytes nested(std::uint32_t outer, std::uint32_t inner, ByteView bytes) {
  Bytes in;
  protobuf::put_bytes(in, inner, bytes);
  Bytes out;
  protobuf::put_bytes(out, outer, in);
  return out;
}

TEST(BitswapMessage, WhatIsWrittenIsRead) {
  const Bytes bytes = encode_bitswap(everything());
  EXPECT_EQ(*decode_bitswap(bytes), everything());
  EXPECT_EQ(*decode_bitswap({}), BitswapMessage{});
  EXPECT_TRUE(encode_bitswap({}).empty());
  EXPECT_TRUE(BitswapMessage{}.is_empty());
  EXPECT_FALSE(everything().is_empty());
}

TEST(BitswapMessage, TheBytesAreThoseOfTheSpecification) {
  // Written by hand from the protobuf of the specification: one want with all its fields, and one presence.
  BitswapMessage message;
  message.wants = {{.cid = {0xaa}, .priority = 1, .cancel = true, .have = true, .send_dont_have = true}};
  message.presences = {{.cid = {0xbb}, .has = false}};
  EXPECT_EQ(to_hex(encode_bitswap(message)),
            "0a0d0a0b0a01aa1001180120012801"
            "22050a01bb1001");
}

TEST(BitswapMessage, UnknownFieldsArePassedOverAndOthersWrittenOutAreRead) {
  Bytes entry;
  protobuf::put_varint(entry, 3, 0);  // What others write out though it is the default.
  protobuf::put_bytes(entry, 1, leaf.bytes());
  protobuf::put_varint(entry, 4, 0);
  protobuf::put_bytes(entry, 9, as_bytes("later"));
  Bytes bytes = nested(1, 1, entry);
  protobuf::put_bytes(bytes, 2, as_bytes("a block of version 1.0"));
  protobuf::put_varint(bytes, 50, 3);
  const auto message = decode_bitswap(bytes);
  ASSERT_TRUE(message) << message.error().message;
  ASSERT_EQ(message->wants.size(), 1U);
  EXPECT_EQ(message->wants[0], (BitswapMessage::Want{.cid = leaf.bytes()}));
  EXPECT_TRUE(message->blocks.empty());
}

TEST(BitswapMessage, WhatIsMalformedIsRefused) {
  Bytes number;
  protobuf::put_varint(number, 1, 5);
  Bytes priority;
  protobuf::put_bytes(priority, 1, leaf.bytes());
  protobuf::put_varint(priority, 2, std::uint64_t{1} << 31);
  Bytes type;
  protobuf::put_bytes(type, 1, leaf.bytes());
  protobuf::put_varint(type, 4, 2);
  Bytes pending;
  protobuf::put_varint(pending, 5, std::uint64_t{1} << 31);
  const std::vector<std::pair<std::string, Bytes>> bad{
      {"a wantlist that is a number", number},
      {"an entry that is a number", nested(1, 1, number)},
      {"an entry without a CID", nested(1, 1, {})},
      {"an entry with an empty CID", nested(1, 1, Bytes{0x0a, 0})},
      {"a CID of 161 bytes", nested(1, 1,
                                    [] {
                                      Bytes in;
                                      protobuf::put_bytes(in, 1, Bytes(161, 1));
                                      return in;
                                    }())},
      {"a priority past int32", nested(1, 1, priority)},
      {"an unknown type of want", nested(1, 1, type)},
      {"a block with an empty prefix", nested(3, 1, {})},
      {"a block without a prefix", nested(3, 2, as_bytes("data"))},
      {"a presence without a CID", nested(4, 2, {})},
      {"pending bytes past int32", pending},
      {"a wire type of protobuf that is not used", Bytes{0x0d, 0, 0, 0, 0}},
      {"a length past the end", Bytes{0x0a, 0x7f}},
      {"a varint that does not end", Bytes(12, 0xff)},
      {"more than 4 MiB", Bytes(max_bitswap_message_bytes + 1)},
  };
  for (const auto& [what, bytes] : bad) EXPECT_FALSE(decode_bitswap(bytes)) << what;
}

TEST(BitswapMessage, EveryCutIsRefusedOrReadsAsLess) {
  const Bytes whole = encode_bitswap(everything());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto message = decode_bitswap(ByteView(whole).first(size));
    if (message) {
      EXPECT_NE(*message, everything()) << size;
    }
  }
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    Bytes changed = whole;
    for (int i = 0; i < 3; ++i) changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
    const auto message = decode_bitswap(changed);
    if (!message) continue;
    // What was read is in its bounds, and can be said again.
    EXPECT_LE(message->wants.size(), max_bitswap_entries);
    const auto again = decode_bitswap(encode_bitswap(*message));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *message);
  }
}

TEST(BitswapMessage, OfWantsAndPresencesTheFirstThousandAreHeard) {
  BitswapMessage message;
  for (std::uint32_t i = 0; i < 3'000; ++i) {
    message.wants.push_back({.cid = {1}, .priority = i});
    message.presences.push_back({.cid = {2}, .has = true});
  }
  const auto read = decode_bitswap(encode_bitswap(message));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->wants.size(), max_bitswap_entries);
  EXPECT_EQ(read->wants.back().priority, max_bitswap_entries - 1);
  EXPECT_EQ(read->presences.size(), max_bitswap_entries);
}

TEST(BitswapMessage, CidsOfBothVersionsAreNamedAndAnsweredAsTheyWereAsked) {
  const Bytes node = to_bytes("\x0a\x00");
  const Cid cid = Cid::of(Multicodec::dag_pb, node);
  for (const Bytes& asked : {cid.bytes(), v0_of(cid)}) {
    EXPECT_EQ(cid_of_want(asked), cid);
    EXPECT_EQ(cid_of_block({.prefix = prefix_of_want(asked), .data = node}), cid);
  }
  EXPECT_EQ(prefix_of_want(v0_of(cid)), (Bytes{0, 0x70, 0x12, 0x20}));
  EXPECT_EQ(prefix_of_want(leaf.bytes()), (Bytes{1, 0x55, 0x12, 0x20}));
  // Other data has another CID: it never passes for what was asked.
  EXPECT_NE(cid_of_block({.prefix = prefix_of_want(leaf.bytes()), .data = to_bytes("liar")}), leaf);

  Bytes sha512 = leaf.bytes();
  sha512[2] = 0x13;
  Bytes longer = leaf.bytes();
  longer.push_back(0);
  Bytes shorter = leaf.bytes();
  shorter.pop_back();
  for (const Bytes& foreign : {sha512, longer, shorter, Bytes{1}, Bytes{1, 0x55, 0, 0}})
    EXPECT_EQ(cid_of_want(foreign), std::nullopt) << to_hex(foreign);
  for (const Bytes& prefix : {Bytes{}, Bytes{1, 0x55, 0x13, 0x40}, Bytes{2, 0x55, 0x12, 0x20}, Bytes{1, 0x55, 0x12},
                              Bytes{1, 0x72, 0x12, 0x20}, Bytes{0, 0x55, 0x12, 0x20}})
    EXPECT_EQ(cid_of_block({.prefix = prefix, .data = to_bytes("leaf")}), std::nullopt) << to_hex(prefix);
}

}  // namespace
}  // namespace mesh::asset
