#include "domain/asset/model_header.h"

#include <algorithm>
#include <array>
#include <map>

namespace mesh::asset {

namespace {

constexpr std::size_t window_bytes = 4096;
constexpr std::size_t max_key_bytes = 1024;
constexpr std::size_t max_architecture_bytes = 64;
constexpr std::size_t max_contexts = 16;  // Keys that may be the context length, until the architecture is known.
constexpr int max_array_depth = 4;
constexpr std::uint32_t max_dimensions = 8;
constexpr std::uint64_t max_count = (std::uint64_t{1} << 63) - 1;

std::unexpected<Error> invalid(std::string_view what) {
  return fail(ErrorCode::invalid, "model header: " + std::string(what));
}

Result<std::uint64_t> sum_of(std::uint64_t a, std::uint64_t b) {
  if (a > max_count || b > max_count - a) return invalid("the counts overflow");
  return a + b;
}

Result<std::uint64_t> product_of(std::uint64_t a, std::uint64_t b) {
  if (a > max_count || b > max_count || (a != 0 && b > max_count / a)) return invalid("a tensor's size overflows");
  return a * b;
}

/// How many elements are of each type.
struct Census {
  std::map<std::string_view, std::uint64_t> elements;  ///< names are those of tables: as many as they have
  std::uint64_t total = 0;

  Status add(std::string_view type, std::uint64_t count) {
    MESH_LET(total, sum_of(total, count));
    elements[type] += count;
    return {};
  }
  [[nodiscard]] std::string most() const {
    const auto found = std::ranges::max_element(elements, {}, [](const auto& entry) { return entry.second; });
    return found == elements.end() ? std::string() : std::string(found->first);
  }
};

/// The file from its beginning; what is skipped is not read.
class Source {
 public:
  Source(std::uint64_t file_bytes, const HeaderReader& read) : read_(read), end_(file_bytes) {}

  [[nodiscard]] std::uint64_t at() const { return at_; }
  [[nodiscard]] std::uint64_t rest() const { return end_ - at_; }

  Status skip(std::uint64_t count) {
    if (count > rest()) return invalid("it goes past the end of the file");
    at_ += count;
    return {};
  }
  /// The next byte, which stays.
  Result<std::uint8_t> peek() {
    if (at_ < window_at_ || at_ - window_at_ >= window_.size()) MESH_TRY(fill());
    return window_[static_cast<std::size_t>(at_ - window_at_)];
  }
  Result<std::uint8_t> byte() {
    MESH_LET(const std::uint8_t next, peek());
    ++at_;
    return next;
  }
  Result<std::uint64_t> little_endian(unsigned bytes) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) {
      MESH_LET(const std::uint8_t next, byte());
      value |= std::uint64_t{next} << (8 * i);
    }
    return value;
  }
  Result<std::string> text(std::uint64_t bytes) {
    if (bytes > max_key_bytes) return invalid("a name is too long");
    std::string value;
    for (std::uint64_t i = 0; i < bytes; ++i) {
      MESH_LET(const std::uint8_t next, byte());
      value.push_back(static_cast<char>(next));
    }
    return value;
  }

 private:
  Status fill() {
    if (rest() == 0) return invalid("it goes past the end of the file");
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(window_bytes, rest()));
    if (size > max_model_header_bytes - read_bytes_) {
      return fail(ErrorCode::exhausted, "model header: it is larger than the " +
                                            std::to_string(max_model_header_bytes >> 20) + " MiB that are read");
    }
    read_bytes_ += size;
    MESH_LET(window_, read_(at_, size));
    window_at_ = at_;
    if (window_.size() != size) return invalid("the file ends earlier than it should");
    return {};
  }

  const HeaderReader& read_;
  std::uint64_t end_ = 0;
  std::uint64_t at_ = 0;
  std::uint64_t window_at_ = 0;
  std::uint64_t read_bytes_ = 0;
  Bytes window_;
};

bool is_architecture(std::string_view text) {
  return !text.empty() && text.size() <= max_architecture_bytes &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

// ---- GGUF.

enum class GgufType : std::uint8_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
constexpr std::array<unsigned, 13> gguf_bytes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct Numbered {
  std::uint64_t number = 0;
  std::string_view name;
};
/// general.file_type.
constexpr std::array<Numbered, 33> gguf_files{
    {{0, "F32"},     {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},    {7, "Q8_0"},      {8, "Q5_0"},    {9, "Q5_1"},
     {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},  {13, "Q3_K_L"}, {14, "Q4_K_S"},   {15, "Q4_K_M"}, {16, "Q5_K_S"},
     {17, "Q5_K_M"}, {18, "Q6_K"},   {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"},   {22, "IQ3_XS"}, {23, "IQ3_XXS"},
     {24, "IQ1_S"},  {25, "IQ4_NL"}, {26, "IQ3_S"},   {27, "IQ3_M"},  {28, "IQ2_S"},    {29, "IQ2_M"},  {30, "IQ4_XS"},
     {31, "IQ1_M"},  {32, "BF16"},   {36, "TQ1_0"},   {37, "TQ2_0"},  {38, "MXFP4_MOE"}}};
/// ggml_type of a tensor.
constexpr std::array<Numbered, 32> gguf_tensors{
    {{0, "F32"},      {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},   {6, "Q5_0"},    {7, "Q5_1"},   {8, "Q8_0"},
     {9, "Q8_1"},     {10, "Q2_K"},   {11, "Q3_K"},    {12, "Q4_K"},  {13, "Q5_K"},   {14, "Q6_K"},  {15, "Q8_K"},
     {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},
     {23, "IQ4_XS"},  {24, "I8"},     {25, "I16"},     {26, "I32"},   {27, "I64"},    {28, "F64"},   {29, "IQ1_M"},
     {30, "BF16"},    {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"}}};

std::string_view name_in(const auto& table, std::uint64_t number) {
  const auto found = std::ranges::find(table, number, &Numbered::number);
  return found == table.end() ? std::string_view() : found->name;
}

class GgufReader {
 public:
  GgufReader(Source& source, std::uint64_t file_bytes) : source_(source), file_bytes_(file_bytes) {}

  Result<ModelHeader> read() {
    MESH_TRY(source_.skip(4));
    MESH_LET(const std::uint64_t version, source_.little_endian(4));
    if (version != 2 && version != 3)
      return fail(ErrorCode::unsupported, "model header: GGUF of version " + std::to_string(version) + ", not 2 or 3");
    MESH_LET(const std::uint64_t tensors, source_.little_endian(8));
    MESH_LET(const std::uint64_t pairs, source_.little_endian(8));
    // A pair takes 13 bytes and a tensor 24, at least.
    if (pairs > source_.rest() / 13 || tensors > source_.rest() / 24)
      return invalid("GGUF counts more than the file can hold");
    for (std::uint64_t i = 0; i < pairs; ++i) MESH_TRY(read_pair());
    Census census;
    for (std::uint64_t i = 0; i < tensors; ++i) MESH_TRY(read_tensor(census));
    // The densest quantisation takes more than one bit for an element.
    if (census.total / 8 > file_bytes_) return invalid("GGUF claims more parameters than the file has bits");
    ModelHeader header{.format = ModelFormat::gguf, .architecture = architecture_, .parameters = census.total};
    header.quantisation = file_type_ ? name_in(gguf_files, *file_type_) : std::string_view();
    if (header.quantisation.empty()) header.quantisation = census.most();
    const auto context = contexts_.find(architecture_ + ".context_length");
    if (context != contexts_.end()) header.context_tokens = context->second;
    return header;
  }

 private:
  Result<GgufType> read_type() {
    MESH_LET(const std::uint64_t number, source_.little_endian(4));
    if (number >= gguf_bytes.size()) return invalid("GGUF holds a value of unknown type");
    return static_cast<GgufType>(number);
  }

  Status skip_string() {
    MESH_LET(const std::uint64_t bytes, source_.little_endian(8));
    return source_.skip(bytes);
  }

  Status skip_value(GgufType type, int depth) {
    if (type == GgufType::string) return skip_string();
    if (type != GgufType::array) return source_.skip(gguf_bytes[static_cast<std::size_t>(type)]);
    if (depth >= max_array_depth) return invalid("GGUF nests arrays too deep");
    MESH_LET(const GgufType inner, read_type());
    MESH_LET(const std::uint64_t count, source_.little_endian(8));
    // A string takes 8 bytes and an array 12, at least.
    const unsigned each = inner == GgufType::string  ? 8
                          : inner == GgufType::array ? 12
                                                     : gguf_bytes[static_cast<std::size_t>(inner)];
    if (count > source_.rest() / each) return invalid("GGUF holds an array longer than the file");
    if (inner != GgufType::string && inner != GgufType::array) return source_.skip(count * each);
    for (std::uint64_t i = 0; i < count; ++i) MESH_TRY(skip_value(inner, depth + 1));
    return {};
  }

  Status read_pair() {
    MESH_LET(const std::uint64_t key_bytes, source_.little_endian(8));
    std::string key;
    if (key_bytes > max_key_bytes) {
      MESH_TRY(source_.skip(key_bytes));  // None that is looked for is as long.
    } else {
      MESH_LET(key, source_.text(key_bytes));
    }
    MESH_LET(const GgufType type, read_type());
    const bool is_count = type == GgufType::u32 || type == GgufType::u64;
    if (key == "general.architecture" && type == GgufType::string) {
      MESH_LET(const std::uint64_t bytes, source_.little_endian(8));
      MESH_LET(architecture_, source_.text(bytes));
      if (!is_architecture(architecture_)) return invalid("the architecture's name is not printable text");
      return {};
    }
    if (key == "general.file_type" && is_count) {
      MESH_LET(file_type_, source_.little_endian(gguf_bytes[static_cast<std::size_t>(type)]));
      return {};
    }
    if (key.ends_with(".context_length") && is_count && contexts_.size() < max_contexts) {
      MESH_LET(const std::uint64_t tokens, source_.little_endian(gguf_bytes[static_cast<std::size_t>(type)]));
      if (tokens > max_count) return invalid("the context length is out of range");
      contexts_[key] = tokens;
      return {};
    }
    return skip_value(type, 0);
  }

  Status read_tensor(Census& census) {
    MESH_TRY(skip_string());
    MESH_LET(const std::uint64_t dimensions, source_.little_endian(4));
    if (dimensions > max_dimensions) return invalid("GGUF holds a tensor of too many dimensions");
    std::uint64_t elements = 1;
    for (std::uint64_t i = 0; i < dimensions; ++i) {
      MESH_LET(const std::uint64_t size, source_.little_endian(8));
      MESH_LET(elements, product_of(elements, size));
    }
    MESH_LET(const std::uint64_t type, source_.little_endian(4));
    MESH_TRY(source_.skip(8));  // Where its data lies.
    const std::string_view name = name_in(gguf_tensors, type);
    return census.add(name.empty() ? "other" : name, elements);
  }

  Source& source_;
  std::uint64_t file_bytes_ = 0;
  std::string architecture_;
  std::optional<std::uint64_t> file_type_;
  std::map<std::string, std::uint64_t> contexts_;
};

// ---- safetensors: the length of a JSON object, the object, the tensors' data without gaps.

struct Sized {
  std::string_view name;
  std::uint64_t bits = 0;
};
constexpr std::array<Sized, 21> safetensors_types{
    {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6},     {"F6_E3M2", 6},     {"U8", 8},   {"I8", 8},   {"F8_E5M2", 8},
     {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16}, {"U16", 16}, {"F16", 16},
     {"BF16", 16},   {"I32", 32},    {"U32", 32},        {"F32", 32},        {"C64", 64}, {"F64", 64}, {"I64", 64}}};

class SafetensorsReader {
 public:
  SafetensorsReader(Source& source, std::uint64_t header_bytes, std::uint64_t data_bytes)
      : source_(source), end_(8 + header_bytes), data_bytes_(data_bytes) {}

  Result<ModelHeader> read() {
    MESH_TRY(source_.skip(8));
    ModelHeader header{.format = ModelFormat::safetensors};
    MESH_TRY(read_object([&](const std::string& key) -> Status {
      return key == "__metadata__" ? read_metadata(header) : read_tensor();
    }));
    while (source_.at() < end_) {  // It may be padded with spaces.
      MESH_LET(const std::uint8_t next, source_.byte());
      if (next != ' ') return invalid("there is something behind the JSON of safetensors");
    }
    if (covered_ != data_bytes_) return invalid("the tensors do not fill the file");
    header.parameters = census_.total;
    header.quantisation = census_.most();
    return header;
  }

 private:
  Result<char> peek() {
    while (true) {
      if (source_.at() >= end_) return invalid("the JSON is cut off");
      MESH_LET(const std::uint8_t next, source_.peek());
      if (next != ' ' && next != '\n' && next != '\r' && next != '\t') return static_cast<char>(next);
      MESH_TRY(source_.skip(1));
    }
  }
  Result<char> take() {
    MESH_LET(const char next, peek());
    MESH_TRY(source_.skip(1));
    return next;
  }
  Status expect(char wanted) {
    MESH_LET(const char next, take());
    if (next == wanted) return {};
    return invalid(std::string("the JSON has no '") + wanted + "' where one belongs");
  }

  /// A string as it is written, escapes and all; those that are looked for have none.
  Result<std::string> read_text(bool keep) {
    MESH_TRY(expect('"'));
    std::string text;
    bool escaped = false;
    while (true) {
      if (source_.at() >= end_) return invalid("the JSON is cut off");
      MESH_LET(const std::uint8_t next, source_.byte());
      if (next < 0x20) return invalid("the JSON has a control character in a string");
      if (!escaped && next == '"') return text;
      escaped = !escaped && next == '\\';
      if (!keep) continue;
      if (text.size() >= max_key_bytes) return invalid("a name is too long");
      text.push_back(static_cast<char>(next));
    }
  }

  Result<std::uint64_t> read_number() {
    MESH_LET(const char first, take());
    if (first < '0' || first > '9') return invalid("the JSON has no whole number where one belongs");
    auto value = static_cast<std::uint64_t>(first - '0');
    while (source_.at() < end_) {
      MESH_LET(const std::uint8_t next, source_.peek());
      if (next < '0' || next > '9') break;
      if (value == 0) return invalid("the JSON has a number with a leading zero");
      MESH_LET(value, product_of(value, 10));
      MESH_LET(value, sum_of(value, std::uint64_t{next} - '0'));
      MESH_TRY(source_.skip(1));
    }
    return value;
  }

  /// { "key": what `member` reads, ... }
  Status read_object(const std::function<Status(const std::string&)>& member) {
    MESH_TRY(expect('{'));
    MESH_LET(const char first, peek());
    if (first == '}') return expect('}');
    while (true) {
      MESH_LET(const std::string key, read_text(true));
      MESH_TRY(expect(':'));
      MESH_TRY(member(key));
      MESH_LET(const char next, take());
      if (next == '}') return {};
      if (next != ',') return invalid("the JSON has no ',' between two members");
    }
  }

  Status read_numbers(const std::function<Status(std::uint64_t)>& element) {
    MESH_TRY(expect('['));
    MESH_LET(const char first, peek());
    if (first == ']') return expect(']');
    while (true) {
      MESH_LET(const std::uint64_t number, read_number());
      MESH_TRY(element(number));
      MESH_LET(const char next, take());
      if (next == ']') return {};
      if (next != ',') return invalid("the JSON has no ',' between two numbers");
    }
  }

  Status read_metadata(ModelHeader& header) {
    return read_object([&](const std::string& key) -> Status {
      const bool is_architecture_key = key == "modelspec.architecture";
      MESH_LET(const std::string value, read_text(is_architecture_key));
      if (!is_architecture_key) return {};
      if (!is_architecture(value)) return invalid("the architecture's name is not printable text");
      header.architecture = value;
      return {};
    });
  }

  Status read_tensor() {
    const Sized* type = nullptr;
    std::optional<std::uint64_t> elements;
    std::vector<std::uint64_t> offsets;
    MESH_TRY(read_object([&](const std::string& key) -> Status {
      if (key == "dtype" && type == nullptr) {
        MESH_LET(const std::string name, read_text(true));
        const auto found = std::ranges::find(safetensors_types, std::string_view(name), &Sized::name);
        if (found == safetensors_types.end())
          return fail(ErrorCode::unsupported, "model header: a tensor of unknown type");
        type = &*found;
        return {};
      }
      if (key == "shape" && !elements) {
        elements = 1;
        return read_numbers([&](std::uint64_t size) -> Status {
          MESH_LET(elements, product_of(*elements, size));
          return {};
        });
      }
      if (key == "data_offsets" && offsets.empty()) {
        return read_numbers([&](std::uint64_t offset) -> Status {
          if (offsets.size() == 2) return invalid("a tensor has more than two offsets");
          offsets.push_back(offset);
          return {};
        });
      }
      return invalid("a tensor has an unknown or repeated member");
    }));
    if (type == nullptr || !elements || offsets.size() != 2) return invalid("a tensor lacks its type, shape or place");
    if (offsets[0] > offsets[1] || offsets[1] > data_bytes_) return invalid("a tensor lies outside the file");
    MESH_LET(const std::uint64_t bits, product_of(*elements, type->bits));
    if (bits % 8 != 0 || bits / 8 != offsets[1] - offsets[0]) return invalid("a tensor's place is not of its size");
    MESH_LET(covered_, sum_of(covered_, bits / 8));
    return census_.add(type->name, *elements);
  }

  Source& source_;
  std::uint64_t end_ = 0;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t covered_ = 0;
  Census census_;
};

// ---- ONNX: a ModelProto.

constexpr std::array<Numbered, 23> onnx_types{
    {{1, "F32"},      {2, "U8"},           {3, "I8"},    {4, "U16"},   {5, "I16"},      {6, "I32"},
     {7, "I64"},      {8, "STRING"},       {9, "BOOL"},  {10, "F16"},  {11, "F64"},     {12, "U32"},
     {13, "U64"},     {14, "C64"},         {15, "C128"}, {16, "BF16"}, {17, "F8_E4M3"}, {18, "F8_E4M3FNUZ"},
     {19, "F8_E5M2"}, {20, "F8_E5M2FNUZ"}, {21, "U4"},   {22, "I4"},   {23, "F4"}}};

class OnnxReader {
 public:
  explicit OnnxReader(Source& source) : source_(source) {}

  /// nullopt if it is something else.
  Result<std::optional<ModelHeader>> read() {
    bool is_first = true;
    const std::uint64_t end = source_.rest();
    const Status done = read_fields(end, [&](const Field& field) -> Status {
      if (std::exchange(is_first, false) &&
          (field.number != 1 || field.wire != 0 || field.value == 0 || field.value > 255))
        return invalid("it does not begin with a version of ONNX");
      if (field.number > 26) return invalid("it has a field that no model has");
      if (field.number != 7) return {};
      if (field.wire != 2 || graphs_++ > 0) return invalid("it has not one graph");
      return read_fields(field.end, [this](const Field& part) -> Status {
        if (part.number == 5 && part.wire == 2) return read_tensor(part.end);
        return {};
      });
    });
    if (!done && (graphs_ > 0 || done.error().code != ErrorCode::invalid)) return std::unexpected(done.error());
    if (graphs_ == 0) return std::nullopt;
    return ModelHeader{.format = ModelFormat::onnx,
                       .architecture = {},
                       .parameters = census_.total,
                       .quantisation = census_.most(),
                       .context_tokens = {}};
  }

 private:
  struct Field {
    std::uint64_t number = 0;
    unsigned wire = 0;
    std::uint64_t value = 0;  ///< of a varint
    std::uint64_t end = 0;    ///< of the field's bytes: where the next one begins
  };

  Result<std::uint64_t> read_varint(std::uint64_t end) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (source_.at() >= end) return invalid("a number is cut off");
      MESH_LET(const std::uint8_t next, source_.byte());
      if (shift == 63 && next > 1) break;
      value |= std::uint64_t{next & 0x7fU} << shift;
      if (next < 0x80) return value;
    }
    return invalid("a number is too large");
  }

  /// Calls `visit` for every field up to `end`; what it leaves of a field's bytes is skipped.
  Status read_fields(std::uint64_t end, const std::function<Status(const Field&)>& visit) {
    while (source_.at() < end) {
      MESH_LET(const std::uint64_t key, read_varint(end));
      Field field{.number = key >> 3, .wire = static_cast<unsigned>(key & 7)};
      std::uint64_t bytes = 0;
      if (field.wire == 0) {
        MESH_LET(field.value, read_varint(end));
      } else if (field.wire == 1 || field.wire == 5) {
        bytes = field.wire == 1 ? 8 : 4;
      } else if (field.wire == 2) {
        MESH_LET(bytes, read_varint(end));
      } else {
        return invalid("a field of unknown kind");
      }
      if (field.number == 0 || bytes > end - source_.at()) return invalid("a field goes past its end");
      field.end = source_.at() + bytes;
      MESH_TRY(visit(field));
      MESH_TRY(source_.skip(field.end - source_.at()));
    }
    return {};
  }

  Status read_tensor(std::uint64_t end) {
    std::uint64_t elements = 1;
    std::uint64_t type = 0;
    MESH_TRY(read_fields(end, [&](const Field& field) -> Status {
      if (field.number == 1 && field.wire == 0) {
        MESH_LET(elements, product_of(elements, field.value));
      } else if (field.number == 1 && field.wire == 2) {
        while (source_.at() < field.end) {
          MESH_LET(const std::uint64_t size, read_varint(field.end));
          MESH_LET(elements, product_of(elements, size));
        }
      } else if (field.number == 2 && field.wire == 0) {
        type = field.value;
      }
      return {};
    }));
    const std::string_view name = name_in(onnx_types, type);
    if (name.empty()) return fail(ErrorCode::unsupported, "model header: a tensor of unknown type");
    return census_.add(name, elements);
  }

  Source& source_;
  unsigned graphs_ = 0;
  Census census_;
};

}  // namespace

std::span<const std::string_view> enum_names(ModelFormat) {
  static constexpr std::array<std::string_view, 3> names{"gguf", "safetensors", "onnx"};
  return names;
}

bool is_model_name(std::string_view path) {
  return std::ranges::any_of(enum_names(ModelFormat()), [&](std::string_view name) {
    return path.size() > name.size() && path.ends_with(name) && path[path.size() - name.size() - 1] == '.';
  });
}

Status check_model_header(const ModelHeader& header) {
  const auto is_text = [](std::string_view text) {
    return text.size() <= max_architecture_bytes &&
           std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  };
  if (!is_text(header.architecture) || !is_text(header.quantisation))
    return invalid("its texts have at most 64 printable characters");
  if (header.parameters > max_count || header.context_tokens.value_or(0) > max_count)
    return invalid("its numbers are below 2^63");
  return {};
}

Result<std::optional<ModelHeader>> read_model_header(std::uint64_t file_bytes, const HeaderReader& read) {
  if (file_bytes < 10 || file_bytes > max_count) return std::nullopt;
  Source source(file_bytes, read);
  MESH_LET(const std::uint64_t first, source.little_endian(8));
  MESH_LET(const std::uint8_t ninth, source.byte());
  Source again(file_bytes, read);
  if ((first & 0xffffffff) == 0x46554747) return GgufReader(again, file_bytes).read();
  if (ninth == '{' && first >= 2 && first <= file_bytes - 8)
    return SafetensorsReader(again, first, file_bytes - 8 - first).read();
  if ((first & 0xff) == 0x08) return OnnxReader(again).read();
  return std::nullopt;
}

}  // namespace mesh::asset
