#include "adapters/store/part_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "adapters/store/temporary_folder.h"

namespace mesh::store {
namespace {

namespace fs = std::filesystem;

Bytes content_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

struct PartFileTest : testing::Test {
  TemporaryFolder folder;
  fs::path target = folder.path() / "models" / "a.bin";
};

TEST_F(PartFileTest, PartsInAnyOrderAreAFileAtTheEnd) {
  auto file = PartFile::open(target, 6);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE((*file)->write(3, as_bytes("def")));
  EXPECT_FALSE(fs::exists(target));
  ASSERT_TRUE((*file)->write(0, as_bytes("abc")));
  ASSERT_TRUE((*file)->finish());
  EXPECT_EQ(content_of(target), to_bytes("abcdef"));
  EXPECT_FALSE(fs::exists(target.string() + ".part"));
}

TEST_F(PartFileTest, ALaterAttemptFindsWhatIsThere) {
  constexpr std::uint64_t page = 65'536;
  {
    auto file = PartFile::open(target, 4 * page);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write(page, as_bytes("here")));
  }
  auto file = PartFile::open(target, 4 * page);
  ASSERT_TRUE(file);
  Bytes four(4);
  EXPECT_TRUE(*(*file)->read(page, four));
  EXPECT_EQ(four, to_bytes("here"));
  EXPECT_FALSE(*(*file)->read(3 * page, four));  // Nothing was ever written there.
}

TEST_F(PartFileTest, TwoAtATimeIsAConflict) {
  auto file = PartFile::open(target, 6);
  ASSERT_TRUE(file);
  const auto again = PartFile::open(target, 6);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

TEST_F(PartFileTest, AFolderOfThatNameIsAConflict) {
  fs::create_directories(target);
  const auto file = PartFile::open(target, 6);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::conflict);
}

TEST_F(PartFileTest, TakesTheNameFromAnOlderFile) {
  fs::create_directories(target.parent_path());
  std::ofstream(target) << "older and longer";
  auto file = PartFile::open(target, 3);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write(0, as_bytes("new")));
  ASSERT_TRUE((*file)->finish());
  EXPECT_EQ(content_of(target), to_bytes("new"));
}

TEST_F(PartFileTest, MoreThanTheDiskHasIsRefusedAtOnce) {
  const auto file = PartFile::open(target, std::uint64_t{1} << 50);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::exhausted);
  EXPECT_FALSE(fs::exists(target.string() + ".part"));
}

TEST_F(PartFileTest, ALinkInItsPlaceIsNotFollowed) {
  fs::create_directories(target.parent_path());
  const fs::path elsewhere = folder.path() / "elsewhere";
  std::ofstream(elsewhere) << "mine";
  fs::create_symlink(elsewhere, target.string() + ".part");
  EXPECT_FALSE(PartFile::open(target, 3));
  EXPECT_EQ(content_of(elsewhere), to_bytes("mine"));
}

TEST_F(PartFileTest, RoomThatOthersWillTakeIsNotGivenTwice) {
  constexpr std::uint64_t mib = std::uint64_t{1} << 20;
  auto first = PartFile::open(target, mib);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ((*first)->unwritten(), mib);
  const auto free = fs::space(folder.path()).available;
  const fs::path next = folder.path() / "models" / "b.bin";
  for (const std::uint64_t spoken_for : {std::uint64_t{free}, ~std::uint64_t{0}}) {
    const auto second = PartFile::open(next, mib, spoken_for);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::exhausted);
    EXPECT_FALSE(fs::exists(next.string() + ".part"));
  }
  EXPECT_TRUE(PartFile::open(next, mib, (*first)->unwritten()));
  ASSERT_TRUE((*first)->write(0, Bytes(mib, 1)));
  EXPECT_EQ((*first)->unwritten(), 0U);
}

}  // namespace
}  // namespace mesh::store
