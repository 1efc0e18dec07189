// Hash chains of nonces: one commitment (the tip) made before the award, one link revealed per round afterwards.
//
// link(round) = H^(length - round)(secret), so link(0) is the tip and H(link(r)) = link(r - 1). Whoever sees link(r)
// learns nothing of link(r + 1), which the next round will need. Bound: `length` from task::max_rounds.
#pragma once

#include <vector>

#include "codec/hash.h"

namespace mesh::verification {

/// The link of `round`, 0 <= round <= length. Costs length - round hashes.
[[nodiscard]] Digest chain_link(const Digest& secret, std::uint32_t length, std::uint32_t round);

/// Whether `link` of `round` leads to `known`, the link of the earlier `known_round`. Costs the difference in hashes.
[[nodiscard]] bool chain_leads_to(const Digest& link, std::uint32_t round, const Digest& known,
                                  std::uint32_t known_round);

/// A chain of this node's own. The first link that is asked for costs `length` hashes, each later one at most 64.
class OwnChain {
 public:
  OwnChain(const Digest& secret, std::uint32_t length) : secret_(secret), length_(length) {}
  /// As chain_link.
  [[nodiscard]] Digest link(std::uint32_t round);

 private:
  Digest secret_;
  std::uint32_t length_;
  std::vector<Digest> every_64th_;  ///< from the secret down: H^0, H^64, H^128, ... of it
};

/// Checks links of somebody's chain against its tip. The latest that held is remembered, so that a check costs as many
/// hashes as the rounds differ.
class ChainChecker {
 public:
  explicit ChainChecker(const Digest& tip) : link_(tip) {}
  /// Whether `link` is the chain's link of `round`, and not the tip itself.
  [[nodiscard]] bool check(const Digest& link, std::uint32_t round);

 private:
  Digest link_;
  std::uint32_t round_ = 0;
};

/// What counts for a member that withheld its link: fixed by its tip and the round, so that withholding chooses nothing
/// but to lose the seat.
[[nodiscard]] Digest withheld_link(const Digest& tip, std::uint32_t round);

}  // namespace mesh::verification
