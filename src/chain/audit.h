// Checks a chain from its beginning, block by block, with nothing but the federation's charter and genesis: as if everybody who made
// it had lied. Neither a node nor a network is needed, nor anybody's word.
//
// Of each block is checked: that it follows on the one before, that more than two thirds of the power of its height's validators
// certified it, all signatures of its transactions, each transaction by the rules of the ledger, the state root, and that no credits came or went
// but by a grant. Reading and signatures, which are dear, need nothing of the blocks before: read() may run on any thread, for many
// blocks at once.
//
// A chain that begins with a snapshot (domain/ledger/snapshot.h) is checked from that on: the changes of the validators lead from the founding
// to the set that certified it. What was done in the blocks before is then those validators' word.
//
// Bounds: those of the ledger and of blocks. What is wrong begins with a stable name: those of blocks and transactions
// (ledger/block.h, docs/design/protocols.md) and of certificates (consensus.h, after "certificate: "), and missing-block, repeated-block,
// wrong-height, wrong-parent, wrong-certificate, not-conserved. After the first error nothing more is taken.
#pragma once

#include <functional>
#include <optional>

#include "chain/join.h"
#include "chain/wire.h"

namespace mesh::chain {

/// A block that was read, with its transactions opened.
struct ReadBlock {
  Height height = 0;  ///< that it is said to be of
  Bytes certificate;
  std::optional<ledger::Block> block;  ///< where it could be read
  Result<std::vector<ledger::Opened>> transactions;  ///< else why it, or one of them, is refused
};

/// Adds up every account, escrow and stake, and compares with the totals, and these with what the genesis began with: not-conserved.
[[nodiscard]] Status check_conserved(const ledger::State& state, std::uint64_t begun_with);

class Audit {
 public:
  /// Errors: those of a genesis that does not fit, or that the charter does not name.
  [[nodiscard]] static Result<Audit> begin(const identity::Charter& charter, const ledger::Genesis& genesis);
  /// Reads the parts of a snapshot: 0 is its head, and n the n-th piece.
  using ReadPart = std::function<Result<Bytes>(std::uint64_t part)>;
  /// From a snapshot on. Errors: as above, of `read`, and of a snapshot that does not check.
  [[nodiscard]] static Result<Audit> begin_at(const identity::Charter& charter, const ledger::Genesis& genesis,
                                              const ReadPart& read);

  /// The part that needs nothing but the block: its form, and all signatures of its transactions. Any thread.
  [[nodiscard]] static ReadBlock read(const Cid& federation, FinalBlock block);

  /// Takes the next block. The error is about this one, and final.
  [[nodiscard]] Status add(ReadBlock block);

  /// check_conserved of the state as it is now, for the end: every entry is looked at.
  [[nodiscard]] Status count() const { return check_conserved(ledger_.state(), begun_with_); }

  [[nodiscard]] const ledger::Ledger& ledger() const { return ledger_; }
  [[nodiscard]] Height height() const { return ledger_.height(); }
  [[nodiscard]] std::uint64_t transactions() const { return transactions_; }
  [[nodiscard]] const std::optional<Error>& failed() const { return failed_; }

 private:
  explicit Audit(ledger::Ledger founded)
      : ledger_(std::move(founded)), begun_with_(ledger_.state().frame.totals.supply) {}
  [[nodiscard]] Status take(ReadBlock&& block);

  ledger::Ledger ledger_;
  std::uint64_t begun_with_;  ///< credits
  std::uint64_t transactions_ = 0;
  std::optional<Error> failed_;
};

}  // namespace mesh::chain
