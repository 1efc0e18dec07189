#include "sim/fast_signatures.h"

#include <mesh_crypto.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "codec/ed25519.h"
#include "codec/hash.h"

namespace mesh {

namespace {

bool fast = false;

PublicKey real_public_key(const Seed& seed) {
  PublicKey key;
  mesh_ed25519_public(seed.data(), key.data());
  return key;
}

Signature keyed_hash(const PublicKey& key, ByteView message) {
  const Digest digest = sha256({as_bytes("meshwork/sim/fast-signature"), key.view(), message});
  Bytes both = to_bytes(digest.view());
  append(both, digest.view());
  return *Signature::from(both);
}

/// Signatures that were checked and held: of the latest, twice `max_held` at most.
class Held {
 public:
  bool check(const PublicKey& key, ByteView message, const Signature& signature) {
    const Digest name = sha256({key.view(), signature.view(), message});
    if (latest_.contains(name) || older_.contains(name)) return true;
    if (!mesh_ed25519_verify(key.data(), message.data(), message.size(), signature.data())) return false;
    if (latest_.size() >= max_held) older_ = std::exchange(latest_, {});
    latest_.insert(name);
    return true;
  }

 private:
  static constexpr std::size_t max_held = 65'536;
  std::unordered_set<Digest> latest_;
  std::unordered_set<Digest> older_;
};

}  // namespace

void sim::use_fast_signatures() { fast = true; }

PublicKey public_key_of(const Seed& seed) {
  if (!fast) return real_public_key(seed);
  static std::unordered_map<Seed, PublicKey> known;
  const auto [entry, fresh] = known.try_emplace(seed);
  if (fresh) entry->second = real_public_key(seed);
  return entry->second;
}

Signature sign(const Seed& seed, ByteView message) {
  if (fast) return keyed_hash(public_key_of(seed), message);
  Signature signature;
  mesh_ed25519_sign(seed.data(), message.data(), message.size(), signature.data());
  return signature;
}

bool verify(const PublicKey& key, ByteView message, const Signature& signature) {
  if (fast) return signature == keyed_hash(key, message);
  static Held held;
  return held.check(key, message, signature);
}

bool verify_all(std::span<const SignedMessage> messages) {
  return std::ranges::all_of(messages,
                             [](const SignedMessage& one) { return verify(one.key, one.message, one.signature); });
}

bool is_small_order(const PublicKey& key) { return mesh_ed25519_is_small_order(key.data()); }

bool can_be_identity(const PublicKey& key) {
  if (!fast) return mesh_ed25519_can_be_identity(key.data());
  static std::unordered_map<PublicKey, bool> known;
  const auto [entry, fresh] = known.try_emplace(key);
  if (fresh) entry->second = mesh_ed25519_can_be_identity(key.data());
  return entry->second;
}

}  // namespace mesh
