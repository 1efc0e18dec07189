// What is signed between a worker's commitment and the verdict on it. The order is the whole point:
// commitment -> RoundOpen (the commitments are fixed) -> NonceReveal (from everybody on the roster) -> Draw (the
// publisher's own link, and so the seed) -> the drawn verifiers' commitments -> RevealRequest -> receipts -> Verdict.
#pragma once

#include "domain/market/records.h"
#include "domain/receipt/receipt.h"

namespace mesh::verification {

using identity::NodeId;

/// Fixes the commitments of a round. A node reveals its nonce of a round for one RoundOpen only.
struct RoundOpen {
  static constexpr std::string_view type = "round-open";
  static constexpr std::uint64_t version = 2;
  Cid intent;
  Cid roster;
  std::uint32_t round = 0;       ///< from 1
  std::vector<Cid> commitments;  ///< of workers; at most 256
  std::vector<std::uint32_t> seats;  ///< on each verified shard of the commitments, in their order
  /// Members that get no seat, because a verdict of this task found against them. Stated before any nonce is known;
  /// whoever checks the bundle demands the verdict.
  std::vector<NodeId> barred;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("roster", self.roster);
    v("round", self.round);
    v("commitments", self.commitments);
    v("seats", self.seats);
    v("barred", self.barred);
  }
};
inline constexpr std::size_t max_round_commitments = 256;

/// One link of a roster member's hash chain: H applied `round` times to it gives the nonce_tip of its offer.
struct NonceReveal {
  static constexpr std::string_view type = "nonce-reveal";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  Cid open;
  std::uint32_t round = 0;
  Digest link;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("open", self.open);
    v("round", self.round);
    v("link", self.link);
  }
};

/// The publisher's link and the reveals that count: from these anyone computes who verifies what. Members of the roster
/// whose reveal is not in it withheld theirs: no seat in this round, and a hash of their tip counts instead.
struct Draw {
  static constexpr std::string_view type = "draw";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  Cid open;
  std::uint32_t round = 0;
  Digest link;
  std::vector<Cid> reveals;  ///< in the order of the roster
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("open", self.open);
    v("round", self.round);
    v("link", self.link);
    v("reveals", self.reveals);
  }
};

/// A drawn verifier failed (named reason): its seat on these shards of a worker's commitment goes to the next of the drawn
/// order.
struct Substitution {
  static constexpr std::string_view type = "substitution";
  static constexpr std::uint64_t version = 2;
  Cid intent;
  Cid draw;
  Cid commitment;  ///< the worker's
  NodeId failed;
  std::vector<task::ShardRange> shards;
  std::string reason;  ///< at most 256 bytes
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("draw", self.draw);
    v("commitment", self.commitment);
    v("failed", self.failed);
    v("shards", self.shards);
    v("reason", self.reason);
  }
};

/// No majority: these shards of a worker's commitment get `seats` verifiers in all, the next of the drawn order.
struct Extension {
  static constexpr std::string_view type = "extension";
  static constexpr std::uint64_t version = 2;
  Cid intent;
  Cid draw;
  Cid commitment;  ///< the worker's
  std::vector<task::ShardRange> shards;
  std::uint32_t seats = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("draw", self.draw);
    v("commitment", self.commitment);
    v("shards", self.shards);
    v("seats", self.seats);
  }
};

/// "Every seat on your commitment's shards has committed: reveal." Names the commitments that make it so. Without a draw
/// (nobody verifies) the worker reveals at once.
struct RevealRequest {
  static constexpr std::string_view type = "reveal-request";
  static constexpr std::uint64_t version = 2;
  Cid intent;
  Cid commitment;  ///< the worker's
  std::optional<Cid> draw;
  std::vector<Cid> commitments;  ///< the verifiers'
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("commitment", self.commitment);
    v("draw", self.draw);
    v("commitments", self.commitments);
  }
};

enum class Decision : std::uint8_t {
  accepted,  ///< the quorum found the same bytes, outcome and fuel
  rejected,  ///< a quorum found something else, and agrees on what
  disputed,  ///< no majority, even with the most verifiers that the policy allows
  undetermined,  ///< the stack ran out for some: depends on the compiler, nobody is to blame
  unverified,  ///< nobody re-executed it
  spot_checked,  ///< not re-executed: of the task's shards others were, drawn afterwards, and all its worker's held
};
[[nodiscard]] std::span<const std::string_view> enum_names(Decision);

/// The end of shards that one receipt covers and that ended alike.
struct Verdict {
  static constexpr std::string_view type = "verdict";
  static constexpr std::uint64_t version = 2;
  Cid intent;
  std::vector<task::ShardRange> shards;
  Decision decision = Decision::unverified;
  Cid receipt;  ///< the worker's ExecutionReceipt
  std::optional<Cid> draw;  ///< none when unverified
  std::vector<Cid> verifications;  ///< of all seats on these shards, ascending
  std::uint32_t timeliness = 0;  ///< per mille: the offered eta over the time taken, at most 1000
  std::uint32_t contribution = 0;  ///< per mille: the share of the seats that agreed, times timeliness
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("shards", self.shards);
    v("decision", self.decision);
    v("receipt", self.receipt);
    v("draw", self.draw);
    v("verifications", self.verifications);
    v("timeliness", self.timeliness);
    v("contribution", self.contribution);
  }
};

}  // namespace mesh::verification
