// Components in the sandbox: the same outcomes, limits and fuel as modules, and nothing taken that could not be charged.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <atomic>

#include "adapters/wasm/test_sandbox.h"

namespace mesh::wasm {
namespace {

using task::OutcomeKind;

/// A component whose exec(args, env) has `body`: $args and $count are the list of arguments, the result is an i32. It may
/// call $stdout and $stderr (a handle), and $write (handle, at, size, result's place).
std::string component(std::string_view body, std::string_view memory = "1", std::string_view more = "") {
  return fmt::format(R"((component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $out (sub resource)))
    (alias outer 1 $error-type (type $error-inside))
    (export "error" (type $error-here (eq $error-inside)))
    (type $variant (variant (case "last-operation-failed" (own $error-here)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $variant)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $out-type))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $out-type (type $out-inside))
    (export "output-stream" (type $out-here (eq $out-inside)))
    (export "get-stdout" (func (result (own $out-here))))))
  (import "wasi:cli/stderr@0.2.4" (instance $stderr
    (alias outer 1 $out-type (type $out-inside))
    (export "output-stream" (type $out-here (eq $out-inside)))
    (export "get-stderr" (func (result (own $out-here))))))
  (core module $store
    (memory (export "memory") {1})
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (data (i32.const 0) "hello\n"))
  (core instance $store (instantiate $store))
  (alias core export $store "memory" (core memory $memory))
  (alias core export $store "realloc" (core func $realloc))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-stderr (canon lower (func $stderr "get-stderr")))
  (core func $write-bytes (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory $memory) (realloc $realloc)))
  (core module $main
    (import "host" "stdout" (func $stdout (result i32)))
    (import "host" "stderr" (func $stderr (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "store" "memory" (memory 0))
    (func $deep (export "deep") (param i32) (result i32)
      (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))
    (func (export "exec") (param $args i32) (param $count i32) (param i32 i32) (result i32) (local $i i32) {0}))
  (core instance $main (instantiate $main
    (with "host" (instance (export "stdout" (func $get-stdout)) (export "stderr" (func $get-stderr))
                           (export "write" (func $write-bytes))))
    (with "store" (instance $store))))
  (func (export "exec") (param "args" (list string)) (param "env" (list (tuple string string))) (result u32)
    (canon lift (core func $main "exec") (memory $memory) (realloc $realloc)))
  {2}))",
                     body, memory, more);
}

Result<RunResult> run(Job job, Sandbox& sandbox = shared_sandbox()) { return sandbox.run(std::move(job)); }

RunResult run_text(std::string_view wat, const std::function<void(Job&)>& change = {}) {
  Job job = job_of(wat);
  if (change) change(job);
  auto result = run(std::move(job));
  EXPECT_TRUE(result) << result.error().message;
  return result ? std::move(*result) : RunResult{};
}

std::string refusal_of(std::string_view wat) {
  const RunResult result = run_text(wat);
  EXPECT_EQ(result.outcome.kind, OutcomeKind::refused) << result.outcome.text();
  EXPECT_EQ(result.summary.fuel, 0U);
  return result.outcome.detail;
}

TEST(Component, RunsAndItsResultIsTheExitCode) {
  EXPECT_TRUE(run_text(component("(i32.const 0)")).outcome.succeeded());
  EXPECT_EQ(run_text(component("(i32.const 7)")).outcome.exit_code, 7U);
  EXPECT_EQ(run_text(component("(local.get $count)"), [](Job& job) { job.args = {"a", "", "c"}; }).outcome.exit_code,
            3U);
  const RunResult output =
      run_text(component("(call $write (call $stdout) (i32.const 0) (i32.const 6) (i32.const 512))"
                         "(call $write (call $stderr) (i32.const 0) (i32.const 4) (i32.const 512)) (i32.const 0)"));
  EXPECT_EQ(as_text(output.output), "hello\n");
  EXPECT_EQ(as_text(output.log), "hell");
  EXPECT_EQ(output.summary.io_bytes, 10U);
  EXPECT_EQ(output.summary.peak_memory_bytes, 65'536U);
}

TEST(Component, ACommandOfTheStandardKindRuns) {
  constexpr std::string_view command = R"((component
    (core module $m (func (export "run") (result i32) (i32.const {})))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $export (export "run" (func $run)))
    (export "wasi:cli/run@0.2.3" (instance $export))))";
  EXPECT_TRUE(run_text(fmt::format(fmt::runtime(command), 0)).outcome.succeeded());
  EXPECT_EQ(run_text(fmt::format(fmt::runtime(command), 1)).outcome.exit_code, 1U);
}

TEST(Component, TrapsAndLimitsAreOutcomes) {
  RunResult result = run_text(component("unreachable"));
  EXPECT_EQ(result.outcome.kind, OutcomeKind::trapped);
  EXPECT_EQ(result.outcome.trap, "unreachable");
  EXPECT_FALSE(result.outcome.backtrace.empty());
  EXPECT_EQ(run_text(component("(i32.load (i32.const 0x7fffffff))")).outcome.trap, "out of bounds memory access");
  result = run_text(component("(loop (br 0)) (i32.const 0)"), [](Job& job) { job.limits.fuel = 100'000; });
  EXPECT_EQ(result.outcome.kind, OutcomeKind::out_of_fuel);
  EXPECT_EQ(result.summary.fuel, 100'000U);
  EXPECT_EQ(
      run_text(component("(call $write (call $stdout) (i32.const 0) (i32.const 6) (i32.const 512)) (i32.const 0)"),
               [](Job& job) { job.limits.fuel = 150; })
          .outcome.kind,
      OutcomeKind::out_of_fuel);
  EXPECT_EQ(run_text(component("(i32.const 0)"),
                     [](Job& job) {
                       job.limits.fuel = 5;
                       job.args = {"an argument that has to be charged for"};
                     })
                .outcome.kind,
            OutcomeKind::out_of_fuel);
  EXPECT_EQ(run_text(component("(call 3 (i32.const 0))")).outcome.kind, OutcomeKind::stack_exhausted);
  EXPECT_EQ(
      run_text(component("(i32.const 0)", "40"), [](Job& job) { job.limits.memory_bytes = 1 << 20; }).outcome.kind,
      OutcomeKind::out_of_memory);
  EXPECT_EQ(
      run_text(component("(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) (i32.const 0)"),
               [](Job& job) { job.limits.memory_bytes = 1 << 20; })
          .outcome.kind,
      OutcomeKind::out_of_memory);
}

TEST(Component, OutputIsBoundedAndTheLogIsCut) {
  constexpr std::string_view writes =
      "(loop (call $write (call ${}) (i32.const 0) (i32.const 4096) (i32.const 512))"
      "(br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10)))) (i32.const 0)";
  const auto limits = [](Job& job) { job.limits.output_bytes = job.limits.log_bytes = 10'000; };
  const RunResult output = run_text(component(fmt::format(fmt::runtime(writes), "stdout")), limits);
  EXPECT_EQ(output.outcome.kind, OutcomeKind::output_too_large);
  EXPECT_TRUE(output.output.empty());
  const RunResult log = run_text(component(fmt::format(fmt::runtime(writes), "stderr")), limits);
  EXPECT_TRUE(log.outcome.succeeded());
  EXPECT_EQ(log.log.size(), 10'000U);
  EXPECT_TRUE(log.log_cut);
}

TEST(Component, WhatTheGuestPassesIsChecked) {
  const auto outcome = [](std::string_view call) {
    return run_text(component(fmt::format("{} (i32.const 0)", call))).outcome;
  };
  using namespace std::string_view_literals;
  for (const auto call : {
           "(call $write (call $stdout) (i32.const 0x7fffffff) (i32.const 6) (i32.const 512))"sv,
           "(call $write (call $stdout) (i32.const 0) (i32.const 0x7fffffff) (i32.const 512))"sv,
           "(call $write (call $stdout) (i32.const 0) (i32.const -1) (i32.const 512))"sv,
           "(call $write (call $stdout) (i32.const 0) (i32.const 6) (i32.const 0x7ffffff0))"sv,
           "(call $write (call $stdout) (i32.const 0) (i32.const 6) (i32.const 513))"sv,
           "(call $write (call $stdout) (i32.const 0) (i32.const 4097) (i32.const 512))"sv,
           "(call $write (i32.const 99) (i32.const 0) (i32.const 6) (i32.const 512))"sv,
           "(call $write (i32.const -1) (i32.const 0) (i32.const 6) (i32.const 512))"sv,
           "(loop (drop (call $stdout)) (br 0))"sv,  // Handles without end.
       }) {
    const auto got = outcome(call);
    EXPECT_EQ(got.kind, OutcomeKind::trapped) << call << got.text();
    EXPECT_EQ(got.text(), outcome(call).text());
  }
}

TEST(Component, FuelIsTheSameInEveryRunAndHoweverMemoryIsMade) {
  const std::string wat = component(
      "(loop (call $write (call $stdout) (i32.const 0) (i32.const 6) (i32.const 512))"
      "(br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100)))) (i32.const 0)",
      "20");
  const TestSandbox copying([](Config& config) { config.variant.copy_on_write = false; });
  const auto with = [&](Sandbox& sandbox) {
    Job job = job_of(wat);
    job.args = {"main", "x"};
    job.env = {"A=b", "EMPTY="};
    auto result = run(std::move(job), sandbox);
    EXPECT_TRUE(result) << result.error().message;
    return result ? std::move(*result) : RunResult{};
  };
  const RunResult first = with(shared_sandbox());
  EXPECT_TRUE(first.outcome.succeeded());
  EXPECT_EQ(first.output.size(), 600U);
  for (const RunResult& other : {with(shared_sandbox()), with(*copying)}) {
    EXPECT_EQ(other.summary.fuel, first.summary.fuel);
    EXPECT_EQ(other.output, first.output);
    EXPECT_EQ(other.summary.peak_memory_bytes, first.summary.peak_memory_bytes);
  }
}

TEST(Component, WhatCannotRunIsRefused) {
  EXPECT_NE(refusal_of("(component)").find("exports neither"), std::string::npos);
  constexpr std::string_view of_other_type = R"((component
    (core module $m (func (export "exec")))
    (core instance $i (instantiate $m))
    (func (export "exec") (canon lift (core func $i "exec")))))";
  EXPECT_NE(refusal_of(of_other_type).find("exports neither"), std::string::npos);
  EXPECT_NE(refusal_of(R"((component (import "wasi:http/types@0.2.0" (instance))))").find("wasi:http/types@0.2.0"),
            std::string::npos);
  EXPECT_NE(refusal_of(R"((component (import "host" (func))))").find("imports host"), std::string::npos);
  EXPECT_NE(refusal_of(R"((component (import "wasi:cli/stdin@0.3.0" (instance))))").find("wasi:cli/stdin@0.3.0"),
            std::string::npos);
  const std::string unknown = R"((import "wasi:cli/stdin@0.2.0" (instance (export "get-nothing" (func)))))";
  EXPECT_NE(refusal_of(component("(i32.const 0)", "1", unknown)).find("not those of WASI 0.2"), std::string::npos);
  const std::string mistyped =
      R"((import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result string))))))";
  EXPECT_NE(refusal_of(component("(i32.const 0)", "1", mistyped)).find("not those of WASI 0.2"), std::string::npos);
  EXPECT_NE(refusal_of(component("(i32.const 0)", "1", "(core module (func $f) (start $f))")).find("start function"),
            std::string::npos);
  EXPECT_NE(refusal_of(component("(i32.const 0)", "1", "(component (core module))")).find("code of its own"),
            std::string::npos);
  EXPECT_NE(refusal_of(component("(i32.const 0)", "1", "(core module (memory 1))")).find("2 memories"),
            std::string::npos);
  EXPECT_NE(refusal_of(component("(i32.const 0)", "1", "(core module (table 1000001 funcref))")).find("1000001"),
            std::string::npos);
  std::string many = "(core module $e)";
  for (int i = 0; i < 63; ++i) many += "(core instance (instantiate $e))";
  EXPECT_NE(refusal_of(component("(i32.const 0)", "1", many)).find("65 instances"), std::string::npos);
}

TEST(Component, DamagedBytesAreRefusedTheSameEveryTime) {
  const auto whole = wat_to_wasm(component("(i32.const 0)"));
  ASSERT_TRUE(whole);
  for (const std::size_t size : {std::size_t{8}, std::size_t{9}, whole->size() / 2, whole->size() - 1}) {
    const Bytes cut(whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size));
    const auto first = run(job_of(cut));
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(first->outcome.kind, OutcomeKind::refused);
    const TestSandbox other;
    const auto second = run(job_of(cut), *other);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->outcome.detail, first->outcome.detail);
  }
}

TEST(Component, IsRunAsWhatItIs) {
  for (const task::Abi abi : {task::Abi::wasi, task::Abi::call}) {
    EXPECT_EQ(run_text(component("(i32.const 0)"), [abi](Job& job) { job.abi = abi; }).outcome.kind,
              OutcomeKind::refused);
  }
  EXPECT_TRUE(
      run_text(component("(i32.const 0)"), [](Job& job) { job.abi = task::Abi::component; }).outcome.succeeded());
  EXPECT_EQ(
      run_text(R"((module (func (export "_start"))))", [](Job& job) { job.abi = task::Abi::component; }).outcome.kind,
      OutcomeKind::refused);
}

TEST(Component, IsStopped) {
  const TestSandbox sandbox;
  Job job =
      job_of(component("(call $write (call $stderr) (i32.const 0) (i32.const 6) (i32.const 512))"
                       "(loop (br 0)) (i32.const 0)"));
  job.id = 5;
  job.limits.fuel = std::uint64_t{1} << 60;
  const auto result = sandbox->run(std::move(job), [&](ByteView) { sandbox->stop(5); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::denied);
}

}  // namespace
}  // namespace mesh::wasm
