#include "domain/ledger/settlement.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/planted.h"

namespace mesh::ledger {

namespace {

using verification::Ballot;
using verification::Decision;

struct Vote {
  NodeId node;
  std::uint64_t weight = 1;
  Ballot ballot;
};

class Count {
 public:
  Count(const Work& work, const Escrow& escrow, const policy::MeshPolicy& policy, std::uint64_t time_ms)
      : work_(work), escrow_(escrow), policy_(policy), shards_(work.numbers()) {
    // What was not passed over when the worker revealed is gone from the list, so the first round's is final.
    for (std::uint32_t round = 0; round < work.draws.size(); ++round)
      seatings_.emplace_back(work, round, round == 0 ? std::numeric_limits<std::uint64_t>::max() : time_ms);
    answers_of_row_.resize(shards_.size());
    for (const Answer& answer : work.answers) {
      for (const task::ShardRange& range : answer.shards) {
        auto row = std::ranges::lower_bound(shards_, range.first) - shards_.begin();
        for (std::uint32_t i = 0; i < range.count; ++i)
          answers_of_row_[static_cast<std::size_t>(row++)].push_back(&answer);
      }
    }
  }

  WorkResult count() && {
    for (std::size_t row = 0; row < shards_.size(); ++row) count(row);
    return std::move(result_);
  }

 private:
  /// What the answer says of a shard that it covers.
  [[nodiscard]] Ballot ballot(const Answer& answer, std::size_t row) const {
    const auto at = std::ranges::lower_bound(answer.differing, shards_[row]);
    if (at == answer.differing.end() || *at != shards_[row]) return work_.ballot(row);
    const auto n = static_cast<std::size_t>(at - answer.differing.begin());
    return {*Digest::from(ByteView(answer.found).subspan(n * Digest::size, Digest::size)), answer.exhausted[n] != 0};
  }

  /// The votes of a round's seats on a row. Answers with how many seats there are.
  std::uint32_t votes_of(std::uint32_t round, std::size_t row, std::vector<Vote>& votes) {
    const WorkDraw& draw = work_.draws[round];
    const std::uint64_t of_a_seat =
        draw.seats == 0 ? 0 : verifiers_pot(escrow_.fee, policy_.reward_settings) / draw.seats;
    std::uint32_t committed = 0;
    for (const std::size_t seat : seatings_[round].of(row)) {
      const NodeId& node = draw.nodes[seat];
      const auto& answers = answers_of_row_[row];
      const auto found =
          std::ranges::find_if(answers, [&](const Answer* one) { return one->round == round && one->node == node; });
      if (found == answers.end()) continue;
      ++committed;
      if ((*found)->revealed) {
        votes.push_back({node, work_.draws[round].weights[seat], ballot(**found, row)});
        if (planted(Bug::verifier_counted_twice)) votes.push_back(votes.back());
      } else if (planted(Bug::silence_agrees)) {
        votes.push_back({node, work_.draws[round].weights[seat], work_.ballot(row)});
      } else {
        result_.silent[node] += of_a_seat;
      }
    }
    // In the first round a seat that nobody is left for is missing. Who doubts has to bring those who answer.
    return round == 0 ? draw.seats : committed;
  }

  [[nodiscard]] verification::Judgement judge(std::size_t row, const std::vector<Vote>& votes,
                                              std::uint32_t seats) const {
    std::vector<Ballot> ballots;
    for (const Vote& vote : votes) ballots.push_back(vote.ballot);
    verification::Judgement judgement =
        verification::judge(work_.ballot(row), ballots, seats, policy_.verification_quorum);
    // Nobody is left of those that were drawn.
    if (judgement.decision == Decision::unverified) judgement.decision = Decision::disputed;
    return judgement;
  }

  void count(std::size_t row) {
    std::vector<Vote> votes;
    std::uint32_t seats = votes_of(0, row, votes);
    Decision decision = judge(row, votes, seats).decision;
    if (work_.draws.size() > 1) {
      const Decision before = decision;
      seats += votes_of(1, row, votes);
      decision = judge(row, votes, seats).decision;
      if (decision != before && (decision == Decision::accepted || decision == Decision::rejected))
        result_.overturned = true;
    }
    result_.decisions.push_back(decision);
    for (const Vote& vote : votes) {
      if (verification::found_against(decision, work_.ballot(row), vote.ballot)) ++result_.against[vote.node];
    }
    if (decision == Decision::accepted) {
      accept(row, votes, seats);
    } else if (decision == Decision::rejected) {
      reject(row, votes);
    } else {
      ++result_.undecided;
    }
  }

  void accept(std::size_t row, const std::vector<Vote>& votes, std::uint32_t seats) {
    ++result_.accepted;
    std::vector<const Vote*> agreed;
    std::vector<std::uint64_t> weights;
    for (const Vote& vote : votes) {
      if (vote.ballot != work_.ballot(row)) continue;
      agreed.push_back(&vote);
      weights.push_back(vote.weight);
    }
    const ShardPayment payment =
        pay_accepted({.fee = escrow_.fee, .cost = work_.cost, .seats = seats, .timeliness = work_.timeliness}, weights,
                     policy_.reward_settings);
    result_.earned[work_.worker] += payment.worker;
    for (std::size_t i = 0; i < agreed.size(); ++i) {
      result_.earned[agreed[i]->node] += payment.verifiers[i];
      result_.shares[agreed[i]->node] += payment.verifiers[i];
      ++result_.agreed[agreed[i]->node];
    }
    result_.treasury += payment.treasury;
    result_.publisher += payment.publisher;
  }

  void reject(std::size_t row, const std::vector<Vote>& votes) {
    ++result_.rejected;
    // Those that agree on what it should have been: the largest group, and there is one alone that is large enough.
    const Ballot* right = nullptr;
    std::ptrdiff_t most = 0;
    for (const Vote& vote : votes) {
      if (vote.ballot == work_.ballot(row)) continue;
      const std::ptrdiff_t group = std::ranges::count(votes, vote.ballot, &Vote::ballot);
      if (group > most) {
        most = group;
        right = &vote.ballot;
      }
    }
    std::vector<const Vote*> paid;
    std::vector<std::uint64_t> weights;
    for (const Vote& vote : votes) {
      if (right == nullptr || vote.ballot != *right) continue;
      paid.push_back(&vote);
      weights.push_back(vote.weight);
    }
    const std::vector<std::uint64_t> shares = share_out(verifiers_pot(escrow_.fee, policy_.reward_settings), weights);
    for (std::size_t i = 0; i < paid.size(); ++i) {
      result_.owed[paid[i]->node] += shares[i];
      ++result_.agreed[paid[i]->node];
    }
  }

  const Work& work_;
  const Escrow& escrow_;
  const policy::MeshPolicy& policy_;
  std::vector<std::uint32_t> shards_;
  std::vector<Seating> seatings_;  ///< by round
  std::vector<std::vector<const Answer*>> answers_of_row_;
  WorkResult result_;
};

}  // namespace

WorkResult settle(const Work& work, const Escrow& escrow, const policy::MeshPolicy& policy, std::uint64_t time_ms) {
  MESH_CHECK(work.receipt.has_value(), "ledger-settled-before-reveal");
  return Count(work, escrow, policy, time_ms).count();
}

WorkResult settle_unverified(const Work& work, const Escrow& escrow, const policy::MeshPolicy& policy) {
  WorkResult result;
  result.accepted = work.count();
  result.decisions.assign(result.accepted, Decision::unverified);
  const ShardPayment payment = pay_accepted(
      {.fee = escrow.fee, .cost = work.cost, .seats = 0, .timeliness = work.timeliness}, {}, policy.reward_settings);
  result.earned[work.worker] = payment.worker * result.accepted;
  result.treasury = payment.treasury * result.accepted;
  result.publisher = payment.publisher * result.accepted;
  return result;
}

}  // namespace mesh::ledger
