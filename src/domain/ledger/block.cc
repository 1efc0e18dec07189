#include "domain/ledger/block.h"

namespace mesh::ledger {

namespace {

struct FullBlock {
  static constexpr std::string_view type = "full-block";
  static constexpr std::uint64_t version = 1;
  BlockHeader header;
  std::vector<Bytes> transactions;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("header", self.header);
    v("transactions", self.transactions);
  }
};

constexpr dagcbor::Limits block_limits{
    .max_bytes = max_full_block_bytes, .max_depth = 8, .max_items = 2 * max_block_transactions, .allow_floats = false};

Status check_bounds(const TransactionList& list) {
  if (list.transactions.size() > max_block_transactions) {
    return fail(ErrorCode::exhausted,
                "too-many-transactions: a block has at most 16384, not " + std::to_string(list.transactions.size()));
  }
  std::size_t bytes = 0;
  for (const Bytes& envelope : list.transactions) bytes += envelope.size();
  if (bytes > max_block_bytes) {
    return fail(ErrorCode::exhausted, "block-too-large: the transactions have " + std::to_string(bytes) +
                                          " bytes, more than the " + std::to_string(max_block_bytes) + " allowed");
  }
  return {};
}

Result<dagcbor::Value> read(ByteView bytes) {
  if (bytes.size() > max_full_block_bytes) {
    return fail(ErrorCode::exhausted, "block-too-large: it has " + std::to_string(bytes.size()) +
                                          " bytes, more than the " + std::to_string(max_full_block_bytes) + " allowed");
  }
  Result<dagcbor::Value> value = dagcbor::decode(bytes, block_limits);
  if (!value) return wrap("malformed", std::move(value.error()));
  return value;
}

Status check_list(const Block& block) {
  MESH_TRY(check_bounds(block.list));
  if (dagcbor::cid_of(record::encode(block.list)) != block.header.transactions)
    return fail(ErrorCode::invalid, "wrong-transactions: the header links to another list of transactions");
  return {};
}

}  // namespace

Bytes encode_block(const Block& block) { return record::encode(FullBlock{block.header, block.list.transactions}); }

Result<Block> decode_block(ByteView bytes) {
  MESH_LET(const dagcbor::Value value, read(bytes));
  FullBlock full;
  if (Status taken = record::from_value(value, full); !taken) return wrap("malformed", std::move(taken.error()));
  Block block{std::move(full.header), {std::move(full.transactions)}};
  MESH_TRY(check_list(block));
  return block;
}

Result<TransactionList> decode_list(ByteView bytes) {
  MESH_LET(const dagcbor::Value value, read(bytes));
  TransactionList list;
  if (Status taken = record::from_value(value, list); !taken) return wrap("malformed", std::move(taken.error()));
  MESH_TRY(check_bounds(list));
  return list;
}

Result<OpenedBlock> OpenedBlock::open(Block block, const Cid& federation) {
  MESH_TRY(check_list(block));
  std::vector<Opened> transactions;
  transactions.reserve(block.list.transactions.size());
  std::vector<Result<Opened>> opened = open_all(block.list.transactions, federation);
  for (std::size_t i = 0; i < opened.size(); ++i) {
    if (!opened[i]) return std::unexpected(about_transaction(i, std::move(opened[i].error())));
    transactions.push_back(std::move(*opened[i]));
  }
  return OpenedBlock(std::move(block), std::move(transactions));
}

Result<OpenedBlock> OpenedBlock::join(Block block, std::vector<Opened> transactions) {
  MESH_TRY(check_list(block));
  const bool same = std::ranges::equal(
      block.list.transactions, transactions, [](const Bytes& a, const Bytes& b) { return a == b; }, {},
      [](const Opened& one) -> const Bytes& { return one->envelope; });
  if (!same) return fail(ErrorCode::invalid, "wrong-transactions: what was opened are not the block's transactions");
  return OpenedBlock(std::move(block), std::move(transactions));
}

Error about_transaction(std::size_t index, Error error) {
  error.message += " (transaction " + std::to_string(index) + ")";
  return error;
}

}  // namespace mesh::ledger
