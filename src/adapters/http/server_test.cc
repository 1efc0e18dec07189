#include "adapters/http/server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "adapters/http/client.h"

namespace mesh::http {
namespace {

using std::chrono::milliseconds;

const std::string token = "0123456789abcdef-secret";

/// A server with a thread of its own and routes for what the tests look at.
class Running {
 public:
  explicit Running(Limits limits = {}) {
    Config config;
    config.token = token;
    config.limits = limits;
    config.is_public = [](const Request& request) {
      return request.path == "/livez" || (request.path == "/local" && request.is_loopback && !request.has_origin);
    };
    auto started = Server::start(io_, std::move(config), [this](Request request, Responder responder) {
      handle(std::move(request), std::move(responder));
    });
    EXPECT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    thread_ = std::thread([this] { io_.run(); });
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  /// Runs on the server's thread and waits for it.
  template <class Call>
  auto on_thread(Call call) {
    std::promise<decltype(call())> promise;
    boost::asio::post(io_, [&] {
      if constexpr (std::is_void_v<decltype(call())>) {
        call();
        promise.set_value();
      } else {
        promise.set_value(call());
      }
    });
    return promise.get_future().get();
  }

  ~Running() {
    on_thread([this] {
      held_.clear();
      sockets_.clear();
      streams_.clear();
      server_.reset();
    });
    guard_.reset();
    io_.stop();
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  [[nodiscard]] std::string host() const { return fmt::format("127.0.0.1:{}", port()); }
  [[nodiscard]] Client client() const {
    ClientConfig config;
    config.port = port();
    config.token = token;
    return Client(config);
  }
  /// Waits until the server's thread finds it so.
  template <class Condition>
  void until(Condition condition) {
    while (!on_thread(condition)) std::this_thread::yield();
  }

  std::unique_ptr<Server> server_;
  std::vector<Responder> held_;
  std::vector<WebSocketSession> sockets_;
  std::vector<BodyStream> streams_;
  int handled_ = 0;
  int closed_ = 0;
  int ready_ = 0;

 private:
  void handle(Request request, Responder responder) {
    ++handled_;
    if (request.is_websocket) {
      responder.upgrade({.on_open = [this](WebSocketSession session) { sockets_.push_back(std::move(session)); },
                         .on_message =
                             [](WebSocketSession session, const std::string& text) {
                               if (text == "end") return session.close(1000, "as asked");
                               session.send("echo " + text);
                             },
                         .on_close = [this] { ++closed_; }});
    } else if (request.path == "/hold") {
      held_.push_back(std::move(responder));
    } else if (request.path == "/drop") {
      // Goes without an answer.
    } else if (request.path == "/throw") {
      throw std::runtime_error("thrown");
    } else if (request.path == "/html") {
      responder.answer(text_response("<p>hello", 200, "text/html; charset=utf-8"));
    } else if (request.path == "/split") {
      Response response = json_response("{}");
      response.headers.emplace("x-name", "a\r\nx-evil: 1");
      responder.answer(std::move(response));
    } else if (request.path == "/stream") {
      Response head = text_response("");
      std::optional<std::uint64_t> length;
      if (request.query.contains("length")) length = std::stoull(request.query["length"]);
      auto stream = responder.stream(std::move(head), length);
      if (!stream) return;
      stream->on_close([this] { ++closed_; });
      streams_.push_back(*stream);
    } else if (request.path == "/large") {
      responder.answer(text_response(std::string(8 << 20, 'x')));
    } else {
      nlohmann::json seen{{"method", request.method},
                          {"path", request.path},
                          {"query", request.query},
                          {"headers", request.headers},
                          {"body", std::string(as_text(request.body))},
                          {"loopback", request.is_loopback}};
      responder.answer(json_response(seen.dump()));
    }
  }

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{io_.get_executor()};
  std::thread thread_;
};

/// A client that says exactly what it is told to.
class Raw {
 public:
  explicit Raw(std::uint16_t port, int receive_buffer_bytes = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer_bytes > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Raw() { close(); }
  Raw(Raw&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  Raw& operator=(Raw&&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// False once the server has gone.
  bool send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Sends until the server has taken nothing for a moment; false once it has gone.
  [[nodiscard]] bool send_all_that_fits(std::string_view text) const {
    pollfd ready{.fd = fd_, .events = POLLOUT, .revents = 0};
    while (::poll(&ready, 1, 300) > 0) {
      if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) <= 0 && errno != EAGAIN) return false;
    }
    return true;
  }
  /// Everything until the server closes.
  [[nodiscard]] std::string rest() const {
    std::string all;
    char buffer[65536];
    ssize_t got = 0;
    while ((got = ::recv(fd_, buffer, sizeof buffer, 0)) > 0) all.append(buffer, static_cast<std::size_t>(got));
    return all;
  }
  /// Reads until `mark` has come; what was read.
  [[nodiscard]] std::string until(std::string_view mark) const {
    std::string all;
    char one = 0;
    while (all.find(mark) == std::string::npos && ::recv(fd_, &one, 1, 0) == 1) all += one;
    return all;
  }

 private:
  int fd_;
  bool connected_ = false;
};

int status_in(std::string_view answer) {
  return answer.starts_with("HTTP/1.1 ") && answer.size() > 12 ? std::stoi(std::string(answer.substr(9, 3))) : 0;
}

/// The status of one raw request; `more` are further header lines, each with its line end.
int ask(const Running& running, std::string_view line, std::string_view more, std::string_view body = {}) {
  const Raw raw(running.port());
  raw.send(fmt::format("{} HTTP/1.1\r\nConnection: close\r\n{}\r\n{}", line, more, body));
  return status_in(raw.rest());
}

std::string good(const Running& running) {
  return fmt::format("Host: {}\r\nAuthorization: Bearer {}\r\n", running.host(), token);
}

TEST(Server, AnswersAndTellsWhatItHeard) {
  Running running;
  const auto answer =
      running.client().request("POST", "/api/v1/a%20b?x=1", as_bytes("{\"n\":1}"),
                               {{"content-type", "application/json; charset=utf-8"}, {"x-more", "yes"}});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200U);
  const auto seen = nlohmann::json::parse(answer->body);
  EXPECT_EQ(seen["method"], "POST");
  EXPECT_EQ(seen["path"], "/api/v1/a b");
  EXPECT_EQ(seen["query"]["x"], "1");
  EXPECT_EQ(seen["body"], "{\"n\":1}");
  EXPECT_EQ(seen["headers"]["x-more"], "yes");
  EXPECT_FALSE(seen["headers"].contains("authorization"));
  EXPECT_EQ(seen["loopback"], true);
  EXPECT_EQ(answer->headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(answer->headers.at("cache-control"), "no-store");
  EXPECT_EQ(answer->headers.at("referrer-policy"), "no-referrer");
  EXPECT_NE(answer->headers.at("content-security-policy").find("default-src 'none'"), std::string::npos);
  EXPECT_NE(running.client().get("/html")->headers.at("content-security-policy").find("default-src 'self'"),
            std::string::npos);
  for (const auto& [name, value] : answer->headers) EXPECT_FALSE(name.starts_with("access-control")) << name;
}

TEST(Server, WantsItsToken) {
  Running running;
  const std::string host = fmt::format("Host: {}\r\n", running.host());
  EXPECT_EQ(ask(running, "GET /x", good(running)), 200);
  EXPECT_EQ(ask(running, "GET /x", host + "Authorization: bearer " + token + "\r\n"), 200);
  EXPECT_EQ(ask(running, "GET /x", host), 401);
  EXPECT_EQ(ask(running, "GET /x", host + "Authorization: Basic " + token + "\r\n"), 401);
  EXPECT_EQ(ask(running, "GET /x", host + "Authorization: Bearer\r\n"), 401);
  EXPECT_EQ(ask(running, "GET /x", host + "Authorization: Bearer " + token + "x\r\n"), 401);
  EXPECT_EQ(ask(running, "GET /x", host + "Authorization: Bearer " + token.substr(1) + "\r\n"), 401);
  EXPECT_EQ(ask(running, "GET /x", good(running) + "Authorization: Bearer " + token + "\r\n"), 400);
  EXPECT_EQ(ask(running, "GET /x?token=" + token, host), 401);
  EXPECT_EQ(ask(running, "GET /livez", host), 200);
  EXPECT_EQ(ask(running, "GET /local", host), 200);
  EXPECT_EQ(ask(running, "GET /local", host + "Origin: http://" + running.host() + "\r\n"), 401);
  EXPECT_EQ(running.on_thread([&] { return running.handled_; }), 4);
}

TEST(Server, RefusesForeignHosts) {
  Running running;
  const std::string bearer = "Authorization: Bearer " + token + "\r\n";
  const std::string port = std::to_string(running.port());
  for (const std::string host : {"127.0.0.1:", "localhost:", "[::1]:", "LocalHost:"})
    EXPECT_EQ(ask(running, "GET /x", "Host: " + host + port + "\r\n" + bearer), 200) << host;
  for (const std::string& host :
       {std::string("evil.example:") + port, std::string("127.0.0.1"), std::string("localhost:1"),
        "127.0.0.1:" + port + "0", "localhost.evil.example:" + port, "evil@127.0.0.1:" + port}) {
    EXPECT_EQ(ask(running, "GET /livez", "Host: " + host + "\r\n" + bearer), 403) << host;
  }
  EXPECT_EQ(ask(running, "GET /livez", bearer), 400);
  EXPECT_EQ(ask(running, "GET /livez", good(running) + "Host: " + running.host() + "\r\n"), 400);
  EXPECT_EQ(ask(running, "GET http://evil.example/livez", good(running)), 400);
}

TEST(Server, RefusesForeignPages) {
  Running running;
  const std::string ok = good(running);
  EXPECT_EQ(ask(running, "GET /x", ok + "Origin: http://" + running.host() + "\r\nSec-Fetch-Site: same-origin\r\n"),
            200);
  EXPECT_EQ(ask(running, "GET /x", ok + "Sec-Fetch-Site: none\r\n"), 200);
  for (const std::string& line : {std::string("Origin: http://evil.example"), std::string("Origin: null"),
                                  std::string("Origin:"), "Origin: https://" + running.host(),
                                  std::string("Origin: http://127.0.0.1"), std::string("Sec-Fetch-Site: cross-site"),
                                  std::string("Sec-Fetch-Site: same-site"), std::string("Sec-Fetch-Site: other")}) {
    EXPECT_EQ(ask(running, "GET /livez", ok + line + "\r\n"), 403) << line;
    EXPECT_EQ(ask(running, "GET /livez",
                  ok + line +
                      "\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: "
                      "13\r\n"),
              403)
        << line;
  }
  EXPECT_EQ(ask(running, "OPTIONS /x", ok + "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"),
            403);
  EXPECT_EQ(running.on_thread([&] { return running.handled_; }), 2);
}

TEST(Server, TakesJsonAndOctetStreamsAlone) {
  Running running;
  const std::string ok = good(running);
  const auto post = [&](const std::string& type) {
    return ask(running, "POST /x", ok + type + "Content-Length: 2\r\n", "{}");
  };
  EXPECT_EQ(post("Content-Type: application/json\r\n"), 200);
  EXPECT_EQ(post("Content-Type: Application/Octet-Stream\r\n"), 200);
  EXPECT_EQ(post("Content-Type: application/x-www-form-urlencoded\r\n"), 415);
  EXPECT_EQ(post("Content-Type: multipart/form-data; boundary=x\r\n"), 415);
  EXPECT_EQ(post("Content-Type: text/plain\r\n"), 415);
  EXPECT_EQ(post("Content-Type: text/plain; application/json\r\n"), 415);
  EXPECT_EQ(post(""), 415);
  EXPECT_EQ(ask(running, "POST /x", ok + "Content-Length: 0\r\n"), 200);
  EXPECT_EQ(ask(running, "POST /x", ok + "Content-Type: text/plain\r\nContent-Length: 0\r\n"), 415);
  EXPECT_EQ(ask(running, "GET /x", ok + "Content-Length: 2\r\n", "{}"), 400);
}

TEST(Server, RefusesWhatIsMalformed) {
  Running running;
  const std::string ok = good(running);
  for (const char* path : {"/../x", "/a/%2e%2e/b", "/a%2fb", "//x", "/%zz", "/%ff", "/a?b=1&b=2"})
    EXPECT_EQ(ask(running, fmt::format("GET {}", path), ok), 400) << path;
  for (const char* method : {"OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND"})
    EXPECT_EQ(ask(running, fmt::format("{} /x", method), ok), 405) << method;
  for (const std::string& text :
       {std::string("nonsense\r\n\r\n"), std::string("GET /x HTTP/1.1\r\nHost : x\r\n\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n",
        "POST /x HTTP/1.1\r\n" + ok + "Content-Type: application/json\r\nContent-Length: -1\r\n\r\n",
        "POST /x HTTP/1.1\r\n" + ok +
            "Content-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\n" + ok +
            "Content-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /x HTTP/1.1\r\n" + ok + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const Raw raw(running.port());
    raw.send(text);
    EXPECT_EQ(status_in(raw.rest()), 400) << text;
  }
  const Raw old(running.port());
  old.send("GET /x HTTP/1.0\r\n" + ok + "\r\n");
  EXPECT_EQ(status_in(old.rest()), 505);
  EXPECT_EQ(running.on_thread([&] { return running.handled_; }), 0);
}

TEST(Server, BoundsHeadersAndBodies) {
  Running running({.max_body_bytes = 1000, .max_buffered_body_bytes = 1500});
  const std::string ok = good(running);
  EXPECT_EQ(ask(running, "GET /x", ok + "X-Flood: " + std::string(17 << 10, 'x') + "\r\n"), 431);
  std::string flood;
  for (int n = 0; n < 2000; ++n) flood += fmt::format("X-{}: y\r\n", n);
  EXPECT_EQ(ask(running, "GET /x", ok + flood), 431);
  const std::string type = "Content-Type: application/octet-stream\r\n";
  EXPECT_EQ(ask(running, "POST /x", ok + type + "Content-Length: 1000\r\n", std::string(1000, 'x')), 200);
  EXPECT_EQ(ask(running, "POST /x", ok + type + "Content-Length: 1001\r\n"),
            413);  // Not a byte of the body was needed.
  EXPECT_EQ(ask(running, "POST /x", ok + type + "Content-Length: 9223372036854775807\r\n"), 413);
  EXPECT_EQ(ask(running, "POST /x", ok + type + "Transfer-Encoding: chunked\r\n",
                "1f4\r\n" + std::string(500, 'x') + "\r\n1f5\r\n" + std::string(501, 'x')),
            413);
  EXPECT_EQ(ask(running, "POST /x", ok + type + "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n\r\n"), 200);
  // Bodies that are being read count together, and no longer once their client is gone.
  {
    const Raw slow(running.port());
    slow.send("POST /x HTTP/1.1\r\n" + ok + type + "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(status_in(slow.until("\r\n\r\n")), 100);
    EXPECT_EQ(ask(running, "POST /x", ok + type + "Content-Length: 600\r\n"), 503);
    EXPECT_EQ(ask(running, "POST /x", ok + type + "Content-Length: 1\r\n", "x"), 200);
  }
  running.until([&] { return running.server_->connections() == 0; });
  EXPECT_EQ(ask(running, "POST /x", ok + type + "Content-Length: 1000\r\n", std::string(1000, 'x')), 200);
}

TEST(Server, LeavesItsRefusalToWhoSendsOnWithoutLooking) {
  Running running({.max_body_bytes = 1000, .close_timeout = milliseconds(60'000)});
  const std::string type = "Content-Type: application/octet-stream\r\n";
  Raw raw(running.port());
  raw.send("POST /x HTTP/1.1\r\n" + good(running) + type + "Content-Length: 9223372036854775807\r\n\r\n");
  EXPECT_TRUE(raw.send_all_that_fits(std::string(64 << 10, 'x')));
  EXPECT_EQ(status_in(raw.until("\r\n\r\n")), 413);
}

TEST(Server, CutsSlowClients) {
  Running running({.idle_timeout = milliseconds(50),
                   .header_timeout = milliseconds(50),
                   .body_timeout = milliseconds(50),
                   .close_timeout = milliseconds(50)});
  const std::string ok = good(running);
  const Raw silent(running.port());
  EXPECT_EQ(silent.rest(), "");
  const Raw header(running.port());
  header.send("GET /x HTTP/1.1\r\nHost: ");
  EXPECT_EQ(status_in(header.rest()), 408);
  const Raw drip(running.port());  // A byte now and then does not help: the limit is on the whole header.
  drip.send("GET /x HTTP/1.1\r\n");
  while (drip.send("X")) std::this_thread::yield();
  const Raw body(running.port());
  body.send("POST /x HTTP/1.1\r\n" + ok + "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(status_in(body.rest()), 408);
  running.until([&] { return running.server_->connections() == 0; });
  EXPECT_EQ(running.on_thread([&] { return running.handled_; }), 0);
}

TEST(Server, ForgetsClientsThatGo) {
  Running running;
  for (const std::string& text :
       {std::string(), std::string("GET"), "GET /x HTTP/1.1\r\n" + good(running),
        "POST /x HTTP/1.1\r\n" + good(running) + "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"}) {
    Raw raw(running.port());
    raw.send(text);
    raw.close();
  }
  running.until([&] { return running.server_->connections() == 0; });
  EXPECT_EQ(running.on_thread([&] { return running.handled_; }), 0);
  EXPECT_EQ(ask(running, "GET /x", good(running)), 200);
}

TEST(Server, BoundsItsConnections) {
  Running running({.max_connections = 50});
  std::vector<Raw> open;
  for (int n = 0; n < 50; ++n) open.emplace_back(running.port());
  running.until([&] { return running.server_->connections() == 50; });
  for (int n = 0; n < 1000; ++n) {
    const Raw more(running.port());
    ASSERT_TRUE(more.connected());
    ASSERT_EQ(status_in(more.rest()), 503);
  }
  EXPECT_EQ(running.on_thread([&] { return running.server_->connections(); }), 50U);
  open.clear();
  running.until([&] { return running.server_->connections() == 0; });
  EXPECT_EQ(ask(running, "GET /x", good(running)), 200);
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  Running running;
  const Raw raw(running.port());
  const std::string ok = good(running);
  std::string all;
  for (int n = 0; n < 50; ++n) all += fmt::format("GET /n{} HTTP/1.1\r\n{}\r\n", n, ok);
  raw.send(all + "HEAD /large HTTP/1.1\r\n" + ok + "\r\nHEAD /stream?length=5 HTTP/1.1\r\n" + ok +
           "\r\nGET /last HTTP/1.1\r\n" + ok + "Connection: close\r\n\r\n");
  running.until([&] { return running.streams_.size() == 1; });
  running.on_thread([&] {
    EXPECT_TRUE(running.streams_[0].write("12345"));
    running.streams_[0].finish();
  });
  const std::string answers = raw.rest();
  std::size_t at = 0;
  for (int n = 0; n < 50; ++n) {
    at = answers.find(fmt::format("\"path\":\"/n{}\"", n), at);
    ASSERT_NE(at, std::string::npos) << n;
  }
  EXPECT_NE(answers.find("Content-Length: 8388608\r\n", at), std::string::npos);
  EXPECT_NE(answers.find("Content-Length: 5\r\n", at), std::string::npos);
  EXPECT_EQ(answers.find("xxxx"), std::string::npos);  // A HEAD has no body.
  EXPECT_EQ(answers.find("12345"), std::string::npos);
  EXPECT_NE(answers.find("\"path\":\"/last\"", at), std::string::npos);
}

TEST(Server, AnswersLaterAndOnce) {
  Running running;
  auto asked = std::async(std::launch::async, [&] { return running.client().get("/hold"); });
  running.until([&] { return running.held_.size() == 1; });
  running.on_thread([&] {
    EXPECT_TRUE(running.held_[0].is_open());
    EXPECT_TRUE(running.held_[0].answer(json_response("1")));
    EXPECT_FALSE(running.held_[0].answer(json_response("2")));
    EXPECT_FALSE(running.held_[0].stream({}));
    EXPECT_FALSE(running.held_[0].upgrade({}));
  });
  EXPECT_EQ(asked.get()->body, to_bytes("1"));
  EXPECT_EQ(running.client().get("/drop")->status, 500U);
  EXPECT_EQ(running.client().get("/throw")->status, 500U);
  const auto split = running.client().get("/split");
  EXPECT_EQ(split->status, 500U);
  EXPECT_FALSE(split->headers.contains("x-evil"));
}

TEST(Server, StreamsWithBackPressure) {
  Running running({.max_stream_queued_bytes = 100'000});
  const Raw raw(running.port(), 4096);
  raw.send("GET /stream HTTP/1.1\r\n" + good(running) + "Connection: close\r\n\r\n");
  running.until([&] { return running.streams_.size() == 1; });
  const std::string chunk(10'000, 'c');
  std::atomic<int> written{0};
  // A client that does not read: at some point the stream says no, and never holds more than its bound.
  running.on_thread([&] { running.streams_[0].on_ready([&] { ++running.ready_; }); });
  running.until([&] {
    const bool taken = running.streams_[0].write(chunk);
    written += taken ? 1 : 0;
    EXPECT_LE(running.streams_[0].queued_bytes(), 120'000U);
    return !taken;
  });
  auto reader = std::async(std::launch::async, [&] { return raw.rest(); });
  running.until([&] { return running.ready_ == 1; });
  running.on_thread([&] {
    EXPECT_TRUE(running.streams_[0].write("the end"));
    running.streams_[0].finish();
    EXPECT_FALSE(running.streams_[0].write("more"));
  });
  const std::string answer = reader.get();
  EXPECT_TRUE(answer.ends_with("7\r\nthe end\r\n0\r\n\r\n"));
  EXPECT_GE(answer.size(), static_cast<std::size_t>(written) * chunk.size());
  EXPECT_EQ(running.on_thread([&] { return running.closed_; }), 0);
}

TEST(Server, CutsStreamsThatAreNotWhole) {
  Running running;
  for (const char* path : {"/stream", "/stream?length=10"}) {
    auto asked = std::async(std::launch::async, [&] { return running.client().get(path); });
    running.until([&] { return running.streams_.size() == 1; });
    running.on_thread([&] {
      EXPECT_TRUE(running.streams_[0].write("half"));
      running.streams_.clear();
    });
    const auto answer = asked.get();
    ASSERT_FALSE(answer) << path;
    EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
  }
}

TEST(Server, TellsAStreamThatItsClientIsGone) {
  Running running;
  Raw raw(running.port());
  raw.send("GET /stream HTTP/1.1\r\n" + good(running) + "\r\n");
  EXPECT_EQ(status_in(raw.until("\r\n\r\n")), 200);
  raw.close();
  running.until([&] { return running.closed_ == 1; });
  EXPECT_FALSE(running.on_thread([&] { return running.streams_[0].is_open() || running.streams_[0].write("x"); }));
}

TEST(Server, CutsAClientThatDoesNotTakeItsAnswer) {
  Running running({.write_timeout = milliseconds(50)});
  const Raw raw(running.port(), 4096);
  raw.send("GET /large HTTP/1.1\r\n" + good(running) + "\r\n");
  running.until([&] { return running.handled_ == 1 && running.server_->connections() == 0; });
}

TEST(Server, SpeaksWebSocket) {
  Running running;
  auto events = running.client().open_events("/api/v1/events?since=5");
  ASSERT_TRUE(events) << events.error().message;
  EXPECT_EQ(events->next(milliseconds(0)).error().code, ErrorCode::timeout);
  ASSERT_TRUE(events->send("hello"));
  EXPECT_EQ(events->next(milliseconds(60'000)), "echo hello");
  running.on_thread([&] {
    EXPECT_TRUE(running.sockets_.at(0).send("one"));
    EXPECT_TRUE(running.sockets_.at(0).send(std::string(3 << 20, 'z')));
  });
  EXPECT_EQ(events->next(milliseconds(60'000)), "one");
  EXPECT_EQ(events->next(milliseconds(60'000))->size(), std::size_t{3} << 20);
  ASSERT_TRUE(events->send("end"));
  const auto ended = events->next(milliseconds(60'000));
  EXPECT_EQ(ended.error().code, ErrorCode::unavailable);
  EXPECT_NE(ended.error().message.find("as asked"), std::string::npos) << ended.error().message;
  running.until([&] { return running.closed_ == 1 && running.server_->connections() == 0; });
}

constexpr std::string_view upgrade_lines =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
    "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

TEST(Server, ChecksWebSocketsAsItDoesAll) {
  Running running({.max_websockets = 1});
  const std::string host = fmt::format("Host: {}\r\n", running.host());
  const auto offer = [&](std::string_view more) {
    Raw raw(running.port());
    raw.send(fmt::format("GET /events HTTP/1.1\r\n{}{}{}\r\n", host, upgrade_lines, more));
    return std::pair(raw.until("\r\n\r\n"), std::move(raw));
  };
  EXPECT_EQ(status_in(offer("Sec-WebSocket-Protocol: meshwork.v1\r\n").first), 401);
  EXPECT_EQ(status_in(offer("Sec-WebSocket-Protocol: meshwork.v1, meshwork.token.wrong\r\n").first), 401);
  EXPECT_EQ(status_in(offer("Sec-WebSocket-Protocol: meshwork.token." + token + "\r\n").first), 400);
  EXPECT_EQ(status_in(offer("Authorization: Bearer " + token + "\r\n").first), 400);
  const std::string right = "Sec-WebSocket-Protocol: meshwork.v1, meshwork.token." + token + "\r\n";
  EXPECT_EQ(status_in(offer(right + "Origin: http://evil.example\r\n").first), 403);
  EXPECT_EQ(status_in(offer(right + "Sec-Fetch-Site: cross-site\r\n").first), 403);
  {
    const auto [answer, raw] = offer(right + "Origin: http://" + running.host() + "\r\n");
    EXPECT_EQ(status_in(answer), 101);
    EXPECT_NE(answer.find("Sec-WebSocket-Protocol: meshwork.v1\r\n"), std::string::npos);
    EXPECT_EQ(answer.find(token), std::string::npos);
    EXPECT_EQ(status_in(offer(right).first), 503);
  }
  running.until([&] { return running.closed_ == 1; });
  EXPECT_EQ(status_in(offer(right).first), 101);
  ClientConfig wrong;
  wrong.port = running.port();
  wrong.token = "wrong-token-wrong-token";
  EXPECT_EQ(Client(wrong).open_events("/x").error().code, ErrorCode::unauthorised);
}

TEST(Server, ClosesAWebSocketThatNeverReadsAndSparesOthers) {
  Running running({.max_websocket_queued_bytes = 1 << 20, .close_timeout = milliseconds(50)});
  auto reader = running.client().open_events("/events");
  ASSERT_TRUE(reader);
  const Raw lazy(running.port(), 4096);
  lazy.send(fmt::format("GET /events HTTP/1.1\r\n{}{}Sec-WebSocket-Protocol: meshwork.v1\r\n\r\n", good(running),
                        upgrade_lines));
  EXPECT_EQ(status_in(lazy.until("\r\n\r\n")), 101);
  running.until([&] { return running.sockets_.size() == 2; });
  const std::string text(10'000, 'e');
  std::atomic<std::size_t> sent{0};
  // Each round the reader takes what it was sent; the lazy one does not, and is closed in the end.
  for (bool open = true; open;) {
    open = running.on_thread([&] {
      EXPECT_TRUE(running.sockets_[0].send(text));
      const bool taken = running.sockets_[1].send(text);
      EXPECT_LE(running.sockets_[1].queued_bytes(), std::size_t{1} << 20);
      return taken;
    });
    ++sent;
    ASSERT_EQ(reader->next(milliseconds(60'000)), text);
  }
  running.until([&] { return running.closed_ == 1 && running.server_->connections() == 1; });
  EXPECT_GT(sent, 100U);
  ASSERT_TRUE(reader->send("still here"));
  EXPECT_EQ(reader->next(milliseconds(60'000)), "echo still here");
}

TEST(Server, ClosesWebSocketsThatSendWhatIsNotAllowed) {
  Running running({.max_websocket_message_bytes = 1000});
  auto large = running.client().open_events("/events");
  ASSERT_TRUE(large);
  ASSERT_TRUE(large->send(std::string(1000, 'x')));
  EXPECT_EQ(large->next(milliseconds(60'000))->size(), 1005U);
  ASSERT_TRUE(large->send(std::string(1001, 'x')));
  EXPECT_EQ(large->next(milliseconds(60'000)).error().code, ErrorCode::unavailable);
  const auto raw_frame = [&](std::string_view frame) {
    const Raw raw(running.port());
    raw.send(fmt::format("GET /events HTTP/1.1\r\n{}{}Sec-WebSocket-Protocol: meshwork.v1\r\n\r\n", good(running),
                         upgrade_lines));
    EXPECT_EQ(status_in(raw.until("\r\n\r\n")), 101);
    raw.send(frame);
    return raw.rest();
  };
  using namespace std::string_view_literals;
  const std::string binary = raw_frame("\x82\x81\x00\x00\x00\x00x"sv);  // Binary, masked with zeros: 1003.
  ASSERT_GE(binary.size(), 4U);
  EXPECT_EQ(binary.substr(2, 2), "\x03\xeb");
  const std::string unmasked = raw_frame("\x81\x01x"sv);  // A client must mask: 1002.
  ASSERT_GE(unmasked.size(), 4U);
  EXPECT_EQ(unmasked.substr(2, 2), "\x03\xea");
  const std::string endless =
      raw_frame("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"sv);  // 2^63 - 1 bytes: 1009.
  ASSERT_GE(endless.size(), 4U);
  EXPECT_EQ(endless.substr(2, 2), "\x03\xf1");
  running.until([&] { return running.closed_ == 4 && running.server_->connections() == 0; });
}

TEST(Server, PingsAndGivesUpOnAWebSocketThatIsGone) {
  Running running({.websocket_idle_timeout = milliseconds(100)});
  const Raw mute(running.port());
  mute.send(fmt::format("GET /events HTTP/1.1\r\n{}{}Sec-WebSocket-Protocol: meshwork.v1\r\n\r\n", good(running),
                        upgrade_lines));
  EXPECT_EQ(status_in(mute.until("\r\n\r\n")), 101);
  EXPECT_EQ(static_cast<unsigned char>(mute.rest().at(0)), 0x89);  // A ping, which is not answered.
  running.until([&] { return running.closed_ == 1; });
}

TEST(Server, NamesATakenPortAndBadSettings) {
  Running running;
  boost::asio::io_context io;
  Config config;
  config.token = token;
  config.port = running.port();
  const auto start = [&](const Config& given) {
    return Server::start(io, given, [](const Request&, const Responder&) {});
  };
  const auto taken = start(config);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::conflict);
  EXPECT_NE(taken.error().message.find(running.host()), std::string::npos) << taken.error().message;
  EXPECT_NE(taken.error().message.find("--api"), std::string::npos);
  config.port = 0;
  config.address = "example.org";
  EXPECT_EQ(start(config).error().code, ErrorCode::invalid);
  config.address = "127.0.0.1";
  config.token = "short";
  EXPECT_EQ(start(config).error().code, ErrorCode::invalid);
}

TEST(Client, SaysWhatWentWrong) {
  std::uint16_t gone = 0;
  {
    const Running running;
    gone = running.port();
  }
  ClientConfig config;
  config.port = gone;
  config.token = token;
  EXPECT_EQ(Client(config).get("/x").error().code, ErrorCode::unavailable);
  EXPECT_EQ(Client(config).open_events("/x").error().code, ErrorCode::unavailable);
  const Running running({.max_body_bytes = 1000});
  config.port = running.port();
  config.max_response_bytes = 1000;
  EXPECT_EQ(Client(config).get("/large").error().code, ErrorCode::exhausted);
  config.request_timeout = milliseconds(50);
  EXPECT_EQ(Client(config).get("/hold").error().code, ErrorCode::timeout);
  EXPECT_EQ(Client(config).get("x").error().code, ErrorCode::invalid);
  EXPECT_EQ(Client(config).get("/a b").error().code, ErrorCode::invalid);
  EXPECT_EQ(Client(config).request("GET", "/x", {}, {{"a", "b\r\nc: d"}}).error().code, ErrorCode::invalid);
  config.request_timeout = milliseconds(60'000);
  const auto refused =
      Client(config).request("POST", "/x", Bytes(4 << 20), {{"content-type", "application/octet-stream"}});
  ASSERT_TRUE(refused) << refused.error().message;  // Told, though not all was sent.
  EXPECT_EQ(refused->status, 413U);
  EXPECT_EQ(error_of(*refused).code, ErrorCode::exhausted);
  EXPECT_NE(error_of(*refused).message.find("1000 bytes"), std::string::npos);
  std::size_t streamed = 0;
  const auto downloaded = Client(config).download("GET", "/large", [&](ByteView part) -> Status {
    streamed += part.size();
    return {};
  });
  ASSERT_TRUE(downloaded);
  EXPECT_EQ(streamed, std::size_t{8} << 20);
  EXPECT_TRUE(downloaded->body.empty());
  const auto stopped =
      Client(config).download("GET", "/large", [](ByteView) -> Status { return fail(ErrorCode::storage, "full"); });
  EXPECT_EQ(stopped.error().message, "full");
}

}  // namespace
}  // namespace mesh::http
