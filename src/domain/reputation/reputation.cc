#include "domain/reputation/reputation.h"

#include <algorithm>

namespace mesh::reputation {

namespace {

Cid cid_of(const ScorePage& page) { return dagcbor::cid_of(record::encode(page)); }

std::size_t pages_for(std::uint64_t nodes) {
  return static_cast<std::size_t>((nodes + ScorePage::max_scores - 1) / ScorePage::max_scores);
}

Status check_bound(std::uint64_t nodes) {
  if (nodes <= ReputationSnapshot::max_nodes) return {};
  return fail(ErrorCode::exhausted, "too-many-scores: a snapshot has at most " +
                                        std::to_string(ReputationSnapshot::max_nodes) + " nodes, not " +
                                        std::to_string(nodes));
}

}  // namespace

Result<ReputationSnapshot> ReputationSnapshot::take(const Moment& moment, const policy::MeshPolicy& policy,
                                                    std::span<const Holding> holdings) {
  MESH_TRY(check_bound(holdings.size()));
  std::vector<Score> scores;
  scores.reserve(holdings.size());
  for (const Holding& holding : holdings) {
    const std::uint32_t score = reputation::score_of(holding.counters, moment.epoch, policy.reputation);
    scores.push_back({.node = holding.counters.node, .score = score, .weight = draw_weight(score, holding.bond)});
  }
  std::ranges::sort(scores, {}, &Score::node);
  SnapshotHead head{.federation = moment.federation,
                    .epoch = moment.epoch,
                    .height = moment.height,
                    .policy = policy::cid_of(policy),
                    .nodes = scores.size(),
                    .scores = {}};
  std::vector<ScorePage> pages(pages_for(scores.size()));
  for (std::size_t i = 0; i < scores.size(); ++i) pages[i / ScorePage::max_scores].scores.push_back(scores[i]);
  for (const ScorePage& page : pages) head.scores.push_back(cid_of(page));
  return assemble(head, pages);
}

Result<ReputationSnapshot> ReputationSnapshot::assemble(const SnapshotHead& head, std::span<const ScorePage> pages) {
  MESH_TRY(check_bound(head.nodes));
  if (head.scores.size() != pages_for(head.nodes) || pages.size() != head.scores.size())
    return fail(ErrorCode::invalid, "wrong-pages: " + std::to_string(head.nodes) + " scores are " +
                                        std::to_string(pages_for(head.nodes)) + " pages");
  std::uint64_t left = head.nodes;
  const Score* last = nullptr;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const std::vector<Score>& scores = pages[i].scores;
    if (scores.size() != std::min<std::uint64_t>(left, ScorePage::max_scores) || cid_of(pages[i]) != head.scores[i])
      return fail(ErrorCode::invalid, "wrong-page: page " + std::to_string(i) + " is not the snapshot's");
    left -= scores.size();
    for (const Score& score : scores) {
      if (last != nullptr && last->node >= score.node)
        return fail(ErrorCode::invalid, "scores-unordered: the nodes of a snapshot ascend, each once");
      if (score.score > max_score || score.weight < score.score || score.weight > score.score + max_bond_points)
        return fail(ErrorCode::invalid, "bad-score: a score is at most 1000, and its weight it and up to 250");
      last = &score;
    }
  }
  ReputationSnapshot snapshot;
  snapshot.head_ = head;
  snapshot.pages_.assign(pages.begin(), pages.end());
  return snapshot;
}

const Score* ReputationSnapshot::find(const NodeId& node) const {
  // The page is the last that does not begin after the node.
  const auto after = std::ranges::upper_bound(
      pages_, node, {}, [](const ScorePage& page) -> const NodeId& { return page.scores.front().node; });
  if (after == pages_.begin()) return nullptr;
  const std::vector<Score>& scores = std::prev(after)->scores;
  const auto found = std::ranges::lower_bound(scores, node, {}, &Score::node);
  return found == scores.end() || found->node != node ? nullptr : &*found;
}

std::uint32_t ReputationSnapshot::score_of(const NodeId& node) const {
  if (is_uniform()) return uniform_score;
  const Score* score = find(node);
  return score == nullptr ? 0 : score->score;
}

std::uint32_t ReputationSnapshot::weight_of(const NodeId& node) const {
  if (is_uniform()) return uniform_score;
  const Score* score = find(node);
  return score == nullptr ? 0 : score->weight;
}

}  // namespace mesh::reputation
