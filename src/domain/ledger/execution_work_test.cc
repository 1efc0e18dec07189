// Paid work on the ledger: from the locked fee to the last micro-credit, with everybody who does not do his part.
#include <gtest/gtest.h>

#include "domain/ledger/work_testing.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::ledger {
namespace {

using verification::Decision;

constexpr std::uint64_t fee = 1'000;
constexpr std::uint64_t bond = 5'000;
const AccountId publisher = nobody(10);
const AccountId liar = nobody(11);  // And worker: it depends on the test.
const AccountId worker = liar;

/// Six members with bonds, of whom all but the publisher work and verify.
class Village {
 public:
  explicit Village(std::size_t verifiers = 6,
                   Parameters parameters = {.minimum_bond = 100, .transaction_fee = 0, .minimum_balance = 1}) {
    const Person founder = person(0);
    std::vector<Role> all{Role::member, Role::worker, Role::verifier};
    ledger_.emplace(found_on(genesis_of({{.account = founder.id,
                                          .credits = 1'000'000,
                                          .bonded = 100,
                                          .power = 1,
                                          .roles = {Role::validator, Role::steward}}},
                                        parameters)));
    founder_ = founder.id;
    for (std::uint64_t n = 10; n < 10 + verifiers + 1; ++n) {
      must(Admit{.account = founder_, .node = nobody(n), .roles = all});
      must(Transfer{.account = founder_, .to = nobody(n), .amount = 14'000});
      must(Bond{.account = nobody(n), .amount = bond});
      if (n > 10)
        must(Attest{.account = nobody(n), .memory_mb = 4096, .fuel_per_second = 1'000'000'000, .verifies = true});
    }
    must(Transfer{.account = founder_, .to = stranger(), .amount = 10'000});
    next();
  }

  [[nodiscard]] const Ledger& ledger() const { return *ledger_; }
  [[nodiscard]] std::uint64_t now() const { return now_; }
  [[nodiscard]] const AccountId& founder() const { return founder_; }
  /// Has credits and no credential.
  [[nodiscard]] static AccountId stranger() { return nobody(40); }
  [[nodiscard]] std::uint64_t balance(const AccountId& id) const { return ledger_->account(id)->balance; }
  [[nodiscard]] std::uint64_t bonded(const AccountId& id) const { return ledger_->account(id)->bonded; }

  template <class T>
  void must(const T& body) {
    ASSERT_EQ(attempt(body), "taken");
  }
  template <class T>
  [[nodiscard]] std::string attempt(T body) {
    body.sequence = next_[body.account];
    pending_.push_back(as_signed(body, body.account));
    const Result<Proposal> proposal = propose();
    EXPECT_TRUE(proposal.has_value()) << proposal.error().message;
    if (proposal->refused.empty()) {
      ++next_[body.account];
      return "taken";
    }
    pending_.pop_back();
    const std::string& text = proposal->refused[0].error.message;
    last_refusal = text;
    return text.substr(0, text.find(':'));
  }
  /// Makes the block, as others do: by its bytes.
  void next(std::uint64_t later_ms = 100) {
    Result<Proposal> proposal = propose();
    ASSERT_TRUE(proposal.has_value()) << proposal.error().message;
    Result<Block> block = decode_block(encode_block(proposal->block.block()));
    ASSERT_TRUE(block.has_value()) << block.error().message;
    Result<OpenedBlock> opened = OpenedBlock::join(std::move(*block), pending_);
    Result<Draft> draft = ledger_->execute(*opened, now_);
    ASSERT_TRUE(draft.has_value()) << draft.error().message;
    ledger_->commit(std::move(*draft));
    ASSERT_EQ(broken_invariant(ledger_->state()), "");
    pending_.clear();
    now_ += later_ms;
  }
  /// Lets so much time pass, with the blocks that are wanted meanwhile.
  void pass(std::uint64_t ms) {
    const std::uint64_t end = now_ + ms;
    while (ledger_->next_due() && *ledger_->next_due() <= end) {
      now_ = std::max(now_, *ledger_->next_due());
      next(0);
    }
    now_ = end;
    if (ledger_->wants_empty_block(now_)) next(0);
  }
  [[nodiscard]] Result<Proposal> propose() const {
    return ledger_->propose(pending_, {.account = founder_, .time_ms = now_, .beacon = link});
  }

  Digest link;
  std::string last_refusal;

 private:
  std::optional<Ledger> ledger_;
  AccountId founder_;
  std::uint64_t now_ = 2'000'000;
  std::map<AccountId, std::uint64_t> next_;
  std::vector<Opened> pending_;
};

/// One task of a village, as its parties know it.
class Job {
 public:
  explicit Job(Village& village, std::uint32_t shards = 2, std::uint32_t verifiers = 3, std::uint64_t cost = 900)
      : village_(village), cost_(cost) {
    task::TaskIntent asked;
    asked.function = some_cid("function");
    asked.inputs = some_cid("inputs");
    asked.shards = shards;
    asked.fee = fee;
    asked.verifiers = verifiers;
    asked.scope.fuel = 1'000;
    asked.bid_window_ms = 10;
    asked.limits = {.fetch_ms = 1'000, .run_ms = 10'000, .nonce_ms = 1'000, .reveal_ms = 1'000, .total_ms = 600'000};
    asked.policy = policy::cid_of(active_policy());
    asked.engine = "engine";
    asked.created_ms = static_cast<std::int64_t>(village.now());
    asked.nonce_tip = sha256(big_endian(++count_));
    intent = unsigned_record(asked, publisher);
  }

  [[nodiscard]] Lock lock() const { return {.account = publisher, .intent = bytes_of(intent)}; }

  [[nodiscard]] Anchor anchor(const AccountId& by, std::vector<task::ShardRange> shards,
                              std::vector<receipt::Finding> findings) {
    const auto offer = unsigned_record(
        market::ComputeOffer{.intent = intent.cid, .cost = cost_, .capacity = 4, .eta_ms = 1'000, .valid_ms = 1'000},
        by);
    const auto award = unsigned_record(market::Award{.intent = intent.cid,
                                                     .roster = some_cid("roster"),
                                                     .offer = offer.cid,
                                                     .shards = shards,
                                                     .given_ms = village_.now()},
                                       publisher);
    work = claims_of({.intent = intent.cid, .node = by, .basis = award.cid, .shards = std::move(shards)},
                     std::move(findings));
    return {
        .account = by, .commitments = {bytes_of(work.commitment)}, .offer = bytes_of(offer), .award = bytes_of(award)};
  }
  /// Locks, has `by` anchor, and draws.
  void begin(const AccountId& by, std::vector<receipt::Finding> findings) {
    village_.must(lock());
    const auto count = static_cast<std::uint32_t>(findings.size());
    village_.must(anchor(by, {{0, count}}, std::move(findings)));
    village_.next();
    village_.next();
  }
  [[nodiscard]] const Work& entry() const {
    return *village_.ledger().state().tables.works.find(work.commitment.cid.digest());
  }
  [[nodiscard]] const Escrow& escrow() const {
    return *village_.ledger().state().tables.escrows.find(intent.cid.digest());
  }

  /// Who has a seat on which shards, in the order of their names.
  [[nodiscard]] std::map<AccountId, std::vector<std::uint32_t>> seats(std::uint32_t round = 0) const {
    std::map<AccountId, std::vector<std::uint32_t>> seats;
    const Work& held = entry();
    Seating seating(held, round, village_.now());
    for (std::size_t row = 0; row < work.shards.size(); ++row) {
      for (const std::size_t seat : seating.of(row)) seats[held.draws[round].nodes[seat]].push_back(work.shards[row]);
    }
    return seats;
  }
  /// What a verifier commits to who finds `finding` on each of its shards, or what `say` says.
  [[nodiscard]] Claims claims(const AccountId& by, const std::vector<std::uint32_t>& shards,
                              const std::function<receipt::Finding(std::uint32_t)>& say,
                              std::uint32_t round = 0) const {
    std::vector<receipt::Finding> findings;
    for (const std::uint32_t shard : shards) findings.push_back(say(shard));
    return claims_of({.intent = intent.cid,
                      .node = by,
                      .basis = entry().draws[round].block,
                      .worker = work.commitment.cid,
                      .shards = task::ranges_of(shards)},
                     std::move(findings));
  }
  /// All seats commit to what `say` says of a node and a shard.
  [[nodiscard]] std::vector<Claims> all_claims(
      const std::function<receipt::Finding(const AccountId&, std::uint32_t)>& say, std::uint32_t round = 0) const {
    std::vector<Claims> all;
    for (const auto& [node, shards] : seats(round))
      all.push_back(claims(node, shards, [&, id = node](std::uint32_t shard) { return say(id, shard); }, round));
    return all;
  }
  /// The settlement that `by` sends with the receipt and the verifications of those whom `reveals` names.
  [[nodiscard]] Settle settle(
      const AccountId& by, const std::vector<Claims>& verifiers,
      const std::function<bool(const AccountId&)>& reveals = [](const AccountId&) { return true; }) const {
    Settle settle{.account = by, .commitment = work.commitment.cid, .receipt = bytes_of(receipt_of(work))};
    for (const Claims& one : verifiers) {
      if (reveals(one.commitment.signer)) settle.verifications.push_back(bytes_of(verification_of(one, work)));
    }
    return settle;
  }
  /// The commitments alone, which have to be there a block before.
  [[nodiscard]] Settle commitments(const AccountId& by, const std::vector<Claims>& verifiers) const {
    Settle settle{.account = by, .commitment = work.commitment.cid};
    for (const Claims& one : verifiers) settle.commitments.push_back(bytes_of(one.commitment));
    return settle;
  }
  /// Both, one after the other; the second stands in the block that is to come.
  void settle_all(
      const AccountId& by, const std::vector<Claims>& verifiers,
      const std::function<bool(const AccountId&)>& reveals = [](const AccountId&) { return true; }) const {
    village_.must(commitments(by, verifiers));
    village_.next();
    village_.must(settle(by, verifiers, reveals));
  }
  [[nodiscard]] Settle reveal(const Claims& verifier) const {
    return {.account = verifier.commitment.signer,
            .commitment = work.commitment.cid,
            .verifications = {bytes_of(verification_of(verifier, work))}};
  }

  Signed<task::TaskIntent> intent;
  Claims work;

 private:
  static inline std::uint64_t count_ = 0;
  Village& village_;
  std::uint64_t cost_;
};

const auto honest = [](const AccountId&, std::uint32_t shard) { return finding_of(shard); };
std::vector<receipt::Finding> right(std::uint32_t shards) {
  std::vector<receipt::Finding> findings;
  for (std::uint32_t i = 0; i < shards; ++i) findings.push_back(finding_of(i));
  return findings;
}

// ---- the plain way

TEST(PaidWork, PaysWorkerAndVerifiers) {
  Village village;
  Job job(village);
  job.begin(worker, right(2));
  EXPECT_EQ(village.balance(publisher), 9'000U - 2 * fee);
  EXPECT_EQ(village.ledger().state().frame.totals.escrowed, 2 * fee);
  const auto seats = job.seats();
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  EXPECT_EQ(job.entry().phase, WorkPhase::revealed);
  village.pass(29'000);
  EXPECT_EQ(job.entry().phase, WorkPhase::revealed);
  village.pass(2'000);
  ASSERT_EQ(job.entry().phase, WorkPhase::ended);
  EXPECT_EQ(job.entry().accepted, 2U);
  EXPECT_EQ(village.balance(worker), 9'000U + 2 * 900);
  std::uint64_t verifiers = 0;
  for (const auto& [node, shards] : seats) {
    EXPECT_EQ(village.balance(node), 9'000U + 33 * shards.size());
    verifiers += 33 * shards.size();
  }
  EXPECT_EQ(verifiers, 2U * 99);
  EXPECT_EQ(village.balance(publisher), 9'000U - 1'800 - 198);
  EXPECT_TRUE(job.escrow().ended);
  EXPECT_EQ(job.escrow().held, 0U);
  EXPECT_EQ(village.ledger().state().frame.totals.escrowed, 0U);
  EXPECT_EQ(village.ledger().account(worker)->at_stake, 0U);
  // What was paid stands in the entry.
  std::uint64_t paid = 0;
  for (const Payout& one : job.entry().payouts) paid += one.amount;
  EXPECT_EQ(paid, 1'800U + 198);

  EXPECT_EQ(village.attempt(job.settle(worker, {})), "work-ended");
  EXPECT_EQ(village.attempt(Refund{.account = publisher, .intent = job.intent.cid}), "escrow-ended");
  EXPECT_EQ(village.attempt(job.lock()), "escrow-exists");
}

TEST(PaidWork, IsForgottenWhenItsIntentIsTooOldToBeLockedAgain) {
  Village village;
  Job job(village);
  job.begin(worker, right(2));
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(10 * 3'600'000);
  EXPECT_EQ(village.ledger().state().tables.escrows.size(), 0U);
  EXPECT_EQ(village.ledger().state().tables.works.size(), 0U);
  EXPECT_EQ(village.attempt(job.lock()), "stale-intent");
  village.pass(reputation::epoch_ms);
  EXPECT_TRUE(village.ledger().state().due.empty());
}

TEST(PaidWork, OfAPartIsPaidExactly) {
  Village village;
  Job job(village, 5);
  village.must(job.lock());
  village.must(job.anchor(worker, {{1, 3}}, {finding_of(1), finding_of(2), finding_of(3)}));
  village.next();
  village.next();
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(job.escrow().paid, 3U);
  EXPECT_EQ(job.escrow().held, 2 * fee);
  EXPECT_FALSE(job.escrow().ended);
  village.pass(600'000);
  EXPECT_TRUE(job.escrow().ended);
  EXPECT_EQ(village.balance(worker), 9'000U + 3 * 900);
  EXPECT_EQ(village.balance(publisher), 9'000U - 3 * (900 + 99));
}

TEST(PaidWork, BothWorkersOfATaskArePaid) {
  Village village;
  Job job(village, 2);
  village.must(job.lock());
  const Anchor first = job.anchor(nobody(12), {{0, 1}}, {finding_of(0)});
  const Claims first_work = job.work;
  village.must(first);
  EXPECT_EQ(village.attempt(job.anchor(worker, {{0, 2}}, right(2))), "shard-claimed");
  village.must(job.anchor(worker, {{1, 1}}, {finding_of(1)}));
  village.next();
  village.next();
  job.settle_all(publisher, job.all_claims(honest));
  job.work = first_work;
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_TRUE(job.escrow().ended);
  EXPECT_EQ(job.escrow().paid, 2U);
  EXPECT_GE(village.balance(worker), 9'900U);
  EXPECT_GE(village.balance(nobody(12)), 9'900U);
}

// ---- who does not do his part

TEST(PaidWork, ALiarLosesItsBondAndThePublisherIsRefunded) {
  Village village;
  Job job(village);
  job.begin(liar, {finding_of(77), finding_of(1)});  // Wrong on shard 0.
  const auto seats = job.seats();
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  ASSERT_EQ(job.entry().phase, WorkPhase::ended);
  EXPECT_EQ(job.entry().accepted, 1U);
  EXPECT_EQ(job.entry().rejected, 1U);
  EXPECT_EQ(village.bonded(liar), bond - fee);  // The larger of the least bond and the fee.
  EXPECT_EQ(village.balance(liar), 9'000U + 900);
  std::uint64_t earned = 0;
  for (const auto& [node, shards] : seats) earned += village.balance(node) - 9'000;
  EXPECT_EQ(earned, 99U + 99);
  EXPECT_EQ(village.ledger().state().frame.totals.treasury, fee - 99);
  // Shard 0 is another's to do, and pays.
  EXPECT_EQ(job.escrow().held, fee);
  village.must(job.anchor(nobody(12), {{0, 1}}, {finding_of(0)}));
  village.next();
  village.next();
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_TRUE(job.escrow().ended);
}

TEST(PaidWork, ARejectedShardGoesBackWhenTheTaskIsOver) {
  Village village;
  Job job(village, 1);
  job.begin(liar, {finding_of(77)});
  job.settle_all(worker, job.all_claims(honest));
  village.next();
  village.pass(700'000);
  EXPECT_TRUE(job.escrow().ended);
  EXPECT_EQ(village.balance(publisher), 9'000U);
}

TEST(PaidWork, AVerifierAgainstTheQuorumIsUnpaid) {
  Village village;
  Job job(village, 1);
  job.begin(worker, right(1));
  const AccountId odd = job.seats().begin()->first;
  job.settle_all(publisher, job.all_claims([&](const AccountId& node, std::uint32_t shard) {
    return finding_of(node == odd ? 99 : shard);
  }));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(job.entry().accepted, 1U);
  EXPECT_EQ(village.balance(odd), 9'000U);
  EXPECT_EQ(village.balance(worker), 9'000U + 600);  // Two of three.
  for (const auto& [node, amount] : {std::pair{odd, 0U}}) EXPECT_EQ(village.bonded(node), bond);
}

// It has another's root in its own name: that opens for nobody.
TEST(PaidWork, AVerifierThatCopiesACommitmentIsNeverPaidAndPays) {
  Village village;
  Job job(village, 1);
  job.begin(worker, right(1));
  std::vector<Claims> claims = job.all_claims(honest);
  const AccountId copier = claims[0].commitment.signer;
  receipt::Commitment copied = claims[1].commitment.record;
  copied.node = copier;
  claims[0].commitment = unsigned_record(copied, copier);
  job.settle_all(publisher, claims, [&](const AccountId& node) { return node != copier; });
  claims[0].key = claims[1].key;
  EXPECT_EQ(village.attempt(job.reveal(claims[0])), "bad-verification");
  village.next();
  village.pass(40'000);
  EXPECT_EQ(job.entry().accepted, 1U);
  EXPECT_EQ(village.balance(copier), 9'000U);
  EXPECT_EQ(village.bonded(copier), bond - 33);
}

TEST(PaidWork, WhatThePublisherHidesOthersAdd) {
  Village village;
  Job job(village, 1);
  job.begin(worker, right(1));
  const std::vector<Claims> claims = job.all_claims(honest);
  // The publisher shows one verification of three, so that there is no majority.
  job.settle_all(publisher, claims, [&](const AccountId& node) { return node == claims[0].commitment.signer; });
  village.next();
  EXPECT_EQ(village.attempt(job.reveal(claims[0])), "revealed-already");
  village.must(job.reveal(claims[1]));
  village.must(job.reveal(claims[2]));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(job.entry().accepted, 1U);
  EXPECT_EQ(village.balance(worker), 9'900U);
}

TEST(PaidWork, IsPaidAlthoughThePublisherVanishes) {
  Village village;
  Job job(village);
  job.begin(worker, right(2));
  const std::vector<Claims> claims = job.all_claims(honest);
  for (const Claims& one : claims)
    village.must(Anchor{.account = one.commitment.signer, .commitments = {bytes_of(one.commitment)}});
  village.next();
  village.must(
      Settle{.account = worker, .commitment = job.work.commitment.cid, .receipt = bytes_of(receipt_of(job.work))});
  for (const Claims& one : claims) village.must(job.reveal(one));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(job.entry().accepted, 2U);
  EXPECT_EQ(village.balance(worker), 9'000U + 1'800);
}

TEST(PaidWork, ACancellationComesTooLateForWhatIsAnchored) {
  Village village;
  Job job(village, 3);
  job.begin(worker, right(2));
  EXPECT_EQ(village.attempt(Refund{.account = worker, .intent = job.intent.cid}), "not-the-publisher");
  village.must(Refund{.account = publisher, .intent = job.intent.cid});
  // Both in one block.
  job.settle_all(worker, job.all_claims(honest));
  EXPECT_EQ(village.attempt(Refund{.account = publisher, .intent = job.intent.cid}), "escrow-closing");
  village.next();
  village.pass(29'500);
  village.pass(10'000);
  EXPECT_EQ(job.entry().accepted, 2U);
  EXPECT_TRUE(job.escrow().ended);
  EXPECT_EQ(village.balance(publisher), 9'000U - 1'800 - 198);  // The third went back.
  EXPECT_EQ(village.attempt(job.anchor(worker, {{2, 1}}, {finding_of(2)})), "escrow-closed");
}

TEST(PaidWork, ARefundComesAfterItsNotice) {
  Village village;
  Job job(village);
  village.must(job.lock());
  village.must(Refund{.account = publisher, .intent = job.intent.cid});
  village.next();
  village.must(job.anchor(worker, {{0, 1}}, {finding_of(0)}));  // Within the notice.
  village.next();
  village.pass(100'000);
  EXPECT_FALSE(job.escrow().ended);
  job.settle_all(worker, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_TRUE(job.escrow().ended);
  EXPECT_EQ(village.balance(publisher), 9'000U - 999);
}

TEST(PaidWork, AWorkerThatDoesNotRevealOwesThoseWhoWaited) {
  Village village;
  Job job(village, 1);
  job.begin(worker, right(1));
  for (const Claims& one : job.all_claims(honest))
    village.must(Anchor{.account = one.commitment.signer, .commitments = {bytes_of(one.commitment)}});
  village.next();
  const auto seats = job.seats();
  village.pass(200'000);
  ASSERT_EQ(job.entry().phase, WorkPhase::ended);
  EXPECT_EQ(job.entry().ending, WorkEnding::silent);
  for (const auto& [node, shards] : seats) EXPECT_EQ(village.balance(node), 9'033U);
  // As much as a lie: else it would be the way out for who does not like the draw.
  EXPECT_EQ(village.bonded(worker), bond - fee);
  EXPECT_EQ(job.escrow().held, fee);
  // Its shard is another's to do.
  village.must(job.anchor(nobody(12), {{0, 1}}, {finding_of(0)}));
}

TEST(PaidWork, ABondAtStakeStays) {
  Village village;
  Job job(village);
  village.must(job.lock());
  village.must(job.anchor(worker, {{0, 2}}, right(2)));
  EXPECT_EQ(village.attempt(Unbond{.account = worker, .amount = bond}), "bond-at-stake");
  EXPECT_EQ(village.attempt(Unbond{.account = worker, .amount = bond - 2 * fee + 1}), "bond-at-stake");
  village.must(Unbond{.account = worker, .amount = bond - 2 * fee});
}

// ---- time-outs

TEST(Timeouts, PassASeatToTheNext) {
  Village village;
  Job job(village, 1);
  job.begin(worker, right(1));
  const auto seats = job.seats();
  const AccountId dead = seats.begin()->first;
  std::vector<Claims> claims = job.all_claims(honest);
  claims.erase(claims.begin());
  EXPECT_EQ(village.attempt(job.settle(publisher, claims)), "seats-open");
  const Cid commitment = job.work.commitment.cid;
  EXPECT_EQ(village.attempt(Timeout{.account = village.founder(), .commitment = commitment, .failed = {dead}}),
            "not-a-party");
  EXPECT_EQ(village.attempt(Timeout{.account = publisher, .commitment = commitment, .failed = {publisher}}),
            "no-open-seat");
  EXPECT_EQ(village.attempt(Timeout{.account = publisher, .commitment = some_cid("x"), .failed = {dead}}),
            "unknown-work");
  village.must(Timeout{.account = publisher, .commitment = commitment, .failed = {dead}});
  EXPECT_EQ(village.attempt(Timeout{.account = worker, .commitment = commitment, .failed = {dead}}), "timed-out");
  village.next();
  // It has the time that the intent gives.
  EXPECT_EQ(village.attempt(job.settle(publisher, claims)), "seats-open");
  village.pass(12'000);
  village.must(Transfer{.account = publisher, .to = worker, .amount = 1});
  village.next();
  ASSERT_EQ(job.seats().size(), 3U);
  EXPECT_FALSE(job.seats().contains(dead));
  EXPECT_EQ(
      village.attempt(Anchor{
          .account = dead,
          .commitments = {bytes_of(job.claims(dead, {0}, [](std::uint32_t) { return finding_of(0); }).commitment)}}),
      "timed-out");
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(job.entry().accepted, 1U);
  EXPECT_EQ(village.balance(dead), 9'000U);
  EXPECT_EQ(village.bonded(dead), bond);
}

TEST(Timeouts, AreAnsweredByACommitment) {
  Village village;
  Job job(village, 1);
  job.begin(worker, right(1));
  const AccountId slow = job.seats().begin()->first;
  const Cid commitment = job.work.commitment.cid;
  village.must(Timeout{.account = worker, .commitment = commitment, .failed = {slow}});
  village.next();
  village.must(Anchor{.account = slow, .commitments = {bytes_of(job.all_claims(honest)[0].commitment)}});
  village.next();
  village.pass(60'000);
  village.must(Transfer{.account = publisher, .to = worker, .amount = 1});
  village.next();
  EXPECT_EQ(village.attempt(Timeout{.account = worker, .commitment = commitment, .failed = {slow}}), "timed-out");
  // It has its seat, and its vote.
  EXPECT_TRUE(job.seats().contains(slow));
}

// ---- disputes

TEST(Disputes, ThreeLiarsAreFoundByMore) {
  Village village(12);
  Job job(village, 1);
  job.begin(liar, {finding_of(77)});
  const auto lie = [](const AccountId&, std::uint32_t) { return finding_of(77); };
  job.settle_all(publisher, job.all_claims(lie));
  village.next();
  const auto accomplices = job.seats();
  EXPECT_EQ(village.attempt(Dispute{.account = publisher, .commitment = some_cid("x")}), "unknown-work");
  EXPECT_EQ(village.attempt(Dispute{.account = village.stranger(), .commitment = job.work.commitment.cid}),
            "not-a-member");
  village.must(Dispute{.account = publisher, .commitment = job.work.commitment.cid, .reason = "wrong"});
  EXPECT_EQ(village.attempt(Dispute{.account = publisher, .commitment = job.work.commitment.cid}), "not-disputable");
  village.next();
  village.next();
  ASSERT_EQ(job.entry().phase, WorkPhase::disputed);
  EXPECT_EQ(job.seats(1).size(), 7U);
  for (const auto& [node, shards] : job.seats(1)) EXPECT_FALSE(accomplices.contains(node));
  for (const Claims& one : job.all_claims(honest, 1)) {
    Settle both = job.reveal(one);
    both.commitments = {bytes_of(one.commitment)};
    village.must(both);
  }
  village.next();
  village.pass(200'000);
  EXPECT_EQ(job.entry().rejected, 1U);
  EXPECT_EQ(village.bonded(liar), bond - fee);
  for (const auto& [node, shards] : accomplices) EXPECT_EQ(village.balance(node), 9'000U);
  village.pass(600'000);
  EXPECT_EQ(village.balance(publisher), 9'000U);  // Its stake and its fee are back.
}

TEST(Disputes, InVainCostTheStake) {
  Village village(12);
  Job job(village, 1);
  job.begin(worker, right(1));
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  const AccountId doubter = nobody(22);
  const std::uint64_t before = village.balance(doubter);
  village.must(Dispute{.account = doubter, .commitment = job.work.commitment.cid});
  EXPECT_EQ(village.balance(doubter), before);
  village.next();
  EXPECT_EQ(village.balance(doubter), before - 100);
  village.next();
  std::uint64_t asked = 0;
  for (const Claims& one : job.all_claims(honest, 1)) {
    Settle both = job.reveal(one);
    both.commitments = {bytes_of(one.commitment)};
    village.must(both);
    ++asked;
  }
  village.next();
  village.pass(200'000);
  EXPECT_EQ(job.entry().accepted, 1U);
  EXPECT_EQ(asked, 7U);
  EXPECT_EQ(village.balance(worker), 9'900U);
  EXPECT_EQ(village.ledger().state().frame.totals.escrowed, 0U);
}

TEST(Disputes, WithoutAMajorityOthersAreAskedAndThenItIsRefunded) {
  Village village(12);
  Job job(village, 1);
  job.begin(worker, right(1));
  const auto seats = job.seats();
  std::uint64_t n = 100;
  const auto everybody_else = [&](const AccountId&, std::uint32_t) { return finding_of(++n); };
  job.settle_all(publisher, job.all_claims(everybody_else));
  village.next();
  village.pass(31'000);
  ASSERT_EQ(job.entry().phase, WorkPhase::disputed);
  for (const Claims& one : job.all_claims(everybody_else, 1)) {
    Settle both = job.reveal(one);
    both.commitments = {bytes_of(one.commitment)};
    village.must(both);
  }
  village.next();
  village.pass(700'000);
  EXPECT_EQ(job.entry().undecided, 1U);
  EXPECT_EQ(village.balance(publisher), 9'000U);
  EXPECT_EQ(village.bonded(worker), bond);
}

TEST(Disputes, AStackThatRanOutDecidesNothing) {
  Village village;
  Job job(village, 1);
  job.begin(worker, {exhausted_finding()});
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(700'000);
  EXPECT_EQ(job.entry().undecided, 1U);
  EXPECT_EQ(village.balance(publisher), 9'000U);
  EXPECT_EQ(village.bonded(worker), bond);
}

// ---- nobody to verify

TEST(Unverified, IsPaidByThePublishersWord) {
  Village village(2);
  Job job(village, 1);
  job.begin(worker, right(1));
  EXPECT_EQ(job.entry().draws[0].seats, 0U);
  Settle settle = job.settle(worker, {});
  EXPECT_EQ(village.attempt(settle), "verdict-missing");
  const verification::Verdict verdict{.intent = job.intent.cid,
                                      .shards = {{0, 1}},
                                      .decision = Decision::unverified,
                                      .receipt = receipt_of(job.work).cid};
  settle.verdict = bytes_of(unsigned_record(verdict, worker));
  EXPECT_EQ(village.attempt(settle), "verdict-of-another");
  settle.verdict = bytes_of(unsigned_record(verdict, publisher));
  village.must(settle);
  village.next();
  EXPECT_EQ(job.entry().ending, WorkEnding::by_publisher);
  EXPECT_EQ(village.balance(worker), 9'900U);
  EXPECT_EQ(village.balance(publisher), 9'000U - 900);
  EXPECT_TRUE(job.escrow().ended);
}

// ---- reputation

TEST(Reputation, IsEarnedByWhatThirdPartiesArePaidAndLostByALie) {
  Village village;
  const auto entry = [&](const AccountId& node) {
    const Reputation* found = village.ledger().state().tables.reputation.find(node);
    return found == nullptr ? reputation::Counters{} : reputation::Counters(*found);
  };
  Job job(village);
  job.begin(worker, right(2));
  const auto seats = job.seats();
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(entry(worker).execution, 2U * 99);
  EXPECT_EQ(entry(worker).timely, 2U * 99);
  EXPECT_EQ(entry(publisher), reputation::Counters{});
  for (const auto& [node, shards] : seats) EXPECT_EQ(entry(node).verification, 33 * shards.size());
  EXPECT_GT(village.ledger().state().tables.pairs.size(), 0U);

  Job lie(village, 1);
  lie.begin(liar, {finding_of(77)});
  lie.settle_all(publisher, lie.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(entry(liar).execution, 19U);  // A tenth is left.

  // A verifier that does not reveal has missed what it would have had.
  Job third(village, 1);
  third.begin(nobody(12), right(1));
  const AccountId silent = third.seats().begin()->first;
  const std::uint64_t before = entry(silent).missed;
  third.settle_all(publisher, third.all_claims(honest), [&](const AccountId& node) { return node != silent; });
  village.next();
  village.pass(40'000);
  EXPECT_EQ(entry(silent).missed, before + 33);
  // With the day the pairs are over.
  village.pass(reputation::epoch_ms);
  EXPECT_EQ(village.ledger().state().tables.pairs.size(), 0U);
}

TEST(Reputation, IsNotEarnedInTheFamilyOrWithoutVerifiers) {
  Village village(2);
  Job job(village, 1);
  job.begin(worker, right(1));
  Settle settle = job.settle(worker, {});
  settle.verdict = bytes_of(unsigned_record(verification::Verdict{.intent = job.intent.cid,
                                                                  .shards = {{0, 1}},
                                                                  .decision = Decision::unverified,
                                                                  .receipt = receipt_of(job.work).cid},
                                            publisher));
  village.must(settle);
  village.next();
  EXPECT_EQ(village.ledger().state().tables.reputation.find(worker)->execution, 0U);

  Village family;
  for (const AccountId& one : {publisher, worker}) {
    family.must(Admit{.account = family.founder(),
                      .node = one,
                      .roles = {Role::member, Role::worker, Role::verifier},
                      .owner = "did:key:hand"});
  }
  family.next();
  Job traded(family, 1);
  traded.begin(worker, right(1));
  traded.settle_all(publisher, traded.all_claims(honest));
  family.next();
  family.pass(40'000);
  EXPECT_EQ(traded.entry().accepted, 1U);
  EXPECT_EQ(family.ledger().state().tables.reputation.find(worker)->execution, 0U);
}

// ---- refusals

TEST(Lock, Refusals) {
  Village village;
  const auto changed = [&](const std::function<void(task::TaskIntent&)>& change, const AccountId& by = publisher) {
    Job job(village);
    task::TaskIntent intent = job.intent.record;
    change(intent);
    return village.attempt(Lock{.account = by, .intent = bytes_of(unsigned_record(intent, publisher))});
  };
  const auto as_it_is = [](task::TaskIntent&) {};
  EXPECT_EQ(changed(as_it_is, worker), "not-the-publisher");
  EXPECT_EQ(changed(as_it_is, village.stranger()), "not-a-member");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.fee = 0; }), "free-intent");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.fee = 29; }), "fee-too-small");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.limits.total_ms = 604'800'001; }), "too-long");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.fee = 5'000; }), "overdraft");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.fee = ~std::uint64_t{0}; }), "overflow");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.shards = 0; }), "bad-intent");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.policy = some_cid("other"); }), "other-policy");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.sample = 500; }), "sampled-intent");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.verifiers = 25; }), "bad-intent");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.created_ms += 600'001; }), "early-intent");
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.created_ms = -1; }), "taken");  // The village's clock began lately.
  village.pass(3'600'000);
  EXPECT_EQ(changed([](task::TaskIntent& one) { one.created_ms = 0; }), "stale-intent");
}

TEST(Anchor, Refusals) {
  Village village;
  Job job(village);
  EXPECT_EQ(village.attempt(job.anchor(worker, {{0, 1}}, {finding_of(0)})), "unknown-escrow");
  village.must(job.lock());
  EXPECT_EQ(village.attempt(job.anchor(publisher, {{0, 1}}, {finding_of(0)})), "own-work");
  EXPECT_EQ(village.attempt(job.anchor(village.founder(), {{0, 1}}, {finding_of(0)})), "role-missing");
  // Another's award, commitment or offer.
  Anchor anchor = job.anchor(worker, {{0, 1}}, {finding_of(0)});
  anchor.account = nobody(12);
  EXPECT_EQ(village.attempt(anchor), "award-of-another");
  const Anchor own = job.anchor(nobody(12), {{0, 1}}, {finding_of(0)});
  anchor = job.anchor(worker, {{0, 1}}, {finding_of(0)});
  anchor.commitments = own.commitments;
  EXPECT_EQ(village.attempt(anchor), "commitment-of-another");
  anchor = job.anchor(worker, {{0, 1}}, {finding_of(0)});
  anchor.commitments.push_back(anchor.commitments[0]);
  EXPECT_EQ(village.attempt(anchor), "shard-claimed");
  // A commitment to more than was awarded, or to what is not there.
  for (const auto& [shards, want] : {std::pair{task::ShardRange{0, 2}, "not-awarded"}, {{1, 9}, "bad-commitment"}}) {
    anchor = job.anchor(worker, {{0, 1}}, {finding_of(0)});
    receipt::Commitment more = job.work.commitment.record;
    more.shards = {shards};
    anchor.commitments = {bytes_of(unsigned_record(more, worker))};
    EXPECT_EQ(village.attempt(anchor), want);
  }
  // An award that nobody gave, or without its date; an offer over the fee.
  const auto with_award = [&](const PublicKey& by, bool dated, std::uint64_t cost) {
    const auto offer = unsigned_record(
        market::ComputeOffer{.intent = job.intent.cid, .cost = cost, .capacity = 4, .eta_ms = 1'000, .valid_ms = 1'000},
        worker);
    market::Award award{.intent = job.intent.cid, .roster = some_cid("roster"), .offer = offer.cid, .shards = {{0, 1}}};
    if (dated) award.given_ms = village.now();
    const auto signed_award = unsigned_record(award, by);
    const Claims claims = claims_of(
        {.intent = job.intent.cid, .node = worker, .basis = signed_award.cid, .shards = {{0, 1}}}, {finding_of(0)});
    return village.attempt(Anchor{.account = worker,
                                  .commitments = {bytes_of(claims.commitment)},
                                  .offer = bytes_of(offer),
                                  .award = bytes_of(signed_award)});
  };
  EXPECT_EQ(with_award(worker, true, 900), "not-the-publisher");
  EXPECT_EQ(with_award(publisher, false, 900), "award-undated");
  EXPECT_EQ(with_award(publisher, true, fee + 1), "over-fee");
  EXPECT_EQ(with_award(publisher, true, fee), "taken");
  EXPECT_EQ(with_award(publisher, true, fee), "work-exists");
  EXPECT_EQ(with_award(publisher, true, fee - 1), "shard-claimed");
}

TEST(Settle, Refusals) {
  Village village;
  Job job(village, 1);
  village.must(job.lock());
  village.must(job.anchor(worker, {{0, 1}}, right(1)));
  EXPECT_EQ(village.attempt(job.settle(worker, {})), "not-drawn-yet");
  village.next();
  village.next();
  EXPECT_EQ(village.attempt(
                Settle{.account = worker, .commitment = some_cid("x"), .receipt = bytes_of(receipt_of(job.work))}),
            "unknown-work");
  const std::vector<Claims> claims = job.all_claims(honest);
  // None, too few, and all but in the same block; then somebody else's receipt.
  EXPECT_EQ(village.attempt(job.settle(worker, {})), "seats-open");
  village.must(job.commitments(worker, {claims[0], claims[1]}));
  village.next();
  EXPECT_EQ(village.attempt(job.settle(worker, {})), "seats-open");
  village.must(job.commitments(worker, {claims[2]}));
  EXPECT_EQ(village.attempt(job.settle(worker, {})), "seats-open");
  village.next();
  Settle settle = job.settle(publisher, claims);
  settle.receipt = bytes_of(unsigned_record(receipt_of(job.work).record, nobody(12)));
  EXPECT_EQ(village.attempt(settle), "receipt-of-another");
  // The same again is no news, and another commitment to the same shard no second vote.
  EXPECT_EQ(village.attempt(job.commitments(publisher, {claims[0]})), "revealed-already");
  const AccountId first = claims[0].commitment.signer;
  const auto nine = [](std::uint32_t) { return finding_of(9); };
  EXPECT_EQ(village.attempt(job.commitments(publisher, {job.claims(first, {0}, nine)})), "answered-already");
  // Verifiers that drew themselves: the publisher, the worker and who has no role.
  for (const AccountId& self : {publisher, worker, village.founder()})
    EXPECT_EQ(village.attempt(job.commitments(publisher, {job.claims(self, {0}, nine)})), "not-drawn");
  // A verification of another's commitment, or before the worker has revealed.
  settle = job.settle(publisher, claims);
  settle.verifications[0] =
      bytes_of(unsigned_record(verification_of(claims[0], job.work).record, claims[1].commitment.signer));
  EXPECT_EQ(village.attempt(settle), "not-committed");
  EXPECT_EQ(village.attempt(job.reveal(claims[0])), "not-revealed");
  // One verification twice counts once.
  settle = job.settle(publisher, claims);
  settle.verifications.push_back(settle.verifications[0]);
  village.must(settle);
  EXPECT_EQ(village.attempt(job.settle(worker, {})), "revealed-already");
  // A commitment after the reveal.
  EXPECT_EQ(village.attempt(job.commitments(worker, {job.claims(first, {0}, nine)})), "late-commitment");
}

TEST(Settle, AnswersOfOneVerifierAreBounded) {
  Village village;
  Job job(village, 5);
  job.begin(worker, right(5));
  const AccountId eager = job.seats().begin()->first;
  std::size_t taken = 0;
  std::string last;
  for (std::uint32_t shard = 0; shard < 5 && taken == shard; ++shard) {
    const Claims one = job.claims(eager, {shard}, [](std::uint32_t n) { return finding_of(n); });
    last = village.attempt(Anchor{.account = eager, .commitments = {bytes_of(one.commitment)}});
    taken += last == "taken" ? 1U : 0U;
  }
  EXPECT_EQ(taken, max_answers_of_node);
  EXPECT_EQ(last, "answers-full");
}

// Its verifiers are drawn by the block in which the receipt comes: nobody can have committed before it.
TEST(Settle, RefusesAReceiptInTheBlockThatDraws) {
  Village village;
  Job job(village, 1);
  village.must(job.lock());
  village.must(job.anchor(worker, {{0, 1}}, right(1)));
  village.next();
  EXPECT_EQ(village.attempt(job.settle(worker, {})), "seats-open");
  village.next();
  EXPECT_EQ(job.entry().phase, WorkPhase::drawn);
}

// Its seat on one shard is filled, and the one on the other still waited for: that can be said, and pays it nothing.
TEST(Timeouts, AreForWhoAnsweredInPart) {
  Village village;
  Job job(village, 4);
  job.begin(worker, right(4));
  const auto seats = job.seats();
  const auto partial = std::ranges::find_if(seats, [](const auto& one) { return one.second.size() > 1; });
  ASSERT_NE(partial, seats.end());
  const Claims part = job.claims(partial->first, {partial->second[0]}, [](std::uint32_t n) { return finding_of(n); });
  village.must(Anchor{.account = partial->first, .commitments = {bytes_of(part.commitment)}});
  village.next();
  village.must(Timeout{.account = worker, .commitment = job.work.commitment.cid, .failed = {partial->first}});
  village.next();
  village.pass(200'000);
  EXPECT_EQ(job.entry().ending, WorkEnding::silent);
  EXPECT_EQ(village.balance(partial->first), 9'000U + 33);  // For the one shard; who did nothing has nothing.
}

TEST(PaidWork, AnAwardUnderWhichAWorkCameToNothingIsSpent) {
  Village village;
  Job job(village, 2);
  village.must(job.lock());
  const Anchor anchor = job.anchor(liar, {{0, 1}}, {finding_of(77)});
  village.must(anchor);
  village.next();
  village.next();
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.pass(40'000);
  EXPECT_EQ(job.entry().rejected, 1U);
  Anchor again = anchor;
  receipt::Commitment other = job.work.commitment.record;
  other.root = sha256({});
  again.commitments = {bytes_of(unsigned_record(other, liar))};
  EXPECT_EQ(village.attempt(again), "award-spent");
}

TEST(PaidWork, WhoTakesItsBondOutPaysAllTheSame) {
  Village village;
  Job job(village, 1);
  job.begin(worker, right(1));
  const std::vector<Claims> claims = job.all_claims(honest);
  const AccountId silent = claims[0].commitment.signer;
  job.settle_all(publisher, claims, [&](const AccountId& node) { return node != silent; });
  village.must(Unbond{.account = silent, .amount = bond});
  village.next();
  village.pass(40'000);
  EXPECT_EQ(village.ledger().account(silent)->unbonding()[0].amount, bond - 33);
}

TEST(Disputes, ThatNobodyAnswersChangeNothing) {
  Village village(12);
  Job job(village, 1);
  job.begin(worker, right(1));
  job.settle_all(publisher, job.all_claims(honest));
  village.next();
  village.must(Dispute{.account = publisher, .commitment = job.work.commitment.cid});
  village.next();
  village.next();
  village.pass(200'000);
  EXPECT_EQ(job.entry().accepted, 1U);
  EXPECT_EQ(village.balance(worker), 9'900U);
  EXPECT_EQ(village.balance(publisher), 9'000U - 999 - 100);  // The stake is gone.
}

// 65 works of 1,024 shards are more than one block draws for, and ends. What had to wait is over all the same.
TEST(PaidWork, IsOverAlsoWhereItsEndHasToWait) {
  Village village;
  village.must(Grant{.account = village.founder(), .to = publisher, .amount = 70'000'000});
  village.must(Grant{.account = village.founder(), .to = worker, .amount = 70'000'000});
  village.must(Bond{.account = worker, .amount = 70'000'000});
  Job large(village, 65 * 1'024, 0);
  village.must(large.lock());
  for (std::uint32_t n = 0; n < 65; ++n) village.must(large.anchor(worker, {{n * 1'024, 1'024}}, right(1'024)));
  Job small(village, 1);
  village.must(small.lock());
  village.must(small.anchor(worker, {{0, 1}}, right(1)));
  village.next();
  village.next();
  EXPECT_EQ(village.ledger().state().frame.undrawn.size(), 2U);
  village.next(82'200);
  ASSERT_EQ(small.entry().phase, WorkPhase::drawn);
  const std::vector<Claims> claims = small.all_claims(honest);
  village.must(Transfer{.account = village.founder(), .to = worker, .amount = 1});
  village.next();
  const AccountId verifier = claims[0].commitment.signer;
  EXPECT_EQ(village.attempt(Anchor{.account = verifier, .commitments = {bytes_of(claims[0].commitment)}}),
            "phase-over");
  EXPECT_EQ(village.attempt(small.commitments(worker, claims)), "phase-over");
  EXPECT_EQ(village.attempt(Timeout{.account = worker, .commitment = small.work.commitment.cid, .failed = {verifier}}),
            "phase-over");
  village.next();
  EXPECT_EQ(small.entry().phase, WorkPhase::drawn);
  village.next();
  EXPECT_EQ(small.entry().ending, WorkEnding::silent);
}

TEST(Settle, RefusesMoreFuelThanWasBought) {
  Village village;
  Job job(village, 1);
  job.begin(worker, {finding_of(0, 1'001)});
  village.must(
      job.commitments(worker, job.all_claims([](const AccountId&, std::uint32_t) { return finding_of(0, 1'001); })));
  village.next();
  EXPECT_EQ(village.attempt(job.settle(
                worker, job.all_claims([](const AccountId&, std::uint32_t) { return finding_of(0, 1'001); }))),
            "over-fuel");
}

// ---- the beacon

TEST(Beacon, DrawsAreOfTheBlockAfterTheAnchor) {
  Village village;
  const Digest secret = sha256(as_bytes("secret"));
  constexpr std::uint32_t length = 50;
  std::uint32_t round = 0;
  village.must(
      CommitChain{.account = village.founder(), .tip = verification::chain_link(secret, length, 0), .length = length});
  village.next();
  EXPECT_FALSE(village.propose().has_value());  // bad-link: zeros will not do any more.
  village.link = verification::chain_link(secret, length, 2);
  EXPECT_FALSE(village.propose().has_value());
  village.link = verification::chain_link(secret, length, ++round);

  Job job(village);
  village.must(job.lock());
  village.must(job.anchor(worker, {{0, 2}}, right(2)));
  EXPECT_EQ(village.attempt(CommitChain{.account = village.founder(), .tip = secret, .length = 1}), "chain-unfinished");
  EXPECT_EQ(village.attempt(CommitChain{.account = worker, .tip = secret, .length = 1}), "role-missing");
  village.next();
  const Digest before = village.ledger().state().frame.beacon;
  village.link = verification::chain_link(secret, length, ++round);
  village.next();  // Empty: nothing but the beacon was wanted.
  EXPECT_FALSE(village.ledger().wants_empty_block(village.now()));
  const WorkDraw& draw = job.entry().draws[0];
  EXPECT_EQ(draw.beacon, tagged_hash("meshwork/1/beacon", {before.view(), village.link.view()}));
  EXPECT_EQ(draw.height, village.ledger().height());

  // Who knows the members draws the same.
  std::vector<verification::Member> eligible;
  for (std::uint64_t n = 11; n < 17; ++n) eligible.push_back({.node = nobody(n), .owner = {}, .weight = 1});
  std::ranges::sort(eligible, {}, &verification::Member::node);
  EXPECT_EQ(draw.eligible, eligible_digest(eligible));
  const WorkDraw again = draw_verifiers(job.entry(), eligible, {.node = worker, .owner = {}},
                                        {.node = publisher, .owner = {}}, {}, draw.beacon, 3, 3);
  EXPECT_EQ(again.order, draw.order);
  EXPECT_EQ(again.nodes, draw.nodes);
  const WorkDraw other = draw_verifiers(job.entry(), eligible, {.node = worker, .owner = {}},
                                        {.node = publisher, .owner = {}}, {}, before, 3, 3);
  EXPECT_NE(other.order, draw.order);
}

}  // namespace
}  // namespace mesh::ledger
