// One replica of a federation's chain: the ledger and the agreement on it, joined, as a step from events to effects.
//
// It has no clock, no file, no socket, no thread and no random source, and comes out alike for the same events: the simulator
// runs it in virtual time. With a seed it is a validator in the heights whose set has its key; without one it follows.
//
// A transaction waits in the mempool and is handed to all peers until it is in a block. Whoever holds one that can be executed
// wakes consensus; whose turn it is proposes. A proposed block is executed before it is voted for, and committed once it is
// decided; what was decided leaves the replica when it is durable (outbox.h). A block without transactions is made only where the
// ledger wants it (Ledger::wants_empty_block), and none before the last one is durable. Who is behind fetches blocks with their certificates (fetch.h) and checks both as if it had
// been there. Who is behind for long fetches a snapshot beside them (domain/ledger/snapshot.h), and goes on from it. Whenever the chain has grown by
// much a replica keeps a snapshot of its state, to start from and for others. docs/design/protocols.md, "Replicas".
//
// Bounds: those of the ledger, the mempool, consensus, the wire and the fetches; 4,096 transactions submitted here are followed
// to their end; 64 offences, 4,096 accounts with conflicts, 4,096 transactions that the present state refuses and the latest
// 32,768 that were handed on are remembered; the names of the last 65,536 blocks are known; past
// 256 writes under way nothing more is taken from peers; one step executes 4 MiB of fetched blocks and asks for another.
// Errors, of submissions: those of the ledger and the mempool, submissions-full (exhausted), not-started, stopped (unavailable).
// Of peers (effect::Blame): those of wire.h, consensus.h and of transactions that no honest peer hands on, other-federation,
// other-chain, unasked-blocks, bad-snapshot and its like, fork-refused, wrong-transactions. For the operator (notice::Trouble): damaged-chain, corrupt-log, certified-refused,
// forgotten-signature, other-chain, peers-full, and what stops consensus.
//
// Not thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_set>

#include "chain/effect.h"
#include "chain/fetch.h"
#include "chain/join.h"
#include "chain/opened_memory.h"
#include "chain/outbox.h"
#include "domain/ledger/mempool.h"

namespace mesh::chain {

inline constexpr std::size_t max_followed = 4096;
inline constexpr std::size_t max_offences = 64;
inline constexpr std::size_t max_conflicted = 4096;
inline constexpr std::size_t max_refused = 4096;
inline constexpr std::size_t max_handed_on = std::size_t{1} << 14;
inline constexpr std::size_t max_known_blocks = std::size_t{1} << 16;
inline constexpr std::uint64_t max_writes_under_way = 256;
/// As many as consensus keeps of one height.
inline constexpr std::size_t max_candidates = 8;
/// Keys of one node.
inline constexpr std::size_t max_own_keys = 8;
/// Blocks between two snapshots that are kept, at least: of the last two the first is always so far behind the last block.
inline constexpr Height snapshots_apart = 16;
/// To see that there is something to propose, so many transactions are executed first, and then all.
inline constexpr std::size_t max_tried_to_wake = 64;
inline constexpr std::size_t max_step_bytes = std::size_t{4} << 20;
/// Of transactions that are handed on again.
inline constexpr std::size_t hand_on_bytes = std::size_t{64} << 10;

struct Config {
  /// Of all keys by which this node may vote, 8 at most: at each height the one that stands in the set does. So who rotates the
  /// key of a validator gives the node the next one before (or with event::AddKey). A follower has none.
  std::vector<Seed> seeds;
  /// Of what was opened; null: one of its own.
  std::shared_ptr<OpenedMemory> memory;
  /// What the validator puts into the header of a block that follows on this ledger: the next link of its hash chain. Asked
  /// more than once for one height, it has to say the same. Without it there is none: zeros.
  std::function<Digest(const ledger::Ledger& ledger, const ledger::AccountId& validator)> beacon;
  /// Sees each block before it changes the ledger, those of the storage, too, for who has to know what it changes.
  std::function<void(const ledger::OpenedBlock& block, const ledger::Draft& draft, ByteView certificate)> committing;
  /// Before it goes on from another's snapshot, and after.
  std::function<void()> skipping;
  std::function<void()> skipped;
  consensus::Timeouts timeouts;
  /// A snapshot is kept when the blocks since the last one have so many bytes, or twice as many as it has where that is more, and by its
  /// key up to a half above. 0: never.
  std::size_t snapshot_after = std::size_t{16} << 20;
  Height apart = snapshots_apart;
  /// Who has fetched blocks for so long, and is still so many behind a peer's snapshot, asks for that. (Who can have the blocks soon has all of
  /// the chain then, and can check it.)
  std::chrono::milliseconds patience{10'000};
  Height skip = snapshots_apart;
  /// So long no blocks are fetched beside it, once until this replica is level again: nobody can hold it up for longer.
  std::chrono::milliseconds alone{60'000};
  std::chrono::milliseconds part{30'000};
  std::chrono::milliseconds greet{10'000};
  std::chrono::milliseconds hand_on{3'000};
  std::chrono::milliseconds lag{300};  ///< a block that others have may be on its way here
  std::chrono::milliseconds fetch{5'000};
  std::chrono::milliseconds stall{10'000};
  std::chrono::milliseconds due{600'000};  ///< at most, until it looks at the clock again: a host's may be set
};

class Replica {
 public:
  /// `ledger` is at height 0. With a snapshot of this replica's own storage it goes on from that.
  Replica(Config config, ledger::Ledger ledger, std::optional<ledger::Restored> restored = {});

  /// `now_ms`: milliseconds since 1970, as the host believes. Blocks are dated and judged by it, nothing else is.
  [[nodiscard]] Effects step(std::uint64_t now_ms, const Event& event);

  /// May be ahead of what is durable.
  [[nodiscard]] const ledger::Ledger& ledger() const { return ledger_; }
  [[nodiscard]] const ledger::Mempool& mempool() const { return mempool_; }
  /// How the validators changed up to the last block.
  [[nodiscard]] const ledger::ValidatorHops& hops() const { return hops_; }
  /// It has no block up to this one.
  [[nodiscard]] Height base() const { return base_; }
  [[nodiscard]] Height durable_height() const { return outbox_.durable_height(); }
  /// `never`: nothing is signed until what others show, or the operator, allows it.
  [[nodiscard]] Height signs_from() const { return signs_from_; }
  /// Whether a peer is no higher than this one, as it says: a hint that the chain was followed to its end, and no more.
  [[nodiscard]] bool is_level() const { return fetches_.is_level(ledger_.height()); }
  /// Whether it votes by this key where the set has it.
  [[nodiscard]] bool has_key(const PublicKey& key) const {
    return std::ranges::find(own_keys_, key) != own_keys_.end();
  }
  /// Why it takes part no longer; it goes on to serve blocks.
  [[nodiscard]] const std::optional<Error>& stopped() const { return stopped_; }
  /// Validators that contradicted themselves: of each the first offence, and the next one once the ledger has punished that.
  [[nodiscard]] const std::vector<Offence>& offences() const { return offences_; }
  /// Those of them that the ledger has not punished, as whoever reports them signs it.
  [[nodiscard]] std::vector<ledger::Evidence> due_evidence() const;

 private:
  /// A block that was executed over the present state.
  struct Candidate {
    Bytes bytes;
    ledger::OpenedBlock block;
    ledger::Draft draft;
  };
  /// What can be said of bytes: with `valid` there is a candidate, with all else an error.
  struct Judged {
    consensus::Judgement judgement = consensus::Judgement::invalid;
    std::optional<Candidate> candidate;
    Error error;
  };
  /// What consensus is to be given; it owns what the input views.
  struct Given {
    consensus::Input input;
    Bytes bytes;
    Bytes certificate;
    std::optional<PeerId> from;
  };
  struct Shown {
    Height height = 0;
    Digest block;
  };
  using Place = std::pair<ledger::AccountId, std::uint64_t>;

  void on(const event::Replayed& event);
  void on(const event::Started& event);
  void on(const event::Durable& event) { outbox_.on_durable(event.write); }
  void on(const event::Submit& event);
  void on(const event::SubmitBatch& event);
  void on(const event::PeerUp& event);
  void on(const event::PeerDown& event);
  void on(const event::Received& event);
  void on(const event::Elapsed& event);
  void on(const event::BlocksRead& event);
  void on(const event::PartRead& event);
  void on(const event::SignFrom& event);
  void on(const event::AddKey& event);

  void receive(const PeerId& peer, const message::Hello& hello);
  void receive(const PeerId& peer, const message::Vote& vote);
  void receive(const PeerId& peer, const message::Transactions& transactions);
  void receive(const PeerId& peer, const message::Ask& ask);
  void receive(const PeerId& peer, const message::Blocks& blocks);
  void receive(const PeerId& peer, const message::AskPart& ask);
  void receive(const PeerId& peer, const message::Part& part);

  // Storage
  Status replay(const FinalBlock& block);
  void damaged(std::string text);
  void start_height(std::vector<Bytes> log);
  /// Goes on with the key that votes at the next height.
  void take_key();
  void remember(const Digest& block);
  [[nodiscard]] const Digest* name_of_block(Height height) const;

  // Transactions
  [[nodiscard]] Error why_not_taking_part() const;
  std::vector<Result<Cid>> admit(const std::vector<Bytes>& envelopes, const std::optional<PeerId>& from);
  Result<Cid> pool(Result<ledger::Opened> opened, std::vector<Bytes>& fresh);
  /// Nothing: it is new here, and its signatures are to be checked.
  [[nodiscard]] std::optional<Result<Cid>> known(const ledger::Transaction& transaction) const;
  /// False: it was handed on before, and is only by the slow timer again.
  bool is_news(const Cid& transaction);
  void hand_on(const std::vector<Bytes>& envelopes, const std::optional<PeerId>& but);
  [[nodiscard]] std::vector<Bytes> front() const;
  void drop(const ledger::Opened& transaction, Error error);
  void expire();
  void follow_up(const ledger::OpenedBlock& block, Height height);
  void let_go_of_followed();
  void tell_conflicts();

  // Consensus
  void give(consensus::Input input, Bytes bytes = {}, Bytes certificate = {}, std::optional<PeerId> from = {});
  void drain();
  void give_now(Given& given);
  void refused(const Given& given, const consensus::Refusal& refusal);
  void carry_out(consensus::Broadcast& effect);
  void carry_out(consensus::Append& effect);
  void carry_out(const consensus::Forget& effect);
  void carry_out(const consensus::SetTimer& effect);
  void carry_out(const consensus::CancelTimer& effect);
  void carry_out(const consensus::CancelTimers& effect);
  void carry_out(const consensus::RoundStarted& effect);
  void carry_out(const consensus::GetBlock& effect);
  void carry_out(const consensus::Validate& effect);
  void carry_out(consensus::Decided& effect);
  void carry_out(consensus::Evidence& effect);
  /// What the ledger did to the account that votes, or lately voted, by the key; null: nothing, or nobody does.
  [[nodiscard]] const ledger::Offence* punished(const PublicKey& key) const;
  void carry_out(const consensus::WantSync& effect);
  void carry_out(const consensus::PeerAhead& effect);
  void carry_out(const consensus::PeerBehind& effect);
  void carry_out(const consensus::Amnesia& effect);
  void carry_out(const consensus::CertifiedRefused& effect);
  void carry_out(const consensus::Trouble& effect) { trouble(effect.text); }

  /// Whether it gave consensus something.
  bool consider();
  [[nodiscard]] bool may_propose() const;
  /// Of so many transactions at most. Drops what cannot be executed; none: nothing is left of them.
  [[nodiscard]] std::optional<Candidate> own_block(std::size_t most);
  /// Lets go of what cannot be executed, where nobody here makes a block of it.
  void sift();
  bool drop_refused(const std::vector<ledger::Opened>& offered, std::vector<ledger::Proposal::Refused> refused);
  /// The time of a block that is made now.
  [[nodiscard]] std::uint64_t own_time_ms() const { return std::max(now_ms_, ledger_.state().frame.time_ms); }
  void set_due();
  /// The candidate with these bytes; null if there is none.
  [[nodiscard]] Candidate* candidate_of(const consensus::BlockId& id, ByteView bytes);
  /// `wanted`: an honest validator found its time right.
  [[nodiscard]] Judged judge(ByteView bytes, bool wanted) const;
  [[nodiscard]] Result<Candidate> executed(ByteView bytes, ledger::Block block) const;
  /// Blames who sent these bytes in what is being given, if anybody did.
  void blame_for(ByteView bytes, const Error& error);
  [[nodiscard]] Result<ledger::OpenedBlock> opened(ledger::Block block) const;
  void commit(Candidate candidate, FinalBlock block);
  void signs_from(Height height);
  void become_certain();

  // Blocks of others
  bool feed();
  void fetch();

  // Snapshots: replica_snapshots.cc
  void keep_snapshot_if_due();
  [[nodiscard]] std::shared_ptr<const ledger::Snapshot> kept_snapshot();
  void ask_for_snapshot();
  void ask_for_part();
  [[nodiscard]] Status take_part(const message::Part& part);
  void end_skip(bool offers_no_more);
  void adopt(ledger::Restored restored);
  void forget_height();

  [[nodiscard]] const ledger::ValidatorSet& set() const;
  [[nodiscard]] const ledger::Validator* seat() const { return seat_of(set(), key_); }
  [[nodiscard]] Bytes hello() const;
  void set_timer(Timer timer, std::chrono::milliseconds after);
  void cancel_timer(const Timer& timer);
  void notify(Notice notice) { outbox_.add(effect::Notify{std::move(notice)}); }
  void trouble(std::string text) { notify(notice::Trouble{std::move(text)}); }
  void blame(const PeerId& peer, Error error) { outbox_.add(effect::Blame{peer, std::move(error)}); }
  void stop(Error error);
  [[nodiscard]] bool takes_part() const { return consensus_ && !stopped_; }

  Config config_;
  std::shared_ptr<OpenedMemory> memory_;
  std::vector<PublicKey> own_keys_;  ///< of config_.seeds
  PublicKey key_;  ///< by which it votes now; zeros for a follower
  ledger::ValidatorSet founding_;  ///< decides the first block
  ledger::Ledger ledger_;
  ledger::ValidatorHops hops_;
  ledger::Mempool mempool_;
  Outbox outbox_;
  Fetches fetches_;
  std::optional<consensus::Consensus> consensus_;  ///< from Started on
  std::optional<Error> stopped_;
  std::uint64_t now_ms_ = 0;

  // While storage is replayed.
  bool is_damaged_ = false;
  struct Last {
    Bytes certificate;
    consensus::Validators validators;
    consensus::BlockId block;
  };
  std::optional<Last> last_;

  // The height that is being decided.
  std::deque<Given> given_;
  const Given* giving_ = nullptr;  ///< what consensus is taking
  bool runs_ = false;
  std::set<PublicKey> heard_;
  std::map<consensus::BlockId, Candidate> candidates_;
  std::optional<consensus::GetBlock> wanted_;
  std::optional<Candidate> made_;  ///< in this step, to see whether there is something to propose
  bool pool_is_stale_ = false;  ///< nothing has changed since there was nothing to do about it

  Height signs_from_ = 0;
  std::map<PeerId, Shown> shown_;
  std::deque<Digest> names_;  ///< of the last blocks, the latest at the end; of height 0 the charter's
  std::map<Place, Cid> followed_;
  std::vector<Offence> offences_;
  std::set<ledger::AccountId> conflicted_;
  std::map<Cid, Error> refused_;  ///< could not be executed over the present state
  /// Once, as they came; the second is forgotten when the first is full.
  std::unordered_set<Cid, ledger::SeededHash> handed_on_, handed_on_before_;
  std::set<PeerId> reading_;  ///< for whom blocks are read
  std::set<PeerId> reading_parts_;  ///< for whom a part of a snapshot is
  /// A snapshot that is being fetched.
  struct Skip {
    Fetches::Offer offer;
    std::optional<ledger::SnapshotReader> reader;  ///< once its head is here
  };
  std::optional<Skip> skip_;
  bool is_patient_ = true;  ///< it has not been behind for long
  bool fetches_alone_ = false;  ///< the snapshot that is being fetched, no blocks beside it
  bool was_alone_ = false;  ///< since it was level
  Height base_ = 0;
  Height snapshot_ = 0;  ///< the latest that is kept
  std::uint64_t snapshot_bytes_ = 0;  ///< of that
  std::uint64_t grown_ = 0;  ///< bytes of blocks since then
  std::vector<std::pair<Height, std::uint64_t>> replayed_;  ///< bytes of blocks, until it has started
  bool told_of_hops_ = false;
  std::set<Timer> timers_;  ///< that are set
  std::size_t step_bytes_ = 0;
  Height lag_height_ = 0;
  bool fetches_now_ = false;
};

}  // namespace mesh::chain
