// Proof bundles: a task's whole story in one CAR file, and the check of it with no network and no trust in whoever
// handed it over.
//
// The root is a ProofBundle; the other blocks are lists, envelopes (each a DAG-CBOR block), the policy, and, where they are
// small, the results themselves. Of a task with a fee the bundle has what its federation's ledger decided and paid, too: whoever
// knows ledgers checks that (PaymentJudge). Bound: 512 MiB.
#pragma once

#include <map>
#include <set>

#include "codec/car.h"
#include "domain/verification/quorum.h"
#include "domain/verification/round.h"

namespace mesh::verification {

struct ProofBundle {
  static constexpr std::string_view type = "proof-bundle";
  static constexpr std::uint64_t version = 2;
  Cid federation;
  Cid intent;  ///< the record's CID (of the body)
  std::vector<Cid> lists;  ///< ProofLists of what is in the bundle
  std::optional<Cid> payment;  ///< of a task with a fee: what shows what the ledger decided and paid
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("federation", self.federation);
    v("intent", self.intent);
    v("lists", self.lists);
    v("payment", self.payment);
  }
};

/// What a bundle carries, in lists of at most max_listed CIDs, so that each list is a block of bounded size.
struct ProofList {
  static constexpr std::string_view type = "proof-list";
  static constexpr std::uint64_t version = 1;
  static constexpr std::size_t max_listed = 16'384;
  /// CIDs of the envelope blocks, over all lists intent first, then in the order in which they came to be.
  std::vector<Cid> envelopes;
  std::vector<Cid> contents;  ///< results and logs that are in the bundle
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("envelopes", self.envelopes);
    v("contents", self.contents);
  }
};

/// What a bundle has of a ledger (domain/ledger/payment_proof.h).
struct PaidPart {
  Cid root;
  std::vector<car::Block> blocks;
};

/// The CAR file. `contents` are blocks of results and logs to carry along; may be empty. `payment` may be null.
[[nodiscard]] Bytes build_bundle(const Cid& federation, const policy::MeshPolicy& policy, const Cid& intent,
                                 const std::vector<Envelope>& story, const std::vector<car::Block>& contents,
                                 const PaidPart* payment = nullptr);

struct SeatProof {
  NodeId node;
  bool agreed = false;
  bool operator==(const SeatProof&) const = default;
};

/// What a ledger decided of a shard.
struct JudgedShard {
  Decision decision = Decision::disputed;
  std::vector<SeatProof> seats;
};
/// What a ledger has of a worker's commitment.
struct JudgedWork {
  Signed<receipt::Commitment> commitment;  ///< as it was anchored; without its envelope
  std::optional<Cid> receipt;  ///< that the ledger took for the reveal
  std::map<std::uint32_t, JudgedShard> shards;
  bool same_owner = false;  ///< a seat was given to a node of the worker's or the publisher's owner
};
struct Judged {
  std::map<Cid, JudgedWork> works;  ///< by commitment
  std::set<Cid> used;  ///< blocks of the bundle that the payment's part consists of
};
/// What a payment is checked against, and where its blocks are.
struct PaidTask {
  const Cid& federation;
  const Signed<task::TaskIntent>& intent;
  const policy::MeshPolicy& policy;
  const Cid& payment;
  const std::map<Cid, const Bytes*>& blocks;
};

/// Who knows ledgers. A task with a fee is judged by its federation's ledger, and not by draws of its publisher's.
class PaymentJudge {
 public:
  PaymentJudge() = default;
  PaymentJudge(const PaymentJudge&) = delete;
  PaymentJudge& operator=(const PaymentJudge&) = delete;
  virtual ~PaymentJudge() = default;
  [[nodiscard]] virtual Result<Judged> judge(const PaidTask& task) = 0;
  /// What of it is about these commitments alone, and the escrow; of a payment that was judged.
  [[nodiscard]] virtual Result<PaidPart> cut(const PaidTask& task, const std::set<Cid>& commitments) = 0;
};

/// What the bundle proves of one shard.
struct ShardProof {
  std::uint32_t shard = 0;
  Decision decision = Decision::unverified;
  NodeId worker;
  receipt::Finding finding;
  task::ExecutionSummary summary;
  std::vector<SeatProof> seats;
  std::uint32_t contribution = 0;
  bool same_owner = false;  ///< a verifier has the same owner as the worker or the publisher
  bool self_executed = false;  ///< the publisher ran it itself
  Cid receipt;  ///< the worker's, that the verdict is on
  std::uint32_t rejected_attempts = 0;
  bool operator==(const ShardProof&) const = default;
};

struct ProofReport {
  Cid federation;
  Signed<task::TaskIntent> intent;
  std::vector<ShardProof> shards;  ///< by number; the last verdict of each
  std::uint32_t missing = 0;  ///< shards without a verdict
  std::vector<std::pair<Cid, Bytes>> contents;  ///< carried along and checked
  [[nodiscard]] std::uint32_t count(Decision decision) const;
};

/// All lists of a bundle as one. Errors: a list that is missing, no list, too long or named twice.
[[nodiscard]] Result<ProofList> read_lists(const ProofBundle& bundle, const std::map<Cid, const Bytes*>& blocks);

/// Checks everything: hashes, signatures, hash chains, the draw, openings, and each verdict anew. The error is one
/// sentence that names the first thing that does not hold. A task with a fee is refused as "payment: not proven" without a
/// judge, and where what its bundle has of the ledger does not show it.
[[nodiscard]] Result<ProofReport> verify_bundle(ByteView car, PaymentJudge* judge = nullptr);

}  // namespace mesh::verification
