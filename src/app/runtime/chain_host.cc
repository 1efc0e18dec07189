#include "app/runtime/chain_host.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "app/runtime/beacon_chain.h"
#include "app/runtime/host.h"
#include "app/runtime/stream.h"
#include "base/check.h"
#include "chain/payment.h"

namespace mesh::app {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t max_callers = 4096;
constexpr unsigned max_openers = 4;
/// Of a batch, by one of them: what ledger::open_all checks in one equation.
constexpr std::size_t max_opened_at_once = 512;
constexpr std::string_view own_prefix = "ledger/in-flight/";
/// Of this node's account; fewer than the mempool takes of one.
constexpr std::size_t max_in_flight = 32;
constexpr std::size_t read_bytes = std::size_t{64} << 10;
constexpr Duration open_limit = seconds(10);
/// Of two snapshots that are kept the first has so many blocks behind it.
constexpr std::size_t max_lately = chain::snapshots_apart;
constexpr Duration first_retry = milliseconds(250);
constexpr Duration last_retry = seconds(30);
constexpr Duration blamed_for = seconds(60);

/// The chain's own thread has the processor before those that open batches for it: they have the more to do, and wait for it in the end.
void let_others_first() {
  constexpr int below = 10;
  thread_local const int done = ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), below);
  static_cast<void>(done);
}

/// In the order of the numbers.
std::string key_of(std::uint64_t number) { return fmt::format("{}{:016x}", own_prefix, number); }

chain::FinalBlock final_block(store::ChainBlock&& stored) {
  return {.height = stored.height, .certificate = std::move(stored.certificate), .block = std::move(stored.block)};
}

}  // namespace

struct ChainHost::Impl : std::enable_shared_from_this<Impl> {
  Impl(Settings given, StreamOpener& stream_opener, Tell on_story, Changed on_change)
      : settings(std::move(given)),
        opener(stream_opener),
        tell(std::move(on_story)),
        changed(std::move(on_change)),
        own(public_key_of(settings.seed)),
        federation(federation_of(settings.founding)),
        beacons({}),
        own_account(own) {
    if (settings.next == settings.seed) settings.next.reset();
    beacons = BeaconChains(own_seeds());
    for (const Seed& seed : own_seeds()) seeds.emplace(public_key_of(seed), seed);
    prefer_keys();
  }

  /// The present one first.
  [[nodiscard]] std::vector<Seed> own_seeds() const {
    std::vector<Seed> all{settings.seed};
    if (settings.next) all.push_back(*settings.next);
    for (const Seed& seed : settings.former) {
      if (std::ranges::find(all, seed) == all.end()) all.push_back(seed);
    }
    return all;
  }

  // ---- A stream to a peer.

  struct Link {
    Link(asio::io_context& io, int descriptor) : socket(io), wake(io), stall(io) {
      error_code failed;
      socket.assign(asio::local::stream_protocol(), descriptor, failed);
      if (failed) ::close(descriptor);
    }
    asio::local::stream_protocol::socket socket;
    asio::steady_timer wake;  ///< the writer sleeps on it
    asio::steady_timer stall;  ///< set anew by whatever is read
    std::deque<Bytes> queue;
    std::size_t queued_bytes = 0;
    bool ended = false;
  };
  struct Peer {
    explicit Peer(asio::io_context& io) : retry(io) {}
    std::shared_ptr<Link> link;
    asio::steady_timer retry;
    Duration wait = first_retry;
    bool opening = false;
    bool has_ledger = true;  ///< as far as is known
    std::chrono::steady_clock::time_point alone_until;
  };
  struct Caller {
    When when = When::waiting;
    Done done;
    Named named;
    std::optional<std::uint64_t> own_number = {};  ///< of this node's account
  };
  /// A transaction of this node's account that is not signed yet.
  struct Wanted {
    ledger::Body body;
    Caller caller;
  };
  /// A block that is final, and not yet known to be durable. The replica's state goes on before that: what the node is then told of
  /// this one is taken from the state as it was after it.
  struct Committed {
    struct Unseen {
      node::Touched touched;
      ledger::OpenedBlock block;
    };
    chain::Height height = 0;
    std::optional<Unseen> unseen;  ///< until `news` has what it changed
    std::vector<node::event::LedgerChanged> news;
  };

  Settings settings;
  StreamOpener& opener;
  Tell tell;
  Changed changed;
  PublicKey own;
  Cid federation;
  BeaconChains beacons;
  asio::io_context io{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  asio::thread_pool openers{std::clamp(std::thread::hardware_concurrency(), 1U, max_openers)};  ///< of batches
  std::unique_ptr<store::ChainStore> store;
  std::unique_ptr<chain::Replica> replica;
  std::map<NodeId, Peer> peers;  ///< that are connected
  std::map<chain::Timer, asio::steady_timer> timers;
  std::map<std::uint64_t, Caller> submitted;  ///< by number, until the replica has answered
  std::map<std::uint64_t, BatchDone> batches;  ///< by number, until the replica has answered
  std::multimap<Cid, Done> waiting;  ///< until they are final
  std::uint64_t submissions = 0;
  std::map<PublicKey, Seed> seeds;  ///< of all keys that this node has
  std::vector<PublicKey> preferred;  ///< they, the one first whose account is this node's before the others'
  mutable std::mutex keys_mutex;  ///< of the next two; written on this thread alone
  node::AccountKeys keys;
  ledger::AccountId own_account;  ///< the account for which this node acts
  bool is_another = false;  ///< since the last block whose news were taken
  bool knows_all = false;  ///< the node was told all that there is
  std::optional<PublicKey> told_of;  ///< the key that signs for the account where that is not the node's
  std::optional<Capacity> capacity;
  std::optional<ledger::Body> refused;  ///< of what nobody asked for the last that was not taken: it is not tried again
  bool is_reporting = false;  ///< a validator's offence
  bool may_enrol = false;  ///< itself: it has no credential that is known here, and has not tried
  std::deque<Wanted> wanted;  ///< of this node's account, in their order
  std::map<std::uint64_t, ledger::Opened> in_flight;  ///< those that are being written down, or wait to be final
  std::deque<Committed> committed;
  ledger::PaymentGatherer gatherer;
  std::deque<std::vector<ledger::PaymentPart>> lately;  ///< what the last blocks of the storage showed
  bool is_stopping = false;
  std::thread thread;

  // ---- Keys.

  /// The keys of accounts as they are after the block with this draft.
  void note_keys(const ledger::Draft& draft) {
    const std::scoped_lock lock(keys_mutex);
    draft.patches.accounts.for_each_put(
        [this](const ledger::Account& account) { keys.note(account.key(), account.signer()); });
    const ledger::AccountId found = find_account();
    if (found == own_account) return;
    own_account = found;
    settings.interest.self = found;
    is_another = true;
  }

  /// That for which one of this node's keys signs; while none does it is the last one.
  [[nodiscard]] ledger::AccountId find_account() const {
    const auto given = std::ranges::find_if(preferred, [this](const PublicKey& key) { return keys.was_given(key); });
    return given == preferred.end() ? own_account : keys.account_of(*given);
  }

  /// After whatever changes the keys: each block asks for them.
  void prefer_keys() {
    preferred.clear();
    if (settings.next) preferred.push_back(public_key_of(*settings.next));
    preferred.push_back(own);
    for (const Seed& seed : settings.former) preferred.push_back(public_key_of(seed));
  }

  /// The next key is the node's where the ledger has taken it.
  void adopt_next() {
    if (!settings.next || !keys.was_given(public_key_of(*settings.next))) return;
    settings.former.insert(settings.former.begin(), settings.seed);
    settings.seed = *settings.next;
    settings.next.reset();
    own = public_key_of(settings.seed);
    prefer_keys();
  }

  /// Once for each key.
  void tell_of_key() {
    const ledger::Account* account = replica->ledger().account(own_account);
    if (account == nullptr || account->signer() == own || account->signer() == told_of) return;
    told_of = account->signer();
    say("ledger.key", seeds.contains(*told_of)
                          ? "the account of this node has its new key: end the node and start it again, and it goes on "
                            "with that"
                          : "key-rotated: another key, which is not here, signs for this node's account now");
  }

  /// The keys of all accounts of a state that came without its blocks.
  void note_all_keys(const ledger::State& state) {
    const std::scoped_lock lock(keys_mutex);
    keys.clear();
    state.tables.accounts.visit([this](const ledger::Account& account) {
      if (account.signer() != account.key()) keys.note(account.key(), account.signer());
      return true;
    });
    own_account = find_account();
    settings.interest.self = own_account;
  }

  // ---- What the node is told.

  [[nodiscard]] node::event::LedgerChanged all_there_is() const {
    return node::whole_of(replica->ledger().state(), settings.interest, now_ms());
  }

  /// The state is still that after the last block.
  void see_last() {
    if (committed.empty() || !committed.back().unseen) return;
    Committed& last = committed.back();
    const ledger::State& state = replica->ledger().state();
    last.news.push_back(node::changes_of(state, last.unseen->touched, last.unseen->block, settings.interest, now_ms()));
    last.news.back().payments = gatherer.committed(state);
    last.unseen.reset();
    if (std::exchange(is_another, false)) last.news.push_back(all_there_is());
  }

  /// What the state has now: when all of it is durable.
  void tell_when_durable(node::event::LedgerChanged news) {
    if (committed.empty()) return changed(std::move(news));
    committed.back().news.push_back(std::move(news));
  }

  void tell_durable(chain::Height height) {
    while (!committed.empty() && committed.front().height <= height) {
      for (node::event::LedgerChanged& news : committed.front().news) {
        if (!knows_all) {
          lately.push_back(std::move(news.payments));
          continue;
        }
        news.now_ms = now_ms();
        changed(std::move(news));
      }
      committed.pop_front();
    }
  }

  /// Comes before anything else.
  void tell_all() {
    see_last();
    node::event::LedgerChanged whole = all_there_is();
    for (std::vector<ledger::PaymentPart>& parts : lately) std::ranges::move(parts, std::back_inserter(whole.payments));
    lately.clear();
    for (Committed& one : committed) {
      for (node::event::LedgerChanged& news : one.news)
        std::ranges::move(news.payments, std::back_inserter(whole.payments));
      one.news.clear();
    }
    is_another = false;
    knows_all = true;
    tell_when_durable(std::move(whole));
  }

  void watch(const Cid& intent) {
    see_last();
    settings.interest.intents.insert(intent);
    tell_when_durable(node::part_of(replica->ledger().state(), intent, settings.interest, now_ms()));
  }

  Shown show_payment(const Cid& intent) {
    see_last();
    Shown shown{.part = gatherer.standing(replica->ledger().state(), intent), .hops = {}};
    for (const Committed& block : committed) {
      for (const node::event::LedgerChanged& news : block.news) {
        for (const ledger::PaymentPart& part : news.payments) {
          if (part.intent == intent) shown.part.take(part);
        }
      }
    }
    ledger::PaymentProof proof;
    gatherer.add_hops(proof, shown.part.blocks);
    shown.hops = std::move(proof.hops);
    return shown;
  }

  // ---- Start.

  /// The latest snapshot with some blocks behind it, or that with which the chain begins here; none where there is none that reads.
  std::optional<ledger::Restored> restore(const ledger::Ledger& founded,
                                          const std::vector<store::ChainSnapshot>& snapshots, chain::Height base) {
    const Result<std::uint64_t> height = store->height();
    for (const store::ChainSnapshot& one : snapshots) {
      if (one.height != base && one.height + max_lately > height.value_or(0)) continue;
      Result<ledger::Restored> restored = read_snapshot(founded, one.height);
      if (restored) return std::move(*restored);
      say("ledger.storage", restored.error().message);
    }
    return std::nullopt;
  }

  Result<ledger::Restored> read_snapshot(const ledger::Ledger& founded, chain::Height height) {
    MESH_LET(const Bytes head, store->part(height, 0));
    MESH_LET(ledger::SnapshotReader reader,
             ledger::SnapshotReader::begin(federation, founded.state().frame.validators, chain::certifier(), head));
    while (reader.next() < reader.pieces()) {
      MESH_LET(const Bytes piece, store->part(height, reader.next() + 1));
      MESH_TRY(reader.feed(piece));
    }
    return reader.finish();
  }

  Status open() {
    MESH_LET(store, store::ChainStore::open(settings.file, federation, {.on_trouble = [this](const Status& status) {
                                              post([this, status] {
                                                say("ledger.storage", status
                                                                          ? "the chain's storage can be written again"
                                                                          : "the chain's storage cannot be written: " +
                                                                                status.error().message);
                                              });
                                            }}));
    MESH_LET(ledger::Ledger ledger,
             ledger::Ledger::found(settings.founding.charter, settings.founding.genesis,
                                   derive_secret(settings.seed.view(), "ledger-tables", {federation.bytes()})));
    chain::Config config;
    config.seeds = own_seeds();
    // The latest are those that sets may have; there is to be room for the one that comes next.
    config.seeds.resize(std::min(config.seeds.size(), chain::max_own_keys - 1));
    config.timeouts = settings.timeouts;
    config.snapshot_after = settings.snapshot_after;
    config.patience = settings.patience;
    config.beacon = [this](const ledger::Ledger& at, const ledger::AccountId& validator) {
      return beacons.next_link(at, validator);
    };
    config.committing = [this](const ledger::OpenedBlock& block, const ledger::Draft& draft, ByteView certificate) {
      see_last();
      note_keys(draft);
      gatherer.committing(replica->ledger().state(), block, draft, certificate, own_account, settings.interest.intents);
      committed.push_back({.height = block.block().header.height,
                           .unseen = Committed::Unseen{.touched = node::touched_by(draft), .block = block},
                           .news = {}});
    };
    config.skipping = [this] { see_last(); };
    config.skipped = [this] {
      gatherer = ledger::PaymentGatherer(replica->hops());
      note_all_keys(replica->ledger().state());
      is_another = false;
      committed.push_back({.height = replica->ledger().height(), .unseen = std::nullopt, .news = {}});
      committed.back().news.push_back(all_there_is());
    };
    may_enrol = settings.founding.genesis.parameters.enrolment == ledger::Enrolment::open;
    chain::event::Started started;
    MESH_LET(started.base, store->base());
    MESH_LET(const std::vector<store::ChainSnapshot> snapshots, store->snapshots());
    if (!snapshots.empty()) {
      started.snapshot = snapshots.front().height;
      started.snapshot_bytes = snapshots.front().bytes;
    }
    std::optional<ledger::Restored> restored = restore(ledger, snapshots, started.base);
    const bool is_restored = restored.has_value();
    replica = std::make_unique<chain::Replica>(std::move(config), std::move(ledger), std::move(restored));
    if (is_restored) {
      gatherer = ledger::PaymentGatherer(replica->hops());
      note_all_keys(replica->ledger().state());
    }
    chain::Height last = replica->ledger().height();
    const auto replay = [&](store::ChainBlock block) -> Status {
      last = block.height;
      take(chain::event::Replayed{final_block(std::move(block))});
      // The node may have been killed before it wrote down what the last ones showed.
      if (!committed.empty()) lately.push_back(gatherer.committed(replica->ledger().state()));
      if (lately.size() > max_lately) lately.pop_front();
      committed.clear();
      return {};
    };
    const Status read = store->each_block(replay, last);
    if (!read) {
      // The replica fetches from there on what does not read, as it does with a block that does not fit.
      say("ledger.storage", read.error().message);
      take(chain::event::Replayed{{.height = last + 1, .certificate = {}, .block = {}}});
    }
    auto log = store->log();
    if (log) {
      started.log.reserve(log->entries.size());
      for (Bytes& entry : log->entries) started.log.push_back(std::move(entry));
      started.signs_from = log->signs_from.value_or(settings.key_was_brought ? chain::never : 0);
      for (store::ChainOffence& offence : log->offences)
        started.offences.push_back(
            {.offender = offence.offender, .height = offence.height, .evidence = std::move(offence.evidence)});
      // Said once: later starts of this home are not the first.
      if (!log->signs_from) {
        store::ChainWrite first;
        first.signs_from = started.signs_from;
        MESH_TRY(store->commit_and_wait(std::move(first)));
      }
    } else {
      say("ledger.storage", log.error().message);
      started.signs_from = chain::never;
      store::ChainWrite without;
      without.forget_log = true;
      without.signs_from = chain::never;
      MESH_TRY(store->commit_and_wait(std::move(without)));
    }
    take(started);
    adopt_next();
    settings.interest.self = own_account;
    beacons = BeaconChains(own_seeds());
    return {};
  }

  void run() {
    work.emplace(io.get_executor());
    post([this] {
      tell_all();
      tell_of_key();
      resume_own();
      look_after();
    });
    thread = std::thread([this] { io.run(); });
  }

  void post(std::move_only_function<void()> action) {
    asio::post(io, [action = std::move(action)]() mutable { action(); });
  }

  void stop() {
    openers.stop();
    openers.join();
    if (thread.joinable()) {
      post([this] {
        is_stopping = true;
        for (const auto& [id, peer] : peers) {
          if (peer.link) close(*peer.link);
        }
        peers.clear();
        timers.clear();
        work.reset();
        io.stop();
      });
      thread.join();
    }
    store.reset();  // Writes what is queued.
  }

  [[nodiscard]] static std::uint64_t now_ms() { return static_cast<std::uint64_t>(wall_ms()); }

  void say(std::string kind, std::string text, std::optional<NodeId> peer = {}) {
    tell({.kind = std::move(kind), .peer = peer, .text = std::move(text)});
  }

  // ---- The replica.

  void take(const chain::Event& event) {
    if (is_stopping) return;
    for (chain::Effect& effect : replica->step(now_ms(), event))
      std::visit([this](auto& one) { carry_out(one); }, effect);
  }

  void carry_out(chain::effect::Persist& effect) {
    store::ChainWrite write;
    for (chain::FinalBlock& block : effect.blocks)
      write.blocks.push_back(
          {.height = block.height, .certificate = std::move(block.certificate), .block = std::move(block.block)});
    write.forget_below = effect.forget_below;
    write.entries = std::move(effect.entries);
    write.signs_from = effect.signs_from;
    for (chain::Offence& offence : effect.offences)
      write.offences.push_back(
          {.offender = offence.offender, .height = offence.height, .evidence = std::move(offence.evidence)});
    if (effect.snapshot) keep(*effect.snapshot, write);
    if (effect.begins_at_snapshot) write.begins_at = effect.snapshot->height;
    const std::uint64_t number = effect.write;
    store->commit(std::move(write), [this, number](const Status& status) {
      post([this, number, status] {
        // It tries until the disk takes it: this is the end of the storage, at a stop.
        if (!status) return;
        take(chain::event::Durable{number});
      });
    });
  }

  /// Its pieces before the write that makes it one.
  void keep(const ledger::Snapshot& snapshot, store::ChainWrite& write) {
    for (std::size_t i = 0; i < snapshot.pieces.size(); ++i) {
      store::ChainWrite piece;
      piece.parts.push_back({.height = snapshot.height, .number = i + 1, .bytes = snapshot.pieces[i]});
      store->commit(std::move(piece), [](const Status&) {});
    }
    write.parts.push_back({.height = snapshot.height, .number = 0, .bytes = snapshot.head});
  }

  void carry_out(const chain::effect::ReadPart& effect) {
    Result<Bytes> part = store->part(effect.height, effect.part);
    if (!part && part.error().code != ErrorCode::not_found) say("ledger.storage", part.error().message);
    post([this, answer = chain::event::PartRead{.peer = effect.peer,
                                                .height = effect.height,
                                                .part = effect.part,
                                                .bytes = std::move(part).value_or(Bytes())}] { take(answer); });
  }

  void carry_out(chain::effect::Send& effect) {
    const auto peer = peers.find(effect.peer);
    if (peer != peers.end() && peer->second.link) send(effect.peer, peer->second.link, chain::framed(effect.message));
  }

  void carry_out(chain::effect::Broadcast& effect) {
    const Bytes frame = chain::framed(effect.message);
    for (auto& [id, peer] : peers) {
      if (peer.link) send(id, peer.link, frame);
    }
  }

  void carry_out(const chain::effect::SetTimer& effect) {
    asio::steady_timer& timer = timers.try_emplace(effect.timer, io).first->second;
    timer.expires_after(effect.after);
    timer.async_wait([this, name = effect.timer](error_code failed) {
      if (failed || is_stopping) return;
      const auto found = timers.find(name);
      // Cancelled, or set anew, when this was already on its way.
      if (found == timers.end() || found->second.expiry() > asio::steady_timer::clock_type::now()) return;
      timers.erase(found);
      take(chain::event::Elapsed{name});
    });
  }

  void carry_out(const chain::effect::CancelTimer& effect) { timers.erase(effect.timer); }

  void carry_out(const chain::effect::ReadBlocks& effect) {
    chain::event::BlocksRead answer{.peer = effect.peer, .from = effect.from, .blocks = {}};
    auto read = store->read(effect.from, effect.count, effect.bytes);
    if (read) {
      for (store::ChainBlock& block : *read) answer.blocks.push_back(final_block(std::move(block)));
    } else {
      say("ledger.storage", read.error().message);
    }
    post([this, answer = std::move(answer)] { take(answer); });
  }

  void carry_out(const chain::effect::Blame& effect) {
    say("ledger.peer", identity::short_name(effect.peer) + ": " + effect.error.message, effect.peer);
    const auto peer = peers.find(effect.peer);
    if (peer == peers.end()) return;
    peer->second.alone_until = std::chrono::steady_clock::now() + blamed_for;
    // Not in the step that is being carried out: the end of a link is an event.
    if (peer->second.link) post([this, id = effect.peer, link = peer->second.link] { end(id, link); });
  }

  void carry_out(chain::effect::Notify& effect) {
    std::visit([this](auto& one) { on(one); }, effect.notice);
  }

  void on(chain::notice::Submitted& notice) {
    const auto found = submitted.find(notice.id);
    if (found == submitted.end()) return;
    Caller caller = std::move(found->second);
    submitted.erase(found);
    const std::optional<std::uint64_t> own_number = caller.own_number;
    if (!notice.transaction) {
      // Who asked for the same once more waits for it by its name.
      if (own_number && in_flight.contains(*own_number))
        answer(in_flight.at(*own_number)->cid, std::unexpected(notice.transaction.error()));
      caller.done(std::unexpected(std::move(notice.transaction.error())));
      if (own_number) end_own(*own_number);
      return;
    }
    if (caller.named) caller.named(*notice.transaction);
    Done done = std::move(caller.done);
    if (caller.when == When::waiting) {
      done(Made{.transaction = *notice.transaction, .height = 0});
      if (!own_number) return;
      done = {};
    }
    waiting.emplace(*notice.transaction, [this, own_number, done = std::move(done)](Result<Made> made) mutable {
      if (done) done(std::move(made));
      if (own_number) end_own(*own_number);
    });
  }

  void on(chain::notice::BatchSubmitted& notice) {
    auto batch = batches.extract(notice.id);
    if (!batch.empty()) batch.mapped()(std::move(notice.transactions));
  }

  void on(const chain::notice::BlockFinal& notice) {
    say("ledger.block", fmt::format("block {} with {} transactions is final", notice.height, notice.transactions));
    see_last();
    tell_durable(notice.height);
    tell_of_key();
    post([this] { look_after(); });
  }

  void on(const chain::notice::TransactionFinal& notice) {
    answer(notice.transaction, Made{.transaction = notice.transaction, .height = notice.height});
  }

  void on(const chain::notice::TransactionDropped& notice) {
    answer(notice.transaction, std::unexpected(notice.error));
  }

  void answer(const Cid& transaction, const Result<Made>& made) {
    while (true) {
      auto found = waiting.extract(transaction);
      if (found.empty()) return;
      found.mapped()(made);
    }
  }

  void on(const chain::notice::Skipped& notice) {
    say("ledger.skipped",
        fmt::format("this node went on from another node's snapshot of height {}, which the validators "
                    "certified; the blocks before are not here",
                    notice.height));
    std::erase_if(committed, [&](const Committed& one) { return one.height < notice.height; });
    tell_durable(notice.height);
    tell_of_key();
    post([this] { look_after(); });
  }
  void on(const chain::notice::Stalled& notice) { say("ledger.stalled", notice.text); }
  void on(const chain::notice::EvidenceFound& notice) {
    say("ledger.evidence",
        fmt::format("validator {} contradicted itself at height {}", identity::short_name(notice.offence.offender),
                    notice.offence.height),
        notice.offence.offender);
    post([this] { report_offences(); });
  }
  void on(const chain::notice::ConflictFound& notice) {
    say("ledger.evidence", "an account signed two transactions for one number");
    // Whoever reports first is believed; that others do as well costs them nothing.
    make(ledger::Evidence{.kind = ledger::EvidenceKind::transactions, .first = notice.first, .second = notice.second},
         When::waiting, [](const Result<Made>&) {}, {});
  }
  void on(const chain::notice::SignsFrom& notice) {
    say("ledger.signs", notice.height == chain::never
                            ? std::string("this node signs nothing until it is certain what it has signed")
                            : fmt::format("this node signs from height {} on", notice.height));
  }
  void on(const chain::notice::Trouble& notice) { say("ledger.trouble", notice.text); }

  // ---- Transactions.

  void submit(Bytes envelope, Caller caller) {
    if (submitted.size() + waiting.size() >= max_callers)
      return caller.done(fail(ErrorCode::exhausted,
                              fmt::format("submissions-full: {} transactions are waited for already", max_callers)));
    const std::uint64_t number = ++submissions;
    submitted.emplace(number, std::move(caller));
    take(chain::event::Submit{.id = number, .envelope = std::move(envelope)});
  }

  /// What is being opened, in parts.
  struct Batch {
    std::vector<Bytes> envelopes;
    std::vector<std::optional<Result<ledger::Opened>>> opened;  ///< of each envelope; a part writes its own
    std::atomic<std::size_t> parts_left = 0;
    BatchDone done;
  };

  /// Any thread. The signatures are checked beside the replica's thread, which has enough to do.
  void submit_batch(std::vector<Bytes> envelopes, BatchDone done) {
    auto batch = std::make_shared<Batch>();
    batch->opened.resize(envelopes.size());
    batch->envelopes = std::move(envelopes);
    batch->done = std::move(done);
    const std::size_t count = batch->envelopes.size();
    const std::size_t parts = std::max<std::size_t>(1, (count + max_opened_at_once - 1) / max_opened_at_once);
    batch->parts_left = parts;
    for (std::size_t part = 0; part < parts; ++part) {
      asio::post(openers, [this, batch, begin = count * part / parts, end = count * (part + 1) / parts] {
        let_others_first();
        std::vector<Result<ledger::Opened>> opened =
            ledger::open_all(std::span(batch->envelopes).subspan(begin, end - begin), federation);
        for (std::size_t i = begin; i < end; ++i) batch->opened[i] = std::move(opened[i - begin]);
        if (batch->parts_left.fetch_sub(1) == 1) post([this, batch] { submit(*batch); });
      });
    }
  }

  void submit(Batch& batch) {
    std::vector<ledger::Opened> transactions;
    for (const auto& one : batch.opened) {
      if (*one) transactions.push_back(**one);
    }
    const std::uint64_t number = ++submissions;
    batches.emplace(number, [opened = std::move(batch.opened),
                             done = std::move(batch.done)](std::vector<Result<Cid>> taken) mutable {
      std::vector<Result<Cid>> answers;
      answers.reserve(opened.size());
      auto next = taken.begin();
      for (auto& one : opened) {
        if (*one) {
          answers.push_back(std::move(*next++));
        } else {
          answers.emplace_back(std::unexpected(std::move(one->error())));
        }
      }
      done(std::move(answers));
    });
    take(chain::event::SubmitBatch{.id = number, .transactions = std::move(transactions)});
  }

  /// Of this node's account, after what waits of it.
  [[nodiscard]] std::uint64_t next_number() const {
    const ledger::Account* account = replica->ledger().account(own_account);
    std::uint64_t number = account == nullptr ? 0 : account->sequence;
    while (in_flight.contains(number) || replica->mempool().find(own_account, number) != nullptr) ++number;
    return number;
  }

  Result<Bytes> sign(ledger::Body body) {
    const ledger::Account* account = replica->ledger().account(own_account);
    const auto seed = seeds.find(account == nullptr ? own_account : account->signer());
    if (seed == seeds.end())
      return fail(ErrorCode::denied, "key-rotated: another key signs for this node's account now");
    const std::uint64_t sequence = next_number();
    return std::visit(
        [&]<class T>(T& one) {
          one.account = own_account;
          one.sequence = sequence;
          if constexpr (std::same_as<T, ledger::Rotate>)
            one = ledger::rotation(own_account, sequence, seeds.at(one.key), federation);
          return record::encode(seal(one, federation, seed->second, seed->first));
        },
        body);
  }

  /// Why the ledger would refuse it now, after what waits of this account.
  [[nodiscard]] Status check(const ledger::Opened& transaction) const {
    std::vector<ledger::Opened> offered;
    const ledger::Account* account = replica->ledger().account(own_account);
    for (std::uint64_t number = account == nullptr ? 0 : account->sequence; number < transaction->sequence; ++number) {
      const auto found = in_flight.find(number);
      const ledger::Opened* other =
          found == in_flight.end() ? replica->mempool().find(own_account, number) : &found->second;
      if (other == nullptr) return {};  // Nothing is known of what comes after a gap.
      offered.push_back(*other);
    }
    offered.push_back(transaction);
    for (ledger::Proposal::Refused& one : replica->ledger().refused_of(offered, now_ms())) {
      if (one.index + 1 == offered.size()) return std::unexpected(std::move(one.error));
    }
    return {};
  }

  void make(ledger::Body body, When when, Done done, Named named) {
    if (wanted.size() >= max_callers)
      return done(fail(ErrorCode::exhausted,
                       fmt::format("submissions-full: {} transactions wait for their turn already", max_callers)));
    wanted.push_back(
        {.body = std::move(body), .caller = {.when = when, .done = std::move(done), .named = std::move(named)}});
    next_own();
  }

  void next_own() {
    while (!is_stopping && in_flight.size() < max_in_flight && !wanted.empty() && !awaits_rotation()) {
      Wanted one = std::move(wanted.front());
      wanted.pop_front();
      if (Status begun = begin_own(one); !begun) one.caller.done(std::unexpected(std::move(begun.error())));
    }
  }

  /// That is under way.
  [[nodiscard]] const ledger::Opened* rotation() const {
    const auto found = std::ranges::find_if(
        in_flight, [](const auto& one) { return std::holds_alternative<ledger::Rotate>(one.second->body); });
    return found == in_flight.end() ? nullptr : &found->second;
  }

  /// What comes after another key is signed by that.
  [[nodiscard]] bool awaits_rotation() const {
    const ledger::Opened* const under_way = rotation();
    return under_way != nullptr && next_number() > (*under_way)->sequence;
  }

  /// Whether somebody else votes by a key, or will, or lately did.
  [[nodiscard]] bool is_anothers(const PublicKey& key) const {
    const ledger::State& state = replica->ledger().state();
    const ledger::Voter* voter = state.tables.voters.find(key);
    if (voter != nullptr && voter->account != own_account) return true;
    return std::ranges::any_of(state.frame.scheduled, [&](const ledger::ValidatorSet& set) {
      return std::ranges::any_of(
          set.validators, [&](const ledger::Validator& one) { return one.key == key && one.account != own_account; });
    });
  }

  void rotate(const Seed& next, When when, Done done, Named named) {
    const PublicKey key = public_key_of(next);
    // Before anything is said by it.
    if (is_anothers(key)) return done(fail(ErrorCode::conflict, "key-taken: another validator votes by this key"));
    const ledger::Account* account = replica->ledger().account(own_account);
    if (account != nullptr && account->signer() == key) {
      return done(fail(ErrorCode::conflict,
                       "key-unchanged: this is the account's key already: end the node and start it again, and it goes "
                       "on with it"));
    }
    if (const ledger::Opened* const under_way = rotation()) {
      const Cid cid = (*under_way)->cid;
      if (std::get<ledger::Rotate>((*under_way)->body).key != key)
        return done(fail(ErrorCode::conflict, "key-rotating: the account is about to have another key"));
      if (named) named(cid);
      if (when == When::waiting) return done(Made{.transaction = cid, .height = 0});
      waiting.emplace(cid, std::move(done));
      return;
    }
    take(chain::event::AddKey{next});
    if (!replica->has_key(key))
      return done(
          fail(ErrorCode::exhausted,
               fmt::format("keys-full: this node votes by {} keys already: start it again", chain::max_own_keys)));
    seeds.emplace(key, next);
    settings.next = next;
    prefer_keys();
    make(ledger::Rotate{.account = own_account, .sequence = 0, .key = key, .proof = {}}, when, std::move(done),
         std::move(named));
  }

  /// Numbers, signs and checks it, and hands it on once it is written down.
  Status begin_own(Wanted& one) {
    MESH_LET(Bytes envelope, sign(std::move(one.body)));
    MESH_LET(ledger::Transaction transaction, ledger::decode(envelope));
    const ledger::Opened opened = ledger::Opened::trusted(std::move(transaction));
    MESH_TRY(check(opened));
    const std::uint64_t number = opened->sequence;
    in_flight.emplace(number, opened);
    one.caller.own_number = number;
    store::WriteBatch batch;
    batch.put.emplace_back(key_of(number), envelope);
    // The store may outlive this.
    settings.store->commit(std::move(batch), [self = shared_from_this(), envelope = std::move(envelope),
                                              caller = std::move(one.caller)](Status kept) mutable {
      Impl* const impl = self.get();
      impl->post([impl, envelope = std::move(envelope), caller = std::move(caller), kept = std::move(kept)]() mutable {
        if (impl->is_stopping) return;
        if (kept) return impl->submit(std::move(envelope), std::move(caller));
        const std::uint64_t failed = *caller.own_number;
        caller.done(std::unexpected(std::move(kept.error())));
        impl->end_own(failed);
      });
    });
    return {};
  }

  /// It is final, or waits no more.
  void end_own(std::uint64_t number) {
    in_flight.erase(number);
    store::WriteBatch batch;
    batch.erase.push_back(key_of(number));
    batch.urgency = store::Urgency::may_wait;
    settings.store->commit(std::move(batch), [](const Status&) {});
    // Not in the step that is being carried out.
    post([this] {
      next_own();
      fill_gap();
    });
  }

  /// What was given up leaves a gap for which the later ones would wait: something harmless takes its number.
  void fill_gap() {
    const ledger::Account* account = replica->ledger().account(own_account);
    if (is_stopping || account == nullptr || in_flight.empty() || !wanted.empty()) return;
    if (in_flight.begin()->first <= account->sequence ||
        replica->mempool().find(own_account, account->sequence) != nullptr)
      return;
    make(ledger::Transfer{.account = {}, .sequence = 0, .to = own_account, .amount = 1, .memo = "in place of another"},
         When::final, [](const Result<Made>&) {}, {});
  }

  /// What was under way when this node last ended may have been seen by others: it is said again before anything else.
  void resume_own() {
    const auto kept = settings.store->scan(own_prefix, max_in_flight);
    if (!kept) return say("ledger.storage", kept.error().message);
    const ledger::Account* account = replica->ledger().account(own_account);
    const std::uint64_t next = account == nullptr ? 0 : account->sequence;
    store::WriteBatch old;
    std::vector<Bytes> again;
    for (const auto& [key, envelope] : *kept) {
      // A home may have come into another federation meanwhile: what was signed for the last one is no transaction here.
      auto transaction = ledger::open(envelope, federation);
      if (!transaction || (*transaction)->account != own_account || (*transaction)->sequence < next ||
          key != key_of((*transaction)->sequence)) {
        old.erase.push_back(key);
        continue;
      }
      in_flight.emplace((*transaction)->sequence, std::move(*transaction));
      again.push_back(envelope);
    }
    old.urgency = store::Urgency::may_wait;
    if (!old.empty()) settings.store->commit(std::move(old), [](const Status&) {});
    auto number = in_flight.begin();
    for (Bytes& envelope : again) {
      const std::uint64_t own_number = (number++)->first;
      submit(std::move(envelope),
             {.when = When::final, .done = [](const Result<Made>&) {}, .named = {}, .own_number = own_number});
    }
    post([this] { fill_gap(); });
  }

  // ---- What is made without being asked for, one at a time.

  /// Validators that contradicted themselves. Whoever reports first is believed, and it costs nothing; what the ledger does not take
  /// is tried again after the next block, as long as nobody else's report was taken.
  void report_offences() {
    if (is_stopping || is_reporting) return;
    std::vector<ledger::Evidence> due = replica->due_evidence();
    if (due.empty()) return;
    is_reporting = true;
    make(std::move(due.front()), When::final, [this](const Result<Made>&) { is_reporting = false; }, {});
  }

  void look_after() {
    report_offences();
    if (is_stopping || !in_flight.empty() || !wanted.empty()) return;
    const ledger::Ledger& ledger = replica->ledger();
    const ledger::Account* account = ledger.account(own_account);
    const ledger::Member* member = ledger.member(own_account);
    if (account != nullptr && !seeds.contains(account->signer())) return;
    may_enrol = may_enrol && member == nullptr;
    if (may_enrol) enrol();
    if (account == nullptr || member == nullptr) return;
    if (account->balance < ledger.state().frame.parameters.transaction_fee) return;
    std::optional<ledger::Body> body;
    if (auto chain = due_chain(ledger, *member)) {
      body = *chain;
    } else if (auto attestation = due_attestation(ledger, *member)) {
      body = *attestation;
    }
    if (!body || body == refused) return;
    make(*body, When::final,
         [this, body](const Result<Made>& made) {
           if (made) return look_after();
           refused = body;
           say("ledger.trouble", "what this node says of itself is not taken: " + made.error().message);
         },
         {});
  }

  /// Where whoever comes is taken, a node that has followed the chain and finds no credential of its own makes itself a member. Who was
  /// sent away has one, which says so. What the ledger refuses is not tried again before the next start.
  void enrol() {
    if (!replica->is_level()) return;
    may_enrol = false;
    // A chain that is not followed to its end yet does not say which numbers the key has used up elsewhere.
    if (replica->signs_from() == chain::never)
      return say("ledger.trouble",
                 "this node does not enrol itself, since its key may have signed elsewhere: a steward admits it "
                 "(mesh federation admit)");
    make(ledger::Admit{.account = {},
                       .sequence = 0,
                       .node = own_account,
                       .roles = {ledger::Role::member},
                       .owner = {},
                       .expires_height = {}},
         When::final, [this](const Result<Made>& made) { enrolled(made); }, {});
  }

  void enrolled(const Result<Made>& made) {
    if (made) return say("ledger.enrolled", "this node has enrolled itself: it is a member, and no more");
    // A steward was faster.
    const ledger::Member* member = replica->ledger().member(own_account);
    if (member != nullptr && ledger::check_role(member, ledger::Role::member, replica->ledger().height())) return;
    // It waited too long, for validators that are not there: it is tried again when somebody is.
    if (made.error().code == ErrorCode::timeout) may_enrol = true;
    say("ledger.trouble", "this node could not enrol itself: " + made.error().message);
  }

  /// A validator says where its next hash chain ends, once the last one is nearly used up.
  [[nodiscard]] std::optional<ledger::CommitChain> due_chain(const ledger::Ledger& ledger,
                                                             const ledger::Member& member) {
    if (replica->signs_from() == chain::never) return std::nullopt;
    if (!ledger::check_role(&member, ledger::Role::validator, ledger.height())) return std::nullopt;
    return beacons.due(ledger, own_account);
  }

  /// A verifier says what it can run, and says so again when that has become another by a quarter, or it verifies no more.
  [[nodiscard]] std::optional<ledger::Attest> due_attestation(const ledger::Ledger& ledger,
                                                              const ledger::Member& member) const {
    if (!capacity) return std::nullopt;
    const ledger::Attest now{
        .account = own_account,
        .sequence = 0,
        .memory_mb = capacity->memory_mb,
        .fuel_per_second = capacity->fuel_per_second,
        .verifies = capacity->verifies && ledger::check_role(&member, ledger::Role::verifier, ledger.height())};
    const ledger::Attestation* said = ledger.state().tables.attestations.find(own_account);
    const auto is_near = [](std::uint64_t a, std::uint64_t b) { return a <= b + b / 4 && b <= a + a / 4; };
    if (said == nullptr || !said->verifies) return now.verifies ? std::optional(now) : std::nullopt;
    if (now.verifies && is_near(said->memory_mb, now.memory_mb) && is_near(said->fuel_per_second, now.fuel_per_second))
      return std::nullopt;
    return now;
  }

  // ---- Streams.

  void peer_up(const NodeId& id) {
    if (is_stopping) return;
    Peer& peer = peers.try_emplace(id, io).first->second;
    peer.has_ledger = true;
    peer.wait = first_retry;
    open_to(id, peer);
  }

  void peer_down(const NodeId& id) {
    const auto peer = peers.find(id);
    if (peer == peers.end()) return;
    const std::shared_ptr<Link> link = peer->second.link;
    if (link) end(id, link);
    peers.erase(id);
  }

  /// Of two the one with the smaller id.
  [[nodiscard]] bool is_opener(const NodeId& id) const { return own < id; }

  void open_to(const NodeId& id, Peer& peer) {
    if (!is_opener(id) || peer.link || peer.opening || !peer.has_ledger) return;
    const auto now = std::chrono::steady_clock::now();
    if (peer.alone_until > now)
      return open_later(id, peer, std::chrono::duration_cast<Duration>(peer.alone_until - now));
    peer.opening = true;
    asio::co_spawn(io, open_now(this, id), asio::detached);
  }

  void open_later(const NodeId& id, Peer& peer, Duration after) {
    peer.retry.expires_after(after);
    peer.retry.async_wait([this, id](error_code failed) {
      if (failed || is_stopping) return;
      const auto found = peers.find(id);
      if (found != peers.end()) open_to(id, found->second);
    });
  }

  // What is under way when this ends goes with `io`, which is this one's own: it must not hold this.

  static asio::awaitable<void> open_now(Impl* self, NodeId id) {
    // The opener may answer when this has ended.
    std::shared_ptr<void> alive = self->shared_from_this();
    asio::awaitable<Result<int>> opening =
        open_stream(self->io, self->opener, id, ledger_protocol, open_limit, std::move(alive));
    Result<int> opened = co_await std::move(opening);
    const auto found = self->peers.find(id);
    if (self->is_stopping || found == self->peers.end()) {
      if (opened) ::close(*opened);
      co_return;
    }
    Peer& peer = found->second;
    peer.opening = false;
    if (opened) {
      self->adopt(id, peer, *opened);
      co_return;
    }
    // It is of no federation with a ledger; who comes into one starts anew, and connects again.
    if (opened.error().code == ErrorCode::unsupported) {
      peer.has_ledger = false;
      co_return;
    }
    self->open_later(id, peer, peer.wait);
    peer.wait = std::min(last_retry, 2 * peer.wait);
  }

  void serve(const NodeId& id, int descriptor) {
    const auto found = peers.find(id);
    const bool is_welcome = !is_stopping && found != peers.end() && !is_opener(id) &&
                            found->second.alone_until <= std::chrono::steady_clock::now();
    if (!is_welcome) {
      ::close(descriptor);
      return;
    }
    // It opens another only where the last one has ended for it.
    const std::shared_ptr<Link> before = found->second.link;
    if (before) end(id, before);
    adopt(id, found->second, descriptor);
  }

  void adopt(const NodeId& id, Peer& peer, int descriptor) {
    auto link = std::make_shared<Link>(io, descriptor);
    peer.link = link;
    take(chain::event::PeerUp{id});
    asio::co_spawn(io, read_from(this, id, link), asio::detached);
    asio::co_spawn(io, write_to(this, id, link), asio::detached);
  }

  void send(const NodeId& id, const std::shared_ptr<Link>& link, Bytes frame) {
    if (link->ended) return;
    link->queued_bytes += frame.size();
    link->queue.push_back(std::move(frame));
    if (link->queued_bytes > settings.max_queued_bytes) return post([this, id, link] { end(id, link); });
    link->wake.cancel();
  }

  static void close(Link& link) {
    link.ended = true;
    link.queue.clear();
    link.wake.cancel();
    link.stall.cancel();
    error_code ignored;
    link.socket.close(ignored);
  }

  void arm(const NodeId& id, const std::shared_ptr<Link>& link) {
    link->stall.expires_after(settings.stall);
    link->stall.async_wait([this, id, weak = std::weak_ptr(link)](error_code failed) {
      const auto stalled = weak.lock();
      if (failed || !stalled || stalled->stall.expiry() > asio::steady_timer::clock_type::now()) return;
      end(id, stalled);
    });
  }

  /// Nothing more comes of this link.
  void end(const NodeId& id, const std::shared_ptr<Link>& link) {
    if (link->ended) return;
    close(*link);
    const auto found = peers.find(id);
    if (is_stopping || found == peers.end() || found->second.link != link) return;
    found->second.link = nullptr;
    take(chain::event::PeerDown{id});
    if (!is_opener(id)) return;
    open_later(id, found->second, found->second.wait);
    found->second.wait = std::min(last_retry, 2 * found->second.wait);
  }

  static asio::awaitable<void> read_from(Impl* self, NodeId id, std::shared_ptr<Link> link) {
    chain::FrameReader reader;
    Bytes buffer(read_bytes);
    std::vector<Bytes> taken;
    while (!link->ended) {
      self->arm(id, link);
      const auto [failed, count] = co_await link->socket.async_read_some(asio::buffer(buffer), quiet());
      if (failed || link->ended) break;
      const Status read = reader.read(ByteView(buffer).first(count), taken);
      for (Bytes& message : taken) {
        if (link->ended) break;
        self->take(chain::event::Received{.peer = id, .message = std::move(message)});
      }
      taken.clear();
      // It may have said that there is no more to follow.
      if (self->may_enrol) self->look_after();
      if (!read) {
        self->say("ledger.peer", identity::short_name(id) + ": " + read.error().message, id);
        break;
      }
      // It was there and spoke: what ends now is another matter than what never began.
      const auto found = self->peers.find(id);
      if (found != self->peers.end()) found->second.wait = first_retry;
    }
    self->end(id, link);
  }

  static asio::awaitable<void> write_to(Impl* self, NodeId id, std::shared_ptr<Link> link) {
    while (!link->ended) {
      if (link->queue.empty()) {
        link->wake.expires_at(asio::steady_timer::time_point::max());
        co_await link->wake.async_wait(quiet());
        continue;
      }
      const Bytes frame = std::move(link->queue.front());
      link->queue.pop_front();
      const auto [failed, count] = co_await asio::async_write(link->socket, asio::buffer(frame), quiet());
      if (failed) break;
      link->queued_bytes -= std::min(link->queued_bytes, frame.size());
    }
    self->end(id, link);
  }
};

ChainHost::ChainHost(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChainHost::~ChainHost() { stop(); }

Result<std::unique_ptr<ChainHost>> ChainHost::open(Settings settings, StreamOpener& opener, Tell tell,
                                                   Changed changed) {
  auto impl = std::make_shared<Impl>(std::move(settings), opener, std::move(tell), std::move(changed));
  if (Status opened = impl->open(); !opened) {
    impl->store.reset();
    return std::unexpected(std::move(opened.error()));
  }
  return std::unique_ptr<ChainHost>(new ChainHost(std::move(impl)));
}

const Seed& ChainHost::seed() const { return impl_->settings.seed; }

void ChainHost::begin(std::set<Cid> intents) {
  impl_->settings.interest.intents = std::move(intents);
  impl_->run();
}

Result<std::unique_ptr<ChainHost>> ChainHost::start(Settings settings, StreamOpener& opener, Tell tell,
                                                    Changed changed) {
  std::set<Cid> intents = settings.interest.intents;
  MESH_LET(std::unique_ptr<ChainHost> host, open(std::move(settings), opener, std::move(tell), std::move(changed)));
  host->begin(std::move(intents));
  return host;
}

void ChainHost::stop() { impl_->stop(); }

void ChainHost::peer_up(const NodeId& peer) {
  impl_->post([impl = impl_.get(), peer] { impl->peer_up(peer); });
}
void ChainHost::peer_down(const NodeId& peer) {
  impl_->post([impl = impl_.get(), peer] { impl->peer_down(peer); });
}
void ChainHost::serve(const NodeId& peer, int descriptor) {
  impl_->post([impl = impl_.get(), peer, descriptor] { impl->serve(peer, descriptor); });
}
void ChainHost::transact(ledger::Body body, When when, Done done, Named named) {
  impl_->post(
      [impl = impl_.get(), body = std::move(body), when, done = std::move(done), named = std::move(named)]() mutable {
        impl->make(std::move(body), when, std::move(done), std::move(named));
      });
}
void ChainHost::rotate(const Seed& next, When when, Done done, Named named) {
  impl_->post([impl = impl_.get(), next, when, done = std::move(done), named = std::move(named)]() mutable {
    impl->rotate(next, when, std::move(done), std::move(named));
  });
}
void ChainHost::submit(Bytes envelope, When when, Done done, Named named) {
  impl_->post([impl = impl_.get(), envelope = std::move(envelope), when, done = std::move(done),
               named = std::move(named)]() mutable {
    impl->submit(std::move(envelope), {.when = when, .done = std::move(done), .named = std::move(named)});
  });
}
void ChainHost::submit_batch(std::vector<Bytes> envelopes, BatchDone done) {
  impl_->submit_batch(std::move(envelopes), std::move(done));
}
void ChainHost::attest(const Capacity& capacity) {
  impl_->post([impl = impl_.get(), capacity] {
    impl->capacity = capacity;
    impl->look_after();
  });
}
void ChainHost::watch(const Cid& intent) {
  impl_->post([impl = impl_.get(), intent] { impl->watch(intent); });
}
void ChainHost::show_payment(const Cid& intent, std::move_only_function<void(Shown)> done) {
  impl_->post([impl = impl_.get(), intent, done = std::move(done)]() mutable { done(impl->show_payment(intent)); });
}
void ChainHost::look(std::move_only_function<void(const chain::Replica&)> look) {
  impl_->post([impl = impl_.get(), look = std::move(look)]() mutable { look(*impl->replica); });
}
void ChainHost::sign_from(chain::Height height) {
  impl_->post([impl = impl_.get(), height] { impl->take(chain::event::SignFrom{height}); });
}
void ChainHost::read(chain::Height from, std::size_t count,
                     std::move_only_function<void(Result<std::vector<store::ChainBlock>>)> done) {
  impl_->post([impl = impl_.get(), from, count, done = std::move(done)]() mutable {
    done(impl->store->read(from, std::min(count, chain::max_range_blocks), chain::max_block_bytes));
  });
}
const Founding& ChainHost::founding() const { return impl_->settings.founding; }
ledger::AccountId ChainHost::account() const {
  const std::scoped_lock lock(impl_->keys_mutex);
  return impl_->own_account;
}
ledger::AccountId ChainHost::account_of(const PublicKey& key) const {
  const std::scoped_lock lock(impl_->keys_mutex);
  return impl_->keys.account_of(key);
}

}  // namespace mesh::app
