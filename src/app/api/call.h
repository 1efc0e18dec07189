// One request to the API: what its route's handler is given, and how it answers.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <string>

#include "adapters/http/server.h"
#include "app/api/render.h"

namespace mesh::app {

[[nodiscard]] inline http::Response answer_json(const Json& json, unsigned status = 200) {
  return http::json_response(dump(json), status);
}

struct Call {
  http::Request request;
  http::Responder responder;
  std::map<std::string, std::string, std::less<>> parameters;  ///< what stands in the path for {NAME}

  void fail(const Error& error) const { responder.answer(http::problem(error)); }
  void reply(const Json& json, unsigned status = 200) const { responder.answer(answer_json(json, status)); }
  [[nodiscard]] const std::string& parameter(std::string_view name) const { return parameters.find(name)->second; }
  [[nodiscard]] const std::string* query(const std::string& name) const {
    const auto found = request.query.find(name);
    return found == request.query.end() ? nullptr : &found->second;
  }
  [[nodiscard]] Result<std::uint64_t> number(const std::string& name, std::uint64_t fallback,
                                             std::uint64_t maximum) const {
    const std::string* text = query(name);
    if (text == nullptr) return fallback;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc{} || end != text->data() + text->size() || value > maximum) {
      return mesh::fail(ErrorCode::invalid, fmt::format("{} must be an integer from 0 to {}", name, maximum));
    }
    return value;
  }
  [[nodiscard]] std::string content_type() const {
    const auto found = request.headers.find("content-type");
    if (found == request.headers.end()) return {};
    return found->second.substr(0, found->second.find(';'));
  }
};

}  // namespace mesh::app
