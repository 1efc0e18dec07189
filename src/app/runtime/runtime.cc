#include "app/runtime/runtime.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "adapters/p2p/network.h"
#include "app/runtime/bitswap.h"
#include "app/runtime/chain_host.h"
#include "app/runtime/content.h"
#include "app/runtime/dht.h"
#include "app/runtime/executor.h"
#include "app/runtime/garbage.h"
#include "app/runtime/host.h"
#include "app/runtime/manifest_exchange.h"
#include "app/runtime/reach.h"
#include "app/runtime/share_keeper.h"
#include "app/runtime/signature_checker.h"
#include "app/runtime/zephymesh.h"
#include "base/check.h"

namespace mesh::app {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

namespace {

constexpr std::string_view boot_key = "node/boot";
constexpr std::string_view added_prefix = "added/";
constexpr std::string_view reason_prefix = "task:";
constexpr std::size_t max_unjudged = 65'536;
constexpr std::size_t max_queued_batches = 65'536;
// A shorter message has few signatures: to pass it to another thread and back takes as long as to check them here.
constexpr std::size_t checked_apart_bytes = 2048;
constexpr auto garbage_first = std::chrono::minutes(1);
constexpr auto garbage_interval = std::chrono::hours(1);
constexpr auto storage_notice_interval = std::chrono::seconds(10);
constexpr Duration dht_limit = seconds(12);  // The network ends a search after ten.
constexpr Duration manifest_limit = seconds(3);  // For the manifest of a peer that the DHT named.
constexpr Duration manifest_look = milliseconds(50);
constexpr Dht::Limits dht_limits;
constexpr std::array<std::string_view, 3> channel_protocols{"/meshwork/offer/1", "/meshwork/award/1",
                                                            "/meshwork/receipt/1"};

std::optional<node::Channel> channel_of(std::string_view protocol) {
  const auto found = std::ranges::find(channel_protocols, protocol);
  if (found == channel_protocols.end()) return std::nullopt;
  return static_cast<node::Channel>(found - channel_protocols.begin());
}

/// A declared root's reason: at most 64 bytes, which an intent's CID just fits.
std::string reason_of(const Cid& intent) { return std::string(reason_prefix) + intent.text(); }

std::string story_of(const ShareKeeper::Refreshed& done) {
  if (!done) return "what is shared could not be looked at: " + done.error().message;
  std::string text = fmt::format("{} files ({} bytes) are shared; {} of them ({} bytes) had to be read", done->files,
                                 done->bytes, done->read_files, done->read_bytes);
  if (done->problem_count == 0) return text;
  const store::Shares::Problem& first = done->problems.front();
  return text + fmt::format("; {} left out, such as {} in share {}: {}", done->problem_count,
                            first.path.empty() ? "the folder" : first.path, first.share, first.why);
}

node::TransferProgress progress_of(const Downloads::View& view) {
  return {.root = view.root,
          .path = view.path,
          .bytes = view.bytes,
          .bytes_here = view.bytes_here,
          .bytes_per_s = view.bytes_per_s(),
          .holders = static_cast<std::uint32_t>(view.holders.size())};
}

/// What was added where it lies, as the store remembers it.
struct AddedPath {
  static constexpr std::string_view type = "added-path";
  static constexpr std::uint64_t version = 1;

  std::string path;  ///< absolute
  std::optional<asset::Visibility> visibility;  ///< absent: whoever knows the root

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("path", self.path);
    v("visibility", self.visibility);
  }
};

std::string key_of(const AddedPath& added) { return std::string(added_prefix) + asset::added_share_name(added.path); }

/// Errors: invalid (no absolute path, or not in its shortest form).
Result<asset::Share> share_of(const AddedPath& added) {
  const std::filesystem::path path(added.path);
  if (!path.is_absolute() || path.lexically_normal() != path || !path.has_filename())
    return fail(ErrorCode::invalid, fmt::format("{} is no absolute path in its shortest form", added.path));
  std::error_code failed;
  const bool is_folder = std::filesystem::is_directory(std::filesystem::symlink_status(path, failed));
  return asset::Share{.name = asset::added_share_name(added.path),
                      .folder = is_folder ? added.path : path.parent_path().string(),
                      .visibility = added.visibility.value_or(asset::Visibility::everybody),
                      .include = {},
                      .exclude = {},
                      .is_added = true,
                      .file = is_folder ? "" : path.filename().string(),
                      .is_listed = added.visibility.has_value()};
}

Result<std::vector<asset::Share>> load_added(const store::NodeStore& store) {
  std::vector<asset::Share> all;
  MESH_LET(const auto pairs, store.scan(added_prefix, store::Shares::max_added));
  for (const auto& [key, value] : pairs) {
    MESH_LET(const AddedPath added, record::decode<AddedPath>(value));
    MESH_LET(asset::Share share, share_of(added));
    all.push_back(std::move(share));
  }
  return all;
}

std::filesystem::path fetched_folder(const std::filesystem::path& home) { return home / "fetched"; }

/// What was fetched, and is served on, as shares; their folders are made.
Result<std::vector<asset::Share>> make_fetched_shares(const std::filesystem::path& home) {
  std::vector<asset::Share> all;
  for (const asset::Visibility visibility :
       {asset::Visibility::lan, asset::Visibility::federation, asset::Visibility::everybody}) {
    const std::filesystem::path folder = Downloads::folder_of(fetched_folder(home), visibility);
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error)
      return fail(ErrorCode::storage,
                  fmt::format("the folder {} cannot be made: {}", folder.string(), error.message()));
    all.push_back({.name = asset::fetched_share_name(visibility),
                   .folder = std::filesystem::absolute(folder).string(),
                   .visibility = visibility,
                   .include = {},
                   .exclude = {},
                   .is_fetched = true});
  }
  return all;
}

Result<std::uint64_t> next_boot(store::NodeStore& store) {
  MESH_LET(const std::optional<Bytes> known, store.get(boot_key));
  std::uint64_t boot = 0;
  if (known) {
    if (known->size() != 8)
      return fail(ErrorCode::storage, "the store's count of starts does not read; restore the home from a backup");
    for (const std::uint8_t byte : *known) boot = boot << 8 | byte;
  }
  boot = (boot + 1) & ((1U << 21) - 1);  // Event numbers carry it and have to fit a JavaScript number.
  store::WriteBatch batch;
  const std::array<std::uint8_t, 8> bytes = big_endian(boot);
  batch.put.emplace_back(boot_key, Bytes(bytes.begin(), bytes.end()));
  MESH_TRY(store.commit_and_wait(std::move(batch)));
  return boot;
}

}  // namespace

class Runtime::Impl final : public StreamOpener {
 public:
  explicit Impl(Settings given) : settings(std::move(given)) {}

  Settings settings;
  Seed seed;
  std::vector<Seed> former;  ///< that were the node's, the latest first
  // The queues outlive what posts to them.
  asio::io_context io{1};
  asio::io_context bulk{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> io_work, bulk_work;

  std::unique_ptr<store::NodeStore> store;
  std::unique_ptr<store::BlockStore> blocks;
  std::unique_ptr<node::Node> node;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<store::Shares> shares;
  std::unique_ptr<ContentExchange> content;
  std::unique_ptr<BitswapExchange> bitswap;
  std::unique_ptr<ShareKeeper> keeper;
  std::unique_ptr<ManifestExchange> manifests;
  std::unique_ptr<Pins> pins;
  std::shared_ptr<FetchedFiles> fetched;
  std::unique_ptr<Dht> dht;
  std::unique_ptr<Downloads> downloads;
  std::unique_ptr<ZephyMeshStreams> zephymesh;
  std::unique_ptr<wasm::Sandbox> sandbox;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<p2p::Network> network;
  std::unique_ptr<ChainHost> chain;  ///< none: the federation has no ledger
  std::unique_ptr<Enrolment> enrolment;
  std::unique_ptr<SignatureChecker> checker;
  std::size_t checking = 0;  ///< of what the network told, with the checker or on its way back
  std::thread io_thread, bulk_thread, measure_thread;

  std::unique_ptr<asio::steady_timer> tick_timer, garbage_timer;
  std::optional<Instant> tick_at;
  Clock::time_point began = Clock::now();
  std::int64_t started_at_ms = 0;
  std::uint64_t boot = 0;
  bool stopping = false;  // On the runtime's thread.
  std::once_flag stopped;
  Health health;
  bool halted = false;  ///< takes no event any more
  std::optional<Clock::time_point> storage_trouble;  ///< the store cannot write; when that was last told
  std::uint64_t commits_begun = 0, commits_ended = 0;
  std::deque<std::pair<std::uint64_t, node::Effects>>
      behind;  ///< what waits for a commit of that number, and writes nothing
  Health lasting;  ///< what it is without that
  Counters counters;
  std::uint64_t next_gossip = 1;
  std::map<std::uint64_t, p2p::GossipId> unjudged;
  std::map<Cid, std::set<Cid>> declared_for;

  /// Answers a caller once all that its step asked to persist is on the disk.
  struct Promise {
    std::size_t pending = 1;  // One for the step itself, so that it cannot be done before it is over.
    Status status;
    std::move_only_function<void(Status)> done;
    void release() {
      if (--pending == 0 && done) done(std::move(status));
    }
    void fail(const Error& error) {
      if (auto tell = std::exchange(done, {})) tell(std::unexpected(error));
    }
  };
  using PromisePointer = std::shared_ptr<Promise>;
  std::vector<std::weak_ptr<Promise>> promises;  ///< that were not kept yet

  [[nodiscard]] Instant now() const { return Instant(std::chrono::duration_cast<Duration>(Clock::now() - began)); }

  // ---- Start.

  Status open() {
    const HostResources host = detect_host();
    if (settings.slots == 0) settings.slots = host.cores;
    if (settings.memory_mb == 0)
      settings.memory_mb = std::max<std::uint64_t>(512, (host.memory_bytes >> 21) / settings.slots);
    if (settings.agent.empty()) settings.agent = "meshwork/" MESH_VERSION;
    if (settings.key_file.empty()) settings.key_file = settings.home / key_file_name;
    if (settings.compile_cache.empty()) settings.compile_cache = settings.home / "compiled";
    if (!settings.owner.empty()) {
      if (const auto owner = identity::parse_node(settings.owner); !owner) return wrap("the owner", owner.error());
    }
    const policy::MeshPolicy policy;
    MESH_LET(const std::optional<Founding> founding, load_founding(settings.home));
    if (founding && settings.federation != Settings().federation && settings.federation != founding->charter.name)
      return fail(
          ErrorCode::conflict,
          fmt::format("this home is in the federation {}: it cannot be told to be in {}; a node of another one needs a "
                      "home of its own (--home)",
                      founding->charter.name, settings.federation));
    MESH_LET(const Cid federation, founding ? Result<Cid>(federation_of(*founding))
                                            : identity::derive_federation(settings.federation, policy::cid_of(policy)));
    if (founding) settings.federation = founding->charter.name;

    // A step may persist and declare for each of thousands of shards; the writer takes all that waits in one go.
    MESH_LET(store, store::NodeStore::open(
                        settings.home, {.max_queued_batches = max_queued_batches, .on_trouble = [this](Status status) {
                                          post([this, status = std::move(status)] { on_storage(status); });
                                        }}));
    MESH_TRY(load_keys(founding));
    MESH_LET(boot, next_boot(*store));
    MESH_LET(blocks, store::BlockStore::open(*store, {.quota_bytes = settings.block_quota_bytes}));
    std::vector<asset::Share> all_shares = settings.shares;
    MESH_LET(std::vector<asset::Share> of_fetched, make_fetched_shares(settings.home));
    std::ranges::move(of_fetched, std::back_inserter(all_shares));
    MESH_LET(std::vector<asset::Share> added, load_added(*store));
    std::ranges::move(added, std::back_inserter(all_shares));
    MESH_LET(shares, store::Shares::open(settings.home, std::move(all_shares), *blocks,
                                         {.withheld = {settings.key_file, settings.compile_cache}}));
    blocks->attach(*shares);
    MESH_LET(pins, Pins::open(*store));
    MESH_LET(fetched, FetchedFiles::open(
                          fetched_folder(settings.home), *store, {.quota_bytes = settings.fetched_quota_bytes},
                          [this](const Cid& root) { return pins->is_pinned(root); }, wall_ms));
    for (const auto& [root, reasons] : blocks->declared()) {
      for (const std::string& reason : reasons) {
        if (!reason.starts_with(reason_prefix)) continue;
        if (const auto intent = Cid::from_text(std::string_view(reason).substr(reason_prefix.size())))
          declared_for[*intent].insert(root);
      }
    }

    std::vector<node::JournalRecord> journal;
    MESH_TRY(store->load_all([&](store::StoredRecord record) -> Status {
      journal.push_back({.scope = record.scope, .kind = std::move(record.kind), .bytes = std::move(record.bytes)});
      return {};
    }));
    node::Config config;
    config.seed = seed;
    config.former = former;
    config.federation = settings.federation;
    if (founding) config.charter = founding->charter;
    config.policy = policy;
    config.engine = wasm::engine_id();
    config.agent = settings.agent;
    config.owner = settings.owner;
    config.slots = settings.slots;
    config.accepts_work = settings.accepts_work;
    config.pricing = settings.pricing;
    config.resources.boot = boot;
    config.resources.agent = settings.agent;
    config.resources.engine = config.engine;
    config.resources.policy = policy::cid_of(policy);
    config.resources.cores = host.cores;
    config.resources.memory_mb = settings.memory_mb;
    config.resources.gpus = host.gpus;
    config.resources.accepts_work = settings.accepts_work;
    config.resources.services = {"blocks", "tasks"};
    Result<std::unique_ptr<node::Node>> made = node::Node::create(std::move(config), now(), journal);
    if (!made) return wrap("the journal in " + settings.home.string(), std::move(made.error()));
    node = std::move(*made);
    log = std::make_unique<EventLog>(boot);
    started_at_ms = wall_ms();

    wasm::Config engine;
    engine.cache_folder = settings.compile_cache.string();
    engine.threads = settings.slots;
    engine.compile_command = settings.compile_command;
    MESH_LET(sandbox, settings.make_sandbox ? settings.make_sandbox(std::move(engine))
                                            : wasm::Sandbox::create(std::move(engine)));

    manifests = std::make_unique<ManifestExchange>(
        bulk, *this, identity::Signer(seed, federation), ManifestExchange::Limits{},
        [this](const NodeId& peer) { return keeper->classes_of(peer); },
        [this](const NodeId& peer, const std::string& what) {
          downloads->look_again();
          post([this, peer, what] {
            tell({.kind = "assets.manifest", .peer = peer, .text = identity::short_name(peer) + " " + what});
          });
        });
    dht = std::make_unique<Dht>(
        io,
        Dht::Ports{
            .provide = [this](ByteView key) { return network->provide(key); },
            .stop_providing = [this](ByteView key) { network->stop_providing(key); },
            .find_providers = [this](ByteView key, auto found) { network->find_providers(key, std::move(found)); }},
        dht_limits);
    keeper = std::make_unique<ShareKeeper>(*shares, [this](const ShareKeeper::Refreshed& done) {
      if (done && done->changed) {
        std::vector<asset::Asset> all = shares->find({}, 0, std::numeric_limits<std::size_t>::max());
        post([this, chosen = Dht::choose(all, dht_limits.max_roots)] {
          if (stopping) return;
          if (const std::string text = dht->announce(chosen); !text.empty())
            tell({.kind = "assets.announced", .text = text});
        });
        manifests->set_own(boot << 32 | shares->sequence(), std::move(all));
      }
      post([this, text = story_of(done)] { tell({.kind = "assets.refreshed", .text = text}); });
    });
    const auto tell_liar = [this](const NodeId& peer, const std::string& what) {
      post([this, peer, what] {
        tell({.kind = "peer.bad-block", .peer = peer, .text = identity::short_name(peer) + " " + what});
      });
    };
    const auto may_have = [this](const NodeId& peer, const Cid& root) {
      const bool may = keeper->may_have(peer, root);
      if (may) fetched->note_served(root);
      return may;
    };
    const auto pacer = std::make_shared<Pacer>(settings.rates, [this] { return now(); });
    ContentExchange::Limits content_limits;
    BitswapExchange::Limits bitswap_limits;
    Downloads::Limits download_limits;
    ZephyMeshStreams::Limits zephymesh_limits;
    content_limits.pacer = bitswap_limits.pacer = download_limits.leaves.pacer = zephymesh_limits.pacer = pacer;
    content = std::make_unique<ContentExchange>(bulk, *blocks, *this, content_limits, tell_liar, may_have);
    bitswap = std::make_unique<BitswapExchange>(bulk, *blocks, *this, bitswap_limits, tell_liar, may_have);
    downloads = std::make_unique<Downloads>(
        bulk, fetched_folder(settings.home), *store, *blocks, *content, *fetched,
        [this](const Cid& root) {
          std::vector<NodeId> peers;
          for (const auto& holding :
               manifests->find({.name = {}, .path = {}, .cid = root, .sha256 = {}, .architecture = {}}, 1).holdings)
            peers.push_back(holding.peer);
          return peers.empty() ? dht->known(root, [this] { downloads->look_again(); }) : peers;
        },
        [this](std::string_view kind, const Downloads::View& view, const std::string& text) {
          if ((kind == "transfer.done" && view.visibility) || kind == "transfer.room")
            keeper->refresh([](const ShareKeeper::Refreshed&) {});
          post([this, notice = node::Notice{.kind = std::string(kind), .text = text, .transfer = progress_of(view)}] {
            tell(notice);
          });
        },
        download_limits);
    MESH_TRY(downloads->resume_all());
    zephymesh = std::make_unique<ZephyMeshStreams>(
        bulk, *shares, *blocks, [this](const NodeId& peer) { return keeper->classes_of(peer); }, zephymesh_limits,
        [this](const Cid& root) { fetched->note_served(root); });
    executor = std::make_unique<Executor>(
        bulk, *blocks, *content, *sandbox, Executor::Limits{}, seed,
        [this](node::Event event) { post([this, event = std::move(event)]() mutable { take(std::move(event)); }); });

    if (chain) {
      chain->begin(node->interest().intents);
      enrolment = std::make_unique<Enrolment>(bulk, *store, *chain);
    }

    p2p::Config net;
    net.secret = seed;
    if (!settings.listen.empty()) net.listen = settings.listen;
    net.bootstrap = settings.bootstrap;
    net.mdns = settings.mdns;
    net.relay = settings.relay == Relaying::on    ? p2p::RelayPolicy::on
                : settings.relay == Relaying::off ? p2p::RelayPolicy::off
                                                  : p2p::RelayPolicy::automatic;
    net.federation = federation.text();
    net.limits.provided_keys = dht_limits.max_roots;
    net.agent = settings.agent;
    if (chain) {
      for (const std::string_view protocol : {ledger_protocol, enrolment_protocol})
        net.stream_protocols.emplace_back(protocol);
    }
    if (settings.zephymesh) {
      for (const std::string_view protocol : {zephymesh_manifest_protocol, zephymesh_file_protocol})
        net.stream_protocols.emplace_back(protocol);
    }
    checker = std::make_unique<SignatureChecker>(federation);
    MESH_LET(network, p2p::Network::start(net, io, [this](p2p::Event event) { arrive(std::move(event)); }));

    tick_timer = std::make_unique<asio::steady_timer>(io);
    garbage_timer = std::make_unique<asio::steady_timer>(io);
    io_work.emplace(io.get_executor());
    bulk_work.emplace(bulk.get_executor());
    post([this] {
      tell({.kind = "node.up", .text = identity::peer_id_of(node->id())});
      take(node::event::Tick{});
      await_garbage(garbage_first);
    });
    io_thread = std::thread([this] { io.run(); });
    bulk_thread = std::thread([this] { bulk.run(); });
    measure_thread = std::thread([this] { measure(); });
    return {};
  }

  /// The node's key, which with a ledger is the one of these that signs for its account.
  Status load_keys(const std::optional<Founding>& founding) {
    MESH_LET(const NodeKey own_key, load_or_create_key(settings.key_file, settings.home));
    MESH_LET(OtherKeys others, load_other_keys(settings.home));
    seed = own_key.seed;
    former = std::move(others.former);
    if (!founding) return {};
    MESH_TRY(open_ledger(*founding, own_key, others.next));
    if (!others.next || chain->seed() != *others.next) return {};
    MESH_TRY(adopt_next_key(settings.home, settings.key_file, seed, *others.next));
    if (seed != *others.next) former.insert(former.begin(), seed);
    seed = *others.next;
    return {};
  }

  Status open_ledger(const Founding& founding, const NodeKey& own_key, const std::optional<Seed>& next) {
    MESH_LET(chain, ChainHost::open(
                        {.file = chain_file(settings.home),
                         .founding = founding,
                         .seed = own_key.seed,
                         .next = next,
                         .former = former,
                         .key_was_brought = own_key.was_brought,
                         .store = store.get(),
                         .interest = {},
                         .timeouts = {}},
                        *this,
                        [this](const ChainHost::Story& story) {
                          post([this, story] { tell({.kind = story.kind, .peer = story.peer, .text = story.text}); });
                        },
                        [this](node::event::LedgerChanged change) {
                          post([this, change = std::move(change)]() mutable { take(std::move(change)); });
                        }));
    return {};
  }

  void measure() {
    Result<std::uint64_t> fuel = sandbox->measure_fuel_per_second();
    post([this, fuel = std::move(fuel)] {
      if (fuel) {
        if (chain)
          chain->attest({.memory_mb = settings.memory_mb, .fuel_per_second = *fuel, .verifies = settings.accepts_work});
        return take(node::event::HostMeasured{.fuel_per_second = *fuel});
      }
      tell({.kind = "node.sandbox", .text = "this host's speed could not be measured: " + fuel.error().message});
    });
  }

  void post(std::move_only_function<void()> work) {
    asio::post(io, [work = std::move(work)]() mutable { work(); });
  }
  void post_bulk(std::move_only_function<void()> work) {
    asio::post(bulk, [work = std::move(work)]() mutable { work(); });
  }

  // ---- Stop.

  void stop() {
    std::call_once(stopped, [this] {
      if (measure_thread.joinable()) measure_thread.join();
      if (io_thread.joinable()) {
        post([this] {
          stopping = true;
          tick_timer->cancel();
          garbage_timer->cancel();
          network->stop();
          io_work.reset();
          io.stop();
        });
        io_thread.join();
      }
      checker.reset();
      if (chain) chain->stop();
      if (keeper) keeper->stop();
      if (bulk_thread.joinable()) {
        post_bulk([this] {
          executor->close();
          enrolment.reset();
          downloads.reset();
          zephymesh.reset();
          content.reset();
          bitswap.reset();
          manifests.reset();
          bulk_work.reset();
          bulk.stop();
        });
        bulk_thread.join();
      }
      network.reset();
      enrolment.reset();
      chain.reset();
      dht.reset();
      keeper.reset();
      sandbox.reset();  // Its callbacks post to a queue that nobody empties any more.
      executor.reset();
      downloads.reset();
      zephymesh.reset();
      content.reset();
      bitswap.reset();
      manifests.reset();
      fetched.reset();
      pins.reset();
      blocks.reset();
      shares.reset();
      store.reset();  // Writes what is queued.
    });
  }

  // ---- The loop.

  void take(node::Event event, const PromisePointer& promise = nullptr) {
    if (stopping || halted) return;
    ++counters.events;
    if (settings.inspect_event) settings.inspect_event(event);
    node::Effects effects = node->step(now(), std::move(event));
    if (settings.inspect_effects) settings.inspect_effects(effects);
    apply(std::move(effects), promise);
    plan_tick();
  }

  void plan_tick() {
    const std::optional<Instant> due = node->next_deadline();
    if (due == tick_at) return;
    tick_at = due;
    if (!due) {
      tick_timer->cancel();
      return;
    }
    tick_timer->expires_at(began + due->time_since_epoch());
    tick_timer->async_wait([this](error_code failed) {
      if (failed || stopping || !tick_at) return;
      // A wait that was replaced may already have been on its way.
      if (*tick_at > now()) return;
      tick_at.reset();
      take(node::event::Tick{});
    });
  }

  void apply(node::Effects effects, const PromisePointer& promise) {
    for (node::Effect& effect : effects) {
      if (auto* persist = std::get_if<node::effect::Persist>(&effect.value)) {
        carry_out(std::move(*persist), promise);
      } else {
        std::visit([this](auto&& one) { carry_out(std::forward<decltype(one)>(one)); }, std::move(effect.value));
      }
    }
  }

  void carry_out(node::effect::Persist&& effect) { carry_out(std::move(effect), nullptr); }

  void carry_out(node::effect::Persist&& effect, const PromisePointer& promise) {
    // Notices alone, which wait for what was written before: that is on its way.
    if (effect.append.empty() && effect.drop.empty() && !effect.urgent && !promise) {
      behind.emplace_back(commits_begun, std::move(effect.then));
      return carry_out_behind();
    }
    const std::uint64_t number = ++commits_begun;
    store::WriteBatch batch;
    batch.append.reserve(effect.append.size());
    for (node::JournalRecord& record : effect.append) {
      batch.append.push_back({.scope = record.scope, .kind = std::move(record.kind), .bytes = std::move(record.bytes)});
    }
    batch.drop_scopes = std::move(effect.drop);
    batch.insists = true;  // The node goes on from it: nothing that comes later may be written without it.
    // Nothing and nobody waits for these: they need no fsync of their own.
    if (!effect.urgent && !promise) batch.urgency = store::Urgency::may_wait;
    ++counters.commits;
    if (promise) ++promise->pending;
    // Completions come in the order of the commits, and are posted in that order: so Persists stay in order too.
    store->commit(std::move(batch), [this, number, then = std::move(effect.then), promise](Status status) mutable {
      post([this, number, then = std::move(then), promise, status = std::move(status)]() mutable {
        if (stopping) return;
        commits_ended = number;
        if (!status) return halt("the journal could not be written: " + status.error().message);
        apply(std::move(then), promise);
        carry_out_behind();
        plan_tick();
        if (promise) promise->release();
      });
    });
  }

  void carry_out_behind() {
    while (!behind.empty() && behind.front().first <= commits_ended) {
      node::Effects then = std::move(behind.front().second);
      behind.pop_front();
      apply(std::move(then), nullptr);
    }
  }

  void carry_out(node::effect::Confirm&& effect) { node->confirm(effect); }

  /// The store cannot write, and tries again; or it can, and has written what waited.
  void on_storage(const Status& status) {
    if (stopping || halted) return;
    if (status) {
      storage_trouble.reset();
      health = lasting;
      return tell({.kind = "node.storage", .text = "the store can write again"});
    }
    ++counters.commits_failed;
    health = {.ready = false, .reason = "the store cannot write: " + status.error().message};
    const Clock::time_point moment = Clock::now();
    if (!storage_trouble || moment - *storage_trouble >= storage_notice_interval) {
      storage_trouble = moment;
      tell({.kind = "node.storage",
            .text = health.reason + "; it is tried again, and nothing is acknowledged before it is written"});
    }
    for (const std::weak_ptr<Promise>& waiting : std::exchange(promises, {})) {
      if (const PromisePointer promise = waiting.lock()) promise->fail({ErrorCode::storage, health.reason});
    }
  }

  /// As if the process had been killed, but for what can be read: what is durable is what the next start goes on from.
  void halt(const std::string& why) {
    halted = true;
    health = lasting = {.ready = false, .reason = why + "; start the node again"};
    tell({.kind = "node.storage", .text = health.reason});
  }

  /// Whether more waits for the disk than should: what peers say is then lost, and they say it again.
  [[nodiscard]] bool congested() const { return storage_trouble || store->queued() >= max_queued_batches / 4; }

  void tell(node::Notice notice) { log->add(wall_ms(), std::move(notice)); }

  void carry_out(node::effect::Publish&& effect) {
    ++counters.gossip_published;
    const auto taken = network->publish(static_cast<p2p::Topic>(effect.topic), effect.bytes);
    if (!taken) tell({.kind = "node.network", .text = "a publication failed: " + taken.error().message});
  }

  void carry_out(node::effect::JudgeGossip&& effect) {
    const auto found = unjudged.find(effect.message);
    if (found == unjudged.end()) return;
    const p2p::Verdict verdict = effect.verdict == node::effect::GossipVerdict::accept   ? p2p::Verdict::accept
                                 : effect.verdict == node::effect::GossipVerdict::reject ? p2p::Verdict::reject
                                                                                         : p2p::Verdict::ignore;
    if (verdict == p2p::Verdict::reject) ++counters.gossip_rejected;
    network->judge(found->second, verdict);
    unjudged.erase(found);
  }

  void carry_out(node::effect::Send&& effect) {
    ++counters.messages_sent;
    const auto taken =
        network->send(effect.to, channel_protocols.at(static_cast<std::size_t>(effect.channel)), effect.bytes);
    if (taken) return;
    ++counters.messages_failed;
    // Later, since the node must not be entered from its own effects.
    post([this, to = effect.to, channel = effect.channel, reason = taken.error().message] {
      take(node::event::SendFailed{.to = to, .channel = channel, .reason = reason});
    });
  }

  void carry_out(node::effect::KeepBlocks&& effect) {
    // On the queue where executions begin, before the execution that this may be for.
    post_bulk([this, effect = std::move(effect)] {
      for (const Bytes& block : effect.raw) {
        const Status kept = blocks->put(Cid::of(Multicodec::raw, block), block);
        if (kept) continue;
        post([this, error = kept.error()] {
          tell({.kind = "node.storage", .text = "a block could not be kept: " + error.message});
        });
      }
    });
  }

  void carry_out(node::effect::Execute&& effect) { executor->execute(std::move(effect)); }
  void carry_out(node::effect::WrapKeys&& effect) { executor->wrap_keys(std::move(effect)); }
  void carry_out(node::effect::CancelExecution&& effect) { executor->cancel(effect.id); }
  void carry_out(node::effect::FetchResults&& effect) { executor->fetch_results(std::move(effect)); }
  void carry_out(node::effect::BuildReduceInput&& effect) { executor->build_reduce_input(std::move(effect)); }

  void carry_out(node::effect::Declare&& effect) {
    std::set<Cid>& known = declared_for[effect.intent];
    for (const Cid& root : effect.roots) {
      if (known.insert(root).second) blocks->declare(root, reason_of(effect.intent), {}, store::Urgency::may_wait);
    }
  }

  void carry_out(node::effect::Undeclare&& effect) {
    const auto found = declared_for.find(effect.intent);
    if (found == declared_for.end()) return;
    for (const Cid& root : found->second)
      blocks->undeclare(root, reason_of(effect.intent), {}, store::Urgency::may_wait);
    declared_for.erase(found);
  }

  void carry_out(node::effect::Transact&& effect) {
    chain->transact(
        std::move(effect.body), ChainHost::When::final, [this, id = effect.id](Result<ChainHost::Made> made) {
          Result<std::uint64_t> height = made ? Result<std::uint64_t>(made->height) : std::unexpected(made.error());
          post([this, id, height = std::move(height)] { take(node::event::Transacted{.id = id, .height = height}); });
        });
  }
  void carry_out(node::effect::Watch&& effect) { chain->watch(effect.intent); }

  void carry_out(node::effect::Notify&& effect) {
    // It has shown a record that is signed for this federation.
    if (effect.notice.kind == "peer.info" && effect.notice.peer) {
      keeper->peer_is_member(*effect.notice.peer);
      manifests->peer_changed(*effect.notice.peer);
    }
    tell(std::move(effect.notice));
  }

  // ---- The network.

  void open(const NodeId& peer, std::string_view protocol, std::string_view preferred, Opened opened) override {
    post(
        [this, peer, protocol = std::string(protocol), preferred = std::string(preferred), opened = std::move(opened)] {
          if (stopping) return opened(fail(ErrorCode::unavailable, "this node is stopping"));
          const auto done = [opened](Result<p2p::RawStream> stream) {
            if (!stream) return opened(std::unexpected(std::move(stream.error())));
            opened(OpenedStream{.descriptor = stream->fd.release(), .transport = std::move(stream->transport)});
          };
          network->open_stream(peer, protocol, done, preferred);
        });
  }

  void connect_by(const NodeId& peer, std::string_view transport, Connected connected) override {
    post([this, peer, transport = std::string(transport), connected = std::move(connected)] {
      if (stopping) return connected(fail(ErrorCode::unavailable, "this node is stopping"));
      network->connect_by(peer, transport, [connected](const Result<NodeId>& result) {
        if (!result) return connected(std::unexpected(result.error()));
        connected({});
      });
    });
  }

  /// Long messages have their signatures checked beside this thread. What comes after them waits for them: all that the
  /// network tells stays in its order.
  void arrive(p2p::Event event) {
    if (stopping) return;
    auto* message = std::get_if<p2p::Message>(&event);
    const bool apart = message != nullptr && message->bytes.size() >= checked_apart_bytes;
    if (!apart && checking == 0) return tell_node(std::move(event));
    ++checking;
    Bytes bytes = apart ? std::exchange(message->bytes, {}) : Bytes{};
    checker->check(
        std::move(bytes), [this, apart, event = std::move(event)](Bytes checked, std::vector<Digest> held) mutable {
          post([this, apart, event = std::move(event), checked = std::move(checked), held = std::move(held)]() mutable {
            --checking;
            if (stopping) return;
            hold_signatures(held);
            if (apart) std::get<p2p::Message>(event).bytes = std::move(checked);
            tell_node(std::move(event));
          });
        });
  }
  void tell_node(p2p::Event event) {
    std::visit([this](auto&& one) { on(std::forward<decltype(one)>(one)); }, std::move(event));
  }

  void on(p2p::GossipMessage&& event) {
    ++counters.gossip_received;
    if (event.topic == p2p::Topic::consensus || congested()) return network->judge(event.id, p2p::Verdict::ignore);
    const std::uint64_t number = next_gossip++;
    unjudged.emplace(number, event.id);
    if (unjudged.size() > max_unjudged) unjudged.erase(unjudged.begin());  // The network has forgotten it by now.
    take(node::event::Gossip{.topic = static_cast<node::Topic>(event.topic),
                             .message = number,
                             .source = event.from,
                             .bytes = std::move(event.bytes)});
  }
  void on(p2p::NotPublished&& event) {
    // That nobody listens yet is ordinary: who comes later is told by the node itself.
    if (!event.no_peers) tell({.kind = "node.network", .text = "a publication failed: " + event.error.message});
  }
  void on(p2p::PeerSubscribed&&) {}
  void on(p2p::Message&& event) {
    ++counters.messages_received;
    if (congested()) {
      ++counters.messages_dropped;
      return;
    }
    const auto channel = channel_of(event.protocol);
    if (channel) take(node::event::Message{.from = event.peer, .channel = *channel, .bytes = std::move(event.bytes)});
  }
  void on(p2p::SendFailed&& event) {
    ++counters.messages_failed;
    const auto channel = channel_of(event.protocol);
    if (channel)
      take(node::event::SendFailed{.to = event.peer, .channel = *channel, .reason = std::move(event.error.message)});
  }
  void on(p2p::StreamOpened&& event) {
    if (event.protocol == blocks_protocol) content->serve(event.peer, event.fd.release());
    if (event.protocol == zephymesh_manifest_protocol || event.protocol == zephymesh_file_protocol)
      zephymesh->serve(event.peer, event.protocol, event.fd.release());
    if (event.protocol == manifest_protocol) manifests->serve(event.peer, event.fd.release());
    if (event.protocol == ledger_protocol) chain->serve(event.peer, event.fd.release());
    if (event.protocol == enrolment_protocol) enrolment->serve(event.peer, event.fd.release());
    if (event.protocol == bitswap_protocol) bitswap->serve(event.peer, event.fd.release());
  }
  void on(p2p::StreamClosed&&) {}  // What streams carry says by itself whether it is whole.
  void on(p2p::PeerConnected&& event) {
    keeper->peer_up(event.peer, is_local_address(event.address));
    manifests->peer_up(event.peer);
    if (chain) chain->peer_up(event.peer);
    take(node::event::PeerUp{event.peer});
  }
  void on(p2p::PeerDisconnected&& event) {
    keeper->peer_down(event.peer);
    manifests->peer_down(event.peer);
    bitswap->peer_down(event.peer);
    if (chain) chain->peer_down(event.peer);
    take(node::event::PeerDown{event.peer});
  }
  void on(p2p::PeerPathChanged&& event) {
    // Who is on the local network is decided by the connection that is in use now.
    keeper->peer_down(event.peer);
    keeper->peer_up(event.peer, is_local_address(event.address));
    manifests->peer_changed(event.peer);
  }
  void on(p2p::ReachabilityChanged&& event) {
    tell({.kind = "node.reach", .text = fmt::format("{}: {}", p2p::name_of(event.reachability), event.text)});
  }
  void on(p2p::RelayChanged&& event) {
    tell({.kind = "node.relay",
          .peer = event.peer,
          .text = fmt::format("{} {}: {}", identity::short_name(event.peer),
                              event.held ? "relays for us" : "does not relay for us", event.text)});
  }
  void on(p2p::HolePunched&& event) {
    tell({.kind = "peer.direct", .peer = event.peer, .text = identity::short_name(event.peer) + ": " + event.text});
  }
  void on(p2p::PeerIdentified&&) {}
  void on(p2p::PeerRtt&& event) { take(node::event::PeerRoundTrip{.peer = event.peer, .smoothed = event.smoothed}); }
  void on(p2p::KeysAnnounced&& event) {
    if (event.keys == 0 || event.keys != dht->roots()) return;
    tell({.kind = "assets.announced",
          .text = fmt::format("others were told of all {} roots that everybody may have", event.keys)});
  }
  void on(p2p::Stopped&& event) {
    health = lasting = {.ready = false,
                        .reason = "the network ended by itself: " + event.error.message + "; start the node again"};
    tell({.kind = "node.network", .text = health.reason});
  }

  // ---- Garbage.

  void await_garbage(std::chrono::minutes after) {
    garbage_timer->expires_after(after);
    garbage_timer->async_wait([this](error_code failed) {
      if (failed || stopping) return;
      if (!shares->is_ready()) return await_garbage(garbage_first);  // Not all that is needed is known.
      std::vector<Cid> roots;
      for (const auto& [root, reasons] : blocks->declared()) roots.push_back(root);
      for (const Cid& id : node->jobs()) {
        const auto view = node->job(id);
        if (!view) continue;
        roots.push_back(view->spec.function);
        roots.push_back(view->spec.inputs);
        if (view->spec.reduce) roots.push_back(*view->spec.reduce);
        if (view->result) roots.push_back(*view->result);
        for (const auto& [result, text] : node->results(id)) {
          roots.push_back(result);
          roots.push_back(text);
        }
      }
      post_bulk([this, roots = std::move(roots)]() mutable {
        for (const std::vector<Cid>& needed : {executor->roots_in_use(), shares->inner_roots(), downloads->roots(),
                                               content->roots_in_use(), bitswap->roots_in_use()})
          roots.insert(roots.end(), needed.begin(), needed.end());
        for (const Pins::Pin& pin : pins->list()) roots.push_back(pin.root);
        const GarbageReport report = collect_garbage(*blocks, roots, {.keep_bytes = settings.cache_bytes});
        if (report.freed_blocks > 0) content->forget_complete();
        post([this, report] {
          if (report.failure) {
            tell({.kind = "node.storage", .text = "old blocks could not be removed: " + report.failure->message});
          }
          if (report.freed_blocks > 0) {
            tell({.kind = "node.storage",
                  .text = fmt::format("{} old blocks ({} bytes) that nothing needs were removed", report.freed_blocks,
                                      report.freed_bytes)});
          }
        });
      });
      await_garbage(garbage_interval);
    });
  }

  // ---- Callers.

  PromisePointer promise(std::move_only_function<void(Status)> done) {
    auto made = std::make_shared<Promise>();
    made->done = std::move(done);
    std::erase_if(promises, [](const auto& waiting) { return waiting.expired(); });
    promises.push_back(made);
    return made;
  }

  void submit(node::JobSpec spec, std::move_only_function<void(Result<Cid>)> done) {
    if (storage_trouble || halted) return done(fail(ErrorCode::storage, health.reason));
    node::event::Submit event{.spec = std::move(spec), .entropy = {}};
    if (::getrandom(event.entropy.data(), Digest::size, 0) != static_cast<ssize_t>(Digest::size)) {
      return done(fail(ErrorCode::internal, "the kernel gave no random bytes"));
    }
    if (event.spec.created_ms == 0) event.spec.created_ms = wall_ms();
    const Result<Cid> id = node->check_submit(event);
    if (!id) return done(std::unexpected(id.error()));
    const PromisePointer made = promise([this, done = std::move(done), id = *id](Status status) mutable {
      if (status) return done(id);
      take(node::event::StopJob{id});  // Its author is told that there is none.
      done(wrap("the job could not be written down and was given up", std::move(status.error())));
    });
    take(std::move(event), made);
    made->release();
  }

  using Answer = std::shared_ptr<std::move_only_function<void(Status)>>;

  /// What lies in the shares is known when they have been looked at for the first time: what nobody has till then is asked for
  /// again.
  void fetch(const Cid& root, std::vector<NodeId> holders, Duration limit, std::move_only_function<void(Status)> done) {
    if (shares->is_ready()) return fetch_from_peers(root, std::move(holders), limit, std::move(done));
    fetch_from_peers(root, holders, limit, [this, root, holders, limit, done = std::move(done)](Status status) mutable {
      if (status || status.error().code != ErrorCode::unavailable) return done(std::move(status));
      keeper->refresh([this, root, holders, limit, done = std::move(done)](const ShareKeeper::Refreshed&) mutable {
        post([this, root, holders, limit, done = std::move(done)]() mutable {
          if (!stopping) fetch_from_peers(root, std::move(holders), limit, std::move(done));
        });
      });
    });
  }

  /// From Meshwork's nodes by their own protocol; what they do not have, from the others by Bitswap.
  void fetch_from_peers(const Cid& root, std::vector<NodeId> holders, Duration limit,
                        std::move_only_function<void(Status)> done) {
    const Instant until = now() + limit;
    std::vector<NodeId> own = holders;
    std::erase_if(own, [this](const NodeId& peer) { return !may_speak(peer, blocks_protocol); });
    const auto answer = std::make_shared<std::move_only_function<void(Status)>>(std::move(done));
    content->fetch({.root = root, .below = {}}, std::move(own), limit,
                   [this, root, holders = std::move(holders), until, answer](Status status) {
                     post([this, root, holders, until, answer, status = std::move(status)]() mutable {
                       if (stopping) return;
                       if (status || status.error().code != ErrorCode::unavailable) return (*answer)(std::move(status));
                       fetch_from_others(root, std::move(holders), until, std::move(status.error()), answer);
                     });
                   });
  }

  /// `before` is what Meshwork's nodes said.
  void fetch_from_others(const Cid& root, std::vector<NodeId> holders, Instant until, Error before,
                         const Answer& answer) {
    std::erase_if(holders, [this](const NodeId& peer) {
      const p2p::PeerInfo* known = network->peer(peer);
      return known == nullptr || std::ranges::find(known->protocols, blocks_protocol) != known->protocols.end() ||
             !may_speak(peer, bitswap_protocol);
    });
    const Instant time = now();
    if (holders.empty() || time >= until) return (*answer)(std::unexpected(std::move(before)));
    bitswap->fetch(root, std::move(holders), until - time, [this, answer](Status status) {
      post([answer, status = std::move(status)]() mutable { (*answer)(std::move(status)); });
    });
  }

  /// `done` hears, too, whether the download waits for somebody who has it.
  void download(Downloads::Wanted wanted, std::move_only_function<void(Result<std::filesystem::path>, bool)> done) {
    const Cid root = wanted.root;
    downloads->get(std::move(wanted), [this, root, done = std::move(done)](Result<std::filesystem::path> file) mutable {
      const auto goes_on = [&](const Downloads::View& view) {
        return view.root == root && view.state != Downloads::State::done && view.state != Downloads::State::failed &&
               view.state != Downloads::State::cancelled;
      };
      const bool waits = !file && std::ranges::any_of(downloads->list(), goes_on);
      post([done = std::move(done), file = std::move(file), waits]() mutable { done(std::move(file), waits); });
    });
  }

  /// Gives a download that waits those that the DHT names. `before` is why it waits.
  void download_from_dht(Downloads::Wanted wanted, Error before, Downloads::Done done) {
    const Cid root = wanted.root;
    dht->seek(root, dht_limit,
              [this, wanted = std::move(wanted), before = std::move(before),
               done = std::move(done)](const Dht::Found& found) mutable {
                if (found.peers.empty()) return done(fail(before.code, before.message + "; " + found.text));
                wanted.holders = found.peers;
                download(std::move(wanted), [done = std::move(done)](Result<std::filesystem::path> file, bool) mutable {
                  done(std::move(file));
                });
              });
  }

  /// From these holders, and if none of them has it, from those that the DHT names.
  void fetch_or_seek(const Cid& root, const std::vector<NodeId>& holders, Duration limit,
                     std::move_only_function<void(Status)> done) {
    const Instant until = now() + limit;
    fetch(root, holders, limit, [this, root, asked = holders, until, done = std::move(done)](Status status) mutable {
      const Instant time = now();
      if (status || status.error().code != ErrorCode::unavailable || time >= until) return done(std::move(status));
      dht->seek(root, std::min(dht_limit, until - time),
                [this, root, asked = std::move(asked), until, before = std::move(status.error()),
                 done = std::move(done)](const Dht::Found& found) mutable {
                  std::vector<NodeId> others = found.peers;
                  std::erase_if(others,
                                [&](const NodeId& peer) { return std::ranges::find(asked, peer) != asked.end(); });
                  const Instant then = now();
                  if (others.empty() || then >= until)
                    return done(fail(before.code, before.message + "; " + found.text));
                  fetch(root, std::move(others), until - then, std::move(done));
                });
    });
  }

  /// Waits a while for what those that the DHT named share.
  void await_manifest(const Cid& root, Dht::Found found, Instant until,
                      std::move_only_function<void(const Dht::Found&)> done) {
    if (found.peers.empty() || now() >= until || is_told(root)) return done(found);
    const auto timer = std::make_shared<asio::steady_timer>(io, manifest_look);
    timer->async_wait(
        [this, timer, root, found = std::move(found), until, done = std::move(done)](error_code failed) mutable {
          if (!failed && !stopping) await_manifest(root, std::move(found), until, std::move(done));
        });
  }

  /// Whether a connected peer's manifest has it.
  [[nodiscard]] bool is_told(const Cid& root) const {
    return !manifests->find({.name = {}, .path = {}, .cid = root, .sha256 = {}, .architecture = {}}, 1)
                .holdings.empty();
  }

  /// False if the peer is known not to speak the protocol. What it speaks it says some time after it has connected.
  [[nodiscard]] bool may_speak(const NodeId& peer, std::string_view protocol) const {
    const p2p::PeerInfo* known = network->peer(peer);
    return known == nullptr || known->protocols.empty() ||
           std::ranges::find(known->protocols, protocol) != known->protocols.end();
  }

  [[nodiscard]] std::vector<PeerLine> peers() const {
    std::map<NodeId, PeerLine> lines;
    for (const node::PeerView& view : node->peers()) {
      PeerLine& line = lines[view.node];
      line.node = view.node;
      line.connected = view.connected;
      line.round_trip = view.round_trip;
      line.penalty = view.penalty;
      line.info = view.info;
    }
    for (const p2p::PeerInfo& peer : network->peers()) {
      PeerLine& line = lines[peer.peer];
      line.node = peer.peer;
      line.connected = true;
      line.address = peer.address;
      line.transport = peer.transport;
      line.found = p2p::name_of(peer.found);
      line.outbound = peer.outbound;
      line.agent = peer.agent;
      if (peer.smoothed) line.round_trip = *peer.smoothed;
      if (peer.jitter) line.jitter = *peer.jitter;
    }
    std::vector<PeerLine> all;
    all.reserve(lines.size());
    for (auto& [id, line] : lines) all.push_back(std::move(line));
    return all;
  }
};

Runtime::Runtime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Runtime>> Runtime::start(Settings settings) {
  std::unique_ptr<Runtime> runtime(new Runtime(std::make_unique<Impl>(std::move(settings))));
  MESH_TRY(runtime->impl_->open());
  return runtime;
}

Runtime::~Runtime() { stop(); }

void Runtime::stop() { impl_->stop(); }
asio::io_context& Runtime::io() { return impl_->io; }
void Runtime::post(std::move_only_function<void()> work) { impl_->post(std::move(work)); }
void Runtime::post_bulk(std::move_only_function<void()> work) { impl_->post_bulk(std::move(work)); }

void Runtime::submit(node::JobSpec spec, std::move_only_function<void(Result<Cid>)> done) {
  impl_->submit(std::move(spec), std::move(done));
}

Status Runtime::check_submit(const node::JobSpec& spec) const {
  MESH_TRY(impl_->node->check_submit({.spec = spec, .entropy = {}}));
  return {};
}

std::vector<node::Prospect> Runtime::prospects(const node::JobSpec& spec) const { return impl_->node->prospects(spec); }

void Runtime::stop_job(const Cid& job, std::move_only_function<void(Status)> done) {
  const auto view = impl_->node->job(job);
  if (!view) return done(fail(ErrorCode::not_found, fmt::format("there is no job {} here", job.text())));
  if (view->phase == node::JobPhase::done || view->phase == node::JobPhase::failed ||
      view->phase == node::JobPhase::stopped) {
    return done(fail(ErrorCode::conflict, "the job has ended already"));
  }
  const auto promise = impl_->promise(std::move(done));
  impl_->take(node::event::StopJob{job}, promise);
  promise->release();
}

void Runtime::offer_by_hand(const Cid& intent, std::uint64_t cost, std::move_only_function<void(Status)> done) {
  const node::event::OfferByHand offer{.intent = intent, .cost = cost};
  if (Status status = impl_->node->check_offer_by_hand(impl_->now(), offer); !status) return done(std::move(status));
  const auto promise = impl_->promise(std::move(done));
  impl_->take(offer, promise);
  promise->release();
}

void Runtime::fetch(const Cid& root, std::vector<identity::NodeId> holders, Duration limit,
                    std::move_only_function<void(Status)> done) {
  if (!holders.empty()) return impl_->fetch(root, std::move(holders), limit, std::move(done));
  // Those that say that they have it first.
  const auto known = impl_->manifests->find({.name = {}, .path = {}, .cid = root, .sha256 = {}, .architecture = {}}, 1);
  for (const ManifestExchange::Holding& holding : known.holdings) holders.push_back(holding.peer);
  for (const p2p::PeerInfo& peer : impl_->network->peers()) {
    if (std::ranges::find(holders, peer.peer) == holders.end()) holders.push_back(peer.peer);
  }
  impl_->fetch_or_seek(root, holders, limit, std::move(done));
}

void Runtime::find_in_dht(const Cid& root, std::move_only_function<void(const Dht::Found&)> done) {
  impl_->dht->seek(root, dht_limit,
                   [impl = impl_.get(), root, done = std::move(done)](const Dht::Found& found) mutable {
                     impl->await_manifest(root, found, impl->now() + manifest_limit, std::move(done));
                   });
}

Runtime::Announced Runtime::announced() const {
  return {.roots = impl_->dht->roots(),
          .announced = impl_->network->status().announced,
          .left_out = impl_->dht->left_out()};
}

void Runtime::download(Downloads::Wanted wanted, Downloads::Done done) {
  const bool is_named = !wanted.holders.empty();
  auto answer = [impl = impl_.get(), is_named, again = wanted, done = std::move(done)](
                    Result<std::filesystem::path> file, bool waits) mutable {
    if (is_named || !waits) return done(std::move(file));
    impl->download_from_dht(std::move(again), std::move(file.error()), std::move(done));
  };
  // Whoever is connected may have it, though it tells nobody: such as what was declared for a task.
  if (!is_named) {
    for (const p2p::PeerInfo& peer : impl_->network->peers()) wanted.holders.push_back(peer.peer);
  }
  impl_->download(std::move(wanted), std::move(answer));
}

void Runtime::transfers(std::move_only_function<void(std::vector<Downloads::View>)> done) const {
  impl_->post_bulk([impl = impl_.get(), done = std::move(done)]() mutable {
    impl->post([done = std::move(done), all = impl->downloads->list()]() mutable { done(std::move(all)); });
  });
}

void Runtime::order_transfer(const Cid& root, TransferOrder order, std::move_only_function<void(Status)> done) {
  auto answer = [impl = impl_.get(), root, done = std::move(done)](bool known) mutable {
    impl->post([done = std::move(done), known, root]() mutable {
      if (known) return done({});
      done(fail(ErrorCode::not_found, fmt::format("no download of {} is under way", root.text())));
    });
  };
  switch (order) {
    case TransferOrder::pause:
      return impl_->downloads->pause(root, std::move(answer));
    case TransferOrder::resume:
      return impl_->downloads->resume(root, std::move(answer));
    case TransferOrder::cancel:
      return impl_->downloads->cancel(root, std::move(answer));
  }
}

void Runtime::pin(const Cid& root, std::move_only_function<void(Status)> done) {
  impl_->post_bulk([impl = impl_.get(), root, done = std::move(done)]() mutable {
    auto answer = [impl, done = std::move(done)](Status status) mutable {
      impl->post([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
    };
    const auto files =
        impl->shares->find({.name = {}, .path = {}, .cid = root, .sha256 = {}, .architecture = {}}, 0, 1);
    if (files.empty() && !impl->fetched->knows(root) && !impl->blocks->has(root)) {
      return answer(fail(ErrorCode::not_found,
                         fmt::format("{} is not here: fetch it with `mesh assets get` first", root.text())));
    }
    impl->pins->pin({.root = root,
                     .path = files.empty() ? std::string() : asset::full_path(files.front()),
                     .since_ms = static_cast<std::uint64_t>(wall_ms())},
                    std::move(answer));
  });
}

void Runtime::unpin(const Cid& root, std::move_only_function<void(Status)> done) {
  // On the thread on which pin() works, so that they are written in the order in which they were wanted.
  impl_->post_bulk([impl = impl_.get(), root, done = std::move(done)]() mutable {
    impl->pins->unpin(root, [impl, done = std::move(done)](Status status) mutable {
      impl->post([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
    });
  });
}

std::vector<Pins::Pin> Runtime::pins() const { return impl_->pins->list(); }

void Runtime::remove_asset(const Cid& root, std::move_only_function<void(Status)> done) {
  const auto declared = impl_->blocks->declared();
  const auto found = declared.find(root);
  if (found == declared.end() || std::ranges::find(found->second, added_reason) == found->second.end()) {
    return done(fail(ErrorCode::not_found, fmt::format("{} was not added here", root.text())));
  }
  impl_->blocks->undeclare(root, added_reason, [impl = impl_.get(), done = std::move(done)](Status status) mutable {
    impl->post([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
  });
}

FetchedFiles::Use Runtime::use(const Cid& root) { return impl_->fetched->use(root); }

PeerAssets Runtime::find_at_peers(const asset::AssetQuery& query, std::size_t per_peer) const {
  ManifestExchange::Found found = impl_->manifests->find(query, per_peer);
  PeerAssets all{.assets = {}, .is_all = found.is_all};
  for (ManifestExchange::Holding& holding : found.holdings)
    all.assets.push_back({.node = holding.peer, .asset = std::move(holding.asset)});
  return all;
}

bool Runtime::is_for_everybody(const Cid& root) {
  const bool is_open = impl_->shares->is_public(root);
  if (is_open) impl_->fetched->note_served(root);
  return is_open;
}

void Runtime::add_in_place(std::string path, std::optional<asset::Visibility> visibility,
                           std::move_only_function<void(Result<store::Shares::Added>)> done) {
  const AddedPath added{.path = std::move(path), .visibility = visibility};
  Result<asset::Share> share = share_of(added);
  if (!share) return done(std::unexpected(share.error()));
  impl_->keeper->add(std::move(*share), [impl = impl_.get(), added,
                                         done = std::move(done)](Result<store::Shares::Added> result) mutable {
    if (!result) {
      return impl->post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
    }
    store::WriteBatch batch;
    batch.put.emplace_back(key_of(added), record::encode(added));
    impl->store->commit(
        std::move(batch), [impl, done = std::move(done), result = std::move(result)](Status status) mutable {
          if (!status) result = std::unexpected(std::move(status.error()));
          impl->post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
        });
  });
}

void Runtime::remove_in_place(std::string path, std::move_only_function<void(Status)> done) {
  const AddedPath added{.path = std::move(path), .visibility = {}};
  store::WriteBatch batch;
  batch.erase.push_back(key_of(added));
  impl_->store->commit(std::move(batch), [impl = impl_.get(), added, done = std::move(done)](Status status) mutable {
    if (!status)
      return impl->post([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
    impl->keeper->remove(asset::added_share_name(added.path),
                         [impl, added, done = std::move(done)](bool was_there) mutable {
                           impl->post([added, was_there, done = std::move(done)]() mutable {
                             if (was_there) return done({});
                             done(fail(ErrorCode::not_found, added.path + " was not added"));
                           });
                         });
  });
}

void Runtime::refresh_shares(std::move_only_function<void(const Result<store::Shares::Refreshed>&)> done) {
  impl_->keeper->refresh([impl = impl_.get(), done = std::move(done)](const ShareKeeper::Refreshed& result) mutable {
    impl->post([done = std::move(done), result]() mutable { done(result); });
  });
}

void Runtime::invite(const InvitationTerms& terms, std::move_only_function<void(Result<std::string>)> done) {
  if (!impl_->enrolment)
    return done(fail(ErrorCode::not_found,
                     "no-ledger: this node's federation has none, so nobody is admitted to it: `mesh federation found "
                     "NAME` makes one"));
  std::vector<std::string> addresses = listen_addresses();
  addresses.resize(std::min(addresses.size(), max_invitation_addresses));
  impl_->enrolment->invite(
      terms, std::move(addresses), static_cast<std::uint64_t>(wall_ms()),
      [impl = impl_.get(), done = std::move(done)](Result<std::string> token) mutable {
        impl->post([done = std::move(done), token = std::move(token)]() mutable { done(std::move(token)); });
      });
}

ChainHost* Runtime::ledger() { return impl_->chain.get(); }
void Runtime::notice(node::Notice notice) { impl_->tell(std::move(notice)); }
const node::Node& Runtime::node() const { return *impl_->node; }
EventLog& Runtime::events() { return *impl_->log; }
std::vector<PeerLine> Runtime::peers() const { return impl_->peers(); }
Health Runtime::health() const { return impl_->health; }

Counters Runtime::counters() const {
  Counters counters = impl_->counters;
  const ContentExchange::Figures content = impl_->content->figures();
  counters.blocks_served = content.blocks_served;
  counters.bytes_served = content.bytes_served;
  counters.blocks_fetched = content.blocks_fetched;
  counters.bytes_fetched = content.bytes_fetched;
  counters.bad_blocks = content.bad_blocks;
  const BitswapExchange::Figures others = impl_->bitswap->figures();
  counters.blocks_served += others.blocks_served;
  counters.bytes_served += others.bytes_served;
  counters.blocks_fetched += others.blocks_fetched;
  counters.bytes_fetched += others.bytes_fetched;
  counters.bad_blocks += others.bad_blocks;
  const Executor::Figures runs = impl_->executor->figures();
  counters.executions = runs.started;
  counters.executions_failed = runs.failed;
  counters.executions_running = runs.running;
  counters.fuel = runs.fuel;
  return counters;
}

std::vector<std::string> Runtime::listen_addresses() const { return impl_->network->listen_addresses(); }
std::int64_t Runtime::started_ms() const { return impl_->started_at_ms; }
std::uint64_t Runtime::boot() const { return impl_->boot; }
store::NodeStore& Runtime::store() { return *impl_->store; }
store::BlockStore& Runtime::blocks() { return *impl_->blocks; }
const store::Shares& Runtime::shares() const { return *impl_->shares; }
wasm::Sandbox& Runtime::sandbox() { return *impl_->sandbox; }
sealing::Opener Runtime::opener(sealing::Sink sink) const {
  std::vector<Seed> keys{impl_->seed};
  keys.insert(keys.end(), impl_->former.begin(), impl_->former.end());
  return {keys, std::move(sink)};
}
p2p::Network& Runtime::network() { return *impl_->network; }
const Settings& Runtime::settings() const { return impl_->settings; }

}  // namespace mesh::app
