// The ledger's routes over HTTP, before a replica with a disk: a federation of one, or of two of whom one is not there.
#include "app/api/ledger_routes.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <map>
#include <thread>

#include "adapters/http/client.h"
#include "adapters/store/temporary_folder.h"
#include "app/api/task_request.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::app {
namespace {

using identity::did_of;
using ledger::person;

const std::string token = "0123456789abcdef-secret";
constexpr std::uint64_t ann = 7;

class NoStreams final : public StreamOpener {
 public:
  void open(const NodeId&, std::string_view, std::string_view, Opened opened) override {
    opened(fail(ErrorCode::unavailable, "nobody is there"));
  }
  void connect_by(const NodeId&, std::string_view, Connected connected) override {
    connected(fail(ErrorCode::unsupported, "nobody is there"));
  }
};

class LedgerRoutesTest : public testing::Test, public LedgerBackend {
 public:
  ~LedgerRoutesTest() override {
    if (host) host->stop();
    if (server) {
      post([this] { server.reset(); });
    }
    loop_work.reset();
    bulk_work.reset();
    post([this] { loop.stop(); });
    post_bulk([this] { bulk.stop(); });
    for (std::thread& thread : threads) thread.join();
  }

 protected:
  boost::asio::io_context& io() override { return loop; }
  void post(std::move_only_function<void()> work) override {
    boost::asio::post(loop, [work = std::move(work)]() mutable { work(); });
  }
  void post_bulk(std::move_only_function<void()> work) override {
    boost::asio::post(bulk, [work = std::move(work)]() mutable { work(); });
  }
  Status check_rotation() const override { return runs_jobs ? fail(ErrorCode::conflict, "jobs-open: one") : Status(); }
  Result<Seed> next_key() override { return app::next_key(folder.path(), folder.path() / key_file_name); }
  Status drop_next_key() override { return app::drop_next_key(folder.path()); }
  std::string federation_name() const override { return "town"; }
  ChainHost* ledger() override { return host.get(); }

  /// Person 0 is this node; the others validate as well, and are not there.
  void found(std::uint64_t validators) {
    std::vector<ledger::Founder> founders;
    for (std::uint64_t i = 0; i < validators; ++i) {
      founders.push_back({.account = person(i).id,
                          .credits = 1'000'000'000,
                          .bonded = 2'000'000,
                          .power = 1,
                          .roles = {ledger::Role::member, ledger::Role::validator, ledger::Role::steward}});
    }
    founders.push_back({.account = person(ann).id, .credits = 5'000'000, .roles = {ledger::Role::member}});
    Founding founding;
    founding.genesis = ledger::genesis_of(std::move(founders));
    founding.charter = ledger::charter_of("town", Cid::of(Multicodec::dag_cbor, {}), founding.genesis);
    federation = federation_of(founding);
    store = store::NodeStore::open(folder.path() / "home").value();
    auto started = ChainHost::start(
        {.file = folder.path() / "ledger.db",
         .founding = founding,
         .seed = person(0).seed,
         .store = store.get(),
         .interest = {.self = person(0).id, .intents = {}}},
        streams, [](const ChainHost::Story&) {}, [](const node::event::LedgerChanged&) {});
    ASSERT_TRUE(started) << started.error().message;
    host = std::move(*started);
    serve();
  }
  void serve() {
    routes = std::make_shared<LedgerRoutes>(*this);
    http::Config config;
    config.token = token;
    auto started =
        http::Server::start(loop, std::move(config), [this](http::Request request, http::Responder responder) {
          Call call{std::move(request), std::move(responder), {}};
          const std::string path = call.request.path;
          const std::string rest = path.substr(path.rfind('/') + 1);
          if (path.starts_with("/accounts/")) {
            call.parameters["account"] = rest;
            return routes->get_account(std::move(call));
          }
          if (path.starts_with("/history/")) {
            call.parameters["account"] = rest;
            return routes->get_history(std::move(call));
          }
          if (path.starts_with("/blocks/")) {
            call.parameters["height"] = rest;
            return routes->get_block(std::move(call));
          }
          if (path == "/transactions") return routes->post_transaction(std::move(call));
          if (path == "/rotation") return routes->post_rotation(std::move(call));
          if (path == "/transactions/batch") return routes->post_batch(std::move(call));
          routes->get_ledger(std::move(call));
        });
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
    threads.emplace_back([this] { loop.run(); });
    threads.emplace_back([this] { bulk.run(); });
  }
  struct Answered {
    unsigned status = 0;
    Json json;
  };
  Answered ask(std::string_view method, const std::string& path, ByteView body = {},
               std::string type = "application/json") {
    http::ClientConfig config;
    config.port = server->port();
    config.token = token;
    http::Headers headers;
    if (method == "POST") headers["content-type"] = std::move(type);
    const auto response = http::Client(config).request(method, path, body, headers);
    EXPECT_TRUE(response) << response.error().message;
    if (!response) return {};
    return {response->status, Json::parse(response->body, nullptr, false)};
  }
  Answered get(const std::string& path) { return ask("GET", path); }
  Answered post_json(const Json& json) { return ask("POST", "/transactions", to_bytes(json.dump())); }
  Answered post_octets(ByteView envelope, const std::string& query = "") {
    return ask("POST", "/transactions" + query, envelope, "application/octet-stream");
  }
  Answered post_batch(const std::vector<Bytes>& envelopes) {
    const Bytes message = chain::encode(chain::message::Transactions{envelopes});
    return ask("POST", "/transactions/batch", ByteView(message).subspan(1), "application/octet-stream");
  }
  Bytes transfer(std::uint64_t by, std::uint64_t sequence, const Cid& where) const {
    const ledger::Transfer body{
        .account = person(by).id, .sequence = sequence, .to = person(0).id, .amount = 1'000, .memo = ""};
    return ledger::sign(body, identity::Signer(person(by).seed, where))->envelope;
  }

  store::TemporaryFolder folder;
  boost::asio::io_context loop;
  boost::asio::io_context bulk;
  using Work = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;
  Work loop_work{loop.get_executor()};
  Work bulk_work{bulk.get_executor()};
  NoStreams streams;
  Cid federation;
  std::atomic<bool> runs_jobs = false;
  std::unique_ptr<store::NodeStore> store;  // Outlives the host.
  std::unique_ptr<ChainHost> host;
  std::shared_ptr<LedgerRoutes> routes;
  std::unique_ptr<http::Server> server;
  std::vector<std::thread> threads;
};

TEST_F(LedgerRoutesTest, WhatSomebodySignedIsTakenOnceAndChecked) {
  found(1);
  const Bytes signed_by_ann = transfer(ann, 0, federation);
  const Answered made = post_octets(signed_by_ann);
  ASSERT_EQ(made.status, 200U) << made.json;
  EXPECT_EQ(made.json["status"], "final");
  EXPECT_EQ(made.json["transaction"], ledger::decode(signed_by_ann)->cid.text());
  const Answered block = get("/blocks/" + made.json["height"].dump());
  ASSERT_EQ(block.status, 200U);
  EXPECT_EQ(block.json["signers"], Json::array({did_of(person(0).id)}));
  const Answered history = get("/history/" + did_of(person(ann).id));
  ASSERT_EQ(history.json["transactions"].size(), 1U) << history.json;
  EXPECT_EQ(history.json["transactions"][0]["cid"], made.json["transaction"]);
  EXPECT_TRUE(history.json["next"].is_null());

  const auto refused = [&](const Bytes& envelope, const std::string& query = "") {
    const Answered answer = post_octets(envelope, query);
    EXPECT_GE(answer.status, 400U) << answer.json;
    EXPECT_LT(answer.status, 500U) << answer.json;
    return answer.json.value("code", "");
  };
  EXPECT_EQ(refused(signed_by_ann), "sequence-repeated");
  EXPECT_EQ(refused(transfer(ann, 1, Cid::of(Multicodec::dag_cbor, as_bytes("elsewhere")))), "bad-signature");
  auto forged = record::decode<Envelope>(transfer(ann, 1, federation));
  ASSERT_TRUE(forged);
  forged->sig = record::decode<Envelope>(signed_by_ann)->sig;
  EXPECT_EQ(refused(record::encode(*forged)), "bad-signature");
  EXPECT_EQ(refused(transfer(99, 0, federation)), "unknown-account");
  EXPECT_EQ(refused(transfer(ann, 1000, federation)), "pending-gap");
  EXPECT_EQ(refused({}), "malformed");
  EXPECT_EQ(refused(transfer(ann, 1, federation), "?wait=soon"), "bad-field");
  EXPECT_EQ(refused(transfer(ann, 1, federation), "?timeout_ms=0"), "bad-field");
  EXPECT_EQ(refused(transfer(ann, 1, federation), "?timeout_ms=120001"), "bad-field");
  EXPECT_EQ(post_octets(transfer(ann, 1, federation), "?timeout_ms=120000").status, 200U);
}

TEST_F(LedgerRoutesTest, TheAccountGetsAnotherKey) {
  found(1);
  const auto rotate = [&](const Json& json) { return ask("POST", "/rotation", to_bytes(json.dump())); };
  const auto refused = [&](const Json& json) { return rotate(json).json.value("code", ""); };
  const std::string own = did_of(person(0).id);
  EXPECT_EQ(refused({{"wait", "soon"}}), "bad-field");
  EXPECT_EQ(refused({{"timeout_ms", 0}}), "bad-field");
  EXPECT_EQ(refused({{"at_once", 1}}), "bad-field");
  EXPECT_EQ(refused({{"key", "mine"}}), "unknown-field");
  EXPECT_EQ(refused(Json::array()), ask("POST", "/transactions", to_bytes("[]")).json.value("code", ""));
  runs_jobs = true;
  EXPECT_EQ(rotate(Json::object()).status, 409U);
  EXPECT_EQ(refused(Json::object()), "jobs-open");
  EXPECT_FALSE(load_other_keys(folder.path())->next) << "nothing was drawn for what was refused";
  const Answered made = rotate({{"at_once", true}});
  ASSERT_EQ(made.status, 200U) << made.json;
  EXPECT_EQ(made.json["status"], "final");
  const auto next = load_other_keys(folder.path())->next;
  ASSERT_TRUE(next) << "it lies where the next start finds it";
  const std::string key = did_of(public_key_of(*next));
  EXPECT_EQ(made.json["key"], key);
  EXPECT_EQ(made.json["peer"], identity::peer_id_of(public_key_of(*next)));
  runs_jobs = false;
  EXPECT_EQ(refused(Json::object()), "key-unchanged");
  // By whatever name, it is the same account.
  for (const std::string& name : {std::string("self"), own, key}) {
    const Json account = get("/accounts/" + name).json;
    EXPECT_EQ(account["account"], own) << name;
    EXPECT_EQ(account["key"], key);
    EXPECT_EQ(account["peer"], made.json["peer"]);
  }
  EXPECT_EQ(get("/").json["account"], own);
  const Answered gift = post_json({{"kind", "transfer"}, {"to", key}, {"amount", "5000"}});
  ASSERT_EQ(gift.status, 200U) << gift.json;
  const Json row = get("/history/" + key).json["transactions"][0];
  EXPECT_EQ(row["fields"]["to"], own);
  EXPECT_EQ(row["account"], own);
}

TEST_F(LedgerRoutesTest, ABatchIsAnsweredForEachOfItsTransactions) {
  found(1);
  const Cid elsewhere = Cid::of(Multicodec::dag_cbor, as_bytes("elsewhere"));
  const Answered some = post_batch({transfer(ann, 0, federation),
                                    transfer(ann, 1, elsewhere),
                                    transfer(ann, 1, federation),
                                    {},
                                    transfer(99, 0, federation)});
  ASSERT_EQ(some.status, 202U) << some.json;
  EXPECT_EQ(some.json["taken"], 2);
  std::map<int, std::string> refused;
  for (const Json& one : some.json["refused"]) {
    refused[one["number"]] = one["code"];
    EXPECT_FALSE(one["detail"].get<std::string>().empty());
  }
  EXPECT_EQ(refused, (std::map<int, std::string>{{1, "bad-signature"}, {3, "malformed"}, {4, "unknown-account"}}));
  // It goes on after those that were taken, and is final after them.
  EXPECT_EQ(post_octets(transfer(ann, 2, federation)).status, 200U);
  EXPECT_EQ(get("/accounts/" + did_of(person(ann).id)).json["sequence"], 3);

  std::vector<Bytes> most;
  for (std::uint64_t i = 0; i < chain::max_batch_transactions; ++i) most.push_back(transfer(ann, 3, elsewhere));
  const Answered all_bad = post_batch(most);
  ASSERT_EQ(all_bad.status, 202U) << all_bad.json;
  EXPECT_EQ(all_bad.json["taken"], 0);
  EXPECT_EQ(all_bad.json["refused"].size(), most.size());
  most.push_back(most.front());
  EXPECT_EQ(post_batch(most).status, 400U);
  EXPECT_EQ(post_batch(most).json["code"], "malformed");
  EXPECT_EQ(post_batch({}).json["code"], "malformed");
  EXPECT_EQ(post_batch({Bytes(chain::max_batch_bytes)}).status, 429U);
  EXPECT_EQ(post_batch({Bytes(chain::max_batch_bytes)}).json["code"], "too-large");
  for (const Bytes& octets : {Bytes{}, Bytes{0}, Bytes{0, 1}, Bytes{0, 1, 0, 0, 0, 9, 1}, Bytes{0, 1, 0, 0, 0, 0, 7}})
    EXPECT_EQ(ask("POST", "/transactions/batch", octets, "application/octet-stream").json["code"], "malformed");
  EXPECT_EQ(ask("POST", "/transactions/batch", Bytes{0, 1, 0, 0, 0, 0}, "application/json").json["code"],
            "bad-content-type");
}

TEST_F(LedgerRoutesTest, BatchesPastTheBoundAreRefusedAndLaterTakenAgain) {
  found(1);
  // The host's thread stands still, so that none is answered.
  std::promise<void> go_on;
  std::promise<void> stands;
  host->look([&, until = go_on.get_future()](const chain::Replica&) mutable {
    stands.set_value();
    until.wait();
  });
  stands.get_future().wait();
  std::vector<std::future<Answered>> asked;
  for (std::uint64_t i = 0; i < 17; ++i) {
    asked.push_back(std::async(std::launch::async, [&, i] { return post_batch({transfer(ann, i, federation)}); }));
  }
  // One of them is past the bound, whichever came last; the others are answered later.
  std::size_t at = asked.size();
  while (at == asked.size()) {
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (asked[i].wait_for(std::chrono::milliseconds(1)) == std::future_status::ready) at = i;
    }
  }
  const Answered full = asked[at].get();
  EXPECT_EQ(full.status, 429U);
  EXPECT_EQ(full.json["code"], "batches-full");
  go_on.set_value();
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (i == at) continue;
    EXPECT_EQ(asked[i].get().status, 202U);
  }
  EXPECT_EQ(post_batch({transfer(ann, at, federation)}).status, 202U);
}

TEST_F(LedgerRoutesTest, ABalanceIsProvenByACertifiedBlock) {
  found(1);
  ASSERT_EQ(post_json({{"kind", "transfer"}, {"to", did_of(person(ann).id)}, {"amount", "7000000"}}).status, 200U);
  const Answered shown = get("/accounts/" + did_of(person(ann).id) + "?proof=1");
  ASSERT_EQ(shown.status, 200U);
  EXPECT_EQ(shown.json["balance"], "12000000");
  const Json& proof = shown.json["proof"];
  const Answered block = get("/blocks/" + proof["height"].dump());
  ASSERT_EQ(block.status, 200U);
  EXPECT_EQ(block.json["cid"], proof["block"]);
  const auto root = from_hex(block.json["state_root"].get<std::string>());
  const auto bytes = decode_base64(proof["entry_proof"].get<std::string>());
  ASSERT_TRUE(root && bytes);
  const auto read = record::decode<ledger::EntryProof>(*bytes);
  ASSERT_TRUE(read);
  const auto entry = ledger::check_entry(*Digest::from(*root), "accounts", person(ann).id.view(), *read);
  ASSERT_TRUE(entry) << entry.error().message;
  EXPECT_EQ(record::decode<ledger::AccountRecord>(**entry)->balance, 12'000'000U);
}

TEST_F(LedgerRoutesTest, NothingIsCalledFinalThatIsNot) {
  found(2);
  const Json bond{{"kind", "bond"}, {"amount", "1"}, {"timeout_ms", 1}};
  const Answered stalled = post_json(bond);
  ASSERT_EQ(stalled.status, 202U) << stalled.json;
  EXPECT_EQ(stalled.json["status"], "waiting");
  EXPECT_TRUE(stalled.json["height"].is_null());
  EXPECT_TRUE(Cid::from_text(stalled.json["transaction"].get<std::string>()));
  const Answered octets = post_octets(transfer(ann, 0, federation), "?timeout_ms=1");
  EXPECT_EQ(octets.status, 202U);
  const Answered waiting = post_octets(transfer(ann, 1, federation), "?wait=waiting");
  EXPECT_EQ(waiting.status, 202U);
  EXPECT_EQ(waiting.json["status"], "waiting");
  const Answered ledger = get("/ledger");
  EXPECT_EQ(ledger.json["height"], 0);
  EXPECT_EQ(ledger.json["durable_height"], 0);
  EXPECT_GE(ledger.json["waiting"].get<int>(), 3);
  EXPECT_EQ(get("/blocks/1").status, 404U);
  EXPECT_EQ(get("/blocks/1").json["code"], "no-block");
  EXPECT_TRUE(get("/history/self").json["transactions"].empty());
}

TEST_F(LedgerRoutesTest, AReplicaThatStopsLeavesNobodyWaiting) {
  found(2);
  const Json bond{{"kind", "bond"}, {"amount", "1"}, {"timeout_ms", 300}};
  std::thread asking([&] { EXPECT_EQ(post_json(bond).status, 202U); });
  // It is here once the mempool has it beside this validator's own.
  while (get("/ledger").json["waiting"].get<int>() < 2) {
  }
  host->stop();
  asking.join();
}

TEST_F(LedgerRoutesTest, WithoutALedgerEverythingSaysSo) {
  serve();
  for (const char* path : {"/ledger", "/accounts/nobody", "/history/nobody", "/blocks/x"}) {
    const Answered answer = get(path);
    EXPECT_EQ(answer.status, 404U) << path;
    EXPECT_EQ(answer.json["code"], "no-ledger") << path;
    EXPECT_NE(answer.json["detail"].get<std::string>().find("mesh federation found"), std::string::npos) << path;
  }
  EXPECT_EQ(post_json({{"kind", "bond"}, {"amount", "1"}}).status, 404U);
  EXPECT_EQ(post_batch({Bytes{1}}).json["code"], "no-ledger");
}

}  // namespace
}  // namespace mesh::app
