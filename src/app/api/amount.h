// Amounts of credits as text. The ledger counts micro-credits as unsigned integers of 64 bits: JSON carries these as decimal text, since
// many readers of JSON know no integers past 2^53; people see and give credits, with up to six decimals. No floating point is near any.
//
// Errors (invalid): bad-amount, and what would be right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace mesh::app {

inline constexpr std::uint64_t micros_of_credit = 1'000'000;

/// "1500000": digits alone, without zeros before them, at most 2^64-1.
[[nodiscard]] Result<std::uint64_t> parse_micros(std::string_view text);
/// "1.5", "0.000001", "20": digits, and where there is a point at least one and at most six after it.
[[nodiscard]] Result<std::uint64_t> parse_credits(std::string_view text);
/// In the shortest form that parse_credits reads.
[[nodiscard]] std::string credits_text(std::uint64_t micros);

}  // namespace mesh::app
