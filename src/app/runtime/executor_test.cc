#include "app/runtime/executor.h"

#include <fmt/format.h>

#include "app/runtime/garbage.h"
#include "app/runtime/sealed_inputs.h"
#include "app/runtime/test_content.h"

namespace mesh::app {
namespace {

using node::event::ExecutionDone;
using node::event::ExecutionLog;
using node::event::ExecutionStarted;

// Copies its input to its output, writes "log" to its log.
constexpr std::string_view cat_wat = R"((module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1000) "log")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1000)) (i32.store (i32.const 4) (i32.const 3))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
    (loop $more
      (i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 8192))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (if (i32.load (i32.const 16)) (then
        (i32.store (i32.const 4) (i32.load (i32.const 16)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (br $more))))))
)";
// Copies the beginning of its input to its log and its output; runs for ever if that begins with "loop".
constexpr std::string_view log_input_wat = R"((module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 4) (i32.load (i32.const 16)))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (if (i32.eq (i32.load (i32.const 4096)) (i32.const 0x706f6f6c)) (then (loop $l (br $l))))))
)";
constexpr std::string_view spin_wat =
    R"((module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l)))))";

struct ExecutorTest : testing::Test {
  boost::asio::io_context io;
  TestStore ours, theirs;
  TestOpener opener, nobody;
  NodeId us = test_node(1), they = test_node(2);
  std::unique_ptr<wasm::Sandbox> sandbox;
  std::unique_ptr<ContentExchange> content, server;
  std::unique_ptr<Executor> executor;
  std::vector<node::Event> events;
  std::uint64_t next_id = 1;

  ExecutorTest() {
    wasm::Config config;
    config.cache_folder = (ours.folder.path() / "compiled").string();
    config.threads = 1;
    auto made = wasm::Sandbox::create(std::move(config));
    EXPECT_TRUE(made) << made.error().message;
    sandbox = std::move(*made);
    ContentExchange::Limits limits;
    limits.first_pause = Duration(0);
    content = std::make_unique<ContentExchange>(io, *ours.blocks, opener, limits);
    server = std::make_unique<ContentExchange>(io, *theirs.blocks, nobody, ContentExchange::Limits{});
    opener.peers[they] = [this](int end) { server->serve(us, end); };
    executor = std::make_unique<Executor>(io, *ours.blocks, *content, *sandbox, Executor::Limits{}, test_seed(1),
                                          [this](node::Event event) { events.push_back(std::move(event)); });
  }
  ~ExecutorTest() override {
    executor->close();
    sandbox.reset();
    executor.reset();
    content.reset();
    server.reset();
  }

  /// Runs the loop until something of type T came for the id.
  template <class T>
  T wait_for(std::uint64_t id) {
    const auto work = boost::asio::make_work_guard(io);
    io.restart();
    while (true) {
      for (auto it = events.begin(); it != events.end(); ++it) {
        if (auto* found = std::get_if<T>(&*it); found != nullptr && found->id == id) {
          T result = std::move(*found);
          events.erase(it);
          return result;
        }
      }
      io.run_one();
    }
  }

  Cid module(TestStore& store, std::string_view wat) { return store.add(*wasm::wat_to_wasm(wat)); }
  Cid list(TestStore& store, std::vector<Cid> inputs) {
    task::ShardList list;
    if (inputs.size() == 1) {
      list.inputs = std::move(inputs);
      return store.add_record(list);
    }
    for (std::size_t first = 0; first < inputs.size(); first += 2) {
      task::ShardList part;
      for (std::size_t i = first; i < std::min(first + 2, inputs.size()); ++i) part.inputs.push_back(inputs[i]);
      list.parts.push_back({store.add_record(part), static_cast<std::uint32_t>(part.inputs.size())});
    }
    return store.add_record(list);
  }

  std::uint64_t execute(const Cid& function, const Cid& inputs, std::vector<std::uint32_t> shards = {0},
                        std::vector<NodeId> holders = {}) {
    node::effect::Execute effect;
    effect.id = next_id++;
    effect.function = function;
    effect.inputs = inputs;
    effect.shards = std::move(shards);
    effect.fetch_ms = 60'000;
    effect.holders = std::move(holders);
    executor->execute(std::move(effect));
    return next_id - 1;
  }
  Result<ExecutionDone::Output> run(const Cid& function, const Cid& inputs, std::uint32_t shard = 0,
                                    std::vector<NodeId> holders = {}) {
    return only(wait_for<ExecutionDone>(execute(function, inputs, {shard}, std::move(holders))));
  }
  /// The result of a run of one shard.
  static Result<ExecutionDone::Output> only(ExecutionDone done) {
    EXPECT_TRUE(done.last);
    EXPECT_EQ(done.shards.size(), 1U);
    return std::move(done.shards.at(0).result);
  }
  using Results = std::map<std::uint32_t, Result<ExecutionDone::Output>>;
  /// All results of a run, told together or bit by bit, after what was `told` already.
  Results wait_for_all(std::uint64_t id, Results told = {}) {
    while (true) {
      ExecutionDone done = wait_for<ExecutionDone>(id);
      for (ExecutionDone::Shard& shard : done.shards)
        EXPECT_TRUE(told.emplace(shard.shard, std::move(shard.result)).second) << shard.shard << " was told twice";
      if (!done.last) continue;
      io.restart();
      io.poll();  // What else would come of it.
      for (const node::Event& event : events) {
        const auto* more = std::get_if<ExecutionDone>(&event);
        EXPECT_FALSE(more != nullptr && more->id == id) << "something came after the last";
      }
      return told;
    }
  }
  Results run_all(const Cid& function, const Cid& inputs, std::vector<std::uint32_t> shards,
                  std::vector<NodeId> holders = {}) {
    return wait_for_all(execute(function, inputs, std::move(shards), std::move(holders)));
  }
  std::string text_of(const Cid& cid) { return std::string(as_text(*ours.blocks->read_dag_file(cid, 1 << 30))); }
};

TEST_F(ExecutorTest, RunsWhatIsHere) {
  const Cid function = module(ours, cat_wat);
  const Cid inputs = list(ours, {ours.add(as_bytes("first")), ours.add(as_bytes("second"))});
  const std::uint64_t id = execute(function, inputs, {1});
  EXPECT_EQ(wait_for<ExecutionStarted>(id).id, id);
  const auto log = wait_for<ExecutionLog>(id);
  EXPECT_EQ(as_text(log.bytes), "log");
  EXPECT_EQ(log.shard, 1U);
  const auto done = only(wait_for<ExecutionDone>(id));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->finding.outcome.succeeded()) << done->finding.outcome.text();
  EXPECT_EQ(text_of(done->finding.result), "second");
  EXPECT_EQ(text_of(done->finding.log), "log");
  EXPECT_EQ(as_text(done->result_block), "second");
  EXPECT_EQ(as_text(done->log_block), "log");
  EXPECT_GT(done->finding.fuel, 0U);
  EXPECT_EQ(executor->figures().running, 0U);
}

TEST_F(ExecutorTest, FetchesOnlyWhatItNeeds) {
  const Cid function = module(theirs, cat_wat);
  const Bytes large = noise(3'000'000, 1);
  const Cid first = theirs.add(large);
  const Cid second = theirs.add(as_bytes("second"));
  const Cid third = theirs.add(as_bytes("third"));
  const Cid inputs = list(theirs, {first, second, third});
  theirs.declare(function);
  theirs.declare(inputs);
  const auto done = run(function, inputs, 0, {they});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(*ours.blocks->read_dag_file(done->finding.result, 10'000'000), large);
  EXPECT_TRUE(done->result_block.empty());  // Too large to travel along.
  EXPECT_TRUE(ours.blocks->has(second)) << "in the same part of the list";
  EXPECT_FALSE(ours.blocks->has(third));
}

TEST_F(ExecutorTest, FunctionNodesWithTreesAndArguments) {
  task::FunctionNode node;
  node.runtime = module(theirs, cat_wat);
  node.args = {"main", "a"};
  const Cid file = theirs.add(as_bytes("print()"));
  auto folder = asset::build_directory({{.name = "main.py", .cid = file, .total_bytes = 7}});
  ASSERT_TRUE(folder);
  ASSERT_TRUE(theirs.blocks->put(folder->built.cid, folder->block));
  node.program = folder->built.cid;
  node.root = theirs.add(Bytes(1024, 0));  // An empty tar.
  node.env = {"MESH_STDIN_FILE=/dev/stdin"};
  const Cid function = theirs.add_record(node);
  const Cid inputs = list(theirs, {theirs.add(as_bytes("in"))});
  theirs.declare(function);
  theirs.declare(inputs);
  const auto done = run(function, inputs, 0, {they});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->finding.outcome.succeeded()) << done->finding.outcome.text();
  EXPECT_EQ(text_of(done->finding.result), "in");
}

TEST_F(ExecutorTest, AMalformedFunctionIsRefusedTheSameEverywhere) {
  const Cid good = module(ours, cat_wat);
  const Cid inputs = list(ours, {ours.add(as_bytes("x"))});
  const auto folder = asset::build_directory({});
  ASSERT_TRUE(ours.blocks->put(folder->built.cid, folder->block));
  const auto node = [&](auto change) {
    task::FunctionNode made;
    made.runtime = good;
    change(made);
    return ours.add_record(made);
  };
  struct Case {
    std::string what;
    Cid function, inputs;
    std::uint32_t shard = 0;
  };
  const std::vector<Case> cases{
      {"does not read", list(ours, {good}), inputs},
      {"not valid", node([](auto& f) { f.env = {"no-equals-sign"}; }), inputs},
      {"is no module: it is a record", node([&](auto& f) { f.runtime = inputs; }), inputs},
      {"is a folder", node([&](auto& f) { f.runtime = folder->built.cid; }), inputs},
      {"the function's root", node([&](auto& f) { f.root = ours.add(as_bytes("no tar at all, but some text")); }),
       inputs},
      {"the function's root", node([&](auto& f) { f.root = inputs; }), inputs},
      {"the function's program", node([&](auto& f) { f.program = inputs; }), inputs},
      {"MESH_STDIN_FILE", node([](auto& f) { f.env = {"MESH_STDIN_FILE=../x"}; }), inputs},
      {"", ours.add(as_bytes("this is no module")), inputs},
      {"the shard list does not read", good, node([](auto&) {})},
      {"no shard 7", good, inputs, 7},
      {"the input of shard 0 is a record", good, list(ours, {inputs})},
      {"not a file", good, list(ours, {folder->built.cid})},
  };
  for (const Case& one : cases) {
    const auto done = run(one.function, one.inputs, one.shard);
    ASSERT_TRUE(done) << one.what << ": " << done.error().message;
    EXPECT_EQ(done->finding.outcome.kind, task::OutcomeKind::refused) << one.what;
    EXPECT_NE(done->finding.outcome.detail.find(one.what), std::string::npos) << done->finding.outcome.detail;
    EXPECT_EQ(done->finding.fuel, 0U);
    EXPECT_EQ(done->finding.result, Cid::of(Multicodec::raw, ByteView()));
    EXPECT_EQ(run(one.function, one.inputs, one.shard)->finding, done->finding);
  }
}

TEST_F(ExecutorTest, WhatCannotBeHadIsAnErrorNotAnOutcome) {
  const Cid function = module(ours, cat_wat);
  const Cid missing = Cid::of(Multicodec::raw, as_bytes("nobody has it"));
  const auto done = run(function, list(ours, {missing}), 0, {they});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::unavailable);
  EXPECT_FALSE(run(missing, list(ours, {ours.add(as_bytes("x"))})));
  EXPECT_EQ(executor->figures().failed, 2U);
}

TEST_F(ExecutorTest, ACancelledRunEndsOnce) {
  const Cid inputs = list(ours, {ours.add(as_bytes("x"))});
  const std::uint64_t id = execute(module(ours, spin_wat), inputs);
  wait_for<ExecutionStarted>(id);
  executor->cancel(id);
  const auto done = only(wait_for<ExecutionDone>(id));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::denied);
  executor->cancel(id);
  // One that still waits for its content ends at once.
  std::vector<int> held;
  opener.peers[they] = [&held](int end) { held.push_back(end); };
  const std::uint64_t waiting = execute(Cid::of(Multicodec::raw, as_bytes("later")), inputs, {0}, {they});
  executor->cancel(waiting);
  EXPECT_EQ(only(wait_for<ExecutionDone>(waiting)).error().code, ErrorCode::denied);
  for (const int end : held) ::close(end);
}

// ---- Runs of several shards.

TEST_F(ExecutorTest, ARunOfManyShardsTellsEachOnce) {
  std::vector<Cid> inputs;
  for (std::uint32_t shard = 0; shard < 300; ++shard)
    inputs.push_back(theirs.add(as_bytes(fmt::format("input {}", shard / 2))));  // Two follow one another alike.
  const Cid function = module(theirs, cat_wat);
  const Cid list_of_all = list(theirs, inputs);
  theirs.declare(function);
  theirs.declare(list_of_all);
  std::vector<std::uint32_t> shards;
  for (std::uint32_t shard = 299; shard >= 100; --shard) shards.push_back(shard);
  const Results results = run_all(function, list_of_all, shards, {they});
  ASSERT_EQ(results.size(), 200U);
  for (const auto& [shard, result] : results) {
    EXPECT_GE(shard, 100U);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(as_text(result->result_block), fmt::format("input {}", shard / 2));
    EXPECT_EQ(as_text(result->log_block), "log");
    EXPECT_EQ(text_of(result->finding.result), fmt::format("input {}", shard / 2));
  }
  EXPECT_FALSE(ours.blocks->has(inputs[0])) << "what no shard of the run needs is not fetched";
  EXPECT_EQ(executor->figures().started, 200U);
  EXPECT_EQ(executor->figures().failed, 0U);
  EXPECT_EQ(executor->figures().running, 0U);
  // What a shard comes to is no matter of what ran with it.
  EXPECT_EQ(run(function, list_of_all, 150)->finding, results.at(150)->finding);
}

TEST_F(ExecutorTest, LogsOfARunNameTheirShards) {
  const Cid function = module(ours, log_input_wat);
  std::vector<Cid> inputs;
  for (std::uint32_t shard = 0; shard < 5; ++shard)
    inputs.push_back(ours.add(as_bytes(fmt::format("log of {}", shard))));
  const std::uint64_t id = execute(function, list(ours, inputs), {4, 0, 2});
  EXPECT_EQ(wait_for_all(id).size(), 3U);
  std::map<std::uint32_t, std::string> logs;
  for (const node::Event& event : events) {
    const auto* log = std::get_if<ExecutionLog>(&event);
    if (log != nullptr && log->id == id) logs[log->shard] += as_text(log->bytes);
  }
  EXPECT_EQ(logs, (std::map<std::uint32_t, std::string>{{0, "log of 0"}, {2, "log of 2"}, {4, "log of 4"}}));
}

TEST_F(ExecutorTest, ARefusedInputHarmsNoOtherShard) {
  const Cid function = module(ours, cat_wat);
  const auto folder = asset::build_directory({});
  ASSERT_TRUE(ours.blocks->put(folder->built.cid, folder->block));
  const Cid file = ours.add(as_bytes("a file"));
  const Cid inputs = list(ours, {file, folder->built.cid, function, list(ours, {file}), file});
  const Results together = run_all(function, inputs, {0, 1, 3, 4, 5, 4'000'000'000});
  ASSERT_EQ(together.size(), 6U);
  for (const std::uint32_t shard : {0U, 4U}) {
    ASSERT_TRUE(together.at(shard)) << shard;
    EXPECT_TRUE(together.at(shard)->finding.outcome.succeeded());
    EXPECT_EQ(text_of(together.at(shard)->finding.result), "a file");
  }
  const std::map<std::uint32_t, std::string> texts{{1, "not a file"},
                                                   {3, "the input of shard 3 is a record, not a file"},
                                                   {5, "there is no shard 5 in a shard list of 5"},
                                                   {4'000'000'000, "there is no shard 4000000000"}};
  for (const auto& [shard, text] : texts) {
    ASSERT_TRUE(together.at(shard)) << shard << ": no error of this host";
    const receipt::Finding& finding = together.at(shard)->finding;
    EXPECT_EQ(finding.outcome.kind, task::OutcomeKind::refused) << shard;
    EXPECT_NE(finding.outcome.detail.find(text), std::string::npos) << finding.outcome.detail;
    EXPECT_EQ(run(function, inputs, shard)->finding, finding) << "the same as by itself: else the honest would differ";
  }
  EXPECT_EQ(run(function, inputs, 4)->finding, together.at(4)->finding);
  // None that can run.
  EXPECT_EQ(run_all(function, inputs, {1, 3, 5}).size(), 3U);
  EXPECT_EQ(executor->figures().running, 0U);
}

TEST_F(ExecutorTest, AFunctionThatIsRefusedIsSoForEveryShard) {
  const Cid inputs = list(ours, {ours.add(as_bytes("x")), ours.add(as_bytes("y"))});
  for (const Cid& function : {list(ours, {}), ours.add(as_bytes("this is no module"))}) {
    const Results results = run_all(function, inputs, {0, 1});
    ASSERT_EQ(results.size(), 2U);
    for (const auto& [shard, result] : results) {
      ASSERT_TRUE(result) << result.error().message;
      EXPECT_EQ(result->finding.outcome.kind, task::OutcomeKind::refused);
      EXPECT_EQ(run(function, inputs, shard)->finding, result->finding);
    }
  }
}

TEST_F(ExecutorTest, WhatCannotBeHadIsAnErrorOfEveryShard) {
  const Cid function = module(ours, cat_wat);
  const Cid here = ours.add(as_bytes("here"));
  const Cid missing = Cid::of(Multicodec::raw, as_bytes("nobody has it"));
  const Results results = run_all(function, list(ours, {here, missing, here}), {0, 1, 2}, {they});
  ASSERT_EQ(results.size(), 3U);
  for (const auto& [shard, result] : results) {
    ASSERT_FALSE(result) << shard;
    EXPECT_EQ(result.error().code, ErrorCode::unavailable) << shard;
  }
  EXPECT_EQ(executor->figures().failed, 3U);
  EXPECT_EQ(executor->figures().running, 0U);
}

TEST_F(ExecutorTest, ACancelledRunGivesAnErrorForWhatHadNotEnded) {
  // Shard 1 runs for ever, once it has said so.
  const Cid function = module(ours, log_input_wat);
  const Cid inputs = list(ours, {ours.add(as_bytes("one")), ours.add(as_bytes("loop")), ours.add(as_bytes("three"))});
  const std::uint64_t id = execute(function, inputs, {0, 1, 2, 7});
  while (wait_for<ExecutionLog>(id).shard != 1) {
  }
  executor->cancel(id);
  const Results results = wait_for_all(id);
  ASSERT_EQ(results.size(), 4U);
  ASSERT_TRUE(results.at(0)) << results.at(0).error().message;
  EXPECT_EQ(text_of(results.at(0)->finding.result), "one");
  EXPECT_EQ(results.at(7)->finding.outcome.kind, task::OutcomeKind::refused);
  for (const std::uint32_t shard : {1U, 2U}) {
    ASSERT_FALSE(results.at(shard)) << shard;
    EXPECT_EQ(results.at(shard).error().code, ErrorCode::denied);
  }
  executor->cancel(id);
  EXPECT_EQ(executor->figures().running, 0U);
  // Before its content is there: all of them.
  std::vector<int> held;
  opener.peers[they] = [&held](int end) { held.push_back(end); };
  const std::uint64_t waiting = execute(Cid::of(Multicodec::raw, as_bytes("later")), inputs, {0, 2}, {they});
  executor->cancel(waiting);
  const Results none = wait_for_all(waiting);
  ASSERT_EQ(none.size(), 2U);
  for (const auto& [shard, result] : none) EXPECT_EQ(result.error().code, ErrorCode::denied);
  for (const int end : held) ::close(end);
}

TEST_F(ExecutorTest, ReduceInputJoinsLines) {
  node::effect::BuildReduceInput effect;
  effect.id = 5;
  for (const std::string_view text : {"one", "two\n", "", "three\nfour"})
    effect.results.push_back(ours.add(as_bytes(text)));
  executor->build_reduce_input(effect);
  const auto built = wait_for<node::event::ReduceInputBuilt>(5).inputs;
  ASSERT_TRUE(built) << built.error().message;
  const auto shards = record::decode<task::ShardList>(**ours.blocks->get(*built));
  ASSERT_EQ(shards->inputs.size(), 1U);
  EXPECT_EQ(text_of(shards->inputs[0]), "one\ntwo\nthree\nfour\n");
  effect.id = 6;
  effect.results.push_back(Cid::of(Multicodec::raw, as_bytes("missing")));
  executor->build_reduce_input(effect);
  EXPECT_FALSE(wait_for<node::event::ReduceInputBuilt>(6).inputs);
}

// ---- Sealed inputs.

struct SealedExecutorTest : ExecutorTest {
  NodeId own = public_key_of(test_seed(1));
  Cid intent = Cid::of(Multicodec::dag_cbor, as_bytes("intent"));

  static Bytes sealed(ByteView plain, const NodeId& recipient) {
    Bytes bytes;
    auto sealer = sealing::Sealer::start(std::span(&recipient, 1), [&](ByteView more) -> Status {
      append(bytes, more);
      return {};
    });
    EXPECT_TRUE(sealer && sealer->feed(plain) && sealer->finish());
    return bytes;
  }
  /// The keys of inputs that were sealed for the node of `seed`, as that gives them to this node.
  verification::WrappedKey key_of(const Cid& input, const Seed& publisher, std::uint32_t shard, const NodeId& to) {
    SealedInputs inputs(*theirs.blocks, publisher);
    const auto key = inputs.own_key(input);
    EXPECT_TRUE(key) << key.error().message;
    const auto wrapper = sealing::KeyWrapper::start(to, intent.binary());
    EXPECT_TRUE(wrapper);
    return {.point = verification::KeyPoint(wrapper->point()),
            .key = verification::WrappedKeyBytes(wrapper->wrap(*key, shard))};
  }
  ExecutionDone run_sealed(const Cid& function, const Cid& inputs, std::vector<std::uint32_t> shards,
                           std::vector<verification::WrappedKey> keys) {
    node::effect::Execute effect;
    effect.id = next_id++;
    effect.intent = intent;
    effect.function = function;
    effect.inputs = inputs;
    effect.shards = std::move(shards);
    effect.fetch_ms = 60'000;
    effect.holders = {they};
    effect.sealed = true;
    effect.keys = std::move(keys);
    const std::uint64_t id = effect.id;
    executor->execute(std::move(effect));
    ExecutionDone all{.id = id, .shards = {}, .last = false};
    while (!all.last) {
      ExecutionDone done = wait_for<ExecutionDone>(id);
      all.last = done.last;
      for (auto& shard : done.shards) all.shards.push_back(std::move(shard));
    }
    std::ranges::sort(all.shards, {}, &ExecutionDone::Shard::shard);
    return all;
  }
};

TEST_F(SealedExecutorTest, AGuestSeesTheContentAndNothingOfItIsKept) {
  const Cid function = module(theirs, cat_wat);
  const Seed publisher = test_seed(2);
  const std::vector<Bytes> contents{to_bytes("a secret"), {}, noise(2'500'000, 3)};
  std::vector<Cid> files;
  for (const Bytes& one : contents) files.push_back(theirs.add(sealed(one, public_key_of(publisher))));
  const Cid inputs = list(theirs, files);
  theirs.declare(function);
  theirs.declare(inputs);
  std::vector<verification::WrappedKey> keys;
  for (std::uint32_t shard = 0; shard < 3; ++shard) keys.push_back(key_of(files[shard], publisher, shard, own));
  const ExecutionDone done = run_sealed(function, inputs, {0, 1, 2}, keys);
  ASSERT_EQ(done.shards.size(), 3U);
  for (std::uint32_t shard = 0; shard < 3; ++shard) {
    ASSERT_TRUE(done.shards[shard].result) << done.shards[shard].result.error().message;
    EXPECT_FALSE(done.shards[shard].is_key_wrong);
    EXPECT_EQ(*ours.blocks->read_dag_file(done.shards[shard].result->finding.result, 1 << 30), contents[shard]);
    EXPECT_TRUE(ours.blocks->has(files[shard])) << "as it came, to be served on";
  }
}

TEST_F(SealedExecutorTest, RandomnessIsOfTheSealedFile) {
  // Writes eight random bytes.
  const Cid function = module(ours, R"((module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
      (drop (call $random (i32.const 100) (i32.const 8)))
      (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 8))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))))");
  const Cid file = ours.add(sealed(as_bytes("secret"), own));
  const Cid again = ours.add(sealed(as_bytes("secret"), own));
  const Cid inputs = list(ours, {file, file, again});
  // As the publisher, by the header; as bytes that are no sealed task's.
  const ExecutionDone done = run_sealed(function, inputs, {0, 1, 2}, {});
  ASSERT_EQ(done.shards.size(), 3U);
  const Cid first = done.shards[0].result->finding.result;
  EXPECT_EQ(done.shards[1].result->finding.result, first);
  EXPECT_NE(done.shards[2].result->finding.result, first);
  const auto plain = run(function, inputs);
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->finding.result, first) << "by the CID in the list alone";
}

TEST_F(SealedExecutorTest, AKeyThatDoesNotFitIsNoOutcome) {
  const Cid function = module(theirs, cat_wat);
  const Seed publisher = test_seed(2);
  const NodeId author = public_key_of(publisher);
  const std::vector<Cid> files{theirs.add(sealed(as_bytes("a"), author)), theirs.add(sealed(as_bytes("b"), author)),
                               theirs.add(sealed(as_bytes("c"), author)), theirs.add(sealed(as_bytes("d"), author))};
  const Cid inputs = list(theirs, files);
  theirs.declare(function);
  theirs.declare(inputs);
  const ExecutionDone done =
      run_sealed(function, inputs, {0, 1, 2, 3},
                 {key_of(files[0], publisher, 0, own), key_of(files[0], publisher, 1, own),  // Of another file.
                  key_of(files[2], publisher, 3, own),  // For another shard.
                  key_of(files[3], publisher, 3, public_key_of(test_seed(4)))});  // For another node.
  ASSERT_EQ(done.shards.size(), 4U);
  EXPECT_TRUE(done.shards[0].result);
  for (std::uint32_t shard = 1; shard < 4; ++shard) {
    ASSERT_FALSE(done.shards[shard].result) << shard;
    EXPECT_TRUE(done.shards[shard].is_key_wrong) << shard;
  }
}

TEST_F(SealedExecutorTest, AFileThatIsDamagedIsRefusedLikeEverywhere) {
  const Cid function = module(ours, cat_wat);
  Bytes damaged = sealed(as_bytes("a secret"), own);
  damaged.back() ^= 1U;
  const Cid inputs = list(ours, {ours.add(damaged), ours.add(as_bytes("plain text, of some length")),
                                 ours.add(ByteView(damaged).first(100))});
  const ExecutionDone done = run_sealed(function, inputs, {0, 1, 2}, {});
  ASSERT_EQ(done.shards.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& result = done.shards[i].result;
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->finding.outcome.kind, task::OutcomeKind::refused);
    EXPECT_TRUE(result->finding.outcome.detail.starts_with("the sealed input: ")) << result->finding.outcome.detail;
  }
}

TEST_F(SealedExecutorTest, KeysAreWrappedForOthers) {
  const NodeId reader = public_key_of(test_seed(3));
  const std::vector<Cid> files{ours.add(sealed(as_bytes("a"), own)), ours.add(sealed(as_bytes("b"), own)),
                               ours.add(sealed(as_bytes("c"), reader)), ours.add(as_bytes("plain"))};
  const Cid inputs = list(ours, files);
  const auto wrap = [&](std::vector<std::uint32_t> shards, std::vector<verification::WrappedKey> keys,
                        const NodeId& to) {
    const std::uint64_t id = next_id++;
    executor->wrap_keys(
        {.id = id, .intent = intent, .inputs = inputs, .to = to, .shards = std::move(shards), .keys = std::move(keys)});
    return wait_for<node::event::KeysWrapped>(id);
  };
  const auto opens = [&](const node::event::KeysWrapped& wrapped, std::size_t number, const Seed& seed) {
    SealedInputs readers(*ours.blocks, seed);
    const verification::WrappedKey key{.point = wrapped.keys->point, .key = wrapped.keys->keys.at(number)};
    const auto opened = readers.unwrap(intent, wrapped.shards.at(number), key);
    return opened ? readers.open(files[wrapped.shards[number]], *opened, 1 << 20) : std::unexpected(opened.error());
  };
  const auto given = wrap({0, 1}, {}, reader);
  ASSERT_TRUE(given.keys) << given.keys.error().message;
  EXPECT_EQ(given.to, reader);
  EXPECT_EQ(opens(given, 0, test_seed(3)), to_bytes("a"));
  EXPECT_EQ(opens(given, 1, test_seed(3)), to_bytes("b"));
  EXPECT_FALSE(opens(given, 1, test_seed(4)));
  // Passed on by one that was given them, as a worker does.
  verification::WrappedKey held{.point = {}, .key = {}};
  const auto to_us = wrap({1}, {}, own);
  held = {.point = to_us.keys->point, .key = to_us.keys->keys[0]};
  const auto passed = wrap({1}, {held}, reader);
  ASSERT_TRUE(passed.keys) << passed.keys.error().message;
  EXPECT_EQ(opens(passed, 0, test_seed(3)), to_bytes("b"));
  held.key.data()[0] ^= 1U;
  EXPECT_EQ(wrap({1}, {held}, reader).keys.error().code, ErrorCode::denied);
  // What this node cannot open it cannot give, and says whose fault that is.
  for (const std::uint32_t shard : {2U, 3U, 9U}) {
    const auto none = wrap({shard}, {}, reader);
    ASSERT_FALSE(none.keys);
    EXPECT_EQ(none.keys.error().code, ErrorCode::invalid) << none.keys.error().message;
  }
  EXPECT_EQ(wrap({0}, {}, NodeId()).keys.error().code, ErrorCode::denied) << "a key that nothing can be wrapped for";
}

TEST_F(ExecutorTest, ResultsOfManyShardsAreGathered) {
  node::effect::FetchResults effect;
  effect.id = 9;
  for (std::uint32_t i = 0; i < 200; ++i) {
    const Cid root = theirs.add(as_bytes(fmt::format("result {}", i)));
    theirs.declare(root);
    effect.roots.emplace_back(root, std::vector<NodeId>{they});
  }
  executor->fetch_results(effect);
  const auto fetched = wait_for<node::event::ResultsFetched>(9);
  ASSERT_TRUE(fetched.status) << fetched.status.error().message;
  for (const auto& [root, holders] : effect.roots) EXPECT_TRUE(ours.blocks->has(root));
  effect.id = 10;
  effect.roots.emplace_back(Cid::of(Multicodec::raw, as_bytes("withheld")), std::vector<NodeId>{they});
  executor->fetch_results(effect);
  EXPECT_FALSE(wait_for<node::event::ResultsFetched>(10).status);
}

TEST(Garbage, OnlyWhatNothingNeedsGoesOldestFirst) {
  TestStore store;
  const Bytes needed = noise(2'500'000, 1);
  const Cid kept = store.add(needed);
  std::vector<Cid> old;
  for (std::uint32_t i = 0; i < 8; ++i) old.push_back(store.add(noise(500'000, 10 + i)));
  const GarbagePolicy keep_all{.keep_bytes = 100'000'000, .youngest = Duration(0)};
  EXPECT_EQ(collect_garbage(*store.blocks, {kept}, keep_all).freed_blocks, 0U);
  const GarbagePolicy young{.keep_bytes = 1'000'000, .youngest = std::chrono::hours(1)};
  EXPECT_EQ(collect_garbage(*store.blocks, {kept}, young).freed_blocks, 0U);
  const GarbagePolicy some{.keep_bytes = 1'000'000, .youngest = Duration(0)};
  const GarbageReport report = collect_garbage(*store.blocks, {kept}, some);
  EXPECT_FALSE(report.failure);
  EXPECT_EQ(report.unneeded_bytes, 4'000'000U);
  EXPECT_EQ(report.freed_bytes, 3'500'000U);
  EXPECT_EQ(*store.blocks->read_dag_file(kept, 10'000'000), needed);
}

}  // namespace
}  // namespace mesh::app
