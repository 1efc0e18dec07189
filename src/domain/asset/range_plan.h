// Which holder of a file is asked for which of its leaves: those that are fast for more, and no one is waited for.
//
// Leaves that nobody was asked for are given out in order, each time as many as the holder sends in two round trips by the speed
// that was measured of it, so that it is never without a request: and not many more, since what is on its way when the asker is
// killed was sent for nothing. When none are left, whoever is idle is asked for the second half of what the slowest still
// owes, if he is likely to be done earlier: so the tail is asked for twice, and no leaf more often.
// Pure: time is given, the same calls give the same answers. Bounds: 2^20 leaves (1 TiB), Limits::max_holders.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/time.h"

namespace mesh::asset {

class RangePlan {
 public:
  static constexpr std::uint32_t max_leaves = std::uint32_t{1} << 20;

  struct Range {
    std::uint32_t first = 0, count = 0;
    bool operator==(const Range&) const = default;
  };
  struct Limits {
    std::uint32_t first_count = 2;  ///< leaves that a holder is asked for whose speed is not known
    std::uint32_t max_count = 64;
    /// Of sending, at the least: an asker may not be scheduled for so long.
    Duration least_ahead{std::chrono::milliseconds(50)};
    Duration most_ahead{std::chrono::milliseconds(500)};  ///< also where the round trip is not known
  };
  using Holder = std::size_t;

  /// A file of so many leaves, at most max_leaves, none of them here.
  explicit RangePlan(std::uint32_t leaves) : RangePlan(leaves, Limits()) {}
  RangePlan(std::uint32_t leaves, Limits limits);

  /// A leaf is here, wherever it came from.
  void set_here(std::uint32_t leaf);
  [[nodiscard]] bool is_here(std::uint32_t leaf) const { return leaves_[leaf].is_here; }
  [[nodiscard]] std::uint32_t missing() const { return missing_; }

  [[nodiscard]] Holder add_holder();
  /// What the holder is to be asked for next, besides what it owes; nullopt: nothing now, but others may fail.
  [[nodiscard]] std::optional<Range> next(Holder holder, Instant now);
  /// So long after it was asked while it owed nothing, the holder began to answer.
  void answered(Holder holder, Duration after);
  /// So many bytes of a leaf came from the holder: the leaf is here. Whether it was not before.
  bool arrived(Holder holder, std::uint32_t leaf, std::uint32_t bytes, Instant now);
  /// What the holder owes is not waited for any more. Whether somebody else can be asked for some of it now.
  bool release(Holder holder);
  /// Leaves that the holder was asked for, which are not here.
  [[nodiscard]] std::uint32_t owed(Holder holder) const;
  /// Bytes a second, by what arrived lately; 0: not known.
  [[nodiscard]] std::uint64_t speed(Holder holder) const { return holders_[holder].speed; }

 private:
  struct Leaf {
    bool is_here = false;
    std::uint8_t asked = 0;  ///< of how many holders it is waited for
  };
  struct State {
    std::deque<Range> owes;
    std::optional<Duration> round_trip;  ///< the shortest
    std::uint64_t speed = 0;
    std::uint64_t bytes = 0;  ///< since
    std::optional<Instant> since;
  };

  [[nodiscard]] std::uint32_t count_for(const State& state) const;
  [[nodiscard]] std::optional<Range> unasked(std::uint32_t count);
  [[nodiscard]] std::optional<Range> stolen(Holder thief, Instant now);
  /// By what arrived lately, and no more than by what did not arrive since.
  [[nodiscard]] static std::uint64_t speed_now(const State& state, Instant now);
  void owe(State& state, Range range, Instant now);

  Limits limits_;
  std::vector<Leaf> leaves_;
  std::vector<State> holders_;
  std::uint32_t missing_;
  std::uint32_t first_unasked_ = 0;  ///< no leaf before it is missing and asked of nobody
  std::uint64_t leaf_bytes_ = 0;  ///< of the largest that arrived
};

}  // namespace mesh::asset
