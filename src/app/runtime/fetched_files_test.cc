#include "app/runtime/fetched_files.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "app/runtime/test_content.h"

namespace mesh::app {
namespace {

namespace fs = std::filesystem;

struct FetchedFilesTest : testing::Test {
  TestStore ours;
  fs::path folder = ours.folder.path() / "fetched";
  std::set<Cid> pinned;
  std::int64_t now_ms = 1'000'000;
  FetchedFiles::Limits limits{.quota_bytes = 100};
  std::shared_ptr<FetchedFiles> fetched;

  FetchedFilesTest() { open(); }
  void open() {
    fetched.reset();
    auto opened = FetchedFiles::open(
        folder, *ours.node, limits, [this](const Cid& root) { return pinned.contains(root); },
        [this] { return now_ms; });
    ASSERT_TRUE(opened) << opened.error().message;
    fetched = std::move(*opened);
  }
  static Cid cid(const std::string& name) { return Cid::of(Multicodec::raw, as_bytes(name)); }
  [[nodiscard]] fs::path place(const std::string& name) const { return folder / "lan" / name; }
  /// The names of what had to go.
  Result<std::vector<std::string>> reserve(const std::string& name, std::uint64_t bytes) {
    MESH_LET(const auto removed, fetched->reserve(cid(name), bytes));
    std::vector<std::string> names;
    for (const FetchedFiles::Entry& entry : removed) names.push_back(entry.path);
    return names;
  }
  /// A file that was fetched, one second after what was before.
  void fetch(const std::string& name, std::uint64_t bytes) {
    ASSERT_TRUE(reserve(name, bytes));
    now_ms += 1000;
    fs::create_directories(place(name).parent_path());
    std::ofstream(place(name)) << std::string(bytes, 'x');
    store::WriteBatch batch;
    fetched->keep(cid(name), place(name), bytes, batch);
    ASSERT_TRUE(ours.node->commit_and_wait(std::move(batch)));
  }
  [[nodiscard]] bool is_there(const std::string& name) const { return fs::exists(place(name)); }
};

using Names = std::vector<std::string>;

TEST_F(FetchedFilesTest, WhatWasUsedLeastRecentlyGoesFirst) {
  fetch("a", 40);
  fetch("b", 30);
  fetch("c", 30);
  EXPECT_EQ(fetched->bytes(), 100U);
  now_ms += 1000;
  fetched->note_used(cid("a"));
  EXPECT_EQ(*reserve("d", 20), Names{"lan/b"});
  EXPECT_FALSE(is_there("b"));
  EXPECT_TRUE(is_there("a") && is_there("c"));
  EXPECT_EQ(fetched->bytes(), 90U);
  EXPECT_EQ(*reserve("e", 10), Names{});
  EXPECT_EQ(*reserve("f", 60), (Names{"lan/c", "lan/a"}));
  EXPECT_FALSE(fetched->knows(cid("a")));
  EXPECT_TRUE(fetched->knows(cid("d")));
}

TEST_F(FetchedFilesTest, PinnedServedAndReadFilesStay) {
  fetch("pinned", 30);
  fetch("served", 30);
  fetch("read", 30);
  pinned.insert(cid("pinned"));
  now_ms += 100'000;
  fetched->note_served(cid("served"));
  FetchedFiles::Use use = fetched->use(cid("read"));
  const auto refused = reserve("new", 20);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::exhausted);
  EXPECT_TRUE(refused.error().message.contains("only 0 of these")) << refused.error().message;
  EXPECT_EQ(fetched->bytes(), 90U) << "what was refused reserves nothing";
  EXPECT_FALSE(fetched->knows(cid("new")));
  const FetchedFiles::Use second = fetched->use(cid("read"));
  use.reset();
  EXPECT_FALSE(reserve("new", 20)) << "somebody else reads it still";
  now_ms += 60'000;
  EXPECT_EQ(*reserve("new", 20), Names{"lan/served"}) << "it is not being served any more";
  EXPECT_TRUE(is_there("pinned") && is_there("read"));
  pinned.clear();
  EXPECT_EQ(*reserve("next", 50), Names{"lan/pinned"});
}

TEST_F(FetchedFilesTest, NothingIsRemovedWhereItDoesNotHelp) {
  fetch("a", 40);
  fetch("b", 40);
  pinned.insert(cid("b"));
  EXPECT_FALSE(reserve("c", 70));
  EXPECT_TRUE(is_there("a"));
  const auto too_large = reserve("d", 101);
  ASSERT_FALSE(too_large);
  EXPECT_TRUE(too_large.error().message.contains("fetched-gib"));
  EXPECT_FALSE(reserve("e", ~std::uint64_t{0}));
  EXPECT_TRUE(is_there("a") && is_there("b"));
  EXPECT_EQ(*reserve("f", 60), Names{"lan/a"});
}

TEST_F(FetchedFilesTest, WhatIsReservedIsTakenUntilItIsGivenBack) {
  EXPECT_TRUE(reserve("a", 60));
  EXPECT_TRUE(reserve("a", 60)) << "once more is no more";
  EXPECT_EQ(fetched->bytes(), 60U);
  EXPECT_FALSE(reserve("b", 50));
  EXPECT_TRUE(reserve("a", 90)) << "it is larger than it said";
  EXPECT_FALSE(reserve("b", 20));
  EXPECT_FALSE(reserve("a", 110));
  EXPECT_EQ(fetched->bytes(), 90U) << "what it had it still has";
  fetched->release(cid("a"));
  EXPECT_EQ(fetched->bytes(), 0U);
  EXPECT_TRUE(reserve("b", 100));
}

TEST_F(FetchedFilesTest, ALaterProcessKnowsWhatIsThere) {
  fetch("a", 40);
  fetch("b", 40);
  now_ms += 7'200'000;
  fetched->note_used(cid("a"));  // More than an hour later: written down.
  store::WriteBatch marker;
  marker.put.emplace_back("marker", Bytes{});
  ASSERT_TRUE(ours.node->commit_and_wait(std::move(marker)));
  open();
  EXPECT_EQ(fetched->bytes(), 80U);
  EXPECT_TRUE(fetched->knows(cid("a")));
  EXPECT_EQ(*reserve("c", 30), Names{"lan/b"});
}

TEST_F(FetchedFilesTest, WhatTheOwnerRemovedCountsNoMore) {
  fetch("a", 60);
  fetch("b", 30);
  fs::remove(place("a"));
  EXPECT_EQ(*reserve("c", 60), Names{});
  EXPECT_FALSE(fetched->knows(cid("a")));
  EXPECT_TRUE(is_there("b"));
}

TEST_F(FetchedFilesTest, AFileInPlaceOfAnotherTakesItsRoom) {
  fetch("a", 40);
  ASSERT_TRUE(reserve("other", 30));
  store::WriteBatch batch;
  fetched->keep(cid("other"), place("a"), 30, batch);
  ASSERT_TRUE(ours.node->commit_and_wait(std::move(batch)));
  EXPECT_EQ(fetched->bytes(), 30U);
  EXPECT_FALSE(fetched->knows(cid("a")));
  fetched->note_used(cid("a"));
  open();
  EXPECT_EQ(fetched->bytes(), 30U);
}

TEST_F(FetchedFilesTest, WithoutAQuotaEverythingStays) {
  limits.quota_bytes = 0;
  open();
  fetch("a", 1000);
  EXPECT_EQ(*reserve("b", std::uint64_t{1} << 62), Names{});
  EXPECT_TRUE(is_there("a"));
}

TEST_F(FetchedFilesTest, SoManyAreRememberedAndNoMore) {
  limits.max_files = 3;
  open();
  for (const char* name : {"a", "b", "c", "d"}) fetch(name, 10);
  EXPECT_FALSE(fetched->knows(cid("a")));
  EXPECT_TRUE(is_there("a")) << "it is kept, and counts no more";
  EXPECT_EQ(fetched->bytes(), 30U);
  open();
  EXPECT_EQ(fetched->bytes(), 30U);
}

TEST_F(FetchedFilesTest, AUseMayOutliveIt) {
  fetch("a", 10);
  const FetchedFiles::Use use = fetched->use(cid("a"));
  fetched.reset();
  EXPECT_TRUE(use);
}

}  // namespace
}  // namespace mesh::app
