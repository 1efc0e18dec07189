#include "domain/asset/catalogue.h"

#include <algorithm>
#include <array>

namespace mesh::asset {

namespace {

constexpr std::string_view fetched_prefix = "fetched-";
constexpr std::string_view added_prefix = "added-";

constexpr std::size_t max_patterns = 64;
constexpr std::size_t max_pattern_bytes = 1024;
constexpr std::size_t max_share_name_bytes = 64;
constexpr std::size_t max_name_part_bytes = 40;  // Of the path's own name, in that of what was added.

bool is_share_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0.
}

bool pattern_matches(std::string_view pattern, std::string_view path) {
  return glob_matches(pattern, pattern.contains('/') ? path : last_name(path));
}

bool is_at(const HubName& hub, std::string_view revision) {
  return hub.revision == revision || std::ranges::find(hub.references, revision) != hub.references.end();
}

/// `name` is org/repo[@revision][/file].
bool hub_matches(std::string_view name, const HubName& hub) {
  if (!name.starts_with(hub.repository)) return false;
  std::string_view rest = name.substr(hub.repository.size());
  if (rest.starts_with('@')) {
    rest.remove_prefix(1);
    // A branch may have '/' in its name: each way to cut is tried.
    for (std::size_t cut = rest.find('/');; cut = rest.find('/', cut + 1)) {
      const std::string_view file = cut == std::string_view::npos ? "" : rest.substr(cut + 1);
      if (is_at(hub, rest.substr(0, cut)) && (cut == std::string_view::npos || glob_matches(file, hub.file)))
        return true;
      if (cut == std::string_view::npos) return false;
    }
  }
  return rest.empty() || (rest.starts_with('/') && glob_matches(rest.substr(1), hub.file));
}

bool name_matches(std::string_view name, const Asset& asset) {
  return asset.path == name || pattern_matches(name, asset.path) || (asset.hub && hub_matches(name, *asset.hub));
}

}  // namespace

std::span<const std::string_view> enum_names(Visibility) {
  static constexpr std::array<std::string_view, 3> names{"lan", "federation", "everybody"};
  return names;
}

std::optional<Visibility> parse_visibility(std::string_view name) {
  const auto names = enum_names(Visibility());
  const auto found = std::ranges::find(names, name);
  return found == names.end() ? std::nullopt : std::optional(static_cast<Visibility>(found - names.begin()));
}

std::string fetched_share_name(Visibility visibility) {
  return std::string(fetched_prefix) + std::string(enum_names(visibility)[static_cast<std::size_t>(visibility)]);
}

std::string added_share_name(std::string_view path) {
  std::string name(added_prefix);
  for (const char c : last_name(path)) {
    if (name.size() == added_prefix.size() + max_name_part_bytes) break;
    if (c >= 'A' && c <= 'Z') {
      name += static_cast<char>(c - 'A' + 'a');
    } else if (is_share_name_byte(c)) {
      name += c;
    }
  }
  return name + "-" + sha256(as_bytes(path)).hex().substr(0, 16);
}

std::string full_path(const Asset& asset) {
  return asset.share.starts_with(fetched_prefix) ? asset.path : asset.share + "/" + asset.path;
}

Status check_share(const Share& share) {
  if (share.name.empty() || share.name.size() > max_share_name_bytes ||
      !std::ranges::all_of(share.name, is_share_name_byte) || share.name == "." || share.name == "..")
    return fail(ErrorCode::invalid, "a share's name has 1 to 64 of a-z, 0-9, '-', '_' and '.'");
  if (!share.folder.starts_with('/') || share.folder.contains('\0'))
    return fail(ErrorCode::invalid, "the folder of share " + share.name + " must be an absolute path");
  if (share.include.size() + share.exclude.size() > max_patterns)
    return fail(ErrorCode::invalid, "share " + share.name + " has more than 64 patterns");
  for (const auto* patterns : {&share.include, &share.exclude}) {
    for (const std::string& pattern : *patterns) {
      if (pattern.empty() || pattern.size() > max_pattern_bytes)
        return fail(ErrorCode::invalid, "a pattern of share " + share.name + " must have 1 to 1024 bytes");
    }
  }
  return {};
}

bool lets_in(const Share& share, std::string_view path) {
  const auto matched = [&](const std::string& pattern) { return pattern_matches(pattern, path); };
  return (share.include.empty() || std::ranges::any_of(share.include, matched)) &&
         std::ranges::none_of(share.exclude, matched);
}

bool is_empty(const AssetQuery& query) {
  return !query.name && !query.path && !query.cid && !query.sha256 && !query.architecture;
}

bool matches(const AssetQuery& query, const Asset& asset) {
  return (!query.cid || *query.cid == asset.cid) && (!query.sha256 || *query.sha256 == asset.sha256) &&
         (!query.path || *query.path == asset.path || *query.path == full_path(asset)) &&
         (!query.architecture || (asset.model && asset.model->architecture == *query.architecture)) &&
         (!query.name || name_matches(*query.name, asset));
}

bool glob_matches(std::string_view glob, std::string_view text) {
  // Only the last '*' need ever be tried again: what an earlier one took more, this one can take.
  std::size_t g = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_took_to = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_took_to = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++star_took_to;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

}  // namespace mesh::asset
