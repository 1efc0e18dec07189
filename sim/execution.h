// The one place where the simulator takes an effect::Execute apart and puts an event::ExecutionDone together.
#pragma once

#include "node/effect.h"

namespace mesh::sim {

using Output = node::event::ExecutionDone::Output;

/// One shard of a run, as those see it who decide what came out.
struct ShardRun {
  Cid intent;
  Cid function;
  std::uint32_t shard = 0;
};

[[nodiscard]] std::vector<ShardRun> runs_of(const node::effect::Execute& request);

/// What an honest run of a shard finds, in any world.
[[nodiscard]] receipt::Finding truth_of(const Cid& function, std::uint32_t shard);
[[nodiscard]] Output honest_output(const ShardRun& run, Duration took);

/// In place of cryptography: what anybody in this world wraps for a node, and whether it is that.
[[nodiscard]] node::event::KeysWrapped keys_for(const node::effect::WrapKeys& request);
[[nodiscard]] bool is_key_for(const node::NodeId& node, const Cid& intent, std::uint32_t shard,
                              const verification::WrappedKey& key);

/// What some shards of a run came to: those of runs_of(request) from `first` on, in that order.
[[nodiscard]] node::event::ExecutionDone done_with(const node::effect::Execute& request, std::size_t first,
                                                   std::vector<Result<Output>> results);

}  // namespace mesh::sim
