#include "app/runtime/lan_search.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "adapters/p2p/network.h"
#include "app/runtime/enrolment.h"
#include "app/runtime/stream.h"

namespace mesh::app {
namespace {

NodeId founder_of(std::uint64_t number) { return public_key_of(Seed::from(sha256(big_endian(number)).view()).value()); }

Founding founding_of(std::string name, bool is_open, std::uint64_t founder = 1) {
  FoundingPlan plan;
  plan.name = std::move(name);
  plan.founder = founder_of(founder);
  plan.open_enrolment = is_open;
  plan.time_ms = 1'000;
  return *found(plan);
}

EnrolmentAnswer showing(const Founding& founding) {
  return {.founding = record::encode(founding), .admitted = false, .text = "come in"};
}
Bytes frame_of(const EnrolmentAnswer& answer) { return framed(record::encode(answer)); }

/// Nodes on loopback that answer with given bytes, whatever they are asked. No node of these tests speaks mDNS.
class LanSearchTest : public ::testing::Test {
 public:
  ~LanSearchTest() override {
    boost::asio::post(io_, [this] {
      streams_.close();
      networks_.clear();
      work_.reset();
    });
    thread_.join();
  }

 protected:
  LanSearchTest() {
    thread_ = std::thread([this] { io_.run(); });
  }
  /// Its address. Without an answer it takes the question and stays silent; without a protocol it takes none.
  std::string node(std::optional<Bytes> answer, bool speaks = true) {
    std::promise<std::string> address;
    boost::asio::post(io_, [&, answer = std::move(answer)]() mutable {
      p2p::Config config;
      config.secret = Seed::from(sha256(big_endian(1'000 + networks_.size())).view()).value();
      config.listen = {"/ip4/127.0.0.1/tcp/0"};
      config.mdns = false;
      config.relay = p2p::RelayPolicy::off;
      config.federation = "test";
      config.stream_protocols.clear();
      if (speaks) config.stream_protocols = {std::string(enrolment_protocol)};
      auto network = p2p::Network::start(config, io_, [this, answer = std::move(answer)](p2p::Event event) {
        auto* opened = std::get_if<p2p::StreamOpened>(&event);
        if (opened == nullptr) return;
        boost::asio::co_spawn(io_, serve(streams_.make(opened->fd.release(), seconds(60)), answer),
                              boost::asio::detached);
      });
      if (!network) return address.set_value("");
      networks_.push_back(std::move(*network));
      address.set_value(networks_.back()->listen_addresses().front());
    });
    std::string text = address.get_future().get();
    EXPECT_FALSE(text.empty());
    return text;
  }
  std::string node(const EnrolmentAnswer& answer) { return node(frame_of(answer)); }

  static boost::asio::awaitable<void> serve(std::shared_ptr<Stream> stream, std::optional<Bytes> answer) {
    const auto asked = co_await stream->read_frame(1024);
    EXPECT_TRUE(asked && *asked);
    if (asked && *asked) {
      const auto request = record::decode<EnrolmentRequest>(**asked);
      EXPECT_TRUE(request && !request->federation && !request->secret);
    }
    if (answer) {
      const Status written = co_await stream->write(*answer);
      if (written) co_await stream->finish();
      stream->close();
    } else {
      // Until the asker has had enough.
      const auto ended = co_await stream->read_frame(1024);
      EXPECT_FALSE(ended);
    }
  }

  static LanFound look(std::vector<std::string> addresses, Duration limit = seconds(60)) {
    auto found = look_on_lan({.mdns = false,
                              .addresses = std::move(addresses),
                              .quiet = milliseconds(200),
                              .limit = limit,
                              .until_found = false});
    EXPECT_TRUE(found) << found.error().message;
    return found ? std::move(*found) : LanFound{};
  }

  boost::asio::io_context io_{1};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_{io_.get_executor()};
  OpenStreams streams_{io_};
  std::vector<std::unique_ptr<p2p::Network>> networks_;
  std::thread thread_;
};

TEST_F(LanSearchTest, NobodyIsNoError) {
  const LanFound found = look({});
  EXPECT_TRUE(found.open.empty());
  EXPECT_EQ(found.closed + found.wrong + found.silent, 0U);
}

TEST_F(LanSearchTest, NodesOfOneFederationAreCountedTogether) {
  const Founding town = founding_of("town", true);
  const Founding area = founding_of("area", true);
  const LanFound found = look({node(showing(town)), node(showing(area)), node(showing(town))});
  ASSERT_EQ(found.open.size(), 2U);
  EXPECT_EQ(found.open[0].founding.charter.name, "area") << "by name";
  EXPECT_EQ(found.open[0].nodes, 1U);
  EXPECT_EQ(found.open[1].id, federation_of(town));
  EXPECT_EQ(found.open[1].nodes, 2U);
  EXPECT_EQ(found.open[1].founding.genesis, town.genesis);
  EXPECT_FALSE(found.crowded);
}

TEST_F(LanSearchTest, TwoOfOneNameAreTwo) {
  const Founding one = founding_of("town", true, 1);
  const Founding two = founding_of("town", true, 2);
  const LanFound found = look({node(showing(one)), node(showing(two))});
  ASSERT_EQ(found.open.size(), 2U);
  EXPECT_NE(found.open[0].id, found.open[1].id);
  EXPECT_NE(title_of(found.open[0]), title_of(found.open[1])) << "and people can tell them apart";
  EXPECT_TRUE(title_of(found.open[0]).starts_with("town (bafyrei"));
}

TEST_F(LanSearchTest, WhoIsClosedOrOfNoneIsPassedOver) {
  const LanFound found = look({node(EnrolmentAnswer{.founding = {}, .admitted = false, .text = "closed"}),
                               node(std::nullopt, false), node(showing(founding_of("town", true)))});
  EXPECT_EQ(found.open.size(), 1U);
  EXPECT_EQ(found.closed, 1U);
  EXPECT_EQ(found.wrong, 0U);
  EXPECT_EQ(found.silent, 0U) << "who does not speak the protocol was not asked";
}

TEST_F(LanSearchTest, WhatIsNoOpenFederationCountsForNothing) {
  Founding named = founding_of("town", true);
  named.charter.name = "to\x1b[2Jwn";
  Founding other = founding_of("town", true);
  other.genesis.time_ms = 2'000;
  Bytes cut = frame_of(showing(founding_of("town", true)));
  cut.resize(cut.size() / 2);
  Bytes trailing = record::encode(founding_of("town", true));
  trailing.push_back(0);
  const LanFound found = look({
      node(showing(founding_of("town", false))),  // It is not open, whatever its node says.
      node(showing(named)),
      node(showing(other)),  // The charter links to another genesis.
      node(EnrolmentAnswer{.founding = Bytes{1, 2, 3}, .admitted = true, .text = "come in"}),
      node(EnrolmentAnswer{.founding = trailing, .admitted = true, .text = {}}), node(framed(Bytes{1, 2, 3})),
      node(framed({})), node(Bytes{}), node(cut),
      node(Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
      node(Bytes{0x81, 0x80, 0x40}),  // A frame of 1 MiB and one byte.
  });
  EXPECT_TRUE(found.open.empty());
  EXPECT_EQ(found.wrong, 11U);
  EXPECT_EQ(found.closed, 0U);
}

TEST_F(LanSearchTest, WhoNeverAnswersHoldsNobodyUpForLong) {
  const LanFound found = look({node(std::nullopt), node(showing(founding_of("town", true)))}, seconds(8));
  EXPECT_EQ(found.open.size(), 1U);
  EXPECT_EQ(found.silent, 1U);
}

TEST_F(LanSearchTest, SomeAreAskedAndNotAll) {
  std::vector<std::string> addresses;
  for (std::size_t i = 0; i < max_nodes_asked + 2; ++i) addresses.push_back(node(frame_of({})));
  const LanFound found = look(std::move(addresses));
  EXPECT_EQ(found.closed, max_nodes_asked);
  EXPECT_TRUE(found.crowded);
}

}  // namespace
}  // namespace mesh::app
