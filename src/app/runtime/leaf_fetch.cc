#include "app/runtime/leaf_fetch.h"

#include <fmt/format.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <unordered_map>

#include "app/runtime/stream.h"
#include "codec/car.h"

namespace mesh::app {

namespace asio = boost::asio;

namespace {

constexpr std::size_t most_holders = 1024;  // In all, with those that were given up.
constexpr std::size_t ahead = 2;  // Requests that a holder has at a time.
constexpr int max_fruitless_turns = 3;
constexpr int max_busy = 30;
constexpr Duration longest_pause = seconds(2);

using Clock = std::chrono::steady_clock;

}  // namespace

struct LeafFetch::Impl : std::enable_shared_from_this<LeafFetch::Impl> {
  struct Carried {
    std::uint64_t bytes = 0;
    Duration time{0};
  };
  struct Holder {
    Holder(asio::io_context& io, const NodeId& id, asset::RangePlan::Holder number_given)
        : node(id), number(number_given), pause(io), trial(io) {}
    NodeId node;
    asset::RangePlan::Holder number;
    asio::steady_timer pause;
    asio::steady_timer trial;  ///< until it has shown what it brings over another transport
    std::shared_ptr<Stream> stream;
    std::shared_ptr<Transports::Use> use;  ///< of the stream
    bool is_cut = false;  ///< the stream was closed because its trial was lost
    std::map<std::string, Carried, std::less<>> carried;
    Instant asked_since;  ///< or since when nothing came
    std::uint64_t bytes = 0;
    int fruitless = 0;
    int busy = 0;  ///< times in a row
    bool given_up = false;
    bool is_idle = false;  ///< it waits for something to be asked for
    std::string failure;
  };

  /// What asking a holder came to.
  enum class Outcome : std::uint8_t {
    nothing_to_ask,
    superfluous,  ///< it sends what came from others meanwhile
    elsewhere,  ///< the next request goes over another transport
    broken,
    busy,
    has_not,
    liar,
  };
  struct Attempt {
    Outcome outcome = Outcome::nothing_to_ask;
    std::string text;
    bool is_of_stream = false;  ///< what broke is the stream
  };

  asio::io_context& io;
  ContentExchange& exchange;
  Cid root;
  std::vector<FileLeaf> leaves;
  std::unordered_map<Cid, std::vector<std::uint32_t>> places;
  Put put;
  Limits limits;
  asset::RangePlan plan;
  std::vector<std::shared_ptr<Holder>> holders;
  Done done;
  bool started = false;
  bool ended = false;
  std::uint64_t bytes_in_all = 0, bytes_here = 0, bytes_fetched = 0;
  Clock::time_point began = Clock::now();

  Impl(asio::io_context& context, ContentExchange& content, const Cid& of, std::vector<FileLeaf> all, Put keep,
       Limits given)
      : io(context),
        exchange(content),
        root(of),
        leaves(std::move(all)),
        put(std::move(keep)),
        limits(std::move(given)),
        plan(static_cast<std::uint32_t>(leaves.size())) {
    for (std::uint32_t i = 0; i < leaves.size(); ++i) {
      places[leaves[i].cid].push_back(i);
      bytes_in_all += leaves[i].bytes;
    }
  }

  [[nodiscard]] Instant now() const { return Instant(std::chrono::duration_cast<Duration>(Clock::now() - began)); }

  void set_here(std::uint32_t leaf) {
    if (!plan.is_here(leaf)) bytes_here += leaves[leaf].bytes;
    plan.set_here(leaf);
  }

  void add_holder(const NodeId& node) {
    if (ended) return;
    for (const auto& holder : holders) {
      if (holder->node == node) return;
    }
    const auto asked = std::ranges::count_if(holders, [](const auto& holder) { return !holder->given_up; });
    if (static_cast<std::size_t>(asked) >= limits.max_holders || holders.size() >= most_holders) return;
    holders.push_back(std::make_shared<Holder>(io, node, plan.add_holder()));
    if (started) asio::co_spawn(io, run(shared_from_this(), holders.back()), asio::detached);
  }

  void start(Done given) {
    started = true;
    done = std::move(given);
    if (plan.missing() == 0) return end({});
    if (holders.empty()) return end(fail(ErrorCode::unavailable, "no peer is known that has it"));
    for (const auto& holder : holders) asio::co_spawn(io, run(shared_from_this(), holder), asio::detached);
  }

  void stop() {
    ended = true;
    done = {};
    put = {};
    for (const auto& holder : holders) {
      holder->pause.cancel();
      holder->trial.cancel();
      if (holder->stream) holder->stream->close();
    }
  }

  void end(Status status) {
    if (ended) return;
    const Done now_done = std::move(done);
    stop();
    if (now_done) now_done(std::move(status));
  }

  /// What somebody owed is free: those that wait for something to be asked for look again.
  void release(Holder& holder) {
    if (!plan.release(holder.number)) return;
    for (const auto& other : holders) {
      if (other->is_idle) other->pause.cancel();
    }
  }

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, std::shared_ptr<Holder> holder) {
    Duration pause = self->limits.first_pause;
    while (!self->ended && !holder->given_up) {
      if (self->exchange.is_liar(holder->node)) {
        holder->given_up = true;
        holder->failure = "sent a bad block before and is not asked any more";
        break;
      }
      const std::uint64_t before = holder->bytes;
      Attempt attempt = co_await ask(self, holder);
      if (self->ended) co_return;
      self->release(*holder);
      if (!attempt.text.empty()) holder->failure = attempt.text;
      const bool brought = holder->bytes > before;
      if (brought) {
        holder->fruitless = 0;
        pause = self->limits.first_pause;
      }
      holder->busy = attempt.outcome == Outcome::busy ? holder->busy + 1 : 0;
      holder->is_idle = attempt.outcome == Outcome::nothing_to_ask;
      switch (attempt.outcome) {
        case Outcome::superfluous:
        case Outcome::elsewhere:
          continue;
        case Outcome::nothing_to_ask:
          break;
        case Outcome::busy:
          holder->given_up = holder->busy >= max_busy;
          break;
        case Outcome::broken:
          if (!brought && ++holder->fruitless >= max_fruitless_turns) holder->given_up = true;
          break;
        case Outcome::has_not:
          holder->given_up = true;
          break;
        case Outcome::liar:
          holder->given_up = true;
          self->exchange.note_liar(holder->node, attempt.text);
          break;
      }
      if (holder->given_up) break;
      holder->pause.expires_after(pause);
      co_await holder->pause.async_wait(quiet());
      holder->is_idle = false;
      pause = std::min(pause * 2, longest_pause);
    }
    if (self->ended) co_return;
    for (const auto& other : self->holders) {
      if (!other->given_up) co_return;
    }
    self->end(fail(ErrorCode::unavailable, self->told()));
  }

  [[nodiscard]] std::string told() const {
    std::string text;
    for (const auto& holder : holders)
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", identity::short_name(holder->node), holder->failure);
    return text;
  }

  static asio::awaitable<Attempt> ask(std::shared_ptr<Impl> self, std::shared_ptr<Holder> holder) {
    // Not before there is something to ask for: a stream costs the holder too.
    std::optional<asset::RangePlan::Range> first = self->plan.next(holder->number, self->now());
    if (!first) co_return nothing();
    auto use = co_await self->exchange.transports().open(holder->node, blocks_protocol, self->left_of_each(),
                                                         self->limits.stall);
    if (!use) co_return of(Outcome::broken, std::move(use.error().message));
    const auto stream = std::make_shared<Stream>(self->io, (*use)->descriptor(), self->limits.stall);
    stream->pace(self->limits.pacer, holder->node);
    Attempt attempt;
    if (!self->ended) {
      holder->stream = stream;
      holder->use = *use;
      holder->is_cut = false;
      holder->asked_since = self->now();
      self->watch_trial(holder);
      attempt = co_await converse(self, holder, stream, *first);
      holder->trial.cancel();
      holder->use.reset();
      holder->stream.reset();
      if (holder->is_cut) attempt = of(Outcome::elsewhere, {});
      if (attempt.is_of_stream && !self->ended) (*use)->break_off();
    }
    stream->close();
    co_return attempt;
  }

  /// What is still to come from each holder, if all bring as much.
  [[nodiscard]] std::uint64_t left_of_each() const {
    const auto asked = std::ranges::count_if(holders, [](const auto& holder) { return !holder->given_up; });
    return (bytes_in_all - bytes_here) / static_cast<std::uint64_t>(std::max<std::ptrdiff_t>(asked, 1));
  }

  /// Takes the holder off a transport that is tried and does not bring what it should.
  void watch_trial(const std::shared_ptr<Holder>& holder) {
    const std::optional<Duration> left = holder->use->trial_left();
    if (!left) return;
    holder->trial.expires_after(*left + milliseconds(1));
    holder->trial.async_wait([weak = weak_from_this(), holder](boost::system::error_code failed) {
      const auto self = weak.lock();
      if (failed || !self || self->ended || !holder->use) return;
      // This may be called when the stream is another already.
      const std::optional<Duration> still = holder->use->trial_left();
      if (!still) return;
      if (*still > Duration(0)) return self->watch_trial(holder);
      if (!holder->use->is_to_leave(self->left_of_each())) return;
      holder->is_cut = true;
      holder->stream->close();
    });
  }

  static Attempt of_stream(const Error& error) {
    const bool is_lie = error.code == ErrorCode::invalid;
    return {.outcome = is_lie ? Outcome::liar : Outcome::broken, .text = error.message, .is_of_stream = !is_lie};
  }
  static Attempt nothing() { return {}; }
  static Attempt of(Outcome outcome, std::string text) { return {.outcome = outcome, .text = std::move(text)}; }
  static Attempt liar(std::string text) { return {.outcome = Outcome::liar, .text = std::move(text)}; }

  static asio::awaitable<Status> request(std::shared_ptr<Impl> self, std::shared_ptr<Stream> stream,
                                         asset::RangePlan::Range range) {
    BlocksRequest request;
    request.root = self->root;
    request.range = LeafRange{.first = range.first, .count = range.count};
    const Bytes frame = framed(record::encode(request));
    Status written = co_await stream->write(frame);
    co_return written;
  }

  static asio::awaitable<Attempt> converse(std::shared_ptr<Impl> self, std::shared_ptr<Holder> holder,
                                           std::shared_ptr<Stream> stream, asset::RangePlan::Range first) {
    std::deque<asset::RangePlan::Range> asked;
    std::optional<asset::RangePlan::Range> range = first;
    Bytes buffer;
    std::optional<Instant> asked_at = self->now();  // The first request, before which it owed nothing.
    bool leaves = false;
    const auto more = [&] {
      leaves = leaves || holder->use->is_to_leave(self->left_of_each());
      return leaves ? std::nullopt : self->plan.next(holder->number, self->now());
    };
    while (true) {
      while (range) {
        Status written = co_await request(self, stream, *range);
        if (!written) co_return of_stream(written.error());
        if (self->ended) co_return nothing();
        asked.push_back(*range);
        range.reset();
        if (asked.size() < ahead) range = more();
      }
      if (asked.empty()) co_return of(leaves ? Outcome::elsewhere : Outcome::nothing_to_ask, {});
      const asset::RangePlan::Range now_sent = asked.front();
      asked.pop_front();
      Attempt attempt = co_await receive(self, holder, stream, now_sent, std::exchange(asked_at, std::nullopt), buffer);
      if (self->ended || attempt.outcome != Outcome::nothing_to_ask) co_return attempt;
      range = more();
    }
  }

  /// The answer to one request. `nothing_to_ask`: all of it came.
  static asio::awaitable<Attempt> receive(std::shared_ptr<Impl> self, std::shared_ptr<Holder> holder,
                                          std::shared_ptr<Stream> stream, asset::RangePlan::Range range,
                                          std::optional<Instant> asked_at, Bytes& buffer) {
    Result<std::optional<Bytes>> frame = co_await stream->read_frame(max_control_bytes);
    if (!frame) co_return of_stream(frame.error());
    const Result<BlocksAnswer> answer = record::decode<BlocksAnswer>(*frame ? ByteView(**frame) : ByteView());
    if (!answer) co_return liar("sent an answer that does not read: " + answer.error().message);
    if (answer->status == BlocksStatus::busy) co_return of(Outcome::busy, "is busy");
    if (answer->status != BlocksStatus::ok) co_return of(Outcome::has_not, "has no such content for us");
    if (asked_at) self->plan.answered(holder->number, self->now() - *asked_at);

    frame = co_await stream->read_frame(max_control_bytes);
    if (!frame) co_return of_stream(frame.error());
    const Bytes header = car::header(std::span(&self->root, 1));
    if (!*frame || **frame != header) co_return liar("sent a CAR header of other roots");
    std::uint64_t bytes = header.size();
    std::uint32_t count = 0;
    while (true) {
      const Result<std::size_t> size = co_await stream->read_frame_into(buffer, max_section_bytes);
      if (!size) co_return of_stream(size.error());
      if (self->ended) co_return nothing();
      if (*size == 0) break;
      if (count == range.count) co_return liar("sent more than it was asked for");
      std::string wrong = self->take(*holder, range.first + count, ByteView(buffer).first(*size));
      if (!wrong.empty()) co_return liar(std::move(wrong));
      if (self->ended) co_return nothing();
      bytes += *size;
      ++count;
      // All that it still has to send came from others.
      if (self->plan.owed(holder->number) == 0 && count < range.count)
        co_return of(Outcome::superfluous, std::string());
    }
    frame = co_await stream->read_frame(max_control_bytes);
    if (!frame) co_return of_stream(frame.error());
    const Result<BlocksEnd> end = record::decode<BlocksEnd>(*frame ? ByteView(**frame) : ByteView());
    if (!end) co_return liar("sent an end that does not read: " + end.error().message);
    if (end->blocks != count || end->bytes != bytes)
      co_return liar("sent another number of blocks or bytes than its end says");
    if (count < range.count) {
      // It may have the rest of the file: it counts as broken, and is asked again for what it brings.
      co_return of(Outcome::broken, fmt::format("lacks leaf {}", range.first + count));
    }
    co_return nothing();
  }

  /// Takes a CAR section that has to be this leaf; what is wrong with it, if something is.
  std::string take(Holder& holder, std::uint32_t number, ByteView section) {
    const FileLeaf& leaf = leaves[number];
    const Varint length = read_varint(section);
    if (length.state != VarintState::complete || length.value != section.size() - length.size)
      return "sent a frame that is not one CAR section";
    const ByteView rest = section.subspan(length.size);
    const auto cid = leaf.cid.binary();
    if (rest.size() < cid.size() || !std::ranges::equal(rest.first(cid.size()), cid)) return "sent a block out of turn";
    const ByteView block = rest.subspan(cid.size());
    if (!leaf.cid.matches(block)) return "sent a bad block: it is not what its CID names";
    if (block.size() != leaf.bytes) {
      // Whoever made the content said so; the holder sent what he has.
      end(fail(ErrorCode::invalid,
               fmt::format("{} is malformed: a leaf has another size than its parent says", root.text())));
      return {};
    }
    holder.bytes += block.size();
    bytes_fetched += block.size();
    holder.use->arrived(block.size());
    Carried& carried = holder.carried[holder.use->transport()];
    carried.bytes += block.size();
    carried.time += now() - std::exchange(holder.asked_since, now());
    if (!plan.arrived(holder.number, number, leaf.bytes, now())) return {};
    bytes_here += leaf.bytes;
    for (const std::uint32_t place : places.at(leaf.cid)) {
      if (place != number && plan.is_here(place)) continue;
      if (place != number) set_here(place);
      if (Status kept = put(place, block); !kept) {
        end(std::move(kept));
        return {};
      }
    }
    if (plan.missing() == 0) end({});
    return {};
  }
};

LeafFetch::LeafFetch(asio::io_context& io, ContentExchange& exchange, const Cid& root, std::vector<FileLeaf> leaves,
                     Put put, Limits limits)
    : impl_(std::make_shared<Impl>(io, exchange, root, std::move(leaves), std::move(put), std::move(limits))) {}
LeafFetch::~LeafFetch() { stop(); }

void LeafFetch::set_here(std::uint32_t leaf) { impl_->set_here(leaf); }
void LeafFetch::add_holder(const NodeId& node) { impl_->add_holder(node); }
void LeafFetch::start(Done done) { impl_->start(std::move(done)); }
void LeafFetch::stop() { impl_->stop(); }

LeafFetch::Figures LeafFetch::figures() const {
  Figures figures{.bytes_here = impl_->bytes_here, .bytes_fetched = impl_->bytes_fetched, .holders = {}};
  for (const auto& holder : impl_->holders) {
    if (holder->bytes == 0) continue;
    HolderFigures of_holder{.node = holder->node,
                            .bytes = holder->bytes,
                            .bytes_per_s = impl_->plan.speed(holder->number),
                            .transports = {}};
    for (const auto& [transport, carried] : holder->carried) {
      const auto time_us = static_cast<std::uint64_t>(std::max<Duration::rep>(carried.time.count(), 1));
      of_holder.transports.push_back(
          {.transport = transport, .bytes = carried.bytes, .bytes_per_s = carried.bytes * 1'000'000 / time_us});
    }
    figures.holders.push_back(std::move(of_holder));
  }
  return figures;
}

}  // namespace mesh::app
