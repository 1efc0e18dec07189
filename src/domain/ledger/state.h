// What a ledger knows: tables of entries, each a Merkle map, and beside them a frame of a few values. Two ledgers that
// executed the same blocks know the same to the byte, and the state root says so.
//
// The state root is the SHA-256 of the canonical DAG-CBOR of StateSummary, which holds the root of each table. An entry's
// place in its table is SHA-256(name of the table, 00, key), where name is text and the key is that of the entry; its value is
// the entry's canonical DAG-CBOR, a plain map with the fields below. So who has a block has its state root, the summary
// (some hundred bytes) opens it, and a MapProof shows an account in it.
//
// Another table is an entry type here, a line in Tables and its root in StateSummary::Roots.
//
// What happens by itself (a withdrawal arrives) stands in one queue with the time at which it does. That follows from the
// tables and is no part of the state root.
//
// Bounds: 4,194,304 accounts, 65,536 members (and as many attestations), one conflict, and one offence, for each account that had
// one; past 65,536 keys by which validators vote or lately voted none is taken by rotating or naming;
// 16 withdrawals from a bond wait for each account and 65,536 in all; 4,096 entries of the queue happen in one block; 4 keys that
// an account gave up are remembered; 3 sets of validators are to come.
#pragma once

#include <set>

#include "domain/ledger/escrow.h"
#include "domain/ledger/transactions.h"
#include "domain/reputation/reputation.h"

namespace mesh::ledger {

inline constexpr std::size_t max_accounts = std::size_t{1} << 22;
inline constexpr std::size_t max_members = std::size_t{1} << 16;
inline constexpr std::size_t max_voters = std::size_t{1} << 16;
/// Blocks after which what a validator signed is no evidence any more.
inline constexpr std::uint64_t max_offence_age = 100'000;
inline constexpr std::size_t max_unbonding_of_account = 16;
inline constexpr std::size_t max_unbonding = std::size_t{1} << 16;
inline constexpr std::size_t max_due_of_block = 4096;
/// Shards of works whose phases end in one block, and of works that are drawn for in one.
inline constexpr std::size_t max_due_rows_of_block = std::size_t{1} << 16;
inline constexpr std::size_t max_drawn_rows_of_block = std::size_t{1} << 16;
inline constexpr std::size_t max_drawn_works_of_block = 256;
inline constexpr std::size_t max_former_keys = 4;
inline constexpr std::size_t max_scheduled_sets = 3;

// ---- accounts

/// Credits on the way from a bond to the balance.
struct Unbonding {
  std::uint64_t amount = 0;
  std::uint64_t release_ms = 0;  ///< the time at which they are due (see Due)
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("amount", self.amount);
    v("release_ms", self.release_ms);
  }
  bool operator==(const Unbonding&) const = default;
};

/// An account as it is written and hashed.
struct AccountRecord {
  AccountId id;
  std::uint64_t sequence = 0;  ///< of its next transaction
  std::uint64_t balance = 0;
  std::uint64_t bonded = 0;
  std::uint64_t at_stake = 0;  ///< of the bond: what cannot be withdrawn now
  std::optional<PublicKey> key;  ///< the current one; left out while that is the first
  std::optional<std::vector<PublicKey>>
      former;  ///< the latest that it gave up, in their order; left out where there is none
  std::vector<Unbonding> unbonding;  ///< in the order in which they were withdrawn
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("id", self.id);
    v("sequence", self.sequence);
    v("balance", self.balance);
    v("bonded", self.bonded);
    v("at_stake", self.at_stake);
    v("key", self.key);
    v("former", self.former);
    v("unbonding", self.unbonding);
  }
  bool operator==(const AccountRecord&) const = default;
};

/// An account as it is held: there may be millions, and few of them have what `Seldom` holds.
class Account {
 public:
  using Key = AccountId;
  static constexpr std::string_view table = "accounts";

  Account() = default;
  explicit Account(const AccountId& id) : id_(id) {}
  Account(const Account& other)
      : sequence(other.sequence),
        balance(other.balance),
        bonded(other.bonded),
        at_stake(other.at_stake),
        id_(other.id_),
        seldom_(other.seldom_ ? std::make_unique<Seldom>(*other.seldom_) : nullptr) {}
  Account(Account&&) noexcept = default;
  Account& operator=(const Account& other) { return *this = Account(other); }
  Account& operator=(Account&&) noexcept = default;
  ~Account() = default;

  std::uint64_t sequence = 0;
  std::uint64_t balance = 0;
  std::uint64_t bonded = 0;
  std::uint64_t at_stake = 0;

  [[nodiscard]] const AccountId& key() const { return id_; }
  [[nodiscard]] static Digest place_of(const AccountId& id) { return place_in(table, id.view()); }
  [[nodiscard]] Digest digest() const;
  [[nodiscard]] AccountRecord record() const;
  /// The record's bytes.
  [[nodiscard]] Bytes encoded() const;
  /// Errors: bad-account, where it has more withdrawals or former keys than one may have.
  [[nodiscard]] static Result<Account> from_record(AccountRecord record);

  /// Whose signature counts now.
  [[nodiscard]] const PublicKey& signer() const { return seldom_ && seldom_->key ? *seldom_->key : id_; }
  /// Another key counts from now on; the one so far is remembered among the latest.
  void rotate_to(const PublicKey& key);
  /// Whether the key is or was the account's, as far back as is remembered.
  [[nodiscard]] bool knows(const PublicKey& key) const {
    return key == signer() || (seldom_ && std::ranges::find(seldom_->former, key) != seldom_->former.end());
  }
  [[nodiscard]] std::span<const Unbonding> unbonding() const {
    return seldom_ ? std::span<const Unbonding>(seldom_->unbonding) : std::span<const Unbonding>();
  }
  void add_unbonding(const Unbonding& one);
  /// Takes out what is due at `time_ms` and says how much that is; all of it together was once in the balance.
  [[nodiscard]] std::uint64_t release_unbonding(std::uint64_t time_ms);
  /// Takes as much of `amount` as can be had out of what is on its way, the latest first. The entries stay.
  std::uint64_t take_unbonding(std::uint64_t amount);

 private:
  struct Seldom {
    std::optional<PublicKey> key;
    std::vector<PublicKey> former;
    std::vector<Unbonding> unbonding;
  };
  [[nodiscard]] Seldom& seldom();
  template <class Use>
  auto with_bytes(const Use& use) const;

  AccountId id_;
  std::unique_ptr<Seldom> seldom_;
};

// ---- members

/// A credential, in force or not.
struct Member {
  using Key = NodeId;
  static constexpr std::string_view table = "members";

  NodeId node;
  std::vector<Role> roles;
  AccountId issuer;  ///< of the credential; a founder and who enrolled openly are their own
  std::optional<std::string> owner;
  std::optional<std::uint64_t> expires_height;
  bool revoked = false;
  std::uint64_t weight = 0;  ///< reputation to begin with, from the charter; 0 for all but founders

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("node", self.node);
    v("roles", self.roles);
    v("issuer", self.issuer);
    v("owner", self.owner);
    v("expires_height", self.expires_height);
    v("revoked", self.revoked);
    v("weight", self.weight);
  }
  bool operator==(const Member&) const = default;

  [[nodiscard]] const NodeId& key() const { return node; }
  [[nodiscard]] static Digest place_of(const NodeId& node) { return place_in(table, node.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }

  [[nodiscard]] bool has(Role role) const { return std::ranges::find(roles, role) != roles.end(); }
  /// Whether it will have the role for as long as nobody changes that.
  [[nodiscard]] bool has_lasting(Role role) const { return has(role) && !revoked && !expires_height; }
  [[nodiscard]] bool is_lasting_steward() const { return has_lasting(Role::steward); }
};

/// Whether a credential is in force at `height` and has `role`; else not-a-member, revoked, credential-expired or role-missing.
[[nodiscard]] Status check_role(const Member* member, Role role, std::uint64_t height);

/// What a member says it can run.
struct Attestation {
  using Key = NodeId;
  static constexpr std::string_view table = "attestations";

  NodeId node;
  std::uint64_t memory_mb = 0;
  std::uint64_t fuel_per_second = 0;
  bool verifies = false;
  std::uint64_t height = 0;  ///< of the block with it: a draw at an earlier one does not see it

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("node", self.node);
    v("memory_mb", self.memory_mb);
    v("fuel_per_second", self.fuel_per_second);
    v("verifies", self.verifies);
    v("height", self.height);
  }
  bool operator==(const Attestation&) const = default;

  [[nodiscard]] const NodeId& key() const { return node; }
  [[nodiscard]] static Digest place_of(const NodeId& node) { return place_in(table, node.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

/// That an account signed two transactions for one sequence number. The first such report about an account is kept.
struct Conflict {
  using Key = AccountId;
  static constexpr std::string_view table = "conflicts";

  AccountId account;  ///< whose they are
  std::uint64_t sequence = 0;  ///< of both
  Cid first;  ///< of the two bodies, the lesser CID first
  Cid second;
  AccountId reporter;
  std::uint64_t height = 0;  ///< of the report

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("first", self.first);
    v("second", self.second);
    v("reporter", self.reporter);
    v("height", self.height);
  }
  bool operator==(const Conflict&) const = default;

  [[nodiscard]] const AccountId& key() const { return account; }
  [[nodiscard]] static Digest place_of(const AccountId& account) { return place_in(table, account.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

/// By which key a validator votes, or voted until `lock_ms` ago: for so long what was behind its votes can be had, be it on its way
/// out of the bond. A key is here once. Whoever votes by it again is taken to have done so in between.
struct Voter {
  using Key = PublicKey;
  static constexpr std::string_view table = "voters";

  PublicKey votes_by;
  AccountId account;
  std::uint64_t stake = 0;
  std::uint64_t from_height = 0;
  std::optional<std::uint64_t> until_height;  ///< the first at which it did not vote by it; left out while it does
  std::optional<std::uint64_t> forget_ms;  ///< goes with until_height

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("key", self.votes_by);
    v("account", self.account);
    v("stake", self.stake);
    v("from_height", self.from_height);
    v("until_height", self.until_height);
    v("forget_ms", self.forget_ms);
  }
  bool operator==(const Voter&) const = default;

  [[nodiscard]] const PublicKey& key() const { return votes_by; }
  [[nodiscard]] static Digest place_of(const PublicKey& key) { return place_in(table, key.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

/// That a validator signed two things that exclude each other. The latest is kept; it stands for all that the account signed
/// below `until_height`, from which on it has no seat.
struct Offence {
  using Key = AccountId;
  static constexpr std::string_view table = "offences";

  AccountId account;
  EvidenceKind kind = EvidenceKind::votes;
  PublicKey signed_by;
  std::uint64_t height = 0;  ///< at which they exclude each other
  std::uint64_t until_height = 0;
  std::uint64_t taken = 0;  ///< out of its bond
  AccountId reporter;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("kind", self.kind);
    v("key", self.signed_by);
    v("height", self.height);
    v("until_height", self.until_height);
    v("taken", self.taken);
    v("reporter", self.reporter);
  }
  bool operator==(const Offence&) const = default;

  [[nodiscard]] const AccountId& key() const { return account; }
  [[nodiscard]] static Digest place_of(const AccountId& account) { return place_in(table, account.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

/// What a worker has at stake for its open works, all together: their fees, and at least one minimum bond.
struct WorkStake {
  using Key = AccountId;
  static constexpr std::string_view table = "stakes";

  AccountId account;
  std::uint64_t works = 0;  ///< that are open
  std::uint64_t at_risk = 0;  ///< the fees of all shards under them
  std::uint64_t stake = 0;  ///< part of the account's at_stake; less than it should be where a part was lost

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("works", self.works);
    v("at_risk", self.at_risk);
    v("stake", self.stake);
  }
  bool operator==(const WorkStake&) const = default;

  [[nodiscard]] const AccountId& key() const { return account; }
  [[nodiscard]] static Digest place_of(const AccountId& account) { return place_in(table, account.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

/// A validator's hash chain: what its next block has to lead to.
struct BeaconChain {
  using Key = AccountId;
  static constexpr std::string_view table = "chains";

  AccountId account;
  Digest link;  ///< the last one revealed, or the tip
  std::uint64_t left = 0;  ///< links that are to come
  std::uint64_t skipped = 0;  ///< blocks that others proposed in its turn

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("link", self.link);
    v("left", self.left);
    v("skipped", self.skipped);
  }
  bool operator==(const BeaconChain&) const = default;

  [[nodiscard]] const AccountId& key() const { return account; }
  [[nodiscard]] static Digest place_of(const AccountId& account) { return place_in(table, account.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

/// What a node earned and missed (reputation/counters.h). Written by what is settled alone.
struct Reputation : reputation::Counters {
  Reputation() = default;
  explicit Reputation(const reputation::Counters& counters) : Counters(counters) {}
  bool operator==(const Reputation&) const = default;
  [[nodiscard]] static Digest place_of(const NodeId& node) { return place_in(table, node.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};
/// What a publisher had a node earn in an epoch; gone with the first block after it.
struct ReputationPair : reputation::Pair {
  ReputationPair() = default;
  explicit ReputationPair(const reputation::Pair& pair) : Pair(pair) {}
  bool operator==(const ReputationPair&) const = default;
  [[nodiscard]] static Digest place_of(const Digest& id) { return place_in(table, id.view()); }
  [[nodiscard]] Digest digest() const { return sha256(record::encode(*this)); }
};

/// All tables, held as `Table<Entry>`.
template <template <class> class Table>
struct Tables {
  Table<Account> accounts;
  Table<Member> members;
  Table<Attestation> attestations;
  Table<Conflict> conflicts;
  Table<Voter> voters;
  Table<Offence> offences;
  Table<Escrow> escrows;
  Table<Work> works;
  Table<WorkStake> stakes;
  Table<BeaconChain> chains;
  Table<Reputation> reputation;
  Table<ReputationPair> pairs;
};
/// `visit(a.TABLE, b.TABLE)` for each table of two sets of them.
template <class A, class B, class Visit>
void for_each_table(A& a, B& b, const Visit& visit) {
  visit(a.accounts, b.accounts);
  visit(a.members, b.members);
  visit(a.attestations, b.attestations);
  visit(a.conflicts, b.conflicts);
  visit(a.voters, b.voters);
  visit(a.offences, b.offences);
  visit(a.escrows, b.escrows);
  visit(a.works, b.works);
  visit(a.stakes, b.stakes);
  visit(a.chains, b.chains);
  visit(a.reputation, b.reputation);
  visit(a.pairs, b.pairs);
}

// ---- what happens by itself

enum class DueKind : std::uint8_t {
  withdrawal,  ///< what the account `key` withdrew from its bond until then arrives in its balance
  work_due,  ///< a phase of the work `key` is over
  escrow_closing,  ///< nothing more is claimed of the escrow `key`
  work_forgotten,
  escrow_forgotten,
  pair_over,  ///< the epoch of the reputation's pair `key`
  voter_forgotten,  ///< by whom was voted by the key `key`
};

/// What happens by itself at a time. That is a time of blocks: due is it in the first block whose parent's time has reached
/// it, so that however long no block was made, there is one before it in which somebody can still act.
struct Due {
  std::uint64_t time_ms = 0;
  DueKind kind = DueKind::withdrawal;
  Digest key;  ///< of the entry that it is about, in the table that goes with the kind
  auto operator<=>(const Due&) const = default;  // The order in which they happen.
};
/// The entry for an account's withdrawals of one release time; there is one for all of them.
[[nodiscard]] inline Due due_withdrawal(const AccountId& account, std::uint64_t release_ms) {
  return {release_ms, DueKind::withdrawal, *Digest::from(account.view())};
}

// ---- the frame

enum class Enrolment : std::uint8_t {
  invitation,  ///< stewards admit
  open,  ///< who asks is admitted, as a member and no more
};
[[nodiscard]] std::span<const std::string_view> enum_names(Enrolment);

/// The rules' numbers. From the genesis record; to change them is governance's.
struct Parameters {
  std::uint64_t minimum_bond = 1'000'000;  ///< a bond is nothing or at least this; a validator has this at stake
  std::uint64_t lock_ms = 86'400'000;  ///< between a withdrawal from a bond and its arrival; at least 1
  std::uint64_t answer_ms = 10'000;  ///< that a verifier has to answer a time-out
  std::uint64_t dispute_ms = 30'000;  ///< between the reveal of a work and its settlement; at least 1
  std::uint64_t notice_ms = 30'000;  ///< between asking for a refund and having it
  std::uint64_t skip_penalty = 1'000;  ///< for not proposing in one's turn a block whose beacon is waited for
  std::uint64_t max_time_ahead_ms = 10'000;  ///< that a proposal's time may be ahead of who votes on it
  std::uint64_t transaction_fee = 100;  ///< of a transaction, to the treasury; some kinds are free (Execution)
  std::uint64_t minimum_balance = 1'000;  ///< that a new account begins with, and the least that is taken out of a bond
  Enrolment enrolment = Enrolment::invitation;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("minimum_bond", self.minimum_bond);
    v("lock_ms", self.lock_ms);
    v("answer_ms", self.answer_ms);
    v("dispute_ms", self.dispute_ms);
    v("notice_ms", self.notice_ms);
    v("skip_penalty", self.skip_penalty);
    v("max_time_ahead_ms", self.max_time_ahead_ms);
    v("transaction_fee", self.transaction_fee);
    v("minimum_balance", self.minimum_balance);
    v("enrolment", self.enrolment);
  }
  bool operator==(const Parameters&) const = default;
};

struct Validator {
  AccountId account;
  PublicKey key;  ///< by which it votes: the account's, in a set that can still be changed the current one
  std::uint64_t power = 0;
  std::uint64_t stake =
      0;  ///< of its bond, for as long as it is in this set or in the next; 0 once it was taken for an offence
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("key", self.key);
    v("power", self.power);
    v("stake", self.stake);
  }
  bool operator==(const Validator&) const = default;
};

struct ValidatorSet {
  static constexpr std::string_view type = "validator-set";
  static constexpr std::uint64_t version = 1;
  std::uint64_t from_height = 0;  ///< of the first block that it decides
  std::vector<Validator> validators;  ///< ascending by account
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("from_height", self.from_height);
    v("validators", self.validators);
  }
  bool operator==(const ValidatorSet&) const = default;

  /// Null unless the account is one of them.
  [[nodiscard]] const Validator* find(const AccountId& account) const;
  /// Whether no key is in it twice, so that a vote is one validator's.
  [[nodiscard]] bool has_distinct_keys() const;
};

/// Sums. Supply is what there is: balances, bonds, withdrawals on their way, escrows and the treasury, after every
/// block.
struct Totals {
  std::uint64_t supply = 0;
  std::uint64_t granted = 0;  ///< of the supply, since the genesis
  std::uint64_t balances = 0;
  std::uint64_t bonded = 0;
  std::uint64_t unbonding = 0;
  std::uint64_t escrowed = 0;  ///< locked for tasks, or at stake in disputes
  std::uint64_t treasury = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("supply", self.supply);
    v("granted", self.granted);
    v("balances", self.balances);
    v("bonded", self.bonded);
    v("unbonding", self.unbonding);
    v("escrowed", self.escrowed);
    v("treasury", self.treasury);
  }
  bool operator==(const Totals&) const = default;
  /// Whether the parts add up to the supply.
  [[nodiscard]] bool are_conserved() const;
};

/// What there is beside the tables.
struct Frame {
  Cid federation;
  std::uint64_t height = 0;  ///< of the last block; 0 = none yet
  std::uint64_t time_ms = 0;  ///< of the last block
  Cid last_block;  ///< the federation's charter while there is none
  Totals totals;
  Parameters parameters;
  ValidatorSet validators;  ///< that decide the next block
  std::vector<ValidatorSet> scheduled;  ///< that take over later, in their order
  std::uint64_t lasting_stewards = 0;  ///< Member::is_lasting_steward; never the last one goes
  Digest beacon;  ///< of the last block: H(the one before, the link that its proposer revealed)
  std::vector<Digest> undrawn;  ///< works whose verifiers the next block draws, in the order in which they came
  std::uint64_t open_shards = 0;  ///< under works that are open
  std::uint64_t locked_shards = 0;  ///< of escrows that have not ended

  /// The set that decides the block of `height`, the next or a later one, as far as is known now.
  [[nodiscard]] const ValidatorSet& validators_at(std::uint64_t at) const {
    const ValidatorSet* found = &validators;
    for (const ValidatorSet& set : scheduled) found = set.from_height <= at ? &set : found;
    return *found;
  }
};

/// What the state root is the hash of.
struct StateSummary {
  static constexpr std::string_view type = "ledger-state";
  static constexpr std::uint64_t version = 1;
  struct Roots {
    Digest accounts;
    Digest members;
    Digest attestations;
    Digest conflicts;
    Digest voters;
    Digest offences;
    Digest escrows;
    Digest works;
    Digest stakes;
    Digest chains;
    Digest reputation;
    Digest pairs;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("accounts", self.accounts);
      v("members", self.members);
      v("attestations", self.attestations);
      v("conflicts", self.conflicts);
      v("voters", self.voters);
      v("offences", self.offences);
      v("escrows", self.escrows);
      v("works", self.works);
      v("stakes", self.stakes);
      v("chains", self.chains);
      v("reputation", self.reputation);
      v("reputation-pairs", self.pairs);
    }
    bool operator==(const Roots&) const = default;
  };
  Cid federation;
  std::uint64_t height = 0;
  std::uint64_t time_ms = 0;
  Roots roots;
  Totals totals;
  Parameters parameters;
  Digest beacon;
  Cid validators;  ///< of the ValidatorSet
  std::vector<Cid> scheduled;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("federation", self.federation);
    v("height", self.height);
    v("time_ms", self.time_ms);
    v("roots", self.roots);
    v("totals", self.totals);
    v("parameters", self.parameters);
    v("beacon", self.beacon);
    v("validators", self.validators);
    v("scheduled", self.scheduled);
  }
  bool operator==(const StateSummary&) const = default;
};

/// `tables` are maps or patches: what has roots.
template <class AnyTables>
[[nodiscard]] StateSummary summary_of(const Frame& frame, const AnyTables& tables) {
  StateSummary summary{.federation = frame.federation,
                       .height = frame.height,
                       .time_ms = frame.time_ms,
                       .totals = frame.totals,
                       .parameters = frame.parameters,
                       .beacon = frame.beacon,
                       .validators = dagcbor::cid_of(record::encode(frame.validators))};
  for (const ValidatorSet& set : frame.scheduled) summary.scheduled.push_back(dagcbor::cid_of(record::encode(set)));
  for_each_table(tables, summary.roots, [](const auto& table, Digest& root) { root = table.root(); });
  return summary;
}
[[nodiscard]] inline Digest root_of(const StateSummary& summary) { return sha256(record::encode(summary)); }

struct State {
  Tables<MerkleMap> tables;
  Frame frame;
  // Both follow from the tables (derive()).
  std::set<Due> due;
  std::size_t unbonding_count = 0;  ///< withdrawals that wait

  [[nodiscard]] StateSummary summary() const { return summary_of(frame, tables); }
  /// Sets what follows from the tables: the queue, the count of withdrawals, and of the frame lasting_stewards, open_shards and
  /// locked_shards. In which order works wait to be drawn for does not follow from them: false where one waits.
  [[nodiscard]] bool derive();
};

}  // namespace mesh::ledger
