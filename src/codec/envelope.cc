#include "codec/envelope.h"

#include <algorithm>
#include <span>
#include <unordered_set>

#include "base/check.h"
#include "codec/merkle.h"

namespace mesh {

namespace {

constexpr std::string_view domain = "meshwork/1";
constexpr std::size_t max_type = 64;
constexpr std::string_view batch_type = "signed-batch";  // No record has it.
constexpr std::size_t held_per_generation = 8192;

/// A type stands between two zero bytes in what is signed, so it has none itself.
bool is_type(std::string_view type) {
  return !type.empty() && type.size() <= max_type && type.find('\0') == std::string_view::npos && type != batch_type;
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

}  // namespace

namespace {

Bytes signing_input_of(std::string_view type, const Cid& federation, const Digest& digest) {
  const auto federation_bytes = federation.binary();
  Bytes out;
  out.reserve(domain.size() + type.size() + federation_bytes.size() + Digest::size + 3);
  append(out, as_bytes(domain));
  out.push_back(0);
  append(out, as_bytes(type));
  out.push_back(0);
  append(out, federation_bytes);
  out.push_back(0);
  append(out, digest.view());
  return out;
}

}  // namespace

Bytes signing_input(std::string_view type, const Cid& federation, ByteView body) {
  return signing_input_of(type, federation, sha256(body));
}

Result<std::string> type_of(ByteView body) {
  MESH_LET(const dagcbor::Value value, dagcbor::decode(body, dagcbor::record_limits));
  const dagcbor::Value* type = value.find("type");
  const std::string* text = type == nullptr ? nullptr : type->get<std::string>();
  if (text == nullptr) return fail(ErrorCode::invalid, "the record has no type");
  if (!is_type(*text))
    return fail(ErrorCode::invalid, "the record's type is empty, too long, reserved or has a zero byte");
  return *text;
}

Envelope seal_bytes(std::string_view type, Bytes body, const Cid& federation, const Seed& seed, const PublicKey& key) {
  MESH_CHECK(is_type(type), "envelope-seal-type");
  const Signature signature = sign(seed, signing_input(type, federation, body));
  return {std::move(body), key, signature, {}};
}

namespace {

/// Appends the envelopes of one batch.
void seal_batch(std::span<Draft> drafts, const Cid& federation, const Seed& seed, const PublicKey& key,
                std::vector<Envelope>& sealed) {
  if (drafts.size() == 1) {
    sealed.push_back(seal_bytes(drafts.front().type, std::move(drafts.front().body), federation, seed, key));
    return;
  }
  std::vector<Digest> leaves;
  leaves.reserve(drafts.size());
  for (const Draft& draft : drafts) {
    MESH_CHECK(is_type(draft.type), "envelope-seal-type");
    leaves.push_back(sha256(signing_input(draft.type, federation, draft.body)));
  }
  std::vector<std::vector<Digest>> paths = merkle::proofs_of(leaves);
  const Signature signature = sign(seed, signing_input_of(batch_type, federation, merkle::root_of(leaves)));
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    sealed.push_back({std::move(drafts[i].body), key, signature,
                      BatchPlace{.index = static_cast<std::uint32_t>(i),
                                 .count = static_cast<std::uint32_t>(drafts.size()),
                                 .path = std::move(paths[i])}});
  }
}

}  // namespace

std::vector<Envelope> seal_batches(std::vector<Draft> drafts, const Cid& federation, const Seed& seed,
                                   const PublicKey& key) {
  std::vector<Envelope> sealed;
  sealed.reserve(drafts.size());
  for (std::size_t first = 0; first < drafts.size(); first += max_batch)
    seal_batch(std::span(drafts).subspan(first, std::min(max_batch, drafts.size() - first)), federation, seed, key,
               sealed);
  return sealed;
}

Status check_signature(const Envelope& envelope, std::string_view type, const Cid& federation) {
  if (!is_type(type))
    return fail(ErrorCode::invalid, "the record's type is empty, too long, reserved or has a zero byte");
  Bytes input = signing_input(type, federation, envelope.body);
  if (envelope.batch) {
    const BatchPlace& place = *envelope.batch;
    const std::optional<Digest> root =
        place.count > max_batch ? std::nullopt : merkle::root_from(sha256(input), place.index, place.count, place.path);
    if (!root) return fail(ErrorCode::invalid, "the record's place in its signed batch does not add up");
    input = signing_input_of(batch_type, federation, *root);
  }
  thread_local HeldSignatures held;
  const Digest digest = sha256({envelope.key.view(), envelope.sig.view(), input});
  if (held.contains(digest)) return {};
  if (!can_be_identity(envelope.key)) {
    return fail(ErrorCode::unauthorised, "the signer's key is no Ed25519 key that can stand for anybody");
  }
  if (!verify(envelope.key, input, envelope.sig)) {
    return fail(ErrorCode::unauthorised,
                "the signature is not the key's over this \"" + std::string(type) + "\" in this federation");
  }
  held.add(digest);
  return {};
}

}  // namespace mesh
