#include "app/runtime/content.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <list>
#include <map>
#include <mutex>

#include "app/runtime/failures.h"
#include "app/runtime/file_layout.h"
#include "app/runtime/stream.h"
#include "base/check.h"
#include "codec/car.h"
#include "codec/varint.h"
#include "domain/asset/unixfs.h"

namespace mesh::app {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t max_complete = 65'536;
constexpr std::size_t max_lying_holders = 4'096;
constexpr int max_fruitless = 3;  // Attempts on one holder that bring nothing.
constexpr std::size_t max_known_links = 8;

/// The prefix of a frame that holds one CAR section, up to the block's bytes.
struct SectionHead {
  Bytes bytes;
  std::uint64_t section_bytes = 0;
};
SectionHead section_head(const Cid& cid, std::size_t block_bytes) {
  Bytes section;
  append_varint(section, Cid::binary_size + block_bytes);
  append(section, cid.binary());
  SectionHead head;
  head.section_bytes = section.size() + block_bytes;
  append_varint(head.bytes, head.section_bytes);
  append(head.bytes, section);
  return head;
}

}  // namespace

std::span<const std::string_view> enum_names(BlocksStatus) {
  static constexpr std::array<std::string_view, 4> names{"ok", "not-found", "busy", "malformed"};
  return names;
}

std::span<const std::string_view> enum_names(BlocksEnding) {
  static constexpr std::array<std::string_view, 3> names{"complete", "incomplete", "limit"};
  return names;
}

ContentWalk::ContentWalk(const Cid& root, std::uint32_t depth, std::uint64_t max_blocks, bool inner_only)
    : max_blocks_(max_blocks), inner_only_(inner_only) {
  queue_.push_back({root, depth});
  found_.insert(root);
}

std::optional<Cid> ContentWalk::next() const {
  if (head_ == queue_.size()) return std::nullopt;
  return queue_[head_].cid;
}

bool ContentWalk::must_read() const {
  return head_ != queue_.size() && queue_[head_].depth_left > 0 && queue_[head_].cid.codec() != Multicodec::raw;
}

Status ContentWalk::advance(ByteView block) {
  MESH_CHECK(head_ < queue_.size(), "content-walk-end");
  if (must_read()) {
    const Entry entry = queue_[head_];
    MESH_LET(const std::vector<Cid> links, asset::links_of(entry.cid, block));
    for (const Cid& link : links) {
      if (inner_only_ && link.codec() == Multicodec::raw) continue;
      if (!found_.insert(link).second) continue;
      if (found_.size() > max_blocks_) {
        return fail(ErrorCode::exhausted, fmt::format("the content has more than {} blocks", max_blocks_));
      }
      queue_.push_back({link, entry.depth_left - 1});
    }
  }
  ++head_;
  ++position_;
  if (head_ > 4'096 && head_ > queue_.size() / 2) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  return {};
}

struct ContentExchange::Impl : std::enable_shared_from_this<ContentExchange::Impl> {
  struct Holder {
    NodeId node;
    std::optional<Cid> below;
    int fruitless = 0;
    bool given_up = false;
  };

  struct Waiter {
    explicit Waiter(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    Done done;
  };

  struct Key {
    Cid root;
    std::uint32_t depth = 0;
    bool inner_only = false;
    auto operator<=>(const Key&) const = default;
  };

  struct Transfer {
    Key key;
    std::vector<Holder> holders;
    std::list<std::shared_ptr<Waiter>> waiters;
    Failures failures;
    std::shared_ptr<Stream> stream;
    std::unique_ptr<asio::steady_timer> pause;
    std::uint64_t bytes = 0;
    bool cancelled = false;
    bool lies_elsewhere = false;  ///< some of it, in files of shares
  };

  asio::io_context& io;
  store::BlockStore& blocks;
  std::shared_ptr<Transports> transports;
  Limits limits;
  OnLiar on_liar;
  MayHave may_have;
  bool closed = false;

  std::map<Key, std::shared_ptr<Transfer>> transfers;
  std::deque<std::shared_ptr<Transfer>> waiting;
  std::size_t fetching = 0;
  std::unordered_set<NodeId> liars;
  OpenStreams streams{io};

  std::size_t serving = 0, answering = 0;
  std::map<NodeId, std::size_t> serving_per_peer;
  std::deque<std::pair<Cid, std::shared_ptr<const std::unordered_set<Cid>>>> known_links;
  using Leaves = std::shared_ptr<const std::vector<FileLeaf>>;
  std::deque<std::pair<Cid, Leaves>> known_leaves;

  std::mutex complete_mutex;
  std::map<Key, char> complete;

  std::atomic<std::uint64_t> blocks_served{0}, bytes_served{0}, blocks_fetched{0}, bytes_fetched{0}, bad_blocks{0},
      served_streams{0};

  Impl(asio::io_context& context, store::BlockStore& store, StreamOpener& open, Limits given, OnLiar liar, MayHave let)
      : io(context),
        blocks(store),
        transports(std::make_shared<Transports>(context, open, given.transports)),
        limits(std::move(given)),
        on_liar(std::move(liar)),
        may_have(std::move(let)) {}

  void close() {
    closed = true;
    streams.close();
    for (auto& [key, transfer] : transfers) {
      transfer->cancelled = true;
      for (const auto& waiter : transfer->waiters) waiter->timer.cancel();
      transfer->waiters.clear();
      if (transfer->pause) transfer->pause->cancel();
    }
    transfers.clear();
    waiting.clear();
  }

  // ---- Serving.

  /// Whether `root` is one of the links of `below`, which is declared.
  bool linked(const Cid& below, const Cid& root) {
    for (const auto& [cid, links] : known_links) {
      if (cid == below) return links->contains(root);
    }
    const auto block = blocks.get(below);
    if (!block) return false;
    const auto links = asset::links_of(below, **block);
    if (!links) return false;
    auto set = std::make_shared<const std::unordered_set<Cid>>(links->begin(), links->end());
    known_links.emplace_front(below, set);
    if (known_links.size() > max_known_links) known_links.pop_back();
    return set->contains(root);
  }

  /// Where the blocks of what was asked for may come from; nullopt: the peer may not have it.
  std::optional<store::From> may_serve(const NodeId& peer, const BlocksRequest& request) {
    const Cid& declared = request.below ? *request.below : request.root;
    const bool shared = may_have && may_have(peer, declared);
    if (!shared && !blocks.is_declared(declared)) return std::nullopt;
    if (request.below && *request.below != request.root && !linked(*request.below, request.root)) return std::nullopt;
    return shared ? store::From::anywhere : store::From::open;
  }

  static asio::awaitable<void> serve_guarded(std::shared_ptr<Impl> self, NodeId peer, int descriptor) {
    const std::shared_ptr<Stream> stream = self->streams.make(descriptor, self->limits.stall);
    stream->pace(self->limits.pacer, peer);
    // Those that only hear "busy" cost descriptors too, but take no place: else they would keep each other out.
    if (self->answering >= 4 * self->limits.max_served + 16) {
      stream->close();
      co_return;
    }
    ++self->answering;
    const bool busy =
        self->serving >= self->limits.max_served || self->serving_per_peer[peer] >= self->limits.max_served_per_peer;
    if (!busy) {
      self->served_streams = ++self->serving;
      ++self->serving_per_peer[peer];
    }
    co_await serve_stream(self, peer, stream, busy);
    stream->close();
    --self->answering;
    if (!busy) {
      self->served_streams = --self->serving;
      --self->serving_per_peer[peer];
    }
    if (const auto count = self->serving_per_peer.find(peer);
        count != self->serving_per_peer.end() && count->second == 0) {
      self->serving_per_peer.erase(count);
    }
  }

  static asio::awaitable<void> serve_stream(std::shared_ptr<Impl> self, NodeId peer, std::shared_ptr<Stream> stream,
                                            bool busy) {
    while (true) {
      Result<std::optional<Bytes>> frame = co_await stream->read_frame(max_control_bytes);
      // Nobody is there to be answered, or all was asked.
      if (!frame && frame.error().code != ErrorCode::invalid) co_return;
      Result<BlocksRequest> request = frame ? record::decode<BlocksRequest>(*frame ? ByteView(**frame) : ByteView())
                                            : Result<BlocksRequest>(std::unexpected(std::move(frame.error())));
      std::optional<store::From> from;
      Leaves leaves;
      BlocksAnswer answer;
      if (!request) {
        answer.status = BlocksStatus::malformed;
      } else if (busy) {
        answer.status = BlocksStatus::busy;
      } else if (from = self->may_serve(peer, *request); !from) {
        answer.status = BlocksStatus::not_found;
      } else if (request->range) {
        leaves = self->leaves_of(request->root, *from);
        if (!leaves) {
          answer.status = BlocksStatus::not_found;
        } else if (request->range->count == 0 || request->range->first > leaves->size() ||
                   request->range->count > leaves->size() - request->range->first) {
          answer.status = BlocksStatus::malformed;
        }
      }
      const Bytes answer_frame = framed(record::encode(answer));
      const Status written = co_await stream->write(answer_frame);
      if (!written) co_return;
      if (answer.status != BlocksStatus::ok) {  // Who asks for nothing that is here holds no place.
        co_await stream->finish();
        co_return;
      }
      bool sent = false;
      if (leaves) {
        sent = co_await send_leaves(self, stream, *request, *from, *leaves);
      } else {
        sent = co_await send_walk(self, stream, *request, *from);
      }
      if (!sent) co_return;
    }
  }

  /// The leaves of a file in the order of its content; nullptr if it is none, or not all of its inner nodes are here.
  Leaves leaves_of(const Cid& root, store::From from) {
    for (const auto& [cid, leaves] : known_leaves) {
      if (cid == root) return leaves;
    }
    auto layout = file_layout(blocks, root, from);
    if (!layout || !*layout) return nullptr;
    auto list = std::make_shared<const std::vector<FileLeaf>>(std::move(**layout));
    known_leaves.emplace_front(root, list);
    if (known_leaves.size() > max_known_links) known_leaves.pop_back();
    return list;
  }

  /// What a peer is being sent in answer to one request.
  struct Sending {
    std::shared_ptr<Stream> stream;
    BlocksEnd end;
  };

  static asio::awaitable<bool> send_header(Sending& sending, const Cid& root) {
    const Bytes header = car::header(std::span(&root, 1));
    sending.end.bytes = header.size();
    const Bytes frame = framed(header);
    const Status written = co_await sending.stream->write(frame);
    co_return written.has_value();
  }

  /// False: the stream is gone, or this is closing.
  static asio::awaitable<bool> send_block(std::shared_ptr<Impl> self, Sending& sending, const Cid& cid,
                                          const Bytes& block) {
    const SectionHead head = section_head(cid, block.size());
    const Status written = co_await sending.stream->write(head.bytes, block);
    if (!written || self->closed) co_return false;
    ++sending.end.blocks;
    sending.end.bytes += head.section_bytes;
    self->blocks_served += 1;
    self->bytes_served += block.size();
    co_return true;
  }

  static asio::awaitable<bool> send_end(Sending& sending) {
    Bytes tail;
    append_varint(tail, 0);
    append(tail, framed(record::encode(sending.end)));
    const Status written = co_await sending.stream->write(tail);
    co_return written.has_value();
  }

  static asio::awaitable<bool> send_leaves(std::shared_ptr<Impl> self, std::shared_ptr<Stream> stream,
                                           const BlocksRequest& request, store::From from,
                                           const std::vector<FileLeaf>& leaves) {
    Sending sending{.stream = std::move(stream), .end = {}};
    bool written = co_await send_header(sending, request.root);
    for (std::uint32_t i = 0; written && i < request.range->count; ++i) {
      const Cid& cid = leaves[request.range->first + i].cid;
      const Result<store::BlockBytes> block = self->blocks.get(cid, from);
      if (!block) {
        sending.end.ending = BlocksEnding::incomplete;
        break;
      }
      written = co_await send_block(self, sending, cid, **block);
    }
    if (!written) co_return false;
    co_return co_await send_end(sending);
  }

  static asio::awaitable<bool> send_walk(std::shared_ptr<Impl> self, std::shared_ptr<Stream> stream,
                                         const BlocksRequest& request, store::From from) {
    Sending sending{.stream = std::move(stream), .end = {}};
    bool written = co_await send_header(sending, request.root);
    ContentWalk walk(request.root, std::min(request.depth, self->limits.max_depth), self->limits.max_blocks,
                     request.inner_only);
    while (const std::optional<Cid> cid = walk.next()) {
      if (!written) co_return false;
      const bool skipped = walk.position() < request.skip;
      store::BlockBytes block;
      if (!skipped || walk.must_read()) {
        Result<store::BlockBytes> got = self->blocks.get(*cid, from);
        if (!got) {
          sending.end.ending = BlocksEnding::incomplete;
          break;
        }
        block = std::move(*got);
      }
      if (!skipped) {
        if (sending.end.bytes + block->size() >
            self->limits.max_bytes + (self->limits.max_bytes >> 4)) {  // Room for the sections' heads.
          sending.end.ending = BlocksEnding::limit;
          break;
        }
        written = co_await send_block(self, sending, *cid, *block);
      }
      const Status advanced = walk.advance(block ? ByteView(*block) : ByteView());
      if (!advanced) {
        sending.end.ending = BlocksEnding::limit;
        break;
      }
    }
    if (!written) co_return false;
    co_return co_await send_end(sending);
  }

  // ---- Fetching.

  void note_liar(const NodeId& node, const std::string& what) {
    ++bad_blocks;
    if (liars.size() < max_lying_holders) liars.insert(node);
    if (on_liar) on_liar(node, what);
  }

  void remember_complete(const Key& key) {
    const std::lock_guard guard(complete_mutex);
    if (complete.size() >= max_complete) complete.clear();
    complete.emplace(key, 0);
  }

  /// Goes past what is here. True: all of it. What lies elsewhere than in the store may be gone at any time: it is told.
  Result<bool> pass_local(ContentWalk& walk, bool& lies_elsewhere) {
    while (const std::optional<Cid> cid = walk.next()) {
      if (!blocks.has(*cid)) return false;
      lies_elsewhere = lies_elsewhere || !blocks.keeps(*cid);
      store::BlockBytes block;
      if (walk.must_read()) {
        Result<store::BlockBytes> got = blocks.get(*cid);
        if (!got) {
          // A damaged block was set aside and is missing now.
          if (!blocks.has(*cid)) return false;
          return std::unexpected(std::move(got.error()));
        }
        block = std::move(*got);
      }
      MESH_TRY(walk.advance(block ? ByteView(*block) : ByteView()));
    }
    return true;
  }

  Result<bool> is_here(const Key& key) {
    {
      const std::lock_guard guard(complete_mutex);
      if (complete.contains(key)) return true;
    }
    ContentWalk walk(key.root, key.depth, limits.max_blocks, key.inner_only);
    bool lies_elsewhere = false;
    MESH_LET(const bool all, pass_local(walk, lies_elsewhere));
    if (all && !lies_elsewhere) remember_complete(key);
    return all;
  }

  void fetch(const Want& want, const std::vector<NodeId>& nodes, Duration limit, Done done) {
    if (closed) return;
    const Key key{.root = want.root, .depth = std::min(want.depth, limits.max_depth), .inner_only = want.inner_only};
    Result<bool> here = is_here(key);
    if (!here) return done(std::unexpected(std::move(here.error())));
    if (*here) return done({});

    std::shared_ptr<Transfer> transfer;
    const auto known = transfers.find(key);
    const bool fresh = known == transfers.end();
    if (fresh) {
      if (transfers.size() >= limits.max_transfers) {
        return done(fail(ErrorCode::exhausted,
                         fmt::format("{} fetches are under way already; try again later", transfers.size())));
      }
      transfer = std::make_shared<Transfer>();
      transfer->key = key;
      transfers.emplace(key, transfer);
    } else {
      transfer = known->second;
    }
    for (const NodeId& node : nodes) {
      if (transfer->holders.size() >= limits.max_holders) break;
      const bool listed = std::ranges::any_of(
          transfer->holders, [&](const Holder& holder) { return holder.node == node && holder.below == want.below; });
      if (!listed) transfer->holders.push_back({.node = node, .below = want.below});
    }
    auto waiter = std::make_shared<Waiter>(io);
    waiter->done = std::move(done);
    waiter->timer.expires_after(limit);
    waiter->timer.async_wait([weak = weak_from_this(), transfer, waiter, limit](error_code failed) {
      const auto self = weak.lock();
      if (failed || !self || std::ranges::find(transfer->waiters, waiter) == transfer->waiters.end()) return;
      std::erase(transfer->waiters, waiter);
      if (transfer->waiters.empty()) self->cancel(*transfer);
      const Done done_now = std::move(waiter->done);
      done_now(
          fail(ErrorCode::timeout, fmt::format("{} could not be fetched within {} ms ({})", transfer->key.root.text(),
                                               std::chrono::duration_cast<milliseconds>(limit).count(),
                                               transfer->failures.empty() ? "no holder failed, it just takes longer"
                                                                          : transfer->failures.text())));
    });
    transfer->waiters.push_back(std::move(waiter));
    if (fresh) {
      waiting.push_back(transfer);
      start_next();
    } else if (transfer->pause) {
      transfer->pause->cancel();  // There may be a new holder to ask.
    }
  }

  void cancel(Transfer& transfer) {
    transfer.cancelled = true;
    if (transfer.stream) transfer.stream->close();
    if (transfer.pause) transfer.pause->cancel();
    transfers.erase(transfer.key);
  }

  void start_next() {
    while (fetching < limits.max_fetched && !waiting.empty()) {
      const std::shared_ptr<Transfer> transfer = std::move(waiting.front());
      waiting.pop_front();
      if (transfer->cancelled) continue;
      ++fetching;
      asio::co_spawn(io, run(shared_from_this(), transfer), asio::detached);
    }
  }

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, std::shared_ptr<Transfer> transfer) {
    Status outcome = co_await bring(self, transfer);
    --self->fetching;
    if (self->closed) co_return;
    if (!transfer->cancelled) {
      if (outcome && !transfer->lies_elsewhere) self->remember_complete(transfer->key);
      self->transfers.erase(transfer->key);
      const std::list<std::shared_ptr<Waiter>> waiters = std::exchange(transfer->waiters, {});
      for (const auto& waiter : waiters) {
        waiter->timer.cancel();
        const Done done = std::move(waiter->done);
        done(outcome);
      }
    }
    self->start_next();
  }

  static asio::awaitable<Status> bring(std::shared_ptr<Impl> self, std::shared_ptr<Transfer> transfer) {
    const Key& key = transfer->key;
    ContentWalk walk(key.root, key.depth, self->limits.max_blocks, key.inner_only);
    std::size_t next = 0;
    Duration pause = self->limits.first_pause;
    bool again = false;  // Somebody of this round may have it later.
    while (true) {
      if (transfer->cancelled || self->closed) co_return Status();
      Result<bool> all = self->pass_local(walk, transfer->lies_elsewhere);
      if (!all) co_return std::unexpected(std::move(all.error()));
      if (*all) co_return Status();
      if (next >= transfer->holders.size()) {
        if (!again) {
          co_return fail(ErrorCode::unavailable, fmt::format("{} could not be fetched: {}", transfer->key.root.text(),
                                                             transfer->failures.text()));
        }
        again = false;
        next = 0;
        transfer->pause = std::make_unique<asio::steady_timer>(self->io, pause);
        co_await transfer->pause->async_wait(quiet());
        transfer->pause.reset();
        pause = std::min(pause * 2, Duration(seconds(2)));
        continue;
      }
      const std::size_t index = next++;
      if (transfer->holders[index].given_up) continue;
      const NodeId node = transfer->holders[index].node;
      if (self->liars.contains(node)) {
        transfer->holders[index].given_up = true;
        transfer->failures.note(node, {ErrorCode::denied, "sent a bad block before and is not asked any more"});
        continue;
      }
      const std::uint64_t before = walk.position();
      Attempt attempt = co_await ask(self, transfer, walk, node, transfer->holders[index].below);
      if (transfer->cancelled || self->closed) co_return Status();
      Holder& holder = transfer->holders[index];
      if (walk.position() > before) {
        holder.fruitless = 0;
        pause = self->limits.first_pause;
      } else if (attempt.kind != Attempt::Kind::busy) {
        ++holder.fruitless;
      }
      switch (attempt.kind) {
        case Attempt::Kind::done:
          break;
        case Attempt::Kind::busy:
          again = true;
          break;
        case Attempt::Kind::broken:
          if (holder.fruitless >= max_fruitless) holder.given_up = true;
          again = again || !holder.given_up;
          break;
        case Attempt::Kind::has_not:
          holder.given_up = true;
          break;
        case Attempt::Kind::liar:
          holder.given_up = true;
          self->note_liar(node, attempt.error.message);
          break;
        case Attempt::Kind::fatal:
          co_return std::unexpected(std::move(attempt.error));
      }
      if (attempt.kind != Attempt::Kind::done) transfer->failures.note(node, attempt.error);
    }
  }

  struct Attempt {
    enum class Kind : std::uint8_t { done, busy, broken, has_not, liar, fatal };
    Kind kind = Kind::done;
    Error error;
  };

  static Attempt attempt_of(Attempt::Kind kind, Error error) { return {.kind = kind, .error = std::move(error)}; }
  static Attempt liar(std::string text) {
    return attempt_of(Attempt::Kind::liar, {ErrorCode::invalid, std::move(text)});
  }
  /// A stream's failure: malformed frames are the peer's doing, the rest may be anybody's.
  static Attempt of_stream(Error error) {
    const auto kind = error.code == ErrorCode::invalid ? Attempt::Kind::liar : Attempt::Kind::broken;
    return attempt_of(kind, std::move(error));
  }

  static asio::awaitable<Attempt> ask(std::shared_ptr<Impl> self, std::shared_ptr<Transfer> transfer, ContentWalk& walk,
                                      NodeId node, std::optional<Cid> below) {
    // How much it will be is not known beforehand: no other transport is tried for it.
    auto use = co_await self->transports->open(node, blocks_protocol, 0, self->limits.stall);
    if (!use) co_return attempt_of(Attempt::Kind::broken, std::move(use.error()));
    const std::shared_ptr<Stream> stream = self->streams.make((*use)->descriptor(), self->limits.stall);
    stream->pace(self->limits.pacer, node);
    transfer->stream = stream;
    Attempt attempt;
    if (transfer->cancelled || self->closed) {
      attempt = attempt_of(Attempt::Kind::broken, {ErrorCode::unavailable, "not needed any more"});
    } else {
      attempt = co_await converse(self, transfer, stream, walk, below);
      if (attempt.kind == Attempt::Kind::broken && !transfer->cancelled && !self->closed) (*use)->break_off();
    }
    stream->close();
    transfer->stream.reset();
    co_return attempt;
  }

  static asio::awaitable<Attempt> converse(std::shared_ptr<Impl> self, std::shared_ptr<Transfer> transfer,
                                           std::shared_ptr<Stream> stream, ContentWalk& walk,
                                           std::optional<Cid> below) {
    BlocksRequest request;
    request.root = transfer->key.root;
    request.below = below;
    request.depth = transfer->key.depth;
    request.inner_only = transfer->key.inner_only;
    request.skip = walk.position();
    const Bytes request_frame = framed(record::encode(request));
    Status written = co_await stream->write(request_frame);
    if (!written) co_return of_stream(std::move(written.error()));

    Result<std::optional<Bytes>> frame = co_await stream->read_frame(max_control_bytes);
    if (!frame) co_return of_stream(std::move(frame.error()));
    const Result<BlocksAnswer> answer = record::decode<BlocksAnswer>(*frame ? ByteView(**frame) : ByteView());
    if (!answer) co_return liar("sent an answer that does not read: " + answer.error().message);
    switch (answer->status) {
      case BlocksStatus::ok:
        break;
      case BlocksStatus::busy:
        co_return attempt_of(Attempt::Kind::busy, {ErrorCode::exhausted, "is busy"});
      case BlocksStatus::not_found:
        co_return attempt_of(Attempt::Kind::has_not, {ErrorCode::not_found, "has no such content for us"});
      case BlocksStatus::malformed:
        co_return attempt_of(Attempt::Kind::has_not, {ErrorCode::invalid, "did not understand the request"});
    }

    car::Reader reader;
    std::uint64_t bytes = 0;
    std::uint64_t count = 0;
    while (true) {
      frame = co_await stream->read_frame(max_section_bytes);
      if (!frame) co_return of_stream(std::move(frame.error()));
      if (!*frame) break;
      const Bytes& part = **frame;
      bytes += part.size();
      const bool was_header = !reader.has_header();
      const Status fed = reader.feed(part);
      if (!fed) co_return liar("sent a bad block: " + fed.error().message);
      if (!reader.at_boundary()) co_return liar("sent a frame that is not one CAR section");
      const std::optional<car::Block> block = reader.next();
      if (was_header) {
        if (block || reader.roots() != std::vector<Cid>{request.root})
          co_return liar("sent a CAR header of other roots");
        continue;
      }
      const std::optional<Cid> expected = walk.next();
      if (!block || reader.next() || !expected || block->cid != *expected) {
        co_return liar("sent a block out of turn");
      }
      transfer->bytes += block->bytes.size();
      if (transfer->bytes > self->limits.max_bytes) {
        co_return attempt_of(Attempt::Kind::fatal,
                             {ErrorCode::exhausted,
                              fmt::format("{} has more than {} bytes", request.root.text(), self->limits.max_bytes)});
      }
      // Not durable: what comes from a peer can come again.
      Status kept = self->blocks.put(block->cid, block->bytes);
      if (!kept) co_return attempt_of(Attempt::Kind::fatal, std::move(kept.error()));
      Status advanced = walk.advance(block->bytes);
      if (!advanced) {
        Error error = std::move(advanced.error());
        error.message = fmt::format("{}: {}", request.root.text(), error.message);
        co_return attempt_of(Attempt::Kind::fatal, std::move(error));
      }
      ++count;
      self->blocks_fetched += 1;
      self->bytes_fetched += block->bytes.size();
    }

    frame = co_await stream->read_frame(max_control_bytes);
    if (!frame) co_return of_stream(std::move(frame.error()));
    const Result<BlocksEnd> end = record::decode<BlocksEnd>(*frame ? ByteView(**frame) : ByteView());
    if (!end) co_return liar("sent an end that does not read: " + end.error().message);
    if (end->blocks != count || end->bytes != bytes)
      co_return liar("sent another number of blocks or bytes than its end says");
    if (end->ending == BlocksEnding::incomplete) {
      co_return attempt_of(Attempt::Kind::has_not,
                           {ErrorCode::not_found, fmt::format("lacks a block after {} blocks", count)});
    }
    if (end->ending == BlocksEnding::limit) {
      // What was sent is used; the rest is for another holder, or this one again from there.
      co_return attempt_of(count > 0 ? Attempt::Kind::broken : Attempt::Kind::has_not,
                           {ErrorCode::exhausted, "stopped at a bound of its own"});
    }
    if (walk.next()) co_return liar("said that all was sent when it was not");
    co_return Attempt{};
  }
};

ContentExchange::ContentExchange(asio::io_context& io, store::BlockStore& blocks, StreamOpener& opener, Limits limits,
                                 OnLiar on_liar, MayHave may_have)
    : impl_(std::make_shared<Impl>(io, blocks, opener, std::move(limits), std::move(on_liar), std::move(may_have))) {}

ContentExchange::~ContentExchange() { impl_->close(); }

void ContentExchange::fetch(const Want& want, std::vector<NodeId> holders, Duration limit, Done done) {
  asio::dispatch(impl_->io, [impl = impl_, want, holders = std::move(holders), limit,
                             done = std::move(done)]() mutable { impl->fetch(want, holders, limit, std::move(done)); });
}

void ContentExchange::fetch_all(std::vector<Want> wants, std::vector<NodeId> holders, Duration limit, Done done) {
  struct Together {
    std::size_t left = 0;
    Done done;
  };
  const auto together = std::make_shared<Together>(Together{.left = wants.size(), .done = std::move(done)});
  asio::dispatch(impl_->io, [impl = impl_, together, wants = std::move(wants), holders = std::move(holders), limit] {
    if (wants.empty() && !impl->closed) return together->done({});
    for (const Want& want : wants) {
      impl->fetch(want, holders, limit, [together](Status status) {
        if (!together->done) return;
        if (status && --together->left > 0) return;
        const Done now = std::exchange(together->done, {});
        now(std::move(status));
      });
    }
  });
}

Result<bool> ContentExchange::is_here(const Cid& root, std::uint32_t depth) {
  return impl_->is_here({.root = root, .depth = std::min(depth, impl_->limits.max_depth)});
}

void ContentExchange::forget_complete() {
  const std::lock_guard guard(impl_->complete_mutex);
  impl_->complete.clear();
}

void ContentExchange::serve(const NodeId& peer, int descriptor) {
  asio::post(impl_->io, [impl = impl_, peer, descriptor] {
    if (impl->closed) {
      ::close(descriptor);
      return;
    }
    asio::co_spawn(impl->io, Impl::serve_guarded(impl, peer, descriptor), asio::detached);
  });
}

std::vector<Cid> ContentExchange::roots_in_use() const {
  std::vector<Cid> roots;
  for (const auto& [key, transfer] : impl_->transfers) roots.push_back(key.root);
  return roots;
}

Transports& ContentExchange::transports() { return *impl_->transports; }
bool ContentExchange::is_liar(const NodeId& peer) const { return impl_->liars.contains(peer); }
void ContentExchange::note_liar(const NodeId& peer, const std::string& what) { impl_->note_liar(peer, what); }

ContentExchange::Figures ContentExchange::figures() const {
  return {.blocks_served = impl_->blocks_served,
          .bytes_served = impl_->bytes_served,
          .blocks_fetched = impl_->blocks_fetched,
          .bytes_fetched = impl_->bytes_fetched,
          .bad_blocks = impl_->bad_blocks,
          .served_streams = impl_->served_streams};
}

}  // namespace mesh::app
