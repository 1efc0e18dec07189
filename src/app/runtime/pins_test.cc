#include "app/runtime/pins.h"

#include <gtest/gtest.h>

#include <future>

#include "app/runtime/test_content.h"

namespace mesh::app {
namespace {

struct PinsTest : testing::Test {
  TestStore ours;
  std::unique_ptr<Pins> pins;
  Cid root = Cid::of(Multicodec::raw, as_bytes("a"));
  Cid other = Cid::of(Multicodec::raw, as_bytes("b"));

  PinsTest() { open(); }
  void open() {
    auto opened = Pins::open(*ours.node);
    ASSERT_TRUE(opened) << opened.error().message;
    pins = std::move(*opened);
  }
  Status pin(const Cid& cid, const std::string& path = {}, std::uint64_t since_ms = 5) {
    std::promise<Status> done;
    pins->pin({.root = cid, .path = path, .since_ms = since_ms}, [&](Status status) { done.set_value(status); });
    return done.get_future().get();
  }
  Status unpin(const Cid& cid) {
    std::promise<Status> done;
    pins->unpin(cid, [&](Status status) { done.set_value(status); });
    return done.get_future().get();
  }
};

TEST_F(PinsTest, HoldUntilTheyAreTakenAway) {
  EXPECT_FALSE(pins->is_pinned(root));
  ASSERT_TRUE(pin(root, "models/a.gguf"));
  EXPECT_TRUE(pins->is_pinned(root));
  EXPECT_FALSE(pins->is_pinned(other));
  ASSERT_TRUE(pin(root, "elsewhere", 9)) << "twice is once";
  ASSERT_TRUE(pin(other, std::string(2000, 'a')));
  pins.reset();
  open();
  EXPECT_TRUE(pins->is_pinned(root));
  const auto all = pins->list();
  ASSERT_EQ(all.size(), 2U);
  for (const Pins::Pin& known : all) {
    EXPECT_EQ(known.path, known.root == root ? "models/a.gguf" : "");
    EXPECT_EQ(known.since_ms, 5U);
  }
  ASSERT_TRUE(unpin(root));
  EXPECT_FALSE(pins->is_pinned(root));
  const Status again = unpin(root);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::not_found);
  pins.reset();
  open();
  EXPECT_FALSE(pins->is_pinned(root));
  EXPECT_TRUE(pins->is_pinned(other));
  EXPECT_FALSE(ours.blocks->is_declared(other)) << "a pin shows nothing";
}

}  // namespace
}  // namespace mesh::app
