#include "node/ledger_seat.h"

#include <algorithm>

#include "codec/utf8.h"
#include "domain/ledger/reveal.h"
#include "node/ledger_pace.h"

namespace mesh::node {

namespace {

using identity::short_name;
using ledger::WorkPhase;

constexpr Duration kept_after_the_end = seconds(900);  // For the publisher to fetch what was found.
constexpr Duration submit_again_after = seconds(1);
constexpr std::size_t max_settlement_bytes = std::size_t{256}
                                             << 10;  // Of what one settlement shows: it may be all of them.

}  // namespace

// ---------------------------------------------------------------------------------------------------- restart

Result<std::unique_ptr<LedgerSeat>> LedgerSeat::restored(const Surroundings& around, ByteView bytes) {
  MESH_LET(ledger::Work work, record::decode<ledger::Work>(bytes));
  auto seat = std::make_unique<LedgerSeat>(around, std::move(work));
  seat->begun_ = true;
  return seat;
}

Status LedgerSeat::restore(std::string_view kind, ByteView bytes) {
  MESH_LET(const Envelope envelope, record::decode<Envelope>(bytes));
  const Cid& federation = around_.signer.federation();
  if (kind == "seat-intent") {
    MESH_LET(intent_, open<task::TaskIntent>(envelope, federation));
    return {};
  }
  if (kind == "seat-committed") {
    MESH_LET(Signed<receipt::Commitment> commitment, open<receipt::Commitment>(envelope, federation));
    MESH_LET(std::vector<std::uint32_t> shards, task::expand(commitment.record.shards, task::max_shards));
    const Cid cid = commitment.cid;
    own_.emplace(cid, Own{.commitment = std::move(commitment), .shards = std::move(shards)});
    return {};
  }
  return fail(ErrorCode::storage, "unknown journal record \"" + std::string(kind) + "\"");
}

// ---------------------------------------------------------------------------------------------------- what comes

void LedgerSeat::on_work(Instant now, const ledger::Work& work, Outbox& out) {
  work_ = work;
  gone_ = false;
  advance(now, out);
}

void LedgerSeat::on_intent(Instant now, const Signed<task::TaskIntent>& intent, Outbox& out) {
  if (intent_ || intent.cid != work_.intent) return;
  intent_ = intent;
  if (begun_) out.journal(id(), "seat-intent", record::encode(intent.envelope));
  advance(now, out);
}

void LedgerSeat::on_receipt(Instant now, const Signed<receipt::ExecutionReceipt>& receipt, Outbox& out) {
  if (receipt_ || work_.receipt || receipt.signer != work_.signer) return;
  receipt_ = receipt;
  advance(now, out);
}

void LedgerSeat::begin(Outbox& out) {
  if (begun_) return;
  begun_ = true;
  out.journal(id(), "seat-work", record::encode(work_));
  out.journal(id(), "seat-intent", record::encode(intent_->envelope));
}

void LedgerSeat::on_executed(Instant now, const std::vector<event::ExecutionDone::Shard>& done, Outbox& out) {
  std::set<Cid> roots;
  for (const event::ExecutionDone::Shard& run : done) {
    if (!task::covers(work_.shards, run.shard)) continue;
    running_.erase(run.shard);
    if (!run.result) {
      retry_at_ = now + submit_again_after;
      continue;
    }
    const receipt::Finding& finding = run.result->finding;
    found_.insert_or_assign(run.shard, Found{.finding = finding, .digest = receipt::digest_of(finding)});
    roots.insert({finding.result, finding.log});
  }
  if (!roots.empty()) out.add({effect::Declare{intent(), {roots.begin(), roots.end()}}});
  if (running_.empty()) advance(now, out);
}

void LedgerSeat::on_transacted(Instant now, const LedgerDesk::Answer& answer, Outbox& out) {
  if (!answer.height) {
    out.notify({.kind = "task.ledger",
                .job = intent(),
                .peer = work_.worker,
                .text = "the ledger refused: " + utf8_excerpt(answer.height.error().message, 256)});
  }
  advance(now, out);
}

void LedgerSeat::on_tick(Instant now, Outbox& out) {
  if (is_over()) {
    if (over_since_ == Instant{}) over_since_ = now;
    return;
  }
  over_since_ = {};
  if (now >= look_again_) advance(now, out);
}

bool LedgerSeat::is_done(Instant now) const {
  return is_over() && over_since_ != Instant{} && (own_.empty() || now - over_since_ >= kept_after_the_end);
}

std::optional<Instant> LedgerSeat::deadline() const {
  if (is_over()) return over_since_ == Instant{} ? std::nullopt : std::optional(over_since_ + kept_after_the_end);
  return look_again_;
}

// ---------------------------------------------------------------------------------------------------- verifying

void LedgerSeat::advance(Instant now, Outbox& out) {
  look_again_ = now + look_every;
  if (is_over() || work_.draws.empty() || !around_.ledger->is_known()) return;
  if (work_.phase == WorkPhase::drawn || work_.phase == WorkPhase::disputed) {
    // By the host's clock: who was passed over answers no more, and whoever comes next need not wait for a block.
    std::vector<std::uint32_t> open = seats_held(work_, around_.ledger->self(), around_.ledger->wall_ms(now));
    for (const auto& [cid, own] : own_) {
      if (!can_be_anchored(own)) continue;
      std::erase_if(open, [&](std::uint32_t shard) { return std::ranges::binary_search(own.shards, shard); });
    }
    for (const ledger::Answer& answer : work_.answers) {
      if (answer.node != around_.ledger->self() || answer.round != round()) continue;
      std::erase_if(open, [&](std::uint32_t shard) { return task::covers(answer.shards, shard); });
    }
    if (!open.empty() && intent_) {
      begin(out);
      if (!need(now, open, out)) commit(now, open, out);
    }
    anchor(now, out);
  }
  if (work_.receipt) {
    receipt_.reset();
    reveal(now, out);
  } else if (receipt_) {
    show_publisher(now, out);
  }
}

bool LedgerSeat::need(Instant now, const std::vector<std::uint32_t>& shards, Outbox& out) {
  std::vector<std::uint32_t> missing;
  std::ranges::copy_if(shards, std::back_inserter(missing),
                       [&](std::uint32_t shard) { return !found_.contains(shard); });
  running_ = {missing.begin(), missing.end()};
  if (missing.empty()) return false;
  if (now < retry_at_ || !intent_) return true;
  const task::TaskIntent& terms = intent_->record;
  std::vector<NodeId> holders{intent_->signer};
  if (const NodeId worker = around_.ledger->node_of(work_.worker); worker != intent_->signer) holders.push_back(worker);
  const bool taken = around_.executions.request(now,
                                                {.intent = intent(),
                                                 .function = terms.function,
                                                 .inputs = terms.inputs,
                                                 .shards = std::move(missing),
                                                 .scope = terms.scope,
                                                 .fetch_ms = terms.limits.fetch_ms,
                                                 .holders = std::move(holders),
                                                 .sealed = false,
                                                 .keys = {}},
                                                Executions::Purpose::verify, out);
  if (!taken) retry_at_ = now + submit_again_after;
  return true;
}

void LedgerSeat::commit(Instant now, const std::vector<std::uint32_t>& shards, Outbox& out) {
  for (std::span<const std::uint32_t> left = shards; !left.empty();) {
    std::vector<std::uint32_t> covered;
    std::vector<Digest> digests;
    std::size_t bytes = 0;
    for (const std::uint32_t shard : left) {
      const Found& found = found_.at(shard);
      bytes += receipt::size_in_receipt(found.finding);
      if (bytes > max_settlement_bytes && !covered.empty()) break;
      covered.push_back(shard);
      digests.push_back(found.digest);
    }
    left = left.subspan(covered.size());
    receipt::Commitment made{.intent = intent(),
                             .node = around_.signer.id(),
                             .basis = work_.draws.back().block,
                             .worker = id(),
                             .shards = task::ranges_of(covered),
                             .root = {}};
    made.root =
        receipt::root_of(intent(), around_.signer.id(), receipt::salt_key(around_.signer, made), covered, digests);
    Signed<receipt::Commitment> commitment = around_.signer.sign(std::move(made));
    out.journal(id(), "seat-committed", record::encode(commitment.envelope));
    out.notify({.kind = "task.verifying",
                .job = intent(),
                .peer = work_.worker,
                .shards = commitment.record.shards,
                .text = "drawn by the ledger to verify " + short_name(work_.worker) + ", and committed"});
    const Cid cid = commitment.cid;
    own_.emplace(cid, Own{.commitment = std::move(commitment), .shards = std::move(covered)});
  }
  anchor(now, out);
}

bool LedgerSeat::can_be_anchored(const Own& own) const {
  // By the key of now alone; after a rotation the same is committed to anew.
  return own.commitment.record.basis == work_.draws.back().block && own.commitment.signer == around_.signer.id();
}

void LedgerSeat::anchor(Instant now, Outbox& out) {
  for (const auto& [cid, own] : own_) {
    if (!can_be_anchored(own)) continue;
    if (std::ranges::find(work_.answers, cid, &ledger::Answer::commitment) != work_.answers.end()) continue;
    ledger::Anchor anchor;
    anchor.commitments.push_back(record::encode(own.commitment.envelope));
    around_.desk->want(now, {.kind = LedgerDesk::Kind::anchor, .scope = id(), .about = cid}, std::move(anchor), out);
  }
}

void LedgerSeat::show_publisher(Instant now, Outbox& out) {
  if (!intent_ || work_.phase != WorkPhase::drawn || !ledger::open_seats(work_, around_.ledger->time_ms()).empty())
    return;
  ledger::Work shown = work_;
  const task::TaskIntent& terms = intent_->record;
  const Status revealed_it = ledger::reveal_work(shown, {.shards = terms.shards, .fuel = terms.scope.fuel}, *receipt_);
  if (!revealed_it) return receipt_.reset();  // The ledger will not take it, either.
  for (const ledger::Answer& answer : work_.answers) {
    const auto own = own_.find(answer.commitment);
    const identity::Signer* signer = around_.signer_by(answer.signer);
    if (own == own_.end() || signer == nullptr) continue;
    if (need(now, own->second.shards, out)) return;
    out.send(intent_->signer, Channel::receipt, revealed(shown, own->second, *signer));
  }
  receipt_.reset();
}

Envelope LedgerSeat::revealed(const ledger::Work& work, const Own& own, const identity::Signer& signer) const {
  const std::vector<std::uint32_t> numbers = work.numbers();
  receipt::VerificationReceipt shown{.intent = intent(),
                                     .receipt = *work.receipt,
                                     .commitment = own.commitment.cid,
                                     .key = receipt::salt_key(signer, own.commitment.record),
                                     .differing = {},
                                     .findings = {}};
  std::vector<std::uint32_t> differing;
  std::vector<receipt::Finding> findings;
  for (const std::uint32_t shard : own.shards) {
    const Found& found = found_.at(shard);
    const auto row = static_cast<std::size_t>(std::ranges::lower_bound(numbers, shard) - numbers.begin());
    if (work.ballot(row) == verification::ballot_of(found.finding)) continue;
    differing.push_back(shard);
    findings.push_back(found.finding);
  }
  shown.differing = task::ranges_of(differing);
  shown.findings = receipt::columns_of(findings);
  return signer.seal(shown);
}

void LedgerSeat::reveal(Instant now, Outbox& out) {
  for (const ledger::Answer& answer : work_.answers) {
    if (answer.node != around_.ledger->self() || answer.revealed) continue;
    const auto own = own_.find(answer.commitment);
    const identity::Signer* signer = around_.signer_by(answer.signer);
    if (own == own_.end() || signer == nullptr) continue;
    const LedgerDesk::Wish wish{.kind = LedgerDesk::Kind::settle, .scope = id(), .about = answer.commitment};
    if (!around_.desk->is_free(now, wish)) continue;
    // Lost in a crash: the same work gives the same finding.
    if (need(now, own->second.shards, out)) continue;
    ledger::Settle settle{.account = {}, .commitment = id()};
    const Envelope shown = revealed(work_, own->second, *signer);
    settle.verifications.push_back(record::encode(shown));
    around_.desk->want(now, wish, std::move(settle), out);
    if (intent_) out.send(intent_->signer, Channel::receipt, shown);
  }
}

}  // namespace mesh::node
