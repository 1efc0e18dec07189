// Chains that a few validators made, and what becomes of them once somebody has changed something: it is found, and where it is, is said.
#include "chain/audit.h"

#include <gtest/gtest.h>

#include "chain/archive.h"
#include "chain/certificate_testing.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::chain {
namespace {

using ledger::person;

constexpr std::uint64_t ann = 100;

std::string name_of(const Error& error) { return error.message.substr(0, error.message.find(':')); }

class AuditTest : public testing::Test {
 protected:
  struct Federation {
    identity::Charter charter;
    ledger::Genesis genesis;
    [[nodiscard]] Cid cid() const { return dagcbor::cid_of(record::encode(charter)); }
  };
  static Federation federation_of(std::uint64_t validators, const std::string& name = "town") {
    std::vector<ledger::Founder> founders;
    for (std::uint64_t i = 0; i < validators; ++i) {
      founders.push_back({.account = person(i).id,
                          .credits = 10'000,
                          .bonded = 2'000'000,
                          .power = 1,
                          .roles = {ledger::Role::validator, ledger::Role::steward}});
    }
    founders.push_back({.account = person(ann).id, .credits = 5'000'000, .roles = {ledger::Role::member}});
    Federation federation{.charter = {}, .genesis = ledger::genesis_of(std::move(founders))};
    federation.charter = ledger::charter_of(name, Cid::of(Multicodec::dag_cbor, {}), federation.genesis);
    return federation;
  }
  static ledger::Ledger begun(const Federation& federation) {
    return *ledger::Ledger::found(federation.charter, federation.genesis, Digest{});
  }

  static FinalBlock finished(const Cid& federation, const ledger::Block& block,
                             const std::vector<std::uint64_t>& people) {
    return {.height = block.header.height,
            .certificate = certify(federation, block.header.height, block.cid().digest(), people),
            .block = block_bytes(block)};
  }
  template <class T>
  ledger::Opened made(T body, std::uint64_t by, std::uint64_t sequence) const {
    body.account = person(by).id;
    body.sequence = sequence;
    return ledger::sign(body, identity::Signer(person(by).seed, town.cid()));
  }
  ledger::Opened transfer(std::uint64_t sequence, std::uint64_t amount = 1'000) const {
    return made(ledger::Transfer{.to = person(0).id, .amount = amount, .memo = "rent"}, ann, sequence);
  }
  ledger::Block proposed(const std::vector<ledger::Opened>& offered) const {
    auto proposal =
        ledger.propose(offered, {.account = proposer, .time_ms = ledger.state().frame.time_ms + 1'000, .beacon = {}});
    EXPECT_TRUE(proposal);
    EXPECT_TRUE(proposal->refused.empty()) << proposal->refused[0].error.message;
    return proposal->block.block();
  }
  void add(const std::vector<ledger::Opened>& offered) {
    const ledger::Block block = proposed(offered);
    auto opened = ledger::OpenedBlock::open(block, town.cid());
    ASSERT_TRUE(opened);
    auto draft = ledger.execute(*opened, std::nullopt);
    ASSERT_TRUE(draft) << draft.error().message;
    ledger.commit(std::move(*draft));
    blocks.push_back(finished(town.cid(), block, deciders));
  }
  /// Four heights; from the fourth on person 1 decides alone.
  void make_chain() {
    add({transfer(0), made(ledger::Bond{.amount = 1'000'000}, ann, 1)});
    add({made(ledger::SetValidators{.from_height = 4, .validators = {{person(1).id, 1}}}, 0, 0),
         made(ledger::Grant{.to = person(ann).id, .amount = 77'000, .reason = "work"}, 0, 1)});
    add({transfer(2), transfer(3)});
    deciders = {1};
    proposer = person(1).id;
    add({made(ledger::Unbond{.amount = 1'000'000}, ann, 4)});
  }

  /// The height at which it was found, and its name; no name: nothing is wrong.
  using Found = std::pair<Height, std::string>;
  static Found audited(const Federation& federation, const std::vector<FinalBlock>& chain) {
    auto audit = Audit::begin(federation.charter, federation.genesis);
    if (!audit) return {0, name_of(audit.error())};
    for (const FinalBlock& block : chain) {
      const Height next = audit->height() + 1;
      const Status added = audit->add(Audit::read(federation.cid(), block));
      if (!added) {
        EXPECT_EQ(audit->failed(), added.error());
        EXPECT_EQ(audit->height(), next - 1);
        EXPECT_EQ(audit->add(Audit::read(federation.cid(), block)), added) << "it goes on after an error";
        return {next, name_of(added.error())};
      }
    }
    const Status counted = audit->count();
    return {audit->height(), counted ? "" : name_of(counted.error())};
  }
  Found audited(const std::vector<FinalBlock>& chain) const { return audited(town, chain); }

  Federation town = federation_of(4);
  ledger::Ledger ledger = begun(town);
  std::vector<std::uint64_t> deciders{0, 1, 2};
  ledger::AccountId proposer = person(0).id;
  std::vector<FinalBlock> blocks;
};

TEST_F(AuditTest, AChainThatNobodyTouchedChecks) {
  make_chain();
  auto audit = Audit::begin(town.charter, town.genesis);
  ASSERT_TRUE(audit);
  for (const FinalBlock& block : blocks) ASSERT_TRUE(audit->add(Audit::read(town.cid(), block)));
  EXPECT_EQ(audit->height(), 4U);
  EXPECT_EQ(audit->transactions(), 7U);
  EXPECT_EQ(audit->ledger().state_root(), ledger.state_root());
  EXPECT_TRUE(audit->count());
  EXPECT_FALSE(audit->failed());
}

TEST_F(AuditTest, AnyByteThatWasChangedIsFoundAtItsHeight) {
  add({transfer(0)});
  add({transfer(1)});
  std::map<std::string, int> names;
  for (std::size_t place = 0; place < blocks[1].block.size(); ++place) {
    std::vector<FinalBlock> chain = blocks;
    chain[1].block[place] ^= 1U;
    const Found found = audited(chain);
    EXPECT_EQ(found.first, 2U) << place;
    EXPECT_NE(found.second, "") << place;
    ++names[found.second];
  }
  for (std::size_t place = 0; place < blocks[1].certificate.size(); ++place) {
    std::vector<FinalBlock> chain = blocks;
    chain[1].certificate[place] ^= 1U;
    const Found found = audited(chain);
    EXPECT_EQ(found, (Found{2, "certificate"})) << place;
  }
  // A list that is not the header's, a header that says something else, and what is no block any more.
  for (const char* name : {"wrong-transactions", "wrong-certificate", "wrong-parent", "wrong-height", "malformed"})
    EXPECT_GT(names[name], 0) << name;
}

TEST_F(AuditTest, BlocksThatLackOrComeTwiceAreNamed) {
  make_chain();
  const auto without = [&](std::size_t at) {
    std::vector<FinalBlock> chain = blocks;
    chain.erase(chain.begin() + static_cast<std::ptrdiff_t>(at));
    return chain;
  };
  EXPECT_EQ(audited(without(0)), (Found{1, "missing-block"}));
  EXPECT_EQ(audited(without(2)), (Found{3, "missing-block"}));
  EXPECT_EQ(audited(without(3)), (Found{3, ""})) << "a chain may end anywhere";
  std::vector<FinalBlock> twice = blocks;
  twice.insert(twice.begin() + 2, blocks[1]);
  EXPECT_EQ(audited(twice), (Found{3, "repeated-block"}));
  std::vector<FinalBlock> renamed = without(2);
  renamed[2].height = 3;
  EXPECT_EQ(audited(renamed), (Found{3, "wrong-height"}));
}

TEST_F(AuditTest, AForkIsFoundWhereItComesBack) {
  add({transfer(0)});
  // Two blocks of height 2, both certified, and one that follows on the other.
  const ledger::Block other = proposed({transfer(1, 2'000)});
  add({transfer(1)});
  add({transfer(2)});
  std::vector<FinalBlock> chain = blocks;
  chain[1] = finished(town.cid(), other, deciders);
  EXPECT_EQ(audited(chain), (Found{3, "wrong-parent"}));
}

TEST_F(AuditTest, AnotherGenesisIsNamed) {
  make_chain();
  Federation mixed = town;
  mixed.genesis.treasury = 1;
  EXPECT_EQ(audited(mixed, blocks), (Found{0, "wrong-federation"}));
  EXPECT_EQ(audited(federation_of(4, "village"), blocks), (Found{1, "wrong-parent"}));
}

TEST_F(AuditTest, OnlyTheValidatorsOfItsHeightCertifyABlock) {
  make_chain();
  const auto with = [&](std::size_t at, const std::vector<std::uint64_t>& people) {
    std::vector<FinalBlock> chain = blocks;
    chain[at] = finished(town.cid(), *read_block(blocks[at].block), people);
    return chain;
  };
  EXPECT_EQ(audited(with(0, {0, 1, 2, 3})), (Found{4, ""}));
  EXPECT_EQ(audited(with(0, {0, 1})), (Found{1, "certificate"})) << "half is not two thirds";
  EXPECT_EQ(audited(with(0, {0, 1, 9})), (Found{1, "certificate"})) << "nobody's vote";
  EXPECT_EQ(audited(with(3, {0, 1, 2})), (Found{4, "certificate"})) << "those of the heights before";
  EXPECT_EQ(audited(with(2, {1})), (Found{3, "certificate"})) << "that of the height after";
  std::vector<FinalBlock> chain = blocks;
  chain[1].certificate = certify(town.cid(), 2, Digest{}, deciders = {0, 1, 2});
  EXPECT_EQ(audited(chain), (Found{2, "wrong-certificate"}));
  chain[1].certificate = blocks[0].certificate;
  EXPECT_EQ(audited(chain), (Found{2, "wrong-certificate"}));
  // Of this block, but in another federation.
  const Digest second = read_block(blocks[1].block)->cid().digest();
  chain[1].certificate = certify(federation_of(4, "village").cid(), 2, second, deciders);
  EXPECT_EQ(audited(chain), (Found{2, "certificate"}));
}

TEST_F(AuditTest, ACertificateIsReadAsItIsChecked) {
  const Digest block = sha256(as_bytes("block"));
  const Bytes certificate = certify(town.cid(), 7, block, {0, 1, 2});
  const auto read = read_certificate(certificate);
  ASSERT_TRUE(read);
  const auto checked =
      consensus::verify_certificate(town.cid(), validators_of(ledger.state().frame.validators), certificate);
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_EQ(read->height, checked->height);
  EXPECT_EQ(read->round, checked->round);
  EXPECT_EQ(read->block, checked->block);
  EXPECT_EQ(read->signers, checked->signers);
  for (std::size_t size = 0; size < certificate.size(); ++size)
    EXPECT_FALSE(read_certificate(ByteView(certificate).first(size))) << size;
  Bytes other = certificate;
  other.push_back(0);
  EXPECT_FALSE(read_certificate(other));
  other = certificate;
  other[0] = 2;
  EXPECT_FALSE(read_certificate(other)) << "another version";
}

/// Validators who agree to lie: everything else is checked for that.
TEST_F(AuditTest, WhatAllValidatorsCertifiedIsCheckedAllTheSame) {
  add({transfer(0)});
  const ledger::Block good = proposed({transfer(1)});
  const auto with = [&](const auto& change) {
    ledger::Block block = good;
    change(block);
    block.header.transactions = dagcbor::cid_of(record::encode(block.list));
    std::vector<FinalBlock> chain = blocks;
    chain.push_back(finished(town.cid(), block, {0, 1, 2, 3}));
    return audited(chain);
  };
  EXPECT_EQ(with([](ledger::Block&) {}), (Found{2, ""}));
  EXPECT_EQ(with([](ledger::Block& block) { block.header.state_root = Digest{}; }), (Found{2, "wrong-state-root"}));
  EXPECT_EQ(with([](ledger::Block& block) { block.header.time_ms = 1; }), (Found{2, "time-backwards"}));
  EXPECT_EQ(with([](ledger::Block& block) { block.header.proposer = person(ann).id; }), (Found{2, "not-a-validator"}));
  EXPECT_EQ(with([](ledger::Block& block) { block.header.parents = {}; }), (Found{2, "wrong-parent"}));
  EXPECT_EQ(with([](ledger::Block& block) { block.list.transactions.clear(); }), (Found{2, "empty-block"}));
  EXPECT_EQ(with([](ledger::Block& block) { block.list.transactions.push_back(Bytes{1}); }), (Found{2, "malformed"}));
  EXPECT_EQ(with([](ledger::Block& block) { block.list.transactions[0].back() ^= 1U; }), (Found{2, "bad-signature"}));
  EXPECT_EQ(with([&](ledger::Block& block) { block.list.transactions[0] = transfer(1, 1ULL << 60)->envelope; }),
            (Found{2, "overdraft"}));
  EXPECT_EQ(with([&](ledger::Block& block) { block.list.transactions[0] = transfer(0)->envelope; }),
            (Found{2, "sequence-repeated"}));
}

TEST_F(AuditTest, CreditsThatCameFromNowhereAreFound) {
  const auto found = [&](const auto& change) {
    auto state = ledger::found(town.charter, town.genesis);
    EXPECT_TRUE(state);
    const std::uint64_t begun_with = state->frame.totals.supply;
    change(state->frame.totals);
    const Status checked = check_conserved(*state, begun_with);
    return checked ? "" : name_of(checked.error());
  };
  EXPECT_EQ(found([](ledger::Totals&) {}), "");
  // The parts do not add up to the supply, or it is not what there was and was granted.
  EXPECT_EQ(found([](ledger::Totals& totals) { ++totals.supply; }), "not-conserved");
  EXPECT_EQ(found([](ledger::Totals& totals) { ++totals.treasury, ++totals.supply; }), "not-conserved");
  EXPECT_EQ(found([](ledger::Totals& totals) { ++totals.granted; }), "not-conserved");
  EXPECT_EQ(found([](ledger::Totals& totals) { ++totals.treasury, ++totals.supply, ++totals.granted; }), "")
      << "who has the treasury is in no table";
  // As if it had been granted, but nobody has it.
  using Part = std::uint64_t ledger::Totals::*;
  for (const Part part :
       {&ledger::Totals::balances, &ledger::Totals::bonded, &ledger::Totals::unbonding, &ledger::Totals::escrowed}) {
    EXPECT_EQ(found([&](ledger::Totals& totals) { ++(totals.*part), ++totals.supply, ++totals.granted; }),
              "not-conserved");
  }
}

TEST_F(AuditTest, NothingIsTakenAfterAnError) {
  add({transfer(0)});
  auto audit = Audit::begin(town.charter, town.genesis);
  ASSERT_TRUE(audit);
  FinalBlock bad = blocks[0];
  bad.certificate.clear();
  const Status refused = audit->add(Audit::read(town.cid(), bad));
  ASSERT_FALSE(refused);
  EXPECT_EQ(audit->add(Audit::read(town.cid(), blocks[0])), refused);
  EXPECT_EQ(audit->height(), 0U);
}

class ArchiveTest : public AuditTest {
 protected:
  Bytes archive(const std::vector<FinalBlock>& chain) const {
    std::optional<Cid> head;
    if (!chain.empty()) head = read_block(chain.back().block)->cid();
    Bytes bytes = archive_head(head, town.charter, town.genesis);
    for (const FinalBlock& block : chain) append(bytes, *archive_block(block));
    return bytes;
  }
  /// What is read of a file that comes in pieces, or why it is refused.
  static Result<std::vector<FinalBlock>> read(ByteView bytes, std::size_t piece = 100) {
    ArchiveReader reader;
    std::vector<FinalBlock> chain;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      MESH_TRY(reader.feed(bytes.subspan(at, std::min(piece, bytes.size() - at))));
      while (std::optional<FinalBlock> block = reader.next()) chain.push_back(std::move(*block));
    }
    MESH_TRY(reader.finish());
    return chain;
  }
  static std::string refused(ByteView bytes) {
    const auto chain = read(bytes);
    return chain ? "" : name_of(chain.error());
  }
};

TEST_F(ArchiveTest, AChainComesOutAsItWentIn) {
  EXPECT_TRUE(read(archive({}))->empty());
  make_chain();
  for (const std::size_t piece : {std::size_t{1}, std::size_t{1} << 20}) {
    const auto chain = read(archive(blocks), piece);
    ASSERT_TRUE(chain) << chain.error().message;
    EXPECT_EQ(*chain, blocks);
  }
  ArchiveReader reader;
  ASSERT_TRUE(reader.feed(archive(blocks)));
  EXPECT_EQ(record::encode(*reader.charter()), record::encode(town.charter));
  EXPECT_EQ(*reader.genesis(), town.genesis);
  const auto range = read(archive({blocks[2], blocks[3]}));
  ASSERT_TRUE(range);
  EXPECT_EQ(audited(*range), (Found{1, "missing-block"}));
}

TEST_F(ArchiveTest, LargestBlocksFitIn) {
  // Nearly 4 MiB: more than content's blocks may have.
  ledger::Block block;
  block.header = {.height = 1, .parents = {town.cid()}, .time_ms = 1, .proposer = proposer};
  block.list.transactions.assign(10, Bytes(ledger::max_block_bytes / 10, 7));
  block.header.transactions = dagcbor::cid_of(record::encode(block.list));
  const std::vector<FinalBlock> chain{finished(town.cid(), block, deciders)};
  const auto back = read(archive(chain), std::size_t{1} << 20);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, chain);
}

TEST_F(ArchiveTest, AnyByteThatWasChangedIsFound) {
  add({transfer(0)});
  const Bytes good = archive(blocks);
  for (std::size_t place = 0; place < good.size(); ++place) {
    Bytes bytes = good;
    bytes[place] ^= 1U;
    const auto chain = read(bytes);
    EXPECT_FALSE(chain && audited(*chain) == (Found{1, ""})) << place;
  }
}

TEST_F(ArchiveTest, WhatCameBeforeWhatIsWrongCanBeHad) {
  make_chain();
  Bytes bytes = archive(blocks);
  bytes.back() ^= 1U;
  ArchiveReader reader;
  const Status fed = reader.feed(bytes);
  EXPECT_FALSE(fed);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(reader.next(), blocks[i]);
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.feed(bytes), fed);
  EXPECT_EQ(reader.finish(), fed);
}

TEST_F(ArchiveTest, WhatIsCutOrPutTogetherWronglyIsNamed) {
  make_chain();
  const Bytes good = archive(blocks);
  // Cut behind a whole block the root is not there, cut elsewhere something is not whole.
  std::map<std::string, int> names;
  for (std::size_t size = 0; size < good.size(); ++size) ++names[refused(ByteView(good).first(size))];
  EXPECT_EQ(names["wrong-root"], 4) << "behind the genesis, and behind each block but the last";
  EXPECT_EQ(names.size(), 2U);
  EXPECT_EQ(names["cut-archive"], static_cast<int>(good.size()) - 4);

  const Bytes head = archive_head({}, town.charter, town.genesis);
  const auto raw = [](std::string_view text) {
    return car::section(Cid::of(Multicodec::raw, as_bytes(text)), as_bytes(text));
  };
  Bytes bytes = head;
  append(bytes, raw("no header"));
  EXPECT_EQ(refused(bytes), "not-a-chain");
  bytes = car::header(std::vector{town.cid()});
  append(bytes, raw("no charter"));
  EXPECT_EQ(refused(bytes), "not-a-chain");
  bytes = car::header(std::vector{town.cid()});
  append(bytes, car::section(town.cid(), record::encode(town.charter)));
  append(bytes, car::section(town.cid(), record::encode(town.charter)));
  EXPECT_EQ(refused(bytes), "not-a-chain");
  const ledger::Block first = *read_block(blocks[0].block);
  const Bytes header = car::section(first.cid(), record::encode(first.header));
  bytes = head;
  append(bytes, header);
  append(bytes, header);
  EXPECT_EQ(refused(bytes), "wrong-transactions");
  bytes = head;
  append(bytes, header);
  append(bytes, car::section(first.header.transactions, record::encode(first.list)));
  append(bytes, header);
  EXPECT_EQ(refused(bytes), "not-a-chain");
  EXPECT_FALSE(archive_block({.height = 1, .certificate = {}, .block = {}}));
}

}  // namespace
}  // namespace mesh::chain
