// Nodes over a real ledger: from the locked fee to the last payment, and whoever does not do his part.
#include <gtest/gtest.h>

#include "node/ledger_testing.h"

namespace mesh::node {
namespace {

bool has_ended(LedgerTown& town, const Cid& job) {
  const ledger::Escrow* escrow = town.escrow(job);
  return escrow != nullptr && escrow->ended;
}
bool is_over(LedgerTown& town, const Cid& job) {
  const JobPhase phase = town.job(job).phase;
  return phase == JobPhase::done || phase == JobPhase::failed || phase == JobPhase::stopped;
}

LedgerTown::Options one_worker_and_three_verifiers() {
  return {.nodes = 5,
          .does = {{2, LedgerTown::Does::works},
                   {3, LedgerTown::Does::verifies},
                   {4, LedgerTown::Does::verifies},
                   {5, LedgerTown::Does::verifies}}};
}

TEST(PaidNode, WorkerAndVerifiersArePaidAndThePublisherHasTheRest) {
  LedgerTown town(one_worker_and_three_verifiers());
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  const JobView view = town.job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure << town.story();
  EXPECT_EQ(view.result, true_finding(0).result);
  EXPECT_FALSE(view.unverified);
  EXPECT_EQ(view.checked, 1U);
  // The offer asks for the worker's percentage of the fee at most; three verifiers share a tenth.
  EXPECT_EQ(town.balance(2), LedgerTown::credits + 900);
  for (std::uint8_t n = 3; n <= 5; ++n) EXPECT_EQ(town.balance(n), LedgerTown::credits + 33) << int{n};
  EXPECT_EQ(town.balance(1), LedgerTown::credits - 900 - 99);
  ASSERT_TRUE(view.escrow.has_value());
  EXPECT_EQ(view.escrow->state, "ended");
  EXPECT_EQ(view.escrow->locked, 1'000U);
  EXPECT_EQ(view.escrow->held, 0U);
  EXPECT_EQ(view.escrow->paid, 999U);
  EXPECT_EQ(view.escrow->refunded, 1U);
  EXPECT_EQ(view.escrow->shards_paid, 1U);
  EXPECT_TRUE(town.refusals.empty()) << town.refusals.front();
}

/// What must hold however it went: every shard is paid once, and nobody was paid by the publisher for anything else.
void expect_paid(LedgerTown& town, const Cid& job, std::uint32_t shards) {
  const ledger::Escrow* escrow = town.escrow(job);
  ASSERT_NE(escrow, nullptr);
  EXPECT_TRUE(escrow->ended);
  EXPECT_EQ(escrow->paid, shards);
  std::uint32_t accepted = 0;
  for (const ledger::Work& work : town.works()) accepted += work.accepted;
  EXPECT_EQ(accepted, shards);
}

TEST(PaidNode, ALiarIsSlashedAndItsShardIsDoneByAnother) {
  LedgerTown town({.nodes = 7,
                   .does = {{4, LedgerTown::Does::verifies},
                            {5, LedgerTown::Does::verifies},
                            {6, LedgerTown::Does::verifies},
                            {7, LedgerTown::Does::verifies}}});
  std::optional<std::uint8_t> liar;
  town.finds = [&](std::uint8_t n, std::uint32_t shard) {
    const bool lies = !liar && (n == 2 || n == 3);  // Whoever is awarded first, and only as the worker.
    if (lies) liar = n;
    return std::optional(lies ? false_finding(shard) : true_finding(shard));
  };
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  const JobView view = town.job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure << town.story();
  EXPECT_EQ(view.result, true_finding(0).result);
  ASSERT_TRUE(liar.has_value());
  const auto other = static_cast<std::uint8_t>(5 - *liar);
  EXPECT_EQ(town.bonded(*liar), LedgerTown::bond - 1'000) << "the larger of the minimum bond and the fee";
  EXPECT_GE(town.balance(other), LedgerTown::credits + 900);
  EXPECT_EQ(town.bonded(other), LedgerTown::bond);
  expect_paid(town, job, 1);
  ASSERT_EQ(view.escrow->works.size(), 2U);
  EXPECT_EQ(view.escrow->works[0].rejected + view.escrow->works[1].rejected, 1U);
  EXPECT_EQ(view.escrow->paid, 999U);
}

TEST(PaidNode, OfAWorkWithOneLieTheRestCounts) {
  for (const bool publisher_sees_it : {true, false}) {
    LedgerTown town({.nodes = 7,
                     .does = {{4, LedgerTown::Does::verifies},
                              {5, LedgerTown::Does::verifies},
                              {6, LedgerTown::Does::verifies},
                              {7, LedgerTown::Does::verifies}}});
    std::map<std::uint32_t, std::uint8_t> first;  // Who ran a shard first.
    town.finds = [&](std::uint8_t n, std::uint32_t shard) {
      const bool lies = n <= 3 && first.try_emplace(shard, n).first->second == n && shard == 1;
      return std::optional(lies ? false_finding(shard) : true_finding(shard));
    };
    const Cid job = town.submit(8);
    if (!publisher_sees_it) {
      // It is away while the work is judged, and finds it ended.
      ASSERT_TRUE(town.run_until([&] {
        const std::vector<ledger::Work> works = town.works();
        return std::ranges::any_of(works, [](const ledger::Work& one) { return task::covers(one.shards, 1); });
      })) << town.story();
      town.stop(1);
      ASSERT_TRUE(town.run_until([&] {
        const std::vector<ledger::Work> works = town.works();
        return std::ranges::any_of(works, [](const ledger::Work& one) { return one.rejected == 1; });
      })) << town.story();
      town.start(1);
    }
    ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
    EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
    const auto results = town.node(1).results(job);
    ASSERT_EQ(results.size(), 8U);
    for (std::uint32_t shard = 0; shard < 8; ++shard)
      EXPECT_EQ(results[shard].first, true_finding(shard).result) << shard;
    expect_paid(town, job, 8);
    const std::vector<ledger::Work> works = town.works();
    EXPECT_TRUE(
        std::ranges::any_of(works, [](const ledger::Work& one) { return one.accepted > 0 && one.rejected == 1; }));
  }
}

template <class T>
std::vector<Envelope> said_of(const LedgerTown& town, std::uint8_t from, std::uint8_t to) {
  std::vector<Envelope> all = town.said(from, to);
  std::erase_if(all, [&](const Envelope& one) { return !open<T>(one, town.ledger().federation()); });
  return all;
}

TEST(PaidNode, AJobNeedNotWaitForTheBlocksOfItsReveals) {
  LedgerTown town(one_worker_and_three_verifiers());
  bool is_held_up = true;
  town.loses = [&](std::uint8_t, const ledger::Body& body) {
    return is_held_up && std::holds_alternative<ledger::Settle>(body);
  };
  const Cid job = town.submit(4);
  ASSERT_TRUE(town.run_until([&] { return is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  EXPECT_EQ(town.job(job).checked, 4U);
  for (const ledger::Work& work : town.works())
    EXPECT_FALSE(work.receipt.has_value()) << "the ledger has not heard of it";
  EXPECT_EQ(town.job(job).escrow->ahead, 4U) << "so there is nothing to prove it by";
  is_held_up = false;
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).escrow->ahead, 0U);
  expect_paid(town, job, 4);
  EXPECT_EQ(town.balance(2), LedgerTown::credits + 4 * 900);
  EXPECT_EQ(town.story().find("overturned"), std::string::npos);
}

TEST(PaidNode, WhoRevealsToThePublisherAloneIsNotPaid) {
  LedgerTown town(one_worker_and_three_verifiers());
  town.loses = [&](std::uint8_t n, const ledger::Body& body) {
    return n == 2 && std::holds_alternative<ledger::Settle>(body);
  };
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << "it was found right by those who ran it again";
  EXPECT_EQ(town.job(job).escrow->paid, 0U);
  EXPECT_LT(town.bonded(2), LedgerTown::bond);
  EXPECT_NE(town.story().find(
                "job.overturned: shard 0: its worker showed this node what it had found, and the ledger nothing"),
            std::string::npos)
      << town.story();
}

TEST(PaidNode, AVerifierShowsNothingWhileASeatHasNotCommitted) {
  const LedgerTown::Options options = one_worker_and_three_verifiers();
  std::vector<Envelope> receipt;
  {
    LedgerTown before(options);
    const Cid job = before.submit();
    ASSERT_TRUE(before.run_until([&] { return is_over(before, job); })) << before.story();
    receipt = said_of<receipt::ExecutionReceipt>(before, 2, 3);
    ASSERT_EQ(receipt.size(), 1U) << "the worker showed it to who verifies";
    EXPECT_FALSE(said_of<receipt::VerificationReceipt>(before, 3, 1).empty());
  }
  // The same again, but that one does not get through to the ledger, and the worker shows its receipt too early.
  LedgerTown town(options);
  bool is_away = true;
  town.loses = [&](std::uint8_t n, const ledger::Body& body) {
    return is_away && n == 5 && std::holds_alternative<ledger::Anchor>(body);
  };
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] {
    const std::vector<ledger::Work> works = town.works();
    return !works.empty() && works[0].answers.size() == 2;
  })) << town.story();
  for (const std::uint8_t n : std::array<std::uint8_t, 2>{3, 4}) town.tell(n, 2, receipt);
  town.pass(seconds(5));
  for (const std::uint8_t n : std::array<std::uint8_t, 2>{3, 4})
    EXPECT_TRUE(said_of<receipt::VerificationReceipt>(town, n, 1).empty()) << int{n};
  EXPECT_FALSE(is_over(town, job));
  is_away = false;
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  for (const std::uint8_t n : std::array<std::uint8_t, 2>{3, 4})
    EXPECT_FALSE(said_of<receipt::VerificationReceipt>(town, n, 1).empty()) << int{n};
  expect_paid(town, job, 1);
}

TEST(PaidNode, AJobIsDoneBeforeTheTimeForDisputesIsOver) {
  LedgerTown town({.nodes = 6});
  const Cid job = town.submit(4);
  ASSERT_TRUE(town.run_until([&] { return is_over(town, job); })) << town.story();
  ASSERT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  ASSERT_TRUE(town.escrow(job) != nullptr);
  EXPECT_FALSE(town.escrow(job)->ended);
  EXPECT_EQ(town.escrow(job)->paid, 0U);
  // Nobody is paid by then; the publisher may end right here, and all are.
  EXPECT_EQ(town.job(job).escrow->state, "locked");
  town.stop(1);
  town.start(1);
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done);
  EXPECT_EQ(town.job(job).escrow->state, "ended");
  EXPECT_EQ(town.job(job).escrow->held, 0U);
  expect_paid(town, job, 4);
  EXPECT_TRUE(town.refusals.empty()) << town.refusals.front();
}

TEST(PaidNode, WhatADisputeOverturnsAfterTheResultWasTakenIsSaid) {
  LedgerTown town({.nodes = 12, .does = {{2, LedgerTown::Does::works}}});
  // Those of the first drawing agree with the liar, and those of the second do not.
  std::set<std::uint8_t> first;
  bool is_second = false;
  town.finds = [&](std::uint8_t n, std::uint32_t shard) {
    if (!is_second) first.insert(n);
    return std::optional(first.contains(n) ? false_finding(shard) : true_finding(shard));
  };
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return is_over(town, job); })) << town.story();
  ASSERT_EQ(town.job(job).phase, JobPhase::done);
  EXPECT_EQ(town.job(job).result, false_finding(0).result);
  is_second = true;
  std::uint8_t doubter = 12;
  while (first.contains(doubter)) --doubter;
  ASSERT_EQ(town.works().size(), 1U);
  town.transact(
      doubter,
      ledger::Dispute{.account = {}, .sequence = 0, .commitment = town.works()[0].commitment, .reason = "a lie"});
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job); })) << town.story();
  ASSERT_EQ(town.works()[0].rejected, 1U) << town.story();
  EXPECT_NE(town.story().find("job.overturned"), std::string::npos) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << "what was told is not untold";
  EXPECT_EQ(town.job(job).escrow->refunded, 1'000U);
  EXPECT_EQ(town.balance(1), LedgerTown::credits);
}

TEST(PaidNode, WhoIsSilentAsAVerifierLosesItsSeat) {
  LedgerTown town({.nodes = 6,
                   .does = {{2, LedgerTown::Does::works},
                            {3, LedgerTown::Does::verifies},
                            {4, LedgerTown::Does::verifies},
                            {5, LedgerTown::Does::verifies},
                            {6, LedgerTown::Does::verifies}}});
  std::optional<std::uint8_t> silent;
  town.finds = [&](std::uint8_t n, std::uint32_t shard) -> std::optional<receipt::Finding> {
    if (!silent && n >= 3) silent = n;
    if (n == silent) return std::nullopt;
    return true_finding(shard);
  };
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  ASSERT_TRUE(silent.has_value());
  EXPECT_EQ(town.balance(*silent), LedgerTown::credits);
  for (std::uint8_t n = 3; n <= 6; ++n) {
    const std::uint64_t earned = n == *silent ? 0 : 33;
    EXPECT_EQ(town.balance(n), LedgerTown::credits + earned) << int{n};
  }
  EXPECT_EQ(town.balance(2), LedgerTown::credits + 900);
  expect_paid(town, job, 1);
}

TEST(PaidNode, APublisherThatVanishesAfterTheAwardCostsNobodyAnything) {
  LedgerTown town({.nodes = 6,
                   .does = {{2, LedgerTown::Does::works},
                            {3, LedgerTown::Does::verifies},
                            {4, LedgerTown::Does::verifies},
                            {5, LedgerTown::Does::verifies},
                            {6, LedgerTown::Does::verifies}}});
  bool silenced = false;
  town.finds = [&](std::uint8_t n, std::uint32_t shard) -> std::optional<receipt::Finding> {
    if (n == 2 && town.is_up(1)) silenced = true;
    // And a verifier that does not answer, with nobody but the worker to say so.
    if (n == 3) return std::nullopt;
    return true_finding(shard);
  };
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return silenced; })) << town.story();
  town.stop(1);
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job); })) << town.story();
  EXPECT_EQ(town.balance(2), LedgerTown::credits + 900);
  EXPECT_EQ(town.balance(1), LedgerTown::credits - 999);
  expect_paid(town, job, 1);
  // Back again, it learns what was found from the worker.
  town.start(1);
  ASSERT_TRUE(town.run_until([&] { return is_over(town, job); }, seconds(60))) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  EXPECT_EQ(town.job(job).result, true_finding(0).result);
}

TEST(PaidNode, AStoppedJobGetsItsFeeBack) {
  LedgerTown town;
  town.finds = [](std::uint8_t, std::uint32_t) { return std::optional<receipt::Finding>(); };
  const Cid job = town.submit(4);
  ASSERT_TRUE(town.run_until([&] { return town.job(job).running == 4; })) << town.story();
  town.step(1, event::StopJob{job});
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job); }, seconds(120))) << town.story();
  EXPECT_EQ(town.balance(1), LedgerTown::credits);
  const JobView view = town.job(job);
  EXPECT_EQ(view.phase, JobPhase::stopped);
  EXPECT_EQ(view.escrow->state, "ended");
  EXPECT_EQ(view.escrow->refunded, 4'000U);
  EXPECT_EQ(view.escrow->paid, 0U);
}

TEST(PaidNode, AJobThatIsStoppedWhileItsFeeIsLockedGetsItBack) {
  LedgerTown town;
  const Cid job = town.submit();
  town.step(1, event::StopJob{job});
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job); }, seconds(120))) << town.story();
  EXPECT_EQ(town.balance(1), LedgerTown::credits);
}

TEST(PaidNode, WorkThatWasCommittedToIsPaidThoughTheJobIsStopped) {
  LedgerTown town;
  const Cid job = town.submit(1);
  ASSERT_TRUE(town.run_until([&] { return town.works().size() == 1; })) << town.story();
  town.step(1, event::StopJob{job});
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job); }, seconds(300))) << town.story();
  EXPECT_EQ(town.balance(1), LedgerTown::credits - 999);
  expect_paid(town, job, 1);
  EXPECT_EQ(town.job(job).escrow->paid, 999U);
}

TEST(PaidNode, ManyShardsAreSeveralWorks) {
  LedgerTown town({.nodes = 8});
  const Cid job = town.submit(100, 500);
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  EXPECT_EQ(town.job(job).finished, 100U);
  EXPECT_GT(town.works().size(), 2U);
  expect_paid(town, job, 100);
  EXPECT_EQ(town.balance(1), LedgerTown::credits - town.job(job).escrow->paid);
}

TEST(PaidNode, NoMoreIsAwardedThanABondAnswersFor) {
  // Of the bond of 100,000 a shard has 60,000 at stake: one at a time.
  LedgerTown town(one_worker_and_three_verifiers());
  const Cid job = town.submit(3, 60'000);
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  EXPECT_EQ(town.works().size(), 3U);
  for (const std::string& one : town.refusals) EXPECT_EQ(one.find("bond-too-small"), std::string::npos) << one;
  expect_paid(town, job, 3);
}

TEST(PaidNode, WhereNobodyCanBeDrawnThePublishersWordPays) {
  LedgerTown town({.nodes = 3, .does = {{2, LedgerTown::Does::works}, {3, LedgerTown::Does::works}}});
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  EXPECT_TRUE(town.job(job).unverified);
  expect_paid(town, job, 1);
  EXPECT_EQ(town.job(job).escrow->paid, 900U);
}

TEST(PaidNode, WhoHasNotTheFeeIsTold) {
  LedgerTown town({.nodes = 3, .credits = {{1, 500}}});
  const auto spec = [&](std::uint64_t fee) {
    return event::Submit{.spec = {.function = testing::content("function"),
                                  .inputs = testing::record("inputs"),
                                  .shards = 1,
                                  .fee = fee,
                                  .verifiers = 3,
                                  .bid_window_ms = 1000,
                                  .created_ms = static_cast<std::int64_t>(town.wall())},
                         .entropy = testing::digest("entropy")};
  };
  const Result<Cid> refused = town.node(1).check_submit(spec(501));
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().message.starts_with("overdraft: the balance of 500 is less than the 501"))
      << refused.error().message;
  EXPECT_TRUE(town.node(1).check_submit(spec(500)).has_value());
  // Spent since: the ledger says so, and so does the job.
  town.step(1, spec(501));
  const Cid job = town.node(1).jobs().at(0);
  ASSERT_TRUE(town.run_until([&] { return is_over(town, job); }, seconds(30)));
  EXPECT_EQ(town.job(job).phase, JobPhase::failed);
  EXPECT_TRUE(town.job(job).failure.starts_with("overdraft: the balance of 500 is less than the 501"))
      << town.job(job).failure;
  EXPECT_EQ(town.job(job).escrow->state, "locking");
}

TEST(PaidNode, WhoseBondIsTooSmallIsNoProspect) {
  LedgerTown town(one_worker_and_three_verifiers());
  ASSERT_TRUE(town.run_until([&] { return town.blocks > 0; }));
  const auto lacks = [&](std::uint64_t fee) {
    JobSpec spec;
    spec.fee = fee;
    const std::vector<Prospect> all = town.node(1).prospects(spec);
    const auto one = std::ranges::find(all, testing::node(2), &Prospect::node);
    return one == all.end() ? "not there" : one->lacks;
  };
  EXPECT_EQ(lacks(100'000), "unknown: it has not said yet what it is") << "as far as the ledger goes it may";
  EXPECT_EQ(lacks(100'001), "bond-too-small: 100000 of the bond are free, less than the fee of 100001");
}

TEST(PaidNode, NothingIsAskedOfAnybodyBeforeTheFeeIsLocked) {
  LedgerTown town;
  town.loses = [](std::uint8_t n, const ledger::Body&) { return n == 1; };
  const Cid job = town.submit();
  town.pass(seconds(20));
  for (std::uint8_t n = 2; n <= 6; ++n) EXPECT_TRUE(town.node(n).intents().empty());
  EXPECT_EQ(town.job(job).phase, JobPhase::bidding);
  town.loses = [](std::uint8_t, const ledger::Body&) { return false; };
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
}

TEST(PaidNode, TheLedgerSaysWhatNoMessageSaid) {
  // What the worker committed to and found reaches the publisher through blocks alone.
  LedgerTown town(one_worker_and_three_verifiers());
  std::size_t dropped = 0;
  town.drops = [&](std::uint8_t from, std::uint8_t to, const Parcel& parcel) {
    const bool drop = from == 2 && to == 1 && std::ranges::any_of(parcel.envelopes, [](const Envelope& one) {
                        const Result<std::string> type = type_of(one.body);
                        return type == receipt::Commitment::type || type == receipt::ExecutionReceipt::type;
                      });
    dropped += drop ? 1 : 0;
    return drop;
  };
  const Cid job = town.submit(2);
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); }, seconds(120))) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  EXPECT_GE(dropped, 2U);
  expect_paid(town, job, 2);
}

TEST(PaidNode, NobodyRunsAnythingForAFeeThatIsNotLocked) {
  LedgerTown town({.nodes = 2, .does = {{2, LedgerTown::Does::works}}});
  std::size_t runs = 0;
  town.finds = [&](std::uint8_t, std::uint32_t shard) {
    ++runs;
    return std::optional(true_finding(shard));
  };
  // What a publisher can sign without the ledger: intent, roster and award.
  const identity::Signer publisher(testing::seed_of(1), town.ledger().federation());
  task::TaskIntent wanted = testing::intent(1);
  wanted.fee = 1'000;
  const Signed<task::TaskIntent> intent = publisher.sign(std::move(wanted));
  town.tell(2, 1, {intent.envelope});
  const std::vector<Envelope> said = town.said(2, 1);
  ASSERT_FALSE(said.empty());
  const Result<Signed<market::ComputeOffer>> offer =
      open<market::ComputeOffer>(said.back(), town.ledger().federation());
  ASSERT_TRUE(offer.has_value()) << "it bids: the escrow may be on its way";
  const auto roster = publisher.sign(market::Roster{.intent = intent.cid, .offers = {offer->cid}});
  const auto award = [&](std::uint32_t lease, std::optional<std::uint64_t> given_ms) {
    return publisher.seal(market::Award{.intent = intent.cid,
                                        .roster = roster.cid,
                                        .offer = offer->cid,
                                        .lease = lease,
                                        .shards = {{0, 1}},
                                        .given_ms = given_ms});
  };
  const auto refused = [&](const Envelope& one) {
    town.tell(2, 1, {one});
    const Result<Signed<market::Refusal>> refusal =
        open<market::Refusal>(town.said(2, 1).back(), town.ledger().federation());
    return refusal && refusal->record.about == one.cid() ? refusal->record.reason : std::string("taken");
  };
  town.tell(2, 1, {offer->envelope, roster.envelope});
  EXPECT_TRUE(refused(award(0, std::nullopt)).starts_with("award-undated: "));
  EXPECT_TRUE(refused(award(1, town.wall() - 20'000)).starts_with("dated-back: "));
  EXPECT_EQ(refused(award(2, town.wall())), "taken");
  town.pass(seconds(30));
  EXPECT_EQ(runs, 0U);
}

/// A task in which node `who` ends at its n-th write, and is back two seconds later. Whether there were that many.
bool dies_at(std::uint8_t who, std::size_t n, LedgerTown::Death death) {
  LedgerTown town(one_worker_and_three_verifiers());
  std::size_t writes = 0;
  bool died = false;
  town.dies = [&](std::uint8_t node, const effect::Persist& persist) {
    if (node != who || persist.append.empty() || died || writes++ != n) return LedgerTown::Death::none;
    died = true;
    return death;
  };
  const std::string where = "node " + std::to_string(who) +
                            (death == LedgerTown::Death::before ? " before" : " after") + " write " + std::to_string(n);
  const Cid job = town.submit();
  for (int i = 0; i < 400 && !(died && !town.is_up(who)); ++i) town.pass(milliseconds(250));
  if (died) {
    town.pass(seconds(2));
    town.start(who);
  }
  EXPECT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); }, seconds(1000)))
      << where << "\n"
      << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << where << ": " << town.job(job).failure << "\n" << town.story();
  EXPECT_EQ(town.job(job).result, true_finding(0).result) << where;
  expect_paid(town, job, 1);
  EXPECT_EQ(town.works().size(), 1U) << where << ": nothing is done twice";
  for (std::uint8_t verifier = 3; verifier <= 5; ++verifier)
    EXPECT_EQ(town.balance(verifier), LedgerTown::credits + 33) << where << ", verifier " << int{verifier};
  return died;
}

/// How many writes there were, from the `first` on.
std::size_t die_at_each(std::uint8_t who, std::size_t first, LedgerTown::Death death) {
  std::size_t n = first;
  while (dies_at(who, n, death) && !::testing::Test::HasFailure()) ++n;
  return n - first;
}

// Its first write makes the job; before that there is nothing to lose.
TEST(PaidNode, APublisherThatEndsAtAnyWriteLosesNothing) {
  EXPECT_GE(die_at_each(1, 0, LedgerTown::Death::after), 6U);
  EXPECT_GE(die_at_each(1, 1, LedgerTown::Death::before), 5U);
}
// The first of the others is a worker's offer: nobody else bids here.
TEST(PaidNode, AWorkerThatEndsAtAnyWriteLosesNothing) {
  EXPECT_GE(die_at_each(2, 1, LedgerTown::Death::after), 2U);
  EXPECT_GE(die_at_each(2, 1, LedgerTown::Death::before), 2U);
}
TEST(PaidNode, AVerifierThatEndsAtAnyWriteLosesNothing) {
  EXPECT_GE(die_at_each(3, 0, LedgerTown::Death::after), 1U);
  EXPECT_GE(die_at_each(3, 0, LedgerTown::Death::before), 1U);
}

// ---- Keys that are rotated.

TEST(PaidNode, WhoseKeysWereRotatedWorksVerifiesAndIsPaid) {
  LedgerTown town(one_worker_and_three_verifiers());
  // Publisher, worker and one of the verifiers; the worker twice.
  for (const std::uint8_t n : std::to_array<std::uint8_t>({1, 2, 3, 2})) {
    town.rotate(n);
    town.pass(seconds(3));
    town.start_again(n);
  }
  EXPECT_NE(town.node_id(2), testing::node(2));
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  const JobView view = town.job(job);
  EXPECT_EQ(view.phase, JobPhase::done) << view.failure << town.story();
  EXPECT_EQ(view.result, true_finding(0).result);
  EXPECT_EQ(town.balance(2), LedgerTown::credits + 900) << "the account that it always had";
  for (std::uint8_t n = 3; n <= 5; ++n) EXPECT_EQ(town.balance(n), LedgerTown::credits + 33) << int{n};
  EXPECT_EQ(town.balance(1), LedgerTown::credits - 900 - 99);
  EXPECT_TRUE(town.refusals.empty()) << town.refusals.front();
  for (const std::uint8_t n : std::to_array<std::uint8_t>({2, 3})) {
    const ledger::Reputation* earned = town.ledger().state().tables.reputation.find(testing::node(n));
    ASSERT_NE(earned, nullptr);
    EXPECT_GT(earned->execution + earned->verification, 0U) << int{n};
    EXPECT_EQ(town.ledger().state().tables.reputation.find(town.node_id(n)), nullptr) << "nothing begins anew";
  }
}

TEST(PaidNode, WhoKeepsItsOldKeyIsToldSoAndTakesNoPaidWork) {
  LedgerTown town({.nodes = 6, .does = {{2, LedgerTown::Does::works}, {3, LedgerTown::Does::works}}});
  town.rotate(2);
  town.rotate(1);
  town.pass(seconds(3));
  const event::Submit submit{.spec = {.function = testing::content("function"),
                                      .inputs = testing::record("inputs"),
                                      .shards = 1,
                                      .reduce = {},
                                      .scope = {.fuel = 1'000'000},
                                      .fee = 1'000,
                                      .limits = {},
                                      .label = {}},
                             .entropy = testing::digest("entropy")};
  const Result<Cid> refused = town.node(1).check_submit(submit);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.starts_with("key-rotated: ")) << refused.error().message;
  town.start_again(1);
  const Cid job = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
  EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure;
  EXPECT_EQ(town.balance(2), LedgerTown::credits) << "it goes on with the old key";
  EXPECT_TRUE(std::ranges::any_of(town.job(job).refused, [&](const RefusalView& one) {
    return one.node == testing::node(2) && one.reason.starts_with("key-rotated: ");
  })) << "and says why it bids for nothing";
}

TEST(PaidNode, WhatWasPromisedByAnOldKeyIsKept) {
  using ledger::WorkPhase;
  for (const WorkPhase phase : {WorkPhase::drawn, WorkPhase::revealed}) {
    LedgerTown town({.nodes = 5,
                     .does = {{2, LedgerTown::Does::works},
                              {3, LedgerTown::Does::verifies},
                              {4, LedgerTown::Does::verifies},
                              {5, LedgerTown::Does::verifies}}});
    const Cid job = town.submit();
    ASSERT_TRUE(town.run_until([&] {
      const std::vector<ledger::Work> works = town.works();
      return !works.empty() && works[0].phase == phase;
    })) << town.story();
    for (const std::uint8_t n : std::to_array<std::uint8_t>({2, 3})) town.rotate(n);
    town.pass(seconds(2));
    for (const std::uint8_t n : std::to_array<std::uint8_t>({2, 3})) town.start_again(n);
    ASSERT_TRUE(town.run_until([&] { return has_ended(town, job) && is_over(town, job); })) << town.story();
    EXPECT_EQ(town.job(job).phase, JobPhase::done) << town.job(job).failure << town.story();
    EXPECT_EQ(town.balance(2), LedgerTown::credits + 900) << "revealed by the key that committed";
    for (std::uint8_t n = 3; n <= 5; ++n) EXPECT_EQ(town.balance(n), LedgerTown::credits + 33) << int{n};
    for (std::uint8_t n = 2; n <= 5; ++n) EXPECT_EQ(town.bonded(n), LedgerTown::bond) << int{n};
  }
}

TEST(PaidNode, AJobThatAnOldKeySignedEndsByNameAndOnesThatAreDoneStay) {
  LedgerTown town;
  const Cid done = town.submit();
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, done) && is_over(town, done); })) << town.story();
  const JobSpec spec = town.job(done).spec;
  const Cid open = town.submit(1, 1'000, [](JobSpec& other) { other.label = "another"; });
  ASSERT_TRUE(town.run_until([&] { return town.escrow(open) != nullptr; })) << town.story();
  town.rotate(1);
  town.pass(milliseconds(1250));
  town.start_again(1);
  EXPECT_EQ(town.job(done).phase, JobPhase::done);
  EXPECT_EQ(town.job(done).result, true_finding(0).result) << "what it came to can still be had";
  ASSERT_TRUE(town.run_until([&] { return has_ended(town, open) && is_over(town, open); })) << town.story();
  EXPECT_EQ(town.job(open).phase, JobPhase::failed);
  EXPECT_TRUE(town.job(open).failure.starts_with("key-rotated: ")) << town.job(open).failure;
}

TEST(AccountKeys, AreOfTheAccountThatWasGivenThem) {
  AccountKeys keys;
  const auto key = [](std::uint8_t n) { return testing::node(n); };
  EXPECT_EQ(keys.account_of(key(1)), key(1));
  EXPECT_FALSE(keys.was_given(key(1)));
  keys.note(key(1), key(1));
  EXPECT_FALSE(keys.was_given(key(1))) << "that is its name";
  keys.note(key(1), key(5));
  EXPECT_EQ(keys.account_of(key(5)), key(1));
  EXPECT_EQ(keys.account_of(key(1)), key(1)) << "who has the first key is asked by that name";
  keys.note(key(1), key(6));
  EXPECT_FALSE(keys.was_given(key(5)));
  EXPECT_EQ(keys.account_of(key(5)), key(5));
  EXPECT_EQ(keys.account_of(key(6)), key(1));
  keys.note(key(3), key(1));
  EXPECT_EQ(keys.account_of(key(1)), key(1)) << "who found an old key does not get the name with it";
  keys.note(key(3), key(3));
  keys.note(key(2), key(6));
  EXPECT_EQ(keys.account_of(key(6)), std::min(key(1), key(2)));
  keys.note(key(1), key(1));
  EXPECT_EQ(keys.account_of(key(6)), key(2));
}

}  // namespace
}  // namespace mesh::node
