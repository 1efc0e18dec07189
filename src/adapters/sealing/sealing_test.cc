#include "adapters/sealing/sealing.h"

#include <gtest/gtest.h>

namespace mesh::sealing {
namespace {

using identity::NodeId;

Seed seed(std::uint8_t number) {
  std::array<std::uint8_t, Seed::size> bytes{};
  bytes.fill(number);
  return Seed(bytes);
}
NodeId node(std::uint8_t number) { return public_key_of(seed(number)); }

Bytes content_of(std::size_t size) {
  Bytes content(size);
  for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<std::uint8_t>(i * 31 + (i >> 8U) * 7 + (i >> 16U));
  return content;
}

Sink into(Bytes& bytes) {
  return [&bytes](ByteView more) -> Status {
    append(bytes, more);
    return {};
  };
}

Result<Bytes> seal_for(const std::vector<NodeId>& recipients, ByteView content, std::size_t piece = SIZE_MAX) {
  Bytes sealed;
  MESH_LET(Sealer sealer, Sealer::start(recipients, into(sealed)));
  while (!content.empty()) {
    const std::size_t count = std::min(piece, content.size());
    MESH_TRY(sealer.feed(content.first(count)));
    content = content.subspan(count);
  }
  MESH_TRY(sealer.finish());
  return sealed;
}

Result<Bytes> open_as(std::uint8_t number, ByteView sealed, std::size_t piece = SIZE_MAX) {
  Bytes content;
  Opener opener(seed(number), into(content));
  while (!sealed.empty()) {
    const std::size_t count = std::min(piece, sealed.size());
    MESH_TRY(opener.feed(sealed.first(count)));
    sealed = sealed.subspan(count);
  }
  MESH_TRY(opener.finish());
  return content;
}

void expect_refused(std::uint8_t number, ByteView sealed, ErrorCode code, std::string_view words) {
  const auto opened = open_as(number, sealed);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, code) << opened.error().message;
  EXPECT_NE(opened.error().message.find(words), std::string::npos) << opened.error().message;
}

constexpr std::size_t one_header = header_bytes(1);
constexpr std::size_t first_content = chunk_bytes - one_header - chunk_overhead;
constexpr std::size_t chunk_content = chunk_bytes - chunk_overhead;

TEST(Sealing, OpensWhatWasSealedOfEverySizeAroundItsChunks) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, first_content - 1, first_content, first_content + 1,
                                 first_content + chunk_content - 1, first_content + chunk_content,
                                 first_content + chunk_content + 1, first_content + 3 * chunk_content + 12'345}) {
    const Bytes content = content_of(size);
    const auto sealed = seal_for({node(1)}, content);
    ASSERT_TRUE(sealed);
    const std::size_t chunks =
        size <= first_content ? 1 : 1 + (size - first_content + chunk_content - 1) / chunk_content;
    EXPECT_EQ(sealed->size(), one_header + size + chunks * chunk_overhead);
    EXPECT_EQ(open_as(1, *sealed), content) << size;
  }
}

TEST(Sealing, PiecesMakeNoDifference) {
  const Bytes content = content_of(first_content + chunk_content + 5);
  const auto sealed = seal_for({node(1)}, content, 1);
  ASSERT_TRUE(sealed);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4096}, chunk_bytes - 1, chunk_bytes, chunk_bytes + 1})
    EXPECT_EQ(open_as(1, *sealed, piece), content) << piece;
}

TEST(Sealing, NothingOfTheContentShowsAndNoTwoAreAlike) {
  const Bytes content = to_bytes("weights that are nobody's business");
  const auto one = seal_for({node(1)}, content);
  const auto two = seal_for({node(1)}, content);
  ASSERT_TRUE(one && two);
  EXPECT_NE(*one, *two);
  EXPECT_TRUE(std::ranges::search(*one, as_bytes("weights")).empty());
  EXPECT_TRUE(is_sealed(*one));
  EXPECT_FALSE(is_sealed(content));
  EXPECT_FALSE(is_sealed(ByteView(*one).first(magic.size() - 1)));
}

TEST(Sealing, EveryRecipientOpensItAndNobodyElse) {
  const Bytes content = to_bytes("for two");
  const auto sealed = seal_for({node(1), node(2)}, content);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(open_as(1, *sealed), content);
  EXPECT_EQ(open_as(2, *sealed), content);
  expect_refused(3, *sealed, ErrorCode::denied, identity::did_of(node(1)) + ", " + identity::did_of(node(2)));
  expect_refused(3, *sealed, ErrorCode::denied, "not for this node (" + identity::did_of(node(3)) + ")");
}

TEST(Sealing, NamesAFewOfManyRecipients) {
  std::vector<NodeId> recipients;
  for (std::uint8_t number = 0; number < 5; ++number) recipients.push_back(node(number));
  const auto sealed = seal_for(recipients, {});
  ASSERT_TRUE(sealed);
  expect_refused(9, *sealed, ErrorCode::denied, identity::did_of(node(2)) + " and 2 more, not for this node");
}

TEST(Sealing, RecipientsAreBounded) {
  std::vector<NodeId> recipients;
  for (std::size_t i = 0; i < max_recipients; ++i) {
    std::array<std::uint8_t, Seed::size> bytes{};
    bytes[0] = static_cast<std::uint8_t>(i);
    bytes[1] = 1;
    recipients.push_back(public_key_of(Seed(bytes)));
  }
  recipients.back() = node(7);
  const Bytes content = content_of(chunk_bytes);
  const auto sealed = seal_for(recipients, content);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->size(), header_bytes(max_recipients) + content.size() + 2 * chunk_overhead);
  EXPECT_EQ(open_as(7, *sealed), content);

  recipients.push_back(node(8));
  const auto too_many = seal_for(recipients, content);
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code, ErrorCode::invalid);
  for (const std::vector<NodeId>& bad : {std::vector<NodeId>{}, std::vector<NodeId>{node(1), node(2), node(1)}}) {
    const auto refused = seal_for(bad, content);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid);
  }

  // In a header: 0 and 257 of them.
  constexpr std::size_t count_at = magic.size() + 1;
  for (const std::uint8_t high : {std::uint8_t{0}, std::uint8_t{1}}) {
    Bytes bad = *sealed;
    bad[count_at] = high;
    bad[count_at + 1] = high;
    expect_refused(7, bad, ErrorCode::invalid, "number of recipients");
  }
}

TEST(Sealing, NothingIsSealedForAPointOfLowOrder) {
  // The neutral element, the point of order two, one of order four, and what is no point at all.
  for (const std::string_view hex : {"0100000000000000000000000000000000000000000000000000000000000000",
                                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "0000000000000000000000000000000000000000000000000000000000000000",
                                     "0200000000000000000000000000000000000000000000000000000000000000"}) {
    const auto refused = seal_for({node(1), *NodeId::from(*from_hex(hex))}, {});
    ASSERT_FALSE(refused) << hex;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid);
    EXPECT_NE(refused.error().message.find("nothing can be sealed for"), std::string::npos) << refused.error().message;
  }
}

TEST(Sealing, APublicKeyOfLowOrderIsRefused) {
  const auto sealed = seal_for({node(1)}, to_bytes("x"));
  ASSERT_TRUE(sealed);
  // Of X25519: 0, 1, both points of order eight, p - 1, p and p + 1.
  for (const std::string_view hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                                     "0100000000000000000000000000000000000000000000000000000000000000",
                                     "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                                     "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    Bytes bad = *sealed;
    std::ranges::copy(*from_hex(hex), bad.begin() + magic.size() + 3);
    expect_refused(1, bad, ErrorCode::invalid, "low order");
  }
}

TEST(Sealing, EveryFlippedByteIsRefused) {
  const Bytes content = to_bytes("a small secret");
  const auto sealed = seal_for({node(1), node(2)}, content);
  ASSERT_TRUE(sealed);
  for (std::size_t i = 0; i < sealed->size(); ++i) {
    for (const std::uint8_t bits : {std::uint8_t{0x01}, std::uint8_t{0x80}}) {
      Bytes bad = *sealed;
      bad[i] ^= bits;
      EXPECT_FALSE(open_as(1, bad)) << i;
      // The header is one for all, so that nobody reads what another one could not.
      EXPECT_FALSE(open_as(2, bad)) << i;
    }
  }
}

TEST(Sealing, NothingComesOutOfAChunkThatWasAltered) {
  auto sealed = seal_for({node(1)}, content_of(first_content + 2 * chunk_content));
  ASSERT_TRUE(sealed);
  (*sealed)[chunk_bytes + 100] ^= 1U;
  Bytes content;
  Opener opener(seed(1), into(content));
  const Status fed = opener.feed(*sealed);
  ASSERT_FALSE(fed);
  EXPECT_NE(fed.error().message.find("chunk 2"), std::string::npos) << fed.error().message;
  EXPECT_EQ(content, content_of(first_content));
  // It stays refused, whatever comes.
  EXPECT_EQ(opener.feed({}), fed);
  EXPECT_EQ(opener.finish(), fed);
}

TEST(Sealing, EveryTruncationIsRefused) {
  const auto sealed = seal_for({node(1)}, to_bytes("a small secret"));
  ASSERT_TRUE(sealed);
  for (std::size_t size = 0; size < sealed->size(); ++size) {
    const auto opened = open_as(1, ByteView(*sealed).first(size));
    ASSERT_FALSE(opened) << size;
    EXPECT_EQ(opened.error().code, ErrorCode::invalid);
  }
  expect_refused(1, {}, ErrorCode::invalid, "not sealed");
  expect_refused(1, ByteView(*sealed).first(magic.size()), ErrorCode::invalid, "cut off");
  expect_refused(1, ByteView(*sealed).first(one_header), ErrorCode::invalid, "cut off");

  const auto large = seal_for({node(1)}, content_of(first_content + chunk_content + 100));
  ASSERT_TRUE(large);
  for (const std::size_t size : {chunk_bytes - 1, chunk_bytes, chunk_bytes + 1, chunk_bytes + chunk_overhead,
                                 2 * chunk_bytes - 1, 2 * chunk_bytes, 2 * chunk_bytes + 1, large->size() - 1})
    expect_refused(1, ByteView(*large).first(size), ErrorCode::invalid, "cut off");
}

TEST(Sealing, AppendedBytesAreRefused) {
  // After a last chunk that is short, empty and full.
  for (const std::size_t size : {std::size_t{14}, std::size_t{0}, first_content}) {
    const auto sealed = seal_for({node(1)}, content_of(size));
    ASSERT_TRUE(sealed);
    for (const std::size_t count : {std::size_t{1}, chunk_overhead, chunk_bytes, 2 * chunk_bytes}) {
      Bytes bad = *sealed;
      bad.resize(bad.size() + count);
      const auto opened = open_as(1, bad);
      ASSERT_FALSE(opened) << size << " and " << count;
      EXPECT_EQ(opened.error().code, ErrorCode::invalid);
    }
  }
}

TEST(Sealing, ChunksStayInTheirPlaces) {
  const auto sealed = seal_for({node(1)}, content_of(first_content + 4 * chunk_content));
  const auto other = seal_for({node(1)}, content_of(first_content + 4 * chunk_content));
  ASSERT_TRUE(sealed && other);
  const auto chunk = [](const Bytes& from, std::size_t number) {
    return ByteView(from).subspan(number * chunk_bytes, chunk_bytes);
  };
  const auto put_together = [&](std::initializer_list<std::size_t> numbers) {
    Bytes bytes;
    for (const std::size_t number : numbers) append(bytes, chunk(*sealed, number));
    return bytes;
  };
  ASSERT_TRUE(open_as(1, put_together({0, 1, 2, 3, 4})));
  expect_refused(1, put_together({0, 2, 1, 3, 4}), ErrorCode::invalid, "chunk 2");
  expect_refused(1, put_together({0, 1, 1, 2, 3, 4}), ErrorCode::invalid, "chunk 3");
  expect_refused(1, put_together({0, 1, 3, 4}), ErrorCode::invalid, "chunk 3");
  expect_refused(1, put_together({0, 4}), ErrorCode::invalid, "chunk 2");
  expect_refused(1, put_together({0, 1, 2, 3, 4, 4}), ErrorCode::invalid, "follow its end");
  expect_refused(1, put_together({0, 1, 2, 3}), ErrorCode::invalid, "cut off");
  // One of another file of the same size and recipient.
  Bytes mixed = put_together({0, 1, 2, 3});
  append(mixed, chunk(*other, 4));
  expect_refused(1, mixed, ErrorCode::invalid, "chunk 5");
}

TEST(Sealing, OtherVersionsAndOtherContentAreNamed) {
  auto sealed = seal_for({node(1)}, to_bytes("x"));
  ASSERT_TRUE(sealed);
  (*sealed)[magic.size()] = 2;
  expect_refused(1, *sealed, ErrorCode::unsupported, "version 2");
  expect_refused(1, as_bytes("plain"), ErrorCode::invalid, "not sealed");
  expect_refused(1, as_bytes("plain text that is longer than a header's beginning"), ErrorCode::invalid, "not sealed");
}

TEST(Sealing, AnErrorOfTheSinkEndsIt) {
  int calls = 0;
  const Sink full = [&](ByteView) -> Status {
    ++calls;
    return fail(ErrorCode::storage, "full");
  };
  const auto sealer = Sealer::start(std::vector{node(1)}, full);
  ASSERT_FALSE(sealer);
  EXPECT_EQ(sealer.error().code, ErrorCode::storage);
  const auto sealed = seal_for({node(1)}, content_of(3 * chunk_bytes));
  ASSERT_TRUE(sealed);
  Opener opener(seed(1), full);
  EXPECT_EQ(opener.feed(*sealed), Status(fail(ErrorCode::storage, "full")));
  EXPECT_EQ(opener.finish(), Status(fail(ErrorCode::storage, "full")));
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace mesh::sealing
