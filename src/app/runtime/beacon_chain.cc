#include "app/runtime/beacon_chain.h"

namespace mesh::app {

namespace {
constexpr std::uint64_t max_chains = 256;
/// The ledger takes the next chain when so few links are left of the one before.
constexpr std::uint64_t renewed_at = 16;
}  // namespace

Digest BeaconChains::secret(Name name) const {
  return derive_secret(seeds_[name.seed].view(), "beacon-chain", {big_endian(name.number)});
}

std::optional<BeaconChains::Name> BeaconChains::find(const ledger::BeaconChain& entry) {
  if (entry.left > beacon_chain_links || foreign_ == entry.link) return std::nullopt;
  const auto round = static_cast<std::uint32_t>(beacon_chain_links - entry.left);
  if (chain_ && chain_->link(round) == entry.link) return name_;
  for (Name name; name.number < max_chains; ++name.number) {
    for (name.seed = 0; name.seed < seeds_.size(); ++name.seed) {
      if (verification::chain_link(secret(name), beacon_chain_links, round) != entry.link) continue;
      name_ = name;
      chain_.emplace(secret(name), beacon_chain_links);
      return name;
    }
  }
  foreign_ = entry.link;
  return std::nullopt;
}

Digest BeaconChains::next_link(const ledger::Ledger& ledger, const ledger::AccountId& account) {
  const ledger::BeaconChain* entry = ledger.state().tables.chains.find(account);
  if (entry == nullptr || entry->left == 0 || !find(*entry)) return {};
  return chain_->link(static_cast<std::uint32_t>(beacon_chain_links - entry->left + 1));
}

std::optional<ledger::CommitChain> BeaconChains::due(const ledger::Ledger& ledger, const ledger::AccountId& account) {
  const ledger::BeaconChain* entry = ledger.state().tables.chains.find(account);
  if (entry != nullptr && entry->left > renewed_at) return std::nullopt;
  Name next;
  if (entry != nullptr) {
    const auto name = find(*entry);
    // After a former key's chain, or another program's, the first one will do, and is found again by its links.
    if (name && name->seed == 0) next.number = name->number + 1;
  }
  if (next.number >= max_chains) return std::nullopt;
  return ledger::CommitChain{.account = account,
                             .sequence = 0,
                             .tip = verification::chain_link(secret(next), beacon_chain_links, 0),
                             .length = beacon_chain_links};
}

}  // namespace mesh::app
