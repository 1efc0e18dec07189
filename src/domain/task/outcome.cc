#include "domain/task/outcome.h"

#include <array>

#include "codec/utf8.h"

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

Status validate(const Outcome& outcome) {
  const auto too_long = [](std::string_view what, std::size_t bound) {
    return fail(ErrorCode::invalid, std::string(what) + " has at most " + std::to_string(bound) + " bytes");
  };
  if (outcome.trap.size() > Outcome::max_trap_bytes)
    return too_long("the name of an outcome's trap", Outcome::max_trap_bytes);
  if (outcome.detail.size() > Outcome::max_detail_bytes)
    return too_long("the detail of an outcome", Outcome::max_detail_bytes);
  if (outcome.backtrace.size() > Outcome::max_frames)
    return fail(ErrorCode::invalid,
                "the backtrace of an outcome has at most " + std::to_string(Outcome::max_frames) + " frames");
  for (const std::string& frame : outcome.backtrace) {
    if (frame.size() > Outcome::max_frame_bytes)
      return too_long("a frame of an outcome's backtrace", Outcome::max_frame_bytes);
  }
  return {};
}

Outcome bounded(Outcome outcome) {
  outcome.trap = utf8_excerpt(outcome.trap, Outcome::max_trap_bytes);
  outcome.detail = utf8_excerpt(outcome.detail, Outcome::max_detail_bytes);
  if (outcome.backtrace.size() > Outcome::max_frames) outcome.backtrace.resize(Outcome::max_frames);
  for (std::string& frame : outcome.backtrace) frame = utf8_excerpt(frame, Outcome::max_frame_bytes);
  return outcome;
}

}  // namespace mesh::task
