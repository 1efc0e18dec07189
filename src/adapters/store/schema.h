// A database's schema: its version, how an older one is brought forward, and a look at a file's version that changes
// nothing. Private to the store.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "adapters/store/sqlite.h"

namespace mesh::store {

/// "mesh" in SQLite's application_id, so that `file` and we tell our databases from others.
inline constexpr std::uint32_t application_id = 0x6d657368;

struct Migration {
  std::uint32_t to = 0;
  const char* sql = nullptr;
};

/// What one kind of database is made of. It has a table meta(name, value), of texts, from its first version on.
struct Schema {
  std::uint32_t application = 0;  ///< SQLite's application_id
  std::span<const Migration> migrations;  ///< forward only, the oldest first; what was released is never edited

  [[nodiscard]] std::uint32_t version() const { return migrations.back().to; }
};

struct FileVersion {
  std::uint32_t schema = 0;
  std::uint32_t application = 0;
};

/// Reads the version out of the bytes of `file` and of its WAL (https://www.sqlite.org/fileformat2.html, 1.3 and 4),
/// without SQLite, which would create files beside it. nullopt where the file is missing or empty.
/// Errors: storage (unreadable, or not an SQLite database).
[[nodiscard]] Result<std::optional<FileVersion>> peek_version(const std::string& file);

/// An `unsupported` error if `file` was written by a newer version, `storage` if it is another program's database.
[[nodiscard]] Status check_version(const std::string& file, const Schema& schema, const FileVersion& version);

/// Brings the database to the schema's version, in one transaction.
[[nodiscard]] Status migrate(sqlite::Connection& connection, const std::string& file, const Schema& schema);

}  // namespace mesh::store
