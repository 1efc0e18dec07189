// The dashboard's files, as web/pack.mjs packs them: one run of bytes, linked into the program, that holds each file
// compressed and an index before them.
//
// Who may ask, and the security headers, are adapters/http's business. It decides which file answers a path, and what the
// client may keep: files whose names hold their hash for good, all else only after asking again. A path that names no file
// and could be a page's (no dot, none of the API's own) gets the application, which finds its page by
// the path. Bounds: a file of 16 MiB. Errors: invalid for a pack that is none; the program's own is tested whole.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapters/http/message.h"
#include "base/error.h"

namespace mesh::app {

class Dashboard {
 public:
  /// `pack` outlives it: "meshweb1", the length of the index (4 bytes, little-endian), the index, the files.
  /// The index is JSON: [{path, type, etag, bytes, offset, length}], offsets from its end, each file as gzip (RFC 1952).
  [[nodiscard]] static Result<Dashboard> open(std::span<const std::uint8_t> pack);
  /// The one in this program.
  [[nodiscard]] static const Dashboard& built_in();

  /// Nothing: the path is not the dashboard's.
  [[nodiscard]] std::optional<http::Response> answer(const http::Request& request) const;
  [[nodiscard]] bool has(const http::Request& request) const { return find(request) != nullptr; }
  /// Of all files.
  [[nodiscard]] std::vector<std::string> paths() const;

 private:
  struct File {
    std::string type;
    std::string etag;  ///< with its quotation marks
    std::size_t bytes = 0;
    std::span<const std::uint8_t> gzip;
    bool is_immutable = false;
  };
  [[nodiscard]] const File* find(const http::Request& request) const;

  std::map<std::string, File, std::less<>> files_;
};

/// Whether an Accept-Encoding takes gzip (RFC 9110, 12.5.3).
[[nodiscard]] bool takes_gzip(std::string_view accept_encoding);

}  // namespace mesh::app
