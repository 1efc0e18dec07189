#include "adapters/sealing/sealing.h"

#include <gtest/gtest.h>
#include <sodium.h>

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

/// Sealed for node(1) and node(2) by another program, which was written from docs/design/protocols.md and knows no libsodium:
/// X25519's secret is the bytes 0 to 31, the content's key 32 to 63, the stream's header 64 to 87.
constexpr std::string_view known =
    "8d6d73687365616c0100028f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f8a88e3dd7409f195fd"
    "52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5cf13b9f1786a5fc31c24396a4f70418c2cf37a0503954929da9129e307e"
    "f642843f793cad940dcacfcf874fd551d031d18139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394a4"
    "d2fa9e4cb35fccd06dc1533e8c9d691398e388a2be03817f60c97b6727681f4c5d9369c33d9bf358ff860d8dc6f9154041424344"
    "45464748494a4b4c4d4e4f50515253545556576e3b61d3b4693e196cd9053ec01c048162346e82871af57676b2578fac539f40b0"
    "675b78bf1954395a3556471cebfefbec6ed213edd42a15f529587ef9ae350f749b9bdcc9d2af30bd8537996d9acca4";

TEST(Sealing, OpensWhatAnotherProgramSealed) {
  const Bytes sealed = *from_hex(known);
  EXPECT_EQ(open_as(1, sealed), to_bytes("a sealed file of a known answer"));
  EXPECT_EQ(open_as(2, sealed), to_bytes("a sealed file of a known answer"));
}

/// Chunks as only who knows the content's key can make them, after the header of `known`.
struct ForgedChunk {
  std::size_t size = 0;
  std::uint8_t tag = 0;
};
Bytes forge(std::initializer_list<ForgedChunk> chunks) {
  Bytes sealed = *from_hex(known);
  sealed.resize(header_bytes(2));
  std::array<std::uint8_t, 32> content_key{};
  for (std::size_t i = 0; i < content_key.size(); ++i) content_key[i] = static_cast<std::uint8_t>(32 + i);
  std::array<std::uint8_t, 32> stream_key{};
  crypto_kdf_derive_from_key(stream_key.data(), stream_key.size(), 1, "meshseal", content_key.data());
  crypto_secretstream_xchacha20poly1305_state state;
  // A stream that is begun with a given header is begun as one that is read.
  crypto_secretstream_xchacha20poly1305_init_pull(&state, sealed.data() + sealed.size() - 56, stream_key.data());
  Bytes header = sealed;
  for (const ForgedChunk& chunk : chunks) {
    const Bytes content = content_of(chunk.size);
    Bytes out(content.size() + chunk_overhead);
    crypto_secretstream_xchacha20poly1305_push(&state, out.data(), nullptr, content.data(), content.size(),
                                               header.data(), header.size(), chunk.tag);
    header.clear();
    append(sealed, out);
  }
  return sealed;
}

TEST(Sealing, WhoKnowsTheKeyMakesNoOtherFormOfIt) {
  constexpr std::uint8_t message = crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
  constexpr std::uint8_t push = crypto_secretstream_xchacha20poly1305_TAG_PUSH;
  constexpr std::uint8_t rekey = crypto_secretstream_xchacha20poly1305_TAG_REKEY;
  constexpr std::uint8_t final_one = crypto_secretstream_xchacha20poly1305_TAG_FINAL;
  constexpr std::size_t first = chunk_bytes - header_bytes(2) - chunk_overhead;
  EXPECT_EQ(open_as(1, forge({{5, final_one}})), content_of(5));
  EXPECT_EQ(open_as(1, forge({{0, final_one}})), Bytes{});
  EXPECT_TRUE(open_as(1, forge({{first, message}, {1, final_one}})));
  // The end without its mark, marks of other kinds, an empty chunk that nobody needed.
  expect_refused(1, forge({{5, message}}), ErrorCode::invalid, "not what may stand there");
  expect_refused(1, forge({{first, message}}), ErrorCode::invalid, "cut off");
  for (const std::uint8_t tag : {push, rekey}) {
    expect_refused(1, forge({{5, tag}}), ErrorCode::invalid, "not what may stand there");
    expect_refused(1, forge({{first, tag}, {1, final_one}}), ErrorCode::invalid, "not what may stand there");
  }
  expect_refused(1, forge({{first, message}, {0, final_one}}), ErrorCode::invalid, "last chunk is empty");
  // Chunks of other sizes than theirs.
  expect_refused(1, forge({{5, message}, {5, final_one}}), ErrorCode::invalid, "chunk 1");
}

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

TEST(Sealing, ANodeOpensItByAFormerKey) {
  const Bytes content = content_of(1000);
  const Bytes sealed = *seal_for({node(2)}, content);
  const auto open_by = [&](std::vector<Seed> keys) -> Result<Bytes> {
    Bytes opened;
    Opener opener(keys, into(opened));
    MESH_TRY(opener.feed(sealed));
    MESH_TRY(opener.finish());
    return opened;
  };
  EXPECT_EQ(open_by({seed(1), seed(3), seed(2)}), content);
  EXPECT_EQ(open_by({seed(2), seed(3)}), content);
  const auto refused = open_by({seed(1), seed(3)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
  EXPECT_NE(refused.error().message.find(identity::did_of(node(1))), std::string::npos) << "as whom it is known now";
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

// ---- Keys that are given.

ByteView header_of(const Bytes& sealed, std::size_t recipients = 1) {
  return ByteView(sealed).first(header_bytes(recipients));
}
Result<Bytes> open_with(const ContentKey& key, ByteView sealed) {
  Bytes content;
  Opener opener(key, into(content));
  MESH_TRY(opener.feed(sealed));
  MESH_TRY(opener.finish());
  return content;
}
bool same(const ContentKey& a, const ContentKey& b) {
  return std::equal(a.data(), a.data() + ContentKey::size, b.data());
}

TEST(GivenKeys, OpenTheFileForOneThatItWasNotSealedFor) {
  const Bytes content = content_of(2 * chunk_bytes);
  const Bytes sealed = *seal_for({node(1)}, content);
  ASSERT_EQ(header_length(ByteView(sealed).first(prelude_bytes)), header_bytes(1));
  EXPECT_TRUE(is_recipient(header_of(sealed), node(1)));
  EXPECT_FALSE(is_recipient(header_of(sealed), node(2)));
  const auto key = content_key(seed(1), header_of(sealed));
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(content_key(seed(2), header_of(sealed)).error().code, ErrorCode::denied);
  const auto wrapper = KeyWrapper::start(node(2), as_bytes("task"));
  ASSERT_TRUE(wrapper) << wrapper.error().message;
  const WrappedKey wrapped = wrapper->wrap(*key, 7);
  const auto unwrapper = KeyUnwrapper::start(seed(2), wrapper->point(), as_bytes("task"));
  ASSERT_TRUE(unwrapper);
  const auto given = unwrapper->unwrap(wrapped, 7);
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_TRUE(same(*given, *key));
  EXPECT_EQ(open_with(*given, sealed), content);
  EXPECT_EQ(open_as(2, sealed).error().code, ErrorCode::denied) << "the file itself names others";
}

TEST(GivenKeys, OpenForNoOtherNodeTaskOrNumber) {
  const Bytes sealed = *seal_for({node(1)}, content_of(10));
  const auto key = *content_key(seed(1), header_of(sealed));
  const auto wrapper = *KeyWrapper::start(node(2), as_bytes("task"));
  const WrappedKey wrapped = wrapper.wrap(key, 7);
  const auto unwraps = [&](std::uint8_t who, std::string_view context, std::uint32_t number, WrappedKey bytes,
                           KeyPoint point) {
    const auto unwrapper = KeyUnwrapper::start(seed(who), point, as_bytes(context));
    if (!unwrapper) return unwrapper.error().code == ErrorCode::invalid ? -1 : -2;
    const auto opened = unwrapper->unwrap(bytes, number);
    if (!opened) {
      EXPECT_EQ(opened.error().code, ErrorCode::denied);
    }
    return opened ? 1 : 0;
  };
  EXPECT_EQ(unwraps(2, "task", 7, wrapped, wrapper.point()), 1);
  EXPECT_EQ(unwraps(3, "task", 7, wrapped, wrapper.point()), 0);
  EXPECT_EQ(unwraps(2, "tasks", 7, wrapped, wrapper.point()), 0);
  EXPECT_EQ(unwraps(2, "task", 8, wrapped, wrapper.point()), 0);
  EXPECT_EQ(unwraps(2, "task", 7, wrapper.wrap(key, 8), wrapper.point()), 0);
  EXPECT_EQ(unwraps(2, "task", 7, wrapped, KeyWrapper::start(node(2), as_bytes("task"))->point()), 0);
  EXPECT_EQ(unwraps(2, "task", 7, wrapped, KeyPoint{}), -1) << "of low order";
  for (std::size_t at = 0; at < wrapped.size(); ++at) {
    WrappedKey altered = wrapped;
    altered[at] ^= 1U;
    EXPECT_EQ(unwraps(2, "task", 7, altered, wrapper.point()), 0) << at;
  }
}

TEST(GivenKeys, AKnownAnswer) {
  // Computed by another program from docs/design/protocols.md: the point's secret is the bytes 0 to 31, the key 32 to 63, the
  // context 0 to 35, the number 7, for node(2).
  const auto unwrapper = [](const KeyPoint& point) {
    Bytes context(36);
    for (std::size_t i = 0; i < context.size(); ++i) context[i] = static_cast<std::uint8_t>(i);
    return *KeyUnwrapper::start(seed(2), point, context);
  };
  KeyPoint point{};
  std::ranges::copy(*from_hex("8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"), point.begin());
  WrappedKey wrapped{};
  std::ranges::copy(*from_hex("3d3f69f19b64a7e5722c8b4c3af31d3a64122f24dcb2c97aa81e16e05aa1f99c"
                              "4f5f9b101b2fdb5fe5b0f6b652136d1c"),
                    wrapped.begin());
  const auto key = unwrapper(point).unwrap(wrapped, 7);
  ASSERT_TRUE(key) << key.error().message;
  for (std::size_t i = 0; i < ContentKey::size; ++i) EXPECT_EQ(key->data()[i], 32 + i);
}

TEST(GivenKeys, AWrongOneIsFoundBeforeAnythingComesOut) {
  const Bytes sealed = *seal_for({node(1)}, content_of(100));
  const auto other = *content_key(seed(1), header_of(*seal_for({node(1)}, content_of(100))));
  EXPECT_FALSE(fits(other, header_of(sealed)));
  int calls = 0;
  Opener opener(other, [&](ByteView) -> Status {
    ++calls;
    return {};
  });
  const Status fed = opener.feed(sealed);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, ErrorCode::denied);
  EXPECT_EQ(calls, 0);
  // What the right key opens and was altered is damaged, and no matter of the key.
  const auto own = *content_key(seed(1), header_of(sealed));
  Bytes damaged = sealed;
  damaged.back() ^= 1U;
  EXPECT_EQ(open_with(own, damaged).error().code, ErrorCode::invalid);
  EXPECT_EQ(open_with(own, as_bytes("plain text of some length")).error().code, ErrorCode::invalid);
}

TEST(GivenKeys, HeadersThatAreNoneHaveNoKey) {
  const Bytes sealed = *seal_for({node(1), node(2)}, content_of(100));
  EXPECT_TRUE(content_key(seed(2), header_of(sealed, 2)));
  EXPECT_EQ(content_key(seed(2), header_of(sealed, 1)).error().code, ErrorCode::invalid);
  EXPECT_EQ(content_key(seed(2), {}).error().code, ErrorCode::invalid);
  EXPECT_EQ(content_key(seed(2), as_bytes("plain text of some length")).error().code, ErrorCode::invalid);
  Bytes later = sealed;
  later[magic.size()] = 2;
  EXPECT_EQ(content_key(seed(2), header_of(later, 2)).error().code, ErrorCode::unsupported);
  EXPECT_EQ(header_length(ByteView(sealed).first(prelude_bytes - 1)).error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace mesh::sealing
