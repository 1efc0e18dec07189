// The public IPLD codec fixtures (tests/fixtures/codec): each block decodes, encodes to the same bytes, has its CID.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "codec/dagcbor.h"

namespace mesh {
namespace {

const std::filesystem::path fixtures = std::filesystem::path(MESH_SOURCE_DIR) / "tests/fixtures/codec";

Bytes contents_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(IpldFixtures, DagCborBlocks) {
  std::size_t blocks = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures / "blocks")) {
    if (entry.path().extension() != ".dag-cbor") continue;
    ++blocks;
    const Bytes bytes = contents_of(entry.path());
    const auto value = dagcbor::decode(bytes);
    ASSERT_TRUE(value.has_value()) << entry.path() << ": " << value.error().message;
    EXPECT_EQ(dagcbor::encode(*value), bytes) << entry.path();
    EXPECT_EQ(dagcbor::cid_of(bytes).text(), entry.path().stem().string());
  }
  EXPECT_GT(blocks, 100U);
}

TEST(IpldFixtures, DagCborRefused) {
  const auto cases = nlohmann::json::parse(contents_of(fixtures / "negative/dag-cbor.json"));
  ASSERT_FALSE(cases.empty());
  for (const auto& refused : cases) {
    EXPECT_FALSE(dagcbor::decode(from_hex(refused.at("hex").get<std::string>()).value()).has_value()) << refused.dump();
  }
}

}  // namespace
}  // namespace mesh
