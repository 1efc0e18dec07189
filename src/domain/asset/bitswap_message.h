// The messages of Bitswap 1.2 (https://specs.ipfs.tech/bitswap-protocol/): what a peer wants, blocks, and whether blocks
// are there. As protobuf (proto3), without the length in front of it.
//
// A CID of a want or a presence stays as the bytes that were sent: an answer has to name it in the same way, and others may
// want what Meshwork cannot name.
// Bounds: a message of at most 4 MiB; CIDs of 1 to 160 bytes; of the wants and the presences the first 1,024 each are read
// and the rest is not heard. What can go wrong: bytes that are no such message; unknown fields are passed over.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/cid.h"

namespace mesh::asset {

inline constexpr std::size_t max_bitswap_message_bytes = std::size_t{4} << 20;
inline constexpr std::size_t max_bitswap_entries = 1'024;  ///< wants, and presences, of one message
inline constexpr std::size_t max_bitswap_cid_bytes = 160;

struct BitswapMessage {
  struct Want {
    Bytes cid;
    std::uint32_t priority = 1;  ///< below 2^31; the higher the sooner
    bool cancel = false;  ///< no longer wanted
    bool have = false;  ///< only whether the block is there, not its bytes
    bool send_dont_have = false;  ///< an answer is wanted also if the block is not there
    bool operator==(const Want&) const = default;
  };
  struct Block {
    Bytes prefix;  ///< the CID up to its digest: version, codec, hash, length of the digest
    Bytes data;
    bool operator==(const Block&) const = default;
  };
  struct Presence {
    Bytes cid;
    bool has = false;
    bool operator==(const Presence&) const = default;
  };

  std::vector<Want> wants;
  bool is_full = false;  ///< the wants are all that there are: earlier ones are cancelled
  std::vector<Block> blocks;
  std::vector<Presence> presences;
  std::uint32_t pending_bytes = 0;  ///< of blocks that wait to be sent; below 2^31

  [[nodiscard]] bool is_empty() const { return wants.empty() && blocks.empty() && presences.empty() && !is_full; }
  bool operator==(const BitswapMessage&) const = default;
};

[[nodiscard]] Bytes encode_bitswap(const BitswapMessage& message);
/// Errors: invalid.
[[nodiscard]] Result<BitswapMessage> decode_bitswap(ByteView bytes);

/// The CID that these bytes are, in a want or a presence; nullopt if it is none that Meshwork can name.
[[nodiscard]] std::optional<Cid> cid_of_want(ByteView bytes);
/// The prefix of a block that answers a want of this CID, which Meshwork can name.
[[nodiscard]] Bytes prefix_of_want(ByteView cid);
/// The CID of a block as it came, by its bytes; nullopt for a prefix that names no CID of ours.
[[nodiscard]] std::optional<Cid> cid_of_block(const BitswapMessage::Block& block);

}  // namespace mesh::asset
