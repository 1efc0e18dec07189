// Manifests over the mesh: `/meshwork/manifest/1`. What this node shares, told to those that may have it; and what its
// peers share, for as long as they are connected.
//
// The asker opens a stream and sends one ManifestRequest: what manifests it has of its own (their classes and sequences),
// and, if it wants the other's, which pages of them it knows. The answer: for each class that the asker may have, the signed
// head (domain/asset/manifest.h), then those of its pages that the asker does not know, in the head's order, one a frame; a
// frame of length 0 ends it. Who hears of a newer manifest than the one that it knows asks for it. Frames: stream.h.
//
// Threads: works on the io_context that it is given, one thread of which may run. The public members may be called from any
// thread.
// Bounds: Limits, and those of a manifest. What can go wrong: a peer sends what does not read, is not signed by it, is older
// than what it sent before, or is too much: what was known of it stays, it is told, and the peer is asked no more until it
// connects again. A question that is cut or not answered is asked again, ever later.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "app/runtime/content.h"
#include "domain/asset/manifest.h"
#include "domain/identity/identity.h"

namespace mesh::app {

inline constexpr std::string_view manifest_protocol = "/meshwork/manifest/1";

struct ManifestRequest {
  static constexpr std::string_view type = "manifest-request";
  static constexpr std::uint64_t version = 1;

  struct Announced {
    asset::Visibility visibility = asset::Visibility::lan;
    std::uint64_t sequence = 0;
    template <class Self, class V>
    static void fields(Self& self, V& v) {
      v("visibility", self.visibility);
      v("sequence", self.sequence);
    }
  };
  std::vector<Announced> announced;  ///< of the asker; one for each class at most
  bool wanted = false;  ///< the other's manifests
  std::vector<Cid> known;  ///< pages of them

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("announced", self.announced);
    v("wanted", self.wanted);
    v("known", self.known);
  }
};

class ManifestExchange {
 public:
  struct Limits {
    std::size_t max_peers = 4096;  ///< of which manifests are kept
    std::size_t max_own_bytes = std::size_t{16} << 20;  ///< of the pages of this node, as they travel
    std::size_t max_peer_bytes = std::size_t{64} << 20;  ///< of what is kept of one peer, as it lies in memory
    std::size_t max_bytes = std::size_t{256} << 20;  ///< of what is kept of all
    std::size_t max_asked = 4;  ///< questions at a time; more wait
    std::size_t max_served = 256;  ///< streams at a time
    std::size_t max_served_per_peer = 8;
    Duration stall{std::chrono::seconds(15)};
    Duration answer{std::chrono::seconds(60)};  ///< for a whole answer
    Duration apart{milliseconds(200)};  ///< between two questions to one peer; doubles while they fail,
    std::uint32_t max_failures = 8;  ///< so often in a row
  };
  /// The classes that a peer may have; from the exchange's thread.
  using Classes = std::function<std::vector<asset::Visibility>(const NodeId&)>;
  /// Something went wrong with a peer, or its manifest is new.
  using Tell = std::function<void(const NodeId&, const std::string&)>;

  ManifestExchange(boost::asio::io_context& io, StreamOpener& opener, const identity::Signer& signer, Limits limits,
                   Classes classes, Tell tell);
  /// Closes all streams. The io_context must not be running then, or this is called on its thread.
  ~ManifestExchange();
  ManifestExchange(const ManifestExchange&) = delete;
  ManifestExchange& operator=(const ManifestExchange&) = delete;

  /// What this node shares from now on, by share and path. `sequence` is greater than any before, of this home.
  void set_own(std::uint64_t sequence, std::vector<asset::Asset> assets);
  void peer_up(const NodeId& peer);
  /// The classes that it may have are others.
  void peer_changed(const NodeId& peer);
  void peer_down(const NodeId& peer);
  /// Serves an inbound stream and owns its descriptor.
  void serve(const NodeId& peer, int descriptor);

  struct Holding {
    NodeId peer;
    asset::Asset asset;
  };
  /// Files of peers that match, `per_peer` of each at most.
  struct Found {
    std::vector<Holding> holdings;
    bool is_all = true;  ///< no peer has more
  };
  [[nodiscard]] Found find(const asset::AssetQuery& query, std::size_t per_peer) const;
  /// Files that peers share, each as often as it is shared.
  [[nodiscard]] std::uint64_t files() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mesh::app
