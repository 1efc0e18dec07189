#include "app/api/ledger_render.h"

#include <gtest/gtest.h>

#include <set>

#include "app/api/schemas.h"
#include "app/api/task_request.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::app {
namespace {

using identity::did_of;
using ledger::person;

constexpr std::uint64_t ann = 1;
constexpr std::uint64_t bob = 2;

/// Whether the object has the fields of the schema, all of them that it must have and no others.
void expect_schema(const Json& json, std::string_view name) {
  const auto schema = std::ranges::find(schema_table, name, &NamedSchema::name);
  ASSERT_NE(schema, schema_table.end()) << name;
  std::set<std::string> left;
  for (const auto& [key, value] : json.items()) left.insert(key);
  std::string_view fields = schema->fields;
  while (!fields.empty()) {
    const std::size_t space = std::min(fields.find(' '), fields.size());
    const std::string_view field = fields.substr(0, space);
    fields.remove_prefix(std::min(space + 1, fields.size()));
    std::string key(field.substr(0, field.find(':')));
    const std::string_view type = field.substr(field.find(':') + 1);
    const bool is_optional = key.ends_with('?');
    if (is_optional) key.pop_back();
    EXPECT_TRUE(left.erase(key) == 1 || is_optional) << name << " lacks " << key;
    if (!json.contains(key)) continue;
    const Json& value = json[key];
    EXPECT_TRUE(type != "string" || value.is_string()) << name << "." << key;
    EXPECT_TRUE(type != "integer" || value.is_number_integer()) << name << "." << key;
    EXPECT_TRUE(type != "boolean" || value.is_boolean()) << name << "." << key;
    EXPECT_TRUE(!type.ends_with("[]") || value.is_array()) << name << "." << key;
    if (type.ends_with("|null")) continue;
    const std::string_view item = type.ends_with("[]") ? type.substr(0, type.size() - 2) : type;
    const bool is_schema = std::ranges::find(schema_table, item, &NamedSchema::name) != schema_table.end();
    if (is_schema && value.is_object()) expect_schema(value, item);
    for (const Json& one : is_schema&& value.is_array() ? value : Json::array()) expect_schema(one, item);
  }
  EXPECT_TRUE(left.empty()) << name << " has " << *left.begin();
}

ledger::Genesis genesis() {
  return ledger::genesis_of(
      {{.account = person(0).id,
        .credits = (std::uint64_t{1} << 53) + 1,
        .bonded = 2'000'000,
        .weight = 500,
        .power = std::uint64_t{1} << 54,
        .roles = {ledger::Role::validator, ledger::Role::steward}},
       {.account = person(ann).id, .credits = 5, .roles = {ledger::Role::member}, .owner = "did:web:example.org"}});
}

template <class T>
Json rendered(T body) {
  body.account = person(ann).id;
  body.sequence = 3;
  const Cid federation = Cid::of(Multicodec::dag_cbor, {});
  const Json json = transaction_json(ledger::sign(body, identity::Signer(person(ann).seed, federation))->envelope, 7);
  expect_schema(json, "LedgerTransaction");
  EXPECT_EQ(json["number"], 7);
  EXPECT_EQ(json["kind"], T::type);
  EXPECT_EQ(json["account"], did_of(person(ann).id));
  EXPECT_EQ(json["sequence"], 3);
  EXPECT_EQ(json["signer"], did_of(person(ann).id));
  EXPECT_FALSE(json["fields"].contains("account"));
  EXPECT_FALSE(json["fields"].contains("sequence"));
  return json["fields"];
}

TEST(LedgerJson, SaysWhatThereIs) {
  const ledger::Ledger ledger = ledger::found_on(genesis());
  LedgerStatus status{.name = "town", .own = person(0).id, .durable_height = 0, .signs_from = 0, .stopped = {}};
  Json json = ledger_json(ledger, status);
  expect_schema(json, "Ledger");
  EXPECT_EQ(json["height"], 0);
  EXPECT_EQ(json["head"], ledger.federation().text()) << "the charter, as long as there is no block";
  EXPECT_EQ(json["state_root"], ledger.state_root().hex());
  EXPECT_EQ(json["roles"], Json::array({"validator", "steward"}));
  EXPECT_EQ(json["signs_from"], 0);
  EXPECT_TRUE(json["stopped"].is_null());
  EXPECT_EQ(json["totals"]["balances"], "9007199254740998");
  EXPECT_EQ(json["totals"]["supply"], "9007199256740998");
  ASSERT_EQ(json["validators"].size(), 1U);
  EXPECT_EQ(json["validators"][0]["power"], "18014398509481984");
  EXPECT_EQ(json["validators"][0]["self"], true);
  EXPECT_EQ(json["accounts"], 2);

  status.own = person(bob).id;
  status.signs_from.reset();
  status.stopped = Error{ErrorCode::internal, "certified-refused: it is"};
  json = ledger_json(ledger, status);
  expect_schema(json, "Ledger");
  EXPECT_TRUE(json["roles"].empty());
  EXPECT_TRUE(json["signs_from"].is_null());
  EXPECT_EQ(json["stopped"], "certified-refused: it is");
  EXPECT_EQ(json["validators"][0]["self"], false);
}

TEST(LedgerJson, AnAccountIsProvenToWhoHasTheStateRoot) {
  const ledger::Ledger ledger = ledger::found_on(genesis());
  for (const std::uint64_t n : {std::uint64_t{0}, bob}) {
    const Json json = account_json(ledger, person(n).id, 0, true);
    expect_schema(json, "Account");
    EXPECT_EQ(json["exists"], n == 0);
    EXPECT_EQ(json["balance"], n == 0 ? "9007199254740993" : "0");
    EXPECT_EQ(json["reputation"]["score"], n == 0 ? 500 : 0);
    EXPECT_EQ(json["member"].is_null(), n != 0);
    const Json& shown = json["proof"];
    EXPECT_EQ(shown["state_root"], ledger.state_root().hex());
    const auto bytes = decode_base64(shown["entry_proof"].get<std::string>());
    ASSERT_TRUE(bytes);
    const auto proof = record::decode<ledger::EntryProof>(*bytes);
    ASSERT_TRUE(proof);
    const auto entry = ledger::check_entry(ledger.state_root(), "accounts", person(n).id.view(), *proof);
    ASSERT_TRUE(entry) << entry.error().message;
    EXPECT_EQ(entry->has_value(), n == 0);
  }
  EXPECT_FALSE(account_json(ledger, person(0).id, 0, false).contains("proof"));
}

TEST(LedgerJson, AnAccountShowsWhatOthersHaveShownOfIt) {
  const auto validator = [](std::uint64_t number) {
    return ledger::Founder{.account = person(number).id,
                           .credits = 10'000'000,
                           .bonded = 2'000'000,
                           .power = 1,
                           .roles = {ledger::Role::validator, ledger::Role::steward}};
  };
  ledger::Ledger ledger =
      ledger::found_on(ledger::genesis_of({validator(0), validator(ann), validator(bob)}, ledger::without_costs()));
  const auto vote = [](std::string_view block) {
    return ledger::said_by(ledger::EvidenceKind::votes, person(ann).id, 1, 0, sha256(as_bytes(block)));
  };
  const ledger::Evidence votes{.account = person(0).id,
                               .sequence = 0,
                               .kind = ledger::EvidenceKind::votes,
                               .first = vote("one"),
                               .second = vote("other")};
  const auto transfer = [](std::uint64_t amount) {
    return ledger::as_signed(
        ledger::Transfer{.account = person(bob).id, .sequence = 0, .to = person(0).id, .amount = amount, .memo = ""},
        person(bob).id);
  };
  const ledger::Evidence transfers{.account = person(0).id,
                                   .sequence = 1,
                                   .kind = ledger::EvidenceKind::transactions,
                                   .first = transfer(1)->envelope,
                                   .second = transfer(2)->envelope};
  const std::vector<ledger::Opened> offered{ledger::as_signed(votes, person(0).id),
                                            ledger::as_signed(transfers, person(0).id)};
  auto made = ledger.propose(offered, {.account = person(0).id, .time_ms = 2'000'000});
  ASSERT_TRUE(made);
  ASSERT_TRUE(made->refused.empty()) << made->refused[0].error.message;
  ledger.commit(std::move(made->draft));

  const Json liar = account_json(ledger, person(ann).id, 1, false);
  expect_schema(liar, "Account");
  EXPECT_TRUE(liar["conflict"].is_null());
  expect_schema(liar["offence"], "AccountOffence");
  EXPECT_EQ(liar["offence"], Json({{"kind", "votes"},
                                   {"key", did_of(person(ann).id)},
                                   {"height", 1},
                                   {"until_height", 3},
                                   {"taken", "1000000"},
                                   {"reporter", did_of(person(0).id)}}));
  EXPECT_EQ(liar["bonded"], "1000000");
  const Json other = account_json(ledger, person(bob).id, 1, false);
  EXPECT_TRUE(other["offence"].is_null());
  expect_schema(other["conflict"], "AccountConflict");
  EXPECT_EQ(other["conflict"]["sequence"], 0);
  EXPECT_EQ(other["conflict"]["reporter"], did_of(person(0).id));
}

TEST(LedgerJson, CredentialsSayWhetherTheyHold) {
  ledger::Member member{.node = person(ann).id, .roles = {ledger::Role::member}, .issuer = person(0).id};
  Json json = member_json(member, member.node, 5);
  expect_schema(json, "Member");
  EXPECT_EQ(json["in_force"], true);
  EXPECT_TRUE(json["expires_height"].is_null());
  EXPECT_TRUE(json["owner"].is_null());
  member.expires_height = 5;
  member.owner = "did:web:example.org";
  json = member_json(member, member.node, 5);
  EXPECT_EQ(json["in_force"], false) << "it is the first height at which it no longer holds";
  EXPECT_EQ(member_json(member, member.node, 4)["in_force"], true);
  EXPECT_EQ(json["owner"], "did:web:example.org");
  member.expires_height.reset();
  member.revoked = true;
  EXPECT_EQ(member_json(member, member.node, 4)["in_force"], false);
}

TEST(LedgerJson, TransactionsShowTheirOwnFields) {
  Json fields = rendered(ledger::Transfer{.to = person(bob).id, .amount = UINT64_MAX, .memo = "rent"});
  EXPECT_EQ(fields, (Json{{"to", did_of(person(bob).id)}, {"amount", "18446744073709551615"}, {"memo", "rent"}}));
  EXPECT_EQ(rendered(ledger::Bond{.amount = 7}), (Json{{"amount", "7"}}));
  fields = rendered(ledger::Admit{.node = person(bob).id, .roles = {ledger::Role::member, ledger::Role::worker}});
  EXPECT_EQ(fields, (Json{{"node", did_of(person(bob).id)},
                          {"roles", {"member", "worker"}},
                          {"owner", nullptr},
                          {"expires_height", nullptr}}));
  fields = rendered(ledger::SetValidators{.from_height = 9, .validators = {{person(bob).id, std::uint64_t{1} << 60}}});
  EXPECT_EQ(fields["from_height"], 9);
  EXPECT_EQ(fields["validators"],
            Json::array({{{"account", did_of(person(bob).id)}, {"power", "1152921504606846976"}}}));
  fields = rendered(ledger::Attest{.memory_mb = 64, .fuel_per_second = 5, .verifies = true});
  EXPECT_EQ(fields, (Json{{"memory_mb", 64}, {"fuel_per_second", 5}, {"verifies", true}}));
  const Cid cid = Cid::of(Multicodec::dag_cbor, as_bytes("x"));
  EXPECT_EQ(rendered(ledger::Refund{.intent = cid}), (Json{{"intent", cid.text()}}));
  const Digest tip = sha256(as_bytes("tip"));
  EXPECT_EQ(rendered(ledger::CommitChain{.tip = tip, .length = 16}), (Json{{"tip", tip.hex()}, {"length", 16}}));
  fields = rendered(ledger::rotation(person(ann).id, 3, person(bob).seed, Cid::of(Multicodec::dag_cbor, {})));
  EXPECT_EQ(fields["key"], did_of(person(bob).id));
  EXPECT_EQ(fields["proof"].get<std::string>().size(), 128U);
}

TEST(LedgerJson, SignedRecordsInsideAreNamedNotShown) {
  const identity::Signer signer(person(bob).seed, Cid::of(Multicodec::dag_cbor, {}));
  const auto envelope = [&](std::uint64_t amount) {
    return ledger::sign(ledger::Bond{.account = person(bob).id, .sequence = 0, .amount = amount}, signer);
  };
  const Json fields = rendered(ledger::Evidence{
      .kind = ledger::EvidenceKind::transactions, .first = envelope(1)->envelope, .second = envelope(2)->envelope});
  EXPECT_EQ(fields["kind"], "transactions");
  EXPECT_EQ(fields["first"],
            (Json{{"type", "bond"}, {"cid", envelope(1)->cid.text()}, {"signer", did_of(person(bob).id)}}));
  EXPECT_EQ(fields["second"]["cid"], envelope(2)->cid.text());
  const Json damaged = transaction_json(Bytes{1, 2, 3}, 0);
  expect_schema(damaged, "LedgerTransaction");
  EXPECT_EQ(damaged["bytes"], 3);
  EXPECT_TRUE(damaged.contains("error"));
}

TEST(LedgerJson, ATransactionConcernsWhoSignsItAndWhoItNames) {
  const identity::Signer signer(person(ann).seed, Cid::of(Multicodec::dag_cbor, {}));
  const auto is_for = [&](const auto& body) {
    const ledger::Opened opened = ledger::sign(body, signer);
    std::vector<std::uint64_t> people;
    for (const std::uint64_t n : {std::uint64_t{0}, ann, bob}) {
      if (concerns(*opened, person(n).id)) people.push_back(n);
    }
    return people;
  };
  const ledger::AccountId from = person(ann).id;
  const ledger::AccountId to = person(bob).id;
  EXPECT_EQ(is_for(ledger::Transfer{.account = from, .sequence = 0, .to = to, .amount = 1, .memo = ""}),
            (std::vector{ann, bob}));
  EXPECT_EQ(is_for(ledger::Grant{.account = from, .sequence = 0, .to = to, .amount = 1, .reason = ""}),
            (std::vector{ann, bob}));
  EXPECT_EQ(is_for(ledger::Revoke{.account = from, .sequence = 0, .node = to, .reason = ""}), (std::vector{ann, bob}));
  EXPECT_EQ(is_for(ledger::Bond{.account = from, .sequence = 0, .amount = 1}), std::vector{ann});
}

TEST(LedgerJson, BlocksSayWhatTheirHeadersDo) {
  const ledger::Ledger ledger = ledger::found_on(genesis());
  const identity::Signer signer(person(ann).seed, ledger.federation());
  const std::vector<ledger::Opened> offered{ledger::sign(
      ledger::Transfer{.account = person(ann).id, .sequence = 0, .to = person(0).id, .amount = 1, .memo = ""}, signer)};
  const auto proposal = ledger.propose({}, {.account = person(0).id, .time_ms = 2'000'000, .beacon = {}});
  ASSERT_TRUE(proposal);
  ledger::Block block = proposal->block.block();
  block.list.transactions.push_back(offered[0]->envelope);
  block.header.transactions = dagcbor::cid_of(record::encode(block.list));
  const chain::FinalBlock final{.height = 1, .certificate = {}, .block = chain::block_bytes(block)};
  const auto json = block_json(final);
  ASSERT_TRUE(json) << json.error().message;
  expect_schema(*json, "Block");
  EXPECT_EQ((*json)["height"], 1);
  EXPECT_EQ((*json)["cid"], block.cid().text());
  EXPECT_EQ((*json)["parents"], Json::array({ledger.federation().text()}));
  EXPECT_EQ((*json)["time"], "1970-01-01T00:33:20.000Z");
  EXPECT_EQ((*json)["transaction_count"], 1);
  EXPECT_EQ((*json)["transactions"][0]["cid"], offered[0]->cid.text());
  EXPECT_TRUE((*json)["signers"].empty()) << "a certificate that does not read names nobody";
  const auto head = block_head_json(final);
  ASSERT_TRUE(head);
  expect_schema(*head, "BlockHead");
  EXPECT_FALSE(block_json({.height = 1, .certificate = {}, .block = {1, 2, 3}}));
  EXPECT_EQ(block_time_text(UINT64_MAX), "9999-12-31T23:59:59.999Z");
}

TEST(LedgerJson, EscrowsAndWorksAreWhatTheirSchemasSay) {
  const Cid cid = Cid::of(Multicodec::dag_cbor, as_bytes("x"));
  ledger::Escrow escrow{
      .intent = cid, .publisher = person(ann).id, .signer = person(ann).id, .owner = "", .shards = 12};
  escrow.fee = UINT64_MAX;
  escrow.claimed = {0xff, 0x01};
  Json json = escrow_json(escrow);
  expect_schema(json, "Escrow");
  EXPECT_EQ(json["state"], "open");
  EXPECT_EQ(json["claimed"], 9);
  EXPECT_EQ(json["fee"], "18446744073709551615");
  EXPECT_TRUE(json["owner"].is_null());
  escrow.closed = true;
  EXPECT_EQ(escrow_json(escrow)["state"], "closed");
  escrow.ended = true;
  EXPECT_EQ(escrow_json(escrow)["state"], "ended");

  ledger::Work work;
  work.commitment = work.intent = work.award = cid;
  work.worker = person(ann).id;
  work.shards = {{3, 4}};
  expect_schema(work_json(work), "Work");
  work.draws.push_back({.height = 5, .block = cid, .nodes = {person(bob).id}, .weights = {7}, .order = {}});
  work.answers.push_back(
      {.node = person(bob).id, .signer = person(bob).id, .commitment = cid, .shards = {{3, 1}}, .differing = {3}});
  work.passed_over.push_back({.node = person(bob).id, .round = 0, .until_ms = 1000});
  work.payouts.push_back({.account = person(bob).id, .amount = 9, .from_bond = true});
  work.ending = ledger::WorkEnding::silent;
  work.disputed_by = person(0).id;
  json = work_json(work);
  expect_schema(json, "Work");
  EXPECT_EQ(json["shards"], Json::array({{3, 4}}));
  EXPECT_EQ(json["phase"], "drawing");
  EXPECT_EQ(json["ending"], "silent");
  EXPECT_EQ(json["draws"][0]["nodes"][0]["weight"], 7);
  EXPECT_EQ(json["payouts"][0]["amount"], "9");
  EXPECT_EQ(json["disputed_by"], did_of(person(0).id));
}

TEST(LedgerRender, WithoutWorksAFeeIsAGuess) {
  const ledger::Ledger ledger = ledger::found_on(genesis());
  const Json price = price_json(ledger, 200'000'000'000);
  expect_schema(price, "Price");
  EXPECT_TRUE(price["price"].is_null());
  EXPECT_EQ(price["works"], 0);
  EXPECT_EQ(price["fee"], "22223") << "100 for 10^9 fuel, of which a worker gets nine tenths";
  EXPECT_EQ(price_json(ledger, 0)["fee"], "1");
  EXPECT_EQ(price_json(ledger, INT64_MAX)["fee"], "1024819115207");
}

}  // namespace
}  // namespace mesh::app
