// One runner for all compiled benchmarks, and for the commands that bench/run.py needs beside them.
#include <benchmark/benchmark.h>

#include <string_view>

#include "adapters/wasm/sandbox.h"
#include "ledger_load.h"
#include "loop.h"

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  // The sandbox compiles in a child process, which is this program.
  if (command == "internal-compile") return mesh::wasm::compile_main(argc, argv);
  if (command == "loop" || command == "compile" || command == "shard") {
    const auto words = std::span(argv, static_cast<std::size_t>(argc)).subspan(2);
    if (command == "loop") return mesh::bench::loop_main(words);
    return command == "compile" ? mesh::bench::compile_main(words) : mesh::bench::shard_main(words);
  }
  if (command == "ledger-load" || command == "ledger-account") {
    const auto words = std::span(argv, static_cast<std::size_t>(argc)).subspan(2);
    return command == "ledger-load" ? mesh::bench::ledger_load_main(words) : mesh::bench::ledger_account_main(words);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
