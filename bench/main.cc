// One runner for all compiled benchmarks.
#include <benchmark/benchmark.h>

#include <string_view>

#include "adapters/wasm/sandbox.h"

int main(int argc, char** argv) {
  // The sandbox compiles in a child process, which is this program.
  if (argc > 1 && std::string_view(argv[1]) == "internal-compile") return mesh::wasm::compile_main(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
