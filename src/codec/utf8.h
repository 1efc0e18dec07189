// Whether bytes are UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing past U+10FFFF.
#pragma once

#include <string_view>

namespace mesh {

[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace mesh
