#include "domain/verification/keys.h"

#include <algorithm>

namespace mesh::verification {

namespace {

Result<std::vector<std::uint32_t>> key_shards(const std::vector<task::ShardRange>& ranges, std::uint32_t shards) {
  // Before they are expanded: a range is a few bytes, and can be of a million shards.
  std::uint64_t count = 0;
  for (const task::ShardRange& range : ranges) count += range.count;
  if (count == 0 || count > max_key_shards)
    return fail(ErrorCode::invalid, "too-many: keys are given and asked for of 1 to " + std::to_string(max_key_shards) +
                                        " shards at a time, not of " + std::to_string(count));
  return task::expand(ranges, shards);
}

}  // namespace

Result<std::vector<std::pair<std::uint32_t, WrappedKey>>> keys_of(const ShardKeys& record, std::uint32_t shards) {
  MESH_LET(const std::vector<std::uint32_t> numbers, key_shards(record.shards, shards));
  if (numbers.size() != record.keys.size())
    return fail(ErrorCode::invalid, "bad-keys: " + std::to_string(record.keys.size()) + " keys for " +
                                        std::to_string(numbers.size()) + " shards");
  std::vector<std::pair<std::uint32_t, WrappedKey>> keys;
  keys.reserve(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i)
    keys.emplace_back(numbers[i], WrappedKey{.point = record.point, .key = record.keys[i]});
  return keys;
}

Result<std::vector<std::uint32_t>> asked_for(const KeyRequest& request, std::uint32_t shards) {
  if (request.proof.size() > max_key_proof)
    return fail(ErrorCode::exhausted,
                "too-many: no draw takes more than " + std::to_string(max_key_proof) + " records to show");
  return key_shards(request.shards, shards);
}

Status check_drawn(const Field& field, const Signed<KeyRequest>& request, const Signed<receipt::Commitment>& own,
                   const std::vector<std::uint32_t>& shards, const Cid& federation) {
  const auto bad = [](std::string_view why) { return fail(ErrorCode::unauthorised, "not-drawn: " + std::string(why)); };
  if (field.offer_of(request.signer) == nullptr) return bad("the asker is not on the roster");
  // A few bytes can name all shards of the task: only those that are asked for are looked at.
  const auto asked_of = [&](const std::vector<task::ShardRange>& ranges) {
    std::vector<std::uint32_t> found;
    std::ranges::copy_if(shards, std::back_inserter(found),
                         [&](std::uint32_t shard) { return task::covers(ranges, shard); });
    return found;
  };
  std::optional<Signed<RoundOpen>> round;
  std::optional<Signed<Draw>> draw;
  std::vector<Signed<NonceReveal>> given;
  std::vector<std::pair<Cid, SeatChange>> changes;  // By the draw that they change.
  for (const Envelope& envelope : request.record.proof) {
    MESH_LET(const std::string type, type_of(envelope.body));
    // A change of seats is the publisher's word alone; make_round asks of the others whose they are.
    const bool is_publishers = envelope.key == field.intent.signer;
    if (type == RoundOpen::type && !round) {
      MESH_LET(round, open<RoundOpen>(envelope, federation));
    } else if (type == Draw::type && !draw) {
      MESH_LET(draw, open<Draw>(envelope, federation));
    } else if (type == NonceReveal::type) {
      MESH_LET(Signed<NonceReveal> reveal, open<NonceReveal>(envelope, federation));
      given.push_back(std::move(reveal));
    } else if (type == Substitution::type && is_publishers) {
      MESH_LET(const Signed<Substitution> change, open<Substitution>(envelope, federation));
      if (change.record.commitment != own.cid) return bad("a substitution on another commitment");
      changes.push_back({change.record.draw, {.shards = asked_of(change.record.shards), .lost = change.record.failed}});
    } else if (type == Extension::type && is_publishers) {
      MESH_LET(const Signed<Extension> change, open<Extension>(envelope, federation));
      if (change.record.commitment != own.cid) return bad("an extension on another commitment");
      changes.push_back(
          {change.record.draw, {.shards = asked_of(change.record.shards), .lost = {}, .wanted = change.record.seats}});
    } else {
      return bad("a record that shows no seat");
    }
  }
  if (!round || !draw) return bad("the request comes without a round and its draw");
  std::vector<Signed<NonceReveal>> reveals;
  for (const Cid& cid : draw->record.reveals) {
    const auto reveal = std::ranges::find(given, cid, &Signed<NonceReveal>::cid);
    if (reveal == given.end()) return bad("a nonce that the draw names is missing");
    reveals.push_back(*reveal);
  }
  Result<DrawnRound> made = make_round(field, *round, reveals, *draw);
  if (!made) return bad(made.error().message);
  const DrawnRound& drawn = *made;
  if (drawn.seats(own.cid) == 0) return bad("the round is not over this commitment");
  MESH_LET(const std::vector<std::uint32_t> covered, receipt::covered(own, field.intent.record.shards));
  const std::vector<std::uint32_t> verified = drawn.verified(own.cid, covered);
  for (const std::uint32_t shard : shards) {
    const std::string name = "shard " + std::to_string(shard);
    if (!std::ranges::binary_search(verified, shard)) return bad(name + " has no seats under this draw");
    Seats seats{.order = drawn.order(own.cid, shard, own.signer), .wanted = drawn.seats(own.cid), .lost = {}};
    for (const auto& [cid, change] : changes) {
      if (cid == draw->cid) seats.follow(change, shard);
    }
    if (!seats.holds(request.signer)) return bad("the asker has no seat on " + name);
  }
  return {};
}

}  // namespace mesh::verification
