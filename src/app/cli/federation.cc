#include <fmt/format.h>

#include "app/cli/ledger_session.h"

namespace mesh::cli {
namespace {

constexpr std::uint64_t members_page = 1000;

Json roles_of(const std::string& text) {
  Json roles = Json::array();
  std::string_view rest = text;
  while (true) {
    const std::size_t comma = rest.find(',');
    roles.push_back(std::string(rest.substr(0, comma)));
    if (comma == std::string_view::npos) return roles;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace

int federation_show(const Session& session) {
  return with(session, "GET", "/api/v1/ledger", nullptr, [&](const Json& ledger) {
    Json validators = Json::array();
    for (const Json& one : ledger["validators"])
      validators.push_back(fmt::format("{} (power {}{})", text_of(one["account"]), text_of(one["power"]),
                                       one["self"].get<bool>() ? ", this node" : ""));
    const Json& rules = ledger["parameters"];
    Json shown{{"name", ledger["federation"]["name"]},
               {"cid", ledger["federation"]["cid"]},
               {"members", ledger["members"]},
               {"enrolment", rules["enrolment"]},
               {"validators", std::move(validators)},
               {"own_roles", ledger["roles"]},
               {"height", ledger["height"]},
               {"supply", credits(ledger["totals"]["supply"])},
               {"transaction_fee", credits(rules["transaction_fee"])},
               {"minimum_bond", credits(rules["minimum_bond"])}};
    session.print(shown);
    return exit_ok;
  });
}

int federation_members(const Session& session) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  Json rows = Json::array();
  std::string after;
  while (true) {
    const std::string query = after.empty() ? "" : "&after=" + http::percent_encode(after);
    const auto answer = ask(*client, "GET", fmt::format("/api/v1/ledger/members?count={}{}", members_page, query));
    if (!answer) return session.fail(answer.error());
    for (const Json& row : (*answer)["members"]) rows.push_back(row);
    if ((*answer)["next"].is_null()) break;
    after = text_of((*answer)["next"]);
  }
  session.print_list(rows,
                     {{"ACCOUNT", field("account")},
                      {"ROLES", [](const Json& row) { return joined(row["roles"]); }},
                      {"STATE",
                       [](const Json& row) {
                         if (row["revoked"].get<bool>()) return "revoked";
                         return row["in_force"].get<bool>() ? "in force" : "expired";
                       }},
                      {"EXPIRES AT", field("expires_height")},
                      {"OWNER", field("owner")},
                      {"PEER", field("peer"), true},
                      {"ISSUER", field("issuer"), true}},
                     "account");
  return exit_ok;
}

int federation_admit(const Session& session, const Admission& admission, const Waiting& waiting) {
  Json request{{"kind", "member"}, {"node", admission.node}, {"roles", roles_of(admission.roles)}};
  if (!admission.owner.empty()) request["owner"] = admission.owner;
  if (admission.expires_height) request["expires_height"] = *admission.expires_height;
  return make_transaction(session, std::move(request), waiting);
}

int federation_revoke(const Session& session, const std::string& node, const std::string& reason,
                      const Waiting& waiting) {
  return make_transaction(session, {{"kind", "revoke"}, {"node", node}, {"reason", reason}}, waiting);
}

}  // namespace mesh::cli
