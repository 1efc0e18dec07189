// The ledger: a federation's accounts and members, changed block by block. The same blocks lead every node to the same state
// root.
//
// A block is executed before it is final: execute() answers with a Draft and leaves the ledger as it is; commit() makes the
// draft's changes once the block is certain. Of several drafts from one state one is committed, and the others are dropped.
//
// Nothing of a block counts where anything in it is refused. Nothing here reads a clock: who votes on a proposal says what
// time it has, and who replays what is final does not ask.
//
// A block without transactions is made only where it is of use. Some things happen by themselves, each in the first block
// whose parent's time has reached that of the thing (Due): next_due() says when that is. A block whose time reaches it is
// wanted then, and one after it; either may be empty.
// Bounds: those of blocks (block.h), transactions (transactions.h) and state (state.h).
#pragma once

#include "domain/ledger/block.h"
#include "domain/ledger/execution.h"
#include "domain/ledger/genesis.h"
#include "domain/market/pricing.h"

namespace mesh::ledger {

/// What shows one entry of the state, or that there is none, to who has nothing but a block's state root.
struct EntryProof {
  static constexpr std::string_view type = "entry-proof";
  static constexpr std::uint64_t version = 1;
  Bytes summary;  ///< the StateSummary of which the state root is the hash
  std::string table;  ///< a name among its roots
  std::optional<Bytes> entry;  ///< none: it is shown that there is none
  MapProof proof;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("summary", self.summary);
    v("table", self.table);
    v("entry", self.entry);
    v("proof", self.proof);
  }
};

/// Checks a proof about `key`: the key's own bytes, such as those of an account's id. Answers with the entry, if there is one.
[[nodiscard]] Result<std::optional<Bytes>> check_entry(const Digest& state_root, std::string_view table, ByteView key,
                                                       const EntryProof& proof);

/// What a proposer puts into a block's header.
struct Proposer {
  AccountId account;
  std::uint64_t time_ms = 0;
  Digest beacon;  ///< the next link of its chain; zeros where it has none
};

struct Proposal {
  struct Refused {
    std::size_t index;  ///< among those that were offered
    Error error;
  };
  OpenedBlock block;
  Draft draft;
  std::vector<Refused> refused;
  std::size_t considered = 0;  ///< what comes later did not fit in
  bool of_use = true;  ///< if not, it is empty and refused as `empty-block`: there is nothing to propose
};

class Ledger {
 public:
  /// The ledger at height 0. `seed` is a secret of this node's, of which nothing is ever shown: without it nobody can choose keys
  /// that are found slowly here. Ledgers with different seeds agree on everything.
  [[nodiscard]] static Result<Ledger> found(const identity::Charter& charter, const Genesis& genesis,
                                            const Digest& seed);

  /// The ledger of a state that was derived (State::derive), as a snapshot shows it.
  [[nodiscard]] static Ledger restored(State state, const Digest& seed) { return {std::move(state), seed}; }

  [[nodiscard]] const State& state() const { return state_; }
  /// The secret.
  [[nodiscard]] const Digest& seed() const { return seed_; }
  /// By the seed, for who finds things by accounts' names beside the ledger.
  [[nodiscard]] SeededHash seeded_hash() const { return SeededHash(seed_); }
  [[nodiscard]] const Cid& federation() const { return state_.frame.federation; }
  [[nodiscard]] std::uint64_t height() const { return state_.frame.height; }
  [[nodiscard]] const Account* account(const AccountId& id) const { return state_.tables.accounts.find(id); }
  [[nodiscard]] const Member* member(const NodeId& node) const { return state_.tables.members.find(node); }
  [[nodiscard]] Digest state_root() const { return root_of(state_.summary()); }
  [[nodiscard]] EntryProof prove_account(const AccountId& id) const;

  /// The time at which the next thing happens by itself, reached or not; none if there is nothing.
  [[nodiscard]] std::optional<std::uint64_t> next_due() const;
  /// Whether a block of this time is of use though it has no transactions.
  [[nodiscard]] bool wants_empty_block(std::uint64_t time_ms) const;

  /// Executes the next block over the state as it is. `now_ms` is what the time of a proposal is held against; with none the
  /// block is final, and its time is what it is.
  [[nodiscard]] Result<Draft> execute(const OpenedBlock& block, std::optional<std::uint64_t> now_ms) const;
  /// The draft, drafted from the state as it is, becomes the state, and its block the last one.
  void commit(Draft&& draft);

  /// A block of those of `offered` that can be executed, in their order, as far as they fit in. Its time is the proposer's, or the
  /// parent's where that is later: no clock is behind what is final.
  [[nodiscard]] Result<Proposal> propose(std::span<const Opened> offered, const Proposer& proposer) const;
  /// Those of `offered` that cannot be executed next, in their order, for who proposes nothing itself.
  [[nodiscard]] std::vector<Proposal::Refused> refused_of(std::span<const Opened> offered, std::uint64_t time_ms) const;

 private:
  Ledger(State state, const Digest& seed) : state_(std::move(state)), seed_(seed) {}
  [[nodiscard]] Status check_header(const BlockHeader& header, std::optional<std::uint64_t> now_ms) const;
  [[nodiscard]] Status check_proposer(const AccountId& proposer) const;

  State state_;
  Digest seed_;
};

/// What works cost lately: of those that the ledger still has, the last ones by height, each at what its worker asks and may
/// get of the fee.
[[nodiscard]] market::RecentPrices recent_prices(const State& state);

}  // namespace mesh::ledger
