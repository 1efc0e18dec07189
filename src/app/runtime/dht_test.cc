#include "app/runtime/dht.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace mesh::app {
namespace {

using asset::Visibility;

Cid root_of(std::string_view content) { return Cid::of(Multicodec::raw, as_bytes(content)); }

asset::Asset file(std::string_view content, std::uint64_t bytes, Visibility visibility = Visibility::everybody) {
  return {.share = "share",
          .path = std::string(content),
          .cid = root_of(content),
          .bytes = bytes,
          .sha256 = sha256(as_bytes(content)),
          .visibility = visibility,
          .hub = {}};
}

NodeId peer(std::uint8_t number) {
  std::array<std::uint8_t, 32> key{};
  key.fill(number);
  return NodeId(key);
}

struct DhtTest : testing::Test {
  boost::asio::io_context io;
  std::set<Bytes> provided;
  std::size_t room = 100;
  std::vector<std::pair<Bytes, std::function<void(Result<p2p::Providers>)>>> searches;

  Dht::Ports ports() {
    return {
        .provide = [this](ByteView key) -> Status {
          if (provided.size() >= room) return fail(ErrorCode::exhausted, "no room");
          EXPECT_TRUE(provided.insert(to_bytes(key)).second) << "twice";
          return {};
        },
        .stop_providing = [this](ByteView key) { EXPECT_EQ(provided.erase(to_bytes(key)), 1U); },
        .find_providers = [this](ByteView key, auto done) { searches.emplace_back(to_bytes(key), std::move(done)); }};
  }
};

TEST(DhtChoice, IsOfWhatEverybodyMayHaveAndOfTheLargest) {
  const std::vector<asset::Asset> shared{file("small", 1),
                                         file("large", 300),
                                         file("middle", 20),
                                         file("near", 5000, Visibility::lan),
                                         file("ours", 5000, Visibility::federation),
                                         file("large", 300)};
  const Dht::Chosen all = Dht::choose(shared, 10);
  EXPECT_EQ(all.roots, (std::set<Cid>{root_of("small"), root_of("large"), root_of("middle")}));
  EXPECT_EQ(all.left_out, 0U);
  const Dht::Chosen some = Dht::choose(shared, 2);
  EXPECT_EQ(some.roots, (std::set<Cid>{root_of("large"), root_of("middle")}));
  EXPECT_EQ(some.left_out, 1U);
  EXPECT_TRUE(Dht::choose({}, 2).roots.empty());
}

TEST(DhtKey, IsTheMultihash) {
  const Bytes key = Dht::key_of(root_of("content"));
  ASSERT_EQ(key.size(), 34U);
  EXPECT_EQ(key[0], 0x12);
  EXPECT_EQ(key[1], 0x20);
  EXPECT_TRUE(equal(ByteView(key).subspan(2), sha256(as_bytes("content")).view()));
}

TEST_F(DhtTest, ToldIsWhatIsSharedNowAndNothingElse) {
  Dht dht{io, ports(), {}};
  EXPECT_EQ(dht.announce({}), "");
  EXPECT_NE(dht.announce(Dht::choose({file("a", 1), file("b", 2)}, 10)), "");
  EXPECT_EQ(provided, (std::set<Bytes>{Dht::key_of(root_of("a")), Dht::key_of(root_of("b"))}));
  EXPECT_EQ(dht.announce(Dht::choose({file("a", 1), file("b", 2)}, 10)), "");
  EXPECT_NE(dht.announce(Dht::choose({file("b", 2), file("a", 1, Visibility::lan)}, 10)), "");
  EXPECT_EQ(provided, std::set<Bytes>{Dht::key_of(root_of("b"))});
  EXPECT_EQ(dht.roots(), 1U);
}

TEST_F(DhtTest, WhatIsLeftOutIsTold) {
  Dht dht{io, ports(), {.max_roots = 1}};
  const std::string text = dht.announce(Dht::choose({file("a", 1), file("b", 2)}, 1));
  EXPECT_EQ(text,
            "1 roots of files that everybody may have are told to the DHT; 1 others are not: the 1 largest are the "
            "most");
  room = 1;
  const auto more = Dht::choose({file("b", 2), file("c", 3), file("d", 4)}, 3);
  EXPECT_NE(dht.announce(more).find("; 2 others are not: no room"), std::string::npos);
  EXPECT_EQ(dht.left_out(), 2U);
  EXPECT_EQ(dht.announce(more), "") << "nothing new";
}

TEST_F(DhtTest, SearchesForOneRootAreOneAndRemembered) {
  Dht dht{io, ports(), {}};
  std::vector<Dht::Found> heard;
  const auto hear = [&heard](const Dht::Found& found) { heard.push_back(found); };
  for (int i = 0; i < 3; ++i) dht.seek(root_of("a"), std::chrono::minutes(5), hear);
  ASSERT_EQ(searches.size(), 1U);
  EXPECT_EQ(searches[0].first, Dht::key_of(root_of("a")));
  EXPECT_TRUE(heard.empty());
  searches[0].second(p2p::Providers{.peers = {peer(1), peer(2)}, .asked = 5});
  ASSERT_EQ(heard.size(), 3U);
  EXPECT_EQ(heard[2].peers, (std::vector<NodeId>{peer(1), peer(2)}));
  dht.seek(root_of("a"), std::chrono::minutes(5), hear);
  EXPECT_EQ(searches.size(), 1U);
  EXPECT_EQ(heard.size(), 4U);
  EXPECT_EQ(dht.known(root_of("a"), [] {}).size(), 2U);
}

TEST_F(DhtTest, ThatNobodyHasItOrCouldBeAskedIsSaid) {
  Dht dht{io, ports(), {}};
  std::string text;
  const auto hear = [&text](const Dht::Found& found) {
    EXPECT_TRUE(found.peers.empty());
    text = found.text;
  };
  dht.seek(root_of("a"), std::chrono::minutes(5), hear);
  searches.at(0).second(p2p::Providers{.peers = {}, .asked = 5});
  EXPECT_EQ(text, "nobody in the DHT has told of it either (5 peers answered)");
  dht.seek(root_of("b"), std::chrono::minutes(5), hear);
  searches.at(1).second(fail(ErrorCode::unavailable, "nobody is there"));
  EXPECT_EQ(text, "the DHT was not asked: nobody is there");
  // That is not remembered: somebody may be there by now.
  dht.seek(root_of("b"), std::chrono::minutes(5), hear);
  EXPECT_EQ(searches.size(), 3U);
}

TEST_F(DhtTest, ASearchThatNobodyAnswersEndsAndALateAnswerHurtsNobody) {
  Dht dht{io, ports(), {}};
  std::vector<std::string> heard;
  dht.seek(root_of("a"), std::chrono::milliseconds(1), [&](const Dht::Found& found) { heard.push_back(found.text); });
  io.run();
  EXPECT_EQ(heard, std::vector<std::string>{"the DHT gave no answer in time"});
  searches.at(0).second(p2p::Providers{.peers = {peer(1)}, .asked = 1});
  EXPECT_EQ(heard.size(), 1U);
  EXPECT_EQ(dht.known(root_of("a"), [] {}), std::vector<NodeId>{peer(1)});
}

TEST_F(DhtTest, WaitingSearchesAreBounded) {
  Dht dht{io, ports(), {.max_waiting = 1}};
  std::string text;
  dht.seek(root_of("a"), std::chrono::minutes(5), [](const Dht::Found&) {});
  dht.seek(root_of("b"), std::chrono::minutes(5), [&](const Dht::Found& found) { text = found.text; });
  EXPECT_EQ(searches.size(), 1U);
  EXPECT_EQ(text, "the DHT was not asked: too many searches wait already");
}

TEST_F(DhtTest, WhoCannotWaitHearsWhenSomebodyIsFound) {
  Dht dht{io, ports(), {}};
  int heard = 0;
  EXPECT_TRUE(dht.known(root_of("a"), [&] { ++heard; }).empty());
  EXPECT_TRUE(dht.known(root_of("a"), [&] { ++heard; }).empty());
  io.poll();
  ASSERT_EQ(searches.size(), 1U);
  searches[0].second(p2p::Providers{.peers = {peer(1)}, .asked = 1});
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace mesh::app
