#include "app/runtime/content.h"

#include "app/runtime/pacer.h"
#include "app/runtime/test_content.h"
#include "codec/car.h"
#include "codec/varint.h"
#include "domain/task/intent.h"

namespace mesh::app {
namespace {

Bytes framed(ByteView bytes) {
  Bytes out;
  append_varint(out, bytes.size());
  append(out, bytes);
  return out;
}

Bytes operator+(Bytes a, const Bytes& b) {
  append(a, b);
  return a;
}

struct ContentTest : testing::Test {
  boost::asio::io_context io;
  TestStore ours, theirs, others;
  TestOpener opener, nobody;
  NodeId us = test_node(1), they = test_node(2), other = test_node(3);
  std::vector<std::pair<NodeId, std::string>> liars;
  ContentExchange::Limits limits;
  std::unique_ptr<ContentExchange> client, server, second;

  ContentTest() { limits.first_pause = Duration(0); }
  ~ContentTest() override {
    client.reset();
    server.reset();
    second.reset();
  }

  void start(const ContentExchange::Limits& server_limits = {}) {
    client = std::make_unique<ContentExchange>(
        io, *ours.blocks, opener, limits,
        [this](const NodeId& node, const std::string& what) { liars.emplace_back(node, what); });
    server = std::make_unique<ContentExchange>(io, *theirs.blocks, nobody, server_limits);
    second = std::make_unique<ContentExchange>(io, *others.blocks, nobody, server_limits);
    opener.peers[they] = [this](int end) { server->serve(us, end); };
    opener.peers[other] = [this](int end) { second->serve(us, end); };
  }

  Status fetch(const ContentExchange::Want& want, std::vector<NodeId> holders, Duration limit = seconds(60)) {
    std::optional<Status> result;
    client->fetch(want, std::move(holders), limit, [&](Status status) { result = std::move(status); });
    io.restart();
    while (!result && io.run_one() > 0) {
    }
    return result ? *result : Status(fail(ErrorCode::internal, "the fetch was never answered"));
  }

  /// What the server answers to these bytes.
  Bytes ask(ByteView request) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    server->serve(us, ends[0]);
    write_all(ends[1], request);
    ::shutdown(ends[1], SHUT_WR);
    io.restart();
    io.run();
    Bytes answer = read_to_end(ends[1]);
    ::close(ends[1]);
    return answer;
  }
};

TEST_F(ContentTest, BringsAFileOfManyBlocksAndServesNothingTwice) {
  start();
  const Bytes content = noise(5'500'000, 1);
  const Cid root = theirs.add(content);
  theirs.declare(root);
  ASSERT_TRUE(fetch({.root = root, .below = {}}, {they}));
  EXPECT_EQ(*ours.blocks->read_dag_file(root, 10'000'000), content);
  EXPECT_EQ(client->figures().blocks_fetched, 7U);  // Six leaves and their parent.
  ASSERT_TRUE(fetch({.root = root, .below = {}}, {they}));
  EXPECT_EQ(opener.opened[they], 1);
  EXPECT_TRUE(*client->is_here(root));
  io.restart();
  io.run();  // The server sees that its client has left.
  EXPECT_EQ(server->figures().served_streams, 0U);
}

TEST_F(ContentTest, UndeclaredAndUnknownGetTheSameBytes) {
  start();
  const Cid known = theirs.add(as_bytes("a secret"));
  const Cid unknown = Cid::of(Multicodec::raw, as_bytes("nobody has this"));
  BlocksRequest request;
  request.root = known;
  const Bytes of_known = ask(framed(record::encode(request)));
  request.root = unknown;
  const Bytes of_unknown = ask(framed(record::encode(request)));
  EXPECT_EQ(of_known, of_unknown);
  EXPECT_EQ(of_known, framed(record::encode(BlocksAnswer{BlocksStatus::not_found})));
  EXPECT_EQ(fetch({.root = known, .below = {}}, {they}).error().code, ErrorCode::unavailable);
}

TEST_F(ContentTest, ALinkOfADeclaredRootIsServedAlone) {
  start();
  task::ShardList list;
  for (std::uint8_t i = 0; i < 3; ++i) list.inputs.push_back(theirs.add(ByteView(&i, 1)));
  const Cid root = theirs.add_record(list);
  const Cid stranger = theirs.add(as_bytes("not in the list"));
  theirs.declare(root);
  ASSERT_TRUE(fetch({.root = root, .below = {}, .depth = 0}, {they}));
  EXPECT_FALSE(ours.blocks->has(list.inputs[0]));
  ASSERT_TRUE(fetch({.root = list.inputs[1], .below = root}, {they}));
  EXPECT_TRUE(ours.blocks->has(list.inputs[1]));
  EXPECT_FALSE(ours.blocks->has(list.inputs[2]));
  EXPECT_FALSE(fetch({.root = stranger, .below = root}, {they}));
  EXPECT_FALSE(fetch({.root = list.inputs[2], .below = {}}, {they}));
  // The list that links it is known there but declared no more.
  theirs.blocks->undeclare(root, "test", {});
  EXPECT_FALSE(fetch({.root = list.inputs[2], .below = root}, {they}));
}

TEST_F(ContentTest, ACutIsNotAnEndAndTheRestComesFromTheNext) {
  start();
  const Bytes content = noise(4'000'000, 2);
  const Cid root = theirs.add(content);
  ASSERT_EQ(others.add(content), root);
  theirs.declare(root);
  others.declare(root);
  // A holder whose stream ends after 2.5 MB.
  opener.peers[they] = [this](int end) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    server->serve(us, ends[0]);
    std::thread([end, inner = ends[1]] {
      Bytes request(200);
      const ssize_t got = ::read(end, request.data(), request.size());
      write_all(inner, ByteView(request).first(static_cast<std::size_t>(got)));
      std::size_t left = 2'500'000;
      Bytes part(65'536);
      while (left > 0) {
        const ssize_t more = ::read(inner, part.data(), std::min(part.size(), left));
        if (more <= 0) break;
        write_all(end, ByteView(part).first(static_cast<std::size_t>(more)));
        left -= static_cast<std::size_t>(more);
      }
      ::close(inner);
      ::close(end);
    }).detach();
  };
  ASSERT_TRUE(fetch({.root = root, .below = {}}, {they, other}));
  EXPECT_EQ(*ours.blocks->read_dag_file(root, 10'000'000), content);
  EXPECT_EQ(client->figures().blocks_fetched, 5U);          // None twice.
  EXPECT_EQ(second->figures().blocks_served, 2U);           // Root and two leaves were here already.
  EXPECT_TRUE(liars.empty());
}

TEST_F(ContentTest, TruncatedAtEveryByteIsNeverTakenForWhole) {
  start();
  const Cid leaf = theirs.add(as_bytes("leaf"));
  task::ShardList list;
  list.inputs.push_back(leaf);
  const Cid root = theirs.add_record(list);
  theirs.declare(root);
  BlocksRequest request;
  request.root = root;
  const Bytes whole = ask(framed(record::encode(request)));
  ASSERT_GT(whole.size(), 100U);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const NodeId holder = other;
    // Once; a second answer would have to skip what came before.
    opener.peers[holder] = [answer = canned(to_bytes(ByteView(whole).first(size))), asked = false](int end) mutable {
      if (std::exchange(asked, true)) {
        ::close(end);
      } else {
        answer(end);
      }
    };
    ASSERT_TRUE(ours.blocks->erase(root));
    ASSERT_TRUE(ours.blocks->erase(leaf));
    client->forget_complete();
    const Status status = fetch({.root = root, .below = {}}, {holder});
    const bool has_all = ours.blocks->has(root) && ours.blocks->has(leaf);
    // All blocks may have come before the cut; then nothing is missing, however the stream ended.
    EXPECT_EQ(status.has_value(), has_all) << size;
  }
  EXPECT_TRUE(liars.empty());
}

TEST_F(ContentTest, LiarsAreNamedAndAskedNoMore) {
  start();
  const Cid root = theirs.add(as_bytes("the truth"));
  theirs.declare(root);
  const Bytes ok = framed(record::encode(BlocksAnswer{}));
  const Bytes header = framed(car::header(std::span(&root, 1)));
  const Bytes other_header = framed(car::header(std::vector<Cid>{root, root}));
  const Bytes good = car::section(root, as_bytes("the truth"));
  const Bytes bad = car::section(root, as_bytes("not truth"));
  const Bytes elsewhere = car::section(Cid::of(Multicodec::raw, as_bytes("x")), as_bytes("x"));
  const auto end = [](std::uint64_t blocks, std::uint64_t bytes) {
    return Bytes{0} +
           framed(record::encode(BlocksEnd{.ending = BlocksEnding::complete, .blocks = blocks, .bytes = bytes}));
  };
  const std::uint64_t header_bytes = header.size() - 1;
  struct Lie {
    std::string what;
    Bytes answer;
  };
  std::vector<Lie> lies{
      {"answer that does not read", framed(to_bytes("garbage"))},
      {"frame whose length does not read", Bytes(12, 0xff)},
      {"at most", ok + Bytes{0xff, 0xff, 0xff, 0xff, 0x7f}},
      {"bad block", ok + header + framed(bad)},
      {"out of turn", ok + header + framed(elsewhere)},
      {"not one CAR section", ok + header + framed(good + good)},
      {"not one CAR section", ok + header + framed(to_bytes(ByteView(good).first(good.size() - 1)))},
      {"header of other roots", ok + other_header},
      {"end that does not read", ok + header + Bytes{0} + framed(to_bytes("x"))},
      {"said that all was sent", ok + header + end(0, header_bytes)},
      {"than its end says", ok + header + end(1, header_bytes)},
      {"than its end says", ok + header + end(0, header_bytes + 1)},
  };
  lies[5].what = "";  // Two sections in one frame: refused as one or the other, by the reader or by us.
  for (std::size_t i = 0; i < lies.size(); ++i) {
    const NodeId liar = test_node(static_cast<std::uint8_t>(100 + i));
    opener.peers[liar] = canned(lies[i].answer);
    liars.clear();
    ASSERT_TRUE(ours.blocks->erase(root));
    client->forget_complete();
    const Status alone = fetch({.root = root, .below = {}}, {liar});
    ASSERT_FALSE(alone) << i;
    EXPECT_NE(alone.error().message.find(lies[i].what), std::string::npos) << i << alone.error().message;
    ASSERT_EQ(liars.size(), 1U) << i << alone.error().message;
    EXPECT_EQ(liars[0].first, liar);
    const int before = opener.opened[liar];
    ASSERT_TRUE(fetch({.root = root, .below = {}}, {liar, they})) << i;
    EXPECT_EQ(opener.opened[liar], before);
  }
  EXPECT_EQ(client->figures().bad_blocks, lies.size());
}

TEST_F(ContentTest, AHolderThatLacksABlockIsPassedOver) {
  start();
  const Bytes content = noise(3'000'000, 3);
  const Cid root = theirs.add(content);
  ASSERT_EQ(others.add(content), root);
  theirs.declare(root);
  others.declare(root);
  const auto links = asset::links_of(root, **theirs.blocks->get(root));
  ASSERT_TRUE(theirs.blocks->erase((*links)[1]));
  EXPECT_FALSE(fetch({.root = root, .below = {}}, {they}));
  ASSERT_TRUE(fetch({.root = root, .below = {}}, {they, other}));
  EXPECT_EQ(*ours.blocks->read_dag_file(root, 10'000'000), content);
  EXPECT_TRUE(liars.empty());
}

TEST_F(ContentTest, ErrorsSayOfEveryHolderWhatHappened) {
  start();
  const Cid root = Cid::of(Multicodec::raw, as_bytes("nowhere"));
  const NodeId gone = test_node(9);
  const Status status = fetch({.root = root, .below = {}}, {gone, they});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
  EXPECT_NE(status.error().message.find(identity::short_name(gone) + ": cannot be reached"), std::string::npos)
      << status.error().message;
  EXPECT_NE(status.error().message.find(identity::short_name(they) + ": has no such content"), std::string::npos)
      << status.error().message;
  const Status nobody_known = fetch({.root = root, .below = {}}, {});
  EXPECT_NE(nobody_known.error().message.find("no peer is known"), std::string::npos);
}

TEST_F(ContentTest, ASilentHolderIsGivenUpForTheNext) {
  limits.stall = milliseconds(200);
  start();
  const Cid root = theirs.add(as_bytes("patience"));
  theirs.declare(root);
  const NodeId silent = test_node(9);
  std::vector<int> held;
  opener.peers[silent] = [&held](int end) { held.push_back(end); };
  EXPECT_TRUE(fetch({.root = root, .below = {}}, {silent, they}));
  for (const int end : held) ::close(end);
}

TEST_F(ContentTest, TheLimitEndsAFetchWhateverTheHoldersDo) {
  start({.max_served = 0});  // Always busy.
  limits.first_pause = milliseconds(1);
  const Cid root = theirs.add(as_bytes("queue"));
  theirs.declare(root);
  const Status status = fetch({.root = root, .below = {}}, {they}, milliseconds(50));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::timeout);
}

TEST_F(ContentTest, FetchesOfOneRootShareTheWork) {
  start();
  const Cid root = theirs.add(noise(2'000'000, 4));
  theirs.declare(root);
  int answered = 0;
  for (int i = 0; i < 5; ++i) {
    client->fetch({.root = root, .below = {}}, {they}, seconds(60), [&](const Status& status) {
      EXPECT_TRUE(status);
      ++answered;
    });
  }
  while (answered < 5 && io.run_one() > 0) {
  }
  EXPECT_EQ(answered, 5);
  EXPECT_EQ(opener.opened[they], 1);
}

TEST_F(ContentTest, BoundsOfBytesAndBlocksHold) {
  limits.max_bytes = 1'500'000;
  limits.max_blocks = 4;
  start();
  const Cid large = theirs.add(noise(2'000'000, 5));
  task::ShardList list;
  for (std::uint8_t i = 0; i < 8; ++i) list.inputs.push_back(theirs.add(ByteView(&i, 1)));
  const Cid many = theirs.add_record(list);
  theirs.declare(large);
  theirs.declare(many);
  EXPECT_EQ(fetch({.root = large, .below = {}}, {they}).error().code, ErrorCode::exhausted);
  EXPECT_EQ(fetch({.root = many, .below = {}}, {they}).error().code, ErrorCode::exhausted);
}

TEST_F(ContentTest, GarbageRequestsAreAnsweredOrDropped) {
  start();
  const Bytes malformed = framed(record::encode(BlocksAnswer{BlocksStatus::malformed}));
  BlocksRequest request;
  request.root = theirs.add(as_bytes("x"));
  theirs.declare(request.root);
  const Bytes good = framed(record::encode(request));
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_TRUE(ask(ByteView(good).first(size)).empty()) << size;
  EXPECT_EQ(ask(framed(to_bytes("no record"))), malformed);
  EXPECT_EQ(ask(Bytes{0}), malformed);
  EXPECT_EQ(ask(Bytes(9, 0xff)), malformed);
  EXPECT_EQ(ask(Bytes{0xff, 0xff, 0x7f}), malformed);                      // 2 MB of request
  EXPECT_EQ(ask(framed(record::encode(BlocksAnswer{}))), malformed);       // A record of another type.
  EXPECT_EQ(server->figures().served_streams, 0U);
}

TEST_F(ContentTest, ADamagedBlockIsFetchedAgain) {
  start();
  const Bytes content = noise(1'500'000, 6);
  const Cid root = theirs.add(content);
  theirs.declare(root);
  ASSERT_TRUE(fetch({.root = root, .below = {}}, {they}));
  const auto links = *asset::links_of(root, **ours.blocks->get(root));
  ASSERT_TRUE(*ours.blocks->erase(links[0]));
  client->forget_complete();
  EXPECT_FALSE(*client->is_here(root));
  ASSERT_TRUE(fetch({.root = root, .below = {}}, {they}));
  EXPECT_EQ(*ours.blocks->read_dag_file(root, 10'000'000), content);
}

TEST_F(ContentTest, BothWaysArePaced) {
  const std::uint64_t rate = 20'000'000;
  const auto paced = [](const Pacer::Rates& rates) {
    const auto self = std::make_shared<std::shared_ptr<Pacer>>();
    // Its time goes on by what it makes others wait, and by nothing else.
    *self = std::make_shared<Pacer>(rates,
                                    [weak = std::weak_ptr(self)] { return Instant((*weak.lock())->figures().waited); });
    return self;
  };
  const auto up = paced({.up = rate});
  const auto down = paced({.down_per_peer = rate});
  limits.pacer = *down;
  ContentExchange::Limits server_limits;
  server_limits.pacer = *up;
  start(server_limits);
  const Bytes content = noise(5'500'000, 41);
  const Cid root = theirs.add(content);
  theirs.declare(root);
  ASSERT_TRUE(fetch({.root = root, .below = {}}, {they}));
  EXPECT_EQ(ours.blocks->read_dag_file(root, 1 << 23), content);
  const Duration least((content.size() - rate / 10) * 1'000'000 / rate);
  for (const std::uint64_t bytes : {(*up)->figures().up, (*down)->figures().down}) {
    EXPECT_GE(bytes, content.size());
    EXPECT_LE(bytes, content.size() + content.size() / 100);
  }
  EXPECT_GE((*up)->figures().waited, least);
  EXPECT_GE((*down)->figures().waited, least);
  EXPECT_EQ((*up)->figures().down + (*down)->figures().up, 0U);
}

}  // namespace
}  // namespace mesh::app
