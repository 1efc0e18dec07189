// The two stream protocols of ZephyMesh nodes (../shared/design: interfaces.md "Drop-in for ZephyMesh's launcher").
//
// `/zephymesh/manifest_exchange/1.0.0`: opening the stream is the request; the answer is one JSON object {path: {"sha256",
// "size"}}, then the end. `/zephymesh/file_transfer/1.0.0`: a line {"path": P}; the answer is a line {"status": "sending",
// "size", "sha256"} and the file's bytes, or a line {"status": "error", "message"}. A path is that of full_path().
// Shown and sent is what is shared with everybody, and with peers on the local network what is shared with those. What the
// peer may not have gets the answer of what does not exist, by the same code.
//
// On the thread of its io_context. Bounds: Limits; a request of 8 KiB. What can go wrong: a file that is changed while it is
// sent: the stream ends before the size that was told.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "adapters/store/block_store.h"
#include "adapters/store/shares.h"
#include "base/time.h"
#include "domain/identity/identity.h"

namespace boost::asio {
class io_context;
}

namespace mesh::app {

class Pacer;

inline constexpr std::string_view zephymesh_manifest_protocol = "/zephymesh/manifest_exchange/1.0.0";
inline constexpr std::string_view zephymesh_file_protocol = "/zephymesh/file_transfer/1.0.0";

class ZephyMeshStreams {
 public:
  struct Limits {
    std::size_t max_served = 32;  ///< streams at a time; more are closed
    Duration stall{std::chrono::seconds(30)};
    std::shared_ptr<Pacer> pacer;  ///< of all that goes and comes; absent: as fast as it can
  };
  /// A peer is being sent this content; told now and then until it has it.
  using Served = std::function<void(const Cid&)>;
  using Classes = std::function<std::vector<asset::Visibility>(const identity::NodeId&)>;

  /// `shares` and `blocks` outlive it.
  ZephyMeshStreams(boost::asio::io_context& io, store::Shares& shares, store::BlockStore& blocks, Classes classes,
                   Limits limits, Served served = {});
  /// Closes all streams. The io_context must not be running then, or this is called on its thread.
  ~ZephyMeshStreams();
  ZephyMeshStreams(const ZephyMeshStreams&) = delete;
  ZephyMeshStreams& operator=(const ZephyMeshStreams&) = delete;

  /// Serves an inbound stream of one of the two protocols and owns its descriptor. Any thread.
  void serve(const identity::NodeId& peer, std::string_view protocol, int descriptor);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::app
