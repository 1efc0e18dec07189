// mesh_sim: runs one scenario from a seed and prints what came of it. `make sim ARGS="--seed 7 --nodes 50"`.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "sim/world.h"

namespace {

/// The options with their defaults, by name.
using Options = std::map<std::string_view, std::uint64_t>;

/// Reads `--name number` pairs into `options`; false if one is not known or no number.
bool read_options(std::span<char* const> arguments, Options& options) {
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const auto option = options.find(arguments[i]);
    if (option == options.end() || i + 1 == arguments.size()) return false;
    const std::string_view text = arguments[i + 1];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), option->second);
    if (error != std::errc() || end != text.data() + text.size()) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mesh;
  Options given{{"--seed", 1},     {"--nodes", 100}, {"--loss-per-mille", 10}, {"--latency-max-us", 20'000},
                {"--shards", 200}, {"--crash", 1}};
  const bool read = read_options(std::span(argv, static_cast<std::size_t>(argc)).subspan(1), given);
  if (!read || given["--nodes"] < 5 || given["--nodes"] > 1000 || given["--shards"] < 1 || given["--shards"] > 16384 ||
      given["--loss-per-mille"] > 1000) {
    fmt::print(stderr,
               "usage: mesh_sim [--seed N] [--nodes 5..1000] [--shards 1..16384] [--loss-per-mille 0..1000]"
               " [--latency-max-us N] [--crash 0|1]\n");
    return 2;
  }
  sim::Options options;
  options.seed = given["--seed"];
  options.nodes = static_cast<std::uint32_t>(given["--nodes"]);
  options.loss_per_mille = static_cast<std::uint32_t>(given["--loss-per-mille"]);
  options.latency_max_us = given["--latency-max-us"];
  const auto shards = static_cast<std::uint32_t>(given["--shards"]);
  const bool crash = given["--crash"] != 0;
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
