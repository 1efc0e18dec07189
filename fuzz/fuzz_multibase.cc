#include "codec/multibase.h"
#include "fuzz.h"

void mesh::fuzz::check(ByteView input) {
  if (const auto bytes = multibase_decode(as_text(input))) {
    MESH_CHECK(multibase_encode(static_cast<Base>(input[0]), *bytes) == as_text(input), "fuzz-multibase-text-identity");
  }
  const ByteView bytes = input.first(std::min<std::size_t>(input.size(), 512));
  for (const Base base : {Base::base16, Base::base32, Base::base58btc, Base::base64, Base::base64url}) {
    const auto back = multibase_decode(multibase_encode(base, bytes));
    MESH_CHECK(back && equal(*back, bytes), "fuzz-multibase-bytes-identity");
  }
}
