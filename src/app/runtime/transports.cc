#include "app/runtime/transports.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace mesh::app {

namespace asio = boost::asio;
using asset::Transport;
using asset::TransportChoice;

namespace {

std::string_view name_of(Transport transport) { return enum_names(transport)[static_cast<std::size_t>(transport)]; }

/// What the network calls what is wanted; empty: whatever there is.
std::string_view wish_of(std::optional<Transport> wanted) {
  return wanted && *wanted != Transport::other ? name_of(*wanted) : std::string_view();
}

TransportChoice::Dialed dialed_of(const Status& connected) {
  if (connected) return TransportChoice::Dialed::connected;
  const ErrorCode code = connected.error().code;
  const bool is_passing = code == ErrorCode::unsupported || code == ErrorCode::exhausted;
  return is_passing ? TransportChoice::Dialed::not_now : TransportChoice::Dialed::failed;
}

}  // namespace

Instant Transports::steady_now() {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

std::shared_ptr<TransportChoice> Transports::choice_for(const NodeId& peer) {
  const auto known = peers_.find(peer);
  if (known == peers_.end() && peers_.size() >= limits_.max_peers) {
    peers_.erase(std::ranges::min_element(peers_, {}, [](const auto& entry) { return entry.second.used; }));
  }
  Known& entry = known == peers_.end() ? peers_[peer] : known->second;
  if (!entry.choice) entry.choice = std::make_shared<TransportChoice>(limits_.choice);
  entry.used = now();
  return entry.choice;
}

const TransportChoice* Transports::of(const NodeId& peer) const {
  const auto known = peers_.find(peer);
  return known == peers_.end() ? nullptr : known->second.choice.get();
}

asio::awaitable<Result<std::shared_ptr<Transports::Use>>> Transports::open(NodeId peer, std::string_view protocol,
                                                                           std::uint64_t left_bytes, Duration limit) {
  const std::shared_ptr<Transports> self = shared_from_this();  // Its owner may go while this waits.
  const std::shared_ptr<TransportChoice> choice = choice_for(peer);
  const std::optional<Transport> wanted = choice->next(left_bytes, now());
  Result<OpenedStream> opened = co_await open_stream_by(io_, opener_, peer, protocol, wish_of(wanted), limit);
  if (!opened) {
    choice->not_opened(wanted, now());
    co_return std::unexpected(std::move(opened.error()));
  }
  choice->opened(wanted, asset::transport_named(opened->transport), now());
  auto use = std::make_shared<Use>(self, choice, peer, std::move(*opened));
  co_return use;
}

void Transports::connect(const NodeId& peer, const std::shared_ptr<TransportChoice>& choice, std::uint64_t left_bytes) {
  const std::optional<Transport> wanted = choice->to_dial(left_bytes, now());
  if (!wanted) return;
  opener_.connect_by(peer, name_of(*wanted), [self = shared_from_this(), choice, wanted](Status connected) {
    asio::post(self->io_,
               [self, choice, wanted, result = dialed_of(connected)] { choice->dialed(*wanted, result, self->now()); });
  });
}

Transports::Use::Use(std::shared_ptr<Transports> all, std::shared_ptr<TransportChoice> choice, const NodeId& peer,
                     OpenedStream opened)
    : all_(std::move(all)),
      choice_(std::move(choice)),
      peer_(peer),
      opened_(std::move(opened)),
      transport_(asset::transport_named(opened_.transport)) {}

Transports::Use::~Use() { choice_->closed(transport_, broke_, all_->now()); }

void Transports::Use::arrived(std::uint64_t bytes) { choice_->arrived(transport_, bytes, all_->now()); }

bool Transports::Use::is_to_leave(std::uint64_t left_bytes) {
  all_->connect(peer_, choice_, left_bytes);
  const std::optional<Transport> wanted = choice_->next(left_bytes, all_->now());
  return wanted && *wanted != transport_;
}

std::optional<Duration> Transports::Use::trial_left() const {
  const std::optional<Instant> ends = choice_->trial_ends();
  if (!ends) return std::nullopt;
  return std::max(Duration(0), *ends - all_->now());
}

}  // namespace mesh::app
