// Bugs that are planted on purpose: each takes away one check that everything else rests on, so that the simulator, or the
// model of the ledger, can be shown to notice. They exist in three test programs alone (sim/planted_test.cc,
// sim/ledger/planted_test.cc and tests/ledger/planted_test.cc), which build what they are about with MESH_PLANTED; everywhere else `planted` is false at
// compile time and nothing of them is left.
#pragma once

#include <cstdint>

namespace mesh {

enum class Bug : std::uint8_t {
  none,
  draw_unchecked,  ///< no check of the draw: any link of the publisher's will do
  salt_left_out,  ///< of the leaves of a commitment
  early_reveal_taken,  ///< a receipt is taken before all commitments are in
  late_offer_taken,  ///< an offer is accepted after its time
  shard_accepted_twice,
  queue_unbounded,
  unsynced_acknowledgement,  ///< others are told before it is durable
  timeout_never_armed,
  verifier_counted_twice,
  publisher_verifies,
  stale_award_honoured,
  fuel_not_compared,
  sequence_gap_accepted,
  addition_unchecked,  ///< of amounts
  bond_withdrawn_at_stake,
  work_stake_withdrawn,  ///< what is at stake for works alone
  fees_not_at_stake,  ///< of works, whose worker so has a minimum bond to lose
  withdrawals_spared,  ///< whoever takes its bond out in time pays nothing of it
  shard_paid_twice,  ///< a paid shard can be claimed again
  claimed_after_refund,
  spent_award_claims,  ///< again, though a work under it came to nothing
  settled_after_end,
  drawn_by_earlier_beacon,  ///< that of the block with the commitment, which its proposer knew
  silence_agrees,  ///< a seat that does not reveal is counted as if it had found what the worker found
  lie_uncounted,  ///< by the reputation of who was rejected
  free_work_counts,  ///< for reputation, though nothing was paid to anybody who verified it
  offence_punished_twice,  ///< by showing the same evidence again
  state_root_not_compared,
  chain_tells_before_durable,  ///< a replica's votes and notices do not wait for the disk
  chain_log_forgotten,  ///< a replica that starts again gives consensus no log
  chain_executes_before_final,  ///< what a replica called valid changes its ledger
  chain_transaction_kept,  ///< whoever gets a transaction hands it to nobody
};

#ifdef MESH_PLANTED
/// The one bug that is there now.
inline Bug the_planted_bug = Bug::none;
[[nodiscard]] inline bool planted(Bug bug) { return bug == the_planted_bug; }
#else
[[nodiscard]] constexpr bool planted(Bug) { return false; }
#endif

}  // namespace mesh
