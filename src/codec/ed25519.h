// Ed25519 (RFC 8032) verified by the ZIP-215 rule, under which single and batch verification always agree.
//
// A key of small order is refused as an identity: with one, a signature says nothing.
#pragma once

#include <span>

#include "base/bytes.h"

namespace mesh {

struct PublicKeyTag;
struct SignatureTag;
struct SeedTag;
using PublicKey = FixedBytes<PublicKeyTag, 32>;
using Signature = FixedBytes<SignatureTag, 64>;
/// The 32-byte secret seed of RFC 8032. Never printed, logged or sent.
using Seed = FixedBytes<SeedTag, 32>;

[[nodiscard]] PublicKey public_key_of(const Seed& seed);
[[nodiscard]] Signature sign(const Seed& seed, ByteView message);

/// ZIP-215 verification. False also for an invalid encoding of the key.
[[nodiscard]] bool verify(const PublicKey& key, ByteView message, const Signature& signature);

struct SignedMessage {
  PublicKey key;
  ByteView message;
  Signature signature;
};
/// Whether verify() holds for each of them; of many it takes about half as long. Deterministic.
[[nodiscard]] bool verify_all(std::span<const SignedMessage> messages);

/// Whether the key decodes to a curve point that is not of small order, that is, can be an identity.
[[nodiscard]] bool can_be_identity(const PublicKey& key);
/// Whether it is an encoding of a point of small order. Of a key by which some signature holds that is all that can_be_identity()
/// has to ask, and costs next to nothing.
[[nodiscard]] bool is_small_order(const PublicKey& key);

}  // namespace mesh
