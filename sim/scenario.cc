#include "sim/scenario.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/liars/liars.h"

namespace mesh::sim {

namespace {

constexpr std::uint32_t quorum_needs = 2;  // Of the three seats that the policy starts with.

Duration millis(std::uint64_t ms) { return milliseconds(static_cast<std::int64_t>(ms)); }
Duration secs(std::uint64_t s) { return seconds(static_cast<std::int64_t>(s)); }

/// Who lies how. Host 0 is always honest.
std::vector<bool> appoint_liars(World& world, const Plan& plan, Random& random, Collusion& group) {
  std::vector<bool> liar(world.size(), false);
  const auto pick = [&] {
    while (true) {
      const auto host = static_cast<std::uint32_t>(1 + random.below(world.size() - 1));
      if (!liar[host]) {
        liar[host] = true;
        return host;
      }
    }
  };
  const auto each = [&](std::uint64_t count, const auto& make) {
    for (std::uint64_t i = 0; i < count; ++i) make(pick(), i);
  };
  each(plan.wrong,
       [&](std::uint32_t host, std::uint64_t i) { tell_wrong_results(world, host, i % 2 == 0 ? 1000 : 300); });
  each(plan.colluders, [&](std::uint32_t host, std::uint64_t) { group.join(world, host); });
  each(plan.lazy, [&](std::uint32_t host, std::uint64_t) { be_lazy(world, host); });
  each(plan.copiers, [&](std::uint32_t host, std::uint64_t) { copy_commitments(world, host); });
  each(plan.silent, [&](std::uint32_t host, std::uint64_t i) { never_reveal(world, host, i % 2 == 1); });
  each(plan.early, [&](std::uint32_t host, std::uint64_t) { reveal_early(world, host); });
  each(plan.late, [&](std::uint32_t host, std::uint64_t) { reveal_late(world, host, millis(plan.late_ms)); });
  each(plan.replayers, [&](std::uint32_t host, std::uint64_t) { replay(world, host, 200); });
  each(plan.flooders,
       [&](std::uint32_t host, std::uint64_t) { flood(world, host, static_cast<std::uint32_t>(plan.flood_per_s)); });
  each(plan.sybils, [&](std::uint32_t host, std::uint64_t) {
    offer_as_many(world, host, static_cast<std::uint32_t>(plan.identities));
  });
  return liar;
}

/// Everything that strikes within the load's time. Its chance is its own, so that one fault less moves no other.
class Strikes {
 public:
  Strikes(World& world, const Plan& plan) : world_(world), plan_(plan), end_(world.now() + secs(plan.load_s)) {}

  void arrange() {
    at_random(1, plan_.crashes, [this](Random& random) { down(random, true, 1, plan_.crash_down_ms); });
    at_random(2, plan_.leaves, [this](Random& random) { down(random, false, 1000, 6 * plan_.crash_down_ms); });
    at_random(3, plan_.partitions, [this](Random& random) { cut(random, true); });
    at_random(4, plan_.one_ways, [this](Random& random) { cut(random, false); });
    at_random(5, plan_.clock_jumps, [this](Random& random) {
      const std::uint32_t host = somebody(random);
      const Duration ahead = millis(random.between(1, plan_.clock_jump_ms));
      if (world_.running(host)) world_.jump_clock(host, ahead);
    });
  }
  /// Everybody up, nothing cut, nothing lost.
  void heal() {
    over_ = true;
    for (const std::uint64_t cut : cuts_) world_.heal(cut);
    Options& options = world_.tune();
    options.loss_per_mille = options.duplicate_per_mille = options.reorder_per_mille = 0;
    options.stall_per_mille = options.fetch_fail_per_mille = 0;
    for (std::uint32_t host = 0; host < world_.size(); ++host) {
      if (!world_.running(host)) world_.restart(host);
    }
  }

 private:
  void at_random(std::uint64_t kind, std::uint64_t count, const std::function<void(Random&)>& strike) {
    Random random(plan_.world.seed * 1000 + kind);
    for (std::uint64_t i = 0; i < count; ++i) {
      const Duration at = millis(random.below(plan_.load_s * 1000));
      world_.at_time(at, [strike, own = Random(random.next())]() mutable { strike(own); });
    }
  }
  std::uint32_t somebody(Random& random) const { return static_cast<std::uint32_t>(random.below(world_.size())); }

  void down(Random& random, bool hard, std::uint64_t low_ms, std::uint64_t high_ms) {
    const std::uint32_t host = somebody(random);
    const Duration away = millis(random.between(std::min(low_ms, high_ms), high_ms));
    if (!world_.running(host)) return;
    if (hard) {
      world_.crash(host);
    } else {
      world_.leave(host);
    }
    world_.at_time(away, [this, host] {
      if (!world_.running(host) && !over_) world_.restart(host);
    });
  }
  void cut(Random& random, bool both) {
    std::vector<bool> side(world_.size(), false);
    const std::uint64_t out = random.between(1, std::max<std::uint64_t>(1, world_.size() / 2));
    for (std::uint64_t i = 0; i < out; ++i) side[somebody(random)] = true;
    const std::uint64_t name = world_.cut(std::move(side), both);
    cuts_.push_back(name);
    world_.at_time(millis(random.between(1, plan_.cut_ms)), [this, name] { world_.heal(name); });
  }

  World& world_;
  const Plan& plan_;
  Instant end_;
  bool over_ = false;
  std::vector<std::uint64_t> cuts_;
};

node::JobSpec job_spec(const World& world, std::uint32_t shards) {
  node::JobSpec spec = world.spec(shards);
  // Short limits, so that whatever waits for a dead peer shows within the run; the whole may take its hour.
  spec.limits.fetch_ms = 5000;
  spec.limits.run_ms = 25'000;
  spec.limits.reveal_ms = 5000;
  spec.limits.total_ms = 24 * 3'600'000;
  return spec;
}

}  // namespace

Report run(const Plan& plan, const std::function<void(std::uint64_t)>& progress) {
  Options options = plan.world;
  options.keep_notices = 0;
  World world(options);
  Report report;
  Random random(plan.world.seed ^ 0x7363656e6172696fULL);
  Collusion group;
  const std::vector<bool> liar = appoint_liars(world, plan, random, group);
  // A lying worker with as many verifiers as a quorum needs can pass: then how often it does is measured, not forbidden.
  Jobs jobs(world, report.findings, plan.colluders > quorum_needs);
  Promises promises(world, report.findings);
  Bounds bounds(report.findings);
  world.watch(jobs);
  world.watch(promises);
  world.start();
  world.run_for(seconds(2));

  Strikes strikes(world, plan);
  strikes.arrange();
  for (std::uint64_t i = 0; i < plan.jobs; ++i) {
    // The first ones at once: a short run has some, too.
    const Duration at = millis(i == 0 ? 0 : random.below(plan.load_s * 1000));
    const auto shards = static_cast<std::uint32_t>(random.between(1, plan.shards));
    const auto first = static_cast<std::uint32_t>(random.below(world.size()));
    node::JobSpec spec = job_spec(world, shards);
    if (plan.sampled_per_mille > 0 && random.chance(static_cast<std::uint32_t>(plan.sampled_per_mille)))
      spec.sample = static_cast<std::uint32_t>(random.between(50, 500));
    if (plan.valued_per_mille > 0 && random.chance(static_cast<std::uint32_t>(plan.valued_per_mille)))
      spec.value = random.between(1, 6) * policy::VerificationQuorum{}.value_per_verifier;
    world.at_time(at, [&, spec, first] {
      for (std::uint32_t step = 0; step < world.size(); ++step) {
        const std::uint32_t host = (first + step) % world.size();
        if (liar[host] || !world.running(host)) continue;
        const Result<Cid> job = world.try_submit(host, spec);
        if (!job) {
          ++report.refused_jobs;
          return;
        }
        ++report.jobs;
        jobs.submitted(host, *job);
        return;
      }
    });
  }
  std::uint64_t passed = 0;
  const auto second = [&] {
    world.run_for(seconds(1));
    ++passed;
    if (passed % 30 == 0) bounds.look(world);
    if (progress && passed % 60 == 0) progress(passed);
    return jobs.poll();
  };
  while (passed < plan.load_s) second();
  strikes.heal();
  const Instant healed = world.now();
  for (std::uint64_t i = 0; i < plan.heal_s && second(); ++i) {
  }
  report.healed_in = world.now() - healed;
  jobs.check_stuck();
  world.run_for(seconds(60));
  report.foreign_after_minute = Bounds::foreign_tasks(world);
  if (plan.drain_s > 0) {
    // Whoever replays old intents makes others take them up again; now nobody does any more.
    for (std::uint32_t host = 0; host < world.size(); ++host) {
      if (liar[host]) world.behave(host, {});
    }
    for (std::uint64_t i = 0; i < plan.drain_s && Bounds::foreign_tasks(world) > 0; i += 10) world.run_for(seconds(10));
    bounds.finish(world);
  }
  jobs.finish();

  for (const Fault fault : expected_faults(plan)) {
    if (world.faults().of(fault) == 0)
      report.findings.add("no-" + std::string(name_of(fault)) + ": it was asked for and never came");
  }
  report.trace = world.trace_hash();
  report.events = world.events();
  report.virtual_hours = static_cast<double>(world.now().time_since_epoch().count()) / 3.6e9;
  report.traffic = world.traffic();
  report.faults = world.faults();
  report.dropped_jobs = jobs.dropped();
  report.ends = jobs.ends();
  report.tally = jobs.tally();
  report.times = jobs.times();
  std::ranges::sort(report.times);
  report.most_runs = bounds.most_runs();
  report.most_foreign_tasks = bounds.most_foreign_tasks();
  report.most_journal_records = bounds.most_journal_records();
  report.most_intents = bounds.most_intents();
  report.nonces = promises.nonces();
  return report;
}

std::string text_of(const Report& report, const Plan& plan) {
  std::string text;
  const auto line = [&]<class... Args>(fmt::format_string<Args...> form, Args&&... args) {
    text += fmt::format(form, std::forward<Args>(args)...) + "\n";
  };
  const auto ms = [](Duration duration) { return static_cast<double>(duration.count()) / 1000; };
  const auto nodes = static_cast<double>(plan.world.nodes);
  std::string ends;
  for (const auto& [end, count] : report.ends) ends += fmt::format("  {} {}", count, end);
  line("jobs      {} submitted, {} lost in a crash before anybody knew, {} refused;{}", report.jobs,
       report.dropped_jobs, report.refused_jobs, ends);
  if (!report.times.empty()) {
    const auto at = [&](std::size_t per_cent) {
      return ms(report.times[(report.times.size() - 1) * per_cent / 100]) / 1000;
    };
    line(
        "          took (to the second) median {:.0f} s, p90 {:.0f} s, p99 {:.0f} s, at most {:.0f} s; all ended "
        "{:.0f} s after "
        "the healing",
        at(50), at(90), at(99), at(100), ms(report.healed_in) / 1000);
  }
  const Tally& tally = report.tally;
  line(
      "shards    {} accepted ({} of them wrong), {} spot-checked ({} of them wrong), {} unverified, {} undetermined; "
      "{} "
      "attempts rejected, {} disputed",
      tally.accepted, tally.accepted_wrong, tally.spot_checked, tally.spot_checked_wrong, tally.unverified,
      tally.undetermined, tally.rejected_attempts, tally.disputed);
  std::string faults;
  for (std::size_t i = 0; i < fault_count; ++i) {
    const auto fault = static_cast<Fault>(i);
    if (const std::uint64_t count = report.faults.of(fault); count > 0)
      faults += fmt::format("  {} {}", name_of(fault), count);
  }
  line("faults  {}", faults.empty() ? " none" : faults);
  const double tasks = std::max<double>(1, static_cast<double>(report.jobs));
  const auto kib = [&](std::uint64_t bytes) { return static_cast<double>(bytes) / nodes / tasks / 1024; };
  line("traffic   per node and task: {:.2f} KiB direct, {:.2f} KiB gossip; PeerInfo {:.2f} KiB per node and second",
       kib(report.traffic.direct_bytes), kib(report.traffic.gossip_bytes),
       static_cast<double>(report.traffic.capability_bytes) / nodes / (report.virtual_hours * 3600) / 1024);
  line(
      "bounds    at most {} runs waiting and running on a node, {} tasks of others, {} journal records, {} intents "
      "heard of;"
      " {} tasks of others kept a minute after the end",
      report.most_runs, report.most_foreign_tasks, report.most_journal_records, report.most_intents,
      report.foreign_after_minute);
  line("events    {} in {:.3f} virtual hours, trace {:016x}", report.events, report.virtual_hours, report.trace);
  return text;
}

}  // namespace mesh::sim
