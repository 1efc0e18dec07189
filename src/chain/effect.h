// What a replica decides, as values: the runtime, or the simulator, carries them out in their order.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "chain/event.h"

namespace mesh::chain {

namespace notice {

/// The answer to event::Submit: the transaction's name where it waits now, else why it does not.
struct Submitted {
  std::uint64_t id = 0;
  Result<Cid> transaction;
};
/// The answer to event::SubmitBatch, in its order.
struct BatchSubmitted {
  std::uint64_t id = 0;
  std::vector<Result<Cid>> transactions;
};
/// The block is certain and durable.
struct BlockFinal {
  Height height = 0;
  Cid block;
  Digest state_root;
  std::size_t transactions = 0;
};
/// One that was submitted here is in a block that is certain and durable.
struct TransactionFinal {
  Cid transaction;
  Height height = 0;
};
/// One that was submitted here waits no longer, and is in no block that this replica has.
struct TransactionDropped {
  Cid transaction;
  Error error;
};
/// The height has been undecided for long: so many validators of so many were heard at it, this one among them.
struct Stalled {
  Height height = 0;
  std::size_t heard = 0;
  std::size_t validators = 0;
  std::string text;
};
struct EvidenceFound {
  Offence offence;
};
/// One account signed two transactions for one number: what a ledger::Evidence consists of.
struct ConflictFound {
  Bytes first;
  Bytes second;
};
/// It goes on from a snapshot of another node: it is at this height, and will never have the blocks before.
struct Skipped {
  Height height = 0;
};
/// It signs nothing, or signs again from this height on.
struct SignsFrom {
  Height height = 0;
};
/// For the operator. The text begins with a stable name.
struct Trouble {
  std::string text;
};

}  // namespace notice

using Notice = std::variant<notice::Submitted, notice::BatchSubmitted, notice::BlockFinal, notice::TransactionFinal,
                            notice::TransactionDropped, notice::Stalled, notice::EvidenceFound, notice::ConflictFound,
                            notice::Skipped, notice::SignsFrom, notice::Trouble>;

namespace effect {

/// All of it or nothing, after all writes before it. Answer: Durable.
struct Persist {
  std::uint64_t write = 0;  ///< counts from 1
  std::vector<FinalBlock> blocks;
  Height forget_below = 0;  ///< entries of the log of lower heights can go; 0: none
  std::vector<std::pair<Height, Bytes>> entries;  ///< to be appended to the log of consensus
  std::optional<Height> signs_from;
  std::vector<Offence> offences;
  /// To be kept, with the one before.
  std::shared_ptr<const ledger::Snapshot> snapshot;
  /// The chain goes on from that snapshot: blocks up to its height are not needed any more, and some before it are missing.
  bool begins_at_snapshot = false;
};
struct Send {
  PeerId peer;
  Bytes message;
};
/// To all that are connected.
struct Broadcast {
  Bytes message;
};
/// Replaces the timer of the same name.
struct SetTimer {
  Timer timer;
  std::chrono::milliseconds after{};
};
struct CancelTimer {
  Timer timer;
};
/// So many blocks at most, and as few as one where they have more bytes than that (answer_bytes). Answer: BlocksRead, also where
/// there is none.
struct ReadBlocks {
  PeerId peer;
  Height from = 0;
  std::size_t count = 0;
  std::size_t bytes = 0;
};
/// A part of a snapshot. Answer: PartRead, also where there is none.
struct ReadPart {
  PeerId peer;
  Height height = 0;
  std::uint32_t part = 0;
};
/// The peer did what no honest one does.
struct Blame {
  PeerId peer;
  Error error;
};
struct Notify {
  Notice notice;
};

}  // namespace effect

using Effect = std::variant<effect::Persist, effect::Send, effect::Broadcast, effect::SetTimer, effect::CancelTimer,
                            effect::ReadBlocks, effect::ReadPart, effect::Blame, effect::Notify>;
using Effects = std::vector<Effect>;

}  // namespace mesh::chain
