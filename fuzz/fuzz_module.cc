// What reads and rewrites the binary form of a module, on bytes that may not be one (prepare_module is called on what was
// validated; that it survives the rest is its own promise).
#include "adapters/wasm/module_binary.h"

#include "adapters/wasm/engine.h"
#include "fuzz.h"

namespace {

bool valid(mesh::ByteView module) {
  using namespace mesh::wasm;
  static const Engine validator = make_engine({.use = EngineUse::validate});
  return EngineError(wasmtime_module_validate(validator.get(), module.data(), module.size())) == nullptr;
}

}  // namespace

void mesh::fuzz::check(ByteView input) {
  const bool exports_run = wasm::exports_function(input, "mesh_run");
  const auto prepared = wasm::prepare_module(input);
  if (!valid(input)) return;
  if (!prepared) {
    MESH_CHECK(prepared.error().code == ErrorCode::unsupported, "fuzz-valid-called-invalid");
    return;
  }
  MESH_CHECK(valid(*prepared), "fuzz-prepared-invalid");
  MESH_CHECK(wasm::exports_function(*prepared, "mesh_run") == exports_run, "fuzz-export-lost");
  // A start section became the reserved export, which a second preparation refuses; without one nothing changes.
  const auto again = wasm::prepare_module(*prepared);
  if (wasm::exports_function(*prepared, wasm::start_export)) {
    MESH_CHECK(!again && again.error().code == ErrorCode::unsupported, "fuzz-reserved-name-taken");
  } else {
    MESH_CHECK(again && equal(*again, *prepared), "fuzz-prepare-idempotent");
  }
}
