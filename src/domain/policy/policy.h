// MeshPolicy: the rules of a federation, immutable and named by their CID. Everything that decides is handed one.
// Until governance is built there is one constant policy; every federation starts with it.
#pragma once

#include "codec/record.h"

namespace mesh::policy {

/// How reputation is earned and lost. Per mille.
struct ReputationParameters {
  std::uint32_t alpha = 600;   ///< weight of execution
  std::uint32_t beta = 300;    ///< weight of verification
  std::uint32_t gamma = 100;   ///< weight of availability and timeliness
  std::uint32_t lambda = 50;   ///< decay per epoch
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("alpha", self.alpha);
    v("beta", self.beta);
    v("gamma", self.gamma);
    v("lambda", self.lambda);
  }
  bool operator==(const ReputationParameters&) const = default;
};

/// Shares of the fee, in percent; together 100.
struct RewardSettings {
  std::uint32_t worker_percentage = 90;
  std::uint32_t verifier_percentage = 10;
  std::uint32_t platform_fee_percentage = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("worker_percentage", self.worker_percentage);
    v("verifier_percentage", self.verifier_percentage);
    v("platform_fee_percentage", self.platform_fee_percentage);
  }
  bool operator==(const RewardSettings&) const = default;
};

struct Scheduling {
  std::uint32_t max_queued_shards = 65536;     ///< that one node takes on, running ones included
  std::uint32_t max_shards_per_task = 1'048'576;
  std::uint32_t bid_window_ms = 2000;          ///< default of an intent
  std::uint32_t max_bid_window_ms = 60'000;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("max_queued_shards", self.max_queued_shards);
    v("max_shards_per_task", self.max_shards_per_task);
    v("bid_window_ms", self.bid_window_ms);
    v("max_bid_window_ms", self.max_bid_window_ms);
  }
  bool operator==(const Scheduling&) const = default;
};

struct VerificationQuorum {
  std::uint32_t required_percentage = 66;  ///< of the drawn verifiers, rounded up, that must agree
  std::uint32_t minimum_verifiers = 3;     ///< fewer eligible than this: `unverified`
  std::uint32_t maximum_verifiers = 7;     ///< to which a disputed shard's draw is extended
  std::uint64_t value_per_verifier = 1'000'000;  ///< micro-credits at stake for which a shard gets one verifier more
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("required_percentage", self.required_percentage);
    v("minimum_verifiers", self.minimum_verifiers);
    v("maximum_verifiers", self.maximum_verifiers);
    v("value_per_verifier", self.value_per_verifier);
  }
  bool operator==(const VerificationQuorum&) const = default;
};

/// What a publisher without credit may ask of one node for nothing.
struct FreeQuota {
  std::uint64_t fuel_per_hour = 100'000'000'000'000;  ///< granted per publisher and hour
  std::uint32_t served_percentage = 200;              ///< of the fuel that the publisher ran for this node, on top
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("fuel_per_hour", self.fuel_per_hour);
    v("served_percentage", self.served_percentage);
  }
  bool operator==(const FreeQuota&) const = default;
};

struct MeshPolicy {
  static constexpr std::string_view type = "mesh-policy";
  static constexpr std::uint64_t version = 1;

  ReputationParameters reputation;
  RewardSettings reward_settings;
  Scheduling scheduling;
  VerificationQuorum verification_quorum;
  FreeQuota free_quota;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("reputation", self.reputation);
    v("reward_settings", self.reward_settings);
    v("scheduling", self.scheduling);
    v("verification_quorum", self.verification_quorum);
    v("free_quota", self.free_quota);
  }
  bool operator==(const MeshPolicy&) const = default;
};

/// The invariants: percentages add up to 100, quorum of 51 to 100 percent, minimum <= maximum and so on.
[[nodiscard]] Status validate(const MeshPolicy& policy);
[[nodiscard]] Cid cid_of(const MeshPolicy& policy);

/// Agreeing verifiers that `seats` drawn ones need: required_percentage of them, rounded up.
[[nodiscard]] std::uint32_t needed_agreement(const VerificationQuorum& quorum, std::uint32_t seats);

}  // namespace mesh::policy
