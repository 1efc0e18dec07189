// Receipts: what a worker says its runs gave, and what a verifier says of them, each bound to a commitment made before
// either could know the other's.
//
// One record speaks of many shards: what a worker committed to together it reveals together, and a verifier answers
// for all of its seats among them at once. So a shard costs some hundred bytes and a few hashes, and no signature of
// its own.
//
// Bound: max_commitment_shards shards in one commitment.
#pragma once

#include <map>

#include "codec/merkle.h"
#include "domain/identity/identity.h"
#include "domain/task/intent.h"
#include "domain/task/outcome.h"

namespace mesh::receipt {

using identity::NodeId;

/// Shards that one commitment covers at most: what is revealed of them fits a message.
inline constexpr std::uint32_t max_commitment_shards = 1024;

/// The part of a run that must be equal for two nodes to agree: bytes, log, outcome and fuel.
struct Finding {
  Cid result;  ///< of the output
  Cid log;  ///< of the log
  task::Outcome outcome;
  std::uint64_t fuel = 0;

  bool operator==(const Finding&) const = default;
};

/// So many bytes, or fewer, it adds to a record that reveals it.
[[nodiscard]] std::size_t size_in_receipt(const Finding& finding);

/// H(domain, result, log, fuel, outcome).
[[nodiscard]] Digest digest_of(const Finding& finding);

/// What several shards came to, in order, by columns. Logs and outcomes, which are mostly the same, are listed once, in
/// the order of their first use.
struct Findings {
  std::vector<Cid> results;
  std::vector<std::uint64_t> fuel;
  std::vector<Cid> logs;
  std::vector<std::uint32_t> log;  ///< index into logs
  std::vector<task::Outcome> outcomes;
  std::vector<std::uint32_t> outcome;  ///< index into outcomes

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("results", self.results);
    v("fuel", self.fuel);
    v("logs", self.logs);
    v("log", self.log);
    v("outcomes", self.outcomes);
    v("outcome", self.outcome);
  }
};
[[nodiscard]] Findings columns_of(std::span<const Finding> rows);
/// The rows again. Errors: not `count` of them, an index past its list, an outcome past its bounds, or a list that is
/// not what columns_of writes (so that the same findings have one form).
[[nodiscard]] Result<std::vector<Finding>> rows_of(const Findings& columns, std::size_t count);

/// What the runs of a receipt used, in order, by columns; the worker's own measurement (task::ExecutionSummary, whose
/// fuel is the finding's).
struct Usage {
  std::vector<std::uint64_t> wall_ms, peak_memory_bytes, io_bytes;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("wall_ms", self.wall_ms);
    v("peak_memory_bytes", self.peak_memory_bytes);
    v("io_bytes", self.io_bytes);
  }
  void add(const task::ExecutionSummary& summary);
  [[nodiscard]] bool has(std::size_t count) const;
  [[nodiscard]] task::ExecutionSummary summary(std::size_t row, std::uint64_t fuel) const;
};

/// The leaf of a commitment: H(domain, intent, shard, node, H(finding), salt). The node is in it, so that a copied
/// commitment opens for nobody but its author; the salt, so that few possible results cannot be tried out.
[[nodiscard]] Digest leaf_of(const Cid& intent, std::uint32_t shard, const NodeId& node, const Digest& finding,
                             const Digest& salt);
/// The salt of a shard under a commitment's key.
[[nodiscard]] Digest salt_of(const Digest& key, std::uint32_t shard);

/// "I ran these shards; what came out is under this root." Workers and verifiers commit in the same form.
struct Commitment {
  static constexpr std::string_view type = "commitment";
  static constexpr std::uint64_t version = 2;

  Cid intent;
  NodeId node;  ///< who commits, and signs: a copy by another is another record
  Cid basis;  ///< the Award (of a worker) or the Draw (of a verifier) that it answers
  std::optional<Cid> worker;  ///< of a verifier: the worker's commitment that it has seats on
  std::vector<task::ShardRange> shards;  ///< 1 to max_commitment_shards of them
  Digest root;  ///< Merkle root over leaf_of, in the order of the shards

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("node", self.node);
    v("basis", self.basis);
    v("worker", self.worker);
    v("shards", self.shards);
    v("root", self.root);
  }
};

/// Opens a worker's commitment, as a whole.
struct ExecutionReceipt {
  static constexpr std::string_view type = "execution-receipt";
  static constexpr std::uint64_t version = 2;

  Cid intent;
  Cid award;
  Cid commitment;
  Digest key;  ///< of the salts
  Findings findings;  ///< in the order of the commitment's shards
  Usage usage;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("award", self.award);
    v("commitment", self.commitment);
    v("key", self.key);
    v("findings", self.findings);
    v("usage", self.usage);
  }
};

/// Opens a verifier's commitment: what it found is what the worker's receipt says, but for what stands here.
struct VerificationReceipt {
  static constexpr std::string_view type = "verification-receipt";
  static constexpr std::uint64_t version = 2;

  Cid intent;
  Cid receipt;  ///< the ExecutionReceipt that is judged
  Cid commitment;  ///< the verifier's own
  Digest key;  ///< of its salts
  std::vector<task::ShardRange> differing;  ///< shards of the commitment on which it found something else
  Findings findings;  ///< what it found there

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("receipt", self.receipt);
    v("commitment", self.commitment);
    v("key", self.key);
    v("differing", self.differing);
    v("findings", self.findings);
  }
};

/// What a receipt reveals, row by row.
struct Opened {
  std::vector<std::uint32_t> shards;
  std::vector<Finding> findings;
  std::vector<Digest> digests;  ///< of the findings
  [[nodiscard]] const Finding* find(std::uint32_t shard) const;
};

/// The shards of a commitment; `shards` is how many the task has. Errors: none, too many, ranges that
/// are none, or a signature that is not the committing node's.
[[nodiscard]] Result<std::vector<std::uint32_t>> covered(const Signed<Commitment>& commitment, std::uint32_t shards);

/// Whether the receipt opens the commitment; what it reveals. The error says what does not fit.
[[nodiscard]] Result<Opened> open_execution(const Signed<Commitment>& commitment, const ExecutionReceipt& receipt,
                                            std::uint32_t shards);
/// Likewise for a verifier's, against what the worker's receipt revealed: what it found where that differs, by shard.
/// Every shard that the verifier's commitment covers is one of the worker's. Whether the commitment answers the right
/// draw and worker, and who signed the receipt, is the caller's to check.
[[nodiscard]] Result<std::map<std::uint32_t, Finding>> open_verification(const Signed<Commitment>& commitment,
                                                                         const VerificationReceipt& receipt,
                                                                         const Opened& worker, std::uint32_t shards);

/// The key of the salts of a node's own commitment, derived from all of it but the root, so that a restarted node opens
/// what it committed to before, and no two commitments share a key.
[[nodiscard]] Digest salt_key(const identity::Signer& signer, const Commitment& commitment);
/// The root of a commitment by `node`; `digests` are those of its findings, in the order of `shards`.
[[nodiscard]] Digest root_of(const Cid& intent, const NodeId& node, const Digest& key,
                             const std::vector<std::uint32_t>& shards, std::span<const Digest> digests);

}  // namespace mesh::receipt
