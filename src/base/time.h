// Time as the domain knows it: instants and durations that somebody else read from a clock.
//
// An Instant is a node's own monotonic time, in microseconds since it started (or, in the simulator, since the
// run began). Instants of two nodes are never compared. WallTime is for people: shown, never decided on.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace mesh {

using Duration = std::chrono::microseconds;

struct NodeClock {  // A tag for std::chrono: it has no now() on purpose.
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<NodeClock, duration>;
  static constexpr bool is_steady = true;
};
using Instant = NodeClock::time_point;

/// Milliseconds since 1970-01-01 UTC, as the node's host believes.
struct WallTime {
  std::int64_t ms = 0;
  auto operator<=>(const WallTime&) const = default;
};

/// A running mean that a new value enters with a quarter; the first stands as it is.
[[nodiscard]] inline Duration smoothed(const std::optional<Duration>& before, Duration now) {
  return before ? (*before * 3 + now) / 4 : now;
}

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

}  // namespace mesh
