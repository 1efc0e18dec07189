// A peer whose process is killed says no goodbye: TCP sees the broken connection at once, QUIC after its idle time.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "adapters/p2p/test_mesh.h"

extern char** environ;

namespace mesh::p2p::testing {
namespace {

constexpr const char* listen_variable = "MESH_P2P_TEST_CHILD_LISTENS";
const std::string blocks = "/meshwork/blocks/1";

/// This test program again, running KilledPeer.ChildServes alone; its address comes through a pipe.
class Child {
 public:
  explicit Child(const std::string& listen) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    Fd reader(pipe[0]);
    Fd writer(pipe[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, writer.get(), 3);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    std::vector<std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
    variables.push_back(std::string(listen_variable) + "=" + listen);
    std::vector<std::string> arguments = {"/proc/self/exe", "--gtest_filter=KilledPeer.ChildServes"};
    auto argv = pointers(arguments);
    auto envp = pointers(variables);
    const int error = ::posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start the child");
    writer.reset();
    std::array<char, 256> buffer{};
    for (ssize_t count = 0; (count = ::read(reader.get(), buffer.data(), buffer.size())) > 0;) {
      address_.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill(); }

  [[nodiscard]] const std::string& address() const { return address_; }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (auto& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
  }

  pid_t pid_ = -1;
  std::string address_;
};

class KilledPeer : public TestMesh {};

TEST_F(KilledPeer, ChildServes) {
  const char* listen = std::getenv(listen_variable);
  if (listen == nullptr) GTEST_SKIP() << "runs as the child of the test below";
  auto settings = config(listen);
  settings.secret = seed(200);
  auto& peer = start(settings);
  const auto& address = peer.address();
  ASSERT_EQ(::write(3, address.data(), address.size()), static_cast<ssize_t>(address.size()));
  ::close(3);
  // Until killed; the bound is for a parent that died first.
  EXPECT_FALSE(until([] { return ::getppid() == 1; }, std::chrono::seconds(120)));
}

class KilledPeerTransport : public TestMesh, public ::testing::WithParamInterface<std::string> {};

TEST_P(KilledPeerTransport, LeavesTheListAndEndsItsStreamsAndMessages) {
  if (!has_sockets) GTEST_SKIP() << "the thread sanitizer's bridge reaches no other process";
  Child child(GetParam());
  ASSERT_FALSE(child.address().empty());
  auto& a = start(config(GetParam()));
  std::optional<Result<PublicKey>> key;
  a.network->dial(child.address(), [&key](Result<PublicKey> result) { key = std::move(result); });
  ASSERT_TRUE(until([&] { return key.has_value(); }));
  ASSERT_TRUE(*key) << key->error().message;
  std::optional<Result<RawStream>> stream;
  a.network->open_stream(**key, blocks, [&stream](Result<RawStream> result) { stream = std::move(result); });
  ASSERT_TRUE(until([&] { return stream.has_value(); }));
  ASSERT_TRUE(*stream) << stream->error().message;
  child.kill();
  // Sent to a peer that is dead but not yet known to be: it must not count as delivered.
  const auto request = a.network->send(**key, "/meshwork/offer/1", as_bytes("too late"));
  ASSERT_TRUE(request);
  ASSERT_TRUE(until([&] { return a.network->peers().empty(); }));
  ASSERT_TRUE(until([&] { return a.count<StreamClosed>() == 1 && a.count<SendFailed>() == 1; }));
  EXPECT_EQ(a.all<StreamClosed>()[0]->end, StreamEnd::peer_gone);
  EXPECT_EQ(a.all<SendFailed>()[0]->request, *request);
  EXPECT_EQ(a.count<PeerDisconnected>(), 1U);
}

std::string name_of_transport(const ::testing::TestParamInfo<std::string>& parameter) {
  return std::array<std::string, 3>{"tcp", "quic", "ws"}.at(parameter.index);
}

INSTANTIATE_TEST_SUITE_P(All, KilledPeerTransport, ::testing::Values(tcp_any, quic_any, ws_any), name_of_transport);

}  // namespace
}  // namespace mesh::p2p::testing
