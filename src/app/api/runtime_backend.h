// The Backend that the program uses: a Runtime.
#pragma once

#include <memory>

#include "app/api/backend.h"

namespace mesh::app {

/// `runtime` outlives it.
[[nodiscard]] std::unique_ptr<Backend> make_runtime_backend(Runtime& runtime);

}  // namespace mesh::app
