// The part of the protobuf wire format (https://protobuf.dev/programming-guides/encoding/) that DAG-PB and UnixFS
// use: varint and length-delimited fields, in shortest form.
#pragma once

#include <optional>

#include "base/error.h"
#include "codec/varint.h"

namespace mesh::protobuf {

struct Field {
  std::uint32_t number = 0;
  bool is_bytes = false;     ///< length-delimited, else a varint
  std::uint64_t number_value = 0;
  ByteView bytes;            ///< points into the input
};

/// Reads fields one after another.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  /// The next field; not to be called at the end.
  [[nodiscard]] Result<Field> next() {
    MESH_LET(const std::uint64_t key, varint());
    Field field{.number = 0, .is_bytes = (key & 7) == 2, .number_value = 0, .bytes = {}};
    if ((key & 7) != 0 && !field.is_bytes)
      return fail(ErrorCode::invalid, "a protobuf field of a wire type that is not used here");
    if (key >> 3 == 0 || key >> 3 > 100) return fail(ErrorCode::invalid, "a protobuf field of unknown number");
    field.number = static_cast<std::uint32_t>(key >> 3);
    MESH_LET(field.number_value, varint());
    if (field.is_bytes) {
      if (field.number_value > rest_.size())
        return fail(ErrorCode::invalid, "a protobuf field goes past the end of the input");
      field.bytes = rest_.first(static_cast<std::size_t>(field.number_value));
      rest_ = rest_.subspan(field.bytes.size());
    }
    return field;
  }

 private:
  Result<std::uint64_t> varint() {
    const Varint read = read_varint(rest_);
    if (read.state != VarintState::complete) {
      return fail(ErrorCode::invalid, "a protobuf varint that is cut off or not in its shortest form");
    }
    rest_ = rest_.subspan(read.size);
    return read.value;
  }

  ByteView rest_;
};

inline void put_varint(Bytes& out, std::uint32_t number, std::uint64_t value) {
  append_varint(out, std::uint64_t{number} << 3);
  append_varint(out, value);
}

inline void put_bytes(Bytes& out, std::uint32_t number, ByteView bytes) {
  append_varint(out, std::uint64_t{number} << 3 | 2);
  append_varint(out, bytes.size());
  append(out, bytes);
}

}  // namespace mesh::protobuf
