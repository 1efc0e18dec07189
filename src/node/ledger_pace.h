// How often a node looks at what it has on the ledger, and says again what nobody took up. Publisher, worker and verifier keep
// the same pace, so none of them waits for another that looks more seldom.
#pragma once

#include "base/time.h"

namespace mesh::node {

/// Between two looks at the works that a node takes part in: they are large; what changes of them is told besides.
inline constexpr Duration look_every = seconds(1);
/// Between two times that an intent is told to those who must know of it.
inline constexpr Duration tell_intent_every = seconds(5);

}  // namespace mesh::node
