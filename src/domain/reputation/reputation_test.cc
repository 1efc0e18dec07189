// Without a ledger every node weighs the same.
#include "domain/reputation/reputation.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace mesh::reputation
