#include "sim/checkers/checkers.h"

namespace mesh::sim {

namespace {

constexpr std::uint64_t most_heard = 1024;  // Stated by the node and by its peer table.
constexpr std::uint64_t most_peers = 4096;

std::uint64_t foreign_of(const World& world, std::uint32_t host) {
  std::set<Cid> own;
  std::set<Cid> foreign;
  for (const node::JournalRecord& record : world.journal(host)) {
    if (record.kind == "spec") own.insert(record.scope);
    if (record.kind == "own-offer") foreign.insert(record.scope);
  }
  std::erase_if(foreign, [&](const Cid& scope) { return own.contains(scope); });
  return foreign.size();
}

}  // namespace

void Bounds::look(const World& world) {
  for (std::uint32_t host = 0; host < world.size(); ++host) {
    if (!world.running(host)) continue;
    const node::Node& node = world.at(host);
    const node::Config& config = world.config(host);
    const auto broken = [&](std::string_view what, std::uint64_t value, std::uint64_t bound) {
      if (value > bound)
        findings_.add("out-of-bounds: node " + std::to_string(host) + " has " + std::to_string(value) + " " +
                      std::string(what) + ", its bound is " + std::to_string(bound));
    };
    const auto [running, queued] = node.load();
    broken("runs at once", running, config.slots);
    broken("runs", running + queued, config.policy.scheduling.max_queued_shards);
    const std::uint64_t intents = node.intents().size();
    broken("intents heard of", intents, most_heard);
    broken("peers", node.peers().size(), most_peers);
    const std::uint64_t foreign = foreign_of(world, host);
    broken("tasks of others", foreign, config.max_engagements);
    most_runs_ = std::max<std::uint64_t>(most_runs_, running + queued);
    most_foreign_ = std::max(most_foreign_, foreign);
    most_records_ = std::max<std::uint64_t>(most_records_, world.journal(host).size());
    most_intents_ = std::max(most_intents_, intents);
  }
}

std::uint64_t Bounds::foreign_tasks(const World& world) {
  std::uint64_t total = 0;
  for (std::uint32_t host = 0; host < world.size(); ++host) total += foreign_of(world, host);
  return total;
}

void Bounds::finish(const World& world) {
  for (std::uint32_t host = 0; host < world.size(); ++host) {
    if (const std::uint64_t kept = foreign_of(world, host); kept > 0)
      findings_.add("left-over: node " + std::to_string(host) + " still keeps " + std::to_string(kept) +
                    " tasks of others that ended long ago");
  }
}

}  // namespace mesh::sim
