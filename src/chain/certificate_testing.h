// For tests: certificates of people whose keys are known, as docs/design/protocols.md has them.
#pragma once

#include <algorithm>

#include "chain/wire.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::chain {

/// Precommits of these people.
[[nodiscard]] inline Bytes certify(const Cid& federation, Height height, const Digest& block,
                                   std::vector<std::uint64_t> people) {
  using ledger::person;
  std::ranges::sort(people, {}, [](std::uint64_t n) { return person(n).id; });
  Bytes vote = to_bytes(std::string_view("meshwork/1\0vote\0", 16));
  append(vote, federation.binary());
  append(vote, Bytes{0, 2});
  append(vote, big_endian(height));
  append(vote, Bytes{0, 0, 0, 0, 1});
  append(vote, block.view());
  Bytes certificate{1};
  append(certificate, big_endian(height));
  append(certificate, Bytes(4, 0));
  append(certificate, block.view());
  append(certificate, Bytes{0, static_cast<std::uint8_t>(people.size())});
  for (const std::uint64_t n : people) {
    append(certificate, person(n).id.view());
    append(certificate, sign(person(n).seed, vote).view());
  }
  return certificate;
}

}  // namespace mesh::chain
