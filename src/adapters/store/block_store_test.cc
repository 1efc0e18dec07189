#include "adapters/store/block_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <random>
#include <thread>

#include "adapters/store/sqlite.h"
#include "adapters/store/temporary_folder.h"
#include "codec/car.h"
#include "domain/asset/unixfs.h"

namespace mesh::store {
namespace {

namespace fs = std::filesystem;

struct Opened {
  std::unique_ptr<NodeStore> node;
  std::unique_ptr<BlockStore> blocks;
};

/// Every block but an empty one is a file.
constexpr BlockStoreOptions as_files{.max_small_bytes = 0};

Opened open(const fs::path& home, BlockStoreOptions options = {}) {
  Opened opened;
  auto node = NodeStore::open(home);
  EXPECT_TRUE(node) << node.error().message;
  opened.node = std::move(*node);
  auto blocks = BlockStore::open(*opened.node, options);
  EXPECT_TRUE(blocks) << blocks.error().message;
  opened.blocks = std::move(*blocks);
  return opened;
}

Bytes content(std::uint64_t number, std::size_t size = 100) {
  Bytes bytes = to_bytes(fmt::format("block {}", number));
  bytes.resize(size, static_cast<std::uint8_t>(number));
  return bytes;
}
Cid raw(ByteView bytes) { return Cid::of(Multicodec::raw, bytes); }

fs::path file_of(const fs::path& home, const Cid& cid) {
  return home / "blocks" / cid.digest().hex().substr(0, 2) / cid.text();
}

/// Does something to the small blocks of a home that no store has open.
void change_small_blocks(const fs::path& home, std::string_view sql) {
  auto database = sqlite::Connection::open(home / "blocks" / "small.db", sqlite::Connection::Mode::read_write);
  ASSERT_TRUE(database);
  const Status done = database->run(sql);
  ASSERT_TRUE(done) << sql << ": " << done.error().message;
}

constexpr std::string_view add_every_row_again =
    "INSERT INTO block(cid, size, written_s) SELECT cid, size, written_s FROM block;"
    "INSERT INTO content(bytes) SELECT bytes FROM content";

void keeps_across_restarts(const BlockStoreOptions& options, bool files) {
  const TemporaryFolder folder;
  const Bytes a = content(1);
  const Bytes b = content(2);
  const Bytes none;
  {
    const auto [node, blocks] = open(folder.path(), options);
    ASSERT_TRUE(blocks->put(raw(a), a));
    ASSERT_TRUE(blocks->put(raw(b), b));
    ASSERT_TRUE(blocks->sync());
    ASSERT_TRUE(blocks->put(raw(a), a));
    ASSERT_TRUE(blocks->put(raw(none), none));
    EXPECT_EQ(blocks->total_bytes(), 200U);
  }
  const auto [node, blocks] = open(folder.path(), options);
  EXPECT_EQ(blocks->count(), 3U);
  EXPECT_EQ(blocks->total_bytes(), 200U);
  EXPECT_EQ(**blocks->get(raw(a)), a);
  EXPECT_EQ(**blocks->get(raw(b)), b);
  EXPECT_TRUE((*blocks->get(raw(none)))->empty());
  EXPECT_EQ(blocks->size(raw(b)), 100U);
  EXPECT_LE(std::abs(*blocks->written_s(raw(b)) - std::time(nullptr)), 60);
  EXPECT_EQ(fs::exists(file_of(folder.path(), raw(a))), files);
  std::vector<Cid> seen;
  blocks->for_each([&](const Cid& cid, std::uint64_t) {
    seen.push_back(cid);
    EXPECT_TRUE(blocks->has(cid));
  });
  EXPECT_EQ(seen.size(), 3U);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(blocks->erase(raw(a)), true);
  EXPECT_EQ(blocks->erase(raw(a)), false);
  EXPECT_FALSE(blocks->has(raw(a)));
  EXPECT_EQ(blocks->get(raw(a)).error().code, ErrorCode::not_found);
  EXPECT_EQ(blocks->size(raw(a)).error().code, ErrorCode::not_found);
  EXPECT_EQ(blocks->written_s(raw(a)).error().code, ErrorCode::not_found);
  EXPECT_EQ(blocks->total_bytes(), 100U);
  EXPECT_FALSE(fs::exists(file_of(folder.path(), raw(a))));
  EXPECT_TRUE(blocks->shrink());
  EXPECT_EQ(**blocks->get(raw(b)), b);
}

TEST(BlockStore, KeepsBlocksAcrossRestarts) {
  keeps_across_restarts({}, false);
  keeps_across_restarts(as_files, true);
}

TEST(BlockStore, ReadsWhatWasKeptWithAnotherBound) {
  const TemporaryFolder folder;
  {
    const auto [node, blocks] = open(folder.path(), as_files);
    ASSERT_TRUE(blocks->put(raw(content(1)), content(1)));
  }
  {
    const auto [node, blocks] = open(folder.path());
    EXPECT_EQ(**blocks->get(raw(content(1))), content(1));
    ASSERT_TRUE(blocks->put(raw(content(2)), content(2)));
    ASSERT_TRUE(blocks->put(raw(content(3, 16'385)), content(3, 16'385)));
    EXPECT_TRUE(fs::exists(file_of(folder.path(), raw(content(3, 16'385)))));
    ASSERT_TRUE(blocks->put(raw(content(4, 16'384)), content(4, 16'384)));
    EXPECT_FALSE(fs::exists(file_of(folder.path(), raw(content(4, 16'384)))));
  }
  const auto [node, blocks] = open(folder.path(), as_files);
  EXPECT_EQ(**blocks->get(raw(content(2))), content(2));
  EXPECT_EQ(**blocks->get(raw(content(4, 16'384))), content(4, 16'384));
  EXPECT_EQ(blocks->count(), 4U);
}

TEST(BlockStore, CountsARowThatWasAddedTwiceOnce) {
  const TemporaryFolder folder;
  {
    ASSERT_TRUE(open(folder.path()).blocks->put(raw(content(1)), content(1)));
  }
  change_small_blocks(folder.path(), add_every_row_again);
  for (int i = 0; i < 2; ++i) {
    const auto [node, blocks] = open(folder.path());
    EXPECT_EQ(blocks->count(), 1U);
    EXPECT_EQ(blocks->total_bytes(), 100U);
    EXPECT_EQ(**blocks->get(raw(content(1))), content(1));
  }
  auto database = sqlite::Connection::open(folder.path() / "blocks" / "small.db", sqlite::Connection::Mode::read_only);
  EXPECT_EQ(database->query_integer("SELECT count(*) FROM block"), 1);
  EXPECT_EQ(database->query_integer("SELECT count(*) FROM content"), 1);
}

TEST(BlockStore, GivesTheDiskBackWhatSmallBlocksTook) {
  const TemporaryFolder folder;
  const fs::path database = folder.path() / "blocks" / "small.db";
  {
    const auto [node, blocks] = open(folder.path());
    for (std::uint64_t n = 0; n < 500; ++n) ASSERT_TRUE(blocks->put(raw(content(n, 10'000)), content(n, 10'000)));
  }
  EXPECT_GT(fs::file_size(database), 5'000'000U);
  {
    const auto [node, blocks] = open(folder.path());
    for (std::uint64_t n = 1; n < 500; ++n) ASSERT_EQ(blocks->erase(raw(content(n, 10'000))), true);
    ASSERT_TRUE(blocks->shrink());
    EXPECT_EQ(**blocks->get(raw(content(0, 10'000))), content(0, 10'000));
  }
  EXPECT_LT(fs::file_size(database), 100'000U);
}

TEST(BlockStore, NamesADatabaseThatIsNotItsOwn) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "blocks" / "small.db";
  auto node = NodeStore::open(folder.path());
  ASSERT_TRUE(node);
  fs::create_directory(folder.path() / "blocks");
  const auto refused = [&](ErrorCode code, std::string_view text) {
    const auto blocks = BlockStore::open(**node);
    ASSERT_FALSE(blocks);
    EXPECT_EQ(blocks.error().code, code);
    EXPECT_NE(blocks.error().message.find(text), std::string::npos) << blocks.error().message;
  };
  std::ofstream(file) << std::string(5'000, 'x');
  refused(ErrorCode::storage, "damaged");
  fs::remove(file);
  change_small_blocks(folder.path(), "PRAGMA application_id = 7; CREATE TABLE t(x)");
  refused(ErrorCode::storage, "another program's");
  fs::remove(file);
  change_small_blocks(folder.path(), "PRAGMA application_id = 0x6d657368; PRAGMA user_version = 99; CREATE TABLE t(x)");
  refused(ErrorCode::unsupported, "newer mesh");
}

TEST(BlockStore, RefusesWrongBytesAndLargeBlocks) {
  const TemporaryFolder folder;
  const auto [node, blocks] = open(folder.path(), {.max_block_bytes = 1000});
  EXPECT_EQ(blocks->put(raw(content(1)), content(2)).error().code, ErrorCode::invalid);
  const Bytes large = content(1, 1001);
  EXPECT_EQ(blocks->put(raw(large), large).error().code, ErrorCode::exhausted);
  EXPECT_EQ(blocks->count(), 0U);
}

TEST(BlockStore, HoldsItsQuota) {
  const TemporaryFolder folder;
  const auto [node, blocks] = open(folder.path(), {.quota_bytes = 250});
  ASSERT_TRUE(blocks->put(raw(content(1)), content(1)));
  ASSERT_TRUE(blocks->put(raw(content(2)), content(2)));
  const Status third = blocks->put(raw(content(3)), content(3));
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, ErrorCode::exhausted);
  EXPECT_NE(third.error().message.find("quota"), std::string::npos);
  EXPECT_TRUE(blocks->put(raw(content(1)), content(1)));  // Here already: costs nothing.
  ASSERT_TRUE(blocks->erase(raw(content(1))));
  EXPECT_TRUE(blocks->put(raw(content(3)), content(3)));
}

TEST(BlockStore, SetsDamagedBlocksAside) {
  const TemporaryFolder folder;
  const Bytes block = content(1, 5000);
  const Cid cid = raw(block);
  const auto damages = {"flip", "cut", "grow", "empty"};
  for (const std::string damage : damages) {
    {
      ASSERT_TRUE(open(folder.path(), as_files).blocks->put(cid, block));
    }
    const fs::path file = file_of(folder.path(), cid);
    if (damage == "flip") std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(2000) << '!';
    if (damage == "cut") fs::resize_file(file, 4999);
    if (damage == "grow") fs::resize_file(file, 5001);
    if (damage == "empty") fs::resize_file(file, 0);
    const auto [node, blocks] = open(folder.path(), as_files);
    EXPECT_TRUE(blocks->has(cid));
    const auto got = blocks->get(cid);
    ASSERT_FALSE(got) << damage;
    EXPECT_EQ(got.error().code, ErrorCode::storage);
    EXPECT_NE(got.error().message.find("damaged"), std::string::npos);
    EXPECT_FALSE(blocks->has(cid));
    EXPECT_EQ(blocks->total_bytes(), 0U);
    EXPECT_EQ(blocks->get(cid).error().code, ErrorCode::not_found);
    EXPECT_TRUE(fs::exists(folder.path() / "blocks" / "quarantine" / cid.text()));
    ASSERT_TRUE(blocks->put(cid, block));  // Fetched again, it is good again.
    EXPECT_EQ(**blocks->get(cid), block);
  }
}

TEST(BlockStore, SetsDamagedSmallBlocksAside) {
  const TemporaryFolder folder;
  const Bytes block = content(1, 5000);
  const Cid cid = raw(block);
  struct Damage {
    const char* sql;
    bool gone;
  };
  for (const auto& [sql, gone] :
       {Damage{"UPDATE content SET bytes = zeroblob(5000)", false},
        Damage{"UPDATE content SET bytes = substr(bytes, 2)", false},
        Damage{"UPDATE content SET bytes = CAST(bytes || 'x' AS BLOB)", false},
        Damage{"UPDATE content SET bytes = x''", false}, Damage{"DELETE FROM content", true}}) {
    {
      ASSERT_TRUE(open(folder.path()).blocks->put(cid, block));
    }
    change_small_blocks(folder.path(), sql);
    fs::remove(folder.path() / "blocks" / "quarantine" / cid.text());
    const auto [node, blocks] = open(folder.path());
    EXPECT_TRUE(blocks->has(cid));
    const auto got = blocks->get(cid);
    ASSERT_FALSE(got) << sql;
    EXPECT_EQ(got.error().code, gone ? ErrorCode::not_found : ErrorCode::storage) << sql;
    EXPECT_FALSE(blocks->has(cid));
    EXPECT_EQ(blocks->total_bytes(), 0U);
    EXPECT_EQ(fs::exists(folder.path() / "blocks" / "quarantine" / cid.text()), !gone) << sql;
    ASSERT_TRUE(blocks->put(cid, block));  // Fetched again, it is good again.
    EXPECT_EQ(**blocks->get(cid), block);
    ASSERT_EQ(blocks->erase(cid), true);
  }
}

TEST(BlockStore, ADamagedDatabaseCostsTheBlocksOnTheDamagedPages) {
  const TemporaryFolder folder;
  constexpr std::uint64_t count = 400;
  {
    const auto [node, blocks] = open(folder.path());
    for (std::uint64_t n = 0; n < count; ++n) ASSERT_TRUE(blocks->put(raw(content(n, 3'000)), content(n, 3'000)));
  }
  {
    // Two pages in the midst of the content, of which one row each fits a page.
    std::fstream file(folder.path() / "blocks" / "small.db", std::ios::in | std::ios::out | std::ios::binary);
    for (const std::streamoff page : {200, 300}) file.seekp(page * 4096) << std::string(4096, '\xee');
  }
  const auto [node, blocks] = open(folder.path());
  EXPECT_EQ(blocks->count(), count);
  std::vector<std::uint64_t> lost;
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto got = blocks->get(raw(content(n, 3'000)));
    if (got) {
      ASSERT_EQ(**got, content(n, 3'000));
      continue;
    }
    lost.push_back(n);
    EXPECT_EQ(got.error().code, ErrorCode::storage);
    EXPECT_FALSE(blocks->has(raw(content(n, 3'000))));
  }
  EXPECT_FALSE(lost.empty());
  EXPECT_LT(lost.size(), 20U);
  for (const std::uint64_t n : lost) {
    ASSERT_TRUE(blocks->put(raw(content(n, 3'000)), content(n, 3'000)));  // Fetched again.
    EXPECT_EQ(**blocks->get(raw(content(n, 3'000))), content(n, 3'000));
  }
}

TEST(BlockStore, OfABlockThatIsThereTwiceTheNewestCounts) {
  const TemporaryFolder folder;
  {
    ASSERT_TRUE(open(folder.path()).blocks->put(raw(content(1)), content(1)));
  }
  change_small_blocks(folder.path(), add_every_row_again);
  change_small_blocks(folder.path(), "UPDATE content SET bytes = zeroblob(100) WHERE id = 1");
  const auto [node, blocks] = open(folder.path());
  EXPECT_EQ(**blocks->get(raw(content(1))), content(1));
}

// Erasing takes room in the database's log, too.
TEST(BlockStore, RemovesBlocksFromAFullDisk) {
  const TemporaryFolder folder;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto node = NodeStore::open(folder.path());
    auto blocks = node ? BlockStore::open(**node) : std::unexpected(node.error());
    const rlimit limit{.rlim_cur = 400'000, .rlim_max = 400'000};
    if (!blocks || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(1);
    std::uint64_t count = 0;
    while (count < 1'000 && (*blocks)->put(raw(content(count, 3'000)), content(count, 3'000))) ++count;
    if (count < 10 || count == 1'000) ::_exit(2);
    for (std::uint64_t n = 0; n < count; ++n) {
      if ((*blocks)->erase(raw(content(n, 3'000))) != true) ::_exit(3);
    }
    if ((*blocks)->total_bytes() != 0 || !(*blocks)->shrink()) ::_exit(4);
    ::_exit((*blocks)->put(raw(content(0, 3'000)), content(0, 3'000)) ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(BlockStore, NoticesAVanishedFile) {
  const TemporaryFolder folder;
  {
    ASSERT_TRUE(open(folder.path(), as_files).blocks->put(raw(content(1)), content(1)));
  }
  const auto [node, blocks] = open(folder.path(), as_files);
  fs::remove(file_of(folder.path(), raw(content(1))));
  EXPECT_EQ(blocks->get(raw(content(1))).error().code, ErrorCode::not_found);
  EXPECT_EQ(blocks->count(), 0U);
  EXPECT_EQ(blocks->total_bytes(), 0U);
}

TEST(BlockStore, ServesHotBlocksFromMemoryWithinItsBound) {
  const TemporaryFolder folder;
  const auto [node, blocks] = open(folder.path(), {.cache_bytes = 1000, .max_small_bytes = 0});
  for (std::uint64_t n = 0; n < 20; ++n) ASSERT_TRUE(blocks->put(raw(content(n)), content(n)));
  const Bytes large = content(99, 126);
  ASSERT_TRUE(blocks->put(raw(large), large));
  // With the files gone, what is still given out came from memory: the ten used last, and not the one too large.
  for (std::uint64_t n = 0; n < 20; ++n) fs::remove(file_of(folder.path(), raw(content(n))));
  fs::remove(file_of(folder.path(), raw(large)));
  int hot = 0;
  for (std::uint64_t n = 0; n < 20; ++n) {
    const auto got = blocks->get(raw(content(n)));
    EXPECT_EQ(got.has_value(), n >= 10) << n;
    hot += got ? 1 : 0;
  }
  EXPECT_EQ(hot, 10);
  EXPECT_FALSE(blocks->get(raw(large)));
}

TEST(BlockStore, CleansUpAndIgnoresStrangers) {
  const TemporaryFolder folder;
  {
    open(folder.path());
  }
  const fs::path place = folder.path() / "blocks";
  std::ofstream(place / "tmp" / "7") << "half a block";
  std::ofstream(place / "00" / "readme.txt") << "not a block";
  const Cid cid = raw(content(1));
  const std::string wrong_fan = cid.digest().hex().starts_with("00") ? "01" : "00";
  std::ofstream(place / wrong_fan / cid.text()) << "in the wrong folder";
  const auto [node, blocks] = open(folder.path());
  EXPECT_EQ(blocks->count(), 0U);
  EXPECT_FALSE(fs::exists(place / "tmp" / "7"));
  EXPECT_TRUE(fs::exists(place / "00" / "readme.txt"));
}

TEST(BlockStore, DeclaresRootsAcrossRestarts) {
  const TemporaryFolder folder;
  const Cid a = raw(content(1));
  const Cid b = raw(content(2));
  const auto good = [](Status done) { EXPECT_TRUE(done) << done.error().message; };
  {
    const auto [node, blocks] = open(folder.path());
    blocks->declare(a, "task/1", good);
    EXPECT_TRUE(blocks->is_declared(a));
    blocks->declare(a, "pin", good);
    blocks->declare(b, "pin", good);
    blocks->undeclare(b, "pin", good);
    blocks->undeclare(b, "never", good);
    blocks->declare(b, "", [](Status done) { EXPECT_EQ(done.error().code, ErrorCode::invalid); });
    EXPECT_FALSE(blocks->is_declared(b));
    ASSERT_TRUE(node->commit_and_wait({}));
  }
  const auto [node, blocks] = open(folder.path());
  EXPECT_TRUE(blocks->is_declared(a));
  EXPECT_FALSE(blocks->is_declared(b));
  EXPECT_EQ(blocks->declared(), (std::map<Cid, std::vector<std::string>>{{a, {"pin", "task/1"}}}));
  blocks->undeclare(a, "task/1", good);
  EXPECT_TRUE(blocks->is_declared(a));
  blocks->undeclare(a, "pin", good);
  EXPECT_FALSE(blocks->is_declared(a));
  ASSERT_TRUE(node->commit_and_wait({}));
}

TEST(BlockStore, ImportsCars) {
  const TemporaryFolder folder;
  const auto [node, blocks] = open(folder.path() / "home");
  const std::vector<Cid> roots{raw(content(1))};
  Bytes whole = car::write({.roots = roots, .blocks = {{raw(content(1)), content(1)}, {raw(content(2)), content(2)}}});
  EXPECT_EQ(blocks->import_car(whole), roots);
  EXPECT_EQ(blocks->count(), 2U);
  const fs::path file = folder.path() / "a.car";
  const auto write = [&](ByteView bytes) {
    const std::string_view text = as_text(bytes);
    std::ofstream(file, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
  };
  write(whole);
  EXPECT_EQ(blocks->import_car_file(file), roots);
  write(ByteView(whole).first(whole.size() - 1));
  EXPECT_EQ(blocks->import_car_file(file).error().code, ErrorCode::invalid);
  EXPECT_EQ(blocks->import_car(ByteView(whole).first(whole.size() - 1)).error().code, ErrorCode::invalid);
  EXPECT_EQ(blocks->import_car({}).error().code, ErrorCode::invalid);
  whole.back() ^= 1;
  EXPECT_EQ(blocks->import_car(whole).error().code, ErrorCode::invalid);
  EXPECT_EQ(blocks->import_car_file(folder.path() / "none.car").error().code, ErrorCode::not_found);
}

asset::Built add_file(BlockStore& blocks, ByteView bytes) {
  asset::FileBuilder builder([&](const Cid& cid, Bytes block) { return blocks.put(cid, block); });
  EXPECT_TRUE(builder.feed(bytes));
  return builder.finish().value();
}

TEST(BlockStore, ReadsFilesWithinABound) {
  const TemporaryFolder folder;
  const auto [node, blocks] = open(folder.path());
  std::mt19937 random(7);
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, asset::chunk_bytes, 3 * asset::chunk_bytes + 17}) {
    Bytes bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const Cid root = add_file(*blocks, bytes).cid;
    EXPECT_EQ(blocks->read_dag_file(root, size), bytes);
    if (size > 0) {
      EXPECT_EQ(blocks->read_dag_file(root, size - 1).error().code, ErrorCode::exhausted);
    }
    std::size_t streamed = 0;
    EXPECT_TRUE(blocks->read_dag_file(root, size, [&](ByteView part) -> Status {
      streamed += part.size();
      return {};
    }));
    EXPECT_EQ(streamed, size);
  }
  const Cid root = add_file(*blocks, content(3, 2 * asset::chunk_bytes)).cid;
  EXPECT_EQ(blocks->read_dag_file(root, 1 << 30, [](ByteView) -> Status { return fail(ErrorCode::denied, "no more"); })
                .error()
                .code,
            ErrorCode::denied);
  const Cid leaf = raw(ByteView(content(3, 2 * asset::chunk_bytes)).first(asset::chunk_bytes));
  ASSERT_EQ(blocks->erase(leaf), true);
  const auto missing = blocks->read_dag_file(root, 1 << 30);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().message.find(leaf.text()), std::string::npos);
}

TEST(BlockStore, CollectsTrees) {
  const TemporaryFolder folder;
  const auto [node, blocks] = open(folder.path());
  const auto file = add_file(*blocks, content(1));
  const auto keep = [&, &store = *blocks](const asset::BuiltFolder& built) {
    EXPECT_TRUE(store.put(built.built.cid, built.block));
    return built.built;
  };
  const auto inner = keep(
      asset::build_directory({{"b.py", file.cid, file.total_bytes}, {"c.py", file.cid, file.total_bytes}}).value());
  const auto outer = keep(
      asset::build_directory({{"lib", inner.cid, inner.total_bytes}, {"main.py", file.cid, file.total_bytes}}).value());
  EXPECT_EQ(blocks->collect_tree(outer.cid),
            (std::map<std::string, Cid>{{"lib/b.py", file.cid}, {"lib/c.py", file.cid}, {"main.py", file.cid}}));
  EXPECT_EQ(blocks->collect_tree(file.cid), (std::map<std::string, Cid>{{"", file.cid}}));
  EXPECT_EQ(blocks->collect_tree(outer.cid, From::open, 4).error().code, ErrorCode::exhausted);
  EXPECT_EQ(blocks->read_dag_file(outer.cid, 1000).error().code, ErrorCode::invalid);
  // Folders of folders that link the same one twice, forty levels deep: 2^40 entries in forty small blocks.
  asset::Built level = inner;
  for (int depth = 0; depth < 40; ++depth)
    level = keep(asset::build_directory({{"a", level.cid, 1}, {"b", level.cid, 1}}).value());
  EXPECT_EQ(blocks->collect_tree(level.cid).error().code, ErrorCode::exhausted);
  const Bytes record{0xa0};
  ASSERT_TRUE(blocks->put(Cid::of(Multicodec::dag_cbor, record), record));
  EXPECT_EQ(blocks->collect_tree(Cid::of(Multicodec::dag_cbor, record)).error().code, ErrorCode::invalid);
}

void takes_many_threads(const BlockStoreOptions& options) {
  const TemporaryFolder folder;
  const auto [node, blocks] = open(folder.path(), options);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread, &store = *blocks] {
      std::mt19937 random(static_cast<unsigned>(thread));
      for (int n = 0; n < 500; ++n) {
        const Bytes block = content(random() % 20);
        const Cid cid = raw(block);
        switch (random() % 3) {
          case 0:
            wrong += store.put(cid, block) ? 0 : 1;
            break;
          case 1:
            wrong += store.erase(cid) ? 0 : 1;
            break;
          default:
            const auto got = store.get(cid);
            wrong += got ? **got != block : got.error().code != ErrorCode::not_found;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(blocks->total_bytes(), blocks->count() * 100);
  for (std::uint64_t n = 0; n < 20; ++n) {
    EXPECT_EQ(fs::exists(file_of(folder.path(), raw(content(n)))),
              options.max_small_bytes == 0 && blocks->has(raw(content(n))));
  }
}

TEST(BlockStore, TakesManyThreads) {
  takes_many_threads({.cache_bytes = 2000});
  takes_many_threads({.cache_bytes = 2000, .max_small_bytes = 0});
}

TEST(BlockStore, FailedWritesLeaveNothing) {
  const TemporaryFolder folder;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto node = NodeStore::open(folder.path());
    auto blocks = node ? BlockStore::open(**node) : std::unexpected(node.error());
    const rlimit limit{.rlim_cur = 10'000, .rlim_max = 10'000};
    if (!blocks || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(1);
    for (const std::size_t size : {20'000U, 16'000U}) {
      const Bytes block = content(1, size);
      const Status done = (*blocks)->put(raw(block), block);
      if (done || done.error().code != ErrorCode::storage) ::_exit(2);
      if ((*blocks)->has(raw(block)) || (*blocks)->total_bytes() != 0) ::_exit(3);
    }
    ::_exit(fs::is_empty(folder.path() / "blocks" / "tmp") ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(BlockStore, SyncsFewAndManyAndWhatWasErased) {
  const TemporaryFolder folder;
  for (const std::uint64_t count : {0U, 1U, 16U, 17U, 200U, 201U}) {
    const auto [node, blocks] =
        open(folder.path(),
             count == 201 ? BlockStoreOptions{} : as_files);  // What an earlier process left unsynced is synced too.
    for (std::uint64_t n = 0; n < count; ++n) {
      const Bytes block = content(1000 * count + n);
      ASSERT_TRUE(blocks->put(raw(block), block));
    }
    if (count > 0) {
      ASSERT_TRUE(blocks->erase(raw(content(1000 * count))));
    }
    EXPECT_TRUE(blocks->sync());
    EXPECT_TRUE(blocks->sync());
  }
}

// A child puts and syncs blocks and names each on a pipe; killed at a random moment, each named one must be
// there and whole.
TEST(BlockStore, SurvivesKills) {
  const TemporaryFolder folder;
  std::mt19937 random(99);
  for (std::uint64_t round = 0; round < 10; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto node = NodeStore::open(folder.path());
      auto blocks = node ? BlockStore::open(**node) : std::unexpected(node.error());
      if (!blocks) ::_exit(1);
      for (std::uint64_t n = round * 1'000'000;; ++n) {
        const Bytes block = content(n, n % 2 == 0 ? 20'000 : 2'000);
        if (!(*blocks)->put(raw(block), block) || !(*blocks)->sync()) ::_exit(2);
        if (::write(ends[1], &n, sizeof n) != sizeof n) ::_exit(3);
      }
    }
    ::close(ends[1]);
    std::vector<std::uint64_t> named;
    std::uint64_t n = 0;
    const auto read_one = [&] { return ::read(ends[0], &n, sizeof n) == static_cast<ssize_t>(sizeof n); };
    for (std::uint64_t left = random() % 30; left > 0 && read_one(); --left) named.push_back(n);
    ::kill(pid, SIGKILL);
    while (read_one()) named.push_back(n);
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
    const auto [node, blocks] = open(folder.path());
    for (const std::uint64_t number : named) {
      const Bytes block = content(number, number % 2 == 0 ? 20'000 : 2'000);
      const auto got = blocks->get(raw(block));
      ASSERT_TRUE(got) << got.error().message;
      ASSERT_EQ(**got, block);
    }
    blocks->for_each([&, &store = *blocks](const Cid& cid, std::uint64_t) { EXPECT_TRUE(store.get(cid)); });
    EXPECT_TRUE(fs::is_empty(folder.path() / "blocks" / "tmp"));
  }
}

}  // namespace
}  // namespace mesh::store
