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
    const Result<Mempool::Added> added = pool.add(ledger, one, now_ms);
    if (!added) return added.error().message.substr(0, added.error().message.find(':'));
    return *added == Mempool::Added::ready ? "ready" : *added == Mempool::Added::waits ? "waits" : "repeated";
  }
  void commit(const std::vector<Opened>& transactions) {
    Proposal proposal = *ledger.propose(transactions, {.account = ann, .time_ms = 1'000'000});
    ASSERT_TRUE(proposal.refused.empty()) << proposal.refused[0].error.message;
    ledger.commit(std::move(proposal.draft));
  }
  /// And tells the pool.
  void settle(const std::vector<Opened>& transactions) {
    commit(transactions);
    pool.settle(ledger, transactions);
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
  std::uint64_t now_ms = 5'000'000;
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
  settle(pool.proposal(ledger, 1));
  EXPECT_EQ(order(2), (Turns{{nobody(2), 1}, {nobody(1), 0}})) << "it came before them";
}

TEST_F(Pool, NobodyIsStarvedByWhoKeepsComing) {
  people(9);
  EXPECT_EQ(add(transfer(nobody(8), 0)), "ready");
  // Eight that refill at once what is taken of them, and blocks of four.
  std::array<std::uint64_t, 8> next{};
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(add(transfer(nobody(i), next[i]++)), "ready");
  for (int block = 0; block < 3; ++block) {
    settle(pool.proposal(ledger, 4));
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
  settle({transfer(nobody(0), 0), transfer(nobody(1), 0, 7)});
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
  settle({as_signed(Rotate{.account = nobody(0), .key = nobody(51)}, nobody(0))});
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
  pool.expire(ledger, now_ms);
  EXPECT_EQ(pool.size(), 2U);
  commit({});
  pool.expire(ledger, now_ms);
  EXPECT_EQ(pool.size(), 1U);
  EXPECT_EQ(pool.find(nobody(0), 5), nullptr);
  // By the clock, without a block.
  now_ms += max_pending_ms;
  EXPECT_EQ(add(transfer(nobody(0), 0)), "ready");
  pool.expire(ledger, now_ms - max_pending_ms - 1);
  pool.expire(ledger, now_ms);
  EXPECT_EQ(pool.size(), 2U) << "neither a clock that was set back nor the last moment makes it old";
  pool.expire(ledger, now_ms + 1);
  EXPECT_EQ(pool.size(), 1U);
  EXPECT_EQ(pool.find(nobody(1), 5), nullptr);
  EXPECT_EQ(pool.loose(), 0U);
  pool.expire(ledger, now_ms + max_pending_ms + 1);
  EXPECT_EQ(pool.size(), 0U);
  EXPECT_EQ(pool.bytes(), 0U);
}

TEST_F(Pool, WhatWaitsForAGapHasAShareAndMakesRoom) {
  constexpr std::uint64_t each = max_pending_of_account - 1;
  constexpr std::uint64_t hoarders = max_loose / each + 1;
  constexpr std::uint64_t payers = max_pending / max_pending_of_account;
  people(hoarders + payers);
  // Numbers after a gap, until their share is full.
  std::string last;
  for (std::uint64_t who = 0; who < hoarders && last != "pending-full"; ++who) {
    for (std::uint64_t i = 1; i <= each && last != "pending-full"; ++i) last = add(transfer(nobody(who), i));
  }
  EXPECT_EQ(last, "pending-full");
  EXPECT_EQ(pool.loose(), max_loose);
  EXPECT_EQ(pool.size(), max_loose);
  // All the room is for those that are ready, and the newest of the others went first.
  for (std::uint64_t who = 0; who < payers; ++who) {
    for (std::uint64_t i = 0; i < max_pending_of_account; ++i) {
      ASSERT_EQ(add(transfer(nobody(hoarders + who), i)), "ready");
      if (who != payers / 2 || i != 0) continue;
      EXPECT_EQ(pool.size(), payers / 2 * max_pending_of_account + 1 + max_loose) << "room for all so far";
    }
    if (who * max_pending_of_account == max_pending - max_loose) {
      EXPECT_EQ(pool.size(), max_pending);
      EXPECT_EQ(pool.loose(), max_loose - max_pending_of_account);
      EXPECT_NE(pool.find(nobody(0), 1), nullptr);
      EXPECT_EQ(pool.find(nobody(hoarders - 1), 1), nullptr);
    }
  }
  EXPECT_EQ(pool.loose(), 0U);
  EXPECT_EQ(pool.loose_bytes(), 0U);
  EXPECT_EQ(pool.size(), max_pending);
  EXPECT_EQ(add(transfer(nobody(0), 0)), "pending-full");
  EXPECT_EQ(add(transfer(nobody(0), 1)), "pending-full");
  // What comes to have a gap before it joins the share, which does not become larger than it is.
  for (std::uint64_t who = 0; who < payers; ++who) pool.drop(nobody(hoarders + who), 0);
  EXPECT_EQ(pool.loose(), max_loose);
  EXPECT_EQ(pool.size(), max_loose);
  EXPECT_TRUE(order(1).empty());
}

TEST_F(Pool, AGapThatIsFilledTakesNothingOfTheShare) {
  people(1);
  EXPECT_EQ(add(transfer(nobody(0), 1)), "waits");
  EXPECT_EQ(add(transfer(nobody(0), 3)), "waits");
  EXPECT_EQ(pool.loose(), 2U);
  EXPECT_EQ(add(transfer(nobody(0), 0)), "ready");
  EXPECT_EQ(pool.loose(), 1U);
  settle({transfer(nobody(0), 0), transfer(nobody(0), 1), transfer(nobody(0), 2)});
  EXPECT_EQ(pool.loose(), 0U);
  EXPECT_EQ(order(9).size(), 1U);
  EXPECT_EQ(pool.bytes(), (*pool.find(nobody(0), 3))->envelope.size());
}

TEST_F(Pool, WhoCannotPayHasOneThatMakesRoom) {
  ledger = found_on(genesis_of({{.account = ann,
                                 .credits = 1'000'000,
                                 .bonded = 1'000'000,
                                 .power = 1,
                                 .roles = {Role::validator, Role::steward}}},
                               {.transaction_fee = 100, .minimum_balance = 50, .enrolment = Enrolment::open}));
  commit({as_signed(Transfer{.account = ann, .to = nobody(0), .amount = 99}, ann),
          as_signed(Transfer{.account = ann, .sequence = 1, .to = nobody(1), .amount = 100}, ann)});
  const auto enrol = [](std::uint64_t who, std::uint64_t sequence) {
    return as_signed(Admit{.account = nobody(who), .sequence = sequence, .node = nobody(who), .roles = {Role::member}},
                     nobody(who));
  };
  EXPECT_EQ(add(transfer(nobody(0), 0)), "ready");
  EXPECT_EQ(add(transfer(nobody(0), 1)), "pending-unpaid");
  EXPECT_EQ(add(transfer(nobody(1), 0)), "ready");
  EXPECT_EQ(add(transfer(nobody(1), 1)), "ready");
  EXPECT_EQ(add(enrol(2, 0)), "ready");
  EXPECT_EQ(add(enrol(2, 0)), "repeated");
  EXPECT_EQ(add(enrol(2, 1)), "pending-unpaid");
  EXPECT_EQ(pool.loose(), 2U);
  EXPECT_EQ(order(9).size(), 4U) << "they are proposed like others";
  // When there is something in the account it is as others are.
  settle({as_signed(Transfer{.account = ann, .sequence = 2, .to = nobody(0), .amount = 1}, ann)});
  EXPECT_EQ(pool.loose(), 1U);
  EXPECT_EQ(add(transfer(nobody(0), 1)), "ready");
  // A steward's work costs nothing, so none is kept from it by an empty balance.
  settle({as_signed(Transfer{.account = ann, .sequence = 3, .to = nobody(0), .amount = 1'000'000 - 99 - 100 - 1 - 400},
                    ann)});
  EXPECT_EQ(ledger.account(ann)->balance, 0U);
  for (std::uint64_t i = 4; i < 7; ++i)
    EXPECT_EQ(add(as_signed(Grant{.account = ann, .sequence = i, .to = nobody(9), .amount = 500, .reason = ""}, ann)),
              "ready");
  // Names cost nothing, so those of new ones end at their share.
  std::string last;
  for (std::uint64_t who = 100; who < 100 + max_loose && last != "pending-full"; ++who) last = add(enrol(who, 0));
  EXPECT_EQ(last, "pending-full");
  EXPECT_EQ(pool.loose(), max_loose);
}

TEST_F(Pool, AConflictWithWhatIsFinalIsFound) {
  people(3);
  const Opened mine = transfer(nobody(0), 0, 5);
  EXPECT_EQ(add(mine), "ready");
  // One waits while the other becomes final.
  const Opened theirs = transfer(nobody(0), 0, 6);
  settle({theirs});
  std::vector<std::array<Bytes, 2>> conflicts = pool.take_conflicts();
  ASSERT_EQ(conflicts.size(), 1U);
  EXPECT_EQ(conflicts[0], (std::array{theirs->envelope, mine->envelope}));
  // One comes when the other is final; the very same is no conflict, nor is one by a key that is not the account's.
  settle({transfer(nobody(1), 0, 1)});
  EXPECT_EQ(add(transfer(nobody(1), 0, 1)), "sequence-repeated");
  EXPECT_EQ(add(as_signed(Transfer{.account = nobody(1), .to = nobody(7), .amount = 3}, nobody(2))),
            "sequence-repeated");
  EXPECT_TRUE(pool.take_conflicts().empty());
  EXPECT_EQ(add(transfer(nobody(1), 0, 2)), "sequence-repeated");
  conflicts = pool.take_conflicts();
  ASSERT_EQ(conflicts.size(), 1U);
  const Evidence evidence{
      .account = ann, .sequence = ledger.account(ann)->sequence, .first = conflicts[0][0], .second = conflicts[0][1]};
  commit({as_signed(evidence, ann)});
  EXPECT_NE(ledger.state().tables.conflicts.find(nobody(1)), nullptr);
  // Evidence conflicts with nothing.
  Evidence report = evidence;
  report.account = nobody(2);
  report.sequence = 0;
  EXPECT_EQ(add(transfer(nobody(2), 0)), "ready");
  EXPECT_EQ(add(as_signed(report, nobody(2))), "pending-conflict");
  EXPECT_TRUE(pool.take_conflicts().empty());
}

TEST_F(Pool, WhatIsFinalIsRememberedForAWhile) {
  people(2);
  settle({transfer(nobody(0), 0, 1)});
  std::vector<Opened> many;
  for (std::uint64_t i = 0; i < max_remembered; ++i) {
    many.push_back(as_signed(
        Transfer{.account = ann, .sequence = ledger.account(ann)->sequence + i, .to = nobody(1), .amount = 1}, ann));
  }
  settle(std::vector(many.begin(), many.end() - 1));
  EXPECT_EQ(add(transfer(nobody(0), 0, 2)), "sequence-repeated");
  EXPECT_EQ(pool.take_conflicts().size(), 1U);
  settle({many.back()});
  EXPECT_EQ(add(transfer(nobody(0), 0, 2)), "sequence-repeated");
  EXPECT_TRUE(pool.take_conflicts().empty()) << "too long ago";
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
