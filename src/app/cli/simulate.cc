#include "app/cli/simulate.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <fstream>

#include "app/cli/session.h"
#include "sim/forecast.h"

namespace mesh::cli {
namespace {

constexpr double most_ms = 86'400'000;

struct Request {
  std::vector<std::uint64_t> nodes{5};
  std::uint64_t slots = 2, jobs = 100, shards = 100, seed = 1, degree = 0;
  double minutes = 10, run_ms = 10, run_ms_most = 0, link_ms = 1, link_ms_most = 0, jitter_ms = 1;
  double uplink_mbit = 0, sync_ms = 1, loss_percent = 0, slow_percent = 0, slow_factor = 4;
  int verifiers = -1;
  bool tailed = false;
  std::string plot;
};

/// Of a number that is not negative.
std::uint64_t whole(double value) { return static_cast<std::uint64_t>(std::llround(value)); }
std::uint64_t micros(double ms) { return whole(ms * 1000); }

sim::ForecastPlan plan_of(const Request& request, std::uint64_t nodes) {
  sim::ForecastPlan plan;
  sim::Options& world = plan.world;
  world.seed = request.seed;
  world.nodes = nodes;
  world.slots = request.slots;
  world.run_us_min = micros(request.run_ms);
  world.run_us_max = std::max(world.run_us_min, micros(request.run_ms_most));
  world.link_min_us = micros(request.link_ms);
  world.link_max_us = std::max(world.link_min_us, micros(request.link_ms_most));
  world.latency_min_us = 0;
  world.latency_max_us = micros(request.jitter_ms);
  world.latency_tailed = world.run_tailed = request.tailed ? 1 : 0;
  world.loss_per_mille = whole(request.loss_percent * 10);
  world.slow_per_mille = whole(request.slow_percent * 10);
  world.slow_factor = whole(request.slow_factor);
  world.uplink_bytes_per_s = static_cast<std::uint64_t>(request.uplink_mbit * 125'000);
  world.sync_us = micros(request.sync_ms);
  world.degree = request.degree > 0 ? request.degree : nodes > 100 ? 12 : 0;
  world.capability_hops = world.degree > 0 ? 1 : 0;
  plan.duration_s = std::max<std::uint64_t>(1, whole(request.minutes * 60));
  plan.jobs = request.jobs;
  plan.shards = request.shards;
  if (request.verifiers >= 0) plan.verifiers = static_cast<std::uint32_t>(request.verifiers);
  return plan;
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

Json json_of(std::uint64_t nodes, const sim::Forecast& forecast) {
  const auto shards = std::max<double>(1, static_cast<double>(forecast.shards_done));
  const sim::Traffic& traffic = forecast.traffic;
  return {{"nodes", nodes},
          {"jobs", forecast.jobs},
          {"verified", forecast.done},
          {"unverified", forecast.unverified},
          {"failed", forecast.failed + forecast.refused},
          {"unfinished", forecast.unfinished},
          {"shards", forecast.shards_done},
          {"seconds", rounded(forecast.virtual_s)},
          {"shards_per_s", rounded(forecast.shards_per_s)},
          {"busy_percent", rounded(forecast.busy_per_mille / 10)},
          {"job_ms",
           {{"p50", forecast.job_ms_at(500)},
            {"p90", forecast.job_ms_at(900)},
            {"p99", forecast.job_ms_at(990)},
            {"max", forecast.job_ms_at(1000)}}},
          {"runs_per_shard", rounded(static_cast<double>(forecast.runs) / shards)},
          {"fuel", forecast.fuel},
          {"bytes_per_shard", rounded(static_cast<double>(traffic.direct_bytes) / shards)},
          {"gossip_bytes_per_job", rounded(static_cast<double>(traffic.gossip_bytes) /
                                           std::max<double>(1, static_cast<double>(forecast.jobs)))},
          {"bytes_per_node_and_s",
           rounded(static_cast<double>(traffic.direct_bytes + traffic.gossip_bytes + traffic.capability_bytes) /
                   static_cast<double>(nodes) / forecast.virtual_s)}};
}

/// `plot.svg` for several numbers of nodes becomes `plot-5.svg`, `plot-10.svg`.
std::filesystem::path plot_of(const Request& request, std::uint64_t nodes) {
  std::filesystem::path path = request.plot;
  if (request.nodes.size() == 1) return path;
  return path.parent_path() / fmt::format("{}-{}{}", path.stem().string(), nodes, path.extension().string());
}

int run_simulate(Session& session, const Request& request) {
  Json rows = Json::array();
  watch_interrupts();
  for (const std::uint64_t nodes : request.nodes) {
    const sim::ForecastPlan plan = plan_of(request, nodes);
    const sim::Forecast forecast = sim::forecast(plan, [&](std::uint64_t passed) {
      session.progress(fmt::format("{} nodes: {} s of about {} s simulated", nodes, passed, plan.duration_s));
      return !interrupted();
    });
    if (interrupted()) return exit_interrupted;
    rows.push_back(json_of(nodes, forecast));
    if (request.plot.empty()) continue;
    const std::filesystem::path path = plot_of(request, nodes);
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << sim::svg_of(forecast, fmt::format("{} nodes, {} jobs of {} shards in {} s", nodes, forecast.jobs,
                                              request.shards, plan.duration_s));
    file.close();
    if (!file) return session.fail(exit_failure, fmt::format("{} cannot be written", path.string()));
    session.say(fmt::format("wrote {}", path.string()));
  }
  const auto number = [](const char* key) { return [key](const Json& row) { return text_of(row[key]); }; };
  const auto within = [](const char* key) {
    return [key](const Json& row) { return duration_text(row["job_ms"][key].get<std::int64_t>()); };
  };
  session.print_list(
      rows,
      {{"NODES", number("nodes")},
       {"JOBS", number("jobs")},
       {"VERIFIED", number("verified")},
       {"UNVERIFIED", number("unverified"), true},
       {"FAILED", number("failed")},
       {"UNFINISHED", number("unfinished"), true},
       {"SHARDS/S", [](const Json& row) { return fmt::format("{:.1f}", row["shards_per_s"].get<double>()); }},
       {"P50", within("p50")},
       {"P90", within("p90")},
       {"P99", within("p99")},
       {"BUSY", [](const Json& row) { return fmt::format("{:.1f} %", row["busy_percent"].get<double>()); }},
       {"RUNS/SHARD", [](const Json& row) { return fmt::format("{:.2f}", row["runs_per_shard"].get<double>()); }},
       {"FUEL", [](const Json& row) { return fmt::format("{:.3g}", row["fuel"].get<double>()); }},
       {"BYTES/SHARD", [](const Json& row) { return bytes_text(row["bytes_per_shard"].get<double>()); }},
       {"GOSSIP/JOB", [](const Json& row) { return bytes_text(row["gossip_bytes_per_job"].get<double>()); }, true},
       {"BYTES/NODE/S", [](const Json& row) { return bytes_text(row["bytes_per_node_and_s"].get<double>()); }}},
      "nodes");
  return exit_ok;
}

}  // namespace

void add_simulate(CLI::App& app, Session& session, std::function<int()>& action) {
  const auto request = std::make_shared<Request>();
  CLI::App* sub = app.add_subcommand("sim", "plan a mesh: what such nodes on such a network make of such a load");
  const auto milliseconds = [&](const char* name, double& value, const char* help) {
    sub->add_option(name, value, help)->check(CLI::Range(0.0, most_ms))->type_name("MS")->capture_default_str();
  };
  sub->add_option("--nodes", request->nodes, "how many nodes; several numbers give a line each (5,10,20)")
      ->delimiter(',')
      ->check(CLI::Range(std::uint64_t{1}, sim::max_nodes))
      ->capture_default_str();
  sub->add_option("--slots", request->slots, "runs at a time on a node")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  sub->add_option("--jobs", request->jobs, "jobs, begun at random moments by random nodes")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  sub->add_option("--shards", request->shards, "shards of each job")
      ->check(CLI::Range(1, 16'384))
      ->capture_default_str();
  sub->add_option("--minutes", request->minutes, "in which the jobs begin")
      ->check(CLI::Range(0.01, 100'000.0))
      ->capture_default_str();
  sub->add_option("--verifiers", request->verifiers, "nodes that re-execute each run; as the policy says unless told")
      ->check(CLI::Range(0, 63));
  milliseconds("--run-ms", request->run_ms, "a run takes at least so long");
  milliseconds("--run-ms-most", request->run_ms_most, "and at most so long; 0 = always --run-ms");
  milliseconds("--link-ms", request->link_ms, "latency of a link, at least, one way");
  milliseconds("--link-ms-most", request->link_ms_most, "and at most; 0 = all alike");
  milliseconds("--jitter-ms", request->jitter_ms, "what chance adds to it, at most");
  milliseconds("--sync-ms", request->sync_ms, "until a write is on a disk");
  sub->add_flag("--tailed", request->tailed, "runs and jitter are mostly short and sometimes long, instead of even");
  sub->add_option("--uplink-mbit", request->uplink_mbit, "megabits a second that a node can send; 0 = no bound")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  sub->add_option("--loss", request->loss_percent, "per cent of messages that are lost")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  sub->add_option("--slow", request->slow_percent, "per cent of nodes that are slow")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  sub->add_option("--slow-factor", request->slow_factor, "by so much")
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  sub->add_option("--degree", request->degree, "peers of each node; 0 = all up to 100 nodes, 12 above")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  sub->add_option("--seed", request->seed, "what all chance comes from")->capture_default_str();
  sub->add_option("--plot", request->plot, "write throughput and latencies as SVG")->type_name("FILE");
  sub->callback(
      [&session, &action, request] { action = [&session, request] { return run_simulate(session, *request); }; });
}

}  // namespace mesh::cli
