// Transactions about paid work: escrow, anchored commitments, settlement, disputes, and the hash chains of the beacon.
//
// What they rest on (intents, offers, awards, commitments, receipts) travels in them as the envelopes that the parties signed
// for each other; their signatures are checked with the transaction's own. So the ledger takes nobody's word for what somebody
// else said.
//
// Bounds: 16 commitments in one transaction that anchors, 64 and as many verifications in one that settles, 1,024 shards of
// one commitment. decode() in transactions.h has the bound of the bytes.
#pragma once

#include <memory>

#include "domain/verification/records.h"

namespace mesh::ledger {

using identity::NodeId;
/// An account, and with it a member: the first public key.
using AccountId = NodeId;

inline constexpr std::size_t max_anchored = 16;
inline constexpr std::size_t max_settled_commitments = 64;
inline constexpr std::size_t max_settled_verifications = 64;
inline constexpr std::size_t max_timeouts = 64;

/// Puts the whole fee of a task of its own into escrow: fee * shards. For members.
struct Lock {
  static constexpr std::string_view type = "lock";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  Bytes intent;  ///< TaskIntent, signed by the account's current key
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("intent", self.intent);
  }
  bool operator==(const Lock&) const = default;
};

/// Fixes commitments of its own, before anybody knows the beacon that draws who verifies (a worker's), or before the worker
/// reveals (a verifier's).
struct Anchor {
  static constexpr std::string_view type = "anchor";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  std::vector<Bytes> commitments;  ///< all of a worker's under the award, or all of a verifier's without one
  std::optional<Bytes> offer;
  std::optional<Bytes> award;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("commitments", self.commitments);
    v("offer", self.offer);
    v("award", self.award);
  }
  bool operator==(const Anchor&) const = default;
};

/// Says that verifiers did not commit to a work in time. Each has a while to anchor its commitment; then its seats go to the
/// next of the order. By the publisher, the worker, or who was drawn for the work.
struct Timeout {
  static constexpr std::string_view type = "timeout";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  Cid commitment;  ///< the worker's
  std::vector<AccountId> failed;  ///< ascending
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("commitment", self.commitment);
    v("failed", self.failed);
  }
  bool operator==(const Timeout&) const = default;
};

/// Reveals: first the worker's receipt, with every seat's commitment that is not anchored yet; with it or later what the
/// verifiers found. By anybody.
struct Settle {
  static constexpr std::string_view type = "settle";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  Cid commitment;  ///< the worker's
  std::optional<Bytes> receipt;  ///< ExecutionReceipt
  std::vector<Bytes> commitments;  ///< of verifiers
  std::vector<Bytes> verifications;  ///< VerificationReceipts
  std::optional<Bytes> verdict;  ///< the publisher's, where nobody could be drawn
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("commitment", self.commitment);
    v("receipt", self.receipt);
    v("commitments", self.commitments);
    v("verifications", self.verifications);
    v("verdict", self.verdict);
  }
  bool operator==(const Settle&) const = default;
};

/// Wants an escrow back: after a notice nothing new is claimed, and what is not claimed goes back. By its publisher.
struct Refund {
  static constexpr std::string_view type = "refund";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  Cid intent;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("intent", self.intent);
  }
  bool operator==(const Refund&) const = default;
};

/// Doubts what a revealed work will come to, with a stake: more verifiers are drawn. By a bonded member.
struct Dispute {
  static constexpr std::string_view type = "dispute";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  Cid commitment;  ///< the worker's
  std::string reason;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("commitment", self.commitment);
    v("reason", self.reason);
  }
  bool operator==(const Dispute&) const = default;
};

/// Commits a validator to a hash chain, whose links it reveals in the blocks that it proposes.
struct CommitChain {
  static constexpr std::string_view type = "beacon";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  Digest tip;
  std::uint64_t length = 0;  ///< links before the tip
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("tip", self.tip);
    v("length", self.length);
  }
  bool operator==(const CommitChain&) const = default;
};
inline constexpr std::uint64_t max_chain_length = std::uint64_t{1} << 24;

/// The records in a transaction, read. None is looked at before its signature is checked with the transaction's own.
struct Attachments {
  std::optional<Signed<task::TaskIntent>> intent;
  std::optional<Signed<market::ComputeOffer>> offer;
  std::optional<Signed<market::Award>> award;
  std::vector<Signed<receipt::Commitment>> commitments;
  std::optional<Signed<receipt::ExecutionReceipt>> receipt;
  std::vector<Signed<receipt::VerificationReceipt>> verifications;
  std::optional<Signed<verification::Verdict>> verdict;
  /// Every signature among them, with what it is over.
  struct Claim {
    std::string_view type;
    PublicKey key;
    Signature signature;
    Digest body;
  };
  std::vector<Claim> claims;
};

// Their form, and what is attached to each; the refusals begin with stable names.
[[nodiscard]] Status check(const Lock& one);
[[nodiscard]] Status check(const Anchor& one);
[[nodiscard]] Status check(const Timeout& one);
[[nodiscard]] Status check(const Settle& one);
[[nodiscard]] Status check(const Refund& one);
[[nodiscard]] Status check(const Dispute& one);
[[nodiscard]] Status check(const CommitChain& one);
[[nodiscard]] Result<Attachments> attachments_of(const Lock& one);
[[nodiscard]] Result<Attachments> attachments_of(const Anchor& one);
[[nodiscard]] Result<Attachments> attachments_of(const Settle& one);

}  // namespace mesh::ledger
