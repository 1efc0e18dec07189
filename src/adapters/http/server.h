// The node's HTTP and WebSocket server (Boost.Beast), for people's own programs and the dashboard: loopback by default.
//
// It decides who may ask at all, before a handler sees anything: Host by an exact allow-list, Origin and
// Sec-Fetch-Site on every request and upgrade, a token on all but public routes, content types on what has a body.
// No CORS header is ever sent. Bounds: connections, WebSockets, header and body sizes, all bodies together, bytes
// queued per client, and a time limit on every wait. Past a bound the client gets a named problem (RFC 9457) or a
// close code.
//
// Threads: everything runs on the io_context given to start(), which must be run by one thread at a time. Handlers,
// Responder, BodyStream and WebSocketSession are used on that thread alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/http/message.h"
#include "base/error.h"

namespace boost::asio {
class io_context;
}

namespace mesh::http {

struct Limits {
  std::uint64_t max_body_bytes = std::uint64_t{64} << 20;  ///< Of one request: 413.
  std::uint64_t max_buffered_body_bytes = std::uint64_t{512} << 20;  ///< Of all requests being read: 503.
  std::uint32_t max_header_bytes = 16 << 10;  ///< 431.
  std::size_t max_connections = 4096;  ///< WebSockets included: 503.
  std::size_t max_websockets = 2048;  ///< 503.
  std::size_t max_websocket_queued_bytes = std::size_t{4} << 20;  ///< Per client; past it closed with 1013.
  std::size_t max_websocket_message_bytes = std::size_t{1} << 20;  ///< Received; closed with 1009.
  std::size_t max_stream_queued_bytes = std::size_t{1} << 20;  ///< Per streamed answer: write() then says no.
  std::chrono::milliseconds idle_timeout{60'000};  ///< Waiting for the next request on an open connection: closed.
  std::chrono::milliseconds header_timeout{10'000};  ///< From a header's first byte to its last: 408.
  std::chrono::milliseconds body_timeout{120'000};  ///< For a whole body: 408.
  std::chrono::milliseconds write_timeout{30'000};  ///< For one write to move on: closed.
  std::chrono::milliseconds websocket_idle_timeout{60'000};  ///< Half of it without a word: a ping; all of it: closed.
  std::chrono::milliseconds close_timeout{2'000};  ///< For a client to take the last words.
};

struct Config {
  std::string address = "127.0.0.1";  ///< An IPv4 or IPv6 address, no name.
  std::uint16_t port = 0;  ///< 0: any free one; see Server::port().
  std::string token;  ///< 16 to 256 characters of [A-Za-z0-9_-].
  /// Exact values of Host, with port. Empty: 127.0.0.1:PORT, localhost:PORT, [::1]:PORT, and the address listened on.
  std::vector<std::string> allowed_hosts;
  /// Exact values of Origin. Empty: http:// before each allowed host.
  std::vector<std::string> allowed_origins;
  /// Which requests need no token. It sees the request before its body. Unset: none.
  std::function<bool(const Request&)> is_public;
  Limits limits;
};

namespace detail {
struct Exchange;
struct StreamState;
struct WebSocketState;
}  // namespace detail

/// A streamed answer. Copies are one stream. When the last copy goes without finish(), the connection is cut, so that
/// the client sees that the answer is not whole.
class BodyStream {
 public:
  explicit BodyStream(std::shared_ptr<detail::StreamState> state) : state_(std::move(state)) {}
  /// Queues bytes. False, and nothing queued, when the client is gone or max_stream_queued_bytes are queued already
  /// (one chunk may pass the bound): wait for on_ready.
  [[nodiscard]] bool write(std::string_view bytes);
  /// The answer is whole. With a content length given, that many bytes must have been written.
  void finish();
  [[nodiscard]] bool is_open() const;
  [[nodiscard]] std::size_t queued_bytes() const;
  /// Called, after a write() was refused for its bound, each time when the queue has run empty.
  void on_ready(std::function<void()> callback);
  /// Called once when the client is gone or too slow before finish().
  void on_close(std::function<void()> callback);

 private:
  std::shared_ptr<detail::StreamState> state_;
};

/// One WebSocket (RFC 6455), speaking text. Copies are one session; the connection does not depend on a copy being
/// kept.
class WebSocketSession {
 public:
  explicit WebSocketSession(std::shared_ptr<detail::WebSocketState> state) : state_(std::move(state)) {}
  /// Queues a message. False when the session is closed, or when this message passes the bound of queued bytes: then
  /// the session is closed with 1013 and on_close is called; nobody else is affected.
  bool send(std::string text);
  void close(std::uint16_t code = 1000, std::string_view reason = {});
  [[nodiscard]] bool is_open() const;
  [[nodiscard]] std::size_t queued_bytes() const;

 private:
  std::shared_ptr<detail::WebSocketState> state_;
};

struct WebSocketHandlers {
  std::function<void(WebSocketSession)> on_open;  ///< The handshake is done.
  std::function<void(WebSocketSession, std::string)> on_message;  ///< Text alone; binary is closed with 1003.
  std::function<void()> on_close;  ///< Once, if on_open was called.
};

/// The right to answer one request, now or later, once. Copies are one right; when the last copy goes unused the client
/// gets 500. Each function returns false where the request is answered already or the client is gone.
class Responder {
 public:
  explicit Responder(std::shared_ptr<detail::Exchange> exchange) : exchange_(std::move(exchange)) {}
  bool answer(Response response) const;
  /// Begins a streamed answer, chunked unless its length is given. `head.body` is not used.
  [[nodiscard]] std::optional<BodyStream> stream(Response head, std::optional<std::uint64_t> content_length = {}) const;
  /// Accepts a WebSocket (Request::is_websocket); past max_websockets the client gets 503 and this is false.
  bool upgrade(WebSocketHandlers handlers) const;
  /// Whether an answer would still reach anyone, as far as is known.
  [[nodiscard]] bool is_open() const;

 private:
  std::shared_ptr<detail::Exchange> exchange_;
};

using Handler = std::function<void(Request, Responder)>;

class Server {
 public:
  /// Binds and listens; requests are served once the io_context runs.
  /// Errors: conflict (the port is taken: names the address and the way out), invalid (address, token), unavailable.
  [[nodiscard]] static Result<std::unique_ptr<Server>> start(boost::asio::io_context& io, Config config,
                                                             Handler handler);
  /// As stop().
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  /// Connections now open, WebSockets included.
  [[nodiscard]] std::size_t connections() const;
  /// Stops listening and cuts every connection; the handler is not called again. On the io_context's thread, or while
  /// nobody runs it.
  void stop();

 private:
  struct Impl;
  explicit Server(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::http
