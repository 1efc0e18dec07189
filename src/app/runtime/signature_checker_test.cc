// Messages leave the checker in the order in which they came, with the signatures that hold and no others.
#include "app/runtime/signature_checker.h"

#include <gtest/gtest.h>

#include <future>

#include "node/parcel.h"

namespace mesh::app {
namespace {

struct Ping {
  static constexpr std::string_view type = "ping";
  static constexpr std::uint64_t version = 1;
  std::uint64_t count = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("count", self.count);
  }
};

const Cid federation = Cid::of(Multicodec::dag_cbor, as_bytes("federation"));

Envelope ping(std::uint64_t count) {
  const Seed seed = Seed::from(sha256(as_bytes("seed " + std::to_string(count % 5))).view()).value();
  return seal(Ping{.count = count}, federation, seed, public_key_of(seed));
}

struct Out {
  Bytes message;
  std::vector<Digest> held;
};

std::vector<Out> through(const std::vector<Bytes>& messages, std::size_t max_waiting_bytes) {
  std::vector<Out> out;
  std::promise<void> all;
  SignatureChecker checker(federation, max_waiting_bytes);
  for (const Bytes& message : messages) {
    checker.check(message, [&](Bytes back, std::vector<Digest> held) {
      out.push_back({std::move(back), std::move(held)});
      if (out.size() == messages.size()) all.set_value();
    });
  }
  all.get_future().wait();
  return out;
}

TEST(SignatureChecker, KeepsTheOrderAndNamesWhatHolds) {
  std::vector<Bytes> messages;
  std::vector<std::size_t> holding;
  for (std::uint64_t n = 0; n < 60; ++n) {
    if (n % 7 == 3) {
      messages.push_back(to_bytes("no parcel " + std::to_string(n)));
      holding.push_back(0);
      continue;
    }
    if (n % 7 == 4) {
      messages.emplace_back();
      holding.push_back(0);
      continue;
    }
    node::Parcel parcel;
    for (std::uint64_t k = 0; k < n % 9; ++k) parcel.envelopes.push_back(ping(100 * n + k));
    holding.push_back(parcel.envelopes.size());
    if (n % 5 == 2 && !parcel.envelopes.empty()) {
      parcel.envelopes.front().sig.data()[1] ^= 1;
      --holding.back();
    }
    messages.push_back(record::encode(parcel));
  }
  for (const std::size_t room : {std::size_t{1}, std::size_t{5000}, std::size_t{64} << 20}) {
    const std::vector<Out> out = through(messages, room);
    for (std::size_t i = 0; i < messages.size(); ++i) {
      EXPECT_EQ(out[i].message, messages[i]);
      EXPECT_EQ(out[i].held.size(), holding[i]) << i;
    }
  }
}

TEST(SignatureChecker, DropsWhatWaitsWhenItEnds) {
  node::Parcel parcel;
  for (std::uint64_t k = 0; k < 64; ++k) parcel.envelopes.push_back(ping(k));
  const Bytes message = record::encode(parcel);
  constexpr std::size_t count = 200;
  std::vector<std::size_t> told;
  {
    SignatureChecker checker(federation);
    for (std::size_t i = 0; i < count; ++i)
      checker.check(message, [&told, i](const Bytes&, const std::vector<Digest>&) { told.push_back(i); });
  }
  EXPECT_LE(told.size(), count);
  for (std::size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i], i) << "the first ones, each once";
}

}  // namespace
}  // namespace mesh::app
