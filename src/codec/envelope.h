// Signed envelopes: how a record travels. {body, key, sig}: canonical bytes of the record, the signer's Ed25519
// key, and its signature over "meshwork/1" 0 type 0 federation-cid 0 sha256(body) (the CID in its binary form),
// so that a signature means one thing, of one type, in one federation.
// A record's name is the CID of its body; another signature over the same body names the same record.
#pragma once

#include "base/error.h"
#include "codec/cid.h"
#include "codec/ed25519.h"
#include "codec/hash.h"
#include "codec/record.h"

namespace mesh {

struct Envelope {
  Bytes body;
  PublicKey key;
  Signature sig;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("body", self.body);
    v("key", self.key);
    v("sig", self.sig);
  }
  /// The record's name.
  [[nodiscard]] Cid cid() const { return dagcbor::cid_of(body); }
  bool operator==(const Envelope&) const = default;
};

/// What the signature covers.
[[nodiscard]] Bytes signing_input(std::string_view type, const Cid& federation, ByteView body);
/// The same where the body's SHA-256 is known.
[[nodiscard]] Bytes signing_input(std::string_view type, const Cid& federation, const Digest& of_body);

/// Whether the body's "type" field is text, and which. Reads the body strictly.
[[nodiscard]] Result<std::string> type_of(ByteView body);

/// Signs the canonical bytes of a record.
[[nodiscard]] Envelope seal_bytes(std::string_view type, Bytes body, const Cid& federation, const Seed& seed,
                                  const PublicKey& key);

/// Checks key and signature for `type` in `federation`; not the body's meaning.
[[nodiscard]] Status check_signature(const Envelope& envelope, std::string_view type, const Cid& federation);

/// Checks the signatures of many envelopes in one go and names those that hold, each by a hash over key, signature and what
/// is signed; envelopes whose body names no type are left out. For a thread beside the one that opens them: that one is
/// given the answer by hold_signatures().
[[nodiscard]] std::vector<Digest> held_signatures(std::span<const Envelope> envelopes, const Cid& federation);

/// check_signature() on this thread takes these as checked. Remembered are the latest few thousand, like those that it
/// checked itself. Only for what held_signatures() has answered.
void hold_signatures(std::span<const Digest> held);

template <record::Typed T>
[[nodiscard]] Envelope seal(const T& value, const Cid& federation, const Seed& seed, const PublicKey& key) {
  return seal_bytes(T::type, record::encode(value), federation, seed, key);
}

/// A record of a known type whose signature was checked: the only form in which domain code takes records.
template <class T>
struct Signed {
  T record;
  PublicKey signer;
  Cid cid;
  Envelope envelope;
};

/// Decodes strictly, then checks the signature.
template <record::Typed T>
[[nodiscard]] Result<Signed<T>> open(const Envelope& envelope, const Cid& federation) {
  MESH_LET(T value, record::decode<T>(envelope.body));
  MESH_TRY(check_signature(envelope, T::type, federation));
  return Signed<T>{std::move(value), envelope.key, envelope.cid(), envelope};
}

}  // namespace mesh
