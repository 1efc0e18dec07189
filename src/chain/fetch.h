// Which blocks to ask of whom, for a replica that is behind: ranges that follow on each other, each of another peer, the one
// that failed least first. What comes is held until its turn is there.
//
// A peer that is silent is passed over while there is another, and what it sends late is taken all the same: its link may be
// slow. One that lied is not asked again as long as it stays. What a peer shows is a hint and no more: whether a block is true
// is for the certificate to say.
//
// Bounds: 512 peers, four ranges of at most 16 blocks under way, one of each peer; answers of the sizes of wire.h; where 32 MiB
// are held, only what comes next is asked for.
// Errors: unasked-blocks (invalid).
#pragma once

#include <map>
#include <set>

#include "chain/event.h"

namespace mesh::chain {

inline constexpr std::size_t max_peers = 512;
inline constexpr std::size_t max_fetches = 4;
inline constexpr std::size_t fetch_blocks = 16;
inline constexpr std::size_t max_held_bytes = std::size_t{32} << 20;

class Fetches {
 public:
  struct Asked {
    PeerId peer;
    std::uint64_t number = 0;  ///< of this ask
    Height from = 0;
    std::size_t count = 0;
  };
  struct Held {
    PeerId peer;
    FinalBlock block;
  };

  /// False: there are too many.
  bool peer_up(const PeerId& peer);
  void peer_down(const PeerId& peer);
  [[nodiscard]] bool knows(const PeerId& peer) const { return peers_.contains(peer); }
  /// It has the blocks after `base` up to `height`, and a snapshot of the height `snapshot`; 0: none.
  void shows(const PeerId& peer, Height height, Height base = 0, Height snapshot = 0);
  void shows_at_least(const PeerId& peer, Height height);
  template <class Visit>
  void for_each_peer(const Visit& visit) const {
    for (const auto& [id, peer] : peers_) visit(id);
  }

  /// Whether a peer that has not lied has said how high it is, and is no higher than this.
  [[nodiscard]] bool is_level(Height height) const;
  /// The highest that a peer shows which has not lied.
  [[nodiscard]] Height target() const;
  /// What is to be asked for now by who has the blocks up to `height`.
  [[nodiscard]] std::vector<Asked> due(Height height);
  /// An answer; the number of the ask that it ends, 0 for one to an ask that was given up. Refused is what was never asked for.
  [[nodiscard]] Result<std::uint64_t> take(const PeerId& peer, message::Blocks answer);
  /// Whether somebody has the block after this one.
  [[nodiscard]] bool has_next(Height height) const;
  /// Whose snapshot is worth more than the blocks: it is more than `skip` above `height`, or nobody has the next block. Of several the one of who
  /// failed least, and then the highest.
  struct Offer {
    PeerId peer;
    Height height = 0;
  };
  [[nodiscard]] std::optional<Offer> offer(Height height, Height skip) const;
  /// Its snapshot did not come: it is not asked for that one again as long as it stays.
  void failed_to_offer(const PeerId& peer);
  /// The answer to this ask is late.
  void late(std::uint64_t number);
  /// What it gave is let go of.
  void lied(const PeerId& peer);
  /// The block of this height, if it is held; what is lower is let go of.
  [[nodiscard]] std::optional<Held> next(Height height);
  [[nodiscard]] bool holds(Height height) const { return held_.contains(height); }

 private:
  struct Peer {
    Height shown = 0;
    Height base = 0;
    Height snapshot = 0;
    Height refused_snapshot = 0;  ///< that did not come
    bool said = false;  ///< by itself how high it is
    std::uint64_t failures = 0;
    bool liar = false;
    std::uint64_t owed = 0;  ///< answers
    std::optional<Asked> asked;  ///< last
    bool overdue = false;  ///< the answer to that: others may be asked, and it may again

    [[nodiscard]] bool is_busy() const { return asked && !overdue; }
  };
  [[nodiscard]] Peer* best(Height from, PeerId& id);
  [[nodiscard]] std::set<Height> covered() const;
  void let_go(std::map<Height, Held>::iterator held);

  std::map<PeerId, Peer> peers_;
  std::map<Height, Held> held_;
  std::size_t held_bytes_ = 0;
  std::uint64_t asks_ = 0;
};

}  // namespace mesh::chain
