#include "app/runtime/founding.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "adapters/store/chain_store.h"
#include "adapters/store/temporary_folder.h"
#include "app/runtime/beacon_chain.h"

namespace mesh::app {
namespace {

Seed seed_of(std::uint64_t number) { return Seed::from(sha256(big_endian(number)).view()).value(); }
NodeId node_of(std::uint64_t number) { return public_key_of(seed_of(number)); }

FoundingPlan plan_of(std::string name = "town") {
  FoundingPlan plan;
  plan.name = std::move(name);
  plan.founder = node_of(1);
  plan.others = {node_of(2), node_of(3)};
  plan.time_ms = 1'000;
  return plan;
}

TEST(Founding, MakesALedgerInWhichAllFoundersValidate) {
  const auto founding = found(plan_of());
  ASSERT_TRUE(founding) << founding.error().message;
  const auto ledger = ledger::Ledger::found(founding->charter, founding->genesis, {});
  ASSERT_TRUE(ledger);
  EXPECT_EQ(ledger->federation(), federation_of(*founding));
  for (std::uint64_t number = 1; number <= 3; ++number) {
    EXPECT_EQ(ledger->account(node_of(number))->balance, plan_of().credits);
    EXPECT_TRUE(ledger->member(node_of(number))->has(ledger::Role::validator));
  }
  EXPECT_NE(federation_of(*founding), federation_of(*found(plan_of("other"))));
}

TEST(Founding, RefusesPlansThatDoNotFit) {
  FoundingPlan twice = plan_of();
  twice.others.push_back(twice.founder);
  EXPECT_EQ(found(twice).error().code, ErrorCode::invalid);
  EXPECT_FALSE(found(plan_of("Town")));
  EXPECT_FALSE(found(plan_of("")));
  FoundingPlan poor = plan_of();
  poor.bond = 0;
  EXPECT_FALSE(found(poor)) << "a validator without a bond";
  FoundingPlan rich = plan_of();
  rich.credits = ~std::uint64_t{0};
  EXPECT_FALSE(found(rich)) << "more than there can be";
  FoundingPlan crowd = plan_of();
  for (std::uint64_t number = 10; number < 80; ++number) crowd.others.push_back(node_of(number));
  EXPECT_FALSE(found(crowd)) << "more validators than there may be";
}

TEST(Founding, IsKeptInTheHomeAndNotReplaced) {
  const store::TemporaryFolder home;
  EXPECT_EQ(*load_founding(home.path()), std::nullopt);
  const auto founding = found(plan_of());
  ASSERT_TRUE(save_founding(home.path(), *founding));
  const auto loaded = load_founding(home.path());
  ASSERT_TRUE(loaded && *loaded);
  EXPECT_EQ(federation_of(**loaded), federation_of(*founding));
  EXPECT_EQ((*loaded)->genesis, founding->genesis);
  EXPECT_TRUE(save_founding(home.path(), *founding)) << "the same again";
  EXPECT_EQ(save_founding(home.path(), *found(plan_of("other"))).error().code, ErrorCode::conflict);
  struct stat about{};
  ASSERT_EQ(::stat((home.path() / "federation.cbor").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
}

TEST(Founding, ADamagedFileIsNamed) {
  const store::TemporaryFolder home;
  const auto file = home.path() / "federation.cbor";
  ASSERT_TRUE(save_founding(home.path(), *found(plan_of())));
  std::string text;
  {
    std::ifstream in(file, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  for (std::size_t at = 0; at < text.size(); at += 7) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    std::ofstream(file, std::ios::binary | std::ios::trunc) << damaged;
    const auto loaded = load_founding(home.path());
    // What the charter is called is nothing that a genesis could contradict: but then it is another federation.
    if (loaded) {
      EXPECT_NE(federation_of(**loaded), federation_of(*found(plan_of()))) << at;
    } else {
      EXPECT_EQ(loaded.error().code, ErrorCode::storage) << at;
    }
  }
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text.substr(0, text.size() / 2);
  EXPECT_FALSE(load_founding(home.path()));
  std::ofstream(file, std::ios::binary | std::ios::trunc) << std::string((1 << 20) + 1, 'a');
  EXPECT_FALSE(load_founding(home.path()));
}

/// A home whose node has founded a federation alone, and another one that it could come into.
class Leaving : public ::testing::Test {
 protected:
  static Founding alone(std::string name = "own", std::uint64_t founder = 1) {
    FoundingPlan plan = plan_of(std::move(name));
    plan.founder = node_of(founder);
    plan.others.clear();
    return *found(plan);
  }
  void SetUp() override { ASSERT_TRUE(save_founding(home_.path(), own_)); }
  [[nodiscard]] std::unique_ptr<store::ChainStore> open(const Founding& of) const {
    auto chain = store::ChainStore::open(chain_file(home_.path()), federation_of(of));
    EXPECT_TRUE(chain) << chain.error().message;
    return chain ? std::move(*chain) : nullptr;
  }
  Result<std::optional<Founding>> join() { return join_federation(home_.path(), other_, node_of(1)); }
  [[nodiscard]] Cid in_force() const {
    const auto founding = load_founding(home_.path());
    EXPECT_TRUE(founding && *founding);
    return founding && *founding ? federation_of(**founding) : Cid();
  }
  /// It cannot, for that reason, and nothing has changed.
  void stays(std::string_view why) {
    const auto joined = join();
    ASSERT_FALSE(joined);
    EXPECT_EQ(joined.error().code, ErrorCode::conflict);
    EXPECT_TRUE(joined.error().message.contains(why)) << joined.error().message;
    EXPECT_EQ(in_force(), federation_of(own_));
  }

  store::TemporaryFolder home_;
  Founding own_ = alone();
  Founding other_ = alone("other", 2);
};

TEST_F(Leaving, AFederationThatNeverBeganIsDropped) {
  const auto dropped = join();
  ASSERT_TRUE(dropped) << dropped.error().message;
  ASSERT_TRUE(*dropped);
  EXPECT_EQ(federation_of(**dropped), federation_of(own_));
  EXPECT_EQ(in_force(), federation_of(other_));
  const auto again = join();
  ASSERT_TRUE(again);
  EXPECT_FALSE(*again) << "it is there already";
}

TEST_F(Leaving, AnEmptyChainGoesWithIt) {
  open(own_).reset();
  ASSERT_TRUE(join());
  EXPECT_EQ(in_force(), federation_of(other_));
  EXPECT_FALSE(std::filesystem::exists(chain_file(home_.path())));
  EXPECT_NE(open(other_), nullptr) << "there is room for the other's chain";
}

TEST_F(Leaving, AHomeWithoutAFederationDropsNone) {
  const store::TemporaryFolder fresh;
  const auto joined = join_federation(fresh.path() / "home", other_, node_of(1));
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_FALSE(*joined);
  EXPECT_EQ(federation_of(**load_founding(fresh.path() / "home")), federation_of(other_));
}

TEST_F(Leaving, AChainWithAHistoryStays) {
  {
    const auto chain = open(own_);
    store::ChainWrite write;
    write.blocks.push_back({.height = 1, .certificate = Bytes{1}, .block = Bytes{2}});
    ASSERT_TRUE(chain->commit_and_wait(std::move(write)));
  }
  stays("its chain is at height 1, and joining chains that have a history is not built");
  EXPECT_EQ(*open(own_)->height(), 1U);
}

TEST_F(Leaving, WhoHasSignedForTheFirstBlockStays) {
  {
    const auto chain = open(own_);
    store::ChainWrite write;
    write.entries.emplace_back(1, Bytes{1});
    ASSERT_TRUE(chain->commit_and_wait(std::move(write)));
  }
  stays("this node has signed for the first block");
  EXPECT_EQ(open(own_)->log()->entries.size(), 1U);
}

TEST_F(Leaving, AHomeThatANodeRunsWithStays) {
  const auto chain = open(own_);
  const auto joined = join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().code, ErrorCode::conflict);
  EXPECT_TRUE(joined.error().message.contains("is in use")) << joined.error().message;
  EXPECT_EQ(in_force(), federation_of(own_));
}

TEST_F(Leaving, WhatOthersFoundedIsNotDropped) {
  const store::TemporaryFolder shared;
  ASSERT_TRUE(save_founding(shared.path(), *found(plan_of())));
  const auto founder = join_federation(shared.path(), other_, node_of(1));
  ASSERT_FALSE(founder);
  EXPECT_EQ(founder.error().code, ErrorCode::conflict);
  EXPECT_TRUE(founder.error().message.contains("others founded it with this node")) << founder.error().message;
  const auto guest = join_federation(shared.path(), other_, node_of(9));
  ASSERT_FALSE(guest);
  EXPECT_TRUE(guest.error().message.contains("others founded it;")) << guest.error().message;
  EXPECT_EQ(federation_of(**load_founding(shared.path())), federation_of(*found(plan_of())));
}

TEST_F(Leaving, AChainThatIsNotItsOwnOrDoesNotReadIsNotTouched) {
  const std::filesystem::path file = chain_file(home_.path());
  open(other_).reset();
  const auto foreign = join();
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::conflict);
  EXPECT_TRUE(std::filesystem::exists(file));
  std::ofstream(file, std::ios::binary | std::ios::trunc) << "this is no database, but some text that is long enough";
  const auto damaged = join();
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::storage);
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_EQ(in_force(), federation_of(own_));
}

// Where a kill may cut the joining off: each of these is a state that it leaves, and from which both a start and another try go on.

TEST_F(Leaving, CutOffBeforeTheChainIsGoneItIsTheOldOne) {
  {
    // The write-ahead log is gone first, and with it what had not been folded into the file.
    const auto chain = open(own_);
    std::filesystem::copy_file(chain_file(home_.path()), home_.path() / "copy");
  }
  std::filesystem::rename(home_.path() / "copy", chain_file(home_.path()));
  EXPECT_EQ(in_force(), federation_of(own_));
  EXPECT_EQ(*open(own_)->height(), 0U);
  ASSERT_TRUE(join());
  EXPECT_EQ(in_force(), federation_of(other_));
}

TEST_F(Leaving, CutOffWhenTheChainIsGoneItIsTheOldOne) {
  open(own_).reset();
  ASSERT_TRUE(store::ChainStore::remove_unused(chain_file(home_.path()), federation_of(own_)));
  EXPECT_EQ(in_force(), federation_of(own_));
  EXPECT_EQ(*open(own_)->height(), 0U) << "it can begin anew, as nothing was signed for it";
  ASSERT_TRUE(join());
  EXPECT_EQ(in_force(), federation_of(other_));
}

TEST_F(Leaving, CutOffWhileTheFoundingIsWrittenItIsTheOldOne) {
  std::ofstream(home_.path() / "federation.cbor.1.new", std::ios::binary) << "half of a";
  EXPECT_EQ(in_force(), federation_of(own_));
  ASSERT_TRUE(join());
  EXPECT_EQ(in_force(), federation_of(other_));
}

TEST_F(Leaving, KilledAtAnyMomentOneOfTheTwoIsInForceAndItsChainOpens) {
  // Ever later, until it was done before the kill a few times.
  unsigned joined = 0;
  for (unsigned step = 0; step < 100 && joined < 3; ++step) {
    const store::TemporaryFolder home;
    ASSERT_TRUE(save_founding(home.path(), own_));
    store::ChainStore::open(chain_file(home.path()), federation_of(own_)).value().reset();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(join_federation(home.path(), other_, node_of(1)) ? 0 : 1);
    ::usleep(step * 4'000);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << status;
    const auto founding = load_founding(home.path());
    ASSERT_TRUE(founding && *founding);
    const Cid in_force = federation_of(**founding);
    ASSERT_TRUE(in_force == federation_of(own_) || in_force == federation_of(other_));
    joined += in_force == federation_of(other_) ? 1U : 0U;
    const auto chain = store::ChainStore::open(chain_file(home.path()), in_force);
    ASSERT_TRUE(chain) << chain.error().message;
    EXPECT_EQ(*(*chain)->height(), 0U);
  }
}

TEST(Declined, AreRememberedOnceAndTheOldestForgotten) {
  const store::TemporaryFolder home;
  const auto cid = [](std::uint64_t number) { return dagcbor::cid_of(big_endian(number)); };
  EXPECT_TRUE(load_declined(home.path() / "none")->empty());
  ASSERT_TRUE(decline(home.path() / "none", {cid(1), cid(2)}));
  ASSERT_TRUE(decline(home.path() / "none", {cid(2), cid(3)}));
  EXPECT_EQ(*load_declined(home.path() / "none"), (std::vector{cid(1), cid(2), cid(3)}));
  for (std::uint64_t number = 4; number <= 70; ++number) ASSERT_TRUE(decline(home.path() / "none", {cid(number)}));
  const auto all = load_declined(home.path() / "none");
  ASSERT_EQ(all->size(), 64U);
  EXPECT_EQ(all->front(), cid(7));
  EXPECT_EQ(all->back(), cid(70));
  std::ofstream(home.path() / "none" / "declined.cbor", std::ios::binary | std::ios::trunc) << "damaged";
  const auto damaged = load_declined(home.path() / "none");
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::storage);
}

TEST(Invitation, TokensReadBack) {
  const Invitation invitation{.federation = federation_of(*found(plan_of())),
                              .addresses = {"/ip4/127.0.0.1/tcp/9000/p2p/" + identity::peer_id_of(node_of(1))},
                              .secret = sha256(big_endian(7))};
  const std::string token = token_of(invitation);
  EXPECT_TRUE(is_token(token));
  const auto read = read_token(token);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->federation, invitation.federation);
  EXPECT_EQ(read->addresses, invitation.addresses);
  EXPECT_EQ(read->secret, invitation.secret);
}

TEST(Invitation, TokensThatDoNotReadAreRefused) {
  const Cid federation = federation_of(*found(plan_of()));
  const std::string address = "/ip4/127.0.0.1/tcp/9000/p2p/" + identity::peer_id_of(node_of(1));
  const std::string token = token_of({.federation = federation, .addresses = {address}, .secret = {}});
  for (const std::string& bad :
       {std::string(), std::string("mesh."), token.substr(0, token.size() - 1), token + "1", "nothing" + token,
        std::string("mesh.z") + std::string(5000, '1'),
        token_of({.federation = federation, .addresses = {}, .secret = {}}),
        token_of({.federation = federation, .addresses = {"/ip4/127.0.0.1/tcp/9000"}, .secret = {}}),
        token_of({.federation = federation, .addresses = {"example"}, .secret = {}}),
        token_of({.federation = federation, .addresses = std::vector<std::string>(17, address), .secret = {}})}) {
    const auto read = read_token(bad);
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().code, ErrorCode::invalid);
  }
}

/// A ledger of one validator, whose blocks this test makes.
class Beacon : public ::testing::Test {
 protected:
  Beacon() {
    FoundingPlan plan = plan_of();
    plan.others.clear();
    founding_ = *found(plan);
    ledger_.emplace(*ledger::Ledger::found(founding_.charter, founding_.genesis, {}));
  }
  void commit(const std::vector<ledger::Opened>& transactions, const Digest& link) {
    auto proposal = ledger_->propose(
        transactions, {.account = node_of(1), .time_ms = ledger_->state().frame.time_ms + 1, .beacon = link});
    ASSERT_TRUE(proposal) << proposal.error().message;
    ASSERT_EQ(proposal->refused.size(), 0U);
    ledger_->commit(std::move(proposal->draft));
  }
  [[nodiscard]] ledger::Opened signed_by_validator(auto body) {
    body.account = node_of(1);
    body.sequence = ledger_->account(node_of(1))->sequence;
    return *ledger::open(record::encode(seal(body, federation_of(founding_), seed_of(1), node_of(1))),
                         federation_of(founding_));
  }
  [[nodiscard]] ledger::Transfer transfer() const {
    return {.account = {}, .sequence = 0, .to = node_of(9), .amount = 5'000, .memo = {}};
  }

  Founding founding_;
  std::optional<ledger::Ledger> ledger_;
};

TEST_F(Beacon, LinksAreTakenOneAfterTheOther) {
  BeaconChains chains({seed_of(1)});
  EXPECT_EQ(chains.next_link(*ledger_, node_of(1)), Digest{}) << "there is no chain yet";
  const auto due = chains.due(*ledger_, node_of(1));
  ASSERT_TRUE(due);
  commit({signed_by_validator(*due)}, {});
  EXPECT_FALSE(chains.due(*ledger_, node_of(1)));
  for (int block = 0; block < 5; ++block) {
    const Digest link = chains.next_link(*ledger_, node_of(1));
    EXPECT_NE(link, Digest{});
    commit({signed_by_validator(transfer())}, link);
  }
  BeaconChains restarted({seed_of(1)});
  EXPECT_EQ(restarted.next_link(*ledger_, node_of(1)), chains.next_link(*ledger_, node_of(1)));
  BeaconChains rotated({seed_of(2), seed_of(1)});
  EXPECT_EQ(rotated.next_link(*ledger_, node_of(1)), chains.next_link(*ledger_, node_of(1)))
      << "a chain goes on when the key is another";
  EXPECT_FALSE(rotated.due(*ledger_, node_of(1)));
}

TEST_F(Beacon, AChainOfAnotherKeyIsNotGoneOnWith) {
  BeaconChains others({seed_of(2)});
  commit({signed_by_validator(*others.due(*ledger_, node_of(1)))}, {});
  BeaconChains chains({seed_of(1)});
  EXPECT_EQ(chains.next_link(*ledger_, node_of(1)), Digest{});
  EXPECT_FALSE(chains.due(*ledger_, node_of(1))) << "the ledger takes none while that one has links";
}

}  // namespace
}  // namespace mesh::app
