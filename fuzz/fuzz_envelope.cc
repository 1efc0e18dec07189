#include "codec/envelope.h"
#include "fuzz.h"

void mesh::fuzz::check(ByteView input) {
  static const Cid federation = Cid::of(Multicodec::dag_cbor, as_bytes("fuzz"));
  static const Seed seed;
  static const PublicKey key = public_key_of(seed);
  if (const auto envelope = record::decode<Envelope>(input)) {
    MESH_CHECK(equal(record::encode(*envelope), input), "fuzz-envelope-identity");
    if (const auto type = type_of(envelope->body)) {
      // Nobody signs for the fuzzer: it has found a forgery, or the key is of small order and let through.
      MESH_CHECK(!check_signature(*envelope, *type, federation), "fuzz-envelope-forged");
    }
  }
  if (const auto type = type_of(input)) {
    const Envelope sealed = seal_bytes(*type, to_bytes(input), federation, seed, key);
    MESH_CHECK(check_signature(sealed, *type, federation).has_value(), "fuzz-envelope-sealed");
    MESH_CHECK(!check_signature(sealed, *type + "x", federation), "fuzz-envelope-type");
  }
}
