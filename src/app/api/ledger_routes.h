// The routes below /api/v1/ledger: a federation's ledger to look at, and transactions of this node's account to make.
//
// What is shown of the state is as the replica has it, which can be ahead of what is durable here by a block: each answer says how far
// both are. Blocks and histories are what is durable. Where the node's federation has no ledger all of them are 404 `no-ledger`.
//
// Bounds: 1,000 members, 100 works, 100 blocks and 1,000 transactions a page; a page of blocks or of a history is of 1,024 blocks or
// 64 MiB of them that were looked at, however few were found, and says where to go on; a transaction is waited for 120 s at most, and
// 10 s more where it has no name by then; 16 batches of 1,024 transactions and 1 MiB are under way.
// Errors: those of ledger_request.h and of the ledger, with their stable names as `code`.
#pragma once

#include <memory>

#include "app/api/call.h"
#include "app/api/ledger_request.h"

namespace mesh::app {

class LedgerRoutes : public std::enable_shared_from_this<LedgerRoutes> {
 public:
  /// `backend` outlives it. On the runtime's thread, like all its functions.
  explicit LedgerRoutes(LedgerBackend& backend) : backend_(backend) {}

  void get_ledger(Call call);
  void get_account(Call call);
  void get_history(Call call);
  void get_members(Call call);
  void get_blocks(Call call);
  void get_block(Call call);
  void get_escrow(Call call);
  void get_works(Call call);
  void get_price(Call call);
  void post_transaction(Call call);
  void post_rotation(Call call);
  void post_batch(Call call);

 private:
  /// Null: there is none, and the call is answered.
  [[nodiscard]] ChainHost* host_of(const Call& call) const;
  /// Answers with what `look` makes of the replica, on its thread.
  template <class Look>
  void answer_with(ChainHost& host, Call call, Look look);

  void rotate(Call call, const RotationRequest& request, const Seed& next);

  LedgerBackend& backend_;
  std::size_t batches_ = 0;  ///< under way
};

}  // namespace mesh::app
