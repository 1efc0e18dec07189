// Looks on the local network for federations that a node can come into by itself: those with a ledger whose enrolment is open.
//
// For as long as it looks there is a node on the network whose key nobody knows and which listens nowhere. It finds others by mDNS and asks
// each that is on the local network of which federation it is (enrolment.h). What comes back is a stranger's word: a founding counts where
// a ledger can begin so, and open is what its genesis says is open. That who shows a founding belongs to it is not known. Names are
// nobody's: two federations may have one, and only the CIDs tell them apart.
//
// Bounds: 64 nodes are asked, each once; an answer has 1 MiB; `limit` for all of it.
// What can go wrong: the network cannot be started (as p2p::Network says). Who is silent, or sends what is no founding, is counted and passed over.
#pragma once

#include <string>
#include <vector>

#include "app/runtime/founding.h"
#include "base/time.h"

namespace mesh::app {

inline constexpr std::size_t max_nodes_asked = 64;

struct LanSearch {
  bool mdns = true;
  std::vector<std::string> addresses;  ///< of nodes that are asked as well
  Duration quiet{
      std::chrono::seconds(2)};  ///< it ends when nothing new was heard for so long, and nobody owes an answer
  Duration limit{std::chrono::seconds(5)};
  bool until_found = false;  ///< goes on to the limit where there is none
};

struct OpenFederation {
  Founding founding;
  Cid id;
  std::size_t nodes = 0;  ///< that showed it
};
/// "town (bafyreib2xkqwzj7v4ep)": the name, and how its CID begins.
[[nodiscard]] std::string title_of(const OpenFederation& federation);

struct LanFound {
  std::vector<OpenFederation> open;  ///< by name, then by id
  std::size_t closed = 0;  ///< nodes that are in a federation and do not show it
  std::size_t wrong = 0;  ///< that sent what is no founding, or one of a federation that is not open
  std::size_t silent = 0;  ///< that were asked and did not answer
  bool crowded = false;  ///< there were more than are asked
};

/// Blocks.
[[nodiscard]] Result<LanFound> look_on_lan(const LanSearch& search);

}  // namespace mesh::app
