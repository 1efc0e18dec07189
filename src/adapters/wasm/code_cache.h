// Inner part of the sandbox: compiled code on disk, and the child process that makes it.
//
// A file is named by the module's CID, in a folder named by engine and format, and ends in an HMAC under a key that lies
// beside it (0600): what is damaged, foreign or of another engine is not there, and is compiled anew. Several processes
// may share the folder: a lock per module lets one of them compile and the others wait; files appear whole, by rename.
// Compiled code is never taken from a peer.
//
// Bounds: Config's cache_bytes (the least recently used file goes first), compile_seconds, compile_memory_bytes; an
// artefact of at most 1 GiB.
#pragma once

#include <memory>
#include <variant>

#include "adapters/wasm/sandbox.h"

namespace mesh::wasm {

/// Why a module can never run: the text of a `refused` outcome, the same on every machine.
struct Refusal {
  std::string detail;
};

class CodeCache {
 public:
  [[nodiscard]] static Result<std::unique_ptr<CodeCache>> open(const Config& config);
  ~CodeCache();

  /// The compiled code of a module if it is there and sound; nullopt otherwise. Any thread.
  [[nodiscard]] std::optional<Bytes> find(const Cid& module);
  /// Forgets a file that wasmtime would not take (made on another processor, say).
  void drop(const Cid& module);
  /// The compiled code, from disk if another process was quicker, else compiled. Any thread; one compilation of a module
  /// at a time. Errors: exhausted (time or memory for compiling), storage, denied (cancelled).
  [[nodiscard]] Result<std::variant<Bytes, Refusal>> compile(const Cid& module, ByteView wasm);
  /// Ends all compilations and waits, now and from now on.
  void cancel();

 private:
  struct Impl;
  explicit CodeCache(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::wasm
