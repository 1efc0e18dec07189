// Bytes, views of bytes, fixed-size byte strings as strong types, and hexadecimal text.
//
// Bounds: none of its own; whoever takes bytes from outside bounds them first.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mesh {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// The bytes of a text, without a copy. The text must outlive the view.
[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The bytes read as text (no check of UTF-8), without a copy.
[[nodiscard]] inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[nodiscard]] inline Bytes to_bytes(ByteView view) { return {view.begin(), view.end()}; }
[[nodiscard]] inline Bytes to_bytes(std::string_view text) { return to_bytes(as_bytes(text)); }

inline void append(Bytes& out, ByteView more) { out.insert(out.end(), more.begin(), more.end()); }

[[nodiscard]] inline bool equal(ByteView a, ByteView b) { return std::ranges::equal(a, b); }

/// Lower-case hexadecimal.
[[nodiscard]] std::string to_hex(ByteView bytes);
/// Reads hexadecimal of either case; nullopt for an odd length or another character.
[[nodiscard]] std::optional<Bytes> from_hex(std::string_view text);

/// A byte string of N bytes that is a type of its own, so that a hash is never passed for a key.
template <class Tag, std::size_t N>
class FixedBytes {
 public:
  static constexpr std::size_t size = N;

  constexpr FixedBytes() = default;
  constexpr explicit FixedBytes(const std::array<std::uint8_t, N>& bytes) : bytes_(bytes) {}

  /// nullopt unless `view` holds exactly N bytes.
  [[nodiscard]] static std::optional<FixedBytes> from(ByteView view) {
    if (view.size() != N) return std::nullopt;
    FixedBytes result;
    std::ranges::copy(view, result.bytes_.begin());
    return result;
  }

  [[nodiscard]] constexpr ByteView view() const { return bytes_; }
  [[nodiscard]] constexpr const std::uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] constexpr std::uint8_t* data() { return bytes_.data(); }
  [[nodiscard]] std::string hex() const { return to_hex(bytes_); }

  constexpr auto operator<=>(const FixedBytes&) const = default;

 private:
  std::array<std::uint8_t, N> bytes_{};
};

}  // namespace mesh

template <class Tag, std::size_t N>
struct std::hash<mesh::FixedBytes<Tag, N>> {
  std::size_t operator()(const mesh::FixedBytes<Tag, N>& value) const noexcept {
    static_assert(N >= sizeof(std::size_t));
    std::size_t result = 0;  // Keys and hashes are uniform already; their last bytes will do.
    std::memcpy(&result, value.data() + N - sizeof result, sizeof result);
    return result;
  }
};
