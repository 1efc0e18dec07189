// Inner part of the sandbox: reads and rewrites the binary form of a module, section by section.
// Spec: https://webassembly.github.io/spec/core/binary/modules.html
//
// Bounds: the module's own size. Malformed bytes give an Error or false, whoever they come from.
#pragma once

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::wasm {

/// The name under which a module's start function is exported after prepare_module. A module that uses it is refused.
inline constexpr std::string_view start_export = "meshwork:start";

/// A module made ready to compile: its start section turned into the export `start_export`, so that the host calls it.
/// Errors (unsupported): more than four tables, a table that declares more than max_table_elements, use of the reserved
/// name. `module` should have been validated; if it was not, an Error invalid is all that can come of it.
[[nodiscard]] Result<Bytes> prepare_module(ByteView module);

}  // namespace mesh::wasm
