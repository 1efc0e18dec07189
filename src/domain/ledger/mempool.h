// The mempool: transactions that were opened and wait to be in a block.
//
// They wait by account and sequence number. What comes again is no news; a number that leaves a gap waits until it is filled;
// a second transaction for a number is refused, and the pair is kept as evidence. Nothing is proposed before all of the
// account's earlier ones are, and accounts take turns: in each turn one transaction of each, the one that has waited longest
// first. So nobody's transactions wait for the length of somebody else's queue, and the order is the same wherever the same
// transactions came in the same order.
//
// Bounds: 64 transactions of an account, none further than 64 from the next; 65,536 and 64 MiB in all; what has waited for
// 256 blocks goes; 256 conflicts, one of an account. What is full refuses by name; nothing that waits is pushed out.
#pragma once

#include <map>

#include "domain/ledger/ledger.h"

namespace mesh::ledger {

inline constexpr std::size_t max_pending_of_account = 64;
inline constexpr std::size_t max_pending = std::size_t{1} << 16;
inline constexpr std::size_t max_pending_bytes = std::size_t{64} << 20;
inline constexpr std::uint64_t max_pending_heights = 256;
inline constexpr std::size_t max_pending_conflicts = 256;

class Mempool {
 public:
  enum class Added : std::uint8_t {
    ready,  ///< all before it are here or final
    waits,  ///< there is a gap before it
    repeated,  ///< it was here
  };

  /// Takes one in, as things stand in `ledger`. Refused are what is final already (sequence-repeated), what is too far ahead
  /// (pending-gap), what there is no room for (pending-full), what another key than the account's signed (wrong-key,
  /// key-rotated), what conflicts with one that waits (pending-conflict), and who is not there (unknown-account).
  [[nodiscard]] Result<Added> add(const Ledger& ledger, Opened transaction);

  /// The next `count` at most, in the order in which they are to be proposed.
  [[nodiscard]] std::vector<Opened> proposal(const Ledger& ledger, std::size_t count) const;

  /// After a commit: lets go of what is final or can never be, and of what has waited too long.
  void settle(const Ledger& ledger);
  /// Lets go of one that turned out to be invalid; what comes after it in its account waits for another in its place.
  void drop(const AccountId& account, std::uint64_t sequence);

  /// Pairs of envelopes that one account signed for one number; they are handed over once.
  [[nodiscard]] std::vector<std::array<Bytes, 2>> take_conflicts();

  /// The one that waits under this name, for who has a block's transactions to open; null if there is none.
  [[nodiscard]] const Opened* find(const AccountId& account, std::uint64_t sequence) const;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Pending {
    Opened transaction;
    std::uint64_t arrival = 0;  ///< counts what came in
    std::uint64_t height = 0;  ///< of the ledger then
  };
  using Queue = std::map<std::uint64_t, Pending>;

  void forget(Queue& queue, Queue::iterator at);
  void keep_conflict(const Opened& first, const Opened& second);

  std::map<AccountId, Queue> queues_;  ///< none is empty
  std::map<AccountId, std::array<Bytes, 2>> conflicts_;
  std::uint64_t arrivals_ = 0;
  std::size_t size_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace mesh::ledger
