// What an HTTP request and an answer are to the rest of the program, and the one form of an error answer.
// Sources: RFC 9110, RFC 9112, RFC 9457 (problem details).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::http {

/// By lower-case name. Of a name that came more than once the values are joined by ", ".
using Headers = std::map<std::string, std::string>;

struct Request {
  std::string method;   ///< "GET", "POST", "PUT" or "DELETE"; a HEAD comes as GET with is_head set.
  bool is_head = false; ///< Answer as for GET; the server keeps the body back.
  std::string
      path;     ///< Decoded; begins with '/'; no empty, "." or ".." segments but for a '/' at the end; valid UTF-8.
  std::map<std::string, std::string> query;  ///< Decoded; a repeated name is refused with 400 before this.
  Headers headers;
  Bytes body;
  bool is_loopback = false;   ///< Whether the caller's address is a loopback address.
  bool has_origin = false;    ///< Whether an Origin was sent (an allowed one, else this is never seen).
  bool is_websocket = false;  ///< An upgrade: answer with Responder::upgrade, or refuse with Responder::answer.
};

struct Response {
  unsigned status = 200;
  std::string content_type = "application/json";
  Bytes body;
  /// More headers, for example {"location", "/api/v1/tasks/..."}. The security headers, Content-Length and
  /// Connection are the server's;
  /// "cache-control" here replaces the default no-store.
  Headers headers;
};

/// The name that a message begins with, as in "overdraft: ..."; "" where it has none.
[[nodiscard]] std::string_view stable_name(std::string_view message);
/// An application/problem+json answer: {type, title, status, code, detail}. `code` is for programs: the title as a name.
[[nodiscard]] Response problem(unsigned status, std::string_view title, std::string_view detail);
/// The same of an error: its code decides the status and the title, its text is the detail.
[[nodiscard]] Response problem(const Error& error);
/// 400 for invalid, 401, 404, 429, 504, 503, 409, 403, 507, 501, 500: the status of each code.
[[nodiscard]] unsigned status_of(ErrorCode code);
/// The code that a status stands for, for clients (2xx is internal: there is no error to name).
[[nodiscard]] ErrorCode code_of(unsigned status);
[[nodiscard]] Response json_response(std::string_view text, unsigned status = 200);
[[nodiscard]] Response text_response(std::string_view text, unsigned status = 200,
                                     std::string content_type = "text/plain; charset=utf-8");

/// Strict percent-decoding (RFC 3986): nullopt for a bad escape, a control character or what is not UTF-8.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
/// Escapes everything but unreserved characters, and '/' where `keep_slash` says so.
[[nodiscard]] std::string percent_encode(std::string_view text, bool keep_slash = false);

struct Target {
  std::string path;
  std::map<std::string, std::string> query;
};
/// Reads a request target in origin form. Errors (invalid): not beginning with '/', a bad escape, an encoded '/', an
/// empty, "." or ".." segment, a repeated query name, a fragment.
[[nodiscard]] Result<Target> parse_target(std::string_view target);

}  // namespace mesh::http
