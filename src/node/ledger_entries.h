// What of a ledger concerns a node, put into an event::LedgerChanged: for whoever runs both (the program, a test).
//
// A final block is read in two steps, since what a draft changes can be seen only before it is committed, and what it came to
// only afterwards: touched_by(), then changes_of(). No table is walked but for the whole, once after the start.
//
// The ledger names accounts, and a node is known by the key that signs for its account now. The two are the same until the key is
// rotated. Escrows, works and draws name accounts; records, peers and messages are known by keys: AccountKeys has the one of the other.
//
// Bounds: what one block can change; the whole has a Standing for each of at most 65,536 members; an entry in AccountKeys for each
// account with another key than its first.
#pragma once

#include <map>
#include <set>

#include "domain/ledger/ledger.h"
#include "node/event.h"

namespace mesh::node {

/// For which account a key signs.
class AccountKeys {
 public:
  /// The key that signs for an account now.
  void note(const ledger::AccountId& account, const PublicKey& key);
  void clear() { *this = {}; }
  /// The one that is named by the key, if that gave it up: whoever found an old key takes nobody's name with it. Else, of those that were
  /// given it by a rotation, to which its owner agreed, the one with the least name. Else the one that is named by it, be it there or not.
  [[nodiscard]] ledger::AccountId account_of(const PublicKey& key) const;
  /// Whether an account was given this key.
  [[nodiscard]] bool was_given(const PublicKey& key) const { return accounts_.contains(key); }

 private:
  std::map<ledger::AccountId, PublicKey> keys_;  ///< where it is not the first one
  std::map<PublicKey, std::set<ledger::AccountId>> accounts_;  ///< the same, the other way round
};

/// Whose entries a node wants to hear of: escrows and works of these intents, escrows that its account locked, works of its own, and
/// those for which it was drawn.
struct Interest {
  NodeId self;  ///< the account for which the node acts
  std::set<Cid> intents;
};
[[nodiscard]] bool concerns(const Interest& interest, const ledger::Escrow& escrow);
[[nodiscard]] bool concerns(const Interest& interest, const ledger::Work& work);

/// Keys of what a block changes.
struct Touched {
  std::vector<Digest> escrows;
  std::vector<Digest> works;
  std::set<NodeId> members;
};
[[nodiscard]] Touched touched_by(const ledger::Draft& draft);

/// After the block is committed. `block` is where settlements are looked for that show receipts.
[[nodiscard]] event::LedgerChanged changes_of(const ledger::State& state, const Touched& touched,
                                              const ledger::OpenedBlock& block, const Interest& interest,
                                              std::uint64_t now_ms);
/// All that there is.
[[nodiscard]] event::LedgerChanged whole_of(const ledger::State& state, const Interest& interest, std::uint64_t now_ms);
/// What there is of one intent: the answer to effect::Watch.
[[nodiscard]] event::LedgerChanged part_of(const ledger::State& state, const Cid& intent, const Interest& interest,
                                           std::uint64_t now_ms);

/// None for an account that is no member's.
[[nodiscard]] std::optional<Standing> standing_of(const ledger::State& state, const ledger::AccountId& node);

}  // namespace mesh::node
