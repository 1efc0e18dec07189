// What happens to a node: every Event is a value that an adapter, the API or the simulator made. Node::step takes one
// at a time, with the moment at which it is taken.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "domain/identity/identity.h"
#include "domain/ledger/payment_proof.h"
#include "domain/receipt/receipt.h"
#include "domain/task/intent.h"
#include "domain/verification/keys.h"

namespace mesh::node {

using identity::NodeId;

/// Gossip topics, `/meshwork/1/<federation>/<name>`.
enum class Topic : std::uint8_t { intents, events, capabilities };
/// Streams of direct messages, `/meshwork/<name>/1`: `offer` carries bids and refusals both ways, `award` all that a
/// publisher tells its members once the bidding is over (one stream, so that what builds on another record comes after
/// it), `receipt` what the members answer.
enum class Channel : std::uint8_t { offer, award, receipt };

/// One record of the durable journal (effect::Persist), as the store gives it back after a restart.
struct JournalRecord {
  Cid scope;         ///< the intent that it belongs to
  std::string kind;  ///< "intent", "offer", ...; see node/journal.h
  Bytes bytes;
};

/// What a person asks for: becomes a TaskIntent. The function, the shard list and all they link to are in the store
/// already.
struct JobSpec {
  Cid function;
  Cid inputs;                        ///< of the ShardList
  std::uint32_t shards = 0;
  std::optional<Cid> reduce;         ///< function that folds the results
  task::CapabilityScope scope;
  std::uint64_t fee = 0;
  std::optional<std::uint32_t> verifiers;  ///< empty: the policy's minimum if there are peers enough, else unverified
  std::uint64_t value = 0;  ///< of task::TaskIntent
  std::uint32_t sample = task::TaskIntent::everything;  ///< of task::TaskIntent
  std::uint32_t bid_window_ms = 0;  ///< 0 = the policy's
  task::PhaseLimits limits;
  std::string label;
  std::int64_t created_ms = 0;  ///< wall clock, for people
  std::optional<bool> sealed;  ///< the inputs are sealed files that this node can open; absent: they are not

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("function", self.function);
    v("inputs", self.inputs);
    v("shards", self.shards);
    v("reduce", self.reduce);
    v("scope", self.scope);
    v("fee", self.fee);
    v("verifiers", self.verifiers);
    v("value", self.value);
    v("sample", self.sample);
    v("bid_window_ms", self.bid_window_ms);
    v("limits", self.limits);
    v("label", self.label);
    v("created_ms", self.created_ms);
    v("sealed", self.sealed);
  }
};

/// What the market asks of a member of a federation with a ledger.
struct Standing {
  NodeId node;  ///< its account's name, which stays
  PublicKey key;  ///< that signs for it now: the node that acts for the account is known by it
  std::uint32_t score = 0;  ///< of its reputation, 0 to 1000
  bool works = false;  ///< has the role
  bool verifies = false;  ///< has the role and says that it wants to be drawn
  std::uint64_t free_bond = 0;  ///< what new works can put at stake: no other work and no validator's seat has it
  std::uint64_t balance = 0;
};

namespace event {

/// Time has come: something may be due (Node::next_deadline).
struct Tick {};

struct PeerUp {
  NodeId peer;
};
struct PeerDown {
  NodeId peer;
};
struct PeerRoundTrip {
  NodeId peer;
  Duration smoothed;
};

/// A gossip message that waits for a judgement (effect::JudgeGossip).
struct Gossip {
  Topic topic;
  std::uint64_t message = 0;
  NodeId source;
  Bytes bytes;
};

/// A direct message: a Parcel (node/parcel.h). `from` is authenticated by the transport.
struct Message {
  NodeId from;
  Channel channel;
  Bytes bytes;
};

/// A message certainly or possibly did not arrive.
struct SendFailed {
  NodeId to;
  Channel channel;
  std::string reason;
};

/// A run (effect::Execute) fetched what it needs and began.
struct ExecutionStarted {
  std::uint64_t id = 0;
};
/// More of a shard's log.
struct ExecutionLog {
  std::uint64_t id = 0;
  std::uint32_t shard = 0;
  Bytes bytes;
};
/// Some of a run's shards, or all that are left, have come to their end; each shard of the run comes exactly once, in any
/// order. The error is the host's (could not fetch, could not compile in time); a guest's failure is an Outcome.
struct ExecutionDone {
  struct Output {
    receipt::Finding finding;
    task::ExecutionSummary summary;
    Bytes result_block;  ///< the block that finding.result names, when small enough to send along; else empty
    Bytes log_block;  ///< likewise for finding.log
  };
  struct Shard {
    std::uint32_t shard = 0;
    Result<Output> result;
    bool is_key_wrong =
        false;  ///< of a result that is an error: the key that came with the shard does not open its input
  };
  std::uint64_t id = 0;
  std::vector<Shard> shards;
  bool last = true;  ///< nothing more comes of this run
};

/// For effect::WrapKeys: the keys of its shards, in their order, or why there are none. `invalid` says that an input is not
/// what its publisher can open; anything else may be better another time.
struct KeysWrapped {
  std::uint64_t id = 0;
  NodeId to;
  std::vector<std::uint32_t> shards;
  Result<verification::KeyParcel> keys;
};

/// The results that the publisher asked for (effect::FetchResults) are in the store, or could not be had.
struct ResultsFetched {
  std::uint64_t id = 0;
  Status status;
};

/// For effect::BuildReduceInput: the folded function's input, or why there is none.
struct ReduceInputBuilt {
  std::uint64_t id = 0;
  Result<Cid> inputs;  ///< of a ShardList with one input
};

/// The API's call. `entropy` is 32 fresh random bytes: what makes this task another than the last.
struct Submit {
  JobSpec spec;
  Digest entropy;
};
struct StopJob {
  Cid job;
};
/// `mesh-cli offer-execution`: offer on a known intent by hand, at this cost.
struct OfferByHand {
  Cid intent;
  std::uint64_t cost = 0;
};
/// What this host measured of itself.
struct HostMeasured {
  std::uint64_t fuel_per_second = 0;
};

/// What a transaction came to (effect::Transact): the height of the final block that it is in, or why it is in none. A refusal
/// of the ledger's begins with its name; `unavailable` says that it was not tried, and may be asked for again. The
/// LedgerChanged of that block comes first, so whoever hears of a height knows what it changed.
struct Transacted {
  std::uint64_t id = 0;
  Result<std::uint64_t> height;
};

/// The ledger after a final block, as far as it concerns this node (node/ledger_entries.h makes these); once after the start
/// with all that there is, before anything else of the ledger; and in answer to effect::Watch.
struct LedgerChanged {
  std::uint64_t height = 0;
  std::uint64_t time_ms = 0;  ///< of the last final block
  Cid block;  ///< it
  std::uint64_t now_ms = 0;  ///< the host's own clock, in milliseconds since 1970: an idle ledger has no time
  NodeId self;  ///< the account for which this node acts
  ledger::Parameters parameters;
  bool whole = false;  ///< what concerns the node and is not here is not there (any more)
  std::vector<ledger::Escrow> escrows;
  std::vector<ledger::Work> works;
  std::vector<Standing> members;  ///< whoever may work or verify, in the whole; else those of whom something changed
  std::vector<Envelope> receipts;  ///< of workers, that this block's settlements show of works that concern the node
  std::vector<ledger::PaymentPart> payments;  ///< what shows what became of what the node locked
};

}  // namespace event

using Event =
    std::variant<event::Tick, event::PeerUp, event::PeerDown, event::PeerRoundTrip, event::Gossip, event::Message,
                 event::SendFailed, event::ExecutionStarted, event::ExecutionLog, event::ExecutionDone,
                 event::KeysWrapped, event::ResultsFetched, event::ReduceInputBuilt, event::Submit, event::StopJob,
                 event::OfferByHand, event::HostMeasured, event::Transacted, event::LedgerChanged>;

}  // namespace mesh::node
