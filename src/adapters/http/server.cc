#include "adapters/http/server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/vector_body.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <exception>
#include <limits>
#include <map>
#include <utility>

namespace mesh::http {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using boost::system::error_code;
using net::ip::tcp;
using Verb = beast::http::verb;
using Field = beast::http::field;

constexpr std::string_view protocol_name = "meshwork.v1";
constexpr std::string_view protocol_token_prefix = "meshwork.token.";
constexpr std::size_t write_step_bytes = std::size_t{256} << 10;
constexpr std::size_t max_lingering_bytes = std::size_t{8} << 20;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Takes as long for any guess of one length, so that a token cannot be found byte by byte.
bool same_secret(std::string_view expected, std::string_view given) {
  unsigned difference = expected.size() == given.size() ? 0 : 1;
  for (std::size_t at = 0; at < given.size(); ++at) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(given[at]) ^
                                        static_cast<unsigned char>(expected[at % expected.size()]));
  }
  return difference == 0;
}

bool is_token_text(std::string_view token) {
  return token.size() >= 16 && token.size() <= 256 && std::ranges::all_of(token, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
         });
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  });
}

bool is_header_value(std::string_view value) {
  return std::ranges::all_of(value,
                             [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); });
}

/// The headers that every answer carries. No CORS header is among them, on purpose.
std::string security_headers(bool is_html) {
  std::string text =
      "X-Content-Type-Options: nosniff\r\n"
      "Referrer-Policy: no-referrer\r\n"
      "X-Frame-Options: DENY\r\n"
      "Cross-Origin-Resource-Policy: same-origin\r\n"
      "Cross-Origin-Opener-Policy: same-origin\r\n";
  text +=
      is_html
          // The dashboard's editor writes styles into the page, and results may be images that the page holds itself.
          ? "Content-Security-Policy: default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: "
            "data:; "
            "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
          : "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";
  return text;
}

/// nullopt where a header would break the answer apart (a line end in a name that a guest chose, say).
std::optional<std::string> head_text(const Response& response, bool keep_alive, std::optional<std::uint64_t> length) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", response.status,
                                 view(beast::http::obsolete_reason(static_cast<beast::http::status>(response.status))));
  if (!response.content_type.empty()) {
    if (!is_header_value(response.content_type)) return std::nullopt;
    text += fmt::format("Content-Type: {}\r\n", response.content_type);
  }
  // An answer that says that nothing has changed has no body, and no length of one (RFC 9110, 8.6).
  if (response.status != 304)
    text += length ? fmt::format("Content-Length: {}\r\n", *length) : "Transfer-Encoding: chunked\r\n";
  text += security_headers(response.content_type.starts_with("text/html"));
  bool has_cache_control = false;
  for (const auto& [name, value] : response.headers) {
    if (!is_header_name(name) || !is_header_value(value)) return std::nullopt;
    const std::string known = lower(name);
    if (known == "content-length" || known == "transfer-encoding" || known == "connection" ||
        known.starts_with("access-control-"))
      continue;
    has_cache_control = has_cache_control || known == "cache-control";
    text += fmt::format("{}: {}\r\n", name, value);
  }
  if (!has_cache_control) text += "Cache-Control: no-store\r\n";
  text += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return text;
}

class Session;

/// What all connections share. Outlives the Server for as long as a connection or a Responder is about.
struct Shared {
  Shared(net::io_context& context, Config given, Handler handle)
      : io(context), config(std::move(given)), handler(std::move(handle)) {}

  net::io_context& io;
  Config config;
  Handler handler;
  bool stopped = false;
  std::size_t connections = 0;
  std::size_t websockets = 0;
  std::uint64_t buffered_body_bytes = 0;
  std::map<Session*, std::weak_ptr<Session>> sessions;
};

/// One place among the connections; goes over to the WebSocket on an upgrade.
class Slot {
 public:
  explicit Slot(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) { ++shared_->connections; }
  ~Slot() { --shared_->connections; }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

 private:
  std::shared_ptr<Shared> shared_;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  virtual ~Session() { shared_->sessions.erase(this); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  void enlist() { shared_->sessions.emplace(this, weak_from_this()); }
  virtual void cut() = 0;

 protected:
  std::shared_ptr<Shared> shared_;
};

}  // namespace

namespace detail {

struct WebSocketState final : Session {
  WebSocketState(std::shared_ptr<Shared> shared, std::unique_ptr<Slot> slot, tcp::socket socket,
                 WebSocketHandlers handlers)
      : Session(std::move(shared)),
        slot_(std::move(slot)),
        stream_(std::move(socket)),
        timer_(shared_->io),
        handlers_(std::move(handlers)) {
    ++shared_->websockets;
  }
  ~WebSocketState() override { release(); }
  WebSocketState(const WebSocketState&) = delete;
  WebSocketState& operator=(const WebSocketState&) = delete;

  std::shared_ptr<WebSocketState> self() { return std::static_pointer_cast<WebSocketState>(shared_from_this()); }

  template <class Message>
  void accept(const Message& request) {
    const Limits& limits = shared_->config.limits;
    stream_.set_option(websocket::stream_base::timeout{limits.header_timeout, limits.websocket_idle_timeout, true});
    stream_.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
      response.set(Field::sec_websocket_protocol, beast::string_view(protocol_name.data(), protocol_name.size()));
      response.set("X-Content-Type-Options", "nosniff");
    }));
    stream_.read_message_max(limits.max_websocket_message_bytes);
    stream_.async_accept(request, [me = self()](error_code failed) {
      if (failed || me->cut_) return me->cut();
      me->open_ = me->opened_ = true;
      if (me->handlers_.on_open) me->handlers_.on_open(WebSocketSession(me));
      me->read();
    });
  }

  void read() {
    stream_.async_read(buffer_, [me = self()](error_code failed, std::size_t) {
      if (failed) return me->cut();
      if (!me->stream_.got_text()) {
        me->close(1003, "text messages alone are understood");
      } else if (me->open_ && me->handlers_.on_message) {
        const auto bytes = me->buffer_.data();
        me->handlers_.on_message(WebSocketSession(me),
                                 std::string(static_cast<const char*>(bytes.data()), bytes.size()));
      }
      me->buffer_.consume(me->buffer_.size());
      me->read();
    });
  }

  bool send(std::string text) {
    if (!open_) return false;
    if (queued_bytes_ + text.size() > shared_->config.limits.max_websocket_queued_bytes) {
      close(1013, "too slow: more events wait than the node keeps for one client");
      return false;
    }
    queued_bytes_ += text.size();
    queue_.push_back(std::move(text));
    if (!writing_) write();
    return true;
  }

  void write() {
    writing_ = true;
    stream_.text(true);
    stream_.async_write(net::buffer(queue_.front()), [me = self()](error_code failed, std::size_t) {
      me->writing_ = false;
      if (failed) return me->cut();
      me->queued_bytes_ -= me->queue_.front().size();
      me->queue_.pop_front();
      if (me->closing_) return me->say_goodbye();
      if (!me->queue_.empty()) me->write();
    });
  }

  void close(std::uint16_t code, std::string_view reason) {
    if (!open_) return;
    open_ = false;
    closing_ = true;
    const std::string_view fits = reason.substr(0, 123);
    close_reason_ =
        websocket::close_reason(static_cast<websocket::close_code>(code), beast::string_view(fits.data(), fits.size()));
    // A client that asked for the end, or gets a plain one, gets what is queued first; one that is too slow does not.
    if (code != 1000) {
      while (queue_.size() > (writing_ ? 1U : 0U)) {
        queued_bytes_ -= queue_.back().size();
        queue_.pop_back();
      }
    }
    // One that does not take its last words in time is cut off.
    timer_.expires_after(shared_->config.limits.close_timeout);
    timer_.async_wait([me = self()](error_code failed) {
      if (!failed) me->cut();
    });
    tell_closed();
    if (!writing_) say_goodbye();
  }

  void say_goodbye() {
    if (!queue_.empty()) return write();
    stream_.async_close(close_reason_, [me = self()](error_code) { me->cut(); });
  }

  void cut() override {
    open_ = false;
    if (std::exchange(cut_, true)) return;
    timer_.cancel();
    error_code ignored;
    beast::get_lowest_layer(stream_).close(ignored);
    release();
    tell_closed();
  }

  /// Gives the places back as soon as the connection is gone: the app may keep a session for longer.
  void release() {
    if (slot_ == nullptr) return;
    slot_.reset();
    --shared_->websockets;
  }

  /// Posted, so that a handler is never called from inside its own send().
  void tell_closed() {
    if (!std::exchange(opened_, false)) return;
    net::post(shared_->io, [me = self()] {
      const WebSocketHandlers handlers = std::exchange(me->handlers_, {});
      if (handlers.on_close && !me->shared_->stopped) handlers.on_close();
    });
  }

  std::unique_ptr<Slot> slot_;
  websocket::stream<tcp::socket> stream_;
  beast::flat_buffer buffer_;
  net::steady_timer timer_;
  WebSocketHandlers handlers_;
  websocket::close_reason close_reason_;
  std::deque<std::string> queue_;
  std::size_t queued_bytes_ = 0;
  bool open_ = false;  ///< Messages may be sent.
  bool opened_ = false;  ///< on_open was called and on_close is owed.
  bool writing_ = false;
  bool closing_ = false;
  bool cut_ = false;
};

}  // namespace detail

namespace {

class Connection final : public Session {
 public:
  Connection(const std::shared_ptr<Shared>& shared, tcp::socket socket)
      : Session(shared), slot_(std::make_unique<Slot>(shared)), socket_(std::move(socket)), timer_(shared_->io) {
    error_code failed;
    const auto remote = socket_.remote_endpoint(failed);
    auto address = remote.address();
    if (!failed && address.is_v6() && address.to_v6().is_v4_mapped()) {
      address = net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6());
    }
    is_loopback_ = !failed && address.is_loopback();
    socket_.set_option(tcp::no_delay(true), failed);
  }
  ~Connection() override { release_body(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void wait_for_request() {
    if (cut_) return;
    if (buffer_.size() > 0) return read_header();
    arm(limits().idle_timeout, Expiry::cut);
    socket_.async_read_some(buffer_.prepare(8 << 10), [me = self()](error_code failed, std::size_t got) {
      if (failed) return me->cut();
      me->buffer_.commit(got);
      me->read_header();
    });
  }

  bool respond(Response response) {
    if (cut_) return false;
    auto head = head_text(response, keep_alive_, response.body.size());
    if (!head) {
      response = problem(500, "Internal error", "the answer's headers were malformed");
      head = head_text(response, keep_alive_, response.body.size());
    }
    out_ = std::move(*head);
    body_ = is_head_ ? Bytes{} : std::move(response.body);
    write([this] { finish_exchange(); });
    return true;
  }

  /// Answers what was not read to its end, so this connection serves nothing more.
  void refuse(Response response) {
    keep_alive_ = false;
    respond(std::move(response));
  }

  bool begin_stream(Response response, std::optional<std::uint64_t> length) {
    if (cut_) return false;
    response.body.clear();
    auto head = head_text(response, keep_alive_, length);
    if (!head) {
      refuse(problem(500, "Internal error", "the answer's headers were malformed"));
      return false;
    }
    stream_ = Stream{};
    stream_.active = true;
    stream_.chunked = !length.has_value();
    stream_.remaining = length.value_or(0);
    stream_.queue.push_back(std::move(*head));
    pump();
    watch(++stream_generation_);
    return true;
  }

  bool stream_write(std::string_view bytes) {
    if (cut_ || !stream_.active || stream_.finished) return false;
    if (bytes.empty()) return true;
    if (!stream_.chunked) {
      if (bytes.size() > stream_.remaining) {
        cut();  // The promised length is passed: better no answer than one that runs into the next.
        return false;
      }
    }
    if (stream_.bytes > 0 && stream_.bytes + bytes.size() > limits().max_stream_queued_bytes) {
      stream_.refused = true;
      return false;
    }
    if (!stream_.chunked) stream_.remaining -= bytes.size();
    if (is_head_) return true;
    std::string part = stream_.chunked ? fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes) : std::string(bytes);
    stream_.bytes += part.size();
    stream_.queue.push_back(std::move(part));
    pump();
    return true;
  }

  void stream_finish() {
    if (cut_ || !stream_.active || stream_.finished) return;
    if (!stream_.chunked && stream_.remaining > 0) return cut();
    stream_.finished = true;
    stream_.on_ready = nullptr;
    if (stream_.chunked && !is_head_) stream_.queue.emplace_back("0\r\n\r\n");
    pump();
  }

  void stream_abandon() {
    if (!cut_ && stream_.active && !stream_.finished) cut();
  }

  [[nodiscard]] bool stream_open() const { return !cut_ && stream_.active && !stream_.finished; }
  [[nodiscard]] std::size_t stream_bytes() const { return stream_.bytes; }
  void set_on_ready(std::function<void()> callback) {
    if (stream_open()) stream_.on_ready = std::move(callback);
  }
  void set_on_close(std::function<void()> callback) {
    if (stream_open()) stream_.on_close = std::move(callback);
  }

  bool upgrade(WebSocketHandlers handlers) {
    if (cut_) return false;
    if (!is_websocket_) {
      refuse(problem(500, "Internal error", "this request is not a WebSocket's"));
      return false;
    }
    if (shared_->websockets >= limits().max_websockets) {
      refuse(problem(503, "Too many clients",
                     fmt::format("{} WebSockets are open already; close one and try again", shared_->websockets)));
      return false;
    }
    timer_.cancel();
    ++timer_generation_;
    cut_ = true;  // Of this object; the socket lives on.
    auto state =
        std::make_shared<detail::WebSocketState>(shared_, std::move(slot_), std::move(socket_), std::move(handlers));
    state->enlist();
    state->accept(parser_->get());
    return true;
  }

  [[nodiscard]] bool is_open() const { return !cut_; }

  void cut() override {
    if (std::exchange(cut_, true)) return;
    ++timer_generation_;
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
    slot_.reset();
    release_body();
    const bool owed = stream_.active && !stream_.finished;
    stream_.on_ready = nullptr;
    if (auto callback = std::exchange(stream_.on_close, nullptr); callback && owed) {
      net::post(shared_->io, [shared = shared_, callback = std::move(callback)] {
        if (!shared->stopped) callback();
      });
    }
  }

 private:
  enum class Expiry : std::uint8_t { cut, cancel };
  using Parser = beast::http::request_parser<beast::http::vector_body<std::uint8_t>>;
  struct Stream {
    bool active = false;
    bool chunked = true;
    bool finished = false;
    bool refused = false;
    bool writing = false;
    std::uint64_t remaining = 0;
    std::size_t bytes = 0;
    std::deque<std::string> queue;
    std::function<void()> on_ready;
    std::function<void()> on_close;
  };

  std::shared_ptr<Connection> self() { return std::static_pointer_cast<Connection>(shared_from_this()); }
  [[nodiscard]] const Limits& limits() const { return shared_->config.limits; }

  /// One wait at a time: a new one replaces the old.
  void arm(std::chrono::milliseconds limit, Expiry expiry) {
    const std::uint64_t generation = ++timer_generation_;
    timed_out_ = false;
    timer_.expires_after(limit);
    timer_.async_wait([me = self(), generation, expiry](error_code failed) {
      if (failed || generation != me->timer_generation_ || me->cut_) return;
      if (expiry == Expiry::cut) return me->cut();
      me->timed_out_ = true;
      error_code ignored;
      me->socket_.cancel(ignored);
    });
  }
  void disarm() {
    ++timer_generation_;
    timer_.cancel();
  }

  void read_header() {
    parser_.emplace();
    parser_->header_limit(std::numeric_limits<std::uint32_t>::max());  // Bounded here: Beast bounds what is unparsed.
    parser_->body_limit(boost::none);  // Looked at once the header is in, after who asks.
    keep_alive_ = false;
    is_head_ = false;
    is_websocket_ = false;
    arm(limits().header_timeout, Expiry::cancel);
    read_more_header(0);
  }

  /// `seen`: how many bytes are known not to hold the header's end.
  void read_more_header(std::size_t seen) {
    constexpr std::string_view end = "\r\n\r\n";
    const std::string_view all(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    const std::size_t found = all.find(end, seen);
    if (std::min(found, all.size()) > limits().max_header_bytes) {
      disarm();
      return refuse(
          problem(431, "Header too large",
                  fmt::format("the request's header is above the bound of {} bytes", limits().max_header_bytes)));
    }
    if (found != std::string_view::npos) {
      disarm();
      error_code failed;
      buffer_.consume(parser_->put(buffer_.data(), failed));
      if (failed) return refuse_broken(failed);
      if (!parser_->is_header_done()) return refuse(problem(400, "Bad request", "the request's header is malformed"));
      return judge();
    }
    const std::size_t next_seen = all.size() < end.size() ? 0 : all.size() - (end.size() - 1);
    socket_.async_read_some(buffer_.prepare(8 << 10), [me = self(), next_seen](error_code failed, std::size_t got) {
      if (me->cut_) return;
      // The time limit may have struck while bytes kept coming, when there was nothing to cancel.
      if (failed || me->timed_out_) {
        me->disarm();
        return me->refuse_broken(failed);
      }
      me->buffer_.commit(got);
      me->read_more_header(next_seen);
    });
  }

  void refuse_broken(error_code failed) {
    using beast::http::error;
    if (timed_out_) return refuse(problem(408, "Too slow", "the request did not come within the time limit"));
    if (failed == error::end_of_stream || failed == error::partial_message) return cut();
    if (failed == error::body_limit) return refuse(too_large());
    if (failed.category() == make_error_code(error::bad_method).category()) {
      return refuse(problem(400, "Bad request", fmt::format("the request is malformed ({})", failed.message())));
    }
    cut();
  }

  Response too_large() const {
    return problem(413, "Body too large",
                   fmt::format("a request's body may have at most {} bytes", limits().max_body_bytes));
  }

  /// Decides from the header alone whether this request may be read on; takes it apart into request_.
  std::optional<Response> judge_header() {
    const auto& header = parser_->get();
    if (header.version() != 11) return problem(505, "HTTP/1.1 alone", "speak HTTP/1.1");
    keep_alive_ = header.keep_alive();
    for (const Field once :
         {Field::host, Field::origin, Field::authorization, Field::content_type, Field::sec_fetch_site}) {
      if (header.count(once) > 1)
        return problem(400, "Bad request", fmt::format("the header {} came more than once", view(to_string(once))));
    }
    request_ = Request{};
    request_.is_loopback = is_loopback_;
    const std::string host = lower(view(header[Field::host]));
    if (host.empty()) return problem(400, "Bad request", "the header Host is missing");
    if (std::ranges::find(shared_->config.allowed_hosts, host) == shared_->config.allowed_hosts.end()) {
      return problem(403, "Foreign host", "this node does not answer under that Host; use the address that it printed");
    }
    if (header.count(Field::origin) > 0) {
      request_.has_origin = true;
      const std::string_view origin = view(header[Field::origin]);
      if (std::ranges::find(shared_->config.allowed_origins, origin) == shared_->config.allowed_origins.end()) {
        return problem(403, "Foreign origin", "pages of other origins may not use this node");
      }
    }
    if (header.count(Field::sec_fetch_site) > 0) {
      const std::string_view site = view(header[Field::sec_fetch_site]);
      if (site != "none" && site != "same-origin")
        return problem(403, "Foreign origin", "pages of other sites may not use this node");
    }
    auto target = parse_target(view(header.target()));
    if (!target) return problem(target.error());
    request_.path = std::move(target->path);
    request_.query = std::move(target->query);
    switch (header.method()) {
      case Verb::get:
      case Verb::post:
      case Verb::put:
      case Verb::delete_:
        request_.method = view(header.method_string());
        break;
      case Verb::head:
        request_.method = "GET";
        request_.is_head = is_head_ = true;
        break;
      default: {
        Response refusal = problem(405, "Method not allowed", "GET, HEAD, POST, PUT and DELETE are understood");
        refusal.headers.emplace("allow", "GET, HEAD, POST, PUT, DELETE");
        return refusal;
      }
    }
    request_.is_websocket = is_websocket_ = websocket::is_upgrade(header);
    std::optional<std::string> token;
    for (const auto& field : header) {
      const std::string name = lower(view(field.name_string()));
      const std::string_view value = view(field.value());
      if (name == "authorization") {
        if (value.size() > 7 && lower(value.substr(0, 7)) == "bearer ") token = trim(value.substr(7));
        continue;  // Secrets stay here.
      }
      if (name == "sec-websocket-protocol") continue;
      auto [place, added] = request_.headers.emplace(name, value);
      if (!added) place->second.append(", ").append(value);
    }
    if (is_websocket_) {
      bool speaks = false;
      for (const auto& name : websocket_protocols()) {
        speaks = speaks || name == protocol_name;
        if (!token && name.starts_with(protocol_token_prefix)) token = name.substr(protocol_token_prefix.size());
      }
      if (!speaks) return problem(400, "Bad request", "a WebSocket must offer the subprotocol meshwork.v1");
      if (buffer_.size() > 0) return problem(400, "Bad request", "a WebSocket's client must wait for the handshake");
    } else if (header.count(Field::upgrade) > 0) {
      return problem(400, "Bad request", "no upgrade but a well-formed WebSocket's is understood");
    }
    const bool known = token && same_secret(shared_->config.token, *token);
    if (!known && !(shared_->config.is_public && shared_->config.is_public(request_))) {
      Response refusal = problem(401, "Unauthorised",
                                 token ? "the token is not this node's; use the one in its home folder"
                                       : "a token is needed; send it as Authorization: Bearer TOKEN");
      refusal.headers.emplace("www-authenticate", "Bearer");
      return refusal;
    }
    return judge_body();
  }

  std::vector<std::string> websocket_protocols() const {
    std::vector<std::string> names;
    const auto range = parser_->get().equal_range(Field::sec_websocket_protocol);
    for (auto field = range.first; field != range.second; ++field) {
      std::string_view rest = view(field->value());
      while (!rest.empty()) {
        const std::size_t comma = rest.find(',');
        names.emplace_back(trim(rest.substr(0, comma)));
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      }
    }
    return names;
  }

  std::optional<Response> judge_body() {
    const auto length = parser_->content_length();
    const bool has_body = parser_->chunked() || length.value_or(0) > 0;
    if (request_.method == "POST" || request_.method == "PUT") {
      const auto type = request_.headers.find("content-type");
      const std::string media = type == request_.headers.end()
                                    ? ""
                                    : lower(trim(std::string_view(type->second).substr(0, type->second.find(';'))));
      const bool empty_without_type = !has_body && type == request_.headers.end();
      if (!empty_without_type && media != "application/json" && media != "application/octet-stream") {
        return problem(415, "Unsupported media type", "send application/json or application/octet-stream");
      }
    } else if (has_body) {
      return problem(400, "Bad request", "a body comes with POST and PUT alone");
    }
    if (length.value_or(0) > limits().max_body_bytes) return too_large();
    // A chunked body does not say its size before it ends, so it counts as the largest.
    const std::uint64_t need = parser_->chunked() ? limits().max_body_bytes : length.value_or(0);
    if (need >
        limits().max_buffered_body_bytes - std::min(limits().max_buffered_body_bytes, shared_->buffered_body_bytes)) {
      return problem(503, "Too busy", "too many uploads are under way; try again later");
    }
    reserved_body_bytes_ = need;
    shared_->buffered_body_bytes += need;
    return std::nullopt;
  }

  void release_body() { shared_->buffered_body_bytes -= std::exchange(reserved_body_bytes_, 0); }

  void judge() {
    if (auto refusal = judge_header()) return refuse(std::move(*refusal));
    if (parser_->is_done()) return dispatch();
    parser_->body_limit(limits().max_body_bytes);
    if (lower(view(parser_->get()[Field::expect])) == "100-continue") {
      out_ = "HTTP/1.1 100 Continue\r\n\r\n";
      body_.clear();
      return write([this] { read_body(); });
    }
    read_body();
  }

  void read_body() {
    arm(limits().body_timeout, Expiry::cancel);
    read_more_body();
  }

  void read_more_body() {
    beast::http::async_read_some(socket_, buffer_, *parser_, [me = self()](error_code failed, std::size_t) {
      if (me->cut_) return;
      if (!failed && !me->timed_out_ && !me->parser_->is_done()) return me->read_more_body();
      me->disarm();
      if (failed || me->timed_out_) return me->refuse_broken(failed);
      me->request_.body = std::move(me->parser_->get().body());
      me->dispatch();
    });
  }

  void dispatch();

  void finish_exchange() {
    release_body();
    stream_ = Stream{};
    ++stream_generation_;
    body_ = {};
    if (keep_alive_) return wait_for_request();
    // Half-closed first and drained for a moment: closing on unread bytes would reset the connection, and the client
    // might lose the answer. Who has sent too much is not read on, but not cut before its time either: many clients look for
    // the answer only once they can send no more.
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    arm(limits().close_timeout, Expiry::cut);
    lingered_ = 0;
    linger();
  }

  void linger() {
    buffer_.consume(buffer_.size());
    socket_.async_read_some(buffer_.prepare(64 << 10), [me = self()](error_code failed, std::size_t got) {
      if (failed) return me->cut();
      me->lingered_ += got;
      if (me->lingered_ <= max_lingering_bytes) me->linger();
    });
  }

  /// Writes out_ and body_, then goes on. Every step that moves begins the time limit anew.
  template <class Next>
  void write(Next next) {
    written_ = 0;
    write_more(std::move(next));
  }

  template <class Next>
  void write_more(Next next) {
    const std::size_t in_head = std::min(written_, out_.size());
    const std::size_t in_body = written_ - in_head;
    const std::array<net::const_buffer, 2> buffers{
        net::buffer(out_) + in_head,
        net::buffer(body_.data() + in_body, std::min(body_.size() - in_body, write_step_bytes))};
    arm(limits().write_timeout, Expiry::cut);
    socket_.async_write_some(buffers,
                             [me = self(), next = std::move(next)](error_code failed, std::size_t wrote) mutable {
                               if (failed || me->cut_) return me->cut();
                               me->written_ += wrote;
                               if (me->written_ < me->out_.size() + me->body_.size())
                                 return me->write_more(std::move(next));
                               me->disarm();
                               next();
                             });
  }

  /// Writes what a stream has queued, all that is there at a time.
  void pump() {
    if (stream_.writing || cut_) return;
    if (stream_.queue.empty()) {
      if (stream_.finished) return finish_exchange();
      if (std::exchange(stream_.refused, false) && stream_.on_ready) {
        const auto callback = stream_.on_ready;  // A copy: it may replace itself.
        callback();
      }
      return;
    }
    stream_.writing = true;
    out_.clear();
    std::size_t taken = 0;
    while (!stream_.queue.empty() && (taken == 0 || taken + stream_.queue.front().size() <= write_step_bytes)) {
      taken += stream_.queue.front().size();
      out_ += stream_.queue.front();
      stream_.queue.pop_front();
    }
    body_.clear();
    write([this] {
      stream_.writing = false;
      // The head and the last chunk were not counted, so the count is made anew from what is left.
      stream_.bytes = 0;
      for (const std::string& part : stream_.queue) stream_.bytes += part.size();
      pump();
    });
  }

  /// Notices a client that goes away while a stream has nothing to say.
  void watch(std::uint64_t generation) {
    socket_.async_wait(tcp::socket::wait_read, [me = self(), generation](error_code failed) {
      if (failed || me->cut_ || generation != me->stream_generation_) return;
      char peeked = 0;
      const ssize_t got = ::recv(me->socket_.native_handle(), &peeked, 1, MSG_PEEK | MSG_DONTWAIT);
      // More than nothing: the next request, already. It can wait, and so the watch ends.
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) me->cut();
    });
  }

  std::unique_ptr<Slot> slot_;
  tcp::socket socket_;
  net::steady_timer timer_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  Request request_;
  std::string out_;
  Bytes body_;
  std::size_t written_ = 0;
  Stream stream_;
  std::uint64_t stream_generation_ = 0;
  std::uint64_t timer_generation_ = 0;
  std::uint64_t reserved_body_bytes_ = 0;
  std::size_t lingered_ = 0;
  bool timed_out_ = false;
  bool is_loopback_ = false;
  bool keep_alive_ = false;
  bool is_head_ = false;
  bool is_websocket_ = false;
  bool cut_ = false;
};

}  // namespace

namespace detail {

struct Exchange {
  explicit Exchange(std::shared_ptr<Connection> to) : connection(std::move(to)) {}
  ~Exchange() {
    if (!used) connection->respond(problem(500, "Internal error", "the request was not answered"));
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  std::shared_ptr<Connection> connection;
  bool used = false;
};

struct StreamState {
  explicit StreamState(std::shared_ptr<Connection> to) : connection(std::move(to)) {}
  ~StreamState() {
    if (!finished) connection->stream_abandon();
  }
  StreamState(const StreamState&) = delete;
  StreamState& operator=(const StreamState&) = delete;
  std::shared_ptr<Connection> connection;
  bool finished = false;  ///< The connection may serve another request by now: hands off.
};

}  // namespace detail

void Connection::dispatch() {
  // The handler may answer at once, and the answer's end begins the next request: nothing may follow the call.
  Responder responder(std::make_shared<detail::Exchange>(self()));
  if (shared_->stopped) return cut();
  try {
    shared_->handler(std::move(request_), responder);
  } catch (const std::exception& thrown) {
    responder.answer(problem(500, "Internal error", thrown.what()));
  }
}

bool BodyStream::write(std::string_view bytes) { return !state_->finished && state_->connection->stream_write(bytes); }
void BodyStream::finish() {
  if (std::exchange(state_->finished, true)) return;
  state_->connection->stream_finish();
}
bool BodyStream::is_open() const { return !state_->finished && state_->connection->stream_open(); }
std::size_t BodyStream::queued_bytes() const { return state_->finished ? 0 : state_->connection->stream_bytes(); }
void BodyStream::on_ready(std::function<void()> callback) {
  if (!state_->finished) state_->connection->set_on_ready(std::move(callback));
}
void BodyStream::on_close(std::function<void()> callback) {
  if (!state_->finished) state_->connection->set_on_close(std::move(callback));
}

bool WebSocketSession::send(std::string text) { return state_->send(std::move(text)); }
void WebSocketSession::close(std::uint16_t code, std::string_view reason) { state_->close(code, reason); }
bool WebSocketSession::is_open() const { return state_->open_; }
std::size_t WebSocketSession::queued_bytes() const { return state_->queued_bytes_; }

bool Responder::answer(Response response) const {
  if (std::exchange(exchange_->used, true)) return false;
  return exchange_->connection->respond(std::move(response));
}

std::optional<BodyStream> Responder::stream(Response head, std::optional<std::uint64_t> content_length) const {
  if (std::exchange(exchange_->used, true)) return std::nullopt;
  if (!exchange_->connection->begin_stream(std::move(head), content_length)) return std::nullopt;
  return BodyStream(std::make_shared<detail::StreamState>(exchange_->connection));
}

bool Responder::upgrade(WebSocketHandlers handlers) const {
  if (std::exchange(exchange_->used, true)) return false;
  return exchange_->connection->upgrade(std::move(handlers));
}

bool Responder::is_open() const { return !exchange_->used && exchange_->connection->is_open(); }

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(net::io_context& io, Config config, Handler handler)
      : shared(std::make_shared<Shared>(io, std::move(config), std::move(handler))), acceptor(io), pause(io) {}

  std::shared_ptr<Shared> shared;
  tcp::acceptor acceptor;
  net::steady_timer pause;
  std::uint16_t port = 0;

  void accept() {
    acceptor.async_accept([me = shared_from_this()](error_code failed, tcp::socket socket) {
      if (me->shared->stopped) return;
      if (failed) {
        // Out of descriptors, most likely: wait for some to come free instead of spinning.
        me->pause.expires_after(std::chrono::milliseconds(100));
        me->pause.async_wait([me](error_code ended) {
          if (!ended && !me->shared->stopped) me->accept();
        });
        return;
      }
      if (me->shared->connections >= me->shared->config.limits.max_connections) {
        turn_away(socket);
      } else {
        auto connection = std::make_shared<Connection>(me->shared, std::move(socket));
        connection->enlist();
        connection->wait_for_request();
      }
      me->accept();
    });
  }

  /// One write without waiting: a client that is turned away must not cost anything.
  static void turn_away(tcp::socket& socket) {
    const Response refusal =
        problem(503, "Too many connections", "this node has as many connections as it allows; try again later");
    const std::string text =
        head_text(refusal, false, refusal.body.size()).value_or("") + std::string(as_text(refusal.body));
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(net::buffer(text), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }
};

Server::Server(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::start(net::io_context& io, Config config, Handler handler) {
  if (!is_token_text(config.token))
    return fail(ErrorCode::invalid, "the API's token must have 16 to 256 letters, digits, '-' or '_'");
  error_code failed;
  const auto address = net::ip::make_address(config.address, failed);
  if (failed) {
    return fail(ErrorCode::invalid,
                fmt::format("\"{}\" is not an address to listen on; give one like 127.0.0.1", config.address));
  }
  auto impl = std::make_shared<Impl>(io, std::move(config), std::move(handler));
  Config& settings = impl->shared->config;
  const tcp::endpoint endpoint(address, settings.port);
  const auto refuse = [&](std::string_view what) -> std::unexpected<Error> {
    const std::string where = fmt::format("{}{}{}:{}", address.is_v6() ? "[" : "", address.to_string(),
                                          address.is_v6() ? "]" : "", settings.port);
    if (failed == net::error::address_in_use) {
      return fail(
          ErrorCode::conflict,
          fmt::format("{} is taken by another program; give another one with --api ADDR:PORT, or port 0 for any",
                      where));
    }
    return fail(ErrorCode::unavailable,
                fmt::format("{} {} failed ({}); give another one with --api ADDR:PORT", what, where, failed.message()));
  };
  impl->acceptor.open(endpoint.protocol(), failed);
  if (failed) return refuse("listening on");
  // So that a restarted node gets its port back while old connections fade; a port that is listened on stays taken.
  impl->acceptor.set_option(net::socket_base::reuse_address(true), failed);
  impl->acceptor.bind(endpoint, failed);
  if (failed) return refuse("listening on");
  impl->acceptor.listen(net::socket_base::max_listen_connections, failed);
  if (failed) return refuse("listening on");
  impl->port = impl->acceptor.local_endpoint(failed).port();
  if (failed) return refuse("listening on");
  if (settings.allowed_hosts.empty()) {
    const std::string own = address.is_v6() ? fmt::format("[{}]", address.to_string()) : address.to_string();
    for (const std::string& host : {std::string("127.0.0.1"), std::string("localhost"), std::string("[::1]"), own}) {
      settings.allowed_hosts.push_back(fmt::format("{}:{}", host, impl->port));
    }
  }
  for (std::string& host : settings.allowed_hosts) host = lower(host);
  if (settings.allowed_origins.empty()) {
    for (const std::string& host : settings.allowed_hosts) settings.allowed_origins.push_back("http://" + host);
  }
  impl->accept();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::port() const { return impl_->port; }
std::size_t Server::connections() const { return impl_->shared->connections; }

void Server::stop() {
  if (std::exchange(impl_->shared->stopped, true)) return;
  error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->pause.cancel();
  std::vector<std::shared_ptr<Session>> sessions;
  for (const auto& [key, weak] : impl_->shared->sessions) {
    if (auto session = weak.lock()) sessions.push_back(std::move(session));
  }
  for (const auto& session : sessions) session->cut();
}

}  // namespace mesh::http
