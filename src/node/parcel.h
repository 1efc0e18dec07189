// A Parcel: what one direct message carries. Several signed records, small blocks along with them, pieces of live logs.
//
// Bounds: 1 MiB as bytes (the transport's frame), 4096 envelopes, 1024 blocks. Logs are not signed: they are a courtesy while a run
// is under way; the log that counts is named in the receipt.
#pragma once

#include "codec/envelope.h"

namespace mesh::node {

/// A piece of a running shard's log.
struct LogPiece {
  Cid intent;
  std::uint32_t shard = 0;
  Bytes bytes;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("shard", self.shard);
    v("bytes", self.bytes);
  }
};

struct Parcel {
  static constexpr std::string_view type = "parcel";
  static constexpr std::uint64_t version = 1;
  std::vector<Envelope> envelopes;
  std::vector<Bytes> blocks;  ///< raw blocks: small results and logs
  std::vector<LogPiece> logs;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("envelopes", self.envelopes);
    v("blocks", self.blocks);
    v("logs", self.logs);
  }
};

inline constexpr std::size_t max_parcel_bytes = std::size_t{1} << 20;
inline constexpr std::size_t max_parcel_envelopes = 4096;
inline constexpr std::size_t max_parcel_blocks = 1024;  // Each is written to the disk.

}  // namespace mesh::node
