// Sealed inputs of tasks as the node's own store has them: whether they are what a task can have, their keys for others, and
// their content for a run.
//
// A key is had from the file's header, which names the publisher as one that the file is sealed for: so nothing has to be
// kept by which an input is read again after a restart. What was opened is in memory alone.
//
// Bounds: cached_keys keys (the publisher wraps each for a worker and for its verifiers); what a caller allows of content.
// Blocks the caller; one thread at a time.
#pragma once

#include <deque>
#include <map>
#include <optional>

#include "adapters/sealing/sealing.h"
#include "adapters/store/block_store.h"
#include "domain/verification/keys.h"

namespace mesh::app {

class SealedInputs {
 public:
  static constexpr std::size_t cached_keys = 16'384;

  SealedInputs(const store::BlockStore& blocks, const Seed& own) : blocks_(blocks), own_(own) {}

  /// Whether it is a file that is sealed for `node`; no key is looked at. Errors: invalid (it is not: says so), not_found,
  /// storage.
  [[nodiscard]] static Status check(const store::BlockStore& blocks, const Cid& input, const identity::NodeId& node);

  /// A key that came wrapped for this node. Error: denied.
  [[nodiscard]] Result<sealing::ContentKey> unwrap(const Cid& intent, std::uint32_t shard,
                                                   const verification::WrappedKey& wrapped);
  /// The key of a file that is sealed for this node. Errors: invalid (it is not, or is damaged), not_found, storage,
  /// unsupported (another version).
  [[nodiscard]] Result<sealing::ContentKey> own_key(const Cid& input);

  /// The content. Errors: denied (the key is another's), invalid (no sealed file, or damaged), unsupported (another version),
  /// exhausted (more than `max_bytes`, as it is sealed), not_found, storage.
  [[nodiscard]] Result<Bytes> open(const Cid& input, const sealing::ContentKey& key, std::uint64_t max_bytes) const;

 private:
  const store::BlockStore& blocks_;
  Seed own_;
  std::map<Cid, sealing::ContentKey> keys_;
  std::deque<Cid> key_order_;
  /// Of the keys that came together last: they share a secret, and to agree on it takes longer than all else.
  struct Parcel {
    Cid intent;
    verification::KeyPoint point;
    sealing::KeyUnwrapper unwrapper;
  };
  std::optional<Parcel> parcel_;
};

}  // namespace mesh::app
