#include "codec/record.h"

#include "codec/ed25519.h"
#include "fuzz.h"

namespace {

enum class Colour { red, green };
[[maybe_unused]] std::span<const std::string_view> enum_names(Colour) {
  static constexpr std::string_view names[] = {"red", "green"};
  return names;
}

struct Part {
  std::int16_t small = 0;
  std::optional<Colour> colour;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("small", self.small);
    v("colour", self.colour);
  }
};

/// A record with a field of every kind.
struct Everything {
  static constexpr std::string_view type = "t";
  static constexpr std::uint64_t version = 1;
  bool flag = false;
  std::optional<std::uint8_t> u8;
  std::optional<std::int64_t> i64;
  std::optional<std::string> text;
  std::optional<mesh::Bytes> bytes;
  std::optional<mesh::Cid> cid;
  std::optional<mesh::PublicKey> key;
  std::vector<Part> parts;
  std::optional<mesh::dagcbor::Value> any;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("flag", self.flag);
    v("u8", self.u8);
    v("i64", self.i64);
    v("text", self.text);
    v("bytes", self.bytes);
    v("cid", self.cid);
    v("key", self.key);
    v("parts", self.parts);
    v("any", self.any);
  }
};

}  // namespace

void mesh::fuzz::check(ByteView input) {
  const auto value = record::decode<Everything>(input);
  if (value) MESH_CHECK(equal(record::encode(*value), input), "fuzz-record-identity");
}
