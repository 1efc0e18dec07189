#include "domain/asset/folder.h"

#include <algorithm>
#include <bit>
#include <span>

#include "domain/asset/dagpb.h"
#include "domain/asset/murmur3.h"
#include "domain/asset/unixfs_data.h"

namespace mesh::asset {

namespace {

constexpr unsigned hash_bits = 64;
constexpr std::uint64_t max_total = (std::uint64_t{1} << 63) - 1;

std::uint64_t hash_of(std::string_view name) { return murmur3_x64_64(as_bytes(name)); }

/// Bits `from` to `from + count` of the hash, counted from its highest; their end is not past the last.
std::uint64_t bits_of(std::uint64_t hash, unsigned from, unsigned count) { return hash << from >> (hash_bits - count); }

std::unexpected<Error> too_large() { return fail(ErrorCode::invalid, "the sizes of the folder's entries overflow"); }

std::unexpected<Error> too_many(std::size_t count) {
  return fail(ErrorCode::exhausted, "the folder has more than " + std::to_string(count) + " entries");
}

// ---- Building.

struct Placed {
  std::uint64_t hash = 0;
  const FolderEntry* entry = nullptr;
};

struct ShardBuilder {
  const BlockSink& sink;

  /// The shard of `entries`, which are sorted by hash, are at least one and share the first `used` bits.
  Result<Built> build(std::span<const Placed> entries, unsigned used) const {
    constexpr auto width = static_cast<unsigned>(std::bit_width(shard_fanout - 1));
    dagpb::Node node;
    Bytes bitfield(shard_fanout / 8);
    std::uint64_t total = 0;
    while (!entries.empty()) {
      const std::uint64_t slot = bits_of(entries.front().hash, used, width);
      const auto end = std::ranges::find_if(
          entries, [&](const Placed& placed) { return bits_of(placed.hash, used, width) != slot; });
      const auto here = entries.first(static_cast<std::size_t>(end - entries.begin()));
      entries = entries.subspan(here.size());
      const std::string prefix = slot_prefix(static_cast<std::uint32_t>(slot), shard_fanout);
      dagpb::Link link;
      if (here.size() == 1) {
        const FolderEntry& entry = *here.front().entry;
        link = {.cid = entry.cid.bytes(), .name = prefix + entry.name, .total_bytes = entry.total_bytes};
      } else {
        MESH_LET(const Built child, build(here, used + width));
        link = {.cid = child.cid.bytes(), .name = prefix, .total_bytes = child.total_bytes};
      }
      if (*link.total_bytes > max_total - total) return too_large();
      total += *link.total_bytes;
      bitfield[bitfield.size() - 1 - slot / 8] |= static_cast<std::uint8_t>(1U << slot % 8);
      node.links.push_back(std::move(link));
    }
    bitfield.erase(bitfield.begin(), std::ranges::find_if(bitfield, [](std::uint8_t byte) { return byte != 0; }));
    node.data = encode_unixfs(
        {.type = UnixfsType::hamt, .data = std::move(bitfield), .hash_type = murmur3_code, .fanout = shard_fanout});
    Bytes block = dagpb::encode(node);
    if (block.size() > max_total - total) return too_large();
    const Built built{
        .cid = Cid::of(Multicodec::dag_pb, block), .content_bytes = 0, .total_bytes = total + block.size()};
    MESH_TRY(sink(built.cid, std::move(block)));
    return built;
  }
};

// ---- Reading.

/// Where a shard hangs: its names' hashes begin with these bits.
struct Place {
  std::uint64_t prefix = 0;
  unsigned used = 0;
};

unsigned width_of(const Node& shard) { return static_cast<unsigned>(std::bit_width(shard.fanout - 1)); }

/// Whether the entry's hash leads to where it is.
Status check_place(const Node& shard, const Place& place, const NodeLink& entry) {
  const unsigned width = width_of(shard);
  if (bits_of(hash_of(entry.name), 0, place.used + width) == (place.prefix << width | entry.slot)) return {};
  return fail(ErrorCode::invalid,
              "UnixFS: the sharded folder holds \"" + entry.name + "\" where its hash does not lead");
}

/// The shard behind a shard's link, checked against its parent. It has bits left to place names by.
Result<std::pair<Node, Place>> child_of(const Node& shard, const Place& place, const NodeLink& link,
                                        const NodeSource& source) {
  const unsigned width = width_of(shard);
  const Place below{.prefix = place.prefix << width | link.slot, .used = place.used + width};
  if (below.used + width > hash_bits) return fail(ErrorCode::invalid, "UnixFS: a sharded folder deeper than its hash");
  MESH_LET(Node child, source(link.cid));
  if (child.kind != NodeKind::shard) return fail(ErrorCode::invalid, "UnixFS: a shard links to a shard that is none");
  if (child.fanout != shard.fanout)
    return fail(ErrorCode::invalid, "UnixFS: the shards of one folder have different fanouts");
  if (child.links.empty()) return fail(ErrorCode::invalid, "UnixFS: a shard below a folder's root is empty");
  return std::pair(std::move(child), below);
}

struct FolderVisit {
  const NodeSource& source;
  const EntryVisitor& visit;
  std::size_t max_entries = 0;
  std::size_t entries = 0;

  Status give(const NodeLink& entry) {
    if (++entries > max_entries) return too_many(max_entries);
    return visit(entry);
  }

  Status walk(const Node& shard, const Place& place) {
    for (const NodeLink& link : shard.links) {
      if (link.name.empty()) {
        MESH_LET(const auto child, child_of(shard, place, link, source));
        MESH_TRY(walk(child.first, child.second));
      } else {
        MESH_TRY(check_place(shard, place, link));
        MESH_TRY(give(link));
      }
    }
    return {};
  }
};

std::unexpected<Error> no_folder() { return fail(ErrorCode::invalid, "what is read as a folder is none"); }

std::unexpected<Error> no_entry(std::string_view name) {
  return fail(ErrorCode::not_found, "the folder has no entry \"" + std::string(name) + "\"");
}

}  // namespace

Result<Built> build_folder(std::vector<FolderEntry> entries, const BlockSink& sink) {
  if (entries.size() > max_folder_entries) return too_many(max_folder_entries);
  if (plain_folder_bytes(entries) <= max_plain_folder_bytes) {
    MESH_LET(BuiltFolder folder, build_directory(std::move(entries)));
    MESH_TRY(sink(folder.built.cid, std::move(folder.block)));
    return folder.built;
  }
  std::vector<Placed> placed;
  placed.reserve(entries.size());
  for (const FolderEntry& entry : entries) {
    MESH_TRY(check_name(entry.name));
    placed.push_back({.hash = hash_of(entry.name), .entry = &entry});
  }
  std::ranges::sort(placed, {}, &Placed::hash);
  const auto twice = std::ranges::adjacent_find(placed, {}, &Placed::hash);
  if (twice != placed.end()) {
    const std::string& name = twice->entry->name;
    const std::string& other = std::next(twice)->entry->name;
    return name == other ? fail(ErrorCode::invalid, "the folder has two entries named \"" + name + "\"")
                         : fail(ErrorCode::invalid, "\"" + std::min(name, other) + "\" and \"" + std::max(name, other) +
                                                        "\" have one hash and cannot be in one sharded folder");
  }
  return ShardBuilder{.sink = sink}.build(placed, 0);
}

Status visit_folder(const Node& folder, const NodeSource& source, const EntryVisitor& visit, std::size_t max_entries) {
  FolderVisit visiting{.source = source, .visit = visit, .max_entries = max_entries};
  if (folder.kind == NodeKind::shard) return visiting.walk(folder, {});
  if (folder.kind != NodeKind::directory) return no_folder();
  for (const NodeLink& entry : folder.links) MESH_TRY(visiting.give(entry));
  return {};
}

Result<NodeLink> find_entry(const Node& folder, const NodeSource& source, std::string_view name) {
  if (folder.kind == NodeKind::directory) {
    const auto found = std::ranges::lower_bound(folder.links, name, {}, &NodeLink::name);
    if (found == folder.links.end() || found->name != name) return no_entry(name);
    return *found;
  }
  if (folder.kind != NodeKind::shard) return no_folder();
  const std::uint64_t hash = hash_of(name);
  Node shard = folder;
  Place place;
  while (true) {
    const auto slot = static_cast<std::uint32_t>(bits_of(hash, place.used, width_of(shard)));
    const auto found = std::ranges::lower_bound(shard.links, slot, {}, &NodeLink::slot);
    if (found == shard.links.end() || found->slot != slot) return no_entry(name);
    if (!found->name.empty()) {
      MESH_TRY(check_place(shard, place, *found));
      if (found->name != name) return no_entry(name);
      return *found;
    }
    MESH_LET(auto child, child_of(shard, place, *found, source));
    std::tie(shard, place) = std::move(child);
  }
}

}  // namespace mesh::asset
