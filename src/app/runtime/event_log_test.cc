#include "app/runtime/event_log.h"

#include <gtest/gtest.h>

namespace mesh::app {
namespace {

node::Notice notice(std::string text) { return {.kind = "test", .text = std::move(text)}; }

TEST(EventLog, NumbersGrowAndResumeWithoutAGap) {
  EventLog log(3);
  EXPECT_EQ(log.last(), std::uint64_t{3} << 32);
  for (int i = 0; i < 5; ++i) log.add(i, notice(std::to_string(i)));
  const auto all = log.since(0, 100);
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all.front().seq, (std::uint64_t{3} << 32) + 1);
  const auto rest = log.since(all[2].seq, 100);
  ASSERT_EQ(rest.size(), 2U);
  EXPECT_EQ(rest.front().notice.text, "3");
  EXPECT_EQ(log.since(all[0].seq, 2).size(), 2U);
  EXPECT_TRUE(log.complete_since(all.back().seq));
  EXPECT_TRUE(log.complete_since(all.front().seq - 1));
  EXPECT_FALSE(log.complete_since(all.front().seq - 2));  // Of an earlier start of the node.
  EXPECT_FALSE(log.complete_since(all.back().seq + 1));   // Not yet.
}

TEST(EventLog, TheOldestGoAtEitherBound) {
  EventLog by_count(0, 3, 1 << 20);
  for (int i = 0; i < 10; ++i) by_count.add(i, notice("x"));
  EXPECT_EQ(by_count.since(0, 100).size(), 3U);
  EXPECT_FALSE(by_count.complete_since(6));
  EXPECT_TRUE(by_count.complete_since(7));
  EventLog by_bytes(0, 1000, 10'000);
  for (int i = 0; i < 10; ++i) by_bytes.add(i, notice(std::string(4'000, 'x')));
  EXPECT_EQ(by_bytes.since(0, 100).size(), 2U);
  by_bytes.add(0, notice(std::string(50'000, 'x')));  // One alone may pass the bound; it is still told.
  EXPECT_EQ(by_bytes.since(0, 100).size(), 1U);
}

TEST(EventLog, SubscribersMayCancelAnyOfThem) {
  auto log = std::make_unique<EventLog>(0);
  int first = 0;
  int second = 0;
  EventLog::Subscription b;
  EventLog::Subscription a = log->subscribe([&](const LoggedEvent&) {
    ++first;
    b.cancel();
  });
  b = log->subscribe([&](const LoggedEvent&) { ++second; });
  EXPECT_EQ(log->subscribers(), 2U);
  log->add(0, notice("x"));
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 0);
  EventLog::Subscription moved = std::move(a);
  log->add(0, notice("x"));
  EXPECT_EQ(first, 2);
  log.reset();  // A subscription may outlive its log.
  moved.cancel();
}

}  // namespace
}  // namespace mesh::app
