// DAG-CBOR (https://ipld.io/specs/codecs/dag-cbor/spec/): the strict, canonical subset of CBOR (RFC 8949).
//
// Strict both ways: shortest integers and lengths, definite lengths, map keys are text, sorted length-first then
// bytewise and unique, tag 42 alone, no undefined, no simple values but false, true and null, floats only as
// finite 64-bit ones (and none at all in records), valid UTF-8, nothing after the top-level item. Encoding is
// canonical, so decode and encode are inverse on every accepted input.
// Bounds: Limits; a length is checked against the bytes that are left before anything is allocated.
#pragma once

#include <boost/container/flat_map.hpp>
#include <memory>
#include <variant>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/cid.h"

namespace mesh::dagcbor {

/// Any CID as DAG-CBOR links to it: the binary form without the leading 0x00 of tag 42, structurally valid.
struct Link {
  Bytes cid;
  auto operator<=>(const Link&) const = default;
};

/// Length-first, then bytewise: the order of map keys.
struct KeyOrder {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  }
};

class Value;
using List = std::vector<Value>;
using Map = boost::container::flat_map<std::string, Value, KeyOrder>;
struct Null {
  auto operator<=>(const Null&) const = default;
};
/// An integer of CBOR's full range, -2^64 to 2^64-1: value = negative ? -1 - magnitude : magnitude.
struct Integer {
  std::uint64_t magnitude = 0;
  bool negative = false;
  auto operator<=>(const Integer&) const = default;
};

class Value {
 public:
  using Variant = std::variant<Null, bool, Integer, double, Bytes, std::string, Link, List, Map>;

  Value() = default;
  Value(Null) {}
  Value(bool value) : variant_(value) {}
  Value(Integer value) : variant_(value) {}
  Value(std::uint64_t value) : variant_(Integer{value, false}) {}
  Value(std::int64_t value)
      : variant_(value < 0 ? Integer{static_cast<std::uint64_t>(-(value + 1)), true}
                           : Integer{static_cast<std::uint64_t>(value), false}) {}
  Value(int value) : Value(static_cast<std::int64_t>(value)) {}
  Value(unsigned value) : Value(static_cast<std::uint64_t>(value)) {}
  Value(double value) : variant_(value) {}
  Value(Bytes value) : variant_(std::move(value)) {}
  Value(std::string value) : variant_(std::move(value)) {}
  Value(std::string_view value) : variant_(std::string(value)) {}
  Value(const char* value) : variant_(std::string(value)) {}
  Value(Link value) : variant_(std::move(value)) {}
  Value(const Cid& cid) : variant_(Link{cid.bytes()}) {}
  Value(List value) : variant_(std::move(value)) {}
  Value(Map value) : variant_(std::move(value)) {}

  [[nodiscard]] const Variant& variant() const { return variant_; }
  [[nodiscard]] Variant& variant() { return variant_; }

  /// The alternative T, or null if the value is of another kind.
  template <class T>
  [[nodiscard]] const T* get() const {
    return std::get_if<T>(&variant_);
  }
  /// The member `key` if this is a map that has it.
  [[nodiscard]] const Value* find(std::string_view key) const {
    const Map* map = get<Map>();
    if (map == nullptr) return nullptr;
    const auto it = map->find(key);
    return it == map->end() ? nullptr : &it->second;
  }

  bool operator==(const Value&) const = default;

 private:
  Variant variant_;
};

struct Limits {
  std::size_t max_bytes = std::size_t{2} << 20;  ///< of the whole input
  std::size_t max_depth = 64;                    ///< nesting of lists, maps and tags
  std::size_t max_items = 1 << 20;               ///< all values and keys together
  bool allow_floats = true;
};

/// The limits for signed records: no floats, depth 16.
inline constexpr Limits record_limits{
    .max_bytes = std::size_t{2} << 20, .max_depth = 16, .max_items = 1 << 19, .allow_floats = false};

/// The canonical bytes. Floats must be finite; text must be UTF-8, else every strict reader refuses the result: who
/// takes text from outside checks it with is_utf8 (utf8.h). Recurses as deep as the value is nested.
[[nodiscard]] Bytes encode(const Value& value);
/// The whole of `bytes` as one value. The error says what was wrong and at which offset.
[[nodiscard]] Result<Value> decode(ByteView bytes, const Limits& limits = {});

/// Whether `bytes` are the binary form of one CID by structure: a CIDv0, or a CIDv1 with varints in shortest form
/// and a hash of the length it says, of any codec and any hash function.
[[nodiscard]] bool is_cid(ByteView bytes);

/// The canonical DAG-CBOR block's CID.
[[nodiscard]] inline Cid cid_of(ByteView encoded) { return Cid::of(Multicodec::dag_cbor, encoded); }

}  // namespace mesh::dagcbor
