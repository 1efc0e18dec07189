#include "domain/ledger/payment.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "domain/market/pricing.h"
#include "domain/verification/quorum.h"

namespace mesh::ledger {

std::uint64_t multiply_divide(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  __extension__ using Wide = unsigned __int128;
  MESH_CHECK(c > 0, "ledger-division-by-zero");
  const Wide quotient = static_cast<Wide>(a) * b / c;
  MESH_CHECK(quotient <= std::numeric_limits<std::uint64_t>::max(), "ledger-quotient-overflow");
  return static_cast<std::uint64_t>(quotient);
}

std::uint32_t timeliness_of(std::uint64_t eta_ms, std::uint32_t capacity, std::uint64_t position,
                            std::uint64_t taken_ms) {
  MESH_CHECK(capacity > 0, "ledger-capacity");
  const std::uint64_t turns = (position + capacity - 1) / capacity;
  __extension__ using Wide = unsigned __int128;
  const Wide promised = static_cast<Wide>(eta_ms) * turns;
  if (promised > std::numeric_limits<std::uint64_t>::max()) return 1000;
  return verification::timeliness(static_cast<std::uint64_t>(promised), taken_ms <= grace_ms ? 0 : taken_ms - grace_ms);
}

std::uint64_t verifiers_pot(std::uint64_t fee, const policy::RewardSettings& rewards) {
  return multiply_divide(fee, rewards.verifier_percentage, 100);
}

std::vector<std::uint64_t> share_out(std::uint64_t pot, std::span<const std::uint64_t> weights) {
  __extension__ using Wide = unsigned __int128;
  Wide total = 0;
  for (const std::uint64_t weight : weights) total += weight;
  std::vector<std::uint64_t> shares;
  shares.reserve(weights.size());
  for (const std::uint64_t weight : weights)
    shares.push_back(total == 0 ? 0 : static_cast<std::uint64_t>(static_cast<Wide>(pot) * weight / total));
  return shares;
}

ShardPayment pay_accepted(const ShardTerms& terms, std::span<const std::uint64_t> weights,
                          const policy::RewardSettings& rewards) {
  MESH_CHECK(terms.seats >= weights.size() && terms.timeliness <= 1000, "ledger-payment-terms");
  ShardPayment payment;
  const std::uint64_t agreed_price = std::min(terms.cost, market::workers_part(terms.fee, rewards));
  payment.worker = multiply_divide(agreed_price, terms.timeliness, 1000);
  if (terms.seats > 0) {
    // In one division, so that rounding takes less than one micro-credit in all.
    payment.worker =
        multiply_divide(agreed_price, weights.size() * terms.timeliness, terms.seats * std::uint64_t{1000});
    payment.verifiers = share_out(verifiers_pot(terms.fee, rewards), weights);
  }
  payment.treasury = multiply_divide(terms.fee, rewards.platform_fee_percentage, 100);
  std::uint64_t spent = payment.worker + payment.treasury;
  for (const std::uint64_t share : payment.verifiers) spent += share;
  MESH_CHECK(spent <= terms.fee, "ledger-paid-past-the-fee");
  payment.publisher = terms.fee - spent;
  return payment;
}

}  // namespace mesh::ledger
