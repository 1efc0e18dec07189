// Who is who: a node's key in its spellings (did:key, libp2p PeerId), and the charter that names a federation.
//
// A node has one Ed25519 key. Nothing here draws or stores one: the key comes in as a value.
#pragma once

#include "codec/ed25519.h"
#include "codec/envelope.h"
#include "codec/multibase.h"

namespace mesh::identity {

/// A node, named by its Ed25519 key.
using NodeId = PublicKey;

/// "did:key:z6Mk...": multibase base58btc of the multicodec ed25519-pub (0xed 0x01) and the key.
/// Spec: https://w3c-ccg.github.io/did-key-spec/
[[nodiscard]] std::string did_of(const NodeId& node);
/// "12D3Koo...": the base58btc identity multihash of the libp2p public key.
/// Spec: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
[[nodiscard]] std::string peer_id_of(const NodeId& node);
/// Reads either spelling; refuses other key types, keys of small order and malformed text.
[[nodiscard]] Result<NodeId> parse_node(std::string_view text);
/// The last eight characters of the PeerId, which differ between nodes: for logs and tables.
[[nodiscard]] std::string short_name(const NodeId& node);

/// What founds a federation. Until there is a ledger, `federation = NAME` derives one from the name alone.
struct Charter {
  static constexpr std::string_view type = "charter";
  static constexpr std::uint64_t version = 1;

  std::string name;             ///< 1 to 64 characters of a-z, 0-9 and '-'
  std::vector<Cid> parents;     ///< federations that this one came from
  std::vector<NodeId> founders; ///< founding members; none without a ledger
  Cid policy;                   ///< the first policy
  std::optional<Cid> ledger;    ///< of the genesis record (ledger/genesis.h); left out where there is no ledger

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("name", self.name);
    v("parents", self.parents);
    v("founders", self.founders);
    v("policy", self.policy);
    v("ledger", self.ledger);
  }
};

/// Whether a federation may be called so: 1 to 64 characters of a-z, 0-9 and '-'.
[[nodiscard]] Status check_name(std::string_view name);

/// The federation's name on the wire: the CID of the charter that `name` and its first policy give.
[[nodiscard]] Result<Cid> derive_federation(std::string_view name, const Cid& policy);

/// A node's own key with the federation it signs in. Holds the secret: pass by reference, never print.
class Signer {
 public:
  Signer(const Seed& seed, const Cid& federation) : seed_(seed), id_(public_key_of(seed)), federation_(federation) {}

  template <record::Typed T>
  [[nodiscard]] Envelope seal(const T& value) const {
    return mesh::seal(value, federation_, seed_, id_);
  }
  /// A record with its envelope, as if it had been received and checked.
  template <record::Typed T>
  [[nodiscard]] Signed<T> sign(T value) const {
    Envelope envelope = seal(value);
    const Cid cid = envelope.cid();
    return {std::move(value), id_, cid, std::move(envelope)};
  }
  /// A secret that only this node can derive, and derives again after a restart.
  [[nodiscard]] Digest secret(std::string_view domain, std::initializer_list<ByteView> parts) const {
    return derive_secret(seed_.view(), domain, parts);
  }
  [[nodiscard]] const NodeId& id() const { return id_; }
  [[nodiscard]] const Cid& federation() const { return federation_; }

 private:
  Seed seed_;
  NodeId id_;
  Cid federation_;
};

}  // namespace mesh::identity
