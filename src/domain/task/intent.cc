#include "domain/task/intent.h"

#include <algorithm>

#include "codec/utf8.h"

namespace mesh::task {

namespace {
constexpr std::string_view sealed_engine = "sealed-inputs/1;";
}

bool TaskIntent::is_sealed() const { return engine.starts_with(sealed_engine); }

std::string engine_of(std::string_view engine, bool is_sealed) {
  return (is_sealed ? std::string(sealed_engine) : std::string()).append(engine);
}

std::vector<ShardRange> ranges_of(const std::vector<std::uint32_t>& sorted) {
  std::vector<ShardRange> ranges;
  for (const std::uint32_t shard : sorted) {
    if (!ranges.empty() && ranges.back().first + ranges.back().count == shard) {
      ++ranges.back().count;
    } else {
      ranges.push_back({shard, 1});
    }
  }
  return ranges;
}

Result<std::vector<std::uint32_t>> expand(const std::vector<ShardRange>& ranges, std::uint32_t shards) {
  std::vector<std::uint32_t> result;
  std::uint64_t next = 0;
  for (const ShardRange& range : ranges) {
    const std::uint64_t end = std::uint64_t{range.first} + range.count;
    if (range.count == 0 || range.first < next || end > shards) {
      return fail(ErrorCode::invalid,
                  "shard ranges must be ascending, not empty, apart, and below " + std::to_string(shards));
    }
    for (std::uint64_t shard = range.first; shard < end; ++shard) result.push_back(static_cast<std::uint32_t>(shard));
    next = end;
  }
  return result;
}

bool covers(const std::vector<ShardRange>& ranges, std::uint32_t shard) {
  return std::ranges::any_of(
      ranges, [&](const ShardRange& range) { return shard >= range.first && shard - range.first < range.count; });
}

Status validate(const TaskIntent& intent, const policy::MeshPolicy& policy) {
  const auto out_of_range = [](std::string_view what, std::uint64_t low, std::uint64_t high, std::uint64_t is) {
    return fail(ErrorCode::invalid, std::string(what) + " is between " + std::to_string(low) + " and " +
                                        std::to_string(high) + ", not " + std::to_string(is));
  };
  if (intent.shards < 1 || intent.shards > policy.scheduling.max_shards_per_task) {
    return out_of_range("the number of shards", 1, policy.scheduling.max_shards_per_task, intent.shards);
  }
  if (intent.verifiers > policy.verification_quorum.maximum_verifiers) {
    return out_of_range("the number of verifiers", 0, policy.verification_quorum.maximum_verifiers, intent.verifiers);
  }
  if (intent.sample < 1 || intent.sample > TaskIntent::everything)
    return out_of_range("the sampled share per mille", 1, TaskIntent::everything, intent.sample);
  if (intent.sample < TaskIntent::everything && intent.verifiers == 0)
    return fail(ErrorCode::invalid, "a share to verify was asked for together with no verifiers");
  if (intent.bid_window_ms < 1 || intent.bid_window_ms > policy.scheduling.max_bid_window_ms) {
    return out_of_range("bid_window_ms", 1, policy.scheduling.max_bid_window_ms, intent.bid_window_ms);
  }
  if (intent.scope.memory_mb < 1 || intent.scope.memory_mb > 4096)
    return out_of_range("memory_mb", 1, 4096, intent.scope.memory_mb);
  if (intent.scope.fuel < 1 || intent.scope.fuel > (std::uint64_t{1} << 60)) {
    return out_of_range("fuel", 1, std::uint64_t{1} << 60, intent.scope.fuel);
  }
  if (intent.scope.io_mb < 1 || intent.scope.io_mb > 1024) return out_of_range("io_mb", 1, 1024, intent.scope.io_mb);
  constexpr std::uint32_t day_ms = 86'400'000;
  for (const auto& [name, value] : {std::pair<std::string_view, std::uint32_t>{"fetch_ms", intent.limits.fetch_ms},
                                    {"run_ms", intent.limits.run_ms},
                                    {"nonce_ms", intent.limits.nonce_ms},
                                    {"reveal_ms", intent.limits.reveal_ms}}) {
    if (value < 1 || value > day_ms) return out_of_range(name, 1, day_ms, value);
  }
  if (intent.limits.total_ms < 1) return fail(ErrorCode::invalid, "total_ms is at least 1");
  if (intent.label.size() > 128) return out_of_range("the label's length", 0, 128, intent.label.size());
  if (intent.owner.size() > 128) return out_of_range("the owner's length", 0, 128, intent.owner.size());
  if (intent.engine.empty() || intent.engine.size() > 256)
    return out_of_range("the engine's length", 1, 256, intent.engine.size());
  // What was decoded is UTF-8 already; what is about to be signed here must be, or nobody could decode it.
  for (const auto& [name, text] : {std::pair<std::string_view, std::string_view>{"label", intent.label},
                                   {"owner", intent.owner},
                                   {"engine", intent.engine}}) {
    if (!is_utf8(text)) return fail(ErrorCode::invalid, "the " + std::string(name) + " is not UTF-8 text");
  }
  return {};
}

std::uint32_t max_rounds(std::uint32_t shards) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(4096, 16 + std::uint64_t{4} * shards));
}

}  // namespace mesh::task
