// What a node shares, as people ask for it: folders of files that are content in place, and how a question matches a file.
//
// Paths are relative to their share, with '/' between names; each name is one that UnixFS allows (unixfs.h, check_name).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/cid.h"
#include "codec/hash.h"
#include "domain/asset/model_header.h"

namespace mesh::asset {

/// For whom something is: what a manifest of one class declares is told to those alone, and served to them alone.
enum class Visibility : std::uint8_t {
  lan,  ///< peers on the same local network
  federation,  ///< members of the same federation
  everybody,
};
[[nodiscard]] std::span<const std::string_view> enum_names(Visibility);
[[nodiscard]] std::optional<Visibility> parse_visibility(std::string_view name);

/// A folder that its owner shares.
struct Share {
  std::string name;  ///< 1 to 64 of a-z, 0-9, '-', '_', '.'
  std::string folder;  ///< absolute path
  Visibility visibility = Visibility::lan;
  std::vector<std::string> include;  ///< globs; only what one of them matches, if there are any
  std::vector<std::string> exclude;  ///< globs; never what one of them matches
  bool is_fetched = false;  ///< the node's own folder of what it fetched from others
  /// The owner named exactly this file or folder (`mesh assets add`): hidden files are in, and the whole has a root.
  bool is_added = false;
  std::string file;  ///< of what was added: the one file of the folder; empty: all of it
  bool is_listed = true;  ///< told in manifests and answers; else it is for those of its class that know the root
};
/// The name of the share of what was added at this absolute path.
[[nodiscard]] std::string added_share_name(std::string_view path);
/// The name of the share of what was fetched and is served on to a class.
[[nodiscard]] std::string fetched_share_name(Visibility visibility);
/// Whether the name, the folder and the patterns are within bounds. The error says what is not.
[[nodiscard]] Status check_share(const Share& share);
/// Whether the share's patterns let a file in. A pattern without '/' is tried on the file's name, another on its whole path.
[[nodiscard]] bool lets_in(const Share& share, std::string_view path);

/// Where a file stands in the cache of huggingface_hub (models--org--repo/{blobs,refs,snapshots}).
struct HubName {
  std::string repository;  ///< "org/repo"
  std::string revision;  ///< the commit
  std::vector<std::string> references;  ///< branches and tags that are at that commit: "main"
  std::string file;  ///< path in the repository

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("repository", self.repository);
    v("revision", self.revision);
    v("references", self.references);
    v("file", self.file);
  }
  bool operator==(const HubName&) const = default;
};

struct Asset {
  std::string share;
  std::string path;
  Cid cid;  ///< UnixFS file or raw leaf
  std::uint64_t bytes = 0;  ///< of the content
  Digest sha256;  ///< of the content
  Visibility visibility = Visibility::lan;
  std::optional<HubName> hub;
  std::optional<ModelHeader> model;  ///< what a model file says of itself
  bool operator==(const Asset&) const = default;
};

/// A question for files. What is given has to match, all of it.
struct AssetQuery {
  /// A file's name, its path, a glob over either, or a hub id: org/repo, org/repo@revision, org/repo/file or
  /// org/repo@revision/file, where the revision is a commit, a branch or a tag.
  std::optional<std::string> name;
  std::optional<std::string> path;  ///< exactly; with or without the share's name before it
  std::optional<Cid> cid;
  std::optional<Digest> sha256;
  std::optional<std::string> architecture;  ///< of a model, exactly: "llama"
};
/// Whether it asks for nothing, so that every file matches.
[[nodiscard]] bool is_empty(const AssetQuery& query);
[[nodiscard]] bool matches(const AssetQuery& query, const Asset& asset);

/// Share and path, which is what a node that fetched the file keeps it as: it does not grow from node to node.
[[nodiscard]] std::string full_path(const Asset& asset);

/// Whether `text` is of the form of the glob: '*' stands for any bytes, '?' for one. In time |glob| x |text| at most.
[[nodiscard]] bool glob_matches(std::string_view glob, std::string_view text);

}  // namespace mesh::asset
