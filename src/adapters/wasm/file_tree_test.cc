#include "adapters/wasm/file_tree.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace mesh::wasm {
namespace {

std::shared_ptr<const Bytes> text(std::string_view content) { return std::make_shared<const Bytes>(to_bytes(content)); }

void seal(std::string& header) {
  std::fill_n(header.begin() + 148, 8, ' ');
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  const std::string field = fmt::format("{:06o}", sum);
  std::copy(field.begin(), field.end(), header.begin() + 148);
  header[154] = '\0';
}

std::string entry(std::string_view name, std::string_view content, char type = '0', std::string_view size = {}) {
  std::string header(512, '\0');
  std::copy(name.begin(), name.end(), header.begin());
  const std::string octal = size.empty() ? fmt::format("{:011o}", content.size()) : std::string(size);
  std::copy(octal.begin(), octal.end(), header.begin() + 124);
  header[156] = type;
  const std::string_view magic("ustar\00000", 8);
  std::copy(magic.begin(), magic.end(), header.begin() + 257);
  seal(header);
  std::string padded(content);
  padded.resize((content.size() + 511) / 512 * 512, '\0');
  return header + padded;
}

const std::string end_mark(1024, '\0');

TEST(FileTree, FilesAndFolders) {
  FileTree tree;
  ASSERT_TRUE(tree.add_file("/a/b/c.txt", text("c")));
  ASSERT_TRUE(tree.add_folder("a/d/"));
  ASSERT_TRUE(tree.add_folder("a/d"));
  EXPECT_EQ(tree.entries(), 5U);
  ASSERT_NE(tree.find("a/b/c.txt"), nullptr);
  EXPECT_EQ(as_text(tree.find("/a/b/c.txt")->content), "c");
  EXPECT_TRUE(tree.find("a/d")->is_folder);
  EXPECT_EQ(tree.find("a/../a"), nullptr);
  EXPECT_EQ(tree.find("a/x"), nullptr);
  EXPECT_EQ(tree.add_file("a/b/c.txt", text("")).error().code, ErrorCode::conflict);
  EXPECT_EQ(tree.add_file("a/b", text("")).error().code, ErrorCode::conflict);
  EXPECT_EQ(tree.add_file("a/b/c.txt/d", text("")).error().code, ErrorCode::conflict);
}

TEST(FileTree, BadPathsAreRefused) {
  FileTree tree;
  std::string deep = "f";
  for (int i = 0; i < 64; ++i) deep.insert(0, "d/");
  for (const std::string& path :
       {std::string(""), std::string("/"), std::string(".."), std::string("a/../b"), std::string("./a"),
        std::string("a//b"), std::string("a/"), std::string("//a"), std::string("a//"), std::string("a/./b"),
        std::string("a\0b", 3), std::string(256, 'n'), deep, std::string(5'000, 'p')}) {
    const Status status = tree.add_file(path, text(""));
    ASSERT_FALSE(status) << path;
    EXPECT_EQ(status.error().code, ErrorCode::invalid) << path;
  }
  EXPECT_EQ(tree.entries(), 1U);
  EXPECT_FALSE(tree.add_file("a", nullptr));
}

TEST(Tar, FilesFoldersAndLongNames) {
  const std::string long_name = "long/" + std::string(150, 'n');
  const std::string pax_name = "pax/" + std::string(120, 'p');
  const std::string record = fmt::format("path={}\n", pax_name);
  const std::string pax = fmt::format("{} {}", record.size() + 4, record);
  FileTree tree;
  const Status status =
      tree.add_tar(text(entry("./", "", '5') + entry("lib/", "", '5') + entry("./lib/a.py", "import b") +
                        entry("/abs", "x") + entry("././@LongLink", long_name, 'L') + entry("cut", "long") +
                        entry("PaxHeader", pax, 'x') + entry("cut", "pax") + end_mark),
                   "/usr");
  ASSERT_TRUE(status) << status.error().message;
  ASSERT_NE(tree.find("usr/lib/a.py"), nullptr);
  EXPECT_EQ(as_text(tree.find("usr/lib/a.py")->content), "import b");
  EXPECT_EQ(as_text(tree.find("usr/abs")->content), "x");
  EXPECT_EQ(as_text(tree.find("usr/" + long_name)->content), "long");
  EXPECT_EQ(as_text(tree.find("usr/" + pax_name)->content), "pax");
}

TEST(Tar, HostileArchivesAreRefused) {
  std::string damaged = entry("a", "x");
  damaged[0] = 'b';
  const std::vector<std::pair<std::string, std::string>> cases{
      {"dots", entry("../a", "x")},
      {"dots inside", entry("a/../../b", "x")},
      {"hard link", entry("a", "", '1')},
      {"symbolic link", entry("a", "", '2')},
      {"device", entry("a", "", '3')},
      {"pipe", entry("a", "", '6')},
      {"sparse", entry("a", "", 'S')},
      {"size past the end", entry("a", "x", '0', "77777777777")},
      {"size that is no number", entry("a", "x", '0', "x")},
      {"base-256 size", entry("a", "x", '0', "\x80\x01")},
      {"twice", entry("a", "x") + entry("a", "y")},
      {"file as folder", entry("a", "x") + entry("a/b", "y")},
      {"checksum", damaged},
      {"cut header", entry("a", "x").substr(0, 100)},
      {"cut body", entry("a", "x").substr(0, 700)},
      {"no name", entry("", "x")},
      {"pax length", entry("p", "99 path=a\n", 'x') + entry("a", "x")},
      {"pax size", entry("p", "12 size=abc\n", 'x') + entry("a", "x")},
      {"no archive", std::string("this is not a tar archive at all")},
  };
  for (const auto& [what, archive] : cases) {
    FileTree tree;
    EXPECT_FALSE(tree.add_tar(text(archive + (what.starts_with("cut") ? "" : end_mark)))) << what;
  }
  const std::string good = entry("a", "x") + entry("b/c", std::string(600, 'y')) + end_mark;
  for (std::size_t length = 0; length < good.size(); length += 7) {
    FileTree tree;
    // Nothing at all is an empty archive, and of the end mark's two blocks the first is enough.
    const bool whole = length == 0 || length >= good.size() - end_mark.size() / 2;
    EXPECT_EQ(tree.add_tar(text(good.substr(0, length))).has_value(), whole) << length;
    EXPECT_LE(tree.entries(), 4U);
  }
}

TEST(Tar, EntriesAreBounded) {
  FileTree tree;
  Status status;
  std::size_t added = 0;
  while (status && added <= FileTree::max_entries) status = tree.add_file(fmt::format("f{}", added++), text(""));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::exhausted);
  EXPECT_EQ(tree.entries(), FileTree::max_entries);
}

}  // namespace
}  // namespace mesh::wasm
