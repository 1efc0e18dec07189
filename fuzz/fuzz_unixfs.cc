#include "domain/asset/folder.h"

#include "domain/asset/dagpb.h"
#include "domain/asset/unixfs_data.h"
#include "fuzz.h"

void mesh::fuzz::check(ByteView input) {
  const auto node = dagpb::decode(input);
  if (node) MESH_CHECK(equal(dagpb::encode(*node), input), "fuzz-dagpb-identity");
  const auto data = asset::decode_unixfs(input);
  if (data) MESH_CHECK(equal(asset::encode_unixfs(*data), input), "fuzz-unixfs-identity");

  for (const Multicodec codec : {Multicodec::raw, Multicodec::dag_pb, Multicodec::dag_cbor}) {
    const Cid cid = Cid::of(codec, input);
    const auto links = asset::links_of(cid, input);
    asset::DagWalk walk(cid);
    MESH_CHECK(walk.take(cid, input).has_value() == links.has_value(), "fuzz-walk-agrees");
    if (const auto parsed = asset::parse_node(cid, input)) {
      MESH_CHECK(links.has_value(), "fuzz-parsed-has-links");
      for (const asset::NodeLink& link : parsed->links) {
        MESH_CHECK(std::ranges::find(*links, link.cid) != links->end(), "fuzz-link-known");
        MESH_CHECK(parsed->kind != asset::NodeKind::directory || asset::check_name(link.name), "fuzz-name-checked");
      }
      // A folder that links to itself, as none can by hash, has an end all the same.
      const auto itself = [&](const Cid&) -> Result<asset::Node> { return *parsed; };
      const auto found = [&](const asset::NodeLink& entry) -> Status {
        const auto again = asset::find_entry(*parsed, itself, entry.name);
        MESH_CHECK(again && *again == entry, "fuzz-entry-found");
        return {};
      };
      const bool visited = asset::visit_folder(*parsed, itself, found).has_value();
      MESH_CHECK(asset::is_folder(parsed->kind) || !visited, "fuzz-only-folders");
    }
  }

  // Any bytes make a file that reads back by its node.
  asset::FileBuilder builder([](const Cid& cid, Bytes block) -> Status {
    MESH_CHECK(cid.matches(block), "fuzz-built-cid");
    return {};
  });
  MESH_CHECK(builder.feed(input).has_value(), "fuzz-built-feed");
  const auto built = builder.finish();
  MESH_CHECK(built && built->content_bytes == input.size(), "fuzz-built-size");
}
