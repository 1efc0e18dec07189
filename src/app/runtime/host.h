// What this machine has, read from the system once at start. Best effort: what cannot be read is left at its default.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mesh::app {

struct HostResources {
  unsigned cores = 1;               ///< that this process may use
  std::uint64_t memory_bytes = 0;   ///< of the machine, or of the control group that bounds us
  std::vector<std::string> gpus;    ///< names, at most 16; nothing is claimed of what they can do
};

[[nodiscard]] HostResources detect_host();

/// Milliseconds since 1970 by the host's clock, for people.
[[nodiscard]] std::int64_t wall_ms();

}  // namespace mesh::app
