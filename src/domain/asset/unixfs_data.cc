#include "domain/asset/unixfs_data.h"

#include "domain/asset/protobuf.h"

namespace mesh::asset {

namespace {

constexpr std::uint32_t type_field = 1;
constexpr std::uint32_t data_field = 2;
constexpr std::uint32_t file_bytes_field = 3;
constexpr std::uint32_t child_bytes_field = 4;
constexpr std::uint32_t hash_type_field = 5;
constexpr std::uint32_t fanout_field = 6;
constexpr std::uint32_t mode_field = 7;
constexpr std::uint32_t modified_field = 8;

Result<UnixfsType> type_of(std::uint64_t number) {
  switch (number) {
    case 0:
      return UnixfsType::raw;
    case 1:
      return UnixfsType::directory;
    case 2:
      return UnixfsType::file;
    case 3:
      return fail(ErrorCode::unsupported, "UnixFS metadata nodes are not built");
    case 4:
      return fail(ErrorCode::unsupported, "symbolic links in UnixFS are not built");
    case 5:
      return UnixfsType::hamt;
    default:
      return fail(ErrorCode::invalid, "UnixFS: a node of unknown type");
  }
}

}  // namespace

Bytes encode_unixfs(const UnixfsData& data) {
  Bytes out;
  protobuf::put_varint(out, type_field, static_cast<std::uint64_t>(data.type));
  if (data.data) protobuf::put_bytes(out, data_field, *data.data);
  if (data.file_bytes) protobuf::put_varint(out, file_bytes_field, *data.file_bytes);
  for (const std::uint64_t bytes : data.child_bytes) protobuf::put_varint(out, child_bytes_field, bytes);
  if (data.hash_type) protobuf::put_varint(out, hash_type_field, *data.hash_type);
  if (data.fanout) protobuf::put_varint(out, fanout_field, *data.fanout);
  if (data.mode) protobuf::put_varint(out, mode_field, *data.mode);
  if (data.modified) protobuf::put_bytes(out, modified_field, *data.modified);
  return out;
}

Result<UnixfsData> decode_unixfs(ByteView bytes) {
  UnixfsData data;
  protobuf::Reader reader(bytes);
  std::uint32_t last = 0;
  while (!reader.at_end()) {
    MESH_LET(const protobuf::Field field, reader.next());
    const bool repeats = field.number == last && field.number == child_bytes_field;
    if (field.number <= last && !repeats)
      return fail(ErrorCode::invalid, "UnixFS: fields are repeated or out of order");
    if (last == 0 && field.number != type_field) return fail(ErrorCode::invalid, "UnixFS: the type is missing");
    last = field.number;
    if (field.number == type_field && !field.is_bytes) {
      MESH_LET(data.type, type_of(field.number_value));
    } else if (field.number == data_field && field.is_bytes) {
      data.data = to_bytes(field.bytes);
    } else if (field.number == file_bytes_field && !field.is_bytes) {
      data.file_bytes = field.number_value;
    } else if (field.number == child_bytes_field && !field.is_bytes) {
      data.child_bytes.push_back(field.number_value);
    } else if (field.number == hash_type_field && !field.is_bytes) {
      data.hash_type = field.number_value;
    } else if (field.number == fanout_field && !field.is_bytes) {
      data.fanout = field.number_value;
    } else if (field.number == mode_field && !field.is_bytes) {
      data.mode = field.number_value;
    } else if (field.number == modified_field && field.is_bytes) {
      data.modified = to_bytes(field.bytes);
    } else {
      return fail(ErrorCode::invalid, "UnixFS: an unknown or mistyped field");
    }
  }
  if (last == 0) return fail(ErrorCode::invalid, "UnixFS: the type is missing");
  const bool is_hamt = data.type == UnixfsType::hamt;
  if (data.hash_type.has_value() != is_hamt || data.fanout.has_value() != is_hamt)
    return fail(ErrorCode::invalid,
                "UnixFS: a hash type and a fanout belong to the part of a sharded folder, and to it alone");
  return data;
}

}  // namespace mesh::asset
