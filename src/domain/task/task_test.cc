// Intents at every bound, shard ranges that lie, outcomes and functions that are too much.
#include <gtest/gtest.h>

#include <functional>

#include "codec/utf8.h"
#include "domain/task/function.h"
#include "domain/task/outcome.h"
#include "domain/task/task_testing.h"

namespace mesh::task {
namespace {

constexpr std::uint32_t day_ms = 86'400'000;

/// The error of a valid intent with one change; empty if it is still valid.
std::string error_with(const std::function<void(TaskIntent&)>& change) {
  TaskIntent intent = testing::intent();
  change(intent);
  const Status valid = validate(intent, {});
  return valid ? "" : valid.error().message;
}

TEST(Intent, TheOneThatTestsBeginWithIsValid) {
  EXPECT_EQ(error_with([](TaskIntent&) {}), "");
}

TEST(Intent, NumbersHoldAtTheirBoundsAndNotPastThem) {
  struct Case {
    std::string name;
    std::uint64_t low, high;
    std::uint64_t type_max;
    std::function<void(TaskIntent&, std::uint64_t)> set;
  };
  const auto narrow = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
  const std::vector<Case> cases{
      {"the number of shards", 1, 1048576, UINT32_MAX, [&](TaskIntent& i, std::uint64_t v) { i.shards = narrow(v); }},
      {"the number of verifiers", 0, 7, UINT32_MAX, [&](TaskIntent& i, std::uint64_t v) { i.verifiers = narrow(v); }},
      {"bid_window_ms", 1, 60'000, UINT32_MAX, [&](TaskIntent& i, std::uint64_t v) { i.bid_window_ms = narrow(v); }},
      {"memory_mb", 1, 4096, UINT64_MAX, [](TaskIntent& i, std::uint64_t v) { i.scope.memory_mb = v; }},
      {"fuel", 1, std::uint64_t{1} << 60, UINT64_MAX, [](TaskIntent& i, std::uint64_t v) { i.scope.fuel = v; }},
      {"io_mb", 1, 1024, UINT64_MAX, [](TaskIntent& i, std::uint64_t v) { i.scope.io_mb = v; }},
      {"fetch_ms", 1, day_ms, UINT32_MAX, [&](TaskIntent& i, std::uint64_t v) { i.limits.fetch_ms = narrow(v); }},
      {"run_ms", 1, day_ms, UINT32_MAX, [&](TaskIntent& i, std::uint64_t v) { i.limits.run_ms = narrow(v); }},
      {"nonce_ms", 1, day_ms, UINT32_MAX, [&](TaskIntent& i, std::uint64_t v) { i.limits.nonce_ms = narrow(v); }},
      {"reveal_ms", 1, day_ms, UINT32_MAX, [&](TaskIntent& i, std::uint64_t v) { i.limits.reveal_ms = narrow(v); }},
  };
  for (const Case& c : cases) {
    const auto error_at = [&](std::uint64_t value) {
      return error_with([&](TaskIntent& intent) { c.set(intent, value); });
    };
    const std::string text =
        c.name + " is between " + std::to_string(c.low) + " and " + std::to_string(c.high) + ", not ";
    EXPECT_EQ(error_at(c.low), "");
    EXPECT_EQ(error_at(c.high), "");
    EXPECT_EQ(error_at(c.high + 1), text + std::to_string(c.high + 1));
    EXPECT_EQ(error_at(c.type_max), text + std::to_string(c.type_max));
    if (c.low > 0) {
      EXPECT_EQ(error_at(0), text + "0");
    }
  }
  EXPECT_EQ(error_with([](TaskIntent& i) { i.limits.total_ms = 0; }), "total_ms is at least 1");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.limits.total_ms = UINT32_MAX; }), "");
}

TEST(Intent, TextsAreBounded) {
  EXPECT_EQ(error_with([](TaskIntent& i) { i.label = std::string(128, 'a'); }), "");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.label = std::string(129, 'a'); }),
            "the label's length is between 0 and 128, not 129");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.owner = std::string(129, 'a'); }),
            "the owner's length is between 0 and 128, not 129");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.engine = std::string(256, 'a'); }), "");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.engine = std::string(257, 'a'); }),
            "the engine's length is between 1 and 256, not 257");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.engine.clear(); }), "the engine's length is between 1 and 256, not 0");
}

TEST(Intent, TextThatIsNotUtf8IsNotSigned) {
  EXPECT_EQ(error_with([](TaskIntent& i) { i.label = "na\xc3\xafve \xe2\x82\xac"; }), "");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.label = "cut \xe2\x82"; }), "the label is not UTF-8 text");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.owner = "\xff"; }), "the owner is not UTF-8 text");
  EXPECT_EQ(error_with([](TaskIntent& i) { i.engine = "\xed\xa0\x80"; }), "the engine is not UTF-8 text");
}

TEST(Intent, TextThatIsNotUtf8IsNotDecoded) {
  TaskIntent intent = testing::intent();
  intent.label = "\xff";
  const Result<Signed<TaskIntent>> opened = open<TaskIntent>(testing::signer(1).seal(intent), testing::federation());
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("text that is not UTF-8"), std::string::npos) << opened.error().message;
}

TEST(Intent, EveryTruncationAndEveryFlippedBitIsRefused) {
  const Envelope good = testing::signer(1).seal(testing::intent());
  ASSERT_TRUE(open<TaskIntent>(good, testing::federation()).has_value());
  for (std::size_t size = 0; size < good.body.size(); ++size) {
    Envelope cut = good;
    cut.body.resize(size);
    EXPECT_FALSE(open<TaskIntent>(cut, testing::federation()).has_value()) << size;
  }
  for (std::size_t bit = 0; bit < good.body.size() * 8; bit += 3) {
    Envelope flipped = good;
    flipped.body[bit / 8] = static_cast<std::uint8_t>(flipped.body[bit / 8] ^ (1U << bit % 8));
    EXPECT_FALSE(open<TaskIntent>(flipped, testing::federation()).has_value()) << bit;
  }
}

TEST(Intent, AStricterPolicyBoundsItMore) {
  policy::MeshPolicy policy;
  policy.scheduling.max_shards_per_task = 3;
  EXPECT_EQ(validate(testing::intent(4), policy).error().message, "the number of shards is between 1 and 3, not 4");
  EXPECT_TRUE(validate(testing::intent(3), policy).has_value());
}

TEST(Intent, RoundsFollowFromTheShards) {
  EXPECT_EQ(max_rounds(1), 20U);
  EXPECT_EQ(max_rounds(100), 416U);
  EXPECT_EQ(max_rounds(1020), 4096U);
  EXPECT_EQ(max_rounds(16384), 4096U);
  EXPECT_EQ(max_rounds(UINT32_MAX), 4096U) << "does not wrap";
}

TEST(ShardRanges, ComeBackAsTheyWent) {
  const std::vector<std::vector<std::uint32_t>> lists{{}, {0}, {0, 1, 2}, {1, 3, 5}, {0, 1, 5, 6, 7, 9}, {16383}};
  for (const std::vector<std::uint32_t>& list : lists) EXPECT_EQ(expand(ranges_of(list), 16384), list);
  EXPECT_EQ(ranges_of({0, 1, 5, 6, 7, 9}), (std::vector<ShardRange>{{0, 2}, {5, 3}, {9, 1}}));
  EXPECT_EQ(ranges_of({UINT32_MAX - 1, UINT32_MAX}), (std::vector<ShardRange>{{UINT32_MAX - 1, 2}}));
  // All subsets of eight shards.
  for (unsigned subset = 0; subset < 256; ++subset) {
    std::vector<std::uint32_t> list;
    for (std::uint32_t shard = 0; shard < 8; ++shard) {
      if ((subset >> shard & 1U) != 0) list.push_back(shard);
    }
    EXPECT_EQ(expand(ranges_of(list), 8), list);
  }
}

TEST(ShardRanges, ThatLieAreRefused) {
  const auto refused = [](const std::vector<ShardRange>& ranges, std::uint32_t shards) {
    const Result<std::vector<std::uint32_t>> expanded = expand(ranges, shards);
    if (!expanded) {
      EXPECT_EQ(expanded.error().message,
                "shard ranges must be ascending, not empty, apart, and below " + std::to_string(shards));
    }
    return !expanded.has_value();
  };
  EXPECT_TRUE(refused({{0, 0}}, 8)) << "empty";
  EXPECT_TRUE(refused({{0, 9}}, 8)) << "past the end";
  EXPECT_TRUE(refused({{8, 1}}, 8)) << "at the end";
  EXPECT_TRUE(refused({{4, 2}, {0, 2}}, 8)) << "descending";
  EXPECT_TRUE(refused({{0, 4}, {3, 2}}, 8)) << "overlapping";
  EXPECT_TRUE(refused({{2, 1}, {2, 1}}, 8)) << "twice";
  EXPECT_TRUE(refused({{0, 1}, {1, 0}}, 8));
  EXPECT_TRUE(refused({{0, 1}}, 0));
  EXPECT_TRUE(refused({{0, UINT32_MAX}}, 16384)) << "a huge count is refused before anything is allocated";
  EXPECT_TRUE(refused({{UINT32_MAX, UINT32_MAX}}, 16384));
  EXPECT_TRUE(refused({{UINT32_MAX, 1}}, UINT32_MAX));
  EXPECT_TRUE(refused({{1, UINT32_MAX}}, 16384)) << "first + count wraps to 0 in 32 bits";
  EXPECT_FALSE(refused({{0, 8}}, 8));
  EXPECT_FALSE(refused({{0, 1}, {1, 7}}, 8)) << "adjacent is apart";
  EXPECT_FALSE(refused({}, 8));
}

TEST(Outcome, SaysWhatItCameTo) {
  EXPECT_TRUE(Outcome{}.succeeded());
  EXPECT_EQ(Outcome{}.text(), "exit code 0");
  Outcome outcome{.kind = OutcomeKind::exited, .exit_code = 3, .trap = {}, .backtrace = {}, .detail = {}};
  EXPECT_FALSE(outcome.succeeded());
  EXPECT_EQ(outcome.text(), "exit code 3");
  outcome = {.kind = OutcomeKind::trapped, .exit_code = 0, .trap = "unreachable", .backtrace = {}, .detail = {}};
  EXPECT_FALSE(outcome.succeeded());
  EXPECT_EQ(outcome.text(), "trap: unreachable");
  outcome.backtrace = {"inner", "outer"};
  EXPECT_EQ(outcome.text(), "trap: unreachable in inner");
  outcome = {.kind = OutcomeKind::refused, .exit_code = 0, .trap = {}, .backtrace = {}, .detail = "no module"};
  EXPECT_EQ(outcome.text(), "refused: no module");
  EXPECT_FALSE(outcome.succeeded()) << "an exit code of 0 counts for a run that exited alone";
}

TEST(Outcome, KindsHaveOneNameEach) {
  const std::vector<std::string_view> names{"exited",          "trapped",          "out-of-fuel", "out-of-memory",
                                            "stack-exhausted", "output-too-large", "refused"};
  EXPECT_TRUE(std::ranges::equal(enum_names(OutcomeKind{}), names));
  for (std::size_t kind = 0; kind < names.size(); ++kind) {
    const Outcome outcome{
        .kind = static_cast<OutcomeKind>(kind), .exit_code = 0, .trap = {}, .backtrace = {}, .detail = {}};
    EXPECT_EQ(record::decode<Outcome>(record::encode(outcome)), outcome);
    EXPECT_FALSE(outcome.text().empty());
  }
  dagcbor::Value unknown = record::to_value(Outcome{});
  std::get<dagcbor::Map>(unknown.variant()).insert_or_assign("kind", dagcbor::Value("exploded"));
  EXPECT_EQ(record::decode<Outcome>(dagcbor::encode(unknown)).error().message,
            "field \"kind\": unknown value \"exploded\"");
}

TEST(Outcome, TextsHoldAtTheirBoundsAndNotPastThem) {
  Outcome outcome;
  outcome.trap = std::string(Outcome::max_trap_bytes, 't');
  outcome.detail = std::string(Outcome::max_detail_bytes, 'd');
  outcome.backtrace.assign(Outcome::max_frames, std::string(Outcome::max_frame_bytes, 'f'));
  EXPECT_TRUE(validate(outcome).has_value());
  EXPECT_EQ(bounded(outcome), outcome) << "what is within its bounds stays as it is";
  const auto error_with = [&](const std::function<void(Outcome&)>& change) {
    Outcome changed = outcome;
    change(changed);
    EXPECT_TRUE(validate(bounded(changed)).has_value());
    const Status valid = validate(changed);
    return valid ? "" : valid.error().message;
  };
  EXPECT_EQ(error_with([](Outcome& o) { o.trap += 't'; }), "the name of an outcome's trap has at most 128 bytes");
  EXPECT_EQ(error_with([](Outcome& o) { o.detail += 'd'; }), "the detail of an outcome has at most 1024 bytes");
  EXPECT_EQ(error_with([](Outcome& o) { o.backtrace.emplace_back(); }),
            "the backtrace of an outcome has at most 64 frames");
  EXPECT_EQ(error_with([](Outcome& o) { o.backtrace[63] += 'f'; }),
            "a frame of an outcome's backtrace has at most 256 bytes");
}

TEST(Outcome, BoundedIsUtf8WhateverTheGuestSaid) {
  Outcome outcome;
  outcome.trap = "\xff";
  outcome.detail = std::string(Outcome::max_detail_bytes - 1, 'd') + "\xe2\x82\xac";
  outcome.backtrace = {"\xc0\x80"};
  const Outcome taken = bounded(outcome);
  EXPECT_EQ(taken.detail, std::string(Outcome::max_detail_bytes - 1, 'd')) << "cut before the character";
  EXPECT_TRUE(is_utf8(taken.trap) && is_utf8(taken.backtrace.front()));
  EXPECT_FALSE(record::decode<Outcome>(record::encode(outcome)).has_value());
  EXPECT_EQ(record::decode<Outcome>(record::encode(taken)), taken);
  EXPECT_EQ(bounded(taken), taken);
}

FunctionNode function_node() {
  return {.runtime = testing::content("runtime"),
          .root = {},
          .program = testing::record("program"),
          .args = {"python", "main.py"},
          .env = {"HOME=/"},
          .abi = Abi::wasi};
}

TEST(Function, IsBounded) {
  const auto error_with = [](const std::function<void(FunctionNode&)>& change) {
    FunctionNode node = function_node();
    change(node);
    const Status valid = validate(node);
    return valid ? "" : valid.error().message;
  };
  EXPECT_EQ(error_with([](FunctionNode&) {}), "");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.runtime = {}; }), "the function names no runtime");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.args.assign(256, "a"); }), "");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.args.assign(257, "a"); }),
            "a function has at most 256 arguments, not 257");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.args = {std::string(64 << 10, 'a')}; }), "");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.args = {std::string(64 << 10, 'a'), "a"}; }),
            "the arguments together have at most 65536 bytes, not 65537");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.args = {std::string("a\0b", 3)}; }),
            "a NUL byte is in one of the arguments");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.env.assign(65, "A=b"); }),
            "a function has at most 64 environment variables, not 65");
  EXPECT_EQ(error_with([](FunctionNode& n) { n.env = {"A=" + std::string(16 << 10, 'b')}; }),
            "the environment variables together have at most 16384 bytes, not 16386");
  const std::string_view form = "an environment variable is not of the form NAME=value";
  for (const std::string_view variable : {"", "A", "=b", "="})
    EXPECT_EQ(error_with([&](FunctionNode& n) { n.env = {std::string(variable)}; }), form) << variable;
  EXPECT_EQ(error_with([](FunctionNode& n) { n.env = {"A=", "B=c=d"}; }), "");
}

TEST(Function, ComesBackAsItWent) {
  const FunctionNode node = function_node();
  EXPECT_EQ(record::decode<FunctionNode>(record::encode(node)), node);
  dagcbor::Value unknown = record::to_value(node);
  std::get<dagcbor::Map>(unknown.variant()).insert_or_assign("abi", dagcbor::Value("native"));
  EXPECT_EQ(record::decode<FunctionNode>(dagcbor::encode(unknown)).error().message,
            "field \"abi\": unknown value \"native\"");
}

TEST(Function, EntropyIsOfTheFunctionAndItsInputAlone) {
  const Cid function = testing::content("function");
  const Cid input = testing::content("input");
  // Computed with Python's hashlib over the documented framing: any change gives other results for the same work.
  EXPECT_EQ(entropy_key(function, input).hex(), "dc2e876ad16ff663e18b47e2a65abd275657fee419e0d359eb0310267f0150ef");
  EXPECT_NE(entropy_key(input, function), entropy_key(function, input));
  EXPECT_NE(entropy_key(Cid(Multicodec::dag_cbor, function.digest()), input), entropy_key(function, input));
}

}  // namespace
}  // namespace mesh::task
