// Frees what nothing needs: blocks below no root that counts, oldest first, once they pass a bound.
//
// Blocks that are younger than an hour stay whatever they are: somebody may be about to name them.
#pragma once

#include <optional>
#include <vector>

#include "adapters/store/block_store.h"
#include "base/time.h"

namespace mesh::app {

struct GarbageReport {
  std::uint64_t unneeded_bytes = 0;  ///< found below no root
  std::uint64_t freed_blocks = 0, freed_bytes = 0;
  std::optional<Error> failure;  ///< the first, if not all that was to go could be removed
};

struct GarbagePolicy {
  std::uint64_t keep_bytes = std::uint64_t{8}
                             << 30;  ///< of unneeded blocks; past it the oldest go until nine tenths are left
  Duration youngest{std::chrono::hours(1)};
};

/// `roots`: what is needed with all below it. Blocks the caller; the store may be used meanwhile.
[[nodiscard]] GarbageReport collect_garbage(store::BlockStore& blocks, const std::vector<Cid>& roots,
                                            const GarbagePolicy& policy);

}  // namespace mesh::app
