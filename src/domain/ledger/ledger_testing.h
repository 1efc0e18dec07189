// For the tests and benchmarks of the ledger: people with keys, a federation of theirs, transactions without signatures.
#pragma once

#include <map>

#include "domain/ledger/ledger.h"

namespace mesh::ledger {

struct Person {
  Seed seed;
  AccountId id;
};
/// The n-th person, always the same.
[[nodiscard]] inline Person person(std::uint64_t n) {
  const Seed seed = *Seed::from(sha256({as_bytes("person"), big_endian(n)}).view());
  return {seed, public_key_of(seed)};
}
/// An account of which nobody has the key.
[[nodiscard]] inline AccountId nobody(std::uint64_t n) {
  return *AccountId::from(sha256({as_bytes("nobody"), big_endian(n)}).view());
}

[[nodiscard]] inline Genesis genesis_of(std::vector<Founder> founders, Parameters parameters = {}) {
  std::ranges::sort(founders, {}, &Founder::account);
  return {.time_ms = 1'000'000, .founders = std::move(founders), .parameters = parameters};
}

/// Parameters under which nothing costs anything, for tests that are about other things.
[[nodiscard]] inline Parameters without_costs(Parameters parameters = {}) {
  parameters.transaction_fee = 0;
  parameters.minimum_balance = 0;
  return parameters;
}

[[nodiscard]] inline Ledger found_on(const Genesis& genesis, std::string name = "town", const Digest& seed = {}) {
  Result<Ledger> ledger =
      Ledger::found(charter_of(std::move(name), Cid::of(Multicodec::dag_cbor, {}), genesis), genesis, seed);
  MESH_CHECK(ledger.has_value(), "ledger-testing-genesis");
  return std::move(*ledger);
}

/// The envelope of a transaction that nobody signed.
template <record::Typed T>
[[nodiscard]] Bytes unsigned_envelope(const T& body, const PublicKey& key) {
  return record::encode(Envelope{record::encode(body), key, {}});
}
/// A transaction taken as signed by `key`.
template <record::Typed T>
[[nodiscard]] Opened as_signed(const T& body, const PublicKey& key) {
  Result<Transaction> transaction = decode(unsigned_envelope(body, key));
  MESH_CHECK(transaction.has_value(), "ledger-testing-form");
  return Opened::trusted(std::move(*transaction));
}

/// What a validator says, as evidence shows it, with the signature left empty: a prevote for a block (for none where it is
/// zeros), or the proposal of one.
[[nodiscard]] inline Bytes said_by(EvidenceKind kind, const PublicKey& key, std::uint64_t height, std::uint32_t round,
                                   const Digest& block) {
  Bytes said = to_bytes(key.view());
  said.resize(PublicKey::size + Signature::size);
  if (kind == EvidenceKind::votes) said.push_back(1);
  append(said, big_endian(height));
  append(said, ByteView(big_endian(std::uint64_t{round})).last(4));
  if (kind == EvidenceKind::votes) said.push_back(block == Digest{} ? 0 : 1);
  if (kind == EvidenceKind::proposals) said.resize(said.size() + 4, 0xff);
  append(said, block.view());
  return said;
}

/// All that must hold of a state, looked at as a whole. Empty if it does, else what does not.
[[nodiscard]] inline std::string broken_invariant(const State& state) {
  Totals sums{.treasury = state.frame.totals.treasury};
  std::size_t waiting = 0;
  std::set<Due> due;
  std::string broken;
  state.tables.accounts.visit([&](const Account& account) {
    sums.balances += account.balance;
    sums.bonded += account.bonded;
    for (const Unbonding& one : account.unbonding()) {
      sums.unbonding += one.amount;
      ++waiting;
      due.insert(due_withdrawal(account.key(), one.release_ms));
    }
    if (account.at_stake > account.bonded) broken = "more at stake than bonded";
    return true;
  });
  const Frame& frame = state.frame;
  std::map<AccountId, std::uint64_t> stakes;
  const auto look_at = [&](const ValidatorSet& set) {
    for (const Validator& one : set.validators) {
      if (!stakes.emplace(one.account, one.stake).second && stakes[one.account] != one.stake)
        broken = "a validator with two stakes";
    }
    if (set.validators.empty() || !set.has_distinct_keys()) broken = "a set of validators that cannot decide";
  };
  look_at(frame.validators);
  for (const ValidatorSet& set : frame.scheduled) look_at(set);
  state.tables.accounts.visit([&](const Account& account) {
    const WorkStake* for_work = state.tables.stakes.find(account.key());
    const std::uint64_t as_validator = stakes.contains(account.key()) ? stakes[account.key()] : 0;
    if (account.at_stake != as_validator + (for_work == nullptr ? 0 : for_work->stake))
      broken = "a stake without a seat";
    return true;
  });
  for (const Validator& one : frame.validators_at(frame.height + 2).validators) {
    const Member* member = state.tables.members.find(one.account);
    if (member == nullptr || !member->has_lasting(Role::validator)) broken = "a validator without the role";
    if (state.tables.accounts.find(one.account)->signer() != one.key) broken = "a validator with another key";
  }
  std::uint64_t open_shards = 0;
  std::uint64_t locked_shards = 0;
  std::map<AccountId, std::uint64_t> open_works;
  std::set<Digest> undrawn(state.frame.undrawn.begin(), state.frame.undrawn.end());
  state.tables.works.visit([&](const Work& work) {
    sums.escrowed += work.dispute_stake;
    if (work.phase == WorkPhase::ended) {
      due.insert({work.due_ms, DueKind::work_forgotten, work.key()});
      return true;
    }
    open_shards += work.count();
    ++open_works[work.worker];
    if (work.phase != WorkPhase::drawing) due.insert({work.due_ms, DueKind::work_due, work.key()});
    if ((work.phase == WorkPhase::drawing) != (undrawn.erase(work.key()) == 1)) broken = "a draw that nobody makes";
    return true;
  });
  if (!undrawn.empty()) broken = "a draw for no work";
  state.tables.escrows.visit([&](const Escrow& escrow) {
    sums.escrowed += escrow.held;
    if (!escrow.ended) locked_shards += escrow.shards;
    if (!escrow.closed) due.insert({escrow.closes_ms, DueKind::escrow_closing, escrow.key()});
    due.insert({escrow.forget_ms, DueKind::escrow_forgotten, escrow.key()});
    if (escrow.held != (escrow.ended ? 0 : escrow.fee * (escrow.shards - escrow.paid)))
      broken = "an escrow of another sum";
    if (escrow.ended && (escrow.works != 0 || !escrow.closed)) broken = "an escrow that ended too early";
    return true;
  });
  state.tables.pairs.visit([&](const ReputationPair& pair) {
    due.insert({(pair.epoch + 1) * reputation::epoch_ms, DueKind::pair_over, pair.key()});
    return true;
  });
  state.tables.stakes.visit([&](const WorkStake& staked) {
    if (open_works[staked.account] != staked.works || staked.works == 0) broken = "a stake that is not of open works";
    open_works.erase(staked.account);
    return true;
  });
  if (!open_works.empty()) broken = "open works without a stake";
  std::size_t voting = 0;
  state.tables.voters.visit([&](const Voter& voter) {
    const Validator* seat = state.frame.validators.find(voter.account);
    const bool votes = seat != nullptr && seat->key == voter.votes_by;
    if (votes == voter.until_height.has_value() || voter.until_height.has_value() != voter.forget_ms.has_value())
      broken = "a key by which is voted otherwise than is remembered";
    voting += votes ? 1 : 0;
    if (voter.forget_ms) due.insert({*voter.forget_ms, DueKind::voter_forgotten, *Digest::from(voter.votes_by.view())});
    return true;
  });
  if (voting != state.frame.validators.validators.size()) broken = "a validator of which no key is remembered";
  if (locked_shards != state.frame.locked_shards) broken = "a count of locked shards that is not theirs";
  if (open_shards != state.frame.open_shards) broken = "a count of open shards that is not theirs";
  const Totals& totals = state.frame.totals;
  if (sums.escrowed != totals.escrowed) broken = "a total of the escrows that is not theirs";
  if (sums.balances != totals.balances || sums.bonded != totals.bonded || sums.unbonding != totals.unbonding)
    broken = "totals that are not the sums of the accounts";
  if (!totals.are_conserved()) broken = "credits that came or went without a grant";
  if (waiting != state.unbonding_count) broken = "a count of withdrawals that is not theirs";
  if (due != state.due) broken = "a queue of what is due that does not follow from the tables";
  std::uint64_t stewards = 0;
  state.tables.members.visit([&](const Member& member) {
    if (member.is_lasting_steward()) ++stewards;
    return true;
  });
  if (stewards == 0 || stewards != state.frame.lasting_stewards) broken = "a count of stewards that is not theirs";
  return broken;
}

}  // namespace mesh::ledger
