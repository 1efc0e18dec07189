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
  const fs::path file = folder.path() / "node.key";
  const auto first = load_or_create_key(file);
  ASSERT_TRUE(first) << first.error().message;
  struct stat about{};
  ASSERT_EQ(::stat(file.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
  EXPECT_EQ(*load_or_create_key(file), *first);
  const store::TemporaryFolder elsewhere;
  EXPECT_NE(*load_or_create_key(elsewhere.path() / "node.key"), *first);
  for (const auto& entry : fs::directory_iterator(folder.path())) EXPECT_EQ(entry.path(), file);
}

TEST(KeyFile, ReadableByOthersIsRefusedWithTheWayOut) {
  const store::TemporaryFolder folder;
  const fs::path file = folder.path() / "node.key";
  ASSERT_TRUE(load_or_create_key(file));
  for (const auto mode : {0640U, 0604U, 0660U, 0644U}) {
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    const auto key = load_or_create_key(file);
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().code, ErrorCode::denied);
    EXPECT_NE(key.error().message.find("chmod 600"), std::string::npos);
  }
}

TEST(KeyFile, DamagedOrOddIsAnErrorAndStays) {
  const store::TemporaryFolder folder;
  const fs::path file = folder.path() / "node.key";
  for (const std::string& content :
       {std::string(), std::string("zz"), std::string(63, 'a'), std::string(65, 'a'), std::string(500, 'a')}) {
    fs::remove(file);
    std::ofstream(file) << content;
    ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
    EXPECT_EQ(load_or_create_key(file).error().code, ErrorCode::invalid) << content;
    EXPECT_EQ(fs::file_size(file), content.size());
  }
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(load_or_create_key(file).error().code, ErrorCode::denied);
  fs::remove(file);
  fs::create_symlink("/dev/null", file);
  EXPECT_FALSE(load_or_create_key(file));
  EXPECT_EQ(load_or_create_key(folder.path() / "none" / "node.key").error().code, ErrorCode::storage);
}

}  // namespace
}  // namespace mesh::app
