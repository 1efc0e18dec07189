#include "sim/ledger/town.h"

#include <fmt/format.h>

#include <algorithm>

#include "chain/payment.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::sim {

namespace {

using chain::Height;
namespace effect = chain::effect;
namespace event = chain::event;
namespace notice = chain::notice;

constexpr std::uint64_t genesis_ms = 1'700'000'000'000;
constexpr std::uint64_t first_client = 1'000;
constexpr std::uint64_t steward = 999;
constexpr std::uint64_t first_saver = 3'000;
constexpr std::uint64_t first_villager = 5'000;
constexpr std::uint64_t first_reporter = 7'000;
constexpr std::uint64_t first_later_key = 10'000;
constexpr std::uint64_t wealth = 1'000'000'000;  ///< of a villager
constexpr std::size_t rotations_each = 2;
constexpr std::uint64_t smallest_transfer = 1'000;
constexpr std::uint64_t saved = 1'000'000;
constexpr std::size_t most_heard = 200;
/// A chain in here is short.
constexpr Height usual_skip = 4;
/// Clients that double-spend submit the other one under no number.
constexpr std::uint64_t no_submission = 0;

consensus::Timeouts timeouts_of(const LedgerPlan& plan) {
  // Long enough for most messages to arrive, else rounds would pass for nothing.
  const auto usual = std::chrono::milliseconds(100 + 3 * (plan.latency_max_us + plan.sync_max_us) / 1000);
  return {.propose = 2 * usual,
          .prevote = usual,
          .precommit = usual,
          .step = usual,
          .max = 20 * usual,
          .rebroadcast = 4 * usual};
}

ledger::Ledger founded(const identity::Charter& charter, const ledger::Genesis& genesis, std::uint64_t host) {
  Result<ledger::Ledger> ledger = ledger::Ledger::found(charter, genesis, sha256(big_endian(host)));
  MESH_CHECK(ledger.has_value(), "sim-ledger-genesis");
  return std::move(*ledger);
}

Result<ledger::Restored> read_snapshot(const ledger::Ledger& founded, const ledger::Snapshot& snapshot) {
  MESH_LET(ledger::SnapshotReader reader,
           ledger::SnapshotReader::begin(founded.federation(), founded.state().frame.validators, chain::certifier(),
                                         snapshot.head));
  for (const Bytes& piece : snapshot.pieces) MESH_TRY(reader.feed(piece));
  return reader.finish();
}

std::string_view name_of(std::string_view text) { return text.substr(0, text.find(':')); }

}  // namespace

LedgerReport run(const LedgerPlan& plan) { return Town(plan).run(); }

void Town::Disk::apply(const effect::Persist& write) {
  for (const auto& entry : write.entries) log.push_back(entry);
  if (write.begins_at_snapshot) {
    base = write.snapshot->height;
    blocks.clear();
    snapshots.clear();
  }
  if (write.snapshot) snapshots[write.snapshot->height] = write.snapshot;
  if (snapshots.size() > 2) snapshots.erase(snapshots.begin());
  for (const chain::FinalBlock& block : write.blocks) {
    MESH_CHECK(block.height > base && block.height <= height() + 1, "sim-ledger-blocks-in-order");
    blocks.resize(block.height - base - 1);  // Behind one that was damaged nothing counts.
    blocks.push_back(block);
  }
  std::erase_if(log, [&](const auto& entry) { return entry.first < write.forget_below; });
  if (write.signs_from) signs_from = *write.signs_from;
  for (const chain::Offence& offence : write.offences) {
    std::erase_if(offences, [&](const chain::Offence& other) { return other.offender == offence.offender; });
    offences.push_back(offence);
  }
}

Town::Town(const LedgerPlan& plan) : plan_(plan), random_(plan.seed) {
  std::vector<ledger::Founder> founders;
  for (std::uint64_t i = 0; i < plan.validators + plan.followers; ++i) {
    const ledger::Person person = ledger::person(i);
    seeds_.push_back(person.seed);
    std::vector<Seed>& later = later_seeds_.emplace_back();
    identities_.emplace(person.id, i);
    for (std::size_t each = 0; each < rotations_each; ++each) {
      const ledger::Person next = ledger::person(first_later_key + i * rotations_each + each);
      later.push_back(next.seed);
      identities_.emplace(next.id, i);
    }
    keys_.push_back(person.id);
    if (i >= plan.validators) continue;
    founders.push_back({.account = person.id,
                        .credits = 100'000,
                        .bonded = 2'000'000,
                        .power = 1,
                        .roles = {ledger::Role::validator}});
  }
  founders.push_back({.account = ledger::person(steward).id, .credits = 1'000, .roles = {ledger::Role::steward}});
  for (std::uint64_t i = 0; i < plan.clients; ++i) {
    founders.push_back(
        {.account = ledger::person(first_client + i).id, .credits = 1'000'000, .roles = {ledger::Role::member}});
  }
  for (std::uint64_t i = 0; i < plan.withdrawals; ++i) {
    founders.push_back(
        {.account = ledger::person(first_saver + i).id, .credits = 2 * saved, .roles = {ledger::Role::member}});
  }
  std::vector<ledger::AccountId> villagers;
  for (std::uint64_t i = 0; i < plan.villagers; ++i) {
    villagers.push_back(ledger::person(first_villager + i).id);
    std::vector<ledger::Role> roles{ledger::Role::member, ledger::Role::worker, ledger::Role::verifier};
    if (i == 0) roles.push_back(ledger::Role::steward);
    founders.push_back({.account = villagers.back(),
                        .credits = wealth,
                        .bonded = (i + 1) * wealth / 20,
                        .weight = i % 3 == 0 ? 300 : 0U,
                        .roles = std::move(roles),
                        .owner = i % 4 == 3 ? std::optional<std::string>("did:of:one") : std::nullopt});
  }
  const std::size_t all_hosts = plan.validators + plan.followers + plan.twins;
  for (std::uint64_t i = 0; i < all_hosts; ++i) {
    founders.push_back(
        {.account = ledger::person(first_reporter + i).id, .credits = 1'000, .roles = {ledger::Role::member}});
  }
  genesis_ = ledger::genesis_of(
      std::move(founders),
      {.lock_ms = plan.lock_s * 1000, .answer_ms = 5'000, .dispute_ms = 10'000, .notice_ms = 10'000});
  genesis_.time_ms = genesis_ms;
  charter_ = ledger::charter_of("town", Cid::of(Multicodec::dag_cbor, {}), genesis_);

  std::vector<Kind> kinds(plan.validators, Kind::honest);
  std::size_t liars = 0;
  const auto some = [&](std::uint64_t count, Kind kind) {
    for (std::uint64_t i = 0; i < count && liars < kinds.size(); ++i) kinds[liars++] = kind;
  };
  some(plan.twins, Kind::twin);
  some(plan.silent, Kind::silent);
  some(plan.selective, Kind::selective);
  some(plan.stale, Kind::stale);
  some(plan.forgers, Kind::forger);
  kinds.resize(keys_.size(), Kind::honest);
  for (std::size_t identity = 0; identity < keys_.size(); ++identity) {
    const std::size_t bodies = kinds[identity] == Kind::twin ? 2 : 1;
    for (std::size_t body = 0; body < bodies; ++body) {
      Host& host = hosts_.emplace_back();
      host.identity = identity;
      host.kind = kinds[identity];
      const auto skew = static_cast<std::int64_t>(plan.skew_ms);
      host.skew_ms = static_cast<std::int64_t>(random_.below(2 * plan.skew_ms + 1)) - skew;
    }
  }
  for (std::uint64_t i = 0; i < plan.clients; ++i) {
    const ledger::Person person = ledger::person(first_client + i);
    clients_.push_back({.number = i + 1, .seed = person.seed, .account = person.id, .left = plan.transfers});
  }
  if (plan.set_changes > 0) {
    const ledger::Person person = ledger::person(steward);
    clients_.push_back({.number = plan.clients + 1,
                        .work = Work::changes_sets,
                        .seed = person.seed,
                        .account = person.id,
                        .left = plan.set_changes});
  }
  for (std::uint64_t i = 0; i < plan.withdrawals; ++i) {
    const ledger::Person person = ledger::person(first_saver + i);
    clients_.push_back(
        {.number = clients_.size() + 1, .work = Work::withdraws, .seed = person.seed, .account = person.id, .left = 2});
  }
  // The last ones are honest.
  const std::size_t honest = plan.validators - liars;
  for (std::size_t i = 0; i < honest && i < plan.rotations; ++i) {
    const std::size_t identity = plan.validators - 1 - i;
    const std::uint64_t left = std::min<std::uint64_t>(rotations_each, 1 + (plan.rotations - 1 - i) / honest);
    clients_.push_back({.number = clients_.size() + 1,
                        .work = Work::rotates,
                        .identity = identity,
                        .seed = seeds_[identity],
                        .account = keys_[identity],
                        .left = left});
  }
  for (std::uint64_t i = 0; i < all_hosts; ++i) {
    const ledger::Person person = ledger::person(first_reporter + i);
    clients_.push_back({.number = clients_.size() + 1,
                        .work = Work::reports,
                        .identity = i,
                        .seed = person.seed,
                        .account = person.id});
  }
  // Who verifies needs no power, and validators have chains for the beacon.
  std::map<PublicKey, Seed> keys;
  for (std::uint64_t i = 0; i < plan.villagers; ++i) {
    const ledger::Person person = ledger::person(first_villager + i);
    clients_.push_back({.number = clients_.size() + 1, .work = Work::lives, .seed = person.seed, .account = person.id});
    keys.emplace(person.id, person.seed);
  }
  for (std::size_t i = 0; i < plan.validators && plan.villagers > 0; ++i) {
    keys.emplace(keys_[i], seeds_[i]);
    for (const Seed& later : later_seeds_[i]) keys.emplace(public_key_of(later), later);
    if (std::ranges::find(clients_, keys_[i], &Client::account) != clients_.end()) continue;
    clients_.push_back({.number = clients_.size() + 1, .work = Work::lives, .seed = seeds_[i], .account = keys_[i]});
  }
  village_ = std::make_unique<Village>(plan.seed, genesis_, dagcbor::cid_of(record::encode(charter_)),
                                       std::move(villagers), std::move(keys));
}

// ---- time

void Town::schedule(Duration after, std::move_only_function<void()> action) {
  queue_.push({now_ + after, orders_++, std::move(action)});
}

bool Town::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  while (!done()) {
    if (queue_.empty() || queue_.top().at > end) {
      now_ = end;
      return done();
    }
    // The queue shows its top as constant; it is taken off at once.
    Happening happening = std::move(const_cast<Happening&>(queue_.top()));
    queue_.pop();
    now_ = happening.at;
    happening.action();
  }
  return true;
}

std::uint64_t Town::clock(const Host& host) const {
  const std::int64_t passed = now_.time_since_epoch().count() / 1000;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(genesis_ms) + 10'000 + passed + host.skew_ms);
}

// ---- hosts

void Town::start(std::size_t number) {
  Host& host = hosts_[number];
  if (host.replica) return;
  ++host.life;
  ++host.starts;
  const bool decides = host.identity < plan_.validators;
  chain::Config config;
  config.timeouts = timeouts_of(plan_);
  config.memory = memory_;
  if (decides) {
    config.seeds = later_seeds_[host.identity];
    config.seeds.push_back(seeds_[host.identity]);
  }
  config.beacon = [this](const ledger::Ledger& ledger, const ledger::AccountId& validator) {
    return village_->link_of(ledger, validator);
  };
  config.snapshot_after = plan_.snapshot_bytes;
  config.apart = 1;
  config.patience = std::chrono::milliseconds(100);
  config.skip = usual_skip;
  const Disk disk(host.disk);
  event::Started started{.log = {}, .signs_from = disk.signs_from, .offences = disk.offences, .base = disk.base};
  for (const auto& [height, entry] : disk.log) started.log.push_back(entry);
  ledger::Ledger founded = sim::founded(charter_, genesis_, number);
  std::optional<ledger::Restored> restored;
  if (!disk.snapshots.empty()) {
    const ledger::Snapshot& latest = *disk.snapshots.rbegin()->second;
    started.snapshot = latest.height;
    started.snapshot_bytes = latest.bytes;
    Result<ledger::Restored> read = read_snapshot(founded, latest);
    if (read) {
      restored = std::move(*read);
      count("start-from-snapshot");
    } else {
      find(fmt::format("unreadable-snapshot: host {} at height {}: {}", number, latest.height, read.error().message));
    }
  }
  const Height from = restored ? restored->state.frame.height : 0;
  host.replica = std::make_unique<chain::Replica>(std::move(config), std::move(founded), std::move(restored));
  host.looked = 0;
  for (const chain::FinalBlock& block : disk.blocks) {
    if (block.height > from) deliver(number, event::Replayed{block});
  }
  deliver(number, started);
  if (honest(number) && host.replica->durable_height() < host.told) {
    find(fmt::format("lost-final: host {} told height {} as final and starts at {}", number, host.told,
                     host.replica->durable_height()));
  }
  link(number);
  report(number);
}

void Town::link(std::size_t number) {
  for (std::size_t other = 0; other < hosts_.size(); ++other) {
    if (hosts_[other].identity == hosts_[number].identity || !hosts_[other].replica) continue;
    deliver(other, event::PeerDown{keys_[hosts_[number].identity]});
    deliver(other, event::PeerUp{keys_[hosts_[number].identity]});
    deliver(number, event::PeerUp{keys_[hosts_[other].identity]});
  }
}

void Town::crash(std::size_t number) {
  Host& host = hosts_[number];
  if (!host.replica) return;
  count("crash");
  ++host.life;
  host.replica.reset();
  host.timers.clear();
  // Writes are atomic and in order: of those under way the first few may have come through.
  if (!host.writing.empty()) {
    const std::size_t kept = random_.below(host.writing.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) store(number, host.writing[i]);
    if (kept > 0) count("torn-sync");
    if (kept < host.writing.size()) count("lost-write");
  }
  host.writing.clear();
  host.queued.clear();
  host.syncing = false;
}

void Town::crash_for_a_while(std::size_t number) {
  if (!hosts_[number].replica) return;
  crash(number);
  schedule(Duration(random_.between(0, plan_.crash_down_ms * 1000)), [this, number] { start(number); });
}

void Town::deliver(std::size_t number, chain::Event event) {
  Host& host = hosts_[number];
  if (!host.replica) return;
  ++report_.events;
  trace_.add(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  trace_.add(number << 8 | event.index());
  if (const auto* received = std::get_if<event::Received>(&event)) trace_.add(received->message);
  chain::Effects effects = host.replica->step(clock(host), event);
  look(number);
  const std::uint64_t life = host.life;
  for (chain::Effect& effect : effects) {
    if (host.life != life) return;  // It crashed in the midst of them.
    std::visit([&](auto& one) { carry_out(number, one); }, effect);
  }
}

void Town::look(std::size_t number) {
  Host& host = hosts_[number];
  const ledger::Ledger& ledger = host.replica->ledger();
  // What is not durable may never have been.
  if (!honest(number) || ledger.height() == host.looked || ledger.height() != host.replica->durable_height()) return;
  host.looked = ledger.height();
  const Digest root = ledger.state_root();
  const auto [known, fresh] = roots_.try_emplace(ledger.height(), root);
  if (!fresh && known->second != root)
    find(fmt::format("state-roots-differ: host {} at height {}", number, ledger.height()));
  if (const std::string broken = ledger::broken_invariant(ledger.state()); !broken.empty())
    find(fmt::format("money-not-conserved: host {} at height {}: {}", number, ledger.height(), broken));
}

// ---- disks

void Town::store(std::size_t number, const effect::Persist& write) {
  for (const chain::FinalBlock& block : write.blocks) {
    if (!honest(number)) break;
    const Digest id = sha256(block.block);  // Of all of it: the header alone would name it.
    const auto [known, fresh] = certified_.try_emplace(block.height, id);
    if (!fresh && known->second != id)
      find(fmt::format("two-certificates: host {} stores another block of height {}", number, block.height));
    chain_.try_emplace(block.height, block.block);
  }
  hosts_[number].disk.apply(write);
}

void Town::carry_out(std::size_t number, effect::Persist& write) {
  Host& host = hosts_[number];
  host.queued.push_back(std::move(write));
  if (!host.syncing) sync(number);
  if (!is_healed_ && random_.below(1000) < plan_.crash_at_write_per_mille) {
    count("crash-at-write");
    const std::uint64_t life = host.life;
    schedule(Duration(random_.between(0, plan_.sync_max_us)), [this, number, life] {
      if (hosts_[number].life == life) crash_for_a_while(number);
    });
  }
}

void Town::sync(std::size_t number) {
  Host& host = hosts_[number];
  host.syncing = true;
  host.writing = std::exchange(host.queued, {});
  const std::uint64_t life = host.life;
  schedule(Duration(random_.between(plan_.sync_min_us, plan_.sync_max_us)), [this, number, life] {
    if (hosts_[number].life == life) synced(number);
  });
}

void Town::synced(std::size_t number) {
  Host& host = hosts_[number];
  host.syncing = false;
  const std::vector<effect::Persist> writing = std::exchange(host.writing, {});
  for (const effect::Persist& write : writing) store(number, write);
  const std::uint64_t last = writing.back().write;
  if (!host.queued.empty()) sync(number);
  deliver(number, event::Durable{last});
}

void Town::carry_out(std::size_t number, const effect::ReadBlocks& read) {
  const std::uint64_t life = hosts_[number].life;
  // Where there are snapshots, so slowly that they may come first.
  const std::uint64_t most_us = plan_.snapshot_bytes > 0 ? 2'000'000 : 2'000;
  schedule(Duration(random_.between(10, most_us)), [this, number, life, read] {
    const Host& host = hosts_[number];
    if (host.life != life) return;
    event::BlocksRead answer{.peer = read.peer, .from = read.from, .blocks = {}};
    std::size_t bytes = 0;
    for (Height height = read.from; height < read.from + read.count; ++height) {
      if (height <= host.disk.base || height > host.disk.height()) break;
      const chain::FinalBlock& block = host.disk.blocks[height - host.disk.base - 1];
      bytes += chain::answer_bytes(block);
      if (bytes > read.bytes && !answer.blocks.empty()) break;
      answer.blocks.push_back(block);
    }
    deliver(number, std::move(answer));
  });
}

void Town::carry_out(std::size_t number, const effect::ReadPart& read) {
  schedule(Duration(random_.between(10, 2'000)), [this, number, life = hosts_[number].life, read] {
    const Host& host = hosts_[number];
    if (host.life != life) return;
    event::PartRead answer{.peer = read.peer, .height = read.height, .part = read.part, .bytes = {}};
    const auto found = host.disk.snapshots.find(read.height);
    if (found != host.disk.snapshots.end() && read.part <= found->second->pieces.size())
      answer.bytes = read.part == 0 ? found->second->head : found->second->pieces[read.part - 1];
    deliver(number, std::move(answer));
  });
}

// ---- timers

void Town::carry_out(std::size_t number, const effect::SetTimer& set) {
  Host& host = hosts_[number];
  const std::uint64_t token = orders_;
  host.timers.insert_or_assign(set.timer, token);
  schedule(set.after, [this, number, life = host.life, token, timer = set.timer] {
    Host& then = hosts_[number];
    const auto found = then.timers.find(timer);
    if (then.life != life || found == then.timers.end() || found->second != token) return;
    then.timers.erase(found);
    deliver(number, event::Elapsed{timer});
  });
}

void Town::carry_out(std::size_t number, const effect::CancelTimer& cancel) {
  hosts_[number].timers.erase(cancel.timer);
}

// ---- the network

void Town::carry_out(std::size_t number, effect::Send& send) {
  const auto identity = std::ranges::find(keys_, send.peer);
  if (identity == keys_.end()) return;
  this->send(number, static_cast<std::size_t>(identity - keys_.begin()), std::move(send.message));
}

void Town::carry_out(std::size_t number, effect::Broadcast& broadcast) {
  for (std::size_t identity = 0; identity < keys_.size(); ++identity) {
    if (identity != hosts_[number].identity) send(number, identity, broadcast.message);
  }
}

void Town::send(std::size_t number, std::size_t identity, Bytes message) {
  Host& host = hosts_[number];
  if (honest(number)) check_signed(host, message);
  for (std::size_t to = 0; to < hosts_.size(); ++to) {
    if (hosts_[to].identity != identity) continue;
    std::optional<Bytes> said = honest(number) ? std::optional(message) : tampered(host, to, message);
    if (said) transmit(number, to, std::move(*said));
  }
}

void Town::transmit(std::size_t from, std::size_t to, Bytes message) {
  if (is_cut(from, to)) return count("cut-off");
  if (!is_healed_ && random_.below(1000) < plan_.loss_per_mille) return count("loss");
  Host& sender = hosts_[from];
  Instant at = now_ + Duration(random_.between(plan_.latency_min_us, plan_.latency_max_us));
  Instant& last = sender.last_arrival[to];
  at = last = std::max(at, last + Duration(1));
  std::uint64_t times = 1;
  // What also travels as gossip comes twice now and then; a stream repeats nothing by itself.
  constexpr std::uint8_t ask = 4;
  const bool gossips = !message.empty() && message[0] < ask;
  if (gossips && random_.below(1000) < plan_.duplicate_per_mille) {
    count("duplication");
    ++times;
  }
  for (; times > 0; --times) {
    // What is under way when its sender stops still comes, but not behind the new connection of who has started again.
    schedule(at - now_, [this, from, to, life = hosts_[to].life, starts = sender.starts, message] {
      if (hosts_[to].life != life || hosts_[from].starts != starts || is_cut(from, to)) return;
      if (hosts_[to].kind == Kind::stale) {
        hosts_[to].heard.emplace_back(from, message);
        if (hosts_[to].heard.size() > most_heard) hosts_[to].heard.pop_front();
      }
      deliver(to, event::Received{keys_[hosts_[from].identity], message});
    });
  }
}

void Town::check_signed(const Host& host, ByteView message) {
  constexpr std::size_t signature = 64;
  constexpr std::size_t key = PublicKey::size;
  constexpr std::size_t head = 2 + key + signature;
  if (message.size() < head + 14 || message[0] != 2 || (message[1] != 1 && message[1] != 2)) return;
  if (identity_of(*PublicKey::from(message.subspan(2, key))) != host.identity) return;
  // A vote: kind, height, round, what for. A proposal: height, round, what.
  const bool vote = message[1] == 1;
  const std::size_t place = vote ? 13 : 12;
  Bytes slot = to_bytes(message.subspan(1, 1 + key));
  append(slot, message.subspan(head, place));
  const Bytes said = to_bytes(message.subspan(head + place, vote ? 33 : 36));
  const auto [known, fresh] = signed_.try_emplace(std::move(slot), said);
  if (!fresh && known->second != said)
    find(fmt::format("signed-twice: validator {} {}", host.identity, vote ? "votes" : "proposes"));
}

std::optional<Bytes> Town::tampered(Host& host, std::size_t to, Bytes message) {
  switch (host.kind) {
    case Kind::honest:
      break;
    case Kind::silent:
      count("silence");
      return std::nullopt;
    case Kind::twin:
      // Each of the two has its own half of the town, mostly.
      if (((&host - hosts_.data()) + static_cast<std::ptrdiff_t>(to)) % 2 == 0 && !random_.chance(100))
        return std::nullopt;
      break;
    case Kind::selective:
      if (random_.chance(500)) {
        count("selective");
        return std::nullopt;
      }
      break;
    case Kind::stale:
      if (!host.heard.empty() && random_.chance(300)) {
        count("replay");
        const auto& [from, old] = host.heard[random_.below(host.heard.size())];
        return old;
      }
      break;
    case Kind::forger:
      if (random_.chance(300)) {
        count("forgery");
        return forged(std::move(message));
      }
      break;
  }
  return message;
}

Bytes Town::forged(Bytes message) {
  constexpr std::size_t before_block = 2 + 96 + 48;
  if (message.size() > before_block && message[0] == 2 && message[1] == 2 && random_.chance(700)) {
    // A proposal with another list behind its header.
    const Result<consensus::Parts> parts = consensus::parts_of(ByteView(message).subspan(before_block + 4));
    if (parts) {
      const Bytes block = consensus::frame(parts->header, random_.chance(500) ? ByteView() : parts->header);
      Bytes other = to_bytes(ByteView(message).first(before_block));
      append(other, ByteView(big_endian(block.size())).last(4));
      append(other, block);
      count("other-list");
      return other;
    }
  }
  switch (random_.below(6)) {
    case 0:
      message[random_.below(message.size())] ^= static_cast<std::uint8_t>(1 + random_.below(255));
      return message;
    case 1:
      message.resize(random_.below(message.size() + 1));
      return message;
    case 2:
      message.push_back(0);
      return message;
    case 3:
      return chain::encode(
          chain::message::Hello{.federation = charter_.ledger ? dagcbor::cid_of(record::encode(charter_)) : Cid{},
                                .height = random_.next() >> random_.below(64),
                                .block = sha256(message)});
    case 4:
      return chain::encode(chain::message::Ask{.from = 1 + random_.below(100), .count = 1 + random_.below(64)});
    default: {
      Bytes noise(1 + random_.below(300));
      for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(random_.next());
      noise[0] = static_cast<std::uint8_t>(1 + random_.below(6));
      return noise;
    }
  }
}

// ---- what replicas say of themselves and others

void Town::carry_out(std::size_t number, const effect::Blame& blame) {
  const auto found = std::ranges::find(keys_, blame.peer);
  const auto identity = static_cast<std::size_t>(found - keys_.begin());
  const auto lies = [&](const Host& host) { return host.identity == identity && host.kind != Kind::honest; };
  count("blame");
  if (honest(number) && !std::ranges::any_of(hosts_, lies))
    find(fmt::format("honest-blamed: {} by host {}: {}", identity, number, blame.error.message));
}

void Town::carry_out(std::size_t number, const effect::Notify& notify) {
  std::visit([&](const auto& one) { tell(number, one); }, notify.notice);
}

void Town::tell(std::size_t number, const notice::BlockFinal& final) {
  if (!honest(number)) return;
  Host& host = hosts_[number];
  host.told = std::max(host.told, final.height);
  const auto [known, fresh] = blocks_.try_emplace(final.height, final.block);
  if (!fresh && known->second != final.block)
    find(fmt::format("two-blocks: host {} has another block of height {}", number, final.height));
  follow(number);
  report(number);
}

void Town::follow(std::size_t number) {
  const Host& host = hosts_[number];
  if (!follows_) return;
  while (village_->height() < host.disk.height()) {
    const Result<ledger::Block> block = chain::read_block(chain_.at(village_->height() + 1));
    if (!block) return find(fmt::format("unreadable-block: at height {}", village_->height() + 1));
    if (block->list.transactions.empty()) {
      ++report_.empty;
      count("empty-block");
    }
    std::string text = village_->follow(*block);
    if (text.empty()) continue;
    follows_ = false;
    return find(std::move(text));
  }
  const ledger::Ledger& ledger = host.replica->ledger();
  if (ledger.height() != village_->height() || ledger.height() == compared_) return;
  compared_ = ledger.height();
  const std::string text = village_->compare(ledger);
  if (text.empty()) return;
  follows_ = false;
  find(fmt::format("model-differs: host {} at height {}: {}", number, compared_, text));
}

void Town::tell(std::size_t number, const notice::EvidenceFound& found) {
  if (!honest(number)) return;
  count("evidence");
  const std::optional<std::size_t> identity = identity_of(found.offence.offender);
  const auto lies = [&](const Host& host) { return host.identity == identity && host.kind == Kind::twin; };
  if (!std::ranges::any_of(hosts_, lies))
    find(fmt::format("honest-accused: {} by host {}", identity.value_or(hosts_.size()), number));
  report(number);
}

void Town::report(std::size_t number) {
  const Host& host = hosts_[number];
  if (!honest(number) || !host.replica || host.replica->offences().empty()) return;
  const auto client = std::ranges::find_if(
      clients_, [&](const Client& one) { return one.work == Work::reports && one.identity == number; });
  if (!client->envelope.empty()) return;
  std::vector<ledger::Evidence> due = host.replica->due_evidence();
  if (due.empty()) return;
  count("report");
  due.front().account = client->account;
  due.front().sequence = client->sequence;
  client->envelope = sign(*client, due.front());
  client->name = ledger::decode(client->envelope)->cid;
  client->may_be_refused = true;
  submit(*client);
}

void Town::act() {
  if (is_healed_) return;
  schedule(Duration(random_.between(0, 2'000 * plan_.act_ms)), [this] { act(); });
  auto [account, body] = village_->next();
  // Their keys are those that are known here.
  if (std::holds_alternative<ledger::Rotate>(body)) return;
  // The steward has a client that counts by itself.
  if (account == ledger::person(steward).id) account = ledger::person(first_villager).id;
  const auto client = std::ranges::find(clients_, account, &Client::account);
  if (client == clients_.end() || client->work != Work::lives || !client->envelope.empty()) return;
  const std::optional<Seed> seed = village_->seed_of(account);
  if (!seed) return;
  client->seed = *seed;
  client->sequence = village_->sequence_of(account);
  client->envelope = std::visit(
      [&](auto& one) {
        one.account = client->account;
        one.sequence = client->sequence;
        return sign(*client, one);
      },
      body);
  count(fmt::format("act {}", std::visit([]<class T>(const T&) { return T::type; }, body)));
  client->name = ledger::decode(client->envelope)->cid;
  client->may_be_refused = true;
  submit(*client);
}

void Town::tell(std::size_t number, const notice::SignsFrom& signs) {
  Host& host = hosts_[number];
  if (host.kind != Kind::twin || signs.height != chain::never) return;
  // A twin that finds out about the other one forgets that.
  const std::uint64_t life = host.life;
  schedule(Duration(1), [this, number, life] {
    Host& twin = hosts_[number];
    if (twin.life != life) return;
    crash(number);
    twin.disk.log.clear();
    twin.disk.signs_from = 0;
    start(number);
  });
}

void Town::tell(std::size_t number, const notice::Trouble& trouble) {
  const std::string name(name_of(trouble.text));
  count("trouble " + name);
  if (!honest(number)) return;
  if (name == "forgotten-signature" && hosts_[number].may_have_forgotten) return;
  if (hosts_[number].replica->stopped()) return find(fmt::format("stopped: host {}: {}", number, trouble.text));
  if (name == "forgotten-signature" || name == "damaged-chain" || name == "corrupt-log" || name == "cannot-propose")
    find(fmt::format("unexpected-trouble: host {}: {}", number, trouble.text));
}

void Town::tell(std::size_t /*host*/, const notice::Stalled& /*notice*/) { count("stalled"); }
void Town::tell(std::size_t /*host*/, const notice::ConflictFound& /*notice*/) { count("conflict"); }

// ---- clients

std::size_t Town::honest_host() {
  std::vector<std::size_t> running;
  for (std::size_t host = 0; host < hosts_.size(); ++host) {
    if (honest(host) && hosts_[host].replica) running.push_back(host);
  }
  return running.empty() ? hosts_.size() : running[random_.below(running.size())];
}

Town::Client* Town::client_of(std::uint64_t submission) {
  const std::uint64_t number = submission >> 32;
  if (number == 0 || number > clients_.size()) return nullptr;
  Client& client = clients_[number - 1];
  return client.attempt == (submission & 0xffffffffU) && !client.envelope.empty() ? &client : nullptr;
}

template <class Body>
Bytes Town::sign(const Client& client, const Body& body) const {
  return ledger::sign(body, identity::Signer(client.seed, dagcbor::cid_of(record::encode(charter_))))->envelope;
}

Bytes Town::transfer(const Client& client, std::uint64_t amount) const {
  return sign(client, ledger::Transfer{.account = client.account,
                                       .sequence = client.sequence,
                                       .to = ledger::nobody(amount % 7),
                                       .amount = amount,
                                       .memo = ""});
}

Bytes Town::withdrawal(const Client& client) const {
  if (client.left > 1)
    return sign(client, ledger::Bond{.account = client.account, .sequence = client.sequence, .amount = saved});
  return sign(client, ledger::Unbond{.account = client.account, .sequence = client.sequence, .amount = saved});
}

Bytes Town::rotation(const Client& client) const {
  return sign(client, ledger::rotation(client.account, client.sequence, later_seeds_[client.identity][client.sequence],
                                       dagcbor::cid_of(record::encode(charter_))));
}

std::optional<Bytes> Town::set_change(const Client& client) {
  const std::size_t host = honest_host();
  if (host == hosts_.size()) return std::nullopt;
  ledger::SetValidators change{.account = client.account,
                               .sequence = client.sequence,
                               .from_height = hosts_[host].replica->ledger().height() + random_.between(3, 6),
                               .validators = {}};
  // All, or all but one of the honest ones where what is left bears the liars.
  const bool fewer = plan_.validators - 1 > 3 * (plan_.liars() + plan_.restores) && random_.chance(700);
  const std::uint64_t left_out = fewer ? random_.between(plan_.liars(), plan_.validators - 1) : plan_.validators;
  for (std::uint64_t i = 0; i < plan_.validators; ++i) {
    if (i != left_out) change.validators.push_back({keys_[i], 1});
  }
  std::ranges::sort(change.validators, {}, &ledger::SetValidators::Seat::account);
  return sign(client, change);
}

void Town::begin(Client& client) {
  if (client.left == 0 || !client.envelope.empty()) return;
  const std::uint64_t amount = smallest_transfer + random_.between(1, 50);
  const bool transfers = client.work == Work::transfers;
  const bool overdraws = transfers && random_.chance(80);
  client.may_be_refused = overdraws || client.work == Work::changes_sets;
  if (client.work == Work::changes_sets) {
    std::optional<Bytes> change = set_change(client);
    if (!change) {
      schedule(seconds(1), [this, &client] { begin(client); });
      return;
    }
    client.envelope = std::move(*change);
  } else if (client.work == Work::withdraws) {
    client.envelope = withdrawal(client);
  } else if (client.work == Work::rotates) {
    client.envelope = rotation(client);
  } else {
    client.envelope = transfer(client, overdraws ? 1'000'000'000 + amount : amount);
  }
  client.name = ledger::decode(client.envelope)->cid;
  if (transfers && !overdraws && random_.chance(60)) {
    // It spends twice: one of the two comes through.
    const std::size_t host = honest_host();
    if (host < hosts_.size()) {
      count("double-spend");
      deliver(host, event::Submit{no_submission, transfer(client, amount + 100)});
    }
  }
  submit(client);
}

void Town::submit(Client& client) {
  const std::uint64_t attempt = ++client.attempt;
  const std::size_t host = honest_host();
  // Whoever hears nothing for long asks another.
  schedule(seconds(20), [this, &client, attempt] {
    if (client.attempt == attempt && !client.envelope.empty()) submit(client);
  });
  if (host < hosts_.size()) deliver(host, event::Submit{client.number << 32 | attempt, client.envelope});
}

void Town::end(Client& client, bool is_final) {
  client.envelope.clear();
  if (is_final && client.work == Work::rotates) {
    count("rotation");
    client.seed = later_seeds_[client.identity][client.sequence];
  }
  if (is_final) ++client.sequence;
  if (client.work == Work::lives || client.work == Work::reports) {
    if (is_final) count(client.work == Work::lives ? "act taken" : "report taken");
    if (!is_final && client.work == Work::reports)
      schedule(seconds(2), [this, host = client.identity] { report(host); });
    return;
  }
  --client.left;
  const std::uint64_t gap = is_healed_ ? 1'000 : plan_.load_s * 1'000'000 / (plan_.transfers + 1);
  schedule(Duration(random_.between(0, gap)), [this, &client] { begin(client); });
}

void Town::tell(std::size_t /*host*/, const notice::Submitted& answer) {
  Client* client = client_of(answer.id);
  if (client == nullptr || answer.transaction) return;
  const std::string name(name_of(answer.transaction.error().message));
  // It is final, or the other one is: nobody was there to say so.
  if (name == "sequence-repeated") return end(*client, true);
  const bool is_guess = client->work == Work::lives || client->work == Work::reports;
  if (client->may_be_refused && (is_guess || name == "overdraft" || name == "bad-height" || name == "bond-too-small" ||
                                 name == "validator-convicted" || name == "key-taken")) {
    ++report_.refused;
    return end(*client, false);
  }
  const std::uint64_t attempt = client->attempt;
  schedule(seconds(1), [this, client, attempt] {
    if (client->attempt == attempt && !client->envelope.empty()) submit(*client);
  });
}

void Town::tell(std::size_t number, const notice::TransactionFinal& final) {
  if (!honest(number)) return;
  const auto [known, fresh] = acknowledged_.try_emplace(final.transaction, final.height);
  if (!fresh && known->second != final.height)
    find(fmt::format("two-blocks: a transaction is told at heights {} and {}", known->second, final.height));
  for (Client& client : clients_) {
    if (!client.envelope.empty() && client.name == final.transaction) {
      if (client.may_be_refused && client.work == Work::transfers)
        find(fmt::format("overdraft: client {} has spent what it had not", client.number));
      return end(client, true);
    }
  }
}

void Town::tell(std::size_t /*host*/, const notice::TransactionDropped& dropped) {
  for (Client& client : clients_) {
    if (client.envelope.empty() || client.name != dropped.transaction) continue;
    const std::string name(name_of(dropped.error.message));
    if (name == "sequence-repeated") return end(client, true);
    if (client.may_be_refused && name != "skipped") {
      ++report_.refused;
      return end(client, false);
    }
    const std::uint64_t attempt = client.attempt;
    schedule(seconds(1), [this, &client, attempt] {
      if (client.attempt == attempt && !client.envelope.empty()) submit(client);
    });
  }
}

// ---- the run

void Town::plan_faults() {
  const std::uint64_t load_us = plan_.load_s * 1'000'000;
  const auto sometime = [&] { return Duration(random_.below(load_us)); };
  for (std::uint64_t i = 0; i < plan_.crashes; ++i) {
    schedule(sometime(), [this] { crash_for_a_while(random_.below(hosts_.size())); });
  }
  for (std::uint64_t i = 0; i < plan_.partitions; ++i) {
    schedule(sometime(), [this] {
      if (cut_ || is_healed_) return;
      count("partition");
      cut_.emplace(hosts_.size());
      for (std::size_t host = 0; host < hosts_.size(); ++host) (*cut_)[host] = random_.chance(500);
      schedule(Duration(random_.between(0, plan_.cut_ms * 1000)), [this] { cut_.reset(); });
    });
  }
  for (std::uint64_t i = 0; i < plan_.restores; ++i) {
    std::size_t host = hosts_.size();
    for (std::size_t each = 0; each < hosts_.size(); ++each) {
      if (honest(each) && hosts_[each].identity < plan_.validators) host = each;
    }
    if (host == hosts_.size()) break;
    const Duration copied = sometime();
    schedule(copied, [this, host] { hosts_[host].copy = hosts_[host].disk; });
    schedule(copied + sometime(), [this, host] {
      Host& restored = hosts_[host];
      if (!restored.copy) return;
      count("restore");
      crash(host);
      restored.disk = *std::exchange(restored.copy, {});
      restored.disk.signs_from = chain::never;
      restored.told = 0;
      restored.may_have_forgotten = true;
      start(host);
    });
  }
}

void Town::heal() {
  is_healed_ = true;
  cut_.reset();
  for (std::size_t host = 0; host < hosts_.size(); ++host) start(host);
}

bool Town::is_settled() const {
  if (std::ranges::any_of(clients_, [](const Client& client) { return client.left > 0 || !client.envelope.empty(); }))
    return false;
  std::optional<Height> height;
  for (std::size_t host = 0; host < hosts_.size(); ++host) {
    if (!honest(host)) continue;
    if (!hosts_[host].replica) return false;
    const Height durable = hosts_[host].replica->durable_height();
    if (height && *height != durable) return false;
    // Of works there is always something that will happen some day; that nothing is overdue is asked of all.
    const std::optional<std::uint64_t> due = hosts_[host].replica->ledger().next_due();
    if (due && (plan_.villagers == 0 || *due <= clock(hosts_[host]))) return false;
    if (!hosts_[host].replica->due_evidence().empty()) return false;
    height = durable;
  }
  return true;
}

void Town::check_stuck() {
  std::string where;
  for (std::size_t host = 0; host < hosts_.size(); ++host) {
    if (!honest(host) || !hosts_[host].replica) continue;
    const chain::Replica& replica = *hosts_[host].replica;
    where += fmt::format(" {}:{}{}", host, replica.durable_height(),
                         replica.signs_from() == chain::never ? "(observes)" : "");
  }
  std::uint64_t left = 0;
  for (const Client& client : clients_) left += client.left;
  find(fmt::format("stuck: {} transactions are left {} s after the healing; heights:{}", left, plan_.heal_s, where));
}

void Town::check_chain() {
  for (std::size_t host = 0; host < hosts_.size(); ++host) {
    if (honest(host)) report_.height = std::max(report_.height, hosts_[host].disk.height());
  }
  std::map<Cid, Height> there;
  for (const auto& [height, block] : chain_) {
    if (height > report_.height) break;  // On a disk that has lost it again.
    const Result<ledger::Block> read = chain::read_block(block);
    if (!read) return find(fmt::format("unreadable-block: at height {}", height));
    for (const Bytes& envelope : read->list.transactions) there.emplace(ledger::decode(envelope)->cid, height);
  }
  check_punished();
  for (const auto& [name, height] : acknowledged_) {
    const auto found = there.find(name);
    if (found == there.end() || found->second != height)
      find(fmt::format("lost-transaction: {} was told to be final at height {}", name.text(), height));
  }
  report_.acknowledged = acknowledged_.size();
}

void Town::check_punished() {
  const auto is_twin = [&](const ledger::AccountId& account) {
    const auto identity = identity_of(account);
    return std::ranges::any_of(hosts_,
                               [&](const Host& host) { return host.identity == identity && host.kind == Kind::twin; });
  };
  for (std::size_t host = 0; host < hosts_.size(); ++host) {
    if (!honest(host) || !hosts_[host].replica) continue;
    const chain::Replica& replica = *hosts_[host].replica;
    const std::uint64_t left = replica.due_evidence().size();
    if (left > 0) find(fmt::format("unpunished: host {} knows of {} that nothing happened to", host, left));
  }
  for (const auto& [account, conviction] : village_->model().convicted) {
    count("conviction");
    if (!is_twin(account)) find(fmt::format("honest-punished: {}", account.hex()));
    if (conviction.taken == 0) find(fmt::format("unpunished: {} lost nothing", account.hex()));
  }
}

LedgerReport Town::run() {
  for (std::size_t host = 0; host < hosts_.size(); ++host) start(host);
  if (plan_.villagers > 0) act();
  for (Client& client : clients_) {
    if (client.left == 0) continue;
    schedule(Duration(random_.below(plan_.load_s * 1'000'000 / (plan_.transfers + 1) + 1)),
             [this, &client] { begin(client); });
  }
  plan_faults();
  run_until([] { return false; }, seconds(plan_.load_s));
  heal();
  const Instant healed = now_;
  if (!run_until([this] { return is_settled(); }, seconds(plan_.heal_s))) check_stuck();
  report_.healed_in = now_ - healed;
  check_chain();
  for (const auto& [what, times] : village_->counts()) report_.faults[what] += times;
  report_.trace = trace_.value();
  report_.virtual_s = static_cast<double>(now_.time_since_epoch().count()) / 1e6;
  return std::move(report_);
}

std::string text_of(const LedgerReport& report, const LedgerPlan& plan) {
  std::string text =
      fmt::format("plan      {}\nchain     {} blocks, {} of them empty, {} transactions told to be final, {} refused\n",
                  text_of(plan), report.height, report.empty, report.acknowledged, report.refused);
  text +=
      fmt::format("time      {:.1f} s, all final {:.1f} s after the healing, {} events, trace {:016x}\n",
                  report.virtual_s, static_cast<double>(report.healed_in.count()) / 1e6, report.events, report.trace);
  for (const auto& [fault, times] : report.faults) text += fmt::format("  {:<28} {}\n", fault, times);
  return text;
}

}  // namespace mesh::sim
