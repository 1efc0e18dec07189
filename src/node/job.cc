// A job's life: how it begins, goes on after a restart, runs out of time and ends.
#include "node/job.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "codec/utf8.h"
#include "domain/verification/nonce_chain.h"
#include "node/job_limits.h"

namespace mesh::node {

namespace {

using identity::short_name;
using verification::Decision;

constexpr Duration resend_after = seconds(2);
constexpr Duration away_grace = seconds(3);  // A node that restarts is back within this; then its work moves on.
constexpr Duration watch_every = milliseconds(200);
constexpr Duration remind_worker_after = seconds(10);
constexpr std::size_t max_story_lines = 32;

std::string seconds_text(std::uint64_t ms) {
  return std::to_string(ms / 1000) + "." + std::to_string(ms % 1000 / 100) + " s";
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- creation

Result<std::unique_ptr<Job>> Job::create(const Surroundings& around, Instant now, JobSpec spec, const Digest& entropy,
                                         std::optional<Cid> reduces) {
  if (spec.fee != 0 && around.ledger == nullptr) {
    return fail(ErrorCode::unsupported,
                "a fee of " + std::to_string(spec.fee) +
                    " cannot be paid: this version has no ledger yet, so tasks are free (leave --fee out)");
  }
  const policy::MeshPolicy& policy = around.config.policy;
  if (spec.fee != 0 && spec.sealed.value_or(false))
    return fail(ErrorCode::unsupported, "a task with sealed inputs cannot be paid for yet: leave the fee out");
  if (spec.fee != 0 && spec.sample != task::TaskIntent::everything)
    return fail(ErrorCode::unsupported,
                "a task of which a sample is verified cannot be paid for yet: leave the fee out");
  auto job = std::unique_ptr<Job>(new Job(around));
  job->entropy_ = entropy;
  job->chain_.emplace(around.signer.secret("meshwork/1/publisher-chain", {entropy.view()}),
                      task::max_rounds(spec.shards));
  task::TaskIntent intent{
      .function = spec.function,
      .inputs = spec.inputs,
      .shards = spec.shards,
      .reduce = spec.reduce,
      .reduces = reduces,
      .scope = spec.scope,
      .fee = spec.fee,
      .verifiers = spec.verifiers.value_or(policy.verification_quorum.minimum_verifiers),
      .value = spec.value,
      .sample = spec.sample,
      .bid_window_ms = spec.bid_window_ms == 0 ? policy.scheduling.bid_window_ms : spec.bid_window_ms,
      .limits = spec.limits,
      .policy = around.policy,
      .engine = task::engine_of(around.config.engine, spec.sealed.value_or(false)),
      .nonce_tip = {},
      .owner = around.config.owner,
      .label = spec.label,
      .created_ms = spec.created_ms};
  MESH_TRY(task::validate(intent, policy));
  if (spec.verifiers && *spec.verifiers != 0 && *spec.verifiers < policy.verification_quorum.minimum_verifiers) {
    return fail(ErrorCode::denied, "the policy asks for at least " +
                                       std::to_string(policy.verification_quorum.minimum_verifiers) +
                                       " verifiers, not " + std::to_string(*spec.verifiers) + " (0 = unverified)");
  }
  intent.nonce_tip = job->chain_->link(0);
  job->intent_ = around.signer.sign(std::move(intent));
  job->spec_ = std::move(spec);
  job->unverified_ = job->intent_.record.verifiers == 0;
  if (job->intent_.record.fee != 0) job->payment_.emplace();
  job->shards_.resize(job->intent_.record.shards);
  for (std::uint32_t shard = 0; shard < job->intent_.record.shards; ++shard) job->waiting_.insert(shard);
  job->started_ = now;
  job->window_end_ = now + milliseconds(job->intent_.record.bid_window_ms);
  job->story_.push_back(job->intent_.envelope);
  return job;
}

// ---------------------------------------------------------------------------------------------------- small tools

void Job::tell(std::uint32_t shard, std::string text) {
  std::vector<std::string>& story = stories_[shard];
  if (story.size() < max_story_lines) story.push_back(std::move(text));
}

void Job::note(std::string text, Outbox& out) {
  out.notify({.kind = "job.note", .job = id(), .text = text});
  if (notes_.size() < max_notes) notes_.push_back(std::move(text));
}

void Job::set_phase(JobPhase phase, std::string text, Outbox& out) {
  phase_ = phase;
  out.notify({.kind = "job.phase",
              .job = id(),
              .phase = std::string(enum_names(phase)[static_cast<std::size_t>(phase)]),
              .text = std::move(text)});
}

void Job::refuse(const NodeId& who, const Cid& about, const Error& error, Outbox& out) {
  const bool told = std::ranges::any_of(
      refusals_, [&](const RefusalView& refusal) { return refusal.node == who && refusal.reason == error.message; });
  if (!told && refusals_.size() < max_notes) refusals_.push_back({who, error.message});
  out.notify({.kind = "job.refused", .job = id(), .peer = who, .text = error.message});
  out.send(who, Channel::offer,
           sign(market::Refusal{.intent = id(), .about = about, .reason = utf8_excerpt(error.message, 256)}).envelope);
}

void Job::blame(Instant now, const NodeId& who, const std::string& why, Duration penalty, Outbox& out) {
  around_.peers.penalise(who, why, now + penalty);
  out.notify({.kind = "job.blame", .job = id(), .peer = who, .text = short_name(who) + " " + why});
}

bool Job::away(Instant now, const NodeId& node) const {
  return !around_.peers.connected(node) && around_.peers.away(now, node) >= away_grace;
}

// ---------------------------------------------------------------------------------------------------- life cycle

void Job::start(Instant now, Outbox& out) {
  out.journal(id(), "spec",
              record::encode(Origin{.spec = spec_, .entropy = entropy_, .reduces = intent_.record.reduces}));
  out.require_durable();
  out.confirm(id(), records());
  std::vector<Cid> roots{intent_.record.function, intent_.record.inputs};
  if (intent_.record.reduce) roots.push_back(*intent_.record.reduce);
  out.add({effect::Declare{id(), std::move(roots)}});
  if (is_paid()) {
    out.add({effect::Watch{id()}});
    set_phase(JobPhase::bidding, "locking the fee", out);
  } else {
    set_phase(JobPhase::bidding, "asking for offers", out);
    out.publish(Topic::intents, intent_.envelope);
  }
  advance(now, out);
}

void Job::resume(Instant now, Outbox& out) {
  started_ = now;
  window_end_ = now + milliseconds(intent_.record.bid_window_ms);
  durable_ = records();
  shown_ = decided_;
  for (Shard& shard : shards_) shard.shown = shard.decision.has_value();
  if (ended()) {
    ended_at_ = now;
    return;
  }
  if (around_.is_former) {
    return end(now, JobPhase::failed,
               "key-rotated: this node has another key now, and nobody takes more of the one that this task was signed "
               "with; run it again",
               out);
  }
  std::vector<Cid> judged;
  for (const auto& [cid, batch] : batches_) {
    if (batch.open == 0) judged.push_back(cid);
  }
  for (const Cid& cid : judged) forget_if_done(cid);
  for (auto& [node, worker] : workers_) worker.progress = now;
  for (Shard& shard : shards_) shard.since = now;
  for (auto& [cid, batch] : batches_) {
    batch.since = now;
    for (Panel& panel : batch.panels) {
      for (auto& [node, seat] : panel.seats) seat.since = now;
    }
  }
  for (auto& [cid, round] : rounds_) round.since = now;
  std::vector<Cid> roots{intent_.record.function, intent_.record.inputs};
  if (intent_.record.reduce) roots.push_back(*intent_.record.reduce);
  out.add({effect::Declare{id(), std::move(roots)}});
  set_phase(field_ ? JobPhase::running : JobPhase::bidding, "resumed after a restart", out);
  if (!field_ && !is_paid()) out.publish(Topic::intents, intent_.envelope);  // A paid one's, once its lock is seen.
  if (runs_here()) run_here(now, out);
  // What is outstanding goes out as each peer comes up (on_peer_up).
  advance(now, out);
}

Status Job::restore(std::string_view kind, ByteView bytes) {
  const Cid& federation = around_.signer.federation();
  if (kind == "end") {
    MESH_LET(const dagcbor::Value value, dagcbor::decode(bytes));
    const dagcbor::Value* phase = value.find("phase");
    const dagcbor::Value* failure = value.find("failure");
    if (phase == nullptr || failure == nullptr)
      return fail(ErrorCode::storage, "the record of the job's end is damaged");
    MESH_TRY(record::from_value(*phase, phase_));
    MESH_TRY(record::from_value(*failure, failure_));
    if (const dagcbor::Value* result = value.find("result")) {
      reduced_result_.emplace();
      MESH_TRY(record::from_value(*result, *reduced_result_));
    }
    return {};
  }
  if (kind == "counts") {
    MESH_LET(const dagcbor::Value value, dagcbor::decode(bytes));
    std::vector<task::ShardRange> ranges;
    MESH_TRY(record::from_value(value, ranges));
    MESH_LET(restored_counts_, task::expand(ranges, intent_.record.shards));
    return {};
  }
  if (kind == "claim" || kind == "work") return restore_payment(kind, bytes);
  if (is_proof(kind)) return restore_proof(kind, bytes);
  MESH_LET(const Envelope envelope, record::decode<Envelope>(bytes));
  const auto apply = [&]<class T>(Status (Job::*function)(Signed<T>)) -> Status {
    MESH_LET(Signed<T> record, open<T>(envelope, federation));
    return (this->*function)(std::move(record));
  };
  const auto apply_const = [&]<class T>(Status (Job::*function)(const Signed<T>&)) -> Status {
    MESH_LET(Signed<T> record, open<T>(envelope, federation));
    return (this->*function)(record);
  };
  story_.push_back(envelope);
  if (kind == "offer") {
    MESH_LET(Signed<market::ComputeOffer> offer, open<market::ComputeOffer>(envelope, federation));
    roster_offers_.push_back(std::move(offer));
    return {};
  }
  if (kind == "roster") {
    MESH_LET(Signed<market::Roster> roster, open<market::Roster>(envelope, federation));
    return apply_roster(std::move(roster), std::move(roster_offers_));
  }
  if (kind == "award") return apply_const(&Job::apply_award);
  if (kind == "commitment") return apply(&Job::apply_commitment);
  if (kind == "open") return apply(&Job::apply_open);
  if (kind == "reveal") return apply(&Job::apply_reveal);
  if (kind == "draw") return apply_const(&Job::apply_draw);
  if (kind == "verifier-commitment") return apply(&Job::apply_verifier_commitment);
  if (kind == "substitution") return apply_const(&Job::apply_substitution);
  if (kind == "extension") return apply_const(&Job::apply_extension);
  if (kind == "receipt") return apply(&Job::apply_receipt);
  if (kind == "verification") return apply(&Job::apply_verification);
  if (kind == "verdict") {
    MESH_LET(const Signed<verification::Verdict> verdict, open<verification::Verdict>(envelope, federation));
    return apply_verdict(verdict.record);
  }
  return fail(ErrorCode::storage, "unknown journal record \"" + std::string(kind) + "\"");
}

// ---------------------------------------------------------------------------------------------------- time

void Job::watch_time(Instant now, Outbox& out) {
  if (now < next_watch_) return;
  next_watch_ = now + watch_every;
  const task::PhaseLimits& limits = intent_.record.limits;
  if (now - started_ >= milliseconds(limits.total_ms)) {
    return end(now, JobPhase::failed,
               "total-timeout: " + std::to_string(decided_.finished) + " of " + std::to_string(shards_.size()) +
                   " shards were done within " + seconds_text(limits.total_ms),
               out);
  }
  if (is_paid()) {
    watch_payment(now, out);
    if (ended()) return;
  }
  if (!field_ || runs_here()) return;
  for (auto& [node, worker] : workers_) {
    if (worker.leased.empty()) continue;
    const bool gone = away(now, node);
    if (!gone && now - worker.progress < work_limit()) {
      // Its award or its answer may have been lost; a long run is no offence.
      const Instant last = std::max(worker.progress, worker.reminded.value_or(worker.progress));
      if (now - last >= remind_worker_after && around_.peers.connected(node)) send_outstanding(now, node, out);
      continue;
    }
    worker.avoid_until = now + unanswered_penalty;
    if (gone) worker.avoid_until = now;  // Away is no offence: back, it may work again.
    const std::string why =
        "worker " + short_name(node) +
        (gone ? " is gone"
              : " gave no result within " + seconds_text(limits.fetch_ms + std::uint64_t{limits.run_ms}) +
                    " (worker-timeout)");
    give_up_leases(now, node, why, out);
    if (ended()) return;
  }

  if (current_round_) {
    draw_round(now, out);  // If its time is over and there are nonces enough: before the others are asked again.
  }
  if (current_round_) {
    Round& round = rounds_.at(*current_round_);
    if (now - round.since >= milliseconds(limits.nonce_ms)) {
      round.since = now;
      for (const Signed<market::ComputeOffer>& offer : field_->offers) {
        if (!round.reveals.contains(offer.signer)) {
          send_roster(offer.signer, out);
          send_round(round, offer.signer, out);
        }
      }
    }
  }

  if (is_paid()) return;  // The ledger's clock counts.
  std::vector<Cid> cids;
  for (const auto& [cid, batch] : batches_) cids.push_back(cid);
  for (const Cid& cid : cids) {
    watch_batch(now, cid, out);
    if (ended()) return;
  }
}

bool Job::leased_to(std::uint32_t shard, const NodeId& node) const {
  const auto worker = workers_.find(node);
  return worker != workers_.end() && worker->second.leased.contains(shard);
}

Duration Job::work_limit() const {
  return milliseconds(std::uint64_t{intent_.record.limits.fetch_ms} + intent_.record.limits.run_ms);
}

void Job::give_up_leases(Instant now, const NodeId& node, const std::string& why, Outbox& out) {
  std::vector<std::uint32_t> returned;
  Worker& worker = workers_.at(node);
  const std::set<std::uint32_t> leased = worker.leased;
  for (const std::uint32_t number : leased) {
    Shard& shard = shards_[number];
    if (!shard.second_award) {
      returned.push_back(number);
      continue;
    }
    // Another has it too: it goes on there.
    worker.leased.erase(number);
    const NodeId other = field_->offer(awards_.at(*shard.second_award).record.offer)->signer;
    if (other != node) {
      shard.worker = other;
      shard.award = *shard.second_award;
    }
    shard.second_award.reset();
    tell(number, why);
  }
  return_shards(now, returned, why, out);
}

void Job::watch_batch(Instant now, const Cid& cid, Outbox& out) {
  const auto it = batches_.find(cid);
  if (it == batches_.end()) return;
  // What a restart interrupted between two steps: every seat has committed, or every seat has revealed.
  ask_for_reveal(now, it->second, out);
  judge(now, cid, out);
  if (ended() || !batches_.contains(cid)) return;
  watch_worker(now, it->second, out);
  if (ended() || !batches_.contains(cid)) return;
  watch_verifiers(now, it->second, out);
}

void Job::watch_worker(Instant now, Batch& batch, Outbox& out) {
  // While its verifiers still run there is nothing that it should have revealed.
  if (batch.receipt || !batch.reveal_asked) return;
  const NodeId worker = batch.commitment.signer;
  const bool gone = away(now, worker);
  if (now - batch.since >= milliseconds(intent_.record.limits.reveal_ms) + (gone ? Duration{0} : away_grace) || gone) {
    if (!gone) {
      workers_.at(worker).avoid_until = now + unanswered_penalty;
      blame(now, worker, "did not reveal what it had committed to", unanswered_penalty, out);
    }
    return return_shards(now, open_shards(batch),
                         "worker " + short_name(worker) +
                             (gone ? " is gone before it revealed" : " did not reveal in time (reveal-timeout)"),
                         out);
  }
  if (now - batch.asked >= resend_after && around_.peers.connected(worker)) {
    batch.asked = now;
    send_outstanding(now, worker, out);
  }
}

void Job::watch_verifiers(Instant now, Batch& batch, Outbox& out) {
  std::map<NodeId, std::pair<std::string, std::vector<std::uint32_t>>> failing;
  std::set<NodeId> silent;
  for (const Panel& panel : batch.panels) {
    if (!panel.complete()) continue;
    for (const auto& [node, seat] : panel.seats) {
      if (seat.state == Seat::State::revealed) continue;
      if (seat.state == Seat::State::committed && !batch.receipt) continue;  // Waits for the worker.
      const bool gone = away(now, node);
      const Duration limit =
          seat.state == Seat::State::asked ? work_limit() : Duration(milliseconds(intent_.record.limits.reveal_ms));
      if (gone || (now - seat.since >= limit && !planted(Bug::timeout_never_armed))) {
        auto& [why, shards] = failing[node];
        why = gone                               ? "went away"
              : seat.state == Seat::State::asked ? "did not answer when drawn (verify-timeout)"
                                                 : "did not reveal in time (reveal-timeout)";
        shards.insert(shards.end(), panel.shards.begin(), panel.shards.end());
      } else if (now - seat.since >= resend_after && around_.peers.connected(node)) {
        silent.insert(node);
      }
    }
  }
  for (auto& [node, failure] : failing) {
    std::ranges::sort(failure.second);
    lose_seat(now, batch, failure.second, node, failure.first, out);
  }
  // Asked again now and then, in case a message was lost; running long is no offence within the limit.
  if (silent.empty() || now - batch.asked < resend_after) return;
  batch.asked = now;
  for (const NodeId& node : silent) send_outstanding(now, node, out);
}

void Job::on_refused(Instant now, const Signed<market::Refusal>& refusal, Outbox& out) {
  out.notify({.kind = "job.note",
              .job = id(),
              .peer = refusal.signer,
              .text = "refused by " + short_name(refusal.signer) + ": " + utf8_excerpt(refusal.record.reason, 256)});
  if (ended()) return;
  if (refusal.record.reason.starts_with("unknown-")) send_outstanding(now, refusal.signer, out);
  // Kept with the job: whoever asks why it does not get on is told who gave what did not open.
  if (refusal.record.reason.starts_with("wrong-key:") && workers_.contains(refusal.signer))
    note(short_name(refusal.signer) + " says: " + utf8_excerpt(refusal.record.reason, 256), out);
}

void Job::on_peer_up(Instant now, const NodeId& peer, Outbox& out) {
  if (ended()) return;
  if (const auto worker = workers_.find(peer); worker != workers_.end()) {
    worker->second.reminded.reset();
    worker->second.reminders = 0;
    worker->second.progress = now;  // It may have to begin anew.
  }
  if (phase_ == JobPhase::bidding) {
    if (is_paid() && !payment_->is_locked()) return;
    out.require_durable();
    out.send(peer, Channel::offer, intent_.envelope);
    return;
  }
  send_outstanding(now, peer, out);
  advance(now, out);
}

void Job::on_tick(Instant now, Outbox& out) {
  if (!ended()) return advance(now, out);
  ask_refund(now, out);
}

std::optional<Instant> Job::deadline() const {
  if (ended()) return std::nullopt;
  if (is_paid() && !payment_->is_locked()) return next_watch_;
  if (phase_ == JobPhase::bidding)
    return std::min(window_end_, next_watch_ < started_ ? window_end_ : std::max(next_watch_, started_ + watch_every));
  Instant due = next_watch_;
  if (!undrawn_.empty() && !current_round_ && (!sampled() || all_committed())) due = std::min(due, next_round_);
  return due;
}

void Job::advance(Instant now, Outbox& out) {
  if (ended()) return;
  if (phase_ == JobPhase::bidding) {
    if (!is_paid() || payment_->is_locked()) advance_bidding(now, out);
    if (phase_ == JobPhase::bidding) {
      watch_time(now, out);
      return;
    }
  }
  if (ended()) return;
  watch_time(now, out);
  if (ended()) return;
  award_waiting(now, out);
  draw_round(now, out);
  open_round(now, out);
  if (ended()) return;
  settle_samples(now, out);
  if (ended()) return;
  finish_if_complete(now, out);
}

// ---------------------------------------------------------------------------------------------------- the end

void Job::finish_if_complete(Instant now, Outbox& out) {
  const bool nobody_left = field_ && !runs_here() && !waiting_.empty() && batches_.empty() &&
                           std::ranges::all_of(workers_, [](const auto& entry) {
                             return !entry.second.excluded.empty() && entry.second.leased.empty();
                           });
  if (nobody_left) {
    return end(now, JobPhase::failed,
               "no-workers-left: every node that offered was rejected, and " + std::to_string(waiting_.size()) +
                   " shards are not done",
               out);
  }
  if (decided_.finished < shards_.size() || reduce_spec_ || reduce_job_) return;
  if (fetching_ || now < fetch_again_) return;
  fetching_ = true;
  if (phase_ != JobPhase::fetching) set_phase(JobPhase::fetching, "all shards are decided", out);
  effect::FetchResults fetch{.id = 0, .intent = id(), .roots = {}};
  std::set<Cid> seen;
  for (const Shard& shard : shards_) {
    for (const Cid& root : {shard.finding->result, shard.finding->log}) {
      if (!seen.insert(root).second) continue;
      std::vector<NodeId> holders;
      if (shard.worker != around_.signer.id()) holders.push_back(shard.worker);
      if (shard.seats) {
        for (const SeatView& seat : *shard.seats) {
          if (seat.state == "agreed") holders.push_back(seat.node);
        }
      }
      fetch.roots.emplace_back(root, std::move(holders));
    }
  }
  out.add({std::move(fetch)});
}

void Job::on_results_fetched(Instant now, const Status& status, Outbox& out) {
  if (ended() || !fetching_) return;
  fetching_ = false;
  if (!status) {
    if (++fetch_attempts_ >= max_attempts)
      return end(now, JobPhase::failed, "fetch-failed: the results could not be had: " + status.error().message, out);
    fetch_again_ = now + seconds(1);
    note("the results could not be fetched yet: " + status.error().message, out);
    return;
  }
  if (decided_.failed_outcomes > 0) {
    std::uint32_t first = 0;
    while (shards_[first].finding->outcome.succeeded() && shards_[first].decision != Decision::undetermined) ++first;
    const bool undetermined = shards_[first].decision == Decision::undetermined;
    return end(
        now, JobPhase::failed,
        (undetermined ? std::string("undetermined: ") : std::string("guest-failed: ")) +
            (shards_.size() == 1 ? ""
                                 : std::to_string(decided_.failed_outcomes) + " of " + std::to_string(shards_.size()) +
                                       " shards; shard " + std::to_string(first) + ": ") +
            shards_[first].finding->outcome.text(),
        out);
  }
  if (intent_.record.reduce) {
    fetching_ = true;
    set_phase(JobPhase::reducing, "folding the results", out);
    std::vector<Cid> results;
    for (const Shard& shard : shards_) results.push_back(shard.finding->result);
    out.add({effect::BuildReduceInput{.id = 0, .intent = id(), .results = std::move(results)}});
    return;
  }
  end(now, JobPhase::done, "", out);
}

void Job::on_reduce_input(Instant now, const Result<Cid>& inputs, Outbox& out) {
  if (ended() || !fetching_) return;
  fetching_ = false;
  if (!inputs) return end(now, JobPhase::failed, "reduce-failed: " + inputs.error().message, out);
  JobSpec spec = spec_;
  spec.function = *intent_.record.reduce;
  spec.reduce.reset();
  spec.inputs = *inputs;
  spec.shards = 1;
  spec.sample = task::TaskIntent::everything;
  if (is_paid())
    spec.created_ms = static_cast<std::int64_t>(around_.ledger->wall_ms(now));  // An old one is not locked.
  spec.sealed.reset();  // Results are not sealed, and so what is made of them is not.
  spec.label = "reduce of " + utf8_excerpt(spec_.label, 100);
  reduce_spec_ = std::move(spec);
}

std::optional<JobSpec> Job::take_reduce_spec() {
  std::optional<JobSpec> spec;
  if (!reduce_job_) spec.swap(reduce_spec_);
  return spec;
}

Digest Job::reduce_entropy() const { return around_.signer.secret("meshwork/1/reduce", {id().binary()}); }

void Job::on_reduced(Instant now, const Job& child, Outbox& out) {
  if (ended()) return;
  if (child.phase_ != JobPhase::done) return end(now, JobPhase::failed, "reduce-failed: " + child.failure_, out);
  reduced_result_ = child.shards_.front().finding->result;
  unverified_ = unverified_ || child.unverified_;
  end(now, JobPhase::done, "", out);
}

void Job::stop(Instant now, Outbox& out) {
  if (!ended()) return end(now, JobPhase::stopped, "stopped: by its owner", out);
  // It may wait for the disk still: whoever stops it again waits as well.
  out.confirm(id(), records());
  out.require_durable();
}

void Job::confirm(std::uint64_t records) {
  durable_ = std::max(durable_, records);
  for (; !unshown_.empty() && unshown_.front().records <= durable_; unshown_.pop_front()) {
    for (const std::uint32_t shard : unshown_.front().shards)
      shards_[shard].shown = shards_[shard].decision.has_value();
    shown_ = unshown_.front().tally;
  }
}

void Job::end(Instant now, JobPhase phase, std::string failure, Outbox& out) {
  if (ended()) return;
  failure_ = std::move(failure);
  ended_at_ = now;
  phase_before_end_ = phase_;
  around_.executions.cancel(now, id(), out);
  dagcbor::Map map;
  map.emplace("phase", record::to_value(phase));
  map.emplace("failure", record::to_value(failure_));
  if (reduced_result_) map.emplace("result", record::to_value(*reduced_result_));
  out.journal(id(), "end", dagcbor::encode(dagcbor::Value(std::move(map))));
  out.require_durable();
  const Signed<market::Close> close = sign(market::Close{
      .intent = id(), .reason = phase == JobPhase::done ? "done" : failure_.substr(0, failure_.find(':'))});
  if (field_) {
    for (const Signed<market::ComputeOffer>& offer : field_->offers)
      out.send(offer.signer, Channel::award, close.envelope);
  }
  out.publish(Topic::events, close.envelope);
  set_phase(phase,
            phase == JobPhase::done ? (unverified_ ? "done, unverified"
                                       : sampled() ? "done, verified on a sample"
                                                   : "done, verified")
                                    : failure_,
            out);
  out.confirm(id(), records());
  out.notify({.kind = "job.done",
              .job = id(),
              .phase = std::string(enum_names(phase)[static_cast<std::size_t>(phase)]),
              .text = failure_});
  batches_.clear();
  rounds_.clear();
  draws_.clear();
  undrawn_.clear();
  current_round_.reset();
}

}  // namespace mesh::node
