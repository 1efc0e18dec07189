#include "domain/market/records.h"

#include <limits>

namespace mesh::market {

Status check_offer(const Signed<ComputeOffer>& offer, const Signed<task::TaskIntent>& intent) {
  const ComputeOffer& o = offer.record;
  if (o.intent != intent.cid) return fail(ErrorCode::invalid, "wrong-intent: the offer is for another task");
  if (offer.signer == intent.signer)
    return fail(ErrorCode::denied, "own-task: a publisher does not bid on its own task");
  if (o.cost > intent.record.fee) {
    return fail(ErrorCode::denied, "over-fee: a cost of " + std::to_string(o.cost) + " is above the fee of " +
                                       std::to_string(intent.record.fee));
  }
  if (o.cost != 0 && intent.record.shards > std::numeric_limits<std::uint64_t>::max() / o.cost) {
    return fail(ErrorCode::invalid, "overflow: the cost of all shards together is past 64 bits");
  }
  if (o.capacity < 1 || o.capacity > 4096) {
    return fail(ErrorCode::invalid,
                "bad-capacity: the capacity is between 1 and 4096, not " + std::to_string(o.capacity));
  }
  if (o.valid_ms == 0) return fail(ErrorCode::timeout, "late: the offer is valid for no time at all");
  if (o.owner.size() > 128) return fail(ErrorCode::invalid, "bad-owner: the owner has at most 128 bytes");
  return {};
}

}  // namespace mesh::market
