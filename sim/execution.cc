#include "sim/execution.h"

#include "codec/hash.h"

namespace mesh::sim {

std::vector<ShardRun> runs_of(const node::effect::Execute& request) {
  return {{.intent = request.intent, .function = request.function, .shard = request.shard}};
}

receipt::Finding truth_of(const Cid& function, std::uint32_t shard) {
  const Digest result = tagged_hash("meshwork/sim/result", {function.binary(), big_endian(shard)});
  return {.result = Cid::of(Multicodec::raw, result.view()),
          .log = Cid::of(Multicodec::raw, {}),
          .outcome = {},
          .fuel = 1000 + shard};
}

Output honest_output(const ShardRun& run, Duration took) {
  receipt::Finding finding = truth_of(run.function, run.shard);
  const std::uint64_t fuel = finding.fuel;
  return {.finding = std::move(finding),
          .summary = {.fuel = fuel,
                      .wall_ms = static_cast<std::uint64_t>(took.count() / 1000),
                      .peak_memory_bytes = 65536,
                      .io_bytes = 64},
          .result_block = {},
          .log_block = {}};
}

node::event::ExecutionDone done_with(const node::effect::Execute& request, std::vector<Output> outputs) {
  return {request.id, std::move(outputs.front())};
}

node::event::ExecutionDone failed_with(const node::effect::Execute& request, std::string why) {
  return {request.id, fail(ErrorCode::unavailable, std::move(why))};
}

}  // namespace mesh::sim
