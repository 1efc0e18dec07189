// MurmurHash3 (Austin Appleby, public domain), the variant for 64-bit machines: what places names in a sharded UnixFS
// folder. Not a cryptographic hash: whoever chooses names can make them collide.
#pragma once

#include "base/bytes.h"

namespace mesh::asset {

/// The first 64 of the 128 bits of MurmurHash3_x64_128 with seed 0 ("murmur3-x64-64", multicodec 0x22). Takes any bytes.
[[nodiscard]] std::uint64_t murmur3_x64_64(ByteView bytes);

}  // namespace mesh::asset
