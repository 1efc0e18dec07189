// The schemas of /openapi.json, in a notation of one line each, so that they are read beside what renders them.
//
// "name:type name:type ...": a name that ends with '?' may be absent, a type that ends with "[]" is a list, one that ends
// with "|null" may be null; a type is string, integer, boolean, any, or the name of another schema.
#pragma once

#include <array>
#include <string_view>

namespace mesh::app {

struct NamedSchema {
  std::string_view name;
  std::string_view fields;
};

inline constexpr std::array schema_table{
    NamedSchema{"Problem", "type:string title:string status:integer detail:string candidates?:string[]"},
    NamedSchema{"Resources",
                "agent:string engine:string policy:string cores:integer memory_mb:integer gpu_flops:integer "
                "gpus:string[] fuel_per_second:integer "
                "running:integer queued:integer accepts_work:boolean services:string[]"},
    NamedSchema{"Federation", "name:string cid:string"},
    NamedSchema{
        "Node",
        "peer:string did:string version:string federation:Federation home:string started:string boot:integer "
        "ready:boolean reason:string "
        "addresses:string[] reach:Reachability dht:Dht peers:integer jobs:integer running:integer queued:integer "
        "resources:Resources"},
    NamedSchema{"Reachability",
                "reachability:string since:string address:string relaying:boolean text:string relays:Relay[] "
                "hole_punches:HolePunch[]"},
    NamedSchema{"Dht", "roots:integer announced:integer left_out:integer"},
    NamedSchema{"Relay", "peer:string address:string held:boolean since:string text:string"},
    NamedSchema{"HolePunch", "peer:string done:boolean at:string text:string"},
    NamedSchema{"Peer",
                "peer:string short:string connected:boolean address:string transport:string found:string "
                "outbound:boolean agent:string "
                "rtt_us:integer jitter_us:integer penalty:string resources:Resources|null"},
    NamedSchema{"TopologyNode", "peer:string self:boolean agent:string resources:Resources|null"},
    NamedSchema{"TopologyLink", "source:string target:string transport:string rtt_us:integer"},
    NamedSchema{"Topology", "nodes:TopologyNode[] links:TopologyLink[]"},
    NamedSchema{"Addresses", "peerId:string addrs:string[]"},
    NamedSchema{"Scope", "memory_mb:integer fuel:integer gpu_flops:integer io_mb:integer"},
    NamedSchema{"Limits", "fetch_ms:integer run_ms:integer nonce_ms:integer reveal_ms:integer total_ms:integer"},
    NamedSchema{"Job",
                "id:string label:string phase:string ended:boolean failure:string unverified:boolean shards:integer "
                "finished:integer running:integer "
                "verifying:integer failed_outcomes:integer function:string inputs:string reduce:string|null "
                "reduce_job:string|null result:string|null "
                "fee:integer verifiers:integer|null value:integer sample_per_mille:integer sealed:boolean "
                "checked:integer caught:Caught[] "
                "fuel:integer created:string elapsed_ms:integer|null scope:Scope "
                "limits:Limits "
                "bid_window_ms:integer notes:string[]"},
    NamedSchema{"Caught", "wrong_shards:integer probability_per_million:integer"},
    NamedSchema{
        "Outcome",
        "kind:string exit_code:integer trap:string backtrace:string[] detail:string succeeded:boolean text:string"},
    NamedSchema{"Seat", "peer:string state:string"},
    NamedSchema{"Summary", "wall_ms:integer peak_memory_bytes:integer io_bytes:integer"},
    NamedSchema{"Shard",
                "shard:integer state:string worker:string|null decision:string|null contribution:integer "
                "result:string|null log:string|null "
                "fuel:integer|null outcome:Outcome|null summary:Summary|null seats:Seat[] story:string[]"},
    NamedSchema{"Rank",
                "peer:string score:integer reputation:integer cost:integer capacity:integer speed:integer "
                "nearness:integer holding:integer penalised:boolean"},
    NamedSchema{"Refusal", "peer:string reason:string"},
    NamedSchema{"Explanation", "job:Job ranking:Rank[] refused:Refusal[] shards:Shard[]"},
    NamedSchema{"ShardResult", "shard:integer result:string log:string"},
    NamedSchema{"LogLine", "shard:integer peer:string|null data:string"},
    NamedSchema{"Intent", "cid:string publisher:string label:string shards:integer fee:integer state:string"},
    NamedSchema{"Program", "cid:string language:string script?:string args?:string[]"},
    NamedSchema{"Source", "language:string source?:string source_base64?:string args?:string[]"},
    NamedSchema{"TaskRequest",
                "function:any inputs?:any[] map?:boolean reduce?:any fee?:integer verifiers?:integer value?:integer "
                "sample_per_mille?:integer sealed?:boolean fuel?:integer "
                "memory_mb?:integer io_mb?:integer "
                "gpu_flops?:integer bid_window_ms?:integer limits?:any label?:string dry_run?:boolean"},
    NamedSchema{"TaskAccepted", "id:string"},
    NamedSchema{"TaskPlan",
                "function:string description:string inputs:string shards:integer bytes:integer reduce:string|null "
                "fee_total:integer verifiers:integer|null value:integer sample_per_mille:integer sealed:boolean "
                "scope:Scope limits:Limits"},
    NamedSchema{"Stopped", "id:string"},
    NamedSchema{"Asset", "cid:string bytes:integer"},
    NamedSchema{"Added", "path:string cid:string files:integer bytes:integer visibility:string|null"},
    NamedSchema{"Removed", "path:string"},
    NamedSchema{"Roots", "roots:string[]"},
    NamedSchema{"FolderEntry", "path:string cid:string"},
    NamedSchema{"Folder", "cid:string entries:FolderEntry[]"},
    NamedSchema{"FetchRequest", "from?:string[] timeout_ms?:integer path?:string visibility?:string sha256?:string"},
    NamedSchema{"Fetched", "cid:string file?:string"},
    NamedSchema{"Named", "cid:string"},
    NamedSchema{"Pin", "cid:string path:string since:string"},
    NamedSchema{"Pins", "pins:Pin[]"},
    NamedSchema{"HubName", "repository:string revision:string references:string[] file:string"},
    NamedSchema{"ModelHeader",
                "format:string architecture:string parameters:integer quantisation:string "
                "context_tokens:integer|null"},
    NamedSchema{"SharedFile",
                "path:string share:string full_path:string cid:string bytes:integer sha256:string visibility:string "
                "hub:HubName|null model:ModelHeader|null"},
    NamedSchema{"Manifest", "sequence:integer files:integer bytes:integer assets:SharedFile[]"},
    NamedSchema{"AssetInfo", "sha256:string size:integer"},
    NamedSchema{"FoundFile",
                "path:string|null share:string|null full_path:string|null cid:string bytes:integer|null "
                "sha256:string|null visibility:string|null hub:HubName|null"},
    NamedSchema{"Holding", "asset:FoundFile source:string peer:string rtt_us:integer localPath:string"},
    NamedSchema{"AssetAnswer",
                "found:boolean source:string localPath?:string peerId?:string assetInfo?:AssetInfo complete:boolean "
                "dht?:string holdings:Holding[]"},
    NamedSchema{"ShareProblem", "share:string path:string why:string"},
    NamedSchema{"TransferTransport", "transport:string bytes:integer bytes_per_s:integer"},
    NamedSchema{"TransferHolder", "peer:string bytes:integer bytes_per_s:integer transports:TransferTransport[]"},
    NamedSchema{
        "Transfer",
        "cid:string path:string file:string state:string bytes:integer bytes_here:integer bytes_fetched:integer "
        "bytes_per_s:integer holders:TransferHolder[] error:string"},
    NamedSchema{"Transfers", "transfers:Transfer[]"},
    NamedSchema{"Refreshed",
                "files:integer bytes:integer read_files:integer read_bytes:integer changed:boolean "
                "problem_count:integer problems:ShareProblem[]"},
    NamedSchema{"OfferRequest", "cost:integer"},
    NamedSchema{"Offered", "cid:string cost:integer"},
    NamedSchema{"DialRequest", "address:string"},
    NamedSchema{"InvitationRequest", "roles?:string[] credits?:integer uses?:integer hours?:integer"},
    NamedSchema{"Invitation", "token:string"},
    NamedSchema{"Dialed", "peer:string"},
    NamedSchema{"Ping", "peer:string rtt_us:integer"},
    NamedSchema{"ReachAttempt", "address:string outcome:string text:string"},
    NamedSchema{"Reach", "peer:string already_connected:boolean attempts:ReachAttempt[]"},
    NamedSchema{"TransferProgress",
                "cid:string path:string bytes:integer bytes_here:integer bytes_per_s:integer holders:integer"},
    NamedSchema{"Event",
                "seq:integer time:string kind:string job?:string peer?:string shard?:integer shards?:integer[][] "
                "phase?:string text?:string transfer?:TransferProgress data?:string"},
};

}  // namespace mesh::app
