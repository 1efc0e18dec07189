#include "app/api/api.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <deque>
#include <set>

#include "app/api/call.h"
#include "app/api/dashboard.h"
#include "app/api/gateway.h"
#include "app/api/ledger_routes.h"
#include "app/api/opened_content.h"
#include "app/api/render.h"
#include "app/api/schemas.h"
#include "app/api/task_request.h"
#include "app/runtime/sealed_inputs.h"
#include "domain/asset/unixfs.h"
#include "domain/ledger/payment_check.h"
#include "domain/verification/alone.h"

namespace mesh::app {
namespace {

constexpr std::size_t max_json_bytes = std::size_t{48} << 20;
constexpr std::uint64_t max_page = 1000;
constexpr std::size_t max_fetches = 64;
constexpr std::size_t bundle_content_bytes = std::size_t{64} << 20;
constexpr std::size_t small_content_bytes = 16 << 10;
constexpr Duration fetch_limit = seconds(60);
constexpr std::string_view octets = "application/octet-stream";
constexpr std::string_view ndjson = "application/x-ndjson";
constexpr std::string_view rest_of_path = "{path...}";

std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // The '/'.
    const std::size_t end = path.find('/');
    segments.push_back(path.substr(0, end));
    if (end == std::string_view::npos) break;
    path.remove_prefix(end);
  }
  return segments;
}

std::int64_t wall_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

struct Parameter {
  std::string_view name;
  std::string_view place;  ///< "path" or "query"
  std::string_view type;   ///< "string", "integer"
  std::string_view help;
  bool is_required = false;  ///< in the query; in the path all are
};
struct Answer {
  unsigned status;
  std::string_view content_type;
  std::string_view schema;  ///< in the notation of schemas.h; "" for bytes or text
  std::string_view help;
};
struct Body {
  std::string_view content_type;
  std::string_view schema;
};

}  // namespace

class Api::Impl : public std::enable_shared_from_this<Api::Impl> {
 public:
  using Call = app::Call;

  enum class Access : std::uint8_t {
    token,
    everyone,
    launcher,  ///< as token; where the node stands in for ZephyMesh's, this machine's programs need none
  };
  struct Route {
    std::string_view method;
    std::string_view pattern;
    std::string_view id;
    std::string_view summary;
    std::vector<Parameter> parameters;
    std::vector<Body> bodies;
    std::vector<Answer> answers;
    void (Impl::*handler)(Call);
    Access access = Access::token;
    bool is_lenient = false;  ///< parameters that are not known are passed over
  };

  explicit Impl(Backend& backend)
      : backend_(backend),
        ledger_(std::make_shared<LedgerRoutes>(backend)),
        gateway_(std::make_shared<Gateway>(
            backend.blocks(), [&backend](std::move_only_function<void()> work) { backend.post_bulk(std::move(work)); },
            [&backend](std::move_only_function<void()> work) { backend.post(std::move(work)); })) {}

  static const std::vector<Route>& table();
  static std::string openapi_text();

  Status listen(ApiConfig config) {
    http::Config http_config;
    http_config.address = std::move(config.address);
    http_config.port = config.port;
    http_config.token = std::move(config.token);
    http_config.limits.max_body_bytes = config.max_body_bytes;
    http_config.limits.max_buffered_body_bytes =
        std::max(http_config.limits.max_buffered_body_bytes, 2 * config.max_body_bytes);
    http_config.is_public = [this, zephymesh = config.zephymesh](const http::Request& request) {
      if (const std::optional<Cid> root = Gateway::root_of(request.path))
        return request.method == "GET" && backend_.is_for_everybody(*root);
      if (Dashboard::built_in().has(request)) return true;
      const bool is_launcher = zephymesh && request.is_loopback && !request.has_origin;
      return std::ranges::any_of(table(), [&](const Route& route) {
        return (route.access == Access::everyone || (route.access == Access::launcher && is_launcher)) &&
               route.method == request.method && route.pattern == request.path;
      });
    };
    auto server = http::Server::start(backend_.io(), std::move(http_config),
                                      [weak = weak_from_this()](http::Request request, http::Responder responder) {
                                        if (const auto self = weak.lock())
                                          self->dispatch(std::move(request), std::move(responder));
                                      });
    if (!server) return std::unexpected(server.error());
    server_ = std::move(*server);
    return {};
  }
  void close() { server_.reset(); }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }

  void dispatch(http::Request request, http::Responder responder) {
    const std::vector<std::string_view> path = segments_of(request.path);
    std::vector<std::string_view> allowed;
    for (const Route& route : table()) {
      const std::vector<std::string_view> pattern = segments_of(route.pattern);
      // "{path...}" stands for all that is left.
      const bool takes_rest = pattern.back() == rest_of_path && path.size() >= pattern.size();
      if (pattern.size() != path.size() && !takes_rest) continue;
      std::map<std::string, std::string, std::less<>> parameters;
      bool matches = true;
      for (std::size_t i = 0; matches && i < pattern.size(); ++i) {
        if (pattern[i] == rest_of_path) {
          continue;
        } else if (pattern[i].starts_with('{')) {
          matches = !path[i].empty() && path[i].size() <= 256;
          parameters.emplace(pattern[i].substr(1, pattern[i].size() - 2), path[i]);
        } else {
          matches = pattern[i] == path[i];
        }
      }
      if (!matches) continue;
      if (route.method != request.method) {
        allowed.push_back(route.method);
        continue;
      }
      for (const auto& [name, value] : request.query) {
        if (route.is_lenient) break;
        const auto known = [&](const Parameter& parameter) {
          return parameter.place == "query" && parameter.name == name;
        };
        if (std::ranges::none_of(route.parameters, known)) {
          responder.answer(http::problem(
              Error{ErrorCode::invalid,
                    fmt::format("there is no parameter \"{}\" here; see /openapi.json", name.substr(0, 64))}));
          return;
        }
      }
      (this->*route.handler)(Call{std::move(request), std::move(responder), std::move(parameters)});
      return;
    }
    if (!allowed.empty()) {
      http::Response response =
          http::problem(405, "method-not-allowed",
                        fmt::format("{} takes {}, not {}", request.path, fmt::join(allowed, ", "), request.method));
      response.headers["allow"] = fmt::format("{}", fmt::join(allowed, ", "));
      responder.answer(std::move(response));
      return;
    }
    if (auto file = Dashboard::built_in().answer(request)) {
      responder.answer(std::move(*file));
      return;
    }
    responder.answer(http::problem(
        404, "not-found",
        fmt::format("there is nothing at {}; /openapi.json lists what there is", request.path.substr(0, 256))));
  }

 private:
  // ---- Names.

  /// The job that `prefix` names; answers the call itself and gives nothing where there is not exactly one.
  std::optional<Cid> job_of(const Call& call) const {
    const std::string& prefix = call.parameters.find("id")->second;
    constexpr std::string_view common = "bafyrei";  // How the CID of every record begins.
    std::vector<Cid> found;
    for (const Cid& id : backend_.jobs()) {
      const std::string text = id.text();
      if (text == prefix) return id;
      if (text.starts_with(prefix) || std::string_view(text).substr(common.size()).starts_with(prefix))
        found.push_back(id);
    }
    if (found.size() == 1) return found.front();
    if (found.empty()) {
      call.fail({ErrorCode::not_found,
                 fmt::format("no job's id begins with {}: `mesh job ls` lists the jobs of this node", prefix)});
      return std::nullopt;
    }
    std::vector<std::string> candidates;
    for (const Cid& id : found) {
      if (candidates.size() < 32) candidates.push_back(id.text());
    }
    http::Response response =
        http::problem(Error{ErrorCode::conflict, fmt::format("{} jobs have an id that begins with {}: give more of it",
                                                             found.size(), prefix)});
    nlohmann::json json = nlohmann::json::parse(response.body.begin(), response.body.end(), nullptr, false);
    json["candidates"] = candidates;
    response.body = to_bytes(json.dump());
    call.responder.answer(std::move(response));
    return std::nullopt;
  }
  std::optional<Cid> cid_of(const Call& call) const {
    auto cid = Cid::from_text(call.parameters.find("cid")->second);
    if (cid) return *cid;
    call.fail(cid.error());
    return std::nullopt;
  }
  /// A peer by its PeerId, its did, or the beginning or end of the PeerId of one that is known.
  Result<identity::NodeId> peer_of(std::string_view text) const {
    if (auto node = identity::parse_node(text)) return *node;
    std::vector<identity::NodeId> found;
    for (const PeerLine& peer : backend_.peers()) {
      const std::string id = identity::peer_id_of(peer.node);
      if (id.starts_with(text) || id.ends_with(text)) found.push_back(peer.node);
    }
    if (found.size() == 1) return found.front();
    if (found.empty())
      return mesh::fail(ErrorCode::not_found, fmt::format("no peer is known as {}: `mesh peers ls` lists them", text));
    return mesh::fail(ErrorCode::conflict,
                      fmt::format("{} peers are known as {}: give more of the id", found.size(), text));
  }

  // ---- Health and facts.

  void get_livez(Call call) { call.responder.answer(http::text_response("ok\n")); }
  void get_readyz(Call call) {
    const Health health = backend_.health();
    call.responder.answer(health.ready ? http::text_response("ok\n")
                                       : http::problem(503, "unavailable", health.reason));
  }
  void get_metrics(Call call) {
    call.responder.answer(http::text_response(metrics_text(backend_), 200, "text/plain; version=0.0.4; charset=utf-8"));
  }
  void get_openapi(Call call) { call.responder.answer(http::json_response(openapi_text())); }
  void get_node(Call call) { call.reply(node_json(backend_)); }
  void get_peers(Call call) {
    Json list = Json::array();
    for (const PeerLine& peer : backend_.peers()) list.push_back(peer_json(peer));
    call.reply(list);
  }
  void get_topology(Call call) { call.reply(topology_json(backend_)); }
  void get_addrs(Call call) {
    call.reply({{"peerId", identity::peer_id_of(backend_.id())}, {"addrs", backend_.listen_addresses()}});
  }

  // ---- Tasks.

  void post_task(Call call) {
    if (call.content_type() != "application/json")
      return call.fail({ErrorCode::invalid, "the body must be application/json"});
    if (call.request.body.size() > max_json_bytes)
      return call.fail(
          {ErrorCode::exhausted,
           "the task is larger than 48 MiB: add its contents with POST /api/v1/assets and name their CIDs"});
    auto parsed = parse_task_request(call.request.body);
    if (!parsed) return call.fail(parsed.error());
    auto task = std::make_shared<TaskRequest>(std::move(*parsed));
    call.request.body = {};

    std::vector<Cid> missing;
    std::optional<Cid> in_place;
    const auto want = [&](const Cid& cid) {
      const bool is_open = backend_.blocks().has(cid);
      if (!is_open && backend_.blocks().has(cid, store::From::anywhere)) in_place = cid;
      if (!is_open && std::ranges::find(missing, cid) == missing.end()) missing.push_back(cid);
    };
    const auto want_function = [&](const FunctionRequest& function) {
      if (const auto* by_cid = std::get_if<FunctionRequest::ByCid>(&function.what)) want(by_cid->cid);
      if (const auto* program = std::get_if<Program>(&function.what)) want(program->content);
    };
    want_function(task->function);
    if (task->reduce) want_function(*task->reduce);
    for (const auto& input : task->inputs) {
      if (const Cid* cid = std::get_if<Cid>(&input)) want(*cid);
    }
    if (in_place) {
      return call.fail({ErrorCode::unsupported,
                        fmt::format("{} is shared with some alone, and a task's workers may be others (a choice among "
                                    "them is not built): add it with \"mesh assets add\"",
                                    in_place->text())});
    }
    if (missing.size() > max_fetches) {
      return call.fail(
          {ErrorCode::exhausted,
           fmt::format("{} contents of this task are not here: fetch them first with POST /api/v1/assets/CID/fetch",
                       missing.size())});
    }
    fetch_then(std::move(missing), std::move(call), std::move(task));
  }

  /// Brings the contents here, one after the other, then goes on with build_task.
  void fetch_then(std::vector<Cid> missing, Call call, std::shared_ptr<TaskRequest> task) {
    if (missing.empty()) return build_task(std::move(call), std::move(task));
    const Cid next = missing.back();
    missing.pop_back();
    backend_.fetch(next, {}, fetch_limit,
                   [self = shared_from_this(), missing = std::move(missing), call = std::move(call),
                    task = std::move(task), next](Status status) mutable {
                     if (!status)
                       return call.fail({status.error().code, fmt::format("{} is not here and cannot be had: {}",
                                                                          next.text(), status.error().message)});
                     self->fetch_then(std::move(missing), std::move(call), std::move(task));
                   });
  }

  struct BuiltTask {
    node::JobSpec spec;
    std::string description;
    std::uint64_t bytes = 0;
  };

  Result<ImportedFunction> build_function(FunctionRequest& request, const asset::BlockSink& sink) {
    if (const auto* by_cid = std::get_if<FunctionRequest::ByCid>(&request.what))
      return ImportedFunction{.function = by_cid->cid, .description = "function " + by_cid->cid.text()};
    if (const auto* source = std::get_if<FunctionRequest::Source>(&request.what)) {
      MESH_LET(const Program program, import_source(source->language, source->source, sink));
      return backend_.make_function(program, request.args);
    }
    return backend_.make_function(std::get<Program>(request.what), request.args);
  }

  Result<BuiltTask> build(TaskRequest& task) {
    const asset::BlockSink sink = block_sink(backend_.blocks());
    MESH_LET(const ImportedFunction function, build_function(task.function, sink));
    BuiltTask built{.spec = task.spec, .description = function.description};
    built.spec.function = function.function;
    if (task.reduce) {
      MESH_LET(const ImportedFunction reduce, build_function(*task.reduce, sink));
      built.spec.reduce = reduce.function;
      built.description += ", folded by " + reduce.description;
    }
    const identity::NodeId own = backend_.id();
    // For the publisher alone: it gives others the keys of what they are to run.
    const std::span<const identity::NodeId> recipients(&own, task.spec.sealed.value_or(false) ? 1 : 0);
    std::vector<ListedInput> inputs;
    for (auto& input : task.inputs) {
      if (const Cid* cid = std::get_if<Cid>(&input)) {
        // Of a file of one block that is here, the size is known: such are listed many to a part.
        const auto block =
            cid->codec() == Multicodec::raw ? backend_.blocks().get(*cid) : fail(ErrorCode::not_found, "");
        if (!recipients.empty()) {
          if (const Status sealed = SealedInputs::check(backend_.blocks(), *cid, own); !sealed) {
            return fail(
                sealed.error().code,
                fmt::format("task.inputs[{}]: a sealed task's inputs are sealed for its own node, and {} is not: "
                            "{}; give its content, or seal it with \"mesh assets add --for self\"",
                            inputs.size(), cid->text(), sealed.error().message));
          }
        }
        inputs.push_back({*cid, block ? std::optional<std::uint64_t>((*block)->size()) : std::nullopt});
        continue;
      }
      MESH_LET(const asset::Built file, import_bytes(std::get<Bytes>(input), sink, recipients));
      inputs.push_back({file.cid, file.content_bytes});
      built.bytes += file.content_bytes;
    }
    Result<ImportedInputs> list =
        inputs.empty() ? import_inputs({}, false, sink, recipients) : list_inputs(std::move(inputs), sink);
    if (!list) return std::unexpected(list.error());
    if (!task.dry_run) MESH_TRY(backend_.blocks().sync());
    built.spec.inputs = list->shard_list;
    built.spec.shards = static_cast<std::uint32_t>(list->inputs.size());
    built.spec.created_ms = wall_ms();
    return built;
  }

  void build_task(Call call, std::shared_ptr<TaskRequest> task) {
    backend_.post_bulk([self = shared_from_this(), call = std::move(call), task = std::move(task)]() mutable {
      Result<BuiltTask> built = self->build(*task);
      const bool dry_run = task->dry_run;
      task.reset();
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), call = std::move(call), built = std::move(built), dry_run]() mutable {
        if (!built) return call.fail(built.error());
        if (dry_run) return self->answer_plan(call, *built);
        self->submit(std::move(call), std::move(built->spec));
      });
    });
  }

  void answer_plan(const Call& call, const BuiltTask& built) const {
    const node::JobSpec& spec = built.spec;
    if (const Status status = backend_.check_submit(spec); !status) return call.fail(status.error());
    const task::PhaseLimits& limits = spec.limits;
    Json peers = Json::array();
    for (const node::Prospect& one : backend_.prospects(spec)) {
      peers.push_back(
          {{"peer", identity::peer_id_of(one.node)}, {"lacks", one.lacks.empty() ? Json(nullptr) : Json(one.lacks)}});
    }
    call.reply({{"function", spec.function.text()},
                {"description", built.description},
                {"inputs", spec.inputs.text()},
                {"shards", spec.shards},
                {"bytes", built.bytes},
                {"reduce", spec.reduce ? Json(spec.reduce->text()) : Json(nullptr)},
                {"fee_total", spec.fee * spec.shards},
                {"verifiers", spec.verifiers ? Json(*spec.verifiers) : Json(nullptr)},
                {"value", spec.value},
                {"sample_per_mille", spec.sample},
                {"sealed", spec.sealed.value_or(false)},
                {"scope",
                 {{"memory_mb", spec.scope.memory_mb},
                  {"fuel", spec.scope.fuel},
                  {"gpu_flops", spec.scope.gpu_flops},
                  {"io_mb", spec.scope.io_mb}}},
                {"limits",
                 {{"fetch_ms", limits.fetch_ms},
                  {"run_ms", limits.run_ms},
                  {"nonce_ms", limits.nonce_ms},
                  {"reveal_ms", limits.reveal_ms},
                  {"total_ms", limits.total_ms}}},
                {"peers", std::move(peers)}});
  }

  void submit(Call call, node::JobSpec spec) {
    backend_.submit(std::move(spec), [call = std::move(call)](Result<Cid> id) {
      if (!id) return call.fail(id.error());
      http::Response response = answer_json({{"id", id->text()}}, 201);
      response.headers["location"] = "/api/v1/tasks/" + id->text();
      call.responder.answer(std::move(response));
    });
  }

  void get_tasks(Call call) {
    const auto count = call.number("count", 100, max_page);
    if (!count) return call.fail(count.error());
    const std::vector<Cid> ids = backend_.jobs();
    Json list = Json::array();
    for (auto id = ids.rbegin(); id != ids.rend() && list.size() < *count; ++id) {
      if (const auto job = backend_.job(*id)) list.push_back(job_json(*job));
    }
    call.reply(list);
  }

  /// The job of the call's id, or an answered call.
  std::optional<node::JobView> view_of(const Call& call) const {
    const auto id = job_of(call);
    if (!id) return std::nullopt;
    auto job = backend_.job(*id);
    if (!job) call.fail({ErrorCode::not_found, "the job has just been forgotten"});
    return job;
  }

  void get_task(Call call) {
    if (const auto job = view_of(call)) call.reply(job_json(*job));
  }
  void get_shards(Call call) {
    const auto job = view_of(call);
    if (!job) return;
    const auto shards = page_of(call, job->id, 100);
    if (!shards) return call.fail(shards.error());
    Json list = Json::array();
    for (const node::ShardView& shard : *shards) list.push_back(shard_json(shard));
    call.reply(list);
  }
  void get_explain(Call call) {
    const auto job = view_of(call);
    if (!job) return;
    const auto shards = page_of(call, job->id, max_page);
    if (!shards) return call.fail(shards.error());
    call.reply(explain_json(*job, *shards));
  }
  /// The shards that the request's `first` and `count` name.
  Result<std::vector<node::ShardView>> page_of(const Call& call, const Cid& job, std::uint64_t usual_count) {
    MESH_LET(const std::uint64_t first, call.number("first", 0, UINT32_MAX));
    MESH_LET(const std::uint64_t count, call.number("count", usual_count, max_page));
    return backend_.shards(job, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count));
  }
  void post_stop(Call call) {
    const auto id = job_of(call);
    if (!id) return;
    backend_.stop_job(*id, [call = std::move(call), id = *id](Status status) {
      if (!status) return call.fail(status.error());
      call.reply({{"id", id.text()}});
    });
  }
  void post_rerun(Call call) {
    const auto job = view_of(call);
    if (!job) return;
    node::JobSpec spec = job->spec;
    spec.created_ms = wall_ms();
    submit(std::move(call), std::move(spec));
  }

  void get_result(Call call) {
    const auto job = view_of(call);
    if (!job) return;
    const std::string* shard_text = call.query("shard");
    const auto shard = call.number("shard", 0, UINT32_MAX);
    if (!shard) return call.fail(shard.error());
    if (!has_ended(job->phase))
      return call.fail({ErrorCode::conflict, fmt::format("the job is still {}: {} of {} shards are finished",
                                                         phase_name(job->phase), job->finished, job->shards)});
    const std::vector<std::pair<Cid, Cid>> results = backend_.results(job->id);
    if (shard_text != nullptr) {
      if (*shard >= job->shards)
        return call.fail({ErrorCode::not_found, fmt::format("the job has {} shards, numbered from 0", job->shards)});
      if (*shard >= results.size())
        return call.fail(
            {ErrorCode::not_found, fmt::format("shard {} has no result: {}", *shard,
                                               job->failure.empty() ? phase_name(job->phase) : job->failure)});
      return stream_content(std::move(call), results[*shard].first);
    }
    if (job->result) return stream_content(std::move(call), *job->result);
    if (job->phase != node::JobPhase::done) {
      return call.fail(
          {ErrorCode::conflict,
           fmt::format("the job has no result: {}", job->failure.empty() ? phase_name(job->phase) : job->failure)});
    }
    if (results.size() == 1) return stream_content(std::move(call), results.front().first);
    Json list = Json::array();
    for (std::size_t i = 0; i < results.size(); ++i)
      list.push_back({{"shard", i}, {"result", results[i].first.text()}, {"log", results[i].second.text()}});
    call.reply(list);
  }

  void get_receipts(Call call) {
    const auto job = view_of(call);
    if (!job) return;
    std::optional<std::uint32_t> only;
    auto results = std::make_shared<std::vector<std::pair<Cid, Cid>>>();
    if (call.query("shard") == nullptr) {
      *results = backend_.results(job->id);
    } else {
      const auto number = call.number("shard", 0, UINT32_MAX);
      if (!number) return call.fail(number.error());
      only = static_cast<std::uint32_t>(*number);
      const std::vector<node::ShardView> views = backend_.shards(job->id, *only, 1);
      if (views.empty())
        return call.fail({ErrorCode::not_found, fmt::format("the job has {} shards, numbered from 0", job->shards)});
      const node::ShardView& view = views.front();
      if (!view.decision && !has_ended(job->phase))
        return call.fail(
            {ErrorCode::conflict,
             fmt::format("shard {} is not decided yet: it is {}, and nothing proves it", *only, view.state)});
      if (view.finding) results->emplace_back(view.finding->result, view.finding->log);
    }
    // Results are taken a few blocks before the ledger shows that they are right, and a bundle holds what it shows.
    if (job->escrow && job->escrow->ahead > 0)
      return call.fail(
          {ErrorCode::unavailable,
           fmt::format("early: the ledger does not show yet what became of {} shards; ask again", job->escrow->ahead)});
    ChainHost* host = backend_.ledger();
    if (host == nullptr || !job->escrow) return send_receipts(std::move(call), job->id, only, results, {});
    // First what the node does not know yet; what it knows by then is asked for afterwards.
    host->show_payment(job->id, [self = shared_from_this(), call = std::move(call), only, results, id = job->id,
                                 host](ChainHost::Shown shown) mutable {
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), call = std::move(call), only, results, id, host,
                    shown = std::move(shown)]() mutable {
        Payment payment{
            .part = self->backend_.payment_part(id), .hops = std::move(shown.hops), .founding = host->founding()};
        payment.part.take(shown.part);
        std::erase_if(payment.part.works, [](const auto& work) { return !work.second.now; });
        Impl& api = *self;
        api.send_receipts(std::move(call), id, only, results, std::move(payment));
      });
    });
  }

  /// What shows a job's payment.
  struct Payment {
    ledger::PaymentPart part;
    std::vector<Cid> hops;
    Founding founding;

    /// None: the ledger does not show that anything was locked.
    [[nodiscard]] Result<std::optional<verification::PaidPart>> built(const std::vector<Envelope>& story,
                                                                      bool is_of_shard) && {
      if (!part.escrow) return std::optional<verification::PaidPart>();
      if (is_of_shard) {
        MESH_LET(const std::set<Cid> commitments, verification::commitments_of(story));
        part.keep_only(commitments);
      }
      if (part.works.size() > ledger::max_proven_works)
        return fail(ErrorCode::exhausted, fmt::format("payment-too-large: a bundle proves the payment of {} works at "
                                                      "most; export shard by shard with `--shard`",
                                                      ledger::max_proven_works));
      ledger::PaymentProof proof = part.links();
      proof.hops = std::move(hops);
      return ledger::paid_part(proof, std::move(part.blocks), founding.charter, founding.genesis);
    }
  };
  using Results = std::shared_ptr<std::vector<std::pair<Cid, Cid>>>;

  void send_receipts(Call call, const Cid& job, std::optional<std::uint32_t> only, const Results& results,
                     std::optional<Payment> payment) {
    auto story = std::make_shared<std::vector<Envelope>>(backend_.story(job));
    if (story->empty()) return call.fail({ErrorCode::not_found, "the job has no receipts yet"});
    backend_.post_bulk([self = shared_from_this(), call = std::move(call), story, results, only, id = job,
                        payment = std::move(payment), federation = backend_.federation()]() mutable {
      const auto give_up = [&](Error error) {
        Backend& backend = self->backend_;
        backend.post([self, call = std::move(call), error = std::move(error)]() mutable { call.fail(error); });
      };
      if (only) {
        auto alone = verification::story_of_shard(std::move(*story), *only);
        if (!alone) return give_up(std::move(alone.error()));
        *story = std::move(*alone);
      }
      std::optional<verification::PaidPart> paid;
      if (payment) {
        auto built = std::move(*payment).built(*story, only.has_value());
        if (!built) return give_up(std::move(built.error()));
        paid = std::move(*built);
      }
      std::vector<car::Block> contents;
      std::size_t total = 0;
      std::set<Cid> seen;
      const auto carry = [&](const Cid& cid) {
        if (cid.codec() != Multicodec::raw || !seen.insert(cid).second) return;
        const auto size = self->backend_.blocks().size(cid);
        if (!size || *size > small_content_bytes || total + *size > bundle_content_bytes) return;
        if (const auto block = self->backend_.blocks().get(cid)) {
          total += (*block)->size();
          contents.push_back({cid, **block});
        }
      };
      for (const auto& [result, log] : *results) {
        carry(result);
        carry(log);
      }
      Bytes bundle =
          verification::build_bundle(federation, policy::MeshPolicy{}, id, *story, contents, paid ? &*paid : nullptr);
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), call = std::move(call), bundle = std::move(bundle), only, id]() mutable {
        http::Response response;
        response.content_type = std::string(car_type);
        response.body = std::move(bundle);
        response.headers["content-disposition"] =
            fmt::format("attachment; filename=\"{}{}.car\"", id.text(), only ? fmt::format("-{}", *only) : "");
        call.responder.answer(std::move(response));
      });
    });
  }

  // ---- Logs.

  /// A log as it is streamed: what is stored of finished shards, what the event ring has of the others, then what comes.
  struct LogStream : std::enable_shared_from_this<LogStream> {
    LogStream(std::shared_ptr<Impl> owner_impl, http::BodyStream body, Cid job_id, std::optional<std::uint32_t> only)
        : owner(std::move(owner_impl)), stream(std::move(body)), job(job_id), only_shard(only) {}
    std::shared_ptr<Impl> owner;
    http::BodyStream stream;
    Cid job;
    std::optional<std::uint32_t> only_shard;
    bool follow = false;
    std::uint64_t cursor = 0;
    std::set<std::uint32_t> live;  ///< shards of which the ring had something
    std::set<std::uint32_t> stored;  ///< shards whose stored log was sent
    std::deque<std::string> pending;  ///< lines that the stream has not taken yet
    bool busy = false;  ///< a stored log is being read
    bool ended = false;
    EventLog::Subscription subscription;

    [[nodiscard]] bool wants(std::uint32_t shard) const { return !only_shard || *only_shard == shard; }

    static std::string line(std::uint32_t shard, const std::optional<identity::NodeId>& peer, ByteView bytes) {
      return dump({{"shard", shard},
                   {"peer", peer ? Json(identity::peer_id_of(*peer)) : Json(nullptr)},
                   {"data", multibase_encode(Base::base64, bytes)}}) +
             "\n";
    }

    /// Moves on as far as the client takes it. At most one stored log (16 MiB) is held besides the client's queue.
    void pump() {
      if (!stream.is_open()) return close();
      while (!pending.empty()) {
        if (!stream.write(pending.front())) return;  // on_ready calls again.
        pending.pop_front();
      }
      if (busy) return;
      EventLog& events = owner->backend_.events();
      while (true) {
        const std::vector<LoggedEvent> batch = events.since(cursor, 256);
        if (batch.empty()) break;
        for (const LoggedEvent& event : batch) {
          cursor = event.seq;
          if (event.notice.job != job || event.notice.kind != "job.log") continue;
          const std::uint32_t shard = (event.notice.shards.empty() ? 0 : event.notice.shards.front().first);
          if (!wants(shard) || stored.contains(shard)) continue;
          live.insert(shard);
          pending.push_back(line(shard, event.notice.peer, event.notice.bytes));
        }
        if (!pending.empty()) return pump();
      }
      const auto view = owner->backend_.job(job);
      const bool over = !view || has_ended(view->phase);
      if ((over || !follow) && !ended) {
        // What never came live is read from the store.
        const auto shards = owner->backend_.shards(job, 0, view ? view->shards : 0);
        for (const node::ShardView& shard : shards) {
          if (!shard.finding || !wants(shard.shard) || live.contains(shard.shard) || !stored.insert(shard.shard).second)
            continue;
          busy = true;
          owner->backend_.post_bulk([self = shared_from_this(), number = shard.shard, worker = shard.worker,
                                     log = shard.finding->log]() mutable {
            auto bytes = self->owner->backend_.blocks().read_dag_file(log, std::size_t{16} << 20);
            Backend& backend = self->owner->backend_;
            backend.post([self = std::move(self), number, worker, bytes = std::move(bytes)]() mutable {
              self->busy = false;
              if (bytes && !bytes->empty()) self->pending.push_back(line(number, worker, *bytes));
              self->pump();
            });
          });
          return;
        }
        ended = true;
        stream.finish();
        close();
      }
    }
    void close() {
      subscription.cancel();
      stream.on_ready({});
      stream.on_close({});
    }
  };

  void get_logs(Call call) {
    const auto job = view_of(call);
    if (!job) return;
    const auto follow = call.number("follow", 0, 1);
    const auto shard = call.number("shard", 0, UINT32_MAX);
    if (!follow) return call.fail(follow.error());
    if (!shard) return call.fail(shard.error());
    std::optional<std::uint32_t> only;
    if (call.query("shard") != nullptr) only = static_cast<std::uint32_t>(*shard);
    if (only && *only >= job->shards)
      return call.fail({ErrorCode::not_found, fmt::format("the job has {} shards, numbered from 0", job->shards)});
    http::Response head;
    head.content_type = std::string(ndjson);
    auto stream = call.responder.stream(std::move(head));
    if (!stream) return;
    auto logs = std::make_shared<LogStream>(shared_from_this(), *stream, job->id, only);
    logs->follow = *follow == 1;
    // The ring's events of a shard that was run again would mix two runs: finished shards come from the store.
    if (has_ended(job->phase)) logs->cursor = backend_.events().last();
    logs->stream.on_ready([logs] { logs->pump(); });
    logs->stream.on_close([weak = std::weak_ptr(logs)] {
      if (const auto self = weak.lock()) self->subscription.cancel();
    });
    if (logs->follow) {
      logs->subscription = backend_.events().subscribe([weak = std::weak_ptr(logs), this](const LoggedEvent& event) {
        if (const auto self = weak.lock(); self && event.notice.job == self->job)
          backend_.post([self] { self->pump(); });
      });
    }
    logs->pump();
  }

  // ---- Events.

  struct Subscriber : std::enable_shared_from_this<Subscriber> {
    Subscriber(std::shared_ptr<Impl> owner_impl, http::WebSocketSession socket)
        : owner(std::move(owner_impl)), session(std::move(socket)), timer(owner->backend_.io()) {}
    std::shared_ptr<Impl> owner;
    http::WebSocketSession session;
    boost::asio::steady_timer timer;
    std::uint64_t cursor = 0;
    std::optional<Cid> job;
    bool waiting = false;
    EventLog::Subscription subscription;

    /// Sends what is new, as far as the client keeps up: a slow one gets a gap instead of filling memory.
    void pump() {
      constexpr std::size_t enough_bytes = 1 << 20;
      if (!session.is_open() || waiting) return;
      EventLog& events = owner->backend_.events();
      while (true) {
        if (session.queued_bytes() > enough_bytes) return wait();
        if (!events.complete_since(cursor)) {
          const auto oldest = events.since(0, 1);
          const std::uint64_t resume = oldest.empty() ? events.last() : oldest.front().seq - 1;
          session.send(dump({{"seq", resume},
                             {"time", rfc3339(wall_ms())},
                             {"kind", "gap"},
                             {"text", fmt::format("events {} to {} are no longer kept", cursor + 1, resume)}}));
          cursor = resume;
        }
        const std::vector<LoggedEvent> batch = events.since(cursor, 64);
        if (batch.empty()) return;
        for (const LoggedEvent& event : batch) {
          cursor = event.seq;
          if (job && event.notice.job != job) continue;
          if (!session.send(dump(event_json(event)))) return;
        }
      }
    }
    void wait() {
      waiting = true;
      timer.expires_after(milliseconds(20));
      timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!self || error) return;
        self->waiting = false;
        self->pump();
      });
    }
  };

  void get_events(Call call) {
    if (!call.request.is_websocket)
      return call.fail({ErrorCode::invalid, "events are a WebSocket: connect with ws://"});
    const auto since = call.number("since", backend_.events().last(), UINT64_MAX);
    if (!since) return call.fail(since.error());
    std::optional<Cid> job;
    if (const std::string* text = call.query("job")) {
      auto cid = Cid::from_text(*text);
      if (!cid) return call.fail(cid.error());
      job = *cid;
    }
    auto holder = std::make_shared<std::shared_ptr<Subscriber>>();
    http::WebSocketHandlers handlers;
    handlers.on_open = [self = shared_from_this(), holder, since = *since, job](http::WebSocketSession session) {
      auto subscriber = std::make_shared<Subscriber>(self, std::move(session));
      *holder = subscriber;
      subscriber->cursor = since;
      subscriber->job = job;
      subscriber->subscription =
          self->backend_.events().subscribe([weak = std::weak_ptr(subscriber), self](const LoggedEvent&) {
            // Posted, since a subscriber is called while the log is being written.
            if (const auto one = weak.lock(); one && !one->waiting) self->backend_.post([one] { one->pump(); });
          });
      subscriber->pump();
    };
    handlers.on_message = [](http::WebSocketSession session, const std::string&) {
      session.close(1008, "this socket only speaks");
    };
    handlers.on_close = [holder] {
      if (*holder) {
        (*holder)->subscription.cancel();
        (*holder)->timer.cancel();
        holder->reset();
      }
    };
    call.responder.upgrade(std::move(handlers));
  }

  // ---- Assets.

  void post_asset(Call call) {
    if (const std::string* path = call.query("path")) return add_in_place(call, *path);
    const auto declare = call.number("declare", 1, 1);
    const auto car = call.number("car", 0, 1);
    if (!declare) return call.fail(declare.error());
    if (!car) return call.fail(car.error());
    if (call.content_type() != octets)
      return call.fail({ErrorCode::invalid, "the body must be application/octet-stream; ?car=1 says that it is a CAR"});
    auto body = std::make_shared<Bytes>(std::move(call.request.body));
    backend_.post_bulk([self = shared_from_this(), call = std::move(call), body, is_car = *car == 1,
                        declare = *declare == 1]() mutable {
      std::vector<Cid> roots;
      std::uint64_t bytes = body->size();
      Status status;
      if (is_car) {
        auto imported = self->backend_.blocks().import_car(*body);
        if (imported) {
          roots = std::move(*imported);
        } else {
          status = std::unexpected(imported.error());
        }
      } else {
        asset::FileBuilder builder(block_sink(self->backend_.blocks()));
        status = builder.feed(*body);
        if (status) {
          auto built = builder.finish();
          if (built) {
            roots.push_back(built->cid);
          } else {
            status = std::unexpected(built.error());
          }
        }
      }
      body.reset();
      if (status) status = self->backend_.blocks().sync();
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), call = std::move(call), status = std::move(status),
                    roots = std::move(roots), is_car, declare, bytes]() mutable {
        if (!status) return call.fail(status.error());
        Json answer = is_car ? Json{{"roots", Json::array()}} : Json{{"cid", roots.front().text()}, {"bytes", bytes}};
        if (is_car) {
          for (const Cid& root : roots) answer["roots"].push_back(root.text());
        }
        if (!declare) return call.reply(answer, 201);
        self->declare_then(std::move(roots), std::move(call), std::move(answer));
      });
    });
  }
  /// What lies on this machine is content where it lies.
  void add_in_place(const Call& call, const std::string& path) {
    std::optional<asset::Visibility> visibility;
    if (const std::string* name = call.query("visibility")) {
      visibility = asset::parse_visibility(*name);
      if (!visibility) return call.fail({ErrorCode::invalid, "visibility must be lan, federation or everybody"});
    }
    if (!call.request.body.empty())
      return call.fail({ErrorCode::invalid, "what is added where it lies has no body: leave out one or the other"});
    backend_.add_in_place(path, visibility, [call](const Result<store::Shares::Added>& added) {
      if (!added) return call.fail(added.error());
      call.reply({{"cid", added->root.text()}, {"bytes", added->bytes}}, 201);
    });
  }
  void get_added(Call call) {
    Json list = Json::array();
    for (const store::Shares::Added& added : backend_.shares().added()) list.push_back(added_json(added));
    call.reply(list);
  }
  void delete_added(Call call) {
    const std::string* path = call.query("path");
    if (path == nullptr) return call.fail({ErrorCode::invalid, "say what was added: path"});
    backend_.remove_in_place(*path, [call, path = *path](const Status& status) {
      if (!status) return call.fail(status.error());
      call.reply({{"path", path}});
    });
  }
  /// Declares every root; the call is answered when the last one is on the disk.
  void declare_then(std::vector<Cid> roots, Call call, Json answer) {
    if (roots.empty()) return call.reply(answer, 201);
    const Cid next = roots.back();
    roots.pop_back();
    backend_.blocks().declare(next, added_reason,
                              [self = shared_from_this(), roots = std::move(roots), call = std::move(call),
                               answer = std::move(answer)](Status status) mutable {
                                Backend& backend = self->backend_;
                                backend.post([self = std::move(self), roots = std::move(roots), call = std::move(call),
                                              answer = std::move(answer), status = std::move(status)]() mutable {
                                  if (!status) return call.fail(status.error());
                                  self->declare_then(std::move(roots), std::move(call), std::move(answer));
                                });
                              });
  }

  // ---- What is shared.

  static constexpr std::uint64_t max_assets_told = 1000;

  void get_manifest(Call call) {
    const auto first = call.number("first", 0, UINT32_MAX);
    const auto count = call.number("count", max_assets_told, max_assets_told);
    if (!first) return call.fail(first.error());
    if (!count) return call.fail(count.error());
    backend_.post_bulk([self = shared_from_this(), call = std::move(call), first = *first, count = *count]() mutable {
      Backend& backend = self->backend_;
      const store::Shares& shares = backend.shares();
      Json answer{{"sequence", shares.sequence()}, {"files", shares.files()}, {"bytes", shares.bytes()}};
      answer["assets"] = Json::array();
      for (const asset::Asset& asset : shares.find({}, first, count)) answer["assets"].push_back(asset_json(asset));
      backend.post(
          [self = std::move(self), call = std::move(call), answer = std::move(answer)] { call.reply(answer); });
    });
  }

  void post_refresh(Call call) {
    backend_.refresh_shares([call = std::move(call)](const Result<store::Shares::Refreshed>& done) {
      if (!done) return call.fail(done.error());
      call.reply(refreshed_json(*done));
    });
  }

  static Result<asset::AssetQuery> asset_query(const Call& call) {
    asset::AssetQuery query;
    if (const std::string* text = call.query("name")) query.name = *text;
    if (const std::string* text = call.query("filepath")) query.path = *text;
    if (const std::string* text = call.query("architecture")) query.architecture = *text;
    if (const std::string* text = call.query("cid")) {
      const auto cid = Cid::from_text(*text);
      if (!cid) return wrap("cid", cid.error());
      query.cid = *cid;
    }
    if (const std::string* text = call.query("sha256")) {
      const auto bytes = from_hex(*text);
      query.sha256 = bytes ? Digest::from(*bytes) : std::nullopt;
      if (!query.sha256) return fail(ErrorCode::invalid, "sha256 must be 64 hexadecimal digits");
    }
    if (asset::is_empty(query))
      return fail(ErrorCode::invalid, "say what is asked for: name, filepath, cid, sha256 or architecture");
    return query;
  }

  void get_query(Call call) {
    const auto query = asset_query(call);
    if (!query) return call.fail(query.error());
    const auto first = call.number("first", 0, UINT32_MAX);
    const auto count = call.number("count", 100, max_assets_told);
    if (!first) return call.fail(first.error());
    if (!count) return call.fail(count.error());
    std::map<identity::NodeId, Duration> round_trips;
    for (const PeerLine& peer : backend_.peers()) round_trips.emplace(peer.node, peer.round_trip);
    backend_.post_bulk([self = shared_from_this(), call = std::move(call), query = *query, first = *first,
                        count = *count, round_trips = std::move(round_trips)]() mutable {
      Json answer = self->holdings_of(query, first, count, round_trips, {});
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), call = std::move(call), answer = std::move(answer), query, first, count,
                    round_trips = std::move(round_trips)]() mutable {
        // The DHT knows of roots, and nothing else of them.
        const bool is_root_alone = query.cid && !query.name && !query.path && !query.sha256;
        if (!is_root_alone || first > 0 || answer["found"].get<bool>()) return call.reply(answer);
        self->query_dht(std::move(call), query, count, std::move(round_trips));
      });
    });
  }

  void query_dht(Call call, const asset::AssetQuery& query, std::uint64_t count,
                 std::map<identity::NodeId, Duration> round_trips) {
    backend_.find_in_dht(*query.cid, [self = shared_from_this(), call = std::move(call), query, count,
                                      round_trips = std::move(round_trips)](const Dht::Found& found) mutable {
      Backend& backend = self->backend_;
      backend.post_bulk([self = std::move(self), call = std::move(call), query, count,
                         round_trips = std::move(round_trips), found]() mutable {
        Json answer = self->holdings_of(query, 0, count, round_trips, found.peers);
        answer["dht"] = found.text;
        Backend& then = self->backend_;
        then.post([self = std::move(self), call = std::move(call), answer = std::move(answer)] { call.reply(answer); });
      });
    });
  }

  /// Own files first, then those of peers, the nearest first; then those that the DHT named and that do not tell of it
  /// themselves, of which nothing else is known.
  [[nodiscard]] Json holdings_of(const asset::AssetQuery& query, std::uint64_t first, std::uint64_t count,
                                 const std::map<identity::NodeId, Duration>& round_trips,
                                 std::vector<identity::NodeId> in_dht) const {
    const store::Shares& shares = backend_.shares();
    Json holdings = Json::array();
    for (const asset::Asset& asset : shares.find(query, 0, first + count)) {
      holdings.push_back({{"asset", asset_json(asset)},
                          {"source", "local"},
                          {"peer", identity::peer_id_of(backend_.id())},
                          {"rtt_us", 0},
                          {"localPath", shares.path_of(asset).string()}});
    }
    PeerAssets found = backend_.find_at_peers(query, max_assets_told);
    std::vector<PeerAsset>& others = found.assets;
    const auto distance = [&](const PeerAsset& held) {
      const auto known = round_trips.find(held.node);
      return known == round_trips.end() ? Duration::max() : known->second;
    };
    std::ranges::stable_sort(others, {}, distance);
    const std::set<identity::NodeId> named(in_dht.begin(), in_dht.end());
    for (const PeerAsset& held : others) {
      std::erase(in_dht, held.node);
      holdings.push_back({{"asset", asset_json(held.asset)},
                          {"source", named.contains(held.node) ? "dht" : "peer"},
                          {"peer", identity::peer_id_of(held.node)},
                          {"rtt_us", distance(held) == Duration::max() ? 0 : distance(held).count()},
                          {"localPath", ""}});
    }
    for (const identity::NodeId& node : in_dht) {
      const auto known = round_trips.find(node);
      holdings.push_back({{"asset", root_json(*query.cid)},
                          {"source", "dht"},
                          {"peer", identity::peer_id_of(node)},
                          {"rtt_us", known == round_trips.end() ? 0 : known->second.count()},
                          {"localPath", ""}});
    }
    const std::size_t begin = std::min<std::size_t>(first, holdings.size());
    const std::size_t end = std::min<std::size_t>(first + count, holdings.size());
    Json page(holdings.begin() + static_cast<std::ptrdiff_t>(begin),
              holdings.begin() + static_cast<std::ptrdiff_t>(end));
    if (page.is_null()) page = Json::array();
    Json answer{{"found", !page.empty()}, {"source", page.empty() ? Json("none") : page.front()["source"]}};
    if (!page.empty()) {
      const Json& best = page.front();
      if (best["source"] == "local") answer["localPath"] = best["localPath"];
      answer["peerId"] = best["peer"];
      if (!best["asset"]["bytes"].is_null())
        answer["assetInfo"] = {{"sha256", best["asset"]["sha256"]}, {"size", best["asset"]["bytes"]}};
    }
    answer["complete"] = found.is_all && end == holdings.size();
    answer["holdings"] = std::move(page);
    return answer;
  }

  void get_asset(Call call) {
    const auto cid = cid_of(call);
    if (!cid) return;
    const auto open = call.number("open", 0, 1);
    if (!open) return call.fail(open.error());
    if (*open == 0) return stream_content(std::move(call), *cid);
    backend_.post_bulk([self = shared_from_this(), call = std::move(call), cid = *cid]() mutable {
      const bool is_sealed = begins_sealed(self->backend_.blocks(), cid);
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), call = std::move(call), cid, is_sealed]() mutable {
        if (!is_sealed) return self->stream_content(std::move(call), cid);
        answer_opened(self->backend_, std::move(call.responder), cid);
      });
    });
  }

  void post_fetch(Call call) {
    const auto cid = cid_of(call);
    if (!cid) return;
    std::vector<std::string> from;
    std::uint64_t timeout_ms = 60'000;
    Downloads::Wanted wanted;
    std::string visibility;
    std::string sha256;
    if (!call.request.body.empty()) {
      const auto json = parse_json(call.request.body);
      if (!json) return call.fail(json.error());
      JsonFields fields(*json, "fetch");
      for (const Status& status :
           {fields.read("from", from, 64, 8192), fields.read("timeout_ms", timeout_ms, 24ULL * 3600 * 1000),
            fields.read("path", wanted.path, 4096), fields.read("visibility", visibility, 64),
            fields.read("sha256", sha256, 64), fields.finish()}) {
        if (!status) return call.fail(status.error());
      }
    }
    if (const auto here =
            backend_.shares().find({.name = {}, .path = {}, .cid = cid, .sha256 = {}, .architecture = {}}, 0, 1);
        !here.empty()) {
      (void)backend_.use(*cid);  // It was asked for now.
      return call.reply({{"cid", cid->text()}, {"file", backend_.shares().path_of(here.front()).string()}});
    }
    std::vector<identity::NodeId> holders;
    for (const std::string& text : from) {
      const auto peer = peer_of(text);
      // 404 would say that the content is not there.
      if (!peer) return call.fail({ErrorCode::invalid, "fetch.from: " + peer.error().message});
      holders.push_back(*peer);
    }
    if (!wanted.path.empty()) {
      wanted.root = *cid;
      wanted.holders = std::move(holders);
      if (!visibility.empty()) {
        wanted.visibility = asset::parse_visibility(visibility);
        if (!wanted.visibility)
          return call.fail({ErrorCode::invalid, "fetch.visibility must be lan, federation or everybody"});
      }
      if (!sha256.empty()) {
        const auto bytes = from_hex(sha256);
        wanted.sha256 = bytes ? Digest::from(*bytes) : std::nullopt;
        if (!wanted.sha256) return call.fail({ErrorCode::invalid, "fetch.sha256 must be 64 hexadecimal digits"});
      }
      return backend_.download(std::move(wanted), [call = std::move(call), cid = *cid](auto file) {
        if (!file) return call.fail(file.error());
        call.reply({{"cid", cid.text()}, {"file", file->string()}});
      });
    }
    backend_.fetch(*cid, std::move(holders), milliseconds(timeout_ms),
                   [call = std::move(call), cid = *cid](Status status) {
                     if (!status) return call.fail(status.error());
                     call.reply({{"cid", cid.text()}});
                   });
  }

  void delete_asset(Call call) { answer_with(std::move(call), &Backend::remove_asset); }
  void put_pin(Call call) { answer_with(std::move(call), &Backend::pin); }
  void delete_pin(Call call) { answer_with(std::move(call), &Backend::unpin); }
  void get_pins(Call call) {
    Json list = Json::array();
    for (const Pins::Pin& pin : backend_.pins()) {
      list.push_back(
          {{"cid", pin.root.text()}, {"path", pin.path}, {"since", rfc3339(static_cast<std::int64_t>(pin.since_ms))}});
    }
    call.reply({{"pins", std::move(list)}});
  }
  /// Does something with the content that the path names.
  void answer_with(Call call, void (Backend::*what)(const Cid&, std::move_only_function<void(Status)>)) {
    const auto cid = cid_of(call);
    if (!cid) return;
    (backend_.*what)(*cid, [call = std::move(call), cid = *cid](Status status) {
      if (!status) return call.fail(status.error());
      call.reply({{"cid", cid.text()}});
    });
  }

  void post_inference(Call call) { call.fail({ErrorCode::unsupported, "inference is not built yet"}); }

  void get_transfers(Call call) {
    backend_.transfers([call = std::move(call)](const std::vector<Downloads::View>& all) {
      Json list = Json::array();
      for (const Downloads::View& view : all) list.push_back(transfer_json(view));
      call.reply({{"transfers", std::move(list)}});
    });
  }

  template <Runtime::TransferOrder order>
  void post_transfer(Call call) {
    const auto cid = cid_of(call);
    if (!cid) return;
    backend_.order_transfer(*cid, order, [call = std::move(call), cid = *cid](Status status) {
      if (!status) return call.fail(status.error());
      call.reply({{"cid", cid.text()}});
    });
  }

  /// The leaves of a file one after the other, as the client takes them.
  struct ContentStream : std::enable_shared_from_this<ContentStream> {
    ContentStream(std::shared_ptr<Impl> owner_impl, http::BodyStream body)
        : owner(std::move(owner_impl)), stream(std::move(body)) {}
    std::shared_ptr<Impl> owner;
    http::BodyStream stream;
    FetchedFiles::Use use;
    std::vector<Cid> next;  ///< a stack: what comes first is last
    std::string pending;

    void pump() {
      if (!stream.is_open()) return close();
      if (!pending.empty()) {
        if (!stream.write(pending)) return;  // on_ready calls again.
        pending.clear();
      }
      if (next.empty()) {
        stream.finish();
        return close();
      }
      const Cid cid = next.back();
      next.pop_back();
      owner->backend_.post_bulk([self = shared_from_this(), cid]() mutable {
        Status status;
        auto block = self->owner->backend_.blocks().get(cid, store::From::anywhere);
        if (!block) {
          status = std::unexpected(block.error());
        } else if (auto node = asset::parse_node(cid, **block); !node) {
          status = std::unexpected(node.error());
        } else if (node->kind == asset::NodeKind::raw) {
          self->pending = std::string(as_text(**block));
        } else {
          self->pending = std::string(as_text(node->inline_data));
          for (auto link = node->links.rbegin(); link != node->links.rend(); ++link) self->next.push_back(link->cid);
        }
        Backend& backend = self->owner->backend_;
        backend.post([self = std::move(self), failed = !status.has_value()] {
          if (failed) return self->close();  // The last copy of the stream goes: the client sees a cut.
          self->pump();
        });
      });
    }
    void close() {
      stream.on_ready({});
      stream.on_close({});
    }
  };

  /// Answers with a file's bytes, or with what a folder holds.
  void stream_content(Call call, const Cid& root) {
    backend_.post_bulk([self = shared_from_this(), call = std::move(call), root]() mutable {
      Result<asset::Node> node =
          mesh::fail(ErrorCode::not_found,
                     fmt::format("{} is not here: fetch it with `mesh assets get {}`", root.text(), root.text()));
      std::map<std::string, Cid> entries;
      if (auto block = self->backend_.blocks().get(root, store::From::anywhere)) {
        node = asset::parse_node(root, **block);
        if (node && asset::is_folder(node->kind)) {
          auto tree = self->backend_.blocks().collect_tree(root, store::From::anywhere);
          if (tree) {
            entries = std::move(*tree);
          } else {
            node = std::unexpected(tree.error());
          }
        }
      } else if (block.error().code != ErrorCode::not_found) {
        node = std::unexpected(block.error());
      }
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), call = std::move(call), root, node = std::move(node),
                    entries = std::move(entries)]() mutable {
        if (!node) return call.fail(node.error());
        if (asset::is_folder(node->kind)) {
          Json list = Json::array();
          for (const auto& [path, cid] : entries) list.push_back({{"path", path}, {"cid", cid.text()}});
          http::Response response = answer_json({{"cid", root.text()}, {"entries", std::move(list)}});
          response.headers["x-mesh-kind"] = "folder";
          call.responder.answer(std::move(response));
          return;
        }
        http::Response head;
        head.content_type =
            node->kind == asset::NodeKind::record ? "application/vnd.ipld.dag-cbor" : std::string(octets);
        if (node->kind == asset::NodeKind::record) {
          auto block = self->backend_.blocks().get(root, store::From::anywhere);
          if (!block) return call.fail(block.error());
          head.body = **block;
          call.responder.answer(std::move(head));
          return;
        }
        auto stream = call.responder.stream(std::move(head), node->content_bytes);
        if (!stream) return;
        auto content = std::make_shared<ContentStream>(self, *stream);
        content->use = self->backend_.use(root);
        content->next.push_back(root);
        content->stream.on_ready([content] { content->pump(); });
        content->pump();
      });
    });
  }

  void get_ipfs(Call call) { gateway_->serve(call.request, call.responder); }

  // ---- The market by hand, and peers.

  void get_intents(Call call) {
    Json list = Json::array();
    for (const auto& intent : backend_.intents()) list.push_back(intent_json(intent));
    call.reply(list);
  }
  void post_offer(Call call) {
    const auto cid = cid_of(call);
    if (!cid) return;
    const auto json = parse_json(call.request.body);
    if (!json) return call.fail(json.error());
    JsonFields fields(*json, "offer");
    std::uint64_t cost = 0;
    if (!json->contains("cost")) return call.fail({ErrorCode::invalid, "offer.cost is missing"});
    for (const Status& status : {fields.read("cost", cost, INT64_MAX), fields.finish()}) {
      if (!status) return call.fail(status.error());
    }
    backend_.offer_by_hand(*cid, cost, [call = std::move(call), cid = *cid, cost](Status status) {
      if (!status) return call.fail(status.error());
      call.reply({{"cid", cid.text()}, {"cost", cost}});
    });
  }
  void post_dial(Call call) {
    const auto json = parse_json(call.request.body);
    if (!json) return call.fail(json.error());
    JsonFields fields(*json, "dial");
    std::string address;
    for (const Status& status : {fields.read("address", address, 1024), fields.finish()}) {
      if (!status) return call.fail(status.error());
    }
    if (address.empty())
      return call.fail({ErrorCode::invalid,
                        "dial.address is missing: a multiaddress such as /ip4/192.0.2.1/tcp/9000/p2p/12D3Koo..."});
    backend_.dial(std::move(address), [call = std::move(call)](Result<identity::NodeId> peer) {
      if (!peer) return call.fail(peer.error());
      call.reply({{"peer", identity::peer_id_of(*peer)}});
    });
  }
  void post_invitation(Call call) {
    const auto json = parse_json(call.request.body);
    if (!json) return call.fail(json.error());
    JsonFields fields(*json, "invitation");
    InvitationTerms terms;
    std::vector<std::string> roles;
    for (const Status& status :
         {fields.read("roles", roles, 5, 16), fields.read("credits", terms.credits, INT64_MAX),
          fields.read("uses", terms.uses, INT64_MAX), fields.read("hours", terms.hours, INT64_MAX), fields.finish()}) {
      if (!status) return call.fail(status.error());
    }
    if (json->contains("roles")) {
      terms.roles.clear();
      const auto names = ledger::enum_names(ledger::Role::member);
      for (const std::string& role : roles) {
        const auto found = std::ranges::find(names, role);
        if (found == names.end())
          return call.fail({ErrorCode::invalid, fmt::format("invitation.roles: there is no role {}; there are {}", role,
                                                            fmt::join(names, ", "))});
        terms.roles.push_back(static_cast<ledger::Role>(found - names.begin()));
      }
    }
    backend_.invite(std::move(terms), [call = std::move(call)](Result<std::string> token) {
      if (!token) return call.fail(token.error());
      call.reply({{"token", *token}});
    });
  }
  void post_ping(Call call) {
    const auto peer = peer_of(call.parameters.find("peer")->second);
    if (!peer) return call.fail(peer.error());
    backend_.ping(*peer, [call = std::move(call), peer = *peer](Result<Duration> round_trip) {
      if (!round_trip) return call.fail(round_trip.error());
      call.reply({{"peer", identity::peer_id_of(peer)}, {"rtt_us", round_trip->count()}});
    });
  }
  void get_doctor(Call call) {
    const std::string* target = call.query("target");
    if (target == nullptr || target->empty())
      return call.fail({ErrorCode::invalid, "target is missing: a PeerId or a multiaddress"});
    std::string text = *target;
    if (!text.starts_with('/')) {
      const auto peer = peer_of(text);
      if (!peer) return call.fail(peer.error());
      text = identity::peer_id_of(*peer);
    }
    backend_.reach(std::move(text), [call = std::move(call)](Result<ReachReport> report) {
      if (!report) return call.fail(report.error());
      call.reply(reach_json(*report));
    });
  }

  // ---- The ledger: ledger_routes.h.

  template <void (LedgerRoutes::*handler)(Call)>
  void to_ledger(Call call) {
    ((*ledger_).*handler)(std::move(call));
  }

  Backend& backend_;
  std::shared_ptr<LedgerRoutes> ledger_;
  std::shared_ptr<Gateway> gateway_;
  std::unique_ptr<http::Server> server_;
};

const std::vector<Api::Impl::Route>& Api::Impl::table() {
  constexpr Parameter id{"id", "path", "string", "the job's CID, or any beginning of it that is unambiguous"};
  constexpr Parameter cid{"cid", "path", "string", "a CID"};
  constexpr Parameter account{"account", "path", "string", "a did or PeerId, or self for this node"};
  constexpr Answer no_ledger{404, "", "", "also no-ledger: this node's federation has none"};
  const std::vector<Parameter> gateway_parameters{
      cid,
      {"format", "query", "string", "raw or car; else the header Accept decides"},
      {"dag-scope", "query", "string", "of a CAR: block, entity or all; all unless told"},
      {"entity-bytes", "query", "string",
       "of a CAR: FROM:TO, what is needed of a file for these bytes; -N from its end, *"},
      {"car-dups", "query", "string",
       "of a CAR: y or n, whether a block comes each time that it is linked; n unless told"},
      {"car-order", "query", "string", "of a CAR: dfs"},
      {"car-version", "query", "string", "of a CAR: 1"},
      {"filename", "query", "string", "the name for saving it"}};
  std::vector<Parameter> path_parameters = gateway_parameters;
  path_parameters.push_back({"path", "path", "string", "names that lead from the root through folders"});
  static const std::vector<Route> routes{
      {"GET",
       "/livez",
       "livez",
       "Whether the process answers",
       {},
       {},
       {{200, "text/plain", "", "it does"}},
       &Impl::get_livez,
       Access::everyone},
      {"GET",
       "/readyz",
       "readyz",
       "Whether the node can do its work",
       {},
       {},
       {{200, "text/plain", "", "it can"}, {503, "", "", "it cannot; the detail says why"}},
       &Impl::get_readyz,
       Access::everyone},
      {"GET",
       "/metrics",
       "metrics",
       "Counters and gauges as Prometheus text",
       {},
       {},
       {{200, "text/plain", "", "metrics"}},
       &Impl::get_metrics},
      {"GET",
       "/openapi.json",
       "openapi",
       "This description",
       {},
       {},
       {{200, "application/json", "any", "OpenAPI 3.1"}},
       &Impl::get_openapi},
      {"GET",
       "/api/v1/node",
       "getNode",
       "The node itself",
       {},
       {},
       {{200, "application/json", "Node", "the node"}},
       &Impl::get_node},
      {"GET",
       "/api/v1/peers",
       "listPeers",
       "Peers that are connected or were heard of",
       {},
       {},
       {{200, "application/json", "Peer[]", "peers"}},
       &Impl::get_peers},
      {"GET",
       "/api/v1/topology",
       "getTopology",
       "Nodes and links as this node sees them",
       {},
       {},
       {{200, "application/json", "Topology", "the map"}},
       &Impl::get_topology},
      {"GET",
       "/api/v1/addrs",
       "getAddrs",
       "Where this node listens",
       {},
       {},
       {{200, "application/json", "Addresses", "multiaddresses"}},
       &Impl::get_addrs,
       Access::launcher},
      {"POST",
       "/api/v1/tasks",
       "submitTask",
       "Runs a function over its inputs",
       {},
       {{"application/json", "TaskRequest"}},
       {{201, "application/json", "TaskAccepted", "the job is durable"},
        {200, "application/json", "TaskPlan", "with dry_run: what would be asked for, and who could take it"}},
       &Impl::post_task},
      {"GET",
       "/api/v1/tasks",
       "listTasks",
       "Jobs of this node, newest first",
       {{"count", "query", "integer", "at most so many; 100 unless told, 1000 at most"}},
       {},
       {{200, "application/json", "Job[]", "jobs"}},
       &Impl::get_tasks},
      {"GET",
       "/api/v1/tasks/{id}",
       "getTask",
       "One job",
       {id},
       {},
       {{200, "application/json", "Job", "the job"}},
       &Impl::get_task},
      {"GET",
       "/api/v1/tasks/{id}/shards",
       "listShards",
       "Shards of a job",
       {id,
        {"first", "query", "integer", "number of the first"},
        {"count", "query", "integer", "at most so many; 100 unless told, 1000 at most"}},
       {},
       {{200, "application/json", "Shard[]", "shards"}},
       &Impl::get_shards},
      {"GET",
       "/api/v1/tasks/{id}/logs",
       "getLogs",
       "What the function wrote to stderr, one JSON object a line; data is multibase base64",
       {id,
        {"follow", "query", "integer", "1: goes on until the job ends"},
        {"shard", "query", "integer", "of this shard alone"}},
       {},
       {{200, ndjson, "LogLine", "log lines"}},
       &Impl::get_logs},
      {"GET",
       "/api/v1/tasks/{id}/result",
       "getResult",
       "The bytes of a job's single result, or the list of its shards' results",
       {id, {"shard", "query", "integer", "the bytes of this shard's result"}},
       {},
       {{200, octets, "", "bytes"}, {200, "application/json", "ShardResult[]", "of a job with several shards"}},
       &Impl::get_result},
      {"GET",
       "/api/v1/tasks/{id}/explain",
       "explainTask",
       "Why it went as it did: ranking, refusals, seats",
       {id,
        {"first", "query", "integer", "number of the first shard"},
        {"count", "query", "integer", "at most so many shards; 1000 unless told, 1000 at most"}},
       {},
       {{200, "application/json", "Explanation", "the story"}},
       &Impl::get_explain},
      {"GET",
       "/api/v1/tasks/{id}/receipts",
       "getReceipts",
       "The proof bundle, a CAR file that `mesh receipt verify` checks; of a job with a fee it holds the proof of its "
       "payment, too",
       {id, {"shard", "query", "integer", "only what proves this shard, in a bundle that stands alone"}},
       {},
       {{200, car_type, "", "CAR v1"}},
       &Impl::get_receipts},
      {"POST",
       "/api/v1/tasks/{id}/stop",
       "stopTask",
       "Stops a job",
       {id},
       {},
       {{200, "application/json", "Stopped", "stopped"}},
       &Impl::post_stop},
      {"POST",
       "/api/v1/tasks/{id}/rerun",
       "rerunTask",
       "The same again, as a new job",
       {id},
       {},
       {{201, "application/json", "TaskAccepted", "the new job is durable"}},
       &Impl::post_rerun},
      {"GET",
       "/api/v1/events",
       "events",
       "WebSocket: every change as one JSON message; after a kind \"gap\" something is missing",
       {{"since", "query", "integer", "resume after this seq; from now on unless told"},
        {"job", "query", "string", "only of this job (whole CID)"}},
       {},
       {{101, "application/json", "Event", "messages"}},
       &Impl::get_events},
      {"POST",
       "/api/v1/assets",
       "addAsset",
       "Adds a file (octets), blocks with their roots (CAR), or a file or folder of this machine where it lies (path, "
       "no body)",
       {{"path", "query", "string", "absolute: not copied; whoever knows the CID may have it"},
        {"visibility", "query", "string",
         "with path: lan, federation or everybody; then it is listed, and for these alone"},
        {"declare", "query", "integer", "0: keep it without serving it to peers"},
        {"car", "query", "integer", "1: the body is a CAR; what its roots name is added"}},
       {{octets, ""}},
       {{201, "application/json", "Asset", "a file"}, {201, "application/json", "Roots", "a CAR"}},
       &Impl::post_asset},
      {"GET",
       "/api/v1/assets",
       "listAdded",
       "What was added where it lies, as it is now",
       {},
       {},
       {{200, "application/json", "Added[]", "files and folders"}},
       &Impl::get_added},
      {"DELETE",
       "/api/v1/assets",
       "removeAdded",
       "Shares no longer what was added where it lies; the file or folder stays",
       {{"path", "query", "string", "as it was added", true}},
       {},
       {{200, "application/json", "Removed", "it is not shared any more"}},
       &Impl::delete_added},
      {"GET",
       "/api/v1/manifest",
       "getManifest",
       "The files that this node shares, by share and path",
       {{"first", "query", "integer", "from which on"}, {"count", "query", "integer", "how many; 1000 at most"}},
       {},
       {{200, "application/json", "Manifest", "files"}},
       &Impl::get_manifest},
      {"POST",
       "/api/v1/manifest/refresh",
       "refreshManifest",
       "Looks at every shared file again",
       {},
       {},
       {{200, "application/json", "Refreshed", "what is shared now"}},
       &Impl::post_refresh,
       Access::launcher},
      {"GET",
       "/api/v1/query/asset",
       "queryAsset",
       "Who has a file: this node, the peers that are connected, and for a CID that none of them has those that the "
       "DHT names "
       "(source \"dht\"; what is not known of the file is null)",
       {{"name", "query", "string", "a file's name, path, glob or hub id (org/repo@revision/file)"},
        {"filepath", "query", "string", "the path in its share, exactly"},
        {"cid", "query", "string", "the file's CID"},
        {"sha256", "query", "string", "of the content, hexadecimal"},
        {"architecture", "query", "string", "what a model says that it is: llama, bert"},
        {"first", "query", "integer", "from which on"},
        {"count", "query", "integer", "how many; 100 unless told"}},
       {},
       {{200, "application/json", "AssetAnswer", "where it is"}},
       &Impl::get_query,
       Access::launcher},
      {"GET",
       "/api/v1/assets/{cid}",
       "getAsset",
       "The content of a file that is here, or the list of a folder",
       {cid, {"open", "query", "integer", "1: a file that is sealed for this node is opened; others come as they are"}},
       {},
       {{200, octets, "", "bytes"},
        {200, "application/json", "Folder", "a folder; x-mesh-kind says folder"},
        {403, "", "", "with open: it is sealed for others; the detail says for whom"}},
       &Impl::get_asset},
      {"DELETE",
       "/api/v1/assets/{cid}",
       "removeAsset",
       "Serves added content no more; it goes once room is needed, unless it is pinned",
       {cid},
       {},
       {{200, "application/json", "Named", "it is not served for having been added"}},
       &Impl::delete_asset},
      {"GET",
       "/api/v1/pins",
       "listPins",
       "Content that is kept whatever room is wanted for",
       {},
       {},
       {{200, "application/json", "Pins", "pins, by CID"}},
       &Impl::get_pins},
      {"PUT",
       "/api/v1/pins/{cid}",
       "pin",
       "Keeps content that is here, or is being fetched to a file; shows it to nobody",
       {cid},
       {},
       {{200, "application/json", "Named", "it is kept"}},
       &Impl::put_pin},
      {"DELETE",
       "/api/v1/pins/{cid}",
       "unpin",
       "Takes a pin away",
       {cid},
       {},
       {{200, "application/json", "Named", "it is not pinned any more"}},
       &Impl::delete_pin},
      {"POST",
       "/api/v1/assets/{cid}/fetch",
       "fetchAsset",
       "Brings content here from peers; with a path, as a file that is kept and served on to its class",
       {cid},
       {{"application/json", "FetchRequest"}},
       {{200, "application/json", "Fetched", "it is here"}},
       &Impl::post_fetch},
      {"POST",
       "/api/v1/inference/request",
       "requestInference",
       "Inference (not built yet: 501)",
       {},
       {},
       {{501, "application/problem+json", "Problem", "not built"}},
       &Impl::post_inference,
       Access::launcher},
      {"GET",
       "/api/v1/transfers",
       "listTransfers",
       "Files that are being fetched, or were of late",
       {},
       {},
       {{200, "application/json", "Transfers", "transfers"}},
       &Impl::get_transfers},
      {"POST",
       "/api/v1/transfers/{cid}/pause",
       "pauseTransfer",
       "Stops fetching a file until it is resumed",
       {cid},
       {},
       {{200, "application/json", "Fetched", "it pauses"}},
       &Impl::post_transfer<Runtime::TransferOrder::pause>},
      {"POST",
       "/api/v1/transfers/{cid}/resume",
       "resumeTransfer",
       "Goes on fetching a file",
       {cid},
       {},
       {{200, "application/json", "Fetched", "it goes on"}},
       &Impl::post_transfer<Runtime::TransferOrder::resume>},
      {"POST",
       "/api/v1/transfers/{cid}/cancel",
       "cancelTransfer",
       "Gives up fetching a file, and removes what came of it",
       {cid},
       {},
       {{200, "application/json", "Fetched", "it is given up"}},
       &Impl::post_transfer<Runtime::TransferOrder::cancel>},
      {"GET",
       "/ipfs/{cid}",
       "gatewayGet",
       "Trustless gateway: a raw block, or the DAG below it as CAR; without a token for what is shared with everybody",
       gateway_parameters,
       {},
       {{200, raw_type, "", "the block"},
        {200, car_type, "", "CAR v1"},
        {206, raw_type, "", "a range of the block"},
        {406, "", "", "any other format"}},
       &Impl::get_ipfs,
       Access::token,
       true},
      {"GET",
       "/ipfs/{cid}/{path...}",
       "gatewayGetPath",
       "Trustless gateway: what a path through folders leads to, with the blocks along it, as CAR",
       path_parameters,
       {},
       {{200, car_type, "", "CAR v1"}, {406, "", "", "any other format"}},
       &Impl::get_ipfs,
       Access::token,
       true},
      {"GET",
       "/api/v1/intents",
       "listIntents",
       "Open tasks of others that this node heard of",
       {},
       {},
       {{200, "application/json", "Intent[]", "intents"}},
       &Impl::get_intents},
      {"POST",
       "/api/v1/intents/{cid}/offer",
       "offer",
       "Offers to execute a task, by hand",
       {cid},
       {{"application/json", "OfferRequest"}},
       {{200, "application/json", "Offered", "offered"},
        {403, "", "", "own-task, over-fee, another policy, or this node takes no work"},
        {404, "", "", "unknown-intent: no such task was heard of"},
        {409, "", "", "already-offered, or window-closed: the bidding is over"},
        {429, "", "", "more memory or GPU than this node has, or it is busy"},
        {501, "", "", "another engine, or a fee, which needs a ledger"}},
       &Impl::post_offer},
      {"GET",
       "/api/v1/ledger",
       "getLedger",
       "The federation's ledger: how far it is, who validates, what there is; amounts are micro-credits as decimal "
       "text",
       {},
       {},
       {{200, "application/json", "Ledger", "the ledger"}, no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_ledger>},
      {"GET",
       "/api/v1/ledger/accounts/{account}",
       "getAccount",
       "An account as it is now; one that nobody has yet has nothing",
       {account, {"proof", "query", "integer", "1: with what shows it to who has the block's state root"}},
       {},
       {{200, "application/json", "Account", "the account"}, no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_account>},
      {"GET",
       "/api/v1/ledger/accounts/{account}/history",
       "getHistory",
       "Transactions that the account signed, or that name it, newest first; what is paid out by itself, when work "
       "ends or a "
       "bond's withdrawal arrives, is no transaction",
       {account,
        {"before", "query", "string", "a height, or the next of an earlier answer: what comes before that"},
        {"limit", "query", "integer", "at most so many; 50 unless told, 1000 at most"}},
       {},
       {{200, "application/json", "History",
         "a page: where next is not null there may be more, even if this page is empty"},
        no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_history>},
      {"GET",
       "/api/v1/ledger/members",
       "listMembers",
       "Credentials, in force or not, in the order of the state's table",
       {{"after", "query", "string", "the next of an earlier answer"},
        {"count", "query", "integer", "at most so many; 100 unless told, 1000 at most"}},
       {},
       {{200, "application/json", "Members", "a page"}, no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_members>},
      {"GET",
       "/api/v1/ledger/blocks",
       "listBlocks",
       "Blocks without their transactions, newest first",
       {{"before", "query", "integer", "a height, such as the next of an earlier answer: what comes before it"},
        {"limit", "query", "integer", "at most so many; 20 unless told, 100 at most"}},
       {},
       {{200, "application/json", "Blocks", "a page"}, no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_blocks>},
      {"GET",
       "/api/v1/ledger/blocks/{height}",
       "getBlock",
       "A block with its transactions and who certified it",
       {{"height", "path", "string", "from 1 on"}},
       {},
       {{200, "application/json", "Block", "the block"}, no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_block>},
      {"GET",
       "/api/v1/ledger/price",
       "getPrice",
       "What workers had lately for 10^9 fuel, and the fee for a shard at that price",
       {{"fuel", "query", "integer", "of a run; 200000000000 unless told"}},
       {},
       {{200, "application/json", "Price", "in micro-credits; price is null where nobody was paid in the last hour"},
        no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_price>},
      {"GET",
       "/api/v1/ledger/escrows/{intent}",
       "getEscrow",
       "What a publisher locked for a task",
       {{"intent", "path", "string", "the CID of the task's intent"}},
       {},
       {{200, "application/json", "Escrow", "the escrow"}, no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_escrow>},
      {"GET",
       "/api/v1/ledger/escrows/{intent}/works",
       "listWorks",
       "Paid work under an escrow: draws, answers, and what it came to",
       {{"intent", "path", "string", "the CID of the task's intent"},
        {"after", "query", "string", "the next of an earlier answer"},
        {"count", "query", "integer", "at most so many; 20 unless told, 100 at most"}},
       {},
       {{200, "application/json", "Works", "a page"}, no_ledger},
       &Impl::to_ledger<&LedgerRoutes::get_works>},
      {"POST",
       "/api/v1/ledger/transactions",
       "makeTransaction",
       "Makes and signs a transaction of this node's account (JSON), or takes a signed envelope (octets)",
       {{"wait", "query", "string", "of octets: final (unless told) or waiting"},
        {"timeout_ms", "query", "integer", "of octets: how long to wait; 30000 unless told, 120000 at most"}},
       {{"application/json", "TransactionRequest"}, {octets, ""}},
       {{200, "application/json", "TransactionMade", "it is in a block that is certain"},
        {202, "application/json", "TransactionMade", "it waits to be in a block, and is not final yet"},
        no_ledger},
       &Impl::to_ledger<&LedgerRoutes::post_transaction>},
      {"POST",
       "/api/v1/ledger/rotation",
       "rotateKey",
       "Gives this node's account another key, which is drawn and kept in the home before anything is said of it; the "
       "node itself has it from its next start on",
       {},
       {{"application/json", "RotationRequest"}},
       {{200, "application/json", "RotationMade", "it is in a block that is certain: restart the node"},
        {202, "application/json", "RotationMade", "it waits to be in a block, and is not final yet"},
        {409, "", "", "jobs-open: jobs of this node would fail (at_once: they may); key-unchanged, key-taken"},
        no_ledger},
       &Impl::to_ledger<&LedgerRoutes::post_rotation>},
      {"POST",
       "/api/v1/ledger/transactions/batch",
       "takeTransactions",
       "Takes up to 1,024 signed envelopes at once, 1 MiB with their lengths: how many (2 bytes, big-endian), and of "
       "each its length (4 bytes) and the envelope; what becomes of those that are taken shows in histories",
       {},
       {{octets, ""}},
       {{202, "application/json", "BatchTaken", "those that are not refused wait to be in a block"},
        {429, "", "", "too-large, or batches-full: others are being checked"},
        no_ledger},
       &Impl::to_ledger<&LedgerRoutes::post_batch>},
      {"POST",
       "/api/v1/dial",
       "dial",
       "Connects to a peer",
       {},
       {{"application/json", "DialRequest"}},
       {{200, "application/json", "Dialed", "connected"}},
       &Impl::post_dial},
      {"POST",
       "/api/v1/invitations",
       "invite",
       "A token by which others come into this node's federation",
       {},
       {{"application/json", "InvitationRequest"}},
       {{200, "application/json", "Invitation", "the token; micro-credits are given out of this node's balance"},
        {403, "", "", "this node is no steward"},
        {429, "", "", "too many invitations are open"},
        no_ledger},
       &Impl::post_invitation},
      {"POST",
       "/api/v1/peers/{peer}/ping",
       "ping",
       "One round trip to a peer",
       {{"peer", "path", "string", "PeerId, did, or an unambiguous part of the PeerId"}},
       {},
       {{200, "application/json", "Ping", "it answered"}},
       &Impl::post_ping},
      {"GET",
       "/api/v1/doctor",
       "doctor",
       "Why a peer can or cannot be reached",
       {{"target", "query", "string", "a PeerId or a multiaddress", true}},
       {},
       {{200, "application/json", "Reach", "every address that was tried"}},
       &Impl::get_doctor},
  };
  return routes;
}

namespace {

Json type_schema(std::string_view type) {
  if (type.ends_with("|null")) {
    Json inner = type_schema(type.substr(0, type.size() - 5));
    if (inner.contains("type")) {
      inner["type"] = Json::array({inner["type"], "null"});
      return inner;
    }
    return {{"anyOf", Json::array({std::move(inner), Json{{"type", "null"}}})}};
  }
  if (type.ends_with("[]")) return {{"type", "array"}, {"items", type_schema(type.substr(0, type.size() - 2))}};
  if (type == "any") return Json::object();
  if (type == "string" || type == "integer" || type == "boolean") return {{"type", type}};
  return {{"$ref", fmt::format("#/components/schemas/{}", type)}};
}

Json object_schema(std::string_view fields) {
  Json properties = Json::object();
  Json required = Json::array();
  while (!fields.empty()) {
    const std::size_t space = fields.find(' ');
    const std::string_view field = fields.substr(0, space);
    const std::size_t colon = field.find(':');
    std::string_view name = field.substr(0, colon);
    const bool optional = name.ends_with('?');
    if (optional) name.remove_suffix(1);
    properties[std::string(name)] = type_schema(field.substr(colon + 1));
    if (!optional) required.push_back(name);
    if (space == std::string_view::npos) break;
    fields.remove_prefix(space + 1);
  }
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

Json content_schema(std::string_view content_type, std::string_view schema) {
  Json media = Json::object();
  if (!schema.empty()) {
    media["schema"] = type_schema(schema);
  } else if (content_type == "text/plain") {
    media["schema"] = {{"type", "string"}};
  }
  return media;
}

}  // namespace

std::string Api::Impl::openapi_text() {
  Json paths = Json::object();
  for (const Route& route : table()) {
    std::string method(route.method);
    std::ranges::transform(method, method.begin(), [](char c) { return static_cast<char>(c - 'A' + 'a'); });
    Json operation{{"operationId", route.id}, {"summary", route.summary}};
    if (route.access == Access::everyone) operation["security"] = Json::array();
    Json parameters = Json::array();
    for (const Parameter& parameter : route.parameters) {
      parameters.push_back({{"name", parameter.name},
                            {"in", parameter.place},
                            {"required", parameter.is_required || parameter.place == "path"},
                            {"description", parameter.help},
                            {"schema", {{"type", parameter.type}}}});
    }
    if (!parameters.empty()) operation["parameters"] = std::move(parameters);
    for (const Body& body : route.bodies)
      operation["requestBody"]["content"][std::string(body.content_type)] =
          content_schema(body.content_type, body.schema);
    for (const Answer& answer : route.answers) {
      Json& response = operation["responses"][std::to_string(answer.status)];
      response["description"] = response.contains("description")
                                    ? response["description"].get<std::string>() + "; " + std::string(answer.help)
                                    : std::string(answer.help);
      if (answer.content_type.empty()) {
        response["content"]["application/problem+json"] = content_schema("", "Problem");
        continue;
      }
      Json& media = response["content"][std::string(answer.content_type)];
      Json schema = content_schema(answer.content_type, answer.schema);
      if (media.contains("schema")) {
        media["schema"] = {{"anyOf", Json::array({media["schema"], schema["schema"]})}};
      } else {
        media = std::move(schema);
      }
    }
    operation["responses"]["default"] = {{"description", "an error"},
                                         {"content", {{"application/problem+json", content_schema("", "Problem")}}}};
    std::string pattern(route.pattern);
    if (const std::size_t rest = pattern.find(rest_of_path); rest != std::string::npos)
      pattern.replace(rest, rest_of_path.size(), "{path}");
    paths[pattern][method] = std::move(operation);
  }
  Json schemas = Json::object();
  for (const NamedSchema& schema : schema_table) schemas[std::string(schema.name)] = object_schema(schema.fields);
  const Json document{
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Meshwork node"},
        {"version", MESH_VERSION},
        {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
      {"security", Json::array({Json{{"token", Json::array()}}})},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}, {"schemas", std::move(schemas)}}}};
  return document.dump(2);
}

Result<std::unique_ptr<Api>> Api::start(Backend& backend, ApiConfig config) {
  auto impl = std::make_shared<Impl>(backend);
  MESH_TRY(impl->listen(std::move(config)));
  return std::unique_ptr<Api>(new Api(std::move(impl)));
}

Api::Api(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Api::~Api() { impl_->close(); }
std::uint16_t Api::port() const { return impl_->port(); }

std::vector<Api::RouteName> Api::routes() {
  std::vector<RouteName> names;
  for (const Impl::Route& route : Impl::table())
    names.push_back({std::string(route.method), std::string(route.pattern)});
  return names;
}

std::string Api::openapi() { return Impl::openapi_text(); }

}  // namespace mesh::app
