// A blocking HTTP and WebSocket client for the command line and for tests: one connection per call, to one node.
//
// Bounds: the size of an answer, of an event, and a time limit on connecting and on every wait. A node that cannot be
// reached, or that goes away in the middle, is `unavailable`; what that means ("is the node running?") the caller says.
// Not thread-safe: one thread per Client and per EventStream.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "adapters/http/message.h"
#include "base/error.h"

namespace mesh::http {

struct ClientConfig {
  std::string address = "127.0.0.1";  ///< An IPv4 or IPv6 address, no name.
  std::uint16_t port = 0;
  std::string token;  ///< Sent as a bearer token unless empty.
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds request_timeout{60'000};  ///< For sending, and for each wait for more of the answer.
  std::uint64_t max_response_bytes = std::uint64_t{64} << 20;
  std::size_t max_event_bytes = std::size_t{16} << 20;
};

/// Events over a WebSocket, one text message each.
class EventStream {
 public:
  ~EventStream();
  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;

  /// The next message. Errors: timeout (none came in time; the stream goes on), unavailable (closed: code and reason
  /// are named; final), exhausted (a message above the bound; final).
  [[nodiscard]] Result<std::string> next(std::chrono::milliseconds timeout);
  [[nodiscard]] Status send(std::string_view text);
  void close();

 private:
  friend class Client;
  struct Impl;
  explicit EventStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class Client {
 public:
  explicit Client(ClientConfig config);

  /// Any answer with a status is a Response, 4xx and 5xx too; see error_of(). `path` is the request target, encoded,
  /// with its query. Errors: unavailable, timeout, exhausted (answer too large), invalid (malformed answer).
  [[nodiscard]] Result<Response> request(std::string_view method, std::string_view path, ByteView body = {},
                                         const Headers& headers = {}) const;
  [[nodiscard]] Result<Response> get(std::string_view path) const { return request("GET", path); }
  [[nodiscard]] Result<Response> post_json(std::string_view path, std::string_view json) const;

  /// As request, but the body of a 2xx answer goes to `sink` as it comes (without the bound on its size); the Response
  /// has none. An error of `sink` ends it and is returned.
  [[nodiscard]] Result<Response> download(std::string_view method, std::string_view path,
                                          const std::function<Status(ByteView)>& sink, ByteView body = {},
                                          const Headers& headers = {}) const;

  /// Opens a WebSocket. A refusal is the error that its problem names.
  [[nodiscard]] Result<EventStream> open_events(std::string_view path) const;

 private:
  ClientConfig config_;
};

/// The error that a 4xx or 5xx answer stands for: the code by status, the text from the problem's detail.
[[nodiscard]] Error error_of(const Response& response);

}  // namespace mesh::http
