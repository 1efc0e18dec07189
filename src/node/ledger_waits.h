// Who keeps a work of the ledger waiting, and when to say so (the ledger's `timeout`). For the publisher and the worker alike.
#pragma once

#include <map>
#include <set>

#include "node/ledger_view.h"

namespace mesh::node {

/// Since when a node's open seats are known, by work; the host's clock.
using WaitingSince = std::map<std::pair<Cid, NodeId>, std::uint64_t>;

/// Those of a drawn work who have an open seat, and that nobody has named yet. Who was drawn first has the time that the intent
/// gives, and is named so late that its seat moves on right then; who came after others has that time from when it is named,
/// so it is named at once. `patience_ms` later by those that leave it to others first.
[[nodiscard]] std::vector<NodeId> overdue_seats(const ledger::Work& work, const ledger::Escrow& escrow,
                                                const ledger::Parameters& parameters, std::uint64_t wall_ms,
                                                std::uint64_t patience_ms, WaitingSince& since);

}  // namespace mesh::node
