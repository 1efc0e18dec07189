// MESH_CHECK: for bugs of ours alone, on in release builds too. Nothing that a peer, a user or a guest sent may
// reach one; such input gets an Error.
#pragma once

namespace mesh {

/// Prints the name, the expression and its place to stderr, then aborts.
[[noreturn]] void check_failed(const char* name, const char* expression, const char* file, int line) noexcept;

}  // namespace mesh

/// `name` is stable across versions, so that a report can be found again.
#define MESH_CHECK(condition, name)                                               \
  do {                                                                            \
    if (!(condition)) ::mesh::check_failed(name, #condition, __FILE__, __LINE__); \
  } while (false)
