#include "app/runtime/zephymesh.h"

#include <fstream>
#include <future>

#include "app/runtime/pacer.h"
#include "app/runtime/test_content.h"

namespace mesh::app {
namespace {

struct ZephyMeshTest : testing::Test {
  boost::asio::io_context io;
  TestStore ours;
  store::TemporaryFolder folder;
  std::unique_ptr<store::Shares> shares;
  NodeId peer = test_node(2);
  std::vector<Cid> served;

  void share(const std::string& name, const Bytes& content) {
    std::ofstream(folder.path() / name, std::ios::binary) << as_text(content);
    auto opened = store::Shares::open(
        ours.folder.path(), {{.name = "models", .folder = folder.path().string(), .include = {}, .exclude = {}}},
        *ours.blocks, {});
    ASSERT_TRUE(opened) << opened.error().message;
    shares = std::move(*opened);
    ours.blocks->attach(*shares);
    ASSERT_TRUE(shares->refresh());
  }

  /// What is answered to a request for a file.
  Bytes ask(std::string_view request, ZephyMeshStreams::Limits limits = {}) {
    ZephyMeshStreams streams(
        io, *shares, *ours.blocks, [](const NodeId&) { return std::vector{asset::Visibility::lan}; }, std::move(limits),
        [this](const Cid& root) { served.push_back(root); });
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    streams.serve(peer, zephymesh_file_protocol, ends[0]);
    write_all(ends[1], as_bytes(request));
    ::shutdown(ends[1], SHUT_WR);
    auto answer = std::async(std::launch::async, [&] { return read_to_end(ends[1]); });
    io.restart();
    io.run();
    Bytes bytes = answer.get();
    ::close(ends[1]);
    return bytes;
  }
};

TEST_F(ZephyMeshTest, AFileIsPacedAndToldToBeInUse) {
  const std::uint64_t rate = 20'000'000;
  std::shared_ptr<Pacer> pacer;  // Its time goes on by what it makes others wait, and by nothing else.
  pacer = std::make_shared<Pacer>(Pacer::Rates{.up_per_peer = rate}, [&] { return Instant(pacer->figures().waited); });
  const Bytes content = noise(5'500'000, 1);
  share("a.bin", content);
  const Bytes answer = ask("{\"path\":\"models/a.bin\"}\n", {.pacer = pacer});
  const std::size_t line = as_text(answer).find('\n');
  ASSERT_NE(line, std::string_view::npos);
  EXPECT_TRUE(as_text(answer).substr(0, line).contains("sending"));
  EXPECT_EQ(Bytes(answer.begin() + static_cast<std::ptrdiff_t>(line) + 1, answer.end()), content);
  EXPECT_EQ(pacer->figures().up, answer.size());
  EXPECT_GE(pacer->figures().waited, Duration((content.size() - rate / 10) * 1'000'000 / rate));
  const auto asset = shares->find({}, 0, 1).at(0);
  EXPECT_EQ(served, std::vector<Cid>(6, asset.cid)) << "with each of its leaves";
}

TEST_F(ZephyMeshTest, WhatIsNotSharedIsNotInUse) {
  share("a.bin", noise(10, 2));
  EXPECT_TRUE(as_text(ask("{\"path\":\"models/b.bin\"}\n")).contains("error"));
  EXPECT_TRUE(served.empty());
}

}  // namespace
}  // namespace mesh::app
