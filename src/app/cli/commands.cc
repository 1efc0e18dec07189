#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>

#include "app/api/amount.h"
#include "app/api/ledger_render.h"
#include "app/api/render.h"
#include "app/cli/ledger_session.h"
#include "app/runtime/import.h"
#include "chain/payment.h"
#include "codec/multibase.h"
#include "domain/verification/alone.h"

namespace mesh::cli {
namespace {

namespace fs = std::filesystem;

/// How a certificate stands behind a block.
Json certified_json(const ledger::ProvenBlock& block) {
  return {{"height", block.height},
          {"block", block.block.text()},
          {"time", app::block_time_text(block.time_ms)},
          {"signers", block.signers},
          {"validators", block.validators},
          {"power", std::to_string(block.power)},
          {"total_power", std::to_string(block.total_power)}};
}

Json work_json(const ledger::ProvenWork& one) {
  const ledger::Work& work = one.work;
  const bool may_be_disputed = work.phase == ledger::WorkPhase::revealed;
  return {{"commitment", work.commitment.text()},
          {"worker", identity::peer_id_of(work.worker)},
          {"state", ledger::state_name(work)},
          {"disputable_until", may_be_disputed ? Json(app::block_time_text(work.due_ms)) : Json(nullptr)},
          {"shards", work.count()},
          {"accepted", work.accepted},
          {"rejected", work.rejected},
          {"undecided", work.undecided},
          {"drawings", one.drawings},
          {"to_worker", std::to_string(one.worker)},
          {"to_verifiers", std::to_string(one.verifiers)},
          {"to_treasury", std::to_string(one.treasury)},
          {"from_bonds", std::to_string(one.penalties)},
          {"certified", certified_json(one.block)}};
}

/// How far a payment has come: ended, or what its works wait for.
std::string payment_state(const ledger::PaymentReport& report) {
  if (report.escrow.ended) return "ended";
  for (const ledger::ProvenWork& one : report.works) {
    if (one.work.phase != ledger::WorkPhase::ended)
      return std::string(ledger::enum_names(one.work.phase)[static_cast<std::size_t>(one.work.phase)]);
  }
  return report.escrow.closed ? "closing" : "locked";
}

Json payment_json(const ledger::PaymentReport& report) {
  Json works = Json::array();
  for (const ledger::ProvenWork& one : report.works) works.push_back(work_json(one));
  return {{"state", payment_state(report)},
          {"complete", report.complete},
          {"locked", std::to_string(report.locked)},
          {"held", std::to_string(report.escrow.held)},
          {"to_workers", std::to_string(report.worker)},
          {"to_verifiers", std::to_string(report.verifiers)},
          {"to_treasury", std::to_string(report.treasury)},
          {"refunded", report.complete ? Json(std::to_string(report.refunded)) : Json(nullptr)},
          {"shards_paid", report.escrow.paid},
          {"percentages",
           {{"worker", report.rewards.worker_percentage},
            {"verifiers", report.rewards.verifier_percentage},
            {"treasury", report.rewards.platform_fee_percentage}}},
          {"validator_changes", report.hops},
          {"certified", certified_json(report.block)},
          {"works", std::move(works)}};
}

/// Of whom a payment is proven, and how far it has come, in a few lines.
void say_payment(const Session& session, const Json& payment) {
  const auto sum = [&](std::string_view name) { return credits(payment[std::string(name)]); };
  const Json& parts = payment["percentages"];
  const Json& certified = payment["certified"];
  std::string text = fmt::format(
      "payment: proven: {} locked, {} to workers and {} to verifiers (of a fee {} % and {} % at most), {} to the "
      "treasury",
      sum("locked"), sum("to_workers"), sum("to_verifiers"), parts["worker"].dump(), parts["verifiers"].dump(),
      sum("to_treasury"));
  text += payment["complete"].get<bool>() ? fmt::format(", {} back to the publisher", sum("refunded"))
                                          : fmt::format(", as far as its works are in this bundle");
  session.say(text);
  session.say(fmt::format(
      "payment: {}{}, by block {} of height {}, which {} of {} validators certify", text_of(payment["state"]),
      payment["held"] == "0" ? "" : fmt::format(" with {} still in escrow", sum("held")), text_of(certified["block"]),
      certified["height"].dump(), certified["signers"].dump(), certified["validators"].dump()));
  for (const Json& work : payment["works"]) {
    if (!work["disputable_until"].is_null())
      session.say(fmt::format("payment: the work {} is revealed, and may be disputed until {}",
                              text_of(work["commitment"]), text_of(work["disputable_until"])));
  }
}

std::string task_path(const std::string& id, std::string_view rest = {}) {
  return "/api/v1/tasks/" + http::percent_encode(id) + std::string(rest);
}

}  // namespace

int job_ls(Session& session) {
  return with(session, "GET", "/api/v1/tasks?count=1000", nullptr, [&](const Json& jobs) {
    session.print_list(
        jobs,
        {{"ID", [](const Json& row) { return short_id(text_of(row["id"])); }},
         {"LABEL", field("label")},
         {"PHASE",
          [](const Json& row) {
            return text_of(row["phase"]) + (row["unverified"].get<bool>() ? " (unverified)" : "");
          }},
         {"SHARDS", [](const Json& row) { return fmt::format("{}/{}", row["finished"].dump(), row["shards"].dump()); }},
         {"FAILED", field("failed_outcomes")},
         {"CREATED", field("created")},
         {"FUEL", field("fuel"), true},
         {"CID", field("id"), true}},
        "id");
    return exit_ok;
  });
}

std::string sample_text(const Json& report, const std::string& checked, const std::string& shards) {
  if (report["caught"].empty()) return {};
  std::string odds;
  for (const Json& row : report["caught"]) {
    odds +=
        fmt::format("{}{:.2f} % in {}", odds.empty() ? "" : ", ",
                    std::floor(row["probability_per_million"].get<double>() / 100) / 100, row["wrong_shards"].dump());
  }
  return fmt::format(
      "{} of {} shards were re-executed, drawn after all were done; a cheat would have been caught with {}",
      report[checked].dump(), report[shards].dump(), odds);
}

int job_describe(Session& session, const std::string& id) {
  return with(session, "GET", task_path(id), nullptr, [&](const Json& job) {
    session.print(job);
    return exit_ok;
  });
}

namespace {

/// The whole story of a job: the API gives it with a thousand shards at a time.
Result<Json> story_of(const http::Client& client, const std::string& id) {
  MESH_LET(Json story, ask(client, "GET", task_path(id, "/explain")));
  Json& shards = story["shards"];
  while (!shards.empty() && shards.size() < story["job"]["shards"].get<std::uint64_t>()) {
    MESH_LET(const Json more,
             ask(client, "GET", task_path(id, fmt::format("/shards?first={}&count=1000", shards.size()))));
    if (more.empty()) break;
    for (const Json& shard : more) shards.push_back(shard);
  }
  return story;
}

int print_story(const Session& session, const Json& story) {
  if (!session.is_for_people()) {
    session.print(story);
    return exit_ok;
  }
  const Json& job = story["job"];
  fmt::print("job {} \"{}\": {}{}\n", text_of(job["id"]), text_of(job["label"]), text_of(job["phase"]),
             job["unverified"].get<bool>() ? ", unverified" : "");
  if (const std::string sampled = sample_text(job, "checked", "shards"); !sampled.empty())
    fmt::print("sample: {}\n", sampled);
  if (!text_of(job["failure"]).empty()) fmt::print("failure: {}\n", text_of(job["failure"]));
  for (const Json& note : job["notes"]) fmt::print("note: {}\n", text_of(note));
  if (!story["ranking"].empty()) {
    fmt::print("\noffers, best first\n");
    session.print_list(story["ranking"],
                       {{"PEER", [](const Json& row) { return short_peer(row["peer"]); }},
                        {"SCORE", field("score")},
                        {"REPUTATION", field("reputation")},
                        {"COST", field("cost")},
                        {"CAPACITY", field("capacity")},
                        {"SPEED", field("speed")},
                        {"NEARNESS", field("nearness")},
                        {"HOLDING", field("holding")},
                        {"PENALISED", field("penalised")}},
                       "peer");
  }
    // A peer may be refused the same thing many times over: one line says how often.
  std::map<std::string, int> refusals;
  for (const Json& refusal : story["refused"])
    ++refusals[fmt::format("{}: {}", short_peer(refusal["peer"]), text_of(refusal["reason"]))];
  for (const auto& [text, times] : refusals)
    fmt::print("refused {}{}\n", text, times > 1 ? fmt::format(" ({} times)", times) : "");
  if (!story["shards"].empty()) {
    fmt::print("\nshards\n");
    session.print_list(
        story["shards"],
        {{"SHARD", field("shard")},
         {"STATE", field("state")},
         {"RAN ON", [](const Json& row) { return short_peer(row["worker"]); }},
         {"VERIFIED BY",
          [](const Json& row) {
            std::string text;
            for (const Json& seat : row["seats"])
              text +=
                  fmt::format("{}{} {}", text.empty() ? "" : ", ", short_peer(seat["peer"]), text_of(seat["state"]));
            return text.empty() ? std::string("-") : text;
          }},
         {"OUTCOME", [](const Json& row) { return row["outcome"].is_null() ? "-" : text_of(row["outcome"]["text"]); }},
         {"FUEL", field("fuel")}},
        "shard");
    for (const Json& shard : story["shards"]) {
      for (const Json& line : shard["story"]) fmt::print("shard {}: {}\n", text_of(shard["shard"]), text_of(line));
    }
  }
  return exit_ok;
}

}  // namespace

int job_explain(Session& session, const std::string& id) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto story = story_of(*client, id);
  if (!story) return session.fail(story.error());
  return print_story(session, *story);
}

namespace {

/// Who had how much of it and what for; a bond's loss has a minus. What is not over has a line for each of its works.
void print_payment(const Session& session, const Json& job) {
  const Json& escrow = job["escrow"];
  session.print({{"job", job["id"]},
                 {"escrow", escrow["state"]},
                 {"locked", credits(escrow["locked"])},
                 {"paid", credits(escrow["paid"])},
                 {"refunded", credits(escrow["refunded"])},
                 {"held", credits(escrow["held"])},
                 {"shards_paid", escrow["shards_paid"]}});
  Json rows = Json::array();
  std::map<std::pair<std::string, std::string>, std::uint64_t> sums;
  for (const Json& work : escrow["works"]) {
    if (work["payouts"].empty()) {
      rows.push_back({{"account", work["worker"]},
                      {"for", fmt::format("work, {}; due {}", text_of(work["state"]), text_of(work["due"]))},
                      {"amount", "-"}});
    }
    bool is_out_of_bond = false;
    for (const Json& one : work["payouts"]) {
      const bool is_loss = one["from_bond"].get<bool>();
      is_out_of_bond = is_out_of_bond || is_loss;
      const std::string reason = is_loss                         ? "out of its bond"
                                 : is_out_of_bond                ? "out of another's bond"
                                 : one["peer"] == work["worker"] ? "work"
                                                                 : "verification";
      sums[{text_of(one["account"]), reason}] += app::parse_micros(text_of(one["amount"])).value_or(0);
    }
  }
  for (const auto& [of, micros] : sums) {
    rows.push_back({{"account", of.first},
                    {"for", of.second},
                    {"amount", (of.second == "out of its bond" ? "-" : "+") + app::credits_text(micros)}});
  }
  if (rows.empty()) return;
  fmt::print("\n");
  session.print_list(rows, {{"ACCOUNT", field("account")}, {"FOR", field("for")}, {"AMOUNT", field("amount")}},
                     "account");
}

}  // namespace

int job_payment(const Session& session, const std::string& id, std::optional<unsigned> wait_s) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  auto events = client->open_events("/api/v1/events");
  if (!events) return session.fail(events.error());
  watch_interrupts();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(wait_s.value_or(0));
  auto job = ask(*client, "GET", task_path(id));
  while (true) {
    if (!job) return session.fail(job.error());
    const Json& escrow = (*job)["escrow"];
    if (escrow.is_null()) return session.fail(exit_failure, "this job pays nobody: it has no fee (mesh run --fee)");
    const bool is_over = escrow["state"] == "ended" || (escrow["state"] == "locking" && (*job)["ended"].get<bool>());
    if (!wait_s || is_over || interrupted() || std::chrono::steady_clock::now() > limit) break;
    // Something has changed, or a second has passed: look again.
    const auto event = events->next(std::chrono::seconds(1));
    if (!event && event.error().code != ErrorCode::timeout) return session.fail(event.error());
    job = ask(*client, "GET", task_path(id));
  }
  if (interrupted()) return exit_interrupted;
  if (session.is_for_people()) {
    print_payment(session, *job);
  } else {
    session.print((*job)["escrow"]);
  }
  if (!wait_s || (*job)["escrow"]["state"] == "ended") return exit_ok;
  return session.fail(exit_timeout,
                      fmt::format("the escrow has not ended, but is {}", text_of((*job)["escrow"]["state"])));
}

int job_logs(Session& session, const std::string& id, bool follow) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto job = ask(*client, "GET", task_path(id));
  if (!job) return session.fail(job.error());
  const bool many = (*job)["shards"].get<std::uint64_t>() > 1;
  const bool as_json = session.form() == Form::json;
  std::string rest;
  watch_interrupts();
  const auto take_line = [&](const std::string& line) -> Status {
    if (as_json) return put(as_bytes(line + "\n")) ? Status{} : fail(ErrorCode::storage, "stdout cannot be written");
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_object()) return {};
    auto bytes = multibase_decode(entry.value("data", "m"));
    if (!bytes) return {};
    if (!many) return put(*bytes) ? Status{} : fail(ErrorCode::storage, "stdout cannot be written");
    std::string_view text = as_text(*bytes);
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size() - 1);
      put(as_bytes(
          fmt::format("[{}] {}{}", entry["shard"].dump(), text.substr(0, end + 1), text[end] == '\n' ? "" : "\n")));
      text.remove_prefix(end + 1);
    }
    return {};
  };
  // A job that says nothing for a while is no reason to give up, an interrupt is.
  const NodeAddress node = *session.find_node();
  const http::Client patient = client_of(node, std::chrono::hours(24));
  const auto response = patient.download("GET", task_path(text_of((*job)["id"]), follow ? "/logs?follow=1" : "/logs"),
                                         [&](ByteView bytes) -> Status {
                                           rest += as_text(bytes);
                                           std::size_t end = 0;
                                           while ((end = rest.find('\n')) != std::string::npos) {
                                             MESH_TRY(take_line(rest.substr(0, end)));
                                             rest.erase(0, end + 1);
                                           }
                                           std::fflush(stdout);
                                           return {};
                                         });
  if (interrupted()) return exit_interrupted;
  if (!response) return session.fail(response.error());
  if (response->status >= 300) return session.fail(http::error_of(*response));
  return exit_ok;
}

int job_get(Session& session, const std::string& id, const std::string& output_dir) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto job = ask(*client, "GET", task_path(id));
  if (!job) return session.fail(job.error());
  return finish_job(session, *client, text_of((*job)["id"]), output_dir);
}

int job_post(Session& session, const std::string& id, const std::string& verb) {
  return with(session, "POST", task_path(id, "/" + verb), nullptr, [&](const Json& answer) {
    if (session.is_for_people()) {
      fmt::print("{}\n", text_of(answer["id"]));
    } else {
      session.print(answer);
    }
    return exit_ok;
  });
}

namespace {
constexpr int early_tries = 100;
constexpr auto early_pause = std::chrono::milliseconds(100);

bool is_early(const http::Response& response) {
  return response.status >= 300 && http::error_of(response).message.starts_with("early:");
}
}  // namespace

int receipt_export(Session& session, const std::string& id, const std::string& file,
                   std::optional<std::uint32_t> shard) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto job = ask(*client, "GET", task_path(id));
  if (!job) return session.fail(job.error());
  const std::string whole = text_of((*job)["id"]);
  const std::string suffix = shard ? fmt::format("-{}", *shard) : "";
  const fs::path target = file.empty() ? fs::path(whole + suffix + ".car") : fs::path(file);
  std::ofstream stream;
  const std::string query = shard ? fmt::format("?shard={}", *shard) : "";
  const auto write = [&](ByteView bytes) -> Status {
    // Not before there is something to write: a refusal leaves what is there as it is.
    if (!stream.is_open()) stream.open(target, std::ios::binary | std::ios::trunc);
    stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return stream
               ? Status{}
               : fail(ErrorCode::storage,
                      fmt::format("{} cannot be written: is the folder there and the disk not full?", target.string()));
  };
  auto response = client->download("GET", task_path(whole, "/receipts" + query), write);
  // The blocks that show what became of it are on their way.
  for (int tries = 0; tries < early_tries && response && is_early(*response); ++tries) {
    std::this_thread::sleep_for(early_pause);
    response = client->download("GET", task_path(whole, "/receipts" + query), write);
  }
  if (!response) return session.fail(response.error());
  if (response->status >= 300) return session.fail(http::error_of(*response));
  stream.close();
  if (!stream)
    return session.fail(
        exit_failure, fmt::format("{} cannot be written: is the folder there and the disk not full?", target.string()));
  fmt::print("{}\n", target.string());
  session.say(fmt::format("check it anywhere, with no node: mesh receipt verify {}", target.string()));
  return exit_ok;
}

int receipt_verify(Session& session, const std::string& file, std::optional<std::uint32_t> only, bool each_shard) {
  constexpr std::uintmax_t max_bytes = std::uintmax_t{512} << 20;
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  if (error) return session.fail(exit_not_found, fmt::format("{} cannot be read: {}", file, error.message()));
  if (size > max_bytes)
    return session.fail(exit_usage, fmt::format("{} is larger than 512 MiB: it is no proof bundle", file));
  Bytes bytes(size);
  std::ifstream stream(file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream) return session.fail(exit_failure, fmt::format("{} cannot be read", file));
  verification::EachShard each;
  ledger::PaymentCheck payment(chain::certifier());
  const Status checked = [&]() -> Status {
    if (each_shard) {
      MESH_LET(each, verification::verify_each_shard(bytes, &payment));
    } else {
      MESH_LET(each.whole, verification::verify_bundle(bytes, &payment));
    }
    return {};
  }();
  if (!checked)
    return session.fail(exit_rejected, fmt::format("the bundle does not prove anything: {}", checked.error().message));
  const verification::ProofReport* report = &each.whole;
  Json shards = Json::array();
  for (const auto& shard : report->shards) {
    if (only && shard.shard != *only) continue;
    Json seats = Json::array();
    for (const auto& seat : shard.seats)
      seats.push_back({{"peer", identity::peer_id_of(seat.node)}, {"agreed", seat.agreed}});
    shards.push_back({{"shard", shard.shard},
                      {"decision", verification::enum_names(shard.decision)[static_cast<std::size_t>(shard.decision)]},
                      {"worker", identity::peer_id_of(shard.worker)},
                      {"result", shard.finding.result.text()},
                      {"outcome", shard.finding.outcome.text()},
                      {"fuel", shard.finding.fuel},
                      {"seats", std::move(seats)},
                      {"same_owner", shard.same_owner},
                      {"self_executed", shard.self_executed},
                      {"rejected_attempts", shard.rejected_attempts}});
  }
  if (only && *only >= report->intent.record.shards)
    return session.fail(exit_not_found,
                        fmt::format("the job has {} shards, numbered from 0", report->intent.record.shards));
  if (only && shards.empty())
    return session.fail(exit_rejected,
                        fmt::format("what is in the bundle checks, but it proves nothing of shard {}", *only));
  const std::uint32_t accepted = report->count(verification::Decision::accepted);
  const std::uint32_t unverified = report->count(verification::Decision::unverified);
  const std::uint32_t spot_checked = report->count(verification::Decision::spot_checked);
  const Json decision = only ? shards.front()["decision"] : Json();
  const bool all_accepted = accepted + spot_checked == report->intent.record.shards;
  Json answer{
      {"valid", true},
      {"id", report->intent.cid.text()},
      {"publisher", identity::peer_id_of(report->intent.signer)},
      {"federation", report->federation.text()},
      {"function", report->intent.record.function.text()},
      {"label", report->intent.record.label},
      {"sealed", report->intent.record.is_sealed()},
      {"shards_total", report->intent.record.shards},
      {"accepted", accepted},
      {"spot_checked", spot_checked},
      {"unverified", unverified},
      {"caught", spot_checked == 0 ? Json::array()
                                   : app::caught_json(report->intent.record.sample, report->intent.record.shards)},
      {"missing", report->missing},
      {"payment", payment.report() ? payment_json(*payment.report()) : Json(nullptr)}};
  if (each_shard) {
    answer["alone"] = {{"shards", each.shards}, {"bundles", each.bundles}, {"largest_bytes", each.largest_bytes}};
  }
  const Json paid = answer["payment"];
  if (session.is_for_people()) {
    answer.erase("payment");  // It is said in two lines below.
    session.print(answer);
    session.print_list(shards,
                       {{"SHARD", field("shard")},
                        {"DECISION", field("decision")},
                        {"RAN ON", [](const Json& row) { return short_peer(row["worker"]); }},
                        {"VERIFIED BY",
                         [](const Json& row) {
                           std::string text;
                           for (const Json& seat : row["seats"])
                             text += (text.empty() ? "" : ", ") + short_peer(seat["peer"]) +
                                     (seat["agreed"].get<bool>() ? "" : " (disagreed)");
                           return text.empty() ? std::string("-") : text;
                         }},
                        {"OUTCOME", field("outcome")},
                        {"RESULT", field("result")}},
                       "shard");
  } else {
    answer["shards"] = std::move(shards);
    session.print(answer);
  }
  std::fflush(stdout);
  if (payment.report()) say_payment(session, paid);
  if (each_shard) {
    session.say(
        fmt::format("each of the {} shards that have a proof can be proven alone, by {} bundles of at most {} bytes",
                    each.shards, each.bundles, each.largest_bytes));
  }
  if (only) {
    session.say(fmt::format("every signature, draw, opening and verdict that shard {} rests on checks: it is {}", *only,
                            text_of(decision)));
    return exit_ok;
  }
  session.say(all_accepted ? "every signature, draw, opening and verdict checks"
                           : fmt::format("what is there checks, but only {} of {} shards are accepted by a quorum",
                                         accepted, report->intent.record.shards));
  if (const std::string sampled = sample_text(answer, "accepted", "shards_total"); !sampled.empty())
    session.say(sampled);
  return exit_ok;
}

int peers_ls(Session& session) {
  return with(session, "GET", "/api/v1/peers", nullptr, [&](const Json& peers) {
    session.print_list(
        peers,
        {{"PEER", [](const Json& row) { return short_peer(row["peer"]); }},
         {"STATE", [](const Json& row) { return row["connected"].get<bool>() ? "connected" : "gone"; }},
         {"TRANSPORT", field("transport")},
         {"RTT", rtt_text},
         {"FOUND", field("found")},
         {"VERSION", field("agent")},
         {"CORES", [](const Json& row) { return row["resources"].is_null() ? "-" : row["resources"]["cores"].dump(); }},
         {"ADDRESS", field("address")},
         {"PENALTY", field("penalty"), true},
         {"ID", field("peer"), true}},
        "peer");
    if (peers.empty())
      session.say(
          "no peers: nodes on this network are found by themselves, others with `mesh up --join MULTIADDR`; `mesh "
          "doctor MULTIADDR` says why one cannot be reached");
    return exit_ok;
  });
}

int peers_ping(Session& session, const std::string& peer) {
  return with(session, "POST", "/api/v1/peers/" + http::percent_encode(peer) + "/ping", nullptr,
              [&](const Json& answer) {
                if (session.is_for_people()) {
                  fmt::print("{} answers in {}\n", short_peer(answer["peer"]), rtt_text(answer));
                } else {
                  session.print(answer);
                }
                return exit_ok;
              });
}

int node_status(Session& session) {
  return with(session, "GET", "/api/v1/node", nullptr, [&](const Json& node) {
    session.print(node);
    return exit_ok;
  });
}

int config_list(Session& session, bool show_origin) {
  const auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  Json rows = Json::array();
  for (const config::SettingSpec& spec : config::setting_table()) {
    const config::Value& value = settings->value(spec.name);
    Json items = value.items;
    rows.push_back({{"name", spec.name},
                    {"value", config::is_list(spec.type) ? items : Json(value.items.front())},
                    {"origin", value.origin},
                    {"help", spec.help}});
  }
  std::vector<Column> columns{{"NAME", field("name")}, {"VALUE", [](const Json& row) {
                                                          if (!row["value"].is_array()) return text_of(row["value"]);
                                                          std::string text;
                                                          for (const Json& item : row["value"])
                                                            text += (text.empty() ? "" : ",") + text_of(item);
                                                          return text;
                                                        }}};
  if (show_origin) columns.push_back({"ORIGIN", field("origin")});
  columns.push_back({"WHAT", field("help"), true});
  session.print_list(rows, columns, "name");
  return exit_ok;
}

int show_paths(Session& session) {
  const auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  const config::Paths& paths = settings->paths();
  session.print({{"home", paths.home.string()},
                 {"cache", paths.cache.string()},
                 {"user_file", paths.user_file.string()},
                 {"system_file", config::Sources{}.system_file.string()},
                 {"key_file", paths.key_file.string()},
                 {"token_file", paths.token_file.string()},
                 {"api_file", paths.api_file.string()}});
  return exit_ok;
}

int run_doctor(Session& session, const std::string& target) {
  if (!target.empty()) {
    return with(
        session, "GET", "/api/v1/doctor?target=" + http::percent_encode(target), nullptr, [&](const Json& report) {
          if (!session.is_for_people()) {
            session.print(report);
          } else {
            if (report["already_connected"].get<bool>()) fmt::print("connected already\n");
            for (const Json& attempt : report["attempts"])
              fmt::print("{}  {}: {}\n", text_of(attempt["address"]), text_of(attempt["outcome"]),
                         text_of(attempt["text"]));
          }
          for (const Json& attempt : report["attempts"]) {
            if (attempt["outcome"] == "connected") return static_cast<int>(exit_ok);
          }
          return report["already_connected"].get<bool>() ? static_cast<int>(exit_ok) : static_cast<int>(exit_failure);
        });
  }
  const auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  const config::Paths& paths = settings->paths();
  Json checks = Json::array();
  bool good = true;
  const auto add = [&](std::string_view what, bool ok, const std::string& text) {
    checks.push_back({{"check", what}, {"ok", ok}, {"text", text}});
    good = good && ok;
  };
  const auto folder = [&](std::string_view what, const fs::path& path) {
    std::error_code error;
    fs::path there = path;
    while (!fs::exists(there, error) && there.has_parent_path() && there != there.root_path())
      there = there.parent_path();
    const bool writable = ::access(there.c_str(), W_OK | X_OK) == 0;
    const auto space = fs::space(there, error);
    const bool room = !error && space.available > (std::uintmax_t{1} << 30);
    add(what, writable && room,
        fmt::format("{} {}{}, {} free", path.string(),
                    writable ? "is writable" : "is not writable: name another folder with --home",
                    there == path ? "" : " (made when needed)",
                    error ? "unknown space" : bytes_text(static_cast<double>(space.available))));
  };
  folder("home", paths.home);
  folder("cache", paths.cache);
  struct stat info{};
  for (const auto& [what, file] : {std::pair{"key", paths.key_file}, {"token", paths.token_file}}) {
    if (::stat(file.c_str(), &info) != 0) {
      add(what, true, fmt::format("{} is drawn at the first start", file.string()));
    } else {
      const bool is_private = (info.st_mode & 077) == 0;
      add(what, is_private,
          is_private ? fmt::format("{} is readable by you alone", file.string())
                     : fmt::format("{} can be read by others: run chmod 600 on it", file.string()));
    }
  }
  if (settings->is_set("runtimes-dir")) ::setenv("MESH_RUNTIMES_DIR", settings->text("runtimes-dir").c_str(), 1);
  const auto catalogue = app::RuntimeCatalogue::find();
  std::string names;
  if (catalogue) {
    for (const app::RuntimeEntry& entry : catalogue->entries()) names += (names.empty() ? "" : ", ") + entry.version;
  }
  add("runtimes", catalogue.has_value(),
      catalogue ? fmt::format("{} in {}", names, catalogue->folder().string()) : catalogue.error().message);
  const std::time_t now = std::time(nullptr);
  add("clock", now > 1'735'689'600,
      now > 1'735'689'600 ? "plausible; nothing is decided by it"
                          : "stands before 2025: labels and logs will be wrong");
  const auto client = session.connect();
  if (!client) {
    add("node", true, client.error().message);
  } else if (const auto node = ask(*client, "GET", "/api/v1/node"); !node) {
    add("node", false, node.error().message);
  } else {
    add("node", (*node)["ready"].get<bool>(),
        (*node)["ready"].get<bool>() ? fmt::format("runs, version {}", text_of((*node)["version"]))
                                     : text_of((*node)["reason"]));
    const auto peers = (*node)["peers"].get<std::uint64_t>();
    add("peers", true,
        peers == 0
            ? "none: tasks run here, unverified; others on this network are found by themselves, far ones with --join"
            : fmt::format("{} connected", peers));
    const Json& reach = (*node)["reach"];
    bool has_relay = false;
    for (const Json& relay : reach["relays"]) has_relay = has_relay || relay["held"].get<bool>();
    add("reach", reach["reachability"] != "private" || has_relay,
        fmt::format("{} (since {})", text_of(reach["text"]), text_of(reach["since"])));
    if (reach["relaying"].get<bool>())
      add("relaying", true, "carries connections for peers that cannot be dialed, up to 32 of 16 MiB each");
    const Json& dht = (*node)["dht"];
    const auto roots = dht["roots"].get<std::uint64_t>();
    if (roots > 0) {
      const auto left_out = dht["left_out"].get<std::uint64_t>();
      add("dht", left_out == 0,
          fmt::format("{} of {} roots of files for everybody are told to others{}", dht["announced"].dump(), roots,
                      left_out == 0 ? "" : fmt::format("; {} smaller files are past the bound", left_out)));
    }
    for (const Json& relay : reach["relays"])
      add("relay", true, fmt::format("{} (since {})", text_of(relay["text"]), text_of(relay["since"])));
    for (const Json& punch : reach["hole_punches"])
      add("direct", true, fmt::format("{} (at {})", text_of(punch["text"]), text_of(punch["at"])));
  }
  session.print_list(checks,
                     {{"CHECK", field("check")},
                      {"", [](const Json& row) { return row["ok"].get<bool>() ? "ok" : "PROBLEM"; }},
                      {"WHAT", field("text")}},
                     "check");
  return good ? exit_ok : exit_failure;
}

int publish_task(Session& session, const std::string& wasm, const std::string& input, std::uint64_t fee) {
  Json task{{"function", wasm}, {"inputs", Json::array({input})}, {"fee", fee}, {"label", "publish-task"}};
  return with(session, "POST", "/api/v1/tasks", &task, [&](const Json& answer) {
    if (session.is_for_people()) {
      fmt::print("{}\n", text_of(answer["id"]));
    } else {
      session.print(answer);
    }
    return exit_ok;
  });
}

int offer_execution(Session& session, const std::string& task, std::uint64_t cost) {
  const Json body{{"cost", cost}};
  return with(session, "POST", "/api/v1/intents/" + http::percent_encode(task) + "/offer", &body,
              [&](const Json& answer) {
                session.print(answer);
                return exit_ok;
              });
}

}  // namespace mesh::cli
