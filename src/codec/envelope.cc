#include "codec/envelope.h"

#include <unordered_set>

#include "base/check.h"

namespace mesh {

namespace {

constexpr std::string_view domain = "meshwork/1";
constexpr std::size_t max_type = 64;
constexpr std::size_t held_per_generation = 8192;

/// A type stands between two zero bytes in what is signed, so it has none itself.
bool is_type(std::string_view type) {
  return !type.empty() && type.size() <= max_type && type.find('\0') == std::string_view::npos;
}

/// The latest signatures that held, by a hash over all that makes them so. Much arrives more than once, since whoever
/// waits asks again; then the curve need not be asked again. Two generations of bounded size: the older one is forgotten
/// when the younger is full.
class HeldSignatures {
 public:
  [[nodiscard]] bool contains(const Digest& digest) const { return young_.contains(digest) || old_.contains(digest); }
  void add(const Digest& digest) {
    if (young_.size() >= held_per_generation) {
      old_.swap(young_);
      young_.clear();
    }
    young_.insert(digest);
  }

 private:
  std::unordered_set<Digest> young_;
  std::unordered_set<Digest> old_;
};

HeldSignatures& held_here() {
  thread_local HeldSignatures held;
  return held;
}

Digest held_as(const Envelope& envelope, ByteView input) {
  return sha256({envelope.key.view(), envelope.sig.view(), input});
}

}  // namespace

Bytes signing_input(std::string_view type, const Cid& federation, ByteView body) {
  return signing_input(type, federation, sha256(body));
}

Bytes signing_input(std::string_view type, const Cid& federation, const Digest& of_body) {
  const auto federation_bytes = federation.binary();
  Bytes out;
  out.reserve(domain.size() + type.size() + federation_bytes.size() + Digest::size + 3);
  append(out, as_bytes(domain));
  out.push_back(0);
  append(out, as_bytes(type));
  out.push_back(0);
  append(out, federation_bytes);
  out.push_back(0);
  append(out, of_body.view());
  return out;
}

Result<std::string> type_of(ByteView body) {
  MESH_LET(const dagcbor::Value value, dagcbor::decode(body, dagcbor::record_limits));
  const dagcbor::Value* type = value.find("type");
  const std::string* text = type == nullptr ? nullptr : type->get<std::string>();
  if (text == nullptr) return fail(ErrorCode::invalid, "the record has no type");
  if (!is_type(*text)) return fail(ErrorCode::invalid, "the record's type is empty, too long or has a zero byte");
  return *text;
}

Envelope seal_bytes(std::string_view type, Bytes body, const Cid& federation, const Seed& seed, const PublicKey& key) {
  MESH_CHECK(is_type(type), "envelope-seal-type");
  const Signature signature = sign(seed, signing_input(type, federation, body));
  return {std::move(body), key, signature};
}

Status check_signature(const Envelope& envelope, std::string_view type, const Cid& federation) {
  if (!is_type(type)) return fail(ErrorCode::invalid, "the record's type is empty, too long or has a zero byte");
  const Bytes input = signing_input(type, federation, envelope.body);
  const Digest digest = held_as(envelope, input);
  if (held_here().contains(digest)) return {};
  if (!can_be_identity(envelope.key)) {
    return fail(ErrorCode::unauthorised, "the signer's key is no Ed25519 key that can stand for anybody");
  }
  if (!verify(envelope.key, input, envelope.sig)) {
    return fail(ErrorCode::unauthorised,
                "the signature is not the key's over this \"" + std::string(type) + "\" in this federation");
  }
  held_here().add(digest);
  return {};
}

std::vector<Digest> held_signatures(std::span<const Envelope> envelopes, const Cid& federation) {
  struct Candidate {
    const Envelope* envelope;
    Bytes input;
  };
  std::vector<Candidate> candidates;
  for (const Envelope& envelope : envelopes) {
    const Result<std::string> type = type_of(envelope.body);
    if (type && can_be_identity(envelope.key))
      candidates.push_back({&envelope, signing_input(*type, federation, envelope.body)});
  }
  std::vector<SignedMessage> messages;
  for (const Candidate& one : candidates) messages.push_back({one.envelope->key, one.input, one.envelope->sig});
  // One that does not hold spoils the sum of all: then each is looked at by itself.
  const bool all = verify_all(messages);
  std::vector<Digest> held;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (all || verify(messages[i].key, messages[i].message, messages[i].signature))
      held.push_back(held_as(*candidates[i].envelope, candidates[i].input));
  }
  return held;
}

void hold_signatures(std::span<const Digest> held) {
  for (const Digest& digest : held) held_here().add(digest);
}

}  // namespace mesh
