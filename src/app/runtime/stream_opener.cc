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
  std::optional<Result<int>> result;
  bool abandoned = false;
};
}  // namespace

asio::awaitable<Result<int>> open_stream(asio::io_context& io, StreamOpener& opener, NodeId peer,
                                         std::string_view protocol, Duration limit) {
  const auto opening = std::make_shared<Opening>(io);
  opening->arrived.expires_after(limit);
  opener.open(peer, protocol, [&io, opening](Result<int> result) {
    asio::post(io, [opening, result = std::move(result)]() mutable {
      if (opening->abandoned) {
        if (result) ::close(*result);
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
