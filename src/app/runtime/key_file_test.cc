#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "adapters/store/temporary_folder.h"
#include "app/runtime/runtime.h"

namespace mesh::app {
namespace {

namespace fs = std::filesystem;

TEST(KeyFile, IsDrawnOnceAndKept) {
  const store::TemporaryFolder folder;
  const store::TemporaryFolder home;
  const fs::path file = folder.path() / "node.key";
  const auto first = load_or_create_key(file, home.path());
  ASSERT_TRUE(first) << first.error().message;
  struct stat about{};
  ASSERT_EQ(::stat(file.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
  EXPECT_EQ(load_or_create_key(file, home.path())->seed, first->seed);
  const store::TemporaryFolder elsewhere;
  EXPECT_NE(load_or_create_key(elsewhere.path() / "node.key", elsewhere.path())->seed, first->seed);
  for (const auto& entry : fs::directory_iterator(folder.path())) EXPECT_EQ(entry.path(), file);
}

TEST(KeyFile, IsKnownToBeThisHomesOwnOrBrought) {
  const store::TemporaryFolder home;
  const fs::path file = home.path() / "node.key";
  EXPECT_FALSE(load_or_create_key(file, home.path())->was_brought);
  EXPECT_FALSE(load_or_create_key(file, home.path())->was_brought) << "at later starts, too";
  const store::TemporaryFolder other;
  EXPECT_TRUE(load_or_create_key(file, other.path())->was_brought) << "to a home that did not draw it";
  const store::TemporaryFolder third;
  (void)load_or_create_key(third.path() / "node.key", home.path());
  EXPECT_TRUE(load_or_create_key(file, home.path())->was_brought) << "the home has drawn another since";
}

TEST(KeyFile, ReadableByOthersIsRefusedWithTheWayOut) {
  const store::TemporaryFolder folder;
  const store::TemporaryFolder home;
  const fs::path file = folder.path() / "node.key";
  ASSERT_TRUE(load_or_create_key(file, home.path()));
  for (const auto mode : {0640U, 0604U, 0660U, 0644U}) {
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    const auto key = load_or_create_key(file, home.path());
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().code, ErrorCode::denied);
    EXPECT_NE(key.error().message.find("chmod 600"), std::string::npos);
  }
}

TEST(KeyFile, DamagedOrOddIsAnErrorAndStays) {
  const store::TemporaryFolder folder;
  const store::TemporaryFolder home;
  const fs::path file = folder.path() / "node.key";
  for (const std::string& content :
       {std::string(), std::string("zz"), std::string(63, 'a'), std::string(65, 'a'), std::string(500, 'a')}) {
    fs::remove(file);
    std::ofstream(file) << content;
    ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
    EXPECT_EQ(load_or_create_key(file, home.path()).error().code, ErrorCode::invalid) << content;
    EXPECT_EQ(fs::file_size(file), content.size());
  }
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(load_or_create_key(file, home.path()).error().code, ErrorCode::denied);
  fs::remove(file);
  fs::create_symlink("/dev/null", file);
  EXPECT_FALSE(load_or_create_key(file, home.path()));
  EXPECT_EQ(load_or_create_key(folder.path() / "none" / "node.key", home.path()).error().code, ErrorCode::storage);
}

}  // namespace
}  // namespace mesh::app
