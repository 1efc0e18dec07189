// What two peers on one machine can do at best: round trips over loopback with both ends in this process. A task's life
// is a chain of such messages.
#include <benchmark/benchmark.h>

#include <boost/asio/io_context.hpp>
#include <memory>

#include "adapters/p2p/network.h"
#include "base/check.h"
#include "samples.h"

namespace {

using namespace mesh;

constexpr std::string_view protocol = "/meshwork/offer/1";

/// Two connected networks on one io_context, which the caller runs.
class Pair {
 public:
  explicit Pair(const std::string& listen) {
    start(a_, 1, listen, [this](p2p::Event event) { at_a(std::move(event)); });
    start(b_, 2, listen, [this](p2p::Event event) { at_b(std::move(event)); });
    bool is_connected = false;
    a_->dial(b_->listen_addresses().front(), [&](const Result<PublicKey>& peer) {
      MESH_CHECK(peer.has_value(), "bench-dial");
      is_connected = true;
    });
    until([&] { return is_connected && b_subscribed_ && a_subscribed_; });
  }

  void message_round_trip() {
    const std::uint64_t before = received_;
    MESH_CHECK(a_->send(b_->self(), protocol, payload_).has_value(), "bench-send");
    until([&] { return received_ > before; });
  }
  void gossip_round_trip() {
    // Each message is another, since gossip passes equal ones on once.
    ++number_;
    const std::uint64_t before = received_;
    publish(*a_);
    until([&] { return received_ > before; });
  }

 private:
  void start(std::unique_ptr<p2p::Network>& network, std::uint8_t number, const std::string& listen,
             std::function<void(p2p::Event)> on_event) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    p2p::Config config;
    config.secret = Seed(seed);
    config.listen = {listen};
    config.mdns = false;
    config.federation = "bench";
    // A flood of one peer is what is measured here.
    config.limits.gossip_per_peer_per_s = 1'000'000;
    auto started = p2p::Network::start(config, io_, std::move(on_event));
    MESH_CHECK(started.has_value(), "bench-network");
    network = std::move(*started);
  }
  void at_a(p2p::Event event) {
    if (std::holds_alternative<p2p::PeerSubscribed>(event)) a_subscribed_ = true;
    if (std::holds_alternative<p2p::Message>(event)) ++received_;
    if (const auto* gossip = std::get_if<p2p::GossipMessage>(&event)) {
      a_->judge(gossip->id, p2p::Verdict::accept);
      ++received_;
    }
  }
  void at_b(p2p::Event event) {
    if (std::holds_alternative<p2p::PeerSubscribed>(event)) b_subscribed_ = true;
    if (const auto* message = std::get_if<p2p::Message>(&event))
      MESH_CHECK(b_->send(a_->self(), protocol, message->bytes).has_value(), "bench-send");
    if (const auto* gossip = std::get_if<p2p::GossipMessage>(&event)) {
      b_->judge(gossip->id, p2p::Verdict::accept);
      ++number_;
      publish(*b_);
    }
  }
  void publish(p2p::Network& network) {
    std::memcpy(payload_.data(), &number_, sizeof number_);
    MESH_CHECK(network.publish(p2p::Topic::intents, payload_).has_value(), "bench-publish");
  }
  template <class Done>
  void until(Done done) {
    while (!done()) {
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(100));
    }
  }

  boost::asio::io_context io_;
  std::unique_ptr<p2p::Network> a_, b_;
  bool a_subscribed_ = false, b_subscribed_ = false;
  std::uint64_t received_ = 0, number_ = 0;
  Bytes payload_ = Bytes(64, 7);
};

constexpr auto tcp = "/ip4/127.0.0.1/tcp/0";
constexpr auto quic = "/ip4/127.0.0.1/udp/0/quic-v1";

void measure(benchmark::State& state, const char* listen, void (Pair::*step)()) {
  Pair pair(listen);
  for (int i = 0; i < 20; ++i) (pair.*step)();  // streams are opened by the first
  bench::Samples samples;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    (pair.*step)();
    samples.add(std::chrono::steady_clock::now() - begin);
  }
  samples.report(state);
}

BENCHMARK_CAPTURE(measure, message_round_trip_tcp, tcp, &Pair::message_round_trip)->UseRealTime();
BENCHMARK_CAPTURE(measure, message_round_trip_quic, quic, &Pair::message_round_trip)->UseRealTime();
BENCHMARK_CAPTURE(measure, gossip_round_trip_tcp, tcp, &Pair::gossip_round_trip)->UseRealTime();

}  // namespace
