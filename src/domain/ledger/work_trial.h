// Paid work for the trial (ledger_trial.h): tasks of a village in which some are honest and others lie, copy, stay silent or come late.
// What is made next follows from the state of the model; most of it is right, and some of it wrong in one place.
#pragma once

#include <deque>
#include <functional>
#include <numeric>
#include <random>

#include "domain/ledger/work_model.h"
#include "domain/ledger/work_testing.h"

namespace mesh::ledger {

class WorkMaker {
 public:
  using Shard = WorkModel::Shard;
  /// Somebody and what he does.
  using Act = std::pair<AccountId, Body>;

  /// `scale`: what a credit is worth here; `pace`: how long things take, of which a block usually takes one.
  WorkMaker(std::mt19937_64& random, const WorkModel& model, std::vector<AccountId> villagers, std::uint64_t scale,
            std::uint32_t pace = 1)
      : random_(random), model_(model), villagers_(std::move(villagers)), scale_(scale), pace_(pace) {}

  /// What the proposer of the next block reveals.
  [[nodiscard]] Digest link_of(const AccountId& proposer) const {
    const auto chain = model_.chains.find(proposer);
    if (chain == model_.chains.end() || chain->second.left == 0) return {};
    return before_.at(chain->second.link);
  }
  [[nodiscard]] Digest link_before(const Digest& link) const { return before_.at(link); }

  /// What is done next, so much that blocks cannot end all of it: first what is needed, later the works. 16 tasks of a million
  /// shards, so that no other has room; then 65 works of 1,024 shards and 320 of one.
  void plan_a_crowd() {
    const AccountId& worker = villagers_[1];
    for (const AccountId& who : {villagers_[0], worker})
      planned_.emplace_back(
          [this, who] { return Act{steward(), Grant{.to = who, .amount = 50'000'000, .reason = ""}}; });
    planned_.emplace_back([worker] { return Act{worker, Bond{.amount = 40'000'000}}; });
    planned_.emplace_back([this] { return lock(villagers_[0], 66'560, 1); });
    planned_.emplace_back([this] { return lock(villagers_[0], 320, 1); });
    for (int i = 0; i < 17; ++i) planned_.emplace_back([this] { return lock(villagers_[0], 1'048'576, 0); });
  }
  void plan_its_works() {
    for (const auto& [cid, task] : model_.tasks) {
      const Shard shards = task.intent.record.shards;
      if (task.publisher != villagers_[0] || (shards != 66'560 && shards != 320)) continue;
      const Shard size = shards == 320 ? 1 : 1'024;
      const auto offer = unsigned_record(
          market::ComputeOffer{.intent = cid, .cost = 9, .capacity = 1, .eta_ms = 1'000, .valid_ms = 1'000},
          key_of(villagers_[1]));
      const auto award = unsigned_record(market::Award{.intent = cid,
                                                       .roster = some_cid("roster"),
                                                       .offer = offer.cid,
                                                       .shards = {{0, shards}},
                                                       .given_ms = model_.time_ms},
                                         key_of(villagers_[0]));
      for (Shard first = 0; first < shards; first += size * 16) {
        Anchor anchor{.offer = bytes_of(offer), .award = bytes_of(award)};
        for (Shard at = first; at < std::min(shards, first + size * 16); at += size) {
          std::vector<Shard> part(size);
          std::iota(part.begin(), part.end(), at);
          receipt::Commitment made{
              .intent = cid, .node = offer.signer, .basis = award.cid, .shards = task::ranges_of(part)};
          Claims claims = claims_of(made, say(part));
          anchor.commitments.push_back(bytes_of(claims.commitment));
          claims_[claims.commitment.cid] = std::move(claims);
        }
        planned_.emplace_back([who = villagers_[1], anchor] { return Act{who, anchor}; });
      }
    }
  }
  [[nodiscard]] bool has_plans() const { return !planned_.empty(); }

  Act next() {
    forget();
    if (has_plans()) {
      const Act act = planned_.front()();
      planned_.pop_front();
      return act;
    }
    switch (below(20)) {
      case 0:
        return lock();
      case 1:
        return one_of_tasks() == nullptr ? lock() : anchor(*one_of_tasks());
      case 2:
        if (const WorkModel::Task* task = one_of_tasks(chance(300)); task != nullptr && chance(150))
          return {chance(900) ? task->publisher : villager(),
                  Refund{.intent = chance(950) ? task->intent.cid : some_cid("no")}};
        return live();
      case 3:
      case 4:
        return live();
      case 5:
        return begin_chain();
      default:
        return go_on();
    }
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool chance(std::uint64_t per_mille) { return below(1000) < per_mille; }
  /// So many that even a second drawing finds enough of them.
  [[nodiscard]] bool is_large() const { return villagers_.size() > 20; }
  const AccountId& villager() { return villagers_[below(villagers_.size())]; }
  template <class T>
  const T* pick(const std::vector<const T*>& some) {
    return some.empty() ? nullptr : some[below(some.size())];
  }
  [[nodiscard]] PublicKey key_of(const AccountId& id) const {
    const auto purse = model_.purses.find(id);
    return purse == model_.purses.end() ? id : purse->second.key;
  }
  /// The current key, but for now and then another one.
  PublicKey signer_of(const AccountId& id) { return chance(15) ? key_of(villager()) : key_of(id); }

  const WorkModel::Task* one_of_tasks(bool is_any = false) {
    std::vector<const WorkModel::Task*> some;
    std::vector<const WorkModel::Task*> open;
    for (const auto& [cid, task] : model_.tasks) {
      some.push_back(&task);
      if (!task.closed && task.paid.size() + task.claims.size() < task.intent.record.shards) open.push_back(&task);
    }
    return is_any || open.empty() || chance(50) ? pick(some) : pick(open);
  }
  const std::pair<const Cid, WorkModel::Job>* one_of_jobs() {
    std::vector<const std::pair<const Cid, WorkModel::Job>*> some;
    std::vector<const std::pair<const Cid, WorkModel::Job>*> open;
    for (const auto& one : model_.jobs) {
      some.push_back(&one);
      if (WorkModel::is_open(one.second)) open.push_back(&one);
    }
    return open.empty() || chance(30) ? pick(some) : pick(open);
  }

  // ---- how the village stays one

  [[nodiscard]] AccountId steward() const {
    AccountId steward = villagers_[0];
    for (const auto& [id, one] : model_.credentials) {
      if (!one.revoked && !one.expires && std::ranges::count(one.roles, Role::steward) > 0) steward = id;
    }
    return steward;
  }

  /// What somebody lacks to work and to verify: a credential, a bond, credits, an attestation.
  Act live() {
    const AccountId who = villager();
    const auto credential = model_.credentials.find(who);
    const auto purse = model_.purses.find(who);
    const bool is_member = credential != model_.credentials.end() && !credential->second.revoked;
    if (!is_member || credential->second.expires || credential->second.roles.size() < 3 || chance(30)) {
      Admit admit{.node = who, .roles = {Role::member, Role::worker, Role::verifier, Role::validator}};
      if (chance(300)) admit.roles.push_back(Role::steward);
      if (chance(300)) admit.owner = chance(500) ? "did:of:one" : "did:of:another";
      return {steward(), admit};
    }
    if (purse == model_.purses.end() || purse->second.balance < 20'000 * scale_)
      return {steward(), Grant{.to = who, .amount = 50'000 * scale_, .reason = ""}};
    if (purse->second.bond < 5'000 * scale_ ? chance(900) : chance(50))
      return {who, Bond{.amount = 100 + below(20'000 * scale_)}};
    if (chance(300)) {
      // Some, or as good as all: who verifies has nothing at stake for it.
      const std::uint64_t free = purse->second.bond - model_.stake_of(who);
      return {who, Unbond{.amount = chance(400) ? std::max(free, std::uint64_t{20})
                                                : 20 + below(chance(500) ? 40 : purse->second.bond + 1)}};
    }
    if (chance(50)) return {who, Rotate{.key = nobody(1'000 + below(1'000'000))}};
    return {who, Attest{.memory_mb = 64 + below(4), .fuel_per_second = 1'000 + below(500), .verifies = chance(950)}};
  }

  Act begin_chain() {
    std::vector<AccountId> validators;
    for (const auto& [id, seat] : model_.council) validators.push_back(id);
    const std::uint64_t length = 1 + below(40);
    Digest link = sha256(big_endian(++count_));
    for (std::uint64_t i = 0; i < length; ++i) {
      const Digest next = sha256(link.view());
      before_[next] = link;
      link = next;
    }
    return {chance(900) ? validators[below(validators.size())] : villager(),
            CommitChain{.tip = link, .length = length}};
  }

  // ---- tasks

  Act lock() {
    const AccountId publisher = villager();
    if (chance(20) && one_of_tasks() != nullptr) {
      const WorkModel::Task& again = *one_of_tasks();
      return {again.publisher, Lock{.intent = bytes_of(again.intent)}};
    }
    task::TaskIntent asked;
    asked.function = some_cid("function");
    asked.inputs = some_cid("inputs");
    asked.shards = static_cast<Shard>(1 + below(chance(100) ? 20 : 4));
    asked.fee = chance(150) ? 1 + below(60) : scale_ * (10 + below(2'000));
    if (chance(20)) asked.fee = below(2) * (~std::uint64_t{0} / 2);
    if (chance(10)) asked.fee = 1'000'000'000 * scale_;
    asked.verifiers = static_cast<std::uint32_t>(chance(800) ? below(5) : below(9));
    if (is_large() && chance(200)) asked.verifiers = static_cast<std::uint32_t>(8 + below(3));
    asked.value = chance(600) ? 0 : below(7'000'000);
    if (chance(15) && asked.verifiers > 0) asked.sample = 500;
    asked.scope.memory_mb = chance(30) ? 66 : 64;
    asked.scope.fuel = 100;
    asked.bid_window_ms = 10;
    asked.limits = {.fetch_ms = pace_ * static_cast<std::uint32_t>(1 + below(20)),
                    .run_ms = pace_ * static_cast<std::uint32_t>(80 + below(60)),
                    .nonce_ms = 1,
                    .reveal_ms = 1,
                    .total_ms = pace_ * static_cast<std::uint32_t>(1 + below(chance(500) ? 400 : 4'000'000))};
    if (chance(30)) asked.limits.total_ms = 20'000'000;
    if (chance(15)) asked.limits.total_ms = 604'800'000 + static_cast<std::uint32_t>(below(2));
    if (chance(5)) asked.limits.run_ms = 604'800'000 + static_cast<std::uint32_t>(below(2));
    if (chance(5)) asked.limits.fetch_ms = 604'800'000 + static_cast<std::uint32_t>(below(2));
    asked.policy = chance(15) ? some_cid("policy") : policy::cid_of(policy::MeshPolicy());
    asked.engine = "engine";
    asked.created_ms = static_cast<std::int64_t>(model_.time_ms) - static_cast<std::int64_t>(below(3'500'000));
    if (chance(40))
      asked.created_ms = static_cast<std::int64_t>(model_.time_ms) + 599'999 + static_cast<std::int64_t>(below(3));
    if (chance(40))
      asked.created_ms = static_cast<std::int64_t>(model_.time_ms) - 3'599'999 - static_cast<std::int64_t>(below(3));
    if (chance(5)) asked.created_ms = -1;
    asked.nonce_tip = sha256(big_endian(++count_));
    return {publisher, Lock{.intent = bytes_of(unsigned_record(asked, signer_of(publisher)))}};
  }

  Act lock(const AccountId& publisher, Shard shards, std::uint32_t verifiers) {
    const task::TaskIntent asked{
        .function = some_cid("function"),
        .inputs = some_cid("inputs"),
        .shards = shards,
        .scope = {.memory_mb = 64, .fuel = 100},
        .fee = verifiers == 0 ? 1U : 10U,
        .verifiers = verifiers,
        .bid_window_ms = 10,
        .limits = {.fetch_ms = 1, .run_ms = 120, .nonce_ms = 1, .reveal_ms = 1, .total_ms = 900'000},
        .policy = policy::cid_of(policy::MeshPolicy()),
        .engine = "engine",
        .nonce_tip = sha256(big_endian(++count_)),
        .created_ms = static_cast<std::int64_t>(model_.time_ms)};
    return {publisher, Lock{.intent = bytes_of(unsigned_record(asked, key_of(publisher)))}};
  }

  receipt::Finding say(Shard shard) {
    const std::uint64_t is = below(100);
    if (is < 80) return finding_of(shard);
    if (is < 90) return finding_of(1'000'000);  // The lie that liars agree upon.
    if (is < 93) return finding_of(shard, 11);
    if (is < 96) return finding_of(2'000'000 + below(5));
    if (is < 97) return finding_of(shard, 100 + below(2));
    return exhausted_finding();
  }
  std::vector<receipt::Finding> say(const std::vector<Shard>& shards) {
    const bool lies = chance(80);
    const bool is_exact = chance(800);
    std::vector<receipt::Finding> findings;
    for (const Shard shard : shards) {
      findings.push_back(is_exact ? finding_of(shard) : say(shard));
      if (lies) findings.back() = finding_of(1'000'000);
    }
    return findings;
  }

  Act anchor(const WorkModel::Task& task) {
    std::vector<Given>& before = given_[task.intent.cid];
    const Given given = !before.empty() && chance(150) ? before[below(before.size())] : give(task);
    const auto& [worker, key, offer, award, awarded] = given;
    std::vector<Shard> free;
    for (const Shard shard : awarded) {
      if (chance(task.claims.contains(shard) || task.paid.contains(shard) ? 20 : 900)) free.push_back(shard);
    }
    if (free.empty()) free.push_back(0);
    if (chance(20)) free.back() = static_cast<Shard>(below(task.intent.record.shards));
    std::ranges::sort(free);
    free.erase(std::ranges::unique(free).begin(), free.end());
    if (before.size() < 8) before.push_back(given);

    Anchor anchor{.offer = bytes_of(offer), .award = bytes_of(award)};
    const std::size_t first = free.size() > 1 && chance(400) ? 1 + below(free.size() - 1) : free.size();
    for (const auto& part : {std::vector(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(first)),
                             std::vector(free.begin() + static_cast<std::ptrdiff_t>(first), free.end())}) {
      if (part.empty()) continue;
      receipt::Commitment made{
          .intent = award.record.intent, .node = key, .basis = award.cid, .shards = task::ranges_of(part)};
      if (chance(10)) made.basis = some_cid("another-award");
      if (chance(10)) made.worker = some_cid("worker");
      Claims claims = claims_of(made, say(part));
      if (chance(10)) {  // In a form that covers nothing.
        made.shards.insert(made.shards.begin(), {1 << 20, 1});
        claims.commitment = unsigned_record(made, key);
      }
      anchor.commitments.push_back(bytes_of(claims.commitment));
      if (chance(10)) anchor.commitments.push_back(bytes_of(claims.commitment));
      claims_[claims.commitment.cid] = std::move(claims);
    }
    return {worker, std::move(anchor)};
  }

  /// An offer and the award on it.
  struct Given {
    AccountId worker;
    PublicKey key;
    Signed<market::ComputeOffer> offer;
    Signed<market::Award> award;
    std::vector<Shard> awarded;
  };
  Given give(const WorkModel::Task& task) {
    AccountId worker = villager();
    if (worker == task.publisher && chance(900)) worker = villager();
    const PublicKey key = signer_of(worker);
    std::vector<Shard> awarded;
    const Shard all = task.intent.record.shards;
    const auto first = static_cast<Shard>(all > 40 ? below(all - 30) : 0);
    for (Shard i = first; i < std::min(all, first + 30); ++i) {
      const bool is_taken = task.claims.contains(i) || task.paid.contains(i);
      if (chance(is_taken ? 20 : 850)) awarded.push_back(i);
    }
    if (awarded.empty()) awarded.push_back(0);
    market::ComputeOffer offered{.intent = task.intent.cid,
                                 .cost = chance(20) ? task.fee() + 1 : below(task.fee() + 1),
                                 .capacity = static_cast<std::uint32_t>(chance(20) ? below(2) * 5'000 : 1 + below(3)),
                                 .eta_ms = chance(500) ? 10'000 : 1 + below(200),
                                 .valid_ms = 1'000};
    if (chance(10)) offered.intent = some_cid("another");
    if (chance(10)) offered.eta_ms = chance(500) ? 0 : ~std::uint64_t{0};
    const auto offer = unsigned_record(offered, chance(20) ? key_of(villager()) : key);
    market::Award given{.intent = task.intent.cid,
                        .roster = some_cid("roster"),
                        .offer = chance(20) ? some_cid("offer") : offer.cid,
                        .shards = task::ranges_of(awarded),
                        .given_ms = model_.time_ms - std::min(model_.time_ms, below(chance(500) ? 10 : 4'000))};
    if (chance(20)) given.given_ms.reset();
    if (chance(20)) given.given_ms = model_.time_ms + below(1'000);
    if (chance(15)) given.shards.push_back({awarded.back(), 1});
    if (chance(10)) given.intent = some_cid("no-task");
    PublicKey by = key_of(task.publisher);
    if (chance(40)) by = chance(500) ? task.intent.signer : key_of(villager());
    return {worker, key, offer, unsigned_record(given, by), awarded};
  }

  // ---- works

  Act go_on() {
    const auto* one = one_of_jobs();
    if (one == nullptr) return one_of_tasks() == nullptr ? lock() : anchor(*one_of_tasks());
    const auto& [cid, job] = *one;
    const bool is_known = claims_.contains(cid) && model_.tasks.contains(job.commitment.record.intent);
    if (!is_known || job.rounds.empty()) return dispute(cid, job);
    switch (below(16)) {
      case 0:
        return time_out(cid, job);
      case 1:
        return dispute(cid, job);
      case 2:
      case 3:
      case 4:
      case 5: {
        // A verifier by itself.
        const WorkModel::Round& round = job.rounds.back();
        const std::vector<AccountId> waiting = awaited(job);
        if (waiting.empty() && round.weights.empty()) return settle(cid, job);
        const AccountId who = waiting.empty() || chance(60) ? someone(round) : waiting[below(waiting.size())];
        Anchor anchor{.commitments = {bytes_of(claims_for(cid, job, who).commitment)}};
        return {chance(20) ? villager() : who, std::move(anchor)};
      }
      default:
        return settle(cid, job);
    }
  }

  AccountId someone(const WorkModel::Round& round) {
    if (round.weights.empty() || chance(200)) return villager();
    return std::next(round.weights.begin(), static_cast<std::ptrdiff_t>(below(round.weights.size())))->first;
  }
  /// Who has a seat in the last drawing and has not committed.
  [[nodiscard]] std::vector<AccountId> awaited(const WorkModel::Job& job) const {
    const std::set<AccountId> who = WorkModel::open_seats(job.rounds.back(), model_.time_of_parent());
    return {who.begin(), who.end()};
  }

  /// Shards on which somebody has a seat and to which it has not committed.
  [[nodiscard]] std::vector<Shard> seated_on(const WorkModel::Job& job, const AccountId& who) const {
    const WorkModel::Round& round = job.rounds.back();
    std::vector<Shard> seated;
    for (const Shard shard : job.shards) {
      const std::vector<AccountId> seats = WorkModel::seats(round, shard, model_.time_of_parent());
      if (std::ranges::count(seats, who) > 0 && round.vote(who, shard) == nullptr) seated.push_back(shard);
    }
    return seated;
  }

  const Claims& claims_for(const Cid& cid, const WorkModel::Job& job, const AccountId& who) {
    std::vector<Shard> shards = seated_on(job, who);
    if (chance(50)) {
      shards.clear();
      for (const Shard shard : job.shards) {
        if (std::ranges::count(job.rounds.back().order.at(shard), who) > 0) shards.push_back(shard);
      }
    }
    if (is_large() && chance(200)) {  // Where others have the seats, and it might come after them.
      const std::vector<Shard> seated = seated_on(job, who);
      shards.clear();
      for (const Shard shard : job.shards) {
        if (std::ranges::count(job.rounds.back().order.at(shard), who) > 0 && std::ranges::count(seated, shard) == 0)
          shards.push_back(shard);
      }
    }
    if (chance(20)) shards = job.shards;
    if (chance(40) && shards.size() > 1)
      shards.erase(shards.begin() + static_cast<std::ptrdiff_t>(below(shards.size())));
    if (shards.empty()) shards = chance(500) ? job.shards : std::vector<Shard>{0};
    return claims_for(cid, job, who, shards);
  }

  const Claims& claims_for(const Cid& cid, const WorkModel::Job& job, const AccountId& who,
                           const std::vector<Shard>& shards) {
    const WorkModel::Round& round = job.rounds.back();
    receipt::Commitment made{.intent = job.commitment.record.intent,
                             .node = signer_of(who),
                             .basis = round.block,
                             .worker = cid,
                             .shards = task::ranges_of(shards)};
    if (chance(10)) made.basis = chance(500) ? some_cid("block") : job.rounds.front().block;
    if (chance(10)) made.intent = some_cid("intent");
    if (chance(10)) made.worker = chance(500) ? some_cid("work") : model_.jobs.begin()->first;
    if (chance(5)) made.worker.reset();
    Claims claims = claims_of(made, say(shards));
    if (chance(30)) {  // Who copies knows the root and nothing beneath it.
      made.root = job.commitment.record.root;
      claims.commitment = unsigned_record(made, made.node);
    }
    if (chance(10)) {
      made.shards.insert(made.shards.begin(), {1 << 20, 1});
      claims.commitment = unsigned_record(made, made.node);
    }
    const Cid name = claims.commitment.cid;
    return claims_[name] = std::move(claims);
  }

  std::optional<Bytes> verification(const Cid& commitment, const Claims& worker) {
    const auto claims = claims_.find(commitment);
    if (claims == claims_.end()) return {};
    if (!std::ranges::includes(worker.shards, claims->second.shards)) return {};
    auto made = verification_of(claims->second, worker);
    if (chance(15)) made.record.receipt = some_cid("receipt");
    if (chance(15)) made.record.commitment = some_cid("commitment");
    if (chance(15)) made.record.key = {};
    return bytes_of(unsigned_record(made.record, chance(15) ? key_of(villager()) : made.signer));
  }

  Act settle(const Cid& cid, const WorkModel::Job& job) {
    const Claims worker = claims_.at(cid);
    Settle settle{.commitment = cid};
    const bool all_at_once = chance(400);
    std::vector<Cid> voters;
    for (const WorkModel::Round& round : job.rounds) {
      for (const WorkModel::Vote& vote : round.votes) {
        if (!vote.revealed || chance(50)) voters.push_back(vote.commitment.cid);
        if (chance(20)) settle.commitments.push_back(bytes_of(vote.commitment));
      }
    }
    if (job.phase != WorkPhase::revealed || chance(15)) {
      for (const AccountId& who : awaited(job)) {
        if (!chance(all_at_once ? 990 : 300)) continue;
        if (chance(40)) {
          for (const Shard shard : seated_on(job, who)) {
            const Claims& claims = claims_for(cid, job, who, {shard});
            settle.commitments.push_back(bytes_of(claims.commitment));
            voters.push_back(claims.commitment.cid);
          }
          continue;
        }
        const Claims& claims = claims_for(cid, job, who);
        settle.commitments.push_back(bytes_of(claims.commitment));
        voters.push_back(claims.commitment.cid);
      }
    }
    const bool is_ready = job.phase == WorkPhase::drawn &&
                          WorkModel::open_seats(job.rounds[0], model_.time_of_parent(), model_.height).empty();
    if (job.receipt ? chance(40) : is_ready ? chance(700) : chance(40)) {
      auto receipt = receipt_of(worker);
      if (chance(15)) receipt.record.key = {};
      if (chance(15)) receipt.record.commitment = some_cid("commitment");
      receipt = unsigned_record(receipt.record, chance(15) ? key_of(villager()) : receipt.signer);
      settle.receipt = bytes_of(receipt);
      if (job.rounds[0].seats == 0 ? chance(850) : chance(10)) {
        verification::Verdict verdict{.intent = job.commitment.record.intent,
                                      .shards = job.commitment.record.shards,
                                      .decision = verification::Decision::unverified,
                                      .receipt = receipt.cid};
        if (chance(30)) verdict.receipt = some_cid("receipt");
        if (chance(30)) verdict.decision = verification::Decision::accepted;
        if (chance(30)) verdict.intent = some_cid("intent");
        if (chance(30)) verdict.shards = {{0, 1'000}};
        const WorkModel::Task& task = model_.tasks.at(job.commitment.record.intent);
        PublicKey by = key_of(task.publisher);
        if (chance(60)) by = chance(500) ? task.intent.signer : key_of(villager());
        settle.verdict = bytes_of(unsigned_record(verdict, by));
      }
    }
    const bool can_reveal = job.receipt.has_value() || settle.receipt.has_value();
    for (const Cid& voter : voters) {
      if (!chance(can_reveal ? 600 : 20)) continue;
      if (auto made = verification(voter, worker)) settle.verifications.push_back(std::move(*made));
    }
    if (!settle.receipt && settle.commitments.empty() && settle.verifications.empty())
      return chance(500) ? time_out(cid, job) : dispute(cid, job);
    if (chance(10)) settle.commitment = some_cid("work");
    return {villager(), std::move(settle)};
  }

  Act time_out(const Cid& cid, const WorkModel::Job& job) {
    std::set<AccountId> failed;
    for (const AccountId& one : awaited(job)) {
      if (chance(600)) failed.insert(one);
    }
    if (failed.empty() || chance(50)) failed.insert(someone(job.rounds.back()));
    AccountId by = chance(800) ? job.worker : villager();
    if (chance(300)) by = model_.tasks.at(job.commitment.record.intent).publisher;
    return {by, Timeout{.commitment = chance(980) ? cid : some_cid("work"), .failed = {failed.begin(), failed.end()}}};
  }

  Act dispute(const Cid& cid, const WorkModel::Job& job) {
    const bool fits = job.phase == WorkPhase::revealed;
    if (!fits && !chance(200)) return anchor_or_lock();
    if (fits && chance(600)) return settle(cid, job);
    return {villager(), Dispute{.commitment = chance(980) ? cid : some_cid("work"), .reason = ""}};
  }
  Act anchor_or_lock() {
    const WorkModel::Task* task = one_of_tasks();
    return task == nullptr || chance(300) ? lock() : anchor(*task);
  }

  /// What nobody asks for any more.
  void forget() {
    if (claims_.size() > 20'000) {
      std::set<Cid> used;
      for (const auto& [cid, job] : model_.jobs) {
        used.insert(cid);
        for (const WorkModel::Round& round : job.rounds) {
          for (const WorkModel::Vote& vote : round.votes) used.insert(vote.commitment.cid);
        }
      }
      std::erase_if(claims_, [&](const auto& one) { return !used.contains(one.first); });
    }
    if (given_.size() > 2'000)
      std::erase_if(given_, [&](const auto& one) { return !model_.tasks.contains(one.first); });
  }

  std::mt19937_64& random_;
  const WorkModel& model_;
  std::vector<AccountId> villagers_;
  std::uint64_t scale_;
  std::uint32_t pace_;
  std::uint64_t count_ = 0;
  std::map<Cid, std::vector<Given>> given_;  ///< by the intent
  std::deque<std::function<Act()>> planned_;
  std::map<Cid, Claims> claims_;  ///< by commitment
  std::map<Digest, Digest> before_;  ///< links of chains
};

}  // namespace mesh::ledger
