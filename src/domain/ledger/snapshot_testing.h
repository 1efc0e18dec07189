// For the tests of snapshots: certificates that nobody signed, and a snapshot read as a whole.
#pragma once

#include "domain/ledger/ledger_testing.h"
#include "domain/ledger/snapshot.h"

namespace mesh::ledger {

/// Of a block: its height and name, as if all validators had signed them.
[[nodiscard]] inline Bytes certificate_of(const Block& block) {
  Bytes bytes = to_bytes(big_endian(block.header.height));
  append(bytes, block.cid().digest().view());
  return bytes;
}
[[nodiscard]] inline Certify certify_unsigned() {
  return [](const Cid& /*federation*/, const ValidatorSet& set, ByteView certificate) -> Result<Certification> {
    constexpr std::size_t number = 8;
    if (certificate.size() != number + Digest::size) return fail(ErrorCode::invalid, "not a certificate");
    Certification certification{.height = 0, .block = *Digest::from(certificate.subspan(number)), .signers = {}};
    for (const std::uint8_t byte : certificate.first(number)) certification.height = certification.height << 8 | byte;
    for (const Validator& one : set.validators) certification.signers.push_back(one.key);
    return certification;
  };
}

/// Of a federation that was founded on `genesis` with the name `town` (found_on).
[[nodiscard]] inline Result<Restored> read_snapshot(const Snapshot& snapshot, const Genesis& genesis) {
  const Ledger founded = found_on(genesis);
  MESH_LET(SnapshotReader reader, SnapshotReader::begin(founded.federation(), founded.state().frame.validators,
                                                        certify_unsigned(), snapshot.head));
  for (const Bytes& piece : snapshot.pieces) MESH_TRY(reader.feed(piece));
  return reader.finish();
}

}  // namespace mesh::ledger
