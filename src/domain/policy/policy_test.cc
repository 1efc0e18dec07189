// The policy's bytes and name, its invariants one by one, and how many must agree.
#include "domain/policy/policy.h"

#include <gtest/gtest.h>

namespace mesh::policy {
namespace {

TEST(Policy, TheDefaultIsPinned) {
  // Every federation that nobody configured has this one: another CID splits them from all that run already.
  EXPECT_EQ(cid_of({}).text(), "bafyreibkfqowezm47hsbdyddro46igk5d2phvz5rpgkq5fj7izv7x2ngza");
  EXPECT_TRUE(validate({}).has_value());
}

TEST(Policy, EncodesAndDecodes) {
  MeshPolicy policy;
  policy.reputation = {.alpha = 1, .beta = 2, .gamma = 997, .lambda = 0};
  policy.reward_settings = {.worker_percentage = 70, .verifier_percentage = 20, .platform_fee_percentage = 10};
  policy.scheduling = {
      .max_queued_shards = 1, .max_shards_per_task = 2, .bid_window_ms = 3, .max_bid_window_ms = UINT32_MAX};
  policy.verification_quorum = {.required_percentage = 51, .minimum_verifiers = 1, .maximum_verifiers = 63};
  policy.free_quota = {.fuel_per_hour = UINT64_MAX, .served_percentage = UINT32_MAX};
  const Bytes bytes = record::encode(policy);
  EXPECT_EQ(record::decode<MeshPolicy>(bytes), policy);
  EXPECT_EQ(cid_of(policy), Cid::of(Multicodec::dag_cbor, bytes));
  EXPECT_NE(cid_of(policy), cid_of({}));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(record::decode<MeshPolicy>(ByteView(bytes).first(size)).has_value()) << size;
}

TEST(Policy, FieldsOfTheWrongRangeDoNotDecode) {
  const auto decode_with = [](std::string_view part, std::string_view field, dagcbor::Value value) {
    dagcbor::Value whole = record::to_value(MeshPolicy{});
    auto& map = std::get<dagcbor::Map>(whole.variant());
    std::get<dagcbor::Map>(map.find(part)->second.variant()).insert_or_assign(std::string(field), std::move(value));
    return record::decode<MeshPolicy>(dagcbor::encode(whole));
  };
  EXPECT_TRUE(decode_with("scheduling", "bid_window_ms", 1).has_value());
  EXPECT_EQ(decode_with("scheduling", "bid_window_ms", -1).error().message,
            "field \"scheduling\": field \"bid_window_ms\": expected an unsigned integer of 32 bits");
  EXPECT_FALSE(decode_with("scheduling", "bid_window_ms", std::uint64_t{1} << 32).has_value());
  EXPECT_FALSE(decode_with("scheduling", "bid_window_ms", "1").has_value());
  EXPECT_FALSE(decode_with("scheduling", "more", 1).has_value());
  EXPECT_FALSE(decode_with("free_quota", "fuel_per_hour", -1).has_value());
}

/// The error of the default policy with one change; empty if it is valid.
std::string error_with(void (*change)(MeshPolicy&)) {
  MeshPolicy policy;
  change(policy);
  const Status valid = validate(policy);
  return valid ? "" : valid.error().message;
}

TEST(Policy, InvariantsHoldAtTheirBoundsAndNotPastThem) {
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.reward_settings.worker_percentage = 89; }),
            "the reward percentages add up to 99, not 100");
  EXPECT_EQ(error_with([](MeshPolicy& p) {
              p.reward_settings = {
                  .worker_percentage = UINT32_MAX, .verifier_percentage = 101, .platform_fee_percentage = 0};
            }),
            "the reward percentages add up to 4294967396, not 100")
      << "a sum that wraps to 100 in 32 bits";
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.reputation.alpha = 601; }),
            "alpha, beta and gamma add up to 1000 per mille");
  EXPECT_EQ(error_with([](MeshPolicy& p) {
              p.reputation.alpha = UINT32_MAX;
              p.reputation.beta = 901;
            }),
            "alpha, beta and gamma add up to 1000 per mille");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.reputation.lambda = 1000; }), "");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.reputation.lambda = 1001; }), "lambda is at most 1000 per mille");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.required_percentage = 51; }), "");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.required_percentage = 100; }), "");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.required_percentage = 50; }),
            "required_percentage is between 51 and 100");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.required_percentage = 101; }),
            "required_percentage is between 51 and 100");
  const std::string_view verifiers = "1 <= minimum_verifiers <= maximum_verifiers <= 63";
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.minimum_verifiers = 0; }), verifiers);
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.minimum_verifiers = 7; }), "");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.minimum_verifiers = 8; }), verifiers);
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.maximum_verifiers = 63; }), "");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.verification_quorum.maximum_verifiers = 64; }), verifiers);
  const std::string_view shards = "max_shards_per_task is between 1 and 1048576, max_queued_shards at least 1";
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.scheduling.max_shards_per_task = 0; }), shards);
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.scheduling.max_shards_per_task = 1048577; }), shards);
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.scheduling.max_queued_shards = 0; }), shards);
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.scheduling.bid_window_ms = 0; }),
            "1 <= bid_window_ms <= max_bid_window_ms");
  EXPECT_EQ(error_with([](MeshPolicy& p) { p.scheduling.bid_window_ms = 60'001; }),
            "1 <= bid_window_ms <= max_bid_window_ms");
}

TEST(Policy, NeededAgreementIsTheShareRoundedUp) {
  for (std::uint32_t percentage = 51; percentage <= 100; ++percentage) {
    for (std::uint32_t seats = 0; seats <= 63; ++seats) {
      const std::uint32_t needed = needed_agreement({.required_percentage = percentage}, seats);
      EXPECT_GE(needed * 100, seats * percentage);
      if (needed > 0) {
        EXPECT_LT((needed - 1) * 100, seats * percentage);
      }
      EXPECT_LE(needed, seats);
    }
  }
  // The default's 66 percent: of 3 two, of 5 four, of 7 five.
  EXPECT_EQ(needed_agreement({}, 3), 2U);
  EXPECT_EQ(needed_agreement({}, 5), 4U);
  EXPECT_EQ(needed_agreement({}, 7), 5U);
  EXPECT_EQ(needed_agreement({}, UINT32_MAX), 2834678415U);
}

}  // namespace
}  // namespace mesh::policy
