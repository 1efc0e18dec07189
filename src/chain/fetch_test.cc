// Who is asked for which blocks: ranges, several peers, who is silent, who lies, and what is held.
#include "chain/fetch.h"

#include <gtest/gtest.h>

#include "domain/ledger/ledger_testing.h"

namespace mesh::chain {
namespace {

PeerId peer(std::uint64_t number) { return ledger::nobody(number); }

message::Blocks answer(const Fetches::Asked& asked, std::size_t count, std::size_t bytes = 10) {
  message::Blocks blocks{.from = asked.from, .blocks = {}};
  for (std::size_t i = 0; i < count; ++i) blocks.blocks.push_back({asked.from + i, Bytes(3), Bytes(bytes)});
  return blocks;
}

class Fetching : public testing::Test {
 protected:
  void peers(std::uint64_t count, Height shown) {
    for (std::uint64_t i = 0; i < count; ++i) {
      ASSERT_TRUE(fetches.peer_up(peer(i)));
      fetches.shows(peer(i), shown);
    }
  }
  Fetches fetches;
};

TEST_F(Fetching, RangesGoToSeveralPeersAndEachIsAskedOnce) {
  peers(6, 1'000);
  const auto asks = fetches.due(100);
  ASSERT_EQ(asks.size(), max_fetches);
  std::set<PeerId> asked;
  for (std::size_t i = 0; i < asks.size(); ++i) {
    EXPECT_EQ(asks[i].from, 101 + i * fetch_blocks);
    EXPECT_EQ(asks[i].count, fetch_blocks);
    EXPECT_TRUE(asked.insert(asks[i].peer).second);
  }
  EXPECT_TRUE(fetches.due(100).empty()) << "all of that is under way";
  EXPECT_TRUE(fetches.take(asks[1].peer, answer(asks[1], fetch_blocks)));
  EXPECT_FALSE(fetches.holds(101));
  EXPECT_TRUE(fetches.holds(101 + fetch_blocks));
  EXPECT_TRUE(fetches.due(100).empty()) << "no further than the window";
  EXPECT_TRUE(fetches.take(asks[0].peer, answer(asks[0], 2)));
  const auto rest = fetches.due(100);
  ASSERT_EQ(rest.size(), 1U) << "what the answer left out";
  EXPECT_EQ(rest[0].from, 103U);
  EXPECT_EQ(rest[0].count, fetch_blocks - 2);
  EXPECT_EQ(fetches.next(101)->peer, asks[0].peer);
  EXPECT_EQ(fetches.next(102)->block.height, 102U);
  EXPECT_EQ(fetches.next(103), std::nullopt);
}

TEST_F(Fetching, NobodyIsAskedForWhatHeDoesNotShow) {
  peers(2, 5);
  EXPECT_TRUE(fetches.due(5).empty());
  fetches.shows(peer(1), 7);
  const auto asks = fetches.due(5);
  ASSERT_EQ(asks.size(), 1U);
  EXPECT_EQ(asks[0].peer, peer(1));
  EXPECT_EQ(asks[0].count, 2U);
  // It has less than it showed.
  EXPECT_TRUE(fetches.take(peer(1), answer(asks[0], 0)));
  EXPECT_EQ(fetches.target(), 5U);
  fetches.shows_at_least(peer(0), 9);
  fetches.shows_at_least(peer(0), 3);
  EXPECT_EQ(fetches.target(), 9U);
  fetches.shows(peer(77), 50);
  EXPECT_EQ(fetches.target(), 9U) << "who is not connected shows nothing";
}

TEST_F(Fetching, LevelIsWhoIsNoLowerThanSomebodySaysItIs) {
  EXPECT_FALSE(fetches.is_level(1'000)) << "nobody is there";
  ASSERT_TRUE(fetches.peer_up(peer(0)));
  EXPECT_FALSE(fetches.is_level(1'000)) << "it has not said anything";
  fetches.shows_at_least(peer(0), 7);
  EXPECT_FALSE(fetches.is_level(1'000)) << "that was not what it has";
  fetches.shows(peer(0), 7);
  EXPECT_FALSE(fetches.is_level(6));
  EXPECT_TRUE(fetches.is_level(7));
  peers(2, 9);
  EXPECT_FALSE(fetches.is_level(7));
  fetches.shows(peer(1), 7);
  EXPECT_TRUE(fetches.is_level(7)) << "one is enough, whatever others say";
  fetches.lied(peer(1));
  EXPECT_FALSE(fetches.is_level(7));
  fetches.peer_down(peer(0));
  EXPECT_FALSE(fetches.is_level(10));
}

TEST_F(Fetching, WhoIsSilentIsPassedOverAndMayAnswerLate) {
  peers(2, 10);
  const auto first = fetches.due(0);
  ASSERT_EQ(first.size(), 1U);
  fetches.late(first[0].number);
  const auto second = fetches.due(0);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_NE(second[0].peer, first[0].peer);
  EXPECT_EQ(second[0].from, 1U);
  EXPECT_TRUE(fetches.take(first[0].peer, answer(first[0], 10))) << "a slow link is no lie";
  EXPECT_TRUE(fetches.holds(1));
  fetches.late(second[0].number);
  EXPECT_TRUE(fetches.due(0).empty()) << "it is here";
}

TEST_F(Fetching, WhoIsAloneAndSilentIsAskedAgain) {
  peers(1, 10);
  for (int times = 0; times < 3; ++times) {
    const auto asks = fetches.due(0);
    ASSERT_EQ(asks.size(), 1U);
    fetches.late(asks[0].number);
  }
}

TEST_F(Fetching, WhoLiedIsNotAskedAgainAndWhatItGaveIsGone) {
  peers(2, 40);
  const auto asks = fetches.due(0);
  ASSERT_EQ(asks.size(), 2U);
  EXPECT_TRUE(fetches.take(asks[0].peer, answer(asks[0], fetch_blocks)));
  EXPECT_TRUE(fetches.take(asks[1].peer, answer(asks[1], fetch_blocks)));
  fetches.lied(asks[0].peer);
  EXPECT_FALSE(fetches.holds(1));
  EXPECT_TRUE(fetches.holds(1 + fetch_blocks));
  const auto again = fetches.due(0);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].peer, asks[1].peer);
  EXPECT_EQ(again[0].from, 1U);
  fetches.peer_down(asks[0].peer);
  EXPECT_FALSE(fetches.knows(asks[0].peer));
  // Who comes back begins anew.
  EXPECT_TRUE(fetches.peer_up(asks[0].peer));
  fetches.shows(asks[0].peer, 99);
  EXPECT_EQ(fetches.target(), 99U);
}

TEST_F(Fetching, WhatWasNotAskedForIsRefused) {
  peers(2, 10);
  const Fetches::Asked made_up{.peer = peer(0), .number = 1, .from = 1, .count = 4};
  EXPECT_FALSE(fetches.take(peer(0), answer(made_up, 4)));
  EXPECT_FALSE(fetches.take(peer(9), answer(made_up, 4)));
  const auto asks = fetches.due(0);
  ASSERT_EQ(asks.size(), 1U);
  EXPECT_EQ(*fetches.take(asks[0].peer, answer({asks[0].peer, 0, 3, 2}, 2)), 0U) << "of other heights";
  EXPECT_FALSE(fetches.holds(3));
  EXPECT_FALSE(fetches.take(asks[0].peer, answer(asks[0], 10))) << "it has had its answer";
}

TEST_F(Fetching, WhatIsHeldIsBounded) {
  peers(4, 1'000);
  const auto asks = fetches.due(0);
  ASSERT_EQ(asks.size(), 4U);
  constexpr std::size_t large = max_held_bytes / fetch_blocks;
  EXPECT_TRUE(fetches.take(asks[1].peer, answer(asks[1], fetch_blocks, large)));
  EXPECT_TRUE(fetches.take(asks[2].peer, answer(asks[2], 1)));
  EXPECT_TRUE(fetches.due(0).empty()) << "nothing but what comes next";
  fetches.late(asks[0].number);
  const auto next = fetches.due(0);
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].from, 1U);
  for (std::uint64_t i = 4; i < max_peers; ++i) EXPECT_TRUE(fetches.peer_up(peer(i)));
  EXPECT_FALSE(fetches.peer_up(peer(max_peers)));
  EXPECT_TRUE(fetches.peer_up(peer(3))) << "who is there already";
}

}  // namespace
}  // namespace mesh::chain
