#include "domain/receipt/receipt.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/planted.h"

namespace mesh::receipt {

namespace {

constexpr std::string_view not_it = "what is revealed is not what was committed to";

/// The place of `value` in `list`, to whose end it is added if it is not there. Looks at the end first: rows that
/// follow one another are mostly alike.
template <class T>
std::uint32_t place_in(std::vector<T>& list, const T& value) {
  const auto found = std::find(list.rbegin(), list.rend(), value);
  if (found != list.rend()) return static_cast<std::uint32_t>(list.rend() - found - 1);
  list.push_back(value);
  return static_cast<std::uint32_t>(list.size() - 1);
}

/// Whether the indices use the whole list, in the order of first use, as place_in gives them.
bool in_order_of_use(const std::vector<std::uint32_t>& indices, std::size_t size) {
  std::size_t next = 0;
  for (const std::uint32_t index : indices) {
    if (index > next || index >= size) return false;
    if (index == next) ++next;
  }
  return next == size;
}

/// Whether no outcome is there twice. By their bytes, so that a list of many that begin alike takes no long time.
bool all_differ(const std::vector<task::Outcome>& outcomes) {
  if (outcomes.size() < 2) return true;
  std::set<Bytes> seen;
  return std::ranges::all_of(outcomes,
                             [&](const task::Outcome& outcome) { return seen.insert(record::encode(outcome)).second; });
}

}  // namespace

std::size_t size_in_receipt(const Finding& finding) {
  std::size_t bytes = 96 + finding.outcome.detail.size() + finding.outcome.trap.size();
  for (const std::string& frame : finding.outcome.backtrace) bytes += frame.size() + 2;
  return bytes;
}

Digest digest_of(const Finding& finding) {
  static const task::Outcome success;
  static const Bytes success_bytes = record::encode(success);
  const auto hash = [&](const Bytes& outcome) {
    return tagged_hash("meshwork/1/finding",
                       {finding.result.binary(), finding.log.binary(), big_endian(finding.fuel), outcome});
  };
  return finding.outcome == success ? hash(success_bytes) : hash(record::encode(finding.outcome));
}

Findings columns_of(std::span<const Finding> rows) {
  Findings columns;
  columns.results.reserve(rows.size());
  columns.fuel.reserve(rows.size());
  columns.log.reserve(rows.size());
  columns.outcome.reserve(rows.size());
  for (const Finding& row : rows) {
    columns.results.push_back(row.result);
    columns.fuel.push_back(row.fuel);
    columns.log.push_back(place_in(columns.logs, row.log));
    columns.outcome.push_back(place_in(columns.outcomes, row.outcome));
  }
  return columns;
}

Result<std::vector<Finding>> rows_of(const Findings& columns, std::size_t count) {
  if (columns.results.size() != count || columns.fuel.size() != count || columns.log.size() != count ||
      columns.outcome.size() != count) {
    return fail(ErrorCode::invalid, "there is not one finding for each shard");
  }
  if (!in_order_of_use(columns.log, columns.logs.size()) ||
      !in_order_of_use(columns.outcome, columns.outcomes.size())) {
    return fail(ErrorCode::invalid, "the lists of logs and outcomes are not in the order of their use");
  }
  for (const task::Outcome& outcome : columns.outcomes) MESH_TRY(task::validate(outcome));
  if (std::set<Cid>(columns.logs.begin(), columns.logs.end()).size() != columns.logs.size() ||
      !all_differ(columns.outcomes)) {
    return fail(ErrorCode::invalid, "a log or an outcome is listed twice");
  }
  std::vector<Finding> rows;
  rows.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    rows.push_back({.result = columns.results[i],
                    .log = columns.logs[columns.log[i]],
                    .outcome = columns.outcomes[columns.outcome[i]],
                    .fuel = columns.fuel[i]});
  }
  return rows;
}

void Usage::add(const task::ExecutionSummary& summary) {
  wall_ms.push_back(summary.wall_ms);
  peak_memory_bytes.push_back(summary.peak_memory_bytes);
  io_bytes.push_back(summary.io_bytes);
}

bool Usage::has(std::size_t count) const {
  return wall_ms.size() == count && peak_memory_bytes.size() == count && io_bytes.size() == count;
}

task::ExecutionSummary Usage::summary(std::size_t row, std::uint64_t fuel) const {
  return {
      .fuel = fuel, .wall_ms = wall_ms[row], .peak_memory_bytes = peak_memory_bytes[row], .io_bytes = io_bytes[row]};
}

Digest leaf_of(const Cid& intent, std::uint32_t shard, const NodeId& node, const Digest& finding, const Digest& salt) {
  if (planted(Bug::salt_left_out))
    return tagged_hash("meshwork/1/commitment", {intent.binary(), big_endian(shard), node.view(), finding.view()});
  return tagged_hash("meshwork/1/commitment",
                     {intent.binary(), big_endian(shard), node.view(), finding.view(), salt.view()});
}

Digest salt_of(const Digest& key, std::uint32_t shard) {
  return tagged_hash("meshwork/1/salt", {key.view(), big_endian(shard)});
}

const Finding* Opened::find(std::uint32_t shard) const {
  const auto it = std::ranges::lower_bound(shards, shard);
  return it == shards.end() || *it != shard ? nullptr : &findings[static_cast<std::size_t>(it - shards.begin())];
}

Result<std::vector<std::uint32_t>> covered(const Signed<Commitment>& signed_commitment, std::uint32_t shards) {
  const Commitment& commitment = signed_commitment.record;
  if (commitment.node != signed_commitment.signer)
    return fail(ErrorCode::unauthorised, "not-the-signers: the commitment is in another node's name");
  std::uint64_t count = 0;
  for (const task::ShardRange& range : commitment.shards) count += range.count;
  if (count < 1 || count > max_commitment_shards) {
    return fail(ErrorCode::invalid, "a commitment covers 1 to " + std::to_string(max_commitment_shards) +
                                        " shards, not " + std::to_string(count));
  }
  return task::expand(commitment.shards, shards);
}

Digest root_of(const Cid& intent, const NodeId& node, const Digest& key, const std::vector<std::uint32_t>& shards,
               std::span<const Digest> digests) {
  MESH_CHECK(shards.size() == digests.size(), "commitment-rows");
  std::vector<Digest> leaves;
  leaves.reserve(shards.size());
  for (std::size_t i = 0; i < shards.size(); ++i)
    leaves.push_back(leaf_of(intent, shards[i], node, digests[i], salt_of(key, shards[i])));
  return merkle::root_of(leaves);
}

Result<Opened> open_execution(const Signed<Commitment>& commitment, const ExecutionReceipt& receipt,
                              std::uint32_t shards) {
  const Commitment& committed = commitment.record;
  if (receipt.commitment != commitment.cid) return fail(ErrorCode::invalid, "the receipt opens another commitment");
  if (receipt.award != committed.basis)
    return fail(ErrorCode::invalid, "the receipt names another award than its commitment");
  if (committed.worker) return fail(ErrorCode::invalid, "the receipt opens a verifier's commitment");
  Opened opened;
  MESH_LET(opened.shards, covered(commitment, shards));
  MESH_LET(opened.findings, rows_of(receipt.findings, opened.shards.size()));
  if (!receipt.usage.has(opened.shards.size()))
    return fail(ErrorCode::invalid, "the receipt does not say of every shard what its run used");
  opened.digests.reserve(opened.findings.size());
  for (const Finding& finding : opened.findings) opened.digests.push_back(digest_of(finding));
  if (root_of(committed.intent, commitment.signer, receipt.key, opened.shards, opened.digests) != committed.root)
    return fail(ErrorCode::invalid, std::string(not_it));
  return opened;
}

Result<std::map<std::uint32_t, Finding>> open_verification(const Signed<Commitment>& commitment,
                                                           const VerificationReceipt& receipt, const Opened& worker,
                                                           std::uint32_t shards) {
  const Commitment& committed = commitment.record;
  if (receipt.commitment != commitment.cid) return fail(ErrorCode::invalid, "the receipt opens another commitment");
  MESH_LET(const std::vector<std::uint32_t> mine, covered(commitment, shards));
  MESH_LET(const std::vector<std::uint32_t> differing, task::expand(receipt.differing, shards));
  MESH_LET(std::vector<Finding> others, rows_of(receipt.findings, differing.size()));
  if (!std::ranges::includes(mine, differing))
    return fail(ErrorCode::invalid, "the verification differs on a shard that its commitment does not cover");
  std::map<std::uint32_t, Finding> found;
  for (std::size_t i = 0; i < differing.size(); ++i) found.emplace(differing[i], std::move(others[i]));
  std::vector<Digest> digests;
  digests.reserve(mine.size());
  auto row = worker.shards.begin();
  for (const std::uint32_t shard : mine) {
    row = std::lower_bound(row, worker.shards.end(), shard);
    if (row == worker.shards.end() || *row != shard)
      return fail(ErrorCode::invalid, "the verification covers a shard that the worker's receipt does not");
    const Digest& workers = worker.digests[static_cast<std::size_t>(row - worker.shards.begin())];
    const auto other = found.find(shard);
    if (other == found.end()) {
      digests.push_back(workers);
      continue;
    }
    digests.push_back(digest_of(other->second));
    if (digests.back() == workers)
      return fail(ErrorCode::invalid, "the verification calls a finding different that is the worker's own");
  }
  if (root_of(committed.intent, commitment.signer, receipt.key, mine, digests) != committed.root)
    return fail(ErrorCode::invalid, std::string(not_it));
  return found;
}

Digest salt_key(const identity::Signer& signer, const Commitment& commitment) {
  Bytes ranges;
  for (const task::ShardRange& range : commitment.shards) {
    append(ranges, big_endian(range.first));
    append(ranges, big_endian(range.count));
  }
  return signer.secret("meshwork/1/salt-key", {commitment.intent.binary(), commitment.basis.binary(),
                                               commitment.worker.value_or(commitment.basis).binary(), ranges});
}

}  // namespace mesh::receipt
