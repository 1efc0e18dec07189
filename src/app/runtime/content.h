// Content over the mesh: `/meshwork/blocks/1` streams the DAG below a root as CAR, block by block.
//
// The asker opens a stream and sends one request; the answer is a status, then the blocks in a fixed order, then an end
// with the number and size of what was sent, since a stream that is cut reads like one that ended. The order is that of
// a breadth-first walk from the root, every block once, so "skip the first n" is all that it takes to resume after a cut.
// Every block is checked against its CID before it is kept, and has to be the next one of the walk. A holder that
// sends another is remembered and asked no more.
//
// Served is what the store declares, and what the owner of the exchange lets the asker have (MayHave): such a root, or a
// block that its own block links to (`below`).
// Anything else gets the same answer by the same code, known here or not.
//
// A file's leaves may also be asked for by number (LeafRange), in the order of the content, so that several holders can each
// send a part; its inner nodes come first then, without the leaves.
//
// Frames, both ways: an unsigned varint length, then that many bytes. Request: BlocksRequest. Answer: BlocksAnswer; if it is
// `ok`: a CAR v1 header, then one CAR section a frame; a frame of length 0; BlocksEnd. Then the next request may come; those
// that are sent before are answered in their order.
//
// Threads: the exchange works on the io_context that it is given, one thread of which may run. The public members may be
// called from any thread; callbacks come on the io_context.
// Bounds: Limits. What can go wrong: holders that are slow, cut, lie or have nothing: the next is asked; the error at the end
// says of each holder what happened.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "adapters/store/block_store.h"
#include "app/runtime/stream_opener.h"
#include "app/runtime/transports.h"
#include "base/time.h"
#include "codec/car.h"
#include "codec/record.h"
#include "domain/identity/identity.h"

namespace boost::asio {
class io_context;
}

namespace mesh::app {

class Pacer;

inline constexpr std::string_view blocks_protocol = "/meshwork/blocks/1";
/// Bounds of its frames: a request, an answer, an end or a CAR header; a CAR section.
inline constexpr std::size_t max_control_bytes = std::size_t{16} << 10;
inline constexpr std::size_t max_section_bytes = car::max_block_bytes + 64;

/// Leaves of a file, numbered from 0 in the order of the content; one that occurs twice has two numbers.
struct LeafRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;  ///< at least 1

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("first", self.first);
    v("count", self.count);
  }
};

struct BlocksRequest {
  static constexpr std::string_view type = "blocks-request";
  static constexpr std::uint64_t version = 1;

  Cid root;
  std::optional<Cid> below;  ///< a declared root whose block links to `root`; absent: `root` itself is declared
  std::uint32_t depth = 64;  ///< links to follow from the root; 0 = the root's block alone
  std::uint64_t skip = 0;  ///< blocks of the walk, from the first, that are not needed
  bool inner_only = false;  ///< leave out raw blocks, but for the root
  std::optional<LeafRange> range;  ///< these leaves, and nothing else; what is above about the walk is not looked at

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("root", self.root);
    v("below", self.below);
    v("depth", self.depth);
    v("skip", self.skip);
    v("inner_only", self.inner_only);
    v("range", self.range);
  }
};

enum class BlocksStatus : std::uint8_t {
  ok,
  not_found,  ///< not declared here; says nothing of what is here
  busy,  ///< too many streams; ask later or elsewhere
  malformed,  ///< the request does not read
};
[[nodiscard]] std::span<const std::string_view> enum_names(BlocksStatus);

struct BlocksAnswer {
  static constexpr std::string_view type = "blocks-answer";
  static constexpr std::uint64_t version = 1;

  BlocksStatus status = BlocksStatus::ok;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("status", self.status);
  }
};

enum class BlocksEnding : std::uint8_t {
  complete,
  incomplete,  ///< the next block is not here
  limit,  ///< a bound of the server was reached
};
[[nodiscard]] std::span<const std::string_view> enum_names(BlocksEnding);

struct BlocksEnd {
  static constexpr std::string_view type = "blocks-end";
  static constexpr std::uint64_t version = 1;

  BlocksEnding ending = BlocksEnding::complete;
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;  ///< of the CAR: header and sections

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("ending", self.ending);
    v("blocks", self.blocks);
    v("bytes", self.bytes);
  }
};

class ContentExchange {
 public:
  struct Limits {
    std::uint64_t max_bytes = std::uint64_t{4} << 30;  ///< of one DAG's blocks
    std::uint64_t max_blocks = std::uint64_t{1} << 20;  ///< of one DAG
    std::uint32_t max_depth = 64;
    std::size_t max_served = 64;  ///< streams served at a time
    std::size_t max_served_per_peer = 16;
    std::size_t max_fetched = 32;  ///< streams asked on at a time; more wait
    std::size_t max_transfers = 16'384;  ///< roots being fetched or waiting to be
    std::size_t max_holders = 64;  ///< of one root
    Duration stall{std::chrono::seconds(15)};  ///< a stream that does not move for so long is given up
    std::shared_ptr<Pacer> pacer;  ///< of all that goes and comes; absent: as fast as it can
    Duration first_pause{std::chrono::milliseconds(50)};  ///< before holders are asked a second time; doubles up to 2 s
    Transports::Limits transports;
  };

  /// Whether the peer may have the DAG below this root besides those that the store declares; on the io_context.
  using MayHave = std::function<bool(const NodeId&, const Cid&)>;
  /// A block was not what its holder said. The text says what was wrong.
  using OnLiar = std::function<void(const NodeId&, const std::string&)>;

  ContentExchange(boost::asio::io_context& io, store::BlockStore& blocks, StreamOpener& opener, Limits limits,
                  OnLiar on_liar = {}, MayHave may_have = {});
  /// Closes all streams. The io_context must not be running then, or this is called on its thread.
  ~ContentExchange();
  ContentExchange(const ContentExchange&) = delete;
  ContentExchange& operator=(const ContentExchange&) = delete;

  struct Want {
    Cid root;
    std::optional<Cid> below;  ///< see BlocksRequest
    std::uint32_t depth = 64;
    bool inner_only = false;  ///< see BlocksRequest
  };
  using Done = std::function<void(Status)>;

  /// Brings what is missing of the DAG below `want.root` into the store, from the holders in this order. Concurrent
  /// fetches of one root share the work, and the holders. The completion is called once, at the latest after `limit`
  /// (not at all if the exchange is destroyed first).
  /// Errors: timeout, unavailable (of every holder: what happened), exhausted (bounds, quota), storage, invalid (the DAG
  /// itself is malformed).
  void fetch(const Want& want, std::vector<NodeId> holders, Duration limit, Done done);
  /// The same for several; the first error stops the rest for this caller.
  void fetch_all(std::vector<Want> wants, std::vector<NodeId> holders, Duration limit, Done done);

  /// Whether all of the DAG is here, by a walk that reads no leaves and remembers complete DAGs. Blocks the caller for the
  /// reading of inner nodes. Error: a damaged or malformed inner node, or one past the bounds.
  [[nodiscard]] Result<bool> is_here(const Cid& root, std::uint32_t depth = 64);
  /// Blocks were erased: what was complete may not be any more.
  void forget_complete();

  /// What is being fetched. On the io_context.
  [[nodiscard]] std::vector<Cid> roots_in_use() const;

  /// Over which transports content comes. On the io_context.
  [[nodiscard]] Transports& transports();

  /// Whether the peer sent what it should not have, ever; and that it did. On the io_context.
  [[nodiscard]] bool is_liar(const NodeId& peer) const;
  void note_liar(const NodeId& peer, const std::string& what);

  /// Serves an inbound stream and owns its descriptor.
  void serve(const NodeId& peer, int descriptor);

  struct Figures {
    std::uint64_t blocks_served = 0, bytes_served = 0, blocks_fetched = 0, bytes_fetched = 0, bad_blocks = 0;
    std::uint64_t served_streams = 0;  ///< now
  };
  [[nodiscard]] Figures figures() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// The walk that both sides take: breadth first from the root, every block once. Raw blocks are never read. For tests and
/// the collection of garbage too.
class ContentWalk {
 public:
  ContentWalk(const Cid& root, std::uint32_t depth, std::uint64_t max_blocks, bool inner_only = false);
  /// The next block, or nullopt at the end.
  [[nodiscard]] std::optional<Cid> next() const;
  /// Whether the next block has to be read to go on: it may have links that matter.
  [[nodiscard]] bool must_read() const;
  /// Goes past the next block; `block` are its bytes, ignored unless must_read(). Errors: invalid, exhausted.
  [[nodiscard]] Status advance(ByteView block);
  /// Blocks passed.
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  struct Entry {
    Cid cid;
    std::uint32_t depth_left;
  };
  std::uint64_t max_blocks_;
  bool inner_only_;
  std::uint64_t position_ = 0;
  std::vector<Entry> queue_;  // The passed part is cut off now and then.
  std::size_t head_ = 0;
  std::unordered_set<Cid> found_;
};

}  // namespace mesh::app
