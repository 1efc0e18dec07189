// Where the proof of a payment (domain/ledger/payment_check.h) meets consensus: a certificate is checked by the set of validators that
// the proof leads to.
#pragma once

#include "chain/join.h"
#include "domain/ledger/payment_check.h"

namespace mesh::chain {

/// For a ledger::PaymentCheck. Errors: those of consensus::verify_certificate.
[[nodiscard]] ledger::Certify certifier();

}  // namespace mesh::chain
