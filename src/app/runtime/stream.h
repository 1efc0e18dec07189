// One end of a stream to a peer, in frames: an unsigned varint length, then that many bytes. Private to app/runtime.
//
// It is given up when it does not move for a while. What a Pacer bounds goes and comes in slices, each when it may; the other
// side feels it as a slow link. On the thread of its io_context.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <memory>
#include <optional>
#include <span>

#include "app/runtime/pacer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/time.h"
#include "codec/varint.h"

namespace mesh::app {

/// For co_await: errors come as values.
[[nodiscard]] inline auto quiet() { return boost::asio::as_tuple(boost::asio::use_awaitable); }

class Stream : public std::enable_shared_from_this<Stream> {
  using Socket = boost::asio::local::stream_protocol::socket;

 public:
  Stream(boost::asio::io_context& io, int descriptor, Duration stall)
      : socket_(io), timer_(io), turn_(io), stall_(stall) {
    boost::system::error_code failed;
    socket_.assign(boost::asio::local::stream_protocol(), descriptor, failed);
    if (failed) {
      ::close(descriptor);
      open_ = false;
    }
  }

  /// From now on what goes to the peer and comes from it is paced; without a pacer nothing is.
  void pace(std::shared_ptr<Pacer> pacer, const identity::NodeId& peer) {
    pacer_ = std::move(pacer);
    peer_ = peer;
  }

  void close() {
    open_ = false;
    timer_.cancel();
    turn_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  boost::asio::awaitable<Status> write(ByteView first, ByteView second = {}) {
    const bool paced = is_paced(Pacer::Way::up);
    while (!first.empty() || !second.empty()) {
      ByteView head = first;
      ByteView tail = second;
      if (paced) {
        head = first.first(std::min(first.size(), Pacer::slice_bytes));
        tail = second.first(std::min(second.size(), Pacer::slice_bytes - head.size()));
        Status turn = co_await await_turn(Pacer::Way::up, head.size() + tail.size());
        if (!turn) co_return turn;
      }
      Status written = co_await write_all(head, tail);
      if (!written) co_return written;
      first = first.subspan(head.size());
      second = second.subspan(tail.size());
    }
    co_return Status();
  }

  /// A frame's bytes; nullopt for the frame of length 0.
  boost::asio::awaitable<Result<std::optional<Bytes>>> read_frame(std::size_t max_bytes) {
    Result<std::size_t> length = co_await read_length(max_bytes);
    if (!length) co_return std::unexpected(std::move(length.error()));
    if (*length == 0) co_return std::optional<Bytes>();
    Bytes frame(*length);
    Status read = co_await read_all(frame);
    if (!read) co_return std::unexpected(std::move(read.error()));
    co_return std::optional<Bytes>(std::move(frame));
  }

  /// The same at the beginning of `buffer`, which grows if need be; its size in bytes, 0 for the frame of length 0.
  boost::asio::awaitable<Result<std::size_t>> read_frame_into(Bytes& buffer, std::size_t max_bytes) {
    Result<std::size_t> length = co_await read_length(max_bytes);
    if (!length) co_return std::unexpected(std::move(length.error()));
    if (buffer.size() < *length) buffer.resize(*length);
    Status read = co_await read_all(std::span(buffer).first(*length));
    if (!read) co_return std::unexpected(std::move(read.error()));
    co_return *length;
  }

  /// Up to a line feed, without it. Errors: invalid (longer), unavailable (ends before), timeout.
  boost::asio::awaitable<Result<std::string>> read_line(std::size_t max_bytes) {
    std::string line;
    while (true) {
      if (begin_ == end_) {
        Status filled = co_await fill();
        if (!filled) co_return std::unexpected(std::move(filled.error()));
      }
      const char next = static_cast<char>(buffer_[begin_++]);
      if (next == '\n') co_return line;
      if (line.size() == max_bytes)
        co_return fail(ErrorCode::invalid, fmt::format("sent a line of more than {} bytes", max_bytes));
      line.push_back(next);
    }
  }

  /// Says that no more comes, and waits until the other side has said so too, so that what was sent is not lost.
  boost::asio::awaitable<void> finish() {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    std::array<std::uint8_t, 512> rest{};
    while (open_) {
      arm();
      const auto [failed, count] =
          co_await socket_.async_read_some(boost::asio::mutable_buffer(rest.data(), rest.size()), quiet());
      timer_.cancel();
      if (failed) break;  // What else the other side may send is of no use; only its end matters.
      if (++idle_reads_ > 64) break;
    }
    close();
  }

 private:
  [[nodiscard]] bool is_paced(Pacer::Way way) const { return pacer_ && pacer_->bounds(way); }

  boost::asio::awaitable<Status> await_turn(Pacer::Way way, std::size_t bytes) {
    const Duration wait = pacer_->take(way, peer_, bytes);
    if (wait > Duration(0) && open_) {
      turn_.expires_after(wait);
      co_await turn_.async_wait(quiet());
    }
    if (!open_) co_return std::unexpected(broken("was closed"));
    co_return Status();
  }

  /// As long as some of it goes now and then.
  boost::asio::awaitable<Status> write_all(ByteView first, ByteView second) {
    while (!first.empty() || !second.empty()) {
      if (!open_) co_return std::unexpected(broken("was closed"));
      const std::array<boost::asio::const_buffer, 2> buffers{boost::asio::const_buffer(first.data(), first.size()),
                                                             boost::asio::const_buffer(second.data(), second.size())};
      arm();
      const auto [failed, count] = co_await socket_.async_write_some(buffers, quiet());
      timer_.cancel();
      if (failed) co_return std::unexpected(broken("was cut"));
      const std::size_t of_first = std::min(count, first.size());
      first = first.subspan(of_first);
      second = second.subspan(count - of_first);
    }
    co_return Status();
  }

  void arm() {
    timer_.expires_after(stall_);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code failed) {
      if (failed) return;
      if (const auto self = weak.lock()) {
        // A cancelled wait may already be on its way to be called when the next operation has armed the timer anew.
        if (self->timer_.expiry() > boost::asio::steady_timer::clock_type::now()) return;
        self->stalled_ = true;
        self->close();
      }
    });
  }

  boost::asio::awaitable<Result<std::size_t>> read_length(std::size_t max_bytes) {
    Bytes prefix;
    while (true) {
      if (begin_ == end_) {
        Status filled = co_await fill();
        if (!filled) co_return std::unexpected(std::move(filled.error()));
      }
      prefix.push_back(buffer_[begin_++]);
      const Varint read = read_varint(prefix);
      if (read.state == VarintState::complete) {
        if (read.value > max_bytes) {
          co_return fail(ErrorCode::invalid,
                         fmt::format("sent a frame of {} bytes where at most {} may stand", read.value, max_bytes));
        }
        co_return static_cast<std::size_t>(read.value);
      }
      if (prefix.size() >= 9 || read.state != VarintState::incomplete) {
        co_return fail(ErrorCode::invalid, "sent a frame whose length does not read");
      }
    }
  }

  boost::asio::awaitable<Status> read_all(std::span<std::uint8_t> into) {
    std::size_t filled = std::min(into.size(), end_ - begin_);
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), filled, into.begin());
    begin_ += filled;
    const bool paced = is_paced(Pacer::Way::down);
    while (filled < into.size()) {
      if (!open_) co_return std::unexpected(broken("was closed"));
      const std::size_t most = paced ? std::min(into.size() - filled, Pacer::slice_bytes) : into.size() - filled;
      arm();
      const auto [failed, count] =
          co_await socket_.async_read_some(boost::asio::mutable_buffer(into.data() + filled, most), quiet());
      timer_.cancel();
      if (failed) co_return std::unexpected(broken("was cut"));
      filled += count;
      if (paced) {
        Status turn = co_await await_turn(Pacer::Way::down, count);
        if (!turn) co_return turn;
      }
    }
    co_return Status();
  }

  boost::asio::awaitable<Status> fill() {
    if (!open_) co_return std::unexpected(broken("was closed"));
    arm();
    const auto [failed, count] =
        co_await socket_.async_read_some(boost::asio::mutable_buffer(buffer_.data(), buffer_.size()), quiet());
    timer_.cancel();
    if (failed) co_return std::unexpected(broken("was cut"));
    begin_ = 0;
    end_ = count;
    if (is_paced(Pacer::Way::down)) {
      Status turn = co_await await_turn(Pacer::Way::down, count);
      if (!turn) co_return turn;
    }
    co_return Status();
  }

  [[nodiscard]] Error broken(std::string_view how) const {
    if (stalled_)
      return {ErrorCode::timeout,
              fmt::format("did not move for {} s", std::chrono::duration_cast<seconds>(stall_).count())};
    return {ErrorCode::unavailable, fmt::format("the stream {}", how)};
  }

  Socket socket_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer turn_;  ///< until it may go on
  Duration stall_;
  std::shared_ptr<Pacer> pacer_;
  identity::NodeId peer_;
  bool open_ = true;
  bool stalled_ = false;
  int idle_reads_ = 0;
  std::array<std::uint8_t, 16'384> buffer_{};
  std::size_t begin_ = 0, end_ = 0;
};

/// The streams of one owner, so that it can close all of them. On the thread of their io_context.
class OpenStreams {
 public:
  explicit OpenStreams(boost::asio::io_context& io) : io_(io) {}

  /// Owns the descriptor.
  std::shared_ptr<Stream> make(int descriptor, Duration stall) {
    auto stream = std::make_shared<Stream>(io_, descriptor, stall);
    std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
    streams_.push_back(stream);
    return stream;
  }
  void close() {
    for (const auto& weak : streams_) {
      if (const auto stream = weak.lock()) stream->close();
    }
    streams_.clear();
  }

 private:
  boost::asio::io_context& io_;
  std::list<std::weak_ptr<Stream>> streams_;
};

/// A frame that holds these bytes.
[[nodiscard]] inline Bytes framed(ByteView bytes) {
  Bytes out;
  append_varint(out, bytes.size());
  append(out, bytes);
  return out;
}

}  // namespace mesh::app
