#include "app/runtime/founding.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

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
  BeaconChains chains(seed_of(1));
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
  BeaconChains restarted(seed_of(1));
  EXPECT_EQ(restarted.next_link(*ledger_, node_of(1)), chains.next_link(*ledger_, node_of(1)));
}

TEST_F(Beacon, AChainOfAnotherKeyIsNotGoneOnWith) {
  BeaconChains others(seed_of(2));
  commit({signed_by_validator(*others.due(*ledger_, node_of(1)))}, {});
  BeaconChains chains(seed_of(1));
  EXPECT_EQ(chains.next_link(*ledger_, node_of(1)), Digest{});
  EXPECT_FALSE(chains.due(*ledger_, node_of(1))) << "the ledger takes none while that one has links";
}

}  // namespace
}  // namespace mesh::app
