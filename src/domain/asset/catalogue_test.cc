#include "domain/asset/catalogue.h"

#include <gtest/gtest.h>

#include "codec/hash.h"

namespace mesh::asset {
namespace {

TEST(Glob, MatchesAsDocumented) {
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("*", "a/b"));
  EXPECT_TRUE(glob_matches("*.gguf", "x/tiny.gguf"));
  EXPECT_FALSE(glob_matches("*.gguf", "tiny.gguf.part"));
  EXPECT_TRUE(glob_matches("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(glob_matches("a*b*c", "aXbYbZ"));
  EXPECT_TRUE(glob_matches("?b", "ab"));
  EXPECT_FALSE(glob_matches("?b", "b"));
  EXPECT_FALSE(glob_matches("a", "ab"));
  EXPECT_TRUE(glob_matches("a**", "a"));
}

TEST(Glob, TakesNoLongerForHostilePatterns) {
  std::string glob;
  for (int i = 0; i < 1000; ++i) glob += "*a";
  EXPECT_FALSE(glob_matches(glob + "b", std::string(20'000, 'a')));
}

Asset asset(std::string path) {
  Asset made;
  made.share = "models";
  made.path = std::move(path);
  made.cid = Cid::of(Multicodec::raw, as_bytes(made.path));
  made.sha256 = sha256(as_bytes(made.path));
  return made;
}
bool named(std::string name, const Asset& asset) {
  return matches({.name = std::move(name), .path = {}, .cid = {}, .sha256 = {}, .architecture = {}}, asset);
}

TEST(AssetQuery, MatchesByNamePathAndHash) {
  const Asset file = asset("llama/tiny.gguf");
  EXPECT_TRUE(named("tiny.gguf", file));
  EXPECT_TRUE(named("llama/tiny.gguf", file));
  EXPECT_TRUE(named("*.gguf", file));
  EXPECT_TRUE(named("llama/*", file));
  EXPECT_FALSE(named("llama", file));
  EXPECT_FALSE(named("tiny", file));
  EXPECT_FALSE(named("other/tiny.gguf", file));
  EXPECT_TRUE(matches(
      {.name = {}, .path = "llama/tiny.gguf", .cid = file.cid, .sha256 = file.sha256, .architecture = {}}, file));
  EXPECT_FALSE(matches({.name = {}, .path = "tiny.gguf", .cid = {}, .sha256 = {}, .architecture = {}}, file));
  EXPECT_FALSE(matches(
      {.name = "tiny.gguf", .path = {}, .cid = Cid::of(Multicodec::raw, {}), .sha256 = {}, .architecture = {}}, file));
  EXPECT_FALSE(matches({.name = {}, .path = {}, .cid = {}, .sha256 = sha256(ByteView()), .architecture = {}}, file));
}

TEST(AssetQuery, MatchesByArchitecture) {
  Asset file = asset("tiny.gguf");
  AssetQuery query;
  EXPECT_TRUE(is_empty(query));
  query.architecture = "llama";
  EXPECT_FALSE(is_empty(query));
  EXPECT_FALSE(matches(query, file)) << "it says nothing of itself";
  file.model.emplace();
  EXPECT_FALSE(matches(query, file));
  file.model->architecture = "llama";
  EXPECT_TRUE(matches(query, file));
  query.name = "other";
  EXPECT_FALSE(matches(query, file));
}

TEST(AssetQuery, MatchesByHubId) {
  Asset file = asset("models--org--repo/snapshots/abc123/onnx/model.onnx");
  file.hub = HubName{
      .repository = "org/repo", .revision = "abc123", .references = {"main", "pr/7"}, .file = "onnx/model.onnx"};
  for (const char* name :
       {"org/repo", "org/repo@abc123", "org/repo@main", "org/repo@pr/7", "org/repo@pr/7/onnx/model.onnx",
        "org/repo/onnx/model.onnx", "org/repo@main/*.onnx", "model.onnx"}) {
    EXPECT_TRUE(named(name, file)) << name;
  }
  for (const char* name : {"org", "org/repository", "org/repo@", "org/repo@other", "org/repo@main/config.json",
                           "org/repo/", "org/repo/model.onnx"}) {
    EXPECT_FALSE(named(name, file)) << name;
  }
}

TEST(Share, PatternsLetFilesIn) {
  Share share{.name = "models",
              .folder = "/m",
              .visibility = Visibility::lan,
              .include = {"*.gguf", "docs/*"},
              .exclude = {"docs/secret*"}};
  EXPECT_TRUE(lets_in(share, "a/b.gguf"));
  EXPECT_TRUE(lets_in(share, "docs/x.txt"));
  EXPECT_FALSE(lets_in(share, "x.txt"));
  EXPECT_FALSE(lets_in(share, "docs/secret.txt"));
  share.include.clear();
  EXPECT_TRUE(lets_in(share, "x.txt"));
}

TEST(Share, OutOfBoundsIsRefusedByName) {
  const Share good{.name = "models", .folder = "/m", .visibility = Visibility::lan, .include = {}, .exclude = {}};
  EXPECT_TRUE(check_share(good));
  const auto refused = [&](auto change) {
    Share share = good;
    change(share);
    return !check_share(share);
  };
  EXPECT_TRUE(refused([](Share& s) { s.name = ""; }));
  EXPECT_TRUE(refused([](Share& s) { s.name = "a/b"; }));
  EXPECT_TRUE(refused([](Share& s) { s.name = std::string(65, 'a'); }));
  EXPECT_TRUE(refused([](Share& s) { s.folder = "m"; }));
  EXPECT_TRUE(refused([](Share& s) { s.include = {""}; }));
  EXPECT_TRUE(refused([](Share& s) { s.exclude.assign(65, "x"); }));
}

}  // namespace
}  // namespace mesh::asset
