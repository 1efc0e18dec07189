// What the worker and the verifiers of a work show, held against what they had committed to, and written into the work.
//
// The ledger does it when a settlement is in a block; who takes part can do it as soon as he is told, and so knows before the
// block what it will say. Whether it is time to reveal is not looked at here.
//
// Pure. Errors: receipt-of-another, bad-receipt, over-fuel; not-revealed, not-committed, bad-verification.
#pragma once

#include "domain/ledger/escrow.h"

namespace mesh::ledger {

/// What of a task says whether a receipt is right: how many shards it has, and the fuel that was bought for each.
struct Bought {
  std::uint32_t shards = 0;
  std::uint64_t fuel = 0;
};

[[nodiscard]] Status reveal_work(Work& work, const Bought& bought, const Signed<receipt::ExecutionReceipt>& receipt);
/// False: it was there before.
[[nodiscard]] Result<bool> reveal_answer(Work& work, const Bought& bought,
                                         const Signed<receipt::VerificationReceipt>& verification);

}  // namespace mesh::ledger
