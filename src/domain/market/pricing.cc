#include "domain/market/pricing.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace mesh::market {

namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t capped(Wide amount) {
  return static_cast<std::uint64_t>(std::min<Wide>(amount, std::numeric_limits<std::uint64_t>::max()));
}
/// a * b / divisor, rounded up.
std::uint64_t scaled_up(Wide a, std::uint64_t b, std::uint64_t divisor) {
  return capped((a * b + (divisor - 1)) / divisor);
}

}  // namespace

Status validate(const PricingSettings& settings) {
  if (settings.price > PricingSettings::max_price || settings.minimum > PricingSettings::max_price)
    return fail(ErrorCode::invalid, "a price is at most " + std::to_string(PricingSettings::max_price));
  if (settings.idle_discount > 100) return fail(ErrorCode::invalid, "an idle discount is at most 100 percent");
  if (settings.ceiling < 100 || settings.ceiling > PricingSettings::max_ceiling)
    return fail(ErrorCode::invalid,
                "a price's ceiling is between 100 and " + std::to_string(PricingSettings::max_ceiling) + " percent");
  return {};
}

void Pricing::judge(State& state, std::uint64_t sum, std::uint64_t windows) const {
  const std::uint64_t full = std::uint64_t{slots_} * static_cast<std::uint64_t>(window.count());
  // More steps than there are from the floor to the ceiling change nothing.
  const auto change = static_cast<std::uint32_t>(std::min<std::uint64_t>(windows, PricingSettings::max_ceiling)) * step;
  if (sum >= full) state.factor = std::min(settings_.ceiling, state.factor + change);
  if (2 * sum < full) state.factor -= std::min(state.factor - 100, change);
  state.was_idle = sum == 0;
}

Pricing::State Pricing::at(Instant now) const {
  State state = state_;
  now = std::max(now, state.since);
  const Instant end = state.began + window;
  if (now < end) {
    state.sum += state.load * static_cast<std::uint64_t>((now - state.since).count());
    state.since = now;
    return state;
  }
  judge(state, state.sum + state.load * static_cast<std::uint64_t>((end - state.since).count()), 1);
  const auto further = static_cast<std::uint64_t>((now - end) / window);
  if (further > 0) judge(state, state.load * static_cast<std::uint64_t>(window.count()), further);
  state.began = end + window * static_cast<std::int64_t>(further);
  state.since = now;
  state.sum = state.load * static_cast<std::uint64_t>((now - state.began).count());
  return state;
}

void Pricing::observe(Instant now, std::size_t running, std::size_t waiting) {
  state_ = at(now);
  constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
  state_.load = std::min(running, most) + std::min(waiting, most - std::min(running, most));
}

std::uint32_t Pricing::percent(Instant now) const {
  const State state = at(now);
  const bool idle = state.was_idle && state.sum == 0 && state.load == 0;
  return idle ? 100 - settings_.idle_discount : state.factor;
}

std::uint64_t Pricing::asked_for(const task::CapabilityScope& scope, Instant now) const {
  return std::max(settings_.minimum, scaled_up(Wide{settings_.price} * percent(now), scope.fuel, fuel_unit * 100));
}

std::uint64_t workers_part(std::uint64_t fee, const policy::RewardSettings& rewards) {
  return capped(Wide{fee} * rewards.worker_percentage / 100);
}

Result<std::uint64_t> Pricing::quote(const task::CapabilityScope& scope, std::uint64_t fee, Instant now) const {
  if (fee == 0) return 0;
  if (settings_.is_unset()) return fee;
  const std::uint64_t asked = asked_for(scope, now);
  const std::uint64_t for_worker = workers_part(fee, rewards_);
  if (asked <= for_worker) return asked;
  return fail(ErrorCode::denied, "price: of the fee of " + std::to_string(fee) + " a worker gets " +
                                     std::to_string(for_worker) + ", and a shard costs " + std::to_string(asked) +
                                     " here");
}

void RecentPrices::saw(std::uint64_t cost, std::uint64_t fuel) {
  if (cost == 0 || fuel == 0) return;
  if (prices_.size() >= max_prices) prices_.pop_front();
  prices_.push_back(scaled_up(cost, fuel_unit, fuel));
}

std::optional<std::uint64_t> RecentPrices::median() const {
  if (prices_.empty()) return std::nullopt;
  std::vector<std::uint64_t> sorted(prices_.begin(), prices_.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::ranges::nth_element(sorted, middle);
  return *middle;
}

std::uint64_t propose_fee(const task::CapabilityScope& scope, std::optional<std::uint64_t> recent_price,
                          const policy::RewardSettings& rewards) {
  const std::uint64_t cost = scaled_up(recent_price.value_or(fallback_price), scope.fuel, fuel_unit);
  const std::uint64_t percentage = std::min(rewards.worker_percentage, 100U);
  return std::max<std::uint64_t>(1, percentage == 0 ? cost : scaled_up(cost, 100, percentage));
}

}  // namespace mesh::market
