#include "app/api/runtime_backend.h"

#include "adapters/p2p/network.h"

namespace mesh::app {
namespace {

class RuntimeBackend final : public Backend {
 public:
  explicit RuntimeBackend(Runtime& runtime) : runtime_(runtime) {}

  boost::asio::io_context& io() override { return runtime_.io(); }
  void post_bulk(std::move_only_function<void()> work) override { runtime_.post_bulk(std::move(work)); }
  void post(std::move_only_function<void()> work) override { runtime_.post(std::move(work)); }

  identity::NodeId id() const override { return runtime_.node().id(); }
  Status check_rotation() const override {
    using node::JobPhase;
    std::size_t open = 0;
    for (const Cid& id : jobs()) {
      const JobPhase phase = job(id)->phase;
      open += phase != JobPhase::done && phase != JobPhase::failed && phase != JobPhase::stopped ? 1U : 0U;
    }
    if (open == 0) return {};
    return fail(ErrorCode::conflict, "jobs-open: " + std::to_string(open) +
                                         " of this node's jobs are not done, and would fail with another key: wait for "
                                         "them, or stop them (`mesh job ls`)");
  }
  Result<Seed> next_key() override { return app::next_key(runtime_.settings().home, runtime_.settings().key_file); }
  Status drop_next_key() override { return app::drop_next_key(runtime_.settings().home); }
  Cid federation() const override { return runtime_.node().federation(); }
  std::string federation_name() const override { return runtime_.settings().federation; }
  std::vector<Cid> jobs() const override { return runtime_.node().jobs(); }
  std::optional<node::JobView> job(const Cid& id) const override { return runtime_.node().job(id); }
  std::vector<node::ShardView> shards(const Cid& id, std::uint32_t first, std::uint32_t count) const override {
    return runtime_.node().shards(id, first, count);
  }
  std::vector<std::pair<Cid, Cid>> results(const Cid& id) const override { return runtime_.node().results(id); }
  std::vector<Envelope> story(const Cid& id) const override { return runtime_.node().story(id); }
  ledger::PaymentPart payment_part(const Cid& id) const override { return runtime_.node().payment_part(id); }
  std::vector<node::Node::IntentView> intents() const override { return runtime_.node().intents(); }
  node::PeerInfo own_info() const override { return runtime_.node().own_info(); }
  std::pair<std::size_t, std::size_t> load() const override { return runtime_.node().load(); }
  std::vector<PeerLine> peers() const override { return runtime_.peers(); }
  Health health() const override { return runtime_.health(); }
  Counters counters() const override { return runtime_.counters(); }
  std::vector<std::string> listen_addresses() const override { return runtime_.listen_addresses(); }
  ReachStatus reach_status() const override {
    const auto ms_of = [](p2p::NetworkStatus::Time time) {
      return std::int64_t{std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count()};
    };
    const p2p::NetworkStatus& network = runtime_.network().status();
    ReachStatus status{.reachability = std::string(p2p::name_of(network.reachability)),
                       .since_ms = ms_of(network.since),
                       .address = network.address,
                       .text = network.text,
                       .relaying = network.relaying,
                       .relays = {},
                       .hole_punches = {}};
    for (const auto& relay : network.relays)
      status.relays.push_back({relay.peer, relay.address, relay.held, relay.text, ms_of(relay.since)});
    for (const auto& punch : network.punches)
      status.hole_punches.push_back({punch.peer, punch.done, punch.text, ms_of(punch.at)});
    return status;
  }
  std::int64_t started_ms() const override { return runtime_.started_ms(); }
  std::uint64_t boot() const override { return runtime_.boot(); }
  std::string home() const override { return runtime_.settings().home.string(); }
  std::uint64_t blocks_count() const override { return runtime_.blocks().count(); }
  std::uint64_t blocks_bytes() const override { return runtime_.blocks().total_bytes(); }

  void submit(node::JobSpec spec, std::move_only_function<void(Result<Cid>)> done) override {
    runtime_.submit(std::move(spec), std::move(done));
  }
  Status check_submit(const node::JobSpec& spec) const override { return runtime_.check_submit(spec); }
  std::vector<node::Prospect> prospects(const node::JobSpec& spec) const override { return runtime_.prospects(spec); }
  void stop_job(const Cid& job, std::move_only_function<void(Status)> done) override {
    runtime_.stop_job(job, std::move(done));
  }
  void offer_by_hand(const Cid& intent, std::uint64_t cost, std::move_only_function<void(Status)> done) override {
    runtime_.offer_by_hand(intent, cost, std::move(done));
  }
  void fetch(const Cid& root, std::vector<identity::NodeId> holders, Duration limit,
             std::move_only_function<void(Status)> done) override {
    runtime_.fetch(root, std::move(holders), limit, std::move(done));
  }
  void dial(std::string address, std::move_only_function<void(Result<identity::NodeId>)> done) override {
    runtime_.network().dial(address, shared(std::move(done)));
  }
  void ping(const identity::NodeId& peer, std::move_only_function<void(Result<Duration>)> done) override {
    runtime_.network().ping(peer, shared(std::move(done)));
  }
  void reach(std::string target, std::move_only_function<void(Result<ReachReport>)> done) override {
    runtime_.network().doctor(target, [done = shared(std::move(done))](Result<p2p::DoctorReport> found) {
      if (!found) return done(std::unexpected(found.error()));
      ReachReport report{.peer = found->peer ? identity::peer_id_of(*found->peer) : std::string(),
                         .already_connected = found->already_connected,
                         .attempts = {}};
      for (const p2p::Attempt& attempt : found->attempts)
        report.attempts.push_back({attempt.address, std::string(p2p::name_of(attempt.reach)), attempt.text});
      done(std::move(report));
    });
  }

  EventLog& events() override { return runtime_.events(); }
  store::NodeStore& store() override { return runtime_.store(); }
  store::BlockStore& blocks() override { return runtime_.blocks(); }
  const store::Shares& shares() const override { return runtime_.shares(); }
  sealing::Opener opener(sealing::Sink sink) const override { return runtime_.opener(std::move(sink)); }
  void download(Downloads::Wanted wanted, Downloads::Done done) override {
    runtime_.download(std::move(wanted), std::move(done));
  }
  void transfers(std::move_only_function<void(std::vector<Downloads::View>)> done) const override {
    runtime_.transfers(std::move(done));
  }
  void order_transfer(const Cid& root, Runtime::TransferOrder order,
                      std::move_only_function<void(Status)> done) override {
    runtime_.order_transfer(root, order, std::move(done));
  }
  void pin(const Cid& root, std::move_only_function<void(Status)> done) override {
    runtime_.pin(root, std::move(done));
  }
  void unpin(const Cid& root, std::move_only_function<void(Status)> done) override {
    runtime_.unpin(root, std::move(done));
  }
  std::vector<Pins::Pin> pins() const override { return runtime_.pins(); }
  void remove_asset(const Cid& root, std::move_only_function<void(Status)> done) override {
    runtime_.remove_asset(root, std::move(done));
  }
  FetchedFiles::Use use(const Cid& root) override { return runtime_.use(root); }
  bool is_for_everybody(const Cid& root) override { return runtime_.is_for_everybody(root); }
  PeerAssets find_at_peers(const asset::AssetQuery& query, std::size_t per_peer) const override {
    return runtime_.find_at_peers(query, per_peer);
  }
  void add_in_place(std::string path, std::optional<asset::Visibility> visibility,
                    std::move_only_function<void(Result<store::Shares::Added>)> done) override {
    runtime_.add_in_place(std::move(path), visibility, std::move(done));
  }
  void remove_in_place(std::string path, std::move_only_function<void(Status)> done) override {
    runtime_.remove_in_place(std::move(path), std::move(done));
  }
  void find_in_dht(const Cid& root, std::move_only_function<void(const Dht::Found&)> done) override {
    runtime_.find_in_dht(root, std::move(done));
  }
  Runtime::Announced announced() const override { return runtime_.announced(); }
  void refresh_shares(std::move_only_function<void(const Result<store::Shares::Refreshed>&)> done) override {
    runtime_.refresh_shares(std::move(done));
  }
  void invite(InvitationTerms terms, std::move_only_function<void(Result<std::string>)> done) override {
    runtime_.invite(terms, std::move(done));
  }
  ChainHost* ledger() override { return runtime_.ledger(); }
  Result<ImportedFunction> make_function(const Program& program, const std::vector<std::string>& args) override {
    return app::make_function(program, args, runtime_.store(), runtime_.blocks());
  }

 private:
  /// The network wants callbacks that can be copied.
  template <class Value>
  static std::function<void(Value)> shared(std::move_only_function<void(Value)> done) {
    return [done = std::make_shared<std::move_only_function<void(Value)>>(std::move(done))](Value value) {
      (*done)(std::move(value));
    };
  }

  Runtime& runtime_;
};

}  // namespace

std::unique_ptr<Backend> make_runtime_backend(Runtime& runtime) { return std::make_unique<RuntimeBackend>(runtime); }

}  // namespace mesh::app
