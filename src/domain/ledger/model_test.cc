// Random operations on the ledger and on its model. MESH_LEDGER_OPERATIONS and MESH_LEDGER_SEED name another number of them
// and another first seed (`make soak` runs 10,000,000).
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "domain/ledger/ledger_trial.h"

namespace mesh::ledger {
namespace {

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Model, AgreesOnRandomOperations) {
  const std::uint64_t operations = number_from("MESH_LEDGER_OPERATIONS", 100'000);
  const std::uint64_t first = number_from("MESH_LEDGER_SEED", 1);
  constexpr std::uint64_t seeds = 10;
  std::map<std::string, std::uint64_t> verdicts;
  std::size_t hops = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    Trial trial(seed);
    ASSERT_EQ(trial.run(operations / seeds), "") << "seed " << seed;
    for (const auto& [verdict, count] : trial.verdicts()) verdicts[verdict] += count;
    EXPECT_GT(trial.restored(), 0U) << "seed " << seed;
    hops += trial.hops();
  }
  EXPECT_GT(hops, 0U);
  // A trial in which nothing is refused, or one thing never, shows nothing of it.
  for (const std::string_view name : {"taken",
                                      "unknown-account",
                                      "wrong-key",
                                      "key-rotated",
                                      "sequence-repeated",
                                      "sequence-gap",
                                      "overdraft",
                                      "overflow",
                                      "not-a-member",
                                      "revoked",
                                      "credential-expired",
                                      "role-missing",
                                      "bond-too-small",
                                      "bond-at-stake",
                                      "enrolment-closed",
                                      "already-a-member",
                                      "last-steward",
                                      "bad-height",
                                      "fee-unpaid",
                                      "balance-too-small",
                                      "withdrawal-too-small",
                                      "last-validator",
                                      "credential-expires",
                                      "key-taken",
                                      "3 sets to come",
                                      "key-unchanged",
                                      "evidence-repeated",
                                      "evidence-early",
                                      "not-a-validator",
                                      "not-the-publisher",
                                      "bad-intent",
                                      "other-policy",
                                      "free-intent",
                                      "sampled-intent",
                                      "early-intent",
                                      "stale-intent",
                                      "escrow-exists",
                                      "unknown-escrow",
                                      "escrow-closed",
                                      "own-work",
                                      "award-of-another",
                                      "over-fee",
                                      "bad-offer",
                                      "award-undated",
                                      "bad-award",
                                      "commitment-of-another",
                                      "bad-commitment",
                                      "not-awarded",
                                      "shard-claimed",
                                      "unknown-work",
                                      "award-missing",
                                      "award-spent",
                                      "no-open-seat",
                                      "too-long",
                                      "fee-too-small",
                                      "answers-full",
                                      "work-exists",
                                      "owner-unproven",
                                      "unbonding-full",
                                      "not-drawn-yet",
                                      "late-commitment",
                                      "not-drawn",
                                      "answered-already",
                                      "timed-out",
                                      "nobody-awaited",
                                      "not-a-party",
                                      "work-ended",
                                      "revealed-already",
                                      "receipt-of-another",
                                      "bad-receipt",
                                      "over-fuel",
                                      "seats-open",
                                      "verdict-missing",
                                      "verdict-of-another",
                                      "not-revealed",
                                      "not-committed",
                                      "bad-verification",
                                      "escrow-ended",
                                      "escrow-closing",
                                      "not-disputable",
                                      "chain-unfinished",
                                      "bad-link"}) {
    EXPECT_GT(verdicts[std::string(name)], 0U) << name;
  }
  for (const auto& [verdict, count] : verdicts) std::cout << verdict << ": " << count << '\n';
}

/// More works, and shards of works, than a block draws for and ends; more shards than can be locked.
TEST(Model, AgreesWhereABlockHasTooMuchToDo) {
  Trial trial(2);
  ASSERT_EQ(trial.run_crowded(4'000), "");
  for (const std::string_view name : {"escrows-full", "phase-over"})
    EXPECT_GT(trial.verdicts().contains(std::string(name)), 0U) << name;
}

}  // namespace
}  // namespace mesh::ledger
