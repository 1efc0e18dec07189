#include "app/api/render.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "app/api/ledger_render.h"
#include "codec/multibase.h"
#include "domain/verification/quorum.h"

namespace mesh::app {
namespace {

using node::JobPhase;

Json text_or_null(const std::optional<Cid>& cid) { return cid ? Json(cid->text()) : Json(nullptr); }
std::string peer_text(const identity::NodeId& node) { return identity::peer_id_of(node); }

Json scope_json(const task::CapabilityScope& scope) {
  return {{"memory_mb", scope.memory_mb}, {"fuel", scope.fuel}, {"gpu_flops", scope.gpu_flops}, {"io_mb", scope.io_mb}};
}
Json limits_json(const task::PhaseLimits& limits) {
  return {{"fetch_ms", limits.fetch_ms},
          {"run_ms", limits.run_ms},
          {"nonce_ms", limits.nonce_ms},
          {"reveal_ms", limits.reveal_ms},
          {"total_ms", limits.total_ms}};
}

}  // namespace

std::string rfc3339(std::int64_t ms) {
  const std::int64_t whole = ms >= 0 ? ms / 1000 : (ms - 999) / 1000;
  const auto seconds = static_cast<std::time_t>(whole);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "1970-01-01T00:00:00.000Z";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", std::int64_t{parts.tm_year} + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, ms - whole * 1000);
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string phase_name(JobPhase phase) { return std::string(word(phase)); }
bool has_ended(JobPhase phase) {
  return phase == JobPhase::done || phase == JobPhase::failed || phase == JobPhase::stopped;
}

Json peer_info_json(const node::PeerInfo& info) {
  return {{"agent", info.agent},
          {"engine", info.engine},
          {"policy", info.policy.text()},
          {"cores", info.cores},
          {"memory_mb", info.memory_mb},
          {"gpu_flops", info.gpu_flops},
          {"gpus", info.gpus},
          {"fuel_per_second", info.fuel_per_second},
          {"running", info.running},
          {"queued", info.queued},
          {"accepts_work", info.accepts_work},
          {"services", info.services}};
}

Json reach_status_json(const ReachStatus& status) {
  Json relays = Json::array();
  std::string held;
  for (const ReachStatus::Relay& relay : status.relays) {
    const std::string name = identity::short_name(relay.peer);
    if (relay.held) held += (held.empty() ? "" : " and ") + name;
    relays.push_back(
        {{"peer", peer_text(relay.peer)},
         {"address", relay.address},
         {"held", relay.held},
         {"since", rfc3339(relay.since_ms)},
         {"text", relay.held ? fmt::format("peers reach this node through relay {} at {}", name, relay.address)
                             : fmt::format("relay {} is not used: {}", name, relay.text)}});
  }
  Json punches = Json::array();
  for (const ReachStatus::HolePunch& punch : status.hole_punches) {
    const std::string name = identity::short_name(punch.peer);
    punches.push_back({{"peer", peer_text(punch.peer)},
                       {"done", punch.done},
                       {"at", rfc3339(punch.at_ms)},
                       {"text", punch.done ? fmt::format("hole punching with {} succeeded: {}", name, punch.text)
                                           : fmt::format("hole punching with {} failed, what goes there is relayed: {}",
                                                         name, punch.text)}});
  }
  std::string text;
  if (status.reachability == "public") {
    text = fmt::format("peers can dial this node at {}", status.address);
  } else if (status.reachability == "private") {
    text = "behind a NAT or a firewall: peers cannot dial this node; ";
    text += held.empty()
                ? "no relay among its peers takes it, so that only peers which it dials itself are reached: --join "
                  "a node that can be dialed"
                : "it is reached through relay " + held;
  } else {
    text = fmt::format("not known whether peers can dial this node: {}", status.text);
  }
  return {{"reachability", status.reachability},
          {"since", rfc3339(status.since_ms)},
          {"address", status.address},
          {"relaying", status.relaying},
          {"text", text},
          {"relays", std::move(relays)},
          {"hole_punches", std::move(punches)}};
}

Json dht_json(const Runtime::Announced& dht) {
  return {{"roots", dht.roots}, {"announced", dht.announced}, {"left_out", dht.left_out}};
}

Json node_json(const Backend& backend) {
  const auto [running, queued] = backend.load();
  const Health health = backend.health();
  Json json{{"peer", peer_text(backend.id())},
            {"did", identity::did_of(backend.id())},
            {"version", MESH_VERSION},
            {"federation", {{"name", backend.federation_name()}, {"cid", backend.federation().text()}}},
            {"home", backend.home()},
            {"started", rfc3339(backend.started_ms())},
            {"boot", backend.boot()},
            {"ready", health.ready},
            {"reason", health.reason},
            {"addresses", backend.listen_addresses()},
            {"reach", reach_status_json(backend.reach_status())},
            {"dht", dht_json(backend.announced())},
            {"peers", std::ranges::count_if(backend.peers(), [](const PeerLine& peer) { return peer.connected; })},
            {"jobs", backend.jobs().size()},
            {"running", running},
            {"queued", queued}};
  json["resources"] = peer_info_json(backend.own_info());
  return json;
}

Json peer_json(const PeerLine& peer) {
  Json json{{"peer", peer_text(peer.node)},
            {"short", identity::short_name(peer.node)},
            {"connected", peer.connected},
            {"address", peer.address},
            {"transport", peer.transport},
            {"found", peer.found},
            {"outbound", peer.outbound},
            {"agent", peer.agent},
            {"rtt_us", peer.round_trip.count()},
            {"jitter_us", peer.jitter.count()},
            {"penalty", peer.penalty}};
  json["resources"] = peer.info ? peer_info_json(*peer.info) : Json(nullptr);
  return json;
}

Json root_json(const Cid& root) {
  return {{"path", nullptr},  {"share", nullptr},  {"full_path", nullptr},  {"cid", root.text()},
          {"bytes", nullptr}, {"sha256", nullptr}, {"visibility", nullptr}, {"hub", nullptr}};
}

Json asset_json(const asset::Asset& asset) {
  Json json{{"path", asset.path},
            {"share", asset.share},
            {"full_path", full_path(asset)},
            {"cid", asset.cid.text()},
            {"bytes", asset.bytes},
            {"sha256", asset.sha256.hex()},
            {"visibility", enum_names(asset.visibility)[static_cast<std::size_t>(asset.visibility)]},
            {"hub", nullptr},
            {"model", nullptr}};
  if (asset.hub) {
    json["hub"] = {{"repository", asset.hub->repository},
                   {"revision", asset.hub->revision},
                   {"references", asset.hub->references},
                   {"file", asset.hub->file}};
  }
  if (asset.model) {
    json["model"] = {
        {"format", word(asset.model->format)},
        {"architecture", asset.model->architecture},
        {"parameters", asset.model->parameters},
        {"quantisation", asset.model->quantisation},
        {"context_tokens", asset.model->context_tokens ? Json(*asset.model->context_tokens) : Json(nullptr)}};
  }
  return json;
}

Json added_json(const store::Shares::Added& added) {
  const asset::Share& share = added.share;
  Json json{{"path", (std::filesystem::path(share.folder) / share.file).string()},
            {"cid", added.root.text()},
            {"files", added.files},
            {"bytes", added.bytes},
            {"visibility", nullptr}};
  if (share.file.empty()) json["path"] = share.folder;
  if (share.is_listed) json["visibility"] = enum_names(share.visibility)[static_cast<std::size_t>(share.visibility)];
  return json;
}

Json transfer_json(const Downloads::View& view) {
  Json holders = Json::array();
  for (const LeafFetch::HolderFigures& holder : view.holders) {
    Json transports = Json::array();
    for (const LeafFetch::TransportFigures& one : holder.transports)
      transports.push_back({{"transport", one.transport}, {"bytes", one.bytes}, {"bytes_per_s", one.bytes_per_s}});
    holders.push_back({{"peer", peer_text(holder.node)},
                       {"bytes", holder.bytes},
                       {"bytes_per_s", holder.bytes_per_s},
                       {"transports", transports}});
  }
  return {{"cid", view.root.text()},
          {"path", view.path},
          {"file", view.file.string()},
          {"state", enum_names(view.state)[static_cast<std::size_t>(view.state)]},
          {"bytes", view.bytes},
          {"bytes_here", view.bytes_here},
          {"bytes_fetched", view.bytes_fetched},
          {"bytes_per_s", view.bytes_per_s()},
          {"holders", holders},
          {"error", view.error}};
}

Json refreshed_json(const store::Shares::Refreshed& refreshed) {
  Json problems = Json::array();
  for (const store::Shares::Problem& problem : refreshed.problems)
    problems.push_back({{"share", problem.share}, {"path", problem.path}, {"why", problem.why}});
  return {{"files", refreshed.files},
          {"bytes", refreshed.bytes},
          {"read_files", refreshed.read_files},
          {"read_bytes", refreshed.read_bytes},
          {"changed", refreshed.changed},
          {"problem_count", refreshed.problem_count},
          {"problems", problems}};
}

Json topology_json(const Backend& backend) {
  Json nodes = Json::array();
  Json links = Json::array();
  const std::string self = peer_text(backend.id());
  nodes.push_back({{"peer", self},
                   {"self", true},
                   {"agent", backend.own_info().agent},
                   {"resources", peer_info_json(backend.own_info())}});
  for (const PeerLine& peer : backend.peers()) {
    nodes.push_back({{"peer", peer_text(peer.node)},
                     {"self", false},
                     {"agent", peer.agent},
                     {"resources", peer.info ? peer_info_json(*peer.info) : Json(nullptr)}});
    if (!peer.connected) continue;
    links.push_back({{"source", self},
                     {"target", peer_text(peer.node)},
                     {"transport", peer.transport},
                     {"rtt_us", peer.round_trip.count()}});
  }
  return {{"nodes", std::move(nodes)}, {"links", std::move(links)}};
}

Json outcome_json(const task::Outcome& outcome) {
  return {{"kind", word(outcome.kind)},     {"exit_code", outcome.exit_code}, {"trap", outcome.trap},
          {"backtrace", outcome.backtrace}, {"detail", outcome.detail},       {"succeeded", outcome.succeeded()},
          {"text", outcome.text()}};
}

Json caught_json(std::uint32_t sample_per_mille, std::uint32_t shards) {
  Json rows = Json::array();
  for (std::uint64_t wrong = 1; wrong <= shards && sample_per_mille < task::TaskIntent::everything; wrong *= 10) {
    const double probability = verification::catch_probability(sample_per_mille, wrong);
    // Rounded down: nothing is certain.
    rows.push_back(
        {{"wrong_shards", wrong}, {"probability_per_million", static_cast<std::uint64_t>(probability * 1e6 + 1e-6)}});
  }
  return rows;
}

namespace {
/// Amounts of micro-credits are decimal text everywhere: they can be more than a JSON number holds.
Json escrow_view_json(const node::EscrowView& escrow) {
  Json works = Json::array();
  for (const node::EscrowView::Part& work : escrow.works) {
    Json payouts = Json::array();
    for (const ledger::Payout& one : work.payouts)
      payouts.push_back({{"account", identity::did_of(one.account)},
                         {"peer", peer_text(one.account)},
                         {"amount", std::to_string(one.amount)},
                         {"from_bond", one.from_bond}});
    works.push_back({{"commitment", work.commitment.text()},
                     {"worker", peer_text(work.worker)},
                     {"state", work.state},
                     {"accepted", work.accepted},
                     {"rejected", work.rejected},
                     {"undecided", work.undecided},
                     {"paid", std::to_string(work.paid)},
                     {"due", block_time_text(work.due_ms)},
                     {"payouts", std::move(payouts)},
                     {"to_treasury", std::to_string(work.to_treasury)}});
  }
  return {{"state", escrow.state},
          {"place", escrow.place.hex()},
          {"locked", std::to_string(escrow.locked)},
          {"held", std::to_string(escrow.held)},
          {"paid", std::to_string(escrow.paid)},
          {"refunded", std::to_string(escrow.refunded)},
          {"shards_paid", escrow.shards_paid},
          {"works", std::move(works)}};
}
}  // namespace

Json job_json(const node::JobView& job) {
  const auto elapsed = std::chrono::duration_cast<milliseconds>(job.ended - job.started).count();
  Json json{{"id", job.id.text()},
            {"label", job.spec.label},
            {"phase", phase_name(job.phase)},
            {"ended", has_ended(job.phase)},
            {"failure", job.failure},
            {"unverified", job.unverified},
            {"shards", job.shards},
            {"finished", job.finished},
            {"running", job.running},
            {"verifying", job.verifying},
            {"failed_outcomes", job.failed_outcomes},
            {"function", job.spec.function.text()},
            {"inputs", job.spec.inputs.text()},
            {"reduce", text_or_null(job.spec.reduce)},
            {"reduce_job", text_or_null(job.reduce_job)},
            {"result", text_or_null(job.result)},
            {"fee", job.spec.fee},
            {"verifiers", job.spec.verifiers ? Json(*job.spec.verifiers) : Json(nullptr)},
            {"value", job.spec.value},
            {"sample_per_mille", job.spec.sample},
            {"sealed", job.spec.sealed.value_or(false)},
            {"checked", job.checked},
            {"fuel", job.fuel},
            {"created", rfc3339(job.spec.created_ms)},
            {"elapsed_ms", has_ended(job.phase) && elapsed >= 0 ? Json(elapsed) : Json(nullptr)}};
  json["scope"] = scope_json(job.spec.scope);
  json["limits"] = limits_json(job.spec.limits);
  json["bid_window_ms"] = job.spec.bid_window_ms;
  json["notes"] = job.notes;
  json["escrow"] = job.escrow ? escrow_view_json(*job.escrow) : Json(nullptr);
  json["caught"] = job.unverified ? Json::array() : caught_json(job.spec.sample, job.shards);
  return json;
}

Json shard_json(const node::ShardView& shard) {
  Json json{{"shard", shard.shard},
            {"state", shard.state},
            {"worker", shard.worker ? Json(peer_text(*shard.worker)) : Json(nullptr)},
            {"decision", shard.decision ? Json(word(*shard.decision)) : Json(nullptr)},
            {"contribution", shard.contribution}};
  if (shard.finding) {
    json["result"] = shard.finding->result.text();
    json["log"] = shard.finding->log.text();
    json["fuel"] = shard.finding->fuel;
    json["outcome"] = outcome_json(shard.finding->outcome);
  } else {
    json["result"] = nullptr;
    json["log"] = nullptr;
    json["fuel"] = nullptr;
    json["outcome"] = nullptr;
  }
  json["summary"] = shard.summary ? Json{{"wall_ms", shard.summary->wall_ms},
                                         {"peak_memory_bytes", shard.summary->peak_memory_bytes},
                                         {"io_bytes", shard.summary->io_bytes}}
                                  : Json(nullptr);
  Json seats = Json::array();
  for (const node::SeatView& seat : shard.seats)
    seats.push_back({{"peer", peer_text(seat.node)}, {"state", seat.state}});
  json["seats"] = std::move(seats);
  json["story"] = shard.story;
  return json;
}

Json explain_json(const node::JobView& job, const std::vector<node::ShardView>& shards) {
  Json ranking = Json::array();
  for (const market::Ranked& line : job.ranking) {
    ranking.push_back({{"peer", peer_text(line.node)},
                       {"score", line.score},
                       {"reputation", line.reputation_points},
                       {"cost", line.cost_points},
                       {"capacity", line.capacity_points},
                       {"speed", line.speed_points},
                       {"nearness", line.nearness_points},
                       {"holding", line.holding_points},
                       {"penalised", line.penalised}});
  }
  Json refused = Json::array();
  for (const node::RefusalView& refusal : job.refused)
    refused.push_back({{"peer", peer_text(refusal.node)}, {"reason", refusal.reason}});
  Json lines = Json::array();
  for (const node::ShardView& shard : shards) lines.push_back(shard_json(shard));
  return {{"job", job_json(job)},
          {"ranking", std::move(ranking)},
          {"refused", std::move(refused)},
          {"shards", std::move(lines)}};
}

Json intent_json(const node::Node::IntentView& intent) {
  return {{"cid", intent.cid.text()}, {"publisher", peer_text(intent.publisher)},
          {"label", intent.label},    {"shards", intent.shards},
          {"fee", intent.fee},        {"state", intent.state}};
}

Json event_json(const LoggedEvent& event) {
  Json json{{"seq", event.seq}, {"time", rfc3339(event.time_ms)}, {"kind", event.notice.kind}};
  if (event.notice.job) json["job"] = event.notice.job->text();
  if (event.notice.peer) json["peer"] = peer_text(*event.notice.peer);
  if (!event.notice.shards.empty()) {
    json["shard"] = event.notice.shards.front().first;
    Json ranges = Json::array();
    for (const task::ShardRange& range : event.notice.shards) ranges.push_back({range.first, range.count});
    json["shards"] = std::move(ranges);
  }
  if (!event.notice.phase.empty()) json["phase"] = event.notice.phase;
  if (!event.notice.text.empty()) json["text"] = event.notice.text;
  if (const auto& transfer = event.notice.transfer) {
    json["transfer"] = {{"cid", transfer->root.text()},
                        {"path", transfer->path},
                        {"bytes", transfer->bytes},
                        {"bytes_here", transfer->bytes_here},
                        {"bytes_per_s", transfer->bytes_per_s},
                        {"holders", transfer->holders}};
  }
  // Base64, since a log may be cut inside a character.
  if (!event.notice.bytes.empty()) json["data"] = multibase_encode(Base::base64, event.notice.bytes);
  return json;
}

Json reach_json(const ReachReport& report) {
  Json attempts = Json::array();
  for (const ReachAttempt& attempt : report.attempts)
    attempts.push_back({{"address", attempt.address}, {"outcome", attempt.outcome}, {"text", attempt.text}});
  return {{"peer", report.peer}, {"already_connected", report.already_connected}, {"attempts", std::move(attempts)}};
}

std::string metrics_text(const Backend& backend) {
  std::string text;
  const auto add = [&text](std::string_view name, std::string_view type, std::string_view help, std::uint64_t value) {
    fmt::format_to(std::back_inserter(text), "# HELP meshwork_{0} {1}\n# TYPE meshwork_{0} {2}\nmeshwork_{0} {3}\n",
                   name, help, type, value);
  };
  const Counters counters = backend.counters();
  const auto [running, queued] = backend.load();
  const std::vector<PeerLine> peers = backend.peers();
  add("up", "gauge", "1 while the node is ready to work.", backend.health().ready ? 1 : 0);
  add("start_time_seconds", "gauge", "When the node started, in Unix time.",
      static_cast<std::uint64_t>(backend.started_ms() / 1000));
  add("peers_connected", "gauge", "Peers connected now.",
      static_cast<std::uint64_t>(std::ranges::count_if(peers, &PeerLine::connected)));
  add("jobs", "gauge", "Own jobs that are remembered.", backend.jobs().size());
  add("executions_running", "gauge", "Runs in the sandbox now.", running);
  add("executions_queued", "gauge", "Runs that wait for a slot.", queued);
  add("node_events_total", "counter", "Events taken by the node.", counters.events);
  add("executions_total", "counter", "Runs begun.", counters.executions);
  add("executions_failed_total", "counter", "Runs that this host could not carry out.", counters.executions_failed);
  add("fuel_total", "counter", "Fuel used by all runs that ended.", counters.fuel);
  add("blocks_served_total", "counter", "Blocks sent to peers.", counters.blocks_served);
  add("bytes_served_total", "counter", "Bytes of blocks sent to peers.", counters.bytes_served);
  add("blocks_fetched_total", "counter", "Blocks had from peers.", counters.blocks_fetched);
  add("bytes_fetched_total", "counter", "Bytes of blocks had from peers.", counters.bytes_fetched);
  add("bad_blocks_total", "counter", "Blocks from peers that were not what their name says.", counters.bad_blocks);
  add("commits_total", "counter", "Batches written to the journal.", counters.commits);
  add("commits_failed_total", "counter", "Batches that the disk did not take.", counters.commits_failed);
  add("messages_sent_total", "counter", "Direct messages sent.", counters.messages_sent);
  add("messages_dropped_total", "counter", "Direct messages dropped because the disk did not keep up.",
      counters.messages_dropped);
  add("messages_failed_total", "counter", "Direct messages that did not arrive.", counters.messages_failed);
  add("messages_received_total", "counter", "Direct messages received.", counters.messages_received);
  add("gossip_published_total", "counter", "Gossip messages published.", counters.gossip_published);
  add("gossip_received_total", "counter", "Gossip messages received.", counters.gossip_received);
  add("gossip_rejected_total", "counter", "Gossip messages rejected.", counters.gossip_rejected);
  add("store_blocks", "gauge", "Blocks in the store.", backend.blocks_count());
  add("store_bytes", "gauge", "Bytes of blocks in the store.", backend.blocks_bytes());
  return text;
}

}  // namespace mesh::app
