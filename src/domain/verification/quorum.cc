#include "domain/verification/quorum.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/planted.h"

namespace mesh::verification {

std::span<const std::string_view> enum_names(Decision) {
  static constexpr std::array<std::string_view, 6> names{"accepted",     "rejected",   "disputed",
                                                         "undetermined", "unverified", "spot_checked"};
  return names;
}

bool incomparable(const receipt::Finding& a, const receipt::Finding& b) {
  if (a == b) return false;
  return (a.outcome.kind == task::OutcomeKind::stack_exhausted) !=
         (b.outcome.kind == task::OutcomeKind::stack_exhausted);
}

namespace {

bool alike(const receipt::Finding& a, const receipt::Finding& b) {
  if (planted(Bug::fuel_not_compared)) return a.result == b.result && a.log == b.log && a.outcome == b.outcome;
  return a == b;
}

bool differ_by_stack(const receipt::Finding& a, const receipt::Finding& b) { return incomparable(a, b); }
bool differ_by_stack(const Ballot& a, const Ballot& b) { return a.stack_exhausted != b.stack_exhausted; }
bool alike(const Ballot& a, const Ballot& b) { return a == b; }

template <class Vote>
bool is_found_against(Decision decision, const Vote& worker, const Vote& seat) {
  if (decision == Decision::rejected) return seat == worker;
  return decision == Decision::accepted && seat != worker && !differ_by_stack(seat, worker);
}

template <class Vote>
Judgement judge_votes(const Vote& worker, std::span<const Vote> votes, std::uint32_t seats,
                      const policy::VerificationQuorum& quorum) {
  const std::uint32_t needed = policy::needed_agreement(quorum, seats);
  Judgement judgement{.decision = Decision::disputed, .agreed = 0, .needed = needed};
  std::uint32_t unclear = 0;
  std::uint32_t largest_other = 0;
  for (const Vote& vote : votes) {
    if (alike(vote, worker)) {
      ++judgement.agreed;
    } else if (differ_by_stack(vote, worker)) {
      ++unclear;
    } else {
      largest_other = std::max(largest_other, static_cast<std::uint32_t>(std::ranges::count(votes, vote)));
    }
  }
  if (seats == 0) {
    judgement.decision = Decision::unverified;
  } else if (judgement.agreed >= needed) {
    judgement.decision = Decision::accepted;
  } else if (largest_other >= needed) {
    judgement.decision = Decision::rejected;
  } else if (std::max(judgement.agreed, largest_other) + unclear >= needed) {
    judgement.decision = Decision::undetermined;
  }
  return judgement;
}

}  // namespace

bool found_against(Decision decision, const receipt::Finding& worker, const receipt::Finding& seat) {
  return is_found_against(decision, worker, seat);
}
bool found_against(Decision decision, const Ballot& worker, const Ballot& seat) {
  return is_found_against(decision, worker, seat);
}

Judgement judge(const receipt::Finding& worker, std::span<const receipt::Finding> seats,
                const policy::VerificationQuorum& quorum) {
  return judge_votes(worker, seats, static_cast<std::uint32_t>(seats.size()), quorum);
}

Ballot ballot_of(const receipt::Finding& finding) {
  return {receipt::digest_of(finding), finding.outcome.kind == task::OutcomeKind::stack_exhausted};
}

Judgement judge(const Ballot& worker, std::span<const Ballot> revealed, std::uint32_t seats,
                const policy::VerificationQuorum& quorum) {
  MESH_CHECK(revealed.size() <= seats, "more-votes-than-seats");
  return judge_votes(worker, revealed, seats, quorum);
}

std::uint32_t seats_for(const task::TaskIntent& intent, std::uint32_t trust, const policy::VerificationQuorum& quorum) {
  if (intent.verifiers == 0 || intent.verifiers >= quorum.maximum_verifiers) return intent.verifiers;
  const std::uint32_t most = quorum.maximum_verifiers - intent.verifiers;
  const std::uint64_t for_value = intent.value / quorum.value_per_verifier;
  const std::uint64_t doubted = 1000 - std::min<std::uint32_t>(trust, 1000);
  const std::uint64_t more = (std::min<std::uint64_t>(for_value, most * 1000ULL) * doubted + 999) / 1000;
  return intent.verifiers + static_cast<std::uint32_t>(std::min<std::uint64_t>(more, most));
}

double catch_probability(std::uint32_t sample_per_mille, std::uint64_t wrong) {
  return 1 - std::pow(1 - static_cast<double>(sample_per_mille) / 1000, static_cast<double>(wrong));
}

std::uint32_t timeliness(std::uint64_t eta_ms, std::uint64_t taken_ms) {
  if (eta_ms == 0 || taken_ms <= eta_ms) return 1000;
  if (eta_ms > UINT64_MAX / 1000) return 1000;
  return static_cast<std::uint32_t>(eta_ms * 1000 / taken_ms);
}

std::uint32_t contribution_score(std::uint32_t agreed, std::uint32_t seats, std::uint32_t timeliness_per_mille) {
  if (seats == 0) return 0;
  return static_cast<std::uint32_t>(std::uint64_t{agreed} * timeliness_per_mille / seats);
}

namespace {

std::uint64_t choose(std::uint32_t n, std::uint32_t k) {
  if (k > n) return 0;
  std::uint64_t result = 1;
  for (std::uint32_t i = 1; i <= k; ++i) {
    __extension__ using Wide = unsigned __int128;
    result = static_cast<std::uint64_t>(static_cast<Wide>(result) * (n - k + i) / i);
  }
  return result;
}

}  // namespace

Fraction escape_probability(std::uint32_t eligible, std::uint32_t colluders, std::uint32_t seats,
                            std::uint32_t needed) {
  MESH_CHECK(eligible <= 60 && colluders <= eligible && seats <= eligible, "escape-probability-arguments");
  Fraction fraction{.numerator = 0, .denominator = choose(eligible, seats)};
  for (std::uint32_t k = needed; k <= std::min(colluders, seats); ++k) {
    fraction.numerator += choose(colluders, k) * choose(eligible - colluders, seats - k);
  }
  return fraction;
}

}  // namespace mesh::verification
