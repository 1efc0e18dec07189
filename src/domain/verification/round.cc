#include "domain/verification/round.h"

#include <algorithm>
#include <set>

#include "base/planted.h"
#include "domain/reputation/reputation.h"

namespace mesh::verification {

const Signed<market::ComputeOffer>* Field::offer_of(const NodeId& node) const {
  const auto it = std::ranges::find(offers, node, &Signed<market::ComputeOffer>::signer);
  return it == offers.end() ? nullptr : &*it;
}

const Signed<market::ComputeOffer>* Field::offer(const Cid& cid) const {
  const auto it = std::ranges::find(offers, cid, &Signed<market::ComputeOffer>::cid);
  return it == offers.end() ? nullptr : &*it;
}

Result<Field> make_field(Signed<task::TaskIntent> intent, Signed<market::Roster> roster,
                         std::vector<Signed<market::ComputeOffer>> offers) {
  if (roster.signer != intent.signer) return fail(ErrorCode::unauthorised, "the roster is not the publisher's");
  if (roster.record.intent != intent.cid) return fail(ErrorCode::invalid, "the roster is of another task");
  if (roster.record.offers.size() > market::max_roster) {
    return fail(ErrorCode::invalid, "a roster has at most " + std::to_string(market::max_roster) + " offers");
  }
  if (offers.size() != roster.record.offers.size())
    return fail(ErrorCode::invalid, "the roster and the offers differ in number");
  std::set<NodeId> seen;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    if (offers[i].cid != roster.record.offers[i])
      return fail(ErrorCode::invalid, "the offers are not those of the roster");
    MESH_TRY(market::check_offer(offers[i], intent));
    if (!seen.insert(offers[i].signer).second) return fail(ErrorCode::invalid, "the roster has two offers of one node");
  }
  return Field{std::move(intent), std::move(roster), std::move(offers), {}};
}

SeatOrder DrawnRound::order(const Cid& commitment, std::uint32_t shard, const NodeId& worker) const {
  Member worker_member{.node = worker, .owner = {}};
  for (const Member& member : members) {
    if (member.node == worker) worker_member = member;
  }
  return seat_order(seed, commitment, shard, members, worker_member, publisher);
}

std::vector<std::uint32_t> DrawnRound::verified(const Cid& commitment, const std::vector<std::uint32_t>& shards) const {
  return sample_of(seed, commitment, shards, sample);
}

std::uint32_t DrawnRound::seats(const Cid& commitment) const {
  const auto at = std::ranges::find(open.record.commitments, commitment) - open.record.commitments.begin();
  return at == std::ssize(open.record.commitments) ? 0 : open.record.seats[static_cast<std::size_t>(at)];
}

Status check_reveal(const Field& field, const Signed<RoundOpen>& open, const Signed<NonceReveal>& reveal) {
  const Signed<market::ComputeOffer>* offer = field.offer_of(reveal.signer);
  if (offer == nullptr) return fail(ErrorCode::unauthorised, "the nonce is not a roster member's");
  if (reveal.record.intent != field.intent.cid || reveal.record.open != open.cid ||
      reveal.record.round != open.record.round) {
    return fail(ErrorCode::invalid, "the nonce is of another round");
  }
  if (!field.chain_of(reveal.signer, offer->record.nonce_tip).check(reveal.record.link, reveal.record.round)) {
    return fail(ErrorCode::invalid, "the nonce is not the one that was committed to in the offer");
  }
  return {};
}

Result<DrawnRound> make_round(const Field& field, const Signed<RoundOpen>& open,
                              const std::vector<Signed<NonceReveal>>& reveals, const Signed<Draw>& draw) {
  if (open.signer != field.intent.signer || draw.signer != field.intent.signer) {
    return fail(ErrorCode::unauthorised, "the round is not the publisher's");
  }
  if (open.record.intent != field.intent.cid || open.record.roster != field.roster.cid ||
      draw.record.intent != field.intent.cid) {
    return fail(ErrorCode::invalid, "the round is of another task");
  }
  if (open.record.round < 1 || open.record.round > task::max_rounds(field.intent.record.shards) ||
      draw.record.round != open.record.round || draw.record.open != open.cid) {
    return fail(ErrorCode::invalid, "the draw does not belong to the round");
  }
  if (open.record.commitments.empty() || open.record.commitments.size() > max_round_commitments) {
    return fail(ErrorCode::invalid, "a round covers 1 to " + std::to_string(max_round_commitments) + " commitments");
  }
  const task::TaskIntent& intent = field.intent.record;
  const auto fits = [&](std::uint32_t seats) {
    return intent.value == 0 ? seats == intent.verifiers : seats >= intent.verifiers && seats <= field.offers.size();
  };
  if (open.record.seats.size() != open.record.commitments.size() || !std::ranges::all_of(open.record.seats, fits))
    return fail(ErrorCode::invalid, "a round gives its commitments other numbers of seats than the task allows");
  if (open.record.barred.size() > field.offers.size())
    return fail(ErrorCode::invalid, "a round bars more nodes than there are members");
  if (!planted(Bug::draw_unchecked) &&
      !field.chain_of(field.intent.signer, field.intent.record.nonce_tip).check(draw.record.link, draw.record.round)) {
    return fail(ErrorCode::invalid, "the publisher's link is not of the chain that its intent committed to");
  }
  if (reveals.size() != draw.record.reveals.size())
    return fail(ErrorCode::invalid, "the draw and its reveals differ in number");

  const reputation::ReputationSnapshot reputation;
  DrawnRound round{.open = open,
                   .draw = draw,
                   .seed = {},
                   .members = {},
                   .publisher = {.node = field.intent.signer, .owner = field.intent.record.owner},
                   .sample = intent.sample};
  std::vector<Digest> links;
  std::size_t next = 0;
  for (const Signed<market::ComputeOffer>& offer : field.offers) {
    Member member{.node = offer.signer,
                  .owner = offer.record.owner,
                  .weight = reputation.score_of(offer.signer),
                  .withheld = true};
    if (next < reveals.size() && reveals[next].signer == offer.signer) {
      const Signed<NonceReveal>& reveal = reveals[next];
      if (reveal.cid != draw.record.reveals[next])
        return fail(ErrorCode::invalid, "a reveal is not the one that the draw names");
      MESH_TRY(check_reveal(field, open, reveal));
      member.withheld = std::ranges::find(open.record.barred, offer.signer) != open.record.barred.end();
      links.push_back(reveal.record.link);
      ++next;
    } else {
      links.push_back(withheld_link(offer.record.nonce_tip, open.record.round));
    }
    round.members.push_back(std::move(member));
  }
  if (next != reveals.size()) return fail(ErrorCode::invalid, "the reveals are not in the order of the roster");
  if (planted(Bug::publisher_verifies)) {
    round.members.push_back(round.publisher);
    round.members.back().weight = reputation.score_of(round.publisher.node);
  }
  round.seed = round_seed(open.cid, draw.record.link, links);
  return round;
}

void Seats::follow(const SeatChange& change, std::uint32_t shard) {
  if (!std::ranges::binary_search(change.shards, shard)) return;
  if (change.lost) lost.push_back(*change.lost);
  wanted = std::max(wanted, change.wanted);
}

std::vector<NodeId> Seats::current() const {
  std::vector<NodeId> seats;
  for (const NodeId& node : order.nodes) {
    if (seats.size() == wanted) break;
    if (std::ranges::find(lost, node) == lost.end()) seats.push_back(node);
  }
  return seats;
}

bool Seats::holds(const NodeId& node) const {
  const std::vector<NodeId> seats = current();
  return std::ranges::find(seats, node) != seats.end();
}

bool Seats::same_owner() const {
  for (const NodeId& node : current()) {
    const auto index = static_cast<std::size_t>(std::ranges::find(order.nodes, node) - order.nodes.begin());
    if (index >= order.same_owner_from) return true;
  }
  return false;
}

}  // namespace mesh::verification
