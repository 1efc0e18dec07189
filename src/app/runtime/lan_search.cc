#include "app/runtime/lan_search.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <set>

#include "adapters/p2p/network.h"
#include "app/runtime/enrolment.h"
#include "app/runtime/reach.h"
#include "app/runtime/stream.h"

namespace mesh::app {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

/// "bafyrei" and 60 bits.
constexpr std::size_t shown_cid_characters = 19;

struct Search : std::enable_shared_from_this<Search> {
  Search(asio::io_context& context, const LanSearch& what)
      : io(context), wanted(what), streams(context), quiet(context), over(context) {}

  asio::io_context& io;
  const LanSearch& wanted;
  OpenStreams streams;
  asio::steady_timer quiet;  ///< set anew by whatever is heard
  asio::steady_timer over;
  std::unique_ptr<p2p::Network> network;
  std::set<PublicKey> asked;
  std::size_t owed = 0;  ///< answers
  bool is_quiet = false;
  bool has_ended = false;
  std::map<Cid, OpenFederation> open;
  LanFound found;

  void begin() {
    over.expires_after(wanted.limit);
    over.async_wait([self = shared_from_this()](error_code failed) {
      if (!failed) self->end();
    });
    heard();
    for (const std::string& address : wanted.addresses) {
      ++owed;
      network->dial(address, [self = shared_from_this()](const Result<PublicKey>& peer) { self->settled(!peer); });
    }
  }

  void end() {
    if (has_ended) return;
    has_ended = true;
    found.silent += owed;
    quiet.cancel();
    over.cancel();
    streams.close();
    network->stop();
    io.stop();
  }

  void heard() {
    if (has_ended) return;
    is_quiet = false;
    quiet.expires_after(wanted.quiet);
    quiet.async_wait([self = shared_from_this()](error_code failed) {
      // Cancelled, or set anew, when this was already on its way.
      if (failed || self->quiet.expiry() > asio::steady_timer::clock_type::now()) return;
      self->is_quiet = true;
      self->end_if_done();
    });
  }

  /// Somebody answered, or will not any more.
  void settled(bool is_silent) {
    if (has_ended) return;
    --owed;
    if (is_silent) ++found.silent;
    heard();
  }

  void end_if_done() {
    if (is_quiet && owed == 0 && (!open.empty() || !wanted.until_found)) end();
  }

  void on_connected(const p2p::PeerConnected& peer) {
    const bool is_near = peer.found == p2p::Found::mdns || is_local_address(peer.address);
    if (has_ended || !is_near || asked.contains(peer.peer)) return;
    if (asked.size() == max_nodes_asked) {
      found.crowded = true;
      return;
    }
    asked.insert(peer.peer);
    heard();
    ++owed;
    network->open_stream(peer.peer, enrolment_protocol,
                         [self = shared_from_this()](Result<p2p::RawStream> opened) { self->on_opened(opened); });
  }

  void on_opened(Result<p2p::RawStream>& opened) {
    if (has_ended) return;
    // Most are in no federation with a ledger, and speak of none.
    if (!opened) return settled(opened.error().code != ErrorCode::unsupported);
    asio::co_spawn(io, ask_to_enrol(streams.make(opened->fd.release(), wanted.limit), {}),
                   [self = shared_from_this()](const std::exception_ptr&, const Result<EnrolmentAnswer>& answer) {
                     if (self->has_ended) return;
                     self->take(answer);
                     self->settled(false);
                   });
  }

  void take(const Result<EnrolmentAnswer>& answer) {
    if (answer && !answer->founding) {
      ++found.closed;
      return;
    }
    Result<Founding> founding = answer ? read_founding(*answer->founding) : std::unexpected(answer.error());
    if (!founding || founding->genesis.parameters.enrolment != ledger::Enrolment::open) {
      ++found.wrong;
      return;
    }
    const Cid id = federation_of(*founding);
    OpenFederation& one =
        open.try_emplace(id, OpenFederation{.founding = std::move(*founding), .id = id}).first->second;
    ++one.nodes;
  }

  LanFound result() {
    for (auto& [id, one] : open) found.open.push_back(std::move(one));
    std::ranges::stable_sort(found.open, {}, [](const OpenFederation& one) { return one.founding.charter.name; });
    return std::move(found);
  }
};

Result<Seed> draw_seed() {
  Seed seed;
  if (::getrandom(seed.data(), Seed::size, 0) != static_cast<ssize_t>(Seed::size))
    return fail(ErrorCode::internal, "the kernel gave no random bytes");
  return seed;
}

}  // namespace

std::string title_of(const OpenFederation& federation) {
  return fmt::format("{} ({})", federation.founding.charter.name, federation.id.text().substr(0, shown_cid_characters));
}

Result<LanFound> look_on_lan(const LanSearch& search) {
  asio::io_context io{1};
  const auto state = std::make_shared<Search>(io, search);
  p2p::Config config;
  MESH_LET(config.secret, draw_seed());
  config.listen.clear();
  config.mdns = search.mdns;
  config.relay = p2p::RelayPolicy::off;
  // Of the topics, where it hears nobody.
  config.federation = "nobody";
  config.stream_protocols = {std::string(enrolment_protocol)};
  MESH_LET(state->network, p2p::Network::start(config, io, [weak = std::weak_ptr(state)](const p2p::Event& event) {
             const auto* connected = std::get_if<p2p::PeerConnected>(&event);
             if (const auto self = weak.lock(); self && connected != nullptr) self->on_connected(*connected);
           }));
  state->begin();
  io.run();
  // What was cut off still has to be told so.
  io.restart();
  io.poll();
  state->network.reset();
  return state->result();
}

}  // namespace mesh::app
