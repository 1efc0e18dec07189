// Keys of sealed inputs: how whoever may read a shard's input gets the key of it, and how the one that gives it is sure who
// that is.
//
// The inputs of a sealed task are sealed files (docs/design/protocols.md, "Sealed inputs") that the intent lists like any
// others. Their keys travel wrapped for one node each, bound to the task, the shard and that node; here they are bytes that
// nobody but an adapter can make or open. The publisher gives them to whom it has awarded a shard and to whom the draw gave
// a seat on it; where it does not, the shard's worker gives them to its verifiers, who show by the publisher's signed
// records that they were drawn.
//
// Bounds: max_key_shards shards in one record, max_key_proof records that show a draw. What can go wrong: a record that is
// malformed, or that shows no draw; each has a named refusal. A key that does not open its input is found when it is used.
#pragma once

#include "domain/verification/round.h"

namespace mesh::verification {

struct KeyPointTag;
struct WrappedKeyTag;
/// A public key drawn for one ShardKeys alone.
using KeyPoint = FixedBytes<KeyPointTag, 32>;
/// The key of one input, wrapped: 32 bytes and a tag of 16.
using WrappedKeyBytes = FixedBytes<WrappedKeyTag, 48>;

/// One of them, with what is needed to open it.
struct WrappedKey {
  KeyPoint point;
  WrappedKeyBytes key;
  bool operator==(const WrappedKey&) const = default;
};

/// What an adapter made: keys of some shards, in their order, for one node.
struct KeyParcel {
  KeyPoint point;
  std::vector<WrappedKeyBytes> keys;
};

inline constexpr std::size_t max_key_shards = 1024;
inline constexpr std::size_t max_key_proof = 512;

/// "These are the keys of these shards' inputs, for you alone." By the publisher, or by the worker of the shards.
struct ShardKeys {
  static constexpr std::string_view type = "shard-keys";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  NodeId to;
  std::vector<task::ShardRange> shards;  ///< 1 to max_key_shards of them
  KeyPoint point;
  std::vector<WrappedKeyBytes> keys;  ///< in the order of the shards
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("to", self.to);
    v("shards", self.shards);
    v("point", self.point);
    v("keys", self.keys);
  }
};

/// "I lack the keys of these shards." To the publisher, who knows what it awarded and drew; a verifier to the worker, too,
/// with what shows that it was drawn.
struct KeyRequest {
  static constexpr std::string_view type = "key-request";
  static constexpr std::uint64_t version = 1;
  Cid intent;
  std::vector<task::ShardRange> shards;  ///< 1 to max_key_shards of them
  /// To a worker: its commitment, and the records by which the asker has seats on these shards of it (RoundOpen,
  /// NonceReveals, Draw, and the Substitutions and Extensions since).
  std::optional<Cid> commitment;
  std::vector<Envelope> proof;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("intent", self.intent);
    v("shards", self.shards);
    v("commitment", self.commitment);
    v("proof", self.proof);
  }
};

/// The keys by shard; `shards` is how many the task has. Errors: none or too many, ranges that are none, or not as many keys
/// as shards.
[[nodiscard]] Result<std::vector<std::pair<std::uint32_t, WrappedKey>>> keys_of(const ShardKeys& record,
                                                                                std::uint32_t shards);
/// The shards that are asked for. Errors: as keys_of; more proof than any draw needs.
[[nodiscard]] Result<std::vector<std::uint32_t>> asked_for(const KeyRequest& request, std::uint32_t shards);

/// Whether the request shows that its signer has a seat on each of the shards that it asks for, which are all of the
/// worker's commitment `own`. The refusal is "not-drawn".
[[nodiscard]] Status check_drawn(const Field& field, const Signed<KeyRequest>& request,
                                 const Signed<receipt::Commitment>& own, const std::vector<std::uint32_t>& shards,
                                 const Cid& federation);

}  // namespace mesh::verification
