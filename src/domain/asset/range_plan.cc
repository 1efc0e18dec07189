#include "domain/asset/range_plan.h"

#include <algorithm>

#include "base/check.h"

namespace mesh::asset {

namespace {
constexpr Duration sample{std::chrono::milliseconds(100)};  // Shorter ones tell more of buffers than of links.
constexpr Duration silence{std::chrono::seconds(1)};  // After it a holder counts as slower than it was.
constexpr std::uint64_t per_second = 1'000'000;
}  // namespace

RangePlan::RangePlan(std::uint32_t leaves, Limits limits) : limits_(limits), leaves_(leaves), missing_(leaves) {
  MESH_CHECK(leaves <= max_leaves, "range-plan-leaves");
}

void RangePlan::set_here(std::uint32_t leaf) {
  if (leaves_[leaf].is_here) return;
  leaves_[leaf].is_here = true;
  --missing_;
}

RangePlan::Holder RangePlan::add_holder() {
  holders_.emplace_back();
  return holders_.size() - 1;
}

std::uint32_t RangePlan::count_for(const State& state) const {
  if (state.speed == 0 || leaf_bytes_ == 0) return limits_.first_count;
  const Duration ahead = state.round_trip ? std::clamp(2 * *state.round_trip, limits_.least_ahead, limits_.most_ahead)
                                          : limits_.most_ahead;
  const std::uint64_t leaves = state.speed * static_cast<std::uint64_t>(ahead.count()) / per_second / leaf_bytes_;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(leaves, 1, limits_.max_count));
}

std::optional<RangePlan::Range> RangePlan::unasked(std::uint32_t count) {
  const auto is_free = [&](std::uint32_t leaf) { return !leaves_[leaf].is_here && leaves_[leaf].asked == 0; };
  const std::uint32_t end = static_cast<std::uint32_t>(leaves_.size());
  while (first_unasked_ < end && !is_free(first_unasked_)) ++first_unasked_;
  if (first_unasked_ == end) return std::nullopt;
  Range range{.first = first_unasked_, .count = 0};
  while (range.count < count && range.first + range.count < end && is_free(range.first + range.count)) ++range.count;
  return range;
}

std::uint32_t RangePlan::owed(Holder holder) const {
  std::uint32_t count = 0;
  for (const Range& range : holders_[holder].owes) {
    for (std::uint32_t leaf = range.first; leaf < range.first + range.count; ++leaf)
      count += leaves_[leaf].is_here ? 0U : 1U;
  }
  return count;
}

std::uint64_t RangePlan::speed_now(const State& state, Instant now) {
  if (!state.since || now - *state.since < silence) return state.speed;
  const std::uint64_t lately = state.bytes * per_second / static_cast<std::uint64_t>((now - *state.since).count());
  return std::min(state.speed, lately);
}

std::optional<RangePlan::Range> RangePlan::stolen(Holder thief, Instant now) {
  // How long what is owed takes: leaves x bytes / speed, compared without the division. Of unknown speed: forever.
  const std::uint64_t own_speed = holders_[thief].speed;
  std::optional<Holder> slowest;
  std::uint64_t most = 0;
  for (Holder holder = 0; holder < holders_.size(); ++holder) {
    const State& state = holders_[holder];
    if (holder == thief || state.owes.empty()) continue;
    const std::uint64_t owes = owed(holder);
    if (owes == 0) continue;
    const std::uint64_t takes = owes * per_second * per_second / std::max<std::uint64_t>(speed_now(state, now), 1);
    if (takes <= most) continue;
    slowest = holder;
    most = takes;
  }
  if (!slowest) return std::nullopt;
  const std::uint32_t owes = owed(*slowest);
  const std::uint32_t wanted = (owes + 1) / 2;
  const std::uint64_t own = wanted * per_second * per_second / std::max<std::uint64_t>(own_speed, 1);
  if (own_speed > 0 && own >= most) return std::nullopt;
  // From the end, what nobody else was asked for too.
  const std::deque<Range>& ranges = holders_[*slowest].owes;
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
    std::uint32_t end = range->first + range->count;
    while (end > range->first && (leaves_[end - 1].is_here || leaves_[end - 1].asked > 1)) --end;
    std::uint32_t first = end;
    while (first > range->first && end - first < wanted && !leaves_[first - 1].is_here && leaves_[first - 1].asked == 1)
      --first;
    if (first < end) return Range{.first = first, .count = end - first};
  }
  return std::nullopt;
}

void RangePlan::owe(State& state, Range range, Instant now) {
  if (state.owes.empty()) {
    state.since = now;
    state.bytes = 0;
  }
  state.owes.push_back(range);
  for (std::uint32_t leaf = range.first; leaf < range.first + range.count; ++leaf) ++leaves_[leaf].asked;
}

std::optional<RangePlan::Range> RangePlan::next(Holder holder, Instant now) {
  State& state = holders_[holder];
  std::optional<Range> range = unasked(count_for(state));
  // Whoever still owes is not idle.
  if (!range && owed(holder) == 0) range = stolen(holder, now);
  if (range) owe(state, *range, now);
  return range;
}

void RangePlan::answered(Holder holder, Duration after) {
  std::optional<Duration>& shortest = holders_[holder].round_trip;
  shortest = std::min(shortest.value_or(after), after);
}

bool RangePlan::arrived(Holder holder, std::uint32_t leaf, std::uint32_t bytes, Instant now) {
  State& state = holders_[holder];
  leaf_bytes_ = std::max<std::uint64_t>(leaf_bytes_, bytes);
  state.bytes += bytes;
  if (state.since && now - *state.since >= sample) {
    const std::uint64_t speed = state.bytes * per_second / static_cast<std::uint64_t>((now - *state.since).count());
    state.speed = state.speed == 0 ? speed : (state.speed + speed) / 2;
    state.since = now;
    state.bytes = 0;
  }
  // The ranges are answered in their order, each from its first leaf on.
  while (!state.owes.empty()) {
    Range& range = state.owes.front();
    const bool within = leaf >= range.first && leaf < range.first + range.count;
    const std::uint32_t past = within ? leaf - range.first + 1 : range.count;
    for (std::uint32_t i = 0; i < past; ++i) --leaves_[range.first + i].asked;
    range.first += past;
    range.count -= past;
    if (range.count == 0) state.owes.pop_front();
    if (within) break;
  }
  const bool is_new = !leaves_[leaf].is_here;
  set_here(leaf);
  return is_new;
}

bool RangePlan::release(Holder holder) {
  bool freed = false;
  for (const Range& range : holders_[holder].owes) {
    for (std::uint32_t leaf = range.first; leaf < range.first + range.count; ++leaf) {
      if (--leaves_[leaf].asked > 0 || leaves_[leaf].is_here) continue;
      first_unasked_ = std::min(first_unasked_, leaf);
      freed = true;
    }
  }
  holders_[holder].owes.clear();
  return freed;
}

}  // namespace mesh::asset
