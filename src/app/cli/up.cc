#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "app/api/api.h"
#include "app/api/render.h"
#include "app/api/runtime_backend.h"
#include "app/cli/session.h"
#include "codec/multibase.h"

namespace mesh::cli {
namespace {

constexpr rlim_t wanted_open_files = 16'384;

void start_log(const config::Settings& settings) {
  auto logger = spdlog::stderr_logger_mt("mesh");
  const std::string& level = settings.text("log-level");
  logger->set_level(level == "warn"    ? spdlog::level::warn
                    : level == "error" ? spdlog::level::err
                                       : spdlog::level::from_str(level));
  // In the JSON form the message is a JSON text already (see log_notice).
  logger->set_pattern(settings.flag("log-json") ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","event":%v})"
                                                : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  spdlog::set_default_logger(std::move(logger));
}

/// "shard 3", "shards 3-10 12".
std::string shards_text(const std::vector<task::ShardRange>& ranges) {
  std::string text = ranges.size() == 1 && ranges.front().count == 1 ? "shard" : "shards";
  for (const task::ShardRange& range : ranges) {
    text += fmt::format(" {}", range.first);
    if (range.count > 1) text += fmt::format("-{}", range.first + range.count - 1);
  }
  return text;
}

void log_notice(const app::LoggedEvent& event, bool json) {
  const node::Notice& notice = event.notice;
  if (notice.kind == "job.log") return;
  constexpr std::array warnings{"node.storage",   "node.network",    "ledger.storage", "ledger.stalled",
                                "ledger.trouble", "ledger.evidence", "ledger.peer"};
  const bool is_info = notice.kind == "job.done" || notice.kind == "job.paid" || notice.kind == "job.overturned" ||
                       notice.kind.starts_with("peer.") || notice.kind == "node.up" || notice.kind == "ledger.signs" ||
                       notice.kind == "ledger.enrolled";
  const auto level = std::ranges::find(warnings, notice.kind) != warnings.end() ? spdlog::level::warn
                     : is_info                                                  ? spdlog::level::info
                                                                                : spdlog::level::debug;
  if (!spdlog::should_log(level)) return;
  if (json) {
    spdlog::log(level, "{}", app::dump(app::event_json(event)));
    return;
  }
  std::string text = notice.kind;
  if (notice.job) text += " " + short_id(notice.job->text());
  if (!notice.shards.empty()) text += fmt::format(" {}", shards_text(notice.shards));
  if (notice.peer) text += " " + identity::short_name(*notice.peer);
  if (!notice.phase.empty()) text += " " + notice.phase;
  if (!notice.text.empty()) text += ": " + notice.text;
  for (char& c : text) {
    if (c >= 0 && c < 0x20) c = ' ';  // One event, one line, whatever a peer wrote.
  }
  spdlog::log(level, "{}", text);
}

/// "127.0.0.1:6374", "[::1]:0".
Result<std::pair<std::string, std::uint16_t>> split_address(const std::string& text) {
  const auto problem = [&] {
    return fail(ErrorCode::invalid, fmt::format("api must be ADDR:PORT such as 127.0.0.1:6374, not \"{}\"", text));
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return problem();
  std::string address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc{} || stop != end || address.empty()) return problem();
  return std::pair{address, port};
}

/// The API's token: kept, so that a link to the dashboard outlives a restart.
Result<std::string> token_of(const std::filesystem::path& file) {
  struct stat info{};
  if (::stat(file.c_str(), &info) == 0) {
    if ((info.st_mode & 077) != 0)
      return fail(ErrorCode::denied, fmt::format("{} can be read by others: run chmod 600 on it", file.string()));
    std::ifstream stream(file);
    std::string token;
    std::getline(stream, token);
    if (token.size() >= 16 && token.size() <= 256) return token;
    return fail(ErrorCode::invalid, fmt::format("{} is damaged: remove it and start again", file.string()));
  }
  std::array<std::uint8_t, 32> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return fail(ErrorCode::internal, "the system gives no random bytes");
  std::string token = multibase_encode(Base::base64url, random).substr(1);
  MESH_TRY(write_private_file(file, token + "\n"));
  return token;
}

/// As many open files as the system lets this user have: a thousand dashboards and peers are more than what a shell starts with.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted_open_files) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted_open_files);
  ::setrlimit(RLIMIT_NOFILE, &limit);  // Where it may not, the node works with what there is.
}

}  // namespace

/// What ZephyMesh's launcher expects (../shared/design: interfaces.md): where the API may be, where it says so, and what of the
/// working folder is shared.
constexpr std::uint16_t zephymesh_first_port = 22616;
constexpr std::uint16_t zephymesh_last_port = 22700;
constexpr std::string_view zephymesh_ports_file = "zephymesh_ports.json";

std::vector<asset::Share> zephymesh_shares(const std::filesystem::path& root) {
  std::vector<std::string> folders{"staticmodelpool"};
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    const std::string name = entry.path().filename().string();
    if ((name.ends_with("_build") || name == "meshCommunicationRelay") && entry.is_directory(error))
      folders.push_back(name);
  }
  std::ranges::sort(folders);
  std::vector<asset::Share> shares;
  for (const std::string& name : folders) {
    asset::Share share{.name = name, .folder = (root / name).string(), .include = {}, .exclude = {}};
    if (asset::check_share(share)) shares.push_back(std::move(share));
  }
  return shares;
}

struct LocalNode::Parts {
  std::unique_ptr<app::Runtime> runtime;
  std::unique_ptr<app::Backend> backend;
  std::unique_ptr<app::Api> api;
  app::EventLog::Subscription log;
};

LocalNode::LocalNode() : parts_(std::make_unique<Parts>()) {}

Result<std::unique_ptr<LocalNode>> LocalNode::start(const config::Settings& settings, bool any_port) {
  raise_file_limit();
  MESH_LET(auto api_address, split_address(settings.text("api")));
  if (any_port) api_address = {"127.0.0.1", 0};
  const config::Paths& paths = settings.paths();
  if (settings.is_set("runtimes-dir")) ::setenv("MESH_RUNTIMES_DIR", settings.text("runtimes-dir").c_str(), 1);

  app::Settings wanted;
  wanted.home = paths.home;
  wanted.key_file = paths.key_file;
  wanted.compile_cache = paths.cache / "compiled";
  wanted.federation = settings.text("federation");
  wanted.listen = settings.list("listen");
  MESH_LET(wanted.bootstrap,
           join_federations(settings, [](const std::string& text) { fmt::print(stderr, "{}\n", text); }));
  wanted.mdns = !settings.flag("no-mdns");
  const std::string& relay = settings.text("relay");
  wanted.relay = relay == "on" ? app::Relaying::on : relay == "off" ? app::Relaying::off : app::Relaying::automatic;
  wanted.slots = static_cast<unsigned>(settings.count("slots"));
  wanted.memory_mb = settings.count("memory");
  wanted.accepts_work = !settings.flag("no-work");
  wanted.pricing = {.price = settings.count("pricing-per-gfuel"),
                    .minimum = settings.count("pricing-minimum"),
                    .idle_discount = static_cast<std::uint32_t>(settings.count("pricing-idle-discount")),
                    .ceiling = static_cast<std::uint32_t>(settings.count("pricing-ceiling"))};
  wanted.owner = settings.text("owner");
  for (const config::ShareSetting& share : settings.shares()) {
    wanted.shares.push_back({.name = share.name,
                             .folder = share.folder,
                             .visibility = asset::parse_visibility(share.visibility).value_or(asset::Visibility::lan),
                             .include = share.include,
                             .exclude = share.exclude});
  }
  const auto rate = [&](std::string_view name) { return settings.count(name) * 125'000; };  // Bytes a second.
  wanted.rates = {.up = rate("upload-mbit"),
                  .down = rate("download-mbit"),
                  .up_per_peer = rate("upload-per-peer-mbit"),
                  .down_per_peer = rate("download-per-peer-mbit")};
  wanted.fetched_quota_bytes = settings.count("fetched-gib") << 30;
  const bool zephymesh = settings.flag("zephymesh") && !any_port;
  wanted.zephymesh = zephymesh;
  if (zephymesh)
    std::ranges::move(zephymesh_shares(std::filesystem::current_path()), std::back_inserter(wanted.shares));

  std::unique_ptr<LocalNode> node(new LocalNode());
  MESH_LET(node->parts_->runtime, app::Runtime::start(std::move(wanted)));
  // One that a killed node left behind would send the launcher to a port where nobody is.
  const std::filesystem::path ports_file = std::filesystem::current_path() / zephymesh_ports_file;
  if (zephymesh) ::unlink(ports_file.c_str());
  MESH_LET(node->address_.token, token_of(paths.token_file));
  Parts& parts = *node->parts_;
  parts.backend = app::make_runtime_backend(*parts.runtime);
  const bool log_json = settings.flag("log-json");
  app::ApiConfig config{.address = api_address.first,
                        .port = api_address.second,
                        .token = node->address_.token,
                        .max_body_bytes = settings.count("max-body") << 20,
                        .zephymesh = zephymesh};
  // A port that was asked for is the one; else the first free one of those that the launcher looks at.
  const bool any_of_zephymesh = zephymesh && !settings.is_set("api");
  if (any_of_zephymesh) config.port = zephymesh_first_port;
  MESH_TRY(parts.runtime->call([&]() -> Status {
    if (!any_port) {
      parts.log =
          parts.runtime->events().subscribe([log_json](const app::LoggedEvent& event) { log_notice(event, log_json); });
    }
    while (true) {
      auto api = app::Api::start(*parts.backend, config);
      if (api) {
        parts.api = std::move(*api);
        return {};
      }
      if (!any_of_zephymesh || api.error().code != ErrorCode::conflict || config.port == zephymesh_last_port)
        return std::unexpected(std::move(api.error()));
      ++config.port;
    }
  }));
  node->address_.address = api_address.first == "0.0.0.0" ? "127.0.0.1"
                           : api_address.first == "::"    ? "::1"
                                                          : api_address.first;
  node->address_.port = parts.api->port();
  node->address_.pid = ::getpid();
  const Json json{{"address", node->address_.address},
                  {"port", node->address_.port},
                  {"token", node->address_.token},
                  {"pid", node->address_.pid}};
  MESH_TRY(write_private_file(paths.api_file, json.dump() + "\n"));
  node->api_file_ = paths.api_file;
  if (zephymesh) {
    MESH_TRY(write_private_file(ports_file, Json{{"api_port", node->address_.port}}.dump() + "\n"));
    node->ports_file_ = ports_file;
  }
  return node;
}

LocalNode::~LocalNode() {
  for (const std::filesystem::path& file : {ports_file_, api_file_}) {
    if (!file.empty()) ::unlink(file.c_str());
  }
  if (parts_->runtime) {
    if (parts_->api) {
      parts_->runtime->call([this] {
        parts_->log.cancel();
        parts_->api.reset();
      });
    }
    parts_->runtime->stop();
  }
}

std::string LocalNode::link() const {
  const bool is_v6 = address_.address.find(':') != std::string::npos;
  return fmt::format("http://{}:{}/#token={}", is_v6 ? "[" + address_.address + "]" : address_.address, address_.port,
                     address_.token);
}

std::vector<std::string> LocalNode::listen_addresses() {
  return parts_->runtime->call([this] { return parts_->runtime->listen_addresses(); });
}

int run_up(Session& session, bool mesh_cli) {
  auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  start_log(*settings);
  // Blocked before any thread starts, so that all of them inherit it and this one waits for the signals.
  ::sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (!mesh_cli) {
    const auto goes_on = ask_to_join(session, *settings);
    if (!goes_on) return session.fail(goes_on.error());
    if (!*goes_on) {
      session.say("stopping");
      return exit_ok;
    }
  }
  auto node = LocalNode::start(*settings, false);
  if (!node) return session.fail(node.error());
  Json addresses = Json::array();
  for (const std::string& address : (*node)->listen_addresses()) addresses.push_back(address);
  if (session.form() == Form::json) {
    fmt::print("{}\n", Json{{"api", (*node)->link()}, {"addresses", addresses}}.dump());
  } else {
    fmt::print("api     {}\n", (*node)->link());
    for (const Json& address : addresses) fmt::print("listen  {}\n", text_of(address));
    session.say(mesh_cli
                    ? "ready; Ctrl-C stops the node"
                    : "ready; `mesh run FILE` runs a function, `mesh peers` shows who is there, Ctrl-C stops the node");
  }
  std::fflush(stdout);
  int signal = 0;
  while (::sigwait(&signals, &signal) != 0) {
  }
  session.say("stopping");
  node->reset();
  return exit_ok;
}

}  // namespace mesh::cli
