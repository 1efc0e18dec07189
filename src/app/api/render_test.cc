#include "app/api/render.h"

#include <gtest/gtest.h>

namespace mesh::app {
namespace {

identity::NodeId node(std::uint8_t number) {
  std::array<std::uint8_t, 32> bytes{};
  bytes.fill(number);
  return identity::NodeId(bytes);
}

TEST(ReachStatusJson, SaysWhetherPeersCanDialThisNode) {
  ReachStatus status;
  status.reachability = "unknown";
  status.text = "nobody was there";
  EXPECT_EQ(reach_status_json(status)["text"], "not known whether peers can dial this node: nobody was there");
  status.reachability = "public";
  status.address = "/ip4/192.0.2.1/tcp/4001";
  EXPECT_EQ(reach_status_json(status)["text"], "peers can dial this node at /ip4/192.0.2.1/tcp/4001");
}

TEST(ReachStatusJson, APrivateNodeIsReachedThroughTheRelaysThatItHolds) {
  ReachStatus status;
  status.reachability = "private";
  status.relays.push_back(
      {.peer = node(1), .address = "/ip4/192.0.2.1/tcp/1", .held = false, .text = "it is full", .since_ms = 0});
  Json json = reach_status_json(status);
  EXPECT_NE(json["text"].get<std::string>().find("no relay among its peers takes it"), std::string::npos);
  EXPECT_EQ(json["relays"][0]["text"], "relay " + identity::short_name(node(1)) + " is not used: it is full");
  status.relays.push_back(
      {.peer = node(2), .address = "/ip4/192.0.2.2/tcp/1", .held = true, .text = "taken", .since_ms = 1000});
  json = reach_status_json(status);
  EXPECT_TRUE(json["text"].get<std::string>().ends_with("through relay " + identity::short_name(node(2))));
  EXPECT_EQ(json["relays"][1]["since"], "1970-01-01T00:00:01.000Z");
}

TEST(ReachStatusJson, HolePunchesSayHowTheyWent) {
  ReachStatus status;
  status.hole_punches.push_back({.peer = node(1), .done = true, .text = "made", .at_ms = 0});
  status.hole_punches.push_back({.peer = node(2), .done = false, .text = "no answer", .at_ms = 0});
  const Json json = reach_status_json(status);
  EXPECT_EQ(json["hole_punches"][0]["text"],
            "hole punching with " + identity::short_name(node(1)) + " succeeded: made");
  EXPECT_EQ(json["hole_punches"][1]["text"],
            "hole punching with " + identity::short_name(node(2)) + " failed, what goes there is relayed: no answer");
}

TEST(AssetJson, SaysWhatAModelIs) {
  asset::Asset asset;
  asset.share = "models";
  asset.path = "tiny.gguf";
  EXPECT_TRUE(asset_json(asset)["model"].is_null());
  asset.model = asset::ModelHeader{
      .format = asset::ModelFormat::gguf, .architecture = "llama", .parameters = 42, .quantisation = "F16"};
  const Json model = asset_json(asset)["model"];
  EXPECT_EQ(model["format"], "gguf");
  EXPECT_EQ(model["architecture"], "llama");
  EXPECT_EQ(model["parameters"], 42U);
  EXPECT_EQ(model["quantisation"], "F16");
  EXPECT_TRUE(model["context_tokens"].is_null());
}

}  // namespace
}  // namespace mesh::app
