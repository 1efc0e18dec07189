// Who is on the local network, by the address of the connection.
#pragma once

#include <string_view>

namespace mesh::app {

/// Whether a multiaddr is one of this machine or of a private network: loopback, RFC 1918, link-local (RFC 3927, RFC 4291)
/// or unique local (RFC 4193). A relayed one is not, wherever the relay is, and neither is what does not read.
[[nodiscard]] bool is_local_address(std::string_view multiaddr);

}  // namespace mesh::app
