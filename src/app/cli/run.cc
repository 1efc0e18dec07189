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
#include <thread>

#include "app/cli/session.h"
#include "app/runtime/import.h"
#include "codec/car.h"
#include "codec/multibase.h"

namespace mesh::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t piece_bytes = std::size_t{16} << 20;  // Of a CAR that is sent: well below what a node takes.
constexpr std::size_t max_stdin_bytes = std::size_t{1} << 30;

/// Blocks on their way to a node, sent as CAR files of some MiB.
class Upload {
 public:
  explicit Upload(const http::Client& client) : client_(client) {}
  asset::BlockSink sink() {
    return [this](const Cid& cid, Bytes block) -> Status {
      if (!sent_.insert(cid).second) return {};
      if (car_.empty()) car_ = car::header(std::span(&cid, 1));
      append(car_, car::section(cid, block));
      bytes_ += block.size();
      return car_.size() < piece_bytes ? Status{} : flush();
    };
  }
  Status flush() {
    if (car_.empty()) return {};
    MESH_LET(const http::Response response, client_.request("POST", "/api/v1/assets?car=1&declare=0", car_,
                                                            {{"content-type", "application/octet-stream"}}));
    car_.clear();
    if (response.status >= 300) return std::unexpected(http::error_of(response));
    return {};
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  const http::Client& client_;
  std::set<Cid> sent_;
  Bytes car_;
  std::uint64_t bytes_ = 0;
};

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

/// Each file of a folder result, or the file.
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

/// To stdout; a result that does not end with a newline gets one when several are written.
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
  if ((*job)["failed_outcomes"].get<std::uint64_t>() > 0) return fail_by_guest(session, client, *job);
  return exit_ok;
}

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
  const auto inputs = app::import_inputs(specs, options.map, upload.sink());
  if (!inputs) return session.fail(inputs.error());
  if (const Status status = upload.flush(); !status) return session.fail(status.error());

  Json list = Json::array();
  for (const app::ListedInput& input : inputs->inputs) list.push_back(input.cid.text());
  task["inputs"] = std::move(list);
  task["map"] = options.map;
  task["dry_run"] = options.dry_run;
  task["label"] = (options.label.empty() ? fs::path(options.file).filename().string() : options.label).substr(0, 128);
  if (!limits->empty()) task["limits"] = *limits;
  if (options.fee > 0) task["fee"] = options.fee;
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

// ---- Assets: here, since they are uploaded as a task's contents are.

int assets_add(Session& session, const std::string& path) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  Upload upload(*client);
  std::error_code error;
  if (!fs::exists(path, error)) return session.fail(exit_not_found, fmt::format("there is no file or folder {}", path));
  const auto built = app::import_path(path, upload.sink());
  if (!built) return session.fail(built.error());
  if (const Status status = upload.flush(); !status) return session.fail(status.error());
  // A CAR without blocks that names the root makes the node serve it: its blocks are there.
  const Cid root = built->cid;
  const auto declared = client->request("POST", "/api/v1/assets?car=1", car::header(std::span(&root, 1)),
                                        {{"content-type", "application/octet-stream"}});
  if (!declared) return session.fail(declared.error());
  if (declared->status >= 300) return session.fail(http::error_of(*declared));
  const Json answer{{"cid", root.text()},
                    {"bytes", built->content_bytes != 0 ? built->content_bytes : built->total_bytes}};
  if (session.form() == Form::table || session.form() == Form::wide) {
    fmt::print("{}\n", root.text());
  } else {
    session.print(answer);
  }
  return exit_ok;
}

Result<Json> find_assets(const http::Client& client, const std::string& text) {
  const bool is_cid = Cid::from_text(text).has_value();
  MESH_LET(Json answer, ask(client, "GET",
                            fmt::format("/api/v1/query/asset?{}={}&count=1000", is_cid ? "cid" : "name",
                                        http::percent_encode(text))));
  if (!answer["complete"].get<bool>())
    return fail(ErrorCode::exhausted,
                fmt::format("more files are called {} than can be told; say more of the name", text));
  return answer;
}

namespace {

/// A shared file that a name or a CID stands for. Errors: not_found, conflict (several files have the name: says which).
Result<Json> shared_file(const http::Client& client, const std::string& name) {
  MESH_LET(const Json answer, find_assets(client, name));
  std::map<std::string, Json> files;
  for (const Json& holding : answer["holdings"]) {
    // Of some only the CID is known, by the DHT: that is no file yet.
    if (!holding["asset"]["full_path"].is_null()) files.emplace(text_of(holding["asset"]["cid"]), holding["asset"]);
  }
  if (files.empty())
    return fail(ErrorCode::not_found,
                fmt::format("{} is no CID, and nobody who is connected shares a file of that name", name));
  if (files.size() == 1) return files.begin()->second;
  std::string all;
  for (const auto& [cid, asset] : files) all += fmt::format("\n  {}  {}", cid, text_of(asset["path"]));
  return fail(ErrorCode::conflict,
              fmt::format("{} different files are called {}; name one by its CID:{}", files.size(), name, all));
}

/// One line for a transfer: a bar, how much, how fast, from how many, how long yet.
std::string transfer_line(const Json& transfer) {
  constexpr int width = 24;
  const double bytes = transfer["bytes"].get<double>();
  const double here = transfer["bytes_here"].get<double>();
  const double speed = transfer["bytes_per_s"].get<double>();
  const double part = bytes > 0 ? here / bytes : 0;
  const int filled = static_cast<int>(part * width);
  std::string line = fmt::format("{:#<{}}{:.<{}} {:3.0f} %  {} of {}", "", filled, "", width - filled, part * 100,
                                 bytes_text(here), bytes_text(bytes));
  if (text_of(transfer["state"]) != "running") return line + "  " + text_of(transfer["state"]);
  line += fmt::format("  {}/s from {}", bytes_text(speed), transfer["holders"].size());
  if (speed > 0) line += fmt::format("  {:.0f} s left", (bytes - here) / speed);
  return line;
}

/// Shows how far a transfer is, on a terminal's stderr, until it is destroyed.
class TransferBar {
 public:
  TransferBar(const Session& session, const http::Client& client, std::string cid) {
    if (::isatty(STDERR_FILENO) == 0 || session.quiet) return;
    thread_ = std::jthread([&client, cid = std::move(cid)](const std::stop_token& stop) {
      bool shown = false;
      while (!stop.stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        const auto answer = ask(client, "GET", "/api/v1/transfers");
        if (!answer) continue;
        for (const Json& transfer : (*answer)["transfers"]) {
          if (text_of(transfer["cid"]) != cid || stop.stop_requested()) continue;
          fmt::print(stderr, "\r\x1b[K{}", transfer_line(transfer));
          shown = true;
          break;
        }
      }
      if (shown) fmt::print(stderr, "\r\x1b[K");
    });
  }

 private:
  std::jthread thread_;
};

/// Copies what the node keeps to where the user wants it.
Status copy_out(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error) return fail(ErrorCode::storage, fmt::format("{} cannot be written: {}", to.string(), error.message()));
  return {};
}

/// A shared file: fetched, kept and served on by the node.
int get_shared(Session& session, const http::Client& client, const Json& asset, Json request, const std::string& file,
               bool where_only) {
  const std::string cid = text_of(asset["cid"]);
  request["path"] = asset["full_path"];
  request["visibility"] = asset["visibility"];
  const http::Client patient = client_of(*session.find_node(), std::chrono::hours(24));
  Result<Json> fetched = [&] {
    const TransferBar bar(session, client, cid);
    return ask(patient, "POST", "/api/v1/assets/" + http::percent_encode(cid) + "/fetch", &request);
  }();
  if (interrupted()) {
    session.say("the node goes on fetching it: GET /api/v1/transfers tells how far it is");
    return exit_interrupted;
  }
  if (!fetched) return session.fail(fetched.error());
  const fs::path here = text_of((*fetched)["file"]);
  if (where_only) {
    fmt::print("{}\n", here.string());
    return exit_ok;
  }
  std::error_code error;
  if (!file.empty() && fs::is_regular_file(here, error)) {
    const Status copied = copy_out(here, file);
    return copied ? static_cast<int>(exit_ok) : session.fail(copied.error());
  }
  const std::string path = "/api/v1/assets/" + http::percent_encode(cid);
  const Status status = file.empty() ? print_result(client, path, false) : save(client, path, file);
  return status ? static_cast<int>(exit_ok) : session.fail(status.error());
}

}  // namespace

int assets_get(Session& session, const std::string& name, const std::vector<std::string>& from, const std::string& file,
               bool where_only) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  Json request = Json::object();
  for (const std::string& peer : from) {
    std::string id = peer;
    if (peer.starts_with('/')) {
      const Json address{{"address", peer}};
      const auto dialed = ask(*client, "POST", "/api/v1/dial", &address);
      if (!dialed) return session.fail(dialed.error());
      id = text_of((*dialed)["peer"]);
    }
    request["from"].push_back(id);
  }
  const auto shared = shared_file(*client, name);
  if (shared) return get_shared(session, *client, *shared, std::move(request), file, where_only);
  // What is content without being shared under a name has to be asked for by its hash.
  if (!Cid::from_text(name)) return session.fail(shared.error());
  if (where_only) return session.fail(exit_not_found, fmt::format("nobody who is connected shares {} as a file", name));
  const std::string& cid = name;
  const std::string path = "/api/v1/assets/" + http::percent_encode(cid);
  if (const auto fetched = ask(*client, "POST", path + "/fetch", &request); !fetched)
    return session.fail(fetched.error());
  const auto parsed = Cid::from_text(cid);
  if (!parsed) return session.fail(parsed.error());
  if (parsed->codec() == Multicodec::dag_pb) {
    // A file or a folder: a folder's answer is a list, and small.
    const auto listing = client->get(path);
    if (listing && listing->status == 200 && listing->headers.contains("x-mesh-kind")) {
      if (file.empty())
        return session.fail(exit_usage, fmt::format("{} is a folder: name where it shall go with -o", cid));
      const Json folder = Json::parse(listing->body.begin(), listing->body.end(), nullptr, false);
      std::error_code error;
      if (fs::exists(file, error))
        return session.fail(exit_failure, fmt::format("{} is there already: name another folder", file));
      for (const Json& entry : folder["entries"]) {
        const fs::path below = fs::path(text_of(entry["path"])).lexically_normal();
        if (below.is_absolute() || below.empty() || *below.begin() == "..")
          return session.fail(exit_failure,
                              fmt::format("the folder holds the name {}, which leads out of it", below.string()));
        const fs::path target = fs::path(file) / below;
        fs::create_directories(target.parent_path(), error);
        if (error)
          return session.fail(exit_failure,
                              fmt::format("{} cannot be made: {}", target.parent_path().string(), error.message()));
        if (const Status status = save(*client, "/api/v1/assets/" + text_of(entry["cid"]), target); !status)
          return session.fail(status.error());
      }
      return exit_ok;
    }
  }
  const Status status = file.empty() ? print_result(*client, path, false) : save(*client, path, file);
  return status ? static_cast<int>(exit_ok) : session.fail(status.error());
}

}  // namespace mesh::cli
