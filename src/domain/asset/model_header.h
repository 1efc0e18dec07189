// What a model file says of itself: architecture, parameters, quantisation, context, read from the headers of GGUF 2 and 3
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), safetensors
// (https://github.com/huggingface/safetensors#format) and ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
// Tensors are skipped, never read.
//
// Bounds: 64 MiB are read at most, in windows of 4 KiB; names have at most 1,024 bytes (longer GGUF keys and values, up to
// the end of the file, are skipped); arrays nest four deep. Memory does not grow with what the file claims.
// What can go wrong: a file that begins as a model and contradicts itself (invalid), needs more than is read (exhausted) or
// is of another version or type (unsupported); the reader's own errors. Another kind of file is no error.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::asset {

inline constexpr std::uint64_t max_model_header_bytes = std::uint64_t{64} << 20;

enum class ModelFormat : std::uint8_t { gguf, safetensors, onnx };
[[nodiscard]] std::span<const std::string_view> enum_names(ModelFormat);

struct ModelHeader {
  ModelFormat format = ModelFormat::gguf;
  std::string architecture;  ///< "llama"; 1 to 64 printable ASCII characters, or empty if the file does not say
  std::uint64_t parameters = 0;  ///< elements of all tensors
  std::string quantisation;  ///< GGUF: "Q4_K_M", "F16"; else what most elements are of: "BF16"; empty without tensors
  std::optional<std::uint64_t> context_tokens;  ///< GGUF alone says it

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("format", self.format);
    v("architecture", self.architecture);
    v("parameters", self.parameters);
    v("quantisation", self.quantisation);
    v("context", self.context_tokens);
  }
  bool operator==(const ModelHeader&) const = default;
};

/// Reads `size` bytes at `offset`, which lie inside the file. Fewer are an error of the file (it shrank meanwhile).
using HeaderReader = std::function<Result<Bytes>(std::uint64_t offset, std::size_t size)>;

/// The header of a file of `file_bytes` bytes; nullopt if it is none of these formats. ONNX has no mark to know it by: what
/// does not read as one up to its graph is another kind of file.
[[nodiscard]] Result<std::optional<ModelHeader>> read_model_header(std::uint64_t file_bytes, const HeaderReader& read);

/// Whether a file of this name is read for a header: one that ends with .gguf, .safetensors or .onnx.
[[nodiscard]] bool is_model_name(std::string_view path);
/// Whether somebody else's header is one that a file can have: texts of at most 64 printable ASCII characters, numbers
/// below 2^63. The error says what is not.
[[nodiscard]] Status check_model_header(const ModelHeader& header);

}  // namespace mesh::asset
