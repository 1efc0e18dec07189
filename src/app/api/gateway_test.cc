#include "app/api/gateway.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <random>
#include <thread>

#include "adapters/http/client.h"
#include "adapters/store/temporary_folder.h"
#include "app/runtime/import.h"
#include "codec/car.h"
#include "codec/record.h"
#include "domain/asset/unixfs.h"
#include "domain/task/intent.h"

namespace mesh::app {
namespace {

const std::string token = "0123456789abcdef-secret";

Bytes noise(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

http::Request request_of(const std::string& accept, std::map<std::string, std::string> query = {}) {
  http::Request request;
  if (!accept.empty()) request.headers["accept"] = accept;
  request.query = std::move(query);
  return request;
}

/// "raw", "car n all", ..., or the status of the refusal.
std::string plan_text(const http::Request& request) {
  const auto plan = plan_of(request);
  if (!plan) return std::to_string(plan.error().status);
  if (!plan->is_car) return "raw";
  return std::string("car ") + (plan->has_duplicates ? "y " : "n ") +
         (plan->scope == DagScope::all      ? "all"
          : plan->scope == DagScope::entity ? "entity"
                                            : "block");
}

TEST(GatewayPlan, TheFormatComesFromTheQueryOrTheHeader) {
  EXPECT_EQ(plan_text(request_of("", {{"format", "raw"}})), "raw");
  EXPECT_EQ(plan_text(request_of("text/html", {{"format", "car"}})), "car n all");
  EXPECT_EQ(plan_text(request_of(std::string(raw_type))), "raw");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car; version=1; order=dfs; dups=y")), "car y all");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car;dups=y", {{"format", "car"}})), "car y all");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car;dups=y", {{"car-dups", "n"}})), "car n all");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car;dups=y", {{"format", "raw"}})), "raw");
  EXPECT_EQ(plan_text(request_of("text/html, application/vnd.ipld.raw;q=0.5, application/vnd.ipld.car;q=0.8")),
            "car n all");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car;version=2, application/vnd.ipld.raw;q=0.1")), "raw");
}

TEST(GatewayPlan, WhatIsNotThereIsRefused) {
  EXPECT_EQ(plan_text(request_of("")), "400");
  EXPECT_EQ(plan_text(request_of("*/*")), "406");
  EXPECT_EQ(plan_text(request_of("text/html")), "406");
  EXPECT_EQ(plan_text(request_of("", {{"format", "tar"}})), "406");
  EXPECT_EQ(plan_text(request_of("", {{"format", ""}})), "406");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car;version=2")), "406");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car;q=0")), "406");
  EXPECT_EQ(plan_text(request_of("application/vnd.ipld.car;q=x")), "406");
  EXPECT_EQ(plan_text(request_of("", {{"format", "car"}, {"car-version", "2"}})), "400");
  EXPECT_EQ(plan_text(request_of("", {{"format", "car"}, {"car-order", "bfs"}})), "400");
  EXPECT_EQ(plan_text(request_of("", {{"format", "car"}, {"car-dups", "maybe"}})), "400");
  EXPECT_EQ(plan_text(request_of("", {{"format", "car"}, {"dag-scope", "some"}})), "400");
  EXPECT_EQ(plan_text(request_of("", {{"format", "car"}, {"entity-bytes", "5"}})), "400");
}

TEST(GatewayPlan, EntityBytesRead) {
  EXPECT_EQ(*parse_entity_bytes("0:*"), (EntityBytes{0, std::nullopt}));
  EXPECT_EQ(*parse_entity_bytes("-1024:*"), (EntityBytes{-1024, std::nullopt}));
  EXPECT_EQ(*parse_entity_bytes("499:-1000"), (EntityBytes{499, -1000}));
  EXPECT_EQ(*parse_entity_bytes("7:7"), (EntityBytes{7, 7}));
  for (const char* bad : {"", ":", "1", "1:", ":1", "*:1", "1:2:3", "9:8", " 1:2", "1:x", "+1:2",
                          "99999999999999999999:*", "-9223372036854775808:*", "0:-9223372036854775808"})
    EXPECT_FALSE(parse_entity_bytes(bad)) << bad;
}

/// A store, a gateway over it and a server with it, on a thread; and a client.
struct GatewayTest : testing::Test {
  store::TemporaryFolder home;
  std::unique_ptr<store::NodeStore> node;
  std::unique_ptr<store::BlockStore> blocks;
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{io.get_executor()};
  std::shared_ptr<Gateway> gateway;
  std::unique_ptr<http::Server> server;
  std::thread thread;

  GatewayTest() {
    node = std::move(*store::NodeStore::open(home.path()));
    blocks = std::move(*store::BlockStore::open(*node, {}));
    const auto post = [this](std::move_only_function<void()> work) {
      boost::asio::post(io, [work = std::move(work)]() mutable { work(); });
    };
    gateway = std::make_shared<Gateway>(*blocks, post, post);
    http::Config config;
    config.token = token;
    server = std::move(*http::Server::start(io, std::move(config),
                                            [this](const http::Request& request, const http::Responder& responder) {
                                              gateway->serve(request, responder);
                                            }));
    thread = std::thread([this] { io.run(); });
  }
  ~GatewayTest() override {
    std::promise<void> stopped;
    boost::asio::post(io, [&] {
      server.reset();
      stopped.set_value();
    });
    stopped.get_future().wait();
    guard.reset();
    io.stop();
    thread.join();
  }

  http::Response get(const std::string& path, const http::Headers& headers = {}, std::string_view method = "GET") {
    http::ClientConfig config;
    config.port = server->port();
    config.token = token;
    auto response = http::Client(config).request(method, path, {}, headers);
    EXPECT_TRUE(response) << path << ": " << response.error().message;
    return response ? std::move(*response) : http::Response{};
  }
  /// The CIDs of the CAR's blocks, in order. The reader checks each block.
  std::vector<Cid> car(const std::string& path) {
    const http::Response response = get(path);
    EXPECT_EQ(response.status, 200U) << path << as_text(response.body);
    const auto archive = car::read(response.body);
    EXPECT_TRUE(archive) << path;
    std::vector<Cid> cids;
    if (!archive) return cids;
    for (const car::Block& block : archive->blocks) cids.push_back(block.cid);
    return cids;
  }

  Cid add(ByteView content) {
    asset::FileBuilder builder(block_sink(*blocks));
    EXPECT_TRUE(builder.feed(content));
    return builder.finish()->cid;
  }
  Cid add_folder(std::vector<asset::FolderEntry> entries) {
    auto built = asset::build_directory(std::move(entries));
    EXPECT_TRUE(built);
    EXPECT_TRUE(blocks->put(built->built.cid, built->block));
    return built->built.cid;
  }
  std::vector<Cid> links(const Cid& cid) { return *asset::links_of(cid, **blocks->get(cid)); }
};

std::vector<Cid> operator+(std::vector<Cid> a, const std::vector<Cid>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(GatewayTest, ARawBlockWithItsHeaders) {
  const Bytes content = to_bytes("hello, gateway");
  const Cid cid = add(content);
  const std::string path = "/ipfs/" + cid.text();
  const http::Response response = get(path + "?format=raw");
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.body, content);
  EXPECT_EQ(response.content_type, raw_type);
  const auto header = [&](const char* name) { return response.headers.at(name); };
  EXPECT_EQ(header("x-content-type-options"), "nosniff");
  EXPECT_EQ(header("content-disposition"), "attachment; filename=\"" + cid.text() + ".bin\"");
  EXPECT_EQ(header("etag"), "\"" + cid.text() + ".raw\"");
  EXPECT_EQ(header("cache-control"), "public, max-age=29030400, immutable");
  EXPECT_EQ(header("x-ipfs-path"), path);
  EXPECT_EQ(header("x-ipfs-roots"), cid.text());
  EXPECT_EQ(header("accept-ranges"), "bytes");
  EXPECT_FALSE(response.headers.contains("content-location"));
  EXPECT_FALSE(response.headers.contains("access-control-allow-origin"));
  const http::Response negotiated = get(path, {{"accept", std::string(raw_type)}});
  EXPECT_EQ(negotiated.body, content);
  EXPECT_EQ(negotiated.headers.at("content-location"), path + "?format=raw");
  EXPECT_EQ(get(path + "?format=raw&filename=a%22b.txt").headers.at("content-disposition"),
            "attachment; filename*=UTF-8''a%22b.txt");
  EXPECT_EQ(get(path + "?format=raw&filename=b.txt").headers.at("content-disposition"),
            "attachment; filename=\"b.txt\"");
  const http::Response head = get(path + "?format=raw", {}, "HEAD");
  EXPECT_EQ(head.status, 200U);
  EXPECT_TRUE(head.body.empty());
  EXPECT_EQ(head.headers.at("content-length"), std::to_string(content.size()));
}

TEST_F(GatewayTest, RangesOfARawBlock) {
  const Cid cid = add(as_bytes("0123456789"));
  const std::string path = "/ipfs/" + cid.text() + "?format=raw";
  const auto part = [&](const std::string& range) { return get(path, {{"range", range}}); };
  EXPECT_EQ(as_text(part("bytes=2-4").body), "234");
  EXPECT_EQ(part("bytes=2-4").status, 206U);
  EXPECT_EQ(part("bytes=2-4").headers.at("content-range"), "bytes 2-4/10");
  EXPECT_EQ(as_text(part("bytes=7-").body), "789");
  EXPECT_EQ(as_text(part("bytes=-3").body), "789");
  EXPECT_EQ(as_text(part("bytes=-30").body), "0123456789");
  EXPECT_EQ(as_text(part("bytes=8-99").body), "89");
  EXPECT_EQ(part("bytes=10-").status, 416U);
  EXPECT_EQ(part("bytes=10-").headers.at("content-range"), "bytes */10");
  EXPECT_EQ(part("bytes=-0").status, 416U);
  for (const char* whole : {"bytes=4-2", "bytes=1-2,4-5", "lines=1-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=1--2"})
    EXPECT_EQ(part(whole).status, 200U) << whole;
  EXPECT_EQ(get(path, {{"range", "bytes=2-4"}, {"if-range", "\"other\""}}).status, 200U);
  EXPECT_EQ(get(path, {{"range", "bytes=2-4"}, {"if-range", "\"" + cid.text() + ".raw\""}}).status, 206U);
}

TEST_F(GatewayTest, WhatIsKnownIsNotSentAgain) {
  const Cid cid = add(as_bytes("unchanged"));
  for (const char* format : {"raw", "car"}) {
    const std::string path = "/ipfs/" + cid.text() + "?format=" + format;
    const std::string etag = get(path).headers.at("etag");
    for (const std::string& known : {etag, "\"x\", " + etag, std::string("*")}) {
      const http::Response same = get(path, {{"if-none-match", known}});
      EXPECT_EQ(same.status, 304U) << known;
      EXPECT_TRUE(same.body.empty());
      EXPECT_EQ(same.headers.at("etag"), etag);
      EXPECT_FALSE(same.headers.contains("content-length"));
    }
    EXPECT_EQ(get(path, {{"if-none-match", "\"other\""}}).status, 200U);
  }
  // Each CAR has a tag of its own.
  std::set<std::string> tags;
  for (const char* query :
       {"", "&dag-scope=block", "&dag-scope=entity", "&entity-bytes=0:*", "&entity-bytes=1:2", "&car-dups=y"})
    tags.insert(get("/ipfs/" + cid.text() + "?format=car" + query).headers.at("etag"));
  EXPECT_EQ(tags.size(), 6U);
}

TEST_F(GatewayTest, RefusalsHaveTheirStatus) {
  const Cid file = add(as_bytes("a file"));
  const Cid root = add_folder({{.name = "a", .cid = file, .total_bytes = 6}});
  const std::string missing = Cid::of(Multicodec::raw, as_bytes("nowhere")).text();
  EXPECT_EQ(get("/ipfs/" + missing + "?format=raw").status, 404U);
  EXPECT_EQ(get("/ipfs/" + missing + "?format=car").status, 404U);
  EXPECT_EQ(get("/ipfs/" + missing + "?format=car", {}, "HEAD").status, 404U);
  EXPECT_EQ(get("/ipfs/" + missing + "?format=car", {{"cache-control", "only-if-cached"}}).status, 412U);
  EXPECT_EQ(get("/ipfs/" + root.text() + "/b?format=car").status, 404U);
  EXPECT_EQ(get("/ipfs/" + root.text() + "/a/b?format=car").status, 404U);
  EXPECT_EQ(get("/ipfs/" + root.text() + "/a?format=raw").status, 400U);
  EXPECT_EQ(get("/ipfs/nonsense?format=raw").status, 400U);
  EXPECT_EQ(get("/ipfs/bafkr4ieiwc7kvhibnmp7dr6oedc2iupx2gd7jg6fjwvdqmzsr4yelt5g6q?format=raw").status,
            400U);  // BLAKE3
  EXPECT_EQ(get("/ipfs/?format=raw").status, 400U);
  EXPECT_EQ(get("/ipfs/" + file.text()).status, 400U);
  EXPECT_EQ(get("/ipfs/" + file.text(), {{"accept", "text/html"}}).status, 406U);
  EXPECT_EQ(get("/ipfs/" + file.text() + "?format=car&entity-bytes=6:*").status, 400U);
  const http::Response probe = get("/ipfs/bafkqaaa?format=raw");
  EXPECT_EQ(probe.status, 200U);
  EXPECT_TRUE(probe.body.empty());
}

TEST_F(GatewayTest, ACarHoldsThePathAndTheDagBelowItDepthFirst) {
  const Cid large = add(noise(3'000'000, 1));
  const Cid small = add(as_bytes("small"));
  const Cid inner = add_folder(
      {{.name = "large", .cid = large, .total_bytes = 3}, {.name = "small", .cid = small, .total_bytes = 5}});
  const Cid root =
      add_folder({{.name = "in", .cid = inner, .total_bytes = 8}, {.name = "x", .cid = small, .total_bytes = 5}});
  const std::string path = "/ipfs/" + root.text();
  const std::vector<Cid> below_large = std::vector<Cid>{large} + links(large);
  EXPECT_EQ(car(path + "?format=car"), (std::vector<Cid>{root, inner} + below_large + std::vector<Cid>{small}));
  EXPECT_EQ(car(path + "?format=car&car-dups=y"),
            (std::vector<Cid>{root, inner} + below_large + std::vector<Cid>{small, small}));
  EXPECT_EQ(car(path + "?format=car&dag-scope=block"), (std::vector<Cid>{root}));
  EXPECT_EQ(car(path + "?format=car&dag-scope=entity"), (std::vector<Cid>{root}));
  EXPECT_EQ(car(path + "/in/?format=car&dag-scope=entity"), (std::vector<Cid>{root, inner}));
  EXPECT_EQ(car(path + "/in/large?format=car"), (std::vector<Cid>{root, inner} + below_large));
  EXPECT_EQ(car(path + "/in/large?format=car&dag-scope=entity"), (std::vector<Cid>{root, inner} + below_large));
  EXPECT_EQ(car(path + "/in/large?format=car&dag-scope=block"), (std::vector<Cid>{root, inner, large}));
  EXPECT_EQ(car(path + "/in/small?format=car&dag-scope=entity"), (std::vector<Cid>{root, inner, small}));
  const http::Response response = get(path + "/in/small", {{"accept", "application/vnd.ipld.car;dups=y"}});
  EXPECT_EQ(response.content_type, "application/vnd.ipld.car; version=1; order=dfs; dups=y");
  EXPECT_EQ(response.headers.at("x-ipfs-roots"), root.text() + "," + inner.text() + "," + small.text());
  EXPECT_EQ(response.headers.at("content-disposition"), "attachment; filename=\"" + root.text() + ".car\"");
  EXPECT_EQ(car::read(response.body)->roots, (std::vector<Cid>{small}));
  const http::Response head = get(path + "?format=car", {}, "HEAD");
  EXPECT_EQ(head.status, 200U);
  EXPECT_TRUE(head.body.empty());
}

TEST_F(GatewayTest, EntityBytesBringWhatTheyNeedAndNoMore) {
  constexpr std::uint64_t chunk = asset::chunk_bytes;
  const Cid file = add(noise(3 * chunk + 100, 2));
  const auto leaves = links(file);
  ASSERT_EQ(leaves.size(), 4U);
  const auto range = [&](const std::string& bytes) {
    return car("/ipfs/" + file.text() + "?format=car&entity-bytes=" + bytes);
  };
  const auto some = [&](std::size_t first, std::size_t last) {
    std::vector<Cid> expected{file};
    for (std::size_t i = first; i <= last; ++i) expected.push_back(leaves[i]);
    return expected;
  };
  EXPECT_EQ(range("0:*"), some(0, 3));
  EXPECT_EQ(range("0:0"), some(0, 0));
  EXPECT_EQ(range(std::to_string(chunk - 1) + ":" + std::to_string(chunk)), some(0, 1));
  EXPECT_EQ(range(std::to_string(chunk) + ":" + std::to_string(2 * chunk - 1)), some(1, 1));
  EXPECT_EQ(range("-100:*"), some(3, 3));
  EXPECT_EQ(range("-101:*"), some(2, 3));
  EXPECT_EQ(range("-99999999:*"), some(0, 3));
  EXPECT_EQ(range("5:-" + std::to_string(2 * chunk + 100)), some(0, 0));
  EXPECT_EQ(range("5:-1"), some(0, 3));
  EXPECT_EQ(range("0:99999999999"), some(0, 3));
  EXPECT_EQ(range("5:-99999999"), (std::vector<Cid>{file}));  // No bytes: the block that shows why.
  const Cid empty = add({});
  EXPECT_EQ(car("/ipfs/" + empty.text() + "?format=car&entity-bytes=0:*"), (std::vector<Cid>{empty}));
  // What is no file is taken as without a range.
  const Cid root = add_folder({{.name = "f", .cid = file, .total_bytes = 3 * chunk}});
  EXPECT_EQ(car("/ipfs/" + root.text() + "?format=car&entity-bytes=5:*"), (std::vector<Cid>{root}));
}

TEST_F(GatewayTest, RecordsAndRepeatedFoldersAreWalkedOnce) {
  task::ShardList list;
  list.inputs = {add(as_bytes("a")), add(as_bytes("b")), add(as_bytes("a"))};
  const Bytes block = record::encode(list);
  const Cid record = dagcbor::cid_of(block);
  ASSERT_TRUE(blocks->put(record, block));
  EXPECT_EQ(car("/ipfs/" + record.text() + "?format=car"), (std::vector<Cid>{record, list.inputs[0], list.inputs[1]}));
  EXPECT_EQ(car("/ipfs/" + record.text() + "?format=car&dag-scope=entity"), (std::vector<Cid>{record}));
  EXPECT_EQ(get("/ipfs/" + record.text() + "/inputs?format=car").status, 404U);
  // Forty folders, each of which holds the next one twice: 2^40 paths, forty-one blocks.
  Cid folder = add_folder({});
  std::vector<Cid> all{folder};
  for (int i = 0; i < 40; ++i) {
    folder =
        add_folder({{.name = "a", .cid = folder, .total_bytes = 1}, {.name = "b", .cid = folder, .total_bytes = 1}});
    all.insert(all.begin(), folder);
  }
  EXPECT_EQ(car("/ipfs/" + folder.text() + "?format=car"), all);
}

TEST_F(GatewayTest, ACarThatCannotBeWholeIsCut) {
  const Cid file = add(noise(3'000'000, 3));
  ASSERT_TRUE(*blocks->erase(links(file)[2]));
  http::ClientConfig config;
  config.port = server->port();
  config.token = token;
  const http::Client client(config);
  EXPECT_FALSE(client.get("/ipfs/" + file.text() + "?format=car"));
  EXPECT_EQ(car("/ipfs/" + file.text() + "?format=car&entity-bytes=0:5").size(), 2U);
  // Nested deeper than is walked.
  Cid folder = add_folder({});
  for (int i = 0; i < 70; ++i) folder = add_folder({{.name = "a", .cid = folder, .total_bytes = 1}});
  EXPECT_FALSE(client.get("/ipfs/" + folder.text() + "?format=car"));
}

}  // namespace
}  // namespace mesh::app
