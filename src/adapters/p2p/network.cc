#include "adapters/p2p/network.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <map>
#include <unordered_map>

#include "adapters/p2p/bridge.h"
#include "codec/multibase.h"

namespace mesh::p2p {
namespace {

constexpr std::size_t drain_at_once = 256;
/// A PeerId's multihash before an Ed25519 key: identity, 36 bytes; protobuf of key type Ed25519, 32 bytes.
constexpr std::array<std::uint8_t, 6> peer_id_prefix = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20};
constexpr std::size_t max_peer_id_text = 128;

constexpr std::array<std::string_view, 4> topics = {"intents", "events", "capabilities", "consensus"};
constexpr std::array<std::string_view, 5> founds = {"inbound", "dialed", "bootstrap", "mdns", "kademlia"};
constexpr std::array<std::string_view, 3> ends = {"clean", "reset", "peer-gone"};
constexpr std::array<std::string_view, 7> reaches = {"connected",    "refused",      "timed-out", "wrong-peer",
                                                     "not-meshwork", "no-addresses", "failed"};

constexpr std::array<std::string_view, 3> reachabilities = {"unknown", "public", "private"};
constexpr std::size_t max_relays_told = 16;
constexpr std::size_t max_punches_told = 64;

/// Puts what is latest of a peer at the end; the oldest go when there are too many.
template <class Entry>
void renew(std::vector<Entry>& entries, Entry entry, std::size_t most) {
  std::erase_if(entries, [&](const Entry& old) { return old.peer == entry.peer; });
  if (entries.size() >= most) entries.erase(entries.begin());
  entries.push_back(std::move(entry));
}

template <class... Calls>
struct Overloaded : Calls... {
  using Calls::operator()...;
};

Status check(const Config& config) {
  if (config.federation.empty() || config.federation.find('/') != std::string::npos) {
    return fail(ErrorCode::invalid, "the federation's name in the topics is empty or contains a slash");
  }
  if (config.ping_interval.count() <= 0 || config.ping_timeout.count() <= 0) {
    return fail(ErrorCode::invalid, "the ping interval and timeout must be positive");
  }
  const Limits& limits = config.limits;
  if (limits.spare_idle.count() <= 0)
    return fail(ErrorCode::invalid, "how long a spare connection may idle must be positive");
  if (limits.dials_per_s == 0) return fail(ErrorCode::invalid, "a network that may not dial at all cannot work");
  if (limits.provided_keys == 0 || limits.announcements_per_s == 0 || limits.stored_providers == 0 ||
      limits.provider_interval.count() <= 0 || limits.provider_lifetime <= limits.provider_interval) {
    return fail(ErrorCode::invalid,
                "the limits of provider records must be positive, and their lifetime longer than their interval");
  }
  if (limits.gossip_bytes <= 1024 || limits.message_bytes == 0 || limits.events == 0 || limits.event_bytes == 0) {
    return fail(ErrorCode::invalid, "a limit of the network is too small to work with");
  }
  return {};
}

}  // namespace

std::string_view name_of(Topic topic) { return topics.at(static_cast<std::size_t>(topic)); }
std::string_view name_of(Found found) { return founds.at(static_cast<std::size_t>(found)); }
std::string_view name_of(StreamEnd end) { return ends.at(static_cast<std::size_t>(end)); }
std::string_view name_of(Reachability reachability) {
  return reachabilities.at(static_cast<std::size_t>(reachability));
}
std::string_view name_of(Reach reach) { return reaches.at(static_cast<std::size_t>(reach)); }

void Fd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::vector<std::string> topic_names(const Config& config) {
  std::vector<std::string> names;
  for (const auto topic : topics) names.push_back("/meshwork/1/" + config.federation + "/" + std::string(topic));
  return names;
}

std::string peer_id_text(const PublicKey& key) {
  Bytes bytes(peer_id_prefix.begin(), peer_id_prefix.end());
  append(bytes, key.view());
  return base58btc_encode(bytes);
}

Result<PublicKey> parse_peer_id(std::string_view text) {
  const auto bad = [] {
    return fail(ErrorCode::invalid, "this is not the PeerId of an Ed25519 key; such a one starts with 12D3KooW");
  };
  if (text.size() > max_peer_id_text) return bad();
  const auto bytes = base58btc_decode(text);
  if (!bytes || bytes->size() != peer_id_prefix.size() + PublicKey::size) return bad();
  const ByteView view(*bytes);
  if (!equal(view.first(peer_id_prefix.size()), peer_id_prefix)) return bad();
  return *PublicKey::from(view.subspan(peer_id_prefix.size()));
}

struct Network::Impl : std::enable_shared_from_this<Network::Impl> {
  Impl(boost::asio::io_context& context, Fd wake, std::function<void(Event)> callback)
      : io(context), wake_stream(context, wake.release()), on_event(std::move(callback)) {}

  void watch() {
    wake_stream.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                             if (error || !self->bridge) return;
                             std::uint64_t count = 0;
                             // Fails only where another wake-up took it first; what counts is the drain.
                             [[maybe_unused]] const auto read =
                                 ::read(self->wake_stream.native_handle(), &count, sizeof count);
                             self->drain();
                           });
  }

  void drain() {
    if (!bridge) return;
    std::vector<BridgeEvent> events;
    const bool more = bridge->drain(drain_at_once, events);
    for (auto& event : events) {
      // A callback may stop the network.
      if (!bridge) return;
      deliver(std::move(event));
    }
    if (!bridge) return;
    if (more) {
      boost::asio::post(io, [self = shared_from_this()] { self->drain(); });
    } else {
      watch();
    }
  }

  void deliver(BridgeEvent event) {
    std::visit(
        Overloaded{[this](Event&& plain) {
                     note(plain);
                     on_event(std::move(plain));
                   },
                   [this](StreamAnswer&& answer) { finish(opens, answer.request, std::move(answer.result)); },
                   [this](DialAnswer&& answer) { finish(dials, answer.request, std::move(answer.result)); },
                   [this](PingAnswer&& answer) { finish(pings, answer.request, std::move(answer.result)); },
                   [this](DoctorAnswer&& answer) {
                     finish(doctors, answer.request, Result<DoctorReport>(std::move(answer.report)));
                   },
                   [this](ProvidersAnswer&& answer) { finish(searches, answer.request, std::move(answer.result)); }},
        std::move(event));
  }

  /// Keeps the list of peers.
  void note(const Event& event) {
    if (const auto* connected = std::get_if<PeerConnected>(&event)) {
      PeerInfo info;
      info.peer = connected->peer;
      info.address = connected->address;
      info.transport = connected->transport;
      info.outbound = connected->outbound;
      info.found = connected->found;
      peers.insert_or_assign(connected->peer, std::move(info));
    } else if (const auto* gone = std::get_if<PeerDisconnected>(&event)) {
      peers.erase(gone->peer);
    } else if (const auto* path = std::get_if<PeerPathChanged>(&event)) {
      if (const auto found = peers.find(path->peer); found != peers.end()) {
        found->second.address = path->address;
        found->second.transport = path->transport;
        found->second.outbound = path->outbound;
      }
    } else if (const auto* reachability = std::get_if<ReachabilityChanged>(&event)) {
      status.reachability = reachability->reachability;
      status.since = std::chrono::system_clock::now();
      status.address = reachability->address;
      status.text = reachability->text;
      status.relaying = reachability->relaying;
    } else if (const auto* relay = std::get_if<RelayChanged>(&event)) {
      renew(status.relays, {relay->peer, relay->address, relay->held, relay->text, std::chrono::system_clock::now()},
            max_relays_told);
    } else if (const auto* punch = std::get_if<HolePunched>(&event)) {
      renew(status.punches, {punch->peer, punch->done, punch->text, std::chrono::system_clock::now()},
            max_punches_told);
    } else if (const auto* announced = std::get_if<KeysAnnounced>(&event)) {
      status.announced = announced->keys;
    } else if (const auto* identified = std::get_if<PeerIdentified>(&event)) {
      if (const auto found = peers.find(identified->peer); found != peers.end()) {
        found->second.agent = identified->agent;
        found->second.addresses = identified->addresses;
        found->second.protocols = identified->protocols;
      }
    } else if (const auto* rtt = std::get_if<PeerRtt>(&event)) {
      if (const auto found = peers.find(rtt->peer); found != peers.end()) {
        found->second.rtt = rtt->rtt;
        found->second.smoothed = rtt->smoothed;
        found->second.jitter = rtt->jitter;
      }
    }
  }

  template <class T>
  using Waiting = std::unordered_map<std::uint64_t, std::function<void(Result<T>)>>;

  template <class T>
  void finish(Waiting<T>& waiting, std::uint64_t request, Result<T> result) {
    auto node = waiting.extract(request);
    if (!node.empty()) node.mapped()(std::move(result));
  }

  /// Registers the callback of a request, or reports at once (but never from inside the call) why there is none.
  template <class T>
  void await(Waiting<T>& waiting, Result<std::uint64_t> request, std::function<void(Result<T>)> done) {
    if (request) {
      waiting.emplace(*request, std::move(done));
      return;
    }
    boost::asio::post(io, [done = std::move(done), error = std::move(request.error())]() mutable {
      done(std::unexpected(std::move(error)));
    });
  }

  template <class Call>
  Result<std::uint64_t> with_bridge(Call call) {
    if (!bridge) return fail(ErrorCode::unavailable, "the network was stopped");
    return call(*bridge);
  }

  boost::asio::io_context& io;
  boost::asio::posix::stream_descriptor wake_stream;
  std::function<void(Event)> on_event;
  std::unique_ptr<Bridge> bridge;
  PublicKey self_key;
  std::vector<std::string> listening;
  std::map<PublicKey, PeerInfo> peers;
  NetworkStatus status;
  Waiting<RawStream> opens;
  Waiting<PublicKey> dials;
  Waiting<std::chrono::microseconds> pings;
  Waiting<DoctorReport> doctors;
  Waiting<Providers> searches;
};

Network::Network(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Network::~Network() { stop(); }

Result<std::unique_ptr<Network>> Network::start(const Config& config, boost::asio::io_context& io,
                                                std::function<void(Event)> on_event) {
  MESH_TRY(check(config));
  Fd wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (wake.get() < 0) {
    return fail(ErrorCode::exhausted, std::string("no event descriptor for the network: ") + std::strerror(errno));
  }
  Fd theirs(::dup(wake.get()));
  if (theirs.get() < 0) {
    return fail(ErrorCode::exhausted, std::string("no event descriptor for the network: ") + std::strerror(errno));
  }
  MESH_LET(auto bridge, make_bridge(config, std::move(theirs)));
  auto impl = std::make_shared<Impl>(io, std::move(wake), std::move(on_event));
  impl->status.since = std::chrono::system_clock::now();
  impl->status.text = "no peer outside of the private networks was there to try";
  impl->self_key = bridge->self();
  impl->listening = bridge->listen_addresses();
  impl->bridge = std::move(bridge);
  impl->watch();
  return std::unique_ptr<Network>(new Network(std::move(impl)));
}

const PublicKey& Network::self() const { return impl_->self_key; }
const std::vector<std::string>& Network::listen_addresses() const { return impl_->listening; }

std::vector<PeerInfo> Network::peers() const {
  std::vector<PeerInfo> result;
  result.reserve(impl_->peers.size());
  for (const auto& [key, info] : impl_->peers) result.push_back(info);
  return result;
}

const PeerInfo* Network::peer(const PublicKey& key) const {
  const auto found = impl_->peers.find(key);
  return found == impl_->peers.end() ? nullptr : &found->second;
}

const NetworkStatus& Network::status() const { return impl_->status; }

Result<std::uint64_t> Network::publish(Topic topic, ByteView bytes) {
  return impl_->with_bridge([&](Bridge& bridge) { return bridge.publish(topic, bytes); });
}

void Network::judge(const GossipId& id, Verdict verdict) {
  if (impl_->bridge) impl_->bridge->judge(id, verdict);
}

Result<std::uint64_t> Network::send(const PublicKey& peer, std::string_view protocol, ByteView bytes) {
  return impl_->with_bridge([&](Bridge& bridge) { return bridge.send(peer, protocol, bytes); });
}

void Network::open_stream(const PublicKey& peer, std::string_view protocol, std::function<void(Result<RawStream>)> done,
                          std::string_view preferred) {
  impl_->await(impl_->opens,
               impl_->with_bridge([&](Bridge& bridge) { return bridge.open_stream(peer, protocol, preferred); }),
               std::move(done));
}

void Network::connect_by(const PublicKey& peer, std::string_view transport,
                         std::function<void(Result<PublicKey>)> done) {
  impl_->await(impl_->dials, impl_->with_bridge([&](Bridge& bridge) { return bridge.connect_by(peer, transport); }),
               std::move(done));
}

void Network::reset_stream(std::uint64_t stream) {
  if (impl_->bridge) impl_->bridge->reset_stream(stream);
}

void Network::dial(std::string_view address, std::function<void(Result<PublicKey>)> done) {
  impl_->await(impl_->dials, impl_->with_bridge([&](Bridge& bridge) { return bridge.dial(address); }), std::move(done));
}

void Network::disconnect(const PublicKey& peer) {
  if (impl_->bridge) impl_->bridge->disconnect(peer);
}

void Network::ping(const PublicKey& peer, std::function<void(Result<std::chrono::microseconds>)> done) {
  impl_->await(impl_->pings, impl_->with_bridge([&](Bridge& bridge) { return bridge.ping(peer); }), std::move(done));
}

void Network::doctor(std::string_view target, std::function<void(Result<DoctorReport>)> done) {
  impl_->await(impl_->doctors, impl_->with_bridge([&](Bridge& bridge) { return bridge.doctor(target); }),
               std::move(done));
}

Status Network::provide(ByteView key) {
  if (!impl_->bridge) return fail(ErrorCode::unavailable, "the network was stopped");
  return impl_->bridge->provide(key);
}

void Network::stop_providing(ByteView key) {
  if (impl_->bridge) impl_->bridge->stop_providing(key);
}

void Network::find_providers(ByteView key, std::function<void(Result<Providers>)> done) {
  impl_->await(impl_->searches, impl_->with_bridge([&](Bridge& bridge) { return bridge.find_providers(key); }),
               std::move(done));
}

void Network::stop() {
  if (!impl_->bridge) return;
  boost::system::error_code ignored;
  impl_->wake_stream.cancel(ignored);
  impl_->wake_stream.close(ignored);
  // Taken out first: a callback destroyed below may call back into this object.
  const auto bridge = std::exchange(impl_->bridge, nullptr);
  bridge->stop();
  impl_->peers.clear();
  impl_->opens.clear();
  impl_->dials.clear();
  impl_->pings.clear();
  impl_->doctors.clear();
  impl_->searches.clear();
}

}  // namespace mesh::p2p
