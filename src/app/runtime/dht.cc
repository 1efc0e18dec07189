#include "app/runtime/dht.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace mesh::app {

namespace asio = boost::asio;

namespace {
/// SHA-256 in the table of multihashes, and its length.
constexpr std::array<std::uint8_t, 2> sha256_prefix{0x12, 0x20};
}  // namespace

struct Dht::Waiter {
  Waiter(asio::io_context& io, Done given) : timer(io), done(std::move(given)) {}
  asio::steady_timer timer;
  Done done;  ///< empty once it was called
};

Dht::Dht(asio::io_context& io, Ports ports, Limits limits) : io_(io), ports_(std::move(ports)), limits_(limits) {}

Bytes Dht::key_of(const Cid& root) {
  Bytes key(sha256_prefix.begin(), sha256_prefix.end());
  append(key, root.digest().view());
  return key;
}

Dht::Chosen Dht::choose(const std::vector<asset::Asset>& shared, std::size_t max_roots) {
  std::map<Cid, std::uint64_t> sizes;
  for (const asset::Asset& asset : shared) {
    if (asset.visibility == asset::Visibility::everybody) sizes.emplace(asset.cid, asset.bytes);
  }
  std::vector<std::pair<std::uint64_t, Cid>> by_size;
  by_size.reserve(sizes.size());
  for (const auto& [root, bytes] : sizes) by_size.emplace_back(bytes, root);
  const std::size_t count = std::min(max_roots, by_size.size());
  std::ranges::partial_sort(by_size, by_size.begin() + static_cast<std::ptrdiff_t>(count), std::ranges::greater{});
  Chosen chosen{.roots = {}, .left_out = by_size.size() - count};
  for (const auto& [bytes, root] : std::span(by_size).first(count)) chosen.roots.insert(root);
  return chosen;
}

std::string Dht::announce(const Chosen& chosen) {
  const std::set<Cid> before = told_;
  const std::size_t left_out_before = std::exchange(left_out_, chosen.left_out);
  // First what goes, so that there is room for what comes.
  for (const Cid& root : before) {
    if (chosen.roots.contains(root)) continue;
    ports_.stop_providing(key_of(root));
    told_.erase(root);
  }
  std::string why;
  for (const Cid& root : chosen.roots) {
    if (told_.contains(root)) continue;
    if (const Status taken = ports_.provide(key_of(root)); taken) {
      told_.insert(root);
    } else {
      ++left_out_;
      why = taken.error().message;
    }
  }
  if (told_ == before && left_out_ == left_out_before) return {};
  std::string text = fmt::format("{} roots of files that everybody may have are told to the DHT", told_.size());
  if (left_out_ > 0)
    text += fmt::format("; {} others are not: {}", left_out_,
                        why.empty() ? fmt::format("the {} largest are the most", limits_.max_roots) : why);
  return text;
}

std::optional<Dht::Found> Dht::remembered(const Cid& root) const {
  const std::lock_guard guard(mutex_);
  const auto known = remembered_.find(root);
  if (known == remembered_.end() || known->second.until <= Clock::now()) return std::nullopt;
  return known->second.found;
}

void Dht::seek(const Cid& root, Duration limit, Done done) {
  if (const auto found = remembered(root)) return done(*found);
  const auto waits = waiting_.find(root);
  if (waits == waiting_.end() && waiting_.size() >= limits_.max_waiting)
    return done({.peers = {}, .text = "the DHT was not asked: too many searches wait already"});
  const auto waiter = std::make_shared<Waiter>(io_, std::move(done));
  waiter->timer.expires_after(limit);
  waiter->timer.async_wait([waiter](const boost::system::error_code& failed) {
    if (failed || !waiter->done) return;
    std::exchange(waiter->done, {})({.peers = {}, .text = "the DHT gave no answer in time"});
  });
  if (waits != waiting_.end()) {
    std::erase_if(waits->second, [](const auto& other) { return !other->done; });
    waits->second.push_back(waiter);
    return;
  }
  waiting_[root].push_back(waiter);
  ports_.find_providers(key_of(root), [this, root](const Result<p2p::Providers>& answer) { finish(root, answer); });
}

void Dht::finish(const Cid& root, const Result<p2p::Providers>& answer) {
  Found found;
  if (!answer) {
    found.text = "the DHT was not asked: " + answer.error().message;
  } else if (answer->peers.empty()) {
    found.text = fmt::format("nobody in the DHT has told of it either ({} peers answered)", answer->asked);
  } else {
    found.peers = answer->peers;
    found.text = fmt::format("{} peers say in the DHT that they have it", found.peers.size());
  }
  if (answer) {
    const Clock::time_point now = Clock::now();
    const std::lock_guard guard(mutex_);
    std::erase_if(remembered_, [&](const auto& old) { return old.second.until <= now; });
    if (remembered_.size() < limits_.max_waiting)
      remembered_[root] = {.found = found,
                           .until = now + (found.peers.empty() ? limits_.remembers_nothing : limits_.remembers)};
  }
  auto waiting = waiting_.extract(root);
  if (waiting.empty()) return;
  for (const std::shared_ptr<Waiter>& waiter : waiting.mapped()) {
    waiter->timer.cancel();
    if (waiter->done) std::exchange(waiter->done, {})(found);
  }
}

std::vector<NodeId> Dht::known(const Cid& root, std::function<void()> found) {
  if (const auto known = remembered(root)) return known->peers;
  asio::post(io_, [this, root, found = std::move(found)] {
    if (waiting_.contains(root)) return;
    seek(root, std::chrono::seconds(30), [found](const Found& answer) {
      if (!answer.peers.empty()) found();
    });
  });
  return {};
}

}  // namespace mesh::app
