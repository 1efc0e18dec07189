#include "domain/ledger/work_transactions.h"

#include <algorithm>

#include "domain/ledger/transactions.h"

namespace mesh::ledger {

namespace {

template <record::Typed T>
Status attach(Attachments& to, ByteView bytes, Signed<T>& into) {
  Result<Envelope> envelope = record::decode<Envelope>(bytes);
  if (!envelope) return wrap("bad-attachment", std::move(envelope.error()));
  Result<T> value = record::decode<T>(envelope->body);
  if (!value) return wrap("bad-attachment", std::move(value.error()));
  into = {std::move(*value), envelope->key, envelope->cid(), std::move(*envelope)};
  to.claims.push_back({T::type, into.signer, into.envelope.sig, into.cid.digest()});
  return {};
}
template <record::Typed T>
Status attach(Attachments& to, const std::optional<Bytes>& bytes, std::optional<Signed<T>>& into) {
  if (!bytes) return {};
  return attach(to, *bytes, into.emplace());
}
template <record::Typed T>
Status attach(Attachments& to, const std::vector<Bytes>& list, std::vector<Signed<T>>& into) {
  for (const Bytes& bytes : list) MESH_TRY(attach(to, bytes, into.emplace_back()));
  return {};
}

Status check_count(std::string_view what, std::size_t count, std::size_t most) {
  if (count <= most) return {};
  return fail(ErrorCode::exhausted, "too-many-attachments: at most " + std::to_string(most) + " " + std::string(what) +
                                        " fit in, not " + std::to_string(count));
}

}  // namespace

Status check(const Lock&) { return {}; }
Status check(const Refund&) { return {}; }

Status check(const Anchor& one) {
  if (one.commitments.empty()) return fail(ErrorCode::invalid, "nothing-anchored: there is at least one commitment");
  if (one.offer.has_value() != one.award.has_value())
    return fail(ErrorCode::invalid, "award-missing: a worker anchors with its offer and the award on it");
  return check_count("commitments", one.commitments.size(), max_anchored);
}

Status check(const Timeout& one) {
  if (one.failed.empty()) return fail(ErrorCode::invalid, "nobody-named: a time-out names at least one node");
  if (std::ranges::adjacent_find(one.failed, std::greater_equal<>{}) != one.failed.end())
    return fail(ErrorCode::invalid, "nodes-unordered: each is named once, ascending");
  return check_count("nodes", one.failed.size(), max_timeouts);
}

Status check(const Settle& one) {
  if (!one.receipt && one.commitments.empty() && one.verifications.empty())
    return fail(ErrorCode::invalid, "nothing-revealed: there is a receipt, a commitment or a verification in it");
  if (one.verdict && !one.receipt)
    return fail(ErrorCode::invalid, "receipt-missing: a verdict comes with the receipt that it is about");
  MESH_TRY(check_count("commitments", one.commitments.size(), max_settled_commitments));
  return check_count("verifications", one.verifications.size(), max_settled_verifications);
}

Status check(const Dispute& one) {
  if (one.reason.size() <= max_text_bytes) return {};
  return fail(ErrorCode::invalid, "text-too-long: the reason has " + std::to_string(one.reason.size()) +
                                      " bytes, more than the 128 allowed");
}

Status check(const CommitChain& one) {
  if (one.length >= 1 && one.length <= max_chain_length) return {};
  return fail(ErrorCode::invalid, "bad-chain: a chain has 1 to 2^24 links, not " + std::to_string(one.length));
}

Result<Attachments> attachments_of(const Lock& one) {
  Attachments attachments;
  MESH_TRY(attach(attachments, one.intent, attachments.intent.emplace()));
  return attachments;
}

Result<Attachments> attachments_of(const Anchor& one) {
  Attachments attachments;
  MESH_TRY(attach(attachments, one.offer, attachments.offer));
  MESH_TRY(attach(attachments, one.award, attachments.award));
  MESH_TRY(attach(attachments, one.commitments, attachments.commitments));
  return attachments;
}

Result<Attachments> attachments_of(const Settle& one) {
  Attachments attachments;
  MESH_TRY(attach(attachments, one.receipt, attachments.receipt));
  MESH_TRY(attach(attachments, one.commitments, attachments.commitments));
  MESH_TRY(attach(attachments, one.verifications, attachments.verifications));
  MESH_TRY(attach(attachments, one.verdict, attachments.verdict));
  return attachments;
}

}  // namespace mesh::ledger
