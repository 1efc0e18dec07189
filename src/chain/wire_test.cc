// Messages between replicas: every kind there and back, and what is refused by which name.
#include "chain/wire.h"

#include <gtest/gtest.h>

namespace mesh::chain {
namespace {

Cid federation() { return Cid::of(Multicodec::dag_cbor, as_bytes("a federation")); }

std::string name_of(const Error& error) { return error.message.substr(0, error.message.find(':')); }

template <class T>
std::string refusal(const Result<T>& result) {
  return result ? "taken" : name_of(result.error());
}

message::Blocks answer_of(std::size_t count) {
  message::Blocks answer{.from = 7, .blocks = {}};
  for (std::size_t i = 0; i < count; ++i) answer.blocks.push_back({7 + i, Bytes(i + 1, 1), Bytes(2 * i + 1, 2)});
  return answer;
}

std::vector<Bytes> one_of_each() {
  return {encode(message::Hello{.federation = federation(), .height = 300, .block = sha256(as_bytes("block"))}),
          encode(message::Vote{as_bytes("what consensus says")}),
          encode(message::Transactions{{to_bytes("one"), to_bytes("another")}}),
          encode(message::Ask{.from = 1, .count = 16}),
          encode(answer_of(3)),
          encode(message::AskPart{300, 2})};
}

TEST(Wire, EveryKindComesBackAsItWas) {
  const message::Hello hello{
      .federation = federation(), .height = 300, .block = sha256(as_bytes("block")), .base = 200, .snapshot = 300};
  EXPECT_EQ(std::get<message::Hello>(*decode(encode(hello))), hello);
  const Bytes vote = encode(message::Vote{as_bytes("vote")});
  EXPECT_EQ(as_text(std::get<message::Vote>(*decode(vote)).bytes), "vote");
  const message::Transactions transactions{{to_bytes("one"), {}, to_bytes("another")}};
  EXPECT_EQ(std::get<message::Transactions>(*decode(encode(transactions))), transactions);
  const message::Ask ask{.from = ~Height{0}, .count = max_range_blocks};
  EXPECT_EQ(std::get<message::Ask>(*decode(encode(ask))), ask);
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, max_range_blocks})
    EXPECT_EQ(std::get<message::Blocks>(*decode(encode(answer_of(count)))), answer_of(count));
  const message::AskPart ask_part{.height = ~Height{0}, .part = ~std::uint32_t{0}};
  EXPECT_EQ(std::get<message::AskPart>(*decode(encode(ask_part))), ask_part);
  for (const Bytes& bytes : {Bytes(), to_bytes("piece")}) {
    const message::Part part{.height = 5, .part = 1, .bytes = bytes};
    EXPECT_EQ(std::get<message::Part>(*decode(encode(part))), part);
    EXPECT_EQ(refusal(decode(ByteView(encode(part)).first(12))), "malformed");
  }
}

TEST(Wire, TheLayoutsAreWhatTheDocumentSays) {
  const Bytes hello =
      encode(message::Hello{.federation = federation(), .height = 0x0102, .block = {}, .base = 3, .snapshot = 0x0101});
  ASSERT_EQ(hello.size(), 1U + 36 + 8 + 32 + 8 + 8);
  EXPECT_EQ(hello[0], 1);
  EXPECT_TRUE(equal(ByteView(hello).subspan(1, 36), federation().binary()));
  EXPECT_EQ(to_hex(ByteView(hello).subspan(37, 8)), "0000000000000102");
  EXPECT_EQ(to_hex(ByteView(hello).last(16)), "00000000000000030000000000000101");
  EXPECT_EQ(to_hex(encode(message::Vote{as_bytes("v")})), "0276");
  EXPECT_EQ(to_hex(encode(message::Transactions{{to_bytes("t")}})), "0300010000000174");
  EXPECT_EQ(to_hex(encode(message::Ask{.from = 5, .count = 6})), "0400000000000000050006");
  EXPECT_EQ(to_hex(encode(message::Blocks{5, {{5, to_bytes("c"), to_bytes("b")}}})),
            "05000000000000000500010000000163"
            "0000000162");
  EXPECT_EQ(to_hex(encode(message::AskPart{5, 6})), "06000000000000000500000006");
  EXPECT_EQ(to_hex(encode(message::Part{5, 6, to_bytes("p")})), "0700000000000000050000000670");
  EXPECT_EQ(to_hex(framed(as_bytes("m"))), "000000016d");
}

TEST(Wire, ABatchIsAMessageOfTransactionsWithoutItsKind) {
  const std::vector<Bytes> envelopes{to_bytes("one"), {}, to_bytes("another")};
  const Bytes whole = encode(message::Transactions{envelopes});
  const ByteView batch = ByteView(whole).subspan(1);
  ASSERT_TRUE(decode_batch(batch));
  EXPECT_EQ(*decode_batch(batch), envelopes);
  EXPECT_EQ(refusal(decode_batch({})), "malformed");
  EXPECT_EQ(refusal(decode_batch(Bytes{0, 0})), "malformed");
  EXPECT_EQ(refusal(decode_batch(batch.first(batch.size() - 1))), "malformed");
  Bytes longer = to_bytes(batch);
  longer.push_back(0);
  EXPECT_EQ(refusal(decode_batch(longer)), "malformed");
  const Bytes many = encode(message::Transactions{std::vector<Bytes>(max_batch_transactions + 1)});
  EXPECT_EQ(refusal(decode_batch(ByteView(many).subspan(1))), "malformed");
  const Bytes largest = encode(message::Transactions{{Bytes(max_batch_bytes - 4)}});
  EXPECT_TRUE(decode_batch(ByteView(largest).subspan(1)));
  const Bytes large = encode(message::Transactions{{Bytes(max_batch_bytes - 3)}});
  EXPECT_EQ(refusal(decode_batch(ByteView(large).subspan(1))), "too-large");
}

TEST(Wire, WhatIsCutOrGoesOnIsRefused) {
  for (const Bytes& whole : one_of_each()) {
    const bool vote = whole[0] == 2;  // What is in it is for consensus to read.
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Result<Message> read = decode(ByteView(whole).first(size));
      if (vote && size > 0) continue;
      EXPECT_EQ(refusal(read), "malformed") << "kind " << int{whole[0]} << " cut to " << size;
    }
    Bytes longer = whole;
    longer.push_back(0);
    if (!vote) {
      EXPECT_NE(refusal(decode(longer)), "taken") << "kind " << int{whole[0]};
    }
  }
}

TEST(Wire, WhatIsOutOfItsBoundsIsRefusedByName) {
  EXPECT_EQ(refusal(decode({})), "malformed");
  for (const std::uint8_t kind : {std::uint8_t{0}, std::uint8_t{8}, std::uint8_t{255}})
    EXPECT_EQ(refusal(decode(Bytes{kind, 1, 2})), "unknown-kind");
  EXPECT_EQ(refusal(decode(encode(message::Vote{Bytes(consensus::max_message_bytes)}))), "taken");
  EXPECT_EQ(refusal(decode(encode(message::Vote{Bytes(consensus::max_message_bytes + 1)}))), "too-large");
  EXPECT_EQ(refusal(decode(encode(message::Transactions{}))), "malformed");
  EXPECT_EQ(refusal(decode(encode(message::Transactions{std::vector<Bytes>(max_batch_transactions)}))), "taken");
  EXPECT_EQ(refusal(decode(encode(message::Transactions{std::vector<Bytes>(max_batch_transactions + 1)}))),
            "malformed");
  EXPECT_EQ(refusal(decode(encode(message::Transactions{{Bytes(max_batch_bytes)}}))), "too-large");
  EXPECT_EQ(refusal(decode(encode(message::Ask{.from = 0, .count = 1}))), "malformed");
  EXPECT_EQ(refusal(decode(encode(message::Ask{.from = 1, .count = 0}))), "malformed");
  EXPECT_EQ(refusal(decode(encode(message::Ask{.from = 1, .count = max_range_blocks + 1}))), "malformed");
  EXPECT_EQ(refusal(decode(encode(answer_of(max_range_blocks + 1)))), "malformed");
  EXPECT_EQ(refusal(decode(encode(message::Blocks{0, {}}))), "malformed");
  EXPECT_EQ(refusal(decode(encode(message::AskPart{0, 1}))), "malformed");
  EXPECT_EQ(refusal(decode(encode(message::Part{1, 1, Bytes(max_part_bytes)}))), "taken");
  EXPECT_EQ(refusal(decode(encode(message::Part{1, 1, Bytes(max_part_bytes + 1)}))), "too-large");
  for (const auto& [base, snapshot] : {std::pair<Height, Height>{6, 0}, {0, 6}}) {
    EXPECT_EQ(refusal(decode(encode(message::Hello{
                  .federation = federation(), .height = 5, .block = {}, .base = base, .snapshot = snapshot}))),
              "malformed");
  }
  EXPECT_EQ(refusal(decode(encode(message::Blocks{1, {{1, {}, Bytes(max_range_bytes + 1)}}}))), "too-large");
  // A length that goes far beyond what is there.
  EXPECT_EQ(refusal(decode(*from_hex("030001ffffffff74"))), "malformed");
  Bytes hello = encode(message::Hello{.federation = federation(), .height = 1, .block = {}});
  hello[1] = 9;
  EXPECT_EQ(refusal(decode(hello)), "malformed") << "no CID";
}

TEST(Wire, AStreamIsCutIntoItsMessagesHoweverItComes) {
  Bytes stream;
  for (const Bytes& message : one_of_each()) append(stream, framed(message));
  for (std::size_t piece = 1; piece <= stream.size(); piece += 1 + piece / 7) {
    FrameReader reader;
    std::vector<Bytes> taken;
    for (std::size_t at = 0; at < stream.size(); at += piece)
      ASSERT_TRUE(reader.read(ByteView(stream).subspan(at, std::min(piece, stream.size() - at)), taken));
    EXPECT_EQ(taken, one_of_each()) << "pieces of " << piece;
  }
}

TEST(Wire, AStreamThatCannotBeReadIsRefusedAtItsHead) {
  const auto read = [](std::string_view hex) {
    FrameReader reader;
    std::vector<Bytes> taken;
    const Status first = reader.read(*from_hex(hex), taken);
    if (!first) {
      EXPECT_FALSE(reader.read(framed(encode(message::Ask{.from = 1, .count = 1})), taken)) << "it has ended";
    }
    EXPECT_TRUE(taken.empty());
    return first ? std::string("waits") : name_of(first.error());
  };
  EXPECT_EQ(read("00000000"), "malformed");
  EXPECT_EQ(read("ffffffff"), "waits") << "the kind says what is too large";
  EXPECT_EQ(read("ffffffff02"), "too-large");
  EXPECT_EQ(read("0000000c04"), "too-large") << "no ask has twelve bytes";
  EXPECT_EQ(read("0000000b04"), "waits");
  EXPECT_EQ(read("0000000109"), "unknown-kind");
}

}  // namespace
}  // namespace mesh::chain
