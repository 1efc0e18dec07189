#include "node/job.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "codec/utf8.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::node {

namespace {

using identity::short_name;
using receipt::Commitment;
using receipt::ExecutionReceipt;
using receipt::VerificationReceipt;
using verification::Decision;

constexpr Duration resend_after = seconds(2);
constexpr Duration away_grace = seconds(3);  // A node that restarts is back within this; then its work moves on.
constexpr Duration watch_every = milliseconds(200);
constexpr Duration unanswered_penalty = seconds(60);
constexpr Duration liar_penalty = seconds(3600);
constexpr Duration alone_after = seconds(3);
constexpr Duration remind_worker_after = seconds(10);
constexpr Duration remind_at_most_every = milliseconds(500);  // Doubled by each reminder that nothing follows,
constexpr std::uint32_t max_reminder_doublings = 4;           // so often at most.
constexpr std::size_t max_notes = 256;
constexpr std::size_t max_story_lines = 32;
constexpr std::uint64_t max_live_log_bytes = 1 << 20;  // Per shard; the whole log is in the receipt.
constexpr std::uint32_t max_in_verification = 16'384;  // Committed shards without a verdict: then no more are awarded.
constexpr std::uint32_t max_lease = 2048;
constexpr std::uint32_t max_first_lease = 32;
constexpr std::size_t max_run_here = 1024;  // Shards that a node alone has queued at a time.
// So long no commitment, or so many usual gaps between them: a worker lags behind the others.
constexpr Duration lag_at_least = milliseconds(500);
constexpr std::int64_t lag_factor = 4;
constexpr std::uint32_t hasty_rounds = 16;  // So many begin at once; later ones gather commitments for a moment.

std::string seconds_text(std::uint64_t ms) {
  return std::to_string(ms / 1000) + "." + std::to_string(ms % 1000 / 100) + " s";
}

}  // namespace

Result<std::unique_ptr<Job>> Job::create(const Surroundings& around, Instant now, JobSpec spec, const Digest& entropy,
                                         std::optional<Cid> reduces) {
  if (spec.fee != 0) {
    return fail(ErrorCode::unsupported,
                "a fee of " + std::to_string(spec.fee) +
                    " cannot be paid: this version has no ledger yet, so tasks are free (leave --fee out)");
  }
  const policy::MeshPolicy& policy = around.config.policy;
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
      .engine = around.config.engine,
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
  job->shards_.resize(job->intent_.record.shards);
  for (std::uint32_t shard = 0; shard < job->intent_.record.shards; ++shard) job->waiting_.insert(shard);
  job->started_ = now;
  job->window_end_ = now + milliseconds(job->intent_.record.bid_window_ms);
  job->story_.push_back(job->intent_.envelope);
  return job;
}

// ---------------------------------------------------------------------------------------------------- small tools

template <class T>
void Job::keep(std::string_view kind, const Signed<T>& record, Outbox& out) {
  story_.push_back(record.envelope);
  out.journal(id(), std::string(kind), record::encode(record.envelope));
}

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
  std::vector<Cid> roots{intent_.record.function, intent_.record.inputs};
  if (intent_.record.reduce) roots.push_back(*intent_.record.reduce);
  out.add({effect::Declare{id(), std::move(roots)}});
  set_phase(JobPhase::bidding, "asking for offers", out);
  out.publish(Topic::intents, intent_.envelope);
  advance(now, out);
}

void Job::resume(Instant now, Outbox& out) {
  started_ = now;
  window_end_ = now + milliseconds(intent_.record.bid_window_ms);
  if (ended()) {
    ended_at_ = now;
    return;
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
  if (!field_) out.publish(Topic::intents, intent_.envelope);
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

// ---------------------------------------------------------------------------------------------------- bidding

void Job::on_offer(Instant now, Signed<market::ComputeOffer> offer, Outbox& out) {
  const auto known = offers_.find(offer.signer);
  const bool in_field = field_ && field_->offer(offer.cid) != nullptr;
  if (in_field || (known != offers_.end() && known->second.offer.cid == offer.cid)) {
    if (in_field) {
      send_outstanding(now, offer.signer, out);  // A node that restarted and bids again: it is in already.
      return;
    }
    return refuse(offer.signer, offer.cid, {ErrorCode::conflict, "replayed: this offer was received before"}, out);
  }
  if (phase_ != JobPhase::bidding && !planted(Bug::late_offer_taken)) {
    return refuse(offer.signer, offer.cid, {ErrorCode::timeout, "late: the bidding on this task is closed"}, out);
  }
  if (const Status status = market::check_offer(offer, intent_); !status)
    return refuse(offer.signer, offer.cid, status.error(), out);
  if (known != offers_.end()) {
    return refuse(offer.signer, offer.cid,
                  {ErrorCode::conflict, "replayed: this node has another offer on this task already"}, out);
  }
  if (offers_.size() >= 4 * market::max_roster) {
    return refuse(offer.signer, offer.cid, {ErrorCode::exhausted, "too-many: this task has offers enough"}, out);
  }
  const PeerTable::Peer* peer = around_.peers.find(offer.signer);
  declines_.erase(offer.signer);
  out.notify({.kind = "job.offer",
              .job = id(),
              .peer = offer.signer,
              .text = "offers " + std::to_string(offer.record.capacity) + " shards at once"});
  const NodeId signer = offer.signer;
  offers_.emplace(signer, market::Candidate{.offer = std::move(offer),
                                            .round_trip = peer == nullptr ? Duration{0} : peer->round_trip,
                                            .reputation = reputation::ReputationSnapshot().score_of(signer),
                                            .same_federation = true,
                                            .penalised = around_.peers.penalised(now, signer)});
  advance(now, out);
}

void Job::on_decline(Instant now, const Signed<market::Decline>& decline, Outbox& out) {
  if (field_ && !ended()) return on_gave_up(now, decline, out);
  if (phase_ != JobPhase::bidding || decline.record.reason.size() > 256 || declines_.size() >= max_notes ||
      offers_.contains(decline.signer))
    return;
  if (declines_.insert_or_assign(decline.signer, decline.record.reason).second) {
    out.notify({.kind = "job.declined", .job = id(), .peer = decline.signer, .text = decline.record.reason});
  }
  advance(now, out);
}

void Job::advance_bidding(Instant now, Outbox& out) {
  bool everybody_answered = true;
  std::size_t answered_possible = 0;
  for (const auto& [node, peer] : around_.peers.all()) {
    if (!peer.connected) continue;
    const bool answered = offers_.contains(node) || declines_.contains(node);
    // A peer that has just come may be about to say what it is; one that says nothing for long is no mesh node.
    const bool may_answer = peer.info ? peer.info->accepts_work : now - peer.info_at < seconds(3);
    if (answered) ++answered_possible;
    if (!answered && may_answer) everybody_answered = false;
  }
  const bool window_over = now >= window_end_;
  if (!window_over && !(everybody_answered && (answered_possible > 0))) {
    // Alone for a while: waiting cannot help. Just started: the peers may be about to come.
    const bool alone =
        std::ranges::none_of(around_.peers.all(), [](const auto& entry) { return entry.second.connected; });
    if (!alone || now - around_.peers.born() < alone_after) return;
  }
  const bool enough = offers_.size() > intent_.record.verifiers;
  if (!enough && !everybody_answered && reminders_ < 2) {
    // Gossip may not have reached everyone (a mesh that has just formed): ask those that are silent directly.
    ++reminders_;
    window_end_ = now + milliseconds(intent_.record.bid_window_ms);
    for (const auto& [node, peer] : around_.peers.all()) {
      if (peer.connected && !offers_.contains(node) && !declines_.contains(node))
        out.send(node, Channel::offer, intent_.envelope);
    }
    note("asked the peers that had not answered once more, directly", out);
    return;
  }
  close_bidding(now, out);
}

void Job::close_bidding(Instant now, Outbox& out) {
  const std::uint32_t wanted = intent_.record.verifiers;
  const bool anyone_connected =
      std::ranges::any_of(around_.peers.all(), [](const auto& entry) { return entry.second.connected; });
  const bool insists = spec_.verifiers.has_value() && *spec_.verifiers > 0;
  if (offers_.empty()) {
    std::string why;
    for (const auto& [node, reason] : declines_) why += (why.empty() ? "" : "; ") + short_name(node) + ": " + reason;
    for (const RefusalView& refusal : refusals_)
      why += (why.empty() ? "" : "; ") + short_name(refusal.node) + ": " + refusal.reason;
    for (const auto& [node, peer] : around_.peers.all()) {
      if (!peer.connected || declines_.contains(node)) continue;
      if (peer.info && !peer.info->accepts_work) {
        why += (why.empty() ? "" : "; ") + short_name(node) + ": takes no work";
      } else {
        why += (why.empty() ? "" : "; ") + short_name(node) + ": did not answer";
      }
    }
    if (why.empty()) why = "no peer is connected";
    if (why.size() > 2000) why = utf8_excerpt(why, 2000) + "...";
    if (insists)
      return end(now, JobPhase::failed,
                 "too-few-verifiers: " + std::to_string(wanted) +
                     " verifiers were asked for and nobody offered, because " + why,
                 out);
    if (anyone_connected) return end(now, JobPhase::failed, "nobody-offered: nobody offered, because " + why, out);
    if (spec_.scope.memory_mb > around_.config.resources.memory_mb) {
      return end(now, JobPhase::failed,
                 "nobody-offered: no peer is connected, and this node has " +
                     std::to_string(around_.config.resources.memory_mb) + " MiB for a task, not " +
                     std::to_string(spec_.scope.memory_mb),
                 out);
    }
  }
  std::vector<market::Candidate> candidates;
  for (const auto& [node, candidate] : offers_) candidates.push_back(candidate);
  ranking_ = market::rank(candidates, intent_.record.fee);
  for (std::size_t i = market::max_roster; i < ranking_.size(); ++i) {
    refusals_.push_back({ranking_[i].node, "not-needed: " + std::to_string(market::max_roster) + " better offers"});
  }
  if (ranking_.size() > market::max_roster) ranking_.resize(market::max_roster);
  if (wanted > 0 && ranking_.size() < std::size_t{wanted} + 1) {
    if (insists) {
      return end(now, JobPhase::failed,
                 "too-few-verifiers: " + std::to_string(wanted) + " verifiers were asked for, which takes " +
                     std::to_string(wanted + 1) + " nodes beside this one, and " + std::to_string(ranking_.size()) +
                     " offered",
                 out);
    }
    unverified_ = true;
    note(ranking_.empty() ? "no peer is connected: this node runs the task itself, unverified"
                          : "only " + std::to_string(ranking_.size()) + " nodes offered; " + std::to_string(wanted) +
                                " verifiers take " + std::to_string(wanted + 1) + ": the results will be unverified",
         out);
  }
  market::Roster roster{.intent = id(), .offers = {}};
  std::vector<Signed<market::ComputeOffer>> offers;
  for (const market::Ranked& line : ranking_) {
    roster.offers.push_back(line.offer);
    offers.push_back(offers_.at(line.node).offer);
  }
  for (const Signed<market::ComputeOffer>& offer : offers) keep("offer", offer, out);
  Signed<market::Roster> signed_roster = sign(std::move(roster));
  keep("roster", signed_roster, out);
  const Status applied = apply_roster(std::move(signed_roster), std::move(offers));
  MESH_CHECK(applied.has_value(), "own-roster-applies");
  set_phase(JobPhase::running, runs_here() ? "running here" : std::to_string(field_->offers.size()) + " nodes are in",
            out);
  if (runs_here()) return run_here(now, out);
  for (const Signed<market::ComputeOffer>& offer : field_->offers) send_roster(offer.signer, out);
}

Status Job::apply_roster(Signed<market::Roster> roster, std::vector<Signed<market::ComputeOffer>> offers) {
  MESH_LET(verification::Field field, verification::make_field(intent_, std::move(roster), std::move(offers)));
  std::uint32_t rank = 0;
  for (const Signed<market::ComputeOffer>& offer : field.offers) {
    // What to begin with, when nothing is known of how long a shard takes: of many shards some more.
    const auto share = static_cast<std::uint32_t>(shards_.size() / (8 * field.offers.size()));
    const std::uint32_t least = 2 * offer.record.capacity;
    workers_[offer.signer] = Worker{.capacity = offer.record.capacity,
                                    .rank = rank++,
                                    .leased = {},
                                    .lease_size = std::clamp(share, least, std::max(least, max_first_lease))};
  }
  if (intent_.record.verifiers > 0 && field.offers.size() < std::size_t{intent_.record.verifiers} + 1)
    unverified_ = true;
  field_ = std::move(field);
  phase_ = JobPhase::running;
  return {};
}

void Job::on_gave_up(Instant now, const Signed<market::Decline>& decline, Outbox& out) {
  const auto worker = workers_.find(decline.signer);
  if (worker == workers_.end()) return;
  const std::string why = short_name(decline.signer) + " gave up: " + utf8_excerpt(decline.record.reason, 256);
  note(why, out);
  worker->second.avoid_until = now + unanswered_penalty;
  give_up_leases(now, decline.signer, why, out);
  if (ended()) return;
  for (auto& [cid, batch] : batches_) {
    std::vector<std::uint32_t> shards;
    for (const Panel& panel : batch.panels) {
      const auto seat = panel.seats.find(decline.signer);
      if (seat != panel.seats.end() && seat->second.state == Seat::State::asked)
        shards.insert(shards.end(), panel.shards.begin(), panel.shards.end());
    }
    std::ranges::sort(shards);
    if (!shards.empty()) lose_seat(now, batch, shards, decline.signer, "gave up", out);
  }
  advance(now, out);
}

// ---------------------------------------------------------------------------------------------------- awards

bool Job::may_work(Instant now, const NodeId& node, const Worker& worker, bool also_penalised) const {
  if (!worker.excluded.empty() || !around_.peers.connected(node)) return false;
  return also_penalised || (now >= worker.avoid_until && !around_.peers.penalised(now, node));
}

void Job::award_waiting(Instant now, Outbox& out) {
  if (!field_ || runs_here()) return;
  if (waiting_.empty()) return award_again(now, out);
  std::uint32_t in_verification = 0;
  for (const auto& [cid, batch] : batches_) in_verification += batch.open;
  if (in_verification >= max_in_verification && !sampled()) return;  // A sample is drawn when all are committed to.

  struct Free {
    NodeId node;
    Worker* worker;
    std::uint32_t room;
  };
  std::vector<Free> free;
  const auto gather = [&](bool also_penalised) {
    free.clear();
    for (auto& [node, worker] : workers_) {
      if (!may_work(now, node, worker, also_penalised)) continue;
      const auto outstanding = static_cast<std::uint32_t>(worker.leased.size());
      // Topped up when half is done: not for every single shard, and before it runs dry.
      if (outstanding * 2 > worker.lease_size) continue;
      free.push_back({node, &worker, worker.lease_size - outstanding});
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
  std::uint64_t capacity = 0;
  for (const Free& entry : free) capacity += entry.worker->capacity;
  const std::uint64_t to_share = waiting_.size();
  for (const Free& entry : free) {
    if (waiting_.empty()) break;
    const auto share = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(to_share, (to_share * entry.worker->capacity + capacity - 1) / capacity));
    const std::uint32_t count = std::min({entry.room, share, static_cast<std::uint32_t>(waiting_.size())});
    if (count == 0) continue;
    award(now, entry.node, {waiting_.begin(), std::next(waiting_.begin(), count)}, out);
  }
}

void Job::award(Instant now, const NodeId& to, const std::vector<std::uint32_t>& shards, Outbox& out) {
  const Signed<market::Award> award = sign(market::Award{.intent = id(),
                                                         .roster = field_->roster.cid,
                                                         .offer = field_->offer_of(to)->cid,
                                                         .lease = leases_,
                                                         .shards = task::ranges_of(shards)});
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
      const Duration expected = worker.per_shard ? *worker.per_shard * left : silent;
      const bool lags = silent > std::max(lag_at_least, usual_gap_ * lag_factor) ||
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
                              .holders = {}},
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
  // Leases follow what the worker gets done: about a tenth of a second's work at a time.
  const Duration taken = now - worker.progress;
  const Duration each = taken / static_cast<std::int64_t>(batch.shards.size());
  worker.per_shard = smoothed(worker.per_shard, each);
  usual_gap_ = smoothed(usual_gap_, taken);
  if (worker.leased.size() * 2 <= worker.lease_size) {
    if (taken < milliseconds(50)) worker.lease_size = std::min(max_lease, worker.lease_size * 4);
    if (taken > seconds(2)) worker.lease_size = std::max(2 * worker.capacity, worker.lease_size / 2);
  }
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
    if (planted(Bug::shard_accepted_twice) && shard.state == ShardState::finished) --finished_;
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
  if (!unverified_) undrawn_.push_back(cid);
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

// ---------------------------------------------------------------------------------------------------- rounds

void Job::open_round(Instant now, Outbox& out) {
  if (!verified() || current_round_ || undrawn_.empty() || now < next_round_) return;
  if (sampled() && !all_committed()) return;
  const std::uint32_t limit = task::max_rounds(intent_.record.shards);
  if (rounds_used_ >= limit) {
    return end(now, JobPhase::failed,
               "rounds-used-up: all " + std::to_string(limit) + " verification rounds of this task are used", out);
  }
  verification::RoundOpen open{.intent = id(),
                               .roster = field_->roster.cid,
                               .round = rounds_used_ + 1,
                               .commitments = {},
                               .seats = {},
                               .barred = {}};
  // Whom a verdict found against has no seat any more, as long as there are others enough.
  if (field_->offers.size() > guilty_.size() + intent_.record.verifiers)
    open.barred.assign(guilty_.begin(), guilty_.end());
  while (!undrawn_.empty() && open.commitments.size() < verification::max_round_commitments) {
    open.commitments.push_back(undrawn_.front());
    open.seats.push_back(seats_for(batches_.at(undrawn_.front()).commitment.signer));
    undrawn_.pop_front();
  }
  Signed<verification::RoundOpen> signed_open = sign(std::move(open));
  keep("open", signed_open, out);
  out.require_durable();  // Another opening of the same round after a crash would be refused by everybody.
  const Cid cid = signed_open.cid;
  const Status applied = apply_open(std::move(signed_open));
  MESH_CHECK(applied.has_value(), "own-round-applies");
  Round& round = rounds_.at(cid);
  round.since = now;
  // Rounds are counted (the nonce chains end): the more are used, the more commitments wait for one another.
  const Duration spacing = rounds_used_ < hasty_rounds    ? Duration{0}
                           : rounds_used_ * 4 < limit     ? milliseconds(10)
                           : rounds_used_ * 2 < limit     ? milliseconds(20)
                           : rounds_used_ * 4 < limit * 3 ? milliseconds(200)
                                                          : seconds(2);
  next_round_ = now + spacing;
  for (const Signed<market::ComputeOffer>& offer : field_->offers) send_round(round, offer.signer, out);
}

Status Job::apply_open(Signed<verification::RoundOpen> open) {
  if (open.signer != intent_.signer || open.record.round != rounds_used_ + 1)
    return fail(ErrorCode::invalid, "a round out of order");
  for (const Cid& commitment : open.record.commitments) {
    const auto it = batches_.find(commitment);
    if (it == batches_.end()) return fail(ErrorCode::invalid, "a round over an unknown commitment");
    it->second.round = open.cid;
    it->second.panels.clear();
    it->second.changes.clear();
    it->second.committed.clear();
    it->second.answers.clear();
    it->second.reveal_asked = false;
    std::erase(undrawn_, commitment);
  }
  rounds_used_ = open.record.round;
  current_round_ = open.cid;
  const Cid cid = open.cid;
  rounds_.emplace(cid, Round{.open = std::move(open), .reveals = {}, .drawn = {}});
  return {};
}

void Job::on_reveal(Instant now, Signed<verification::NonceReveal> reveal, Outbox& out) {
  if (ended() || !current_round_ || reveal.record.open != *current_round_) return;  // Late: it was drawn without it.
  Round& round = rounds_.at(*current_round_);
  if (round.reveals.contains(reveal.signer)) return;
  if (const Status status = verification::check_reveal(*field_, round.open, reveal); !status) {
    return refuse(reveal.signer, reveal.cid, status.error(), out);
  }
  heard(reveal.signer);
  // Journaled with the draw that counts them: until then they can be asked for again.
  round.reveals.emplace(reveal.signer, std::move(reveal));
  advance(now, out);
}

Status Job::apply_reveal(Signed<verification::NonceReveal> reveal) {
  const auto round = rounds_.find(reveal.record.open);
  if (round == rounds_.end()) return fail(ErrorCode::invalid, "a nonce of an unknown round");
  round->second.reveals.emplace(reveal.signer, std::move(reveal));
  return {};
}

void Job::draw_round(Instant now, Outbox& out) {
  if (!current_round_) return;
  Round& round = rounds_.at(*current_round_);
  const bool time_over = now - round.since >= milliseconds(intent_.record.limits.nonce_ms);
  const bool some_to_come = std::ranges::any_of(field_->offers, [&](const Signed<market::ComputeOffer>& offer) {
    return !round.reveals.contains(offer.signer) && around_.peers.connected(offer.signer);
  });
  if (some_to_come && !time_over) return;
  // Every shard needs its seats beside its worker.
  for (std::size_t i = 0; i < round.open.record.commitments.size(); ++i) {
    const auto it = batches_.find(round.open.record.commitments[i]);
    if (it == batches_.end()) continue;
    const auto can_sit = [&](const auto& entry) {
      return entry.first != it->second.commitment.signer &&
             std::ranges::find(round.open.record.barred, entry.first) == round.open.record.barred.end();
    };
    if (static_cast<std::uint32_t>(std::ranges::count_if(round.reveals, can_sit)) < round.open.record.seats[i])
      return;  // Asked for again by watch_time.
  }
  verification::Draw draw{.intent = id(),
                          .open = round.open.cid,
                          .round = round.open.record.round,
                          .link = chain_->link(round.open.record.round),
                          .reveals = {}};
  for (const Signed<market::ComputeOffer>& offer : field_->offers) {
    const auto reveal = round.reveals.find(offer.signer);
    if (reveal == round.reveals.end()) {
      // Away is no offence; there and silent is.
      if (around_.peers.connected(offer.signer))
        blame(now, offer.signer, "did not reveal its nonce when a draw was due", unanswered_penalty, out);
      continue;
    }
    draw.reveals.push_back(reveal->second.cid);
    keep("reveal", reveal->second, out);
  }
  const Signed<verification::Draw> signed_draw = sign(std::move(draw));
  keep("draw", signed_draw, out);
  out.require_durable();
  const Status applied = apply_draw(signed_draw);
  MESH_CHECK(applied.has_value(), "own-draw-applies");
  std::set<NodeId> drawn;
  for (const Cid& cid : round.open.record.commitments) {
    const auto it = batches_.find(cid);
    if (it == batches_.end()) continue;
    it->second.since = now;
    for (Panel& panel : it->second.panels) {
      for (auto& [node, seat] : panel.seats) {
        seat.since = now;
        drawn.insert(node);
      }
    }
  }
  for (const NodeId& node : drawn) {
    out.notify({.kind = "job.drawn",
                .job = id(),
                .peer = node,
                .phase = "verifying",
                .text = "drawn to verify (round " + std::to_string(round.open.record.round) + ")"});
    send_draw(round, node, out);
  }
}

Status Job::apply_draw(const Signed<verification::Draw>& draw) {
  const auto found = rounds_.find(draw.record.open);
  if (found == rounds_.end() || found->second.drawn) return fail(ErrorCode::invalid, "a draw for no open round");
  Round& round = found->second;
  std::vector<Signed<verification::NonceReveal>> reveals;
  for (const Signed<market::ComputeOffer>& offer : field_->offers) {
    const auto reveal = round.reveals.find(offer.signer);
    if (reveal != round.reveals.end()) reveals.push_back(reveal->second);
  }
  MESH_LET(verification::DrawnRound drawn, verification::make_round(*field_, round.open, reveals, draw));
  for (const Cid& cid : round.open.record.commitments) {
    const auto it = batches_.find(cid);
    if (it == batches_.end()) continue;
    Batch& batch = it->second;
    // A worker reveals all that it committed to, and demands the seats of every shard of it that was drawn.
    Panel all{.shards = drawn.verified(cid, batch.shards), .seats = {}, .wanted = drawn.seats(cid)};
    if (batch.receipt) std::erase_if(all.shards, [&](std::uint32_t shard) { return !is_open(batch, shard); });
    if (all.shards.empty()) continue;
    batch.panels.push_back(std::move(all));
  }
  draws_.emplace(draw.cid, draw.record.open);
  past_draws_.insert(draw.cid);
  round.drawn = std::move(drawn);
  for (const Cid& cid : round.open.record.commitments) {
    if (const auto it = batches_.find(cid); it != batches_.end()) reseat(it->second, it->second.shards);
  }
  if (current_round_ == draw.record.open) current_round_.reset();
  return {};
}

verification::Seats Job::seats_of(const Batch& batch, std::uint32_t shard) const {
  const verification::DrawnRound& drawn = *rounds_.at(*batch.round).drawn;
  verification::Seats seats{.order = drawn.order(batch.commitment.cid, shard, batch.commitment.signer),
                            .wanted = drawn.seats(batch.commitment.cid),
                            .lost = {}};
  for (const Change& change : batch.changes) seats.follow(change.seats, shard);
  return seats;
}

bool Job::Panel::all(Seat::State state) const {
  return complete() && std::ranges::all_of(seats, [&](const auto& entry) { return entry.second.state >= state; });
}

void Job::reseat(Batch& batch, const std::vector<std::uint32_t>& shards) {
  std::vector<Panel> panels;
  for (Panel& panel : batch.panels) {
    std::vector<std::uint32_t> changed;
    std::ranges::set_intersection(panel.shards, shards, std::back_inserter(changed));
    if (changed.empty()) {
      panels.push_back(std::move(panel));
      continue;
    }
    std::map<std::vector<NodeId>, Panel> by_seats;
    for (const std::uint32_t shard : changed) {
      const verification::Seats seats = seats_of(batch, shard);
      std::vector<NodeId> nodes = seats.current();
      std::ranges::sort(nodes);
      Panel& made = by_seats[nodes];
      made.wanted = seats.wanted;
      made.shards.push_back(shard);
      for (const NodeId& node : nodes) {
        const auto before = panel.seats.find(node);
        made.seats.try_emplace(node, before == panel.seats.end() ? Seat{} : before->second);
      }
    }
    for (auto& [nodes, made] : by_seats) panels.push_back(std::move(made));
    std::vector<std::uint32_t> rest;
    std::ranges::set_difference(panel.shards, changed, std::back_inserter(rest));
    panel.shards = std::move(rest);
    if (!panel.shards.empty()) panels.push_back(std::move(panel));
  }
  batch.panels = std::move(panels);
}

Status Job::apply_verifier_commitment(Signed<Commitment> commitment) {
  const auto open = draws_.find(commitment.record.basis);
  if (open == draws_.end())
    return fail(ErrorCode::invalid, "unknown-basis: the commitment answers no award and no open draw of this task");
  const auto found = batches_.find(*commitment.record.worker);
  if (found == batches_.end() || found->second.round != open->second)
    return fail(ErrorCode::conflict, "stale-draw: the shards of this commitment are decided or drawn anew");
  Batch& batch = found->second;
  MESH_LET(const std::vector<std::uint32_t> covered, receipt::covered(commitment, intent_.record.shards));
  std::size_t seated = 0;
  for (const Panel& panel : batch.panels) {
    const auto seat = panel.seats.find(commitment.signer);
    if (seat == panel.seats.end()) continue;
    std::vector<std::uint32_t> both;
    std::ranges::set_intersection(panel.shards, covered, std::back_inserter(both));
    if (both.empty()) continue;
    if (seat->second.state != Seat::State::asked) {
      return fail(ErrorCode::conflict,
                  "replayed: this node has committed to shard " + std::to_string(both.front()) + " already");
    }
    seated += both.size();
  }
  if (seated == 0 && std::ranges::none_of(covered, [&](std::uint32_t shard) { return is_open(batch, shard); }))
    return fail(ErrorCode::conflict, "stale-draw: the shards of this commitment are decided or drawn anew");
  if (seated != covered.size())
    return fail(ErrorCode::unauthorised, "not-drawn: this node has no seat on all of these shards");
  std::vector<Panel> parts;
  for (Panel& panel : batch.panels) {
    const auto seat = panel.seats.find(commitment.signer);
    if (seat == panel.seats.end()) continue;
    std::vector<std::uint32_t> both;
    std::ranges::set_intersection(panel.shards, covered, std::back_inserter(both));
    if (both.empty()) continue;
    if (both.size() < panel.shards.size()) {
      // It committed to some of them: the others wait for another commitment of its.
      Panel rest = panel;
      rest.shards.clear();
      std::ranges::set_difference(panel.shards, both, std::back_inserter(rest.shards));
      parts.push_back(std::move(rest));
      panel.shards = std::move(both);
    }
    seat->second.state = Seat::State::committed;
    seat->second.commitment = commitment.cid;
  }
  for (Panel& part : parts) batch.panels.push_back(std::move(part));
  seen_commitments_.insert(commitment.cid);
  batch.committed.emplace(commitment.cid, std::move(commitment));
  return {};
}

// ---------------------------------------------------------------------------------------------------- reveals

void Job::ask_for_reveal(Instant now, Batch& batch, Outbox& out) {
  if (batch.receipt || batch.reveal_asked) return;
  if (verified()) {
    // Of a batch there may be no seats at all, where only a sample is verified.
    if (!batch.round || !rounds_.at(*batch.round).drawn) return;
    if (!std::ranges::all_of(batch.panels, [](const Panel& panel) { return panel.all(Seat::State::committed); }))
      return;
  }
  batch.reveal_asked = true;
  batch.asked = now;
  batch.since = now;
  send_reveal_request(batch, out);
}

void Job::send_reveal_request(const Batch& batch, Outbox& out) const {
  verification::RevealRequest request{
      .intent = id(), .commitment = batch.commitment.cid, .draw = {}, .commitments = {}};
  if (batch.round && verified()) {
    const Round& round = rounds_.at(*batch.round);
    request.draw = round.drawn->draw.cid;
    if (sampled()) send_draw(round, batch.commitment.signer, out);  // Of it follows which shards need no seats.
    for (const auto& [cid, commitment] : batch.committed) {
      request.commitments.push_back(cid);
      out.send(batch.commitment.signer, Channel::award, commitment.envelope);
    }
  }
  out.send(batch.commitment.signer, Channel::award, sign(std::move(request)).envelope);
}

void Job::on_receipt(Instant now, const Signed<ExecutionReceipt>& receipt, Outbox& out) {
  if (ended()) return;
  const auto it = batches_.find(receipt.record.commitment);
  if (it == batches_.end() || it->second.receipt) return;  // Sent twice, or stale.
  Batch& batch = it->second;
  const Cid batch_cid = it->first;
  const NodeId worker = batch.commitment.signer;
  if (receipt.signer != worker)
    return refuse(receipt.signer, receipt.cid,
                  {ErrorCode::unauthorised, "not-the-worker: another node committed to these shards"}, out);
  if (!batch.reveal_asked && !planted(Bug::early_reveal_taken))
    return refuse(worker, receipt.cid, {ErrorCode::denied, "early: nobody has asked for this receipt yet"}, out);
  const Status applied = apply_receipt(receipt);
  if (!applied) {
    // It committed to something that it cannot open: as good as a lie.
    refuse(worker, receipt.cid, applied.error(), out);
    workers_.at(worker).excluded = "revealed something else than it had committed to";
    blame(now, worker, workers_.at(worker).excluded, liar_penalty, out);
    return_shards(now, open_shards(batch),
                  "worker " + short_name(worker) + " revealed something else than it had committed to", out);
    return advance(now, out);
  }
  heard(worker);
  keep("receipt", receipt, out);
  batch.since = now;
  forward_receipt(now, batch, out);
  judge(now, batch_cid, out);
  advance(now, out);
}

Status Job::apply_receipt(Signed<ExecutionReceipt> receipt) {
  const auto it = batches_.find(receipt.record.commitment);
  if (it == batches_.end()) return fail(ErrorCode::invalid, "a receipt for an unknown commitment");
  Batch& batch = it->second;
  MESH_LET(batch.opened, receipt::open_execution(batch.commitment, receipt.record, intent_.record.shards));
  batch.receipt = std::move(receipt);
  return {};
}

void Job::forward_receipt(Instant now, Batch& batch, Outbox& out) {
  if (!batch.receipt) return;
  std::set<NodeId> waiting;
  for (Panel& panel : batch.panels) {
    for (auto& [node, seat] : panel.seats) {
      if (seat.state != Seat::State::committed) continue;
      seat.since = now;
      waiting.insert(node);
    }
  }
  for (const NodeId& node : waiting) out.send(node, Channel::award, batch.receipt->envelope);
}

void Job::on_verification(Instant now, const Signed<VerificationReceipt>& receipt, Outbox& out) {
  if (ended()) return;
  // The commitment that it opens says which batch it is about.
  const auto it = std::ranges::find_if(
      batches_, [&](const auto& entry) { return entry.second.committed.contains(receipt.record.commitment); });
  if (it == batches_.end()) return;  // Decided.
  Batch& batch = it->second;
  const Cid batch_cid = it->first;
  if (batch.answers.contains(receipt.record.commitment)) return;  // Sent twice.
  const NodeId verifier = receipt.signer;
  const Cid about = receipt.cid;
  if (const Status applied = apply_verification(receipt); !applied) {
    refuse(verifier, about, applied.error(), out);
    std::vector<std::uint32_t> shards;
    for (const Panel& panel : batch.panels) {
      const auto seat = panel.seats.find(verifier);
      if (seat != panel.seats.end() && seat->second.commitment == receipt.record.commitment)
        shards.insert(shards.end(), panel.shards.begin(), panel.shards.end());
    }
    // Another's, or of a receipt that a restart made this node forget (it answers again): no lie.
    const ErrorCode code = applied.error().code;
    if (code == ErrorCode::unauthorised || code == ErrorCode::conflict || shards.empty()) return;
    std::ranges::sort(shards);
    lose_seat(now, batch, shards, verifier, "revealed something else than it had committed to", out);
    return advance(now, out);
  }
  heard(verifier);
  keep("verification", receipt, out);
  judge(now, batch_cid, out);
  advance(now, out);
}

Status Job::apply_verification(Signed<VerificationReceipt> receipt) {
  const Cid own = receipt.record.commitment;
  const auto found =
      std::ranges::find_if(batches_, [&](const auto& entry) { return entry.second.committed.contains(own); });
  if (found == batches_.end()) return fail(ErrorCode::conflict, "a verification of shards that are decided");
  Batch& batch = found->second;
  const Signed<Commitment>& commitment = batch.committed.at(own);
  if (commitment.signer != receipt.signer)
    return fail(ErrorCode::unauthorised, "uncommitted: another node made the commitment that this opens");
  if (!batch.receipt) return fail(ErrorCode::conflict, "early: a verification before the worker's receipt");
  if (receipt.record.receipt != batch.receipt->cid)
    return fail(ErrorCode::conflict, "stale-receipt: the verification is of another receipt");
  MESH_LET(auto differing, receipt::open_verification(commitment, receipt.record, batch.opened, intent_.record.shards));
  for (Panel& panel : batch.panels) {
    const auto seat = panel.seats.find(receipt.signer);
    if (seat != panel.seats.end() && seat->second.commitment == own) seat->second.state = Seat::State::revealed;
  }
  batch.answers.emplace(own, Answer{.receipt = std::move(receipt), .differing = std::move(differing)});
  return {};
}

// ---------------------------------------------------------------------------------------------------- verdicts

const receipt::Finding* Job::found_by(const Batch& batch, const Seat& seat, std::uint32_t shard) const {
  const auto answer = batch.answers.find(seat.commitment);
  if (answer == batch.answers.end()) return nullptr;
  const auto other = answer->second.differing.find(shard);
  return other == answer->second.differing.end() ? batch.opened.find(shard) : &other->second;
}

void Job::judge_panel(const Batch& batch, const Panel& panel, Endings& endings,
                      std::vector<std::uint32_t>& disputed) const {
  const bool agreed_on_all = std::ranges::all_of(
      panel.seats, [&](const auto& entry) { return batch.answers.at(entry.second.commitment).differing.empty(); });
  const auto seats = static_cast<std::uint32_t>(panel.seats.size());
  std::optional<verification::Judgement> judgement;
  Ended* ended = nullptr;
  for (const std::uint32_t shard : panel.shards) {
    if (!is_open(batch, shard)) continue;
    if (!judgement || !agreed_on_all) {
      std::vector<receipt::Finding> findings;
      for (const auto& [node, seat] : panel.seats) findings.push_back(*found_by(batch, seat, shard));
      if (planted(Bug::verifier_counted_twice)) findings.back() = findings.front();
      judgement = verification::judge(*batch.opened.find(shard), findings, around_.config.policy.verification_quorum);
      if (judgement->decision == Decision::disputed &&
          seats < around_.config.policy.verification_quorum.maximum_verifiers) {
        disputed.push_back(shard);
      }
      ended = &endings[{judgement->decision, judgement->agreed, seats}];
      ended->seats = seats;
      for (const auto& [node, seat] : panel.seats)
        ended->verifications.insert(batch.answers.at(seat.commitment).receipt.cid);
    }
    ended->shards.push_back(shard);
  }
}

void Job::judge(Instant now, const Cid& cid, Outbox& out) {
  const auto found = batches_.find(cid);
  if (found == batches_.end() || !found->second.receipt) return;
  Batch& batch = found->second;
  Endings endings;
  if (!verified()) {
    endings[{Decision::unverified, 0, 0}].shards = open_shards(batch);
  } else {
    std::vector<std::uint32_t> disputed;
    for (const Panel& panel : batch.panels) {
      if (panel.all(Seat::State::revealed)) judge_panel(batch, panel, endings, disputed);
    }
    std::ranges::sort(disputed);
    if (!disputed.empty() && extend(now, batch, disputed, out)) {
      for (auto& [how, ended] : endings) {
        std::erase_if(ended.shards, [&](std::uint32_t shard) { return std::ranges::binary_search(disputed, shard); });
      }
    }
  }
  for (auto& [how, ended] : endings) {
    if (ended.shards.empty()) continue;
    std::ranges::sort(ended.shards);
    give_verdict(now, batch, std::get<0>(how), std::get<1>(how), std::move(ended), out);
    if (this->ended()) return;  // Too many attempts at a shard.
  }
  forget_if_done(cid);
}

bool Job::all_committed() const {
  return waiting_.empty() &&
         std::ranges::all_of(workers_, [](const auto& entry) { return entry.second.leased.empty(); });
}

void Job::settle_samples(Instant now, Outbox& out) {
  if (!sampled() || batches_.empty() || current_round_ || !undrawn_.empty() || !all_committed()) return;
  const auto is_judged = [&](const Batch& batch) {
    return batch.receipt && std::ranges::none_of(batch.panels, [&](const Panel& panel) {
             return std::ranges::any_of(panel.shards, [&](std::uint32_t shard) { return is_open(batch, shard); });
           });
  };
  if (!std::ranges::all_of(batches_, [&](const auto& entry) { return is_judged(entry.second); })) return;
  std::vector<Cid> held;
  std::vector<std::pair<NodeId, std::vector<std::uint32_t>>> failed;
  for (const auto& [cid, batch] : batches_) {
    if (!batch.failed && !guilty_.contains(batch.commitment.signer)) {
      held.push_back(cid);
    } else {
      failed.emplace_back(batch.commitment.signer, open_shards(batch));
    }
  }
  for (const auto& [worker, shards] : failed) {
    return_shards(now, shards, "a drawn shard of worker " + short_name(worker) + " did not hold", out);
    if (ended()) return;
  }
  if (!failed.empty()) return award_waiting(now, out);
  for (const Cid& cid : held) {
    Batch& batch = batches_.at(cid);
    give_verdict(now, batch, Decision::spot_checked, 0, {.shards = open_shards(batch), .verifications = {}, .seats = 0},
                 out);
    forget_if_done(cid);
  }
}

std::uint32_t Job::seats_for(const NodeId& worker) const {
  const std::uint32_t wanted = verification::seats_for(intent_.record, around_.experience.trust(worker),
                                                       around_.config.policy.verification_quorum);
  if (wanted == intent_.record.verifiers) return wanted;
  const auto there = std::ranges::count_if(field_->offers, [&](const Signed<market::ComputeOffer>& offer) {
    return offer.signer != worker && !guilty_.contains(offer.signer) && around_.peers.connected(offer.signer);
  });
  return std::max(intent_.record.verifiers, std::min(wanted, static_cast<std::uint32_t>(there)));
}

bool Job::extend(Instant now, Batch& batch, const std::vector<std::uint32_t>& shards, Outbox& out) {
  verification::Seats wider = seats_of(batch, shards.front());
  const std::uint32_t before = wider.wanted;
  wider.wanted = std::min(around_.config.policy.verification_quorum.maximum_verifiers, wider.wanted + 2);
  if (wider.wanted == before || !wider.complete()) return false;
  const Signed<verification::Extension> extension =
      sign(verification::Extension{.intent = id(),
                                   .draw = rounds_.at(*batch.round).drawn->draw.cid,
                                   .commitment = batch.commitment.cid,
                                   .shards = task::ranges_of(shards),
                                   .seats = wider.wanted});
  keep("extension", extension, out);
  const Status applied = apply_extension(extension);
  MESH_CHECK(applied.has_value(), "own-extension-applies");
  for (const std::uint32_t shard : shards)
    tell(shard, "no majority: extended to " + std::to_string(wider.wanted) + " verifiers");
  invite(now, batch, extension.envelope, out);
  return true;
}

void Job::invite(Instant now, Batch& batch, const Envelope& change, Outbox& out) {
  std::set<NodeId> newcomers;
  for (Panel& panel : batch.panels) {
    for (auto& [node, seat] : panel.seats) {
      if (seat.state != Seat::State::asked || seat.since != Instant{}) continue;
      seat.since = now;
      newcomers.insert(node);
    }
  }
  for (const NodeId& node : newcomers) {
    send_round_and_draw(rounds_.at(*batch.round), node, out);
    for (const Change& earlier : batch.changes) {
      if (earlier.envelope != change) out.send(node, Channel::award, earlier.envelope);
    }
    out.send(node, Channel::award, change);
  }
}

void Job::give_verdict(Instant now, Batch& batch, Decision decision, std::uint32_t agreed, Ended ended, Outbox& out) {
  const NodeId worker = batch.commitment.signer;
  const Signed<market::ComputeOffer>* offer = field_->offer_of(worker);
  const std::uint32_t timely =
      verification::timeliness(offer == nullptr ? 0 : offer->record.eta_ms,
                               static_cast<std::uint64_t>((now - shards_[ended.shards.front()].since).count() / 1000));
  verification::Verdict verdict{.intent = id(),
                                .shards = task::ranges_of(ended.shards),
                                .decision = decision,
                                .receipt = batch.receipt->cid,
                                .draw = {},
                                .verifications = {ended.verifications.begin(), ended.verifications.end()},
                                .timeliness = timely,
                                .contribution = verification::contribution_score(agreed, ended.seats, timely)};
  if (batch.round && verified()) verdict.draw = rounds_.at(*batch.round).drawn->draw.cid;
  const Signed<verification::Verdict> signed_verdict = sign(std::move(verdict));
  keep("verdict", signed_verdict, out);
  out.require_durable();
  if (worker != around_.signer.id()) out.send(worker, Channel::award, signed_verdict.envelope);
  blame_liars(now, batch, signed_verdict.record, ended.shards, out);
  const Status applied = apply_verdict(signed_verdict.record);
  MESH_CHECK(applied.has_value(), "own-verdict-applies");
  out.notify(
      {.kind = "job.shard",
       .job = id(),
       .peer = worker,
       .shards = signed_verdict.record.shards,
       .phase = "verifying",
       .text = std::string(enum_names(decision)[static_cast<std::size_t>(decision)]) +
               (ended.seats == 0 ? "" : " by " + std::to_string(agreed) + " of " + std::to_string(ended.seats))});
  if (decision != Decision::rejected && decision != Decision::disputed) return;
  // apply_verdict has put the shards back; too many attempts end the job.
  for (const std::uint32_t shard : ended.shards) {
    if (shards_[shard].attempts < max_attempts) continue;
    return end(now, JobPhase::failed,
               std::string(decision == Decision::rejected ? "rejected" : "disputed") + ": shard " +
                   std::to_string(shard) + " failed with " + std::to_string(max_attempts) + " workers",
               out);
  }
}

void Job::blame_liars(Instant now, const Batch& batch, const verification::Verdict& verdict,
                      const std::vector<std::uint32_t>& shards, Outbox& out) {
  const NodeId worker = batch.commitment.signer;
  const auto first = [](std::uint32_t shard) { return " on shard " + std::to_string(shard); };
  std::map<NodeId, std::string> blamed;  // Once for each, however many shards.
  std::map<NodeId, std::uint64_t> earned;
  for (const Panel& panel : batch.panels) {
    std::vector<std::uint32_t> judged;
    std::ranges::set_intersection(panel.shards, shards, std::back_inserter(judged));
    for (const std::uint32_t shard : judged) {
      const receipt::Finding& finding = *batch.opened.find(shard);
      if (verdict.decision == Decision::rejected) {
        const std::string why = "was rejected by a quorum of " + std::to_string(panel.seats.size()) + first(shard);
        tell(shard, "worker " + short_name(worker) + " " + why);
        blamed.try_emplace(worker, why);
        workers_.at(worker).excluded = blamed.at(worker);
      } else if (verdict.decision == Decision::disputed) {
        tell(shard, "disputed: no majority among " + std::to_string(panel.seats.size()) + " verifiers of worker " +
                        short_name(worker));
      } else if (verdict.decision == Decision::accepted) {
        // Who served this node may ask more of it: only what a quorum confirmed counts.
        earned[worker] += finding.fuel;
      }
      for (const auto& [node, seat] : panel.seats) {
        const receipt::Finding& other = *found_by(batch, seat, shard);
        if (verdict.decision == Decision::accepted && other == finding) earned[node] += finding.fuel;
        if (!verification::found_against(verdict.decision, finding, other)) continue;
        std::string why = "backed the rejected worker " + short_name(worker) + first(shard);
        if (verdict.decision == Decision::accepted) {
          const bool fuel_only = other.result == finding.result && other.outcome == finding.outcome;
          why = "was against the quorum" + first(shard) + (fuel_only ? " (other fuel)" : "");
        }
        tell(shard, "verifier " + short_name(node) + " " + why);
        blamed.try_emplace(node, why);
      }
    }
  }
  for (const auto& [node, why] : blamed) blame(now, node, why, liar_penalty, out);
  for (const auto& [node, fuel] : earned) around_.quota.earn(now, node, fuel);
}

Status Job::apply_extension(const Signed<verification::Extension>& extension) {
  MESH_LET(std::vector<std::uint32_t> shards, task::expand(extension.record.shards, intent_.record.shards));
  change_seats(extension.record.draw, extension.record.commitment,
               {.envelope = extension.envelope,
                .seats = {.shards = std::move(shards), .lost = {}, .wanted = extension.record.seats},
                .why = {}});
  return {};
}

void Job::change_seats(const Cid& draw, const Cid& commitment, Change change) {
  const auto batch = batches_.find(commitment);
  if (batch == batches_.end() || !draws_.contains(draw)) return;
  batch->second.changes.push_back(std::move(change));
  reseat(batch->second, batch->second.changes.back().seats.shards);
}

Status Job::apply_verdict(const verification::Verdict& verdict) {
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(verdict.shards, intent_.record.shards));
  if (shards.empty()) return fail(ErrorCode::invalid, "a verdict on no shard");
  const auto found = batches_.find(shards_[shards.front()].commitment);
  if (found == batches_.end() || !found->second.receipt || found->second.receipt->cid != verdict.receipt)
    return fail(ErrorCode::invalid, "a verdict without a receipt");
  Batch& batch = found->second;
  if (!std::ranges::all_of(shards, [&](std::uint32_t shard) { return is_open(batch, shard); }))
    return fail(ErrorCode::invalid, "a verdict on a shard that is not committed");
  for (Panel& panel : batch.panels) {
    std::vector<std::uint32_t> judged;
    std::ranges::set_intersection(panel.shards, shards, std::back_inserter(judged));
    if (judged.empty()) continue;
    if (!panel.all(Seat::State::revealed)) return fail(ErrorCode::invalid, "a verdict before all seats revealed");
    std::shared_ptr<const std::vector<SeatView>> all_agreed;
    for (const std::uint32_t shard : judged) {
      const receipt::Finding& finding = *batch.opened.find(shard);
      const bool all_agree = std::ranges::all_of(
          panel.seats, [&](const auto& entry) { return *found_by(batch, entry.second, shard) == finding; });
      // Nearly always: then the shards of a panel share what is shown of them.
      const bool shared = all_agree && batch.changes.empty();
      if (shared && all_agreed) {
        shards_[shard].seats = all_agreed;
        continue;
      }
      auto views = std::make_shared<std::vector<SeatView>>();
      for (const auto& [node, seat] : panel.seats) {
        const receipt::Finding& other = *found_by(batch, seat, shard);
        const bool unclear = verification::incomparable(other, finding);
        views->push_back({node, other == finding ? "agreed" : unclear ? "undetermined" : "disagreed"});
        if (!verification::found_against(verdict.decision, finding, other)) continue;
        guilty_.insert(node);
        around_.experience.lost(node);
      }
      for (const Change& change : batch.changes) {
        if (change.seats.lost && std::ranges::binary_search(change.seats.shards, shard))
          views->push_back({*change.seats.lost, change.why});
      }
      shards_[shard].seats = views;
      if (shared) all_agreed = views;
    }
    std::vector<std::uint32_t> rest;
    std::ranges::set_difference(panel.shards, judged, std::back_inserter(rest));
    panel.shards = std::move(rest);
  }
  std::erase_if(batch.panels, [](const Panel& panel) { return panel.shards.empty(); });
  if (verdict.decision == Decision::rejected || verdict.decision == Decision::disputed) batch.failed = true;
  if (verdict.decision == Decision::rejected) {
    const NodeId& worker = batch.commitment.signer;
    guilty_.insert(worker);
    around_.experience.lost(worker);
    std::string& excluded = workers_.at(worker).excluded;
    if (excluded.empty()) excluded = "was rejected on shard " + std::to_string(shards.front());
  }
  const bool decided = verdict.decision != Decision::rejected && verdict.decision != Decision::disputed;
  std::uint64_t confirmed = 0;
  for (const std::uint32_t number : shards) {
    Shard& shard = shards_[number];
    // The batch itself is let go by the caller (forget_if_done), which may still be using it; a restored one when the
    // job resumes.
    --batch.open;
    if (!decided) {
      shard.state = ShardState::waiting;
      waiting_.insert(number);
      continue;
    }
    const auto row =
        static_cast<std::size_t>(std::ranges::lower_bound(batch.opened.shards, number) - batch.opened.shards.begin());
    const receipt::Finding& finding = batch.opened.findings[row];
    shard.state = ShardState::finished;
    shard.decision = verdict.decision;
    shard.contribution = verdict.contribution;
    shard.finding = finding;
    shard.summary = batch.receipt->record.usage.summary(row, finding.fuel);
    ++finished_;
    if (!verdict.verifications.empty()) ++checked_;
    if (verdict.decision == Decision::accepted) confirmed += finding.fuel;
    fuel_ += finding.fuel;
    if (!finding.outcome.succeeded() || verdict.decision == Decision::undetermined) ++failed_outcomes_;
  }
  if (confirmed > 0) around_.experience.earned(batch.commitment.signer, confirmed);
  return {};
}

// ---------------------------------------------------------------------------------------------------- time

void Job::lose_seat(Instant now, Batch& batch, const std::vector<std::uint32_t>& shards, const NodeId& node,
                    const std::string& reason, Outbox& out) {
  // Only where somebody can take the seat; where nobody can, the batch waits for a new draw.
  std::vector<std::uint32_t> substituted;
  for (const std::uint32_t shard : shards) {
    verification::Seats after = seats_of(batch, shard);
    after.lost.push_back(node);
    if (after.complete()) substituted.push_back(shard);
    tell(shard, "verifier " + short_name(node) + " " + reason);
  }
  const bool lied = reason.starts_with("revealed");
  if (lied || around_.peers.connected(node))
    blame(now, node, reason + (lied ? "" : " as a verifier"), lied ? liar_penalty : unanswered_penalty, out);
  if (!substituted.empty()) {
    const Signed<verification::Substitution> substitution =
        sign(verification::Substitution{.intent = id(),
                                        .draw = rounds_.at(*batch.round).drawn->draw.cid,
                                        .commitment = batch.commitment.cid,
                                        .failed = node,
                                        .shards = task::ranges_of(substituted),
                                        .reason = reason});
    keep("substitution", substitution, out);
    const Status applied = apply_substitution(substitution);
    MESH_CHECK(applied.has_value(), "own-substitution-applies");
    invite(now, batch, substitution.envelope, out);
    if (!batch.receipt) batch.reveal_asked = false;
  }
  if (substituted.size() < shards.size()) redraw(batch);
}

Status Job::apply_substitution(const Signed<verification::Substitution>& substitution) {
  MESH_LET(std::vector<std::uint32_t> shards, task::expand(substitution.record.shards, intent_.record.shards));
  change_seats(substitution.record.draw, substitution.record.commitment,
               {.envelope = substitution.envelope,
                .seats = {.shards = std::move(shards), .lost = substitution.record.failed},
                .why = "lost its seat: " + substitution.record.reason});
  return {};
}

void Job::redraw(Batch& batch) {
  // The commitment stays as it is; a new round draws new seats for what is open of it. Nothing was revealed that would
  // help anybody: a worker's receipt is bound to its commitment, and the new verifiers run the shard themselves.
  if (std::ranges::find(undrawn_, batch.commitment.cid) == undrawn_.end()) undrawn_.push_back(batch.commitment.cid);
}

void Job::watch_time(Instant now, Outbox& out) {
  if (now < next_watch_) return;
  next_watch_ = now + watch_every;
  const task::PhaseLimits& limits = intent_.record.limits;
  if (now - started_ >= milliseconds(limits.total_ms)) {
    return end(now, JobPhase::failed,
               "total-timeout: " + std::to_string(finished_) + " of " + std::to_string(shards_.size()) +
                   " shards were done within " + seconds_text(limits.total_ms),
               out);
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
  if (!ended() && refusal.record.reason.starts_with("unknown-")) send_outstanding(now, refusal.signer, out);
}

void Job::on_peer_up(Instant now, const NodeId& peer, Outbox& out) {
  if (ended()) return;
  if (const auto worker = workers_.find(peer); worker != workers_.end()) {
    worker->second.reminded.reset();
    worker->second.reminders = 0;
    worker->second.progress = now;  // It may have to begin anew.
  }
  if (phase_ == JobPhase::bidding) {
    out.send(peer, Channel::offer, intent_.envelope);
    return;
  }
  send_outstanding(now, peer, out);
  advance(now, out);
}

void Job::on_tick(Instant now, Outbox& out) {
  if (!ended()) advance(now, out);
}

std::optional<Instant> Job::deadline() const {
  if (ended()) return std::nullopt;
  if (phase_ == JobPhase::bidding)
    return std::min(window_end_, next_watch_ < started_ ? window_end_ : std::max(next_watch_, started_ + watch_every));
  Instant due = next_watch_;
  if (!undrawn_.empty() && !current_round_ && (!sampled() || all_committed())) due = std::min(due, next_round_);
  return due;
}

void Job::advance(Instant now, Outbox& out) {
  if (ended()) return;
  if (phase_ == JobPhase::bidding) {
    advance_bidding(now, out);
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
  if (finished_ < shards_.size() || reduce_spec_ || reduce_job_) return;
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
  if (failed_outcomes_ > 0) {
    std::uint32_t first = 0;
    while (shards_[first].finding->outcome.succeeded() && shards_[first].decision != Decision::undetermined) ++first;
    const bool undetermined = shards_[first].decision == Decision::undetermined;
    return end(now, JobPhase::failed,
               (undetermined ? std::string("undetermined: ") : std::string("guest-failed: ")) +
                   (shards_.size() == 1 ? ""
                                        : std::to_string(failed_outcomes_) + " of " + std::to_string(shards_.size()) +
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
  if (!ended()) end(now, JobPhase::stopped, "stopped: by its owner", out);
}

void Job::end(Instant now, JobPhase phase, std::string failure, Outbox& out) {
  if (ended()) return;
  failure_ = std::move(failure);
  ended_at_ = now;
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

// ---------------------------------------------------------------------------------------------------- messages

void Job::send_roster(const NodeId& to, Outbox& out) {
  for (const Signed<market::ComputeOffer>& offer : field_->offers) out.send(to, Channel::award, offer.envelope);
  out.send(to, Channel::award, field_->roster.envelope);
}

void Job::send_round(const Round& round, const NodeId& to, Outbox& out) const {
  for (const Cid& cid : round.open.record.commitments) {
    const auto it = batches_.find(cid);
    if (it != batches_.end()) out.send(to, Channel::award, it->second.commitment.envelope);
  }
  out.send(to, Channel::award, round.open.envelope);
}

void Job::send_draw(const Round& round, const NodeId& to, Outbox& out) const {
  for (const auto& [node, reveal] : round.reveals) out.send(to, Channel::award, reveal.envelope);
  out.send(to, Channel::award, round.drawn->draw.envelope);
}

void Job::send_round_and_draw(const Round& round, const NodeId& to, Outbox& out) const {
  send_round(round, to, out);
  send_draw(round, to, out);
}

void Job::heard(const NodeId& from) {
  const auto worker = workers_.find(from);
  if (worker != workers_.end()) worker->second.reminders = 0;
}

void Job::send_outstanding(Instant now, const NodeId& to, Outbox& out) {
  if (ended()) {
    out.send(to, Channel::award, sign(market::Close{.intent = id(), .reason = "done"}).envelope);
    return;
  }
  const auto worker = workers_.find(to);
  if (!field_ || worker == workers_.end()) return;
  // Asked for by peers too, who may ask at any rate; and one that does not keep up is not helped by more of the same.
  const Duration apart = remind_at_most_every * (1U << std::min(worker->second.reminders, max_reminder_doublings));
  if (worker->second.reminded && now - *worker->second.reminded < apart) return;
  worker->second.reminded = now;
  ++worker->second.reminders;
  out.send(to, Channel::award, intent_.envelope);
  send_roster(to, out);
  std::set<Cid> awards;
  for (const std::uint32_t shard : worker->second.leased) awards.insert(shards_[shard].award);
  for (const Cid& award : awards) out.send(to, Channel::award, awards_.at(award).envelope);
  if (current_round_) send_round(rounds_.at(*current_round_), to, out);

  std::set<Cid> rounds;
  for (const auto& [cid, batch] : batches_) {
    if (batch.commitment.signer == to && !batch.receipt && batch.reveal_asked) {
      // The award and the commitment too: a worker that lost both can then run and open them again.
      out.send(to, Channel::award, awards_.at(batch.commitment.record.basis).envelope);
      out.send(to, Channel::award, batch.commitment.envelope);
      send_reveal_request(batch, out);
    }
    std::set<Cid> committed;
    bool asked = false;
    for (const Panel& panel : batch.panels) {
      const auto seat = panel.seats.find(to);
      if (seat == panel.seats.end() || seat->second.state == Seat::State::revealed) continue;
      if (seat->second.state == Seat::State::committed) {
        committed.insert(seat->second.commitment);
      } else {
        asked = true;
      }
    }
    if (!asked && committed.empty()) continue;
    if (rounds.insert(*batch.round).second) send_round_and_draw(rounds_.at(*batch.round), to, out);
    for (const Change& change : batch.changes) out.send(to, Channel::award, change.envelope);
    for (const Cid& own : committed) out.send(to, Channel::award, batch.committed.at(own).envelope);
    if (!committed.empty() && batch.receipt) out.send(to, Channel::award, batch.receipt->envelope);
  }
}

void Job::on_log(const NodeId& from, const LogPiece& piece, Outbox& out) {
  if (ended() || piece.shard >= shards_.size() || !leased_to(piece.shard, from) || piece.bytes.size() > (64 << 10))
    return;
  std::uint64_t& seen = log_bytes_[piece.shard];
  if (seen + piece.bytes.size() > max_live_log_bytes) return;
  seen += piece.bytes.size();
  out.notify({.kind = "job.log",
              .job = id(),
              .peer = from,
              .shards = {{piece.shard, 1}},
              .phase = "running",
              .text = {},
              .bytes = piece.bytes});
}

// ---------------------------------------------------------------------------------------------------- views

JobView Job::view() const {
  JobView view{.id = id(),
               .spec = spec_,
               .phase = phase_,
               .failure = failure_,
               .unverified = unverified_,
               .shards = static_cast<std::uint32_t>(shards_.size()),
               .finished = finished_,
               .running = 0,
               .verifying = 0,
               .failed_outcomes = failed_outcomes_,
               .checked = checked_,
               .ranking = ranking_,
               .refused = refusals_,
               .notes = notes_,
               .reduce_job = reduce_job_,
               .result = {},
               .fuel = fuel_,
               .started = started_,
               .ended = ended_at_};
  for (const auto& [node, reason] : declines_) view.refused.push_back({node, reason});
  for (const auto& [node, worker] : workers_) {
    if (!worker.excluded.empty()) view.notes.push_back(short_name(node) + " " + worker.excluded);
  }
  for (const Shard& shard : shards_) {
    if (shard.state == ShardState::leased) ++view.running;
    if (shard.state == ShardState::committed) ++view.verifying;
    if (runs_here() && shard.state == ShardState::waiting) ++view.running;
  }
  if (reduced_result_) {
    view.result = reduced_result_;
  } else if (shards_.size() == 1 && shards_.front().finding && !intent_.record.reduce) {
    view.result = shards_.front().finding->result;
  }
  return view;
}

std::vector<ShardView> Job::shards(std::uint32_t first, std::uint32_t count) const {
  std::vector<ShardView> views;
  for (std::uint64_t number = first; number < shards_.size() && number - first < count; ++number) {
    const Shard& shard = shards_[number];
    ShardView view{.shard = static_cast<std::uint32_t>(number),
                   .state = {},
                   .worker = {},
                   .finding = shard.finding,
                   .summary = shard.summary,
                   .decision = shard.decision,
                   .contribution = shard.contribution,
                   .seats = shard.seats ? *shard.seats : std::vector<SeatView>{},
                   .story = {}};
    if (const auto story = stories_.find(view.shard); story != stories_.end()) view.story = story->second;
    switch (shard.state) {
      case ShardState::waiting:
        view.state = runs_here() ? "running" : "waiting";
        break;
      case ShardState::leased:
        view.state = "running";
        break;
      case ShardState::committed: {
        view.state = "committed";
        const auto batch = batches_.find(shard.commitment);
        if (batch == batches_.end()) break;
        for (const Panel& panel : batch->second.panels) {
          if (!std::ranges::binary_search(panel.shards, view.shard)) continue;
          view.state = "verifying";
          view.seats.clear();
          for (const auto& [node, seat] : panel.seats) {
            view.seats.push_back({node, seat.state == Seat::State::asked       ? "asked"
                                        : seat.state == Seat::State::committed ? "committed"
                                                                               : "revealed"});
          }
        }
        break;
      }
      case ShardState::finished:
        view.state = enum_names(*shard.decision)[static_cast<std::size_t>(*shard.decision)];
        break;
    }
    if (shard.state != ShardState::waiting) view.worker = shard.worker;
    views.push_back(std::move(view));
  }
  return views;
}

std::vector<std::pair<Cid, Cid>> Job::results() const {
  std::vector<std::pair<Cid, Cid>> roots;
  for (const Shard& shard : shards_) {
    if (shard.finding) roots.emplace_back(shard.finding->result, shard.finding->log);
  }
  return roots;
}

}  // namespace mesh::node
