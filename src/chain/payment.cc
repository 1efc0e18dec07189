#include "chain/payment.h"

namespace mesh::chain {

ledger::Certify certifier() {
  return [](const Cid& federation, const ledger::ValidatorSet& set,
            ByteView certificate) -> Result<ledger::Certification> {
    MESH_LET(consensus::Certified certified,
             consensus::verify_certificate(federation, validators_of(set), certificate));
    return ledger::Certification{
        .height = certified.height, .block = certified.block, .signers = std::move(certified.signers)};
  };
}

}  // namespace mesh::chain
