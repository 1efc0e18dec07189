#include "app/api/task_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "codec/multibase.h"

namespace mesh::app {
namespace {

constexpr std::size_t max_inputs = task::max_shards;

Result<FunctionRequest> parse_function(const nlohmann::json& json, const std::string& where) {
  FunctionRequest request;
  if (json.is_string()) {
    auto cid = Cid::from_text(json.get_ref<const std::string&>());
    if (!cid) return fail(ErrorCode::invalid, fmt::format("{}: {}", where, cid.error().message));
    request.what = FunctionRequest::ByCid{*cid};
    return request;
  }
  if (!json.is_object()) {
    return fail(ErrorCode::invalid,
                where + " must be a CID, {\"language\", \"source\"} or {\"cid\", \"language\", \"script\"}");
  }
  JsonFields fields(json, where);
  std::string language, cid_text, script, source, base64;
  MESH_TRY(fields.read("language", language, 32));
  MESH_TRY(fields.read("cid", cid_text, 128));
  MESH_TRY(fields.read("script", script, 1024));
  const bool has_source = fields.find("source") != nullptr;
  const bool has_base64 = fields.find("source_base64") != nullptr;
  MESH_TRY(fields.read("source", source, std::size_t{64} << 20));
  MESH_TRY(fields.read("source_base64", base64, std::size_t{90} << 20));
  MESH_TRY(fields.read("args", request.args, 256, 64 << 10));
  MESH_TRY(fields.finish());
  if (language.empty())
    return fail(ErrorCode::invalid, where + ": language is missing: python, javascript, ruby, php, wasm or wat");
  if (!cid_text.empty()) {
    if (has_source || has_base64) return fail(ErrorCode::invalid, where + " has both cid and source: give one of them");
    auto cid = Cid::from_text(cid_text);
    if (!cid) return fail(ErrorCode::invalid, fmt::format("{}.cid: {}", where, cid.error().message));
    request.what = Program{.language = language,
                           .runtime_note = {},
                           .content = *cid,
                           .script = script,
                           .files = 0,
                           .bytes = 0,
                           .left_out = {},
                           .description = script.empty() ? language : script};
    return request;
  }
  if (has_source == has_base64)
    return fail(ErrorCode::invalid, where + " needs one of source (text), source_base64 and cid");
  if (!script.empty()) return fail(ErrorCode::invalid, where + ".script goes with cid, not with source");
  Bytes bytes = to_bytes(source);
  if (has_base64) {
    MESH_LET(bytes, decode_base64(base64));
  }
  request.what = FunctionRequest::Source{.language = language, .source = std::move(bytes)};
  return request;
}

}  // namespace

Result<Bytes> decode_base64(std::string_view text) {
  std::string normal = "m";
  normal += text;
  while (normal.size() > 1 && normal.back() == '=') normal.pop_back();
  std::ranges::replace(normal, '-', '+');
  std::ranges::replace(normal, '_', '/');
  auto bytes = multibase_decode(normal);
  if (!bytes) return fail(ErrorCode::invalid, "not base64: use the alphabet of RFC 4648");
  return bytes;
}

Result<nlohmann::json> parse_json(ByteView body) {
  constexpr int max_depth = 64;
  bool too_deep = false;
  const auto on_event = [&too_deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > max_depth) too_deep = true;
    return depth <= max_depth;
  };
  const std::string_view text = as_text(body);
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), on_event, false);
  if (too_deep) return fail(ErrorCode::invalid, "the JSON is nested more than 64 levels deep");
  if (json.is_discarded()) return fail(ErrorCode::invalid, "the body is not JSON");
  if (!json.is_object()) return fail(ErrorCode::invalid, "the body must be a JSON object");
  return json;
}

const nlohmann::json* JsonFields::find(std::string_view name) {
  seen_.emplace_back(name);
  const auto found = object_.find(name);
  return found == object_.end() ? nullptr : &*found;
}

Status JsonFields::read(std::string_view name, std::uint64_t& value, std::uint64_t maximum) {
  const nlohmann::json* field = find(name);
  if (field == nullptr) return {};
  if (!field->is_number_unsigned() || field->get<std::uint64_t>() > maximum) {
    return fail(ErrorCode::invalid, fmt::format("{}.{} must be an integer from 0 to {}", where_, name, maximum));
  }
  value = field->get<std::uint64_t>();
  return {};
}

Status JsonFields::read(std::string_view name, std::uint32_t& value) {
  std::uint64_t wide = value;
  MESH_TRY(read(name, wide, UINT32_MAX));
  value = static_cast<std::uint32_t>(wide);
  return {};
}

Status JsonFields::read(std::string_view name, std::string& value, std::size_t max_bytes) {
  const nlohmann::json* field = find(name);
  if (field == nullptr) return {};
  if (!field->is_string() || field->get_ref<const std::string&>().size() > max_bytes) {
    return fail(ErrorCode::invalid, fmt::format("{}.{} must be text of at most {} bytes", where_, name, max_bytes));
  }
  value = field->get<std::string>();
  return {};
}

Status JsonFields::read(std::string_view name, bool& value) {
  const nlohmann::json* field = find(name);
  if (field == nullptr) return {};
  if (!field->is_boolean()) return fail(ErrorCode::invalid, fmt::format("{}.{} must be true or false", where_, name));
  value = field->get<bool>();
  return {};
}

Status JsonFields::read(std::string_view name, std::vector<std::string>& value, std::size_t max_items,
                        std::size_t max_bytes) {
  const nlohmann::json* field = find(name);
  if (field == nullptr) return {};
  const auto is_text = [](const nlohmann::json& item) { return item.is_string(); };
  std::size_t bytes = 0;
  if (field->is_array() && field->size() <= max_items && std::ranges::all_of(*field, is_text)) {
    value.clear();
    for (const nlohmann::json& item : *field) {
      value.push_back(item.get<std::string>());
      bytes += value.back().size();
    }
    if (bytes <= max_bytes) return {};
  }
  return fail(ErrorCode::invalid, fmt::format("{}.{} must be a list of at most {} texts, {} bytes together", where_,
                                              name, max_items, max_bytes));
}

Status JsonFields::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (std::ranges::find(seen_, name) == seen_.end())
      return fail(ErrorCode::invalid,
                  fmt::format("{}: there is no field \"{}\"; see /openapi.json", where_, name.substr(0, 64)));
  }
  return {};
}

Result<TaskRequest> parse_task_request(ByteView body) {
  MESH_LET(const nlohmann::json json, parse_json(body));
  TaskRequest request;
  JsonFields fields(json, "task");
  const nlohmann::json* function = fields.find("function");
  if (function == nullptr)
    return fail(ErrorCode::invalid, "task.function is missing: a CID, or {\"language\", \"source\"}");
  MESH_LET(request.function, parse_function(*function, "task.function"));
  if (const nlohmann::json* reduce = fields.find("reduce"); reduce != nullptr && !reduce->is_null()) {
    MESH_LET(request.reduce, parse_function(*reduce, "task.reduce"));
  }
  if (const nlohmann::json* inputs = fields.find("inputs")) {
    if (!inputs->is_array() || inputs->size() > max_inputs) {
      return fail(ErrorCode::invalid, fmt::format("task.inputs must be a list of at most {} inputs", max_inputs));
    }
    for (std::size_t i = 0; i < inputs->size(); ++i) {
      const nlohmann::json& input = (*inputs)[i];
      const std::string where = fmt::format("task.inputs[{}]", i);
      if (input.is_string()) {
        auto cid = Cid::from_text(input.get_ref<const std::string&>());
        if (!cid) return fail(ErrorCode::invalid, fmt::format("{}: {}", where, cid.error().message));
        request.inputs.emplace_back(*cid);
        continue;
      }
      if (!input.is_object() || input.size() != 1)
        return fail(ErrorCode::invalid, where + " must be a CID, {\"text\"} or {\"base64\"}");
      JsonFields one(input, where);
      std::string text, base64;
      const bool has_text = one.find("text") != nullptr;
      MESH_TRY(one.read("text", text, std::size_t{64} << 20));
      MESH_TRY(one.read("base64", base64, std::size_t{90} << 20));
      MESH_TRY(one.finish());
      if (has_text) {
        request.inputs.emplace_back(to_bytes(text));
      } else {
        auto bytes = decode_base64(base64);
        if (!bytes) return wrap(where, bytes.error());
        request.inputs.emplace_back(std::move(*bytes));
      }
    }
  }
  MESH_TRY(fields.read("map", request.map));
  MESH_TRY(fields.read("dry_run", request.dry_run));
  bool sealed = false;
  MESH_TRY(fields.read("sealed", sealed));
  if (sealed) request.spec.sealed = true;
  node::JobSpec& spec = request.spec;
  MESH_TRY(fields.read("fee", spec.fee, INT64_MAX));
  if (const nlohmann::json* verifiers = fields.find("verifiers"); verifiers != nullptr && !verifiers->is_null()) {
    std::uint64_t wanted = 0;
    MESH_TRY(fields.read("verifiers", wanted, 63));
    spec.verifiers = static_cast<std::uint32_t>(wanted);
  }
  MESH_TRY(fields.read("value", spec.value, INT64_MAX));
  std::uint64_t sample = spec.sample;
  MESH_TRY(fields.read("sample_per_mille", sample, task::TaskIntent::everything));
  spec.sample = static_cast<std::uint32_t>(sample);
  MESH_TRY(fields.read("fuel", spec.scope.fuel, INT64_MAX));
  MESH_TRY(fields.read("memory_mb", spec.scope.memory_mb, UINT32_MAX));
  MESH_TRY(fields.read("io_mb", spec.scope.io_mb, UINT32_MAX));
  MESH_TRY(fields.read("gpu_flops", spec.scope.gpu_flops, INT64_MAX));
  MESH_TRY(fields.read("bid_window_ms", spec.bid_window_ms));
  MESH_TRY(fields.read("label", spec.label, 128));
  if (const nlohmann::json* limits = fields.find("limits")) {
    if (!limits->is_object()) return fail(ErrorCode::invalid, "task.limits must be an object of milliseconds by phase");
    JsonFields phases(*limits, "task.limits");
    MESH_TRY(phases.read("fetch_ms", spec.limits.fetch_ms));
    MESH_TRY(phases.read("run_ms", spec.limits.run_ms));
    MESH_TRY(phases.read("nonce_ms", spec.limits.nonce_ms));
    MESH_TRY(phases.read("reveal_ms", spec.limits.reveal_ms));
    MESH_TRY(phases.read("total_ms", spec.limits.total_ms));
    MESH_TRY(phases.finish());
  }
  MESH_TRY(fields.finish());
  if (!request.map && request.inputs.size() > 1) {
    return fail(
        ErrorCode::invalid,
        fmt::format("task.inputs has {} inputs: set \"map\" to run the function once for each", request.inputs.size()));
  }
  if (request.map && request.inputs.empty()) return fail(ErrorCode::invalid, "task.map needs inputs: one for each run");
  return request;
}

}  // namespace mesh::app
