#include "codec/multibase.h"

#include <gtest/gtest.h>

#include <random>

namespace mesh {
namespace {

struct Vector {
  std::string_view text;
  std::string_view bytes;
};

TEST(Multibase, SpecificationVectors) {  // https://github.com/multiformats/multibase/tree/master/tests
  for (const Vector& vector :
       {Vector{"f446563656e7472616c697a652065766572797468696e672121", "Decentralize everything!!"},
        Vector{"birswgzloorzgc3djpjssazlwmvzhs5dinfxgoijb", "Decentralize everything!!"},
        Vector{"zUXE7GvtEk8XTXs1GF8HSGbVA9FCX9SEBPe", "Decentralize everything!!"},
        Vector{"mRGVjZW50cmFsaXplIGV2ZXJ5dGhpbmchIQ", "Decentralize everything!!"},
        Vector{"uRGVjZW50cmFsaXplIGV2ZXJ5dGhpbmchIQ", "Decentralize everything!!"},
        Vector{"f796573206d616e692021", "yes mani !"}, Vector{"bpfsxgidnmfxgsibb", "yes mani !"},
        Vector{"z7paNL19xttacUY", "yes mani !"}, Vector{"meWVzIG1hbmkgIQ", "yes mani !"},
        Vector{"ueWVzIG1hbmkgIQ", "yes mani !"},
        Vector{"f00796573206d616e692021", std::string_view("\0yes mani !", 11)},
        Vector{"bab4wk4zanvqw42jaee", std::string_view("\0yes mani !", 11)},
        Vector{"z17paNL19xttacUY", std::string_view("\0yes mani !", 11)},
        Vector{"mAHllcyBtYW5pICE", std::string_view("\0yes mani !", 11)},
        Vector{"f0000796573206d616e692021", std::string_view("\0\0yes mani !", 12)},
        Vector{"baaahszltebwwc3tjeaqq", std::string_view("\0\0yes mani !", 12)},
        Vector{"z117paNL19xttacUY", std::string_view("\0\0yes mani !", 12)},
        Vector{"mAAB5ZXMgbWFuaSAh", std::string_view("\0\0yes mani !", 12)}}) {
    EXPECT_EQ(multibase_encode(static_cast<Base>(vector.text[0]), as_bytes(vector.bytes)), vector.text);
    EXPECT_EQ(multibase_decode(vector.text), to_bytes(vector.bytes)) << vector.text;
  }
}

TEST(Multibase, RoundTripsEveryLength) {
  std::mt19937 random(3);
  for (const Base base : {Base::base16, Base::base32, Base::base58btc, Base::base64, Base::base64url}) {
    for (std::size_t size = 0; size < 100; ++size) {
      Bytes bytes(size);
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % 4 == 0 ? 0 : random());
      EXPECT_EQ(multibase_decode(multibase_encode(base, bytes)), bytes);
    }
    EXPECT_EQ(multibase_decode(multibase_encode(base, Bytes(64, 0xff))), Bytes(64, 0xff));
    EXPECT_EQ(multibase_decode(multibase_encode(base, Bytes(64, 0))), Bytes(64, 0));
  }
}

TEST(Multibase, RefusesEverySecondSpelling) {
  for (const std::string_view bad :
       {"",    "x00",   "F00", "f0",        "f0g", "fAB", "f 0", "ba",   "baaa",  "baaaaaa",
        "bab", "baaab", "bAA", "baa======", "b1a", "ma",  "mAB", "mAAB", "mAA==", "m-_8",
        "uAB", "u+/8",  "u  ", "z0",        "zO",  "zI",  "zl",  "z ",   "z-"}) {
    EXPECT_FALSE(multibase_decode(bad).has_value()) << bad;
  }
  EXPECT_FALSE(multibase_decode(std::string_view("f\0\0", 3)).has_value());
  EXPECT_FALSE(multibase_decode("b\xff\xff").has_value());
}

TEST(Multibase, Base58IsBounded) {
  EXPECT_TRUE(base58btc_decode(std::string(4096, 'z')).has_value());
  EXPECT_EQ(base58btc_decode(std::string(4097, 'z')).error().code, ErrorCode::exhausted);
}

}  // namespace
}  // namespace mesh
