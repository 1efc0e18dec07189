// Content identifiers. Meshwork names content by CIDv1 with SHA-256 alone: raw, dag-cbor or dag-pb.
// What others may link to (any multihash, CIDv0) is carried as a Link (dagcbor.h), not as a Cid.
// Spec: https://github.com/multiformats/cid
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "codec/hash.h"

namespace mesh {

enum class Multicodec : std::uint8_t { raw = 0x55, dag_pb = 0x70, dag_cbor = 0x71 };

class Cid {
 public:
  /// Length of the binary form: version, codec, hash code, hash length, 32 bytes of hash.
  static constexpr std::size_t binary_size = 36;

  constexpr Cid() = default;  ///< The null CID: names nothing, equal only to itself.
  constexpr Cid(Multicodec codec, const Digest& digest) : codec_(codec), digest_(digest) {}

  /// The CID of `block` under `codec`.
  [[nodiscard]] static Cid of(Multicodec codec, ByteView block) { return {codec, sha256(block)}; }

  /// Exactly the 36 binary bytes; refuses other versions, codecs, hashes, and overlong varints.
  [[nodiscard]] static Result<Cid> from_bytes(ByteView bytes);
  /// Multibase text of a CIDv1 (base32, base58btc, base64url, base16), or a CIDv0 (`Qm...`, becomes v1 dag-pb).
  [[nodiscard]] static Result<Cid> from_text(std::string_view text);

  [[nodiscard]] Bytes bytes() const;
  [[nodiscard]] std::array<std::uint8_t, binary_size> binary() const;
  /// Base32, the form that is shown everywhere.
  [[nodiscard]] std::string text() const;

  [[nodiscard]] Multicodec codec() const { return codec_; }
  [[nodiscard]] const Digest& digest() const { return digest_; }
  [[nodiscard]] bool is_null() const { return *this == Cid{}; }
  /// Whether `block` is what this CID names.
  [[nodiscard]] bool matches(ByteView block) const { return sha256(block) == digest_; }

  auto operator<=>(const Cid&) const = default;

 private:
  Multicodec codec_ = Multicodec::raw;
  Digest digest_;
};

/// A CID at the start of `bytes`, and how many of them it takes.
struct LeadingCid {
  Cid cid;
  std::size_t size = 0;
};
/// Reads the CID that `bytes` begin with, as a CAR section has it: a CIDv1 as from_bytes takes it, or a CIDv0, which
/// becomes v1 dag-pb.
[[nodiscard]] Result<LeadingCid> leading_cid(ByteView bytes);

}  // namespace mesh

template <>
struct std::hash<mesh::Cid> {
  std::size_t operator()(const mesh::Cid& cid) const noexcept { return std::hash<mesh::Digest>{}(cid.digest()); }
};
