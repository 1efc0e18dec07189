// Lying peers: a production node each, whose runs, messages or timing are not what they should be. Each of these makes one
// host of a world a liar and returns nothing; what it then does is counted in world.faults(). The world must outlive
// nothing of it: the behaviour lies in the world.
#pragma once

#include <memory>

#include "sim/world.h"

namespace mesh::sim {

// Of results (results.cc).
/// Finds something else than everybody, as a worker and as a verifier, `per_mille` of the time: now and then other fuel alone.
void tell_wrong_results(World& world, std::uint32_t host, std::uint32_t per_mille = 1000);
/// Answers at once, without a run, what it has heard of that very shard before, or a guess.
void be_lazy(World& world, std::uint32_t host);
/// A group that tells one lie: of what its members work on, and of that alone, so that nobody outside is contradicted.
class Collusion {
 public:
  void join(World& world, std::uint32_t host);
  [[nodiscard]] const std::set<std::uint32_t>& members() const { return *members_; }

 private:
  std::shared_ptr<std::set<std::uint32_t>> members_ = std::make_shared<std::set<std::uint32_t>>();
};

// Of commitments and reveals (reveals.cc).
/// Commits as a verifier to what the worker committed to.
void copy_commitments(World& world, std::uint32_t host);
/// Never shows what it committed to, `nonces` likewise.
void never_reveal(World& world, std::uint32_t host, bool nonces);
/// Tells what it found along with its commitment.
void reveal_early(World& world, std::uint32_t host);
/// Shows what it committed to so much later.
void reveal_late(World& world, std::uint32_t host, Duration late);

/// As a publisher: draws with a link that its intent does not promise, as
/// whoever wants to choose the verifiers would.
void forge_draws(World& world, std::uint32_t host);

// Of what they are paid for, where the federation has a ledger (payments.cc).
/// Takes on work and seats, and never tells the ledger what it found, as a worker or as a verifier.
void keep_answers(World& world, std::uint32_t host);
/// As a publisher: locks the fee, and tells the ledger nothing more.
void hide_reveals(World& world, std::uint32_t host);
/// As a verifier: commits to what another has committed to, and shows what that one has shown.
void copy_answers(World& world, std::uint32_t host);

// Of messages (messages.cc).
/// Sends what it heard again: to whoever it came from and to others, as its own message.
void replay(World& world, std::uint32_t host, std::uint32_t per_mille);
/// Sends `per_second` messages to anybody: noise, records of no task, offers again and again.
void flood(World& world, std::uint32_t host, std::uint32_t per_second);
/// Offers on every task in the name of `identities` nodes that do not exist, at the best terms.
void offer_as_many(World& world, std::uint32_t host, std::uint32_t identities);

}  // namespace mesh::sim
