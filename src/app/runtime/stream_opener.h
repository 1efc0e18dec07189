// Opens streams to peers: the network, or a test's socket pairs.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "domain/identity/identity.h"

namespace boost::asio {
class io_context;
}

namespace mesh::app {

using identity::NodeId;

struct OpenedStream {
  int descriptor = -1;  ///< of one end of a stream socket pair; whoever is given it owns it
  std::string transport;  ///< of the connection that the stream is on: tcp, quic, ws, wss, relay or other
};

class StreamOpener {
 public:
  /// Takes the stream, or why there is none.
  using Opened = std::function<void(Result<OpenedStream>)>;
  using Connected = std::function<void(Status)>;
  virtual ~StreamOpener() = default;
  /// Over a connection of the preferred transport (tcp or quic), if there is one. `opened` is called once, from any thread,
  /// also before open() returns.
  virtual void open(const NodeId& peer, std::string_view protocol, std::string_view preferred, Opened opened) = 0;
  /// Has that transport connected, too. Errors: unsupported, exhausted (not now); others (it does not work). `connected` is
  /// called as `opened` is.
  virtual void connect_by(const NodeId& peer, std::string_view transport, Connected connected) = 0;
};

/// The same for a coroutine on `io`; timeout after `limit`. `opener` outlives it. `owner` is what `io` belongs to, if that can go while
/// the stream is still being opened: it is held until then, by the opener alone.
[[nodiscard]] boost::asio::awaitable<Result<int>> open_stream(boost::asio::io_context& io, StreamOpener& opener,
                                                              NodeId peer, std::string_view protocol, Duration limit,
                                                              std::shared_ptr<void> owner = nullptr);
[[nodiscard]] boost::asio::awaitable<Result<OpenedStream>> open_stream_by(boost::asio::io_context& io,
                                                                          StreamOpener& opener, NodeId peer,
                                                                          std::string_view protocol,
                                                                          std::string_view preferred, Duration limit,
                                                                          std::shared_ptr<void> owner = nullptr);

}  // namespace mesh::app
