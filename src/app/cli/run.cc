#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "app/api/amount.h"
#include "app/cli/session.h"
#include "app/cli/upload.h"
#include "app/runtime/import.h"
#include "codec/multibase.h"
#include "domain/task/intent.h"

namespace mesh::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t max_stdin_bytes = std::size_t{1} << 30;

Result<Bytes> read_stdin() {
  Bytes bytes;
  Bytes piece(1 << 16);
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (count < 0 && errno == EINTR && !interrupted()) continue;
    if (count < 0) return fail(ErrorCode::storage, fmt::format("stdin cannot be read: {}", std::strerror(errno)));
    if (count == 0) return bytes;
    append(bytes, ByteView(piece).first(static_cast<std::size_t>(count)));
    if (bytes.size() > max_stdin_bytes)
      return fail(ErrorCode::exhausted, "stdin is larger than 1 GiB: put it into a file and name that with -i");
  }
}

Result<Json> function_json(const Session& session, const std::string& file, const std::vector<std::string>& args,
                           const app::ProgramOptions& program_options, Upload& upload, std::string& description) {
  MESH_LET(const app::Program program, app::import_program(file, program_options, upload.sink()));
  if (!program.runtime_note.empty()) session.progress(program.runtime_note);
  description = program.description;
  return Json{
      {"cid", program.content.text()}, {"language", program.language}, {"script", program.script}, {"args", args}};
}

Result<Json> limits_json(const std::vector<std::string>& timeouts, Json& task) {
  Json limits = Json::object();
  for (const std::string& text : timeouts) {
    const std::size_t equals = text.find('=');
    const std::string phase = text.substr(0, equals);
    double seconds = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = equals == std::string::npos
                                   ? std::from_chars_result{text.data(), std::errc::invalid_argument}
                                   : std::from_chars(text.data() + equals + 1, end, seconds);
    const bool known = phase == "fetch" || phase == "run" || phase == "nonce" || phase == "reveal" ||
                       phase == "total" || phase == "bid";
    if (!known || error != std::errc{} || stop != end || !(seconds > 0) || seconds > 4'000'000) {
      return fail(
          ErrorCode::invalid,
          fmt::format("--timeout {}: write PHASE=SECONDS with a phase of bid, fetch, run, nonce, reveal and total",
                      text));
    }
    const auto ms = static_cast<std::uint64_t>(seconds * 1000);
    if (phase == "bid") {
      task["bid_window_ms"] = ms;
    } else {
      limits[phase + "_ms"] = ms;
    }
  }
  return limits;
}

std::string clock_text(const Json& event) {
  const std::string time = text_of(event["time"]);
  return time.size() >= 19 ? time.substr(11, 8) : time;
}

struct Watch {
  std::string id;
  bool many = false;
  bool quiet = false;
  std::map<std::uint64_t, std::string> partial;  ///< by shard: a log line that is not whole yet

  void log(std::uint64_t shard, ByteView bytes) {
    if (quiet) return;
    std::string& line = partial[shard];
    line += as_text(bytes);
    std::size_t end = 0;
    while ((end = line.find('\n')) != std::string::npos || line.size() > 8192) {
      const std::size_t take = end == std::string::npos ? line.size() : end;
      fmt::print(stderr, "{}{}\n", many ? fmt::format("[{}] ", shard) : "", line.substr(0, take));
      line.erase(0, end == std::string::npos ? take : take + 1);
    }
  }
  void flush() {
    for (auto& [shard, line] : partial) {
      if (!line.empty()) log(shard, as_bytes("\n"));
    }
  }
  /// Whether the event is the end of the job.
  bool take(const Session& session, const Json& event) {
    if (!event.is_object() || !event.contains("kind")) return false;
    const std::string kind = text_of(event["kind"]);
    if (!event.contains("job") || event["job"] != id) return false;
    if (kind == "job.log") {
      if (auto bytes = multibase_decode(event.value("data", "m"))) log(event.value("shard", std::uint64_t{0}), *bytes);
      return false;
    }
    const bool is_change = kind == "job.phase" || kind == "job.award" || kind == "job.committed" ||
                           kind == "job.drawn" || kind == "job.blame" || kind == "job.note" ||
                           (kind == "job.shard" && !many);
    if (is_change) {
      std::string line =
          fmt::format("{} {:<10} {:<8}", clock_text(event), event.contains("phase") ? text_of(event["phase"]) : "",
                      event.contains("peer") ? short_peer(event["peer"]) : "");
      if (event.contains("shard")) line += fmt::format(" shard {}", event["shard"].dump());
      if (event.contains("text")) line += " " + text_of(event["text"]);
      session.say(line);
    }
    return kind == "job.done";
  }
};

int stay(const Session& session, const std::string& id, bool own_node) {
  session.say(fmt::format("the job goes on{}: `mesh job describe {}` shows how far it is, `mesh job stop {}` ends it",
                          own_node ? " when a node runs with this home" : "", short_id(id), short_id(id)));
  return exit_interrupted;
}

/// Names what the function itself did wrong: outcome, backtrace, the end of its log.
int fail_by_guest(const Session& session, const http::Client& client, const Json& job) {
  const std::string id = text_of(job["id"]);
  const auto shards = job["shards"].get<std::uint64_t>();
  // The first that failed is named; explain has the others.
  for (std::uint64_t first = 0; first < shards; first += 1000) {
    const auto page = ask(client, "GET", fmt::format("/api/v1/tasks/{}/shards?first={}&count=1000", id, first));
    if (!page) return session.fail(page.error());
    for (const Json& shard : *page) {
      if (shard["outcome"].is_null() || shard["outcome"]["succeeded"].get<bool>()) continue;
      std::string text =
          fmt::format("the function failed{}: {}",
                      shards > 1 ? fmt::format(" in {} of {} shards, first in shard {}",
                                               text_of(job["failed_outcomes"]), shards, text_of(shard["shard"]))
                                 : "",
                      text_of(shard["outcome"]["text"]));
      for (const Json& frame : shard["outcome"]["backtrace"]) text += "\n  at " + text_of(frame);
      if (shard["log"].is_string()) {
        const auto log = client.get("/api/v1/assets/" + text_of(shard["log"]));
        if (log && log->status == 200 && !log->body.empty()) {
          const std::string_view whole = as_text(log->body);
          std::string_view tail = whole.substr(whole.size() > 2000 ? whole.size() - 2000 : 0);
          text += "\nits log ends with:\n" + std::string(tail);
          while (text.ends_with('\n')) text.pop_back();
        }
      }
      return session.fail(exit_failure, text);
    }
  }
  return session.fail(exit_failure, "the function failed: " + text_of(job["failure"]));
}

}  // namespace

namespace {

/// A failure begins with its name, a colon and what happened (node/job.cc); a reduction's stands behind its own name.
int exit_of_failure(std::string_view failure) {
  constexpr std::string_view reduce = "reduce-failed: ";
  if (failure.starts_with(reduce)) failure.remove_prefix(reduce.size());
  const std::string_view name = failure.substr(0, failure.find(':'));
  if (name == "rejected" || name == "disputed" || name == "no-workers-left") return exit_rejected;
  return name == "total-timeout" ? exit_timeout : exit_failure;
}

}  // namespace

Status save(const http::Client& client, const std::string& path, const fs::path& file) {
  // No longer than names may be, however long the file's is, and no other file of the same folder.
  const fs::path temporary =
      file.parent_path() / fmt::format(".{}.{}.part", file.filename().string().substr(0, 100), ::getpid());
  std::ofstream stream(temporary, std::ios::binary | std::ios::trunc);
  auto done = client.download("GET", path, [&](ByteView bytes) -> Status {
    stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!stream)
      return fail(ErrorCode::storage, fmt::format("{} cannot be written: is the disk full?", temporary.string()));
    return {};
  });
  stream.close();
  Status status;
  if (!done) {
    status = std::unexpected(done.error());
  } else if (done->status >= 300) {
    status = std::unexpected(http::error_of(*done));
  } else if (!stream) {
    status = fail(ErrorCode::storage,
                  fmt::format("{} cannot be written: is the folder there and the disk not full?", temporary.string()));
  }
  std::error_code error;
  if (status) fs::rename(temporary, file, error);
  if (error) status = fail(ErrorCode::storage, fmt::format("{} cannot be written: {}", file.string(), error.message()));
  if (!status) fs::remove(temporary, error);
  return status;
}

Status print_result(const http::Client& client, const std::string& path, bool end_line) {
  std::uint8_t last = '\n';
  MESH_LET(const http::Response response, client.download("GET", path, [&](ByteView bytes) -> Status {
    if (bytes.empty()) return {};
    last = bytes.back();
    return put(bytes) ? Status{} : fail(ErrorCode::storage, "stdout cannot be written");
  }));
  if (response.status >= 300) return std::unexpected(http::error_of(response));
  if (end_line && last != '\n') put(as_bytes("\n"));
  return {};
}

int finish_job(Session& session, const http::Client& client, const std::string& id, const std::string& output_dir) {
  const auto job = ask(client, "GET", "/api/v1/tasks/" + id);
  if (!job) return session.fail(job.error());
  const std::string phase = text_of((*job)["phase"]);
  const auto shards = (*job)["shards"].get<std::uint64_t>();
  if (phase == "stopped") return session.fail(exit_failure, "the job was stopped");
  if (!(*job)["ended"].get<bool>())
    return session.fail(exit_failure,
                        fmt::format("the job is still {}: `mesh job logs -f {}` follows it", phase, short_id(id)));
  if (phase == "failed") {
    if (job->at("failed_outcomes").get<std::uint64_t>() > 0) return fail_by_guest(session, client, *job);
    const std::string why = text_of((*job)["failure"]);
    return session.fail(
        exit_of_failure(why),
        fmt::format("the job failed: {}; `mesh job explain {}` shows the whole story", why, short_id(id)));
  }
  const bool single = shards == 1 || !(*job)["result"].is_null();
  Status status;
  if (!output_dir.empty()) {
    std::error_code error;
    fs::create_directories(output_dir, error);
    if (error) return session.fail(exit_failure, fmt::format("{} cannot be made: {}", output_dir, error.message()));
    if (single) {
      status = save(client, "/api/v1/tasks/" + id + "/result", fs::path(output_dir) / "result");
    } else {
      for (std::uint64_t i = 0; status && i < shards; ++i)
        status = save(client, fmt::format("/api/v1/tasks/{}/result?shard={}", id, i),
                      fs::path(output_dir) / fmt::format("{:05}", i));
    }
    if (status) session.say(fmt::format("the result is in {}", output_dir));
  } else if (single) {
    status = print_result(client, "/api/v1/tasks/" + id + "/result", false);
  } else {
    for (std::uint64_t i = 0; status && i < shards; ++i)
      status = print_result(client, fmt::format("/api/v1/tasks/{}/result?shard={}", id, i), true);
  }
  std::fflush(stdout);
  if (!status) return session.fail(status.error());
  if ((*job)["unverified"].get<bool>()) session.say("unverified: no other node has re-executed this");
  if (const std::string sampled = sample_text(*job, "checked", "shards"); !sampled.empty()) session.say(sampled);
  if (const Json& escrow = (*job)["escrow"]; !escrow.is_null())
    session.say(fmt::format("escrow {}: of {} micro-credits {} were paid, {} came back, {} are held",
                            text_of(escrow["state"]), text_of(escrow["locked"]), text_of(escrow["paid"]),
                            text_of(escrow["refunded"]), text_of(escrow["held"])));
  if ((*job)["failed_outcomes"].get<std::uint64_t>() > 0) return fail_by_guest(session, client, *job);
  return exit_ok;
}

namespace {
/// The fee of a run as it was told, or as the ledger's recent price has it.
Result<std::uint64_t> fee_of(const Session& session, const http::Client& client, const RunOptions& options) {
  if (options.fee != "auto") {
    return app::parse_micros(options.fee);
  }
  const std::uint64_t fuel = options.fuel > 0 ? options.fuel : task::CapabilityScope{}.fuel;
  MESH_LET(const Json price, ask(client, "GET", fmt::format("/api/v1/ledger/price?fuel={}", fuel)));
  MESH_LET(const std::uint64_t fee, app::parse_micros(text_of(price["fee"])));
  session.say(price["price"].is_null()
                  ? fmt::format("fee: {} micro-credits a run; nobody was paid lately, so that is a guess", fee)
                  : fmt::format("fee: {} micro-credits a run, by the last {} works", fee, price["works"].dump()));
  return fee;
}
}  // namespace

int run_run(Session& session, const RunOptions& options) {
  auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  std::error_code error;
  if (!fs::exists(options.file, error))
    return session.fail(
        exit_not_found,
        fmt::format("there is no file {}: name a .wasm, .wat, .py, .js, .rb or .php file", options.file));
  Json task = Json::object();
  const auto limits = limits_json(options.timeouts, task);
  if (!limits) return session.fail(limits.error());
  watch_interrupts();

  std::unique_ptr<LocalNode> own;
  auto node = session.find_node();
  if (!node && node.error().code != ErrorCode::unavailable) return session.fail(node.error());
  if (!node) {
    session.progress("no node is running: starting one for this call");
    auto started = LocalNode::start(*settings, true);
    if (!started) return session.fail(started.error());
    own = std::move(*started);
    node = own->address();
  }
  const http::Client client = client_of(*node, std::chrono::milliseconds(600'000));

  Upload upload(client);
  std::string description;
  const app::ProgramOptions program_options{.only_file = options.only_file, .runtime = options.runtime};
  auto function = function_json(session, options.file, options.args, program_options, upload, description);
  if (!function) return session.fail(function.error());
  task["function"] = *function;
  if (!options.reduce.empty()) {
    std::string ignored;
    // The runtime was named for FILE; what folds is chosen for.
    auto reduce =
        function_json(session, options.reduce, {}, {.only_file = options.only_file, .runtime = {}}, upload, ignored);
    if (!reduce) return session.fail(reduce.error());
    task["reduce"] = *reduce;
  }
  std::vector<app::InputSpec> specs;
  for (const std::string& input : options.inputs) {
    app::InputSpec spec;
    if (input == "-") {
      auto bytes = read_stdin();
      if (!bytes) return session.fail(bytes.error());
      spec.kind = app::InputSpec::Kind::bytes;
      spec.bytes = std::move(*bytes);
    } else if (input.starts_with("cid:")) {
      auto cid = Cid::from_text(input.substr(4));
      if (!cid) return session.fail(cid.error());
      spec.kind = app::InputSpec::Kind::cid;
      spec.cid = *cid;
    } else {
      spec.path = input;
    }
    specs.push_back(std::move(spec));
  }
  std::vector<identity::NodeId> recipients;
  if (options.sealed) {
    // Here, so that what leaves this program is sealed already.
    const auto own_key = own_node(client);
    if (!own_key) return session.fail(own_key.error());
    recipients.push_back(*own_key);
  }
  const auto inputs = app::import_inputs(specs, options.map, upload.sink(), recipients);
  if (!inputs) return session.fail(inputs.error());
  if (const Status status = upload.flush(); !status) return session.fail(status.error());

  Json list = Json::array();
  for (const app::ListedInput& input : inputs->inputs) list.push_back(input.cid.text());
  task["inputs"] = std::move(list);
  task["map"] = options.map;
  task["dry_run"] = options.dry_run;
  if (options.sealed) task["sealed"] = true;
  task["label"] = (options.label.empty() ? fs::path(options.file).filename().string() : options.label).substr(0, 128);
  if (!limits->empty()) task["limits"] = *limits;
  if (!options.fee.empty()) {
    const auto fee = fee_of(session, client, options);
    if (!fee) return session.fail(fee.error());
    if (*fee > 0) task["fee"] = *fee;
  }
  if (options.fuel > 0) task["fuel"] = options.fuel;
  if (options.memory_mb > 0) task["memory_mb"] = options.memory_mb;
  if (options.verifiers >= 0) task["verifiers"] = options.verifiers;
  if (options.value > 0) task["value"] = options.value;
  task["sample_per_mille"] = std::max(1L, std::lround(options.sample * 1000));

  if (options.dry_run) {
    auto plan = ask(client, "POST", "/api/v1/tasks", &task);
    if (!plan) return session.fail(plan.error());
    (*plan)["ships"] = description;
    (*plan)["shipped_bytes"] = upload.bytes();
    session.print(*plan);
    return exit_ok;
  }
  // Opened before the task exists, so that nothing of its story is missed.
  auto events = client.open_events("/api/v1/events");
  if (!events) return session.fail(events.error());
  const auto accepted = ask(client, "POST", "/api/v1/tasks", &task);
  if (!accepted) return session.fail(accepted.error());
  Watch watch{
      .id = text_of((*accepted)["id"]), .many = inputs->inputs.size() > 1, .quiet = session.quiet, .partial = {}};
  if (options.detach) {
    if (session.form() == Form::json) {
      session.print(*accepted);
    } else {
      fmt::print("{}\n", watch.id);
    }
    if (own) session.say("the node of this call ends now: the job goes on when a node runs with this home");
    return exit_ok;
  }
  session.say("job " + watch.id);
  session.say(description);
  bool ended = false;
  bool streaming = true;
  while (!ended) {
    if (interrupted()) return stay(session, watch.id, own != nullptr);
    bool look = false;
    if (streaming) {
      const auto text = events->next(std::chrono::milliseconds(250));
      if (text) {
        const Json event = Json::parse(*text, nullptr, false);
        ended = watch.take(session, event);
        look = event.is_object() && event.value("kind", "") == "gap";
      } else if (text.error().code != ErrorCode::timeout) {
        streaming = false;
        look = true;
      }
    } else {
      ::usleep(250'000);
      look = true;
    }
    if (look && !ended) {
      const auto job = ask(client, "GET", "/api/v1/tasks/" + watch.id);
      if (!job)
        return session.fail(
            job.error().code == ErrorCode::unavailable ? static_cast<int>(exit_no_node) : exit_of(job.error().code),
            "the node went away: " + job.error().message);
      ended = (*job)["ended"].get<bool>();
    }
  }
  watch.flush();
  const int code = finish_job(session, client, watch.id, options.output_dir);
  session.say(
      fmt::format("more: mesh job explain {0}   mesh job logs {0}   mesh receipt export {0}", short_id(watch.id)));
  return code;
}

}  // namespace mesh::cli
