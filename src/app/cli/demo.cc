#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "app/cli/session.h"
#include "app/runtime/founding.h"
#include "app/runtime/host.h"
#include "app/runtime/runtime.h"

namespace mesh::cli {
namespace {

namespace fs = std::filesystem;

/// A node of the demonstration: a child process that this one started, and the only kind that it ends.
class Child {
 public:
  Child() = default;
  Child(Child&& other) noexcept
      : home(std::move(other.home)),
        link(std::move(other.link)),
        addresses(std::move(other.addresses)),
        pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    // A node that does not stop by itself within five seconds is ended.
    for (int i = 0; i < 100; ++i) {
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return;
      ::usleep(50'000);
    }
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  static Result<Child> start(const std::vector<std::string>& command, const fs::path& home, const fs::path& log) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      return fail(ErrorCode::unavailable, fmt::format("no pipe: {}", std::strerror(errno)));
    ::posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    // A group of its own: Ctrl-C reaches this process alone, which then ends its children in order.
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    std::vector<char*> argv;
    std::vector<std::string> texts = command;
    for (std::string& text : texts) argv.push_back(text.data());
    argv.push_back(nullptr);
    Child child;
    child.home = home;
    const int error = ::posix_spawn(&child.pid_, "/proc/self/exe", &actions, &attributes, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    ::close(ends[1]);
    if (error != 0) {
      child.pid_ = -1;
      ::close(ends[0]);
      return fail(ErrorCode::unavailable, fmt::format("a node cannot be started: {}", std::strerror(error)));
    }
    // It says where it listens once it does; the end of the pipe says that it gave up.
    std::string text;
    std::array<char, 4096> piece{};
    while (text.find('\n') == std::string::npos) {
      const ssize_t count = ::read(ends[0], piece.data(), piece.size());
      if (count < 0 && errno == EINTR && !interrupted()) continue;
      if (count <= 0) break;
      text.append(piece.data(), static_cast<std::size_t>(count));
    }
    ::close(ends[0]);
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object())
      return fail(ErrorCode::unavailable, fmt::format("a node did not start; {} says why", log.string()));
    child.link = text_of(json["api"]);
    for (const Json& address : json["addresses"]) child.addresses.push_back(text_of(address));
    return child;
  }

  fs::path home;
  std::string link;
  std::vector<std::string> addresses;

 private:
  pid_t pid_ = -1;
};

/// A folder with this name beside the program, or beside one of the folders that it lies in.
std::optional<fs::path> find_beside(const std::string& name) {
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int i = 0; i < 4 && !folder.empty(); ++i) {
    for (const fs::path& candidate : {folder / name, folder / "share/meshwork" / name}) {
      if (fs::exists(candidate, error)) return candidate;
    }
    folder = folder.parent_path();
  }
  return std::nullopt;
}

struct TemporaryFolder {
  fs::path path;
  bool keep = false;
  ~TemporaryFolder() {
    std::error_code error;
    if (!keep && !path.empty()) fs::remove_all(path, error);
  }
};

fs::path home_of(const fs::path& folder, unsigned number) { return folder / fmt::format("node{}", number); }

/// All of them found a federation, whose credits they pay each other with. In a folder that was kept they have one.
Status found_federation(const fs::path& folder, unsigned count) {
  app::FoundingPlan plan;
  plan.name = "demo";
  // Nobody disputes anything here, and somebody waits for the payment.
  plan.dispute_ms = 3'000;
  plan.time_ms = static_cast<std::uint64_t>(app::wall_ms());
  for (unsigned number = 1; number <= count; ++number) {
    const fs::path home = home_of(folder, number);
    MESH_LET(const app::NodeKey key, app::own_key(home, home / app::key_file_name));
    const identity::NodeId node = public_key_of(key.seed);
    if (number == 1) {
      plan.founder = node;
    } else {
      plan.others.push_back(node);
    }
  }
  MESH_LET(std::optional<app::Founding> founding, app::load_founding(home_of(folder, 1)));
  if (!founding) {
    MESH_LET(founding, app::found(plan));
  }
  for (unsigned number = 1; number <= count; ++number) MESH_TRY(app::save_founding(home_of(folder, number), *founding));
  return {};
}

/// Until each node's API answers as `is_there` wants it. Error: timeout, after a minute.
Status wait_for(const std::vector<Child>& nodes, const std::string& path, const std::string& what,
                const std::function<bool(const Json&)>& is_there) {
  for (const Child& node : nodes) {
    MESH_LET(const NodeAddress address, read_address(node.home / "api.json"));
    const http::Client client = client_of(address);
    MESH_LET(http::EventStream events, client.open_events("/api/v1/events"));
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (true) {
      if (interrupted()) return fail(ErrorCode::denied, "interrupted");
      MESH_LET(const Json answer, ask(client, "GET", path));
      if (is_there(answer)) break;
      if (std::chrono::steady_clock::now() > limit)
        return fail(ErrorCode::timeout, fmt::format("within a minute {} did not see {}", node.home.string(), what));
      // Something has changed, or a second has passed: look again.
      const auto event = events.next(std::chrono::seconds(1));
      if (!event && event.error().code != ErrorCode::timeout) return std::unexpected(event.error());
    }
  }
  return {};
}

Status wait_for_mesh(const std::vector<Child>& nodes) {
  const std::size_t wanted = nodes.size() - 1;
  MESH_TRY(wait_for(nodes, "/api/v1/peers", fmt::format("all {} others", wanted), [wanted](const Json& peers) {
    std::size_t known = 0;
    for (const Json& peer : peers) known += peer["connected"].get<bool>() && !peer["resources"].is_null() ? 1U : 0U;
    return known >= wanted;
  }));
  // Until then nobody is drawn to verify.
  return wait_for(nodes, "/api/v1/ledger/accounts/self", "on the ledger what it can verify",
                  [](const Json& account) { return !account["attestation"].is_null(); });
}

int run_command(const Session& session, const std::string& command, const fs::path& home) {
  ::setenv("MESH_HOME", home.c_str(), 1);
  std::error_code error;
  ::setenv("MESH", fs::read_symlink("/proc/self/exe", error).c_str(), 1);
  std::string shell = "/bin/sh", flag = "-c", text = command;
  std::array<char*, 4> argv{shell.data(), flag.data(), text.data(), nullptr};
  pid_t pid = -1;
  if (const int problem = ::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, argv.data(), environ); problem != 0) {
    return session.fail(exit_failure, fmt::format("{} cannot be run: {}", command, std::strerror(problem)));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    if (interrupted()) ::kill(pid, SIGTERM);
  }
  if (interrupted()) return exit_interrupted;
  return WIFEXITED(status) ? WEXITSTATUS(status) : static_cast<int>(exit_failure);
}

/// Runs the words of the texts through the mesh at `node`, says how it went, and checks the proof.
int run_example(Session& session, const fs::path& example, const fs::path& node, const fs::path& bundle) {
  session.flags["home"] = {node.string()};
  RunOptions options;
  options.file = example.string();
  options.inputs = {(example.parent_path().parent_path() / "data/texts").string()};
  options.map = true;
  const int code = run_run(session, options);
  if (code != exit_ok) return code;
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto jobs = ask(*client, "GET", "/api/v1/tasks?count=1");
  if (!jobs || jobs->empty()) return session.fail(exit_failure, "the job is gone");
  fmt::print("\n");
  const std::string id = text_of((*jobs)[0]["id"]);
  if (const int explained = job_explain(session, id); explained != exit_ok) return explained;
  if (const int exported = receipt_export(session, id, bundle.string()); exported != exit_ok) return exported;
  return receipt_verify(session, bundle.string());
}

}  // namespace

int run_demo(Session& session, unsigned count, const std::string& folder, const std::string& command, bool stay) {
  const auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  std::optional<fs::path> example;
  if (command.empty()) {
    example = find_beside("examples/words/main.py");
    if (!example)
      return session.fail(exit_not_found,
                          "the example that the demonstration runs (examples/words) does not lie beside the program: "
                          "name another with --exec");
  }
  watch_interrupts();
  TemporaryFolder home;
  if (folder.empty()) {
    std::string pattern = (fs::temp_directory_path() / "mesh-demo-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      return session.fail(exit_failure, fmt::format("no temporary folder can be made: {}", std::strerror(errno)));
    home.path = pattern;
  } else {
    std::error_code error;
    home.path = fs::absolute(folder, error);
    home.keep = true;
    fs::create_directories(home.path, error);
    if (error) return session.fail(exit_failure, fmt::format("{} cannot be made: {}", folder, error.message()));
  }

  if (const Status founded = found_federation(home.path, count); !founded) return session.fail(founded.error());
  session.say(fmt::format("starting {} nodes in {}", count, home.path.string()));
  std::vector<Child> nodes;
  nodes.reserve(count);
  std::vector<std::string> joins;
  for (unsigned i = 0; i < count; ++i) {
    const fs::path node_home = home_of(home.path, i + 1);
    std::vector<std::string> argv{"mesh",
                                  "up",
                                  "--home",
                                  node_home.string(),
                                  "--cache",
                                  settings->paths().cache.string(),
                                  "--no-mdns",
                                  "--listen",
                                  "/ip4/127.0.0.1/tcp/0",
                                  "--api",
                                  "127.0.0.1:0",
                                  "--slots",
                                  "1",
                                  "--json",
                                  "--log-level",
                                  "info"};
    for (const std::string& address : joins) {
      argv.emplace_back("--join");
      argv.push_back(address);
    }
    auto child = Child::start(argv, node_home, home.path / fmt::format("node{}.log", i + 1));
    if (interrupted()) return exit_interrupted;
    if (!child) {
      home.keep = true;
      return session.fail(exit_failure, child.error().message);
    }
    for (const std::string& address : child->addresses) {
      if (address.find("/tcp/") != std::string::npos) joins.push_back(address);
    }
    nodes.push_back(std::move(*child));
    fmt::print("node {}  {}\n", i + 1, nodes.back().addresses.empty() ? "" : nodes.back().addresses.front());
  }
  std::fflush(stdout);
  if (const Status status = wait_for_mesh(nodes); !status)
    return interrupted() ? static_cast<int>(exit_interrupted) : session.fail(status.error());
  fmt::print("every node sees the {} others; the first one's dashboard and API: {}\n\n", count - 1, nodes.front().link);
  std::fflush(stdout);
  const int code = command.empty() ? run_example(session, *example, nodes.front().home, home.path / "proof.car")
                                   : run_command(session, command, nodes.front().home);
  if (code != exit_ok || !stay) return code;
  fmt::print("\nThe mesh goes on until Ctrl-C. Its dashboard: {}\n", nodes.front().link);
  std::fflush(stdout);
  while (!interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  return exit_ok;
}

}  // namespace mesh::cli
