#include "sim/execution.h"

#include "codec/hash.h"

namespace mesh::sim {

std::vector<ShardRun> runs_of(const node::effect::Execute& request) {
  std::vector<ShardRun> runs;
  runs.reserve(request.shards.size());
  for (const std::uint32_t shard : request.shards)
    runs.push_back({.intent = request.intent, .function = request.function, .shard = shard});
  return runs;
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

namespace {
verification::WrappedKeyBytes key_bytes(const node::NodeId& node, const Cid& intent, std::uint32_t shard) {
  const Digest digest = tagged_hash("meshwork/sim/key", {node.view(), intent.binary(), big_endian(shard)});
  std::array<std::uint8_t, verification::WrappedKeyBytes::size> bytes{};
  std::ranges::copy(digest.view(), bytes.begin());
  return verification::WrappedKeyBytes(bytes);
}
}  // namespace

node::event::KeysWrapped keys_for(const node::effect::WrapKeys& request) {
  verification::KeyParcel parcel;
  for (const std::uint32_t shard : request.shards) parcel.keys.push_back(key_bytes(request.to, request.intent, shard));
  return {.id = request.id, .to = request.to, .shards = request.shards, .keys = std::move(parcel)};
}

bool is_key_for(const node::NodeId& node, const Cid& intent, std::uint32_t shard, const verification::WrappedKey& key) {
  return key.key == key_bytes(node, intent, shard);
}

node::event::ExecutionDone done_with(const node::effect::Execute& request, std::size_t first,
                                     std::vector<Result<Output>> results) {
  node::event::ExecutionDone done{
      .id = request.id, .shards = {}, .last = first + results.size() == request.shards.size()};
  done.shards.reserve(results.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    const bool is_key_wrong = !results[i] && results[i].error().code == ErrorCode::denied;
    done.shards.push_back({request.shards[first + i], std::move(results[i]), is_key_wrong});
  }
  return done;
}

}  // namespace mesh::sim
