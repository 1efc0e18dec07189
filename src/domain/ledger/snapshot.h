// A snapshot: the state of a ledger after one block, with all that it takes to check it by the founding alone, so that a chain can be
// gone on with from there without its blocks before.
//
// It is a head and a stream of bytes, cut into pieces of 1 MiB of which the head has the hashes. The stream has items, each behind its
// length as four big-endian bytes, in lists that a length of 0 ends. First the changes of the set of validators, each as three items: the
// hop, its header, its certificate (validator_hops.h). Then, for each table in the order of StateSummary::Roots, the entries in the order
// of their places. So the certificate of the head's block is checked before an entry is read, and of two nodes' snapshots of one block
// the states are the same to the byte.
//
// What does not follow from the tables is the order in which works wait to be drawn for: there is a snapshot only where none waits.
//
// Bounds: 512 MiB, 2 MiB for an item (as for any record), max_hops changes of the set of validators; where a state needs more there is no snapshot.
// Reading holds one piece, some MiB of items, and what becomes the state; each table is compared with its root as soon as it is whole. A liar can
// behind an honest head give entries of his own, which are bounded in what they take by the bytes that they have.
// What can go wrong, by name: bad-snapshot (a piece or an item that does not read, or is another than the head says),
// wrong-state-root (the entries are not those of the certified state), and the names of validator_hops.h.
#pragma once

#include <functional>

#include "domain/ledger/ledger.h"
#include "domain/ledger/validator_hops.h"

namespace mesh::ledger {

inline constexpr std::size_t snapshot_piece_bytes = std::size_t{1} << 20;
inline constexpr std::size_t max_snapshot_bytes = std::size_t{512} << 20;
inline constexpr std::size_t max_snapshot_item_bytes = dagcbor::record_limits.max_bytes;

struct SnapshotHead {
  static constexpr std::string_view type = "ledger-snapshot";
  static constexpr std::uint64_t version = 1;
  Bytes header;  ///< of the block after which the state is
  Bytes certificate;  ///< of that block
  Bytes summary;  ///< the StateSummary, of which the header has the hash
  ValidatorSet validators;  ///< to which the summary links
  std::vector<ValidatorSet> scheduled;
  std::uint64_t bytes = 0;  ///< of the stream
  std::vector<Digest> pieces;  ///< SHA-256 of each
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("header", self.header);
    v("certificate", self.certificate);
    v("summary", self.summary);
    v("validators", self.validators);
    v("scheduled", self.scheduled);
    v("bytes", self.bytes);
    v("pieces", self.pieces);
  }
};

struct Snapshot {
  std::uint64_t height = 0;
  Bytes head;  ///< the SnapshotHead
  std::vector<Bytes> pieces;
  std::uint64_t bytes = 0;  ///< of all pieces
};

/// The snapshot of a state, which is that after the last block that `hops` was told of. None where a work waits to be drawn for, a change of the
/// set of validators is not known any more, it would be too large, or there is no block.
[[nodiscard]] std::optional<Snapshot> take_snapshot(const State& state, const ValidatorHops& hops);

/// What a snapshot leads to.
struct Restored {
  State state;
  ValidatorHops hops;
};

/// Reads a snapshot piece by piece, as if who gave it had lied.
class SnapshotReader {
 public:
  /// `founding`: the set that decides the first block. Errors of a head that cannot be one: bad-snapshot, wrong-state-root, another-federation.
  [[nodiscard]] static Result<SnapshotReader> begin(const Cid& federation, ValidatorSet founding, Certify certify,
                                                    ByteView head);

  [[nodiscard]] std::uint64_t height() const { return header_.height; }
  [[nodiscard]] std::size_t pieces() const { return head_.pieces.size(); }
  /// How many of them are in.
  [[nodiscard]] std::size_t next() const { return next_; }
  [[nodiscard]] std::uint64_t bytes() const { return head_.bytes; }
  /// Takes the next piece. The error is final.
  [[nodiscard]] Status feed(ByteView piece);
  /// Once all pieces are in: the state, derived. Once.
  [[nodiscard]] Result<Restored> finish();

 private:
  SnapshotReader(const Cid& federation, ValidatorSet founding, Certify certify)
      : trusted_(federation, std::move(founding), std::move(certify)) {}

  [[nodiscard]] Status take_item(ByteView item);
  [[nodiscard]] Status end_list();
  [[nodiscard]] Status take_hop();
  /// The table of this number: reads an entry into it, or, with none, puts in what was read.
  [[nodiscard]] Status into_table(std::size_t number, std::optional<ByteView> entry);
  template <Entry Value>
  [[nodiscard]] Status add(MerkleMap<Value>& table, std::vector<Value>& batch, std::optional<ByteView> entry);

  /// Entries that are put into a table together.
  template <class Value>
  using Batch = std::vector<Value>;

  SnapshotHead head_;
  BlockHeader header_;
  StateSummary summary_;
  TrustedSets trusted_;
  std::vector<ShownHop> hops_;
  std::vector<Bytes> hop_items_;  ///< of the hop that is not whole yet
  State state_;
  Tables<Batch> batches_;
  std::size_t batch_bytes_ = 0;  ///< of the entries that wait
  std::optional<Digest> last_place_;  ///< in the table that is being read
  Bytes held_;  ///< the beginning of an item, with its length
  std::uint64_t read_ = 0;  ///< bytes
  std::size_t next_ = 0;
  std::size_t lists_ = 0;  ///< that have ended
};

}  // namespace mesh::ledger
