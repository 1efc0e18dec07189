#include "chain/archive.h"

namespace mesh::chain {

namespace {

std::unexpected<Error> not_a_chain(const car::Block& block, std::string_view expected) {
  return fail(ErrorCode::invalid,
              "not-a-chain: where " + block.cid.text() + " stands, there should be " + std::string(expected));
}

template <class T>
Result<T> record_of(const car::Block& block, std::string_view what) {
  if (block.cid.codec() != Multicodec::dag_cbor) return not_a_chain(block, what);
  Result<T> record = record::decode<T>(block.bytes);
  if (!record)
    return fail(ErrorCode::invalid, not_a_chain(block, what).error().message + ": " + record.error().message);
  return record;
}

}  // namespace

Bytes archive_head(const std::optional<Cid>& head, const identity::Charter& charter, const ledger::Genesis& genesis) {
  const Bytes charter_bytes = record::encode(charter);
  const Bytes genesis_bytes = record::encode(genesis);
  const Cid federation = dagcbor::cid_of(charter_bytes);
  const Cid root = head.value_or(federation);
  Bytes out = car::header({&root, 1});
  append(out, car::section(federation, charter_bytes));
  append(out, car::section(dagcbor::cid_of(genesis_bytes), genesis_bytes));
  return out;
}

Result<Bytes> archive_block(const FinalBlock& block) {
  MESH_LET(const consensus::Parts parts, consensus::parts_of(block.block));
  Bytes out = car::section(Cid(Multicodec::dag_cbor, parts.id), parts.header, max_block_bytes);
  append(out, car::section(dagcbor::cid_of(parts.rest), parts.rest, max_block_bytes));
  append(out, car::section(Cid::of(Multicodec::raw, block.certificate), block.certificate, max_block_bytes));
  return out;
}

Status ArchiveReader::feed(ByteView bytes) {
  if (!status_) return status_;
  status_ = reader_.feed(bytes);
  // What came before what is wrong is good.
  while (std::optional<car::Block> block = reader_.next()) {
    if (Status taken = take(std::move(*block)); !taken) {
      status_ = std::move(taken);
      break;
    }
  }
  return status_;
}

Status ArchiveReader::take(car::Block block) {
  if (!charter_) {
    MESH_LET(charter_, record_of<identity::Charter>(block, "the federation's charter"));
    last_ = block.cid;
    return {};
  }
  if (!genesis_) {
    MESH_LET(genesis_, record_of<ledger::Genesis>(block, "the genesis"));
    return {};
  }
  if (!header_) {
    MESH_LET(header_, record_of<ledger::BlockHeader>(block, "the header of a block"));
    last_ = block.cid;
    header_bytes_ = std::move(block.bytes);
    return {};
  }
  if (!list_) {
    if (block.cid != header_->transactions) {
      return fail(ErrorCode::invalid, "wrong-transactions: after the header of height " +
                                          std::to_string(header_->height) + " comes " + block.cid.text() +
                                          ", which is not the list of its transactions");
    }
    list_ = std::move(block.bytes);
    return {};
  }
  if (block.cid.codec() != Multicodec::raw || block.bytes.size() > max_certificate_bytes)
    return not_a_chain(block, "the certificate of height " + std::to_string(header_->height));
  ready_.push_back({.height = header_->height,
                    .certificate = std::move(block.bytes),
                    .block = consensus::frame(header_bytes_, *list_)});
  header_.reset();
  list_.reset();
  return {};
}

Status ArchiveReader::finish() const {
  MESH_TRY(status_);
  if (!reader_.at_boundary() || !genesis_ || header_) {
    return fail(ErrorCode::invalid, "cut-archive: the file ends inside " +
                                        (header_ ? "the block of height " + std::to_string(header_->height)
                                                 : std::string("what a chain begins with, or a block")));
  }
  if (reader_.roots() != std::vector{*last_}) {
    return fail(ErrorCode::invalid, "wrong-root: the file says that it ends with " + reader_.roots().front().text() +
                                        ", and it ends with " + last_->text());
  }
  return {};
}

std::optional<FinalBlock> ArchiveReader::next() {
  if (ready_.empty()) return std::nullopt;
  FinalBlock block = std::move(ready_.front());
  ready_.pop_front();
  return block;
}

}  // namespace mesh::chain
