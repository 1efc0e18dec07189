// Opens streams of content, each over the transport by which its peer has shown to be the fastest, and has a second one
// connected while that is worth it (domain/asset/transport_choice.h decides; the network dials, and closes what idles).
//
// It is here that speeds are compared, and not in the network: a stream there may be slow because nobody asked for more, or
// because a Pacer or the disk holds it up.
//
// On the thread of its io_context. Bounds: max_peers, of which those used least recently are forgotten. What can go wrong: a
// transport that cannot be dialed is not waited for; a stream whose transport has gone is opened over the other.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "app/runtime/stream_opener.h"
#include "domain/asset/transport_choice.h"

namespace mesh::app {

class Transports : public std::enable_shared_from_this<Transports> {
 public:
  struct Limits {
    std::size_t max_peers = 1024;
    asset::TransportChoice::Limits choice;
    std::function<Instant()> now = steady_now;  ///< by which speeds are measured; never goes back
  };

  /// `opener` outlives the streams' opening.
  Transports(boost::asio::io_context& io, StreamOpener& opener, Limits limits)
      : io_(io), opener_(opener), limits_(std::move(limits)) {}
  Transports(const Transports&) = delete;
  Transports& operator=(const Transports&) = delete;

  /// A stream of content, for as long as it is open. Whoever has it owns the descriptor.
  class Use {
   public:
    Use(std::shared_ptr<Transports> all, std::shared_ptr<asset::TransportChoice> choice, const NodeId& peer,
        OpenedStream opened);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    [[nodiscard]] int descriptor() const { return opened_.descriptor; }
    /// The network's name of it.
    [[nodiscard]] const std::string& transport() const { return opened_.transport; }

    void arrived(std::uint64_t bytes);
    /// Whether the next request should go over another transport while so much is still to come from the peer. May have one
    /// connected.
    [[nodiscard]] bool is_to_leave(std::uint64_t left_bytes);
    /// It ends otherwise than it was meant.
    void break_off() { broke_ = true; }
    /// For how long yet it may go on if it is a trial that does not bring what it should.
    [[nodiscard]] std::optional<Duration> trial_left() const;

   private:
    std::shared_ptr<Transports> all_;
    std::shared_ptr<asset::TransportChoice> choice_;
    NodeId peer_;
    OpenedStream opened_;
    asset::Transport transport_;
    bool broke_ = false;
  };

  /// `left_bytes`: how much is still to come from the peer, as far as is known. Errors: open_stream's.
  [[nodiscard]] boost::asio::awaitable<Result<std::shared_ptr<Use>>> open(NodeId peer, std::string_view protocol,
                                                                          std::uint64_t left_bytes, Duration limit);

  /// What is known of a peer; nullptr: nothing.
  [[nodiscard]] const asset::TransportChoice* of(const NodeId& peer) const;

 private:
  struct Known {
    std::shared_ptr<asset::TransportChoice> choice;
    Instant used;
  };

  [[nodiscard]] static Instant steady_now();
  [[nodiscard]] Instant now() const { return limits_.now(); }
  std::shared_ptr<asset::TransportChoice> choice_for(const NodeId& peer);
  void connect(const NodeId& peer, const std::shared_ptr<asset::TransportChoice>& choice, std::uint64_t left_bytes);

  boost::asio::io_context& io_;
  StreamOpener& opener_;
  Limits limits_;
  std::map<NodeId, Known> peers_;
};

}  // namespace mesh::app
