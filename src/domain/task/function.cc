#include "domain/task/function.h"

namespace mesh::task {

std::span<const std::string_view> enum_names(Abi) {
  static constexpr std::array<std::string_view, 3> names{"wasi", "call", "component"};
  return names;
}

namespace {

Status check_texts(const std::vector<std::string>& texts, std::string_view what, std::size_t max_count,
                   std::size_t max_bytes) {
  if (texts.size() > max_count) {
    return fail(ErrorCode::invalid, "a function has at most " + std::to_string(max_count) + " " + std::string(what) +
                                        ", not " + std::to_string(texts.size()));
  }
  std::size_t total = 0;
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos)
      return fail(ErrorCode::invalid, "a NUL byte is in one of the " + std::string(what));
    total += text.size();
  }
  if (total > max_bytes) {
    return fail(ErrorCode::invalid, "the " + std::string(what) + " together have at most " + std::to_string(max_bytes) +
                                        " bytes, not " + std::to_string(total));
  }
  return {};
}

}  // namespace

Status validate(const FunctionNode& node) {
  if (node.runtime.is_null()) return fail(ErrorCode::invalid, "the function names no runtime");
  MESH_TRY(check_texts(node.args, "arguments", 256, 64 << 10));
  MESH_TRY(check_texts(node.env, "environment variables", 64, 16 << 10));
  for (const std::string& variable : node.env) {
    if (variable.find('=') == std::string::npos || variable.front() == '=') {
      return fail(ErrorCode::invalid, "an environment variable is not of the form NAME=value");
    }
  }
  return {};
}

Digest entropy_key(const Cid& function, const Cid& input) {
  return tagged_hash("meshwork/1/entropy", {function.binary(), input.binary()});
}

}  // namespace mesh::task
