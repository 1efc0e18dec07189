// Agreement on a chain of blocks among a federation's validators: one validator or follower as a step from inputs to effects.
//
// A thin class over Malachite's core (crates/consensus, by the bridge of crates/engines). It has no clock, no thread, no file
// and no socket, and comes out alike for the same inputs, so the simulator may use it as it is. A block is a header and a rest
// (frame below) and is named by the SHA-256 of the header; what is in it, whether the rest belongs to the header, and whether the
// block may follow, is for the application to say. docs/design/protocols.md, "Ledger", has the bytes of votes, certificates and
// evidence, and what wakes a validator.
//
// Order: an effect may be carried out when the first `after` entries that were given to append since the start are durable.
// That is all that keeps a validator from signing twice: what it sends was written down before.
//
// Bounds: 256 validators, blocks of 5 MiB, eight of them at one height, messages of ten rounds ahead and one height ahead at
// most. What is beyond is refused by name. Errors: invalid (bad bytes, not this height), unauthorised (a signature, a signer),
// exhausted (a bound), denied (an unsafe height; it would sign twice), storage (a log that cannot be read), unavailable
// (nothing started yet), internal (a fault of ours: it has stopped for good). Their text begins with the refusal's name.
//
// Not thread-safe: one thread at a time for each Consensus.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "codec/cid.h"
#include "codec/ed25519.h"

namespace mesh::consensus {

inline constexpr std::size_t max_validators = 256;
/// With its header and the four bytes before it.
inline constexpr std::size_t max_block_bytes = std::size_t{5} << 20;
/// A proposal's bytes, with the largest block.
inline constexpr std::size_t max_message_bytes = max_block_bytes + 256;

using Height = std::uint64_t;
using Round = std::uint32_t;
/// SHA-256 of a block's header: the digest in the CID that the application knows the block by.
using BlockId = Digest;

/// The bytes of a block: the header's length in four bytes, big-endian, the header, the rest.
[[nodiscard]] Bytes frame(ByteView header, ByteView rest);

struct Parts {
  BlockId id;
  ByteView header;  ///< of the block's bytes, like `rest`
  ByteView rest;
};
/// Errors: invalid (bad-block: no header, or less of it than is said), exhausted (too-large).
[[nodiscard]] Result<Parts> parts_of(ByteView block);

struct Validator {
  PublicKey key;
  std::uint64_t power = 1;  ///< at least 1; 2^60 at most in all

  bool operator==(const Validator&) const = default;
};
/// Ascending by key, each key once.
using Validators = std::vector<Validator>;

/// Whether they can be the validators of a height.
[[nodiscard]] Status check(const Validators& validators);

struct Timeouts {
  std::chrono::milliseconds propose{1000};
  std::chrono::milliseconds prevote{300};
  std::chrono::milliseconds precommit{300};
  std::chrono::milliseconds step{300};  ///< by which each of the three grows with every round
  std::chrono::milliseconds max{20000};
  std::chrono::milliseconds rebroadcast{1000};  ///< while nothing is decided, what was said last is said again
};

struct Config {
  Cid federation;
  std::optional<Seed> seed;  ///< a follower has none
  bool observe = false;  ///< sign nothing before SafeFrom
  Timeouts timeouts;
};

/// `remind`: what is missing is said again.
enum class TimerKind : std::uint8_t { propose = 1, prevote, precommit, rebroadcast, remind };

struct Timer {
  Height height = 0;
  TimerKind kind = TimerKind::propose;
  Round round = 0;

  auto operator<=>(const Timer&) const = default;
};

// Inputs

/// The height to be decided next. With entries of its log it goes on where it was, without any it waits for something to do.
struct StartHeight {
  Height height = 0;
  Validators validators;
  std::vector<Bytes> log;  ///< in the order in which they were appended; those of lower heights may be among them
};
/// The application has something to propose at the present height.
struct Wake {};
struct Message {
  ByteView bytes;
};
/// The answer to GetBlock. Without one, or in vain, the round ends with nothing.
struct Propose {
  Height height = 0;
  Round round = 0;
  ByteView block;  ///< framed
};
enum class Judgement : std::uint8_t {
  valid = 1,
  invalid,  ///< this block may not follow
  mismatched,  ///< these bytes are not the block that their header names; nothing is said about that block
  undecided,  ///< its time is ahead of the clock: Validate comes again
};
/// The answer to the Validate of this number. Every Validate is owed one.
struct Verdict {
  std::uint64_t question = 0;
  Judgement judgement = Judgement::invalid;
};
struct Elapsed {
  Timer timer;
};
/// What others decided at the present height.
struct Synced {
  ByteView certificate;
  ByteView block;  ///< framed
};
/// From this height on it is certain that the key signed nothing that is not in the log (safe_height below). It holds for the
/// height that runs, too.
struct SafeFrom {
  Height height = 0;
};
using Input = std::variant<StartHeight, Wake, Message, Propose, Verdict, Elapsed, Synced, SafeFrom>;

// Effects

/// To all validators and followers.
struct Broadcast {
  Bytes message;
};
/// The `position`-th entry since the start, counted from 1.
struct Append {
  std::uint64_t position = 0;
  Height height = 0;
  Bytes entry;
};
/// Entries of lower heights are not needed any more.
struct Forget {
  Height below = 0;
};
/// Replaces the timer of the same name.
struct SetTimer {
  Timer timer;
  std::chrono::milliseconds after{};
};
struct CancelTimer {
  Timer timer;
};
struct CancelTimers {};
struct RoundStarted {
  Height height = 0;
  Round round = 0;
  PublicKey proposer;
};
struct GetBlock {
  Height height = 0;
  Round round = 0;
  std::chrono::milliseconds within{};
};
/// Whether these bytes are the block that their header names, and whether it may follow on the last decided one. It comes in the
/// step of the message that brought the bytes, so whoever passed on what is mismatched is known. Of one block it may come more
/// than once: with other bytes, or because more is known.
struct Validate {
  std::uint64_t question = 0;  ///< for the Verdict
  Height height = 0;
  Round round = 0;
  BlockId block;
  Bytes bytes;  ///< framed
  PublicKey proposer;
  bool wanted =
      false;  ///< two thirds have prevoted for it: an honest validator found its time right, so the clock need not
  bool certified = false;  ///< two thirds have precommitted to it: it is final
};
struct Decided {
  Height height = 0;
  Round round = 0;
  BlockId block;
  Bytes bytes;
  Bytes certificate;
};
/// Two things that a validator signed and that exclude each other (check_evidence). Once for each offender and height.
struct Evidence {
  PublicKey offender;
  Height height = 0;
  Bytes evidence;
};
/// Decided, but the block is not here: fetch it with its certificate. It comes again while that is so.
struct WantSync {
  Height height = 0;
};
/// A validator is at a later height: what lies between can be fetched. It comes again while that is so.
struct PeerAhead {
  PublicKey validator;
  Height height = 0;
};
/// A validator still votes at a height that is decided here: it lacks block and certificate. Once for each until the next reminder,
/// however often its votes are repeated, by whomever.
struct PeerBehind {
  PublicKey validator;
  Height height = 0;
};
/// The key has signed what is not in the log. Nothing is signed any more until SafeFrom.
struct Amnesia {
  Height height = 0;
  Round round = 0;
};
/// The application refused what two thirds have certified.
struct CertifiedRefused {
  Height height = 0;
  BlockId block;
};
/// For the operator's log.
struct Trouble {
  std::string text;
};
using Effect =
    std::variant<Broadcast, Append, Forget, SetTimer, CancelTimer, CancelTimers, RoundStarted, GetBlock, Validate,
                 Decided, Evidence, WantSync, PeerAhead, PeerBehind, Amnesia, CertifiedRefused, Trouble>;

struct Output {
  std::uint64_t after = 0;  ///< how many entries must be durable before
  Effect effect;
};

/// What was wrong with an input, and whether who passed a message on is to blame: not for what is early, or signed by a
/// validator that this node does not know yet.
struct Refusal {
  Error error;
  bool blames_sender = false;
};

class Consensus {
 public:
  explicit Consensus(const Config& config);
  ~Consensus();
  Consensus(Consensus&&) noexcept;
  Consensus& operator=(Consensus&&) noexcept;

  /// A refused input has changed nothing, but for `corrupt-log` (nothing is signed until SafeFrom), and for
  /// `would-sign-twice` and `stopped` (every later step is refused).
  [[nodiscard]] std::expected<std::vector<Output>, Refusal> step(const Input& input);

  /// Null for a follower.
  [[nodiscard]] PublicKey key() const;
  /// Whether nothing is signed at the present height, whatever happens.
  [[nodiscard]] bool is_observing() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a certificate proves: more than two thirds of the power precommitted to this block.
struct Certified {
  Height height = 0;
  Round round = 0;
  BlockId block;
  std::vector<PublicKey> signers;  ///< ascending
};

/// Needs nothing but the validators of its height. Errors: invalid, unauthorised (a signer is none of them, or is there
/// twice, or a signature does not hold), denied (too little power).
[[nodiscard]] Result<Certified> verify_certificate(const Cid& federation, const Validators& validators,
                                                   ByteView certificate);

struct Offence {
  PublicKey offender;
  Height height = 0;
};

/// Who signed two things that exclude each other. Whether it was a validator then is for the caller to say.
[[nodiscard]] Result<Offence> check_evidence(const Cid& federation, ByteView evidence);

/// The latest height of which a validator showed a certificate.
struct Shown {
  PublicKey validator;
  Height height = 0;
};

/// From which height on `own` can sign although it may have forgotten what it signed: three above the latest that the others
/// show, if those who answered have more than two thirds of the power; else nobody but the operator can know.
[[nodiscard]] std::optional<Height> safe_height(const Validators& validators, const PublicKey& own,
                                                std::span<const Shown> shown);

}  // namespace mesh::consensus
