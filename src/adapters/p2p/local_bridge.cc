// The bridge of builds with the thread sanitizer: joins the networks of one process, without Rust and without sockets.
//
// It keeps network.h's promises as far as our own code can tell the difference, so that what runs above it runs as it
// does over libp2p: events come from another thread through the queue and the eventfd, in order and bounded. Ports are
// numbers that the hub gives out; an address of another process, or none, is refused. There is no discovery but what
// peers tell each other, no encryption, and no scoring but that a peer whose gossip was rejected ten times is silenced.
//
// Each network is a Node with a thread of its own, to which alone its state belongs; everybody else posts tasks to it.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "adapters/p2p/bridge.h"
#include "codec/hash.h"
#include "codec/utf8.h"

#ifndef __SANITIZE_THREAD__
#error "the bridge without a network is for builds with the thread sanitizer only"
#endif

namespace mesh::p2p {
namespace {

using Clock = std::chrono::steady_clock;
using Task = std::move_only_function<void()>;

constexpr std::size_t max_waiting_tasks = 65'536;
constexpr std::size_t max_waiting_for_connection = 1'024;
constexpr std::size_t max_book_addresses = 32;
constexpr std::size_t max_book_peers = 1'024;
constexpr std::size_t max_unjudged = 4'096;
constexpr std::size_t max_seen = 65'536;
constexpr std::size_t pump_bytes = 256 * 1024;
constexpr std::size_t event_overhead_bytes = 256;
constexpr std::size_t max_key_bytes = 66;
constexpr std::size_t max_searches = 32;
constexpr std::size_t enough_providers = 16;
constexpr std::uint32_t rejects_that_silence = 10;
constexpr int tick_ms = 20;
constexpr auto retry_first = std::chrono::milliseconds(200);
constexpr auto retry_last = std::chrono::seconds(5);

struct Address {
  std::string text;  ///< without the peer
  std::string transport;
  std::uint32_t ip = 0;
  std::uint16_t port = 0;
  std::optional<PublicKey> peer;

  [[nodiscard]] bool datagram() const { return transport == "quic"; }
};

std::string text_of(const std::string& ip, const std::string& transport, std::uint16_t port) {
  const auto number = std::to_string(port);
  if (transport == "quic") return "/ip4/" + ip + "/udp/" + number + "/quic-v1";
  return "/ip4/" + ip + "/tcp/" + number + (transport == "ws" ? "/ws" : "");
}

Result<Address> parse_address(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::invalid,
                "\"" + utf8_excerpt(text, 200) + "\" is not a multiaddress (" + std::string(why) + ")");
  };
  if (!text.starts_with('/')) return bad("it does not start with a slash");
  std::vector<std::string> parts;
  for (std::size_t at = 1; at <= text.size();) {
    const auto end = std::min(text.find('/', at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  Address address;
  if (parts.size() >= 2 && parts[parts.size() - 2] == "p2p") {
    MESH_LET(address.peer, parse_peer_id(parts.back()));
    parts.resize(parts.size() - 2);
  }
  if (parts.size() < 4) return bad("it ends too early");
  in_addr ip{};
  if (parts[0] != "ip4") return fail(ErrorCode::unsupported, "no transport of this program for " + std::string(text));
  if (::inet_pton(AF_INET, parts[1].c_str(), &ip) != 1) return bad("no IPv4 address");
  address.ip = ntohl(ip.s_addr);
  const std::vector<std::string> rest(parts.begin() + 4, parts.end());
  if (parts[2] == "tcp" && rest.empty()) {
    address.transport = "tcp";
  } else if (parts[2] == "tcp" && rest == std::vector<std::string>{"ws"}) {
    address.transport = "ws";
  } else if (parts[2] == "udp" && rest == std::vector<std::string>{"quic-v1"}) {
    address.transport = "quic";
  } else {
    return fail(ErrorCode::unsupported, "no transport of this program for " + std::string(text));
  }
  const auto& port = parts[3];
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size()) return bad("no port");
  address.text = text_of(parts[1], address.transport, address.port);
  return address;
}

/// The way out to the owner; see crates/p2p/src/queue.rs for why it has two ways in.
class EventQueue {
 public:
  EventQueue(Fd wake, const Limits& limits) : wake_(std::move(wake)), limits_(limits) {}

  /// For what must arrive.
  void push(BridgeEvent event) {
    {
      const std::scoped_lock lock(mutex_);
      add(std::move(event));
    }
    ring();
  }

  /// For what may be dropped or held back: false, and the event untouched, when there is no room.
  bool offer(BridgeEvent& event) {
    {
      const std::scoped_lock lock(mutex_);
      if (events_.size() >= limits_.events || bytes_ >= limits_.event_bytes) return false;
      add(std::move(event));
    }
    ring();
    return true;
  }

  bool drain(std::size_t max, std::vector<BridgeEvent>& out) {
    // Before the lock: an event added after we let go of it rings again.
    awake_.store(false);
    const std::scoped_lock lock(mutex_);
    for (; max > 0 && !events_.empty(); --max) {
      bytes_ -= weight(events_.front());
      out.push_back(std::move(events_.front()));
      events_.pop_front();
    }
    return !events_.empty();
  }

 private:
  static std::size_t weight(const BridgeEvent& event) {
    if (const auto* plain = std::get_if<Event>(&event)) {
      if (const auto* gossip = std::get_if<GossipMessage>(plain)) return gossip->bytes.size() + event_overhead_bytes;
      if (const auto* message = std::get_if<Message>(plain)) return message->bytes.size() + event_overhead_bytes;
    }
    return event_overhead_bytes;
  }
  void add(BridgeEvent event) {
    bytes_ += weight(event);
    events_.push_back(std::move(event));
  }
  void ring() {
    if (awake_.exchange(true)) return;
    const std::uint64_t one = 1;
    // Fails only where the counter is full, which wakes as well.
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
  }

  Fd wake_;
  const Limits limits_;
  std::mutex mutex_;
  std::deque<BridgeEvent> events_;
  std::size_t bytes_ = 0;
  std::atomic<bool> awake_ = false;
};

class Node;

/// Who listens where in this process.
class Hub {
 public:
  /// Claims the address, with a port of the hub's choice for port 0; false if somebody has it.
  bool claim(Address& address, const std::shared_ptr<Node>& node) {
    const std::scoped_lock lock(mutex_);
    if (address.port == 0) {
      do {
        last_port_ = last_port_ >= 60'000 ? 20'000 : last_port_ + 1;
        address.port = static_cast<std::uint16_t>(last_port_);
      } while (listeners_.contains({address.datagram(), address.port}));
    }
    return listeners_.try_emplace({address.datagram(), address.port}, Listener{address.transport, node}).second;
  }

  void release(const Node* node) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(listeners_, [node](const auto& entry) { return entry.second.node.get() == node; });
  }

  /// nullptr: nobody listens there.
  std::shared_ptr<Node> find(const Address& address) {
    if (address.ip >> 24 != 127) return nullptr;
    const std::scoped_lock lock(mutex_);
    const auto found = listeners_.find({address.datagram(), address.port});
    if (found == listeners_.end() || found->second.transport != address.transport) return nullptr;
    return found->second.node;
  }

  std::uint64_t next_link() { return ++last_link_; }

 private:
  struct Listener {
    std::string transport;
    std::shared_ptr<Node> node;
  };
  std::mutex mutex_;
  std::map<std::pair<bool, std::uint16_t>, Listener> listeners_;
  unsigned last_port_ = 20'000;
  std::atomic<std::uint64_t> last_link_ = 0;
};

Hub& hub() {
  static Hub instance;
  return instance;
}

/// What two nodes tell each other when they connect.
struct Hello {
  PublicKey key;
  std::shared_ptr<Node> node;
  std::string federation;
  std::string agent;
  std::vector<std::string> addresses;  ///< without the peer
  std::vector<std::string> protocols;
};

/// One direction of a raw stream between its two socket pairs.
class Copier {
 public:
  enum class State { open, ended, broken };

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool wants_to_read() const { return state_ == State::open && start_ == end_; }
  [[nodiscard]] bool wants_to_write() const { return state_ == State::open && start_ != end_; }

  /// Moves what can be moved now. `given_up` tells an end of file that is a close from one that is an end.
  void step(int from, int to, const std::atomic<bool>& given_up) {
    for (int round = 0; round < 4 && state_ == State::open; ++round) {
      if (start_ == end_) {
        const auto count = ::recv(from, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count < 0 || (count == 0 && given_up.load())) {
          state_ = State::broken;
          return;
        }
        if (count == 0) {
          ::shutdown(to, SHUT_WR);
          state_ = State::ended;
          return;
        }
        start_ = 0;
        end_ = static_cast<std::size_t>(count);
      }
      const auto count = ::send(to, buffer_.data() + start_, end_ - start_, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (count < 0) {
        state_ = State::broken;
        return;
      }
      start_ += static_cast<std::size_t>(count);
    }
  }

 private:
  Bytes buffer_ = Bytes(pump_bytes);
  std::size_t start_ = 0;
  std::size_t end_ = 0;
  State state_ = State::open;
};

using GivenUp = std::shared_ptr<std::atomic<bool>>;

/// A raw stream on the side that opened it, which also carries its bytes.
struct OwnStream {
  std::uint64_t remote = 0;
  PublicKey peer;
  Fd near;
  Fd far;
  GivenUp given_up;
  Copier there;
  Copier back;
};

struct TakenStream {
  std::uint64_t remote = 0;
  PublicKey peer;
};

class Node : public std::enable_shared_from_this<Node> {
 public:
  Node(const Config& config, Fd wake, Fd inbox_wake)
      : config_(config),
        key_(public_key_of(config.secret)),
        events_(std::move(wake), config.limits),
        inbox_wake_(std::move(inbox_wake)) {}

  // For every thread.

  /// False once the node has stopped; the task is then gone.
  bool post(Task task) {
    const std::scoped_lock lock(mutex_);
    if (closed_) return false;
    inbox_.push_back(std::move(task));
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(inbox_wake_.get(), &one, sizeof one);
    return true;
  }
  [[nodiscard]] const PublicKey& key() const { return key_; }

  // For the owner's thread.

  Status listen() {
    for (const auto& entry : config_.bootstrap) {
      MESH_LET(const Address address, parse_address(entry));
      bootstrap_.push_back({.address = address, .peer = address.peer, .next = Clock::now()});
    }
    for (const auto* protocols : {&config_.message_protocols, &config_.stream_protocols}) {
      for (const auto& name : *protocols) {
        if (!name.starts_with('/')) {
          return fail(ErrorCode::invalid, "the protocol name \"" + name + "\" does not start with a slash");
        }
      }
    }
    if (!is_utf8(config_.agent)) return fail(ErrorCode::invalid, "a setting of the network is not UTF-8");
    for (const auto& text : config_.listen) {
      MESH_LET(Address address, parse_address(text));
      const bool any = address.ip == 0;
      if ((!any && address.ip >> 24 != 127) || !hub().claim(address, shared_from_this())) {
        hub().release(this);
        return fail(ErrorCode::unavailable, "cannot listen at " + text + ": choose another port");
      }
      own_addresses_.push_back(text_of("127.0.0.1", address.transport, address.port));
    }
    // There are no NATs within a process, and nobody to ask: what is told is the owner's word.
    if (config_.relay == RelayPolicy::on) {
      events_.push(Event(ReachabilityChanged{Reachability::unknown, "", true,
                                             "no peer outside of the private networks was there to try"}));
    }
    return {};
  }
  void start() {
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    post([this] { closing_ = true; });
    thread_.join();
  }

  [[nodiscard]] std::vector<std::string> listen_addresses() const {
    std::vector<std::string> result;
    for (const auto& address : own_addresses_) result.push_back(address + "/p2p/" + peer_id_text(key_));
    return result;
  }

  bool drain(std::size_t max, std::vector<BridgeEvent>& out) {
    const bool more = events_.drain(max, out);
    if (holding_.load()) post([this] { deliver_held(); });
    return more;
  }

  Result<std::uint64_t> publish(Topic topic, ByteView bytes) {
    if (bytes.size() + 512 > config_.limits.gossip_bytes) {
      return fail(ErrorCode::invalid, "a gossip message of " + std::to_string(bytes.size()) + " bytes is too large");
    }
    return command([this, topic, copy = to_bytes(bytes)](std::uint64_t request) mutable {
      on_publish(request, topic, std::move(copy));
    });
  }
  void judge(const GossipId& id, Verdict verdict) {
    post([this, id, verdict] { on_judge(id, verdict); });
  }
  Result<std::uint64_t> send(const PublicKey& peer, std::string_view protocol, ByteView bytes) {
    MESH_TRY(check(peer, protocol, config_.message_protocols));
    if (bytes.size() > config_.limits.message_bytes) {
      return fail(ErrorCode::invalid, "a message of " + std::to_string(bytes.size()) + " bytes is too large");
    }
    {
      const std::scoped_lock lock(mutex_);
      auto& outbox = outboxes_[peer];
      if (outbox.messages >= config_.limits.queued_messages ||
          outbox.bytes + bytes.size() > config_.limits.queued_bytes) {
        return fail(ErrorCode::exhausted, "too many messages to " + peer_id_text(peer) + " wait to be taken up");
      }
      ++outbox.messages;
      outbox.bytes += bytes.size();
    }
    auto request =
        command([this, peer, name = std::string(protocol), copy = to_bytes(bytes)](std::uint64_t number) mutable {
          on_send(number, peer, std::move(name), std::move(copy));
        });
    if (!request) release_outbox(peer, bytes.size());
    return request;
  }
  Result<std::uint64_t> open_stream(const PublicKey& peer, std::string_view protocol, std::string_view preferred) {
    MESH_TRY(check_transport(preferred));
    MESH_TRY(check(peer, protocol, config_.stream_protocols));
    return command([this, peer, name = std::string(protocol)](std::uint64_t request) mutable {
      on_open(request, peer, std::move(name));
    });
  }
  void reset_stream(std::uint64_t stream) {
    {
      // At once, so that the close which follows is not taken for an end.
      const std::scoped_lock lock(mutex_);
      const auto found = given_up_.find(stream);
      if (found == given_up_.end()) return;
      found->second->store(true);
    }
    post([this, stream] { on_reset(stream); });
  }
  Result<std::uint64_t> dial(std::string_view text) {
    if (!is_utf8(text)) return fail(ErrorCode::invalid, "the text is not UTF-8");
    MESH_LET(Address address, parse_address(text));
    return command([this, address = std::move(address)](std::uint64_t request) { on_dial(request, address); });
  }
  /// All goes over one link here: there is another transport only where it is that link's.
  Result<std::uint64_t> connect_by(const PublicKey& peer, std::string_view transport) {
    if (peer == key_) return fail(ErrorCode::invalid, "a node has no connection to itself");
    if (transport.empty()) return fail(ErrorCode::invalid, "no transport is named");
    MESH_TRY(check_transport(transport));
    return command([this, peer, transport = std::string(transport)](std::uint64_t request) {
      const auto found = peers_.find(peer);
      if (found != peers_.end() && found->second.transport == transport) {
        events_.push(DialAnswer{request, peer});
      } else {
        events_.push(
            DialAnswer{request, fail(ErrorCode::unsupported, "there is no second connection where no sockets are")});
      }
    });
  }
  static Status check_transport(std::string_view transport) {
    if (transport.empty() || transport == "tcp" || transport == "quic") return {};
    return fail(ErrorCode::invalid, std::string(transport) + " is not tcp or quic");
  }
  void disconnect(const PublicKey& peer) {
    post([this, peer] { on_disconnect(peer); });
  }
  Result<std::uint64_t> ping(const PublicKey& peer) {
    if (peer == key_) return fail(ErrorCode::invalid, "a node has no connection to itself");
    return command([this, peer](std::uint64_t request) { on_ping(request, peer); });
  }
  Result<std::uint64_t> doctor(std::string_view target) {
    if (const auto peer = parse_peer_id(target)) {
      return command([this, key = *peer](std::uint64_t request) { on_doctor(request, key, {}); });
    }
    if (!is_utf8(target)) return fail(ErrorCode::invalid, "the text is not UTF-8");
    MESH_LET(Address address, parse_address(target));
    return command(
        [this, address = std::move(address)](std::uint64_t request) { on_doctor(request, address.peer, {address}); });
  }
  Status provide(ByteView key) {
    MESH_TRY(check_key(key));
    if (!provided_.contains(to_bytes(key)) && provided_.size() >= config_.limits.provided_keys) {
      return fail(ErrorCode::exhausted, "as many keys are provided as are allowed");
    }
    if (!provided_.insert(to_bytes(key)).second) return {};
    post([this, copy = to_bytes(key)] {
      own_keys_.emplace(copy, false);
      for (auto& [peer, state] : peers_) tell_key(state, copy);
    });
    return {};
  }
  void stop_providing(ByteView key) {
    if (provided_.erase(to_bytes(key)) == 0) return;
    post([this, copy = to_bytes(key)] {
      own_keys_.erase(copy);
      tell_announced();
    });
  }
  Result<std::uint64_t> find_providers(ByteView key) {
    MESH_TRY(check_key(key));
    return command([this, copy = to_bytes(key)](std::uint64_t request) { on_find(request, copy); });
  }

 private:
  struct Outbox {
    std::size_t messages = 0;
    std::size_t bytes = 0;
  };
  struct Sent {
    std::string protocol;
    std::size_t bytes = 0;
  };
  struct Ping {
    std::uint64_t request = 0;  ///< 0: for the list of peers
    Clock::time_point at;
  };
  struct Peer {
    Hello hello;
    std::string transport;  ///< of the first link, over which everything goes
    std::map<std::uint64_t, bool> links;  ///< whether we dialed
    std::map<std::uint64_t, Sent> sent;  ///< not yet acknowledged
    std::set<std::uint64_t> opens;  ///< not yet answered
    std::map<std::uint64_t, Ping> pings;
    Clock::time_point next_ping;
    std::optional<std::chrono::microseconds> smoothed;
    std::chrono::microseconds jitter{0};
    double tokens = 0;
    Clock::time_point tokens_at;
    std::uint32_t rejects = 0;
  };
  using Dialed = std::move_only_function<void(Reach, const std::string& why, const PublicKey* peer)>;
  struct Dial {
    Address address;
    std::optional<PublicKey> peer;
    Found found = Found::dialed;
    Dialed done;
  };
  struct Bootstrap {
    Address address;
    std::optional<PublicKey> peer;
    Clock::time_point next;
    Clock::duration delay = retry_first;
    bool dialing = false;
    bool own = false;
  };
  struct Unjudged {
    Topic topic = Topic::intents;
    PublicKey author;
    PublicKey from;
    Bytes bytes;
  };
  struct Find {
    std::set<PublicKey> waits_for;
    Providers answer;
  };
  struct Held {
    PublicKey peer;
    std::uint64_t request = 0;
    BridgeEvent event;
  };
  struct DoctorRun {
    DoctorReport report;
    std::size_t open = 0;
  };
  /// Called with nullptr and the reason when the peer cannot be reached.
  using WithPeer = std::move_only_function<void(Peer*, const std::string& why)>;

  Result<std::uint64_t> command(std::move_only_function<void(std::uint64_t)> call) {
    {
      const std::scoped_lock lock(mutex_);
      if (inbox_.size() >= max_waiting_tasks) {
        return fail(ErrorCode::exhausted, "the network has too many commands waiting; try again later");
      }
    }
    const auto request = ++last_request_;
    if (!post([call = std::move(call), request]() mutable { call(request); })) {
      return fail(ErrorCode::unavailable, "the network has stopped");
    }
    return request;
  }
  Status check(const PublicKey& peer, std::string_view protocol, const std::vector<std::string>& known) const {
    if (std::ranges::find(known, protocol) == known.end()) {
      return fail(ErrorCode::not_found, utf8_excerpt(protocol, 200) + " is not among the protocols");
    }
    if (peer == key_) return fail(ErrorCode::invalid, "a node has no connection to itself");
    return {};
  }
  static Status check_key(ByteView key) {
    if (!key.empty() && key.size() <= max_key_bytes) return {};
    return fail(ErrorCode::invalid, "a key of the DHT has 1 to 66 bytes");
  }
  void release_outbox(const PublicKey& peer, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto found = outboxes_.find(peer);
    if (found == outboxes_.end()) return;
    found->second.bytes -= bytes;
    if (--found->second.messages == 0) outboxes_.erase(found);
  }

  // What follows belongs to the node's own thread.

  void run() {
    auto next_tick = Clock::now();
    std::vector<pollfd> polled;
    while (!closing_) {
      polled.assign(1, {.fd = inbox_wake_.get(), .events = POLLIN, .revents = 0});
      for (const auto& [id, stream] : own_streams_) {
        const auto events = [](const Copier& in, const Copier& out) {
          return static_cast<short>((in.wants_to_read() ? POLLIN : 0) | (out.wants_to_write() ? POLLOUT : 0));
        };
        // Without a wish a closed end would wake us again and again.
        const auto near = events(stream.there, stream.back);
        const auto far = events(stream.back, stream.there);
        if (near != 0) polled.push_back({.fd = stream.near.get(), .events = near, .revents = 0});
        if (far != 0) polled.push_back({.fd = stream.far.get(), .events = far, .revents = 0});
      }
      ::poll(polled.data(), polled.size(), tick_ms);
      work();
      pump();
      if (Clock::now() < next_tick) continue;
      next_tick = Clock::now() + std::chrono::milliseconds(tick_ms);
      tick();
    }
    close();
  }

  void work() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto read = ::read(inbox_wake_.get(), &count, sizeof count);
    std::deque<Task> tasks;
    {
      const std::scoped_lock lock(mutex_);
      tasks.swap(inbox_);
    }
    for (auto& task : tasks) task();
  }

  void close() {
    hub().release(this);
    while (!peers_.empty()) lose(peers_.begin()->first, "we stopped");
    std::deque<Task> rest;
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
      rest.swap(inbox_);
    }
    // Among them may be a peer's wish to connect, which is refused; nothing else finds a peer any more.
    for (auto& task : rest) task();
    dials_.clear();
    waiting_.clear();
    searched_.clear();
    book_.clear();
  }

  void tick() {
    const auto now = Clock::now();
    deliver_held();
    for (std::size_t index = 0; index < bootstrap_.size(); ++index) {
      auto& entry = bootstrap_[index];
      if (entry.own || entry.dialing || entry.next > now || (entry.peer && peers_.contains(*entry.peer))) continue;
      entry.dialing = true;
      connect(entry.address, entry.peer, Found::bootstrap,
              [this, index](Reach reach, const auto&, const PublicKey* peer) {
                auto& tried = bootstrap_[index];
                tried.dialing = false;
                if (reach == Reach::connected) {
                  tried.peer = *peer;
                  tried.delay = retry_first;
                } else {
                  tried.own = peer != nullptr && *peer == key_;
                  tried.delay = std::min<Clock::duration>(tried.delay * 2, retry_last);
                }
                tried.next = Clock::now() + tried.delay;
              });
    }
    for (auto& [key, peer] : peers_) {
      if (peer.next_ping <= now) ask_ping(peer, 0);
      for (auto ping = peer.pings.begin(); ping != peer.pings.end();) {
        if (now - ping->second.at < config_.ping_timeout) break;
        if (ping->second.request != 0) {
          events_.push(PingAnswer{ping->second.request, fail(ErrorCode::timeout, "the peer did not answer in time")});
        }
        ping = peer.pings.erase(ping);
      }
    }
  }

  [[nodiscard]] Hello hello() {
    auto protocols = config_.message_protocols;
    protocols.insert(protocols.end(), config_.stream_protocols.begin(), config_.stream_protocols.end());
    return {.key = key_,
            .node = shared_from_this(),
            .federation = config_.federation,
            .agent = config_.agent,
            .addresses = own_addresses_,
            .protocols = std::move(protocols)};
  }

  [[nodiscard]] std::size_t links(bool outbound) const {
    std::size_t count = 0;
    for (const auto& [key, peer] : peers_) {
      for (const auto& [link, dialed] : peer.links) count += dialed == outbound ? 1U : 0U;
    }
    return count;
  }

  // Connecting.

  void connect(const Address& address, const std::optional<PublicKey>& expected, Found found, Dialed done) {
    const auto target = hub().find(address);
    if (!target) {
      return done(Reach::refused, "nothing listens at " + address.text + ": connection refused", nullptr);
    }
    if (target->key() == key_) return done(Reach::wrong_peer, address.text + " is this node itself", &key_);
    if (expected && *expected != target->key()) {
      return done(Reach::wrong_peer, address.text + " answers as another peer, " + peer_id_text(target->key()),
                  nullptr);
    }
    const auto& limits = config_.limits;
    if (dials_.size() >= limits.pending_connections || links(true) + dials_.size() >= limits.outbound_connections) {
      return done(Reach::failed, "our own limits forbid the connection", nullptr);
    }
    const auto link = hub().next_link();
    const bool posted = target->post([target = target.get(), link, transport = address.transport, hello = hello()] {
      target->on_dialed(link, transport, hello);
    });
    if (!posted) return done(Reach::refused, "nothing listens at " + address.text + ": connection refused", nullptr);
    dials_.emplace(link, Dial{address, target->key(), found, std::move(done)});
  }

  void on_dialed(std::uint64_t link, const std::string& transport, const Hello& from) {
    const auto known = peers_.find(from.key);
    const bool refused = closing_ || links(false) >= config_.limits.inbound_connections ||
                         (known != peers_.end() && known->second.links.size() >= config_.limits.connections_per_peer);
    if (refused) {
      from.node->post([node = from.node.get(), link] { node->on_dial_refused(link); });
      return;
    }
    from.node->post([node = from.node.get(), link, hello = hello()] { node->on_dial_accepted(link, hello); });
    admit(link, from, false, Found::inbound, from.addresses.empty() ? "/ip4/127.0.0.1/tcp/0" : from.addresses.front(),
          transport);
  }

  void on_dial_refused(std::uint64_t link) {
    auto dial = dials_.extract(link);
    if (dial.empty()) return;
    const auto& address = dial.mapped().address.text;
    dial.mapped().done(Reach::failed, address + " took the connection and closed it at once", nullptr);
  }

  void on_dial_accepted(std::uint64_t link, const Hello& from) {
    auto dial = dials_.extract(link);
    if (dial.empty() || closing_) return;
    const auto& address = dial.mapped().address;
    admit(link, from, true, dial.mapped().found, address.text, address.transport);
    dial.mapped().done(Reach::connected, address.text + " answers", &from.key);
  }

  void admit(std::uint64_t link, const Hello& from, bool outbound, Found found, const std::string& address,
             const std::string& transport) {
    auto [entry, first] = peers_.try_emplace(from.key);
    Peer& peer = entry->second;
    peer.links.emplace(link, outbound);
    remember(from.key, from.addresses);
    if (!first) return;
    peer.hello = from;
    peer.transport = transport;
    peer.tokens = 2.0 * config_.limits.gossip_per_peer_per_s;
    peer.tokens_at = Clock::now();
    events_.push(Event(PeerConnected{from.key, address, transport, outbound, found}));
    events_.push(Event(PeerIdentified{from.key, from.agent, from.addresses, from.protocols}));
    if (from.federation == config_.federation) {
      for (const auto topic : {Topic::intents, Topic::events, Topic::capabilities}) {
        events_.push(Event(PeerSubscribed{from.key, topic, true}));
      }
    }
    ask_ping(peer, 0);
    for (auto& [own, told] : own_keys_) tell_key(peer, own);
    for (const auto& [key, other] : peers_) {
      if (key == from.key) continue;
      from.node->post(
          [node = from.node.get(), key, addresses = other.hello.addresses] { node->on_heard_of(key, addresses); });
    }
    searched_.erase(from.key);
    auto waiting = waiting_.extract(from.key);
    if (waiting.empty()) return;
    for (auto& call : waiting.mapped()) call(&peer, "");
  }

  void remember(const PublicKey& key, const std::vector<std::string>& addresses) {
    if (addresses.empty() || key == key_ || (!book_.contains(key) && book_.size() >= max_book_peers)) return;
    auto& known = book_[key];
    for (const auto& address : addresses) {
      if (std::ranges::find(known, address) == known.end() && known.size() < max_book_addresses) {
        known.push_back(address);
      }
    }
  }

  void on_heard_of(const PublicKey& key, const std::vector<std::string>& addresses) {
    if (closing_ || key == key_) return;
    remember(key, addresses);
    const bool dialing = std::ranges::any_of(dials_, [&](const auto& entry) { return entry.second.peer == key; });
    if (peers_.contains(key) || dialing || addresses.empty()) return;
    const auto address = parse_address(addresses.front());
    // A peer that cannot be reached is no news to anybody.
    if (address) connect(*address, key, Found::kademlia, [](Reach, const auto&, const PublicKey*) {});
  }

  void on_dial(std::uint64_t request, const Address& address) {
    if (address.peer && peers_.contains(*address.peer)) {
      events_.push(DialAnswer{request, *address.peer});
      return;
    }
    connect(address, address.peer, Found::dialed,
            [this, request, text = address.text](Reach reach, const std::string& why, const PublicKey* peer) {
              if (reach == Reach::connected) {
                events_.push(DialAnswer{request, *peer});
              } else {
                events_.push(DialAnswer{request, fail(ErrorCode::unavailable, "cannot reach " + text + ": " + why)});
              }
            });
  }

  void on_disconnect(const PublicKey& key) { lose(key, "we closed the connection"); }

  /// Gives up all links to the peer.
  void lose(const PublicKey& key, const std::string& reason) {
    const auto found = peers_.find(key);
    if (found == peers_.end()) return;
    const auto node = found->second.hello.node;
    const auto links = found->second.links;
    for (const auto& [link, outbound] : links) {
      node->post([node = node.get(), key = key_, link] { node->on_link_lost(key, link); });
    }
    forget(key, reason);
  }

  void on_link_lost(const PublicKey& key, std::uint64_t link) {
    const auto found = peers_.find(key);
    if (found == peers_.end()) return;
    found->second.links.erase(link);
    if (found->second.links.empty()) forget(key, "the peer closed the connection");
  }

  /// Everything that hung on the last link.
  void forget(const PublicKey& key, const std::string& reason) {
    auto node = peers_.extract(key);
    if (node.empty()) return;
    const Peer& peer = node.mapped();
    for (const auto& [request, sent] : peer.sent) {
      release_outbox(key, sent.bytes);
      events_.push(
          Event(SendFailed{request,
                           key,
                           sent.protocol,
                           true,
                           {ErrorCode::unavailable, "the connection was lost before the message was acknowledged"}}));
    }
    const auto gone = [] { return fail(ErrorCode::unavailable, "the connection was lost"); };
    for (const auto request : peer.opens) {
      opening_.erase(request);
      events_.push(StreamAnswer{request, gone()});
    }
    for (const auto& [number, ping] : peer.pings) {
      if (ping.request != 0) events_.push(PingAnswer{ping.request, gone()});
    }
    for (auto stream = own_streams_.begin(); stream != own_streams_.end();) {
      const auto id = stream->first;
      const bool ends = stream->second.peer == key;
      ++stream;
      if (ends) end_own_stream(id, StreamEnd::peer_gone);
    }
    for (auto stream = taken_streams_.begin(); stream != taken_streams_.end();) {
      const auto id = stream->first;
      const bool ends = stream->second.peer == key;
      ++stream;
      if (ends) on_stream_ended(id, StreamEnd::peer_gone);
    }
    events_.push(Event(PeerDisconnected{key, reason}));
    std::vector<PublicKey> searches;
    for (const auto& [sought, asked] : searched_) searches.push_back(sought);
    for (const auto& sought : searches) on_search_answered(key, sought);
    std::vector<std::uint64_t> finds;
    for (const auto& [request, find] : finds_) finds.push_back(request);
    for (const auto request : finds) on_find_answered(key, request, {});
  }

  // Providers. Every peer is near enough to every key here, and what it is told lasts.

  void tell_key(Peer& peer, const Bytes& key) {
    const auto& node = peer.hello.node;
    node->post(
        [node = node.get(), us = key_, key, addresses = own_addresses_] { node->on_provider(us, key, addresses); });
    if (const auto own = own_keys_.find(key); own != own_keys_.end()) own->second = true;
    tell_announced();
  }

  void tell_announced() {
    const auto told = static_cast<std::size_t>(std::ranges::count_if(own_keys_, [](auto& own) { return own.second; }));
    if (std::exchange(announced_, told) != told) events_.push(Event(KeysAnnounced{told}));
  }

  void on_provider(const PublicKey& from, const Bytes& key, const std::vector<std::string>& addresses) {
    if (stored_.size() < config_.limits.stored_providers) stored_[key].emplace(from, addresses);
  }

  void on_find(std::uint64_t request, const Bytes& key) {
    if (finds_.size() >= max_searches || peers_.empty()) {
      events_.push(ProvidersAnswer{
          request, peers_.empty() ? fail(ErrorCode::unavailable, "no peer is connected that could be asked")
                                  : fail(ErrorCode::exhausted, "too many searches of the DHT are under way already")});
      return;
    }
    auto& find = finds_[request];
    for (const auto& [peer, state] : peers_) find.waits_for.insert(peer);
    for (const auto& [peer, state] : peers_) {
      const auto& node = state.hello.node;
      node->post(
          [node = node.get(), from = shared_from_this(), request, key] { node->on_find_asked(from, request, key); });
    }
  }

  void on_find_asked(const std::shared_ptr<Node>& from, std::uint64_t request, const Bytes& key) {
    std::map<PublicKey, std::vector<std::string>> known;
    if (const auto found = stored_.find(key); found != stored_.end()) known = found->second;
    if (own_keys_.contains(key)) known.emplace(key_, own_addresses_);
    from->post([from = from.get(), us = key_, request, known = std::move(known)] {
      from->on_find_answered(us, request, known);
    });
  }

  void on_find_answered(const PublicKey& peer, std::uint64_t request,
                        const std::map<PublicKey, std::vector<std::string>>& known) {
    const auto entry = finds_.find(request);
    if (entry == finds_.end() || entry->second.waits_for.erase(peer) == 0) return;
    Find& find = entry->second;
    ++find.answer.asked;
    for (const auto& [provider, addresses] : known) {
      auto& found = find.answer.peers;
      if (provider == key_ || found.size() >= enough_providers || std::ranges::find(found, provider) != found.end())
        continue;
      found.push_back(provider);
      on_heard_of(provider, addresses);
    }
    if (!find.waits_for.empty()) return;
    events_.push(ProvidersAnswer{request, std::move(find.answer)});
    finds_.erase(entry);
  }

  /// The peer if it is connected, else as soon as one of its known addresses has answered.
  void with_peer(const PublicKey& key, WithPeer call) {
    if (const auto found = peers_.find(key); found != peers_.end()) return call(&found->second, "");
    std::size_t count = 0;
    for (const auto& [other, calls] : waiting_) count += calls.size();
    if (count >= max_waiting_for_connection) return call(nullptr, "too many requests wait for a connection");
    auto& calls = waiting_[key];
    calls.push_back(std::move(call));
    if (calls.size() > 1) return;
    if (book_.contains(key) || peers_.empty()) return try_known(key);
    auto& asked = searched_[key];
    for (const auto& [other, peer] : peers_) {
      asked.insert(other);
      const auto& node = peer.hello.node;
      node->post([node = node.get(), from = shared_from_this(), key] { node->on_sought(from, key); });
    }
  }

  void on_sought(const std::shared_ptr<Node>& from, const PublicKey& key) {
    auto addresses = book_.contains(key) ? book_.at(key) : std::vector<std::string>();
    from->post([from = from.get(), us = key_, key, addresses = std::move(addresses)] {
      from->remember(key, addresses);
      from->on_search_answered(us, key);
    });
  }

  /// The answer may be that the peer was lost.
  void on_search_answered(const PublicKey& peer, const PublicKey& key) {
    const auto search = searched_.find(key);
    if (search == searched_.end() || search->second.erase(peer) == 0 || !search->second.empty()) return;
    searched_.erase(search);
    try_known(key);
  }

  void try_known(const PublicKey& key) {
    const auto known = book_.find(key);
    try_addresses(key, known == book_.end() ? std::vector<std::string>() : known->second,
                  "no address of the peer is known; name one, or a bootstrap peer that knows it");
  }

  void try_addresses(const PublicKey& key, std::vector<std::string> addresses, std::string why) {
    const auto address = addresses.empty() ? fail(ErrorCode::unavailable, "") : parse_address(addresses.front());
    if (!address) {
      auto waiting = waiting_.extract(key);
      if (waiting.empty()) return;
      for (auto& call : waiting.mapped()) call(nullptr, "cannot reach " + peer_id_text(key) + ": " + why);
      return;
    }
    addresses.erase(addresses.begin());
    connect(*address, key, Found::kademlia,
            [this, key, rest = std::move(addresses)](Reach reach, const std::string& reason, const PublicKey*) mutable {
              if (reach != Reach::connected) try_addresses(key, std::move(rest), reason);
            });
  }

  // Messages.

  void on_send(std::uint64_t request, const PublicKey& key, std::string protocol, Bytes bytes) {
    with_peer(key, [this, request, key, protocol = std::move(protocol), bytes = std::move(bytes)](
                       Peer* peer, const std::string& why) mutable {
      const auto size = bytes.size();
      if (peer == nullptr) {
        release_outbox(key, size);
        events_.push(Event(SendFailed{request, key, protocol, false, {ErrorCode::unavailable, why}}));
        return;
      }
      const auto node = peer->hello.node;
      peer->sent.emplace(request, Sent{protocol, size});
      node->post([node = node.get(), from = shared_from_this(), request, protocol, bytes = std::move(bytes)]() mutable {
        node->on_message(from, request, std::move(protocol), std::move(bytes));
      });
    });
  }

  void on_message(const std::shared_ptr<Node>& from, std::uint64_t request, std::string protocol, Bytes bytes) {
    if (!peers_.contains(from->key())) return;
    std::optional<Error> refusal;
    const auto& known = config_.message_protocols;
    if (std::ranges::find(known, protocol) == known.end()) {
      refusal = {ErrorCode::unsupported, peer_id_text(key_) + " does not speak " + protocol};
    } else if (bytes.size() > config_.limits.message_bytes) {
      refusal = {ErrorCode::unavailable, peer_id_text(key_) + " broke the stream off: the message is too large"};
    }
    if (refusal) {
      from->post([from = from.get(), key = key_, request, error = std::move(*refusal)] {
        from->on_answer(key, request, error);
      });
      return;
    }
    held_.push_back({from->key(), request, Event(Message{from->key(), std::move(protocol), std::move(bytes)})});
    deliver_held();
  }

  /// What is held is bounded by the senders' bounds on what is not acknowledged.
  void deliver_held() {
    for (; !held_.empty(); held_.pop_front()) {
      auto& held = held_.front();
      const auto peer = peers_.find(held.peer);
      if (peer == peers_.end()) continue;
      if (!events_.offer(held.event)) break;
      const auto node = peer->second.hello.node;
      node->post([node = node.get(), key = key_, request = held.request] { node->on_answer(key, request, {}); });
    }
    holding_.store(!held_.empty());
  }

  void on_answer(const PublicKey& key, std::uint64_t request, const std::optional<Error>& error) {
    const auto peer = peers_.find(key);
    if (peer == peers_.end()) return;
    const auto sent = peer->second.sent.extract(request);
    if (sent.empty()) return;
    release_outbox(key, sent.mapped().bytes);
    if (error) events_.push(Event(SendFailed{request, key, sent.mapped().protocol, false, *error}));
  }

  // Gossip.

  bool new_gossip(const GossipId& id) {
    if (!seen_.insert(id).second) return false;
    seen_order_.push_back(id);
    if (seen_order_.size() > max_seen) {
      seen_.erase(seen_order_.front());
      seen_order_.pop_front();
    }
    return true;
  }

  /// How many it went to.
  std::size_t spread(const GossipId& id, Topic topic, const PublicKey& author, const PublicKey& from,
                     const Bytes& bytes) {
    if (topic == Topic::consensus) return 0;
    std::size_t count = 0;
    for (const auto& [key, peer] : peers_) {
      if (key == from || key == author || peer.hello.federation != config_.federation) continue;
      const auto& node = peer.hello.node;
      ++count;
      node->post([node = node.get(), us = key_, id, topic, author, bytes]() mutable {
        node->on_gossip(us, id, topic, author, std::move(bytes));
      });
    }
    return count;
  }

  void on_publish(std::uint64_t request, Topic topic, Bytes bytes) {
    const GossipId id(*GossipId::from(sha256(bytes).view()));
    if (seen_.contains(id)) {
      events_.push(Event(NotPublished{
          request, topic, false, {ErrorCode::invalid, "the same bytes were published or received a short while ago"}}));
      return;
    }
    if (spread(id, topic, key_, key_, bytes) > 0) {
      new_gossip(id);
      return;
    }
    events_.push(
        Event(NotPublished{request, topic, true, {ErrorCode::unavailable, "no connected peer listens to this topic"}}));
  }

  void on_gossip(const PublicKey& from, const GossipId& id, Topic topic, const PublicKey& author, Bytes bytes) {
    const auto found = peers_.find(from);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    const auto now = Clock::now();
    const double rate = config_.limits.gossip_per_peer_per_s;
    peer.tokens = std::min(2 * rate, peer.tokens + rate * std::chrono::duration<double>(now - peer.tokens_at).count());
    peer.tokens_at = now;
    if (peer.rejects >= rejects_that_silence || bytes.size() > config_.limits.gossip_bytes || peer.tokens < 1) return;
    if (!new_gossip(id)) return;
    peer.tokens -= 1;
    BridgeEvent event = Event(GossipMessage{.id = id, .topic = topic, .author = author, .from = from, .bytes = bytes});
    if (!events_.offer(event)) return;
    if (unjudged_order_.size() >= max_unjudged) {
      unjudged_.erase(unjudged_order_.front());
      unjudged_order_.pop_front();
    }
    unjudged_.insert_or_assign(id, Unjudged{topic, author, from, std::move(bytes)});
    unjudged_order_.push_back(id);
  }

  void on_judge(const GossipId& id, Verdict verdict) {
    const auto message = unjudged_.extract(id);
    if (message.empty()) return;
    const Unjudged& judged = message.mapped();
    if (verdict == Verdict::accept) spread(id, judged.topic, judged.author, judged.from, judged.bytes);
    if (verdict != Verdict::reject) return;
    if (const auto peer = peers_.find(judged.from); peer != peers_.end()) ++peer->second.rejects;
  }

  // Round trips.

  void ask_ping(Peer& peer, std::uint64_t request) {
    const auto now = Clock::now();
    if (request == 0) peer.next_ping = now + config_.ping_interval;
    const auto number = ++last_ping_;
    peer.pings.emplace(number, Ping{request, now});
    const auto& node = peer.hello.node;
    node->post([node = node.get(), from = shared_from_this(), number] { node->on_pinged(from, number); });
  }

  void on_pinged(const std::shared_ptr<Node>& from, std::uint64_t number) {
    from->post([from = from.get(), key = key_, number] { from->on_pong(key, number); });
  }

  void on_pong(const PublicKey& key, std::uint64_t number) {
    const auto found = peers_.find(key);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    const auto ping = peer.pings.extract(number);
    if (ping.empty()) return;
    const auto rtt = std::max(std::chrono::microseconds(1),
                              std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - ping.mapped().at));
    if (ping.mapped().request != 0) {
      events_.push(PingAnswer{ping.mapped().request, rtt});
      return;
    }
    peer.jitter = peer.smoothed ? (peer.jitter * 3 + std::chrono::abs(*peer.smoothed - rtt)) / 4 : rtt / 2;
    peer.smoothed = peer.smoothed ? (*peer.smoothed * 7 + rtt) / 8 : rtt;
    events_.push(Event(PeerRtt{key, rtt, *peer.smoothed, peer.jitter}));
  }

  void on_ping(std::uint64_t request, const PublicKey& key) {
    with_peer(key, [this, request](Peer* peer, const std::string& why) {
      if (peer != nullptr) return ask_ping(*peer, request);
      events_.push(PingAnswer{request, fail(ErrorCode::unavailable, why)});
    });
  }

  // Raw streams.

  [[nodiscard]] std::size_t streams() const { return own_streams_.size() + taken_streams_.size() + opening_.size(); }

  std::uint64_t add_stream(const GivenUp& given_up) {
    const auto id = ++last_stream_;
    const std::scoped_lock lock(mutex_);
    given_up_.emplace(id, given_up);
    return id;
  }
  void remove_stream(std::uint64_t id) {
    const std::scoped_lock lock(mutex_);
    given_up_.erase(id);
  }

  void on_open(std::uint64_t request, const PublicKey& key, std::string protocol) {
    with_peer(key, [this, request, key, protocol = std::move(protocol)](Peer* peer, const std::string& why) {
      const auto refuse = [&](ErrorCode code, const std::string& text) {
        events_.push(StreamAnswer{request, fail(code, text)});
      };
      if (peer == nullptr) return refuse(ErrorCode::unavailable, why);
      if (streams() >= config_.limits.streams) {
        return refuse(ErrorCode::exhausted, "as many streams are open as are allowed");
      }
      auto to_peer = peer->opens.size();
      for (const auto& [id, stream] : own_streams_) to_peer += stream.peer == key ? 1U : 0U;
      if (to_peer >= config_.limits.streams_per_peer) {
        return refuse(ErrorCode::exhausted, "as many streams to the peer are open as are allowed");
      }
      std::array<int, 2> near{-1, -1};
      std::array<int, 2> far{-1, -1};
      const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
      if (::socketpair(AF_UNIX, type, 0, near.data()) != 0) {
        return refuse(ErrorCode::exhausted, "no socket pair for the stream; raise the limit of open files");
      }
      Fd ours(near[0]);
      Fd near_pump(near[1]);
      if (::socketpair(AF_UNIX, type, 0, far.data()) != 0) {
        return refuse(ErrorCode::exhausted, "no socket pair for the stream; raise the limit of open files");
      }
      Fd theirs(far[0]);
      const auto given_up = std::make_shared<std::atomic<bool>>(false);
      opening_.emplace(request, Opening{std::move(ours), std::move(near_pump), Fd(far[1]), given_up});
      peer->opens.insert(request);
      const auto& node = peer->hello.node;
      node->post([node = node.get(), from = shared_from_this(), request, protocol, theirs = std::move(theirs),
                  given_up]() mutable { node->on_opened(from, request, protocol, std::move(theirs), given_up); });
    });
  }

  /// A peer opens a stream to us.
  void on_opened(const std::shared_ptr<Node>& from, std::uint64_t request, const std::string& protocol, Fd fd,
                 const GivenUp& given_up) {
    const auto& key = from->key();
    if (!peers_.contains(key)) return;
    std::optional<Error> refusal;
    const auto& known = config_.stream_protocols;
    const auto of_peer =
        std::ranges::count_if(taken_streams_, [&](const auto& item) { return item.second.peer == key; });
    if (std::ranges::find(known, protocol) == known.end()) {
      refusal = {ErrorCode::unsupported, peer_id_text(key_) + " does not speak " + protocol};
    } else if (streams() >= config_.limits.streams ||
               static_cast<std::size_t>(of_peer) >= config_.limits.streams_per_peer) {
      refusal = {ErrorCode::exhausted, peer_id_text(key_) + " has too many streams open and refused this one"};
    }
    if (refusal) {
      from->post([from = from.get(), us = key_, request, error = std::move(*refusal)] {
        from->on_open_answered(us, request, fail(error.code, error.message));
      });
      return;
    }
    const auto id = add_stream(given_up);
    taken_streams_.emplace(id, TakenStream{request, key});
    events_.push(Event(StreamOpened{id, key, protocol, std::move(fd)}));
    from->post([from = from.get(), us = key_, request, id] { from->on_open_answered(us, request, id); });
  }

  /// Taken streams are known to their opener by our number, own streams to their taker by the request's.
  void on_open_answered(const PublicKey& key, std::uint64_t request, const Result<std::uint64_t>& remote) {
    auto opening = opening_.extract(request);
    if (opening.empty()) return;
    std::string transport = "other";
    if (const auto peer = peers_.find(key); peer != peers_.end()) {
      peer->second.opens.erase(request);
      transport = peer->second.transport;
    }
    if (!remote) {
      events_.push(StreamAnswer{request, std::unexpected(remote.error())});
      return;
    }
    auto& parts = opening.mapped();
    const auto id = add_stream(parts.given_up);
    by_request_.emplace(request, id);
    OwnStream stream;
    stream.remote = *remote;
    stream.peer = key;
    stream.near = std::move(parts.near);
    stream.far = std::move(parts.far);
    stream.given_up = parts.given_up;
    own_streams_.emplace(id, std::move(stream));
    events_.push(StreamAnswer{request, RawStream{id, std::move(parts.ours), std::move(transport)}});
  }

  void pump() {
    std::vector<std::pair<std::uint64_t, StreamEnd>> ended;
    for (auto& [id, stream] : own_streams_) {
      stream.there.step(stream.near.get(), stream.far.get(), *stream.given_up);
      stream.back.step(stream.far.get(), stream.near.get(), *stream.given_up);
      const auto is = [&stream](Copier::State one, Copier::State other) {
        return stream.there.state() == one || stream.back.state() == other;
      };
      if (is(Copier::State::broken, Copier::State::broken)) {
        ended.emplace_back(id, StreamEnd::reset);
      } else if (!is(Copier::State::open, Copier::State::open)) {
        ended.emplace_back(id, StreamEnd::clean);
      }
    }
    for (const auto& [id, end] : ended) end_own_stream(id, end);
  }

  void end_own_stream(std::uint64_t id, StreamEnd end) {
    const auto stream = own_streams_.extract(id);
    if (stream.empty()) return;
    remove_stream(id);
    std::erase_if(by_request_, [id](const auto& entry) { return entry.second == id; });
    const auto& key = stream.mapped().peer;
    events_.push(Event(StreamClosed{id, key, end}));
    const auto peer = peers_.find(key);
    if (peer == peers_.end()) return;
    const auto& node = peer->second.hello.node;
    node->post([node = node.get(), remote = stream.mapped().remote, end] { node->on_stream_ended(remote, end); });
  }

  void on_stream_ended(std::uint64_t id, StreamEnd end) {
    const auto stream = taken_streams_.extract(id);
    if (stream.empty()) return;
    remove_stream(id);
    events_.push(Event(StreamClosed{id, stream.mapped().peer, end}));
  }

  void on_reset(std::uint64_t id) {
    if (own_streams_.contains(id)) return end_own_stream(id, StreamEnd::reset);
    const auto taken = taken_streams_.find(id);
    if (taken == taken_streams_.end()) return;
    const auto peer = peers_.find(taken->second.peer);
    if (peer == peers_.end()) return;
    const auto& node = peer->second.hello.node;
    node->post([node = node.get(), request = taken->second.remote] { node->on_reset_asked(request); });
  }

  void on_reset_asked(std::uint64_t request) {
    const auto stream = by_request_.find(request);
    if (stream != by_request_.end()) end_own_stream(stream->second, StreamEnd::reset);
  }

  // Doctor.

  void on_doctor(std::uint64_t request, const std::optional<PublicKey>& key, std::vector<Address> addresses) {
    const auto run = std::make_shared<DoctorRun>();
    run->report.peer = key;
    run->report.already_connected = key && peers_.contains(*key);
    if (key && addresses.empty() && book_.contains(*key)) {
      for (const auto& text : book_.at(*key)) {
        if (auto address = parse_address(text)) addresses.push_back(std::move(*address));
      }
    }
    if (key == key_) {
      run->report.attempts.push_back({"", Reach::wrong_peer, "this is the node itself"});
      addresses.clear();
    } else if (addresses.empty()) {
      run->report.attempts.push_back({"", Reach::no_addresses, "no address of the peer is known; name one"});
    }
    const auto end = [this, request, run] {
      if (run->open-- > 1) return;
      std::ranges::sort(run->report.attempts, {}, &Attempt::address);
      events_.push(DoctorAnswer{request, std::move(run->report)});
    };
    run->open = addresses.size() + 1;
    for (const auto& address : addresses) {
      connect(address, key, Found::dialed,
              [run, end, text = address.text](Reach reach, const std::string& why, const PublicKey* peer) {
                run->report.attempts.push_back({text, reach, why});
                if (reach == Reach::connected) run->report.peer = *peer;
                end();
              });
    }
    end();
  }

  struct Opening {
    Fd ours;
    Fd near;
    Fd far;
    GivenUp given_up;
  };

  const Config config_;
  const PublicKey key_;
  std::vector<std::string> own_addresses_;  ///< does not change once the thread has started
  EventQueue events_;
  const Fd inbox_wake_;
  std::atomic<bool> holding_ = false;

  // The owner's.
  std::uint64_t last_request_ = 0;
  std::set<Bytes> provided_;
  std::thread thread_;

  std::mutex mutex_;  ///< of the next four
  std::deque<Task> inbox_;
  bool closed_ = false;
  std::map<PublicKey, Outbox> outboxes_;
  std::map<std::uint64_t, GivenUp> given_up_;

  // The node's own thread's.
  bool closing_ = false;
  std::map<PublicKey, Peer> peers_;
  std::map<PublicKey, std::vector<std::string>> book_;
  std::map<std::uint64_t, Dial> dials_;
  std::map<PublicKey, std::vector<WithPeer>> waiting_;
  std::map<PublicKey, std::set<PublicKey>> searched_;  ///< and who has yet to say where that peer is
  std::map<Bytes, bool> own_keys_;  ///< and whether anybody was told
  std::size_t announced_ = 0;
  std::map<Bytes, std::map<PublicKey, std::vector<std::string>>> stored_;
  std::map<std::uint64_t, Find> finds_;
  std::vector<Bootstrap> bootstrap_;
  std::deque<Held> held_;
  std::unordered_set<GossipId> seen_;
  std::deque<GossipId> seen_order_;
  std::unordered_map<GossipId, Unjudged> unjudged_;
  std::deque<GossipId> unjudged_order_;
  std::map<std::uint64_t, Opening> opening_;
  std::map<std::uint64_t, OwnStream> own_streams_;
  std::map<std::uint64_t, std::uint64_t> by_request_;
  std::map<std::uint64_t, TakenStream> taken_streams_;
  std::uint64_t last_stream_ = 0;
  std::uint64_t last_ping_ = 0;
};

class LocalBridge final : public Bridge {
 public:
  explicit LocalBridge(std::shared_ptr<Node> node) : node_(std::move(node)) {}
  ~LocalBridge() override { node_->stop(); }

  PublicKey self() const override { return node_->key(); }
  std::vector<std::string> listen_addresses() const override { return node_->listen_addresses(); }
  bool drain(std::size_t max, std::vector<BridgeEvent>& out) override { return node_->drain(max, out); }
  Result<std::uint64_t> publish(Topic topic, ByteView bytes) override { return node_->publish(topic, bytes); }
  void judge(const GossipId& id, Verdict verdict) override { node_->judge(id, verdict); }
  Result<std::uint64_t> send(const PublicKey& peer, std::string_view protocol, ByteView bytes) override {
    return node_->send(peer, protocol, bytes);
  }
  Result<std::uint64_t> open_stream(const PublicKey& peer, std::string_view protocol,
                                    std::string_view preferred) override {
    return node_->open_stream(peer, protocol, preferred);
  }
  Result<std::uint64_t> connect_by(const PublicKey& peer, std::string_view transport) override {
    return node_->connect_by(peer, transport);
  }
  void reset_stream(std::uint64_t stream) override { node_->reset_stream(stream); }
  Result<std::uint64_t> dial(std::string_view address) override { return node_->dial(address); }
  void disconnect(const PublicKey& peer) override { node_->disconnect(peer); }
  Result<std::uint64_t> ping(const PublicKey& peer) override { return node_->ping(peer); }
  Result<std::uint64_t> doctor(std::string_view target) override { return node_->doctor(target); }
  Status provide(ByteView key) override { return node_->provide(key); }
  void stop_providing(ByteView key) override { node_->stop_providing(key); }
  Result<std::uint64_t> find_providers(ByteView key) override { return node_->find_providers(key); }
  void stop() override { node_->stop(); }

 private:
  const std::shared_ptr<Node> node_;
};

}  // namespace

Result<std::unique_ptr<Bridge>> make_bridge(const Config& config, Fd wake) {
  Fd inbox_wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (inbox_wake.get() < 0) return fail(ErrorCode::exhausted, "no event descriptor for the network");
  const auto node = std::make_shared<Node>(config, std::move(wake), std::move(inbox_wake));
  MESH_TRY(node->listen());
  node->start();
  return std::make_unique<LocalBridge>(node);
}

}  // namespace mesh::p2p
