// What a node decides, as values: the runtime (or the simulator) carries them out, in order.
#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "node/event.h"

namespace mesh::node {

struct Effect;

/// How far a file is that this node fetches.
struct TransferProgress {
  Cid root;
  std::string path;  ///< as it was asked for
  std::uint64_t bytes = 0;  ///< of the file; 0: not known yet
  std::uint64_t bytes_here = 0;
  std::uint64_t bytes_per_s = 0;  ///< from all holders together, lately
  std::uint32_t holders = 0;  ///< that have sent some of it
};

/// One line of a job's or the node's story, for the API's event stream, the CLI and the log.
struct Notice {
  std::string kind;             ///< "job.phase", "job.shard", "job.log", "job.done", "peer.up", "node.refused", ...
  std::optional<Cid> job;
  std::optional<NodeId> peer;
  std::vector<task::ShardRange> shards;
  std::string phase;            ///< of a job: "bidding", "running", "verifying", "fetching", "reducing", "done"
  std::string text;             ///< one line for people
  Bytes bytes;                  ///< of "job.log"
  std::optional<TransferProgress> transfer;  ///< of "transfer.*"
};

namespace effect {

struct Publish {
  Topic topic;
  Bytes bytes;
};

enum class GossipVerdict : std::uint8_t { accept, reject, ignore };
struct JudgeGossip {
  std::uint64_t message = 0;
  GossipVerdict verdict = GossipVerdict::ignore;
};

struct Send {
  NodeId to;
  Channel channel;
  Bytes bytes;
};

/// Keep these blocks (already checked or not: they are named by their hash): small functions and inputs that came along
/// with a message. A cache; not served to others.
struct KeepBlocks {
  std::vector<Bytes> raw;
};

/// Fetch what is missing from the holders (in this order), then run the inputs of these numbers in the list `inputs`, one
/// after the other. Answers: ExecutionStarted, ExecutionLog, and ExecutionDone now and then until the last.
struct Execute {
  std::uint64_t id = 0;
  Cid intent;
  Cid function;
  Cid inputs;
  std::vector<std::uint32_t> shards;
  task::CapabilityScope scope;
  std::uint32_t fetch_ms = 0;
  std::vector<NodeId> holders;
  bool sealed = false;  ///< each input is a sealed file, to be opened first; its content is kept in memory alone
  /// Of sealed inputs: the keys of the shards, in their order. None: this node is one that the files are sealed for.
  std::vector<verification::WrappedKey> keys;
};
/// Wrap the keys of the sealed inputs of these numbers in the list `inputs` for another node. Answer: KeysWrapped.
struct WrapKeys {
  std::uint64_t id = 0;
  Cid intent;
  Cid inputs;
  NodeId to;
  std::vector<std::uint32_t> shards;
  std::vector<verification::WrappedKey> keys;  ///< as in Execute
};
struct CancelExecution {
  std::uint64_t id = 0;
};

/// Bring these roots (outputs and logs of accepted shards) into the store. Answer: ResultsFetched.
struct FetchResults {
  std::uint64_t id = 0;
  Cid intent;
  std::vector<std::pair<Cid, std::vector<NodeId>>> roots;
};

/// Make the input of the reducing function: the results in order, one after the other. Answer: ReduceInputBuilt.
struct BuildReduceInput {
  std::uint64_t id = 0;
  Cid intent;
  std::vector<Cid> results;
};

/// Serve the DAGs below these roots to peers, or stop serving all that were declared for the intent.
struct Declare {
  Cid intent;
  std::vector<Cid> roots;
};
struct Undeclare {
  Cid intent;
};

/// Write to the journal; when that is durable, carry out `then`, in order. Nothing of `then` may be seen outside before.
struct Persist {
  std::vector<JournalRecord> append;
  std::vector<Cid> drop;  ///< scopes whose records are no longer needed
  std::vector<Effect> then;
  bool urgent = false;  ///< somebody waits for it; else it may be written with a later one
};

/// Give this back to the node (Node::confirm), at once: the Persist that it came with is durable.
struct Confirm {
  std::uint64_t persist = 0;  ///< its number
  std::vector<std::pair<Cid, std::uint64_t>> jobs;  ///< so many records of these are durable with it
};

struct Notify {
  Notice notice;
};

/// Sign this with the node's key, in its account's next number, and bring it to the ledger; `account` and `sequence` are left to
/// who signs. Comes after all that had to be durable for it. Answer: Transacted, always, unless the node ends before; one
/// that cannot be brought to a block within a while is answered as unavailable. Nothing is done twice by asking twice: the
/// ledger refuses by name what has happened (escrow-exists, work-exists, answered-already, revealed-already, timed-out, ...).
struct Transact {
  std::uint64_t id = 0;
  ledger::Body body;  ///< a Lock, Anchor, Timeout, Settle or Refund
};

/// Tell at once what the ledger has of this intent, its escrow and works (LedgerChanged), and from now on what changes of them.
/// Not needed of what Node::interest() named when the node started.
struct Watch {
  Cid intent;
};

}  // namespace effect

struct Effect {
  std::variant<effect::Publish, effect::JudgeGossip, effect::Send, effect::KeepBlocks, effect::Execute,
               effect::WrapKeys, effect::CancelExecution, effect::FetchResults, effect::BuildReduceInput,
               effect::Declare, effect::Undeclare, effect::Persist, effect::Confirm, effect::Notify, effect::Transact,
               effect::Watch>
      value;
};
using Effects = std::vector<Effect>;

}  // namespace mesh::node
