#include "codec/dagcbor.h"
#include "fuzz.h"

void mesh::fuzz::check(ByteView input) {
  const auto value = dagcbor::decode(input);
  if (value) MESH_CHECK(equal(dagcbor::encode(*value), input), "fuzz-dagcbor-identity");
  const auto record = dagcbor::decode(input, dagcbor::record_limits);
  MESH_CHECK(!record || (value && *record == *value), "fuzz-dagcbor-limits-only-refuse");
}
