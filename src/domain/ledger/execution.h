// Execution of one block over a state that stays as it is: the rules of the ledger, transaction by transaction.
//
// A transaction is checked as a whole before anything of it is written, so one that is refused has changed nothing. The text
// of a refusal begins with its stable name.
// A rule for another kind of transaction is an overload of `rule`. The fee is paid before the rule is asked, and given back where
// it refuses: what a rule finds in the balance is what can be spent. Kinds that cost nothing are named in `pays_fee`.
#pragma once

#include <map>

#include "domain/ledger/state.h"
#include "domain/ledger/table_draft.h"

namespace mesh::ledger {

template <class Value>
using PatchOf = typename MerkleMap<Value>::Patch;

/// What executing a block came to: to be committed once the block is final, or dropped.
struct Draft {
  std::uint64_t height = 0;
  Cid base;  ///< the block that it was executed after
  Cid block;  ///< whose draft it is
  Digest state_root;
  Frame frame;  ///< last_block is set at the commit
  Tables<PatchOf> patches;
  std::map<Due, bool> due;  ///< whether it stands in the queue after the block, for those for which that changed
  std::size_t unbonding_count = 0;  ///< after the block
};

class Execution {
 public:
  /// Begins the block of the next height: what is due in it happens first. `seed` is for TableDraft.
  Execution(const State& base, std::uint64_t time_ms, const Digest& seed);

  /// Executes one, or says why not and changes nothing.
  [[nodiscard]] Status apply(const Opened& opened);

  /// The draft, hashed; whose block it is is not known here. Conservation is asserted.
  [[nodiscard]] Draft finish() &&;

 private:
  Status rule(const Transaction& transaction, const Transfer& transfer);
  Status rule(const Transaction& transaction, const Grant& grant);
  Status rule(const Transaction& transaction, const Bond& bond);
  Status rule(const Transaction& transaction, const Unbond& unbond);
  Status rule(const Transaction& transaction, const Admit& admit);
  Status rule(const Transaction& transaction, const Revoke& revoke);
  Status rule(const Transaction& transaction, const Attest& attest);
  Status rule(const Transaction& transaction, const SetValidators& set);
  Status rule(const Transaction& transaction, const Rotate& rotate);
  Status rule(const Transaction& transaction, const Evidence& evidence);

  void happen_by_itself();
  void release_withdrawals(const Due& due);
  void activate_validators();
  /// What each validator of a set, of this one or one to come, has at stake.
  [[nodiscard]] std::map<AccountId, std::uint64_t> stakes() const;
  /// Puts at stake, and gives free, what is otherwise than `before`.
  void settle_stakes(const std::map<AccountId, std::uint64_t>& before);
  /// The sets to come, each that can still be changed as `change` leaves it. It says whether it changed anything.
  template <class Change>
  [[nodiscard]] std::vector<ValidatorSet> schedule_with(const Change& change) const;
  /// Without the account; last-validator where nobody else is left.
  [[nodiscard]] Result<std::vector<ValidatorSet>> schedule_without(const AccountId& account) const;
  void schedule(std::vector<ValidatorSet> sets);
  /// Whether an account may sign and what number it is at; null is one that is not there yet.
  Status check_signer(const Account* account, const Transaction& transaction) const;
  Status check_role_of(const AccountId& account, Role role);
  /// Whether `amount` can be put into the balance of `to`, and is enough where that account begins with it.
  Status check_credit(const AccountId& to, std::uint64_t amount);
  void credit(const AccountId& to, std::uint64_t amount);
  Status check_open_enrolment(const Admit& admit, const Member* before) const;
  void count_totals();

  const State& base_;
  Frame frame_;
  Tables<TableDraft> tables_;
  std::map<Due, bool> due_;  ///< see Draft
  std::size_t unbonding_count_;
};

}  // namespace mesh::ledger
