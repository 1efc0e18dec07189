// Transactions: the records by which accounts change the ledger, and how they are read.
//
// An account is named by its first public key, for good; what counts as its signature is its current key (`rotate`). A
// transaction names its account and its place among that account's transactions (`sequence`, from 0), so that it is executed
// once and in order. It travels as an Envelope, whose signature covers type and federation. There is no field for the
// federation: a transaction of another one is a bad signature here.
//
// Reading has two halves, so that the dear one can be done elsewhere and for many at once: decode() reads the bytes strictly
// and checks all that needs neither keys nor state; the signatures are checked by open(), or for a batch by open_all(), on any
// thread. What was opened is an Opened, and no other is executed.
//
// Bounds: an envelope has at most 16 KiB, one with evidence 40 KiB, which is room for any two others, one that anchors 64 KiB,
// one that settles 384 KiB; texts have 128 bytes, a validator set 64 members.
// A refusal's text begins with a stable name, a colon and one sentence.
#pragma once

#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "base/check.h"
#include "codec/envelope.h"
#include "domain/identity/identity.h"
#include "domain/ledger/work_transactions.h"

namespace mesh::ledger {

inline constexpr std::size_t max_envelope_bytes = std::size_t{16} << 10;
inline constexpr std::size_t max_evidence_bytes = std::size_t{40} << 10;
static_assert(max_evidence_bytes >= 2 * max_envelope_bytes + 1024, "evidence holds any two transactions");
inline constexpr std::size_t max_anchor_bytes = std::size_t{64} << 10;
inline constexpr std::size_t max_settle_bytes = std::size_t{384} << 10;
inline constexpr std::size_t max_text_bytes = 128;
inline constexpr std::size_t max_validators = 64;
/// Of a validator set, all together: three times as much still fits into 64 bits.
inline constexpr std::uint64_t max_power = std::uint64_t{1} << 60;

/// Gives credits to another account, which need not be there yet, nor be anybody's: who mistypes a name has lost them.
struct Transfer {
  static constexpr std::string_view type = "transfer";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  AccountId to;
  std::uint64_t amount = 0;  ///< micro-credits, as all amounts are
  std::string memo;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("to", self.to);
    v("amount", self.amount);
    v("memo", self.memo);
  }
  bool operator==(const Transfer&) const = default;
};

/// Makes new credits. For stewards.
struct Grant {
  static constexpr std::string_view type = "grant";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  AccountId to;
  std::uint64_t amount = 0;
  std::string reason;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("to", self.to);
    v("amount", self.amount);
    v("reason", self.reason);
  }
  bool operator==(const Grant&) const = default;
};

/// Puts credits of the balance down as a bond. For members.
struct Bond {
  static constexpr std::string_view type = "bond";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  std::uint64_t amount = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("amount", self.amount);
  }
  bool operator==(const Bond&) const = default;
};

/// Takes credits out of the bond; they are in the balance when the lock period is over.
struct Unbond {
  static constexpr std::string_view type = "unbond";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  std::uint64_t amount = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("amount", self.amount);
  }
  bool operator==(const Unbond&) const = default;
};

enum class Role : std::uint8_t { member, worker, verifier, validator, steward };
[[nodiscard]] std::span<const std::string_view> enum_names(Role);

/// A credential: admits a node, or replaces what it had. By a steward; where enrolment is open also by the node itself, which
/// then gets the member role alone.
struct Admit {
  static constexpr std::string_view type = "member";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  NodeId node;
  std::vector<Role> roles;  ///< in the order of the enumerators, each once, at least one
  std::optional<std::string> owner;  ///< did of who owns the node; left out where that is the node itself
  std::optional<std::uint64_t> expires_height;  ///< the first height at which it no longer holds
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("node", self.node);
    v("roles", self.roles);
    v("owner", self.owner);
    v("expires_height", self.expires_height);
  }
  bool operator==(const Admit&) const = default;
};

/// Takes a credential back. For stewards.
struct Revoke {
  static constexpr std::string_view type = "revoke";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  NodeId node;
  std::string reason;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("node", self.node);
    v("reason", self.reason);
  }
  bool operator==(const Revoke&) const = default;
};

/// What a member can run, so that it can be drawn to verify work that needs no more than that. Replaces what it said before.
struct Attest {
  static constexpr std::string_view type = "attest";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  std::uint64_t memory_mb = 0;
  std::uint64_t fuel_per_second = 0;
  bool verifies = false;  ///< wants to be drawn; needs the verifier role
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("memory_mb", self.memory_mb);
    v("fuel_per_second", self.fuel_per_second);
    v("verifies", self.verifies);
  }
  bool operator==(const Attest&) const = default;
};

/// The set of validators that holds from a height on. For stewards.
struct SetValidators {
  static constexpr std::string_view type = "validators";
  static constexpr std::uint64_t version = 1;
  struct Seat {
    AccountId account;
    std::uint64_t power = 0;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("account", self.account);
      v("power", self.power);
    }
    bool operator==(const Seat&) const = default;
  };
  AccountId account;
  std::uint64_t sequence = 0;
  std::uint64_t from_height = 0;
  std::vector<Seat> validators;  ///< ascending by account; 1 to max_validators
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("from_height", self.from_height);
    v("validators", self.validators);
  }
  bool operator==(const SetValidators&) const = default;
};

/// Another key for the account. Signed, as always, by the one so far; the new one signs as well (rotation_input), so that
/// nobody takes a key that is not his.
struct Rotate {
  static constexpr std::string_view type = "rotate";
  static constexpr std::uint64_t version = 1;
  AccountId account;
  std::uint64_t sequence = 0;
  PublicKey key;
  Signature proof;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("key", self.key);
    v("proof", self.proof);
  }
  bool operator==(const Rotate&) const = default;
};

enum class EvidenceKind : std::uint8_t {
  transactions,  ///< two of one account and sequence with different bodies, neither of them evidence
  votes,  ///< two of one key, kind, height and round, for different blocks or for one and for none
  proposals,  ///< two of one key, height and round
};
[[nodiscard]] std::span<const std::string_view> enum_names(EvidenceKind);

/// Two things that one account, or one validator, should not both have signed. Of transactions the account is another than the
/// reporter's; evidence itself is none of them: it pays nobody and promises nothing, and could not be shown whole.
struct Evidence {
  static constexpr std::string_view type = "evidence";
  static constexpr std::uint64_t version = 1;
  AccountId account;  ///< who reports
  std::uint64_t sequence = 0;
  EvidenceKind kind = EvidenceKind::transactions;
  Bytes first;  ///< an envelope, or as consensus sends it: key, signature, body (read_said)
  Bytes second;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("sequence", self.sequence);
    v("kind", self.kind);
    v("first", self.first);
    v("second", self.second);
  }
  bool operator==(const Evidence&) const = default;
};

/// What a validator signed while it agreed with the others, as evidence shows it. The bytes are those of consensus, which are the
/// same for ever: the ledger reads them by itself.
struct Said {
  PublicKey key;
  Signature signature;
  Bytes body;  ///< what is signed, 46 bytes of a vote or 48 of a proposal
  std::uint64_t height = 0;
};
/// Reads one: key, signature, body. bad-evidence where consensus would not read it either.
[[nodiscard]] Result<Said> read_said(EvidenceKind kind, ByteView bytes);
/// What its signature covers.
[[nodiscard]] Bytes input_of(EvidenceKind kind, const Said& said, const Cid& federation);

/// Every kind there is. Another one is an alternative here, a check of its form in transactions.cc and a rule in execution.cc.
using Body = std::variant<Transfer, Grant, Bond, Unbond, Admit, Revoke, Attest, SetValidators, Rotate, Evidence, Lock,
                          Anchor, Timeout, Settle, Refund, Dispute, CommitChain>;

/// Whether two of the kind with one number are a conflict that can be reported.
[[nodiscard]] bool can_conflict(const Body& body);

/// A transaction as read: its form is right, nobody has looked at its signatures.
struct Transaction {
  Body body;
  AccountId account;
  std::uint64_t sequence = 0;
  PublicKey signer;
  Signature signature;
  Cid cid;  ///< of the body: the transaction's name
  Bytes envelope;  ///< as it came
  std::vector<Transaction> shown;  ///< what evidence of two transactions consists of, read; else none
  std::vector<Said> said;  ///< what evidence of two votes or proposals consists of, read; else none
  std::shared_ptr<const Attachments> attachments;  ///< of those about paid work that have any; else null
};

/// What the new key of a `rotate` signs: signing_input() of the type "account-key" over the account and the sequence number as
/// eight big-endian bytes. The number makes it good for this one rotation.
[[nodiscard]] Bytes rotation_input(const AccountId& account, std::uint64_t sequence, const Cid& federation);

/// Reads an envelope and the transaction in it.
[[nodiscard]] Result<Transaction> decode(ByteView envelope);

/// A transaction whose signatures hold. Copies are cheap: they are of one transaction.
class Opened {
 public:
  [[nodiscard]] const Transaction& operator*() const { return *transaction_; }
  [[nodiscard]] const Transaction* operator->() const { return transaction_.get(); }

  /// For who knows it from elsewhere: a chain that was checked before, a test that is not about signatures.
  [[nodiscard]] static Opened trusted(Transaction transaction) { return Opened(std::move(transaction)); }

 private:
  explicit Opened(Transaction transaction)
      : transaction_(std::make_shared<const Transaction>(std::move(transaction))) {}
  std::shared_ptr<const Transaction> transaction_;
};

/// Reads one and checks its signatures.
[[nodiscard]] Result<Opened> open(ByteView envelope, const Cid& federation);
/// The same for many at about half the cost, by one equation for many signatures, with the answers of open(). Those that do not
/// hold are searched for by halves: one costs a second look at all of them, any number at most about twice open() for each.
[[nodiscard]] std::vector<Result<Opened>> open_all(std::span<const Bytes> envelopes, const Cid& federation);
/// The second half of it, for those that decode() has read.
[[nodiscard]] std::vector<Result<Opened>> check_all(std::vector<Transaction> decoded, const Cid& federation);

/// A transaction made here: signed, read back, opened.
template <record::Typed T>
[[nodiscard]] Opened sign(const T& body, const identity::Signer& signer) {
  Result<Transaction> transaction = decode(record::encode(signer.seal(body)));
  MESH_CHECK(transaction.has_value(), "ledger-signed-transaction-form");
  return Opened::trusted(std::move(*transaction));
}
/// A `rotate` with the new key's proof.
[[nodiscard]] Rotate rotation(const AccountId& account, std::uint64_t sequence, const Seed& key, const Cid& federation);

}  // namespace mesh::ledger
