#include "app/runtime/reach.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace mesh::app {

namespace {

bool is_private_v4(const std::uint8_t* b) {
  return b[0] == 127 || b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
         (b[0] == 169 && b[1] == 254);
}

bool is_private_v6(const std::array<std::uint8_t, 16>& b) {
  constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(mapped.begin(), mapped.end(), b.begin())) return is_private_v4(b.data() + mapped.size());
  constexpr std::array<std::uint8_t, 16> loopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return b == loopback || (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

}  // namespace

bool is_local_address(std::string_view multiaddr) {
  if (multiaddr.contains("/p2p-circuit")) return false;
  const bool is_v4 = multiaddr.starts_with("/ip4/");
  if (!is_v4 && !multiaddr.starts_with("/ip6/")) return false;
  const std::string host(multiaddr.substr(5, multiaddr.find('/', 5) - 5));
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(is_v4 ? AF_INET : AF_INET6, host.c_str(), bytes.data()) != 1) return false;
  return is_v4 ? is_private_v4(bytes.data()) : is_private_v6(bytes);
}

}  // namespace mesh::app
