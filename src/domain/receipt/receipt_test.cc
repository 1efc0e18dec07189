// Commitments and what opens them: the right finding, shard, node and path, and nothing else.
#include "domain/receipt/receipt.h"

#include <gtest/gtest.h>

#include "domain/task/task_testing.h"

namespace mesh::receipt {
namespace {

Finding finding(std::uint32_t shard) {
  return {.result = testing::content("result " + std::to_string(shard)),
          .log = testing::content(""),
          .outcome = {},
          .fuel = 1000 + shard};
}

/// A node's commitment to every second shard, from `first` on, and what opens it.
struct Committed {
  identity::Signer signer = testing::signer(2);
  Cid intent = testing::record("intent");
  std::uint32_t shards;  ///< of the task
  std::vector<std::uint32_t> covered;
  std::vector<Digest> leaves;
  Signed<Commitment> commitment;

  explicit Committed(std::uint32_t count, std::uint32_t first = 0) : shards(first + 2 * count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t shard = first + 2 * i;
      covered.push_back(shard);
      leaves.push_back(leaf_of(intent, shard, signer.id(), finding(shard), salt_of(signer, intent, shard)));
    }
    commitment = signer.sign(Commitment{.intent = intent,
                                        .basis = testing::record("award"),
                                        .shards = task::ranges_of(covered),
                                        .root = merkle::root_of(leaves)});
  }
  [[nodiscard]] Opening opening(std::size_t index) const {
    return {.commitment = commitment.cid,
            .shard = covered[index],
            .salt = salt_of(signer, intent, covered[index]),
            .proof = merkle::proof_of(leaves, index)};
  }
  /// The error of opening shard number `index` with these; empty if it opens.
  [[nodiscard]] std::string error(const Opening& opening, const Finding& finding) const {
    const Status status = check_opening(commitment, opening, finding, shards);
    return status ? "" : status.error().message;
  }
};

constexpr std::string_view not_it = "what is revealed is not what was committed to";

class OpeningOfSize : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(OpeningOfSize, HoldsForItsShardAlone) {
  const Committed c(GetParam(), 3);
  const std::size_t count = c.covered.size();
  for (const std::size_t index : {std::size_t{0}, count / 2, count - 1}) {
    const Opening good = c.opening(index);
    EXPECT_EQ(c.error(good, finding(good.shard)), "");
    for (const std::size_t other : {std::size_t{0}, count / 2, count - 1}) {
      if (other == index) continue;
      Opening moved = good;
      moved.shard = c.covered[other];
      EXPECT_EQ(c.error(moved, finding(good.shard)), not_it) << "the leaf of another index";
      moved = good;
      moved.proof = c.opening(other).proof;
      EXPECT_EQ(c.error(moved, finding(good.shard)), not_it) << "the path of another index";
    }
  }
}

TEST_P(OpeningOfSize, RefusesPathsOfAnotherLength) {
  const Committed c(GetParam());
  Opening opening = c.opening(c.covered.size() - 1);
  const Finding right = finding(opening.shard);
  opening.proof.push_back(c.commitment.record.root);
  EXPECT_EQ(c.error(opening, right), not_it);
  opening.proof.pop_back();
  if (!opening.proof.empty()) {
    opening.proof.pop_back();
    EXPECT_EQ(c.error(opening, right), not_it);
  }
  opening.proof.assign(100'000, c.commitment.record.root);
  EXPECT_EQ(c.error(opening, right), not_it) << "and does not hash all of it";
}

TEST_P(OpeningOfSize, RefusesShardsThatItDoesNotCover) {
  const Committed c(GetParam(), 3);
  for (const std::uint32_t shard : {0U, 4U, c.covered.back() + 1, c.shards, UINT32_MAX}) {
    Opening opening = c.opening(0);
    opening.shard = shard;
    EXPECT_EQ(c.error(opening, finding(3)), "the commitment does not cover this shard") << shard;
  }
}

INSTANTIATE_TEST_SUITE_P(Leaves, OpeningOfSize, ::testing::Values(1, 2, 3, 7, 8, 255, 256, 257));

TEST(Opening, AnyChangeOfWhatWasFoundIsRefused) {
  const Committed c(5);
  const Opening opening = c.opening(2);
  const Finding right = finding(opening.shard);
  EXPECT_EQ(c.error(opening, right), "");
  Finding wrong = right;
  wrong.result = testing::content("another result");
  EXPECT_EQ(c.error(opening, wrong), not_it);
  wrong = right;
  wrong.log = testing::content("another log");
  EXPECT_EQ(c.error(opening, wrong), not_it);
  wrong = right;
  ++wrong.fuel;
  EXPECT_EQ(c.error(opening, wrong), not_it) << "right bytes with wrong fuel";
  wrong = right;
  wrong.outcome.exit_code = 1;
  EXPECT_EQ(c.error(opening, wrong), not_it);
  Opening other_salt = opening;
  other_salt.salt = testing::digest("salt");
  EXPECT_EQ(c.error(other_salt, right), not_it);
}

TEST(Opening, ACopiedCommitmentOpensForNobodyButItsAuthor) {
  const Committed c(4);
  // Node 3 signs node 2's root as its own and later copies what node 2 reveals.
  Signed<Commitment> copied = testing::signer(3).sign(Commitment(c.commitment.record));
  EXPECT_EQ(copied.cid, c.commitment.cid) << "the very same record, by another";
  const Opening opening = c.opening(1);
  EXPECT_EQ(check_opening(copied, opening, finding(opening.shard), c.shards).error().message, not_it);
}

TEST(Opening, OfAnotherCommitmentOrTaskIsRefused) {
  const Committed c(4);
  Opening opening = c.opening(1);
  opening.commitment = testing::record("another");
  EXPECT_EQ(c.error(opening, finding(opening.shard)), "the receipt opens another commitment");
  Commitment elsewhere = c.commitment.record;
  elsewhere.intent = testing::record("another intent");
  const Signed<Commitment> moved = c.signer.sign(std::move(elsewhere));
  opening = c.opening(1);
  opening.commitment = moved.cid;
  EXPECT_EQ(check_opening(moved, opening, finding(opening.shard), c.shards).error().message, not_it);
}

TEST(Opening, ACommitmentWithRangesThatLieIsRefused) {
  const Committed c(4);
  for (const std::vector<task::ShardRange>& ranges : std::vector<std::vector<task::ShardRange>>{
           {{0, UINT32_MAX}}, {{4, 1}, {0, 1}}, {{0, 2}, {1, 2}}, {{0, 0}}, {{UINT32_MAX, UINT32_MAX}}}) {
    Commitment lying = c.commitment.record;
    lying.shards = ranges;
    const Signed<Commitment> commitment = c.signer.sign(std::move(lying));
    Opening opening = c.opening(0);
    opening.commitment = commitment.cid;
    EXPECT_EQ(check_opening(commitment, opening, finding(0), c.shards).error().message,
              "shard ranges must be ascending, not empty, apart, and below 8");
  }
  Commitment none = c.commitment.record;
  none.shards.clear();
  const Signed<Commitment> commitment = c.signer.sign(std::move(none));
  Opening opening = c.opening(0);
  opening.commitment = commitment.cid;
  EXPECT_EQ(check_opening(commitment, opening, finding(0), c.shards).error().message,
            "the commitment does not cover this shard");
}

TEST(Opening, AnOutcomePastItsBoundsIsRefusedAlsoWhenItWasCommittedTo) {
  identity::Signer signer = testing::signer(2);
  const Cid intent = testing::record("intent");
  Finding flood = finding(0);
  flood.outcome.kind = task::OutcomeKind::refused;
  flood.outcome.detail = std::string(1 << 20, 'x');
  const Digest salt = salt_of(signer, intent, 0);
  const Digest leaf = leaf_of(intent, 0, signer.id(), flood, salt);
  const Signed<Commitment> commitment = signer.sign(Commitment{
      .intent = intent, .basis = testing::record("award"), .shards = {{0, 1}}, .root = merkle::root_of({&leaf, 1})});
  const Opening opening{.commitment = commitment.cid, .shard = 0, .salt = salt, .proof = {}};
  EXPECT_EQ(check_opening(commitment, opening, flood, 1).error().message,
            "the detail of an outcome has at most 1024 bytes");
}

TEST(Leaf, CoversEverythingThatBindsIt) {
  const Cid intent = testing::record("intent");
  const Digest salt = testing::digest("salt");
  const Digest leaf = leaf_of(intent, 7, testing::node(2), finding(7), salt);
  EXPECT_NE(leaf_of(testing::record("other"), 7, testing::node(2), finding(7), salt), leaf);
  EXPECT_NE(leaf_of(intent, 8, testing::node(2), finding(7), salt), leaf);
  EXPECT_NE(leaf_of(intent, 7, testing::node(3), finding(7), salt), leaf);
  EXPECT_NE(leaf_of(intent, 7, testing::node(2), finding(8), salt), leaf);
  EXPECT_NE(leaf_of(intent, 7, testing::node(2), finding(7), testing::digest("other")), leaf);
}

TEST(Salt, IsTheNodesOwnOfEachShardAndTheSameAfterARestart) {
  const Cid intent = testing::record("intent");
  const Digest salt = salt_of(testing::signer(2), intent, 0);
  EXPECT_EQ(salt_of(testing::signer(2), intent, 0), salt);
  EXPECT_NE(salt_of(testing::signer(3), intent, 0), salt);
  EXPECT_NE(salt_of(testing::signer(2), intent, 1), salt);
  EXPECT_NE(salt_of(testing::signer(2), testing::record("other"), 0), salt);
}

TEST(ReceiptRecords, ReadBackAndAreRefusedCutOff) {
  const Committed c(3);
  testing::round_trip(c.commitment.record);
  testing::round_trip(ExecutionReceipt{.intent = c.intent,
                                       .award = testing::record("award"),
                                       .opening = c.opening(1),
                                       .finding = finding(2),
                                       .summary = {.fuel = 1, .wall_ms = 2, .peak_memory_bytes = 3, .io_bytes = 4}});
  testing::round_trip(VerificationReceipt{.intent = c.intent,
                                          .receipt = testing::record("receipt"),
                                          .verdict = Agreement::agree,
                                          .opening = c.opening(1),
                                          .finding = finding(2)});
}

TEST(ReceiptRecords, AnUnknownVerdictOrAProofOfOddBytesDoesNotDecode) {
  const Committed c(3);
  dagcbor::Value value = record::to_value(VerificationReceipt{.intent = c.intent,
                                                              .receipt = testing::record("receipt"),
                                                              .verdict = Agreement::agree,
                                                              .opening = c.opening(1),
                                                              .finding = finding(2)});
  auto& map = std::get<dagcbor::Map>(value.variant());
  map.insert_or_assign("verdict", dagcbor::Value("maybe"));
  EXPECT_EQ(record::decode<VerificationReceipt>(dagcbor::encode(value)).error().message,
            "field \"verdict\": unknown value \"maybe\"");
  map.insert_or_assign("verdict", dagcbor::Value("agree"));
  auto& opening = std::get<dagcbor::Map>(map.find("opening")->second.variant());
  opening.insert_or_assign("proof", dagcbor::List{dagcbor::Value(Bytes(31))});
  EXPECT_EQ(record::decode<VerificationReceipt>(dagcbor::encode(value)).error().message,
            "field \"opening\": field \"proof\": item 0: expected 32 bytes");
}

}  // namespace
}  // namespace mesh::receipt
