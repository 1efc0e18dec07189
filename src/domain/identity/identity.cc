#include "domain/identity/identity.h"

namespace mesh::identity {

namespace {

constexpr std::array<std::uint8_t, 2> ed25519_multicodec{0xed, 0x01};
// Identity multihash (0x00) of 36 bytes: protobuf {key type 1 = Ed25519, 32 bytes of key}.
constexpr std::array<std::uint8_t, 6> peer_id_prefix{0x00, 0x24, 0x08, 0x01, 0x12, 0x20};
constexpr std::string_view did_prefix = "did:key:";

Result<NodeId> key_after(ByteView prefix, ByteView bytes) {
  if (bytes.size() != prefix.size() + NodeId::size || !equal(bytes.first(prefix.size()), prefix)) {
    return fail(ErrorCode::invalid, "not an Ed25519 node id");
  }
  const NodeId node = *NodeId::from(bytes.subspan(prefix.size()));
  if (!can_be_identity(node))
    return fail(ErrorCode::invalid, "this key is no valid identity (off the curve or of small order)");
  return node;
}

Bytes with_prefix(ByteView prefix, const NodeId& node) {
  Bytes bytes = to_bytes(prefix);
  append(bytes, node.view());
  return bytes;
}

}  // namespace

std::string did_of(const NodeId& node) {
  return std::string(did_prefix) + multibase_encode(Base::base58btc, with_prefix(ed25519_multicodec, node));
}

std::string peer_id_of(const NodeId& node) { return base58btc_encode(with_prefix(peer_id_prefix, node)); }

Result<NodeId> parse_node(std::string_view text) {
  if (text.size() > 128) return fail(ErrorCode::invalid, "a node id has at most 128 characters");
  if (text.starts_with(did_prefix)) {
    MESH_LET(const Bytes bytes, multibase_decode(text.substr(did_prefix.size())));
    return key_after(ed25519_multicodec, bytes);
  }
  MESH_LET(const Bytes bytes, base58btc_decode(text));
  return key_after(peer_id_prefix, bytes);
}

std::string short_name(const NodeId& node) {
  const std::string text = peer_id_of(node);
  return text.substr(text.size() - 8);
}

Status check_name(std::string_view name) {
  const bool valid = !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (!valid) {
    return fail(ErrorCode::invalid, "a federation's name has 1 to 64 characters of a-z, 0-9 and '-'");
  }
  return {};
}

Result<Cid> derive_federation(std::string_view name, const Cid& policy) {
  MESH_TRY(check_name(name));
  return dagcbor::cid_of(
      record::encode(Charter{.name = std::string(name), .parents = {}, .founders = {}, .policy = policy}));
}

}  // namespace mesh::identity
