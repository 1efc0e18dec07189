// The bodies of POST /api/v1/ledger/transactions and /api/v1/ledger/rotation as values: read strictly, and refused by name before anything is signed.
//
// {"kind", the kind's own fields, "wait"?, "timeout_ms"?}. Amounts are micro-credits as decimal text; a JSON integer is taken up to 2^53,
// past which many writers of JSON have rounded. Whoever is named is named by did or PeerId.
//
// Errors (invalid): bad-kind, bad-amount, bad-account, bad-roles, bad-field, missing-field, unknown-field.
#pragma once

#include <functional>

#include "app/api/render.h"
#include "base/time.h"
#include "domain/ledger/transactions.h"

namespace mesh::app {

struct LedgerRequest {
  ledger::Body body;  ///< account and sequence are left for who signs it
  bool wait_final = true;  ///< else until it waits to be in a block
  milliseconds timeout{30'000};
};

/// Of another key for the node's account.
struct RotationRequest {
  bool wait_final = true;
  milliseconds timeout{30'000};
  bool at_once = false;  ///< also while jobs of this node run, which fail then
};

/// For which account a key signs.
using AccountOf = std::function<ledger::AccountId(const NodeId&)>;

/// How an answer is waited for, by the query of a POST whose body is a signed envelope, too.
inline constexpr std::uint64_t max_wait_ms = 120'000;

/// `own`: whom "self" names; `account_of`: whom a did or PeerId does, where it is a key that some account was given.
[[nodiscard]] Result<LedgerRequest> parse_ledger_request(ByteView body, const ledger::AccountId& own,
                                                         const AccountOf& account_of = {});
/// {"wait"?, "timeout_ms"?, "at_once"?}
[[nodiscard]] Result<RotationRequest> parse_rotation_request(ByteView body);
/// "final" or "waiting".
[[nodiscard]] Result<bool> parse_wait(std::string_view text);
/// A did, a PeerId, or "self". Errors: bad-account.
[[nodiscard]] Result<ledger::AccountId> parse_account(std::string_view text, const ledger::AccountId& own,
                                                      const AccountOf& account_of = {});

}  // namespace mesh::app
