// A paid task on the worker's side: what it committed to is anchored, drawn for by the ledger, revealed and settled.
//
// All of it is the worker's own to do, so a publisher that is gone, or keeps something back, costs it nothing. What is to be done
// next follows from the ledger's entries alone.
#include <algorithm>

#include "codec/utf8.h"
#include "node/engagement.h"
#include "node/ledger_pace.h"

namespace mesh::node {

namespace {

using identity::short_name;
using ledger::WorkPhase;

constexpr std::uint64_t patience_ms = 5'000;  // The publisher first.
constexpr std::size_t max_anchored_bytes = std::size_t{48} << 10;  // Of commitments in one transaction.
// What is larger takes longer to send to each than to wait for the block that holds it.
constexpr std::size_t max_shown_bytes = std::size_t{16} << 10;

/// Whether a refusal of an anchor holds for good. Others pass: a bond is freed, a fee comes in, a table has room again.
bool is_for_good(std::string_view name) {
  static constexpr std::array<std::string_view, 14> names{
      "unknown-escrow",        "escrow-closed",  "own-work",    "not-the-publisher", "award-spent",
      "award-of-another",      "over-fee",       "bad-offer",   "award-undated",     "bad-award",
      "commitment-of-another", "bad-commitment", "not-awarded", "shard-claimed"};
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

bool Engagement::is_funded() const {
  if (!is_paid()) return true;
  const std::optional<ledger::Escrow>& escrow = on_ledger_.escrow;
  return escrow && !escrow->closed && escrow->signer == publisher();
}

bool Engagement::has_open_works() const {
  if (on_ledger_.escrow && on_ledger_.escrow->ended) return false;
  return std::ranges::any_of(own_commitments_, [&](const auto& own) {
    if (own.second.commitment.record.worker || on_ledger_.lost.contains(own.first)) return false;
    const auto work = on_ledger_.works.find(own.first);
    return work == on_ledger_.works.end() || work->second.phase != WorkPhase::ended;
  });
}

void Engagement::on_ledger(Instant now, const event::LedgerChanged& changed, Outbox& out) {
  const bool was_funded = is_funded();
  for (const ledger::Escrow& escrow : changed.escrows) {
    if (escrow.intent == id()) on_ledger_.escrow = escrow;
  }
  for (const ledger::Work& work : changed.works) {
    if (work.intent != id() || work.signer != around_.signer.id()) continue;
    const auto before = on_ledger_.works.find(work.commitment);
    const bool has_ended = work.phase == WorkPhase::ended &&
                           (before == on_ledger_.works.end() || before->second.phase != WorkPhase::ended);
    on_ledger_.works.insert_or_assign(work.commitment, work);
    if (!own_commitments_.contains(work.commitment)) add_own(ledger::commitment_of(work), work.numbers());
    if (has_ended) {
      out.notify({.kind = "task.settled",
                  .job = id(),
                  .peer = publisher(),
                  .shards = work.shards,
                  .text = std::to_string(work.accepted) + " accepted, " + std::to_string(work.rejected) +
                          " rejected, " + std::to_string(work.undecided) + " undecided"});
    }
  }
  if (changed.whole && !on_ledger_.escrow) {
    // Nothing was committed to without an escrow: it ended so long ago that it is forgotten.
    for (const auto& [cid, own] : own_commitments_) {
      if (!on_ledger_.works.contains(cid)) on_ledger_.lost.insert(cid);
    }
  }
  if (!was_funded && is_funded()) {
    for (const auto& [cid, lease] : leases_)
      need(now, {lease.running.begin(), lease.running.end()}, Executions::Purpose::work, nullptr, out);
    commit_all_ready(now, out);
  }
  on_ledger_.look_again = now;
  watch_ledger(now, out);
}

void Engagement::watch_ledger(Instant now, Outbox& out) {
  if (closed_) leases_.clear();  // Nothing more is wanted; what was committed to is paid all the same.
  if (!around_.ledger->is_known() || now < on_ledger_.look_again) return;
  on_ledger_.look_again = now + look_every;
  if (is_funded()) anchor_commitments(now, out);
  for (const auto& [cid, work] : on_ledger_.works) watch_work(now, work, out);
}

void Engagement::anchor_commitments(Instant now, Outbox& out) {
  for (const auto& [award, commitments] : own_by_basis_) {
    const auto given = awards_.find(award);
    if (given == awards_.end()) continue;
    const LedgerDesk::Wish wish{.kind = LedgerDesk::Kind::anchor, .scope = id(), .about = award};
    if (!around_.desk->is_free(now, wish)) continue;
    ledger::Anchor anchor{.account = {}, .sequence = 0, .commitments = {}, .offer = {}, .award = {}};
    std::vector<Cid> together;
    std::size_t bytes = 0;
    for (const Cid& cid : commitments) {
      if (on_ledger_.works.contains(cid) || on_ledger_.lost.contains(cid)) continue;
      const bool alone = on_ledger_.alone.contains(cid);
      if (alone && !together.empty()) continue;
      Bytes one = record::encode(own_commitments_.at(cid).commitment.envelope);
      bytes += one.size();
      if (!together.empty() && (bytes > max_anchored_bytes || together.size() >= ledger::max_anchored)) break;
      together.push_back(cid);
      anchor.commitments.push_back(std::move(one));
      if (alone) break;
    }
    if (together.empty()) continue;
    anchor.offer = record::encode(offer_.envelope);
    anchor.award = record::encode(given->second.envelope);
    on_ledger_.under_way.insert_or_assign(award, std::move(together));
    around_.desk->want(now, wish, std::move(anchor), out);
  }
}

void Engagement::on_transacted(Instant now, const LedgerDesk::Answer& answer, Outbox& out) {
  on_ledger_.look_again = now;
  if (answer.wish.kind == LedgerDesk::Kind::anchor) {
    const std::vector<Cid> together = std::exchange(on_ledger_.under_way[answer.wish.about], {});
    if (!answer.height && is_for_good(refusal_name(answer.height.error()))) {
      if (together.size() == 1) {
        on_ledger_.lost.insert(together.begin(), together.end());
      } else {
        on_ledger_.alone.insert(together.begin(), together.end());  // Which of them it was is not said.
      }
    }
  }
  if (!answer.height) {
    out.notify({.kind = "task.ledger",
                .job = id(),
                .peer = publisher(),
                .text = "the ledger refused: " + utf8_excerpt(answer.height.error().message, 256)});
  }
  watch_ledger(now, out);
}

void Engagement::watch_work(Instant now, const ledger::Work& work, Outbox& out) {
  if (work.draws.empty() || (work.phase != WorkPhase::drawn && work.phase != WorkPhase::disputed)) return;
  const std::uint64_t wall = around_.ledger->wall_ms(now);
  if (work.phase == WorkPhase::drawn && work.draws[0].seats == 0) {
    // Nobody could be drawn: the publisher has to accept it, for which it needs the receipt.
    const auto told = on_ledger_.told.find(work.commitment);
    if (told != on_ledger_.told.end() && now - told->second < tell_intent_every) return;
    on_ledger_.told.insert_or_assign(work.commitment, now);
    to_reveal_.insert(work.commitment);
    return reveal(now, work.commitment, out);
  }
  const std::set<NodeId> open = ledger::open_seats(work, wall);
  if (!work.receipt && ledger::open_seats(work, around_.ledger->time_ms()).empty()) {
    const LedgerDesk::Wish wish{.kind = LedgerDesk::Kind::settle, .scope = id(), .about = work.commitment};
    if (!around_.desk->is_free(now, wish)) return;
    const std::optional<Envelope> receipt = make_receipt(now, work.commitment, out);
    if (!receipt) return;
    ledger::Settle settle{.account = {}, .sequence = 0, .commitment = work.commitment};
    settle.receipt = record::encode(*receipt);
    const bool is_small = settle.receipt->size() <= max_shown_bytes;
    around_.desk->want(now, wish, std::move(settle), out);
    out.send(publisher(), Channel::receipt, *receipt);
    for (const ledger::Answer& answer : work.answers) {
      if (is_small && around_.peers.connected(answer.signer)) out.send(answer.signer, Channel::award, *receipt);
    }
    return;
  }
  // The intent is not in the ledger's state. The publisher tells it to whom was drawn; it may be gone.
  const auto told = on_ledger_.told.find(work.commitment);
  if (!open.empty() && (told == on_ledger_.told.end() || now - told->second >= tell_intent_every)) {
    on_ledger_.told.insert_or_assign(work.commitment, now);
    for (const ledger::AccountId& account : open)
      out.send(around_.ledger->node_of(account), Channel::award, intent_.envelope);
  }
  if (!on_ledger_.escrow) return;
  const LedgerDesk::Wish wish{.kind = LedgerDesk::Kind::timeout, .scope = id(), .about = work.commitment};
  if (!around_.desk->is_free(now, wish)) return;
  std::vector<NodeId> overdue =
      overdue_seats(work, *on_ledger_.escrow, around_.ledger->parameters(), wall, patience_ms, on_ledger_.waiting);
  if (overdue.empty()) return;
  for (const NodeId& node : overdue) {
    out.notify({.kind = "task.ledger",
                .job = id(),
                .peer = around_.ledger->node_of(node),
                .text = short_name(node) + " was drawn to verify and does not answer"});
  }
  around_.desk->want(
      now, wish,
      ledger::Timeout{.account = {}, .sequence = 0, .commitment = work.commitment, .failed = std::move(overdue)}, out);
}

Status Engagement::check_reveal_of_work(const Cid& commitment) const {
  const auto work = on_ledger_.works.find(commitment);
  if (work == on_ledger_.works.end()) return fail(ErrorCode::denied, "early: the commitment is not anchored yet");
  const ledger::Work& now = work->second;
  if (now.receipt || now.phase == WorkPhase::ended) return {};
  if (now.phase == WorkPhase::drawn && ledger::open_seats(now, around_.ledger->time_ms()).empty()) return {};
  return fail(ErrorCode::denied, "early: not all verifiers have committed yet");
}

}  // namespace mesh::node
