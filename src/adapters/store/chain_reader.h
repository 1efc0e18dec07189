// What is stored of a federation's chain: its blocks with their certificates, snapshots of its state, the log of consensus, from which height
// the replica signs, and offences. Reads from one file, beside the process that writes it (chain_store.h) or without one.
//
// Every row carries a SHA-256 of what it says and of where it stands, and the state how far the chain goes and how many
// entries the log has: so what is damaged is found when it is read, and so is what is not there any more. Nothing that is read
// was not written so.
//
// Bounds: one block is in memory at a time, or as many bytes as the caller of read() allows; a log of 1 GiB.
// What can go wrong: not there (not_found; `not-kept` begins the text where a chain begins with a snapshot, and a block before it is asked for),
// not a chain or damaged (storage; `damaged-block`, `damaged-snapshot` and `corrupt-log` begin the text where one of them cannot be had), written by a newer version (unsupported).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/cid.h"
#include "codec/ed25519.h"

namespace mesh::store {

/// Of a block, an entry or an offence: SQLite's integers have a sign.
inline constexpr std::uint64_t max_chain_height = (std::uint64_t{1} << 63) - 1;
/// For `signs_from`: it signs nothing.
inline constexpr std::uint64_t signs_never = ~std::uint64_t{0};
inline constexpr std::size_t max_log_bytes = std::size_t{1} << 30;

struct ChainBlock {
  std::uint64_t height = 0;
  Bytes certificate;
  Bytes block;
  bool operator==(const ChainBlock&) const = default;
};

/// A snapshot (domain/ledger/snapshot.h) as it is stored: part 0 is its head, the others its pieces.
struct ChainSnapshot {
  std::uint64_t height = 0;
  std::uint64_t bytes = 0;  ///< of its pieces
  bool operator==(const ChainSnapshot&) const = default;
};

struct ChainOffence {
  PublicKey offender;
  std::uint64_t height = 0;
  Bytes evidence;
  bool operator==(const ChainOffence&) const = default;
};

struct ChainEntry {
  std::uint64_t height = 0;
  Bytes bytes;
  bool operator==(const ChainEntry&) const = default;
};

struct ChainLog {
  std::vector<Bytes> entries;  ///< in the order in which they were appended, without what was forgotten
  std::optional<std::uint64_t> signs_from;  ///< absent: never persisted
  std::vector<ChainOffence> offences;
};

/// Thread-safe.
class ChainReader {
 public:
  /// Opens what is there for reading alone: no lock is needed, and a node may write it meanwhile. Each call sees what was durable
  /// before it. Where nothing may be written to the folder, it has to be a chain that was closed cleanly.
  /// A read may leave an index of the write-ahead log beside the file; the file itself is never changed.
  [[nodiscard]] static Result<std::unique_ptr<ChainReader>> open(const std::filesystem::path& file);
  ~ChainReader();
  ChainReader(const ChainReader&) = delete;
  ChainReader& operator=(const ChainReader&) = delete;

  [[nodiscard]] const Cid& federation() const;
  /// The height of the snapshot with which the chain begins here; 0: it begins with its first block.
  [[nodiscard]] Result<std::uint64_t> base() const;
  /// The highest height to which every block after the base was written; the base where there is none.
  [[nodiscard]] Result<std::uint64_t> height() const;
  /// Blocks from height `from` on in their order, `count` at most, and of no more than `bytes` together, each counted as 8 and
  /// what its certificate and block have; but always the first. None where there is none at `from`. Before a gap, or one that is damaged,
  /// it ends; where that is the first, the error names its height.
  [[nodiscard]] Result<std::vector<ChainBlock>> read(std::uint64_t from, std::size_t count, std::size_t bytes) const;
  /// Every block after `after`, or after the base where that is higher, on to height(), one in memory at a time. Stops at the first error of `each` and returns it; at the first
  /// block that is damaged or missing with `damaged-block`. `each` may read, too.
  [[nodiscard]] Status each_block(const std::function<Status(ChainBlock)>& each, std::uint64_t after = 0) const;
  /// The latest first.
  [[nodiscard]] Result<std::vector<ChainSnapshot>> snapshots() const;
  /// A part of a snapshot. Errors: not_found; `damaged-snapshot`.
  [[nodiscard]] Result<Bytes> part(std::uint64_t height, std::uint64_t number) const;
  /// Error: `corrupt-log` where an entry is damaged or missing, or the state is; then nobody knows what the replica has signed.
  /// `exhausted` past max_log_bytes.
  [[nodiscard]] Result<ChainLog> log() const;
  /// Every entry of the log in its order, one in memory at a time; otherwise as log().
  [[nodiscard]] Status each_entry(const std::function<Status(ChainEntry)>& each) const;
  /// In the order in which they were first written, without those that are damaged.
  [[nodiscard]] Result<std::vector<ChainOffence>> offences() const;

 private:
  struct Impl;
  explicit ChainReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::store
