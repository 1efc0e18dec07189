// Settings: one table says every setting's name, type, default and meaning; flags, `-c key=value`, MESH_* variables,
// configuration files (TOML) and `mesh config list` are all read from it, so none of them can know a setting that the others lack.
//
// Precedence: flag > -c > MESH_* > --config FILE > user file > /etc > default. Each value remembers its origin. A list is
// replaced as a whole, never joined across origins.
// Bounds: files of 1 MiB, values of 4 KiB, lists of 256. What can go wrong: an unknown key, a bad value, an unreadable or
// malformed file; the error is one sentence that names the place and what would be right.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace mesh::config {

enum class SettingType : std::uint8_t {
  text,
  path,  ///< "~/" at the beginning is the home folder of the user; made absolute
  flag,  ///< true, false, 1, 0, yes, no, on, off
  count,  ///< an integer within the setting's bounds
  list,  ///< several texts; commas between them in -c and MESH_*
  shares,  ///< a list of folders; in a file also [[share]] tables with path, name, visibility, include and exclude
  choice,  ///< one of a few words
};

/// Whether a setting of this type has any number of values.
[[nodiscard]] bool is_list(SettingType type);

/// One row of the table. The flag is "--NAME", the variable MESH_NAME in capitals with '_' for '-'.
struct SettingSpec {
  std::string_view name;
  SettingType type;
  std::string_view fallback;  ///< the default, as text; lists with commas
  std::string_view value_name;  ///< for help: "ADDR:PORT"
  std::string_view help;  ///< one line
  std::uint64_t minimum = 0;  ///< of a count
  std::uint64_t maximum = 0;  ///< of a count
  std::string_view choices;  ///< of a choice, with commas
};

[[nodiscard]] std::span<const SettingSpec> setting_table();
[[nodiscard]] const SettingSpec* find_setting(std::string_view name);
/// "no-mdns" -> "MESH_NO_MDNS".
[[nodiscard]] std::string variable_of(std::string_view name);

/// Everything that settings can come from, so that tests give their own.
struct Sources {
  std::map<std::string, std::vector<std::string>> flags;  ///< by setting name; several values for lists
  std::vector<std::string> assignments;  ///< "key=value", in order; the last one wins
  std::function<std::optional<std::string>(const std::string&)> variable;  ///< the environment
  std::optional<std::filesystem::path> file;  ///< --config FILE: must exist
  std::filesystem::path system_file = "/etc/meshwork/config.toml";
};

/// The process's own environment.
[[nodiscard]] std::optional<std::string> environment_variable(const std::string& name);

/// A folder that is shared: a [[share]] table of a file, or `--share DIR` with the defaults.
struct ShareSetting {
  std::string folder;  ///< absolute
  std::string name;  ///< the folder's own name unless told, in lower case
  std::string visibility = "lan";  ///< "lan", "federation" or "everybody"
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  bool operator==(const ShareSetting&) const = default;
};

struct Value {
  std::vector<std::string> items;  ///< exactly one, but for lists
  std::string origin;  ///< "flag --listen", "-c", "MESH_LISTEN", "/path/config.toml:3", "default"
  std::vector<ShareSetting> shares;  ///< of `share`
};

/// Where things lie. With `home` everything is below one folder; else the folders are XDG's.
struct Paths {
  std::filesystem::path home;  ///< state: key, database, blocks, api.json
  std::filesystem::path cache;  ///< compiled code; may be deleted at any time
  std::filesystem::path user_file;  ///< the user's configuration file
  std::filesystem::path key_file;  ///< the node's key, 0600
  std::filesystem::path api_file;  ///< where a running node says how it is reached, 0600
  std::filesystem::path token_file;  ///< the API's token, 0600
};

class Settings {
 public:
  [[nodiscard]] static Result<Settings> load(const Sources& sources);

  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] std::uint64_t count(std::string_view name) const;
  [[nodiscard]] const std::vector<std::string>& list(std::string_view name) const;
  [[nodiscard]] const std::vector<ShareSetting>& shares() const { return value("share").shares; }
  [[nodiscard]] const Value& value(std::string_view name) const;
  /// Whether anything but the default gave it.
  [[nodiscard]] bool is_set(std::string_view name) const;
  [[nodiscard]] const Paths& paths() const { return paths_; }

 private:
  std::map<std::string, Value, std::less<>> values_;
  Paths paths_;
};

}  // namespace mesh::config
