#include "domain/asset/murmur3.h"

#include <gtest/gtest.h>

#include <array>

namespace mesh::asset {
namespace {

TEST(Murmur3, PublishedExamples) {
  EXPECT_EQ(murmur3_x64_64(as_bytes("hello")), 0xcbd8a7b341bd9b02U);
  EXPECT_EQ(murmur3_x64_64(as_bytes("hello, world")), 0x342fac623a5ebc8eU);
  EXPECT_EQ(murmur3_x64_64(as_bytes("19 Jan 2038 at 3:14:07 AM")), 0xb89e5988b737affcU);
  EXPECT_EQ(murmur3_x64_64(as_bytes("The quick brown fox jumps over the lazy dog.")), 0xcd99481f9ee902c9U);
}

TEST(Murmur3, EveryLengthUpToTwoSteps) {
  // By github.com/spaolacci/murmur3 1.1.0, which Kubo uses, over the first n of the bytes 37 i + 200.
  constexpr std::array<std::uint64_t, 34> known{
      0x0000000000000000, 0xa46bd16248e551c3, 0xe3304859fea69b98, 0x1992c2c31158994d, 0x41bff0560ab0f92c,
      0x183680d3a1474632, 0x27a4dff7f4cce6a9, 0xcf7b85bf8584968d, 0x8c77ad3171d401d8, 0xefc048af822f9d54,
      0xed12443dc33f2dc6, 0x1b496dd0a682698a, 0x1136832c61247ef8, 0xe630146d9dc7d022, 0x208aae7e1f6f34e7,
      0x1237ca845d4c1800, 0x015deb6369b72afb, 0x067f69ffe052646e, 0xb52a5242afb4d50b, 0x5593143fd05b4de2,
      0xabd939555a067bf2, 0xf53f451fda48c62b, 0xd2db9b951d9c3a55, 0x6243d84e98142aa4, 0x8073d71cf8f630ee,
      0xcb68d2f26fddbbf9, 0xd9e854609b5fd691, 0x9dd3449798ce90dd, 0x4769b5791d1003b0, 0x0621fa9baf2ff8c6,
      0xe770e91419644dbd, 0xb01845ebc1e4df7c, 0x5fcf6f12a39e0ca6, 0xed93e0c56ea3a764};
  Bytes bytes;
  for (std::size_t size = 0; size < known.size(); ++size) {
    EXPECT_EQ(murmur3_x64_64(bytes), known[size]) << size;
    bytes.push_back(static_cast<std::uint8_t>(size * 37 + 200));
  }
}

}  // namespace
}  // namespace mesh::asset
