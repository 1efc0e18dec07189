// How fast content may go and come: in all, and to and from each peer. What has to wait is told for how long; who waits does
// so itself (stream.h), in slices, so that many that share a narrow bound all move.
//
// Bounds: max_peers peers are told apart; past it one that was quiet, or any, is begun anew. On one thread.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "domain/asset/token_bucket.h"
#include "domain/identity/identity.h"

namespace mesh::app {

class Pacer {
 public:
  static constexpr std::size_t max_peers = 4096;
  static constexpr std::size_t slice_bytes = std::size_t{16} << 10;

  enum class Way : std::uint8_t { up, down };
  /// Bytes a second; 0 = as fast as it goes.
  struct Rates {
    std::uint64_t up = 0, down = 0;
    std::uint64_t up_per_peer = 0, down_per_peer = 0;
  };
  struct Figures {
    std::uint64_t up = 0, down = 0;  ///< bytes that were paced
    Duration waited{0};  ///< all that was told, added up
  };
  using Clock = std::function<Instant()>;

  Pacer(const Rates& rates, Clock now);

  /// Whether anything bounds this way.
  [[nodiscard]] bool bounds(Way way) const;
  /// How long so many bytes to or from the peer have to wait.
  [[nodiscard]] Duration take(Way way, const identity::NodeId& peer, std::size_t bytes);
  [[nodiscard]] const Figures& figures() const { return figures_; }

 private:
  struct Lane {
    std::uint64_t per_peer = 0;
    std::optional<asset::TokenBucket> whole;
    std::map<identity::NodeId, asset::TokenBucket> peers;
  };

  [[nodiscard]] asset::TokenBucket& of_peer(Lane& lane, const identity::NodeId& peer, Instant time);

  Lane up_, down_;
  Clock now_;
  Figures figures_;
};

}  // namespace mesh::app
