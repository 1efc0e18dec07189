// What metering costs on real work: the kernels of kernels.c in wasmtime with fuel and without, all else as the sandbox
// has it (epochs, NaNs made canonical, optimised for speed). The two answers are compared.
#include <benchmark/benchmark.h>
#include <wasmtime.hh>

#include <fstream>

#include "base/check.h"
#include "samples.h"

namespace {

/// The module of kernels compiled for one setting, and an instance of it.
class Kernels {
 public:
  explicit Kernels(bool metered) : metered_(metered), engine_(config_of(metered)), store_(engine_) {
    std::ifstream in(MESH_BENCH_KERNELS, std::ios::binary);
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    MESH_CHECK(!bytes.empty(), "bench-kernels");
    module_.emplace(wasmtime::Module::compile(engine_, bytes).unwrap());
    store_.context().set_epoch_deadline(1);
    refuel();
    instance_.emplace(wasmtime::Instance::create(store_.context(), *module_, {}).unwrap());
  }
  std::uint32_t run(const std::string& name, std::int32_t rounds) {
    refuel();
    const auto function = std::get<wasmtime::Func>(*instance_->get(store_.context(), name));
    return static_cast<std::uint32_t>(function.call(store_.context(), {rounds}).unwrap()[0].i32());
  }

 private:
  static wasmtime::Config config_of(bool metered) {
    wasmtime::Config config;
    config.consume_fuel(metered);
    config.epoch_interruption(true);
    config.cranelift_nan_canonicalization(true);
    config.cranelift_opt_level(wasmtime::OptLevel::Speed);
    return config;
  }
  void refuel() {
    if (metered_) store_.context().set_fuel(std::uint64_t{1} << 60).unwrap();
  }

  bool metered_;
  wasmtime::Engine engine_;
  wasmtime::Store store_;
  std::optional<wasmtime::Module> module_;
  std::optional<wasmtime::Instance> instance_;
};

void kernel(benchmark::State& state, const char* name, std::int32_t rounds, bool metered) {
  static Kernels with_fuel(true), without_fuel(false);
  MESH_CHECK(with_fuel.run(name, rounds) == without_fuel.run(name, rounds), "bench-result");
  Kernels& kernels = metered ? with_fuel : without_fuel;
  mesh::bench::Samples samples;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(kernels.run(name, rounds));
    samples.add(std::chrono::steady_clock::now() - begin);
  }
  samples.report(state);
}

// A call of each takes about a millisecond, so that the call itself does not count.
BENCHMARK_CAPTURE(kernel, sha256_metered, "sha256", 64, true);
BENCHMARK_CAPTURE(kernel, sha256_unmetered, "sha256", 64, false);
BENCHMARK_CAPTURE(kernel, nbody_metered, "nbody", 64, true);
BENCHMARK_CAPTURE(kernel, nbody_unmetered, "nbody", 64, false);
BENCHMARK_CAPTURE(kernel, sort_metered, "sort", 4, true);
BENCHMARK_CAPTURE(kernel, sort_unmetered, "sort", 4, false);
BENCHMARK_CAPTURE(kernel, json_metered, "json", 16, true);
BENCHMARK_CAPTURE(kernel, json_unmetered, "json", 16, false);

}  // namespace
