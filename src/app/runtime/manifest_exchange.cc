#include "app/runtime/manifest_exchange.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <unordered_set>

#include "app/runtime/stream.h"

namespace mesh::app {

namespace asio = boost::asio;
using asset::Visibility;

namespace {

constexpr std::size_t classes_in_all = 3;
constexpr std::size_t max_head_bytes = std::size_t{512} << 10;
constexpr std::size_t max_manifest_request_bytes = std::size_t{1} << 20;

struct Page {
  std::vector<asset::Asset> assets;
  std::size_t bytes = 0;
};
using Pages = std::map<Cid, std::shared_ptr<const Page>>;

/// What a page takes in memory, about.
std::size_t memory_of(const std::vector<asset::Asset>& assets, std::size_t encoded_bytes) {
  std::size_t bytes = encoded_bytes + assets.size() * sizeof(asset::Asset);
  for (const asset::Asset& asset : assets) bytes += asset.hub ? asset.hub->references.size() * sizeof(std::string) : 0;
  return bytes;
}

/// A manifest that a peer has signed, with all its pages.
struct Held {
  std::uint64_t sequence = 0;
  std::uint64_t files = 0;
  Pages pages;
};
using HeldByClass = std::map<Visibility, Held>;

std::size_t bytes_of(const HeldByClass& manifests) {
  std::set<Cid> counted;
  std::size_t bytes = 0;
  for (const auto& [visibility, held] : manifests) {
    for (const auto& [cid, page] : held.pages) {
      if (counted.insert(cid).second) bytes += page->bytes;
    }
  }
  return bytes;
}

/// What this node shares with one class.
struct Own {
  std::uint64_t sequence = 0;
  Bytes head;  ///< the signed envelope
  std::vector<std::pair<Cid, Bytes>> pages;
};

}  // namespace

struct ManifestExchange::Impl : std::enable_shared_from_this<ManifestExchange::Impl> {
  struct Peer {
    std::uint64_t connection = 0;  ///< tells this one from an earlier of the same peer
    bool asking = false;
    bool ask_again = false;
    std::uint32_t failures = 0;  ///< of questions, in a row
    bool refused = false;  ///< it sent what it should not have
    std::size_t served = 0;
  };

  asio::io_context& io;
  StreamOpener& opener;
  identity::Signer signer;
  Limits limits;
  Classes classes;
  Tell tell;
  bool closed = false;

  std::map<Visibility, std::shared_ptr<const Own>> own;
  std::map<NodeId, Peer> peers;  ///< connected
  std::uint64_t connections = 0;
  std::size_t asked_now = 0;
  std::deque<NodeId> waiting;  ///< to be asked
  std::size_t served = 0;
  OpenStreams streams{io};

  mutable std::mutex mutex;
  std::map<NodeId, std::shared_ptr<const HeldByClass>> held;  ///< changed on this thread alone, under the mutex

  Impl(asio::io_context& context, StreamOpener& open, const identity::Signer& with, Limits given, Classes of, Tell to)
      : io(context), opener(open), signer(with), limits(given), classes(std::move(of)), tell(std::move(to)) {}

  void close() {
    closed = true;
    streams.close();
  }

  [[nodiscard]] std::shared_ptr<const HeldByClass> held_of(const NodeId& peer) const {
    const auto found = held.find(peer);
    return found == held.end() ? std::make_shared<const HeldByClass>() : found->second;
  }

  // ---- Own.

  void set_own(std::uint64_t sequence, const std::vector<asset::Asset>& assets) {
    if (closed) return;
    std::size_t room = limits.max_own_bytes;
    for (const Visibility visibility : {Visibility::lan, Visibility::federation, Visibility::everybody}) {
      std::vector<asset::Asset> of_class;
      for (const asset::Asset& asset : assets) {
        if (asset.visibility == visibility) of_class.push_back(asset);
      }
      if (of_class.empty() && !own.contains(visibility)) continue;
      asset::BuiltManifest built = asset::build_manifest(visibility, sequence, of_class, room);
      auto made = std::make_shared<Own>();
      made->sequence = sequence;
      for (std::size_t i = 0; i < built.pages.size(); ++i) {
        room -= std::min(room, built.pages[i].size());
        made->pages.emplace_back(built.manifest.pages[i], std::move(built.pages[i]));
      }
      made->head = record::encode(signer.seal(built.manifest));
      own.insert_or_assign(visibility, std::move(made));
      if (built.left_out > 0)
        tell(signer.id(), std::to_string(built.left_out) + " files are left out of the manifest: it has no room");
    }
    for (const auto& [peer, state] : peers) announce(peer);
  }

  [[nodiscard]] std::vector<std::shared_ptr<const Own>> own_for(const NodeId& peer) const {
    std::vector<std::shared_ptr<const Own>> mine;
    for (const Visibility visibility : classes(peer)) {
      if (const auto found = own.find(visibility); found != own.end()) mine.push_back(found->second);
    }
    return mine;
  }

  [[nodiscard]] ManifestRequest request_to(const NodeId& peer) const {
    ManifestRequest request;
    for (const Visibility visibility : classes(peer)) {
      if (const auto found = own.find(visibility); found != own.end())
        request.announced.push_back({.visibility = visibility, .sequence = found->second->sequence});
    }
    return request;
  }

  // ---- Asking.

  void announce(const NodeId& peer) {
    ManifestRequest request = request_to(peer);
    if (request.announced.empty()) return;
    asio::co_spawn(io, say(shared_from_this(), peer, std::move(request)), asio::detached);
  }

  /// A stream to the peer; null if there is none, since it is gone or does not speak this protocol, or this has ended.
  static asio::awaitable<std::shared_ptr<Stream>> open(std::shared_ptr<Impl> self, NodeId peer) {
    const Result<int> descriptor =
        co_await open_stream(self->io, self->opener, peer, manifest_protocol, self->limits.stall);
    if (!descriptor) co_return nullptr;
    const std::shared_ptr<Stream> stream = self->streams.make(*descriptor, self->limits.stall);
    if (!self->closed) co_return stream;
    stream->close();
    co_return nullptr;
  }

  static asio::awaitable<void> say(std::shared_ptr<Impl> self, NodeId peer, ManifestRequest request) {
    const std::shared_ptr<Stream> stream = co_await open(self, peer);
    if (!stream) co_return;  // It says when it has something.
    const Bytes frame = framed(record::encode(request));
    const Status written = co_await stream->write(frame);
    if (written) co_await stream->finish();
    stream->close();
  }

  void ask(const NodeId& peer) {
    const auto state = peers.find(peer);
    if (closed || state == peers.end() || state->second.refused) return;
    if (state->second.asking) {
      state->second.ask_again = true;
      return;
    }
    state->second.asking = true;
    waiting.push_back(peer);
    ask_next();
  }

  void ask_next() {
    while (asked_now < limits.max_asked && !waiting.empty()) {
      const NodeId peer = waiting.front();
      waiting.pop_front();
      const auto state = peers.find(peer);
      if (state == peers.end() || !state->second.asking) continue;
      ++asked_now;
      asio::co_spawn(io, ask_one(shared_from_this(), peer, state->second.connection), asio::detached);
    }
  }

  /// Whatever comes of it, the next question waits for a while.
  static asio::awaitable<void> ask_one(std::shared_ptr<Impl> self, NodeId peer, std::uint64_t connection) {
    const std::shared_ptr<Stream> stream = co_await open(self, peer);
    if (self->closed) co_return;
    bool answered = false;
    if (stream) {
      asio::steady_timer limit(self->io, self->limits.answer);
      limit.async_wait([weak = std::weak_ptr(stream)](boost::system::error_code ended) {
        const auto late = weak.lock();
        if (!ended && late) late->close();
      });
      ManifestRequest request = self->request_to(peer);
      request.wanted = true;
      const std::shared_ptr<const HeldByClass> before = self->held_of(peer);
      Pages known;
      for (const auto& [visibility, manifest] : *before) known.insert(manifest.pages.begin(), manifest.pages.end());
      for (const auto& [cid, page] : known) request.known.push_back(cid);
      const Bytes frame = framed(record::encode(request));
      const Status written = co_await stream->write(frame);
      if (written) {
        Result<HeldByClass> answer = co_await read_answer(self, peer, *stream, *before, known);
        answered = self->take_answer(peer, connection, *before, std::move(answer));
      }
      stream->close();
    }
    --self->asked_now;
    if (self->closed) co_return;
    self->ask_next();
    const auto state = self->peers.find(peer);
    if (state == self->peers.end() || state->second.connection != connection) co_return;
    state->second.failures = answered ? 0 : state->second.failures + 1;
    if (!answered && state->second.failures < self->limits.max_failures) state->second.ask_again = true;
    // Not all at the same moment: each peer's key gives it a share of the pause of its own.
    const Duration pause = self->limits.apart * (1U << state->second.failures);
    asio::steady_timer timer(self->io, pause + pause * self->signer.id().view()[0] / 256);
    co_await timer.async_wait(quiet());
    const auto then = self->peers.find(peer);
    if (self->closed || then == self->peers.end() || then->second.connection != connection) co_return;
    then->second.asking = false;
    if (std::exchange(then->second.ask_again, false)) self->ask(peer);
  }

  /// What the peer shares now, all of it. Errors: timeout and unavailable (the stream), and what is wrong with the answer.
  static asio::awaitable<Result<HeldByClass>> read_answer(std::shared_ptr<Impl> self, NodeId peer, Stream& stream,
                                                          const HeldByClass& before, Pages known) {
    HeldByClass now;
    std::size_t bytes = 0;
    while (true) {
      Result<std::optional<Bytes>> frame = co_await stream.read_frame(max_head_bytes);
      if (!frame) co_return std::unexpected(std::move(frame.error()));
      if (!*frame) co_return now;
      if (now.size() == classes_in_all)
        co_return fail(ErrorCode::invalid, "sent more manifests than there are classes");
      const Result<asset::Manifest> head = self->open_head(peer, **frame, before, now);
      if (!head) co_return std::unexpected(head.error());
      Held manifest{.sequence = head->sequence, .files = 0, .pages = {}};
      for (const Cid& cid : head->pages) {
        if (manifest.pages.contains(cid)) co_return fail(ErrorCode::invalid, "sent a manifest that names a page twice");
        auto page = known.find(cid);
        if (page == known.end()) {
          Result<std::optional<Bytes>> sent = co_await stream.read_frame(asset::max_page_bytes);
          if (!sent) co_return std::unexpected(std::move(sent.error()));
          if (!*sent) co_return fail(ErrorCode::invalid, "sent fewer pages than its manifest names");
          Result<std::vector<asset::Asset>> assets = asset::read_page(cid, **sent, head->visibility);
          if (!assets) co_return std::unexpected(std::move(assets.error()));
          const std::size_t memory = memory_of(*assets, (*sent)->size());
          page = known.emplace(cid, std::make_shared<Page>(Page{.assets = std::move(*assets), .bytes = memory})).first;
        }
        bytes += page->second->bytes;
        if (bytes > self->limits.max_peer_bytes)
          co_return fail(ErrorCode::exhausted, "shares more than this node takes in of one peer");
        manifest.files += page->second->assets.size();
        manifest.pages.insert(*page);
      }
      if (manifest.files != head->files) co_return fail(ErrorCode::invalid, "sent a manifest that miscounts its files");
      now.emplace(head->visibility, std::move(manifest));
    }
  }

  Result<asset::Manifest> open_head(const NodeId& peer, ByteView bytes, const HeldByClass& before,
                                    const HeldByClass& now) const {
    MESH_LET(const Envelope envelope, record::decode<Envelope>(bytes));
    MESH_LET(Signed<asset::Manifest> head, mesh::open<asset::Manifest>(envelope, signer.federation()));
    if (head.signer != peer) return fail(ErrorCode::unauthorised, "sent a manifest of somebody else");
    MESH_TRY(asset::check_manifest(head.record));
    if (now.contains(head.record.visibility)) return fail(ErrorCode::invalid, "sent two manifests of one class");
    const auto known = before.find(head.record.visibility);
    if (known != before.end() && head.record.sequence < known->second.sequence)
      return fail(ErrorCode::conflict, "sent an older manifest than before");
    return std::move(head.record);
  }

  /// Whether there was one, good or bad.
  bool take_answer(const NodeId& peer, std::uint64_t connection, const HeldByClass& before,
                   Result<HeldByClass> answer) {
    const auto state = peers.find(peer);
    if (state == peers.end() || state->second.connection != connection) return true;  // Gone meanwhile.
    if (!answer) {
      const ErrorCode code = answer.error().code;
      if (code == ErrorCode::timeout || code == ErrorCode::unavailable) return false;
      state->second.refused = true;
      tell(peer, answer.error().message);
      return true;
    }
    std::size_t others = 0;
    for (const auto& [node, manifests] : held) others += node == peer ? 0 : bytes_of(*manifests);
    if (others + bytes_of(*answer) > limits.max_bytes || (held.size() >= limits.max_peers && !held.contains(peer))) {
      tell(peer, "shares more than there is room for: what all peers share together has a bound");
      return true;
    }
    std::uint64_t files = 0;
    bool changed = before.size() != answer->size();
    for (const auto& [visibility, manifest] : *answer) {
      files += manifest.files;
      const auto known = before.find(visibility);
      changed = changed || known == before.end() || known->second.sequence != manifest.sequence;
    }
    {
      const std::lock_guard guard(mutex);
      held.insert_or_assign(peer, std::make_shared<const HeldByClass>(std::move(*answer)));
    }
    if (changed && (files > 0 || !before.empty())) tell(peer, "shares " + std::to_string(files) + " files");
    return true;
  }

  // ---- Answering.

  void serve(const NodeId& peer, int descriptor) {
    const std::shared_ptr<Stream> stream = streams.make(descriptor, limits.stall);
    const auto state = peers.find(peer);
    if (state == peers.end() || served >= limits.max_served || state->second.served >= limits.max_served_per_peer)
      return stream->close();
    ++served;
    ++state->second.served;
    asio::co_spawn(io, answer_on(shared_from_this(), peer, stream), asio::detached);
  }

  static asio::awaitable<void> answer_on(std::shared_ptr<Impl> self, NodeId peer, std::shared_ptr<Stream> stream) {
    const Result<std::optional<Bytes>> frame = co_await stream->read_frame(max_manifest_request_bytes);
    if (frame && *frame) {
      if (const Result<ManifestRequest> request = record::decode<ManifestRequest>(**frame); request) {
        self->heard(peer, *request);
        if (request->wanted) co_await send_own(self, peer, *request, *stream);
      }
    }
    stream->close();
    if (self->closed) co_return;
    --self->served;
    // Of a peer that has gone and come back this one was not counted.
    if (const auto state = self->peers.find(peer); state != self->peers.end() && state->second.served > 0)
      --state->second.served;
  }

  void heard(const NodeId& peer, const ManifestRequest& request) {
    const std::shared_ptr<const HeldByClass> known = held_of(peer);
    for (const ManifestRequest::Announced& one : request.announced) {
      const auto before = known->find(one.visibility);
      if (before == known->end() || before->second.sequence < one.sequence) return ask(peer);
    }
  }

  static asio::awaitable<void> send_own(std::shared_ptr<Impl> self, NodeId peer, const ManifestRequest& request,
                                        Stream& stream) {
    const std::unordered_set<Cid> known(request.known.begin(), request.known.end());
    std::unordered_set<Cid> sent;
    for (const std::shared_ptr<const Own>& mine : self->own_for(peer)) {
      const Bytes head = framed(mine->head);
      if (const Status written = co_await stream.write(head); !written) co_return;
      for (const auto& [cid, page] : mine->pages) {
        if (known.contains(cid) || !sent.insert(cid).second) continue;
        const Bytes frame = framed(page);
        if (const Status written = co_await stream.write(frame); !written) co_return;
      }
    }
    const Bytes end(1, 0);
    if (const Status written = co_await stream.write(end); written) co_await stream.finish();
  }
};

ManifestExchange::ManifestExchange(asio::io_context& io, StreamOpener& opener, const identity::Signer& signer,
                                   Limits limits, Classes classes, Tell tell)
    : impl_(std::make_shared<Impl>(io, opener, signer, limits, std::move(classes), std::move(tell))) {}

ManifestExchange::~ManifestExchange() { impl_->close(); }

void ManifestExchange::set_own(std::uint64_t sequence, std::vector<asset::Asset> assets) {
  asio::dispatch(impl_->io, [impl = impl_, sequence, assets = std::move(assets)] { impl->set_own(sequence, assets); });
}

void ManifestExchange::peer_up(const NodeId& peer) {
  asio::dispatch(impl_->io, [impl = impl_, peer] {
    const auto [state, fresh] = impl->peers.try_emplace(peer);
    if (fresh) state->second.connection = ++impl->connections;
    state->second.refused = false;
    impl->ask(peer);
  });
}

void ManifestExchange::peer_changed(const NodeId& peer) {
  asio::dispatch(impl_->io, [impl = impl_, peer] {
    if (!impl->closed && impl->peers.contains(peer)) impl->announce(peer);
  });
}

void ManifestExchange::peer_down(const NodeId& peer) {
  asio::dispatch(impl_->io, [impl = impl_, peer] {
    impl->peers.erase(peer);
    const std::lock_guard guard(impl->mutex);
    impl->held.erase(peer);
  });
}

void ManifestExchange::serve(const NodeId& peer, int descriptor) {
  asio::dispatch(impl_->io, [impl = impl_, peer, descriptor] {
    if (impl->closed) {
      ::close(descriptor);
    } else {
      impl->serve(peer, descriptor);
    }
  });
}

ManifestExchange::Found ManifestExchange::find(const asset::AssetQuery& query, std::size_t per_peer) const {
  std::map<NodeId, std::shared_ptr<const HeldByClass>> held;
  {
    const std::lock_guard guard(impl_->mutex);
    held = impl_->held;
  }
  Found found;
  for (const auto& [peer, manifests] : held) {
    std::size_t of_peer = 0;
    for (const auto& [visibility, manifest] : *manifests) {
      for (const auto& [cid, page] : manifest.pages) {
        for (const asset::Asset& asset : page->assets) {
          if (!asset::matches(query, asset)) continue;
          if (of_peer == per_peer) {
            found.is_all = false;
            break;
          }
          ++of_peer;
          found.holdings.push_back({peer, asset});
        }
      }
    }
  }
  return found;
}

std::uint64_t ManifestExchange::files() const {
  const std::lock_guard guard(impl_->mutex);
  std::uint64_t files = 0;
  for (const auto& [peer, manifests] : impl_->held) {
    for (const auto& [visibility, manifest] : *manifests) files += manifest.files;
  }
  return files;
}

}  // namespace mesh::app
