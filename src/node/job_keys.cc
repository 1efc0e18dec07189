// The keys of sealed inputs: who of the members gets them, and when.
#include "node/job.h"

#include <algorithm>

namespace mesh::node {

namespace {

constexpr Duration answered_at_most_every = milliseconds(500);  // Of each member, which may ask at any rate.

}  // namespace

std::vector<std::uint32_t> Job::readable_by(const NodeId& node, const std::vector<std::uint32_t>& shards) const {
  std::set<std::uint32_t> readable;
  std::map<Cid, std::vector<std::uint32_t>> committed;
  for (const std::uint32_t number : shards) {
    const Shard& shard = shards_[number];
    if (shard.state == ShardState::leased && leased_to(number, node)) readable.insert(number);
    if (shard.state == ShardState::committed) committed[shard.commitment].push_back(number);
  }
  for (const auto& [cid, numbers] : committed) {
    const auto batch = batches_.find(cid);
    if (batch == batches_.end()) continue;
    if (batch->second.commitment.signer == node) readable.insert(numbers.begin(), numbers.end());
    for (const Panel& panel : batch->second.panels) {
      if (panel.seats.contains(node))
        std::ranges::set_intersection(panel.shards, numbers, std::inserter(readable, readable.end()));
    }
  }
  return {readable.begin(), readable.end()};
}

void Job::give_keys(const NodeId& to, const std::vector<std::uint32_t>& shards, Outbox& out) {
  if (!intent_.record.is_sealed() || shards.empty()) return;
  keys_for_[to].wanted.insert(shards.begin(), shards.end());
  make_keys(to, out);
}

void Job::give_keys_of_seats(const Batch& batch, const std::set<NodeId>& nodes, Outbox& out) {
  if (!intent_.record.is_sealed()) return;
  for (const NodeId& node : nodes) {
    std::vector<std::uint32_t> shards;
    for (const Panel& panel : batch.panels) {
      const auto seat = panel.seats.find(node);
      if (seat != panel.seats.end() && seat->second.state == Seat::State::asked)
        shards.insert(shards.end(), panel.shards.begin(), panel.shards.end());
    }
    give_keys(node, shards, out);
  }
}

void Job::make_keys(const NodeId& to, Outbox& out) {
  KeysFor& keys = keys_for_.at(to);
  // What was decided or awarded anew since it was wanted needs no key.
  if (keys.under_way || keys.wanted.empty()) return;
  std::vector<std::uint32_t> shards = readable_by(to, {keys.wanted.begin(), keys.wanted.end()});
  const std::size_t count = std::min(shards.size(), verification::max_key_shards);
  const auto end = shards.begin() + static_cast<std::ptrdiff_t>(count);
  keys.wanted = {end, shards.end()};
  shards.erase(end, shards.end());
  if (shards.empty()) return;
  keys.under_way = true;
  out.add({effect::WrapKeys{
      .id = 0, .intent = id(), .inputs = intent_.record.inputs, .to = to, .shards = std::move(shards), .keys = {}}});
}

void Job::on_key_request(Instant now, const Signed<verification::KeyRequest>& request, Outbox& out) {
  if (ended()) return send_outstanding(now, request.signer, out);
  const auto refused = [&](ErrorCode code, std::string why) {
    refuse(request.signer, request.cid, {code, std::move(why)}, out);
  };
  if (!intent_.record.is_sealed())
    return refused(ErrorCode::invalid, "not-sealed: the inputs of this task have no keys");
  if (!workers_.contains(request.signer))
    return refused(ErrorCode::unauthorised, "not-yours: this node has no part in the task");
  KeysFor& keys = keys_for_[request.signer];
  if (keys.answered && now - *keys.answered < answered_at_most_every) return;
  keys.answered = now;
  const Result<std::vector<std::uint32_t>> asked = verification::asked_for(request.record, intent_.record.shards);
  if (!asked) return refused(asked.error().code, asked.error().message);
  const std::vector<std::uint32_t> readable = readable_by(request.signer, *asked);
  if (readable.empty()) {
    return refused(ErrorCode::unauthorised, "not-yours: this node is neither the worker of shard " +
                                                std::to_string(asked->front()) + " nor drawn to verify it (any more)");
  }
  give_keys(request.signer, readable, out);
}

void Job::on_keys_wrapped(Instant now, const event::KeysWrapped& wrapped, Outbox& out) {
  const auto keys = keys_for_.find(wrapped.to);
  if (ended() || keys == keys_for_.end()) return;
  keys->second.under_way = false;
  if (wrapped.keys) {
    // Nobody gets keys by an award or a draw that a crash could still take back.
    out.require_durable();
    out.send(wrapped.to, Channel::award,
             sign(verification::ShardKeys{.intent = id(),
                                          .to = wrapped.to,
                                          .shards = task::ranges_of(wrapped.shards),
                                          .point = wrapped.keys->point,
                                          .keys = wrapped.keys->keys})
                 .envelope);
  } else if (wrapped.keys.error().code == ErrorCode::invalid) {
    return end(now, JobPhase::failed, "bad-seal: " + wrapped.keys.error().message, out);
  } else {
    note("keys could not be made yet: " + wrapped.keys.error().message, out);  // Who lacks them asks again.
  }
  make_keys(wrapped.to, out);
}

}  // namespace mesh::node
