// The loop that carries a Node through its adapters: what happens outside becomes events, what the node decides is
// carried out. One thread (io()) runs the node and everything that touches it; the network, the store, the sandbox and
// the bulk transfers have threads of their own and post to it.
//
// Unless a member says otherwise it is to be called on the runtime's thread: in a handler that runs on io(), or through
// post() or call().
//
// Bounds: those of Settings and of what it owns. What can go wrong: start() says what the way out is (home held by another
// process, key readable by others, port taken, newer schema ...). Later a store that cannot write (disk full) makes
// health() not ready: nothing is acknowledged to anybody, what peers say is dropped, and the store tries until it can.
#pragma once

#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "adapters/sealing/sealing.h"
#include "adapters/store/block_store.h"
#include "adapters/store/node_store.h"
#include "adapters/store/shares.h"
#include "adapters/wasm/sandbox.h"
#include "app/runtime/dht.h"
#include "app/runtime/downloads.h"
#include "app/runtime/enrolment.h"
#include "app/runtime/event_log.h"
#include "app/runtime/key_file.h"
#include "app/runtime/pacer.h"
#include "app/runtime/pins.h"
#include "node/node.h"

namespace boost::asio {
class io_context;
}
namespace mesh::p2p {
class Network;
}

namespace mesh::app {

class ChainHost;
class ContentExchange;

/// The reason for which added content is declared (BlockStore::declare).
inline constexpr std::string_view added_reason = "asset";

/// Whether this node carries connections for peers that cannot be dialed: automatically while it can be dialed itself.
enum class Relaying : std::uint8_t { automatic, on, off };

struct Settings {
  std::filesystem::path home;  ///< database, blocks, key; made 0700 if absent
  std::filesystem::path key_file;  ///< empty: home/node.key. 64 hexadecimal digits, 0600; drawn if absent
  std::filesystem::path compile_cache;  ///< compiled code; empty: home/compiled. May be shared by nodes of one user
  std::string federation = "local";  ///< of a home that is in a federation with a ledger: its name, or "local"
  std::vector<std::string> listen;  ///< multiaddrs; empty: the network's defaults (TCP, QUIC, WebSocket on any port)
  std::vector<std::string> bootstrap;  ///< multiaddrs with /p2p
  bool mdns = true;
  Relaying relay = Relaying::automatic;
  unsigned slots = 0;  ///< runs at a time; 0 = one per core
  std::uint64_t memory_mb =
      0;  ///< MiB of one task at most; 0 = half of the machine's memory shared by the slots, at least 512
  bool accepts_work = true;
  market::PricingSettings pricing;
  std::string owner;  ///< did; empty = the node itself
  std::string agent;  ///< empty: "meshwork/<version>"
  std::uint64_t block_quota_bytes = std::uint64_t{64} << 30;  ///< of all blocks; past it nothing more is kept
  std::uint64_t cache_bytes = std::uint64_t{8} << 30;  ///< of blocks that nothing declared needs; past it the oldest go
  std::uint64_t fetched_quota_bytes =
      0;  ///< of files that were fetched; past it those used least recently go; 0 = none
  Pacer::Rates rates;  ///< of content
  std::vector<asset::Share> shares;  ///< folders whose files others may have
  bool zephymesh = false;  ///< speak the protocols of ZephyMesh nodes, too (zephymesh.h)
  std::vector<std::string> compile_command = {"/proc/self/exe", "internal-compile"};  ///< see wasm::Config
  /// Makes the sandbox; empty: wasm::Sandbox::create. For test programs that link an engine of their own; no setting,
  /// flag or variable reaches it.
  std::function<Result<std::unique_ptr<wasm::Sandbox>>(wasm::Config)> make_sandbox;
  /// Sees every event before the node takes it, and may change what the node decided before it is carried out; on the
  /// runtime's thread. For test programs that act as dishonest nodes; no setting, flag or variable reaches them.
  std::function<void(const node::Event&)> inspect_event;
  std::function<void(node::Effects&)> inspect_effects;
};

/// Whether the node can do its work, for /readyz.
struct Health {
  bool ready = true;
  std::string reason;  ///< one sentence if not
};

/// A peer as the transport and the node know it.
struct PeerLine {
  identity::NodeId node;
  bool connected = false;
  std::string address;  ///< multiaddr of the (latest) connection
  std::string transport;  ///< "tcp", "quic", "ws", "relay"
  std::string found;  ///< "mdns", "kademlia", "bootstrap", "inbound", "dialed"
  bool outbound = false;
  std::string agent;  ///< from identify; empty until it came
  Duration round_trip{0};  ///< smoothed; 0 until measured
  Duration jitter{0};
  std::string penalty;  ///< why it wins no awards for a while; empty = none
  std::optional<node::PeerInfo> info;
};

/// A file that a peer shares.
struct PeerAsset {
  identity::NodeId node;
  asset::Asset asset;
};

struct PeerAssets {
  std::vector<PeerAsset> assets;
  bool is_all = true;  ///< no peer has more
};

struct Counters {
  std::uint64_t events = 0;  ///< taken by the node
  std::uint64_t executions = 0, executions_failed = 0;  ///< begun; ended by an error of this host
  std::uint64_t fuel = 0;  ///< of all ended executions
  std::uint64_t blocks_served = 0, bytes_served = 0, blocks_fetched = 0, bytes_fetched = 0;
  std::uint64_t bad_blocks = 0;  ///< that peers sent
  std::uint64_t commits = 0, commits_failed = 0;
  std::uint64_t messages_sent = 0, messages_failed = 0, messages_received = 0;
  std::uint64_t messages_dropped = 0;  ///< of those received: the disk did not keep up
  std::uint64_t gossip_received = 0, gossip_rejected = 0, gossip_published = 0;
  std::uint64_t executions_running = 0;
};

class Runtime {
 public:
  /// Opens the home, starts the network, replays the journal and starts the threads. Blocks; when it returns the node
  /// listens. Errors: storage, conflict (home held, port taken), denied (key file readable by others), invalid (settings),
  /// unsupported (newer schema).
  [[nodiscard]] static Result<std::unique_ptr<Runtime>> start(Settings settings);
  /// stop()
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Ends runs and transfers, writes what is queued, joins the threads. Any thread but the runtime's own; twice is once.
  /// Callbacks that have not been called by then are destroyed uncalled.
  void stop();

  /// The thread's queue. A server put on it (http::Server) must be destroyed on it, or after stop().
  [[nodiscard]] boost::asio::io_context& io();
  /// Runs `work` on the runtime's thread. Any thread.
  void post(std::move_only_function<void()> work);
  /// Runs `work` on the runtime's thread and waits for its value. Any thread but the runtime's own, before stop().
  template <class Work>
  [[nodiscard]] auto call(Work work) -> std::invoke_result_t<Work> {
    using Value = std::invoke_result_t<Work>;
    std::packaged_task<Value()> task(std::move(work));
    std::future<Value> value = task.get_future();
    post([task = std::move(task)]() mutable { task(); });
    return value.get();
  }
  /// Runs `work` on the thread for disk work (imports, exports, large reads), in order. Any thread.
  void post_bulk(std::move_only_function<void()> work);

  // ---- Doing. Callbacks come on the runtime's thread.

  /// Makes a job of the spec, whose function and shard list are in blocks() already. The callback gets its id once it is
  /// durable, or why it cannot be.
  void submit(node::JobSpec spec, std::move_only_function<void(Result<Cid>)> done);
  /// What submit would answer now, changing nothing.
  [[nodiscard]] Status check_submit(const node::JobSpec& spec) const;
  [[nodiscard]] std::vector<node::Prospect> prospects(const node::JobSpec& spec) const;
  /// not_found for an unknown job, conflict for one that has ended. Success once the stop is durable.
  void stop_job(const Cid& job, std::move_only_function<void(Status)> done);
  void offer_by_hand(const Cid& intent, std::uint64_t cost, std::move_only_function<void(Status)> done);
  /// Brings the DAG below `root` here from `holders` (empty: all connected peers, each asked in turn, then those that
  /// the DHT names): from Meshwork's nodes by their own protocol, from others by Bitswap.
  void fetch(const Cid& root, std::vector<identity::NodeId> holders, Duration limit,
             std::move_only_function<void(Status)> done);
  /// Fetches a file as fetch() does, to a place of its own, and keeps it (downloads.h), to be served on to its class.
  void download(Downloads::Wanted wanted, Downloads::Done done);
  /// Every download there is and was of late.
  void transfers(std::move_only_function<void(std::vector<Downloads::View>)> done) const;
  enum class TransferOrder : std::uint8_t { pause, resume, cancel };
  /// `done` hears not_found if there is no such download, or it has ended.
  void order_transfer(const Cid& root, TransferOrder order, std::move_only_function<void(Status)> done);
  /// Keeps content that is here or being fetched to a file, whatever room is wanted for (pins.h). Errors: not_found, exhausted,
  /// storage.
  void pin(const Cid& root, std::move_only_function<void(Status)> done);
  /// Errors: not_found, storage.
  void unpin(const Cid& root, std::move_only_function<void(Status)> done);
  /// By CID. Any thread.
  [[nodiscard]] std::vector<Pins::Pin> pins() const;
  /// What was added (POST /api/v1/assets) is served no more, and goes once room is needed. Errors: not_found, storage.
  void remove_asset(const Cid& root, std::move_only_function<void(Status)> done);
  /// Somebody reads it for as long as this lives: it does not go. Any thread.
  [[nodiscard]] FetchedFiles::Use use(const Cid& root);
  /// Files that connected peers share, so many of each at most (manifest_exchange.h). Any thread.
  [[nodiscard]] PeerAssets find_at_peers(const asset::AssetQuery& query, std::size_t per_peer) const;
  /// Who says in the DHT that it has this root, once their manifests have come or three seconds have passed.
  void find_in_dht(const Cid& root, std::move_only_function<void(const Dht::Found&)> done);
  /// Roots that this node provides in the DHT.
  struct Announced {
    std::size_t roots = 0;  ///< of files that everybody may have
    std::size_t announced = 0;  ///< of which somebody has been told
    std::size_t left_out = 0;  ///< past the bound
  };
  [[nodiscard]] Announced announced() const;
  /// Whether a file with this root is shared with everybody, and is still there.
  [[nodiscard]] bool is_for_everybody(const Cid& root);
  /// Adds a file or folder where it lies (store/shares.h, add), and remembers that. `visibility` absent: it is for whoever
  /// knows its root, and listed nowhere. `path` is absolute. Errors: those of store::Shares::add, storage.
  void add_in_place(std::string path, std::optional<asset::Visibility> visibility,
                    std::move_only_function<void(Result<store::Shares::Added>)> done);
  /// Stops sharing what was added there. Error: not_found.
  void remove_in_place(std::string path, std::move_only_function<void(Status)> done);
  /// Looks at every shared file again (store/shares.h).
  void refresh_shares(std::move_only_function<void(const Result<store::Shares::Refreshed>&)> done);
  /// Opens what is sealed for this node. Any thread.
  [[nodiscard]] sealing::Opener opener(sealing::Sink sink) const;
  /// The terms of an invitation (enrolment.h); the token that it gives.
  void invite(const InvitationTerms& terms, std::move_only_function<void(Result<std::string>)> done);
  /// This node's replica of its federation's chain; null where the federation has no ledger.
  [[nodiscard]] ChainHost* ledger();
  /// Adds a fact to the story (an API that starts or stops, ...).
  void notice(node::Notice notice);

  // ---- Looking.

  [[nodiscard]] const node::Node& node() const;
  [[nodiscard]] EventLog& events();
  [[nodiscard]] std::vector<PeerLine> peers() const;
  [[nodiscard]] Health health() const;
  [[nodiscard]] Counters counters() const;
  /// Multiaddrs with /p2p where this node listens.
  [[nodiscard]] std::vector<std::string> listen_addresses() const;
  /// Wall time of the start, and how often this home was started.
  [[nodiscard]] std::int64_t started_ms() const;
  [[nodiscard]] std::uint64_t boot() const;

  // ---- Parts. The stores are thread-safe.

  [[nodiscard]] store::NodeStore& store();
  [[nodiscard]] store::BlockStore& blocks();
  [[nodiscard]] const store::Shares& shares() const;
  [[nodiscard]] wasm::Sandbox& sandbox();
  /// dial, ping, doctor: see adapters/p2p/network.h.
  [[nodiscard]] p2p::Network& network();
  [[nodiscard]] const Settings& settings() const;

 private:
  class Impl;
  explicit Runtime(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::app
