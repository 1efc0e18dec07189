#include "app/runtime/pacer.h"

#include <gtest/gtest.h>

#include "app/runtime/test_content.h"

namespace mesh::app {
namespace {

using Way = Pacer::Way;

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t rate = 64 * kib;  // A second's worth is the burst.

struct PacerTest : testing::Test {
  Instant now{};
  Pacer pacer(const Pacer::Rates& rates) {
    return {rates, [this] { return now; }};
  }
};

TEST_F(PacerTest, WithoutBoundsNothingWaits) {
  Pacer free = pacer({});
  EXPECT_FALSE(free.bounds(Way::up));
  EXPECT_FALSE(free.bounds(Way::down));
  EXPECT_EQ(free.take(Way::up, test_node(1), 1'000'000), Duration(0));
}

TEST_F(PacerTest, TheWholeIsSharedByAllPeers) {
  Pacer paced = pacer({.up = rate});
  EXPECT_TRUE(paced.bounds(Way::up));
  EXPECT_FALSE(paced.bounds(Way::down));
  EXPECT_EQ(paced.take(Way::up, test_node(1), 64 * kib), Duration(0));
  EXPECT_EQ(paced.take(Way::up, test_node(2), 32 * kib), milliseconds(500));
  EXPECT_EQ(paced.take(Way::up, test_node(1), 32 * kib), milliseconds(1000));
  EXPECT_EQ(paced.take(Way::down, test_node(1), 999 * kib), Duration(0)) << "the other way is free";
  EXPECT_EQ(paced.figures().up, 128 * kib);
  EXPECT_EQ(paced.figures().down, 999 * kib);
  EXPECT_EQ(paced.figures().waited, milliseconds(1500));
}

TEST_F(PacerTest, PeersHaveBoundsOfTheirOwn) {
  Pacer paced = pacer({.down = 10 * rate, .down_per_peer = rate});
  EXPECT_EQ(paced.take(Way::down, test_node(1), 64 * kib), Duration(0));
  EXPECT_EQ(paced.take(Way::down, test_node(1), 64 * kib), seconds(1));
  EXPECT_EQ(paced.take(Way::down, test_node(2), 64 * kib), milliseconds(200)) << "the whole, by what three took";
  now += seconds(10);
  EXPECT_EQ(paced.take(Way::down, test_node(1), 64 * kib), Duration(0));
}

TEST_F(PacerTest, ManyPeersAreForgottenInTheEnd) {
  Pacer paced = pacer({.up_per_peer = rate});
  const auto node = [](std::size_t number) {
    std::array<std::uint8_t, 32> bytes{};
    bytes[0] = static_cast<std::uint8_t>(number);
    bytes[1] = static_cast<std::uint8_t>(number >> 8);
    return identity::NodeId(bytes);
  };
  for (std::size_t i = 0; i < Pacer::max_peers; ++i) EXPECT_EQ(paced.take(Way::up, node(i), 128 * kib), seconds(1));
  now += seconds(1);
  EXPECT_EQ(paced.take(Way::up, node(1), 0), Duration(0));
  EXPECT_EQ(paced.take(Way::up, node(1), 64 * kib), seconds(1)) << "it is known still";
  EXPECT_EQ(paced.take(Way::up, node(Pacer::max_peers), 64 * kib), Duration(0)) << "for it another one goes";
  now += seconds(10);
  EXPECT_EQ(paced.take(Way::up, node(Pacer::max_peers + 1), 64 * kib), Duration(0));
}

}  // namespace
}  // namespace mesh::app
