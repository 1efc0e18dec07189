// Runs this node's replica of its federation's chain (chain/replica.h): gives it a disk, a clock, timers and streams to its peers, and
// carries out what it decides.
//
// A thread of its own runs the replica: to execute a block of thousands of transactions takes longer than the runtime's loop
// may stand still; up to four more open what is submitted in batches. Of two nodes the one with the smaller id opens the stream, which then serves both; a stream that ends is
// opened again, ever later, for as long as the peer is connected.
//
// Transactions of this node's own account are numbered and signed here. What the ledger would refuse as it stands, after what waits, is
// refused at once and uses no number up. What is signed is written down before anybody sees it, so that after a crash the same is said
// again and nothing else under its number. Where one is given up all the same, another takes its number, so that the later ones need not
// wait. Some are made without being asked for: a validator's chains for the beacon, what a verifier can run, evidence against accounts and
// validators, and, where enrolment is open, what makes a node a member that has followed the chain and is none.
//
// The account for which a node acts is the one for which its key signs, which is named by an earlier key where it was rotated. A key that
// the account is to have next is known here, and votes, before the ledger hears of it; from then on until the node's next start the new key
// signs what the account does, and the old one what the node says to its peers.
//
// Bounds: those of the replica and of the chain's storage; 32 MiB wait to be sent to one peer, which is then taken for gone; a stream
// that does not move for a minute is closed (replicas greet each other every ten seconds); a peer that did what no honest one does is
// left alone for a minute; 32 transactions of this node's account are under way, and 4,096 wait.
// A start goes on from the latest snapshot that has some blocks behind it: what the last ones showed is told to the node again.
// What can go wrong: the storage cannot be opened, or is of another federation (start says so); it cannot write (it tries until it can, and
// nothing is said to anybody that is not durable); the replica stops taking part (chain::Replica::stopped).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "adapters/store/chain_store.h"
#include "adapters/store/node_store.h"
#include "app/runtime/founding.h"
#include "app/runtime/stream_opener.h"
#include "chain/replica.h"
#include "domain/ledger/payment_gatherer.h"
#include "node/ledger_entries.h"

namespace mesh::app {

inline constexpr std::string_view ledger_protocol = "/meshwork/ledger/1";

class ChainHost {
 public:
  struct Settings {
    std::filesystem::path file;  ///< the chain's storage
    Founding founding;
    Seed seed;  ///< of the node's key
    std::optional<Seed> next;  ///< that the account was to have next: the node's own, where the ledger has taken it
    std::vector<Seed> former;  ///< that were the node's, the latest first; of all together max_own_keys vote
    /// The key may have signed elsewhere: where this storage is new nothing is signed until others, or the operator, show that it is
    /// safe.
    bool key_was_brought = false;
    store::NodeStore* store = nullptr;  ///< keeps the transaction that is under way; outlives the host
    node::Interest interest;  ///< of the node, in the ledger
    consensus::Timeouts timeouts;
    std::size_t max_queued_bytes = std::size_t{32} << 20;
    std::size_t snapshot_after = chain::Config().snapshot_after;
    std::chrono::milliseconds patience = chain::Config().patience;
    Duration stall{std::chrono::minutes(1)};
  };
  /// For the node's story; from the host's thread.
  struct Story {
    std::string kind;  ///< "ledger.block", "ledger.stalled", "ledger.trouble", "ledger.peer", ...
    std::optional<NodeId> peer;
    std::string text;
  };
  using Tell = std::function<void(Story)>;
  /// For the node: what there is, once after the start; and what has changed, for each block that is final and durable. From the host's
  /// thread.
  using Changed = std::function<void(node::event::LedgerChanged)>;

  /// Opens the storage and replays it; blocks until that is done. `opener` outlives it. Nothing else happens before begin(). Errors: those of
  /// store::ChainStore::open; invalid (the founding).
  [[nodiscard]] static Result<std::unique_ptr<ChainHost>> open(Settings settings, StreamOpener& opener, Tell tell,
                                                               Changed changed);
  /// Whose key the node has: Settings::next where the ledger says that it counts, as far as it is known here, else Settings::seed.
  [[nodiscard]] const Seed& seed() const;
  /// `intents` are those of the node's interest. Once.
  void begin(std::set<Cid> intents);
  /// open() and begin(), with the interest of the settings.
  [[nodiscard]] static Result<std::unique_ptr<ChainHost>> start(Settings settings, StreamOpener& opener, Tell tell,
                                                                Changed changed);
  /// stop()
  ~ChainHost();
  ChainHost(const ChainHost&) = delete;
  ChainHost& operator=(const ChainHost&) = delete;

  /// Ends streams, writes what is queued, joins the thread. Callbacks that have not been called by then are destroyed uncalled.
  void stop();

  // Any thread.

  void peer_up(const NodeId& peer);
  void peer_down(const NodeId& peer);
  /// Takes over an inbound stream of ledger_protocol, and owns its descriptor.
  void serve(const NodeId& peer, int descriptor);

  /// What became of a transaction.
  struct Made {
    Cid transaction;
    chain::Height height = 0;  ///< of the block with it; 0: it waits
  };
  using Done = std::move_only_function<void(Result<Made>)>;
  /// Its name, as soon as it waits here, for who does not wait until it is final. From the host's thread.
  using Named = std::move_only_function<void(const Cid&)>;
  enum class When : std::uint8_t {
    waiting,  ///< it waits here, and was handed on
    final,  ///< it is in a block that is certain and durable
  };
  /// Numbers and signs a transaction of this node's account (its `account` and `sequence` are filled in) and submits it in its turn. Errors: those of
  /// the ledger and the mempool; exhausted; denied (key-rotated: the account has another key than this node).
  void transact(ledger::Body body, When when, Done done, Named named = {});
  /// Gives this node's account another key, which is kept where the next start finds it; from now on this node may vote by it. Asked again for
  /// the same key while that is under way it waits, too. Errors: as transact; exhausted (keys-full: more than chain::max_own_keys).
  void rotate(const Seed& next, When when, Done done, Named named = {});
  /// Submits one that somebody signed.
  void submit(Bytes envelope, When when, Done done, Named named = {});
  /// What was taken waits here and was handed on; of the others why not, in their order. From the host's thread.
  using BatchDone = std::move_only_function<void(std::vector<Result<Cid>>)>;
  /// Submits many at once that somebody signed: as many as chain::decode_batch gives at most. Threads beside the host's open them, so
  /// that of two batches the later one may come first. What becomes of those that are taken is not told. Errors, of each: as above.
  void submit_batch(std::vector<Bytes> envelopes, BatchDone done);
  /// What this node can run. While it is a verifier the ledger is told, and again when that has become another by a quarter.
  struct Capacity {
    std::uint64_t memory_mb = 0;
    std::uint64_t fuel_per_second = 0;
    bool verifies = false;  ///< wants to be drawn, if it has the role
  };
  void attest(const Capacity& capacity);
  /// The node is interested in this intent, too: it is told what there is, and from now on what changes.
  void watch(const Cid& intent);
  /// What shows an intent's payment as far as it is known here, but not to the node: the escrow and the open works as they stand, works
  /// that ended in blocks that are not durable yet; and all changes of the set of validators.
  struct Shown {
    ledger::PaymentPart part;
    std::vector<Cid> hops;
  };
  /// `done` on the host's thread; what the node has been told of by then was told before.
  void show_payment(const Cid& intent, std::move_only_function<void(Shown)> done);
  /// Runs `look` on the host's thread. What it sees may be ahead of what is durable.
  void look(std::move_only_function<void(const chain::Replica&)> look);
  /// The operator knows that this key signed nothing from this height on that the log has not.
  void sign_from(chain::Height height);
  /// Blocks as they are stored, 64 at most and 4 MiB, but one at least where there is one; `done` on the host's thread.
  void read(chain::Height from, std::size_t count,
            std::move_only_function<void(Result<std::vector<store::ChainBlock>>)> done);

  [[nodiscard]] const Founding& founding() const;
  /// The account for which this node acts, as far as the chain is known here.
  [[nodiscard]] ledger::AccountId account() const;
  /// Whose account a key stands for (node::AccountKeys), as far as the chain is known here.
  [[nodiscard]] ledger::AccountId account_of(const PublicKey& key) const;

 private:
  struct Impl;
  explicit ChainHost(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::app
