// The verdict on one shard, from the worker's finding and those of all its seats. Silence is never a vote: a seat that
// does not reveal has been substituted before this is asked.
#pragma once

#include "domain/policy/policy.h"
#include "domain/receipt/receipt.h"
#include "domain/verification/records.h"

namespace mesh::verification {

struct Judgement {
  Decision decision = Decision::disputed;
  std::uint32_t agreed = 0;  ///< seats that found what the worker found
  std::uint32_t needed = 0;
};

/// accepted: enough seats agree with the worker. rejected: enough seats agree with one another on something else.
/// undetermined: neither, and it would be one of them but for findings where the stack ran out. disputed: neither.
[[nodiscard]] Judgement judge(const receipt::Finding& worker, std::span<const receipt::Finding> seats,
                              const policy::VerificationQuorum& quorum);

/// A finding as it is weighed: its digest, and whether the stack ran out.
struct Ballot {
  Digest finding;
  bool stack_exhausted = false;
  bool operator==(const Ballot&) const = default;
};
[[nodiscard]] Ballot ballot_of(const receipt::Finding& finding);
/// The same judgement of `seats` seats of which only these have revealed: who is silent has no vote, and is missing.
[[nodiscard]] Judgement judge(const Ballot& worker, std::span<const Ballot> revealed, std::uint32_t seats,
                              const policy::VerificationQuorum& quorum);

/// Whether a verdict of `decision` found against a seat with this finding: it backed a rejected worker, or contradicted an
/// accepted one.
[[nodiscard]] bool found_against(Decision decision, const receipt::Finding& worker, const receipt::Finding& seat);

[[nodiscard]] bool found_against(Decision decision, const Ballot& worker, const Ballot& seat);

/// Two findings that differ, one of which is that the stack ran out: where it does depends on the compiler.
[[nodiscard]] bool incomparable(const receipt::Finding& a, const receipt::Finding& b);

/// Seats on a shard of a worker in whom the publisher has `trust` (reputation::Experience, 0 to 1000): the intent's number,
/// and one more for each `value_per_verifier` of its value, less the trusted share of these; at most the policy's maximum.
[[nodiscard]] std::uint32_t seats_for(const task::TaskIntent& intent, std::uint32_t trust,
                                      const policy::VerificationQuorum& quorum);

/// The probability that a cheat in `wrong` shards of a task is caught where each shard is re-executed with a probability of
/// `sample_per_mille`: 1 - (1 - p)^wrong, whichever shards they are. It holds while the liars among the drawn verifiers are
/// fewer than the quorum needs.
[[nodiscard]] double catch_probability(std::uint32_t sample_per_mille, std::uint64_t wrong);

/// Per mille: share of the seats that agreed, times timeliness.
[[nodiscard]] std::uint32_t contribution_score(std::uint32_t agreed, std::uint32_t seats, std::uint32_t timeliness);
/// Per mille: eta over the time taken, at most 1000; 1000 when nothing was promised.
[[nodiscard]] std::uint32_t timeliness(std::uint64_t eta_ms, std::uint64_t taken_ms);

/// How often a wrong result passes: `colluders` among `eligible` verifiers back the lying worker, `seats` are drawn with
/// equal weights, `needed` of them must agree. Hypergeometric tail, as numerator over denominator; eligible <= 60.
struct Fraction {
  std::uint64_t numerator = 0;
  std::uint64_t denominator = 1;
};
[[nodiscard]] Fraction escape_probability(std::uint32_t eligible, std::uint32_t colluders, std::uint32_t seats,
                                          std::uint32_t needed);

}  // namespace mesh::verification
