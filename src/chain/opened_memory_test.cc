#include "chain/opened_memory.h"

#include <gtest/gtest.h>

#include "codec/ed25519.h"

namespace mesh::chain {
namespace {

ledger::Opened transfer(std::uint64_t number, std::size_t bytes = 200) {
  ledger::Transaction one;
  one.sequence = number;
  one.envelope = Bytes(bytes, static_cast<std::uint8_t>(number));
  return ledger::Opened::trusted(std::move(one));
}
/// A digest of this set; `number` makes it another one.
Digest digest_in(std::uint16_t set, std::uint64_t number) {
  Bytes bytes = to_bytes(sha256(big_endian(number)).view());
  bytes[0] = static_cast<std::uint8_t>(set >> 8);
  bytes[1] = static_cast<std::uint8_t>(set);
  return *Digest::from(bytes);
}

TEST(OpenedMemory, KnowsWhatItWasGivenByTheWholeDigest) {
  OpenedMemory memory;
  EXPECT_EQ(memory.find(digest_in(7, 1)), nullptr);
  memory.remember(digest_in(7, 1), transfer(1));
  ASSERT_NE(memory.find(digest_in(7, 1)), nullptr);
  EXPECT_EQ((*memory.find(digest_in(7, 1)))->sequence, 1U);
  EXPECT_EQ(memory.find(digest_in(7, 2)), nullptr);
  EXPECT_EQ(memory.find(digest_in(8, 1)), nullptr);
}

TEST(OpenedMemory, ASetThatIsFullForgetsTheOldestAlone) {
  OpenedMemory memory;
  memory.remember(digest_in(8, 0), transfer(0));
  for (std::uint64_t i = 0; i <= OpenedMemory::ways; ++i) memory.remember(digest_in(7, i), transfer(i));
  memory.remember(digest_in(7, 1), transfer(1));  // What is there already changes nothing.
  EXPECT_EQ(memory.find(digest_in(7, 0)), nullptr);
  for (std::uint64_t i = 1; i <= OpenedMemory::ways; ++i) EXPECT_NE(memory.find(digest_in(7, i)), nullptr) << i;
  EXPECT_NE(memory.find(digest_in(8, 0)), nullptr);
}

TEST(OpenedMemory, BeginsAnewBeforeItIsTooLarge) {
  OpenedMemory memory;
  constexpr std::size_t large = std::size_t{1} << 20;
  constexpr std::uint64_t fit = OpenedMemory::max_bytes / large;
  for (std::uint64_t i = 0; i < fit; ++i)
    memory.remember(digest_in(static_cast<std::uint16_t>(i), i), transfer(i, large));
  EXPECT_NE(memory.find(digest_in(0, 0)), nullptr);
  memory.remember(digest_in(99, 99), transfer(99));
  EXPECT_EQ(memory.find(digest_in(0, 0)), nullptr);
  EXPECT_NE(memory.find(digest_in(99, 99)), nullptr);
  // And has room for as many again.
  for (std::uint64_t i = 0; i + 1 < fit; ++i)
    memory.remember(digest_in(static_cast<std::uint16_t>(i), i), transfer(i, large));
  EXPECT_NE(memory.find(digest_in(99, 99)), nullptr);
}

}  // namespace
}  // namespace mesh::chain
