#include "domain/ledger/merkle_proof.h"

namespace mesh::ledger {

namespace {

constexpr std::uint8_t leaf_prefix = 0;
constexpr std::uint8_t inner_prefix = 1;

Digest hash_of(std::uint8_t prefix, const Digest& first, const Digest& second) {
  std::array<std::uint8_t, 1 + 2 * Digest::size> bytes;
  bytes[0] = prefix;
  std::ranges::copy(first.view(), bytes.begin() + 1);
  std::ranges::copy(second.view(), bytes.begin() + 1 + Digest::size);
  return sha256(bytes);
}

/// Whether the path that ends in `end` on the way to `place` leads up to `root`.
Status check_path(const Digest& root, const Digest& place, const MapProof& proof, const Digest& end) {
  if (proof.beside.size() > max_path)
    return fail(ErrorCode::invalid,
                "proof-too-long: a path has at most 256 steps, not " + std::to_string(proof.beside.size()));
  Digest hash = end;
  for (std::size_t depth = proof.beside.size(); depth-- > 0;) {
    const Digest& beside = proof.beside[depth];
    hash = goes_right(place, depth) ? inner_hash(beside, hash) : inner_hash(hash, beside);
  }
  if (hash != root) return fail(ErrorCode::invalid, "proof-of-another-root: the path does not lead to this root");
  return {};
}

}  // namespace

Digest leaf_hash(const Digest& place, const Digest& value) { return hash_of(leaf_prefix, place, value); }
Digest inner_hash(const Digest& left, const Digest& right) { return hash_of(inner_prefix, left, right); }

Status check_inclusion(const Digest& root, const Digest& place, const Digest& value, const MapProof& proof) {
  if (!proof.end || proof.end->place != place)
    return fail(ErrorCode::invalid, "proof-of-another-entry: the path does not end in this entry");
  if (proof.end->value != value)
    return fail(ErrorCode::invalid, "proof-of-another-value: the path ends in the entry with another value");
  return check_path(root, place, proof, leaf_hash(place, value));
}

Status check_exclusion(const Digest& root, const Digest& place, const MapProof& proof) {
  if (!proof.end) return check_path(root, place, proof, empty_root);
  if (proof.end->place == place)
    return fail(ErrorCode::invalid, "proof-of-presence: the path ends in the entry that should not be there");
  // The other entry must lie where this one would: they agree in every bit that the path looked at.
  for (std::size_t depth = 0; depth < std::min(proof.beside.size(), max_path); ++depth) {
    if (goes_right(place, depth) != goes_right(proof.end->place, depth))
      return fail(ErrorCode::invalid, "proof-of-another-path: the path ends in an entry that lies elsewhere");
  }
  return check_path(root, place, proof, leaf_hash(proof.end->place, proof.end->value));
}

}  // namespace mesh::ledger
