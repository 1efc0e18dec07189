#include "sim/world.h"

#include "base/check.h"
#include "node/job.h"
#include "node/parcel.h"

namespace mesh::sim {

namespace {

Seed seed_of(std::uint64_t world, std::uint32_t host) {
  const Digest digest = tagged_hash("meshwork/sim/seed", {big_endian(world), big_endian(host)});
  return *Seed::from(digest.view());
}

constexpr std::string_view engine_name = "simulated;1";

}  // namespace

World::World(Options options) : options_(options), random_(options.seed) {
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    Host host;
    host.config.seed = seed_of(options_.seed, i);
    host.config.engine = engine_name;
    host.config.agent = "meshwork-sim";
    host.config.slots = options_.slots;
    host.config.resources.cores = options_.slots;
    host.config.resources.memory_mb = 1024;
    host.config.resources.fuel_per_second = 1'000'000'000;
    host.id = public_key_of(host.config.seed);
    const Result<Cid> federation =
        identity::derive_federation(host.config.federation, policy::cid_of(host.config.policy));
    MESH_CHECK(federation.has_value(), "sim-federation");
    host.signer = std::make_unique<identity::Signer>(host.config.seed, *federation);
    by_id_.emplace(host.id, i);
    hosts_.push_back(std::move(host));
  }
}

World::~World() = default;

void World::trace(std::string_view what, std::uint32_t host, ByteView bytes) {
  trace_ = tagged_hash(what, {trace_.view(), big_endian(static_cast<std::uint64_t>(now_.time_since_epoch().count())),
                              big_endian(host), bytes});
}

Duration World::latency() {
  return Duration(static_cast<std::int64_t>(random_.between(options_.latency_min_us, options_.latency_max_us)));
}

void World::schedule(Duration after, std::function<void()> action) {
  queue_.push({now_ + after, order_++, std::move(action)});
}
void World::at_time(Duration from_now, std::function<void()> action) { schedule(from_now, std::move(action)); }

void World::start() {
  for (std::uint32_t i = 0; i < size(); ++i) restart(i);
}

void World::restart(std::uint32_t index) {
  Host& host = hosts_[index];
  MESH_CHECK(host.node == nullptr, "sim-restart-of-a-running-host");
  ++host.life;
  host.born = now_;
  ++host.config.resources.boot;
  host.unsynced.clear();
  Result<std::unique_ptr<node::Node>> node = node::Node::create(host.config, local(host), host.journal);
  MESH_CHECK(node.has_value(), "sim-node-starts-from-its-journal");
  host.node = std::move(*node);
  trace("start", index, {});
  deliver(index, node::event::HostMeasured{host.config.resources.fuel_per_second});
  connect_all(index);
}

void World::connect_all(std::uint32_t index) {
  const std::uint64_t life = hosts_[index].life;
  for (std::uint32_t other = 0; other < size(); ++other) {
    if (other == index || !running(other)) continue;
    const std::uint64_t other_life = hosts_[other].life;
    schedule(latency(), [this, index, other, life, other_life] {
      if (hosts_[index].life != life || hosts_[other].life != other_life || !running(index) || !running(other)) return;
      deliver(index, node::event::PeerUp{id(other)});
      deliver(other, node::event::PeerUp{id(index)});
    });
  }
}

void World::crash(std::uint32_t index) {
  Host& host = hosts_[index];
  MESH_CHECK(host.node != nullptr, "sim-crash-of-a-stopped-host");
  host.node.reset();
  ++host.life;
  host.unsynced.clear();
  host.tick_at.reset();
  trace("crash", index, {});
  for (std::uint32_t other = 0; other < size(); ++other) {
    if (other == index || !running(other)) continue;
    const std::uint64_t life = hosts_[other].life;
    schedule(latency(), [this, index, other, life] {
      if (hosts_[other].life == life && running(other) && !running(index))
        deliver(other, node::event::PeerDown{id(index)});
    });
  }
}

void World::deliver(std::uint32_t index, node::Event event) {
  Host& host = hosts_[index];
  if (host.node == nullptr) return;
  ++event_count_;
  const Digest kind = tagged_hash("kind", {big_endian(event.index())});
  trace("event", index, kind.view());
  if (const auto* message = std::get_if<node::event::Message>(&event)) trace("message", index, message->bytes);
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
  const Instant at = Instant(due->time_since_epoch() + host.born.time_since_epoch());
  const Instant moment = std::max(at, now_ + Duration(1));
  if (host.tick_at && *host.tick_at <= moment && *host.tick_at > now_) return;
  host.tick_at = moment;
  const std::uint64_t life = host.life;
  schedule(moment - now_, [this, index, life, moment] {
    if (hosts_[index].life != life) return;
    if (hosts_[index].tick_at == moment) hosts_[index].tick_at.reset();
    deliver(index, node::event::Tick{});
  });
}

receipt::Finding World::truth(const Cid& function, std::uint32_t shard) const {
  const Digest result = tagged_hash("meshwork/sim/result", {function.binary(), big_endian(shard)});
  return {.result = Cid::of(Multicodec::raw, result.view()),
          .log = Cid::of(Multicodec::raw, {}),
          .outcome = {},
          .fuel = 1000 + shard};
}

void World::carry_out(std::uint32_t index, node::Effects effects) {
  Host& host = hosts_[index];
  const std::uint64_t life = host.life;
  const auto later = [this, index, life](Duration after, std::function<void()> action) {
    schedule(after, [this, index, life, action = std::move(action)] {
      if (hosts_[index].life == life) action();
    });
  };
  for (node::Effect& effect : effects) {
    std::visit(
        [&]<class T>(T& value) {
          if constexpr (std::same_as<T, node::effect::Publish>) {
            const std::uint64_t message = ++gossip_id_;
            for (std::uint32_t other = 0; other < size(); ++other) {
              if (other == index || !running(other)) continue;
              if (random_.chance(options_.loss_per_mille)) {
                ++lost_count_;
                continue;
              }
              ++message_count_;
              const std::uint64_t other_life = hosts_[other].life;
              schedule(latency(), [this, other, other_life, index, message, topic = value.topic, bytes = value.bytes] {
                if (hosts_[other].life == other_life)
                  deliver(other, node::event::Gossip{topic, message, id(index), bytes});
              });
            }
          } else if constexpr (std::same_as<T, node::effect::Send>) {
            const auto to = by_id_.find(value.to);
            if (to == by_id_.end() || !running(to->second)) {
              later(latency(), [this, index, peer = value.to, channel = value.channel] {
                deliver(index, node::event::SendFailed{peer, channel, "unreachable"});
              });
              return;
            }
            const std::uint32_t copies = random_.chance(options_.loss_per_mille)        ? 0
                                         : random_.chance(options_.duplicate_per_mille) ? 2
                                                                                        : 1;
            if (copies == 0) ++lost_count_;
            for (std::uint32_t copy = 0; copy < copies; ++copy) {
              ++message_count_;
              const std::uint64_t other_life = hosts_[to->second].life;
              schedule(latency(),
                       [this, to = to->second, other_life, index, channel = value.channel, bytes = value.bytes] {
                         if (hosts_[to].life == other_life)
                           deliver(to, node::event::Message{id(index), channel, bytes});
                       });
            }
          } else if constexpr (std::same_as<T, node::effect::Execute>) {
            Duration at{0};
            for (const std::uint32_t shard : value.shards) {
              const Duration took(static_cast<std::int64_t>(random_.between(options_.run_us_min, options_.run_us_max)));
              at += took;
              node::event::ExecutionDone::Output output{
                  .finding = truth(value.function, shard),
                  .summary = {.fuel = 1000 + shard,
                              .wall_ms = static_cast<std::uint64_t>(took.count() / 1000),
                              .peak_memory_bytes = 65536,
                              .io_bytes = 64},
                  .result_block = {},
                  .log_block = {}};
              if (host.behaviour.lie) host.behaviour.lie(value, shard, output);
              node::event::ExecutionDone done{.id = value.id, .shards = {}, .last = shard == value.shards.back()};
              done.shards.push_back({shard, std::move(output)});
              later(at, [this, index, done = std::move(done)] { deliver(index, done); });
            }
          } else if constexpr (std::same_as<T, node::effect::FetchResults>) {
            later(latency() * 2, [this, index, id = value.id] { deliver(index, node::event::ResultsFetched{id, {}}); });
          } else if constexpr (std::same_as<T, node::effect::BuildReduceInput>) {
            Bytes all;
            for (const Cid& cid : value.results) append(all, cid.digest().view());
            later(latency(), [this, index, id = value.id, inputs = Cid::of(Multicodec::raw, all)] {
              deliver(index, node::event::ReduceInputBuilt{id, inputs});
            });
          } else if constexpr (std::same_as<T, node::effect::Persist>) {
            // Written now, durable after the sync; a crash before loses it, and what waited for it never happens.
            later(Duration(static_cast<std::int64_t>(options_.sync_us)),
                  [this, index, append = std::move(value.append), drop = std::move(value.drop),
                   then = std::move(value.then)]() mutable {
                    Host& self = hosts_[index];
                    for (node::JournalRecord& record : append) self.journal.push_back(std::move(record));
                    for (const Cid& scope : drop)
                      std::erase_if(self.journal, [&](const auto& record) { return record.scope == scope; });
                    carry_out(index, std::move(then));
                  });
          } else if constexpr (std::same_as<T, node::effect::Notify>) {
            trace("notice", index, as_bytes(value.notice.kind + value.notice.text));
            notices_.emplace_back(index, std::move(value.notice));
          }
        },
        effect.value);
  }
}

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

Cid World::submit(std::uint32_t host, node::JobSpec spec) {
  node::event::Submit submit{
      std::move(spec), tagged_hash("meshwork/sim/entropy", {big_endian(options_.seed), big_endian(submitted_++)})};
  const Result<Cid> job = at(host).check_submit(submit);
  MESH_CHECK(job.has_value(), "sim-spec-is-valid");
  deliver(host, std::move(submit));
  return *job;
}

void World::inject(std::uint32_t to, const NodeId& from, node::Channel channel, Bytes bytes) {
  deliver(to, node::event::Message{from, channel, std::move(bytes)});
}

bool World::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  while (!done()) {
    if (queue_.empty() || queue_.top().at > end) {
      now_ = end;
      return done();
    }
    Happening next = queue_.top();
    queue_.pop();
    now_ = next.at;
    next.action();
  }
  return true;
}

}  // namespace mesh::sim
