// The body of POST /api/v1/tasks as values: read strictly, an unknown or mistyped field is named.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "app/api/render.h"
#include "node/event.h"

namespace mesh::app {

/// A function as the caller gives it.
struct FunctionRequest {
  struct ByCid {
    Cid cid;
  };
  struct Source {
    std::string language;
    Bytes source;
  };
  std::variant<ByCid, Source, Program> what;  ///< Program: content that is in the store already
  std::vector<std::string> args;
};

struct TaskRequest {
  FunctionRequest function;
  std::optional<FunctionRequest> reduce;
  std::vector<std::variant<Cid, Bytes>> inputs;
  bool map = false;
  bool dry_run = false;
  node::JobSpec spec;  ///< scope, fee, verifiers, limits, label; the rest is filled in later
};

/// Errors: invalid, one sentence that names the field.
[[nodiscard]] Result<TaskRequest> parse_task_request(ByteView body);

/// JSON of at most 64 levels; the error says where it breaks off.
[[nodiscard]] Result<nlohmann::json> parse_json(ByteView body);

/// Strict reading of an object's fields.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}
  /// Null when absent.
  [[nodiscard]] const nlohmann::json* find(std::string_view name);
  [[nodiscard]] Status read(std::string_view name, std::uint64_t& value, std::uint64_t maximum);
  [[nodiscard]] Status read(std::string_view name, std::uint32_t& value);
  [[nodiscard]] Status read(std::string_view name, std::string& value, std::size_t max_bytes);
  [[nodiscard]] Status read(std::string_view name, bool& value);
  [[nodiscard]] Status read(std::string_view name, std::vector<std::string>& value, std::size_t max_items,
                            std::size_t max_bytes);
  /// Names the first field that nobody asked for.
  [[nodiscard]] Status finish() const;
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  const nlohmann::json& object_;
  std::string where_;
  std::vector<std::string> seen_;
};

/// Standard or URL alphabet, padded or not.
[[nodiscard]] Result<Bytes> decode_base64(std::string_view text);

}  // namespace mesh::app
