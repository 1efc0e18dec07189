// Manifests: what a node says that it shares, one for each class of those that may have it.
//
// A manifest is a signed head that names its pages by CID, and the pages: files by share and path, a few dozen each. Where a
// page ends depends on the paths alone, so a change of some files changes few pages, and only those travel again.
// Bounds: max_pages pages of at most max_page_files files and max_page_bytes bytes. Whatever comes from a peer is checked:
// paths and names as UnixFS has them, order, sizes below 2^63, what is said of models (model_header.h).
#pragma once

#include <span>
#include <vector>

#include "codec/envelope.h"
#include "domain/asset/catalogue.h"

namespace mesh::asset {

inline constexpr std::size_t max_pages = 4096;
inline constexpr std::size_t max_page_files = 256;
inline constexpr std::size_t max_page_bytes = std::size_t{256} << 10;

struct ManifestFile {
  std::string share;
  std::string path;
  Cid cid;
  std::uint64_t bytes = 0;
  Digest sha256;
  std::optional<HubName> hub;
  std::optional<ModelHeader> model;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("share", self.share);
    v("path", self.path);
    v("cid", self.cid);
    v("bytes", self.bytes);
    v("sha256", self.sha256);
    v("hub", self.hub);
    v("model", self.model);
  }
};

struct ManifestPage {
  static constexpr std::string_view type = "manifest-page";
  static constexpr std::uint64_t version = 1;

  std::vector<ManifestFile> files;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("files", self.files);
  }
};

struct Manifest {
  static constexpr std::string_view type = "manifest";
  static constexpr std::uint64_t version = 1;

  Visibility visibility = Visibility::lan;
  std::uint64_t sequence = 0;  ///< grows with every manifest of this class that the node signs
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;  ///< of the content of all of them
  std::vector<Cid> pages;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("visibility", self.visibility);
    v("sequence", self.sequence);
    v("files", self.files);
    v("bytes", self.bytes);
    v("pages", self.pages);
  }
};

/// A manifest that is not signed yet, with the bytes of its pages.
struct BuiltManifest {
  Manifest manifest;
  std::vector<Bytes> pages;
  std::uint64_t left_out = 0;  ///< files for which there was no room
};
/// `assets` by share and path, without repeats; pages of at most so many bytes together.
[[nodiscard]] BuiltManifest build_manifest(Visibility visibility, std::uint64_t sequence,
                                           const std::vector<Asset>& assets,
                                           std::size_t max_bytes = max_pages * max_page_bytes);

/// Whether the head is within bounds. The error says what is not.
[[nodiscard]] Status check_manifest(const Manifest& manifest);
/// The files of a page that `cid` names. Errors: invalid (other bytes, malformed, out of order, names that content cannot
/// have), exhausted (too many).
[[nodiscard]] Result<std::vector<Asset>> read_page(const Cid& cid, ByteView bytes, Visibility visibility);

}  // namespace mesh::asset
