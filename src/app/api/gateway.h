// The trustless gateway (https://specs.ipfs.tech/http-gateways/trustless-gateway/): GET and HEAD of `/ipfs/CID[/path]`, as
// one raw block or as a CAR, for clients that check what they get. Nothing is rendered: any other format is refused (406).
//
// Paths lead through UnixFS folders; the blocks along them are in the CAR. CARs are of version 1, depth first, with or
// without duplicates; `dag-scope` and `entity-bytes` as the specification has them. Who may ask is decided before: this
// serves whatever the block store and the shared files have.
//
// Threads: as the server that asks it, disk work through `post_bulk`. Bounds: a CAR is walked as the client takes it, 64
// links deep, and holds a block or two at a time besides the open branches; without duplicates it remembers what it sent,
// at most 1,048,576 blocks. What can go wrong once a CAR has begun (a block is missing or malformed, a bound): the
// connection is cut, so that the client sees that it is not whole.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/http/server.h"
#include "adapters/store/block_store.h"

namespace mesh::app {

/// The media types of a block and of a CAR.
inline constexpr std::string_view raw_type = "application/vnd.ipld.raw";
inline constexpr std::string_view car_type = "application/vnd.ipld.car";

/// A range of a file's bytes as `entity-bytes` names it: negative from the end, no `to` for the end.
struct EntityBytes {
  std::int64_t from = 0;
  std::optional<std::int64_t> to;  ///< the last byte
  bool operator==(const EntityBytes&) const = default;
};
/// Errors: invalid.
[[nodiscard]] Result<EntityBytes> parse_entity_bytes(std::string_view text);

enum class DagScope : std::uint8_t { block, entity, all };

/// What a request to the gateway asks for.
struct GatewayPlan {
  bool is_car = false;
  DagScope scope = DagScope::all;
  std::optional<EntityBytes> bytes;
  bool has_duplicates = false;
  bool was_negotiated = false;  ///< the format was named by Accept alone
};
/// The plan, or the answer to a request that has none: 400, 406.
[[nodiscard]] std::expected<GatewayPlan, http::Response> plan_of(const http::Request& request);

class Gateway : public std::enable_shared_from_this<Gateway> {
 public:
  using Post = std::function<void(std::move_only_function<void()>)>;

  /// `post_bulk` runs work on the thread for disk work, `post` on the server's. `blocks` outlives the gateway and its answers.
  Gateway(store::BlockStore& blocks, Post post_bulk, Post post);

  /// Answers a request for `/ipfs/CID[/path]`.
  void serve(const http::Request& request, const http::Responder& responder);

  /// The CID of such a path; nullopt if there is none that reads.
  [[nodiscard]] static std::optional<Cid> root_of(std::string_view path);
  /// Whether this is the block that clients look for to see whether there is a gateway: the empty one whose CID holds it.
  [[nodiscard]] static bool is_probe(std::string_view path);

 private:
  struct Found;
  class Stream;

  [[nodiscard]] Result<Found> find(const std::vector<std::string>& path, const Cid& root) const;
  void answer_block(const http::Request& request, const http::Responder& responder, const Cid& cid, Bytes block,
                    http::Response head) const;

  store::BlockStore& blocks_;
  Post post_bulk_, post_;
};

}  // namespace mesh::app
