#include "adapters/store/chain_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <latch>
#include <mutex>
#include <thread>

#include "adapters/store/node_store.h"
#include "adapters/store/sqlite.h"
#include "adapters/store/temporary_folder.h"
#include "adapters/store/test_tools.h"

namespace mesh::store {
namespace {

namespace fs = std::filesystem;

using Log = std::vector<Bytes>;
constexpr std::size_t any_bytes = std::size_t{1} << 40;
const Cid home_federation = Cid::of(Multicodec::dag_cbor, as_bytes("home"));
const Cid other_federation = Cid::of(Multicodec::dag_cbor, as_bytes("other"));

ChainBlock block_of(std::uint64_t height, std::size_t size = 200, std::string_view kind = "block") {
  Bytes bytes = to_bytes(fmt::format("{} {}:", kind, height));
  bytes.resize(std::max(size, bytes.size()), static_cast<std::uint8_t>(height));
  return {.height = height, .certificate = to_bytes(fmt::format("certificate {}", height)), .block = std::move(bytes)};
}
Bytes entry_of(std::uint64_t number) { return to_bytes(fmt::format("entry {};", number)); }
ChainOffence offence_of(std::uint8_t who, std::uint64_t height) {
  ChainOffence offence{.height = height, .evidence = to_bytes(fmt::format("evidence {}", who))};
  offence.offender.data()[0] = who;
  return offence;
}

struct Place {
  TemporaryFolder folder;
  fs::path file = folder.path() / "chain.db";

  [[nodiscard]] std::unique_ptr<ChainStore> open(ChainStoreOptions options = {}) const {
    auto store = ChainStore::open(file, home_federation, std::move(options));
    EXPECT_TRUE(store) << store.error().message;
    return store ? std::move(*store) : nullptr;
  }
  [[nodiscard]] std::unique_ptr<ChainReader> read() const {
    auto reader = ChainReader::open(file);
    EXPECT_TRUE(reader) << reader.error().message;
    return reader ? std::move(*reader) : nullptr;
  }
  /// Changes the closed database behind the store's back.
  void change(std::string_view sql) const {
    auto connection = sqlite::Connection::open(file, sqlite::Connection::Mode::read_write);
    ASSERT_TRUE(connection);
    const Status done = connection->run(sql);
    ASSERT_TRUE(done) << done.error().message;
  }
};

/// What each_block gives before it ends, and how it ends.
template <class Chain>
std::pair<std::vector<ChainBlock>, Status> replay(const Chain& chain) {
  std::vector<ChainBlock> blocks;
  Status end = chain.each_block([&](ChainBlock block) -> Status {
    blocks.push_back(std::move(block));
    return {};
  });
  return {std::move(blocks), std::move(end)};
}

std::vector<std::uint64_t> heights(const std::vector<ChainBlock>& blocks) {
  std::vector<std::uint64_t> heights;
  for (const ChainBlock& block : blocks) heights.push_back(block.height);
  return heights;
}

std::vector<std::uint64_t> heights_read(const ChainStore& store, std::uint64_t from, std::size_t count,
                                        std::size_t bytes = any_bytes) {
  const auto blocks = store.read(from, count, bytes);
  EXPECT_TRUE(blocks) << blocks.error().message;
  return blocks ? heights(*blocks) : std::vector<std::uint64_t>();
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(ChainStore, WhatWasNeverUsedCanBeRemoved) {
  const Place place;
  EXPECT_TRUE(ChainStore::remove_unused(place.file, home_federation)) << "there is none";
  EXPECT_FALSE(fs::exists(place.file));
  {
    const auto store = place.open();
    EXPECT_TRUE(store->check_unused());
    const Status held = ChainStore::remove_unused(place.file, home_federation);
    ASSERT_FALSE(held);
    EXPECT_EQ(held.error().code, ErrorCode::conflict) << "a node runs with it";
    ChainWrite first;
    first.signs_from = 0;
    ASSERT_TRUE(store->commit_and_wait(std::move(first)));
  }
  EXPECT_EQ(ChainStore::remove_unused(place.file, other_federation).error().code, ErrorCode::conflict);
  ASSERT_TRUE(fs::exists(place.file));
  EXPECT_TRUE(ChainStore::remove_unused(place.file, home_federation));
  for (const std::string_view suffix : {"", "-wal", "-shm"})
    EXPECT_FALSE(fs::exists(place.file.string() + std::string(suffix))) << suffix;
  EXPECT_NE(place.open(), nullptr) << "its lock was let go";
}

TEST(ChainStore, WhatWasUsedIsNotRemoved) {
  const Place signed_for, with_block;
  {
    ChainWrite write;
    write.entries.emplace_back(1, entry_of(1));
    ASSERT_TRUE(signed_for.open()->commit_and_wait(std::move(write)));
    ChainWrite block;
    block.blocks.push_back(block_of(1));
    ASSERT_TRUE(with_block.open()->commit_and_wait(std::move(block)));
  }
  const Status entry = ChainStore::remove_unused(signed_for.file, home_federation);
  ASSERT_FALSE(entry);
  EXPECT_EQ(entry.error().code, ErrorCode::conflict);
  EXPECT_TRUE(contains(entry.error().message, "has signed")) << entry.error().message;
  EXPECT_EQ(signed_for.open()->log()->entries.size(), 1U);
  const Status block = ChainStore::remove_unused(with_block.file, home_federation);
  ASSERT_FALSE(block);
  EXPECT_TRUE(contains(block.error().message, "at height 1")) << block.error().message;
  EXPECT_EQ(*with_block.open()->height(), 1U);
  signed_for.change("DELETE FROM entry");
  const Status damaged = ChainStore::remove_unused(signed_for.file, home_federation);
  ASSERT_FALSE(damaged) << "nobody knows what was signed";
  EXPECT_EQ(damaged.error().code, ErrorCode::storage);
}

TEST(ChainStore, KeepsWhatAReplicaPersists) {
  const Place place;
  {
    const auto store = place.open();
    EXPECT_EQ(store->federation(), home_federation);
    EXPECT_EQ(store->height(), 0U);
    EXPECT_EQ(replay(*store).first.size(), 0U);
    const auto log = store->log();
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_TRUE(log->entries.empty());
    EXPECT_EQ(log->signs_from, std::nullopt);
    EXPECT_TRUE(log->offences.empty());
    ASSERT_TRUE(store->commit_and_wait({.blocks = {block_of(1), block_of(2)},
                                        .entries = {{3, entry_of(1)}, {3, entry_of(2)}},
                                        .offences = {offence_of(9, 1), offence_of(4, 2)}}));
    EXPECT_EQ(store->log()->signs_from, std::nullopt);
    ASSERT_TRUE(store->commit_and_wait(
        {.blocks = {block_of(3)}, .entries = {{4, {}}, {4, entry_of(1)}}, .signs_from = signs_never}));
    // The same again is another entry, and an offender's offence is replaced.
    ASSERT_TRUE(store->commit_and_wait({.entries = {{4, entry_of(1)}}, .offences = {offence_of(9, 7)}}));
    ASSERT_TRUE(store->commit_and_wait({}));
  }
  const auto check = [&](const auto& chain) {
    EXPECT_EQ(chain.height(), 3U);
    const auto [blocks, end] = replay(chain);
    EXPECT_TRUE(end) << end.error().message;
    EXPECT_EQ(blocks, (std::vector{block_of(1), block_of(2), block_of(3)}));
    const auto log = chain.log();
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(log->entries, (Log{entry_of(1), entry_of(2), Bytes{}, entry_of(1), entry_of(1)}));
    EXPECT_EQ(log->signs_from, signs_never);
    EXPECT_EQ(log->offences, (std::vector{offence_of(9, 7), offence_of(4, 2)}));
    EXPECT_EQ(chain.offences(), log->offences);
    std::vector<std::uint64_t> of;
    EXPECT_TRUE(chain.each_entry([&](const ChainEntry& entry) -> Status {
      of.push_back(entry.height);
      return {};
    }));
    EXPECT_EQ(of, (std::vector<std::uint64_t>{3, 3, 4, 4, 4}));
  };
  check(*place.read());
  {
    const auto store = place.open();
    check(*store);
    ASSERT_TRUE(store->commit_and_wait({.signs_from = 0}));
    EXPECT_EQ(store->log()->signs_from, 0U);
  }
  EXPECT_EQ(place.read()->log()->signs_from, 0U);
}

TEST(ChainStore, ReadsNoMoreThanIsAskedFor) {
  const Place place;
  const auto store = place.open();
  ChainWrite write;
  for (std::uint64_t height = 1; height <= 20; ++height) write.blocks.push_back(block_of(height, 1000));
  ASSERT_TRUE(store->commit_and_wait(std::move(write)));
  using Heights = std::vector<std::uint64_t>;
  EXPECT_EQ(heights_read(*store, 3, 4), (Heights{3, 4, 5, 6}));
  EXPECT_EQ(heights_read(*store, 18, 100), (Heights{18, 19, 20}));
  EXPECT_EQ(heights_read(*store, 18, ~std::size_t{0}, ~std::size_t{0}), (Heights{18, 19, 20}));
  EXPECT_EQ(heights_read(*store, 21, 4), Heights{});
  EXPECT_EQ(heights_read(*store, 0, 4), Heights{});
  EXPECT_EQ(heights_read(*store, ~std::uint64_t{0}, 4), Heights{});
  EXPECT_EQ(heights_read(*store, max_chain_height, 4), Heights{});
  EXPECT_EQ(heights_read(*store, 3, 0), Heights{});
  const std::size_t two = 2 * (8 + block_of(3, 1000).certificate.size() + 1000);
  EXPECT_EQ(heights_read(*store, 3, 9, two), (Heights{3, 4}));
  EXPECT_EQ(heights_read(*store, 3, 9, two - 1), Heights{3});
  EXPECT_EQ(heights_read(*store, 3, 9, 0), Heights{3});
}

TEST(ChainStore, EndsAtAGap) {
  const Place place;
  const auto store = place.open();
  ASSERT_TRUE(store->commit_and_wait({.blocks = {block_of(1), block_of(2), block_of(4)}}));
  EXPECT_EQ(store->height(), 2U);
  EXPECT_EQ(heights_read(*store, 1, 9), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(heights_read(*store, 3, 9), (std::vector<std::uint64_t>{}));
  auto [blocks, end] = replay(*store);
  EXPECT_TRUE(end);
  EXPECT_EQ(heights(blocks), (std::vector<std::uint64_t>{1, 2}));
  ASSERT_TRUE(store->commit_and_wait({.blocks = {block_of(3)}}));
  EXPECT_EQ(store->height(), 4U);
  EXPECT_EQ(replay(*store).first.size(), 4U);
}

TEST(ChainStore, StopsAtTheReadersError) {
  const Place place;
  const auto store = place.open();
  ASSERT_TRUE(
      store->commit_and_wait({.blocks = {block_of(1), block_of(2)}, .entries = {{1, entry_of(1)}, {1, entry_of(2)}}}));
  int seen = 0;
  const auto refuse = [&](const auto&) -> Status {
    ++seen;
    EXPECT_EQ(heights_read(*store, 2, 1), std::vector<std::uint64_t>{2});  // Reading from inside does not lock up.
    EXPECT_TRUE(store->log());
    return fail(ErrorCode::invalid, "no");
  };
  EXPECT_EQ(store->each_block(refuse).error().message, "no");
  EXPECT_EQ(store->each_entry(refuse).error().message, "no");
  EXPECT_EQ(seen, 2);
}

TEST(ChainStore, ForgetsEntriesOfLowerHeights) {
  const Place place;
  const auto store = place.open();
  const auto log = [&] { return store->log()->entries; };
  ASSERT_TRUE(
      store->commit_and_wait({.entries = {{1, entry_of(1)}, {3, entry_of(2)}, {2, entry_of(3)}, {3, entry_of(4)}}}));
  ASSERT_TRUE(store->commit_and_wait({.forget_below = 1}));
  EXPECT_EQ(log().size(), 4U);
  ASSERT_TRUE(store->commit_and_wait({.forget_below = 3}));
  EXPECT_EQ(log(), (Log{entry_of(2), entry_of(4)}));
  // Forgotten first, then appended, and what is forgotten once may come again.
  ASSERT_TRUE(store->commit_and_wait({.forget_below = 4, .entries = {{3, entry_of(5)}, {4, entry_of(6)}}}));
  EXPECT_EQ(log(), (Log{entry_of(5), entry_of(6)}));
  ASSERT_TRUE(store->commit_and_wait({.forget_below = max_chain_height}));
  EXPECT_TRUE(log().empty());
  ASSERT_TRUE(store->commit_and_wait({.entries = {{9, entry_of(7)}}}));
  EXPECT_EQ(log(), Log{entry_of(7)});
  ASSERT_TRUE(store->commit_and_wait({.entries = {{9, entry_of(8)}}, .forget_log = true}));
  EXPECT_EQ(log(), Log{entry_of(8)});
}

TEST(ChainStore, WhatIsForgottenTakesNoRoom) {
  const Place place;
  {
    const auto store = place.open();
    // 100 heights of 256 KiB, of which two are there at once.
    for (std::uint64_t height = 1; height <= 100; ++height) {
      ASSERT_TRUE(
          store->commit_and_wait({.forget_below = height, .entries = {{height, Bytes(std::size_t{256} << 10)}}}));
    }
  }
  EXPECT_LT(fs::file_size(place.file), std::uintmax_t{2} << 20);
}

TEST(ChainStore, AnswersInOrderWhatIsDurable) {
  const Place place;
  const auto store = place.open();
  std::vector<std::uint64_t> order;
  std::latch answered(300);
  for (std::uint64_t number = 1; number <= 300; ++number) {
    store->commit({.blocks = {block_of(number)}, .entries = {{number, entry_of(number)}}, .signs_from = number},
                  [&, number](const Status& done) {
                    EXPECT_TRUE(done);
                    order.push_back(number);
                    // Whoever is told reads it, and all before it.
                    EXPECT_GE(store->height().value(), number);
                    EXPECT_EQ(store->read(number, 1, any_bytes), std::vector{block_of(number)});
                    EXPECT_GE(*store->log()->signs_from, number);
                    answered.count_down();
                  });
  }
  answered.wait();
  for (std::uint64_t number = 1; number <= 300; ++number) EXPECT_EQ(order[number - 1], number);
  const auto log = store->log();
  ASSERT_EQ(log->entries.size(), 300U);
  for (std::uint64_t number = 1; number <= 300; ++number) EXPECT_EQ(log->entries[number - 1], entry_of(number));
  EXPECT_EQ(store->queued().writes, 0U);
  EXPECT_EQ(store->queued().bytes, 0U);
}

TEST(ChainStore, WritesWhatIsQueuedInOneTransaction) {
  const Place place;
  const auto store = place.open();
  const fs::path log = place.file.string() + "-wal";
  const auto held_up = [&](int count, int at_once) {
    const std::uintmax_t before = fs::file_size(log);
    for (int done = 0; done < count; done += at_once) {
      std::latch blocked(1);
      std::latch release(1);
      store->commit({}, [&](const Status&) {
        blocked.count_down();
        release.wait();
      });
      blocked.wait();
      std::latch answered(at_once);
      for (int n = 0; n < at_once; ++n) {
        store->commit({.entries = {{1, entry_of(1)}}}, [&](const Status&) { answered.count_down(); });
      }
      release.count_down();
      answered.wait();
    }
    return fs::file_size(log) - before;
  };
  // Each transaction writes the pages that it changed: together they are few.
  const auto alone = held_up(50, 1);
  const auto together = held_up(50, 50);
  EXPECT_LT(together * 10, alone);
  EXPECT_GT(together, 0U);
}

TEST(ChainStore, WritesWhatIsQueuedBeforeItCloses) {
  const Place place;
  std::uint64_t answered = 0;
  {
    const auto store = place.open();
    for (std::uint64_t height = 1; height <= 200; ++height) {
      store->commit({.blocks = {block_of(height)}}, [&](const Status& done) { answered += done ? 1U : 0U; });
    }
  }
  EXPECT_EQ(answered, 200U);
  EXPECT_EQ(place.open()->height(), 200U);
}

TEST(ChainStore, WritesNothingAfterWhatItRefused) {
  const std::uint64_t too_high = max_chain_height + 1;
  const std::vector<std::pair<ChainWrite, ErrorCode>> refused{
      {{.blocks = {block_of(1), block_of(0)}}, ErrorCode::invalid},
      {{.blocks = {block_of(too_high)}}, ErrorCode::invalid},
      {{.forget_below = too_high}, ErrorCode::invalid},
      {{.entries = {{too_high, {}}}}, ErrorCode::invalid},
      {{.offences = {offence_of(1, too_high)}}, ErrorCode::invalid},
      {{.blocks = {block_of(1, 10'001)}}, ErrorCode::exhausted},
      {{.entries = {{1, Bytes(5'000)}, {1, Bytes(5'001)}}}, ErrorCode::exhausted},
      {{.entries = std::vector(1000, std::pair<std::uint64_t, Bytes>(1, {}))}, ErrorCode::exhausted},
  };
  for (const auto& [write, code] : refused) {
    const Place place;
    const auto store = place.open({.max_write_bytes = 10'000});
    ASSERT_TRUE(store->commit_and_wait({.entries = {{1, entry_of(1)}}}));
    const Status done = store->commit_and_wait(write);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code) << done.error().message;
    const Status next = store->commit_and_wait({.entries = {{1, entry_of(2)}}});
    ASSERT_FALSE(next);
    EXPECT_TRUE(contains(next.error().message, done.error().message)) << next.error().message;
    EXPECT_EQ(store->log()->entries, Log{entry_of(1)});
    EXPECT_EQ(store->height(), 0U);
  }
}

TEST(ChainStore, BoundsItsQueue) {
  for (const bool by_bytes : {false, true}) {
    const Place place;
    const auto store = place.open(by_bytes ? ChainStoreOptions{.max_queued_bytes = 10'000}
                                           : ChainStoreOptions{.max_queued_writes = 4});
    std::latch blocked(1);
    std::latch release(1);
    store->commit({}, [&](const Status&) {
      blocked.count_down();
      release.wait();
    });
    blocked.wait();  // Its thread is held up in a completion, which is answered and no longer counts.
    std::vector<int> order;
    std::vector<int> refused;
    std::latch answered(4);
    for (int n = 0; n < 6; ++n) {
      store->commit({.entries = {{1, Bytes(by_bytes ? 2'000 : 1)}}}, [&, n](const Status& done) {
        if (!done) {
          EXPECT_EQ(done.error().code, ErrorCode::exhausted);
          refused.push_back(n);
          return;
        }
        order.push_back(n);
        answered.count_down();
      });
    }
    EXPECT_EQ(store->queued().writes, 4U);
    EXPECT_GT(store->queued().bytes, 4U);
    EXPECT_EQ(refused, (std::vector{4, 5}));
    release.count_down();
    answered.wait();
    EXPECT_EQ(order, (std::vector{0, 1, 2, 3}));
    // There is room again, and none is written over the gap.
    EXPECT_FALSE(store->commit_and_wait({.entries = {{1, {}}}}));
    EXPECT_EQ(store->log()->entries.size(), 4U);
  }
}

TEST(ChainStore, BelongsToOneFederation) {
  const Place place;
  {
    ASSERT_TRUE(place.open()->commit_and_wait({.blocks = {block_of(1)}}));
  }
  const Bytes before = read_file(place.file);
  const auto refused = ChainStore::open(place.file, other_federation);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_TRUE(contains(refused.error().message, home_federation.text())) << refused.error().message;
  EXPECT_TRUE(contains(refused.error().message, other_federation.text())) << refused.error().message;
  EXPECT_EQ(read_file(place.file), before);
  EXPECT_EQ(place.read()->federation(), home_federation);
  EXPECT_EQ(place.open()->height(), 1U);
  // Where it says nothing any more, it is not taken for anybody's.
  place.change("DELETE FROM meta WHERE name = 'federation'");
  EXPECT_EQ(ChainStore::open(place.file, home_federation).error().code, ErrorCode::storage);
  EXPECT_EQ(ChainReader::open(place.file).error().code, ErrorCode::storage);
  place.change("INSERT INTO meta VALUES ('federation', 'nonsense')");
  EXPECT_EQ(ChainReader::open(place.file).error().code, ErrorCode::storage);
}

TEST(ChainStore, IsBoundThoughItsMakingWasCutShort) {
  const Place place;
  {
    (void)place.open();
  }
  place.change("DELETE FROM meta WHERE name = 'federation'; DELETE FROM state");
  EXPECT_TRUE(place.open()->commit_and_wait({.blocks = {block_of(1)}}));
  EXPECT_EQ(place.read()->height(), 1U);
}

TEST(ChainStore, RefusesASecondProcessAndNamesTheFirst) {
  const Place place;
  const auto store = place.open();
  const pid_t holder = ::getpid();
  EXPECT_EQ(in_child([&] {
              const auto again = ChainStore::open(place.file, home_federation);
              if (again || again.error().code != ErrorCode::conflict) return 1;
              return contains(again.error().message, fmt::format("process {}", holder)) ? 0 : 2;
            }),
            0);
  EXPECT_TRUE(store->commit_and_wait({.blocks = {block_of(1)}}));
}

TEST(ChainStore, IsTheUsersAlone) {
  const Place place;
  const auto store = place.open();
  ASSERT_TRUE(store->commit_and_wait({}));
  for (const char* end : {"", "-wal", "-shm", "-lock"}) {
    EXPECT_EQ(fs::status(place.file.string() + end).permissions(), fs::perms::owner_read | fs::perms::owner_write)
        << end;
  }
}

TEST(ChainStore, LeavesANewerSchemaUntouched) {
  const Place place;
  {
    (void)place.open();
  }
  place.change("PRAGMA user_version = 7; UPDATE meta SET value = 'mesh 9.9' WHERE name = 'written_by'");
  fs::remove(place.file.string() + "-lock");  // So that even the lock file's making would be seen.
  const auto before = snapshot(place.folder.path());
  const auto refused = ChainStore::open(place.file, home_federation);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_TRUE(contains(refused.error().message, "mesh 9.9, with schema 7")) << refused.error().message;
  EXPECT_EQ(snapshot(place.folder.path()), before);
  const Bytes file = read_file(place.file);
  const auto reader = ChainReader::open(place.file);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ErrorCode::unsupported);
  EXPECT_EQ(read_file(place.file), file);
}

TEST(ChainStore, RefusesWhatIsNoChain) {
  const Place place;
  EXPECT_EQ(ChainReader::open(place.file).error().code, ErrorCode::not_found);
  EXPECT_FALSE(fs::exists(place.file));
  EXPECT_EQ(ChainStore::open(place.folder.path() / "none" / "chain.db", home_federation).error().code,
            ErrorCode::storage);
  write_file(place.file, as_bytes("not a database at all, and long enough to be taken for the header of one: it is "
                                  "text that somebody put here"));
  EXPECT_EQ(ChainReader::open(place.file).error().code, ErrorCode::storage);
  EXPECT_EQ(ChainStore::open(place.file, home_federation).error().code, ErrorCode::storage);
  write_file(place.file, {});
  EXPECT_EQ(ChainReader::open(place.file).error().code, ErrorCode::storage);
  {
    ASSERT_TRUE(NodeStore::open(place.folder.path() / "node"));
  }
  const fs::path node = place.folder.path() / "node" / "node.db";
  const Bytes before = read_file(node);
  EXPECT_EQ(ChainReader::open(node).error().code, ErrorCode::storage);
  EXPECT_EQ(ChainStore::open(node, home_federation).error().code, ErrorCode::storage);
  EXPECT_EQ(read_file(node), before);
}

TEST(ChainReader, ReadsBesideTheProcessThatWrites) {
  const Place place;
  const auto store = place.open();
  ASSERT_TRUE(store->commit_and_wait({.blocks = {block_of(1)}}));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  int back[2];
  ASSERT_EQ(::pipe(back), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto reader = ChainReader::open(place.file);
    if (!reader || (*reader)->height() != 1U) ::_exit(1);
    char byte = 0;
    if (::write(back[1], "x", 1) != 1 || ::read(ends[0], &byte, 1) != 1) ::_exit(2);
    ::_exit((*reader)->height() == 2U && (*reader)->log()->entries.size() == 1 ? 0 : 3);
  }
  char byte = 0;
  ASSERT_EQ(::read(back[0], &byte, 1), 1);
  ASSERT_TRUE(store->commit_and_wait({.blocks = {block_of(2)}, .entries = {{3, entry_of(1)}}}));
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  for (const int fd : {ends[0], ends[1], back[0], back[1]}) ::close(fd);
}

TEST(ChainReader, ReadsWhereNothingCanBeWritten) {
  const Place place;
  {
    ASSERT_TRUE(place.open()->commit_and_wait({.blocks = {block_of(1)}, .entries = {{2, entry_of(1)}}}));
  }
  fs::permissions(place.file, fs::perms(0444));
  fs::permissions(place.folder.path(), fs::perms(0555));
  const auto before = snapshot(place.folder.path());
  EXPECT_EQ(in_child([&] {
              if (::geteuid() == 0 && ::seteuid(65534) != 0) return 1;  // Root may write anywhere.
              const auto reader = ChainReader::open(place.file);
              if (!reader) return 2;
              return replay(**reader).first.size() == 1 && (*reader)->log() ? 0 : 3;
            }),
            0);
  EXPECT_EQ(snapshot(place.folder.path()), before);
  fs::permissions(place.folder.path(), fs::perms(0700));
}

TEST(ChainStore, ReadsFromManyThreadsWhileItWrites) {
  const Place place;
  const auto store = place.open();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int n = 0; n < 3; ++n) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto height = store->height();
        const auto log = store->log();
        // A block, an entry and signs_from of one height come in one write.
        if (!height || !log || log->entries.size() < *height) ++wrong;
        if (log && log->entries.size() != log->signs_from.value_or(0)) ++wrong;
        if (height && *height > 0 && store->read(*height, 1, 0) != std::vector{block_of(*height)}) ++wrong;
      }
    });
  }
  for (std::uint64_t height = 1; height <= 200; ++height) {
    ASSERT_TRUE(store->commit_and_wait(
        {.blocks = {block_of(height)}, .entries = {{height, entry_of(height)}}, .signs_from = height}));
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

/// With the bits of `mask` turned in the byte that is `behind` bytes after where `what` begins; wherever it stands, since pages keep
/// what was moved elsewhere.
Bytes damaged_at(Bytes file, std::string_view what, std::ptrdiff_t behind, std::uint8_t mask = 0x10) {
  const std::string before(as_text(file));
  std::size_t at = before.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  for (; at != std::string::npos; at = before.find(what, at + 1)) {
    file[static_cast<std::size_t>(static_cast<std::ptrdiff_t>(at) + behind)] ^= mask;
  }
  return file;
}

TEST(ChainStore, NamesADamagedBlockAndTakesItAgain) {
  const Place place;
  std::vector<ChainBlock> all;
  for (std::uint64_t height = 1; height <= 12; ++height) all.push_back(block_of(height, height == 7 ? 30'000 : 300));
  std::ranges::copy(as_bytes("the middle"), all[6].block.begin() + 15'000);
  {
    ASSERT_TRUE(place.open()->commit_and_wait({.blocks = all, .entries = {{13, entry_of(1)}}}));
  }
  const Bytes whole = read_file(place.file);
  const std::vector<Bytes> damages{
      damaged_at(whole, "certificate 7", 3), damaged_at(whole, "block 7:", 1),
      damaged_at(whole, "certificate 7", -20),  // Its checksum.
      damaged_at(whole, "the middle", 0),  // On a page of its own.
  };
  for (const Bytes& damaged : damages) {
    write_file(place.file, damaged);
    const auto store = place.open();
    EXPECT_EQ(heights_read(*store, 5, 9), (std::vector<std::uint64_t>{5, 6}));
    const auto none = store->read(7, 9, any_bytes);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, ErrorCode::storage);
    EXPECT_TRUE(none.error().message.starts_with("damaged-block: the block of height 7 ")) << none.error().message;
    const auto [blocks, end] = replay(*store);
    EXPECT_EQ(blocks, std::vector(all.begin(), all.begin() + 6));
    ASSERT_FALSE(end);
    EXPECT_TRUE(end.error().message.starts_with("damaged-block: the block of height 7 ")) << end.error().message;
    EXPECT_EQ(heights_read(*store, 8, 9), (std::vector<std::uint64_t>{8, 9, 10, 11, 12}));
    EXPECT_TRUE(store->log());
    EXPECT_FALSE(replay(*place.read()).second);
    // Fetched again, one after the other.
    for (std::size_t n = 6; n < all.size(); ++n) ASSERT_TRUE(store->commit_and_wait({.blocks = {all[n]}}));
    EXPECT_EQ(replay(*store).first, all);
    EXPECT_TRUE(replay(*store).second);
    EXPECT_EQ(store->height(), 12U);
  }
}

TEST(ChainStore, NamesADamagedEntryOfTheLog) {
  const Place place;
  ChainWrite write{.signs_from = 0, .offences = {offence_of(1, 2), offence_of(2, 2)}};
  for (std::uint64_t number = 1; number <= 9; ++number) write.entries.emplace_back(4, entry_of(number));
  {
    ASSERT_TRUE(place.open()->commit_and_wait(write));
  }
  const Bytes whole = read_file(place.file);
  for (const std::ptrdiff_t behind : {0, 7, -1, -33}) {  // Its bytes, its checksum, its height.
    write_file(place.file, damaged_at(whole, "entry 5;", behind, 0x01));
    const auto store = place.open();
    const auto log = store->log();
    ASSERT_FALSE(log);
    EXPECT_EQ(log.error().code, ErrorCode::storage);
    EXPECT_TRUE(log.error().message.starts_with("corrupt-log: entry number 5 ")) << log.error().message;
    EXPECT_EQ(store->offences(), write.offences);
    // It stays so until the log is given up.
    ASSERT_TRUE(store->commit_and_wait({.entries = {{4, entry_of(10)}}}));
    EXPECT_FALSE(store->log());
    ASSERT_TRUE(
        store->commit_and_wait({.entries = {{4, entry_of(11)}}, .signs_from = signs_never, .forget_log = true}));
    EXPECT_EQ(store->log()->entries, Log{entry_of(11)});
    EXPECT_EQ(store->log()->signs_from, signs_never);
  }
  write_file(place.file, damaged_at(whole, "evidence 1", 0));
  EXPECT_EQ(place.read()->log()->offences, std::vector{offence_of(2, 2)});
}

TEST(ChainStore, MissesWhatIsNotThereAnyMore) {
  const Place place;
  const auto fill = [&] {
    fs::remove(place.file);
    ASSERT_TRUE(place.open()->commit_and_wait({.blocks = {block_of(1), block_of(2), block_of(3), block_of(4)},
                                               .entries = {{5, entry_of(1)}, {5, entry_of(2)}, {5, entry_of(3)}},
                                               .signs_from = 0}));
  };
  for (const std::uint64_t height : {1U, 3U, 4U}) {
    fill();
    place.change(fmt::format("DELETE FROM block WHERE height = {}", height));
    const auto store = place.open();
    const auto [blocks, end] = replay(*store);
    EXPECT_EQ(blocks.size(), height - 1);
    ASSERT_FALSE(end);
    EXPECT_TRUE(contains(end.error().message, fmt::format("height {} is missing", height))) << end.error().message;
    EXPECT_FALSE(store->read(height, 4, any_bytes));
    EXPECT_TRUE(store->log());
  }
  for (const int number : {1, 2, 3}) {
    fill();
    place.change(fmt::format("DELETE FROM entry WHERE number = {}", number));
    const auto log = place.open()->log();
    ASSERT_FALSE(log);
    EXPECT_TRUE(contains(log.error().message, "2 entries are there and 3 were written")) << log.error().message;
  }
  // Without the state nobody knows how many there were.
  for (const char* sql : {"DELETE FROM state", "UPDATE state SET signs_from = 3", "UPDATE state SET height = 3",
                          "UPDATE state SET entries = 2", "UPDATE state SET signs_from = NULL"}) {
    fill();
    place.change(sql);
    const auto store = place.open();
    EXPECT_FALSE(store->height());
    const auto [blocks, end] = replay(*store);
    EXPECT_EQ(blocks.size(), 4U);
    EXPECT_FALSE(end);
    ASSERT_FALSE(store->log()) << sql;
    EXPECT_TRUE(store->log().error().message.starts_with("corrupt-log: the state ")) << store->log().error().message;
    // What is written next makes it anew; what was signed is not known any more.
    ASSERT_TRUE(store->commit_and_wait({.blocks = {block_of(5)}, .entries = {{6, entry_of(4)}}}));
    EXPECT_EQ(store->height(), 5U);
    EXPECT_TRUE(replay(*store).second);
    ASSERT_TRUE(store->log());
    EXPECT_EQ(store->log()->signs_from, signs_never);
    EXPECT_EQ(store->log()->entries.size(), 4U);
  }
}

// Whatever bit of the file is turned: nothing is read that was not written, and what lacks is missed.
TEST(ChainStore, TellsOfEveryBitThatMatters) {
  const Place place;
  std::vector<ChainBlock> all;
  std::vector<Bytes> entries;
  ChainWrite write{.signs_from = 2};
  for (std::uint64_t number = 1; number <= 40; ++number) {
    all.push_back(block_of(number, number % 8 == 0 ? 6'000 : 100));
    entries.push_back(entry_of(number));
    write.entries.emplace_back(41, entries.back());
  }
  write.blocks = all;
  {
    ASSERT_TRUE(place.open()->commit_and_wait(std::move(write)));
  }
  const Bytes whole = read_file(place.file);
  std::mt19937 random(20'260'101);
  int found = 0;
  for (int round = 0; round < 500; ++round) {
    Bytes damaged = whole;
    const std::size_t at = random() % whole.size();
    damaged[at] ^= static_cast<std::uint8_t>(1U << random() % 8);
    write_file(place.file, damaged);
    const auto reader = ChainReader::open(place.file);
    if (!reader) {
      ++found;
      continue;
    }
    const auto [blocks, end] = replay(**reader);
    ASSERT_LE(blocks.size(), all.size()) << at;
    ASSERT_TRUE(std::ranges::equal(blocks, std::span(all).first(blocks.size()))) << at;
    ASSERT_EQ(end.has_value(), blocks.size() == all.size()) << at;
    const auto log = (*reader)->log();
    if (log) {
      ASSERT_EQ(log->entries, entries) << at;
      ASSERT_EQ(log->signs_from, 2U) << at;
    }
    found += !end || !log ? 1 : 0;
  }
  EXPECT_GT(found, 50);
}

TEST(ChainStore, ATornLogEndsWithAWholeWrite) {
  const Place place;
  const TemporaryFolder scratch;
  constexpr std::uint64_t writes = 25;
  Bytes database;
  Bytes log;
  {
    const auto store = place.open();
    for (std::uint64_t number = 1; number <= writes; ++number) {
      ASSERT_TRUE(
          store->commit_and_wait({.blocks = {block_of(number, 3'000)},
                                  .entries = {{number, entry_of(2 * number)}, {number, entry_of(2 * number + 1)}},
                                  .signs_from = number}));
    }
    database = read_file(place.file);
    log = read_file(place.file.string() + "-wal");
  }
  ASSERT_GT(log.size(), 25U * 4096);
  const fs::path file = scratch.path() / "chain.db";
  std::mt19937 random(7);
  std::uint64_t most = 0;
  const auto check = [&](const Bytes& torn, std::size_t at) {
    for (const char* end : {"-wal", "-shm", "-lock"}) fs::remove(file.string() + end);
    write_file(file, database);
    write_file(file.string() + "-wal", torn);
    // Who only reads sees the same; whose chain it is may be in what was torn off.
    std::optional<std::uint64_t> seen;
    if (const auto reader = ChainReader::open(file); reader) seen = (*reader)->height().value();
    auto store = ChainStore::open(file, home_federation);
    ASSERT_TRUE(store) << at << ": " << store.error().message;
    const auto height = (*store)->height();
    ASSERT_TRUE(height) << at;
    ASSERT_EQ(seen.value_or(0), *height) << at;
    const auto [blocks, end] = replay(**store);
    ASSERT_TRUE(end) << at << ": " << end.error().message;
    ASSERT_EQ(blocks.size(), *height) << at;
    for (const ChainBlock& block : blocks) ASSERT_EQ(block, block_of(block.height, 3'000)) << at;
    const auto entries = (*store)->log();
    ASSERT_TRUE(entries) << at << ": " << entries.error().message;
    ASSERT_EQ(entries->entries.size(), 2 * *height) << at;
    for (std::size_t n = 0; n < entries->entries.size(); ++n) ASSERT_EQ(entries->entries[n], entry_of(n + 2)) << at;
    ASSERT_EQ(entries->signs_from, *height == 0 ? std::nullopt : std::optional(*height)) << at;
    most = std::max(most, *height);
    if (at % 4 != 0) return;
    // It goes on from there.
    ASSERT_TRUE((*store)->commit_and_wait({.blocks = {block_of(*height + 1, 3'000)}})) << at;
    ASSERT_EQ((*store)->height(), *height + 1) << at;
  };
  check(log, log.size());
  EXPECT_EQ(most, writes);
  std::uint64_t before = 0;
  for (std::size_t size = 0; size < log.size(); size += 1 + random() % 6'000) {
    most = 0;
    check(Bytes(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(size)), size);
    EXPECT_GE(most, before);
    before = most;
  }
  for (int round = 0; round < 30; ++round) {
    Bytes torn = log;
    const std::size_t at = random() % log.size();
    torn[at] ^= static_cast<std::uint8_t>(1U << random() % 8);
    check(torn, at);
  }
}

TEST(ChainStore, FullDatabaseLosesNothing) {
  const Place place;
  std::uint64_t kept = 0;
  std::vector<std::uint64_t> failed;
  {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Status> troubles;
    const auto store = place.open({.max_database_bytes = 256 << 10, .on_trouble = [&](const Status& status) {
                                     const std::lock_guard guard(mutex);
                                     troubles.push_back(status);
                                     changed.notify_all();
                                   }});
    // One by one until one does not fit, then more behind it.
    for (std::uint64_t height = 1; height < 1'000; ++height) {
      std::optional<Status> answer;
      store->commit({.blocks = {block_of(height, 2'000)}, .entries = {{height, entry_of(height)}}},
                    [&, height](const Status& done) {
                      const std::lock_guard guard(mutex);
                      (done ? kept : failed.emplace_back()) = height;
                      changed.notify_all();
                    });
      std::unique_lock guard(mutex);
      changed.wait(guard, [&] { return kept == height || !troubles.empty(); });
      if (!troubles.empty()) break;
    }
    ASSERT_GT(kept, 10U);
    for (std::uint64_t height = kept + 2; height <= kept + 5; ++height) {
      store->commit({.blocks = {block_of(height, 2'000)}, .entries = {{height, entry_of(height)}}},
                    [&, height](const Status& done) {
                      const std::lock_guard guard(mutex);
                      (done ? kept : failed.emplace_back()) = height;
                    });
    }
    {
      std::unique_lock guard(mutex);
      changed.wait(guard, [&] { return troubles.size() >= 2; });
      EXPECT_TRUE(contains(troubles[0].error().message, "no space is left")) << troubles[0].error().message;
      EXPECT_EQ(troubles[1].error().code, ErrorCode::storage);
      EXPECT_TRUE(failed.empty());
    }
    EXPECT_EQ(store->queued().writes, 5U);
    EXPECT_EQ(replay(*store).first.size(), kept);
    EXPECT_EQ(store->log()->entries.size(), kept);
  }
  EXPECT_EQ(failed, (std::vector{kept + 1, kept + 2, kept + 3, kept + 4, kept + 5}));
  const auto store = place.open();
  EXPECT_EQ(store->height(), kept);
  EXPECT_TRUE(replay(*store).second);
  EXPECT_EQ(store->log()->entries.size(), kept);
  EXPECT_TRUE(store->commit_and_wait({.blocks = {block_of(kept + 1, 2'000)}}));
}

TEST(ChainStore, WritesInOrderOnceTheDiskCan) {
  const Place place;
  // In a process of its own, since the limit is the whole process's.
  const int failed = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<bool> troubles;  // Whether it can write.
    std::vector<std::uint64_t> answered;
    const auto store = ChainStore::open(place.file, home_federation, {.on_trouble = [&](const Status& status) {
                                          const std::lock_guard guard(mutex);
                                          troubles.push_back(status.has_value());
                                          changed.notify_all();
                                        }});
    if (!store) return 1;
    const auto commit = [&](std::uint64_t number) {
      (*store)->commit({.blocks = {block_of(number)}, .entries = {{number, entry_of(number)}}},
                       [&, number](const Status& status) {
                         const std::lock_guard guard(mutex);
                         answered.push_back(status ? number : 1'000 + number);
                         changed.notify_all();
                       });
    };
    const auto wait_for = [&](const auto& condition) {
      std::unique_lock guard(mutex);
      changed.wait(guard, condition);
    };
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
    if (::setrlimit(RLIMIT_FSIZE, &none) != 0) return 3;
    commit(1);
    commit(2);
    wait_for([&] { return troubles.size() >= 2; });
    commit(3);
    wait_for([&] { return troubles.size() >= 3; });
    {
      const std::lock_guard guard(mutex);
      if (!answered.empty() || std::ranges::count(troubles, true) != 0) return 4;
    }
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 5;
    wait_for([&] { return answered.size() == 3 && troubles.back(); });
    if (answered != std::vector<std::uint64_t>{1, 2, 3}) return 6;
    if (std::ranges::count(troubles, true) != 1) return 7;
    // At the close there is one try more, and then the answer is the error.
    if (::setrlimit(RLIMIT_FSIZE, &none) != 0) return 8;
    commit(4);
    wait_for([&] { return !troubles.back(); });
    return 0;
  });
  EXPECT_EQ(failed, 0);
  const auto store = place.open();
  EXPECT_EQ(store->height(), 3U);
  EXPECT_EQ(store->log()->entries, (Log{entry_of(1), entry_of(2), entry_of(3)}));
}

TEST(ChainStore, ALongLogTakesNoMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep memory of their own";
#endif
  const Place place;
  constexpr std::uint64_t entries = 1'000'000;
  constexpr std::uint64_t of_one_write = 10'000;
  const int failed = in_child([&] {
    const auto store = ChainStore::open(place.file, home_federation);
    if (!store) return 1;
    const auto peak = [] {
      rusage usage{};
      ::getrusage(RUSAGE_SELF, &usage);
      return usage.ru_maxrss;
    };
    const auto before = peak();
    for (std::uint64_t first = 1; first <= entries; first += of_one_write) {
      ChainWrite write;
      for (std::uint64_t number = first; number < first + of_one_write; ++number) {
        write.entries.emplace_back(number, entry_of(number));
        write.entries.back().second.resize(100);
      }
      if (!(*store)->commit_and_wait(std::move(write))) return 2;
    }
    std::uint64_t seen = 0;
    const Status read = (*store)->each_entry([&](const ChainEntry& entry) -> Status {
      ++seen;
      Bytes expected = entry_of(seen);
      expected.resize(100);
      return entry.height == seen && entry.bytes == expected ? Status() : fail(ErrorCode::internal, "order");
    });
    if (!read || seen != entries) return 3;
    if (!(*store)->commit_and_wait({.forget_below = entries})) return 4;
    if ((*store)->log()->entries.size() != 1) return 5;
    constexpr long kilobytes = 64 << 10;  // The log has 100 MB.
    return peak() - before < kilobytes ? 0 : 6;
  });
  EXPECT_EQ(failed, 0);
}

// A child commits and says so on a pipe once each write is answered; it is killed at a random moment. What was answered
// must be there, and each write wholly, after all before it.
TEST(ChainStore, SurvivesKills) {
  const Place place;
  std::mt19937 random(20'260'102);
  std::uint64_t answered = 0;
  constexpr std::uint64_t remembered = 3;
  for (int round = 0; round < 30; ++round) {
    const std::uint64_t first = answered + 1;
    answered = kill_at_random(random, answered, [&](int out) {
      auto store = ChainStore::open(place.file, home_federation);
      if (!store) ::_exit(1);
      std::atomic<std::uint64_t> open{0};
      for (std::uint64_t number = first;; ++number) {
        while (open > 20) std::this_thread::yield();
        ++open;
        (*store)->commit({.blocks = {block_of(number, number % 7 == 0 ? 9'000 : 100)},
                          .forget_below = number > remembered ? number - remembered : 0,
                          .entries = {{number, entry_of(2 * number)}, {number, entry_of(2 * number + 1)}},
                          .signs_from = number},
                         [&, number](const Status& done) {
                           --open;
                           if (!done || ::write(out, &number, sizeof number) != sizeof number) ::_exit(2);
                         });
      }
    });
    const auto store = place.open();
    ASSERT_NE(store, nullptr);
    const auto height = store->height();
    ASSERT_TRUE(height);
    ASSERT_GE(*height, answered);
    const auto [blocks, end] = replay(*store);
    ASSERT_TRUE(end) << end.error().message;
    ASSERT_EQ(blocks.size(), *height);
    for (const ChainBlock& block : blocks) {
      ASSERT_EQ(block, block_of(block.height, block.height % 7 == 0 ? 9'000 : 100));
    }
    const auto log = store->log();
    ASSERT_TRUE(log) << log.error().message;
    std::vector<Bytes> expected;
    for (std::uint64_t number = *height > remembered ? *height - remembered : 1; number <= *height; ++number) {
      expected.push_back(entry_of(2 * number));
      expected.push_back(entry_of(2 * number + 1));
    }
    ASSERT_EQ(log->entries, expected);
    ASSERT_EQ(log->signs_from, *height == 0 ? std::nullopt : std::optional(*height));
    answered = *height;
  }
  EXPECT_GT(answered, 0U);
}

// ---- snapshots

ChainPart part_of(std::uint64_t height, std::uint64_t number, std::size_t size = 20) {
  Bytes bytes = to_bytes(fmt::format("part {} of {}:", number, height));
  bytes.resize(std::max(size, bytes.size()), 7);
  return {.height = height, .number = number, .bytes = std::move(bytes)};
}
ChainWrite blocks_up_to(std::uint64_t from, std::uint64_t to) {
  ChainWrite write;
  for (; from <= to; ++from) write.blocks.push_back(block_of(from));
  return write;
}
/// The pieces first, as they are written.
void keep_snapshot(ChainStore& store, std::uint64_t height) {
  ChainWrite pieces;
  pieces.parts = {part_of(height, 1), part_of(height, 2, 30)};
  ASSERT_TRUE(store.commit_and_wait(std::move(pieces)));
  ChainWrite head;
  head.parts = {part_of(height, 0)};
  ASSERT_TRUE(store.commit_and_wait(std::move(head)));
}
std::vector<std::uint64_t> snapshot_heights(const auto& chain) {
  const auto found = chain.snapshots();
  EXPECT_TRUE(found) << found.error().message;
  std::vector<std::uint64_t> heights;
  for (const ChainSnapshot& one : *found) heights.push_back(one.height);
  return heights;
}

TEST(ChainStore, KeepsTheLastTwoSnapshots) {
  const Place place;
  const auto store = place.open();
  ASSERT_TRUE(store->commit_and_wait(blocks_up_to(1, 9)));
  EXPECT_EQ(snapshot_heights(*store), std::vector<std::uint64_t>{});
  keep_snapshot(*store, 3);
  keep_snapshot(*store, 5);
  keep_snapshot(*store, 8);
  EXPECT_EQ(snapshot_heights(*store), (std::vector<std::uint64_t>{8, 5}));
  EXPECT_EQ(store->snapshots()->front().bytes, part_of(8, 1).bytes.size() + 30);
  EXPECT_EQ(*store->part(8, 2), part_of(8, 2, 30).bytes);
  EXPECT_EQ(*store->part(5, 0), part_of(5, 0).bytes);
  for (const auto& [height, number] : {std::pair{3, 0}, {3, 1}, {8, 3}, {7, 0}}) {
    const auto missing = store->part(static_cast<std::uint64_t>(height), static_cast<std::uint64_t>(number));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  }
  EXPECT_EQ(store->part(~std::uint64_t{0}, 0).error().code, ErrorCode::not_found);
  // One whose head was never written is none, and goes with the next.
  ChainWrite pieces;
  pieces.parts = {part_of(9, 1)};
  ASSERT_TRUE(store->commit_and_wait(std::move(pieces)));
  EXPECT_EQ(snapshot_heights(*store), (std::vector<std::uint64_t>{8, 5}));
  keep_snapshot(*store, 10);
  EXPECT_EQ(store->part(9, 1).error().code, ErrorCode::not_found);
  EXPECT_EQ(snapshot_heights(*store), (std::vector<std::uint64_t>{10, 8}));
  EXPECT_EQ(*store->height(), 9U);
  EXPECT_EQ(*store->base(), 0U);
}

TEST(ChainStore, BeginsAtASnapshotAndGoesOn) {
  const Place place;
  {
    const auto store = place.open();
    ASSERT_TRUE(store->commit_and_wait(blocks_up_to(1, 3)));
    keep_snapshot(*store, 2);
    ChainWrite write = blocks_up_to(21, 22);
    write.parts = {part_of(20, 1), part_of(20, 0)};
    write.begins_at = 20;
    write.signs_from = 7;
    ASSERT_TRUE(store->commit_and_wait(std::move(write)));
    EXPECT_EQ(*store->base(), 20U);
    EXPECT_EQ(*store->height(), 22U);
    EXPECT_EQ(snapshot_heights(*store), std::vector<std::uint64_t>{20});
  }
  const auto store = place.open();
  EXPECT_EQ(*store->base(), 20U);
  EXPECT_EQ(*store->height(), 22U);
  EXPECT_EQ(store->log()->signs_from, 7U);
  for (const std::uint64_t later : {30U, 40U, 50U}) keep_snapshot(*store, later);
  EXPECT_EQ(snapshot_heights(*store), (std::vector<std::uint64_t>{50, 40, 20})) << "it begins with the last of them";
  EXPECT_EQ(heights(replay(*store).first), (std::vector<std::uint64_t>{21, 22}));
  EXPECT_EQ(heights_read(*store, 21, 9), (std::vector<std::uint64_t>{21, 22}));
  for (const std::uint64_t height : {1U, 2U, 20U}) {
    const auto missing = store->read(height, 1, any_bytes);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
    EXPECT_TRUE(contains(missing.error().message, "not-kept: the block of height")) << missing.error().message;
  }
  // And from a block of its own on.
  std::vector<std::uint64_t> later;
  EXPECT_TRUE(store->each_block(
      [&](const ChainBlock& block) -> Status {
        later.push_back(block.height);
        return {};
      },
      21));
  EXPECT_EQ(later, std::vector<std::uint64_t>{22});
  // What is fetched again from the first block on is the chain.
  ASSERT_TRUE(store->commit_and_wait(blocks_up_to(1, 4)));
  EXPECT_EQ(*store->base(), 0U);
  EXPECT_EQ(*store->height(), 4U);
  EXPECT_EQ(snapshot_heights(*store), std::vector<std::uint64_t>{});
}

TEST(ChainStore, ADamagedSnapshotIsNamed) {
  const Place place;
  {
    const auto store = place.open();
    keep_snapshot(*store, 5);
  }
  place.change("UPDATE part SET bytes = x'00' WHERE number = 1");
  const auto store = place.open();
  const auto damaged = store->part(5, 1);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::storage);
  EXPECT_TRUE(contains(damaged.error().message, "damaged-snapshot: part 1")) << damaged.error().message;
  EXPECT_TRUE(store->part(5, 2));
}

TEST(ChainStore, WhereItsBeginningIsForgottenItIsFoundAgain) {
  const Place place;
  {
    const auto store = place.open();
    ChainWrite write = blocks_up_to(21, 22);
    write.parts = {part_of(20, 1), part_of(20, 0)};
    write.begins_at = 20;
    ASSERT_TRUE(store->commit_and_wait(std::move(write)));
  }
  place.change("UPDATE state SET base = 3");
  {
    const auto store = place.open();
    EXPECT_FALSE(store->height());
    ASSERT_TRUE(store->commit_and_wait(blocks_up_to(23, 23)));
    EXPECT_EQ(*store->base(), 20U);
    EXPECT_EQ(*store->height(), 23U);
    EXPECT_EQ(store->log()->signs_from, signs_never);
  }
}

TEST(ChainStore, AChainOfTheFirstVersionIsTakenOver) {
  const Place place;
  {
    const auto store = place.open();
    ChainWrite write = blocks_up_to(1, 2);
    write.signs_from = 1;
    ASSERT_TRUE(store->commit_and_wait(std::move(write)));
  }
  place.change("DROP TABLE part; ALTER TABLE state DROP COLUMN base; PRAGMA user_version = 1");
  EXPECT_FALSE(ChainReader::open(place.file)) << "a node opens it first";
  const auto store = place.open();
  EXPECT_EQ(*store->height(), 2U);
  EXPECT_EQ(store->log()->signs_from, 1U);
  keep_snapshot(*store, 2);
  EXPECT_EQ(snapshot_heights(*store), std::vector<std::uint64_t>{2});
}

}  // namespace
}  // namespace mesh::store
