#include "app/api/amount.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"

namespace mesh::app {
namespace {

constexpr std::size_t decimals = 6;

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// None where it does not fit.
std::optional<std::uint64_t> value_of(std::string_view digits) {
  std::optional<std::uint64_t> value = 0;
  for (const char c : digits) {
    value = checked_multiply(*value, 10);
    if (value) value = checked_add(*value, static_cast<std::uint64_t>(c - '0'));
    if (!value) break;
  }
  return value;
}

std::unexpected<Error> bad_amount(std::string_view text, std::string_view right) {
  return fail(ErrorCode::invalid, fmt::format("bad-amount: \"{}\" is no amount: {}", text.substr(0, 64), right));
}

}  // namespace

Result<std::uint64_t> parse_micros(std::string_view text) {
  constexpr std::string_view right = "micro-credits are digits alone, from 0 to 18446744073709551615";
  if (!is_digits(text) || (text.size() > 1 && text.front() == '0')) return bad_amount(text, right);
  const std::optional<std::uint64_t> value = value_of(text);
  if (!value) return bad_amount(text, right);
  return *value;
}

Result<std::uint64_t> parse_credits(std::string_view text) {
  constexpr std::string_view right =
      "credits are digits with up to six decimals behind a point, as 1.5, and at most 18446744073709.551615";
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  std::string fraction;
  if (point != std::string_view::npos) {
    fraction = text.substr(point + 1);
    if (!is_digits(fraction) || fraction.size() > decimals) return bad_amount(text, right);
  }
  if (!is_digits(whole)) return bad_amount(text, right);
  fraction.resize(decimals, '0');
  std::optional<std::uint64_t> value = value_of(whole);
  if (value) value = checked_multiply(*value, micros_of_credit);
  if (value) value = checked_add(*value, *value_of(fraction));
  if (!value) return bad_amount(text, right);
  return *value;
}

std::string credits_text(std::uint64_t micros) {
  std::string text = fmt::format("{}.{:06}", micros / micros_of_credit, micros % micros_of_credit);
  text.resize(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace mesh::app
