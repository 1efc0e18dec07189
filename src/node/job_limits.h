// Limits that several parts of a job share.
#pragma once

#include "base/time.h"

namespace mesh::node {

inline constexpr Duration unanswered_penalty = seconds(60);
inline constexpr Duration liar_penalty = seconds(3600);
inline constexpr std::size_t max_notes = 256;

}  // namespace mesh::node
