#include "app/config/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/check.h"

namespace mesh::config {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t max_file_bytes = std::size_t{1} << 20;
constexpr std::size_t max_value_bytes = 4096;
constexpr std::size_t max_items = 256;

constexpr std::array table{
    SettingSpec{"home", SettingType::path, "", "DIR", "keep everything in this folder instead of XDG's folders"},
    SettingSpec{"listen", SettingType::list, "/ip4/0.0.0.0/tcp/0,/ip4/0.0.0.0/udp/0/quic-v1,/ip4/0.0.0.0/tcp/0/ws",
                "MULTIADDR", "address to listen on for peers (repeatable)"},
    SettingSpec{"api", SettingType::text, "127.0.0.1:6374", "ADDR:PORT",
                "address of the HTTP API and dashboard; port 0 takes any free one"},
    SettingSpec{
        "join", SettingType::list, "", "TOKEN|lan|MULTIADDR",
        "token of a federation to come into, lan for the one with open enrolment on the local network, or peer to "
        "connect to at start, /ip4/.../p2p/ID (repeatable)"},
    SettingSpec{"no-mdns", SettingType::flag, "false", "", "do not look for peers on the local network"},
    SettingSpec{"relay", SettingType::choice, "auto", "WHEN",
                "carry connections for peers behind NATs: auto (while this node can be dialed), on or off", 0, 0,
                "auto,on,off"},
    SettingSpec{"federation", SettingType::text, "local", "NAME", "federation whose members this node works with"},
    SettingSpec{"slots", SettingType::count, "0", "N", "runs at a time; 0 is one per core", 0, 1024},
    SettingSpec{"memory", SettingType::count, "0", "MB",
                "MiB that one task may have; 0 is decided by this machine's memory", 0, 1 << 20},
    SettingSpec{"no-work", SettingType::flag, "false", "", "neither run nor verify tasks of others"},
    SettingSpec{"pricing-per-gfuel", SettingType::count, "0", "MICRO",
                "micro-credits for 10^9 fuel of tasks that have a fee; 0, and no minimum, takes any fee", 0,
                1'000'000'000'000},
    SettingSpec{"pricing-minimum", SettingType::count, "0", "MICRO", "micro-credits for a shard at least", 0,
                1'000'000'000'000},
    SettingSpec{"pricing-idle-discount", SettingType::count, "0", "PERCENT",
                "percent off the price while this node is idle", 0, 100},
    SettingSpec{"pricing-ceiling", SettingType::count, "300", "PERCENT",
                "percent of the price that demand may drive it to", 100, 10'000},
    SettingSpec{"owner", SettingType::text, "", "DID", "did of this node's owner; empty is the node itself"},
    SettingSpec{"share", SettingType::shares, "", "DIR",
                "folder whose files peers on the local network may fetch (repeatable)"},
    SettingSpec{"fetched-gib", SettingType::count, "0", "GIB",
                "GiB that fetched files may take; past it those used least recently go; 0 is no bound", 0, 1 << 20},
    SettingSpec{"upload-mbit", SettingType::count, "0", "MBIT",
                "Mbit/s at which content goes to peers, all together; 0 is no bound", 0, 1 << 20},
    SettingSpec{"download-mbit", SettingType::count, "0", "MBIT",
                "Mbit/s at which content comes from peers, all together; 0 is no bound", 0, 1 << 20},
    SettingSpec{"upload-per-peer-mbit", SettingType::count, "0", "MBIT", "the same to each peer; 0 is no bound", 0,
                1 << 20},
    SettingSpec{"download-per-peer-mbit", SettingType::count, "0", "MBIT", "the same from each peer; 0 is no bound", 0,
                1 << 20},
    SettingSpec{"zephymesh", SettingType::flag, "false", "",
                "stand in for ZephyMesh's node: its ports, its routes, its protocols, the working folder's assets"},
    SettingSpec{"cache", SettingType::path, "", "DIR", "folder for compiled code and fetched language runtimes"},
    SettingSpec{"runtimes-dir", SettingType::path, "", "DIR",
                "folder with the language runtimes and their catalogue.json"},
    SettingSpec{"max-body", SettingType::count, "64", "MB", "MiB of the largest request that the API takes", 1, 4096},
    SettingSpec{"log-level", SettingType::choice, "info", "LEVEL",
                "what is logged on stderr: trace, debug, info, warn, error or off", 0, 0,
                "trace,debug,info,warn,error,off"},
    SettingSpec{"log-json", SettingType::flag, "false", "", "log one JSON object a line"},
};

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (!item.empty()) items.emplace_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return items;
}

std::optional<bool> parse_flag(std::string_view text) {
  if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "0" || text == "no" || text == "off") return false;
  return std::nullopt;
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

using Variable = std::function<std::optional<std::string>(const std::string&)>;

fs::path user_home(const Variable& variable) {
  const auto home = variable("HOME");
  return home && !home->empty() ? fs::path(*home) : fs::path("/");
}

/// Checks one value by its row and gives its normal form.
Result<std::string> normalise(const SettingSpec& spec, std::string_view text, std::string_view origin,
                              const Variable& variable) {
  if (text.size() > max_value_bytes || text.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::invalid, fmt::format("{}: the value of {} must be text of at most {} bytes", origin,
                                                spec.name, max_value_bytes));
  }
  switch (spec.type) {
    case SettingType::flag: {
      const auto value = parse_flag(text);
      if (!value)
        return fail(ErrorCode::invalid,
                    fmt::format("{}: {} must be true or false, not \"{}\"", origin, spec.name, text));
      return std::string(*value ? "true" : "false");
    }
    case SettingType::count: {
      const auto value = parse_count(text);
      if (!value || *value < spec.minimum || *value > spec.maximum) {
        return fail(ErrorCode::invalid, fmt::format("{}: {} must be a number from {} to {}, not \"{}\"", origin,
                                                    spec.name, spec.minimum, spec.maximum, text));
      }
      return std::to_string(*value);
    }
    case SettingType::choice: {
      const auto choices = split(spec.choices);
      if (std::ranges::find(choices, text) == choices.end()) {
        return fail(ErrorCode::invalid, fmt::format("{}: {} must be one of {}, not \"{}\"", origin, spec.name,
                                                    fmt::join(choices, ", "), text));
      }
      return std::string(text);
    }
    case SettingType::shares:
    case SettingType::path: {
      if (text.empty()) return std::string();
      fs::path path(text);
      if (text == "~") path = user_home(variable);
      if (text.starts_with("~/")) path = user_home(variable) / text.substr(2);
      std::error_code error;
      path = fs::absolute(path, error);
      if (error)
        return fail(ErrorCode::invalid,
                    fmt::format("{}: {} \"{}\" is no path: {}", origin, spec.name, text, error.message()));
      path = path.lexically_normal();
      if (!path.has_filename() && path.has_parent_path() && path != path.root_path()) path = path.parent_path();
      return path.string();
    }
    case SettingType::text:
    case SettingType::list:
      return std::string(text);
  }
  return fail(ErrorCode::internal, "a setting of a type that is not known");
}

/// "/home/ann/My Models" -> "my-models".
std::string name_of_folder(const std::string& folder) {
  std::string name = fs::path(folder).filename().string();
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    if (!allowed) c = '-';
  }
  name = name.substr(0, 64);
  return name.empty() ? "share" : name;
}

Result<Value> value_of(const SettingSpec& spec, const std::vector<std::string>& texts, std::string origin,
                       const Variable& variable) {
  Value value{.items = {}, .origin = std::move(origin)};
  if (!is_list(spec.type) && texts.size() != 1) {
    return fail(ErrorCode::invalid, fmt::format("{}: {} takes one value", value.origin, spec.name));
  }
  if (texts.size() > max_items)
    return fail(ErrorCode::invalid, fmt::format("{}: {} takes at most {} values", value.origin, spec.name, max_items));
  for (const std::string& text : texts) {
    MESH_LET(std::string normal, normalise(spec, text, value.origin, variable));
    if (spec.type == SettingType::shares) value.shares.push_back({.folder = normal, .name = name_of_folder(normal)});
    value.items.push_back(std::move(normal));
  }
  return value;
}

/// [[share]] tables.
Result<Value> shares_of(const SettingSpec& spec, const toml::array& tables, const std::string& file,
                        const std::string& origin, const Variable& variable) {
  Value value{.items = {}, .origin = origin, .shares = {}};
  for (const toml::node& item : tables) {
    const toml::table* const table_node = item.as_table();
    const std::string place = fmt::format("{}:{}", file, item.source().begin.line);
    if (table_node == nullptr)
      return fail(ErrorCode::invalid,
                  fmt::format("{}: share must be folders in quotes, or [[share]] tables alone", place));
    ShareSetting share;
    for (const auto& [key, node] : *table_node) {
      const std::string_view name = key.str();
      const bool is_patterns = name == "include" || name == "exclude";
      if (!is_patterns && name != "path" && name != "name" && name != "visibility") {
        return fail(ErrorCode::invalid,
                    fmt::format("{}: a share has no \"{}\"; it has path, name, visibility, include and "
                                "exclude",
                                place, name));
      }
      const toml::array* const list = node.as_array();
      if (is_patterns && list != nullptr) {
        for (const toml::node& pattern : *list) {
          if (!pattern.is_string())
            return fail(ErrorCode::invalid, fmt::format("{}: {} must be a list of texts in quotes", place, name));
          (name == "include" ? share.include : share.exclude).push_back(pattern.as_string()->get());
        }
        continue;
      }
      if (is_patterns || !node.is_string())
        return fail(ErrorCode::invalid,
                    fmt::format("{}: {} must be {}", place, name, is_patterns ? "a list of texts" : "text in quotes"));
      const std::string& text = node.as_string()->get();
      if (name == "path") {
        MESH_LET(share.folder, normalise(spec, text, place, variable));
      } else {
        (name == "name" ? share.name : share.visibility) = text;
      }
    }
    if (share.folder.empty()) return fail(ErrorCode::invalid, fmt::format("{}: a share needs a path", place));
    if (share.visibility != "lan" && share.visibility != "federation" && share.visibility != "everybody") {
      return fail(
          ErrorCode::invalid,
          fmt::format("{}: visibility must be one of lan, federation, everybody, not \"{}\"", place, share.visibility));
    }
    if (share.name.empty()) share.name = name_of_folder(share.folder);
    value.items.push_back(share.folder);
    value.shares.push_back(std::move(share));
  }
  if (value.shares.size() > max_items)
    return fail(ErrorCode::invalid, fmt::format("{}: there are at most {} shares", origin, max_items));
  return value;
}

std::string known_names() {
  std::vector<std::string_view> names;
  for (const SettingSpec& spec : table) names.push_back(spec.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

using Layer = std::map<std::string, Value, std::less<>>;

Result<Layer> read_file(const fs::path& path, bool required, const Variable& variable) {
  std::error_code error;
  const bool exists = fs::exists(path, error);
  if (!exists && !required && !error) return Layer{};
  std::ifstream stream(path, std::ios::binary);
  if (!exists || !stream || fs::is_directory(path, error)) {
    // A user who may not look into /etc/meshwork is not meant to have it.
    if (!required && !exists) return Layer{};
    return fail(
        exists ? ErrorCode::denied : ErrorCode::not_found,
        fmt::format("the configuration file {} cannot be read: name one that exists and is readable with --config",
                    path.string()));
  }
  std::string content(max_file_bytes + 1, '\0');
  stream.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(stream.gcount()));
  if (content.size() > max_file_bytes)
    return fail(ErrorCode::invalid, fmt::format("the configuration file {} is larger than 1 MiB", path.string()));

  toml::table document;
  try {
    document = toml::parse(content, path.string());
  } catch (const toml::parse_error& problem) {
    return fail(ErrorCode::invalid,
                fmt::format("{}:{}: not TOML: {}", path.string(), problem.source().begin.line, problem.description()));
  }

  // [pricing] holds the settings pricing-KEY.
  std::vector<std::pair<std::string, const toml::node*>> entries;
  for (const auto& [key, node] : document) {
    const std::string name(key.str());
    const toml::table* const group = name == "pricing" ? node.as_table() : nullptr;
    if (group == nullptr) {
      entries.emplace_back(name, &node);
      continue;
    }
    for (const auto& [inner, value] : *group) entries.emplace_back(name + "-" + std::string(inner.str()), &value);
  }

  Layer layer;
  for (const auto& [name, entry] : entries) {
    const toml::node& node = *entry;
    const std::string origin = fmt::format("{}:{}", path.string(), node.source().begin.line);
    const SettingSpec* spec = find_setting(name);
    if (spec == nullptr)
      return fail(ErrorCode::invalid,
                  fmt::format("{}: there is no setting \"{}\"; there are {}", origin, name, known_names()));
    std::vector<std::string> texts;
    const auto text_of = [](const toml::node& value) -> std::optional<std::string> {
      if (const auto* text = value.as_string()) return text->get();
      if (const auto* number = value.as_integer()) return std::to_string(number->get());
      if (const auto* flag = value.as_boolean()) return flag->get() ? "true" : "false";
      return std::nullopt;
    };
    if (const toml::array* items = node.as_array();
        items != nullptr && spec->type == SettingType::shares && !items->empty() && items->get(0)->is_table()) {
      MESH_LET(Value value, shares_of(*spec, *items, path.string(), origin, variable));
      layer.emplace(name, std::move(value));
      continue;
    }
    if (const toml::array* items = node.as_array(); items != nullptr && is_list(spec->type)) {
      for (const toml::node& item : *items) {
        if (!item.is_string())
          return fail(ErrorCode::invalid, fmt::format("{}: {} must be a list of texts in quotes", origin, name));
        texts.push_back(item.as_string()->get());
      }
    } else if (const auto text = text_of(node)) {
      texts.push_back(*text);
    } else {
      return fail(ErrorCode::invalid, fmt::format("{}: {} must be a {}", origin, name,
                                                  is_list(spec->type) ? "list of texts" : "single value"));
    }
    MESH_LET(Value value, value_of(*spec, texts, origin, variable));
    if (!layer.emplace(name, std::move(value)).second)
      return fail(ErrorCode::invalid, fmt::format("{}: {} is there twice", origin, name));
  }
  return layer;
}

fs::path xdg_folder(const Variable& variable, const std::string& name, std::string_view fallback) {
  // An XDG variable that is not absolute must be ignored (XDG Base Directory Specification 0.8).
  if (const auto value = variable(name); value && value->starts_with('/')) return fs::path(*value) / "meshwork";
  return user_home(variable) / fallback / "meshwork";
}

}  // namespace

bool is_list(SettingType type) { return type == SettingType::list || type == SettingType::shares; }

std::span<const SettingSpec> setting_table() { return table; }

const SettingSpec* find_setting(std::string_view name) {
  const auto found = std::ranges::find(table, name, &SettingSpec::name);
  return found == table.end() ? nullptr : &*found;
}

std::string variable_of(std::string_view name) {
  std::string result = "MESH_";
  for (const char c : name) result += c == '-' ? '_' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return result;
}

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

Result<Settings> Settings::load(const Sources& sources) {
  const Variable variable = sources.variable ? sources.variable : Variable(environment_variable);
  Layer strong;  // Flags, -c and the environment.
  for (const auto& [name, texts] : sources.flags) {
    const SettingSpec* spec = find_setting(name);
    MESH_CHECK(spec != nullptr, "config.flag-without-setting");
    MESH_LET(Value value, value_of(*spec, texts, "flag --" + name, variable));
    strong.insert_or_assign(name, std::move(value));
  }
  Layer assigned;
  for (const std::string& assignment : sources.assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(ErrorCode::invalid, fmt::format("-c {}: write it as key=value", assignment));
    }
    const std::string name = assignment.substr(0, equals);
    const SettingSpec* spec = find_setting(name);
    if (spec == nullptr)
      return fail(ErrorCode::invalid,
                  fmt::format("-c {}: there is no setting \"{}\"; there are {}", assignment, name, known_names()));
    const std::string text = assignment.substr(equals + 1);
    MESH_LET(Value value,
             value_of(*spec, is_list(spec->type) ? split(text) : std::vector{text}, "-c " + name, variable));
    assigned.insert_or_assign(name, std::move(value));
  }
  strong.merge(assigned);  // What is there already stays.
  for (const SettingSpec& spec : table) {
    const std::string name = variable_of(spec.name);
    const auto text = variable(name);
    if (!text || text->empty()) continue;
    MESH_LET(Value value, value_of(spec, is_list(spec.type) ? split(*text) : std::vector{*text}, name, variable));
    strong.emplace(std::string(spec.name), std::move(value));
  }
  if (sources.file) {
    MESH_LET(Layer layer, read_file(*sources.file, true, variable));
    strong.merge(layer);
  }

  Settings settings;
  // The user's file lies in the home that stronger origins name.
  const auto named_home = strong.find("home");
  const bool has_home = named_home != strong.end() && !named_home->second.items.front().empty();
  settings.paths_.user_file =
      (has_home ? fs::path(named_home->second.items.front()) : xdg_folder(variable, "XDG_CONFIG_HOME", ".config")) /
      "config.toml";
  for (const fs::path& path : {settings.paths_.user_file, sources.system_file}) {
    MESH_LET(Layer layer, read_file(path, false, variable));
    strong.merge(layer);
  }
  for (const SettingSpec& spec : table) {
    if (strong.contains(spec.name)) continue;
    Value value{.items = is_list(spec.type) ? split(spec.fallback) : std::vector{std::string(spec.fallback)},
                .origin = "default"};
    strong.emplace(std::string(spec.name), std::move(value));
  }
  settings.values_ = std::move(strong);

  const std::string& home = settings.text("home");
  const std::string& cache = settings.text("cache");
  settings.paths_.home = home.empty() ? xdg_folder(variable, "XDG_DATA_HOME", ".local/share") : fs::path(home);
  settings.paths_.cache = !cache.empty() ? fs::path(cache)
                          : home.empty() ? xdg_folder(variable, "XDG_CACHE_HOME", ".cache")
                                         : fs::path(home) / "cache";
  settings.paths_.key_file = settings.paths_.home / "node.key";
  settings.paths_.api_file = settings.paths_.home / "api.json";
  settings.paths_.token_file = settings.paths_.home / "api.token";
  return settings;
}

const Value& Settings::value(std::string_view name) const {
  const auto found = values_.find(name);
  MESH_CHECK(found != values_.end(), "config.unknown-setting");
  return found->second;
}
const std::string& Settings::text(std::string_view name) const { return value(name).items.front(); }
bool Settings::flag(std::string_view name) const { return text(name) == "true"; }
std::uint64_t Settings::count(std::string_view name) const { return parse_count(text(name)).value_or(0); }
const std::vector<std::string>& Settings::list(std::string_view name) const { return value(name).items; }
bool Settings::is_set(std::string_view name) const { return value(name).origin != "default"; }

}  // namespace mesh::config
