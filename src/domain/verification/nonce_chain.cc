#include "domain/verification/nonce_chain.h"

#include "base/check.h"

namespace mesh::verification {

Digest chain_link(const Digest& secret, std::uint32_t length, std::uint32_t round) {
  MESH_CHECK(round <= length, "chain-round-past-length");
  Digest link = secret;
  for (std::uint32_t i = round; i < length; ++i) link = sha256(link.view());
  return link;
}

bool chain_leads_to(const Digest& link, std::uint32_t round, const Digest& known, std::uint32_t known_round) {
  if (round < known_round) return false;
  Digest current = link;
  for (std::uint32_t i = known_round; i < round; ++i) current = sha256(current.view());
  return current == known;
}

Digest withheld_link(const Digest& tip, std::uint32_t round) {
  return tagged_hash("meshwork/1/withheld", {tip.view(), big_endian(round)});
}

}  // namespace mesh::verification
