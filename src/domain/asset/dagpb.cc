#include "domain/asset/dagpb.h"

#include "codec/dagcbor.h"
#include "codec/utf8.h"
#include "domain/asset/protobuf.h"

namespace mesh::dagpb {

namespace {

// PBNode and PBLink of the specification.
constexpr std::uint32_t node_data = 1;
constexpr std::uint32_t node_link = 2;
constexpr std::uint32_t link_hash = 1;
constexpr std::uint32_t link_name = 2;
constexpr std::uint32_t link_total_bytes = 3;

std::unexpected<Error> invalid(std::string_view what) {
  return fail(ErrorCode::invalid, "DAG-PB: " + std::string(what));
}

Result<Link> decode_link(ByteView bytes) {
  Link link;
  protobuf::Reader reader(bytes);
  std::uint32_t last = 0;
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    if (field.number <= last) return invalid("a link's fields are repeated or out of order");
    last = field.number;
    if (field.number == link_hash && field.is_bytes) {
      if (!dagcbor::is_cid(field.bytes)) return invalid("a link's hash is not a CID");
      link.cid = to_bytes(field.bytes);
    } else if (field.number == link_name && field.is_bytes) {
      if (!is_utf8(as_text(field.bytes))) return invalid("a link's name is not UTF-8");
      link.name = as_text(field.bytes);
    } else if (field.number == link_total_bytes && !field.is_bytes) {
      link.total_bytes = field.number_value;
    } else {
      return invalid("a link has an unknown or mistyped field");
    }
  }
  if (link.cid.empty()) return invalid("a link has no hash");
  return link;
}

std::string_view name_of(const Link& link) { return link.name ? std::string_view(*link.name) : std::string_view(); }

}  // namespace

Bytes encode(const Node& node) {
  Bytes out;
  Bytes inner;
  for (const Link& link : node.links) {
    inner.clear();
    protobuf::put_bytes(inner, link_hash, link.cid);
    if (link.name) protobuf::put_bytes(inner, link_name, as_bytes(*link.name));
    if (link.total_bytes) protobuf::put_varint(inner, link_total_bytes, *link.total_bytes);
    protobuf::put_bytes(out, node_link, inner);
  }
  if (node.data) protobuf::put_bytes(out, node_data, *node.data);
  return out;
}

Result<Node> decode(ByteView block) {
  if (block.size() > max_block_bytes) return fail(ErrorCode::exhausted, "DAG-PB: the block is larger than 2 MiB");
  Node node;
  protobuf::Reader reader(block);
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    if (node.data) return invalid("there is a field after the data");
    if (field.number == node_link && field.is_bytes) {
      MESH_LET(Link link, decode_link(field.bytes));
      if (!node.links.empty() && name_of(link) < name_of(node.links.back()))
        return invalid("the links are not sorted by name");
      node.links.push_back(std::move(link));
    } else if (field.number == node_data && field.is_bytes) {
      node.data = to_bytes(field.bytes);
    } else {
      return invalid("the node has an unknown or mistyped field");
    }
  }
  return node;
}

}  // namespace mesh::dagpb
