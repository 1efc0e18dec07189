#include "domain/asset/model_header.h"

#include <gtest/gtest.h>

namespace mesh::asset {
namespace {

using Answer = Result<std::optional<ModelHeader>>;

/// Reads from memory a file that claims `file_bytes`; zeros follow what is given.
struct File {
  Bytes bytes;
  std::uint64_t file_bytes = 0;
  std::uint64_t read_bytes = 0;

  explicit File(Bytes given, std::uint64_t claimed = 0)
      : bytes(std::move(given)), file_bytes(claimed != 0 ? claimed : bytes.size()) {}

  Answer header() {
    return read_model_header(file_bytes, [this](std::uint64_t offset, std::size_t size) -> Result<Bytes> {
      EXPECT_LE(offset, file_bytes);
      EXPECT_LE(size, file_bytes - offset);
      read_bytes += size;
      Bytes part(size);
      for (std::size_t i = 0; i < size && offset + i < bytes.size(); ++i)
        part[i] = bytes[static_cast<std::size_t>(offset) + i];
      return part;
    });
  }
};

std::optional<ErrorCode> error_of(Bytes bytes, std::uint64_t claimed = 0) {
  const Answer answer = File(std::move(bytes), claimed).header();
  return answer ? std::nullopt : std::optional(answer.error().code);
}

struct Writer {
  Bytes bytes;

  Writer& number(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return *this;
  }
  Writer& u32(std::uint64_t value) { return number(value, 4); }
  Writer& u64(std::uint64_t value) { return number(value, 8); }
  Writer& raw(std::string_view text) {
    append(bytes, as_bytes(text));
    return *this;
  }
  Writer& string(std::string_view text) { return u64(text.size()).raw(text); }
  /// Of a GGUF tensor with two dimensions.
  Writer& tensor(std::string_view name, std::uint64_t rows, std::uint64_t columns, std::uint32_t type) {
    return string(name).u32(2).u64(rows).u64(columns).u32(type).u64(0);
  }
};

Writer gguf(std::uint64_t tensors, std::uint64_t pairs, std::uint32_t version = 3) {
  return Writer().raw("GGUF").u32(version).u64(tensors).u64(pairs);
}

Bytes small_gguf(std::uint32_t version = 3) {
  Writer file = gguf(2, 6, version);
  file.string("llama.context_length").u32(4).u32(4096);
  file.string("general.architecture").u32(8).string("llama");
  file.string("other.context_length").u32(4).u32(7);
  file.string("tokenizer.ggml.tokens").u32(9).u32(8).u64(3).string("a").string("").string("ccc");
  file.string("nested").u32(9).u32(9).u64(2).u32(4).u64(1).u32(5).u32(0).u64(0);
  file.string("general.file_type").u32(4).u32(15);
  file.tensor("token_embd.weight", 64, 32, 12).tensor("output.weight", 64, 4, 14);
  return file.bytes;
}

/// Room for the tensors' data, which is never read.
constexpr std::uint64_t roomy = 1 << 20;

TEST(ModelHeader, Gguf) {
  for (const std::uint32_t version : {2U, 3U}) {
    File file(small_gguf(version), roomy);
    EXPECT_EQ(file.header(), (ModelHeader{.format = ModelFormat::gguf,
                                          .architecture = "llama",
                                          .parameters = 64 * 32 + 64 * 4,
                                          .quantisation = "Q4_K_M",
                                          .context_tokens = 4096}));
  }
  // Without a file type, what most elements are of; a 64-bit context.
  Writer plain = gguf(2, 2);
  plain.string("general.architecture").u32(8).string("bert").string("bert.context_length").u32(10).u64(512);
  plain.tensor("a", 10, 10, 1).tensor("b", 10, 9, 0);
  const auto header = File(plain.bytes, roomy).header();
  EXPECT_EQ((*header)->quantisation, "F16");
  EXPECT_EQ((*header)->context_tokens, 512U);
  EXPECT_EQ(File(gguf(0, 0).bytes).header(), (ModelHeader{.format = ModelFormat::gguf}));
}

TEST(ModelHeader, GgufSkipsWhatIsLargeWithoutReadingIt) {
  // A value of a gigabyte, a key of 10 MB and a tensor's name of 10 MB, all of zeros: what follows is zeros too.
  Writer file = gguf(0, 1);
  file.string("blob").u32(9).u32(0).u64(std::uint64_t{1} << 30);
  File large(file.bytes, std::uint64_t{2} << 30);
  EXPECT_TRUE(large.header().has_value());
  EXPECT_LE(large.read_bytes, 16U << 10);
  Writer key = gguf(0, 1);
  key.u64(10'000'000);
  File long_key(key.bytes, 20'000'000);
  EXPECT_TRUE(long_key.header().has_value());
  EXPECT_LE(long_key.read_bytes, 16U << 10);
  Writer name = gguf(1, 0);
  name.u64(10'000'000);
  File long_name(name.bytes, 20'000'000);
  EXPECT_TRUE(long_name.header().has_value());
  EXPECT_LE(long_name.read_bytes, 16U << 10);
}

TEST(ModelHeader, GgufThatContradictsItself) {
  for (const std::uint32_t version : {0U, 1U, 4U, 0x03000000U})
    EXPECT_EQ(error_of(gguf(0, 0, version).bytes), ErrorCode::unsupported) << version;
  for (const std::uint64_t count : {std::uint64_t{1} << 20, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    EXPECT_EQ(error_of(gguf(count, 0).bytes, roomy), ErrorCode::invalid);
    EXPECT_EQ(error_of(gguf(0, count).bytes, roomy), ErrorCode::invalid);
    const auto pair = [&](auto&& value) {
      Writer file = gguf(0, 1);
      file.string("key");
      value(file);
      return error_of(file.bytes, roomy);
    };
    EXPECT_EQ(pair([&](Writer& file) { file.u32(8).u64(count); }), ErrorCode::invalid) << "a string";
    for (std::uint32_t type = 0; type < 13; ++type)
      EXPECT_EQ(pair([&](Writer& file) { file.u32(9).u32(type).u64(count); }), ErrorCode::invalid) << type;
    Writer key = gguf(0, 1);
    key.u64(count);
    EXPECT_EQ(error_of(key.bytes, roomy), ErrorCode::invalid);
    Writer tensor = gguf(1, 0);
    tensor.u64(count);
    EXPECT_EQ(error_of(tensor.bytes, roomy), ErrorCode::invalid);
  }
  EXPECT_EQ(error_of(gguf(0, 1).string("key").u32(13).bytes, roomy), ErrorCode::invalid);
  EXPECT_EQ(error_of(gguf(0, 1).string("key").u32(9).u32(13).u64(0).bytes, roomy), ErrorCode::invalid);
  // Arrays in arrays, as deep as is allowed and one more.
  for (const int depth : {4, 5}) {
    Writer nested = gguf(0, 1).string("key").u32(9);
    for (int i = 1; i < depth; ++i) nested.u32(9).u64(1);
    nested.u32(0).u64(0);
    EXPECT_EQ(error_of(nested.bytes, roomy), depth == 4 ? std::nullopt : std::optional(ErrorCode::invalid));
  }
  // Tensors larger than any file.
  EXPECT_EQ(error_of(gguf(1, 0).tensor("a", std::uint64_t{1} << 32, std::uint64_t{1} << 32, 0).bytes, roomy),
            ErrorCode::invalid);
  EXPECT_EQ(error_of(gguf(1, 0).tensor("a", ~std::uint64_t{0}, 1, 0).bytes, roomy), ErrorCode::invalid);
  EXPECT_EQ(error_of(gguf(2, 0).tensor("a", 1ULL << 62, 1, 0).tensor("b", 1ULL << 62, 1, 0).bytes, roomy),
            ErrorCode::invalid);
  EXPECT_EQ(error_of(gguf(1, 0).tensor("a", 1 << 20, 9, 0).bytes, roomy), ErrorCode::invalid);
  EXPECT_EQ(error_of(gguf(1, 0).string("a").u32(9).bytes, roomy), ErrorCode::invalid);
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a\0", 2), std::string(65, 'a'),
                                  std::string(5000, 'a'), std::string("\xc3\xbc")})
    EXPECT_EQ(error_of(gguf(0, 1).string("general.architecture").u32(8).string(name).bytes, roomy), ErrorCode::invalid);
  EXPECT_EQ(error_of(gguf(0, 1).string("a.context_length").u32(10).u64(~0ULL).bytes, roomy), ErrorCode::invalid);
}

TEST(ModelHeader, EveryCutIsAnErrorOrAnotherFile) {
  const Bytes whole = small_gguf();
  for (std::size_t size = 10; size < whole.size(); ++size)
    EXPECT_EQ(error_of(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))), ErrorCode::invalid)
        << size;
  for (std::size_t size = 0; size < 10; ++size)
    EXPECT_EQ(*File(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))).header(), std::nullopt);
}

TEST(ModelHeader, WhatIsReadIsBounded) {
  // Eight million strings that are empty.
  Writer file = gguf(0, 1);
  file.string("key").u32(9).u32(8).u64(std::uint64_t{1} << 24);
  File endless(file.bytes, std::uint64_t{1} << 40);
  EXPECT_EQ(endless.header().error().code, ErrorCode::exhausted);
  EXPECT_LE(endless.read_bytes, max_model_header_bytes + 8192);
}

TEST(ModelHeader, TheReadersErrorsAndShortAnswersAreErrors) {
  const auto fails = [](std::uint64_t, std::size_t) -> Result<Bytes> { return fail(ErrorCode::storage, "gone"); };
  EXPECT_EQ(read_model_header(100, fails).error().code, ErrorCode::storage);
  const auto shrank = [](std::uint64_t, std::size_t size) -> Result<Bytes> { return Bytes(size - 1); };
  EXPECT_EQ(read_model_header(100, shrank).error().code, ErrorCode::invalid);
}

// ---- safetensors

Bytes safetensors(std::string_view json, std::uint64_t data_bytes) {
  Bytes bytes = Writer().u64(json.size()).raw(json).bytes;
  bytes.resize(bytes.size() + data_bytes);
  return bytes;
}

std::string tensor(std::string_view shape, std::string_view offsets, std::string_view type = "F16") {
  return R"({"dtype":")" + std::string(type) + R"(","shape":[)" + std::string(shape) + R"(],"data_offsets":[)" +
         std::string(offsets) + "]}";
}

TEST(ModelHeader, Safetensors) {
  const std::string json =
      R"({"__metadata__":{"format":"pt","note":"\"{\\","modelspec.architecture":"gpt-neo/lora"}, "a":)" +
      tensor("2,3", "0,12", "BF16") + R"(,"b" : )" + tensor("", "12,16", "F32") +
      ",\"c\":" + tensor("0, 7", "16,16", "I64") + "}  ";
  EXPECT_EQ(File(safetensors(json, 16)).header(), (ModelHeader{.format = ModelFormat::safetensors,
                                                               .architecture = "gpt-neo/lora",
                                                               .parameters = 7,
                                                               .quantisation = "BF16"}));
  EXPECT_EQ(File(safetensors("{}  ", 0)).header(), (ModelHeader{.format = ModelFormat::safetensors}));
  const std::string halves = "{\"a\":" + tensor("4", "0,2", "F4") + "}";
  EXPECT_EQ((*File(safetensors(halves, 2)).header())->parameters, 4U);
}

TEST(ModelHeader, SafetensorsThatContradictsItself) {
  const auto one = [](const std::string& described, std::uint64_t data_bytes = 12) {
    return error_of(safetensors("{\"a\":" + described + "}", data_bytes));
  };
  ASSERT_EQ(one(tensor("2,3", "0,12")), std::nullopt);
  EXPECT_EQ(one(tensor("2,3", "0,12"), 13), ErrorCode::invalid) << "a gap";
  EXPECT_EQ(one(tensor("2,3", "1,13")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("2,3", "12,0")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("2,4", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("3", "0,2", "F4"), 2), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("2,3", "0,12,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("2,3", "0")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("-2,-3", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("2.0,3", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("02,3", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("2,3,", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("9223372036854775807,2", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("99999999999999999999", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("4294967296,4294967296", "0,12")), ErrorCode::invalid);
  EXPECT_EQ(one(tensor("2,3", "0,12", "F128")), ErrorCode::unsupported);
  EXPECT_EQ(one(R"({"dtype":"F16","shape":[2,3]})"), ErrorCode::invalid);
  EXPECT_EQ(one(R"({"dtype":"F16","dtype":"F16","shape":[2,3],"data_offsets":[0,12]})"), ErrorCode::invalid);
  EXPECT_EQ(one(R"({"dtype":"F16","shape":[2,3],"data_offsets":[0,12],"more":1})"), ErrorCode::invalid);
  EXPECT_EQ(one("[]"), ErrorCode::invalid);
  EXPECT_EQ(one("{}"), ErrorCode::invalid);
  const std::string twice = "{\"a\":" + tensor("2,3", "0,12") + ",\"a\":" + tensor("2,3", "0,12") + "}";
  EXPECT_EQ(error_of(safetensors(twice, 12)), ErrorCode::invalid);
  const std::string good = "{\"a\":" + tensor("2,3", "0,12") + "}";
  for (std::size_t size = 2; size < good.size(); ++size)
    EXPECT_EQ(error_of(safetensors(std::string_view(good).substr(0, size), 12)), ErrorCode::invalid) << size;
  EXPECT_EQ(error_of(safetensors(good + "x", 12)), ErrorCode::invalid);
  EXPECT_EQ(error_of(safetensors(good + good, 12)), ErrorCode::invalid);
  EXPECT_EQ(error_of(safetensors(
                "{\"" + std::string(as_text(Bytes(10'000'000, 'n'))) + "\":" + tensor("2,3", "0,12") + "}", 12)),
            ErrorCode::invalid);
  EXPECT_EQ(error_of(safetensors("{\"a\nb\":" + tensor("2,3", "0,12") + "}", 12)), ErrorCode::invalid);
  EXPECT_EQ(error_of(safetensors(R"({"__metadata__":{"a":1}})", 0)), ErrorCode::invalid);
  EXPECT_EQ(error_of(safetensors(R"({"__metadata__":{"a":{"a":{}}}})", 0)), ErrorCode::invalid);
  EXPECT_EQ(error_of(safetensors(R"({"__metadata__":{"modelspec.architecture":"a b"}})", 0)), ErrorCode::invalid);
  // A header of a gigabyte of spaces.
  EXPECT_EQ(
      error_of(Writer().u64(std::uint64_t{1} << 30).raw("{" + std::string(65, ' ')).bytes, std::uint64_t{2} << 30),
      ErrorCode::invalid);
  EXPECT_EQ(error_of(safetensors("{" + std::string(max_model_header_bytes + 10, ' ') + "}", 0)), ErrorCode::exhausted);
}

// ---- ONNX

Bytes field(std::uint32_t number, const Bytes& body) {
  Bytes bytes{static_cast<std::uint8_t>(number << 3 | 2)};
  std::uint64_t size = body.size();
  for (; size >= 0x80; size >>= 7) bytes.push_back(static_cast<std::uint8_t>(size | 0x80));
  bytes.push_back(static_cast<std::uint8_t>(size));
  append(bytes, body);
  return bytes;
}
Bytes together(std::initializer_list<Bytes> parts) {
  Bytes whole;
  for (const Bytes& part : parts) append(whole, part);
  return whole;
}
const Bytes onnx_head = together({{0x08, 0x09}, field(2, to_bytes("pytorch"))});

TEST(ModelHeader, Onnx) {
  const Bytes weights =
      field(5, together({{0x08, 100, 0x08, 3}, {0x10, 10}, field(8, to_bytes("w")), field(9, Bytes(600))}));
  const Bytes packed = field(5, together({field(1, {2, 2}), {0x10, 1}, field(8, to_bytes("p")), {0x25, 0, 0, 0, 0}}));
  const Bytes scalar = field(5, {0x10, 7});
  const Bytes graph = together({field(1, Bytes(10)), field(2, to_bytes("main")), weights, packed, scalar});
  File file(together({onnx_head, field(7, graph), field(8, {0x10, 17})}));
  EXPECT_EQ(file.header(), (ModelHeader{.format = ModelFormat::onnx, .parameters = 305, .quantisation = "F16"}));
  // What is large is skipped.
  Bytes heavy = together({{0x08, 1}, {0x10, 1}, field(9, Bytes(50'000'000))});
  File large(together({onnx_head, field(7, field(5, heavy))}));
  EXPECT_EQ((*large.header())->parameters, 1U);
  EXPECT_LE(large.read_bytes, 32U << 10);
}

TEST(ModelHeader, OnnxThatContradictsItself) {
  const auto of = [](const Bytes& graph) { return error_of(together({onnx_head, field(7, graph)})); };
  const Bytes huge{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
  EXPECT_EQ(of({}), std::nullopt);
  EXPECT_EQ(of(field(5, together({{0x08}, huge, {0x08, 2, 0x10, 1}}))), ErrorCode::invalid) << "too many elements";
  EXPECT_EQ(of(together({field(5, together({{0x08}, huge, {0x10, 1}})), field(5, {0x08, 1, 0x10, 1})})),
            ErrorCode::invalid);
  EXPECT_EQ(of(field(5, together({{0x08}, Bytes(9, 0xff), {1, 0x10, 1}}))), ErrorCode::invalid) << "a negative size";
  EXPECT_EQ(of(field(5, {0x08, 1, 0x10, 99})), ErrorCode::unsupported);
  EXPECT_EQ(of(field(5, {0x08, 1})), ErrorCode::unsupported);
  EXPECT_EQ(of(together({{5 << 3 | 2}, huge})), ErrorCode::invalid) << "a part longer than the whole";
  EXPECT_EQ(of(field(5, together({{0x0a}, {5, 1}}))), ErrorCode::invalid);
  EXPECT_EQ(of(field(5, field(1, {0x80}))), ErrorCode::invalid);
  EXPECT_EQ(of(Bytes(11, 0x80)), ErrorCode::invalid);
  EXPECT_EQ(of({0x0b}), ErrorCode::invalid) << "a group";
  EXPECT_EQ(of({0x00, 0x00}), ErrorCode::invalid);
  EXPECT_EQ(error_of(together({onnx_head, field(7, {}), field(7, {})})), ErrorCode::invalid);
}

TEST(ModelHeader, OtherFilesAreNoModels) {
  for (const Bytes& bytes : {Bytes(), Bytes(100), to_bytes("#!/usr/bin/env python3\nprint(1)\n"), Bytes(100, 0xff),
                             to_bytes("{\"a\": 1, \"b\": 2}"), to_bytes("GGML and more"), together({onnx_head, {0x7f}}),
                             onnx_head, Bytes(20, 0x08), together({{0x08, 0x00}, field(7, {}), Bytes(10)})}) {
    const auto header = File(bytes).header();
    ASSERT_TRUE(header.has_value()) << header.error().message;
    EXPECT_EQ(*header, std::nullopt);
  }
}

TEST(ModelHeader, NamesOfModels) {
  for (const char* name : {"a.gguf", "folder/a.b.safetensors", "model.onnx"}) EXPECT_TRUE(is_model_name(name)) << name;
  for (const char* name : {"gguf", "agguf", "a.gguf.txt", "a.GGUF", "", "a.bin"})
    EXPECT_FALSE(is_model_name(name)) << name;
}

}  // namespace
}  // namespace mesh::asset
