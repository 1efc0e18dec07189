#include "node/node.h"

#include <algorithm>

#include "base/check.h"
#include "codec/utf8.h"
#include "node/node_impl.h"
#include "node/parcel.h"

namespace mesh::node {

namespace {

using identity::short_name;

constexpr Duration announce_every = seconds(10);
constexpr Duration announce_at_least_apart = milliseconds(500);  // Changes come in bursts.
constexpr std::size_t max_known_intents = 1024;
constexpr std::size_t max_log_piece = 32 << 10;
constexpr std::size_t max_remembered_content = 4096;

/// The type and the task that a record is about, read without trust: both are checked again when it is opened.
struct Address {
  std::string type;
  Cid intent;
};

Result<Address> address_of(const Envelope& envelope) {
  MESH_LET(const dagcbor::Value body, dagcbor::decode(envelope.body, dagcbor::record_limits));
  Address address;
  const dagcbor::Value* type = body.find("type");
  if (type == nullptr || type->get<std::string>() == nullptr)
    return fail(ErrorCode::invalid, "a record without a type");
  address.type = *type->get<std::string>();
  if (address.type == task::TaskIntent::type) {
    address.intent = envelope.cid();
    return address;
  }
  const dagcbor::Value* intent = body.find("intent");
  if (intent == nullptr)
    return fail(ErrorCode::invalid, "a \"" + utf8_excerpt(address.type, 64) + "\" that names no task");
  MESH_TRY(record::from_value(*intent, address.intent));
  return address;
}

}  // namespace

std::span<const std::string_view> enum_names(JobPhase) {
  static constexpr std::array<std::string_view, 7> names{"bidding", "running", "reducing", "fetching",
                                                         "done",    "failed",  "stopped"};
  return names;
}

// ---------------------------------------------------------------------------------------------------- restart

std::optional<Surroundings> Node::Impl::around_by(const PublicKey& key) const {
  if (key == signer_.id()) return around_;
  const identity::Signer* signer = around_.signer_by(key);
  if (signer == nullptr) return std::nullopt;
  return Surroundings{.config = config_,
                      .signer = *signer,
                      .policy = policy_,
                      .peers = around_.peers,
                      .executions = around_.executions,
                      .quota = around_.quota,
                      .experience = around_.experience,
                      .ledger = around_.ledger,
                      .desk = around_.desk,
                      .former = former_,
                      .is_former = true};
}

Result<std::unique_ptr<Job>> Node::Impl::restored_job(Instant now, const Cid& id, const Job::Origin& origin) const {
  MESH_LET(std::unique_ptr<Job> job, Job::create(around_, now, origin.spec, origin.entropy, origin.reduces));
  if (job->id() == id) return job;
  for (const identity::Signer& signer : former_) {
    MESH_LET(job, Job::create(*around_by(signer.id()), now, origin.spec, origin.entropy, origin.reduces));
    if (job->id() == id) return job;
  }
  return nullptr;
}

Status Node::Impl::restore(Instant now, const std::vector<JournalRecord>& journal) {
  std::map<Cid, Signed<task::TaskIntent>> intents;
  const auto damaged = [](const JournalRecord& record, Error error) {
    return wrap("the journal's \"" + record.kind + "\" record of task " + record.scope.text() + " does not read back",
                std::move(error));
  };
  for (const JournalRecord& record : journal) {
    if (record.kind == "spec") {
      Result<Job::Origin> origin = record::decode<Job::Origin>(record.bytes);
      if (!origin) return damaged(record, std::move(origin.error()));
      Result<std::unique_ptr<Job>> job = restored_job(now, record.scope, *origin);
      if (!job) return damaged(record, std::move(job.error()));
      if (*job == nullptr) {
        // The engine, the owner in the settings or the key changed since: the signed intent would be another.
        continue;
      }
      job_order_.push_back(record.scope);
      jobs_.emplace(record.scope, std::move(*job));
      continue;
    }
    if (const auto job = jobs_.find(record.scope); job != jobs_.end()) {
      if (Status status = job->second->restore(record.kind, record.bytes); !status)
        return damaged(record, std::move(status.error()));
      continue;
    }
    if (LedgerSeat::is_first(record.kind)) {
      Result<std::unique_ptr<LedgerSeat>> seat = LedgerSeat::restored(around_, record.bytes);
      if (!seat) return damaged(record, std::move(seat.error()));
      if (config_.charter) seats_.insert_or_assign(record.scope, std::move(*seat));
      continue;
    }
    if (const auto seat = seats_.find(record.scope); seat != seats_.end()) {
      if (Status status = seat->second->restore(record.kind, record.bytes); !status)
        return damaged(record, std::move(status.error()));
      continue;
    }
    if (record.kind == "intent" || record.kind == "own-offer") {
      Result<Envelope> envelope = record::decode<Envelope>(record.bytes);
      if (!envelope) return damaged(record, std::move(envelope.error()));
      if (record.kind == "intent") {
        Result<Signed<task::TaskIntent>> intent = open<task::TaskIntent>(*envelope, signer_.federation());
        if (!intent) return damaged(record, std::move(intent.error()));
        intents.insert_or_assign(record.scope, std::move(*intent));
      } else {
        Result<Signed<market::ComputeOffer>> offer = open<market::ComputeOffer>(*envelope, signer_.federation());
        const auto intent = intents.find(record.scope);
        if (!offer) return damaged(record, std::move(offer.error()));
        if (intent == intents.end()) return damaged(record, {ErrorCode::storage, "the task's intent is missing"});
        const std::optional<Surroundings> around = around_by(offer->signer);
        if (!around) continue;  // By a key that this node has not any more.
        engagements_.insert_or_assign(record.scope,
                                      std::make_unique<Engagement>(*around, now, intent->second, std::move(*offer)));
      }
      continue;
    }
    const auto engagement = engagements_.find(record.scope);
    if (engagement == engagements_.end()) continue;  // Of a job that the settings orphaned (above).
    if (Status status = engagement->second->restore(record.kind, record.bytes); !status)
      return damaged(record, std::move(status.error()));
  }
  for (const Cid& cid : job_order_) {
    Job& job = *jobs_.at(cid);
    if (const auto& parent = job.reduces(); parent && jobs_.contains(*parent)) jobs_.at(*parent)->set_reduce_job(cid);
  }
  for (const Cid& cid : job_order_) jobs_.at(cid)->resume(now, out_);
  for (auto& [cid, engagement] : engagements_) engagement->resume(now, out_);
  return {};
}

// ---------------------------------------------------------------------------------------------------- peers

void Node::Impl::on(Instant now, event::PeerUp&& event) {
  peers_.up(now, event.peer);
  out_.notify({.kind = "peer.up", .peer = event.peer});
  changed_ = true;  // Gossip reaches a new peer late; say at once what this node is.
  next_announcement_ = std::min(next_announcement_, now + milliseconds(100));
  for (auto& [cid, job] : jobs_) job->on_peer_up(now, event.peer, out_);
}

void Node::Impl::on(Instant now, event::PeerDown&& event) {
  peers_.down(now, event.peer);
  out_.notify({.kind = "peer.down", .peer = event.peer});
}

void Node::Impl::on(Instant now, event::Gossip&& event) {
  const auto judge = [&](effect::GossipVerdict verdict, std::string why = {}) {
    if (!why.empty()) out_.notify({.kind = "node.refused", .peer = event.source, .text = std::move(why)});
    out_.add({effect::JudgeGossip{event.message, verdict}});
  };
  const Result<Envelope> envelope = record::decode<Envelope>(event.bytes);
  if (!envelope) return judge(effect::GossipVerdict::reject, "gossip that is no envelope: " + envelope.error().message);
  switch (event.topic) {
    case Topic::intents: {
      Result<Signed<task::TaskIntent>> intent = open<task::TaskIntent>(*envelope, signer_.federation());
      if (!intent) return judge(effect::GossipVerdict::reject, "an intent was refused: " + intent.error().message);
      if (const Status valid = task::validate(intent->record, config_.policy); !valid) {
        return judge(effect::GossipVerdict::reject, "an intent was refused: " + valid.error().message);
      }
      judge(effect::GossipVerdict::accept);
      give_intent(now, *intent);
      return consider(now, std::move(*intent), std::nullopt, false);
    }
    case Topic::capabilities: {
      Result<Signed<PeerInfo>> info = open<PeerInfo>(*envelope, signer_.federation());
      if (!info) return judge(effect::GossipVerdict::reject, "a PeerInfo was refused: " + info.error().message);
      const NodeId node = info->signer;
      const bool first = peers_.find(node) == nullptr || !peers_.find(node)->info;
      const bool fresh = node == signer_.id() || peers_.update(now, node, std::move(info->record));
      judge(fresh ? effect::GossipVerdict::accept : effect::GossipVerdict::ignore);
      if (first && fresh && node != signer_.id()) out_.notify({.kind = "peer.info", .peer = node});
      return;
    }
    case Topic::events: {
      const Result<Signed<market::Close>> close = open<market::Close>(*envelope, signer_.federation());
      if (!close) return judge(effect::GossipVerdict::reject, "an event was refused: " + close.error().message);
      judge(effect::GossipVerdict::accept);
      // Who offered and was not taken hears of the end in no other way.
      const auto engagement = engagements_.find(close->record.intent);
      if (engagement != engagements_.end() && engagement->second->publisher() == close->signer)
        engagement->second->close();
      const auto heard = heard_.find(close->record.intent);
      if (heard != heard_.end() && heard->second.intent.signer == close->signer) {
        heard_.erase(heard);
        std::erase(heard_order_, close->record.intent);
      }
      return;
    }
  }
}

void Node::Impl::on(Instant now, event::Message&& event) {
  const auto drop = [&](const std::string& why) {
    out_.notify({.kind = "node.refused", .peer = event.from, .text = "a message was refused: " + why});
  };
  if (event.bytes.size() > max_parcel_bytes) return drop("larger than " + std::to_string(max_parcel_bytes) + " bytes");
  Result<Parcel> parcel = record::decode<Parcel>(event.bytes);
  if (!parcel) return drop(parcel.error().message);
  if (parcel->envelopes.size() > max_parcel_envelopes)
    return drop("more than " + std::to_string(max_parcel_envelopes) + " records");
  if (parcel->blocks.size() > max_parcel_blocks)
    return drop("more than " + std::to_string(max_parcel_blocks) + " blocks");
  if (!parcel->blocks.empty()) {
    // Small results go along with their receipts; nobody else has anything to leave on this node's disk. What comes after
    // the task's end is honest, and left out as well.
    const bool expected =
        std::ranges::any_of(jobs_, [&](const auto& entry) { return entry.second->works_with(event.from); });
    if (expected) out_.add({effect::KeepBlocks{std::move(parcel->blocks)}});
  }
  for (const LogPiece& piece : parcel->logs) {
    if (Job* job = job_of(piece.intent)) job->on_log(event.from, piece, out_);
  }
  for (const Envelope& envelope : parcel->envelopes) take_envelope(now, event.from, envelope);
}

void Node::Impl::on(Instant, event::SendFailed&& event) {
  // What matters is sent again by whoever waits for the answer; here it is only told.
  out_.notify({.kind = "peer.unreachable", .peer = event.to, .text = event.reason});
}

void Node::Impl::refuse(const NodeId& to, const Cid& intent, const Cid& about, const Error& error) {
  out_.notify({.kind = "node.refused", .job = intent, .peer = to, .text = error.message});
  out_.send(
      to, Channel::offer,
      signer_.seal(market::Refusal{.intent = intent, .about = about, .reason = utf8_excerpt(error.message, 256)}));
}

void Node::Impl::take_envelope(Instant now, const NodeId& from, const Envelope& envelope) {
  const Result<Address> address = address_of(envelope);
  if (!address) {
    out_.notify({.kind = "node.refused", .peer = from, .text = "a record was refused: " + address.error().message});
    return;
  }
  const Cid& federation = signer_.federation();
  const std::string& type = address->type;
  if (Job* job = job_of(address->intent)) {
    const auto take = [&]<class T>(std::type_identity<T>, auto&& handle) {
      Result<Signed<T>> record = open<T>(envelope, federation);
      if (!record) return refuse(from, address->intent, envelope.cid(), record.error());
      handle(std::move(*record));
    };
    if (type == market::ComputeOffer::type) {
      take(std::type_identity<market::ComputeOffer>(),
           [&](Signed<market::ComputeOffer> offer) { job->on_offer(now, std::move(offer), out_); });
    } else if (type == market::Decline::type) {
      take(std::type_identity<market::Decline>(), [&](auto&& decline) { job->on_decline(now, decline, out_); });
    } else if (type == receipt::Commitment::type) {
      take(std::type_identity<receipt::Commitment>(),
           [&](const auto& commitment) { job->on_commitment(now, commitment, out_); });
    } else if (type == verification::NonceReveal::type) {
      take(std::type_identity<verification::NonceReveal>(),
           [&](Signed<verification::NonceReveal> reveal) { job->on_reveal(now, std::move(reveal), out_); });
    } else if (type == receipt::ExecutionReceipt::type) {
      take(std::type_identity<receipt::ExecutionReceipt>(),
           [&](const auto& receipt) { job->on_receipt(now, receipt, out_); });
    } else if (type == receipt::VerificationReceipt::type) {
      take(std::type_identity<receipt::VerificationReceipt>(),
           [&](const auto& receipt) { job->on_verification(now, receipt, out_); });
    } else if (type == verification::KeyRequest::type) {
      take(std::type_identity<verification::KeyRequest>(), [&](const auto& request) {
        // Another's, sent again, would keep its author from being heard.
        if (request.signer != from)
          return refuse(from, address->intent, request.cid,
                        {ErrorCode::unauthorised, "not-the-asker: another node asks for these keys"});
        job->on_key_request(now, request, out_);
      });
    } else if (type == market::Refusal::type) {
      take(std::type_identity<market::Refusal>(), [&](auto&& refusal) { job->on_refused(now, refusal, out_); });
    } else {
      refuse(from, address->intent, envelope.cid(),
             {ErrorCode::invalid, "unexpected: a \"" + utf8_excerpt(type, 64) + "\" is not for the publisher"});
    }
    return;
  }
  if (type == task::TaskIntent::type) {
    Result<Signed<task::TaskIntent>> intent = open<task::TaskIntent>(envelope, federation);
    if (!intent) return refuse(from, address->intent, envelope.cid(), intent.error());
    if (const Status valid = task::validate(intent->record, config_.policy); !valid)
      return refuse(from, address->intent, envelope.cid(), valid.error());
    if (give_intent(now, *intent)) return;
    return consider(now, std::move(*intent), std::nullopt, true);
  }
  if (type == market::Refusal::type) {
    const Result<Signed<market::Refusal>> refusal = open<market::Refusal>(envelope, federation);
    if (!refusal) return;
    out_.notify({.kind = "node.refused",
                 .job = address->intent,
                 .peer = from,
                 .text = short_name(from) + " refused: " + utf8_excerpt(refusal->record.reason, 256)});
    if (const auto heard = heard_.find(address->intent); heard != heard_.end())
      heard->second.state = "refused: " + utf8_excerpt(refusal->record.reason, 256);
    // Too late: an old intent that came again, perhaps. Nothing will come of this offer.
    const auto late = engagements_.find(address->intent);
    if (late != engagements_.end()) late->second->on_refused(*refusal);
    if (late != engagements_.end() && late->second->publisher() == refusal->signer && !late->second->has_roster() &&
        refusal->record.about == late->second->offer().cid && refusal->record.reason.starts_with("late:"))
      late->second->close();
    return;
  }
  if (type == receipt::ExecutionReceipt::type && show_seat(now, address->intent, envelope)) return;
  const auto engagement = engagements_.find(address->intent);
  if (engagement == engagements_.end()) {
    if (type == market::Close::type) return;  // It is over for this node anyway.
    return refuse(from, address->intent, envelope.cid(),
                  {ErrorCode::not_found, "unknown-task: this node has no part in that task"});
  }
  // Members ask one another for keys of sealed inputs, and give them.
  if (from != engagement->second->publisher() && engagement->second->is_member(from) &&
      (type == verification::KeyRequest::type || type == verification::ShardKeys::type)) {
    if (Status status = engagement->second->on_member(now, from, type, envelope, out_); !status)
      refuse(from, address->intent, envelope.cid(), status.error());
    return;
  }
  // Whatever another sends or relays (even a true record) would only take up room and keep the engagement alive.
  if (from != engagement->second->publisher()) {
    return refuse(from, address->intent, envelope.cid(),
                  {ErrorCode::unauthorised, "not-the-publisher: only the task's publisher tells its members anything"});
  }
  if (Status status = engagement->second->on_envelope(now, type, envelope, out_); !status) {
    refuse(from, address->intent, envelope.cid(), status.error());
  }
}

// ---------------------------------------------------------------------------------------------------- offering

namespace {

Status check_resources(const PeerInfo& host, const task::CapabilityScope& scope, const std::string& where) {
  const auto check = [&](std::string_view what, std::string_view unit, std::uint64_t wanted,
                         std::uint64_t given) -> Status {
    if (wanted <= given) return {};
    return fail(ErrorCode::exhausted, std::string(what) + ": " + std::to_string(wanted) + " " + std::string(unit) +
                                          " wanted, " + std::to_string(given) + " " + where);
  };
  MESH_TRY(check("memory", "MiB", scope.memory_mb, host.memory_mb));
  return check("gpu", "FLOPS", scope.gpu_flops, host.gpu_flops);
}

std::unexpected<Error> takes_no_work() { return fail(ErrorCode::denied, "takes no work"); }
std::unexpected<Error> queue_is_full() { return fail(ErrorCode::exhausted, "busy: the queue is full"); }

}  // namespace

Status Node::Impl::able(const task::TaskIntent& intent) const {
  if (!config_.accepts_work) return takes_no_work();
  if (intent.fee != 0) MESH_TRY(able_to_be_paid(intent));
  if (intent.policy != policy_) return fail(ErrorCode::denied, "policy: the task is under another policy");
  if (intent.engine != task::engine_of(config_.engine, intent.is_sealed()))
    return fail(ErrorCode::unsupported, "engine: the task wants \"" + utf8_excerpt(intent.engine, 100) + "\"");
  MESH_TRY(check_resources(config_.resources, intent.scope, "here"));
  if (executions_.queued() + executions_.running() >= config_.policy.scheduling.max_queued_shards)
    return queue_is_full();
  if (engagements_.size() >= config_.max_engagements)
    return fail(ErrorCode::exhausted, "busy: in too many tasks already");
  return {};
}

Status Node::Impl::likely(const NodeId& node, const PeerTable::Peer& peer, const JobSpec& spec) const {
  if (spec.fee != 0 && around_.ledger != nullptr) MESH_TRY(around_.ledger->check_worker(node, spec.fee));
  if (!peer.info) return fail(ErrorCode::unavailable, "unknown: it has not said yet what it is");
  const PeerInfo& info = *peer.info;
  if (!info.accepts_work) return takes_no_work();
  if (peers_.penalised(last_, node)) return fail(ErrorCode::denied, "passed over for a while: it " + peer.penalty);
  if (info.policy != policy_) return fail(ErrorCode::denied, "policy: it is under another one");
  if (info.engine != config_.engine)
    return fail(ErrorCode::unsupported, "engine: it has \"" + utf8_excerpt(info.engine, 100) + "\"");
  MESH_TRY(check_resources(info, spec.scope, "there"));
  if (std::uint64_t{info.queued} + info.running >= config_.policy.scheduling.max_queued_shards) return queue_is_full();
  return {};
}

Status Node::Impl::willing(Instant now, const Signed<task::TaskIntent>& signed_intent) const {
  const task::TaskIntent& intent = signed_intent.record;
  // Said even though nothing is paid yet: it is the answer that stays.
  if (config_.accepts_work) MESH_TRY(pricing_.quote(intent.scope, intent.fee, now));
  MESH_TRY(able(intent));
  if (intent.fee != 0) return {};  // The quota is for what nobody pays for.
  // Booked by what is used; asked for here is a thousandth of what could be, since scopes are generous.
  return quota_.check(now, signed_intent.signer, intent.scope.fuel / 1000);
}

void Node::Impl::consider(Instant now, Signed<task::TaskIntent> intent, std::optional<std::uint64_t> cost_by_hand,
                          bool direct) {
  if (around_.signer_by(intent.signer) != nullptr) return;
  const Cid cid = intent.cid;
  if (const auto engagement = engagements_.find(cid); engagement != engagements_.end()) {
    if (direct && !engagement->second->has_roster())
      out_.send(intent.signer, Channel::offer, engagement->second->offer().envelope);
    return;
  }
  if (!heard_.contains(cid)) {
    if (heard_order_.size() >= max_known_intents) {
      heard_.erase(heard_order_.front());
      heard_order_.pop_front();
    }
    heard_order_.push_back(cid);
    heard_.emplace(cid, Heard{intent, now, "heard"});
    out_.notify({.kind = "intent.heard", .job = cid, .peer = intent.signer, .text = intent.record.label});
  } else if (direct && !cost_by_hand) {
    heard_.at(cid).at = now;  // Who asks once more waits as long again.
  }
  // By hand is the owner's word: neither the price nor the quota is asked.
  if (const Status status = cost_by_hand ? able(intent.record) : willing(now, intent); !status) {
    heard_.at(cid).state = "declined: " + status.error().message;
    // To peers alone: a decline is not worth a dial.
    if (peers_.connected(intent.signer)) {
      out_.send(intent.signer, Channel::offer,
                signer_.seal(market::Decline{.intent = cid, .reason = utf8_excerpt(status.error().message, 256)}));
    }
    return;
  }
  const std::uint64_t per_second = std::max<std::uint64_t>(1, config_.resources.fuel_per_second);
  const std::uint64_t seconds_needed = intent.record.scope.fuel / per_second;
  const std::uint64_t cost =
      cost_by_hand ? *cost_by_hand : pricing_.quote(intent.record.scope, intent.record.fee, now).value_or(0);
  Signed<market::ComputeOffer> offer = signer_.sign(market::ComputeOffer{
      .intent = cid,
      .cost = cost,
      .capacity = std::clamp<std::uint32_t>(config_.slots, 1, 4096),
      .eta_ms = std::min<std::uint64_t>(seconds_needed, 86'400) * 1000 + 1000,
      .valid_ms = intent.record.bid_window_ms * 4 + 10'000,
      .nonce_tip = Engagement::nonce_tip(signer_, intent),
      .holds_inputs = content_.contains(intent.record.function) && content_.contains(intent.record.inputs),
      .owner = config_.owner});
  out_.journal(cid, "intent", record::encode(intent.envelope));
  out_.journal(cid, "own-offer", record::encode(offer.envelope));
  out_.send(intent.signer, Channel::offer, offer.envelope);
  heard_.at(cid).state = "offered";
  if (intent.record.fee != 0) out_.add({effect::Watch{cid}});
  engagements_.emplace(cid, std::make_unique<Engagement>(around_, now, std::move(intent), std::move(offer)));
}

Status Node::Impl::check_by_hand(Instant now, const event::OfferByHand& offer) const {
  if (jobs_.contains(offer.intent))
    return fail(ErrorCode::denied, "own-task: a publisher does not bid on its own task");
  if (engagements_.contains(offer.intent))
    return fail(ErrorCode::conflict, "already-offered: this node has an offer on this task already");
  const auto heard = heard_.find(offer.intent);
  if (heard == heard_.end()) {
    return fail(ErrorCode::not_found, "unknown-intent: no open intent " + offer.intent.text() +
                                          " was heard of; GET /api/v1/intents has those that were");
  }
  const task::TaskIntent& intent = heard->second.intent.record;
  if (heard->second.state == "over" || now - heard->second.at >= milliseconds(intent.bid_window_ms))
    return fail(ErrorCode::conflict, "window-closed: the bidding was open for " + std::to_string(intent.bid_window_ms) +
                                         " ms after the task was heard of");
  if (offer.cost > intent.fee) {
    return fail(ErrorCode::denied, "over-fee: a cost of " + std::to_string(offer.cost) + " is above the fee of " +
                                       std::to_string(intent.fee));
  }
  return able(intent);
}

void Node::Impl::on(Instant now, event::OfferByHand&& event) {
  // check_offer_by_hand says why not, before.
  if (check_by_hand(now, event)) consider(now, heard_.at(event.intent).intent, event.cost, true);
}

// ---------------------------------------------------------------------------------------------------- runs

void Node::Impl::on(Instant, event::ExecutionStarted&& event) {
  const effect::Execute* request = executions_.find(event.id);
  if (request == nullptr) return;
  out_.notify({.kind = "run.started", .job = request->intent, .shards = task::ranges_of(request->shards)});
}

void Node::Impl::on(Instant, event::ExecutionLog&& event) {
  const effect::Execute* request = executions_.find(event.id);
  if (request == nullptr || event.bytes.empty()) return;
  if (jobs_.contains(request->intent)) {
    out_.notify({.kind = "job.log",
                 .job = request->intent,
                 .peer = signer_.id(),
                 .shards = {{event.shard, 1}},
                 .phase = "running",
                 .text = {},
                 .bytes = std::move(event.bytes)});
    return;
  }
  const auto engagement = engagements_.find(request->intent);
  if (engagement == engagements_.end() || !engagement->second->awarded(event.shard)) return;
  for (std::size_t at = 0; at < event.bytes.size(); at += max_log_piece) {
    const std::size_t size = std::min(max_log_piece, event.bytes.size() - at);
    const auto first = event.bytes.begin() + static_cast<std::ptrdiff_t>(at);
    out_.send_log(engagement->second->publisher(), {.intent = request->intent,
                                                    .shard = event.shard,
                                                    .bytes = Bytes(first, first + static_cast<std::ptrdiff_t>(size))});
  }
}

void Node::Impl::on(Instant now, event::ExecutionDone&& event) {
  const std::optional<effect::Execute> request = executions_.progressed(now, event, out_);
  if (!request) return;
  changed_ = true;
  if (std::ranges::any_of(event.shards, [](const auto& shard) { return shard.result.has_value(); })) {
    remember_content(request->function);
    remember_content(request->inputs);
  }
  if (Job* job = job_of(request->intent)) return job->on_executed(now, event.shards, out_);
  for (auto& [cid, seat] : seats_) {
    if (seat->intent() == request->intent) seat->on_executed(now, event.shards, out_);
  }
  const auto engagement = engagements_.find(request->intent);
  if (engagement == engagements_.end()) return;
  engagement->second->on_executed(now, event.shards, out_);
  const bool is_free = engagement->second->intent().record.fee == 0;
  if (const std::uint64_t fuel = engagement->second->take_fuel(); fuel > 0 && is_free)
    quota_.use(now, engagement->second->publisher(), fuel);
}

void Node::Impl::remember_content(const Cid& root) {
  if (!content_.insert(root).second) return;
  content_order_.push_back(root);
  if (content_order_.size() <= max_remembered_content) return;
  content_.erase(content_order_.front());
  content_order_.pop_front();
}

void Node::Impl::on(Instant now, event::KeysWrapped&& event) {
  const auto request = requests_.find(event.id);
  if (request == requests_.end()) return;
  const Cid intent = request->second;
  requests_.erase(request);
  if (Job* job = job_of(intent)) return job->on_keys_wrapped(now, event, out_);
  const auto engagement = engagements_.find(intent);
  if (engagement != engagements_.end()) engagement->second->on_keys_wrapped(event, out_);
}

void Node::Impl::on(Instant now, event::ResultsFetched&& event) {
  const auto request = requests_.find(event.id);
  if (request == requests_.end()) return;
  Job* job = job_of(request->second);
  requests_.erase(request);
  if (job != nullptr) job->on_results_fetched(now, event.status, out_);
}

void Node::Impl::on(Instant now, event::ReduceInputBuilt&& event) {
  const auto request = requests_.find(event.id);
  if (request == requests_.end()) return;
  Job* job = job_of(request->second);
  requests_.erase(request);
  if (job != nullptr) job->on_reduce_input(now, event.inputs, out_);
}

Effects Node::Impl::rename_requests(Effects effects) {
  for (Effect& effect : effects) {
    std::visit(
        [&]<class T>(T& value) {
          if constexpr (std::same_as<T, effect::FetchResults> || std::same_as<T, effect::BuildReduceInput> ||
                        std::same_as<T, effect::WrapKeys>) {
            value.id = next_request_++;
            requests_.emplace(value.id, value.intent);
          }
        },
        effect.value);
  }
  return effects;
}

// ---------------------------------------------------------------------------------------------------- own jobs

void Node::Impl::on(Instant now, event::Submit&& event) {
  Result<std::unique_ptr<Job>> job = Job::create(around_, now, std::move(event.spec), event.entropy, std::nullopt);
  if (!job || jobs_.contains((*job)->id())) return;  // check_submit says why, before.
  const Cid cid = (*job)->id();
  Job& created = *jobs_.emplace(cid, std::move(*job)).first->second;
  job_order_.push_back(cid);
  created.start(now, out_);
}

void Node::Impl::on(Instant now, event::StopJob&& event) {
  if (Job* job = job_of(event.job)) {
    const JobView view = job->view();
    job->stop(now, out_);
    if (view.reduce_job) {
      if (Job* child = job_of(*view.reduce_job)) child->stop(now, out_);
    }
  }
}

void Node::Impl::on(Instant, event::HostMeasured&& event) {
  config_.resources.fuel_per_second = event.fuel_per_second;
  changed_ = true;
}

void Node::Impl::create_reduction(Instant now, Job& parent) {
  std::optional<JobSpec> spec = parent.take_reduce_spec();
  if (!spec) return;
  Result<std::unique_ptr<Job>> child =
      Job::create(around_, now, std::move(*spec), parent.reduce_entropy(), parent.id());
  MESH_CHECK(child.has_value(), "reduce-spec-is-valid");
  const Cid cid = (*child)->id();
  parent.set_reduce_job(cid);
  if (jobs_.contains(cid)) return;  // Created before a restart.
  Job& created = *jobs_.emplace(cid, std::move(*child)).first->second;
  job_order_.push_back(cid);
  created.start(now, out_);
}

void Node::Impl::housekeeping(Instant now) {
  std::vector<Cid> to_forget;
  for (std::size_t i = 0; i < job_order_.size(); ++i) {  // Grows while reductions are created.
    const Cid cid = job_order_[i];
    Job& job = *jobs_.at(cid);
    job.on_tick(now, out_);
    create_reduction(now, job);
    if (job.ended()) {
      if (const auto& parent = job.reduces()) {
        if (Job* waiting = job_of(*parent)) waiting->on_reduced(now, job, out_);
      }
      if (now - job.ended_at() > config_.finished_kept) to_forget.push_back(cid);
    }
  }
  for (const Cid& cid : to_forget) {
    jobs_.erase(cid);
    std::erase(job_order_, cid);
    out_.drop_scope(cid);
    out_.add({effect::Undeclare{cid}});
  }
  for (auto it = engagements_.begin(); it != engagements_.end();) {
    it->second->on_tick(now, out_);
    if (!it->second->over(now)) {
      ++it;
      continue;
    }
    executions_.cancel(now, it->first, out_);  // What a seat has to run it asks for again.
    desk_.forget(it->first);
    out_.drop_scope(it->first);
    out_.add({effect::Undeclare{it->first}});
    if (const auto heard = heard_.find(it->first); heard != heard_.end()) heard->second.state = "over";
    it = engagements_.erase(it);
  }
  for (auto it = seats_.begin(); it != seats_.end();) {
    it->second->on_tick(now, out_);
    if (!it->second->is_done(now)) {
      ++it;
      continue;
    }
    if (it->second->is_written()) out_.drop_scope(it->first);
    desk_.forget(it->first);
    const Cid intent = it->second->intent();
    it = seats_.erase(it);
    const bool is_served = engagements_.contains(intent) || std::ranges::any_of(seats_, [&](const auto& seat) {
                             return seat.second->intent() == intent;
                           });
    if (!is_served) out_.add({effect::Undeclare{intent}});
  }
  if (changed_ && now - last_announcement_ >= announce_at_least_apart)
    next_announcement_ = std::min(next_announcement_, now);
  if (now >= next_announcement_) announce(now);
}

void Node::Impl::announce(Instant now) {
  changed_ = false;
  last_announcement_ = now;
  next_announcement_ = now + announce_every;
  ++sequence_;
  out_.publish(Topic::capabilities, signer_.seal(own_info()));
}

// ---------------------------------------------------------------------------------------------------- the outside

Node::Node(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::create(Config config, Instant now, const std::vector<JournalRecord>& journal) {
  MESH_TRY(policy::validate(config.policy));
  const Cid policy = policy::cid_of(config.policy);
  MESH_LET(Cid federation, identity::derive_federation(config.federation, policy));
  if (config.charter) {
    if (!config.charter->ledger) return fail(ErrorCode::invalid, "the charter names no ledger");
    federation = dagcbor::cid_of(record::encode(*config.charter));
  }
  MESH_TRY(market::validate(config.pricing));
  if (config.slots < 1) return fail(ErrorCode::invalid, "a node has at least one slot");
  auto impl = std::make_unique<Impl>(std::move(config), policy, federation, now);
  MESH_TRY(impl->restore(now, journal));
  return std::unique_ptr<Node>(new Node(std::move(impl)));
}

Effects Node::step(Instant now, Event event) { return impl_->step(now, std::move(event)); }
std::optional<Instant> Node::next_deadline() const { return impl_->next_deadline(); }

void Node::confirm(const effect::Confirm& confirm) {
  impl_->out_.on_confirmed(confirm.persist);
  for (const auto& [cid, records] : confirm.jobs) {
    if (Job* const job = impl_->job_of(cid)) job->confirm(records);
  }
}

Result<Cid> Node::check_submit(const event::Submit& submit) const {
  std::size_t open_jobs = 0;
  for (const auto& [cid, job] : impl_->jobs_) open_jobs += job->ended() ? 0U : 1U;
  if (open_jobs >= impl_->config_.max_jobs) {
    return fail(ErrorCode::exhausted,
                "this node has " + std::to_string(open_jobs) +
                    " unfinished jobs already; wait for some to end, or stop them with \"mesh job stop\"");
  }
  MESH_LET(const std::unique_ptr<Job> job,
           Job::create(impl_->around_, impl_->last_, submit.spec, submit.entropy, std::nullopt));
  if (submit.spec.fee != 0) MESH_TRY(impl_->check_balance(submit.spec));
  return job->id();
}

std::vector<Prospect> Node::prospects(const JobSpec& spec) const {
  std::vector<Prospect> prospects;
  for (const auto& [node, peer] : impl_->peers_.all()) {
    if (!peer.connected) continue;
    const Status status = impl_->likely(node, peer, spec);
    prospects.push_back({.node = node, .lacks = status ? std::string() : status.error().message});
  }
  return prospects;
}

Status Node::check_offer_by_hand(Instant now, const event::OfferByHand& offer) const {
  return impl_->check_by_hand(now, offer);
}

const NodeId& Node::id() const { return impl_->signer_.id(); }
const Cid& Node::federation() const { return impl_->signer_.federation(); }
std::vector<Cid> Node::jobs() const { return impl_->job_order_; }

std::optional<JobView> Node::job(const Cid& id) const {
  const Job* job = impl_->job_of(id);
  return job == nullptr ? std::nullopt : std::optional(job->view());
}

std::vector<ShardView> Node::shards(const Cid& id, std::uint32_t first, std::uint32_t count) const {
  const Job* job = impl_->job_of(id);
  return job == nullptr ? std::vector<ShardView>{} : job->shards(first, count);
}

std::vector<std::pair<Cid, Cid>> Node::results(const Cid& id) const {
  const Job* job = impl_->job_of(id);
  return job == nullptr ? std::vector<std::pair<Cid, Cid>>{} : job->results();
}

ledger::PaymentPart Node::payment_part(const Cid& id) const {
  const Job* job = impl_->job_of(id);
  return job == nullptr ? ledger::PaymentPart{} : job->payment_part();
}

std::vector<Envelope> Node::story(const Cid& id) const {
  const Job* job = impl_->job_of(id);
  return job == nullptr ? std::vector<Envelope>{} : job->story();
}

std::vector<PeerView> Node::peers() const {
  std::vector<PeerView> views;
  for (const auto& [node, peer] : impl_->peers_.all()) {
    const bool penalised = impl_->peers_.penalised(impl_->last_, node);
    views.push_back({.node = node,
                     .connected = peer.connected,
                     .info = peer.info,
                     .round_trip = peer.round_trip,
                     .penalty = penalised ? peer.penalty : std::string()});
  }
  return views;
}

Interest Node::interest() const { return impl_->interest(); }

PeerInfo Node::own_info() const { return impl_->own_info(); }

std::vector<Node::IntentView> Node::intents() const {
  std::vector<IntentView> views;
  for (const Cid& cid : impl_->heard_order_) {
    const Impl::Heard& heard = impl_->heard_.at(cid);
    views.push_back({.cid = cid,
                     .publisher = heard.intent.signer,
                     .label = heard.intent.record.label,
                     .shards = heard.intent.record.shards,
                     .fee = heard.intent.record.fee,
                     .state = heard.state});
  }
  return views;
}

std::pair<std::size_t, std::size_t> Node::load() const {
  return {impl_->executions_.running(), impl_->executions_.queued()};
}

}  // namespace mesh::node
