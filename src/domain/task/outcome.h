// What a run of a function came to: the part of a result that is neither its bytes nor its fuel.
//
// All of it is deterministic for one function, input, scope and engine, and is compared bit for bit between worker and
// verifiers, with one exception: where the stack runs out depends on the compiler, so stack exhaustion against any
// other outcome is `undetermined` (verification/).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace mesh::task {

enum class OutcomeKind : std::uint8_t {
  exited,            ///< ran to its end; see exit_code
  trapped,           ///< a WebAssembly trap; see trap and backtrace
  out_of_fuel,       ///< used the whole fuel of its scope
  out_of_memory,     ///< asked for memory past its scope and did not survive the refusal
  stack_exhausted,   ///< recursed past the stack's bound
  output_too_large,  ///< wrote more output than its scope allows
  refused,           ///< never ran: malformed module, unknown import, too large to compile; see detail
};

[[nodiscard]] std::span<const std::string_view> enum_names(OutcomeKind);

struct Outcome {
  OutcomeKind kind = OutcomeKind::exited;
  std::uint32_t exit_code = 0;         ///< of `exited`
  std::string trap;                    ///< of `trapped`: the trap's stable name, such as "integer divide by zero"
  std::vector<std::string> backtrace;  ///< innermost frame first, function names where the module has them; at most 64
  std::string detail;  ///< of `refused`: one sentence
  static constexpr std::size_t max_frames = 64;
  static constexpr std::size_t max_trap_bytes = 128;
  static constexpr std::size_t max_frame_bytes = 256;
  static constexpr std::size_t max_detail_bytes = 1024;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("kind", self.kind);
    v("exit_code", self.exit_code);
    v("trap", self.trap);
    v("backtrace", self.backtrace);
    v("detail", self.detail);
  }

  /// Whether the function did what it was asked: exited with 0.
  [[nodiscard]] bool succeeded() const { return kind == OutcomeKind::exited && exit_code == 0; }
  /// One line for people: "exit code 3", "trap: unreachable in main", ...
  [[nodiscard]] std::string text() const;
  bool operator==(const Outcome&) const = default;
};

/// Whether the texts are within their bounds; the error names the text and the bound. What a peer says a run came to is
/// kept, shown and put into proofs, so it is checked before.
[[nodiscard]] Status validate(const Outcome& outcome);
/// The outcome as validate and every strict reader take it: texts cut to their bounds and made UTF-8. What a guest brought
/// about may have neither, such as the names in a damaged archive.
[[nodiscard]] Outcome bounded(Outcome outcome);

/// What a run used. Fuel is deterministic and compared; the rest is the worker's own measurement.
struct ExecutionSummary {
  std::uint64_t fuel = 0;  ///< units charged from after instantiation
  std::uint64_t wall_ms = 0;  ///< on the executor's clock
  std::uint64_t peak_memory_bytes = 0;  ///< linear memories together
  std::uint64_t io_bytes = 0;  ///< input read plus output and log written

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("fuel", self.fuel);
    v("wall_ms", self.wall_ms);
    v("peak_memory_bytes", self.peak_memory_bytes);
    v("io_bytes", self.io_bytes);
  }
  bool operator==(const ExecutionSummary&) const = default;
};

}  // namespace mesh::task
