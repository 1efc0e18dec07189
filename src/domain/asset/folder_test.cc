#include "domain/asset/folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "domain/asset/dagpb.h"
#include "domain/asset/murmur3.h"
#include "domain/asset/unixfs_data.h"

namespace mesh::asset {
namespace {

using Blocks = std::map<Cid, Bytes>;

const Cid empty_file = Cid::of(Multicodec::raw, {});

BlockSink into(Blocks& blocks) {
  return [&blocks](const Cid& cid, Bytes block) -> Status {
    blocks.insert_or_assign(cid, std::move(block));
    return {};
  };
}

template <class T>
std::optional<ErrorCode> code_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().code);
}

/// Counts what is read, so that a test can say how little that is.
struct Reader {
  const Blocks& blocks;
  std::size_t reads = 0;

  NodeSource source() {
    return [this](const Cid& cid) -> Result<Node> {
      ++reads;
      const auto found = blocks.find(cid);
      if (found == blocks.end()) return fail(ErrorCode::not_found, "no block " + cid.text());
      return parse_node(cid, found->second);
    };
  }
  Node root(const Cid& cid) { return source()(cid).value(); }
};

std::vector<FolderEntry> numbered(std::size_t count) {
  std::vector<FolderEntry> entries;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    entries.push_back(
        {"file-" + std::string(5 - std::min<std::size_t>(5, number.size()), '0') + number, empty_file, 0});
  }
  return entries;
}

/// Entries whose plain block has exactly `bytes`.
std::vector<FolderEntry> entries_of(std::uint64_t bytes) {
  std::vector<FolderEntry> entries;
  while (plain_folder_bytes(entries) + 2 * 300 < bytes) {
    const std::string number = std::to_string(entries.size());
    entries.push_back({number + std::string(200, 'n'), empty_file, 0});
  }
  entries.push_back({"last", empty_file, 0});
  for (const std::string_view more : {"a", "b"}) {
    entries.push_back({std::string(more), empty_file, 0});
    while (plain_folder_bytes(entries) < bytes && entries.back().name.size() < max_name_bytes)
      entries.back().name += more;
  }
  return entries;
}

std::map<std::string, NodeLink> listed(const Cid& cid, const Blocks& blocks) {
  Reader reader{blocks};
  std::map<std::string, NodeLink> entries;
  const Status visited = visit_folder(reader.root(cid), reader.source(), [&](const NodeLink& entry) -> Status {
    EXPECT_TRUE(entries.emplace(entry.name, entry).second) << entry.name;
    return {};
  });
  EXPECT_TRUE(visited.has_value()) << visited.error().message;
  return entries;
}

TEST(Folder, IsShardedAboveTheThresholdAndNotAtIt) {
  for (const std::uint64_t bytes : {max_plain_folder_bytes - 1, max_plain_folder_bytes, max_plain_folder_bytes + 1}) {
    const std::vector<FolderEntry> entries = entries_of(bytes);
    ASSERT_EQ(plain_folder_bytes(entries), bytes);
    Blocks blocks;
    const Built built = build_folder(entries, into(blocks)).value();
    const bool is_plain = bytes <= max_plain_folder_bytes;
    EXPECT_EQ(parse_node(built.cid, blocks.at(built.cid))->kind, is_plain ? NodeKind::directory : NodeKind::shard);
    EXPECT_EQ(build_directory(entries).has_value(), is_plain);
    EXPECT_EQ(blocks.at(built.cid).size() == bytes, is_plain);
    EXPECT_EQ(listed(built.cid, blocks).size(), entries.size());
  }
}

TEST(Folder, NamesAreKubos) {
  // `ipfs add -r` of Kubo 0.42.0 with the profile unixfs-v1-2025, over empty files of these names.
  const auto name_of = [](const std::vector<FolderEntry>& entries) {
    Blocks blocks;
    return build_folder(entries, into(blocks))->cid.text();
  };
  EXPECT_EQ(name_of(entries_of(262'143)), "bafybeid3nyobgxtl2gu62b5pdnv66s2zkciomlvbnhkewgrrpcg7jkulke");
  EXPECT_EQ(name_of(entries_of(262'144)), "bafybeicphwmhbze7g2a3xqqkvdtd6svjrvozaf5bpfxt255ur3hxjcliei");
  EXPECT_EQ(name_of(entries_of(262'145)), "bafybeif2ezrqcydh7gjvf2xh2tixskbgnhso3lz5egtskceyccug7rxhs4");
  EXPECT_EQ(name_of(numbered(6'000)), "bafybeie43ouwdxahhv64kcn47jmknnquqpv4jo3jaejmv3uqgomkey4giu");
  EXPECT_EQ(name_of(numbered(20'000)), "bafybeiaej3in4ophs6kwyxkky3xf53nuzssetegezsalx4xs743uz2n6m4");
}

TEST(Folder, ReadsBackWhateverTheOrder) {
  std::vector<FolderEntry> entries = numbered(20'000);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].cid = Cid::of(Multicodec::raw, as_bytes(entries[i].name));
    entries[i].total_bytes = i;
  }
  entries.push_back({"gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x8c\x8d", empty_file, 7});
  entries.push_back({"FF", empty_file, 8});  // Looks like a prefix.
  Blocks blocks;
  const Built built = build_folder(entries, into(blocks)).value();
  std::mt19937_64 random(3);
  std::vector<FolderEntry> shuffled = entries;
  std::ranges::shuffle(shuffled, random);
  Blocks again;
  EXPECT_EQ(build_folder(shuffled, into(again)), built);
  EXPECT_EQ(again, blocks);

  std::uint64_t total = 0;
  std::size_t most = 0;
  for (const FolderEntry& entry : entries) total += entry.total_bytes;
  for (const auto& [cid, block] : blocks) {
    total += block.size();
    most = std::max(most, block.size());
  }
  EXPECT_EQ(built.total_bytes, total);
  EXPECT_LE(most, max_plain_folder_bytes);

  const auto all = listed(built.cid, blocks);
  ASSERT_EQ(all.size(), entries.size());
  Reader reader{blocks};
  const Node root = reader.root(built.cid);
  for (const FolderEntry& entry : entries) {
    ASSERT_TRUE(all.contains(entry.name)) << entry.name;
    EXPECT_EQ(all.at(entry.name).cid, entry.cid);
    EXPECT_EQ(all.at(entry.name).bytes, entry.total_bytes);
    reader.reads = 0;
    EXPECT_EQ(find_entry(root, reader.source(), entry.name), all.at(entry.name));
    EXPECT_LE(reader.reads, 7U);
  }
  for (const std::string_view missing : {"file-20000", "", "F", "00", "\xff"})
    EXPECT_EQ(find_entry(root, reader.source(), missing).error().code, ErrorCode::not_found) << missing;
  EXPECT_EQ(visit_folder(
                root, reader.source(), [](const NodeLink&) { return Status(); }, 20'001)
                .error()
                .code,
            ErrorCode::exhausted);
}

TEST(Folder, PlainOnesAreVisitedByName) {
  Blocks blocks;
  const Built built =
      build_folder({{"b", empty_file, 1}, {"a", empty_file, 2}, {"ab", empty_file, 3}}, into(blocks)).value();
  Reader reader{blocks};
  const Node root = reader.root(built.cid);
  std::string names;
  const auto note = [&](const NodeLink& entry) -> Status {
    names += entry.name + " ";
    return {};
  };
  EXPECT_TRUE(visit_folder(root, reader.source(), note).has_value());
  EXPECT_EQ(names, "a ab b ");
  EXPECT_EQ(find_entry(root, reader.source(), "ab")->bytes, 3U);
  EXPECT_EQ(find_entry(root, reader.source(), "aa").error().code, ErrorCode::not_found);
  EXPECT_EQ(find_entry(root, reader.source(), "c").error().code, ErrorCode::not_found);
  EXPECT_EQ(visit_folder(root, reader.source(), note, 2).error().code, ErrorCode::exhausted);
  const Node file = parse_node(empty_file, {}).value();
  EXPECT_EQ(visit_folder(file, reader.source(), note).error().code, ErrorCode::invalid);
  EXPECT_EQ(find_entry(file, reader.source(), "a").error().code, ErrorCode::invalid);
}

TEST(Folder, ErrorsOfOthersAreHandedOn) {
  EXPECT_EQ(
      build_folder(numbered(10), [](const Cid&, const Bytes&) { return fail(ErrorCode::storage, "full"); }).error(),
      (Error{ErrorCode::storage, "full"}));
  std::size_t left = 20;
  const auto fills = [&](const Cid&, const Bytes&) -> Status {
    return left-- > 0 ? Status() : fail(ErrorCode::storage, "full");
  };
  EXPECT_EQ(build_folder(numbered(20'000), fills).error().code, ErrorCode::storage);
  Blocks blocks;
  const Cid root = build_folder(numbered(20'000), into(blocks))->cid;
  Reader reader{blocks};
  const auto refuse = [](const NodeLink&) -> Status { return fail(ErrorCode::conflict, "enough"); };
  EXPECT_EQ(visit_folder(reader.root(root), reader.source(), refuse).error().code, ErrorCode::conflict);
  const Node node = reader.root(root);
  blocks = {{root, blocks.at(root)}};
  EXPECT_EQ(visit_folder(node, reader.source(), [](const NodeLink&) { return Status(); }).error().code,
            ErrorCode::not_found);
  EXPECT_EQ(find_entry(node, reader.source(), "file-00007").error().message.substr(0, 8), "no block");
}

TEST(Folder, RefusesBadEntriesInShardsToo) {
  Blocks blocks;
  const auto refused = [&](const FolderEntry& extra) {
    std::vector<FolderEntry> entries = numbered(6'000);
    entries.push_back(extra);
    const auto built = build_folder(std::move(entries), into(blocks));
    return code_of(built);
  };
  EXPECT_EQ(refused({"good", empty_file, 0}), std::nullopt);
  EXPECT_EQ(refused({"file-00005", empty_file, 3}), ErrorCode::invalid);
  EXPECT_EQ(refused({"a/b", empty_file, 0}), ErrorCode::invalid);
  EXPECT_EQ(refused({"", empty_file, 0}), ErrorCode::invalid);
  EXPECT_EQ(refused({"..", empty_file, 0}), ErrorCode::invalid);
  EXPECT_EQ(refused({std::string(256, 'a'), empty_file, 0}), ErrorCode::invalid);
  EXPECT_EQ(refused({"large", empty_file, (1ULL << 63) - 1}), ErrorCode::invalid);
  EXPECT_EQ(refused({"larger", empty_file, ~0ULL}), ErrorCode::invalid);
}

// Made by running the hash's steps backwards: two names of 32 bytes with one hash.
const std::string twin = "meshwork-name-01and-its-own-tail";
const std::string other_twin = std::string("4a55ae13d344bc9cB|i~5G:i|v\x07n\r\x1e") + "8A";

TEST(Folder, TwoNamesOfOneHashCannotBeSharded) {
  ASSERT_EQ(murmur3_x64_64(as_bytes(twin)), murmur3_x64_64(as_bytes(other_twin)));
  Blocks blocks;
  EXPECT_TRUE(build_folder({{twin, empty_file, 0}, {other_twin, empty_file, 0}}, into(blocks)).has_value());
  std::vector<FolderEntry> entries = numbered(6'000);
  entries.push_back({twin, empty_file, 0});
  EXPECT_TRUE(build_folder(entries, into(blocks)).has_value());
  entries.push_back({other_twin, empty_file, 0});
  const auto built = build_folder(entries, into(blocks));
  EXPECT_EQ(built.error().code, ErrorCode::invalid);
  EXPECT_NE(built.error().message.find("one hash"), std::string::npos);
}

TEST(Folder, TooManyEntriesAreRefused) {
  Blocks blocks;
  const std::vector<FolderEntry> entries(max_folder_entries + 1, FolderEntry{"a", empty_file, 0});
  EXPECT_EQ(build_folder(entries, into(blocks)).error().code, ErrorCode::exhausted);
}

// ---- Shards that others made.

UnixfsData shard_data(std::uint64_t fanout, const std::vector<std::uint32_t>& slots) {
  Bytes bitfield(fanout / 8);
  for (const std::uint32_t slot : slots)
    bitfield[bitfield.size() - 1 - slot / 8] |= static_cast<std::uint8_t>(1U << slot % 8);
  return {.type = UnixfsType::hamt, .data = bitfield, .hash_type = murmur3_code, .fanout = fanout};
}

Cid keep(Blocks& blocks, const UnixfsData& data, std::vector<dagpb::Link> links) {
  Bytes block = dagpb::encode({.links = std::move(links), .data = encode_unixfs(data)});
  const Cid cid = Cid::of(Multicodec::dag_pb, block);
  blocks.insert_or_assign(cid, std::move(block));
  return cid;
}

dagpb::Link link_to(const Cid& cid, std::string name) {
  return {.cid = cid.bytes(), .name = std::move(name), .total_bytes = 1};
}

std::uint32_t slot_of(std::string_view name, unsigned used, unsigned width) {
  return static_cast<std::uint32_t>(murmur3_x64_64(as_bytes(name)) << used >> (64 - width));
}

/// A sharded folder of any fanout that holds one name, below `depth` shards which hold nothing else.
Cid chain(Blocks& blocks, const std::string& name, std::uint32_t fanout, unsigned depth) {
  const auto width = static_cast<unsigned>(std::bit_width(fanout - 1));
  std::optional<Cid> below;
  for (unsigned level = depth + 1; level-- > 0;) {
    const std::uint32_t slot = slot_of(name, level * width, width);
    const std::string prefix = slot_prefix(slot, fanout);
    below = keep(blocks, shard_data(fanout, {slot}),
                 {below ? link_to(*below, prefix) : link_to(empty_file, prefix + name)});
  }
  return *below;
}

std::optional<ErrorCode> visit_error(const Cid& root, const Blocks& blocks) {
  Reader reader{blocks};
  const auto node = reader.source()(root);
  if (!node) return node.error().code;
  const Status status = visit_folder(*node, reader.source(), [](const NodeLink&) { return Status(); });
  return code_of(status);
}

TEST(Shard, OtherFanoutsAreRead) {
  for (std::uint32_t fanout = 8; fanout <= 1024; fanout *= 2) {
    const auto width = static_cast<unsigned>(std::bit_width(fanout - 1));
    const unsigned deepest = 64 / width - 1;
    for (unsigned depth = 0; depth <= deepest; ++depth) {
      Blocks blocks;
      const Cid root = chain(blocks, "name", fanout, depth);
      EXPECT_EQ(listed(root, blocks).size(), 1U) << fanout << " " << depth;
      Reader reader{blocks};
      EXPECT_EQ(find_entry(reader.root(root), reader.source(), "name")->cid, empty_file);
    }
  }
  EXPECT_EQ(slot_prefix(5, 8), "5");
  EXPECT_EQ(slot_prefix(10, 16), "A");
  EXPECT_EQ(slot_prefix(10, 32), "0A");
  EXPECT_EQ(slot_prefix(255, 256), "FF");
  EXPECT_EQ(slot_prefix(1, 1024), "001");
}

TEST(Shard, DeeperThanTheHashIsRefused) {
  for (const auto& [fanout, levels] : {std::pair{256U, 8U}, {8U, 21U}, {1024U, 6U}, {16U, 16U}}) {
    Blocks blocks;
    // Below the last level there are no bits: whatever hangs there is not looked at.
    Cid below = keep(blocks, shard_data(fanout, {0}), {link_to(empty_file, slot_prefix(0, fanout) + "name")});
    const auto width = static_cast<unsigned>(std::bit_width(fanout - 1));
    for (unsigned level = levels; level-- > 0;) {
      const std::uint32_t slot = slot_of("name", level * width, width);
      below = keep(blocks, shard_data(fanout, {slot}), {link_to(below, slot_prefix(slot, fanout))});
    }
    Reader reader{blocks};
    const Node root = reader.root(below);
    EXPECT_EQ(visit_error(below, blocks), ErrorCode::invalid);
    EXPECT_EQ(find_entry(root, reader.source(), "name").error().code, ErrorCode::invalid);
    EXPECT_LE(reader.reads, levels + 1);
  }
}

TEST(Shard, AnEmptyRootIsAnEmptyFolder) {
  Blocks blocks;
  EXPECT_TRUE(listed(keep(blocks, shard_data(256, {}), {}), blocks).empty());
  const UnixfsData bare{.type = UnixfsType::hamt, .hash_type = murmur3_code, .fanout = 256};
  EXPECT_TRUE(listed(keep(blocks, bare, {}), blocks).empty());
}

TEST(Shard, WhatContradictsItselfIsRefused) {
  const auto parsed = [](const UnixfsData& data, std::vector<dagpb::Link> links) {
    Blocks blocks;
    const Cid cid = keep(blocks, data, std::move(links));
    const auto node = parse_node(cid, blocks.at(cid));
    return code_of(node);
  };
  const Cid folder = build_directory({})->built.cid;
  const UnixfsData good = shard_data(256, {0, 0x1f});
  const std::vector<dagpb::Link> links{link_to(empty_file, "00name"), link_to(folder, "1F")};
  ASSERT_EQ(parsed(good, links), std::nullopt);
  const auto with = [&](auto&& change) {
    UnixfsData data = good;
    change(data);
    return parsed(data, links);
  };
  for (const std::uint64_t fanout : {0ULL, 1ULL, 4ULL, 255ULL, 257ULL, 384ULL, 2048ULL, 1ULL << 32, (1ULL << 63) - 1})
    EXPECT_EQ(with([&](UnixfsData& data) { data.fanout = fanout; }), ErrorCode::invalid) << fanout;
  EXPECT_EQ(with([](UnixfsData& data) { data.fanout = 16; }), ErrorCode::invalid);  // The bitfield is too long.
  EXPECT_EQ(with([](UnixfsData& data) { data.hash_type = 0x12; }), ErrorCode::unsupported);
  EXPECT_EQ(with([](UnixfsData& data) { data.file_bytes = 1; }), ErrorCode::invalid);
  EXPECT_EQ(with([](UnixfsData& data) { data.child_bytes = {1, 1}; }), ErrorCode::invalid);
  EXPECT_EQ(with([](UnixfsData& data) { data.data.reset(); }), ErrorCode::invalid);
  EXPECT_EQ(with([](UnixfsData& data) { data.data->insert(data.data->begin(), 0); }), ErrorCode::invalid);
  EXPECT_EQ(with([](UnixfsData& data) { data.data->front() = 0x80; }), ErrorCode::invalid);  // One bit more.
  EXPECT_EQ(with([](UnixfsData& data) { data.data->back() = 0; }), ErrorCode::invalid);      // One bit less.
  EXPECT_EQ(with([](UnixfsData& data) { data.data->back() = 2; }), ErrorCode::invalid);      // Another slot.
  // Leading zero bytes may be there or not.
  EXPECT_EQ(with([](UnixfsData& data) { data.data->erase(data.data->begin(), data.data->begin() + 28); }),
            std::nullopt);

  const auto named = [&](std::string first, std::string second) {
    return parsed(good, {link_to(empty_file, std::move(first)), link_to(folder, std::move(second))});
  };
  EXPECT_EQ(named("00name", "1Fname"), std::nullopt);
  EXPECT_EQ(named("00name", "1fname"), ErrorCode::invalid);  // Digits are upper-case.
  EXPECT_EQ(named("01name", "1Fname"), ErrorCode::invalid);
  EXPECT_EQ(named("00name", "1"), ErrorCode::invalid);
  EXPECT_EQ(named("00name", "F"), ErrorCode::invalid);
  EXPECT_EQ(named("", "1F"), ErrorCode::invalid);
  EXPECT_EQ(named("00a/b", "1F"), ErrorCode::invalid);
  EXPECT_EQ(named("00..", "1F"), ErrorCode::invalid);
  EXPECT_EQ(named("00" + std::string(255, 'a'), "1F"), std::nullopt);
  EXPECT_EQ(named("00" + std::string(256, 'a'), "1F"), ErrorCode::invalid);
  EXPECT_EQ(named("00", "1F"), ErrorCode::invalid);  // A raw block is no shard.
  EXPECT_EQ(parsed(good, {links[0], links[0], links[1]}), ErrorCode::invalid);
  EXPECT_EQ(parsed(good, {links[0]}), ErrorCode::invalid);
  EXPECT_EQ(parsed(good, {}), ErrorCode::invalid);
  EXPECT_EQ(parsed(good, {{.cid = empty_file.bytes(), .name = {}, .total_bytes = 1}, links[1]}), ErrorCode::invalid);
}

TEST(Shard, ANameLiesWhereItsHashSaysOrNowhere) {
  Blocks blocks;
  const std::uint32_t slot = slot_of("name", 0, 8);
  EXPECT_EQ(visit_error(keep(blocks, shard_data(256, {slot}), {link_to(empty_file, slot_prefix(slot, 256) + "name")}),
                        blocks),
            std::nullopt);
  const std::uint32_t wrong = slot ^ 1;
  std::vector<dagpb::Link> twice{link_to(empty_file, slot_prefix(slot, 256) + "name"),
                                 link_to(empty_file, slot_prefix(wrong, 256) + "name")};
  std::ranges::sort(twice, {}, &dagpb::Link::name);
  EXPECT_EQ(visit_error(keep(blocks, shard_data(256, {slot, wrong}), twice), blocks), ErrorCode::invalid);

  // The second level is right for the name, the first is not.
  const std::uint32_t second = slot_of("name", 8, 8);
  const Cid below = keep(blocks, shard_data(256, {second}), {link_to(empty_file, slot_prefix(second, 256) + "name")});
  EXPECT_EQ(visit_error(keep(blocks, shard_data(256, {wrong}), {link_to(below, slot_prefix(wrong, 256))}), blocks),
            ErrorCode::invalid);
  EXPECT_EQ(visit_error(keep(blocks, shard_data(256, {slot}), {link_to(below, slot_prefix(slot, 256))}), blocks),
            std::nullopt);
  // And a look-up does not believe a slot that holds another's name.
  const std::uint32_t asked = slot_of("asked", 0, 8);
  const Cid liar = keep(blocks, shard_data(256, {asked}), {link_to(empty_file, slot_prefix(asked, 256) + "name")});
  ASSERT_NE(asked, slot);
  Reader reader{blocks};
  EXPECT_EQ(find_entry(reader.root(liar), reader.source(), "asked").error().code, ErrorCode::invalid);
}

TEST(Shard, ChildrenAreShardsOfTheSameKindThatHoldSomething) {
  Blocks blocks;
  const std::uint32_t slot = slot_of("name", 0, 8);
  const auto above = [&](const Cid& child) {
    return visit_error(keep(blocks, shard_data(256, {slot}), {link_to(child, slot_prefix(slot, 256))}), blocks);
  };
  EXPECT_EQ(above(keep(blocks, shard_data(256, {}), {})), ErrorCode::invalid);
  EXPECT_EQ(above(build_folder({}, into(blocks))->cid), ErrorCode::invalid);
  EXPECT_EQ(above(keep(blocks, {.type = UnixfsType::file}, {})), ErrorCode::invalid);
  const std::uint32_t narrow = slot_of("name", 8, 4);
  EXPECT_EQ(above(keep(blocks, shard_data(16, {narrow}), {link_to(empty_file, slot_prefix(narrow, 16) + "name")})),
            ErrorCode::invalid);
  EXPECT_EQ(above(Cid::of(Multicodec::dag_pb, as_bytes("not here"))), ErrorCode::not_found);
}

TEST(Shard, FoldersThatFanOutOntoThemselvesEndSoon) {
  // Eight levels of 256 links each to one shard: 2^64 paths. A name can be at the end of only one of them.
  Blocks blocks;
  std::vector<std::uint32_t> all;
  for (std::uint32_t slot = 0; slot < 256; ++slot) all.push_back(slot);
  const std::uint32_t last = slot_of("name", 56, 8);
  Cid below = keep(blocks, shard_data(256, {last}), {link_to(empty_file, slot_prefix(last, 256) + "name")});
  for (int level = 0; level < 7; ++level) {
    std::vector<dagpb::Link> links;
    for (const std::uint32_t slot : all) links.push_back(link_to(below, slot_prefix(slot, 256)));
    below = keep(blocks, shard_data(256, all), links);
  }
  Reader reader{blocks};
  EXPECT_EQ(visit_folder(reader.root(below), reader.source(), [](const NodeLink&) { return Status(); }).error().code,
            ErrorCode::invalid);
  EXPECT_LE(reader.reads, 16U);
}

}  // namespace
}  // namespace mesh::asset
