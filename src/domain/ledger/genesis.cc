#include "domain/ledger/genesis.h"

#include "base/checked.h"

namespace mesh::ledger {

namespace {

Status check(const Founder& founder, const Parameters& parameters) {
  if (!can_be_identity(founder.account))
    return fail(ErrorCode::invalid, "bad-key: a founder's key is no Ed25519 key that can stand for anybody");
  const bool in_order = std::ranges::adjacent_find(founder.roles, std::greater_equal<>{}) == founder.roles.end();
  if (founder.roles.empty() || !in_order)
    return fail(ErrorCode::invalid, "bad-roles: there is at least one role, and each is named once and in order");
  if (founder.owner && (founder.owner->empty() || founder.owner->size() > max_text_bytes))
    return fail(ErrorCode::invalid, "bad-owner: an owner has 1 to 128 bytes");
  if (founder.weight > Genesis::max_weight)
    return fail(ErrorCode::invalid, "bad-weight: a founder's weight is at most 1000");
  if (founder.bonded != 0 && founder.bonded < parameters.minimum_bond)
    return fail(ErrorCode::invalid, "bond-too-small: a bond is nothing or at least the minimum");
  if (founder.power == 0) return {};
  const bool validates = std::ranges::find(founder.roles, Role::validator) != founder.roles.end();
  if (!validates) return fail(ErrorCode::invalid, "role-missing: power goes with the role validator");
  if (founder.bonded < parameters.minimum_bond)
    return fail(ErrorCode::invalid, "bond-too-small: a validator has a bond of at least the minimum");
  return {};
}

Status check(const identity::Charter& charter, const Genesis& genesis) {
  MESH_TRY(identity::check_name(charter.name));
  if (charter.ledger != dagcbor::cid_of(record::encode(genesis)))
    return fail(ErrorCode::invalid, "wrong-federation: the charter names another genesis, or none");
  if (!charter.parents.empty())
    return fail(ErrorCode::unsupported, "lineage-unsupported: a ledger cannot come from others yet");
  if (!std::ranges::equal(charter.founders, genesis.founders, {}, {}, &Founder::account))
    return fail(ErrorCode::invalid, "wrong-founders: charter and genesis name different founders");
  if (genesis.founders.empty() || genesis.founders.size() > max_founders)
    return fail(ErrorCode::invalid, "bad-founder-count: there are 1 to 1024 founders");
  if (std::ranges::adjacent_find(genesis.founders, std::greater_equal<>{}, &Founder::account) !=
      genesis.founders.end()) {
    return fail(ErrorCode::invalid, "founders-unordered: each is named once, ascending by account");
  }
  if (genesis.parameters.lock_ms == 0)
    return fail(ErrorCode::invalid, "bad-parameters: a bond's lock period is at least 1 ms");
  constexpr std::uint64_t longest_ms = 30 * 86'400'000ULL;
  const Parameters& parameters = genesis.parameters;
  if (parameters.dispute_ms == 0 || parameters.dispute_ms > longest_ms || parameters.answer_ms > longest_ms ||
      parameters.notice_ms > longest_ms)
    return fail(ErrorCode::invalid,
                "bad-parameters: a dispute takes 1 ms to 30 days, an answer and a notice at most that");
  for (const Founder& founder : genesis.founders) MESH_TRY(check(founder, genesis.parameters));
  return {};
}

template <Entry Value>
void fill(MerkleMap<Value>& table, const std::vector<Value>& values) {
  std::vector<typename MerkleMap<Value>::Change> changes;
  for (const Value& value : values) changes.push_back({Value::place_of(value.key()), value.key(), &value});
  std::ranges::sort(changes, {}, &MerkleMap<Value>::Change::place);
  table.commit(table.draft(changes));
}

}  // namespace

identity::Charter charter_of(std::string name, const Cid& policy, const Genesis& genesis) {
  identity::Charter charter{.name = std::move(name), .policy = policy};
  for (const Founder& founder : genesis.founders) charter.founders.push_back(founder.account);
  charter.ledger = dagcbor::cid_of(record::encode(genesis));
  return charter;
}

Result<State> found(const identity::Charter& charter, const Genesis& genesis) {
  MESH_TRY(check(charter, genesis));
  State state;
  Frame& frame = state.frame;
  frame.federation = dagcbor::cid_of(record::encode(charter));
  frame.last_block = frame.federation;
  frame.time_ms = genesis.time_ms;
  frame.parameters = genesis.parameters;
  frame.validators.from_height = 1;
  frame.totals.treasury = genesis.treasury;
  std::optional<std::uint64_t> supply = genesis.treasury;
  std::uint64_t power = 0;
  std::vector<Account> accounts;
  std::vector<Member> members;
  std::vector<Reputation> reputations;
  std::vector<Voter> voters;
  for (const Founder& founder : genesis.founders) {
    if (supply) supply = checked_add(*supply, founder.credits);
    if (supply) supply = checked_add(*supply, founder.bonded);
    if (!supply) return fail(ErrorCode::invalid, "overflow: all credits together are at most 2^64-1");
    frame.totals.balances += founder.credits;
    frame.totals.bonded += founder.bonded;
    Account account(founder.account);
    account.balance = founder.credits;
    account.bonded = founder.bonded;
    if (founder.power != 0) {
      if (founder.power > max_power - power)
        return fail(ErrorCode::invalid, "power-overflow: all power together is at most 2^60");
      power += founder.power;
      account.at_stake = genesis.parameters.minimum_bond;
      frame.validators.validators.push_back({founder.account, founder.account, founder.power, account.at_stake});
      voters.push_back(
          {.votes_by = founder.account, .account = founder.account, .stake = account.at_stake, .from_height = 1});
    }
    accounts.push_back(std::move(account));
    members.push_back({.node = founder.account,
                       .roles = founder.roles,
                       .issuer = founder.account,
                       .owner = founder.owner,
                       .weight = founder.weight});
    if (members.back().is_lasting_steward()) ++frame.lasting_stewards;
    if (founder.weight > 0) {
      const std::uint64_t epoch = reputation::epoch_of(genesis.time_ms);
      reputations.emplace_back(reputation::Counters::founder(founder.account, epoch, founder.weight));
    }
  }
  frame.totals.supply = *supply;
  if (frame.lasting_stewards == 0) return fail(ErrorCode::invalid, "no-steward: one of the founders is a steward");
  if (frame.validators.validators.empty() || frame.validators.validators.size() > max_validators)
    return fail(ErrorCode::invalid, "bad-validator-count: 1 to 64 of the founders have power as validators");
  fill(state.tables.accounts, accounts);
  fill(state.tables.members, members);
  fill(state.tables.reputation, reputations);
  fill(state.tables.voters, voters);
  return state;
}

}  // namespace mesh::ledger
