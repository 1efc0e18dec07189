#include "adapters/wasm/sandbox.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <latch>
#include <mutex>
#include <set>

#include <fmt/format.h>

#include "adapters/wasm/test_sandbox.h"

// The compiler runs as a child process of this very program.
int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "internal-compile") return mesh::wasm::compile_main(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

namespace mesh::wasm {
namespace {

using task::OutcomeKind;

RunResult run_wat(std::string_view wat, const std::function<void(Job&)>& change = {}) {
  Job job = job_of(wat);
  if (change) change(job);
  auto result = shared_sandbox().run(std::move(job));
  EXPECT_TRUE(result) << (result ? "" : result.error().message);
  return result ? std::move(*result) : RunResult{};
}

constexpr std::string_view echo_call = R"((module (memory (export "memory") 2) (global $top (mut i32) (i32.const 1024))
  (func (export "mesh_alloc") (param i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get 0))) (local.get $at))
  (func (export "mesh_run") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1))))))";

/// Writes `size` bytes from memory to a descriptor, `times` times, then ends.
std::string flood(int fd, int size, int times) {
  return fmt::format(
      R"((module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "_start") (local $n i32)
      (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const {}))
      (local.set $n (i32.const {}))
      (loop $again
        (drop (call $write (i32.const {}) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))))",
      size, times, fd);
}

TEST(Sandbox, CallAbiGivesBackWhatTheFunctionReturns) {
  const auto result = run_wat(echo_call, [](Job& job) { job.input = shared("hello, sandbox"); });
  EXPECT_EQ(result.outcome.text(), "exit code 0");
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_EQ(as_text(result.output), "hello, sandbox");
  EXPECT_GT(result.summary.fuel, 0U);
  EXPECT_EQ(result.summary.peak_memory_bytes, 2U << 16U);
  EXPECT_EQ(result.summary.io_bytes, 28U);
}

TEST(Sandbox, CallAbiWithoutInputDoesNotAllocate) {
  const auto result = run_wat(echo_call);
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_TRUE(result.output.empty());
}

TEST(Sandbox, CallResultsOutsideMemoryAreTraps) {
  for (const std::string_view packed :
       {"0xffffffff00000001", "0x00010000_00010001", "0x00000000ffffffff", "0xffffffffffffffff"}) {
    const auto result = run_wat(fmt::format(R"((module (memory (export "memory") 1)
      (func (export "mesh_alloc") (param i32) (result i32) (i32.const 0))
      (func (export "mesh_run") (param i32 i32) (result i64) (i64.const {}))))",
                                            packed));
    EXPECT_EQ(result.outcome.kind, OutcomeKind::trapped) << packed;
    EXPECT_EQ(result.outcome.trap, "mesh_run result out of bounds");
    EXPECT_TRUE(result.output.empty());
  }
  const auto result = run_wat(R"((module (memory (export "memory") 1)
      (func (export "mesh_alloc") (param i32) (result i32) (i32.const -1))
      (func (export "mesh_run") (param i32 i32) (result i64) (i64.const 0))))",
                              [](Job& job) { job.input = shared("x"); });
  EXPECT_EQ(result.outcome.trap, "mesh_alloc result out of bounds");
}

TEST(Sandbox, ExitCodesPassAsTheyAre) {
  for (const std::uint32_t code : {0U, 1U, 3U, 255U, 256U, 0xffffffffU}) {
    const auto result =
        run_wat(fmt::format(R"((module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {})) unreachable)))",
                            code));
    EXPECT_EQ(result.outcome.kind, OutcomeKind::exited);
    EXPECT_EQ(result.outcome.exit_code, code);
  }
}

TEST(Sandbox, TrapsAreNamedWithTheirFunctions) {
  const auto result = run_wat(R"((module (func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
    (func $outer (drop (call $inner (i32.const 0)))) (func (export "_start") (call $outer))))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::trapped);
  EXPECT_EQ(result.outcome.trap, "integer divide by zero");
  EXPECT_EQ(result.outcome.backtrace, (std::vector<std::string>{"inner", "outer", "function 2"}));
  EXPECT_EQ(run_wat("(module (func (export \"_start\") unreachable))").outcome.trap, "unreachable");
  EXPECT_EQ(
      run_wat("(module (memory 1) (func (export \"_start\") (i32.store (i32.const -1) (i32.const 0))))").outcome.trap,
      "out of bounds memory access");
  EXPECT_EQ(run_wat("(module (table 1 funcref) (func (export \"_start\") (call_indirect (i32.const 0))))").outcome.trap,
            "uninitialized element");
  EXPECT_EQ(run_wat("(module (memory 1) (data (i32.const 70000) \"x\") (func (export \"_start\")))").outcome.trap,
            "out of bounds memory access");
}

TEST(Sandbox, AnEndlessLoopRunsOutOfFuel) {
  const auto limit = [](Job& job) { job.limits.fuel = 1'000'000; };
  for (const std::string_view wat : {"(module (func (export \"_start\") (loop (br 0))))",
                                     "(module (func $s (loop (br 0))) (start $s) (func (export \"_start\")))"}) {
    const auto result = run_wat(wat, limit);
    EXPECT_EQ(result.outcome.kind, OutcomeKind::out_of_fuel) << wat;
    EXPECT_EQ(result.summary.fuel, 1'000'000U);
  }
}

TEST(Sandbox, TheStartFunctionRunsFirstAndIsCharged) {
  const auto wat = [](int rounds) {
    return fmt::format(
        R"((module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
      (global $g (mut i32) (i32.const 0))
      (func $s (local $n i32) (local.set $n (i32.const {}))
        (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (global.set $g (i32.const 7)))
      (start $s) (func (export "_start") (call $exit (global.get $g)))))",
        rounds);
  };
  const auto few = run_wat(wat(10));
  const auto many = run_wat(wat(1010));
  EXPECT_EQ(few.outcome.exit_code, 7U);
  EXPECT_GE(many.summary.fuel, few.summary.fuel + 4'000);
  // A start function with no other export, and one that traps.
  EXPECT_EQ(run_wat("(module (func $s unreachable) (start $s) (func (export \"_start\")))").outcome.trap,
            "unreachable");
  const auto refused = run_wat("(module (func $s) (start $s))");
  EXPECT_EQ(refused.outcome.kind, OutcomeKind::refused);
}

TEST(Sandbox, DeepRecursionExhaustsTheStack) {
  const auto result = run_wat(
      "(module (func $f (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))"
      "(func (export \"_start\") (drop (call $f (i32.const 0)))))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::stack_exhausted);
  EXPECT_TRUE(result.outcome.backtrace.empty());
}

TEST(Sandbox, MemoryStopsAtItsLimit) {
  const auto limit = [](Job& job) { job.limits.memory_bytes = 4 << 16; };
  // Survives the refusal: nothing shows.
  auto result = run_wat(
      "(module (memory (export \"memory\") 1) (func (export \"_start\") (loop (br_if 0 (i32.ne (i32.const -1) "
      "(memory.grow (i32.const 1)))))))",
      limit);
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_EQ(result.summary.peak_memory_bytes, 4U << 16U);
  // Does not survive it.
  result = run_wat(
      "(module (memory 1) (func (export \"_start\") (if (i32.eq (i32.const -1) (memory.grow (i32.const 60000))) (then "
      "unreachable))))",
      limit);
  EXPECT_EQ(result.outcome.kind, OutcomeKind::out_of_memory);
  // Declares too much.
  result = run_wat("(module (memory 5) (func (export \"_start\")))", limit);
  EXPECT_EQ(result.outcome.kind, OutcomeKind::out_of_memory);
  EXPECT_EQ(result.summary.fuel, 0U);
  // Its own declared maximum is its own affair.
  result =
      run_wat("(module (memory 1 2) (func (export \"_start\") (drop (memory.grow (i32.const 5))) unreachable))", limit);
  EXPECT_EQ(result.outcome.kind, OutcomeKind::trapped);
}

TEST(Sandbox, TablesAreBounded) {
  auto result = run_wat(
      "(module (table 1 funcref) (func (export \"_start\") (if (i32.eq (i32.const -1) (table.grow 0 (ref.null func) "
      "(i32.const 2000000))) (then unreachable))))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::out_of_memory);
  result = run_wat(
      "(module (table 1 funcref) (func (export \"_start\") (loop (br_if 0 (i32.ne (i32.const -1) (table.grow 0 "
      "(ref.null func) (i32.const 100000)))))))");
  EXPECT_TRUE(result.outcome.succeeded());
  result = run_wat("(module (table 1000001 funcref) (func (export \"_start\")))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::refused);
  EXPECT_EQ(result.outcome.detail, "The module declares a table of 1000001 elements; at most 1000000 are taken.");
  result = run_wat(
      "(module (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (func (export "
      "\"_start\")))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::refused);
}

TEST(Sandbox, AnOutputFloodEndsTheRun) {
  const auto limit = [](Job& job) { job.limits.output_bytes = 10'000; };
  auto result = run_wat(flood(1, 1'000, 10), limit);
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_EQ(result.output.size(), 10'000U);
  result = run_wat(flood(1, 1'000, 11), limit);
  EXPECT_EQ(result.outcome.kind, OutcomeKind::output_too_large);
  EXPECT_TRUE(result.output.empty());
}

TEST(Sandbox, ALogFloodIsCutAndStreamed) {
  std::string streamed;
  Job job = job_of(flood(2, 1'000, 1'000));
  job.limits.log_bytes = 2'500;
  const auto result = shared_sandbox().run(std::move(job), [&](ByteView bytes) { streamed += as_text(bytes); });
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->outcome.succeeded());
  EXPECT_TRUE(result->log_cut);
  EXPECT_EQ(result->log.size(), 2'500U);
  EXPECT_EQ(streamed, as_text(result->log));
}

TEST(Sandbox, MalformedModulesAreRefusedTheSameWayEachTime) {
  const Bytes good = *wat_to_wasm("(module (func (export \"_start\")))");
  std::vector<Bytes> bad{{}, to_bytes("not wasm at all"), Bytes(good.begin(), good.end() - 1)};
  Bytes flipped = good;
  flipped[good.size() - 2] ^= 0xffU;
  bad.push_back(flipped);
  for (const Bytes& module : bad) {
    std::vector<std::string> details;
    for (int i = 0; i < 2; ++i) {
      TestSandbox fresh;  // With a cache of its own, so that it is compiled again.
      const auto result = fresh->run(job_of(module));
      ASSERT_TRUE(result) << result.error().message;
      EXPECT_EQ(result->outcome.kind, OutcomeKind::refused);
      EXPECT_FALSE(result->outcome.detail.empty());
      details.push_back(result->outcome.detail);
    }
    EXPECT_EQ(details[0], details[1]);
  }
}

TEST(Sandbox, UnknownImportsAreRefusedByName) {
  auto result = run_wat("(module (import \"env\" \"launch\" (func)) (func (export \"_start\")))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::refused);
  EXPECT_NE(result.outcome.detail.find("env.launch"), std::string::npos) << result.outcome.detail;
  result =
      run_wat("(module (import \"wasi_snapshot_preview1\" \"fd_read\" (func (param i64))) (func (export \"_start\")))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::refused);
  result = run_wat("(module (import \"wasi_snapshot_preview1\" \"memory\" (memory 1)) (func (export \"_start\")))");
  EXPECT_EQ(result.outcome.kind, OutcomeKind::refused);
}

TEST(Sandbox, SocketCallsOfAnyTypeLinkAndAnswerNotSupported) {
  const auto result = run_wat(R"((module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "sock_open" (func $open (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.add (call $open (i32.const 0) (i32.const 0) (i32.const -1)) (call $accept (i32.const 0) (i32.const -1)))))))");
  EXPECT_EQ(result.outcome.exit_code, 116U);
}

TEST(Sandbox, ModulesThatNoEntryFitsAreRefused) {
  EXPECT_EQ(run_wat("(module)").outcome.kind, OutcomeKind::refused);
  EXPECT_EQ(run_wat("(module (func (export \"_start\") (param i32)))").outcome.kind, OutcomeKind::refused);
  EXPECT_EQ(run_wat("(module (memory (export \"memory\") 1) (func (export \"mesh_run\") (param i32 i32) (result i64) "
                    "(i64.const 0)))")
                .outcome.kind,
            OutcomeKind::refused);
  EXPECT_EQ(run_wat(echo_call, [](Job& job) { job.abi = task::Abi::wasi; }).outcome.kind, OutcomeKind::refused);
  EXPECT_EQ(
      run_wat("(module (func (export \"meshwork:start\") (loop (br 0))) (func (export \"_start\")))").outcome.kind,
      OutcomeKind::refused);
}

TEST(Sandbox, ProposalsThatAreOffAreRefused) {
  for (const std::string_view wat :
       {"(module (memory 1 1 shared) (func (export \"_start\")))", "(module (memory i64 1) (func (export \"_start\")))",
        "(module (memory 1) (memory 1) (func (export \"_start\")))",
        "(module (type (struct)) (func (export \"_start\")))", "(module (tag) (func (export \"_start\")))",
        "(module (table 1 externref) (func (export \"_start\")))",
        "(module (func (param v128 v128 v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get "
        "2))) (func (export \"_start\")))"}) {
    EXPECT_EQ(run_wat(wat).outcome.kind, OutcomeKind::refused) << wat;
  }
}

void put_leb(Bytes& out, std::uint64_t value) {
  do {
    const auto low = static_cast<std::uint8_t>(value & 0x7fU);
    value >>= 7U;
    out.push_back(static_cast<std::uint8_t>(low | (value != 0 ? 0x80U : 0U)));
  } while (value != 0);
}

/// A module whose only function, exported as _start, has this body (locals and code).
Bytes module_with_body(const Bytes& body) {
  Bytes out{0, 'a', 's', 'm', 1, 0, 0,   0,   1,   4,   1,   0x60, 0, 0, 3, 2,
            1, 0,   7,   10,  1, 6, '_', 's', 't', 'a', 'r', 't',  0, 0, 10};
  Bytes code{1};
  put_leb(code, body.size());
  append(code, body);
  put_leb(out, code.size());
  append(out, code);
  return out;
}

TEST(Sandbox, AFunctionOfFiftyMegabytesIsRefused) {
  Bytes body{0};
  body.resize(50'000'000, 0x01);  // nop
  body.push_back(0x0b);
  const auto result = shared_sandbox().run(job_of(module_with_body(body)));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->outcome.kind, OutcomeKind::refused);
  body.resize(70'000'000);
  const auto larger = shared_sandbox().run(job_of(module_with_body(body)));
  ASSERT_TRUE(larger);
  EXPECT_EQ(larger->outcome.kind, OutcomeKind::refused);
  EXPECT_NE(larger->outcome.detail.find("at most 67108864"), std::string::npos) << larger->outcome.detail;
}

TEST(Sandbox, AMillionLocalsAreRefused) {
  Bytes body{1};
  put_leb(body, 1'000'000);
  body.push_back(0x7f);
  body.push_back(0x0b);
  const auto result = shared_sandbox().run(job_of(module_with_body(body)));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->outcome.kind, OutcomeKind::refused);
}

TEST(Sandbox, BytesThatAreNotTheModulesAreAnError) {
  Job job = job_of(echo_call);
  job.module = Cid::of(Multicodec::raw, as_bytes("something else"));
  const auto result = shared_sandbox().run(std::move(job));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::invalid);
}

TEST(Sandbox, CompilingIsBoundedInTimeAndMayFailAndThatIsNoOutcome) {
  // A child that never answers stands for a compilation that never ends.
  TestSandbox slow([](Config& config) {
    config.compile_seconds = 1;
    config.compile_command = {"/bin/sh", "-c", "exec sleep 1000"};
  });
  auto result = slow->run(job_of(echo_call));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::exhausted) << result.error().message;
  TestSandbox broken([](Config& config) { config.compile_command = {"/bin/false"}; });
  result = broken->run(job_of(echo_call));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::internal);
  TestSandbox missing([](Config& config) { config.compile_command = {"/nonexistent/program"}; });
  EXPECT_FALSE(missing->run(job_of(echo_call)));
}

TEST(Sandbox, CompilingIsBoundedInMemoryAndThatIsNoOutcome) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "The sanitizer reserves terabytes of addresses, so there the bound is off (engine.cc).";
#else
  TestSandbox small([](Config& config) { config.compile_memory_bytes = 1 << 20; });
  EXPECT_FALSE(small->run(job_of(echo_call)));
#endif
}

TEST(Sandbox, StopEndsARunAndNoOther) {
  TestSandbox sandbox([](Config& config) { config.threads = 2; });
  // Says on stderr that it runs, then loops for ever.
  constexpr std::string_view wat =
      R"((module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (func (export "_start")
      (i32.store (i32.const 4) (i32.const 1))
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) (loop (br 0)))))";
  std::latch running(2);
  std::latch done(3);
  std::mutex mutex;
  std::map<int, Result<RunResult>> results;
  for (const int id : {1, 2, 3}) {  // Two run, the third waits.
    Job job = job_of(wat);
    job.id = static_cast<std::uint64_t>(id);
    job.limits.fuel = std::uint64_t{1} << 60;
    ASSERT_TRUE(sandbox->submit(
        std::move(job), [&](ByteView) { running.count_down(); },
        [&, id](Result<RunResult> result) {
          {
            const std::lock_guard lock(mutex);
            results.emplace(id, std::move(result));
          }
          done.count_down();
        }));
  }
  running.wait();
  Job twin = job_of(wat);
  twin.id = 1;
  EXPECT_EQ(sandbox->submit(std::move(twin), {}, [](Result<RunResult>) {}).error().code, ErrorCode::conflict);
  sandbox->stop(77);  // Nobody's.
  sandbox->stop(3);   // Waits behind the two, ends when a thread is free.
  sandbox->stop(1);
  sandbox->stop(2);
  done.wait();
  for (const auto& [id, result] : results) {
    ASSERT_FALSE(result) << id;
    EXPECT_EQ(result.error().code, ErrorCode::denied);
  }
  // The epoch moved on: a new run is not touched by it.
  EXPECT_TRUE(sandbox->run(job_of(echo_call))->outcome.succeeded());
}

TEST(Sandbox, ClosingEndsEverythingWithAnError) {
  std::atomic<int> failed = 0;
  {
    TestSandbox sandbox([](Config& config) { config.threads = 1; });
    for (std::uint64_t id = 1; id <= 5; ++id) {
      Job job = job_of("(module (func (export \"_start\") (loop (br 0))))");
      job.id = id;
      job.limits.fuel = std::uint64_t{1} << 60;
      ASSERT_TRUE(sandbox->submit(std::move(job), {}, [&](Result<RunResult> result) { failed += result ? 0 : 1; }));
    }
  }
  EXPECT_EQ(failed, 5);
}

TEST(Sandbox, TheQueueIsBounded) {
  TestSandbox sandbox([](Config& config) {
    config.threads = 1;
    config.queue_bound = 2;
    config.compile_command = {"/bin/sh", "-c", "exec sleep 1000"};  // So that jobs stay waiting.
  });
  int accepted = 0;
  Status last;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    Job job = job_of(echo_call);
    job.id = id;
    last = sandbox->submit(std::move(job), {}, [](Result<RunResult>) {});
    accepted += last ? 1 : 0;
  }
  EXPECT_EQ(accepted, 2);
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, ErrorCode::exhausted);
}

// ---- jobs that are submitted together

/// Copies its input to its log and its output; loops for ever if the input begins with `l`.
constexpr std::string_view log_and_maybe_loop = R"((module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 64))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 4) (i32.load (i32.const 16)))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.eq (i32.load8_u (i32.const 100)) (i32.const 108)) (then (loop (br 0)))))))";

/// One job for each input, of one module, with ids from `first_id` on.
std::vector<Job> jobs_of(std::string_view wat, const std::vector<std::string>& inputs, std::uint64_t first_id) {
  std::vector<Job> jobs;
  for (const std::string& input : inputs) {
    jobs.push_back(job_of(wat));
    jobs.back().id = first_id + jobs.size() - 1;
    jobs.back().input = shared(input);
    jobs.back().limits.fuel = std::uint64_t{1} << 60;
  }
  return jobs;
}

/// What the sandbox tells of jobs that were submitted together, in the order in which it does.
class Told {
 public:
  explicit Told(std::size_t jobs) : ended_(static_cast<std::ptrdiff_t>(jobs)) {}
  Sandbox::OnEachLog on_log() {
    return [this](std::size_t job, ByteView more) {
      add(fmt::format("log {}: {}", job, as_text(more)));
      if (!more.empty() && more.front() == 'l') looping_.count_down();
    };
  }
  Sandbox::OnEachDone on_done() {
    return [this](std::size_t job, Result<RunResult> result) {
      if (result) {
        add(fmt::format("done {}: {}", job, as_text(result->output)));
      } else {
        add(fmt::format("error {}: {}", job, result.error().code == ErrorCode::denied ? "stopped" : "other"));
      }
      ended_.count_down();
    };
  }
  void wait_until_one_loops() { looping_.wait(); }
  std::vector<std::string> wait() {
    ended_.wait();
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  void add(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }
  std::latch ended_;
  std::latch looping_{1};
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

using Lines = std::vector<std::string>;

TEST(SandboxJobs, RunOneAfterTheOther) {
  TestSandbox sandbox([](Config& config) { config.threads = 4; });
  Lines inputs;
  Lines expected;
  for (int i = 0; i < 50; ++i) {
    inputs.push_back(fmt::format("input {}", i));
    expected.push_back(fmt::format("log {}: input {}", i, i));
    expected.push_back(fmt::format("done {}: input {}", i, i));
  }
  // The module is compiled for the first time, and is in memory for the second.
  for (int i = 0; i < 2; ++i) {
    Told told(inputs.size());
    ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, inputs, 7), told.on_log(), told.on_done()));
    EXPECT_EQ(told.wait(), expected);
  }
  // Each gives what it gives by itself.
  const auto alone = sandbox->run(jobs_of(log_and_maybe_loop, {"input 3"}, 1).front());
  ASSERT_TRUE(alone) << alone.error().message;
  std::latch done(4);
  std::vector<std::uint64_t> fuel(4);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"input 3", "x", "", "input 3"}, 1), {},
                              [&](std::size_t job, Result<RunResult> result) {
                                fuel.at(job) = result ? result->summary.fuel : 0;
                                done.count_down();
                              }));
  done.wait();
  EXPECT_EQ(fuel[0], alone->summary.fuel);
  EXPECT_EQ(fuel[3], alone->summary.fuel);
}

TEST(SandboxJobs, OneThatFailsHarmsNoOther) {
  // Input `l` loops until its own fuel is used up.
  std::vector<Job> jobs = jobs_of(log_and_maybe_loop, {"one", "loop", "three"}, 1);
  jobs[1].limits.fuel = 1'000'000;
  std::latch done(3);
  std::vector<std::optional<OutcomeKind>> kinds(3);
  TestSandbox sandbox;
  ASSERT_TRUE(sandbox->submit(std::move(jobs), {}, [&](std::size_t job, Result<RunResult> result) {
    if (result) kinds.at(job) = result->outcome.kind;
    done.count_down();
  }));
  done.wait();
  EXPECT_EQ(kinds, (std::vector<std::optional<OutcomeKind>>{OutcomeKind::exited, OutcomeKind::out_of_fuel,
                                                            OutcomeKind::exited}));
}

TEST(SandboxJobs, StoppedInTheMiddleTheRestGivesAnError) {
  TestSandbox sandbox([](Config& config) { config.threads = 1; });
  Told told(4);
  ASSERT_TRUE(
      sandbox->submit(jobs_of(log_and_maybe_loop, {"one", "loop", "three", "four"}, 5), told.on_log(), told.on_done()));
  told.wait_until_one_loops();
  EXPECT_EQ(
      sandbox->submit(jobs_of(log_and_maybe_loop, {"x"}, 5), {}, [](std::size_t, Result<RunResult>) {}).error().code,
      ErrorCode::conflict)
      << "they are known by the first's id while any of them runs";
  sandbox->stop(5);
  EXPECT_EQ(told.wait(), (Lines{"log 0: one", "done 0: one", "log 1: loop", "error 1: stopped", "error 2: stopped",
                                "error 3: stopped"}));
  Told again(1);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"x"}, 5), again.on_log(), again.on_done()))
      << "the id is free again";
  EXPECT_EQ(again.wait(), (Lines{"log 0: x", "done 0: x"}));
}

TEST(SandboxJobs, StoppedWhileTheyWaitNoneRuns) {
  TestSandbox sandbox([](Config& config) { config.threads = 1; });
  Told first(1);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"loop"}, 1), first.on_log(), first.on_done()));
  first.wait_until_one_loops();
  Told kept(2);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"a", "b"}, 2), kept.on_log(), kept.on_done()));
  Told stopped(3);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"c", "d", "e"}, 4), stopped.on_log(), stopped.on_done()));
  sandbox->stop(4);
  sandbox->stop(1);
  EXPECT_EQ(first.wait(), (Lines{"log 0: loop", "error 0: stopped"}));
  EXPECT_EQ(stopped.wait(), (Lines{"error 0: stopped", "error 1: stopped", "error 2: stopped"}));
  EXPECT_EQ(kept.wait(), (Lines{"log 0: a", "done 0: a", "log 1: b", "done 1: b"}));
}

TEST(SandboxJobs, StoppedWhileTheirModuleIsCompiledNoneRuns) {
  TestSandbox sandbox([](Config& config) {
    config.threads = 1;
    config.compile_command = {"/bin/sh", "-c", "exec sleep 1000"};
  });
  Told told(2);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"a", "b"}, 1), told.on_log(), told.on_done()));
  sandbox->stop(1);
  EXPECT_EQ(told.wait(), (Lines{"error 0: stopped", "error 1: stopped"}));
}

TEST(SandboxJobs, AreOneInTheQueue) {
  TestSandbox sandbox([](Config& config) {
    config.threads = 1;
    config.queue_bound = 2;
  });
  Told first(1);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"loop"}, 1), first.on_log(), first.on_done()));
  first.wait_until_one_loops();
  Told second(20);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, Lines(20, "x"), 100), second.on_log(), second.on_done()));
  Told third(20);
  ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, Lines(20, "y"), 200), third.on_log(), third.on_done()));
  const Status full = sandbox->submit(jobs_of(log_and_maybe_loop, {"z"}, 300), {},
                                      [](std::size_t, Result<RunResult>) { ADD_FAILURE() << "it was not taken"; });
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::exhausted);
  sandbox->stop(1);
  EXPECT_EQ(first.wait().size(), 2U);
  EXPECT_EQ(second.wait().size(), 40U);
  EXPECT_EQ(third.wait().size(), 40U);
}

TEST(SandboxJobs, NoneOrOfTwoModulesOrPastTheEngineAreRefused) {
  TestSandbox sandbox;
  const auto error = [&](std::vector<Job> jobs) {
    const Status status = sandbox->submit(std::move(jobs), {},
                                          [](std::size_t, Result<RunResult>) { ADD_FAILURE() << "nothing was taken"; });
    return status ? "" : status.error().message;
  };
  EXPECT_EQ(error({}), "There is no job to run.");
  std::vector<Job> mixed = jobs_of(log_and_maybe_loop, {"a", "b"}, 1);
  mixed.push_back(job_of(echo_call));
  EXPECT_EQ(error(std::move(mixed)), "Jobs that run together have one module.");
  std::vector<Job> large = jobs_of(log_and_maybe_loop, {"a", "b"}, 1);
  large[1].limits.memory_bytes = (std::uint64_t{1} << 32) + 1;
  EXPECT_NE(error(std::move(large)), "");
}

TEST(SandboxJobs, OfAModuleThatCannotRunAllEndAlike) {
  TestSandbox sandbox;
  std::latch done(6);
  std::atomic<int> refused = 0;
  std::atomic<int> failed = 0;
  const auto on_done = [&](std::size_t, const Result<RunResult>& result) {
    if (!result) {
      ++failed;
    } else if (result->outcome.kind == OutcomeKind::refused) {
      ++refused;
    }
    done.count_down();
  };
  ASSERT_TRUE(sandbox->submit(jobs_of("(module (func (export \"other\")))", {"a", "b", "c"}, 1), {}, on_done));
  std::vector<Job> missing = jobs_of(echo_call, {"a", "b", "c"}, 4);
  for (Job& job : missing) {
    job.load_module = []() -> Result<std::shared_ptr<const Bytes>> { return nullptr; };
  }
  ASSERT_TRUE(sandbox->submit(std::move(missing), {}, on_done));
  done.wait();
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(failed, 3);
}

TEST(SandboxJobs, ClosingEndsEachWithAnError) {
  std::atomic<int> failed = 0;
  std::latch looping(1);
  {
    TestSandbox sandbox([](Config& config) { config.threads = 1; });
    const auto on_done = [&](std::size_t, const Result<RunResult>& result) { failed += result ? 0 : 1; };
    ASSERT_TRUE(sandbox->submit(
        jobs_of(log_and_maybe_loop, {"loop", "b"}, 1), [&](std::size_t, ByteView) { looping.count_down(); }, on_done));
    ASSERT_TRUE(sandbox->submit(jobs_of(log_and_maybe_loop, {"c", "d", "e"}, 10), {}, on_done));
    ASSERT_TRUE(sandbox->submit(jobs_of(echo_call, {"f", "g"}, 20), {}, on_done)) << "its module is not compiled";
    looping.wait();
  }
  EXPECT_EQ(failed, 7);
}

TEST(Sandbox, LimitsBeyondTheEngineAreNamed) {
  Job job = job_of(echo_call);
  job.limits.memory_bytes = (std::uint64_t{1} << 32) + 1;
  EXPECT_EQ(shared_sandbox().run(std::move(job)).error().code, ErrorCode::unsupported);
  job = job_of(echo_call);
  job.limits.fuel = ~std::uint64_t{0};
  EXPECT_EQ(shared_sandbox().run(std::move(job)).error().code, ErrorCode::unsupported);
  const Limits all = Limits::of({.memory_mb = ~std::uint64_t{0}, .fuel = 5, .gpu_flops = 0, .io_mb = 2});
  EXPECT_EQ(all.memory_bytes, std::uint64_t{1} << 63);
  EXPECT_EQ(all.output_bytes, 2U << 20U);
  EXPECT_EQ(all.log_bytes, 1U << 20U);
}

/// Looks at its clock, its random stream, its memory's growth, floats and NaNs, and writes what it saw.
constexpr std::string_view curious = R"((module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 40000) "some data to copy on write")
  (func $s (i64.store (i32.const 200) (i64.const 42))) (start $s)
  (func (export "_start") (local $n i32)
    (drop (call $time (i32.const 0) (i64.const 0) (i32.const 100)))
    (local.set $n (i32.const 1000))
    (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (drop (call $time (i32.const 1) (i64.const 0) (i32.const 108)))
    (drop (call $random (i32.const 116) (i32.const 64)))
    (drop (memory.grow (i32.const 3)))
    (f64.store (i32.const 208) (f64.div (f64.const 0) (f64.const 0)))
    (f64.store (i32.const 216) (f64.sqrt (f64.const 3)))
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 39926))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))))))";

TEST(Sandbox, FiftyRunsInThreeSandboxesAreEqualToTheLastUnit) {
  TestSandbox other;
  TestSandbox copying([](Config& config) { config.variant.copy_on_write = false; });
  std::optional<RunResult> first;
  for (int i = 0; i < 50; ++i) {
    Sandbox& sandbox = i % 3 == 0 ? shared_sandbox() : i % 3 == 1 ? *other : *copying;
    auto result = sandbox.run(job_of(curious));
    ASSERT_TRUE(result) << result.error().message;
    if (!first)
      first = std::move(*result);
    else {
      ASSERT_EQ(result->outcome, first->outcome);
      ASSERT_EQ(result->output, first->output);
      ASSERT_EQ(result->log, first->log);
      ASSERT_EQ(result->summary.fuel, first->summary.fuel);
      ASSERT_EQ(result->summary.peak_memory_bytes, first->summary.peak_memory_bytes);
    }
  }
  EXPECT_TRUE(first->outcome.succeeded());
  EXPECT_EQ(first->output.size(), 39'926U);
  Job another = job_of(curious);
  another.entropy_key = sha256(as_bytes("another"));
  const auto different = shared_sandbox().run(std::move(another));
  ASSERT_TRUE(different);
  EXPECT_NE(different->output, first->output);
  EXPECT_EQ(different->summary.fuel, first->summary.fuel);
}

TEST(Sandbox, EngineVariantsHaveNumbersAndCodeOfTheirOwn) {
  std::set<std::uint64_t> numbers;
  for (std::uint64_t number = 0; number < 256; ++number) {
    const auto variant = EngineVariant::of(number);
    if (!variant) continue;
    EXPECT_EQ(variant->number(), number);
    numbers.insert(number);
  }
  EXPECT_EQ(numbers.size(), 72U);  // 3 targets, 3 levels and three switches.
  EXPECT_FALSE(EngineVariant::of(~std::uint64_t{0}));
  // Code of one variant is never taken for another's, though they share a cache.
  TestSandbox shipped;
  ASSERT_TRUE(shipped->run(job_of(echo_call)));
  TestSandbox interpreted([&](Config& config) {
    config.cache_folder = shipped.folder();
    config.variant.target = EngineVariant::Target::pulley;
  });
  Job job = job_of(echo_call);
  int loads = 0;
  job.load_module = [&loads, inner = job.load_module] {
    ++loads;
    return inner();
  };
  job.input = shared("hello");
  const auto result = interpreted->run(std::move(job));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(as_text(result->output), "hello");
  EXPECT_EQ(loads, 1);
}

TEST(Sandbox, EqualOnTheCallersThread) {
  const auto pool = run_wat(curious);
  const auto here = shared_sandbox().run_on_this_thread(job_of(curious));
  ASSERT_TRUE(here) << here.error().message;
  EXPECT_EQ(here->output, pool.output);
  EXPECT_EQ(here->summary.fuel, pool.summary.fuel);
}

TEST(Sandbox, EngineVariantsReachTheCompiler) {
  constexpr std::string_view wat = R"((module (memory 1) (data (i32.const 8) "data")
    (func (export "_start") (local f64) (local.set 0 (f64.floor (f64.load (i32.const 8))))
      (f64.store (i32.const 16) (f64.add (f64.mul (local.get 0) (local.get 0)) (local.get 0)))
      (i32.store (i32.const 24) (i32.popcnt (i32.load (i32.const 8)))))))";
  const auto code_of = [&](const EngineVariant& variant) {
    TestSandbox sandbox([&](Config& config) { config.variant = variant; });
    const auto result = sandbox->run(job_of(wat));
    EXPECT_TRUE(result && result->outcome.succeeded());
    for (const auto& entry : std::filesystem::recursive_directory_iterator(sandbox.folder())) {
      if (entry.path().extension() != ".cwasm") continue;
      std::ifstream in(entry.path(), std::ios::binary);
      std::string code{std::istreambuf_iterator<char>(in), {}};
      code.resize(code.size() - Digest::size);  // The seal, whose key differs.
      return code;
    }
    return std::string();
  };
  const std::string shipped = code_of({});
  std::set<std::string> codes{shipped};
  std::vector<EngineVariant> others{{.copy_on_write = false},
                                    {.optimize = EngineVariant::Optimize::none},
                                    {.optimize = EngineVariant::Optimize::speed_and_size},
                                    {.target = EngineVariant::Target::pulley}};
#ifdef __x86_64__
  others.push_back({.target = EngineVariant::Target::basic});
#endif
  for (const EngineVariant& variant : others) {
    EXPECT_TRUE(codes.insert(code_of(variant)).second) << variant.number();
  }
  EXPECT_EQ(code_of({.parallel = false}), shipped);  // The order in which functions are compiled does not show.
  EXPECT_EQ(code_of({.pooling = false}), shipped);
}

TEST(CodeCache, DamagedAndForeignFilesAreCompiledAnew) {
  namespace fs = std::filesystem;
  TestSandbox first;
  ASSERT_TRUE(first->run(job_of(echo_call)));
  fs::path file;
  for (const auto& entry : fs::recursive_directory_iterator(first.folder())) {
    if (entry.path().extension() == ".cwasm") file = entry.path();
  }
  ASSERT_FALSE(file.empty());
  struct stat status{};
  ASSERT_EQ(stat((first.folder() + "/key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  std::string sound;
  {
    std::ifstream in(file, std::ios::binary);
    sound.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto loads = [&](const std::string& content) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
    int calls = 0;
    TestSandbox again([&](Config& config) { config.cache_folder = first.folder(); });
    Job job = job_of(echo_call);
    job.load_module = [&calls, inner = job.load_module] {
      ++calls;
      return inner();
    };
    const auto result = again->run(std::move(job));
    EXPECT_TRUE(result && result->outcome.succeeded());
    return calls;
  };
  EXPECT_EQ(loads(sound), 0);
  for (const std::size_t at : {std::size_t{0}, std::size_t{8}, sound.size() / 2, sound.size() - 1}) {
    std::string damaged = sound;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_EQ(loads(damaged), 1) << at;
  }
  EXPECT_EQ(loads(""), 1);
  EXPECT_EQ(loads(sound.substr(0, sound.size() - 1)), 1);
  EXPECT_EQ(loads(sound + "x"), 1);
  // Sealed under another key.
  TestSandbox stranger;
  ASSERT_TRUE(stranger->run(job_of(echo_call)));
  for (const auto& entry : fs::recursive_directory_iterator(stranger.folder())) {
    if (entry.path().extension() != ".cwasm") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    EXPECT_EQ(loads(std::string(std::istreambuf_iterator<char>(in), {})), 1);
  }
}

TEST(CodeCache, TheOldestFilesGoPastTheBound) {
  namespace fs = std::filesystem;
  TestSandbox sandbox([](Config& config) { config.cache_bytes = 100'000; });
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(
        sandbox->run(job_of(fmt::format("(module (func (export \"_start\")) (func (result i32) (i32.const {})))", i))));
  }
  std::uint64_t total = 0;
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(sandbox.folder())) {
    if (entry.path().extension() != ".cwasm") continue;
    total += entry.file_size();
    ++files;
  }
  EXPECT_LE(total, 100'000U);
  EXPECT_GT(files, 0);
}

TEST(CodeCache, AFolderThatCannotBeUsedIsNamed) {
  Config config;
  config.cache_folder = "/proc/no/such/folder";
  const auto sandbox = Sandbox::create(config);
  ASSERT_FALSE(sandbox);
  EXPECT_EQ(sandbox.error().code, ErrorCode::storage);
  EXPECT_NE(sandbox.error().message.find("/proc/no/such/folder"), std::string::npos);
}

TEST(Sandbox, MeasuresFuel) {
  const auto fuel = shared_sandbox().measure_fuel_per_second();
  ASSERT_TRUE(fuel) << fuel.error().message;
  EXPECT_GT(*fuel, 1'000'000U);
}

TEST(Sandbox, ManyJobsFromManyThreadsAllEndOnce) {
  TestSandbox sandbox;
  constexpr int count = 200;
  std::latch done(count);
  std::atomic<int> good = 0;
  for (int i = 0; i < count; ++i) {
    Job job = job_of(echo_call);
    job.id = static_cast<std::uint64_t>(i) + 1;
    job.input = shared(fmt::format("input {}", i));
    ASSERT_TRUE(sandbox->submit(std::move(job), {}, [&, i](Result<RunResult> result) {
      good += result && as_text(result->output) == fmt::format("input {}", i) ? 1 : 0;
      done.count_down();
    }));
  }
  done.wait();
  EXPECT_EQ(good, count);
}

TEST(Wat, ErrorsNameThePlace) {
  const auto result = wat_to_wasm("(module (func (export \"_start\") (i32.bogus)))");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::invalid);
  EXPECT_NE(result.error().message.find("1:"), std::string::npos) << result.error().message;
}

TEST(Wat, ExportsAreFound) {
  const Bytes module = *wat_to_wasm(echo_call);
  EXPECT_TRUE(exports_function(module, "mesh_run"));
  EXPECT_FALSE(exports_function(module, "memory"));
  EXPECT_FALSE(exports_function(module, "_start"));
  for (std::size_t length = 0; length < module.size(); ++length) {
    (void)exports_function(ByteView(module).first(length),
                           "mesh_run");  // Must only not crash: a prefix may be whole sections.
  }
  EXPECT_FALSE(exports_function(as_bytes("(module)"), "mesh_run"));
}

}  // namespace
}  // namespace mesh::wasm
