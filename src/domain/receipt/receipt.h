// Receipts: what a worker says a run gave, and what a verifier says of it, each bound to a commitment made before
// either could know the other's.
#pragma once

#include "codec/merkle.h"
#include "domain/identity/identity.h"
#include "domain/task/intent.h"
#include "domain/task/outcome.h"

namespace mesh::receipt {

using identity::NodeId;

/// The part of a run that must be equal for two nodes to agree: bytes, log, outcome and fuel.
struct Finding {
  Cid result;             ///< of the output
  Cid log;                ///< of the log
  task::Outcome outcome;
  std::uint64_t fuel = 0;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("result", self.result);
    v("log", self.log);
    v("outcome", self.outcome);
    v("fuel", self.fuel);
  }
  bool operator==(const Finding&) const = default;
};

/// The leaf of a commitment: H(domain, intent, shard, node, finding, salt). The node is in it, so that a copied
/// commitment opens for nobody but its author; the salt, so that few possible results cannot be tried out.
[[nodiscard]] Digest leaf_of(const Cid& intent, std::uint32_t shard, const NodeId& node, const Finding& finding,
                             const Digest& salt);

/// "I ran these shards; what came out is under this root." Workers and verifiers commit in the same form.
struct Commitment {
  static constexpr std::string_view type = "commitment";
  static constexpr std::uint64_t version = 1;

  Cid intent;
  Cid basis;                          ///< the Award (of a worker) or the Draw (of a verifier) that it answers
  std::vector<task::ShardRange> shards;
  Digest root;                        ///< Merkle root over leaf_of, in the order of the shards

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("basis", self.basis);
    v("shards", self.shards);
    v("root", self.root);
  }
};

/// Opens one leaf of a commitment.
struct Opening {
  Cid commitment;
  std::uint32_t shard = 0;
  Digest salt;
  std::vector<Digest> proof;  ///< the audit path from the leaf to the root

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("commitment", self.commitment);
    v("shard", self.shard);
    v("salt", self.salt);
    v("proof", self.proof);
  }
};

struct ExecutionReceipt {
  static constexpr std::string_view type = "execution-receipt";
  static constexpr std::uint64_t version = 1;

  Cid intent;
  Cid award;
  Opening opening;
  Finding finding;
  task::ExecutionSummary summary;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("award", self.award);
    v("opening", self.opening);
    v("finding", self.finding);
    v("summary", self.summary);
  }
};

enum class Agreement : std::uint8_t { agree, disagree };
[[nodiscard]] std::span<const std::string_view> enum_names(Agreement);

struct VerificationReceipt {
  static constexpr std::string_view type = "verification-receipt";
  static constexpr std::uint64_t version = 1;

  Cid intent;
  Cid receipt;          ///< the ExecutionReceipt that is judged
  Agreement verdict = Agreement::disagree;
  Opening opening;
  Finding finding;      ///< the verifier's own

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("receipt", self.receipt);
    v("verdict", self.verdict);
    v("opening", self.opening);
    v("finding", self.finding);
  }
};

/// Whether the opening and the finding give the leaf that `commitment` has for that shard, and the finding's outcome is
/// within its bounds. The error says what does not fit.
[[nodiscard]] Status check_opening(const Signed<Commitment>& commitment, const Opening& opening, const Finding& finding,
                                   std::uint32_t shards);

/// The salt of a node's leaf: derived, so that a restarted node opens what it committed to before.
[[nodiscard]] Digest salt_of(const identity::Signer& signer, const Cid& intent, std::uint32_t shard);

}  // namespace mesh::receipt
