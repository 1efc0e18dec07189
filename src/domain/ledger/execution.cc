#include "domain/ledger/execution.h"

#include "base/checked.h"
#include "base/planted.h"

namespace mesh::ledger {

namespace {

std::optional<std::uint64_t> add_amounts(std::uint64_t a, std::uint64_t b) {
  if (planted(Bug::addition_unchecked)) return a + b;
  return checked_add(a, b);
}

std::unexpected<Error> overflow(std::string_view what) {
  return fail(ErrorCode::invalid, "overflow: " + std::string(what) + " would be past 2^64-1");
}

std::unexpected<Error> overdraft(std::string_view of, std::uint64_t has, std::uint64_t amount) {
  return fail(ErrorCode::denied, "overdraft: the " + std::string(of) + " of " + std::to_string(has) +
                                     " is less than the " + std::to_string(amount) + " asked for");
}

std::unexpected<Error> fee_unpaid(std::uint64_t has, std::uint64_t fee) {
  return fail(ErrorCode::denied,
              "fee-unpaid: the balance of " + std::to_string(has) + " is less than the fee of " + std::to_string(fee));
}

std::unexpected<Error> bond_too_small(std::uint64_t bond, std::uint64_t minimum) {
  return fail(ErrorCode::denied, "bond-too-small: a bond of " + std::to_string(bond) + " is below the minimum of " +
                                     std::to_string(minimum));
}

/// Whether a kind costs the fee. Stewards' work does not, nor to report a conflict, nor (`member`) to enrol: who comes has nothing.
bool pays_fee(const Body& body) {
  return !(std::holds_alternative<Grant>(body) || std::holds_alternative<Admit>(body) ||
           std::holds_alternative<Revoke>(body) || std::holds_alternative<SetValidators>(body) ||
           std::holds_alternative<Evidence>(body));
}

constexpr std::uint64_t notice_heights = 2;  // A set is known for a whole block before it decides one.
constexpr std::uint64_t max_notice_heights = 100'000;

std::unexpected<Error> key_taken() {
  return fail(ErrorCode::conflict, "key-taken: another validator votes by this key, or lately did");
}

std::unexpected<Error> voters_full() {
  return fail(ErrorCode::exhausted, "voters-full: too many keys of validators are remembered; try again later");
}

}  // namespace

Execution::Execution(const State& base, const BlockTerms& block, const Digest& seed)
    : base_(base),
      frame_(base.frame),
      tables_{{base.tables.accounts, seed},  {base.tables.members, seed},    {base.tables.attestations, seed},
              {base.tables.conflicts, seed}, {base.tables.voters, seed},     {base.tables.offences, seed},
              {base.tables.escrows, seed},   {base.tables.works, seed},      {base.tables.stakes, seed},
              {base.tables.chains, seed},    {base.tables.reputation, seed}, {base.tables.pairs, seed}},
      unbonding_count_(base.unbonding_count) {
  MESH_CHECK(frame_.height != std::numeric_limits<std::uint64_t>::max(), "ledger-height-exhausted");
  ++frame_.height;
  frame_.time_ms = block.time_ms;
  take_link(block);
  // What is due may ask for another draw, but of the next block's beacon.
  const std::vector<Digest> undrawn = std::exchange(frame_.undrawn, {});
  happen_by_itself();
  draw_all(undrawn);
  activate_validators();
}

// ---- what happens before the first transaction

void Execution::happen_by_itself() {
  std::size_t left = max_due_of_block;
  std::size_t rows = max_due_rows_of_block;
  for (const Due& due : base_.due) {
    // By the parent's time: before this block there was one in which that could be known.
    if (due.time_ms > base_.frame.time_ms || left-- == 0) return;
    // What came before may have taken it away.
    if (!due_.try_emplace(due, false).second) continue;
    if (due.kind == DueKind::work_due) {
      const std::size_t count = tables_.works.find(due.key)->count();
      if (count > rows) {
        due_.erase(due);
        return;
      }
      rows -= count;
    }
    switch (due.kind) {
      case DueKind::withdrawal:
        release_withdrawals(due);
        break;
      case DueKind::work_due:
        work_due(due.key);
        break;
      case DueKind::escrow_closing:
        close_escrow(due.key);
        break;
      case DueKind::work_forgotten:
        tables_.works.erase(due.key);
        break;
      case DueKind::pair_over:
        tables_.pairs.erase(due.key);
        break;
      case DueKind::escrow_forgotten:
        forget_escrow(due.key);
        break;
      case DueKind::voter_forgotten:
        tables_.voters.erase(*PublicKey::from(due.key.view()));
        break;
    }
  }
}

void Execution::release_withdrawals(const Due& due) {
  Account& account = tables_.accounts.edit(*AccountId::from(due.key.view()));
  const std::size_t before = account.unbonding().size();
  const std::optional<std::uint64_t> balance = checked_add(account.balance, account.release_unbonding(due.time_ms));
  MESH_CHECK(balance.has_value(), "ledger-release-overflow");
  account.balance = *balance;
  unbonding_count_ -= before - account.unbonding().size();
}

void Execution::activate_validators() {
  if (frame_.scheduled.empty() || frame_.scheduled.front().from_height > frame_.height) return;
  const std::map<AccountId, std::uint64_t> before = stakes();
  const ValidatorSet last = std::exchange(frame_.validators, std::move(frame_.scheduled.front()));
  frame_.scheduled.erase(frame_.scheduled.begin());
  settle_stakes(before);
  note_voters(last);
}

void Execution::note_voters(const ValidatorSet& before) {
  const auto key_of = [](const ValidatorSet& set, const AccountId& account) {
    const Validator* seat = set.find(account);
    return seat == nullptr ? std::optional<PublicKey>() : std::optional(seat->key);
  };
  for (const Validator& one : before.validators) {
    if (key_of(frame_.validators, one.account) == one.key) continue;
    Voter& voter = tables_.voters.edit(one.key);
    voter.until_height = frame_.height;
    voter.forget_ms = checked_add(frame_.time_ms, frame_.parameters.lock_ms).value_or(~std::uint64_t{0});
    schedule(DueKind::voter_forgotten, *Digest::from(one.key.view()), *voter.forget_ms);
  }
  for (const Validator& one : frame_.validators.validators) {
    if (key_of(before, one.account) == one.key) continue;
    Voter voter{.votes_by = one.key, .account = one.account, .stake = one.stake, .from_height = frame_.height};
    if (const Voter* was = tables_.voters.find(one.key)) {
      MESH_CHECK(was->account == one.account && was->forget_ms.has_value(), "ledger-voter-of-two");
      unschedule(DueKind::voter_forgotten, *Digest::from(one.key.view()), *was->forget_ms);
      voter.from_height = was->from_height;
    }
    tables_.voters.put(voter);
  }
}

bool Execution::is_anothers(const PublicKey& key, const AccountId& account) {
  const auto has = [&](const ValidatorSet& set) {
    return std::ranges::any_of(set.validators,
                               [&](const Validator& one) { return one.key == key && one.account != account; });
  };
  const Voter* voter = tables_.voters.find(key);
  return (voter != nullptr && voter->account != account) || has(frame_.validators) ||
         std::ranges::any_of(frame_.scheduled, has);
}

// ---- sets of validators

std::map<AccountId, std::uint64_t> Execution::stakes() const {
  std::map<AccountId, std::uint64_t> stakes;
  for (const Validator& one : frame_.validators.validators) stakes.emplace(one.account, one.stake);
  for (const ValidatorSet& set : frame_.scheduled) {
    for (const Validator& one : set.validators) stakes.emplace(one.account, one.stake);
  }
  return stakes;
}

void Execution::settle_stakes(const std::map<AccountId, std::uint64_t>& before) {
  const std::map<AccountId, std::uint64_t> after = stakes();
  for (const auto& [account, stake] : before) {
    const auto now = after.find(account);
    if (now == after.end() || now->second != stake) tables_.accounts.edit(account).at_stake -= stake;
  }
  for (const auto& [account, stake] : after) {
    const auto was = before.find(account);
    if (was == before.end() || was->second != stake) tables_.accounts.edit(account).at_stake += stake;
  }
}

template <class Change>
std::vector<ValidatorSet> Execution::schedule_with(const Change& change) const {
  const std::uint64_t earliest = frame_.height + notice_heights;
  std::vector<ValidatorSet> sets = frame_.scheduled;
  auto at = std::ranges::find_if(sets, [&](const ValidatorSet& set) { return set.from_height >= earliest; });
  if (at == sets.end() || at->from_height != earliest) {
    ValidatorSet another = frame_.validators_at(earliest);
    another.from_height = earliest;
    if (change(another)) at = std::next(sets.insert(at, std::move(another)));
  }
  for (; at != sets.end(); ++at) change(*at);
  return sets;
}

Result<std::vector<ValidatorSet>> Execution::schedule_without(const AccountId& account) const {
  std::vector<ValidatorSet> sets = schedule_with([&](ValidatorSet& set) {
    return std::erase_if(set.validators, [&](const Validator& one) { return one.account == account; }) != 0;
  });
  if (std::ranges::any_of(sets, [](const ValidatorSet& set) { return set.validators.empty(); }))
    return fail(ErrorCode::denied, "last-validator: no validator would be left; name others first");
  return sets;
}

void Execution::schedule(std::vector<ValidatorSet> sets) {
  // One for the next block, one for that after it, and one for later that stewards named.
  MESH_CHECK(sets.size() <= max_scheduled_sets, "ledger-scheduled-bound");
  if (sets == frame_.scheduled) return;
  const std::map<AccountId, std::uint64_t> before = stakes();
  frame_.scheduled = std::move(sets);
  settle_stakes(before);
}

// ---- one transaction

Status Execution::apply(const Opened& opened) {
  const Transaction& transaction = *opened;
  const Account* account = tables_.accounts.find(transaction.account);
  if (account == nullptr) {
    // Nobody gave it anything yet. It can ask for the member role, where that is to be had for the asking.
    const Admit* admit = std::get_if<Admit>(&transaction.body);
    if (admit == nullptr || admit->node != transaction.account)
      return fail(ErrorCode::not_found, "unknown-account: there is no such account; it begins with the first credits");
    if (tables_.accounts.size() >= max_accounts) return fail(ErrorCode::exhausted, "accounts-full: no more fit in");
  }
  MESH_TRY(check_signer(account, transaction));
  const std::uint64_t fee = pays_fee(transaction.body) ? frame_.parameters.transaction_fee : 0;
  if (fee != 0) {
    if (account->balance < fee) return fee_unpaid(account->balance, fee);
    tables_.accounts.edit(transaction.account).balance -= fee;
  }
  if (Status done = std::visit([&](const auto& body) { return rule(transaction, body); }, transaction.body); !done) {
    if (fee != 0) tables_.accounts.edit(transaction.account).balance += fee;
    return done;
  }
  if (account == nullptr) tables_.accounts.put(Account(transaction.account));
  tables_.accounts.edit(transaction.account).sequence = transaction.sequence + 1;
  frame_.totals.treasury += fee;  // Part of the supply.
  return {};
}

Status Execution::check_signer(const Account* account, const Transaction& transaction) const {
  const PublicKey& key = account == nullptr ? transaction.account : account->signer();
  const std::uint64_t next = account == nullptr ? 0 : account->sequence;
  if (transaction.signer != key) {
    if (key == transaction.account)
      return fail(ErrorCode::unauthorised, "wrong-key: the signature is not by the account's key");
    return fail(ErrorCode::unauthorised, "key-rotated: the signature is not by the account's current key");
  }
  if (transaction.sequence < next) {
    return fail(ErrorCode::conflict, "sequence-repeated: the account's next is " + std::to_string(next) + ", not " +
                                         std::to_string(transaction.sequence));
  }
  if (transaction.sequence > next && !planted(Bug::sequence_gap_accepted)) {
    return fail(ErrorCode::conflict, "sequence-gap: the account's next is " + std::to_string(next) + ", not " +
                                         std::to_string(transaction.sequence));
  }
  if (transaction.sequence == std::numeric_limits<std::uint64_t>::max())
    return fail(ErrorCode::exhausted, "sequence-exhausted: the account has had its last transaction");
  return {};
}

Status Execution::check_role_of(const AccountId& account, Role role) {
  return check_role(tables_.members.find(account), role, frame_.height);
}

Status Execution::check_credit(const AccountId& to, std::uint64_t amount) {
  const Account* account = tables_.accounts.find(to);
  if (account == nullptr) {
    if (amount < frame_.parameters.minimum_balance) {
      return fail(ErrorCode::denied, "balance-too-small: a new account begins with at least " +
                                         std::to_string(frame_.parameters.minimum_balance) + ", not " +
                                         std::to_string(amount));
    }
    if (tables_.accounts.size() >= max_accounts) return fail(ErrorCode::exhausted, "accounts-full: no more fit in");
    return {};
  }
  if (!add_amounts(account->balance, amount)) return overflow("the balance");
  return {};
}

void Execution::credit(const AccountId& to, std::uint64_t amount) {
  Account& account =
      tables_.accounts.find(to) == nullptr ? tables_.accounts.put(Account(to)) : tables_.accounts.edit(to);
  account.balance = *add_amounts(account.balance, amount);
}

Status Execution::rule(const Transaction& transaction, const Transfer& transfer) {
  const std::uint64_t balance = tables_.accounts.find(transaction.account)->balance;
  if (balance < transfer.amount) return overdraft("balance", balance, transfer.amount);
  if (transfer.to == transaction.account) return {};
  MESH_TRY(check_credit(transfer.to, transfer.amount));
  tables_.accounts.edit(transaction.account).balance -= transfer.amount;
  credit(transfer.to, transfer.amount);
  return {};
}

Status Execution::rule(const Transaction& transaction, const Grant& grant) {
  MESH_TRY(check_role_of(transaction.account, Role::steward));
  const std::optional<std::uint64_t> supply = add_amounts(frame_.totals.supply, grant.amount);
  if (!supply) return overflow("the supply");
  MESH_TRY(check_credit(grant.to, grant.amount));
  credit(grant.to, grant.amount);
  frame_.totals.supply = *supply;
  frame_.totals.granted += grant.amount;  // Part of the supply.
  return {};
}

Status Execution::rule(const Transaction& transaction, const Bond& bond) {
  MESH_TRY(check_role_of(transaction.account, Role::member));
  const Account& account = *tables_.accounts.find(transaction.account);
  if (account.balance < bond.amount) return overdraft("balance", account.balance, bond.amount);
  const std::optional<std::uint64_t> bonded = add_amounts(account.bonded, bond.amount);
  if (!bonded) return overflow("the bond");
  if (*bonded < frame_.parameters.minimum_bond) return bond_too_small(*bonded, frame_.parameters.minimum_bond);
  Account& changed = tables_.accounts.edit(transaction.account);
  changed.balance -= bond.amount;
  changed.bonded = *bonded;
  return {};
}

Status Execution::rule(const Transaction& transaction, const Unbond& unbond) {
  // Asks for no credential: what is one's own can always be taken back.
  const Account& account = *tables_.accounts.find(transaction.account);
  if (account.bonded < unbond.amount) return overdraft("bond", account.bonded, unbond.amount);
  const std::uint64_t left = account.bonded - unbond.amount;
  if (left != 0 && unbond.amount < frame_.parameters.minimum_balance) {
    return fail(ErrorCode::denied, "withdrawal-too-small: of a bond at least " +
                                       std::to_string(frame_.parameters.minimum_balance) +
                                       " or all of it is withdrawn");
  }
  std::uint64_t stays = account.at_stake;
  if (planted(Bug::work_stake_withdrawn)) {
    const WorkStake* staked = tables_.stakes.find(transaction.account);
    stays -= staked == nullptr ? 0 : staked->stake;
  }
  if (left < stays && !planted(Bug::bond_withdrawn_at_stake)) {
    return fail(ErrorCode::denied,
                "bond-at-stake: of the bond " + std::to_string(account.at_stake) + " cannot be withdrawn now");
  }
  if (left != 0 && left < frame_.parameters.minimum_bond) return bond_too_small(left, frame_.parameters.minimum_bond);
  if (account.unbonding().size() >= max_unbonding_of_account || unbonding_count_ >= max_unbonding)
    return fail(ErrorCode::exhausted, "unbonding-full: too many withdrawals are waiting; try when one has arrived");
  const std::optional<std::uint64_t> release = checked_add(frame_.time_ms, frame_.parameters.lock_ms);
  if (!release) return overflow("the time of the release");
  Account& changed = tables_.accounts.edit(transaction.account);
  changed.bonded = left;
  changed.add_unbonding({unbond.amount, *release});
  due_[due_withdrawal(transaction.account, *release)] = true;
  ++unbonding_count_;
  return {};
}

Status Execution::check_open_enrolment(const Admit& admit, const Member* before) const {
  if (frame_.parameters.enrolment != Enrolment::open)
    return fail(ErrorCode::denied, "enrolment-closed: a steward admits to this federation");
  if (admit.roles != std::vector{Role::member} || admit.expires_height)
    return fail(ErrorCode::denied, "role-missing: open enrolment gives the member role alone, without an expiry");
  // Whoever could say so by himself would keep that owner's nodes out of the draws for his tasks.
  if (admit.owner) return fail(ErrorCode::denied, "owner-unproven: a steward says that a node is another's");
  if (before == nullptr) return {};
  if (before->revoked) return fail(ErrorCode::denied, "revoked: a steward has to admit who was sent away");
  if (check_role(before, Role::member, frame_.height))
    return fail(ErrorCode::conflict, "already-a-member: the account has a credential in force");
  return {};
}

Status Execution::rule(const Transaction& transaction, const Admit& admit) {
  const Member* before = tables_.members.find(admit.node);
  const Status steward = check_role_of(transaction.account, Role::steward);
  if (!steward) {
    if (admit.node != transaction.account) return steward;
    MESH_TRY(check_open_enrolment(admit, before));
  }
  if (admit.expires_height && *admit.expires_height <= frame_.height)
    return fail(ErrorCode::denied, "credential-expired: a credential that expires now would never hold");
  // Who enrols costs nobody anything, so stewards have half of the table to themselves.
  if (before == nullptr && tables_.members.size() >= (steward ? max_members : max_members / 2))
    return fail(ErrorCode::exhausted, "members-full: no more fit in");
  Member member{.node = admit.node,
                .roles = admit.roles,
                .issuer = transaction.account,
                .owner = admit.owner,
                .expires_height = admit.expires_height,
                .weight = before == nullptr ? 0 : before->weight};
  const bool was = before != nullptr && before->is_lasting_steward();
  const bool is = member.is_lasting_steward();
  if (was && !is && frame_.lasting_stewards == 1)
    return fail(ErrorCode::denied, "last-steward: there would be no steward left that stays one");
  if (!member.has_lasting(Role::validator)) {
    MESH_LET(std::vector<ValidatorSet> sets, schedule_without(admit.node));
    schedule(std::move(sets));
  }
  frame_.lasting_stewards += (is ? 1U : 0U);
  frame_.lasting_stewards -= (was ? 1U : 0U);
  tables_.members.put(std::move(member));
  return {};
}

Status Execution::rule(const Transaction& transaction, const Revoke& revoke) {
  MESH_TRY(check_role_of(transaction.account, Role::steward));
  const Member* before = tables_.members.find(revoke.node);
  if (before == nullptr) return fail(ErrorCode::not_found, "not-a-member: there is no credential to take back");
  if (before->revoked) return fail(ErrorCode::conflict, "revoked: the credential was taken back before");
  const bool was = before->is_lasting_steward();
  if (was && frame_.lasting_stewards == 1)
    return fail(ErrorCode::denied, "last-steward: there would be no steward left that stays one");
  MESH_LET(std::vector<ValidatorSet> sets, schedule_without(revoke.node));
  schedule(std::move(sets));
  frame_.lasting_stewards -= (was ? 1U : 0U);
  tables_.members.edit(revoke.node).revoked = true;
  return {};
}

Status Execution::rule(const Transaction& transaction, const Attest& attest) {
  MESH_TRY(check_role_of(transaction.account, attest.verifies ? Role::verifier : Role::member));
  tables_.attestations.put({.node = transaction.account,
                            .memory_mb = attest.memory_mb,
                            .fuel_per_second = attest.fuel_per_second,
                            .verifies = attest.verifies,
                            .height = frame_.height});
  return {};
}

Status Execution::rule(const Transaction& transaction, const SetValidators& set) {
  MESH_TRY(check_role_of(transaction.account, Role::steward));
  const std::uint64_t earliest = frame_.height + notice_heights;
  if (set.from_height < earliest || set.from_height > frame_.height + max_notice_heights) {
    return fail(ErrorCode::denied, "bad-height: a set of validators holds from 2 to 100000 blocks ahead, here from " +
                                       std::to_string(earliest));
  }
  if (tables_.voters.size() >= max_voters) return voters_full();
  ValidatorSet next{.from_height = set.from_height};
  const std::map<AccountId, std::uint64_t> held = stakes();
  for (const SetValidators::Seat& seat : set.validators) {
    MESH_TRY(check_role_of(seat.account, Role::validator));
    if (tables_.members.find(seat.account)->expires_height)
      return fail(ErrorCode::denied, "credential-expires: a validator's credential has no expiry");
    const Account* account = tables_.accounts.find(seat.account);
    if (account == nullptr) return fail(ErrorCode::not_found, "unknown-account: a validator has an account");
    const Offence* offence = tables_.offences.find(seat.account);
    if (offence != nullptr && offence->until_height > frame_.height)
      return fail(ErrorCode::denied, "validator-convicted: it has to leave its seat first, from height " +
                                         std::to_string(offence->until_height) + " on");
    if (is_anothers(account->signer(), seat.account)) return key_taken();
    const auto at = held.find(seat.account);
    const std::uint64_t stake = at == held.end() ? frame_.parameters.minimum_bond : at->second;
    next.validators.push_back({seat.account, account->signer(), seat.power, stake});
    if (at != held.end()) continue;
    const std::uint64_t free = checked_subtract(account->bonded, account->at_stake).value_or(0);
    if (free < stake) return bond_too_small(free, stake);
  }
  if (!next.has_distinct_keys()) return key_taken();
  // In the place of what stewards named for later. What takes over before is known to others, or follows from keys and credentials.
  std::vector<ValidatorSet> sets = frame_.scheduled;
  std::erase_if(sets, [&](const ValidatorSet& other) {
    return other.from_height > earliest || other.from_height == next.from_height;
  });
  sets.push_back(std::move(next));
  schedule(std::move(sets));
  return {};
}

Status Execution::rule(const Transaction& transaction, const Rotate& rotate) {
  if (rotate.key == tables_.accounts.find(transaction.account)->signer())
    return fail(ErrorCode::conflict, "key-unchanged: this is the account's key already");
  bool votes = false;
  std::vector<ValidatorSet> sets = schedule_with([&](ValidatorSet& set) {
    const auto seat = std::ranges::find(set.validators, transaction.account, &Validator::account);
    if (seat == set.validators.end()) return false;
    seat->key = rotate.key;
    return votes = true;
  });
  if (votes && is_anothers(rotate.key, transaction.account)) return key_taken();
  if (votes && tables_.voters.size() >= max_voters) return voters_full();
  schedule(std::move(sets));
  tables_.accounts.edit(transaction.account).rotate_to(rotate.key);
  return {};
}

Status Execution::rule(const Transaction& transaction, const Evidence& evidence) {
  if (evidence.kind != EvidenceKind::transactions) return convict(transaction, evidence.kind);
  MESH_CHECK(transaction.shown.size() == 2, "ledger-evidence-read");
  const Transaction& first = transaction.shown[0];
  const Transaction& second = transaction.shown[1];
  const Account* account = tables_.accounts.find(first.account);
  if (account == nullptr) return fail(ErrorCode::not_found, "unknown-account: there is no account that it is about");
  // By the current key or one of the latest before it, so that nobody gets out of it by rotating. Of old keys but the latest:
  // whoever found one could make up conflicts for ever.
  if (!account->knows(first.signer) || !account->knows(second.signer))
    return fail(ErrorCode::unauthorised, "wrong-key: not both are signed by a key that is or lately was the account's");
  if (tables_.conflicts.find(first.account) != nullptr)
    return fail(ErrorCode::conflict, "evidence-repeated: a conflict of this account is on record");
  tables_.conflicts.put({.account = first.account,
                         .sequence = first.sequence,
                         .first = std::min(first.cid, second.cid),
                         .second = std::max(first.cid, second.cid),
                         .reporter = transaction.account,
                         .height = frame_.height});
  return {};
}

Status Execution::convict(const Transaction& transaction, EvidenceKind kind) {
  MESH_CHECK(transaction.said.size() == 2, "ledger-evidence-said");
  const Said& said = transaction.said.front();
  if (said.height > frame_.height)
    return fail(ErrorCode::denied, "evidence-early: it is of a height that has not come yet");
  if (frame_.height - said.height > max_offence_age)
    return fail(ErrorCode::denied, "evidence-too-old: what was signed more than 100000 blocks ago is none any more");
  const Voter* voter = tables_.voters.find(said.key);
  if (voter == nullptr || said.height < voter->from_height || said.height >= voter->until_height.value_or(~0ULL)) {
    return fail(
        ErrorCode::unauthorised,
        "not-a-validator: as far as is remembered nobody voted by this key at height " + std::to_string(said.height));
  }
  const AccountId account = voter->account;
  const std::uint64_t stake = voter->stake;
  const Offence* before = tables_.offences.find(account);
  if (before != nullptr && said.height < before->until_height && !planted(Bug::offence_punished_twice)) {
    return fail(ErrorCode::conflict, "evidence-repeated: the validator has paid for what it signed below height " +
                                         std::to_string(before->until_height));
  }
  MESH_LET(std::vector<ValidatorSet> sets, schedule_without(account));
  // Where it has a seat still, in the set that decides and the next, nothing is behind it any more.
  const std::map<AccountId, std::uint64_t> staked = stakes();
  const auto let_go = [&](ValidatorSet& set) {
    for (Validator& one : set.validators) one.stake = one.account == account ? 0 : one.stake;
  };
  let_go(frame_.validators);
  std::ranges::for_each(sets, let_go);
  frame_.scheduled = std::move(sets);
  settle_stakes(staked);
  const std::uint64_t taken = take_from_bond(account, stake);
  frame_.totals.treasury += taken;
  tables_.offences.put({.account = account,
                        .kind = kind,
                        .signed_by = said.key,
                        .height = said.height,
                        .until_height = frame_.height + notice_heights,
                        .taken = taken,
                        .reporter = transaction.account});
  return {};
}

// ---- the end of the block

void Execution::count_totals() {
  // What left the balances, bonds and withdrawals of the accounts that changed, and what came to them.
  __extension__ using Wide = unsigned __int128;
  struct Sums {
    Wide balances = 0;
    Wide bonded = 0;
    Wide unbonding = 0;
    void add(const Account& account) {
      balances += account.balance;
      bonded += account.bonded;
      for (const Unbonding& one : account.unbonding()) unbonding += one.amount;
    }
  };
  Sums before;
  Sums after;
  tables_.accounts.for_each_change([&](const Account* old, const Account* now) {
    if (old != nullptr) before.add(*old);
    if (now != nullptr) after.add(*now);
  });
  const auto move = [](std::uint64_t& total, Wide out, Wide in) {
    const Wide sum = total + in - out;
    MESH_CHECK(sum <= std::numeric_limits<std::uint64_t>::max(), "ledger-total-overflow");
    total = static_cast<std::uint64_t>(sum);
  };
  move(frame_.totals.balances, before.balances, after.balances);
  move(frame_.totals.bonded, before.bonded, after.bonded);
  move(frame_.totals.unbonding, before.unbonding, after.unbonding);
  Wide held_before = 0;
  Wide held_after = 0;
  tables_.escrows.for_each_change([&](const Escrow* old, const Escrow* now) {
    if (old != nullptr) held_before += old->held;
    if (now != nullptr) held_after += now->held;
  });
  tables_.works.for_each_change([&](const Work* old, const Work* now) {
    if (old != nullptr) held_before += old->dispute_stake;
    if (now != nullptr) held_after += now->dispute_stake;
  });
  move(frame_.totals.escrowed, held_before, held_after);
}

Draft Execution::finish() && {
  count_totals();
  MESH_CHECK(frame_.totals.are_conserved(), "ledger-conservation");
  Draft draft{.height = frame_.height,
              .base = base_.frame.last_block,
              .frame = std::move(frame_),
              .patches = {tables_.accounts.finish(), tables_.members.finish(), tables_.attestations.finish(),
                          tables_.conflicts.finish(), tables_.voters.finish(), tables_.offences.finish(),
                          tables_.escrows.finish(), tables_.works.finish(), tables_.stakes.finish(),
                          tables_.chains.finish(), tables_.reputation.finish(), tables_.pairs.finish()},
              .due = std::move(due_),
              .unbonding_count = unbonding_count_};
  draft.state_root = root_of(summary_of(draft.frame, draft.patches));
  return draft;
}

}  // namespace mesh::ledger
