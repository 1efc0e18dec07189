// A paid task in virtual time, among real nodes over a real ledger with four validators: its bundle proves the payment, and says by name
// what is wrong with it once somebody has changed something.
#include "chain/payment.h"

#include <gtest/gtest.h>

#include "chain/certificate_testing.h"
#include "domain/verification/alone.h"
#include "node/ledger_testing.h"

namespace mesh::chain {
namespace {

using ledger::CertifiedEntry;
using ledger::PaymentPart;
using ledger::PaymentProof;
using ledger::ProofBlocks;
using ledger::WorkLinks;
using node::LedgerTown;

constexpr std::uint64_t fee = 1'000;
constexpr std::uint32_t shards = 2;
constexpr std::string_view not_proven = "payment: not proven: ";

/// What is in a bundle of the ledger, as a test changes it.
struct Proof {
  PaymentProof root;
  ProofBlocks blocks;

  [[nodiscard]] const Bytes& at(const Cid& cid) const { return *blocks.at(cid); }
  template <class T>
  [[nodiscard]] T read(const Cid& cid) const {
    Result<T> read = record::decode<T>(at(cid));
    EXPECT_TRUE(read) << (read ? "" : read.error().message);
    return std::move(*read);
  }
  Cid put(Multicodec codec, Bytes bytes) {
    const Cid cid = Cid::of(codec, bytes);
    blocks.insert_or_assign(cid, std::make_shared<const Bytes>(std::move(bytes)));
    return cid;
  }
  template <record::Typed T>
  Cid put(const T& value) {
    return put(Multicodec::dag_cbor, record::encode(value));
  }
  /// Replaces what a link leads to by what `change` makes of it.
  template <class T, class Change>
  void edit(std::optional<Cid>& link, const Change& change) {
    T value = read<T>(*link);
    change(value);
    link = put(value);
  }
};

class PaymentTest : public ::testing::Test {
 protected:
  /// One task, to the end of its escrow.
  void pay() {
    job = town.submit(shards, fee);
    ASSERT_TRUE(town.run_until([&] { return town.escrow(job) != nullptr && town.escrow(job)->ended; })) << town.story();
    ASSERT_TRUE(town.run_until([&] { return town.job(job).phase == node::JobPhase::done; })) << town.story();
  }
  [[nodiscard]] Proof gathered(bool with_standing = false) {
    PaymentPart part = town.node(1).payment_part(job);
    if (with_standing) part.take(town.gatherer().standing(town.ledger().state(), job));
    std::erase_if(part.works, [](const auto& work) { return !work.second.now; });
    Proof proof{.root = part.links(), .blocks = part.blocks};
    town.gatherer().add_hops(proof.root, proof.blocks);
    return proof;
  }
  [[nodiscard]] Bytes bundle(const verification::PaidPart* payment) {
    return verification::build_bundle(town.ledger().federation(), {}, job, town.node(1).story(job), {}, payment);
  }
  [[nodiscard]] verification::PaidPart part_of(const Proof& proof) const {
    PaymentProof root = proof.root;
    std::ranges::sort(root.works, {}, &WorkLinks::commitment);
    return ledger::paid_part(root, proof.blocks, town.charter(), town.genesis());
  }
  [[nodiscard]] Bytes bundle(const Proof& proof) {
    const verification::PaidPart part = part_of(proof);
    return bundle(&part);
  }
  struct Checked {
    Result<verification::ProofReport> proof;
    std::optional<ledger::PaymentReport> payment;
  };
  [[nodiscard]] static Checked checked(const Bytes& car) {
    ledger::PaymentCheck check(certifier());
    Result<verification::ProofReport> proof = verification::verify_bundle(car, &check);
    return {std::move(proof), check.report()};
  }
  /// The name of what is wrong with it; empty where nothing is.
  [[nodiscard]] static std::string wrong(const Bytes& car) {
    const Checked found = checked(car);
    if (found.proof) return {};
    const std::string& text = found.proof.error().message;
    if (!text.starts_with(not_proven)) return text;
    return text.substr(not_proven.size(), text.find(':', not_proven.size()) - not_proven.size());
  }
  [[nodiscard]] std::string wrong(const Proof& proof) { return wrong(bundle(proof)); }

  /// An entry at a block of the same height, as validators would certify it who are all of one hand: it is the only one of its table.
  template <class Entry>
  Cid lie(Proof& proof, const Cid& link, const Entry& entry, std::optional<Cid> parent = {}) const {
    CertifiedEntry shown = proof.read<CertifiedEntry>(link);
    ledger::BlockHeader header = proof.read<ledger::BlockHeader>(shown.header);
    ledger::StateSummary summary = *record::decode<ledger::StateSummary>(shown.proof.summary);
    const Bytes bytes = record::encode(entry);
    const Digest place = Entry::place_of(entry.key());
    (std::same_as<Entry, ledger::Work> ? summary.roots.works : summary.roots.escrows) =
        ledger::leaf_hash(place, sha256(bytes));
    shown.proof.summary = record::encode(summary);
    shown.proof.entry = bytes;
    shown.proof.proof = {.beside = {}, .end = ledger::MapProof::End{place, sha256(bytes)}};
    header.state_root = ledger::root_of(summary);
    if (parent) header.parents = {*parent};
    shown.header = proof.put(header);
    shown.certificate = proof.put(Multicodec::raw,
                                  certify(town.ledger().federation(), header.height, shown.header.digest(), {0, 1, 2}));
    return proof.put(shown);
  }
  template <class Entry>
  [[nodiscard]] static Entry entry_at(const Proof& proof, const Cid& link) {
    return *record::decode<Entry>(*proof.read<CertifiedEntry>(link).proof.entry);
  }

  std::vector<std::uint64_t> deciders{0, 1, 2};
  LedgerTown town{{.validators = 4, .certifies = [this](const Cid& federation, const ledger::BlockHeader& header) {
                     return certify(federation, header.height, dagcbor::cid_of(record::encode(header)).digest(),
                                    deciders);
                   }}};
  Cid job;
};

TEST_F(PaymentTest, WhereEverybodysKeyIsAnotherOneByThen) {
  for (std::uint8_t n = 1; n <= 6; ++n) town.rotate(n);
  town.pass(seconds(3));
  for (std::uint8_t n = 1; n <= 6; ++n) town.start_again(n);
  pay();
  EXPECT_EQ(wrong(gathered()), "");
  EXPECT_EQ(wrong(gathered(true)), "");
  const Checked found = checked(bundle(gathered()));
  ASSERT_TRUE(found.payment);
  EXPECT_TRUE(found.payment->complete);
  EXPECT_GT(found.payment->verifiers, 0U);
}

TEST_F(PaymentTest, ABundleShowsWhatWasLockedPaidAndGivenBack) {
  pay();
  const Bytes car = bundle(gathered());
  const Checked found = checked(car);
  ASSERT_TRUE(found.proof) << found.proof.error().message;
  EXPECT_EQ(found.proof->count(verification::Decision::accepted), shards);
  for (const verification::ShardProof& shard : found.proof->shards) EXPECT_GE(shard.seats.size(), 2U);
  ASSERT_TRUE(found.payment);
  const ledger::PaymentReport& payment = *found.payment;
  EXPECT_TRUE(payment.escrow.ended);
  EXPECT_TRUE(payment.complete);
  EXPECT_EQ(payment.locked, fee * shards);
  EXPECT_EQ(payment.worker + payment.verifiers + payment.treasury + payment.refunded, payment.locked);
  EXPECT_GT(payment.worker, 0U);
  EXPECT_GT(payment.verifiers, 0U);
  EXPECT_LE(payment.verifiers, payment.locked / 10);
  EXPECT_LE(payment.block.height, town.ledger().height());
  EXPECT_EQ(payment.block.signers, 3U);
  EXPECT_EQ(payment.block.validators, 4U);
  EXPECT_EQ(payment.block.power, 3U);
  EXPECT_EQ(payment.block.total_power, 4U);
  std::uint32_t drawings = 0;
  for (const ledger::ProvenWork& work : payment.works) drawings += work.drawings;
  EXPECT_EQ(drawings, payment.works.size());
  // What the publisher lost is what others got.
  EXPECT_EQ(LedgerTown::credits - town.balance(1), payment.worker + payment.verifiers + payment.treasury);
}

TEST_F(PaymentTest, EachShardCanBeProvenAlone) {
  pay();
  ledger::PaymentCheck check(certifier());
  const auto each = verification::verify_each_shard(bundle(gathered()), &check);
  ASSERT_TRUE(each) << each.error().message;
  EXPECT_EQ(each->shards, shards);
  ASSERT_TRUE(check.report());
  EXPECT_TRUE(check.report()->complete) << "the report is of the whole";
}

TEST_F(PaymentTest, AProofOutlivesARestart) {
  pay();
  const Proof before = gathered();
  town.stop(1);
  town.start(1);
  const Proof after = gathered();
  EXPECT_EQ(after.root, before.root);
  EXPECT_EQ(wrong(after), "");
}

TEST_F(PaymentTest, BeforeTheEndItSaysHowFarItGot) {
  job = town.submit(shards, fee);
  ASSERT_TRUE(town.run_until([&] { return town.escrow(job) != nullptr; }));
  Checked found = checked(bundle(gathered(true)));
  ASSERT_TRUE(found.proof) << found.proof.error().message;
  EXPECT_EQ(found.payment->escrow.held, fee * shards);
  EXPECT_TRUE(found.payment->works.empty());
  EXPECT_EQ(found.payment->worker + found.payment->refunded, 0U);

  const auto is_revealed = [](const ledger::Work& work) { return work.phase == ledger::WorkPhase::revealed; };
  ASSERT_TRUE(town.run_until([&] {
    return std::ranges::any_of(town.works(), is_revealed) && town.job(job).escrow->ahead == 0;
  })) << town.story();
  found = checked(bundle(gathered(true)));
  ASSERT_TRUE(found.proof) << found.proof.error().message;
  const auto revealed =
      std::ranges::find_if(found.payment->works, [&](const auto& one) { return is_revealed(one.work); });
  ASSERT_NE(revealed, found.payment->works.end());
  EXPECT_EQ(revealed->drawings, 1U);
  EXPECT_GT(revealed->work.due_ms, town.wall()) << "until then it may be disputed";
  EXPECT_EQ(found.payment->escrow.held, fee * shards);
}

TEST_F(PaymentTest, NothingOfTheLedgerIsNoProof) {
  pay();
  EXPECT_EQ(wrong(bundle(nullptr)), "payment-missing");
  const Bytes car = bundle(gathered());
  const auto unread = verification::verify_bundle(car);
  ASSERT_FALSE(unread);
  EXPECT_TRUE(unread.error().message.starts_with("payment: not proven: payment-unread:")) << unread.error().message;
  Proof without = gathered();
  without.root.escrow.reset();
  EXPECT_EQ(wrong(without), "escrow-missing");
  without = gathered();
  without.root.works.erase(without.root.works.begin());
  EXPECT_EQ(wrong(without), "work-missing");
  without = gathered();
  without.root.works[0].now.reset();
  EXPECT_EQ(wrong(without), "work-missing");
  without = gathered();
  without.root.works[0].before.reset();
  EXPECT_EQ(wrong(without), "before-missing");
  without = gathered();
  without.root.works[0].drawn.reset();
  EXPECT_EQ(wrong(without), "draw-missing");
  Proof twice = gathered();
  twice.root.works.push_back(twice.root.works.back());
  EXPECT_EQ(wrong(twice), "work-twice");
}

TEST_F(PaymentTest, EachBlockOfItIsNeeded) {
  pay();
  const Proof proof = gathered();
  verification::PaidPart part = part_of(proof);
  for (std::size_t cut = 0; cut < part.blocks.size(); ++cut) {
    if (part.blocks[cut].cid == part.root) continue;
    verification::PaidPart shorter = part;
    shorter.blocks.erase(shorter.blocks.begin() + static_cast<std::ptrdiff_t>(cut));
    EXPECT_EQ(wrong(bundle(&shorter)), "payment-cut") << cut;
  }
  part.blocks.push_back({Cid::of(Multicodec::raw, Bytes{1}), Bytes{1}});
  EXPECT_EQ(wrong(bundle(&part)), "the bundle carries blocks that nothing in it names");
}

TEST_F(PaymentTest, EachFieldOfABlockCounts) {
  pay();
  const Proof good = gathered();
  const auto with_header = [&](const auto& change) {
    Proof proof = good;
    proof.edit<CertifiedEntry>(proof.root.escrow, [&](CertifiedEntry& entry) {
      ledger::BlockHeader header = proof.read<ledger::BlockHeader>(entry.header);
      change(header);
      entry.header = proof.put(header);
    });
    return wrong(proof);
  };
  using ledger::BlockHeader;
  EXPECT_EQ(with_header([](BlockHeader&) {}), "") << "else what follows says nothing";
  EXPECT_EQ(with_header([](BlockHeader& header) { ++header.height; }), "wrong-state-root");
  EXPECT_EQ(with_header([](BlockHeader& header) { header.state_root.data()[0] ^= 1; }), "wrong-state-root");
  EXPECT_EQ(with_header([](BlockHeader& header) { ++header.time_ms; }), "wrong-certificate");
  EXPECT_EQ(with_header([](BlockHeader& header) { header.proposer = testing::node(1); }), "wrong-certificate");
  EXPECT_EQ(with_header([](BlockHeader& header) { header.parents.clear(); }), "wrong-certificate");
  EXPECT_EQ(with_header([&](BlockHeader& header) { header.transactions = job; }), "wrong-certificate");
  EXPECT_EQ(with_header([](BlockHeader& header) { header.beacon.data()[0] ^= 1; }), "wrong-certificate");
  const auto with_summary = [&](const auto& change) {
    Proof proof = good;
    proof.edit<CertifiedEntry>(proof.root.escrow, [&](CertifiedEntry& entry) {
      auto summary = *record::decode<ledger::StateSummary>(entry.proof.summary);
      change(summary);
      entry.proof.summary = record::encode(summary);
    });
    return wrong(proof);
  };
  using ledger::StateSummary;
  EXPECT_EQ(with_summary([](StateSummary&) {}), "");
  EXPECT_EQ(with_summary([](StateSummary& summary) { ++summary.totals.treasury; }), "wrong-state-root");
  EXPECT_EQ(with_summary([&](StateSummary& summary) { summary.validators = job; }), "wrong-state-root");
}

TEST_F(PaymentTest, EachFieldOfAnEntryCounts) {
  pay();
  const Proof good = gathered();
  const auto with_escrow = [&](const auto& change) {
    Proof proof = good;
    proof.edit<CertifiedEntry>(proof.root.escrow, [&](CertifiedEntry& entry) {
      auto escrow = *record::decode<ledger::Escrow>(*entry.proof.entry);
      change(escrow);
      entry.proof.entry = record::encode(escrow);
    });
    return wrong(proof);
  };
  using ledger::Escrow;
  EXPECT_EQ(with_escrow([](Escrow&) {}), "");
  const std::vector<std::function<void(Escrow&)>> of_escrow{
      [](Escrow& escrow) { escrow.intent = Cid::of(Multicodec::raw, {}); },
      [](Escrow& escrow) { escrow.publisher = testing::node(2); },
      [](Escrow& escrow) { escrow.signer = testing::node(2); },
      [](Escrow& escrow) { escrow.owner = "x"; },
      [](Escrow& escrow) { ++escrow.shards; },
      [](Escrow& escrow) { ++escrow.fee; },
      [](Escrow& escrow) { ++escrow.held; },
      [](Escrow& escrow) { ++escrow.verifiers; },
      [](Escrow& escrow) { ++escrow.paid; },
      [](Escrow& escrow) { ++escrow.closes_ms; },
      [](Escrow& escrow) { escrow.ended = false; }};
  for (std::size_t i = 0; i < of_escrow.size(); ++i)
    EXPECT_EQ(with_escrow(of_escrow[i]), "proof-of-another-value") << i;

  const auto with_work = [&](std::optional<Cid> WorkLinks::* which, const auto& change) {
    Proof proof = good;
    proof.edit<CertifiedEntry>(proof.root.works[0].*which, [&](CertifiedEntry& entry) {
      auto work = *record::decode<ledger::Work>(*entry.proof.entry);
      change(work);
      entry.proof.entry = record::encode(work);
    });
    return wrong(proof);
  };
  using ledger::Work;
  EXPECT_EQ(with_work(&WorkLinks::now, [](Work&) {}), "");
  const std::vector<std::function<void(Work&)>> of_end{
      [](Work& work) { ++work.accepted; },          [](Work& work) { ++work.rejected; },
      [](Work& work) { ++work.payouts[0].amount; }, [](Work& work) { work.payouts[0].account = testing::node(1); },
      [](Work& work) { ++work.to_treasury; },       [](Work& work) { work.worker = testing::node(1); },
      [](Work& work) { work.receipt.reset(); },     [](Work& work) { work.ending.reset(); }};
  for (std::size_t i = 0; i < of_end.size(); ++i)
    EXPECT_EQ(with_work(&WorkLinks::now, of_end[i]), "proof-of-another-value") << i;
  const std::vector<std::function<void(Work&)>> of_before{
      [](Work& work) { ++work.cost; },
      [](Work& work) { ++work.draws[0].seats; },
      [](Work& work) { work.draws[0].order[1] ^= 1; },
      [](Work& work) { work.draws[0].beacon.data()[0] ^= 1; },
      [](Work& work) { ++work.draws[0].weights[0]; },
      [](Work& work) { work.answers.pop_back(); },
      [](Work& work) { work.answers[0].revealed = !work.answers[0].revealed; },
      [](Work& work) { work.findings[0] ^= 1; }};
  for (std::size_t i = 0; i < of_before.size(); ++i)
    EXPECT_EQ(with_work(&WorkLinks::before, of_before[i]), "proof-of-another-value") << i;
}

TEST_F(PaymentTest, AProofIsOfOneEntryAndOneRoot) {
  pay();
  const Proof good = gathered();
  Proof proof = good;
  proof.root.escrow = proof.root.works[0].now;
  EXPECT_EQ(wrong(proof), "proof-of-another-table");
  proof = good;
  proof.edit<CertifiedEntry>(proof.root.escrow, [](CertifiedEntry& entry) { entry.proof.entry.reset(); });
  EXPECT_EQ(wrong(proof), "proof-of-presence");
  proof = good;
  proof.edit<CertifiedEntry>(proof.root.escrow,
                             [](CertifiedEntry& entry) { entry.proof.proof.end->place.data()[0] ^= 1; });
  EXPECT_EQ(wrong(proof), "proof-of-another-entry");
  proof = good;
  proof.edit<CertifiedEntry>(proof.root.escrow, [](CertifiedEntry& entry) { entry.proof.proof.beside.emplace_back(); });
  EXPECT_EQ(wrong(proof), "proof-of-another-root");
  // The entry of another commitment under this one's name.
  proof = good;
  proof.root.works[0].commitment = Cid::of(Multicodec::dag_cbor, Bytes{});
  EXPECT_EQ(wrong(proof), "proof-of-another-entry");
  proof = good;
  proof.root.escrow = proof.put(Multicodec::dag_cbor, record::encode(town.genesis()));
  EXPECT_EQ(wrong(proof), "bad-payment");
}

TEST_F(PaymentTest, ACertificateIsOfMoreThanTwoThirdsEachOnce) {
  pay();
  const Proof good = gathered();
  const Cid federation = town.ledger().federation();
  const auto with_certificate = [&](const auto& made) {
    Proof proof = good;
    proof.edit<CertifiedEntry>(proof.root.escrow, [&](CertifiedEntry& entry) {
      const auto header = proof.read<ledger::BlockHeader>(entry.header);
      entry.certificate = proof.put(Multicodec::raw, made(header.height, entry.header.digest()));
    });
    return wrong(proof);
  };
  const auto signed_by = [&](std::vector<std::uint64_t> people) {
    return with_certificate(
        [&](Height height, const Digest& block) { return certify(federation, height, block, people); });
  };
  EXPECT_EQ(signed_by({0, 1, 2}), "");
  EXPECT_EQ(signed_by({1, 2, 3}), "");
  EXPECT_EQ(signed_by({0, 1}), "certificate") << "two of four are too few";
  EXPECT_EQ(signed_by({0, 1, 1}), "certificate") << "one counts once";
  EXPECT_EQ(signed_by({0, 1, 100}), "certificate") << "who is no validator does not count";
  EXPECT_EQ(
      with_certificate([&](Height height, const Digest&) { return certify(federation, height, Digest{}, {0, 1, 2}); }),
      "wrong-certificate");
  EXPECT_EQ(with_certificate(
                [&](Height height, const Digest& block) { return certify(federation, height + 1, block, {0, 1, 2}); }),
            "wrong-certificate");
  EXPECT_EQ(
      with_certificate([&](Height height, const Digest& block) { return certify(job, height, block, {0, 1, 2}); }),
      "certificate")
      << "of another federation";
  EXPECT_EQ(with_certificate([&](Height height, const Digest& block) {
              Bytes bytes = certify(federation, height, block, {0, 1, 2});
              bytes.back() ^= 1;
              return bytes;
            }),
            "certificate");
  EXPECT_EQ(with_certificate([](Height, const Digest&) { return Bytes{}; }), "certificate");
}

TEST_F(PaymentTest, AnotherFederationsProofIsNone) {
  pay();
  const Proof proof = gathered();
  verification::PaidPart part = part_of(proof);
  ledger::PaymentCheck check(certifier());
  const auto judged = [&](const identity::Charter& charter, const ledger::Genesis& genesis) {
    const Bytes charter_bytes = record::encode(charter);
    const Bytes genesis_bytes = record::encode(genesis);
    const Cid federation = dagcbor::cid_of(charter_bytes);
    std::map<Cid, const Bytes*> blocks;
    for (const car::Block& block : part.blocks) blocks.emplace(block.cid, &block.bytes);
    blocks.emplace(federation, &charter_bytes);
    blocks.emplace(dagcbor::cid_of(genesis_bytes), &genesis_bytes);
    const Checked good = checked(bundle(proof));
    const auto result = check.judge(
        {.federation = federation, .intent = good.proof->intent, .policy = {}, .payment = part.root, .blocks = blocks});
    return result ? std::string() : result.error().message.substr(0, result.error().message.find(':'));
  };
  EXPECT_EQ(judged(town.charter(), town.genesis()), "");
  // Of the same validators.
  EXPECT_EQ(judged(ledger::charter_of("village", policy::cid_of({}), town.genesis()), town.genesis()),
            "another-federation");
  identity::Charter without = town.charter();
  without.ledger.reset();
  EXPECT_EQ(judged(without, town.genesis()), "bad-founding");
  ledger::Genesis lame = town.genesis();
  lame.founders.clear();
  EXPECT_EQ(judged(ledger::charter_of("town", policy::cid_of({}), lame), lame), "bad-founding");
}

TEST_F(PaymentTest, TheDrawIsMadeAgain) {
  pay();
  const Proof good = gathered();
  const auto with_basis = [&](const auto& change) {
    Proof proof = good;
    proof.edit<ledger::DrawBasis>(proof.root.works[0].drawn, [&](ledger::DrawBasis& basis) { change(proof, basis); });
    return wrong(proof);
  };
  using ledger::DrawBasis;
  EXPECT_EQ(with_basis([](Proof&, DrawBasis&) {}), "");
  EXPECT_EQ(with_basis([](Proof& proof, DrawBasis& basis) {
              auto eligible = *ledger::read_eligible(proof.at(basis.eligible[0]));
              ++eligible[0].weight;
              basis.eligible[0] = proof.put(Multicodec::raw, ledger::eligible_bytes(eligible));
            }),
            "wrong-eligible");
  EXPECT_EQ(with_basis([](Proof&, DrawBasis& basis) { basis.eligible.clear(); }), "wrong-eligible");
  EXPECT_EQ(with_basis([](Proof& proof, DrawBasis& basis) {
              auto header = proof.read<ledger::BlockHeader>(basis.header);
              ++header.time_ms;
              basis.header = proof.put(header);
            }),
            "wrong-draw");
  EXPECT_EQ(with_basis([](Proof&, DrawBasis& basis) { basis.worker.proof.beside.pop_back(); }),
            "proof-of-another-root");
  // Validators who draw as they like, and certify it.
  const Cid before_link = *good.root.works[0].before;
  const Cid now_link = *good.root.works[0].now;
  const auto with_draw = [&](const auto& change) {
    Proof proof = good;
    auto before = entry_at<ledger::Work>(proof, before_link);
    change(before.draws[0]);
    proof.root.works[0].before = lie(proof, before_link, before);
    const Cid parent = proof.read<CertifiedEntry>(*proof.root.works[0].before).header;
    proof.root.works[0].now = lie(proof, now_link, entry_at<ledger::Work>(proof, now_link), parent);
    return wrong(proof);
  };
  using ledger::WorkDraw;
  EXPECT_EQ(with_draw([](WorkDraw&) {}), "") << "a lie that changes nothing is none";
  EXPECT_EQ(with_draw([](WorkDraw& draw) { std::swap(draw.order[1], draw.order[3]); }), "wrong-draw");
  // Three verifiers and two shards have 36 orders: another beacon may come to the same one.
  std::size_t refused = 0;
  for (unsigned bit = 0; bit < 8; ++bit)
    refused += with_draw([bit](WorkDraw& draw) {
                 draw.beacon.data()[0] = static_cast<std::uint8_t>(draw.beacon.data()[0] ^ (1U << bit));
               }) == "wrong-draw"
                   ? 1U
                   : 0U;
  EXPECT_GE(refused, 6U);
  EXPECT_EQ(with_draw([](WorkDraw& draw) { ++draw.weights[0]; }), "wrong-draw");
  EXPECT_EQ(with_draw([](WorkDraw& draw) { ++draw.height; }), "wrong-draw");
  EXPECT_EQ(with_draw([](WorkDraw& draw) { --draw.seats; }), "wrong-draw");
  EXPECT_EQ(with_draw([](WorkDraw& draw) { draw.order[0] = 0xff; }), "bad-payment") << "places that nobody has";
}

TEST_F(PaymentTest, WhatAWorkCameToIsSettledAgain) {
  pay();
  const Proof good = gathered();
  const Cid now_link = *good.root.works[0].now;
  const auto with_end = [&](const auto& change) {
    Proof proof = good;
    auto now = entry_at<ledger::Work>(proof, now_link);
    change(now);
    proof.root.works[0].now = lie(proof, now_link, now);
    return wrong(proof);
  };
  using ledger::Work;
  EXPECT_EQ(with_end([](Work&) {}), "");
  EXPECT_EQ(with_end([](Work& work) { ++work.payouts[0].amount; }), "wrong-payout");
  EXPECT_EQ(with_end([](Work& work) { work.payouts.clear(); }), "wrong-payout");
  EXPECT_EQ(with_end([](Work& work) { work.ending = ledger::WorkEnding::silent; }), "wrong-settlement");
  EXPECT_EQ(with_end([](Work& work) { work.ending = ledger::WorkEnding::by_publisher; }), "wrong-settlement");
  EXPECT_EQ(with_end([](Work& work) {
              --work.accepted;
              ++work.rejected;
            }),
            "wrong-settlement");
  EXPECT_EQ(with_end([](Work& work) { work.worker = testing::node(1); }), "wrong-settlement");
  EXPECT_EQ(with_end([&](Work& work) { work.intent = Cid::of(Multicodec::dag_cbor, Bytes{}); }), "work-of-another");
  // Another block before the end than the one before.
  Proof proof = good;
  auto before = entry_at<Work>(proof, *proof.root.works[0].before);
  ++before.due_ms;
  proof.root.works[0].before = lie(proof, *proof.root.works[0].before, before);
  EXPECT_EQ(wrong(proof), "not-adjacent");
  // What the escrow says of all works together.
  proof = good;
  auto escrow = entry_at<ledger::Escrow>(proof, *proof.root.escrow);
  escrow.paid = 0;
  proof.root.escrow = lie(proof, *proof.root.escrow, escrow);
  EXPECT_EQ(wrong(proof), "escrow-older");
  proof = good;
  escrow.paid = shards;
  escrow.held = fee * shards;
  proof.root.escrow = lie(proof, *proof.root.escrow, escrow);
  EXPECT_EQ(wrong(proof), "wrong-payout");
  escrow.held = 0;
  escrow.fee = 2 * fee;
  proof.root.escrow = lie(proof, *good.root.escrow, escrow);
  EXPECT_EQ(wrong(proof), "escrow-of-another");
}

TEST_F(PaymentTest, WhatStoodEarlierIsNotWhatCameOfIt) {
  job = town.submit(shards, fee);
  const auto is_revealed = [](const ledger::Work& work) { return work.phase == ledger::WorkPhase::revealed; };
  ASSERT_TRUE(town.run_until([&] { return std::ranges::any_of(town.works(), is_revealed); })) << town.story();
  const PaymentPart earlier = town.gatherer().standing(town.ledger().state(), job);
  ASSERT_TRUE(town.run_until([&] { return town.escrow(job)->ended; })) << town.story();
  ASSERT_TRUE(town.run_until([&] { return town.job(job).phase == node::JobPhase::done; })) << town.story();
  // The escrow as it was, with works that ended.
  Proof proof = gathered();
  EXPECT_EQ(wrong(proof), "");
  proof.blocks.insert(earlier.blocks.begin(), earlier.blocks.end());
  const Proof good = proof;
  proof.root.escrow = earlier.escrow;
  EXPECT_EQ(wrong(proof), "escrow-older");
  // A work as it was, with the escrow that ended.
  proof = good;
  const auto revealed = std::ranges::find_if(
      earlier.works, [&](const auto& entry) { return is_revealed(entry_at<ledger::Work>(good, *entry.second.now)); });
  ASSERT_NE(revealed, earlier.works.end());
  WorkLinks& links = *std::ranges::find(proof.root.works, revealed->first, &WorkLinks::commitment);
  links.now = revealed->second.now;
  EXPECT_EQ(wrong(proof), "bad-payment") << "what has not ended has nothing before it";
  links.before.reset();
  EXPECT_EQ(wrong(proof), "works-open");
}

TEST_F(PaymentTest, ChangesOfTheValidatorsAreFollowed) {
  pay();
  const Cid first = job;
  const Proof old = gathered();
  const std::uint64_t from = town.ledger().height() + 3;
  town.offer(0, ledger::SetValidators{.from_height = from, .validators = {{ledger::person(0).id, 1}}});
  town.pass(seconds(2));
  while (town.ledger().height() + 1 < from) {
    town.offer(0, ledger::Grant{.to = ledger::person(1).id, .amount = 1, .reason = "time"});
    town.pass(seconds(2));
  }
  deciders = {0};
  job = town.submit(shards, fee);
  ASSERT_TRUE(town.run_until([&] { return town.escrow(job) != nullptr && town.escrow(job)->ended; })) << town.story();
  ASSERT_TRUE(town.run_until([&] { return town.job(job).phase == node::JobPhase::done; })) << town.story();
  const Proof good = gathered();
  ASSERT_EQ(good.root.hops.size(), 1U);
  const Checked found = checked(bundle(good));
  ASSERT_TRUE(found.proof) << found.proof.error().message;
  EXPECT_EQ(found.payment->hops, 1U);
  EXPECT_EQ(found.payment->block.validators, 1U);
  Proof proof = good;
  proof.root.hops.clear();
  EXPECT_EQ(wrong(proof), "validators-changed");
  const auto with_hop = [&](const auto& change) {
    Proof changed = good;
    std::optional<Cid> hop = changed.root.hops[0];
    changed.edit<ledger::ValidatorHop>(hop, [&](ledger::ValidatorHop& one) { change(changed, one); });
    changed.root.hops[0] = *hop;
    return wrong(changed);
  };
  using ledger::ValidatorHop;
  EXPECT_EQ(with_hop([](Proof&, ValidatorHop&) {}), "");
  EXPECT_EQ(with_hop([](Proof&, ValidatorHop& hop) { ++hop.next.validators[0].power; }), "validators-changed");
  EXPECT_EQ(with_hop([](Proof&, ValidatorHop& hop) { ++hop.next.from_height; }), "validators-changed");
  EXPECT_EQ(with_hop([](Proof&, ValidatorHop& hop) { hop.summary.back() ^= 1; }), "wrong-state-root");
  EXPECT_EQ(with_hop([&](Proof& changed, ValidatorHop& hop) {
              const auto header = changed.read<ledger::BlockHeader>(hop.header);
              hop.certificate = changed.put(
                  Multicodec::raw, certify(town.ledger().federation(), header.height, hop.header.digest(), {0}));
            }),
            "certificate")
      << "who takes over does not certify that it does";
  proof = good;
  proof.root.hops.push_back(proof.root.hops[0]);
  EXPECT_EQ(wrong(proof), "validators-changed") << "who went out of office names nobody";
  // What was shown before the change is shown by those who were in office.
  job = first;
  EXPECT_EQ(wrong(old), "");
}

TEST_F(PaymentTest, AValidatorThatLosesItsStakeChangesNothingAboutWhoDecides) {
  town.offer(0, ledger::Grant{.to = ledger::person(1).id, .amount = 1, .reason = "time"});
  town.pass(seconds(2));
  const auto said = [](std::string_view block) {
    return ledger::said_by(ledger::EvidenceKind::votes, ledger::person(3).id, 1, 0, sha256(as_bytes(block)));
  };
  town.offer(0, ledger::Evidence{.kind = ledger::EvidenceKind::votes, .first = said("one"), .second = said("other")});
  town.pass(seconds(2));
  ASSERT_NE(town.ledger().state().tables.offences.find(ledger::person(3).id), nullptr);
  pay();
  const Proof proof = gathered();
  // Its stake is gone from the set, and then it is.
  EXPECT_EQ(proof.root.hops.size(), 2U);
  EXPECT_EQ(wrong(proof), "");
  Proof changed = proof;
  changed.root.hops.erase(changed.root.hops.begin());
  EXPECT_EQ(wrong(changed), "validators-changed");
  changed = proof;
  std::optional<Cid> hop = changed.root.hops[0];
  changed.edit<ledger::ValidatorHop>(hop, [&](ledger::ValidatorHop& one) { ++one.next.validators[0].power; });
  changed.root.hops[0] = *hop;
  EXPECT_EQ(wrong(changed), "validators-changed");
}

}  // namespace
}  // namespace mesh::chain
