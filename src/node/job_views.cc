// What others are told of a job: members what is outstanding for them, people how it stands.
#include "node/job.h"

#include <algorithm>

namespace mesh::node {

namespace {

using identity::short_name;

constexpr Duration remind_at_most_every = milliseconds(500);  // Doubled by each reminder that nothing follows,
constexpr std::uint32_t max_reminder_doublings = 4;           // so often at most.
constexpr std::uint64_t max_live_log_bytes = 1 << 20;  // Per shard; the whole log is in the receipt.

}  // namespace

// ---------------------------------------------------------------------------------------------------- messages

void Job::send_roster(const NodeId& to, Outbox& out) {
  for (const Signed<market::ComputeOffer>& offer : field_->offers) out.send(to, Channel::award, offer.envelope);
  out.send(to, Channel::award, field_->roster.envelope);
}

void Job::send_round(const Round& round, const NodeId& to, Outbox& out) const {
  out.require_durable();
  for (const Cid& cid : round.open.record.commitments) {
    const auto it = batches_.find(cid);
    if (it != batches_.end()) out.send(to, Channel::award, it->second.commitment.envelope);
  }
  out.send(to, Channel::award, round.open.envelope);
}

void Job::send_draw(const Round& round, const NodeId& to, Outbox& out) const {
  out.require_durable();
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
    out.require_durable();
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
  const bool hidden_end = ended() && !end_is_durable();
  JobView view{.id = id(),
               .spec = spec_,
               .phase = hidden_end ? phase_before_end_ : phase_,
               .failure = hidden_end ? std::string() : failure_,
               .unverified = unverified_,
               .shards = static_cast<std::uint32_t>(shards_.size()),
               .finished = shown_.finished,
               .running = 0,
               .verifying = 0,
               .failed_outcomes = shown_.failed_outcomes,
               .checked = shown_.checked,
               .ranking = ranking_,
               .refused = refusals_,
               .notes = notes_,
               .reduce_job = reduce_job_,
               .result = {},
               .fuel = shown_.fuel,
               .started = started_,
               .ended = hidden_end ? Instant{} : ended_at_};
  if (is_paid()) view.escrow = escrow_view();
  for (const auto& [node, reason] : declines_) view.refused.push_back({node, reason});
  for (const auto& [node, worker] : workers_) {
    if (!worker.excluded.empty()) view.notes.push_back(short_name(node) + " " + worker.excluded);
  }
  for (const Shard& shard : shards_) {
    if (shard.state == ShardState::leased) ++view.running;
    if (shard.state == ShardState::committed || (shard.state == ShardState::finished && !shard.shown)) ++view.verifying;
    if (runs_here() && shard.state == ShardState::waiting) ++view.running;
  }
  if (reduced_result_) {
    if (end_is_durable()) view.result = reduced_result_;
  } else if (shards_.size() == 1 && shards_.front().shown && !intent_.record.reduce) {
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
                   .finding = {},
                   .summary = {},
                   .decision = {},
                   .contribution = 0,
                   .seats = {},
                   .story = {}};
    if (shard.shown) {
      view.finding = shard.finding;
      view.summary = shard.summary;
      view.decision = shard.decision;
      view.contribution = shard.contribution;
      if (shard.seats) view.seats = *shard.seats;
    }
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
        // What is decided is shown once it is durable.
        view.state = shard.shown ? enum_names(*shard.decision)[static_cast<std::size_t>(*shard.decision)] : "verifying";
        break;
    }
    if (shard.state != ShardState::waiting) view.worker = shard.worker;
    views.push_back(std::move(view));
  }
  return views;
}

std::vector<Envelope> Job::story() const {
  const auto durable = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(durable_, story_.size()));
  return {story_.begin(), story_.begin() + durable};
}

std::vector<std::pair<Cid, Cid>> Job::results() const {
  std::vector<std::pair<Cid, Cid>> roots;
  for (const Shard& shard : shards_) {
    if (shard.finding) roots.emplace_back(shard.finding->result, shard.finding->log);
  }
  return roots;
}

}  // namespace mesh::node
