// Worlds whose nodes pay each other over a ledger: money comes from nowhere and goes nowhere, whoever worked is paid, and lies
// cost who tells them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "domain/ledger/ledger_testing.h"
#include "sim/liars/liars.h"
#include "sim/world.h"

namespace mesh::sim {
namespace {

using node::JobPhase;

constexpr std::uint64_t fee = 1'000'000;
constexpr std::uint64_t wealth_at_first = Notary::credits + Notary::bond;

Options paid_options(std::uint64_t seed, std::uint64_t nodes) {
  return {.seed = seed, .nodes = nodes, .run_us_min = 20'000, .run_us_max = 50'000, .block_us = 1'000'000};
}

node::JobSpec paid_spec(const World& world, std::uint32_t shards) {
  node::JobSpec spec = world.spec(shards);
  spec.scope = {.fuel = 1'000'000'000};
  spec.fee = fee;
  spec.verifiers = 3;
  spec.bid_window_ms = 1'000;
  spec.limits = {.fetch_ms = 5'000, .run_ms = 15'000, .total_ms = 1'200'000};
  spec.created_ms = static_cast<std::int64_t>(Notary::genesis_ms) + world.now().time_since_epoch().count() / 1000;
  return spec;
}

/// A world, jobs in it, and the state of its ledger looked at every ten seconds.
class Paid {
 public:
  explicit Paid(const Options& options) : world(options) { look(); }

  void submit(std::uint32_t host, std::uint32_t shards) {
    jobs.emplace_back(host, world.submit(host, paid_spec(world, shards)));
  }
  [[nodiscard]] bool has_ended(const Cid& job) const {
    const ledger::Escrow* escrow = world.notary().escrow(job);
    return escrow == nullptr || escrow->ended;
  }
  [[nodiscard]] bool all_over() const {
    return std::ranges::all_of(jobs, [&](const auto& one) {
      if (!world.running(one.first)) return false;
      const auto view = world.at(one.first).job(one.second);
      // A publisher that crashed at once has not written it down, and nothing is locked for it.
      if (!view) return world.notary().escrow(one.second) == nullptr;
      return view->phase >= JobPhase::done && has_ended(one.second) && view->escrow->state == "ended";
    });
  }
  /// Every job is done as it should be, and what was locked for it is paid or back.
  void expect_done() const {
    for (const auto& [host, job] : jobs) {
      const node::JobView view = *world.at(host).job(job);
      EXPECT_EQ(view.phase, JobPhase::done) << view.failure;
      for (const node::ShardView& shard : world.at(host).shards(job, 0, view.shards)) {
        ASSERT_TRUE(shard.finding.has_value());
        EXPECT_EQ(*shard.finding, world.truth(world.spec(1).function, shard.shard));
      }
      EXPECT_EQ(view.escrow->shards_paid, view.shards);
      EXPECT_EQ(view.escrow->paid + view.escrow->refunded, view.escrow->locked);
      EXPECT_EQ(view.escrow->locked, fee * view.shards);
      EXPECT_GE(view.escrow->refunded, 0U);
    }
  }
  /// Nobody else than these has lost anything of its bond.
  void expect_bonds(const std::set<std::uint32_t>& but) const {
    for (std::uint32_t host = 0; host < world.size(); ++host) {
      if (but.contains(host)) continue;
      EXPECT_EQ(world.notary().bonded(host), Notary::bond) << "host " << host;
    }
  }
  [[nodiscard]] std::uint64_t all_wealth() const {
    std::uint64_t sum = world.notary().ledger().state().frame.totals.treasury;
    for (std::uint32_t host = 0; host < world.size(); ++host) sum += world.notary().wealth(host);
    return sum;
  }

  World world;
  std::vector<std::pair<std::uint32_t, Cid>> jobs;
  std::string broken;  ///< of the ledger's state, the first that did not hold

 private:
  void look() {
    if (broken.empty()) broken = ledger::broken_invariant(world.notary().ledger().state());
    world.at_time(seconds(10), [this] { look(); });
  }
};

struct Summary {
  std::uint64_t trace = 0;
  std::vector<std::uint64_t> wealth;
  bool operator==(const Summary&) const = default;
};

Summary honest_jobs(std::uint64_t seed) {
  Paid paid(paid_options(seed, 7));
  paid.world.start();
  paid.world.run_for(seconds(2));
  for (int i = 0; i < 3; ++i) {
    paid.submit(0, 8);
    paid.world.run_for(seconds(5));
  }
  EXPECT_TRUE(paid.world.run_until([&] { return paid.all_over(); }, seconds(3'000)));
  paid.expect_done();
  paid.expect_bonds({});
  EXPECT_EQ(paid.broken, "");
  EXPECT_EQ(paid.all_wealth(), 7 * wealth_at_first);
  std::uint64_t spent = 0;
  for (const auto& [host, job] : paid.jobs) spent += paid.world.at(0).job(job)->escrow->paid;
  Summary summary{.trace = paid.world.trace_hash(), .wealth = {}};
  std::uint64_t earned = 0;
  for (std::uint32_t host = 0; host < 7; ++host) {
    summary.wealth.push_back(paid.world.notary().wealth(host));
    if (host > 0) earned += summary.wealth.back() - wealth_at_first;
  }
  EXPECT_EQ(summary.wealth[0], wealth_at_first - spent);
  EXPECT_EQ(earned, spent);
  EXPECT_GT(spent, 24 * fee * 9 / 10) << "nine tenths for the work, the rest for its checks";
  return summary;
}

TEST(PaidWorld, WhoWorksIsPaidAndTheSeedDecidesWho) {
  const Summary one = honest_jobs(1);
  EXPECT_EQ(one, honest_jobs(1));
  EXPECT_NE(one.wealth, honest_jobs(2).wealth);
}

struct Lie {
  std::string name;
  Fault fault;
  std::function<void(World&, std::uint32_t)> tell;
  bool verifies_alone = false;
  bool costs_bond = false;
};

class PaidLie : public testing::TestWithParam<Lie> {};

// One of nine departs from what it should do. It is never better off for that, and nobody else is worse off.
TEST_P(PaidLie, DoesNotPay) {
  constexpr std::uint32_t liar = 3;
  Paid paid(paid_options(11, 9));
  paid.world.configure(liar, [](node::Config& config) {
    config.pricing.minimum = fee / 2;  // Others take the whole fee: it gets what it asks for.
    config.accepts_work = config.resources.accepts_work = !GetParam().verifies_alone;
  });
  GetParam().tell(paid.world, liar);
  paid.world.start();
  paid.world.run_for(seconds(2));
  for (int i = 0; i < 6; ++i) {
    paid.submit(0, 10);
    paid.world.run_for(seconds(20));
  }
  ASSERT_TRUE(paid.world.run_until([&] { return paid.all_over(); }, seconds(6'000)));
  EXPECT_GT(paid.world.faults().of(GetParam().fault), 0U) << "it has lied";
  paid.expect_done();
  paid.expect_bonds({liar});
  EXPECT_EQ(paid.broken, "");
  EXPECT_EQ(paid.all_wealth(), 9 * wealth_at_first);
  if (GetParam().costs_bond) {
    EXPECT_LT(paid.world.notary().bonded(liar), Notary::bond);
    EXPECT_LT(paid.world.notary().wealth(liar), wealth_at_first);
    const std::uint32_t score = paid.world.notary().score(liar);
    for (std::uint32_t host = 1; host < paid.world.size(); ++host) {
      if (host == liar) continue;
      EXPECT_GT(paid.world.notary().score(host), score) << "host " << host;
    }
  } else {
    EXPECT_LE(paid.world.notary().wealth(liar), wealth_at_first);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PaidLie,
    testing::Values(Lie{"wrong_results", Fault::wrong_result,
                        [](World& world, std::uint32_t host) { tell_wrong_results(world, host); },
                        /*verifies_alone=*/false, /*costs_bond=*/true},
                    Lie{"answers_kept_back", Fault::no_reveal, keep_answers},
                    Lie{"verifications_kept_back", Fault::no_reveal, keep_answers, /*verifies_alone=*/true},
                    Lie{"copied_answers", Fault::copied_commitment, copy_answers, /*verifies_alone=*/true}),
    [](const testing::TestParamInfo<Lie>& lie) { return lie.param.name; });

TEST(PaidWorld, APublisherThatTellsNothingMorePaysAllTheSame) {
  constexpr std::uint32_t publisher = 2;
  Paid paid(paid_options(12, 8));
  hide_reveals(paid.world, publisher);
  paid.world.start();
  paid.world.run_for(seconds(2));
  paid.submit(publisher, 10);
  const Cid job = paid.jobs[0].second;
  ASSERT_TRUE(paid.world.run_until([&] { return paid.world.notary().escrow(job) != nullptr; }, seconds(60)));
  ASSERT_TRUE(paid.world.run_until([&] { return paid.has_ended(job); }, seconds(6'000)));
  ASSERT_NE(paid.world.notary().escrow(job), nullptr);
  EXPECT_EQ(paid.world.notary().escrow(job)->paid, 10U);
  EXPECT_LT(paid.world.notary().wealth(publisher), wealth_at_first - 9 * fee + fee / 2);
  paid.expect_bonds({});
  EXPECT_EQ(paid.broken, "");
  EXPECT_EQ(paid.all_wealth(), 8 * wealth_at_first);
}

TEST(PaidWorld, APublisherThatVanishesPaysWhatWasDone) {
  Paid paid(paid_options(13, 8));
  paid.world.start();
  paid.world.run_for(seconds(2));
  paid.submit(1, 20);
  const Cid job = paid.jobs[0].second;
  ASSERT_TRUE(paid.world.run_until([&] { return !paid.world.notary().works().empty(); }, seconds(120)));
  paid.world.crash(1);
  ASSERT_TRUE(paid.world.run_until([&] { return paid.has_ended(job); }, seconds(6'000)));
  const ledger::Escrow& escrow = *paid.world.notary().escrow(job);
  EXPECT_GT(escrow.paid, 0U);
  EXPECT_LE(paid.world.notary().wealth(1), wealth_at_first - escrow.paid * fee * 9 / 10);
  EXPECT_EQ(paid.broken, "");
  EXPECT_EQ(paid.all_wealth(), 8 * wealth_at_first);
}

class PaidStorm : public testing::TestWithParam<std::uint64_t> {};

// Liars of every kind among twelve, lost messages and crashes: every escrow ends, and whoever neither lied nor crashed has its bond.
TEST_P(PaidStorm, EverythingIsAccountedFor) {
  Options options = paid_options(GetParam(), 12);
  options.loss_per_mille = 10;
  options.duplicate_per_mille = 20;
  options.torn_syncs = 1;
  Paid paid(options);
  World& world = paid.world;
  tell_wrong_results(world, 8, 500);
  keep_answers(world, 9);
  copy_answers(world, 10);
  std::set<std::uint32_t> marked{8, 9, 10};
  world.start();
  world.run_for(seconds(2));
  for (int i = 0; i < 15; ++i) {
    world.at_time(seconds(4 * i + static_cast<int>(world.random().below(4))), [&] {
      const auto victim = static_cast<std::uint32_t>(world.random().below(world.size()));
      if (!world.running(victim)) return;
      marked.insert(victim);
      world.crash(victim);
      world.at_time(milliseconds(static_cast<std::int64_t>(world.random().between(1, 8'000))),
                    [&world, victim] { world.restart(victim); });
    });
  }
  for (int i = 0; i < 6; ++i) {
    const auto publisher = static_cast<std::uint32_t>(world.random().below(4));
    if (world.running(publisher)) paid.submit(publisher, 6);
    world.run_for(seconds(10));
  }
  world.tune().loss_per_mille = 0;
  ASSERT_FALSE(paid.jobs.empty());
  ASSERT_TRUE(world.run_until([&] { return paid.all_over(); }, seconds(9'000)));
  EXPECT_EQ(paid.broken, "");
  EXPECT_EQ(paid.all_wealth(), 12 * wealth_at_first);
  paid.expect_bonds(marked);
  EXPECT_LT(world.notary().wealth(8), wealth_at_first + 36 * fee);
  for (const auto& [host, job] : paid.jobs) {
    const auto view = world.at(host).job(job);
    if (!view) continue;
    EXPECT_EQ(view->escrow->paid + view->escrow->refunded, view->escrow->locked);
    EXPECT_EQ(view->failure.empty(), view->phase == JobPhase::done);
  }
  EXPECT_GT(world.faults().of(Fault::crash), 0U);
  EXPECT_GT(world.faults().of(Fault::loss), 0U);
}

/// MESH_PAID_STORMS: how many seeds instead.
std::uint64_t last_storm() {
  const char* given = std::getenv("MESH_PAID_STORMS");  // NOLINT(concurrency-mt-unsafe): nothing sets it
  return given == nullptr ? 10 : std::strtoull(given, nullptr, 10);
}
INSTANTIATE_TEST_SUITE_P(Seeds, PaidStorm, testing::Range(std::uint64_t{1}, last_storm() + 1));

}  // namespace
}  // namespace mesh::sim
