// The command of mesh_bench that loads a federation's validators with signed transfers of many accounts, as bench/run.py asks.
#pragma once

#include <span>

namespace mesh::bench {

/// `ledger-load`: what to do is one JSON object on stdin, what was found another on stdout.
///
/// {"federation": CID, "nodes": [{"port", "token"}, ...], "accounts": N, "transfers": M, "own": micro-credits, "fee": micro-credits}
///
/// Account 0 (`ledger-account` prints its did) has the credits; they go down a tree to N accounts, each of which then has a key, and
/// `own` at least. Then M transfers among them, each signed beforehand by its own account's key, are submitted to the nodes by their API
/// in batches, each account's to one node, so many at a time that something always waits and nothing is refused for want of room. The time
/// is that from the first batch until the first node has said that all of them are final. Also: what one signature costs in batches.
///
/// Returns the exit code: 1 with words on stderr where a node refuses what is right or falls silent, 2 for words that it does not know.
[[nodiscard]] int ledger_load_main(std::span<char* const> words);
[[nodiscard]] int ledger_account_main(std::span<char* const> words);

}  // namespace mesh::bench
