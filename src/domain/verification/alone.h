// What of a task's story proves one shard alone: the handful of records that its verdicts rest on, out of the whole story
// or bundle, so that the proof of a shard can be handed on without those of all others.
//
// Bounds: of a shard that was never rejected it is the bidding (at most 64 offers), one commitment with its receipt (at
// most receipt::max_commitment_shards rows), one round, and what that commitment's seats answered, however many shards
// the task has. A spot-checked shard's proof has the verdicts on its whole commitment. Each rejected or disputed attempt adds as much; each node barred from one of these draws adds the first
// verdict against it.
// What can go wrong: a story with records that do not read, a shard without a verdict. A record that is not in the story
// is left out here: whoever checks the bundle says what is missing.
#pragma once

#include <map>

#include "domain/verification/proof.h"

namespace mesh::verification {

/// A task's story, read once, from which the proofs of its shards are taken. No signature is checked here.
class StoryIndex {
 public:
  /// Errors: a record that does not read, no intent, a verdict on shards that the task does not have or on more than a
  /// commitment may cover.
  [[nodiscard]] static Result<StoryIndex> read(std::vector<Envelope> story);

  /// Places in the story of the verdicts on a shard, ascending; empty if there is none.
  [[nodiscard]] std::vector<std::size_t> verdicts_on(std::uint32_t shard) const;
  /// What these verdicts and the bidding rest on, the verdicts among it, in the order of the story. A verdict covers all
  /// shards of a commitment that ended alike, so this proves those along with the one that is asked for.
  [[nodiscard]] Result<std::vector<Envelope>> resting_on(const std::vector<std::size_t>& verdicts) const;

 private:
  /// A change of seats, and whose.
  struct SeatChange {
    std::size_t at;
    std::vector<task::ShardRange> shards;
    std::optional<NodeId> failed;  ///< of a substitution
  };

  Status find_guilty();
  Status note_guilty(std::size_t at);
  template <class T>
  [[nodiscard]] Result<std::optional<T>> find(const Cid& cid) const;
  /// The CIDs that a record rests on; into `barred` go the nodes that a round bars.
  [[nodiscard]] Result<std::vector<Cid>> basis_of(std::size_t at, std::vector<NodeId>& barred) const;
  [[nodiscard]] Result<std::vector<std::size_t>> changes_under(const Verdict& verdict) const;

  /// Of a spot-checked verdict the shards of the same commitment, since what was drawn of them has to have held; else none.
  [[nodiscard]] Result<std::vector<std::uint32_t>> vouching_for(const Verdict& verdict) const;

  std::vector<Envelope> story_;
  std::vector<std::string> types_;  ///< of the records, in the same order
  std::map<Cid, std::size_t> by_cid_;
  std::map<std::size_t, Verdict> verdicts_;  ///< by place
  std::vector<std::vector<std::size_t>> by_shard_;  ///< places of the verdicts on each
  std::multimap<std::pair<Cid, Cid>, SeatChange> changes_;  ///< by draw and the worker's commitment
  std::map<NodeId, std::size_t> guilty_;  ///< place of the first verdict against it; only if anybody was barred
  std::uint32_t shards_ = 0;
};

/// What proves `shard`, in the order of the story. Errors: as StoryIndex, and not_found if there is no verdict on it.
[[nodiscard]] Result<std::vector<Envelope>> story_of_shard(std::vector<Envelope> story, std::uint32_t shard);

/// The workers' commitments whose receipts a story has: what of a payment goes with it.
[[nodiscard]] Result<std::set<Cid>> commitments_of(const std::vector<Envelope>& story);

struct EachShard {
  ProofReport whole;
  std::uint32_t shards = 0;  ///< that have a proof, each found to stand alone
  std::uint32_t bundles = 0;  ///< that prove them, each checked by itself
  std::size_t largest_bytes = 0;  ///< of one of these
};
/// Checks the whole bundle; then cuts out of it what proves each shard, and checks that as if nothing else were known: it
/// must say the same of the shard. Shards whose proofs are the same bytes are checked at once. The bundles are cut without
/// contents. The error names the first shard that does not stand alone, or what is wrong with the whole.
[[nodiscard]] Result<EachShard> verify_each_shard(ByteView car, PaymentJudge* judge = nullptr);

}  // namespace mesh::verification
