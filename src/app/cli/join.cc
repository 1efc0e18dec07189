// How a home comes into a federation with a ledger before its node starts: by a token, as the only one on the local network that takes
// whoever comes, or since a person says so.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "app/cli/session.h"
#include "app/runtime/enrolment.h"
#include "app/runtime/lan_search.h"
#include "app/runtime/runtime.h"

namespace mesh::cli {

namespace {

constexpr std::string_view lan = "lan";
constexpr auto dial_limit = std::chrono::seconds(30);
/// A program waits for nobody: with `--join lan` it is worth a while to find somebody.
constexpr auto lan_limit = std::chrono::seconds(15);
/// Then the node starts as if nobody had been asked.
constexpr auto answer_limit = std::chrono::seconds(60);
constexpr std::size_t max_answer_bytes = 256;
constexpr int max_tries = 3;

using Say = std::function<void(const std::string&)>;

std::string nodes_text(std::size_t count) {
  return count == 1 ? "1 of its nodes answered" : fmt::format("{} of its nodes answered", count);
}

Status come_into(const config::Paths& paths, const app::Founding& founding, const identity::NodeId& own,
                 const std::string& how, const Say& say) {
  MESH_LET(const std::optional<app::Founding> left, app::join_federation(paths.home, founding, own));
  if (left)
    say(fmt::format("the federation {} is dropped: this home had founded it alone, and no block was made in it",
                    left->charter.name));
  say(fmt::format("in the federation {}: {}", founding.charter.name, how));
  return {};
}

Status join_by_token(const config::Paths& paths, const app::Invitation& invitation, const Say& say) {
  MESH_LET(const app::NodeKey key, app::own_key(paths.home, paths.key_file));
  const identity::NodeId own = public_key_of(key.seed);
  MESH_LET(const auto known, app::load_founding(paths.home));
  // A token that was taken stays among the settings.
  if (known && app::federation_of(*known) == invitation.federation) return {};
  // Before an invitation is used up.
  if (known) MESH_TRY(app::check_leave(paths.home, *known, own));
  MESH_LET(const app::Enrolled enrolled, app::enrol(key.seed, invitation, dial_limit));
  return come_into(paths, enrolled.founding, own, enrolled.text, say);
}

constexpr std::string_view enrols_itself = "this node makes itself a member once it has followed the chain";

Error none_found(const app::LanFound& found, const std::string& named) {
  std::string text = named.empty()
                         ? "no federation with open enrolment answered on this network"
                         : fmt::format("no federation {} with open enrolment answered on this network", named);
  if (found.closed > 0)
    text += fmt::format("; {} in one to which stewards admit: ask them for a token (mesh peers invite)",
                        found.closed == 1 ? "1 node is" : fmt::format("{} nodes are", found.closed));
  if (found.wrong > 0) text += fmt::format("; {} sent what is no such federation", found.wrong);
  if (found.silent > 0) text += fmt::format("; {} did not answer", found.silent);
  if (found.crowded) text += fmt::format("; no more than {} nodes were asked", app::max_nodes_asked);
  return {ErrorCode::not_found, text};
}

Status join_on_lan(const config::Settings& settings, const Say& say) {
  const config::Paths& paths = settings.paths();
  MESH_LET(const app::NodeKey key, app::own_key(paths.home, paths.key_file));
  const identity::NodeId own = public_key_of(key.seed);
  MESH_LET(const auto known, app::load_founding(paths.home));
  // What was joined once stays among the settings.
  if (known && !app::has_founded(*known, own)) return {};
  if (known) MESH_TRY(app::check_leave(paths.home, *known, own));
  if (settings.flag("no-mdns"))
    return fail(ErrorCode::invalid, "--join lan looks for nodes on the local network, which --no-mdns forbids");
  say("looking for a federation with open enrolment on this network");
  MESH_LET(app::LanFound found, app::look_on_lan({.addresses = {}, .limit = lan_limit, .until_found = true}));
  const std::string named = settings.is_set("federation") ? settings.text("federation") : std::string();
  std::erase_if(found.open, [&](const app::OpenFederation& one) {
    return (!named.empty() && one.founding.charter.name != named) || (known && one.id == app::federation_of(*known));
  });
  if (found.open.empty()) return std::unexpected(none_found(found, named));
  if (found.open.size() > 1) {
    std::vector<std::string> titles;
    for (const app::OpenFederation& one : found.open) titles.push_back(title_of(one));
    return fail(
        ErrorCode::conflict,
        fmt::format("{} federations with open enrolment are on this network, {}: name one with --federation NAME, "
                    "or take a token of one (mesh peers invite)",
                    titles.size(), fmt::join(titles, " and ")));
  }
  return come_into(paths, found.open.front().founding, own, std::string(enrols_itself), say);
}

// ---- A person at a terminal.

enum class Heard : std::uint8_t { line, nothing, signal };

/// A line of standard input, without its end. SIGINT and SIGTERM are blocked.
class Answers {
 public:
  Answers() {
    ::sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    signals_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~Answers() {
    if (signals_ >= 0) ::close(signals_);
  }
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  Heard read(std::string& line) {
    line.clear();
    while (true) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(until_ - std::chrono::steady_clock::now());
      std::array<::pollfd, 2> waits{
          {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}, {.fd = signals_, .events = POLLIN, .revents = 0}}};
      const int ready = ::poll(waits.data(), waits.size(), static_cast<int>(std::max<std::int64_t>(0, left.count())));
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) return Heard::nothing;
      if ((waits[1].revents & POLLIN) != 0) return Heard::signal;
      char next = 0;
      if (::read(STDIN_FILENO, &next, 1) != 1) return Heard::nothing;
      if (next == '\n') return Heard::line;
      if (line.size() == max_answer_bytes) return Heard::nothing;
      line.push_back(next);
    }
  }

 private:
  int signals_ = -1;
  std::chrono::steady_clock::time_point until_ = std::chrono::steady_clock::now() + answer_limit;
};

void show(const std::vector<app::OpenFederation>& open) {
  const bool is_one = open.size() == 1;
  std::string text = fmt::format("On this network {}:\n", is_one ? "is a federation that takes whoever comes"
                                                                 : "are federations that take whoever comes");
  for (std::size_t i = 0; i < open.size(); ++i)
    text += fmt::format("  {}{}: {}\n", is_one ? "" : fmt::format("{}  ", i + 1), title_of(open[i]),
                        nodes_text(open[i].nodes));
  text += "To join makes this node a member alone: no credits, no pay until a steward admits it to more.\n";
  fmt::print(stderr, "{}", text);
}

/// What was answered: the number of a federation, `refused`, or none of these.
std::optional<std::size_t> read_answer(std::string answer, std::size_t count, bool& refused) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!answer.empty() && is_blank(answer.back())) answer.pop_back();
  answer.erase(0, answer.find_first_not_of(" \t"));
  std::ranges::transform(answer, answer.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  refused = answer == "n" || answer == "no";
  if (count == 1 && (answer == "y" || answer == "yes")) return 0;
  std::size_t number = 0;
  const char* end = answer.data() + answer.size();
  const auto [stop, error] = std::from_chars(answer.data(), end, number);
  if (error == std::errc() && stop == end && number >= 1 && number <= count) return number - 1;
  return std::nullopt;
}

bool is_asked(const Session& session, const config::Settings& settings) {
  const auto& join = settings.list("join");
  const bool was_told = settings.is_set("federation") || std::ranges::any_of(join, [](const std::string& item) {
                          return item == lan || app::is_token(item);
                        });
  // ZephyMesh's launcher has the terminal for itself.
  return !was_told && !settings.flag("no-mdns") && !settings.flag("zephymesh") && !session.quiet &&
         ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1 && !session.find_node();
}

}  // namespace

Result<std::vector<std::string>> join_federations(const config::Settings& settings, const Say& say) {
  std::vector<std::string> addresses;
  for (const std::string& item : settings.list("join")) {
    if (item == lan) {
      MESH_TRY(join_on_lan(settings, say));
    } else if (app::is_token(item)) {
      MESH_LET(const app::Invitation invitation, app::read_token(item));
      addresses.insert(addresses.end(), invitation.addresses.begin(), invitation.addresses.end());
      MESH_TRY(join_by_token(settings.paths(), invitation, say));
    } else {
      addresses.push_back(item);
    }
  }
  return addresses;
}

Result<bool> ask_to_join(const Session& session, const config::Settings& settings) {
  const config::Paths& paths = settings.paths();
  if (!is_asked(session, settings)) return true;
  MESH_LET(const auto known, app::load_founding(paths.home));
  if (known) return true;
  MESH_LET(const std::vector<Cid> declined, app::load_declined(paths.home));
  MESH_LET(app::LanFound found, app::look_on_lan({}));
  std::erase_if(found.open,
                [&](const app::OpenFederation& one) { return std::ranges::find(declined, one.id) != declined.end(); });
  if (found.open.empty()) return true;
  show(found.open);
  Answers answers;
  for (int tries = 0; tries < max_tries; ++tries) {
    fmt::print(stderr, "{}",
               found.open.size() == 1
                   ? "Join it? [y/n] "
                   : fmt::format("Which one is to be joined? [1-{}, or n for none] ", found.open.size()));
    std::string answer;
    const Heard heard = answers.read(answer);
    if (heard != Heard::line) fmt::print(stderr, "\n");
    if (heard == Heard::signal) return false;
    if (heard == Heard::nothing || answer.empty()) return true;
    bool refused = false;
    if (const auto number = read_answer(std::move(answer), found.open.size(), refused)) {
      MESH_LET(const app::NodeKey key, app::own_key(paths.home, paths.key_file));
      MESH_TRY(come_into(paths, found.open[*number].founding, public_key_of(key.seed), std::string(enrols_itself),
                         [&](const std::string& text) { session.say(text); }));
      return true;
    }
    if (!refused) continue;
    std::vector<Cid> all;
    for (const app::OpenFederation& one : found.open) all.push_back(one.id);
    MESH_TRY(app::decline(paths.home, all));
    session.say("not joined, and not asked again; `mesh up --join lan` does it later");
    return true;
  }
  return true;
}

}  // namespace mesh::cli
