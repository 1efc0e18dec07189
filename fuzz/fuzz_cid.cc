#include "codec/cid.h"
#include "codec/dagcbor.h"
#include "fuzz.h"

void mesh::fuzz::check(ByteView input) {
  if (const auto cid = Cid::from_text(as_text(input))) {
    MESH_CHECK(Cid::from_text(cid->text()) == *cid, "fuzz-cid-text-identity");
    MESH_CHECK(as_text(input)[0] != 'b' || cid->text() == as_text(input), "fuzz-cid-one-base32");
  }
  const auto cid = Cid::from_bytes(input);
  MESH_CHECK(!cid || (equal(cid->bytes(), input) && dagcbor::is_cid(input)), "fuzz-cid-binary-identity");
  const auto leading = leading_cid(input);
  MESH_CHECK(!leading || (leading->size <= input.size() && dagcbor::is_cid(input.first(leading->size))),
             "fuzz-cid-leading");
}
