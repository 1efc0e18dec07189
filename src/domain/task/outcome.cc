#include "domain/task/outcome.h"

#include <array>

namespace mesh::task {

std::span<const std::string_view> enum_names(OutcomeKind) {
  static constexpr std::array<std::string_view, 7> names{
      "exited", "trapped", "out-of-fuel", "out-of-memory", "stack-exhausted", "output-too-large", "refused"};
  return names;
}

std::string Outcome::text() const {
  switch (kind) {
    case OutcomeKind::exited:
      return "exit code " + std::to_string(exit_code);
    case OutcomeKind::trapped:
      return "trap: " + trap + (backtrace.empty() ? "" : " in " + backtrace.front());
    case OutcomeKind::out_of_fuel:
      return "out of fuel (raise it with --fuel)";
    case OutcomeKind::out_of_memory:
      return "out of memory (raise it with --memory)";
    case OutcomeKind::stack_exhausted:
      return "call stack exhausted";
    case OutcomeKind::output_too_large:
      return "output too large";
    case OutcomeKind::refused:
      return "refused: " + detail;
  }
  return "unknown outcome";
}

}  // namespace mesh::task
