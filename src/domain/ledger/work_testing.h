// For the tests of paid work: a village of six in which everybody may work and verify, and the records of a task without
// signatures. What a shard comes to is a number: `result` and `fuel` say what a node claims to have found.
#pragma once

#include <functional>

#include "domain/ledger/ledger_testing.h"

namespace mesh::ledger {

/// What somebody says that a shard came to.
[[nodiscard]] inline receipt::Finding finding_of(std::uint64_t result, std::uint64_t fuel = 10) {
  return {.result = Cid::of(Multicodec::raw, big_endian(result)),
          .log = Cid::of(Multicodec::raw, {}),
          .outcome = {},
          .fuel = fuel};
}
[[nodiscard]] inline receipt::Finding exhausted_finding() {
  receipt::Finding finding = finding_of(0);
  finding.outcome.kind = task::OutcomeKind::stack_exhausted;
  return finding;
}

/// Where signatures count after all: signs what unsigned_record is asked for.
inline std::function<Envelope(std::string_view type, Bytes body, const PublicKey& key)> record_signer;

template <record::Typed T>
[[nodiscard]] Signed<T> unsigned_record(const T& record, const PublicKey& key) {
  Envelope envelope{record::encode(record), key, {}};
  if (record_signer) envelope = record_signer(T::type, std::move(envelope.body), key);
  return {record, key, envelope.cid(), envelope};
}
template <record::Typed T>
[[nodiscard]] Bytes bytes_of(const Signed<T>& record) {
  return record::encode(record.envelope);
}

[[nodiscard]] inline Cid some_cid(std::string_view name) { return Cid::of(Multicodec::dag_cbor, as_bytes(name)); }

/// A node's claims about some shards, and what it signs of them.
struct Claims {
  Signed<receipt::Commitment> commitment;
  Digest key;
  std::vector<std::uint32_t> shards;
  std::vector<receipt::Finding> findings;
};

[[nodiscard]] inline Claims claims_of(receipt::Commitment commitment, std::vector<receipt::Finding> findings) {
  const PublicKey node = commitment.node;
  Claims claims{.commitment = {}, .key = sha256(node.view()), .shards = {}, .findings = std::move(findings)};
  for (const task::ShardRange& range : commitment.shards) {
    for (std::uint32_t i = 0; i < range.count; ++i) claims.shards.push_back(range.first + i);
  }
  std::vector<Digest> digests;
  for (const receipt::Finding& finding : claims.findings) digests.push_back(receipt::digest_of(finding));
  commitment.root = receipt::root_of(commitment.intent, node, claims.key, claims.shards, digests);
  claims.commitment = unsigned_record(commitment, node);
  return claims;
}

[[nodiscard]] inline Signed<receipt::ExecutionReceipt> receipt_of(const Claims& worker) {
  receipt::Usage usage;
  for (const receipt::Finding& finding : worker.findings) usage.add({.fuel = finding.fuel});
  return unsigned_record(receipt::ExecutionReceipt{.intent = worker.commitment.record.intent,
                                                   .award = worker.commitment.record.basis,
                                                   .commitment = worker.commitment.cid,
                                                   .key = worker.key,
                                                   .findings = receipt::columns_of(worker.findings),
                                                   .usage = usage},
                         worker.commitment.signer);
}

[[nodiscard]] inline Signed<receipt::VerificationReceipt> verification_of(const Claims& verifier,
                                                                          const Claims& worker) {
  std::vector<std::uint32_t> differing;
  std::vector<receipt::Finding> found;
  for (std::size_t i = 0; i < verifier.shards.size(); ++i) {
    const auto row = std::ranges::find(worker.shards, verifier.shards[i]) - worker.shards.begin();
    if (verifier.findings[i] == worker.findings[static_cast<std::size_t>(row)]) continue;
    differing.push_back(verifier.shards[i]);
    found.push_back(verifier.findings[i]);
  }
  return unsigned_record(receipt::VerificationReceipt{.intent = worker.commitment.record.intent,
                                                      .receipt = receipt_of(worker).cid,
                                                      .commitment = verifier.commitment.cid,
                                                      .key = verifier.key,
                                                      .differing = task::ranges_of(differing),
                                                      .findings = receipt::columns_of(found)},
                         verifier.commitment.signer);
}

}  // namespace mesh::ledger
