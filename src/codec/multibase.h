// Multibase text: base32 (RFC 4648, lower case, unpadded, prefix 'b'), base58btc ('z'), base64url (unpadded, 'u'),
// base64 ('m'), base16 ('f'). Strict: a character outside the alphabet, padding or loose trailing bits are refused.
// Bound: text of at most 4 KiB is decoded for base58btc, whose cost is quadratic.
#pragma once

#include "base/bytes.h"
#include "base/error.h"

namespace mesh {

enum class Base : char { base16 = 'f', base32 = 'b', base58btc = 'z', base64 = 'm', base64url = 'u' };

/// With the prefix.
[[nodiscard]] std::string multibase_encode(Base base, ByteView bytes);
[[nodiscard]] Result<Bytes> multibase_decode(std::string_view text);

/// Without the prefix, as PeerIds and CIDv0 are written.
[[nodiscard]] std::string base58btc_encode(ByteView bytes);
[[nodiscard]] Result<Bytes> base58btc_decode(std::string_view text);

}  // namespace mesh
