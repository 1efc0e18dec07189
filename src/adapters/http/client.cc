#include "adapters/http/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace mesh::http {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using boost::system::error_code;
using net::ip::tcp;
using Field = beast::http::field;

constexpr std::uint32_t max_answer_header_bytes = 64 << 10;

std::string where(const ClientConfig& config) {
  const bool is_v6 = config.address.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", config.address, is_v6 ? "]" : "", config.port);
}

beast::string_view view(std::string_view text) { return {text.data(), text.size()}; }

Error error_from(error_code failed, std::string_view what, const ClientConfig& config) {
  using beast::http::error;
  if (failed == beast::error::timeout) {
    return {ErrorCode::timeout, fmt::format("{} {} took longer than the time limit", what, where(config))};
  }
  if (failed == error::body_limit || failed == error::header_limit || failed == websocket::error::message_too_big) {
    return {ErrorCode::exhausted, fmt::format("{} {}: what it sent is above the bound on size", what, where(config))};
  }
  if (failed == error::end_of_stream || failed == error::partial_message) {
    return {ErrorCode::unavailable,
            fmt::format("{} {}: it closed the connection in the middle of its answer", what, where(config))};
  }
  if (failed.category() == make_error_code(error::bad_method).category()) {
    return {ErrorCode::invalid,
            fmt::format("{} {}: its answer is not HTTP ({})", what, where(config), failed.message())};
  }
  return {ErrorCode::unavailable, fmt::format("{} {} failed ({})", what, where(config), failed.message())};
}

/// Runs until the one operation under way has ended, and says how.
template <class Start>
error_code wait(net::io_context& io, const Start& start) {
  std::optional<error_code> result;
  start([&result](error_code failed, auto&&...) { result = failed; });
  io.restart();
  while (!result && io.run_one() > 0) {
  }
  return result.value_or(net::error::operation_aborted);
}

Status connect(net::io_context& io, beast::tcp_stream& stream, const ClientConfig& config) {
  error_code failed;
  const auto address = net::ip::make_address(config.address, failed);
  if (failed)
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is not an address; give one like 127.0.0.1", config.address));
  stream.expires_after(config.connect_timeout);
  failed = wait(io, [&](auto done) { stream.async_connect(tcp::endpoint(address, config.port), std::move(done)); });
  if (failed) return std::unexpected(error_from(failed, "connecting to", config));
  stream.socket().set_option(tcp::no_delay(true), failed);
  return {};
}

Status check_header(std::string_view name, std::string_view value) {
  const auto breaks = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (name.empty() || std::ranges::any_of(name, [&](char c) { return breaks(c) || c == ':' || c == ' '; }) ||
      std::ranges::any_of(value, breaks)) {
    return fail(ErrorCode::invalid, fmt::format("the header \"{}\" holds a character that no header may", name));
  }
  return {};
}

Status check_target(std::string_view target) {
  if (target.empty() || target.front() != '/' ||
      std::ranges::any_of(target, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; })) {
    return fail(ErrorCode::invalid,
                fmt::format("\"{}\" is not a request's address; it begins with '/' and is percent-encoded", target));
  }
  return {};
}

template <class Message>
Headers headers_of(const Message& message) {
  Headers headers;
  for (const auto& field : message) {
    std::string name(field.name_string());
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    const std::string value(field.value());
    auto [place, added] = headers.emplace(std::move(name), value);
    if (!added) place->second.append(", ").append(value);
  }
  return headers;
}

Result<Response> exchange(const ClientConfig& config, std::string_view method, std::string_view target, ByteView body,
                          const Headers& headers, const std::function<Status(ByteView)>* sink) {
  MESH_TRY(check_target(target));
  for (const auto& [name, value] : headers) MESH_TRY(check_header(name, value));
  net::io_context io;
  beast::tcp_stream stream(io);
  MESH_TRY(connect(io, stream, config));

  beast::http::request<beast::http::span_body<const std::uint8_t>> request;
  request.version(11);
  request.method_string(view(method));
  request.target(view(target));
  request.set(Field::host, where(config));
  request.set(Field::connection, "close");
  if (!config.token.empty()) request.set(Field::authorization, "Bearer " + config.token);
  for (const auto& [name, value] : headers) request.set(view(name), view(value));
  request.body() = beast::span<const std::uint8_t>(body.data(), body.size());
  if (!body.empty() || method == "POST" || method == "PUT") request.content_length(body.size());

  stream.expires_after(config.request_timeout);
  const error_code send_failed =
      wait(io, [&](auto done) { beast::http::async_write(stream, request, std::move(done)); });
  if (send_failed == beast::error::timeout) return std::unexpected(error_from(send_failed, "sending to", config));
  // A node that refuses early answers before it has read all: its answer is looked for even when sending failed.
  beast::flat_buffer buffer;
  beast::http::response_parser<beast::http::buffer_body> parser;
  parser.header_limit(max_answer_header_bytes);
  parser.body_limit(boost::none);
  if (method == "HEAD") parser.skip(true);
  stream.expires_after(config.request_timeout);
  error_code failed =
      wait(io, [&](auto done) { beast::http::async_read_header(stream, buffer, parser, std::move(done)); });
  if (failed) return std::unexpected(error_from(send_failed ? send_failed : failed, "asking", config));

  Response response;
  response.status = parser.get().result_int();
  response.headers = headers_of(parser.get());
  if (const auto type = response.headers.find("content-type"); type != response.headers.end())
    response.content_type = type->second;
  const bool to_sink = sink != nullptr && response.status >= 200 && response.status < 300;
  Bytes chunk(std::size_t{256} << 10);
  while (!parser.is_done()) {
    parser.get().body().data = chunk.data();
    parser.get().body().size = chunk.size();
    parser.get().body().more = true;
    stream.expires_after(config.request_timeout);
    failed = wait(io, [&](auto done) { beast::http::async_read_some(stream, buffer, parser, std::move(done)); });
    if (failed && failed != beast::http::error::need_buffer)
      return std::unexpected(error_from(failed, "reading from", config));
    const ByteView got = ByteView(chunk).first(chunk.size() - parser.get().body().size);
    if (got.empty()) continue;
    if (to_sink) {
      MESH_TRY((*sink)(got));
    } else {
      if (response.body.size() + got.size() > config.max_response_bytes) {
        return fail(ErrorCode::exhausted, fmt::format("the answer of {} is above the bound of {} bytes", where(config),
                                                      config.max_response_bytes));
      }
      append(response.body, got);
    }
  }
  return response;
}

}  // namespace

struct EventStream::Impl {
  explicit Impl(ClientConfig given) : config(std::move(given)), stream(io) {}

  ClientConfig config;
  net::io_context io;
  websocket::stream<beast::tcp_stream> stream;
  beast::flat_buffer buffer;
  bool reading = false;
  std::optional<error_code> arrived;
  std::optional<Error> ended;

  Error closed(error_code failed) const {
    if (failed == websocket::error::closed) {
      const auto& reason = stream.reason();
      return {ErrorCode::unavailable,
              fmt::format("{} closed the events ({}{}{})", where(config), static_cast<unsigned>(reason.code),
                          reason.reason.empty() ? "" : ": ", std::string(reason.reason.c_str()))};
    }
    return error_from(failed, "reading events from", config);
  }
};

EventStream::EventStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventStream::EventStream(EventStream&&) noexcept = default;
EventStream& EventStream::operator=(EventStream&&) noexcept = default;
EventStream::~EventStream() {
  if (impl_ == nullptr) return;
  // Handlers of what is still under way point into the object: they end before it does.
  error_code ignored;
  beast::get_lowest_layer(impl_->stream).socket().close(ignored);
  impl_->io.restart();
  impl_->io.run();
}

Result<std::string> EventStream::next(std::chrono::milliseconds timeout) {
  Impl& own = *impl_;
  if (own.ended) return std::unexpected(*own.ended);
  // A read that outlasts one call goes on in the next: taking it back would lose half a message.
  if (!own.reading) {
    own.reading = true;
    own.arrived.reset();
    own.stream.async_read(own.buffer, [&own](error_code failed, std::size_t) { own.arrived = failed; });
  }
  own.io.restart();
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (!own.arrived && own.io.run_one_until(until) > 0) {
  }
  if (!own.arrived) return fail(ErrorCode::timeout, fmt::format("no event came within {} ms", timeout.count()));
  own.reading = false;
  if (*own.arrived) {
    own.ended = own.closed(*own.arrived);
    return std::unexpected(*own.ended);
  }
  std::string text = beast::buffers_to_string(own.buffer.data());
  own.buffer.consume(own.buffer.size());
  return text;
}

Status EventStream::send(std::string_view text) {
  Impl& own = *impl_;
  if (own.ended) return std::unexpected(*own.ended);
  own.stream.text(true);
  const error_code failed =
      wait(own.io, [&](auto done) { own.stream.async_write(net::buffer(text), std::move(done)); });
  if (failed) {
    own.ended = own.closed(failed);
    return std::unexpected(*own.ended);
  }
  return {};
}

void EventStream::close() {
  Impl& own = *impl_;
  if (own.ended) return;
  own.ended = Error{ErrorCode::unavailable, "the events were closed here"};
  wait(own.io, [&](auto done) { own.stream.async_close(websocket::close_code::normal, std::move(done)); });
}

Client::Client(ClientConfig config) : config_(std::move(config)) {}

Result<Response> Client::request(std::string_view method, std::string_view path, ByteView body,
                                 const Headers& headers) const {
  return exchange(config_, method, path, body, headers, nullptr);
}

Result<Response> Client::post_json(std::string_view path, std::string_view json) const {
  return exchange(config_, "POST", path, as_bytes(json), {{"content-type", "application/json"}}, nullptr);
}

Result<Response> Client::download(std::string_view method, std::string_view path,
                                  const std::function<Status(ByteView)>& sink, ByteView body,
                                  const Headers& headers) const {
  return exchange(config_, method, path, body, headers, &sink);
}

Result<EventStream> Client::open_events(std::string_view path) const {
  MESH_TRY(check_target(path));
  auto impl = std::make_unique<EventStream::Impl>(config_);
  EventStream::Impl& own = *impl;
  MESH_TRY(connect(own.io, beast::get_lowest_layer(own.stream), config_));
  beast::get_lowest_layer(own.stream).expires_never();
  auto limits = websocket::stream_base::timeout::suggested(beast::role_type::client);
  limits.handshake_timeout = config_.request_timeout;
  limits.idle_timeout = websocket::stream_base::none();  // The server pings; a quiet stream is not an error.
  own.stream.set_option(limits);
  own.stream.read_message_max(config_.max_event_bytes);
  own.stream.set_option(websocket::stream_base::decorator([this](websocket::request_type& request) {
    request.set(Field::sec_websocket_protocol, "meshwork.v1");
    if (!config_.token.empty()) request.set(Field::authorization, "Bearer " + config_.token);
  }));
  websocket::response_type answer;
  const error_code failed =
      wait(own.io, [&](auto done) { own.stream.async_handshake(answer, where(config_), view(path), std::move(done)); });
  if (failed == websocket::error::upgrade_declined) {
    Response refusal;
    refusal.status = answer.result_int();
    refusal.body = to_bytes(std::string_view(answer.body().data(), answer.body().size()));
    return std::unexpected(error_of(refusal));
  }
  if (failed) return std::unexpected(error_from(failed, "opening events of", config_));
  return EventStream(std::move(impl));
}

Error error_of(const Response& response) {
  const ErrorCode code = code_of(response.status);
  // Without exceptions and without trust: the answer may be anybody's.
  const auto body = nlohmann::json::parse(response.body.begin(), response.body.end(), nullptr, false);
  if (body.is_object()) {
    if (const auto detail = body.find("detail"); detail != body.end() && detail->is_string()) {
      return {code, detail->get<std::string>()};
    }
  }
  return {code, fmt::format("the node answered with status {}", response.status)};
}

}  // namespace mesh::http
