// Nonce chains, the draw, rounds and their reveals, the quorum's decision, and how often a lie passes.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "domain/market/market_testing.h"
#include "domain/verification/nonce_chain.h"
#include "domain/verification/quorum.h"
#include "domain/verification/round.h"

namespace mesh::verification {
namespace {

// ---------------------------------------------------------------------------------------------------- nonce chains

TEST(NonceChain, LinksHashDownToTheTip) {
  const Digest secret = testing::digest("secret");
  constexpr std::uint32_t length = 20;
  EXPECT_EQ(chain_link(secret, length, length), secret);
  for (std::uint32_t round = 1; round <= length; ++round) {
    EXPECT_EQ(sha256(chain_link(secret, length, round).view()), chain_link(secret, length, round - 1));
    EXPECT_TRUE(chain_leads_to(chain_link(secret, length, round), round, chain_link(secret, length, 0), 0));
  }
  EXPECT_TRUE(chain_leads_to(chain_link(secret, length, 7), 7, chain_link(secret, length, 3), 3));
  for (const std::uint32_t whole : {1U, 63U, 64U, 65U, 200U, 4096U}) {
    OwnChain own(secret, whole);
    ChainChecker checker(chain_link(secret, whole, 0));
    EXPECT_EQ(own.link(0), chain_link(secret, whole, 0));
    EXPECT_FALSE(checker.check(own.link(0), 0));
    // Forwards, a repetition, backwards, and what holds of nothing on the way.
    for (const std::uint32_t round : {1U, 2U, 2U, 60U, 64U, 65U, 1U, 199U, 150U, 4096U}) {
      if (round > whole) continue;
      EXPECT_EQ(own.link(round), chain_link(secret, whole, round));
      EXPECT_FALSE(checker.check(testing::digest("made up"), round));
      EXPECT_FALSE(checker.check(own.link(round - 1), round)) << "of the round before";
      EXPECT_TRUE(checker.check(own.link(round), round)) << round << " of " << whole;
    }
  }
}

TEST(NonceChain, LeadsNowhereElse) {
  const Digest secret = testing::digest("secret");
  const Digest tip = chain_link(secret, 20, 0);
  const Digest link = chain_link(secret, 20, 5);
  EXPECT_FALSE(chain_leads_to(link, 4, tip, 0)) << "of another round";
  EXPECT_FALSE(chain_leads_to(link, 6, tip, 0));
  EXPECT_FALSE(chain_leads_to(link, 5, testing::digest("another tip"), 0));
  EXPECT_FALSE(chain_leads_to(link, 5, chain_link(secret, 20, 9), 9)) << "never backwards";
  EXPECT_FALSE(chain_leads_to(tip, 5, tip, 0)) << "the tip is no link of round 5";
  EXPECT_FALSE(chain_leads_to(chain_link(secret, 21, 5), 5, tip, 0)) << "of a chain of another length";
}

TEST(NonceChain, WhatCountsForTheWithheldIsFixedByTipAndRound) {
  const Digest tip = testing::digest("tip");
  EXPECT_EQ(withheld_link(tip, 3), withheld_link(tip, 3));
  EXPECT_NE(withheld_link(tip, 3), withheld_link(tip, 4));
  EXPECT_NE(withheld_link(tip, 3), withheld_link(testing::digest("other"), 3));
}

TEST(NonceChainDeath, ARoundPastTheLengthIsOurBug) {
  EXPECT_DEATH((void)chain_link({}, 3, 4), "chain-round-past-length");
}

// ---------------------------------------------------------------------------------------------------- the draw

Member member(std::uint8_t number, std::string owner = {}, std::uint32_t weight = 500) {
  return {.node = testing::node(number), .owner = std::move(owner), .weight = weight, .withheld = false};
}

std::vector<Member> members_from(std::uint8_t first, std::uint8_t last) {
  std::vector<Member> members;
  for (std::uint8_t number = first; number <= last; ++number) members.push_back(member(number));
  return members;
}

SeatOrder draw(const std::vector<Member>& members, std::string_view seed = "seed", std::uint32_t shard = 0) {
  return seat_order(testing::digest(seed), testing::record("commitment"), shard, members, member(2), member(1));
}

std::vector<std::string> names_of(const SeatOrder& order) {
  std::vector<std::string> names;
  for (const NodeId& node : order.nodes) names.push_back(identity::short_name(node));
  return names;
}

TEST(Sortition, HasAKnownAnswer) {
  // Computed by an independent program from docs/design/protocols.md: whoever checks a bundle must draw the same.
  EXPECT_EQ(
      round_seed(testing::record("open"), testing::digest("publisher"), {testing::digest("a"), testing::digest("b")})
          .hex(),
      "4fa4685dc0fddf8f0004be99a15e4c96c4dbc4affdf69c13983eb75ce84bc544");
  std::vector<Member> weighted;
  for (std::uint8_t number = 2; number <= 8; ++number) weighted.push_back(member(number, {}, 100U * number));
  EXPECT_EQ(names_of(draw(weighted)),
            (std::vector<std::string>{"9r3ANaba", "qV8L8BQw", "iQLvHj6W", "6QKou7ww", "eAto4Az7", "pB6wQGfa"}));
  EXPECT_EQ(names_of(draw(weighted, "seed", 1)),
            (std::vector<std::string>{"eAto4Az7", "qV8L8BQw", "6QKou7ww", "pB6wQGfa", "9r3ANaba", "iQLvHj6W"}));
}

TEST(Sortition, TheSeedCoversEverythingInOrder) {
  const Digest a = testing::digest("a");
  const Digest b = testing::digest("b");
  const Digest seed = round_seed(testing::record("open"), a, {a, b});
  EXPECT_NE(round_seed(testing::record("other"), a, {a, b}), seed);
  EXPECT_NE(round_seed(testing::record("open"), b, {a, b}), seed);
  EXPECT_NE(round_seed(testing::record("open"), a, {b, a}), seed);
  EXPECT_NE(round_seed(testing::record("open"), a, {a}), seed);
}

TEST(Sortition, SeatsAllButTheWorkerThePublisherAndTheWithheld) {
  std::vector<Member> members = members_from(1, 9);
  members[6].withheld = true;  // Node 7.
  const SeatOrder order = draw(members);
  const std::set<NodeId> seated(order.nodes.begin(), order.nodes.end());
  EXPECT_EQ(seated.size(), order.nodes.size()) << "nobody has two seats";
  std::set<NodeId> expected;
  for (const std::uint8_t number : std::vector<std::uint8_t>{3, 4, 5, 6, 8, 9}) expected.insert(testing::node(number));
  EXPECT_EQ(seated, expected);
  EXPECT_EQ(order.same_owner_from, 6U);
}

TEST(Sortition, DoesNotDependOnTheOrderOfTheMembers) {
  std::vector<Member> members = members_from(2, 12);
  const SeatOrder order = draw(members);
  std::ranges::reverse(members);
  EXPECT_EQ(draw(members).nodes, order.nodes);
}

TEST(Sortition, EachShardIsDrawnByItself) {
  const std::vector<Member> members = members_from(2, 20);
  EXPECT_NE(draw(members, "seed", 0).nodes, draw(members, "seed", 1).nodes);
  EXPECT_NE(draw(members, "seed", 0).nodes, draw(members, "other", 0).nodes);
  EXPECT_NE(seat_order(testing::digest("seed"), testing::record("another commitment"), 0, members, member(2), member(1))
                .nodes,
            draw(members).nodes);
}

TEST(Sortition, TheSameOwnerIsTheLastResort) {
  std::vector<Member> members{member(2, "did:a"), member(3, "did:a"), member(4, "did:b"),
                              member(5, "did:p"), member(6),          member(7, identity::did_of(testing::node(2)))};
  const SeatOrder order = seat_order(testing::digest("seed"), testing::record("commitment"), 0, members,
                                     member(2, "did:a"), member(1, "did:p"));
  ASSERT_EQ(order.nodes.size(), 5U);
  EXPECT_EQ(order.same_owner_from, 3U);
  const std::set<NodeId> others(order.nodes.begin(), order.nodes.begin() + 3);
  EXPECT_EQ(others, (std::set<NodeId>{testing::node(4), testing::node(6), testing::node(7)}));
  // Without an owner of its own a node is its own: who names it as owner is of the same.
  const SeatOrder own = seat_order(testing::digest("seed"), testing::record("commitment"), 0,
                                   {member(3, identity::did_of(testing::node(2))), member(4)}, member(2), member(1));
  EXPECT_EQ(own.nodes, (std::vector<NodeId>{testing::node(4), testing::node(3)}));
}

TEST(Sortition, OfNobodyIsNobody) {
  EXPECT_TRUE(draw({}).nodes.empty());
  EXPECT_TRUE(draw({member(1), member(2)}).nodes.empty());
}

TEST(Sortition, NoWeightIsDrawnOnlyWhenNobodyElseIsLeft) {
  const std::vector<Member> members{member(3, {}, 0), member(4, {}, 1), member(5, {}, 0), member(6, {}, 1)};
  for (std::uint32_t shard = 0; shard < 50; ++shard) {
    const SeatOrder order = draw(members, "seed", shard);
    const std::set<NodeId> first(order.nodes.begin(), order.nodes.begin() + 2);
    EXPECT_EQ(first, (std::set<NodeId>{testing::node(4), testing::node(6)}));
    EXPECT_EQ(order.nodes.size(), 4U);
  }
}

TEST(Sortition, WeighsByReputationAndElseEvenly) {
  std::map<NodeId, int> first;
  constexpr double draws = 6000;
  for (std::uint32_t shard = 0; shard < 6000; ++shard)
    ++first[draw({member(3, {}, 100), member(4, {}, 200), member(5, {}, 300)}, "seed", shard).nodes.front()];
  // Binomial: five standard deviations are below 200 of 6000. The draws are fixed by the seed, so this never flakes.
  EXPECT_NEAR(first[testing::node(3)], draws / 6, 200);
  EXPECT_NEAR(first[testing::node(4)], draws / 3, 200);
  EXPECT_NEAR(first[testing::node(5)], draws / 2, 200);
}

TEST(Sortition, TheLargestWeightsDoNotWrap) {
  std::vector<Member> members = members_from(3, 66);
  for (Member& one : members) one.weight = UINT32_MAX;
  EXPECT_EQ(draw(members).nodes.size(), 64U);
}

// ---------------------------------------------------------------------------------------------------- rounds

/// A task of node 1 with nodes 2 to 5 on its roster, and a round over one commitment of node 2.
struct Play {
  std::vector<identity::Signer> signers;
  Signed<task::TaskIntent> intent;
  std::vector<Signed<market::ComputeOffer>> offers;
  Signed<market::Roster> roster;
  std::uint32_t length = task::max_rounds(4);

  [[nodiscard]] const identity::Signer& publisher() const { return signers[0]; }
  [[nodiscard]] Digest secret(std::size_t index) const { return signers[index].secret("chain", {}); }
  [[nodiscard]] Digest link(std::size_t index, std::uint32_t round) const {
    return chain_link(secret(index), length, round);
  }

  Play() {
    for (std::uint8_t number = 1; number <= 5; ++number) signers.push_back(testing::signer(number));
    task::TaskIntent wanted = testing::intent();
    wanted.nonce_tip = link(0, 0);
    intent = publisher().sign(std::move(wanted));
    market::Roster list{.intent = intent.cid, .offers = {}};
    for (std::size_t i = 1; i < signers.size(); ++i) {
      offers.push_back(signers[i].sign(testing::offer_on(intent.cid, link(i, 0))));
      list.offers.push_back(offers.back().cid);
    }
    roster = publisher().sign(std::move(list));
  }
  [[nodiscard]] Field field() const { return *make_field(intent, roster, offers); }
  [[nodiscard]] RoundOpen open_record(std::uint32_t round = 1) const {
    return {.intent = intent.cid,
            .roster = roster.cid,
            .round = round,
            .commitments = {testing::record("commitment")},
            .seats = {3},
            .barred = {}};
  }
  [[nodiscard]] NonceReveal reveal_record(std::size_t index, const Signed<RoundOpen>& open) const {
    return {.intent = intent.cid, .open = open.cid, .round = open.record.round, .link = link(index, open.record.round)};
  }
  [[nodiscard]] std::vector<Signed<NonceReveal>> reveals(const Signed<RoundOpen>& open,
                                                         const std::set<std::size_t>& of = {1, 2, 3, 4}) const {
    std::vector<Signed<NonceReveal>> all;
    for (const std::size_t index : of) all.push_back(signers[index].sign(reveal_record(index, open)));
    return all;
  }
  [[nodiscard]] Draw draw_record(const Signed<RoundOpen>& open, const std::vector<Signed<NonceReveal>>& reveals) const {
    Draw draw{.intent = intent.cid,
              .open = open.cid,
              .round = open.record.round,
              .link = link(0, open.record.round),
              .reveals = {}};
    for (const Signed<NonceReveal>& reveal : reveals) draw.reveals.push_back(reveal.cid);
    return draw;
  }
};

std::string error_of(const auto& result) { return result ? "" : result.error().message; }

TEST(Field, TakesAnHonestRoster) {
  const Play play;
  const Field field = play.field();
  EXPECT_EQ(field.offer_of(testing::node(3))->cid, play.offers[1].cid);
  EXPECT_EQ(field.offer_of(testing::node(9)), nullptr);
  EXPECT_EQ(field.offer(play.offers[2].cid)->signer, testing::node(4));
  EXPECT_EQ(field.offer(testing::record("none")), nullptr);
}

TEST(Field, RefusesARosterThatIsNot) {
  const Play play;
  const auto error = [&](const std::function<void(Play&)>& change) {
    Play changed = play;
    change(changed);
    return error_of(make_field(changed.intent, changed.roster, changed.offers));
  };
  EXPECT_EQ(error([](Play& p) { p.roster = p.signers[1].sign(market::Roster(p.roster.record)); }),
            "the roster is not the publisher's");
  EXPECT_EQ(error([](Play& p) {
              p.roster = p.publisher().sign(
                  market::Roster{.intent = testing::record("another"), .offers = p.roster.record.offers});
            }),
            "the roster is of another task");
  EXPECT_EQ(error([](Play& p) {
              p.roster = p.publisher().sign(market::Roster{
                  .intent = p.intent.cid, .offers = std::vector<Cid>(market::max_roster + 1, p.offers[0].cid)});
            }),
            "a roster has at most 64 offers");
  EXPECT_EQ(error([](Play& p) { p.offers.pop_back(); }), "the roster and the offers differ in number");
  EXPECT_EQ(error([](Play& p) { std::swap(p.offers[0], p.offers[1]); }), "the offers are not those of the roster");
  EXPECT_EQ(
      error([](Play& p) {
        p.offers[1] = p.signers[1].sign(testing::offer_on(p.intent.cid, testing::digest("second")));
        p.roster = p.publisher().sign(market::Roster{
            .intent = p.intent.cid, .offers = {p.offers[0].cid, p.offers[1].cid, p.offers[2].cid, p.offers[3].cid}});
      }),
      "the roster has two offers of one node");
  EXPECT_EQ(error([](Play& p) {
              p.offers = {p.publisher().sign(testing::offer_on(p.intent.cid))};
              p.roster = p.publisher().sign(market::Roster{.intent = p.intent.cid, .offers = {p.offers[0].cid}});
            }),
            "own-task: a publisher does not bid on its own task");
}

TEST(Round, IsDrawnFromItsRecords) {
  const Play play;
  const Signed<RoundOpen> open = play.publisher().sign(play.open_record());
  const auto reveals = play.reveals(open);
  const Signed<Draw> draw = play.publisher().sign(play.draw_record(open, reveals));
  const Result<DrawnRound> round = make_round(play.field(), open, reveals, draw);
  ASSERT_TRUE(round.has_value()) << round.error().message;
  EXPECT_EQ(round->seed, round_seed(open.cid, play.link(0, 1),
                                    {play.link(1, 1), play.link(2, 1), play.link(3, 1), play.link(4, 1)}));
  const SeatOrder order = round->order(testing::record("commitment"), 0, testing::node(2));
  EXPECT_EQ(order.nodes.size(), 3U) << "all but the worker";
  EXPECT_EQ(std::ranges::find(order.nodes, testing::node(2)), order.nodes.end());
}

TEST(Round, WhoWithholdsHasNoSeatAndChoosesNothing) {
  const Play play;
  const Signed<RoundOpen> open = play.publisher().sign(play.open_record());
  const auto reveals = play.reveals(open, {1, 2, 4});
  const Signed<Draw> draw = play.publisher().sign(play.draw_record(open, reveals));
  const Result<DrawnRound> round = make_round(play.field(), open, reveals, draw);
  ASSERT_TRUE(round.has_value()) << round.error().message;
  EXPECT_EQ(round->seed,
            round_seed(open.cid, play.link(0, 1),
                       {play.link(1, 1), play.link(2, 1), withheld_link(play.link(3, 0), 1), play.link(4, 1)}));
  EXPECT_TRUE(round->members[2].withheld);
  const SeatOrder order = round->order(testing::record("commitment"), 0, testing::node(2));
  EXPECT_EQ(std::set<NodeId>(order.nodes.begin(), order.nodes.end()),
            (std::set<NodeId>{testing::node(3), testing::node(5)}));
  // All withheld is a round too; it just seats nobody.
  const Signed<Draw> alone = play.publisher().sign(play.draw_record(open, {}));
  EXPECT_TRUE(make_round(play.field(), open, {}, alone)->order({}, 0, testing::node(2)).nodes.empty());
}

TEST(Round, WhoIsBarredHasNoSeatThoughItsLinkCounts) {
  const Play play;
  RoundOpen record = play.open_record();
  record.barred = {testing::node(4)};
  const Signed<RoundOpen> open = play.publisher().sign(record);
  const auto reveals = play.reveals(open);
  const Result<DrawnRound> round =
      make_round(play.field(), open, reveals, play.publisher().sign(play.draw_record(open, reveals)));
  ASSERT_TRUE(round.has_value()) << round.error().message;
  EXPECT_EQ(round->seed, round_seed(open.cid, play.link(0, 1),
                                    {play.link(1, 1), play.link(2, 1), play.link(3, 1), play.link(4, 1)}));
  const SeatOrder order = round->order(testing::record("commitment"), 0, testing::node(2));
  EXPECT_EQ(std::set<NodeId>(order.nodes.begin(), order.nodes.end()),
            (std::set<NodeId>{testing::node(3), testing::node(5)}));
}

TEST(Round, RefusesOpeningsThatAreNot) {
  const Play play;
  const auto error = [&](const std::function<void(RoundOpen&)>& change, std::size_t signer = 0) {
    RoundOpen record = play.open_record();
    change(record);
    const Signed<RoundOpen> open = play.signers[signer].sign(record);
    // What builds on it is honest, so that the opening alone is at fault.
    const auto reveals = play.reveals(open);
    return error_of(make_round(play.field(), open, reveals, play.publisher().sign(play.draw_record(open, reveals))));
  };
  EXPECT_EQ(error([](RoundOpen&) {}), "");
  EXPECT_EQ(error([](RoundOpen&) {}, 1), "the round is not the publisher's");
  EXPECT_EQ(error([](RoundOpen& o) { o.roster = testing::record("another"); }), "the round is of another task");
  EXPECT_EQ(error([](RoundOpen& o) { o.intent = testing::record("another"); }), "the round is of another task");
  EXPECT_EQ(error([](RoundOpen& o) { o.commitments.clear(); }), "a round covers 1 to 256 commitments");
  EXPECT_EQ(error([](RoundOpen& o) {
              o.commitments.assign(256, testing::record("c"));
              o.seats.assign(256, 3);
            }),
            "");
  for (const std::vector<std::uint32_t>& seats : {std::vector<std::uint32_t>{}, {2}, {4}, {3, 3}}) {
    EXPECT_EQ(error([&](RoundOpen& o) { o.seats = seats; }),
              "a round gives its commitments other numbers of seats than the task allows");
  }
  EXPECT_EQ(error([](RoundOpen& o) { o.commitments.assign(257, testing::record("c")); }),
            "a round covers 1 to 256 commitments");
  EXPECT_EQ(error([](RoundOpen& o) { o.barred.assign(5, testing::node(2)); }),
            "a round bars more nodes than there are members");
}

TEST(Round, RefusesNumbersOutsideTheChains) {
  const Play play;
  for (const std::uint32_t number : {0U, play.length + 1, UINT32_MAX}) {
    const Signed<RoundOpen> open = play.publisher().sign(play.open_record(number));
    const Signed<Draw> draw = play.publisher().sign(
        Draw{.intent = play.intent.cid, .open = open.cid, .round = number, .link = {}, .reveals = {}});
    EXPECT_EQ(error_of(make_round(play.field(), open, {}, draw)), "the draw does not belong to the round") << number;
  }
}

TEST(Round, RefusesDrawsThatAreNot) {
  const Play play;
  const Signed<RoundOpen> open = play.publisher().sign(play.open_record());
  const auto reveals = play.reveals(open);
  const auto error = [&](const std::function<void(Draw&)>& change, std::size_t signer = 0) {
    Draw record = play.draw_record(open, reveals);
    change(record);
    return error_of(make_round(play.field(), open, reveals, play.signers[signer].sign(record)));
  };
  EXPECT_EQ(error([](Draw&) {}), "");
  EXPECT_EQ(error([](Draw&) {}, 1), "the round is not the publisher's");
  EXPECT_EQ(error([](Draw& d) { d.intent = testing::record("another"); }), "the round is of another task");
  EXPECT_EQ(error([](Draw& d) { d.open = testing::record("another"); }), "the draw does not belong to the round");
  EXPECT_EQ(error([](Draw& d) { d.round = 2; }), "the draw does not belong to the round");
  EXPECT_EQ(error([&](Draw& d) { d.link = play.link(0, 2); }),
            "the publisher's link is not of the chain that its intent committed to");
  EXPECT_EQ(error([&](Draw& d) { d.link = play.link(0, 0); }),
            "the publisher's link is not of the chain that its intent committed to");
  EXPECT_EQ(error([](Draw& d) { d.reveals.pop_back(); }), "the draw and its reveals differ in number");
  EXPECT_EQ(error([](Draw& d) { std::swap(d.reveals[0], d.reveals[1]); }),
            "a reveal is not the one that the draw names");
}

TEST(Round, RefusesRevealsOutOfTheRostersOrderOrTwice) {
  const Play play;
  const Signed<RoundOpen> open = play.publisher().sign(play.open_record());
  const auto error = [&](const std::vector<Signed<NonceReveal>>& reveals) {
    return error_of(make_round(play.field(), open, reveals, play.publisher().sign(play.draw_record(open, reveals))));
  };
  auto reveals = play.reveals(open);
  std::swap(reveals[1], reveals[2]);
  EXPECT_EQ(error(reveals), "the reveals are not in the order of the roster");
  reveals = play.reveals(open);
  reveals.push_back(reveals.back());
  EXPECT_EQ(error(reveals), "the reveals are not in the order of the roster");
  reveals = play.reveals(open);
  reveals.push_back(testing::signer(9).sign(play.reveal_record(1, open)));
  EXPECT_EQ(error(reveals), "the reveals are not in the order of the roster") << "a stranger's";
}

TEST(Reveal, IsAMembersForThisOpeningOfItsOwnChain) {
  const Play play;
  const Field field = play.field();
  const Signed<RoundOpen> open = play.publisher().sign(play.open_record(2));
  const auto error = [&](const std::function<void(NonceReveal&)>& change, std::size_t signer = 1) {
    NonceReveal record = play.reveal_record(1, open);
    change(record);
    return error_of(check_reveal(field, open, play.signers[signer].sign(record)));
  };
  EXPECT_EQ(error([](NonceReveal&) {}), "");
  EXPECT_EQ(error([](NonceReveal&) {}, 0), "the nonce is not a roster member's");
  EXPECT_EQ(error([](NonceReveal&) {}, 2), "the nonce is not the one that was committed to in the offer");
  EXPECT_EQ(error([](NonceReveal& r) { r.intent = testing::record("another"); }), "the nonce is of another round");
  EXPECT_EQ(error([](NonceReveal& r) { r.open = testing::record("another"); }), "the nonce is of another round");
  EXPECT_EQ(error([](NonceReveal& r) { r.round = 1; }), "the nonce is of another round");
  EXPECT_EQ(error([](NonceReveal& r) { r.round = UINT32_MAX; }), "the nonce is of another round")
      << "and is not hashed four thousand million times";
  EXPECT_EQ(error([&](NonceReveal& r) { r.link = play.link(1, 1); }),
            "the nonce is not the one that was committed to in the offer");
}

TEST(Seats, GoToTheNextWhenLost) {
  Seats seats{.order = {.nodes = {testing::node(3), testing::node(4), testing::node(5), testing::node(6)},
                        .same_owner_from = 3},
              .wanted = 2,
              .lost = {}};
  EXPECT_EQ(seats.current(), (std::vector<NodeId>{testing::node(3), testing::node(4)}));
  EXPECT_TRUE(seats.complete());
  EXPECT_FALSE(seats.same_owner());
  seats.lost = {testing::node(3), testing::node(9)};
  EXPECT_EQ(seats.current(), (std::vector<NodeId>{testing::node(4), testing::node(5)}));
  EXPECT_FALSE(seats.holds(testing::node(3)));
  EXPECT_TRUE(seats.holds(testing::node(5)));
  seats.lost.push_back(testing::node(4));
  EXPECT_TRUE(seats.same_owner()) << "the last resort is told";
  seats.lost.push_back(testing::node(5));
  EXPECT_FALSE(seats.complete());
  EXPECT_EQ(seats.current(), std::vector<NodeId>{testing::node(6)});
  seats = {};
  EXPECT_TRUE(seats.complete()) << "none wanted, none there";
  EXPECT_FALSE(seats.same_owner());
}

// ---------------------------------------------------------------------------------------------------- the quorum

receipt::Finding finding(std::string_view result, task::OutcomeKind kind = task::OutcomeKind::exited) {
  return {.result = testing::content(result),
          .log = testing::content(""),
          .outcome = {.kind = kind, .exit_code = 0, .trap = {}, .backtrace = {}, .detail = {}},
          .fuel = 7};
}

const receipt::Finding right = finding("right");
const receipt::Finding lie = finding("lie");
const receipt::Finding other_lie = finding("another lie");
const receipt::Finding exhausted = finding("", task::OutcomeKind::stack_exhausted);

TEST(Quorum, EveryCombinationOfUpToSevenSeats) {
  // a seats agree with the worker, d found one other thing, e a third, u ran out of stack; the worker did not.
  const policy::VerificationQuorum quorum;
  for (std::uint32_t a = 0; a <= 7; ++a) {
    for (std::uint32_t d = 0; a + d <= 7; ++d) {
      for (std::uint32_t e = 0; a + d + e <= 7; ++e) {
        for (std::uint32_t u = 0; a + d + e + u <= 7; ++u) {
          std::vector<receipt::Finding> seats;
          seats.insert(seats.end(), a, right);
          seats.insert(seats.end(), d, lie);
          seats.insert(seats.end(), e, other_lie);
          seats.insert(seats.end(), u, exhausted);
          const std::uint32_t count = a + d + e + u;
          // The same as policy::needed_agreement, written otherwise: the smallest share of 66 percent or more.
          std::uint32_t needed = 0;
          while (needed * 100 < count * 66) ++needed;
          Decision expected = Decision::disputed;
          if (count == 0) {
            expected = Decision::unverified;
          } else if (a >= needed) {
            expected = Decision::accepted;
          } else if (d >= needed || e >= needed) {
            expected = Decision::rejected;
          } else if (a + u >= needed || std::max(d, e) + u >= needed) {
            expected = Decision::undetermined;
          }
          const Judgement judgement = judge(right, seats, quorum);
          EXPECT_EQ(judgement.decision, expected)
              << a << " agree, " << d << " and " << e << " differ, " << u << " unclear";
          EXPECT_EQ(judgement.agreed, a);
          EXPECT_EQ(judgement.needed, needed);
        }
      }
    }
  }
}

TEST(Quorum, IsNamedByItsTable) {
  const policy::VerificationQuorum quorum;
  struct Case {
    std::vector<receipt::Finding> seats;
    Decision decision;
  };
  const std::vector<Case> cases{
      {{}, Decision::unverified},
      {{right, right, right}, Decision::accepted},
      {{right, right, lie}, Decision::accepted},
      {{right, lie, lie}, Decision::rejected},
      {{lie, lie, lie}, Decision::rejected},
      {{right, lie, other_lie}, Decision::disputed},
      {{lie, other_lie, finding("a third")}, Decision::disputed},
      {{right, exhausted, exhausted}, Decision::undetermined},
      {{right, right, exhausted}, Decision::accepted},
      {{exhausted, exhausted, exhausted}, Decision::undetermined},
      {{right, lie, exhausted}, Decision::undetermined},
      {{right, right, right, lie, lie}, Decision::disputed},
      {{right, right, right, right, lie}, Decision::accepted},
  };
  for (const Case& c : cases) EXPECT_EQ(judge(right, c.seats, quorum).decision, c.decision);
}

TEST(Quorum, TheOrderOfTheSeatsDoesNotMatter) {
  std::vector<int> permutation{0, 1, 2, 3, 4};
  const std::vector<receipt::Finding> seats{right, lie, lie, exhausted, lie};
  do {
    std::vector<receipt::Finding> permuted;
    for (const int i : permutation) permuted.push_back(seats[static_cast<std::size_t>(i)]);
    EXPECT_EQ(judge(right, permuted, {}).decision, Decision::undetermined);
  } while (std::ranges::next_permutation(permutation).found);
}

TEST(Quorum, RightBytesWithWrongFuelAreNoAgreement) {
  receipt::Finding cheap = right;
  cheap.fuel = 6;
  EXPECT_EQ(judge(cheap, std::vector{right, right, right}, {}).decision, Decision::rejected);
  EXPECT_EQ(judge(right, std::vector{cheap, cheap, right}, {}).decision, Decision::rejected);
  receipt::Finding other_log = right;
  other_log.log = testing::content("log");
  EXPECT_EQ(judge(other_log, std::vector{right, right, right}, {}).decision, Decision::rejected);
}

TEST(Quorum, AWorkerWhoseStackRanOutIsNotToBlame) {
  EXPECT_EQ(judge(exhausted, std::vector{right, right, right}, {}).decision, Decision::undetermined);
  EXPECT_EQ(judge(exhausted, std::vector{exhausted, exhausted, right}, {}).decision, Decision::accepted);
  EXPECT_TRUE(incomparable(exhausted, right));
  EXPECT_TRUE(incomparable(right, exhausted));
  EXPECT_FALSE(incomparable(exhausted, exhausted));
  EXPECT_FALSE(incomparable(right, lie));
}

TEST(Quorum, FindsAgainstThoseItContradicts) {
  for (const Decision decision :
       {Decision::accepted, Decision::rejected, Decision::disputed, Decision::undetermined, Decision::unverified}) {
    EXPECT_EQ(found_against(decision, right, right), decision == Decision::rejected) << "backed a rejected worker";
    EXPECT_EQ(found_against(decision, right, lie), decision == Decision::accepted) << "contradicted an accepted one";
    EXPECT_FALSE(found_against(decision, right, exhausted));
    EXPECT_FALSE(found_against(decision, exhausted, right));
  }
}

TEST(Quorum, StricterPoliciesNeedMore) {
  const policy::VerificationQuorum all{.required_percentage = 100, .minimum_verifiers = 3, .maximum_verifiers = 7};
  EXPECT_EQ(judge(right, std::vector{right, right, lie}, all).decision, Decision::disputed);
  EXPECT_EQ(judge(right, std::vector{right, right, right}, all).decision, Decision::accepted);
  const policy::VerificationQuorum half{.required_percentage = 51, .minimum_verifiers = 3, .maximum_verifiers = 7};
  EXPECT_EQ(judge(right, std::vector{right, right, right, lie, lie}, half).decision, Decision::accepted);
}

TEST(Score, TimelinessIsTheShareOfThePromise) {
  EXPECT_EQ(timeliness(0, 1000), 1000U) << "nothing was promised";
  EXPECT_EQ(timeliness(1000, 0), 1000U);
  EXPECT_EQ(timeliness(1000, 1000), 1000U);
  EXPECT_EQ(timeliness(1000, 1001), 999U);
  EXPECT_EQ(timeliness(1000, 4000), 250U);
  EXPECT_EQ(timeliness(1, UINT64_MAX), 0U);
  for (const std::uint64_t eta : {UINT64_MAX, UINT64_MAX / 1000, UINT64_MAX / 1000 + 1})
    EXPECT_LE(timeliness(eta, UINT64_MAX), 1000U);
}

TEST(Score, ContributionIsAgreementTimesTimeliness) {
  EXPECT_EQ(contribution_score(3, 3, 1000), 1000U);
  EXPECT_EQ(contribution_score(2, 3, 1000), 666U);
  EXPECT_EQ(contribution_score(2, 3, 500), 333U);
  EXPECT_EQ(contribution_score(0, 3, 1000), 0U);
  EXPECT_EQ(contribution_score(0, 0, 1000), 0U);
}

TEST(EscapeProbability, AgreesWithCountingEveryDraw) {
  for (std::uint32_t eligible = 1; eligible <= 11; ++eligible) {
    for (std::uint32_t colluders = 0; colluders <= eligible; ++colluders) {
      for (std::uint32_t seats = 0; seats <= std::min(eligible, 7U); ++seats) {
        std::vector<std::uint64_t> draws_with(seats + 1, 0);  // by how many of the seats collude
        for (std::uint32_t subset = 0; subset < (1U << eligible); ++subset) {
          if (static_cast<std::uint32_t>(std::popcount(subset)) != seats) continue;
          ++draws_with[static_cast<std::size_t>(std::popcount(subset & ((1U << colluders) - 1)))];
        }
        for (std::uint32_t needed = 0; needed <= seats + 1; ++needed) {
          std::uint64_t passing = 0;
          std::uint64_t all = 0;
          for (std::uint32_t k = 0; k <= seats; ++k) {
            all += draws_with[k];
            if (k >= needed) passing += draws_with[k];
          }
          const Fraction fraction = escape_probability(eligible, colluders, seats, needed);
          EXPECT_EQ(fraction.numerator, passing) << eligible << " " << colluders << " " << seats << " " << needed;
          EXPECT_EQ(fraction.denominator, all);
        }
      }
    }
  }
}

TEST(EscapeProbability, KnownFigures) {
  // Two colluders among six eligible, three seats, two needed: (C(2,2) C(4,1)) / C(6,3) = 4 / 20.
  const Fraction small = escape_probability(6, 2, 3, 2);
  EXPECT_EQ(small.numerator, 4U);
  EXPECT_EQ(small.denominator, 20U);
  EXPECT_EQ(escape_probability(6, 1, 3, 2).numerator, 0U) << "one colluder never reaches the quorum";
  // The largest that the formula takes: nothing wraps.
  const Fraction large = escape_probability(60, 60, 30, 0);
  EXPECT_EQ(large.numerator, large.denominator);
  EXPECT_EQ(large.denominator, 118264581564861424U);
}

// ---------------------------------------------------------------------------------------------------- samples

TEST(Sample, IsAboutItsShareOfTheShardsAndAnotherUnderAnotherSeed) {
  std::vector<std::uint32_t> shards;
  for (std::uint32_t i = 0; i < 1024; ++i) shards.push_back(3 * i);
  const Cid commitment = testing::record("commitment");
  for (const std::uint32_t per_mille : {1U, 100U, 500U, 999U, 1000U}) {
    const std::vector<std::uint32_t> sample = sample_of(testing::digest("seed"), commitment, shards, per_mille);
    const double p = per_mille / 1000.0;
    EXPECT_NEAR(static_cast<double>(sample.size()), 1024 * p, 4 * std::sqrt(1024 * p * (1 - p)) + 1e-9) << per_mille;
    EXPECT_TRUE(std::ranges::includes(shards, sample));
  }
  const auto few = sample_of(testing::digest("seed"), commitment, shards, 100);
  EXPECT_NE(few, sample_of(testing::digest("another"), commitment, shards, 100));
  EXPECT_NE(few, sample_of(testing::digest("seed"), testing::record("another"), shards, 100));
  EXPECT_TRUE(sample_of(testing::digest("seed"), commitment, {}, 10).empty());
}

TEST(Sample, ACheatOfAnySizeIsMissedAsOftenAsTheFormulaSays) {
  constexpr std::uint32_t draws = 20'000;
  constexpr std::uint32_t per_mille = 100;
  for (const std::uint32_t wrong : {1U, 5U, 20U}) {
    std::vector<std::uint32_t> cheated;  // Any that were chosen before the draw.
    for (std::uint32_t i = 0; i < wrong; ++i) cheated.push_back(7 * i);
    std::uint32_t caught = 0;
    for (std::uint32_t i = 0; i < draws; ++i) {
      const Digest seed = testing::digest("seed " + std::to_string(i));
      caught += sample_of(seed, testing::record("c"), cheated, per_mille).empty() ? 0U : 1U;
    }
    const double formula = catch_probability(per_mille, wrong);
    EXPECT_NEAR(caught, draws * formula, 4 * std::sqrt(draws * formula * (1 - formula))) << wrong;
  }
  EXPECT_DOUBLE_EQ(catch_probability(100, 0), 0);
  EXPECT_DOUBLE_EQ(catch_probability(100, 2), 0.19);
  EXPECT_DOUBLE_EQ(catch_probability(1000, 1), 1);
}

TEST(SeatsFor, GrowWithTheValueAndFallWithTrustBetweenTheBounds) {
  const policy::VerificationQuorum quorum{.minimum_verifiers = 3, .maximum_verifiers = 7, .value_per_verifier = 100};
  task::TaskIntent intent = testing::intent();
  const auto seats = [&](std::uint64_t value, std::uint32_t trust) {
    intent.value = value;
    return seats_for(intent, trust, quorum);
  };
  EXPECT_EQ(seats(0, 0), 3U);
  EXPECT_EQ(seats(99, 0), 3U);
  EXPECT_EQ(seats(100, 0), 4U);
  EXPECT_EQ(seats(400, 0), 7U);
  EXPECT_EQ(seats(UINT64_MAX, 0), 7U);
  EXPECT_EQ(seats(400, 500), 5U);
  EXPECT_EQ(seats(400, 999), 4U) << "somebody at least, while anything is at stake and trust is not whole";
  EXPECT_EQ(seats(400, 1000), 3U);
  EXPECT_EQ(seats(400, 5000), 3U);
  std::uint32_t before = 0;
  for (std::uint64_t value = 0; value < 1000; value += 50) {
    EXPECT_GE(seats(value, 300), before);
    before = seats(value, 300);
    for (std::uint32_t trust = 0; trust < 1000; trust += 100) EXPECT_GE(seats(value, trust), seats(value, trust + 100));
  }
  intent.verifiers = 7;
  EXPECT_EQ(seats(400, 0), 7U);
  intent.verifiers = 0;
  EXPECT_EQ(seats(400, 0), 0U) << "none were asked for";
}

TEST(EscapeProbabilityDeath, ArgumentsThatMakeNoSenseAreOurBug) {
  EXPECT_DEATH((void)escape_probability(61, 1, 3, 2), "escape-probability-arguments");
  EXPECT_DEATH((void)escape_probability(5, 6, 3, 2), "escape-probability-arguments");
  EXPECT_DEATH((void)escape_probability(5, 2, 6, 2), "escape-probability-arguments");
}

// ---------------------------------------------------------------------------------------------------- records

TEST(VerificationRecords, ReadBackAndAreRefusedCutOff) {
  const Play play;
  const Signed<RoundOpen> open = play.publisher().sign(play.open_record());
  const auto reveals = play.reveals(open);
  testing::round_trip(open.record);
  testing::round_trip(reveals.front().record);
  testing::round_trip(play.draw_record(open, reveals));
  testing::round_trip(Substitution{.intent = {},
                                   .draw = {},
                                   .commitment = {},
                                   .failed = testing::node(3),
                                   .shards = {{1, 2}},
                                   .reason = "went away \xe2\x82\xac"});
  testing::round_trip(Extension{.intent = {}, .draw = {}, .commitment = {}, .shards = {{1, 2}}, .seats = 5});
  testing::round_trip(RevealRequest{.intent = {}, .commitment = {}, .draw = {}, .commitments = {}});
  testing::round_trip(RevealRequest{.intent = {}, .commitment = {}, .draw = Cid(), .commitments = {Cid(), Cid()}});
  for (std::size_t decision = 0; decision < enum_names(Decision{}).size(); ++decision) {
    testing::round_trip(Verdict{.intent = {},
                                .shards = {{0, 2}, {5, 1}},
                                .decision = static_cast<Decision>(decision),
                                .receipt = {},
                                .draw = {},
                                .verifications = {Cid()},
                                .timeliness = 1,
                                .contribution = 2});
  }
  Substitution cut{
      .intent = {}, .draw = {}, .commitment = {}, .failed = testing::node(3), .shards = {}, .reason = "\xe2\x82"};
  EXPECT_FALSE(record::decode<Substitution>(record::encode(cut)).has_value());
}

}  // namespace
}  // namespace mesh::verification
