#include <algorithm>

#include "domain/verification/proof.h"
#include "node/parcel.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/story.h"

namespace mesh::sim {

using node::JobPhase;
using verification::Decision;

namespace {

std::string_view text_of(JobPhase phase) { return node::enum_names(phase)[static_cast<std::size_t>(phase)]; }

}  // namespace

std::string Jobs::name_of(const Cid& job, const Tracked& tracked) const {
  return "job " + job.text() + " of node " + std::to_string(tracked.publisher);
}

void Jobs::submitted(std::uint32_t publisher, const Cid& job) {
  Tracked& tracked = jobs_[job];
  tracked.publisher = publisher;
  tracked.submitted = world_.now();
  open_.insert(job);
}

void Jobs::on_publish(std::uint32_t from, const node::effect::Publish& publish) {
  if (publish.topic != node::Topic::intents) return;
  const auto envelope = record::decode<Envelope>(publish.bytes);
  if (!envelope)
    return findings_.add("not-an-envelope: node " + std::to_string(from) + " published what does not decode");
  published_.insert(envelope->cid());
}

Jobs::Tracked* Jobs::open_job(std::uint32_t host, const std::optional<Cid>& job) {
  const auto found = job ? jobs_.find(*job) : jobs_.end();
  return found == jobs_.end() || found->second.publisher != host || found->second.ended ? nullptr : &found->second;
}

void Jobs::on_send(std::uint32_t from, const node::effect::Send& send) {
  if (send.channel != node::Channel::award) return;
  const auto parcel = record::decode<node::Parcel>(send.bytes);
  if (!parcel) return;
  for (const Envelope& envelope : parcel->envelopes) {
    const auto award = record::decode<market::Award>(envelope.body);
    Tracked* const tracked = award ? open_job(from, award->intent) : nullptr;
    if (tracked == nullptr) continue;
    const Cid cid = envelope.cid();
    if (std::ranges::find(tracked->leases, cid, &Tracked::Lease::award) == tracked->leases.end())
      tracked->leases.push_back({cid, award->shards, world_.now()});
  }
}

void Jobs::on_started(std::uint32_t host) {
  // What was given up and not awarded again is forgotten with the crash: the
  // lease holds as before.
  for (auto& [job, tracked] : jobs_) {
    if (tracked.publisher == host) tracked.given_up.clear();
  }
}

void Jobs::on_notice(std::uint32_t host, const node::Notice& notice) {
  if (notice.kind == "job.done" && notice.job) {
    const auto job = jobs_.find(*notice.job);
    if (job != jobs_.end() && job->second.publisher == host) job->second.ends.insert(notice.phase);
    return;
  }
  Tracked* const tracked = open_job(host, notice.job);
  if (tracked == nullptr) return;
  if (notice.kind == "job.phase") {
    tracked->bidding = notice.phase == "bidding";
  } else if (notice.kind == "job.offer" && !tracked->bidding) {
    findings_.add("late-offer: " + name_of(*notice.job, *tracked) + " took an offer after its bidding was over");
  } else if (notice.kind == "job.drawn" && notice.peer == world_.id(host)) {
    findings_.add("own-judge: " + name_of(*notice.job, *tracked) + " drew its own publisher");
  } else if (notice.kind == "job.shard" && notice.phase == "running" && notice.text.ends_with("; awarded again")) {
    // Only what was awarded a while ago: the notice may wait for a disk, and be
    // overtaken by the new award.
    for (const Tracked::Lease& lease : tracked->leases) {
      if (world_.now() - lease.since < milliseconds(2500)) continue;
      for (const task::ShardRange& range : notice.shards) {
        for (std::uint32_t shard = range.first; shard - range.first < range.count; ++shard) {
          const auto covers = [&](const task::ShardRange& leased) {
            return shard >= leased.first && shard - leased.first < leased.count;
          };
          if (std::ranges::any_of(lease.shards, covers)) tracked->given_up.insert({shard, lease.award});
        }
      }
    }
  }
}

Digest Jobs::outcome_of(const Cid& job, const Tracked& tracked, const node::JobView& view) const {
  Bytes all = to_bytes(text_of(view.phase));
  for (const node::ShardView& shard : world_.at(tracked.publisher).shards(job, 0, view.shards)) {
    if (!shard.finding) continue;
    append(all, big_endian(shard.shard));
    append(all, shard.finding->result.binary());
    append(all, shard.finding->log.binary());
    append(all, big_endian(shard.finding->fuel));
    append(all, record::encode(shard.finding->outcome));
    all.push_back(static_cast<std::uint8_t>(shard.decision ? static_cast<int>(*shard.decision) : 255));
  }
  return sha256(all);
}

bool Jobs::poll() {
  for (auto it = open_.begin(); it != open_.end();) {
    Tracked& tracked = jobs_.at(*it);
    if (!world_.running(tracked.publisher)) {
      ++it;
      continue;
    }
    const std::optional<node::JobView> view = world_.at(tracked.publisher).job(*it);
    if (!view) {
      if (published_.contains(*it))
        findings_.add("lost-job: " + name_of(*it, tracked) + " was published, and is unknown there");
      tracked.gone = true;
      ++dropped_;
      it = open_.erase(it);
      continue;
    }
    if (view->phase < JobPhase::done) {
      ++it;
      continue;
    }
    check_ended(*it, tracked, *view);
    it = open_.erase(it);
  }
  return !open_.empty();
}

void Jobs::check_ended(const Cid& job, Tracked& tracked, const node::JobView& view) {
  const std::string name = name_of(job, tracked);
  const node::Node& node = world_.at(tracked.publisher);
  tracked.ended = true;
  tracked.phase = view.phase;
  tracked.outcome = outcome_of(job, tracked, view);
  times_.push_back(world_.now() - tracked.submitted);
  const std::string failure = view.failure.substr(0, view.failure.find(':'));
  ++ends_[std::string(text_of(view.phase)) + (failure.empty() ? "" : " " + failure) +
          (view.unverified && view.phase == JobPhase::done ? " unverified" : "")];
  if (view.phase == JobPhase::done && view.finished != view.shards)
    findings_.add("half-done: " + name + " is done with " + std::to_string(view.finished) + " of " +
                  std::to_string(view.shards) + " shards");

  const std::vector<Envelope> envelopes = node.story(job);
  const Result<Story> story = read_story(envelopes);
  if (!story) return findings_.add("no-story: " + name + ": " + story.error().message);
  const policy::VerificationQuorum& quorum = world_.config(tracked.publisher).policy.verification_quorum;
  std::set<std::uint32_t> settled;
  std::set<NodeId> rejected;
  for (const Ruling& ruling : story->rulings) {
    if (ruling.decision == Decision::rejected) rejected.insert(ruling.worker);
  }
  for (const Ruling& ruling : story->rulings) {
    const std::string shard = "shard " + std::to_string(ruling.shard) + " of " + name;
    if (settled.contains(ruling.shard)) findings_.add("ruled-twice: " + shard + " was decided before");
    if (ruling.decision == Decision::rejected || ruling.decision == Decision::disputed) {
      ++(ruling.decision == Decision::rejected ? tally_.rejected_attempts : tally_.disputed);
      continue;  // Awarded again, or the job's end.
    }
    settled.insert(ruling.shard);
    if (tracked.given_up.contains({ruling.shard, ruling.award}))
      findings_.add("stale-award: " + shard + " was decided by what was done under a lease that had been given up");
    const bool truth = ruling.finding == truth_of(view.spec.function, ruling.shard);
    if (ruling.decision != Decision::accepted) {
      ++(ruling.decision == Decision::unverified     ? tally_.unverified
         : ruling.decision == Decision::spot_checked ? tally_.spot_checked
                                                     : tally_.undetermined);
      if (ruling.decision == Decision::spot_checked) {
        if (!truth) ++tally_.spot_checked_wrong;
        if (view.spec.sample == task::TaskIntent::everything || rejected.contains(ruling.worker))
          findings_.add("ill-spared: " + shard + " was spot-checked");
      }
      continue;
    }
    ++tally_.accepted;
    if (!truth) {
      ++tally_.accepted_wrong;
      if (!liars_may_pass_) findings_.add("wrong-result: " + shard + " was accepted, and is wrong");
    }
    std::set<NodeId> judges;
    std::uint64_t agreed = 0;
    for (const auto& [verifier, finding] : ruling.verifiers) {
      if (!judges.insert(verifier).second) findings_.add("counted-twice: a verifier has two seats on " + shard);
      if (verifier == ruling.worker || verifier == story->publisher)
        findings_.add("own-judge: the worker or the publisher judged " + shard);
      if (finding == ruling.finding) ++agreed;
    }
    if (ruling.verifiers.size() < quorum.minimum_verifiers ||
        agreed * 100 < ruling.verifiers.size() * quorum.required_percentage)
      findings_.add("no-quorum: " + shard + " was accepted by " + std::to_string(agreed) + " of " +
                    std::to_string(ruling.verifiers.size()));
  }
  if (view.phase == JobPhase::done && settled.size() != view.shards)
    findings_.add("half-done: " + name + " is done and " + std::to_string(view.shards - settled.size()) +
                  " of its shards are undecided");
  for (const node::ShardView& shard : node.shards(job, 0, view.shards)) {
    const bool shown = shard.decision && *shard.decision != Decision::rejected && *shard.decision != Decision::disputed;
    if (shown && !settled.contains(shard.shard))
      findings_.add("no-record: shard " + std::to_string(shard.shard) + " of " + name + " is shown as decided");
  }
  if (view.phase != JobPhase::done) return;
  const auto report = verification::verify_bundle(
      verification::build_bundle(node.federation(), world_.config(tracked.publisher).policy, job, envelopes, {}));
  if (!report) {
    findings_.add("no-proof: " + name + ": " + report.error().message);
  } else if (report->missing > 0 || report->count(Decision::accepted) + report->count(Decision::unverified) +
                                            report->count(Decision::undetermined) +
                                            report->count(Decision::spot_checked) !=
                                        view.shards) {
    findings_.add("no-proof: " + name + " is proved in part alone");
  }
}

void Jobs::check_stuck() {
  poll();
  for (const Cid& job : open_) {
    const Tracked& tracked = jobs_.at(job);
    const auto view = world_.running(tracked.publisher) ? world_.at(tracked.publisher).job(job) : std::nullopt;
    std::string detail = "its publisher is down";
    if (view)
      detail = std::string(text_of(view->phase)) + ", " + std::to_string(view->finished) + " of " +
               std::to_string(view->shards) + " shards done, " + std::to_string(view->running) + " running, " +
               std::to_string(view->verifying) + " verifying, " + std::to_string(view->ranking.size()) + " nodes in";
    findings_.add("stuck: " + name_of(job, tracked) + " has not ended: " + detail);
  }
}

void Jobs::finish() {
  for (const auto& [job, tracked] : jobs_) {
    if (tracked.ends.size() > 1) {
      std::string ends;
      for (const std::string& end : tracked.ends) ends += (ends.empty() ? "" : ", ") + end;
      findings_.add("two-ends: " + name_of(job, tracked) + " was said to have ended: " + ends);
    }
    if (!tracked.ended || !world_.running(tracked.publisher)) continue;
    const std::optional<node::JobView> view = world_.at(tracked.publisher).job(job);
    if (!view) {
      findings_.add("lost-job: " + name_of(job, tracked) + " had ended, and is unknown there");
    } else if (outcome_of(job, tracked, *view) != tracked.outcome) {
      findings_.add("changed-after-the-end: " + name_of(job, tracked) + " ended as " +
                    std::string(text_of(tracked.phase)) + " and is now " + std::string(text_of(view->phase)) +
                    ", or its results are others");
    }
  }
}

}  // namespace mesh::sim
