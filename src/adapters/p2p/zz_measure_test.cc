#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include "adapters/p2p/test_mesh.h"
namespace mesh::p2p::testing {
namespace {
class Measure : public TestMesh, public ::testing::WithParamInterface<std::string> {};
TEST_P(Measure, All) {
  auto& a = start(config(GetParam()));
  auto& b = start(config(GetParam()));
  connect(a, b);
  const std::string offer = "/meshwork/offer/1";
  b.filter = [&](Event& e) { if (auto* m = std::get_if<Message>(&e)) { (void)b.network->send(a.key(), offer, m->bytes); return true; } return false; };
  std::size_t got = 0;
  a.filter = [&](Event& e) { if (std::holds_alternative<Message>(e)) { ++got; return true; } return false; };
  std::vector<double> us;
  for (int i = 0; i < 2000; ++i) {
    auto t = std::chrono::steady_clock::now();
    const auto want = got + 1;
    (void)a.network->send(b.key(), offer, Bytes(64));
    while (got < want) { io_.restart(); io_.run_one_for(std::chrono::milliseconds(50)); }
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - t).count());
  }
  std::ranges::sort(us);
  fmt::print("{} message round trip median {:.0f} us p99 {:.0f}\n", GetParam(), us[1000], us[1980]);
  std::optional<Result<RawStream>> s;
  a.network->open_stream(b.key(), "/meshwork/blocks/1", [&](Result<RawStream> r) { s = std::move(r); });
  ASSERT_TRUE(until([&] { return s && b.stream(); }));
  const int out = (*s)->fd.get(), in = b.stream()->fd.get();
  const std::size_t total = 512u << 20;
  auto t = std::chrono::steady_clock::now();
  std::thread w([&] { Bytes buf(1 << 18); std::size_t n = 0; while (n < total) { auto c = ::send(out, buf.data(), buf.size(), MSG_NOSIGNAL); if (c > 0) n += static_cast<std::size_t>(c); else { pollfd p{out, POLLOUT, 0}; ::poll(&p, 1, 1000); } } });
  Bytes buf(1 << 18); std::size_t n = 0;
  while (n < total) { auto c = ::recv(in, buf.data(), buf.size(), 0); if (c > 0) n += static_cast<std::size_t>(c); else { pollfd p{in, POLLIN, 0}; ::poll(&p, 1, 1000); } }
  w.join();
  const double sec = std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
  fmt::print("{} bulk {:.0f} MB/s\n", GetParam(), static_cast<double>(total) / 1e6 / sec);
}
INSTANTIATE_TEST_SUITE_P(All, Measure, ::testing::Values(tcp_any, quic_any, ws_any));
}  // namespace
}  // namespace mesh::p2p::testing
