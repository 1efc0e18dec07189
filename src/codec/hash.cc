#include "codec/hash.h"

#include <utility>

#include "base/check.h"
#include "mesh_crypto.h"

namespace mesh {

namespace {

mesh_sha256_state* state_of(void* state) { return static_cast<mesh_sha256_state*>(state); }

void update_framed(Sha256& hash, std::string_view domain, std::initializer_list<ByteView> parts) {
  hash.update(big_endian(domain.size()));
  hash.update(as_bytes(domain));
  for (const ByteView part : parts) {
    hash.update(big_endian(part.size()));
    hash.update(part);
  }
}

}  // namespace

Digest sha256(ByteView bytes) {
  Digest digest;
  mesh_sha256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

Digest sha256(std::initializer_list<ByteView> parts) {
  std::size_t total_bytes = 0;
  for (const ByteView part : parts) total_bytes += part.size();
  // Most lists are a few hashes: joining them costs less than an incremental state on the heap.
  std::array<std::uint8_t, 256> joined;
  if (total_bytes <= joined.size()) {
    std::size_t at = 0;
    for (const ByteView part : parts) {
      std::ranges::copy(part, joined.begin() + static_cast<std::ptrdiff_t>(at));
      at += part.size();
    }
    return sha256(ByteView(joined.data(), total_bytes));
  }
  Sha256 hash;
  for (const ByteView part : parts) hash.update(part);
  return hash.finish();
}

Sha256::Sha256() : state_(mesh_sha256_new()) {}

Sha256::~Sha256() { mesh_sha256_free(state_of(state_)); }

Sha256::Sha256(Sha256&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

Sha256& Sha256::operator=(Sha256&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Sha256::update(ByteView bytes) {
  MESH_CHECK(state_ != nullptr, "sha256-used-after-finish");
  mesh_sha256_update(state_of(state_), bytes.data(), bytes.size());
}

Digest Sha256::finish() {
  MESH_CHECK(state_ != nullptr, "sha256-used-after-finish");
  Digest digest;
  mesh_sha256_finish(state_of(std::exchange(state_, nullptr)), digest.data());
  return digest;
}

Digest tagged_hash(std::string_view domain, std::initializer_list<ByteView> parts) {
  Sha256 hash;
  update_framed(hash, domain, parts);
  return hash.finish();
}

Digest derive_secret(ByteView key, std::string_view domain, std::initializer_list<ByteView> parts) {
  constexpr std::size_t block_size = 64;
  std::array<std::uint8_t, block_size> padded{};
  if (key.size() > block_size) {
    std::ranges::copy(sha256(key).view(), padded.begin());
  } else {
    std::ranges::copy(key, padded.begin());
  }
  std::array<std::uint8_t, block_size> inner_pad;
  std::array<std::uint8_t, block_size> outer_pad;
  for (std::size_t i = 0; i < block_size; ++i) {
    inner_pad[i] = padded[i] ^ 0x36;
    outer_pad[i] = padded[i] ^ 0x5c;
  }
  Sha256 inner;
  inner.update(inner_pad);
  update_framed(inner, domain, parts);
  return sha256({outer_pad, inner.finish().view()});
}

std::array<std::uint8_t, 8> big_endian(std::uint64_t value) {
  std::array<std::uint8_t, 8> result;
  for (std::size_t i = 0; i < 8; ++i) result[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
  return result;
}

}  // namespace mesh
