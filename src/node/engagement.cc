#include "node/engagement.h"

#include <algorithm>

#include "codec/utf8.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::node {

namespace {

using receipt::Commitment;
using receipt::ExecutionReceipt;
using receipt::VerificationReceipt;

// Findings are committed to together. None waits longer than a part of the time that the task has taken so far, or than it
// takes to get half done of what is leased: the publisher tops that up.
constexpr std::int64_t gather_part = 16;
constexpr Duration gather_least = milliseconds(50);
constexpr Duration gather_most = milliseconds(250);
constexpr std::size_t max_findings_bytes = std::size_t{512} << 10;  // Of what one receipt reveals: it fits a message.
constexpr Duration retry_after = seconds(1);
constexpr std::uint32_t max_retries = 20;
constexpr Duration forgotten_after = seconds(900);  // Without a word from the publisher.
constexpr std::size_t max_kept_records = 16384;
// Of a paid task each commitment is drawn for, and has a bond at stake: they are few and large.
constexpr Duration gather_paid = seconds(2);
constexpr std::size_t max_paid_findings_bytes = std::size_t{256} << 10;  // A settlement holds them.
constexpr std::uint64_t max_award_age_ms = 10'000;

}  // namespace

Digest Engagement::nonce_tip(const identity::Signer& signer, const Signed<task::TaskIntent>& intent) {
  return verification::chain_link(signer.secret("meshwork/1/verifier-chain", {intent.cid.binary()}),
                                  task::max_rounds(intent.record.shards), 0);
}

Engagement::Engagement(const Surroundings& around, Instant now, Signed<task::TaskIntent> intent,
                       Signed<market::ComputeOffer> offer)
    : around_(around),
      intent_(std::move(intent)),
      offer_(std::move(offer)),
      chain_(around.signer.secret("meshwork/1/verifier-chain", {intent_.cid.binary()}),
             task::max_rounds(intent_.record.shards)),
      began_(now),
      heard_(now) {}

bool Engagement::over(Instant now) const {
  const Duration patience = std::max<Duration>(
      forgotten_after, milliseconds(std::uint64_t{intent_.record.limits.fetch_ms} + intent_.record.limits.run_ms));
  if (is_paid() && has_open_works()) return false;
  return closed_ || now - heard_ > patience;
}

bool Engagement::awarded(std::uint32_t shard) const {
  return std::ranges::any_of(leases_, [&](const auto& entry) {
    return entry.second.running.contains(shard) || entry.second.ready.contains(shard);
  });
}

std::uint64_t Engagement::take_fuel() { return std::exchange(fuel_, 0); }

Status Engagement::from_publisher(const NodeId& signer) const {
  if (signer == intent_.signer) return {};
  return fail(ErrorCode::unauthorised, "not-the-publisher: only the task's publisher can say this");
}

// ---------------------------------------------------------------------------------------------------- restart

Status Engagement::restore(std::string_view kind, ByteView bytes) {
  const Cid& federation = around_.signer.federation();
  if (kind == "found") {
    MESH_LET(const FoundShards found, record::decode<FoundShards>(bytes));
    MESH_LET(const std::vector<std::uint32_t> shards, task::expand(found.shards, intent_.record.shards));
    MESH_LET(const std::vector<receipt::Finding> rows, receipt::rows_of(found.findings, shards.size()));
    if (!found.usage.has(shards.size())) return fail(ErrorCode::storage, "the record of what was found is damaged");
    for (std::size_t i = 0; i < shards.size(); ++i)
      take_found(shards[i], rows[i], found.usage.summary(i, rows[i].fuel));
    return {};
  }
  MESH_LET(const Envelope envelope, record::decode<Envelope>(bytes));
  if (kind == "roster-offer") {
    MESH_LET(Signed<market::ComputeOffer> offer, open<market::ComputeOffer>(envelope, federation));
    offers_.insert_or_assign(offer.cid, std::move(offer));
    return {};
  }
  Outbox nowhere;  // What the journal holds was said before.
  if (kind == "roster") return on_roster(envelope, nowhere);
  if (kind == "award") {
    MESH_LET(const Signed<market::Award> award, open<market::Award>(envelope, federation));
    MESH_LET(const std::vector<std::uint32_t> shards, task::expand(award.record.shards, intent_.record.shards));
    awards_.emplace(award.cid, award);
    leases_[award.cid] = Lease{.running = {shards.begin(), shards.end()}, .ready = {}, .ready_since = {}};
    return {};
  }
  if (kind == "opened") {
    MESH_LET(const Signed<verification::RoundOpen> round, open<verification::RoundOpen>(envelope, federation));
    opened_.insert_or_assign(round.record.round, round.cid);
    opens_.insert_or_assign(round.cid, round);
    return {};
  }
  if (kind == "committed") {
    MESH_LET(const Signed<Commitment> commitment, open<Commitment>(envelope, federation));
    MESH_LET(const std::vector<std::uint32_t> shards, task::expand(commitment.record.shards, intent_.record.shards));
    if (const auto lease = leases_.find(commitment.record.basis); lease != leases_.end()) {
      for (const std::uint32_t shard : shards) lease->second.running.erase(shard);
    }
    add_own(commitment, shards);
    return {};
  }
  if (kind == "keys") {
    MESH_LET(const Signed<verification::ShardKeys> given, open<verification::ShardKeys>(envelope, federation));
    MESH_LET(const auto keys, verification::keys_of(given.record, intent_.record.shards));
    for (const auto& [shard, key] : keys) held_keys_.insert_or_assign(shard, HeldKey{.key = key, .from = given.signer});
    return {};
  }
  return fail(ErrorCode::storage, "unknown journal record \"" + std::string(kind) + "\"");
}

void Engagement::resume(Instant now, Outbox& out) {
  heard_ = now;
  const std::map<Cid, Lease> leases = std::exchange(leases_, {});
  if (around_.is_former) return;  // What it committed to is shown; the publisher takes nothing new by that key.
  for (const auto& [cid, lease] : leases) take_lease(now, cid, {lease.running.begin(), lease.running.end()}, out);
}

// ---------------------------------------------------------------------------------------------------- records

Status Engagement::on_envelope(Instant now, const std::string& type, const Envelope& envelope, Outbox& out) {
  const Cid& federation = around_.signer.federation();
  heard_ = now;
  if (type == task::TaskIntent::type) return {};
  if (type == market::ComputeOffer::type) {
    if (field_ || offers_.size() >= market::max_roster) return {};
    MESH_LET(Signed<market::ComputeOffer> offer, open<market::ComputeOffer>(envelope, federation));
    offers_.insert_or_assign(offer.cid, std::move(offer));
    return {};
  }
  if (type == market::Roster::type) return on_roster(envelope, out);
  if (type == market::Award::type) return on_award(now, envelope, out);
  if (type == Commitment::type) return on_commitment(now, envelope, out);
  if (type == verification::RoundOpen::type) return on_open(envelope, out);
  if (type == verification::NonceReveal::type) {
    if (reveals_.size() >= max_kept_records) reveals_.clear();
    MESH_LET(Signed<verification::NonceReveal> reveal, open<verification::NonceReveal>(envelope, federation));
    reveals_.insert_or_assign(reveal.cid, std::move(reveal));
    return {};
  }
  if (type == verification::Draw::type) return on_draw(now, envelope, out);
  if (type == verification::Substitution::type) {
    MESH_LET(const Signed<verification::Substitution> substitution,
             open<verification::Substitution>(envelope, federation));
    MESH_TRY(from_publisher(substitution.signer));
    MESH_LET(std::vector<std::uint32_t> shards, task::expand(substitution.record.shards, intent_.record.shards));
    return on_seats_changed(now, envelope, substitution.record.draw, substitution.record.commitment,
                            {.shards = std::move(shards), .lost = substitution.record.failed}, out);
  }
  if (type == verification::Extension::type) {
    MESH_LET(const Signed<verification::Extension> extension, open<verification::Extension>(envelope, federation));
    MESH_TRY(from_publisher(extension.signer));
    if (extension.record.seats > around_.config.policy.verification_quorum.maximum_verifiers) {
      return fail(ErrorCode::denied, "too-many-seats: the policy allows fewer verifiers");
    }
    MESH_LET(std::vector<std::uint32_t> shards, task::expand(extension.record.shards, intent_.record.shards));
    return on_seats_changed(now, envelope, extension.record.draw, extension.record.commitment,
                            {.shards = std::move(shards), .lost = {}, .wanted = extension.record.seats}, out);
  }
  if (type == verification::ShardKeys::type) return on_keys(now, publisher(), envelope, out);
  if (type == verification::RevealRequest::type) return on_reveal_request(now, envelope, out);
  if (type == ExecutionReceipt::type) return on_receipt(now, envelope, out);
  if (type == verification::Verdict::type) return on_verdict(now, envelope, out);
  if (type == market::Close::type) {
    MESH_LET(const Signed<market::Close> close, open<market::Close>(envelope, federation));
    MESH_TRY(from_publisher(close.signer));
    closed_ = true;
    return {};
  }
  return fail(ErrorCode::invalid, "unexpected: a \"" + utf8_excerpt(type, 64) + "\" has no place here");
}

Status Engagement::on_roster(const Envelope& envelope, Outbox& out) {
  MESH_LET(Signed<market::Roster> roster, open<market::Roster>(envelope, around_.signer.federation()));
  if (field_) {
    if (field_->roster.cid == roster.cid) return {};
    return fail(ErrorCode::conflict, "second-roster: this task has another roster already");
  }
  std::vector<Signed<market::ComputeOffer>> offers;
  for (const Cid& cid : roster.record.offers) {
    const auto offer = offers_.find(cid);
    if (offer == offers_.end())
      return fail(ErrorCode::invalid, "missing-offer: the roster came without an offer that it names");
    offers.push_back(offer->second);
  }
  MESH_LET(verification::Field field, verification::make_field(intent_, std::move(roster), std::move(offers)));
  const Signed<market::ComputeOffer>* mine = field.offer_of(around_.signer.id());
  if (mine == nullptr || mine->record.nonce_tip != offer_.record.nonce_tip) {
    closed_ = true;  // Not needed.
    return {};
  }
  offer_ = *mine;  // It may be an earlier one that a crash made this node forget; its nonces are the same.
  for (const Signed<market::ComputeOffer>& offer : field.offers)
    journal("roster-offer", record::encode(offer.envelope), out);
  journal("roster", record::encode(envelope), out);
  field_ = std::move(field);
  offers_.clear();
  return {};
}

Status Engagement::on_award(Instant now, const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<market::Award> award, open<market::Award>(envelope, around_.signer.federation()));
  MESH_TRY(from_publisher(award.signer));
  if (!field_ || award.record.roster != field_->roster.cid)
    return fail(ErrorCode::invalid, "unknown-roster: the award is under another roster");
  if (award.record.offer != offer_.cid) return fail(ErrorCode::invalid, "not-mine: the award is for another offer");
  if (is_paid() && !awards_.contains(award.cid)) {
    if (!award.record.given_ms)
      return fail(ErrorCode::invalid, "award-undated: of a paid task an award says when it was given");
    // What is paid falls with the time since then.
    if (around_.ledger->is_known() && *award.record.given_ms + max_award_age_ms < around_.ledger->wall_ms(now))
      return fail(ErrorCode::denied, "dated-back: the award says that it was given long before it came");
  }
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(award.record.shards, intent_.record.shards));
  if (awards_.contains(award.cid)) {
    resend_commitments(award.cid, out);  // Sent again: so is what was committed to under it.
  } else {
    journal("award", record::encode(envelope), out);
    awards_.emplace(award.cid, award);
    take_lease(now, award.cid, shards, out);
  }
  return {};
}

Status Engagement::on_commitment(Instant, const Envelope& envelope, Outbox&) {
  MESH_LET(Signed<Commitment> commitment, open<Commitment>(envelope, around_.signer.federation()));
  MESH_LET(std::vector<std::uint32_t> shards, receipt::covered(commitment, intent_.record.shards));
  if (commitments_.size() >= max_kept_records) commitments_.clear();
  if (commitment.signer == around_.signer.id()) {
    add_own(std::move(commitment), std::move(shards));  // Perhaps forgotten here, but signed by this node.
  } else {
    commitments_.insert_or_assign(commitment.cid, std::move(commitment));
  }
  return {};
}

Status Engagement::on_open(const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<verification::RoundOpen> round,
           open<verification::RoundOpen>(envelope, around_.signer.federation()));
  MESH_TRY(from_publisher(round.signer));
  const std::uint32_t limit = task::max_rounds(intent_.record.shards);
  if (!field_ || round.record.roster != field_->roster.cid)
    return fail(ErrorCode::invalid, "unknown-roster: the round is under another roster");
  if (round.record.round < 1 || round.record.round > limit)
    return fail(ErrorCode::invalid, "bad-round: rounds count from 1 to " + std::to_string(limit));
  const auto earlier = opened_.find(round.record.round);
  if (earlier != opened_.end() && earlier->second != round.cid) {
    return fail(ErrorCode::conflict,
                "second-opening: this node revealed its nonce of the round for another set of commitments");
  }
  const std::uint32_t most = around_.config.policy.verification_quorum.maximum_verifiers;
  if (std::ranges::any_of(round.record.seats, [&](std::uint32_t seats) { return seats > most; }))
    return fail(ErrorCode::denied, "too-many-seats: the policy allows fewer verifiers");
  if (earlier == opened_.end()) {
    opened_.emplace(round.record.round, round.cid);
    opens_.emplace(round.cid, round);
    journal("opened", record::encode(envelope), out);
  } else if (std::ranges::any_of(draws_, [&](const auto& draw) { return draw.second.round.open.cid == round.cid; })) {
    return {};  // It came along with the draw, sent again: the nonce is out.
  }
  out.require_durable();  // A nonce is revealed for one opening only, also across a crash.
  out.send(
      publisher(), Channel::receipt,
      around_.signer
          .sign(verification::NonceReveal{
              .intent = id(), .open = round.cid, .round = round.record.round, .link = chain_.link(round.record.round)})
          .envelope);
  return {};
}

// ---------------------------------------------------------------------------------------------------- verifying

Status Engagement::on_draw(Instant now, const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<verification::Draw> draw, open<verification::Draw>(envelope, around_.signer.federation()));
  MESH_TRY(from_publisher(draw.signer));
  if (!field_) return fail(ErrorCode::invalid, "unknown-roster: no roster came before the draw");
  if (!draws_.contains(draw.cid)) {
    const auto round = opens_.find(draw.record.open);
    if (round == opens_.end()) return fail(ErrorCode::invalid, "unknown-round: the draw came without its round");
    std::vector<Signed<verification::NonceReveal>> reveals;
    for (const Cid& cid : draw.record.reveals) {
      const auto reveal = reveals_.find(cid);
      if (reveal == reveals_.end())
        return fail(ErrorCode::invalid, "missing-nonce: the draw came without a nonce that it names");
      reveals.push_back(reveal->second);
    }
    MESH_LET(verification::DrawnRound drawn, verification::make_round(*field_, round->second, reveals, draw));
    DrawnTask task{.round = std::move(drawn), .reveals = {}, .benches = {}};
    if (intent_.record.is_sealed()) {
      for (const Signed<verification::NonceReveal>& reveal : reveals) task.reveals.push_back(reveal.envelope);
    }
    for (const Cid& cid : round->second.record.commitments) {
      const auto commitment = commitments_.find(cid);
      if (commitment == commitments_.end()) continue;  // Its own, or decided meanwhile: no seat for this node there.
      if (commitment->second.record.worker)
        return fail(ErrorCode::invalid, "bad-round: a verifier's commitment is drawn for");
      MESH_LET(task.benches[cid].covered, receipt::covered(commitment->second, intent_.record.shards));
    }
    for (const Cid& cid : draw.record.reveals) reveals_.erase(cid);
    draws_.emplace(draw.cid, std::move(task));
    draw_order_.push_back(draw.cid);
    while (draw_order_.size() > draws_kept) {
      std::erase_if(open_benches_, [&](const auto& bench) { return bench.first == draw_order_.front(); });
      draws_.erase(draw_order_.front());
      draw_order_.pop_front();
    }
  } else {
    resend_commitments(draw.cid, out);
  }
  for (const auto& [cid, bench] : draws_.at(draw.cid).benches) take_seats(now, draw.cid, cid, out);
  return {};
}

Status Engagement::on_seats_changed(Instant now, const Envelope& record, const Cid& draw, const Cid& commitment,
                                    const verification::SeatChange& change, Outbox& out) {
  const auto task = draws_.find(draw);
  if (task == draws_.end())
    return fail(ErrorCode::not_found, "unknown-draw: the draw that this changes is not known here");
  const auto bench = task->second.benches.find(commitment);
  if (bench == task->second.benches.end()) return {};  // This node's own commitment, or one decided before it came in.
  const auto [kept, is_new] = bench->second.changes.try_emplace(record.cid(), change);
  // Whatever else it names is of no account here, and could be a million shards.
  std::erase_if(kept->second.shards,
                [&](std::uint32_t shard) { return !std::ranges::binary_search(bench->second.covered, shard); });
  kept->second.shards.shrink_to_fit();
  if (is_new && intent_.record.is_sealed()) bench->second.change_records.push_back(record);
  take_seats(now, draw, commitment, out);
  return {};
}

void Engagement::take_seats(Instant now, const Cid& draw, const Cid& commitment, Outbox& out) {
  DrawnTask& task = draws_.at(draw);
  Bench& bench = task.benches.at(commitment);
  bench.running.clear();
  bench.ready.clear();
  bench.committed.clear();
  if (const auto own = own_by_worker_.find(commitment); own != own_by_worker_.end()) {
    for (const Cid& cid : own->second) {
      const Own& mine = own_commitments_.at(cid);
      if (mine.commitment.record.basis == draw) bench.committed.insert(mine.shards.begin(), mine.shards.end());
    }
  }
  const NodeId worker = commitments_.contains(commitment) ? commitments_.at(commitment).signer : publisher();
  for (const std::uint32_t shard : task.round.verified(commitment, bench.covered)) {
    if (bench.committed.contains(shard)) continue;
    verification::Seats seats{
        .order = task.round.order(commitment, shard, worker), .wanted = task.round.seats(commitment), .lost = {}};
    for (const auto& [cid, change] : bench.changes) seats.follow(change, shard);
    if (seats.holds(around_.signer.id())) (found_.contains(shard) ? bench.ready : bench.running).insert(shard);
  }
  open_benches_.insert({draw, commitment});
  need(now, {bench.running.begin(), bench.running.end()}, Executions::Purpose::verify, &worker, out);
  commit_bench(draw, commitment, out);
}

Status Engagement::on_receipt(Instant now, const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<ExecutionReceipt> receipt, open<ExecutionReceipt>(envelope, around_.signer.federation()));
  const auto commitment = commitments_.find(receipt.record.commitment);
  if (commitment == commitments_.end())
    return fail(ErrorCode::invalid, "unknown-commitment: the receipt opens nothing that is known here");
  if (commitment->second.signer != receipt.signer)
    return fail(ErrorCode::unauthorised, "not-the-worker: the receipt is not by whom committed to it");
  MESH_LET(receipt::Opened opened, receipt::open_execution(commitment->second, receipt.record, intent_.record.shards));
  to_answer_.insert_or_assign(commitment->first,
                              ToAnswer{.receipt = receipt.cid, .worker = receipt.signer, .opened = std::move(opened)});
  answer_receipt(now, commitment->first, out);
  return {};
}

void Engagement::answer_receipt(Instant now, const Cid& commitment, Outbox& out) {
  const auto waiting = to_answer_.find(commitment);
  const auto own = own_by_worker_.find(commitment);
  // Nothing committed yet: the receipt is of no use to this node before.
  if (waiting == to_answer_.end() || own == own_by_worker_.end()) return;
  // Of this node's commitments those under the newest draw: the publisher asks for these.
  const auto newness = [&](const Cid& cid) {
    const auto draw = std::ranges::find(draw_order_, own_commitments_.at(cid).commitment.record.basis);
    return draw == draw_order_.end() ? -1 : draw - draw_order_.begin();
  };
  const auto newest = newness(*std::ranges::max_element(own->second, {}, newness));
  for (const Cid& cid : own->second) {
    const Own& mine = own_commitments_.at(cid);
    if (newness(cid) == newest && need(now, mine.shards, Executions::Purpose::verify, &waiting->second.worker, out))
      return;  // Lost in a crash: the same work gives the same finding.
  }
  const receipt::Opened& worker = waiting->second.opened;
  for (const Cid& cid : own->second) {
    const Own& mine = own_commitments_.at(cid);
    if (newness(cid) != newest) continue;
    VerificationReceipt answer{.intent = id(),
                               .receipt = waiting->second.receipt,
                               .commitment = cid,
                               .key = receipt::salt_key(around_.signer, mine.commitment.record),
                               .differing = {},
                               .findings = {}};
    std::vector<std::uint32_t> differing;
    std::vector<receipt::Finding> findings;
    for (const std::uint32_t shard : mine.shards) {
      const receipt::Finding& finding = found_.at(shard).finding;
      const receipt::Finding* theirs = worker.find(shard);
      if (theirs != nullptr && *theirs == finding) continue;
      differing.push_back(shard);
      findings.push_back(finding);
    }
    answer.differing = task::ranges_of(differing);
    answer.findings = receipt::columns_of(findings);
    out.send(publisher(), Channel::receipt, around_.signer.seal(answer));
  }
  to_answer_.erase(waiting);
}

Status Engagement::on_verdict(Instant now, const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<verification::Verdict> verdict,
           open<verification::Verdict>(envelope, around_.signer.federation()));
  MESH_TRY(from_publisher(verdict.signer));
  if (verdict.record.decision == verification::Decision::rejected ||
      verdict.record.decision == verification::Decision::disputed)
    return {};
  // Decided, perhaps by what another worker did: nobody waits for them any more.
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(verdict.record.shards, intent_.record.shards));
  for (auto& [cid, lease] : leases_) {
    for (const std::uint32_t shard : shards) {
      lease.running.erase(shard);
      lease.ready.erase(shard);
    }
  }
  commit_all_ready(now, out);
  for (const std::uint32_t shard : shards) {
    retries_.erase(shard);
    awaited_keys_.erase(shard);
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------- running

bool Engagement::need(Instant now, std::vector<std::uint32_t> shards, Executions::Purpose purpose,
                      const NodeId* also_holds, Outbox& out) {
  std::erase_if(shards, [&](std::uint32_t shard) { return found_.contains(shard); });
  if (shards.empty()) return false;
  std::vector<verification::WrappedKey> keys;
  if (intent_.record.is_sealed()) {
    await_keys(now, shards, purpose);
    if (shards.empty()) return true;
    for (const std::uint32_t shard : shards) keys.push_back(held_keys_.at(shard).key);
  }
  std::vector<NodeId> holders{publisher()};
  if (also_holds != nullptr && *also_holds != publisher()) holders.push_back(*also_holds);
  if (field_) {
    for (const Signed<market::ComputeOffer>& offer : field_->offers) {
      if (offer.signer != around_.signer.id() && std::ranges::find(holders, offer.signer) == holders.end())
        holders.push_back(offer.signer);
    }
  }
  const bool taken = around_.executions.request(now,
                                                {.intent = id(),
                                                 .function = intent_.record.function,
                                                 .inputs = intent_.record.inputs,
                                                 .shards = shards,
                                                 .scope = intent_.record.scope,
                                                 .fetch_ms = intent_.record.limits.fetch_ms,
                                                 .holders = std::move(holders),
                                                 .sealed = intent_.record.is_sealed(),
                                                 .keys = std::move(keys)},
                                                purpose, out);
  if (!taken) {
    for (const std::uint32_t shard : shards) {
      // The queue is full: a little later.
      if (!around_.executions.has(id(), shard)) retries_[shard].at = now + retry_after;
    }
  }
  return true;
}

void Engagement::take_found(std::uint32_t shard, receipt::Finding finding, const task::ExecutionSummary& summary) {
  Found found{.finding = std::move(finding), .digest = {}, .summary = summary};
  found.digest = receipt::digest_of(found.finding);
  found_.insert_or_assign(shard, std::move(found));
}

void Engagement::on_executed(Instant now, const std::vector<event::ExecutionDone::Shard>& done, Outbox& out) {
  std::map<std::uint32_t, const event::ExecutionDone::Output*> outputs;
  for (const event::ExecutionDone::Shard& run : done) {
    if (run.result) {
      outputs.emplace(run.shard, &*run.result);
      continue;
    }
    if (run.is_key_wrong) {
      on_wrong_key(now, run.shard, out);
      continue;
    }
    Retry& retry = retries_[run.shard];
    retry.at = now + retry_after;
    // While the publisher is away nothing can be fetched from it; that is no reason to give up.
    if (around_.peers.connected(publisher()) && ++retry.count > max_retries) {
      retries_.erase(run.shard);
      out.send(
          publisher(), Channel::offer,
          around_.signer.sign(market::Decline{.intent = id(), .reason = utf8_excerpt(run.result.error().message, 256)})
              .envelope);
    }
  }
  if (outputs.empty()) return;
  FoundShards record;
  std::vector<std::uint32_t> shards;
  std::vector<receipt::Finding> findings;
  std::set<Cid> roots;
  for (const auto& [shard, output] : outputs) {
    retries_.erase(shard);
    shards.push_back(shard);
    findings.push_back(output->finding);
    record.usage.add(output->summary);
    take_found(shard, output->finding, output->summary);
    fuel_ += output->finding.fuel;
    if (!output->result_block.empty() || !output->log_block.empty())
      blocks_.insert_or_assign(shard, Blocks{output->result_block, output->log_block});
    roots.insert({output->finding.result, output->finding.log});
  }
  record.shards = task::ranges_of(shards);
  record.findings = receipt::columns_of(findings);
  journal("found", record::encode(record), out);
  if (!declared_) {
    // Who holds the inputs serves them too: verifiers need not depend on the publisher.
    roots.insert({intent_.record.function, intent_.record.inputs});
    declared_ = true;
  }
  out.add({effect::Declare{id(), {roots.begin(), roots.end()}}});
  for (auto& [cid, lease] : leases_) {
    for (const std::uint32_t shard : shards) {
      if (lease.running.erase(shard) > 0) lease.ready.insert(shard);
    }
  }
  commit_all_ready(now, out);
  const auto benches = open_benches_;
  for (const auto& [draw, cid] : benches) {
    Bench& bench = draws_.at(draw).benches.at(cid);
    for (const std::uint32_t shard : shards) {
      if (bench.running.erase(shard) > 0) bench.ready.insert(shard);
    }
    commit_bench(draw, cid, out);
  }
  const std::set<Cid> reveals = to_reveal_;
  for (const Cid& cid : reveals) reveal(now, cid, out);
  std::vector<Cid> answers;
  for (const auto& [cid, waiting] : to_answer_) answers.push_back(cid);
  for (const Cid& cid : answers) answer_receipt(now, cid, out);
}

void Engagement::take_lease(Instant now, const Cid& award, const std::vector<std::uint32_t>& shards, Outbox& out) {
  Lease& lease = leases_[award];
  for (const std::uint32_t shard : shards) (found_.contains(shard) ? lease.ready : lease.running).insert(shard);
  if (!is_funded()) return;  // Until the ledger says so, nothing is run for it.
  need(now, {lease.running.begin(), lease.running.end()}, Executions::Purpose::work, nullptr, out);
  commit_ready(now, award, out);
}

void Engagement::commit_all_ready(Instant now, Outbox& out) {
  std::vector<Cid> awards;
  for (const auto& [award, lease] : leases_) awards.push_back(award);
  for (const Cid& award : awards) commit_ready(now, award, out);
}

void Engagement::commit_ready(Instant now, const Cid& award, Outbox& out) {
  const auto found = leases_.find(award);
  if (found == leases_.end()) return;
  Lease& lease = found->second;
  if (lease.ready.empty()) {
    lease.ready_since.reset();
    if (lease.running.empty()) leases_.erase(found);
    return;
  }
  if (!lease.ready_since) lease.ready_since = now;
  // What is anchored together costs the ledger little more than one.
  const bool is_full = !is_paid() && lease.ready.size() >= receipt::max_commitment_shards;
  if (!lease.running.empty() && !is_full && now < gathered_at(lease)) return;
  const std::vector<std::uint32_t> ready(lease.ready.begin(), lease.ready.end());
  lease.ready.clear();
  lease.ready_since.reset();
  const bool done = lease.running.empty();
  for (std::span<const std::uint32_t> left = ready; !left.empty();) left = left.subspan(commit(award, {}, left, out));
  if (done) leases_.erase(award);
}

Instant Engagement::gathered_at(const Lease& lease) const {
  if (is_paid()) return *lease.ready_since + gather_paid;
  const Duration wait = lease.ready.size() >= lease.running.size()
                            ? gather_least
                            : std::clamp((*lease.ready_since - began_) / gather_part, gather_least, gather_most);
  return *lease.ready_since + wait;
}

void Engagement::commit_bench(const Cid& draw, const Cid& commitment, Outbox& out) {
  Bench& bench = draws_.at(draw).benches.at(commitment);
  if (!bench.running.empty()) return;
  const std::vector<std::uint32_t> ready(bench.ready.begin(), bench.ready.end());
  bench.committed.insert(ready.begin(), ready.end());
  bench.ready.clear();
  open_benches_.erase({draw, commitment});
  for (std::span<const std::uint32_t> left = ready; !left.empty();)
    left = left.subspan(commit(draw, commitment, left, out));
}

std::size_t Engagement::commit(const Cid& basis, const std::optional<Cid>& worker,
                               std::span<const std::uint32_t> shards, Outbox& out) {
  std::vector<std::uint32_t> covered;
  std::vector<Digest> digests;
  std::size_t bytes = 0;
  for (const std::uint32_t shard : shards.first(std::min<std::size_t>(shards.size(), receipt::max_commitment_shards))) {
    const Found& found = found_.at(shard);
    bytes += receipt::size_in_receipt(found.finding);
    if (bytes > (is_paid() ? max_paid_findings_bytes : max_findings_bytes) && !covered.empty()) break;
    covered.push_back(shard);
    digests.push_back(found.digest);
  }
  const std::size_t count = covered.size();
  Commitment commitment{.intent = id(),
                        .node = around_.signer.id(),
                        .basis = basis,
                        .worker = worker,
                        .shards = task::ranges_of(covered),
                        .root = {}};
  commitment.root =
      receipt::root_of(id(), around_.signer.id(), receipt::salt_key(around_.signer, commitment), covered, digests);
  Signed<Commitment> signed_commitment = around_.signer.sign(std::move(commitment));
  journal("committed", record::encode(signed_commitment.envelope), out);
  out.send(publisher(), Channel::receipt, signed_commitment.envelope);
  add_own(std::move(signed_commitment), std::move(covered));
  if (is_paid() && !worker) on_ledger_.look_again = {};  // It waits to be anchored.
  return count;
}

void Engagement::add_own(Signed<receipt::Commitment> commitment, std::vector<std::uint32_t> shards) {
  const Cid cid = commitment.cid;
  if (own_commitments_.contains(cid)) return;
  own_by_basis_[commitment.record.basis].push_back(cid);
  if (commitment.record.worker) own_by_worker_[*commitment.record.worker].push_back(cid);
  own_commitments_.emplace(cid, Own{.commitment = std::move(commitment), .shards = std::move(shards)});
}

void Engagement::resend_commitments(const Cid& basis, Outbox& out) const {
  const auto own = own_by_basis_.find(basis);
  if (own == own_by_basis_.end()) return;
  for (const Cid& cid : own->second)
    out.send(publisher(), Channel::receipt, own_commitments_.at(cid).commitment.envelope);
}

Status Engagement::on_reveal_request(Instant now, const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<verification::RevealRequest> request,
           open<verification::RevealRequest>(envelope, around_.signer.federation()));
  MESH_TRY(from_publisher(request.signer));
  const auto own = own_commitments_.find(request.record.commitment);
  if (own == own_commitments_.end())
    return fail(ErrorCode::not_found, "unknown-commitment: this node has no such commitment");
  if (is_paid()) {
    MESH_TRY(check_reveal_of_work(request.record.commitment));
    to_reveal_.insert(request.record.commitment);
    reveal(now, request.record.commitment, out);
    return {};
  }
  const bool unverified =
      intent_.record.verifiers == 0 || (field_ && field_->offers.size() < std::size_t{intent_.record.verifiers} + 1);
  if (!unverified) {
    // Nothing is revealed before every seat has committed: else it could be copied.
    if (!request.record.draw) return fail(ErrorCode::denied, "early: this task is verified, and no draw is named");
    std::map<std::uint32_t, std::set<NodeId>> committed;
    for (const Cid& cid : request.record.commitments) {
      const auto commitment = commitments_.find(cid);
      if (commitment == commitments_.end() || commitment->second.record.basis != *request.record.draw ||
          commitment->second.record.worker != request.record.commitment) {
        return fail(ErrorCode::denied, "early: a verifier's commitment is named but did not come along");
      }
      MESH_LET(const std::vector<std::uint32_t> theirs, receipt::covered(commitment->second, intent_.record.shards));
      for (const std::uint32_t shard : theirs) committed[shard].insert(commitment->second.signer);
    }
    std::vector<std::uint32_t> verified = own->second.shards;
    if (intent_.record.sample < task::TaskIntent::everything) {
      const auto draw = draws_.find(*request.record.draw);
      if (draw == draws_.end() || draw->second.round.seats(request.record.commitment) == 0)
        return fail(ErrorCode::denied, "unknown-draw: the draw of the sample did not come along");
      verified = draw->second.round.verified(request.record.commitment, verified);
    }
    for (const std::uint32_t shard : verified) {
      if (committed[shard].size() < intent_.record.verifiers)
        return fail(ErrorCode::denied, "early: not all verifiers have committed yet");
    }
  }
  to_reveal_.insert(request.record.commitment);
  reveal(now, request.record.commitment, out);
  return {};
}

void Engagement::reveal(Instant now, const Cid& cid, Outbox& out) {
  if (!own_commitments_.contains(cid) || !to_reveal_.contains(cid)) return;
  const std::optional<Envelope> receipt = make_receipt(now, cid, out);
  if (!receipt) return;
  out.send(publisher(), Channel::receipt, *receipt);
  to_reveal_.erase(cid);
}

std::optional<Envelope> Engagement::make_receipt(Instant now, const Cid& cid, Outbox& out) {
  const auto own = own_commitments_.find(cid);
  const Commitment& commitment = own->second.commitment.record;
  // Lost in a crash: the same work gives the same finding.
  if (need(now, own->second.shards, Executions::Purpose::verify, nullptr, out)) return std::nullopt;
  ExecutionReceipt receipt{.intent = id(),
                           .award = commitment.basis,
                           .commitment = cid,
                           .key = receipt::salt_key(around_.signer, commitment)};
  std::vector<receipt::Finding> findings;
  std::set<Cid> sent;
  for (const std::uint32_t shard : own->second.shards) {
    const Found& found = found_.at(shard);
    findings.push_back(found.finding);
    receipt.usage.add(found.summary);
    const auto blocks = blocks_.find(shard);
    if (blocks == blocks_.end()) continue;
    if (!blocks->second.result.empty() && sent.insert(found.finding.result).second)
      out.send_block(publisher(), Channel::receipt, blocks->second.result);
    if (!blocks->second.log.empty() && sent.insert(found.finding.log).second)
      out.send_block(publisher(), Channel::receipt, blocks->second.log);
  }
  receipt.findings = receipt::columns_of(findings);
  return around_.signer.seal(receipt);
}

// ---------------------------------------------------------------------------------------------------- time

void Engagement::on_tick(Instant now, Outbox& out) {
  if (is_paid()) watch_ledger(now, out);
  commit_all_ready(now, out);
  if (ask_keys_at_ && now >= *ask_keys_at_) ask_for_keys(now, out);
  std::vector<std::uint32_t> due;
  for (const auto& [shard, retry] : retries_) {
    if (now >= retry.at) due.push_back(shard);
  }
  for (const std::uint32_t shard : due) {
    retries_.at(shard).at = now + retry_after;
    if (!found_.contains(shard) && !around_.executions.has(id(), shard)) {
      need(now, {shard}, awarded(shard) ? Executions::Purpose::work : Executions::Purpose::verify, nullptr, out);
    }
  }
}

std::optional<Instant> Engagement::deadline() const {
  std::optional<Instant> due;
  const auto at = [&](Instant moment) { due = due ? std::min(*due, moment) : moment; };
  for (const auto& [cid, lease] : leases_) {
    if (lease.ready_since) at(gathered_at(lease));
  }
  for (const auto& [shard, retry] : retries_) at(retry.at);
  if (ask_keys_at_) at(*ask_keys_at_);
  if (is_paid() && has_open_works()) at(on_ledger_.look_again);
  return due;
}

}  // namespace mesh::node
