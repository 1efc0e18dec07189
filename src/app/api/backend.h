// What the HTTP API needs of a running node: a port, so that the API is tested without a network or a sandbox.
// RuntimeBackend (runtime_backend.h) is the one that the program uses.
//
// Everything but post_bulk is called on the runtime's thread, and callbacks come there.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "adapters/sealing/sealing.h"
#include "adapters/store/block_store.h"
#include "adapters/store/node_store.h"
#include "app/runtime/chain_host.h"
#include "app/runtime/event_log.h"
#include "app/runtime/import.h"
#include "app/runtime/runtime.h"
#include "node/node.h"

namespace mesh::app {

/// What trying one address of a peer came to.
struct ReachAttempt {
  std::string address;
  std::string outcome;  ///< "connected", "refused", "timed-out", ...
  std::string text;     ///< one sentence
};
struct ReachReport {
  std::string peer;     ///< PeerId, empty when not known
  bool already_connected = false;
  std::vector<ReachAttempt> attempts;
};

/// How this node is reached (p2p::NetworkStatus). Times are milliseconds since 1970.
struct ReachStatus {
  struct Relay {
    identity::NodeId peer;
    std::string address;
    bool held = false;
    std::string text;  ///< how that came to be
    std::int64_t since_ms = 0;
  };
  struct HolePunch {
    identity::NodeId peer;
    bool done = false;
    std::string text;
    std::int64_t at_ms = 0;
  };
  std::string reachability;  ///< "unknown", "public" or "private"
  std::int64_t since_ms = 0;
  std::string address;  ///< where peers reached it; empty unless public
  std::string text;  ///< how that is known
  bool relaying = false;
  std::vector<Relay> relays;
  std::vector<HolePunch> hole_punches;
};

/// What the routes of the ledger need of it.
class LedgerBackend {
 public:
  virtual ~LedgerBackend() = default;

  [[nodiscard]] virtual boost::asio::io_context& io() = 0;
  /// Runs `work` on the thread for disk work.
  virtual void post_bulk(std::move_only_function<void()> work) = 0;
  /// Runs `work` on the runtime's thread. Any thread.
  virtual void post(std::move_only_function<void()> work) = 0;
  [[nodiscard]] virtual std::string federation_name() const = 0;
  /// Null: the federation has no ledger.
  [[nodiscard]] virtual ChainHost* ledger() = 0;
  /// Why the account's key had better not be another now: jobs-open (conflict).
  [[nodiscard]] virtual Status check_rotation() const = 0;
  /// The key that is to be the node's next one: the same until it is, or is dropped. On the thread for disk work. Errors: those of
  /// app::next_key, app::drop_next_key.
  [[nodiscard]] virtual Result<Seed> next_key() = 0;
  [[nodiscard]] virtual Status drop_next_key() = 0;
};

class Backend : public LedgerBackend {
 public:
  [[nodiscard]] virtual identity::NodeId id() const = 0;
  [[nodiscard]] virtual Cid federation() const = 0;
  [[nodiscard]] virtual std::vector<Cid> jobs() const = 0;  ///< newest last
  [[nodiscard]] virtual std::optional<node::JobView> job(const Cid& id) const = 0;
  [[nodiscard]] virtual std::vector<node::ShardView> shards(const Cid& id, std::uint32_t first,
                                                            std::uint32_t count) const = 0;
  [[nodiscard]] virtual std::vector<std::pair<Cid, Cid>> results(const Cid& id) const = 0;
  [[nodiscard]] virtual std::vector<Envelope> story(const Cid& id) const = 0;
  [[nodiscard]] virtual ledger::PaymentPart payment_part(const Cid& id) const = 0;
  [[nodiscard]] virtual std::vector<node::Node::IntentView> intents() const = 0;
  [[nodiscard]] virtual node::PeerInfo own_info() const = 0;
  [[nodiscard]] virtual std::pair<std::size_t, std::size_t> load() const = 0;
  [[nodiscard]] virtual std::vector<PeerLine> peers() const = 0;
  [[nodiscard]] virtual Health health() const = 0;
  [[nodiscard]] virtual Counters counters() const = 0;
  [[nodiscard]] virtual std::vector<std::string> listen_addresses() const = 0;
  [[nodiscard]] virtual ReachStatus reach_status() const = 0;
  [[nodiscard]] virtual std::int64_t started_ms() const = 0;
  [[nodiscard]] virtual std::uint64_t boot() const = 0;
  [[nodiscard]] virtual std::string home() const = 0;
  [[nodiscard]] virtual std::uint64_t blocks_count() const = 0;
  [[nodiscard]] virtual std::uint64_t blocks_bytes() const = 0;

  virtual void submit(node::JobSpec spec, std::move_only_function<void(Result<Cid>)> done) = 0;
  [[nodiscard]] virtual Status check_submit(const node::JobSpec& spec) const = 0;
  [[nodiscard]] virtual std::vector<node::Prospect> prospects(const node::JobSpec& spec) const = 0;
  virtual void stop_job(const Cid& job, std::move_only_function<void(Status)> done) = 0;
  virtual void offer_by_hand(const Cid& intent, std::uint64_t cost, std::move_only_function<void(Status)> done) = 0;
  virtual void fetch(const Cid& root, std::vector<identity::NodeId> holders, Duration limit,
                     std::move_only_function<void(Status)> done) = 0;
  virtual void download(Downloads::Wanted wanted, Downloads::Done done) = 0;
  virtual void transfers(std::move_only_function<void(std::vector<Downloads::View>)> done) const = 0;
  virtual void order_transfer(const Cid& root, Runtime::TransferOrder order,
                              std::move_only_function<void(Status)> done) = 0;
  virtual void pin(const Cid& root, std::move_only_function<void(Status)> done) = 0;
  virtual void unpin(const Cid& root, std::move_only_function<void(Status)> done) = 0;
  [[nodiscard]] virtual std::vector<Pins::Pin> pins() const = 0;
  virtual void remove_asset(const Cid& root, std::move_only_function<void(Status)> done) = 0;
  [[nodiscard]] virtual FetchedFiles::Use use(const Cid& root) = 0;
  /// Files that peers share; thread-safe.
  [[nodiscard]] virtual PeerAssets find_at_peers(const asset::AssetQuery& query, std::size_t per_peer) const = 0;
  virtual void add_in_place(std::string path, std::optional<asset::Visibility> visibility,
                            std::move_only_function<void(Result<store::Shares::Added>)> done) = 0;
  virtual void remove_in_place(std::string path, std::move_only_function<void(Status)> done) = 0;
  virtual void find_in_dht(const Cid& root, std::move_only_function<void(const Dht::Found&)> done) = 0;
  [[nodiscard]] virtual Runtime::Announced announced() const = 0;
  virtual void refresh_shares(std::move_only_function<void(const Result<store::Shares::Refreshed>&)> done) = 0;
  virtual void invite(InvitationTerms terms, std::move_only_function<void(Result<std::string>)> done) = 0;
  virtual void dial(std::string address, std::move_only_function<void(Result<identity::NodeId>)> done) = 0;
  virtual void ping(const identity::NodeId& peer, std::move_only_function<void(Result<Duration>)> done) = 0;
  virtual void reach(std::string target, std::move_only_function<void(Result<ReachReport>)> done) = 0;

  [[nodiscard]] virtual EventLog& events() = 0;
  [[nodiscard]] virtual store::NodeStore& store() = 0;  ///< thread-safe
  [[nodiscard]] virtual store::BlockStore& blocks() = 0;  ///< thread-safe
  [[nodiscard]] virtual const store::Shares& shares() const = 0;  ///< thread-safe
  /// Opens what is sealed for this node. On any thread.
  [[nodiscard]] virtual sealing::Opener opener(sealing::Sink sink) const = 0;
  /// Whether a file with this root is shared with everybody.
  [[nodiscard]] virtual bool is_for_everybody(const Cid& root) = 0;
  /// make_function of import.h over this node's stores. On any thread.
  [[nodiscard]] virtual Result<ImportedFunction> make_function(const Program& program,
                                                               const std::vector<std::string>& args) = 0;
};

}  // namespace mesh::app
