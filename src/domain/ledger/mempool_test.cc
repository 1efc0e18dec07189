// The mempool: repeats, gaps, conflicts, turns, bounds, and what becomes of what waits when blocks come.
#include "domain/ledger/mempool.h"

#include <gtest/gtest.h>

#include "domain/ledger/ledger_testing.h"

namespace mesh::ledger {
namespace {

class Pool : public testing::Test {
 protected:
  Pool()
      : ledger(found_on(genesis_of({{.account = ann,
                                     .credits = 1'000'000'000,
                                     .bonded = 1'000'000,
                                     .power = 1,
                                     .roles = {Role::validator, Role::steward}}},
                                   without_costs()))) {}

  [[nodiscard]] static Opened transfer(const AccountId& from, std::uint64_t sequence, std::uint64_t amount = 1) {
    return as_signed(Transfer{.account = from, .sequence = sequence, .to = nobody(1'000), .amount = amount}, from);
  }
  [[nodiscard]] std::string add(const Opened& one) {
    const Result<Mempool::Added> added = pool.add(ledger, one);
    if (!added) return added.error().message.substr(0, added.error().message.find(':'));
    return *added == Mempool::Added::ready ? "ready" : *added == Mempool::Added::waits ? "waits" : "repeated";
  }
  void commit(const std::vector<Opened>& transactions) {
    Proposal proposal = *ledger.propose(transactions, {.account = ann, .time_ms = 1'000'000});
    ASSERT_TRUE(proposal.refused.empty()) << proposal.refused[0].error.message;
    ledger.commit(std::move(proposal.draft));
  }
  /// Accounts 0 to count - 1 with credits.
  void people(std::uint64_t count) {
    std::vector<Opened> transfers;
    for (std::uint64_t i = 0; i < count; ++i) {
      transfers.push_back(as_signed(
          Transfer{.account = ann, .sequence = ledger.account(ann)->sequence + i, .to = nobody(i), .amount = 1'000},
          ann));
    }
    commit(transfers);
  }
  [[nodiscard]] std::vector<std::pair<AccountId, std::uint64_t>> order(std::size_t count) const {
    std::vector<std::pair<AccountId, std::uint64_t>> order;
    for (const Opened& one : pool.proposal(ledger, count)) order.emplace_back(one->account, one->sequence);
    return order;
  }

  AccountId ann = person(1).id;
  Ledger ledger;
  Mempool pool;
};

TEST_F(Pool, ARepeatIsNoNewsAndAGapWaits) {
  people(2);
  EXPECT_EQ(add(transfer(nobody(0), 2)), "waits");
  EXPECT_EQ(add(transfer(nobody(0), 1)), "waits");
  EXPECT_TRUE(order(10).empty());
  EXPECT_EQ(add(transfer(nobody(0), 1)), "repeated");
  EXPECT_EQ(pool.size(), 2U);
  EXPECT_EQ(add(transfer(nobody(0), 0)), "ready");
  EXPECT_EQ(order(10).size(), 3U);
  EXPECT_EQ(add(transfer(nobody(0), 3)), "ready");
  EXPECT_EQ(add(transfer(nobody(0), 5)), "waits");
  EXPECT_EQ(order(10).size(), 4U);
  EXPECT_EQ(add(transfer(nobody(9), 0)), "unknown-account");
}

TEST_F(Pool, AConflictIsKeptAsEvidence) {
  people(2);
  for (const bool swapped : {false, true}) {
    const AccountId who = nobody(swapped ? 1 : 0);
    const Opened one = transfer(who, 3, 1);
    const Opened other = transfer(who, 3, 2);
    EXPECT_EQ(add(swapped ? other : one), "waits");
    EXPECT_EQ(add(swapped ? one : other), "pending-conflict");
    EXPECT_EQ(add(transfer(who, 3, 3)), "pending-conflict");
    EXPECT_EQ((*pool.find(who, 3))->cid, swapped ? other->cid : one->cid) << "the first stays";
  }
  const std::vector<std::array<Bytes, 2>> conflicts = pool.take_conflicts();
  ASSERT_EQ(conflicts.size(), 2U) << "one of an account";
  EXPECT_TRUE(pool.take_conflicts().empty());
  // It is what the ledger takes as evidence.
  const Evidence evidence{
      .account = ann, .sequence = ledger.account(ann)->sequence, .first = conflicts[0][0], .second = conflicts[0][1]};
  commit({as_signed(evidence, ann)});
  EXPECT_EQ(ledger.state().tables.conflicts.size(), 1U);
}

TEST_F(Pool, AccountsTakeTurns) {
  people(3);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(add(transfer(nobody(2), i)), "ready");
  EXPECT_EQ(add(transfer(nobody(1), 0)), "ready");
  EXPECT_EQ(add(transfer(nobody(0), 0)), "ready");
  EXPECT_EQ(add(transfer(nobody(1), 1)), "ready");
  using Turns = std::vector<std::pair<AccountId, std::uint64_t>>;
  EXPECT_EQ(order(6),
            (Turns{{nobody(2), 0}, {nobody(1), 0}, {nobody(0), 0}, {nobody(2), 1}, {nobody(1), 1}, {nobody(2), 2}}));
  EXPECT_EQ(order(100).size(), 13U);
  EXPECT_TRUE(order(0).empty());
  // Who always has something more is behind who has waited longer.
  commit(pool.proposal(ledger, 1));
  pool.settle(ledger);
  EXPECT_EQ(order(2), (Turns{{nobody(2), 1}, {nobody(1), 0}})) << "it came before them";
}

TEST_F(Pool, NobodyIsStarvedByWhoKeepsComing) {
  people(9);
  EXPECT_EQ(add(transfer(nobody(8), 0)), "ready");
  // Eight that refill at once what is taken of them, and blocks of four.
  std::array<std::uint64_t, 8> next{};
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(add(transfer(nobody(i), next[i]++)), "ready");
  for (int block = 0; block < 3; ++block) {
    commit(pool.proposal(ledger, 4));
    pool.settle(ledger);
    for (std::uint64_t i = 0; i < 8; ++i) {
      if (pool.find(nobody(i), next[i] - 1) != nullptr) continue;
      EXPECT_EQ(add(transfer(nobody(i), next[i]++)), "ready");
    }
  }
  EXPECT_EQ(ledger.account(nobody(8))->sequence, 1U);
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_GE(ledger.account(nobody(i))->sequence, 1U) << i;
}

TEST_F(Pool, WhatIsFinalOrCanNeverBeGoes) {
  people(2);
  EXPECT_EQ(add(transfer(nobody(0), 0)), "ready");
  EXPECT_EQ(add(transfer(nobody(0), 1)), "ready");
  EXPECT_EQ(add(transfer(nobody(1), 0, 5)), "ready");
  // Another of the same number became final.
  commit({transfer(nobody(0), 0), transfer(nobody(1), 0, 7)});
  pool.settle(ledger);
  EXPECT_EQ(pool.size(), 1U);
  EXPECT_EQ(add(transfer(nobody(0), 0)), "sequence-repeated");
  EXPECT_EQ(add(transfer(nobody(1), 0, 5)), "sequence-repeated");
  EXPECT_EQ(order(9).size(), 1U);
  pool.drop(nobody(0), 1);
  pool.drop(nobody(0), 1);
  EXPECT_EQ(pool.size(), 0U);
  EXPECT_EQ(pool.bytes(), 0U);
}

TEST_F(Pool, KeysCountAsTheyWillBe) {
  people(1);
  const PublicKey second = nobody(50);
  const auto by = [&](const PublicKey& key, std::uint64_t sequence) {
    return as_signed(Transfer{.account = nobody(0), .sequence = sequence, .to = nobody(7), .amount = 1}, key);
  };
  EXPECT_EQ(add(by(second, 1)), "wrong-key");
  EXPECT_EQ(add(as_signed(Rotate{.account = nobody(0), .key = second}, nobody(0))), "ready");
  EXPECT_EQ(add(by(nobody(0), 1)), "key-rotated");
  EXPECT_EQ(add(by(second, 1)), "ready");
  // Another rotation came out of the blue: what waits is by no key of the account's.
  commit({as_signed(Rotate{.account = nobody(0), .key = nobody(51)}, nobody(0))});
  pool.settle(ledger);
  EXPECT_EQ(pool.size(), 0U);
  EXPECT_EQ(add(by(nobody(0), 1)), "key-rotated");
  EXPECT_EQ(add(by(nobody(51), 1)), "ready");
}

TEST_F(Pool, IsBoundedForAnAccount) {
  people(1);
  for (std::uint64_t i = 1; i < max_pending_of_account; ++i) EXPECT_EQ(add(transfer(nobody(0), i)), "waits");
  EXPECT_EQ(add(transfer(nobody(0), max_pending_of_account)), "pending-gap");
  EXPECT_EQ(add(transfer(nobody(0), ~std::uint64_t{0})), "pending-gap");
  EXPECT_EQ(add(transfer(nobody(0), 0)), "ready");
  EXPECT_EQ(order(100).size(), max_pending_of_account);
}

TEST_F(Pool, IsBoundedInAll) {
  constexpr std::uint64_t count = max_pending / max_pending_of_account + 1;
  people(count);
  for (std::uint64_t who = 0; who + 1 < count; ++who) {
    for (std::uint64_t i = 0; i < max_pending_of_account; ++i) ASSERT_EQ(add(transfer(nobody(who), i)), "ready");
  }
  EXPECT_EQ(pool.size(), max_pending);
  EXPECT_EQ(add(transfer(nobody(count - 1), 0)), "pending-full");
  EXPECT_EQ(add(transfer(nobody(0), 5)), "repeated") << "a repeat is still known";
  pool.drop(nobody(0), 63);
  EXPECT_EQ(add(transfer(nobody(count - 1), 0)), "ready");
  EXPECT_EQ(order(max_pending).size(), max_pending);
}

TEST_F(Pool, WhatHasWaitedTooLongGoes) {
  people(2);
  EXPECT_EQ(add(transfer(nobody(0), 5)), "waits");
  for (std::uint64_t i = 0; i < max_pending_heights; ++i) commit({});
  EXPECT_EQ(add(transfer(nobody(1), 5)), "waits");
  pool.settle(ledger);
  EXPECT_EQ(pool.size(), 2U);
  commit({});
  pool.settle(ledger);
  EXPECT_EQ(pool.size(), 1U);
  EXPECT_EQ(pool.find(nobody(0), 5), nullptr);
}

TEST_F(Pool, WhoHasNoAccountCanEnrolWhereThatIsOpen) {
  const Opened enrols = as_signed(Admit{.account = nobody(0), .node = nobody(0), .roles = {Role::member}}, nobody(0));
  EXPECT_EQ(add(enrols), "unknown-account");
  ledger = found_on(
      genesis_of({{.account = ann, .bonded = 1'000'000, .power = 1, .roles = {Role::validator, Role::steward}}},
                 without_costs({.enrolment = Enrolment::open})));
  EXPECT_EQ(add(as_signed(Admit{.account = nobody(0), .node = nobody(1), .roles = {Role::member}}, nobody(0))),
            "unknown-account");
  EXPECT_EQ(add(as_signed(Admit{.account = nobody(0), .node = nobody(0), .roles = {Role::member}}, nobody(1))),
            "wrong-key");
  EXPECT_EQ(add(enrols), "ready");
}

}  // namespace
}  // namespace mesh::ledger
