// What the adapter needs of an implementation of the network, as plain values: one over libp2p (the Rust bridge), and
// for ThreadSanitizer, which cannot see into Rust, one in C++ that joins the networks of one process.
//
// Bounds and errors are those of network.h. Callers are on one thread; an implementation may have others.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/p2p/network.h"

namespace mesh::p2p {

/// Answers to requests, besides the events that the owner sees.
struct StreamAnswer {
  std::uint64_t request = 0;
  Result<RawStream> result;
};
struct DialAnswer {
  std::uint64_t request = 0;
  Result<PublicKey> result;
};
struct PingAnswer {
  std::uint64_t request = 0;
  Result<std::chrono::microseconds> result;
};
struct DoctorAnswer {
  std::uint64_t request = 0;
  DoctorReport report;
};
struct ProvidersAnswer {
  std::uint64_t request = 0;
  Result<Providers> result;
};
using BridgeEvent = std::variant<Event, StreamAnswer, DialAnswer, PingAnswer, DoctorAnswer, ProvidersAnswer>;

class Bridge {
 public:
  Bridge() = default;
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;
  virtual ~Bridge() = default;

  [[nodiscard]] virtual PublicKey self() const = 0;
  [[nodiscard]] virtual std::vector<std::string> listen_addresses() const = 0;
  /// Appends up to `max` events, oldest first; true when more are left.
  [[nodiscard]] virtual bool drain(std::size_t max, std::vector<BridgeEvent>& out) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> publish(Topic topic, ByteView bytes) = 0;
  virtual void judge(const GossipId& id, Verdict verdict) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> send(const PublicKey& peer, std::string_view protocol,
                                                   ByteView bytes) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> open_stream(const PublicKey& peer, std::string_view protocol,
                                                          std::string_view preferred) = 0;
  virtual void reset_stream(std::uint64_t stream) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> dial(std::string_view address) = 0;
  /// Answered by DialAnswer.
  [[nodiscard]] virtual Result<std::uint64_t> connect_by(const PublicKey& peer, std::string_view transport) = 0;
  virtual void disconnect(const PublicKey& peer) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> ping(const PublicKey& peer) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> doctor(std::string_view target) = 0;
  [[nodiscard]] virtual Status provide(ByteView key) = 0;
  virtual void stop_providing(ByteView key) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> find_providers(ByteView key) = 0;
  virtual void stop() = 0;
};

/// `wake` is a non-blocking eventfd that turns readable when events wait.
[[nodiscard]] Result<std::unique_ptr<Bridge>> make_bridge(const Config& config, Fd wake);

/// In the order of Topic.
[[nodiscard]] std::vector<std::string> topic_names(const Config& config);

}  // namespace mesh::p2p
