// A federation of one, whose replica is given a disk that is done at once, makes a chain of many blocks; threads check it.
#include "app/runtime/chain_verifier.h"

#include <gtest/gtest.h>

#include "chain/replica.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::app {
namespace {

using chain::FinalBlock;
using ledger::person;

class ChainVerifier : public testing::Test {
 protected:
  void SetUp() override {
    genesis = ledger::genesis_of({{.account = person(0).id,
                                   .credits = 1'000'000'000,
                                   .bonded = 2'000'000,
                                   .power = 1,
                                   .roles = {ledger::Role::validator, ledger::Role::steward}}});
    charter = ledger::charter_of("town", Cid::of(Multicodec::dag_cbor, {}), genesis);
    chain::Replica replica({.seeds = {person(0).seed}}, *ledger::Ledger::found(charter, genesis, Digest{}));
    take(replica, chain::event::Started{});
    const identity::Signer signer(person(0).seed, dagcbor::cid_of(record::encode(charter)));
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto transfer = ledger::sign(
          ledger::Transfer{
              .account = person(0).id, .sequence = i, .to = ledger::nobody(i % 7), .amount = 1'000, .memo = ""},
          signer);
      take(replica, chain::event::Submit{.id = i, .envelope = transfer->envelope});
    }
    ASSERT_EQ(blocks.size(), count);
    root = replica.ledger().state_root();
  }
  void take(chain::Replica& replica, const chain::Event& event) {
    std::vector<std::uint64_t> written;
    for (const chain::Effect& effect : replica.step(2'000'000, event)) {
      const auto* write = std::get_if<chain::effect::Persist>(&effect);
      if (write == nullptr) continue;
      blocks.insert(blocks.end(), write->blocks.begin(), write->blocks.end());
      written.push_back(write->write);
    }
    for (const std::uint64_t number : written) take(replica, chain::event::Durable{number});
  }
  /// All of `chain`, then `end`.
  static NextBlock from(std::vector<FinalBlock> chain, const std::optional<Error>& end = {}) {
    return [chain = std::move(chain), end, at = std::size_t{0}]() mutable -> Result<std::optional<FinalBlock>> {
      if (at < chain.size()) return chain[at++];
      if (end) return std::unexpected(*end);
      return std::nullopt;
    };
  }

  static constexpr std::uint64_t count = 60;
  identity::Charter charter;
  ledger::Genesis genesis;
  std::vector<FinalBlock> blocks;
  Digest root;
};

TEST_F(ChainVerifier, AGoodChainChecksToItsEnd) {
  const ChainReport report = verify_chain(charter, genesis, from(blocks));
  EXPECT_FALSE(report.problem) << report.problem->error.message;
  EXPECT_EQ(report.height, count);
  EXPECT_EQ(report.transactions, count);
  EXPECT_EQ(report.state_root, root);
  EXPECT_EQ(report.head, chain::read_block(blocks.back().block)->cid());
  EXPECT_EQ(report.totals.supply, 1'002'000'000U);
  const ChainReport empty = verify_chain(charter, genesis, from({}));
  EXPECT_FALSE(empty.problem);
  EXPECT_EQ(empty.height, 0U);
  EXPECT_EQ(empty.head, dagcbor::cid_of(record::encode(charter)));
}

TEST_F(ChainVerifier, TheFirstBlockThatIsWrongIsNamedWhicheverIsReadFirst) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{29}, std::size_t{59}}) {
    std::vector<FinalBlock> chain = blocks;
    chain[at].block.back() ^= 1U;
    chain.back().certificate.back() ^= 1U;  // What comes later does not matter.
    const ChainReport report = verify_chain(charter, genesis, from(chain));
    ASSERT_TRUE(report.problem);
    EXPECT_EQ(report.problem->height, at + 1);
    EXPECT_TRUE(report.problem->error.message.starts_with("wrong-transactions: ")) << report.problem->error.message;
    EXPECT_EQ(report.height, at);
    EXPECT_EQ(report.transactions, at);
  }
}

TEST_F(ChainVerifier, WhatCannotBeHadIsSaid) {
  const Error lost{ErrorCode::storage, "damaged-block: it is"};
  ChainReport report = verify_chain(charter, genesis, from({blocks.begin(), blocks.begin() + 7}, lost));
  ASSERT_TRUE(report.problem);
  EXPECT_EQ(report.problem->height, 8U);
  EXPECT_EQ(report.problem->error, lost);
  EXPECT_EQ(report.height, 7U) << "what was there before is checked all the same";
  ledger::Genesis other = genesis;
  other.treasury = 1;
  report = verify_chain(charter, other, from(blocks));
  ASSERT_TRUE(report.problem);
  EXPECT_EQ(report.problem->height, 0U);
  EXPECT_TRUE(report.problem->error.message.starts_with("wrong-federation: ")) << report.problem->error.message;
}

}  // namespace
}  // namespace mesh::app
