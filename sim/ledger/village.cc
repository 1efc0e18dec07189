#include "sim/ledger/village.h"

#include <fmt/format.h>

namespace mesh::sim {

namespace {

constexpr std::uint64_t scale = 10'000;  ///< of credits: so much is paid that it makes reputation
constexpr std::uint64_t pace = 100;  ///< of time: blocks take a second, not a few milliseconds

}  // namespace

Village::Village(std::uint64_t seed, const ledger::Genesis& genesis, const Cid& federation,
                 std::vector<ledger::AccountId> villagers, std::map<PublicKey, Seed> keys)
    : random_(seed),
      model_(genesis),
      comparison_(model_, counts_),
      maker_(random_, model_, std::move(villagers), scale, pace),
      keys_(std::move(keys)),
      parent_(federation) {
  ledger::record_signer = [this, federation](std::string_view type, Bytes body, const PublicKey& key) {
    const auto known = keys_.find(key);
    if (known == keys_.end()) return Envelope{std::move(body), key, {}};
    return seal_bytes(type, std::move(body), federation, known->second, key);
  };
}

Village::~Village() { ledger::record_signer = {}; }

std::string Village::follow(const ledger::Block& block) {
  const ledger::BlockHeader& header = block.header;
  const std::set<ledger::Due> due = model_.all_due();
  const bool something_due = (!due.empty() && due.begin()->time_ms <= header.time_ms) || model_.is_draw_awaited();
  if (block.list.transactions.empty() && !something_due)
    return fmt::format("needless-block: at height {}", header.height);
  model_.begin_block(header.time_ms, header.proposer, header.beacon, parent_);
  parent_ = block.cid();
  for (const Bytes& envelope : block.list.transactions) {
    const Result<ledger::Transaction> transaction = ledger::decode(envelope);
    const std::string verdict = transaction ? model_.apply(*transaction) : transaction.error().message;
    if (verdict == "taken") continue;
    return fmt::format("model-differs: at height {} there is what the model refuses as {}", header.height, verdict);
  }
  return "";
}

std::uint64_t Village::sequence_of(const ledger::AccountId& account) const {
  const auto purse = model_.purses.find(account);
  return purse == model_.purses.end() ? 0 : purse->second.next;
}

std::optional<Seed> Village::seed_of(const ledger::AccountId& account) const {
  const auto purse = model_.purses.find(account);
  const auto known = keys_.find(purse == model_.purses.end() ? account : purse->second.key);
  return known == keys_.end() ? std::nullopt : std::optional(known->second);
}

Digest Village::link_of(const ledger::Ledger& ledger, const ledger::AccountId& validator) const {
  const ledger::BeaconChain* chain = ledger.state().tables.chains.find(validator);
  return chain == nullptr || chain->left == 0 ? Digest{} : maker_.link_before(chain->link);
}

}  // namespace mesh::sim
