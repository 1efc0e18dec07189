// Checkers: what has to hold of every run, whatever went wrong in it, worked out from the records, from what the nodes
// show of themselves and from what the simulator knows to be true; never from the code that is checked.
//
// Each adds what it finds broken to Findings, as one sentence that begins with a stable name.
#pragma once

#include <map>
#include <set>
#include <string>

#include "sim/findings.h"
#include "sim/world.h"

namespace mesh::sim {

/// How the shards of the ended jobs came out.
struct Tally {
  std::uint64_t accepted = 0, accepted_wrong = 0, unverified = 0, disputed = 0, undetermined = 0;
  std::uint64_t spot_checked = 0, spot_checked_wrong = 0;  ///< wrong: as the sample's size allows
  std::uint64_t rejected_attempts = 0;
};

/// A job and all that must be true of it from its submission on (jobs.cc):
/// - what was published is not lost (`lost-job`);
/// - it ends in one state and stays in it, with the same results (`two-ends`, `changed-after-the-end`);
/// - an accepted result is true (`wrong-result`), unless `liars_may_pass`;
/// - each shard is accepted once, and nothing is ruled on it afterwards (`ruled-twice`);
/// - a spot-checked result is of a task that asked for a sample, and of a worker that no verdict of the task rejects
///   (`ill-spared`);
/// - the verdict rests on a quorum of others, each counted once (`no-quorum`, `counted-twice`, `own-judge`);
/// - the bundle verifies offline (`no-proof`);
/// - no offer is taken once the bidding is over (`late-offer`), the publisher draws others alone (`own-judge`), and what was
///   done under a lease that had been given up counts for nothing (`stale-award`);
/// - it ends at all, and not for lack of time, once everything is healed (`stuck`).
class Jobs : public Observer {
 public:
  Jobs(World& world, Findings& findings, bool liars_may_pass)
      : world_(world), findings_(findings), liars_may_pass_(liars_may_pass) {}

  void submitted(std::uint32_t publisher, const Cid& job);
  /// Looks at all jobs that have not ended yet; whether any is left.
  bool poll();
  /// Everything was healed and the time is up: whatever is open is stuck.
  void check_stuck();
  /// The very end: whatever ended must be as it was.
  void finish();

  void on_publish(std::uint32_t from, const node::effect::Publish& publish) override;
  void on_send(std::uint32_t from, const node::effect::Send& send) override;
  void on_notice(std::uint32_t host, const node::Notice& notice) override;
  void on_started(std::uint32_t host) override;

  [[nodiscard]] const Tally& tally() const { return tally_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& ends() const { return ends_; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }  ///< crashed away before anybody could know of them
  [[nodiscard]] const std::vector<Duration>& times() const { return times_; }

 private:
  struct Tracked {
    std::uint32_t publisher = 0;
    Instant submitted{};
    bool ended = false;
    bool gone = false;
    node::JobPhase phase{};
    Digest outcome;  ///< over phase and all findings, when it ended
    std::set<std::string> ends;  ///< phases that it was said to have ended in
    bool bidding = true;
    struct Lease {
      Cid award;
      std::vector<task::ShardRange> shards;
      Instant since{};
    };
    std::vector<Lease> leases;
    std::set<std::pair<std::uint32_t, Cid>> given_up;  ///< shards under awards
  };
  [[nodiscard]] Tracked* open_job(std::uint32_t host, const std::optional<Cid>& job);
  void check_ended(const Cid& job, Tracked& tracked, const node::JobView& view);
  [[nodiscard]] Digest outcome_of(const Cid& job, const Tracked& tracked, const node::JobView& view) const;
  [[nodiscard]] std::string name_of(const Cid& job, const Tracked& tracked) const;

  World& world_;
  Findings& findings_;
  bool liars_may_pass_;
  std::map<Cid, Tracked> jobs_;
  std::set<Cid> open_;
  std::set<Cid> published_;  ///< intents, maybe before submitted() is told of them
  Tally tally_;
  std::map<std::string, std::uint64_t> ends_;
  std::uint64_t dropped_ = 0;
  std::vector<Duration> times_;
};

/// What a node holds open is bounded, always (bounds.cc): runs, intents heard of, peers, others' tasks in the journal.
class Bounds {
 public:
  explicit Bounds(Findings& findings) : findings_(findings) {}
  void look(const World& world);
  /// Others' tasks that nodes still keep although every job has ended and been closed long ago.
  void finish(const World& world);

  [[nodiscard]] std::uint64_t most_runs() const { return most_runs_; }
  [[nodiscard]] std::uint64_t most_foreign_tasks() const { return most_foreign_; }
  [[nodiscard]] std::uint64_t most_journal_records() const { return most_records_; }
  [[nodiscard]] std::uint64_t most_intents() const { return most_intents_; }
  /// Others' tasks in all journals together, right now.
  [[nodiscard]] static std::uint64_t foreign_tasks(const World& world);

 private:
  Findings& findings_;
  std::uint64_t most_runs_ = 0, most_foreign_ = 0, most_records_ = 0, most_intents_ = 0;
};

/// What honest nodes sign keeps to what was signed before (promises.cc), as far as what they send shows:
/// - a nonce of a round is shown for one opening alone (`two-openings`);
/// - a verifier commits under a draw alone whose link its publisher had promised in the intent (`forged-draw`);
/// - a publisher passes a worker's receipt on only after it has asked for it, and asks only when the seats of a draw have
///   committed (`told-early`).
class Promises : public Observer {
 public:
  Promises(const World& world, Findings& findings) : world_(world), findings_(findings) {}
  void on_send(std::uint32_t from, const node::effect::Send& send) override;
  void on_publish(std::uint32_t from, const node::effect::Publish& publish) override;
  [[nodiscard]] std::uint64_t nonces() const { return nonces_.size(); }

 private:
  const World& world_;
  Findings& findings_;
  void on_told(std::uint32_t from, const Envelope& envelope, const std::string& type);
  void on_answer(std::uint32_t from, const Envelope& envelope, const std::string& type);

  std::map<std::tuple<NodeId, Cid, std::uint32_t>, Cid> nonces_;  ///< node, task, round -> the opening
  std::map<Cid, Digest> tips_;  ///< of the publishers' chains, by task
  std::set<Cid> sampled_;  ///< tasks in which not every shard has seats
  std::map<Cid, bool> draws_;  ///< whether the link was promised
  std::set<Cid> asked_;  ///< workers' commitments whose receipts were asked for
};

/// The chance that a wrong result passes: `colluders` of `eligible` back it, `seats` are drawn without replacement,
/// `needed` must agree. The hypergeometric tail, summed up from products of fractions.
[[nodiscard]] double escape_formula(std::uint32_t eligible, std::uint32_t colluders, std::uint32_t seats,
                                    std::uint32_t needed);

}  // namespace mesh::sim
