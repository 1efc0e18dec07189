// Replicas joined by hand: messages in the order in which they were sent, disks that are done at once unless a test holds them,
// time that passes where a test says so. What chance does to them is sim/ledger's.
#include "chain/replica.h"

#include <gtest/gtest.h>

#include "chain/payment.h"
#include "domain/ledger/ledger_testing.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::chain {
namespace {

using ledger::person;

constexpr std::uint64_t ann = 100;  // a client
constexpr std::uint64_t bob = 101;  // another
constexpr std::uint64_t eve = 200;  // a peer that is nobody
constexpr std::uint64_t next_key = 300;  // a validator's, after it was rotated

std::string name_of(const Error& error) { return error.message.substr(0, error.message.find(':')); }

struct Storage {
  std::vector<FinalBlock> blocks;  // after `base`
  Height base = 0;
  std::map<Height, std::shared_ptr<const ledger::Snapshot>> snapshots;
  std::vector<std::pair<Height, Bytes>> log;
  Height signs_from = 0;
  std::vector<Offence> offences;
};

struct Node {
  std::uint64_t number = 0;
  std::unique_ptr<Replica> replica;
  Storage storage;
  std::set<Timer> timers;
  std::set<std::uint64_t> peers;
  std::vector<effect::Persist> writes;
  std::vector<Notice> notices;
  std::vector<effect::Blame> blames;
  std::vector<effect::Send> sent;  // also what was broadcast, once for each peer
};

class Chain : public testing::Test {
 protected:
  /// So many validators and followers, numbered from 0; all connected.
  void found(std::uint64_t validators, std::uint64_t followers = 0) {
    std::vector<ledger::Founder> founders;
    for (std::uint64_t i = 0; i < validators; ++i) {
      founders.push_back({.account = person(i).id,
                          .credits = 1'000,
                          .bonded = 2'000'000,
                          .power = 1,
                          .roles = {ledger::Role::validator, ledger::Role::steward}});
    }
    for (const std::uint64_t client : {ann, bob})
      founders.push_back({.account = person(client).id, .credits = 1'500'000, .roles = {ledger::Role::member}});
    genesis = ledger::genesis_of(std::move(founders), parameters);
    for (std::uint64_t i = 0; i < validators + followers; ++i) {
      decides.push_back(i < validators);
      nodes.push_back({.number = i});
    }
    for (Node& node : nodes) start(node);
    for (Node& node : nodes) connect(node);
    run();
  }

  void start(Node& node) {
    Config config;
    if (decides[node.number]) config.seeds = {person(node.number).seed, person(next_key + node.number).seed};
    config.beacon = beacon;
    config.snapshot_after = snapshot_after;
    config.apart = 1;
    config.patience = patience;
    config.skip = 4;
    const Storage storage = node.storage;
    event::Started started{.log = {}, .signs_from = storage.signs_from, .offences = storage.offences};
    started.base = storage.base;
    std::optional<ledger::Restored> restored;
    if (!storage.snapshots.empty()) {
      const ledger::Snapshot& latest = *storage.snapshots.rbegin()->second;
      started.snapshot = latest.height;
      started.snapshot_bytes = latest.bytes;
      restored = read(latest);
    }
    const Height from = restored ? restored->state.frame.height : 0;
    node.replica = std::make_unique<Replica>(config, ledger::found_on(genesis, "town", sha256(big_endian(node.number))),
                                             std::move(restored));
    node.timers.clear();
    node.peers.clear();
    for (const FinalBlock& block : storage.blocks) {
      if (block.height > from) give(node, event::Replayed{block});
    }
    for (const auto& [height, entry] : storage.log) started.log.push_back(entry);
    give(node, started);
  }
  void connect(Node& node) {
    for (Node& other : nodes) {
      if (&other == &node || !other.replica || down.contains(other.number) || down.contains(node.number)) continue;
      if (node.peers.insert(other.number).second) give(node, event::PeerUp{person(other.number).id});
      if (other.peers.insert(node.number).second) give(other, event::PeerUp{person(node.number).id});
    }
  }
  void disconnect(Node& node) {
    down.insert(node.number);
    for (const std::uint64_t other : std::exchange(node.peers, {})) {
      give(node, event::PeerDown{person(other).id});
      nodes[other].peers.erase(node.number);
      give(nodes[other], event::PeerDown{person(node.number).id});
    }
  }
  void stop(Node& node) {
    disconnect(node);
    node.replica.reset();
  }

  void give(Node& node, const Event& event) {
    if (!node.replica) return;
    for (Effect& effect : node.replica->step(now_ms, event)) {
      std::visit([&](auto& one) { carry_out(node, one); }, effect);
    }
  }
  void carry_out(Node& node, effect::Persist& write) {
    Storage& storage = node.storage;
    if (write.begins_at_snapshot) {
      storage.base = write.snapshot->height;
      storage.blocks.clear();
    }
    if (write.snapshot) storage.snapshots[write.snapshot->height] = write.snapshot;
    for (const FinalBlock& block : write.blocks) {
      storage.blocks.resize(block.height - storage.base - 1);
      storage.blocks.push_back(block);
    }
    for (const auto& entry : write.entries) storage.log.push_back(entry);
    std::erase_if(storage.log, [&](const auto& entry) { return entry.first < write.forget_below; });
    if (write.signs_from) storage.signs_from = *write.signs_from;
    for (const Offence& offence : write.offences) {
      std::erase_if(storage.offences, [&](const Offence& other) { return other.offender == offence.offender; });
      storage.offences.push_back(offence);
    }
    const std::uint64_t number = write.write;
    node.writes.push_back(std::move(write));
    if (!holds_disks) later.emplace_back(node.number, event::Durable{number});
  }
  void carry_out(Node& node, effect::Send& send) {
    node.sent.push_back(send);
    for (const std::uint64_t peer : node.peers) {
      if (peer < nodes.size() && person(peer).id == send.peer)
        later.emplace_back(peer, event::Received{person(node.number).id, send.message});
    }
  }
  void carry_out(Node& node, effect::Broadcast& broadcast) {
    for (const std::uint64_t peer : node.peers) {
      effect::Send send{person(peer).id, broadcast.message};
      carry_out(node, send);
    }
  }
  void carry_out(Node& node, const effect::SetTimer& set) { node.timers.insert(set.timer); }
  void carry_out(Node& node, const effect::CancelTimer& cancel) { node.timers.erase(cancel.timer); }
  void carry_out(Node& node, const effect::ReadBlocks& read) {
    event::BlocksRead answer{.peer = read.peer, .from = read.from, .blocks = {}};
    for (const FinalBlock& block : node.storage.blocks) {
      if (block.height >= read.from && answer.blocks.size() < read.count) answer.blocks.push_back(block);
    }
    (reads_slowly ? much_later : later).emplace_back(node.number, std::move(answer));
  }
  void read_what_was_asked() {
    reads_slowly = false;
    std::ranges::move(std::exchange(much_later, {}), std::back_inserter(later));
    run();
  }
  void carry_out(Node& node, const effect::ReadPart& read) {
    const auto found = node.storage.snapshots.find(read.height);
    Bytes bytes;
    if (found != node.storage.snapshots.end() && read.part <= found->second->pieces.size())
      bytes = read.part == 0 ? found->second->head : found->second->pieces[read.part - 1];
    later.emplace_back(node.number, event::PartRead{read.peer, read.height, read.part, std::move(bytes)});
  }
  void carry_out(Node& node, const effect::Blame& blame) { node.blames.push_back(blame); }
  void carry_out(Node& node, effect::Notify& notify) { node.notices.push_back(std::move(notify.notice)); }

  void run() {
    while (!later.empty()) {
      auto [number, event] = std::move(later.front());
      later.pop_front();
      give(nodes[number], event);
    }
  }
  /// Timers of a kind elapse, everywhere.
  void elapse(Timer::Kind kind) {
    for (Node& node : nodes) elapse(node, kind);
    run();
  }
  void elapse(Node& node, Timer::Kind kind) {
    const std::set<Timer> timers = node.timers;
    for (const Timer& timer : timers) {
      if (timer.kind != kind) continue;
      node.timers.erase(timer);
      give(node, event::Elapsed{timer});
    }
  }
  /// Until the node is so high: time passes.
  void pass_until(Node& node, Height height) {
    for (int times = 0; times < 60 && node.replica->durable_height() < height; ++times) {
      elapse(Timer::Kind::consensus);
      elapse(Timer::Kind::lag);
      elapse(Timer::Kind::greet);
    }
    ASSERT_EQ(node.replica->durable_height(), height);
  }

  [[nodiscard]] Cid federation() const { return ledger::found_on(genesis).federation(); }
  [[nodiscard]] Bytes transfer(std::uint64_t from, std::uint64_t number, std::uint64_t amount = 1) const {
    const identity::Signer signer(person(from).seed, federation());
    return ledger::sign(ledger::Transfer{.account = person(from).id,
                                         .sequence = number,
                                         .to = ledger::nobody(1),
                                         .amount = amount,
                                         .memo = ""},
                        signer)
        ->envelope;
  }
  std::string submit(Node& node, const Bytes& envelope) {
    give(node, event::Submit{++submissions, envelope});
    const auto answers = told<notice::Submitted>(node);
    const Result<Cid>& answer = answers.back().transaction;
    EXPECT_EQ(answers.back().id, submissions);
    return answer ? "taken" : name_of(answer.error());
  }
  [[nodiscard]] ledger::Restored read(const ledger::Snapshot& snapshot) const {
    const ledger::Ledger founded = ledger::found_on(genesis);
    auto reader = ledger::SnapshotReader::begin(founded.federation(), founded.state().frame.validators, certifier(),
                                                snapshot.head);
    EXPECT_TRUE(reader.has_value());
    for (const Bytes& piece : snapshot.pieces) EXPECT_TRUE(reader->feed(piece).has_value());
    return *reader->finish();
  }
  /// So many blocks, of which every replica that is there has its own.
  void make_blocks(Node& node, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const Height next = node.replica->durable_height() + 1;
      EXPECT_EQ(submit(node, transfer(ann, sequence++)), "taken");
      run();
      pass_until(node, next);
    }
  }
  template <class Kind>
  static std::vector<Kind> told(const Node& node) {
    std::vector<Kind> found;
    for (const Notice& notice : node.notices) {
      if (const auto* one = std::get_if<Kind>(&notice)) found.push_back(*one);
    }
    return found;
  }
  static bool is_told(const Node& node, std::string_view trouble) {
    return std::ranges::any_of(told<notice::Trouble>(node),
                               [&](const auto& one) { return one.text.starts_with(std::string(trouble) + ":"); });
  }
  static std::vector<std::string> blames(const Node& node) {
    std::vector<std::string> names;
    for (const effect::Blame& blame : node.blames) names.push_back(name_of(blame.error));
    return names;
  }
  /// Without the certificates: each has those signatures that came first.
  static std::vector<Bytes> blocks_of(const Node& node) {
    std::vector<Bytes> blocks;
    for (const FinalBlock& block : node.storage.blocks) blocks.push_back(block.block);
    return blocks;
  }
  /// The parts that were asked of a node.
  static std::vector<std::uint32_t> parts_asked(const Node& node, std::uint64_t of) {
    std::vector<std::uint32_t> parts;
    for (const effect::Send& send : node.sent) {
      const auto read = decode(send.message);
      if (const auto* ask = read ? std::get_if<message::AskPart>(&*read) : nullptr; ask && send.peer == person(of).id)
        parts.push_back(ask->part);
    }
    return parts;
  }
  void expect_equal() {
    for (const Node& node : nodes) {
      if (!node.replica) continue;
      EXPECT_EQ(blocks_of(node), blocks_of(nodes[0])) << node.number;
      EXPECT_EQ(node.replica->ledger().state_root(), nodes[0].replica->ledger().state_root()) << node.number;
      EXPECT_EQ(ledger::broken_invariant(node.replica->ledger().state()), "");
      EXPECT_EQ(node.replica->mempool().size(), 0U);
      EXPECT_TRUE(node.blames.empty()) << node.blames[0].error.message;
    }
  }
  /// What only a peer of no node sends.
  void say_as(std::uint64_t who, Node& to, Bytes message) {
    give(to, event::Received{person(who).id, std::move(message)});
  }
  Bytes hello(Height height, const Digest& block = {}, Height base = 0, Height snapshot = 0) const {
    return encode(message::Hello{
        .federation = federation(), .height = height, .block = block, .base = base, .snapshot = snapshot});
  }

  std::uint64_t now_ms = 2'000'000;
  ledger::Parameters parameters = ledger::without_costs();
  std::function<Digest(const ledger::Ledger&, const ledger::AccountId&)> beacon;
  ledger::Genesis genesis;
  std::vector<bool> decides;
  std::vector<Node> nodes;
  std::deque<std::pair<std::uint64_t, Event>> later;
  std::set<std::uint64_t> down;
  bool holds_disks = false;
  bool reads_slowly = false;
  std::deque<std::pair<std::uint64_t, Event>> much_later;  // blocks that are read slowly
  std::size_t snapshot_after = 0;
  std::chrono::milliseconds patience{0};
  std::uint64_t submissions = 0;
  std::uint64_t sequence = 0;
};

TEST_F(Chain, OneValidatorIsDoneWithOneWrite) {
  found(1);
  Node& node = nodes[0];
  const std::size_t before = node.writes.size();
  EXPECT_EQ(submit(node, transfer(ann, 0)), "taken");
  ASSERT_EQ(node.writes.size(), before + 1);
  EXPECT_EQ(node.writes.back().blocks.size(), 1U);
  EXPECT_TRUE(told<notice::TransactionFinal>(node).empty()) << "not durable yet";
  run();
  ASSERT_EQ(told<notice::TransactionFinal>(node).size(), 1U);
  EXPECT_EQ(told<notice::TransactionFinal>(node)[0].height, 1U);
  EXPECT_EQ(told<notice::TransactionFinal>(node)[0].transaction, *told<notice::Submitted>(node)[0].transaction);
  ASSERT_EQ(told<notice::BlockFinal>(node).size(), 1U);
  EXPECT_EQ(told<notice::BlockFinal>(node)[0].state_root, node.replica->ledger().state_root());
  EXPECT_TRUE(
      std::ranges::none_of(node.timers, [](const Timer& timer) { return timer.kind == Timer::Kind::consensus; }));
}

TEST_F(Chain, ABatchIsAnsweredOneByOneAndHandedOnTogether) {
  found(2);
  Node& node = nodes[0];
  node.sent.clear();
  const auto opened = [&](std::uint64_t number, std::uint64_t amount = 1) {
    return ledger::open(transfer(ann, number, amount), federation()).value();
  };
  give(node, event::SubmitBatch{7, {opened(0), opened(1000), opened(1), opened(1, 2), opened(0)}});
  const auto answers = told<notice::BatchSubmitted>(node);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].id, 7U);
  ASSERT_EQ(answers[0].transactions.size(), 5U);
  EXPECT_EQ(*answers[0].transactions[0], opened(0)->cid);
  EXPECT_EQ(name_of(answers[0].transactions[1].error()), "pending-gap");
  EXPECT_EQ(*answers[0].transactions[2], opened(1)->cid);
  EXPECT_EQ(name_of(answers[0].transactions[3].error()), "pending-conflict");
  EXPECT_EQ(*answers[0].transactions[4], opened(0)->cid) << "what waits is taken again";
  std::vector<std::size_t> handed_on;
  for (const effect::Send& send : node.sent) {
    const auto message = decode(send.message);
    ASSERT_TRUE(message);
    if (const auto* some = std::get_if<message::Transactions>(&*message)) handed_on.push_back(some->envelopes.size());
  }
  EXPECT_EQ(handed_on, std::vector<std::size_t>{2});
  const Height next = node.replica->durable_height() + 1;
  run();
  pass_until(node, next);
  EXPECT_EQ(node.replica->ledger().account(person(ann).id)->sequence, 2U);
  EXPECT_TRUE(told<notice::TransactionFinal>(node).empty()) << "nobody follows them";
  give(node, event::SubmitBatch{8, {opened(0)}});
  EXPECT_EQ(name_of(told<notice::BatchSubmitted>(node).back().transactions[0].error()), "sequence-repeated");
}

TEST_F(Chain, NothingIsToldAndNoOtherBlockMadeBeforeTheDiskIsDone) {
  found(1);
  Node& node = nodes[0];
  holds_disks = true;
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(submit(node, transfer(ann, i)), "taken");
  EXPECT_EQ(node.replica->ledger().height(), 1U);
  EXPECT_EQ(node.replica->durable_height(), 0U);
  EXPECT_TRUE(told<notice::BlockFinal>(node).empty());
  // Who asks gets what is durable.
  give(node, event::PeerUp{person(eve).id});
  say_as(eve, node, encode(message::Ask{.from = 1, .count = 5}));
  ASSERT_FALSE(node.sent.empty());
  EXPECT_EQ(std::get<message::Blocks>(*decode(node.sent.back().message)).blocks.size(), 0U);
  holds_disks = false;
  give(node, event::Durable{node.writes.back().write});
  run();
  // What waited in the meantime is one block.
  EXPECT_EQ(node.replica->durable_height(), 2U);
  EXPECT_EQ(told<notice::TransactionFinal>(node).size(), 5U);
  EXPECT_EQ(node.replica->ledger().account(person(ann).id)->sequence, 5U);
}

TEST_F(Chain, VotesWaitForTheDisk) {
  found(4);
  holds_disks = true;
  for (Node& node : nodes) node.sent.clear();
  const auto votes = [](const Node& node) {
    return std::ranges::count_if(node.sent, [](const effect::Send& send) { return send.message[0] == 2; });
  };
  EXPECT_EQ(submit(nodes[0], transfer(ann, 0)), "taken");
  run();
  std::ptrdiff_t told = 0;
  for (int times = 0; times < 8; ++times) {
    for (Node& node : nodes) elapse(node, Timer::Kind::consensus);
    run();
    for (const Node& node : nodes) told += votes(node);
  }
  EXPECT_EQ(told, 0);
  holds_disks = false;
  for (Node& node : nodes) give(node, event::Durable{node.writes.back().write});
  for (const Node& node : nodes) told += votes(node);
  EXPECT_GT(told, 0);
}

TEST_F(Chain, FourValidatorsAndAFollowerMakeOneChainAndRest) {
  found(4, 1);
  for (std::uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(submit(nodes[i], transfer(ann, i)), "taken");
    EXPECT_EQ(submit(nodes[4], transfer(bob, i)), "taken") << "a follower hands it on";
    run();
  }
  for (Node& node : nodes) EXPECT_GE(node.replica->durable_height(), 3U);
  expect_equal();
  EXPECT_EQ(told<notice::TransactionFinal>(nodes[4]).size(), 3U);
  const Height height = nodes[0].replica->durable_height();
  elapse(Timer::Kind::greet);
  elapse(Timer::Kind::consensus);
  EXPECT_EQ(nodes[0].replica->durable_height(), height) << "no empty blocks";
  for (const Node& node : nodes) {
    EXPECT_TRUE(
        std::ranges::none_of(node.timers, [](const Timer& timer) { return timer.kind == Timer::Kind::consensus; }));
  }
}

TEST_F(Chain, WhoWasAwayFetchesWhatItMissed) {
  found(4);
  Node& away = nodes[3];
  disconnect(away);
  make_blocks(nodes[0], 3 * fetch_blocks + 1);
  down.clear();
  connect(away);
  run();
  EXPECT_EQ(away.replica->durable_height(), 3 * fetch_blocks + 1) << "without waiting for any timer";
  expect_equal();
  // It takes part again.
  disconnect(nodes[2]);
  make_blocks(nodes[0], 2);
}

TEST_F(Chain, APeerThatLiesIsLeftAndAnotherAsked) {
  found(4);
  Node& away = nodes[3];
  disconnect(away);
  make_blocks(nodes[0], 5);
  // The first that it meets is a liar.
  give(away, event::PeerUp{person(eve).id});
  say_as(eve, away, hello(5));
  ASSERT_EQ(away.sent.back().peer, person(eve).id);
  ASSERT_EQ(std::get<message::Ask>(*decode(away.sent.back().message)), (message::Ask{.from = 1, .count = 5}));
  message::Blocks forged{.from = 1, .blocks = nodes[0].storage.blocks};
  forged.blocks[1].certificate.back() ^= 1U;
  say_as(eve, away, encode(forged));
  EXPECT_EQ(blames(away), (std::vector<std::string>{"fork-refused"}));
  EXPECT_EQ(away.replica->ledger().height(), 1U) << "what came before was true";
  down.clear();
  connect(away);
  run();
  EXPECT_EQ(away.replica->durable_height(), 5U);
  EXPECT_EQ(blocks_of(away), blocks_of(nodes[0]));
}

TEST_F(Chain, EveryChangedByteOfABlockIsRefused) {
  found(1, 1);
  Node& follower = nodes[1];
  disconnect(follower);
  make_blocks(nodes[0], 1);
  const FinalBlock block = nodes[0].storage.blocks[0];
  std::uint64_t peer = eve;
  const auto offer = [&](const FinalBlock& offered) {
    ++peer;
    give(follower, event::PeerUp{person(peer).id});
    say_as(peer, follower, hello(9));
    say_as(peer, follower, encode(message::Blocks{1, {offered}}));
    give(follower, event::PeerDown{person(peer).id});
    run();
    return follower.replica->ledger().height();
  };
  for (std::size_t place = 0; place < block.block.size(); place += 3) {
    FinalBlock forged = block;
    forged.block[place] ^= 0x11U;
    ASSERT_EQ(offer(forged), 0U) << "byte " << place;
  }
  for (std::size_t place = 0; place < block.certificate.size(); ++place) {
    FinalBlock forged = block;
    forged.certificate[place] ^= 0x11U;
    ASSERT_EQ(offer(forged), 0U) << "byte " << place << " of the certificate";
  }
  EXPECT_FALSE(follower.replica->stopped());
  EXPECT_EQ(offer(block), 1U);
}

TEST_F(Chain, ARestartGoesOnWhereItWas) {
  found(4);
  make_blocks(nodes[0], 4);
  for (Node& node : nodes) {
    stop(node);
    down.clear();
    start(node);
    EXPECT_EQ(node.replica->durable_height(), 4U);
    connect(node);
    run();
    EXPECT_EQ(node.replica->signs_from(), 0U);
  }
  make_blocks(nodes[0], 2);
  expect_equal();
}

TEST_F(Chain, ADamagedChainIsFetchedAgainAndSignsNothingUntilThatIsSafe) {
  found(4);
  make_blocks(nodes[0], 6);
  Node& hurt = nodes[1];
  stop(hurt);
  hurt.storage.blocks[3].block[hurt.storage.blocks[3].block.size() / 2] ^= 1U;
  hurt.notices.clear();
  start(hurt);
  EXPECT_TRUE(is_told(hurt, "damaged-chain"));
  EXPECT_EQ(hurt.replica->ledger().height(), 3U);
  EXPECT_EQ(hurt.replica->signs_from(), never);
  down.clear();
  connect(hurt);
  run();
  elapse(Timer::Kind::lag);
  elapse(Timer::Kind::greet);
  EXPECT_EQ(hurt.replica->durable_height(), 6U);
  EXPECT_EQ(hurt.replica->signs_from(), 9U);
  EXPECT_EQ(hurt.storage.signs_from, 9U);
  make_blocks(nodes[0], 4);
  // Without it there would be no quorum.
  disconnect(nodes[3]);
  make_blocks(nodes[0], 1);
}

TEST_F(Chain, AChainWithoutItsLastCertificateIsNotUsed) {
  found(1);
  make_blocks(nodes[0], 2);
  stop(nodes[0]);
  nodes[0].storage.blocks[1].certificate.back() ^= 1U;
  start(nodes[0]);
  ASSERT_TRUE(nodes[0].replica->stopped());
  EXPECT_EQ(name_of(*nodes[0].replica->stopped()), "damaged-chain");
  give(nodes[0], event::Submit{77, to_bytes("anything")});
  EXPECT_EQ(name_of(told<notice::Submitted>(nodes[0]).back().transaction.error()), "stopped");
}

TEST_F(Chain, ALogThatCannotBeReadMakesAnObserver) {
  found(4);
  make_blocks(nodes[0], 1);
  Node& node = nodes[2];
  stop(node);
  node.storage.log.emplace_back(2, to_bytes("no entry"));
  start(node);
  EXPECT_TRUE(is_told(node, "corrupt-log"));
  EXPECT_EQ(node.storage.signs_from, never);
  down.clear();
  connect(node);
  run();
  elapse(Timer::Kind::greet);
  EXPECT_EQ(node.replica->signs_from(), 4U);
}

TEST_F(Chain, ARestoredStorageSignsWhenTheOthersHaveShownWhereTheyAre) {
  found(4);
  make_blocks(nodes[0], 2);
  Node& restored = nodes[3];
  Storage copy = restored.storage;
  make_blocks(nodes[0], 5);
  stop(restored);
  restored.storage = std::move(copy);
  restored.storage.signs_from = never;
  start(restored);
  down = {0, 1};
  connect(restored);
  run();
  EXPECT_EQ(restored.replica->signs_from(), never) << "one of the others is no quorum";
  down.clear();
  connect(restored);
  run();
  elapse(Timer::Kind::lag);
  elapse(Timer::Kind::greet);
  EXPECT_EQ(restored.replica->durable_height(), 7U);
  EXPECT_EQ(restored.replica->signs_from(), 10U);
  // A restart does not forget it.
  stop(restored);
  down.clear();
  start(restored);
  EXPECT_EQ(restored.replica->signs_from(), 10U);
}

TEST_F(Chain, TheOperatorKnowsWhatNobodyElseCan) {
  found(1);
  make_blocks(nodes[0], 1);
  stop(nodes[0]);
  nodes[0].storage.signs_from = never;
  start(nodes[0]);
  EXPECT_EQ(submit(nodes[0], transfer(ann, 1)), "taken");
  run();
  EXPECT_EQ(nodes[0].replica->durable_height(), 1U);
  give(nodes[0], event::SignFrom{2});
  run();
  EXPECT_EQ(nodes[0].replica->durable_height(), 2U);
  stop(nodes[0]);
  start(nodes[0]);
  EXPECT_EQ(nodes[0].replica->signs_from(), 2U);
  EXPECT_EQ(submit(nodes[0], transfer(ann, 2)), "taken");
  run();
  EXPECT_EQ(nodes[0].replica->durable_height(), 3U);
}

TEST_F(Chain, SubmissionsAreAnsweredByName) {
  found(1);
  Node& node = nodes[0];
  EXPECT_EQ(submit(node, to_bytes("nothing")), "malformed");
  Bytes forged = transfer(ann, 0);
  forged.back() ^= 1U;
  EXPECT_NE(submit(node, forged), "taken");
  EXPECT_EQ(submit(node, transfer(eve, 0)), "unknown-account");
  EXPECT_EQ(submit(node, transfer(ann, 70)), "pending-gap");
  EXPECT_EQ(submit(node, transfer(ann, 0)), "taken");
  run();
  EXPECT_EQ(submit(node, transfer(ann, 0)), "sequence-repeated");
  // What cannot be executed is dropped, and no block is made for it.
  const Height height = node.replica->durable_height();
  EXPECT_EQ(submit(node, transfer(ann, 1, 8'000'000)), "taken");
  run();
  EXPECT_EQ(node.replica->durable_height(), height);
  EXPECT_EQ(node.replica->mempool().size(), 0U);
  ASSERT_EQ(told<notice::TransactionDropped>(node).size(), 1U);
  EXPECT_EQ(name_of(told<notice::TransactionDropped>(node)[0].error), "overdraft");
  // What waits for it does not go with it.
  EXPECT_EQ(submit(node, transfer(ann, 2)), "taken");
  EXPECT_EQ(submit(node, transfer(ann, 1, 8'000'000)), "overdraft") << "nothing has changed";
  EXPECT_EQ(submit(node, transfer(ann, 1, 9'000'000)), "taken");
  EXPECT_EQ(told<notice::TransactionDropped>(node).size(), 2U);
  EXPECT_EQ(submit(node, transfer(ann, 1)), "taken");
  run();
  EXPECT_EQ(node.replica->ledger().account(person(ann).id)->sequence, 3U);
  Replica unstarted({}, ledger::found_on(genesis));
  const Effects batch =
      unstarted.step(now_ms, event::SubmitBatch{1, {ledger::open(transfer(ann, 3), federation()).value()}});
  ASSERT_EQ(batch.size(), 1U);
  const auto& refusals = std::get<notice::BatchSubmitted>(std::get<effect::Notify>(batch[0]).notice).transactions;
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(name_of(refusals[0].error()), "not-started");
  const Effects effects = unstarted.step(now_ms, event::Submit{1, transfer(ann, 3)});
  ASSERT_EQ(effects.size(), 1U);
  const auto& answer = std::get<notice::Submitted>(std::get<effect::Notify>(effects[0]).notice);
  EXPECT_EQ(name_of(answer.transaction.error()), "not-started");
}

TEST_F(Chain, AFollowerDropsWhatCannotBeExecutedToo) {
  found(1, 1);
  EXPECT_EQ(submit(nodes[1], transfer(ann, 0, 8'000'000)), "taken");
  run();
  elapse(Timer::Kind::hand_on);
  ASSERT_EQ(told<notice::TransactionDropped>(nodes[1]).size(), 1U);
  EXPECT_EQ(name_of(told<notice::TransactionDropped>(nodes[1])[0].error), "overdraft");
  for (const Node& node : nodes) EXPECT_EQ(node.replica->mempool().size(), 0U);
}

TEST_F(Chain, OfTwoThatConflictOneIsFinalAndTheOtherDropped) {
  found(4);
  disconnect(nodes[3]);
  EXPECT_EQ(submit(nodes[3], transfer(ann, 0, 2)), "taken");
  make_blocks(nodes[0], 1);
  down.clear();
  connect(nodes[3]);
  run();
  elapse(Timer::Kind::lag);
  run();
  ASSERT_EQ(told<notice::TransactionDropped>(nodes[3]).size(), 1U);
  EXPECT_EQ(name_of(told<notice::TransactionDropped>(nodes[3])[0].error), "sequence-repeated");
  // Two that wait at once are told as a conflict, once.
  disconnect(nodes[0]);
  EXPECT_EQ(submit(nodes[0], transfer(bob, 0, 2)), "taken");
  EXPECT_EQ(submit(nodes[0], transfer(bob, 0, 3)), "pending-conflict");
  EXPECT_EQ(submit(nodes[0], transfer(bob, 0, 4)), "pending-conflict");
  EXPECT_EQ(told<notice::ConflictFound>(nodes[0]).size(), 1U);
}

TEST_F(Chain, BadMessagesAreRefusedByNameAndChangeNothing) {
  found(4);
  make_blocks(nodes[0], 2);
  Node& node = nodes[0];
  const auto expect = [&](Bytes message, std::string_view name) {
    node.blames.clear();
    say_as(eve, node, std::move(message));
    ASSERT_EQ(node.blames.size(), name.empty() ? 0U : 1U) << name;
    if (!node.blames.empty()) {
      EXPECT_EQ(name_of(node.blames[0].error), name);
    }
  };
  expect({}, "");  // It is nobody yet.
  give(node, event::PeerUp{person(eve).id});
  expect({}, "malformed");
  expect({9}, "unknown-kind");
  expect(encode(message::Hello{.federation = Cid::of(Multicodec::raw, {}), .height = 0, .block = {}}),
         "other-federation");
  expect(hello(1), "other-chain");
  EXPECT_TRUE(is_told(node, "other-chain"));
  expect(encode(message::Vote{as_bytes("no vote at all")}), "unknown-kind");
  expect(encode(message::Blocks{3, {}}), "unasked-blocks");
  expect(encode(message::Transactions{{to_bytes("no transaction")}}), "malformed");
  expect(encode(message::Transactions{{transfer(ann, 0)}}), "");  // It is final: who sends it need not know.
  const identity::Signer elsewhere(person(ann).seed, Cid::of(Multicodec::raw, {}));
  const Bytes foreign =
      ledger::sign(
          ledger::Transfer{.account = person(ann).id, .sequence = 2, .to = ledger::nobody(1), .amount = 1, .memo = ""},
          elsewhere)
          ->envelope;
  expect(encode(message::Transactions{{foreign}}), "bad-signature");
  EXPECT_EQ(node.replica->mempool().size(), 0U);
  // Nothing that was not set elapses, nothing that was not read is sent.
  node.sent.clear();
  give(node, event::Elapsed{{.kind = Timer::Kind::fetch, .number = 7, .of = {}}});
  give(node, event::BlocksRead{person(eve).id, 1, node.storage.blocks});
  give(node, event::Durable{1'000'000});
  give(node, event::Replayed{node.storage.blocks[0]});
  give(node, event::Started{});
  EXPECT_TRUE(node.sent.empty());
  EXPECT_EQ(node.replica->durable_height(), 2U);
}

TEST_F(Chain, BlocksAreReadForOnePeerOneAtATime) {
  found(1);
  make_blocks(nodes[0], 3);
  Node& node = nodes[0];
  give(node, event::PeerUp{person(eve).id});
  node.sent.clear();
  say_as(eve, node, encode(message::Ask{.from = 2, .count = 64}));
  say_as(eve, node, encode(message::Ask{.from = 1, .count = 64}));
  ASSERT_EQ(later.size(), 1U);
  run();
  ASSERT_EQ(node.sent.size(), 1U);
  const auto answer = std::get<message::Blocks>(*decode(node.sent[0].message));
  EXPECT_EQ(answer.from, 2U);
  EXPECT_EQ(answer.blocks.size(), 2U) << "no more than there is";
}

TEST_F(Chain, AStallSaysHowManyWereHeard) {
  found(4);
  for (const std::size_t other : {1U, 2U, 3U}) disconnect(nodes[other]);
  EXPECT_EQ(submit(nodes[0], transfer(ann, 0)), "taken");
  run();
  elapse(nodes[0], Timer::Kind::stall);
  ASSERT_EQ(told<notice::Stalled>(nodes[0]).size(), 1U);
  EXPECT_EQ(told<notice::Stalled>(nodes[0])[0].text, "no quorum: 1 of 4 validators heard");
  down = {2, 3};
  connect(nodes[0]);
  run();
  elapse(Timer::Kind::consensus);
  elapse(nodes[0], Timer::Kind::stall);
  EXPECT_EQ(told<notice::Stalled>(nodes[0]).back().text, "no quorum: 2 of 4 validators heard");
  down.clear();
  for (Node& node : nodes) connect(node);
  run();
  pass_until(nodes[0], 1);
}

TEST_F(Chain, AnotherSetTakesOver) {
  found(4);
  const auto change = [&](std::uint64_t number, Height from, const std::vector<std::uint64_t>& members) {
    ledger::SetValidators set{.account = person(0).id, .sequence = number, .from_height = from, .validators = {}};
    for (const std::uint64_t member : members) set.validators.push_back({person(member).id, 1});
    std::ranges::sort(set.validators, {}, &ledger::SetValidators::Seat::account);
    return ledger::sign(set, identity::Signer(person(0).seed, federation()))->envelope;
  };
  EXPECT_EQ(submit(nodes[1], change(0, 4, {0, 1, 2})), "taken");
  run();
  pass_until(nodes[1], 1);
  make_blocks(nodes[0], 3);
  // The fourth follows now, and hands on what it gets.
  EXPECT_EQ(submit(nodes[3], transfer(ann, sequence++)), "taken");
  run();
  pass_until(nodes[3], 5);
  const auto certified =
      consensus::verify_certificate(federation(), validators_of(nodes[0].replica->ledger().state().frame.validators),
                                    nodes[0].storage.blocks[4].certificate);
  ASSERT_TRUE(certified) << certified.error().message;
  EXPECT_EQ(std::ranges::count(certified->signers, person(3).id), 0);
  // Alone one of them finalises at once.
  EXPECT_EQ(submit(nodes[0], change(1, 8, {2})), "taken");
  run();
  pass_until(nodes[0], 6);
  make_blocks(nodes[0], 2);
  for (const std::size_t gone : {0U, 1U, 3U}) disconnect(nodes[gone]);
  const std::size_t before = nodes[2].writes.size();
  EXPECT_EQ(submit(nodes[2], transfer(bob, 0)), "taken");
  run();
  EXPECT_EQ(nodes[2].replica->durable_height(), 9U);
  EXPECT_EQ(nodes[2].writes.size(), before + 1);
}

ledger::BlockHeader header_of(const FinalBlock& block) { return read_block(block.block)->header; }

TEST_F(Chain, WhatIsDueHappensInTwoEmptyBlocksAndNoneIsMadeBefore) {
  parameters.lock_ms = 60'000;
  found(4, 1);
  const auto sign = [&](const auto& body) {
    return ledger::sign(body, identity::Signer(person(ann).seed, federation()))->envelope;
  };
  const ledger::AccountId account = person(ann).id;
  const auto put_down = ledger::Bond{.account = account, .sequence = 0, .amount = 1'000'000};
  EXPECT_EQ(submit(nodes[4], sign(put_down)), "taken");
  run();
  pass_until(nodes[4], 1);
  const auto taken_out = ledger::Unbond{.account = account, .sequence = 1, .amount = 1'000'000};
  EXPECT_EQ(submit(nodes[4], sign(taken_out)), "taken");
  run();
  pass_until(nodes[4], 2);
  const std::uint64_t before = nodes[4].replica->ledger().account(account)->balance;
  ASSERT_EQ(nodes[0].replica->ledger().next_due(), now_ms + 60'000);
  const auto look = [&] {
    elapse(Timer::Kind::due);
    elapse(Timer::Kind::greet);
    elapse(Timer::Kind::consensus);
  };
  now_ms += 59'999;
  look();
  for (const Node& node : nodes) EXPECT_EQ(node.replica->durable_height(), 2U) << node.number;
  now_ms += 1;
  look();
  pass_until(nodes[4], 4);
  look();
  look();
  for (const Node& node : nodes) {
    EXPECT_EQ(node.replica->durable_height(), 4U) << "nothing is due any more: " << node.number;
    EXPECT_FALSE(node.replica->ledger().next_due());
    EXPECT_EQ(node.replica->ledger().account(account)->balance, before + 1'000'000);
    EXPECT_FALSE(node.timers.contains({.kind = Timer::Kind::due, .number = 0, .of = {}}));
  }
  expect_equal();
}

TEST_F(Chain, WhatIsDueHappensThoughSomethingElseComesFirst) {
  parameters.lock_ms = 60'000;
  found(4);
  const auto sign = [&](const auto& body) {
    return ledger::sign(body, identity::Signer(person(ann).seed, federation()))->envelope;
  };
  const ledger::AccountId account = person(ann).id;
  EXPECT_EQ(submit(nodes[0], sign(ledger::Bond{.account = account, .sequence = 0, .amount = 1'000'000})), "taken");
  run();
  pass_until(nodes[3], 1);
  EXPECT_EQ(submit(nodes[0], sign(ledger::Unbond{.account = account, .sequence = 1, .amount = 1'000'000})), "taken");
  run();
  pass_until(nodes[3], 2);
  now_ms += 60'000;
  // The timer is late: everybody hears from everybody after the time has come, and before it elapses.
  elapse(Timer::Kind::greet);
  for (const Node& node : nodes) EXPECT_EQ(node.replica->durable_height(), 2U) << node.number;
  elapse(Timer::Kind::due);
  for (Node& node : nodes) pass_until(node, 4);
  EXPECT_FALSE(nodes[0].replica->ledger().next_due());
  expect_equal();
}

TEST_F(Chain, WhatFellDueWhileNobodyRanHappensAtTheStart) {
  parameters.lock_ms = 60'000;
  found(1);
  const auto sign = [&](const auto& body) {
    return ledger::sign(body, identity::Signer(person(ann).seed, federation()))->envelope;
  };
  const ledger::AccountId account = person(ann).id;
  EXPECT_EQ(submit(nodes[0], sign(ledger::Bond{.account = account, .sequence = 0, .amount = 1'000'000})), "taken");
  run();
  EXPECT_EQ(submit(nodes[0], sign(ledger::Unbond{.account = account, .sequence = 1, .amount = 1'000'000})), "taken");
  run();
  ASSERT_EQ(nodes[0].replica->durable_height(), 2U);
  stop(nodes[0]);
  now_ms += 100'000;
  start(nodes[0]);
  run();
  EXPECT_EQ(nodes[0].replica->durable_height(), 4U);
  EXPECT_FALSE(nodes[0].replica->ledger().next_due());
}

TEST_F(Chain, AValidatorGoesOnWithAnotherKey) {
  found(4);
  for (std::uint64_t number = 0; number < 4; ++number) {
    const ledger::Rotate rotate = ledger::rotation(person(number).id, 0, person(next_key + number).seed, federation());
    const Bytes envelope = ledger::sign(rotate, identity::Signer(person(number).seed, federation()))->envelope;
    EXPECT_EQ(submit(nodes[0], envelope), "taken");
    run();
    pass_until(nodes[number], number + 1);
  }
  // From two heights later on the new ones vote, and no quorum is without them.
  make_blocks(nodes[1], 3);
  const auto& validators = nodes[1].replica->ledger().state().frame.validators;
  EXPECT_NE(seat_of(validators, person(next_key).id), nullptr);
  const auto certified = consensus::verify_certificate(federation(), validators_of(validators),
                                                       nodes[0].storage.blocks.back().certificate);
  ASSERT_TRUE(certified) << certified.error().message;
  expect_equal();
  for (Node& node : nodes) {
    stop(node);
    down.clear();
    start(node);
    connect(node);
    run();
    EXPECT_EQ(node.replica->signs_from(), 0U);
  }
  make_blocks(nodes[2], 2);
  expect_equal();
}

/// One key that lived twice: what it said in each life is carried to another, who reports it.
TEST_F(Chain, WhoSaysTwoThingsLosesItsBondByTheReportOfAnother) {
  found(4);
  // The one whose turn it is at height 1.
  std::uint64_t liar = 0;
  for (std::uint64_t i = 0; i < 4; ++i) {
    const auto before = [&](std::uint64_t other) { return person(other).id < person(i).id; };
    if (std::ranges::count_if(std::array<std::uint64_t, 4>{0, 1, 2, 3}, before) == 1) liar = i;
  }
  Node& judge = nodes[(liar + 1) % 4];
  Node& third = nodes[(liar + 2) % 4];
  stop(nodes[liar]);
  // Each life proposes a block of its own.
  const auto said_in_a_life = [&](std::uint64_t amount) {
    Config config;
    config.seeds = {person(liar).seed};
    Replica life(config, ledger::found_on(genesis, "town", sha256(big_endian(90 + amount))));
    std::vector<Bytes> said;
    std::deque<Event> events{event::Started{}, event::Submit{1, transfer(ann, 0, amount)}};
    for (; !events.empty() && said.size() < 2; events.pop_front()) {
      for (Effect& effect : life.step(now_ms, events.front())) {
        if (const auto* write = std::get_if<effect::Persist>(&effect))
          events.emplace_back(event::Durable{write->write});
        const auto* sent = std::get_if<effect::Broadcast>(&effect);
        if (sent != nullptr && sent->message[0] == 2) said.push_back(sent->message);
      }
    }
    return said;
  };
  give(judge, event::PeerUp{person(liar).id});
  for (const std::uint64_t amount : {1U, 2U}) {
    const std::vector<Bytes> said = said_in_a_life(amount);
    ASSERT_FALSE(said.empty());
    for (const Bytes& message : said) say_as(liar, judge, message);
  }
  run();
  ASSERT_EQ(told<notice::EvidenceFound>(judge).size(), 1U);
  EXPECT_EQ(told<notice::EvidenceFound>(judge)[0].offence.offender, person(liar).id);
  ASSERT_EQ(judge.replica->due_evidence().size(), 1U);
  EXPECT_TRUE(third.replica->due_evidence().empty()) << "it has seen nothing";

  ledger::Evidence evidence = judge.replica->due_evidence().front();
  evidence.account = person(bob).id;
  const identity::Signer reporter(person(bob).seed, federation());
  EXPECT_EQ(submit(third, record::encode(reporter.seal(evidence))), "taken") << "its signatures are those of consensus";
  const ledger::Ledger& ledger = judge.replica->ledger();
  const auto is_punished = [&] { return ledger.state().tables.offences.find(person(liar).id) != nullptr; };
  run();
  for (int times = 0; times < 60 && !is_punished(); ++times) {
    elapse(Timer::Kind::consensus);
    elapse(Timer::Kind::lag);
    elapse(Timer::Kind::greet);
  }
  ASSERT_TRUE(is_punished());
  EXPECT_EQ(ledger.account(person(liar).id)->bonded, 1'000'000U);
  EXPECT_EQ(ledger.account(person(liar).id)->at_stake, 0U);
  EXPECT_EQ(ledger.state().frame.validators_at(ledger.height() + 2).find(person(liar).id), nullptr);
  EXPECT_TRUE(judge.replica->due_evidence().empty()) << "the ledger is done with it";
  // After a restart it knows what it has stored, and that.
  stop(judge);
  down.clear();
  start(judge);
  EXPECT_EQ(judge.replica->offences().size(), 1U);
  EXPECT_TRUE(judge.replica->due_evidence().empty());
}

TEST(Evidence, IsReadStrictly) {
  EXPECT_FALSE(evidence_of({}));
  Bytes votes(1 + 32 + 2 * (46 + 64));
  votes[0] = 1;
  EXPECT_TRUE(evidence_of(votes));
  EXPECT_EQ(evidence_of(votes)->kind, ledger::EvidenceKind::votes);
  votes[0] = 2;
  EXPECT_FALSE(evidence_of(votes)) << "proposals are longer";
  votes.resize(1 + 32 + 2 * (48 + 64));
  EXPECT_EQ(evidence_of(votes)->kind, ledger::EvidenceKind::proposals);
  votes[0] = 3;
  EXPECT_FALSE(evidence_of(votes));
}

// Each validator says where its chain ends; from then on each block has the next link of whoever proposed it.
TEST_F(Chain, ABlockHasTheNextLinkOfItsProposersChain) {
  constexpr std::uint32_t length = 40;
  const auto secret_of = [](const ledger::AccountId& validator) { return sha256(validator.view()); };
  beacon = [&](const ledger::Ledger& ledger, const ledger::AccountId& validator) {
    const ledger::BeaconChain* chain = ledger.state().tables.chains.find(validator);
    if (chain == nullptr) return Digest{};
    return verification::chain_link(secret_of(validator), length, length - static_cast<std::uint32_t>(chain->left) + 1);
  };
  found(4);
  for (std::uint64_t i = 0; i < 4; ++i) {
    const Digest tip = verification::chain_link(secret_of(person(i).id), length, 0);
    const ledger::CommitChain chain{.account = person(i).id, .sequence = 0, .tip = tip, .length = length};
    const identity::Signer signer(person(i).seed, federation());
    const Height next = nodes[0].replica->durable_height() + 1;
    EXPECT_EQ(submit(nodes[0], ledger::sign(chain, signer)->envelope), "taken");
    run();
    pass_until(nodes[0], next);
  }
  make_blocks(nodes[0], 6);
  std::map<ledger::AccountId, std::uint32_t> revealed;
  std::size_t links = 0;
  for (const FinalBlock& block : nodes[0].storage.blocks) {
    const ledger::BlockHeader header = header_of(block);
    if (header.beacon == Digest{}) continue;
    ++links;
    EXPECT_EQ(header.beacon, verification::chain_link(secret_of(header.proposer), length, ++revealed[header.proposer]));
  }
  EXPECT_GE(links, 6U);
}

TEST_F(Chain, AnotherListBehindARightHeaderIsBlamedOnWhoSentIt) {
  found(4);
  Node& away = nodes[3];
  disconnect(away);
  make_blocks(nodes[0], 3);
  give(away, event::PeerUp{person(eve).id});
  say_as(eve, away, hello(3));
  message::Blocks forged{.from = 1, .blocks = nodes[0].storage.blocks};
  const ledger::Block first = *read_block(forged.blocks[1].block);
  const ledger::Block second = *read_block(forged.blocks[2].block);
  forged.blocks[1].block = consensus::frame(record::encode(first.header), record::encode(second.list));
  say_as(eve, away, encode(forged));
  EXPECT_EQ(blames(away), (std::vector<std::string>{"wrong-transactions"}));
  EXPECT_EQ(away.replica->ledger().height(), 1U);
  EXPECT_FALSE(away.replica->stopped()) << "it says nothing about the block";
  down.clear();
  connect(away);
  run();
  elapse(Timer::Kind::lag);
  EXPECT_EQ(away.replica->durable_height(), 3U);
  EXPECT_EQ(blocks_of(away), blocks_of(nodes[0]));
}

TEST_F(Chain, AProposalWithAnotherListIsBlamedAndTheTrueOneTaken) {
  found(4);
  const auto is_proposal = [](const Bytes& message) {
    return message.size() > 2 && message[0] == 2 && message[1] == 2;
  };
  EXPECT_EQ(submit(nodes[0], transfer(ann, 0)), "taken");
  bool forged = false;
  while (!later.empty()) {
    auto [number, event] = std::move(later.front());
    later.pop_front();
    const auto* received = std::get_if<event::Received>(&event);
    if (!forged && received != nullptr && is_proposal(received->message)) {
      forged = true;
      constexpr std::size_t before_block = 2 + 96 + 48;
      const ByteView all = received->message;
      const auto parts = consensus::parts_of(all.subspan(before_block + 4));
      ASSERT_TRUE(parts);
      const Bytes block =
          consensus::frame(parts->header, record::encode(ledger::TransactionList{{transfer(ann, 0, 2)}}));
      Bytes message = to_bytes(all.first(before_block));
      append(message, ByteView(big_endian(block.size())).last(4));
      append(message, block);
      give(nodes[number], event::PeerUp{person(eve).id});
      say_as(eve, nodes[number], std::move(message));
      EXPECT_EQ(blames(nodes[number]), (std::vector<std::string>{"wrong-transactions"}));
      EXPECT_EQ(nodes[number].blames[0].peer, person(eve).id);
      nodes[number].blames.clear();
    }
    give(nodes[number], event);
  }
  EXPECT_TRUE(forged);
  for (const Node& node : nodes) EXPECT_EQ(node.replica->durable_height(), 1U) << node.number;
  expect_equal();
}

TEST_F(Chain, WhatIsFinalIsTakenHoweverFarAheadItIsDated) {
  found(1, 1);
  // A validator whose clock is an hour ahead of the follower's: what it certified is final.
  disconnect(nodes[1]);
  now_ms += 3'600'000;
  make_blocks(nodes[0], 1);
  now_ms -= 3'600'000;
  down.clear();
  connect(nodes[1]);
  run();
  elapse(Timer::Kind::lag);
  EXPECT_EQ(nodes[1].replica->durable_height(), 1U);
  expect_equal();
}

TEST_F(Chain, WhatWaitedTooLongIsDropped) {
  found(4);
  for (const std::size_t other : {1U, 2U, 3U}) disconnect(nodes[other]);
  EXPECT_EQ(submit(nodes[0], transfer(ann, 0)), "taken");
  now_ms += ledger::max_pending_ms + 1;
  elapse(nodes[0], Timer::Kind::hand_on);
  EXPECT_EQ(nodes[0].replica->mempool().size(), 0U);
  ASSERT_EQ(told<notice::TransactionDropped>(nodes[0]).size(), 1U);
  EXPECT_EQ(name_of(told<notice::TransactionDropped>(nodes[0])[0].error), "pending-expired");
}

// ---- snapshots

TEST_F(Chain, ARestartGoesOnFromASnapshot) {
  snapshot_after = 1;  // With every block, and then with twice what the last one has.
  found(4);
  make_blocks(nodes[0], 30);
  Node& node = nodes[2];
  ASSERT_GE(node.storage.snapshots.size(), 2U);
  const Height kept = node.storage.snapshots.rbegin()->first;
  ASSERT_LT(kept, 30U);
  // What is before it is not looked at.
  node.storage.blocks[0].block[3] ^= 1U;
  const Digest root = node.replica->ledger().state_root();
  stop(node);
  start(node);
  EXPECT_EQ(node.replica->ledger().state_root(), root);
  EXPECT_EQ(node.replica->durable_height(), 30U);
  EXPECT_EQ(node.replica->signs_from(), 0U);
  down.clear();
  connect(node);
  run();
  // Without it there is no quorum.
  stop(nodes[3]);
  make_blocks(nodes[0], 2);
  EXPECT_EQ(node.replica->durable_height(), 32U);
  EXPECT_EQ(node.replica->ledger().state_root(), nodes[0].replica->ledger().state_root());
}

TEST_F(Chain, WhoIsFarBehindGoesOnFromASnapshotOfAnother) {
  snapshot_after = 1;
  found(4, 2);
  Node& late = nodes[4];
  Node& later_still = nodes[5];
  stop(late);
  stop(later_still);
  make_blocks(nodes[0], 30);
  const Height kept = nodes[0].storage.snapshots.rbegin()->first;
  down.clear();
  reads_slowly = true;
  start(late);
  connect(late);
  run();
  EXPECT_EQ(late.replica->durable_height(), kept);
  read_what_was_asked();
  for (int i = 0; i < 4; ++i) {
    elapse(Timer::Kind::fetch);
    elapse(Timer::Kind::lag);
  }
  EXPECT_EQ(late.replica->durable_height(), 30U);
  EXPECT_EQ(late.replica->base(), kept);
  EXPECT_EQ(late.storage.base, kept);
  EXPECT_EQ(told<notice::Skipped>(late).size(), 1U);
  EXPECT_EQ(late.replica->ledger().state_root(), nodes[0].replica->ledger().state_root());
  EXPECT_EQ(ledger::broken_invariant(late.replica->ledger().state()), "");
  EXPECT_TRUE(late.blames.empty());
  // It starts again from what it has, and takes what comes.
  disconnect(late);
  start(late);
  EXPECT_EQ(late.replica->durable_height(), 30U);
  EXPECT_EQ(late.replica->base(), kept);
  down.clear();
  connect(late);
  run();
  make_blocks(nodes[0], 1);
  EXPECT_EQ(late.replica->durable_height(), 31U);
  // And gives another one what it has itself.
  for (std::uint64_t i = 0; i < 4; ++i) disconnect(nodes[i]);
  down = {0, 1, 2, 3};
  start(later_still);
  connect(later_still);
  run();
  elapse(Timer::Kind::lag);
  elapse(Timer::Kind::greet);
  elapse(Timer::Kind::lag);
  EXPECT_EQ(later_still.replica->durable_height(), 31U);
  EXPECT_EQ(later_still.replica->base(), late.storage.snapshots.rbegin()->first);
  EXPECT_EQ(later_still.replica->ledger().state_root(), nodes[0].replica->ledger().state_root());
}

TEST_F(Chain, AValidatorThatLostItsDiskDecidesAgainAfterASnapshot) {
  snapshot_after = 1;
  found(4);
  Node& lost = nodes[3];
  stop(lost);
  make_blocks(nodes[0], 30);
  lost.storage = Storage{.signs_from = never};
  down.clear();
  reads_slowly = true;
  start(lost);
  connect(lost);
  run();
  read_what_was_asked();
  for (int i = 0; i < 4; ++i) {
    elapse(Timer::Kind::fetch);
    elapse(Timer::Kind::lag);
  }
  elapse(Timer::Kind::greet);
  EXPECT_GT(lost.replica->base(), 0U);
  EXPECT_EQ(lost.replica->durable_height(), 30U);
  EXPECT_NE(lost.replica->signs_from(), never);
  // It may have signed for the next heights before it lost its disk, and signs from behind them.
  make_blocks(nodes[0], lost.replica->signs_from() - 31);
  stop(nodes[2]);
  make_blocks(nodes[0], 2);
  EXPECT_EQ(lost.replica->durable_height(), lost.replica->signs_from() + 1);
  EXPECT_EQ(lost.replica->ledger().state_root(), nodes[0].replica->ledger().state_root());
}

TEST_F(Chain, AWrongSnapshotIsBlamedAndTheBlocksAreTaken) {
  snapshot_after = 1;
  found(1, 2);
  Node& late = nodes[1];
  Node& liar = nodes[2];
  stop(late);
  make_blocks(nodes[0], 30);
  // An honest head, and pieces that are not its.
  auto changed = std::make_shared<ledger::Snapshot>(*liar.storage.snapshots.rbegin()->second);
  changed->pieces[0][7] ^= 1U;
  const Height kept = changed->height;
  liar.storage.snapshots[kept] = changed;
  nodes[0].storage.snapshots.clear();
  down = {0};
  for (Node& each : nodes) {
    if (each.number != 1) disconnect(each);
  }
  down = {0};
  start(late);
  connect(late);
  while (!later.empty() && blames(late).empty()) {
    auto [number, event] = std::move(later.front());
    later.pop_front();
    give(nodes[number], event);
    elapse(late, Timer::Kind::lag);
  }
  EXPECT_EQ(blames(late), std::vector<std::string>{"bad-snapshot"});
  down.clear();
  connect(nodes[0]);
  run();
  for (int i = 0; i < 8; ++i) elapse(Timer::Kind::greet);
  elapse(Timer::Kind::lag);
  EXPECT_EQ(late.replica->durable_height(), 30U);
  EXPECT_EQ(late.replica->base(), 0U);
  EXPECT_EQ(late.replica->ledger().state_root(), nodes[0].replica->ledger().state_root());
}

TEST_F(Chain, ASnapshotThatDoesNotComeDelaysTheBlocksOnce) {
  found(1, 1);
  Node& late = nodes[1];
  stop(late);
  make_blocks(nodes[0], 30);
  down.clear();
  start(late);
  connect(late);
  give(late, event::PeerUp{person(eve).id});
  late.peers.insert(eve);
  say_as(eve, late, hello(30, {}, 0, 29));
  run();
  EXPECT_EQ(parts_asked(late, eve), std::vector<std::uint32_t>{0});
  elapse(Timer::Kind::fetch);
  EXPECT_EQ(late.replica->durable_height(), 0U) << "no blocks for a while";
  elapse(Timer::Kind::alone);
  // Of the blocks that it is asked for others are asked as well once they are late.
  for (int i = 0; i < 4; ++i) elapse(Timer::Kind::fetch);
  EXPECT_EQ(late.replica->durable_height(), 30U);
  EXPECT_EQ(late.replica->base(), 0U);
  EXPECT_TRUE(late.blames.empty());
  elapse(Timer::Kind::part);
  say_as(eve, late, hello(300, {}, 0, 290));
  run();
  EXPECT_EQ(parts_asked(late, eve).size(), 2U) << "that is another one";
  elapse(Timer::Kind::part);
  say_as(eve, late, hello(300, {}, 0, 290));
  run();
  EXPECT_EQ(parts_asked(late, eve).size(), 2U) << "it is not asked for the same again";
}

TEST_F(Chain, WhoCanHaveTheBlocksSoonTakesThem) {
  snapshot_after = 1;
  patience = std::chrono::milliseconds(10'000);
  found(1, 1);
  Node& late = nodes[1];
  stop(late);
  make_blocks(nodes[0], 30);
  const Height kept = nodes[0].storage.snapshots.rbegin()->first;
  down.clear();
  reads_slowly = true;
  start(late);
  connect(late);
  run();
  EXPECT_TRUE(parts_asked(late, 0).empty());
  EXPECT_EQ(late.replica->durable_height(), 0U);
  elapse(Timer::Kind::patience);
  EXPECT_FALSE(parts_asked(late, 0).empty());
  EXPECT_EQ(late.replica->base(), kept);
  read_what_was_asked();
  for (int i = 0; i < 4; ++i) {
    elapse(Timer::Kind::fetch);
    elapse(Timer::Kind::lag);
  }
  EXPECT_EQ(late.replica->durable_height(), 30U);
  EXPECT_TRUE(std::ranges::none_of(late.timers, [](const Timer& one) { return one.kind == Timer::Kind::patience; }));
}

TEST_F(Chain, WhatWasSubmittedBeforeASnapshotWaitsOnAndNothingElseTakesItsNumber) {
  snapshot_after = 1;
  found(1, 1);
  Node& late = nodes[1];
  stop(late);
  make_blocks(nodes[0], 30);
  down.clear();
  reads_slowly = true;
  start(late);
  // Two of its own people's, of which one is final by then.
  EXPECT_EQ(submit(late, transfer(bob, 0)), "taken");
  EXPECT_EQ(submit(late, transfer(ann, 0, 7)), "taken");
  later.clear();
  connect(late);
  run();
  ASSERT_GT(late.replica->base(), 0U);
  ASSERT_EQ(told<notice::TransactionDropped>(late).size(), 1U);
  EXPECT_EQ(name_of(told<notice::TransactionDropped>(late)[0].error), "skipped");
  EXPECT_NE(late.replica->mempool().find(person(bob).id, 0), nullptr);
  EXPECT_EQ(late.replica->mempool().find(person(ann).id, 0), nullptr);
  read_what_was_asked();
  elapse(Timer::Kind::hand_on);
  pass_until(nodes[0], 31);
  elapse(Timer::Kind::lag);
  elapse(Timer::Kind::greet);
  ASSERT_EQ(told<notice::TransactionFinal>(late).size(), 1U);
  EXPECT_EQ(late.replica->ledger().account(person(bob).id)->sequence, 1U);
}

TEST_F(Chain, WhereTheSnapshotThatItBeginsWithIsGoneItSignsNothing) {
  found(1);
  Node& node = nodes[0];
  stop(node);
  node.storage = Storage{.blocks = {}, .base = 20, .snapshots = {}, .log = {}, .signs_from = 0, .offences = {}};
  start(node);
  EXPECT_TRUE(is_told(node, "damaged-chain"));
  EXPECT_EQ(node.replica->signs_from(), never);
  EXPECT_EQ(node.replica->base(), 0U);
}

TEST_F(Chain, WhatIsAskedOfASnapshotIsReadForOnePeerOneAtATime) {
  snapshot_after = 1;
  found(1);
  make_blocks(nodes[0], 10);
  Node& node = nodes[0];
  give(node, event::PeerUp{person(eve).id});
  node.sent.clear();
  node.peers.insert(eve);
  const Height kept = node.storage.snapshots.rbegin()->first;
  const auto ask = [&](Height height, std::uint32_t part) {
    say_as(eve, node, encode(message::AskPart{height, part}));
  };
  const auto answers = [&] {
    std::vector<message::Part> parts;
    for (const effect::Send& send : node.sent) {
      if (auto read = decode(send.message); read && std::holds_alternative<message::Part>(*read))
        parts.push_back(std::get<message::Part>(*read));
    }
    return parts;
  };
  ask(kept, 0);
  ask(kept, 0);
  ASSERT_EQ(later.size(), 1U) << "the second has to wait";
  run();
  ASSERT_EQ(answers().size(), 1U);
  EXPECT_EQ(answers()[0].bytes, node.storage.snapshots.rbegin()->second->head);
  for (const auto& [height, part] : {std::pair<Height, std::uint32_t>{kept, 1'000}, {kept + 1'000, 0}}) {
    ask(height, part);
    run();
    EXPECT_TRUE(answers().back().bytes.empty());
  }
  EXPECT_TRUE(node.blames.empty());
  say_as(eve, node, encode(message::Part{kept, 0, {1}}));
  EXPECT_TRUE(node.blames.empty()) << "an answer may be late";
}

}  // namespace
}  // namespace mesh::chain
