// Who works on what: awards as leases, second leases, and what workers commit to.
#include "node/job.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace mesh::node {

namespace {

using receipt::Commitment;
using receipt::ExecutionReceipt;

constexpr std::uint32_t max_in_verification = 16'384;  // Committed shards without a verdict: then no more are awarded.
constexpr std::uint32_t max_lease = 2048;
constexpr std::uint32_t max_paid_lease = 4096;
constexpr std::uint32_t lease_growth = 4;  // From one lease to the next, at most.
constexpr std::uint32_t paid_lease_growth = 16;
// What a worker has in hand is worth a part of the time that the job has taken so far: a job that is long under way needs
// few messages, and one that may end soon is shared evenly.
constexpr std::int64_t lease_part = 8;
constexpr Duration least_lease = milliseconds(100);
constexpr Duration most_lease = seconds(2);
constexpr std::size_t max_run_here = 1024;  // Shards that a node alone has queued at a time.
// So long no commitment, or so many usual gaps between them: a worker lags behind the others.
constexpr Duration lag_at_least = seconds(1);
constexpr std::int64_t lag_factor = 4;

}  // namespace

// ---------------------------------------------------------------------------------------------------- awards

bool Job::may_work(Instant now, const NodeId& node, const Worker& worker, bool also_penalised) const {
  if (!worker.excluded.empty() || !around_.peers.connected(node)) return false;
  if (is_paid() && covered_by_bond(node, worker) == 0) return false;
  return also_penalised || (now >= worker.avoid_until && !around_.peers.penalised(now, node));
}

void Job::award_waiting(Instant now, Outbox& out) {
  if (!field_ || runs_here()) return;
  if (is_paid() && (!around_.ledger->is_known() || !payment_->is_locked() || payment_->escrow->closed)) return;
  // The ledger pays whoever anchors first: a second worker would run paid shards for nothing.
  if (waiting_.empty()) return is_paid() ? void() : award_again(now, out);
  std::uint32_t in_verification = 0;
  for (const auto& [cid, batch] : batches_) in_verification += batch.open;
  if (in_verification >= max_in_verification && !sampled()) return;  // A sample is drawn when all are committed to.

  struct Free {
    NodeId node;
    Worker* worker;
    std::uint32_t room;
  };
  std::vector<Free> free;
  std::uint64_t capacity = 0;  // Of all who may work, busy or not.
  const auto gather = [&](bool also_penalised) {
    free.clear();
    capacity = 0;
    for (auto& [node, worker] : workers_) {
      if (!may_work(now, node, worker, also_penalised)) continue;
      capacity += worker.capacity;
      const auto outstanding = static_cast<std::uint32_t>(worker.leased.size());
      // Topped up when half is done: not for every single shard, and before it runs dry.
      if (outstanding * 2 > worker.lease_size) continue;
      std::uint32_t room = worker.lease_size - outstanding;
      if (is_paid()) room = static_cast<std::uint32_t>(std::min<std::uint64_t>(room, covered_by_bond(node, worker)));
      free.push_back({node, &worker, room});
    }
  };
  gather(false);
  if (free.empty()) {
    // Nobody in good standing is left at all: those that only failed to answer are better than nobody.
    const bool any_good = std::ranges::any_of(
        workers_, [&](const auto& entry) { return may_work(now, entry.first, entry.second, false); });
    if (!any_good) gather(true);
  }
  if (free.empty()) return;
  std::ranges::sort(free, {}, [](const Free& entry) { return entry.worker->rank; });
  const std::uint64_t to_share = waiting_.size();
  for (const Free& entry : free) {
    if (waiting_.empty()) break;
    // Of what is left nobody gets more than his share, past half a lease of known worth: so all end at about the same
    // moment, however they differ in speed (guided self-scheduling, Polychronopoulos and Kuck 1987).
    const std::uint64_t share = (to_share * entry.worker->capacity + capacity - 1) / capacity;
    const std::uint64_t half = entry.worker->per_shard ? (entry.worker->lease_size + 1) / 2 : 1;
    const std::uint64_t enough = std::max(share, half);
    const std::uint64_t outstanding = entry.worker->leased.size();
    if (outstanding >= enough || (outstanding >= entry.worker->capacity && outstanding * 2 > enough)) continue;
    const auto count =
        static_cast<std::uint32_t>(std::min<std::uint64_t>({entry.room, enough - outstanding, waiting_.size()}));
    if (count == 0) continue;
    award(now, entry.node, {waiting_.begin(), std::next(waiting_.begin(), count)}, out);
  }
}

void Job::award(Instant now, const NodeId& to, const std::vector<std::uint32_t>& shards, Outbox& out) {
  market::Award given{.intent = id(),
                      .roster = field_->roster.cid,
                      .offer = field_->offer_of(to)->cid,
                      .lease = leases_,
                      .shards = task::ranges_of(shards)};
  if (is_paid()) {
    given.given_ms = around_.ledger->wall_ms(now);
    out.require_durable();  // It is worth money: a crash must not take it back.
  }
  const Signed<market::Award> award = sign(std::move(given));
  keep("award", award, out);
  const Status applied = apply_award(award);
  MESH_CHECK(applied.has_value(), "own-award-applies");
  workers_.at(to).progress = now;
  for (const std::uint32_t shard : shards) {
    if (!shards_[shard].second_award) shards_[shard].since = now;
  }
  out.notify({.kind = "job.award",
              .job = id(),
              .peer = to,
              .shards = award.record.shards,
              .phase = "running",
              .text = std::to_string(shards.size()) + (shards.size() == 1 ? " shard" : " shards")});
  out.send(to, Channel::award, award.envelope);
  give_keys(to, shards, out);
}

void Job::award_again(Instant now, Outbox& out) {
  for (auto& [node, idle] : workers_) {
    if (!idle.leased.empty() || !may_work(now, node, idle, false)) continue;
    // Of those that lag: the one that will take longest.
    const std::pair<const NodeId, Worker>* slowest = nullptr;
    Duration longest{0};
    for (const auto& entry : workers_) {
      const Worker& worker = entry.second;
      if (entry.first == node || worker.leased.empty()) continue;
      const Duration silent = now - worker.progress;
      const auto left = static_cast<std::int64_t>(worker.leased.size());
      const Duration expected = worker.per_shard ? *worker.per_shard * left : Duration{0};
      const bool lags = silent > std::max({lag_at_least, usual_gap_ * lag_factor, expected * 2}) ||
                        (left > 1 && expected > std::max(lag_at_least * 2, usual_gap_ * lag_factor));
      if (lags && std::max(silent, expected) > longest) {
        longest = std::max(silent, expected);
        slowest = &entry;
      }
    }
    if (slowest == nullptr) return;
    std::vector<std::uint32_t> shards;
    for (const std::uint32_t shard : slowest->second.leased) {
      if (!shards_[shard].second_award && shards_[shard].worker == slowest->first) shards.push_back(shard);
    }
    // Those that it will come to last.
    const std::size_t half = std::min<std::size_t>((shards.size() + 1) / 2, idle.lease_size);
    shards.erase(shards.begin(), shards.end() - static_cast<std::ptrdiff_t>(half));
    if (shards.empty()) return;
    award(now, node, shards, out);
  }
}

Status Job::apply_award(const Signed<market::Award>& award) {
  if (!field_ || award.signer != intent_.signer || award.record.roster != field_->roster.cid)
    return fail(ErrorCode::invalid, "an award of another roster");
  const Signed<market::ComputeOffer>* offer = field_->offer(award.record.offer);
  if (offer == nullptr) return fail(ErrorCode::invalid, "an award for an offer that is not in the roster");
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(award.record.shards, intent_.record.shards));
  Worker& worker = workers_.at(offer->signer);
  for (const std::uint32_t number : shards) {
    Shard& shard = shards_[number];
    if (shard.state == ShardState::finished) continue;
    if (shard.state == ShardState::leased && shard.worker != offer->signer && !shard.second_award) {
      shard.second_award = award.cid;
      worker.leased.insert(number);
      continue;
    }
    if (shard.state == ShardState::leased) end_leases(number);
    if (shard.state == ShardState::committed) leave_batch(number);
    waiting_.erase(number);
    shard.state = ShardState::leased;
    shard.worker = offer->signer;
    shard.award = award.cid;
    shard.second_award.reset();
    ++shard.attempts;
    worker.leased.insert(number);
  }
  leases_ = std::max(leases_, award.record.lease + 1);
  awards_.emplace(award.cid, award);
  return {};
}

void Job::end_leases(std::uint32_t number) {
  Shard& shard = shards_[number];
  workers_.at(shard.worker).leased.erase(number);
  if (shard.second_award)
    workers_.at(field_->offer(awards_.at(*shard.second_award).record.offer)->signer).leased.erase(number);
}

void Job::run_here(Instant now, Outbox& out) {
  // Kept topped up from on_executed; the queue is shared with everything else that this node runs.
  std::vector<std::uint32_t> shards;
  for (const std::uint32_t shard : waiting_) {
    if (shards.size() >= max_run_here) break;
    shards.push_back(shard);
  }
  around_.executions.request(now,
                             {.intent = id(),
                              .function = intent_.record.function,
                              .inputs = intent_.record.inputs,
                              .shards = std::move(shards),
                              .scope = intent_.record.scope,
                              .fetch_ms = intent_.record.limits.fetch_ms,
                              .holders = {},
                              .sealed = intent_.record.is_sealed(),
                              .keys = {}},
                             Executions::Purpose::work, out);
}

void Job::on_executed(Instant now, const std::vector<event::ExecutionDone::Shard>& done, Outbox& out) {
  if (ended() || !runs_here()) return;
  std::map<std::uint32_t, const event::ExecutionDone::Output*> outputs;
  for (const event::ExecutionDone::Shard& run : done) {
    if (run.shard >= shards_.size() || shards_[run.shard].state != ShardState::waiting) continue;
    if (run.result) {
      outputs.emplace(run.shard, &*run.result);
      continue;
    }
    tell(run.shard, "could not run here: " + run.result.error().message);
    if (++shards_[run.shard].attempts >= max_attempts) {
      return end(now, JobPhase::failed,
                 "run-failed: shard " + std::to_string(run.shard) + " could not be run: " + run.result.error().message,
                 out);
    }
  }
  if (!outputs.empty()) {
    std::vector<std::uint32_t> shards;
    std::vector<receipt::Finding> findings;
    std::vector<Digest> digests;
    ExecutionReceipt receipt{.intent = id(), .award = field_->roster.cid};
    for (const auto& [number, output] : outputs) {
      shards.push_back(number);
      findings.push_back(output->finding);
      digests.push_back(receipt::digest_of(output->finding));
      receipt.usage.add(output->summary);
    }
    Commitment made{.intent = id(),
                    .node = around_.signer.id(),
                    .basis = receipt.award,
                    .worker = {},
                    .shards = task::ranges_of(shards),
                    .root = {}};
    receipt.key = receipt::salt_key(around_.signer, made);
    receipt.findings = receipt::columns_of(findings);
    made.root = receipt::root_of(id(), around_.signer.id(), receipt.key, shards, digests);
    Signed<Commitment> commitment = sign(std::move(made));
    const Cid batch = receipt.commitment = commitment.cid;
    keep("commitment", commitment, out);
    Status applied = apply_commitment(std::move(commitment));
    MESH_CHECK(applied.has_value(), "own-commitment-applies");
    Signed<ExecutionReceipt> signed_receipt = sign(std::move(receipt));
    keep("receipt", signed_receipt, out);
    applied = apply_receipt(std::move(signed_receipt));
    MESH_CHECK(applied.has_value(), "own-receipt-applies");
    judge(now, batch, out);
  }
  if (!ended()) run_here(now, out);
  advance(now, out);
}

void Job::return_shards(Instant now, const std::vector<std::uint32_t>& shards, const std::string& why, Outbox& out) {
  for (const std::uint32_t number : shards) {
    Shard& shard = shards_[number];
    if (shard.state == ShardState::finished || shard.state == ShardState::waiting) continue;
    tell(number, why);
    if (shard.state == ShardState::leased) end_leases(number);
    if (shard.state == ShardState::committed) leave_batch(number);
    shard.state = ShardState::waiting;
    shard.since = now;
    shard.second_award.reset();
    waiting_.insert(number);
    if (shard.attempts >= max_attempts) {
      return end(now, JobPhase::failed,
                 "too-many-attempts: shard " + std::to_string(number) + " failed with " + std::to_string(max_attempts) +
                     " workers; the last: " + why,
                 out);
    }
  }
  if (shards.empty()) return;
  out.notify({.kind = "job.shard",
              .job = id(),
              .peer = shards_[shards.front()].worker,
              .shards = task::ranges_of(shards),
              .phase = "running",
              .text = why + "; awarded again"});
}

// ---------------------------------------------------------------------------------------------------- commitments

bool Job::is_open(const Batch& batch, std::uint32_t shard) const {
  return shards_[shard].state == ShardState::committed && shards_[shard].commitment == batch.commitment.cid;
}

std::vector<std::uint32_t> Job::open_shards(const Batch& batch) const {
  std::vector<std::uint32_t> open;
  std::ranges::copy_if(batch.shards, std::back_inserter(open),
                       [&](std::uint32_t shard) { return is_open(batch, shard); });
  return open;
}

void Job::on_commitment(Instant now, const Signed<Commitment>& commitment, Outbox& out) {
  if (ended()) return send_outstanding(now, commitment.signer, out);
  // Sent twice, or for a draw that was replaced: nothing wrong with it, and nothing to do.
  if (seen_commitments_.contains(commitment.cid) ||
      (past_draws_.contains(commitment.record.basis) && !draws_.contains(commitment.record.basis)))
    return;
  const NodeId from = commitment.signer;
  const Cid about = commitment.cid;
  const bool of_worker = !commitment.record.worker;
  Status applied = of_worker ? apply_commitment(commitment) : apply_verifier_commitment(commitment);
  if (!applied) return refuse(from, about, applied.error(), out);
  heard(from);
  if (of_worker) {
    const std::vector<task::ShardRange> counted = task::ranges_of(open_shards(batches_.at(about)));
    out.journal(id(), "counts", dagcbor::encode(record::to_value(counted)));
  }
  keep(of_worker ? "commitment" : "verifier-commitment", commitment, out);
  if (!of_worker) {
    Batch& batch = batches_.at(*commitment.record.worker);
    for (Panel& panel : batch.panels) {
      const auto seat = panel.seats.find(from);
      if (seat != panel.seats.end() && seat->second.commitment == about) seat->second.since = now;
    }
    ask_for_reveal(now, batch, out);
    forward_receipt(now, batch, out);  // If the worker has revealed: these are new seats.
    return advance(now, out);
  }
  Worker& worker = workers_.at(from);
  Batch& batch = batches_.at(about);
  const Duration taken = now - worker.progress;
  // Of what comes in the same moment the first tells how long it took.
  if (taken > Duration{0}) size_lease(now, worker, taken, batch.shards.size());
  worker.progress = now;
  batch.since = now;
  out.notify(
      {.kind = "job.committed",
       .job = id(),
       .peer = from,
       .shards = commitment.record.shards,
       .phase = "verifying",
       .text = std::to_string(batch.shards.size()) + (batch.shards.size() == 1 ? " shard" : " shards") + " run"});
  ask_for_reveal(now, batch, out);
  advance(now, out);
}

void Job::size_lease(Instant now, Worker& worker, Duration taken, std::size_t shards) {
  worker.per_shard = smoothed(worker.per_shard, taken / static_cast<std::int64_t>(shards));
  usual_gap_ = smoothed(usual_gap_, taken);
  // Of a paid task each lease is a work of its own, with verifiers and transactions: they are few from the beginning.
  const Duration worth = is_paid() ? most_lease : std::clamp((now - started_) / lease_part, least_lease, most_lease);
  // Half a lease in half the least time says little of how long more of it would take.
  const bool at_once = taken < least_lease / 2 && shards * 2 >= worker.lease_size;
  const std::uint32_t most = is_paid() ? max_paid_lease : max_lease;
  const std::uint32_t growth = is_paid() ? paid_lease_growth : lease_growth;
  const std::int64_t wanted = at_once ? most : worth / std::max(*worker.per_shard, Duration(1));
  const std::uint32_t least = 2 * worker.capacity;
  worker.lease_size = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(wanted, least, std::max(least, std::min(most, worker.lease_size * growth))));
}

Status Job::apply_commitment(Signed<Commitment> commitment) {
  if (!field_) return fail(ErrorCode::invalid, "unknown-award: nothing is awarded yet");
  Batch batch{.commitment = std::move(commitment)};
  const Cid& cid = batch.commitment.cid;
  const Commitment& committed = batch.commitment.record;
  const NodeId& worker = batch.commitment.signer;
  MESH_LET(batch.shards, receipt::covered(batch.commitment, intent_.record.shards));
  const bool own = worker == intent_.signer && runs_here() && committed.basis == field_->roster.cid;
  if (!own) {
    const auto award = awards_.find(committed.basis);
    if (award == awards_.end())
      return fail(ErrorCode::invalid, "unknown-award: the commitment answers no award of this task");
    const Signed<market::ComputeOffer>* offer = field_->offer(award->second.record.offer);
    if (offer == nullptr || offer->signer != worker)
      return fail(ErrorCode::unauthorised, "not-awarded: the award is another node's");
    MESH_LET(const std::vector<std::uint32_t> awarded,
             task::expand(award->second.record.shards, intent_.record.shards));
    if (!std::ranges::includes(awarded, batch.shards))
      return fail(ErrorCode::unauthorised, "not-awarded: the award does not cover all of these shards");
  }
  // Some may be decided by now, or be another's: whoever commits to a shard first counts.
  // What became of leases since is not in the journal; which shards a commitment counted for is.
  const std::optional<std::vector<std::uint32_t>> restored = std::exchange(restored_counts_, std::nullopt);
  const auto counts = [&](std::uint32_t number) {
    const Shard& shard = shards_[number];
    if (shard.state == ShardState::finished && !planted(Bug::shard_accepted_twice)) return false;
    if (restored) return std::ranges::binary_search(*restored, number);
    if (own) return shard.state == ShardState::waiting;
    if (planted(Bug::shard_accepted_twice) && shard.state == ShardState::finished) return true;
    if (planted(Bug::stale_award_honoured) && shard.state == ShardState::leased) return true;
    return shard.state == ShardState::leased &&
           (shard.award == committed.basis || shard.second_award == committed.basis);
  };
  for (const std::uint32_t number : batch.shards) {
    Shard& shard = shards_[number];
    if (!counts(number)) continue;
    if (shard.state == ShardState::leased) end_leases(number);
    if (shard.state == ShardState::committed) leave_batch(number);
    waiting_.erase(number);
    if (planted(Bug::shard_accepted_twice) && shard.state == ShardState::finished) --decided_.finished;
    shard.state = ShardState::committed;
    shard.worker = worker;
    shard.award = committed.basis;
    shard.second_award.reset();
    shard.commitment = cid;
    ++batch.open;
  }
  if (batch.open == 0) {
    return fail(ErrorCode::conflict,
                "stale-award: none of these shards is leased to this node under this award (any more)");
  }
  seen_commitments_.insert(cid);
  if (!unverified_ && !is_paid()) undrawn_.push_back(cid);
  batches_.emplace(cid, std::move(batch));
  return {};
}

void Job::leave_batch(std::uint32_t number) {
  const auto it = batches_.find(shards_[number].commitment);
  if (it == batches_.end()) return;
  --it->second.open;
  forget_if_done(it->first);
}

void Job::forget_if_done(const Cid& commitment) {
  const auto it = batches_.find(commitment);
  if (it == batches_.end() || it->second.open > 0) return;
  const std::optional<Cid> round = it->second.round;
  const Cid gone = it->first;  // `commitment` may be the very key that goes.
  batches_.erase(it);
  std::erase(undrawn_, gone);
  if (!round || round == current_round_) return;
  const bool in_use = std::ranges::any_of(batches_, [&](const auto& entry) { return entry.second.round == round; });
  if (in_use) return;
  const auto found = rounds_.find(*round);
  if (found == rounds_.end()) return;
  if (found->second.drawn) draws_.erase(found->second.drawn->draw.cid);
  rounds_.erase(found);
}

}  // namespace mesh::node
