#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "adapters/store/temporary_folder.h"
#include "app/runtime/key_file.h"

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

TEST(KeyFile, TheNextOneIsDrawnOnceAndThenTakesThePlace) {
  const store::TemporaryFolder home;
  const fs::path file = home.path() / "node.key";
  Seed old = load_or_create_key(file, home.path())->seed;
  std::vector<Seed> former;
  for (std::size_t i = 1; i <= 3; ++i) {
    EXPECT_FALSE(load_other_keys(home.path())->next);
    const auto next = next_key(home.path(), file);
    ASSERT_TRUE(next) << next.error().message;
    EXPECT_NE(*next, old);
    EXPECT_EQ(*next_key(home.path(), file), *next) << "the same until it is taken or dropped";
    EXPECT_EQ(load_other_keys(home.path())->next, *next);
    EXPECT_EQ(load_or_create_key(file, home.path())->seed, old) << "nothing has changed yet";
    ASSERT_TRUE(adopt_next_key(home.path(), file, old, *next));
    ASSERT_TRUE(adopt_next_key(home.path(), file, old, *next)) << "what a kill left is completed";
    former.insert(former.begin(), old);
    const auto now = load_or_create_key(file, home.path());
    EXPECT_EQ(now->seed, *next);
    EXPECT_FALSE(now->was_brought);
    EXPECT_EQ(load_other_keys(home.path())->former, former);
    for (const fs::path& one : {file, home.path() / ("node.key." + std::to_string(i))}) {
      struct stat about{};
      ASSERT_EQ(::stat(one.c_str(), &about), 0);
      EXPECT_EQ(about.st_mode & 0777, 0600U) << one;
    }
    old = *next;
  }
  fs::remove(home.path() / "node.key.1");
  EXPECT_EQ(load_other_keys(home.path())->former.size(), 2U) << "one may be moved away";
  const auto next = next_key(home.path(), file);
  ASSERT_TRUE(next);
  ASSERT_TRUE(drop_next_key(home.path()));
  ASSERT_TRUE(drop_next_key(home.path())) << "there is none any more";
  EXPECT_NE(*next_key(home.path(), file), *next);
}

TEST(KeyFile, WhatAKillLeftWhileTheNextOneTookThePlace) {
  const store::TemporaryFolder home;
  const fs::path file = home.path() / "node.key";
  const Seed old = load_or_create_key(file, home.path())->seed;
  const Seed next = *next_key(home.path(), file);
  // The old one is among the former ones and still in its place.
  fs::copy_file(file, home.path() / "node.key.1");
  ASSERT_TRUE(adopt_next_key(home.path(), file, old, next));
  EXPECT_EQ(load_other_keys(home.path())->former, std::vector{old}) << "once";
  // The next one is in its place, and still the next one.
  fs::copy_file(file, home.path() / "node.key.next");
  ASSERT_TRUE(adopt_next_key(home.path(), file, next, next));
  EXPECT_FALSE(load_other_keys(home.path())->next);
  EXPECT_EQ(load_or_create_key(file, home.path())->seed, next);
  EXPECT_EQ(load_other_keys(home.path())->former, std::vector{old});
}

TEST(KeyFile, OtherKeysAreAsPrivateAndAreCounted) {
  const store::TemporaryFolder home;
  const fs::path file = home.path() / "node.key";
  (void)load_or_create_key(file, home.path());
  ASSERT_TRUE(next_key(home.path(), file));
  ASSERT_EQ(::chmod((home.path() / "node.key.next").c_str(), 0640), 0);
  EXPECT_EQ(load_other_keys(home.path()).error().code, ErrorCode::denied);
  EXPECT_EQ(next_key(home.path(), file).error().code, ErrorCode::denied);
  fs::remove(home.path() / "node.key.next");
  fs::copy_file(file, home.path() / "node.key.64");
  const auto full = next_key(home.path(), file);
  ASSERT_FALSE(full);
  EXPECT_TRUE(full.error().message.starts_with("former-keys-full: ")) << full.error().message;
  std::ofstream(home.path() / "node.key.64") << "no key";
  EXPECT_EQ(load_other_keys(home.path()).error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace mesh::app
