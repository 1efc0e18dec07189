// The program: the hidden compile command first, before anything is set up, then the command line.
#include <cstdio>
#include <exception>
#include <string_view>

#include "adapters/wasm/sandbox.h"
#include "app/cli/session.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "internal-compile") return mesh::wasm::compile_main(argc, argv);
  try {
    return mesh::cli::main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
