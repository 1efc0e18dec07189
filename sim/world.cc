#include "sim/world.h"

#include <cstdio>

#include "base/check.h"

namespace mesh::sim {

namespace {

constexpr Duration dial_timeout = seconds(1);
constexpr Duration redial_after = milliseconds(500);
constexpr Duration report_every = milliseconds(20);
constexpr std::int64_t million = 1'000'000;

Seed seed_of(std::uint64_t world, std::uint32_t host) {
  const Digest digest = tagged_hash("meshwork/sim/seed", {big_endian(world), big_endian(host)});
  return *Seed::from(digest.view());
}

Duration micros(std::uint64_t us) { return Duration(static_cast<std::int64_t>(us)); }

constexpr std::string_view engine_name = "simulated;1";

/// What is traced, beside the events' own numbers.
enum class Mark : std::uint64_t { start = 100, stop, clock, cut, heal, notice, block };

}  // namespace

World::World(Options options) : options_(options), random_(options.seed), hosts_(options.nodes) {
  MESH_CHECK(options_.nodes >= 1 && options_.nodes <= max_nodes, "sim-nodes-in-bounds");
  Random traits(options_.seed ^ 0x7472616974735f31ULL);  // Of its own, so that a trait more changes no event.
  Result<Cid> federation = identity::derive_federation(node::Config{}.federation, policy::cid_of({}));
  MESH_CHECK(federation.has_value(), "sim-federation");
  if (options_.block_us > 0) {
    std::vector<Seed> seeds;
    for (std::uint32_t i = 0; i < options_.nodes; ++i) seeds.push_back(seed_of(options_.seed, i));
    notary_ = std::make_unique<Notary>(seeds);
    federation = notary_->federation();
  }
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    Host& host = hosts_[i];
    host.config.seed = seed_of(options_.seed, i);
    host.config.engine = engine_name;
    if (notary_) host.config.charter = notary_->charter();
    host.config.agent = "meshwork-sim";
    host.config.slots = static_cast<std::uint32_t>(options_.slots);
    host.config.resources.cores = static_cast<std::uint32_t>(options_.slots);
    host.config.resources.memory_mb = 1024;
    host.slow = traits.chance(static_cast<std::uint32_t>(options_.slow_per_mille));
    host.config.resources.fuel_per_second = 1'000'000'000 / (host.slow ? options_.slow_factor : 1);
    host.drift_ppm = static_cast<std::int64_t>(traits.between(0, 2 * options_.drift_ppm)) -
                     static_cast<std::int64_t>(options_.drift_ppm);
    host.id = public_key_of(host.config.seed);
    host.signer = std::make_unique<identity::Signer>(host.config.seed, *federation);
    by_id_.emplace(host.id, i);
  }
  make_graph();
}

World::~World() = default;

bool World::honest(std::uint32_t host) const {
  const Behaviour& behaviour = hosts_[host].behaviour;
  return !behaviour.lie && !behaviour.tamper && !behaviour.run_time && !behaviour.hear;
}

std::optional<std::uint32_t> World::find(const NodeId& id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? std::nullopt : std::optional(it->second);
}

void World::make_graph() {
  if (everybody_linked() || size() < 3) return;
  // A ring keeps it in one piece; chords at random make it small.
  Random graph(options_.seed ^ 0x67726170685f3031ULL);
  std::vector<std::set<std::uint32_t>> edges(size());
  const auto join = [&](std::uint32_t a, std::uint32_t b) {
    if (a == b) return;
    edges[a].insert(b);
    edges[b].insert(a);
  };
  for (std::uint32_t i = 0; i < size(); ++i) {
    join(i, (i + 1) % size());
    for (std::uint64_t k = 1; k < options_.degree / 2; ++k) join(i, static_cast<std::uint32_t>(graph.below(size())));
  }
  for (std::uint32_t i = 0; i < size(); ++i) hosts_[i].neighbours.assign(edges[i].begin(), edges[i].end());
}

bool World::neighbours(std::uint32_t a, std::uint32_t b) const {
  return everybody_linked() || std::ranges::binary_search(hosts_[a].neighbours, b);
}

void World::trace(std::uint64_t what, std::uint32_t host) {
  trace_.add(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  trace_.add(what << 32 | host);
}

// ---------------------------------------------------------------------------------------------------- time

Instant World::local(const Host& host) const {
  const std::int64_t elapsed = (now_ - host.born).count();
  return Instant(Duration(elapsed + elapsed * host.drift_ppm / million) + host.leapt);
}

Instant World::global(const Host& host, Instant local) const {
  const std::int64_t shown = (local.time_since_epoch() - host.leapt).count();
  if (host.drift_ppm == 0) return host.born + Duration(shown);
  return host.born + Duration(shown * million / (million + host.drift_ppm) + 2);
}

void World::schedule(Duration after, std::move_only_function<void()> action) {
  queue_.push({now_ + after, order_++, std::move(action)});
}
void World::at_time(Duration from_now, std::function<void()> action) { schedule(from_now, std::move(action)); }

bool World::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  while (!done()) {
    if (queue_.empty() || queue_.top().at > end) {
      now_ = end;
      return done();
    }
    // The queue orders by time and number alone, which moving the action out leaves as they are.
    const Instant at = queue_.top().at;
    std::move_only_function<void()> action = std::move(const_cast<Happening&>(queue_.top()).action);
    queue_.pop();
    now_ = at;
    action();
  }
  return true;
}

void World::jump_clock(std::uint32_t index, Duration ahead) {
  trace(static_cast<std::uint64_t>(Mark::clock), index);
  faults_.add(Fault::clock_jump);
  hosts_[index].leapt += ahead;
  deliver(index, node::event::Tick{});
}

// ---------------------------------------------------------------------------------------------------- hosts

void World::start() {
  for (std::uint32_t i = 0; i < size(); ++i) restart(i);
  if (notary_) schedule(micros(options_.block_us), [this] { make_blocks(); });
}

void World::restart(std::uint32_t index) {
  Host& host = hosts_[index];
  MESH_CHECK(host.node == nullptr, "sim-restart-of-a-running-host");
  ++host.life;
  host.born = now_;
  host.leapt = Duration{0};
  ++host.config.resources.boot;
  Result<std::unique_ptr<node::Node>> node = node::Node::create(host.config, local(host), host.journal);
  if (!node) std::fprintf(stderr, "host %u does not start: %s\n", index, node.error().message.c_str());
  MESH_CHECK(node.has_value(), "sim-node-starts-from-its-journal");
  host.node = std::move(*node);
  trace(static_cast<std::uint64_t>(Mark::start), index);
  for (Observer* observer : observers_) observer->on_started(index);
  if (notary_) {
    host.interest = host.node->interest();
    host.last_news = now_;
    deliver(index, node::whole_of(notary_->ledger().state(), host.interest, wall_ms(host)));
  }
  deliver(index, node::event::HostMeasured{host.config.resources.fuel_per_second});
  link_neighbours(index);
}

void World::stop(std::uint32_t index) {
  Host& host = hosts_[index];
  MESH_CHECK(host.node != nullptr, "sim-stop-of-a-stopped-host");
  host.node.reset();
  ++host.life;
  host.tick_at.reset();
  host.queued.clear();
  host.writing.clear();
  host.syncing = false;
  host.uplink_free = Instant{};
  trace(static_cast<std::uint64_t>(Mark::stop), index);
  while (!host.links.empty()) link_down(index, host.links.begin()->first);
}

void World::crash(std::uint32_t index) {
  Host& host = hosts_[index];
  faults_.add(Fault::crash);
  std::size_t kept = 0;
  if (options_.torn_syncs != 0 && !host.writing.empty()) {
    kept = random_.below(host.writing.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) commit(host, host.writing[i]);
    faults_.add(Fault::torn_sync, kept);
  }
  const auto writes = [](const Write& write) { return !write.append.empty(); };
  faults_.add(Fault::lost_write,
              static_cast<std::size_t>(
                  std::count_if(host.writing.begin() + static_cast<std::ptrdiff_t>(kept), host.writing.end(), writes) +
                  std::ranges::count_if(host.queued, writes)));
  stop(index);
}

void World::leave(std::uint32_t index) {
  Host& host = hosts_[index];
  faults_.add(Fault::churn);
  for (Write& write : host.writing) commit(host, write);
  for (Write& write : host.queued) commit(host, write);
  stop(index);
}

void World::deliver(std::uint32_t index, node::Event event) {
  Host& host = hosts_[index];
  if (host.node == nullptr) return;
  ++event_count_;
  trace(event.index(), index);
  if (const auto* message = std::get_if<node::event::Message>(&event)) trace_.add(message->bytes);
  if (host.behaviour.hear) host.behaviour.hear(index, event);
  node::Effects effects = host.node->step(local(host), std::move(event));
  if (host.behaviour.tamper) host.behaviour.tamper(index, effects);
  carry_out(index, std::move(effects));
  rearm(index);
}

void World::rearm(std::uint32_t index) {
  Host& host = hosts_[index];
  if (host.node == nullptr) return;
  const std::optional<Instant> due = host.node->next_deadline();
  if (!due) return;
  const Instant moment = std::max(global(host, *due), now_ + Duration(1));
  if (host.tick_at && *host.tick_at <= moment && *host.tick_at > now_) return;
  host.tick_at = moment;
  schedule(moment - now_, [this, index, life = host.life, moment] {
    Host& self = hosts_[index];
    if (self.life != life || self.tick_at != moment) return;  // Another tick was set meanwhile.
    self.tick_at.reset();
    deliver(index, node::event::Tick{});
  });
}

// ---------------------------------------------------------------------------------------------------- links

bool World::blocked(std::uint32_t from, std::uint32_t to) const {
  return std::ranges::any_of(cuts_, [&](const auto& entry) {
    const Cut& cut = entry.second;
    return cut.side[from] != cut.side[to] && (cut.both || cut.side[from]);
  });
}

Duration World::base_latency(std::uint32_t a, std::uint32_t b) const {
  if (options_.link_max_us == 0) return Duration{0};
  Random link(options_.seed ^ (std::uint64_t{std::min(a, b)} << 32 | std::max(a, b)) * 0x9e3779b97f4a7c15ULL);
  return micros(link.between(options_.link_min_us, options_.link_max_us));
}

Duration World::latency(std::uint32_t from, std::uint32_t to) {
  const Spread jitter{options_.latency_min_us, options_.latency_max_us,
                      options_.latency_tailed != 0 ? Shape::tailed : Shape::even};
  return base_latency(from, to) + jitter.draw(random_);
}

Duration World::depart(std::uint32_t from, std::size_t bytes) {
  if (options_.uplink_bytes_per_s == 0) return Duration{0};
  Host& host = hosts_[from];
  host.uplink_free = std::max(host.uplink_free, now_) + micros(bytes * 1'000'000 / options_.uplink_bytes_per_s);
  return host.uplink_free - now_;
}

namespace {
constexpr std::uint64_t link_stream = 3;  // Beside the three channels: news of the link itself.
constexpr std::uint64_t streams = 4;
}  // namespace

void World::link_up(std::uint32_t a, std::uint32_t b) {
  if (!running(a) || !running(b) || hosts_[a].links.contains(b) || blocked(a, b) || blocked(b, a)) return;
  hosts_[a].links[b] = now_;
  hosts_[b].links[a] = now_;
  for (const auto& [self, other] : {std::pair(a, b), std::pair(b, a)}) {
    Instant& last = last_arrival_[(std::uint64_t{other} * size() + self) * streams + link_stream];
    last = std::max(last, now_ + latency(other, self));
    schedule(last - now_, [this, self, other, life = hosts_[self].life] {
      if (hosts_[self].life != life || !hosts_[self].links.contains(other)) return;
      deliver(self, node::event::PeerUp{id(other)});
      if (const Duration base = base_latency(self, other); base > Duration{0} && running(self)) {
        const Duration jitter = micros((options_.latency_min_us + options_.latency_max_us) / 2);
        deliver(self, node::event::PeerRoundTrip{id(other), 2 * (base + jitter)});
      }
    });
  }
  if (!neighbours(a, b)) close_when_idle(a, b);
}

void World::link_down(std::uint32_t a, std::uint32_t b) {
  if (hosts_[a].links.erase(b) == 0) return;
  hosts_[b].links.erase(a);
  for (const auto& [self, other] : {std::pair(a, b), std::pair(b, a)}) {
    if (!running(self)) continue;
    Instant& last = last_arrival_[(std::uint64_t{other} * size() + self) * streams + link_stream];
    last = std::max(last, now_ + latency(other, self));
    schedule(last - now_, [this, self, other, life = hosts_[self].life] {
      if (hosts_[self].life == life) deliver(self, node::event::PeerDown{id(other)});
    });
  }
}

void World::link_neighbours(std::uint32_t index) {
  if (!everybody_linked()) {
    for (const std::uint32_t other : hosts_[index].neighbours) link_up(index, other);
    return;
  }
  for (std::uint32_t other = 0; other < size(); ++other) {
    if (other != index) link_up(index, other);
  }
}

void World::close_when_idle(std::uint32_t a, std::uint32_t b) {
  const auto link = hosts_[a].links.find(b);
  if (link == hosts_[a].links.end()) return;
  const Instant due = link->second + micros(options_.idle_close_us);
  if (due <= now_) return link_down(a, b);
  schedule(due - now_, [this, a, b, life = hosts_[a].life] {
    if (hosts_[a].life == life) close_when_idle(a, b);
  });
}

std::uint64_t World::cut(std::vector<bool> side, bool both) {
  MESH_CHECK(side.size() == size(), "sim-cut-names-every-host");
  const std::uint64_t name = next_cut_++;
  trace(static_cast<std::uint64_t>(Mark::cut), static_cast<std::uint32_t>(name));
  cuts_.emplace(name, Cut{std::move(side), both});
  faults_.add(both ? Fault::partition : Fault::one_way);
  schedule(micros(options_.cut_noticed_us), [this, name] {
    if (!cuts_.contains(name)) return;
    for (std::uint32_t a = 0; a < size(); ++a) {
      std::vector<std::uint32_t> dead;
      for (const auto& [b, used] : hosts_[a].links) {
        if (blocked(a, b) || blocked(b, a)) dead.push_back(b);
      }
      for (const std::uint32_t b : dead) link_down(a, b);
    }
  });
  return name;
}

void World::heal(std::uint64_t name) {
  if (cuts_.erase(name) == 0) return;
  trace(static_cast<std::uint64_t>(Mark::heal), static_cast<std::uint32_t>(name));
  schedule(redial_after, [this] {
    for (std::uint32_t a = 0; a < size(); ++a) {
      if (running(a)) link_neighbours(a);
    }
  });
}

// ---------------------------------------------------------------------------------------------------- messages

void World::send_as(std::uint32_t from, node::effect::Send send) {
  if (running(from)) transmit(from, std::move(send));
}

void World::transmit(std::uint32_t from, node::effect::Send send) {
  for (Observer* observer : observers_) observer->on_send(from, send);
  const auto known = by_id_.find(send.to);
  const std::uint64_t life = hosts_[from].life;
  const bool reachable = known != by_id_.end() && known->second != from && running(known->second);
  const bool linked = reachable && hosts_[from].links.contains(known->second);
  if (!linked && (!reachable || blocked(from, known->second) || blocked(known->second, from))) {
    schedule(dial_timeout, [this, from, life, to = send.to, channel = send.channel] {
      if (hosts_[from].life == life) deliver(from, node::event::SendFailed{to, channel, "unreachable"});
    });
    return;
  }
  const std::uint32_t to = known->second;
  ++traffic_.direct_messages;
  traffic_.direct_bytes += send.bytes.size();
  Duration after = depart(from, send.bytes.size());
  if (linked) {
    hosts_[from].links[to] = now_;
    hosts_[to].links[from] = now_;
    if (blocked(from, to)) return;  // Nobody has noticed yet.
  } else {
    link_up(from, to);
    after += latency(from, to);
  }
  if (random_.chance(static_cast<std::uint32_t>(options_.loss_per_mille))) return faults_.add(Fault::loss);
  const std::uint64_t stream = (std::uint64_t{from} * size() + to) * streams + static_cast<std::uint64_t>(send.channel);
  const auto arrive = [&](Duration in, node::effect::Send copy) {
    schedule(in, [this, from, to, to_life = hosts_[to].life, copy = std::move(copy)]() mutable {
      if (hosts_[to].life == to_life) deliver(to, node::event::Message{id(from), copy.channel, std::move(copy.bytes)});
    });
  };
  if (random_.chance(static_cast<std::uint32_t>(options_.duplicate_per_mille))) {
    faults_.add(Fault::duplication);
    arrive(after + latency(from, to), send);
  }
  Instant& last = last_arrival_[stream];
  if (random_.chance(static_cast<std::uint32_t>(options_.reorder_per_mille))) {
    const Instant sent = now_;
    const Duration held = after + latency(from, to) + micros(random_.between(1, options_.reorder_us));
    schedule(held, [this, stream, sent] {
      if (last_arrival_[stream] > sent && last_arrival_[stream] < now_) faults_.add(Fault::reordering);
    });
    return arrive(held, std::move(send));
  }
  last = std::max(last, now_ + after + latency(from, to));
  arrive(last - now_, std::move(send));
}

void World::publish(std::uint32_t from, node::effect::Publish publish) {
  for (Observer* observer : observers_) observer->on_publish(from, publish);
  auto flight = std::make_shared<Flight>(Flight{publish.topic, ++gossip_id_, from, std::move(publish.bytes), {}});
  if (!everybody_linked()) {
    flight->seen.resize(size());
    flight->seen[from] = true;
  }
  forward(from, flight, 1);
}

void World::forward(std::uint32_t from, const std::shared_ptr<Flight>& flight, std::uint64_t hops) {
  const bool capability = flight->topic == node::Topic::capabilities;
  for (const auto& [to, used] : hosts_[from].links) {
    if (to == flight->source || !neighbours(from, to)) continue;
    ++(capability ? traffic_.capability_copies : traffic_.gossip_copies);
    (capability ? traffic_.capability_bytes : traffic_.gossip_bytes) += flight->bytes.size();
    if (!everybody_linked() && flight->seen[to]) continue;
    if (blocked(from, to)) continue;
    if (random_.chance(static_cast<std::uint32_t>(options_.loss_per_mille))) {
      faults_.add(Fault::loss);
      continue;
    }
    schedule(depart(from, flight->bytes.size()) + latency(from, to), [this, to, life = hosts_[to].life, flight, hops] {
      Host& host = hosts_[to];
      if (host.life != life) return;
      if (!everybody_linked()) {
        if (flight->seen[to]) return;
        flight->seen[to] = true;
        host.arrived = Arrived{flight, hops};
      }
      deliver(to, node::event::Gossip{flight->topic, flight->message, id(flight->source), flight->bytes});
      host.arrived.reset();
    });
  }
}

void World::inject(std::uint32_t to, const NodeId& from, node::Channel channel, Bytes bytes) {
  deliver(to, node::event::Message{from, channel, std::move(bytes)});
}

// ---------------------------------------------------------------------------------------------------- the ledger

std::uint64_t World::wall_ms(const Host& host) const {
  return Notary::genesis_ms + static_cast<std::uint64_t>((now_.time_since_epoch() + host.leapt).count() / 1000);
}

void World::tell(std::uint32_t index, node::Event event) {
  Host& host = hosts_[index];
  host.last_news = std::max(host.last_news, now_ + latency(index, index));
  schedule(host.last_news - now_, [this, index, life = host.life, event = std::move(event)]() mutable {
    if (hosts_[index].life == life) deliver(index, std::move(event));
  });
}

void World::ask_ledger(std::uint32_t index, node::effect::Transact transact) {
  if (random_.chance(static_cast<std::uint32_t>(options_.loss_per_mille))) {
    faults_.add(Fault::loss);
    return tell(index, node::event::Transacted{transact.id, fail(ErrorCode::unavailable, "lost: on the way")});
  }
  schedule(latency(index, index), [this, index, life = hosts_[index].life, transact = std::move(transact)]() mutable {
    // Of a host that crashed meanwhile it was written down, or not.
    if (hosts_[index].life == life || random_.chance(500)) notary_->ask(index, life, std::move(transact));
  });
}

void World::make_blocks() {
  schedule(micros(options_.block_us), [this] { make_blocks(); });
  Notary::Made made =
      notary_->make_block(Notary::genesis_ms + static_cast<std::uint64_t>(now_.time_since_epoch().count() / 1000));
  if (made.block) {
    trace(static_cast<std::uint64_t>(Mark::block), static_cast<std::uint32_t>(notary_->ledger().height()));
    trace_.add(notary_->ledger().state_root().view());
    for (std::uint32_t i = 0; i < size(); ++i) {
      if (!running(i)) continue;
      tell(i, node::changes_of(notary_->ledger().state(), made.touched, *made.block, hosts_[i].interest,
                               wall_ms(hosts_[i])));
    }
  }
  for (Notary::Answer& answer : made.answers) {
    if (hosts_[answer.host].life == answer.life) tell(answer.host, std::move(answer.transacted));
  }
}

// ---------------------------------------------------------------------------------------------------- effects

void World::commit(Host& host, Write& write) {
  for (node::JournalRecord& record : write.append) host.journal.push_back(std::move(record));
  for (const Cid& scope : write.drop)
    std::erase_if(host.journal, [&](const node::JournalRecord& record) { return record.scope == scope; });
}

void World::persist(std::uint32_t index, Write write) {
  Host& host = hosts_[index];
  host.queued.push_back(std::move(write));
  if (!host.syncing) sync(index);
}

void World::sync(std::uint32_t index) {
  // As a write-ahead log does: what comes while a sync is under way shares the next one.
  Host& host = hosts_[index];
  host.syncing = true;
  host.writing = std::exchange(host.queued, {});
  Duration takes = Spread{options_.sync_us, std::max(options_.sync_us, options_.sync_max_us)}.draw(random_);
  if (random_.chance(static_cast<std::uint32_t>(options_.stall_per_mille))) {
    faults_.add(Fault::disk_stall);
    takes += micros(options_.stall_us);
  }
  schedule(takes, [this, index, life = host.life] {
    Host& self = hosts_[index];
    if (self.life != life) return;
    std::vector<Write> durable = std::exchange(self.writing, {});
    for (Write& write : durable) commit(self, write);
    if (self.queued.empty()) {
      self.syncing = false;
    } else {
      sync(index);
    }
    for (Write& write : durable) carry_out(index, std::move(write.then));
  });
}

void World::execute(std::uint32_t index, const node::effect::Execute& request) {
  Host& host = hosts_[index];
  const Spread run{options_.run_us_min, options_.run_us_max, options_.run_tailed != 0 ? Shape::tailed : Shape::even};
  // A run says how far it is now and then, at the latest with its last shard.
  Duration total{0};
  Duration told{0};
  std::size_t first = 0;
  std::vector<Result<Output>> results;
  const std::vector<ShardRun> runs = runs_of(request);
  // What cannot be had from some shard on ends the rest of the run.
  std::size_t failed_from = runs.size();
  if (random_.chance(static_cast<std::uint32_t>(options_.fetch_fail_per_mille))) {
    failed_from = random_.below(runs.size());
    faults_.add(Fault::failed_fetch);
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const ShardRun& one = runs[i];
    Duration took = run.draw(random_) * static_cast<std::int64_t>(host.run_per_mille) / 1000;
    work_.fuel += static_cast<std::uint64_t>(took.count()) * 1000;
    if (host.slow) {
      took *= static_cast<std::int64_t>(options_.slow_factor);
      faults_.add(Fault::slow_run);
    }
    if (host.behaviour.run_time) took = host.behaviour.run_time(one);
    Output output = honest_output(one, took);
    if (host.behaviour.lie) host.behaviour.lie(one, output);
    const bool is_opened = !request.sealed || host.node->job(request.intent) ||
                           (i < request.keys.size() && is_key_for(host.id, request.intent, one.shard, request.keys[i]));
    if (!is_opened) {
      results.emplace_back(fail(ErrorCode::denied, "the key is another's"));
    } else if (i < failed_from) {
      results.emplace_back(std::move(output));
    } else {
      results.emplace_back(fail(ErrorCode::unavailable, "the inputs could not be had from anybody"));
    }
    total += took;
    ++work_.runs;
    work_.busy += took;
    if (i + 1 < runs.size() && total - told < report_every) continue;
    schedule(total,
             [this, index, life = host.life, done = done_with(request, first, std::exchange(results, {}))]() mutable {
               if (hosts_[index].life == life) deliver(index, std::move(done));
             });
    told = total;
    first = i + 1;
  }
}

void World::carry_out(std::uint32_t index, node::Effects effects) {
  Host& host = hosts_[index];
  const auto later = [this, index, life = host.life](Duration after, auto event) {
    schedule(after, [this, index, life, event = std::move(event)]() mutable {
      if (hosts_[index].life == life) deliver(index, std::move(event));
    });
  };
  for (node::Effect& effect : effects) {
    std::visit(
        [&]<class T>(T& value) {
          if constexpr (std::same_as<T, node::effect::Publish>) {
            publish(index, std::move(value));
          } else if constexpr (std::same_as<T, node::effect::Send>) {
            transmit(index, std::move(value));
          } else if constexpr (std::same_as<T, node::effect::JudgeGossip>) {
            if (!host.arrived || value.verdict != node::effect::GossipVerdict::accept) return;
            const Arrived arrived = *host.arrived;
            const bool capability = arrived.flight->topic == node::Topic::capabilities;
            if (capability && options_.capability_hops != 0 && arrived.hops >= options_.capability_hops) return;
            forward(index, arrived.flight, arrived.hops + 1);
          } else if constexpr (std::same_as<T, node::effect::Execute>) {
            execute(index, value);
          } else if constexpr (std::same_as<T, node::effect::WrapKeys>) {
            later(latency(index, index), keys_for(value));
          } else if constexpr (std::same_as<T, node::effect::FetchResults>) {
            Status status;
            if (random_.chance(static_cast<std::uint32_t>(options_.fetch_fail_per_mille))) {
              faults_.add(Fault::failed_fetch);
              status = fail(ErrorCode::unavailable, "nobody has the results just now");
            }
            later(latency(index, index) * 2, node::event::ResultsFetched{value.id, std::move(status)});
          } else if constexpr (std::same_as<T, node::effect::BuildReduceInput>) {
            Bytes all;
            for (const Cid& cid : value.results) append(all, cid.digest().view());
            later(latency(index, index), node::event::ReduceInputBuilt{value.id, Cid::of(Multicodec::raw, all)});
          } else if constexpr (std::same_as<T, node::effect::Persist>) {
            persist(index, {std::move(value.append), std::move(value.drop), std::move(value.then)});
          } else if constexpr (std::same_as<T, node::effect::Confirm>) {
            host.node->confirm(value);
          } else if constexpr (std::same_as<T, node::effect::Notify>) {
            trace(static_cast<std::uint64_t>(Mark::notice), index);
            trace_.add(as_bytes(value.notice.kind));
            for (Observer* observer : observers_) observer->on_notice(index, value.notice);
            if (options_.keep_notices != 0) notices_.emplace_back(index, std::move(value.notice));
          } else if constexpr (std::same_as<T, node::effect::Transact>) {
            MESH_CHECK(notary_ != nullptr, "no-ledger: nodes without one ask nothing of it");
            ask_ledger(index, std::move(value));
          } else if constexpr (std::same_as<T, node::effect::Watch>) {
            MESH_CHECK(notary_ != nullptr, "no-ledger: nodes without one ask nothing of it");
            host.interest.intents.insert(value.intent);
            tell(index, node::part_of(notary_->ledger().state(), value.intent, host.interest, wall_ms(host)));
          }
        },
        effect.value);
  }
}

// ---------------------------------------------------------------------------------------------------- work

node::JobSpec World::spec(std::uint32_t shards) const {
  const Bytes function = to_bytes("simulated function");
  return {.function = Cid::of(Multicodec::raw, function),
          .inputs = Cid::of(Multicodec::dag_cbor, function),
          .shards = shards,
          .reduce = {},
          .scope = {},
          .fee = 0,
          .verifiers = {},
          .bid_window_ms = 0,
          .limits = {},
          .label = "simulated",
          .created_ms = 0};
}

Result<Cid> World::try_submit(std::uint32_t host, node::JobSpec spec) {
  node::event::Submit submit{
      std::move(spec), tagged_hash("meshwork/sim/entropy", {big_endian(options_.seed), big_endian(submitted_++)})};
  MESH_LET(const Cid job, at(host).check_submit(submit));
  deliver(host, std::move(submit));
  return job;
}

Cid World::submit(std::uint32_t host, node::JobSpec spec) {
  const Result<Cid> job = try_submit(host, std::move(spec));
  MESH_CHECK(job.has_value(), "sim-spec-is-valid");
  return *job;
}

}  // namespace mesh::sim
