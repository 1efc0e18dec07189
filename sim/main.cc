// mesh_sim: runs one scenario from a seed and prints what came of it. `make sim SEED=n NODES=n`.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

#include "sim/world.h"

namespace {

std::uint64_t option(int argc, char** argv, const char* name, std::uint64_t otherwise) {
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], name) == 0) return std::strtoull(argv[i + 1], nullptr, 10);
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mesh;
  sim::Options options;
  options.seed = option(argc, argv, "--seed", 1);
  options.nodes = static_cast<std::uint32_t>(option(argc, argv, "--nodes", 100));
  options.loss_per_mille = static_cast<std::uint32_t>(option(argc, argv, "--loss-per-mille", 10));
  options.latency_max_us = option(argc, argv, "--latency-max-us", 20'000);
  const auto shards = static_cast<std::uint32_t>(option(argc, argv, "--shards", 200));
  const bool crash = option(argc, argv, "--crash", 1) != 0;
  if (options.nodes < 5 || options.nodes > 1000 || shards < 1 || shards > 16384) {
    fmt::print(stderr, "mesh_sim: --nodes is between 5 and 1000, --shards between 1 and 16384\n");
    return 2;
  }
  const auto begun = std::chrono::steady_clock::now();
  sim::World world(options);
  world.start();
  world.run_for(seconds(2));
  const Cid job = world.submit(0, world.spec(shards));
  const auto victim = static_cast<std::uint32_t>(1 + world.random().below(options.nodes - 1));
  if (crash) {
    world.at_time(milliseconds(3000), [&] { world.crash(victim); });
    world.at_time(milliseconds(9000), [&] { world.restart(victim); });
  }
  const bool ended =
      world.run_until([&] { return world.at(0).job(job)->phase >= node::JobPhase::done; }, seconds(3600));
  const node::JobView view = *world.at(0).job(job);
  std::uint32_t wrong = 0;
  for (const node::ShardView& shard : world.at(0).shards(job, 0, shards)) {
    if (shard.finding && *shard.finding != world.truth(world.spec(1).function, shard.shard)) ++wrong;
  }
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const double virtual_seconds = static_cast<double>(world.now().time_since_epoch().count()) / 1e6;
  fmt::print("seed {}  nodes {}  shards {}  loss {} per mille  crash {}\n", options.seed, options.nodes, shards,
             options.loss_per_mille, crash ? fmt::format("of node {}", victim) : "none");
  fmt::print("phase {}  finished {}/{}  wrong {}  {}\n",
             node::enum_names(view.phase)[static_cast<std::size_t>(view.phase)], view.finished, view.shards, wrong,
             view.failure);
  fmt::print("virtual {:.3f} s  events {}  messages {}  lost {}  trace {}\n", virtual_seconds, world.events(),
             world.messages(), world.lost(), world.trace_hash().hex().substr(0, 16));
  fmt::print("wall {:.2f} s  simulated node-hours per second {:.2f}\n", wall,
             virtual_seconds * options.nodes / 3600 / wall);
  return ended && view.phase == node::JobPhase::done && wrong == 0 ? 0 : 1;
}
