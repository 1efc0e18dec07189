// The network adapter: rust-libp2p behind plain values. Discovery, provider records, gossip, direct messages and raw
// streams.
//
// One Network per node. Every method and every callback belongs to the io_context's thread; libp2p has a thread of
// its own, which never runs code of ours in C++. A peer is its Ed25519 public key, of which a PeerId is another
// spelling; peers with keys of other kinds are not admitted.
//
// Nodes behind NATs: AutoNAT finds out whether peers can dial this node; if not, it reserves slots at up to two relays
// among its peers, and DCUtR turns relayed connections into direct ones where the routers let it. New streams and messages
// take a direct connection where there is one; a relayed one ends at the relay's bounds (16 MiB, 30 minutes).
//
// A peer may have a second direct connection over another transport (connect_by). What needs no other goes over the first.
//
// Provider records: a node says in Meshwork's own DHT (`/meshwork/kad/1.0.0`, nobody else's) for which keys it has the
// content, at a measured pace, and again before what others keep of it expires. A peer speaks only for itself.
//
// What bounds it: Limits below. Past a bound there is an error by name, a dropped gossip message, or a stream that
// is no longer read; nothing grows. What peers send is bounded in size and rate, not checked in content: message
// and gossip bytes are hostile until the domain has decoded them.
//
// What can go wrong: a message that was sent but not acknowledged when its stream broke may or may not have
// arrived (`maybe_delivered`); a raw stream's end of file proves nothing until its StreamClosed says `clean`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/ed25519.h"

namespace boost::asio {
class io_context;
}

namespace mesh::p2p {

/// The gossip topics: `/meshwork/1/<federation>/<name>`. All but `consensus` are subscribed from the start.
enum class Topic : std::uint8_t { intents = 0, events = 1, capabilities = 2, consensus = 3 };
[[nodiscard]] std::string_view name_of(Topic topic);

struct GossipIdTag;
/// SHA-256 of the content, on whatever topic.
using GossipId = FixedBytes<GossipIdTag, 32>;

enum class Verdict : std::uint8_t {
  accept = 0,  ///< pass it on
  reject = 1,  ///< do not pass it on, and hold it against whoever sent it
  ignore = 2,  ///< do not pass it on
};

enum class Found : std::uint8_t { inbound = 0, dialed = 1, bootstrap = 2, mdns = 3, kademlia = 4 };
[[nodiscard]] std::string_view name_of(Found found);

enum class StreamEnd : std::uint8_t {
  clean = 0,  ///< both directions ended as their writers meant it
  reset = 1,  ///< one side gave up: what was read may be cut off
  peer_gone = 2,  ///< the connection was lost first
};
[[nodiscard]] std::string_view name_of(StreamEnd end);

/// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

struct Limits {
  std::size_t gossip_bytes = 256 * 1024;  ///< of one gossip message with its envelope of at most 512 bytes
  std::uint32_t gossip_per_peer_per_s = 2000;  ///< twice as many at once; what is more is ignored
  std::size_t message_bytes = 1024 * 1024;  ///< of one direct message
  std::size_t queued_messages = 16384;  ///< per peer, sent and not yet acknowledged
  std::size_t queued_bytes = 16 * 1024 * 1024;  ///< per peer, likewise
  std::size_t streams_per_peer = 64;  ///< raw streams that we open; inbound streams of any kind
  std::size_t streams = 256;  ///< raw streams in all; each costs two file descriptors
  std::uint32_t inbound_connections = 256;
  std::uint32_t outbound_connections = 256;
  std::uint32_t connections_per_peer = 4;
  std::chrono::milliseconds spare_idle{std::chrono::seconds(30)};  ///< then what connect_by made is closed
  std::uint32_t pending_connections = 128;  ///< handshakes under way, inbound and outbound each
  /// Dials beyond the private networks, in groups of four addresses; twice as many at once. Each address takes an entry of
  /// the router's table, of which a home router has a few thousand.
  std::uint32_t dials_per_s = 16;
  std::size_t provided_keys = 1024;  ///< of this node; and those that are kept of any one other peer
  std::uint32_t announcements_per_s = 2;  ///< of own keys, each to up to twenty peers; twice as many at once
  std::size_t stored_providers = 16384;  ///< records of others, in all
  std::chrono::milliseconds provider_lifetime{std::chrono::hours(24)};  ///< for how long what a peer says is kept
  std::chrono::milliseconds provider_interval{std::chrono::hours(8)};  ///< before own keys are told again
  std::size_t events = 16384;  ///< undelivered events before the network holds back
  std::size_t event_bytes = 32 * 1024 * 1024;
};

/// Whether this node carries connections for peers that cannot be dialed, within bounds (circuit relay v2).
enum class RelayPolicy : std::uint8_t {
  automatic = 0,  ///< while peers can dial it
  on = 1,
  off = 2,
};

struct Config {
  Seed secret;
  /// Multiaddresses; port 0 lets the system choose.
  std::vector<std::string> listen = {"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0/ws"};
  /// Multiaddresses, with or without `/p2p/PEERID`; dialed again with back-off whenever the peer is lost.
  std::vector<std::string> bootstrap;
  bool mdns = true;
  RelayPolicy relay = RelayPolicy::automatic;
  /// The part of the topics that names the federation: text without slashes.
  std::string federation = "local";
  /// Length-prefixed messages, in order per peer and protocol.
  std::vector<std::string> message_protocols = {"/meshwork/offer/1", "/meshwork/award/1", "/meshwork/receipt/1"};
  /// Raw streams, as socket pairs. Those whose name does not begin with /meshwork/ are as others defined them: without
  /// the byte that says whether a stream was taken up, so that a refused one ends at once instead.
  std::vector<std::string> stream_protocols = {"/meshwork/blocks/1", "/meshwork/manifest/1", "/ipfs/bitswap/1.2.0"};
  /// What identify tells peers about us, for example "meshwork/0.1.0".
  std::string agent = "meshwork/" MESH_VERSION;
  std::chrono::milliseconds ping_interval{5000};
  std::chrono::milliseconds ping_timeout{8000};
  Limits limits;
};

/// A gossip message that awaits `judge`; it is not passed on before, and forgotten after some seconds.
struct GossipMessage {
  GossipId id;
  Topic topic = Topic::intents;
  PublicKey author;  ///< signed it, by gossipsub's own signature
  PublicKey from;  ///< passed it to us
  Bytes bytes;
};

/// A publication reached nobody at once. With `no_peers` that is a fact about the mesh rather than an error.
struct NotPublished {
  std::uint64_t request = 0;
  Topic topic = Topic::intents;
  bool no_peers = false;
  Error error;
};

/// A peer subscribed to one of our topics, or left it.
struct PeerSubscribed {
  PublicKey peer;
  Topic topic = Topic::intents;
  bool on = true;
};

struct Message {
  PublicKey peer;
  std::string protocol;
  Bytes bytes;
};

struct SendFailed {
  std::uint64_t request = 0;
  PublicKey peer;
  std::string protocol;
  bool maybe_delivered = false;  ///< false: it certainly did not arrive
  Error error;
};

/// A peer opened a raw stream to us. The descriptor is non-blocking.
struct StreamOpened {
  std::uint64_t stream = 0;
  PublicKey peer;
  std::string protocol;
  Fd fd;
};

/// The end of a raw stream, whoever opened it; comes once for each.
struct StreamClosed {
  std::uint64_t stream = 0;
  PublicKey peer;
  StreamEnd end = StreamEnd::reset;
};

/// The first connection to a peer.
struct PeerConnected {
  PublicKey peer;
  std::string address;  ///< multiaddress without the peer
  std::string transport;  ///< tcp, quic, ws, wss, relay or other
  bool outbound = false;
  Found found = Found::inbound;
};

/// New streams to a connected peer take another connection than before, for example a direct one in place of a relayed one.
struct PeerPathChanged {
  PublicKey peer;
  std::string address;
  std::string transport;
  bool outbound = false;
};

enum class Reachability : std::uint8_t {
  unknown = 0,  ///< nobody outside of the private networks was there to be asked
  public_ = 1,
  private_ = 2,  ///< peers that were asked to dial this node could not
};
[[nodiscard]] std::string_view name_of(Reachability reachability);

struct ReachabilityChanged {
  Reachability reachability = Reachability::unknown;
  std::string address;  ///< where peers reached this node; empty unless public
  bool relaying = false;  ///< this node carries others' connections
  std::string text;  ///< how it is known, in one sentence
};

/// A relay took this node's reservation (`held`), or refused it or is gone.
struct RelayChanged {
  PublicKey peer;
  std::string address;  ///< of the relay
  bool held = false;
  std::string text;
};

/// DCUtR tried to make a direct connection to a peer in place of a relayed one.
struct HolePunched {
  PublicKey peer;
  bool done = false;
  std::string text;  ///< how it went
};

/// The last connection to a peer is gone.
struct PeerDisconnected {
  PublicKey peer;
  std::string reason;
};

struct PeerIdentified {
  PublicKey peer;
  std::string agent;
  std::vector<std::string> addresses;
  std::vector<std::string> protocols;
};

/// A ping was answered. Smoothed and mean deviation as in RFC 6298.
struct PeerRtt {
  PublicKey peer;
  std::chrono::microseconds rtt{0};
  std::chrono::microseconds smoothed{0};
  std::chrono::microseconds jitter{0};
};

/// Of so many of the keys that this node provides somebody has been told.
struct KeysAnnounced {
  std::size_t keys = 0;
};

/// The network ended by a bug of ours; nothing works any more.
struct Stopped {
  Error error;
};

using Event = std::variant<GossipMessage, NotPublished, PeerSubscribed, Message, SendFailed, StreamOpened, StreamClosed,
                           PeerConnected, PeerDisconnected, PeerPathChanged, ReachabilityChanged, RelayChanged,
                           HolePunched, PeerIdentified, PeerRtt, KeysAnnounced, Stopped>;

/// What is known of a connected peer now.
struct PeerInfo {
  PublicKey peer;
  std::string address;
  std::string transport;
  bool outbound = false;
  Found found = Found::inbound;
  std::string agent;  ///< empty until identify has run
  std::vector<std::string> addresses;
  std::vector<std::string> protocols;
  std::optional<std::chrono::microseconds> rtt;
  std::optional<std::chrono::microseconds> smoothed;
  std::optional<std::chrono::microseconds> jitter;
};

/// How this node is reached, as far as it is known. Times are when it came to be so.
struct NetworkStatus {
  using Time = std::chrono::system_clock::time_point;
  struct Relay {
    PublicKey peer;
    std::string address;
    bool held = false;  ///< else `text` says why not
    std::string text;
    Time since;
  };
  struct Punch {
    PublicKey peer;
    bool done = false;
    std::string text;
    Time at;
  };
  Reachability reachability = Reachability::unknown;
  Time since;  ///< the start, while unknown
  std::string address;  ///< where peers reached this node; empty unless public
  std::string text;
  bool relaying = false;
  std::vector<Relay> relays;  ///< the latest of each relay, oldest first; 16 at most
  std::vector<Punch> punches;  ///< the latest of each peer, oldest first; 64 at most
  std::size_t announced = 0;  ///< keys of this node of which somebody has been told
};

/// Who says that it has the content of a key.
struct Providers {
  std::vector<PublicKey> peers;  ///< 16 at most, and being connected to; what they say was not looked at
  std::size_t asked = 0;  ///< peers that answered
};

/// A raw stream that we opened. Shutting the write side down (or closing) ends our direction cleanly; to give up
/// instead, call `reset_stream` first. The descriptor is non-blocking.
struct RawStream {
  std::uint64_t stream = 0;
  Fd fd;
  std::string transport;  ///< of the connection that it is on: tcp, quic, ws, wss, relay or other
};

enum class Reach : std::uint8_t {
  connected = 0,
  refused = 1,
  timed_out = 2,
  wrong_peer = 3,
  not_meshwork = 4,
  no_addresses = 5,
  failed = 6,
};
[[nodiscard]] std::string_view name_of(Reach reach);

/// What trying one address came to; `text` is one sentence for people.
struct Attempt {
  std::string address;  ///< empty with no_addresses
  Reach reach = Reach::failed;
  std::string text;
};

struct DoctorReport {
  std::optional<PublicKey> peer;
  bool already_connected = false;
  std::vector<Attempt> attempts;
};

/// The PeerId of a key in its usual spelling, `12D3KooW...`.
[[nodiscard]] std::string peer_id_text(const PublicKey& key);
/// invalid: not a PeerId, or one whose key is not Ed25519.
[[nodiscard]] Result<PublicKey> parse_peer_id(std::string_view text);

class Network {
 public:
  /// Listens before it returns. invalid: an address, protocol or federation that is malformed; unavailable: an
  /// address that cannot be listened at (the text names it). `on_event` is called on the thread that runs `io`.
  [[nodiscard]] static Result<std::unique_ptr<Network>> start(const Config& config, boost::asio::io_context& io,
                                                              std::function<void(Event)> on_event);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  /// Stops; callbacks that are still owed are dropped.
  ~Network();

  [[nodiscard]] const PublicKey& self() const;
  /// With `/p2p/` and the own PeerId.
  [[nodiscard]] const std::vector<std::string>& listen_addresses() const;
  /// The connected peers, ordered by key.
  [[nodiscard]] std::vector<PeerInfo> peers() const;
  /// nullptr if not connected; valid until the next event.
  [[nodiscard]] const PeerInfo* peer(const PublicKey& key) const;
  [[nodiscard]] const NetworkStatus& status() const;

  /// Returns the number that NotPublished would carry. invalid: too large; exhausted: too much waits already.
  [[nodiscard]] Result<std::uint64_t> publish(Topic topic, ByteView bytes);
  /// Once per GossipMessage; a message that is unknown by now is left alone.
  void judge(const GossipId& id, Verdict verdict);

  /// Queues a message and connects if need be. Returns the number that SendFailed would carry; without SendFailed
  /// the peer's queue took it. invalid: too large; exhausted: the peer's queue here is full; not_found: no such
  /// protocol in the Config.
  [[nodiscard]] Result<std::uint64_t> send(const PublicKey& peer, std::string_view protocol, ByteView bytes);

  /// Opens a raw stream, connecting if need be; the peer has taken it up when `done` gets it. exhausted: a bound of
  /// streams here or there; unsupported: the peer does not speak the protocol; unavailable, timeout: not reached.
  /// It goes over a direct connection of the `preferred` transport (tcp or quic), if there is one; none is made for it.
  void open_stream(const PublicKey& peer, std::string_view protocol, std::function<void(Result<RawStream>)> done,
                   std::string_view preferred = {});
  /// Gives up on a raw stream, so that the peer does not take its end for a clean one. Call before closing the fd.
  void reset_stream(std::uint64_t stream);

  /// Connects to `/.../p2p/PEERID`, or to whoever answers at an address without one.
  void dial(std::string_view address, std::function<void(Result<PublicKey>)> done);
  /// Makes a direct connection over that transport (tcp or quic) beside the one that a peer has, at an address that it has
  /// told; done at once where there is one. It is closed when it idles (Limits::spare_idle) and the peer has another.
  /// unsupported: the peer is connected through a relay, or has told of no address; exhausted: a bound of ours; unavailable:
  /// nothing answered.
  void connect_by(const PublicKey& peer, std::string_view transport, std::function<void(Result<PublicKey>)> done);
  void disconnect(const PublicKey& peer);
  /// One round trip, now.
  void ping(const PublicKey& peer, std::function<void(Result<std::chrono::microseconds>)> done);
  /// Tries every known address of a PeerId, or one multiaddress, and says what each came to.
  void doctor(std::string_view target, std::function<void(Result<DoctorReport>)> done);

  /// Says in the DHT from now on that this node has the content of a key (the bytes of a multihash). invalid: no key,
  /// or one of more than 66 bytes; exhausted: Limits::provided_keys.
  [[nodiscard]] Status provide(ByteView key);
  /// Says so no more; what others were told they may tell until its lifetime has passed.
  void stop_providing(ByteView key);
  /// Asks the DHT who has the content of a key, for 10 seconds at most and 1 after the first that is found, which are
  /// connected to at once. exhausted: 32 are being asked for; unavailable: no peer is there that could be asked.
  void find_providers(ByteView key, std::function<void(Result<Providers>)> done);

  /// As the destructor, but may be called earlier; afterwards every call fails with `unavailable`.
  void stop();

 private:
  struct Impl;
  explicit Network(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::p2p
