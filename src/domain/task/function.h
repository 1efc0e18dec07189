// A function, by content: a raw .wasm module, or a small DAG-CBOR node that names an interpreter and what it runs.
// The runtime is chosen before anything is signed; nobody swaps it later.
#pragma once

#include <optional>

#include "codec/record.h"

namespace mesh::task {

/// How the host enters the module.
enum class Abi : std::uint8_t {
  wasi,  ///< a WASI preview 1 command: input on stdin, output on stdout, log on stderr, the exit code is the outcome
  call,  ///< exports mesh_alloc(size) -> ptr and mesh_run(ptr, size) -> (ptr << 32 | size); no start-up cost
  component,  ///< a component over WASI 0.2 that exports exec(args, env) -> exit code, or wasi:cli/run; streams as in wasi
};
[[nodiscard]] std::span<const std::string_view> enum_names(Abi);

/// The node form of a function. Its CID (dag-cbor) is the function's; a raw CID is a module run as wasi (or as call if
/// it exports mesh_run).
struct FunctionNode {
  static constexpr std::string_view type = "function";
  static constexpr std::uint64_t version = 1;

  Cid runtime;  ///< the module that is instantiated
  std::optional<Cid> root;  ///< read-only tree mounted at / (the interpreter's library), a UnixFS folder
  std::optional<Cid> program;  ///< read-only tree mounted at /program, a UnixFS folder or one file
  std::vector<std::string> args;  ///< argv from argv[0] on; at most 256, 64 KiB together
  std::vector<std::string> env;  ///< NAME=value; at most 64, 16 KiB together
  Abi abi = Abi::wasi;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("runtime", self.runtime);
    v("root", self.root);
    v("program", self.program);
    v("args", self.args);
    v("env", self.env);
    v("abi", self.abi);
  }
  bool operator==(const FunctionNode&) const = default;
};

/// Bounds of counts and sizes, as given at the fields.
[[nodiscard]] Status validate(const FunctionNode& node);

/// The key of a run's random stream and the only thing that seeds it: H(function, input), so that the same work gives
/// the same bytes in any task, mesh or federation. The function's CID covers its arguments.
[[nodiscard]] Digest entropy_key(const Cid& function, const Cid& input);

}  // namespace mesh::task
