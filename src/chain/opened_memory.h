// A memory of transactions that were opened lately, so that one that comes again - from another peer, or in a block - is neither
// read nor checked once more.
//
// Whether an envelope opens depends on its bytes and the federation alone, so what is remembered stays true, and replicas of one
// federation that run in one thread may share it. It answers by the SHA-256 of the envelope.
//
// Bounds: 65,536 places in sets of four, each set by a part of the digest; the longest known of a full set makes room. Whoever
// grinds digests pushes others out of one set, and costs us what they would have cost without it. 32 MiB of envelopes: then it
// begins anew.
//
// Not thread-safe.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "codec/hash.h"
#include "domain/ledger/transactions.h"

namespace mesh::chain {

class OpenedMemory {
 public:
  static constexpr std::size_t ways = 4;
  static constexpr std::size_t sets = std::size_t{1} << 14;
  static constexpr std::size_t max_bytes = std::size_t{32} << 20;

  /// Null: it is not remembered. Good until the next remember().
  [[nodiscard]] const ledger::Opened* find(const Digest& envelope) const;
  void remember(const Digest& envelope, const ledger::Opened& opened);

 private:
  struct Place {
    Digest envelope;
    std::optional<ledger::Opened> opened;
  };
  using Set = std::array<Place, ways>;  ///< the latest first

  [[nodiscard]] static std::size_t set_of(const Digest& envelope) {
    return (std::size_t{envelope.view()[0]} << 8 | envelope.view()[1]) % sets;
  }

  std::vector<Set> sets_;  ///< none until there is something to remember
  std::size_t bytes_ = 0;
};

}  // namespace mesh::chain
