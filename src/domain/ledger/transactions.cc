#include "domain/ledger/transactions.h"

#include <numeric>

#include "base/checked.h"

namespace mesh::ledger {

namespace {

constexpr std::string_view rotation_type = "account-key";
// An equation over this many signatures costs each of them little more than one over all.
constexpr std::size_t signatures_at_once = 512;

// ---- what can be said of each kind without keys and state

Status check_text(std::string_view name, std::string_view text) {
  if (text.size() <= max_text_bytes) return {};
  return fail(ErrorCode::invalid, "text-too-long: the " + std::string(name) + " has " + std::to_string(text.size()) +
                                      " bytes, more than the 128 allowed");
}

Status check_amount(std::uint64_t amount) {
  if (amount == 0) return fail(ErrorCode::invalid, "zero-amount: the amount is at least 1");
  return {};
}

Status check(const Transfer& one) {
  MESH_TRY(check_amount(one.amount));
  return check_text("memo", one.memo);
}

Status check(const Grant& one) {
  MESH_TRY(check_amount(one.amount));
  return check_text("reason", one.reason);
}

Status check(const Bond& one) { return check_amount(one.amount); }
Status check(const Unbond& one) { return check_amount(one.amount); }

Status check(const Admit& one) {
  const bool in_order = std::ranges::adjacent_find(one.roles, std::greater_equal<>{}) == one.roles.end();
  if (one.roles.empty() || !in_order)
    return fail(ErrorCode::invalid, "bad-roles: there is at least one role, and each is named once and in order");
  if (!one.owner) return {};
  if (one.owner->empty()) return fail(ErrorCode::invalid, "bad-owner: an owner that is the node itself is left out");
  return check_text("owner", *one.owner);
}

Status check(const Revoke& one) { return check_text("reason", one.reason); }

Status check(const Attest& one) {
  if (one.memory_mb == 0 || one.fuel_per_second == 0)
    return fail(ErrorCode::invalid, "empty-scope: memory and fuel per second are at least 1");
  return {};
}

Status check(const SetValidators& one) {
  if (one.validators.empty() || one.validators.size() > max_validators) {
    return fail(ErrorCode::invalid,
                "bad-validator-count: a set has 1 to 64 validators, not " + std::to_string(one.validators.size()));
  }
  if (std::ranges::adjacent_find(one.validators, std::greater_equal<>{}, &SetValidators::Seat::account) !=
      one.validators.end()) {
    return fail(ErrorCode::invalid, "validators-unordered: each is named once, ascending by account");
  }
  std::uint64_t power = 0;
  for (const SetValidators::Seat& seat : one.validators) {
    if (seat.power == 0) return fail(ErrorCode::invalid, "zero-power: a validator's power is at least 1");
    const std::optional<std::uint64_t> sum = checked_add(power, seat.power);
    if (!sum || *sum > max_power) return fail(ErrorCode::invalid, "power-overflow: all power together is at most 2^60");
    power = *sum;
  }
  return {};
}

Status check(const Rotate&) { return {}; }
Status check(const Evidence&) { return {}; }  // By shown_by and said_by, which read what it shows.

// ---- reading

/// Lists the names of a record's fields.
struct FieldNames {
  std::vector<std::string_view> names;
  template <class T>
  void operator()(std::string_view name, const T&) {
    names.push_back(name);
  }
};

/// Why a body of this type did not decode, under the stable name.
template <class T>
std::unexpected<Error> refused_body(const dagcbor::Value& value, Error error) {
  FieldNames known{{"type", "v"}};
  const T none;
  T::fields(none, known);
  for (const auto& [name, field] : *value.get<dagcbor::Map>()) {
    if (std::ranges::find(known.names, name) == known.names.end()) {
      return fail(ErrorCode::invalid,
                  "unknown-field: a \"" + std::string(T::type) + "\" has no field \"" + utf8_excerpt(name, 64) + "\"");
    }
  }
  return wrap("malformed", std::move(error));
}

template <std::size_t I = 0>
Result<Body> body_of(std::string_view type, const dagcbor::Value& value) {
  if constexpr (I == std::variant_size_v<Body>) {
    return fail(ErrorCode::unsupported, "unknown-type: there is no transaction \"" + utf8_excerpt(type, 64) + "\"");
  } else {
    using T = std::variant_alternative_t<I, Body>;
    if (type != T::type) return body_of<I + 1>(type, value);
    T body;
    if (Status read = record::from_value(value, body); !read) return refused_body<T>(value, std::move(read.error()));
    return body;
  }
}

Result<Body> decode_body(ByteView bytes) {
  Result<dagcbor::Value> value = dagcbor::decode(bytes, dagcbor::record_limits);
  if (!value) return wrap("malformed", std::move(value.error()));
  const dagcbor::Value* type = value->find("type");
  const std::string* text = type == nullptr ? nullptr : type->get<std::string>();
  if (text == nullptr) return fail(ErrorCode::invalid, "malformed: the record has no type");
  return body_of(*text, *value);
}

Result<Transaction> decode_unchecked(ByteView bytes, std::size_t max_bytes) {
  if (bytes.size() > max_bytes) {
    return fail(ErrorCode::exhausted, "transaction-too-large: it has " + std::to_string(bytes.size()) +
                                          " bytes, more than the " + std::to_string(max_bytes) + " allowed");
  }
  Result<Envelope> envelope = record::decode<Envelope>(bytes);
  if (!envelope) return wrap("malformed", std::move(envelope.error()));
  Transaction transaction;
  MESH_LET(transaction.body, decode_body(envelope->body));
  std::visit(
      [&](const auto& body) {
        transaction.account = body.account;
        transaction.sequence = body.sequence;
      },
      transaction.body);
  transaction.signer = envelope->key;
  transaction.signature = envelope->sig;
  transaction.cid = envelope->cid();
  transaction.envelope = to_bytes(bytes);
  return transaction;
}

/// What evidence consists of, if it is a conflict of somebody else's at all.
Result<std::vector<Transaction>> shown_by(const Evidence& evidence) {
  std::vector<Transaction> shown;
  for (const Bytes* envelope : {&evidence.first, &evidence.second}) {
    Result<Transaction> one = decode_unchecked(*envelope, max_envelope_bytes);
    if (!one) return wrap("bad-evidence", std::move(one.error()));
    shown.push_back(std::move(*one));
  }
  if (shown[0].account != shown[1].account || shown[0].sequence != shown[1].sequence || shown[0].cid == shown[1].cid) {
    return fail(ErrorCode::invalid, "not-a-conflict: two different transactions of one account and sequence are one");
  }
  if (!can_conflict(shown[0].body) || !can_conflict(shown[1].body))
    return fail(ErrorCode::invalid,
                "not-a-conflict: evidence, anchors and settlements are none, whatever else is signed for their number");
  if (shown[0].account == evidence.account)
    return fail(ErrorCode::invalid, "own-evidence: an account's conflicts are for others to report");
  return shown;
}

// ---- what validators sign

constexpr std::size_t vote_bytes = 46;
constexpr std::size_t proposal_bytes = 48;
constexpr std::uint64_t max_consensus_height = std::uint64_t{1} << 60;
constexpr std::uint64_t max_consensus_round = std::uint64_t{1} << 30;
constexpr std::uint64_t no_earlier_round = ~std::uint32_t{0};

std::uint64_t number_at(ByteView bytes, std::size_t at, std::size_t count) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes.subspan(at, count)) number = number << 8 | byte;
  return number;
}

/// Where height and round begin: in a vote its kind comes before them.
std::size_t place_in_body(EvidenceKind kind) { return kind == EvidenceKind::votes ? 1 : 0; }

/// Kind, height and round: what one validator says one thing about.
ByteView slot_of(EvidenceKind kind, const Said& said) {
  return ByteView(said.body).first(place_in_body(kind) + sizeof(std::uint64_t) + sizeof(std::uint32_t));
}

/// Whether consensus takes bytes of the right length for the body of a vote.
bool is_vote(ByteView body) {
  const bool kind = body[0] == 1 || body[0] == 2;
  const ByteView block = body.subspan(14);
  const bool none = std::ranges::all_of(block, [](std::uint8_t byte) { return byte == 0; });
  return kind && (body[13] == 1 || (body[13] == 0 && none));
}

bool is_proposal(ByteView body) {
  const std::uint64_t earlier = number_at(body, 12, 4);
  return earlier == no_earlier_round || earlier < number_at(body, 8, 4);
}

Result<std::vector<Said>> said_by(const Evidence& evidence) {
  std::vector<Said> said;
  for (const Bytes* bytes : {&evidence.first, &evidence.second}) {
    MESH_LET(Said one, read_said(evidence.kind, *bytes));
    said.push_back(std::move(one));
  }
  if (said[0].key != said[1].key)
    return fail(ErrorCode::invalid, "not-a-conflict: the two are signed by different keys");
  if (!std::ranges::equal(slot_of(evidence.kind, said[0]), slot_of(evidence.kind, said[1])))
    return fail(ErrorCode::invalid, "not-a-conflict: the two differ in kind, height or round, so both may be said");
  if (said[0].body == said[1].body) return fail(ErrorCode::invalid, "not-a-conflict: it is the same thing twice");
  return said;
}

std::size_t max_bytes_of(const Body& body) {
  if (std::holds_alternative<Evidence>(body)) return max_evidence_bytes;
  if (std::holds_alternative<Anchor>(body)) return max_anchor_bytes;
  if (std::holds_alternative<Settle>(body)) return max_settle_bytes;
  return max_envelope_bytes;
}

// ---- signatures

std::string_view type_of(const Transaction& transaction) {
  return std::visit([](const auto& body) { return std::decay_t<decltype(body)>::type; }, transaction.body);
}

/// A signature that has to hold, with what it is over.
struct Needed {
  PublicKey key;
  Signature signature;
  Bytes input;
  [[nodiscard]] SignedMessage message() const { return {key, input, signature}; }
};

void need(std::vector<Needed>& needed, const Transaction& transaction, const Cid& federation) {
  needed.push_back({transaction.signer, transaction.signature,
                    signing_input(type_of(transaction), federation, transaction.cid.digest())});
}

void need_all(std::vector<Needed>& needed, const Transaction& transaction, const Cid& federation) {
  need(needed, transaction, federation);
  if (const Rotate* rotate = std::get_if<Rotate>(&transaction.body))
    needed.push_back({rotate->key, rotate->proof, rotation_input(rotate->account, rotate->sequence, federation)});
  for (const Transaction& shown : transaction.shown) need(needed, shown, federation);
  for (const Said& said : transaction.said) {
    const EvidenceKind kind = std::get<Evidence>(transaction.body).kind;
    needed.push_back({said.key, said.signature, input_of(kind, said, federation)});
  }
  if (!transaction.attachments) return;
  for (const Attachments::Claim& claim : transaction.attachments->claims)
    needed.push_back({claim.key, claim.signature, signing_input(claim.type, federation, claim.body)});
}

bool holds(const Needed& one) { return verify(one.key, one.input, one.signature); }

/// Which of many signatures hold. All are checked at once; where that fails, half of them, and so on down to those that do not
/// hold. Somebody may send nothing but bad ones, so once as many signatures were looked at in vain as there are, the others
/// are checked one by one.
class Search {
 public:
  explicit Search(const std::vector<Needed>& needed)
      : needed_(needed), good_(needed.size(), true), left_(needed.size()) {
    messages_.reserve(needed.size());
    for (const Needed& one : needed) messages_.push_back(one.message());
    if (!verify_all(messages_)) find_bad(0, needed.size());
  }
  [[nodiscard]] bool is_good(std::size_t at) const { return good_[at]; }

 private:
  static constexpr std::size_t few = 4;  // An equation over so few is no cheaper than each by itself.

  [[nodiscard]] bool all_hold(std::size_t begin, std::size_t end) {
    const bool all = verify_all(std::span(messages_).subspan(begin, end - begin));
    if (!all) left_ -= std::min(left_, end - begin);
    return all;
  }
  /// Of signatures that do not all hold.
  void find_bad(std::size_t begin, std::size_t end) {  // NOLINT(misc-no-recursion): as deep as halves can be halved
    if (end - begin <= few || left_ == 0) {
      for (std::size_t i = begin; i < end; ++i) good_[i] = holds(needed_[i]);
      return;
    }
    const std::size_t middle = begin + (end - begin) / 2;
    const bool first = all_hold(begin, middle);
    if (!first) find_bad(begin, middle);
    // Where the first half holds, it is known of the second that it does not.
    if (first || !all_hold(middle, end)) find_bad(middle, end);
  }

  const std::vector<Needed>& needed_;
  std::vector<SignedMessage> messages_;
  std::vector<bool> good_;
  std::size_t left_;  ///< signatures that may still be looked at in vain
};

std::unexpected<Error> refused_signature(const Transaction& transaction) {
  return fail(ErrorCode::unauthorised, "bad-signature: a signature is not the key's over this \"" +
                                           std::string(type_of(transaction)) + "\" in this federation");
}

/// Opens those of `decoded` that were read.
void open_some(std::span<Result<Transaction>> decoded, const Cid& federation, std::vector<Result<Opened>>& opened) {
  std::vector<Needed> needed;
  std::vector<std::size_t> ends;  // Of each transaction's signatures.
  for (const Result<Transaction>& one : decoded) {
    if (one) need_all(needed, *one, federation);
    ends.push_back(needed.size());
  }
  const Search search(needed);
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    if (!decoded[i]) {
      opened.emplace_back(std::unexpected(std::move(decoded[i].error())));
      continue;
    }
    const std::size_t begin = i == 0 ? 0 : ends[i - 1];
    bool good = true;
    for (std::size_t at = begin; at < ends[i]; ++at)
      good = good && search.is_good(at) && !is_small_order(needed[at].key);
    if (good) {
      opened.emplace_back(Opened::trusted(std::move(*decoded[i])));
    } else {
      opened.emplace_back(refused_signature(*decoded[i]));
    }
  }
}

}  // namespace

std::span<const std::string_view> enum_names(Role) {
  static constexpr std::array<std::string_view, 5> names{"member", "worker", "verifier", "validator", "steward"};
  return names;
}

std::span<const std::string_view> enum_names(EvidenceKind) {
  static constexpr std::array<std::string_view, 3> names{"transactions", "votes", "proposals"};
  return names;
}

Result<Said> read_said(EvidenceKind kind, ByteView bytes) {
  const bool vote = kind == EvidenceKind::votes;
  constexpr std::size_t head = PublicKey::size + Signature::size;
  if (bytes.size() != head + (vote ? vote_bytes : proposal_bytes))
    return fail(ErrorCode::invalid, "bad-evidence: these are not key, signature and body of a vote or a proposal");
  Said said{.key = *PublicKey::from(bytes.first(PublicKey::size)),
            .signature = *Signature::from(bytes.subspan(PublicKey::size, Signature::size)),
            .body = to_bytes(bytes.subspan(head))};
  const std::size_t at = place_in_body(kind);
  said.height = number_at(said.body, at, 8);
  const bool in_range =
      said.height >= 1 && said.height <= max_consensus_height && number_at(said.body, at + 8, 4) <= max_consensus_round;
  if (!in_range || !(vote ? is_vote(said.body) : is_proposal(said.body)))
    return fail(ErrorCode::invalid, "bad-evidence: consensus knows no such vote or proposal");
  return said;
}

Bytes input_of(EvidenceKind kind, const Said& said, const Cid& federation) {
  Bytes input = to_bytes(std::string_view("meshwork/1"));
  input.push_back(0);
  append(input, as_bytes(kind == EvidenceKind::votes ? "vote" : "proposal"));
  input.push_back(0);
  append(input, federation.binary());
  input.push_back(0);
  append(input, said.body);
  return input;
}

bool can_conflict(const Body& body) { return max_bytes_of(body) == max_envelope_bytes; }

Bytes rotation_input(const AccountId& account, std::uint64_t sequence, const Cid& federation) {
  Bytes body = to_bytes(account.view());
  append(body, big_endian(sequence));
  return signing_input(rotation_type, federation, body);
}

Result<Transaction> decode(ByteView envelope) {
  MESH_LET(Transaction transaction, decode_unchecked(envelope, max_settle_bytes));
  if (const std::size_t most = max_bytes_of(transaction.body); envelope.size() > most) {
    return fail(ErrorCode::exhausted, "transaction-too-large: it has " + std::to_string(envelope.size()) +
                                          " bytes, more than the " + std::to_string(most) + " allowed");
  }
  MESH_TRY(std::visit([](const auto& body) { return check(body); }, transaction.body));
  if (const Evidence* evidence = std::get_if<Evidence>(&transaction.body)) {
    if (evidence->kind == EvidenceKind::transactions) {
      MESH_LET(transaction.shown, shown_by(*evidence));
    } else {
      MESH_LET(transaction.said, said_by(*evidence));
    }
  }
  MESH_TRY(std::visit(
      [&](const auto& body) -> Status {
        if constexpr (requires { attachments_of(body); }) {
          MESH_LET(Attachments attachments, attachments_of(body));
          transaction.attachments = std::make_shared<const Attachments>(std::move(attachments));
        }
        return {};
      },
      transaction.body));
  return transaction;
}

Result<Opened> open(ByteView envelope, const Cid& federation) {
  MESH_LET(Transaction transaction, decode(envelope));
  std::vector<Needed> needed;
  need_all(needed, transaction, federation);
  const bool good =
      std::ranges::all_of(needed, [](const Needed& one) { return can_be_identity(one.key) && holds(one); });
  if (!good) return refused_signature(transaction);
  return Opened::trusted(std::move(transaction));
}

std::vector<Result<Opened>> open_all(std::span<const Bytes> envelopes, const Cid& federation) {
  std::vector<Result<Opened>> opened;
  opened.reserve(envelopes.size());
  for (std::size_t begin = 0; begin < envelopes.size(); begin += signatures_at_once) {
    std::vector<Result<Transaction>> decoded;
    for (const Bytes& envelope : envelopes.subspan(begin, std::min(signatures_at_once, envelopes.size() - begin)))
      decoded.push_back(decode(envelope));
    open_some(decoded, federation, opened);
  }
  return opened;
}

std::vector<Result<Opened>> check_all(std::vector<Transaction> decoded, const Cid& federation) {
  std::vector<Result<Opened>> opened;
  opened.reserve(decoded.size());
  for (std::size_t begin = 0; begin < decoded.size(); begin += signatures_at_once) {
    std::vector<Result<Transaction>> some;
    for (Transaction& one : std::span(decoded).subspan(begin, std::min(signatures_at_once, decoded.size() - begin)))
      some.emplace_back(std::move(one));
    open_some(some, federation, opened);
  }
  return opened;
}

Rotate rotation(const AccountId& account, std::uint64_t sequence, const Seed& key, const Cid& federation) {
  return {.account = account,
          .sequence = sequence,
          .key = public_key_of(key),
          .proof = mesh::sign(key, rotation_input(account, sequence, federation))};
}

}  // namespace mesh::ledger
