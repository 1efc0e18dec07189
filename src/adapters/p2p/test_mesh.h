// For the tests: several networks in one process, on loopback and ports of the system's choice, one io_context.
//
// `until` runs the loop until something has become true; its deadline only ends a test that hangs.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/p2p/network.h"

namespace mesh::p2p::testing {

/// Under the thread sanitizer the bridge is one without sockets (local_bridge.cc), which other processes cannot reach.
#ifdef __SANITIZE_THREAD__
inline constexpr bool has_sockets = false;
#else
inline constexpr bool has_sockets = true;
#endif

inline const std::string tcp_any = "/ip4/127.0.0.1/tcp/0";
inline const std::string quic_any = "/ip4/127.0.0.1/udp/0/quic-v1";
inline const std::string ws_any = "/ip4/127.0.0.1/tcp/0/ws";

struct Peer {
  std::unique_ptr<Network> network;
  std::deque<Event> events;
  /// Sees each event first; true keeps it out of `events`.
  std::function<bool(Event&)> filter;

  [[nodiscard]] const PublicKey& key() const { return network->self(); }
  [[nodiscard]] const std::string& address() const { return network->listen_addresses().front(); }

  template <class T>
  [[nodiscard]] std::vector<const T*> all() const {
    std::vector<const T*> result;
    for (const auto& event : events) {
      if (const auto* wanted = std::get_if<T>(&event)) result.push_back(wanted);
    }
    return result;
  }
  template <class T>
  [[nodiscard]] std::size_t count() const {
    return all<T>().size();
  }
  /// The descriptor of the oldest stream that a peer opened to us.
  [[nodiscard]] StreamOpened* stream() {
    for (auto& event : events) {
      if (auto* opened = std::get_if<StreamOpened>(&event)) return opened;
    }
    return nullptr;
  }
  [[nodiscard]] bool subscribed(const PublicKey& peer, Topic topic) const {
    bool on = false;
    for (const auto* event : all<PeerSubscribed>()) {
      if (event->peer == peer && event->topic == topic) on = event->on;
    }
    return on;
  }
};

class TestMesh : public ::testing::Test {
 protected:
  static Seed seed(std::uint8_t number) {
    std::array<std::uint8_t, 32> bytes{};
    bytes.fill(number);
    return Seed(bytes);
  }

  Config config(const std::string& listen = tcp_any) {
    Config settings;
    settings.secret = seed(++last_seed_);
    settings.listen = {listen};
    settings.mdns = false;
    settings.federation = "test";
    settings.agent = "meshwork/test";
    return settings;
  }

  Peer& start(const Config& settings) {
    auto owned = std::make_unique<Peer>();
    Peer& peer = *owned;
    auto network = Network::start(settings, io_, [&peer](Event event) {
      if (peer.filter && peer.filter(event)) return;
      peer.events.push_back(std::move(event));
    });
    if (!network) throw std::runtime_error(network.error().message);
    peer.network = std::move(*network);
    peers_.push_back(std::move(owned));
    return peer;
  }

  [[nodiscard]] bool until(const std::function<bool()>& done,
                           std::chrono::seconds deadline = std::chrono::seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!done()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(2));  // short: some conditions are sockets that io_ does not watch
    }
    return true;
  }

  /// Connects a to b and waits until both know it.
  void connect(Peer& a, Peer& b) {
    std::optional<Result<PublicKey>> answer;
    a.network->dial(b.address(), [&answer](Result<PublicKey> result) { answer = std::move(result); });
    ASSERT_TRUE(until([&] { return answer.has_value(); }));
    ASSERT_TRUE(answer->has_value()) << answer->error().message;
    ASSERT_EQ(**answer, b.key());
    ASSERT_TRUE(until([&] { return a.network->peer(b.key()) != nullptr && b.network->peer(a.key()) != nullptr; }));
  }

  boost::asio::io_context io_;
  std::vector<std::unique_ptr<Peer>> peers_;

 private:
  std::uint8_t last_seed_ = 0;
};

}  // namespace mesh::p2p::testing
