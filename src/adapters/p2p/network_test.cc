// Starting, finding, connecting, gossip and direct messages, between networks of this process.
#include "adapters/p2p/network.h"

#include <array>
#include <set>

#include "adapters/p2p/test_mesh.h"
#include "codec/hash.h"

namespace mesh::p2p::testing {
namespace {

using namespace std::chrono_literals;

const std::string offer = "/meshwork/offer/1";
const std::string award = "/meshwork/award/1";

class NetworkTest : public TestMesh {};
class TransportTest : public TestMesh, public ::testing::WithParamInterface<std::pair<std::string, std::string>> {};

TEST(PeerIdText, RoundTripsAndRefusesOtherText) {
  std::array<std::uint8_t, 32> bytes{};
  bytes.fill(7);
  const PublicKey key(bytes);
  const auto text = peer_id_text(key);
  EXPECT_TRUE(text.starts_with("12D3KooW")) << text;
  EXPECT_EQ(parse_peer_id(text), key);
  for (const std::string bad : {"", "12D3KooW", "0OIl", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"}) {
    const auto parsed = parse_peer_id(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid);
  }
  EXPECT_FALSE(parse_peer_id(std::string(100000, '1')));
}

TEST_F(NetworkTest, KeyAndAddressesAreOurs) {
  auto& a = start(config());
  EXPECT_EQ(a.key(), public_key_of(seed(1)));
  ASSERT_EQ(a.network->listen_addresses().size(), 1U);
  EXPECT_TRUE(a.address().ends_with("/p2p/" + peer_id_text(a.key()))) << a.address();
  EXPECT_EQ(a.address().find("/tcp/0/"), std::string::npos);
}

TEST_F(NetworkTest, AddressThatCannotBeListenedAtIsNamed) {
  auto& a = start(config());
  const auto taken = a.address().substr(0, a.address().find("/p2p/"));
  for (const auto& [address, code] :
       std::vector<std::pair<std::string, ErrorCode>>{{taken, ErrorCode::unavailable},
                                                      {"/ip4/192.0.2.1/tcp/0", ErrorCode::unavailable},
                                                      {"127.0.0.1:80", ErrorCode::invalid},
                                                      {"/ip4/127.0.0.1/sctp/7", ErrorCode::unsupported}}) {
    auto settings = config(address);
    const auto network = Network::start(settings, io_, [](Event) {});
    ASSERT_FALSE(network) << address;
    EXPECT_EQ(network.error().code, code) << network.error().message;
    EXPECT_NE(network.error().message.find(address), std::string::npos) << network.error().message;
  }
}

TEST_F(NetworkTest, TakenQuicPortIsAnError) {
  auto& a = start(config(quic_any));
  const auto taken = a.address().substr(0, a.address().find("/p2p/"));
  const auto network = Network::start(config(taken), io_, [](Event) {});
  ASSERT_FALSE(network);
  EXPECT_NE(network.error().message.find(taken), std::string::npos) << network.error().message;
}

TEST_F(NetworkTest, BadSettingsAreRefused) {
  const auto refused = [this](const std::function<void(Config&)>& change) {
    auto settings = config();
    change(settings);
    const auto network = Network::start(settings, io_, [](Event) {});
    return !network && network.error().code == ErrorCode::invalid;
  };
  EXPECT_TRUE(refused([](Config& settings) { settings.federation = "a/b"; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.federation = ""; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.bootstrap = {"nonsense"}; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.message_protocols = {"noslash"}; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.ping_interval = 0ms; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.limits.dials_per_s = 0; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.limits.provided_keys = 0; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.limits.announcements_per_s = 0; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.limits.provider_lifetime = settings.limits.provider_interval; }));
  EXPECT_TRUE(refused([](Config& settings) { settings.agent = "\xff\xfe"; }));
}

TEST_P(TransportTest, ConnectsIdentifiesAndPings) {
  const auto& [listen, transport] = GetParam();
  auto& a = start(config(listen));
  auto& b = start(config(listen));
  connect(a, b);
  const auto* seen = a.network->peer(b.key());
  EXPECT_EQ(seen->transport, transport);
  EXPECT_TRUE(seen->outbound);
  EXPECT_EQ(seen->found, Found::dialed);
  EXPECT_EQ(b.network->peer(a.key())->found, Found::inbound);
  EXPECT_EQ(b.network->peer(a.key())->transport, transport);
  ASSERT_TRUE(until([&] {
    const auto* info = b.network->peer(a.key());
    return info && info->rtt && info->agent == "meshwork/test";
  }));
  const auto info = b.network->peers().at(0);
  EXPECT_GT(info.rtt->count(), 0);
  EXPECT_GT(info.smoothed->count(), 0);
  EXPECT_FALSE(info.addresses.empty());
  EXPECT_NE(std::ranges::find(info.protocols, offer), info.protocols.end());

  std::optional<Result<std::chrono::microseconds>> rtt;
  a.network->ping(b.key(), [&rtt](auto result) { rtt = std::move(result); });
  ASSERT_TRUE(until([&] { return rtt.has_value(); }));
  ASSERT_TRUE(rtt->has_value()) << rtt->error().message;
  EXPECT_GT((*rtt)->count(), 0);
}

TEST_P(TransportTest, ThousandMessagesArriveInOrder) {
  auto& a = start(config(GetParam().first));
  auto& b = start(config(GetParam().first));
  connect(a, b);
  for (int number = 0; number < 1000; ++number) {
    ASSERT_TRUE(a.network->send(b.key(), offer, as_bytes(std::to_string(number))));
  }
  ASSERT_TRUE(until([&] { return b.count<Message>() == 1000; }));
  int expected = 0;
  for (const auto* message : b.all<Message>()) {
    EXPECT_EQ(message->peer, a.key());
    EXPECT_EQ(message->protocol, offer);
    EXPECT_EQ(as_text(message->bytes), std::to_string(expected++));
  }
  EXPECT_EQ(a.count<SendFailed>(), 0U);
}

TEST_P(TransportTest, GossipIsPassedOnOnlyWhenAccepted) {
  // A line a - b - c that the limits of a and c keep a line: what reaches c went through b.
  const auto end_of_line = [&] {
    auto settings = config(GetParam().first);
    settings.limits.inbound_connections = 0;
    settings.limits.outbound_connections = 1;
    return settings;
  };
  auto& a = start(end_of_line());
  auto& b = start(config(GetParam().first));
  auto& c = start(end_of_line());
  connect(a, b);
  connect(c, b);
  ASSERT_TRUE(until([&] { return a.subscribed(b.key(), Topic::intents) && b.subscribed(c.key(), Topic::intents); }));
  const auto publish = [&](std::string_view text) { ASSERT_TRUE(a.network->publish(Topic::intents, as_bytes(text))); };
  b.filter = [&b](Event& event) {
    if (const auto* gossip = std::get_if<GossipMessage>(&event)) {
      b.network->judge(gossip->id, as_text(gossip->bytes).starts_with("good") ? Verdict::accept : Verdict::reject);
    }
    return false;
  };
  publish("good 1");
  publish("bad");
  publish("good 2");
  ASSERT_TRUE(until([&] { return b.count<GossipMessage>() == 3; }));
  ASSERT_TRUE(until([&] { return c.count<GossipMessage>() == 2; }));
  const auto* first = b.all<GossipMessage>().front();
  EXPECT_EQ(first->author, a.key());
  EXPECT_EQ(first->from, a.key());
  EXPECT_EQ(first->topic, Topic::intents);
  EXPECT_EQ(equal(first->id.view(), sha256(first->bytes).view()), true);
  for (const auto* gossip : c.all<GossipMessage>()) {
    EXPECT_EQ(gossip->author, a.key());
    EXPECT_EQ(gossip->from, b.key());
    EXPECT_TRUE(as_text(gossip->bytes).starts_with("good"));
  }
}

TEST_P(TransportTest, LostPeerLeavesTheListAtOnce) {
  auto& a = start(config(GetParam().first));
  auto& b = start(config(GetParam().first));
  connect(a, b);
  b.network->stop();
  ASSERT_TRUE(until([&] { return a.network->peers().empty(); }));
  ASSERT_EQ(a.count<PeerDisconnected>(), 1U);
  EXPECT_FALSE(a.all<PeerDisconnected>()[0]->reason.empty());
}

std::string name_of_transport(const ::testing::TestParamInfo<std::pair<std::string, std::string>>& parameter) {
  return parameter.param.second;
}

INSTANTIATE_TEST_SUITE_P(All, TransportTest,
                         ::testing::Values(std::pair(tcp_any, std::string("tcp")),
                                           std::pair(quic_any, std::string("quic")),
                                           std::pair(ws_any, std::string("ws"))),
                         name_of_transport);

TEST_F(NetworkTest, FiveNodesFindEachOtherThroughOne) {
  auto& hub = start(config());
  std::vector<Peer*> nodes = {&hub};
  for (int count = 0; count < 4; ++count) {
    auto settings = config();
    settings.bootstrap = {hub.address()};
    nodes.push_back(&start(settings));
  }
  ASSERT_TRUE(until(
      [&] { return std::ranges::all_of(nodes, [](const Peer* node) { return node->network->peers().size() == 4; }); }));
  bool by_table = false;
  for (auto* node : nodes) {
    if (node == &hub) continue;
    EXPECT_EQ(node->network->peer(hub.key())->found, Found::bootstrap);
    for (const auto& info : node->network->peers()) by_table |= info.found == Found::kademlia;
  }
  EXPECT_TRUE(by_table);
}

TEST_F(NetworkTest, BootstrapPeerIsDialedAgainWhenItReturns) {
  auto hub_settings = config();
  auto& hub = start(hub_settings);
  const auto address = hub.address();
  auto settings = config();
  settings.bootstrap = {address.substr(0, address.find("/p2p/"))};  // without the PeerId
  auto& node = start(settings);
  ASSERT_TRUE(until([&] { return node.network->peer(hub.key()) != nullptr; }));
  hub.network->stop();
  ASSERT_TRUE(until([&] { return node.network->peers().empty(); }));
  hub_settings.listen = settings.bootstrap;
  auto& again = start(hub_settings);
  ASSERT_TRUE(until([&] { return node.network->peer(again.key()) != nullptr; }));
}

TEST_F(NetworkTest, PublishingToNobodySaysSo) {
  auto& a = start(config());
  const auto request = a.network->publish(Topic::events, as_bytes("hello"));
  ASSERT_TRUE(request);
  ASSERT_TRUE(until([&] { return a.count<NotPublished>() == 1; }));
  const auto* event = a.all<NotPublished>()[0];
  EXPECT_EQ(event->request, *request);
  EXPECT_EQ(event->topic, Topic::events);
  EXPECT_TRUE(event->no_peers);
}

TEST_F(NetworkTest, GossipThatIsTooLargeIsRefusedAndTheLargestPasses) {
  auto& a = start(config());
  auto& b = start(config());
  connect(a, b);
  ASSERT_TRUE(until([&] { return a.subscribed(b.key(), Topic::intents); }));
  const Bytes largest(256 * 1024 - 512, 1);
  Bytes over = largest;
  over.push_back(1);
  const auto refused = a.network->publish(Topic::intents, over);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid);
  ASSERT_TRUE(a.network->publish(Topic::intents, largest));
  ASSERT_TRUE(until([&] { return b.count<GossipMessage>() == 1; }));
  EXPECT_EQ(b.all<GossipMessage>()[0]->bytes, largest);
}

TEST_F(NetworkTest, PeerThatGossipsTooFastIsCapped) {
  auto& a = start(config());
  auto settings = config();
  settings.limits.gossip_per_peer_per_s = 1;
  auto& b = start(settings);
  connect(a, b);
  ASSERT_TRUE(until([&] { return a.subscribed(b.key(), Topic::intents) && a.subscribed(b.key(), Topic::events); }));
  for (int number = 0; number < 200; ++number) {
    ASSERT_TRUE(a.network->publish(Topic::intents, as_bytes("flood " + std::to_string(number))));
  }
  // A message behind the flood: once it is through, so is the flood.
  ASSERT_TRUE(a.network->send(b.key(), offer, as_bytes("behind")));
  ASSERT_TRUE(until([&] { return b.count<Message>() == 1 && b.count<GossipMessage>() >= 2; }));
  EXPECT_LT(b.count<GossipMessage>(), 100U);
}

TEST_F(NetworkTest, RejectedGossipSilencesItsSender) {
  auto& a = start(config());
  auto& b = start(config());
  connect(a, b);
  ASSERT_TRUE(until([&] { return a.subscribed(b.key(), Topic::intents); }));
  b.filter = [&b](Event& event) {
    if (const auto* gossip = std::get_if<GossipMessage>(&event)) b.network->judge(gossip->id, Verdict::reject);
    return false;
  };
  // One by one, so that each verdict falls before the next message; the squared penalty ends it after about ten.
  int sent = 0;
  bool silenced = false;
  while (!silenced && sent < 50) {
    const auto before = b.count<GossipMessage>();
    ASSERT_TRUE(a.network->publish(Topic::intents, as_bytes("invalid " + std::to_string(sent++))));
    ASSERT_TRUE(a.network->send(b.key(), offer, as_bytes("after")));
    const auto messages = static_cast<std::size_t>(sent);
    ASSERT_TRUE(until([&] { return b.count<Message>() == messages; }));
    // Messages and gossip have streams of their own: a few rounds of pings give the gossip its time.
    for (int round = 0; round < 20 && b.count<GossipMessage>() == before; ++round) {
      bool ponged = false;
      a.network->ping(b.key(), [&ponged](const auto&) { ponged = true; });
      ASSERT_TRUE(until([&] { return ponged; }));
    }
    silenced = b.count<GossipMessage>() == before;
  }
  EXPECT_TRUE(silenced);
  EXPECT_GE(b.count<GossipMessage>(), 5U);
  EXPECT_LE(b.count<GossipMessage>(), 20U);
}

TEST_F(NetworkTest, OtherFederationsAreNotHeard) {
  auto& a = start(config());
  auto settings = config();
  settings.federation = "other";
  auto& b = start(settings);
  connect(a, b);
  ASSERT_TRUE(until([&] { return !b.network->peer(a.key())->agent.empty(); }));
  ASSERT_TRUE(a.network->publish(Topic::intents, as_bytes("hello")));
  ASSERT_TRUE(until([&] { return a.count<NotPublished>() == 1; }));
  EXPECT_TRUE(a.all<NotPublished>()[0]->no_peers);
}

TEST_F(NetworkTest, MessageConnectsByKnownAddresses) {
  auto& hub = start(config());
  auto& a = start(config());
  auto& b = start(config());
  connect(b, hub);
  ASSERT_TRUE(until([&] { return !hub.network->peer(b.key())->agent.empty(); }));
  // a knows only the hub; asked for b, it looks b up there and dials.
  connect(a, hub);
  ASSERT_TRUE(until([&] { return !a.network->peer(hub.key())->agent.empty(); }));
  ASSERT_TRUE(a.network->send(b.key(), award, as_bytes("found you")));
  ASSERT_TRUE(until([&] { return b.count<Message>() == 1 || a.count<SendFailed>() == 1; }));
  ASSERT_EQ(a.count<SendFailed>(), 0U) << a.all<SendFailed>()[0]->error.message;
  EXPECT_EQ(b.all<Message>()[0]->protocol, award);
}

TEST_F(NetworkTest, SendToUnreachablePeerFailsByName) {
  auto& a = start(config());
  const auto stranger = public_key_of(seed(99));
  const auto request = a.network->send(stranger, offer, as_bytes("hello"));
  ASSERT_TRUE(request);
  ASSERT_TRUE(until([&] { return a.count<SendFailed>() == 1; }));
  const auto* failed = a.all<SendFailed>()[0];
  EXPECT_EQ(failed->request, *request);
  EXPECT_EQ(failed->peer, stranger);
  EXPECT_FALSE(failed->maybe_delivered);
  EXPECT_EQ(failed->error.code, ErrorCode::unavailable);
  EXPECT_NE(failed->error.message.find("no address"), std::string::npos) << failed->error.message;
}

TEST_F(NetworkTest, SendToDeadPeerFails) {
  auto& a = start(config());
  auto& b = start(config());
  connect(a, b);
  const auto key = b.key();
  b.network->stop();
  ASSERT_TRUE(until([&] { return a.network->peers().empty(); }));
  ASSERT_TRUE(a.network->send(key, offer, as_bytes("hello")));
  ASSERT_TRUE(until([&] { return a.count<SendFailed>() == 1; }));
  EXPECT_FALSE(a.all<SendFailed>()[0]->maybe_delivered);
}

TEST_F(NetworkTest, MessagesThatCannotBeSentAreRefused) {
  auto settings = config();
  settings.limits.message_bytes = 1000;
  settings.limits.queued_messages = 3;
  auto& a = start(settings);
  auto& b = start(config());
  const auto big = a.network->send(b.key(), offer, Bytes(1001));
  ASSERT_FALSE(big);
  EXPECT_EQ(big.error().code, ErrorCode::invalid);
  const auto unknown = a.network->send(b.key(), "/nothing/1", as_bytes("x"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  const auto self = a.network->send(a.key(), offer, as_bytes("x"));
  ASSERT_FALSE(self);
  EXPECT_EQ(self.error().code, ErrorCode::invalid);
  connect(a, b);
  // Faster than they are acknowledged: sooner or later as many wait as may.
  std::size_t sent = 0;
  auto last = a.network->send(b.key(), offer, as_bytes("x"));
  for (; last; last = a.network->send(b.key(), offer, as_bytes("x"))) ASSERT_LT(++sent, 100000U);
  EXPECT_EQ(last.error().code, ErrorCode::exhausted);
  ASSERT_TRUE(until([&] { return b.count<Message>() == sent; }));
}

TEST_F(NetworkTest, MessageLargerThanThePeerTakesFails) {
  auto& a = start(config());
  auto settings = config();
  settings.limits.message_bytes = 1000;
  auto& b = start(settings);
  connect(a, b);
  const auto request = a.network->send(b.key(), offer, Bytes(100000));
  ASSERT_TRUE(request);
  ASSERT_TRUE(until([&] { return a.count<SendFailed>() == 1; }));
  EXPECT_EQ(a.all<SendFailed>()[0]->request, *request);
  EXPECT_EQ(b.count<Message>(), 0U);
  // The next one has a stream of its own again.
  ASSERT_TRUE(a.network->send(b.key(), offer, as_bytes("small")));
  ASSERT_TRUE(until([&] { return b.count<Message>() == 1; }));
}

TEST_F(NetworkTest, ProtocolThatThePeerLacksFails) {
  auto settings = config();
  settings.message_protocols = {"/meshwork/future/9"};
  auto& a = start(settings);
  auto& b = start(config());
  connect(a, b);
  ASSERT_TRUE(a.network->send(b.key(), "/meshwork/future/9", as_bytes("x")));
  ASSERT_TRUE(until([&] { return a.count<SendFailed>() == 1; }));
  EXPECT_EQ(a.all<SendFailed>()[0]->error.code, ErrorCode::unsupported);
  EXPECT_FALSE(a.all<SendFailed>()[0]->maybe_delivered);
  EXPECT_NE(a.network->peer(b.key()), nullptr);
}

TEST_F(NetworkTest, EveryMessageArrivesOrIsReportedWhenThePeerDies) {
  auto& a = start(config());
  auto settings = config();
  settings.limits.events = 50;  // so that b stops reading early
  auto& b = start(settings);
  connect(a, b);
  std::set<std::uint64_t> requests;
  for (int number = 0; number < 2000; ++number) {
    const auto request = a.network->send(b.key(), offer, as_bytes(std::to_string(number)));
    ASSERT_TRUE(request) << request.error().message;
    requests.insert(*request);
  }
  ASSERT_TRUE(until([&] { return b.count<Message>() >= 20; }));
  const auto key = b.key();
  b.network->stop();
  ASSERT_TRUE(until([&] { return a.network->peer(key) == nullptr; }));
  // An acknowledged message may have been in the queue of b's owner, which was stopped before it took it.
  ASSERT_TRUE(until([&] { return a.count<SendFailed>() + b.count<Message>() + 50 >= 2000; }));
  std::set<std::uint64_t> failed;
  for (const auto* event : a.all<SendFailed>()) {
    EXPECT_TRUE(requests.contains(event->request));
    EXPECT_TRUE(failed.insert(event->request).second) << "reported twice";
  }
}

TEST_F(NetworkTest, DoctorSaysWhy) {
  auto& a = start(config());
  auto& b = start(config());
  const auto ask = [&](const std::string& target) {
    std::optional<Result<DoctorReport>> report;
    a.network->doctor(target, [&report](Result<DoctorReport> result) { report = std::move(result); });
    EXPECT_TRUE(until([&] { return report.has_value(); }));
    return std::move(*report);
  };
  const auto reach = [&](const std::string& target) {
    const auto report = ask(target);
    EXPECT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->attempts.size(), 1U);
    EXPECT_FALSE(report->attempts.at(0).text.empty());
    return report->attempts.at(0).reach;
  };
  const auto bare = b.address().substr(0, b.address().find("/p2p/"));
  EXPECT_EQ(reach(b.address()), Reach::connected);
  EXPECT_EQ(reach(bare), Reach::connected);
  EXPECT_EQ(reach(bare + "/p2p/" + peer_id_text(public_key_of(seed(99)))), Reach::wrong_peer);
  EXPECT_EQ(reach(peer_id_text(public_key_of(seed(98)))), Reach::no_addresses);
  EXPECT_EQ(reach(a.address()), Reach::wrong_peer);
  const auto known = ask(peer_id_text(b.key()));
  ASSERT_TRUE(known);
  EXPECT_TRUE(known->already_connected);
  EXPECT_EQ(known->peer, b.key());
  ASSERT_FALSE(known->attempts.empty());
  EXPECT_EQ(known->attempts[0].reach, Reach::connected) << known->attempts[0].text;
  const auto key = b.key();
  b.network->stop();
  ASSERT_TRUE(until([&] { return a.network->peer(key) == nullptr; }));
  EXPECT_EQ(reach(bare), Reach::refused);
  const auto nonsense = ask("not an address");
  ASSERT_FALSE(nonsense);
  EXPECT_EQ(nonsense.error().code, ErrorCode::invalid);
}

TEST_F(NetworkTest, FailedDialsSayWhy) {
  auto& a = start(config());
  const auto dial = [&](const std::string& address) {
    std::optional<Result<PublicKey>> answer;
    a.network->dial(address, [&answer](Result<PublicKey> result) { answer = std::move(result); });
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    EXPECT_FALSE(answer->has_value());
    return answer->error();
  };
  EXPECT_EQ(dial("nonsense").code, ErrorCode::invalid);
  EXPECT_EQ(dial("\xff").code, ErrorCode::invalid);
  const auto refused = dial("/ip4/127.0.0.1/tcp/1");
  EXPECT_EQ(refused.code, ErrorCode::unavailable);
  EXPECT_NE(refused.message.find("refused"), std::string::npos) << refused.message;
  EXPECT_EQ(dial(a.address()).code, ErrorCode::unavailable);
}

TEST_F(NetworkTest, RelayedConnectionGivesWayToADirectOne) {
  if (!has_sockets) GTEST_SKIP() << "the bridge of one process has no relays";
  auto settings = config();
  settings.relay = RelayPolicy::on;
  auto& relay = start(settings);
  ASSERT_TRUE(until([&] { return relay.network->status().relaying; }));
  EXPECT_EQ(relay.network->status().reachability, Reachability::unknown);
  auto hidden = config();
  hidden.listen.push_back(relay.address() + "/p2p-circuit");
  auto& b = start(hidden);
  auto& a = start(config());
  std::optional<Result<PublicKey>> answer;
  a.network->dial(relay.address() + "/p2p-circuit/p2p/" + peer_id_text(b.key()),
                  [&answer](Result<PublicKey> result) { answer = std::move(result); });
  ASSERT_TRUE(until([&] { return answer.has_value(); }));
  ASSERT_TRUE(answer->has_value()) << answer->error().message;
  EXPECT_EQ(**answer, b.key());
  for (int number = 0; number < 100; ++number) {
    ASSERT_TRUE(a.network->send(b.key(), offer, as_bytes(std::to_string(number))));
  }
  // A hole through no NAT at all is as good as one: the direct connection takes over, and the messages with it.
  ASSERT_TRUE(until([&] { return a.count<PeerPathChanged>() == 1 && b.count<PeerPathChanged>() == 1; }));
  EXPECT_EQ(a.all<PeerConnected>().back()->transport, "relay");
  EXPECT_EQ(a.network->peer(b.key())->transport, "tcp");
  EXPECT_EQ(b.network->peer(a.key())->transport, "tcp");
  for (int number = 100; number < 200; ++number) {
    ASSERT_TRUE(a.network->send(b.key(), offer, as_bytes(std::to_string(number))));
  }
  ASSERT_TRUE(until([&] { return b.count<Message>() == 200; }));
  const auto messages = b.all<Message>();
  for (std::size_t number = 0; number < messages.size(); ++number) {
    EXPECT_EQ(messages[number]->bytes, to_bytes(std::to_string(number)));
  }
  ASSERT_TRUE(until([&] { return !a.network->status().punches.empty(); }));
  const auto& punch = a.network->status().punches.back();
  EXPECT_TRUE(punch.done) << punch.text;
  EXPECT_EQ(punch.peer, b.key());
  EXPECT_EQ(a.count<SendFailed>() + a.count<PeerDisconnected>(), 0U);
}

TEST_F(NetworkTest, StreamsPreferTheDirectConnection) {
  if (!has_sockets) GTEST_SKIP() << "the bridge of one process has no relays";
  auto settings = config();
  settings.relay = RelayPolicy::on;
  auto& relay = start(settings);
  auto hidden = config();
  hidden.listen.push_back(relay.address() + "/p2p-circuit");
  auto& b = start(hidden);
  auto& a = start(config());
  std::optional<Result<PublicKey>> answer;
  a.network->dial(relay.address() + "/p2p-circuit/p2p/" + peer_id_text(b.key()),
                  [&answer](Result<PublicKey> result) { answer = std::move(result); });
  ASSERT_TRUE(until([&] { return answer.has_value() && answer->has_value(); }));
  ASSERT_TRUE(until([&] { return a.network->peer(b.key())->transport == "tcp"; }));
  // Without the relay the relayed connection is gone; the direct one was never in doubt.
  relay.network->stop();
  std::optional<Result<RawStream>> opened;
  a.network->open_stream(b.key(), "/meshwork/blocks/1",
                         [&opened](Result<RawStream> result) { opened = std::move(result); });
  ASSERT_TRUE(until([&] { return opened.has_value(); }));
  EXPECT_TRUE(opened->has_value()) << opened->error().message;
  EXPECT_EQ(a.network->peer(b.key())->transport, "tcp");
}

TEST_F(NetworkTest, ProvidersOfAKeyAreFoundByThoseThatKnowOnlyABootstrap) {
  auto& hub = start(config());
  auto& provider = start(config());
  auto& seeker = start(config());
  const auto find = [this](Peer& peer, std::string_view key) {
    std::optional<Result<Providers>> answer;
    peer.network->find_providers(as_bytes(key), [&answer](Result<Providers> found) { answer = std::move(found); });
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return *answer;
  };
  const auto alone = find(seeker, "one");
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().code, ErrorCode::unavailable);

  ASSERT_TRUE(provider.network->provide(as_bytes("one")));
  ASSERT_TRUE(provider.network->provide(as_bytes("two")));
  EXPECT_EQ(provider.network->status().announced, 0U);
  connect(provider, hub);
  ASSERT_TRUE(until([&] { return provider.network->status().announced == 2; }));
  connect(seeker, hub);
  const std::vector<PublicKey> expected{provider.key()};
  ASSERT_TRUE(until([&] {
    const auto found = find(seeker, "one");
    return found && found->peers == expected && found->asked > 0;
  }));
  ASSERT_TRUE(until([&] { return seeker.network->peer(provider.key()) != nullptr; }));
  // A provider is not told of itself, and nobody has what nobody provides.
  EXPECT_TRUE(find(provider, "one")->peers.empty());
  EXPECT_TRUE(find(seeker, "three")->peers.empty());

  provider.network->stop_providing(as_bytes("two"));
  ASSERT_TRUE(until([&] { return provider.network->status().announced == 1; }));
}

TEST_F(NetworkTest, KeysOfTheDhtAreBounded) {
  auto settings = config();
  settings.limits.provided_keys = 2;
  auto& a = start(settings);
  for (const std::string& bad : {std::string(), std::string(67, 'k')}) {
    EXPECT_EQ(a.network->provide(as_bytes(bad)).error().code, ErrorCode::invalid);
    std::optional<ErrorCode> code;
    a.network->find_providers(as_bytes(bad), [&code](const auto& found) { code = found.error().code; });
    ASSERT_TRUE(until([&] { return code.has_value(); }));
    EXPECT_EQ(code, ErrorCode::invalid);
  }
  for (const std::string_view key : {"one", "two", "one"}) EXPECT_TRUE(a.network->provide(as_bytes(key))) << key;
  EXPECT_EQ(a.network->provide(as_bytes("three")).error().code, ErrorCode::exhausted);
  a.network->stop_providing(as_bytes("one"));
  EXPECT_TRUE(a.network->provide(as_bytes("three")));
}

TEST_F(NetworkTest, StoppedNetworkRefusesEverything) {
  auto& a = start(config());
  a.network->stop();
  a.network->stop();
  EXPECT_EQ(a.network->publish(Topic::intents, as_bytes("x")).error().code, ErrorCode::unavailable);
  EXPECT_EQ(a.network->send(public_key_of(seed(9)), offer, as_bytes("x")).error().code, ErrorCode::unavailable);
  std::optional<ErrorCode> code;
  a.network->dial("/ip4/127.0.0.1/tcp/1", [&code](const auto& result) { code = result.error().code; });
  EXPECT_FALSE(code) << "called back from inside the call";
  ASSERT_TRUE(until([&] { return code.has_value(); }));
  EXPECT_EQ(code, ErrorCode::unavailable);
  a.network->judge(GossipId(), Verdict::accept);
  a.network->disconnect(public_key_of(seed(9)));
  a.network->reset_stream(1);
  EXPECT_EQ(a.network->provide(as_bytes("key")).error().code, ErrorCode::unavailable);
  a.network->stop_providing(as_bytes("key"));
}

TEST_F(NetworkTest, MayBeStoppedFromItsOwnCallback) {
  auto& a = start(config());
  auto& b = start(config());
  a.filter = [&a](Event& event) {
    if (std::holds_alternative<PeerConnected>(event)) a.network->stop();
    return false;
  };
  b.network->dial(a.address(), [](const auto&) {});
  ASSERT_TRUE(until([&] { return a.count<PeerConnected>() == 1; }));
  EXPECT_TRUE(a.network->peers().empty());
}

}  // namespace
}  // namespace mesh::p2p::testing
