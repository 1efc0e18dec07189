// Opens streams to peers: the network, or a test's socket pairs.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "domain/identity/identity.h"

namespace boost::asio {
class io_context;
}

namespace mesh::app {

using identity::NodeId;

class StreamOpener {
 public:
  /// Takes the descriptor of one end of a stream socket pair (and owns it), or why there is no stream.
  using Opened = std::function<void(Result<int>)>;
  virtual ~StreamOpener() = default;
  /// `opened` is called once, from any thread, also before open() returns.
  virtual void open(const NodeId& peer, std::string_view protocol, Opened opened) = 0;
};

/// The same for a coroutine on `io`; timeout after `limit`. `opener` outlives it.
[[nodiscard]] boost::asio::awaitable<Result<int>> open_stream(boost::asio::io_context& io, StreamOpener& opener,
                                                              NodeId peer, std::string_view protocol, Duration limit);

}  // namespace mesh::app
