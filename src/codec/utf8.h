// Whether bytes are UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing past U+10FFFF.
#pragma once

#include <string>
#include <string_view>

namespace mesh {

[[nodiscard]] bool is_utf8(std::string_view text);

/// The beginning of `text`, at most `max_bytes` of it, for a message or a record: always UTF-8. It ends between two
/// characters, and each byte that belongs to none is replaced by U+FFFD.
[[nodiscard]] std::string utf8_excerpt(std::string_view text, std::size_t max_bytes);

}  // namespace mesh
