// Proof bundles: an honest story is accepted with what it proves; every departure from it is refused by name.
#include "domain/verification/proof.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <tuple>

#include "domain/market/market_testing.h"
#include "domain/verification/alone.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::verification {
namespace {

using receipt::Commitment;
using receipt::ExecutionReceipt;
using receipt::VerificationReceipt;

receipt::Finding finding(std::string_view result, std::uint32_t shard) {
  return {.result = testing::content(std::string(result) + std::to_string(shard)),
          .log = testing::content("log"),
          .outcome = {},
          .fuel = 1000 + shard};
}
receipt::Finding truth(std::uint32_t shard) { return finding("right", shard); }
receipt::Finding lie(std::uint32_t shard) { return finding("lie", shard); }

/// Writes the story of one task of node 1, with nodes 2, 3, ... on its roster. Each hook changes a record before it is
/// signed, so that everything after it builds on the change and that record alone is at fault.
struct Author {
  std::uint32_t shards = 2;
  std::uint8_t members = 5;
  std::function<void(task::TaskIntent&)> on_intent;
  std::function<void(std::uint8_t, market::ComputeOffer&)> on_offer;
  std::function<void(market::Roster&)> on_roster;
  std::function<void(market::Award&)> on_award;
  std::function<void(Commitment&)> on_commitment;  ///< the workers'
  std::function<void(RoundOpen&)> on_open;
  std::function<void(Draw&)> on_draw;
  std::function<void(Commitment&)> on_verifier_commitment;
  std::function<void(ExecutionReceipt&)> on_receipt;
  std::function<void(VerificationReceipt&)> on_verification;
  std::function<void(Verdict&)> on_verdict;
  /// The commitments in which a verifier commits to its shards; in one where there is none.
  std::function<std::vector<std::vector<std::uint32_t>>(const NodeId&, const std::vector<std::uint32_t>&)> splits;
  bool verdict_for_each = false;  ///< shard, though they ended alike
  std::function<receipt::Finding(const NodeId&, std::uint32_t)> finds = [](const NodeId&, std::uint32_t shard) {
    return truth(shard);
  };
  std::set<std::uint8_t> withholding;
  std::vector<NodeId> barred;
  std::map<std::string_view, std::uint8_t> signed_by;  ///< another signer for all records of a type

  std::vector<Envelope> story;
  Signed<task::TaskIntent> intent;
  std::optional<Field> field;
  std::uint32_t rounds = 0, leases = 0;
  std::optional<Cid> last_draw, last_award, last_commitment;
  std::vector<std::uint32_t>
      last_spared;  ///< shards of the last attempt that were not drawn, where a sample is verified
  std::function<void(Verdict&)> on_spared;
  std::optional<std::uint32_t> on_each;  ///< seats; the intent's number unless it is set

  template <class T>
  Signed<T> write(std::uint8_t number, T record, const std::function<void(T&)>& hook = {}) {
    if (hook) hook(record);
    if (const auto other = signed_by.find(T::type); other != signed_by.end()) number = other->second;
    Signed<T> written = testing::signer(number).sign(std::move(record));
    story.push_back(written.envelope);
    return written;
  }
  [[nodiscard]] Digest link(std::uint8_t number, std::uint32_t round) const {
    return chain_link(testing::signer(number).secret("chain", {}), task::max_rounds(shards), round);
  }
  static std::uint8_t number_of(const NodeId& node) {
    for (std::uint8_t number = 1; number < 100; ++number) {
      if (testing::node(number) == node) return number;
    }
    ADD_FAILURE() << "no such node";
    return 0;
  }

  void bidding() {
    task::TaskIntent wanted = testing::intent(shards);
    wanted.nonce_tip = link(1, 0);
    intent = write<task::TaskIntent>(1, std::move(wanted), on_intent);
    std::vector<Signed<market::ComputeOffer>> offers;
    market::Roster roster{.intent = intent.cid, .offers = {}};
    for (std::uint8_t number = 2; number < 2 + members; ++number) {
      market::ComputeOffer offer = testing::offer_on(intent.cid, link(number, 0));
      if (on_offer) on_offer(number, offer);
      offers.push_back(write<market::ComputeOffer>(number, std::move(offer)));
      roster.offers.push_back(offers.back().cid);
    }
    Signed<market::Roster> list = write<market::Roster>(1, std::move(roster), on_roster);
    // Not make_field: a roster at fault is written on as well.
    field = Field{.intent = intent, .roster = std::move(list), .offers = std::move(offers)};
  }

  Signed<Commitment> commit(std::uint8_t number, const Cid& basis, const std::optional<Cid>& worker,
                            const std::vector<std::uint32_t>& covered, const std::function<void(Commitment&)>& hook) {
    Commitment commitment{.intent = intent.cid,
                          .node = testing::node(number),
                          .basis = basis,
                          .worker = worker,
                          .shards = task::ranges_of(covered),
                          .root = {}};
    std::vector<Digest> digests;
    for (const std::uint32_t shard : covered)
      digests.push_back(receipt::digest_of(finds(testing::node(number), shard)));
    const Digest key = receipt::salt_key(testing::signer(number), commitment);
    commitment.root = receipt::root_of(intent.cid, testing::node(number), key, covered, digests);
    return write<Commitment>(number, std::move(commitment), hook);
  }
  [[nodiscard]] Digest key(std::uint8_t number, const Cid& basis, const std::optional<Cid>& worker,
                           const std::vector<std::uint32_t>& covered) const {
    return receipt::salt_key(testing::signer(number), {.intent = intent.cid,
                                                       .node = testing::node(number),
                                                       .basis = basis,
                                                       .worker = worker,
                                                       .shards = task::ranges_of(covered),
                                                       .root = {}});
  }
  Signed<ExecutionReceipt> reveal(std::uint8_t number, const Cid& basis, const Cid& commitment,
                                  const std::vector<std::uint32_t>& covered) {
    std::vector<receipt::Finding> rows;
    receipt::Usage usage;
    for (const std::uint32_t shard : covered) {
      rows.push_back(finds(testing::node(number), shard));
      usage.add({.fuel = 0, .wall_ms = 5, .peak_memory_bytes = 6, .io_bytes = 7 + shard});
    }
    return write<ExecutionReceipt>(number,
                                   {.intent = intent.cid,
                                    .award = basis,
                                    .commitment = commitment,
                                    .key = key(number, basis, {}, covered),
                                    .findings = receipt::columns_of(rows),
                                    .usage = std::move(usage)},
                                   on_receipt);
  }
  Signed<VerificationReceipt> answer(const NodeId& node, const NodeId& worker, const Cid& draw, const Cid& receipt,
                                     const Cid& commitment, const std::vector<std::uint32_t>& covered) {
    std::vector<std::uint32_t> differing;
    std::vector<receipt::Finding> rows;
    for (const std::uint32_t shard : covered) {
      receipt::Finding found = finds(node, shard);
      if (found == finds(worker, shard)) continue;
      differing.push_back(shard);
      rows.push_back(std::move(found));
    }
    const std::uint8_t number = number_of(node);
    return write<VerificationReceipt>(number,
                                      {.intent = intent.cid,
                                       .receipt = receipt,
                                       .commitment = commitment,
                                       .key = key(number, draw, last_commitment, covered),
                                       .differing = task::ranges_of(differing),
                                       .findings = receipt::columns_of(rows)},
                                      on_verification);
  }

  /// Awards `covered` to `worker`, who runs it; without seats the verdicts are `unverified`.
  /// `change_seats` may lose or add seats before anybody commits.
  void attempt(std::uint8_t worker, const std::vector<std::uint32_t>& covered, bool verified = true,
               const std::function<void(const Cid& draw, std::uint32_t shard, Seats&)>& change_seats = {}) {
    const Signed<market::Award> award = write<market::Award>(1,
                                                             {.intent = intent.cid,
                                                              .roster = field->roster.cid,
                                                              .offer = field->offer_of(testing::node(worker))->cid,
                                                              .lease = leases++,
                                                              .shards = task::ranges_of(covered)},
                                                             on_award);
    last_award = award.cid;
    const Signed<Commitment> commitment = commit(worker, award.cid, {}, covered, on_commitment);
    last_commitment = commitment.cid;
    std::optional<Cid> draw_cid;
    std::map<std::uint32_t, Seats> seats;
    std::map<NodeId, std::vector<std::uint32_t>> seated;
    std::vector<std::uint32_t> drawn_shards = covered;
    if (verified) {
      ++rounds;
      const Signed<RoundOpen> open = write<RoundOpen>(1,
                                                      {.intent = intent.cid,
                                                       .roster = field->roster.cid,
                                                       .round = rounds,
                                                       .commitments = {commitment.cid},
                                                       .seats = {on_each.value_or(intent.record.verifiers)},
                                                       .barred = barred},
                                                      on_open);
      std::vector<Signed<NonceReveal>> reveals;
      Draw draw{.intent = intent.cid, .open = open.cid, .round = rounds, .link = link(1, rounds), .reveals = {}};
      for (std::uint8_t number = 2; number < 2 + members; ++number) {
        if (withholding.contains(number)) continue;
        reveals.push_back(write<NonceReveal>(
            number, {.intent = intent.cid, .open = open.cid, .round = rounds, .link = link(number, rounds)}));
        draw.reveals.push_back(reveals.back().cid);
      }
      const Signed<Draw> drawn = write<Draw>(1, std::move(draw), on_draw);
      draw_cid = last_draw = drawn.cid;
      const Result<DrawnRound> round = make_round(*field, open, reveals, drawn);
      if (round) drawn_shards = round->verified(commitment.cid, covered);
      for (const std::uint32_t shard : drawn_shards) {
        Seats& of_shard = seats[shard];
        of_shard.wanted = open.record.seats.empty() ? intent.record.verifiers : open.record.seats.front();
        if (round) of_shard.order = round->order(commitment.cid, shard, testing::node(worker));
        if (change_seats) change_seats(drawn.cid, shard, of_shard);
        for (const NodeId& node : of_shard.current()) seated[node].push_back(shard);
      }
    }
    struct Given {
      std::vector<std::uint32_t> covered;
      Signed<Commitment> commitment;
      Cid verification;
    };
    std::map<NodeId, std::vector<Given>> given;
    for (const auto& [node, list] : seated) {
      for (const std::vector<std::uint32_t>& part :
           splits ? splits(node, list) : std::vector<std::vector<std::uint32_t>>{list})
        given[node].push_back(
            {part, commit(number_of(node), *draw_cid, commitment.cid, part, on_verifier_commitment), {}});
    }
    const Signed<ExecutionReceipt> receipt = reveal(worker, award.cid, commitment.cid, covered);
    for (auto& [node, list] : given) {
      for (Given& one : list) {
        one.verification =
            answer(node, testing::node(worker), *draw_cid, receipt.cid, one.commitment.cid, one.covered).cid;
      }
    }
    struct Ended {
      std::vector<std::uint32_t> shards;
      std::set<Cid> verifications;
    };
    std::map<std::tuple<Decision, std::uint32_t, std::uint32_t>, Ended>
        endings;  // By share, and shard where each is one.
    last_spared.clear();
    std::ranges::set_difference(covered, drawn_shards, std::back_inserter(last_spared));
    for (const std::uint32_t shard : drawn_shards) {
      std::vector<receipt::Finding> findings;
      std::set<Cid> verifications;
      for (const NodeId& node : seats[shard].current()) {
        findings.push_back(finds(node, shard));
        for (const Given& one : given.at(node)) {
          if (std::ranges::find(one.covered, shard) != one.covered.end()) verifications.insert(one.verification);
        }
      }
      const Judgement judgement = judge(finds(testing::node(worker), shard), findings, {});
      const std::uint32_t contribution =
          contribution_score(judgement.agreed, static_cast<std::uint32_t>(findings.size()), 1000);
      Ended& ended = endings[{judgement.decision, contribution, verdict_for_each ? shard : 0}];
      ended.shards.push_back(shard);
      ended.verifications.merge(verifications);
    }
    for (const auto& [how, ended] : endings) {
      write<Verdict>(1,
                     {.intent = intent.cid,
                      .shards = task::ranges_of(ended.shards),
                      .decision = std::get<0>(how),
                      .receipt = receipt.cid,
                      .draw = draw_cid,
                      .verifications = {ended.verifications.begin(), ended.verifications.end()},
                      .timeliness = 1000,
                      .contribution = std::get<1>(how)},
                     on_verdict);
    }
    if (last_spared.empty()) return;
    write<Verdict>(1,
                   {.intent = intent.cid,
                    .shards = task::ranges_of(last_spared),
                    .decision = Decision::spot_checked,
                    .receipt = receipt.cid,
                    .draw = draw_cid,
                    .verifications = {},
                    .timeliness = 1000,
                    .contribution = 0},
                   on_spared);
  }

  /// Of the last attempt.
  [[nodiscard]] Substitution lost(const Cid& draw, const NodeId& failed, std::uint32_t shard) const {
    return {.intent = intent.cid,
            .draw = draw,
            .commitment = *last_commitment,
            .failed = failed,
            .shards = {{shard, 1}},
            .reason = "went away"};
  }
  [[nodiscard]] Extension more(const Cid& draw, std::uint32_t shard, std::uint32_t seats) const {
    return {.intent = intent.cid, .draw = draw, .commitment = *last_commitment, .shards = {{shard, 1}}, .seats = seats};
  }

  [[nodiscard]] Bytes bundle(const std::vector<car::Block>& contents = {}) const {
    return build_bundle(testing::federation(), {}, intent.cid, story, contents);
  }
  [[nodiscard]] std::string error(const std::vector<car::Block>& contents = {}) const {
    const Result<ProofReport> report = verify_bundle(bundle(contents));
    return report ? "" : report.error().message;
  }
  /// The first envelope with a record of this type.
  template <class T>
  [[nodiscard]] std::vector<Envelope>::iterator first() {
    const auto it =
        std::ranges::find_if(story, [](const Envelope& envelope) { return type_of(envelope.body) == T::type; });
    EXPECT_NE(it, story.end());
    return it;
  }
};

/// An honest story of two shards or, of a task of one, of that; with changes.
Author honest(const std::function<void(Author&)>& prepare = {}) {
  Author author;
  if (prepare) prepare(author);
  author.bidding();
  author.attempt(2, author.shards == 1 ? std::vector<std::uint32_t>{0} : std::vector<std::uint32_t>{0, 1});
  return author;
}
std::string error_with(const std::function<void(Author&)>& prepare) { return honest(prepare).error(); }

// ---------------------------------------------------------------------------------------------------- accepted

TEST(Proof, AnHonestStoryIsAccepted) {
  const Author author = honest();
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->federation, testing::federation());
  EXPECT_EQ(report->intent.signer, testing::node(1));
  EXPECT_EQ(report->missing, 0U);
  EXPECT_EQ(report->count(Decision::accepted), 2U);
  EXPECT_EQ(report->count(Decision::rejected), 0U);
  ASSERT_EQ(report->shards.size(), 2U);
  for (std::uint32_t shard = 0; shard < 2; ++shard) {
    const ShardProof& proof = report->shards[shard];
    EXPECT_EQ(proof.shard, shard);
    EXPECT_EQ(proof.worker, testing::node(2));
    EXPECT_EQ(proof.finding, truth(shard));
    EXPECT_EQ(proof.summary, (task::ExecutionSummary{
                                 .fuel = 1000 + shard, .wall_ms = 5, .peak_memory_bytes = 6, .io_bytes = 7 + shard}));
    EXPECT_EQ(proof.contribution, 1000U);
    ASSERT_EQ(proof.seats.size(), 3U);
    for (const SeatProof& seat : proof.seats) EXPECT_TRUE(seat.agreed);
    EXPECT_FALSE(proof.same_owner);
    EXPECT_FALSE(proof.self_executed);
    EXPECT_EQ(proof.rejected_attempts, 0U);
  }
}

TEST(Proof, TellsAVerifierThatWasAgainstTheQuorum) {
  NodeId against;
  Author author;
  author.finds = [&](const NodeId& node, std::uint32_t shard) { return node == against ? lie(shard) : truth(shard); };
  author.shards = 1;
  author.bidding();
  author.attempt(2, {0}, true, [&](const Cid&, std::uint32_t, const Seats& seats) { against = seats.current()[1]; });
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->shards[0].decision, Decision::accepted);
  EXPECT_FALSE(report->shards[0].seats[1].agreed);
  EXPECT_EQ(report->shards[0].contribution, 666U);
}

TEST(Proof, ARejectedWorkerIsCountedAndMayBeBarredFromThenOn) {
  Author author;
  author.members = 6;
  author.finds = [](const NodeId& node, std::uint32_t shard) {
    return node == testing::node(2) ? lie(shard) : truth(shard);
  };
  author.bidding();
  author.attempt(2, {0, 1});
  author.barred = {testing::node(2)};
  author.attempt(3, {0, 1});
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(Decision::accepted), 2U);
  for (const ShardProof& proof : report->shards) {
    EXPECT_EQ(proof.worker, testing::node(3));
    EXPECT_EQ(proof.rejected_attempts, 1U);
    for (const SeatProof& seat : proof.seats) EXPECT_NE(seat.node, testing::node(2));
  }
}

TEST(Proof, ASubstituteAndAnExtensionAreFollowed) {
  Author author;
  author.members = 8;
  author.shards = 1;
  std::vector<NodeId> order;
  author.bidding();
  author.attempt(2, {0}, true, [&](const Cid& draw, std::uint32_t, Seats& seats) {
    order = seats.order.nodes;
    author.write<Substitution>(1, author.lost(draw, order[0], 0));
    author.write<Extension>(1, author.more(draw, 0, 5));
    seats.lost.push_back(order[0]);
    seats.wanted = 5;
  });
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  ASSERT_EQ(report->shards[0].seats.size(), 5U);
  EXPECT_EQ(report->shards[0].seats[0].node, order[1]);
  EXPECT_EQ(report->shards[0].seats[4].node, order[5]);
}

TEST(Proof, ANodeMayVerifyShardsOfOneBatchInSeveralCommitments) {
  // Seats of shard 1 are lost until one that has shard 0 already comes after them: it commits to each by itself.
  Author author;
  author.members = 8;
  NodeId substitute;
  author.splits = [&](const NodeId& node, const std::vector<std::uint32_t>& shards) {
    std::vector<std::vector<std::uint32_t>> parts{shards};
    if (node == substitute) {
      parts.clear();
      for (const std::uint32_t shard : shards) parts.push_back({shard});
    }
    return parts;
  };
  author.bidding();
  std::vector<NodeId> seated;
  author.attempt(2, {0, 1}, true, [&](const Cid& draw, std::uint32_t shard, Seats& seats) {
    if (shard == 0) {
      seated = seats.current();
      return;
    }
    const std::vector<NodeId> order = seats.order.nodes;
    const auto next = std::find_if(order.begin() + 3, order.end(),
                                   [&](const NodeId& node) { return std::ranges::find(seated, node) != seated.end(); });
    ASSERT_NE(next, order.end()) << "the seeds, which are fixed, draw one";
    substitute = *next;
    for (auto failed = order.begin(); !seats.holds(substitute); ++failed) {
      author.write<Substitution>(1, author.lost(draw, *failed, 1));
      seats.lost.push_back(*failed);
    }
  });
  EXPECT_EQ(std::ranges::count_if(author.story,
                                  [&](const Envelope& envelope) {
                                    return type_of(envelope.body) == VerificationReceipt::type &&
                                           envelope.key == substitute;
                                  }),
            2);
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(Decision::accepted), 2U);
  for (const ShardProof& proof : report->shards) {
    ASSERT_EQ(proof.seats.size(), 3U);
    EXPECT_EQ(std::ranges::count(proof.seats, substitute, &SeatProof::node), 1);
  }
}

/// A batch of six whose shards end in all ways: 0 and 4 as they should, 1 with one seat against, 2 and 5 rejected, 3
/// disputed.
Author mixed(const std::function<void(Author&)>& prepare = {}) {
  Author author;
  author.shards = 6;
  author.members = 9;
  const auto against = std::make_shared<std::map<std::uint32_t, NodeId>>();
  author.finds = [against](const NodeId& node, std::uint32_t shard) {
    const bool worker = node == testing::node(2);
    if (shard == 1 && against->contains(1) && node == against->at(1)) return lie(shard);
    if ((shard == 2 || shard == 5) && worker) return lie(shard);
    if (shard == 3 && !worker) return finding(identity::short_name(node), shard);
    return truth(shard);
  };
  if (prepare) prepare(author);
  author.bidding();
  author.attempt(2, {0, 1, 2, 3, 4, 5}, true, [against](const Cid&, std::uint32_t shard, const Seats& seats) {
    against->emplace(shard, seats.current()[1]);
  });
  return author;
}

TEST(Proof, ShardsOfOneBatchMayEndInDifferentWays) {
  Author author = mixed();
  EXPECT_EQ(
      std::ranges::count_if(author.story, [](const Envelope& e) { return type_of(e.body) == ExecutionReceipt::type; }),
      1);
  EXPECT_EQ(std::ranges::count_if(author.story, [](const Envelope& e) { return type_of(e.body) == Verdict::type; }), 4);
  Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  ASSERT_EQ(report->shards.size(), 6U);
  const std::vector<std::pair<Decision, std::uint32_t>> expected{{Decision::accepted, 1000}, {Decision::accepted, 666},
                                                                 {Decision::rejected, 0},    {Decision::disputed, 0},
                                                                 {Decision::accepted, 1000}, {Decision::rejected, 0}};
  for (std::uint32_t shard = 0; shard < 6; ++shard) {
    const ShardProof& proof = report->shards[shard];
    EXPECT_EQ(proof.shard, shard);
    EXPECT_EQ(proof.decision, expected[shard].first) << shard;
    EXPECT_EQ(proof.contribution, expected[shard].second) << shard;
    EXPECT_EQ(proof.finding, author.finds(testing::node(2), shard));
    EXPECT_EQ(proof.summary.io_bytes, 7 + shard);
    ASSERT_EQ(proof.seats.size(), 3U);
    for (std::size_t seat = 0; seat < 3; ++seat) {
      EXPECT_EQ(proof.seats[seat].agreed, shard == 0 || shard == 4 || (shard == 1 && seat != 1)) << shard;
    }
  }
  // What was rejected and disputed is done again by another, out of whose draw the guilty are left.
  author.barred = {testing::node(2), report->shards[1].seats[1].node};
  author.finds = [](const NodeId&, std::uint32_t shard) { return truth(shard); };
  author.attempt(author.barred[1] == testing::node(3) ? 4 : 3, {2, 3, 5});
  report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(Decision::accepted), 6U);
  for (std::uint32_t shard = 0; shard < 6; ++shard)
    EXPECT_EQ(report->shards[shard].rejected_attempts, shard == 2 || shard == 3 || shard == 5 ? 1U : 0U);
}

TEST(Proof, AVerdictForEachShardOfABatchIsAsGood) {
  const Author author = mixed([](Author& a) { a.verdict_for_each = true; });
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->shards.size(), 6U);
  EXPECT_EQ(report->count(Decision::accepted), 3U);
}

TEST(Proof, AVerifierOfTheWorkersOwnerIsTold) {
  const Author author = honest([](Author& a) {
    a.members = 4;
    a.on_offer = [](std::uint8_t number, market::ComputeOffer& offer) {
      if (number == 2 || number == 3) offer.owner = "did:example:one";
    };
  });
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_TRUE(report->shards[0].same_owner);
}

TEST(Proof, UnverifiedWhereThereWereTooFewSaysSo) {
  Author author;
  author.members = 3;
  author.bidding();
  author.attempt(2, {0, 1}, false);
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(Decision::unverified), 2U);
  EXPECT_TRUE(report->shards[0].seats.empty());
}

TEST(Proof, ShardsWithoutAVerdictAreCountedAsMissing) {
  Author author;
  author.shards = 5;
  author.bidding();
  EXPECT_EQ(verify_bundle(author.bundle())->missing, 5U);
  author.attempt(2, {1, 3});
  Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->missing, 3U);
  // Revealed as a whole, but not judged as a whole yet.
  author.verdict_for_each = true;
  author.attempt(2, {0, 2});
  author.story.pop_back();
  report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->missing, 2U);
}

TEST(Proof, ContentsComeAlongChecked) {
  const Author author = honest();
  const Bytes result = to_bytes("right0");
  const car::Block block{Cid::of(Multicodec::raw, result), result};
  const Result<ProofReport> report = verify_bundle(author.bundle({block}));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  ASSERT_EQ(report->contents.size(), 1U);
  EXPECT_EQ(report->contents[0].second, result);
  const Bytes other = to_bytes("something else");
  EXPECT_EQ(author.error({{Cid::of(Multicodec::raw, other), other}}),
            "the bundle carries a content that no receipt names");
  EXPECT_NE(author.error({{block.cid, other}}), "") << "a block under another's name";
}

TEST(Proof, MoreThanOneListHolds) {
  // What is carried needs no verdict to be listed; here it is what no receipt names, so it is refused for that alone.
  Author author = honest();
  std::vector<car::Block> contents;
  for (std::size_t i = 0; i < 100'000; ++i) {
    const Bytes bytes = to_bytes("content " + std::to_string(i));
    contents.push_back({Cid::of(Multicodec::raw, bytes), bytes});
  }
  EXPECT_EQ(author.error(contents), "the bundle carries a content that no receipt names");
  const Result<car::Archive> archive = car::read(author.bundle(contents));
  ASSERT_TRUE(archive.has_value()) << archive.error().message;
  std::map<Cid, const Bytes*> blocks;
  for (const car::Block& block : archive->blocks) blocks.emplace(block.cid, &block.bytes);
  ProofBundle bundle = *record::decode<ProofBundle>(*blocks.at(archive->roots.front()));
  EXPECT_EQ(bundle.lists.size(),
            (author.story.size() + contents.size() + ProofList::max_listed - 1) / ProofList::max_listed);
  const Result<ProofList> listed = read_lists(bundle, blocks);
  ASSERT_TRUE(listed.has_value()) << listed.error().message;
  EXPECT_EQ(listed->envelopes.size(), author.story.size());
  EXPECT_EQ(listed->contents.size(), contents.size());
  bundle.lists.push_back(bundle.lists.front());
  EXPECT_EQ(read_lists(bundle, blocks).error().message, "the bundle names a list twice");
  bundle.lists.back() = archive->roots.front();
  EXPECT_FALSE(read_lists(bundle, blocks).has_value()) << "no list";
  bundle.lists.back() = testing::record("nowhere");
  EXPECT_FALSE(read_lists(bundle, blocks).has_value());
  ProofList longer;
  longer.contents.assign(ProofList::max_listed + 1, testing::record("x"));
  const Bytes bytes = record::encode(longer);
  blocks.emplace(dagcbor::cid_of(bytes), &bytes);
  bundle.lists.back() = dagcbor::cid_of(bytes);
  EXPECT_EQ(read_lists(bundle, blocks).error().message, "a list of the bundle has more than 16384 entries");
}

// ---------------------------------------------------------------------------------------------------- one shard alone

Author alone(const Author& author, std::uint32_t shard) {
  Author part = author;
  Result<std::vector<Envelope>> story = story_of_shard(author.story, shard);
  EXPECT_TRUE(story.has_value()) << story.error().message;
  part.story = std::move(*story);
  return part;
}

/// What the bundle says of a shard.
std::optional<ShardProof> proof_in(const Bytes& bundle, std::uint32_t shard) {
  const Result<ProofReport> report = verify_bundle(bundle);
  EXPECT_TRUE(report.has_value()) << report.error().message;
  if (!report) return std::nullopt;
  const auto found = std::ranges::find(report->shards, shard, &ShardProof::shard);
  return found == report->shards.end() ? std::nullopt : std::optional(*found);
}

template <class T>
std::ptrdiff_t count_of(const Author& author) {
  return std::ranges::count_if(author.story, [](const Envelope& e) { return type_of(e.body) == T::type; });
}

/// Three workers of a task of six shards, the last of which nobody has run.
Author three_workers() {
  Author author;
  author.shards = 6;
  author.bidding();
  author.attempt(2, {0, 1});
  author.attempt(3, {2, 3});
  author.attempt(4, {4});
  return author;
}

TEST(ProofAlone, OfAShardStandsWithoutTheRestOfTheTask) {
  const Author author = three_workers();
  const Bytes whole = author.bundle();
  for (std::uint32_t shard = 0; shard < 5; ++shard) {
    const Author part = alone(author, shard);
    EXPECT_LT(3 * part.bundle().size(), 2 * whole.size());
    const std::optional<ShardProof> proof = proof_in(part.bundle(), shard);
    ASSERT_TRUE(proof.has_value());
    EXPECT_EQ(proof, proof_in(whole, shard));
    EXPECT_EQ(verify_bundle(part.bundle())->missing, shard < 4 ? 4U : 5U) << "nothing of the other workers'";
    // Each record in it is needed.
    for (std::size_t at = 0; at < part.story.size(); ++at) {
      Author less = part;
      less.story.erase(less.story.begin() + static_cast<std::ptrdiff_t>(at));
      const Result<ProofReport> report = verify_bundle(less.bundle());
      EXPECT_TRUE(!report || report->shards.empty()) << *type_of(part.story[at].body);
    }
  }
}

TEST(ProofAlone, EveryFlippedByteAndEveryCutIsRefused) {
  const Bytes good = alone(three_workers(), 2).bundle();
  ASSERT_TRUE(verify_bundle(good).has_value());
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] = static_cast<std::uint8_t>(bad[at] ^ 0x01);
    ASSERT_FALSE(verify_bundle(bad).has_value()) << "byte " << at;
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    ASSERT_FALSE(verify_bundle(ByteView(good).first(size)).has_value()) << "cut at " << size;
}

TEST(ProofAlone, AShardWithoutAVerdictHasNone) {
  const Author author = three_workers();
  EXPECT_EQ(story_of_shard(author.story, 5).error().code, ErrorCode::not_found);
  EXPECT_EQ(story_of_shard(author.story, 5).error().message, "there is no verdict on shard 5: nothing proves it");
  EXPECT_EQ(story_of_shard(author.story, 6).error().code, ErrorCode::not_found);
  EXPECT_EQ(story_of_shard(author.story, UINT32_MAX).error().code, ErrorCode::not_found);
  Author bidden;
  bidden.bidding();
  EXPECT_EQ(story_of_shard(bidden.story, 0).error().code, ErrorCode::not_found);
}

TEST(ProofAlone, HowLongTheTaskIsDoesNotMatter) {
  const auto bytes_of = [](std::uint32_t attempts) {
    Author author;
    author.shards = 40;
    author.bidding();
    for (std::uint32_t i = 0; i < attempts; ++i)
      author.attempt(static_cast<std::uint8_t>(2 + i % 3), {2 * i, 2 * i + 1});
    return alone(author, 1).bundle().size();
  };
  EXPECT_EQ(bytes_of(1), bytes_of(20));
}

TEST(ProofAlone, UnverifiedAndSelfExecutedShardsHaveOneToo) {
  Author author;
  author.members = 3;
  author.bidding();
  author.attempt(2, {0}, false);
  author.attempt(3, {1}, false);
  for (std::uint32_t shard = 0; shard < 2; ++shard) {
    const Author part = alone(author, shard);
    const std::optional<ShardProof> proof = proof_in(part.bundle(), shard);
    ASSERT_TRUE(proof.has_value());
    EXPECT_EQ(proof->decision, Decision::unverified);
    EXPECT_EQ(count_of<Verdict>(part), 1);
  }
  EXPECT_EQ(verify_each_shard(author.bundle())->bundles, 2U);
}

TEST(ProofAlone, ARejectedAttemptIsPartOfIt) {
  Author author;
  author.members = 6;
  author.shards = 3;
  author.finds = [](const NodeId& node, std::uint32_t shard) {
    return node == testing::node(2) && shard == 0 ? lie(shard) : truth(shard);
  };
  author.bidding();
  author.attempt(2, {0, 1});
  author.attempt(3, {0, 2});
  const std::optional<ShardProof> proof = proof_in(alone(author, 0).bundle(), 0);
  ASSERT_TRUE(proof.has_value());
  EXPECT_EQ(proof->decision, Decision::accepted);
  EXPECT_EQ(proof->worker, testing::node(3));
  EXPECT_EQ(proof->rejected_attempts, 1U);
  // What only the other shards of these batches came to is left out.
  EXPECT_EQ(count_of<Verdict>(alone(author, 1)), 1);
  EXPECT_EQ(proof_in(alone(author, 1).bundle(), 0), std::nullopt);
}

TEST(ProofAlone, BringsTheFirstVerdictAgainstWhoeverWasBarredAndNoOther) {
  Author author;
  author.members = 8;
  author.shards = 8;
  author.finds = [](const NodeId& node, std::uint32_t shard) {
    return node == testing::node(2) || (node == testing::node(3) && shard == 3) ? lie(shard) : truth(shard);
  };
  author.bidding();
  author.attempt(2, {0});
  author.attempt(2, {1});
  author.attempt(2, {2});
  author.barred = {testing::node(2)};
  author.attempt(3, {3});  // Draws without 2, finds against 3.
  author.barred = {testing::node(2), testing::node(3)};
  author.attempt(4, {4});
  author.attempt(4, {0, 1, 2, 3});
  ASSERT_TRUE(verify_bundle(author.bundle()).has_value()) << author.error();
  const Author part = alone(author, 4);
  const std::optional<ShardProof> proof = proof_in(part.bundle(), 4);
  ASSERT_TRUE(proof.has_value());
  EXPECT_EQ(proof->decision, Decision::accepted);
  EXPECT_EQ(count_of<Verdict>(part), 3) << "its own, and one against each";
  EXPECT_EQ(count_of<Verdict>(alone(author, 0)), 3)
      << "two on it, one of which is the first against 2, and one against 3";
  EXPECT_EQ(verify_each_shard(author.bundle())->shards, 5U);
}

TEST(ProofAlone, ABarredVerifierIsFoundByWhatItRevealed) {
  Author author = mixed();
  const NodeId against = verify_bundle(author.bundle())->shards[1].seats[1].node;
  author.barred = {against};
  author.finds = [](const NodeId&, std::uint32_t shard) { return truth(shard); };
  author.attempt(against == testing::node(3) ? 4 : 3, {3});
  const Author part = alone(author, 3);
  const std::optional<ShardProof> proof = proof_in(part.bundle(), 3);
  ASSERT_TRUE(proof.has_value());
  EXPECT_EQ(proof->decision, Decision::accepted);
  const Result<EachShard> each = verify_each_shard(author.bundle());
  ASSERT_TRUE(each.has_value()) << each.error().message;
  EXPECT_EQ(each->shards, 6U);
}

TEST(ProofAlone, BringsTheChangesOfItsSeatsAndOfNoOthers) {
  Author author;
  author.members = 9;
  author.shards = 2;
  author.verdict_for_each = true;
  author.bidding();
  std::vector<NodeId> lost(2);
  author.attempt(2, {0, 1}, true, [&](const Cid& draw, std::uint32_t shard, Seats& seats) {
    lost[shard] = seats.order.nodes[0];
    author.write<Substitution>(1, author.lost(draw, lost[shard], shard));
    author.write<Extension>(1, author.more(draw, shard, 5));
    seats.lost.push_back(lost[shard]);
    seats.wanted = 5;
  });
  EXPECT_EQ(count_of<Substitution>(author), 2);
  for (std::uint32_t shard = 0; shard < 2; ++shard) {
    const Author part = alone(author, shard);
    EXPECT_EQ(count_of<Substitution>(part), 1);
    EXPECT_EQ(count_of<Extension>(part), 1);
    const std::optional<ShardProof> proof = proof_in(part.bundle(), shard);
    ASSERT_TRUE(proof.has_value());
    EXPECT_EQ(proof->seats.size(), 5U);
    EXPECT_EQ(proof, proof_in(author.bundle(), shard));
  }
}

TEST(ProofAlone, EachShardOfAWholeBundleIsCheckedByItself) {
  Result<EachShard> each = verify_each_shard(three_workers().bundle());
  ASSERT_TRUE(each.has_value()) << each.error().message;
  EXPECT_EQ(each->whole.missing, 1U);
  EXPECT_EQ(each->shards, 5U);
  EXPECT_EQ(each->bundles, 3U);
  EXPECT_EQ(each->largest_bytes,
            std::max(alone(three_workers(), 0).bundle().size(), alone(three_workers(), 2).bundle().size()));
  // Four verdicts, then a second attempt at what was rejected and disputed.
  Author author = mixed();
  author.finds = [](const NodeId&, std::uint32_t shard) { return truth(shard); };
  author.attempt(3, {2, 3, 5});
  each = verify_each_shard(author.bundle());
  ASSERT_TRUE(each.has_value()) << each.error().message;
  EXPECT_EQ(each->shards, 6U);
  EXPECT_EQ(each->bundles, 4U);
  // Without one: nothing to check but the bidding.
  Author bidden;
  bidden.bidding();
  EXPECT_EQ(verify_each_shard(bidden.bundle())->shards, 0U);
  // What does not hold as a whole is not looked at further.
  author.signed_by[Verdict::type] = 3;
  author.attempt(4, {0});
  EXPECT_EQ(verify_each_shard(author.bundle()).error().message, author.error());
  EXPECT_FALSE(verify_each_shard(as_bytes("not a bundle")).has_value());
}

TEST(ProofAlone, StoriesThatNobodyCheckedAreBounded) {
  // Nobody has checked what is read here: whatever it says, the answer is an error or a bundle to be refused.
  EXPECT_EQ(story_of_shard({}, 0).error().message, "the story has no intent");
  Author author;
  author.bidding();
  Author bad = author;
  bad.story.push_back({.body = to_bytes("not a record"), .key = testing::node(1), .sig = {}});
  EXPECT_FALSE(story_of_shard(bad.story, 0).has_value());
  const auto verdict = [&](std::vector<task::ShardRange> shards, const Cid& receipt) {
    bad = author;
    bad.write<Verdict>(1, {.intent = author.intent.cid,
                           .shards = std::move(shards),
                           .decision = Decision::accepted,
                           .receipt = receipt,
                           .draw = testing::record("no draw"),
                           .verifications = {testing::record("none"), author.intent.cid},
                           .timeliness = 0,
                           .contribution = 0});
    return story_of_shard(bad.story, 0);
  };
  EXPECT_FALSE(verdict({{0, 3}}, testing::record("none")).has_value()) << "the task has two shards";
  EXPECT_FALSE(verdict({{0, UINT32_MAX}, {0, UINT32_MAX}}, testing::record("none")).has_value());
  EXPECT_EQ(verdict({{0, 2000}}, testing::record("none")).error().message,
            "a verdict has more shards than any commitment");
  // What it rests on is not there, or something else than it should be: left to whoever checks.
  for (const Cid& receipt : {testing::record("none"), author.intent.cid, author.field->roster.cid}) {
    const Result<std::vector<Envelope>> part = verdict({{0, 1}}, receipt);
    ASSERT_TRUE(part.has_value()) << part.error().message;
    Author refused = author;
    refused.story = *part;
    EXPECT_NE(refused.error(), "");
  }
}

// ---------------------------------------------------------------------------------------------------- bytes

TEST(ProofBytes, EveryFlippedByteAndEveryCutIsRefused) {
  const Bytes good = honest([](Author& a) { a.shards = 2; }).bundle();
  ASSERT_TRUE(verify_bundle(good).has_value());
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] = static_cast<std::uint8_t>(bad[at] ^ 0x20);
    const Result<ProofReport> report = verify_bundle(bad);
    ASSERT_FALSE(report.has_value()) << "byte " << at;
    EXPECT_FALSE(report.error().message.empty());
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    ASSERT_FALSE(verify_bundle(ByteView(good).first(size)).has_value()) << "cut at " << size;
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_FALSE(verify_bundle(longer).has_value());
  EXPECT_FALSE(verify_bundle({}).has_value());
  EXPECT_FALSE(verify_bundle(as_bytes("not a bundle at all")).has_value());
}

TEST(ProofBytes, ArchivesThatAreNoBundleAreRefused) {
  const Author author = honest();
  const Result<car::Archive> archive = car::read(author.bundle());
  ASSERT_TRUE(archive.has_value());
  const auto error = [&](const std::function<void(car::Archive&)>& change) {
    car::Archive changed = *archive;
    change(changed);
    const Result<ProofReport> report = verify_bundle(car::write(changed));
    return report ? "" : report.error().message;
  };
  EXPECT_EQ(error([](car::Archive&) {}), "");
  EXPECT_EQ(error([](car::Archive& a) { a.roots.push_back(a.roots[0]); }), "a proof bundle has exactly one root");
  EXPECT_EQ(error([](car::Archive& a) { a.roots[0] = testing::record("nothing"); }),
            "block " + testing::record("nothing").text() + " is missing from the bundle");
  EXPECT_EQ(error([](car::Archive& a) { a.roots[0] = a.blocks[2].cid; }), "field \"type\" is missing");
  EXPECT_EQ(error([](car::Archive& a) { a.blocks.push_back({testing::content("extra"), to_bytes("extra")}); }),
            "the bundle carries blocks that nothing in it names");
  // Each block is needed, whichever is left out.
  for (std::size_t i = 0; i < archive->blocks.size(); ++i) {
    EXPECT_EQ(error([&](car::Archive& a) { a.blocks.erase(a.blocks.begin() + static_cast<std::ptrdiff_t>(i)); }),
              "block " + archive->blocks[i].cid.text() + " is missing from the bundle");
  }
}

TEST(ProofBytes, AnotherPolicyThanTheOneThatTheIntentNamesIsMissing) {
  const Author author = honest();
  policy::MeshPolicy lax;
  lax.verification_quorum.required_percentage = 51;
  const Result<ProofReport> report =
      verify_bundle(build_bundle(testing::federation(), lax, author.intent.cid, author.story, {}));
  EXPECT_EQ(report.error().message, "block " + policy::cid_of({}).text() + " is missing from the bundle");
  // An intent may name a policy that breaks the invariants; nothing is proven under one.
  policy::MeshPolicy absurd;
  absurd.verification_quorum.required_percentage = 1;
  const Author other = honest(
      [&](Author& a) { a.on_intent = [&](task::TaskIntent& intent) { intent.policy = policy::cid_of(absurd); }; });
  EXPECT_EQ(
      verify_bundle(build_bundle(testing::federation(), absurd, other.intent.cid, other.story, {})).error().message,
      "required_percentage is between 51 and 100");
}

TEST(ProofBytes, OfAnotherFederationNoSignatureHolds) {
  const Author author = honest();
  const Result<ProofReport> report =
      verify_bundle(build_bundle(testing::other_federation(), {}, author.intent.cid, author.story, {}));
  EXPECT_EQ(report.error().message, "the signature is not the key's over this \"task-intent\" in this federation");
}

// ---------------------------------------------------------------------------------------------------- records

TEST(ProofRecords, AChangedSignatureKeyOrBodyIsRefused) {
  Author author = honest();
  for (std::size_t i = 0; i < author.story.size(); ++i) {
    const std::string type = *type_of(author.story[i].body);
    const std::string unsigned_text = "the signature is not the key's over this \"" + type + "\" in this federation";
    Author changed = author;
    changed.story[i].sig.data()[40] ^= 1;
    EXPECT_EQ(changed.error(), unsigned_text);
    changed = author;
    changed.story[i].key = testing::node(99);
    EXPECT_EQ(changed.error(), unsigned_text);
    changed = author;
    changed.story[i].key = {};
    EXPECT_EQ(changed.error(), "the signer's key is no Ed25519 key that can stand for anybody");
    changed = author;
    changed.story[i].body.pop_back();
    EXPECT_NE(changed.error(), "");
  }
}

TEST(ProofRecords, EveryRecordIsNeeded) {
  const Author author = honest();
  const std::map<std::string_view, std::set<std::string>> texts{
      {"task-intent", {"the bundle's intent is missing or another"}},
      {"compute-offer", {"an offer of the roster is missing"}},
      {"roster", {"the bundle has verdicts but no roster"}},
      {"award", {"shard 0: the award is missing"}},
      {"commitment", {"shard 0: the worker's commitment is missing", "shard 0: a verifier's commitment is missing"}},
      {"round-open", {"a round's opening is missing"}},
      {"nonce-reveal", {"a nonce of a draw is missing"}},
      {"draw", {"a draw is missing"}},
      {"execution-receipt", {"shard 0: the worker's receipt is missing"}},
      {"verification-receipt", {"shard 0: a verification is missing"}},
      {"verdict", {""}},  // Its shards are not proven: told as missing.
  };
  for (std::size_t i = 0; i < author.story.size(); ++i) {
    Author changed = author;
    const std::string type = *type_of(changed.story[i].body);
    changed.story.erase(changed.story.begin() + static_cast<std::ptrdiff_t>(i));
    const std::string error = changed.error();
    EXPECT_TRUE(texts.at(type).contains(error)) << type << ": " << error;
  }
}

TEST(ProofRecords, WhatHasNoPlaceThereIsRefused) {
  const Author author = honest();
  const auto error_with_extra = [&](const auto& record) {
    Author changed = author;
    changed.story.push_back(testing::signer(2).seal(record));
    return changed.error();
  };
  EXPECT_EQ(error_with_extra(market::Decline{.intent = author.intent.cid, .reason = "busy"}),
            "the bundle has a record of type \"decline\", which has no place there");
  EXPECT_EQ(error_with_extra(testing::intent()), "the bundle has two records of type \"task-intent\"");
  EXPECT_EQ(error_with_extra(market::Roster{.intent = author.intent.cid, .offers = {}}),
            "the bundle has two records of type \"roster\"");
  EXPECT_EQ(error_with_extra(testing::offer_on(testing::record("another task"))),
            "the bundle has a record of type \"compute-offer\" of another task");
  EXPECT_EQ(error_with_extra(market::Award{.intent = {}, .roster = {}, .offer = {}, .lease = 0, .shards = {}}),
            "the bundle has a record of type \"award\" of another task");
  EXPECT_EQ(error_with_extra(testing::offer_on(author.intent.cid)), "") << "one that lost the bidding is no harm";
  Author twice = author;
  twice.story.push_back(twice.story[3]);
  EXPECT_NE(twice.error().find(" twice"), std::string::npos) << twice.error();
  // Signed a second time: another envelope of the same record.
  for (const std::string_view type : {Substitution::type, Extension::type, Verdict::type}) {
    Author again;
    again.shards = 1;
    again.bidding();
    again.attempt(2, {0}, true, [&](const Cid& draw, std::uint32_t, const Seats&) {
      again.write<Substitution>(1, again.lost(draw, testing::node(99), 0));
      again.write<Extension>(1, again.more(draw, 0, 3));
    });
    ASSERT_EQ(again.error(), "");
    const auto one = std::ranges::find_if(again.story, [&](const Envelope& e) { return type_of(e.body) == type; });
    ASSERT_NE(one, again.story.end());
    Envelope copy = *one;
    copy.key = testing::node(4);
    copy.sig = sign(testing::seed_of(4), signing_input(type, testing::federation(), copy.body));
    again.story.push_back(std::move(copy));
    EXPECT_EQ(again.error(), "the bundle has a record of type \"" + std::string(type) + "\" twice");
  }
}

TEST(ProofRecords, AnotherIntentThanTheOneItIsAboutIsRefused) {
  const Author author = honest();
  const Result<ProofReport> report =
      verify_bundle(build_bundle(testing::federation(), {}, testing::record("another"), author.story, {}));
  EXPECT_NE(report.error().message, "");
  EXPECT_EQ(verify_bundle(build_bundle(testing::federation(), {}, author.intent.cid, {}, {})).error().message,
            "the bundle's intent is missing or another");
}

TEST(ProofRecords, AnIntentOutOfBoundsIsRefused) {
  EXPECT_EQ(error_with([](Author& a) { a.on_intent = [](task::TaskIntent& i) { i.scope.fuel = 0; }; }),
            "fuel is between 1 and 1152921504606846976, not 0");
}

// ---------------------------------------------------------------------------------------------------- meaning

TEST(ProofMeaning, OnlyThePublisherSpeaksForTheTask) {
  const auto signed_by_another = [](std::string_view type) {
    return error_with([&](Author& a) { a.signed_by[type] = 3; });
  };
  EXPECT_EQ(signed_by_another("verdict"), "shard 0: the verdict is not the publisher's on this task");
  EXPECT_EQ(signed_by_another("roster"), "the roster is not the publisher's");
  EXPECT_EQ(signed_by_another("award"), "shard 0: the award is not the publisher's to this worker");
  EXPECT_EQ(signed_by_another("round-open"), "the round is not the publisher's");
  EXPECT_EQ(signed_by_another("draw"), "the round is not the publisher's");
  EXPECT_EQ(signed_by_another("task-intent"), "the roster is not the publisher's") << "the wrong publisher";
}

TEST(ProofMeaning, SubstitutionsAndExtensionsAreThePublishersToo) {
  const auto error = [](bool substitution) {
    Author author;
    author.shards = 1;
    author.bidding();
    author.attempt(2, {0}, true, [&](const Cid& draw, std::uint32_t, const Seats& seats) {
      if (substitution) {
        author.write<Substitution>(4, author.lost(draw, seats.current()[0], 0));
      } else {
        author.write<Extension>(4, author.more(draw, 0, 4));
      }
    });
    return author.error();
  };
  EXPECT_EQ(error(true), "shard 0: a substitution is not the publisher's");
  EXPECT_EQ(error(false), "shard 0: an extension is not the publisher's");
}

TEST(ProofMeaning, AnAwardIsToTheWorkerForTheShard) {
  EXPECT_EQ(error_with([](Author& a) { a.on_award = [](market::Award& w) { w.shards = {{1, 1}}; }; }),
            "shard 0: the award does not cover it");
  EXPECT_EQ(error_with([](Author& a) { a.on_award = [](market::Award& w) { w.shards = {{0, UINT32_MAX}}; }; }),
            "shard ranges must be ascending, not empty, apart, and below 2");
  EXPECT_EQ(error_with([](Author& a) {
              a.on_award = [&a](market::Award& w) { w.offer = a.field->offer_of(testing::node(3))->cid; };
            }),
            "shard 0: the award is not the publisher's to this worker");
  EXPECT_EQ(error_with([](Author& a) { a.on_award = [](market::Award& w) { w.roster = testing::record("other"); }; }),
            "shard 0: the award is not the publisher's to this worker");
  EXPECT_EQ(error_with([](Author& a) { a.on_commitment = [](Commitment& c) { c.basis = testing::record("other"); }; }),
            "shard 0: the receipt names another award than its commitment");
  EXPECT_EQ(error_with([](Author& a) { a.on_receipt = [](ExecutionReceipt& r) { r.award = testing::record("x"); }; }),
            "shard 0: the receipt names another award than its commitment");
}

TEST(ProofMeaning, AReceiptIsOfTheAwardThatCoversItsShards) {
  // Commits under an award that is in the bundle, but not under its own: another's, and the worker's of other shards.
  const auto error = [](std::uint8_t other) {
    Author author;
    author.members = 6;
    author.bidding();
    author.attempt(other, {1});
    const Cid award = *author.last_award;
    author.on_commitment = [&](Commitment& c) { c.basis = award; };
    author.on_receipt = [&](ExecutionReceipt& r) { r.award = award; };
    // The root is under the key of the basis that it had.
    author.attempt(2, {0});
    return author.error();
  };
  EXPECT_EQ(error(3), "shard 0: the award is not the publisher's to this worker");
  EXPECT_EQ(error(2), "shard 0: the award does not cover it");
  // Of two awarded together, one is not the worker's.
  EXPECT_EQ(error_with([](Author& a) { a.on_award = [](market::Award& w) { w.shards = {{0, 1}}; }; }),
            "shard 0: the award does not cover it");
}

TEST(ProofMeaning, AReceiptOpensWhatItsWorkerCommittedTo) {
  const std::string not_it = "shard 0: what is revealed is not what was committed to";
  const auto with = [](const std::function<void(ExecutionReceipt&)>& change) {
    return error_with([&](Author& a) { a.on_receipt = change; });
  };
  const auto committed = [](const std::function<void(Commitment&)>& change) {
    return error_with([&](Author& a) { a.on_commitment = change; });
  };
  EXPECT_EQ(committed([](Commitment& c) { c.root = testing::digest("r"); }), not_it);
  EXPECT_EQ(committed([](Commitment& c) { c.shards = {{1, 1}}; }), "shard 0: there is not one finding for each shard");
  EXPECT_EQ(committed([](Commitment& c) { c.shards = {}; }), "shard 0: a commitment covers 1 to 1024 shards, not 0");
  EXPECT_EQ(committed([](Commitment& c) { c.shards = {{0, 1025}}; }),
            "shard 0: a commitment covers 1 to 1024 shards, not 1025");
  EXPECT_EQ(committed([](Commitment& c) { c.worker = testing::record("another"); }),
            "shard 0: the receipt opens a verifier's commitment");
  EXPECT_EQ(committed([](Commitment& c) { c.node = testing::node(3); }),
            "shard 0: not-the-signers: the commitment is in another node's name");
  EXPECT_EQ(with([](ExecutionReceipt& r) { r.findings = receipt::columns_of(std::vector{truth(0), lie(1)}); }), not_it)
      << "on a shard other than the first of the verdict";
  EXPECT_EQ(with([](ExecutionReceipt& r) { r.findings = receipt::columns_of(std::vector{truth(1), truth(0)}); }),
            not_it);
  EXPECT_EQ(with([](ExecutionReceipt& r) { r.findings = receipt::columns_of(std::vector{truth(0)}); }),
            "shard 0: there is not one finding for each shard");
  EXPECT_EQ(with([](ExecutionReceipt& r) { r.findings.logs.push_back(testing::content("unused")); }),
            "shard 0: the lists of logs and outcomes are not in the order of their use");
  EXPECT_EQ(with([](ExecutionReceipt& r) { r.key = testing::digest("other"); }), not_it);
  EXPECT_EQ(with([](ExecutionReceipt& r) { r.usage.wall_ms.pop_back(); }),
            "shard 0: the receipt does not say of every shard what its run used");
  EXPECT_EQ(error_with([](Author& a) { a.signed_by["execution-receipt"] = 3; }),
            "shard 0: the receipt and the commitment do not belong together");
  EXPECT_EQ(
      error_with([](Author& a) { a.on_receipt = [&a](ExecutionReceipt& r) { r.commitment = a.story.back().cid(); }; }),
      "shard 0: the receipt and the commitment do not belong together")
      << "opens a verifier's commitment";
}

TEST(ProofMeaning, SwappedReceiptsAreRefused) {
  // The verdict of each shard names the receipt of the other.
  std::vector<Cid> receipts;
  Author author;
  author.bidding();
  author.attempt(2, {0});
  author.attempt(3, {1});
  ASSERT_EQ(author.error(), "");
  for (const Envelope& envelope : author.story) {
    if (type_of(envelope.body) == ExecutionReceipt::type) receipts.push_back(envelope.cid());
  }
  ASSERT_EQ(receipts.size(), 2U);
  for (Envelope& envelope : author.story) {
    if (type_of(envelope.body) != Verdict::type) continue;
    Verdict verdict = *record::decode<Verdict>(envelope.body);
    verdict.receipt = receipts[1 - verdict.shards.front().first];
    envelope = testing::signer(1).seal(verdict);
  }
  EXPECT_EQ(author.error(), "shard 0: the worker's receipt does not cover all of its shards");
}

TEST(ProofMeaning, TheCommitmentIsFixedBeforeTheDraw) {
  EXPECT_EQ(error_with([](Author& a) { a.on_open = [](RoundOpen& o) { o.commitments = {testing::record("other")}; }; }),
            "shard 0: the worker's commitment was not fixed before the draw");
}

TEST(ProofMeaning, TheDrawIsOfTheChains) {
  EXPECT_EQ(error_with([](Author& a) { a.on_draw = [](Draw& d) { d.link = testing::digest("chosen"); }; }),
            "the publisher's link is not of the chain that its intent committed to");
  EXPECT_EQ(error_with([](Author& a) { a.on_draw = [](Draw& d) { std::swap(d.reveals[0], d.reveals[1]); }; }),
            "the reveals are not in the order of the roster");
  EXPECT_EQ(error_with([](Author& a) {
              a.on_offer = [](std::uint8_t number, market::ComputeOffer& offer) {
                if (number == 3) offer.nonce_tip = testing::digest("another chain");
              };
            }),
            "the nonce is not the one that was committed to in the offer");
}

TEST(ProofMeaning, ARoundIsOpenedAndDrawnOnce) {
  Author author = honest();
  RoundOpen open = *record::decode<RoundOpen>(author.first<RoundOpen>()->body);
  open.commitments.push_back(testing::record("another set"));
  author.story.push_back(testing::signer(1).seal(open));
  EXPECT_EQ(author.error(), "round 1 was opened twice: the publisher could have chosen between draws");
  author = honest();
  Draw draw = *record::decode<Draw>(author.first<Draw>()->body);
  draw.reveals.pop_back();
  author.story.push_back(testing::signer(1).seal(draw));
  EXPECT_EQ(author.error(), "round 1 was drawn twice: the publisher could have chosen between draws");
}

TEST(ProofMeaning, NobodyIsBarredWithoutAVerdict) {
  EXPECT_EQ(error_with([](Author& a) { a.barred = {testing::node(4)}; }),
            "round 1 bars " + identity::peer_id_of(testing::node(4)) + " without a verdict against it");
}

TEST(ProofMeaning, EverySeatIsDrawnAndHasAVerification) {
  const auto with = [](const std::function<void(Verdict&)>& change) {
    return error_with([&](Author& a) {
      a.shards = 1;
      a.on_verdict = change;
    });
  };
  const std::string unordered = "shard 0: the verdict does not name its verifications in ascending order, each once";
  EXPECT_EQ(with([](Verdict&) {}), "");
  EXPECT_EQ(with([](Verdict& v) { v.verifications.pop_back(); }), "shard 0: not every seat has a verification");
  EXPECT_EQ(with([](Verdict& v) { v.verifications.clear(); }), "shard 0: not every seat has a verification");
  EXPECT_EQ(with([](Verdict& v) { v.verifications.push_back(v.verifications[0]); }), unordered);
  EXPECT_EQ(with([](Verdict& v) { std::swap(v.verifications[0], v.verifications[1]); }), unordered);
  EXPECT_EQ(with([](Verdict& v) { v.verifications[0] = v.verifications[1]; }), unordered)
      << "one agreement does not count twice";
  // The publisher seats whom it likes.
  Author author;
  author.members = 8;
  author.bidding();
  author.attempt(2, {0, 1}, true,
                 [](const Cid&, std::uint32_t, Seats& seats) { std::ranges::reverse(seats.order.nodes); });
  EXPECT_EQ(author.error(), "shard 0: not every seat has a verification");
  // Too many withhold: not enough seats.
  EXPECT_EQ(error_with([](Author& a) { a.withholding = {3, 4}; }), "shard 0: not every seat has a verification");
}

TEST(ProofMeaning, EveryVerificationThatIsNamedIsOfASeat) {
  const std::string uncounted = "shard 0: the verdict names a verification that is of none of its seats";
  // One more than there are seats, by the next of the order.
  Author author;
  author.members = 8;
  author.shards = 1;
  author.bidding();
  author.attempt(2, {0}, true, [](const Cid&, std::uint32_t, Seats& seats) { seats.wanted = 4; });
  EXPECT_EQ(author.error(), uncounted);
  // By one that lost its seat before.
  author = {};
  author.members = 8;
  author.shards = 1;
  author.bidding();
  author.attempt(2, {0}, true, [&](const Cid& draw, std::uint32_t, Seats& seats) {
    author.write<Substitution>(1, author.lost(draw, seats.order.nodes[0], 0));
    seats.wanted = 4;
  });
  EXPECT_EQ(author.error(), uncounted);
  // By a seat of other shards of the same batch, which end in another verdict.
  author = mixed();
  std::set<Cid> all;
  for (const Envelope& envelope : author.story) {
    if (type_of(envelope.body) == VerificationReceipt::type) all.insert(envelope.cid());
  }
  for (Envelope& envelope : author.story) {
    if (type_of(envelope.body) != Verdict::type) continue;
    Verdict verdict = *record::decode<Verdict>(envelope.body);
    if (verdict.shards.front().first != 0) continue;
    ASSERT_LT(verdict.verifications.size(), all.size());
    verdict.verifications.assign(all.begin(), all.end());
    envelope = testing::signer(1).seal(verdict);
  }
  EXPECT_EQ(author.error(), uncounted);
}

TEST(ProofMeaning, ANodeSaysOneThingOfAShard) {
  // Every verifier commits to its last shard twice, the second time together with its others.
  const Author author = honest([](Author& a) {
    a.splits = [](const NodeId&, const std::vector<std::uint32_t>& shards) {
      std::vector<std::vector<std::uint32_t>> parts{shards};
      if (shards.size() > 1) parts.push_back({shards.back()});
      return parts;
    };
  });
  EXPECT_EQ(author.error(), "shard 1: it has two verifications by one node");
}

TEST(ProofMeaning, SeatsAreOfACommitment) {
  // The publisher takes a seat away, or adds one, by a word on another commitment under the same draw.
  const auto error = [](bool substitution) {
    Author author;
    author.members = 8;
    author.shards = 1;
    author.bidding();
    author.attempt(2, {0}, true, [&](const Cid& draw, std::uint32_t, Seats& seats) {
      if (substitution) {
        Substitution record = author.lost(draw, seats.order.nodes[0], 0);
        record.commitment = testing::record("another");
        author.write<Substitution>(1, record);
        seats.lost.push_back(seats.order.nodes[0]);
      } else {
        Extension record = author.more(draw, 0, 5);
        record.commitment = testing::record("another");
        author.write<Extension>(1, record);
        seats.wanted = 5;
      }
    });
    return author.error();
  };
  EXPECT_EQ(error(true), "shard 0: not every seat has a verification");
  EXPECT_EQ(error(false), "shard 0: the verdict names a verification that is of none of its seats");
}

TEST(ProofMeaning, TheNumberOfSeatsIsThePolicys) {
  EXPECT_EQ(error_with([](Author& a) { a.on_intent = [](task::TaskIntent& i) { i.verifiers = 2; }; }),
            "shard 0: the number of verifiers is outside the policy's bounds");
  Author author;
  author.members = 11;
  author.shards = 1;
  author.bidding();
  author.attempt(2, {0}, true, [&](const Cid& draw, std::uint32_t, Seats& seats) {
    author.write<Extension>(1, author.more(draw, 0, 8));
    seats.wanted = 8;
  });
  EXPECT_EQ(author.error(), "shard 0: the number of verifiers is outside the policy's bounds");
}

TEST(ProofMeaning, TheNumberOfSeatsIsTheTasksOrWithAValueMore) {
  const auto with = [](std::uint64_t value, std::uint32_t seats) {
    Author author;
    author.members = 9;
    author.on_intent = [&](task::TaskIntent& intent) { intent.value = value; };
    author.on_each = seats;
    author.bidding();
    author.attempt(2, {0, 1});
    return author.error();
  };
  EXPECT_EQ(with(0, 3), "");
  EXPECT_EQ(with(0, 4), "a round gives its commitments other numbers of seats than the task allows");
  EXPECT_EQ(with(5, 3), "");
  EXPECT_EQ(with(5, 7), "");
  EXPECT_EQ(with(5, 2), "a round gives its commitments other numbers of seats than the task allows");
  EXPECT_EQ(with(5, 8), "shard 0: the number of verifiers is outside the policy's bounds");
}

::testing::AssertionResult says(const std::string& error, std::string_view part) {
  if (error.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << '"' << error << "\" does not say \"" << part << '"';
}

/// A task of 20 shards each of which is re-executed with a probability of a quarter.
Author sampled(const std::function<void(Author&)>& prepare = {}, std::uint32_t per_mille = 250) {
  Author author;
  author.shards = 20;
  author.on_intent = [per_mille](task::TaskIntent& intent) { intent.sample = per_mille; };
  if (prepare) prepare(author);
  author.bidding();
  std::vector<std::uint32_t> all(20);
  std::iota(all.begin(), all.end(), 0U);
  author.attempt(2, all);
  return author;
}

TEST(ProofSample, WhatWasDrawnIsAcceptedAndTheRestIsSpotChecked) {
  const Author author = sampled();
  const Result<ProofReport> report = verify_bundle(author.bundle());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->count(Decision::spot_checked), author.last_spared.size());
  EXPECT_EQ(report->count(Decision::accepted), 20 - author.last_spared.size());
  ASSERT_GT(author.last_spared.size(), 0U);
  ASSERT_LT(author.last_spared.size(), 20U) << "the seeds are fixed";
  EXPECT_EQ(report->missing, 0U);
  for (const ShardProof& shard : report->shards)
    EXPECT_EQ(shard.seats.size(), shard.decision == Decision::accepted ? 3U : 0U);
  const Result<EachShard> each = verify_each_shard(author.bundle());
  ASSERT_TRUE(each.has_value()) << each.error().message;
  EXPECT_EQ(each->shards, 20U) << "a spot-checked shard's proof has what was drawn of its commitment";
}

TEST(ProofSample, OnlyWhatWasNotDrawnCanBeSpotChecked) {
  Author author = sampled();
  // The whole commitment passed off as spot-checked, and the verdict on what was drawn left out.
  std::erase_if(author.story, [](const Envelope& envelope) {
    return type_of(envelope.body) == Verdict::type &&
           record::decode<Verdict>(envelope.body)->decision == Decision::accepted;
  });
  EXPECT_TRUE(says(author.error(), "which was drawn to be re-executed, has no verdict"));
  EXPECT_TRUE(
      says(sampled([](Author& a) { a.on_spared = [](Verdict& verdict) { verdict.shards = {{0, 20}}; }; }).error(),
           "it counts as spot-checked although it was drawn to be re-executed"));
  // With nobody left out there is nothing to spare.
  EXPECT_EQ(sampled({}, 1000).error(), "");
  EXPECT_TRUE(says(honest([](Author& a) {
                     a.on_verdict = [](Verdict& verdict) {
                       verdict.decision = Decision::spot_checked;
                       verdict.verifications.clear();
                       verdict.contribution = 0;
                     };
                   }).error(),
                   "it counts as spot-checked although it was drawn to be re-executed"));
}

TEST(ProofSample, NothingIsSpotCheckedOfAWorkerOfWhomADrawnShardDidNotHold) {
  // Of a lying worker all that was drawn is rejected, and the rest must not count.
  EXPECT_TRUE(says(sampled([](Author& a) {
                     a.finds = [](const NodeId& node, std::uint32_t shard) {
                       return node == testing::node(2) ? lie(shard) : truth(shard);
                     };
                   }).error(),
                   "although a drawn shard of its worker did not hold"));
  // The same where it lies under one commitment and not under the other.
  Author author;
  author.shards = 40;
  author.on_intent = [](task::TaskIntent& intent) { intent.sample = 250; };
  author.bidding();
  std::vector<std::uint32_t> half(20);
  std::iota(half.begin(), half.end(), 0U);
  author.attempt(2, half);
  EXPECT_EQ(author.error(), "");
  author.finds = [](const NodeId& node, std::uint32_t shard) {
    return node == testing::node(2) && shard >= 20 ? lie(shard) : truth(shard);
  };
  for (std::uint32_t& shard : half) shard += 20;
  author.on_spared = [](Verdict& verdict) { verdict.decision = Decision::rejected; };
  author.attempt(2, half);
  EXPECT_FALSE(author.error().empty());
}

TEST(ProofSample, SpotCheckedNamesADrawAndNothingThatItHasNot) {
  const auto with = [](const std::function<void(Verdict&)>& change) {
    return sampled([&](Author& a) { a.on_spared = change; }).error();
  };
  const std::string error = "what was not re-executed has a draw, and no verifications and no contribution score";
  EXPECT_TRUE(says(with([](Verdict& v) { v.draw.reset(); }), error));
  EXPECT_TRUE(says(with([](Verdict& v) { v.contribution = 1000; }), error));
  EXPECT_TRUE(says(with([](Verdict& v) { v.verifications = {testing::record("x")}; }), error));
  EXPECT_TRUE(says(with([](Verdict& v) { v.decision = Decision::accepted; }),
                   "it was judged although it was not drawn to be re-executed"));
  EXPECT_TRUE(says(with([](Verdict& v) { v.decision = Decision::unverified; }),
                   "it was judged although it was not drawn to be re-executed"));
}

TEST(ProofMeaning, AVerificationIsOfThisReceiptUnderThisDraw) {
  const auto with = [](const std::function<void(VerificationReceipt&)>& change) {
    return error_with([&](Author& a) { a.on_verification = change; });
  };
  const auto committed = [](const std::function<void(Commitment&)>& change) {
    return error_with([&](Author& a) {
      a.shards = 3;  // Of which 0 and 1 are the worker's.
      a.on_verifier_commitment = change;
    });
  };
  const std::string not_made = "shard 0: a verifier's commitment was not made for this draw";
  EXPECT_EQ(with([](VerificationReceipt& r) { r.receipt = testing::record("another"); }),
            "shard 0: a verification is of another receipt");
  EXPECT_EQ(with([](VerificationReceipt& r) { r.commitment = testing::record("none"); }),
            "shard 0: a verifier's commitment is missing");
  EXPECT_EQ(error_with([](Author& a) {
              a.on_verification = [&a](VerificationReceipt& r) { r.commitment = *a.last_commitment; };
            }),
            not_made)
      << "the worker's commitment, copied";
  EXPECT_EQ(error_with([](Author& a) { a.signed_by["verification-receipt"] = 7; }), not_made);
  EXPECT_EQ(committed([](Commitment& c) { c.basis = testing::record("another draw"); }), not_made);
  EXPECT_EQ(committed([](Commitment& c) { c.worker.reset(); }), not_made);
  EXPECT_EQ(committed([](Commitment& c) { c.worker = testing::record("another"); }), not_made);
  EXPECT_EQ(committed([](Commitment& c) { c.node = testing::node(2); }),
            "shard 0: not-the-signers: the commitment is in another node's name");
  EXPECT_EQ(committed([](Commitment& c) { c.shards = {}; }), "shard 0: a commitment covers 1 to 1024 shards, not 0");
  EXPECT_EQ(committed([](Commitment& c) { c.shards = {{0, 3}}; }),
            "shard 0: the verification covers a shard that the worker's receipt does not");
}

TEST(ProofMeaning, AVerificationOpensWhatItsAuthorCommittedTo) {
  const std::string not_it = "shard 0: what is revealed is not what was committed to";
  const auto with = [](const std::function<void(VerificationReceipt&)>& change) {
    return error_with([&](Author& a) {
      a.members = 4;  // All but the worker are seats of both shards.
      a.on_verification = change;
    });
  };
  const auto differs = [&](const std::vector<task::ShardRange>& ranges, const std::vector<receipt::Finding>& rows) {
    return with([&](VerificationReceipt& r) {
      r.differing = ranges;
      r.findings = receipt::columns_of(rows);
    });
  };
  EXPECT_EQ(with([](VerificationReceipt&) {}), "");
  EXPECT_EQ(with([](VerificationReceipt& r) { r.key = testing::digest("other"); }), not_it);
  EXPECT_EQ(
      error_with([](Author& a) { a.on_verifier_commitment = [](Commitment& c) { c.root = sha256(c.root.view()); }; }),
      not_it);
  receipt::Finding cheap = truth(1);
  ++cheap.fuel;
  EXPECT_EQ(differs({{1, 1}}, {cheap}), not_it);
  EXPECT_EQ(differs({{1, 1}}, {truth(1)}),
            "shard 0: the verification calls a finding different that is the worker's own");
  EXPECT_EQ(differs({{0, 3}}, {lie(0), lie(1), lie(2)}),
            "shard 0: shard ranges must be ascending, not empty, apart, and below 2");
  EXPECT_EQ(differs({{1, 1}}, {}), "shard 0: there is not one finding for each shard");
  EXPECT_EQ(with([](VerificationReceipt& r) { r.findings.outcomes.emplace_back(); }),
            "shard 0: the lists of logs and outcomes are not in the order of their use");
  // It found something else and says that it agrees.
  EXPECT_EQ(error_with([](Author& a) {
              a.members = 4;
              a.finds = [](const NodeId& node, std::uint32_t shard) {
                return node == testing::node(4) ? lie(shard) : truth(shard);
              };
              a.on_verification = [](VerificationReceipt& r) {
                r.differing.clear();
                r.findings = {};
              };
            }),
            not_it);
  // A seat of shard 1 alone says something of shard 0 too.
  Author author;
  author.members = 5;
  author.on_verification = [](VerificationReceipt& r) {
    r.differing = {{0, 1}};
    r.findings = receipt::columns_of(std::vector{lie(0)});
  };
  author.splits = [](const NodeId&, const std::vector<std::uint32_t>& shards) {
    std::vector<std::vector<std::uint32_t>> parts;
    for (const std::uint32_t shard : shards) parts.push_back({shard});
    return parts;
  };
  author.bidding();
  author.attempt(2, {1});
  EXPECT_EQ(author.error(), "shard 1: the verification differs on a shard that its commitment does not cover");
}

TEST(ProofMeaning, TheVerdictIsWhatTheVerificationsGive) {
  const auto with = [](const std::function<void(Verdict&)>& change) {
    return error_with([&](Author& a) { a.on_verdict = change; });
  };
  for (const Decision decision :
       {Decision::rejected, Decision::disputed, Decision::undetermined, Decision::unverified}) {
    EXPECT_EQ(with([&](Verdict& v) { v.decision = decision; }),
              "shard 0: the verdict is not what the verifications give");
  }
  EXPECT_EQ(with([](Verdict& v) { v.contribution = 999; }),
            "shard 0: the contribution score is not what the verifications give");
  EXPECT_EQ(with([](Verdict& v) { v.timeliness = 1001; }),
            "shard 0: the contribution score is not what the verifications give");
  EXPECT_EQ(with([](Verdict& v) {
              v.timeliness = 500;
              v.contribution = 500;
            }),
            "");
  // A lie that the verifiers did not back is called accepted.
  EXPECT_EQ(error_with([](Author& a) {
              a.finds = [](const NodeId& node, std::uint32_t shard) {
                return node == testing::node(2) ? lie(shard) : truth(shard);
              };
              a.on_verdict = [](Verdict& v) { v.decision = Decision::accepted; };
            }),
            "shard 0: the verdict is not what the verifications give");
}

TEST(ProofMeaning, AVerdictIsOnShardsOfItsReceiptThatEndedAlike) {
  const auto on = [](const std::vector<task::ShardRange>& shards) {
    return error_with([&](Author& a) {
      a.shards = 3;  // Of which 0 and 1 are the worker's.
      a.on_award = [](market::Award& award) { award.shards = {{0, 3}}; };
      a.on_verdict = [&](Verdict& v) { v.shards = shards; };
    });
  };
  EXPECT_EQ(on({{0, 2}}), "");
  EXPECT_EQ(on({{0, 1}, {1, 1}}), "");
  EXPECT_EQ(on({}), "the bundle has a verdict on no shard");
  for (const std::vector<task::ShardRange>& ranges : std::vector<std::vector<task::ShardRange>>{
           {{0, 0}}, {{3, 1}}, {{UINT32_MAX, 1}}, {{0, 4}}, {{0, 1}, {0, 1}}, {{1, 1}, {0, 1}}, {{0, UINT32_MAX}}}) {
    EXPECT_EQ(on(ranges), "the shards of a verdict: shard ranges must be ascending, not empty, apart, and below 3");
  }
  EXPECT_EQ(on({{2, 1}}), "shard 2: the worker's receipt does not cover all of its shards");
  EXPECT_EQ(on({{0, 3}}), "shard 0: the worker's receipt does not cover all of its shards");
  // Shards that ended in different ways, in one verdict.
  const auto lumped = [](std::uint32_t shard, std::uint32_t with) {
    Author author = mixed([](Author& a) { a.verdict_for_each = true; });
    std::map<std::uint32_t, std::vector<Envelope>::iterator> verdicts;
    for (auto it = author.story.begin(); it != author.story.end(); ++it) {
      if (type_of(it->body) == Verdict::type) verdicts[record::decode<Verdict>(it->body)->shards.front().first] = it;
    }
    Verdict verdict = *record::decode<Verdict>(verdicts.at(shard)->body);
    const Verdict other = *record::decode<Verdict>(verdicts.at(with)->body);
    std::set<Cid> verifications(verdict.verifications.begin(), verdict.verifications.end());
    verifications.insert(other.verifications.begin(), other.verifications.end());
    verdict.verifications.assign(verifications.begin(), verifications.end());
    verdict.shards = task::ranges_of({std::min(shard, with), std::max(shard, with)});
    *verdicts.at(shard) = testing::signer(1).seal(verdict);
    author.story.erase(verdicts.at(with));
    return author.error();
  };
  EXPECT_EQ(lumped(0, 4), "");
  EXPECT_EQ(lumped(2, 5), "");
  EXPECT_EQ(lumped(0, 2), "shard 2: the verdict is not what the verifications give");
  EXPECT_EQ(lumped(0, 3), "shard 3: the verdict is not what the verifications give");
  EXPECT_EQ(lumped(0, 1), "shard 1: the contribution score is not what the verifications give");
  EXPECT_EQ(lumped(5, 4), "shard 4: the verdict is not what the verifications give");
}

TEST(ProofMeaning, AShardIsDecidedOnce) {
  Author author = honest();
  author.attempt(3, {1});
  EXPECT_EQ(author.error(), "shard 1: it was decided twice");
  // Also under one receipt.
  author = honest();
  Verdict verdict = *record::decode<Verdict>(author.first<Verdict>()->body);
  verdict.shards = {{0, 1}, {1, 1}};
  author.story.push_back(testing::signer(1).seal(verdict));
  EXPECT_EQ(author.error(), "shard 0: it was decided twice");
}

TEST(ProofMeaning, UnverifiedIsNoWayAroundTheVerifiers) {
  const auto without_draw = [](Verdict& v) {
    v.draw.reset();
    v.verifications.clear();
    v.decision = Decision::unverified;
    v.contribution = 0;
  };
  EXPECT_EQ(error_with([&](Author& a) { a.on_verdict = without_draw; }),
            "shard 0: it is unverified although there were verifiers enough");
  EXPECT_EQ(error_with([](Author& a) { a.on_verdict = [](Verdict& v) { v.draw.reset(); }; }),
            "shard 0: a decision without a draw can only be \"unverified\"");
  Author few;
  few.members = 3;
  few.on_verdict = [](Verdict& v) { v.contribution = 1000; };
  few.bidding();
  few.attempt(2, {0, 1}, false);
  EXPECT_EQ(few.error(), "shard 0: the contribution score is not what the verifications give");
}

TEST(ProofMeaning, ThePublisherRunsItItselfOnlyWhenNobodyOffered) {
  const auto error = [](std::uint8_t members, bool under_the_roster) {
    Author author;
    author.members = members;
    author.shards = 1;
    author.bidding();
    const Cid basis = under_the_roster ? author.field->roster.cid : testing::record("something else");
    const Signed<Commitment> commitment = author.commit(1, basis, {}, {0}, {});
    const Signed<ExecutionReceipt> receipt = author.reveal(1, basis, commitment.cid, {0});
    author.write<Verdict>(1, {.intent = author.intent.cid,
                              .shards = {{0, 1}},
                              .decision = Decision::unverified,
                              .receipt = receipt.cid,
                              .draw = {},
                              .verifications = {},
                              .timeliness = 1000,
                              .contribution = 0});
    const Result<ProofReport> report = verify_bundle(author.bundle());
    if (report) {
      EXPECT_TRUE(report->shards.front().self_executed);
    }
    return report ? "" : report.error().message;
  };
  EXPECT_EQ(error(0, true), "");
  EXPECT_EQ(error(0, false), "shard 0: the publisher ran it itself although others had offered");
  EXPECT_EQ(error(4, true), "shard 0: the publisher ran it itself although others had offered");
}

}  // namespace
}  // namespace mesh::verification
