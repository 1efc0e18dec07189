#include "codec/car.h"

#include <gtest/gtest.h>

#include "codec/dagcbor.h"

namespace mesh::car {
namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

Archive sample() {
  const Bytes a = to_bytes("a");
  const Bytes empty;
  const Bytes record = dagcbor::encode(dagcbor::List{Cid::of(Multicodec::raw, a), Cid::of(Multicodec::raw, empty)});
  const Bytes large(max_block_bytes, 7);
  Archive archive{.roots = {dagcbor::cid_of(record)}, .blocks = {}};
  archive.blocks.push_back({dagcbor::cid_of(record), record});
  archive.blocks.push_back({Cid::of(Multicodec::raw, a), a});
  archive.blocks.push_back({Cid::of(Multicodec::raw, empty), empty});
  archive.blocks.push_back({Cid::of(Multicodec::raw, large), large});
  return archive;
}

void expect_equal(const Archive& left, const Archive& right) {
  EXPECT_EQ(left.roots, right.roots);
  ASSERT_EQ(left.blocks.size(), right.blocks.size());
  for (std::size_t i = 0; i < left.blocks.size(); ++i) {
    EXPECT_EQ(left.blocks[i].cid, right.blocks[i].cid);
    EXPECT_EQ(left.blocks[i].bytes, right.blocks[i].bytes);
  }
}

TEST(Car, RoundTrip) {
  const auto archive = read(write(sample()));
  ASSERT_TRUE(archive.has_value()) << archive.error().message;
  expect_equal(*archive, sample());
}

TEST(Car, HeaderIsTheSpecifications) {  // {roots: [cid], version: 1}, 58 = 0x3a bytes for one root.
  const Cid root = Cid::of(Multicodec::raw, {});
  EXPECT_EQ(to_hex(header(std::vector{root})),
            "3aa265726f6f747381d82a582500" + to_hex(root.bytes()) + "6776657273696f6e01");
}

TEST(Car, AnyCutOfTheInputGivesTheSame) {
  Archive small = sample();
  small.blocks.pop_back();
  const Bytes bytes = write(small);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    Reader reader;
    ASSERT_TRUE(reader.feed(ByteView(bytes).first(cut)).has_value());
    const bool whole_before = reader.at_boundary();
    ASSERT_TRUE(reader.feed(ByteView(bytes).subspan(cut)).has_value());
    EXPECT_TRUE(reader.at_boundary());
    Archive got{.roots = reader.roots(), .blocks = {}};
    while (auto block = reader.next()) got.blocks.push_back(std::move(*block));
    expect_equal(got, small);
    EXPECT_EQ(whole_before, read(ByteView(bytes).first(cut)).has_value()) << cut;
  }
  Reader reader;
  std::size_t blocks = 0;
  for (const std::uint8_t byte : bytes) {
    ASSERT_TRUE(reader.feed(ByteView(&byte, 1)).has_value());
    while (reader.next()) ++blocks;
  }
  EXPECT_EQ(blocks, 3U);
}

TEST(Car, AWrongBlockIsNamedAndFinal) {
  const Cid good = Cid::of(Multicodec::raw, as_bytes("good"));
  Bytes bytes = header(std::vector{good});
  append(bytes, section(good, as_bytes("good")));
  append(bytes, section(good, as_bytes("evil")));
  append(bytes, section(good, as_bytes("good")));
  Reader reader;
  const Status status = reader.feed(bytes);
  ASSERT_FALSE(status.has_value());
  EXPECT_NE(status.error().message.find(good.text()), std::string::npos);
  EXPECT_TRUE(reader.next().has_value());  // What came before was verified.
  EXPECT_FALSE(reader.next().has_value());
  EXPECT_EQ(reader.feed(section(good, as_bytes("good"))), status);
  EXPECT_FALSE(reader.at_boundary());
}

TEST(Car, Version0CidsAreReadAsVersion1) {
  const Bytes folder = hex("0a020801");
  const Cid cid = Cid::of(Multicodec::dag_pb, folder);
  const Bytes v0_bytes = to_bytes(ByteView(cid.bytes()).subspan(2));
  const Bytes head = dagcbor::encode(dagcbor::Map{{"roots", dagcbor::List{dagcbor::Link{v0_bytes}}}, {"version", 1}});
  Bytes bytes{static_cast<std::uint8_t>(head.size())};
  append(bytes, head);
  bytes.push_back(static_cast<std::uint8_t>(v0_bytes.size() + folder.size()));
  append(bytes, v0_bytes);
  append(bytes, folder);
  const auto archive = read(bytes);
  ASSERT_TRUE(archive.has_value()) << archive.error().message;
  EXPECT_EQ(archive->roots, std::vector{cid});
  EXPECT_EQ(archive->blocks.at(0).cid, cid);
}

TEST(Car, RefusesBadHeaders) {
  const auto framed = [](const dagcbor::Value& value) {
    const Bytes body = dagcbor::encode(value);
    Bytes bytes{static_cast<std::uint8_t>(body.size())};
    append(bytes, body);
    return bytes;
  };
  using dagcbor::List;
  using dagcbor::Map;
  const Cid root = Cid::of(Multicodec::raw, {});
  EXPECT_TRUE(read(framed(Map{{"roots", List{root}}, {"version", 1}})).has_value());
  for (const dagcbor::Value& bad :
       {dagcbor::Value(Map{{"roots", List{}}, {"version", 1}}), dagcbor::Value(Map{{"version", 1}}),
        dagcbor::Value(Map{{"version", 2}}), dagcbor::Value(Map{{"roots", List{root}}}),
        dagcbor::Value(Map{{"roots", List{root}}, {"version", 2}}),
        dagcbor::Value(Map{{"roots", List{root}}, {"version", "1"}}),
        dagcbor::Value(Map{{"roots", List{root, 1}}, {"version", 1}}),
        dagcbor::Value(Map{{"roots", root}, {"version", 1}}),
        dagcbor::Value(Map{{"roots", List{root}}, {"version", 1}, {"x", 1}}),
        dagcbor::Value(Map{{"roots", List{dagcbor::Link{hex("01550000")}}}, {"version", 1}}),
        dagcbor::Value(List{root}), dagcbor::Value(1)}) {
    EXPECT_FALSE(read(framed(bad)).has_value());
  }
  for (const std::string_view bad :
       {"", "00", "01", "80", "8100", "ffffffffffffffffff01", "ffffffffffffffff7f", "81800400"}) {
    EXPECT_FALSE(read(hex(bad)).has_value()) << bad;
  }
  List many;
  for (int i = 0; i < 1025; ++i) many.emplace_back(root);
  const Bytes body = dagcbor::encode(Map{{"roots", std::move(many)}, {"version", 1}});
  Bytes bytes{static_cast<std::uint8_t>(body.size() | 0x80), static_cast<std::uint8_t>((body.size() >> 7) | 0x80),
              static_cast<std::uint8_t>(body.size() >> 14)};
  append(bytes, body);
  EXPECT_FALSE(read(bytes).has_value());
}

TEST(Car, RefusesBadSections) {
  const Cid root = Cid::of(Multicodec::raw, {});
  const Bytes head = header(std::vector{root});
  const auto refused_at_once = [&](const Bytes& tail) {
    Reader reader;
    EXPECT_TRUE(reader.feed(head).has_value());
    return !reader.feed(tail).has_value();
  };
  EXPECT_FALSE(refused_at_once(section(root, {})));
  EXPECT_TRUE(refused_at_once(hex("00")));
  EXPECT_TRUE(refused_at_once(hex("8000")));
  EXPECT_TRUE(refused_at_once(hex("c1808001")));            // 2 MiB + 65: refused before it is there
  EXPECT_TRUE(refused_at_once(hex("ffffffffffffffff7f")));  // 2^63 - 1
  EXPECT_TRUE(refused_at_once(hex("0401550000")));          // an identity CID
  EXPECT_TRUE(refused_at_once(hex("0101")));
  Bytes large{0xa5, 0x80, 0x80, 0x01};  // 36 + 2 MiB + 1
  append(large, root.bytes());
  large.resize(large.size() + max_block_bytes + 1);
  EXPECT_TRUE(refused_at_once(large));
}

TEST(Car, WhoKnowsOfLargerBlocksSaysSo) {
  const Bytes large(max_block_bytes + 1, 7);
  const Cid cid = Cid::of(Multicodec::raw, large);
  Bytes bytes = header(std::vector{cid});
  append(bytes, section(cid, large, large.size()));
  Reader usual;
  EXPECT_FALSE(usual.feed(bytes).has_value());
  Reader tight(large.size() - 1);
  EXPECT_FALSE(tight.feed(bytes).has_value());
  Reader wide(large.size());
  ASSERT_TRUE(wide.feed(bytes).has_value());
  const auto block = wide.next();
  ASSERT_TRUE(block);
  EXPECT_EQ(block->cid, cid);
  EXPECT_EQ(block->bytes, large);
  EXPECT_TRUE(wide.at_boundary());
}

}  // namespace
}  // namespace mesh::car
