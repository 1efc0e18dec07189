#include <fmt/format.h>

#include "app/cli/ledger_session.h"
#include "app/runtime/key_file.h"

namespace mesh::cli {
namespace {

constexpr std::uint64_t history_page = 200;

std::string account_path(const std::string& account, std::string_view rest = {}) {
  return "/api/v1/ledger/accounts/" + http::percent_encode(account.empty() ? "self" : account) + std::string(rest);
}

/// What the transaction did to the account: with a sign where credits came or went.
std::string change_of(const Json& row) {
  const Json& fields = row["fields"];
  if (!fields.is_object() || !fields.contains("amount")) return "-";
  std::string amount = credits(fields["amount"]);
  const std::string kind = text_of(row["kind"]);
  if (kind != "transfer" && kind != "grant") return amount;
  const bool is_own = row["direction"] == "out";
  if (kind == "grant") return is_own ? amount : "+" + amount;
  return (is_own ? "-" : "+") + amount;
}

std::string partner_of(const Json& row) {
  const Json& fields = row["fields"];
  if (row["direction"] != "out") return short_did(row["account"]);
  for (const char* name : {"to", "node"}) {
    if (fields.is_object() && fields.contains(name)) return short_did(fields[name]);
  }
  return "-";
}

std::string note_of(const Json& row) {
  const Json& fields = row["fields"];
  for (const char* name : {"memo", "reason"}) {
    if (fields.is_object() && fields.contains(name)) return text_of(fields[name]);
  }
  if (fields.is_object() && fields.contains("roles")) return joined(fields["roles"]);
  return "";
}

int make_amount(const Session& session, std::string_view kind, const std::string& amount, const Waiting& waiting) {
  const auto micros = app::parse_credits(amount);
  if (!micros) return session.fail(micros.error());
  return make_transaction(session, {{"kind", kind}, {"amount", std::to_string(*micros)}}, waiting);
}

}  // namespace

std::string credits(const Json& micros) {
  const auto value = app::parse_micros(text_of(micros));
  return value ? app::credits_text(*value) : text_of(micros);
}
std::function<std::string(const Json&)> credits_of(std::string name) {
  return [name = std::move(name)](const Json& row) { return credits(row[name]); };
}
std::string short_did(const Json& did) { return short_peer(did); }
std::string joined(const Json& list) {
  std::string text;
  for (const Json& item : list) text += (text.empty() ? "" : ",") + text_of(item);
  return text.empty() ? "-" : text;
}

int make_transaction(const Session& session, Json request, const Waiting& waiting) {
  return make_transaction(session, "/api/v1/ledger/transactions", std::move(request), waiting, [](const Json&) {});
}

int make_transaction(const Session& session, std::string_view path, Json request, const Waiting& waiting,
                     const std::function<void(const Json&)>& well) {
  request["wait"] = waiting.detach ? "waiting" : "final";
  request["timeout_ms"] = waiting.timeout_s * 1000;
  const auto node = session.find_node();
  if (!node) return session.fail_connect(node.error());
  // It answers by then, whatever it has to say.
  const http::Client client = client_of(*node, std::chrono::seconds(waiting.timeout_s + 30));
  const auto answer = ask(client, "POST", std::string(path), &request);
  if (!answer) return session.fail(answer.error());
  if (session.form() == Form::json || session.form() == Form::yaml) {
    session.print(*answer);
  } else {
    fmt::print("{}\n", text_of((*answer)["transaction"]));
  }
  const bool is_final = (*answer)["status"] == "final";
  if (is_final || waiting.detach) {
    session.say(text_of((*answer)["detail"]));
    well(*answer);
    return exit_ok;
  }
  return session.fail(exit_timeout,
                      fmt::format("{}; `mesh wallet history` shows it once it is final, and `mesh ledger head` "
                                  "who validates",
                                  text_of((*answer)["detail"])));
}

int wallet_show(const Session& session, const std::string& account) {
  return with(session, "GET", account_path(account), nullptr, [&](const Json& answer) {
    if (!session.is_for_people()) {
      session.print(answer);
      return exit_ok;
    }
    Json shown{{"account", answer["account"]},
               {"balance", credits(answer["balance"])},
               {"bonded", credits(answer["bonded"])},
               {"at_stake", credits(answer["at_stake"])}};
    Json arriving = Json::array();
    for (const Json& one : answer["unbonding"])
      arriving.push_back(fmt::format("{} from {} on", credits(one["amount"]), text_of(one["release"])));
    if (!arriving.empty()) shown["unbonding"] = std::move(arriving);
    const Json& member = answer["member"];
    shown["roles"] = member.is_null()                 ? "none: no member"
                     : member["in_force"].get<bool>() ? joined(member["roles"])
                     : member["revoked"].get<bool>()  ? "none: revoked"
                                                      : "none: expired";
    shown["reputation"] = answer["reputation"]["score"];
    if (const Json& shown_of = answer["conflict"]; !shown_of.is_null()) {
      shown["conflict"] = fmt::format("it signed two transactions for its number {}, as was shown in block {}",
                                      shown_of["sequence"].dump(), shown_of["height"].dump());
    }
    if (const Json& offence = answer["offence"]; !offence.is_null()) {
      shown["offence"] = fmt::format("as a validator it signed two {} for height {}, which cost it {} of its bond",
                                     text_of(offence["kind"]), offence["height"].dump(), credits(offence["taken"]));
    }
    if (session.form() == Form::wide) {
      shown["peer"] = answer["peer"];
      shown["key"] = answer["key"];
      shown["next_sequence"] = answer["sequence"];
      shown["height"] = answer["height"];
      shown["state_root"] = answer["state_root"];
    }
    session.print(shown);
    if (!answer["exists"].get<bool>())
      session.say("nobody has this account yet: it begins with the first credits that it gets");
    return exit_ok;
  });
}

int wallet_send(const Session& session, const std::string& to, const std::string& amount, const std::string& memo,
                const Waiting& waiting) {
  const auto micros = app::parse_credits(amount);
  if (!micros) return session.fail(micros.error());
  return make_transaction(
      session, {{"kind", "transfer"}, {"to", to}, {"amount", std::to_string(*micros)}, {"memo", memo}}, waiting);
}

int wallet_bond(const Session& session, const std::string& amount, const Waiting& waiting) {
  return make_amount(session, "bond", amount, waiting);
}
int wallet_unbond(const Session& session, const std::string& amount, const Waiting& waiting) {
  return make_amount(session, "unbond", amount, waiting);
}

int wallet_rotate(const Session& session, bool at_once, const Waiting& waiting) {
  return make_transaction(session, "/api/v1/ledger/rotation", {{"at_once", at_once}}, waiting, [&](const Json& answer) {
    session.say(
        fmt::format("once it is final, end the node and start it again (`mesh up`): from then on its key is {} and "
                    "its PeerID {}; balance, bond, roles and reputation stay. Keep the old key, which lies "
                    "beside it as {}.1 or the like",
                    text_of(answer["key"]), text_of(answer["peer"]), app::key_file_name));
  });
}

int wallet_history(const Session& session, const std::string& account, std::uint64_t limit) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  Json rows = Json::array();
  std::string before;
  while (rows.size() < limit) {
    const std::uint64_t page = std::min<std::uint64_t>(limit - rows.size(), history_page);
    const std::string query = fmt::format("/history?limit={}{}", page, before.empty() ? "" : "&before=" + before);
    const auto answer = ask(*client, "GET", account_path(account, query));
    if (!answer) return session.fail(answer.error());
    for (const Json& row : (*answer)["transactions"]) rows.push_back(row);
    if ((*answer)["next"].is_null()) break;
    before = text_of((*answer)["next"]);
  }
  session.print_list(rows,
                     {{"HEIGHT", field("height")},
                      {"TIME", field("time")},
                      {"KIND", field("kind")},
                      {"CREDITS", change_of},
                      {"WITH", partner_of},
                      {"NOTE", note_of},
                      {"TRANSACTION", [](const Json& row) { return short_id(text_of(row["cid"])); }},
                      {"NUMBER", field("number"), true},
                      {"SEQUENCE", field("sequence"), true},
                      {"CID", field("cid"), true}},
                     "cid");
  if (rows.empty()) session.say("no transaction of this account, and none that names it");
  return exit_ok;
}

}  // namespace mesh::cli
