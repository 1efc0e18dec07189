#include "domain/asset/unixfs.h"

#include <bit>

#include "base/check.h"
#include "codec/dagcbor.h"
#include "codec/utf8.h"
#include "codec/varint.h"
#include "domain/asset/dagpb.h"
#include "domain/asset/unixfs_data.h"

namespace mesh::asset {

namespace {

constexpr std::uint64_t max_size = (std::uint64_t{1} << 63) - 1;

/// a + b, or nullopt past max_size.
std::optional<std::uint64_t> add(std::uint64_t a, std::uint64_t b) {
  if (a > max_size || b > max_size - a) return std::nullopt;
  return a + b;
}

/// The Cid of a link's binary CID if Meshwork can name it.
Result<Cid> nameable(ByteView cid) {
  MESH_LET(const LeadingCid leading, leading_cid(cid));  // Its size is the whole: decoders have checked the structure.
  return leading.cid;
}

void collect_links(const dagcbor::Value& value, std::vector<Cid>& links, std::set<Cid>& seen) {
  // Recursion is as deep as the decoder let the value be.
  if (const auto* link = value.get<dagcbor::Link>()) {
    if (const Result<Cid> cid = nameable(link->cid); cid && seen.insert(*cid).second) links.push_back(*cid);
  } else if (const auto* list = value.get<dagcbor::List>()) {
    for (const dagcbor::Value& item : *list) collect_links(item, links, seen);
  } else if (const auto* map = value.get<dagcbor::Map>()) {
    for (const auto& [key, item] : *map) collect_links(item, links, seen);
  }
}

Result<Node> parse_file(UnixfsData data, const std::vector<dagpb::Link>& links) {
  if (data.child_bytes.size() != links.size()) {
    return fail(ErrorCode::invalid, "UnixFS: a file with " + std::to_string(links.size()) + " links and " +
                                        std::to_string(data.child_bytes.size()) + " sizes");
  }
  Node node{.kind = NodeKind::file, .content_bytes = 0, .links = {}, .inline_data = {}};
  if (data.data) node.inline_data = std::move(*data.data);
  std::optional<std::uint64_t> total = node.inline_data.size();
  node.links.reserve(links.size());
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (links[i].name && !links[i].name->empty()) return fail(ErrorCode::invalid, "UnixFS: a file with a named link");
    MESH_LET(const Cid child, nameable(links[i].cid));
    node.links.push_back({.cid = child, .name = {}, .bytes = data.child_bytes[i]});
    total = add(*total, data.child_bytes[i]);
    if (!total) return fail(ErrorCode::invalid, "UnixFS: a file whose sizes overflow");
  }
  if (data.file_bytes && *data.file_bytes != *total) {
    return fail(ErrorCode::invalid, "UnixFS: a file said to have " + std::to_string(*data.file_bytes) +
                                        " bytes whose parts have " + std::to_string(*total));
  }
  node.content_bytes = *total;
  return node;
}

Result<Node> parse_shard(const UnixfsData& data, std::vector<dagpb::Link> links) {
  if (data.file_bytes.value_or(0) != 0 || !data.child_bytes.empty())
    return fail(ErrorCode::invalid, "UnixFS: a shard with the data of a file");
  if (data.hash_type != murmur3_code)
    return fail(ErrorCode::unsupported,
                "UnixFS: a sharded folder whose names are placed by another hash than murmur3-x64-64");
  const std::uint64_t fanout = data.fanout.value_or(0);
  if (fanout < min_fanout || fanout > max_fanout || !std::has_single_bit(fanout)) {
    return fail(ErrorCode::invalid, "UnixFS: a shard with a fanout of " + std::to_string(fanout) +
                                        ", which is no power of two from 8 to 1024");
  }
  const Bytes bitfield = data.data.value_or(Bytes());  // Big-endian; leading zero bytes may be left out.
  if (bitfield.size() > fanout / 8)
    return fail(ErrorCode::invalid, "UnixFS: a shard's bitfield is longer than its fanout");
  Node node{.kind = NodeKind::shard,
            .content_bytes = 0,
            .links = {},
            .inline_data = {},
            .fanout = static_cast<std::uint32_t>(fanout)};
  node.links.reserve(links.size());
  auto next = links.begin();
  for (std::uint32_t slot = 0; slot < bitfield.size() * 8; ++slot) {
    if ((bitfield[bitfield.size() - 1 - slot / 8] >> slot % 8 & 1) == 0) continue;
    if (next == links.end()) return fail(ErrorCode::invalid, "UnixFS: a shard with fewer links than its bitfield says");
    dagpb::Link& link = *next++;
    const std::string prefix = slot_prefix(slot, node.fanout);
    if (!link.name || !link.name->starts_with(prefix))
      return fail(ErrorCode::invalid, "UnixFS: a shard's link is not named after its slot, which is " + prefix);
    std::string name = link.name->substr(prefix.size());
    MESH_LET(const Cid child, nameable(link.cid));
    if (!name.empty()) {
      MESH_TRY(check_name(name));
    } else if (child.codec() != Multicodec::dag_pb) {
      return fail(ErrorCode::invalid, "UnixFS: a shard links to a shard that cannot be one");
    }
    node.links.push_back({.cid = child, .name = std::move(name), .bytes = link.total_bytes.value_or(0), .slot = slot});
  }
  if (next != links.end()) return fail(ErrorCode::invalid, "UnixFS: a shard with more links than its bitfield says");
  return node;
}

Result<Node> parse_directory(const UnixfsData& data, std::vector<dagpb::Link> links) {
  if (data.data || data.file_bytes.value_or(0) != 0 || !data.child_bytes.empty()) {
    return fail(ErrorCode::invalid, "UnixFS: a folder with the data of a file");
  }
  Node node{.kind = NodeKind::directory, .content_bytes = 0, .links = {}, .inline_data = {}};
  node.links.reserve(links.size());
  for (dagpb::Link& link : links) {
    if (!link.name) return fail(ErrorCode::invalid, "UnixFS: a folder's entry without a name");
    MESH_TRY(check_name(*link.name));
    if (!node.links.empty() && node.links.back().name == *link.name) {
      return fail(ErrorCode::invalid, "UnixFS: a folder with two entries of one name");
    }
    MESH_LET(const Cid child, nameable(link.cid));
    node.links.push_back({.cid = child, .name = std::move(*link.name), .bytes = link.total_bytes.value_or(0)});
  }
  return node;
}

Result<Node> parse_dagpb(ByteView block) {
  MESH_LET(dagpb::Node outer, dagpb::decode(block));
  if (!outer.data) return fail(ErrorCode::invalid, "the DAG-PB node is neither file nor folder: it has no UnixFS data");
  MESH_LET(UnixfsData data, decode_unixfs(*outer.data));
  if (data.type == UnixfsType::directory) return parse_directory(data, std::move(outer.links));
  if (data.type == UnixfsType::hamt) return parse_shard(data, std::move(outer.links));
  if (data.type == UnixfsType::raw && !outer.links.empty())
    return fail(ErrorCode::invalid, "UnixFS: a leaf with links");
  return parse_file(std::move(data), outer.links);
}

Status check_block_size(ByteView block) {
  if (block.size() <= max_block_bytes) return {};
  return fail(ErrorCode::exhausted, "a block of " + std::to_string(block.size()) + " bytes is larger than 2 MiB");
}

}  // namespace

Status FileBuilder::feed(ByteView bytes) {
  while (!bytes.empty()) {
    if (chunk_.empty() && bytes.size() >= chunk_bytes) {  // A whole chunk needs no second copy.
      MESH_TRY(emit_leaf(bytes.first(chunk_bytes)));
      bytes = bytes.subspan(chunk_bytes);
      continue;
    }
    const std::size_t part = std::min(bytes.size(), chunk_bytes - chunk_.size());
    append(chunk_, bytes.first(part));
    bytes = bytes.subspan(part);
    if (chunk_.size() == chunk_bytes) {
      MESH_TRY(emit_leaf(chunk_));
      chunk_.clear();
    }
  }
  return {};
}

Result<Built> FileBuilder::finish() {
  if (!chunk_.empty() || levels_.empty()) MESH_TRY(emit_leaf(chunk_));  // The empty file is one empty leaf.
  chunk_ = {};
  for (std::size_t level = 0;; ++level) {
    MESH_CHECK(level < levels_.size(), "file-builder-root");
    const bool is_top = level + 1 == levels_.size();
    if (is_top && levels_[level].size() == 1) return levels_[level][0];
    if (!levels_[level].empty()) MESH_TRY(emit_node(level));
  }
}

Status FileBuilder::emit_leaf(ByteView chunk) {
  const Cid cid = Cid::of(Multicodec::raw, chunk);
  MESH_TRY(sink_(cid, to_bytes(chunk)));
  return push(0, {.cid = cid, .content_bytes = chunk.size(), .total_bytes = chunk.size()});
}

Status FileBuilder::push(std::size_t level, const Built& child) {
  if (levels_.size() == level) levels_.emplace_back();
  levels_[level].push_back(child);
  return levels_[level].size() == max_links ? emit_node(level) : Status{};
}

Status FileBuilder::emit_node(std::size_t level) {
  const std::vector<Built> children = std::exchange(levels_[level], {});
  UnixfsData data;
  dagpb::Node node;
  Built built;
  data.child_bytes.reserve(children.size());
  node.links.reserve(children.size());
  for (const Built& child : children) {
    // Kubo writes the empty name, and so its bytes are part of every file's CID.
    node.links.push_back({.cid = child.cid.bytes(), .name = "", .total_bytes = child.total_bytes});
    data.child_bytes.push_back(child.content_bytes);
    built.content_bytes += child.content_bytes;
    built.total_bytes += child.total_bytes;
  }
  data.file_bytes = built.content_bytes;
  node.data = encode_unixfs(data);
  Bytes block = dagpb::encode(node);
  built.cid = Cid::of(Multicodec::dag_pb, block);
  built.total_bytes += block.size();
  MESH_TRY(sink_(built.cid, std::move(block)));
  return push(level + 1, built);
}

Status check_name(std::string_view name) {
  if (name.empty()) return fail(ErrorCode::invalid, "a folder's entry has an empty name");
  if (name.size() > max_name_bytes)
    return fail(ErrorCode::invalid, "a folder's entry has a name longer than 255 bytes");
  if (name == "." || name == "..") return fail(ErrorCode::invalid, "a folder's entry is named " + std::string(name));
  if (name.find('/') != std::string_view::npos)
    return fail(ErrorCode::invalid, "a folder's entry has a slash in its name");
  if (name.find('\0') != std::string_view::npos)
    return fail(ErrorCode::invalid, "a folder's entry has a zero byte in its name");
  if (!is_utf8(name)) return fail(ErrorCode::invalid, "a folder's entry has a name that is not UTF-8");
  return {};
}

std::string slot_prefix(std::uint32_t slot, std::uint32_t fanout) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string prefix;
  for (std::uint32_t rest = fanout - 1; rest > 0; rest >>= 4, slot >>= 4)
    prefix.insert(prefix.begin(), digits[slot & 15]);
  return prefix;
}

std::uint64_t plain_folder_bytes(const std::vector<FolderEntry>& entries) {
  const auto field = [](std::uint64_t bytes) { return 1 + varint_size(bytes) + bytes; };
  std::uint64_t total = field(encode_unixfs({.type = UnixfsType::directory}).size());
  for (const FolderEntry& entry : entries)
    total += field(field(entry.cid.bytes().size()) + field(entry.name.size()) + 1 + varint_size(entry.total_bytes));
  return total;
}

Result<BuiltFolder> build_directory(std::vector<FolderEntry> entries) {
  if (const std::uint64_t bytes = plain_folder_bytes(entries); bytes > max_plain_folder_bytes) {
    return fail(ErrorCode::unsupported, "a folder that would be one block of " + std::to_string(bytes) +
                                            " bytes is past the 262144 above which folders are sharded");
  }
  std::ranges::sort(entries, {}, &FolderEntry::name);
  dagpb::Node node;
  node.links.reserve(entries.size());
  std::optional<std::uint64_t> total = 0;
  for (FolderEntry& entry : entries) {
    MESH_TRY(check_name(entry.name));
    if (!node.links.empty() && node.links.back().name == entry.name) {
      return fail(ErrorCode::invalid, "the folder has two entries named \"" + entry.name + "\"");
    }
    total = add(*total, entry.total_bytes);
    if (!total) return fail(ErrorCode::invalid, "the sizes of the folder's entries overflow");
    node.links.push_back({.cid = entry.cid.bytes(), .name = std::move(entry.name), .total_bytes = entry.total_bytes});
  }
  node.data = encode_unixfs({.type = UnixfsType::directory});
  Bytes block = dagpb::encode(node);
  total = add(*total, block.size());
  if (!total) return fail(ErrorCode::invalid, "the sizes of the folder's entries overflow");
  const Built built{.cid = Cid::of(Multicodec::dag_pb, block), .content_bytes = 0, .total_bytes = *total};
  return BuiltFolder{built, std::move(block)};
}

Result<Node> parse_node(const Cid& cid, ByteView block) {
  MESH_TRY(check_block_size(block));
  switch (cid.codec()) {
    case Multicodec::raw:
      return Node{.kind = NodeKind::raw, .content_bytes = block.size(), .links = {}, .inline_data = to_bytes(block)};
    case Multicodec::dag_pb:
      return parse_dagpb(block);
    case Multicodec::dag_cbor: {
      MESH_LET(const std::vector<Cid> links, links_of(cid, block));
      Node node{.kind = NodeKind::record, .content_bytes = 0, .links = {}, .inline_data = {}};
      for (const Cid& link : links) node.links.push_back({.cid = link, .name = {}, .bytes = 0});
      return node;
    }
  }
  return fail(ErrorCode::unsupported, "a block of unknown codec");
}

Result<std::vector<Cid>> links_of(const Cid& cid, ByteView block) {
  MESH_TRY(check_block_size(block));
  std::vector<Cid> links;
  std::set<Cid> seen;
  if (cid.codec() == Multicodec::dag_pb) {
    MESH_LET(const dagpb::Node node, dagpb::decode(block));
    for (const dagpb::Link& link : node.links) {
      MESH_LET(const Cid child, nameable(link.cid));
      if (seen.insert(child).second) links.push_back(child);
    }
  } else if (cid.codec() == Multicodec::dag_cbor) {
    MESH_LET(const dagcbor::Value value, dagcbor::decode(block));
    collect_links(value, links, seen);
  }
  return links;
}

DagWalk::DagWalk(const Cid& root, const WalkLimits& limits)
    : limits_(limits), found_{root}, wanted_{{root, {}}}, by_order_{{0, root}} {}

std::vector<Cid> DagWalk::wanted(std::size_t count) const {
  std::vector<Cid> result;
  result.reserve(std::min(count, by_order_.size()));
  for (const auto& [order, cid] : by_order_) {
    if (result.size() == count) break;
    result.push_back(cid);
  }
  return result;
}

Status DagWalk::take(const Cid& cid, ByteView block) {
  const auto it = wanted_.find(cid);
  if (it == wanted_.end()) return fail(ErrorCode::conflict, "block " + cid.text() + " is not wanted");
  MESH_TRY(check_block_size(block));
  if (!cid.matches(block))
    return fail(ErrorCode::invalid, "the bytes given as block " + cid.text() + " have another hash");
  if (block.size() > limits_.max_bytes - taken_bytes_) {
    return fail(ErrorCode::exhausted, "the DAG has more than " + std::to_string(limits_.max_bytes) + " bytes");
  }
  MESH_LET(std::vector<Cid> links, links_of(cid, block));
  std::erase_if(links, [this](const Cid& link) { return found_.contains(link); });
  if (!links.empty() && it->second.depth >= limits_.max_depth) {
    return fail(ErrorCode::exhausted, "the DAG is deeper than " + std::to_string(limits_.max_depth) + " links");
  }
  if (found_.size() + links.size() > limits_.max_blocks) {
    return fail(ErrorCode::exhausted, "the DAG has more than " + std::to_string(limits_.max_blocks) + " blocks");
  }
  const Place place = it->second;
  wanted_.erase(it);
  by_order_.erase(place.order);
  taken_bytes_ += block.size();
  for (const Cid& link : links) {
    found_.insert(link);
    wanted_.emplace(link, Place{next_order_, place.depth + 1});
    by_order_.emplace(next_order_++, link);
  }
  return {};
}

}  // namespace mesh::asset
