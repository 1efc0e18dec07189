// Without a ledger every node weighs the same.
#include "domain/reputation/reputation.h"

#include <gtest/gtest.h>

#include "domain/reputation/experience.h"

namespace mesh::reputation {
namespace {

TEST(Reputation, IsUniformWithoutALedger) {
  const ReputationSnapshot reputation;
  const identity::NodeId one = public_key_of(*Seed::from(Bytes(32, 1)));
  const identity::NodeId two = public_key_of(*Seed::from(Bytes(32, 2)));
  EXPECT_EQ(reputation.score_of(one), ReputationSnapshot::uniform_score);
  EXPECT_EQ(reputation.score_of(one), reputation.score_of(two));
  EXPECT_EQ(reputation.score_of({}), ReputationSnapshot::uniform_score);
  EXPECT_LE(ReputationSnapshot::uniform_score, 1000U);
}

TEST(Experience, TrustIsEarnedByWorkAndLostByOneLie) {
  Experience experience;
  const identity::NodeId one = public_key_of(*Seed::from(Bytes(32, 1)));
  const identity::NodeId two = public_key_of(*Seed::from(Bytes(32, 2)));
  EXPECT_EQ(experience.trust(one), 0U);
  experience.earned(one, Experience::half_trust_fuel / 2);
  EXPECT_EQ(experience.trust(one), 333U);
  experience.earned(one, Experience::half_trust_fuel / 2);
  EXPECT_EQ(experience.trust(one), 500U);
  EXPECT_EQ(experience.trust(two), 0U);
  experience.earned(one, UINT64_MAX);
  experience.earned(one, UINT64_MAX);
  EXPECT_EQ(experience.trust(one), 999U);
  experience.lost(one);
  EXPECT_EQ(experience.trust(one), 0U);
  experience.lost(two);
}

}  // namespace
}  // namespace mesh::reputation
