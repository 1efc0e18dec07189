// TaskIntent: what a publisher asks for. Signed, gossiped, and the root of a task's whole story.
//
// Bounds: 1,048,576 shards (their list is a block of at most 2 MiB, and one for every 256 of them), label of 128 bytes, 63
// verifiers.
#pragma once

#include "codec/hash.h"
#include "codec/record.h"
#include "domain/policy/policy.h"

namespace mesh::task {

/// What one shard may use, and so what a worker must have. Past it the run ends with a named outcome.
struct CapabilityScope {
  std::uint64_t memory_mb = 512;  ///< MiB of linear memory
  std::uint64_t fuel = 200'000'000'000;  ///< units of wasmtime fuel
  std::uint64_t gpu_flops = 0;  ///< per second; 0 = no GPU
  std::uint64_t io_mb = 64;  ///< MiB of output; the log has a sixteenth of it, at least 1 MiB

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("memory_mb", self.memory_mb);
    v("fuel", self.fuel);
    v("gpu_flops", self.gpu_flops);
    v("io_mb", self.io_mb);
  }
  bool operator==(const CapabilityScope&) const = default;
};

/// The time limit of each phase, in milliseconds. Each failure is named after its phase.
struct PhaseLimits {
  std::uint32_t fetch_ms = 60'000;  ///< for a worker or verifier to get function and inputs
  std::uint32_t run_ms = 600'000;  ///< for a worker or verifier to run one lease
  std::uint32_t nonce_ms = 2'000;  ///< for the eligible to reveal their nonces
  std::uint32_t reveal_ms = 10'000;  ///< for a worker or verifier to reveal what it committed to
  std::uint32_t total_ms = 3'600'000;  ///< for the whole task

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("fetch_ms", self.fetch_ms);
    v("run_ms", self.run_ms);
    v("nonce_ms", self.nonce_ms);
    v("reveal_ms", self.reveal_ms);
    v("total_ms", self.total_ms);
  }
  bool operator==(const PhaseLimits&) const = default;
};

struct TaskIntent {
  static constexpr std::string_view type = "task-intent";
  static constexpr std::uint64_t version = 2;
  static constexpr std::uint32_t everything = 1000;

  Cid function;
  Cid inputs;  ///< of a ShardList: one input per shard
  std::uint32_t shards = 0;
  std::optional<Cid> reduce;  ///< folds the results; run as a task of its own that names this one in `reduces`
  std::optional<Cid> reduces;  ///< the intent whose results this one folds
  CapabilityScope scope;
  std::uint64_t fee = 0;  ///< micro-credits per shard; above 0 needs a ledger
  std::uint32_t verifiers = 0;  ///< wanted per shard, at least; 0 = unverified
  /// What a wrong result of one shard costs the publisher, in micro-credits. Above 0 the number of verifiers grows with it
  /// and falls with what the worker has earned (verification::seats_for), from `verifiers` to the policy's maximum.
  std::uint64_t value = 0;
  /// Per mille: the probability with which each shard is re-executed, drawn after every shard of the task has been committed
  /// to. 1000 = all are.
  std::uint32_t sample = everything;
  std::uint32_t bid_window_ms = 0;
  PhaseLimits limits;
  Cid policy;
  std::string engine;  ///< the executor's version and flags, which decide the fuel
  Digest nonce_tip;  ///< end of the publisher's hash chain (verification/nonce_chain.h); makes the intent unique
  std::string owner;  ///< did of the publisher's owner, empty = the publisher itself
  std::string label;  ///< for people; at most 128 bytes
  std::int64_t created_ms = 0;  ///< publisher's wall clock, for people

  /// Whether each input is a sealed file, to be opened by whoever runs it. The engine says so: it is what decides what a run
  /// comes to, and a node that does not know it declines by name instead of running on sealed bytes.
  [[nodiscard]] bool is_sealed() const;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("function", self.function);
    v("inputs", self.inputs);
    v("shards", self.shards);
    v("reduce", self.reduce);
    v("reduces", self.reduces);
    v("scope", self.scope);
    v("fee", self.fee);
    v("verifiers", self.verifiers);
    v("value", self.value);
    v("sample", self.sample);
    v("bid_window_ms", self.bid_window_ms);
    v("limits", self.limits);
    v("policy", self.policy);
    v("engine", self.engine);
    v("nonce_tip", self.nonce_tip);
    v("owner", self.owner);
    v("label", self.label);
    v("created_ms", self.created_ms);
  }
};

/// What an intent calls the engine that runs its shards, if it is `engine` and the inputs are sealed or not.
[[nodiscard]] std::string engine_of(std::string_view engine, bool is_sealed);

/// The inputs of a task, one per shard. A block of its own, so that the intent stays small on the gossip. The list of one
/// input has it in `inputs`; a longer one links to parts, each a ShardList with inputs alone, so that whoever runs some of
/// them fetches these and few others in one go.
struct ShardList {
  static constexpr std::string_view type = "shard-list";
  static constexpr std::uint64_t version = 2;
  /// A part has so many inputs at most, and, unless it has one alone, so many bytes of them.
  static constexpr std::uint32_t max_part_shards = 256;
  static constexpr std::uint64_t max_part_bytes = std::uint64_t{4} << 20;
  struct Part {
    Cid list;
    std::uint32_t shards = 0;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("list", self.list);
      v("shards", self.shards);
    }
  };
  std::vector<Cid> inputs;
  std::vector<Part> parts;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("inputs", self.inputs);
    v("parts", self.parts);
  }
};
inline constexpr std::uint32_t max_shards = 1U << 20;

/// A run of shard numbers, first..first+count-1.
struct ShardRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("first", self.first);
    v("count", self.count);
  }
  bool operator==(const ShardRange&) const = default;
};

/// The ranges of sorted, unique shard numbers, and back. `expand` refuses overlaps, disorder and numbers past `shards`.
[[nodiscard]] std::vector<ShardRange> ranges_of(const std::vector<std::uint32_t>& sorted);
[[nodiscard]] Result<std::vector<std::uint32_t>> expand(const std::vector<ShardRange>& ranges, std::uint32_t shards);
/// Whether the shard is in one of the ranges, whatever their order.
[[nodiscard]] bool covers(const std::vector<ShardRange>& ranges, std::uint32_t shard);

/// Bounds and consistency of an intent under a policy; the error names the field and the bound.
[[nodiscard]] Status validate(const TaskIntent& intent, const policy::MeshPolicy& policy);

/// How many sortition rounds a task can have: the length of its nonce chains. Follows from the number of shards.
[[nodiscard]] std::uint32_t max_rounds(std::uint32_t shards);

}  // namespace mesh::task
