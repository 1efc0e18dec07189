#include "chain/join.h"

namespace mesh::chain {

// The frames of the two differ by a few bytes: a full-block is a record around header and list, this a length before them.
static_assert(ledger::max_full_block_bytes + 1024 <= consensus::max_block_bytes);

consensus::Validators validators_of(const ledger::ValidatorSet& set) {
  consensus::Validators validators;
  validators.reserve(set.validators.size());
  for (const ledger::Validator& one : set.validators) validators.push_back({one.key, one.power});
  std::ranges::sort(validators, {}, &consensus::Validator::key);
  return validators;
}

const ledger::Validator* seat_of(const ledger::ValidatorSet& set, const PublicKey& key) {
  const auto found = std::ranges::find(set.validators, key, &ledger::Validator::key);
  return found == set.validators.end() ? nullptr : &*found;
}

Bytes block_bytes(const ledger::Block& block) {
  return consensus::frame(record::encode(block.header), record::encode(block.list));
}

Result<ledger::Block> read_block(ByteView bytes) {
  MESH_LET(const consensus::Parts parts, consensus::parts_of(bytes));
  Result<ledger::BlockHeader> header = record::decode<ledger::BlockHeader>(parts.header);
  if (!header) return wrap("malformed", std::move(header.error()));
  // Before the list is read: what it would be refused for may be the fault of who passed it on.
  if (dagcbor::cid_of(parts.rest) != header->transactions)
    return fail(ErrorCode::invalid, "wrong-transactions: the header links to another list of transactions");
  MESH_LET(ledger::TransactionList list, ledger::decode_list(parts.rest));
  ledger::Block block{std::move(*header), std::move(list)};
  if (block.cid().digest() != parts.id)
    return fail(ErrorCode::invalid, "malformed: the header is not written as it is read");
  return block;
}

std::optional<consensus::Certified> read_certificate(ByteView certificate) {
  constexpr std::size_t head = 47;
  constexpr std::size_t each = PublicKey::size + Signature::size;
  constexpr std::uint8_t version = 1;
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : certificate.subspan(at, bytes)) value = value << 8 | byte;
    return value;
  };
  if (certificate.size() < head || certificate[0] != version) return std::nullopt;
  const std::size_t count = number(45, 2);
  if (certificate.size() != head + count * each) return std::nullopt;
  consensus::Certified certified{.height = number(1, 8),
                                 .round = static_cast<consensus::Round>(number(9, 4)),
                                 .block = *Digest::from(certificate.subspan(13, Digest::size)),
                                 .signers = {}};
  for (std::size_t i = 0; i < count; ++i)
    certified.signers.push_back(*PublicKey::from(certificate.subspan(head + i * each, PublicKey::size)));
  return certified;
}

std::optional<ledger::Evidence> evidence_of(ByteView shown) {
  // Kind, key, and twice body and signature; the ledger has key, signature and body of each.
  constexpr std::uint8_t votes = 1;
  constexpr std::uint8_t proposals = 2;
  constexpr std::size_t head = 1 + PublicKey::size;
  if (shown.size() < head || (shown[0] != votes && shown[0] != proposals)) return std::nullopt;
  const std::size_t body = shown[0] == votes ? 46 : 48;
  const std::size_t each = body + Signature::size;
  if (shown.size() != head + 2 * each) return std::nullopt;
  const auto said = [&](std::size_t at) {
    Bytes bytes = to_bytes(shown.subspan(1, PublicKey::size));
    append(bytes, shown.subspan(at + body, Signature::size));
    append(bytes, shown.subspan(at, body));
    return bytes;
  };
  return ledger::Evidence{.kind = shown[0] == votes ? ledger::EvidenceKind::votes : ledger::EvidenceKind::proposals,
                          .first = said(head),
                          .second = said(head + each)};
}

std::optional<PublicKey> signer_of(ByteView message) {
  constexpr std::uint8_t vote = 1;
  constexpr std::uint8_t proposal = 2;
  if (message.size() < 1 + PublicKey::size || (message[0] != vote && message[0] != proposal)) return std::nullopt;
  return PublicKey::from(message.subspan(1, PublicKey::size));
}

}  // namespace mesh::chain
