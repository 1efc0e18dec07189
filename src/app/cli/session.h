// What every command shares: the settings, the way to a node, the forms of output, exit codes.
//
// Data goes to stdout, words and progress to stderr. A command that only talks to a node starts no engine.
// Bounds: those of http::Client. What can go wrong: no node is running with the home, or one that was killed left its
// address behind; both read "no node is running" and end with exit code 3.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "adapters/http/client.h"
#include "app/config/settings.h"
#include "domain/identity/identity.h"

namespace mesh::app {
class Runtime;
}

namespace mesh::cli {

using Json = nlohmann::ordered_json;

enum Exit : int {
  exit_ok = 0,
  exit_failure = 1,
  exit_usage = 2,
  exit_no_node = 3,
  exit_not_found = 4,
  exit_denied = 5,
  exit_rejected = 6,
  exit_timeout = 124,
  exit_interrupted = 130
};

[[nodiscard]] int exit_of(ErrorCode code);

enum class Form { table, wide, json, yaml, name };

/// A column of a table: its title, how to read a row, and whether only `-o wide` shows it.
struct Column {
  std::string title;
  std::function<std::string(const Json&)> text;
  bool wide = false;
};

/// How a running node says that it can be reached (api.json in the home, 0600).
struct NodeAddress {
  std::string address;
  std::uint16_t port = 0;
  std::string token;
  std::int64_t pid = 0;
};

class Session {
 public:
  std::string config_file;
  std::vector<std::string> assignments;
  std::map<std::string, std::vector<std::string>> flags;
  std::string output = "table";
  bool json = false;
  bool quiet = false;

  /// Prints `error: text` to stderr and gives the exit code.
  int fail(const Error& error) const;
  int fail(int code, const std::string& text) const;
  /// As fail, for connect(): no node is an exit code of its own.
  int fail_connect(const Error& error) const {
    return fail(error.code == ErrorCode::unavailable ? static_cast<int>(exit_no_node) : exit_of(error.code),
                error.message);
  }
  /// Words for people on stderr, unless --quiet.
  void say(const std::string& text) const;
  /// As say, but only when stderr is a terminal.
  void progress(const std::string& text) const;

  [[nodiscard]] Form form() const;
  /// Whether people read what is printed: a table, narrow or wide.
  [[nodiscard]] bool is_for_people() const { return form() == Form::table || form() == Form::wide; }
  void print(const Json& value) const;  ///< one thing; tables show "key: value"
  void print_list(const Json& rows, const std::vector<Column>& columns, const std::string& name_key) const;

  [[nodiscard]] Result<config::Settings> settings() const;
  [[nodiscard]] Result<NodeAddress> find_node() const;
  /// A client of the running node.
  [[nodiscard]] Result<http::Client> connect() const;
};

[[nodiscard]] http::Client client_of(const NodeAddress& node,
                                     std::chrono::milliseconds timeout = std::chrono::milliseconds(120'000));
/// The JSON of a 2xx answer, else the error that it names.
[[nodiscard]] Result<Json> ask(const http::Client& client, std::string_view method, const std::string& path,
                               const Json* body = nullptr);

/// Asks the running node and gives the answer to `use`; its exit code, or that of what went wrong.
template <class Use>
int with(const Session& session, std::string_view method, const std::string& path, const Json* body, Use use) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto answer = ask(*client, method, path, body);
  if (!answer) return session.fail(answer.error());
  return use(*answer);
}
/// The round trip of a row with rtt_us, "-" where it is not known.
[[nodiscard]] std::string rtt_text(const Json& row);
/// Prints what was done with content: its CID alone, or all of `answer` where that form is asked for. Exit code 0.
int print_cid(const Session& session, const Json& answer);
/// A column that shows this field.
[[nodiscard]] std::function<std::string(const Json&)> field(std::string name);

/// Writes the answer to a GET to a file, which is there when all of it is.
[[nodiscard]] Status save(const http::Client& client, const std::string& path, const std::filesystem::path& file);
/// Writes it to stdout, with a newline at the end where `end_line` wants one and there is none.
[[nodiscard]] Status print_result(const http::Client& client, const std::string& path, bool end_line);

/// Files by name, glob, hub id or CID, and who has them ("AssetAnswer" of the API, with all holdings).
[[nodiscard]] Result<Json> find_assets(const http::Client& client, const std::string& text);

[[nodiscard]] Result<NodeAddress> read_address(const std::filesystem::path& file);
[[nodiscard]] Status write_private_file(const std::filesystem::path& file, std::string_view content);
[[nodiscard]] std::string text_of(const Json& value);
[[nodiscard]] std::string short_id(const std::string& cid);
[[nodiscard]] std::string short_peer(const Json& peer);
[[nodiscard]] std::string duration_text(std::int64_t ms);
[[nodiscard]] std::string bytes_text(double bytes);
/// Raw bytes to stdout; false when stdout is closed or full.
bool put(ByteView bytes);

/// A node in this process: for `mesh up`, and for the length of one call where none is running.
class LocalNode {
 public:
  [[nodiscard]] static Result<std::unique_ptr<LocalNode>> start(const config::Settings& settings, bool any_port);
  ~LocalNode();
  [[nodiscard]] const NodeAddress& address() const { return address_; }
  [[nodiscard]] std::string link() const;
  [[nodiscard]] std::vector<std::string> listen_addresses();

 private:
  LocalNode();
  struct Parts;
  std::unique_ptr<Parts> parts_;
  NodeAddress address_;
  std::filesystem::path api_file_, ports_file_;
};

/// Set by the first Ctrl-C after watch_interrupts().
void watch_interrupts();
[[nodiscard]] bool interrupted();

struct RunOptions {
  std::string file;
  std::vector<std::string> args, inputs, timeouts;
  bool map = false, dry_run = false, detach = false, only_file = false, sealed = false;
  std::string runtime;  ///< "python" or "python-full"; empty: by what the program imports
  std::string reduce, output_dir, label;
  std::string fee;  ///< of a run, in micro-credits; "auto": what the ledger's recent price comes to
  std::uint64_t fuel = 0, memory_mb = 0;
  int verifiers = -1;
  std::uint64_t value = 0;
  double sample = 1;
};

/// The node's own key, as the API says.
[[nodiscard]] Result<identity::NodeId> own_node(const http::Client& client);
int run_up(Session& session, bool mesh_cli);
int run_run(Session& session, const RunOptions& options);
int run_demo(Session& session, unsigned nodes, const std::string& folder, const std::string& command, bool stay);
/// What a sample says of a job or a proof report, by the names of their counts; empty where there is none.
[[nodiscard]] std::string sample_text(const Json& report, const std::string& checked, const std::string& shards);
int job_ls(Session& session);
int job_describe(Session& session, const std::string& id);
int job_explain(Session& session, const std::string& id);
/// What became of a job's fee. `wait_s`: until its escrow has ended, at most so many seconds (exit_timeout).
int job_payment(const Session& session, const std::string& id, std::optional<unsigned> wait_s);
int job_logs(Session& session, const std::string& id, bool follow);
int job_get(Session& session, const std::string& id, const std::string& output_dir);
int job_post(Session& session, const std::string& id, const std::string& verb);
/// `shard`: what proves this one alone; absent for the whole story.
int receipt_export(Session& session, const std::string& id, const std::string& file,
                   std::optional<std::uint32_t> shard = {});
/// `only`: of the bundle, what it proves of this shard. `each_shard`: each of them is checked alone as well.
int receipt_verify(Session& session, const std::string& file, std::optional<std::uint32_t> only = {},
                   bool each_shard = false);
int peers_ls(Session& session);
int peers_ping(Session& session, const std::string& peer);
struct InvitationOptions {
  std::vector<std::string> roles;
  std::uint64_t credits = 0;  ///< whole ones
  std::uint64_t uses = 1;
  std::uint64_t hours = 24;
};
int peers_invite(Session& session, const InvitationOptions& options);
struct FoundingOptions {
  std::string name;
  std::vector<std::string> founders;  ///< beside this node
  bool open = false;
  std::uint64_t credits = 1000;  ///< whole ones, as the bond
  std::uint64_t bond = 100;
  std::optional<std::uint64_t> dispute_s;  ///< the ledger's own time for disputes unless told
};
int federation_found(Session& session, const FoundingOptions& options);
int node_id(Session& session);
/// Comes into the federations that are to be joined, by their tokens or as the one on the local network (`lan`): this home is in them then.
/// What is left, and the tokens' own addresses, are peers to connect to.
[[nodiscard]] Result<std::vector<std::string>> join_federations(const config::Settings& settings,
                                                                const std::function<void(const std::string&)>& say);
/// Where a home is in no federation and nothing says in which it is to be: looks whether one on the local network takes whoever comes, and asks
/// the person at the terminal. Without one nothing is done. False: a signal came instead of an answer. SIGINT and SIGTERM are blocked.
[[nodiscard]] Result<bool> ask_to_join(const Session& session, const config::Settings& settings);
/// `visibility` empty: for whoever knows the CID. `copy`: into the store, not where it lies.
int assets_add(Session& session, const std::string& path, const std::string& visibility, bool copy);
/// As assets_add, but sealed for `recipients`: nodes by did or PeerId, or "self" for the one that is asked.
int assets_add_sealed(Session& session, const std::string& path, const std::vector<std::string>& recipients);
int assets_ls(Session& session);
int assets_find(Session& session, const std::string& text);
int assets_refresh(Session& session);
int assets_pin(Session& session, const std::string& text);
int assets_unpin(Session& session, const std::string& text);
int assets_pins(Session& session);
int assets_rm(Session& session, const std::string& path_or_cid);
/// `name` is a CID, or what find_assets takes if it names one file. `from`: peers to ask, by id or multiaddress (which is
/// dialed); all that are connected if there are none. `where_only`: prints where the node keeps it instead of its content.
/// A file that is sealed for the node is opened unless `as_sealed`.
int assets_get(Session& session, const std::string& name, const std::vector<std::string>& from, const std::string& file,
               bool where_only, bool as_sealed);
int node_status(Session& session);
int config_list(Session& session, bool show_origin);
int show_paths(Session& session);
int run_doctor(Session& session, const std::string& target);
int publish_task(Session& session, const std::string& wasm, const std::string& input, std::uint64_t fee);
int offer_execution(Session& session, const std::string& task, std::uint64_t cost);

// About the federation's ledger: ledger_session.h. Amounts are credits with up to six decimals, accounts dids; an empty account is the
// node's own.
struct Waiting;
int wallet_show(const Session& session, const std::string& account);
int wallet_send(const Session& session, const std::string& to, const std::string& amount, const std::string& memo,
                const Waiting& waiting);
int wallet_bond(const Session& session, const std::string& amount, const Waiting& waiting);
int wallet_unbond(const Session& session, const std::string& amount, const Waiting& waiting);
/// `at_once`: also while jobs of this node run, which fail then.
int wallet_rotate(const Session& session, bool at_once, const Waiting& waiting);
int wallet_history(const Session& session, const std::string& account, std::uint64_t limit);
int ledger_head(const Session& session);
int ledger_block(const Session& session, std::uint64_t height);
/// Where a chain is read from, with no node and no network; nothing given: the home.
struct ChainSource {
  std::string file;  ///< a chain's storage
  std::vector<std::string> cars;  ///< exported archives that go on where the one before ends
};
/// `to` 0: to the end. An empty `car` is NAME-FROM-TO.car.
int ledger_export(const Session& session, const std::string& car, std::uint64_t from, std::uint64_t to);
int ledger_verify(const Session& session, const ChainSource& source);
int federation_show(const Session& session);
int federation_members(const Session& session);
struct Admission {
  std::string node, roles, owner;
  std::optional<std::uint64_t> expires_height;
};
int federation_admit(const Session& session, const Admission& admission, const Waiting& waiting);
int federation_revoke(const Session& session, const std::string& node, const std::string& reason,
                      const Waiting& waiting);

/// Waits for a job's end and hands its result out as `mesh run` does; `events` may be null.
int finish_job(Session& session, const http::Client& client, const std::string& id, const std::string& output_dir);

/// The whole program but for the hidden compile command. Bounds: what CLI11 takes.
int main(int argc, char** argv);

}  // namespace mesh::cli
