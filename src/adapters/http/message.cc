#include "adapters/http/message.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace mesh::http {
namespace {

struct CodeRow {
  ErrorCode code;
  unsigned status;
  std::string_view title;
};
constexpr CodeRow code_rows[] = {
    {ErrorCode::invalid, 400, "Bad request"},     {ErrorCode::unauthorised, 401, "Unauthorised"},
    {ErrorCode::not_found, 404, "Not found"},     {ErrorCode::exhausted, 429, "A bound was reached"},
    {ErrorCode::timeout, 504, "Time limit"},      {ErrorCode::unavailable, 503, "Unavailable"},
    {ErrorCode::conflict, 409, "Conflict"},       {ErrorCode::denied, 403, "Denied"},
    {ErrorCode::storage, 507, "Storage"},         {ErrorCode::unsupported, 501, "Unsupported"},
    {ErrorCode::internal, 500, "Internal error"},
};

std::optional<std::uint8_t> hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return static_cast<std::uint8_t>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<std::uint8_t>(digit - 'a' + 10);
  if (digit >= 'A' && digit <= 'F') return static_cast<std::uint8_t>(digit - 'A' + 10);
  return std::nullopt;
}

/// Well-formed UTF-8 (Unicode 15, table 3-7) without control characters.
bool is_plain_text(std::string_view text) {
  const ByteView bytes = as_bytes(text);
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint8_t lead = bytes[at];
    if (lead < 0x20 || lead == 0x7f) return false;
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const std::size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                               : lead >= 0xe0 && lead <= 0xef ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    if (length == 0 || bytes.size() - at < length) return false;
    const std::uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const std::uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (bytes[at + 1] < low || bytes[at + 1] > high) return false;
    for (std::size_t more = 2; more < length; ++more) {
      if ((bytes[at + more] & 0xc0) != 0x80) return false;
    }
    at += length;
  }
  return true;
}

bool is_unreserved(char character) {
  return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'z') ||
         (character >= 'A' && character <= 'Z') || character == '-' || character == '.' || character == '_' ||
         character == '~';
}

/// A title as a name: "Foreign host" is foreign-host.
std::string slug(std::string_view title) {
  std::string name;
  for (const char c : title) {
    if (c == ' ') name += '-';
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-') name += c;
    if (c >= 'A' && c <= 'Z') name += static_cast<char>(c - 'A' + 'a');
  }
  return name;
}

Response named_problem(unsigned status, std::string_view code, std::string_view title, std::string_view detail) {
  const nlohmann::json body{
      {"type", "about:blank"}, {"title", title}, {"status", status}, {"code", code}, {"detail", detail}};
  Response response;
  response.status = status;
  response.content_type = "application/problem+json";
  // A detail may name what a caller sent: what is not UTF-8 is replaced, never thrown on.
  response.body = to_bytes(body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return response;
}

}  // namespace

std::string_view stable_name(std::string_view message) {
  const std::size_t end = message.find(": ");
  if (end == std::string_view::npos || end == 0) return {};
  const std::string_view name = message.substr(0, end);
  const bool good = std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
  return good ? name : std::string_view();
}

Response problem(unsigned status, std::string_view title, std::string_view detail) {
  return named_problem(status, slug(title), title, detail);
}

Response problem(const Error& error) {
  for (const CodeRow& row : code_rows) {
    if (row.code != error.code) continue;
    const std::string_view name = stable_name(error.message);
    return named_problem(row.status, name.empty() ? name_of(error.code) : name, row.title, error.message);
  }
  return named_problem(500, name_of(ErrorCode::internal), "Internal error", error.message);
}
unsigned status_of(ErrorCode code) {
  for (const CodeRow& row : code_rows) {
    if (row.code == code) return row.status;
  }
  return 500;
}

ErrorCode code_of(unsigned status) {
  for (const CodeRow& row : code_rows) {
    if (row.status == status) return row.code;
  }
  if (status == 408) return ErrorCode::timeout;
  if (status == 413 || status == 431) return ErrorCode::exhausted;
  if (status == 502) return ErrorCode::unavailable;
  if (status >= 400 && status < 500) return ErrorCode::invalid;
  return ErrorCode::internal;
}

Response json_response(std::string_view text, unsigned status) {
  Response response;
  response.status = status;
  response.body = to_bytes(text);
  return response;
}

Response text_response(std::string_view text, unsigned status, std::string content_type) {
  Response response;
  response.status = status;
  response.content_type = std::move(content_type);
  response.body = to_bytes(text);
  return response;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%') {
      if (text.size() - at < 3) return std::nullopt;
      const auto high = hex_digit(text[at + 1]);
      const auto low = hex_digit(text[at + 2]);
      if (!high || !low) return std::nullopt;
      decoded += static_cast<char>(*high << 4 | *low);
      at += 2;
    } else {
      decoded += plus_is_space && text[at] == '+' ? ' ' : text[at];
    }
  }
  if (!is_plain_text(decoded)) return std::nullopt;
  return decoded;
}

std::string percent_encode(std::string_view text, bool keep_slash) {
  std::string encoded;
  for (const char character : text) {
    if (is_unreserved(character) || (keep_slash && character == '/')) {
      encoded += character;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(character));
    }
  }
  return encoded;
}

Result<Target> parse_target(std::string_view target) {
  const auto refuse = [](std::string_view why) {
    return fail(ErrorCode::invalid, fmt::format("the request's address {}", why));
  };
  if (target.empty() || target.front() != '/') return refuse("does not begin with '/'");
  if (target.find('#') != std::string_view::npos) return refuse("has a fragment");
  const std::size_t question = target.find('?');
  const std::string_view raw_path = target.substr(0, question);
  Target parsed;
  for (std::string_view rest = raw_path.substr(1);;) {
    const std::size_t slash = rest.find('/');
    const auto segment = percent_decode(rest.substr(0, slash));
    if (!segment) return refuse("has a bad escape, a control character, or is not UTF-8");
    if (segment->find('/') != std::string::npos || segment->find('\\') != std::string::npos)
      return refuse("hides a slash");
    if (*segment == "." || *segment == "..") return refuse("has a \".\" or \"..\" in its path");
    const bool last = slash == std::string_view::npos;
    if (segment->empty() && !last) return refuse("has an empty part in its path");
    parsed.path += '/';
    parsed.path += *segment;
    if (last) break;
    rest = rest.substr(slash + 1);
  }
  if (question == std::string_view::npos) return parsed;
  for (std::string_view rest = target.substr(question + 1); !rest.empty();) {
    const std::size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    auto name = percent_decode(pair.substr(0, equals), true);
    auto value = equals == std::string_view::npos ? std::string() : percent_decode(pair.substr(equals + 1), true);
    if (!name || !value || name->empty())
      return refuse("has a query with a bad escape, a control character, or what is not UTF-8");
    if (!parsed.query.emplace(*name, *value).second)
      return refuse(fmt::format("names \"{}\" twice in its query", *name));
  }
  return parsed;
}

}  // namespace mesh::http
