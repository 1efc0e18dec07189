// mesh_sim: runs one scenario from a seed, checks it, and prints what came of it. `make sim SEED=7 NODES=1000 HOURS=1`.
//
// Exit codes: 0 all held, 1 something did not (it is printed, with the way to see it again and a smaller plan that shows
// it), 2 wrong arguments.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <span>
#include <string>

#include "sim/escape.h"
#include "sim/fast_signatures.h"
#include "sim/ledger/town.h"
#include "sim/scenario.h"
#include "sim/shrink.h"

namespace {

using namespace mesh;
using namespace mesh::sim;

struct Settings {
  bool only = false;  ///< nothing but what is named
  bool shrink = true;
  bool quiet = false;
  bool fast_signatures = false;
  std::string commit = "unknown";
  std::uint64_t escape_worlds = 0;
  Plan plan;
};

int usage(const std::string& error, std::FILE* to = stderr) {
  if (!error.empty()) fmt::print(to, "error: {}\n", error);
  fmt::print(
      to,
      "usage: mesh_sim [--hours H] [--only] [--no-shrink] [--quiet] [--fast-signatures]\n                "
      "[--commit TEXT] [--NAME NUMBER ...]\n"
      "       mesh_sim --escape WORLDS [--seed N] [--nodes N]\n"
      "       mesh_sim --ledger WORLDS [--only] [--NAME NUMBER ...]\n"
      "       mesh_sim --ledger --hours H [--seed N] [--nodes N] [--minutes M] [--NAME NUMBER ...]\n"
      "With --fast-signatures a keyed hash stands for Ed25519. Without --only every fault and every kind of "
      "liar is on, in numbers that suit the nodes and the time.\nWith --ledger so many federations run a chain, from "
      "one "
      "seed after the other; faults and liars are drawn from the seed, but for what is named, or with --only are "
      "what is named.\nWith --hours of --ledger federations of so many validators [16] run, one seed after the other, "
      "until so many "
      "hours have passed in them (or M minutes here): every fault strikes, as many lie as they bear, there is paid "
      "work.\n\n");
  const Plan plain;
  for (const PlanEntry& entry : plan_entries())
    fmt::print(to, "  --{:<22} {} [{}]\n", entry.name, entry.help, entry.of(plain));
  fmt::print(to, "\nof --ledger:\n");
  const LedgerPlan ledger;
  for (const LedgerPlanEntry& entry : ledger_plan_entries())
    fmt::print(to, "  --{:<24} {} [{}]\n", entry.name, entry.help, ledger.*entry.field);
  return 2;
}

/// Hours as text ("1", "0.25") to whole seconds.
std::optional<std::uint64_t> seconds_of(const std::string& hours) {
  char* end = nullptr;
  const double value = std::strtod(hours.c_str(), &end);
  if (end == hours.c_str() || *end != '\0' || !(value > 0) || value > 1000) return std::nullopt;
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(value * 3600)));
}

Result<Settings> read_settings(std::span<char* const> arguments) {
  Settings settings;
  std::vector<std::string> numbers;
  Plan base;
  base.world.nodes = 100;
  base.load_s = 600;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string name = arguments[i];
    const auto value = [&]() -> std::string { return i + 1 < arguments.size() ? arguments[++i] : ""; };
    if (name == "--only") {
      settings.only = true;
    } else if (name == "--no-shrink") {
      settings.shrink = false;
    } else if (name == "--quiet") {
      settings.quiet = true;
    } else if (name == "--fast-signatures") {
      settings.fast_signatures = true;
    } else if (name == "--commit") {
      settings.commit = value();
    } else if (name == "--escape") {
      settings.escape_worlds = std::strtoull(value().c_str(), nullptr, 10);
      settings.only = true;
      if (settings.escape_worlds == 0) return fail(ErrorCode::invalid, "--escape wants a number of worlds");
    } else if (name == "--hours") {
      const std::string hours = value();
      const std::optional<std::uint64_t> load_s = seconds_of(hours);
      if (!load_s) return fail(ErrorCode::invalid, "--hours is a number above 0, not \"" + hours + "\"");
      numbers.insert(numbers.end(), {"--load-s", std::to_string(*load_s)});
    } else {
      numbers.push_back(name);
      if (i + 1 < arguments.size()) numbers.emplace_back(value());
    }
  }
  if (settings.only) {
    MESH_TRY(read_plan(numbers, settings.plan));
    return settings;
  }
  // Nodes and time first: what suits follows from them; then what was named for itself.
  MESH_TRY(read_plan(numbers, base));
  Plan sized;
  sized.world.seed = base.world.seed;
  sized.world.nodes = base.world.nodes;
  sized.load_s = base.load_s;
  sized.jobs = std::max<std::uint64_t>(10, sized.load_s / 10);
  settings.plan = everything(sized);
  MESH_TRY(read_plan(numbers, settings.plan));
  return settings;
}

std::string_view name_of_finding(std::string_view finding) { return finding.substr(0, finding.find(':')); }

/// Runs a plan in a process of its own, so that one that aborts or takes for ever costs no more than that.
bool fails_alike(const Plan& plan, const std::string& as, unsigned limit_s) {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    alarm(limit_s);
    const Report report = run(plan);
    bool alike = false;
    for (const std::string& finding : report.findings.texts()) alike = alike || name_of_finding(finding) == as;
    _exit(alike ? 1 : 0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status) == 1;
  return as == "aborted" && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

int escapes(const Settings& settings) {
  const auto nodes = static_cast<std::uint32_t>(std::min<std::uint64_t>(settings.plan.world.nodes, 60));
  if (nodes < 6) return usage("--escape takes at least 6 nodes: a publisher, a worker and four to draw three from");
  fmt::print(
      "a wrong result of a lying worker, {} nodes, three seats of which two must agree, {} worlds each\n"
      "colluding verifiers  of  passed   rate   formula  deviations\n",
      nodes, settings.escape_worlds);
  bool right = true;
  for (const EscapeRow& row : measure_escapes(settings.plan.world.seed, nodes, settings.escape_worlds)) {
    const double rate = row.draws == 0 ? 0 : static_cast<double>(row.passed) / static_cast<double>(row.draws);
    fmt::print("{:>19} {:>3} {:>7} {:>6.4f} {:>9.4f} {:>11.2f}\n", row.colluders, row.draws, row.passed, rate,
               row.formula, row.deviations());
    right = right && row.draws * 10 >= settings.escape_worlds * 9 && std::abs(row.deviations()) <= 4;
  }
  fmt::print("{}\n", right ? "as the formula says, within four standard deviations" : "NOT as the formula says");
  return right ? 0 : 1;
}

/// What is left to say where a check of the program's own aborts.
std::string last_words;

void say_last_words(const std::string& words) {
  last_words = words;
  std::signal(SIGABRT, [](int) {
    const ssize_t written = write(STDERR_FILENO, last_words.data(), last_words.size());
    _exit(written < 0 ? 4 : 3);
  });
}

/// `mesh_sim --ledger --hours H ...`: what is counted are hours of a whole federation.
int ledger_hours(std::span<char* const> arguments) {
  double hours = 0;
  double minutes = 0;
  std::uint64_t nodes = 16;
  std::vector<std::string> named;
  for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    if (name == "--hours") {
      hours = std::strtod(arguments[i + 1], nullptr);
    } else if (name == "--minutes") {
      minutes = std::strtod(arguments[i + 1], nullptr);
    } else if (name == "--nodes") {
      nodes = std::strtoull(arguments[i + 1], nullptr, 10);
    } else {
      named.insert(named.end(), {arguments[i], arguments[i + 1]});
    }
  }
  if (arguments.size() % 2 != 0 || !(hours > 0)) return usage("--ledger --hours wants a number above 0");
  if (nodes < 1 || nodes > ledger_plan_entries()[1].high) return usage("--nodes is a number from 1 to 64");
  LedgerPlan first;
  if (const Status read = read_plan(named, first); !read) return usage(read.error().message);
  const auto begun = std::chrono::steady_clock::now();
  const auto since = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(); };
  double town_s = 0;
  double replica_s = 0;
  std::uint64_t worlds = 0;
  std::uint64_t broken = 0;
  std::uint64_t blocks = 0;
  std::uint64_t transactions = 0;
  std::uint64_t events = 0;
  std::map<std::string, std::uint64_t> faults;
  std::uint64_t seed = first.seed;
  for (; town_s < hours * 3600 && (minutes <= 0 || since() < minutes * 60); ++seed) {
    LedgerPlan plan = full_plan(seed, nodes);
    if (const Status read = read_plan(named, plan); !read) return usage(read.error().message);
    plan.seed = seed;
    const std::string again = "mesh_sim --ledger 1 --only " + text_of(plan);
    say_last_words("ABORTED; again: " + again + "\n");
    const LedgerReport report = run(plan);
    ++worlds;
    town_s += report.virtual_s;
    replica_s += report.virtual_s * static_cast<double>(plan.validators + plan.followers + plan.twins);
    blocks += report.height;
    transactions += report.acknowledged;
    events += report.events;
    for (const auto& [fault, times] : report.faults) faults[fault] += times;
    fmt::print("seed {:<6} {:.3f} h, {} blocks, trace {:016x}; {:.3f} h in all, {:.0f} s taken{}\n", seed,
               report.virtual_s / 3600, report.height, report.trace, town_s / 3600, since(),
               report.failed() ? ", BROKEN" : "");
    if (report.failed()) {
      ++broken;
      for (const std::string& finding : report.findings.texts()) fmt::print("  {}\n", finding);
      fmt::print("again: {}\n", again);
    }
    std::fflush(stdout);
  }
  fmt::print(
      "{} federations, seeds {} to {}: {:.2f} federation-hours (of all replicas {:.1f}), {} blocks, {} transactions of "
      "clients, {} events\n",
      worlds, first.seed, seed - 1, town_s / 3600, replica_s / 3600, blocks, transactions, events);
  for (const auto& [fault, times] : faults) fmt::print("  {:<40} {}\n", fault, times);
  fmt::print("speed     {:.0f} s taken, {:.5f} federation-hours per second\n", since(), town_s / 3600 / since());
  fmt::print("checks    {}\n", broken == 0 ? "all held" : fmt::format("BROKEN in {} federations", broken));
  return broken == 0 ? 0 : 1;
}

/// `mesh_sim --ledger WORLDS ...`
int ledgers(std::span<char* const> arguments) {
  if (std::ranges::find(arguments, std::string_view("--hours")) != arguments.end()) return ledger_hours(arguments);
  const std::string count = arguments.empty() ? "" : arguments[0];
  const std::uint64_t worlds = std::strtoull(count.c_str(), nullptr, 10);
  if (worlds == 0) return usage("--ledger wants a number of worlds");
  bool only = false;
  std::vector<std::string> named;
  for (const char* argument : arguments.subspan(1)) {
    if (std::string_view(argument) == "--only") {
      only = true;
    } else {
      named.emplace_back(argument);
    }
  }
  LedgerPlan first;
  if (const Status read = read_plan(named, first); !read) return usage(read.error().message);
  std::uint64_t blocks = 0;
  std::uint64_t broken = 0;
  std::map<std::string, std::uint64_t> faults;
  for (std::uint64_t seed = first.seed; seed < first.seed + worlds; ++seed) {
    LedgerPlan plan = only ? first : drawn_plan(seed);
    if (!only && !read_plan(named, plan)) continue;  // Too many liars for what was drawn.
    plan.seed = seed;
    const LedgerReport report = run(plan);
    blocks += report.height;
    for (const auto& [fault, times] : report.faults) faults[fault] += times;
    if (!report.failed() && worlds > 1) continue;
    fmt::print("{}", text_of(report, plan));
    for (const std::string& finding : report.findings.texts()) fmt::print("  {}\n", finding);
    if (report.failed()) {
      ++broken;
      fmt::print("again: mesh_sim --ledger 1 --only {}\n", text_of(plan));
    }
    std::fflush(stdout);
  }
  fmt::print("{} worlds, {} blocks\n", worlds, blocks);
  for (const auto& [fault, times] : faults) fmt::print("  {:<28} {}\n", fault, times);
  fmt::print("checks    {}\n", broken == 0 ? "all held" : fmt::format("BROKEN in {} worlds", broken));
  return broken == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char* const> arguments = std::span(argv, static_cast<std::size_t>(argc)).subspan(1);
  if (!arguments.empty() && std::string_view(arguments.front()) == "--help") {
    usage({}, stdout);
    return 0;
  }
  if (const auto at = std::ranges::find(arguments, std::string_view("--ledger")); at != arguments.end())
    return ledgers(arguments.subspan(static_cast<std::size_t>(at - arguments.begin()) + 1));
  const Result<Settings> read = read_settings(arguments);
  if (!read) return usage(read.error().message);
  const Settings& settings = *read;
  if (settings.fast_signatures) use_fast_signatures();
  if (settings.escape_worlds > 0) return escapes(settings);
  const Plan& plan = settings.plan;
  const std::string program = settings.fast_signatures ? "mesh_sim --fast-signatures --only " : "mesh_sim --only ";
  const std::string again = program + text_of(plan);
  fmt::print("options   {}{}\ncommit    {}\n", text_of(plan),
             settings.fast_signatures ? ", with a keyed hash for Ed25519" : "", settings.commit);
  std::fflush(stdout);
  // A broken check of the program's own aborts: then this is what is left to say.
  say_last_words(fmt::format("ABORTED; seed {}, commit {}; again: {}\n", plan.world.seed, settings.commit, again));
  const auto begun = std::chrono::steady_clock::now();
  const auto since = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(); };
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const Report report = run(plan, [&](std::uint64_t passed) {
    if (terminal && !settings.quiet)
      fmt::print(stderr, "\r{} s of {} s simulated, {:.0f} s taken", passed, plan.load_s, since());
  });
  const double wall = since();
  if (terminal && !settings.quiet) fmt::print(stderr, "\r{:60}\r", "");
  fmt::print("{}", text_of(report, plan));
  fmt::print("speed     {:.1f} s, {:.1f} simulated node-hours per second, {:.0f} events per second\n", wall,
             report.virtual_hours * static_cast<double>(plan.world.nodes) / wall,
             static_cast<double>(report.events) / wall);
  if (!report.failed()) {
    fmt::print("checks    all held\n");
    return 0;
  }
  fmt::print("checks    {} BROKEN\n", report.findings.count());
  for (const std::string& finding : report.findings.texts()) fmt::print("  {}\n", finding);
  fmt::print("seed {}, commit {}; again: {}\n", plan.world.seed, settings.commit, again);
  std::fflush(stdout);
  if (settings.shrink) {
    const std::string as(name_of_finding(report.findings.texts().front()));
    const auto limit_s = static_cast<unsigned>(2 * wall + 10);
    const Plan small = shrink(plan, [&](const Plan& tried) { return fails_alike(tried, as, limit_s); }, 120);
    fmt::print("smaller, and fails with \"{}\" as well: {}{}\n", as, program, text_of(small));
  }
  return 1;
}
