#include "node/engagement.h"

#include <algorithm>

#include "codec/utf8.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::node {

namespace {

using receipt::Commitment;
using receipt::ExecutionReceipt;
using receipt::VerificationReceipt;

constexpr Duration gather_for = milliseconds(20);    // Findings are committed to together, but none waits longer.
constexpr std::size_t gather_at_most = 256;
constexpr Duration retry_after = seconds(1);
constexpr std::uint32_t max_retries = 20;
constexpr Duration forgotten_after = seconds(900);   // Without a word from the publisher.
constexpr std::size_t max_kept_records = 16384;

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
      heard_(now) {}

bool Engagement::over(Instant now) const {
  const Duration patience = std::max<Duration>(
      forgotten_after, milliseconds(std::uint64_t{intent_.record.limits.fetch_ms} + intent_.record.limits.run_ms));
  return closed_ || now - heard_ > patience;
}

bool Engagement::awarded(std::uint32_t shard) const {
  return std::ranges::any_of(
      bases_, [&](const auto& entry) { return entry.second.is_award && entry.second.uncommitted.contains(shard); });
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
    MESH_LET(Found found, record::decode<Found>(bytes));
    const std::uint32_t shard = found.shard;
    found_.insert_or_assign(shard, std::move(found));
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
    bases_[award.cid] = Basis{.is_award = true, .uncommitted = {shards.begin(), shards.end()}, .ready_since = {}};
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
    if (const auto basis = bases_.find(commitment.record.basis); basis != bases_.end()) {
      for (const std::uint32_t shard : shards) basis->second.uncommitted.erase(shard);
    }
    add_own(commitment, shards, {});
    return {};
  }
  return fail(ErrorCode::storage, "unknown journal record \"" + std::string(kind) + "\"");
}

void Engagement::resume(Instant now, Outbox& out) {
  heard_ = now;
  for (auto& [cid, basis] : bases_) {
    for (const std::uint32_t shard : basis.uncommitted) {
      if (!found_.contains(shard)) need(now, shard, Executions::Purpose::work, nullptr, out);
    }
    commit_ready(now, cid, basis, out);
  }
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
    return on_seats_changed(now, substitution.record.draw, substitution.record.shards, &substitution.record.failed, 0,
                            out);
  }
  if (type == verification::Extension::type) {
    MESH_LET(const Signed<verification::Extension> extension, open<verification::Extension>(envelope, federation));
    MESH_TRY(from_publisher(extension.signer));
    if (extension.record.seats > around_.config.policy.verification_quorum.maximum_verifiers) {
      return fail(ErrorCode::denied, "too-many-seats: the policy allows fewer verifiers");
    }
    return on_seats_changed(now, extension.record.draw, extension.record.shards, nullptr, extension.record.seats, out);
  }
  if (type == verification::RevealRequest::type) return on_reveal_request(now, envelope, out);
  if (type == ExecutionReceipt::type) return on_receipt(now, envelope, out);
  if (type == verification::Verdict::type) return {};  // For information: the shard is decided.
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
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(award.record.shards, intent_.record.shards));
  if (awards_.contains(award.cid)) {
    resend_commitments(award.cid, out);  // Sent again: so is what was committed to under it.
  } else {
    journal("award", record::encode(envelope), out);
    awards_.emplace(award.cid, award);
    bases_[award.cid] = Basis{.is_award = true, .uncommitted = {shards.begin(), shards.end()}, .ready_since = {}};
  }
  Basis& basis = bases_.at(award.cid);
  for (const std::uint32_t shard : basis.uncommitted) {
    if (!found_.contains(shard)) need(now, shard, Executions::Purpose::work, nullptr, out);
  }
  commit_ready(now, award.cid, basis, out);
  return {};
}

Status Engagement::on_commitment(Instant, const Envelope& envelope, Outbox&) {
  MESH_LET(Signed<Commitment> commitment, open<Commitment>(envelope, around_.signer.federation()));
  MESH_LET(std::vector<std::uint32_t> shards, task::expand(commitment.record.shards, intent_.record.shards));
  if (commitments_.size() >= max_kept_records) commitments_.clear();
  if (commitment.signer == around_.signer.id()) {
    add_own(std::move(commitment), std::move(shards), {});  // Perhaps forgotten here, but signed by this node.
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
  if (earlier == opened_.end()) {
    opened_.emplace(round.record.round, round.cid);
    opens_.emplace(round.cid, round);
    journal("opened", record::encode(envelope), out);
    out.require_durable();  // A nonce is revealed for one opening only, also across a crash.
  } else if (std::ranges::any_of(draws_, [&](const auto& draw) { return draw.second.round.open.cid == round.cid; })) {
    return {};  // It came along with the draw, sent again: the nonce is out.
  }
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
    DrawnTask task{.round = std::move(drawn), .shards = {}};
    for (const Cid& cid : round->second.record.commitments) {
      const auto commitment = commitments_.find(cid);
      if (commitment == commitments_.end()) continue;  // Its own, or decided meanwhile: no seat for this node there.
      MESH_LET(const std::vector<std::uint32_t> shards,
               task::expand(commitment->second.record.shards, intent_.record.shards));
      for (const std::uint32_t shard : shards) {
        task.shards.insert_or_assign(
            shard, SeatedShard{.commitment = cid,
                               .seats = {.order = task.round.order(cid, shard, commitment->second.signer),
                                         .wanted = intent_.record.verifiers,
                                         .lost = {}}});
      }
    }
    for (const Cid& cid : draw.record.reveals) reveals_.erase(cid);
    draws_.emplace(draw.cid, std::move(task));
    draw_order_.push_back(draw.cid);
    while (draw_order_.size() > draws_kept) {
      bases_.erase(draw_order_.front());
      draws_.erase(draw_order_.front());
      draw_order_.pop_front();
    }
  } else {
    resend_commitments(draw.cid, out);
  }
  take_seats(now, draw.cid, out);
  return {};
}

Status Engagement::on_seats_changed(Instant now, const Cid& draw, const std::vector<task::ShardRange>& ranges,
                                    const NodeId* lost, std::uint32_t seats, Outbox& out) {
  const auto task = draws_.find(draw);
  if (task == draws_.end())
    return fail(ErrorCode::not_found, "unknown-draw: the draw that this changes is not known here");
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(ranges, intent_.record.shards));
  for (const std::uint32_t shard : shards) {
    const auto seated = task->second.shards.find(shard);
    if (seated == task->second.shards.end()) continue;
    verification::Seats& current = seated->second.seats;
    if (lost != nullptr && std::ranges::find(current.lost, *lost) == current.lost.end()) current.lost.push_back(*lost);
    if (lost == nullptr) current.wanted = std::max(current.wanted, seats);
  }
  take_seats(now, draw, out);
  return {};
}

void Engagement::take_seats(Instant now, const Cid& draw, Outbox& out) {
  const DrawnTask& task = draws_.at(draw);
  Basis& basis = bases_[draw];
  std::set<std::uint32_t> committed;
  if (const auto own = own_by_basis_.find(draw); own != own_by_basis_.end()) {
    for (const Cid& cid : own->second) {
      const std::vector<std::uint32_t>& shards = own_commitments_.at(cid).shards;
      committed.insert(shards.begin(), shards.end());
    }
  }
  for (const auto& [shard, seated] : task.shards) {
    if (committed.contains(shard) || !seated.seats.holds(around_.signer.id())) continue;
    basis.uncommitted.insert(shard);
    const auto worker = commitments_.find(seated.commitment);
    if (!found_.contains(shard))
      need(now, shard, Executions::Purpose::verify, worker == commitments_.end() ? nullptr : &worker->second.signer,
           out);
  }
  commit_ready(now, draw, basis, out);
}

Status Engagement::on_receipt(Instant now, const Envelope& envelope, Outbox& out) {
  MESH_LET(Signed<ExecutionReceipt> receipt, open<ExecutionReceipt>(envelope, around_.signer.federation()));
  const auto commitment = commitments_.find(receipt.record.opening.commitment);
  if (commitment == commitments_.end())
    return fail(ErrorCode::invalid, "unknown-commitment: the receipt opens nothing that is known here");
  if (commitment->second.signer != receipt.signer)
    return fail(ErrorCode::unauthorised, "not-the-worker: the receipt is not by whom committed to it");
  MESH_TRY(receipt::check_opening(commitment->second, receipt.record.opening, receipt.record.finding,
                                  intent_.record.shards));
  const std::uint32_t shard = receipt.record.opening.shard;
  to_answer_.insert_or_assign(shard, std::move(receipt));
  answer_receipt(now, shard, out);
  return {};
}

void Engagement::answer_receipt(Instant now, std::uint32_t shard, Outbox& out) {
  const auto waiting = to_answer_.find(shard);
  if (waiting == to_answer_.end()) return;
  const Signed<ExecutionReceipt>& receipt = waiting->second;
  // Of this node's commitments on the shard the one under the newest draw: the publisher asks for that.
  const auto own = own_as_verifier_.find(shard);
  if (own == own_as_verifier_.end()) return;  // Nothing committed yet: the receipt is of no use to this node before.
  const auto newness = [&](const Cid& cid) {
    const auto draw = std::ranges::find(draw_order_, own_commitments_.at(cid).commitment.record.basis);
    return draw == draw_order_.end() ? -1 : draw - draw_order_.begin();
  };
  Own& mine = own_commitments_.at(*std::ranges::max_element(own->second, {}, newness));
  const std::optional<receipt::Opening> opening = open_own(mine, shard);
  if (!opening) {
    for (const std::uint32_t other : mine.shards) {
      if (!found_.contains(other)) need(now, other, Executions::Purpose::verify, &receipt.signer, out);
    }
    return;
  }
  const receipt::Finding& finding = found_.at(shard).finding;
  out.send_batched(publisher(), Channel::receipt,
                   VerificationReceipt{.intent = id(),
                                       .receipt = receipt.cid,
                                       .verdict = finding == receipt.record.finding ? receipt::Agreement::agree
                                                                                    : receipt::Agreement::disagree,
                                       .opening = *opening,
                                       .finding = finding});
  to_answer_.erase(waiting);
}

// ---------------------------------------------------------------------------------------------------- running

void Engagement::need(Instant now, std::uint32_t shard, Executions::Purpose purpose, const NodeId* also_holds,
                      Outbox& out) {
  std::vector<NodeId> holders{publisher()};
  if (also_holds != nullptr) holders.push_back(*also_holds);
  if (field_) {
    for (const Signed<market::ComputeOffer>& offer : field_->offers) {
      if (offer.signer != around_.signer.id() && std::ranges::find(holders, offer.signer) == holders.end())
        holders.push_back(offer.signer);
    }
  }
  const bool taken = around_.executions.request({.intent = id(),
                                                 .function = intent_.record.function,
                                                 .inputs = intent_.record.inputs,
                                                 .shard = shard,
                                                 .scope = intent_.record.scope,
                                                 .fetch_ms = intent_.record.limits.fetch_ms,
                                                 .holders = std::move(holders)},
                                                purpose, out);
  if (!taken) retries_[shard].at = now + retry_after;  // The queue is full: a little later.
}

void Engagement::on_executed(Instant now, std::uint32_t shard, const event::ExecutionDone& done, Outbox& out) {
  if (!done.result) {
    Retry& retry = retries_[shard];
    retry.at = now + retry_after;
    // While the publisher is away nothing can be fetched from it; that is no reason to give up.
    if (around_.peers.connected(publisher()) && ++retry.count > max_retries) {
      retries_.erase(shard);
      out.send(
          publisher(), Channel::offer,
          around_.signer.sign(market::Decline{.intent = id(), .reason = utf8_excerpt(done.result.error().message, 256)})
              .envelope);
    }
    return;
  }
  retries_.erase(shard);
  const event::ExecutionDone::Output& output = *done.result;
  Found found{.shard = shard, .finding = output.finding, .summary = output.summary};
  journal("found", record::encode(found), out);
  fuel_ += output.finding.fuel;
  found_.insert_or_assign(shard, std::move(found));
  if (!output.result_block.empty() || !output.log_block.empty())
    blocks_.insert_or_assign(shard, Blocks{output.result_block, output.log_block});
  std::vector<Cid> roots{output.finding.result, output.finding.log};
  if (!declared_) {
    // Who holds the inputs serves them too: verifiers need not depend on the publisher.
    roots.push_back(intent_.record.function);
    roots.push_back(intent_.record.inputs);
    declared_ = true;
  }
  out.add({effect::Declare{id(), std::move(roots)}});
  for (auto& [cid, basis] : bases_) {
    if (basis.uncommitted.contains(shard)) commit_ready(now, cid, basis, out);
  }
  std::vector<Cid> waiting;
  for (const auto& [cid, shards] : to_reveal_) waiting.push_back(cid);
  for (const Cid& cid : waiting) reveal(now, cid, out);
  std::vector<std::uint32_t> answers;
  for (const auto& [number, receipt] : to_answer_) answers.push_back(number);
  for (const std::uint32_t number : answers) answer_receipt(now, number, out);
}

void Engagement::commit_ready(Instant now, const Cid& basis_cid, Basis& basis, Outbox& out) {
  std::vector<std::uint32_t> ready;
  for (const std::uint32_t shard : basis.uncommitted) {
    if (found_.contains(shard)) ready.push_back(shard);
  }
  if (ready.empty()) return;
  if (!basis.ready_since) basis.ready_since = now;
  const bool all = ready.size() == basis.uncommitted.size();
  if (!all && ready.size() < gather_at_most && now - *basis.ready_since < gather_for) return;
  basis.ready_since.reset();
  std::vector<Digest> leaves;
  leaves.reserve(ready.size());
  for (const std::uint32_t shard : ready) {
    leaves.push_back(leaf_of(shard));
    basis.uncommitted.erase(shard);
  }
  Signed<Commitment> commitment = around_.signer.sign(Commitment{
      .intent = id(), .basis = basis_cid, .shards = task::ranges_of(ready), .root = merkle::root_of(leaves)});
  journal("committed", record::encode(commitment.envelope), out);
  out.send(publisher(), Channel::receipt, commitment.envelope);
  add_own(std::move(commitment), std::move(ready), merkle::proofs_of(leaves));
}

void Engagement::add_own(Signed<Commitment> commitment, std::vector<std::uint32_t> shards,
                         std::vector<std::vector<Digest>> proofs) {
  const Cid cid = commitment.cid;
  const Cid basis = commitment.record.basis;
  if (own_commitments_.contains(cid)) return;
  own_by_basis_[basis].push_back(cid);
  if (!awards_.contains(basis)) {
    for (const std::uint32_t shard : shards) own_as_verifier_[shard].push_back(cid);
  }
  own_commitments_.emplace(
      cid, Own{.commitment = std::move(commitment), .shards = std::move(shards), .proofs = std::move(proofs)});
}

void Engagement::resend_commitments(const Cid& basis, Outbox& out) const {
  const auto own = own_by_basis_.find(basis);
  if (own == own_by_basis_.end()) return;
  for (const Cid& cid : own->second)
    out.send(publisher(), Channel::receipt, own_commitments_.at(cid).commitment.envelope);
}

Digest Engagement::leaf_of(std::uint32_t shard) const {
  return receipt::leaf_of(id(), shard, around_.signer.id(), found_.at(shard).finding,
                          receipt::salt_of(around_.signer, id(), shard));
}

std::optional<receipt::Opening> Engagement::open_own(Own& own, std::uint32_t shard) {
  if (own.proofs.empty()) {
    std::vector<Digest> leaves;
    leaves.reserve(own.shards.size());
    for (const std::uint32_t other : own.shards) {
      if (!found_.contains(other)) return std::nullopt;
      leaves.push_back(leaf_of(other));
    }
    own.proofs = merkle::proofs_of(leaves);
  }
  const auto index = static_cast<std::size_t>(std::ranges::lower_bound(own.shards, shard) - own.shards.begin());
  receipt::Opening opening{.commitment = own.commitment.cid,
                           .shard = shard,
                           .salt = receipt::salt_of(around_.signer, id(), shard),
                           .proof = own.proofs[index]};
  // Usually each is asked for once; whatever is asked for again is worked out again.
  if (++own.opened % own.shards.size() == 0) own.proofs.clear();
  return opening;
}

Status Engagement::on_reveal_request(Instant now, const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<verification::RevealRequest> request,
           open<verification::RevealRequest>(envelope, around_.signer.federation()));
  MESH_TRY(from_publisher(request.signer));
  const auto own = own_commitments_.find(request.record.commitment);
  if (own == own_commitments_.end())
    return fail(ErrorCode::not_found, "unknown-commitment: this node has no such commitment");
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(request.record.shards, intent_.record.shards));
  if (!std::ranges::includes(own->second.shards, shards))
    return fail(ErrorCode::invalid, "not-covered: the commitment does not cover all of these shards");
  const bool unverified =
      intent_.record.verifiers == 0 || (field_ && field_->offers.size() < std::size_t{intent_.record.verifiers} + 1);
  if (!unverified) {
    // Nothing is revealed before every seat has committed: else it could be copied.
    if (!request.record.draw) return fail(ErrorCode::denied, "early: this task is verified, and no draw is named");
    std::map<std::uint32_t, std::set<NodeId>> committed;
    for (const Cid& cid : request.record.commitments) {
      const auto commitment = commitments_.find(cid);
      if (commitment == commitments_.end() || commitment->second.record.basis != *request.record.draw) {
        return fail(ErrorCode::denied, "early: a verifier's commitment is named but did not come along");
      }
      MESH_LET(const std::vector<std::uint32_t> theirs,
               task::expand(commitment->second.record.shards, intent_.record.shards));
      for (const std::uint32_t shard : theirs) committed[shard].insert(commitment->second.signer);
    }
    for (const std::uint32_t shard : shards) {
      if (committed[shard].size() < intent_.record.verifiers)
        return fail(ErrorCode::denied, "early: not all verifiers have committed yet");
    }
  }
  to_reveal_[request.record.commitment].insert(shards.begin(), shards.end());
  reveal(now, request.record.commitment, out);
  return {};
}

void Engagement::reveal(Instant now, const Cid& cid, Outbox& out) {
  const auto waiting = to_reveal_.find(cid);
  const auto own = own_commitments_.find(cid);
  if (waiting == to_reveal_.end() || own == own_commitments_.end()) return;
  bool complete = true;
  for (const std::uint32_t shard : own->second.shards) {
    if (found_.contains(shard)) continue;
    complete = false;  // Lost in a crash: the same work gives the same finding.
    need(now, shard, Executions::Purpose::verify, nullptr, out);
  }
  if (!complete) return;
  for (const std::uint32_t shard : waiting->second) {
    const Found& found = found_.at(shard);
    const std::optional<receipt::Opening> opening = open_own(own->second, shard);
    if (!opening) continue;
    if (const auto blocks = blocks_.find(shard); blocks != blocks_.end()) {
      if (!blocks->second.result.empty()) out.send_block(publisher(), Channel::receipt, blocks->second.result);
      if (!blocks->second.log.empty()) out.send_block(publisher(), Channel::receipt, blocks->second.log);
    }
    out.send_batched(publisher(), Channel::receipt,
                     ExecutionReceipt{.intent = id(),
                                      .award = own->second.commitment.record.basis,
                                      .opening = *opening,
                                      .finding = found.finding,
                                      .summary = found.summary});
  }
  to_reveal_.erase(waiting);
}

// ---------------------------------------------------------------------------------------------------- time

void Engagement::on_tick(Instant now, Outbox& out) {
  for (auto& [cid, basis] : bases_) {
    if (basis.ready_since && now - *basis.ready_since >= gather_for) commit_ready(now, cid, basis, out);
  }
  std::vector<std::uint32_t> due;
  for (const auto& [shard, retry] : retries_) {
    if (now >= retry.at) due.push_back(shard);
  }
  for (const std::uint32_t shard : due) {
    retries_.at(shard).at = now + retry_after;
    if (!found_.contains(shard) && !around_.executions.has(id(), shard)) {
      need(now, shard, awarded(shard) ? Executions::Purpose::work : Executions::Purpose::verify, nullptr, out);
    }
  }
}

std::optional<Instant> Engagement::deadline() const {
  std::optional<Instant> due;
  const auto at = [&](Instant moment) { due = due ? std::min(*due, moment) : moment; };
  for (const auto& [cid, basis] : bases_) {
    if (basis.ready_since) at(*basis.ready_since + gather_for);
  }
  for (const auto& [shard, retry] : retries_) at(retry.at);
  return due;
}

}  // namespace mesh::node
