#include "app/runtime/bitswap.h"

#include <mutex>
#include <set>

#include "app/runtime/pacer.h"
#include "app/runtime/stream.h"
#include "app/runtime/test_content.h"
#include "codec/varint.h"
#include "domain/asset/bitswap_message.h"
#include "domain/task/intent.h"

namespace mesh::app {
namespace {

using asset::BitswapMessage;

BitswapMessage wants(std::initializer_list<BitswapMessage::Want> list) {
  BitswapMessage message;
  message.wants = list;
  return message;
}

Bytes said(const BitswapMessage& message) { return framed(asset::encode_bitswap(message)); }

/// All that came, as one message.
BitswapMessage heard(ByteView bytes) {
  BitswapMessage all;
  while (!bytes.empty()) {
    const Varint length = read_varint(bytes);
    EXPECT_EQ(length.state, VarintState::complete);
    const auto message = asset::decode_bitswap(bytes.subspan(length.size, static_cast<std::size_t>(length.value)));
    EXPECT_TRUE(message);
    bytes = bytes.subspan(length.size + static_cast<std::size_t>(length.value));
    all.wants.insert(all.wants.end(), message->wants.begin(), message->wants.end());
    all.blocks.insert(all.blocks.end(), message->blocks.begin(), message->blocks.end());
    all.presences.insert(all.presences.end(), message->presences.begin(), message->presences.end());
  }
  return all;
}

struct BitswapTest : testing::Test {
  boost::asio::io_context io;
  TestStore ours, theirs, others;
  TestOpener opener, back, back_other;  ///< of the client, and of the two that serve it
  NodeId us = test_node(1), they = test_node(2), other = test_node(3);
  std::vector<std::pair<NodeId, std::string>> liars;
  std::set<std::pair<NodeId, Cid>> permitted;
  BitswapExchange::Limits limits, server_limits;
  std::unique_ptr<BitswapExchange> client, server, second;

  BitswapTest() { limits.idle = server_limits.idle = Duration(0); }
  ~BitswapTest() override {
    client.reset();
    server.reset();
    second.reset();
  }

  void start() {
    client = std::make_unique<BitswapExchange>(
        io, *ours.blocks, opener, limits,
        [this](const NodeId& node, const std::string& what) { liars.emplace_back(node, what); });
    server = std::make_unique<BitswapExchange>(
        io, *theirs.blocks, back, server_limits, BitswapExchange::OnLiar{},
        [this](const NodeId& node, const Cid& root) { return permitted.contains({node, root}); });
    // It lets everybody have every block, as others' nodes do.
    second = std::make_unique<BitswapExchange>(io, *others.blocks, back_other, server_limits, BitswapExchange::OnLiar{},
                                               [](const NodeId&, const Cid&) { return true; });
    opener.peers[they] = [this](int end) { server->serve(us, end); };
    opener.peers[other] = [this](int end) { second->serve(us, end); };
    back.peers[us] = [this](int end) { client->serve(they, end); };
    back_other.peers[us] = [this](int end) { client->serve(other, end); };
  }

  Status fetch(const Cid& root, std::vector<NodeId> holders, Duration limit = seconds(60)) {
    std::optional<Status> result;
    client->fetch(root, std::move(holders), limit, [&](Status status) { result = std::move(status); });
    io.restart();
    while (!result && io.run_one() > 0) {
    }
    return result ? *result : Status(fail(ErrorCode::internal, "the fetch was never answered"));
  }

  /// What the server says to `asker` when it has heard these bytes and its stream has ended.
  BitswapMessage ask(ByteView bytes, const NodeId& asker) {
    const auto before = back.peers;
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    server->serve(asker, ends[0]);
    std::thread writer([bytes, end = ends[1]] {
      write_all(end, bytes);
      ::shutdown(end, SHUT_WR);
    });
    Bytes all;
    std::vector<std::thread> readers;
    std::mutex mutex;
    back.peers[asker] = [&](int end) {
      readers.emplace_back([&, end] {
        const Bytes part = read_to_end(end);
        ::close(end);
        const std::lock_guard guard(mutex);
        append(all, part);
      });
    };
    io.restart();
    io.run();
    writer.join();
    for (std::thread& reader : readers) reader.join();
    ::close(ends[1]);
    back.peers = before;
    return heard(all);
  }
  BitswapMessage ask(const BitswapMessage& message, const NodeId& asker) { return ask(said(message), asker); }
};

/// A peer that answers every message of ours on streams that it opens to the client; what it answers the test says.
struct Puppet {
  Puppet(BitswapExchange& client_exchange, NodeId self) : client(client_exchange), node(self) {}
  BitswapExchange& client;
  NodeId node;
  std::function<Bytes(const BitswapMessage&)> answer;
  std::vector<std::thread> threads;
  int answers = -1;

  /// For TestOpener: takes the end of a stream that the client opened.
  void operator()(int end) {
    if (answers < 0) {
      std::array<int, 2> ends{};
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
      client.serve(node, ends[0]);
      answers = ends[1];
    }
    threads.emplace_back([this, end] {
      while (true) {
        Bytes prefix;
        Varint length;
        std::uint8_t byte = 0;
        while ((length = read_varint(prefix)).state != VarintState::complete) {
          if (::read(end, &byte, 1) != 1) {
            ::close(end);
            return;
          }
          prefix.push_back(byte);
        }
        Bytes frame(static_cast<std::size_t>(length.value));
        for (std::size_t at = 0; at < frame.size();) {
          const ssize_t got = ::read(end, frame.data() + at, frame.size() - at);
          if (got <= 0) break;
          at += static_cast<std::size_t>(got);
        }
        const auto message = asset::decode_bitswap(frame);
        if (message) write_all(answers, answer(*message));
      }
    });
  }
  /// Once the client has closed its streams.
  void end() {
    for (std::thread& thread : threads) thread.join();
    if (answers >= 0) ::close(answers);
  }
};

TEST_F(BitswapTest, BringsAFileOfManyBlocks) {
  limits.window = 3;
  start();
  const Bytes content = noise(12'500'000, 1);
  const Cid root = theirs.add(content);
  theirs.declare(root);
  const Status status = fetch(root, {they});
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(*ours.blocks->read_dag_file(root, 20'000'000), content);
  EXPECT_EQ(client->figures().blocks_fetched, 13U);  // Twelve leaves and their parent.
  EXPECT_EQ(server->figures().blocks_served, 13U);
  const int opened = opener.opened[they];
  ASSERT_TRUE(fetch(root, {they}));
  EXPECT_EQ(opener.opened[they], opened);
}

TEST_F(BitswapTest, ResumesWithNothingFetchedTwice) {
  start();
  const Bytes content = noise(5'000'000, 2);
  const Cid root = theirs.add(content);
  theirs.declare(root);
  ASSERT_TRUE(fetch(root, {they}));
  const auto links = *asset::links_of(root, **ours.blocks->get(root));
  ASSERT_TRUE(*ours.blocks->erase(links[1]));
  ASSERT_TRUE(*ours.blocks->erase(links[3]));
  const auto before = client->figures().blocks_fetched;
  // The peer may ask for them since it was served their parent.
  ASSERT_TRUE(fetch(root, {they}));
  EXPECT_EQ(client->figures().blocks_fetched, before + 2);
}

TEST_F(BitswapTest, UndeclaredUnknownAndUnnameableGetTheSameAnswer) {
  start();
  const Cid known = theirs.add(as_bytes("a secret"));
  const Cid unknown = Cid::of(Multicodec::raw, as_bytes("nobody has this"));
  Bytes foreign = unknown.bytes();
  foreign[2] = 0x1b;  // Keccak.
  for (const bool have : {false, true}) {
    for (const Bytes& cid : {known.bytes(), unknown.bytes(), foreign}) {
      const BitswapMessage loud = ask(wants({{.cid = cid, .have = have, .send_dont_have = true}}), us);
      EXPECT_TRUE(loud.blocks.empty());
      ASSERT_EQ(loud.presences.size(), 1U);
      EXPECT_EQ(loud.presences[0], (BitswapMessage::Presence{.cid = cid, .has = false}));
      EXPECT_TRUE(ask(wants({{.cid = cid, .have = have}}), us).is_empty());
    }
  }
  const Status status = fetch(known, {they});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
  EXPECT_NE(status.error().message.find("has no block"), std::string::npos) << status.error().message;
  EXPECT_EQ(server->figures().blocks_served, 0U);
}

TEST_F(BitswapTest, BlocksBelowARootAreForThoseAloneWhoWereServedWhatLinksThem) {
  start();
  const Bytes content = noise(3'000'000, 3);
  const Cid root = theirs.add(content);
  const auto links = *asset::links_of(root, **theirs.blocks->get(root));
  theirs.declare(root);
  const auto leaf = wants({{.cid = links[1].bytes(), .send_dont_have = true}});
  EXPECT_TRUE(ask(leaf, us).blocks.empty());
  EXPECT_EQ(ask(wants({{.cid = root.bytes(), .have = true}}), us).presences.size(), 1U);
  EXPECT_TRUE(ask(leaf, us).blocks.empty());  // That it is there does not show what it links to.
  EXPECT_EQ(ask(wants({{.cid = root.bytes()}}), us).blocks.size(), 1U);
  ASSERT_EQ(ask(leaf, us).blocks.size(), 1U);
  EXPECT_TRUE(ask(leaf, other).blocks.empty());
  // The root is no longer served: what is below it is not, either.
  theirs.blocks->undeclare(root, "test", {});
  EXPECT_TRUE(ask(leaf, us).blocks.empty());
  theirs.declare(root);
  EXPECT_EQ(ask(leaf, us).blocks.size(), 1U);
  // Who comes back goes on where it was.
  server->peer_down(us);
  EXPECT_EQ(ask(leaf, us).blocks.size(), 1U);
}

TEST_F(BitswapTest, WhatOnePeerMayHaveAnotherMayNot) {
  start();
  const Cid root = theirs.add(noise(2'000'000, 4));
  permitted.insert({us, root});
  EXPECT_EQ(ask(wants({{.cid = root.bytes()}}), us).blocks.size(), 1U);
  EXPECT_TRUE(ask(wants({{.cid = root.bytes()}}), other).blocks.empty());
  ASSERT_TRUE(fetch(root, {they}));
}

TEST_F(BitswapTest, WhatAPeerMayAskForIsBoundedAndTheOldestGoes) {
  server_limits.max_grants_per_peer = 2;
  start();
  const Cid root = theirs.add(noise(4'000'000, 5));
  const auto links = *asset::links_of(root, **theirs.blocks->get(root));
  ASSERT_EQ(links.size(), 4U);
  theirs.declare(root);
  ASSERT_EQ(ask(wants({{.cid = root.bytes()}}), us).blocks.size(), 1U);
  EXPECT_TRUE(ask(wants({{.cid = links[0].bytes()}}), us).blocks.empty());
  EXPECT_EQ(ask(wants({{.cid = links[3].bytes()}}), us).blocks.size(), 1U);
}

TEST_F(BitswapTest, AllPeersTogetherHaveABoundTooAndTheOneWithTheMostLosesHalf) {
  server_limits.max_grants = 5;
  start();
  const Cid large = theirs.add(noise(4'000'000, 6));
  const Cid small = theirs.add(noise(2'000'000, 7));
  const auto links = *asset::links_of(large, **theirs.blocks->get(large));
  const auto few = *asset::links_of(small, **theirs.blocks->get(small));
  theirs.declare(large);
  theirs.declare(small);
  ASSERT_EQ(ask(wants({{.cid = large.bytes()}}), us).blocks.size(), 1U);
  ASSERT_EQ(ask(wants({{.cid = small.bytes()}}), other).blocks.size(), 1U);
  EXPECT_TRUE(ask(wants({{.cid = links[0].bytes()}}), us).blocks.empty());
  EXPECT_EQ(ask(wants({{.cid = links[3].bytes()}}), us).blocks.size(), 1U);
  EXPECT_EQ(ask(wants({{.cid = few[0].bytes()}, {.cid = few[1].bytes()}}), other).blocks.size(), 2U);
}

TEST_F(BitswapTest, WantsAreAnsweredByPriorityAndCancelledOnesNotAtAll) {
  start();
  std::vector<Cid> files;
  for (std::uint8_t i = 0; i < 4; ++i) {
    files.push_back(theirs.add(ByteView(&i, 1)));
    theirs.declare(files.back());
  }
  BitswapMessage message = wants({{.cid = files[0].bytes(), .priority = 1},
                                  {.cid = files[1].bytes(), .priority = 9},
                                  {.cid = files[2].bytes(), .priority = 5},
                                  {.cid = files[3].bytes(), .priority = 7},
                                  {.cid = files[3].bytes(), .cancel = true},
                                  {.cid = files[2].bytes(), .priority = 5, .have = true}});
  const BitswapMessage answer = ask(message, us);
  ASSERT_EQ(answer.blocks.size(), 2U);
  EXPECT_EQ(asset::cid_of_block(answer.blocks[0]), files[1]);
  EXPECT_EQ(asset::cid_of_block(answer.blocks[1]), files[0]);
  ASSERT_EQ(answer.presences.size(), 1U);  // Of two wants of one block the later counts.
  EXPECT_EQ(answer.presences[0], (BitswapMessage::Presence{.cid = files[2].bytes(), .has = true}));
}

TEST_F(BitswapTest, AFullWantlistReplacesWhatWaits) {
  start();
  // Larger than what a stream takes while nobody reads, so that the later ones still wait.
  std::vector<Cid> files;
  for (std::uint32_t i = 0; i < 12; ++i) {
    files.push_back(theirs.add(noise(1'000'000, 100 + i)));
    theirs.declare(files.back());
  }
  BitswapMessage first;
  for (std::uint32_t i = 0; i < 11; ++i) first.wants.push_back({.cid = files[i].bytes(), .priority = 20 - i});
  BitswapMessage second_list = wants({{.cid = files[11].bytes()}});
  second_list.is_full = true;
  Bytes bytes = said(first);
  append(bytes, said(second_list));
  const BitswapMessage answer = ask(bytes, us);
  EXPECT_LT(answer.blocks.size(), 12U);
  ASSERT_FALSE(answer.blocks.empty());
  EXPECT_EQ(asset::cid_of_block(answer.blocks.back()), files[11]);
}

TEST_F(BitswapTest, AFloodOfWantsIsHeardUpToTheBound) {
  server_limits.max_wants = 10;
  start();
  BitswapMessage flood;
  for (std::uint32_t i = 0; i < 1'000; ++i)
    flood.wants.push_back(
        {.cid = Cid::of(Multicodec::raw, ByteView(reinterpret_cast<std::uint8_t*>(&i), sizeof i)).bytes(),
         .send_dont_have = true});
  const BitswapMessage answer = ask(flood, us);
  EXPECT_EQ(answer.presences.size(), 10U);
  // Nothing of it is left, and who floods is still served.
  const Cid file = theirs.add(as_bytes("x"));
  theirs.declare(file);
  EXPECT_EQ(ask(wants({{.cid = file.bytes()}}), us).blocks.size(), 1U);
}

TEST_F(BitswapTest, StreamsPastTheBoundAreClosed) {
  server_limits.max_streams_per_peer = 1;
  start();
  std::array<int, 2> first{}, more{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first.data()), 0);
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, more.data()), 0);
  server->serve(us, first[0]);
  server->serve(us, more[0]);
  io.restart();
  io.poll();
  EXPECT_TRUE(read_to_end(more[1]).empty());
  ::close(first[1]);
  ::close(more[1]);
}

TEST_F(BitswapTest, GarbageEndsAStreamAndEmptyMessagesDoNot) {
  start();
  const Cid file = theirs.add(as_bytes("x"));
  theirs.declare(file);
  const Bytes good = said(wants({{.cid = file.bytes()}}));
  for (const Bytes& bad : {Bytes(12, 0xff), Bytes{0x85, 0x80, 0x80, 0x02}, Bytes{0x02, 0x0a, 0x7f}}) {
    Bytes bytes = bad;
    append(bytes, good);
    EXPECT_TRUE(ask(bytes, us).is_empty()) << to_hex(bad);
  }
  Bytes bytes(1'000, 0);
  append(bytes, good);
  EXPECT_EQ(ask(bytes, us).blocks.size(), 1U);
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_TRUE(ask(ByteView(good).first(size), us).is_empty());
}

TEST_F(BitswapTest, WrongBlocksAreNeverKeptAndWhoSendsThemIsRemembered) {
  start();
  const Bytes content = to_bytes("the truth");
  const Cid root = others.add(content);
  others.declare(root);
  Puppet liar(*client, they);
  int lie = 0;
  liar.answer = [&](const BitswapMessage& message) {
    BitswapMessage answer;
    if (message.wants.empty() || message.wants[0].cancel) return Bytes{};
    for (int i = 0; i < 20; ++i)
      answer.blocks.push_back(
          {.prefix = asset::prefix_of_want(root.bytes()), .data = to_bytes(fmt::format("lie {}", ++lie))});
    return said(answer);
  };
  opener.peers[they] = std::ref(liar);
  const Status status = fetch(root, {they, other});
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(*ours.blocks->read_dag_file(root, 100), content);
  EXPECT_EQ(ours.blocks->count(), 1U);
  ASSERT_EQ(liars.size(), 1U);
  EXPECT_EQ(liars[0].first, they);
  EXPECT_EQ(client->figures().bad_blocks, 1U);
  const int opened = opener.opened[they];
  const Status again = fetch(Cid::of(Multicodec::raw, as_bytes("y")), {they});
  EXPECT_NE(again.error().message.find("is not asked any more"), std::string::npos) << again.error().message;
  EXPECT_EQ(opener.opened[they], opened);
  client.reset();
  liar.end();
}

TEST_F(BitswapTest, ABlockThatWasNotAskedForIsNotKept) {
  start();
  const Cid root = Cid::of(Multicodec::raw, as_bytes("wanted"));
  Puppet eager(*client, they);
  eager.answer = [&](const BitswapMessage& message) {
    if (message.wants.empty() || message.wants[0].cancel) return Bytes{};
    BitswapMessage answer;
    answer.blocks.push_back({.prefix = asset::prefix_of_want(root.bytes()), .data = to_bytes("not wanted")});
    answer.blocks.push_back({.prefix = {9, 9}, .data = to_bytes("of no kind")});
    answer.blocks.push_back({.prefix = asset::prefix_of_want(root.bytes()), .data = to_bytes("wanted")});
    answer.blocks.push_back({.prefix = asset::prefix_of_want(root.bytes()), .data = to_bytes("wanted")});
    return said(answer);
  };
  opener.peers[they] = std::ref(eager);
  const Status status = fetch(root, {they});
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(ours.blocks->has(root));
  EXPECT_EQ(ours.blocks->count(), 1U);
  EXPECT_TRUE(liars.empty());
  client.reset();
  eager.end();
}

TEST_F(BitswapTest, ASilentPeerIsGivenUpForTheNextAndToldSo) {
  limits.stall = milliseconds(200);
  start();
  const Cid root = others.add(as_bytes("patience"));
  others.declare(root);
  std::mutex mutex;
  std::vector<BitswapMessage> messages;
  Puppet silent(*client, they);
  silent.answer = [&](const BitswapMessage& message) {
    const std::lock_guard guard(mutex);
    messages.push_back(message);
    return Bytes{};
  };
  opener.peers[they] = std::ref(silent);
  ASSERT_TRUE(fetch(root, {they, other}));
  io.restart();
  io.poll();
  client.reset();
  silent.end();
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].wants, (std::vector<BitswapMessage::Want>{{.cid = root.bytes(), .send_dont_have = true}}));
  EXPECT_EQ(messages[1].wants, (std::vector<BitswapMessage::Want>{{.cid = root.bytes(), .cancel = true}}));
}

TEST_F(BitswapTest, APeerThatLacksABlockOrGoesIsPassedOver) {
  start();
  const Bytes content = noise(3'000'000, 8);
  const Cid root = theirs.add(content);
  ASSERT_EQ(others.add(content), root);
  theirs.declare(root);
  others.declare(root);
  const auto links = *asset::links_of(root, **theirs.blocks->get(root));
  ASSERT_TRUE(*theirs.blocks->erase(links[1]));
  const Status status = fetch(root, {they});
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find(links[1].text()), std::string::npos) << status.error().message;
  // A third that closes every stream at once, and a fourth that cannot be reached.
  const NodeId reset = test_node(4);
  const NodeId gone = test_node(5);
  opener.peers[reset] = [](int end) { ::close(end); };
  ASSERT_TRUE(fetch(root, {gone, reset, they, other}));
  EXPECT_EQ(*ours.blocks->read_dag_file(root, 10'000'000), content);
  EXPECT_TRUE(liars.empty());
}

TEST_F(BitswapTest, APeerThatDisconnectsEndsWhatWaitsForIt) {
  start();
  const Cid root = Cid::of(Multicodec::raw, as_bytes("never"));
  Puppet leaving(*client, they);
  leaving.answer = [&](const BitswapMessage&) {
    client->peer_down(they);
    return Bytes{};
  };
  opener.peers[they] = std::ref(leaving);
  const Status status = fetch(root, {they});
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("is not connected any more"), std::string::npos) << status.error().message;
  client.reset();
  leaving.end();
}

TEST_F(BitswapTest, TheLimitEndsAFetchWhateverThePeersDo) {
  start();
  const Cid root = Cid::of(Multicodec::raw, as_bytes("never"));
  std::vector<int> held;
  opener.peers[they] = [&held](int end) { held.push_back(end); };
  const Status status = fetch(root, {they}, milliseconds(50));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::timeout);
  EXPECT_NE(fetch(root, {}).error().message.find("no peer is known"), std::string::npos);
  for (const int end : held) ::close(end);
}

TEST_F(BitswapTest, FetchesOfOneRootShareTheWork) {
  start();
  const Cid root = theirs.add(noise(2'000'000, 9));
  theirs.declare(root);
  int answered = 0;
  for (int i = 0; i < 5; ++i) {
    client->fetch(root, {they}, seconds(60), [&](const Status& status) {
      EXPECT_TRUE(status);
      ++answered;
    });
  }
  while (answered < 5 && io.run_one() > 0) {
  }
  EXPECT_EQ(answered, 5);
  EXPECT_EQ(client->figures().blocks_fetched, 3U);
}

TEST_F(BitswapTest, TwoRootsThatShareBlocksAreBothBrought) {
  start();
  task::ShardList list;
  for (std::uint8_t i = 0; i < 100; ++i) list.inputs.push_back(theirs.add(ByteView(&i, 1)));
  const Cid one = theirs.add_record(list);
  list.inputs.resize(50);
  const Cid two = theirs.add_record(list);
  theirs.declare(one);
  theirs.declare(two);
  int answered = 0;
  for (const Cid& root : {one, two}) {
    client->fetch(root, {they}, seconds(60), [&](const Status& status) {
      EXPECT_TRUE(status);
      ++answered;
    });
  }
  while (answered < 2 && io.run_one() > 0) {
  }
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(ours.blocks->count(), 102U);
}

TEST_F(BitswapTest, BoundsOfBytesBlocksAndTransfersHold) {
  limits.max_bytes = 1'500'000;
  limits.max_blocks = 4;
  limits.max_transfers = 1;
  start();
  const Cid large = theirs.add(noise(2'000'000, 10));
  task::ShardList list;
  for (std::uint8_t i = 0; i < 8; ++i) list.inputs.push_back(theirs.add(ByteView(&i, 1)));
  const Cid many = theirs.add_record(list);
  theirs.declare(large);
  theirs.declare(many);
  EXPECT_EQ(fetch(large, {they}).error().code, ErrorCode::exhausted);
  EXPECT_EQ(fetch(many, {they}).error().code, ErrorCode::exhausted);
  std::vector<int> held;
  opener.peers[they] = [&held](int end) { held.push_back(end); };
  client->fetch(Cid::of(Multicodec::raw, as_bytes("never")), {they}, seconds(60), [](const Status&) {});
  EXPECT_NE(fetch(many, {they}).error().message.find("under way already"), std::string::npos);
  for (const int end : held) ::close(end);
}

TEST_F(BitswapTest, PastTheBoundOfPeersOneThatSaysNothingIsForgotten) {
  server_limits.max_peers = 2;
  start();
  const Cid root = theirs.add(noise(2'000'000, 11));
  const auto leaf = wants({{.cid = asset::links_of(root, **theirs.blocks->get(root))->front().bytes()}});
  theirs.declare(root);
  for (std::uint8_t number = 10; number < 20; ++number) {
    ASSERT_EQ(ask(wants({{.cid = root.bytes()}}), test_node(number)).blocks.size(), 1U);
    EXPECT_EQ(ask(leaf, test_node(number)).blocks.size(), 1U);
  }
  EXPECT_TRUE(ask(leaf, test_node(10)).blocks.empty());
}

TEST_F(BitswapTest, WhatIsServedIsPaced) {
  const std::uint64_t rate = 20'000'000;
  std::shared_ptr<Pacer> pacer;  // Its time goes on by what it makes others wait, and by nothing else.
  pacer = std::make_shared<Pacer>(Pacer::Rates{.up = rate}, [&] { return Instant(pacer->figures().waited); });
  server_limits.pacer = pacer;
  start();
  const Bytes content = noise(5'500'000, 42);
  const Cid root = theirs.add(content);
  theirs.declare(root);
  ASSERT_TRUE(fetch(root, {they}));
  EXPECT_GE(pacer->figures().up, content.size());
  EXPECT_GE(pacer->figures().waited, Duration((content.size() - rate / 10) * 1'000'000 / rate));
}

}  // namespace
}  // namespace mesh::app
