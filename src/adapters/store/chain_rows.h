// The tables of a chain's database, and what says of each row that it is what was written. Private to the store.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "adapters/store/schema.h"
#include "adapters/store/sqlite.h"
#include "base/bytes.h"
#include "codec/hash.h"

namespace mesh::store {

/// Other tables than node.db's, so that neither is taken for the other: "mchn".
inline constexpr std::uint32_t chain_application_id = 0x6d63686e;
extern const Schema chain_schema;

/// What is true of all rows together. Written with every write, so that one that has vanished is missed.
struct ChainState {
  std::uint64_t height = 0;  ///< every block after the base up to here was written
  std::uint64_t next_entry = 1;  ///< the number of the next entry of the log
  std::uint64_t entries = 0;  ///< so many are in the log
  std::optional<std::uint64_t> signs_from;
  std::uint64_t base = 0;  ///< no block up to here is kept: the chain begins with a snapshot of this height
};

inline constexpr std::string_view find_state_sql =
    "SELECT height, next_entry, entries, signs_from, checksum, base FROM state WHERE id = 0";
inline constexpr std::string_view find_federation_sql = "SELECT value FROM meta WHERE name = 'federation'";

/// Runs find_state_sql. nullopt: it is damaged, or not there.
[[nodiscard]] Result<std::optional<ChainState>> load_state(sqlite::Statement& find_state);

/// SQLite's integers have a sign; these come back as they went.
[[nodiscard]] constexpr std::int64_t as_stored(std::uint64_t value) { return static_cast<std::int64_t>(value); }
[[nodiscard]] constexpr std::uint64_t as_read(std::int64_t value) { return static_cast<std::uint64_t>(value); }

[[nodiscard]] Digest checksum_of(const ChainState& state);
[[nodiscard]] Digest block_checksum(std::uint64_t height, ByteView certificate, ByteView block);
[[nodiscard]] Digest part_checksum(std::uint64_t height, std::uint64_t number, ByteView bytes);
[[nodiscard]] Digest entry_checksum(std::uint64_t number, std::uint64_t height, ByteView bytes);
[[nodiscard]] Digest offence_checksum(ByteView offender, std::uint64_t height, ByteView evidence);

/// Whether the last error of the connection says that pages are damaged.
[[nodiscard]] bool found_damage(const sqlite::Connection& connection);

}  // namespace mesh::store
