#include "codec/multibase.h"

namespace mesh {

namespace {

constexpr std::size_t max_base58_text = 4096;

constexpr std::string_view base16_alphabet = "0123456789abcdef";
constexpr std::string_view base32_alphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view base58_alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view base64url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::uint8_t no_digit = 0xff;

constexpr std::array<std::uint8_t, 256> inverse_of(std::string_view alphabet) {
  std::array<std::uint8_t, 256> inverse{};
  inverse.fill(no_digit);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    inverse[static_cast<std::uint8_t>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return inverse;
}

/// A base of 2^bits, RFC 4648 without padding.
struct BitBase {
  std::string_view alphabet;
  std::array<std::uint8_t, 256> inverse;
  unsigned bits;
};
constexpr BitBase base16_rule{base16_alphabet, inverse_of(base16_alphabet), 4};
constexpr BitBase base32_rule{base32_alphabet, inverse_of(base32_alphabet), 5};
constexpr BitBase base64_rule{base64_alphabet, inverse_of(base64_alphabet), 6};
constexpr BitBase base64url_rule{base64url_alphabet, inverse_of(base64url_alphabet), 6};
constexpr std::array<std::uint8_t, 256> base58_inverse = inverse_of(base58_alphabet);

/// The rule of a base, or null for base58btc and for what is not known here.
const BitBase* rule_of(char prefix) {
  switch (prefix) {
    case 'f':
      return &base16_rule;
    case 'b':
      return &base32_rule;
    case 'm':
      return &base64_rule;
    case 'u':
      return &base64url_rule;
    default:
      return nullptr;
  }
}

void encode_bits(const BitBase& rule, ByteView bytes, std::string& out) {
  out.reserve(out.size() + (bytes.size() * 8 + rule.bits - 1) / rule.bits);
  const std::uint32_t mask = (1U << rule.bits) - 1;
  std::uint32_t pending = 0;
  unsigned pending_bits = 0;
  for (const std::uint8_t byte : bytes) {
    pending = pending << 8 | byte;
    pending_bits += 8;
    while (pending_bits >= rule.bits) {
      pending_bits -= rule.bits;
      out.push_back(rule.alphabet[pending >> pending_bits & mask]);
    }
  }
  if (pending_bits > 0) out.push_back(rule.alphabet[pending << (rule.bits - pending_bits) & mask]);
}

Result<Bytes> decode_bits(const BitBase& rule, std::string_view digits) {
  Bytes out;
  out.reserve(digits.size() * rule.bits / 8);
  std::uint32_t pending = 0;
  unsigned pending_bits = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::uint8_t digit = rule.inverse[static_cast<std::uint8_t>(digits[i])];
    if (digit == no_digit) {
      return fail(ErrorCode::invalid,
                  "character " + std::to_string(i) + " of the multibase text is outside its base's alphabet");
    }
    pending = pending << rule.bits | digit;
    pending_bits += rule.bits;
    if (pending_bits >= 8) {
      pending_bits -= 8;
      out.push_back(static_cast<std::uint8_t>(pending >> pending_bits));
    }
  }
  // A whole digit too many, or bits that the encoder would have left zero: a second spelling of the same bytes.
  if (pending_bits >= rule.bits)
    return fail(ErrorCode::invalid, "the multibase text has a length that no bytes encode to");
  if ((pending & ((1U << pending_bits) - 1)) != 0) {
    return fail(ErrorCode::invalid, "the multibase text ends in loose bits");
  }
  return out;
}

}  // namespace

std::string base58btc_encode(ByteView bytes) {
  const auto first = std::ranges::find_if(bytes, [](std::uint8_t byte) { return byte != 0; });
  const auto zeros = static_cast<std::size_t>(first - bytes.begin());
  // Little-endian digits of base 58^5, which fit 32 bits, so that the quadratic work is a fifth in each direction.
  constexpr std::uint64_t limb_base = 58ULL * 58 * 58 * 58 * 58;
  std::vector<std::uint32_t> limbs;
  for (const std::uint8_t byte : bytes.subspan(zeros)) {
    std::uint64_t carry = byte;
    for (std::uint32_t& limb : limbs) {
      carry += std::uint64_t{limb} << 8;
      limb = static_cast<std::uint32_t>(carry % limb_base);
      carry /= limb_base;
    }
    if (carry != 0) limbs.push_back(static_cast<std::uint32_t>(carry));
  }
  std::string digits;  // Least significant first.
  for (std::uint32_t limb : limbs) {
    for (int i = 0; i < 5; ++i, limb /= 58) digits.push_back(base58_alphabet[limb % 58]);
  }
  while (!digits.empty() && digits.back() == base58_alphabet[0]) digits.pop_back();
  digits.append(zeros, base58_alphabet[0]);
  std::ranges::reverse(digits);
  return digits;
}

Result<Bytes> base58btc_decode(std::string_view text) {
  if (text.size() > max_base58_text) {
    return fail(ErrorCode::exhausted,
                "the base58 text is longer than " + std::to_string(max_base58_text) + " characters");
  }
  std::size_t zeros = 0;
  while (zeros < text.size() && text[zeros] == base58_alphabet[0]) ++zeros;
  std::vector<std::uint32_t> limbs;  // Little-endian, base 2^32.
  for (std::size_t i = zeros; i < text.size(); ++i) {
    const std::uint8_t digit = base58_inverse[static_cast<std::uint8_t>(text[i])];
    if (digit == no_digit) {
      return fail(ErrorCode::invalid, "character " + std::to_string(i) + " is outside base58's alphabet");
    }
    std::uint64_t carry = digit;
    for (std::uint32_t& limb : limbs) {
      carry += std::uint64_t{limb} * 58;
      limb = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs.push_back(static_cast<std::uint32_t>(carry));
  }
  Bytes out;  // Least significant first.
  out.reserve(zeros + limbs.size() * 4);
  for (std::uint32_t limb : limbs) {
    for (int i = 0; i < 4; ++i, limb >>= 8) out.push_back(static_cast<std::uint8_t>(limb));
  }
  while (!out.empty() && out.back() == 0) out.pop_back();
  out.insert(out.end(), zeros, 0);
  std::ranges::reverse(out);
  return out;
}

std::string multibase_encode(Base base, ByteView bytes) {
  std::string out(1, static_cast<char>(base));
  if (const BitBase* rule = rule_of(static_cast<char>(base)); rule != nullptr) {
    encode_bits(*rule, bytes, out);
  } else {
    out += base58btc_encode(bytes);
  }
  return out;
}

Result<Bytes> multibase_decode(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::invalid, "the multibase text is empty");
  const std::string_view digits = text.substr(1);
  if (text[0] == static_cast<char>(Base::base58btc)) return base58btc_decode(digits);
  if (const BitBase* rule = rule_of(text[0]); rule != nullptr) return decode_bits(*rule, digits);
  return fail(ErrorCode::unsupported, "the multibase prefix is not one of b, z, u, m and f");
}

}  // namespace mesh
