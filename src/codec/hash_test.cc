#include "codec/hash.h"

#include <gtest/gtest.h>

#include <unordered_set>

#include "codec/merkle.h"

namespace mesh {
namespace {

TEST(Sha256, Fips180Vectors) {
  EXPECT_EQ(sha256(ByteView{}).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256(as_bytes("abc")).hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, PartsAndIncrementsAgreeWithTheWhole) {
  const Bytes all(1000, 'x');
  for (const std::size_t split :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{255}, std::size_t{1000}}) {
    for (const std::size_t size : {std::size_t{256}, std::size_t{257}, std::size_t{1000}}) {
      if (split > size) continue;
      const ByteView whole = ByteView(all).first(size);
      EXPECT_EQ(sha256({whole.first(split), whole.subspan(split)}), sha256(whole));
      Sha256 hash;
      hash.update(whole.first(split));
      Sha256 moved = std::move(hash);
      moved.update(whole.subspan(split));
      EXPECT_EQ(moved.finish(), sha256(whole));
    }
  }
}

TEST(Sha256Death, UseAfterFinishIsOurBug) {
  Sha256 hash;
  (void)hash.finish();
  EXPECT_DEATH(hash.update({}), "sha256-used-after-finish");
}

TEST(TaggedHash, IsAsDocumented) {  // Computed with Python's hashlib and hmac over the documented framing.
  EXPECT_EQ(tagged_hash("domain", {as_bytes("a"), as_bytes("bc")}).hex(),
            "17ef5255fdb0951df77da54ecac5500bfd402783d293e35445ba543cda03467b");
  EXPECT_EQ(derive_secret(as_bytes("key"), "domain", {as_bytes("a"), as_bytes("bc")}).hex(),
            "3b5791cb31cd3f8b11abd304f846715921dd37fb6094d3100c8bf430795d52c6");
  EXPECT_EQ(derive_secret(Bytes(100, 'k'), "domain", {}).hex(),
            "db711beb87d2cfabaa8b8e1a2258af8ebc2ba3ffb01333dd43ef575287b63320");
}

TEST(TaggedHash, NoTwoListsOfPartsCollide) {
  std::unordered_set<Digest> seen;
  EXPECT_TRUE(seen.insert(tagged_hash("d", {})).second);
  EXPECT_TRUE(seen.insert(tagged_hash("d", {ByteView{}})).second);
  EXPECT_TRUE(seen.insert(tagged_hash("da", {as_bytes("b")})).second);
  EXPECT_TRUE(seen.insert(tagged_hash("d", {as_bytes("ab")})).second);
  EXPECT_TRUE(seen.insert(tagged_hash("d", {as_bytes("a"), as_bytes("b")})).second);
  EXPECT_TRUE(seen.insert(tagged_hash("d", {as_bytes("ab"), ByteView{}})).second);
  EXPECT_TRUE(seen.insert(tagged_hash("d", {ByteView{}, as_bytes("ab")})).second);
}

std::vector<Digest> leaves_of(std::size_t count) {
  std::vector<Digest> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(sha256(Bytes{static_cast<std::uint8_t>(i)}));
  return leaves;
}

/// RFC 6962 section 2.1, word for word.
Digest reference_root(std::span<const Digest> leaves) {
  if (leaves.size() == 1) return sha256({Bytes{0}, leaves[0].view()});
  std::size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  return sha256({Bytes{1}, reference_root(leaves.first(k)).view(), reference_root(leaves.subspan(k)).view()});
}

TEST(Merkle, RootsAreRfc6962s) {  // The constants by an independent program.
  EXPECT_EQ(merkle::root_of(leaves_of(1)).hex(), "d9de27625445003d8a9739a851e3ff8d41c0683630b4d63a88327a6aaa37c409");
  EXPECT_EQ(merkle::root_of(leaves_of(2)).hex(), "604d540f09268b91672ab011394d5266ccd7d4484d0d109411a55848126a1b2c");
  EXPECT_EQ(merkle::root_of(leaves_of(7)).hex(), "bee2275db16667589a4515f63e0d053a2fa602c1d9f9703e98920a5bdad59baf");
  for (std::size_t count = 1; count <= 130; ++count)
    EXPECT_EQ(merkle::root_of(leaves_of(count)), reference_root(leaves_of(count)));
}

}  // namespace
}  // namespace mesh
