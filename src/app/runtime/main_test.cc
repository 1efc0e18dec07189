// The test program's main: it also answers the sandbox's compile command, as the product's does.
#include <gtest/gtest.h>

#include <string_view>

#include "adapters/wasm/sandbox.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "internal-compile") return mesh::wasm::compile_main(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
