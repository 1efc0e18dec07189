// What people and programs see of a node, as JSON: one place that decides names and forms, for the HTTP API and, through
// it, for the command line. The schemas of the same things are in schemas.h.
//
// Times are RFC 3339 in UTC, durations integers in the unit that the name ends with, nodes PeerIds, content CIDs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/api/backend.h"

namespace mesh::app {

/// The name of an enum's value, as records have it.
template <class E>
[[nodiscard]] std::string_view word(E value) {
  return enum_names(value)[static_cast<std::size_t>(value)];
}

using Json = nlohmann::ordered_json;

/// 2026-11-21T13:09:07.123Z
[[nodiscard]] std::string rfc3339(std::int64_t ms);
/// As text, with what is not UTF-8 replaced.
[[nodiscard]] std::string dump(const Json& json);

/// Each part with one sentence for people.
[[nodiscard]] Json reach_status_json(const ReachStatus& status);
[[nodiscard]] Json dht_json(const Runtime::Announced& dht);
[[nodiscard]] Json node_json(const Backend& backend);
[[nodiscard]] Json peer_json(const PeerLine& peer);
[[nodiscard]] Json asset_json(const asset::Asset& asset);
[[nodiscard]] Json added_json(const store::Shares::Added& added);
/// The same of content of which only the root is known.
[[nodiscard]] Json root_json(const Cid& root);
[[nodiscard]] Json transfer_json(const Downloads::View& view);
[[nodiscard]] Json refreshed_json(const store::Shares::Refreshed& refreshed);
[[nodiscard]] Json peer_info_json(const node::PeerInfo& info);
[[nodiscard]] Json topology_json(const Backend& backend);
/// With which probability a cheat in 1, 10, 100, ... shards is caught; empty where all are re-executed.
[[nodiscard]] Json caught_json(std::uint32_t sample_per_mille, std::uint32_t shards);
[[nodiscard]] Json job_json(const node::JobView& job);
[[nodiscard]] Json shard_json(const node::ShardView& shard);
/// The job, its ranking, its refusals and its shards: why it went as it did.
[[nodiscard]] Json explain_json(const node::JobView& job, const std::vector<node::ShardView>& shards);
[[nodiscard]] Json intent_json(const node::Node::IntentView& intent);
[[nodiscard]] Json event_json(const LoggedEvent& event);
[[nodiscard]] Json outcome_json(const task::Outcome& outcome);
[[nodiscard]] Json reach_json(const ReachReport& report);
[[nodiscard]] std::string phase_name(node::JobPhase phase);
[[nodiscard]] bool has_ended(node::JobPhase phase);
/// Prometheus text format 0.0.4.
[[nodiscard]] std::string metrics_text(const Backend& backend);

}  // namespace mesh::app
