// A job's bidding: offers, refusals, the roster.
#include "node/job.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "codec/utf8.h"
#include "node/job_limits.h"

namespace mesh::node {

namespace {

using identity::short_name;

constexpr Duration alone_after = seconds(3);
constexpr std::uint32_t max_first_lease = 32;
constexpr std::uint32_t max_first_paid_lease = 256;

}  // namespace

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
  if (is_paid()) {
    if (const Status status = around_.ledger->check_worker(offer.signer, intent_.record.fee); !status)
      return refuse(offer.signer, offer.cid, status.error(), out);
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
                                            .reputation = score_of(signer),
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

std::uint32_t Job::score_of(const NodeId& node) const {
  if (around_.ledger == nullptr) return reputation::ReputationSnapshot().score_of(node);
  const Standing* standing = around_.ledger->standing(node);
  return standing == nullptr ? 0 : standing->score;
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
  const bool enough = offers_.size() > (is_paid() ? 0 : intent_.record.verifiers);
  if (!enough && !everybody_answered && reminders_ < 2) {
    // Gossip may not have reached everyone (a mesh that has just formed): ask those that are silent directly.
    ++reminders_;
    window_end_ = now + milliseconds(intent_.record.bid_window_ms);
    for (const auto& [node, peer] : around_.peers.all()) {
      if (peer.connected && !offers_.contains(node) && !declines_.contains(node))
        out.send(node, Channel::offer, intent_.envelope);
    }
    out.require_durable();
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
    if (insists && !is_paid())
      return end(now, JobPhase::failed,
                 "too-few-verifiers: " + std::to_string(wanted) +
                     " verifiers were asked for and nobody offered, because " + why,
                 out);
    if (anyone_connected || is_paid())
      return end(now, JobPhase::failed, "nobody-offered: nobody offered, because " + why, out);
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
  if (!is_paid() && wanted > 0 && ranking_.size() < std::size_t{wanted} + 1) {
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
    // Of a paid task each lease is a work of its own, with verifiers and transactions: they are fewer.
    const std::size_t leases_each = is_paid() ? 2 : 8;
    const auto share = static_cast<std::uint32_t>(shards_.size() / (leases_each * field.offers.size()));
    const std::uint32_t least = 2 * offer.record.capacity;
    const std::uint32_t most = is_paid() ? max_first_paid_lease : max_first_lease;
    workers_[offer.signer] = Worker{.capacity = offer.record.capacity,
                                    .rank = rank++,
                                    .leased = {},
                                    .lease_size = std::clamp(share, least, std::max(least, most))};
  }
  if (!is_paid() && intent_.record.verifiers > 0 && field.offers.size() < std::size_t{intent_.record.verifiers} + 1)
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
    const bool keyless = intent_.record.is_sealed() && decline.record.reason.starts_with("no-keys:");
    if (!shards.empty())
      lose_seat(now, batch, shards, decline.signer, keyless ? "got no keys of the inputs" : "gave up", out);
  }
  advance(now, out);
}

}  // namespace mesh::node
