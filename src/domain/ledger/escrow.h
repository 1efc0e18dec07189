// Escrow and paid work as the ledger knows them: what a publisher locked for a task, and what each worker committed to, from
// the anchored commitment to what it paid. execution_work.cc has the rules by which they change.
//
// An escrow holds the fee of every shard of an intent that is not paid yet. A shard is claimed by the first commitment to it
// that is anchored; it is paid once, or claimed again by another when that commitment came to nothing. An escrow ends once:
// when all shards are paid, or when its time is over and no claim is left; what it still holds goes back. It stays, ended,
// for as long as its intent could be locked again.
//
// A work is one worker's commitment (1 to 1,024 shards of one award). Its verifiers are drawn by the beacon of the block after
// it and stand in it, so a proof of the entry is a proof of the draw.
//
// Bounds: 65,536 escrows of 2^24 shards and 7 days; 65,536 works, the ended ones included; 2^21 shards under open works in all (some 70 bytes each); of one
// work two drawings of a panel of 64 nodes each, with four answers and one time-out of each. Values are hashed whole at each change.
#pragma once

#include <optional>
#include <set>
#include <span>

#include "domain/ledger/draw.h"
#include "domain/ledger/merkle_map.h"
#include "domain/receipt/receipt.h"
#include "domain/verification/quorum.h"

namespace mesh::ledger {

using identity::NodeId;

/// Where an entry lies in its table.
[[nodiscard]] Digest place_in(std::string_view table, ByteView key);

inline constexpr std::size_t max_escrows = std::size_t{1} << 16;
inline constexpr std::size_t max_works = std::size_t{1} << 16;
inline constexpr std::uint64_t max_open_shards = std::uint64_t{1} << 21;
/// Nodes among which a commitment's seats are drawn, shard by shard.
inline constexpr std::size_t max_panel = 64;
/// Seats on a shard of a paid task.
inline constexpr std::uint32_t max_paid_seats = 24;
/// Drawn for each shard beyond its seats.
inline constexpr std::uint32_t max_substitutes = 8;
/// Commitments of one verifier to one drawing of a work.
inline constexpr std::size_t max_answers_of_node = 4;
/// Shards of all escrows that have not ended: a bit each.
inline constexpr std::uint64_t max_locked_shards = std::uint64_t{1} << 24;
/// Awards under which works came to nothing; with the last the escrow closes.
inline constexpr std::size_t max_spent_awards = 1024;
/// From the lock of an escrow to its closing.
inline constexpr std::uint64_t max_escrow_ms = 7 * 86'400'000ULL;

/// Numbers of a task's shards as bits.
class ShardSet {
 public:
  ShardSet() = default;
  explicit ShardSet(std::uint32_t shards) : bits_((std::size_t{shards} + 7) / 8) {}
  [[nodiscard]] bool has(std::uint32_t shard) const { return (bits_[shard / 8] >> (shard % 8) & 1) != 0; }
  void put(std::uint32_t shard) { bits_[shard / 8] |= static_cast<std::uint8_t>(1U << (shard % 8)); }
  void take(std::uint32_t shard) { bits_[shard / 8] &= static_cast<std::uint8_t>(~(1U << (shard % 8))); }
  /// Shard n is bit n mod 8, from the lowest, of byte n / 8.
  [[nodiscard]] const Bytes& bytes() const { return bits_; }
  [[nodiscard]] Bytes& bytes() { return bits_; }
  bool operator==(const ShardSet&) const = default;

 private:
  Bytes bits_;
};

/// What a publisher locked for a task.
struct Escrow {
  using Key = Digest;
  static constexpr std::string_view table = "escrows";

  Cid intent;
  NodeId publisher;  ///< the account
  PublicKey signer;  ///< of the intent: whose awards count
  std::string owner;  ///< of the publisher; empty = itself
  std::uint32_t shards = 0;
  std::uint64_t fee = 0;  ///< for each shard
  std::uint64_t held = 0;  ///< what is still here
  std::uint32_t verifiers = 0;
  std::uint64_t value = 0;
  std::uint64_t fuel = 0;  ///< that one shard may use
  std::uint64_t memory_mb = 0;
  std::uint64_t run_ms = 0;  ///< that a worker or verifier has for fetching and running
  std::uint32_t paid = 0;  ///< shards
  std::uint32_t works = 0;  ///< that are open
  Bytes claimed;  ///< a ShardSet of those paid or under an open work
  std::vector<Cid> spent;  ///< awards that claim nothing more, since works under them came to nothing
  std::uint64_t closes_ms = 0;  ///< nothing new is claimed once the parent of a block has this time
  std::uint64_t forget_ms = 0;  ///< when the entry goes, having ended
  bool closed = false;  ///< nothing new is claimed
  bool ended = false;  ///< and nothing is left

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("publisher", self.publisher);
    v("signer", self.signer);
    v("owner", self.owner);
    v("shards", self.shards);
    v("fee", self.fee);
    v("held", self.held);
    v("verifiers", self.verifiers);
    v("value", self.value);
    v("fuel", self.fuel);
    v("memory_mb", self.memory_mb);
    v("run_ms", self.run_ms);
    v("paid", self.paid);
    v("works", self.works);
    v("claimed", self.claimed);
    v("spent", self.spent);
    v("closes_ms", self.closes_ms);
    v("forget_ms", self.forget_ms);
    v("closed", self.closed);
    v("ended", self.ended);
  }
  bool operator==(const Escrow&) const = default;

  [[nodiscard]] const Digest& key() const { return intent.digest(); }
  [[nodiscard]] static Digest place_of(const Digest& intent);
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

enum class WorkPhase : std::uint8_t {
  drawing,  ///< the next block draws verifiers
  drawn,  ///< verifiers commit; the worker reveals when every seat has
  revealed,  ///< verifiers reveal; anybody with a bond may dispute
  disputed,  ///< those of the second drawing commit and reveal
  ended,  ///< paid, or come to nothing
};
[[nodiscard]] std::span<const std::string_view> enum_names(WorkPhase);

/// Why an ended work ended, in `Work::ending`.
enum class WorkEnding : std::uint8_t {
  settled,  ///< judged shard by shard: `accepted`, `rejected` and `undecided` count them
  silent,  ///< the worker did not reveal in time
  by_publisher,  ///< nobody could verify, and the publisher accepted it by itself
};
[[nodiscard]] std::span<const std::string_view> enum_names(WorkEnding);

/// A verifier's commitment, and what it revealed.
struct Answer {
  NodeId node;  ///< the account
  PublicKey signer;  ///< of the commitment
  Cid commitment;
  std::uint32_t round = 0;  ///< 0: for the first drawing, 1: for the second
  std::vector<task::ShardRange> shards;
  Digest root;
  bool revealed = false;
  std::vector<std::uint32_t> differing;  ///< shards on which it found something else, ascending
  Bytes found;  ///< the digests of what it found there
  Bytes exhausted;  ///< for each of these one byte: 1 where its stack ran out
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("node", self.node);
    v("signer", self.signer);
    v("commitment", self.commitment);
    v("round", self.round);
    v("shards", self.shards);
    v("root", self.root);
    v("revealed", self.revealed);
    v("differing", self.differing);
    v("found", self.found);
    v("exhausted", self.exhausted);
  }
  bool operator==(const Answer&) const = default;
};

/// One drawing: the panel, and each shard's order of it.
struct WorkDraw {
  std::uint64_t height = 0;  ///< of the block whose beacon it is; the state before it says who is eligible
  Cid block;  ///< the one before, which is what the verifiers' commitments are based on
  std::uint64_t time_ms = 0;  ///< of that block
  Digest beacon;
  Digest eligible;  ///< of the list it was drawn from (eligible_digest)
  std::uint32_t seats = 0;
  std::uint32_t width = 0;  ///< nodes drawn for each shard
  std::vector<NodeId> nodes;  ///< that were drawn for any shard, ascending
  std::vector<std::uint64_t> weights;  ///< theirs
  Bytes order;  ///< for each shard `width` indices into nodes, of two bytes, big-endian
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("height", self.height);
    v("block", self.block);
    v("time_ms", self.time_ms);
    v("beacon", self.beacon);
    v("eligible", self.eligible);
    v("seats", self.seats);
    v("width", self.width);
    v("nodes", self.nodes);
    v("weights", self.weights);
    v("order", self.order);
  }
  bool operator==(const WorkDraw&) const = default;

  [[nodiscard]] std::size_t drawn_at(std::size_t row, std::size_t place) const {
    const std::size_t at = (row * width + place) * 2;
    return std::size_t{order[at]} << 8 | order[at + 1];
  }
};

/// What somebody got, or lost, when a work ended.
struct Payout {
  NodeId account;
  std::uint64_t amount = 0;
  bool from_bond = false;  ///< what it paid, rather than got
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("amount", self.amount);
    v("from_bond", self.from_bond);
  }
  bool operator==(const Payout&) const = default;
};

/// One worker's commitment to some shards of a task.
struct Work {
  using Key = Digest;
  static constexpr std::string_view table = "works";

  Cid commitment;
  Cid intent;
  Cid award;
  NodeId worker;  ///< the account
  PublicKey signer;  ///< of the commitment
  std::vector<task::ShardRange> shards;
  Digest root;
  std::uint64_t cost = 0;  ///< for each shard
  std::uint32_t timeliness = 0;  ///< per mille
  std::uint64_t anchored_height = 0;
  WorkPhase phase = WorkPhase::drawing;
  std::uint64_t due_ms = 0;  ///< when the phase is over; the ended: when the entry goes
  std::vector<WorkDraw> draws;  ///< one, or a second after a dispute
  std::vector<Answer> answers;  ///< in the order in which they came
  struct PassedOver {
    NodeId node;
    std::uint32_t round = 0;
    std::uint64_t until_ms = 0;  ///< its seat goes to the next unless it answers before
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("node", self.node);
      v("round", self.round);
      v("until_ms", self.until_ms);
    }
    bool operator==(const PassedOver&) const = default;
  };
  std::vector<PassedOver> passed_over;
  std::optional<Cid> receipt;  ///< the worker's, once revealed
  Bytes findings;  ///< the digests of what it found, in the order of the shards
  Bytes exhausted;  ///< for each shard one byte: 1 where its stack ran out
  std::optional<NodeId> disputed_by;  ///< nobody where there was no majority
  std::uint64_t dispute_stake = 0;  ///< held for who disputed
  // What it came to.
  std::optional<WorkEnding> ending;
  std::uint32_t accepted = 0;
  std::uint32_t rejected = 0;
  std::uint32_t undecided = 0;
  std::vector<Payout> payouts;  ///< first out of the escrow, then out of bonds and to whom that went
  std::uint64_t to_treasury = 0;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("commitment", self.commitment);
    v("intent", self.intent);
    v("award", self.award);
    v("worker", self.worker);
    v("signer", self.signer);
    v("shards", self.shards);
    v("root", self.root);
    v("cost", self.cost);
    v("timeliness", self.timeliness);
    v("anchored_height", self.anchored_height);
    v("phase", self.phase);
    v("due_ms", self.due_ms);
    v("draws", self.draws);
    v("answers", self.answers);
    v("passed_over", self.passed_over);
    v("receipt", self.receipt);
    v("findings", self.findings);
    v("exhausted", self.exhausted);
    v("disputed_by", self.disputed_by);
    v("dispute_stake", self.dispute_stake);
    v("ending", self.ending);
    v("accepted", self.accepted);
    v("rejected", self.rejected);
    v("undecided", self.undecided);
    v("payouts", self.payouts);
    v("to_treasury", self.to_treasury);
  }
  bool operator==(const Work&) const = default;

  [[nodiscard]] const Digest& key() const { return commitment.digest(); }
  [[nodiscard]] static Digest place_of(const Digest& commitment);
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }

  /// How many shards it covers.
  [[nodiscard]] std::uint32_t count() const;
  /// They, ascending.
  [[nodiscard]] std::vector<std::uint32_t> numbers() const;
  /// What of the worker's finding is voted on.
  [[nodiscard]] verification::Ballot ballot(std::size_t row) const;
};

/// How it ended, or the phase that it is in.
[[nodiscard]] std::string_view state_name(const Work& work);

/// What a drawing's list of the eligible is bound by: H over each node, owner and weight, in order.
[[nodiscard]] Digest eligible_digest(const std::vector<verification::Member>& eligible);

/// Who holds the seats of one drawing of a work at a time: on each row the first of its order that were not passed over by then, or
/// had committed to its shard before. Made for all rows at once, in one pass over the answers. The work has to outlive it.
class Seating {
 public:
  Seating(const Work& work, std::uint32_t round, std::uint64_t time_ms);

  /// Indices into the draw's nodes, good until the next call. Fewer than the draw's seats where the order has no more.
  [[nodiscard]] std::span<const std::size_t> of(std::size_t row);
  [[nodiscard]] bool has_committed(std::size_t node, std::size_t row) const {
    return !committed_[node].empty() && committed_[node][row];
  }
  [[nodiscard]] std::size_t rows() const { return shards_.size(); }
  /// The shard of each row, ascending.
  [[nodiscard]] const std::vector<std::uint32_t>& shards() const { return shards_; }
  [[nodiscard]] const WorkDraw& draw() const { return draw_; }

 private:
  const WorkDraw& draw_;
  std::vector<std::uint32_t> shards_;
  std::vector<bool> passed_over_;  ///< by node
  std::vector<std::vector<bool>> committed_;  ///< by node and row; of who committed to nothing empty
  std::vector<std::size_t> seats_;
};

/// Who has a seat in a work's last drawing, by `time_ms`, and has not committed to its shard.
[[nodiscard]] std::set<NodeId> open_seats(const Work& work, std::uint64_t time_ms);

/// The commitment again, as it was when it was anchored; its envelope is not in the state.
[[nodiscard]] Signed<receipt::Commitment> commitment_of(const Work& work);
[[nodiscard]] Signed<receipt::Commitment> commitment_of(const Work& work, const Answer& answer);

/// Draws the panel and the orders of a work's shards. `wanted` seats at most, or none where fewer than `least` nodes are there.
[[nodiscard]] WorkDraw draw_verifiers(const Work& work, const std::vector<verification::Member>& eligible,
                                      const verification::Member& worker, const verification::Member& publisher,
                                      const std::vector<NodeId>& without, const Digest& beacon, std::uint32_t wanted,
                                      std::uint32_t least);

}  // namespace mesh::ledger
