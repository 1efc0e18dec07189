// What a person gives (programs, input files, folders) as content, and content as files again.
//
// Everything here reads files of the caller's choice and is meant for the person who owns this node: it is never
// reachable from a peer. It blocks; the caller keeps it off the node's thread. Blocks go to a sink (normally
// block_sink() of a store, or a CAR on its way to a node), so that a program without a store can use it too.
//
// Bounds: a program folder of 64 MiB, 4,096 files, depth 32; a module of 64 MiB; 1,048,576 shards; a line of 64 MiB. Symbolic
// links are never followed: in a folder they are left out. FIFOs, sockets and devices are left out of programs, and are an
// error that names them elsewhere.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapters/store/block_store.h"
#include "app/runtime/python_imports.h"
#include "domain/asset/unixfs.h"
#include "domain/identity/identity.h"
#include "domain/task/function.h"

namespace mesh::app {

/// A sink that keeps blocks in `store`, which must outlive it. Whoever acknowledges what they are part of calls
/// store.sync() before.
[[nodiscard]] asset::BlockSink block_sink(store::BlockStore& store);

// ---- Runtimes: the interpreters that are pinned in runtimes/sources.json.

/// An entry of catalogue.json (scripts/runtimes.mjs writes it).
struct RuntimeEntry {
  std::string name;  ///< "python", "python-full", "javascript", "ruby", "php"
  std::string version;  ///< "CPython 3.11.3"
  std::vector<std::string> extensions;  ///< ".py"
  std::filesystem::path file;  ///< the module
  std::string sha256;  ///< of it, hexadecimal
  std::optional<std::filesystem::path> root;  ///< a tar, mounted at /
  std::string root_sha256;
  std::vector<std::string> argv;  ///< "{script}" and "{args}" are placeholders
  std::vector<std::string> environment;  ///< NAME=value
  std::string stdin_file;  ///< guest path where the input must also lie; empty = nowhere
  task::Abi abi = task::Abi::wasi;
  std::optional<PythonLibrary> library;  ///< of a pre-started Python; what else is imported needs "python-full"
};

/// The interpreters that this installation has.
class RuntimeCatalogue {
 public:
  /// Looks in $MESH_RUNTIMES_DIR, then `runtimes` beside the program (and ../share/meshwork/runtimes), then
  /// $MESH_CACHE/runtimes/current (default: the user's cache folder, meshwork/runtimes/current). Error not_found names
  /// where it looked; invalid names what is wrong in the file.
  [[nodiscard]] static Result<RuntimeCatalogue> find();
  /// From a folder that has a catalogue.json.
  [[nodiscard]] static Result<RuntimeCatalogue> load(const std::filesystem::path& folder);

  [[nodiscard]] const std::vector<RuntimeEntry>& entries() const { return entries_; }
  /// By name ("python") or extension (".py"); null if there is none.
  [[nodiscard]] const RuntimeEntry* find(std::string_view name_or_extension) const;
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  std::vector<RuntimeEntry> entries_;
};

/// A runtime as content.
struct ImportedRuntime {
  Cid module;
  std::optional<Cid> root;
};
/// Imports the runtime once: its files' SHA-256 is checked, its CIDs are remembered in the node store under the hash, and
/// a second call only looks whether the blocks are there.
[[nodiscard]] Result<ImportedRuntime> import_runtime(const RuntimeEntry& entry, store::NodeStore& store,
                                                     store::BlockStore& blocks);

// ---- Programs and functions.

struct ProgramOptions {
  bool only_file = false;  ///< ship the file alone, not its folder
  std::string runtime;  ///< "python" or "python-full", whatever the program imports; empty: by what it imports
};

/// A program as content, before a runtime is chosen for it.
struct Program {
  std::string language;  ///< of the catalogue: "python", "python-full", ...; "wasm" for a module or a component
  std::string runtime_note;  ///< one sentence if this is not the language's usual runtime; else empty
  Cid content;  ///< wasm: the module (raw, or a file of several chunks); else a UnixFS folder
  std::string script;  ///< file inside the folder that is run: "main.py"; empty for wasm
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> left_out;  ///< hidden files, caches, links, FIFOs: relative paths, at most 64
  std::string description;  ///< one line: "main.py and 3 more files of ./dir (12.4 KiB)"
};

/// Reads a program: .wasm (a module or a component, its magic is checked), .wat (assembled), .py .js .mjs .rb .php, or a folder that holds a
/// main.* of those. A script ships the folder it lies in, so that what it imports is there; hidden files, __pycache__,
/// node_modules and .git are left out.
/// Errors: not_found (no such file; a folder without a main), invalid (not a module, unknown extension, several mains),
/// exhausted (a folder above the bounds: names the bound and --only-file), storage (unreadable).
/// A Python program gets the pre-started interpreter if all that its .py files import is there (python_imports.h), by the
/// catalogue that this program finds; else, and where there is no catalogue, the full one.
[[nodiscard]] Result<Program> import_program(const std::filesystem::path& path, const ProgramOptions& options,
                                             const asset::BlockSink& sink);
/// A program given as text or bytes (POST /api/v1/tasks): `language` is "python" (or "python-full"), "javascript",
/// "ruby", "php", "wasm" or "wat".
[[nodiscard]] Result<Program> import_source(std::string_view language, ByteView source, const asset::BlockSink& sink);

struct ImportedFunction {
  Cid function;
  std::string description;  ///< what is shipped and what runs it: "main.py (1.2 KiB) with CPython 3.11.3"
};
/// The function that runs `program` with `args`: a raw module if there are no arguments, else a FunctionNode, put into
/// `blocks`. An interpreter is imported if it is not there yet. Errors: not_found (no such runtime installed: says how to
/// get it), invalid (arguments out of bounds).
[[nodiscard]] Result<ImportedFunction> make_function(const Program& program, const std::vector<std::string>& args,
                                                     store::NodeStore& store, store::BlockStore& blocks);
/// Where a FunctionNode's environment says that the input must also lie as a file in the guest's tree. The executor
/// obeys it; php needs it, which cannot duplicate its stdin.
inline constexpr std::string_view stdin_file_variable = "MESH_STDIN_FILE";

/// import_program and make_function in one.
[[nodiscard]] Result<ImportedFunction> import_function(const std::filesystem::path& path,
                                                       const std::vector<std::string>& args,
                                                       const ProgramOptions& options, store::NodeStore& store,
                                                       store::BlockStore& blocks);

// ---- Inputs.

struct InputSpec {
  enum class Kind : std::uint8_t { path, bytes, cid };
  Kind kind = Kind::path;
  std::filesystem::path path;  ///< of path: a file or folder
  Bytes bytes;  ///< of bytes: stdin, or an inline input
  Cid cid;  ///< of cid: content that the mesh has already
};

/// An input that is content already.
struct ListedInput {
  Cid cid;
  std::optional<std::uint64_t> bytes;  ///< of the file; absent if not known
};

struct ImportedInputs {
  Cid shard_list;
  std::vector<ListedInput> inputs;
  std::vector<std::string> names;  ///< one per shard, for people: the file's name, "line 7", "stdin", the CID
  std::uint64_t bytes = 0;  ///< that were read
};

/// The shard list of a task. Without `map`: one shard, whose input is the one given (file, bytes, cid) or empty. With it:
/// each file of a folder (by relative path in byte order), each non-empty line of a .jsonl, .ndjson or .txt file, or each
/// single spec is one shard. Errors: not_found, invalid (a folder or several inputs without `map`; with `map` none at all),
/// exhausted (too many shards, too long a line), storage.
/// With `recipients`, each input that is read is sealed for them (adapters/sealing), and no name of a file leaves; one that is
/// content already stays what it is.
[[nodiscard]] Result<ImportedInputs> import_inputs(const std::vector<InputSpec>& specs, bool map,
                                                   const asset::BlockSink& sink,
                                                   std::span<const identity::NodeId> recipients = {});

/// A file of these bytes, sealed for `recipients` if there are any.
[[nodiscard]] Result<asset::Built> import_bytes(ByteView bytes, const asset::BlockSink& sink,
                                                std::span<const identity::NodeId> recipients = {});

/// The shard list of inputs that are content already.
[[nodiscard]] Result<ImportedInputs> list_inputs(std::vector<ListedInput> inputs, const asset::BlockSink& sink);

/// A file (UnixFS file or raw leaf by size) from a path, streamed; symbolic links in the last place are refused.
[[nodiscard]] Result<asset::Built> import_file(const std::filesystem::path& path, const asset::BlockSink& sink);
/// A file or a whole folder, as `mesh assets add` takes it: hidden files are in; a folder has at most 1,000,000 entries of
/// its own and is at most 32 folders deep.
[[nodiscard]] Result<asset::Built> import_path(const std::filesystem::path& path, const asset::BlockSink& sink);
/// A file as content that only `recipients` can read (adapters/sealing), streamed; symbolic links in the last place are
/// refused. Twice the same file is different content. Errors: as import_file and Sealer::start; unsupported for a folder.
[[nodiscard]] Result<asset::Built> import_sealed(const std::filesystem::path& path,
                                                 std::span<const identity::NodeId> recipients,
                                                 const asset::BlockSink& sink);

// ---- Export.

/// Writes the file or folder `root` to `path`, each block asked for in its turn, depth first (a file's root twice in a row), which must not be there yet unless it is a file that `overwrite` allows to
/// replace. It is written beside and renamed, never through a symbolic link or a `..`; nothing half written stays.
/// Errors: not_found (a block is missing), conflict (something is there), invalid (neither file nor folder), exhausted (more
/// than 1,000,000 files and folders), storage.
[[nodiscard]] Status export_dag(const store::BlockReader& blocks, const Cid& root, const std::filesystem::path& path,
                                bool overwrite = false);

}  // namespace mesh::app
