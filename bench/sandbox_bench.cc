// A fresh metered instance and one call: through the sandbox, and through wasmtime's C++ interface alone with the same
// settings that matter for speed (fuel, epochs, pooling allocator). The two in one run, so that they can be compared.
// Then what a task's shard costs where it runs: a tiny WASI command and a tiny Python script.
#include <benchmark/benchmark.h>
#include <wasmtime.hh>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "adapters/wasm/sandbox.h"
#include "base/check.h"
#include "samples.h"
#include "temporary_sandbox.h"

namespace {

using mesh::bench::job_of;
using mesh::bench::TemporarySandbox;

constexpr std::string_view wat = R"((module (memory (export "memory") 1)
  (func (export "mesh_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "mesh_run") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1))))))";

void through_the_sandbox(benchmark::State& state) {
  const TemporarySandbox sandbox;
  mesh::wasm::Job job = job_of(std::make_shared<const mesh::Bytes>(*mesh::wasm::wat_to_wasm(wat)));
  job.input = std::make_shared<const mesh::Bytes>(16, std::uint8_t{7});
  for (auto _ : state) {
    const auto result = sandbox->run_on_this_thread(job);
    MESH_CHECK(result && result->output.size() == 16, "bench-result");
  }
}
BENCHMARK(through_the_sandbox);

void bare_wasmtime(benchmark::State& state) {
  wasmtime::Config config;
  config.consume_fuel(true);
  config.epoch_interruption(true);
  wasmtime::PoolAllocationConfig pool;
  pool.total_memories(16);
  pool.total_tables(16);
  pool.total_core_instances(16);
  pool.linear_memory_keep_resident(64 << 10);
  config.pooling_allocation_strategy(pool);
  wasmtime::Engine engine(std::move(config));
  const auto module = wasmtime::Module::compile(engine, wat).unwrap();
  for (auto _ : state) {
    wasmtime::Store store(engine);
    auto context = store.context();
    context.set_fuel(1'000'000'000).unwrap();
    context.set_epoch_deadline(1);
    auto instance = wasmtime::Instance::create(context, module, {}).unwrap();
    const auto alloc = std::get<wasmtime::Func>(*instance.get(context, "mesh_alloc"));
    const auto run = std::get<wasmtime::Func>(*instance.get(context, "mesh_run"));
    const auto memory = std::get<wasmtime::Memory>(*instance.get(context, "memory"));
    const std::int32_t at = alloc.call(context, {16}).unwrap()[0].i32();
    std::memset(memory.data(context).data() + at, 7, 16);
    const std::int64_t result = run.call(context, {at, 16}).unwrap()[0].i64();
    mesh::Bytes output(16);
    std::memcpy(output.data(), memory.data(context).data() + (result >> 32), 16);
    benchmark::DoNotOptimize(output.data());
  }
}
BENCHMARK(bare_wasmtime);

constexpr std::string_view hello_wat = R"((module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20))))))";

/// On a thread of the sandbox, as a node runs it.
void run_hello(benchmark::State& state, const mesh::wasm::Job& job) {
  static const TemporarySandbox
      sandbox;  // each case is called several times, and an interpreter takes seconds to compile
  const auto first = sandbox->run(job);  // compiles
  MESH_CHECK(first && mesh::as_text(first->output) == "hello\n", "bench-result");
  mesh::bench::Samples samples;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    const auto result = sandbox->run(job);
    samples.add(std::chrono::steady_clock::now() - begin);
    MESH_CHECK(result && result->output == first->output, "bench-result");
  }
  samples.report(state);
}

void tiny_wasm_run(benchmark::State& state) {
  run_hello(state, job_of(std::make_shared<const mesh::Bytes>(*mesh::wasm::wat_to_wasm(hello_wat))));
}
BENCHMARK(tiny_wasm_run)->UseRealTime();

/// The one file of the catalogue whose name begins and ends so; MESH_RUNTIMES_DIR names the folder. Null if missing.
std::shared_ptr<const mesh::Bytes> runtime_file(std::string_view begin, std::string_view end) {
  const char* folder = std::getenv("MESH_RUNTIMES_DIR");
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder == nullptr ? "" : folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begin) || !name.ends_with(end)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    return std::make_shared<const mesh::Bytes>(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return nullptr;
}

/// A script that says hello, in the interpreter whose file's name begins with `begin`, with its library if it has one apart.
void run_script(benchmark::State& state, std::string_view begin, std::string_view library, std::string_view source,
                mesh::task::Abi abi) {
  const auto wasm = runtime_file(begin, ".wasm");
  const auto tar = library.empty() ? nullptr : runtime_file(library, ".tar");
  if (!wasm || (!library.empty() && !tar)) {
    state.SkipWithError(
        "no interpreter: run scripts/runtimes.sh and set MESH_RUNTIMES_DIR to the folder that it prints");
    return;
  }
  const auto root = std::make_shared<mesh::wasm::FileTree>();
  const auto program = std::make_shared<mesh::wasm::FileTree>();
  const auto script = std::make_shared<const mesh::Bytes>(mesh::to_bytes(source));
  MESH_CHECK(program->add_file("main", script).has_value(), "bench-tree");
  if (tar) MESH_CHECK(root->add_tar(tar).has_value(), "bench-tree");
  mesh::wasm::Job job = job_of(wasm);
  job.abi = abi;
  job.args = {"interpreter", "/program/main"};
  job.root = root;
  job.program = program;
  run_hello(state, job);
}

void tiny_python_run(benchmark::State& state) {
  run_script(state, "cpython-", "", "print('hello')", mesh::task::Abi::component);
}
BENCHMARK(tiny_python_run)->UseRealTime();

void tiny_full_python_run(benchmark::State& state) {
  run_script(state, "python-", "python-", "print('hello')", mesh::task::Abi::wasi);
}
BENCHMARK(tiny_full_python_run)->UseRealTime();

void tiny_javascript_run(benchmark::State& state) {
  run_script(state, "quickjs-", "", "console.log('hello')", mesh::task::Abi::wasi);
}
BENCHMARK(tiny_javascript_run)->UseRealTime();

}  // namespace
