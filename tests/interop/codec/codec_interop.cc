// Answers questions about codecs for other implementations to compare with: one JSON object a line on stdin, one on
// stdout. {op, hex} with op dag-cbor, dag-pb or car: {ok, hex, cid?, error?} where hex is the value encoded again.
// {op: "file", hex}: the file's CID. {op: "cid", text}: the CID as base32.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "codec/car.h"
#include "codec/dagcbor.h"
#include "domain/asset/dagpb.h"
#include "domain/asset/unixfs.h"

namespace {

using mesh::Bytes;
using nlohmann::json;

json refused(const mesh::Error& error) { return {{"ok", false}, {"error", error.message}}; }

json block(mesh::Multicodec codec, const Bytes& encoded) {
  return {{"ok", true}, {"hex", mesh::to_hex(encoded)}, {"cid", mesh::Cid::of(codec, encoded).text()}};
}

json answer(const json& question) {
  const std::string op = question.at("op");
  if (op == "cid") {
    const auto cid = mesh::Cid::from_text(question.at("text").get<std::string>());
    return cid ? json{{"ok", true}, {"cid", cid->text()}} : refused(cid.error());
  }
  const Bytes bytes = mesh::from_hex(question.at("hex").get<std::string>()).value();
  if (op == "dag-cbor") {
    const auto value = mesh::dagcbor::decode(bytes);
    return value ? block(mesh::Multicodec::dag_cbor, mesh::dagcbor::encode(*value)) : refused(value.error());
  }
  if (op == "dag-pb") {
    const auto node = mesh::dagpb::decode(bytes);
    return node ? block(mesh::Multicodec::dag_pb, mesh::dagpb::encode(*node)) : refused(node.error());
  }
  if (op == "car") {
    const auto archive = mesh::car::read(bytes);
    return archive ? json{{"ok", true}, {"hex", mesh::to_hex(mesh::car::write(*archive))}} : refused(archive.error());
  }
  if (op == "file") {
    mesh::asset::FileBuilder builder([](const mesh::Cid&, const Bytes&) -> mesh::Status { return {}; });
    if (const mesh::Status fed = builder.feed(bytes); !fed) return refused(fed.error());
    const auto built = builder.finish();
    return built ? json{{"ok", true}, {"cid", built->cid.text()}, {"total_bytes", built->total_bytes}}
                 : refused(built.error());
  }
  return {{"ok", false}, {"error", "unknown op"}};
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) std::cout << answer(json::parse(line)).dump() << '\n';
  return 0;
}
