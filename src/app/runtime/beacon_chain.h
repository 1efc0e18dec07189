// The hash chains by which this node's validator takes part in the ledger's beacon (docs/design/protocols.md, "Paid work").
//
// They follow from the node's key, one after the other, so nothing of them is stored: which one counts, and how far it was shown, is in the
// ledger. A chain goes on when the key is rotated, so those of former keys are known, too; the next one is of the present key.
// Bound: 256 chains of 65,536 links of each key are looked through, once after each start. Where the ledger has a chain that is
// none of these (of another program with this key, or of a key that is not here any more) no link is known, and the beacon is left out.
#pragma once

#include <optional>
#include <vector>

#include "domain/ledger/ledger.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::app {

inline constexpr std::uint32_t beacon_chain_links = std::uint32_t{1} << 16;

class BeaconChains {
 public:
  /// The first of these keys is the present one.
  explicit BeaconChains(std::vector<Seed> seeds) : seeds_(std::move(seeds)) {}

  /// The next link of the chain that the ledger has of this account; zeros where it has none or another one.
  [[nodiscard]] Digest next_link(const ledger::Ledger& ledger, const ledger::AccountId& account);
  /// The chain to be committed to now; none while the ledger's has links enough.
  [[nodiscard]] std::optional<ledger::CommitChain> due(const ledger::Ledger& ledger, const ledger::AccountId& account);

 private:
  /// A chain: the how-manieth of which key.
  struct Name {
    std::size_t seed = 0;
    std::uint64_t number = 0;
  };
  [[nodiscard]] Digest secret(Name name) const;
  /// Which chain the entry is of, with its links at hand; none: it is none of these.
  [[nodiscard]] std::optional<Name> find(const ledger::BeaconChain& entry);

  std::vector<Seed> seeds_;
  Name name_;  ///< of the chain in use
  std::optional<verification::OwnChain> chain_;
  std::optional<Digest> foreign_;  ///< a link that is on none of the chains
};

}  // namespace mesh::app
