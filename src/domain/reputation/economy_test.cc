// What reputation costs who buys it: a worker and its publishers are of one hand, and nobody knows. The publishers have the
// worker do 1,000 tasks at a fee of one credit, of which a tenth goes to three verifiers, drawn in turn from 60 others. The
// nine tenths for the worker stay in the hand; what is gone is the verifiers' tenth.
#include <gtest/gtest.h>

#include <map>

#include "domain/reputation/counters.h"

namespace mesh::reputation {
namespace {

constexpr std::uint64_t credit = 1'000'000;
constexpr std::uint64_t tasks = 1000;
constexpr std::uint64_t others = 60;
constexpr std::uint64_t part = credit / 10 / 3;
const policy::ReputationParameters rules;

NodeId name(std::uint64_t number) { return *NodeId::from(tagged_hash("node", {big_endian(number)}).view()); }

/// The two tables of a ledger, as far as these facts go.
class Books {
 public:
  template <class Apply>
  void apply(const Apply& kind, const Fact& fact) {
    const Counters before = counters_of(fact.node);
    const auto pair = pairs_.find(pair_id(fact.publisher, fact.node));
    const Result<Standing> after = kind(before, pair == pairs_.end() ? nullptr : &pair->second, fact, rules);
    ASSERT_TRUE(after.has_value()) << after.error().message;
    counters_.insert_or_assign(fact.node, after->counters);
    pairs_.insert_or_assign(after->pair.id, after->pair);
    std::erase_if(pairs_, [&](const auto& entry) { return entry.second.is_over(fact.epoch); });
    most_pairs_ = std::max(most_pairs_, pairs_.size());
  }
  [[nodiscard]] Counters counters_of(const NodeId& node) const {
    const auto known = counters_.find(node);
    return known == counters_.end() ? Counters::newcomer(node, 0) : known->second;
  }
  [[nodiscard]] std::size_t most_pairs() const { return most_pairs_; }

 private:
  std::map<NodeId, Counters> counters_;
  std::map<Digest, Pair> pairs_;
  std::size_t most_pairs_ = 0;
};

struct Outcome {
  std::uint64_t spent = 0;  ///< micro-credits that left the hand
  std::uint32_t worker = 0;  ///< its score right after the last task
  std::uint32_t verifiers = 0;  ///< the mean of the others' scores
  bool operator==(const Outcome&) const = default;
  friend void PrintTo(const Outcome& outcome, std::ostream* out) {
    *out << outcome.spent << " spent, worker " << outcome.worker << ", verifiers " << outcome.verifiers;
  }
};

Outcome trade(std::uint64_t publishers, std::uint64_t epochs, bool same_owner = false,
              std::uint64_t own_verifiers = 0) {
  Books books;
  Outcome outcome;
  const NodeId worker = name(1'000'000);
  std::uint64_t seat = 0;
  for (std::uint64_t task = 0; task < tasks; ++task) {
    const std::uint64_t epoch = task * epochs / tasks;
    Fact fact{.publisher = name(2'000'000 + task % publishers),
              .node = worker,
              .part = Fact::Part::worker,
              .epoch = epoch,
              .to_verifiers = 3 * part,
              .same_owner = same_owner};
    books.apply(settled, fact);
    fact.part = Fact::Part::verifier;
    fact.own_part = part;
    fact.same_owner = false;
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t verifier = seat++ * 7 % others;
      if (verifier >= own_verifiers) outcome.spent += part;
      fact.node = name(verifier);
      books.apply(verified, fact);
    }
  }
  outcome.worker = score_of(books.counters_of(worker), epochs - 1, rules);
  for (std::uint64_t i = 0; i < others; ++i)
    outcome.verifiers += score_of(books.counters_of(name(i)), epochs - 1, rules);
  outcome.verifiers /= static_cast<std::uint32_t>(others);
  EXPECT_LE(books.most_pairs(), publishers * (others + 1)) << "pairs go with their epoch";
  return outcome;
}

constexpr std::uint64_t cost = tasks * 3 * part;  // 99.999 credits.

TEST(Economy, OnePublisherBuysItsWorkerLittleForMuch) {
  // All in one epoch, in ten, in a hundred, in a thousand: at best 353 points, for 100 credits and 100 days.
  EXPECT_EQ(trade(1, 1), (Outcome{.spent = cost, .worker = 33, .verifiers = 19}));
  EXPECT_EQ(trade(1, 10), (Outcome{.spent = cost, .worker = 201, .verifiers = 25}));
  EXPECT_EQ(trade(1, 100), (Outcome{.spent = cost, .worker = 353, .verifiers = 6}));
  EXPECT_EQ(trade(1, 1000), (Outcome{.spent = cost, .worker = 65, .verifiers = 0}));
}

TEST(Economy, ManyPublishersEvadeTheCapAndNotTheCost) {
  EXPECT_EQ(trade(10, 1), (Outcome{.spent = cost, .worker = 233, .verifiers = 19}));
  EXPECT_EQ(trade(100, 1), (Outcome{.spent = cost, .worker = 583, .verifiers = 30}));
  EXPECT_EQ(trade(1000, 1), (Outcome{.spent = cost, .worker = 583, .verifiers = 30}));
}

TEST(Economy, WhoSaysThatItIsOneOwnerGetsNothing) {
  EXPECT_EQ(trade(100, 1, true), (Outcome{.spent = cost, .worker = 0, .verifiers = 30}));
}

TEST(Economy, EveryVerifierOfTheHandMakesItCheaper) {
  // Of 60 verifiers 6, 30 and 60: what the draw cannot help. With all of them reputation is for free.
  EXPECT_EQ(trade(100, 1, false, 6).spent, cost * 9 / 10);
  EXPECT_EQ(trade(100, 1, false, 30).spent, cost / 2);
  EXPECT_EQ(trade(100, 1, false, 60), (Outcome{.spent = 0, .worker = 583, .verifiers = 30}));
}

}  // namespace
}  // namespace mesh::reputation
