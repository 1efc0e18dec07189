// What happens to a replica: values that the runtime, or the simulator, makes. Replica::step takes one at a time, with what
// the host's clock says.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "chain/wire.h"
#include "domain/identity/identity.h"
#include "domain/ledger/transactions.h"

namespace mesh::chain {

/// As the transport authenticated it.
using PeerId = identity::NodeId;

/// From which height on the replica may sign: 0 is from the beginning, `never` until it is certain what it has signed.
inline constexpr Height never = ~Height{0};

struct Timer {
  enum class Kind : std::uint8_t {
    consensus,  ///< `of` says which
    greet,  ///< peers are told again how far the chain goes
    hand_on,  ///< what waits is handed to all peers again
    lag,  ///< others are a little ahead: fetch what still lacks then
    fetch,  ///< the answer to the ask of this `number` is late
    part,  ///< so is the next part of a snapshot
    alone,  ///< no blocks were fetched for long, for a snapshot
    patience,  ///< the blocks that others have were fetched for long
    go_on,  ///< there was more to do than one step does
    stall,  ///< the height has been undecided for long
    due,  ///< something of the ledger happens by itself: a block may be wanted for it
  };
  Kind kind = Kind::greet;
  std::uint64_t number = 0;
  consensus::Timer of;

  auto operator<=>(const Timer&) const = default;
};

/// Two things that a validator signed and that exclude each other.
struct Offence {
  PublicKey offender;
  Height height = 0;
  Bytes evidence;  ///< for consensus::check_evidence
  bool operator==(const Offence&) const = default;
};

namespace event {

/// A block that storage has, from that after the replica's height on in their order, before Started.
struct Replayed {
  FinalBlock block;
};
/// Storage has nothing more. Before this nothing leaves the replica.
struct Started {
  std::vector<Bytes> log;  ///< of consensus, in the order in which it was appended, without what was forgotten
  Height signs_from = 0;  ///< as last persisted; `never` for a storage that was restored from a backup
  std::vector<Offence> offences;  ///< as persisted
  Height base = 0;  ///< storage has no block up to this one
  Height snapshot = 0;  ///< the latest that storage has; 0: none
  std::uint64_t snapshot_bytes = 0;  ///< of that one
};
/// A write (effect::Persist) and all before it are durable.
struct Durable {
  std::uint64_t write = 0;
};

/// A transaction from this node's own people and programs. Answer: notice::Submitted.
struct Submit {
  std::uint64_t id = 0;
  Bytes envelope;
};
/// Transactions that people and programs numbered and signed themselves, opened elsewhere: that is the dear part, and needs nothing of
/// the replica. What becomes of them is not told. At most what one message hands on (max_batch_transactions, max_batch_bytes). Answer:
/// notice::BatchSubmitted.
struct SubmitBatch {
  std::uint64_t id = 0;
  std::vector<ledger::Opened> transactions;
};
/// It is connected; what it sends comes after this.
struct PeerUp {
  PeerId peer;
};
/// Nothing more comes of that connection: what was asked for over it is not awaited any more, and would not be taken.
struct PeerDown {
  PeerId peer;
};
/// One message of a peer's stream, as FrameReader cut it.
struct Received {
  PeerId peer;
  Bytes message;
};
struct Elapsed {
  Timer timer;
};
/// For effect::ReadBlocks: what is there of it, in order.
struct BlocksRead {
  PeerId peer;
  Height from = 0;
  std::vector<FinalBlock> blocks;
};
/// For effect::ReadPart: empty where there is none.
struct PartRead {
  PeerId peer;
  Height height = 0;
  std::uint32_t part = 0;
  Bytes bytes;
};
/// The operator knows that this key signed nothing from this height on that the log has not.
struct SignFrom {
  Height height = 0;
};
/// Another key by which this node may vote, at the next height whose set has it. One that it has already, or one past
/// max_own_keys, is left out: Replica::has_key says so.
struct AddKey {
  Seed seed;
};

}  // namespace event

using Event = std::variant<event::Replayed, event::Started, event::Durable, event::Submit, event::SubmitBatch,
                           event::PeerUp, event::PeerDown, event::Received, event::Elapsed, event::BlocksRead,
                           event::PartRead, event::SignFrom, event::AddKey>;

}  // namespace mesh::chain
