// Blocks: what validators agree on, one after the other.
//
// A block is named by the CID of its header, which links to the list of its transactions, so that a light client that checks
// a balance needs the header alone and not 16,384 transactions. Outside a chain's own messages the two travel together as one
// `full-block`.
//
// Bounds: 16,384 transactions, and 4 MiB for the whole message, which is what consensus carries. A larger one is refused by its
// size, before anything of it is read.
#pragma once

#include "domain/ledger/transactions.h"

namespace mesh::ledger {

inline constexpr std::size_t max_block_transactions = std::size_t{1} << 14;
inline constexpr std::size_t max_full_block_bytes = std::size_t{4} << 20;
/// Of all transactions together: what the lengths before them and the header leave of a full-block.
inline constexpr std::size_t max_block_bytes = max_full_block_bytes - 5 * max_block_transactions - 1024;

struct BlockHeader {
  static constexpr std::string_view type = "block";
  static constexpr std::uint64_t version = 1;
  std::uint64_t height = 0;  ///< from 1
  std::vector<Cid> parents;  ///< the block before; the charter where this is the first
  std::uint64_t time_ms = 0;  ///< milliseconds since 1970, the proposer's; never before the parent's
  AccountId proposer;  ///< a validator of this height
  Cid transactions;  ///< of the TransactionList
  Digest state_root;  ///< after this block
  Digest beacon;  ///< the next link of the proposer's hash chain, or zeros where it has none
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("height", self.height);
    v("parents", self.parents);
    v("time_ms", self.time_ms);
    v("proposer", self.proposer);
    v("transactions", self.transactions);
    v("state_root", self.state_root);
    v("beacon", self.beacon);
  }
  bool operator==(const BlockHeader&) const = default;
};

struct TransactionList {
  static constexpr std::string_view type = "transaction-list";
  static constexpr std::uint64_t version = 1;
  std::vector<Bytes> transactions;  ///< envelopes
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("transactions", self.transactions);
  }
  bool operator==(const TransactionList&) const = default;
};

struct Block {
  BlockHeader header;
  TransactionList list;
  /// The block's name.
  [[nodiscard]] Cid cid() const { return dagcbor::cid_of(record::encode(header)); }
  bool operator==(const Block&) const = default;
};

/// What one message carries.
[[nodiscard]] Bytes encode_block(const Block& block);
/// Reads it strictly, by its own bounds: block-too-large, too-many-transactions, malformed, or wrong-transactions where the
/// header links to another list.
[[nodiscard]] Result<Block> decode_block(ByteView bytes);

/// Reads a list of transactions by itself, which may be larger than other records: by the bounds of a block.
[[nodiscard]] Result<TransactionList> decode_list(ByteView bytes);

/// A block with its transactions opened.
class OpenedBlock {
 public:
  /// Reads the transactions and checks all signatures, here and now. The error names the first that is refused.
  [[nodiscard]] static Result<OpenedBlock> open(Block block, const Cid& federation);
  /// For who had them opened elsewhere (on other threads, when they came in): they are compared with the block's, byte by
  /// byte, and refused as wrong-transactions where they differ.
  [[nodiscard]] static Result<OpenedBlock> join(Block block, std::vector<Opened> transactions);

  [[nodiscard]] const Block& block() const { return block_; }
  [[nodiscard]] std::span<const Opened> transactions() const { return transactions_; }

 private:
  friend class Ledger;  // Which makes blocks of transactions that it has.
  OpenedBlock(Block block, std::vector<Opened> transactions)
      : block_(std::move(block)), transactions_(std::move(transactions)) {}
  Block block_;
  std::vector<Opened> transactions_;
};

/// The error with the transaction it is about at the end, so that the stable name stays in front.
[[nodiscard]] Error about_transaction(std::size_t index, Error error);

}  // namespace mesh::ledger
