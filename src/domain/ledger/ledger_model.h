// The ledger a second time, from the words of docs/design/protocols.md: plain maps and loops over everything, no hashes, no
// drafts, nothing shared with the ledger but the records. Tests run the two beside each other. Paid work is in work_model.h.
#pragma once

#include <map>
#include <set>

#include "domain/ledger/genesis.h"

namespace mesh::ledger {

class Model {
 public:
  using Amount = std::uint64_t;
  struct Purse {
    std::uint64_t next = 0;
    std::uint64_t balance = 0;
    std::uint64_t bond = 0;
    PublicKey key;
    std::vector<Unbonding> leaving;
    std::vector<PublicKey> old_keys;  ///< all of them, the last one last
  };
  struct Credential {
    std::vector<Role> roles;
    std::optional<std::uint64_t> expires;
    bool revoked;
    std::string owner;  ///< empty = itself
    Amount weight = 0;
  };
  struct Seat {
    std::uint64_t power = 0;
    PublicKey key;
    bool lost = false;  ///< what it had at stake, for an offence
    bool operator==(const Seat&) const = default;
  };
  using Council = std::map<AccountId, Seat>;
  struct Report {
    std::uint64_t sequence = 0;
    std::set<Cid> bodies;
    AccountId reporter;
    std::uint64_t height = 0;
  };

  /// By which key who votes or voted, from and until which height.
  struct Term {
    AccountId account;
    std::uint64_t from = 0;
    std::optional<std::uint64_t> until;
    Amount forgotten = 0;
  };
  struct Conviction {
    std::uint64_t height = 0;
    std::uint64_t until = 0;
    Amount taken = 0;
    AccountId reporter;
  };

  virtual ~Model() = default;
  Model(const Model&) = default;
  Model& operator=(const Model&) = default;
  Model(Model&&) = default;
  Model& operator=(Model&&) = default;
  explicit Model(const Genesis& genesis)
      : rules(genesis.parameters), time_ms(genesis.time_ms), supply(genesis.treasury), treasury(genesis.treasury) {
    for (const Founder& one : genesis.founders) {
      purses[one.account] = {0, one.credits, one.bonded, one.account, {}, {}};
      credentials[one.account] = {one.roles, {}, false, one.owner.value_or(""), one.weight};
      if (one.power > 0) council[one.account] = {one.power, one.account};
      if (one.power > 0) terms[one.account] = {one.account, 1, {}, 0};
      supply += one.credits + one.bonded;
    }
  }

  void begin_block(Amount time, const AccountId& proposer, const Digest& link, const Cid& parent) {
    ++height;
    begin_work(proposer, link);
    go_on_by_itself(time, parent);
    time_ms = time;
    if (!coming.contains(height)) return;
    const Council before = std::exchange(council, coming[height]);
    coming.erase(height);
    for (const auto& [id, seat] : before) {
      if (council.contains(id) && council[id].key == seat.key) continue;
      terms.at(seat.key).until = height;
      terms.at(seat.key).forgotten = rules.lock_ms > ~time ? ~Amount{0} : time + rules.lock_ms;
    }
    for (const auto& [id, seat] : council) {
      if (!terms.contains(seat.key)) terms[seat.key] = {id, height, {}, 0};
      terms.at(seat.key).until.reset();
    }
  }

  /// "A validator has the minimum bond at stake until it is in no set, neither the one that decides nor one to come."
  [[nodiscard]] Amount stake_as_validator(const AccountId& id) const {
    const auto sits = [&](const Council& set) { return set.contains(id) && !set.at(id).lost; };
    const bool any = sits(council) || std::ranges::any_of(coming, [&](const auto& one) { return sits(one.second); });
    return any ? rules.minimum_bond : 0;
  }
  [[nodiscard]] virtual Amount stake_for_work(const AccountId&) const { return 0; }
  [[nodiscard]] Amount stake_of(const AccountId& id) const { return stake_as_validator(id) + stake_for_work(id); }

  /// Convicted, and not out of its seat yet.
  [[nodiscard]] bool is_leaving(const AccountId& id) const {
    const auto found = convicted.find(id);
    return found != convicted.end() && found->second.until > height;
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
    const bool pays = std::visit([]<class T>(const T&) { return costs<T>; }, one.body);
    const Amount fee = pays ? rules.transaction_fee : 0;
    if (pays && purses[one.account].balance < fee) return "fee-unpaid";
    if (pays) purses[one.account].balance -= fee;
    std::string refusal = std::visit([&](const auto& body) { return rule(one, body); }, one.body);
    if (!refusal.empty() && pays) purses[one.account].balance += fee;
    if (!refusal.empty()) return refusal;
    treasury += fee;
    if (!known) purses[one.account].key = one.account;
    purses[one.account].next = one.sequence + 1;
    return "taken";
  }

  /// Withdrawals that happen by themselves later: the account and the time.
  std::set<std::pair<Amount, AccountId>> due() const {
    std::set<std::pair<Amount, AccountId>> due;
    for (const auto& [id, purse] : purses) {
      for (const Unbonding& one : purse.leaving) due.emplace(one.release_ms, id);
    }
    return due;
  }

  /// Of the keys that an account gave up the last four, each once, the current one left out.
  [[nodiscard]] std::vector<PublicKey> latest_keys(const AccountId& id) const {
    const Purse& purse = purses.at(id);
    std::vector<PublicKey> latest;
    for (auto key = purse.old_keys.rbegin(); key != purse.old_keys.rend() && latest.size() < 4; ++key) {
      if (*key != purse.key && std::ranges::count(latest, *key) == 0) latest.insert(latest.begin(), *key);
    }
    return latest;
  }

  std::map<AccountId, Purse> purses;
  std::map<NodeId, Credential> credentials;
  std::map<NodeId, Attest> attested;
  std::map<AccountId, Report> conflicts;
  std::map<PublicKey, Term> terms;
  std::map<AccountId, Conviction> convicted;
  Council council;
  std::map<std::uint64_t, Council> coming;  ///< by the height from which it decides

 private:
  template <class T>
  static constexpr bool costs = !(std::same_as<T, Grant> || std::same_as<T, Admit> || std::same_as<T, Revoke> ||
                                  std::same_as<T, SetValidators> || std::same_as<T, Evidence>);

  /// What is done about paid work as a block begins, before anything that is due happens, and the latter.
  virtual void begin_work(const AccountId& proposer, const Digest& link) = 0;
  virtual void go_on_by_itself(Amount time, const Cid& parent) = 0;
  virtual std::string work(const Transaction& one) = 0;
  /// Takes as much out of a bond, and what is on its way out of it, as can be had.
  virtual Amount lose(const AccountId& id, Amount amount) = 0;

 protected:
  /// What somebody withdrew arrives.
  void arrive(const AccountId& id, Amount time) {
    Purse& purse = purses.at(id);
    for (const Unbonding& one : purse.leaving) purse.balance += one.release_ms <= time ? one.amount : 0;
    std::erase_if(purse.leaving, [&](const Unbonding& one) { return one.release_ms <= time; });
  }
  std::string lacks(const AccountId& id, Role role) const {
    const auto found = credentials.find(id);
    if (found == credentials.end()) return "not-a-member";
    if (found->second.revoked) return "revoked";
    if (found->second.expires && *found->second.expires <= height) return "credential-expired";
    if (role == Role::member) return "";
    return std::ranges::count(found->second.roles, role) == 0 ? "role-missing" : "";
  }

 private:
  bool lasts(const NodeId& node) const {
    const auto found = credentials.find(node);
    return found != credentials.end() && !found->second.expires && lacks(node, Role::steward).empty();
  }
  bool is_last_steward(const NodeId& node) const {
    return lasts(node) && std::ranges::count_if(credentials, [&](const auto& one) { return lasts(one.first); }) == 1;
  }
  bool is_little_to_begin_with(const AccountId& to, Amount amount) const {
    return !purses.contains(to) && amount < rules.minimum_balance;
  }
  void give(const AccountId& to, Amount amount) {
    if (!purses.contains(to)) purses[to].key = to;
    purses[to].balance += amount;
  }
  /// The sets as they are after `edit(set)` of those that can still be edited, which are those from the height after the next on.
  template <class Edit>
  std::map<std::uint64_t, Council> edited(const Edit& edit) const {
    std::map<std::uint64_t, Council> sets = coming;
    Council then = coming.contains(height + 1) ? coming.at(height + 1) : council;
    if (coming.contains(height + 2)) then = coming.at(height + 2);
    const Council before = then;
    edit(then);
    if (then != before) sets[height + 2] = then;
    for (auto& [from, set] : sets) {
      if (from > height + 2) edit(set);
    }
    return sets;
  }
  std::map<std::uint64_t, Council> without(const AccountId& id) const {
    return edited([&](Council& set) { set.erase(id); });
  }
  static bool leaves_nobody(const std::map<std::uint64_t, Council>& sets) {
    return std::ranges::any_of(sets, [](const auto& one) { return one.second.empty(); });
  }
  static bool has_key_twice(const Council& set) {
    std::set<PublicKey> keys;
    for (const auto& [id, seat] : set) keys.insert(seat.key);
    return keys.size() != set.size();
  }

  template <class T>
  std::string rule(const Transaction& one, const T&) {
    return work(one);
  }
  std::string rule(const Transaction& one, const Transfer& transfer) {
    if (purses[one.account].balance < transfer.amount) return "overdraft";
    if (is_little_to_begin_with(transfer.to, transfer.amount)) return "balance-too-small";
    purses[one.account].balance -= transfer.amount;
    give(transfer.to, transfer.amount);
    return "";
  }
  std::string rule(const Transaction& one, const Grant& grant) {
    if (const auto lack = lacks(one.account, Role::steward); !lack.empty()) return lack;
    if (grant.amount > ~supply) return "overflow";
    if (is_little_to_begin_with(grant.to, grant.amount)) return "balance-too-small";
    supply += grant.amount;
    granted += grant.amount;
    give(grant.to, grant.amount);
    return "";
  }
  std::string rule(const Transaction& one, const Bond& bond) {
    if (std::string lack = lacks(one.account, Role::member); !lack.empty()) return lack;
    Purse& purse = purses[one.account];
    if (purse.balance < bond.amount) return "overdraft";
    if (purse.bond + bond.amount < rules.minimum_bond) return "bond-too-small";
    purse.balance -= bond.amount;
    purse.bond += bond.amount;
    return "";
  }
  std::string rule(const Transaction& one, const Unbond& unbond) {
    Purse& purse = purses[one.account];
    if (purse.bond < unbond.amount) return "overdraft";
    if (unbond.amount < rules.minimum_balance && unbond.amount != purse.bond) return "withdrawal-too-small";
    if (purse.bond - unbond.amount < stake_of(one.account)) return "bond-at-stake";
    if (purse.bond != unbond.amount && purse.bond - unbond.amount < rules.minimum_bond) return "bond-too-small";
    if (purse.leaving.size() == 16) return "unbonding-full";
    purse.bond -= unbond.amount;
    purse.leaving.push_back({unbond.amount, time_ms + rules.lock_ms});
    return "";
  }
  std::string rule(const Transaction& one, const Admit& admit) {
    if (std::string lack = lacks(one.account, Role::steward); !lack.empty()) {
      if (admit.node != one.account) return lack;
      if (rules.enrolment == Enrolment::invitation) return "enrolment-closed";
      if (admit.roles != std::vector{Role::member} || admit.expires_height) return "role-missing";
      if (admit.owner) return "owner-unproven";
      std::string now = lacks(admit.node, Role::member);
      if (now == "revoked") return now;
      if (now.empty()) return "already-a-member";
    }
    if (admit.expires_height && *admit.expires_height <= height) return "credential-expired";
    const bool steward = std::ranges::count(admit.roles, Role::steward) > 0 && !admit.expires_height;
    if (!steward && is_last_steward(admit.node)) return "last-steward";
    if (std::ranges::count(admit.roles, Role::validator) == 0 || admit.expires_height) {
      if (leaves_nobody(without(admit.node))) return "last-validator";
      coming = without(admit.node);
    }
    const Amount weight = credentials.contains(admit.node) ? credentials[admit.node].weight : 0;
    credentials[admit.node] = {admit.roles, admit.expires_height, false, admit.owner.value_or(""), weight};
    return "";
  }
  std::string rule(const Transaction& one, const Revoke& revoke) {
    if (const auto lack = lacks(one.account, Role::steward); !lack.empty()) return lack;
    if (!credentials.contains(revoke.node)) return "not-a-member";
    if (credentials[revoke.node].revoked) return "revoked";
    if (is_last_steward(revoke.node)) return "last-steward";
    if (leaves_nobody(without(revoke.node))) return "last-validator";
    coming = without(revoke.node);
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
    Council next;
    for (const auto& seat : set.validators) {
      if (std::string lack = lacks(seat.account, Role::validator); !lack.empty()) return lack;
      if (credentials[seat.account].expires) return "credential-expires";
      if (!purses.contains(seat.account)) return "unknown-account";
      if (is_leaving(seat.account)) return "validator-convicted";
      if (is_anothers(purses[seat.account].key, seat.account)) return "key-taken";
      // Who has it at stake as a validator already has it; what is at stake for work is not free.
      if (stake_as_validator(seat.account) == 0 &&
          purses[seat.account].bond < rules.minimum_bond + stake_for_work(seat.account))
        return "bond-too-small";
      next[seat.account] = {seat.power, purses[seat.account].key};
    }
    if (has_key_twice(next)) return "key-taken";
    std::erase_if(coming, [&](const auto& other) { return other.first > height + 2; });
    coming[set.from_height] = next;
    return "";
  }
  std::string rule(const Transaction& one, const Rotate& rotate) {
    if (rotate.key == purses[one.account].key) return "key-unchanged";
    bool votes = false;
    const auto sets = edited([&](Council& set) {
      if (!set.contains(one.account)) return;
      set[one.account].key = rotate.key;
      votes = true;
    });
    if (votes && is_anothers(rotate.key, one.account)) return "key-taken";
    coming = sets;
    purses[one.account].old_keys.push_back(purses[one.account].key);
    purses[one.account].key = rotate.key;
    return "";
  }
  /// "Another validator of any known set votes by it, or it is remembered as another's."
  bool is_anothers(const PublicKey& key, const AccountId& id) const {
    const auto in = [&](const Council& set) {
      return std::ranges::any_of(set, [&](const auto& seat) { return seat.first != id && seat.second.key == key; });
    };
    const auto term = terms.find(key);
    return in(council) || std::ranges::any_of(coming, [&](const auto& set) { return in(set.second); }) ||
           (term != terms.end() && term->second.account != id);
  }
  /// Two votes or proposals of one key.
  std::string conviction(const Transaction& one) {
    const Said& said = one.said[0];
    if (said.height > height) return "evidence-early";
    if (said.height + 100'000 < height) return "evidence-too-old";
    const auto term = terms.find(said.key);
    if (term == terms.end() || said.height < term->second.from ||
        (term->second.until && *term->second.until <= said.height))
      return "not-a-validator";
    const AccountId id = term->second.account;
    if (convicted.contains(id) && said.height < convicted[id].until) return "evidence-repeated";
    if (leaves_nobody(without(id))) return "last-validator";
    coming = without(id);
    if (council.contains(id)) council[id].lost = true;
    for (auto& [from, set] : coming) {
      if (set.contains(id)) set[id].lost = true;
    }
    const Amount taken = lose(id, rules.minimum_bond);
    convicted[id] = {said.height, height + 2, taken, one.account};
    treasury += taken;
    return "";
  }
  std::string rule(const Transaction& one, const Evidence& evidence) {
    if (evidence.kind != EvidenceKind::transactions) return conviction(one);
    const AccountId& about = one.shown[0].account;
    if (!purses.contains(about)) return "unknown-account";
    std::vector<PublicKey> latest = latest_keys(about);
    latest.push_back(purses[about].key);
    for (const Transaction& shown : one.shown) {
      if (std::ranges::count(latest, shown.signer) == 0) return "wrong-key";
    }
    if (conflicts.contains(about)) return "evidence-repeated";
    conflicts[about] = {one.shown[0].sequence, {one.shown[0].cid, one.shown[1].cid}, one.account, height};
    return "";
  }

 public:
  Parameters rules;
  std::uint64_t height = 0;
  Amount time_ms = 0;  ///< of the last block
  Amount supply = 0;
  Amount treasury = 0;
  Amount granted = 0;
};

}  // namespace mesh::ledger
