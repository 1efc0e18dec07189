#include "sim/plan.h"

#include <algorithm>
#include <charconv>

namespace mesh::sim {

namespace {

constexpr std::uint64_t day_us = 86'400'000'000;
constexpr std::uint64_t many = 1'000'000;

template <std::uint64_t Options::* member>
std::uint64_t& number(Plan& plan) {
  return plan.world.*member;
}
template <std::uint64_t Plan::* member>
std::uint64_t& number(Plan& plan) {
  return plan.*member;
}

constexpr PlanEntry entries[] = {
    {"seed", number<&Options::seed>, 0, ~0ULL, "what all chance comes from"},
    {"nodes", number<&Options::nodes>, 1, max_nodes, "nodes"},
    {"load-s", number<&Plan::load_s>, 1, 1'000'000, "seconds in which jobs begin and faults strike"},
    {"jobs", number<&Plan::jobs>, 0, many, "jobs"},
    {"shards", number<&Plan::shards>, 1, 16384, "shards of a job, at most"},
    {"sampled-per-mille", number<&Plan::sampled_per_mille>, 0, 1000, "of the jobs: verified on a sample"},
    {"valued-per-mille", number<&Plan::valued_per_mille>, 0, 1000, "of the jobs: with a value"},
    {"link-min-us", number<&Options::link_min_us>, 0, day_us, "latency of a link, at least"},
    {"link-max-us", number<&Options::link_max_us>, 0, day_us, "latency of a link, at most"},
    {"latency-min-us", number<&Options::latency_min_us>, 0, day_us, "jitter on top, at least"},
    {"latency-max-us", number<&Options::latency_max_us>, 0, day_us, "jitter on top, at most"},
    {"latency-tailed", number<&Options::latency_tailed>, 0, 1, "1: most are short and few are long"},
    {"loss-per-mille", number<&Options::loss_per_mille>, 0, 1000, "messages lost", true},
    {"duplicate-per-mille", number<&Options::duplicate_per_mille>, 0, 1000, "messages that come twice", true},
    {"reorder-per-mille", number<&Options::reorder_per_mille>, 0, 1000, "messages that others overtake", true},
    {"reorder-us", number<&Options::reorder_us>, 1, day_us, "and are held back for so long at most"},
    {"uplink-bytes-per-s", number<&Options::uplink_bytes_per_s>, 0, 1ULL << 40, "of each node; 0 = no bound"},
    {"degree", number<&Options::degree>, 0, 1000, "peers of each node; 0 = all", false},
    {"idle-close-us", number<&Options::idle_close_us>, 1000, day_us, "until an idle connection is closed"},
    {"capability-hops", number<&Options::capability_hops>, 0, 1000, "that PeerInfo travels; 0 = to everybody"},
    {"cut-noticed-us", number<&Options::cut_noticed_us>, 1000, day_us, "until a cut link is taken for dead"},
    {"sync-us", number<&Options::sync_us>, 0, day_us, "of a disk, at least"},
    {"sync-max-us", number<&Options::sync_max_us>, 0, day_us, "of a disk, at most; 0 = as at least"},
    {"stall-per-mille", number<&Options::stall_per_mille>, 0, 1000, "syncs that stall", true},
    {"stall-us", number<&Options::stall_us>, 0, day_us, "for so long"},
    {"torn-syncs", number<&Options::torn_syncs>, 0, 1, "1: a crash keeps some of the writes under way", true},
    {"drift-ppm", number<&Options::drift_ppm>, 0, 100'000, "clocks that run fast or slow", true},
    {"slots", number<&Options::slots>, 1, 4096, "runs at a time on a node"},
    {"run-us-min", number<&Options::run_us_min>, 0, day_us, "of a run, at least"},
    {"run-us-max", number<&Options::run_us_max>, 0, day_us, "of a run, at most"},
    {"run-tailed", number<&Options::run_tailed>, 0, 1, "1: most are short and few are long"},
    {"slow-per-mille", number<&Options::slow_per_mille>, 0, 1000, "nodes that are slow", true},
    {"slow-factor", number<&Options::slow_factor>, 1, 1'000'000, "by so much"},
    {"fetch-fail-per-mille", number<&Options::fetch_fail_per_mille>, 0, 1000, "fetches that fail", true},
    {"crashes", number<&Plan::crashes>, 0, many, "hosts that stop on the spot and start again", true},
    {"crash-down-ms", number<&Plan::crash_down_ms>, 1, many, "and are down for so long at most"},
    {"leaves", number<&Plan::leaves>, 0, many, "hosts that leave and come back", true},
    {"partitions", number<&Plan::partitions>, 0, many, "cuts both ways", true},
    {"one-ways", number<&Plan::one_ways>, 0, many, "cuts one way", true},
    {"cut-ms", number<&Plan::cut_ms>, 1, 100 * many, "and they last so long at most"},
    {"clock-jumps", number<&Plan::clock_jumps>, 0, many, "clocks that leap ahead", true},
    {"clock-jump-ms", number<&Plan::clock_jump_ms>, 1, 100 * many, "by so much at most"},
    {"wrong", number<&Plan::wrong>, 0, max_nodes, "hosts that find what is not true", true},
    {"colluders", number<&Plan::colluders>, 0, max_nodes, "hosts that tell one lie together", true},
    {"lazy", number<&Plan::lazy>, 0, max_nodes, "hosts that answer without a run", true},
    {"copiers", number<&Plan::copiers>, 0, max_nodes, "hosts that copy commitments", true},
    {"silent", number<&Plan::silent>, 0, max_nodes, "hosts that never reveal", true},
    {"early", number<&Plan::early>, 0, max_nodes, "hosts that reveal before they are asked", true},
    {"late", number<&Plan::late>, 0, max_nodes, "hosts that reveal late", true},
    {"late-ms", number<&Plan::late_ms>, 1, many, "by so much"},
    {"replayers", number<&Plan::replayers>, 0, max_nodes, "hosts that replay what they hear", true},
    {"flooders", number<&Plan::flooders>, 0, max_nodes, "hosts that flood", true},
    {"flood-per-s", number<&Plan::flood_per_s>, 1, 100'000, "with so many messages a second"},
    {"sybils", number<&Plan::sybils>, 0, max_nodes, "hosts that offer in the name of nobody", true},
    {"identities", number<&Plan::identities>, 1, 10'000, "so many names each"},
    {"heal-s", number<&Plan::heal_s>, 1, many, "until every job has to have ended, after the load"},
    {"drain-s", number<&Plan::drain_s>, 0, many, "until nothing is kept of others' jobs, after that"},
};

}  // namespace

std::span<const PlanEntry> plan_entries() { return entries; }

Status read_plan(std::span<const std::string> arguments, Plan& plan) {
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    const auto* entry =
        std::ranges::find_if(entries, [&](const PlanEntry& one) { return name == "--" + std::string(one.name); });
    if (entry == std::end(entries))
      return fail(ErrorCode::invalid, "there is no option " + name + "; --help lists them");
    if (i + 1 == arguments.size()) return fail(ErrorCode::invalid, name + " wants a number");
    const std::string& text = arguments[i + 1];
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < entry->low || value > entry->high) {
      return fail(ErrorCode::invalid, name + " is a number from " + std::to_string(entry->low) + " to " +
                                          std::to_string(entry->high) + ", not \"" + text + "\"");
    }
    entry->at(plan) = value;
  }
  return check_plan(plan);
}

Status check_plan(const Plan& plan) {
  const Options& world = plan.world;
  if (plan.liars() >= world.nodes)
    return fail(ErrorCode::invalid, std::to_string(plan.liars()) + " liars among " + std::to_string(world.nodes) +
                                        " nodes leave nobody to publish: lower them or add nodes");
  for (const auto& [low, high, what] : {std::tuple(world.link_min_us, world.link_max_us, "link"),
                                        std::tuple(world.latency_min_us, world.latency_max_us, "latency"),
                                        std::tuple(world.run_us_min, world.run_us_max, "run")}) {
    if (low > high) return fail(ErrorCode::invalid, "--" + std::string(what) + "-...-us: the least is above the most");
  }
  return {};
}

std::string text_of(const Plan& plan) {
  std::string text;
  const Plan plain;
  for (const PlanEntry& entry : entries) {
    const std::uint64_t value = entry.of(plan);
    if (value == entry.of(plain) && entry.name != "seed" && entry.name != "nodes") continue;
    text += (text.empty() ? "--" : " --") + std::string(entry.name) + " " + std::to_string(value);
  }
  return text;
}

Plan everything(Plan plan) {
  const std::uint64_t nodes = plan.world.nodes;
  const std::uint64_t minutes = std::max<std::uint64_t>(1, plan.load_s / 60);
  plan.sampled_per_mille = 250;
  plan.valued_per_mille = 250;
  plan.world.link_min_us = 500;
  plan.world.link_max_us = 60'000;
  plan.world.latency_max_us = 20'000;
  plan.world.latency_tailed = 1;
  plan.world.loss_per_mille = 5;
  plan.world.duplicate_per_mille = 5;
  plan.world.reorder_per_mille = 20;
  plan.world.sync_us = 500;
  plan.world.sync_max_us = 10'000;
  plan.world.stall_per_mille = 1;
  plan.world.torn_syncs = 1;
  plan.world.drift_ppm = 200;
  plan.world.run_tailed = 1;
  plan.world.run_us_max = 200'000;
  plan.world.slow_per_mille = 50;
  plan.world.fetch_fail_per_mille = 5;
  if (nodes > 64) {
    plan.world.degree = 12;
    plan.world.capability_hops = 1;
    plan.flood_per_s = 10;
  }
  plan.crashes = std::max(4 * minutes, nodes / 4);
  plan.leaves = std::max(minutes, nodes / 20);
  plan.partitions = std::max<std::uint64_t>(1, minutes / 6);
  plan.one_ways = std::max<std::uint64_t>(1, minutes / 6);
  plan.clock_jumps = std::max<std::uint64_t>(1, minutes);
  // A third of the nodes at most, and one of each kind before more of any.
  std::uint64_t left = nodes / 3;
  const auto some = [&](std::uint64_t& kind, std::uint64_t count) {
    kind = std::min(count, left);
    left -= kind;
  };
  some(plan.colluders, 2);  // One works and one verifies: as many as a quorum of two bears.
  if (plan.colluders < 2) plan.colluders = 0;
  const std::uint64_t each = std::max<std::uint64_t>(1, nodes / 50);
  for (std::uint64_t* kind :
       {&plan.wrong, &plan.lazy, &plan.copiers, &plan.silent, &plan.early, &plan.late, &plan.replayers})
    some(*kind, each);
  some(plan.flooders, std::min<std::uint64_t>(2, each));
  some(plan.sybils, 1);
  return plan;
}

std::vector<Fault> expected_faults(const Plan& plan) {
  std::vector<Fault> faults;
  const auto want = [&](bool asked, Fault fault) {
    if (asked) faults.push_back(fault);
  };
  want(plan.world.loss_per_mille > 0, Fault::loss);
  want(plan.world.duplicate_per_mille > 0, Fault::duplication);
  want(plan.world.reorder_per_mille > 0, Fault::reordering);
  want(plan.partitions > 0, Fault::partition);
  want(plan.one_ways > 0, Fault::one_way);
  want(plan.crashes > 0, Fault::crash);
  // A crash hits a write under way now and then: of a thousand, some do.
  want(plan.crashes >= 1000, Fault::lost_write);
  want(plan.crashes >= 1000 && plan.world.torn_syncs > 0, Fault::torn_sync);
  want(plan.leaves > 0, Fault::churn);
  want(plan.clock_jumps > 0, Fault::clock_jump);
  want(plan.world.stall_per_mille > 0, Fault::disk_stall);
  want(plan.world.slow_per_mille > 0 && plan.world.nodes >= 100, Fault::slow_run);
  want(plan.world.fetch_fail_per_mille > 0, Fault::failed_fetch);
  want(plan.wrong > 0, Fault::wrong_result);
  want(plan.colluders > 0, Fault::collusion);
  want(plan.lazy > 0, Fault::lazy_answer);
  want(plan.copiers > 0, Fault::copied_commitment);
  want(plan.silent > 0, Fault::no_reveal);
  want(plan.early > 0, Fault::early_reveal);
  want(plan.late > 0, Fault::late_reveal);
  want(plan.replayers > 0, Fault::replay);
  want(plan.flooders > 0, Fault::flood);
  want(plan.sybils > 0, Fault::sybil_offer);
  return faults;
}

}  // namespace mesh::sim
