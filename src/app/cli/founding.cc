// `mesh federation found`, `mesh peers invite`, `mesh node id`: how a federation with a ledger begins, and how others are invited.
#include <fmt/format.h>

#include "app/cli/session.h"
#include "app/runtime/founding.h"
#include "app/runtime/host.h"
#include "app/runtime/runtime.h"

namespace mesh::cli {

namespace {
constexpr std::uint64_t micro = 1'000'000;
}  // namespace

int node_id(Session& session) {
  const auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  const auto key = app::own_key(settings->paths().home, settings->paths().key_file);
  if (!key) return session.fail(key.error());
  const identity::NodeId id = public_key_of(key->seed);
  session.print({{"did", identity::did_of(id)}, {"peer", identity::peer_id_of(id)}});
  return exit_ok;
}

int federation_found(Session& session, const FoundingOptions& options) {
  const auto settings = session.settings();
  if (!settings) return session.fail(settings.error());
  const config::Paths& paths = settings->paths();
  if (session.find_node())
    return session.fail(exit_failure, "a node is running with this home: stop it first, and start it again afterwards");
  const auto own = app::own_key(paths.home, paths.key_file);
  if (!own) return session.fail(own.error());
  app::FoundingPlan plan;
  plan.name = options.name;
  plan.founder = public_key_of(own->seed);
  for (const std::string& text : options.founders) {
    const auto node = identity::parse_node(text);
    if (!node)
      return session.fail(
          ErrorCode::invalid == node.error().code ? static_cast<int>(exit_usage) : exit_of(node.error().code),
          fmt::format("--founder {}: {}; `mesh node id` says what a node is called", text, node.error().message));
    plan.others.push_back(*node);
  }
  plan.open_enrolment = options.open;
  plan.credits = options.credits * micro;
  plan.bond = options.bond * micro;
  if (options.dispute_s) plan.dispute_ms = *options.dispute_s * 1000;
  plan.time_ms = static_cast<std::uint64_t>(app::wall_ms());
  const auto founding = app::found(plan);
  if (!founding) return session.fail(founding.error());
  if (const Status saved = app::save_founding(paths.home, *founding); !saved) return session.fail(saved.error());
  session.print({{"name", founding->charter.name},
                 {"federation", app::federation_of(*founding).text()},
                 {"founders", plan.others.size() + 1}});
  session.say("`mesh up` runs a node of it; `mesh peers invite` then prints a token for others");
  return exit_ok;
}

int peers_invite(Session& session, const InvitationOptions& options) {
  Json roles = Json::array();
  for (const std::string& role : options.roles) roles.push_back(role);
  Json body{{"credits", options.credits * micro}, {"uses", options.uses}, {"hours", options.hours}};
  if (!roles.empty()) body["roles"] = roles;
  return with(session, "POST", "/api/v1/invitations", &body, [&](const Json& answer) {
    if (session.is_for_people() || session.form() == Form::name) {
      fmt::print("{}\n", text_of(answer["token"]));
    } else {
      session.print(answer);
    }
    session.say("`mesh up --join TOKEN` on the other machine takes it");
    return static_cast<int>(exit_ok);
  });
}

}  // namespace mesh::cli
