// The keys of sealed inputs: who of the members gets them, and when.
#include "node/job.h"

#include <algorithm>

namespace mesh::node {

namespace {

constexpr Duration answered_at_most_every = milliseconds(100);  // Of each member, which may ask at any rate.

}  // namespace

bool Job::may_read(const NodeId& node, std::uint32_t number) const {
  const Shard& shard = shards_[number];
  if (shard.state == ShardState::leased) return leased_to(number, node);
  if (shard.state != ShardState::committed) return false;
  const auto batch = batches_.find(shard.commitment);
  if (batch == batches_.end()) return false;
  return batch->second.commitment.signer == node ||
         std::ranges::any_of(batch->second.panels, [&](const Panel& panel) {
           return panel.seats.contains(node) && std::ranges::binary_search(panel.shards, number);
         });
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
  std::erase_if(keys.wanted, [&](std::uint32_t shard) { return !may_read(to, shard); });
  if (keys.under_way || keys.wanted.empty()) return;
  keys.under_way = true;
  const auto end = std::next(keys.wanted.begin(), static_cast<std::ptrdiff_t>(std::min<std::size_t>(
                                                      keys.wanted.size(), verification::max_key_shards)));
  effect::WrapKeys wrap{.id = 0,
                        .intent = id(),
                        .inputs = intent_.record.inputs,
                        .to = to,
                        .shards = {keys.wanted.begin(), end},
                        .keys = {}};
  keys.wanted.erase(keys.wanted.begin(), end);
  out.add({std::move(wrap)});
}

void Job::on_key_request(Instant now, const Signed<verification::KeyRequest>& request, Outbox& out) {
  if (ended()) return send_outstanding(now, request.signer, out);
  const auto refused = [&](ErrorCode code, std::string why) {
    refuse(request.signer, request.cid, {code, std::move(why)}, out);
  };
  if (!intent_.record.is_sealed()) return refused(ErrorCode::invalid, "not-sealed: the inputs of this task have no keys");
  if (!workers_.contains(request.signer))
    return refused(ErrorCode::unauthorised, "not-yours: this node has no part in the task");
  KeysFor& keys = keys_for_[request.signer];
  if (keys.answered && now - *keys.answered < answered_at_most_every) return;
  const Result<std::vector<std::uint32_t>> asked = verification::asked_for(request.record, intent_.record.shards);
  if (!asked) return refused(asked.error().code, asked.error().message);
  std::vector<std::uint32_t> readable;
  std::ranges::copy_if(*asked, std::back_inserter(readable),
                       [&](std::uint32_t shard) { return may_read(request.signer, shard); });
  if (readable.empty()) {
    return refused(ErrorCode::unauthorised, "not-yours: this node is neither the worker of shard " +
                                                std::to_string(asked->front()) + " nor drawn to verify it (any more)");
  }
  keys.answered = now;
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
