// Hash chains of nonces: one commitment (the tip) made before the award, one link revealed per round afterwards.
//
// link(round) = H^(length - round)(secret), so link(0) is the tip and H(link(r)) = link(r - 1). Whoever sees link(r)
// learns nothing of link(r + 1), which the next round will need. Bound: `length` from task::max_rounds.
#pragma once

#include "codec/hash.h"

namespace mesh::verification {

/// The link of `round`, 0 <= round <= length. Costs length - round hashes.
[[nodiscard]] Digest chain_link(const Digest& secret, std::uint32_t length, std::uint32_t round);

/// Whether `link` of `round` leads to `known`, the link of the earlier `known_round`. Costs the difference in hashes.
[[nodiscard]] bool chain_leads_to(const Digest& link, std::uint32_t round, const Digest& known,
                                  std::uint32_t known_round);

/// What counts for a member that withheld its link: fixed by its tip and the round, so that withholding chooses nothing
/// but to lose the seat.
[[nodiscard]] Digest withheld_link(const Digest& tip, std::uint32_t round);

}  // namespace mesh::verification
