// Bitswap 1.2 (https://specs.ipfs.tech/bitswap-protocol/), `/ipfs/bitswap/1.2.0`: content from and for nodes that are not
// Meshwork's. Peers tell each other block by block what they want; there is no root in it.
//
// Streams: messages to a peer go on a stream that this side opens, its own come on streams that it opens. A stream is closed
// after a short idle time and opened again when there is something to say.
//
// Served is what the store declares, and what the owner of the exchange lets the asker have (MayHave): such a root, and, of
// blocks below one, those that a block served to the same peer links to. So the exchange keeps per peer what it may ask
// for, and of which root that is a part; whether the root may still be had is asked again for every block. It is not written
// down: after a restart of this node, or when a peer has asked for so much else since that a link was forgotten, the peer has
// to begin at the root again, even if it has the upper blocks.
// Anything else, known here or not, gets the same answer by the same code: DONT_HAVE if that was asked for, else silence.
// A want is answered when its turn comes and then forgotten: what comes here later is not sent unless it is asked for again.
//
// A fetch walks the DAG inner blocks first and keeps a window of wants with one peer at a time. Every block is checked
// against its CID. In Bitswap a wrong block cannot be told from one that nobody wanted: a peer that sends several of those
// is remembered and asked no more.
//
// Threads: the exchange works on the io_context that it is given, one thread of which may run. The public members may be
// called from any thread; callbacks come on the io_context.
// Bounds: Limits, and those of messages (bitswap_message.h). What can go wrong: peers that are slow, cut, lie or have
// nothing: the next is asked; the error at the end says of each what happened.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "app/runtime/content.h"

namespace mesh::app {

inline constexpr std::string_view bitswap_protocol = "/ipfs/bitswap/1.2.0";

class BitswapExchange {
 public:
  struct Limits {
    std::uint64_t max_bytes = std::uint64_t{64} << 30;  ///< of one DAG's blocks
    std::uint64_t max_blocks = std::uint64_t{1} << 20;  ///< of one DAG
    std::uint32_t max_depth = 64;
    std::size_t window = 32;  ///< wants of one fetch that are under way
    std::size_t max_transfers = 1'024;  ///< roots being fetched
    std::size_t max_holders = 64;  ///< of one root
    std::size_t max_peers = 512;  ///< of which anything is remembered; past it one that says nothing is forgotten
    std::size_t max_streams = 48;  ///< inbound
    std::size_t max_streams_per_peer = 8;  ///< inbound
    std::size_t max_wants = 1'024;  ///< of one peer that wait for an answer; more are not heard
    std::size_t max_grants_per_peer = 65'536;  ///< blocks that a peer may ask for besides roots; the oldest go
    std::size_t max_grants =
        1'048'576;  ///< of all peers together; past it the peer with the most loses half of its own
    std::size_t max_unasked = 8;  ///< blocks that nobody wanted before a peer is taken for a liar
    std::shared_ptr<Pacer> pacer;  ///< of all that goes and comes; absent: as fast as it can
    Duration stall{std::chrono::seconds(15)};  ///< a peer that brings nothing for so long is passed over
    Duration idle{std::chrono::seconds(2)};  ///< our stream stays open for so long after the last message
    Duration inbound_idle{std::chrono::seconds(120)};  ///< a peer's stream without a word is closed after it
  };

  using MayHave = ContentExchange::MayHave;
  using OnLiar = ContentExchange::OnLiar;
  using Done = ContentExchange::Done;

  BitswapExchange(boost::asio::io_context& io, store::BlockStore& blocks, StreamOpener& opener, Limits limits,
                  OnLiar on_liar = {}, MayHave may_have = {});
  /// Closes all streams. The io_context must not be running then, or this is called on its thread.
  ~BitswapExchange();
  BitswapExchange(const BitswapExchange&) = delete;
  BitswapExchange& operator=(const BitswapExchange&) = delete;

  /// Brings what is missing of the DAG below `root` into the store, from the peers in this order. Concurrent fetches of one
  /// root share the work, and the peers. The completion is called once, at the latest after `limit` (not at all if the
  /// exchange is destroyed first).
  /// Errors: timeout, unavailable (of every peer: what happened), exhausted (bounds, quota), storage, invalid (the DAG itself
  /// is malformed).
  void fetch(const Cid& root, std::vector<NodeId> peers, Duration limit, Done done);

  /// What is being fetched. On the io_context.
  [[nodiscard]] std::vector<Cid> roots_in_use() const;

  /// Reads an inbound stream and owns its descriptor.
  void serve(const NodeId& peer, int descriptor);
  /// The peer is not connected any more: what it wanted is forgotten, and nothing is waited for.
  void peer_down(const NodeId& peer);

  struct Figures {
    std::uint64_t blocks_served = 0, bytes_served = 0, blocks_fetched = 0, bytes_fetched = 0, bad_blocks = 0;
  };
  [[nodiscard]] Figures figures() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::app
