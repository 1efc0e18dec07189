#include "domain/asset/unixfs.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "codec/dagcbor.h"
#include "domain/asset/dagpb.h"
#include "domain/asset/unixfs_data.h"

namespace mesh::asset {
namespace {

using Blocks = std::map<Cid, Bytes>;

Bytes hex(std::string_view text) { return from_hex(text).value(); }

BlockSink into(Blocks& blocks) {
  return [&blocks](const Cid& cid, Bytes block) -> Status {
    blocks.insert_or_assign(cid, std::move(block));
    return {};
  };
}

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i % 251);
  return bytes;
}

Built build(ByteView content, Blocks& blocks, std::size_t step) {
  FileBuilder builder(into(blocks));
  while (!content.empty()) {
    const std::size_t part = std::min(step, content.size());
    EXPECT_TRUE(builder.feed(content.first(part)).has_value());
    content = content.subspan(part);
  }
  return builder.finish().value();
}

Bytes read_back(const Cid& cid, const Blocks& blocks) {
  const Node node = parse_node(cid, blocks.at(cid)).value();
  Bytes content = node.inline_data;
  for (const NodeLink& link : node.links) append(content, read_back(link.cid, blocks));
  EXPECT_EQ(content.size(), node.content_bytes);
  return content;
}

constexpr std::size_t mib = chunk_bytes;

TEST(FileBuilder, NamesAreKubos) {
  // ipfs-unixfs-importer 17.1.1, profile unixfs-v1-2025, over the bytes i % 251.
  struct Known {
    std::size_t size;
    std::string_view cid;
    std::uint64_t total_bytes;
  };
  for (const Known& known :
       {Known{0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 0},
        Known{1, "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu", 1},
        Known{mib - 1, "bafkreielkxdkfu2eicjkgfuykayoada6n6dar2xzclejnxxhyn2niqhnce", 1048575},
        Known{mib, "bafkreidddocae7lltzjlkooe5a3tmiwsgazn7logjvqk7bzttsidpzhxne", 1048576},
        Known{mib + 1, "bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu", 1048681},
        Known{3 * mib, "bafybeihzpjrbcpjpzcx4yxh3hasnjidsikmwmsrli7hhamhny5iueulu5a", 3145887},
        Known{5 * mib + 7, "bafybeihy7bim22kxffmtbte3avvzbwyyyjidvhaebjckpy4xkkxtuwdwga", 5243192}}) {
    const Bytes content = pattern(known.size);
    for (const std::size_t step : {std::size_t{100'003}, mib, std::size_t{100} * mib}) {
      Blocks blocks;
      const Built built = build(content, blocks, step);
      EXPECT_EQ(built.cid.text(), known.cid) << known.size;
      EXPECT_EQ(built.content_bytes, known.size);
      EXPECT_EQ(built.total_bytes, known.total_bytes);
      EXPECT_EQ(read_back(built.cid, blocks), content);
    }
  }
}

TEST(FileBuilder, TreesOfMoreThanOneLevelAreBalancedAsKubos) {
  const Bytes zeros(mib);
  for (const std::size_t extra : {std::size_t{0}, std::size_t{1}}) {
    Blocks blocks;
    FileBuilder builder(into(blocks));
    for (std::size_t i = 0; i < max_links; ++i) ASSERT_TRUE(builder.feed(zeros).has_value());
    ASSERT_TRUE(builder.feed(ByteView(zeros).first(extra)).has_value());
    const Built built = builder.finish().value();
    EXPECT_EQ(built.cid.text(), extra == 0 ? "bafybeibqawkaltgjfdebq4no6nmfcvkcw7k52xqzclkwfmrkn6oxw7srmy"
                                           : "bafybeigx4uyebjbq65346xh6cjrt6yshbdudzudhnqecwbzvymslxj7gje");
    EXPECT_EQ(built.total_bytes, extra == 0 ? 1073793035U : 1073793198U);
    EXPECT_EQ(built.content_bytes, max_links * mib + extra);
    EXPECT_EQ(blocks.size(), extra == 0 ? 2U : 5U);  // All full chunks are one block.
  }
}

TEST(FileBuilder, TheSinksErrorStopsIt) {
  FileBuilder builder([](const Cid&, const Bytes&) -> Status { return fail(ErrorCode::storage, "full"); });
  EXPECT_EQ(builder.feed(Bytes(mib)).error().code, ErrorCode::storage);
  FileBuilder empty([](const Cid&, const Bytes&) -> Status { return fail(ErrorCode::storage, "full"); });
  EXPECT_EQ(empty.finish().error().code, ErrorCode::storage);
}

TEST(Directory, NamesAreKubos) {
  const BuiltFolder none = build_directory({}).value();
  EXPECT_EQ(none.built.cid.text(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
  EXPECT_EQ(none.built.total_bytes, 4U);
  const BuiltFolder sub = build_directory({{"x", Cid::of(Multicodec::raw, Bytes{1}), 1}}).value();
  EXPECT_EQ(sub.built.cid.text(), "bafybeic5fc7llbj6orovysbc4qnp4mmjpfczwgsety65yjljsc7o7nuwla");
  const BuiltFolder folder = build_directory({{"sub", sub.built.cid, sub.built.total_bytes},
                                              {"b.txt", Cid::of(Multicodec::raw, as_bytes("hello world\n")), 12},
                                              {"a", Cid::of(Multicodec::raw, {}), 0}})
                                 .value();
  EXPECT_EQ(folder.built.cid.text(), "bafybeignwupbehcrtmqnixvgzmfpa4yo5d2l4kc7mk3xynsnejwy2qe5rm");
  EXPECT_EQ(folder.built.total_bytes, 207U);

  const Node node = parse_node(folder.built.cid, folder.block).value();
  EXPECT_EQ(node.kind, NodeKind::directory);
  ASSERT_EQ(node.links.size(), 3U);
  EXPECT_EQ(node.links[0].name, "a");
  EXPECT_EQ(node.links[1].name, "b.txt");
  EXPECT_EQ(node.links[1].bytes, 12U);
  EXPECT_EQ(node.links[2], (NodeLink{sub.built.cid, "sub", 50}));
}

TEST(Directory, NamesAreChecked) {
  const Cid cid = Cid::of(Multicodec::raw, {});
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("/"),
        std::string("a\0b", 3), std::string("\0", 1), std::string(256, 'a'), std::string("\xff")}) {
    EXPECT_FALSE(check_name(bad).has_value());
    EXPECT_FALSE(build_directory({{bad, cid, 0}}).has_value());
    const Bytes block =
        dagpb::encode({.links = {{cid.bytes(), bad, 0}}, .data = encode_unixfs({.type = UnixfsType::directory})});
    EXPECT_FALSE(parse_node(Cid::of(Multicodec::dag_pb, block), block).has_value());
  }
  for (const std::string& good :
       {std::string("..."), std::string(" "), std::string(255, 'a'), std::string("\xc3\xbc"), std::string("a\\b")}) {
    EXPECT_TRUE(check_name(good).has_value());
  }
  EXPECT_FALSE(build_directory({{"a", cid, 0}, {"b", cid, 0}, {"a", cid, 0}}).has_value());
}

TEST(Directory, WhatNeedsShardsIsRefused) {
  const Cid cid = Cid::of(Multicodec::raw, {});
  std::vector<FolderEntry> entries;
  for (std::size_t i = 0; i < 900; ++i) entries.push_back({std::to_string(i) + std::string(250, 'a'), cid, 0});
  EXPECT_EQ(build_directory(entries).error().code, ErrorCode::unsupported);
  EXPECT_FALSE(build_directory({{"a", cid, 1ULL << 63}}).has_value());
  EXPECT_FALSE(build_directory({{"a", cid, (1ULL << 63) - 1}, {"b", cid, 1}}).has_value());
}

TEST(DagPb, IpldFixtures) {
  std::size_t blocks = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(MESH_SOURCE_DIR) / "tests/fixtures/codec/blocks")) {
    if (entry.path().extension() != ".dag-pb") continue;
    ++blocks;
    std::ifstream file(entry.path(), std::ios::binary);
    const Bytes bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const auto node = dagpb::decode(bytes);
    ASSERT_TRUE(node.has_value()) << entry.path() << node.error().message;
    EXPECT_EQ(dagpb::encode(*node), bytes);
    EXPECT_EQ(Cid::of(Multicodec::dag_pb, bytes).text(), entry.path().stem().string());
    for (std::size_t size = 0; size < bytes.size(); ++size) {  // A cut node is refused, or is a shorter node.
      const ByteView cut = ByteView(bytes).first(size);
      const auto shorter = dagpb::decode(cut);
      EXPECT_TRUE(!shorter || dagpb::encode(*shorter) == to_bytes(cut));
    }
  }
  EXPECT_GE(blocks, 15U);
}

TEST(DagPb, RefusesWhatIsNotCanonical) {
  const std::string link_hash = "0a0401550000";  // The hash field: an identity CID.
  EXPECT_TRUE(dagpb::decode(hex("1206" + link_hash)).has_value());
  EXPECT_TRUE(dagpb::decode(hex("1206" + link_hash + "0a00")).has_value());
  for (const std::string& bad : {"0a00"
                                 "1206" +
                                     link_hash,                           // data before links
                                 std::string("0a000a00"),                             // data twice
                                 "120c" + link_hash + link_hash,                      // hash twice
                                 "1208"
                                 "1200" +
                                     link_hash,                           // name before hash
                                 "1208"
                                 "1800" +
                                     link_hash,                           // size before hash
                                 std::string("12021200"),
                                 std::string("1200"),
                                 std::string("12020a00"),
                                 std::string("12040a020155"),  // no CID
                                 "1209" + link_hash + "188000",                       // overlong varint
                                 "120e" + link_hash + "18ffffffffffffffffff01",       // past 63 bits
                                 "1209" + link_hash + "1201ff",                       // name not UTF-8
                                 "1208" + link_hash + "2000",                         // unknown field
                                 "1208" + link_hash + "1a00",                         // size as bytes
                                 "128600" + link_hash,                                // overlong length
                                 "1209" + link_hash +
                                     "120162"
                                     "1209" +
                                     link_hash + "120161",  // links out of order
                                 std::string("1800"),
                                 std::string("1000"),
                                 std::string("0800"),
                                 std::string("0d00000000"),
                                 std::string("0b"),
                                 std::string("02"),
                                 std::string("0a"),
                                 std::string("0a01"),
                                 std::string("0affffffffffffffff7f"),
                                 std::string("80")}) {
    EXPECT_FALSE(dagpb::decode(hex(bad)).has_value()) << bad;
  }
  EXPECT_EQ(dagpb::decode(Bytes(max_block_bytes + 1)).error().code, ErrorCode::exhausted);
}

TEST(UnixfsDataTest, RefusesWhatIsNotUnixfs) {
  for (const std::string_view bad : {"",
                                     "1800",
                                     "0803",
                                     "0804",
                                     "0805",
                                     "0806",
                                     "08ffffffffffffffff7f",
                                     "08020801",
                                     "08052822",
                                     "0805308002",
                                     "08012822308002",
                                     "080218001801",
                                     "08022801",
                                     "08023001",
                                     "08021001",
                                     "080220011801",
                                     "08024200"
                                     "3800",
                                     "080242",
                                     "08024201",
                                     "088200",
                                     "0a00",
                                     "0802"
                                     "4a00"}) {
    EXPECT_FALSE(decode_unixfs(hex(bad)).has_value()) << bad;
  }
  const UnixfsData full{.type = UnixfsType::file,
                        .data = Bytes{1},
                        .file_bytes = 3,
                        .child_bytes = {1, 1},
                        .mode = 420,
                        .modified = Bytes{8, 0}};
  EXPECT_EQ(decode_unixfs(encode_unixfs(full)), full);
  const UnixfsData part{.type = UnixfsType::hamt, .data = Bytes{1}, .hash_type = 0x22, .fanout = 256};
  EXPECT_EQ(to_hex(encode_unixfs(part)), "08051201012822308002");
  EXPECT_EQ(decode_unixfs(encode_unixfs(part)), part);
  EXPECT_EQ(decode_unixfs(hex("0804")).error().code, ErrorCode::unsupported);
}

TEST(ParseNode, FilesAddUp) {
  const Bytes leaf = Cid::of(Multicodec::raw, {}).bytes();
  const auto refused = [&](const UnixfsData& data, std::vector<dagpb::Link> links) {
    const Bytes block = dagpb::encode({.links = std::move(links), .data = encode_unixfs(data)});
    return !parse_node(Cid::of(Multicodec::dag_pb, block), block).has_value();
  };
  EXPECT_FALSE(refused({.data = Bytes{1}, .file_bytes = 3, .child_bytes = {2}}, {{leaf, "", 2}}));
  EXPECT_FALSE(refused({.data = Bytes{1}}, {}));
  EXPECT_TRUE(refused({.file_bytes = 3, .child_bytes = {2}}, {{leaf, "", 2}}));
  EXPECT_TRUE(refused({.file_bytes = 2, .child_bytes = {2}}, {}));
  EXPECT_TRUE(refused({.file_bytes = 0}, {{leaf, "", 2}}));
  EXPECT_TRUE(refused({.file_bytes = 2, .child_bytes = {2}}, {{leaf, "named", 2}}));
  EXPECT_TRUE(refused({.child_bytes = {(1ULL << 63) - 1, 1}}, {{leaf, "", 2}, {leaf, "", 2}}));
  EXPECT_TRUE(refused({.file_bytes = 0, .child_bytes = {0}}, {{Bytes{1, 0x55, 0, 0}, "", 0}}));
  EXPECT_TRUE(refused({.type = UnixfsType::raw, .child_bytes = {0}}, {{leaf, "", 0}}));
  EXPECT_TRUE(refused({.type = UnixfsType::directory, .data = Bytes{1}}, {}));
  EXPECT_TRUE(refused({.type = UnixfsType::directory, .child_bytes = {1}}, {{leaf, "a", 1}}));
  EXPECT_TRUE(refused({.type = UnixfsType::directory}, {{leaf, "a", 1}, {leaf, "a", 1}}));
  EXPECT_TRUE(refused({.type = UnixfsType::directory}, {{leaf, std::nullopt, 1}}));
  EXPECT_FALSE(parse_node(Cid::of(Multicodec::dag_pb, {}), {}).has_value());
  EXPECT_FALSE(parse_node(Cid::of(Multicodec::raw, {}), Bytes(max_block_bytes + 1)).has_value());
}

TEST(LinksOf, EveryCodec) {
  const Cid a = Cid::of(Multicodec::raw, as_bytes("a"));
  const Cid b = Cid::of(Multicodec::dag_pb, as_bytes("b"));
  const Bytes record = dagcbor::encode(
      dagcbor::Map{{"a", a},
                   {"b", dagcbor::List{dagcbor::Map{{"deep", b}}, a, dagcbor::Link{Bytes{1, 0x55, 0, 0}}}},
                   {"c", dagcbor::Link{to_bytes(ByteView(b.bytes()).subspan(2))}}});
  const Cid cid = dagcbor::cid_of(record);
  EXPECT_EQ(links_of(cid, record), (std::vector{a, b}));
  EXPECT_EQ(parse_node(cid, record)->kind, NodeKind::record);
  EXPECT_EQ(links_of(a, as_bytes("a")), std::vector<Cid>{});
  EXPECT_FALSE(links_of(cid, as_bytes("x")).has_value());
  EXPECT_FALSE(links_of(b, as_bytes("b")).has_value());
  const Bytes foreign = dagpb::encode({.links = {{Bytes{1, 0x55, 0, 0}, "", 0}}, .data = {}});
  EXPECT_FALSE(links_of(Cid::of(Multicodec::dag_pb, foreign), foreign).has_value());
}

TEST(DagWalkTest, TakesBlocksInAnyOrderAndEachOnce) {
  Blocks blocks;
  const Built file = build(pattern(5 * mib + 7), blocks, mib);
  std::mt19937 random(5);
  DagWalk walk(file.cid);
  while (!walk.done()) {
    const std::vector<Cid> wanted = walk.wanted(100);
    ASSERT_FALSE(wanted.empty());
    const Cid& next = wanted[random() % wanted.size()];
    ASSERT_TRUE(walk.take(next, blocks.at(next)).has_value());
    EXPECT_EQ(walk.take(next, blocks.at(next)).error().code, ErrorCode::conflict);
  }
  EXPECT_EQ(walk.taken_blocks(), blocks.size());
  EXPECT_EQ(walk.taken_bytes(), file.total_bytes);
  EXPECT_TRUE(walk.wanted(10).empty());
}

TEST(DagWalkTest, WrongBlocksLeaveItAsItWas) {
  Blocks blocks;
  const Built file = build(pattern(2 * mib), blocks, mib);
  DagWalk walk(file.cid);
  EXPECT_EQ(walk.take(file.cid, as_bytes("other")).error().code, ErrorCode::invalid);
  EXPECT_EQ(walk.take(Cid::of(Multicodec::raw, {}), {}).error().code, ErrorCode::conflict);
  EXPECT_EQ(walk.wanted(5), std::vector{file.cid});
  EXPECT_TRUE(walk.take(file.cid, blocks.at(file.cid)).has_value());
  EXPECT_EQ(walk.wanted(1).size(), 1U);
  EXPECT_EQ(walk.wanted(5).size(), 2U);
}

TEST(DagWalkTest, IsBounded) {
  // A chain that doubles at each step would be 2^70 nodes as a tree; as a DAG it is 71 blocks.
  std::vector<Bytes> chain{to_bytes("end")};
  std::vector<Cid> names{Cid::of(Multicodec::raw, chain[0])};
  for (int i = 0; i < 70; ++i) {
    chain.push_back(dagcbor::encode(dagcbor::List{names.back(), names.back()}));
    names.push_back(dagcbor::cid_of(chain.back()));
  }
  const auto walk_down = [&](std::size_t from, const WalkLimits& limits) -> Status {
    DagWalk walk(names[from], limits);
    for (std::size_t i = from + 1; i-- > 0;) {
      EXPECT_EQ(walk.wanted(9), std::vector{names[i]});
      if (const Status status = walk.take(names[i], chain[i]); !status) return status;
    }
    EXPECT_TRUE(walk.done());
    return {};
  };
  EXPECT_TRUE(walk_down(64, {}).has_value());
  EXPECT_EQ(walk_down(65, {}).error().code, ErrorCode::exhausted);
  EXPECT_TRUE(walk_down(70, {.max_depth = 70}).has_value());
  EXPECT_EQ(walk_down(70, {.max_depth = 70, .max_blocks = 70}).error().code, ErrorCode::exhausted);
  EXPECT_EQ(walk_down(10, {.max_bytes = 100}).error().code, ErrorCode::exhausted);
}

}  // namespace
}  // namespace mesh::asset
