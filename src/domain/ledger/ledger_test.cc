// The ledger's rules, one table for each kind of transaction; blocks, good and bad; what happens at a height by itself; the
// genesis; proofs for a light client.
#include "domain/ledger/ledger.h"

#include <gtest/gtest.h>

#include "domain/ledger/ledger_testing.h"

namespace mesh::ledger {
namespace {

constexpr std::uint64_t most = ~std::uint64_t{0};
const AccountId ada = nobody(1);  // Steward and validator; the signatures' keys matter in the tests that sign.
const AccountId bob = nobody(2);  // Member, worker, verifier and validator, with a bond.
const AccountId cyd = nobody(3);  // Member.
const AccountId dan = nobody(4);  // Has credits and no credential.
const AccountId eve = nobody(5);  // Has nothing.

/// A town where nobody signs: rules are looked at here, signatures elsewhere.
class Town {
 public:
  explicit Town(Parameters parameters = without_costs({.minimum_bond = 100, .lock_ms = 3})) {
    const Person founder = person(0);
    ledger_.emplace(found_on(genesis_of({{.account = founder.id,
                                          .credits = 1'000'000,
                                          .bonded = 100'000,
                                          .power = 1,
                                          .roles = {Role::validator, Role::steward}}},
                                        parameters)));
    founder_ = founder.id;
    must(Admit{.account = founder_, .node = ada, .roles = {Role::member, Role::validator, Role::steward}});
    must(Admit{
        .account = founder_, .node = bob, .roles = {Role::member, Role::worker, Role::verifier, Role::validator}});
    must(Admit{.account = founder_, .node = cyd, .roles = {Role::member}});
    for (const AccountId& one : {ada, bob, cyd, dan}) must(Transfer{.account = founder_, .to = one, .amount = 10'000});
    must(Bond{.account = ada, .amount = 1'000});
    must(Bond{.account = bob, .amount = 1'000});
    must(Bond{.account = cyd, .amount = 150});
    next();
  }

  [[nodiscard]] const Ledger& ledger() const { return *ledger_; }
  [[nodiscard]] Ledger& ledger() { return *ledger_; }
  [[nodiscard]] const AccountId& founder() const { return founder_; }
  [[nodiscard]] AccountRecord account(const AccountId& id) const {
    const Account* found = ledger_->account(id);
    return found == nullptr ? AccountRecord{} : found->record();
  }
  [[nodiscard]] const Member& member(const AccountId& id) const { return *ledger_->member(id); }

  template <class T>
  void must(const T& body) {
    ASSERT_EQ(attempt_next(body), "taken");
  }
  /// Whether it can be executed after what the block has so far, as the account's next; then it is in the block.
  template <class T>
  [[nodiscard]] std::string attempt_next(T body) {
    body.sequence = next_[body.account];
    std::string name = attempt(body);
    if (name == "taken") ++next_[body.account];
    return name;
  }
  /// The same with the sequence number that it has.
  template <class T>
  [[nodiscard]] std::string attempt(const T& body) {
    return attempt_signed(body, signer(body.account));
  }
  template <class T>
  [[nodiscard]] std::string attempt_signed(const T& body, const PublicKey& key) {
    pending_.push_back(as_signed(body, key));
    const Result<Proposal> proposal = propose();
    if (proposal->refused.empty()) return "taken";
    pending_.pop_back();
    const std::string& text = proposal->refused[0].error.message;
    return text.substr(0, text.find(':'));
  }
  /// Makes the block, a millisecond after the one before or where it is said. One that is empty without use has something
  /// of the founder's in it.
  void next(std::optional<std::uint64_t> time_ms = std::nullopt) {
    time_ms_ = time_ms.value_or(time_ms_);
    if (pending_.empty() && !ledger_->wants_empty_block(time_ms_))
      must(Transfer{.account = founder_, .to = founder_, .amount = 1});
    Result<Proposal> proposal = propose();
    ASSERT_TRUE(proposal->refused.empty());
    EXPECT_TRUE(proposal->of_use);
    // As others do: by its bytes.
    Result<Block> block = decode_block(encode_block(proposal->block.block()));
    ASSERT_TRUE(block.has_value()) << block.error().message;
    Result<OpenedBlock> opened = OpenedBlock::join(std::move(*block), pending_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    Result<Draft> draft = ledger_->execute(*opened, time_ms_);
    ASSERT_TRUE(draft.has_value()) << draft.error().message;
    ledger_->commit(std::move(*draft));
    EXPECT_EQ(ledger_->state().frame.last_block, opened->block().cid());
    ++time_ms_;
    EXPECT_EQ(ledger_->state_root(), opened->block().header.state_root);
    EXPECT_EQ(broken_invariant(ledger_->state()), "");
    pending_.clear();
  }
  void pass(std::uint64_t blocks) {
    for (std::uint64_t i = 0; i < blocks; ++i) next();
  }
  [[nodiscard]] Result<Proposal> propose() const {
    return ledger_->propose(pending_, {.account = founder_, .time_ms = time_ms_});
  }
  /// Of the block that is being made.
  [[nodiscard]] std::uint64_t time_ms() const { return time_ms_; }

 private:
  [[nodiscard]] PublicKey signer(const AccountId& id) const {
    const Account* found = ledger_->account(id);
    return found == nullptr ? id : found->signer();
  }

  std::optional<Ledger> ledger_;
  AccountId founder_;
  std::map<AccountId, std::uint64_t> next_;
  std::vector<Opened> pending_;
  std::uint64_t time_ms_ = 1'000'000;
};

// ---- transfer, grant

TEST(Transfer, MovesCredits) {
  Town town;
  town.must(Transfer{.account = dan, .to = eve, .amount = 9'999});
  town.must(Transfer{.account = dan, .to = dan, .amount = 1});
  town.must(Transfer{.account = eve, .to = dan, .amount = 1});
  town.next();
  EXPECT_EQ(town.account(dan).balance, 2U);
  EXPECT_EQ(town.account(dan).sequence, 2U);
  EXPECT_EQ(town.account(eve).balance, 9'998U);
  EXPECT_EQ(town.account(eve).sequence, 1U);
}

TEST(Transfer, IsRefusedByName) {
  Town town;
  const auto attempt = [&](const AccountId& from, std::uint64_t amount) {
    return town.attempt_next(Transfer{.account = from, .to = eve, .amount = amount});
  };
  EXPECT_EQ(attempt(dan, 10'001), "overdraft");
  EXPECT_EQ(attempt(dan, most), "overdraft");
  EXPECT_EQ(town.attempt_next(Transfer{.account = dan, .to = dan, .amount = 10'001}), "overdraft") << "to oneself";
  EXPECT_EQ(attempt(cyd, 9'851), "overdraft") << "a bond is no balance";
  EXPECT_EQ(attempt(eve, 1), "unknown-account");
  town.must(Transfer{.account = dan, .to = eve, .amount = 10'000});
  EXPECT_EQ(attempt(dan, 1), "overdraft") << "in the same block";
  EXPECT_EQ(attempt(eve, 10'000), "taken") << "what came in this block";
}

TEST(Sequence, IsOnceAndInOrder) {
  Town town;
  const auto at = [](std::uint64_t sequence, std::uint64_t amount = 1) {
    return Transfer{.account = dan, .sequence = sequence, .to = eve, .amount = amount};
  };
  EXPECT_EQ(town.attempt(at(1)), "sequence-gap");
  EXPECT_EQ(town.attempt(at(most)), "sequence-gap");
  EXPECT_EQ(town.attempt(at(0)), "taken");
  EXPECT_EQ(town.attempt(at(0)), "sequence-repeated") << "the same, in one block";
  EXPECT_EQ(town.attempt(at(0, 2)), "sequence-repeated") << "another with the same number, in one block";
  EXPECT_EQ(town.attempt(at(2)), "sequence-gap");
  town.next();
  EXPECT_EQ(town.attempt(at(0)), "sequence-repeated") << "the same, a block later";
  EXPECT_EQ(town.attempt(at(0, 2)), "sequence-repeated");
  EXPECT_EQ(town.attempt(at(1)), "taken");
}

TEST(Sequence, AConflictIsRefusedInBothOrders) {
  const Transfer one{.account = dan, .to = eve, .amount = 1};
  const Transfer other{.account = dan, .to = eve, .amount = 2};
  for (const auto& [first, second] : {std::pair{one, other}, std::pair{other, one}}) {
    Town town;
    EXPECT_EQ(town.attempt(first), "taken");
    EXPECT_EQ(town.attempt(second), "sequence-repeated");
    town.next();
    EXPECT_EQ(town.account(eve).balance, first.amount);
  }
}

TEST(Grant, MakesCredits) {
  Town town;
  const Totals before = town.ledger().state().frame.totals;
  town.must(Grant{.account = ada, .to = eve, .amount = 77});
  town.next();
  const Totals& after = town.ledger().state().frame.totals;
  EXPECT_EQ(town.account(eve).balance, 77U);
  EXPECT_EQ(after.supply, before.supply + 77);
  EXPECT_EQ(after.granted, before.granted + 77);
}

TEST(Grant, IsForStewardsAndUpTo64Bits) {
  Town town;
  EXPECT_EQ(town.attempt_next(Grant{.account = dan, .to = dan, .amount = 1}), "not-a-member");
  EXPECT_EQ(town.attempt_next(Grant{.account = bob, .to = bob, .amount = 1}), "role-missing");
  const std::uint64_t supply = town.ledger().state().frame.totals.supply;
  EXPECT_EQ(town.attempt_next(Grant{.account = ada, .to = eve, .amount = most}), "overflow");
  EXPECT_EQ(town.attempt_next(Grant{.account = ada, .to = eve, .amount = most - supply + 1}), "overflow");
  town.must(Grant{.account = ada, .to = eve, .amount = most - supply});
  EXPECT_EQ(town.attempt_next(Grant{.account = ada, .to = eve, .amount = 1}), "overflow");
  town.next();
  EXPECT_EQ(town.ledger().state().frame.totals.supply, most);
  EXPECT_EQ(town.attempt_next(Grant{.account = ada, .to = dan, .amount = 1}), "overflow");
  town.must(Transfer{.account = dan, .to = eve, .amount = 10'000});
  town.next();
}

// ---- bonds

TEST(Bond, IsTakenFromTheBalance) {
  Town town;
  town.must(Bond{.account = cyd, .amount = 1});
  town.next();
  EXPECT_EQ(town.account(cyd).bonded, 151U);
  EXPECT_EQ(town.account(cyd).balance, 9'849U);
  EXPECT_EQ(town.attempt_next(Bond{.account = cyd, .amount = 9'850}), "overdraft");
  EXPECT_EQ(town.attempt_next(Bond{.account = dan, .amount = 100}), "not-a-member");
  town.must(Admit{.account = ada, .node = dan, .roles = {Role::member}});
  EXPECT_EQ(town.attempt_next(Bond{.account = dan, .amount = 99}), "bond-too-small");
  EXPECT_EQ(town.attempt_next(Bond{.account = dan, .amount = 100}), "taken");
}

TEST(Unbond, ArrivesWhenTheLockPeriodIsOver) {
  Town town;
  const std::uint64_t start = town.time_ms();
  EXPECT_EQ(town.ledger().next_due(), std::nullopt);
  town.must(Unbond{.account = cyd, .amount = 20});
  town.must(Unbond{.account = cyd, .amount = 30});
  town.must(Unbond{.account = bob, .amount = 1'000});
  town.next();
  town.must(Unbond{.account = cyd, .amount = 100});
  town.next();
  EXPECT_EQ(town.account(cyd).bonded, 0U);
  EXPECT_EQ(town.account(cyd).balance, 9'850U);
  EXPECT_EQ(town.account(cyd).unbonding.size(), 3U);
  EXPECT_EQ(town.ledger().state().frame.totals.unbonding, 1'150U);
  EXPECT_EQ(town.ledger().state().due.size(), 3U) << "one for both of an account's";
  EXPECT_EQ(town.ledger().next_due(), start + 3);
  town.next(start + 2);
  EXPECT_EQ(town.account(cyd).balance, 9'850U);
  town.next(start + 3);
  EXPECT_EQ(town.account(cyd).balance, 9'850U) << "its parent is of before that";
  // At the start of the block: what arrives can be spent in it.
  town.must(Transfer{.account = cyd, .to = eve, .amount = 9'900});
  town.next(start + 3);
  EXPECT_EQ(town.account(cyd).balance, 0U);
  EXPECT_EQ(town.account(bob).balance, 10'000U);
  EXPECT_EQ(town.account(cyd).unbonding, (std::vector<Unbonding>{{100, start + 4}}));
  town.next(start + 1'000);
  EXPECT_EQ(town.account(cyd).balance, 0U) << "however late that block is";
  EXPECT_EQ(town.ledger().next_due(), start + 4) << "and wanted at once is the next";
  town.next(start + 1'000);
  EXPECT_EQ(town.account(cyd).balance, 100U);
  EXPECT_EQ(town.ledger().next_due(), std::nullopt);
  EXPECT_EQ(town.ledger().state().frame.totals.unbonding, 0U);
}

TEST(Unbond, HasNoEndPastTheLastTime) {
  Town town(without_costs({.minimum_bond = 100, .lock_ms = most}));
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 50}), "overflow");
}

TEST(Unbond, IsRefusedByName) {
  Town town;
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 151}), "overdraft");
  EXPECT_EQ(town.attempt_next(Unbond{.account = dan, .amount = 1}), "overdraft");
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 51}), "bond-too-small");
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 50}), "taken");
  // The founder validates and has the minimum at stake.
  EXPECT_EQ(town.account(town.founder()).at_stake, 100U);
  EXPECT_EQ(town.attempt_next(Unbond{.account = town.founder(), .amount = 100'000}), "bond-at-stake");
  EXPECT_EQ(town.attempt_next(Unbond{.account = town.founder(), .amount = 99'901}), "bond-at-stake");
  EXPECT_EQ(town.attempt_next(Unbond{.account = town.founder(), .amount = 99'900}), "taken");
}

TEST(Unbond, SoManyAndNoMoreWait) {
  Town town;
  for (std::size_t i = 0; i < max_unbonding_of_account; ++i) town.must(Unbond{.account = bob, .amount = 1});
  EXPECT_EQ(town.attempt_next(Unbond{.account = bob, .amount = 1}), "unbonding-full");
  EXPECT_EQ(town.attempt_next(Unbond{.account = ada, .amount = 1}), "taken");
  town.pass(5);
  EXPECT_EQ(town.attempt_next(Unbond{.account = bob, .amount = 1}), "taken");
}

TEST(Unbond, NeedsNoCredential) {
  Town town;
  town.must(Revoke{.account = ada, .node = bob});
  EXPECT_EQ(town.attempt_next(Bond{.account = bob, .amount = 1}), "revoked");
  EXPECT_EQ(town.attempt_next(Unbond{.account = bob, .amount = 1'000}), "taken");
}

// ---- costs

TEST(Costs, AFeeGoesToTheTreasury) {
  Town town({.minimum_bond = 100, .lock_ms = 3, .transaction_fee = 7, .minimum_balance = 50});
  const auto balance = [&](const AccountId& id) { return town.account(id).balance; };
  const std::uint64_t treasury = town.ledger().state().frame.totals.treasury;
  EXPECT_EQ(treasury, 7U * 7) << "four transfers and three bonds";
  const std::array before{balance(ada), balance(bob), balance(cyd), balance(dan)};
  town.must(Transfer{.account = dan, .to = cyd, .amount = 1});
  town.must(Bond{.account = bob, .amount = 1});
  town.must(Unbond{.account = bob, .amount = 50});
  town.must(Attest{.account = bob, .memory_mb = 1, .fuel_per_second = 1});
  town.must(Rotate{.account = bob, .key = nobody(70)});
  // Stewards' work, and reports, cost nothing.
  town.must(Grant{.account = ada, .to = cyd, .amount = 1});
  town.must(Admit{.account = ada, .node = eve, .roles = {Role::member}});
  town.must(Revoke{.account = ada, .node = eve});
  town.must(SetValidators{.account = ada, .from_height = 9, .validators = {{ada, 1}}});
  town.must(Evidence{.account = cyd,
                     .first = unsigned_envelope(Bond{.account = dan, .sequence = 9, .amount = 1}, dan),
                     .second = unsigned_envelope(Bond{.account = dan, .sequence = 9, .amount = 2}, dan)});
  town.next();
  EXPECT_EQ(balance(ada), before[0]);
  EXPECT_EQ(balance(bob), before[1] - 1 - 4 * 7);
  EXPECT_EQ(balance(cyd), before[2] + 2);
  EXPECT_EQ(balance(dan), before[3] - 1 - 7);
  EXPECT_EQ(town.ledger().state().frame.totals.treasury, treasury + 5 * 7);
}

TEST(Costs, WhatIsRefusedCostsNothing) {
  Town town({.minimum_bond = 100, .lock_ms = 3, .transaction_fee = 7, .minimum_balance = 50});
  const std::uint64_t treasury = town.ledger().state().frame.totals.treasury;
  EXPECT_EQ(town.attempt_next(Transfer{.account = dan, .to = cyd, .amount = 9'994}), "overdraft") << "with the fee";
  town.must(Transfer{.account = dan, .to = cyd, .amount = 9'993});
  EXPECT_EQ(town.attempt_next(Transfer{.account = dan, .to = cyd, .amount = 1}), "fee-unpaid");
  EXPECT_EQ(town.attempt_next(Rotate{.account = dan, .key = nobody(70)}), "fee-unpaid");
  town.must(Transfer{.account = cyd, .to = dan, .amount = 6});
  EXPECT_EQ(town.attempt_next(Rotate{.account = dan, .key = nobody(70)}), "fee-unpaid");
  town.must(Transfer{.account = cyd, .to = dan, .amount = 1});
  EXPECT_EQ(town.attempt_next(Rotate{.account = dan, .key = dan}), "key-unchanged");
  town.must(Rotate{.account = dan, .key = nobody(70)});
  // Refused in the middle of a block that others are in.
  EXPECT_EQ(town.attempt_next(Bond{.account = eve, .amount = 100}), "unknown-account");
  EXPECT_EQ(town.attempt_next(Bond{.account = cyd, .amount = most}), "overdraft");
  town.next();
  EXPECT_EQ(town.account(dan).balance, 0U);
  EXPECT_EQ(town.ledger().state().frame.totals.treasury, treasury + 4 * 7);
}

TEST(Costs, ANewAccountBeginsWithTheMinimum) {
  Town town({.minimum_bond = 100, .lock_ms = 3, .transaction_fee = 0, .minimum_balance = 50});
  EXPECT_EQ(town.attempt_next(Transfer{.account = dan, .to = eve, .amount = 49}), "balance-too-small");
  EXPECT_EQ(town.attempt_next(Grant{.account = ada, .to = eve, .amount = 49}), "balance-too-small");
  EXPECT_EQ(town.attempt_next(Transfer{.account = dan, .to = eve, .amount = 50}), "taken");
  EXPECT_EQ(town.attempt_next(Transfer{.account = dan, .to = eve, .amount = 1}), "taken") << "it is there now";
  EXPECT_EQ(town.attempt_next(Grant{.account = ada, .to = nobody(70), .amount = 50}), "taken");
  town.next();
}

TEST(Costs, AWithdrawalIsTheMinimumOrAll) {
  Town town({.minimum_bond = 20, .lock_ms = 3, .transaction_fee = 0, .minimum_balance = 50});
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 49}), "withdrawal-too-small");
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 50}), "taken");
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 80}), "taken");
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 19}), "withdrawal-too-small");
  EXPECT_EQ(town.attempt_next(Unbond{.account = cyd, .amount = 20}), "taken") << "all there is";
  town.next();
}

TEST(Costs, WhoEnrolsLeavesHalfOfTheTableToStewards) {
  const AccountId founder = person(0).id;
  const Genesis genesis =
      genesis_of({{.account = founder, .bonded = 1'000'000, .power = 1, .roles = {Role::validator, Role::steward}}},
                 {.enrolment = Enrolment::open});
  Ledger ledger = found_on(genesis);
  std::uint64_t next = 0;
  const auto enrolment = [](std::uint64_t n) {
    return as_signed(Admit{.account = nobody(n), .node = nobody(n), .roles = {Role::member}}, nobody(n));
  };
  const auto block = [&](const std::vector<Opened>& offered) {
    Proposal proposal = *ledger.propose(offered, {.account = founder, .time_ms = 2'000'000});
    ledger.commit(std::move(proposal.draft));
    return proposal.refused;
  };
  while (ledger.state().tables.members.size() < max_members / 2) {
    std::vector<Opened> offered;
    const std::size_t room = max_members / 2 - ledger.state().tables.members.size();
    for (std::size_t i = 0; i < std::min(room, max_block_transactions); ++i) offered.push_back(enrolment(next++));
    ASSERT_TRUE(block(offered).empty());
  }
  const std::vector<Proposal::Refused> refused = block(
      {enrolment(next), as_signed(Admit{.account = founder, .node = nobody(next), .roles = {Role::member}}, founder)});
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].index, 0U);
  EXPECT_EQ(refused[0].error.message, "members-full: no more fit in");
  EXPECT_EQ(ledger.state().tables.members.size(), max_members / 2 + 1);
  EXPECT_EQ(ledger.account(nobody(next)), nullptr) << "who is refused has no account";
}

// ---- members

TEST(Member, IsAdmittedByAStewardAlone) {
  Town town;
  const Admit admit{
      .account = ada, .node = eve, .roles = {Role::worker}, .owner = "did:key:z6Mk", .expires_height = 100};
  EXPECT_EQ(town.attempt_next(Admit{.account = dan, .node = eve, .roles = {Role::member}}), "not-a-member");
  EXPECT_EQ(town.attempt_next(Admit{.account = bob, .node = eve, .roles = {Role::member}}), "role-missing");
  EXPECT_EQ(town.attempt_next(Admit{.account = dan, .node = dan, .roles = {Role::member}}), "enrolment-closed");
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = eve, .roles = {Role::member}}), "enrolment-closed");
  town.must(admit);
  town.next();
  EXPECT_EQ(
      town.member(eve),
      (Member{.node = eve, .roles = {Role::worker}, .issuer = ada, .owner = "did:key:z6Mk", .expires_height = 100}));
  EXPECT_EQ(town.ledger().account(eve), nullptr) << "a credential is no account";
}

TEST(Member, CredentialsExpire) {
  Town town;
  EXPECT_EQ(town.attempt_next(Admit{.account = ada, .node = dan, .roles = {Role::member}, .expires_height = 2}),
            "credential-expired");
  town.must(Admit{.account = ada, .node = dan, .roles = {Role::member, Role::steward}, .expires_height = 4});
  town.next();
  EXPECT_EQ(town.attempt_next(Grant{.account = dan, .to = dan, .amount = 1}), "taken") << "at height 3";
  town.next();
  EXPECT_EQ(town.attempt_next(Bond{.account = dan, .amount = 100}), "credential-expired");
  EXPECT_EQ(town.attempt_next(Grant{.account = dan, .to = dan, .amount = 1}), "credential-expired");
  EXPECT_EQ(town.attempt(Transfer{.account = dan, .sequence = 1, .to = eve, .amount = 1}), "taken")
      << "what one has, one can give";
}

TEST(Member, IsRevokedAndAdmittedAgain) {
  Town town;
  EXPECT_EQ(town.attempt_next(Revoke{.account = bob, .node = cyd}), "role-missing");
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = eve}), "not-a-member");
  town.must(Revoke{.account = ada, .node = bob, .reason = "left"});
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = bob}), "revoked");
  for (const bool verifies : {false, true}) {
    EXPECT_EQ(town.attempt_next(Attest{.account = bob, .memory_mb = 1, .fuel_per_second = 1, .verifies = verifies}),
              "revoked");
  }
  EXPECT_EQ(town.attempt_next(Transfer{.account = bob, .to = eve, .amount = 1}), "taken");
  town.next();
  town.must(Admit{.account = ada, .node = bob, .roles = {Role::member}});
  town.next();
  EXPECT_EQ(town.attempt(Bond{.account = bob, .sequence = 2, .amount = 1}), "taken");
}

TEST(Member, TheLastStewardStays) {
  Town town;
  town.must(SetValidators{.account = ada, .from_height = 4, .validators = {{bob, 1}}});  // So that the founder can go.
  town.must(Revoke{.account = ada, .node = town.founder()});
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = ada}), "last-steward");
  EXPECT_EQ(town.attempt_next(Admit{.account = ada, .node = ada, .roles = {Role::member}}), "last-steward");
  EXPECT_EQ(town.attempt_next(Admit{.account = ada, .node = ada, .roles = {Role::steward}, .expires_height = 1'000}),
            "last-steward");
  town.must(Admit{.account = ada, .node = dan, .roles = {Role::steward}, .expires_height = 1'000});
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = ada}), "last-steward") << "one that expires is not enough";
  town.must(Admit{.account = ada, .node = cyd, .roles = {Role::steward}});
  town.must(Revoke{.account = ada, .node = ada});
  town.next();
  EXPECT_EQ(town.attempt_next(Grant{.account = ada, .to = ada, .amount = 1}), "revoked");
}

TEST(OpenEnrolment, GivesTheMemberRoleAlone) {
  Town town(without_costs({.minimum_bond = 100, .lock_ms = 3, .enrolment = Enrolment::open}));
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = eve, .roles = {Role::worker}}), "role-missing");
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = eve, .roles = {Role::member, Role::steward}}),
            "role-missing");
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = eve, .roles = {Role::member}, .expires_height = 9}),
            "role-missing");
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = nobody(9), .roles = {Role::member}}), "unknown-account");
  EXPECT_EQ(town.attempt_next(Admit{.account = dan, .node = nobody(9), .roles = {Role::member}}), "not-a-member");
  EXPECT_EQ(town.attempt_signed(Admit{.account = eve, .node = eve, .roles = {Role::member}}, dan), "wrong-key");
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = eve, .roles = {Role::member}, .owner = "did:key:z6Mk"}),
            "owner-unproven");
  town.must(Admit{.account = eve, .node = eve, .roles = {Role::member}});
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = eve, .roles = {Role::member}}), "already-a-member");
  town.next();
  EXPECT_EQ(town.account(eve), (AccountRecord{.id = eve, .sequence = 1}));
  EXPECT_EQ(town.member(eve).issuer, eve);
  town.must(Revoke{.account = ada, .node = eve});
  EXPECT_EQ(town.attempt_next(Admit{.account = eve, .node = eve, .roles = {Role::member}}), "revoked");
}

TEST(Attest, SaysWhatAMemberCanRun) {
  Town town;
  EXPECT_EQ(town.attempt_next(Attest{.account = dan, .memory_mb = 1, .fuel_per_second = 1}), "not-a-member");
  EXPECT_EQ(town.attempt_next(Attest{.account = cyd, .memory_mb = 1, .fuel_per_second = 1, .verifies = true}),
            "role-missing");
  town.must(Attest{.account = cyd, .memory_mb = 1, .fuel_per_second = 1});
  town.must(Attest{.account = bob, .memory_mb = 512, .fuel_per_second = 9, .verifies = true});
  town.next();
  const auto& attestations = town.ledger().state().tables.attestations;
  EXPECT_EQ(*attestations.find(bob),
            (Attestation{.node = bob, .memory_mb = 512, .fuel_per_second = 9, .verifies = true, .height = 2}));
  town.must(Attest{.account = bob, .memory_mb = 64, .fuel_per_second = 9});
  town.next();
  EXPECT_EQ(*attestations.find(bob), (Attestation{.node = bob, .memory_mb = 64, .fuel_per_second = 9, .height = 3}));
}

// ---- validators

std::vector<SetValidators::Seat> seats(std::vector<SetValidators::Seat> list) {
  std::ranges::sort(list, {}, &SetValidators::Seat::account);
  return list;
}

TEST(Validators, TakeOverAtTheirHeight) {
  Town town;
  town.must(SetValidators{.account = ada, .from_height = 4, .validators = seats({{ada, 3}, {bob, 2}})});
  town.next();
  EXPECT_EQ(town.account(ada).at_stake, 100U);
  EXPECT_EQ(town.attempt_next(Unbond{.account = bob, .amount = 1'000}), "bond-at-stake") << "before it takes over";
  const Frame& frame = town.ledger().state().frame;
  EXPECT_EQ(frame.validators_at(3).validators.size(), 1U);
  EXPECT_EQ(frame.validators_at(4).validators.size(), 2U);
  town.next();
  EXPECT_EQ(town.account(town.founder()).at_stake, 100U);
  ASSERT_FALSE(town.propose().has_value());
  EXPECT_EQ(town.propose().error().message, "not-a-validator: the proposer does not validate at this height");
  const Result<Proposal> others =
      town.ledger().propose(std::vector{as_signed(Transfer{.account = dan, .to = eve, .amount = 1}, dan)},
                            {.account = bob, .time_ms = town.time_ms()});
  ASSERT_TRUE(others.has_value());
  Draft draft = *town.ledger().execute(others->block, std::nullopt);
  town.ledger().commit(std::move(draft));
  EXPECT_EQ(town.account(town.founder()).at_stake, 0U) << "who leaves has nothing at stake";
  EXPECT_EQ(town.account(bob).at_stake, 100U);
  EXPECT_EQ(frame.validators.from_height, 4U);
  EXPECT_TRUE(frame.scheduled.empty());
  EXPECT_EQ(broken_invariant(town.ledger().state()), "");
}

TEST(Validators, AreReplacedBeforeTheyTakeOver) {
  Town town;
  town.must(SetValidators{.account = ada, .from_height = 6, .validators = seats({{ada, 1}, {bob, 1}})});
  town.next();
  town.must(SetValidators{.account = ada, .from_height = 5, .validators = seats({{ada, 1}, {town.founder(), 1}})});
  town.next();
  EXPECT_EQ(town.account(bob).at_stake, 0U);
  EXPECT_EQ(town.account(ada).at_stake, 100U);
  EXPECT_EQ(town.account(town.founder()).at_stake, 100U) << "once, though it is in both";
  town.next();
  EXPECT_EQ(town.attempt_next(SetValidators{.account = ada, .from_height = 9, .validators = {{bob, 1}}}), "taken")
      << "5 takes over in this block";
  town.next();
}

TEST(Validators, AreRefusedByName) {
  Town town;
  const auto attempt = [&](const AccountId& by, std::uint64_t from, std::vector<SetValidators::Seat> list) {
    return town.attempt_next(SetValidators{.account = by, .from_height = from, .validators = std::move(list)});
  };
  EXPECT_EQ(attempt(dan, 4, {{bob, 1}}), "not-a-member");
  EXPECT_EQ(attempt(bob, 4, {{bob, 1}}), "role-missing");
  EXPECT_EQ(attempt(ada, 3, {{bob, 1}}), "bad-height") << "height 2 is being made";
  EXPECT_EQ(attempt(ada, 0, {{bob, 1}}), "bad-height");
  EXPECT_EQ(attempt(ada, most, {{bob, 1}}), "bad-height");
  EXPECT_EQ(attempt(ada, 4, {{cyd, 1}}), "role-missing");
  EXPECT_EQ(attempt(ada, 4, {{eve, 1}}), "not-a-member");
  town.must(Admit{.account = ada, .node = eve, .roles = {Role::validator}});
  EXPECT_EQ(attempt(ada, 4, {{eve, 1}}), "unknown-account");
  town.must(Admit{.account = ada, .node = dan, .roles = {Role::validator}, .expires_height = 1'000});
  EXPECT_EQ(attempt(ada, 4, {{dan, 1}}), "credential-expires");
  town.must(Admit{.account = ada, .node = dan, .roles = {Role::validator}});
  EXPECT_EQ(attempt(ada, 4, {{dan, 1}}), "bond-too-small");
  town.must(Unbond{.account = bob, .amount = 1'000});
  EXPECT_EQ(attempt(ada, 4, {{bob, 1}}), "bond-too-small");
}

TEST(Validators, WithoutABondTheyHaveAnAccountAllTheSame) {
  Town town(without_costs({.minimum_bond = 0, .lock_ms = 3}));
  town.must(Admit{.account = ada, .node = eve, .roles = {Role::validator}});
  const SetValidators set{.account = ada, .from_height = 4, .validators = seats({{ada, 1}, {eve, 1}})};
  EXPECT_EQ(town.attempt_next(set), "unknown-account");
  town.must(Transfer{.account = dan, .to = eve, .amount = 1});
  EXPECT_EQ(town.attempt_next(set), "taken");
  town.next();
  EXPECT_EQ(town.account(eve).at_stake, 0U);
}

TEST(Validators, VoteByTheKeyOfTheirAccount) {
  Town town;
  const AccountId founder = town.founder();
  const PublicKey second = nobody(70);
  const Frame& frame = town.ledger().state().frame;
  EXPECT_EQ(frame.validators_at(2).find(founder)->key, founder);
  town.must(SetValidators{.account = ada, .from_height = 8, .validators = seats({{founder, 5}, {bob, 2}})});
  town.must(Rotate{.account = founder, .key = second});
  town.next();  // Height 2.
  ASSERT_EQ(frame.scheduled.size(), 2U) << "the one with the key and the stewards' one";
  EXPECT_EQ(frame.validators_at(3).find(founder)->key, founder);
  EXPECT_EQ(frame.validators_at(4).find(founder)->key, second);
  EXPECT_EQ(frame.validators_at(4).find(founder)->power, 1U);
  EXPECT_EQ(frame.validators_at(4).find(bob), nullptr);
  EXPECT_EQ(frame.validators_at(8).find(founder)->key, second);
  EXPECT_EQ(frame.validators_at(8).find(founder)->power, 5U);
  town.must(Rotate{.account = bob, .key = nobody(71)});
  town.must(Rotate{.account = founder, .key = nobody(73)});
  town.next();  // Height 3.
  ASSERT_EQ(frame.scheduled.size(), max_scheduled_sets);
  EXPECT_EQ(frame.validators_at(4).find(founder)->key, second) << "it was told, so it stays";
  EXPECT_EQ(frame.validators_at(5).find(founder)->key, nobody(73));
  EXPECT_EQ(frame.validators_at(8).find(bob)->key, nobody(71));
  // Stewards' next set takes the place of theirs, with the keys of that time, and of nothing before it.
  town.must(SetValidators{.account = ada, .from_height = 9, .validators = {{founder, 1}}});
  town.must(Rotate{.account = founder, .key = nobody(74)});
  town.next();  // Height 4.
  ASSERT_EQ(frame.scheduled.size(), max_scheduled_sets);
  EXPECT_EQ(frame.validators.find(founder)->key, second);
  EXPECT_EQ(frame.validators_at(5).find(founder)->key, nobody(73));
  EXPECT_EQ(frame.validators_at(8).find(founder)->key, nobody(74));
  EXPECT_EQ(frame.validators_at(8).find(bob), nullptr);
  EXPECT_EQ(town.account(bob).at_stake, 0U);
  town.pass(5);  // Height 9.
  EXPECT_TRUE(frame.scheduled.empty());
  EXPECT_EQ(frame.validators.from_height, 9U);
  EXPECT_EQ(frame.validators.find(founder)->key, nobody(74));
}

TEST(Validators, NoTwoOfASetHaveOneKey) {
  Town town;
  const PublicKey second = nobody(70);
  town.must(Rotate{.account = ada, .key = second});
  town.must(Rotate{.account = bob, .key = second});  // Neither is a validator yet.
  town.next();
  const SetValidators both{.account = ada, .from_height = 6, .validators = seats({{ada, 1}, {bob, 1}})};
  EXPECT_EQ(town.attempt_next(both), "key-taken");
  EXPECT_EQ(town.attempt_next(Rotate{.account = town.founder(), .key = second}), "taken");
  EXPECT_EQ(town.attempt_next(
                SetValidators{.account = ada, .from_height = 6, .validators = seats({{town.founder(), 1}, {bob, 1}})}),
            "key-taken");
  town.must(Rotate{.account = bob, .key = nobody(71)});
  EXPECT_EQ(town.attempt_next(both), "key-taken") << "the founder is to vote by it before them";
  town.must(Rotate{.account = ada, .key = nobody(73)});
  town.next();
  town.must(both);
  town.next();
  EXPECT_EQ(town.attempt_next(Rotate{.account = bob, .key = second}), "key-taken");
  EXPECT_EQ(town.attempt_next(Rotate{.account = bob, .key = nobody(72)}), "taken");
  town.next();
}

TEST(Validators, GoWithTheirCredential) {
  const std::vector<Role> roles{Role::validator};
  const auto losses = std::vector<std::variant<Revoke, Admit>>{
      Revoke{.account = ada, .node = bob}, Admit{.account = ada, .node = bob, .roles = {Role::member}},
      Admit{.account = ada, .node = bob, .roles = roles, .expires_height = 1'000}};
  for (const auto& loss : losses) {
    Town town;
    town.must(SetValidators{.account = ada, .from_height = 4, .validators = seats({{town.founder(), 1}, {bob, 1}})});
    town.must(SetValidators{.account = ada, .from_height = 9, .validators = seats({{ada, 1}, {bob, 1}})});
    town.next();
    const Frame& frame = town.ledger().state().frame;
    EXPECT_EQ(frame.scheduled.size(), 2U) << "what takes over with the height after the next stays";
    town.pass(2);
    EXPECT_EQ(town.account(bob).at_stake, 100U);
    EXPECT_NE(frame.validators.find(bob), nullptr);
    std::visit([&](const auto& one) { town.must(one); }, loss);
    town.next();  // Height 5.
    EXPECT_NE(frame.validators_at(6).find(bob), nullptr);
    EXPECT_EQ(frame.validators_at(7).find(bob), nullptr);
    EXPECT_NE(frame.validators_at(7).find(town.founder()), nullptr);
    EXPECT_EQ(frame.validators_at(9).find(bob), nullptr);
    EXPECT_EQ(town.attempt_next(Unbond{.account = bob, .amount = 1'000}), "bond-at-stake");
    town.pass(2);  // Height 7.
    EXPECT_EQ(town.account(bob).at_stake, 0U);
    EXPECT_EQ(town.attempt_next(Unbond{.account = bob, .amount = 1'000}), "taken");
  }
}

TEST(Validators, TheLastOneStays) {
  Town town;
  const AccountId founder = town.founder();
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = founder}), "last-validator");
  EXPECT_EQ(town.attempt_next(Admit{.account = ada, .node = founder, .roles = {Role::steward}}), "last-validator");
  EXPECT_EQ(
      town.attempt_next(Admit{.account = ada, .node = founder, .roles = {Role::validator}, .expires_height = 1'000}),
      "last-validator");
  EXPECT_EQ(town.attempt_next(Admit{.account = ada, .node = founder, .roles = {Role::validator}}), "taken");
  // One who is alone in a set to come.
  town.must(SetValidators{.account = ada, .from_height = 9, .validators = {{bob, 1}}});
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = bob}), "last-validator");
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = founder}), "last-validator") << "until 9";
  town.must(SetValidators{.account = ada, .from_height = 4, .validators = seats({{ada, 1}, {founder, 1}})});
  EXPECT_EQ(town.attempt_next(Revoke{.account = ada, .node = founder}), "taken");
  town.next();
  EXPECT_EQ(town.ledger().state().frame.validators_at(4).validators.size(), 1U);
}

// ---- keys, evidence

TEST(Rotate, TheOldKeyNoLongerCounts) {
  Town town;
  const PublicKey second = nobody(70);
  const PublicKey third = nobody(71);
  EXPECT_EQ(town.attempt_next(Rotate{.account = dan, .key = dan}), "key-unchanged");
  EXPECT_EQ(town.attempt_signed(Rotate{.account = dan, .key = second}, second), "wrong-key");
  town.must(Rotate{.account = dan, .key = second});
  const Transfer transfer{.account = dan, .sequence = 1, .to = eve, .amount = 1};
  EXPECT_EQ(town.attempt_signed(transfer, dan), "key-rotated") << "in the same block";
  EXPECT_EQ(town.attempt_signed(transfer, third), "key-rotated");
  EXPECT_EQ(town.attempt_signed(transfer, second), "taken");
  town.next();
  EXPECT_EQ(town.account(dan).key, second);
  EXPECT_EQ(town.attempt_signed(Transfer{.account = dan, .sequence = 2, .to = eve, .amount = 1}, dan), "key-rotated");
  EXPECT_EQ(town.attempt_signed(Rotate{.account = dan, .sequence = 2, .key = third}, second), "taken");
  town.next();
  EXPECT_EQ(town.attempt_signed(Transfer{.account = dan, .sequence = 3, .to = eve, .amount = 1}, second),
            "key-rotated");
  EXPECT_EQ(town.attempt_signed(Transfer{.account = dan, .sequence = 3, .to = eve, .amount = 1}, third), "taken");
}

TEST(Rotate, KeepsTheCredential) {
  Town town;
  town.must(Rotate{.account = ada, .key = nobody(70)});
  town.next();
  EXPECT_EQ(town.attempt(Grant{.account = ada, .sequence = 2, .to = eve, .amount = 1}), "taken");
}

Evidence conflict_of(const AccountId& account, const PublicKey& first, const PublicKey& second,
                     std::uint64_t sequence = 40) {
  return {.account = cyd,
          .first = unsigned_envelope(Bond{.account = account, .sequence = sequence, .amount = 1}, first),
          .second = unsigned_envelope(Bond{.account = account, .sequence = sequence, .amount = 2}, second)};
}

TEST(Evidence, IsKeptOnce) {
  Town town;
  EXPECT_EQ(town.attempt_next(conflict_of(eve, eve, eve)), "unknown-account");
  EXPECT_EQ(town.attempt_next(conflict_of(dan, dan, bob)), "wrong-key");
  Evidence evidence = conflict_of(dan, dan, dan);
  town.must(evidence);
  std::swap(evidence.first, evidence.second);
  EXPECT_EQ(town.attempt_next(evidence), "evidence-repeated");
  EXPECT_EQ(town.attempt_next(conflict_of(dan, dan, dan, 41)), "evidence-repeated")
      << "the first about an account is enough";
  town.next();
  const Conflict* kept = town.ledger().state().tables.conflicts.find(dan);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->sequence, 40U);
  EXPECT_LT(kept->first, kept->second);
  EXPECT_EQ(kept->reporter, cyd);
  EXPECT_EQ(kept->height, 2U);
  town.must(Rotate{.account = bob, .key = nobody(70)});
}

TEST(Evidence, IsNotEvadedByRotating) {
  Town town;
  const auto rotate = [&](std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t i = from; i <= to; ++i) {
      town.must(Rotate{.account = bob, .key = nobody(70 + i)});
      town.next();
    }
  };
  rotate(1, 1);
  EXPECT_EQ(town.attempt_next(conflict_of(bob, bob, nobody(99))), "wrong-key");
  EXPECT_EQ(town.attempt_next(conflict_of(bob, nobody(99), nobody(71))), "wrong-key");
  rotate(2, 4);
  EXPECT_EQ(town.account(bob).former, (std::vector<PublicKey>{bob, nobody(71), nobody(72), nobody(73)}));
  rotate(5, 5);
  EXPECT_EQ(town.account(bob).former, (std::vector<PublicKey>{nobody(71), nobody(72), nobody(73), nobody(74)}));
  EXPECT_EQ(town.attempt_next(conflict_of(bob, bob, bob)), "wrong-key") << "five keys ago";
  town.must(Rotate{.account = bob, .key = nobody(72)});
  town.next();
  EXPECT_EQ(town.account(bob).former, (std::vector<PublicKey>{nobody(71), nobody(73), nobody(74), nobody(75)}))
      << "the current one is no former one";
  // The number is one that is final: bob has made more than those.
  EXPECT_EQ(town.attempt_next(conflict_of(bob, nobody(71), nobody(72), 1)), "taken") << "by two of his keys";
}

/// Two votes, or proposals, of one key for one height and round.
Evidence said_twice(const PublicKey& key, std::uint64_t height, EvidenceKind kind = EvidenceKind::votes,
                    std::uint32_t round = 0) {
  return {.account = cyd,
          .kind = kind,
          .first = said_by(kind, key, height, round, sha256(as_bytes("one"))),
          .second = said_by(kind, key, height, round, sha256(as_bytes("other")))};
}

/// A town of three validators, at height 4: the founder, ada and bob.
class Offences : public testing::Test {
 protected:
  Offences() : founder(town.founder()) {
    town.must(SetValidators{.account = ada, .from_height = 4, .validators = seats({{founder, 1}, {ada, 1}, {bob, 1}})});
    town.next();
    town.pass(2);
    EXPECT_EQ(frame().height, 4U);
  }
  [[nodiscard]] const Frame& frame() const { return town.ledger().state().frame; }
  [[nodiscard]] const Tables<MerkleMap>& tables() const { return town.ledger().state().tables; }

  Town town;
  AccountId founder;
};

TEST_F(Offences, CostTheStakeAndTheSeat) {
  town.must(SetValidators{.account = ada, .from_height = 20, .validators = seats({{founder, 1}, {bob, 2}})});
  const std::uint64_t treasury = frame().totals.treasury;
  town.must(said_twice(bob, 4));
  EXPECT_EQ(town.attempt_next(Unbond{.account = bob, .amount = 900}), "taken") << "nothing else is at stake";
  town.next();  // Height 5.
  EXPECT_EQ(town.account(bob).bonded, 0U);
  EXPECT_EQ(town.account(bob).at_stake, 0U);
  EXPECT_EQ(frame().totals.treasury, treasury + 100);
  ASSERT_NE(tables().offences.find(bob), nullptr);
  EXPECT_EQ(*tables().offences.find(bob), (Offence{.account = bob,
                                                   .kind = EvidenceKind::votes,
                                                   .signed_by = bob,
                                                   .height = 4,
                                                   .until_height = 7,
                                                   .taken = 100,
                                                   .reporter = cyd}));
  EXPECT_NE(frame().validators_at(6).find(bob), nullptr) << "it was told, so it stays";
  EXPECT_EQ(frame().validators_at(7).find(bob), nullptr);
  EXPECT_NE(frame().validators_at(7).find(ada), nullptr);
  EXPECT_EQ(frame().validators_at(20).find(bob), nullptr);
  EXPECT_TRUE(tables().members.find(bob)->has(Role::validator)) << "its credential is the stewards' to take";
  EXPECT_EQ(town.account(ada).at_stake, 100U);
  town.pass(3);
  EXPECT_EQ(frame().validators.find(bob), nullptr);
}

TEST_F(Offences, ArePunishedOnce) {
  town.must(said_twice(bob, 4));
  EXPECT_EQ(town.attempt_next(said_twice(bob, 4)), "evidence-repeated") << "in the same block";
  town.next();  // Height 5.
  Evidence again = said_twice(bob, 4);
  std::swap(again.first, again.second);
  EXPECT_EQ(town.attempt_next(again), "evidence-repeated");
  EXPECT_EQ(town.attempt_next(said_twice(bob, 4, EvidenceKind::proposals, 3)), "evidence-repeated");
  town.next();  // Height 6.
  EXPECT_EQ(town.attempt_next(said_twice(bob, 6)), "evidence-repeated") << "the last height at which it has a seat";
  EXPECT_EQ(town.account(bob).bonded, 900U);
  town.next();  // Height 7.
  EXPECT_EQ(town.attempt_next(said_twice(bob, 7)), "not-a-validator");
}

TEST_F(Offences, OfWhoIsNamedAgainCostAgain) {
  const SetValidators back{.account = ada, .from_height = 9, .validators = seats({{founder, 1}, {bob, 1}})};
  town.must(said_twice(bob, 4, EvidenceKind::proposals));
  EXPECT_EQ(town.attempt_next(back), "validator-convicted");
  town.next();  // Height 5.
  EXPECT_EQ(town.attempt_next(back), "validator-convicted");
  town.next();  // Height 6.
  town.must(back);
  town.next();  // Height 7.
  EXPECT_EQ(town.account(bob).at_stake, 100U);
  town.pass(2);  // Height 9.
  EXPECT_EQ(town.attempt_next(said_twice(bob, 4)), "evidence-repeated");
  town.must(said_twice(bob, 9));
  town.next();
  EXPECT_EQ(town.account(bob).bonded, 800U);
  EXPECT_EQ(tables().offences.find(bob)->height, 9U);
}

TEST_F(Offences, CostWhoHasTakenItsBondOut) {
  // Bob leaves his seat and takes all out; while it is on its way it can be had.
  town.must(SetValidators{.account = ada, .from_height = 7, .validators = seats({{founder, 1}, {ada, 1}})});
  town.next();  // Height 5.
  town.pass(2);  // Height 7.
  town.must(Unbond{.account = bob, .amount = 1'000});
  town.must(said_twice(bob, 6));
  EXPECT_EQ(town.attempt_next(said_twice(bob, 7)), "not-a-validator") << "the first height without it";
  town.next();  // Height 8.
  EXPECT_EQ(tables().offences.find(bob)->taken, 100U);
  ASSERT_EQ(town.account(bob).unbonding.size(), 1U);
  EXPECT_EQ(town.account(bob).unbonding[0].amount, 900U);
}

TEST_F(Offences, AreForgottenWithTheBondBehindThem) {
  town.must(SetValidators{.account = ada, .from_height = 7, .validators = seats({{founder, 1}, {ada, 1}})});
  town.pass(3);  // Height 7, after which 3 ms are to pass.
  ASSERT_NE(tables().voters.find(bob), nullptr);
  EXPECT_EQ(tables().voters.find(bob)->until_height, 7U);
  town.pass(2);
  ASSERT_NE(tables().voters.find(bob), nullptr);
  town.pass(3);
  EXPECT_EQ(tables().voters.find(bob), nullptr);
  EXPECT_EQ(town.attempt_next(said_twice(bob, 6)), "not-a-validator");
}

TEST_F(Offences, AreByTheKeyOfTheirHeight) {
  const PublicKey second = nobody(70);
  town.must(Rotate{.account = bob, .key = second});
  town.next();  // Height 5; from 7 on bob votes by the second key.
  EXPECT_EQ(town.attempt_next(said_twice(second, 5)), "not-a-validator");
  town.pass(2);  // Height 7.
  EXPECT_EQ(town.attempt_next(said_twice(second, 6)), "not-a-validator") << "before its first height";
  EXPECT_EQ(town.attempt_next(said_twice(bob, 7)), "not-a-validator") << "after its last";
  EXPECT_EQ(town.attempt_next(Rotate{.account = ada, .key = bob}), "key-taken") << "nobody else gets it meanwhile";
  EXPECT_EQ(town.attempt_next(said_twice(bob, 6)), "taken");
  EXPECT_EQ(town.attempt_next(said_twice(second, 7)), "evidence-repeated") << "one account, one punishment";
  town.next();
  EXPECT_EQ(tables().offences.find(bob)->signed_by, bob);
}

TEST_F(Offences, AreRefusedByName) {
  EXPECT_EQ(town.attempt_next(said_twice(bob, 6)), "evidence-early") << "height 5 is being made";
  EXPECT_EQ(town.attempt_next(said_twice(bob, 5)), "taken");
  EXPECT_EQ(town.attempt_next(said_twice(ada, 3)), "not-a-validator") << "it has its seat from 4 on";
  EXPECT_EQ(town.attempt_next(said_twice(cyd, 4)), "not-a-validator");
  EXPECT_EQ(town.attempt_next(said_twice(nobody(99), 4)), "not-a-validator");
  EXPECT_EQ(town.attempt_next(said_twice(ada, 4)), "taken");
  EXPECT_EQ(town.attempt_next(said_twice(founder, 4)), "last-validator");
  town.next();
  EXPECT_EQ(town.account(founder).at_stake, 100U) << "it stays what it was";
  EXPECT_EQ(tables().offences.find(founder), nullptr);
}

TEST(Offence, OfLongAgoIsRefusedByName) {
  const AccountId liar = person(1).id;
  const AccountId reporter = person(2).id;
  const Genesis genesis =
      genesis_of({{.account = liar, .credits = 1, .bonded = 1'000'000, .power = 1, .roles = {Role::validator}},
                  {.account = reporter, .bonded = 1'000'000, .power = 1, .roles = {Role::validator, Role::steward}}},
                 without_costs());
  Result<State> state = found(charter_of("town", Cid::of(Multicodec::dag_cbor, {}), genesis), genesis);
  ASSERT_TRUE(state.has_value()) << state.error().message;
  // As if so many blocks had been made: nothing is asked of them.
  state->frame.height = max_offence_age + 1;
  const auto attempt = [&](std::uint64_t height) {
    Evidence evidence = said_twice(liar, height);
    evidence.account = reporter;
    Execution execution(*state, {.proposer = reporter, .time_ms = 2'000'000}, {});
    const Status done = execution.apply(as_signed(evidence, reporter));
    return done ? "taken" : done.error().message.substr(0, done.error().message.find(':'));
  };
  EXPECT_EQ(attempt(1), "evidence-too-old");
  EXPECT_EQ(attempt(2), "taken");
}

TEST_F(Offences, TakeTheStakeBeforeWhatIsOnItsWay) {
  EXPECT_EQ(town.account(bob).at_stake, 100U);
  town.must(Unbond{.account = bob, .amount = 900});
  town.must(said_twice(bob, 4));
  town.next();
  EXPECT_EQ(town.account(bob).bonded, 0U);
  EXPECT_EQ(town.account(bob).unbonding[0].amount, 900U) << "the stake was enough";
}

// ---- blocks

/// Two founders with keys, signed transactions.
class Blocks : public testing::Test {
 protected:
  Blocks()
      : genesis(genesis_of({{.account = ann.id,
                             .credits = 1'000,
                             .bonded = 1'000'000,
                             .power = 1,
                             .roles = {Role::validator, Role::steward}},
                            {.account = ben.id, .credits = 1'000, .bonded = 2'000'000, .roles = {Role::member}}},
                           without_costs())),
        ledger(found_on(genesis)) {}

  [[nodiscard]] identity::Signer signer(const Person& who) const { return {who.seed, ledger.federation()}; }
  [[nodiscard]] Opened transfer(const Person& from, std::uint64_t sequence, std::uint64_t amount) const {
    return sign(Transfer{.account = from.id, .sequence = sequence, .to = nobody(1), .amount = amount}, signer(from));
  }
  [[nodiscard]] Block block_of(const std::vector<Opened>& transactions) const {
    return ledger.propose(transactions, {.account = ann.id, .time_ms = 2'000'000})->block.block();
  }
  [[nodiscard]] std::string refusal(Block block, std::optional<std::uint64_t> now_ms = 2'000'000) const {
    block.header.transactions = dagcbor::cid_of(record::encode(block.list));
    const Result<OpenedBlock> opened = OpenedBlock::open(std::move(block), ledger.federation());
    if (!opened) return opened.error().message;
    const Result<Draft> draft = ledger.execute(*opened, now_ms);
    return draft ? "taken" : draft.error().message;
  }
  [[nodiscard]] std::string name_of_refusal(Block block, std::optional<std::uint64_t> now_ms = 2'000'000) const {
    const std::string text = refusal(std::move(block), now_ms);
    return text.substr(0, text.find(':'));
  }

  Person ann = person(1);
  Person ben = person(2);
  Genesis genesis;
  Ledger ledger;
};

TEST_F(Blocks, AreTakenAsAWholeOrNotAtAll) {
  const Block good = block_of({transfer(ann, 0, 1), transfer(ben, 0, 2), transfer(ann, 1, 3)});
  EXPECT_EQ(refusal(good), "taken");
  const Digest before = ledger.state_root();
  Block bad = good;
  bad.list.transactions[1] = transfer(ben, 0, 1'001)->envelope;
  EXPECT_EQ(refusal(bad), "overdraft: the balance of 1000 is less than the 1001 asked for (transaction 1)");
  bad = good;
  std::swap(bad.list.transactions[0], bad.list.transactions[2]);
  EXPECT_EQ(refusal(bad), "sequence-gap: the account's next is 0, not 1 (transaction 0)");
  bad = good;
  bad.list.transactions.push_back(good.list.transactions[0]);
  EXPECT_EQ(refusal(bad), "sequence-repeated: the account's next is 2, not 0 (transaction 3)");
  bad = good;
  bad.list.transactions[2] =
      sign(Bond{.account = ann.id, .sequence = 1, .amount = 1}, identity::Signer(ann.seed, Cid{}))->envelope;
  EXPECT_EQ(refusal(bad),
            "bad-signature: a signature is not the key's over this \"bond\" in this federation (transaction 2)");
  bad = good;
  bad.list.transactions[2].pop_back();
  EXPECT_EQ(name_of_refusal(bad), "malformed");
  EXPECT_EQ(ledger.state_root(), before);
  EXPECT_EQ(ledger.height(), 0U);
}

TEST_F(Blocks, HeadersAreChecked) {
  const Block good = block_of({transfer(ann, 0, 1)});
  Block bad = good;
  bad.header.state_root.data()[0] ^= 1;
  EXPECT_EQ(name_of_refusal(bad), "wrong-state-root");
  bad = good;
  bad.header.height = 2;
  EXPECT_EQ(name_of_refusal(bad), "wrong-height");
  bad.header.height = 0;
  EXPECT_EQ(name_of_refusal(bad), "wrong-height");
  bad = good;
  bad.header.parents = {};
  EXPECT_EQ(name_of_refusal(bad), "wrong-parent");
  bad.header.parents = {dagcbor::cid_of(as_bytes("elsewhere"))};
  EXPECT_EQ(name_of_refusal(bad), "wrong-parent");
  bad.header.parents = {good.header.parents[0], good.header.parents[0]};
  EXPECT_EQ(name_of_refusal(bad), "wrong-parent");
  bad = good;
  bad.header.proposer = ben.id;
  EXPECT_EQ(name_of_refusal(bad), "not-a-validator");
  bad = good;
  bad.header.time_ms = genesis.time_ms - 1;
  EXPECT_EQ(name_of_refusal(bad), "time-backwards");
  // A block of another federation with the same founders does not follow the charter of this one.
  const Ledger other = found_on(genesis, "other-town");
  EXPECT_NE(other.federation(), ledger.federation());
  const Block foreign = other.propose({}, {.account = ann.id, .time_ms = 2'000'000})->block.block();
  EXPECT_EQ(name_of_refusal(foreign), "wrong-parent");
  EXPECT_EQ(refusal(good), "taken");
}

TEST_F(Blocks, TimeRunsForwardsAndNotAhead) {
  const Block block = block_of({transfer(ann, 0, 1)});
  const std::uint64_t ahead = genesis.parameters.max_time_ahead_ms;
  EXPECT_EQ(name_of_refusal(block, 2'000'000 - ahead), "taken");
  EXPECT_EQ(name_of_refusal(block, 2'000'000 - ahead - 1), "time-ahead");
  EXPECT_EQ(name_of_refusal(block, 2'000'000 + 86'400'000), "taken") << "one may be late";
  Block tomorrow = block;
  tomorrow.header.time_ms += 86'400'000;
  EXPECT_EQ(name_of_refusal(tomorrow), "time-ahead");
  EXPECT_EQ(name_of_refusal(tomorrow, std::nullopt), "wrong-state-root")
      << "what is final is not held against the clock";
}

TEST_F(Blocks, AreEmptyWhereThatIsOfUseAlone) {
  const auto empty = [&](std::uint64_t time_ms) {
    return *ledger.propose({}, {.account = ann.id, .time_ms = time_ms});
  };
  const auto take = [&](Proposal proposal) {
    ASSERT_EQ(refusal(proposal.block.block(), proposal.block.block().header.time_ms), "taken");
    ledger.commit(std::move(proposal.draft));
  };
  constexpr std::uint64_t start = 2'000'000;
  EXPECT_FALSE(empty(start).of_use);
  EXPECT_EQ(name_of_refusal(empty(start).block.block()), "empty-block");
  const Proposal without = *ledger.propose(std::vector{transfer(ann, 7, 1)}, {.account = ann.id, .time_ms = start});
  EXPECT_FALSE(without.of_use) << "what is refused is not in it";
  EXPECT_EQ(without.refused.size(), 1U);
  take(*ledger.propose(std::vector{sign(Unbond{.account = ben.id, .amount = 5}, signer(ben))},
                       {.account = ann.id, .time_ms = start}));
  const std::uint64_t due = start + genesis.parameters.lock_ms;
  EXPECT_EQ(ledger.next_due(), due);
  EXPECT_FALSE(empty(due - 1).of_use);
  EXPECT_EQ(name_of_refusal(empty(due - 1).block.block(), due), "empty-block");
  take(empty(due));
  EXPECT_EQ(ledger.account(ben.id)->balance, 1'000U);
  take(empty(due));
  EXPECT_EQ(ledger.account(ben.id)->balance, 1'005U);
  EXPECT_EQ(name_of_refusal(empty(due + 1).block.block(), due + 1), "empty-block") << "nothing is left";
}

TEST(Due, SoManyHappenInABlockAndNoMore) {
  // Each founder withdraws in each of five blocks, so that five times as many things are due as there are founders.
  std::vector<Founder> founders;
  for (std::uint64_t i = 0; i < max_founders; ++i)
    founders.push_back({.account = person(i).id, .bonded = 100, .roles = {Role::member}});
  founders[0].roles = {Role::validator, Role::steward};
  founders[0].power = 1;
  const AccountId proposer = founders[0].account;
  const Genesis genesis = genesis_of(founders, without_costs({.minimum_bond = 10, .lock_ms = 1'000}));
  Ledger ledger = found_on(genesis);
  const auto block = [&](std::uint64_t time_ms, const std::vector<Opened>& transactions) {
    Proposal proposal = *ledger.propose(transactions, {.account = proposer, .time_ms = time_ms});
    ASSERT_TRUE(proposal.refused.empty());
    ASSERT_TRUE(proposal.of_use);
    ledger.commit(std::move(proposal.draft));
    EXPECT_EQ(broken_invariant(ledger.state()), "");
  };
  const std::uint64_t start = genesis.time_ms;
  for (std::uint64_t i = 0; i < 5; ++i) {
    std::vector<Opened> all;
    for (const Founder& one : founders)
      all.push_back(as_signed(Unbond{.account = one.account, .sequence = i, .amount = 1}, one.account));
    block(start + i, all);
  }
  EXPECT_EQ(ledger.state().due.size(), 5 * max_founders);
  block(start + 5'000, {});
  EXPECT_EQ(ledger.state().due.size(), 5 * max_founders);
  block(start + 5'000, {});
  EXPECT_EQ(ledger.state().due.size(), 5 * max_founders - max_due_of_block);
  EXPECT_EQ(ledger.next_due(), start + 4 + 1'000) << "the earliest went first";
  block(start + 5'000, {});
  EXPECT_EQ(ledger.next_due(), std::nullopt);
  EXPECT_EQ(ledger.state().frame.totals.unbonding, 0U);
}

TEST_F(Blocks, OfAHundredMegabytesAreRefusedUnread) {
  const Bytes huge(100U << 20U, 0x80);
  const Result<Block> read = decode_block(huge);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::exhausted);
  EXPECT_EQ(read.error().message.substr(0, 16), "block-too-large:");
  // And one that is a block in every other respect.
  Block block = block_of({});
  block.list.transactions.assign(100, Bytes(1U << 20U));
  EXPECT_EQ(decode_block(encode_block(block)).error().message.substr(0, 16), "block-too-large:");
  EXPECT_EQ(name_of_refusal(block), "block-too-large");
  block.list.transactions.assign(max_block_transactions + 1, Bytes{});
  EXPECT_EQ(name_of_refusal(block), "too-many-transactions");
}

TEST_F(Blocks, FitIntoWhatConsensusCarries) {
  constexpr std::size_t carried = std::size_t{4} << 20;  // Of adapters/consensus and crates/consensus.
  static_assert(max_full_block_bytes <= carried);
  // As many transactions and as many bytes as there may be, and every number in the header at its longest.
  Block block;
  block.header = {.height = most,
                  .parents = {ledger.federation()},
                  .time_ms = most,
                  .proposer = ann.id,
                  .state_root = ledger.state_root(),
                  .beacon = ledger.state_root()};
  block.list.transactions.assign(max_block_transactions, Bytes(max_block_bytes / max_block_transactions));
  block.list.transactions.back().resize(block.list.transactions.back().size() +
                                        max_block_bytes % max_block_transactions);
  block.header.transactions = dagcbor::cid_of(record::encode(block.list));
  const Bytes many = encode_block(block);
  EXPECT_LE(many.size(), carried);
  EXPECT_EQ(decode_block(many), block);
  const Bytes list = record::encode(block.list);
  EXPECT_GT(list.size(), dagcbor::record_limits.max_bytes) << "as a record among others it would be refused";
  EXPECT_EQ(decode_list(list), block.list);
  // Few that are as large as evidence may be.
  block.list.transactions.assign(max_block_bytes / max_evidence_bytes, Bytes(max_evidence_bytes));
  block.header.transactions = dagcbor::cid_of(record::encode(block.list));
  EXPECT_LE(encode_block(block).size(), carried);
  EXPECT_EQ(decode_block(encode_block(block)), block);
  block.list.transactions.emplace_back(max_evidence_bytes);
  EXPECT_EQ(decode_list(record::encode(block.list)).error().message.substr(0, 16), "block-too-large:");
  EXPECT_EQ(decode_list(Bytes(max_full_block_bytes + 1)).error().message.substr(0, 16), "block-too-large:");
  EXPECT_EQ(decode_list(to_bytes("\xa0")).error().message.substr(0, 10), "malformed:");
}

TEST_F(Blocks, AreReadStrictly) {
  const Block block = block_of({transfer(ann, 0, 1), transfer(ben, 0, 2)});
  const Bytes bytes = encode_block(block);
  EXPECT_EQ(decode_block(bytes), block);
  for (std::size_t size = 0; size < bytes.size(); size += 7)
    EXPECT_FALSE(decode_block(ByteView(bytes).first(size)).has_value());
  Block other = block;
  other.list.transactions.pop_back();
  EXPECT_EQ(decode_block(encode_block(other)).error().message.substr(0, 19), "wrong-transactions:");
  EXPECT_EQ(OpenedBlock::join(block, {}).error().message.substr(0, 19), "wrong-transactions:");
  EXPECT_EQ(OpenedBlock::join(block, {transfer(ben, 0, 2), transfer(ann, 0, 1)}).error().message.substr(0, 19),
            "wrong-transactions:");
  EXPECT_TRUE(OpenedBlock::join(block, {transfer(ann, 0, 1), transfer(ben, 0, 2)}).has_value());
}

TEST_F(Blocks, AProposalLeavesOutWhatIsRefused) {
  const std::vector<Opened> offered{transfer(ann, 0, 1), transfer(ann, 0, 2), transfer(ben, 1, 1),
                                    transfer(ben, 0, 5'000), transfer(ann, 1, 1)};
  const Result<Proposal> proposal = ledger.propose(offered, {.account = ann.id, .time_ms = 2'000'000});
  ASSERT_TRUE(proposal.has_value());
  EXPECT_EQ(proposal->block.transactions().size(), 2U);
  EXPECT_EQ(proposal->considered, 5U);
  ASSERT_EQ(proposal->refused.size(), 3U);
  EXPECT_EQ(proposal->refused[0].index, 1U);
  EXPECT_EQ(proposal->refused[2].index, 3U);
  EXPECT_EQ(proposal->refused[2].error.message.substr(0, 10), "overdraft:");
  EXPECT_EQ(refusal(proposal->block.block()), "taken");
  const Result<Proposal> late = ledger.propose(offered, {.account = ann.id, .time_ms = 1});
  ASSERT_TRUE(late.has_value());
  EXPECT_EQ(late->block.block().header.time_ms, genesis.time_ms) << "whose clock is behind takes the parent's time";
  EXPECT_EQ(refusal(late->block.block()), "taken");
}

TEST_F(Blocks, AProposalEndsWhereTheBlockIsFull) {
  std::vector<Opened> offered;
  const AccountId from = ann.id;
  for (std::uint64_t i = 0; i < max_block_transactions + 5; ++i)
    offered.push_back(as_signed(Transfer{.account = from, .sequence = i, .to = from, .amount = 1}, from));
  const Result<Proposal> proposal = ledger.propose(offered, {.account = ann.id, .time_ms = 2'000'000});
  EXPECT_EQ(proposal->considered, max_block_transactions);
  EXPECT_TRUE(proposal->refused.empty());
  EXPECT_TRUE(decode_block(encode_block(proposal->block.block())).has_value());
  // By its bytes before it is by its number.
  offered.clear();
  const std::string memo(128, 'a');
  for (std::uint64_t i = 0; i < max_block_transactions; ++i)
    offered.push_back(as_signed(Transfer{.account = from, .sequence = i, .to = from, .amount = 1, .memo = memo}, from));
  const Result<Proposal> wordy = ledger.propose(offered, {.account = ann.id, .time_ms = 2'000'000});
  EXPECT_LT(wordy->considered, offered.size());
  EXPECT_GT((wordy->considered + 1) * offered.back()->envelope.size(), max_block_bytes);
  EXPECT_TRUE(decode_block(encode_block(wordy->block.block())).has_value());
}

TEST_F(Blocks, SeveralDraftsFromOneBase) {
  const Block one = block_of({transfer(ann, 0, 1)});
  const Block two = block_of({transfer(ann, 0, 2), transfer(ben, 0, 3)});
  const auto draft = [&](const Block& block) {
    return *ledger.execute(*OpenedBlock::open(block, ledger.federation()), std::nullopt);
  };
  const Digest before = ledger.state_root();
  const Draft first = draft(one);
  Draft second = draft(two);
  const Draft third = draft(one);
  EXPECT_EQ(first.state_root, third.state_root);
  EXPECT_EQ(ledger.state_root(), before);
  EXPECT_EQ(ledger.account(nobody(1)), nullptr);
  ledger.commit(std::move(second));
  EXPECT_EQ(ledger.state_root(), two.header.state_root);
  EXPECT_EQ(ledger.account(nobody(1))->balance, 5U);
  EXPECT_EQ(ledger.state().frame.last_block, two.cid());
  EXPECT_EQ(name_of_refusal(one), "wrong-height");
}

TEST_F(Blocks, TwoNodesAgree) {
  Ledger other = found_on(genesis, "town", sha256(as_bytes("another node's")));
  std::uint64_t sequence = 0;
  for (std::uint64_t height = 1; height <= 20; ++height) {
    std::vector<Opened> transactions;
    for (int i = 0; i < 5; ++i, ++sequence) {
      transactions.push_back(sign(
          Transfer{.account = ann.id, .sequence = sequence, .to = nobody(sequence % 7), .amount = 1}, signer(ann)));
    }
    Proposal proposal = *ledger.propose(transactions, {.account = ann.id, .time_ms = 2'000'000 + height});
    const Bytes bytes = encode_block(proposal.block.block());
    ledger.commit(std::move(proposal.draft));
    const Result<OpenedBlock> received = OpenedBlock::open(*decode_block(bytes), other.federation());
    ASSERT_TRUE(received.has_value());
    Result<Draft> draft = other.execute(*received, 2'000'000);
    ASSERT_TRUE(draft.has_value()) << draft.error().message;
    other.commit(std::move(*draft));
    ASSERT_EQ(other.state_root(), ledger.state_root());
  }
  EXPECT_EQ(other.state().frame.last_block, ledger.state().frame.last_block);
}

// ---- the state, to the byte

TEST(Account, ItsDigestIsThatOfItsRecord) {
  Account account(nobody(1));
  const auto expect_same = [&] { EXPECT_EQ(account.digest(), sha256(record::encode(account.record()))); };
  expect_same();
  for (const std::uint64_t number :
       {std::uint64_t{1}, std::uint64_t{23}, std::uint64_t{24}, std::uint64_t{255}, std::uint64_t{256},
        std::uint64_t{65'535}, std::uint64_t{65'536}, std::uint64_t{1} << 32U, most}) {
    account.balance = number;
    account.bonded = number / 2;
    account.at_stake = number / 3;
    account.sequence = number - 1;
    expect_same();
  }
  account.rotate_to(nobody(2));
  expect_same();
  account.rotate_to(nobody(1));
  expect_same();
  for (std::uint64_t i = 2; i < 9; ++i) account.rotate_to(nobody(i));
  expect_same();
  for (std::uint64_t i = 0; i < max_unbonding_of_account; ++i) account.add_unbonding({most, most - i});
  expect_same();
  const Account copy = account;
  EXPECT_EQ(copy.record(), account.record());
  EXPECT_EQ(record::decode<AccountRecord>(record::encode(account.record())), account.record());
  account.rotate_to(nobody(1));
  std::uint64_t sum = 0;  // Modulo 2^64, which no ledger reaches.
  for (std::uint64_t i = 0; i < max_unbonding_of_account; ++i) sum += most;
  EXPECT_EQ(account.release_unbonding(most), sum);
  expect_same();
  EXPECT_EQ(copy.unbonding().size(), max_unbonding_of_account);
}

TEST(EntryProof, ShowsABalanceToWhoHasTheStateRoot) {
  Town town;
  town.must(Transfer{.account = dan, .to = eve, .amount = 5});
  town.next();
  const Digest root = town.ledger().state_root();
  const auto check = [&](const AccountId& id, const EntryProof& proof) {
    return check_entry(root, Account::table, id.view(), proof);
  };
  const EntryProof proof = *record::decode<EntryProof>(record::encode(town.ledger().prove_account(eve)));
  const Result<std::optional<Bytes>> entry = check(eve, proof);
  ASSERT_TRUE(entry.has_value()) << entry.error().message;
  EXPECT_EQ(record::decode<AccountRecord>(**entry)->balance, 5U);
  const Result<std::optional<Bytes>> none = check(nobody(99), town.ledger().prove_account(nobody(99)));
  ASSERT_TRUE(none.has_value()) << none.error().message;
  EXPECT_FALSE(none->has_value());
  // About somebody else, of another balance, of another state, of another table, that there is none.
  EXPECT_FALSE(check(dan, proof).has_value());
  EntryProof forged = proof;
  forged.entry = record::encode(AccountRecord{.id = eve, .balance = 5'000});
  EXPECT_FALSE(check(eve, forged).has_value());
  forged = proof;
  forged.entry.reset();
  EXPECT_FALSE(check(eve, forged).has_value());
  forged = proof;
  forged.summary[20] ^= 1;
  EXPECT_FALSE(check(eve, forged).has_value());
  forged = proof;
  forged.table = "members";
  EXPECT_FALSE(check(eve, forged).has_value());
  EXPECT_FALSE(check_entry(root, "members", eve.view(), forged).has_value());
  forged.table = "escrow";
  EXPECT_FALSE(check_entry(root, "escrow", eve.view(), forged).has_value());
  town.must(Transfer{.account = dan, .to = eve, .amount = 1});
  town.next();
  EXPECT_FALSE(check_entry(town.ledger().state_root(), Account::table, eve.view(), proof).has_value());
}

// ---- the genesis

TEST(Genesis, FoundsWhatItSays) {
  const Person ann = person(1);
  const Genesis genesis =
      genesis_of({{.account = ann.id,
                   .credits = 5,
                   .bonded = 2'000'000,
                   .weight = 700,
                   .power = 9,
                   .roles = {Role::validator, Role::steward}},
                  {.account = person(2).id, .credits = 7, .roles = {Role::member}, .owner = "did"}});
  const Ledger ledger = found_on(genesis);
  EXPECT_EQ(ledger.height(), 0U);
  EXPECT_EQ(ledger.state().frame.totals, (Totals{.supply = 2'000'012, .balances = 12, .bonded = 2'000'000}));
  EXPECT_EQ(ledger.account(ann.id)->at_stake, 1'000'000U);
  EXPECT_EQ(ledger.member(ann.id)->weight, 700U);
  EXPECT_EQ(ledger.state().frame.validators_at(1).find(ann.id)->power, 9U);
  EXPECT_EQ(ledger.state().frame.last_block, ledger.federation());
  EXPECT_EQ(record::decode<Genesis>(record::encode(genesis)), genesis);
  EXPECT_EQ(broken_invariant(ledger.state()), "");
}

TEST(Genesis, IsRefusedByName) {
  const Person ann = person(1);
  const Founder founder{
      .account = ann.id, .credits = 5, .bonded = 1'000'000, .power = 1, .roles = {Role::validator, Role::steward}};
  const auto refusal = [](const Genesis& genesis) {
    const Result<Ledger> ledger =
        Ledger::found(charter_of("town", Cid::of(Multicodec::dag_cbor, {}), genesis), genesis, {});
    return ledger ? "taken" : ledger.error().message.substr(0, ledger.error().message.find(':'));
  };
  const auto of = [&](auto change) {
    Founder other = founder;
    change(other);
    return refusal(genesis_of({other}));
  };
  EXPECT_EQ(refusal(genesis_of({founder})), "taken");
  EXPECT_EQ(refusal(genesis_of({})), "bad-founder-count");
  EXPECT_EQ(refusal(genesis_of({founder, founder})), "founders-unordered");
  EXPECT_EQ(of([](Founder& one) { one.account = {}; }), "bad-key");
  EXPECT_EQ(of([](Founder& one) { one.roles = {}; }), "bad-roles");
  EXPECT_EQ(of([](Founder& one) { one.roles = {Role::steward, Role::validator}; }), "bad-roles");
  EXPECT_EQ(of([](Founder& one) { one.owner = ""; }), "bad-owner");
  EXPECT_EQ(of([](Founder& one) { one.weight = 1'001; }), "bad-weight");
  EXPECT_EQ(of([](Founder& one) { one.bonded = 999'999; }), "bond-too-small");
  EXPECT_EQ(of([](Founder& one) { one.bonded = 0; }), "bond-too-small");
  EXPECT_EQ(of([](Founder& one) { one.roles = {Role::steward}; }), "role-missing");
  EXPECT_EQ(of([](Founder& one) { one.roles = {Role::validator}; }), "no-steward");
  EXPECT_EQ(of([](Founder& one) { one.power = 0; }), "bad-validator-count");
  EXPECT_EQ(of([](Founder& one) { one.power = max_power + 1; }), "power-overflow");
  EXPECT_EQ(of([](Founder& one) { one.credits = most; }), "overflow");
  EXPECT_EQ(of([](Founder& one) { one.credits = most - 1'000'000; }), "taken");
  Genesis genesis = genesis_of({founder});
  genesis.treasury = most;
  EXPECT_EQ(refusal(genesis), "overflow");
  genesis = genesis_of({founder}, {.lock_ms = 0});
  EXPECT_EQ(refusal(genesis), "bad-parameters");
  genesis = genesis_of({founder});
  identity::Charter charter = charter_of("town", {}, genesis);
  genesis.time_ms += 1;
  EXPECT_EQ(Ledger::found(charter, genesis, {}).error().message.substr(0, 17), "wrong-federation:");
  charter.ledger.reset();
  EXPECT_EQ(Ledger::found(charter, genesis, {}).error().message.substr(0, 17), "wrong-federation:");
  charter = charter_of("town", {}, genesis);
  charter.founders.push_back(person(2).id);
  EXPECT_EQ(Ledger::found(charter, genesis, {}).error().message.substr(0, 15), "wrong-founders:");
  charter = charter_of("No Town", {}, genesis);
  EXPECT_FALSE(Ledger::found(charter, genesis, {}).has_value());
}

}  // namespace
}  // namespace mesh::ledger
