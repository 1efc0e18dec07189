#include "app/runtime/stream_opener.h"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>

namespace mesh::app {

namespace asio = boost::asio;

namespace {
struct Opening {
  explicit Opening(asio::io_context& io) : arrived(io) {}
  asio::steady_timer arrived;
  std::optional<Result<OpenedStream>> result;
  bool abandoned = false;
};
}  // namespace

asio::awaitable<Result<int>> open_stream(asio::io_context& io, StreamOpener& opener, NodeId peer,
                                         std::string_view protocol, Duration limit, std::shared_ptr<void> owner) {
  asio::awaitable<Result<OpenedStream>> opening =
      open_stream_by(io, opener, peer, protocol, {}, limit, std::move(owner));
  Result<OpenedStream> opened = co_await std::move(opening);
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  co_return opened->descriptor;
}

asio::awaitable<Result<OpenedStream>> open_stream_by(asio::io_context& io, StreamOpener& opener, NodeId peer,
                                                     std::string_view protocol, std::string_view preferred,
                                                     Duration limit, std::shared_ptr<void> owner) {
  const auto opening = std::make_shared<Opening>(io);
  opening->arrived.expires_after(limit);
  opener.open(peer, protocol, preferred, [&io, opening, owner = std::move(owner)](Result<OpenedStream> result) {
    asio::post(io, [opening, result = std::move(result)]() mutable {
      if (opening->abandoned) {
        if (result) ::close(result->descriptor);
        return;
      }
      opening->result = std::move(result);
      opening->arrived.cancel();
    });
  });
  co_await opening->arrived.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!opening->result) {
    opening->abandoned = true;
    co_return fail(ErrorCode::timeout, "did not answer");
  }
  co_return std::move(*opening->result);
}

}  // namespace mesh::app
