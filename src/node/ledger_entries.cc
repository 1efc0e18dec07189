#include "node/ledger_entries.h"

#include <algorithm>

#include "base/checked.h"

namespace mesh::node {

namespace {

event::LedgerChanged head_of(const ledger::State& state, const Interest& interest, std::uint64_t now_ms) {
  return {.height = state.frame.height,
          .time_ms = state.frame.time_ms,
          .block = state.frame.last_block,
          .now_ms = now_ms,
          .self = interest.self,
          .parameters = state.frame.parameters,
          .whole = false,
          .escrows = {},
          .works = {},
          .members = {},
          .receipts = {},
          .payments = {}};
}

}  // namespace

void AccountKeys::note(const ledger::AccountId& account, const PublicKey& key) {
  const auto before = keys_.find(account);
  if (before != keys_.end()) {
    if (before->second == key) return;
    const auto accounts = accounts_.find(before->second);
    accounts->second.erase(account);
    if (accounts->second.empty()) accounts_.erase(accounts);
    keys_.erase(before);
  }
  if (key == account) return;
  keys_.emplace(account, key);
  accounts_[key].insert(account);
}

ledger::AccountId AccountKeys::account_of(const PublicKey& key) const {
  if (keys_.contains(key)) return key;
  const auto accounts = accounts_.find(key);
  return accounts == accounts_.end() ? key : *accounts->second.begin();
}

bool concerns(const Interest& interest, const ledger::Escrow& escrow) {
  return escrow.publisher == interest.self || interest.intents.contains(escrow.intent);
}

bool concerns(const Interest& interest, const ledger::Work& work) {
  return work.worker == interest.self || interest.intents.contains(work.intent) ||
         std::ranges::any_of(work.draws, [&](const ledger::WorkDraw& draw) {
           return std::ranges::binary_search(draw.nodes, interest.self);
         });
}

Touched touched_by(const ledger::Draft& draft) {
  Touched touched;
  draft.patches.escrows.for_each_put([&](const ledger::Escrow& one) { touched.escrows.push_back(one.key()); });
  draft.patches.works.for_each_put([&](const ledger::Work& one) { touched.works.push_back(one.key()); });
  draft.patches.accounts.for_each_put([&](const ledger::Account& one) { touched.members.insert(one.key()); });
  draft.patches.members.for_each_put([&](const ledger::Member& one) { touched.members.insert(one.key()); });
  draft.patches.attestations.for_each_put([&](const ledger::Attestation& one) { touched.members.insert(one.key()); });
  draft.patches.reputation.for_each_put([&](const ledger::Reputation& one) { touched.members.insert(one.node); });
  return touched;
}

std::optional<Standing> standing_of(const ledger::State& state, const ledger::AccountId& node) {
  const ledger::Member* member = state.tables.members.find(node);
  if (member == nullptr) return std::nullopt;
  const ledger::Account* account = state.tables.accounts.find(node);
  const ledger::Reputation* reputation = state.tables.reputation.find(node);
  const ledger::Attestation* attested = state.tables.attestations.find(node);
  const std::uint64_t height = state.frame.height;
  Standing standing{.node = node,
                    .key = account == nullptr ? node : account->signer(),
                    .works = check_role(member, ledger::Role::worker, height).has_value(),
                    .verifies = attested != nullptr && attested->verifies &&
                                check_role(member, ledger::Role::verifier, height).has_value()};
  if (reputation != nullptr)
    standing.score = reputation::score_of(*reputation, reputation::epoch_of(state.frame.time_ms),
                                          ledger::active_policy().reputation);
  if (account != nullptr) {
    const ledger::WorkStake* staked = state.tables.stakes.find(node);
    const std::uint64_t beside = account->bonded - account->at_stake + (staked == nullptr ? 0 : staked->stake);
    // With less than the minimum nothing can be anchored at all.
    if (beside >= state.frame.parameters.minimum_bond)
      standing.free_bond = checked_subtract(beside, staked == nullptr ? 0 : staked->at_risk).value_or(0);
    standing.balance = account->balance;
  }
  return standing;
}

event::LedgerChanged changes_of(const ledger::State& state, const Touched& touched, const ledger::OpenedBlock& block,
                                const Interest& interest, std::uint64_t now_ms) {
  event::LedgerChanged changed = head_of(state, interest, now_ms);
  for (const Digest& key : touched.escrows) {
    const ledger::Escrow* escrow = state.tables.escrows.find(key);
    if (escrow != nullptr && concerns(interest, *escrow)) changed.escrows.push_back(*escrow);
  }
  std::set<Cid> commitments;
  for (const Digest& key : touched.works) {
    const ledger::Work* work = state.tables.works.find(key);
    if (work == nullptr || !concerns(interest, *work)) continue;
    changed.works.push_back(*work);
    commitments.insert(work->commitment);
  }
  for (const NodeId& node : touched.members) {
    if (std::optional<Standing> standing = standing_of(state, node)) changed.members.push_back(*standing);
  }
  for (const ledger::Opened& one : block.transactions()) {
    const auto* settlement = std::get_if<ledger::Settle>(&one->body);
    if (settlement != nullptr && one->attachments->receipt && commitments.contains(settlement->commitment))
      changed.receipts.push_back(one->attachments->receipt->envelope);
  }
  return changed;
}

event::LedgerChanged whole_of(const ledger::State& state, const Interest& interest, std::uint64_t now_ms) {
  event::LedgerChanged changed = head_of(state, interest, now_ms);
  changed.whole = true;
  state.tables.escrows.visit([&](const ledger::Escrow& one) {
    if (concerns(interest, one)) changed.escrows.push_back(one);
    return true;
  });
  state.tables.works.visit([&](const ledger::Work& one) {
    if (concerns(interest, one)) changed.works.push_back(one);
    return true;
  });
  state.tables.members.visit([&](const ledger::Member& one) {
    const std::optional<Standing> standing = standing_of(state, one.node);
    const bool is_rotated = standing->key != standing->node;  // Who has a seat is known by another key then.
    if (standing->works || standing->verifies || is_rotated || one.node == interest.self)
      changed.members.push_back(*standing);
    return true;
  });
  return changed;
}

event::LedgerChanged part_of(const ledger::State& state, const Cid& intent, const Interest& interest,
                             std::uint64_t now_ms) {
  event::LedgerChanged changed = head_of(state, interest, now_ms);
  if (const ledger::Escrow* escrow = state.tables.escrows.find(intent.digest())) changed.escrows.push_back(*escrow);
  state.tables.works.visit([&](const ledger::Work& one) {
    if (one.intent == intent) changed.works.push_back(one);
    return true;
  });
  return changed;
}

}  // namespace mesh::node
