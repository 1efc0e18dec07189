// What a job's records say, read anew and without the code that made them: the one place where the checkers take records
// apart.
#pragma once

#include <vector>

#include "domain/verification/records.h"

namespace mesh::sim {

/// What a verdict says of one shard, with what it rests on.
struct Ruling {
  std::uint32_t shard = 0;
  verification::Decision decision = verification::Decision::unverified;
  identity::NodeId worker;
  Cid award;  ///< that the worker says it worked under
  receipt::Finding finding;
  std::vector<std::pair<identity::NodeId, receipt::Finding>> verifiers;  ///< by seat
};

struct Story {
  identity::NodeId publisher;
  std::uint32_t shards = 0;
  std::vector<Ruling> rulings;  ///< in the order in which they fell
};

/// The error says which record is missing, is not what another takes it for, or reveals what was not committed to (which is
/// worked out anew, salt included). Signatures are not checked here (verify_bundle does).
[[nodiscard]] Result<Story> read_story(const std::vector<Envelope>& envelopes);

}  // namespace mesh::sim
