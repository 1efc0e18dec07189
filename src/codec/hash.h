// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), with the processor's SHA instructions where it has them.
#pragma once

#include <initializer_list>

#include "base/bytes.h"

namespace mesh {

struct DigestTag;
using Digest = FixedBytes<DigestTag, 32>;

[[nodiscard]] Digest sha256(ByteView bytes);

/// SHA-256 over the concatenation of `parts`.
[[nodiscard]] Digest sha256(std::initializer_list<ByteView> parts);

/// Incremental SHA-256, for what is too large to hold. One use: update..., then finish once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(ByteView bytes);
  [[nodiscard]] Digest finish();

 private:
  void* state_;  // Owned; lives in the engines library.
};

/// A domain-separated hash: SHA-256 over the domain and each part, every one of them preceded by its length as
/// eight big-endian bytes, so that no two lists of parts give the same input.
[[nodiscard]] Digest tagged_hash(std::string_view domain, std::initializer_list<ByteView> parts);

/// HMAC-SHA-256 over the parts framed as in tagged_hash; the source of every secret that a node derives
/// (salts, nonces), so that a restarted node derives the same again.
[[nodiscard]] Digest derive_secret(ByteView key, std::string_view domain, std::initializer_list<ByteView> parts);

/// Eight big-endian bytes, the form in which integers enter a hash.
[[nodiscard]] std::array<std::uint8_t, 8> big_endian(std::uint64_t value);

}  // namespace mesh
