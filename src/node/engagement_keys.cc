// The keys of sealed inputs, on the side of who runs them: had from the publisher or, by a verifier, from the worker; and
// given to the verifiers that show that they were drawn.
#include <algorithm>

#include "node/engagement.h"

namespace mesh::node {

namespace {

using identity::short_name;

constexpr Duration first_ask_after = seconds(2);  // Keys follow the award or the draw by themselves.
constexpr std::uint32_t max_ask_doublings = 3;
constexpr std::uint32_t max_key_asks = 20;
constexpr std::uint32_t max_wrong_keys = 3;  // Of one shard by one node.
// To each member and of each commitment, which may be asked for at any rate; and so many answers being made for a member.
constexpr Duration given_at_most_every = milliseconds(500);
constexpr std::uint32_t max_wraps_under_way = 4;

}  // namespace

void Engagement::await_keys(Instant now, std::vector<std::uint32_t>& shards, Executions::Purpose purpose) {
  std::erase_if(shards, [&](std::uint32_t shard) {
    if (held_keys_.contains(shard)) return false;
    awaited_keys_.insert_or_assign(shard, Awaited{.purpose = purpose});
    return true;
  });
  if (!awaited_keys_.empty() && !ask_keys_at_) ask_keys_at_ = now + first_ask_after;
}

bool Engagement::is_worker_of(const NodeId& node, std::uint32_t shard) const {
  return std::ranges::any_of(draws_, [&](const auto& drawn) {
    return std::ranges::any_of(drawn.second.benches, [&](const auto& entry) {
      const auto commitment = commitments_.find(entry.first);
      return commitment != commitments_.end() && commitment->second.signer == node &&
             (entry.second.running.contains(shard) || entry.second.committed.contains(shard));
    });
  });
}

Status Engagement::on_member(Instant now, const NodeId& from, const std::string& type, const Envelope& envelope,
                             Outbox& out) {
  return type == verification::ShardKeys::type ? on_keys(now, from, envelope, out)
                                               : on_key_request(now, from, envelope, out);
}

Status Engagement::on_keys(Instant now, const NodeId& from, const Envelope& envelope, Outbox& out) {
  MESH_LET(const Signed<verification::ShardKeys> given,
           open<verification::ShardKeys>(envelope, around_.signer.federation()));
  if (given.signer != from)
    return fail(ErrorCode::unauthorised, "not-the-giver: these keys are another node's to give");
  if (given.record.to != around_.signer.id())
    return fail(ErrorCode::invalid, "not-mine: the keys are for another node");
  MESH_LET(const auto keys, verification::keys_of(given.record, intent_.record.shards));
  std::map<Executions::Purpose, std::vector<std::uint32_t>> taken;
  for (const auto& [shard, key] : keys) {
    const auto awaited = awaited_keys_.find(shard);
    if (awaited == awaited_keys_.end()) continue;  // Sent twice, or decided since.
    if (from != publisher() && !is_worker_of(from, shard)) continue;
    const auto wrong = wrong_keys_.find({shard, from});
    if (wrong != wrong_keys_.end() && wrong->second >= max_wrong_keys) continue;
    held_keys_.insert_or_assign(shard, HeldKey{.key = key, .from = from});
    taken[awaited->second.purpose].push_back(shard);
    awaited_keys_.erase(awaited);
  }
  if (taken.empty()) return {};
  // A worker that restarts may have to give them to its verifiers, whatever its publisher does then.
  journal("keys", record::encode(envelope), out);
  // They come: it is not for nothing that this node asks.
  key_asks_ = 0;
  ask_keys_at_ = awaited_keys_.empty() ? std::nullopt : std::optional(now + first_ask_after);
  for (auto& [purpose, shards] : taken) need(now, std::move(shards), purpose, nullptr, out);
  return {};
}

void Engagement::on_wrong_key(Instant now, std::uint32_t shard, Outbox& out) {
  const auto held = held_keys_.find(shard);
  if (held == held_keys_.end()) return;
  const NodeId from = held->second.from;
  held_keys_.erase(held);
  ++wrong_keys_[{shard, from}];
  const std::string what = "wrong-key: the key of shard " + std::to_string(shard) + " does not open its input";
  out.notify({.kind = "task.key",
              .job = id(),
              .peer = from,
              .shards = {{shard, 1}},
              .text = short_name(from) + (from == publisher() ? ", the publisher, gave a " : " gave a ") + what});
  out.send(from, Channel::offer,
           around_.signer.sign(market::Refusal{.intent = id(), .about = id(), .reason = what}).envelope);
  std::vector<std::uint32_t> again{shard};
  await_keys(now, again, awarded(shard) ? Executions::Purpose::work : Executions::Purpose::verify);
}

void Engagement::on_refused(const Signed<market::Refusal>& refusal) {
  if (refusal.signer != publisher() || !asked_ || refusal.record.about != asked_->request ||
      !refusal.record.reason.starts_with("not-yours:"))
    return;
  for (const std::uint32_t shard : asked_->shards) {
    const auto awaited = awaited_keys_.find(shard);
    if (awaited == awaited_keys_.end()) continue;
    // An award is the publisher's to take back; a draw is not: of what this node was drawn for it asks the worker.
    if (awaited->second.purpose == Executions::Purpose::work) {
      awaited_keys_.erase(awaited);
    } else {
      awaited->second.refused = true;
    }
  }
  asked_.reset();
}

bool Engagement::has_use_for(std::uint32_t shard) const {
  if (awarded(shard)) return true;
  for (const auto& [draw, drawn] : draws_) {
    for (const auto& [cid, bench] : drawn.benches) {
      if (bench.running.contains(shard) || bench.committed.contains(shard)) return true;
    }
  }
  return std::ranges::any_of(own_commitments_,
                             [&](const auto& own) { return task::covers(own.second.commitment.record.shards, shard); });
}

void Engagement::ask_for_keys(Instant now, Outbox& out) {
  asked_.reset();
  // A seat that was lost meanwhile needs none.
  std::erase_if(awaited_keys_, [&](const auto& entry) { return !has_use_for(entry.first); });
  if (awaited_keys_.empty()) {
    ask_keys_at_.reset();
    key_asks_ = 0;
    return;
  }
  // While the publisher is away, it is no reason to give up.
  if (around_.peers.connected(publisher()) && ++key_asks_ > max_key_asks) {
    const auto owed = std::ranges::find_if(awaited_keys_, [](const auto& entry) { return !entry.second.refused; });
    if (owed != awaited_keys_.end()) {
      out.send(
          publisher(), Channel::offer,
          around_.signer
              .sign(market::Decline{.intent = id(),
                                    .reason = "no-keys: neither the publisher nor the worker gives the key of shard " +
                                              std::to_string(owed->first)})
              .envelope);
    }
    awaited_keys_.clear();
    ask_keys_at_.reset();
    key_asks_ = 0;
    return;
  }
  std::vector<std::uint32_t> shards;
  for (const auto& [shard, awaited] : awaited_keys_) {
    if (!awaited.refused && shards.size() < verification::max_key_shards) shards.push_back(shard);
  }
  if (!shards.empty()) {
    const Signed<verification::KeyRequest> request = around_.signer.sign(
        verification::KeyRequest{.intent = id(), .shards = task::ranges_of(shards), .commitment = {}, .proof = {}});
    out.send(publisher(), Channel::receipt, request.envelope);
    asked_ = Asked{.request = request.cid, .shards = std::move(shards)};
  }
  // The publisher first: it is what a worker is paid to be spared.
  if (key_asks_ > 1 || !around_.peers.connected(publisher())) ask_workers(out);
  ask_keys_at_ = now + first_ask_after * (1U << std::min(key_asks_, max_ask_doublings));
}

void Engagement::ask_workers(Outbox& out) const {
  for (const auto& [draw, drawn] : draws_) {
    for (const auto& [cid, bench] : drawn.benches) {
      const auto commitment = commitments_.find(cid);
      if (commitment == commitments_.end()) continue;
      std::vector<std::uint32_t> shards;
      for (const auto& [shard, awaited] : awaited_keys_) {
        if (shards.size() < verification::max_key_shards &&
            (bench.running.contains(shard) || bench.committed.contains(shard)))
          shards.push_back(shard);
      }
      if (shards.empty()) continue;
      verification::KeyRequest request{.intent = id(),
                                       .shards = task::ranges_of(shards),
                                       .commitment = cid,
                                       .proof = {drawn.round.open.envelope, drawn.round.draw.envelope}};
      request.proof.insert(request.proof.end(), drawn.reveals.begin(), drawn.reveals.end());
      request.proof.insert(request.proof.end(), bench.change_records.begin(), bench.change_records.end());
      out.send(commitment->second.signer, Channel::receipt, around_.signer.seal(request));
    }
  }
}

Status Engagement::on_key_request(Instant now, const NodeId& from, const Envelope& envelope, Outbox& out) {
  if (!intent_.record.is_sealed()) return fail(ErrorCode::invalid, "not-sealed: the inputs of this task have no keys");
  MESH_LET(const Signed<verification::KeyRequest> request,
           open<verification::KeyRequest>(envelope, around_.signer.federation()));
  if (request.signer != from) return fail(ErrorCode::unauthorised, "not-the-asker: another node asks for these keys");
  MESH_LET(const std::vector<std::uint32_t> shards, verification::asked_for(request.record, intent_.record.shards));
  const auto own =
      request.record.commitment ? own_commitments_.find(*request.record.commitment) : own_commitments_.end();
  if (own == own_commitments_.end() || own->second.commitment.record.worker)
    return fail(ErrorCode::not_found, "unknown-commitment: this node is the worker of no such commitment");
  if (wraps_under_way_[from] >= max_wraps_under_way) return {};
  const std::pair<NodeId, Cid> asker(from, own->first);
  if (const auto given = keys_given_.find(asker);
      given != keys_given_.end() && now - given->second < given_at_most_every)
    return {};
  keys_given_.insert_or_assign(asker, now);
  MESH_TRY(verification::check_drawn(*field_, request, own->second.commitment, shards, around_.signer.federation()));
  effect::WrapKeys wrap{.id = 0, .intent = id(), .inputs = intent_.record.inputs, .to = from, .shards = {}, .keys = {}};
  for (const std::uint32_t shard : shards) {
    const auto held = held_keys_.find(shard);
    if (held == held_keys_.end()) continue;
    wrap.shards.push_back(shard);
    wrap.keys.push_back(held->second.key);
  }
  if (wrap.shards.empty())
    return fail(ErrorCode::not_found, "no-keys: this node has not the keys of these shards (any more)");
  ++wraps_under_way_[from];
  out.add({std::move(wrap)});
  return {};
}

void Engagement::on_keys_wrapped(const event::KeysWrapped& wrapped, Outbox& out) {
  if (const auto under_way = wraps_under_way_.find(wrapped.to);
      under_way != wraps_under_way_.end() && under_way->second > 0)
    --under_way->second;
  if (!wrapped.keys) return;  // Who lacks them asks again.
  out.send(wrapped.to, Channel::receipt,
           around_.signer.seal(verification::ShardKeys{.intent = id(),
                                                       .to = wrapped.to,
                                                       .shards = task::ranges_of(wrapped.shards),
                                                       .point = wrapped.keys->point,
                                                       .keys = wrapped.keys->keys}));
}

}  // namespace mesh::node
