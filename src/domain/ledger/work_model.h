// Paid work a second time, from the words of docs/design/protocols.md: plain maps and loops. Nothing is shared with the ledger but
// the records, what opens a commitment (domain/receipt), and the names of phases; the draw is made anew from the hashes named there.
#pragma once

#include "domain/ledger/escrow.h"
#include "domain/ledger/ledger_model.h"

namespace mesh::ledger {

class WorkModel : public Model {
 public:
  using Shard = std::uint32_t;
  __extension__ using Wide = unsigned __int128;

  struct Task {
    Signed<task::TaskIntent> intent;
    AccountId publisher;
    std::string owner;
    Amount held = 0;
    Amount closes = 0;
    Amount forgotten = 0;
    bool closed = false;
    bool ended = false;
    std::set<Shard> paid;
    std::map<Shard, Cid> claims;  ///< by which open work
    std::vector<Cid> spent;  ///< awards under which a work came to nothing
    [[nodiscard]] Amount fee() const { return intent.record.fee; }
    [[nodiscard]] Amount run_ms() const { return Amount{intent.record.limits.fetch_ms} + intent.record.limits.run_ms; }
    [[nodiscard]] Amount pot() const { return fee() / 100 * 10 + fee() % 100 * 10 / 100; }  // Ten percent.
    [[nodiscard]] Amount most_for_worker() const { return fee() / 100 * 90 + fee() % 100 * 90 / 100; }
  };
  struct Vote {
    AccountId node;
    Signed<receipt::Commitment> commitment;
    Amount height = 0;  ///< at which it came
    std::set<Shard> shards;
    bool revealed = false;
    std::map<Shard, receipt::Finding> found;
  };
  struct Round {
    Amount drawn_ms = 0;
    Cid block;
    Digest beacon;
    std::uint32_t seats = 0;
    std::map<Shard, std::vector<AccountId>> order;
    std::map<AccountId, Amount> weights;  ///< of the panel
    std::map<AccountId, Amount> passed;  ///< over from then on, if they do not commit before
    std::vector<Vote> votes;

    [[nodiscard]] const Vote* vote(const AccountId& who, Shard shard) const {
      for (const Vote& one : votes) {
        if (one.node == who && one.shards.contains(shard)) return &one;
      }
      return nullptr;
    }
  };
  struct Job {
    Signed<receipt::Commitment> commitment;
    AccountId worker;
    std::vector<Shard> shards;
    Amount cost = 0;
    Amount timeliness = 0;
    Amount anchored = 0;  ///< height
    WorkPhase phase = WorkPhase::drawing;
    Amount due = 0;
    std::vector<Round> rounds;
    std::optional<Signed<receipt::ExecutionReceipt>> receipt;
    receipt::Opened opened;
    std::optional<AccountId> disputed_by;
    Amount stake = 0;
    std::optional<WorkEnding> ending;
    Amount accepted = 0, rejected = 0, undecided = 0;
    std::map<AccountId, Amount> got, lost;
    Amount to_treasury = 0;
  };
  struct Chain {
    Digest link;
    Amount left = 0;
    Amount skipped = 0;
    bool operator==(const Chain&) const = default;
  };

  /// What somebody earned and missed, as of an epoch.
  struct Merit {
    Amount epoch = 0;
    Amount founding = 0, execution = 0, verification = 0, timely = 0, missed = 0;
    bool operator==(const Merit&) const = default;
  };
  /// What somebody earned and missed through one publisher in an epoch.
  struct Pair {
    Amount epoch = 0, earned = 0, missed = 0;
    bool operator==(const Pair&) const = default;
  };

  explicit WorkModel(const Genesis& genesis) : Model(genesis) {
    for (const Founder& one : genesis.founders) {
      if (one.weight > 0) merits[one.account] = {.epoch = genesis.time_ms / day, .founding = one.weight * million};
    }
  }

  std::map<Cid, Task> tasks;
  std::map<Cid, Job> jobs;
  std::vector<Cid> undrawn;  ///< in the order in which they wait for a draw
  std::map<AccountId, Amount> stakes;  ///< of who has open works: what is there of what they need
  std::map<AccountId, Chain> chains;
  Digest beacon;
  std::map<AccountId, Merit> merits;
  std::map<Digest, Pair> pairs;  ///< by SHA-256(publisher, node)

  [[nodiscard]] Amount stake_for_work(const AccountId& id) const override {
    return stakes.contains(id) ? stakes.at(id) : 0;
  }
  [[nodiscard]] std::size_t open_works_of(const AccountId& id) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(jobs, [&](const auto& one) { return one.second.worker == id && is_open(one.second); }));
  }
  /// The fees of all shards under open works of somebody.
  [[nodiscard]] Wide at_risk(const AccountId& id) const {
    Wide sum = 0;
    for (const auto& [cid, job] : jobs) {
      if (job.worker == id && is_open(job)) sum += Wide{task_of(job).fee()} * job.shards.size();
    }
    return sum;
  }
  [[nodiscard]] std::size_t open_works_under(const Cid& intent) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        jobs, [&](const auto& one) { return one.second.commitment.record.intent == intent && is_open(one.second); }));
  }
  /// By it is decided whether a time has come.
  [[nodiscard]] Amount time_of_parent() const { return parent_ms_; }
  [[nodiscard]] const Task& task_of(const Job& job) const { return tasks.at(job.commitment.record.intent); }
  [[nodiscard]] static bool is_open(const Job& job) { return job.phase != WorkPhase::ended; }
  [[nodiscard]] bool is_draw_awaited() const {
    return std::ranges::any_of(jobs, [](const auto& one) { return one.second.phase == WorkPhase::drawing; });
  }
  /// Who has the seats on a shard: the first of the order, but for who was passed over without having committed to it.
  [[nodiscard]] static std::vector<AccountId> seats(const Round& round, Shard shard, Amount at) {
    std::vector<AccountId> seated;
    for (const AccountId& one : round.order.at(shard)) {
      const auto passed = round.passed.find(one);
      const bool is_over = passed != round.passed.end() && passed->second <= at;
      if (is_over && round.vote(one, shard) == nullptr) continue;
      if (seated.size() < round.seats) seated.push_back(one);
    }
    return seated;
  }
  /// Who has a seat on a shard to which it had not committed before the block of a height.
  [[nodiscard]] static std::set<AccountId> open_seats(const Round& round, Amount at, Amount before = ~Amount{0}) {
    std::set<AccountId> open;
    for (const auto& [shard, order] : round.order) {
      for (const AccountId& one : seats(round, shard, at)) {
        const Vote* vote = round.vote(one, shard);
        if (vote == nullptr || vote->height >= before) open.insert(one);
      }
    }
    return open;
  }
  /// What happens by itself: when, in what order, to what.
  [[nodiscard]] std::set<Due> all_due() const {
    std::set<Due> due;
    for (const auto& [time, id] : Model::due()) due.insert(due_withdrawal(id, time));
    for (const auto& [cid, job] : jobs) {
      if (job.phase == WorkPhase::drawing) continue;
      due.insert({job.due, is_open(job) ? DueKind::work_due : DueKind::work_forgotten, cid.digest()});
    }
    for (const auto& [cid, task] : tasks) {
      if (!task.closed) due.insert({task.closes, DueKind::escrow_closing, cid.digest()});
      due.insert({task.forgotten, DueKind::escrow_forgotten, cid.digest()});
    }
    for (const auto& [id, pair] : pairs) due.insert({(pair.epoch + 1) * day, DueKind::pair_over, id});
    for (const auto& [key, term] : terms) {
      if (term.until) due.insert({term.forgotten, DueKind::voter_forgotten, *Digest::from(key.view())});
    }
    return due;
  }

 private:
  // ---- the beginning of a block

  void begin_work(const AccountId& proposer, const Digest& link) override {
    parent_ms_ = time_ms;
    if (is_draw_awaited()) remember();
    // In the order of consensus: ascending by key, the one at place (height + round) modulo their number.
    const Council& now = coming.contains(height) ? coming.at(height) : council;
    std::vector<std::pair<PublicKey, AccountId>> turns;
    for (const auto& [id, seat] : now) turns.emplace_back(seat.key, id);
    std::ranges::sort(turns);
    for (std::uint64_t round = 0; turns[(height + round) % turns.size()].second != proposer; ++round) {
      const AccountId& skipped = turns[(height + round) % turns.size()].second;
      if (!chains.contains(skipped)) continue;
      ++chains[skipped].skipped;
      if (!is_draw_awaited()) continue;
      // "Out of what is free of its bond".
      Amount& bond = purses[skipped].bond;
      const Amount paid = std::min(rules.skip_penalty, bond - stake_of(skipped));
      bond -= paid;
      treasury += paid;
    }
    if (chains.contains(proposer) && chains[proposer].left > 0) {
      chains[proposer].link = link;
      --chains[proposer].left;
    }
    beacon = tagged_hash("meshwork/1/beacon", {beacon.view(), link.view()});
  }

  void go_on_by_itself(Amount time, const Cid& parent) override {
    const std::vector<Cid> awaiting = std::exchange(undrawn, {});
    now_ = time;
    std::size_t left = 4'096;
    std::size_t shards = 65'536;
    for (const Due& due : all_due()) {
      if (due.time_ms > parent_ms_ || left-- == 0) break;
      const Cid cid(Multicodec::dag_cbor, due.key);
      if (due.kind == DueKind::withdrawal) arrive(*AccountId::from(due.key.view()), due.time_ms);
      if (due.kind == DueKind::work_due) {
        const std::size_t count = jobs.at(cid).shards.size();
        if (count > shards) break;
        shards -= count;
        phase_over(cid);
      }
      if (due.kind == DueKind::escrow_closing && !tasks.at(cid).closed) {
        tasks.at(cid).closed = true;
        end_if_over(cid);
      }
      if (due.kind == DueKind::voter_forgotten) terms.erase(*PublicKey::from(due.key.view()));
      if (due.kind == DueKind::work_forgotten) jobs.erase(cid);
      if (due.kind == DueKind::escrow_forgotten) forget(cid);
      if (due.kind == DueKind::pair_over && (pairs.at(due.key).epoch + 1) * day == due.time_ms) pairs.erase(due.key);
    }
    draw_first_of(awaiting, parent);
  }

  /// "It draws for 256 works and 65,536 shards at most, the others are drawn for in the next ones, first come first."
  void draw_first_of(const std::vector<Cid>& awaiting, const Cid& parent) {
    std::size_t works = 256;
    std::size_t shards = 65'536;
    std::vector<Cid> later;
    for (const Cid& cid : awaiting) {
      const std::size_t count = jobs.at(cid).shards.size();
      if (!later.empty() || works == 0 || count > shards) {
        later.push_back(cid);
        continue;
      }
      --works;
      shards -= count;
      draw(cid, parent);
    }
    undrawn.insert(undrawn.begin(), later.begin(), later.end());
  }

  void forget(const Cid& cid) {
    Task& task = tasks.at(cid);
    if (task.ended) {
      tasks.erase(cid);
    } else {
      task.forgotten = now_ + hour;  // Asked again later.
    }
  }

  /// "It ends when all shards are paid, or when it is closed and no work is open."
  void end_if_over(const Cid& cid) {
    Task& task = tasks.at(cid);
    const bool all_paid = task.paid.size() == task.intent.record.shards;
    if (task.ended || (!all_paid && (!task.closed || open_works_under(cid) > 0))) return;
    purses[task.publisher].balance += task.held;
    task.held = 0;
    task.closed = true;
    task.ended = true;
  }

  // ---- the draw

  struct Candidate {
    Amount weight = 0;
    std::string owner;
  };
  using Pool = std::map<AccountId, Candidate>;

  [[nodiscard]] Pool eligible(const Task& task) const {
    Pool pool;
    for (const auto& [id, before] : before_) {
      if (!before.verifies || before.bond < rules.minimum_bond + before.stake_as_validator) continue;
      const auto attest = attested.find(id);
      if (attest == attested.end() || !attest->second.verifies ||
          attest->second.memory_mb < task.intent.record.scope.memory_mb ||
          Wide{attest->second.fuel_per_second} * task.run_ms() < Wide{task.intent.record.scope.fuel} * 1000)
        continue;
      const Amount weight = before.score + std::min<Amount>(before.bond / 100'000, 250);
      pool[id] = {std::max<Amount>(weight, 1), before.owner};
    }
    return pool;
  }

  static Digest seed_of(const Digest& beacon, const Cid& commitment, std::uint32_t n) {
    return tagged_hash("meshwork/1/ledger-seat", {beacon.view(), commitment.bytes(), big_endian(n)});
  }

  static std::vector<AccountId> order_of(Pool pool, Pool last, const Digest& seed, std::size_t width) {
    std::vector<AccountId> order;
    while (order.size() < width && !(pool.empty() && last.empty())) {
      Pool& from = pool.empty() ? last : pool;
      Amount total = 0;
      for (const auto& [id, one] : from) total += one.weight;
      const Digest hash = tagged_hash("meshwork/1/seat", {seed.view(), big_endian(order.size())});
      Amount number = 0;
      for (std::size_t i = 0; i < 8; ++i) number = number << 8 | hash.view()[i];
      auto at = static_cast<Amount>(Wide{number} * total >> 64);
      auto found = from.begin();
      while (at >= found->second.weight) at -= (found++)->second.weight;
      order.push_back(found->first);
      from.erase(found);
    }
    return order;
  }

  void draw(const Cid& cid, const Cid& parent) {
    Job& job = jobs.at(cid);
    const Task& task = tasks.at(job.commitment.record.intent);
    const bool again = !job.rounds.empty();
    Pool pool = eligible(task);
    pool.erase(job.worker);
    pool.erase(task.publisher);
    if (again) {
      for (const Vote& vote : job.rounds[0].votes) pool.erase(vote.node);
      for (const auto& [id, until] : job.rounds[0].passed) pool.erase(id);
    }
    // Who has the owner of one of them comes after all others. Who has none is its own.
    Pool last;
    for (const auto& [id, one] : pool) {
      const std::string owner = name_of(id, one.owner);
      if (owner == owner_of(job.worker) || owner == name_of(task.publisher, task.owner)) last[id] = one;
    }
    for (const auto& [id, one] : last) pool.erase(id);
    const std::size_t there = pool.size() + last.size();
    const Amount wanted = again ? std::max<Amount>(7, job.rounds[0].seats) : seats_wanted(task, job.worker);
    const Amount least = again ? 1 : task.intent.record.verifiers;

    Round round{.drawn_ms = now_, .block = parent, .beacon = beacon};
    round.seats = there < least ? 0 : static_cast<std::uint32_t>(std::min<Amount>(wanted, there));
    const std::vector<AccountId> panel = order_of(pool, last, seed_of(beacon, cid, 1U << 20), 64);
    std::erase_if(pool, [&](const auto& one) { return std::ranges::count(panel, one.first) == 0; });
    std::erase_if(last, [&](const auto& one) { return std::ranges::count(panel, one.first) == 0; });
    for (const Shard shard : job.shards) {
      round.order[shard];
      if (round.seats > 0) round.order[shard] = order_of(pool, last, seed_of(beacon, cid, shard), round.seats + 8);
    }
    for (const Pool& some : {pool, last}) {
      for (const auto& [id, one] : some) {
        if (round.seats > 0) round.weights[id] = one.weight;
      }
    }
    job.phase = again ? WorkPhase::disputed : WorkPhase::drawn;
    job.due = again && round.seats == 0 ? now_ : now_ + 2 * task.run_ms() + 60'000;
    job.rounds.push_back(std::move(round));
  }

  /// The intent's number and one more for each million of its value, less the share of these that the worker has earned.
  [[nodiscard]] Amount seats_wanted(const Task& task, const AccountId& worker) const {
    const Amount least = task.intent.record.verifiers;
    if (least == 0 || least >= 7) return least;
    const Amount trust = before_.contains(worker) ? before_.at(worker).score : 0;
    const Amount for_value = std::min<Amount>(task.intent.record.value / 1'000'000, 1000 * (7 - least));
    return least + std::min<Amount>(7 - least, (for_value * (1000 - trust) + 999) / 1000);
  }

  // ---- the end of a work

  void phase_over(const Cid& cid) {
    Job& job = jobs.at(cid);
    if (job.phase == WorkPhase::drawn) return end(cid, WorkEnding::silent);
    if (job.phase == WorkPhase::revealed && job.rounds.size() == 1 &&
        std::ranges::any_of(job.shards, [&](Shard one) { return judge(job, one, 1).decision == Decision::open; })) {
      ask_others(cid);
      return;
    }
    end(cid, WorkEnding::settled);
  }
  void ask_others(const Cid& cid) {
    jobs.at(cid).phase = WorkPhase::drawing;
    undrawn.push_back(cid);
  }

  enum class Decision : std::uint8_t { accepted, rejected, open, unclear };
  struct Judgement {
    Decision decision = Decision::open;
    std::vector<std::pair<AccountId, Amount>> agreed;  ///< with the weights that they were drawn with
    std::vector<std::pair<AccountId, Amount>> right;  ///< who found the other result
    std::vector<std::pair<AccountId, Amount>> silent;  ///< with what the seat would have earned
    std::set<AccountId> wrong;  ///< who found against what was decided
    std::size_t seats = 0;
  };

  /// By the seats of the first so many drawings.
  [[nodiscard]] Judgement judge(const Job& job, Shard shard, std::size_t rounds) const {
    using Voice = std::tuple<AccountId, Amount, receipt::Finding>;
    const receipt::Finding& worker = *job.opened.find(shard);
    const auto stack = [](const receipt::Finding& one) {
      return one.outcome.kind == task::OutcomeKind::stack_exhausted;
    };
    Judgement judgement;
    std::vector<Voice> others;
    std::size_t unclear = 0;
    for (std::size_t i = 0; i < std::min(rounds, job.rounds.size()); ++i) {
      const Round& round = job.rounds[i];
      std::size_t committed = 0;
      for (const AccountId& who : seats(round, shard, parent_ms_)) {
        const Vote* vote = round.vote(who, shard);
        if (vote == nullptr) continue;
        ++committed;
        if (!vote->revealed) {
          judgement.silent.emplace_back(who, task_of(job).pot() / round.seats);
          continue;
        }
        const receipt::Finding& found = vote->found.at(shard);
        if (found == worker) {
          judgement.agreed.emplace_back(who, round.weights.at(who));
        } else if (stack(found) != stack(worker)) {
          ++unclear;
        } else {
          others.emplace_back(who, round.weights.at(who), found);
        }
      }
      // Of the first drawing a seat for which nobody is left is missing.
      judgement.seats += i == 0 ? round.seats : committed;
    }
    const std::size_t needed = (judgement.seats * 66 + 99) / 100;
    std::size_t most = 0;
    for (const Voice& one : others) {
      std::vector<std::pair<AccountId, Amount>> same;
      for (const auto& [who, weight, found] : others) {
        if (found == std::get<2>(one)) same.emplace_back(who, weight);
      }
      most = std::max(most, same.size());
      if (same.size() >= needed) judgement.right = same;
    }
    if (judgement.agreed.size() >= needed) {
      judgement.decision = Decision::accepted;
      for (const Voice& one : others) judgement.wrong.insert(std::get<0>(one));
    } else if (most >= needed) {
      judgement.decision = Decision::rejected;
      for (const auto& [who, weight] : judgement.agreed) judgement.wrong.insert(who);
    } else if (std::max(judgement.agreed.size(), most) + unclear >= needed) {
      judgement.decision = Decision::unclear;
    }
    return judgement;
  }

  void give(Job& job, const AccountId& to, Amount amount) {
    purses[to].balance += amount;
    if (amount > 0) job.got[to] += amount;
  }
  void give_treasury(Job& job, Amount amount) {
    treasury += amount;
    job.to_treasury += amount;
  }
  /// As much as can be had of what is not at stake for a seat as a validator, then of what is on its way out, the last first.
  Amount take(const AccountId& from, Amount amount) {
    Purse& purse = purses.at(from);
    Amount taken = std::min(amount, purse.bond - stake_as_validator(from));
    purse.bond -= taken;
    if (stakes.contains(from)) stakes[from] = std::min(stakes[from], purse.bond - stake_as_validator(from));
    for (std::size_t i = purse.leaving.size(); i > 0; --i) {
      Amount& leaving = purse.leaving[i - 1].amount;
      const Amount part = std::min(leaving, amount - taken);
      leaving -= part;
      taken += part;
    }
    return taken;
  }
  Amount lose(const AccountId& id, Amount amount) override { return take(id, amount); }
  Amount take(Job& job, const AccountId& from, Amount amount) {
    const Amount taken = take(from, amount);
    if (taken > 0) job.lost[from] += taken;
    return taken;
  }
  static std::map<AccountId, Amount> shares(Amount pot, const std::vector<std::pair<AccountId, Amount>>& heads) {
    Amount total = 0;
    for (const auto& [id, weight] : heads) total += weight;
    std::map<AccountId, Amount> shares;
    for (const auto& [id, weight] : heads) shares[id] += static_cast<Amount>(Wide{pot} * weight / total);
    return shares;
  }

  void end(const Cid& cid, WorkEnding ending) {
    Job& job = jobs.at(cid);
    Task& task = tasks.at(job.commitment.record.intent);
    std::map<AccountId, Amount> owed;  // By the worker's bond.
    std::map<AccountId, Amount> missing;  // What each that was silent would have earned.
    std::map<AccountId, Amount> earned;  // By verifiers, of accepted shards.
    std::set<AccountId> wrong;
    bool changed = false;
    const std::set<AccountId> late =
        ending == WorkEnding::silent ? open_seats(job.rounds[0], parent_ms_) : std::set<AccountId>();
    for (const Shard shard : job.shards) {
      task.claims.erase(shard);
      if (ending == WorkEnding::silent) {
        ++job.undecided;
        for (const AccountId& who : seats(job.rounds[0], shard, parent_ms_)) {
          if (!late.contains(who)) owed[who] += task.pot() / job.rounds[0].seats;
        }
        continue;
      }
      Judgement judgement;
      if (ending == WorkEnding::by_publisher) {
        judgement.decision = Decision::accepted;
      } else {
        judgement = judge(job, shard, 2);
        const bool is_clear = judgement.decision == Decision::accepted || judgement.decision == Decision::rejected;
        if (job.rounds.size() == 2 && is_clear && judge(job, shard, 1).decision != judgement.decision) changed = true;
      }
      if (judgement.decision == Decision::accepted) {
        ++job.accepted;
        task.paid.insert(shard);
        task.held -= task.fee();
        Amount rest = task.fee();
        const Amount agreed = judgement.seats == 0 ? 1 : judgement.agreed.size();
        const Amount seats = std::max<Amount>(judgement.seats, 1);
        const auto for_worker = static_cast<Amount>(Wide{std::min(job.cost, task.most_for_worker())} * agreed *
                                                    job.timeliness / (Wide{seats} * 1000));
        give(job, job.worker, for_worker);
        rest -= for_worker;
        for (const auto& [who, share] : shares(task.pot(), judgement.agreed)) {
          give(job, who, share);
          earned[who] += share;
          rest -= share;
        }
        purses[task.publisher].balance += rest;
      } else if (judgement.decision == Decision::rejected) {
        ++job.rejected;
        for (const auto& [who, share] : shares(task.pot(), judgement.right)) owed[who] += share;
      } else {
        ++job.undecided;
      }
      for (const auto& [who, amount] : judgement.silent) missing[who] += amount;
      wrong.insert(judgement.wrong.begin(), judgement.wrong.end());
    }
    job.phase = WorkPhase::ended;
    job.ending = ending;
    job.due = now_ + hour;

    Amount sum = 0;
    for (const auto& [who, amount] : owed) sum += amount;
    Amount penalty = sum;
    if (job.rejected > 0) penalty = std::max({sum, rules.minimum_bond, task.fee() * job.rejected});
    if (ending == WorkEnding::silent && job.rounds[0].seats > 0)
      penalty = std::max<Amount>(sum, task.fee() * job.shards.size());
    const Amount taken = take(job, job.worker, penalty);
    Amount left = taken;
    for (const auto& [who, amount] : owed) {
      const Amount paid = taken >= sum ? amount : static_cast<Amount>(Wide{amount} * taken / sum);
      give(job, who, paid);
      left -= paid;
    }
    give_treasury(job, left);
    for (const auto& [who, amount] : missing) give_treasury(job, take(job, who, amount));

    if (job.stake > 0) {
      std::set<AccountId> answered;
      for (const Shard shard : job.shards) {
        for (const AccountId& who : seats(job.rounds[1], shard, parent_ms_)) {
          const Vote* vote = job.rounds[1].vote(who, shard);
          if (vote != nullptr && vote->revealed) answered.insert(who);
        }
      }
      Amount stays = job.stake;
      if (changed || job.rounds[1].seats == 0) {
        purses[*job.disputed_by].balance += std::exchange(stays, 0);
      } else {
        for (const AccountId& who : answered) {
          give(job, who, job.stake / answered.size());
          stays -= job.stake / answered.size();
        }
      }
      give_treasury(job, stays);
      job.stake = 0;
    }
    count(job, task, ending, earned, missing, wrong);
    const Cid& award = job.commitment.record.basis;
    if (job.accepted < job.shards.size() && std::ranges::count(task.spent, award) == 0) task.spent.push_back(award);
    if (task.spent.size() == 1'024) task.closed = true;
    stake_again(job.worker);
    end_if_over(job.commitment.record.intent);
  }

  /// "While works are open the fees of all their shards are at stake": as far as they are there when a work begins or ends.
  void stake_again(const AccountId& worker) {
    if (open_works_of(worker) == 0) {
      stakes.erase(worker);
      return;
    }
    const Wide there = purses.at(worker).bond - stake_as_validator(worker);
    stakes[worker] = static_cast<Amount>(std::min(there, std::max(at_risk(worker), Wide{rules.minimum_bond})));
  }

  // ---- reputation

  [[nodiscard]] static std::string name_of(const AccountId& id, const std::string& owner) {
    return owner.empty() ? identity::did_of(id) : owner;
  }
  [[nodiscard]] std::string owner_of(const AccountId& id) const {
    return name_of(id, credentials.contains(id) ? credentials.at(id).owner : "");
  }

  /// What an epoch leaves: f is exp(-50 / 1000) * 2^64, to the nearest, by the sum of (-1/20)^k / k!.
  [[nodiscard]] static Amount faded(Amount x) {
    static const Amount factor = [] {
      Wide sum = 0;
      Wide term = Wide{1} << 120;
      for (unsigned k = 1; term > 0; ++k) {
        sum += k % 2 == 1 ? term : -term;
        term /= Wide{20} * k;
      }
      return static_cast<Amount>((sum + (Wide{1} << 55)) >> 56);
    }();
    return static_cast<Amount>(Wide{x} * factor >> 64);
  }
  [[nodiscard]] static Merit at_epoch(Merit merit, Amount epoch) {
    for (; merit.epoch < epoch; ++merit.epoch) {
      for (Amount* x : {&merit.founding, &merit.execution, &merit.verification, &merit.timely, &merit.missed})
        *x = faded(*x);
    }
    return merit;
  }
  [[nodiscard]] Amount score(const AccountId& id, Amount epoch) const {
    if (!merits.contains(id)) return 0;
    const Merit merit = at_epoch(merits.at(id), epoch);
    const auto part = [](Amount x, Amount missed) {
      return static_cast<Amount>(Wide{million} * x / (Wide{x} + Wide{20} * million + Wide{4} * missed));
    };
    const Amount earned =
        (600 * part(merit.execution, 0) + 300 * part(merit.verification, 0) + 100 * part(merit.timely, merit.missed)) /
        million;
    const Amount founding = merit.founding / million;
    return founding + (1000 - founding) * earned / 1000;
  }

  /// One fact for each of whom the work concerns, in the order of the table.
  void count(const Job& job, const Task& task, WorkEnding ending, const std::map<AccountId, Amount>& earned,
             const std::map<AccountId, Amount>& missing, const std::set<AccountId>& wrong) {
    const std::string publisher = owner_of(task.publisher);
    const auto is_third = [&](const AccountId& id) {
      return owner_of(id) != publisher && owner_of(id) != owner_of(job.worker);
    };
    Amount paid = 0;  // B
    for (const auto& [id, share] : earned) paid += is_third(id) ? share : 0;
    const Amount all = task.pot() * job.shards.size();
    if (job.accepted > 0) earn(task, job.worker, &Merit::execution, paid, job.timeliness);
    for (const auto& [id, share] : earned) {
      if (is_third(id)) earn(task, id, &Merit::verification, std::min(share, paid - share), 1000);
    }
    for (const auto& [id, amount] : missing) miss(task, id, std::min(amount, std::max(all, amount) - amount));
    if (ending == WorkEnding::silent && job.rounds[0].seats > 0) miss(task, job.worker, all);
    if (job.rejected > 0) lie(job.worker);
    for (const AccountId& id : wrong) lie(id);
  }
  Merit& merit_of(const AccountId& id) {
    const Amount epoch = now_ / day;
    if (!merits.contains(id)) merits[id].epoch = epoch;
    return merits[id] = at_epoch(merits[id], epoch);
  }
  /// As much as the cap of publisher and node leaves.
  Amount book(const Task& task, const AccountId& id, Amount Pair::* which, Amount amount) {
    if (owner_of(id) == owner_of(task.publisher)) return 0;
    const Digest key = sha256({task.publisher.view(), id.view()});
    Pair pair = pairs.contains(key) ? pairs.at(key) : Pair();
    if (pair.epoch < now_ / day) pair = {.epoch = now_ / day};
    const Amount counts = std::min(amount, million - pair.*which);
    pair.*which += counts;
    if (counts > 0) pairs[key] = pair;
    return counts;
  }
  void earn(const Task& task, const AccountId& id, Amount Merit::* which, Amount amount, Amount timeliness) {
    Merit& merit = merit_of(id);
    const Amount counts = book(task, id, &Pair::earned, amount);
    merit.*which += counts;
    merit.timely += counts * timeliness / 1000;
  }
  void miss(const Task& task, const AccountId& id, Amount amount) {
    merit_of(id).missed += book(task, id, &Pair::missed, amount);
  }
  void lie(const AccountId& id) {
    Merit& merit = merit_of(id);
    for (Amount* x : {&merit.founding, &merit.execution, &merit.verification, &merit.timely})
      *x = static_cast<Amount>(Wide{*x} * 100 / 1000);
  }

  // ---- transactions

  std::string work(const Transaction& one) override {
    return std::visit(
        [&](const auto& body) -> std::string {
          if constexpr (requires { work(one, body); }) return work(one, body);
          return "of another kind";
        },
        one.body);
  }

  std::string work(const Transaction& one, const Lock&) {
    if (std::string lack = lacks(one.account, Role::member); !lack.empty()) return lack;
    const Signed<task::TaskIntent>& intent = *one.attachments->intent;
    const task::TaskIntent& asked = intent.record;
    if (intent.signer != purses[one.account].key) return "not-the-publisher";
    if (!task::validate(asked, policy::MeshPolicy())) return "bad-intent";
    if (asked.policy != policy::cid_of(policy::MeshPolicy())) return "other-policy";
    if (asked.fee == 0) return "free-intent";
    if (asked.sample != task::TaskIntent::everything) return "sampled-intent";
    if (std::max({asked.limits.total_ms, asked.limits.fetch_ms, asked.limits.run_ms}) > 7 * day) return "too-long";
    Task task{.intent = intent, .publisher = one.account, .owner = credentials[one.account].owner};
    if (task.pot() < asked.verifiers) return "fee-too-small";
    const Amount created = asked.created_ms < 0 ? 0 : static_cast<Amount>(asked.created_ms);
    if (created > time_ms + 600'000) return "early-intent";
    if (created + hour < time_ms) return "stale-intent";
    if (tasks.contains(intent.cid)) return "escrow-exists";
    Amount locked = asked.shards;
    for (const auto& [cid, other] : tasks) locked += other.ended ? 0 : other.intent.record.shards;
    if (tasks.size() == 65'536 || locked > 1U << 24) return "escrows-full";
    const Wide whole = Wide{asked.fee} * asked.shards;
    if (whole > ~Amount{0}) return "overflow";
    if (purses[one.account].balance < whole) return "overdraft";
    const auto sum = static_cast<Amount>(whole);
    purses[one.account].balance -= sum;
    task.held = sum;
    task.closes = time_ms + asked.limits.total_ms;
    task.forgotten = std::max(task.closes, created + hour) + hour;
    tasks.emplace(intent.cid, std::move(task));
    return "";
  }

  std::string work(const Transaction& one, const Anchor& anchor) {
    return anchor.award ? anchor_works(one) : anchor_votes(one);
  }
  std::string anchor_works(const Transaction& one) {
    if (std::string lack = lacks(one.account, Role::worker); !lack.empty()) return lack;
    const Signed<market::ComputeOffer>& offer = *one.attachments->offer;
    const Signed<market::Award>& award = *one.attachments->award;
    if (!tasks.contains(award.record.intent)) return "unknown-escrow";
    Task& task = tasks.at(award.record.intent);
    const PublicKey& key = purses[one.account].key;
    if (task.closed) return "escrow-closed";
    if (task.publisher == one.account) return "own-work";
    if (award.signer != purses[task.publisher].key) return "not-the-publisher";
    if (std::ranges::count(task.spent, award.cid) > 0) return "award-spent";
    if (award.record.offer != offer.cid || offer.signer != key || offer.record.intent != award.record.intent)
      return "award-of-another";
    if (offer.record.cost > task.fee()) return "over-fee";
    if (offer.record.capacity == 0 || offer.record.eta_ms == 0) return "bad-offer";
    if (!award.record.given_ms) return "award-undated";
    const auto awarded = task::expand(award.record.shards, task.intent.record.shards);
    if (!awarded) return "bad-award";
    std::map<Cid, Job> made;
    std::vector<Cid> order;
    Amount shards_made = 0;
    std::map<Shard, Cid> claims = task.claims;
    for (const Signed<receipt::Commitment>& commitment : one.attachments->commitments) {
      const receipt::Commitment& record = commitment.record;
      if (commitment.signer != key || record.intent != award.record.intent || record.basis != award.cid ||
          record.worker)
        return "commitment-of-another";
      const auto shards = receipt::covered(commitment, task.intent.record.shards);
      if (!shards) return "bad-commitment";
      if (!std::ranges::includes(*awarded, *shards)) return "not-awarded";
      if (jobs.contains(commitment.cid)) return "work-exists";
      for (const Shard shard : *shards) {
        if (task.paid.contains(shard) || claims.contains(shard)) return "shard-claimed";
        claims[shard] = commitment.cid;
      }
      const auto place = static_cast<Amount>(std::ranges::find(*awarded, shards->back()) - awarded->begin()) + 1;
      made[commitment.cid] = {.commitment = commitment,
                              .worker = one.account,
                              .shards = *shards,
                              .cost = offer.record.cost,
                              .timeliness = timeliness(offer.record, place, *award.record.given_ms),
                              .anchored = height};
      order.push_back(commitment.cid);
      shards_made += shards->size();
    }
    Amount open = shards_made;
    for (const auto& [cid, job] : jobs) open += is_open(job) ? job.shards.size() : 0;
    if (jobs.size() + made.size() > 65'536 || open > 1U << 21) return "works-full";
    const Wide needed = std::max(at_risk(one.account) + Wide{task.fee()} * shards_made, Wide{rules.minimum_bond});
    if (purses[one.account].bond - stake_as_validator(one.account) < needed) return "bond-too-small";
    task.claims = claims;
    jobs.merge(made);
    undrawn.insert(undrawn.end(), order.begin(), order.end());
    stake_again(one.account);
    return "";
  }
  [[nodiscard]] Amount timeliness(const market::ComputeOffer& offer, Amount place, Amount given) const {
    const Wide promised = Wide{offer.eta_ms} * ((place + offer.capacity - 1) / offer.capacity);
    const Amount taken = time_ms < given + 2'000 ? 0 : time_ms - given - 2'000;
    return promised >= taken ? 1000 : static_cast<Amount>(promised * 1000 / taken);
  }

  std::string anchor_votes(const Transaction& one) {
    std::map<Cid, Job> before;
    for (const Signed<receipt::Commitment>& commitment : one.attachments->commitments) {
      std::string refusal = "commitment-of-another";
      if (commitment.signer == purses[one.account].key) {
        if (!commitment.record.worker) {
          refusal = "award-missing";
        } else {
          const auto about = jobs.find(*commitment.record.worker);
          if (about != jobs.end()) before.insert(*about);
          refusal = about == jobs.end()       ? "unknown-work"
                    : !is_open(about->second) ? "work-ended"
                                              : vote(about->second, commitment);
        }
      }
      if (refusal.empty()) continue;
      for (const auto& [cid, job] : before) jobs[cid] = job;
      return refusal;
    }
    return "";
  }

  std::string vote(Job& job, const Signed<receipt::Commitment>& commitment) const {
    const receipt::Commitment& record = commitment.record;
    if (job.phase == WorkPhase::drawing) return "not-drawn-yet";
    if (is_over(job)) return "phase-over";
    if (job.phase != WorkPhase::drawn && job.phase != WorkPhase::disputed) return "late-commitment";
    Round& round = job.rounds.back();
    if (record.intent != job.commitment.record.intent || record.worker != job.commitment.cid ||
        record.basis != round.block)
      return "commitment-of-another";
    const auto shards = receipt::covered(commitment, task_of(job).intent.record.shards);
    if (!shards) return "bad-commitment";
    std::optional<AccountId> who;
    for (const auto& [id, weight] : round.weights) {
      if (!who && purses.at(id).key == commitment.signer) who = id;
    }
    if (!who) return "not-drawn";
    for (const Shard shard : *shards) {
      if (!round.order.contains(shard) || std::ranges::count(round.order.at(shard), *who) == 0) return "not-drawn";
    }
    for (const Shard shard : *shards) {
      if (round.vote(*who, shard) != nullptr) return "answered-already";
    }
    if (round.passed.contains(*who) && round.passed.at(*who) <= parent_ms_) return "timed-out";
    if (std::ranges::count(round.votes, *who, &Vote::node) == 4) return "answers-full";
    round.votes.push_back({*who, commitment, height, {shards->begin(), shards->end()}, false, {}});
    return "";
  }

  std::string work(const Transaction& one, const Timeout& timeout) {
    if (!jobs.contains(timeout.commitment)) return "unknown-work";
    Job& job = jobs.at(timeout.commitment);
    if (job.phase != WorkPhase::drawn && job.phase != WorkPhase::disputed) return "nobody-awaited";
    if (is_over(job)) return "phase-over";
    const Task& task = task_of(job);
    Round& round = job.rounds.back();
    if (one.account != task.publisher && one.account != job.worker && !round.weights.contains(one.account))
      return "not-a-party";
    const std::set<AccountId> open = open_seats(round, parent_ms_);
    const std::set<AccountId> first = open_seats(round, 0);
    for (const AccountId& who : timeout.failed) {
      if (round.passed.contains(who)) return "timed-out";
      if (!open.contains(who)) return "no-open-seat";
    }
    for (const AccountId& who : timeout.failed)
      round.passed[who] =
          std::max(time_ms + rules.answer_ms, (first.contains(who) ? round.drawn_ms : time_ms) + task.run_ms());
    return "";
  }

  std::string work(const Transaction& one, const Settle& settlement) {
    if (!jobs.contains(settlement.commitment)) return "unknown-work";
    const Job before = jobs.at(settlement.commitment);
    std::string refusal = settle(jobs.at(settlement.commitment), one);
    if (!refusal.empty()) jobs.at(settlement.commitment) = before;
    if (refusal.empty() && !before.receipt && one.attachments->receipt && before.rounds[0].seats == 0)
      end(settlement.commitment, WorkEnding::by_publisher);
    return refusal;
  }
  std::string settle(Job& job, const Transaction& one) {
    const Attachments& shown = *one.attachments;
    if (!is_open(job)) return "work-ended";
    if (job.phase == WorkPhase::drawing) return "not-drawn-yet";
    if (is_over(job)) return "phase-over";
    const Task& task = task_of(job);
    bool is_news = false;
    for (const auto& commitment : shown.commitments) {
      if (vote_of(job, commitment.cid) != nullptr) continue;
      if (std::string refusal = vote(job, commitment); !refusal.empty()) return refusal;
      is_news = true;
    }
    if (shown.receipt && job.receipt && job.receipt->cid != shown.receipt->cid) return "revealed-already";
    if (shown.receipt && !job.receipt) {
      is_news = true;
      const Signed<receipt::ExecutionReceipt>& receipt = *shown.receipt;
      if (receipt.signer != job.commitment.signer) return "receipt-of-another";
      auto opened = receipt::open_execution(job.commitment, receipt.record, task.intent.record.shards);
      if (!opened) return "bad-receipt";
      for (const receipt::Finding& finding : opened->findings) {
        if (finding.fuel > task.intent.record.scope.fuel) return "over-fuel";
      }
      Round& round = job.rounds[0];
      if (!open_seats(round, parent_ms_, height).empty()) return "seats-open";
      std::erase_if(round.passed, [&](const auto& passed) { return passed.second > parent_ms_; });
      if (round.seats == 0) {
        if (!shown.verdict) return "verdict-missing";
        const auto& verdict = *shown.verdict;
        if (verdict.signer != purses[task.publisher].key || verdict.record.receipt != receipt.cid ||
            !std::ranges::all_of(job.shards, [&](Shard shard) { return task::covers(verdict.record.shards, shard); }) ||
            verdict.record.intent != task.intent.cid || verdict.record.decision != verification::Decision::unverified)
          return "verdict-of-another";
      }
      job.receipt = receipt;
      job.opened = std::move(*opened);
      job.phase = WorkPhase::revealed;
      job.due = time_ms + rules.dispute_ms;
    }
    for (const auto& verification : shown.verifications) {
      if (std::string refusal = reveal(job, task, verification, is_news); !refusal.empty()) return refusal;
    }
    return is_news ? "" : "revealed-already";
  }
  static Vote* vote_of(Job& job, const Cid& commitment) {
    for (Round& round : job.rounds) {
      for (Vote& one : round.votes) {
        if (one.commitment.cid == commitment) return &one;
      }
    }
    return nullptr;
  }
  static std::string reveal(Job& job, const Task& task, const Signed<receipt::VerificationReceipt>& verification,
                            bool& is_news) {
    if (!job.receipt) return "not-revealed";
    Vote* vote = vote_of(job, verification.record.commitment);
    if (vote == nullptr || vote->commitment.signer != verification.signer) return "not-committed";
    if (vote->revealed) return "";
    if (verification.record.intent != task.intent.cid || verification.record.receipt != job.receipt->cid)
      return "receipt-of-another";
    const auto found =
        receipt::open_verification(vote->commitment, verification.record, job.opened, task.intent.record.shards);
    if (!found) return "bad-verification";
    vote->revealed = true;
    is_news = true;
    for (const Shard shard : vote->shards)
      vote->found[shard] = found->contains(shard) ? found->at(shard) : *job.opened.find(shard);
    return "";
  }

  std::string work(const Transaction& one, const Refund& refund) {
    if (!tasks.contains(refund.intent)) return "unknown-escrow";
    Task& task = tasks.at(refund.intent);
    if (task.publisher != one.account) return "not-the-publisher";
    if (task.ended) return "escrow-ended";
    if (task.closed || task.closes <= time_ms + rules.notice_ms) return "escrow-closing";
    task.closes = time_ms + rules.notice_ms;
    return "";
  }

  std::string work(const Transaction& one, const Dispute& dispute) {
    if (std::string lack = lacks(one.account, Role::member); !lack.empty()) return lack;
    if (!jobs.contains(dispute.commitment)) return "unknown-work";
    Job& job = jobs.at(dispute.commitment);
    if (job.phase != WorkPhase::revealed) return "not-disputable";
    if (is_over(job)) return "phase-over";
    if (purses[one.account].bond < rules.minimum_bond) return "bond-too-small";
    const Wide stake = Wide{task_of(job).pot()} * job.shards.size();
    if (purses[one.account].balance < stake) return "overdraft";
    purses[one.account].balance -= static_cast<Amount>(stake);
    job.stake = static_cast<Amount>(stake);
    job.disputed_by = one.account;
    ask_others(dispute.commitment);
    return "";
  }

  std::string work(const Transaction& one, const CommitChain& chain) {
    if (std::string lack = lacks(one.account, Role::validator); !lack.empty()) return lack;
    if (chains.contains(one.account) && chains[one.account].left > 16) return "chain-unfinished";
    chains[one.account] = {chain.tip, chain.length, chains[one.account].skipped};
    return "";
  }

  /// Whether the time of its phase had come in the block before, be it that there was too much for it to end in this one.
  [[nodiscard]] bool is_over(const Job& job) const { return job.due <= parent_ms_; }

  /// Somebody as the block before left it.
  struct Before {
    bool verifies = false;  ///< has the role
    Amount bond = 0;
    Amount stake_as_validator = 0;
    Amount score = 0;
    std::string owner;
  };
  void remember() {
    before_.clear();
    for (const auto& [id, one] : credentials) {
      Before& before = before_[id];
      before.verifies = !one.revoked && !(one.expires && *one.expires <= height - 1) &&
                        std::ranges::count(one.roles, Role::verifier) > 0 && purses.contains(id);
      before.bond = purses.contains(id) ? purses.at(id).bond : 0;
      before.stake_as_validator = stake_as_validator(id);
      before.score = score(id, parent_ms_ / day);
      before.owner = one.owner;
    }
  }
  std::map<AccountId, Before> before_;
  Amount now_ = 0;  ///< of the block that begins
  Amount parent_ms_ = 0;  ///< of the block before: by it is decided whether a time has come
  static constexpr Amount hour = 3'600'000;
  static constexpr Amount day = 24 * hour;
  static constexpr Amount million = 1'000'000;
};

}  // namespace mesh::ledger
