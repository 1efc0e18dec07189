#include "codec/utf8.h"

#include <cstdint>
#include <cstring>

namespace mesh {

bool is_utf8(std::string_view text) {
  const char* at = text.data();
  std::size_t left = text.size();
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(at[i]); };
  while (left > 0) {
    if (left >= 8) {  // Most text is ASCII: eight characters at a time.
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof word);
      if ((word & 0x8080808080808080U) == 0) {
        at += 8;
        left -= 8;
        continue;
      }
    }
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) {
      ++at;
      --left;
      continue;
    }
    // The second byte's range shuts out overlong forms, surrogates and what is past U+10FFFF (RFC 3629 section 4).
    std::size_t size = 0;
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
      size = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      size = 3;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      size = 4;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (left < size || byte(1) < low || byte(1) > high) return false;
    for (std::size_t i = 2; i < size; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
    }
    at += size;
    left -= size;
  }
  return true;
}

}  // namespace mesh
