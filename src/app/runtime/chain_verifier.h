// Checks a whole chain (chain/audit.h) from wherever its blocks come, with all cores: they read blocks and check signatures while
// the caller's thread executes, in order.
//
// Bounds: two blocks a core are held at once. What can go wrong: a block (the report says which, and what), or that the next cannot be had.
#pragma once

#include <functional>
#include <optional>

#include "chain/audit.h"

namespace mesh::app {

struct ChainReport {
  chain::Height base = 0;  ///< of the snapshot with which the chain begins; 0: it begins with its first block
  chain::Height height = 0;  ///< up to here everything holds
  std::uint64_t transactions = 0;
  Cid head;
  Digest state_root;
  std::uint64_t time_ms = 0;
  ledger::Totals totals;
  /// What is wrong, and at which height; 0 where it is no block.
  struct Problem {
    chain::Height height = 0;
    Error error;
  };
  std::optional<Problem> problem;
};

/// Nothing where there is no other block. Called on the caller's thread.
using NextBlock = std::function<Result<std::optional<chain::FinalBlock>>()>;

/// With `snapshot` the chain begins with that, and `next` gives the blocks after it.
[[nodiscard]] ChainReport verify_chain(const identity::Charter& charter, const ledger::Genesis& genesis,
                                       const NextBlock& next, const chain::Audit::ReadPart& snapshot = {});

}  // namespace mesh::app
