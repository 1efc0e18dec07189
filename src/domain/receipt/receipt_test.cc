// Findings by columns, commitments, and what opens them: the right findings, shards and node, and nothing else.
#include "domain/receipt/receipt.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "domain/task/task_testing.h"

namespace mesh::receipt {
namespace {

constexpr std::string_view not_it = "what is revealed is not what was committed to";
constexpr std::string_view not_one_each = "there is not one finding for each shard";
constexpr std::string_view not_in_order = "the lists of logs and outcomes are not in the order of their use";
constexpr std::string_view listed_twice = "a log or an outcome is listed twice";
constexpr std::string_view not_the_signers = "not-the-signers: the commitment is in another node's name";

std::string error_of(const auto& result) { return result ? "" : result.error().message; }

/// Every third has a log of its own, every fifth another exit code.
Finding finding(std::uint32_t shard) {
  Finding found{.result = testing::content("result " + std::to_string(shard)),
                .log = testing::content(shard % 3 == 0 ? "log " + std::to_string(shard) : ""),
                .outcome = {},
                .fuel = 1000 + shard};
  found.outcome.exit_code = shard % 5 == 0 ? 1 : 0;
  return found;
}
Finding lie(std::uint32_t shard) {
  Finding found = finding(shard);
  found.result = testing::content("lie " + std::to_string(shard));
  return found;
}
Finding flood(std::uint32_t shard) {
  Finding found = finding(shard);
  found.outcome = {.kind = task::OutcomeKind::refused,
                   .exit_code = 0,
                   .trap = {},
                   .backtrace = {},
                   .detail = std::string(1 << 20, 'x')};
  return found;
}

using Finds = std::function<Finding(std::uint32_t)>;

std::vector<std::uint32_t> every(std::uint32_t step, std::uint32_t count, std::uint32_t first) {
  std::vector<std::uint32_t> shards;
  for (std::uint32_t i = 0; i < count; ++i) shards.push_back(first + step * i);
  return shards;
}

/// A node's commitment to what it found on some shards.
Signed<Commitment> commit(const identity::Signer& signer, const Commitment& form,
                          const std::vector<std::uint32_t>& shards, const Finds& finds) {
  Commitment commitment = form;
  commitment.node = signer.id();
  commitment.shards = task::ranges_of(shards);
  std::vector<Digest> digests;
  for (const std::uint32_t shard : shards) digests.push_back(digest_of(finds(shard)));
  commitment.root = root_of(form.intent, signer.id(), salt_key(signer, commitment), shards, digests);
  return signer.sign(std::move(commitment));
}

/// A worker's commitment to every second shard, from `first` on, and what opens it.
struct Worker {
  identity::Signer signer = testing::signer(2);
  Cid intent = testing::record("intent");
  Cid award = testing::record("award");
  std::uint32_t shards;  ///< of the task
  std::vector<std::uint32_t> covered;
  Signed<Commitment> commitment;
  ExecutionReceipt receipt;

  explicit Worker(std::uint32_t count, std::uint32_t first = 0, const Finds& finds = finding)
      : shards(first + 2 * count), covered(every(2, count, first)) {
    commitment = commit(signer, {.intent = intent, .node = {}, .basis = award, .worker = {}, .shards = {}, .root = {}},
                        covered, finds);
    std::vector<Finding> rows;
    receipt = {.intent = intent,
               .award = award,
               .commitment = commitment.cid,
               .key = salt_key(signer, commitment.record),
               .findings = {},
               .usage = {}};
    for (const std::uint32_t shard : covered) {
      rows.push_back(finds(shard));
      receipt.usage.add({.fuel = 0, .wall_ms = shard, .peak_memory_bytes = 2, .io_bytes = 3});
    }
    receipt.findings = columns_of(rows);
  }
  [[nodiscard]] Opened opened() const { return *open_execution(commitment, receipt, shards); }
  /// The error of opening with a changed receipt; empty if it opens.
  [[nodiscard]] std::string error(const std::function<void(ExecutionReceipt&)>& change) const {
    ExecutionReceipt changed = receipt;
    change(changed);
    return error_of(open_execution(commitment, changed, shards));
  }
  /// The error of opening with changed rows.
  [[nodiscard]] std::string error_with_rows(const std::function<void(std::vector<Finding>&)>& change) const {
    std::vector<Finding> rows = *rows_of(receipt.findings, covered.size());
    change(rows);
    return error([&](ExecutionReceipt& r) { r.findings = columns_of(rows); });
  }
};

/// A verifier's commitment to some of a worker's shards, and what opens it.
struct Verifier {
  identity::Signer signer = testing::signer(3);
  const Worker& worker;
  Opened opened;
  Signed<Commitment> commitment;
  VerificationReceipt receipt;

  Verifier(const Worker& of, const std::vector<std::uint32_t>& seats, const std::vector<std::uint32_t>& lies = {})
      : worker(of), opened(of.opened()) {
    const Cid draw = testing::record("draw");
    commitment = commit(
        signer, {.intent = of.intent, .node = {}, .basis = draw, .worker = of.commitment.cid, .shards = {}, .root = {}},
        seats, [&](std::uint32_t shard) {
          return std::ranges::find(lies, shard) == lies.end() ? finding(shard) : lie(shard);
        });
    std::vector<Finding> rows;
    for (const std::uint32_t shard : lies) rows.push_back(lie(shard));
    receipt = {.intent = of.intent,
               .receipt = testing::record("receipt"),
               .commitment = commitment.cid,
               .key = salt_key(signer, commitment.record),
               .differing = task::ranges_of(lies),
               .findings = columns_of(rows)};
  }
  [[nodiscard]] Result<std::map<std::uint32_t, Finding>> open() const {
    return open_verification(commitment, receipt, opened, worker.shards);
  }
  [[nodiscard]] std::string error(const std::function<void(VerificationReceipt&)>& change) const {
    VerificationReceipt changed = receipt;
    change(changed);
    return error_of(open_verification(commitment, changed, opened, worker.shards));
  }
};

// ---------------------------------------------------------------------------------------------------- columns

TEST(Columns, ListLogsAndOutcomesOnceInTheOrderOfTheirUse) {
  std::vector<Finding> rows{finding(1), finding(3), finding(5), finding(4), finding(3)};
  const Findings columns = columns_of(rows);
  EXPECT_EQ(columns.fuel, (std::vector<std::uint64_t>{1001, 1003, 1005, 1004, 1003}));
  EXPECT_EQ(columns.logs, (std::vector<Cid>{testing::content(""), testing::content("log 3")}));
  EXPECT_EQ(columns.log, (std::vector<std::uint32_t>{0, 1, 0, 0, 1}));
  ASSERT_EQ(columns.outcomes.size(), 2U);
  EXPECT_EQ(columns.outcomes[1].exit_code, 1U);
  EXPECT_EQ(columns.outcome, (std::vector<std::uint32_t>{0, 0, 1, 0, 0}));
  for (std::size_t count = 0; count <= rows.size(); ++count) {
    const std::span<const Finding> some = std::span(rows).first(count);
    EXPECT_EQ(rows_of(columns_of(some), count), std::vector<Finding>(some.begin(), some.end()));
  }
}

TEST(Columns, ThatLieAreRefused) {
  const std::vector<Finding> rows{finding(1), finding(3), finding(5), finding(4)};
  const auto error = [&](const std::function<void(Findings&)>& change, std::size_t count = 4) {
    Findings columns = columns_of(rows);
    change(columns);
    return error_of(rows_of(columns, count));
  };
  EXPECT_EQ(error([](Findings&) {}), "");
  for (const std::size_t count : {std::size_t{0}, std::size_t{3}, std::size_t{5}, SIZE_MAX})
    EXPECT_EQ(error([](Findings&) {}, count), not_one_each) << count;
  EXPECT_EQ(error([](Findings& f) { f.results.pop_back(); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f.results.push_back(f.results[0]); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f.fuel.pop_back(); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f.fuel.push_back(1); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f.log.pop_back(); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f.log.push_back(0); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f.outcome.pop_back(); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f.outcome.push_back(0); }), not_one_each);
  EXPECT_EQ(error([](Findings& f) { f = {}; }), not_one_each);
  // The index of a row, past its list.
  for (const std::uint32_t past : {2U, UINT32_MAX}) {
    EXPECT_EQ(error([&](Findings& f) { f.log[3] = past; }), not_in_order);
    EXPECT_EQ(error([&](Findings& f) { f.outcome[3] = past; }), not_in_order);
  }
  EXPECT_EQ(error([](Findings& f) { f.logs.clear(); }), not_in_order);
  EXPECT_EQ(error([](Findings& f) { f.logs.pop_back(); }), not_in_order);
  EXPECT_EQ(error([](Findings& f) { f.outcomes.clear(); }), not_in_order);
  EXPECT_EQ(error([](Findings& f) { f.outcomes.pop_back(); }), not_in_order);
  // What no row uses.
  EXPECT_EQ(error([](Findings& f) { f.logs.push_back(testing::content("unused")); }), not_in_order);
  EXPECT_EQ(error([](Findings& f) { f.outcomes.emplace_back(); }), not_in_order);
  EXPECT_EQ(error([](Findings& f) { f.log.assign(4, 0); }), not_in_order);
  EXPECT_EQ(error([](Findings& f) { f.outcome.assign(4, 0); }), not_in_order);
  // The same rows, listed in another order.
  const auto turn = [](std::vector<std::uint32_t>& indices) {
    for (std::uint32_t& index : indices) index = 1 - index;
  };
  EXPECT_EQ(error([&](Findings& f) {
              std::swap(f.logs[0], f.logs[1]);
              turn(f.log);
            }),
            not_in_order);
  EXPECT_EQ(error([&](Findings& f) {
              std::swap(f.outcomes[0], f.outcomes[1]);
              turn(f.outcome);
            }),
            not_in_order);
  // The same rows, with an entry for each of them.
  EXPECT_EQ(error([](Findings& f) {
              f.logs.push_back(f.logs[0]);
              f.log.back() = 2;
            }),
            listed_twice);
  EXPECT_EQ(error([](Findings& f) {
              f.outcomes.push_back(f.outcomes[0]);
              f.outcome.back() = 2;
            }),
            listed_twice);
  // Rows of nothing have no lists.
  Findings none;
  EXPECT_EQ(error_of(rows_of(none, 0)), "");
  none.logs.push_back(testing::content(""));
  EXPECT_EQ(error_of(rows_of(none, 0)), not_in_order);
}

TEST(Columns, AnOutcomePastItsBoundsIsRefused) {
  const std::vector<Finding> rows{finding(1), flood(2)};
  EXPECT_EQ(error_of(rows_of(columns_of(rows), 2)), "the detail of an outcome has at most 1024 bytes");
}

TEST(Columns, OfUsageGiveTheSummariesAgain) {
  const task::ExecutionSummary first{.fuel = 1, .wall_ms = 2, .peak_memory_bytes = 3, .io_bytes = 4};
  const task::ExecutionSummary second{.fuel = 5, .wall_ms = 6, .peak_memory_bytes = 7, .io_bytes = 8};
  Usage usage;
  EXPECT_TRUE(usage.has(0));
  usage.add(first);
  usage.add(second);
  EXPECT_TRUE(usage.has(2));
  EXPECT_FALSE(usage.has(1));
  EXPECT_FALSE(usage.has(3));
  EXPECT_EQ(usage.summary(0, 1), first);
  EXPECT_EQ(usage.summary(1, 5), second);
}

// ---------------------------------------------------------------------------------------------------- a worker's

class ExecutionOfSize : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(ExecutionOfSize, OpensAsAWhole) {
  const Worker worker(GetParam(), 3);
  const Result<Opened> opened = open_execution(worker.commitment, worker.receipt, worker.shards);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(opened->shards, worker.covered);
  ASSERT_EQ(opened->findings.size(), worker.covered.size());
  ASSERT_EQ(opened->digests.size(), worker.covered.size());
  for (std::size_t row = 0; row < worker.covered.size(); ++row) {
    const std::uint32_t shard = worker.covered[row];
    EXPECT_EQ(opened->findings[row], finding(shard));
    EXPECT_EQ(opened->digests[row], digest_of(finding(shard)));
    EXPECT_EQ(opened->find(shard), &opened->findings[row]);
  }
  for (const std::uint32_t shard : {0U, 2U, 4U, worker.covered.back() + 1, worker.shards, UINT32_MAX})
    EXPECT_EQ(opened->find(shard), nullptr) << shard;
  EXPECT_EQ(Opened().find(0), nullptr);
}

TEST_P(ExecutionOfSize, RefusesARowOfAnotherShard) {
  const Worker worker(GetParam(), 3);
  const std::size_t count = worker.covered.size();
  for (const std::size_t row : {std::size_t{0}, count / 2, count - 1}) {
    EXPECT_EQ(worker.error_with_rows([&](auto& rows) { rows[row] = lie(worker.covered[row]); }), not_it) << row;
    for (const std::size_t other : {std::size_t{0}, count / 2, count - 1}) {
      if (other != row) {
        EXPECT_EQ(worker.error_with_rows([&](auto& rows) { std::swap(rows[row], rows[other]); }), not_it);
      }
    }
  }
}

TEST_P(ExecutionOfSize, RefusesAnotherNumberOfRows) {
  const Worker worker(GetParam());
  EXPECT_EQ(worker.error_with_rows([](auto& rows) { rows.pop_back(); }), not_one_each);
  EXPECT_EQ(worker.error_with_rows([](auto& rows) { rows.push_back(rows.back()); }), not_one_each);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.findings = {}; }), not_one_each);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.findings.results.resize(100'000); }), not_one_each);
  const std::string unused = "the receipt does not say of every shard what its run used";
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.usage = {}; }), unused);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.usage.wall_ms.pop_back(); }), unused);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.usage.peak_memory_bytes.push_back(1); }), unused);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.usage.io_bytes.clear(); }), unused);
}

INSTANTIATE_TEST_SUITE_P(Shards, ExecutionOfSize, ::testing::Values(1, 2, 3, 7, 8, 255, 256, 257, 1024));

TEST(Execution, AnyChangeOfWhatWasFoundIsRefused) {
  const Worker worker(5);
  EXPECT_EQ(worker.error([](ExecutionReceipt&) {}), "");
  EXPECT_EQ(worker.error_with_rows([](auto& rows) { rows[2].result = testing::content("another result"); }), not_it);
  EXPECT_EQ(worker.error_with_rows([](auto& rows) { rows[2].log = testing::content("another log"); }), not_it);
  EXPECT_EQ(worker.error_with_rows([](auto& rows) { ++rows[2].fuel; }), not_it) << "right bytes with wrong fuel";
  EXPECT_EQ(worker.error_with_rows([](auto& rows) { rows[2].outcome.exit_code = 7; }), not_it);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.key = testing::digest("another key"); }), not_it);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { ++r.usage.wall_ms[2]; }), "") << "the worker's own measurement";
}

TEST(Execution, ColumnsThatLieAreRefused) {
  const Worker worker(5);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.findings.log[4] = 5; }), not_in_order);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.findings.outcomes.emplace_back(); }), not_in_order);
}

TEST(Execution, ACopiedCommitmentOpensForNobodyButItsAuthor) {
  const Worker worker(4);
  // Node 3 signs node 2's commitment word for word and later copies what node 2 reveals.
  const Signed<Commitment> word_for_word = testing::signer(3).sign(Commitment(worker.commitment.record));
  EXPECT_EQ(word_for_word.cid, worker.commitment.cid) << "the very same record, by another";
  EXPECT_EQ(error_of(open_execution(word_for_word, worker.receipt, worker.shards)), not_the_signers);
  // In its own name the record is another, and the root does not open.
  Commitment in_own_name = worker.commitment.record;
  in_own_name.node = testing::node(3);
  const Signed<Commitment> copied = testing::signer(3).sign(std::move(in_own_name));
  EXPECT_NE(copied.cid, worker.commitment.cid);
  EXPECT_EQ(error_of(open_execution(copied, worker.receipt, worker.shards)), "the receipt opens another commitment");
  ExecutionReceipt receipt = worker.receipt;
  receipt.commitment = copied.cid;
  EXPECT_EQ(error_of(open_execution(copied, receipt, worker.shards)), not_it);
}

TEST(Execution, OfAnotherCommitmentAwardOrTaskIsRefused) {
  const Worker worker(4);
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.commitment = testing::record("another"); }),
            "the receipt opens another commitment");
  EXPECT_EQ(worker.error([](ExecutionReceipt& r) { r.award = testing::record("another"); }),
            "the receipt names another award than its commitment");
  const auto with = [&](const std::function<void(Commitment&)>& change) {
    Commitment changed = worker.commitment.record;
    change(changed);
    const Signed<Commitment> commitment = worker.signer.sign(std::move(changed));
    ExecutionReceipt receipt = worker.receipt;
    receipt.commitment = commitment.cid;
    return error_of(open_execution(commitment, receipt, worker.shards));
  };
  EXPECT_EQ(with([](Commitment&) {}), "");
  EXPECT_EQ(with([](Commitment& c) { c.intent = testing::record("another"); }), not_it);
  EXPECT_EQ(with([](Commitment& c) { c.basis = testing::record("another"); }),
            "the receipt names another award than its commitment");
  EXPECT_EQ(with([](Commitment& c) { c.worker = testing::record("another"); }),
            "the receipt opens a verifier's commitment");
  EXPECT_EQ(with([](Commitment& c) { c.root = testing::digest("another"); }), not_it);
  EXPECT_EQ(with([](Commitment& c) { c.shards = {{0, 4}}; }), not_it) << "of other shards";
}

TEST(Execution, AnOutcomePastItsBoundsIsRefusedAlsoWhenItWasCommittedTo) {
  const Worker worker(2, 0, [](std::uint32_t shard) { return shard == 0 ? finding(0) : flood(shard); });
  EXPECT_EQ(worker.error([](ExecutionReceipt&) {}), "the detail of an outcome has at most 1024 bytes");
}

TEST(Execution, TheLargestFitsAMessage) {
  const Worker worker(max_commitment_shards, 3, [](std::uint32_t shard) {
    Finding found = finding(shard);
    found.log = testing::content("own log " + std::to_string(shard));
    found.outcome.exit_code = shard;
    found.fuel = UINT64_MAX >> 1;
    return found;
  });
  const Bytes bytes = record::encode(worker.receipt);
  EXPECT_LT(bytes.size(), dagcbor::record_limits.max_bytes / 4);
  const Result<ExecutionReceipt> back = record::decode<ExecutionReceipt>(bytes);
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(error_of(open_execution(worker.commitment, *back, worker.shards)), "");
}

// ---------------------------------------------------------------------------------------------------- a verifier's

class VerificationOfSize : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(VerificationOfSize, OpensOnSomeOfTheWorkersShards) {
  const std::uint32_t count = GetParam();
  const Worker worker(count, 3);
  for (const std::vector<std::uint32_t>& seats : {worker.covered, std::vector{worker.covered.front()},
                                                  std::vector{worker.covered.back()}, every(4, (count + 1) / 2, 3)}) {
    const Verifier verifier(worker, seats);
    const Result<std::map<std::uint32_t, Finding>> differing = verifier.open();
    ASSERT_TRUE(differing.has_value()) << differing.error().message;
    EXPECT_TRUE(differing->empty());
    const std::uint32_t middle = seats[seats.size() / 2];
    for (const std::vector<std::uint32_t>& lies : {seats, std::vector{middle}}) {
      const Result<std::map<std::uint32_t, Finding>> other = Verifier(worker, seats, lies).open();
      ASSERT_TRUE(other.has_value()) << other.error().message;
      ASSERT_EQ(other->size(), lies.size());
      for (const std::uint32_t shard : lies) EXPECT_EQ(other->at(shard), lie(shard));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shards, VerificationOfSize, ::testing::Values(1, 2, 3, 7, 8, 255, 256, 257, 1024));

TEST(Verification, SaysWhatItCommittedTo) {
  const Worker worker(6);
  const Verifier agrees(worker, {0, 4, 6});
  EXPECT_EQ(agrees.error([](VerificationReceipt&) {}), "");
  EXPECT_EQ(agrees.error([](VerificationReceipt& r) { r.key = testing::digest("another key"); }), not_it);
  EXPECT_EQ(agrees.error([](VerificationReceipt& r) { r.commitment = testing::record("another"); }),
            "the receipt opens another commitment");
  EXPECT_EQ(agrees.error([](VerificationReceipt& r) {
    r.differing = {{4, 1}};
    r.findings = columns_of(std::vector{lie(4)});
  }),
            not_it)
      << "it agreed";
  const Verifier differs(worker, {0, 4, 6}, {4, 6});
  EXPECT_EQ(differs.error([](VerificationReceipt& r) {
    r.differing.clear();
    r.findings = {};
  }),
            not_it)
      << "it did not agree";
  EXPECT_EQ(differs.error([](VerificationReceipt& r) {
    r.differing = {{4, 1}};
    r.findings = columns_of(std::vector{lie(4)});
  }),
            not_it)
      << "nor on shard 6";
  EXPECT_EQ(differs.error([](VerificationReceipt& r) { r.findings = columns_of(std::vector{lie(6), lie(4)}); }),
            not_it);
  EXPECT_EQ(differs.error([](VerificationReceipt& r) { r.findings = columns_of(std::vector{lie(4), lie(8)}); }),
            not_it);
}

TEST(Verification, RefusesDifferingShardsThatAreNot) {
  const Worker worker(6);
  const Verifier verifier(worker, {0, 4, 6}, {4});
  const auto error = [&](std::vector<task::ShardRange> differing, const std::vector<Finding>& findings) {
    return verifier.error([&](VerificationReceipt& r) {
      r.differing = std::move(differing);
      r.findings = columns_of(findings);
    });
  };
  EXPECT_EQ(error({{4, 1}}, {lie(4)}), "");
  const std::string outside = "the verification differs on a shard that its commitment does not cover";
  EXPECT_EQ(error({{4, 2}}, {lie(4), lie(5)}), outside) << "nobody's";
  EXPECT_EQ(error({{2, 1}, {4, 1}}, {lie(2), lie(4)}), outside) << "the worker's alone";
  EXPECT_EQ(error({{4, 1}, {11, 1}}, {lie(4), lie(11)}), outside);
  const std::string own = "the verification calls a finding different that is the worker's own";
  EXPECT_EQ(error({{4, 1}}, {finding(4)}), own);
  EXPECT_EQ(error({{4, 1}, {6, 1}}, {lie(4), finding(6)}), own);
  EXPECT_EQ(error({{4, 1}}, {}), not_one_each);
  EXPECT_EQ(error({{4, 1}}, {lie(4), lie(4)}), not_one_each);
  EXPECT_EQ(error({}, {lie(4)}), not_one_each);
  EXPECT_EQ(error({{4, 1}}, {flood(4)}), "the detail of an outcome has at most 1024 bytes");
  for (const std::vector<task::ShardRange>& ranges : std::vector<std::vector<task::ShardRange>>{
           {{0, UINT32_MAX}}, {{4, 1}, {0, 1}}, {{0, 2}, {1, 2}}, {{4, 0}}, {{12, 1}}, {{UINT32_MAX, UINT32_MAX}}}) {
    EXPECT_EQ(error(ranges, {lie(4)}), "shard ranges must be ascending, not empty, apart, and below 12");
  }
  EXPECT_EQ(verifier.error([](VerificationReceipt& r) { r.findings.logs.push_back(testing::content("unused")); }),
            not_in_order);
}

TEST(Verification, CoversNoShardThatTheWorkersReceiptDoesNot) {
  const Worker worker(6, 2);  // 2, 4, ..., 12 of 14.
  const std::string outside = "the verification covers a shard that the worker's receipt does not";
  for (const std::vector<std::uint32_t>& seats : std::vector<std::vector<std::uint32_t>>{
           {0}, {3}, {13}, {2, 3}, {0, 2}, {12, 13}, {2, 5, 6}, {0, 2, 4, 6, 8, 10, 12}}) {
    EXPECT_EQ(error_of(Verifier(worker, seats).open()), outside);
    EXPECT_EQ(error_of(Verifier(worker, seats, seats).open()), outside);
  }
}

TEST(Verification, ACopiedCommitmentOpensForNobodyButItsAuthor) {
  const Worker worker(4);
  const Verifier author(worker, {0, 2}, {2});
  const Signed<Commitment> word_for_word = testing::signer(4).sign(Commitment(author.commitment.record));
  EXPECT_EQ(error_of(open_verification(word_for_word, author.receipt, author.opened, worker.shards)), not_the_signers);
  Commitment in_own_name = author.commitment.record;
  in_own_name.node = testing::node(4);
  const Signed<Commitment> copied = testing::signer(4).sign(std::move(in_own_name));
  VerificationReceipt repeated = author.receipt;
  repeated.commitment = copied.cid;
  EXPECT_EQ(error_of(open_verification(copied, repeated, author.opened, worker.shards)), not_it);
  // The worker's own root, signed by a verifier that then copies the worker's key.
  Commitment record = worker.commitment.record;
  record.node = testing::node(3);
  record.basis = testing::record("draw");
  record.worker = worker.commitment.cid;
  const Signed<Commitment> of_worker = testing::signer(3).sign(std::move(record));
  const VerificationReceipt receipt{.intent = worker.intent,
                                    .receipt = testing::record("receipt"),
                                    .commitment = of_worker.cid,
                                    .key = worker.receipt.key,
                                    .differing = {},
                                    .findings = {}};
  EXPECT_EQ(error_of(open_verification(of_worker, receipt, author.opened, worker.shards)), not_it);
}

// ---------------------------------------------------------------------------------------------------- commitments

TEST(Commitments, WithRangesThatLieAreRefused) {
  const Worker worker(4);
  const Verifier verifier(worker, {0, 2});
  const auto errors = [&](const std::vector<task::ShardRange>& ranges) {
    std::set<std::string> all;
    Commitment lying = worker.commitment.record;
    lying.shards = ranges;
    Signed<Commitment> commitment = worker.signer.sign(Commitment(lying));
    all.insert(error_of(covered(commitment, worker.shards)));
    ExecutionReceipt execution = worker.receipt;
    execution.commitment = commitment.cid;
    all.insert(error_of(open_execution(commitment, execution, worker.shards)));
    lying = verifier.commitment.record;
    lying.shards = ranges;
    commitment = verifier.signer.sign(std::move(lying));
    VerificationReceipt verification = verifier.receipt;
    verification.commitment = commitment.cid;
    all.insert(error_of(open_verification(commitment, verification, verifier.opened, worker.shards)));
    return all;
  };
  using Errors = std::set<std::string>;
  for (const std::vector<task::ShardRange>& ranges : std::vector<std::vector<task::ShardRange>>{
           {{4, 1}, {0, 1}}, {{0, 2}, {1, 2}}, {{0, 0}, {0, 1}}, {{8, 1}}, {{7, 2}}, {{UINT32_MAX, 1}}, {{0, 1024}}}) {
    EXPECT_EQ(errors(ranges), Errors{"shard ranges must be ascending, not empty, apart, and below 8"});
  }
  EXPECT_EQ(errors({}), Errors{"a commitment covers 1 to 1024 shards, not 0"});
  EXPECT_EQ(errors({{0, 0}}), Errors{"a commitment covers 1 to 1024 shards, not 0"});
  EXPECT_EQ(errors({{0, 1025}}), Errors{"a commitment covers 1 to 1024 shards, not 1025"});
  EXPECT_EQ(errors({{0, 1024}, {1024, 1}}), Errors{"a commitment covers 1 to 1024 shards, not 1025"});
  EXPECT_EQ(errors({{0, UINT32_MAX}}), Errors{"a commitment covers 1 to 1024 shards, not 4294967295"});
  EXPECT_EQ(errors({{UINT32_MAX, UINT32_MAX}, {0, 1}}), Errors{"a commitment covers 1 to 1024 shards, not 4294967296"})
      << "whose number wraps to 0 in 32 bits";
}

TEST(Commitments, CoverUpToTheirBound) {
  const auto over = [](std::vector<task::ShardRange> ranges) {
    Commitment commitment;
    commitment.node = testing::node(2);
    commitment.shards = std::move(ranges);
    return testing::signer(2).sign(std::move(commitment));
  };
  EXPECT_EQ(covered(over({{10, 1024}}), 1034), every(1, 1024, 10));
  EXPECT_FALSE(covered(over({{10, 1024}}), 1033).has_value());
  EXPECT_EQ(covered(over({{0, 1}, {2, 2}}), 4), (std::vector<std::uint32_t>{0, 2, 3}));
}

TEST(Commitments, AreTheirSignersOwn) {
  const Worker worker(4);
  const Verifier verifier(worker, {0, 2});
  const auto errors = [&](const NodeId& node) {
    std::set<std::string> all;
    Commitment other = worker.commitment.record;
    other.node = node;
    Signed<Commitment> commitment = worker.signer.sign(std::move(other));
    all.insert(error_of(covered(commitment, worker.shards)));
    ExecutionReceipt execution = worker.receipt;
    execution.commitment = commitment.cid;
    all.insert(error_of(open_execution(commitment, execution, worker.shards)));
    other = verifier.commitment.record;
    other.node = node;
    commitment = verifier.signer.sign(std::move(other));
    VerificationReceipt verification = verifier.receipt;
    verification.commitment = commitment.cid;
    all.insert(error_of(open_verification(commitment, verification, verifier.opened, worker.shards)));
    return all;
  };
  for (const NodeId& node : {NodeId(), testing::node(1), testing::node(4)})
    EXPECT_EQ(errors(node), std::set<std::string>{std::string(not_the_signers)});
}

TEST(CommitmentDeath, RowsAndShardsThatDifferInNumberAreOurBug) {
  EXPECT_DEATH((void)root_of(testing::record("intent"), testing::node(2), {}, {0, 1}, std::vector<Digest>(1)),
               "commitment-rows");
}

TEST(FindingDigest, CoversEverythingInIt) {
  const Finding found = finding(1);
  const auto with = [&](const std::function<void(Finding&)>& change) {
    Finding changed = found;
    change(changed);
    return digest_of(changed);
  };
  const std::vector<Digest> digests{with([](Finding&) {}),
                                    with([](Finding& f) { f.result = testing::content("other"); }),
                                    with([](Finding& f) { f.log = testing::content("other"); }),
                                    with([](Finding& f) { std::swap(f.result, f.log); }),
                                    with([](Finding& f) { f.fuel = 0; }),
                                    with([](Finding& f) { f.outcome.kind = task::OutcomeKind::out_of_fuel; }),
                                    with([](Finding& f) { f.outcome.exit_code = 1; }),
                                    with([](Finding& f) { f.outcome.trap = "unreachable"; }),
                                    with([](Finding& f) { f.outcome.backtrace = {"unreachable"}; }),
                                    with([](Finding& f) { f.outcome.detail = "unreachable"; })};
  EXPECT_EQ(std::set<Digest>(digests.begin(), digests.end()).size(), digests.size());
  EXPECT_EQ(digest_of(finding(1)), digests.front());
}

TEST(Leaf, CoversEverythingThatBindsIt) {
  const Cid intent = testing::record("intent");
  const Digest salt = testing::digest("salt");
  const Digest found = digest_of(finding(7));
  const Digest leaf = leaf_of(intent, 7, testing::node(2), found, salt);
  EXPECT_NE(leaf_of(testing::record("other"), 7, testing::node(2), found, salt), leaf);
  EXPECT_NE(leaf_of(intent, 8, testing::node(2), found, salt), leaf);
  EXPECT_NE(leaf_of(intent, 7, testing::node(3), found, salt), leaf);
  EXPECT_NE(leaf_of(intent, 7, testing::node(2), digest_of(finding(8)), salt), leaf);
  EXPECT_NE(leaf_of(intent, 7, testing::node(2), found, testing::digest("other")), leaf);
}

TEST(Salt, IsOfEachShardAndKey) {
  const Digest key = testing::digest("key");
  EXPECT_EQ(salt_of(key, 0), salt_of(key, 0));
  EXPECT_NE(salt_of(key, 0), salt_of(key, 1));
  EXPECT_NE(salt_of(key, 0), salt_of(testing::digest("other"), 0));
  EXPECT_NE(salt_of(key, 0), key) << "else one salt would tell all of them";
}

TEST(SaltKey, IsTheNodesOwnOfEachCommitmentAndTheSameAfterARestart) {
  const auto key_with = [](const std::function<void(Commitment&)>& change, std::uint8_t number = 2) {
    Commitment commitment{.intent = testing::record("intent"),
                          .node = testing::node(number),
                          .basis = testing::record("basis"),
                          .worker = testing::record("worker"),
                          .shards = {{0, 2}, {4, 1}},
                          .root = {}};
    change(commitment);
    return salt_key(testing::signer(number), commitment);  // A signer made anew from the same seed.
  };
  const std::vector<Digest> keys{
      key_with([](Commitment&) {}),
      key_with([](Commitment&) {}, 3),
      key_with([](Commitment& c) { c.intent = testing::record("other"); }),
      key_with([](Commitment& c) { c.basis = testing::record("other"); }),
      key_with([](Commitment& c) { std::swap(c.intent, c.basis); }),
      key_with([](Commitment& c) { c.worker = testing::record("other"); }),
      key_with([](Commitment& c) { c.worker.reset(); }),
      key_with([](Commitment& c) { c.shards.clear(); }),
      key_with([](Commitment& c) { c.shards = {{0, 2}}; }),
      key_with([](Commitment& c) { c.shards = {{0, 2}, {4, 2}}; }),
      key_with([](Commitment& c) { c.shards = {{0, 2}, {5, 1}}; }),
  };
  EXPECT_EQ(std::set<Digest>(keys.begin(), keys.end()).size(), keys.size());
  EXPECT_EQ(key_with([](Commitment&) {}), keys.front());
  EXPECT_EQ(key_with([](Commitment& c) { c.root = testing::digest("root"); }), keys.front())
      << "the root is what it is for";
  EXPECT_EQ(key_with([](Commitment& c) { c.node = testing::node(9); }), keys.front())
      << "the signer's secret makes it the node's";
}

// ---------------------------------------------------------------------------------------------------- records

TEST(ReceiptRecords, ReadBackAndAreRefusedCutOff) {
  const Worker worker(4);
  const Verifier verifier(worker, {0, 2, 4}, {2, 4});
  testing::round_trip(worker.commitment.record);
  testing::round_trip(verifier.commitment.record);
  testing::round_trip(worker.receipt);
  testing::round_trip(verifier.receipt);
  const Result<ExecutionReceipt> execution = record::decode<ExecutionReceipt>(record::encode(worker.receipt));
  ASSERT_TRUE(execution.has_value());
  EXPECT_EQ(error_of(open_execution(worker.commitment, *execution, worker.shards)), "");
  const Result<VerificationReceipt> verification =
      record::decode<VerificationReceipt>(record::encode(verifier.receipt));
  ASSERT_TRUE(verification.has_value());
  EXPECT_EQ(error_of(open_verification(verifier.commitment, *verification, verifier.opened, worker.shards)), "");
}

TEST(ReceiptRecords, FieldsOfAnotherFormDoNotDecode) {
  const Worker worker(3);
  const auto error = [&](std::initializer_list<std::string_view> path, dagcbor::Value wrong) {
    dagcbor::Value value = record::to_value(worker.receipt);
    dagcbor::Value* at = &value;
    std::string_view last;
    for (const std::string_view name : path) {
      if (!last.empty()) at = &std::get<dagcbor::Map>(at->variant()).find(last)->second;
      last = name;
    }
    std::get<dagcbor::Map>(at->variant()).insert_or_assign(std::string(last), std::move(wrong));
    return error_of(record::decode<ExecutionReceipt>(dagcbor::encode(value)));
  };
  EXPECT_EQ(error({"key"}, dagcbor::Value(Bytes(32))), "");
  EXPECT_EQ(error({"key"}, dagcbor::Value(Bytes(31))), "field \"key\": expected 32 bytes");
  EXPECT_EQ(error({"findings", "log"}, dagcbor::List{dagcbor::Value(std::int64_t{-1})}),
            "field \"findings\": field \"log\": item 0: expected an unsigned integer of 32 bits");
  EXPECT_EQ(error({"findings", "outcome"}, dagcbor::List{dagcbor::Value(std::uint64_t{1} << 32)}),
            "field \"findings\": field \"outcome\": item 0: expected an unsigned integer of 32 bits");
  EXPECT_EQ(error({"findings", "results"}, dagcbor::List{dagcbor::Value("a text")}),
            "field \"findings\": field \"results\": item 0: expected a link");
  EXPECT_EQ(error({"findings", "results"}, dagcbor::Value("a text")),
            "field \"findings\": field \"results\": expected a list");
  EXPECT_EQ(error({"usage", "surprise"}, dagcbor::Value("a text")),
            "field \"usage\": the map has a field that is not known here");
}

}  // namespace
}  // namespace mesh::receipt
