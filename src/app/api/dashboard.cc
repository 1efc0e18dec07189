#include "app/api/dashboard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

// What cmake/dashboard_pack.S.in takes into the program.
extern "C" const std::uint8_t mesh_dashboard_pack[];      // NOLINT(modernize-avoid-c-arrays)
extern "C" const std::uint8_t mesh_dashboard_pack_end[];  // NOLINT(modernize-avoid-c-arrays)

namespace mesh::app {
namespace {

constexpr std::string_view magic = "meshweb1";
constexpr std::size_t length_bytes = 4;
constexpr std::size_t max_file_bytes = std::size_t{16} << 20;
// RFC 1952: a header without optional fields, and the checksum and length behind the data.
constexpr std::size_t gzip_header_bytes = 10;
constexpr std::size_t gzip_trailer_bytes = 8;
constexpr std::string_view home_page = "/index.html";
/// By which the API's own paths begin.
constexpr std::array<std::string_view, 7> not_pages{"api", "ipfs", "v1", "livez", "readyz", "metrics", "openapi.json"};

Error malformed(std::string_view what) { return {ErrorCode::invalid, fmt::format("the dashboard's pack {}", what)}; }

/// nullopt: not what the index says.
std::optional<Bytes> unpacked(std::span<const std::uint8_t> gzip, std::size_t bytes) {
  if (gzip.size() < gzip_header_bytes + gzip_trailer_bytes) return std::nullopt;
  // With the trailer: Beast reads on beyond the last code before it sees that it was the last.
  const auto deflated = gzip.subspan(gzip_header_bytes);
  Bytes out(bytes + 1);  // One more, so that what is longer is seen.
  boost::beast::zlib::inflate_stream stream;
  boost::beast::zlib::z_params place;
  place.next_in = deflated.data();
  place.avail_in = deflated.size();
  place.next_out = out.data();
  place.avail_out = out.size();
  boost::beast::error_code error;
  stream.write(place, boost::beast::zlib::Flush::finish, error);
  if (error != boost::beast::zlib::error::end_of_stream || place.total_out != bytes) return std::nullopt;
  out.resize(bytes);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Calls `use` with each element of a header that is a list, until it says that it has seen enough.
template <typename Use>
void for_each_element(std::string_view list, Use use) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (!use(trimmed(list.substr(0, comma)))) return;
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
}

bool is_among(std::string_view etag, std::string_view if_none_match) {
  bool found = false;
  for_each_element(if_none_match, [&](std::string_view one) {
    if (one.starts_with("W/")) one.remove_prefix(2);
    found = one == etag || one == "*";
    return !found;
  });
  return found;
}

std::string_view header_of(const http::Request& request, const std::string& name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace

bool takes_gzip(std::string_view accept_encoding) {
  std::optional<bool> named;
  bool by_star = false;
  for_each_element(accept_encoding, [&](std::string_view one) {
    const std::size_t semicolon = one.find(';');
    std::string coding(trimmed(one.substr(0, semicolon)));
    std::ranges::transform(coding, coding.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::string_view weight = semicolon == std::string_view::npos ? "" : trimmed(one.substr(semicolon + 1));
    // Not at all: q=0, q=0.0, q=0.00 or q=0.000.
    const bool taken =
        !(weight.starts_with("q=0") && weight.substr(3).find_first_not_of(".0") == std::string_view::npos);
    if (coding == "gzip" || coding == "x-gzip") named = taken;
    if (coding == "*") by_star = taken;
    return true;
  });
  return named.value_or(by_star);
}

Result<Dashboard> Dashboard::open(std::span<const std::uint8_t> pack) {
  const std::size_t head = magic.size() + length_bytes;
  if (pack.size() < head || !std::ranges::equal(pack.first(magic.size()), magic))
    return std::unexpected(malformed("is none"));
  std::size_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= static_cast<std::size_t>(pack[magic.size() + i]) << (8 * i);
  if (length > pack.size() - head) return std::unexpected(malformed("ends in its index"));
  const auto text = pack.subspan(head, length);
  const auto data = pack.subspan(head + length);
  const nlohmann::json index = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!index.is_array()) return std::unexpected(malformed("has no index"));

  Dashboard dashboard;
  for (const nlohmann::json& entry : index) {
    try {
      const auto path = entry.at("path").get<std::string>();
      const auto offset = entry.at("offset").get<std::uint64_t>();
      const auto size = entry.at("length").get<std::uint64_t>();
      File file{.type = entry.at("type").get<std::string>(),
                .etag = fmt::format("\"{}\"", entry.at("etag").get<std::string>()),
                .bytes = entry.at("bytes").get<std::uint64_t>(),
                .gzip = {},
                // Vite puts there what it names by its hash, and nothing else.
                .is_immutable = path.starts_with("/assets/")};
      if (file.bytes > max_file_bytes || offset > data.size() || size > data.size() - offset)
        return std::unexpected(malformed(fmt::format("has no room for {}", path)));
      file.gzip = data.subspan(offset, size);
      if (!dashboard.files_.emplace(path, std::move(file)).second)
        return std::unexpected(malformed(fmt::format("names {} twice", path)));
    } catch (const nlohmann::json::exception&) {
      return std::unexpected(malformed("has an entry that is none"));
    }
  }
  if (!dashboard.files_.contains(home_page)) return std::unexpected(malformed("has no index.html"));
  return dashboard;
}

const Dashboard& Dashboard::built_in() {
  static const Dashboard dashboard = [] {
    auto opened = open({mesh_dashboard_pack, mesh_dashboard_pack_end});
    return opened ? std::move(*opened) : Dashboard();
  }();
  return dashboard;
}

const Dashboard::File* Dashboard::find(const http::Request& request) const {
  if (request.method != "GET" || request.is_websocket || request.path.empty()) return nullptr;
  if (const auto found = files_.find(request.path); found != files_.end()) return &found->second;
  const std::string_view path = std::string_view(request.path).substr(1);
  const bool is_page = path.find('.') == std::string_view::npos &&
                       std::ranges::find(not_pages, path.substr(0, path.find('/'))) == not_pages.end();
  if (!is_page) return nullptr;
  const auto home = files_.find(home_page);
  return home == files_.end() ? nullptr : &home->second;
}

std::vector<std::string> Dashboard::paths() const {
  std::vector<std::string> paths;
  paths.reserve(files_.size());
  for (const auto& [path, file] : files_) paths.push_back(path);
  return paths;
}

std::optional<http::Response> Dashboard::answer(const http::Request& request) const {
  const File* file = find(request);
  if (file == nullptr) return std::nullopt;
  http::Response response{.status = 200, .content_type = file->type, .body = {}, .headers = {}};
  response.headers["etag"] = file->etag;
  response.headers["vary"] = "accept-encoding";
  response.headers["cache-control"] = file->is_immutable ? "public, max-age=31536000, immutable" : "no-cache";
  if (is_among(file->etag, header_of(request, "if-none-match"))) {
    response.status = 304;
    return response;
  }
  if (takes_gzip(header_of(request, "accept-encoding"))) {
    response.headers["content-encoding"] = "gzip";
    response.body.assign(file->gzip.begin(), file->gzip.end());
    return response;
  }
  auto body = unpacked(file->gzip, file->bytes);
  if (!body) return http::problem(500, "Internal error", "this file of the dashboard is damaged");
  response.body = std::move(*body);
  return response;
}

}  // namespace mesh::app
