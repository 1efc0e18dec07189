#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace mesh {

void check_failed(const char* name, const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "mesh: internal check \"%s\" failed: %s (%s:%d). This is a bug in Meshwork.\n", name, expression,
               file, line);
  std::abort();
}

}  // namespace mesh
