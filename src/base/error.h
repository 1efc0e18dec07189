// Errors as values: what input from a peer, a user, a guest or the environment can bring about.
//
// An error's text is one sentence that names what was wrong and, where there is one, the way out. The code is
// for programs: it decides a CLI exit code, an HTTP status, or a refusal's name on the wire.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mesh {

enum class ErrorCode {
  invalid,         ///< malformed or out of range; sending the same again cannot help
  unauthorised,    ///< bad signature, wrong token, foreign origin
  not_found,       ///< no such thing here, or none that the asker may see
  exhausted,       ///< a bound was reached: size, depth, queue, quota
  timeout,         ///< a phase's time limit ran out
  unavailable,     ///< a peer, the network or a service cannot be reached now
  conflict,        ///< already done, already running, or claimed by someone else
  denied,          ///< the policy or the state forbids it
  storage,         ///< the disk: full, unwritable, damaged
  unsupported,     ///< not built, or not by this version
  internal,        ///< our own fault
};

/// The stable name of a code, as used on the wire and in JSON: "invalid", "not-found", ...
[[nodiscard]] std::string_view name_of(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;

  bool operator==(const Error&) const = default;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

/// The same error with "context: " before its text.
[[nodiscard]] inline std::unexpected<Error> wrap(std::string_view context, Error error) {
  error.message.insert(0, std::string(context) + ": ");
  return std::unexpected(std::move(error));
}

}  // namespace mesh

#define MESH_CONCAT_INNER(a, b) a##b
#define MESH_CONCAT(a, b) MESH_CONCAT_INNER(a, b)

/// Returns the error of `expression` (a Result or a Status) from the enclosing function, if it is one.
#define MESH_TRY(expression)                                      \
  do {                                                            \
    if (auto mesh_try_result = (expression); !mesh_try_result) {  \
      return std::unexpected(std::move(mesh_try_result.error())); \
    }                                                             \
  } while (false)

/// `MESH_LET(auto x, f())`: x is the value of the Result, or its error is returned.
#define MESH_LET(declaration, expression) MESH_LET_IMPL(MESH_CONCAT(mesh_let_, __LINE__), declaration, expression)
#define MESH_LET_IMPL(temporary, declaration, expression)               \
  auto temporary = (expression);                                        \
  if (!temporary) return std::unexpected(std::move(temporary.error())); \
  declaration = std::move(*temporary)
