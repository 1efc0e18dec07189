#include "app/runtime/reach.h"

#include <gtest/gtest.h>

namespace mesh::app {
namespace {

TEST(IsLocalAddress, PrivateNetworksAndNoOthers) {
  for (const char* local :
       {"/ip4/127.0.0.1/tcp/1", "/ip4/10.1.2.3/udp/4/quic-v1", "/ip4/172.16.0.1/tcp/1", "/ip4/172.31.255.1/tcp/1",
        "/ip4/192.168.1.2", "/ip4/169.254.3.4/tcp/1/ws", "/ip6/::1/tcp/1", "/ip6/fe80::1/tcp/1",
        "/ip6/fd00::7/udp/1/quic-v1", "/ip6/::ffff:192.168.0.1/tcp/1"}) {
    EXPECT_TRUE(is_local_address(local)) << local;
  }
  for (const char* other : {"/ip4/8.8.8.8/tcp/1", "/ip4/172.32.0.1/tcp/1", "/ip4/192.169.0.1/tcp/1",
                            "/ip6/2001:db8::1/tcp/1", "/ip6/::ffff:8.8.8.8/tcp/1", "/dns4/localhost/tcp/1",
                            "/ip4/10.0.0.1/tcp/1/p2p/X/p2p-circuit", "", "/ip4/", "/ip4/10.0.0", "10.0.0.1"}) {
    EXPECT_FALSE(is_local_address(other)) << other;
  }
}

}  // namespace
}  // namespace mesh::app
