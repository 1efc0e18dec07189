// The ledger as a node knows it: its time, its members' standing, and what the node has asked of it.
//
// Nothing here is written down: after a restart the ledger says what has happened, and what had not is asked for again.
//
// Bounds: 65,536 members, as the ledger; one wish for each thing that a job, a worker's part or a seat may want.
#pragma once

#include <map>
#include <optional>

#include "node/ledger_entries.h"
#include "node/outbox.h"

namespace mesh::node {

class LedgerView {
 public:
  void take(Instant now, const event::LedgerChanged& changed);

  /// Whether anything is known of the ledger yet: it is told once after the start.
  [[nodiscard]] bool is_known() const { return known_; }
  [[nodiscard]] std::uint64_t height() const { return height_; }
  /// Of the last final block.
  [[nodiscard]] std::uint64_t time_ms() const { return time_ms_; }
  /// Milliseconds since 1970, by the host's clock, but never before the last block.
  [[nodiscard]] std::uint64_t wall_ms(Instant now) const;
  [[nodiscard]] const ledger::Parameters& parameters() const { return parameters_; }
  /// The account for which this node acts.
  [[nodiscard]] const ledger::AccountId& self() const { return self_; }
  /// Its standing; null for who is no member.
  [[nodiscard]] const Standing* own() const;
  /// Of the account for which this key signs now. Null for who is no member, or not known to be one, and for a key that was given up.
  [[nodiscard]] const Standing* standing(const NodeId& node) const;
  /// Where the node is found that acts for an account.
  [[nodiscard]] NodeId node_of(const ledger::AccountId& account) const;
  /// Whether the ledger would let the node anchor work at this fee a shard: no-worker, bond-too-small.
  [[nodiscard]] Status check_worker(const NodeId& node, std::uint64_t fee) const;
  /// How many shards of this fee a node's bond still answers for: none without the role of a worker.
  [[nodiscard]] std::uint64_t shards_covered(const NodeId& node, std::uint64_t fee) const;

 private:
  bool known_ = false;
  std::uint64_t height_ = 0;
  std::uint64_t time_ms_ = 0;
  std::uint64_t now_ms_ = 0;  ///< the host's clock at `at_`
  Instant at_{};
  ledger::Parameters parameters_;
  ledger::AccountId self_;
  std::map<ledger::AccountId, Standing> members_;
  AccountKeys keys_;  ///< of the members
};

/// What the node wants of the ledger: each wish is a transaction under way once, and after a refusal it waits a while.
class LedgerDesk {
 public:
  enum class Kind : std::uint8_t { lock, anchor, timeout, settle, refund };
  struct Wish {
    Kind kind = Kind::lock;
    Cid scope;  ///< the intent, or for a seat the worker's commitment
    Cid about;  ///< intent, award or commitment
    auto operator<=>(const Wish&) const = default;
  };
  struct Answer {
    Wish wish;
    Result<std::uint64_t> height;
  };

  /// Whether `want` would ask now.
  [[nodiscard]] bool is_free(Instant now, const Wish& wish) const;
  /// Asks, unless the same is under way or was refused a moment ago.
  void want(Instant now, const Wish& wish, ledger::Body body, Outbox& out);
  /// What became of a wish; none for an answer that nobody waits for.
  [[nodiscard]] std::optional<Answer> answered(Instant now, event::Transacted&& transacted);
  void forget(const Cid& scope);
  /// When something that was refused may be wanted again.
  [[nodiscard]] std::optional<Instant> deadline(Instant now) const;

 private:
  struct Refused {
    Instant until{};
    std::uint32_t times = 0;
  };
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Wish> under_way_;
  std::map<Wish, std::uint64_t> ids_;
  std::map<Wish, Refused> refused_;
};

/// The stable name that a refusal begins with.
[[nodiscard]] std::string_view refusal_name(const Error& error);

/// Shards of a work on which an account has a seat in the last drawing, by `time_ms`, ascending.
[[nodiscard]] std::vector<std::uint32_t> seats_held(const ledger::Work& work, const ledger::AccountId& node,
                                                    std::uint64_t time_ms);

}  // namespace mesh::node
