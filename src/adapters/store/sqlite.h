// The little of SQLite's C API that the store uses, with errors as values. Private to the store: include
// it in .cc files alone.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::store::sqlite {

/// What went wrong on `connection`, as our error: a full disk, a damaged file and a read-only folder are each named.
[[nodiscard]] Error error_of(sqlite3* connection, int result, std::string_view what, std::string_view file);

/// A prepared statement. Bind indexes begin at 1, columns at 0, as in SQLite.
class Statement {
 public:
  Statement() = default;
  [[nodiscard]] static Result<Statement> prepare(sqlite3* connection, std::string_view sql, std::string_view file);

  // What is bound must outlive the steps that use it: nothing is copied.
  void bind(int index, std::int64_t value);
  void bind(int index, std::string_view text);
  void bind(int index, ByteView blob);
  void bind_null(int index);

  /// True: a row is there. False: done, and the statement is reset.
  [[nodiscard]] Result<bool> step();
  /// Runs a statement that gives no rows, then resets it.
  [[nodiscard]] Status run();
  void reset();

  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;
  /// Valid until the next step.
  [[nodiscard]] ByteView blob(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string file_;
};

class Connection {
 public:
  enum class Mode : std::uint8_t { read_write, read_only, immutable };

  Connection() = default;
  /// `immutable` reads the file as it is: no lock, no WAL, no file created.
  [[nodiscard]] static Result<Connection> open(const std::string& file, Mode mode);

  [[nodiscard]] Status run(std::string_view sql);
  [[nodiscard]] Result<Statement> prepare(std::string_view sql) {
    return Statement::prepare(handle_.get(), sql, file_);
  }
  /// The first column of the first row, as text; "" where there is no row.
  [[nodiscard]] Result<std::string> query_text(std::string_view sql);
  [[nodiscard]] Result<std::int64_t> query_integer(std::string_view sql);
  /// Leaves whatever transaction is open.
  void roll_back();
  [[nodiscard]] sqlite3* handle() const { return handle_.get(); }
  void close() { handle_.reset(); }

 private:
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  };
  std::unique_ptr<sqlite3, Close> handle_;
  std::string file_;
};

}  // namespace mesh::store::sqlite
