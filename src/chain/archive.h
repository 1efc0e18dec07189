// A chain in a file: a CAR v1 with all that it takes to check it (audit.h).
//
// Its blocks, in this order: the federation's charter, the genesis, then for each height from the first on the header, the list of its
// transactions and, as a raw block, the certificate. Its root is the last header; where there is no block, the charter. docs/design/protocols.md,
// "A chain in a file".
//
// Bounds: those of a block of the chain; one of them, and what was fed, is in memory. Errors (invalid, and what car::Reader says):
// not-a-chain (another order, or what is no record of its kind), wrong-transactions, cut-archive, wrong-root.
#pragma once

#include <deque>
#include <optional>

#include "chain/wire.h"
#include "codec/car.h"
#include "domain/ledger/ledger.h"

namespace mesh::chain {

/// What the file begins with. `head`: the name of the last block that comes, none where there is none.
[[nodiscard]] Bytes archive_head(const std::optional<Cid>& head, const identity::Charter& charter,
                                 const ledger::Genesis& genesis);
/// A block, ready to be appended. Errors: those of consensus::parts_of.
[[nodiscard]] Result<Bytes> archive_block(const FinalBlock& block);

class ArchiveReader {
 public:
  /// Takes more bytes. The error is final; what came before it can be had all the same.
  [[nodiscard]] Status feed(ByteView bytes);
  /// Whether it may end here.
  [[nodiscard]] Status finish() const;

  /// Once they are in.
  [[nodiscard]] const std::optional<identity::Charter>& charter() const { return charter_; }
  [[nodiscard]] const std::optional<ledger::Genesis>& genesis() const { return genesis_; }
  /// The next block, if it is in. Nothing is checked but that its parts are there.
  [[nodiscard]] std::optional<FinalBlock> next();

 private:
  [[nodiscard]] Status take(car::Block block);

  car::Reader reader_{max_block_bytes};
  Status status_{};
  std::optional<identity::Charter> charter_;
  std::optional<ledger::Genesis> genesis_;
  std::optional<Cid> last_;  ///< header, else charter
  std::optional<ledger::BlockHeader> header_;  ///< of the block that is not whole yet
  Bytes header_bytes_;
  std::optional<Bytes> list_;
  std::deque<FinalBlock> ready_;
};

}  // namespace mesh::chain
