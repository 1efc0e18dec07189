// Execution of one block over a state that stays as it is: the rules of the ledger, transaction by transaction.
//
// A transaction is checked as a whole before anything of it is written, so one that is refused has changed nothing. The text
// of a refusal begins with its stable name.
// A rule for another kind of transaction is an overload of `rule`. The fee is paid before the rule is asked, and given back where
// it refuses: what a rule finds in the balance is what can be spent. Kinds that cost nothing are named in `pays_fee`.
#pragma once

#include <array>
#include <map>

#include "domain/ledger/settlement.h"
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

/// What a block's header says to its execution.
struct BlockTerms {
  AccountId proposer;
  std::uint64_t time_ms = 0;
  Digest link;  ///< BlockHeader::beacon
};

/// Who can be drawn to verify a task by the block after this state, with weights; ascending by node.
[[nodiscard]] std::vector<verification::Member> eligible_verifiers(const State& state, const Escrow& escrow);

/// The policy by which paid work is judged. There is one, until it can be changed.
[[nodiscard]] const policy::MeshPolicy& active_policy();

class Execution {
 public:
  /// Begins the block of the next height: what is due in it happens first. `seed` is for TableDraft.
  Execution(const State& base, const BlockTerms& block, const Digest& seed);

  /// Whether `link` is what a block of this proposer has to reveal: bad-link.
  [[nodiscard]] static Status check_link(const State& base, const AccountId& proposer, const Digest& link);

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
  /// Of what a validator said: it loses what it has at stake, and its seat.
  Status convict(const Transaction& transaction, EvidenceKind kind);
  // About paid work: execution_work.cc.
  Status rule(const Transaction& transaction, const Lock& lock);
  Status rule(const Transaction& transaction, const Anchor& anchor);
  Status rule(const Transaction& transaction, const Timeout& timeout);
  Status rule(const Transaction& transaction, const Settle& settlement);
  Status rule(const Transaction& transaction, const Refund& refund);
  Status rule(const Transaction& transaction, const Dispute& dispute);
  Status rule(const Transaction& transaction, const CommitChain& chain);

  void happen_by_itself();
  void release_withdrawals(const Due& due);
  void activate_validators();
  /// Notes by which keys is voted from this block on, and by which no more.
  void note_voters(const ValidatorSet& before);
  /// Whether another account votes by the key in a set that is known, or lately did: then what is signed by it is that one's.
  [[nodiscard]] bool is_anothers(const PublicKey& key, const AccountId& account);
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

  /// Whether a time of the due-queue has come in this block.
  [[nodiscard]] bool is_due(std::uint64_t time_ms) const { return time_ms <= base_.frame.time_ms; }
  void schedule(DueKind kind, const Digest& key, std::uint64_t time_ms) { due_[{time_ms, kind, key}] = true; }
  void unschedule(DueKind kind, const Digest& key, std::uint64_t time_ms) { due_[{time_ms, kind, key}] = false; }

  [[nodiscard]] const Escrow* find_escrow(const Cid& intent);
  [[nodiscard]] const Work* find_work(const Cid& commitment);
  [[nodiscard]] std::string owner_of(const AccountId& account);
  void end_escrow(Escrow& escrow);
  void close_escrow(const Digest& key);
  void forget_escrow(const Digest& key);

  Status anchor_works(const Transaction& transaction);
  Status anchor_answers(const Transaction& transaction);
  Status check_award(const Transaction& transaction, const Escrow& escrow);
  Result<Work> check_work(const Transaction& transaction, const Signed<receipt::Commitment>& commitment,
                          const Escrow& escrow, const std::vector<std::uint32_t>& awarded, ShardSet& claimed);
  Result<Answer> check_answer(const Work& work, const Escrow& escrow, const Signed<receipt::Commitment>& commitment);
  void stake_for(const AccountId& worker, std::size_t works, std::uint64_t fees);
  void release_stake(const AccountId& worker, std::uint64_t fees);
  void set_stake(WorkStake& staked);

  /// Reputation, as the state before this block has it.
  [[nodiscard]] std::uint32_t score_before(const AccountId& node) const;
  /// Lists made once for a block, by memory, fuel and time.
  using Eligible = std::map<std::array<std::uint64_t, 3>, std::optional<std::vector<verification::Member>>>;
  void draw_all(const std::vector<Digest>& undrawn);
  void draw(const Digest& key, Eligible& eligible_by_scope);
  /// What a worker has for all of its work, and for who verifies it.
  [[nodiscard]] static std::uint64_t work_ms(const Escrow& escrow);
  void draw_again(Work& work);

  Status reveal(Work& work, const Escrow& escrow, const Attachments& shown);
  Status check_seats(const Work& work) const;
  Status check_acceptance(const Work& work, const Escrow& escrow, const Attachments& shown);

  void work_due(const Digest& key);
  void end_work(const Digest& key, WorkEnding ending);
  void spend(Escrow& escrow, const Cid& award);
  void owe_the_waiting(const Work& work, const Escrow& escrow, WorkResult& result);
  void collect(Work& work, const WorkResult& result);
  [[nodiscard]] std::set<NodeId> asked_in_dispute(const Work& work) const;
  void return_stake(Work& work, const WorkResult& result);
  /// As much of `amount` as can be had: all of the bond but what is at stake for something else than work.
  std::uint64_t take_from_bond(const AccountId& id, std::uint64_t amount);

  // Reputation.
  using FactRule = Result<reputation::Standing>(const reputation::Counters&, const reputation::Pair*,
                                                const reputation::Fact&, const policy::ReputationParameters&);
  /// Lets a fact count for a member.
  void note(FactRule& rule, const reputation::Fact& fact);
  void note_facts(const Work& work, const Escrow& escrow, const WorkResult& result);
  [[nodiscard]] bool same_owner(const AccountId& a, const AccountId& b);

  void take_link(const BlockTerms& block);
  void count_skipped(const AccountId& proposer);

  const State& base_;
  Frame frame_;
  Tables<TableDraft> tables_;
  std::map<Due, bool> due_;  ///< see Draft
  std::size_t unbonding_count_;
};

}  // namespace mesh::ledger
