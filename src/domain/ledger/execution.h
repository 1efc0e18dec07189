// Execution of one block over a state that stays as it is: the rules of the ledger, transaction by transaction.
//
// A transaction is checked as a whole before anything of it is written, so one that is refused has changed nothing. The text
// of a refusal begins with its stable name.
// A rule for another kind of transaction is an overload of `rule`.
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
  Digest state_root;
  Frame frame;  ///< last_block is set at the commit
  Tables<PatchOf> patches;
  std::map<Due, bool> due;  ///< whether it stands in the queue after the block, for those for which that changed
  std::size_t unbonding_count = 0;  ///< after the block
};

class Execution {
 public:
  /// Begins the block of the next height: what is due in it happens first.
  Execution(const State& base, std::uint64_t time_ms);

  /// Executes one, or says why not and changes nothing.
  [[nodiscard]] Status apply(const Opened& opened);

  /// The draft, hashed. Conservation is asserted here.
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
  /// Whether an account may sign and what number it is at; null is one that is not there yet.
  Status check_signer(const Account* account, const Transaction& transaction) const;
  Status check_role_of(const AccountId& account, Role role);
  /// Whether `amount` can be put into the balance of `to`.
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
