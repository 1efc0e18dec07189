#include "adapters/store/shares.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "adapters/store/sqlite.h"
#include "adapters/store/temporary_folder.h"
#include "domain/asset/folder.h"

namespace mesh::store {
namespace {

namespace fs = std::filesystem;
using asset::Visibility;

class SharesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder());
    open({share()});
  }

  [[nodiscard]] fs::path folder() const { return temporary_.path() / "models"; }
  [[nodiscard]] asset::Share share() const {
    return {.name = "models", .folder = folder().string(), .visibility = Visibility::lan, .include = {}, .exclude = {}};
  }

  void open(std::vector<asset::Share> wanted, Shares::Options options = {}) {
    shares.reset();
    blocks.reset();
    node_store.reset();
    auto opened_store = NodeStore::open(temporary_.path() / "home");
    ASSERT_TRUE(opened_store) << opened_store.error().message;
    node_store = std::move(*opened_store);
    auto opened_blocks = BlockStore::open(*node_store);
    ASSERT_TRUE(opened_blocks) << opened_blocks.error().message;
    blocks = std::move(*opened_blocks);
    auto opened = Shares::open(temporary_.path() / "home", std::move(wanted), *blocks, std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    shares = std::move(*opened);
    blocks->attach(*shares);
  }

  void write(const fs::path& name, std::string_view content) const {
    fs::create_directories((folder() / name).parent_path());
    std::ofstream(folder() / name, std::ios::binary) << content;
  }
  /// Until what was written is not of the file system's present tick any more.
  static void settle() { std::this_thread::sleep_for(std::chrono::milliseconds(150)); }

  Shares::Refreshed refresh() const {
    auto done = shares->refresh();
    EXPECT_TRUE(done) << done.error().message;
    return done.value_or(Shares::Refreshed{});
  }
  [[nodiscard]] std::vector<std::string> paths() const {
    std::vector<std::string> all;
    for (const asset::Asset& asset : shares->find({}, 0, 1000)) all.push_back(asset.path);
    return all;
  }
  [[nodiscard]] std::optional<asset::Asset> asset(std::string name) const {
    const auto found =
        shares->find({.name = std::move(name), .path = {}, .cid = {}, .sha256 = {}, .architecture = {}}, 0, 10);
    return found.empty() ? std::nullopt : std::optional(found.front());
  }

  [[nodiscard]] Result<BlockBytes> get(const Cid& cid) const { return blocks->get(cid, From::anywhere); }
  [[nodiscard]] bool has(const Cid& cid) const { return blocks->has(cid, From::anywhere); }
  [[nodiscard]] Result<Bytes> content(const Cid& cid) const {
    return blocks->read_dag_file(cid, std::uint64_t{1} << 30, From::anywhere);
  }

  TemporaryFolder temporary_;
  std::unique_ptr<NodeStore> node_store;
  std::unique_ptr<BlockStore> blocks;
  std::unique_ptr<Shares> shares;
};

std::string random_text(std::size_t bytes) {
  std::string text(bytes, '\0');
  std::uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

asset::Built built(std::string_view content) {
  asset::FileBuilder builder([](const Cid&, const Bytes&) -> Status { return {}; });
  EXPECT_TRUE(builder.feed(as_bytes(content)));
  return *builder.finish();
}

TEST_F(SharesTest, FilesAreContentWhereTheyLie) {
  const std::string large = random_text((std::size_t{3} << 20) + 5);
  write("tiny.gguf", "tiny");
  write("deep/er/large.bin", large);
  write("empty", "");
  const auto report = refresh();
  EXPECT_TRUE(report.changed);
  EXPECT_EQ(report.files, 3U);
  EXPECT_EQ(report.bytes, large.size() + 4);
  EXPECT_EQ(report.read_files, 3U);
  EXPECT_EQ(report.problem_count, 0U);
  EXPECT_EQ(paths(), (std::vector<std::string>{"deep/er/large.bin", "empty", "tiny.gguf"}));
  const auto found = asset("large.bin");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->cid, built(large).cid);
  EXPECT_EQ(found->sha256, sha256(as_bytes(large)));
  EXPECT_EQ(found->bytes, large.size());
  EXPECT_EQ(shares->path_of(*found), folder() / "deep/er/large.bin");
  EXPECT_EQ(as_text(*content(found->cid)), large);
  EXPECT_EQ(as_text(*content(asset("tiny.gguf")->cid)), "tiny");
  EXPECT_EQ(as_text(*content(asset("empty")->cid)), "");
  EXPECT_LT(blocks->total_bytes(), 1000U) << "no content is copied";
  EXPECT_FALSE(blocks->has(asset("tiny.gguf")->cid)) << "who does not ask for what is shared does not get it";
  EXPECT_FALSE(blocks->get(asset("tiny.gguf")->cid));
  EXPECT_TRUE(shares->may_have(found->cid, {Visibility::everybody, Visibility::lan}));
  EXPECT_FALSE(shares->may_have(found->cid, {Visibility::everybody, Visibility::federation}));
  EXPECT_EQ(shares->inner_roots(), std::vector{found->cid});
  EXPECT_FALSE(has(Cid::of(Multicodec::raw, as_bytes("no such block"))));
}

TEST_F(SharesTest, NothingIsReadTwice) {
  write("a", "one");
  write("b/c", random_text(2 << 20));
  settle();
  EXPECT_EQ(refresh().read_files, 2U);
  const auto again = refresh();
  EXPECT_EQ(again.read_files, 0U);
  EXPECT_FALSE(again.changed);
  EXPECT_EQ(shares->sequence(), 1U);
  open({share()});
  EXPECT_TRUE(paths().empty()) << "before the first refresh";
  EXPECT_EQ(refresh().read_files, 0U) << "it is in the index";
  EXPECT_EQ(paths().size(), 2U);
  EXPECT_EQ(content(asset("c")->cid)->size(), std::size_t{2} << 20);
}

TEST_F(SharesTest, AFileThatWasChangedIsNeverServedWrong) {
  write("a", "first");
  write("b", "stays");
  settle();
  refresh();
  const Cid before = asset("a")->cid;
  ASSERT_TRUE(get(before));
  write("a", "other");  // As long as before.
  EXPECT_EQ(get(before).error().code, ErrorCode::not_found);
  EXPECT_TRUE(shares->is_outdated());
  EXPECT_FALSE(has(before)) << "it is not shared any more";
  EXPECT_FALSE(asset("a"));
  EXPECT_TRUE(asset("b"));
  const auto report = refresh();
  EXPECT_TRUE(report.changed);
  EXPECT_EQ(report.read_files, 1U);
  EXPECT_FALSE(shares->is_outdated());
  EXPECT_EQ(as_text(**get(asset("a")->cid)), "other");
  EXPECT_FALSE(has(before));
}

TEST_F(SharesTest, AChangeThatTheFileSystemDoesNotTellIsFoundByTheHash) {
  write("a", "first");
  struct stat about{};
  ASSERT_EQ(::stat((folder() / "a").c_str(), &about), 0);
  settle();
  refresh();
  const Cid before = asset("a")->cid;
  write("a", "other");
  const std::array<timespec, 2> times{about.st_atim, about.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder() / "a").c_str(), times.data(), 0), 0);
  EXPECT_EQ(get(before).error().code, ErrorCode::not_found);
  EXPECT_TRUE(shares->is_outdated());
  EXPECT_EQ(refresh().read_files, 1U) << "whatever its stamp says";
  EXPECT_EQ(as_text(**get(asset("a")->cid)), "other");
}

TEST_F(SharesTest, AFileThatWasTouchedCanBeReadAfterARefresh) {
  write("a", "same");
  settle();
  refresh();
  const Cid cid = asset("a")->cid;
  const std::array<timespec, 2> times{timespec{.tv_sec = 1, .tv_nsec = 0}, timespec{.tv_sec = 1, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder() / "a").c_str(), times.data(), 0), 0);
  EXPECT_FALSE(refresh().changed);
  EXPECT_TRUE(get(cid));
  EXPECT_FALSE(shares->is_outdated());
}

TEST_F(SharesTest, TheNodesOwnFilesAreNeverShared) {
  write("good", "x");
  fs::create_directories(folder() / "own");
  write("own/node.key", "secret");
  write("key elsewhere", "secret");
  asset::Share all = share();
  all.folder = temporary_.path().string();  // The home lies in it.
  open({all}, {.withheld = {folder() / "own", folder() / "key elsewhere", folder() / "no such file"}});
  refresh();
  EXPECT_EQ(paths(), std::vector<std::string>{"models/good"});
  all.folder = (temporary_.path() / "home/blocks").string();
  open({all});
  const auto report = refresh();
  EXPECT_EQ(report.files, 0U);
  ASSERT_EQ(report.problem_count, 1U);
  EXPECT_NE(report.problems[0].why.find("the node's own"), std::string::npos);
}

TEST_F(SharesTest, TruncatedAndDeletedFilesAreGone) {
  write("a", "one");
  write("b", "two");
  settle();
  refresh();
  const Cid a = asset("a")->cid;
  const Cid b = asset("b")->cid;
  fs::resize_file(folder() / "a", 1);
  fs::remove(folder() / "b");
  EXPECT_FALSE(get(a));
  EXPECT_FALSE(get(b));
  const auto report = refresh();
  EXPECT_EQ(report.files, 1U);
  EXPECT_EQ(as_text(**get(asset("a")->cid)), "o");
}

TEST_F(SharesTest, LinksLeadNowhere) {
  write("inside/a", "a");
  fs::create_directories(temporary_.path() / "secret");
  std::ofstream(temporary_.path() / "secret/key") << "secret";
  fs::create_symlink(temporary_.path() / "secret/key", folder() / "key");
  fs::create_symlink(temporary_.path() / "secret", folder() / "secret");
  fs::create_symlink("inside/a", folder() / "alias");
  ASSERT_EQ(::mkfifo((folder() / "pipe").c_str(), 0600), 0);
  settle();
  EXPECT_EQ(refresh().files, 1U);
  const Cid a = asset("a")->cid;
  const Cid key = built("secret").cid;
  EXPECT_FALSE(has(key));
  // The folder is swapped for a link to another that has the same names.
  fs::rename(folder() / "inside", temporary_.path() / "moved");
  fs::create_symlink(temporary_.path() / "moved", folder() / "inside");
  EXPECT_FALSE(get(a)) << "it is not beneath the share any more";
  EXPECT_EQ(refresh().files, 0U);
}

TEST_F(SharesTest, WhatIsLeftOut) {
  for (const char* name : {"a.gguf", ".hidden", ".git/config", "b.part", "c.incomplete", "d.tmp", "notes.txt"})
    write(name, name);
  asset::Share picky = share();
  picky.include = {"*.gguf", "b*"};
  open({picky});
  refresh();
  EXPECT_EQ(paths(), std::vector<std::string>{"a.gguf"});
}

TEST_F(SharesTest, NamesThatContentCannotHaveAreTold) {
  write("good", "x");
  std::ofstream((folder() / "bad\xff").string()) << "x";
  const auto report = refresh();
  EXPECT_EQ(report.files, 1U);
  ASSERT_EQ(report.problem_count, 1U);
  EXPECT_EQ(report.problems[0].share, "models");
}

TEST_F(SharesTest, AMissingFolderIsToldAndNotForgotten) {
  write("a", "a");
  settle();
  refresh();
  fs::rename(folder(), temporary_.path() / "away");
  const auto away = refresh();
  EXPECT_EQ(away.files, 0U);
  ASSERT_EQ(away.problem_count, 1U);
  EXPECT_NE(away.problems[0].why.find("cannot be opened"), std::string::npos);
  fs::rename(temporary_.path() / "away", folder());
  const auto back = refresh();
  EXPECT_EQ(back.files, 1U);
  EXPECT_EQ(back.read_files, 0U) << "the disk was away, and its files are as they were";
}

TEST_F(SharesTest, AHubCacheIsFoundByRepositoryAndRevision) {
  const fs::path repository = "hub/models--org--repo";
  write(repository / "blobs/aaaa", "weights");
  write(repository / "blobs/bbbb", "config");
  write(repository / "refs/main", "rev2\n");
  for (const char* revision : {"rev1", "rev2"}) {
    fs::create_directories(folder() / repository / "snapshots" / revision / "onnx");
    fs::create_symlink("../../blobs/bbbb", folder() / repository / "snapshots" / revision / "config.json");
    fs::create_symlink("../../../blobs/aaaa", folder() / repository / "snapshots" / revision / "onnx/model.onnx");
  }
  fs::create_symlink("../../../../tiny", folder() / repository / "snapshots/rev2/out");
  write("tiny", "tiny");
  settle();
  const auto report = refresh();
  EXPECT_EQ(report.files, 5U) << "two of each revision, and the one beside";
  EXPECT_EQ(report.read_files, 3U) << "a blob is read once";
  EXPECT_EQ(report.problem_count, 1U) << "the link that leads out";
  const auto model = asset("org/repo@main/onnx/model.onnx");
  ASSERT_TRUE(model);
  EXPECT_EQ(model->path, "hub/models--org--repo/snapshots/rev2/onnx/model.onnx");
  EXPECT_EQ(as_text(*content(model->cid)), "weights");
  EXPECT_EQ(shares->find({.name = "org/repo", .path = {}, .cid = {}, .sha256 = {}, .architecture = {}}, 0, 10).size(),
            4U);
  EXPECT_EQ(
      shares->find({.name = "org/repo@rev1", .path = {}, .cid = {}, .sha256 = {}, .architecture = {}}, 0, 10).size(),
      2U);
  EXPECT_EQ(refresh().read_files, 0U);
}

TEST_F(SharesTest, OfSharesWithTheSameFileEachCountsForItsOwn) {
  write("a", "same");
  asset::Share wide{.name = "wide",
                    .folder = (temporary_.path() / "wide").string(),
                    .visibility = Visibility::everybody,
                    .include = {},
                    .exclude = {}};
  fs::create_directories(wide.folder);
  std::ofstream(fs::path(wide.folder) / "b") << "same";
  open({share(), wide});
  settle();
  EXPECT_EQ(refresh().files, 2U);
  const Cid cid = asset("a")->cid;
  EXPECT_TRUE(shares->may_have(cid, {Visibility::everybody}));
  EXPECT_TRUE(shares->may_have(cid, {Visibility::lan}));
  EXPECT_FALSE(shares->may_have(cid, {Visibility::federation}));
  fs::remove(fs::path(wide.folder) / "b");
  EXPECT_FALSE(shares->may_have(cid, {Visibility::everybody})) << "the other file is for others";
  EXPECT_TRUE(shares->may_have(cid, {Visibility::lan}));
  std::ofstream(fs::path(wide.folder) / "b") << "same";
  refresh();
  fs::remove(fs::path(wide.folder) / "b");
  EXPECT_FALSE(get(cid)) << "until the next refresh";
  refresh();
  EXPECT_TRUE(get(cid)) << "from the other";
}

TEST_F(SharesTest, BoundsTheFiles) {
  for (int i = 0; i < 5; ++i) write(std::to_string(i), "x");
  open({share()}, {.threads = 2, .max_files = 3});
  const auto report = refresh();
  EXPECT_EQ(report.files, 3U);
  EXPECT_EQ(report.problem_count, 1U);
}

TEST_F(SharesTest, ADamagedIndexIsBegunAgain) {
  write("a", "a");
  settle();
  refresh();
  shares.reset();
  const fs::path file = temporary_.path() / "home/shares.db";
  fs::remove(file.string() + "-wal");
  std::ofstream(file, std::ios::binary | std::ios::trunc) << std::string(8192, 'x');
  open({share()});
  EXPECT_EQ(refresh().read_files, 1U);
  EXPECT_TRUE(fs::exists(file.string() + ".damaged"));
}

/// A GGUF header that says "llama", and nothing else.
std::string tiny_gguf() {
  const auto number = [](std::uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  };
  const auto text = [&](std::string_view value) { return number(value.size(), 8) + std::string(value); };
  return "GGUF" + number(3, 4) + number(0, 8) + number(1, 8) + text("general.architecture") + number(8, 4) +
         text("llama");
}

TEST_F(SharesTest, ModelsSayWhatTheyAre) {
  write("tiny.gguf", tiny_gguf());
  write("tiny.bin", tiny_gguf());
  write("cut.gguf", tiny_gguf().substr(0, 40));
  write("empty.onnx", "");
  write("text.safetensors", "no model at all");
  settle();
  const auto report = refresh();
  EXPECT_EQ(report.files, 5U) << "what does not read is a file all the same";
  EXPECT_EQ(report.problem_count, 0U);
  const asset::ModelHeader wanted{.format = asset::ModelFormat::gguf, .architecture = "llama"};
  EXPECT_EQ(asset("tiny.gguf")->model, wanted);
  for (const char* name : {"tiny.bin", "cut.gguf", "empty.onnx", "text.safetensors"})
    EXPECT_FALSE(asset(name)->model) << name;
  asset::AssetQuery query;
  query.architecture = "llama";
  EXPECT_EQ(shares->find(query, 0, 10).size(), 1U);
  // It is remembered, and known again after a start, with nothing read.
  open({share()});
  EXPECT_EQ(refresh().read_files, 0U);
  EXPECT_EQ(asset("tiny.gguf")->model, wanted);
  EXPECT_FALSE(asset("cut.gguf")->model);
  write("tiny.gguf", "another content");
  refresh();
  EXPECT_FALSE(asset("tiny.gguf")->model);
}

TEST_F(SharesTest, AnIndexOfAnOlderLayoutIsFilledAnew) {
  write("tiny.gguf", tiny_gguf());
  settle();
  refresh();
  shares.reset();
  {
    auto index =
        sqlite::Connection::open((temporary_.path() / "home/shares.db").string(), sqlite::Connection::Mode::read_write);
    ASSERT_TRUE(index);
    ASSERT_TRUE(index->run("ALTER TABLE file DROP COLUMN model; PRAGMA user_version = 1;"));
  }
  open({share()});
  EXPECT_EQ(refresh().read_files, 1U);
  EXPECT_TRUE(asset("tiny.gguf")->model);
  EXPECT_FALSE(fs::exists(temporary_.path() / "home/shares.db.damaged"));
}

TEST_F(SharesTest, InnerNodesThatAreGoneAreMadeAgain) {
  const std::string large = random_text(2 << 20);
  write("large", large);
  settle();
  refresh();
  const Cid cid = asset("large")->cid;
  ASSERT_TRUE(*blocks->erase(cid));
  open({share()});
  refresh();
  EXPECT_TRUE(shares->is_outdated());
  EXPECT_EQ(refresh().read_files, 1U);
  EXPECT_EQ(as_text(*content(cid)), large);
  // While it runs, too.
  ASSERT_TRUE(*blocks->erase(cid));
  EXPECT_FALSE(content(cid));
  EXPECT_TRUE(shares->is_outdated());
  EXPECT_EQ(refresh().read_files, 1U);
  EXPECT_EQ(as_text(*content(cid)), large);
}

TEST_F(SharesTest, OutOfBoundsIsRefused) {
  const auto refused = [&](std::vector<asset::Share> wanted) {
    shares.reset();
    return Shares::open(temporary_.path() / "home", std::move(wanted), *blocks, {}).error().code;
  };
  EXPECT_EQ(refused({share(), share()}), ErrorCode::invalid);
  asset::Share nameless = share();
  nameless.name.clear();
  EXPECT_EQ(refused({nameless}), ErrorCode::invalid);
}

TEST_F(SharesTest, ALargeFileIsHashedByTwoThreads) {
  open({share()}, {.threads = 4, .withheld = {}});
  const std::string large = random_text((std::size_t{9} << 20) + 5);
  write("large.bin", large);
  EXPECT_EQ(refresh().read_bytes, large.size());
  const auto found = asset("large.bin");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->cid, built(large).cid);
  EXPECT_EQ(found->sha256, sha256(as_bytes(large)));
}

TEST_F(SharesTest, WhatChangesIsNoticed) {
  write("a.bin", "one");
  fs::create_directories(folder() / "below");
  settle();
  refresh();
  EXPECT_FALSE(shares->is_outdated());
  write("a.bin", "another");
  EXPECT_TRUE(shares->is_outdated());
  settle();
  refresh();
  EXPECT_FALSE(shares->is_outdated());
  write("below/b.bin", "two");
  EXPECT_TRUE(shares->is_outdated());
  settle();
  refresh();
  fs::create_directories(folder() / "new");
  EXPECT_TRUE(shares->is_outdated());
  refresh();
  write("new/c.bin", "three");
  EXPECT_TRUE(shares->is_outdated());
  settle();
  refresh();
  fs::remove(folder() / "a.bin");
  EXPECT_TRUE(shares->is_outdated());
  refresh();
  // What is never shared is no reason to look.
  write(".hidden", "x");
  write("d.bin.part", "x");
  EXPECT_FALSE(shares->is_outdated());
  fs::rename(folder() / "d.bin.part", folder() / "d.bin");
  EXPECT_TRUE(shares->is_outdated());
}

// ---- What is added.

struct AddedTest : SharesTest {
  [[nodiscard]] fs::path place() const { return temporary_.path() / "added"; }
  void put(const fs::path& name, std::string_view content) const {
    fs::create_directories((place() / name).parent_path());
    std::ofstream(place() / name, std::ios::binary) << content;
  }
  [[nodiscard]] static asset::Share whole(const fs::path& path) {
    return {.name = asset::added_share_name(path.string()),
            .folder = path.string(),
            .visibility = Visibility::everybody,
            .include = {},
            .exclude = {},
            .is_added = true,
            .is_listed = false};
  }
  [[nodiscard]] static asset::Share single(const fs::path& path) {
    asset::Share share = whole(path);
    share.folder = path.parent_path().string();
    share.file = path.filename().string();
    return share;
  }
  [[nodiscard]] Shares::Added add(const asset::Share& share) const {
    auto added = shares->add(share);
    EXPECT_TRUE(added) << added.error().message;
    return added.value_or(Shares::Added{});
  }
  [[nodiscard]] bool is_for_all(const Cid& root) const { return shares->may_have(root, {Visibility::everybody}); }
};

/// The root of a folder of these files and folders.
Cid folder_of(const std::vector<std::pair<std::string, asset::Built>>& entries) {
  std::vector<asset::FolderEntry> folder;
  for (const auto& [name, built] : entries)
    folder.push_back({.name = name, .cid = built.cid, .total_bytes = built.total_bytes});
  return asset::build_folder(std::move(folder), [](const Cid&, const Bytes&) { return Status(); })->cid;
}
asset::Built built_folder(std::vector<asset::FolderEntry> entries) {
  return *asset::build_folder(std::move(entries), [](const Cid&, const Bytes&) { return Status(); });
}

TEST_F(AddedTest, AFolderHasARootAndLiesWhereItLay) {
  const std::string large = random_text((std::size_t{3} << 20) + 5);
  put("a.bin", large);
  put(".hidden", "hidden");
  put("deep/b.part", "part");
  put("deep-er/c", "");
  fs::create_directories(place() / "empty");
  fs::create_symlink("a.bin", place() / "link");
  settle();
  refresh();
  const Shares::Added added = add(whole(place()));
  const asset::Built deep =
      built_folder({{.name = "b.part", .cid = built("part").cid, .total_bytes = built("part").total_bytes}});
  const asset::Built deeper = built_folder({{.name = "c", .cid = built("").cid, .total_bytes = 0}});
  EXPECT_EQ(added.root, folder_of({{"a.bin", built(large)},
                                   {".hidden", built("hidden")},
                                   {"deep", deep},
                                   {"deep-er", deeper},
                                   {"empty", built_folder({})}}));
  EXPECT_EQ(added.files, 4U);
  EXPECT_EQ(added.bytes, large.size() + 10);
  EXPECT_LT(blocks->total_bytes(), 2000U) << "no content is copied";
  EXPECT_EQ(as_text(*blocks->read_dag_file(built(large).cid, std::uint64_t{1} << 30)), large)
      << "whoever knows the root may read it";
  EXPECT_TRUE(is_for_all(added.root));
  EXPECT_TRUE(is_for_all(built(large).cid));
  EXPECT_TRUE(paths().empty()) << "it is listed nowhere";
  EXPECT_FALSE(shares->is_public(added.root));
  ASSERT_EQ(shares->added().size(), 1U);
  EXPECT_EQ(shares->added()[0].root, added.root);
  const auto inner = shares->inner_roots();
  EXPECT_NE(std::ranges::find(inner, added.root), inner.end());
  EXPECT_FALSE(refresh().changed);
  // Once more is the same; listed it is told of.
  asset::Share listed = whole(place());
  listed.is_listed = true;
  listed.visibility = Visibility::lan;
  EXPECT_EQ(add(listed).root, added.root);
  EXPECT_EQ(paths().size(), 4U);
  EXPECT_FALSE(is_for_all(added.root));
  EXPECT_TRUE(shares->may_have(added.root, {Visibility::lan}));
  EXPECT_FALSE(blocks->read_dag_file(built(large).cid, std::uint64_t{1} << 30)) << "not everybody may have it now";
  EXPECT_TRUE(content(built(large).cid));
}

TEST_F(AddedTest, OtherSharesStayAsTheyAre) {
  write("model", "one");
  settle();
  refresh();
  write("model-2", "two");
  put("a", "added");
  settle();
  (void)add(whole(place()));
  EXPECT_EQ(paths(), std::vector<std::string>{"model"}) << "only what is added is looked at";
  EXPECT_TRUE(shares->is_outdated());
  refresh();
  EXPECT_EQ(paths().size(), 2U);
  EXPECT_EQ(shares->added().size(), 1U);
}

TEST_F(AddedTest, AChangeMakesANewRoot) {
  put("a", "one");
  put("b", "two");
  settle();
  refresh();
  const Cid before = add(whole(place())).root;
  EXPECT_FALSE(shares->is_outdated());
  put("a", "other");
  EXPECT_TRUE(shares->is_outdated());
  settle();
  refresh();
  ASSERT_EQ(shares->added().size(), 1U);
  EXPECT_NE(shares->added()[0].root, before);
  EXPECT_FALSE(is_for_all(before));
  fs::create_directories(place() / "empty");
  const Cid without = shares->added()[0].root;
  refresh();
  EXPECT_NE(shares->added()[0].root, without) << "an empty folder is content";
  fs::remove_all(place());
  refresh();
  EXPECT_TRUE(shares->added().empty());
  put("a", "one");
  put("b", "two");
  refresh();
  ASSERT_EQ(shares->added().size(), 1U);
  EXPECT_EQ(shares->added()[0].root, before) << "it is remembered while it is away";
}

TEST_F(AddedTest, OneFileIsWatchedAlone) {
  put("a", "one");
  put("b", "two");
  settle();
  refresh();
  const Shares::Added added = add(single(place() / "a"));
  EXPECT_EQ(added.root, built("one").cid);
  EXPECT_TRUE(is_for_all(built("one").cid));
  EXPECT_FALSE(is_for_all(built("two").cid));
  (void)shares->is_outdated();
  put("b", "three");
  EXPECT_FALSE(shares->is_outdated());
  put("new", "four");
  EXPECT_FALSE(shares->is_outdated());
  fs::rename(place() / "new", place() / "a");
  EXPECT_TRUE(shares->is_outdated()) << "another file has its name";
  refresh();
  EXPECT_TRUE(is_for_all(built("four").cid));
  EXPECT_FALSE(is_for_all(built("one").cid));
}

TEST_F(AddedTest, WhatCannotBeAddedIsNotAdded) {
  put("good/a", "one");
  put("bad/b", "two");
  fs::create_symlink(place() / "good", place() / "link");
  ASSERT_EQ(::mkfifo((place() / "bad/fifo").c_str(), 0600), 0);
  settle();
  refresh();
  EXPECT_EQ(shares->add(whole(place() / "none")).error().code, ErrorCode::not_found);
  EXPECT_EQ(shares->add(single(place() / "none")).error().code, ErrorCode::not_found);
  EXPECT_EQ(shares->add(single(place() / "link")).error().code, ErrorCode::invalid);
  const auto fifo = shares->add(whole(place() / "bad"));
  EXPECT_EQ(fifo.error().code, ErrorCode::storage);
  EXPECT_NE(fifo.error().message.find("bad/fifo"), std::string::npos) << fifo.error().message;
  EXPECT_FALSE(is_for_all(built("two").cid));
  EXPECT_FALSE(shares->add(whole(temporary_.path() / "home"))) << "the node's own";
  asset::Share taken = whole(place() / "good");
  taken.name = share().name;
  EXPECT_EQ(shares->add(taken).error().code, ErrorCode::conflict);
  EXPECT_TRUE(shares->added().empty());
  // What was there stays when it cannot be added anew.
  const Cid root = add(whole(place() / "good")).root;
  ASSERT_EQ(::mkfifo((place() / "good/fifo").c_str(), 0600), 0);
  EXPECT_FALSE(shares->add(whole(place() / "good")));
  ASSERT_EQ(shares->added().size(), 1U);
  EXPECT_EQ(shares->added()[0].root, root);
}

TEST_F(AddedTest, WhatIsRemovedIsNotServed) {
  write("model", "one");
  put("a", "added");
  settle();
  refresh();
  const Cid root = add(whole(place())).root;
  EXPECT_FALSE(shares->remove("nothing"));
  EXPECT_FALSE(shares->remove(share().name)) << "a share of the settings is not removed so";
  EXPECT_TRUE(shares->remove(whole(place()).name));
  EXPECT_FALSE(is_for_all(root));
  EXPECT_FALSE(is_for_all(built("added").cid));
  EXPECT_FALSE(has(built("added").cid));
  EXPECT_EQ(paths(), std::vector<std::string>{"model"});
  EXPECT_TRUE(fs::exists(place() / "a"));
}

TEST_F(AddedTest, AFileOfOneLeafManyTimes) {
  const std::string zeros(std::size_t{3} << 20, '\0');
  put("zeros", zeros);
  settle();
  refresh();
  const Shares::Added added = add(single(place() / "zeros"));
  EXPECT_EQ(added.root, built(zeros).cid);
  EXPECT_EQ(as_text(*blocks->read_dag_file(added.root, std::uint64_t{1} << 30)), zeros);
}

TEST_F(AddedTest, WhatEverybodyMayHaveIsFoundBesideWhatIsForSome) {
  write("same", "bytes");
  put("same", "bytes");
  settle();
  refresh();
  const Cid cid = built("bytes").cid;
  EXPECT_FALSE(blocks->has(cid));
  (void)add(whole(place()));
  EXPECT_TRUE(blocks->has(cid));
  EXPECT_TRUE(blocks->get(cid));
}

}  // namespace
}  // namespace mesh::store
