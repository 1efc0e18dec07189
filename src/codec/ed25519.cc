#include "codec/ed25519.h"

#include "mesh_crypto.h"

namespace mesh {

PublicKey public_key_of(const Seed& seed) {
  PublicKey key;
  mesh_ed25519_public(seed.data(), key.data());
  return key;
}

Signature sign(const Seed& seed, ByteView message) {
  Signature signature;
  mesh_ed25519_sign(seed.data(), message.data(), message.size(), signature.data());
  return signature;
}

bool verify(const PublicKey& key, ByteView message, const Signature& signature) {
  return mesh_ed25519_verify(key.data(), message.data(), message.size(), signature.data());
}

bool verify_all(std::span<const SignedMessage> messages) {
  std::vector<mesh_signed_message> items;
  items.reserve(messages.size());
  for (const SignedMessage& one : messages) {
    items.push_back({.key = one.key.data(),
                     .message = one.message.data(),
                     .length = one.message.size(),
                     .signature = one.signature.data()});
  }
  return mesh_ed25519_verify_all(items.data(), items.size());
}

bool can_be_identity(const PublicKey& key) { return mesh_ed25519_can_be_identity(key.data()); }
bool is_small_order(const PublicKey& key) { return mesh_ed25519_is_small_order(key.data()); }

}  // namespace mesh
