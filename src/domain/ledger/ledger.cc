#include "domain/ledger/ledger.h"

#include <algorithm>

#include "base/checked.h"
#include "base/planted.h"

namespace mesh::ledger {

namespace {

/// Looks a root up by the name of its field.
struct RootNamed {
  std::string_view table;
  const Digest* found = nullptr;
  void operator()(std::string_view name, const Digest& root) {
    if (name == table) found = &root;
  }
};

}  // namespace

Result<std::optional<Bytes>> check_entry(const Digest& state_root, std::string_view table, ByteView key,
                                         const EntryProof& proof) {
  if (sha256(proof.summary) != state_root)
    return fail(ErrorCode::invalid, "proof-of-another-root: the summary is not that of the state root");
  if (proof.table != table) return fail(ErrorCode::invalid, "proof-of-another-table: it is about another table");
  MESH_LET(const StateSummary summary, record::decode<StateSummary>(proof.summary));
  RootNamed root{table};
  StateSummary::Roots::fields(summary.roots, root);
  if (root.found == nullptr) return fail(ErrorCode::invalid, "proof-of-another-table: there is no such table");
  const Digest place = place_in(table, key);
  if (!proof.entry) {
    MESH_TRY(check_exclusion(*root.found, place, proof.proof));
    return std::optional<Bytes>();
  }
  MESH_TRY(check_inclusion(*root.found, place, sha256(*proof.entry), proof.proof));
  return proof.entry;
}

Result<Ledger> Ledger::found(const identity::Charter& charter, const Genesis& genesis, const Digest& seed) {
  MESH_LET(State state, ledger::found(charter, genesis));
  return Ledger(std::move(state), seed);
}

EntryProof Ledger::prove_account(const AccountId& id) const {
  EntryProof proof{.summary = record::encode(state_.summary()),
                   .table = std::string(Account::table),
                   .proof = state_.tables.accounts.prove(id)};
  if (const Account* found = account(id)) proof.entry = record::encode(found->record());
  return proof;
}

Status Ledger::check_proposer(const AccountId& proposer) const {
  const Frame& frame = state_.frame;
  if (frame.validators_at(frame.height + 1).find(proposer) == nullptr)
    return fail(ErrorCode::denied, "not-a-validator: the proposer does not validate at this height");
  return {};
}

Status Ledger::check_header(const BlockHeader& header, std::optional<std::uint64_t> now_ms) const {
  const Frame& frame = state_.frame;
  if (header.height != frame.height + 1) {
    return fail(ErrorCode::invalid, "wrong-height: the next block has height " + std::to_string(frame.height + 1) +
                                        ", not " + std::to_string(header.height));
  }
  if (header.parents != std::vector{frame.last_block})
    return fail(ErrorCode::invalid, "wrong-parent: the block does not follow the last one here");
  if (header.time_ms < frame.time_ms) {
    return fail(ErrorCode::invalid, "time-backwards: the block is of " + std::to_string(header.time_ms) +
                                        " ms, before its parent's " + std::to_string(frame.time_ms));
  }
  MESH_TRY(check_proposer(header.proposer));
  if (now_ms && checked_subtract(header.time_ms, *now_ms).value_or(0) > frame.parameters.max_time_ahead_ms) {
    return fail(ErrorCode::invalid, "time-ahead: the block is of " + std::to_string(header.time_ms) +
                                        " ms, too far ahead of " + std::to_string(*now_ms));
  }
  return {};
}

std::optional<std::uint64_t> Ledger::next_due() const {
  if (state_.due.empty()) return std::nullopt;
  return state_.due.begin()->time_ms;
}

bool Ledger::wants_empty_block(std::uint64_t time_ms) const {
  // What is due by the parent's time happens in this block, and what is due by its own in the next.
  const std::optional<std::uint64_t> due = next_due();
  // And draws of verifiers wait for a beacon.
  return (due && *due <= time_ms) || !state_.frame.undrawn.empty();
}

Result<Draft> Ledger::execute(const OpenedBlock& opened, std::optional<std::uint64_t> now_ms) const {
  const BlockHeader& header = opened.block().header;
  MESH_TRY(check_header(header, now_ms));
  if (opened.transactions().empty() && !wants_empty_block(header.time_ms))
    return fail(ErrorCode::invalid, "empty-block: there is no transaction in it, and nothing is due by its time");
  MESH_TRY(Execution::check_link(state_, header.proposer, header.beacon));
  Execution execution(state_, {.proposer = header.proposer, .time_ms = header.time_ms, .link = header.beacon}, seed_);
  for (std::size_t i = 0; i < opened.transactions().size(); ++i) {
    if (Status done = execution.apply(opened.transactions()[i]); !done)
      return std::unexpected(about_transaction(i, std::move(done.error())));
  }
  Draft draft = std::move(execution).finish();
  if (draft.state_root != header.state_root && !planted(Bug::state_root_not_compared)) {
    return fail(ErrorCode::invalid, "wrong-state-root: the block says " + header.state_root.hex() + ", it leads to " +
                                        draft.state_root.hex());
  }
  draft.block = opened.block().cid();
  return draft;
}

void Ledger::commit(Draft&& draft) {
  MESH_CHECK(draft.base == state_.frame.last_block, "ledger-draft-of-another-base");
  for_each_table(state_.tables, draft.patches, [](auto& table, auto& patch) { table.commit(std::move(patch)); });
  state_.frame = std::move(draft.frame);
  state_.frame.last_block = draft.block;
  for (const auto& [due, stands] : draft.due) {
    if (stands) {
      state_.due.insert(due);
    } else {
      state_.due.erase(due);
    }
  }
  state_.unbonding_count = draft.unbonding_count;
}

std::vector<Proposal::Refused> Ledger::refused_of(std::span<const Opened> offered, std::uint64_t time_ms) const {
  // Whoever will propose: what depends on its link is refused for now, and nothing for good.
  const AccountId& proposer = state_.frame.validators_at(state_.frame.height + 1).validators.front().account;
  Execution execution(
      state_, {.proposer = proposer, .time_ms = std::max(time_ms, state_.frame.time_ms), .link = Digest{}}, seed_);
  std::vector<Proposal::Refused> refused;
  for (std::size_t i = 0; i < offered.size(); ++i) {
    if (Status done = execution.apply(offered[i]); !done) refused.push_back({i, std::move(done.error())});
  }
  return refused;
}

Result<Proposal> Ledger::propose(std::span<const Opened> offered, const Proposer& proposer) const {
  MESH_TRY(check_proposer(proposer.account));
  MESH_TRY(Execution::check_link(state_, proposer.account, proposer.beacon));
  const std::uint64_t time_ms = std::max(proposer.time_ms, state_.frame.time_ms);
  Execution execution(state_, {.proposer = proposer.account, .time_ms = time_ms, .link = proposer.beacon}, seed_);
  Block block;
  std::vector<Opened> taken;
  std::vector<Proposal::Refused> refused;
  std::size_t bytes = 0;
  std::size_t considered = 0;
  for (; considered < offered.size() && taken.size() < max_block_transactions; ++considered) {
    const Opened& one = offered[considered];
    if (bytes + one->envelope.size() > max_block_bytes) break;
    if (Status done = execution.apply(one); !done) {
      refused.push_back({considered, std::move(done.error())});
      continue;
    }
    bytes += one->envelope.size();
    block.list.transactions.push_back(one->envelope);
    taken.push_back(one);
  }
  Draft draft = std::move(execution).finish();
  block.header = {.height = draft.height,
                  .parents = {state_.frame.last_block},
                  .time_ms = time_ms,
                  .proposer = proposer.account,
                  .transactions = dagcbor::cid_of(record::encode(block.list)),
                  .state_root = draft.state_root,
                  .beacon = proposer.beacon};
  draft.block = block.cid();
  const bool of_use = !taken.empty() || wants_empty_block(time_ms);
  return Proposal{OpenedBlock(std::move(block), std::move(taken)), std::move(draft), std::move(refused), considered,
                  of_use};
}

market::RecentPrices recent_prices(const State& state) {
  const policy::RewardSettings& rewards = active_policy().reward_settings;
  struct Seen {
    std::uint64_t height = 0;
    Digest place;  ///< so that all nodes have them in one order
    std::uint64_t cost = 0;
    std::uint64_t fuel = 0;
    auto operator<=>(const Seen&) const = default;
  };
  std::vector<Seen> seen;
  state.tables.works.visit([&](const Work& work) {
    const Escrow* escrow = state.tables.escrows.find(work.intent.digest());
    if (escrow == nullptr) return true;
    const std::uint64_t cost = std::min(work.cost, market::workers_part(escrow->fee, rewards));
    seen.push_back({work.anchored_height, work.key(), cost, escrow->fuel});
    return true;
  });
  std::ranges::sort(seen);
  market::RecentPrices prices;
  for (const Seen& one : seen) prices.saw(one.cost, one.fuel);
  return prices;
}

}  // namespace mesh::ledger
