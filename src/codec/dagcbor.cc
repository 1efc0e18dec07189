#include "codec/dagcbor.h"

#include <bit>
#include <cmath>

#include "base/check.h"
#include "codec/utf8.h"
#include "codec/varint.h"

namespace mesh::dagcbor {

namespace {

// Major types and simple values of RFC 8949, section 3.
enum class Major : std::uint8_t { unsigned_integer, negative_integer, bytes, text, list, map, tag, simple };
constexpr std::uint8_t false_byte = 0xf4;
constexpr std::uint8_t true_byte = 0xf5;
constexpr std::uint8_t null_byte = 0xf6;
constexpr std::uint8_t undefined_byte = 0xf7;
constexpr std::uint8_t half_byte = 0xf9;
constexpr std::uint8_t single_byte = 0xfa;
constexpr std::uint8_t double_byte = 0xfb;
constexpr std::uint64_t link_tag = 42;
constexpr std::uint64_t max_reserved = 16;

class Encoder {
 public:
  explicit Encoder(Bytes& out) : out_(out) {}

  void write(const Value& value) {
    std::visit([this](const auto& alternative) { write(alternative); }, value.variant());
  }

 private:
  void head(Major major, std::uint64_t argument) {
    const auto type = static_cast<std::uint8_t>(static_cast<unsigned>(major) << 5);
    if (argument < 24) {
      out_.push_back(static_cast<std::uint8_t>(type | argument));
      return;
    }
    const unsigned width_log2 = argument <= 0xff ? 0 : argument <= 0xffff ? 1 : argument <= 0xffffffff ? 2 : 3;
    std::array<std::uint8_t, 9> head;
    const std::size_t width = std::size_t{1} << width_log2;
    head[0] = static_cast<std::uint8_t>(type | (24 + width_log2));
    for (std::size_t i = 0; i < width; ++i) head[1 + i] = static_cast<std::uint8_t>(argument >> (8 * (width - 1 - i)));
    append(out_, ByteView(head.data(), width + 1));
  }

  void write(Null) { out_.push_back(null_byte); }
  void write(bool value) { out_.push_back(value ? true_byte : false_byte); }
  void write(const Integer& value) {
    head(value.negative ? Major::negative_integer : Major::unsigned_integer, value.magnitude);
  }
  void write(double value) {
    MESH_CHECK(std::isfinite(value), "dagcbor-encode-finite-float");
    out_.push_back(double_byte);
    const auto bits = std::bit_cast<std::uint64_t>(value);
    for (int shift = 56; shift >= 0; shift -= 8) out_.push_back(static_cast<std::uint8_t>(bits >> shift));
  }
  void write(const Bytes& value) {
    head(Major::bytes, value.size());
    append(out_, value);
  }
  void write(const std::string& value) {
    head(Major::text, value.size());
    append(out_, as_bytes(value));
  }
  void write(const Link& value) {
    head(Major::tag, link_tag);
    head(Major::bytes, value.cid.size() + 1);
    out_.push_back(0);
    append(out_, value.cid);
  }
  void write(const List& value) {
    head(Major::list, value.size());
    for (const Value& item : value) write(item);
  }
  void write(const Map& value) {
    head(Major::map, value.size());
    for (const auto& [key, item] : value) {
      write(key);
      write(item);
    }
  }

  Bytes& out_;
};

class Decoder {
 public:
  Decoder(ByteView bytes, const Limits& limits) : bytes_(bytes), limits_(limits) {}

  Result<Value> whole() {
    if (bytes_.size() > limits_.max_bytes) {
      return fail(ErrorCode::exhausted, "the DAG-CBOR has " + std::to_string(bytes_.size()) + " bytes, more than the " +
                                            std::to_string(limits_.max_bytes) + " allowed");
    }
    Value value;
    if (!read(value, 0)) return std::unexpected(std::move(error_));
    if (at_ != bytes_.size()) {
      (void)refuse("there are bytes after the value");
      return std::unexpected(std::move(error_));
    }
    return value;
  }

 private:
  struct Head {
    Major major{};
    std::uint64_t argument = 0;
  };

  // The inner functions return a bool and leave the error in error_: a Result on every item would cost more than
  // the decoding itself.
  bool refuse(std::string_view what, ErrorCode code = ErrorCode::invalid) {
    error_ = {code, "DAG-CBOR at byte " + std::to_string(at_) + ": " + std::string(what)};
    return false;
  }

  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }

  bool read_head(Head& head) {
    if (left() == 0) return refuse("the input ends where a value should be");
    const std::uint8_t initial = bytes_[at_];
    head.major = static_cast<Major>(initial >> 5);
    const unsigned info = initial & 0x1f;
    if (info < 24) {
      head.argument = info;
      ++at_;
      return true;
    }
    if (info == 31) return refuse("indefinite lengths are not allowed");
    if (info > 27) return refuse("a reserved additional information value");
    const std::size_t width = std::size_t{1} << (info - 24);
    if (left() - 1 < width) return refuse("the input ends inside a number or length");
    std::uint64_t argument = 0;
    for (std::size_t i = 1; i <= width; ++i) argument = argument << 8 | bytes_[at_ + i];
    const std::uint64_t smallest = info == 24 ? 24 : std::uint64_t{1} << (4 * width);
    if (argument < smallest) return refuse("a number or length is not in its shortest form");
    head.argument = argument;
    at_ += 1 + width;
    return true;
  }

  /// Counts one more value or key against the limit.
  bool count_item() {
    if (items_ >= limits_.max_items) {
      return refuse("more than " + std::to_string(limits_.max_items) + " values", ErrorCode::exhausted);
    }
    ++items_;
    return true;
  }

  /// `length` bytes as a view, once they are known to be there.
  bool take(std::uint64_t length, ByteView& view) {
    if (length > left()) return refuse("a length of " + std::to_string(length) + " goes past the end of the input");
    view = bytes_.subspan(at_, static_cast<std::size_t>(length));
    at_ += view.size();
    return true;
  }

  bool read_text(std::uint64_t length, std::string& text) {
    const std::size_t start = at_;
    ByteView view;
    if (!take(length, view)) return false;
    if (!is_utf8(as_text(view))) {
      at_ = start;
      return refuse("text that is not UTF-8");
    }
    text.assign(as_text(view));
    return true;
  }

  bool read(Value& out, std::size_t depth) {
    if (!count_item()) return false;
    const std::size_t start = at_;
    if (start < bytes_.size() && bytes_[start] >= 0xe0) return read_simple(out);
    Head head;
    if (!read_head(head)) return false;
    switch (head.major) {
      case Major::unsigned_integer:
        out = Integer{head.argument, false};
        return true;
      case Major::negative_integer:
        out = Integer{head.argument, true};
        return true;
      case Major::bytes: {
        ByteView view;
        if (!take(head.argument, view)) return false;
        out = to_bytes(view);
        return true;
      }
      case Major::text:
        return read_text(head.argument, out.variant().emplace<std::string>());
      case Major::list:
        return enter(depth) && read_list(head.argument, out.variant().emplace<List>(), depth + 1);
      case Major::map:
        return enter(depth) && read_map(head.argument, out.variant().emplace<Map>(), depth + 1);
      case Major::tag:
        if (head.argument != link_tag) {
          at_ = start;
          return refuse("tag " + std::to_string(head.argument) + ", where only 42 is allowed");
        }
        return enter(depth) && read_link(out.variant().emplace<Link>());
      case Major::simple:
        break;  // Handled above.
    }
    return refuse("an unknown major type");
  }

  bool enter(std::size_t depth) {
    if (depth < limits_.max_depth) return true;
    return refuse("nested deeper than " + std::to_string(limits_.max_depth), ErrorCode::exhausted);
  }

  bool read_simple(Value& out) {
    switch (bytes_[at_]) {
      case false_byte:
        out = false;
        break;
      case true_byte:
        out = true;
        break;
      case null_byte:
        out = Null{};
        break;
      case double_byte:
        return read_double(out);
      case undefined_byte:
        return refuse("undefined is not allowed");
      case half_byte:
      case single_byte:
        return refuse("a float that is not of 64 bits");
      default:
        return refuse("a simple value that is not false, true or null");
    }
    ++at_;
    return true;
  }

  bool read_double(Value& out) {
    if (!limits_.allow_floats) return refuse("floats are not allowed in records");
    if (left() < 9) return refuse("the input ends inside a float");
    std::uint64_t bits = 0;
    for (std::size_t i = 1; i <= 8; ++i) bits = bits << 8 | bytes_[at_ + i];
    const auto number = std::bit_cast<double>(bits);
    if (!std::isfinite(number)) return refuse("NaN and infinities are not allowed");
    at_ += 9;
    out = number;
    return true;
  }

  bool read_list(std::uint64_t length, List& list, std::size_t depth) {
    if (!check_count(length, 1)) return false;
    list.reserve(static_cast<std::size_t>(length));
    for (std::uint64_t i = 0; i < length; ++i) {
      if (!read(list.emplace_back(), depth)) return false;
    }
    return true;
  }

  bool read_map(std::uint64_t length, Map& map, std::size_t depth) {
    if (!check_count(length, 2)) return false;
    // No more than it can hold without growing often: what is said to follow may not.
    map.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(length, max_reserved)));
    const std::string* previous = nullptr;
    for (std::uint64_t i = 0; i < length; ++i) {
      if (!count_item()) return false;
      const std::size_t start = at_;
      Head head;
      if (left() > 0 && bytes_[at_] >> 5 != static_cast<unsigned>(Major::text))
        return refuse("a map key that is not text");
      if (!read_head(head)) return false;
      std::string key;
      if (!read_text(head.argument, key)) return false;
      if (previous != nullptr && !KeyOrder{}(*previous, key)) {
        at_ = start;
        return refuse(*previous == key ? "a map key twice" : "map keys out of order");
      }
      const auto it = map.emplace_hint(map.end(), std::move(key), Value{});
      previous = &it->first;
      if (!read(it->second, depth)) return false;
    }
    return true;
  }

  /// Refuses a count of entries that the bytes left, or the limit on items, cannot hold.
  bool check_count(std::uint64_t length, std::uint64_t least_bytes_each) {
    if (length > left() / least_bytes_each) {
      return refuse("a count of " + std::to_string(length) + " entries goes past the end of the input");
    }
    if (length > (limits_.max_items - items_) / least_bytes_each) {
      return refuse("more than " + std::to_string(limits_.max_items) + " values", ErrorCode::exhausted);
    }
    return true;
  }

  bool read_link(Link& link) {
    const std::size_t start = at_;
    if (left() > 0 && bytes_[at_] >> 5 != static_cast<unsigned>(Major::bytes))
      return refuse("a link that is not bytes");
    Head head;
    ByteView view;
    if (!read_head(head) || !take(head.argument, view)) return false;
    if (view.empty() || view[0] != 0 || !is_cid(view.subspan(1))) {
      at_ = start;
      return refuse("a link that is not 0x00 and a CID");
    }
    link.cid = to_bytes(view.subspan(1));
    return true;
  }

  ByteView bytes_;
  const Limits& limits_;
  std::size_t at_ = 0;
  std::size_t items_ = 0;
  Error error_;
};

}  // namespace

bool is_cid(ByteView bytes) {
  if (bytes.size() == 34 && bytes[0] == 0x12 && bytes[1] == 0x20) return true;  // CIDv0: a bare sha2-256 multihash.
  // Version, codec, hash function, hash length.
  std::array<std::uint64_t, 4> fields{};
  for (std::uint64_t& field : fields) {
    const Varint varint = read_varint(bytes);
    if (varint.state != VarintState::complete) return false;
    field = varint.value;
    bytes = bytes.subspan(varint.size);
  }
  return fields[0] == 1 && fields[3] == bytes.size();
}

Bytes encode(const Value& value) {
  Bytes out;
  out.reserve(256);
  Encoder(out).write(value);
  return out;
}

Result<Value> decode(ByteView bytes, const Limits& limits) { return Decoder(bytes, limits).whole(); }

}  // namespace mesh::dagcbor
