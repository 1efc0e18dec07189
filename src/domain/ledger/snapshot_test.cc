// Snapshots of a ledger: what comes back, and what is refused. That a ledger which goes on from one comes to the same as one that was
// there all the time is for ledger_trial.h.
#include "domain/ledger/snapshot.h"

#include <gtest/gtest.h>

#include "domain/ledger/snapshot_testing.h"

namespace mesh::ledger {
namespace {

/// A chain that keeps what a snapshot takes.
class Chain {
 public:
  Chain() : genesis_(three_founders()), ledger_(found_on(genesis_)) {}

  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  [[nodiscard]] const ValidatorHops& hops() const { return hops_; }
  [[nodiscard]] const Genesis& genesis() const { return genesis_; }

  /// Of transactions of the first person.
  template <class Body>
  void block(std::vector<Body> bodies) {
    std::vector<Opened> offered;
    for (Body& body : bodies) {
      body.account = person(0).id;
      body.sequence = ledger_.account(person(0).id)->sequence + offered.size();
      offered.push_back(as_signed(body, person(0).id));
    }
    const AccountId proposer = ledger_.state().frame.validators_at(ledger_.height() + 1).validators.front().account;
    Result<Proposal> proposal =
        ledger_.propose(offered, {.account = proposer, .time_ms = 2'000'000 + ledger_.height(), .beacon = {}});
    ASSERT_TRUE(proposal.has_value());
    ASSERT_TRUE(proposal->refused.empty()) << proposal->refused.front().error.message;
    const Block& made = proposal->block.block();
    hops_.committing(ledger_.state(), made.header, proposal->draft, certificate_of(made));
    ledger_.commit(std::move(proposal->draft));
  }
  void pay() { pay({person(1).id}); }
  void pay(const std::vector<AccountId>& people) {
    std::vector<Transfer> transfers;
    for (const AccountId& to : people)
      transfers.push_back({.account = {}, .sequence = 0, .to = to, .amount = 1, .memo = {}});
    block(std::move(transfers));
  }
  /// From two blocks later on others decide.
  void change_validators(const std::vector<std::uint64_t>& people) {
    SetValidators set;
    set.from_height = ledger_.height() + 3;
    for (const std::uint64_t one : people) set.validators.push_back({person(one).id, 1});
    std::ranges::sort(set.validators, {}, [](const auto& one) { return one.account; });
    block(std::vector{set});
  }

 private:
  static Genesis three_founders() {
    std::vector<Founder> founders;
    for (std::uint64_t i = 0; i < 3; ++i) {
      Founder founder{.account = person(i).id,
                      .credits = 1'000'000,
                      .bonded = 2'000'000,
                      .power = i == 0 ? 1U : 0U,
                      .roles = {Role::member, Role::validator}};
      if (i == 0) founder.roles.push_back(Role::steward);
      founders.push_back(std::move(founder));
    }
    return genesis_of(std::move(founders), without_costs());
  }

  Genesis genesis_;
  Ledger ledger_;
  ValidatorHops hops_;
};

Snapshot snapshot_of(const Chain& chain) {
  std::optional<Snapshot> snapshot = take_snapshot(chain.ledger().state(), chain.hops());
  EXPECT_TRUE(snapshot.has_value());
  return snapshot.value_or(Snapshot{});
}

std::string name_of(const Error& error) { return error.message.substr(0, error.message.find(':')); }
/// By which name a snapshot is refused.
std::string refusal(const Snapshot& snapshot, const Chain& chain) {
  const Result<Restored> read = read_snapshot(snapshot, chain.genesis());
  return read ? "" : name_of(read.error());
}

SnapshotHead head_of(const Snapshot& snapshot) { return *record::decode<SnapshotHead>(snapshot.head); }
void put_head(Snapshot& snapshot, const SnapshotHead& head) { snapshot.head = record::encode(head); }

Bytes stream_of(const Snapshot& snapshot) {
  Bytes stream;
  for (const Bytes& piece : snapshot.pieces) append(stream, piece);
  return stream;
}
/// What comes behind so many items.
ByteView after_items(ByteView stream, int count) {
  for (; count > 0; --count) {
    std::size_t length = 0;
    for (const std::uint8_t byte : stream.first(4)) length = length << 8 | byte;
    stream = stream.subspan(4 + length);
  }
  return stream;
}
/// The snapshot with another stream, which its head says.
Snapshot with_stream(Snapshot snapshot, ByteView stream) {
  SnapshotHead head = head_of(snapshot);
  head.bytes = stream.size();
  head.pieces.clear();
  snapshot.pieces.clear();
  for (; !stream.empty(); stream = stream.subspan(snapshot.pieces.back().size())) {
    snapshot.pieces.push_back(to_bytes(stream.first(std::min(stream.size(), snapshot_piece_bytes))));
    head.pieces.push_back(sha256(snapshot.pieces.back()));
  }
  put_head(snapshot, head);
  return snapshot;
}

TEST(Snapshot, BringsTheStateBackAndGoesOn) {
  Chain chain;
  for (int i = 0; i < 3; ++i) chain.pay();
  const Snapshot snapshot = snapshot_of(chain);
  EXPECT_EQ(snapshot.height, 3U);
  Result<Restored> restored = read_snapshot(snapshot, chain.genesis());
  ASSERT_TRUE(restored.has_value()) << restored.error().message;
  EXPECT_EQ(broken_invariant(restored->state), "");
  EXPECT_EQ(restored->hops.head()->header, chain.hops().head()->header);
  const Ledger again = Ledger::restored(std::move(restored->state), {});
  EXPECT_EQ(again.state_root(), chain.ledger().state_root());
  EXPECT_EQ(again.state().frame.last_block, chain.ledger().state().frame.last_block);
  EXPECT_EQ(again.account(person(1).id)->balance, 1'000'003U);
}

TEST(Snapshot, OfALargeStateIsInPieces) {
  Chain chain;
  std::vector<AccountId> people;
  for (std::uint64_t i = 0; i < 12'000; ++i) people.push_back(nobody(i));
  chain.pay(people);
  const Snapshot snapshot = snapshot_of(chain);
  ASSERT_EQ(snapshot.pieces.size(), 2U);
  EXPECT_EQ(snapshot.pieces[0].size(), snapshot_piece_bytes);
  EXPECT_EQ(snapshot.pieces[0].size() + snapshot.pieces[1].size(), snapshot.bytes);
  EXPECT_EQ(refusal(snapshot, chain), "");
  Snapshot swapped = snapshot;
  std::swap(swapped.pieces[0], swapped.pieces[1]);
  EXPECT_EQ(refusal(swapped, chain), "bad-snapshot");
  Snapshot cut = snapshot;
  cut.pieces.pop_back();
  EXPECT_EQ(refusal(cut, chain), "bad-snapshot");
}

TEST(Snapshot, IsNotTakenWithoutABlock) {
  const Chain chain;
  EXPECT_FALSE(take_snapshot(chain.ledger().state(), chain.hops()).has_value());
}

TEST(Snapshot, LeadsOverChangesOfTheValidators) {
  Chain chain;
  chain.change_validators({0, 1});
  for (int i = 0; i < 3; ++i) chain.pay();
  chain.change_validators({1, 2});
  const Snapshot before = snapshot_of(chain);  // One is still to come.
  for (int i = 0; i < 3; ++i) chain.pay();
  const Snapshot after = snapshot_of(chain);
  ASSERT_EQ(chain.hops().all().size(), 2U);
  EXPECT_EQ(head_of(before).scheduled.size(), 1U);
  for (const Snapshot& snapshot : {before, after}) {
    const Result<Restored> restored = read_snapshot(snapshot, chain.genesis());
    ASSERT_TRUE(restored.has_value()) << restored.error().message;
    EXPECT_EQ(broken_invariant(restored->state), "");
  }
  // Without both changes, and without the first, nobody knows whose signatures count.
  const Bytes stream = stream_of(after);
  EXPECT_EQ(refusal(with_stream(after, after_items(stream, 6)), chain), "validators-changed");
  EXPECT_EQ(refusal(with_stream(after, after_items(stream, 3)), chain), "validators-changed");
}

TEST(Snapshot, IsRefusedWhereAnythingIsOtherwise) {
  Chain chain;
  chain.change_validators({0, 1});
  for (int i = 0; i < 3; ++i) chain.pay();
  const Snapshot snapshot = snapshot_of(chain);
  ASSERT_EQ(refusal(snapshot, chain), "");
  const Bytes stream = stream_of(snapshot);
  for (std::size_t at = 0; at < stream.size(); ++at) {
    // As it travels, and as if who gives it had made it so.
    Snapshot spoilt = snapshot;
    spoilt.pieces[0][at] ^= 1;
    EXPECT_EQ(refusal(spoilt, chain), "bad-snapshot");
    EXPECT_NE(refusal(with_stream(snapshot, spoilt.pieces[0]), chain), "") << "byte " << at;
  }
  for (std::size_t size = 0; size < stream.size(); ++size)
    EXPECT_NE(refusal(with_stream(snapshot, ByteView(stream).first(size)), chain), "") << size << " bytes";
  Bytes longer = stream;
  longer.insert(longer.end(), 4, 0);
  EXPECT_EQ(refusal(with_stream(snapshot, longer), chain), "bad-snapshot");
  for (std::size_t at = 0; at < snapshot.head.size(); ++at) {
    Snapshot spoilt = snapshot;
    spoilt.head[at] ^= 1;
    EXPECT_NE(refusal(spoilt, chain), "") << "byte " << at << " of the head";
  }
}

TEST(Snapshot, IsRefusedWithAnothersHead) {
  Chain chain;
  chain.pay();
  const Snapshot old = snapshot_of(chain);
  chain.pay();
  const Snapshot now = snapshot_of(chain);
  Snapshot mixed = now;
  SnapshotHead head = head_of(now);
  head.certificate = head_of(old).certificate;
  put_head(mixed, head);
  EXPECT_EQ(refusal(mixed, chain), "wrong-certificate");
  head = head_of(now);
  head.summary = head_of(old).summary;
  put_head(mixed, head);
  EXPECT_EQ(refusal(mixed, chain), "wrong-state-root");
  // The entries of another block's state, behind a certified head.
  EXPECT_EQ(refusal(with_stream(now, stream_of(old)), chain), "wrong-state-root");
  head = head_of(now);
  head.scheduled.push_back(head.validators);
  put_head(mixed, head);
  EXPECT_EQ(refusal(mixed, chain), "bad-snapshot");
  head = head_of(now);
  head.bytes = max_snapshot_bytes + 1;
  put_head(mixed, head);
  EXPECT_EQ(refusal(mixed, chain), "bad-snapshot");
  head = head_of(now);
  head.bytes += 1;
  put_head(mixed, head);
  EXPECT_EQ(refusal(mixed, chain), "bad-snapshot");
}

TEST(Snapshot, OfAnotherFederationIsRefused) {
  Chain chain;
  chain.pay();
  const Snapshot snapshot = snapshot_of(chain);
  const Ledger other = found_on(chain.genesis(), "village");
  const auto reader =
      SnapshotReader::begin(other.federation(), other.state().frame.validators, certify_unsigned(), snapshot.head);
  ASSERT_FALSE(reader.has_value());
  EXPECT_EQ(name_of(reader.error()), "another-federation");
}

TEST(Snapshot, TakesNoMoreThanItsPieces) {
  Chain chain;
  chain.pay();
  const Snapshot snapshot = snapshot_of(chain);
  const Ledger founded = found_on(chain.genesis());
  Result<SnapshotReader> reader =
      SnapshotReader::begin(founded.federation(), founded.state().frame.validators, certify_unsigned(), snapshot.head);
  ASSERT_TRUE(reader.has_value());
  const Result<Restored> early = reader->finish();
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(name_of(early.error()), "bad-snapshot");
  ASSERT_TRUE(reader->feed(snapshot.pieces[0]).has_value());
  EXPECT_FALSE(reader->feed(snapshot.pieces[0]).has_value());
}

TEST(Snapshot, OfAnAccountWithTooMuchIsRefused) {
  AccountRecord record{.id = person(0).id};
  record.unbonding.resize(max_unbonding_of_account + 1);
  EXPECT_EQ(name_of(Account::from_record(record).error()), "bad-account");
  record.unbonding.resize(max_unbonding_of_account);
  const Result<Account> account = Account::from_record(record);
  ASSERT_TRUE(account.has_value());
  EXPECT_EQ(account->encoded(), record::encode(record));
  record.former.emplace();
  EXPECT_FALSE(Account::from_record(record).has_value());
  record.former->resize(max_former_keys + 1);
  EXPECT_FALSE(Account::from_record(record).has_value());
}

}  // namespace
}  // namespace mesh::ledger
