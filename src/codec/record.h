// Typed records: a struct that lists its fields once, and from that list is encoded to and decoded from DAG-CBOR.
//
//   struct Ping {
//     static constexpr std::string_view type = "ping";
//     static constexpr std::uint64_t version = 1;
//     std::uint64_t count = 0;
//     std::optional<Cid> about;
//     template <class Self, class V> static void fields(Self& self, V& v) {
//       v("count", self.count);
//       v("about", self.about);      // an empty optional is left out
//     }
//   };
//
// A struct with `type` is a record: its map also has "type" and "v". One without is a plain map inside records.
// Decoding is strict: a missing, unknown, mistyped or out-of-range field is an error that names the field.
// Field types: bool, unsigned and signed integers, std::string, Bytes, Cid, FixedBytes, enums with
// `enum_names(E)` (see below), std::optional, std::vector, and nested structs with `fields`.
#pragma once

#include <concepts>
#include <limits>
#include <optional>
#include <type_traits>

#include "codec/dagcbor.h"
#include "codec/utf8.h"

namespace mesh::record {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

template <class T>
concept FixedByteString = requires(const T& t) {
  { T::from(ByteView{}) } -> std::same_as<std::optional<T>>;
  { t.view() } -> std::convertible_to<ByteView>;
};

template <class T>
concept Typed = requires {
  { T::type } -> std::convertible_to<std::string_view>;
  { T::version } -> std::convertible_to<std::uint64_t>;
};

/// For an enum field: a function `std::span<const std::string_view> enum_names(E)` found by ADL, in the order of
/// the enumerators from 0. It travels as that text.
template <class E>
concept NamedEnum = std::is_enum_v<E> && requires(E e) {
  { enum_names(e) } -> std::convertible_to<std::span<const std::string_view>>;
};

template <class T>
dagcbor::Value to_value(const T& field);
template <class T>
Status from_value(const dagcbor::Value& value, T& field);

namespace detail {

/// Room that is made before fields are written.
inline constexpr std::size_t usual_fields = 8;

struct Writer {
  dagcbor::Map map;
  template <class T>
  void operator()(std::string_view name, const T& field) {
    if constexpr (is_optional<T>::value) {
      if (field) map.emplace(name, to_value(*field));
    } else {
      map.emplace(name, to_value(field));
    }
  }
};

struct Reader {
  const dagcbor::Map& map;
  std::size_t seen = 0;
  Status status{};

  template <class T>
  void operator()(std::string_view name, T& field) {
    if (!status) return;
    const auto it = map.find(name);
    if (it == map.end()) {
      if constexpr (is_optional<T>::value) {
        field.reset();
      } else {
        status = fail(ErrorCode::invalid, "field \"" + std::string(name) + "\" is missing");
      }
      return;
    }
    ++seen;
    Status result;
    if constexpr (is_optional<T>::value) {
      field.emplace();
      result = from_value(it->second, *field);
    } else {
      result = from_value(it->second, field);
    }
    if (!result) status = wrap("field \"" + std::string(name) + "\"", std::move(result.error()));
  }
};

}  // namespace detail

template <class T>
dagcbor::Value to_value(const T& field) {
  if constexpr (std::same_as<T, bool> || std::same_as<T, std::string> || std::same_as<T, Bytes> ||
                std::same_as<T, Cid> || std::same_as<T, dagcbor::Value>) {
    return dagcbor::Value(field);
  } else if constexpr (NamedEnum<T>) {
    return dagcbor::Value(enum_names(field)[static_cast<std::size_t>(field)]);
  } else if constexpr (std::unsigned_integral<T>) {
    return dagcbor::Value(static_cast<std::uint64_t>(field));
  } else if constexpr (std::signed_integral<T>) {
    return dagcbor::Value(static_cast<std::int64_t>(field));
  } else if constexpr (FixedByteString<T>) {
    return dagcbor::Value(to_bytes(field.view()));
  } else if constexpr (is_vector<T>::value) {
    dagcbor::List list;
    list.reserve(field.size());
    for (const auto& item : field) list.push_back(to_value(item));
    return list;
  } else {
    detail::Writer writer;
    writer.map.reserve(detail::usual_fields);
    if constexpr (Typed<T>) {
      writer.map.emplace("type", dagcbor::Value(T::type));
      writer.map.emplace("v", dagcbor::Value(std::uint64_t{T::version}));
    }
    T::fields(field, writer);
    return std::move(writer.map);
  }
}

template <class T>
Status from_value(const dagcbor::Value& value, T& field) {
  const auto expected = [](std::string_view what) { return fail(ErrorCode::invalid, "expected " + std::string(what)); };
  if constexpr (std::same_as<T, dagcbor::Value>) {
    field = value;
    return {};
  } else if constexpr (std::same_as<T, bool>) {
    const bool* flag = value.get<bool>();
    if (flag == nullptr) return expected("a boolean");
    field = *flag;
    return {};
  } else if constexpr (std::same_as<T, std::string>) {
    const std::string* text = value.get<std::string>();
    if (text == nullptr) return expected("text");
    field = *text;
    return {};
  } else if constexpr (std::same_as<T, Bytes>) {
    const Bytes* bytes = value.get<Bytes>();
    if (bytes == nullptr) return expected("bytes");
    field = *bytes;
    return {};
  } else if constexpr (std::same_as<T, Cid>) {
    const dagcbor::Link* link = value.get<dagcbor::Link>();
    if (link == nullptr) return expected("a link");
    MESH_LET(field, Cid::from_bytes(link->cid));
    return {};
  } else if constexpr (NamedEnum<T>) {
    const std::string* text = value.get<std::string>();
    if (text == nullptr) return expected("text");
    const std::span<const std::string_view> names = enum_names(field);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == *text) {
        field = static_cast<T>(i);
        return {};
      }
    }
    return fail(ErrorCode::invalid, "unknown value \"" + utf8_excerpt(*text, 64) + "\"");
  } else if constexpr (std::unsigned_integral<T>) {
    const dagcbor::Integer* integer = value.get<dagcbor::Integer>();
    if (integer == nullptr || integer->negative || integer->magnitude > std::numeric_limits<T>::max()) {
      return expected("an unsigned integer of " + std::to_string(sizeof(T) * 8) + " bits");
    }
    field = static_cast<T>(integer->magnitude);
    return {};
  } else if constexpr (std::signed_integral<T>) {
    const dagcbor::Integer* integer = value.get<dagcbor::Integer>();
    if (integer == nullptr || integer->magnitude > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) {
      return expected("a signed integer of " + std::to_string(sizeof(T) * 8) + " bits");
    }
    const auto magnitude = static_cast<T>(integer->magnitude);
    field = integer->negative ? static_cast<T>(-1 - magnitude) : magnitude;
    return {};
  } else if constexpr (FixedByteString<T>) {
    const Bytes* bytes = value.get<Bytes>();
    const std::optional<T> fixed = bytes == nullptr ? std::nullopt : T::from(*bytes);
    if (!fixed) return expected(std::to_string(T::size) + " bytes");
    field = *fixed;
    return {};
  } else if constexpr (is_vector<T>::value) {
    const dagcbor::List* list = value.get<dagcbor::List>();
    if (list == nullptr) return expected("a list");
    field.clear();
    field.reserve(list->size());
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (Status item = from_value((*list)[i], field.emplace_back()); !item) {
        return wrap("item " + std::to_string(i), std::move(item.error()));
      }
    }
    return {};
  } else {
    const dagcbor::Map* map = value.get<dagcbor::Map>();
    if (map == nullptr) return expected("a map");
    detail::Reader reader{*map};
    if constexpr (Typed<T>) {
      std::string type;
      std::uint64_t version = 0;
      reader("type", type);
      reader("v", version);
      if (reader.status && type != T::type) {
        return fail(ErrorCode::invalid,
                    "this is a \"" + utf8_excerpt(type, 64) + "\", not a \"" + std::string(T::type) + "\"");
      }
      if (reader.status && version != T::version) {
        return fail(ErrorCode::unsupported,
                    "version " + std::to_string(version) + " of \"" + std::string(T::type) + "\" is not known here");
      }
    }
    T::fields(field, reader);
    MESH_TRY(reader.status);
    if (reader.seen != map->size()) return fail(ErrorCode::invalid, "the map has a field that is not known here");
    return {};
  }
}

/// The canonical bytes of a record.
template <class T>
[[nodiscard]] Bytes encode(const T& value) {
  return dagcbor::encode(to_value(value));
}

/// Decodes strictly, by record_limits unless others are given.
template <class T>
[[nodiscard]] Result<T> decode(ByteView bytes, const dagcbor::Limits& limits = dagcbor::record_limits) {
  MESH_LET(const dagcbor::Value value, dagcbor::decode(bytes, limits));
  T result{};
  MESH_TRY(from_value(value, result));
  return result;
}

}  // namespace mesh::record
