#include "app/runtime/manifest_exchange.h"

#include "app/runtime/stream.h"
#include "app/runtime/test_content.h"

namespace mesh::app {
namespace {

using asset::Visibility;

Seed seed_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> bytes{};
  bytes[0] = number;
  return Seed(bytes);
}

asset::Asset asset(std::string path, Visibility visibility = Visibility::lan) {
  asset::Asset made;
  made.share = "models";
  made.path = std::move(path);
  made.cid = Cid::of(Multicodec::raw, as_bytes(made.path));
  made.bytes = 3;
  made.sha256 = sha256(as_bytes(made.path));
  made.visibility = visibility;
  return made;
}
std::vector<asset::Asset> many(int count) {
  std::vector<asset::Asset> made;
  for (int i = 0; i < count; ++i) made.push_back(asset(std::to_string(100'000 + i)));
  return made;
}

/// We ask; they share. Both are in one thread; hostile ones answer what a test gives them.
struct ManifestExchangeTest : testing::Test {
  boost::asio::io_context io;
  TestOpener our_opener, their_opener;
  Cid federation = Cid::of(Multicodec::dag_cbor, as_bytes("federation"));
  identity::Signer we{seed_of(1), federation}, they{seed_of(2), federation};
  std::vector<Visibility> classes{Visibility::everybody, Visibility::lan};
  std::vector<std::string> told;  ///< to us
  ManifestExchange::Limits limits;
  std::unique_ptr<ManifestExchange> ours, theirs;

  ManifestExchangeTest() { limits.apart = Duration(0); }
  ~ManifestExchangeTest() override {
    ours.reset();
    theirs.reset();
  }

  void start() {
    const auto nobody = [](const NodeId&, const std::string&) {};
    ours = std::make_unique<ManifestExchange>(
        io, our_opener, we, limits, [](const NodeId&) { return std::vector<Visibility>{}; },
        [this](const NodeId&, const std::string& what) { told.push_back(what); });
    theirs = std::make_unique<ManifestExchange>(
        io, their_opener, they, limits, [this](const NodeId&) { return classes; }, nobody);
    our_opener.peers[they.id()] = [this](int end) { theirs->serve(we.id(), end); };
    their_opener.peers[we.id()] = [this](int end) { ours->serve(they.id(), end); };
  }
  void meet() const {
    theirs->peer_up(we.id());
    ours->peer_up(they.id());
  }
  /// Goes on until it holds, or nothing happens any more.
  template <class Condition>
  bool runs_until(const Condition& holds) {
    io.restart();
    while (!holds()) {
      if (io.run_one_for(std::chrono::seconds(20)) == 0) return holds();
    }
    return true;
  }
  [[nodiscard]] std::vector<std::string> paths() const {
    std::vector<std::string> all;
    for (const ManifestExchange::Holding& holding : ours->find({}, 100'000).holdings) all.push_back(holding.asset.path);
    std::ranges::sort(all);
    return all;
  }

  /// A whole answer: the head, and the pages that are given.
  [[nodiscard]] Bytes answer_of(const asset::Manifest& head, const std::vector<Bytes>& pages) const {
    return answer_of(they.seal(head), pages);
  }
  [[nodiscard]] static Bytes answer_of(const Envelope& head, const std::vector<Bytes>& pages) {
    Bytes answer = framed(record::encode(head));
    for (const Bytes& page : pages) append(answer, framed(page));
    answer.push_back(0);
    return answer;
  }
  /// What we say of a peer that answers so.
  std::string verdict_on(Bytes answer) {
    start();
    our_opener.peers[they.id()] = canned(std::move(answer));
    ours->peer_up(they.id());
    EXPECT_TRUE(runs_until([&] { return !told.empty(); }));
    EXPECT_TRUE(paths().empty()) << "nothing of it is kept";
    return told.empty() ? "" : told.front();
  }
};

TEST_F(ManifestExchangeTest, TellsWhatIsSharedAndWhatChanges) {
  start();
  theirs->set_own(1, {asset("a"), asset("b", Visibility::everybody), asset("c", Visibility::federation)});
  meet();
  ASSERT_TRUE(runs_until([&] { return paths().size() == 2; }));
  EXPECT_EQ(paths(), (std::vector<std::string>{"a", "b"})) << "what is for the federation is not for us";
  EXPECT_EQ(ours->files(), 2U);
  const auto found = ours->find({.name = "b", .path = {}, .cid = {}, .sha256 = {}, .architecture = {}}, 10).holdings;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].peer, they.id());
  EXPECT_EQ(found[0].asset, asset("b", Visibility::everybody));
  theirs->set_own(2, {asset("a2"), asset("b", Visibility::everybody)});
  ASSERT_TRUE(runs_until([&] { return paths() == std::vector<std::string>{"a2", "b"}; }));
  // As they become ours, so do the files.
  classes.push_back(Visibility::federation);
  theirs->set_own(3, {asset("a2"), asset("c", Visibility::federation)});
  ASSERT_TRUE(runs_until([&] { return paths() == std::vector<std::string>{"a2", "c"}; }));
  ours->peer_down(they.id());
  ASSERT_TRUE(runs_until([&] { return paths().empty(); }));
}

TEST_F(ManifestExchangeTest, OfAPeerThatHasManyNotAllAreToldAndItIsSaid) {
  start();
  theirs->set_own(1, many(30));
  meet();
  ASSERT_TRUE(runs_until([&] { return ours->files() == 30; }));
  EXPECT_EQ(ours->find({}, 10).holdings.size(), 10U);
  EXPECT_FALSE(ours->find({}, 10).is_all);
  EXPECT_TRUE(ours->find({}, 30).is_all);
}

TEST_F(ManifestExchangeTest, AQuestionThatIsCutIsAskedAgain) {
  start();
  theirs->set_own(1, {asset("a")});
  theirs->peer_up(we.id());
  const auto answers = our_opener.peers[they.id()];
  int cut = 0;
  our_opener.peers[they.id()] = [&](int end) {
    if (++cut > 3) return answers(end);
    ::close(end);
  };
  ours->peer_up(they.id());
  ASSERT_TRUE(runs_until([&] { return paths() == std::vector<std::string>{"a"}; }));
  EXPECT_EQ(cut, 4);
}

TEST_F(ManifestExchangeTest, WhoNeverAnswersIsNotAskedForEver) {
  start();
  our_opener.peers.erase(they.id());
  ours->peer_up(they.id());
  ASSERT_FALSE(runs_until([] { return false; })) << "nothing is left to do";
  EXPECT_EQ(our_opener.opened[they.id()], static_cast<int>(limits.max_failures));
}

TEST_F(ManifestExchangeTest, WhatHasNoRoomIsLeftOutOfTheOwnManifest) {
  limits.max_own_bytes = 10'000;
  start();
  theirs->set_own(1, many(5000));
  meet();
  ASSERT_TRUE(runs_until([&] { return ours->files() > 0; }));
  EXPECT_LT(ours->files(), 100U);
}

TEST_F(ManifestExchangeTest, PagesThatAreKnownDoNotTravelAgain) {
  start();
  std::vector<asset::Asset> files = many(5000);
  theirs->set_own(1, files);
  meet();
  ASSERT_TRUE(runs_until([&] { return ours->files() == 5000; }));
  // From now on they only pass on what they are asked to, and we count it.
  auto bytes = std::make_shared<std::atomic<std::size_t>>(0);
  our_opener.peers[they.id()] = [this, bytes](int end) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    theirs->serve(we.id(), ends[0]);
    const auto pass = [](int from, int to, const std::shared_ptr<std::atomic<std::size_t>>& count) {
      std::array<std::uint8_t, 4096> part{};
      ssize_t got = 0;
      while ((got = ::read(from, part.data(), part.size())) > 0) {
        if (count) *count += static_cast<std::size_t>(got);
        write_all(to, ByteView(part).first(static_cast<std::size_t>(got)));
      }
      ::shutdown(to, SHUT_WR);
    };
    std::thread([pass, end, bytes, other = ends[1]] {
      std::thread back([&] { pass(end, other, nullptr); });
      pass(other, end, bytes);
      back.join();
      ::close(end);
      ::close(other);
    }).detach();
  };
  files.push_back(asset("999999"));
  theirs->set_own(2, files);
  ASSERT_TRUE(runs_until([&] { return ours->files() == 5001; }));
  EXPECT_LT(*bytes, 60'000U) << "of some 800,000: the head and a page";
}

TEST_F(ManifestExchangeTest, HostileAnswersAreRefusedByName) {
  const asset::BuiltManifest built = asset::build_manifest(Visibility::lan, 5, many(200));
  ASSERT_GE(built.pages.size(), 2U);
  EXPECT_NE(verdict_on(answer_of(identity::Signer(seed_of(9), federation).seal(built.manifest), built.pages))
                .find("of somebody else"),
            std::string::npos);
  told.clear();
  Envelope forged = they.seal(built.manifest);
  forged.body.back() ^= 1;
  EXPECT_NE(verdict_on(answer_of(forged, built.pages)), "");
  told.clear();
  Envelope unsigned_head = they.seal(built.manifest);
  unsigned_head.sig = {};
  EXPECT_NE(verdict_on(answer_of(unsigned_head, built.pages)), "");
  told.clear();
  const identity::Signer elsewhere(seed_of(2), Cid::of(Multicodec::dag_cbor, as_bytes("another federation")));
  EXPECT_NE(verdict_on(answer_of(elsewhere.seal(built.manifest), built.pages)), "");
  told.clear();
  std::vector<Bytes> swapped = built.pages;
  std::swap(swapped[0], swapped[1]);
  EXPECT_NE(verdict_on(answer_of(built.manifest, swapped)).find("not what its manifest names"), std::string::npos);
  told.clear();
  std::vector<Bytes> fewer = built.pages;
  fewer.pop_back();
  EXPECT_NE(verdict_on(answer_of(built.manifest, fewer)).find("fewer pages"), std::string::npos);
  told.clear();
  asset::Manifest repeated = built.manifest;
  repeated.pages.push_back(repeated.pages.front());
  EXPECT_NE(verdict_on(answer_of(repeated, built.pages)).find("page twice"), std::string::npos);
  told.clear();
  asset::Manifest miscounted = built.manifest;
  ++miscounted.files;
  EXPECT_NE(verdict_on(answer_of(miscounted, built.pages)).find("miscounts"), std::string::npos);
  told.clear();
  asset::Manifest endless = built.manifest;
  endless.pages.assign(asset::max_pages + 1, built.manifest.pages[0]);
  EXPECT_NE(verdict_on(answer_of(endless, {})).find("at most"), std::string::npos);
  told.clear();
  Bytes twice = answer_of(built.manifest, built.pages);
  twice.pop_back();
  append(twice, answer_of(built.manifest, {}));
  EXPECT_NE(verdict_on(twice).find("two manifests of one class"), std::string::npos);
  told.clear();
  EXPECT_NE(verdict_on(framed(as_bytes("no envelope"))), "");
  told.clear();
  Bytes long_frame;
  append_varint(long_frame, std::uint64_t{1} << 40);
  EXPECT_NE(verdict_on(long_frame).find("at most"), std::string::npos);
}

TEST_F(ManifestExchangeTest, AnOlderManifestIsNoNewsAndTold) {
  start();
  theirs->set_own(7, {asset("new")});
  meet();
  ASSERT_TRUE(runs_until([&] { return paths() == std::vector<std::string>{"new"}; }));
  told.clear();
  const asset::BuiltManifest old = asset::build_manifest(Visibility::lan, 6, {asset("old")});
  our_opener.peers[they.id()] = canned(answer_of(old.manifest, old.pages));
  ours->peer_up(they.id());
  ASSERT_TRUE(runs_until([&] { return !told.empty(); }));
  EXPECT_NE(told.front().find("older"), std::string::npos);
  EXPECT_EQ(paths(), std::vector<std::string>{"new"});
}

TEST_F(ManifestExchangeTest, APeerThatSharesTooMuchIsNotTakenIn) {
  limits.max_peer_bytes = 10'000;
  start();
  theirs->set_own(1, many(5000));
  meet();
  ASSERT_TRUE(runs_until([&] { return !told.empty(); }));
  EXPECT_NE(told.front().find("more than this node takes in"), std::string::npos);
  EXPECT_EQ(ours->files(), 0U);
}

TEST_F(ManifestExchangeTest, QuestionsThatDoNotReadAreNotAnswered) {
  start();
  theirs->set_own(1, {asset("a")});
  theirs->peer_up(we.id());
  for (const Bytes& question : {Bytes{}, Bytes{0}, framed(as_bytes("what?")), Bytes(20, 0xff)}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    theirs->serve(we.id(), ends[0]);
    write_all(ends[1], question);
    ::shutdown(ends[1], SHUT_WR);
    std::optional<Bytes> answer;
    std::thread reader([&] { answer = read_to_end(ends[1]); });
    io.restart();
    io.run();
    reader.join();
    ::close(ends[1]);
    EXPECT_TRUE(answer && answer->empty());
  }
}

TEST_F(ManifestExchangeTest, AStreamOfNobodyThatIsConnectedIsClosed) {
  start();
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  theirs->serve(we.id(), ends[0]);
  io.restart();
  io.run();
  EXPECT_TRUE(read_to_end(ends[1]).empty());
  ::close(ends[1]);
}

}  // namespace
}  // namespace mesh::app
