// What of a ledger concerns a node, put into an event::LedgerChanged: for whoever runs both (the program, a test).
//
// A final block is read in two steps, since what a draft changes can be seen only before it is committed, and what it came to
// only afterwards: touched_by(), then changes_of(). No table is walked but for the whole, once after the start.
//
// Bounds: what one block can change; the whole has a Standing for each of at most 65,536 members.
#pragma once

#include <set>

#include "domain/ledger/ledger.h"
#include "node/event.h"

namespace mesh::node {

/// Whose entries a node wants to hear of: escrows and works of these intents, escrows that it locked, works of its own, and those
/// for which it was drawn.
struct Interest {
  NodeId self;
  std::set<Cid> intents;
};
[[nodiscard]] bool concerns(const Interest& interest, const ledger::Escrow& escrow);
[[nodiscard]] bool concerns(const Interest& interest, const ledger::Work& work);

/// Keys of what a block changes.
struct Touched {
  std::vector<Digest> escrows;
  std::vector<Digest> works;
  std::set<NodeId> members;
};
[[nodiscard]] Touched touched_by(const ledger::Draft& draft);

/// After the block is committed. `block` is where settlements are looked for that show receipts.
[[nodiscard]] event::LedgerChanged changes_of(const ledger::State& state, const Touched& touched,
                                              const ledger::OpenedBlock& block, const Interest& interest,
                                              std::uint64_t now_ms);
/// All that there is.
[[nodiscard]] event::LedgerChanged whole_of(const ledger::State& state, const Interest& interest, std::uint64_t now_ms);
/// What there is of one intent: the answer to effect::Watch.
[[nodiscard]] event::LedgerChanged part_of(const ledger::State& state, const Cid& intent, std::uint64_t now_ms);

/// None for who is no member.
[[nodiscard]] std::optional<Standing> standing_of(const ledger::State& state, const NodeId& node);

}  // namespace mesh::node
