#include "domain/receipt/receipt.h"

#include <algorithm>

namespace mesh::receipt {

std::span<const std::string_view> enum_names(Agreement) {
  static constexpr std::array<std::string_view, 2> names{"agree", "disagree"};
  return names;
}

Digest leaf_of(const Cid& intent, std::uint32_t shard, const NodeId& node, const Finding& finding, const Digest& salt) {
  return tagged_hash("meshwork/1/commitment",
                     {intent.binary(), big_endian(shard), node.view(), record::encode(finding), salt.view()});
}

Status check_opening(const Signed<Commitment>& commitment, const Opening& opening, const Finding& finding,
                     std::uint32_t shards) {
  if (opening.commitment != commitment.cid) return fail(ErrorCode::invalid, "the receipt opens another commitment");
  MESH_TRY(task::validate(finding.outcome));
  MESH_LET(const std::vector<std::uint32_t> covered, task::expand(commitment.record.shards, shards));
  const auto it = std::ranges::lower_bound(covered, opening.shard);
  if (it == covered.end() || *it != opening.shard)
    return fail(ErrorCode::invalid, "the commitment does not cover this shard");
  const Digest leaf = leaf_of(commitment.record.intent, opening.shard, commitment.signer, finding, opening.salt);
  const auto index = static_cast<std::size_t>(it - covered.begin());
  if (!merkle::verify(commitment.record.root, leaf, index, covered.size(), opening.proof)) {
    return fail(ErrorCode::invalid, "what is revealed is not what was committed to");
  }
  return {};
}

Digest salt_of(const identity::Signer& signer, const Cid& intent, std::uint32_t shard) {
  return signer.secret("meshwork/1/salt", {intent.binary(), big_endian(shard)});
}

}  // namespace mesh::receipt
