#include "app/runtime/downloads.h"

#include <sys/resource.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <csignal>
#include <fstream>
#include <optional>
#include <set>

#include "app/runtime/garbage.h"
#include "app/runtime/stream.h"
#include "app/runtime/test_content.h"
#include "codec/car.h"

namespace mesh::app {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr std::size_t mib = std::size_t{1} << 20;

Bytes content_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// What a holder sends for a range of leaves, as it should be.
Bytes answer_for(const Cid& root, const std::vector<Bytes>& leaves) {
  Bytes out = framed(record::encode(BlocksAnswer{}));
  const Bytes header = car::header(std::span(&root, 1));
  append(out, framed(header));
  BlocksEnd end{.ending = BlocksEnding::complete, .blocks = leaves.size(), .bytes = header.size()};
  for (const Bytes& leaf : leaves) {
    Bytes section;
    append_varint(section, Cid::binary_size + leaf.size());
    append(section, Cid::of(Multicodec::raw, leaf).binary());
    append(section, leaf);
    end.bytes += section.size();
    append(out, framed(section));
  }
  append_varint(out, 0);
  append(out, framed(record::encode(end)));
  return out;
}

struct DownloadsTest : testing::Test {
  boost::asio::io_context io;
  TestStore ours, theirs, others;
  TestOpener opener, nobody;
  NodeId us = test_node(1), they = test_node(2), other = test_node(3);
  std::vector<NodeId> holders{they};
  std::vector<std::pair<NodeId, std::string>> liars;
  std::vector<std::string> told;
  std::vector<std::uint64_t> told_bytes_here;
  std::function<void(const Downloads::View&)> hears;  ///< besides
  std::unique_ptr<ContentExchange> client, server, second;
  std::shared_ptr<FetchedFiles> fetched;
  std::uint64_t quota_bytes = 0;
  std::set<Cid> pinned;
  std::int64_t now_ms = 1;
  std::unique_ptr<Downloads> downloads;
  fs::path folder = ours.folder.path() / "fetched";
  Downloads::Limits limits;

  DownloadsTest() {
    limits.telling = std::chrono::hours(1);  // Only the tests of it want to hear how far something is.
    limits.leaves.first_pause = Duration(0);
    limits.leaves.stall = seconds(2);
    server = std::make_unique<ContentExchange>(io, *theirs.blocks, nobody, ContentExchange::Limits{});
    second = std::make_unique<ContentExchange>(io, *others.blocks, nobody, ContentExchange::Limits{});
    ContentExchange::Limits asking;
    asking.stall = seconds(2);
    client = std::make_unique<ContentExchange>(
        io, *ours.blocks, opener, asking,
        [this](const NodeId& node, const std::string& what) { liars.emplace_back(node, what); });
    opener.peers[they] = [this](int end) { server->serve(us, end); };
    opener.peers[other] = [this](int end) { second->serve(us, end); };
    start();
  }
  ~DownloadsTest() override {
    downloads.reset();
    client.reset();
    server.reset();
    second.reset();
  }

  void start() {
    auto opened = FetchedFiles::open(
        folder, *ours.node, {.quota_bytes = quota_bytes}, [this](const Cid& root) { return pinned.contains(root); },
        [this] { return now_ms++; });
    ASSERT_TRUE(opened) << opened.error().message;
    fetched = std::move(*opened);
    downloads = std::make_unique<Downloads>(
        io, folder, *ours.node, *ours.blocks, *client, *fetched, [this](const Cid&) { return holders; },
        [this](std::string_view kind, const Downloads::View& view, const std::string&) {
          told.emplace_back(kind);
          told_bytes_here.push_back(view.bytes_here);
          if (hears) hears(view);
        },
        limits);
  }

  Cid add(TestStore& store, const Bytes& content) {
    const Cid root = store.add(content);
    store.declare(root);
    return root;
  }

  Result<fs::path> get(Downloads::Wanted wanted) {
    std::optional<Result<fs::path>> result;
    downloads->get(std::move(wanted), [&](Result<fs::path> file) { result = std::move(file); });
    run_until([&] { return result.has_value(); });
    return result ? std::move(*result) : Result<fs::path>(fail(ErrorCode::internal, "never answered"));
  }
  Result<fs::path> get(const Cid& root, const std::string& path = "a/b.bin") {
    return get({.root = root, .path = path, .visibility = asset::Visibility::lan, .sha256 = {}, .holders = {}});
  }

  [[nodiscard]] bool is_first(Downloads::State state) const {
    const auto all = downloads->list();
    return !all.empty() && all[0].state == state;
  }

  template <class Condition>
  void run_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    io.restart();
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      if (io.run_one_for(std::chrono::milliseconds(100)) == 0) io.restart();
    }
    EXPECT_TRUE(condition());
  }

  /// A peer that answers so many questions as it should (the first is for the file's inner nodes, unless they are here
  /// already), and the others with these bytes.
  std::function<void(int)> sends(Bytes answer, int good = 1) {
    return [this, answer = std::move(answer), good](int end) mutable {
      if (good-- > 0) return server->serve(us, end);
      canned(answer)(end);
    };
  }
};

TEST_F(DownloadsTest, AFileComesToItsPlace) {
  const Bytes content = noise(5 * mib + 17, 1);
  const auto file = get(add(theirs, content));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*file, folder / "lan" / "a" / "b.bin");
  EXPECT_EQ(content_of(*file), content);
  const std::vector<Downloads::View> all = downloads->list();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].state, Downloads::State::done);
  EXPECT_EQ(all[0].bytes_fetched, content.size());
  ASSERT_EQ(all[0].holders.size(), 1U);
  EXPECT_EQ(all[0].holders[0].node, they);
  EXPECT_EQ(told, (std::vector<std::string>{"transfer.began", "transfer.done"}));
  EXPECT_TRUE(ours.node->scan("download/", 10)->empty());
}

TEST_F(DownloadsTest, HowFarItIsIsToldByTheHundredth) {
  limits.telling = Duration(0);
  downloads.reset();
  start();
  const Bytes content = noise(5 * mib, 1);
  ASSERT_TRUE(get(add(theirs, content)));
  EXPECT_EQ(told, (std::vector<std::string>{"transfer.began", "transfer.progress", "transfer.progress",
                                            "transfer.progress", "transfer.progress", "transfer.done"}));
  EXPECT_EQ(told_bytes_here, (std::vector<std::uint64_t>{0, mib, 2 * mib, 3 * mib, 4 * mib, 5 * mib}));
}

TEST_F(DownloadsTest, EmptySmallAndOneLeafFiles) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, mib}) {
    const Bytes content = noise(size, 2);
    const auto file = get(add(theirs, content), fmt::format("{}", size));
    ASSERT_TRUE(file) << size << ": " << file.error().message;
    EXPECT_EQ(content_of(*file), content);
  }
}

TEST_F(DownloadsTest, WhatRepeatsComesOnce) {
  Bytes content;
  const Bytes part = noise(mib, 3);
  for (int i = 0; i < 12; ++i) append(content, part);
  append(content, Bytes(4 * mib));
  const auto file = get(add(theirs, content));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(content_of(*file), content);
  // The first request asks for what it cannot know to be the same.
  EXPECT_LE(downloads->list()[0].bytes_fetched, 16 * mib);
}

TEST_F(DownloadsTest, TwoHoldersShareTheWork) {
  const Bytes content = noise(24 * mib, 4);
  const Cid root = add(theirs, content);
  add(others, content);
  holders = {they, other};
  const auto file = get(root);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(content_of(*file), content);
  EXPECT_EQ(downloads->list()[0].holders.size(), 2U);
}

TEST_F(DownloadsTest, AHolderThatLacksItOrIsAwayIsNoMatter) {
  const Bytes content = noise(3 * mib, 5);
  holders = {test_node(9), other, they};
  const auto file = get(add(theirs, content));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(liars.empty());
}

TEST_F(DownloadsTest, ABadBlockAtAnyPlaceIsALie) {
  constexpr std::size_t count = 4;
  const Bytes content = noise(count * mib, 6);
  const Cid root = add(theirs, content);
  for (std::size_t bad = 0; bad < count; ++bad) {
    std::vector<Bytes> leaves;
    for (std::size_t i = 0; i < count; ++i)
      leaves.emplace_back(content.begin() + static_cast<std::ptrdiff_t>(i * mib),
                          content.begin() + static_cast<std::ptrdiff_t>((i + 1) * mib));
    // Two requests, of two leaves each.
    Bytes answer;
    for (std::size_t i = 0; i < count; i += 2) append(answer, answer_for(root, {leaves[i], leaves[i + 1]}));
    // One bit of that leaf's bytes.
    const auto place = std::ranges::search(answer, std::span(leaves[bad]).first(64));
    ASSERT_FALSE(place.empty());
    *(place.begin() + 1000) ^= 1;
    const NodeId liar = test_node(static_cast<std::uint8_t>(20 + bad));
    opener.peers[liar] = sends(std::move(answer), bad == 0 ? 1 : 0);
    holders = {liar};
    liars.clear();
    const auto file = get(root, fmt::format("bad{}", bad));
    ASSERT_FALSE(file) << bad;
    EXPECT_EQ(file.error().code, ErrorCode::unavailable);
    ASSERT_EQ(liars.size(), 1U) << bad;
    EXPECT_EQ(liars[0].first, liar);
    // What came before is kept, and the honest holder sends the rest.
    holders = {liar, they};
    const auto mended = get(root, "ignored: the first call's is joined");
    ASSERT_TRUE(mended) << mended.error().message;
    EXPECT_EQ(content_of(*mended), content);
    EXPECT_EQ(downloads->list()[0].bytes_fetched, (count - bad) * mib);
  }
}

TEST_F(DownloadsTest, WhatWasNotAskedForIsALie) {
  const Bytes content = noise(2 * mib, 7);
  const Cid root = add(theirs, content);
  const Bytes first(content.begin(), content.begin() + mib);
  const Bytes last(content.begin() + mib, content.end());
  const std::vector<std::pair<std::string, Bytes>> wrong{
      {"another order", answer_for(root, {last, first})},
      {"more than was asked for", answer_for(root, {first, last, last})},
      {"another root", answer_for(Cid::of(Multicodec::raw, first), {first, last})},
      {"no answer", framed(to_bytes("what?"))},
      {"an endless frame", Bytes(9, 0xff)},
  };
  std::uint8_t number = 40;
  for (const auto& [what, answer] : wrong) {
    const NodeId liar = test_node(number++);
    opener.peers[liar] = sends(answer, number == 41 ? 1 : 0);
    holders = {liar, they};
    liars.clear();
    const auto file = get(root, fmt::format("wrong{}", number));
    ASSERT_TRUE(file) << what << ": " << file.error().message;
    EXPECT_EQ(content_of(*file), content);
    // Who is faster is asked for less: the liar may never have come to send it.
    for (const auto& [node, text] : liars) EXPECT_EQ(node, liar) << text;
  }
}

TEST_F(DownloadsTest, AHolderThatStallsOrIsCutIsNotWaitedFor) {
  const Bytes content = noise(8 * mib, 8);
  const Cid root = add(theirs, content);
  const Bytes first(content.begin(), content.begin() + mib);
  Bytes half = answer_for(root, {first});
  half.resize(half.size() / 2);
  const NodeId silent = test_node(60);
  const NodeId cut = test_node(61);
  std::vector<int> kept;
  opener.peers[silent] = [&](int end) { kept.push_back(end); };
  opener.peers[cut] = sends(half);
  holders = {silent, cut, they};
  const auto file = get(root);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(content_of(*file), content);
  EXPECT_TRUE(liars.empty());
  for (const int end : kept) ::close(end);
}

TEST_F(DownloadsTest, ALaterProcessFetchesOnlyWhatIsMissing) {
  const Bytes content = noise(32 * mib, 9);
  const Cid root = add(theirs, content);
  std::optional<Result<fs::path>> never;
  downloads->get({.root = root, .path = "a.bin", .visibility = {}, .sha256 = {}, .holders = {}},
                 [&](Result<fs::path> file) { never = std::move(file); });
  run_until([&] {
    const auto all = downloads->list();
    return !all.empty() && all[0].bytes_here >= 10 * mib;
  });
  const std::uint64_t before = downloads->list()[0].bytes_here;
  downloads.reset();
  EXPECT_FALSE(never);
  EXPECT_TRUE(fs::exists(folder / "private" / "a.bin.part"));
  start();
  ASSERT_TRUE(downloads->resume_all());
  run_until([&] { return is_first(Downloads::State::done); });
  EXPECT_EQ(content_of(folder / "private" / "a.bin"), content);
  EXPECT_EQ(downloads->list()[0].bytes_fetched, content.size() - before);
}

TEST_F(DownloadsTest, TwoCallsAreOneDownload) {
  const Bytes content = noise(4 * mib, 10);
  const Cid root = add(theirs, content);
  std::optional<Result<fs::path>> first;
  downloads->get({.root = root, .path = "a.bin", .visibility = {}, .sha256 = {}, .holders = {}},
                 [&](Result<fs::path> file) { first = std::move(file); });
  const auto file = get(root);
  ASSERT_TRUE(file);
  ASSERT_TRUE(first && *first);
  EXPECT_EQ(**first, *file);
  EXPECT_EQ(downloads->list().size(), 1U);
}

TEST_F(DownloadsTest, NobodyHasItThenSomebodyDoes) {
  const Bytes content = noise(2 * mib, 11);
  holders = {};
  const Cid root = add(theirs, content);
  const auto file = get(root);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::unavailable);
  EXPECT_EQ(downloads->list()[0].state, Downloads::State::waiting);
  holders = {they};
  downloads->look_again();
  run_until([&] { return is_first(Downloads::State::done); });
  EXPECT_EQ(content_of(folder / "lan" / "a" / "b.bin"), content);
}

TEST_F(DownloadsTest, PauseResumeAndCancel) {
  const Bytes content = noise(16 * mib, 12);
  const Cid root = add(theirs, content);
  std::optional<Result<fs::path>> result;
  downloads->get({.root = root, .path = "a.bin", .visibility = {}, .sha256 = {}, .holders = {}},
                 [&](Result<fs::path> file) { result = std::move(file); });
  bool known = false;
  const auto note = [&](bool is_known) { known = is_known; };
  downloads->pause(root, note);
  run_until([&] { return is_first(Downloads::State::paused); });
  EXPECT_TRUE(known);
  EXPECT_FALSE(result);
  downloads->resume(root, note);
  run_until([&] { return result.has_value(); });
  ASSERT_TRUE(*result);
  EXPECT_EQ(content_of(**result), content);
  downloads->pause(root, note);
  run_until([&] { return !known; });

  result.reset();
  const Cid next = add(theirs, noise(16 * mib, 13));
  downloads->get({.root = next, .path = "b.bin", .visibility = {}, .sha256 = {}, .holders = {}},
                 [&](Result<fs::path> file) { result = std::move(file); });
  downloads->cancel(next, note);
  run_until([&] { return result.has_value(); });
  EXPECT_FALSE(*result);
  EXPECT_FALSE(fs::exists(folder / "private" / "b.bin.part"));
  EXPECT_FALSE(fs::exists(folder / "private" / "b.bin"));
}

TEST_F(DownloadsTest, PathsThatLeadElsewhereAreRefused) {
  const Cid root = add(theirs, noise(10, 14));
  std::string huge;
  huge.resize(10'000'000, 'a');
  for (const std::string& path :
       {std::string(), std::string("/etc/passwd"), std::string("../a"), std::string("a/../../b"), std::string("a//b"),
        std::string("a\0b", 3), std::string("."), huge}) {
    const auto file = get(root, path);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, ErrorCode::invalid);
  }
}

TEST_F(DownloadsTest, ContentOfAnotherSha256IsNotKept) {
  const Bytes content = noise(3 * mib, 15);
  const Cid root = add(theirs, content);
  auto wanted = Downloads::Wanted{
      .root = root, .path = "a", .visibility = {}, .sha256 = sha256(to_bytes("other")), .holders = {}};
  const auto file = get(wanted);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::invalid);
  EXPECT_FALSE(fs::exists(folder / "private" / "a"));
  EXPECT_FALSE(fs::exists(folder / "private" / "a.part"));
  wanted.sha256 = sha256(content);
  EXPECT_TRUE(get(wanted));
}

TEST_F(DownloadsTest, AFolderIsNoFile) {
  const Cid leaf = theirs.add(to_bytes("in a folder"));
  const auto built = asset::build_directory({{.name = "a", .cid = leaf, .total_bytes = 11}});
  ASSERT_TRUE(built);
  ASSERT_TRUE(theirs.blocks->put(built->built.cid, built->block));
  theirs.declare(built->built.cid);
  const auto file = get(built->built.cid);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::invalid);
}

TEST_F(DownloadsTest, ADiskThatTakesNoMoreEndsItWithWhatItSaid) {
  const Bytes content = noise(8 * mib, 16);
  const Cid root = add(theirs, content);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 4 * mib, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto file = get(root);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::storage);
  EXPECT_FALSE(fs::exists(folder / "lan" / "a" / "b.bin"));
  EXPECT_EQ(downloads->list()[0].state, Downloads::State::failed);
}

TEST_F(DownloadsTest, WhatComesIsPaced) {
  downloads.reset();
  const std::uint64_t rate = 20'000'000;
  std::shared_ptr<Pacer> pacer;  // Its time goes on by what it makes others wait, and by nothing else.
  pacer = std::make_shared<Pacer>(Pacer::Rates{.down = rate}, [&] { return Instant(pacer->figures().waited); });
  limits.leaves.pacer = pacer;
  start();
  const Bytes content = noise(5'500'000, 30);
  const auto file = get(add(theirs, content));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(content_of(*file), content);
  EXPECT_GE(pacer->figures().down, content.size());
  EXPECT_EQ(pacer->figures().up, 0U) << "nothing bounds that way";
  EXPECT_GE(pacer->figures().waited, Duration((content.size() - rate / 10) * 1'000'000 / rate));
}

// ---- Room.

struct QuotaTest : DownloadsTest {
  void with_quota(std::uint64_t bytes) {
    downloads.reset();
    store::WriteBatch last;  // What was written down before it is on the disk then.
    last.put.emplace_back("last", Bytes{});
    ASSERT_TRUE(ours.node->commit_and_wait(std::move(last)));
    quota_bytes = bytes;
    start();
  }
  void begin(const Cid& root, const std::string& path, std::optional<Result<fs::path>>& result) {
    downloads->get({.root = root, .path = path, .visibility = asset::Visibility::lan, .sha256 = {}, .holders = {}},
                   [&](Result<fs::path> file) { result = std::move(file); });
  }
  [[nodiscard]] std::uint64_t here(const Cid& root) const {
    for (const Downloads::View& view : downloads->list()) {
      if (view.root == root) return view.bytes_here;
    }
    return 0;
  }
};

TEST_F(QuotaTest, OldFilesMakeRoomForNewOnes) {
  with_quota(10 * mib);
  const Cid a = add(theirs, noise(4 * mib, 20));
  const Cid b = add(theirs, noise(4 * mib, 21));
  const Cid c = add(theirs, noise(4 * mib, 22));
  ASSERT_TRUE(get(a, "a"));
  ASSERT_TRUE(get(b, "b"));
  fetched->note_used(a);
  ASSERT_TRUE(get(c, "c"));
  EXPECT_TRUE(fs::exists(folder / "lan" / "a"));
  EXPECT_FALSE(fs::exists(folder / "lan" / "b"));
  EXPECT_TRUE(fs::exists(folder / "lan" / "c"));
  EXPECT_EQ(std::ranges::count(told, "transfer.room"), 1);
  // What is known of them outlives the process.
  with_quota(10 * mib);
  EXPECT_EQ(fetched->bytes(), 8 * mib);
  pinned = {a, c};
  const auto file = get(b, "b");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::exhausted);
  EXPECT_TRUE(fs::exists(folder / "lan" / "a") && fs::exists(folder / "lan" / "c"));
  EXPECT_FALSE(fs::exists(folder / "lan" / "b.part"));
  EXPECT_EQ(downloads->list()[0].state, Downloads::State::failed);
  EXPECT_EQ(downloads->list()[0].bytes_fetched, 0U) << "nothing of it was transferred";
}

TEST_F(QuotaTest, ADownloadInTheMiddleKeepsItsRoom) {
  with_quota(40 * mib);
  const Bytes content = noise(32 * mib, 23);
  const Cid first = add(theirs, content);
  const Cid late = add(theirs, noise(9 * mib, 24));
  const Cid small = add(theirs, noise(8 * mib, 25));
  std::optional<Result<fs::path>> first_file;
  begin(first, "first", first_file);
  run_until([&] { return here(first) > 0; });
  EXPECT_LT(here(first), 32 * mib);
  const auto refused = get(late, "late");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::exhausted);
  EXPECT_FALSE(fs::exists(folder / "lan" / "late.part"));
  ASSERT_TRUE(get(small, "small"));
  run_until([&] { return first_file.has_value(); });
  ASSERT_TRUE(*first_file) << first_file->error().message;
  EXPECT_EQ(content_of(**first_file), content);
  // Now it may go.
  EXPECT_TRUE(get(late, "late"));
  EXPECT_FALSE(fs::exists(folder / "lan" / "first"));
}

TEST_F(QuotaTest, WhatIsGivenUpGivesItsRoomBack) {
  with_quota(20 * mib);
  const Cid root = add(theirs, noise(16 * mib, 26));
  std::optional<Result<fs::path>> file;
  begin(root, "a", file);
  run_until([&] { return here(root) > 0; });
  EXPECT_EQ(fetched->bytes(), 16 * mib);
  downloads->cancel(root, [](bool) {});
  run_until([&] { return file.has_value(); });
  EXPECT_FALSE(*file);
  EXPECT_EQ(fetched->bytes(), 0U);
}

TEST_F(QuotaTest, SmallAndIndirectFilesCountToo) {
  with_quota(1000);
  const auto small = get(add(theirs, noise(1001, 27)), "one-leaf");
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, ErrorCode::exhausted);
  EXPECT_FALSE(fs::exists(folder / "lan" / "one-leaf"));
  ASSERT_TRUE(get(add(theirs, noise(900, 28)), "fits"));
  EXPECT_EQ(fetched->bytes(), 900U);
}

TEST_F(QuotaTest, ABlockStoreThatIsFullEndsItWithThat) {
  // Inner nodes go there: of 160 leaves they do not fit into so little.
  TestStore narrow(store::BlockStoreOptions{.quota_bytes = 1000});
  downloads.reset();
  client = std::make_unique<ContentExchange>(io, *narrow.blocks, opener, ContentExchange::Limits{});
  auto opened = FetchedFiles::open(folder, *narrow.node, {}, [](const Cid&) { return false; }, [] { return 1; });
  ASSERT_TRUE(opened);
  downloads = std::make_unique<Downloads>(
      io, folder, *narrow.node, *narrow.blocks, *client, **opened, [this](const Cid&) { return holders; },
      [](std::string_view, const Downloads::View&, const std::string&) {}, limits);
  asset::FileBuilder builder(theirs.sink());
  const Bytes zeros(mib);
  for (int i = 0; i < 160; ++i) ASSERT_TRUE(builder.feed(zeros));
  const Cid root = builder.finish()->cid;
  theirs.declare(root);
  const auto file = get(root);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::exhausted);
  EXPECT_EQ((*opened)->bytes(), 0U);
  downloads.reset();
  client.reset();
}

TEST_F(DownloadsTest, WhatIsUnderWayIsNoGarbage) {
  const Bytes content = noise(16 * mib, 29);
  const Cid root = add(theirs, content);
  std::optional<Result<fs::path>> result;
  downloads->get({.root = root, .path = "a", .visibility = {}, .sha256 = {}, .holders = {}},
                 [&](Result<fs::path> file) { result = std::move(file); });
  run_until([&] {
    const auto all = downloads->list();
    return !all.empty() && all[0].bytes_here > 0;
  });
  downloads->pause(root, [](bool) {});
  run_until([&] { return is_first(Downloads::State::paused); });
  const GarbagePolicy all_of_it{.keep_bytes = 0, .youngest = Duration(0)};
  EXPECT_EQ(collect_garbage(*ours.blocks, downloads->roots(), all_of_it).freed_blocks, 0U);
  EXPECT_TRUE(ours.blocks->has(root));
  downloads->resume(root, [](bool) {});
  run_until([&] { return result.has_value(); });
  ASSERT_TRUE(*result);
  EXPECT_EQ(content_of(**result), content);
  EXPECT_EQ(downloads->roots(), std::vector<Cid>{root}) << "until it is looked at as a shared file";
  downloads.reset();
  start();
  EXPECT_EQ(collect_garbage(*ours.blocks, downloads->roots(), all_of_it).freed_blocks, 1U);
}

/// A holder that is there over TCP, and over QUIC once that is dialed; each as fast as a test says.
struct TransportTest : DownloadsTest {
  std::unique_ptr<ContentExchange> by_tcp, by_quic;
  Bytes content = noise(64 * mib, 30);
  Cid root = add(theirs, content);

  TransportTest() { start_by({}); }
  void start_by(std::function<Instant()> clock) {
    downloads.reset();
    ContentExchange::Limits asking;
    asking.stall = seconds(5);
    asking.transports.choice = {.worth_bytes = 8 * mib,
                                .least_trial_bytes = mib,
                                .most_trial_bytes = 4 * mib,
                                .trial_grace = milliseconds(100),
                                .sample = milliseconds(20),
                                .broken = std::chrono::minutes(5)};
    // By a clock of the test's own no trial is lost to a machine that is slow.
    if (clock) {
      asking.transports.choice.trial_grace = std::chrono::minutes(5);
      asking.transports.now = std::move(clock);
    }
    client = std::make_unique<ContentExchange>(io, *ours.blocks, opener, asking);
    start();
  }
  ~TransportTest() override { downloads.reset(); }

  /// From now on time passes by what came: each transport brings so much a second, whatever else the machine does.
  void measured_speeds(std::uint64_t tcp_mib_per_s, std::uint64_t quic_mib_per_s) {
    const auto time = std::make_shared<Instant>(seconds(1));
    limits.telling = Duration(0);
    hears = [=](const Downloads::View& view) {
      for (const LeafFetch::HolderFigures& holder : view.holders) {
        Duration passed = seconds(1);
        for (const LeafFetch::TransportFigures& by : holder.transports) {
          const std::uint64_t speed = by.transport == "quic" ? quic_mib_per_s : tcp_mib_per_s;
          passed += Duration(by.bytes * 1'000'000 / (speed * mib));
        }
        *time = std::max(*time, Instant(passed));
      }
    };
    start_by([time] { return *time; });
  }

  std::unique_ptr<ContentExchange> holder(std::uint64_t mib_per_s) {
    ContentExchange::Limits serving;
    serving.pacer = std::make_shared<Pacer>(Pacer::Rates{.up = mib_per_s * mib}, [] {
      return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
    });
    return std::make_unique<ContentExchange>(io, *theirs.blocks, nobody, serving);
  }
  void speeds(std::uint64_t tcp_mib_per_s, std::uint64_t quic_mib_per_s) {
    by_tcp = holder(tcp_mib_per_s);
    by_quic = holder(quic_mib_per_s);
    opener.peers[they] = [this](int end) { by_tcp->serve(us, end); };
    opener.dialable["quic"] = [this](int end) { by_quic->serve(us, end); };
  }

  [[nodiscard]] std::uint64_t came_by(std::string_view transport) const {
    std::uint64_t bytes = 0;
    for (const Downloads::View& view : downloads->list()) {
      for (const LeafFetch::HolderFigures& one : view.holders) {
        for (const LeafFetch::TransportFigures& by : one.transports) bytes += by.transport == transport ? by.bytes : 0;
      }
    }
    return bytes;
  }

  /// All of it comes, and none of it twice.
  void expect_all() {
    const auto file = get(root);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_TRUE(content_of(*file) == content);
    EXPECT_EQ(downloads->list()[0].bytes_fetched, content.size());
    EXPECT_EQ(came_by("tcp") + came_by("quic"), content.size());
    EXPECT_TRUE(liars.empty());
  }
};

TEST_F(TransportTest, TheFasterTransportCarriesTheRest) {
  speeds(30, 300);
  measured_speeds(30, 300);
  expect_all();
  EXPECT_EQ(opener.dialed, (std::vector<std::string>{"quic"}));
  EXPECT_GT(came_by("quic"), content.size() / 2);
  const LeafFetch::HolderFigures holder = downloads->list()[0].holders.at(0);
  ASSERT_EQ(holder.transports.size(), 2U);
  EXPECT_EQ(holder.transports[0].transport, "quic");
  EXPECT_GT(holder.transports[0].bytes_per_s, 0U);
  EXPECT_GT(holder.transports[1].bytes_per_s, 0U);
  EXPECT_EQ(holder.bytes, content.size());
  // It is known from now on, also for what is too little to try anything.
  const Bytes little = noise(2 * mib, 31);
  ASSERT_TRUE(get(add(theirs, little), "little"));
  EXPECT_EQ(came_by("quic") + came_by("tcp"), content.size() + little.size());
  ASSERT_EQ(downloads->list()[0].holders.at(0).transports.size(), 1U);
  EXPECT_EQ(downloads->list()[0].holders.at(0).transports[0].transport, "quic");
}

TEST_F(TransportTest, TheSlowerOneGetsItsShareAndNoMore) {
  speeds(100, 5);
  expect_all();
  EXPECT_EQ(opener.dialed, (std::vector<std::string>{"quic"}));
  EXPECT_GT(opener.opened_by["quic"], 0);
  EXPECT_LE(came_by("quic"), 8 * mib);
}

TEST_F(TransportTest, OneThatNeverAnswersIsNotWaitedFor) {
  speeds(100, 100);
  std::vector<int> kept;
  opener.dialable["quic"] = [&](int end) { kept.push_back(end); };
  expect_all();
  EXPECT_EQ(kept.size(), 1U);
  EXPECT_EQ(came_by("quic"), 0U);
  for (const int end : kept) ::close(end);
}

TEST_F(TransportTest, OneThatDiesInTheMiddleIsReplacedByTheOther) {
  speeds(30, 60);
  std::optional<Result<fs::path>> file;
  downloads->get({.root = root, .path = "a", .visibility = {}, .sha256 = {}, .holders = {}},
                 [&](Result<fs::path> result) { file = std::move(result); });
  run_until([&] { return came_by("quic") > 12 * mib; });
  ASSERT_FALSE(file);
  opener.beside.clear();
  opener.dialable.clear();
  by_quic.reset();  // Cuts its streams.
  const std::uint64_t by_then = came_by("quic");
  run_until([&] { return file.has_value(); });
  ASSERT_TRUE(*file) << (*file).error().message;
  EXPECT_TRUE(content_of(**file) == content);
  EXPECT_EQ(downloads->list()[0].bytes_fetched, content.size());
  EXPECT_LE(came_by("quic"), by_then + 2 * mib);  // What lay in buffers.
  EXPECT_TRUE(liars.empty());
}

TEST_F(TransportTest, WhatCannotBeDialedIsNoMatter) {
  speeds(100, 100);
  opener.dialable.clear();
  expect_all();
  EXPECT_EQ(opener.dialed, (std::vector<std::string>{"quic"}));
  EXPECT_EQ(came_by("tcp"), content.size());
}

TEST_F(TransportTest, TcpIsDialedBesideQuicAndBothBesideAnother) {
  speeds(100, 30);
  measured_speeds(100, 30);
  opener.base = "quic";
  opener.peers[they] = [this](int end) { by_quic->serve(us, end); };
  opener.dialable = {{"tcp", [this](int end) { by_tcp->serve(us, end); }}};
  expect_all();
  EXPECT_EQ(opener.dialed, (std::vector<std::string>{"tcp"}));
  EXPECT_GT(came_by("tcp"), content.size() / 2);

  opener.base = "relay";
  opener.beside.clear();
  opener.dialable.clear();
  opener.dialed.clear();
  opener.peers[other] = [this](int end) { by_tcp->serve(us, end); };
  holders = {other};
  const Bytes more = noise(40 * mib, 32);
  ASSERT_TRUE(get(add(theirs, more), "more"));
  EXPECT_EQ(opener.dialed, (std::vector<std::string>{"tcp", "quic"}));
  EXPECT_EQ(came_by("relay"), more.size());
}

TEST_F(TransportTest, PeersAreKnownWithinABound) {
  const auto transports = std::make_shared<Transports>(io, opener, Transports::Limits{.max_peers = 2, .choice = {}});
  for (const std::uint8_t number : std::array<std::uint8_t, 4>{1, 2, 1, 3}) {
    const NodeId peer = test_node(number);
    opener.peers[peer] = [](int end) { ::close(end); };
    bool opened = false;
    asio::co_spawn(
        io,
        [](std::shared_ptr<Transports> all, NodeId node, bool& is_open) -> asio::awaitable<void> {
          auto use = co_await all->open(node, blocks_protocol, 0, seconds(5));
          is_open = use.has_value();
          if (use) ::close((*use)->descriptor());
        }(transports, peer, opened),
        asio::detached);
    run_until([&] { return opened; });
  }
  EXPECT_NE(transports->of(test_node(1)), nullptr);
  EXPECT_EQ(transports->of(test_node(2)), nullptr) << "used least recently";
  EXPECT_NE(transports->of(test_node(3)), nullptr);
  EXPECT_EQ(transports->of(test_node(1))->streams(), 0U);
}

}  // namespace
}  // namespace mesh::app
