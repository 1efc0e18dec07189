// Carries out what the node decides about runs: brings content here, turns a function into a job of the sandbox, keeps
// what comes out, and answers with events.
//
// Every shard of an effect::Execute comes in exactly one ExecutionDone, also after a cancel. What the function is to blame
// for (a node that does not read, a tar with `..`, an input that is no file) is the outcome `refused`, equal on every
// node; what this host could not do (content not to be had, disk full, compilation too long, a sealed input whose key does
// not fit) is an Error.
//
// Threads: works on the io_context that it is given, one thread of which may run; public members may be called from any
// thread, events are emitted on that io_context.
// Bounds: inputs of 1 GiB, trees of 512 MiB and a cache of them, live logs of 256 KiB between two events (more is left out of
// the live log, never of the stored one).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "adapters/store/block_store.h"
#include "adapters/wasm/sandbox.h"
#include "app/runtime/content.h"
#include "node/effect.h"

namespace mesh::app {

/// Blocks of at most this size travel with the records that name them.
inline constexpr std::size_t max_attached_bytes = std::size_t{16} << 10;

class Executor {
 public:
  struct Limits {
    std::uint64_t max_input_bytes = std::uint64_t{1} << 30;
    std::uint64_t max_tree_bytes = std::uint64_t{512} << 20;  ///< of one root or program; more is `refused`
    std::uint64_t max_cached_tree_bytes = std::uint64_t{768} << 20;
    std::uint64_t max_reduce_bytes = std::uint64_t{1} << 30;  ///< of all results together
    std::size_t max_live_log_bytes = std::size_t{256} << 10;
    Duration results_limit{std::chrono::minutes(10)};  ///< for bringing one job's results
    std::size_t results_at_once = 16;  ///< what one holder serves to one peer at a time
  };

  using Emit = std::function<void(node::Event)>;

  /// `own` is the node's key, by which it opens sealed inputs.
  Executor(boost::asio::io_context& io, store::BlockStore& blocks, ContentExchange& content, wasm::Sandbox& sandbox,
           Limits limits, const Seed& own, Emit emit);
  /// The sandbox must have been destroyed before, or have nothing to do.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void execute(node::effect::Execute effect);
  /// The run's shards that have not ended then give the Error denied "stopped".
  void cancel(std::uint64_t id);
  void wrap_keys(node::effect::WrapKeys effect);
  void fetch_results(node::effect::FetchResults effect);
  void build_reduce_input(node::effect::BuildReduceInput effect);
  /// Stops all runs and emits nothing from now on. On the io_context's thread, or when it does not run.
  void close();

  /// Functions, shard lists and inputs of the runs under way. On the io_context's thread.
  [[nodiscard]] std::vector<Cid> roots_in_use() const;

  struct Figures {
    std::uint64_t started = 0, failed = 0, fuel = 0, running = 0;
  };
  [[nodiscard]] Figures figures() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::app
