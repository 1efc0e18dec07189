// A fresh metered instance and one call: through the sandbox, and through wasmtime's C++ interface alone with the same
// settings that matter for speed (fuel, epochs, pooling allocator). The two in one run, so that they can be compared.
#include <benchmark/benchmark.h>
#include <wasmtime.hh>

#include <cstdlib>
#include <filesystem>

#include "adapters/wasm/sandbox.h"
#include "base/check.h"

namespace {

constexpr std::string_view wat = R"((module (memory (export "memory") 1)
  (func (export "mesh_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "mesh_run") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1))))))";

void through_the_sandbox(benchmark::State& state) {
  std::string folder = (std::filesystem::temp_directory_path() / "sandbox-bench-XXXXXX").string();
  MESH_CHECK(mkdtemp(folder.data()) != nullptr, "bench-folder");
  mesh::wasm::Config config;
  config.cache_folder = folder;
  auto sandbox = mesh::wasm::Sandbox::create(config);
  MESH_CHECK(sandbox.has_value(), "bench-sandbox");
  const auto wasm = std::make_shared<const mesh::Bytes>(*mesh::wasm::wat_to_wasm(wat));
  mesh::wasm::Job job;
  job.module = mesh::Cid::of(mesh::Multicodec::raw, *wasm);
  job.load_module = [wasm]() -> mesh::Result<std::shared_ptr<const mesh::Bytes>> { return wasm; };
  job.input = std::make_shared<const mesh::Bytes>(16, std::uint8_t{7});
  for (auto _ : state) {
    const auto result = (*sandbox)->run_on_this_thread(job);
    MESH_CHECK(result && result->output.size() == 16, "bench-result");
  }
  sandbox->reset();
  std::filesystem::remove_all(folder);
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

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "internal-compile") return mesh::wasm::compile_main(argc, argv);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
