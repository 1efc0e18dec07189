// What the market's sides sign: offers, refusals, the roster of those who are in, and awards.
#pragma once

#include "domain/identity/identity.h"
#include "domain/task/intent.h"

namespace mesh::market {

using identity::NodeId;

/// "I can run this at that price." Straight to the publisher. The times are durations, since two nodes' clocks are
/// never compared: the offer holds for `valid_ms` from when it arrives.
struct ComputeOffer {
  static constexpr std::string_view type = "compute-offer";
  static constexpr std::uint64_t version = 1;

  Cid intent;
  std::uint64_t cost = 0;       ///< micro-credits per shard, at most the fee
  std::uint32_t capacity = 0;   ///< shards at once, 1 to 4096
  std::uint64_t eta_ms = 0;     ///< for one shard that uses its whole fuel
  std::uint32_t valid_ms = 0;
  Digest nonce_tip;             ///< end of the bidder's hash chain for this intent
  bool holds_inputs = false;    ///< has run this function on this list of inputs before, so little need be fetched
  std::string owner;            ///< did of the bidder's owner, empty = itself

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("cost", self.cost);
    v("capacity", self.capacity);
    v("eta_ms", self.eta_ms);
    v("valid_ms", self.valid_ms);
    v("nonce_tip", self.nonce_tip);
    v("holds_inputs", self.holds_inputs);
    v("owner", self.owner);
  }
};

/// "I heard you, and here is why I do not offer": the answer to "why did nobody bid?".
struct Decline {
  static constexpr std::string_view type = "decline";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  std::string reason;  ///< one sentence, at most 256 bytes
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("reason", self.reason);
  }
};

/// "I do not accept this record of yours." `reason` begins with a stable name: "late", "over-fee", "replayed", ...
struct Refusal {
  static constexpr std::string_view type = "refusal";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  Cid about;
  std::string reason;  ///< at most 256 bytes
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("about", self.about);
    v("reason", self.reason);
  }
};

/// The accepted offers when the bidding closed: who may work and who may be drawn to verify. Fixed from here on,
/// before any work is awarded, so that nobody can be added once a result is known.
struct Roster {
  static constexpr std::string_view type = "roster";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  std::vector<Cid> offers;  ///< ranked, best first; at most max_roster
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("offers", self.offers);
  }
};
inline constexpr std::size_t max_roster = 64;

/// A lease: these shards are this worker's until they are done, re-awarded or the task ends.
struct Award {
  static constexpr std::string_view type = "award";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  Cid roster;
  Cid offer;
  std::uint32_t lease = 0;                ///< counts the task's awards from 0
  std::vector<task::ShardRange> shards;
  /// Of a paid task: when it was given, in milliseconds since 1970. What the worker is paid falls with the time from then on,
  /// so it takes no award that is dated back.
  std::optional<std::uint64_t> given_ms;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("roster", self.roster);
    v("offer", self.offer);
    v("lease", self.lease);
    v("shards", self.shards);
    v("given_ms", self.given_ms);
  }
};

/// The publisher's last word on a task: nothing more is wanted, and what was kept for it can go.
struct Close {
  static constexpr std::string_view type = "close";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  std::string reason;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("reason", self.reason);
  }
};

/// Checks that a publisher can make of an offer by itself; the error text begins with the refusal's stable name.
[[nodiscard]] Status check_offer(const Signed<ComputeOffer>& offer, const Signed<task::TaskIntent>& intent);

}  // namespace mesh::market
