#include "app/runtime/runtime.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <condition_variable>
#include <csignal>
#include <fstream>
#include <future>
#include <mutex>

#include "adapters/p2p/network.h"
#include "adapters/store/temporary_folder.h"
#include "app/runtime/import.h"

namespace mesh::app {
namespace {

constexpr auto patience = std::chrono::seconds(120);  // A bound against hanging, not an expectation.

Settings settings_of(const std::filesystem::path& home, const std::filesystem::path& compiled) {
  Settings settings;
  settings.home = home;
  settings.compile_cache = compiled;
  settings.listen = {"/ip4/127.0.0.1/tcp/0"};
  settings.mdns = false;
  settings.slots = 1;
  settings.memory_mb = 1'024;
  return settings;
}

struct RuntimeTest : testing::Test {
  store::TemporaryFolder folder;
  std::filesystem::path home = folder.path() / "home";
  std::filesystem::path compiled = folder.path() / "compiled";

  Settings settings(const std::string& name = "home") { return settings_of(folder.path() / name, compiled); }

  std::unique_ptr<Runtime> start(Settings given) {
    auto runtime = Runtime::start(std::move(given));
    EXPECT_TRUE(runtime) << runtime.error().message;
    return runtime ? std::move(*runtime) : nullptr;
  }

  /// Waits until `holds` does, looked at after every event of the node's story.
  static bool wait_until(Runtime& runtime, std::function<bool()> holds) {
    struct State {
      std::promise<void> reached;
      bool done = false;
      EventLog::Subscription subscription;
    };
    const auto state = std::make_shared<State>();
    auto future = state->reached.get_future();
    runtime.post([&runtime, state, holds] {
      const auto look = [state, holds] {
        if (state->done || !holds()) return;
        state->done = true;
        state->reached.set_value();
      };
      state->subscription = runtime.events().subscribe([look](const LoggedEvent&) { look(); });
      look();
    });
    const bool reached = future.wait_for(patience) == std::future_status::ready;
    (void)runtime.call([state] {
      state->done = true;
      state->subscription.cancel();
      return 0;
    });
    return reached;
  }

  static Result<Cid> submit(Runtime& runtime, std::string_view wat, std::string_view input,
                            std::optional<std::uint32_t> verifiers = {}) {
    const asset::BlockSink sink = block_sink(runtime.blocks());
    MESH_LET(const Program program, import_source("wat", as_bytes(wat), sink));
    MESH_LET(const ImportedFunction function, make_function(program, {}, runtime.store(), runtime.blocks()));
    InputSpec spec;
    spec.kind = InputSpec::Kind::bytes;
    spec.bytes = to_bytes(input);
    MESH_LET(const ImportedInputs inputs, import_inputs({spec}, false, sink));
    node::JobSpec job;
    job.function = function.function;
    job.inputs = inputs.shard_list;
    job.shards = 1;
    job.bid_window_ms = 200;
    job.verifiers = verifiers;
    auto answer = std::make_shared<std::promise<Result<Cid>>>();
    auto future = answer->get_future();
    runtime.post([&runtime, job, answer]() mutable {
      runtime.submit(std::move(job), [answer](Result<Cid> id) { answer->set_value(std::move(id)); });
    });
    if (future.wait_for(patience) != std::future_status::ready) return fail(ErrorCode::timeout, "never answered");
    return future.get();
  }

  static bool ended(const node::JobView& view) {
    return view.phase == node::JobPhase::done || view.phase == node::JobPhase::failed ||
           view.phase == node::JobPhase::stopped;
  }
};

// Writes "hello" to its output.
constexpr std::string_view hello_wat = R"((module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 5))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))
)";

TEST_F(RuntimeTest, TheSameHomeIsTheSameNode) {
  identity::NodeId id;
  std::uint64_t boot = 0;
  {
    const auto runtime = start(settings());
    ASSERT_TRUE(runtime);
    id = runtime->call([&] { return runtime->node().id(); });
    boot = runtime->boot();
    EXPECT_FALSE(runtime->call([&] { return runtime->listen_addresses(); }).empty());
    EXPECT_TRUE(runtime->call([&] { return runtime->health(); }).ready);
  }
  const auto again = start(settings());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->call([&] { return again->node().id(); }), id);
  EXPECT_EQ(again->boot(), boot + 1);
  EXPECT_EQ(again->call([&] { return again->events().last() >> 32; }), boot + 1);
  again->stop();
  again->stop();
}

TEST_F(RuntimeTest, ASecondNodeOnTheHomeIsRefused) {
  const auto runtime = start(settings());
  ASSERT_TRUE(runtime);
  const auto second = Runtime::start(settings());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  EXPECT_TRUE(runtime->call([&] { return runtime->health(); }).ready);
}

TEST_F(RuntimeTest, BadSettingsAreRefusedWithAReason) {
  Settings bad = settings();
  bad.federation = "No Such Name!";
  EXPECT_EQ(Runtime::start(bad).error().code, ErrorCode::invalid);
  bad = settings();
  bad.owner = "me";
  EXPECT_FALSE(Runtime::start(bad));
  bad = settings();
  bad.listen = {"/ip4/127.0.0.1/tcp/notaport"};
  EXPECT_FALSE(Runtime::start(bad));
  bad = settings();
  bad.home = "/proc/nowhere";
  EXPECT_EQ(Runtime::start(bad).error().code, ErrorCode::storage);
  EXPECT_TRUE(start(settings()));  // Nothing of it was left held.
}

TEST_F(RuntimeTest, APortThatIsTakenIsNamed) {
  const auto first = start(settings("a"));
  ASSERT_TRUE(first);
  const auto taken = first->call([&] { return first->listen_addresses(); }).at(0);
  Settings same = settings("b");
  same.listen = {taken.substr(0, taken.find("/p2p/"))};
  const auto second = Runtime::start(same);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(same.listen[0]), std::string::npos) << second.error().message;
}

TEST_F(RuntimeTest, ANodeAloneRunsItsOwnTaskUnverified) {
  const auto runtime = start(settings());
  ASSERT_TRUE(runtime);
  const auto id = submit(*runtime, hello_wat, "");
  ASSERT_TRUE(id) << id.error().message;
  ASSERT_TRUE(wait_until(*runtime, [&] {
    const auto view = runtime->node().job(*id);
    return view && ended(*view);
  }));
  const auto view = runtime->call([&] { return *runtime->node().job(*id); });
  EXPECT_EQ(view.phase, node::JobPhase::done) << view.failure;
  EXPECT_TRUE(view.unverified);
  ASSERT_TRUE(view.result);
  EXPECT_EQ(as_text(*runtime->blocks().read_dag_file(*view.result, 100)), "hello");
  EXPECT_GT(runtime->call([&] { return runtime->counters(); }).fuel, 0U);
}

TEST_F(RuntimeTest, NodesFindEachOtherAndOneWorksForTheOther) {
  Settings of_publisher = settings("publisher");
  of_publisher.accepts_work = false;
  const auto publisher = start(of_publisher);
  ASSERT_TRUE(publisher);
  Settings of_worker = settings("worker");
  of_worker.bootstrap = {publisher->call([&] { return publisher->listen_addresses(); }).at(0)};
  const auto worker = start(of_worker);
  ASSERT_TRUE(worker);
  ASSERT_TRUE(wait_until(*publisher, [&] {
    const auto peers = publisher->peers();
    return std::ranges::any_of(peers, [](const PeerLine& line) { return line.connected && line.info.has_value(); });
  }));
  const auto lines = publisher->call([&] { return publisher->peers(); });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].transport, "tcp");
  EXPECT_EQ(lines[0].found, "inbound");
  const auto id = submit(*publisher, hello_wat, "", 0);
  ASSERT_TRUE(id) << id.error().message;
  ASSERT_TRUE(wait_until(*publisher, [&] {
    const auto view = publisher->node().job(*id);
    return view && ended(*view);
  }));
  const auto view = publisher->call([&] { return *publisher->node().job(*id); });
  EXPECT_EQ(view.phase, node::JobPhase::done) << view.failure;
  const auto shards = publisher->call([&] { return publisher->node().shards(*id, 0, 1); });
  ASSERT_EQ(shards.size(), 1U);
  EXPECT_EQ(shards[0].worker, worker->call([&] { return worker->node().id(); }));
  EXPECT_EQ(as_text(*publisher->blocks().read_dag_file(*view.result, 100)), "hello");
}

TEST_F(RuntimeTest, AnotherNodeFetchesASharedFileAndNothingBesideIt) {
  const auto write = [&](const char* share, const char* name, std::string_view content) {
    std::filesystem::create_directories(folder.path() / share);
    std::ofstream(folder.path() / share / name, std::ios::binary) << content;
    asset::FileBuilder builder([](const Cid&, const Bytes&) -> Status { return {}; });
    EXPECT_TRUE(builder.feed(as_bytes(content)));
    return builder.finish()->cid;
  };
  const std::string large((std::size_t{2} << 20) + 7, 'x');
  const Cid shared = write("models", "large", large);
  const Cid hidden = write("models", ".hidden", "hidden");
  const Cid beside = write("private", "secret", "secret");
  Settings of_holder = settings("holder");
  of_holder.shares = {{.name = "models",
                       .folder = (folder.path() / "models").string(),
                       .visibility = asset::Visibility::lan,
                       .include = {},
                       .exclude = {}}};
  const auto holder = start(of_holder);
  ASSERT_TRUE(holder);
  ASSERT_TRUE(wait_until(*holder, [&] { return holder->shares().files() == 1; }));
  Settings of_getter = settings("getter");
  of_getter.bootstrap = {holder->call([&] { return holder->listen_addresses(); }).at(0)};
  const auto getter = start(of_getter);
  ASSERT_TRUE(getter);
  ASSERT_TRUE(wait_until(*getter, [&] {
    return std::ranges::any_of(getter->peers(), [](const PeerLine& line) { return line.connected; });
  }));
  const auto fetch = [&](const Cid& cid, Duration limit) {
    std::promise<Status> answer;
    auto future = answer.get_future();
    getter->post([&] { getter->fetch(cid, {}, limit, [&](Status status) { answer.set_value(std::move(status)); }); });
    return future.get();
  };
  // It is in the holder's manifest, for those on the local network.
  const asset::AssetQuery by_name{.name = "large", .path = {}, .cid = {}, .sha256 = {}, .architecture = {}};
  ASSERT_TRUE(wait_until(*getter, [&] { return !getter->find_at_peers(by_name, 10).assets.empty(); }));
  const std::vector<PeerAsset> told = getter->find_at_peers({}, 10).assets;
  ASSERT_EQ(told.size(), 1U) << "and nothing else";
  EXPECT_EQ(told[0].asset.cid, shared);
  EXPECT_EQ(told[0].asset.bytes, large.size());
  EXPECT_EQ(told[0].node, holder->call([&] { return holder->node().id(); }));
  const Status got = fetch(shared, seconds(60));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(as_text(*getter->blocks().read_dag_file(shared, large.size())), large);
  // Known by their hashes, and there: the answer is that of what does not exist.
  const Cid nowhere = Cid::of(Multicodec::raw, as_bytes("nowhere"));
  const auto refusal = [&](const Cid& cid) {
    std::string text = fetch(cid, seconds(1)).error().message;
    const std::size_t at = text.find(cid.text());
    return at == std::string::npos ? text : text.erase(at, cid.text().size());
  };
  EXPECT_EQ(refusal(hidden), refusal(nowhere));
  EXPECT_EQ(refusal(beside), refusal(nowhere));

  // What changes there is known here; what is gone with its node, too.
  write("models", "second", "second");
  holder->post([&] { holder->refresh_shares([](const auto&) {}); });
  ASSERT_TRUE(wait_until(*getter, [&] { return getter->find_at_peers({}, 10).assets.size() == 2; }));
  holder->stop();
  ASSERT_TRUE(wait_until(*getter, [&] { return getter->find_at_peers({}, 10).assets.empty(); }));
}

TEST_F(RuntimeTest, AFileForEverybodyIsFoundAndFetchedThroughTheDht) {
  const auto write = [&](const char* share, std::string_view content) {
    std::filesystem::create_directories(folder.path() / share);
    std::ofstream(folder.path() / share / "file", std::ios::binary) << content;
    return asset::Share{.name = share,
                        .folder = (folder.path() / share).string(),
                        .visibility = *asset::parse_visibility(share),
                        .include = {},
                        .exclude = {}};
  };
  const auto start_joined = [&](const char* name, std::vector<std::string> bootstrap,
                                std::vector<asset::Share> shares = {}) {
    Settings given = settings(name);
    given.bootstrap = std::move(bootstrap);
    given.shares = std::move(shares);
    return start(given);
  };
  const Cid open = Cid::of(Multicodec::raw, as_bytes("for everybody"));
  const Cid second = Cid::of(Multicodec::raw, as_bytes("also for everybody"));
  const Cid near = Cid::of(Multicodec::raw, as_bytes("for the neighbours"));
  const auto hub = start_joined("hub", {});
  ASSERT_TRUE(hub);
  const std::vector<std::string> joins{hub->call([&] { return hub->listen_addresses(); }).at(0)};
  const asset::Share everybody = write("everybody", "for everybody");
  std::ofstream(folder.path() / "everybody" / "second", std::ios::binary) << "also for everybody";
  const auto holder = start_joined("holder", joins, {everybody, write("lan", "for the neighbours")});
  ASSERT_TRUE(holder);
  const identity::NodeId holder_id = holder->call([&] { return holder->node().id(); });
  ASSERT_TRUE(wait_until(*holder, [&] { return holder->announced().announced == 2; }));
  EXPECT_EQ(holder->call([&] { return holder->announced().roots; }), 2U) << "what is for neighbours is not told";
  const auto seeker = start_joined("seeker", joins);
  ASSERT_TRUE(seeker);
  const auto is_connected = [](const Runtime& runtime, const identity::NodeId& to) {
    return std::ranges::any_of(runtime.peers(),
                               [&](const PeerLine& line) { return line.connected && line.node == to; });
  };
  const identity::NodeId hub_id = hub->call([&] { return hub->node().id(); });
  ASSERT_TRUE(wait_until(*seeker, [&] { return is_connected(*seeker, hub_id); }));

  const auto find = [&](const Cid& root) {
    std::promise<Dht::Found> answer;
    auto future = answer.get_future();
    seeker->post([&] { seeker->find_in_dht(root, [&](const Dht::Found& found) { answer.set_value(found); }); });
    return future.get();
  };
  const auto end = std::chrono::steady_clock::now() + patience;
  Dht::Found found = find(open);
  // A miss is remembered for a while; the record was on its way.
  while (found.peers.empty() && std::chrono::steady_clock::now() < end) found = find(open);
  EXPECT_EQ(found.peers, std::vector{holder_id}) << found.text;
  const Dht::Found nobody = find(near);
  EXPECT_TRUE(nobody.peers.empty());
  EXPECT_TRUE(nobody.text.starts_with("nobody in the DHT has told of it either")) << nobody.text;

  // So that only the DHT can name the holder, unless it has come back by itself meanwhile.
  const auto part = [&] {
    seeker->post([&] { seeker->network().disconnect(holder_id); });
    return wait_until(*seeker, [&] { return !is_connected(*seeker, holder_id); });
  };
  ASSERT_TRUE(part());
  const auto fetch = [&](const Cid& root) {
    std::promise<Status> answer;
    auto future = answer.get_future();
    seeker->post(
        [&] { seeker->fetch(root, {}, seconds(60), [&](Status status) { answer.set_value(std::move(status)); }); });
    return future.get();
  };
  const Status got = fetch(open);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(as_text(*seeker->blocks().get(open).value()), "for everybody");
  const Status missing = fetch(Cid::of(Multicodec::raw, as_bytes("nowhere")));
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("nobody in the DHT has told of it either"), std::string::npos)
      << missing.error().message;

  ASSERT_TRUE(part());
  std::promise<Result<std::filesystem::path>> answer;
  auto future = answer.get_future();
  seeker->post([&] {
    seeker->download({.root = second, .path = "second", .visibility = {}, .sha256 = {}, .holders = {}},
                     [&](Result<std::filesystem::path> file) { answer.set_value(std::move(file)); });
  });
  const Result<std::filesystem::path> file = future.get();
  ASSERT_TRUE(file) << file.error().message;
  std::ifstream stream(*file, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), "also for everybody");

  // What is gone is told no more.
  std::filesystem::remove(folder.path() / "everybody" / "file");
  holder->post([&] { holder->refresh_shares([](const auto&) {}); });
  ASSERT_TRUE(wait_until(*holder, [&] { return holder->announced().roots == 1; }));
}

TEST_F(RuntimeTest, WhatTheDiskDoesNotTakeIsNotAcknowledged) {
  const auto runtime = start(settings());
  ASSERT_TRUE(runtime);
  const asset::BlockSink sink = block_sink(runtime->blocks());
  const auto first = submit(*runtime, hello_wat, "");  // The content is here from now on.
  ASSERT_TRUE(first);
  ASSERT_TRUE(wait_until(*runtime, [&] { return ended(*runtime->node().job(*first)); }));

  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  const auto given_up = submit(*runtime, hello_wat, "");
  const Health health = runtime->call([&] { return runtime->health(); });
  const auto refused = submit(*runtime, hello_wat, "");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);

  ASSERT_FALSE(given_up);
  EXPECT_EQ(given_up.error().code, ErrorCode::storage) << given_up.error().message;
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, health.reason);
  EXPECT_FALSE(health.ready);
  EXPECT_FALSE(health.reason.empty());
  // Room is made: what waited is written by itself.
  ASSERT_TRUE(wait_until(*runtime, [&] { return runtime->health().ready; }));
  const auto after = submit(*runtime, hello_wat, "");
  ASSERT_TRUE(after) << after.error().message;
  ASSERT_TRUE(wait_until(*runtime, [&] { return ended(*runtime->node().job(*after)); }));
}

TEST_F(RuntimeTest, AJobGoesOnWhenTheDiskHasRoomAgain) {
  std::vector<Cid> jobs;
  {
    const auto runtime = start(settings());
    ASSERT_TRUE(runtime);
    const auto first = submit(*runtime, hello_wat, "");
    ASSERT_TRUE(first);
    ASSERT_TRUE(wait_until(*runtime, [&] { return ended(*runtime->node().job(*first)); }));
    const auto spin =
        submit(*runtime, R"((module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l)))))", "");
    ASSERT_TRUE(spin);
    jobs = {*first, *spin};

    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
    std::promise<Status> answer;
    auto stopped = answer.get_future();
    runtime->post([&] { runtime->stop_job(*spin, [&](Status status) { answer.set_value(std::move(status)); }); });
    EXPECT_EQ(stopped.get().error().code, ErrorCode::storage) << "it cannot be promised yet";
    EXPECT_NE(runtime->call([&] { return runtime->node().job(*spin)->phase; }), node::JobPhase::stopped);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    ASSERT_TRUE(wait_until(*runtime, [&] { return ended(*runtime->node().job(*spin)); }));
  }
  const auto again = start(settings());
  ASSERT_TRUE(again) << "the journal has no hole";
  EXPECT_EQ(again->call([&] { return again->node().job(jobs[0])->phase; }), node::JobPhase::done);
  EXPECT_EQ(again->call([&] { return again->node().job(jobs[1])->phase; }), node::JobPhase::stopped);
}

TEST_F(RuntimeTest, StoppingJobsSaysWhatIsWrong) {
  const auto runtime = start(settings());
  ASSERT_TRUE(runtime);
  const auto stop = [&](const Cid& id) {
    std::promise<Status> answer;
    auto future = answer.get_future();
    runtime->post([&] { runtime->stop_job(id, [&](Status status) { answer.set_value(std::move(status)); }); });
    return future.get();
  };
  EXPECT_EQ(stop(Cid::of(Multicodec::dag_cbor, as_bytes("no job"))).error().code, ErrorCode::not_found);
  const auto id = submit(*runtime, hello_wat, "");
  ASSERT_TRUE(id);
  ASSERT_TRUE(wait_until(*runtime, [&] { return ended(*runtime->node().job(*id)); }));
  EXPECT_EQ(stop(*id).error().code, ErrorCode::conflict);
  const auto spin =
      submit(*runtime, R"((module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l)))))", "");
  ASSERT_TRUE(spin);
  EXPECT_TRUE(stop(*spin));
  EXPECT_EQ(runtime->call([&] { return runtime->node().job(*spin)->phase; }), node::JobPhase::stopped);
}

}  // namespace
}  // namespace mesh::app
