// A paid job on the ledger: the lock before the bidding, works as they are anchored, drawn for, revealed and settled, and what is
// left coming back. The ledger's judgement is the job's.
#include "node/job_payment.h"

#include <algorithm>

#include "base/check.h"
#include "codec/utf8.h"
#include "domain/ledger/reveal.h"
#include "node/job.h"
#include "node/job_limits.h"
#include "node/ledger_pace.h"

namespace mesh::node {

namespace {

using identity::short_name;
using ledger::WorkEnding;
using ledger::WorkPhase;
using verification::Decision;

constexpr Duration ask_receipt_every = seconds(2);
constexpr Duration anchor_limit = seconds(60);  // From a commitment to the ledger's entry of it.

/// Refusals of a lock that waiting may mend: nothing was wrong with the task.
bool may_pass(const Error& error) {
  const std::string_view name = refusal_name(error);
  return error.code == ErrorCode::unavailable || name == "escrows-full" || name == "early-intent";
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- what a work came to

std::uint64_t paid_by(const ledger::Work& work, const ledger::Escrow& escrow) {
  std::uint64_t paid =
      work.accepted == 0
          ? 0
          : escrow.fee * ledger::active_policy().reward_settings.platform_fee_percentage / 100 * work.accepted;
  // What was paid out of bonds comes after what was paid out of the escrow.
  for (const ledger::Payout& one : work.payouts) {
    if (one.from_bond) break;
    paid += one.amount;
  }
  return std::min(paid, escrow.fee * work.accepted);
}

std::vector<Decision> decisions_of(const ledger::Work& ended, const ledger::Work* before, const ledger::Escrow& escrow,
                                   std::uint64_t time_ms) {
  const std::uint32_t count = ended.count();
  const Decision accepted = ended.ending == WorkEnding::by_publisher ? Decision::unverified : Decision::accepted;
  if (ended.accepted == count) return std::vector(count, accepted);
  if (ended.rejected == count) return std::vector(count, Decision::rejected);
  if (ended.undecided == count) return std::vector(count, Decision::disputed);
  if (before != nullptr && before->receipt && !before->draws.empty()) {
    ledger::WorkResult result = ledger::settle(*before, escrow, ledger::active_policy(), time_ms);
    if (result.accepted == ended.accepted && result.rejected == ended.rejected) {
      for (Decision& one : result.decisions) {
        if (one != Decision::accepted && one != Decision::rejected) one = Decision::disputed;
      }
      return std::move(result.decisions);
    }
  }
  // Accepted shards stay claimed for good. Who lied about one of them gets none of the others again.
  std::vector<Decision> decisions;
  ledger::ShardSet claimed;
  claimed.bytes() = escrow.claimed;
  for (const std::uint32_t shard : ended.numbers()) {
    const bool is_paid = !escrow.claimed.empty() && claimed.has(shard);
    decisions.push_back(is_paid ? accepted : ended.rejected > 0 ? Decision::rejected : Decision::disputed);
  }
  return decisions;
}

// ---------------------------------------------------------------------------------------------------- the escrow

void Job::lock_fee(Instant now, Outbox& out) {
  if (!around_.ledger->is_known() || payment_->is_locked() || ended()) return;
  ledger::Lock lock;
  lock.intent = record::encode(intent_.envelope);
  around_.desk->want(now, {.kind = LedgerDesk::Kind::lock, .scope = id(), .about = id()}, std::move(lock), out);
}

void Job::on_locked(Instant now, Outbox& out) {
  const ledger::Escrow& escrow = *payment_->escrow;
  note(std::to_string(escrow.held) + " micro-credits are locked for this task", out);
  if (ended() || field_) return;
  // From here on everybody can see that the fee is there; before, nobody was asked for anything.
  window_end_ = now + milliseconds(intent_.record.bid_window_ms);
  set_phase(JobPhase::bidding, "the fee is locked: asking for offers", out);
  out.require_durable();
  out.publish(Topic::intents, intent_.envelope);
}

void Job::ask_refund(Instant now, Outbox& out) {
  if (!payment_ || !ended() || payment_->refunding || !around_.ledger->is_known()) return;
  if (!payment_->escrow) {
    // The lock may be on its way still: asked again when it is there.
    return;
  }
  const ledger::Escrow& escrow = *payment_->escrow;
  // A job is done before its last works end; with them the escrow usually does.
  const bool are_all_claimed = phase_ == JobPhase::done && std::ranges::any_of(payment_->works, [](const auto& entry) {
                                 return entry.second.phase != WorkPhase::ended;
                               });
  if (are_all_claimed && !escrow.ended) return;
  const std::uint64_t closes = around_.ledger->wall_ms(now) + around_.ledger->parameters().notice_ms;
  if (escrow.ended || escrow.closed || closes >= escrow.closes_ms) {
    payment_->refunding = true;
    return;
  }
  ledger::Refund refund;
  refund.intent = id();
  around_.desk->want(now, {.kind = LedgerDesk::Kind::refund, .scope = id(), .about = id()}, refund, out);
}

void Job::on_transacted(Instant now, const LedgerDesk::Answer& answer, Outbox& out) {
  if (!payment_) return;
  payment_->look_again = now;
  if (answer.height) return advance(now, out);
  const Error& error = answer.height.error();
  const std::string_view name = refusal_name(error);
  switch (answer.wish.kind) {
    case LedgerDesk::Kind::lock:
      if (name == "escrow-exists" || may_pass(error)) break;  // The entry is told of by itself.
      if (!ended()) end(now, JobPhase::failed, utf8_excerpt(error.message, 512), out);
      return;
    case LedgerDesk::Kind::refund:
      if (name == "escrow-closing" || name == "escrow-ended" || name == "unknown-escrow") payment_->refunding = true;
      break;
    default:
      out.notify({.kind = "job.note", .job = id(), .text = "the ledger refused: " + utf8_excerpt(error.message, 256)});
      break;
  }
  advance(now, out);
}

std::uint64_t Job::covered_by_bond(const NodeId& node, const Worker& worker) const {
  // What it has leased and not anchored will be at stake, too. What it committed to is not anchored for a moment.
  std::uint64_t promised = worker.leased.size();
  for (const auto& [cid, batch] : batches_) {
    if (batch.commitment.signer == node && !payment_->works.contains(cid)) promised += batch.open;
  }
  const std::uint64_t covered = around_.ledger->shards_covered(node, intent_.record.fee);
  return covered - std::min(covered, promised);
}

// ---------------------------------------------------------------------------------------------------- works

void Job::on_ledger(Instant now, const event::LedgerChanged& changed, Outbox& out) {
  if (!payment_) return;
  const bool was_locked = payment_->is_locked();
  const bool had_ended = was_locked && payment_->escrow->ended;
  for (const ledger::Escrow& escrow : changed.escrows) {
    if (escrow.intent == id() && escrow.publisher == around_.ledger->self()) payment_->escrow = escrow;
  }
  if (!was_locked && payment_->is_locked()) on_locked(now, out);
  for (const ledger::Work& work : changed.works) {
    if (work.intent == id()) on_work(now, work, out);
  }
  for (const Envelope& envelope : changed.receipts) {
    const Result<Signed<receipt::ExecutionReceipt>> receipt =
        open<receipt::ExecutionReceipt>(envelope, around_.signer.federation());
    if (receipt && receipt->record.intent == id()) take_receipt(*receipt, out);
  }
  keep_proofs(changed, out);
  next_watch_ = std::min(next_watch_, now);
  payment_->look_again = now;
  if (!had_ended && payment_->is_locked() && payment_->escrow->ended) {
    const EscrowView view = escrow_view();
    out.notify({.kind = "job.paid",
                .job = id(),
                .text = "the escrow has ended: of " + std::to_string(view.locked) + " micro-credits " +
                        std::to_string(view.paid) + " were paid, " + std::to_string(view.refunded) + " came back"});
  }
  if (ended()) return ask_refund(now, out);
  advance(now, out);
}

void Job::on_work(Instant now, const ledger::Work& work, Outbox& out) {
  const auto known = payment_->works.find(work.commitment);
  if (known != payment_->works.end()) {
    if (known->second == work || known->second.phase == WorkPhase::ended) return;
    if (work.phase == WorkPhase::ended) {
      // The ledger keeps nothing of who was drawn, and who found what.
      out.journal(id(), "work", record::encode(known->second));
      payment_->revealed.insert_or_assign(work.commitment, known->second);
    }
  }
  if (work.phase == WorkPhase::ended) payment_->shown.erase(work.commitment);
  payment_->ahead[work.commitment] = ahead_of(work);
  payment_->works.insert_or_assign(work.commitment, work);
  if (work.phase == WorkPhase::ended) {
    out.journal(id(), "work", record::encode(work));
    compare_with_accepted(work, out);
  }
  if (ended() || !field_ || !workers_.contains(work.signer)) return;
  // What the ledger takes counts, whatever became of the lease meanwhile: nobody else can be paid for these shards.
  const bool came_to_something = work.phase != WorkPhase::ended || work.accepted > 0;
  const bool is_new = std::ranges::any_of(work.numbers(), [&](std::uint32_t shard) {
    const auto batch = batches_.find(work.commitment);
    return shards_[shard].state != ShardState::finished && (batch == batches_.end() || !is_open(batch->second, shard));
  });
  if (came_to_something && is_new) {
    out.journal(id(), "claim", record::encode(work));
    const Status applied = apply_claim(work);
    MESH_CHECK(applied.has_value(), "ledger-claim-applies");
  }
  if (const auto batch = batches_.find(work.commitment); batch != batches_.end()) batch->second.since = now;
}

Status Job::apply_claim(const ledger::Work& work) {
  if (!field_ || !workers_.contains(work.signer)) return fail(ErrorCode::invalid, "a claim of nobody on the roster");
  const std::vector<std::uint32_t> shards = work.numbers();
  if (shards.empty() || shards.back() >= shards_.size()) return fail(ErrorCode::invalid, "a claim on no shard");
  const auto [it, is_new] = batches_.try_emplace(work.commitment, Batch{.commitment = ledger::commitment_of(work)});
  Batch& batch = it->second;
  if (is_new) batch.shards = shards;
  seen_commitments_.insert(work.commitment);
  for (const std::uint32_t number : shards) {
    Shard& shard = shards_[number];
    if (shard.state == ShardState::finished || is_open(batch, number)) continue;
    if (shard.state == ShardState::leased) end_leases(number);
    if (shard.state == ShardState::committed) leave_batch(number);
    waiting_.erase(number);
    shard.state = ShardState::committed;
    shard.worker = work.signer;
    shard.award = work.award;
    shard.second_award.reset();
    shard.commitment = work.commitment;
    ++batch.open;
  }
  return {};
}

Status Job::restore_payment(std::string_view kind, ByteView bytes) {
  if (!payment_) return fail(ErrorCode::storage, "a record of payment for a task that is free");
  MESH_LET(ledger::Work work, record::decode<ledger::Work>(bytes));
  if (kind == "claim") return apply_claim(work);
  const Cid cid = work.commitment;
  (work.phase == WorkPhase::ended ? payment_->works : payment_->revealed).insert_or_assign(cid, std::move(work));
  return {};
}

void Job::watch_payment(Instant now, Outbox& out) {
  lock_fee(now, out);
  if (!payment_->is_locked() || now < payment_->look_again) return;
  payment_->look_again = now + look_every;
  std::vector<Cid> cids;
  for (const auto& [cid, batch] : batches_) cids.push_back(cid);
  for (const Cid& cid : cids) {
    const auto batch = batches_.find(cid);
    if (batch == batches_.end()) continue;
    const auto work = payment_->works.find(cid);
    if (work == payment_->works.end()) {
      watch_unanchored(now, batch->second, out);
    } else if (work->second.phase == WorkPhase::ended) {
      conclude(now, work->second, out);
    } else {
      watch_work(now, work->second, batch->second, out);
    }
    if (ended()) return;
  }
}

void Job::watch_unanchored(Instant now, Batch& batch, Outbox& out) {
  // Nothing can be anchored under an award that is spent, nor of an escrow that is closed.
  const ledger::Escrow& escrow = *payment_->escrow;
  const bool is_spent =
      escrow.closed || std::ranges::find(escrow.spent, batch.commitment.record.basis) != escrow.spent.end();
  if (!around_.ledger->is_known() || (!is_spent && now - batch.since < anchor_limit)) return;
  const NodeId worker = batch.commitment.signer;
  workers_.at(worker).avoid_until = now + unanswered_penalty;
  return_shards(now, open_shards(batch), "worker " + short_name(worker) + " did not anchor what it committed to", out);
}

void Job::watch_work(Instant now, const ledger::Work& work, Batch& batch, Outbox& out) {
  if (work.draws.empty()) return;
  if (work.draws[0].seats == 0) return accept_unverified(now, work, batch, out);
  if (const std::optional<ledger::Work> ahead = foreseen(work, batch)) return accept_revealed(now, *ahead, batch, out);
  if (work.phase == WorkPhase::revealed) return accept_revealed(now, work, batch, out);
  if (work.phase != WorkPhase::drawn && work.phase != WorkPhase::disputed) return;
  const std::uint64_t wall = around_.ledger->wall_ms(now);
  const std::set<NodeId> open = ledger::open_seats(work, wall);
  if (open.empty()) return;
  const auto told = payment_->told.find(work.commitment);
  if (told == payment_->told.end() || now - told->second >= tell_intent_every) {
    payment_->told.insert_or_assign(work.commitment, now);
    out.require_durable();
    for (const ledger::AccountId& account : open)
      out.send(around_.ledger->node_of(account), Channel::award, intent_.envelope);
  }
  const LedgerDesk::Wish wish{.kind = LedgerDesk::Kind::timeout, .scope = id(), .about = work.commitment};
  if (!around_.desk->is_free(now, wish)) return;
  std::vector<NodeId> overdue =
      overdue_seats(work, *payment_->escrow, around_.ledger->parameters(), wall, 0, payment_->waiting);
  if (overdue.empty()) return;
  for (const NodeId& node : overdue) {
    for (const std::uint32_t shard : seats_held(work, node, wall))
      tell(shard, "verifier " + short_name(node) + " did not answer when drawn (verify-timeout)");
    out.notify({.kind = "job.note",
                .job = id(),
                .peer = around_.ledger->node_of(node),
                .text = short_name(node) + " does not answer as a verifier"});
  }
  around_.desk->want(
      now, wish,
      ledger::Timeout{.account = {}, .sequence = 0, .commitment = work.commitment, .failed = std::move(overdue)}, out);
}

void Job::accept_unverified(Instant now, const ledger::Work& work, Batch& batch, Outbox& out) {
  unverified_ = true;
  if (!batch.receipt) return;  // It comes by itself: without this node's word its worker is not paid.
  const LedgerDesk::Wish wish{.kind = LedgerDesk::Kind::settle, .scope = id(), .about = work.commitment};
  if (!around_.desk->is_free(now, wish)) return;
  const verification::Verdict accepted{.intent = id(),
                                       .shards = work.shards,
                                       .decision = Decision::unverified,
                                       .receipt = batch.receipt->cid,
                                       .draw = {},
                                       .verifications = {},
                                       .timeliness = work.timeliness,
                                       .contribution = 0};
  ledger::Settle settle{.account = {}, .sequence = 0, .commitment = work.commitment};
  settle.receipt = record::encode(batch.receipt->envelope);
  settle.verdict = record::encode(around_.signer.seal(accepted));
  around_.desk->want(now, wish, std::move(settle), out);
}

// ---------------------------------------------------------------------------------------------------- what the ledger decided

void Job::take_receipt(const Signed<receipt::ExecutionReceipt>& receipt, Outbox& out) {
  const auto it = batches_.find(receipt.record.commitment);
  if (ended() || it == batches_.end() || it->second.receipt) return;
  const NodeId worker = it->second.commitment.signer;
  if (receipt.signer != worker)
    return refuse(receipt.signer, receipt.cid,
                  {ErrorCode::unauthorised, "not-the-worker: another node committed to these shards"}, out);
  // What does not open the commitment is the ledger's to judge: it is no reveal there.
  if (const Status applied = apply_receipt(receipt); !applied) return refuse(worker, receipt.cid, applied.error(), out);
  heard(worker);
  keep("receipt", receipt, out);
}

std::uint32_t Job::ahead_of(const ledger::Work& work) const {
  if (work.phase == WorkPhase::ended || !payment_->escrow) return 0;
  std::uint32_t ahead = 0;
  std::optional<ledger::WorkResult> result;
  const std::vector<std::uint32_t> numbers = work.numbers();
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    if (numbers[row] >= shards_.size()) continue;
    const Shard& shard = shards_[numbers[row]];
    if (shard.commitment != work.commitment || shard.decision != Decision::accepted) continue;
    if (!result && work.receipt)
      result = ledger::settle(work, *payment_->escrow, ledger::active_policy(), around_.ledger->time_ms());
    if (!result || result->decisions[row] != Decision::accepted) ++ahead;
  }
  return ahead;
}

void Job::take_verification(Instant now, const Signed<receipt::VerificationReceipt>& receipt, Outbox& out) {
  const auto work = std::ranges::find_if(payment_->works, [&](const auto& entry) {
    return std::ranges::any_of(entry.second.answers, [&](const ledger::Answer& answer) {
      return answer.commitment == receipt.record.commitment && answer.signer == receipt.signer;
    });
  });
  // Its commitment is not seen here yet, or nobody's: the ledger tells in time.
  if (work == payment_->works.end() || !batches_.contains(work->first)) return;
  payment_->shown[work->first].emplace(receipt.record.commitment, receipt);
  heard(receipt.signer);
  next_watch_ = payment_->look_again = now;
  advance(now, out);
}

std::optional<ledger::Work> Job::foreseen(const ledger::Work& work, const Batch& batch) const {
  const auto shown = payment_->shown.find(work.commitment);
  if (shown == payment_->shown.end() || !batch.receipt || work.draws.size() != 1) return std::nullopt;
  const ledger::Bought bought{.shards = intent_.record.shards, .fuel = intent_.record.scope.fuel};
  ledger::Work ahead = work;
  if (work.phase == WorkPhase::drawn) {
    if (!ledger::open_seats(work, around_.ledger->time_ms()).empty()) return std::nullopt;
    if (!ledger::reveal_work(ahead, bought, *batch.receipt)) return std::nullopt;
    ahead.phase = WorkPhase::revealed;
  }
  bool is_ahead = false;
  for (const auto& [commitment, verification] : shown->second)
    is_ahead = ledger::reveal_answer(ahead, bought, verification).value_or(false) || is_ahead;
  return is_ahead ? std::optional(std::move(ahead)) : std::nullopt;
}

void Job::conclude(Instant now, const ledger::Work& work, Outbox& out) {
  const auto it = batches_.find(work.commitment);
  if (it == batches_.end()) return;
  Batch& batch = it->second;
  const NodeId worker = batch.commitment.signer;
  if (work.ending == WorkEnding::silent) {
    workers_.at(worker).avoid_until = now + unanswered_penalty;
    blame(now, worker, "did not reveal what it had committed to", unanswered_penalty, out);
    return return_shards(now, open_shards(batch),
                         "worker " + short_name(worker) + " did not reveal in time (reveal-timeout)", out);
  }
  // The ledger knows that it is right, and this node not yet what it is.
  if (work.accepted > 0 && !batch.receipt) return ask_receipt(now, work.commitment, worker, out);
  const auto before = payment_->revealed.find(work.commitment);
  const std::vector<Decision> decisions =
      decisions_of(work, before == payment_->revealed.end() ? nullptr : &before->second, *payment_->escrow,
                   around_.ledger->time_ms());
  const std::vector<std::uint32_t> numbers = work.numbers();
  std::map<Decision, std::vector<std::uint32_t>> ways;
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    if (is_open(batch, numbers[row])) ways[decisions[row]].push_back(numbers[row]);
  }
  const Cid cid = work.commitment;
  for (const auto& [decision, shards] : ways) {
    if (decision == Decision::disputed) {
      return_shards(now, shards, "undecided: no majority among the verifiers of worker " + short_name(worker), out);
    } else {
      settle_shards(now, batch, work, decision, shards, out);
    }
    if (ended() || !batches_.contains(cid)) return;
  }
  forget_if_done(cid);
}

void Job::ask_receipt(Instant now, const Cid& commitment, const NodeId& worker, Outbox& out) {
  const auto asked = payment_->asked.find(commitment);
  if (asked != payment_->asked.end() && now - asked->second < ask_receipt_every) return;
  payment_->asked.insert_or_assign(commitment, now);
  out.send(worker, Channel::award,
           sign(verification::RevealRequest{.intent = id(), .commitment = commitment, .draw = {}, .commitments = {}})
               .envelope);
}

void Job::accept_revealed(Instant now, const ledger::Work& work, Batch& batch, Outbox& out) {
  const ledger::WorkResult result =
      ledger::settle(work, *payment_->escrow, ledger::active_policy(), around_.ledger->time_ms());
  const std::vector<std::uint32_t> numbers = work.numbers();
  std::vector<std::uint32_t> accepted;
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    if (result.decisions[row] == Decision::accepted && is_open(batch, numbers[row])) accepted.push_back(numbers[row]);
  }
  if (accepted.empty()) return;
  const Cid cid = work.commitment;
  if (!batch.receipt) return ask_receipt(now, cid, batch.commitment.signer, out);
  settle_shards(now, batch, work, Decision::accepted, accepted, out);
  payment_->ahead[cid] = ahead_of(payment_->works.at(cid));
  if (!ended()) forget_if_done(cid);
}

void Job::compare_with_accepted(const ledger::Work& ended_work, Outbox& out) {
  const auto before = payment_->revealed.find(ended_work.commitment);
  const std::vector<Decision> decisions =
      decisions_of(ended_work, before == payment_->revealed.end() ? nullptr : &before->second, *payment_->escrow,
                   around_.ledger->time_ms());
  const std::vector<std::uint32_t> numbers = ended_work.numbers();
  std::vector<std::uint32_t> accepted;
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    if (numbers[row] >= shards_.size()) continue;
    const Shard& shard = shards_[numbers[row]];
    if (shard.commitment != ended_work.commitment || shard.decision != Decision::accepted) continue;
    accepted.push_back(numbers[row]);
    if (decisions[row] == Decision::accepted) continue;
    const std::string name(enum_names(decisions[row])[static_cast<std::size_t>(decisions[row])]);
    const std::string what = ended_work.ending == WorkEnding::silent
                                 ? "its worker showed this node what it had found, and the ledger nothing"
                                 : "after a dispute the ledger found it " + name;
    tell(numbers[row], "overturned: " + what + ", when its result was taken already");
    out.notify({.kind = "job.overturned",
                .job = id(),
                .peer = ended_work.worker,
                .shards = {{.first = numbers[row], .count = 1}},
                .text = "shard " + std::to_string(numbers[row]) + ": " + what +
                        ", when its result was taken already; its fee comes back"});
  }
  show_seats(ended_work, accepted);
}

void Job::settle_shards(Instant now, Batch& batch, const ledger::Work& work, Decision decision,
                        const std::vector<std::uint32_t>& shards, Outbox& out) {
  const NodeId worker = batch.commitment.signer;
  const Cid receipt = batch.receipt ? batch.receipt->cid : work.receipt.value_or(Cid{});
  const Signed<verification::Verdict> verdict = sign(verification::Verdict{.intent = id(),
                                                                           .shards = task::ranges_of(shards),
                                                                           .decision = decision,
                                                                           .receipt = receipt,
                                                                           .draw = {},
                                                                           .verifications = {},
                                                                           .timeliness = work.timeliness,
                                                                           .contribution = 0});
  keep("verdict", verdict, out);
  out.require_durable();
  out.send(worker, Channel::award, verdict.envelope);
  show_seats(work, shards);
  const Status applied = apply_verdict(verdict.record);
  MESH_CHECK(applied.has_value(), "ledger-verdict-applies");
  unshown_.push_back({.records = records(), .shards = shards, .tally = decided_});
  out.notify({.kind = "job.shard",
              .job = id(),
              .peer = worker,
              .shards = verdict.record.shards,
              .phase = "verifying",
              .text = std::string(enum_names(decision)[static_cast<std::size_t>(decision)]) +
                      (work.phase == WorkPhase::ended ? " by the ledger" : " by its verifiers")});
  if (decision != Decision::rejected) return;
  blame(now, worker, "was rejected by the ledger on shard " + std::to_string(shards.front()), liar_penalty, out);
  for (const std::uint32_t shard : shards) {
    tell(shard, "worker " + short_name(worker) + " was rejected by the ledger");
    if (shards_[shard].attempts < max_attempts) continue;
    return end(now, JobPhase::failed,
               "rejected: shard " + std::to_string(shard) + " failed with " + std::to_string(max_attempts) + " workers",
               out);
  }
}

void Job::show_seats(const ledger::Work& now, const std::vector<std::uint32_t>& shards) {
  // The ledger keeps nothing of seats once the work has ended.
  const auto before = payment_->revealed.find(now.commitment);
  const bool has_ended = before != payment_->revealed.end();
  if (!has_ended && now.phase == WorkPhase::ended) return;
  const ledger::Work& work = has_ended ? before->second : now;
  for (const std::uint32_t shard : shards) {
    auto views = std::make_shared<std::vector<SeatView>>();
    for (const ledger::Answer& answer : work.answers) {
      if (!task::covers(answer.shards, shard)) continue;
      const bool differs = std::ranges::binary_search(answer.differing, shard);
      const std::string_view unrevealed = has_ended ? "did not reveal" : "has not revealed yet";
      views->push_back({around_.ledger->node_of(answer.node), std::string(!answer.revealed ? unrevealed
                                                                          : differs        ? "disagreed"
                                                                                           : "agreed")});
    }
    for (const ledger::Work::PassedOver& one : work.passed_over) {
      const NodeId node = around_.ledger->node_of(one.node);
      const bool answered = std::ranges::any_of(*views, [&](const SeatView& view) { return view.node == node; });
      if (!answered) views->push_back({node, "lost its seat: did not answer when drawn (verify-timeout)"});
    }
    shards_[shard].seats = std::move(views);
  }
}

EscrowView Job::escrow_view() const {
  EscrowView view{.state = "locking", .place = ledger::Escrow::place_of(id().digest())};
  if (!payment_->escrow) return view;
  const ledger::Escrow& escrow = *payment_->escrow;
  view.state = escrow.ended ? "ended" : escrow.closed || payment_->refunding ? "closing" : "locked";
  view.locked = escrow.fee * escrow.shards;
  view.held = escrow.held;
  view.shards_paid = escrow.paid;
  for (const auto& [cid, ahead] : payment_->ahead) view.ahead += ahead;
  for (const auto& [cid, work] : payment_->works) {
    const std::uint64_t paid = paid_by(work, escrow);
    view.paid += paid;
    view.works.push_back({.commitment = cid,
                          .worker = work.worker,
                          .state = std::string(ledger::state_name(work)),
                          .accepted = work.accepted,
                          .rejected = work.rejected,
                          .undecided = work.undecided,
                          .paid = paid,
                          .due_ms = work.due_ms,
                          .payouts = work.payouts,
                          .to_treasury = work.to_treasury});
  }
  view.refunded = view.locked - view.held - std::min(view.paid, view.locked - view.held);
  return view;
}

}  // namespace mesh::node
