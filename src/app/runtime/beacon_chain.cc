#include "app/runtime/beacon_chain.h"

namespace mesh::app {

namespace {
constexpr std::uint64_t max_chains = 256;
/// The ledger takes the next chain when so few links are left of the one before.
constexpr std::uint64_t renewed_at = 16;
}  // namespace

Digest BeaconChains::secret(std::uint64_t number) const {
  return derive_secret(seed_.view(), "beacon-chain", {big_endian(number)});
}

std::optional<std::uint64_t> BeaconChains::find(const ledger::BeaconChain& entry) {
  if (entry.left > beacon_chain_links || foreign_ == entry.link) return std::nullopt;
  const auto round = static_cast<std::uint32_t>(beacon_chain_links - entry.left);
  if (chain_ && chain_->link(round) == entry.link) return number_;
  for (std::uint64_t number = 0; number < max_chains; ++number) {
    if (verification::chain_link(secret(number), beacon_chain_links, round) != entry.link) continue;
    number_ = number;
    chain_.emplace(secret(number), beacon_chain_links);
    return number;
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
  std::uint64_t next = 0;
  if (entry != nullptr) {
    const auto number = find(*entry);
    // After another program's chain any will do, and is found again by its links.
    next = number ? *number + 1 : 0;
  }
  if (next >= max_chains) return std::nullopt;
  return ledger::CommitChain{.account = account,
                             .sequence = 0,
                             .tip = verification::chain_link(secret(next), beacon_chain_links, 0),
                             .length = beacon_chain_links};
}

}  // namespace mesh::app
