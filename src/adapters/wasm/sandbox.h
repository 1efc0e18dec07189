// The sandbox: runs WebAssembly modules and components deterministically and within bounds. wasmtime stands behind it and
// does not show.
//
// What a run's outcome, output, log and fuel depend on: the module, its arguments and environment, the trees, the input,
// the entropy key, the limits and engine_id(); nothing else, on any machine. The guest's clock is virtual (fuel used,
// one nanosecond a unit, plus what it slept), its entropy a stream keyed by the entropy key, its files a tree in memory.
//
// Fuel is counted from after instantiation, so that how memory is initialised (copy-on-write images or copying) is never
// charged. A module's start function would run inside instantiation: so the compiler's child process moves it, after
// validation, to an export of a reserved name, and the host calls it first thing under the run's own fuel. Host calls are
// charged too, 100 units each and more by bytes moved (wasi.cc), so that fuel bounds time. A component with a start
// function inside is refused: what it would do while it is instantiated could neither be charged nor be left uncharged.
//
// An Outcome is what the guest did and may be signed. An Error is what this machine could not do (no disk, compile time
// or memory spent, the kill switch, memory that the system would not give) and is never signed.
//
// Out of memory: a growth of memory or tables past the limits fails inside the guest as WebAssembly has it. Should the
// guest afterwards trap or exit with another code than 0, the outcome is out_of_memory; should it recover, nothing shows.
//
// Bounds: see Config and Limits. Stack depth is the engine's (stack_bytes below), the same for every run.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "adapters/wasm/file_tree.h"
#include "codec/cid.h"
#include "domain/task/function.h"
#include "domain/task/intent.h"
#include "domain/task/outcome.h"

namespace mesh::wasm {

/// Bytes of stack for WebAssembly frames, part of engine_id(). Enough for a JavaScript interpreter's own limit to come
/// first.
inline constexpr std::size_t stack_bytes = std::size_t{4} << 20;
/// Elements of one table at most; a module that declares more is refused, growth past it fails inside the guest.
inline constexpr std::uint64_t max_table_elements = 1'000'000;
/// A larger module is refused. The same everywhere, since a refusal is an outcome.
inline constexpr std::size_t max_module_bytes = std::size_t{64} << 20;

/// What every engine of this build is: version and all flags that can change a result. Goes into intents; a worker whose
/// text differs does not bid.
[[nodiscard]] const std::string& engine_id();

struct Limits {
  std::uint64_t fuel = 200'000'000'000;
  std::uint64_t memory_bytes = std::uint64_t{512} << 20;  ///< of linear memory; at most 4 GiB
  std::uint64_t output_bytes = std::uint64_t{64} << 20;  ///< past it the run ends as output_too_large
  std::uint64_t log_bytes = std::uint64_t{4} << 20;  ///< past it the log is cut and the run goes on
  std::uint32_t open_files = 256;  ///< past it path_open gives EMFILE

  /// What a task's scope allows; the log has a sixteenth of io_mb, at least 1 MiB. Saturates, never overflows.
  [[nodiscard]] static Limits of(const task::CapabilityScope& scope);
};

struct Job {
  std::uint64_t id = 0;  ///< the caller's, for stop(); unique among jobs that are not done
  Cid module;  ///< names the module and its compiled code in the caches
  /// The module's bytes: called (on a thread of the sandbox) only if no cache has the module. They are checked against
  /// `module` if that is a raw CID; a caller that names a module otherwise vouches for it.
  std::function<Result<std::shared_ptr<const Bytes>>()> load_module;
  std::optional<task::Abi> abi;  ///< absent: component if it is one, call if the module exports mesh_run, else wasi
  std::vector<std::string> args, env;  ///< argv from argv[0] on; NAME=value
  /// Mounted at `/` and at `/program`; either may be null. `/` also shows the entries of the program where the root has
  /// none of that name, so that a relative path (the guest's working folder is `/`) finds the program's files.
  std::shared_ptr<const FileTree> root, program;
  std::shared_ptr<const Bytes> input;  ///< stdin, or what mesh_run gets; null = empty
  Digest entropy_key;  ///< task::entropy_key(function, input)
  Limits limits;
};

struct RunResult {
  task::Outcome outcome;
  Bytes output;  ///< empty if output_too_large or refused; else also what a failed run had written
  Bytes log;  ///< stderr (and, with the call ABI, stdout), cut at log_bytes
  bool log_cut = false;
  task::ExecutionSummary summary;
};

/// How the engine does its work, none of which may show in a result, a log or the fuel. Only the tests that hold it to that
/// set anything here; nothing that a user or a peer gives comes to it.
struct EngineVariant {
  enum class Target : std::uint8_t {
    native,  ///< this processor, with all it has
    basic,  ///< this family of processors, without what its older members lack; x86-64 alone has this
    pulley,  ///< wasmtime's interpreter, the same on every processor
  };
  enum class Optimize : std::uint8_t { speed, speed_and_size, none };

  Target target = Target::native;
  Optimize optimize = Optimize::speed;
  bool copy_on_write = true;  ///< memories begin as mapped images rather than as copies
  bool pooling = true;  ///< instances come from a pool rather than from the system
  bool parallel = true;  ///< compiling uses all cores

  /// For the compiling process and the names of folders; `of` reads it back, nullopt if no variant has that number.
  [[nodiscard]] std::uint64_t number() const;
  [[nodiscard]] static std::optional<EngineVariant> of(std::uint64_t number);
  bool operator==(const EngineVariant&) const = default;
};

struct Config {
  std::string cache_folder;  ///< compiled code; made 0700 if absent
  unsigned threads = 0;  ///< 0 = one per core
  std::size_t queue_bound = 4'096;  ///< jobs submitted and not yet running
  std::uint32_t compile_seconds = 120;  ///< wall time of one compilation
  std::uint64_t compile_memory_bytes = std::uint64_t{6} << 30;  ///< address space of the compiling process
  std::uint64_t cache_bytes = std::uint64_t{4} << 30;  ///< on disk; the least recently used goes first
  std::size_t loaded_modules = 64;  ///< ready in memory
  std::uint64_t loaded_bytes = std::uint64_t{1} << 30;  ///< compiled code in memory; the module in use always fits
  unsigned spare_instances = 8;  ///< instances beyond one per thread (run_on_this_thread)
  /// The command that compiles: this program must answer it by calling compile_main. A killed or failing one costs a job,
  /// never the node.
  std::vector<std::string> compile_command = {"/proc/self/exe", "internal-compile"};
  EngineVariant variant;  ///< other than the default only to test that nothing depends on it
};

class Sandbox {
 public:
  /// Called on a thread of the sandbox, in order, before the job's on_done; not after it.
  using OnLog = std::function<void(ByteView)>;
  /// Called exactly once for each job that submit accepted, on a thread of the sandbox. Must not block and must not
  /// destroy the sandbox.
  using OnDone = std::function<void(Result<RunResult>)>;
  /// The same for jobs that were submitted together, which are counted from 0.
  using OnEachLog = std::function<void(std::size_t, ByteView)>;
  using OnEachDone = std::function<void(std::size_t, Result<RunResult>)>;

  /// Errors: storage if the cache folder cannot be used, exhausted if the address space for instances is not to be had.
  [[nodiscard]] static Result<std::unique_ptr<Sandbox>> create(Config config);
  /// Stops every job (on_done gets an Error), then joins the threads.
  virtual ~Sandbox() = default;

  /// Runs the job on the pool; compiles its module first if need be, without holding up other jobs. Errors: exhausted
  /// (the queue is full; the job was not taken), unsupported (a limit beyond what this engine can give), conflict (a job
  /// of this id is not done yet).
  [[nodiscard]] Status submit(Job job, OnLog on_log, OnDone on_done);
  /// Runs jobs of one module (at least one), one after the other on one thread: short ones cost less so. They are one in the
  /// queue, and stop() knows them by the first's id.
  [[nodiscard]] virtual Status submit(std::vector<Job> jobs, OnEachLog on_log, OnEachDone on_done) = 0;
  /// The operator's kill switch: the job's on_done gets Error denied "stopped". Jobs that wait are stopped too. Unknown
  /// ids are ignored. Never an outcome: only fuel stops a run deterministically.
  virtual void stop(std::uint64_t id) = 0;

  /// submit and wait. For tests, tools and start-up; never from a callback.
  [[nodiscard]] virtual Result<RunResult> run(Job job, OnLog on_log = {}) = 0;
  /// Runs on the calling thread, whose stack must have 6 MiB left; compiles here too if need be. stop() finds it.
  [[nodiscard]] virtual Result<RunResult> run_on_this_thread(Job job, const OnLog& on_log = {}) = 0;

  /// Compiles the module into the caches ahead of its first job. The outcome is absent if it can run, else `refused`.
  [[nodiscard]] virtual Result<std::optional<task::Outcome>> prepare(const Job& job) = 0;

  /// Units of fuel per second of one core, from about 50 ms of a fixed kernel: a measurement, different each time.
  [[nodiscard]] virtual Result<std::uint64_t> measure_fuel_per_second() = 0;

 protected:
  Sandbox() = default;
};

/// WebAssembly text (.wat) to a module. Error invalid with the place and the parser's words; exhausted past 16 MiB.
[[nodiscard]] Result<Bytes> wat_to_wasm(std::string_view text);

/// Whether `module` exports a function of this name; false for what is no module. Reads the export section alone, all of
/// it checked. For choosing the ABI of a raw module before anything is signed.
[[nodiscard]] bool exports_function(ByteView module, std::string_view name);

/// Whether the bytes begin as a WebAssembly component of the binary format's version 13 does.
[[nodiscard]] bool is_component(ByteView bytes);

/// The body of the program's hidden compile command: main calls it when argv[1] is "internal-compile" and returns what it
/// returns, before anything else. Reads a module from descriptor 0, writes to descriptor 1, under limits it sets itself.
[[nodiscard]] int compile_main(int argc, char** argv);

}  // namespace mesh::wasm
