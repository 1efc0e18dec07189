#include "app/api/ledger_request.h"

#include <gtest/gtest.h>

namespace mesh::app {
namespace {

NodeId key(std::uint8_t number) { return public_key_of(*Seed::from(sha256({&number, 1}).view())); }
const NodeId own = key(1);
const NodeId other = key(2);
std::string did(const NodeId& node) { return identity::did_of(node); }

Result<LedgerRequest> parse(const Json& json) { return parse_ledger_request(to_bytes(json.dump()), own); }

template <class T>
T body_of(const Json& json) {
  const auto request = parse(json);
  EXPECT_TRUE(request) << (request ? "" : request.error().message);
  const T* body = request ? std::get_if<T>(&request->body) : nullptr;
  EXPECT_NE(body, nullptr);
  return body == nullptr ? T() : *body;
}

/// The stable name of what is wrong; empty where nothing is.
std::string refused(std::string_view text) {
  const auto request = parse_ledger_request(as_bytes(text), own);
  if (request) return "";
  EXPECT_EQ(request.error().code, ErrorCode::invalid);
  return request.error().message.substr(0, request.error().message.find(':'));
}
std::string refused(const Json& json) { return refused(std::string_view(json.dump())); }

TEST(LedgerRequest, EveryKindIsReadWithItsFields) {
  const auto transfer =
      body_of<ledger::Transfer>({{"kind", "transfer"}, {"to", did(other)}, {"amount", "1500000"}, {"memo", "rent"}});
  EXPECT_EQ(transfer.to, other);
  EXPECT_EQ(transfer.amount, 1'500'000U);
  EXPECT_EQ(transfer.memo, "rent");
  const auto grant = body_of<ledger::Grant>({{"kind", "grant"}, {"to", "self"}, {"amount", 7}, {"reason", "work"}});
  EXPECT_EQ(grant.to, own);
  EXPECT_EQ(grant.amount, 7U);
  EXPECT_EQ(grant.reason, "work");
  EXPECT_EQ(body_of<ledger::Bond>({{"kind", "bond"}, {"amount", "18446744073709551615"}}).amount, UINT64_MAX);
  EXPECT_EQ(body_of<ledger::Unbond>({{"kind", "unbond"}, {"amount", "1"}}).amount, 1U);
  const auto admit = body_of<ledger::Admit>({{"kind", "member"},
                                             {"node", identity::peer_id_of(other)},
                                             {"roles", {"verifier", "member"}},
                                             {"owner", "did:web:example.org"},
                                             {"expires_height", 9}});
  EXPECT_EQ(admit.node, other);
  EXPECT_EQ(admit.roles, (std::vector{ledger::Role::member, ledger::Role::verifier})) << "in the ledger's order";
  EXPECT_EQ(admit.owner, "did:web:example.org");
  EXPECT_EQ(admit.expires_height, 9U);
  EXPECT_EQ(body_of<ledger::Admit>({{"kind", "member"}, {"node", did(other)}, {"roles", {"member"}}}).owner,
            std::nullopt);
  EXPECT_EQ(body_of<ledger::Revoke>({{"kind", "revoke"}, {"node", did(other)}, {"reason", "gone"}}).reason, "gone");
  const auto attest = body_of<ledger::Attest>(
      {{"kind", "attest"}, {"memory_mb", 512}, {"fuel_per_second", 1'000'000}, {"verifies", true}});
  EXPECT_EQ(attest.memory_mb, 512U);
  EXPECT_EQ(attest.fuel_per_second, 1'000'000U);
  EXPECT_TRUE(attest.verifies);
  const Json seats = Json::array({{{"account", did(own)}, {"power", "3"}}, {{"account", did(other)}, {"power", 2}}});
  const auto set = body_of<ledger::SetValidators>({{"kind", "validators"}, {"from_height", 12}, {"validators", seats}});
  EXPECT_EQ(set.from_height, 12U);
  ASSERT_EQ(set.validators.size(), 2U);
  EXPECT_TRUE(std::ranges::is_sorted(set.validators, {}, &ledger::SetValidators::Seat::account));
  EXPECT_EQ(std::ranges::find(set.validators, own, &ledger::SetValidators::Seat::account)->power, 3U);
  const Cid cid = Cid::of(Multicodec::dag_cbor, as_bytes("x"));
  EXPECT_EQ(body_of<ledger::Refund>({{"kind", "refund"}, {"intent", cid.text()}}).intent, cid);
  const auto dispute = body_of<ledger::Dispute>({{"kind", "dispute"}, {"commitment", cid.text()}, {"reason", "no"}});
  EXPECT_EQ(dispute.commitment, cid);
  EXPECT_EQ(dispute.reason, "no");
}

TEST(LedgerRequest, ItIsWaitedForAsTold) {
  Json json{{"kind", "bond"}, {"amount", "1"}};
  auto request = parse(json);
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->wait_final);
  EXPECT_EQ(request->timeout, milliseconds(30'000));
  json["wait"] = "waiting";
  json["timeout_ms"] = 120'000;
  request = parse(json);
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->wait_final);
  EXPECT_EQ(request->timeout, milliseconds(120'000));
  for (const Json& bad : {Json(0), Json(120'001), Json("1000"), Json(1.5), Json(-1)}) {
    json["timeout_ms"] = bad;
    EXPECT_EQ(refused(json), "bad-field") << bad;
  }
  json["timeout_ms"] = 1;
  json["wait"] = "soon";
  EXPECT_EQ(refused(json), "bad-field");
}

TEST(LedgerRequest, AmountsAreWholeAndFit) {
  const auto with = [](std::string_view amount) {
    return refused(std::string_view(R"({"kind": "bond", "amount": )" + std::string(amount) + "}"));
  };
  EXPECT_EQ(with("9007199254740992"), "") << "2^53";
  EXPECT_EQ(with("\"18446744073709551615\""), "");
  for (const char* amount :
       {"-1", "1.5", "1e3", "1.0", "9007199254740993", "18446744073709551615", "18446744073709551616", "\"-1\"",
        "\"1.5\"", "\"18446744073709551616\"", "\"\"", "\"0x1\"", "null", "true", "[1]", "{}"})
    EXPECT_EQ(with(amount), "bad-amount") << amount;
  EXPECT_EQ(with("0"), "zero-amount") << "the ledger's own name";
}

TEST(LedgerRequest, WhatIsWrongIsNamed) {
  const Json good{{"kind", "transfer"}, {"to", did(other)}, {"amount", "1"}};
  ASSERT_EQ(refused(good), "");
  const auto with = [&](const char* name, const Json& value) {
    Json json = good;
    json[name] = value;
    return refused(json);
  };
  const auto without = [&](const char* name) {
    Json json = good;
    json.erase(name);
    return refused(json);
  };
  EXPECT_EQ(without("kind"), "missing-field");
  EXPECT_EQ(without("to"), "missing-field");
  EXPECT_EQ(without("amount"), "missing-field");
  for (const char* kind : {"", "Transfer", "lock", "settle", "rotate", "evidence", "beacon", "nothing"})
    EXPECT_EQ(with("kind", kind), "bad-kind") << kind;
  EXPECT_EQ(with("kind", 7), "bad-field");
  EXPECT_EQ(with("extra", 1), "unknown-field");
  EXPECT_EQ(with("reason", "of another kind"), "unknown-field");
  EXPECT_EQ(with("account", did(own)), "unknown-field") << "whose it is, is not asked";
  EXPECT_EQ(with("sequence", 0), "unknown-field");
  for (const char* account : {"", "nobody", "did:web:example.org", "did:key:z6Mk",
                              "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"})
    EXPECT_EQ(with("to", account), "bad-account") << account;
  EXPECT_EQ(with("to", 7), "bad-field");
  EXPECT_EQ(with("memo", 7), "bad-field");
  EXPECT_EQ(with("memo", std::string(129, 'x')), "text-too-long");
  EXPECT_EQ(with("memo", std::string(128, 'x')), "");
  EXPECT_FALSE(parse_ledger_request(as_bytes("no json"), own));
  EXPECT_FALSE(parse_ledger_request(as_bytes("[]"), own));

  Json member{{"kind", "member"}, {"node", did(other)}, {"roles", {"member"}}};
  ASSERT_EQ(refused(member), "");
  for (const Json& roles :
       {Json::array(), Json({"member", "member"}), Json({"king"}), Json("member"), Json::array({1})}) {
    member["roles"] = roles;
    EXPECT_EQ(refused(member), "bad-roles") << roles;
  }
  member["roles"] = {"member"};
  member["expires_height"] = -1;
  EXPECT_EQ(refused(member), "bad-field");
  EXPECT_EQ(refused(Json{{"kind", "refund"}, {"intent", "bafy"}}), "bad-field");
  EXPECT_EQ(refused(Json{{"kind", "attest"}, {"memory_mb", 0}, {"fuel_per_second", 1}}), "empty-scope");
  EXPECT_EQ(refused(Json{{"kind", "attest"}, {"memory_mb", 1}, {"fuel_per_second", 1}, {"verifies", 1}}), "bad-field");

  const auto seats = [](const Json& list) {
    return refused(Json{{"kind", "validators"}, {"from_height", 5}, {"validators", list}});
  };
  const Json seat{{"account", did(other)}, {"power", "1"}};
  EXPECT_EQ(seats(Json::array({seat})), "");
  EXPECT_EQ(seats(Json::array()), "bad-field");
  EXPECT_EQ(seats(Json::array({did(other)})), "bad-field");
  EXPECT_EQ(seats(Json::array({seat, seat})), "validators-unordered");
  EXPECT_EQ(seats(Json::array({{{"account", did(other)}}})), "missing-field");
  EXPECT_EQ(seats(Json::array({{{"account", did(other)}, {"power", "0"}}})), "zero-power");
  EXPECT_EQ(seats(Json::array({{{"account", did(other)}, {"power", "1"}, {"key", "x"}}})), "unknown-field");
}

}  // namespace
}  // namespace mesh::app
