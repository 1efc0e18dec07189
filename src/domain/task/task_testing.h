// What tests of the domain begin with: nodes with fixed keys in one federation, and a task. For *_test.cc alone.
#pragma once

#include <gtest/gtest.h>

#include "domain/identity/identity.h"
#include "domain/task/intent.h"

namespace mesh::testing {

/// The key of test node `number`.
[[nodiscard]] inline Seed seed_of(std::uint8_t number) {
  Seed seed;
  std::ranges::fill_n(seed.data(), Seed::size, number);
  return seed;
}

/// The federation of a node that nobody configured.
[[nodiscard]] inline Cid federation() { return *identity::derive_federation("local", policy::cid_of({})); }
[[nodiscard]] inline Cid other_federation() { return *identity::derive_federation("elsewhere", policy::cid_of({})); }

[[nodiscard]] inline identity::Signer signer(std::uint8_t number) { return {seed_of(number), federation()}; }
[[nodiscard]] inline identity::NodeId node(std::uint8_t number) { return public_key_of(seed_of(number)); }

[[nodiscard]] inline Cid content(std::string_view text) { return Cid::of(Multicodec::raw, as_bytes(text)); }
[[nodiscard]] inline Cid record(std::string_view text) { return Cid::of(Multicodec::dag_cbor, as_bytes(text)); }
[[nodiscard]] inline Digest digest(std::string_view text) { return sha256(as_bytes(text)); }

/// A task that every bound allows.
[[nodiscard]] inline task::TaskIntent intent(std::uint32_t shards = 4) {
  return {.function = content("function"),
          .inputs = record("inputs"),
          .shards = shards,
          .reduce = {},
          .reduces = {},
          .scope = {},
          .fee = 0,
          .verifiers = 3,
          .bid_window_ms = 2000,
          .limits = {},
          .policy = policy::cid_of({}),
          .engine = "engine;1",
          .nonce_tip = digest("tip"),
          .owner = {},
          .label = "a task",
          .created_ms = 0};
}

/// That a record reads back as what it was, and cut off anywhere does not read.
template <record::Typed T>
void round_trip(const T& value) {
  const Bytes bytes = record::encode(value);
  const Result<T> back = record::decode<T>(bytes);
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(record::encode(*back), bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(record::decode<T>(ByteView(bytes).first(size)).has_value()) << T::type << " cut at " << size;
}

}  // namespace mesh::testing
