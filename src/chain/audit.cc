#include "chain/audit.h"

#include "base/checked.h"
#include "chain/payment.h"

namespace mesh::chain {

namespace {

/// The sum, or what it was once nothing fits any more.
void add_to(std::optional<std::uint64_t>& sum, std::uint64_t amount) {
  if (sum) sum = checked_add(*sum, amount);
}

std::unexpected<Error> not_conserved(const std::string& what) {
  return fail(ErrorCode::invalid, "not-conserved: " + what);
}

Status check_sum(const std::string& what, const std::optional<std::uint64_t>& sum, std::uint64_t total) {
  if (sum == total) return {};
  return not_conserved(what + " add up to " + (sum ? std::to_string(*sum) : "more than 2^64-1") +
                       " micro-credits, and the total says " + std::to_string(total));
}

Status check_totals(const ledger::Totals& totals, std::uint64_t begun_with) {
  if (!totals.are_conserved()) return not_conserved("the parts of the supply do not add up to it");
  return check_sum("what the genesis began with and all grants since", checked_add(begun_with, totals.granted),
                   totals.supply);
}

}  // namespace

Result<Audit> Audit::begin(const identity::Charter& charter, const ledger::Genesis& genesis) {
  // The blocks are final, so nobody can choose keys by what is found slowly here.
  MESH_LET(ledger::Ledger ledger, ledger::Ledger::found(charter, genesis, Digest{}));
  return Audit(std::move(ledger));
}

Result<Audit> Audit::begin_at(const identity::Charter& charter, const ledger::Genesis& genesis, const ReadPart& read) {
  MESH_LET(Audit audit, begin(charter, genesis));
  MESH_LET(const Bytes head, read(0));
  MESH_LET(ledger::SnapshotReader reader,
           ledger::SnapshotReader::begin(audit.ledger_.federation(), audit.ledger_.state().frame.validators,
                                         certifier(), head));
  while (reader.next() < reader.pieces()) {
    MESH_LET(const Bytes piece, read(reader.next() + 1));
    MESH_TRY(reader.feed(piece));
  }
  MESH_LET(ledger::Restored restored, reader.finish());
  audit.ledger_ = ledger::Ledger::restored(std::move(restored.state), Digest{});
  MESH_TRY(check_totals(audit.ledger_.state().frame.totals, audit.begun_with_));
  return audit;
}

ReadBlock Audit::read(const Cid& federation, FinalBlock block) {
  ReadBlock read{.height = block.height, .certificate = std::move(block.certificate), .block = {}, .transactions = {}};
  Result<ledger::Block> parsed = read_block(block.block);
  if (!parsed) {
    read.transactions = std::unexpected(std::move(parsed.error()));
    return read;
  }
  read.block = std::move(*parsed);
  std::vector<Result<ledger::Opened>> opened = ledger::open_all(read.block->list.transactions, federation);
  read.transactions->reserve(opened.size());
  for (std::size_t i = 0; i < opened.size(); ++i) {
    if (!opened[i]) {
      read.transactions = std::unexpected(ledger::about_transaction(i, std::move(opened[i].error())));
      return read;
    }
    read.transactions->push_back(std::move(*opened[i]));
  }
  return read;
}

Status Audit::add(ReadBlock block) {
  if (failed_) return std::unexpected(*failed_);
  Status taken = take(std::move(block));
  if (!taken) failed_ = taken.error();
  return taken;
}

Status Audit::take(ReadBlock&& read) {
  const Height next = height() + 1;
  if (read.height != next) {
    return fail(ErrorCode::invalid, (read.height > next ? "missing-block: " : "repeated-block: ") +
                                        ("what comes next is the block of height " + std::to_string(next) +
                                         ", not of " + std::to_string(read.height)));
  }
  if (!read.block) return std::unexpected(std::move(read.transactions.error()));
  const ledger::BlockHeader& header = read.block->header;
  if (header.height != next) {
    return fail(ErrorCode::invalid,
                "wrong-height: its header says that it is of height " + std::to_string(header.height));
  }
  const ledger::Frame& frame = ledger_.state().frame;
  if (header.parents != std::vector{frame.last_block}) {
    const std::string parent = header.parents.empty() ? "no block" : header.parents.front().text();
    return fail(ErrorCode::invalid, "wrong-parent: it follows on " + parent + ", and not on " +
                                        frame.last_block.text() +
                                        (next == 1 ? ", the charter of this federation" : ""));
  }
  const Cid name = read.block->cid();
  Result<consensus::Certified> certified =
      consensus::verify_certificate(ledger_.federation(), validators_of(frame.validators_at(next)), read.certificate);
  if (!certified) return wrap("certificate", std::move(certified.error()));
  if (certified->height != next || certified->block != name.digest()) {
    return fail(ErrorCode::invalid, "wrong-certificate: it is of the block " +
                                        Cid(Multicodec::dag_cbor, certified->block).text() + " of height " +
                                        std::to_string(certified->height) + ", and this one is " + name.text());
  }
  if (!read.transactions) return std::unexpected(std::move(read.transactions.error()));
  const std::size_t count = read.transactions->size();
  MESH_LET(const ledger::OpenedBlock block,
           ledger::OpenedBlock::join(std::move(*read.block), std::move(*read.transactions)));
  MESH_LET(ledger::Draft draft, ledger_.execute(block, std::nullopt));
  ledger_.commit(std::move(draft));
  transactions_ += count;
  return check_totals(ledger_.state().frame.totals, begun_with_);
}

Status check_conserved(const ledger::State& state, std::uint64_t begun_with) {
  std::optional<std::uint64_t> balances = 0;
  std::optional<std::uint64_t> bonded = 0;
  std::optional<std::uint64_t> unbonding = 0;
  std::optional<std::uint64_t> escrowed = 0;
  state.tables.accounts.visit([&](const ledger::Account& account) {
    add_to(balances, account.balance);
    add_to(bonded, account.bonded);
    for (const ledger::Unbonding& one : account.unbonding()) add_to(unbonding, one.amount);
    return true;
  });
  state.tables.escrows.visit([&](const ledger::Escrow& escrow) {
    add_to(escrowed, escrow.held);
    return true;
  });
  state.tables.works.visit([&](const ledger::Work& work) {
    add_to(escrowed, work.dispute_stake);
    return true;
  });
  const ledger::Totals& totals = state.frame.totals;
  MESH_TRY(check_sum("the balances", balances, totals.balances));
  MESH_TRY(check_sum("the bonds", bonded, totals.bonded));
  MESH_TRY(check_sum("withdrawals on their way", unbonding, totals.unbonding));
  MESH_TRY(check_sum("escrows and stakes of disputes", escrowed, totals.escrowed));
  return check_totals(totals, begun_with);
}

}  // namespace mesh::chain
