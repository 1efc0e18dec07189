// Inner part of the sandbox: the one configuration of wasmtime that all of Meshwork runs and compiles with, and owners for
// what its C interface hands out.
#pragma once

#include <memory>

#include <mesh_component.h>
#include <wasmtime.h>

#include "adapters/wasm/sandbox.h"

namespace mesh::wasm {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Engine = std::unique_ptr<wasm_engine_t, Freed<wasm_engine_delete>>;
using Store = std::unique_ptr<wasmtime_store_t, Freed<wasmtime_store_delete>>;
using Linker = std::unique_ptr<wasmtime_linker_t, Freed<wasmtime_linker_delete>>;
using Module = std::unique_ptr<wasmtime_module_t, Freed<wasmtime_module_delete>>;
using InstancePre = std::unique_ptr<wasmtime_instance_pre_t, Freed<wasmtime_instance_pre_delete>>;
using Component = std::unique_ptr<mesh_component_t, Freed<mesh_component_delete>>;
using Wasi = std::unique_ptr<mesh_wasi_t, Freed<mesh_wasi_delete>>;
using OwnedText = std::unique_ptr<char, Freed<mesh_text_delete>>;
using Trap = std::unique_ptr<wasm_trap_t, Freed<wasm_trap_delete>>;
using EngineError = std::unique_ptr<wasmtime_error_t, Freed<wasmtime_error_delete>>;

enum class EngineUse : std::uint8_t {
  run,  ///< with the pooling allocator, unless the variant is without
  compile,  ///< without, on all cores
  validate,  ///< on one core, so that of several errors the first is found
};

struct EngineOptions {
  EngineUse use = EngineUse::run;
  EngineVariant variant;
  std::uint32_t instances = 0;  ///< of the pool
};

/// Null if the pool's address space is not to be had.
[[nodiscard]] Engine make_engine(const EngineOptions& options);

/// The error's text on one line, at most 400 bytes, cut between characters.
[[nodiscard]] std::string text_of(const EngineError& error);
/// `text` on one line, at most `bound` bytes, cut between UTF-8 characters.
[[nodiscard]] std::string one_line(std::string_view text, std::size_t bound);

/// How the compiling process ends, other than by a signal.
enum CompileExit : int {
  compiled = 0,  ///< the artefact is on descriptor 1
  refused = 10,  ///< the reason is on descriptor 1: the same on every machine
  failed = 11,  ///< the reason is on descriptor 1: this machine's
};
inline constexpr std::uint64_t max_artefact_bytes = std::uint64_t{1} << 30;

}  // namespace mesh::wasm
