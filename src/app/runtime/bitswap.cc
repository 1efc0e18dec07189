#include "app/runtime/bitswap.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <list>
#include <map>
#include <unordered_map>

#include "app/runtime/failures.h"
#include "app/runtime/stream.h"
#include "domain/asset/bitswap_message.h"
#include "domain/asset/unixfs.h"

namespace mesh::app {

namespace asio = boost::asio;
using asset::BitswapMessage;
using boost::system::error_code;

namespace {

constexpr std::size_t enough_block_bytes = std::size_t{64} << 10;  // Of one message; its last block may pass it.
constexpr std::size_t max_recent = 4'096;  // Blocks that may still come though they are not wanted any more.
constexpr std::size_t max_liars = 4'096;

}  // namespace

struct BitswapExchange::Impl : std::enable_shared_from_this<BitswapExchange::Impl> {
  struct Waiter {
    explicit Waiter(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    Done done;
  };

  struct Holder {
    NodeId node;
    bool given_up = false;
  };

  /// A block to get, and how many links may be followed below it.
  struct Place {
    Cid cid;
    std::uint32_t depth_left = 0;
  };

  struct Transfer {
    Transfer(asio::io_context& io, const Cid& to_bring, std::uint32_t depth) : root(to_bring), moved(io) {
      todo.push_back({root, depth});
      found.insert(root);
    }
    Cid root;
    std::vector<Holder> holders;
    std::list<std::shared_ptr<Waiter>> waiters;
    Failures failures;
    std::vector<Place> todo;  // A stack: what comes first is last.
    std::unordered_set<Cid> found;
    std::unordered_map<Cid, std::uint32_t> under_way;  // Asked of the peer whose turn it is: its depth.
    std::uint64_t bytes = 0;  // Of the DAG, as far as it is known.
    std::uint64_t brought = 0;  // Blocks that came from peers.
    asio::steady_timer moved;  // Cancelled when something has happened.
    bool has_moved = false;
    std::optional<Error> given_up;  // The peer whose turn it is will not bring what it was asked for.
    std::optional<Error> fatal;
    bool cancelled = false;

    void wake() {
      has_moved = true;
      moved.cancel();
    }
  };

  /// What a peer wants from this node.
  struct Want {
    Bytes cid;
    std::optional<Cid> name;
    bool have = false;
    bool send_dont_have = false;
  };
  /// The higher priority first, then what came first.
  using Turn = std::pair<std::int64_t, std::uint64_t>;

  struct Grant {
    Cid root;
    std::list<Cid>::iterator place;
  };

  struct Peer {
    explicit Peer(asio::io_context& io) : idle(io) {}
    std::map<Turn, Want> wants;
    std::map<Bytes, Turn> turns;
    std::list<Cid> granted;  // The latest used first.
    std::unordered_map<Cid, Grant> grants;
    // What is to be told of our own wants, and which of them wait for an answer.
    std::deque<BitswapMessage::Want> updates;
    std::unordered_map<Cid, std::vector<std::shared_ptr<Transfer>>> asked;
    std::deque<Cid> recent_order;
    std::unordered_set<Cid> recent;
    std::size_t unasked = 0;
    std::size_t streams = 0;
    std::shared_ptr<Stream> out;
    asio::steady_timer idle;
    bool sending = false;
    bool gone = false;

    [[nodiscard]] bool is_unused() const { return streams == 0 && !sending && out == nullptr && asked.empty(); }
  };
  using PeerPointer = std::shared_ptr<Peer>;

  asio::io_context& io;
  store::BlockStore& blocks;
  StreamOpener& opener;
  Limits limits;
  OnLiar on_liar;
  MayHave may_have;
  bool closed = false;

  std::map<NodeId, PeerPointer> peers;
  std::map<Cid, std::shared_ptr<Transfer>> transfers;
  std::unordered_set<NodeId> liars;
  OpenStreams streams{io};
  std::size_t inbound = 0;
  std::size_t grants_in_all = 0;
  std::uint64_t next_turn = 0;

  std::atomic<std::uint64_t> blocks_served{0}, bytes_served{0}, blocks_fetched{0}, bytes_fetched{0}, bad_blocks{0};

  Impl(asio::io_context& context, store::BlockStore& store, StreamOpener& open, Limits given, OnLiar liar, MayHave let)
      : io(context),
        blocks(store),
        opener(open),
        limits(std::move(given)),
        on_liar(std::move(liar)),
        may_have(std::move(let)) {}

  void close() {
    closed = true;
    streams.close();
    for (auto& [node, peer] : peers) {
      peer->gone = true;
      peer->idle.cancel();
      peer->asked.clear();
    }
    peers.clear();
    for (auto& [root, transfer] : transfers) {
      transfer->cancelled = true;
      for (const auto& waiter : transfer->waiters) waiter->timer.cancel();
      transfer->waiters.clear();
      transfer->wake();
    }
    transfers.clear();
  }

  /// What is known of a peer, anew if need be; null if there are too many that are in use.
  PeerPointer peer_of(const NodeId& node) {
    const auto known = peers.find(node);
    if (known != peers.end()) return known->second;
    if (peers.size() >= limits.max_peers) {
      const auto unused = std::ranges::find_if(peers, [](const auto& one) { return one.second->is_unused(); });
      if (unused == peers.end()) return nullptr;
      grants_in_all -= unused->second->grants.size();
      peers.erase(unused);
    }
    return peers.emplace(node, std::make_shared<Peer>(io)).first->second;
  }

  /// What the peer may ask for is kept: it may come back, and not begin at the root again.
  void peer_down(const NodeId& node) {
    const auto known = peers.find(node);
    if (known == peers.end()) return;
    const PeerPointer peer = std::exchange(known->second, std::make_shared<Peer>(io));
    known->second->granted.swap(peer->granted);
    known->second->grants.swap(peer->grants);
    peer->gone = true;
    peer->idle.cancel();
    if (peer->out) peer->out->close();
    forget_wants(*peer);
    give_up(*peer, {ErrorCode::unavailable, "is not connected any more"});
  }

  // ---- Hearing.

  static asio::awaitable<void> hear(std::shared_ptr<Impl> self, NodeId node, PeerPointer peer,
                                    std::shared_ptr<Stream> stream) {
    while (!self->closed && !peer->gone) {
      const Result<std::optional<Bytes>> frame = co_await stream->read_frame(asset::max_bitswap_message_bytes);
      if (!frame || self->closed || peer->gone) break;
      if (!*frame) continue;
      const Result<BitswapMessage> message = asset::decode_bitswap(**frame);
      if (!message || !self->take(node, *peer, *message)) break;
      self->say(node, peer);
    }
    stream->close();
    if (self->closed) co_return;
    --self->inbound;
    --peer->streams;
  }

  /// False: the stream is not to be read any more.
  bool take(const NodeId& node, Peer& peer, const BitswapMessage& message) {
    for (const BitswapMessage::Block& block : message.blocks) {
      if (!take_block(node, peer, block)) return false;
    }
    for (const BitswapMessage::Presence& presence : message.presences) {
      const std::optional<Cid> cid = asset::cid_of_want(presence.cid);
      if (cid && !presence.has) take_absence(peer, *cid);
    }
    if (message.is_full) forget_wants(peer);
    for (const BitswapMessage::Want& want : message.wants) take_want(peer, want);
    return true;
  }

  static void forget_wants(Peer& peer) {
    peer.wants.clear();
    peer.turns.clear();
  }

  void take_want(Peer& peer, const BitswapMessage::Want& want) {
    if (const auto known = peer.turns.find(want.cid); known != peer.turns.end()) {
      peer.wants.erase(known->second);
      peer.turns.erase(known);
    }
    if (want.cancel || peer.wants.size() >= limits.max_wants) return;
    const Turn turn{-static_cast<std::int64_t>(want.priority), next_turn++};
    peer.turns.emplace(want.cid, turn);
    peer.wants.emplace(turn, Want{.cid = want.cid,
                                  .name = asset::cid_of_want(want.cid),
                                  .have = want.have,
                                  .send_dont_have = want.send_dont_have});
  }

  // ---- Serving.

  /// Where the blocks below a root may come from for this peer; nullopt: it may not have them.
  [[nodiscard]] std::optional<store::From> source_of(const NodeId& node, const Cid& root) const {
    if (may_have && may_have(node, root)) return store::From::anywhere;
    if (blocks.is_declared(root)) return store::From::open;
    return std::nullopt;
  }

  struct Permit {
    Cid root;
    store::From from = store::From::open;
  };
  /// Of which root the block is a part for this peer; nullopt: it may not have it.
  std::optional<Permit> permit_of(const NodeId& node, Peer& peer, const Cid& cid) {
    if (const auto from = source_of(node, cid)) return Permit{cid, *from};
    const auto grant = peer.grants.find(cid);
    if (grant == peer.grants.end()) return std::nullopt;
    const auto from = source_of(node, grant->second.root);
    if (!from) return std::nullopt;
    peer.granted.splice(peer.granted.begin(), peer.granted, grant->second.place);
    return Permit{grant->second.root, *from};
  }

  void grant_links(Peer& peer, const Cid& cid, ByteView block, const Cid& root) {
    if (cid.codec() == Multicodec::raw) return;
    const auto links = asset::links_of(cid, block);
    if (!links) return;  // What Meshwork cannot read it cannot name the parts of.
    for (const Cid& link : *links) {
      const auto known = peer.grants.find(link);
      if (known != peer.grants.end()) {
        known->second.root = root;
        peer.granted.splice(peer.granted.begin(), peer.granted, known->second.place);
        continue;
      }
      if (peer.grants.size() >= limits.max_grants_per_peer) revoke_oldest(peer);
      peer.granted.push_front(link);
      peer.grants.emplace(link, Grant{root, peer.granted.begin()});
      ++grants_in_all;
    }
    while (grants_in_all > limits.max_grants) {
      const auto most = std::ranges::max_element(peers, {}, [](const auto& one) { return one.second->grants.size(); });
      const std::size_t half = most->second->grants.size() / 2;
      while (most->second->grants.size() > half) revoke_oldest(*most->second);
    }
  }

  void revoke_oldest(Peer& peer) {
    peer.grants.erase(peer.granted.back());
    peer.granted.pop_back();
    --grants_in_all;
  }

  /// Answers one want in the message.
  void answer(const NodeId& node, Peer& peer, const Want& want, BitswapMessage& message, std::size_t& bytes) {
    const std::optional<Permit> permit = want.name ? permit_of(node, peer, *want.name) : std::nullopt;
    if (permit && want.have) {
      if (blocks.has(*want.name, permit->from)) return message.presences.push_back({.cid = want.cid, .has = true});
    } else if (permit) {
      if (const Result<store::BlockBytes> block = blocks.get(*want.name, permit->from)) {
        message.blocks.push_back({.prefix = asset::prefix_of_want(want.cid), .data = **block});
        bytes += (*block)->size();
        blocks_served += 1;
        bytes_served += (*block)->size();
        return grant_links(peer, *want.name, **block, permit->root);
      }
    }
    if (want.send_dont_have) message.presences.push_back({.cid = want.cid, .has = false});
  }

  BitswapMessage compose(const NodeId& node, Peer& peer) {
    BitswapMessage message;
    while (!peer.updates.empty() && message.wants.size() < asset::max_bitswap_entries) {
      message.wants.push_back(std::move(peer.updates.front()));
      peer.updates.pop_front();
    }
    std::size_t bytes = 0;
    while (!peer.wants.empty() && bytes < enough_block_bytes && message.presences.size() < asset::max_bitswap_entries) {
      const Want want = std::move(peer.wants.begin()->second);
      peer.wants.erase(peer.wants.begin());
      peer.turns.erase(want.cid);
      answer(node, peer, want, message, bytes);
    }
    return message;
  }

  // ---- Saying.

  void say(const NodeId& node, const PeerPointer& peer) {
    if (closed || peer->gone || peer->sending || (peer->updates.empty() && peer->wants.empty())) return;
    peer->sending = true;
    peer->idle.cancel();
    asio::co_spawn(io, say_all(shared_from_this(), node, peer), asio::detached);
  }

  static asio::awaitable<void> say_all(std::shared_ptr<Impl> self, NodeId node, PeerPointer peer) {
    while (!self->closed && !peer->gone) {
      const BitswapMessage message = self->compose(node, *peer);
      if (message.is_empty()) break;
      const Status said = co_await say_one(self, node, peer, framed(asset::encode_bitswap(message)));
      if (self->closed || peer->gone) co_return;
      if (!said) {
        forget_wants(*peer);
        peer->updates.clear();
        give_up(*peer, said.error());
      }
    }
    if (self->closed || peer->gone) co_return;
    peer->sending = false;
    peer->idle.expires_after(self->limits.idle);
    peer->idle.async_wait([weak = std::weak_ptr(peer)](error_code failed) {
      const auto idle = weak.lock();
      if (failed || !idle || idle->sending || !idle->out) return;
      idle->out->close();
      idle->out.reset();
    });
  }

  static asio::awaitable<Status> say_one(std::shared_ptr<Impl> self, NodeId node, PeerPointer peer, Bytes frame) {
    // A stream that was open already may have been closed by the peer meanwhile: then a new one is taken.
    const bool was_open = peer->out != nullptr;
    for (int attempt = was_open ? 0 : 1; attempt < 2; ++attempt) {
      if (!peer->out) {
        Result<int> descriptor =
            co_await open_stream(self->io, self->opener, node, bitswap_protocol, self->limits.stall);
        if (!descriptor) co_return std::unexpected(std::move(descriptor.error()));
        if (self->closed || peer->gone) {
          ::close(*descriptor);
          co_return Status();
        }
        peer->out = self->streams.make(*descriptor, self->limits.stall);
        peer->out->pace(self->limits.pacer, node);
      }
      const std::shared_ptr<Stream> stream = peer->out;
      Status written = co_await stream->write(frame);
      if (written || self->closed || peer->gone) co_return Status();
      stream->close();
      peer->out.reset();
      if (attempt == 1) co_return std::unexpected(std::move(written.error()));
    }
    co_return Status();
  }

  // ---- Fetching.

  static void note_recent(Peer& peer, const Cid& cid) {
    if (!peer.recent.insert(cid).second) return;
    peer.recent_order.push_back(cid);
    if (peer.recent_order.size() <= max_recent) return;
    peer.recent.erase(peer.recent_order.front());
    peer.recent_order.pop_front();
  }

  /// All that waits for this peer goes on without it.
  static void give_up(Peer& peer, const Error& error) {
    for (const auto& [cid, waiting] : std::exchange(peer.asked, {})) {
      note_recent(peer, cid);
      for (const auto& transfer : waiting) {
        if (!transfer->given_up) transfer->given_up = error;
        transfer->wake();
      }
    }
  }

  static void take_absence(Peer& peer, const Cid& cid) {
    const auto asked = peer.asked.find(cid);
    if (asked == peer.asked.end()) return;
    const auto waiting = std::move(asked->second);
    peer.asked.erase(asked);
    for (const auto& transfer : waiting) {
      if (!transfer->given_up)
        transfer->given_up = Error{ErrorCode::not_found, fmt::format("has no block {} for us", cid.text())};
      transfer->wake();
    }
  }

  /// False: a liar, or a block that nobody wanted.
  bool take_block(const NodeId& node, Peer& peer, const BitswapMessage::Block& block) {
    const std::optional<Cid> cid = asset::cid_of_block(block);
    const auto asked = cid ? peer.asked.find(*cid) : peer.asked.end();
    if (asked == peer.asked.end()) {
      if (cid && peer.recent.contains(*cid)) return true;
      if (liars.contains(node)) return false;
      if (++peer.unasked < limits.max_unasked) return true;
      ++bad_blocks;
      if (liars.size() < max_liars) liars.insert(node);
      const std::string what = fmt::format("sent {} blocks that nobody had asked it for", peer.unasked);
      if (on_liar) on_liar(node, what);
      give_up(peer, {ErrorCode::denied, what});
      return false;
    }
    const auto waiting = std::move(asked->second);
    peer.asked.erase(asked);
    note_recent(peer, *cid);
    blocks_fetched += 1;
    bytes_fetched += block.data.size();
    // Not durable: what comes from a peer can come again.
    const Status kept = blocks.put(*cid, block.data);
    for (const auto& transfer : waiting) {
      if (!kept) {
        transfer->fatal = kept.error();
      } else if (const auto depth = transfer->under_way.find(*cid); depth != transfer->under_way.end()) {
        const Place place{*cid, depth->second};
        transfer->under_way.erase(depth);
        ++transfer->brought;
        if (Status found = add_links(*transfer, place, block.data); !found) transfer->fatal = std::move(found.error());
      }
      transfer->wake();
    }
    return true;
  }

  Status count(Transfer& transfer, std::uint64_t bytes) const {
    transfer.bytes += bytes;
    if (transfer.bytes <= limits.max_bytes) return {};
    return fail(ErrorCode::exhausted, fmt::format("{} has more than {} bytes", transfer.root.text(), limits.max_bytes));
  }

  /// Counts a block and finds what it links to.
  Status add_links(Transfer& transfer, const Place& place, ByteView block) {
    MESH_TRY(count(transfer, block.size()));
    if (place.cid.codec() == Multicodec::raw || place.depth_left == 0) return {};
    auto links = asset::links_of(place.cid, block);
    if (!links) return wrap(transfer.root.text(), std::move(links.error()));
    for (auto link = links->rbegin(); link != links->rend(); ++link) {
      if (!transfer.found.insert(*link).second) continue;
      if (transfer.found.size() > limits.max_blocks) {
        return fail(ErrorCode::exhausted,
                    fmt::format("{} has more than {} blocks", transfer.root.text(), limits.max_blocks));
      }
      transfer.todo.push_back({*link, place.depth_left - 1});
    }
    return {};
  }

  /// The next block that is not here; goes past those that are.
  Result<std::optional<Place>> next_missing(Transfer& transfer) {
    while (!transfer.todo.empty()) {
      const Place place = transfer.todo.back();
      transfer.todo.pop_back();
      const Result<std::uint64_t> size = blocks.size(place.cid);
      if (!size) return place;
      if (place.cid.codec() == Multicodec::raw || place.depth_left == 0) {
        MESH_TRY(count(transfer, *size));
        continue;
      }
      const Result<store::BlockBytes> block = blocks.get(place.cid);
      if (!block) {
        // A damaged block was set aside and is missing now.
        if (!blocks.has(place.cid)) return place;
        return std::unexpected(block.error());
      }
      MESH_TRY(add_links(transfer, place, **block));
    }
    return std::nullopt;
  }

  void fetch(const Cid& root, const std::vector<NodeId>& nodes, Duration limit, Done done) {
    if (closed) return;
    std::shared_ptr<Transfer>& transfer = transfers[root];
    const bool is_fresh = transfer == nullptr;
    if (is_fresh) {
      if (transfers.size() > limits.max_transfers) {
        transfers.erase(root);
        return done(fail(ErrorCode::exhausted,
                         fmt::format("{} fetches are under way already; try again later", transfers.size())));
      }
      transfer = std::make_shared<Transfer>(io, root, limits.max_depth);
    }
    for (const NodeId& node : nodes) {
      if (transfer->holders.size() >= limits.max_holders) break;
      if (std::ranges::find(transfer->holders, node, &Holder::node) == transfer->holders.end())
        transfer->holders.push_back({.node = node});
    }
    auto waiter = std::make_shared<Waiter>(io);
    waiter->done = std::move(done);
    waiter->timer.expires_after(limit);
    waiter->timer.async_wait([weak = weak_from_this(), transfer, waiter, limit](error_code failed) {
      const auto self = weak.lock();
      if (failed || !self || std::ranges::find(transfer->waiters, waiter) == transfer->waiters.end()) return;
      std::erase(transfer->waiters, waiter);
      if (transfer->waiters.empty()) {
        transfer->cancelled = true;
        self->transfers.erase(transfer->root);
        transfer->wake();
      }
      const Done now = std::move(waiter->done);
      now(fail(ErrorCode::timeout,
               fmt::format(
                   "{} could not be fetched within {} ms ({} blocks came; {})", transfer->root.text(),
                   std::chrono::duration_cast<milliseconds>(limit).count(), transfer->brought,
                   transfer->failures.empty() ? "no peer failed, it just takes longer" : transfer->failures.text())));
    });
    transfer->waiters.push_back(std::move(waiter));
    if (is_fresh) asio::co_spawn(io, run(shared_from_this(), transfer), asio::detached);
  }

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, std::shared_ptr<Transfer> transfer) {
    const Status outcome = co_await bring(self, transfer);
    if (self->closed || transfer->cancelled) co_return;
    self->transfers.erase(transfer->root);
    const std::list<std::shared_ptr<Waiter>> waiters = std::exchange(transfer->waiters, {});
    for (const auto& waiter : waiters) {
      waiter->timer.cancel();
      const Done done = std::move(waiter->done);
      done(outcome);
    }
  }

  /// Asks one peer after the other. One that brought nothing in its turn is asked no more, the others come round again.
  static asio::awaitable<Status> bring(std::shared_ptr<Impl> self, std::shared_ptr<Transfer> transfer) {
    std::size_t next = 0;
    while (true) {
      Result<std::optional<Place>> missing = self->next_missing(*transfer);
      if (!missing) co_return std::unexpected(std::move(missing.error()));
      if (!*missing) co_return Status();
      transfer->todo.push_back(**missing);
      if (std::ranges::all_of(transfer->holders, &Holder::given_up)) {
        co_return fail(ErrorCode::unavailable,
                       fmt::format("{} could not be fetched: {}", transfer->root.text(), transfer->failures.text()));
      }
      const std::size_t index = next++ % transfer->holders.size();
      if (transfer->holders[index].given_up) continue;
      const NodeId node = transfer->holders[index].node;
      const std::uint64_t before = transfer->brought;
      Status asked;
      if (self->liars.contains(node)) {
        asked = fail(ErrorCode::denied, "sent wrong blocks before and is not asked any more");
      } else {
        asked = co_await ask(self, transfer, node);
      }
      if (self->closed || transfer->cancelled) co_return Status();
      if (transfer->fatal) co_return std::unexpected(*transfer->fatal);
      if (asked) continue;
      transfer->failures.note(node, asked.error());
      transfer->holders[index].given_up = transfer->brought == before || self->liars.contains(node);
    }
  }

  /// Fetches from one peer as long as it brings something. Success: it has brought all that there is to bring.
  static asio::awaitable<Status> ask(std::shared_ptr<Impl> self, std::shared_ptr<Transfer> transfer, NodeId node) {
    const PeerPointer peer = self->peer_of(node);
    if (!peer) co_return fail(ErrorCode::exhausted, "is one more than this node talks to by Bitswap");
    transfer->given_up.reset();
    Status outcome;
    while (true) {
      if (peer->gone) {
        outcome = fail(ErrorCode::unavailable, "is not connected any more");
        break;
      }
      while (transfer->under_way.size() < self->limits.window) {
        Result<std::optional<Place>> missing = self->next_missing(*transfer);
        if (!missing) {
          transfer->fatal = std::move(missing.error());
          break;
        }
        if (!*missing) break;
        want_of(*peer, transfer, **missing);
      }
      if (transfer->under_way.empty() || transfer->fatal) break;
      transfer->has_moved = false;
      self->say(node, peer);
      if (!transfer->has_moved) {
        transfer->moved.expires_after(self->limits.stall);
        co_await transfer->moved.async_wait(quiet());
      }
      if (self->closed || transfer->cancelled || transfer->fatal) break;
      if (transfer->given_up) {
        outcome = std::unexpected(*transfer->given_up);
        break;
      }
      if (!transfer->has_moved) {
        outcome = fail(
            ErrorCode::timeout,
            fmt::format("brought nothing for {} s", std::chrono::duration_cast<seconds>(self->limits.stall).count()));
        break;
      }
    }
    if (!self->closed) {
      take_back(*peer, transfer);
      self->say(node, peer);
    }
    co_return outcome;
  }

  static void want_of(Peer& peer, const std::shared_ptr<Transfer>& transfer, const Place& place) {
    transfer->under_way.emplace(place.cid, place.depth_left);
    auto& waiting = peer.asked[place.cid];
    waiting.push_back(transfer);
    if (waiting.size() > 1) return;
    peer.updates.push_back({.cid = place.cid.bytes(), .priority = 1, .send_dont_have = true});
  }

  /// What the peer did not bring is to be fetched again, and not from it.
  static void take_back(Peer& peer, const std::shared_ptr<Transfer>& transfer) {
    for (const auto& [cid, depth] : std::exchange(transfer->under_way, {})) {
      transfer->todo.push_back({cid, depth});
      const auto asked = peer.asked.find(cid);
      if (asked == peer.asked.end()) continue;
      std::erase(asked->second, transfer);
      if (!asked->second.empty()) continue;
      peer.asked.erase(asked);
      note_recent(peer, cid);
      if (!peer.gone) peer.updates.push_back({.cid = cid.bytes(), .priority = 1, .cancel = true});
    }
  }
};

BitswapExchange::BitswapExchange(asio::io_context& io, store::BlockStore& blocks, StreamOpener& opener, Limits limits,
                                 OnLiar on_liar, MayHave may_have)
    : impl_(std::make_shared<Impl>(io, blocks, opener, std::move(limits), std::move(on_liar), std::move(may_have))) {}

BitswapExchange::~BitswapExchange() { impl_->close(); }

void BitswapExchange::fetch(const Cid& root, std::vector<NodeId> peers, Duration limit, Done done) {
  asio::dispatch(impl_->io, [impl = impl_, root, peers = std::move(peers), limit, done = std::move(done)]() mutable {
    impl->fetch(root, peers, limit, std::move(done));
  });
}

std::vector<Cid> BitswapExchange::roots_in_use() const {
  std::vector<Cid> roots;
  for (const auto& [root, transfer] : impl_->transfers) roots.push_back(root);
  return roots;
}

void BitswapExchange::serve(const NodeId& peer, int descriptor) {
  asio::post(impl_->io, [impl = impl_, node = peer, descriptor] {
    const auto refused = [&] { ::close(descriptor); };
    if (impl->closed || impl->inbound >= impl->limits.max_streams) return refused();
    const Impl::PeerPointer known = impl->peer_of(node);
    if (!known || known->streams >= impl->limits.max_streams_per_peer) return refused();
    ++impl->inbound;
    ++known->streams;
    const auto stream = impl->streams.make(descriptor, impl->limits.inbound_idle);
    stream->pace(impl->limits.pacer, node);
    asio::co_spawn(impl->io, Impl::hear(impl, node, known, stream), asio::detached);
  });
}

void BitswapExchange::peer_down(const NodeId& peer) {
  asio::post(impl_->io, [impl = impl_, peer] { impl->peer_down(peer); });
}

BitswapExchange::Figures BitswapExchange::figures() const {
  return {.blocks_served = impl_->blocks_served,
          .bytes_served = impl_->bytes_served,
          .blocks_fetched = impl_->blocks_fetched,
          .bytes_fetched = impl_->bytes_fetched,
          .bad_blocks = impl_->bad_blocks};
}

}  // namespace mesh::app
