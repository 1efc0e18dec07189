// Two stores and the exchanges between them, in one thread, over socket pairs: for the tests of this folder.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <map>
#include <random>
#include <thread>

#include "adapters/store/temporary_folder.h"
#include "app/runtime/content.h"
#include "app/runtime/import.h"

namespace mesh::app {

inline NodeId test_node(std::uint8_t number) {
  std::array<std::uint8_t, 32> bytes{};
  bytes[0] = number;
  return NodeId(bytes);
}

inline Seed test_seed(std::uint8_t number) {
  std::array<std::uint8_t, Seed::size> bytes{};
  bytes.fill(number);
  return Seed(bytes);
}

/// `count` bytes that do not compress or repeat; the same for the same seed.
inline Bytes noise(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

struct TestStore {
  store::TemporaryFolder folder;
  std::unique_ptr<store::NodeStore> node;
  std::unique_ptr<store::BlockStore> blocks;

  explicit TestStore(store::BlockStoreOptions options = {}) {
    auto opened = store::NodeStore::open(folder.path());
    EXPECT_TRUE(opened);
    node = std::move(*opened);
    auto made = store::BlockStore::open(*node, options);
    EXPECT_TRUE(made);
    blocks = std::move(*made);
  }

  asset::BlockSink sink() { return block_sink(*blocks); }
  store::BlockReader reader() {
    return [this](const Cid& cid) { return blocks->get(cid); };
  }
  Cid add(ByteView content) {
    asset::FileBuilder builder(sink());
    EXPECT_TRUE(builder.feed(content));
    return builder.finish()->cid;
  }
  template <class Record>
  Cid add_record(const Record& value) {
    const Bytes block = record::encode(value);
    EXPECT_TRUE(blocks->put(dagcbor::cid_of(block), block));
    return dagcbor::cid_of(block);
  }
  void declare(const Cid& root) { blocks->declare(root, "test", {}); }
};

/// Opens streams to whatever a test has put behind a node's name. A peer gets one end and may do with it what it likes.
struct TestOpener final : StreamOpener {
  std::map<NodeId, std::function<void(int)>> peers;
  std::map<NodeId, int> opened;
  /// The transport that `peers` are connected by, and what is there over others: at once, or when it has been dialed.
  std::string base = "tcp";
  std::map<std::string, std::function<void(int)>, std::less<>> beside, dialable;
  std::vector<std::string> dialed;
  std::map<std::string, int, std::less<>> opened_by;

  void open(const NodeId& peer, std::string_view, std::string_view preferred, Opened done) override {
    ++opened[peer];
    const auto found = peers.find(peer);
    if (found == peers.end()) return done(fail(ErrorCode::unavailable, "cannot be reached"));
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const auto other = beside.find(preferred);
    const std::string transport = other == beside.end() ? base : std::string(preferred);
    ++opened_by[transport];
    (other == beside.end() ? found->second : other->second)(ends[0]);
    done(OpenedStream{.descriptor = ends[1], .transport = transport});
  }
  void connect_by(const NodeId&, std::string_view transport, Connected done) override {
    dialed.emplace_back(transport);
    const auto found = dialable.find(transport);
    if (found == dialable.end()) return done(fail(ErrorCode::unavailable, "no answer"));
    beside.insert(*found);
    done({});
  }
};

inline Bytes read_to_end(int descriptor) {
  Bytes all;
  std::array<std::uint8_t, 4096> part{};
  ssize_t got = 0;
  while ((got = ::read(descriptor, part.data(), part.size())) > 0)
    append(all, ByteView(part).first(static_cast<std::size_t>(got)));
  return all;
}

inline void write_all(int descriptor, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (wrote <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
}

/// Answers `answer` whatever is asked, and closes when the other side has.
inline std::function<void(int)> canned(Bytes answer) {
  return [answer = std::move(answer)](int end) {
    std::thread([answer, end] {
      write_all(end, answer);
      ::shutdown(end, SHUT_WR);
      read_to_end(end);
      ::close(end);
    }).detach();
  };
}

}  // namespace mesh::app
