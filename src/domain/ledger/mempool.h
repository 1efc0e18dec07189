// The mempool: transactions that were opened and wait to be in a block.
//
// They wait by account and sequence number. What comes again is no news; a number that leaves a gap waits until it is filled;
// a second transaction for a number is refused, and the pair is kept as evidence. Nothing is proposed before all of the
// account's earlier ones are, and accounts take turns: in each turn one transaction of each, the one that has waited longest
// first. So nobody's transactions wait for the length of somebody else's queue, and the order is the same wherever the same
// transactions came in the same order.
//
// What costs its sender nothing must not keep out what does. Loose are those that have a gap before them, and the one that an
// account may have here that does not exist yet or cannot pay the fee. Loose ones have a quarter of the room, and when there is none
// left the newest of them are pushed out for those that are not.
//
// A conflict is also found with what is final, as far back as that is remembered.
//
// Bounds: 64 transactions of an account, none further than 64 from the next; 65,536 and 64 MiB in all; what has waited for
// 256 blocks or 10 minutes goes; 256 conflicts, one of an account; 4,096 final transactions, 16 MiB of them, are remembered. What
// is full refuses by name.
#pragma once

#include <deque>
#include <map>
#include <unordered_map>

#include "domain/ledger/ledger.h"

namespace mesh::ledger {

inline constexpr std::size_t max_pending_of_account = 64;
inline constexpr std::size_t max_pending = std::size_t{1} << 16;
inline constexpr std::size_t max_pending_bytes = std::size_t{64} << 20;
inline constexpr std::size_t max_loose = max_pending / 4;
inline constexpr std::size_t max_loose_bytes = max_pending_bytes / 4;
inline constexpr std::uint64_t max_pending_heights = 256;
inline constexpr std::uint64_t max_pending_ms = 600'000;
inline constexpr std::size_t max_remembered = 4096;
inline constexpr std::size_t max_remembered_bytes = std::size_t{16} << 20;
inline constexpr std::size_t max_pending_conflicts = 256;

class Mempool {
 public:
  /// `hash`: by which accounts are found here (Ledger::seeded_hash). In what order they stand changes nothing that is seen.
  explicit Mempool(SeededHash hash = SeededHash()) : queues_(0, hash), remembered_(0, PlaceHash{hash}) {}

  enum class Added : std::uint8_t {
    ready,  ///< all before it are here or final
    waits,  ///< there is a gap before it
    repeated,  ///< it was here
  };

  /// Takes one in, as things stand in `ledger`. Refused are what is final already (sequence-repeated), what is too far ahead
  /// (pending-gap), what there is no room for (pending-full), what another key than the account's signed (wrong-key,
  /// key-rotated), what conflicts with one that waits (pending-conflict), who is not there (unknown-account), and a second of an
  /// account that cannot pay (pending-unpaid). `now_ms` is the caller's clock, here and in expire().
  [[nodiscard]] Result<Added> add(const Ledger& ledger, Opened transaction, std::uint64_t now_ms);

  /// The next `count` at most, in the order in which they are to be proposed.
  [[nodiscard]] std::vector<Opened> proposal(const Ledger& ledger, std::size_t count) const;

  /// After the commit of a block with these transactions: lets go of what is final or can never be.
  void settle(const Ledger& ledger, std::span<const Opened> block);
  /// Lets go of what has waited too long. Needs no block: where nothing can be proposed none comes.
  void expire(const Ledger& ledger, std::uint64_t now_ms);
  /// Lets go of one that turned out to be invalid; what comes after it in its account waits for another in its place.
  void drop(const AccountId& account, std::uint64_t sequence);

  /// Pairs of envelopes that one account signed for one number; they are handed over once.
  [[nodiscard]] std::vector<std::array<Bytes, 2>> take_conflicts();

  /// The one that waits under this name, for who has a block's transactions to open; null if there is none.
  [[nodiscard]] const Opened* find(const AccountId& account, std::uint64_t sequence) const;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t loose() const { return loose_.size(); }
  [[nodiscard]] std::size_t loose_bytes() const { return loose_bytes_; }

 private:
  struct Pending {
    Opened transaction;
    std::uint64_t arrival = 0;  ///< counts what came in
    std::uint64_t height = 0;  ///< of the ledger then
    std::uint64_t time_ms = 0;  ///< then
    bool loose = false;
  };
  using Pendings = std::map<std::uint64_t, Pending>;
  struct Queue {
    Pendings pending;  ///< by sequence number
    std::uint64_t next = 0;  ///< the account's next number
    bool pays = false;  ///< whether the account can pay a fee
  };
  using Place = std::pair<AccountId, std::uint64_t>;
  struct PlaceHash {
    SeededHash hash;
    std::size_t operator()(const Place& place) const { return hash(place.first) ^ place.second; }
  };

  /// Room for another, made at the cost of loose ones where it is not loose itself.
  [[nodiscard]] Status make_room(std::size_t bytes, bool loose);
  /// Says of each in the queue anew whether it is loose.
  void sort_out(const AccountId& id, Queue& queue);
  /// Of loose ones that became too many, pushes out the newest.
  void trim();
  void push_out_newest();
  void forget(Queue& queue, Pendings::iterator at);
  void remember(const Opened& transaction);
  void keep_conflict(const Opened& first, const Opened& second);

  std::unordered_map<AccountId, Queue, SeededHash> queues_;  ///< none is empty
  std::map<std::uint64_t, Place> loose_;  ///< by arrival
  std::size_t loose_bytes_ = 0;
  std::map<AccountId, std::array<Bytes, 2>> conflicts_;
  std::unordered_map<Place, Opened, PlaceHash> remembered_;
  std::deque<Place> remembered_order_;  ///< the oldest first
  std::size_t remembered_bytes_ = 0;
  std::uint64_t arrivals_ = 0;
  std::size_t size_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace mesh::ledger
