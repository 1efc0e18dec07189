// The bridge to rust-libp2p: conversions only.

#include <algorithm>
#include <array>

#include "adapters/p2p/bridge.h"
#include "rust/cxx.h"
//
#include "mesh_bridge.h"

namespace mesh::p2p {
namespace {

namespace rs = mesh::engines;

/// mesh_p2p::Code, by number.
constexpr std::array codes = {ErrorCode::invalid,     ErrorCode::not_found,   ErrorCode::exhausted, ErrorCode::timeout,
                              ErrorCode::unavailable, ErrorCode::unsupported, ErrorCode::internal,  ErrorCode::denied};

Error error_of(std::uint8_t code, const rust::String& text) {
  return {code < codes.size() ? codes[code] : ErrorCode::internal, std::string(text)};
}

template <class Enum>
Enum enum_of(std::uint8_t number, Enum last) {
  return static_cast<Enum>(std::min(number, static_cast<std::uint8_t>(last)));
}

PublicKey key_of(const std::array<std::uint8_t, 32>& bytes) { return PublicKey(bytes); }

std::array<std::uint8_t, 32> array_of(ByteView view) {
  std::array<std::uint8_t, 32> bytes{};
  std::ranges::copy(view, bytes.begin());
  return bytes;
}

rust::Str str_of(std::string_view text) { return {text.data(), text.size()}; }

rust::Slice<const std::uint8_t> slice_of(ByteView bytes) { return {bytes.data(), bytes.size()}; }

std::vector<std::string> texts_of(const rust::Vec<rust::String>& texts) {
  std::vector<std::string> result;
  result.reserve(texts.size());
  for (const auto& text : texts) result.emplace_back(text);
  return result;
}

/// Rust strings are UTF-8; text that is not is refused here, because the conversion would throw.
Result<rust::String> string_of(const std::string& text) {
  try {
    return rust::String(text);
  } catch (const std::exception&) {
    return fail(ErrorCode::invalid, "a setting of the network is not UTF-8");
  }
}

Status fill(rust::Vec<rust::String>& out, const std::vector<std::string>& texts) {
  for (const auto& text : texts) {
    MESH_LET(auto string, string_of(text));
    out.push_back(std::move(string));
  }
  return {};
}

Result<std::uint64_t> result_of(const rs::P2pOutcome& outcome) {
  if (!outcome.ok) return std::unexpected(error_of(outcome.code, outcome.text));
  return outcome.request;
}

BridgeEvent event_of(rs::P2pEvent& raw) {
  const PublicKey peer = key_of(raw.peer);
  const auto failure = [&raw] { return std::unexpected(error_of(raw.code, raw.text)); };
  const auto text = [](const rust::String& string) { return std::string(string); };
  const auto us = [](std::uint64_t count) { return std::chrono::microseconds(static_cast<std::int64_t>(count)); };
  const Topic topic = enum_of(static_cast<std::uint8_t>(raw.topic), Topic::consensus);
  switch (raw.kind) {
    case rs::P2pKind::Gossip:
      return Event(GossipMessage{.id = GossipId(raw.id),
                                 .topic = topic,
                                 .author = key_of(raw.author),
                                 .from = peer,
                                 .bytes = Bytes(raw.bytes.begin(), raw.bytes.end())});
    case rs::P2pKind::NotPublished:
      return Event(NotPublished{raw.request, topic, raw.flag, error_of(raw.code, raw.text)});
    case rs::P2pKind::Message:
      return Event(Message{peer, text(raw.name), Bytes(raw.bytes.begin(), raw.bytes.end())});
    case rs::P2pKind::SendFailed:
      return Event(SendFailed{raw.request, peer, text(raw.name), raw.flag, error_of(raw.code, raw.text)});
    case rs::P2pKind::StreamOpened:
      return StreamAnswer{raw.request, RawStream{raw.stream, Fd(raw.fd), text(raw.text)}};
    case rs::P2pKind::StreamRefused:
      return StreamAnswer{raw.request, failure()};
    case rs::P2pKind::InboundStream:
      return Event(StreamOpened{raw.stream, peer, text(raw.name), Fd(raw.fd)});
    case rs::P2pKind::StreamClosed:
      return Event(StreamClosed{raw.stream, peer, enum_of(raw.number, StreamEnd::peer_gone)});
    case rs::P2pKind::Connected:
      return Event(PeerConnected{peer, text(raw.text), text(raw.name), raw.flag, enum_of(raw.number, Found::kademlia)});
    case rs::P2pKind::Disconnected:
      return Event(PeerDisconnected{peer, text(raw.text)});
    case rs::P2pKind::PathChanged:
      return Event(PeerPathChanged{peer, text(raw.text), text(raw.name), raw.flag});
    case rs::P2pKind::ReachabilityChanged:
      return Event(
          ReachabilityChanged{enum_of(raw.number, Reachability::private_), text(raw.name), raw.flag, text(raw.text)});
    case rs::P2pKind::RelayChanged:
      return Event(RelayChanged{peer, text(raw.name), raw.flag, text(raw.text)});
    case rs::P2pKind::HolePunched:
      return Event(HolePunched{peer, raw.flag, text(raw.text)});
    case rs::P2pKind::Identified:
      return Event(PeerIdentified{peer, text(raw.text), texts_of(raw.names), texts_of(raw.more_names)});
    case rs::P2pKind::Rtt:
      return Event(PeerRtt{peer, us(raw.rtt_us), us(raw.smoothed_us), us(raw.jitter_us)});
    case rs::P2pKind::Subscribed:
      return Event(PeerSubscribed{peer, topic, raw.flag});
    case rs::P2pKind::DialDone:
      if (!raw.ok) return DialAnswer{raw.request, failure()};
      return DialAnswer{raw.request, peer};
    case rs::P2pKind::PingDone:
      if (!raw.ok) return PingAnswer{raw.request, failure()};
      return PingAnswer{raw.request, us(raw.rtt_us)};
    case rs::P2pKind::DoctorDone: {
      DoctorReport report;
      if (raw.has_peer) report.peer = peer;
      report.already_connected = raw.flag;
      for (const auto& attempt : raw.attempts) {
        report.attempts.push_back({text(attempt.address), enum_of(attempt.outcome, Reach::failed), text(attempt.text)});
      }
      return DoctorAnswer{raw.request, std::move(report)};
    }
    case rs::P2pKind::Announced:
      return Event(KeysAnnounced{raw.count});
    case rs::P2pKind::ProvidersFound: {
      if (!raw.ok) return ProvidersAnswer{raw.request, failure()};
      Providers found{.peers = {}, .asked = raw.count};
      for (const auto& provider : raw.peers) found.peers.push_back(key_of(provider.key));
      return ProvidersAnswer{raw.request, std::move(found)};
    }
    case rs::P2pKind::Stopped:
      return Event(Stopped{error_of(raw.code, raw.text)});
  }
  return Event(Stopped{{ErrorCode::internal, "the bridge sent an event of a kind that does not exist"}});
}

class CxxBridge final : public Bridge {
 public:
  explicit CxxBridge(rust::Box<rs::P2pNode> node) : node_(std::move(node)) {}

  PublicKey self() const override { return key_of(node_->key()); }
  std::vector<std::string> listen_addresses() const override { return texts_of(node_->listening()); }

  bool drain(std::size_t max, std::vector<BridgeEvent>& out) override {
    rust::Vec<rs::P2pEvent> raw;
    const bool more = node_->drain(max, raw);
    for (auto& event : raw) out.push_back(event_of(event));
    return more;
  }

  Result<std::uint64_t> publish(Topic topic, ByteView bytes) override {
    return result_of(node_->publish(static_cast<std::uint16_t>(topic), slice_of(bytes)));
  }
  void judge(const GossipId& id, Verdict verdict) override {
    // Fails only when the network is stopped or swamped; the message is then forgotten, as with `ignore`.
    node_->judge(array_of(id.view()), static_cast<std::uint8_t>(verdict));
  }
  Result<std::uint64_t> send(const PublicKey& peer, std::string_view protocol, ByteView bytes) override {
    return guarded([&] { return node_->send(array_of(peer.view()), str_of(protocol), slice_of(bytes)); });
  }
  Result<std::uint64_t> open_stream(const PublicKey& peer, std::string_view protocol,
                                    std::string_view preferred) override {
    return guarded([&] { return node_->open_stream(array_of(peer.view()), str_of(protocol), str_of(preferred)); });
  }
  void reset_stream(std::uint64_t stream) override { node_->reset_stream(stream); }
  Result<std::uint64_t> dial(std::string_view address) override {
    return guarded([&] { return node_->dial(str_of(address)); });
  }
  Result<std::uint64_t> connect_by(const PublicKey& peer, std::string_view transport) override {
    return guarded([&] { return node_->connect_by(array_of(peer.view()), str_of(transport)); });
  }
  void disconnect(const PublicKey& peer) override { node_->disconnect(array_of(peer.view())); }
  Result<std::uint64_t> ping(const PublicKey& peer) override { return result_of(node_->ping(array_of(peer.view()))); }
  Result<std::uint64_t> doctor(std::string_view target) override {
    return guarded([&] { return node_->doctor(str_of(target)); });
  }
  Status provide(ByteView key) override {
    MESH_TRY(result_of(node_->provide(slice_of(key))));
    return {};
  }
  void stop_providing(ByteView key) override {
    // Fails only for what is no key, or when the network is stopped or swamped: then it is told until the next start.
    node_->stop_providing(slice_of(key));
  }
  Result<std::uint64_t> find_providers(ByteView key) override {
    return result_of(node_->find_providers(slice_of(key)));
  }
  void stop() override { node_->stop(); }

 private:
  /// For calls with text from outside: rust::Str throws on what is not UTF-8.
  template <class Call>
  static Result<std::uint64_t> guarded(Call call) {
    try {
      return result_of(call());
    } catch (const std::exception&) {
      return fail(ErrorCode::invalid, "the text is not UTF-8");
    }
  }

  rust::Box<rs::P2pNode> node_;
};

}  // namespace

Result<std::unique_ptr<Bridge>> make_bridge(const Config& config, Fd wake) {
  rs::P2pConfig raw{};
  raw.secret = array_of(config.secret.view());
  MESH_TRY(fill(raw.listen, config.listen));
  MESH_TRY(fill(raw.bootstrap, config.bootstrap));
  raw.mdns = config.mdns;
  raw.relay = static_cast<std::uint8_t>(config.relay);
  const auto topics = topic_names(config);
  for (std::size_t index = 0; index < topics.size(); ++index) {
    MESH_LET(auto name, string_of(topics[index]));
    raw.topics.push_back({std::move(name), static_cast<Topic>(index) != Topic::consensus});
  }
  MESH_TRY(fill(raw.message_protocols, config.message_protocols));
  MESH_TRY(fill(raw.stream_protocols, config.stream_protocols));
  MESH_LET(raw.agent, string_of(config.agent));
  raw.ping_interval_ms = static_cast<std::uint64_t>(config.ping_interval.count());
  raw.ping_timeout_ms = static_cast<std::uint64_t>(config.ping_timeout.count());
  const Limits& limits = config.limits;
  raw.max_gossip_bytes = limits.gossip_bytes;
  raw.gossip_per_peer_per_s = limits.gossip_per_peer_per_s;
  raw.max_message_bytes = limits.message_bytes;
  raw.max_queued_messages = limits.queued_messages;
  raw.max_queued_bytes = limits.queued_bytes;
  raw.max_streams_per_peer = limits.streams_per_peer;
  raw.max_streams = limits.streams;
  raw.max_inbound_connections = limits.inbound_connections;
  raw.max_outbound_connections = limits.outbound_connections;
  raw.max_connections_per_peer = limits.connections_per_peer;
  raw.spare_idle_ms = static_cast<std::uint64_t>(limits.spare_idle.count());
  raw.max_pending_connections = limits.pending_connections;
  raw.max_dials_per_s = limits.dials_per_s;
  raw.max_provided = limits.provided_keys;
  raw.announcements_per_s = limits.announcements_per_s;
  raw.max_stored_providers = limits.stored_providers;
  raw.provider_lifetime_ms = static_cast<std::uint64_t>(limits.provider_lifetime.count());
  raw.provider_interval_ms = static_cast<std::uint64_t>(limits.provider_interval.count());
  raw.max_events = limits.events;
  raw.max_event_bytes = limits.event_bytes;
  rs::P2pOutcome outcome{};
  auto node = rs::p2p_start(std::move(raw), wake.release(), outcome);
  if (!outcome.ok) return std::unexpected(error_of(outcome.code, outcome.text));
  return std::make_unique<CxxBridge>(std::move(node));
}

}  // namespace mesh::p2p
