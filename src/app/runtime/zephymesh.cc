#include "app/runtime/zephymesh.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

#include "app/runtime/file_layout.h"
#include "app/runtime/stream.h"

namespace mesh::app {

namespace asio = boost::asio;
using Json = nlohmann::json;
using identity::NodeId;

namespace {
constexpr std::size_t max_request_line_bytes = 8192;
constexpr std::size_t page_files = 1000;
}  // namespace

struct ZephyMeshStreams::Impl : std::enable_shared_from_this<ZephyMeshStreams::Impl> {
  asio::io_context& io;
  store::Shares& shares;
  store::BlockStore& blocks;
  Classes classes;
  Limits limits;
  Served told;
  OpenStreams streams{io};
  std::size_t served = 0;
  bool closed = false;

  Impl(asio::io_context& context, store::Shares& files, store::BlockStore& store, Classes of_peer, Limits given,
       Served tell)
      : io(context),
        shares(files),
        blocks(store),
        classes(std::move(of_peer)),
        limits(std::move(given)),
        told(std::move(tell)) {}

  void close() {
    closed = true;
    streams.close();
  }

  void serve(const NodeId& peer, bool is_manifest, int descriptor) {
    const std::shared_ptr<Stream> stream = streams.make(descriptor, limits.stall);
    stream->pace(limits.pacer, peer);
    if (closed || served >= limits.max_served) return stream->close();
    ++served;
    asio::co_spawn(io, run(shared_from_this(), peer, is_manifest, stream), asio::detached);
  }

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, NodeId peer, bool is_manifest,
                                   std::shared_ptr<Stream> stream) {
    bool whole = false;
    if (is_manifest) {
      whole = co_await send_manifest(self, peer, stream);
    } else {
      whole = co_await send_file(self, peer, stream);
    }
    if (whole) co_await stream->finish();
    stream->close();
    --self->served;
  }

  /// The protocol has no members of a federation.
  [[nodiscard]] bool is_shown(const asset::Asset& asset, const std::vector<asset::Visibility>& of_peer) const {
    return asset.visibility != asset::Visibility::federation &&
           std::ranges::find(of_peer, asset.visibility) != of_peer.end();
  }

  /// The members of the object for a page of files, each with a comma before it but for the first of all.
  [[nodiscard]] std::string manifest_part(const std::vector<asset::Asset>& page,
                                          const std::vector<asset::Visibility>& of_peer, bool& is_first) const {
    std::string text;
    for (const asset::Asset& asset : page) {
      if (!is_shown(asset, of_peer)) continue;
      if (!std::exchange(is_first, false)) text += ',';
      text += Json(full_path(asset)).dump() + ":" + Json{{"sha256", asset.sha256.hex()}, {"size", asset.bytes}}.dump();
    }
    return text;
  }

  static asio::awaitable<bool> send_manifest(std::shared_ptr<Impl> self, NodeId peer, std::shared_ptr<Stream> stream) {
    const std::vector<asset::Visibility> of_peer = self->classes(peer);
    const asset::AssetQuery all;
    bool is_first = true;
    std::string text = "{";
    for (std::size_t first = 0;; first += page_files) {
      const std::vector<asset::Asset> page = self->shares.find(all, first, page_files);
      text += self->manifest_part(page, of_peer, is_first);
      if (page.empty()) text += "}";
      const Status written = co_await stream->write(as_bytes(text));
      if (!written) co_return false;
      if (page.empty()) co_return true;
      text.clear();
    }
  }

  /// What the request names, if the peer may have it.
  [[nodiscard]] std::optional<asset::Asset> find(std::string_view request, const NodeId& peer) {
    const Json json = Json::parse(request, nullptr, false);
    if (!json.is_object() || !json.contains("path") || !json["path"].is_string()) return std::nullopt;
    const std::vector<asset::Visibility> of_peer = classes(peer);
    const auto path = json["path"].get<std::string>();
    for (asset::Asset& asset :
         shares.find({.name = {}, .path = path, .cid = {}, .sha256 = {}, .architecture = {}}, 0, page_files)) {
      if (full_path(asset) == path && is_shown(asset, of_peer) && shares.may_have(asset.cid, of_peer)) return asset;
    }
    return std::nullopt;
  }

  static asio::awaitable<bool> send_file(std::shared_ptr<Impl> self, NodeId peer, std::shared_ptr<Stream> stream) {
    Result<std::string> request = co_await stream->read_line(max_request_line_bytes);
    if (!request && request.error().code != ErrorCode::invalid) co_return false;
    std::optional<asset::Asset> asset;
    std::optional<std::vector<FileLeaf>> leaves;
    if (request) asset = self->find(*request, peer);
    if (asset) {
      auto layout = file_layout(self->blocks, asset->cid, store::From::anywhere);
      if (layout) leaves = std::move(*layout);
    }
    std::string head;
    if (leaves) {
      head = Json{{"status", "sending"}, {"size", asset->bytes}, {"sha256", asset->sha256.hex()}}.dump() + "\n";
    } else {
      head = Json{{"status", "error"}, {"message", "no such file is shared"}}.dump() + "\n";
    }
    Status written = co_await stream->write(as_bytes(head));
    if (!written) co_return false;
    if (!leaves) co_return true;
    for (const FileLeaf& leaf : *leaves) {
      const Result<store::BlockBytes> block = self->blocks.get(leaf.cid, store::From::anywhere);
      if (!block) co_return false;
      if (self->told) self->told(asset->cid);
      written = co_await stream->write(**block);
      if (!written || self->closed) co_return false;
    }
    co_return true;
  }
};

ZephyMeshStreams::ZephyMeshStreams(asio::io_context& io, store::Shares& shares, store::BlockStore& blocks,
                                   Classes classes, Limits limits, Served served)
    : impl_(std::make_shared<Impl>(io, shares, blocks, std::move(classes), std::move(limits), std::move(served))) {}
ZephyMeshStreams::~ZephyMeshStreams() { impl_->close(); }

void ZephyMeshStreams::serve(const NodeId& peer, std::string_view protocol, int descriptor) {
  asio::post(impl_->io, [impl = impl_, peer, is_manifest = protocol == zephymesh_manifest_protocol, descriptor] {
    impl->serve(peer, is_manifest, descriptor);
  });
}

}  // namespace mesh::app
