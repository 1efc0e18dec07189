// Opening a database that one process holds and that must not lose what was committed: lock, version, WAL, full sync.
// Private to the store.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "adapters/store/process_lock.h"
#include "adapters/store/schema.h"
#include "adapters/store/sqlite.h"

namespace mesh::store {

struct DatabasePlan {
  std::string file;  ///< Its folder is there.
  const Schema& schema;
  std::string lock_file;
  std::string what;  ///< what the lock is of, for whoever is refused
  std::string_view way_out;  ///< of whoever is refused
  std::string_view repair;  ///< what to do with a damaged file
  std::uint64_t max_bytes = 0;  ///< 0: as large as the disk allows
};

struct Database {
  ProcessLock lock;  // Declared before the connection: it is let go after that is closed.
  sqlite::Connection connection;
};

/// Locks the file, makes it where it is missing (mode 0600) and brings its schema up to date.
/// Errors: conflict (another process holds it), storage (not writable, full, damaged, not ours), unsupported (a newer schema:
/// nothing is changed, no file is created).
/// Pages are checked (PRAGMA quick_check) only if the last shutdown was unclean, which a left-over non-empty WAL
/// shows: a clean close folds the WAL into the database and deletes it.
[[nodiscard]] Result<Database> open_database(const DatabasePlan& plan);

}  // namespace mesh::store
