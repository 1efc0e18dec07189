// For the tests and benchmarks of the ledger: people with keys, a federation of theirs, transactions without signatures.
#pragma once

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

[[nodiscard]] inline Ledger found_on(const Genesis& genesis, std::string name = "town") {
  Result<Ledger> ledger =
      Ledger::found(charter_of(std::move(name), Cid::of(Multicodec::dag_cbor, {}), genesis), genesis);
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
  const Totals& totals = state.frame.totals;
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
