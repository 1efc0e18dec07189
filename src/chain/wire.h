// What replicas of a chain say to each other on a stream of `/meshwork/ledger/1`: messages, each behind its length as four
// big-endian bytes. docs/design/protocols.md, "Replicas", has the layouts.
//
// Bounds: each kind of message has the largest size that it can have, and is refused as soon as its first byte is there where
// the length is beyond it; a cut message is held by one FrameReader for each stream, and no more than one. Errors: too-large
// (exhausted), unknown-kind, malformed (invalid).
#pragma once

#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "adapters/consensus/consensus.h"
#include "domain/ledger/block.h"
#include "domain/ledger/snapshot.h"

namespace mesh::chain {

using consensus::Height;

/// Of a block as consensus carries it.
inline constexpr std::size_t max_block_bytes = consensus::max_block_bytes;
/// A certificate of the most validators that consensus knows.
inline constexpr std::size_t max_certificate_bytes = 47 + 96 * consensus::max_validators;
/// Blocks in one answer; together they have no more bytes than the largest of them may have alone.
inline constexpr std::size_t max_range_blocks = 64;
inline constexpr std::size_t max_range_bytes = max_block_bytes + max_certificate_bytes + 8;
/// Transactions that are handed on together.
inline constexpr std::size_t max_batch_transactions = 1024;
inline constexpr std::size_t max_batch_bytes = std::size_t{1} << 20;
/// A head is smaller: it has the hashes of at most 1,024 pieces, and four sets of validators.
inline constexpr std::size_t max_part_bytes = ledger::snapshot_piece_bytes;
/// Of any message.
inline constexpr std::size_t max_message_bytes = max_range_bytes + 16;

/// A block that is final, as it is stored and sent.
struct FinalBlock {
  Height height = 0;
  Bytes certificate;
  Bytes block;
  bool operator==(const FinalBlock&) const = default;
};

namespace message {

/// How far the sender's chain goes.
struct Hello {
  Cid federation;
  Height height = 0;  ///< of the latest block that is durable there; 0: none
  Digest block;  ///< in the CID of that block's header; at height 0 in that of the charter
  Height base = 0;  ///< blocks up to this one are not there: it began with a snapshot of this height
  Height snapshot = 0;  ///< of the latest snapshot that can be had there; 0: none
  bool operator==(const Hello&) const = default;
};
/// For consensus::Message.
struct Vote {
  ByteView bytes;
};
/// Envelopes.
struct Transactions {
  std::vector<Bytes> envelopes;
  bool operator==(const Transactions&) const = default;
};
struct Ask {
  Height from = 0;
  std::size_t count = 0;
  bool operator==(const Ask&) const = default;
};
/// The answer: blocks from this height on, fewer than were asked for where they have too many bytes or are not there.
struct Blocks {
  Height from = 0;
  std::vector<FinalBlock> blocks;
  bool operator==(const Blocks&) const = default;
};

/// For a part of the snapshot of this height: 0 is its head, and n the n-th piece.
struct AskPart {
  Height height = 0;
  std::uint32_t part = 0;
  bool operator==(const AskPart&) const = default;
};
/// The answer. Empty: it is not there any more.
struct Part {
  Height height = 0;
  std::uint32_t part = 0;
  Bytes bytes;
  bool operator==(const Part&) const = default;
};

}  // namespace message

using Message = std::variant<message::Hello, message::Vote, message::Transactions, message::Ask, message::Blocks,
                             message::AskPart, message::Part>;

// Without the length before them.
[[nodiscard]] Bytes encode(const message::Hello& hello);
[[nodiscard]] Bytes encode(const message::Vote& vote);
[[nodiscard]] Bytes encode(const message::Transactions& transactions);
[[nodiscard]] Bytes encode(const message::Ask& ask);
[[nodiscard]] Bytes encode(const message::Blocks& blocks);
[[nodiscard]] Bytes encode(const message::AskPart& ask);
[[nodiscard]] Bytes encode(const message::Part& part);

/// Reads one message. A Vote is a view into `bytes`.
[[nodiscard]] Result<Message> decode(ByteView bytes);

/// What follows the kind in a message of transactions, from who has signed some and is no peer. Errors: too-large (exhausted), malformed.
[[nodiscard]] Result<std::vector<Bytes>> decode_batch(ByteView bytes);

/// How many bytes of an answer a block takes.
[[nodiscard]] inline std::size_t answer_bytes(const FinalBlock& block) {
  return 8 + block.certificate.size() + block.block.size();
}

/// A message with its length before it.
[[nodiscard]] Bytes framed(ByteView message);

/// Cuts one stream into messages. After an error nothing more is read of it.
class FrameReader {
 public:
  /// Takes what came next. The messages that are whole now go to `taken`.
  [[nodiscard]] Status read(ByteView bytes, std::vector<Bytes>& taken);

 private:
  [[nodiscard]] Status check_head() const;
  Bytes held_;  ///< the beginning of a message, with its length
  std::optional<Error> failed_;
};

}  // namespace mesh::chain
