// Blocks by CID: small ones together in HOME/blocks/small.db (small_blocks.h), larger ones as files,
// HOME/blocks/<2 hex>/<CID>; and the roots whose DAGs the node may serve.
//
// Every block is checked against its CID when it is put and again when it is read from the disk, so a damaged one is
// never handed out: it is moved to HOME/blocks/quarantine and counts as missing. A file appears by rename and a row by
// transaction, so a killed process leaves no half block; its temporary files are removed at open.
// The blocks of shared files are read where they lie (BlockSource); put, erase, the quota and the count know only what is
// kept here.
// Bounds: the size of a block, the quota, the cache's bytes, the bytes and entries that the DAG readers return.
// Thread-safe. The disk is read and written on the caller's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/store/node_store.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/cid.h"

namespace mesh::store {

using BlockBytes = std::shared_ptr<const Bytes>;

struct BlockStoreOptions {
  std::uint64_t quota_bytes = std::uint64_t{64}
                              << 30;  ///< Of all blocks together; past it put() fails with `exhausted`.
  std::size_t cache_bytes = std::size_t{64} << 20;  ///< Of blocks kept in memory.
  std::size_t max_block_bytes = std::size_t{2} << 20;  ///< As in CAR sections (codec/car.h).
  std::size_t max_small_bytes = std::size_t{16} << 10;  ///< Above it a block is a file of its own.
};

/// Where a block may come from. What is shared in place is for those alone whom its owner names: whoever reads for
/// somebody else (a task, a peer) says `anywhere` only if that one may have it.
enum class From : std::uint8_t {
  open,  ///< this store, and of the attached source what anybody may have
  anywhere,  ///< this store and all of the attached source
};

/// Gives a block whose bytes are what the CID names.
using BlockReader = std::function<Result<BlockBytes>(const Cid&)>;
/// BlockStore::read_dag_file of blocks that lie anywhere. Each block is asked for when it is its turn, depth first.
[[nodiscard]] Status read_dag_file(const BlockReader& blocks, const Cid& root, std::uint64_t max_bytes,
                                   const std::function<Status(ByteView)>& sink);

/// Blocks that lie elsewhere, as parts of files in place (shares.h). Thread-safe.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  /// Bytes of the block; nullopt if it is not there, or not to be had so.
  [[nodiscard]] virtual std::optional<std::uint64_t> size(const Cid& cid, From from) const = 0;
  /// What lies there now; the block store checks it. Errors: not_found (not to be had so, too; the file is gone or
  /// changed), storage.
  [[nodiscard]] virtual Result<Bytes> read(const Cid& cid, From from) = 0;
  /// What was read is not what the CID names: it is not there any more.
  virtual void changed(const Cid& cid) = 0;
};

class BlockStore {
 public:
  /// Opens HOME/blocks of the node store's home, indexes what is there and removes what a killed process left behind.
  /// `node_store` keeps the declared roots and must outlive this object.
  [[nodiscard]] static Result<std::unique_ptr<BlockStore>> open(NodeStore& node_store, BlockStoreOptions options = {});
  ~BlockStore();
  BlockStore(const BlockStore&) = delete;
  BlockStore& operator=(const BlockStore&) = delete;

  /// What is not kept here may be had from `source`, which must outlive this object. Before anybody else uses it.
  void attach(BlockSource& source);

  /// Keeps a block; a power cut may still lose it (see sync). One that is there already is no error.
  /// Errors: invalid (the bytes are not what the CID names), exhausted (quota, or the block is too large), storage.
  [[nodiscard]] Status put(const Cid& cid, ByteView bytes);
  /// Waits until every block whose put() has returned would survive a power cut. One for many blocks costs little more
  /// than one for one. Errors: storage; then it is as if it had not been called.
  [[nodiscard]] Status sync();
  /// Errors: not_found, storage (damaged: the text says so; the block counts as missing from then on; or unreadable).
  [[nodiscard]] Result<BlockBytes> get(const Cid& cid, From from = From::open) const;
  [[nodiscard]] bool has(const Cid& cid, From from = From::open) const;
  /// Whether it is in this store.
  [[nodiscard]] bool keeps(const Cid& cid) const;
  /// Bytes of the block; not_found.
  [[nodiscard]] Result<std::uint64_t> size(const Cid& cid, From from = From::open) const;
  /// When it was put, in seconds since 1970. Errors: not_found (also where it lies elsewhere), storage.
  [[nodiscard]] Result<std::int64_t> written_s(const Cid& cid) const;
  /// Whether it was there. shrink() gives the disk back what small blocks took.
  [[nodiscard]] Result<bool> erase(const Cid& cid);
  [[nodiscard]] Status shrink();
  /// Every block, by CID, as of the call. Without the lock held: the callback may use the store.
  void for_each(const std::function<void(const Cid&, std::uint64_t size_bytes)>& each) const;
  [[nodiscard]] std::uint64_t total_bytes() const;
  [[nodiscard]] std::size_t count() const;

  /// Makes the DAG below `root` something that the node serves, for a reason (1 to 64 bytes: "task", "pin", ...). A
  /// root is declared while it has at least one reason. Takes effect at once; `completion` says when it is on the disk. What
  /// may wait is written however long the disk is full (WriteBatch::insists).
  void declare(const Cid& root, std::string_view reason, NodeStore::Completion completion,
               Urgency urgency = Urgency::now);
  void undeclare(const Cid& root, std::string_view reason, NodeStore::Completion completion,
                 Urgency urgency = Urgency::now);
  [[nodiscard]] bool is_declared(const Cid& root) const;
  /// Every declared root with its reasons, by CID.
  [[nodiscard]] std::map<Cid, std::vector<std::string>> declared() const;

  /// Puts every block of a CAR (each checked against its CID) and returns its roots. Blocks that were put before an
  /// error stay: each is right by itself. Errors: invalid (malformed, wrong hash), exhausted, storage.
  [[nodiscard]] Result<std::vector<Cid>> import_car(ByteView car);
  /// The same from a file of any size, holding one section at a time.
  [[nodiscard]] Result<std::vector<Cid>> import_car_file(const std::filesystem::path& file);

  /// The content of the UnixFS file (or raw leaf) `root`, in order, leaf by leaf; stops at the first error of `sink`.
  /// Errors: not_found (a block is missing: named), invalid (not a file, or malformed), exhausted (above `max_bytes`).
  [[nodiscard]] Status read_dag_file(const Cid& root, std::uint64_t max_bytes,
                                     const std::function<Status(ByteView)>& sink, From from = From::open) const;
  [[nodiscard]] Result<Bytes> read_dag_file(const Cid& root, std::uint64_t max_bytes, From from = From::open) const;

  /// The files below a UnixFS folder, sharded or not: relative path ("a/b.py") to the file's root. Of a single file: one
  /// entry with the path "". Errors: not_found, invalid (a name with '/', "." or "..", a symbolic link, malformed),
  /// exhausted (more than `max_entries` files and folders, since the answer lies in memory).
  [[nodiscard]] Result<std::map<std::string, Cid>> collect_tree(const Cid& root, From from = From::open,
                                                                std::size_t max_entries = 262'144) const;

 private:
  struct Impl;
  explicit BlockStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::store
