// The node's HTTP API: one table of routes from which requests are dispatched and /openapi.json is made, so that
// what is described is what answers.
//
// Runs on the backend's io_context, disk work on its bulk thread. Who may ask at all (token, Host, Origin, sizes) is
// adapters/http's business. Bounds: JSON bodies of 48 MiB, 1,048,576 inputs, lists of at most 1000 entries a page, 64 contents to be
// fetched for one task. Errors are application/problem+json; an ambiguous id names its candidates.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/http/server.h"
#include "app/api/backend.h"

namespace mesh::app {

struct ApiConfig {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::string token;
  std::uint64_t max_body_bytes = std::uint64_t{64} << 20;
  bool zephymesh = false;  ///< ZephyMesh's routes need no token from this machine, unless a page asks
};

class Api {
 public:
  /// Starts to serve. `backend` outlives it. On the runtime's thread. Errors: conflict (port taken), invalid, unavailable.
  [[nodiscard]] static Result<std::unique_ptr<Api>> start(Backend& backend, ApiConfig config);
  /// On the runtime's thread, or after it ended.
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  [[nodiscard]] std::uint16_t port() const;

  struct RouteName {
    std::string method;
    std::string pattern;
  };
  /// Every route, for tests.
  [[nodiscard]] static std::vector<RouteName> routes();
  /// The text of /openapi.json.
  [[nodiscard]] static std::string openapi();

 private:
  class Impl;
  explicit Api(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::app
