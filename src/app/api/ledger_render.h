// What people and programs see of a federation's ledger, as JSON: for the HTTP API and, through it, for the command line. The schemas
// of the same things are in schemas.h.
//
// Amounts are micro-credits as decimal text (amount.h), and so is a validator's power: both can be past 2^53. Accounts are dids, digests
// hexadecimal. What travels inside of transactions as signed envelopes is shown by type, CID and signer, not whole.
//
// Bounds: those of what is shown; a work with all its draws and answers is some hundred KiB.
#pragma once

#include "adapters/http/message.h"
#include "app/api/render.h"
#include "chain/join.h"
#include "chain/wire.h"
#include "domain/ledger/ledger.h"

namespace mesh::app {

/// A time of the ledger's; the last one that has four digits for its year where it is later.
[[nodiscard]] std::string block_time_text(std::uint64_t ms);

/// What there is to say of a replica beside its ledger.
struct LedgerStatus {
  std::string name;  ///< of the federation
  NodeId own;
  chain::Height durable_height = 0;
  chain::Height base = 0;  ///< blocks up to here are not at this node
  std::optional<chain::Height> signs_from;  ///< none: nothing is signed until it is certain what was
  std::optional<Error> stopped;
  std::size_t waiting = 0;  ///< transactions
  std::size_t waiting_bytes = 0;
};
[[nodiscard]] Json ledger_json(const ledger::Ledger& ledger, const LedgerStatus& status);
/// An account as it is now, or that there is none. `prove`: with what shows it to who has the block's state root.
[[nodiscard]] Json account_json(const ledger::Ledger& ledger, const ledger::AccountId& account,
                                chain::Height durable_height, bool prove);
/// `height` is that of the next block.
[[nodiscard]] Json member_json(const ledger::Member& member, const PublicKey& key, std::uint64_t height);
[[nodiscard]] Json escrow_json(const ledger::Escrow& escrow);
[[nodiscard]] Json work_json(const ledger::Work& work);
/// What workers had lately, of the works that the ledger has (an hour after their end it has none), and the fee for a shard of this fuel
/// at that price. Visits all works, at most 65,536.
[[nodiscard]] Json price_json(const ledger::Ledger& ledger, std::uint64_t fuel);

/// A block without its transactions. Errors: those of chain::read_block.
[[nodiscard]] Result<Json> block_head_json(const chain::FinalBlock& block);
[[nodiscard]] Result<Json> block_json(const chain::FinalBlock& block);
/// One transaction of a block; `number` counts from 0.
[[nodiscard]] Json transaction_json(ByteView envelope, std::size_t number);
/// Whether the account signed it, or it names the account: as who gets credits, or as who is admitted or sent away.
[[nodiscard]] bool concerns(const ledger::Transaction& transaction, const ledger::AccountId& account);

}  // namespace mesh::app
