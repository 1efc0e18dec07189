#include "codec/car.h"

#include "base/check.h"
#include "codec/dagcbor.h"
#include "codec/varint.h"

namespace mesh::car {

namespace {

constexpr std::size_t max_header_bytes = std::size_t{64} << 10;
constexpr std::size_t max_name_bytes = 64;  // Of a CID before its block.
constexpr std::size_t max_roots = 1024;

Result<std::vector<Cid>> parse_header(ByteView bytes) {
  MESH_LET(const dagcbor::Value value,
           dagcbor::decode(bytes,
                           {.max_bytes = max_header_bytes, .max_depth = 8, .max_items = 4096, .allow_floats = false}));
  const dagcbor::Map* map = value.get<dagcbor::Map>();
  const dagcbor::Value* version = value.find("version");
  if (map == nullptr || version == nullptr) return fail(ErrorCode::invalid, "the CAR header has no version");
  if (*version != dagcbor::Value(1)) return fail(ErrorCode::unsupported, "the CAR is not of version 1");
  const dagcbor::Value* roots = value.find("roots");
  const dagcbor::List* list = roots == nullptr ? nullptr : roots->get<dagcbor::List>();
  if (list == nullptr || map->size() != 2) {
    return fail(ErrorCode::invalid, "the CAR header has not exactly the fields roots and version");
  }
  if (list->empty() || list->size() > max_roots) {
    return fail(ErrorCode::invalid, "the CAR header has " + std::to_string(list->size()) + " roots, not 1 to 1024");
  }
  std::vector<Cid> result;
  result.reserve(list->size());
  for (const dagcbor::Value& item : *list) {
    const dagcbor::Link* link = item.get<dagcbor::Link>();
    if (link == nullptr) return fail(ErrorCode::invalid, "a root in the CAR header is not a link");
    MESH_LET(const LeadingCid root, leading_cid(link->cid));
    result.push_back(root.cid);  // The decoder has checked that the link holds nothing after its CID.
  }
  return result;
}

}  // namespace

Bytes header(std::span<const Cid> roots) {
  MESH_CHECK(!roots.empty() && roots.size() <= max_roots, "car-root-count");
  dagcbor::List list;
  list.reserve(roots.size());
  for (const Cid& root : roots) list.emplace_back(root);
  dagcbor::Map map;
  map.emplace("roots", std::move(list));
  map.emplace("version", 1);
  const Bytes body = dagcbor::encode(std::move(map));
  Bytes out;
  append_varint(out, body.size());
  append(out, body);
  return out;
}

Bytes section(const Cid& cid, ByteView block, std::size_t max_bytes) {
  MESH_CHECK(block.size() <= max_bytes, "car-block-size");
  Bytes out;
  out.reserve(block.size() + Cid::binary_size + 4);
  append_varint(out, Cid::binary_size + block.size());
  append(out, cid.binary());
  append(out, block);
  return out;
}

Status Reader::feed(ByteView bytes) {
  if (!status_) return status_;
  append(buffer_, bytes);
  status_ = parse();
  if (!status_) {
    buffer_ = {};
    consumed_ = 0;
    return status_;
  }
  if (consumed_ > 0) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(consumed_));
    consumed_ = 0;
  }
  return {};
}

Status Reader::parse() {
  while (true) {
    const ByteView rest = ByteView(buffer_).subspan(consumed_);
    const Varint length = read_varint(rest);
    if (length.state == VarintState::incomplete) return {};
    const std::string_view part = has_header_ ? "section" : "header";
    if (length.state == VarintState::invalid || length.value == 0) {
      return fail(ErrorCode::invalid,
                  "the length of a CAR " + std::string(part) + " is not a positive varint in its shortest form");
    }
    const std::size_t bound = has_header_ ? max_block_bytes_ + max_name_bytes : max_header_bytes;
    if (length.value > bound) {
      return fail(ErrorCode::exhausted, "a CAR " + std::string(part) + " of " + std::to_string(length.value) +
                                            " bytes is longer than the " + std::to_string(bound) + " allowed");
    }
    if (rest.size() - length.size < length.value) return {};
    const ByteView body = rest.subspan(length.size, static_cast<std::size_t>(length.value));
    if (has_header_) {
      MESH_LET(const LeadingCid name, leading_cid(body));
      const ByteView block = body.subspan(name.size);
      if (block.size() > max_block_bytes_) {
        return fail(ErrorCode::exhausted, "block " + name.cid.text() + " has more than the " +
                                              std::to_string(max_block_bytes_) + " bytes allowed");
      }
      if (!name.cid.matches(block)) {
        return fail(ErrorCode::invalid, "the bytes sent as block " + name.cid.text() + " have another hash");
      }
      ready_.push_back({name.cid, to_bytes(block)});
    } else {
      MESH_LET(roots_, parse_header(body));
      has_header_ = true;
    }
    consumed_ += length.size + body.size();
  }
}

std::optional<Block> Reader::next() {
  if (taken_ == ready_.size()) return std::nullopt;
  Block block = std::move(ready_[taken_++]);
  if (taken_ == ready_.size()) {
    ready_.clear();
    taken_ = 0;
  }
  return block;
}

Result<Archive> read(ByteView bytes) {
  Reader reader;
  MESH_TRY(reader.feed(bytes));
  if (!reader.at_boundary()) return fail(ErrorCode::invalid, "the CAR ends inside its header or a section");
  Archive archive{.roots = reader.roots(), .blocks = {}};
  while (std::optional<Block> block = reader.next()) archive.blocks.push_back(std::move(*block));
  return archive;
}

Bytes write(const Archive& archive) {
  Bytes out = header(archive.roots);
  std::size_t total_bytes = out.size();
  for (const Block& block : archive.blocks) total_bytes += block.bytes.size() + Cid::binary_size + 4;
  out.reserve(total_bytes);
  for (const Block& block : archive.blocks) append(out, section(block.cid, block.bytes));
  return out;
}

}  // namespace mesh::car
