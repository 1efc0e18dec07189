// What the commands about the ledger share: amounts and dids as people read them, and transactions of the node's own account.
#pragma once

#include "app/api/amount.h"
#include "app/cli/session.h"

namespace mesh::cli {

/// How a transaction is waited for.
struct Waiting {
  bool detach = false;  ///< not at all: it is enough that it waits to be in a block
  std::uint64_t timeout_s = 60;  ///< 1 to 120
};

/// Has the node make and sign a transaction, and says what became of it: its CID on stdout, where it stands on stderr. Exit code 124
/// where it is not final in time.
int make_transaction(const Session& session, Json request, const Waiting& waiting);
/// The same of another route, and what there is to say where it went well.
int make_transaction(const Session& session, std::string_view path, Json request, const Waiting& waiting,
                     const std::function<void(const Json&)>& well);

/// The credits of a field with micro-credits as the API has them.
[[nodiscard]] std::string credits(const Json& micros);
/// A column with the credits of a field.
[[nodiscard]] std::function<std::string(const Json&)> credits_of(std::string name);
/// The end of a did, as short_peer is that of a PeerId.
[[nodiscard]] std::string short_did(const Json& did);
/// A list of texts with commas between them, "-" where there is none.
[[nodiscard]] std::string joined(const Json& list);

}  // namespace mesh::cli
