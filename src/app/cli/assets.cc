#include <fmt/format.h>

#include <set>

#include "app/cli/session.h"
#include "app/cli/upload.h"
#include "app/runtime/import.h"

namespace mesh::cli {
namespace fs = std::filesystem;
namespace {

/// Copies a file or folder into the node's store; what it has become.
Result<Json> add_copy(const http::Client& client, const std::string& path) {
  Upload upload(client);
  MESH_LET(const asset::Built built, app::import_path(path, upload.sink()));
  MESH_TRY(upload.declare(built.cid));
  return Json{{"cid", built.cid.text()}, {"bytes", built.content_bytes != 0 ? built.content_bytes : built.total_bytes}};
}

/// The path as the node knows it: absolute and in its shortest form. A link in the last place is not followed.
Result<std::string> path_for_node(const std::string& path) {
  std::error_code failed;
  fs::path given = fs::absolute(path, failed).lexically_normal();
  if (!given.has_filename()) given = given.parent_path();
  const fs::path folder = fs::canonical(given.parent_path(), failed);
  if (failed || !fs::exists(fs::symlink_status(given, failed)))
    return fail(ErrorCode::not_found, fmt::format("there is no file or folder {}", path));
  return (folder / given.filename()).string();
}

}  // namespace

int assets_add(Session& session, const std::string& path, const std::string& visibility, bool copy) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto place = path_for_node(path);
  if (!place) return session.fail(place.error());
  Result<Json> answer = fail(ErrorCode::internal, "");
  if (copy) {
    answer = add_copy(*client, path);
  } else {
    std::string target = "/api/v1/assets?path=" + http::percent_encode(*place);
    if (!visibility.empty()) target += "&visibility=" + http::percent_encode(visibility);
    // The node reads all of it.
    answer = ask(client_of(*session.find_node(), std::chrono::hours(24)), "POST", target);
  }
  if (!answer) return session.fail(answer.error());
  return print_cid(session, *answer);
}

int assets_rm(Session& session, const std::string& path_or_cid) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto remove = [&](const std::string& target) -> Status {
    const auto removed = ask(*client, "DELETE", "/api/v1/assets" + target);
    return removed ? Status() : std::unexpected(removed.error());
  };
  const auto remove_path = [&](const std::string& path) { return remove("?path=" + http::percent_encode(path)); };
  Status status;
  if (const auto cid = Cid::from_text(path_or_cid)) {
    const auto added = ask(*client, "GET", "/api/v1/assets");
    if (!added) return session.fail(added.error());
    bool is_copy = true;
    for (const Json& one : *added) {
      if (!status || text_of(one["cid"]) != cid->text()) continue;
      is_copy = false;
      status = remove_path(text_of(one["path"]));
    }
    if (is_copy) status = remove("/" + cid->text());
  } else {
    // It need not be there any more.
    const auto place = path_for_node(path_or_cid);
    status = remove_path(place ? *place : fs::absolute(path_or_cid).lexically_normal().string());
  }
  return status ? static_cast<int>(exit_ok) : session.fail(status.error());
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

std::string size_of_asset(const Json& row) { return text_of(row["bytes"]); }

/// "llama 7.2 B Q4_K_M, 4096 tokens", "-" for what is no model.
std::string model_text(const Json& row) {
  const Json& model = row["model"];
  if (model.is_null()) return "-";
  std::string text = text_of(model["architecture"]);
  if (text.empty()) text = text_of(model["format"]);
  const auto parameters = model["parameters"].get<double>();
  for (const auto& [unit, letter] : {std::pair{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}}) {
    if (parameters < unit) continue;
    text += fmt::format(" {:.1f} {}", parameters / unit, letter);
    break;
  }
  if (const std::string quantisation = text_of(model["quantisation"]); !quantisation.empty())
    text += " " + quantisation;
  if (!model["context_tokens"].is_null()) text += fmt::format(", {} tokens", model["context_tokens"].dump());
  return text;
}

int print_assets(Session& session, const Json& rows) {
  session.print_list(rows,
                     {{"PATH", field("path")},
                      {"BYTES", size_of_asset},
                      {"SHARE", field("share")},
                      {"FOR", field("visibility")},
                      {"CID", field("cid")},
                      {"MODEL", model_text, true},
                      {"SHA256", field("sha256"), true}},
                     "cid");
  return exit_ok;
}

}  // namespace

int assets_ls(Session& session) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  Json rows = Json::array();
  while (true) {
    const auto page = ask(*client, "GET", fmt::format("/api/v1/manifest?first={}", rows.size()));
    if (!page) return session.fail(page.error());
    for (const Json& row : (*page)["assets"]) rows.push_back(row);
    if ((*page)["assets"].empty()) break;
  }
  const auto added = ask(*client, "GET", "/api/v1/assets");
  if (!added) return session.fail(added.error());
  for (const Json& one : *added) {
    if (!one["visibility"].is_null()) continue;  // Its files are listed.
    rows.push_back({{"path", one["path"]},
                    {"share", ""},
                    {"full_path", one["path"]},
                    {"cid", one["cid"]},
                    {"bytes", one["bytes"]},
                    {"sha256", ""},
                    {"visibility", "by CID"},
                    {"hub", nullptr}});
  }
  if (rows.empty()) {
    session.say(
        "nothing is shared: `mesh up --share DIR` shares a folder with the local network, `mesh assets add` "
        "a file or folder with whoever knows its CID");
  }
  return print_assets(session, rows);
}

int assets_find(Session& session, const std::string& text) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto answer = find_assets(*client, text);
  if (!answer) return session.fail(answer.error());
  const Json& holdings = (*answer)["holdings"];
  if (holdings.empty()) {
    std::string why = fmt::format("neither this node nor a peer that is connected shares a file called {}", text);
    if (answer->contains("dht")) why += "; " + text_of((*answer)["dht"]);
    return session.fail(exit_not_found, why);
  }
  Json rows = Json::array();
  for (const Json& holding : holdings) {
    Json row = holding["asset"];
    row["peer"] = holding["peer"];
    row["source"] = holding["source"];
    row["rtt_us"] = holding["rtt_us"];
    rows.push_back(std::move(row));
  }
  session.print_list(
      rows,
      {{"PATH", field("path")},
       {"BYTES", size_of_asset},
       {"HOLDER",
        [](const Json& row) { return row["source"] == "local" ? std::string("here") : short_peer(row["peer"]); }},
       {"RTT", [](const Json& row) { return row["source"] == "local" ? std::string("-") : rtt_text(row); }},
       {"CID", field("cid")},
       {"SHARE", field("share"), true},
       {"MODEL", model_text, true},
       {"SHA256", field("sha256"), true},
       {"PEER", field("peer"), true}},
      "cid");
  return exit_ok;
}

int assets_refresh(Session& session) {
  return with(session, "POST", "/api/v1/manifest/refresh", nullptr, [&](const Json& done) {
    if (!session.is_for_people()) {
      session.print(done);
      return exit_ok;
    }
    fmt::print("{} files ({} bytes) are shared; {} ({} bytes) had to be read\n", done["files"].dump(),
               done["bytes"].dump(), done["read_files"].dump(), done["read_bytes"].dump());
    for (const Json& problem : done["problems"]) {
      session.say(fmt::format("left out in share {}: {} ({})", text_of(problem["share"]), text_of(problem["path"]),
                              text_of(problem["why"])));
    }
    return exit_ok;
  });
}

namespace {

/// Asks for something to be done with content, and prints its CID.
int do_with_content(Session& session, const http::Client& client, std::string_view method, const std::string& path) {
  const auto answer = ask(client, method, path);
  if (!answer) return session.fail(answer.error());
  return print_cid(session, *answer);
}

std::string pin_path(const std::string& cid) { return "/api/v1/pins/" + http::percent_encode(cid); }

/// The one CID of those that a name stands for.
Result<std::string> only_cid(const std::string& name, const std::set<std::string>& cids, const std::string& none) {
  if (cids.empty()) return fail(ErrorCode::not_found, none);
  if (cids.size() == 1) return *cids.begin();
  std::string all;
  for (const std::string& cid : cids) all += "\n  " + cid;
  return fail(ErrorCode::conflict,
              fmt::format("{} different files are called {}; name one by its CID:{}", cids.size(), name, all));
}

/// Of what this node has.
Result<std::string> cid_called(const http::Client& client, const std::string& text) {
  if (Cid::from_text(text)) return text;
  MESH_LET(const Json answer, find_assets(client, text));
  std::set<std::string> cids;
  for (const Json& holding : answer["holdings"]) {
    if (holding["source"] == "local") cids.insert(text_of(holding["asset"]["cid"]));
  }
  return only_cid(
      text, cids,
      fmt::format("{} is no CID, and this node has no file of that name: fetch it with `mesh assets get`", text));
}

}  // namespace

int assets_pin(Session& session, const std::string& text) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto cid = cid_called(*client, text);
  if (!cid) return session.fail(cid.error());
  return do_with_content(session, *client, "PUT", pin_path(*cid));
}

int assets_unpin(Session& session, const std::string& text) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  if (Cid::from_text(text)) return do_with_content(session, *client, "DELETE", pin_path(text));
  const auto answer = ask(*client, "GET", "/api/v1/pins");
  if (!answer) return session.fail(answer.error());
  std::set<std::string> cids;
  for (const Json& pin : (*answer)["pins"]) {
    const std::string path = text_of(pin["path"]);
    if (path == text || path.ends_with("/" + text)) cids.insert(text_of(pin["cid"]));
  }
  const auto cid = only_cid(text, cids, fmt::format("{} is no CID, and nothing of that name is pinned", text));
  if (!cid) return session.fail(cid.error());
  return do_with_content(session, *client, "DELETE", pin_path(*cid));
}

int assets_pins(Session& session) {
  return with(session, "GET", "/api/v1/pins", nullptr, [&](const Json& answer) {
    session.print_list(answer["pins"], {{"CID", field("cid")}, {"PATH", field("path")}, {"SINCE", field("since")}},
                       "cid");
    return exit_ok;
  });
}

}  // namespace mesh::cli
