// Bytes, errors, the bounded queue and MESH_CHECK.
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "base/bounded_queue.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "base/time.h"

namespace mesh {
namespace {

struct FourTag;
using Four = FixedBytes<FourTag, 4>;

TEST(Hex, IsLowerCaseAndReadsBothCases) {
  EXPECT_EQ(to_hex(Bytes{0x00, 0x0f, 0xa0, 0xff}), "000fa0ff");
  EXPECT_EQ(to_hex({}), "");
  EXPECT_EQ(from_hex("000fa0ff"), (Bytes{0x00, 0x0f, 0xa0, 0xff}));
  EXPECT_EQ(from_hex("aBCd"), (Bytes{0xab, 0xcd}));
  EXPECT_EQ(from_hex(""), Bytes{});
}

TEST(Hex, RefusesWhatIsNone) {
  for (const std::string_view text : {"0", "abc", "0x12", "zz", "1 ", " 1", "1\n", "\xc3\xa9", "g0", "0G", "-1"})
    EXPECT_FALSE(from_hex(text).has_value()) << text;
  EXPECT_FALSE(from_hex(std::string_view("1\0", 2)).has_value());
}

TEST(Hex, EveryByteGoesThereAndBack) {
  Bytes all(256);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint8_t>(i);
  EXPECT_EQ(from_hex(to_hex(all)), all);
}

TEST(FixedBytes, AreOfTheirLengthAlone) {
  for (std::size_t size = 0; size < 9; ++size)
    EXPECT_EQ(Four::from(Bytes(size, 7)).has_value(), size == 4) << size << " bytes";
  const Four value = *Four::from(Bytes{1, 2, 3, 4});
  EXPECT_EQ(value.hex(), "01020304");
  EXPECT_TRUE(equal(value.view(), Bytes{1, 2, 3, 4}));
  EXPECT_EQ(Four().hex(), "00000000");
  EXPECT_LT(value, *Four::from(Bytes{1, 2, 3, 5}));
  EXPECT_LT(value, *Four::from(Bytes{2, 0, 0, 0}));
}

TEST(Bytes, TextIsItsBytes) {
  const std::string_view text("a\0b\xff", 4);
  EXPECT_EQ(to_bytes(text), (Bytes{'a', 0, 'b', 0xff}));
  EXPECT_EQ(as_text(as_bytes(text)), text);
  Bytes out{9};
  append(out, as_bytes("xy"));
  append(out, {});
  EXPECT_EQ(out, (Bytes{9, 'x', 'y'}));
  EXPECT_FALSE(equal(out, Bytes{9, 'x'}));
}

Result<int> half_of(int value) {
  if (value % 2 != 0) return fail(ErrorCode::invalid, std::to_string(value) + " is odd");
  return value / 2;
}
Result<int> quarter_of(int value) {
  MESH_LET(const int half, half_of(value));
  MESH_TRY(half_of(half));
  return half / 2;
}

TEST(Error, TravelsUpAsItIs) {
  EXPECT_EQ(quarter_of(8), 2);
  EXPECT_EQ(quarter_of(6).error(), (Error{ErrorCode::invalid, "3 is odd"}));
  EXPECT_EQ(quarter_of(5).error(), (Error{ErrorCode::invalid, "5 is odd"}));
}

TEST(Error, WrapPutsTheContextBefore) {
  const std::unexpected<Error> wrapped = wrap("the outer", {ErrorCode::storage, "the inner"});
  EXPECT_EQ(wrapped.error(), (Error{ErrorCode::storage, "the outer: the inner"}));
}

TEST(Error, NamesAreStableAndDifferent) {
  // On the wire and in JSON: never change one.
  const std::vector<std::pair<ErrorCode, std::string_view>> names{
      {ErrorCode::invalid, "invalid"},     {ErrorCode::unauthorised, "unauthorised"},
      {ErrorCode::not_found, "not-found"}, {ErrorCode::exhausted, "exhausted"},
      {ErrorCode::timeout, "timeout"},     {ErrorCode::unavailable, "unavailable"},
      {ErrorCode::conflict, "conflict"},   {ErrorCode::denied, "denied"},
      {ErrorCode::storage, "storage"},     {ErrorCode::unsupported, "unsupported"},
      {ErrorCode::internal, "internal"},
  };
  for (const auto& [code, name] : names) EXPECT_EQ(name_of(code), name);
}

TEST(BoundedQueue, RefusesPastItsBoundAndLeavesTheValue) {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  EXPECT_TRUE(queue.try_push(std::make_unique<int>(1)));
  EXPECT_TRUE(queue.try_push(std::make_unique<int>(2)));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(queue.try_push(std::move(third)));
  ASSERT_NE(third, nullptr) << "what was not taken is still the caller's";  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(**queue.try_pop(), 1) << "first in, first out";
  EXPECT_TRUE(queue.try_push(std::move(third)));
  EXPECT_EQ(**queue.try_pop(), 2);
  EXPECT_EQ(**queue.try_pop(), 3);
  EXPECT_FALSE(queue.try_pop().has_value());
}

TEST(BoundedQueue, OfNoLengthTakesNothing) {
  BoundedQueue<int> queue(0);
  EXPECT_FALSE(queue.try_push(1));
}

TEST(BoundedQueue, ClosedGivesWhatItHasAndTakesNoMore) {
  BoundedQueue<int> queue(4);
  EXPECT_TRUE(queue.try_push(1));
  queue.close();
  EXPECT_FALSE(queue.try_push(2));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueue, CloseLetsAllWhoWaitGo) {
  BoundedQueue<int> queue(1);
  std::optional<int> first = 1;
  std::optional<int> second = 1;
  std::thread one([&] { first = queue.pop(); });
  std::thread two([&] { second = queue.pop(); });
  queue.close();
  one.join();
  two.join();
  EXPECT_EQ(first, std::nullopt);
  EXPECT_EQ(second, std::nullopt);
}

TEST(BoundedQueue, NothingIsLostOrDoubledBetweenThreads) {
  constexpr int each = 2000;
  BoundedQueue<int> queue(3);
  std::vector<int> seen(2 * each, 0);
  const auto produce = [&](int from) {
    for (int i = from; i < from + each; ++i) {
      while (!queue.try_push(int{i})) std::this_thread::yield();
    }
  };
  std::thread low(produce, 0);
  std::thread high(produce, each);
  int last_low = -1;
  for (int i = 0; i < 2 * each; ++i) {
    const int value = *queue.pop();
    ++seen[static_cast<std::size_t>(value)];
    if (value >= each) continue;
    EXPECT_GT(value, last_low) << "each producer's values stay in order";
    last_low = value;
  }
  low.join();
  high.join();
  EXPECT_TRUE(std::ranges::all_of(seen, [](int count) { return count == 1; }));
}

TEST(CheckDeath, SaysItsNameAndThatItIsOurBug) {
  const int two = 2;
  MESH_CHECK(two == 2, "never-seen");
  EXPECT_DEATH(MESH_CHECK(two == 3, "base-test-check"), "\"base-test-check\" failed: two == 3 .*bug in Meshwork");
}

TEST(Time, InstantsCountMicroseconds) {
  EXPECT_EQ((Instant() + seconds(1)).time_since_epoch().count(), 1'000'000);
  EXPECT_LT(WallTime{1}, WallTime{2});
}

}  // namespace
}  // namespace mesh
