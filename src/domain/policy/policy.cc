#include "domain/policy/policy.h"

namespace mesh::policy {

Status validate(const MeshPolicy& policy) {
  const RewardSettings& reward = policy.reward_settings;
  const std::uint64_t total =
      std::uint64_t{reward.worker_percentage} + reward.verifier_percentage + reward.platform_fee_percentage;
  if (total != 100)
    return fail(ErrorCode::invalid, "the reward percentages add up to " + std::to_string(total) + ", not 100");
  const ReputationParameters& reputation = policy.reputation;
  if (std::uint64_t{reputation.alpha} + reputation.beta + reputation.gamma != 1000) {
    return fail(ErrorCode::invalid, "alpha, beta and gamma add up to 1000 per mille");
  }
  if (reputation.lambda > 1000) return fail(ErrorCode::invalid, "lambda is at most 1000 per mille");
  const VerificationQuorum& quorum = policy.verification_quorum;
  if (quorum.required_percentage < 51 || quorum.required_percentage > 100) {
    return fail(ErrorCode::invalid, "required_percentage is between 51 and 100");
  }
  if (quorum.minimum_verifiers < 1 || quorum.minimum_verifiers > quorum.maximum_verifiers ||
      quorum.maximum_verifiers > 63) {
    return fail(ErrorCode::invalid, "1 <= minimum_verifiers <= maximum_verifiers <= 63");
  }
  if (quorum.value_per_verifier < 1) return fail(ErrorCode::invalid, "value_per_verifier is at least 1");
  const Scheduling& scheduling = policy.scheduling;
  if (scheduling.max_shards_per_task < 1 || scheduling.max_shards_per_task > 1'048'576 ||
      scheduling.max_queued_shards < 1) {
    return fail(ErrorCode::invalid, "max_shards_per_task is between 1 and 1048576, max_queued_shards at least 1");
  }
  if (scheduling.bid_window_ms < 1 || scheduling.bid_window_ms > scheduling.max_bid_window_ms) {
    return fail(ErrorCode::invalid, "1 <= bid_window_ms <= max_bid_window_ms");
  }
  return {};
}

Cid cid_of(const MeshPolicy& policy) { return dagcbor::cid_of(record::encode(policy)); }

std::uint32_t needed_agreement(const VerificationQuorum& quorum, std::uint32_t seats) {
  return static_cast<std::uint32_t>((std::uint64_t{seats} * quorum.required_percentage + 99) / 100);
}

}  // namespace mesh::policy
