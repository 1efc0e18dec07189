#include "domain/reputation/counters.h"

#include <algorithm>

#include "base/checked.h"
#include "domain/reputation/decay.h"

namespace mesh::reputation {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t million = 1'000'000;

std::uint64_t add_capped(std::uint64_t a, std::uint64_t b) {
  return checked_add(a, b).value_or(std::numeric_limits<std::uint64_t>::max());
}

/// x / (x + rest) in millionths, rounded down.
std::uint64_t share_of(std::uint64_t x, Wide rest) {
  return static_cast<std::uint64_t>(Wide{million} * x / (x + rest));
}

/// The entries when the fact comes, before it counts.
Result<Standing> begin(const Counters& counters, const Pair* pair, const Fact& fact,
                       const policy::ReputationParameters& rules) {
  const Digest id = pair_id(fact.publisher, fact.node);
  if (counters.node != fact.node || (pair != nullptr && pair->id != id))
    return fail(ErrorCode::invalid, "wrong-entry: the entries are another node's than the fact");
  if (fact.epoch < counters.epoch || (pair != nullptr && fact.epoch < pair->epoch)) {
    return fail(ErrorCode::invalid, "epoch-backwards: a fact of epoch " + std::to_string(fact.epoch) +
                                        " comes after one of epoch " +
                                        std::to_string(std::max(counters.epoch, pair == nullptr ? 0 : pair->epoch)));
  }
  if (fact.own_part > fact.to_verifiers)
    return fail(ErrorCode::invalid, "bad-fees: a verifier's part is larger than what all verifiers got");
  if (fact.timeliness > max_score) return fail(ErrorCode::invalid, "bad-timeliness: it is at most 1000 per mille");
  Standing standing{.counters = brought_forward(counters, fact.epoch, rules), .pair = {.id = id, .epoch = fact.epoch}};
  if (pair != nullptr && !pair->is_over(fact.epoch)) standing.pair = *pair;
  return standing;
}

/// What third parties got.
std::uint64_t to_third_parties(const Fact& fact) {
  if (fact.same_owner) return 0;
  if (fact.part == Fact::Part::worker) return fact.to_verifiers;
  return std::min(fact.own_part, fact.to_verifiers - fact.own_part);
}

/// As much of `amount` as the pair's cap leaves.
std::uint64_t book(std::uint64_t amount, std::uint64_t& booked) {
  const std::uint64_t counts = std::min(amount, pair_cap - std::min(booked, pair_cap));
  booked += counts;
  return counts;
}

Result<Standing> earn(const Counters& counters, const Pair* pair, const Fact& fact, Fact::Part part,
                      std::uint64_t Counters::* counter, const policy::ReputationParameters& rules) {
  if (fact.part != part)
    return fail(ErrorCode::invalid, "wrong-part: workers have shards settled, verifiers have verified them");
  MESH_LET(Standing standing, begin(counters, pair, fact, rules));
  const std::uint64_t counts = book(to_third_parties(fact), standing.pair.earned);
  standing.counters.*counter = add_capped(standing.counters.*counter, counts);
  standing.counters.timely = add_capped(standing.counters.timely, counts * fact.timeliness / max_score);
  return standing;
}

}  // namespace

Counters Counters::founder(const NodeId& node, std::uint64_t epoch, std::uint64_t weight) {
  return {.node = node, .epoch = epoch, .founding = std::min<std::uint64_t>(weight, max_score) * founding_unit};
}

Digest pair_id(const NodeId& publisher, const NodeId& node) { return sha256({publisher.view(), node.view()}); }

Result<Standing> settled(const Counters& counters, const Pair* pair, const Fact& fact,
                         const policy::ReputationParameters& rules) {
  return earn(counters, pair, fact, Fact::Part::worker, &Counters::execution, rules);
}

Result<Standing> verified(const Counters& counters, const Pair* pair, const Fact& fact,
                          const policy::ReputationParameters& rules) {
  return earn(counters, pair, fact, Fact::Part::verifier, &Counters::verification, rules);
}

Result<Standing> failed(const Counters& counters, const Pair* pair, const Fact& fact,
                        const policy::ReputationParameters& rules) {
  MESH_LET(Standing standing, begin(counters, pair, fact, rules));
  if (fact.to_verifiers == 0) return standing;
  for (std::uint64_t* counter : {&standing.counters.founding, &standing.counters.execution,
                                 &standing.counters.verification, &standing.counters.timely})
    *counter = static_cast<std::uint64_t>(Wide{*counter} * kept_after_lie / 1000);
  return standing;
}

Result<Standing> timed_out(const Counters& counters, const Pair* pair, const Fact& fact,
                           const policy::ReputationParameters& rules) {
  MESH_LET(Standing standing, begin(counters, pair, fact, rules));
  const std::uint64_t counts = book(to_third_parties(fact), standing.pair.missed);
  standing.counters.missed = add_capped(standing.counters.missed, counts);
  return standing;
}

Counters brought_forward(Counters counters, std::uint64_t epoch, const policy::ReputationParameters& rules) {
  if (epoch <= counters.epoch) return counters;
  const Decay decay(rules.lambda);
  for (std::uint64_t* counter :
       {&counters.founding, &counters.execution, &counters.verification, &counters.timely, &counters.missed})
    *counter = decay.after(*counter, epoch - counters.epoch);
  counters.epoch = epoch;
  return counters;
}

std::uint32_t score_of(const Counters& counters, std::uint64_t epoch, const policy::ReputationParameters& rules) {
  const Counters now = brought_forward(counters, epoch, rules);
  const std::uint64_t earned =
      (rules.alpha * share_of(now.execution, half_points) + rules.beta * share_of(now.verification, half_points) +
       rules.gamma * share_of(now.timely, half_points + Wide{missed_weight} * now.missed)) /
      million;
  const std::uint64_t founding = std::min<std::uint64_t>(now.founding / founding_unit, max_score);
  return static_cast<std::uint32_t>(founding +
                                    (max_score - founding) * std::min<std::uint64_t>(earned, max_score) / max_score);
}

std::uint32_t draw_weight(std::uint32_t score, std::uint64_t bond) {
  return std::min(score, max_score) +
         static_cast<std::uint32_t>(std::min<std::uint64_t>(bond / bond_per_point, max_bond_points));
}

}  // namespace mesh::reputation
