#include "codec/cid.h"

#include "codec/multibase.h"

namespace mesh {

namespace {

constexpr std::uint8_t sha2_256_code = 0x12;
constexpr std::uint8_t digest_size = 32;
constexpr std::size_t max_text = 128;  // Base16, the longest form, takes 73.

}  // namespace

Result<Cid> Cid::from_bytes(ByteView bytes) {
  if (bytes.size() != binary_size) {
    return fail(ErrorCode::invalid, "the CID has " + std::to_string(bytes.size()) + " bytes, not 36");
  }
  if (bytes[0] != 1) return fail(ErrorCode::unsupported, "the CID is not of version 1");
  const auto codec = static_cast<Multicodec>(bytes[1]);
  if (codec != Multicodec::raw && codec != Multicodec::dag_pb && codec != Multicodec::dag_cbor) {
    return fail(ErrorCode::unsupported, "the CID's codec is not raw, dag-pb or dag-cbor");
  }
  if (bytes[2] != sha2_256_code || bytes[3] != digest_size) {
    return fail(ErrorCode::unsupported, "the CID's hash is not sha2-256 of 32 bytes");
  }
  return Cid(codec, *Digest::from(bytes.subspan(4)));
}

Result<Cid> Cid::from_text(std::string_view text) {
  if (text.size() > max_text) return fail(ErrorCode::invalid, "the text is too long for a CID");
  if (text.size() == 46 && text.starts_with("Qm")) {
    MESH_LET(const Bytes multihash, base58btc_decode(text));
    if (multihash.size() != 34 || multihash[0] != sha2_256_code || multihash[1] != digest_size) {
      return fail(ErrorCode::invalid, "the text begins like a CID of version 0 but is none");
    }
    return Cid(Multicodec::dag_pb, *Digest::from(ByteView(multihash).subspan(2)));
  }
  if (text.empty() || std::string_view("bzuf").find(text[0]) == std::string_view::npos) {
    return fail(ErrorCode::invalid, "the text is no CID: one begins with b, z, u, f or Qm");
  }
  MESH_LET(const Bytes bytes, multibase_decode(text));
  return from_bytes(bytes);
}

std::array<std::uint8_t, Cid::binary_size> Cid::binary() const {
  std::array<std::uint8_t, binary_size> result{1, static_cast<std::uint8_t>(codec_), sha2_256_code, digest_size};
  std::ranges::copy(digest_.view(), result.begin() + 4);
  return result;
}

Bytes Cid::bytes() const {
  const auto all = binary();
  return {all.begin(), all.end()};
}

Result<LeadingCid> leading_cid(ByteView bytes) {
  constexpr std::size_t v0_size = 2 + Digest::size;
  if (bytes.size() >= v0_size && bytes[0] == sha2_256_code && bytes[1] == digest_size) {
    return LeadingCid{Cid(Multicodec::dag_pb, *Digest::from(bytes.subspan(2, Digest::size))), v0_size};
  }
  MESH_LET(const Cid cid, Cid::from_bytes(bytes.first(std::min(bytes.size(), Cid::binary_size))));
  return LeadingCid{cid, Cid::binary_size};
}

std::string Cid::text() const { return multibase_encode(Base::base32, binary()); }

}  // namespace mesh
