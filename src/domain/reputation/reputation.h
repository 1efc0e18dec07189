// Reputation: how much a node's word weighs, from 0 to 1000. Derived from ledger facts alone (counters.h); while there is no
// ledger there are no such facts, and every node weighs the same.
//
// A snapshot is everybody's score and weight in draws at one height: a record `reputation-snapshot` that links to pages, each
// a record `reputation-page`. It comes in pages and not as one root of hashes, because who uses it needs all of it: a draw
// is over all weights. Who wants to show a single score proves the node's entry in the ledger's table, from which anybody
// computes it.
//
// Bounds: 65,536 nodes, as the ledger has members; 1,024 in a page. A snapshot that is not what its pages make of it is
// refused by name: `too-many-scores`, `wrong-pages`, `wrong-page`, `scores-unordered`, `bad-score`.
#pragma once

#include <span>

#include "domain/reputation/counters.h"

namespace mesh::reputation {

struct Score {
  NodeId node;
  std::uint32_t score = 0;  ///< 0 to max_score
  std::uint32_t weight = 0;  ///< draw_weight of this score and the node's bond
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("node", self.node);
    v("score", self.score);
    v("weight", self.weight);
  }
  bool operator==(const Score&) const = default;
};

struct ScorePage {
  static constexpr std::string_view type = "reputation-page";
  static constexpr std::uint64_t version = 1;
  static constexpr std::size_t max_scores = 1024;
  std::vector<Score> scores;  ///< ascending by node, and after those of the pages before
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("scores", self.scores);
  }
  bool operator==(const ScorePage&) const = default;
};

/// What names a snapshot. Its CID is the same wherever the ledger is.
struct SnapshotHead {
  static constexpr std::string_view type = "reputation-snapshot";
  static constexpr std::uint64_t version = 1;
  Cid federation;
  std::uint64_t epoch = 0;
  std::uint64_t height = 0;  ///< of the block after which it holds
  Cid policy;  ///< whose alpha, beta, gamma and lambda these are
  std::uint64_t nodes = 0;  ///< in all pages
  std::vector<Cid> scores;  ///< pages, all full but the last
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("federation", self.federation);
    v("epoch", self.epoch);
    v("height", self.height);
    v("policy", self.policy);
    v("nodes", self.nodes);
    v("scores", self.scores);
  }
  bool operator==(const SnapshotHead&) const = default;
};

/// The scores at one moment. Without a ledger (as it is made by default): `uniform_score` for everyone.
class ReputationSnapshot {
 public:
  static constexpr std::uint32_t uniform_score = 500;
  static constexpr std::size_t max_nodes = std::size_t{1} << 16;

  /// When and where it is taken.
  struct Moment {
    Cid federation;
    std::uint64_t epoch = 0;
    std::uint64_t height = 0;
  };
  /// A node's entry, with its bond at that height.
  struct Holding {
    Counters counters;
    std::uint64_t bond = 0;
  };

  ReputationSnapshot() = default;
  /// Of these nodes, in any order, each once; at most max_nodes.
  [[nodiscard]] static Result<ReputationSnapshot> take(const Moment& moment, const policy::MeshPolicy& policy,
                                                       std::span<const Holding> holdings);
  /// The snapshot of this head, from its pages. Whoever got the head checks its CID.
  [[nodiscard]] static Result<ReputationSnapshot> assemble(const SnapshotHead& head, std::span<const ScorePage> pages);

  [[nodiscard]] bool is_uniform() const { return !head_; }
  /// 0 for a node that the ledger does not know.
  [[nodiscard]] std::uint32_t score_of(const NodeId& node) const;
  /// Weight in draws; without a ledger uniform_score, too.
  [[nodiscard]] std::uint32_t weight_of(const NodeId& node) const;

  // Of one with a ledger (else null and none).
  [[nodiscard]] const SnapshotHead* head() const { return head_ ? &*head_ : nullptr; }
  [[nodiscard]] const std::vector<ScorePage>& pages() const { return pages_; }

 private:
  [[nodiscard]] const Score* find(const NodeId& node) const;

  std::optional<SnapshotHead> head_;
  std::vector<ScorePage> pages_;
};

}  // namespace mesh::reputation
