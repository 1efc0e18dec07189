#include "domain/verification/keys.h"

#include "domain/market/market_testing.h"

namespace mesh::verification {
namespace {

TEST(Keys, RecordsReadBackAndAreRefusedCutOff) {
  ShardKeys keys{.intent = {}, .to = testing::node(3), .shards = {{1, 2}}, .point = {}, .keys = {{}, {}}};
  testing::round_trip(keys);
  const Envelope envelope = testing::signer(1).seal(keys);
  testing::round_trip(KeyRequest{.intent = {}, .shards = {{0, 1}}, .commitment = {}, .proof = {}});
  testing::round_trip(KeyRequest{.intent = {}, .shards = {{0, 1}}, .commitment = Cid(), .proof = {envelope, envelope}});
}

TEST(Keys, AreAsManyAsTheirShardsAndBounded) {
  ShardKeys keys{.intent = {}, .to = {}, .shards = {{1, 2}, {5, 1}}, .point = {}, .keys = {}};
  keys.keys.resize(3);
  keys.keys[2].data()[0] = 7;
  const auto all = keys_of(keys, 6);
  ASSERT_TRUE(all.has_value()) << all.error().message;
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ(all->back().first, 5U);
  EXPECT_EQ(all->back().second.key, keys.keys[2]);
  EXPECT_FALSE(keys_of(keys, 5).has_value()) << "the task has no such shard";
  keys.keys.resize(2);
  EXPECT_EQ(keys_of(keys, 6).error().message, "bad-keys: 2 keys for 3 shards");
  for (const std::vector<task::ShardRange>& bad : {std::vector<task::ShardRange>{},
                                                   {{0, 0}},
                                                   {{0, max_key_shards + 1}},
                                                   {{0, UINT32_MAX}, {0, UINT32_MAX}, {0, 2}}}) {
    KeyRequest request{.intent = {}, .shards = bad, .commitment = {}, .proof = {}};
    EXPECT_FALSE(asked_for(request, task::max_shards).has_value());
    keys.shards = bad;
    EXPECT_FALSE(keys_of(keys, task::max_shards).has_value());
  }
  KeyRequest request{.intent = {}, .shards = {{3, max_key_shards}}, .commitment = {}, .proof = {}};
  EXPECT_EQ(asked_for(request, task::max_shards)->size(), max_key_shards);
  request.proof.resize(max_key_proof + 1);
  EXPECT_TRUE(asked_for(request, task::max_shards).error().message.starts_with("too-many: "));
}

/// A task of signer 1 with members 2 to 7; node 2 has committed to shards 0 and 1, three verify.
struct Drawing {
  Signed<task::TaskIntent> intent;
  Field field;
  Signed<receipt::Commitment> work;
  Signed<RoundOpen> open;
  std::vector<Signed<NonceReveal>> reveals;
  Signed<Draw> draw;
  std::vector<NodeId> order;  ///< of shard 0

  static Digest secret(std::uint8_t number) { return testing::digest("chain " + std::to_string(number)); }
  static Digest link(std::uint8_t number, std::uint32_t round) {
    return chain_link(secret(number), task::max_rounds(4), round);
  }
  Drawing() {
    task::TaskIntent wanted = testing::intent();
    wanted.nonce_tip = link(1, 0);
    intent = testing::signer(1).sign(std::move(wanted));
    std::vector<Signed<market::ComputeOffer>> offers;
    market::Roster list{.intent = intent.cid, .offers = {}};
    for (std::uint8_t number = 2; number <= 7; ++number) {
      offers.push_back(testing::signer(number).sign(testing::offer_on(intent.cid, link(number, 0))));
      list.offers.push_back(offers.back().cid);
    }
    field = *make_field(intent, testing::signer(1).sign(std::move(list)), std::move(offers));
    work = testing::signer(2).sign(receipt::Commitment{.intent = intent.cid,
                                                       .node = testing::node(2),
                                                       .basis = testing::record("award"),
                                                       .worker = {},
                                                       .shards = {{0, 2}},
                                                       .root = {}});
    open = testing::signer(1).sign(RoundOpen{.intent = intent.cid,
                                             .roster = field.roster.cid,
                                             .round = 1,
                                             .commitments = {work.cid},
                                             .seats = {3},
                                             .barred = {}});
    Draw record{.intent = intent.cid, .open = open.cid, .round = 1, .link = link(1, 1), .reveals = {}};
    for (std::uint8_t number = 2; number <= 7; ++number) {
      reveals.push_back(testing::signer(number).sign(
          NonceReveal{.intent = intent.cid, .open = open.cid, .round = 1, .link = link(number, 1)}));
      record.reveals.push_back(reveals.back().cid);
    }
    draw = testing::signer(1).sign(std::move(record));
    const auto round = make_round(field, open, reveals, draw);
    EXPECT_TRUE(round.has_value()) << round.error().message;
    for (const auto& node : round->order(work.cid, 0, testing::node(2)).nodes) order.push_back(node);
  }
  [[nodiscard]] std::vector<Envelope> proof() const {
    std::vector<Envelope> all{open.envelope, draw.envelope};
    for (const auto& reveal : reveals) all.push_back(reveal.envelope);
    return all;
  }
  /// The empty text, or the refusal.
  [[nodiscard]] std::string check(const NodeId& asker, std::vector<Envelope> proof, std::uint32_t shard = 0) const {
    for (std::uint8_t number = 1; number <= 9; ++number) {
      if (testing::node(number) != asker) continue;
      const auto request = testing::signer(number).sign(
          KeyRequest{.intent = intent.cid, .shards = {{shard, 1}}, .commitment = work.cid, .proof = std::move(proof)});
      const Status status = check_drawn(field, request, work, {shard}, testing::federation());
      return status ? "" : status.error().message;
    }
    return "nobody";
  }
};

TEST(Keys, OnlyWhoHasASeatIsDrawn) {
  const Drawing d;
  ASSERT_EQ(d.order.size(), 5U);
  for (std::size_t place = 0; place < 3; ++place) EXPECT_EQ(d.check(d.order[place], d.proof()), "");
  for (std::size_t place = 3; place < 5; ++place)
    EXPECT_EQ(d.check(d.order[place], d.proof()), "not-drawn: the asker has no seat on shard 0");
  EXPECT_EQ(d.check(testing::node(2), d.proof()), "not-drawn: the asker has no seat on shard 0") << "the worker itself";
  EXPECT_EQ(d.check(testing::node(1), d.proof()), "not-drawn: the asker is not on the roster");
  EXPECT_EQ(d.check(testing::node(9), d.proof()), "not-drawn: the asker is not on the roster");
  EXPECT_EQ(d.check(d.order[0], d.proof(), 2), "not-drawn: shard 2 has no seats under this draw");
}

TEST(Keys, ADrawHasToBeShownWholeAndSigned) {
  const Drawing d;
  const NodeId& drawn = d.order[0];
  EXPECT_EQ(d.check(drawn, {}), "not-drawn: the request comes without a round and its draw");
  for (std::size_t left_out = 0; left_out < d.proof().size(); ++left_out) {
    std::vector<Envelope> proof = d.proof();
    proof.erase(proof.begin() + static_cast<std::ptrdiff_t>(left_out));
    EXPECT_TRUE(d.check(drawn, proof).starts_with("not-drawn: ")) << left_out;
    proof = d.proof();
    proof[left_out].key = testing::node(9);
    EXPECT_NE(d.check(drawn, proof), "") << "not signed by whom it names: " << left_out;
    proof = d.proof();
    proof.push_back(proof[left_out]);
    if (left_out < 2) {
      EXPECT_EQ(d.check(drawn, proof), "not-drawn: a record that shows no seat") << "two of them";
    }
  }
  std::vector<Envelope> more = d.proof();
  more.push_back(d.work.envelope);
  EXPECT_EQ(d.check(drawn, more), "not-drawn: a record that shows no seat");
  // A draw that somebody else made up, with a link of its own.
  Draw forged = d.draw.record;
  std::vector<Envelope> proof = d.proof();
  proof[1] = testing::signer(3).seal(forged);
  EXPECT_EQ(d.check(drawn, proof), "not-drawn: the round is not the publisher's");
  forged.link = testing::digest("another link");
  proof[1] = testing::signer(1).seal(forged);
  EXPECT_TRUE(d.check(drawn, proof).starts_with("not-drawn: the publisher's link")) << d.check(drawn, proof);
}

TEST(Keys, SeatsFollowThePublishersChanges) {
  const Drawing d;
  const auto with = [&](const Envelope& change) {
    std::vector<Envelope> proof = d.proof();
    proof.push_back(change);
    return proof;
  };
  const Substitution lost{.intent = d.intent.cid,
                          .draw = d.draw.cid,
                          .commitment = d.work.cid,
                          .failed = d.order[0],
                          .shards = {{0, 1}},
                          .reason = "went away"};
  EXPECT_EQ(d.check(d.order[3], with(testing::signer(1).seal(lost))), "");
  EXPECT_EQ(d.check(d.order[0], with(testing::signer(1).seal(lost))), "not-drawn: the asker has no seat on shard 0");
  EXPECT_EQ(d.check(d.order[3], with(testing::signer(7).seal(lost))), "not-drawn: a record that shows no seat")
      << "only the publisher gives a seat away";
  Substitution elsewhere = lost;
  elsewhere.draw = testing::record("another draw");
  EXPECT_EQ(d.check(d.order[3], with(testing::signer(1).seal(elsewhere))),
            "not-drawn: the asker has no seat on shard 0");
  elsewhere.commitment = testing::record("another commitment");
  EXPECT_EQ(d.check(d.order[3], with(testing::signer(1).seal(elsewhere))),
            "not-drawn: a substitution on another commitment");
  const Extension wider{
      .intent = d.intent.cid, .draw = d.draw.cid, .commitment = d.work.cid, .shards = {{0, 1}}, .seats = 5};
  EXPECT_EQ(d.check(d.order[4], with(testing::signer(1).seal(wider))), "");
  EXPECT_EQ(d.check(d.order[4], with(testing::signer(1).seal(wider)), 1).starts_with("not-drawn: "),
            d.check(d.order[4], d.proof(), 1).starts_with("not-drawn: "))
      << "of the other shard nothing was said";
}

}  // namespace
}  // namespace mesh::verification
