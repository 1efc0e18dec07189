#include "app/runtime/chain_verifier.h"

#include <algorithm>
#include <deque>
#include <future>
#include <thread>

namespace mesh::app {

ChainReport verify_chain(const identity::Charter& charter, const ledger::Genesis& genesis, const NextBlock& next,
                         const chain::Audit::ReadPart& snapshot) {
  ChainReport report;
  auto audit = snapshot ? chain::Audit::begin_at(charter, genesis, snapshot) : chain::Audit::begin(charter, genesis);
  if (!audit) {
    report.problem = {.height = 0, .error = std::move(audit.error())};
    return report;
  }
  report.base = audit->height();
  const Cid federation = audit->ledger().federation();
  const std::size_t most = 2 * std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 64);
  std::deque<std::future<chain::ReadBlock>> reading;  // Ended, if need be waited for, with the function.
  std::optional<Error> no_more;
  bool is_last = false;
  while (true) {
    while (!is_last && reading.size() < most) {
      Result<std::optional<chain::FinalBlock>> block = next();
      is_last = !block || !*block;
      if (!block) no_more = std::move(block.error());
      if (is_last) break;
      reading.push_back(std::async(std::launch::async, [&federation, one = std::move(**block)]() mutable {
        return chain::Audit::read(federation, std::move(one));
      }));
    }
    if (reading.empty()) break;
    chain::ReadBlock block = reading.front().get();
    reading.pop_front();
    if (Status added = audit->add(std::move(block)); !added) {
      report.problem = {.height = audit->height() + 1, .error = std::move(added.error())};
      break;
    }
  }
  if (!report.problem && no_more) report.problem = {.height = audit->height() + 1, .error = std::move(*no_more)};
  if (!report.problem) {
    if (Status counted = audit->count(); !counted)
      report.problem = {.height = audit->height(), .error = std::move(counted.error())};
  }
  const ledger::Frame& frame = audit->ledger().state().frame;
  report.height = audit->height();
  report.transactions = audit->transactions();
  report.head = frame.last_block;
  report.state_root = audit->ledger().state_root();
  report.time_ms = frame.time_ms;
  report.totals = frame.totals;
  return report;
}

}  // namespace mesh::app
