#include "ledger_load.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "adapters/http/client.h"
#include "chain/wire.h"
#include "domain/ledger/transactions.h"

namespace mesh::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

/// Of the tree that the credits go down: as many as an account may have waiting.
constexpr std::uint64_t children = 64;
constexpr std::size_t batch_size = 1000;
/// Each waits for the answer to its last batch before it sends the next.
constexpr std::size_t min_senders = 4;
/// Half of what a validator lets wait.
constexpr std::uint64_t max_waiting = 32'768;
constexpr auto patience = std::chrono::seconds(60);
constexpr auto full_pause = std::chrono::milliseconds(10);

struct Failed {
  std::string why;
};

Seed seed_of(std::uint64_t account) {
  return *Seed::from(sha256({as_bytes("bench account"), big_endian(account)}).view());
}
ledger::AccountId id_of(std::uint64_t account) { return public_key_of(seed_of(account)); }

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double own_cpu_s() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Of an event's "block HEIGHT with COUNT transactions".
std::uint64_t transactions_of(std::string_view text) {
  constexpr std::string_view before = " with ";
  const std::size_t at = text.find(before);
  std::uint64_t count = 0;
  if (at != std::string_view::npos) {
    const std::string_view digits = text.substr(at + before.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), count);
  }
  return count;
}

/// Calls `what` for 0 to count - 1, on all cores.
template <class What>
void for_each_of(std::uint64_t count, What what) {
  const std::uint64_t cores = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::jthread> threads;
  for (std::uint64_t core = 0; core < cores; ++core) {
    threads.emplace_back([&, core] {
      for (std::uint64_t i = core; i < count; i += cores) what(i);
    });
  }
}

struct Transfer {
  std::uint64_t from = 0;
  std::uint64_t sequence = 0;
  std::uint64_t to = 0;
  std::uint64_t amount = 0;
  Bytes envelope = {};
};
using Transfers = std::vector<Transfer>;

class Load {
 public:
  explicit Load(const Json& plan)
      : federation_(*Cid::from_text(plan.at("federation").get<std::string>())),
        accounts_(plan.at("accounts")),
        transfers_(plan.at("transfers")),
        own_(plan.at("own")),
        fee_(plan.at("fee")),
        sequences_(accounts_) {
    for (const Json& node : plan.at("nodes")) {
      http::ClientConfig config;
      config.port = node.at("port");
      config.token = node.at("token");
      nodes_.push_back(config);
    }
  }

  Json run() {
    keys_.resize(accounts_);
    for_each_of(accounts_, [&](std::uint64_t i) { keys_[i] = id_of(i); });
    Json found{{"spread", spread()}};
    Transfers transfers = among_accounts();
    sign_all(transfers);
    const Verification verification = verification_of(transfers, federation_);
    found["verify_us"] = verification.together_us;
    found["verify_alone_us"] = verification.alone_us;
    found["transfer_bytes"] = transfers.front().envelope.size();
    found["transfers"] = submit(transfers);
    return found;
  }

 private:
  // ---- What is submitted.

  /// Level by level: whom nobody has paid yet cannot pay others.
  Json spread() {
    std::vector<std::uint64_t> needs(accounts_, own_);
    for (std::uint64_t i = accounts_ - 1; i > 0; --i) needs[(i - 1) / children] += needs[i] + fee_;
    std::uint64_t made = 0;
    double seconds = 0;
    const std::uint64_t before = least_accounts();
    for (std::uint64_t first = 1, last = 1 + children; first < accounts_; first = last, last = last * children + 1) {
      Transfers level;
      for (std::uint64_t to = first; to < std::min(last, accounts_); ++to) {
        const std::uint64_t from = (to - 1) / children;
        level.push_back({.from = from, .sequence = sequences_[from]++, .to = to, .amount = needs[to]});
      }
      made += level.size();
      sign_all(level);
      seconds += submit(level).at("seconds").get<double>();
      const auto began = Clock::now();
      while (least_accounts() < before + made) {
        if (Clock::now() - began > patience) throw Failed{"a node does not know all accounts"};
        std::this_thread::sleep_for(full_pause);
      }
    }
    return {{"count", made}, {"seconds", seconds}};
  }

  /// Each account in its turn.
  Transfers among_accounts() {
    Transfers transfers;
    for (std::uint64_t i = 0; i < transfers_; ++i) {
      const std::uint64_t from = i % accounts_;
      transfers.push_back({.from = from,
                           .sequence = sequences_[from]++,
                           .to = (from * 7919 + i / accounts_ + 1) % accounts_,
                           .amount = 1 + i % 100});
    }
    return transfers;
  }

  void sign_all(Transfers& transfers) const {
    for_each_of(transfers.size(), [&](std::uint64_t i) {
      Transfer& one = transfers[i];
      const ledger::Transfer body{
          .account = keys_[one.from], .sequence = one.sequence, .to = keys_[one.to], .amount = one.amount, .memo = ""};
      one.envelope = record::encode(seal(body, federation_, seed_of(one.from), keys_[one.from]));
    });
  }

  struct Verification {
    double alone_us = 0;  ///< while the other cores do nothing
    double together_us = 0;  ///< on each core while all of them do the same
  };
  /// What one signature takes a core, as the project checks many: the median of batches of 512 by 512 accounts. Cores that share
  /// what they compute with are slower together, so that only the second says what all of them can do.
  static Verification verification_of(const Transfers& transfers, const Cid& federation) {
    constexpr std::size_t at_once = 512;
    constexpr std::size_t max_batches = 40;
    const std::size_t batches = std::min(transfers.size() / at_once, max_batches);
    if (batches == 0) throw Failed{"512 transfers at least are needed"};
    std::vector<Envelope> envelopes;
    std::vector<Bytes> inputs;
    for (std::size_t i = 0; i < batches * at_once; ++i) {
      envelopes.push_back(record::decode<Envelope>(transfers[i].envelope).value());
      inputs.push_back(signing_input(ledger::Transfer::type, federation, envelopes.back().body));
    }
    std::vector<SignedMessage> messages;
    for (std::size_t i = 0; i < envelopes.size(); ++i)
      messages.push_back({.key = envelopes[i].key, .message = inputs[i], .signature = envelopes[i].sig});
    std::atomic<bool> good = true;
    const auto median_us = [&] {
      std::vector<double> times;
      for (std::size_t batch = 0; batch < batches; ++batch) {
        const auto began = Clock::now();
        if (!verify_all(std::span(messages).subspan(batch * at_once, at_once))) good = false;
        times.push_back(seconds_since(began) * 1e6 / at_once);
      }
      std::ranges::sort(times);
      return times[times.size() / 2];
    };
    Verification found{.alone_us = median_us(), .together_us = 0};
    std::vector<double> each(std::max(1U, std::thread::hardware_concurrency()));
    for_each_of(each.size(), [&](std::uint64_t core) { each[core] = median_us(); });
    for (const double one : each) found.together_us += one / static_cast<double>(each.size());
    if (!good) throw Failed{"what was signed here does not hold"};
    return found;
  }

  // ---- How.

  std::uint64_t least_accounts() const {
    std::uint64_t least = ~std::uint64_t{0};
    for (const http::ClientConfig& node : nodes_)
      least = std::min(least, ask(node, "GET", "/api/v1/ledger").at("accounts").get<std::uint64_t>());
    return least;
  }

  static Json ask(const http::ClientConfig& node, std::string_view method, std::string_view path, ByteView body = {}) {
    http::Headers headers;
    if (method == "POST") headers["content-type"] = "application/octet-stream";
    const auto answer = http::Client(node).request(method, path, body, headers);
    if (!answer) throw Failed{fmt::format("{} {}: {}", method, path, answer.error().message)};
    Json json = Json::parse(answer->body, nullptr, false);
    // Those that are full say so for each that they do not take, but for the batch where too many are checked.
    if (answer->status >= 300 && answer->status != 429)
      throw Failed{fmt::format("{} {}: {} {}", method, path, answer->status, json.dump().substr(0, 300))};
    return json;
  }

  /// Until all are final at the first node, which says so block by block.
  Json submit(const Transfers& transfers) {
    std::atomic<std::uint64_t> final = 0;
    std::atomic<std::uint64_t> taken = 0;
    std::atomic<std::uint64_t> again = 0;
    std::atomic<bool> ended = false;
    std::mutex mutex;
    std::string failure;
    const auto failed = [&](std::string why) {
      const std::scoped_lock lock(mutex);
      if (failure.empty()) failure = std::move(why);
      ended = true;
    };
    auto events = http::Client(nodes_[0]).open_events("/api/v1/events");
    if (!events) throw Failed{"the events: " + events.error().message};
    const double cpu_before = own_cpu_s();
    const auto began = Clock::now();
    std::vector<std::jthread> threads;
    const std::size_t senders = std::max(nodes_.size(), min_senders);
    for (std::size_t sender = 0; sender < senders; ++sender) {
      threads.emplace_back([&, sender] {
        try {
          const http::ClientConfig& node = nodes_[sender % nodes_.size()];
          std::vector<Bytes> batch;
          // One sender has all of an account's, in their order: none waits for one before it.
          for (const Transfer& one : transfers) {
            if (ended) break;
            if (one.from % senders == sender) batch.push_back(one.envelope);
            if (batch.size() == batch_size) hand_over(node, std::exchange(batch, {}), taken, final, again, ended);
          }
          hand_over(node, std::move(batch), taken, final, again, ended);
        } catch (const Failed& error) {
          failed(error.why);
        }
      });
    }
    std::uint64_t blocks = 0;
    std::uint64_t largest = 0;
    while (final < transfers.size() && !ended) {
      const auto event = events->next(patience);
      if (!event) {
        failed(fmt::format("{} of {} transfers are final, {} were taken: {}", final.load(), transfers.size(),
                           taken.load(), event.error().message));
        break;
      }
      const Json json = Json::parse(*event, nullptr, false);
      if (json.value("kind", "") != "ledger.block") continue;
      const std::uint64_t count = transactions_of(json.value("text", ""));
      final += count;
      ++blocks;
      largest = std::max(largest, count);
    }
    const double seconds = seconds_since(began);
    ended = true;
    threads.clear();
    if (!failure.empty()) throw Failed{failure};
    return {{"count", transfers.size()},
            {"seconds", seconds},
            {"blocks", blocks},
            {"largest_block", largest},
            {"offered_again", again.load()},
            {"cpu_s", own_cpu_s() - cpu_before}};
  }

  static void hand_over(const http::ClientConfig& node, std::vector<Bytes> batch, std::atomic<std::uint64_t>& taken,
                        const std::atomic<std::uint64_t>& final, std::atomic<std::uint64_t>& again,
                        const std::atomic<bool>& ended) {
    while (!batch.empty() && !ended) {
      if (taken > final && taken - final >= max_waiting) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      const Bytes message = chain::encode(chain::message::Transactions{batch});
      const Json answer = ask(node, "POST", "/api/v1/ledger/transactions/batch", ByteView(message).subspan(1));
      std::vector<Bytes> left;
      if (answer.contains("taken")) {
        taken += answer["taken"].get<std::uint64_t>();
        for (const Json& refused : answer["refused"]) {
          if (refused["code"] != "pending-full" && refused["code"] != "pending-gap")
            throw Failed{"a transfer is refused: " + refused["detail"].get<std::string>()};
          left.push_back(std::move(batch[refused["number"].get<std::size_t>()]));
        }
      } else {
        left = std::move(batch);
      }
      if (!left.empty()) {
        again += left.size();
        std::this_thread::sleep_for(full_pause);
      }
      batch = std::move(left);
    }
  }

  Cid federation_;
  std::uint64_t accounts_;
  std::uint64_t transfers_;
  std::uint64_t own_;
  std::uint64_t fee_;
  std::vector<std::uint64_t> sequences_;
  std::vector<ledger::AccountId> keys_;
  std::vector<http::ClientConfig> nodes_;
};

}  // namespace

int ledger_load_main(std::span<char* const> words) {
  if (!words.empty()) {
    fmt::print(stderr, "ledger-load reads what to do from stdin\n");
    return 2;
  }
  try {
    const Json plan = Json::parse(std::cin);
    fmt::print("{}\n", Load(plan).run().dump());
    return 0;
  } catch (const Failed& failed) {
    fmt::print(stderr, "{}\n", failed.why);
  } catch (const Json::exception& error) {
    fmt::print(stderr, "the plan does not read: {}\n", error.what());
  }
  return 1;
}

int ledger_account_main(std::span<char* const> words) {
  if (!words.empty()) {
    fmt::print(stderr, "ledger-account needs no words\n");
    return 2;
  }
  fmt::print("{}\n", identity::did_of(id_of(0)));
  return 0;
}

}  // namespace mesh::bench
