// What every fuzz target shares: the entry point that libFuzzer calls, with the input as a view.
//
// A target checks properties with MESH_CHECK, whose abort libFuzzer reports with the input that led to it.
#pragma once

#include "base/bytes.h"
#include "base/check.h"

namespace mesh::fuzz {

/// Defined once by each target.
void check(ByteView input);

}  // namespace mesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mesh::fuzz::check({data, size});
  return 0;
}
