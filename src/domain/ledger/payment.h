// What an accepted or rejected shard pays to whom: integers alone, every quotient rounded down, and what rounding leaves goes
// back to the publisher, so that the parts are always the fee.
//
//   worker     = min(cost, worker_percentage of fee) * agreed / seats * timeliness / 1000
//   verifiers  = verifier_percentage of fee, shared among the seats that agreed by their weights
//   treasury   = platform_fee_percentage of fee
//   publisher  = the rest
//
// `agreed` of `seats` is the share of the quorum that found what the worker found (its quality). Timeliness, per mille, is the
// time that was promised over the time that was taken, at most 1000: the offer's eta for each of the award's shards up to the
// last one of the commitment, `capacity` at once, against the time from when the award was given to the block in which the
// commitment is anchored. The first `grace_ms` of what was taken do not count: that is what anchoring takes.
//
// Bounds: amounts are unsigned 64-bit micro-credits; products are of 128 bits and cannot overflow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "domain/policy/policy.h"

namespace mesh::ledger {

inline constexpr std::uint64_t grace_ms = 2'000;

/// floor(a * b / c), where the quotient fits into 64 bits.
[[nodiscard]] std::uint64_t multiply_divide(std::uint64_t a, std::uint64_t b, std::uint64_t c);

/// Per mille. `position` is that of the commitment's last shard among the award's, from 1; `capacity` at least 1.
[[nodiscard]] std::uint32_t timeliness_of(std::uint64_t eta_ms, std::uint32_t capacity, std::uint64_t position,
                                          std::uint64_t taken_ms);

struct ShardTerms {
  std::uint64_t fee = 0;
  std::uint64_t cost = 0;  ///< at most the fee
  std::uint32_t seats = 0;  ///< 0: nobody verified, and the publisher accepted it by itself
  std::uint32_t timeliness = 0;  ///< per mille
};

struct ShardPayment {
  std::uint64_t worker = 0;
  std::vector<std::uint64_t> verifiers;  ///< of the seats that agreed, in their order
  std::uint64_t treasury = 0;
  std::uint64_t publisher = 0;  ///< what goes back
};

/// Of an accepted shard; `weights` are those of the seats that agreed, each at least 1.
[[nodiscard]] ShardPayment pay_accepted(const ShardTerms& terms, std::span<const std::uint64_t> weights,
                                        const policy::RewardSettings& rewards);

/// What the verifiers of a shard share.
[[nodiscard]] std::uint64_t verifiers_pot(std::uint64_t fee, const policy::RewardSettings& rewards);

/// `pot` by weights, rounded down; the sum may be less than the pot by as many micro-credits as there are weights, less one.
[[nodiscard]] std::vector<std::uint64_t> share_out(std::uint64_t pot, std::span<const std::uint64_t> weights);

}  // namespace mesh::ledger
