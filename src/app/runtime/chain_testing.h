// For tests of what stands on a replica in a node: a few hosts whose streams are socket pairs, each over a store of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "adapters/store/sqlite.h"
#include "adapters/store/temporary_folder.h"
#include "app/runtime/chain_host.h"

namespace mesh::app {

using Made = ChainHost::Made;
using When = ChainHost::When;

inline Seed seed_of(std::uint64_t number) { return Seed::from(sha256(big_endian(number)).view()).value(); }
inline NodeId node_of(std::uint64_t number) { return public_key_of(seed_of(number)); }

/// A few hosts whose streams are socket pairs.
class Town : public ::testing::Test {
 protected:
  struct Node final : StreamOpener {
    Node(Town& a_town, std::uint64_t a_number) : town(a_town), number(a_number), seed(seed_of(a_number)) {}
    void open(const NodeId& peer, std::string_view protocol, std::string_view, Opened opened) override {
      opened(town.connect(*this, peer, protocol));
    }
    void connect_by(const NodeId&, std::string_view, Connected connected) override {
      connected(fail(ErrorCode::unsupported, "socket pairs alone"));
    }
    Town& town;
    std::uint64_t number;
    Seed seed;  ///< its key; its account is node_of(number) for good
    std::optional<Seed> next;
    std::vector<Seed> former;
    std::unique_ptr<store::NodeStore> store;
    std::unique_ptr<ChainHost> host;
    std::set<std::string> heard;  ///< kinds of what it told
    std::vector<std::string> texts;
    std::vector<node::event::LedgerChanged> news;  ///< in the order in which they were told
  };

  void found(std::uint64_t founders, std::uint64_t nodes, bool open_enrolment = false) {
    FoundingPlan plan;
    plan.name = "town";
    plan.open_enrolment = open_enrolment;
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
  [[nodiscard]] static NodeId id_of(const Node& node) { return public_key_of(node.seed); }
  /// As a home does it: the next key is the node's where the ledger has taken it.
  void start(Node& node, bool key_was_brought = false) {
    auto host = ChainHost::open(
        {.file = file_of(node),
         .founding = founding_,
         .seed = node.seed,
         .next = node.next,
         .former = node.former,
         .key_was_brought = key_was_brought,
         .store = store_of(node),
         .interest = {},
         .timeouts = {},
         .snapshot_after = snapshot_after_,
         .patience = std::chrono::milliseconds(0)},
        node,
        [this, &node](const ChainHost::Story& story) {
          const std::scoped_lock lock(mutex_);
          node.heard.insert(story.kind);
          node.texts.push_back(story.text);
          changed_.notify_all();
        },
        [this, &node](node::event::LedgerChanged news) {
          const std::scoped_lock lock(mutex_);
          node.news.push_back(std::move(news));
          changed_.notify_all();
        });
    ASSERT_TRUE(host) << host.error().message;
    if (node.next && (*host)->seed() == *node.next) {
      node.former.insert(node.former.begin(), node.seed);
      node.seed = *std::exchange(node.next, std::nullopt);
    }
    ASSERT_EQ((*host)->seed(), node.seed);
    (*host)->begin({});
    {
      const std::scoped_lock lock(mutex_);
      node.host = std::move(*host);
    }
    for (const auto& other : nodes_) {
      if (other.get() == &node || !other->host) continue;
      node.host->peer_up(id_of(*other));
      other->host->peer_up(id_of(node));
    }
  }
  void start_all() {
    for (const auto& node : nodes_) start(*node);
  }
  void stop(Node& node) {
    for (const auto& other : nodes_) {
      if (other.get() != &node && other->host) other->host->peer_down(id_of(node));
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
      if (id_of(*node) != to || !node->host) continue;
      std::array<int, 2> ends{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return fail(ErrorCode::unavailable, "no socket pair");
      node->host->serve(id_of(from), ends[1]);
      return OpenedStream{.descriptor = ends[0], .transport = "tcp"};
    }
    return fail(ErrorCode::unavailable, "it is not there");
  }

  static Result<Made> transact(Node& node, const ledger::Body& body, When when = When::final) {
    std::promise<Result<Made>> made;
    node.host->transact(body, when, [&](Result<Made> result) { made.set_value(std::move(result)); });
    return made.get_future().get();
  }
  static Result<Made> rotate(Node& node, std::uint64_t number, When when = When::final) {
    node.next = seed_of(number);
    std::promise<Result<Made>> made;
    node.host->rotate(*node.next, when, [&](Result<Made> result) { made.set_value(std::move(result)); });
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
  /// What the ledger has of a node, as another one sees it; none: it is no member and never was.
  static std::optional<ledger::Member> member(Node& at, std::uint64_t of) {
    return look(at, [of](const chain::Replica& replica) {
      const ledger::Member* member = replica.ledger().member(node_of(of));
      return member == nullptr ? std::nullopt : std::optional(*member);
    });
  }
  /// All that the node was told of the ledger until now, in its order.
  [[nodiscard]] std::vector<node::event::LedgerChanged> news_of(Node& node) {
    look(node, [](const chain::Replica&) { return true; });  // Whatever its thread was at is over then.
    const std::scoped_lock lock(mutex_);
    return node.news;
  }
  /// Of blocks that are not durable yet.
  [[nodiscard]] static chain::Height height_in_memory(Node& node) {
    return look(node, [](const chain::Replica& replica) { return replica.ledger().height(); });
  }
  /// While it is there, the node's chain cannot be written.
  [[nodiscard]] store::sqlite::Connection hold_disk(const Node& node) const {
    store::sqlite::Connection held =
        store::sqlite::Connection::open(file_of(node).string(), store::sqlite::Connection::Mode::read_write).value();
    EXPECT_TRUE(held.run("BEGIN IMMEDIATE"));
    return held;
  }
  void await_story(const Node& node, const std::string& kind) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return node.heard.contains(kind); });
  }
  [[nodiscard]] Digest root(Node& node) {
    return look(node, [](const chain::Replica& replica) { return replica.ledger().state_root(); });
  }

  std::size_t snapshot_after_ = 0;  ///< bytes of blocks; 0: never
  store::TemporaryFolder folder_;
  Founding founding_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace mesh::app
