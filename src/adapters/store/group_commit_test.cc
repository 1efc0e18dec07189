#include "adapters/store/group_commit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <latch>
#include <string>
#include <vector>

#include "adapters/store/temporary_folder.h"

namespace mesh::store {
namespace {

// What insists stays before what came while it was tried; what does not is answered with the error.
TEST(GroupCommit, TriesAgainBeforeWhatCameSince) {
  const TemporaryFolder folder;
  auto opened = sqlite::Connection::open(folder.path() / "a.db", sqlite::Connection::Mode::read_write);
  ASSERT_TRUE(opened);
  sqlite::Connection connection = std::move(*opened);
  ASSERT_TRUE(connection.run("CREATE TABLE t(number INTEGER)"));
  std::vector<std::string> seen;  // On the thread of the commits alone, until it has ended.
  std::latch trying(1);
  std::latch queued(1);
  std::latch answered(3);
  GroupCommit commits(connection, {.max_jobs = 10, .max_bytes = 10, .on_trouble = [&](const Status& status) {
                                     seen.emplace_back(status ? "well" : "ill");
                                   }});
  int tries = 0;
  const auto job = [&](int number, bool insists) {
    GroupCommit::Job made{.bytes = 1, .insists = insists};
    made.write = [&, number]() -> Status {
      seen.push_back(fmt::format("write {}", number));
      MESH_TRY(connection.run(fmt::format("INSERT INTO t VALUES ({})", number)));
      if (number == 2 && tries++ == 0) {
        trying.count_down();
        queued.wait();
        return fail(ErrorCode::storage, "not yet");
      }
      return {};
    };
    made.completion = [&, number](const Status& status) {
      seen.push_back(fmt::format("{} {}", status ? "done" : "failed", number));
      if (number != 0) answered.count_down();
    };
    return made;
  };
  std::latch held(1);
  std::latch go(1);
  GroupCommit::Job first = job(0, false);
  first.completion = [&](const Status&) {
    held.count_down();
    go.wait();
  };
  commits.commit(std::move(first), {});
  held.wait();
  seen.clear();
  commits.commit(job(1, false), {});  // These two go together: nothing of either is written when one fails.
  commits.commit(job(2, true), {});
  go.count_down();
  trying.wait();
  commits.commit(job(3, true), {});
  EXPECT_EQ(commits.waiting().jobs, 3U);
  queued.count_down();
  answered.wait();
  commits.close();
  EXPECT_EQ(seen, (std::vector<std::string>{"write 1", "write 2", "ill", "failed 1", "write 2", "write 3", "well",
                                            "done 2", "done 3"}));
  EXPECT_EQ(connection.query_text("SELECT group_concat(number) FROM (SELECT number FROM t ORDER BY rowid)"), "0,2,3");
}

}  // namespace
}  // namespace mesh::store
