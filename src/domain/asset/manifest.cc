#include "domain/asset/manifest.h"

#include <algorithm>
#include <tuple>

#include "domain/asset/unixfs.h"

namespace mesh::asset {

namespace {

constexpr std::uint64_t max_file_bytes = (std::uint64_t{1} << 63) - 1;
constexpr std::size_t max_path_bytes = 4096;
constexpr std::size_t max_hub_text = 512;
constexpr std::size_t max_references = 64;
constexpr std::uint8_t page_end_mask = 63;  // One path of 64 ends its page.

bool ends_page(const Asset& asset) { return (sha256(as_bytes(asset.path)).view()[0] & page_end_mask) == 0; }

Status check_path(std::string_view path) {
  if (path.size() > max_path_bytes) return fail(ErrorCode::invalid, "a path of more than 4096 bytes");
  while (true) {
    const std::size_t cut = path.find('/');
    MESH_TRY(check_name(path.substr(0, cut)));
    if (cut == std::string_view::npos) return {};
    path.remove_prefix(cut + 1);
  }
}

Status check_hub(const HubName& hub) {
  MESH_TRY(check_path(hub.repository));
  MESH_TRY(check_path(hub.revision));
  MESH_TRY(check_path(hub.file));
  if (hub.references.size() > max_references) return fail(ErrorCode::invalid, "more than 64 references of a revision");
  for (const std::string& reference : hub.references) {
    MESH_TRY(check_path(reference));
    if (reference.size() > max_hub_text) return fail(ErrorCode::invalid, "a reference of more than 512 bytes");
  }
  return {};
}

}  // namespace

BuiltManifest build_manifest(Visibility visibility, std::uint64_t sequence, const std::vector<Asset>& assets,
                             std::size_t max_bytes) {
  BuiltManifest built;
  built.manifest.visibility = visibility;
  built.manifest.sequence = sequence;
  ManifestPage page;
  std::size_t page_bytes = 0;
  std::size_t all_bytes = 0;
  const auto close = [&] {
    if (page.files.empty()) return;
    Bytes bytes = record::encode(page);
    built.manifest.pages.push_back(dagcbor::cid_of(bytes));
    built.pages.push_back(std::move(bytes));
    page.files.clear();
    page_bytes = 0;
  };
  for (const Asset& asset : assets) {
    ManifestFile file{.share = asset.share,
                      .path = asset.path,
                      .cid = asset.cid,
                      .bytes = asset.bytes,
                      .sha256 = asset.sha256,
                      .hub = asset.hub,
                      .model = asset.model};
    if (file.hub && !check_hub(*file.hub)) file.hub.reset();  // Found by its path all the same.
    if (file.model && !check_model_header(*file.model)) file.model.reset();
    const std::size_t bytes = record::encode(file).size();
    if (page_bytes + bytes > max_page_bytes - 256) close();
    if (built.pages.size() == max_pages || all_bytes + bytes > max_bytes) {
      ++built.left_out;
      continue;
    }
    page.files.push_back(std::move(file));
    page_bytes += bytes;
    all_bytes += bytes;
    ++built.manifest.files;
    built.manifest.bytes += asset.bytes;
    if (page.files.size() == max_page_files || ends_page(asset)) close();
  }
  if (built.pages.size() < max_pages) close();
  return built;
}

Status check_manifest(const Manifest& manifest) {
  if (manifest.pages.size() > max_pages)
    return fail(ErrorCode::exhausted, "a manifest has at most " + std::to_string(max_pages) + " pages");
  if (manifest.files > manifest.pages.size() * max_page_files)
    return fail(ErrorCode::invalid, "a manifest of more files than its pages can hold");
  if (manifest.bytes > max_file_bytes) return fail(ErrorCode::invalid, "a manifest of more than 2^63 bytes");
  return {};
}

Result<std::vector<Asset>> read_page(const Cid& cid, ByteView bytes, Visibility visibility) {
  if (bytes.size() > max_page_bytes) return fail(ErrorCode::exhausted, "a page of more than 256 KiB");
  if (!cid.matches(bytes)) return fail(ErrorCode::invalid, "a page that is not what its manifest names");
  MESH_LET(ManifestPage page, record::decode<ManifestPage>(bytes));
  if (page.files.size() > max_page_files)
    return fail(ErrorCode::exhausted, "a page of more than " + std::to_string(max_page_files) + " files");
  std::vector<Asset> assets;
  assets.reserve(page.files.size());
  for (ManifestFile& file : page.files) {
    MESH_TRY(check_name(file.share));
    MESH_TRY(check_path(file.path));
    if (file.hub) MESH_TRY(check_hub(*file.hub));
    if (file.model) MESH_TRY(check_model_header(*file.model));
    if (file.bytes > max_file_bytes) return fail(ErrorCode::invalid, "a file of more than 2^63 bytes");
    if (!assets.empty() && std::tie(assets.back().share, assets.back().path) >= std::tie(file.share, file.path))
      return fail(ErrorCode::invalid, "a page whose files are not in order");
    assets.push_back({.share = std::move(file.share),
                      .path = std::move(file.path),
                      .cid = file.cid,
                      .bytes = file.bytes,
                      .sha256 = file.sha256,
                      .visibility = visibility,
                      .hub = std::move(file.hub),
                      .model = std::move(file.model)});
  }
  return assets;
}

}  // namespace mesh::asset
