// Scores at one moment: without a ledger the same for all, with one in pages that are what the head says; and a node's own book.
#include "domain/reputation/reputation.h"

#include <gtest/gtest.h>

#include <random>

#include "domain/reputation/experience.h"

namespace mesh::reputation {
namespace {

NodeId key(std::uint8_t number) { return public_key_of(*Seed::from(Bytes(32, number))); }
/// Not a key, but a name: many are had fast.
NodeId name(std::uint64_t number) { return *NodeId::from(tagged_hash("node", {big_endian(number)}).view()); }
Cid federation() { return Cid::of(Multicodec::dag_cbor, as_bytes("federation")); }
constexpr std::uint64_t credit = 1'000'000;

TEST(Reputation, IsUniformWithoutALedger) {
  const ReputationSnapshot reputation;
  EXPECT_TRUE(reputation.is_uniform());
  EXPECT_EQ(reputation.score_of(key(1)), ReputationSnapshot::uniform_score);
  EXPECT_EQ(reputation.score_of(key(1)), reputation.score_of(key(2)));
  EXPECT_EQ(reputation.score_of({}), ReputationSnapshot::uniform_score);
  EXPECT_EQ(reputation.weight_of(key(1)), ReputationSnapshot::uniform_score);
  EXPECT_EQ(reputation.head(), nullptr);
  EXPECT_TRUE(reputation.pages().empty());
  EXPECT_LE(ReputationSnapshot::uniform_score, 1000U);
}

std::vector<ReputationSnapshot::Holding> holdings(std::size_t count) {
  std::vector<ReputationSnapshot::Holding> all;
  for (std::size_t i = 0; i < count; ++i) {
    Counters counters = Counters::founder(name(i), 3, i % 1001);
    counters.execution = i * credit;
    all.push_back({.counters = counters, .bond = i % 40 * credit});
  }
  return all;
}

const ReputationSnapshot::Moment moment{.federation = federation(), .epoch = 5, .height = 77};

TEST(Snapshot, HasTheScoresOfAllWhateverTheirOrder) {
  std::vector<ReputationSnapshot::Holding> all = holdings(2500);
  const Result<ReputationSnapshot> snapshot = ReputationSnapshot::take(moment, {}, all);
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  for (const auto& [counters, bond] : all) {
    const std::uint32_t score = score_of(counters, 5, {});
    ASSERT_EQ(snapshot->score_of(counters.node), score);
    ASSERT_EQ(snapshot->weight_of(counters.node), draw_weight(score, bond));
  }
  EXPECT_EQ(snapshot->score_of(name(2500)), 0U) << "nobody whom the ledger knows";
  EXPECT_EQ(snapshot->weight_of(name(2500)), 0U);
  EXPECT_FALSE(snapshot->is_uniform());
  const SnapshotHead& head = *snapshot->head();
  EXPECT_EQ(head.federation, federation());
  EXPECT_EQ(head.epoch, 5U);
  EXPECT_EQ(head.height, 77U);
  EXPECT_EQ(head.policy, policy::cid_of({}));
  EXPECT_EQ(head.nodes, 2500U);
  ASSERT_EQ(snapshot->pages().size(), 3U);
  EXPECT_EQ(snapshot->pages()[2].scores.size(), 452U);

  all[7].counters.execution += 10 * credit;
  const Result<ReputationSnapshot> other = ReputationSnapshot::take(moment, {}, all);
  ASSERT_TRUE(other.has_value());
  EXPECT_NE(other->head()->scores, head.scores);
  all[7].counters.execution -= 10 * credit;

  std::mt19937 random(1);
  std::ranges::shuffle(all, random);
  const Result<ReputationSnapshot> again = ReputationSnapshot::take(moment, {}, all);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(*again->head(), head);
  EXPECT_EQ(again->pages(), snapshot->pages());
}

TEST(Snapshot, OfNobodyAndOfAsManyAsFit) {
  const Result<ReputationSnapshot> empty = ReputationSnapshot::take(moment, {}, {});
  ASSERT_TRUE(empty.has_value());
  EXPECT_FALSE(empty->is_uniform()) << "a ledger that knows nobody is not the same as none";
  EXPECT_EQ(empty->score_of(key(1)), 0U);
  EXPECT_TRUE(empty->head()->scores.empty());

  const Result<ReputationSnapshot> full_page = ReputationSnapshot::take(moment, {}, holdings(1024));
  ASSERT_TRUE(full_page.has_value());
  EXPECT_EQ(full_page->pages().size(), 1U);

  std::vector<ReputationSnapshot::Holding> many(ReputationSnapshot::max_nodes + 1);
  EXPECT_EQ(ReputationSnapshot::take(moment, {}, many).error().message,
            "too-many-scores: a snapshot has at most 65536 nodes, not 65537");
  many.pop_back();
  EXPECT_TRUE(ReputationSnapshot::take(moment, {}, many).error().message.starts_with("scores-unordered:"))
      << "as many as fit, but all of one node";
}

TEST(Snapshot, IsPutTogetherFromItsPagesAndNoOthers) {
  const Result<ReputationSnapshot> snapshot = ReputationSnapshot::take(moment, {}, holdings(2500));
  ASSERT_TRUE(snapshot.has_value());
  const SnapshotHead head = *record::decode<SnapshotHead>(record::encode(*snapshot->head()));
  std::vector<ScorePage> pages;
  for (const ScorePage& page : snapshot->pages()) pages.push_back(*record::decode<ScorePage>(record::encode(page)));
  const Result<ReputationSnapshot> whole = ReputationSnapshot::assemble(head, pages);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->score_of(name(2000)), snapshot->score_of(name(2000)));

  const auto error = [](const SnapshotHead& of, const std::vector<ScorePage>& with) {
    const Result<ReputationSnapshot> result = ReputationSnapshot::assemble(of, with);
    return result ? std::string() : result.error().message.substr(0, result.error().message.find(':'));
  };
  const auto renamed = [&](const std::vector<ScorePage>& with) {
    SnapshotHead other = head;
    other.scores.clear();
    for (const ScorePage& page : with) other.scores.push_back(dagcbor::cid_of(record::encode(page)));
    return error(other, with);
  };
  std::vector<ScorePage> bad = pages;
  bad.pop_back();
  EXPECT_EQ(error(head, bad), "wrong-pages");
  bad = pages;
  bad[1].scores[3].score = 1;
  EXPECT_EQ(error(head, bad), "wrong-page");
  std::swap((bad = pages)[0], bad[1]);
  EXPECT_EQ(error(head, bad), "wrong-page");
  EXPECT_EQ(renamed(bad), "scores-unordered") << "also across pages";
  bad = pages;
  bad[0].scores.push_back(bad[1].scores.front());
  bad[1].scores.erase(bad[1].scores.begin());
  EXPECT_EQ(renamed(bad), "wrong-page") << "pages are full";
  bad = pages;
  bad[0].scores[1] = bad[0].scores[0];
  EXPECT_EQ(renamed(bad), "scores-unordered");
  for (const Score wrong :
       {Score{.score = 1001, .weight = 1001}, Score{.score = 10, .weight = 261}, Score{.score = 10, .weight = 9}}) {
    bad = pages;
    bad[2].scores.back().score = wrong.score;
    bad[2].scores.back().weight = wrong.weight;
    EXPECT_EQ(renamed(bad), "bad-score") << wrong.score << " " << wrong.weight;
  }
  SnapshotHead wrong = head;
  wrong.nodes = 2501;
  EXPECT_EQ(error(wrong, pages), "wrong-page");
  wrong.nodes = 3073;
  EXPECT_EQ(error(wrong, pages), "wrong-pages");
  wrong.nodes = UINT64_MAX;
  EXPECT_EQ(error(wrong, pages), "too-many-scores");
}

TEST(Experience, TrustIsEarnedByWorkAndLostByOneLie) {
  Experience experience;
  const NodeId one = key(1);
  const NodeId two = key(2);
  EXPECT_EQ(experience.trust(one), 0U);
  experience.earned(one, Experience::half_trust_fuel / 2);
  EXPECT_EQ(experience.trust(one), 333U);
  experience.earned(one, Experience::half_trust_fuel / 2);
  EXPECT_EQ(experience.trust(one), 500U);
  EXPECT_EQ(experience.trust(two), 0U);
  experience.earned(one, UINT64_MAX);
  experience.earned(one, UINT64_MAX);
  EXPECT_EQ(experience.trust(one), 999U);
  experience.lost(one);
  EXPECT_EQ(experience.trust(one), 0U);
  experience.lost(two);
}

}  // namespace
}  // namespace mesh::reputation
