// What every fuzz target defines. The entry point that libFuzzer calls (entry.cc) hands it each input as a view.
//
// A target checks properties with MESH_CHECK, whose abort libFuzzer reports with the input that led to it.
#pragma once

#include "base/bytes.h"
#include "base/check.h"

namespace mesh::fuzz {

/// Defined once by each target.
void check(ByteView input);

}  // namespace mesh::fuzz
