#include "node/ledger_waits.h"

#include <algorithm>

namespace mesh::node {

std::vector<NodeId> overdue_seats(const ledger::Work& work, const ledger::Escrow& escrow,
                                  const ledger::Parameters& parameters, std::uint64_t wall_ms,
                                  std::uint64_t patience_ms, WaitingSince& since) {
  std::vector<NodeId> overdue;
  if (work.draws.empty() || (work.phase != ledger::WorkPhase::drawn && work.phase != ledger::WorkPhase::disputed))
    return overdue;
  const auto round = static_cast<std::uint32_t>(work.draws.size() - 1);
  const std::set<NodeId> first = ledger::open_seats(work, 0);
  const std::uint64_t drawn = work.draws.back().time_ms;
  for (const NodeId& node : ledger::open_seats(work, wall_ms)) {
    if (std::ranges::any_of(work.passed_over, [&](const auto& one) { return one.round == round && one.node == node; }))
      continue;
    if (first.contains(node)) {
      const std::uint64_t notice = std::min(parameters.answer_ms, escrow.run_ms);
      if (wall_ms >= drawn + escrow.run_ms - notice + patience_ms) overdue.push_back(node);
    } else if (wall_ms >= since.try_emplace({work.commitment, node}, wall_ms).first->second + patience_ms) {
      overdue.push_back(node);
    }
  }
  if (overdue.size() > ledger::max_timeouts) overdue.resize(ledger::max_timeouts);
  return overdue;
}

}  // namespace mesh::node
