#include "domain/asset/manifest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace mesh::asset {
namespace {

Asset asset(std::string path) {
  Asset made;
  made.share = "models";
  made.path = std::move(path);
  made.cid = Cid::of(Multicodec::raw, as_bytes(made.path));
  made.bytes = 7;
  made.sha256 = sha256(as_bytes(made.path));
  return made;
}
std::vector<Asset> assets(int count) {
  std::vector<Asset> made;
  for (int i = 0; i < count; ++i) made.push_back(asset("folder/" + std::to_string(100'000 + i)));
  return made;
}

TEST(Manifest, ReadsBackAsItWasBuilt) {
  std::vector<Asset> wanted = assets(1000);
  wanted[3].hub = HubName{.repository = "org/repo", .revision = "abc", .references = {"main"}, .file = "x/y"};
  wanted[4].model = ModelHeader{.format = ModelFormat::gguf,
                                .architecture = "llama",
                                .parameters = 7'000'000'000,
                                .quantisation = "Q4_K_M",
                                .context_tokens = 4096};
  wanted[5].model = ModelHeader{.format = ModelFormat::onnx};
  const BuiltManifest built = build_manifest(Visibility::lan, 5, wanted);
  EXPECT_TRUE(check_manifest(built.manifest));
  EXPECT_EQ(built.manifest.files, 1000U);
  EXPECT_EQ(built.manifest.bytes, 7000U);
  EXPECT_EQ(built.left_out, 0U);
  ASSERT_EQ(built.pages.size(), built.manifest.pages.size());
  std::vector<Asset> read;
  for (std::size_t i = 0; i < built.pages.size(); ++i) {
    auto page = read_page(built.manifest.pages[i], built.pages[i], Visibility::lan);
    ASSERT_TRUE(page) << page.error().message;
    read.insert(read.end(), page->begin(), page->end());
  }
  EXPECT_EQ(read, wanted);
  EXPECT_TRUE(build_manifest(Visibility::lan, 1, {}).pages.empty());
}

TEST(Manifest, AChangeTouchesFewPages) {
  std::vector<Asset> wanted = assets(5000);
  const auto before = build_manifest(Visibility::lan, 1, wanted).manifest.pages;
  wanted.insert(wanted.begin() + 2500, asset("folder/102499a"));
  const auto after = build_manifest(Visibility::lan, 2, wanted).manifest.pages;
  const std::set<Cid> known(before.begin(), before.end());
  EXPECT_GT(after.size(), 30U);
  EXPECT_LE(std::ranges::count_if(after, [&](const Cid& cid) { return !known.contains(cid); }), 2);
}

TEST(Manifest, LeavesOutWhatHasNoRoom) {
  Asset large = asset(std::string(200, 'a') + "/x");
  std::vector<Asset> wanted;
  for (int i = 0; i < 2'000; ++i) {
    large.path = std::to_string(1'000'000 + i);
    for (int k = 0; k < 15; ++k) large.path += "/" + std::string(250, 'a');
    wanted.push_back(large);
  }
  const BuiltManifest built = build_manifest(Visibility::everybody, 1, wanted);
  EXPECT_EQ(built.left_out, 0U);
  EXPECT_TRUE(std::ranges::all_of(built.pages, [](const Bytes& page) { return page.size() <= max_page_bytes; }));
}

Bytes page_of(std::vector<ManifestFile> files) {
  ManifestPage page;
  page.files = std::move(files);
  return record::encode(page);
}
ManifestFile file(std::string path) {
  const Asset from = asset(std::move(path));
  return {.share = from.share,
          .path = from.path,
          .cid = from.cid,
          .bytes = from.bytes,
          .sha256 = from.sha256,
          .hub = {},
          .model = {}};
}
bool reads(const Bytes& page) { return read_page(dagcbor::cid_of(page), page, Visibility::lan).has_value(); }

TEST(Manifest, HostilePagesAreRefused) {
  EXPECT_TRUE(reads(page_of({file("a"), file("a/b")})));
  for (const char* path : {"", "/etc/passwd", "a/../b", "..", ".", "a//b", "a/", "\xff"})
    EXPECT_FALSE(reads(page_of({file(path)}))) << path;
  EXPECT_FALSE(reads(page_of({file(std::string("a\0b", 3))})));
  EXPECT_FALSE(reads(page_of({file(std::string(5'000, 'a'))})));
  EXPECT_FALSE(reads(page_of({file("b"), file("a")}))) << "out of order";
  EXPECT_FALSE(reads(page_of({file("a"), file("a")}))) << "twice";
  ManifestFile huge = file("a");
  huge.bytes = std::uint64_t{1} << 63;
  EXPECT_FALSE(reads(page_of({huge})));
  ManifestFile no_share = file("a");
  no_share.share = "a/b";
  EXPECT_FALSE(reads(page_of({no_share})));
  ManifestFile bad_hub = file("a");
  bad_hub.hub = HubName{.repository = "org/../repo", .revision = "r", .references = {}, .file = "f"};
  EXPECT_FALSE(reads(page_of({bad_hub})));
  std::vector<ManifestFile> many;
  for (std::size_t i = 0; i <= max_page_files; ++i) many.push_back(file(std::to_string(1000 + i)));
  EXPECT_FALSE(reads(page_of(many)));
  const Bytes page = page_of({file("a")});
  EXPECT_FALSE(read_page(Cid::of(Multicodec::dag_cbor, as_bytes("other")), page, Visibility::lan));
}

TEST(Manifest, WhatIsSaidOfModelsIsChecked) {
  const Bytes plain = page_of({file("a")});
  EXPECT_FALSE(as_text(plain).contains("\x65model")) << "what is no model reads as it did before models were told of";
  ModelHeader header{.format = ModelFormat::safetensors, .architecture = std::string(64, 'a')};
  const auto reads_with = [&] {
    ManifestFile model = file("a");
    model.model = header;
    return reads(page_of({model}));
  };
  EXPECT_TRUE(reads_with());
  header.architecture += 'a';
  EXPECT_FALSE(reads_with()) << "65 characters";
  for (const char* text : {"a\nb", "\x1b[31m", "\x7f", "\xc3\xa9", "\xff"}) {
    header.architecture = text;
    EXPECT_FALSE(reads_with()) << text;
    header.architecture.clear();
    header.quantisation = text;
    EXPECT_FALSE(reads_with()) << text;
    header.quantisation.clear();
  }
  header.parameters = std::uint64_t{1} << 63;
  EXPECT_FALSE(reads_with());
  header.parameters = 1;
  header.context_tokens = std::uint64_t{1} << 63;
  EXPECT_FALSE(reads_with());
  header.context_tokens = 1;
  EXPECT_TRUE(reads_with());
  // One of this node's own that is out of bounds is left out, and the file stays.
  std::vector<Asset> own = assets(1);
  own[0].model = ModelHeader{.format = ModelFormat::gguf, .architecture = "\n"};
  const BuiltManifest built = build_manifest(Visibility::lan, 1, own);
  const auto page = read_page(built.manifest.pages.at(0), built.pages.at(0), Visibility::lan);
  ASSERT_TRUE(page);
  EXPECT_FALSE(page->at(0).model);
}

TEST(Manifest, AFormatThatIsNotKnownIsRefused) {
  ManifestFile model = file("a");
  model.model = ModelHeader{};
  Bytes page = page_of({model});
  const std::string_view text = as_text(page);
  const std::size_t at = text.find("gguf");
  ASSERT_NE(at, std::string_view::npos);
  page[at] = 'h';
  EXPECT_FALSE(reads(page));
}

TEST(Manifest, HostileHeadsAreRefused) {
  Manifest head;
  head.pages.assign(max_pages + 1, Cid::of(Multicodec::dag_cbor, {}));
  EXPECT_FALSE(check_manifest(head));
  head.pages.resize(1);
  EXPECT_TRUE(check_manifest(head));
  head.files = max_page_files + 1;
  EXPECT_FALSE(check_manifest(head));
  head.files = 1;
  head.bytes = std::uint64_t{1} << 63;
  EXPECT_FALSE(check_manifest(head));
}

}  // namespace
}  // namespace mesh::asset
