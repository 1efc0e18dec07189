// Brings the leaves of one file from all who have it at once (`/meshwork/blocks/1`, LeafRange), each to its place.
//
// Every holder is asked by a coroutine of its own, for what the plan gives it (domain/asset/range_plan.h), two requests
// ahead. Every leaf is checked against its CID before it is put; whoever sends another is remembered as a liar
// (ContentExchange) and dropped. Whoever is slow, cut or busy is asked again, ever later, and given up when it has brought
// nothing three times.
// The streams go over the transports that have shown to be the fastest (transports.h): what comes is what is measured, and
// between two requests a holder is moved to another one.
// On one io_context thread. Bounds: Limits, RangePlan::max_leaves; a buffer of one block for each holder.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/runtime/content.h"
#include "app/runtime/file_layout.h"
#include "domain/asset/range_plan.h"

namespace boost::asio {
class io_context;
}

namespace mesh::app {

class LeafFetch {
 public:
  struct Limits {
    Duration stall{std::chrono::seconds(15)};  ///< a stream that does not move for so long is given up
    Duration first_pause{std::chrono::milliseconds(50)};  ///< before a holder is asked again; doubles up to 2 s
    std::size_t max_holders = 16;  ///< asked at a time; those that come later are not
    std::shared_ptr<Pacer> pacer;  ///< of all that comes; absent: as fast as it can
  };
  /// Keeps a leaf that is what it should be. Its error ends all.
  using Put = std::function<Status(std::uint32_t leaf, ByteView bytes)>;
  using Done = std::function<void(Status)>;

  /// `exchange` outlives it; `leaves` in the order of the content.
  LeafFetch(boost::asio::io_context& io, ContentExchange& exchange, const Cid& root, std::vector<FileLeaf> leaves,
            Put put, Limits limits);
  /// stop()
  ~LeafFetch();
  LeafFetch(const LeafFetch&) = delete;
  LeafFetch& operator=(const LeafFetch&) = delete;

  /// Before start: this one need not be fetched.
  void set_here(std::uint32_t leaf);
  /// Once more is no error.
  void add_holder(const NodeId& node);
  /// `done` is called once, when all is here, a Put failed, or no holder is left (unavailable: of each, what happened).
  void start(Done done);
  /// Ends it; `done` is not called any more.
  void stop();

  /// What came over one transport, and how fast while it was asked for.
  struct TransportFigures {
    std::string transport;  ///< tcp, quic, ws, wss, relay or other
    std::uint64_t bytes = 0;
    std::uint64_t bytes_per_s = 0;
  };
  struct HolderFigures {
    NodeId node;
    std::uint64_t bytes = 0;  ///< that came from it
    std::uint64_t bytes_per_s = 0;
    std::vector<TransportFigures> transports;  ///< by name
  };
  struct Figures {
    std::uint64_t bytes_here = 0;
    std::uint64_t bytes_fetched = 0;  ///< twice, what came twice
    std::vector<HolderFigures> holders;
  };
  [[nodiscard]] Figures figures() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::app
