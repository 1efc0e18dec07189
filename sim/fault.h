// What can go wrong in a simulated world, by name, and how often it did: a run that asked for a fault of a class and never
// saw one has tested nothing, and says so.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace mesh::sim {

enum class Fault : std::uint8_t {
  loss,  ///< a message or a copy of gossip that never arrives
  duplication,  ///< a message that arrives twice
  reordering,  ///< a message that an earlier one of its stream overtakes
  partition,  ///< a cut both ways
  one_way,  ///< a cut one way
  crash,  ///< a host that stops on the spot
  lost_write,  ///< a write that a crash found not durable yet
  torn_sync,  ///< a write that a crash left durable, though what waited for it never happened
  churn,  ///< a peer that leaves in good order and comes back
  clock_jump,  ///< a host whose clock leaps ahead
  disk_stall,  ///< a sync that takes very long
  slow_run,  ///< a run on a slow host
  failed_fetch,  ///< a run that could not get its function or inputs
  // What peers do on purpose.
  wrong_result,  ///< a finding that is not true
  collusion,  ///< a false finding that others of the group tell as well
  lazy_answer,  ///< a finding without a run: guessed, or what somebody else was heard to say
  copied_commitment,  ///< another's commitment under the own name
  no_reveal,  ///< a receipt that never comes
  early_reveal,  ///< a finding told before it was asked for
  late_reveal,  ///< a receipt held back for long
  replay,  ///< an old message of another, sent again
  flood,  ///< a message for nothing but the work it makes
  sybil_offer,  ///< an offer in the name of nobody
  forged_draw,  ///< a publisher's draw with another link than it had promised
};
inline constexpr std::size_t fault_count = 24;

[[nodiscard]] std::span<const std::string_view, fault_count> fault_names();
[[nodiscard]] inline std::string_view name_of(Fault fault) { return fault_names()[static_cast<std::size_t>(fault)]; }

class FaultCounts {
 public:
  void add(Fault fault, std::uint64_t times = 1) { counts_[static_cast<std::size_t>(fault)] += times; }
  [[nodiscard]] std::uint64_t of(Fault fault) const { return counts_[static_cast<std::size_t>(fault)]; }

 private:
  std::array<std::uint64_t, fault_count> counts_{};
};

}  // namespace mesh::sim
