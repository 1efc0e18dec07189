// Counters: what the ledger knows of a node's work, from which its score is computed.
//
// A fact is something that the ledger settled. One of four functions applies it and gives what the two entries that it
// touches are from then on: the node's counters, and the pair of the task's publisher and the node. Both are entries of
// ledger tables. They are written by facts alone; who looks brings a copy forward (score_of) and writes nothing. So the entries
// are the same everywhere, whoever looked and when.
//
// Earned is what a task's publisher paid to third parties, the verifiers: what it pays to a worker may come back to it. Of
// that a node earns at most `pair_cap` from one publisher in an epoch. Nothing is earned where publisher and node have one
// owner, nor by a task that pays no verifiers; and such a task takes nothing away either, since what costs nothing to stage
// shall count for nothing.
//
//   settled    the worker's accepted shard: what the verifiers got
//   verified   a verifier that agreed with the quorum: its own part, as far as the others got as much (alone it might have
//              been paid by itself)
//   timed_out  a worker or a verifier that was waited for in vain: the same amount, to its disadvantage
//   failed     a worker whose result was rejected, a verifier against the quorum: keeps a tenth of everything
//
// Time: every entry has the epoch of its last fact. Facts come in the order of the blocks, so an epoch never goes back
// (`epoch-backwards`). A change of lambda counts from the last fact on, since that is all that an entry knows.
//
// Bounds: counters stop at 2^64-1. A pair's entry says nothing once its epoch is over (Pair::is_over): then it is dropped.
#pragma once

#include "domain/identity/identity.h"
#include "domain/policy/policy.h"

namespace mesh::reputation {

using identity::NodeId;

inline constexpr std::uint32_t max_score = 1000;

// Constants that the policy does not have yet. Amounts are micro-credits; 1,000,000 are a credit, the smallest bond.

/// An epoch: with the default lambda, half of what was earned is gone after 14 of them, two weeks.
inline constexpr std::uint64_t epoch_ms = 86'400'000;
[[nodiscard]] constexpr std::uint64_t epoch_of(std::uint64_t block_time_ms) { return block_time_ms / epoch_ms; }
/// What one publisher can have a node earn in an epoch: a credit.
inline constexpr std::uint64_t pair_cap = 1'000'000;
/// That of which a counter gives half its points. With the default lambda 20.5 times the cap is what one publisher can keep up
/// for ever: alone it brings a node to half, and no further.
inline constexpr std::uint64_t half_points = 20'000'000;
/// How much more a time-out weighs than work on time: who is away one time in five has half the points left.
inline constexpr std::uint64_t missed_weight = 4;
/// Per mille of everything that a lie leaves: so much that nobody lies twice, and that an error is not the end.
inline constexpr std::uint64_t kept_after_lie = 100;
/// A point of the charter's weight as the counter has it: finely enough to decay.
inline constexpr std::uint64_t founding_unit = 1'000'000;

/// A node's entry. In micro-credits but for `founding`.
struct Counters {
  using Key = NodeId;
  static constexpr std::string_view table = "reputation";

  NodeId node;
  std::uint64_t epoch = 0;  ///< to which all is decayed
  std::uint64_t founding = 0;  ///< the charter's weight times founding_unit
  std::uint64_t execution = 0;
  std::uint64_t verification = 0;
  std::uint64_t timely = 0;  ///< of both together, times timeliness
  std::uint64_t missed = 0;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("node", self.node);
    v("epoch", self.epoch);
    v("founding", self.founding);
    v("execution", self.execution);
    v("verification", self.verification);
    v("timely", self.timely);
    v("missed", self.missed);
  }
  bool operator==(const Counters&) const = default;
  [[nodiscard]] const NodeId& key() const { return node; }

  /// Who has nothing yet.
  [[nodiscard]] static Counters newcomer(const NodeId& node, std::uint64_t epoch) {
    return {.node = node, .epoch = epoch};
  }
  /// A charter member. `weight` is 0 to 1000 (more counts as that).
  [[nodiscard]] static Counters founder(const NodeId& node, std::uint64_t epoch, std::uint64_t weight);
};

/// What a publisher had a node earn, and miss, in an epoch.
struct Pair {
  using Key = Digest;
  static constexpr std::string_view table = "reputation-pairs";

  Digest id;  ///< pair_id
  std::uint64_t epoch = 0;
  std::uint64_t earned = 0;  ///< at most pair_cap, as `missed`
  std::uint64_t missed = 0;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("id", self.id);
    v("epoch", self.epoch);
    v("earned", self.earned);
    v("missed", self.missed);
  }
  bool operator==(const Pair&) const = default;
  [[nodiscard]] const Digest& key() const { return id; }
  /// Whether it is as good as none: it is dropped with the first block of an epoch after its own.
  [[nodiscard]] bool is_over(std::uint64_t epoch_now) const { return epoch < epoch_now; }
};
/// SHA-256(publisher, node).
[[nodiscard]] Digest pair_id(const NodeId& publisher, const NodeId& node);

/// What was settled of one shard, as it concerns one node.
struct Fact {
  enum class Part : std::uint8_t { worker, verifier };
  NodeId publisher;
  NodeId node;
  Part part = Part::worker;  ///< the node's
  std::uint64_t epoch = 0;
  std::uint64_t to_verifiers =
      0;  ///< paid by the publisher for this shard, to those of another owner than its own and the worker's
  std::uint64_t own_part = 0;  ///< of a verifier: what of that it got, or (timed_out) would have got
  std::uint32_t timeliness = max_score;  ///< per mille, by heights (settled, verified)
  bool same_owner = false;  ///< publisher and node
};

/// The two entries that a fact touches.
struct Standing {
  Counters counters;
  Pair pair;
  bool operator==(const Standing&) const = default;
};

// Each gives the entries after the fact. `counters` are the node's (or a newcomer's), `pair` the entry of pair_id or null.
// Refused: `wrong-part` (settled is of workers, verified of verifiers), `wrong-entry`, `epoch-backwards`, `bad-fees` (a part
// larger than the whole), `bad-timeliness` (above 1000).
[[nodiscard]] Result<Standing> settled(const Counters& counters, const Pair* pair, const Fact& fact,
                                       const policy::ReputationParameters& rules);
[[nodiscard]] Result<Standing> verified(const Counters& counters, const Pair* pair, const Fact& fact,
                                        const policy::ReputationParameters& rules);
[[nodiscard]] Result<Standing> failed(const Counters& counters, const Pair* pair, const Fact& fact,
                                      const policy::ReputationParameters& rules);
[[nodiscard]] Result<Standing> timed_out(const Counters& counters, const Pair* pair, const Fact& fact,
                                         const policy::ReputationParameters& rules);

/// The counters as they are at a later epoch (at an earlier one: as they are).
[[nodiscard]] Counters brought_forward(Counters counters, std::uint64_t epoch,
                                       const policy::ReputationParameters& rules);

/// 0 to 1000. With x / (x + half_points) for each of execution and verification, and for timeliness
/// timely / (timely + half_points + missed_weight * missed), all to millionths rounded down: earned = alpha, beta and gamma of
/// these, at most 999. The charter's weight w comes first, and what is earned fills the rest: w + (1000 - w) * earned / 1000.
[[nodiscard]] std::uint32_t score_of(const Counters& counters, std::uint64_t epoch,
                                     const policy::ReputationParameters& rules);

// ---- draws

/// Points of weight that a credit of bond gives, and how many a bond gives at most: what 25 credits give.
inline constexpr std::uint64_t bond_per_point = 100'000;
inline constexpr std::uint32_t max_bond_points = 250;

/// Weight in draws: the score, and a point for every tenth of a credit of the bond, 250 of these at most. A newcomer so has its
/// bond alone; and no bond makes up for more than a quarter of a full score, so money alone outweighs nobody who earned 250.
/// Below the cap it is all the same how a bond is split over nodes. Above it, who has more splits it, and needs the
/// verifier role for every node, which stewards give.
[[nodiscard]] std::uint32_t draw_weight(std::uint32_t score, std::uint64_t bond);

}  // namespace mesh::reputation
