#include "adapters/store/sqlite.h"

#include <fmt/format.h>

#include <cstring>

#include "base/check.h"

namespace mesh::store::sqlite {

Error error_of(sqlite3* connection, int result, std::string_view what, std::string_view file) {
  const int primary = result & 0xff;
  const std::string detail = connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(result);
  switch (primary) {
    case SQLITE_FULL:
      return {ErrorCode::storage, fmt::format("{}: no space is left for {}; free some and try again", what, file)};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::storage,
              fmt::format("{}: {} is damaged ({}); restore it from a backup, or move it away to begin anew", what, file,
                          detail)};
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return {ErrorCode::storage,
              fmt::format("{}: {} cannot be opened for writing ({}); give this user the right to write there", what,
                          file, detail)};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::conflict,
              fmt::format("{}: another program holds {} ({}); end it and try again", what, file, detail)};
    case SQLITE_IOERR: {
      const int cause = connection != nullptr ? sqlite3_system_errno(connection) : 0;
      return {ErrorCode::storage, fmt::format("{}: reading or writing {} failed ({}{}{}); check the disk", what, file,
                                              detail, cause != 0 ? ": " : "", cause != 0 ? std::strerror(cause) : "")};
    }
    case SQLITE_TOOBIG:
      return {ErrorCode::exhausted, fmt::format("{}: a value is too large for the database", what)};
    case SQLITE_NOMEM:
      return {ErrorCode::exhausted, fmt::format("{}: no memory is left", what)};
    default:
      return {ErrorCode::internal, fmt::format("{}: {} ({}, code {})", what, detail, file, result)};
  }
}

Result<Statement> Statement::prepare(sqlite3* connection, std::string_view sql, std::string_view file) {
  sqlite3_stmt* raw = nullptr;
  const int result = sqlite3_prepare_v3(connection, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                        &raw, nullptr);
  if (result != SQLITE_OK) return std::unexpected(error_of(connection, result, "preparing a query", file));
  Statement statement;
  statement.statement_.reset(raw);
  statement.file_ = file;
  return statement;
}

void Statement::bind(int index, std::int64_t value) {
  MESH_CHECK(sqlite3_bind_int64(statement_.get(), index, value) == SQLITE_OK, "store-bind-integer");
}

void Statement::bind(int index, std::string_view text) {
  // A null pointer would bind NULL, which an empty text is not.
  const char* data = text.empty() ? "" : text.data();
  MESH_CHECK(sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK,
             "store-bind-text");
}

void Statement::bind(int index, ByteView blob) {
  const void* data = blob.empty() ? static_cast<const void*>("") : blob.data();
  MESH_CHECK(sqlite3_bind_blob64(statement_.get(), index, data, blob.size(), SQLITE_STATIC) == SQLITE_OK,
             "store-bind-blob");
}

void Statement::bind_null(int index) {
  MESH_CHECK(sqlite3_bind_null(statement_.get(), index) == SQLITE_OK, "store-bind-null");
}

Result<bool> Statement::step() {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  Error error = error_of(sqlite3_db_handle(statement_.get()), result, "using the database", file_);
  sqlite3_reset(statement_.get());
  return std::unexpected(std::move(error));
}

Status Statement::run() {
  MESH_LET(const bool row, step());
  MESH_CHECK(!row, "store-run-gave-rows");
  return {};
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string Statement::text(int column) const { return std::string(as_text(blob(column))); }

ByteView Statement::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? ByteView{} : ByteView{data, static_cast<std::size_t>(size)};
}

Result<Connection> Connection::open(const std::string& file, Mode mode) {
  // As a URI, so that `immutable` can be said; every character with a meaning in a URI is escaped.
  std::string uri = "file:";
  for (const char character : file) {
    if (character == '?' || character == '#' || character == '%') {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(character));
    } else {
      uri += character;
    }
  }
  if (mode == Mode::immutable) uri += "?immutable=1";
  const int access = mode == Mode::read_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  sqlite3* raw = nullptr;
  const int result = sqlite3_open_v2(uri.c_str(), &raw,
                                     access | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Connection connection;
  connection.handle_.reset(raw);
  connection.file_ = file;
  if (result != SQLITE_OK) return std::unexpected(error_of(raw, result, "opening the database", file));
  // The file is the node's own, but may have been damaged or swapped: nothing in its schema is trusted.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_FKEY, 1, nullptr);
  sqlite3_busy_timeout(raw, 5'000);
  return connection;
}

Status Connection::run(std::string_view sql) {
  const std::string text(sql);
  const int result = sqlite3_exec(handle_.get(), text.c_str(), nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return std::unexpected(error_of(handle_.get(), result, "using the database", file_));
  return {};
}

Result<std::string> Connection::query_text(std::string_view sql) {
  MESH_LET(Statement statement, prepare(sql));
  MESH_LET(const bool row, statement.step());
  if (!row) return std::string();
  return statement.text(0);
}

Result<std::int64_t> Connection::query_integer(std::string_view sql) {
  MESH_LET(Statement statement, prepare(sql));
  MESH_LET(const bool row, statement.step());
  return row ? statement.integer(0) : 0;
}

void Connection::roll_back() {
  if (handle_ != nullptr && sqlite3_get_autocommit(handle_.get()) == 0) {
    sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

}  // namespace mesh::store::sqlite
