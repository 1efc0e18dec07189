// `mesh assets add --for`: sealed here, since that needs public keys alone; opened by the node, which has the secret one.
#include <fmt/format.h>

#include "app/cli/session.h"
#include "app/cli/upload.h"
#include "app/runtime/import.h"

namespace mesh::cli {
namespace {

constexpr std::string_view own_name = "self";

Result<std::vector<identity::NodeId>> parse_recipients(const http::Client& client,
                                                       const std::vector<std::string>& recipients) {
  std::vector<identity::NodeId> nodes;
  for (const std::string& recipient : recipients) {
    if (recipient == own_name) {
      MESH_LET(const identity::NodeId own, own_node(client));
      nodes.push_back(own);
      continue;
    }
    const auto node = identity::parse_node(recipient);
    if (!node)
      return fail(ErrorCode::invalid,
                  fmt::format("--for {}: name a node by its did:key:... or its PeerId, or say {} ({})", recipient,
                              own_name, node.error().message));
    nodes.push_back(*node);
  }
  return nodes;
}

}  // namespace

Result<identity::NodeId> own_node(const http::Client& client) {
  MESH_LET(const Json node, ask(client, "GET", "/api/v1/node"));
  return identity::parse_node(text_of(node["did"]));
}

int assets_add_sealed(Session& session, const std::string& path, const std::vector<std::string>& recipients) {
  const auto client = session.connect();
  if (!client) return session.fail_connect(client.error());
  const auto nodes = parse_recipients(*client, recipients);
  if (!nodes) return session.fail(nodes.error());
  Upload upload(*client);
  const auto built = app::import_sealed(path, *nodes, upload.sink());
  if (!built) return session.fail(built.error());
  if (const Status status = upload.declare(built->cid); !status) return session.fail(status.error());
  return print_cid(session, {{"cid", built->cid.text()}, {"bytes", built->content_bytes}});
}

}  // namespace mesh::cli
