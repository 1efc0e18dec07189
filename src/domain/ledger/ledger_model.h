// The ledger a second time, from the words of docs/design/protocols.md: plain maps and loops over everything, no hashes, no
// drafts, nothing shared with the ledger but the records. Tests run the two beside each other.
#pragma once

#include <map>
#include <set>

#include "domain/ledger/genesis.h"

namespace mesh::ledger {

class Model {
  using Amount = std::uint64_t;

 public:
  struct Purse {
    std::uint64_t next = 0;
    std::uint64_t balance = 0;
    std::uint64_t bond = 0;
    std::uint64_t stake = 0;
    PublicKey key;
    std::vector<Unbonding> leaving;
  };
  struct Credential {
    std::vector<Role> roles;
    std::optional<std::uint64_t> expires;
    bool revoked;
  };
  struct Council {
    std::uint64_t from = 0;
    std::map<AccountId, std::uint64_t> stakes;
  };

  explicit Model(const Genesis& genesis)
      : rules_(genesis.parameters), time_ms(genesis.time_ms), supply(genesis.treasury) {
    for (const Founder& one : genesis.founders) {
      const std::uint64_t stake = one.power > 0 ? rules_.minimum_bond : 0;
      purses[one.account] = {0, one.credits, one.bonded, stake, one.account, {}};
      credentials[one.account] = {one.roles, {}, false};
      if (one.power > 0) council.stakes[one.account] = stake;
      supply += one.credits + one.bonded;
    }
  }

  void begin_block(Amount time) {
    ++height;
    for (auto& [id, purse] : purses) {  // By the time of the block before.
      for (const Unbonding& one : purse.leaving) purse.balance += one.release_ms <= time_ms ? one.amount : 0;
      std::erase_if(purse.leaving, [&](const Unbonding& one) { return one.release_ms <= time_ms; });
    }
    time_ms = time;
    if (!coming || coming->from != height) return;
    for (const auto& [id, stake] : council.stakes) {
      if (!coming->stakes.contains(id)) purses[id].stake -= stake;
    }
    council = *coming;
    coming.reset();
  }

  /// "taken", or the name of the refusal.
  std::string apply(const Transaction& one) {
    const bool known = purses.contains(one.account);
    const Admit* admit = std::get_if<Admit>(&one.body);
    if (!known && !(admit != nullptr && admit->node == one.account)) return "unknown-account";
    const PublicKey key = known ? purses[one.account].key : one.account;
    const std::uint64_t next = known ? purses[one.account].next : 0;
    if (one.signer != key) return key == one.account ? "wrong-key" : "key-rotated";
    if (one.sequence < next) return "sequence-repeated";
    if (one.sequence > next) return "sequence-gap";
    std::string refusal = std::visit([&](const auto& body) { return rule(one, body); }, one.body);
    if (!refusal.empty()) return refusal;
    if (!known) purses[one.account].key = one.account;
    purses[one.account].next = one.sequence + 1;
    return "taken";
  }

  /// What happens by itself later: the account and the time.
  std::set<std::pair<Amount, AccountId>> due() const {
    std::set<std::pair<Amount, AccountId>> due;
    for (const auto& [id, purse] : purses) {
      for (const Unbonding& one : purse.leaving) due.emplace(one.release_ms, id);
    }
    return due;
  }

  std::map<AccountId, Purse> purses;
  std::map<NodeId, Credential> credentials;
  std::map<NodeId, Attest> attested;
  std::set<AccountId> conflicts;
  Council council;
  std::optional<Council> coming;

 private:
  std::string lacks(const AccountId& id, Role role) const {
    const auto found = credentials.find(id);
    if (found == credentials.end()) return "not-a-member";
    if (found->second.revoked) return "revoked";
    if (found->second.expires && *found->second.expires <= height) return "credential-expired";
    if (role == Role::member) return "";
    return std::ranges::count(found->second.roles, role) == 0 ? "role-missing" : "";
  }
  bool lasts(const NodeId& node) const {
    const auto found = credentials.find(node);
    return found != credentials.end() && !found->second.expires && lacks(node, Role::steward).empty();
  }
  bool is_last_steward(const NodeId& node) const {
    return lasts(node) && std::ranges::count_if(credentials, [&](const auto& one) { return lasts(one.first); }) == 1;
  }
  void give(const AccountId& to, Amount amount) {
    if (!purses.contains(to)) purses[to].key = to;
    purses[to].balance += amount;
  }

  std::string rule(const Transaction& one, const Transfer& transfer) {
    if (purses[one.account].balance < transfer.amount) return "overdraft";
    purses[one.account].balance -= transfer.amount;
    give(transfer.to, transfer.amount);
    return "";
  }
  std::string rule(const Transaction& one, const Grant& grant) {
    if (const auto lack = lacks(one.account, Role::steward); !lack.empty()) return lack;
    if (grant.amount > ~supply) return "overflow";
    supply += grant.amount;
    granted += grant.amount;
    give(grant.to, grant.amount);
    return "";
  }
  std::string rule(const Transaction& one, const Bond& bond) {
    if (std::string lack = lacks(one.account, Role::member); !lack.empty()) return lack;
    Purse& purse = purses[one.account];
    if (purse.balance < bond.amount) return "overdraft";
    if (purse.bond + bond.amount < rules_.minimum_bond) return "bond-too-small";
    purse.balance -= bond.amount;
    purse.bond += bond.amount;
    return "";
  }
  std::string rule(const Transaction& one, const Unbond& unbond) {
    Purse& purse = purses[one.account];
    if (purse.bond < unbond.amount) return "overdraft";
    if (purse.bond - unbond.amount < purse.stake) return "bond-at-stake";
    if (purse.bond != unbond.amount && purse.bond - unbond.amount < rules_.minimum_bond) return "bond-too-small";
    if (purse.leaving.size() == 16) return "unbonding-full";
    purse.bond -= unbond.amount;
    purse.leaving.push_back({unbond.amount, time_ms + rules_.lock_ms});
    return "";
  }
  std::string rule(const Transaction& one, const Admit& admit) {
    if (std::string lack = lacks(one.account, Role::steward); !lack.empty()) {
      if (admit.node != one.account) return lack;
      if (rules_.enrolment == Enrolment::invitation) return "enrolment-closed";
      if (admit.roles != std::vector{Role::member} || admit.expires_height) return "role-missing";
      std::string now = lacks(admit.node, Role::member);
      if (now == "revoked") return now;
      if (now.empty()) return "already-a-member";
    }
    if (admit.expires_height && *admit.expires_height <= height) return "credential-expired";
    const bool steward = std::ranges::count(admit.roles, Role::steward) > 0 && !admit.expires_height;
    if (!steward && is_last_steward(admit.node)) return "last-steward";
    credentials[admit.node] = {admit.roles, admit.expires_height, false};
    return "";
  }
  std::string rule(const Transaction& one, const Revoke& revoke) {
    if (const auto lack = lacks(one.account, Role::steward); !lack.empty()) return lack;
    if (!credentials.contains(revoke.node)) return "not-a-member";
    if (credentials[revoke.node].revoked) return "revoked";
    if (is_last_steward(revoke.node)) return "last-steward";
    credentials[revoke.node].revoked = true;
    return "";
  }
  std::string rule(const Transaction& one, const Attest& attest) {
    if (std::string lack = lacks(one.account, attest.verifies ? Role::verifier : Role::member); !lack.empty())
      return lack;
    attested[one.account] = attest;
    return "";
  }
  std::string rule(const Transaction& one, const SetValidators& set) {
    if (const auto lack = lacks(one.account, Role::steward); !lack.empty()) return lack;
    if (set.from_height < height + 2 || set.from_height > height + 100'000) return "bad-height";
    if (coming && coming->from == height + 1) return "validators-pending";
    Council next{set.from_height, {}};
    std::map<AccountId, Amount> stakes;  // What each would have at stake.
    for (const auto& seat : set.validators) {
      if (std::string lack = lacks(seat.account, Role::validator); !lack.empty()) return lack;
      const Amount stake = next.stakes[seat.account] = rules_.minimum_bond;
      const bool held = council.stakes.contains(seat.account) || (coming && coming->stakes.contains(seat.account));
      const auto purse = purses.find(seat.account);
      const Amount free = purse == purses.end() ? 0 : purse->second.bond - purse->second.stake;
      if (!held && free < stake) return "bond-too-small";
      if (!held) stakes[seat.account] = stake;
    }
    for (const auto& [id, stake] : stakes) purses[id].stake += stake;
    for (const auto& [id, stake] : coming ? coming->stakes : std::map<AccountId, Amount>()) {
      if (!council.stakes.contains(id) && !next.stakes.contains(id)) purses[id].stake -= stake;
    }
    coming = next;
    return "";
  }
  std::string rule(const Transaction& one, const Rotate& rotate) {
    if (rotate.key == purses[one.account].key) return "key-unchanged";
    purses[one.account].key = rotate.key;
    return "";
  }
  std::string rule(const Transaction& one, const Evidence&) {
    const AccountId& about = one.shown[0].account;
    if (!purses.contains(about)) return "unknown-account";
    for (const Transaction& shown : one.shown) {
      if (shown.signer != purses[about].key) return "wrong-key";
    }
    return conflicts.insert(about).second ? "" : "evidence-repeated";
  }

  Parameters rules_;

 public:
  std::uint64_t height = 0;
  Amount time_ms = 0;  ///< of the last block
  Amount supply = 0;
  Amount granted = 0;
};

}  // namespace mesh::ledger
