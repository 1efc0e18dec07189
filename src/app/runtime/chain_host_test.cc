#include "app/runtime/chain_testing.h"

#include "app/runtime/chain_verifier.h"

namespace mesh::app {
namespace {

TEST_F(Town, OneAloneDecidesAndKeepsItOverRestarts) {
  found(1, 1);
  Node& node = *nodes_[0];
  start(node);
  await_height(node, 1);  // Its chain for the beacon.
  const auto first = transact(node, transfer(9, 5'000));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_GE(first->height, 2U);
  EXPECT_EQ(balance(node, 9), 5'000U);
  const Digest before = root(node);
  stop(node);
  start(node);
  EXPECT_EQ(root(node), before);
  const auto second = transact(node, transfer(9, 1));
  ASSERT_TRUE(second) << "the numbers go on: " << second.error().message;
  EXPECT_EQ(second->height, first->height + 1);
  EXPECT_EQ(balance(node, 9), 5'001U);
}

/// One alone, with a block that is decided and not durable.
struct Ahead : Town {
  void SetUp() override {
    found(1, 1);
    start(node());
    await_height(node(), 1);
    before = news_of(node()).size();
    first = height_in_memory(node());
    owned = balance(node(), 0);
    held = hold_disk(node());
    node().host->transact(transfer(9, 5'000), When::final, [](const Result<Made>&) {});
    while (height_in_memory(node()) == first) std::this_thread::yield();
    EXPECT_EQ(news_of(node()).size(), before) << "what is not durable may never have been";
  }
  [[nodiscard]] Node& node() const { return *nodes_[0]; }
  /// What was told of blocks up to this one since.
  [[nodiscard]] std::vector<node::event::LedgerChanged> news_until(chain::Height height) {
    held.close();
    await_height(node(), height);
    std::vector<node::event::LedgerChanged> news = news_of(node());
    news.erase(news.begin(), news.begin() + static_cast<std::ptrdiff_t>(before));
    return news;
  }
  std::size_t before = 0;
  chain::Height first = 0;
  std::uint64_t owned = 0;
  store::sqlite::Connection held;
};

TEST_F(Ahead, WhatIsToldOfABlockIsAsItWasAfterThatBlock) {
  node().host->transact(transfer(9, 5'000), When::final, [](const Result<Made>&) {});
  while (look(node(), [](const chain::Replica& replica) { return replica.mempool().size(); }) == 0)
    std::this_thread::yield();
  const std::vector<node::event::LedgerChanged> news = news_until(first + 2);
  ASSERT_EQ(news.size(), 2U);
  const std::uint64_t cost = (owned - balance(node(), 0)) / 2;
  EXPECT_GE(cost, 5'000U);
  for (std::uint64_t i = 0; i < 2; ++i) {
    EXPECT_EQ(news[i].height, first + 1 + i);
    ASSERT_EQ(news[i].members.size(), 1U);
    EXPECT_EQ(news[i].members[0].balance, owned - cost * (i + 1));
  }
}

TEST_F(Ahead, AWatchedIntentIsToldOfWhenItIsDurable) {
  node().host->watch(Cid::of(Multicodec::dag_cbor, Bytes{1}));
  EXPECT_EQ(news_of(node()).size(), before);
  EXPECT_EQ(news_until(first + 1).size(), 2U) << "of the block, and of the intent";
  node().host->watch(Cid::of(Multicodec::dag_cbor, Bytes{2}));
  EXPECT_EQ(news_of(node()).size(), before + 3) << "at once, where nothing is under way";
}

TEST_F(Town, RefusalsHaveTheLedgersNames) {
  found(1, 1);
  Node& node = *nodes_[0];
  start(node);
  await_height(node, 1);
  const auto too_much = transact(node, transfer(9, 2'000'000'000));
  ASSERT_FALSE(too_much);
  EXPECT_TRUE(too_much.error().message.starts_with("overdraft")) << too_much.error().message;
  const auto too_small = transact(node, transfer(9, 1));
  ASSERT_FALSE(too_small);
  EXPECT_TRUE(too_small.error().message.starts_with("balance-too-small")) << too_small.error().message;
  EXPECT_TRUE(transact(node, transfer(9, 5'000))) << "what was refused has used up no number";
  std::promise<Result<Made>> made;
  node.host->submit(Bytes{1, 2, 3}, When::final, [&](Result<Made> result) { made.set_value(std::move(result)); });
  EXPECT_EQ(made.get_future().get().error().code, ErrorCode::invalid);
}

TEST_F(Town, FourAgreeAndALateFollowerCatchesUp) {
  found(4, 5);
  for (std::size_t i = 0; i < 4; ++i) start(*nodes_[i]);
  std::vector<std::future<Result<Made>>> all;
  for (std::size_t i = 0; i < 40; ++i) {
    auto made = std::make_shared<std::promise<Result<Made>>>();
    all.push_back(made->get_future());
    nodes_[i % 4]->host->transact(transfer(100 + i % 4, 2'000), When::final,
                                  [made](Result<Made> result) { made->set_value(std::move(result)); });
  }
  chain::Height highest = 0;
  for (auto& one : all) {
    const auto made = one.get();
    ASSERT_TRUE(made) << made.error().message;
    highest = std::max(highest, made->height);
  }
  start(*nodes_[4]);
  for (const auto& node : nodes_) await_height(*node, highest);
  for (const auto& node : nodes_) {
    for (std::uint64_t to = 100; to < 104; ++to) EXPECT_EQ(balance(*node, to), 20'000U);
  }
}

TEST_F(Town, ThreeOfFourGoOnAndTheFourthComesBack) {
  found(4, 4);
  start_all();
  ASSERT_TRUE(transact(*nodes_[0], transfer(9, 5'000)));
  stop(*nodes_[3]);
  const auto without = transact(*nodes_[1], transfer(9, 5'000));
  ASSERT_TRUE(without) << without.error().message;
  start(*nodes_[3]);
  await_height(*nodes_[3], without->height);
  const auto with = transact(*nodes_[3], transfer(9, 5'000));
  ASSERT_TRUE(with) << with.error().message;
  EXPECT_EQ(balance(*nodes_[3], 9), 15'000U);
}

TEST_F(Town, TheLedgerIsToldWhatANodeCanRun) {
  found(1, 1);
  Node& node = *nodes_[0];
  start(node);
  const auto said = [&node] {
    return look(node, [](const chain::Replica& replica) -> std::optional<ledger::Attestation> {
      const ledger::Attestation* found = replica.ledger().state().tables.attestations.find(node_of(0));
      return found == nullptr ? std::nullopt : std::optional(*found);
    });
  };
  node.host->attest({.memory_mb = 1'000, .fuel_per_second = 1'000'000, .verifies = true});
  await_height(node, 2);  // After the chain for the beacon.
  ASSERT_TRUE(said());
  EXPECT_EQ(said()->memory_mb, 1'000U);
  EXPECT_TRUE(said()->verifies);
  node.host->attest({.memory_mb = 1'100, .fuel_per_second = 900'000, .verifies = true});
  ASSERT_TRUE(transact(node, transfer(9, 5'000)));
  EXPECT_EQ(said()->memory_mb, 1'000U) << "that is no news";
  node.host->attest({.memory_mb = 1'000, .fuel_per_second = 2'000'000, .verifies = true});
  await_height(node, 4);
  EXPECT_EQ(said()->fuel_per_second, 2'000'000U);
}

TEST_F(Town, ABroughtKeySignsNothingAtFirst) {
  found(1, 1);
  Node& node = *nodes_[0];
  start(node, true);
  const auto signs_from = [](const chain::Replica& replica) { return replica.signs_from(); };
  EXPECT_EQ(look(node, signs_from), chain::never);
  stop(node);
  start(node, false);
  EXPECT_EQ(look(node, signs_from), chain::never) << "once said it stays, whoever asks";
  node.host->sign_from(1);
  EXPECT_TRUE(transact(node, transfer(9, 5'000))) << "the operator knows better";
}

TEST_F(Town, WhoSendsNoFramesIsLeftAlone) {
  found(4, 4);
  for (std::size_t i = 0; i < 3; ++i) start(*nodes_[i]);
  // Whoever of two has the greater id is opened to.
  Node* served = nullptr;
  for (std::size_t i = 0; i < 3; ++i) {
    if (node_of(3) < node_of(i)) served = nodes_[i].get();
  }
  if (served == nullptr) served = nodes_[0].get();
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
  served->host->peer_up(node_of(3));
  served->host->serve(node_of(3), ends[1]);
  const std::array<std::uint8_t, 8> garbage{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  ASSERT_EQ(::write(ends[0], garbage.data(), garbage.size()), 8);
  if (node_of(3) < node_of(served->number)) await_story(*served, "ledger.peer");
  ::close(ends[0]);
  EXPECT_TRUE(transact(*nodes_[0], transfer(9, 5'000))) << "the others go on";
}

TEST_F(Town, ADamagedBlockIsFetchedAgain) {
  found(4, 4);
  start_all();
  chain::Height height = 0;
  for (int i = 0; i < 5; ++i) height = transact(*nodes_[0], transfer(9, 5'000))->height;
  for (const auto& node : nodes_) await_height(*node, height);
  stop(*nodes_[3]);
  {
    auto database =
        store::sqlite::Connection::open(file_of(*nodes_[3]).string(), store::sqlite::Connection::Mode::read_write);
    ASSERT_TRUE(database);
    ASSERT_TRUE(database->run("UPDATE block SET bytes = zeroblob(length(bytes)) WHERE height = 3"));
  }
  start(*nodes_[3]);
  await_height(*nodes_[3], height);
  EXPECT_EQ(balance(*nodes_[3], 9), 25'000U);
  await_story(*nodes_[3], "ledger.trouble");
  stop(*nodes_[3]);
  start(*nodes_[3]);
  EXPECT_EQ(balance(*nodes_[3], 9), 25'000U) << "what was fetched is in the damaged block's place";
}

TEST_F(Town, AStartGoesOnFromTheSnapshotThatItKept) {
  snapshot_after_ = 1;
  found(1, 1);
  Node& node = *nodes_[0];
  start(node);
  chain::Height height = 0;
  for (int i = 0; i < 100; ++i) height = transact(node, transfer(9, 5'000))->height;
  const Digest before = root(node);
  stop(node);
  std::vector<store::ChainSnapshot> kept;
  {
    const auto reader = store::ChainReader::open(file_of(node));
    ASSERT_TRUE(reader);
    kept = *(*reader)->snapshots();
    ASSERT_EQ(kept.size(), 2U);
    ASSERT_LT(kept.back().height + chain::snapshots_apart, height);
  }
  const auto change = [&](const std::string& sql) {
    auto database =
        store::sqlite::Connection::open(file_of(node).string(), store::sqlite::Connection::Mode::read_write);
    ASSERT_TRUE(database);
    ASSERT_TRUE(database->run(sql));
  };
  // What lies before it is not looked at.
  change("UPDATE block SET bytes = zeroblob(length(bytes)) WHERE height = 3");
  node.heard.clear();
  start(node);
  EXPECT_EQ(root(node), before);
  ASSERT_TRUE(transact(node, transfer(9, 5'000)));
  EXPECT_EQ(balance(node, 9), 505'000U);
  EXPECT_FALSE(node.heard.contains("ledger.trouble"));
  EXPECT_FALSE(node.heard.contains("ledger.storage"));
  stop(node);
  // Without one that reads, all of it is.
  change("UPDATE part SET bytes = zeroblob(length(bytes)) WHERE number = 1");
  start(node);
  await_story(node, "ledger.storage");
  await_story(node, "ledger.trouble");
  EXPECT_EQ(look(node, [](const chain::Replica& replica) { return replica.ledger().height(); }), 2U);
}

TEST_F(Town, WhoComesLateGoesOnFromASnapshotOfAnother) {
  snapshot_after_ = 1;
  found(1, 2);
  Node& node = *nodes_[0];
  Node& late = *nodes_[1];
  start(node);
  chain::Height height = 0;
  for (int i = 0; i < 300; ++i) height = transact(node, transfer(9, 5'000))->height;
  start(late);
  await_story(late, "ledger.skipped");
  await_height(late, height);
  EXPECT_EQ(balance(late, 9), 1'500'000U);
  EXPECT_EQ(root(late), root(node));
  const chain::Height base = look(late, [](const chain::Replica& replica) { return replica.base(); });
  EXPECT_GT(base, 0U);
  height = transact(node, transfer(9, 5'000))->height;
  await_height(late, height);
  std::promise<Result<std::vector<store::ChainBlock>>> read;
  late.host->read(base, 1, [&](auto blocks) { read.set_value(std::move(blocks)); });
  const auto blocks = read.get_future().get();
  ASSERT_FALSE(blocks);
  EXPECT_TRUE(blocks.error().message.starts_with("not-kept")) << blocks.error().message;
  stop(late);
  late.heard.clear();
  start(late);
  EXPECT_EQ(root(late), root(node));
  EXPECT_FALSE(late.heard.contains("ledger.trouble"));
  stop(late);
  // It is checked from there on by the founding alone, without the node.
  const std::shared_ptr<store::ChainReader> reader = store::ChainReader::open(file_of(late)).value();
  chain::Height next = base;
  const auto next_block = [&]() -> Result<std::optional<chain::FinalBlock>> {
    MESH_LET(std::vector<store::ChainBlock> one, reader->read(++next, 1, chain::max_block_bytes));
    if (one.empty()) return std::nullopt;
    return chain::FinalBlock{next, std::move(one[0].certificate), std::move(one[0].block)};
  };
  const auto part = [&](std::uint64_t number) { return reader->part(base, number); };
  const ChainReport report = verify_chain(founding_.charter, founding_.genesis, next_block, part);
  EXPECT_FALSE(report.problem) << report.problem->error.message;
  EXPECT_EQ(report.base, base);
  EXPECT_EQ(report.height, height);
  EXPECT_EQ(report.state_root, root(node));
  const auto damaged = [&](std::uint64_t number) -> Result<Bytes> {
    MESH_LET(Bytes bytes, reader->part(base, number));
    bytes.back() ^= 1U;
    return bytes;
  };
  next = base;
  EXPECT_TRUE(verify_chain(founding_.charter, founding_.genesis, next_block, damaged).problem);
}

/// What one of four says while the others are away: it waits, and is written down.
void say_alone(store::NodeStore& store, std::uint64_t count, const std::function<void()>& say) {
  for (std::uint64_t i = 0; i < count; ++i) say();
  const auto kept = store.scan("ledger/in-flight/", 100);
  ASSERT_TRUE(kept);
  ASSERT_GE(kept->size(), count);
}

TEST_F(Town, WhatWasUnderWayIsSaidAgainAfterACrash) {
  found(4, 4);
  Node& node = *nodes_[0];
  start(node);
  say_alone(*store_of(node), 3,
            [&] { ASSERT_TRUE(transact(node, transfer(9, 5'000), When::waiting)) << "there is no quorum"; });
  stop(node);
  start_all();
  const auto next = transact(node, transfer(9, 5'000));
  ASSERT_TRUE(next) << "none of the numbers of those is taken: " << next.error().message;
  EXPECT_EQ(balance(node, 9), 20'000U) << "one after the other, each once";
}

TEST_F(Town, AGapAmongTheNumbersIsFilled) {
  found(4, 4);
  Node& node = *nodes_[0];
  start(node);
  say_alone(*store_of(node), 3,
            [&] { ASSERT_TRUE(transact(node, transfer(9, 5'000), When::waiting)) << "there is no quorum"; });
  stop(node);
  const auto kept = store_of(node)->scan("ledger/in-flight/", 100);
  ASSERT_TRUE(kept);
  std::uint64_t left = 0;
  for (const auto& [key, envelope] : *kept) {
    const auto transaction = ledger::decode(envelope);
    ASSERT_TRUE(transaction);
    left += std::holds_alternative<ledger::Transfer>(transaction->body) ? 5'000U : 0U;
  }
  // The first of them is given up.
  const auto first = ledger::decode(kept->front().second);
  if (std::holds_alternative<ledger::Transfer>(first->body)) left -= 5'000;
  store::WriteBatch batch;
  batch.erase.push_back(kept->front().first);
  ASSERT_TRUE(store_of(node)->commit_and_wait(std::move(batch)));
  start_all();
  while (balance(node, 9) < left) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, milliseconds(100));
  }
  EXPECT_EQ(balance(node, 9), left) << "those after the gap";
  EXPECT_TRUE(transact(node, transfer(9, 5'000)));
}

TEST_F(Town, WhoFollowsAnOpenFederationEnrolsItself) {
  found(1, 2, true);
  start_all();
  await_story(*nodes_[1], "ledger.enrolled");
  const auto enrolled = member(*nodes_[0], 1);
  ASSERT_TRUE(enrolled);
  EXPECT_EQ(enrolled->roles, std::vector{ledger::Role::member});
  EXPECT_EQ(enrolled->issuer, node_of(1));
  EXPECT_EQ(balance(*nodes_[0], 1), 0U);
  EXPECT_FALSE(nodes_[0]->heard.contains("ledger.enrolled")) << "a founder is a member already";
  // It is known after a restart, too, whatever is said then.
  const auto height = look(*nodes_[1], [](const chain::Replica& replica) { return replica.durable_height(); });
  stop(*nodes_[1]);
  nodes_[1]->heard.clear();
  start(*nodes_[1]);
  const auto later = transact(*nodes_[0], transfer(9, 5'000));
  ASSERT_TRUE(later);
  EXPECT_EQ(later->height, height + 1) << "nothing else was made meanwhile";
  await_height(*nodes_[1], later->height);
  EXPECT_FALSE(nodes_[1]->heard.contains("ledger.enrolled"));
}

TEST_F(Town, NobodyEnrolsItselfWhereStewardsAdmit) {
  found(1, 2);
  start_all();
  const auto made = transact(*nodes_[0], transfer(1, 5'000));
  ASSERT_TRUE(made);
  await_height(*nodes_[1], made->height);
  const auto later = transact(*nodes_[0], transfer(1, 5'000));
  ASSERT_TRUE(later);
  await_height(*nodes_[1], later->height);
  EXPECT_EQ(member(*nodes_[0], 1), std::nullopt);
  const std::scoped_lock lock(mutex_);
  EXPECT_FALSE(nodes_[1]->heard.contains("ledger.enrolled"));
  EXPECT_FALSE(nodes_[1]->heard.contains("ledger.trouble"));
}

TEST_F(Town, WhoWasSentAwayDoesNotComeBackByItself) {
  found(1, 2, true);
  start_all();
  await_story(*nodes_[1], "ledger.enrolled");
  const auto revoked =
      transact(*nodes_[0], ledger::Revoke{.account = {}, .sequence = 0, .node = node_of(1), .reason = "spam"});
  ASSERT_TRUE(revoked) << revoked.error().message;
  await_height(*nodes_[1], revoked->height);
  stop(*nodes_[1]);
  nodes_[1]->heard.clear();
  // As one whose chain is gone, it knows of nothing at first.
  std::filesystem::remove(file_of(*nodes_[1]));
  start(*nodes_[1]);
  const auto later = transact(*nodes_[0], transfer(9, 5'000));
  ASSERT_TRUE(later);
  await_height(*nodes_[1], later->height);
  const auto member = this->member(*nodes_[0], 1);
  ASSERT_TRUE(member);
  EXPECT_TRUE(member->revoked);
  const std::scoped_lock lock(mutex_);
  EXPECT_FALSE(nodes_[1]->heard.contains("ledger.enrolled"));
}

TEST_F(Town, ABroughtKeyIsNotEnrolledByItself) {
  found(1, 2, true);
  start(*nodes_[0]);
  start(*nodes_[1], true);
  await_story(*nodes_[1], "ledger.trouble");
  const auto made = transact(*nodes_[0], transfer(9, 5'000));
  ASSERT_TRUE(made);
  await_height(*nodes_[1], made->height);
  EXPECT_EQ(member(*nodes_[0], 1), std::nullopt);
  const std::scoped_lock lock(mutex_);
  EXPECT_TRUE(std::ranges::any_of(
      nodes_[1]->texts, [](const std::string& text) { return text.starts_with("this node does not enrol itself"); }));
}

TEST_F(Town, WhatWasSignedForAnotherFederationIsForgotten) {
  found(1, 1);
  Node& node = *nodes_[0];
  ledger::Transfer old = transfer(9, 5'000);
  old.account = node_of(0);
  store::WriteBatch batch;
  batch.put.emplace_back("ledger/in-flight/0000000000000000",
                         record::encode(seal(old, dagcbor::cid_of(as_bytes("elsewhere")), seed_of(0), node_of(0))));
  ASSERT_TRUE(store_of(node)->commit_and_wait(std::move(batch)));
  start(node);
  const auto made = transact(node, transfer(8, 5'000));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(balance(node, 8), 5'000U);
  EXPECT_EQ(balance(node, 9), 0U);
}

std::string name_of(const Result<Made>& made) {
  return made ? "taken" : made.error().message.substr(0, made.error().message.find(':'));
}

TEST_F(Town, AValidatorsKeyIsRotatedAndItsAccountStays) {
  found(4, 5);
  for (std::size_t i = 0; i < 4; ++i) start(*nodes_[i]);
  Node& node = *nodes_[0];
  const auto rotated = rotate(node, 1000);
  ASSERT_TRUE(rotated) << rotated.error().message;
  const auto signer = [](const chain::Replica& replica) { return replica.ledger().account(node_of(0))->signer(); };
  EXPECT_EQ(look(node, signer), node_of(1000));
  await_story(node, "ledger.key");
  ASSERT_TRUE(transact(node, transfer(9, 5'000))) << "the new key signs at once";
  EXPECT_EQ(name_of(rotate(node, 1000)), "key-unchanged");
  // Each of the other three is needed with it, and it votes by the new key.
  stop(*nodes_[3]);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(transact(node, transfer(9, 5'000)));
  // From its next start on the node itself is known by it.
  stop(node);
  start(node);
  EXPECT_EQ(id_of(node), node_of(1000));
  EXPECT_EQ(node.host->account(), node_of(0));
  EXPECT_EQ(node.host->account_of(node_of(1000)), node_of(0));
  const auto last = transact(node, transfer(9, 5'000));
  ASSERT_TRUE(last) << last.error().message;
  EXPECT_EQ(balance(node, 9), 30'000U);
  EXPECT_EQ(balance(node, 1000), 0U) << "there is no account of that name";
  // A copy of the home from before, in another place.
  Node& copy = *nodes_[4];
  copy.seed = seed_of(0);
  start(copy, true);
  await_height(copy, last->height);
  EXPECT_EQ(name_of(transact(copy, transfer(9, 5'000))), "key-rotated");
  ledger::Transfer stolen = transfer(9, 5'000);
  stolen.account = node_of(0);
  stolen.sequence =
      look(node, [](const chain::Replica& replica) { return replica.ledger().account(node_of(0))->sequence; });
  std::promise<Result<Made>> made;
  nodes_[1]->host->submit(record::encode(seal(stolen, federation_of(founding_), seed_of(0), node_of(0))), When::final,
                          [&](Result<Made> result) { made.set_value(std::move(result)); });
  EXPECT_EQ(name_of(made.get_future().get()), "key-rotated");
}

TEST_F(Town, OneAloneRotatesItsKeyAgainAndAgain) {
  found(1, 1);
  Node& node = *nodes_[0];
  start(node);
  await_height(node, 1);  // Its chain for the beacon, which goes on with whatever key.
  for (std::uint64_t key = 1000; key < 1010; ++key) {
    const auto rotated = rotate(node, key);
    ASSERT_TRUE(rotated) << key << ": " << rotated.error().message;
    ASSERT_TRUE(transact(node, transfer(9, 5'000)));
    stop(node);
    start(node);
    ASSERT_EQ(id_of(node), node_of(key));
    ASSERT_EQ(node.host->account(), node_of(0));
    ASSERT_TRUE(transact(node, transfer(9, 5'000))) << "a block with the next link";
  }
}

TEST_F(Town, AKeyThatTheLedgerNeverHeardOfIsNotTaken) {
  found(1, 1);
  Node& node = *nodes_[0];
  start(node);
  await_height(node, 1);
  stop(node);
  node.next = seed_of(1000);  // The node was killed before it said anything.
  start(node);
  EXPECT_EQ(id_of(node), node_of(0));
  ASSERT_TRUE(transact(node, transfer(9, 5'000)));
  ASSERT_TRUE(rotate(node, 1000)) << "the same again completes it";
  stop(node);
  start(node);
  EXPECT_EQ(id_of(node), node_of(1000));
}

TEST_F(Town, ARotationThatIsUnderWayIsWaitedForAndComesFirst) {
  found(4, 4);
  Node& node = *nodes_[0];
  start(node);
  const auto first = rotate(node, 1000, When::waiting);
  ASSERT_TRUE(first) << "there is no quorum: " << first.error().message;
  const auto again = rotate(node, 1000, When::waiting);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->transaction, first->transaction) << "it is the same one";
  EXPECT_EQ(name_of(rotate(node, 1001)), "key-rotating");
  node.next = seed_of(1000);
  std::promise<Result<Made>> made;
  node.host->transact(transfer(9, 5'000), When::final, [&](Result<Made> result) { made.set_value(std::move(result)); });
  std::promise<Result<Made>> third;
  node.host->rotate(seed_of(1000), When::final, [&](Result<Made> result) { third.set_value(std::move(result)); });
  for (std::size_t i = 1; i < 4; ++i) start(*nodes_[i]);
  const auto rotated = third.get_future().get();
  ASSERT_TRUE(rotated) << rotated.error().message;
  EXPECT_EQ(rotated->transaction, first->transaction);
  const auto after = made.get_future().get();
  ASSERT_TRUE(after) << "signed by the new key: " << after.error().message;
  EXPECT_GT(after->height, rotated->height);
}

TEST_F(Town, ARotationThatWasUnderWayAtACrashIsCompleted) {
  found(4, 4);
  Node& node = *nodes_[0];
  start(node);
  ASSERT_TRUE(rotate(node, 1000, When::waiting));
  stop(node);
  start_all();
  EXPECT_EQ(id_of(node), node_of(0)) << "it is in no block yet";
  await_story(node, "ledger.key");
  stop(node);
  start(node);
  EXPECT_EQ(id_of(node), node_of(1000));
  EXPECT_TRUE(transact(node, transfer(9, 5'000)));
}

TEST_F(Town, AKeyByWhichAnotherVotesIsNotTaken) {
  found(4, 4);
  start_all();
  Node& node = *nodes_[0];
  ASSERT_TRUE(transact(node, transfer(9, 5'000)));
  EXPECT_EQ(name_of(rotate(node, 1)), "key-taken");
  EXPECT_FALSE(look(node, [](const chain::Replica& replica) { return replica.has_key(node_of(1)); }))
      << "else it would vote in another's place";
  node.next.reset();
  EXPECT_TRUE(transact(node, transfer(9, 5'000)));
}

TEST_F(Town, AnotherFederationsStorageIsRefused) {
  found(1, 1);
  Node& node = *nodes_[0];
  start(node);
  stop(node);
  FoundingPlan plan;
  plan.name = "elsewhere";
  plan.founder = node_of(0);
  plan.time_ms = 1'000;
  const auto host = ChainHost::start(
      {.file = file_of(node),
       .founding = *app::found(plan),
       .seed = seed_of(0),
       .key_was_brought = false,
       .store = store_of(node),
       .interest = {},
       .timeouts = {}},
      node, [](const ChainHost::Story&) {}, [](const node::event::LedgerChanged&) {});
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().code, ErrorCode::conflict);
}

}  // namespace
}  // namespace mesh::app
