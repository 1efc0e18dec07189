#include "app/runtime/chain_host.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <set>

#include "adapters/store/sqlite.h"
#include "adapters/store/temporary_folder.h"

namespace mesh::app {
namespace {

using Made = ChainHost::Made;
using When = ChainHost::When;

Seed seed_of(std::uint64_t number) { return Seed::from(sha256(big_endian(number)).view()).value(); }
NodeId node_of(std::uint64_t number) { return public_key_of(seed_of(number)); }

/// A few hosts whose streams are socket pairs.
class Town : public ::testing::Test {
 protected:
  struct Node final : StreamOpener {
    Node(Town& a_town, std::uint64_t a_number) : town(a_town), number(a_number) {}
    void open(const NodeId& peer, std::string_view protocol, std::string_view, Opened opened) override {
      opened(town.connect(*this, peer, protocol));
    }
    void connect_by(const NodeId&, std::string_view, Connected connected) override {
      connected(fail(ErrorCode::unsupported, "socket pairs alone"));
    }
    Town& town;
    std::uint64_t number;
    std::unique_ptr<store::NodeStore> store;
    std::unique_ptr<ChainHost> host;
    std::set<std::string> heard;  ///< kinds of what it told
    std::vector<std::string> texts;
  };

  void found(std::uint64_t founders, std::uint64_t nodes) {
    FoundingPlan plan;
    plan.name = "town";
    plan.founder = node_of(0);
    for (std::uint64_t number = 1; number < founders; ++number) plan.others.push_back(node_of(number));
    plan.time_ms = 1'000;
    founding_ = *app::found(plan);
    for (std::uint64_t number = 0; number < nodes; ++number) nodes_.push_back(std::make_unique<Node>(*this, number));
  }
  void TearDown() override {
    for (const auto& node : nodes_) stop(*node);
  }

  [[nodiscard]] std::filesystem::path file_of(const Node& node) const {
    return folder_.path() / (std::to_string(node.number) + ".db");
  }
  /// Opened once, and not closed before the end: a host's end leaves it open in the program, too.
  store::NodeStore* store_of(Node& node) {
    if (!node.store) node.store = store::NodeStore::open(folder_.path() / std::to_string(node.number)).value();
    return node.store.get();
  }
  void start(Node& node, bool key_was_brought = false) {
    auto host = ChainHost::start(
        {.file = file_of(node),
         .founding = founding_,
         .seed = seed_of(node.number),
         .key_was_brought = key_was_brought,
         .store = store_of(node),
         .interest = {.self = node_of(node.number), .intents = {}},
         .timeouts = {}},
        node,
        [this, &node](const ChainHost::Story& story) {
          const std::scoped_lock lock(mutex_);
          node.heard.insert(story.kind);
          node.texts.push_back(story.text);
          changed_.notify_all();
        },
        [this](const node::event::LedgerChanged&) {
          const std::scoped_lock lock(mutex_);
          changed_.notify_all();
        });
    ASSERT_TRUE(host) << host.error().message;
    {
      const std::scoped_lock lock(mutex_);
      node.host = std::move(*host);
    }
    for (const auto& other : nodes_) {
      if (other.get() == &node || !other->host) continue;
      node.host->peer_up(node_of(other->number));
      other->host->peer_up(node_of(node.number));
    }
  }
  void start_all() {
    for (const auto& node : nodes_) start(*node);
  }
  void stop(Node& node) {
    for (const auto& other : nodes_) {
      if (other.get() != &node && other->host) other->host->peer_down(node_of(node.number));
    }
    std::unique_ptr<ChainHost> host;
    {
      const std::scoped_lock lock(mutex_);
      host = std::move(node.host);
    }
    host.reset();
  }
  Result<OpenedStream> connect(const Node& from, const NodeId& to, std::string_view protocol) {
    const std::scoped_lock lock(mutex_);
    EXPECT_EQ(protocol, ledger_protocol);
    for (const auto& node : nodes_) {
      if (node_of(node->number) != to || !node->host) continue;
      std::array<int, 2> ends{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return fail(ErrorCode::unavailable, "no socket pair");
      node->host->serve(node_of(from.number), ends[1]);
      return OpenedStream{.descriptor = ends[0], .transport = "tcp"};
    }
    return fail(ErrorCode::unavailable, "it is not there");
  }

  static Result<Made> transact(Node& node, const ledger::Body& body, When when = When::final) {
    std::promise<Result<Made>> made;
    node.host->transact(body, when, [&](Result<Made> result) { made.set_value(std::move(result)); });
    return made.get_future().get();
  }
  static ledger::Transfer transfer(std::uint64_t to, std::uint64_t amount) {
    return {.account = {}, .sequence = 0, .to = node_of(to), .amount = amount, .memo = {}};
  }
  template <class Read>
  static auto look(Node& node, Read read) {
    std::promise<decltype(read(std::declval<const chain::Replica&>()))> seen;
    node.host->look([&](const chain::Replica& replica) { seen.set_value(read(replica)); });
    return seen.get_future().get();
  }
  static std::uint64_t balance(Node& node, std::uint64_t of) {
    return look(node, [of](const chain::Replica& replica) {
      const ledger::Account* account = replica.ledger().account(node_of(of));
      return account == nullptr ? 0 : account->balance;
    });
  }
  /// Until the node's chain is so high.
  void await_height(Node& node, chain::Height height) {
    while (look(node, [](const chain::Replica& replica) { return replica.durable_height(); }) < height) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, milliseconds(100));
    }
  }
  void await_story(const Node& node, const std::string& kind) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return node.heard.contains(kind); });
  }
  [[nodiscard]] Digest root(Node& node) {
    return look(node, [](const chain::Replica& replica) { return replica.ledger().state_root(); });
  }

  store::TemporaryFolder folder_;
  Founding founding_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

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
