#include "domain/asset/bitswap_message.h"

#include <array>

#include "domain/asset/protobuf.h"

namespace mesh::asset {

namespace {

// Fields of the messages, as the protocol numbers them.
constexpr std::uint32_t message_wantlist = 1, message_payload = 3, message_presences = 4, message_pending = 5;
constexpr std::uint32_t wantlist_entries = 1, wantlist_full = 2;
constexpr std::uint32_t entry_cid = 1, entry_priority = 2, entry_cancel = 3, entry_type = 4, entry_dont_have = 5;
constexpr std::uint32_t block_prefix = 1, block_data = 2;
constexpr std::uint32_t presence_cid = 1, presence_type = 2;

constexpr std::uint64_t max_int32 = (std::uint64_t{1} << 31) - 1;
constexpr std::size_t cid_v0_bytes = 34;
constexpr std::array<std::uint8_t, 4> v0_prefix{0, 0x70, 0x12, 0x20};

Result<Bytes> read_cid(const protobuf::Field& field) {
  if (!field.is_bytes || field.bytes.empty() || field.bytes.size() > max_bitswap_cid_bytes)
    return fail(ErrorCode::invalid, "a CID of a Bitswap message that has no bytes or too many");
  return to_bytes(field.bytes);
}

/// A number of at most `maximum`.
Result<std::uint32_t> read_number(const protobuf::Field& field, std::uint64_t maximum) {
  if (field.is_bytes || field.number_value > maximum)
    return fail(ErrorCode::invalid, "a number of a Bitswap message that is out of its range");
  return static_cast<std::uint32_t>(field.number_value);
}

Result<ByteView> read_bytes(const protobuf::Field& field) {
  if (!field.is_bytes) return fail(ErrorCode::invalid, "a field of a Bitswap message that is of another type");
  return field.bytes;
}

Result<BitswapMessage::Want> read_want(ByteView bytes) {
  BitswapMessage::Want want;
  protobuf::Reader reader(bytes);
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    if (field.number == entry_cid) {
      MESH_LET(want.cid, read_cid(field));
    } else if (field.number == entry_priority) {
      MESH_LET(want.priority, read_number(field, max_int32));
    } else if (field.number >= entry_cancel && field.number <= entry_dont_have) {
      MESH_LET(const std::uint32_t value, read_number(field, 1));
      (field.number == entry_cancel ? want.cancel
       : field.number == entry_type ? want.have
                                    : want.send_dont_have) = value == 1;
    }
  }
  if (want.cid.empty()) return fail(ErrorCode::invalid, "a want of a Bitswap message that names no block");
  return want;
}

Status read_wantlist(ByteView bytes, BitswapMessage& message) {
  protobuf::Reader reader(bytes);
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    if (field.number == wantlist_entries) {
      MESH_LET(const ByteView entry, read_bytes(field));
      if (message.wants.size() == max_bitswap_entries) continue;
      MESH_LET(BitswapMessage::Want want, read_want(entry));
      message.wants.push_back(std::move(want));
    } else if (field.number == wantlist_full) {
      MESH_LET(const std::uint32_t value, read_number(field, 1));
      message.is_full = value == 1;
    }
  }
  return {};
}

Result<BitswapMessage::Block> read_block(ByteView bytes) {
  BitswapMessage::Block block;
  protobuf::Reader reader(bytes);
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    if (field.number == block_prefix) {
      MESH_LET(block.prefix, read_cid(field));
    } else if (field.number == block_data) {
      MESH_LET(const ByteView data, read_bytes(field));
      block.data = to_bytes(data);
    }
  }
  if (block.prefix.empty()) return fail(ErrorCode::invalid, "a block of a Bitswap message that names no CID");
  return block;
}

Result<BitswapMessage::Presence> read_presence(ByteView bytes) {
  BitswapMessage::Presence presence{.cid = {}, .has = true};  // "Have" is the type that is not written.
  protobuf::Reader reader(bytes);
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    if (field.number == presence_cid) {
      MESH_LET(presence.cid, read_cid(field));
    } else if (field.number == presence_type) {
      MESH_LET(const std::uint32_t value, read_number(field, 1));
      presence.has = value == 0;
    }
  }
  if (presence.cid.empty()) return fail(ErrorCode::invalid, "a presence of a Bitswap message that names no block");
  return presence;
}

Bytes encode_want(const BitswapMessage::Want& want) {
  Bytes out;
  protobuf::put_bytes(out, entry_cid, want.cid);
  protobuf::put_varint(out, entry_priority, want.priority);
  if (want.cancel) protobuf::put_varint(out, entry_cancel, 1);
  if (want.have) protobuf::put_varint(out, entry_type, 1);
  if (want.send_dont_have) protobuf::put_varint(out, entry_dont_have, 1);
  return out;
}

}  // namespace

Bytes encode_bitswap(const BitswapMessage& message) {
  Bytes out;
  if (!message.wants.empty() || message.is_full) {
    Bytes list;
    for (const BitswapMessage::Want& want : message.wants)
      protobuf::put_bytes(list, wantlist_entries, encode_want(want));
    if (message.is_full) protobuf::put_varint(list, wantlist_full, 1);
    protobuf::put_bytes(out, message_wantlist, list);
  }
  for (const BitswapMessage::Block& block : message.blocks) {
    Bytes part;
    protobuf::put_bytes(part, block_prefix, block.prefix);
    protobuf::put_bytes(part, block_data, block.data);
    protobuf::put_bytes(out, message_payload, part);
  }
  for (const BitswapMessage::Presence& presence : message.presences) {
    Bytes part;
    protobuf::put_bytes(part, presence_cid, presence.cid);
    if (!presence.has) protobuf::put_varint(part, presence_type, 1);
    protobuf::put_bytes(out, message_presences, part);
  }
  if (message.pending_bytes > 0) protobuf::put_varint(out, message_pending, message.pending_bytes);
  return out;
}

Result<BitswapMessage> decode_bitswap(ByteView bytes) {
  if (bytes.size() > max_bitswap_message_bytes) return fail(ErrorCode::invalid, "a Bitswap message of more than 4 MiB");
  BitswapMessage message;
  protobuf::Reader reader(bytes);
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    if (field.number == message_wantlist) {
      MESH_LET(const ByteView list, read_bytes(field));
      MESH_TRY(read_wantlist(list, message));
    } else if (field.number == message_payload) {
      MESH_LET(const ByteView part, read_bytes(field));
      MESH_LET(BitswapMessage::Block block, read_block(part));
      message.blocks.push_back(std::move(block));
    } else if (field.number == message_presences) {
      MESH_LET(const ByteView part, read_bytes(field));
      if (message.presences.size() == max_bitswap_entries) continue;
      MESH_LET(BitswapMessage::Presence presence, read_presence(part));
      message.presences.push_back(std::move(presence));
    } else if (field.number == message_pending) {
      MESH_LET(message.pending_bytes, read_number(field, max_int32));
    }
  }
  return message;
}

std::optional<Cid> cid_of_want(ByteView bytes) {
  const Result<LeadingCid> read = leading_cid(bytes);
  if (!read || read->size != bytes.size()) return std::nullopt;
  return read->cid;
}

Bytes prefix_of_want(ByteView cid) {
  if (cid.size() == cid_v0_bytes) return {v0_prefix.begin(), v0_prefix.end()};
  return to_bytes(cid.first(std::min<std::size_t>(cid.size(), v0_prefix.size())));
}

std::optional<Cid> cid_of_block(const BitswapMessage::Block& block) {
  if (std::ranges::equal(block.prefix, v0_prefix)) return Cid::of(Multicodec::dag_pb, block.data);
  if (block.prefix.size() != v0_prefix.size()) return std::nullopt;
  // The digest is what the bytes have; whether that was asked for is another question.
  Bytes whole = block.prefix;
  append(whole, sha256(block.data).view());
  const Result<Cid> cid = Cid::from_bytes(whole);
  if (!cid) return std::nullopt;
  return *cid;
}

}  // namespace mesh::asset
