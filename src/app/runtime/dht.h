// What this node tells the mesh's DHT, and what it asks there: who has the content of a root.
//
// Told are roots of files that are shared with everybody, and nothing else: under the multihash of the root (libp2p's
// Kademlia specification, provider records), of the largest files where there are too many. What is asked there is seen
// by those that are asked; what they answer is nobody's promise, so it is only whom to ask next.
// Threads: announce() and what is not told otherwise belong to the io_context's thread.
// Bounds: Limits; how fast roots are told and how many searches there are at a time: adapters/p2p/network.h.
// What can go wrong: a root that is no longer shared is told by others for up to a day; nobody answers: the search ends,
// and its text says so.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "adapters/p2p/network.h"
#include "base/time.h"
#include "codec/cid.h"
#include "domain/asset/catalogue.h"
#include "domain/identity/identity.h"

namespace boost::asio {
class io_context;
}

namespace mesh::app {

using identity::NodeId;

class Dht {
 public:
  struct Limits {
    std::size_t max_roots = 1024;  ///< that are told; p2p::Limits::provided_keys is the same
    std::size_t max_waiting = 1024;  ///< searches that somebody waits for, and those that are remembered
    Duration remembers{std::chrono::seconds(60)};  ///< what a search found, and not longer than this
    Duration remembers_nothing{std::chrono::seconds(10)};  ///< when it found nobody
  };
  /// The network, as far as it is needed here (p2p::Network).
  struct Ports {
    std::function<Status(ByteView key)> provide;
    std::function<void(ByteView key)> stop_providing;
    std::function<void(ByteView key, std::function<void(Result<p2p::Providers>)> done)> find_providers;
  };
  struct Chosen {
    std::set<Cid> roots;
    std::size_t left_out = 0;  ///< roots past the bound
  };
  struct Found {
    std::vector<NodeId> peers;
    std::string text;  ///< what came of the search, in half a sentence
  };
  using Done = std::move_only_function<void(const Found&)>;

  Dht(boost::asio::io_context& io, Ports ports, Limits limits);
  Dht(const Dht&) = delete;
  Dht& operator=(const Dht&) = delete;

  /// The roots that may be told, of all that is shared.
  [[nodiscard]] static Chosen choose(const std::vector<asset::Asset>& shared, std::size_t max_roots);
  /// The multihash of a CID: the key in the DHT.
  [[nodiscard]] static Bytes key_of(const Cid& root);

  /// Tells these roots from now on, and no others. One sentence if that changes anything, else nothing.
  [[nodiscard]] std::string announce(const Chosen& chosen);
  [[nodiscard]] std::size_t roots() const { return told_.size(); }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

  /// Who says that it has the content of a root. `done` hears once, after `limit` at the latest; what a search found a
  /// short while ago is found again.
  void seek(const Cid& root, Duration limit, Done done);
  /// What the last search found, for whoever cannot wait, from any thread. Without a late one a search begins, and
  /// `found` is called on the io_context's thread if it finds somebody.
  [[nodiscard]] std::vector<NodeId> known(const Cid& root, std::function<void()> found);

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiter;
  struct Remembered {
    Found found;
    Clock::time_point until;
  };

  void finish(const Cid& root, const Result<p2p::Providers>& answer);
  [[nodiscard]] std::optional<Found> remembered(const Cid& root) const;

  boost::asio::io_context& io_;
  Ports ports_;
  Limits limits_;
  std::set<Cid> told_;
  std::size_t left_out_ = 0;
  std::map<Cid, std::vector<std::shared_ptr<Waiter>>> waiting_;
  mutable std::mutex mutex_;
  std::map<Cid, Remembered> remembered_;  ///< under mutex_
};

}  // namespace mesh::app
