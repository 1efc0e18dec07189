// Inner part of the sandbox: WASI over values in memory, and the state of one run that it works on. Preview 1 is here as
// the guest's calls; of WASI 0.2, whose types are in Rust (crates/engines/src/component.rs), here is what the calls mean.
// Spec: https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md
//
// What the guest passes is hostile: every pointer and length is checked against the guest's memory, without overflow,
// before anything is read, written or changed; a bad one gives EFAULT. Nothing here throws but for want of host memory,
// and all that grows is bounded by the run's limits. Not for use outside adapters/wasm.
#pragma once

#include <expected>
#include <vector>

#include <mesh_component.h>
#include <mesh_limits.h>
#include <wasmtime.h>

#include "adapters/wasm/sandbox.h"

namespace mesh::wasm {

/// Why a host call ended the run; `none` while it goes on.
enum class HostEnd : std::uint8_t { none, exited, output_too_large, out_of_fuel };

/// A place in the tree that a guest sees: a node, and which tree it is of (for device numbers), or the merged top.
struct Place {
  const FileTree::Node* node = nullptr;  ///< null for the merged top
  bool in_program = false;
  bool operator==(const Place&) const = default;
};

struct Descriptor {
  enum class Kind : std::uint8_t { closed, input, output, log, folder, file };
  Kind kind = Kind::closed;
  bool preopened = false;
  std::uint16_t flags = 0;
  Place place;
  std::uint64_t position = 0;  ///< of a file, at most 2^63 - 1
};

/// The state of one run. Made for each, so what few runs need is made when it is first used.
struct Run {
  const Job* job = nullptr;
  const Sandbox::OnLog* on_log = nullptr;
  wasmtime_context_t* context = nullptr;
  wasmtime_memory_t memory{};
  bool has_memory = false;
  bool is_call = false;  ///< the call ABI: descriptor 1 goes to the log
  mesh_limits limits{};

  HostEnd end = HostEnd::none;
  std::uint32_t exit_code = 0;
  Bytes output, log;
  bool log_cut = false;
  std::uint64_t io_bytes = 0;

  std::uint64_t slept_ns = 0;
  std::vector<Descriptor> descriptors;
  std::size_t opened = 0;  ///< descriptors that path_open made and that are open
  std::vector<std::pair<std::string_view, Place>> listing;  ///< of the folder that was listed last, and of no other
  Place listed;
  std::uint64_t random_block = 0;
  Digest random_bytes;
  std::size_t random_left = 0;

  [[nodiscard]] ByteView input() const { return job->input ? ByteView(*job->input) : ByteView(); }
  [[nodiscard]] std::uint64_t fuel_left() const;
  [[nodiscard]] std::uint64_t fuel_used() const { return job->limits.fuel - std::min(job->limits.fuel, fuel_left()); }
  /// Takes fuel; false, with `end` set and no fuel left, if there is not as much.
  [[nodiscard]] bool charge(std::uint64_t units);
  void write_log(ByteView bytes);
  /// False, with `end` set, if that is more output than the limits allow.
  [[nodiscard]] bool write_output(ByteView bytes);
  /// Nanoseconds since the start: fuel used, and what was slept. Saturates.
  [[nodiscard]] std::uint64_t elapsed_ns() const;
  void sleep(std::uint64_t ns);
  /// The next bytes of the keyed stream, after charging for them; false, with `end` set, if the fuel does not suffice.
  [[nodiscard]] bool fill_random(std::span<std::uint8_t> to);
  /// What a path leads to from a folder, `..` staying inside it; else an errno of preview 1. Charges by components.
  [[nodiscard]] std::expected<Place, std::uint32_t> find(const Place& folder, std::string_view path);
  /// What lies in a folder, in byte order of names.
  [[nodiscard]] std::vector<std::pair<std::string_view, Place>> entries(const Place& folder) const;
};

[[nodiscard]] bool is_folder_at(const Place& place);
[[nodiscard]] std::uint64_t device_of(const Place& place);
[[nodiscard]] std::uint64_t inode_of(const Place& place);

/// What WASI 0.2's calls ask of a Run.
[[nodiscard]] const mesh_wasi_host& component_host();

/// Bytes that are copied into or out of the guest's memory for one unit of fuel.
inline constexpr std::uint64_t copied_bytes_per_unit = 4;
/// Nanoseconds since 1970 at which every guest's clock starts, and the time of every file: 2000-01-01.
inline constexpr std::uint64_t epoch_ns = 946'684'800'000'000'000;

struct WasiFunction {
  std::string_view name;
  std::string_view parameters;  ///< one letter each: i = i32, I = i64
  bool returns_errno;  ///< all but proc_exit
  std::uint32_t (*call)(Run& run, const wasmtime_val_raw_t* arguments);
};

/// All 46 functions of preview 1.
[[nodiscard]] std::span<const WasiFunction> wasi_functions();

/// Defines all of them under wasi_snapshot_preview1. The store's data must be a Run. Null, or the error.
[[nodiscard]] wasmtime_error_t* define_wasi(wasmtime_linker_t* linker);

/// Defines `name` under `module`, with the type that a module imports it by, as a function that answers ENOTSUP: for
/// socket calls, which some toolchains import with other parameters than preview 1 has.
[[nodiscard]] wasmtime_error_t* define_refusal(wasmtime_linker_t* linker, std::string_view module,
                                               std::string_view name, const wasm_functype_t* type);

}  // namespace mesh::wasm
