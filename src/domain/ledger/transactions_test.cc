// Reading transactions: every kind there and back, every malformed one refused by name; signatures one by one and in batches.
#include "domain/ledger/transactions.h"

#include <gtest/gtest.h>

#include "domain/ledger/ledger_testing.h"

namespace mesh::ledger {
namespace {

const Cid town = dagcbor::cid_of(as_bytes("town"));
const Cid elsewhere = dagcbor::cid_of(as_bytes("elsewhere"));
const Person ada = person(1);
const Person bob = person(2);

identity::Signer signer_of(const Person& who, const Cid& federation = town) { return {who.seed, federation}; }

template <class T>
Bytes sealed(const T& body, const Person& who = ada, const Cid& federation = town) {
  return record::encode(signer_of(who, federation).seal(body));
}

std::string refusal(const Bytes& envelope) {
  const Result<Transaction> read = decode(envelope);
  return read ? "taken" : read.error().message.substr(0, read.error().message.find(':'));
}
std::string refusal_opening(const Bytes& envelope) {
  const Result<Opened> opened = open(envelope, town);
  const std::vector<Result<Opened>> batch = open_all(std::span(&envelope, 1), town);
  const std::string text = opened ? "taken" : opened.error().message;
  EXPECT_EQ(text, batch[0] ? "taken" : batch[0].error().message);
  return text.substr(0, text.find(':'));
}

Transfer transfer(std::uint64_t sequence = 0) {
  return {.account = ada.id, .sequence = sequence, .to = bob.id, .amount = 5, .memo = "thanks"};
}
Evidence conflict(const Bytes& first, const Bytes& second) {
  return {.account = bob.id, .sequence = 0, .first = first, .second = second};
}

/// A transfer as a map, to be spoilt.
dagcbor::Map fields_of_a_transfer() { return *record::to_value(transfer()).get<dagcbor::Map>(); }
Bytes sealed_fields(const dagcbor::Map& fields) {
  return record::encode(seal_bytes("transfer", dagcbor::encode(fields), town, ada.seed, ada.id));
}

TEST(Transactions, EveryKindIsReadBack) {
  const std::vector<Body> bodies{
      transfer(),
      Grant{.account = ada.id, .sequence = 1, .to = bob.id, .amount = ~std::uint64_t{0}, .reason = "welcome"},
      Bond{.account = ada.id, .sequence = 2, .amount = 1},
      Unbond{.account = ada.id, .sequence = 3, .amount = 1},
      Admit{.account = ada.id,
            .node = bob.id,
            .roles = {Role::member, Role::steward},
            .owner = "did",
            .expires_height = 9},
      Admit{.account = ada.id, .node = ada.id, .roles = {Role::member}},
      Revoke{.account = ada.id, .node = bob.id, .reason = "left"},
      Attest{.account = ada.id, .memory_mb = 512, .fuel_per_second = 7, .verifies = true},
      SetValidators{.account = ada.id,
                    .from_height = 9,
                    .validators = {{std::min(ada.id, bob.id), 1}, {std::max(ada.id, bob.id), 2}}},
      rotation(ada.id, 4, bob.seed, town),
      Evidence{.account = ada.id,
               .first = sealed(Bond{.account = bob.id, .amount = 1}, bob),
               .second = sealed(Bond{.account = bob.id, .amount = 2}, bob)},
      Lock{.account = ada.id, .intent = sealed(task::TaskIntent{})},
      Anchor{.account = ada.id, .commitments = {sealed(receipt::Commitment{.node = ada.id})}},
      Anchor{.account = ada.id,
             .commitments = {sealed(receipt::Commitment{.node = ada.id})},
             .offer = sealed(market::ComputeOffer{}),
             .award = sealed(market::Award{.given_ms = 5}, bob)},
      Timeout{.account = ada.id, .failed = {bob.id}},
      Settle{.account = ada.id,
             .receipt = sealed(receipt::ExecutionReceipt{}, bob),
             .commitments = {sealed(receipt::Commitment{})},
             .verifications = {sealed(receipt::VerificationReceipt{})},
             .verdict = sealed(verification::Verdict{}, bob)},
      Refund{.account = ada.id},
      Dispute{.account = ada.id, .reason = "wrong"},
      CommitChain{.account = ada.id, .length = 5}};
  EXPECT_EQ(bodies.size(), std::variant_size_v<Body> + 2);
  std::vector<Bytes> envelopes;
  for (const Body& body : bodies) {
    envelopes.push_back(std::visit([](const auto& one) { return sealed(one); }, body));
    const Result<Opened> opened = open(envelopes.back(), town);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    EXPECT_EQ((*opened)->body, body);
    EXPECT_EQ((*opened)->account, ada.id);
    EXPECT_EQ((*opened)->signer, ada.id);
    EXPECT_EQ((*opened)->envelope, envelopes.back());
    EXPECT_EQ((*opened)->cid, record::decode<Envelope>(envelopes.back())->cid());
  }
  const std::vector<Result<Opened>> batch = open_all(envelopes, town);
  ASSERT_EQ(batch.size(), envelopes.size());
  for (std::size_t i = 0; i < batch.size(); ++i) EXPECT_EQ((*batch[i])->body, bodies[i]);
}

TEST(Transactions, StrictDecodingRefuses) {
  dagcbor::Map fields = fields_of_a_transfer();
  ASSERT_EQ(refusal(sealed_fields(fields)), "taken");
  fields["fee"] = std::uint64_t{1};
  EXPECT_EQ(refusal(sealed_fields(fields)), "unknown-field");
  fields = fields_of_a_transfer();
  fields["amount"] = std::int64_t{-5};
  EXPECT_EQ(refusal(sealed_fields(fields)), "malformed") << "a negative amount";
  fields["amount"] = dagcbor::Integer{~std::uint64_t{0}, true};
  EXPECT_EQ(refusal(sealed_fields(fields)), "malformed") << "the most negative one";
  fields["amount"] = "5";
  EXPECT_EQ(refusal(sealed_fields(fields)), "malformed");
  fields = fields_of_a_transfer();
  fields.erase("memo");
  EXPECT_EQ(refusal(sealed_fields(fields)), "malformed") << "a field that is missing";
  fields = fields_of_a_transfer();
  fields["v"] = std::uint64_t{2};
  EXPECT_EQ(refusal(sealed_fields(fields)), "malformed") << "a later version";
  fields["type"] = "settle-everything";
  EXPECT_EQ(refusal(sealed_fields(fields)), "unknown-type");
  fields.erase("type");
  EXPECT_EQ(refusal(sealed_fields(fields)), "malformed");
  EXPECT_EQ(refusal({}), "malformed");
  EXPECT_EQ(refusal(to_bytes("\xa0")), "malformed");
  Bytes trailing = sealed(transfer());
  trailing.push_back(0);
  EXPECT_EQ(refusal(trailing), "malformed");
  const Bytes whole = sealed(transfer());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(refusal(to_bytes(ByteView(whole).first(size))), "taken");
  EXPECT_EQ(refusal(Bytes(max_settle_bytes + 1)), "transaction-too-large");
  Transfer wordy = transfer();
  wordy.memo = std::string(max_envelope_bytes, 'a');
  EXPECT_EQ(refusal(sealed(wordy)), "transaction-too-large");
}

// What is attached counts only with the signature of who said it, in this federation.
TEST(Transactions, AttachmentsAreCheckedWithThem) {
  const Lock good{.account = ada.id, .intent = sealed(task::TaskIntent{})};
  EXPECT_EQ(refusal_opening(sealed(good)), "taken");
  EXPECT_EQ(refusal_opening(sealed(Lock{.account = ada.id, .intent = sealed(task::TaskIntent{}, ada, elsewhere)})),
            "bad-signature");
  Envelope forged = *record::decode<Envelope>(good.intent);
  forged.key = bob.id;
  EXPECT_EQ(refusal_opening(sealed(Lock{.account = ada.id, .intent = record::encode(forged)})), "bad-signature");
  EXPECT_EQ(refusal(sealed(Lock{.account = ada.id})), "bad-attachment");
  EXPECT_EQ(refusal(sealed(Lock{.account = ada.id, .intent = sealed(market::Award{})})), "bad-attachment");
  const Bytes commitment = sealed(receipt::Commitment{.node = ada.id});
  EXPECT_EQ(refusal(sealed(Anchor{.account = ada.id})), "nothing-anchored");
  EXPECT_EQ(refusal(sealed(Anchor{.account = ada.id, .commitments = {commitment}, .offer = commitment})),
            "award-missing");
  EXPECT_EQ(refusal(sealed(Anchor{.account = ada.id, .commitments = std::vector(max_anchored + 1, commitment)})),
            "too-many-attachments");
  EXPECT_EQ(refusal(sealed(Anchor{.account = ada.id, .commitments = {Bytes(max_anchor_bytes)}})),
            "transaction-too-large");
  EXPECT_EQ(refusal(sealed(Settle{.account = ada.id})), "nothing-revealed");
  EXPECT_EQ(refusal(sealed(Settle{.account = ada.id, .commitments = {commitment}, .verdict = commitment})),
            "receipt-missing");
  EXPECT_EQ(
      refusal(sealed(Settle{.account = ada.id, .commitments = std::vector(max_settled_commitments + 1, commitment)})),
      "too-many-attachments");
  EXPECT_EQ(refusal(sealed(
                Settle{.account = ada.id, .verifications = std::vector(max_settled_verifications + 1, commitment)})),
            "too-many-attachments");
  EXPECT_EQ(refusal(sealed(Timeout{.account = ada.id})), "nobody-named");
  EXPECT_EQ(refusal(sealed(Timeout{.account = ada.id, .failed = {ada.id, ada.id}})), "nodes-unordered");
  EXPECT_EQ(refusal(sealed(Dispute{.account = ada.id, .reason = std::string(129, 'a')})), "text-too-long");
  EXPECT_EQ(refusal(sealed(CommitChain{.account = ada.id})), "bad-chain");
  EXPECT_EQ(refusal(sealed(CommitChain{.account = ada.id, .length = max_chain_length + 1})), "bad-chain");
}

TEST(Transactions, FormIsRefusedByName) {
  Transfer one = transfer();
  one.amount = 0;
  EXPECT_EQ(refusal(sealed(one)), "zero-amount");
  one = transfer();
  one.memo = std::string(128, 'a');
  EXPECT_EQ(refusal(sealed(one)), "taken");
  one.memo += 'a';
  EXPECT_EQ(refusal(sealed(one)), "text-too-long");
  one.memo = "\xff";
  EXPECT_EQ(refusal(sealed(one)), "malformed");
  EXPECT_EQ(refusal(sealed(Grant{.account = ada.id, .to = bob.id, .amount = 0})), "zero-amount");
  EXPECT_EQ(refusal(sealed(Grant{.account = ada.id, .to = bob.id, .amount = 1, .reason = std::string(129, 'a')})),
            "text-too-long");
  EXPECT_EQ(refusal(sealed(Bond{.account = ada.id})), "zero-amount");
  EXPECT_EQ(refusal(sealed(Unbond{.account = ada.id})), "zero-amount");
  EXPECT_EQ(refusal(sealed(Revoke{.account = ada.id, .node = bob.id, .reason = std::string(129, 'a')})),
            "text-too-long");
  EXPECT_EQ(refusal(sealed(Attest{.account = ada.id, .memory_mb = 0, .fuel_per_second = 1})), "empty-scope");
  EXPECT_EQ(refusal(sealed(Attest{.account = ada.id, .memory_mb = 1, .fuel_per_second = 0})), "empty-scope");
  Admit admit{.account = ada.id, .node = bob.id};
  EXPECT_EQ(refusal(sealed(admit)), "bad-roles") << "none";
  admit.roles = {Role::worker, Role::member};
  EXPECT_EQ(refusal(sealed(admit)), "bad-roles") << "out of order";
  admit.roles = {Role::member, Role::member};
  EXPECT_EQ(refusal(sealed(admit)), "bad-roles") << "twice";
  admit.roles = {Role::member};
  admit.owner = "";
  EXPECT_EQ(refusal(sealed(admit)), "bad-owner");
  admit.owner = std::string(129, 'a');
  EXPECT_EQ(refusal(sealed(admit)), "text-too-long");
  SetValidators set{.account = ada.id, .from_height = 2};
  EXPECT_EQ(refusal(sealed(set)), "bad-validator-count");
  set.validators = {{ada.id, 0}};
  EXPECT_EQ(refusal(sealed(set)), "zero-power");
  set.validators = {{ada.id, max_power}};
  EXPECT_EQ(refusal(sealed(set)), "taken");
  set.validators = {{ada.id, 1}, {ada.id, 1}};
  EXPECT_EQ(refusal(sealed(set)), "validators-unordered");
  set.validators.clear();
  for (std::uint64_t i = 0; i <= max_validators; ++i) set.validators.push_back({nobody(i), 1});
  std::ranges::sort(set.validators, {}, &SetValidators::Seat::account);
  EXPECT_EQ(refusal(sealed(set)), "bad-validator-count");
  set.validators.pop_back();
  EXPECT_EQ(refusal(sealed(set)), "taken");
  set.validators.back().power = max_power;
  EXPECT_EQ(refusal(sealed(set)), "power-overflow");
  set.validators.back().power = ~std::uint64_t{0};
  EXPECT_EQ(refusal(sealed(set)), "power-overflow");
}

TEST(Transactions, EvidenceShowsAConflict) {
  const Bytes first = sealed(transfer());
  const Bytes second = sealed(Bond{.account = ada.id, .amount = 1});
  EXPECT_EQ(refusal_opening(sealed(conflict(first, second), bob)), "taken");
  EXPECT_EQ(refusal_opening(sealed(conflict(second, first), bob)), "taken");
  EXPECT_EQ(refusal(sealed(conflict(first, first), bob)), "not-a-conflict");
  EXPECT_EQ(refusal(sealed(conflict(first, sealed(transfer(), bob)), bob)), "not-a-conflict")
      << "one body, two signatures";
  EXPECT_EQ(refusal(sealed(conflict(first, sealed(transfer(1))), bob)), "not-a-conflict") << "another number";
  EXPECT_EQ(refusal(sealed(conflict(first, sealed(Bond{.account = bob.id, .amount = 1})), bob)), "not-a-conflict");
  EXPECT_EQ(refusal(sealed(Evidence{.account = ada.id, .first = first, .second = second})), "own-evidence");
  const Bytes report = sealed(Evidence{.account = ada.id,
                                       .first = sealed(Bond{.account = bob.id, .amount = 1}, bob),
                                       .second = sealed(Bond{.account = bob.id, .amount = 2}, bob)});
  EXPECT_EQ(refusal(sealed(conflict(first, report), bob)), "not-a-conflict") << "evidence is none";
  EXPECT_EQ(refusal(sealed(conflict(report, first), bob)), "not-a-conflict");
  EXPECT_EQ(refusal(sealed(conflict(first, {}), bob)), "bad-evidence");
  EXPECT_EQ(refusal(sealed(conflict(first, Bytes(max_envelope_bytes + 1)), bob)), "bad-evidence");
  // Any two fit in, be they as large as a transaction may be.
  Transfer wordy = transfer();
  wordy.memo = std::string(max_envelope_bytes, 'a');
  wordy.memo.resize(wordy.memo.size() - (sealed(wordy).size() - max_envelope_bytes));
  const Bytes large = sealed(wordy);
  EXPECT_EQ(large.size(), max_envelope_bytes);
  wordy.memo.back() = 'b';
  EXPECT_EQ(refusal_opening(sealed(conflict(large, sealed(wordy)), bob)), "taken");
  // Signatures of what is shown count, too.
  EXPECT_EQ(refusal_opening(sealed(conflict(first, sealed(Bond{.account = ada.id, .amount = 1}, ada, elsewhere)), bob)),
            "bad-signature");
  dagcbor::Map fields = *record::to_value(conflict(first, second)).get<dagcbor::Map>();
  fields["kind"] = "rumours";
  EXPECT_EQ(refusal(record::encode(seal_bytes("evidence", dagcbor::encode(fields), town, bob.seed, bob.id))),
            "malformed");
}

/// A vote or a proposal as evidence shows it, signed.
Bytes said(EvidenceKind kind, std::uint64_t height, std::uint32_t round, const Digest& block, const Person& who = ada,
           const Cid& federation = town) {
  Bytes bytes = said_by(kind, who.id, height, round, block);
  const Said read{
      .key = who.id, .signature = {}, .body = to_bytes(ByteView(bytes).subspan(PublicKey::size + Signature::size))};
  const Signature signature = mesh::sign(who.seed, input_of(kind, read, federation));
  std::ranges::copy(signature.view(), bytes.begin() + PublicKey::size);
  return bytes;
}
Evidence said_twice(EvidenceKind kind, const Bytes& first, const Bytes& second) {
  return {.account = bob.id, .sequence = 0, .kind = kind, .first = first, .second = second};
}

TEST(Transactions, EvidenceShowsTwoVotes) {
  const Digest one = sha256(as_bytes("one"));
  const Digest other = sha256(as_bytes("other"));
  const Digest none;
  for (const EvidenceKind kind : {EvidenceKind::votes, EvidenceKind::proposals}) {
    const auto form = [&](const Bytes& first, const Bytes& second) {
      return refusal(sealed(said_twice(kind, first, second), bob));
    };
    const auto opening = [&](const Bytes& first, const Bytes& second) {
      return refusal_opening(sealed(said_twice(kind, first, second), bob));
    };
    const Bytes first = said(kind, 7, 2, one);
    const Bytes second = said(kind, 7, 2, other);
    EXPECT_EQ(opening(first, second), "taken");
    EXPECT_EQ(opening(second, first), "taken");
    EXPECT_EQ(form(first, first), "not-a-conflict") << "the same twice";
    Bytes resigned = first;
    resigned[PublicKey::size] ^= 1;
    EXPECT_EQ(form(first, resigned), "not-a-conflict") << "the same with another signature";
    EXPECT_EQ(form(first, said(kind, 8, 2, other)), "not-a-conflict") << "another height";
    EXPECT_EQ(form(first, said(kind, 7, 3, other)), "not-a-conflict") << "another round";
    EXPECT_EQ(form(first, said(kind, 7, 2, other, bob)), "not-a-conflict") << "another's";
    Bytes forged = second;
    forged[PublicKey::size] ^= 1;
    EXPECT_EQ(opening(first, forged), "bad-signature");
    EXPECT_EQ(opening(first, said(kind, 7, 2, other, ada, elsewhere)), "bad-signature") << "another federation's";
    for (const Bytes& bad : {Bytes(), to_bytes(ByteView(second).first(second.size() - 1)), Bytes(200)})
      EXPECT_EQ(form(first, bad), "bad-evidence");
    EXPECT_EQ(form(first, said(kind, 0, 2, other)), "bad-evidence");
    EXPECT_EQ(form(first, said(kind, (std::uint64_t{1} << 60) + 1, 2, other)), "bad-evidence");
    EXPECT_EQ(form(first, said(kind, 7, (1U << 30) + 1, other)), "bad-evidence");
    const EvidenceKind kind_of_others = kind == EvidenceKind::votes ? EvidenceKind::proposals : EvidenceKind::votes;
    EXPECT_EQ(form(first, said(kind_of_others, 7, 2, other)), "bad-evidence");
    EXPECT_EQ(refusal(sealed(conflict(first, second), bob)), "bad-evidence") << "no transactions";
    EXPECT_EQ(refusal(sealed(said_twice(kind, first, second))), "taken") << "whoever reports";
  }
  constexpr auto votes = EvidenceKind::votes;
  EXPECT_EQ(refusal_opening(sealed(said_twice(votes, said(votes, 7, 2, none), said(votes, 7, 2, one)), bob)), "taken")
      << "for none, and for one";
  constexpr std::size_t body = PublicKey::size + Signature::size;
  const auto changed = [&](EvidenceKind kind, std::size_t at, std::uint8_t to) {
    Bytes bytes = said(kind, 7, 2, other);
    bytes[body + at] = to;
    return refusal(sealed(said_twice(kind, said(kind, 7, 2, one), bytes), bob));
  };
  EXPECT_EQ(changed(votes, 0, 2), "not-a-conflict") << "a prevote and a precommit";
  EXPECT_EQ(changed(votes, 0, 3), "bad-evidence");
  EXPECT_EQ(changed(votes, 13, 0), "bad-evidence") << "for none, and names one";
  EXPECT_EQ(changed(votes, 13, 2), "bad-evidence");
  Bytes repeated = said(EvidenceKind::proposals, 7, 2, other);
  for (std::size_t i = 0; i < 4; ++i) repeated[body + 12 + i] = repeated[body + 8 + i];
  EXPECT_EQ(
      refusal(sealed(said_twice(EvidenceKind::proposals, said(EvidenceKind::proposals, 7, 2, one), repeated), bob)),
      "bad-evidence")
      << "no round is before itself";
  // What is signed for a vote is no signature of a proposal.
  Bytes crossed = said(EvidenceKind::proposals, 7, 2, other);
  std::ranges::copy(ByteView(said(votes, 7, 2, other)).subspan(PublicKey::size, Signature::size),
                    crossed.begin() + PublicKey::size);
  EXPECT_EQ(refusal_opening(
                sealed(said_twice(EvidenceKind::proposals, said(EvidenceKind::proposals, 7, 2, one), crossed), bob)),
            "bad-signature");
}

TEST(Transactions, SignaturesHoldForOneTypeAndFederation) {
  EXPECT_EQ(refusal_opening(sealed(transfer())), "taken");
  EXPECT_EQ(refusal_opening(sealed(transfer(), ada, elsewhere)), "bad-signature") << "of another federation";
  Envelope envelope = signer_of(ada).seal(transfer());
  envelope.key = bob.id;
  EXPECT_EQ(refusal_opening(record::encode(envelope)), "bad-signature");
  envelope = signer_of(ada).seal(transfer());
  envelope.sig.data()[0] ^= 1;
  EXPECT_EQ(refusal_opening(record::encode(envelope)), "bad-signature");
  // Signed as a bond, sent as a withdrawal.
  envelope = signer_of(ada).seal(Bond{.account = ada.id, .amount = 1});
  envelope.body = record::encode(Unbond{.account = ada.id, .amount = 1});
  EXPECT_EQ(refusal_opening(record::encode(envelope)), "bad-signature");
  // The neutral element signs for everybody.
  envelope = signer_of(ada).seal(transfer());
  envelope.key = *PublicKey::from(*from_hex("0100000000000000000000000000000000000000000000000000000000000000"));
  envelope.sig =
      *Signature::from(*from_hex("0100000000000000000000000000000000000000000000000000000000000000"
                                 "0000000000000000000000000000000000000000000000000000000000000000"));
  EXPECT_EQ(refusal_opening(record::encode(envelope)), "bad-signature");
}

TEST(Transactions, ARotationNeedsTheNewKeysWord) {
  Rotate rotate = rotation(ada.id, 3, bob.seed, town);
  EXPECT_EQ(refusal_opening(sealed(rotate)), "taken");
  rotate.sequence = 4;
  EXPECT_EQ(refusal_opening(sealed(rotate)), "bad-signature") << "a proof for another time";
  rotate = rotation(ada.id, 3, bob.seed, elsewhere);
  EXPECT_EQ(refusal_opening(sealed(rotate)), "bad-signature") << "a proof for another federation";
  rotate = rotation(bob.id, 3, bob.seed, town);
  rotate.account = ada.id;
  EXPECT_EQ(refusal_opening(sealed(rotate)), "bad-signature") << "a proof for another account";
  rotate = rotation(ada.id, 3, ada.seed, town);
  rotate.key = bob.id;
  EXPECT_EQ(refusal_opening(sealed(rotate)), "bad-signature") << "a key that is not hers";
}

TEST(Transactions, ABatchAnswersLikeEachAlone) {
  std::vector<Bytes> envelopes;
  for (std::uint64_t i = 0; i < 700; ++i) {
    envelopes.push_back(sealed(transfer(i)));
    if (i % 97 == 5) envelopes.back()[10] ^= 1;  // In the key.
    if (i % 101 == 7) envelopes.back() = sealed(transfer(i), ada, elsewhere);
    if (i % 103 == 9) envelopes.back().clear();
  }
  const std::vector<Result<Opened>> batch = open_all(envelopes, town);
  ASSERT_EQ(batch.size(), envelopes.size());
  std::size_t refused = 0;
  for (std::size_t i = 0; i < envelopes.size(); ++i) {
    const Result<Opened> alone = open(envelopes[i], town);
    ASSERT_EQ(batch[i].has_value(), alone.has_value()) << i;
    if (alone) {
      EXPECT_EQ((*batch[i])->cid, (*alone)->cid);
    } else {
      EXPECT_EQ(batch[i].error(), alone.error());
      ++refused;
    }
  }
  EXPECT_EQ(refused, 22U);
  // None holds, one does, one does not.
  for (const std::size_t odd : {std::size_t{0}, std::size_t{255}, std::size_t{511}}) {
    std::vector<Bytes> bad(512, sealed(transfer(), ada, elsewhere));
    std::vector<Bytes> good(512, sealed(transfer()));
    std::swap(bad[odd], good[odd]);
    const std::vector<Result<Opened>> nearly_none = open_all(bad, town);
    const std::vector<Result<Opened>> nearly_all = open_all(good, town);
    for (std::size_t i = 0; i < bad.size(); ++i) {
      EXPECT_EQ(nearly_none[i].has_value(), i == odd);
      EXPECT_EQ(nearly_all[i].has_value(), i != odd);
    }
  }
  EXPECT_TRUE(open_all({}, town).empty());
}

}  // namespace
}  // namespace mesh::ledger
