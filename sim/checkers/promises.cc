#include "codec/hash.h"
#include "node/parcel.h"
#include "sim/checkers/checkers.h"

namespace mesh::sim {

void Promises::on_publish(std::uint32_t, const node::effect::Publish& publish) {
  if (publish.topic != node::Topic::intents) return;
  const auto envelope = record::decode<Envelope>(publish.bytes);
  if (!envelope) return;
  const auto intent = record::decode<task::TaskIntent>(envelope->body);
  if (!intent) return;
  tips_.emplace(envelope->cid(), intent->nonce_tip);
  if (intent->sample < task::TaskIntent::everything) sampled_.insert(envelope->cid());
}

void Promises::on_send(std::uint32_t from, const node::effect::Send& send) {
  const bool told = send.channel == node::Channel::award;
  if (send.channel != node::Channel::receipt && !told) return;
  const auto parcel = record::decode<node::Parcel>(send.bytes);
  if (!parcel) {
    if (world_.honest(from)) findings_.add("not-a-parcel: node " + std::to_string(from) + " sent what does not decode");
    return;
  }
  for (const Envelope& envelope : parcel->envelopes) {
    const Result<std::string> type = type_of(envelope.body);
    if (!type) continue;
    if (told) {
      on_told(from, envelope, *type);
    } else if (envelope.key == world_.id(from) && world_.honest(from)) {
      on_answer(from, envelope, *type);
    }
  }
}

void Promises::on_told(std::uint32_t from, const Envelope& envelope, const std::string& type) {
  if (type == verification::Draw::type) {
    const auto draw = record::decode<verification::Draw>(envelope.body);
    const auto tip = draw ? tips_.find(draw->intent) : tips_.end();
    if (tip == tips_.end() || draws_.contains(envelope.cid())) return;
    Digest link = draw->link;
    for (std::uint32_t i = 0; i < draw->round; ++i) link = sha256(link.view());
    draws_.emplace(envelope.cid(), draw->round > 0 && link == tip->second);
    return;
  }
  if (!world_.honest(from)) return;
  if (type == verification::RevealRequest::type) {
    const auto request = record::decode<verification::RevealRequest>(envelope.body);
    if (!request) return;
    const std::set<Cid> seats(request->commitments.begin(), request->commitments.end());
    const bool none_drawn = seats.empty() && sampled_.contains(request->intent);
    if (request->draw && !none_drawn && seats.size() < world_.config(from).policy.verification_quorum.minimum_verifiers)
      findings_.add("told-early: node " + std::to_string(from) + " asked for a receipt when " +
                    std::to_string(seats.size()) + " verifiers had committed");
    asked_.insert(request->commitment);
  } else if (type == receipt::ExecutionReceipt::type) {
    const auto receipt = record::decode<receipt::ExecutionReceipt>(envelope.body);
    if (receipt && !asked_.contains(receipt->commitment))
      findings_.add("told-early: node " + std::to_string(from) + " passed on a receipt that it had not asked for");
  }
}

void Promises::on_answer(std::uint32_t from, const Envelope& envelope, const std::string& type) {
  if (type == verification::NonceReveal::type) {
    const auto reveal = record::decode<verification::NonceReveal>(envelope.body);
    if (!reveal) return;
    const auto [known, fresh] = nonces_.try_emplace({envelope.key, reveal->intent, reveal->round}, reveal->open);
    if (!fresh && known->second != reveal->open)
      findings_.add("two-openings: node " + std::to_string(from) + " showed its nonce of round " +
                    std::to_string(reveal->round) + " for two openings");
  } else if (type == receipt::Commitment::type) {
    const auto commitment = record::decode<receipt::Commitment>(envelope.body);
    if (!commitment || !commitment->worker) return;
    const auto draw = draws_.find(commitment->basis);
    if (draw != draws_.end() && !draw->second)
      findings_.add("forged-draw: node " + std::to_string(from) + " verifies under a draw that nobody had promised");
  }
}

double escape_formula(std::uint32_t eligible, std::uint32_t colluders, std::uint32_t seats, std::uint32_t needed) {
  double tail = 0;
  for (std::uint32_t k = needed; k <= std::min(seats, colluders); ++k) {
    if (seats - k > eligible - colluders) continue;
    // C(c, k) C(n - c, s - k) / C(n, s): the chance of one order of k colluders and s - k others, times the orders.
    double chance = 1;
    for (std::uint32_t i = 0; i < k; ++i) chance *= double(colluders - i) / double(eligible - i);
    for (std::uint32_t i = 0; i < seats - k; ++i) chance *= double(eligible - colluders - i) / double(eligible - k - i);
    for (std::uint32_t i = 0; i < k; ++i) chance *= double(seats - i) / double(i + 1);
    tail += chance;
  }
  return tail;
}

}  // namespace mesh::sim
