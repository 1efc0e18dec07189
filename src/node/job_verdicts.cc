// What counts: judgements, verdicts, samples, and whom they find against.
#include "node/job.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "node/job_limits.h"

namespace mesh::node {

namespace {

using identity::short_name;
using verification::Decision;

}  // namespace

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
  if (found == batches_.end() || !found->second.receipt || is_paid()) return;
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
  give_keys_of_seats(batch, newcomers, out);
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
  unshown_.push_back({.records = records(), .shards = ended.shards, .tally = decided_});
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
  // Where the ledger rejected a work, what it was is of no account.
  const bool needs_receipt = !is_paid() || verdict.decision != Decision::rejected;
  if (found == batches_.end() ||
      (needs_receipt && (!found->second.receipt || found->second.receipt->cid != verdict.receipt)))
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
    ++decided_.finished;
    if (!verdict.verifications.empty() || (is_paid() && verdict.decision == Decision::accepted)) ++decided_.checked;
    if (verdict.decision == Decision::accepted) confirmed += finding.fuel;
    decided_.fuel += finding.fuel;
    if (!finding.outcome.succeeded() || verdict.decision == Decision::undetermined) ++decided_.failed_outcomes;
  }
  if (confirmed > 0) around_.experience.earned(batch.commitment.signer, confirmed);
  return {};
}

}  // namespace mesh::node
