// What a node is made of. For node.cc and node_ledger.cc alone.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "base/check.h"
#include "domain/market/quota.h"
#include "node/engagement.h"
#include "node/executions.h"
#include "node/job.h"
#include "node/ledger_seat.h"
#include "node/outbox.h"
#include "node/peer_table.h"

namespace mesh::node {

class Node::Impl {
 public:
  Impl(Config config, const Cid& policy, const Cid& federation, Instant now)
      : config_(std::move(config)),
        policy_(policy),
        signer_(config_.seed, federation),
        peers_(now),
        executions_(config_.slots, config_.policy.scheduling.max_queued_shards),
        quota_(config_.policy.free_quota),
        pricing_(config_.pricing, config_.policy.reward_settings, config_.slots, now),
        around_{config_, signer_, policy_, peers_, executions_, quota_, experience_} {
    for (const Seed& seed : config_.former) former_.emplace_back(seed, federation);
    around_.former = former_;
    if (!config_.charter) return;
    around_.ledger = &ledger_;
    around_.desk = &desk_;
  }

  Status restore(Instant now, const std::vector<JournalRecord>& journal);

  void on(Instant, event::Tick&&) {}
  void on(Instant now, event::PeerUp&& event);
  void on(Instant now, event::PeerDown&& event);
  void on(Instant, event::PeerRoundTrip&& event) { peers_.round_trip(event.peer, event.smoothed); }
  void on(Instant now, event::Gossip&& event);
  void on(Instant now, event::Message&& event);
  void on(Instant, event::SendFailed&& event);
  void on(Instant now, event::ExecutionStarted&& event);
  void on(Instant now, event::ExecutionLog&& event);
  void on(Instant now, event::ExecutionDone&& event);
  void on(Instant now, event::KeysWrapped&& event);
  void on(Instant now, event::ResultsFetched&& event);
  void on(Instant now, event::ReduceInputBuilt&& event);
  void on(Instant now, event::Submit&& event);
  void on(Instant now, event::StopJob&& event);
  void on(Instant now, event::OfferByHand&& event);
  void on(Instant now, event::HostMeasured&& event);
  // node_ledger.cc
  void on(Instant now, event::Transacted&& event);
  void on(Instant now, event::LedgerChanged&& event);

  Effects step(Instant now, Event event) {
    MESH_CHECK(now >= last_, "time-goes-forward");
    last_ = now;
    std::visit([&](auto&& value) { on(now, std::forward<decltype(value)>(value)); }, std::move(event));
    housekeeping(now);
    pricing_.observe(now, executions_.running(), executions_.queued());
    std::vector<Effect> effects = rename_requests(out_.take());
    return effects;
  }

  [[nodiscard]] std::optional<Instant> next_deadline() const {
    Instant due = next_announcement_;
    for (const auto& [cid, job] : jobs_) {
      if (const auto deadline = job->deadline()) due = std::min(due, *deadline);
    }
    for (const auto& [cid, engagement] : engagements_) {
      if (const auto deadline = engagement->deadline()) due = std::min(due, *deadline);
    }
    for (const auto& [cid, seat] : seats_) {
      if (const auto deadline = seat->deadline()) due = std::min(due, *deadline);
    }
    if (const auto deadline = desk_.deadline(last_)) due = std::min(due, *deadline);
    return due;
  }

  [[nodiscard]] PeerInfo own_info() const {
    PeerInfo info = config_.resources;
    info.agent = config_.agent;
    info.engine = config_.engine;
    info.policy = policy_;
    info.running = static_cast<std::uint32_t>(executions_.running());
    info.queued = static_cast<std::uint32_t>(executions_.queued());
    info.accepts_work = config_.accepts_work;
    info.sequence = sequence_;
    return info;
  }

  // Heard of, offered on or not: enough to answer "why not" and to offer by hand.
  struct Heard {
    Signed<task::TaskIntent> intent;
    Instant at{};  ///< first, or the last time that it came directly
    std::string state;
  };

  void consider(Instant now, Signed<task::TaskIntent> intent, std::optional<std::uint64_t> cost_by_hand, bool direct);
  /// Whether this node has what the task needs.
  [[nodiscard]] Status able(const task::TaskIntent& intent) const;
  /// Whether a peer seems to have what a task of this node's needs.
  [[nodiscard]] Status likely(const NodeId& node, const PeerTable::Peer& peer, const JobSpec& spec) const;
  /// Whether it also wants the task, at what is paid for it.
  [[nodiscard]] Status willing(Instant now, const Signed<task::TaskIntent>& intent) const;
  [[nodiscard]] Status check_by_hand(Instant now, const event::OfferByHand& offer) const;
  void take_envelope(Instant now, const NodeId& from, const Envelope& envelope);
  void refuse(const NodeId& to, const Cid& intent, const Cid& about, const Error& error);
  /// What a run has just used lies in the store, and so an offer on the same again can say that nothing need be fetched.
  void remember_content(const Cid& root);
  void housekeeping(Instant now);
  void announce(Instant now);
  void create_reduction(Instant now, Job& parent);
  Effects rename_requests(Effects effects);
  /// Takes a seat for which the ledger drew this node, or goes on with one.
  void take_seat(Instant now, const ledger::Work& work);
  /// Gives an intent to the seats that wait for it. Whether there are any.
  bool give_intent(Instant now, const Signed<task::TaskIntent>& intent);
  /// Whether it is a receipt for which this node has, or had, a seat.
  bool show_seat(Instant now, const Cid& intent, const Envelope& envelope);
  /// The intent of a task that this node has heard of or takes part in; null else.
  [[nodiscard]] const Signed<task::TaskIntent>* known_intent(const Cid& cid) const;
  [[nodiscard]] Interest interest() const;
  /// Whether this node's key is the one that signs for its account, as far as the ledger is known.
  [[nodiscard]] Status check_own_key() const;
  /// Whether there is enough for the whole fee, as far as the ledger is known.
  [[nodiscard]] Status check_balance(const JobSpec& spec) const;
  [[nodiscard]] Status able_to_be_paid(const task::TaskIntent& intent) const;
  /// What goes on by a key that is the node's, or was; none by any other.
  [[nodiscard]] std::optional<Surroundings> around_by(const PublicKey& key) const;
  /// The job of a journal's record, by the key that it was made with; none where the settings have changed so that it is another.
  [[nodiscard]] Result<std::unique_ptr<Job>> restored_job(Instant now, const Cid& id, const Job::Origin& origin) const;
  Job* job_of(const Cid& cid) {
    const auto it = jobs_.find(cid);
    return it == jobs_.end() ? nullptr : it->second.get();
  }

  Config config_;
  Cid policy_;
  identity::Signer signer_;
  std::vector<identity::Signer> former_;
  PeerTable peers_;
  Executions executions_;
  market::FreeQuota quota_;
  market::Pricing pricing_;
  reputation::Experience experience_;
  LedgerView ledger_;
  LedgerDesk desk_;
  Surroundings around_;
  Outbox out_;
  Instant last_{};

  std::map<Cid, std::unique_ptr<Job>> jobs_;
  std::vector<Cid> job_order_;
  std::map<Cid, std::unique_ptr<Engagement>> engagements_;
  std::map<Cid, std::unique_ptr<LedgerSeat>> seats_;  ///< by the worker's commitment
  std::map<Cid, Heard> heard_;
  std::deque<Cid> heard_order_;
  std::set<Cid> content_;  ///< functions and inputs of the latest runs here
  std::deque<Cid> content_order_;
  std::map<std::uint64_t, Cid> requests_;  ///< FetchResults, BuildReduceInput and WrapKeys under way
  std::uint64_t next_request_ = 1;

  std::uint64_t sequence_ = 1;
  Instant next_announcement_{};
  Instant last_announcement_{};
  bool changed_ = true;
};

}  // namespace mesh::node
