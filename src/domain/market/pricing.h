// Prices: what a node asks for a shard, and what a publisher had better pay.
//
// A node's owner sets a price for 10^9 fuel and a minimum for a shard. Demand moves the price by a factor in percent of it:
// over windows of ten seconds the node's load is the mean of what runs and what waits. A window with at least one for each
// slot raises the factor by 10, one with less than half of that lowers it by 10; it stays between 100 and the ceiling. While
// nothing ran or waited in the last whole window, nor does now, the idle discount is taken off instead. What is asked for a
// shard is fuel * price * factor / 10^11, rounded up, and the minimum at least. Fuel is that of the scope: what a shard may use.
//
// The settlement gives a worker at most the policy's percentage of the fee, so that is what the price is held against. A task
// without a fee has cost 0: whether it is taken is the free quota's to say (quota.h). Who set no price asks for the whole fee.
//
// Integers alone, no clock: the same observations give the same price. Bounds: an amount past 2^64-1 counts as that, and a
// load past 2^32-1 as that; 64 prices are remembered.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>

#include "base/time.h"
#include "domain/policy/policy.h"
#include "domain/task/intent.h"

namespace mesh::market {

inline constexpr std::uint64_t fuel_unit = 1'000'000'000;  ///< what prices are for

struct PricingSettings {
  static constexpr std::uint32_t max_ceiling = 10'000;
  static constexpr std::uint64_t max_price = 1'000'000'000'000;  ///< a million credits

  std::uint64_t price = 0;  ///< micro-credits for fuel_unit
  std::uint64_t minimum = 0;  ///< micro-credits for a shard
  std::uint32_t idle_discount = 0;  ///< percent, 0 to 100
  std::uint32_t ceiling = 300;  ///< percent of the price that demand drives it to, 100 to max_ceiling

  /// Neither price nor minimum: whatever the fee is.
  [[nodiscard]] bool is_unset() const { return price == 0 && minimum == 0; }
};
[[nodiscard]] Status validate(const PricingSettings& settings);

class Pricing {
 public:
  static constexpr Duration window{10'000'000};
  static constexpr std::uint32_t step = 10;

  /// `settings` are valid. Time begins at `now`.
  Pricing(const PricingSettings& settings, const policy::RewardSettings& rewards, std::uint32_t slots, Instant now)
      : settings_(settings), rewards_(rewards), slots_(std::max(slots, 1U)), state_{.began = now, .since = now} {}

  /// So many runs and waiting shards there are from `now` on.
  void observe(Instant now, std::size_t running, std::size_t waiting);
  /// The cost to offer for a shard, or `price`: why not.
  [[nodiscard]] Result<std::uint64_t> quote(const task::CapabilityScope& scope, std::uint64_t fee, Instant now) const;
  /// What is asked for a shard, whatever the fee is.
  [[nodiscard]] std::uint64_t asked_for(const task::CapabilityScope& scope, Instant now) const;
  /// Percent of the price: 100 to the ceiling, or less by the idle discount.
  [[nodiscard]] std::uint32_t percent(Instant now) const;

 private:
  struct State {
    Instant began{};  ///< of the window
    Instant since{};  ///< of the load; never before `began`
    std::uint64_t load = 0;
    std::uint64_t sum = 0;  ///< load times microseconds, of the window so far
    std::uint32_t factor = 100;
    bool was_idle = true;  ///< in the last whole window
  };
  /// The state at a later moment, if the load stays.
  [[nodiscard]] State at(Instant now) const;
  void judge(State& state, std::uint64_t sum, std::uint64_t windows) const;

  PricingSettings settings_;
  policy::RewardSettings rewards_;
  std::uint32_t slots_;
  State state_;
};

/// What the worker of a shard gets of its fee, at most: the policy's percentage, rounded down.
[[nodiscard]] std::uint64_t workers_part(std::uint64_t fee, const policy::RewardSettings& rewards);

/// What awards that a node saw cost lately.
class RecentPrices {
 public:
  static constexpr std::size_t max_prices = 64;
  /// A shard of this fuel was awarded at this cost. One without cost or fuel says nothing.
  void saw(std::uint64_t cost, std::uint64_t fuel);
  /// The median for fuel_unit, rounded up, the lower of two; none where nothing was seen.
  [[nodiscard]] std::optional<std::uint64_t> median() const;
  /// Of how many.
  [[nodiscard]] std::size_t count() const { return prices_.size(); }

 private:
  std::deque<std::uint64_t> prices_;  ///< oldest first
};

/// What 10^9 fuel is taken to cost where nothing is known: six tenths of a second of a core, so 0.6 credits for an hour.
inline constexpr std::uint64_t fallback_price = 100;

/// The fee for a shard that a publisher is told to pay: scope times price, rounded up, and so much more that the worker's
/// percentage is that; at least 1.
[[nodiscard]] std::uint64_t propose_fee(const task::CapabilityScope& scope, std::optional<std::uint64_t> recent_price,
                                        const policy::RewardSettings& rewards);

}  // namespace mesh::market
