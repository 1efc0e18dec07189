#include "adapters/store/node_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <future>
#include <latch>
#include <random>
#include <thread>

#include "adapters/store/sqlite.h"
#include "adapters/store/temporary_folder.h"
#include "adapters/store/test_tools.h"

namespace mesh::store {
namespace {

namespace fs = std::filesystem;

Cid scope_of(std::uint64_t number) { return Cid::of(Multicodec::dag_cbor, as_bytes(fmt::format("scope {}", number))); }
StoredRecord record(std::uint64_t scope, std::string kind, std::string_view text) {
  return {.scope = scope_of(scope), .kind = std::move(kind), .bytes = to_bytes(text)};
}

std::vector<StoredRecord> everything(const NodeStore& store) {
  std::vector<StoredRecord> all;
  const Status read = store.load_all([&all](StoredRecord one) -> Status {
    all.push_back(std::move(one));
    return {};
  });
  EXPECT_TRUE(read) << read.error().message;
  return all;
}

std::unique_ptr<NodeStore> open_or_fail(const fs::path& home, NodeStoreOptions options = {}) {
  auto store = NodeStore::open(home, std::move(options));
  EXPECT_TRUE(store) << store.error().message;
  return store ? std::move(*store) : nullptr;
}

TEST(NodeStore, KeepsRecordsInOrderAndKeyValues) {
  const TemporaryFolder folder;
  {
    const auto store = open_or_fail(folder.path());
    ASSERT_TRUE(
        store->commit_and_wait({.append = {record(1, "intent", "a"), record(2, "intent", "b"), record(1, "bid", "c")},
                                .put = {{"k/1", to_bytes("one")}, {"k/2", to_bytes("")}, {"l", to_bytes("x")}}}));
    ASSERT_TRUE(store->commit_and_wait(
        {.append = {record(1, "bid", "")}, .put = {{"k/1", to_bytes("uno")}}, .erase = {"l", "absent"}}));
  }
  const auto store = open_or_fail(folder.path());
  const std::vector<StoredRecord> expected{record(1, "intent", "a"), record(2, "intent", "b"), record(1, "bid", "c"),
                                           record(1, "bid", "")};
  EXPECT_EQ(everything(*store), expected);
  EXPECT_EQ(store->records(scope_of(1)), (std::vector<StoredRecord>{expected[0], expected[2], expected[3]}));
  EXPECT_EQ(store->records(scope_of(9)), std::vector<StoredRecord>{});
  EXPECT_EQ(store->get("k/1"), to_bytes("uno"));
  EXPECT_EQ(store->get("k/2"), Bytes{});
  EXPECT_FALSE(store->get("l").value().has_value());
  const auto scanned = store->scan("k/");
  ASSERT_TRUE(scanned);
  ASSERT_EQ(scanned->size(), 2U);
  EXPECT_EQ((*scanned)[0].first, "k/1");
  EXPECT_EQ((*scanned)[1].first, "k/2");
  EXPECT_EQ(store->scan("k/", 1)->size(), 1U);
}

TEST(NodeStore, ScansPrefixesOfAnyBytes) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path());
  const std::string high("\xff\xff", 2);
  ASSERT_TRUE(store->commit_and_wait(
      {.put = {{high, {}}, {high + "a", {}}, {"a", {}}, {std::string("a\0b", 3), {}}, {"b", {}}}}));
  EXPECT_EQ(store->scan(high)->size(), 2U);
  EXPECT_EQ(store->scan("a")->size(), 2U);
  EXPECT_EQ(store->scan("")->size(), 5U);
  EXPECT_EQ(store->scan("c")->size(), 0U);
}

TEST(NodeStore, ListsScopesByPrefixAndDropsThem) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path());
  WriteBatch batch;
  for (std::uint64_t n = 0; n < 50; ++n) batch.append.push_back(record(n, "k", "bytes"));
  ASSERT_TRUE(store->commit_and_wait(std::move(batch)));
  const auto all = store->list_scopes();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 50U);
  for (std::uint64_t n = 0; n < 50; ++n) EXPECT_EQ((*all)[n], scope_of(n));
  const std::string prefix = scope_of(7).text().substr(0, 20);
  EXPECT_EQ(store->list_scopes(prefix), std::vector<Cid>{scope_of(7)});
  EXPECT_EQ(store->list_scopes("nothing")->size(), 0U);
  EXPECT_EQ(store->list_scopes("", 3)->size(), 3U);
  // Dropped first, then appended: the same batch may replace a scope.
  ASSERT_TRUE(store->commit_and_wait(
      {.append = {record(7, "k", "new")}, .drop_scopes = {scope_of(7), scope_of(8), scope_of(999)}}));
  EXPECT_EQ(store->records(scope_of(7)), std::vector<StoredRecord>{record(7, "k", "new")});
  EXPECT_EQ(store->records(scope_of(8)), std::vector<StoredRecord>{});
  EXPECT_EQ(everything(*store).size(), 49U);
}

TEST(NodeStore, AppendingTheSameAgainChangesNothing) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path());
  ASSERT_TRUE(store->commit_and_wait({.append = {record(1, "k", "a"), record(1, "k", "a")}}));
  ASSERT_TRUE(store->commit_and_wait({.append = {record(1, "k", "a"), record(1, "l", "a"), record(2, "k", "a")}}));
  EXPECT_EQ(everything(*store),
            (std::vector<StoredRecord>{record(1, "k", "a"), record(1, "l", "a"), record(2, "k", "a")}));
}

TEST(NodeStore, RefusesMalformedAndOversizedBatchesWhole) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path(), {.max_batch_bytes = 10'000});
  const auto code = [&](WriteBatch batch) {
    const Status done = store->commit_and_wait(std::move(batch));
    return done ? std::optional<ErrorCode>() : done.error().code;
  };
  EXPECT_EQ(code({.append = {record(1, "", "a")}}), ErrorCode::invalid);
  EXPECT_EQ(code({.append = {record(1, std::string(65, 'k'), "a")}}), ErrorCode::invalid);
  EXPECT_EQ(code({.append = {record(1, "ok", "a")}, .put = {{"", {}}}}), ErrorCode::invalid);
  EXPECT_EQ(code({.put = {{std::string(513, 'k'), {}}}}), ErrorCode::invalid);
  EXPECT_EQ(code({.erase = {""}}), ErrorCode::invalid);
  EXPECT_EQ(code({.append = {record(1, "ok", std::string(10'001, 'x'))}}), ErrorCode::exhausted);
  EXPECT_TRUE(everything(*store).empty());
}

TEST(NodeStore, BoundsItsQueueAndAnswersInOrder) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path(), {.max_queued_batches = 4});
  std::latch blocked(1);
  std::latch release(1);
  store->commit({.put = {{"a", {}}}}, [&](Status) {
    blocked.count_down();
    release.wait();
  });
  blocked.wait();  // The store's thread is held up in a completion; its batch is answered and no longer counts.
  std::vector<int> order;
  std::atomic<int> refused{0};
  std::latch answered(4);
  for (int n = 0; n < 6; ++n) {
    store->commit({.put = {{fmt::format("n{}", n), {}}}}, [&, n](Status done) {
      if (done) {
        order.push_back(n);
        answered.count_down();
      } else {
        EXPECT_EQ(done.error().code, ErrorCode::exhausted);
        ++refused;
      }
    });
  }
  EXPECT_EQ(store->queued(), 4U);
  EXPECT_EQ(refused, 2);
  release.count_down();
  answered.wait();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(store->scan("n")->size(), 4U);
}

TEST(NodeStore, WritesWhatMayWaitByItselfAndInOrderWithTheRest) {
  const TemporaryFolder folder;
  auto store = open_or_fail(folder.path());
  std::latch alone(1);
  store->commit({.put = {{"alone", {}}}, .urgency = Urgency::may_wait}, [&](Status done) {
    EXPECT_TRUE(done);
    alone.count_down();
  });
  alone.wait();
  EXPECT_TRUE(store->get("alone")->has_value());
  std::vector<int> order;
  std::latch answered(3);
  for (const int n : {0, 1, 2}) {
    store->commit(
        {.put = {{"last", Bytes{static_cast<std::uint8_t>(n)}}}, .urgency = n == 2 ? Urgency::now : Urgency::may_wait},
        [&, n](Status) {
          order.push_back(n);
          answered.count_down();
        });
  }
  answered.wait();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(**store->get("last"), Bytes{2});
  store->commit({.put = {{"closing", {}}}, .urgency = Urgency::may_wait}, {});
  store.reset();
  EXPECT_TRUE(open_or_fail(folder.path())->get("closing")->has_value());
}

TEST(NodeStore, WritesWhatIsQueuedBeforeItCloses) {
  const TemporaryFolder folder;
  std::atomic<int> answered{0};
  {
    const auto store = open_or_fail(folder.path());
    for (int n = 0; n < 200; ++n) {
      store->commit({.put = {{fmt::format("{:03}", n), {}}}}, [&](Status done) { answered += done ? 1 : 0; });
    }
  }
  EXPECT_EQ(answered, 200);
  EXPECT_EQ(open_or_fail(folder.path())->scan("")->size(), 200U);
}

TEST(NodeStore, ReadsFromManyThreadsWhileItWrites) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path());
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> torn{0};
  std::vector<std::thread> readers;
  for (int n = 0; n < 3; ++n) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto pairs = store->scan("pair/");
        // Both keys are put in one batch, so they are always equal.
        if (!pairs || (pairs->size() != 0 && (pairs->size() != 2 || (*pairs)[0].second != (*pairs)[1].second))) ++torn;
      }
    });
  }
  for (std::uint64_t n = 0; n < 200; ++n) {
    const Bytes value = to_bytes(std::to_string(n));
    ASSERT_TRUE(store->commit_and_wait(
        {.append = {record(n % 5, "k", std::to_string(n))}, .put = {{"pair/a", value}, {"pair/b", value}}}));
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(torn, 0U);
  EXPECT_EQ(everything(*store).size(), 200U);
}

TEST(NodeStore, BoundsWhatOneReadReturns) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path(), {.max_read_bytes = 1000});
  ASSERT_TRUE(
      store->commit_and_wait({.append = {record(1, "k", std::string(600, 'a')), record(1, "k", std::string(600, 'b'))},
                              .put = {{"a", Bytes(600)}, {"b", Bytes(600)}}}));
  EXPECT_EQ(store->records(scope_of(1)).error().code, ErrorCode::exhausted);
  EXPECT_EQ(store->scan("").error().code, ErrorCode::exhausted);
  EXPECT_TRUE(store->scan("", 1));
  EXPECT_EQ(everything(*store).size(), 2U);
}

TEST(NodeStore, LoadStopsAtTheReadersError) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path());
  ASSERT_TRUE(store->commit_and_wait({.append = {record(1, "k", "a"), record(1, "k", "b")}}));
  int seen = 0;
  const Status read = store->load_all([&](const StoredRecord&) -> Status {
    ++seen;
    EXPECT_TRUE(store->get("x"));  // Reading from inside the callback does not lock up.
    return fail(ErrorCode::invalid, "no");
  });
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(read.error().message, "no");
}

TEST(NodeStore, RefusesASecondProcessAndNamesTheFirst) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path());
  const auto again = NodeStore::open(folder.path());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
  EXPECT_NE(again.error().message.find(fmt::format("process {}", ::getpid())), std::string::npos)
      << again.error().message;
  EXPECT_NE(again.error().message.find("--home"), std::string::npos);
}

TEST(NodeStore, IsTheUsersAlone) {
  const TemporaryFolder folder;
  const auto store = open_or_fail(folder.path() / "deep" / "home");
  ASSERT_TRUE(store->commit_and_wait({.put = {{"a", {}}}}));
  EXPECT_EQ(fs::status(store->home()).permissions(), fs::perms::owner_all);
  for (const char* name : {"node.db", "node.db-wal", "node.db-shm", "lock"}) {
    EXPECT_EQ(fs::status(store->home() / name).permissions(), fs::perms::owner_read | fs::perms::owner_write) << name;
  }
}

TEST(NodeStore, LeavesANewerSchemaUntouched) {
  const TemporaryFolder folder;
  const fs::path home = folder.path() / "home";
  {
    open_or_fail(home);
  }
  const fs::path file = home / "node.db";
  {
    auto newer = sqlite::Connection::open(file, sqlite::Connection::Mode::read_write);
    ASSERT_TRUE(newer);
    ASSERT_TRUE(newer->run("PRAGMA user_version = 7; UPDATE meta SET value = 'mesh 9.9' WHERE name = 'written_by'"));
  }
  fs::remove(home / "lock");  // So that even the lock file's making would be seen.
  const auto before = snapshot(home);
  const auto refused = NodeStore::open(home);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_NE(refused.error().message.find("mesh 9.9, with schema 7"), std::string::npos) << refused.error().message;
  EXPECT_EQ(snapshot(home), before);
}

TEST(NodeStore, LeavesANewerSchemaThatIsStillInTheWalUntouched) {
  const TemporaryFolder folder;
  const fs::path home = folder.path() / "home";
  const fs::path copy = folder.path() / "copy";
  {
    open_or_fail(home);
  }
  auto newer = sqlite::Connection::open(home / "node.db", sqlite::Connection::Mode::read_write);
  ASSERT_TRUE(newer);
  ASSERT_TRUE(newer->run("PRAGMA user_version = 8; CREATE TABLE more(x); INSERT INTO more VALUES (1);"));
  // As a kill -9 would leave it: the main file still says the old version.
  fs::create_directory(copy);
  fs::copy(home / "node.db", copy / "node.db");
  fs::copy(home / "node.db-wal", copy / "node.db-wal");
  const auto before = snapshot(copy);
  const auto refused = NodeStore::open(copy);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported) << refused.error().message;
  EXPECT_EQ(snapshot(copy), before);
}

TEST(NodeStore, LeavesOtherProgramsDatabasesUntouched) {
  for (const char* sql : {"PRAGMA application_id = 5; CREATE TABLE t(x)", "CREATE TABLE t(x)"}) {
    const TemporaryFolder folder;
    {
      auto other = sqlite::Connection::open(folder.path() / "node.db", sqlite::Connection::Mode::read_write);
      ASSERT_TRUE(other);
      ASSERT_TRUE(other->run(sql));
    }
    const auto refused = NodeStore::open(folder.path());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::storage);
    EXPECT_NE(refused.error().message.find("another program"), std::string::npos) << refused.error().message;
    auto other = sqlite::Connection::open(folder.path() / "node.db", sqlite::Connection::Mode::read_only);
    EXPECT_EQ(other->query_integer("SELECT count(*) FROM sqlite_schema"), 1);
  }
}

TEST(NodeStore, NamesADamagedFile) {
  const TemporaryFolder folder;
  {
    const auto store = open_or_fail(folder.path());
    WriteBatch batch;
    for (std::uint64_t n = 0; n < 500; ++n) batch.append.push_back(record(n, "k", std::string(500, 'x')));
    ASSERT_TRUE(store->commit_and_wait(std::move(batch)));
  }
  const fs::path file = folder.path() / "node.db";
  const Bytes whole = read_file(file);
  const auto write = [&](const Bytes& bytes) { write_file(file, bytes); };
  const auto damaged = [&]() -> std::string {
    auto store = NodeStore::open(folder.path());
    Status read = store ? (*store)->load_all([](const StoredRecord&) -> Status { return {}; })
                        : Status(std::unexpected(store.error()));
    return read ? "" : read.error().message;
  };
  Bytes text(whole.size(), 'x');
  write(text);
  EXPECT_NE(damaged().find("is damaged"), std::string::npos) << damaged();
  write(Bytes(whole.begin(), whole.begin() + 50));
  EXPECT_NE(damaged().find("is damaged"), std::string::npos) << damaged();
  Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2));
  write(cut);
  EXPECT_NE(damaged().find("is damaged"), std::string::npos) << damaged();
  // After an unclean stop the pages are checked at open.
  Bytes holed = whole;
  std::fill(holed.begin() + 8192, holed.begin() + 8192 * 4, std::uint8_t{0xee});
  write(holed);
  write(holed);
  {
    std::ofstream(folder.path() / "node.db-wal") << "left over";
  }
  const auto opened = NodeStore::open(folder.path());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::storage);
  EXPECT_NE(opened.error().message.find("is damaged"), std::string::npos) << opened.error().message;
  write(whole);
  EXPECT_EQ(damaged(), "");
}

TEST(NodeStore, FullDatabaseLosesNothing) {
  const TemporaryFolder folder;
  std::size_t kept = 0;
  {
    const auto store = open_or_fail(folder.path(), {.max_database_bytes = 256 << 10});
    Status done;
    while (kept < 1000) {
      done = store->commit_and_wait({.append = {record(kept, "k", std::string(2000, 'x'))}});
      if (!done) break;
      ++kept;
    }
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::storage);
    EXPECT_NE(done.error().message.find("no space is left"), std::string::npos) << done.error().message;
    EXPECT_EQ(everything(*store).size(), kept);
    // Room is made, and the store goes on.
    ASSERT_TRUE(store->commit_and_wait({.drop_scopes = {scope_of(0), scope_of(1), scope_of(2), scope_of(3)}}));
    EXPECT_TRUE(store->commit_and_wait({.append = {record(5000, "k", std::string(2000, 'y'))}}));
  }
  EXPECT_EQ(everything(*open_or_fail(folder.path())).size(), kept - 3);
}

TEST(NodeStore, FailingWritesLoseNothing) {
  const TemporaryFolder folder;
  // In a process of its own, since the limit on file sizes cannot be raised again by everybody.
  const int kept = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    auto store = NodeStore::open(folder.path());
    if (!store) return 200;
    const rlimit limit{.rlim_cur = 200 << 10, .rlim_max = 200 << 10};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 201;
    for (int n = 0; n < 200; ++n) {
      const Status done =
          (*store)->commit_and_wait({.append = {record(static_cast<std::uint64_t>(n), "k", std::string(4000, 'x'))}});
      if (!done) return done.error().code == ErrorCode::storage ? n : 202;
    }
    return 203;
  });
  ASSERT_GT(kept, 0);
  ASSERT_LT(kept, 200);
  EXPECT_EQ(everything(*open_or_fail(folder.path())).size(), static_cast<std::size_t>(kept));
}

TEST(NodeStore, WhatInsistsIsWrittenOnceItCanBe) {
  const TemporaryFolder folder;
  // In a process of its own, since the limit is the whole process's.
  const int failed = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<bool> troubles;  // What on_trouble was told: whether it can write.
    std::vector<int> answered;
    auto store = NodeStore::open(folder.path(), {.on_trouble = [&](const Status& status) {
                                   const std::lock_guard guard(mutex);
                                   troubles.push_back(status.has_value());
                                   changed.notify_all();
                                 }});
    if (!store) return 1;
    const auto commit = [&](int number, bool insists) {
      (*store)->commit({.append = {record(static_cast<std::uint64_t>(number), "k", "x")}, .insists = insists},
                       [&, number](const Status& status) {
                         const std::lock_guard guard(mutex);
                         answered.push_back(status ? number : -number);
                         changed.notify_all();
                       });
    };
    const auto wait_for = [&](const auto& condition) {
      std::unique_lock guard(mutex);
      return changed.wait_for(guard, std::chrono::seconds(60), condition);
    };
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
    if (::setrlimit(RLIMIT_FSIZE, &none) != 0) return 3;
    commit(1, true);
    commit(2, true);
    if (!wait_for([&] { return troubles.size() >= 2; })) return 4;
    commit(3, false);
    commit(4, true);
    if (!wait_for([&] { return !answered.empty(); })) return 5;
    if (answered != std::vector{-3}) return 6;
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 7;
    if (!wait_for([&] { return answered.size() == 4; })) return 8;
    if (answered != std::vector{-3, 1, 2, 4}) return 9;
    const std::lock_guard guard(mutex);
    return troubles.back() && std::ranges::count(troubles, true) == 1 ? 0 : 10;
  });
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(everything(*open_or_fail(folder.path())).size(), 3U);
}

TEST(NodeStore, WhatInsistsFailsAtTheCloseAtLast) {
  const TemporaryFolder folder;
  const int failed = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    auto store = NodeStore::open(folder.path());
    if (!store) return 1;
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    limit.rlim_cur = 0;
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 3;
    std::optional<Status> answer;
    (*store)->commit({.append = {record(1, "k", "x")}, .insists = true}, [&](Status status) { answer = status; });
    store->reset();
    return answer && !*answer ? 0 : 4;
  });
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(everything(*open_or_fail(folder.path())).empty());
}

TEST(NodeStore, NamesAHomeThatCannotBeWritten) {
  const TemporaryFolder folder;
  {
    std::ofstream(folder.path() / "file") << "x";
  }
  const auto a_file = NodeStore::open(folder.path() / "file");
  ASSERT_FALSE(a_file);
  EXPECT_EQ(a_file.error().code, ErrorCode::storage);
  EXPECT_EQ(NodeStore::open(folder.path() / "file" / "below").error().code, ErrorCode::storage);

  const fs::path locked = folder.path() / "locked";
  // For every class: without root's user id the process still has its group.
  constexpr fs::perms read_only = fs::perms(0555);
  fs::create_directory(locked);
  fs::permissions(locked, read_only);
  fs::permissions(folder.path(), read_only, fs::perm_options::add);
  const int outcome = in_child([&] {
    if (::geteuid() == 0 && ::seteuid(65534) != 0) return 1;  // Root may write anywhere.
    const auto store = NodeStore::open(locked);
    if (store) return 2;
    return store.error().code == ErrorCode::storage &&
                   store.error().message.find("cannot be written") != std::string::npos
               ? 0
               : 3;
  });
  EXPECT_EQ(outcome, 0);
}

// A child commits batches and says so on a pipe once each is acknowledged; it is killed at a random moment. What was
// acknowledged must be there, in order, and each batch whole.
TEST(NodeStore, SurvivesKills) {
  const TemporaryFolder folder;
  std::mt19937 random(20'240'607);
  constexpr std::uint64_t records_per_batch = 5;
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 30; ++round) {
    const std::uint64_t first = acknowledged + 1;
    acknowledged = kill_at_random(random, acknowledged, [&](int out) {
      auto store = NodeStore::open(folder.path());
      if (!store) ::_exit(1);
      std::atomic<std::uint64_t> open{0};
      for (std::uint64_t batch = first;; ++batch) {
        WriteBatch writes;
        for (std::uint64_t n = 0; n < records_per_batch; ++n)
          writes.append.push_back(record(batch, "k", fmt::format("{}:{}", batch, n)));
        writes.put.emplace_back("last", to_bytes(std::to_string(batch)));
        while (open > 20) std::this_thread::yield();
        ++open;
        (*store)->commit(std::move(writes), [&, batch](Status done) {
          --open;
          if (!done || ::write(out, &batch, sizeof batch) != sizeof batch) ::_exit(2);
        });
      }
    });

    const auto store = open_or_fail(folder.path());
    ASSERT_NE(store, nullptr);
    const auto all = everything(*store);
    ASSERT_EQ(all.size() % records_per_batch, 0U) << "half a batch";
    const std::uint64_t written = all.size() / records_per_batch;
    ASSERT_GE(written, acknowledged);
    for (std::uint64_t at = 0; at < all.size(); ++at) {
      const std::uint64_t number = at / records_per_batch + 1;
      ASSERT_EQ(all[at], record(number, "k", fmt::format("{}:{}", number, at % records_per_batch)));
    }
    const auto last = store->get("last");
    ASSERT_TRUE(last);
    ASSERT_EQ(*last, written > 0 ? std::optional(to_bytes(std::to_string(written))) : std::nullopt);
    acknowledged = written;
  }
  EXPECT_GT(acknowledged, 0U);
}

}  // namespace
}  // namespace mesh::store
