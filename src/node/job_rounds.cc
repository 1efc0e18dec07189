// Who verifies what: rounds, draws, seats and their changes, and what is revealed.
#include "node/job.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "domain/verification/nonce_chain.h"
#include "node/job_limits.h"

namespace mesh::node {

namespace {

using identity::short_name;
using receipt::Commitment;
using receipt::ExecutionReceipt;
using receipt::VerificationReceipt;

constexpr std::uint32_t hasty_rounds = 16;  // So many begin at once; later ones gather commitments for a moment.

}  // namespace

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
  for (const Cid& cid : round.open.record.commitments) {
    const auto it = batches_.find(cid);
    if (it != batches_.end()) give_keys_of_seats(it->second, drawn, out);
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
  std::vector<std::uint32_t> seated;
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
    seated.insert(seated.end(), both.begin(), both.end());
  }
  if (seated.empty() && std::ranges::none_of(covered, [&](std::uint32_t shard) { return is_open(batch, shard); }))
    return fail(ErrorCode::conflict, "stale-draw: the shards of this commitment are decided or drawn anew");
  // It commits to all of the worker's batch that the draw gave it, and does not know which of that had been decided when
  // only the rest was drawn anew: such a shard counts for nothing, and the rest must not wait for another commitment.
  std::ranges::sort(seated);
  const auto drawn_or_decided = [&](std::uint32_t shard) {
    return std::ranges::binary_search(seated, shard) ||
           (std::ranges::binary_search(batch.shards, shard) && !is_open(batch, shard));
  };
  if (seated.empty() || !std::ranges::all_of(covered, drawn_or_decided))
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
  // That it got no keys is no fault of its own.
  if (lied || (around_.peers.connected(node) && !reason.starts_with("got no keys")))
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

// ---------------------------------------------------------------------------------------------------- reveals

void Job::ask_for_reveal(Instant now, Batch& batch, Outbox& out) {
  if (batch.receipt || batch.reveal_asked || is_paid()) return;
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
  if (is_paid()) {
    take_receipt(receipt, out);
    next_watch_ = payment_->look_again = now;  // It may be all that was waited for.
    return advance(now, out);
  }
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
  if (is_paid()) return take_verification(now, receipt, out);
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

}  // namespace mesh::node
