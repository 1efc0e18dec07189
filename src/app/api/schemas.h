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
    NamedSchema{"Problem", "type:string title:string status:integer code:string detail:string candidates?:string[]"},
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
                "bid_window_ms:integer notes:string[] escrow:JobEscrow|null"},
    NamedSchema{"JobEscrow",
                "state:string place:string locked:string held:string paid:string refunded:string shards_paid:integer "
                "works:PaidWork[]"},
    NamedSchema{"PaidWork",
                "commitment:string worker:string state:string accepted:integer rejected:integer undecided:integer "
                "paid:string due:string payouts:JobPayout[] to_treasury:string"},
    NamedSchema{"Price", "height:integer price:string|null works:integer fuel:integer fee:string"},
    NamedSchema{"JobPayout", "account:string peer:string amount:string from_bond:boolean"},
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
                "scope:Scope limits:Limits peers:Prospect[]"},
    NamedSchema{"Prospect", "peer:string lacks:string|null"},
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
    // Amounts of the ledger, and power, are decimal text.
    NamedSchema{"LedgerValidator", "account:string key:string power:string stake:string self:boolean"},
    NamedSchema{"LedgerTotals",
                "supply:string granted:string balances:string bonded:string unbonding:string escrowed:string "
                "treasury:string"},
    NamedSchema{"LedgerParameters",
                "minimum_bond:string lock_ms:integer answer_ms:integer dispute_ms:integer notice_ms:integer "
                "skip_penalty:string max_time_ahead_ms:integer transaction_fee:string minimum_balance:string "
                "enrolment:string"},
    NamedSchema{
        "Ledger",
        "federation:Federation height:integer durable_height:integer base_height:integer head:string state_root:string "
        "time:string "
        "account:string roles:string[] signs_from:integer|null stopped:string|null waiting:integer "
        "waiting_bytes:integer totals:LedgerTotals parameters:LedgerParameters accounts:integer members:integer "
        "validators:LedgerValidator[]"},
    NamedSchema{"Withdrawal", "amount:string release:string"},
    NamedSchema{"Attestation", "memory_mb:integer fuel_per_second:integer verifies:boolean height:integer"},
    NamedSchema{"Reputation",
                "score:integer draw_weight:integer execution:string verification:string timely:string missed:string"},
    NamedSchema{"AccountProof", "block:string height:integer state_root:string entry_proof:string"},
    NamedSchema{"AccountConflict", "sequence:integer first:string second:string reporter:string height:integer"},
    NamedSchema{"AccountOffence",
                "kind:string key:string height:integer until_height:integer taken:string reporter:string"},
    NamedSchema{"Account",
                "account:string peer:string exists:boolean balance:string bonded:string at_stake:string "
                "unbonding:Withdrawal[] sequence:integer key:string member:Member|null attestation:Attestation|null "
                "reputation:Reputation conflict:AccountConflict|null offence:AccountOffence|null height:integer "
                "durable_height:integer state_root:string proof?:AccountProof"},
    NamedSchema{
        "Member",
        "account:string peer:string roles:string[] in_force:boolean revoked:boolean expires_height:integer|null "
        "issuer:string owner:string|null weight:integer"},
    NamedSchema{"Members", "height:integer members:Member[] next:string|null"},
    NamedSchema{
        "BlockHead",
        "height:integer cid:string time:string proposer:string parents:string[] transaction_list:string "
        "transaction_count:integer state_root:string beacon:string round:integer signers:string[] bytes:integer"},
    NamedSchema{"Blocks", "blocks:BlockHead[] next:integer|null"},
    NamedSchema{
        "LedgerTransaction",
        "number:integer cid?:string kind?:string account?:string sequence?:integer signer?:string bytes:integer "
        "fields?:any error?:string"},
    NamedSchema{
        "Block",
        "height:integer cid:string time:string proposer:string parents:string[] transaction_list:string "
        "transaction_count:integer state_root:string beacon:string round:integer signers:string[] bytes:integer "
        "transactions:LedgerTransaction[]"},
    NamedSchema{"AccountTransaction",
                "height:integer time:string direction:string number:integer cid:string kind:string account:string "
                "sequence:integer signer:string bytes:integer fields:any"},
    NamedSchema{"History", "account:string transactions:AccountTransaction[] next:string|null"},
    NamedSchema{"Escrow",
                "intent:string publisher:string owner:string|null state:string shards:integer claimed:integer "
                "paid:integer works:integer fee:string held:string value:string verifiers:integer fuel:integer "
                "memory_mb:integer run_ms:integer spent_awards:integer closes:string forgotten:string"},
    NamedSchema{"DrawnNode", "node:string weight:integer"},
    NamedSchema{"WorkDraw",
                "height:integer block:string time:string beacon:string eligible:string seats:integer width:integer "
                "nodes:DrawnNode[]"},
    NamedSchema{"WorkAnswer",
                "node:string commitment:string draw:integer shards:integer[][] revealed:boolean differing:integer[]"},
    NamedSchema{"PassedOver", "node:string draw:integer until:string"},
    NamedSchema{"Payout", "account:string amount:string from_bond:boolean"},
    NamedSchema{"Work",
                "commitment:string intent:string award:string worker:string shards:integer[][] cost:string "
                "timeliness_per_mille:integer anchored_height:integer phase:string due:string draws:WorkDraw[] "
                "answers:WorkAnswer[] passed_over:PassedOver[] receipt:string|null disputed_by:string|null "
                "dispute_stake:string ending:string|null accepted:integer rejected:integer undecided:integer "
                "payouts:Payout[] to_treasury:string"},
    NamedSchema{"Works", "height:integer works:Work[] next:string|null"},
    NamedSchema{"ValidatorSeat", "account:string power:any"},
    NamedSchema{"TransactionRequest",
                "kind:string to?:string amount?:any memo?:string reason?:string node?:string roles?:string[] "
                "owner?:string expires_height?:integer memory_mb?:integer fuel_per_second?:integer verifies?:boolean "
                "from_height?:integer validators?:ValidatorSeat[] intent?:string commitment?:string wait?:string "
                "timeout_ms?:integer"},
    NamedSchema{"TransactionMade", "transaction:string status:string height:integer|null detail:string"},
    NamedSchema{"RotationRequest", "wait?:string timeout_ms?:integer at_once?:boolean"},
    NamedSchema{"RotationMade",
                "transaction:string status:string height:integer|null detail:string key:string peer:string"},
    NamedSchema{"RefusedTransaction", "number:integer code:string detail:string"},
    NamedSchema{"BatchTaken", "taken:integer refused:RefusedTransaction[]"},
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
