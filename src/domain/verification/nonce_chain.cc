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

Digest OwnChain::link(std::uint32_t round) {
  MESH_CHECK(round <= length_, "chain-round-past-length");
  constexpr std::uint32_t step = 64;
  if (every_64th_.empty()) {
    Digest link = secret_;
    for (std::uint32_t i = 0; i <= length_; ++i) {
      if (i % step == 0) every_64th_.push_back(link);
      link = sha256(link.view());
    }
  }
  const std::uint32_t hashes = length_ - round;
  Digest link = every_64th_[hashes / step];
  for (std::uint32_t i = 0; i < hashes % step; ++i) link = sha256(link.view());
  return link;
}

bool ChainChecker::check(const Digest& link, std::uint32_t round) {
  if (round < 1) return false;
  if (round <= round_) return chain_leads_to(link_, round_, link, round);
  if (!chain_leads_to(link, round, link_, round_)) return false;
  link_ = link;
  round_ = round;
  return true;
}

Digest withheld_link(const Digest& tip, std::uint32_t round) {
  return tagged_hash("meshwork/1/withheld", {tip.view(), big_endian(round)});
}

}  // namespace mesh::verification
