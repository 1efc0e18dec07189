// Raw streams, their ends and their bounds; and peers that misbehave below our protocols.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "adapters/p2p/test_mesh.h"

namespace mesh::p2p::testing {
namespace {

const std::string blocks = "/meshwork/blocks/1";

class StreamTest : public TestMesh {
 protected:
  /// Opens from a to b; both ends.
  struct Pair {
    RawStream near;
    StreamOpened far;
  };

  std::optional<Result<RawStream>> open(Peer& from, const PublicKey& to, const std::string& protocol = blocks) {
    std::optional<Result<RawStream>> answer;
    from.network->open_stream(to, protocol, [&answer](Result<RawStream> result) { answer = std::move(result); });
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return answer;
  }

  Pair open_pair(Peer& a, Peer& b, const std::string& protocol = blocks) {
    b.filter = [this](Event& event) {
      if (auto* opened = std::get_if<StreamOpened>(&event)) {
        far_ = std::move(*opened);
        return true;
      }
      return false;
    };
    far_.reset();
    auto answer = open(a, b.key(), protocol);
    EXPECT_TRUE(answer && *answer) << (answer ? answer->error().message : "");
    EXPECT_TRUE(until([&] { return far_.has_value(); }));
    return {std::move(**answer), std::move(*far_)};
  }

  /// Writes all bytes while the loop runs; false on an error.
  bool write_all(int fd, ByteView bytes) {
    std::size_t written = 0;
    bool failed = false;
    const bool done = until([&] {
      const auto count = ::send(fd, bytes.data() + written, bytes.size() - written, MSG_NOSIGNAL);
      if (count > 0) written += static_cast<std::size_t>(count);
      failed = count < 0 && errno != EAGAIN;
      return failed || written == bytes.size();
    });
    return done && !failed;
  }

  /// Reads up to `size` bytes, or to the end of file.
  Bytes read(int fd, std::size_t size) {
    Bytes result;
    Bytes buffer(1 << 18);
    EXPECT_TRUE(until([&] {
      while (result.size() < size) {
        const auto count = ::recv(fd, buffer.data(), std::min(buffer.size(), size - result.size()), 0);
        if (count < 0) return errno != EAGAIN;
        if (count == 0) return true;
        append(result, ByteView(buffer).first(static_cast<std::size_t>(count)));
      }
      return true;
    }));
    return result;
  }

  Bytes read_to_end(int fd) { return read(fd, SIZE_MAX); }

  std::optional<StreamEnd> end_of(Peer& peer, std::uint64_t stream) {
    const auto find = [&]() -> const StreamClosed* {
      for (const auto* closed : peer.all<StreamClosed>()) {
        if (closed->stream == stream) return closed;
      }
      return nullptr;
    };
    if (!until([&] { return find() != nullptr; })) return std::nullopt;
    return find()->end;
  }

  std::optional<StreamOpened> far_;
};

class StreamTransportTest : public StreamTest, public ::testing::WithParamInterface<std::string> {};

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t index = 0; index < size; ++index) bytes[index] = static_cast<std::uint8_t>(index * 31 + index / 251);
  return bytes;
}

TEST_P(StreamTransportTest, CarriesBytesBothWaysAndEndsCleanly) {
  auto& a = start(config(GetParam()));
  auto& b = start(config(GetParam()));
  connect(a, b);
  auto pair = open_pair(a, b);
  EXPECT_EQ(pair.far.peer, a.key());
  EXPECT_EQ(pair.far.protocol, blocks);
  // A short exchange, half-close, and a long answer after it.
  ASSERT_TRUE(write_all(pair.near.fd.get(), as_bytes("question")));
  ::shutdown(pair.near.fd.get(), SHUT_WR);
  EXPECT_EQ(as_text(read_to_end(pair.far.fd.get())), "question");
  const Bytes answer = pattern(3'000'001);
  std::size_t written = 0;
  Bytes got;
  Bytes buffer(1 << 16);
  ASSERT_TRUE(until([&] {
    if (written < answer.size()) {
      const auto count = ::send(pair.far.fd.get(), answer.data() + written, answer.size() - written, MSG_NOSIGNAL);
      if (count > 0) written += static_cast<std::size_t>(count);
      if (written == answer.size()) ::shutdown(pair.far.fd.get(), SHUT_WR);
    }
    const auto count = ::recv(pair.near.fd.get(), buffer.data(), buffer.size(), 0);
    if (count > 0) append(got, ByteView(buffer).first(static_cast<std::size_t>(count)));
    return count == 0;
  }));
  EXPECT_EQ(got.size(), answer.size());
  EXPECT_TRUE(got == answer);
  EXPECT_EQ(end_of(a, pair.near.stream), StreamEnd::clean);
  EXPECT_EQ(end_of(b, pair.far.stream), StreamEnd::clean);
}

TEST_F(StreamTest, ASecondTransportCarriesWhatPrefersIt) {
  Config both = config();
  both.listen = {tcp_any, quic_any};
  auto& b = start(both);
  auto& a = start(config());
  connect(a, b);
  ASSERT_TRUE(until([&] {
    const PeerInfo* peer = a.network->peer(b.key());
    return peer != nullptr && peer->addresses.size() >= 2;
  }));
  const auto connect_by = [&](Peer& from, const PublicKey& to, std::string_view transport) {
    std::optional<Result<PublicKey>> answer;
    from.network->connect_by(to, transport, [&answer](Result<PublicKey> result) { answer = std::move(result); });
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return answer.value_or(fail(ErrorCode::internal, "no answer"));
  };
  for (const std::string_view wrong : {"", "ws", "\xff"}) {
    const auto refused = connect_by(a, b.key(), wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid) << refused.error().message;
  }
  EXPECT_EQ(connect_by(b, a.key(), "quic").error().code, ErrorCode::unsupported);  // It listens at no such address.
  const auto connected = connect_by(a, b.key(), "quic");
  if (has_sockets) {
    ASSERT_TRUE(connected) << connected.error().message;
    EXPECT_EQ(*connected, b.key());
  }
  const auto open_by = [&](std::string_view preferred) {
    std::optional<Result<RawStream>> answer;
    a.network->open_stream(
        b.key(), blocks, [&answer](Result<RawStream> result) { answer = std::move(result); }, preferred);
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return std::move(*answer);
  };
  EXPECT_EQ(open_by("")->transport, "tcp");
  EXPECT_EQ(open_by("tcp")->transport, "tcp");
  ASSERT_TRUE(until([&] { return b.count<StreamOpened>() == 2; }));
  b.events.clear();
  const auto stream = open_by("quic");
  ASSERT_TRUE(stream);
  EXPECT_EQ(stream->transport, has_sockets ? "quic" : "tcp");
  ASSERT_TRUE(write_all(stream->fd.get(), as_bytes("over it")));
  ASSERT_TRUE(until([&] { return b.stream() != nullptr; }));
  EXPECT_EQ(as_text(read(b.stream()->fd.get(), 7)), "over it");
  // The list of peers has the first one still.
  EXPECT_EQ(a.network->peer(b.key())->transport, "tcp");
  EXPECT_EQ(a.count<PeerPathChanged>(), 0U);
}

TEST_P(StreamTransportTest, ResetIsNotTakenForACleanEnd) {
  auto& a = start(config(GetParam()));
  auto& b = start(config(GetParam()));
  connect(a, b);
  auto pair = open_pair(a, b);
  ASSERT_TRUE(write_all(pair.far.fd.get(), as_bytes("half of it")));
  EXPECT_EQ(as_text(read(pair.near.fd.get(), 10)), "half of it");
  b.network->reset_stream(pair.far.stream);
  pair.far.fd.reset();
  // To the reader it looks like any end of file; the event tells.
  EXPECT_TRUE(read_to_end(pair.near.fd.get()).empty());
  EXPECT_EQ(end_of(a, pair.near.stream), StreamEnd::reset);
  EXPECT_EQ(end_of(b, pair.far.stream), StreamEnd::reset);
  EXPECT_NE(a.network->peer(b.key()), nullptr);
}

TEST_P(StreamTransportTest, LostPeerEndsItsStreams) {
  auto& a = start(config(GetParam()));
  auto& b = start(config(GetParam()));
  connect(a, b);
  auto pair = open_pair(a, b);
  ASSERT_TRUE(write_all(pair.far.fd.get(), as_bytes("x")));
  EXPECT_EQ(as_text(read(pair.near.fd.get(), 1)), "x");
  b.network->stop();
  EXPECT_TRUE(read_to_end(pair.near.fd.get()).empty());
  EXPECT_EQ(end_of(a, pair.near.stream), StreamEnd::peer_gone);
}

TEST_P(StreamTransportTest, LocalDisconnectWakesPendingReaders) {
  auto& a = start(config(GetParam()));
  auto& b = start(config(GetParam()));
  connect(a, b);
  auto pair = open_pair(a, b);
  a.network->disconnect(b.key());
  EXPECT_TRUE(read_to_end(pair.near.fd.get()).empty());
  EXPECT_EQ(end_of(a, pair.near.stream), StreamEnd::peer_gone);
  EXPECT_EQ(end_of(b, pair.far.stream), StreamEnd::peer_gone);
}

TEST_P(StreamTransportTest, ABurstOfOpensLosesNone) {
  auto settings = config(GetParam());
  settings.limits.streams_per_peer = 100;
  auto& a = start(settings);
  auto other = config(GetParam());
  other.limits.streams_per_peer = 100;
  auto& b = start(other);
  connect(a, b);
  std::vector<RawStream> opened;
  int failed = 0;
  for (int count = 0; count < 100; ++count) {
    a.network->open_stream(b.key(), blocks, [&](Result<RawStream> result) {
      if (result) {
        opened.push_back(std::move(*result));
      } else {
        ++failed;
      }
    });
  }
  ASSERT_TRUE(until([&] { return opened.size() + static_cast<std::size_t>(failed) == 100; }));
  EXPECT_EQ(failed, 0);
  ASSERT_TRUE(until([&] { return b.count<StreamOpened>() == 100; }));
}

std::string name_of_transport(const ::testing::TestParamInfo<std::string>& parameter) {
  return std::array<std::string, 3>{"tcp", "quic", "ws"}.at(parameter.index);
}

INSTANTIATE_TEST_SUITE_P(All, StreamTransportTest, ::testing::Values(tcp_any, quic_any, ws_any), name_of_transport);

TEST_F(StreamTest, OurOwnBoundOfStreamsIsNamed) {
  auto settings = config();
  settings.limits.streams_per_peer = 2;
  settings.limits.streams = 3;
  auto& a = start(settings);
  auto& b = start(config());
  auto& c = start(config());
  connect(a, b);
  connect(a, c);
  auto one = open(a, b.key());
  auto two = open(a, b.key());
  ASSERT_TRUE(one->has_value());
  ASSERT_TRUE(two->has_value());
  auto over = open(a, b.key());
  ASSERT_FALSE(over->has_value());
  EXPECT_EQ(over->error().code, ErrorCode::exhausted);
  auto three = open(a, c.key());
  ASSERT_TRUE(three->has_value());
  auto over_all = open(a, c.key());
  ASSERT_FALSE(over_all->has_value());
  EXPECT_EQ(over_all->error().code, ErrorCode::exhausted);
  // An ended stream makes room.
  const auto ended = (*one)->stream;
  a.network->reset_stream(ended);
  EXPECT_EQ(end_of(a, ended), StreamEnd::reset);
  auto again = open(a, b.key());
  EXPECT_TRUE(again->has_value()) << again->error().message;
}

TEST_F(StreamTest, PeerThatOpensTooManyIsRefusedByNameAndHarmsNobody) {
  auto settings = config();
  settings.limits.streams_per_peer = 1000;
  settings.limits.streams = 1000;
  auto& greedy = start(settings);
  auto bounded = config();
  bounded.limits.streams_per_peer = 8;
  auto& b = start(bounded);
  auto& other = start(config());
  connect(greedy, b);
  connect(other, b);
  std::vector<RawStream> kept;
  std::vector<Error> errors;
  for (int count = 0; count < 1000; ++count) {
    greedy.network->open_stream(b.key(), blocks, [&](Result<RawStream> result) {
      if (result) {
        kept.push_back(std::move(*result));
      } else {
        errors.push_back(result.error());
      }
    });
  }
  ASSERT_TRUE(until([&] { return kept.size() + errors.size() == 1000; }, std::chrono::seconds(120)));
  EXPECT_LE(b.count<StreamOpened>(), 8U + 8U);  // a connection that broke under the load may have come back
  EXPECT_GT(errors.size(), 900U);
  for (const auto& error : errors) EXPECT_FALSE(error.message.empty());
  auto fine = open(other, b.key());
  EXPECT_TRUE(fine->has_value()) << fine->error().message;
}

TEST_F(StreamTest, UnknownProtocolsAreErrors) {
  auto settings = config();
  settings.stream_protocols = {"/meshwork/future/9"};
  auto& a = start(settings);
  auto& b = start(config());
  connect(a, b);
  auto there = open(a, b.key(), "/meshwork/future/9");
  ASSERT_FALSE(there->has_value());
  EXPECT_EQ(there->error().code, ErrorCode::unsupported);
  auto here = open(a, b.key(), "/never/1");
  ASSERT_FALSE(here->has_value());
  EXPECT_EQ(here->error().code, ErrorCode::not_found);
}

TEST_F(StreamTest, ProtocolsOfOthersCarryNothingOfOurs) {
  auto near = config();
  auto far = config();
  for (Config* settings : {&near, &far}) settings->stream_protocols = {"/others/1.0.0"};
  auto& a = start(near);
  auto& b = start(far);
  connect(a, b);
  const auto pair = open_pair(a, b, "/others/1.0.0");
  ASSERT_TRUE(write_all(pair.near.fd.get(), to_bytes("ask")));
  EXPECT_EQ(read(pair.far.fd.get(), 3), to_bytes("ask"));
  ASSERT_TRUE(write_all(pair.far.fd.get(), to_bytes("answer")));
  EXPECT_EQ(read(pair.near.fd.get(), 6), to_bytes("answer"));
}

TEST_F(StreamTest, StreamToUnreachablePeerFails) {
  auto& a = start(config());
  auto answer = open(a, public_key_of(seed(77)));
  ASSERT_FALSE(answer->has_value());
  EXPECT_EQ(answer->error().code, ErrorCode::unavailable);
}

TEST_F(StreamTest, ReaderThatDoesNotReadHoldsBackTheWriter) {
  auto& a = start(config());
  auto& b = start(config());
  connect(a, b);
  auto pair = open_pair(a, b);
  const Bytes chunk(1 << 20);
  std::size_t written = 0;
  int idle = 0;
  // 512 MiB would all be taken if something buffered without bound. Stops once a hundred pings saw no progress.
  while (written < (512U << 20) && idle < 100) {
    const auto count = ::send(pair.near.fd.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (count > 0) {
      written += static_cast<std::size_t>(count);
      idle = 0;
      continue;
    }
    bool ponged = false;
    a.network->ping(b.key(), [&ponged](const auto&) { ponged = true; });
    ASSERT_TRUE(until([&] { return ponged; }));
    ++idle;
  }
  EXPECT_LT(written, 64U << 20);
  EXPECT_NE(a.network->peer(b.key()), nullptr);
}

class HostileTest : public StreamTest {
 protected:
  using Tcp = boost::asio::ip::tcp;

  static std::uint16_t port_of(const std::string& address) {
    const auto start = address.find("/tcp/") + 5;
    return static_cast<std::uint16_t>(std::stoi(address.substr(start)));
  }

  std::unique_ptr<Tcp::socket> raw(const Peer& peer) {
    auto socket = std::make_unique<Tcp::socket>(raw_io_);
    socket->connect({boost::asio::ip::address_v4::loopback(), port_of(peer.address())});
    return socket;
  }

  boost::asio::io_context raw_io_;
};

TEST_F(HostileTest, GarbageAndHalfOpenHandshakesLeaveTheNodeServing) {
  if (!has_sockets) GTEST_SKIP() << "the thread sanitizer's bridge has no sockets to speak garbage through";
  auto settings = config();
  settings.limits.pending_connections = 16;
  auto& victim = start(settings);
  std::vector<std::unique_ptr<Tcp::socket>> sockets;
  for (int count = 0; count < 40; ++count) {
    sockets.push_back(raw(victim));
    boost::system::error_code ignored;
    if (count % 2 == 0) {
      boost::asio::write(*sockets.back(), boost::asio::buffer(pattern(4096)), ignored);
    } else {
      boost::asio::write(*sockets.back(), boost::asio::buffer("\x13/multistream", 13), ignored);
    }
  }
  // The refused ones are closed by the victim; those half open count until the handshake's time is over.
  sockets.clear();
  auto& guest = start(config());
  std::optional<Result<PublicKey>> answer;
  ASSERT_TRUE(until([&] {
    if (answer && *answer) return true;
    if (!answer || !*answer) {
      answer.reset();
      bool done = false;
      guest.network->dial(victim.address(), [&](Result<PublicKey> result) {
        answer = std::move(result);
        done = true;
      });
      if (!until([&] { return done; })) return false;
    }
    return answer && answer->has_value();
  }));
  EXPECT_TRUE(until([&] { return victim.network->peer(guest.key()) != nullptr; }));
}

TEST_F(HostileTest, ConnectionsBeyondTheLimitAreRefused) {
  auto settings = config();
  settings.limits.inbound_connections = 2;
  auto& b = start(settings);
  const auto guest = [&] {
    auto options = config();
    options.limits.inbound_connections = 0;
    return options;
  };
  auto& one = start(guest());
  auto& two = start(guest());
  auto& three = start(guest());
  connect(one, b);
  connect(two, b);
  std::optional<Result<PublicKey>> answer;
  three.network->dial(b.address(), [&answer](Result<PublicKey> result) { answer = std::move(result); });
  // Refused after the handshake: the dialer may see a short connection instead of a failed dial.
  ASSERT_TRUE(until([&] { return answer.has_value() && three.network->peers().empty(); }));
  EXPECT_EQ(b.network->peers().size(), 2U);
  EXPECT_EQ(b.network->peer(three.key()), nullptr);
}

TEST_F(HostileTest, DoctorNamesWhatIsNoLibp2p) {
  if (!has_sockets) GTEST_SKIP() << "the thread sanitizer's bridge has no sockets to speak garbage through";
  auto& a = start(config());
  Tcp::acceptor acceptor(io_, {boost::asio::ip::address_v4::loopback(), 0});
  Tcp::socket served(io_);
  acceptor.async_accept(served, [&](const boost::system::error_code& error) {
    if (error) return;
    boost::system::error_code ignored;
    boost::asio::write(served, boost::asio::buffer(std::string("HTTP/1.1 400 Bad Request\r\n\r\n")), ignored);
    served.close(ignored);
  });
  std::optional<Result<DoctorReport>> report;
  a.network->doctor("/ip4/127.0.0.1/tcp/" + std::to_string(acceptor.local_endpoint().port()),
                    [&report](Result<DoctorReport> result) { report = std::move(result); });
  ASSERT_TRUE(until([&] { return report.has_value(); }));
  ASSERT_TRUE(*report);
  ASSERT_EQ((*report)->attempts.size(), 1U);
  EXPECT_EQ((*report)->attempts[0].reach, Reach::not_meshwork) << (*report)->attempts[0].text;
}

}  // namespace
}  // namespace mesh::p2p::testing
