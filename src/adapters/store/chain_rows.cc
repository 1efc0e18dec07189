#include "adapters/store/chain_rows.h"

#include <array>

namespace mesh::store {
namespace {

constexpr std::array chain_migrations{
    Migration{1, R"sql(
      CREATE TABLE meta(name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;
      CREATE TABLE state(
        id INTEGER PRIMARY KEY,
        height INTEGER NOT NULL,
        next_entry INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        signs_from INTEGER,
        checksum BLOB NOT NULL) STRICT;
      CREATE TABLE block(
        height INTEGER PRIMARY KEY,
        checksum BLOB NOT NULL,
        certificate BLOB NOT NULL,
        bytes BLOB NOT NULL) STRICT;
      CREATE TABLE entry(
        number INTEGER PRIMARY KEY,
        height INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        bytes BLOB NOT NULL) STRICT;
      CREATE TABLE offence(
        number INTEGER PRIMARY KEY,
        offender BLOB NOT NULL UNIQUE,
        height INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        evidence BLOB NOT NULL) STRICT;
    )sql"},
    Migration{2, R"sql(
      ALTER TABLE state ADD COLUMN base INTEGER NOT NULL DEFAULT 0;
      CREATE TABLE part(
        height INTEGER NOT NULL,
        number INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY(height, number)) STRICT;
    )sql"},
};

}  // namespace

const Schema chain_schema{.application = chain_application_id, .migrations = chain_migrations};

Result<std::optional<ChainState>> load_state(sqlite::Statement& find_state) {
  MESH_LET(const bool found, find_state.step());
  if (!found) return std::nullopt;
  ChainState state{.height = as_read(find_state.integer(0)),
                   .next_entry = as_read(find_state.integer(1)),
                   .entries = as_read(find_state.integer(2))};
  if (!find_state.is_null(3)) state.signs_from = as_read(find_state.integer(3));
  state.base = as_read(find_state.integer(5));
  const bool sound = equal(find_state.blob(4), checksum_of(state).view());
  find_state.reset();
  if (!sound) return std::nullopt;
  return state;
}

Digest checksum_of(const ChainState& state) {
  const auto height = big_endian(state.height);
  const auto next_entry = big_endian(state.next_entry);
  const auto entries = big_endian(state.entries);
  const auto signs_from = big_endian(state.signs_from.value_or(0));
  if (state.base != 0) {
    const auto base = big_endian(state.base);
    return tagged_hash("mesh-chain-state-2",
                       {height, next_entry, entries, base, state.signs_from ? ByteView(signs_from) : ByteView()});
  }
  // As the first version of the schema had it, which knew no base.
  if (!state.signs_from) return tagged_hash("mesh-chain-state", {height, next_entry, entries});
  return tagged_hash("mesh-chain-state", {height, next_entry, entries, signs_from});
}

Digest block_checksum(std::uint64_t height, ByteView certificate, ByteView block) {
  const auto place = big_endian(height);
  return tagged_hash("mesh-chain-block", {place, certificate, block});
}

Digest part_checksum(std::uint64_t height, std::uint64_t number, ByteView bytes) {
  const auto place = big_endian(height);
  const auto part = big_endian(number);
  return tagged_hash("mesh-chain-part", {place, part, bytes});
}

Digest entry_checksum(std::uint64_t number, std::uint64_t height, ByteView bytes) {
  const auto place = big_endian(number);
  const auto of = big_endian(height);
  return tagged_hash("mesh-chain-entry", {place, of, bytes});
}

Digest offence_checksum(ByteView offender, std::uint64_t height, ByteView evidence) {
  const auto at = big_endian(height);
  return tagged_hash("mesh-chain-offence", {offender, at, evidence});
}

bool found_damage(const sqlite::Connection& connection) {
  const int primary = sqlite3_errcode(connection.handle()) & 0xff;
  return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
}

}  // namespace mesh::store
