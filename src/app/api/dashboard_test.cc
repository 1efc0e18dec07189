#include "app/api/dashboard.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "app/api/api.h"
#include "codec/hash.h"

namespace mesh::app {
namespace {

using nlohmann::json;

struct Given {
  std::string path;
  std::string type;
  std::string text;
};

/// As gzip, in one block that is stored as it is (RFC 1951, 3.2.4). The trailer is nobody's to read here.
std::string gzip_of(const std::string& text) {
  const auto length = static_cast<std::uint16_t>(text.size());
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\x03\x01", 11);
  for (const unsigned number : {unsigned{length}, ~unsigned{length}}) {
    out.push_back(static_cast<char>(number & 0xff));
    out.push_back(static_cast<char>((number >> 8) & 0xff));
  }
  return out + text + std::string(8, '\0');
}

Bytes pack_of(const json& index, const std::string& data) {
  const std::string text = index.dump();
  std::string out = "meshweb1";
  for (unsigned i = 0; i < 4; ++i) out.push_back(static_cast<char>((text.size() >> (8 * i)) & 0xff));
  out += text + data;
  return {out.begin(), out.end()};
}

Bytes pack_of(const std::vector<Given>& files) {
  json index = json::array();
  std::string data;
  for (const Given& file : files) {
    const std::string packed = gzip_of(file.text);
    index.push_back({{"path", file.path},
                     {"type", file.type},
                     {"etag", "of" + file.path.substr(1)},
                     {"bytes", file.text.size()},
                     {"offset", data.size()},
                     {"length", packed.size()}});
    data += packed;
  }
  return pack_of(index, data);
}

http::Request get(const std::string& path, http::Headers headers = {}) {
  http::Request request;
  request.method = "GET";
  request.path = path;
  request.headers = std::move(headers);
  return request;
}

std::string text_of(const http::Response& response) { return {response.body.begin(), response.body.end()}; }

class DashboardTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = Dashboard::open(pack_);
    ASSERT_TRUE(opened) << opened.error().message;
    dashboard_ = std::move(*opened);
  }

  Bytes pack_ = pack_of({{"/index.html", "text/html; charset=utf-8", "<!doctype html>"},
                         {"/assets/main-1a2b.js", "text/javascript; charset=utf-8", "start();"}});
  Dashboard dashboard_;
};

TEST_F(DashboardTest, AFileIsGivenCompressedToWhoTakesThatAndPlainToOthers) {
  const auto packed = dashboard_.answer(get("/assets/main-1a2b.js", {{"accept-encoding", "deflate, gzip;q=0.5"}}));
  ASSERT_TRUE(packed);
  EXPECT_EQ(text_of(*packed), gzip_of("start();"));
  EXPECT_EQ(packed->headers.at("content-encoding"), "gzip");
  const auto plain = dashboard_.answer(get("/assets/main-1a2b.js"));
  ASSERT_TRUE(plain);
  EXPECT_EQ(text_of(*plain), "start();");
  EXPECT_FALSE(plain->headers.contains("content-encoding"));
  for (const auto& answer : {*packed, *plain}) {
    EXPECT_EQ(answer.status, 200U);
    EXPECT_EQ(answer.content_type, "text/javascript; charset=utf-8");
    EXPECT_EQ(answer.headers.at("vary"), "accept-encoding");
  }
}

TEST_F(DashboardTest, WhatIsNamedByItsHashIsKeptForGoodAndThePageAskedForAgain) {
  EXPECT_EQ(dashboard_.answer(get("/assets/main-1a2b.js"))->headers.at("cache-control"),
            "public, max-age=31536000, immutable");
  EXPECT_EQ(dashboard_.answer(get("/"))->headers.at("cache-control"), "no-cache");
}

TEST_F(DashboardTest, WhoHasTheFileIsToldSo) {
  for (const std::string known : {R"("ofindex.html")", R"(W/"ofindex.html")", R"("other", "ofindex.html")", "*"}) {
    const auto answer = dashboard_.answer(get("/", {{"if-none-match", known}}));
    ASSERT_TRUE(answer) << known;
    EXPECT_EQ(answer->status, 304U) << known;
    EXPECT_TRUE(answer->body.empty()) << known;
    EXPECT_EQ(answer->headers.at("etag"), R"("ofindex.html")");
  }
  EXPECT_EQ(dashboard_.answer(get("/", {{"if-none-match", R"("another")"}}))->status, 200U);
}

TEST_F(DashboardTest, APathThatMayBeAPagesGetsTheApplication) {
  for (const std::string path : {"/", "/jobs", "/jobs/bafy", "/jobs/bafy/", "/apiary"}) {
    const auto answer = dashboard_.answer(get(path));
    ASSERT_TRUE(answer) << path;
    EXPECT_EQ(text_of(*answer), "<!doctype html>") << path;
  }
}

TEST_F(DashboardTest, WhatIsTheApisOrNamesNoFileIsNotItsOwn) {
  for (const std::string path : {"/api", "/api/v1/nothing", "/ipfs/bafy", "/v1/models", "/metrics", "/livez", "/readyz",
                                 "/openapi.json", "/assets/gone.js", "/favicon.ico", "/.git/config", ""}) {
    EXPECT_FALSE(dashboard_.answer(get(path))) << path;
    EXPECT_FALSE(dashboard_.has(get(path))) << path;
  }
  http::Request posted = get("/");
  posted.method = "POST";
  EXPECT_FALSE(dashboard_.has(posted));
  http::Request socket = get("/");
  socket.is_websocket = true;
  EXPECT_FALSE(dashboard_.has(socket));
}

TEST(TakesGzip, ByTheRulesOfAcceptEncoding) {
  for (const std::string_view yes :
       {"gzip", "GZIP", "br, gzip", "gzip;q=1.0", "gzip; q=0.001", "*", "br;q=0, *;q=0.1", "x-gzip"})
    EXPECT_TRUE(takes_gzip(yes)) << yes;
  for (const std::string_view no :
       {"", "br", "identity", "gzip;q=0", "gzip; q=0.000", "*, gzip;q=0", "*;q=0", "gzipped"})
    EXPECT_FALSE(takes_gzip(no)) << no;
}

TEST(DashboardPack, WhatIsNoneIsRefused) {
  const json entry{{"path", "/index.html"}, {"type", "text/html"}, {"etag", "e"}, {"bytes", 1},
                   {"offset", 0},           {"length", 20}};
  const auto with = [&](const std::string& name, const json& value) {
    json other = entry;
    other[name] = value;
    return other;
  };
  const std::string data = gzip_of("x");
  const Bytes good = pack_of(json::array({entry}), data);
  ASSERT_TRUE(Dashboard::open(good));
  for (std::size_t length = 0; length + data.size() < good.size(); ++length)
    EXPECT_FALSE(Dashboard::open(std::span(good).first(length))) << length;
  const std::vector<json> bad{
      json::object(),
      json::array(),
      json::array({1}),
      json::array({entry, entry}),
      json::array({with("path", "/other.html")}),
      json::array({with("path", nullptr)}),
      json::array({with("offset", -1)}),
      json::array({with("offset", 20)}),
      json::array({with("length", std::uint64_t{1} << 63)}),
      json::array({with("bytes", (16 << 20) + 1)}),
      json::array({with("bytes", "1")}),
  };
  for (const json& index : bad) EXPECT_FALSE(Dashboard::open(pack_of(index, data))) << index.dump();
  Bytes other = good;
  other[7] = '2';
  EXPECT_FALSE(Dashboard::open(other));
}

TEST(DashboardPack, AFileThatIsNotWhatTheIndexSaysIsAnErrorAndNotHalfAFile) {
  for (const int bytes : {0, 4, 6, 1000}) {
    json index =
        json::array({{{"path", "/index.html"}, {"type", "text/html"}, {"etag", "e"}, {"bytes", bytes}, {"offset", 0}}});
    const std::string data = gzip_of("12345");
    index[0]["length"] = data.size();
    const Bytes pack = pack_of(index, data);
    const auto opened = Dashboard::open(pack);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->answer(get("/"))->status, 500U) << bytes;
  }
}

TEST(DashboardPack, ThatOfTheProgramIsWhole) {
  const Dashboard& own = Dashboard::built_in();
  ASSERT_FALSE(own.paths().empty());
  for (const std::string& path : own.paths()) {
    const auto plain = own.answer(get(path));
    ASSERT_TRUE(plain);
    ASSERT_EQ(plain->status, 200U) << path;
    const std::string etag = plain->headers.at("etag");
    EXPECT_EQ(etag.substr(1, etag.size() - 2), sha256(plain->body).hex().substr(0, 32)) << path;
  }
}

TEST(OpenApi, TheDescriptionInTheDocumentsIsWhatANodeAnswers) {
  std::ifstream file(MESH_SOURCE_DIR "/docs/openapi.json");
  ASSERT_TRUE(file);
  // As EXPECT_TRUE: both are a hundred kilobytes long.
  EXPECT_TRUE(json::parse(file) == json::parse(Api::openapi()))
      << "make it again: build/mesh openapi > docs/openapi.json, then make format; the clients' types come from it";
}

}  // namespace
}  // namespace mesh::app
