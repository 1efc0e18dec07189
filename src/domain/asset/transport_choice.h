// Over which transport content comes from one peer: TCP or QUIC, whichever has brought more bytes a second.
//
// Only content that is fetched anyway is measured, by whoever asks for it: he alone knows when the peer owed something and when
// he himself held it up. At first it is TCP, where both are connected. While much is still to come (Limits::worth_bytes), the
// other one is dialed beside the transfer; once it is there a share of the work (trial_share, and at least three samples) goes
// over it, and the faster carries the rest. QUIC has to be a tenth faster, since it costs more of the processors. It has lost
// when its share takes twice as long as it would have taken over the other, so that a trial costs little at the worst.
// What was found out is tried again rarely (Limits::again), or earlier if the speed has fallen to less than a half.
// While several streams of content to the peer are open they share the link, and nothing is measured.
// Pure: time is given, the same calls give the same answers. Bounds: a few numbers. One object for each peer; what can go wrong
// with a transport (it cannot be dialed, or breaks) lets it rest for a while.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/time.h"

namespace mesh::asset {

/// `other`: through a relay or a WebSocket; it is taken where it is all that there is, and never dialed.
enum class Transport : std::uint8_t { tcp, quic, other };
[[nodiscard]] std::span<const std::string_view> enum_names(Transport);
/// By the network's name of it.
[[nodiscard]] Transport transport_named(std::string_view name);

class TransportChoice {
 public:
  struct Limits {
    std::uint64_t worth_bytes = std::uint64_t{64}
                                << 20;  ///< nothing is tried when no more is still to come from the peer
    std::uint64_t least_trial_bytes = std::uint64_t{8} << 20;
    std::uint64_t most_trial_bytes = std::uint64_t{64} << 20;
    Duration trial_grace{std::chrono::milliseconds(500)};  ///< besides twice what the share would have taken
    Duration sample{std::chrono::milliseconds(100)};  ///< at least: shorter ones tell more of buffers than of links
    Duration again{
        std::chrono::minutes(30)};  ///< after that a transport that lost, or could not be dialed, is tried again
    Duration fallen{std::chrono::minutes(2)};  ///< the same if the speed of the one that won has fallen
    Duration broken{std::chrono::seconds(30)};  ///< for so long one that broke is not used, where there is another
    Duration not_told{std::chrono::seconds(5)};  ///< before the network is asked again for what it cannot dial yet
  };

  TransportChoice() : TransportChoice(Limits()) {}
  explicit TransportChoice(const Limits& limits) : limits_(limits) {}

  /// Of what is still to come from the peer, how much goes over the transport that is tried.
  [[nodiscard]] std::uint64_t trial_share(std::uint64_t left_bytes) const;

  /// Over which transport the next request should go while so much is still to come from the peer; nullopt: whichever there
  /// is. May begin or end a trial.
  [[nodiscard]] std::optional<Transport> next(std::uint64_t left_bytes, Instant now);

  /// Which transport is to be connected besides those that are; dialed() has to answer it.
  [[nodiscard]] std::optional<Transport> to_dial(std::uint64_t left_bytes, Instant now);
  enum class Dialed : std::uint8_t { connected, not_now, failed };
  void dialed(Transport transport, Dialed result, Instant now);

  /// A stream of content was opened. It is on `actual`, whichever was wanted.
  void opened(std::optional<Transport> wanted, Transport actual, Instant now);
  /// No stream was opened.
  void not_opened(std::optional<Transport> wanted, Instant now);
  /// Content came over it.
  void arrived(Transport transport, std::uint64_t bytes, Instant now);
  /// It ended; `broke`: not as it was meant.
  void closed(Transport transport, bool broke, Instant now);

  /// When the trial that is under way is lost.
  [[nodiscard]] std::optional<Instant> trial_ends() const;
  /// Which one has shown to be the faster.
  [[nodiscard]] std::optional<Transport> chosen() const { return chosen_; }
  /// Bytes a second, by what came lately; 0: not known.
  [[nodiscard]] std::uint64_t speed(Transport transport) const { return way(transport).speed; }
  /// Streams of content that are open.
  [[nodiscard]] std::size_t streams() const { return streams_; }

 private:
  struct Way {
    bool connected = false;  ///< as far as is known
    bool dialing = false;
    std::uint64_t speed = 0;
    Instant rests_until = Instant::min();
    std::optional<Instant> tried;  ///< when a trial of it ended
  };
  struct Trial {
    Transport way = Transport::tcp;
    std::uint64_t share = 0;
    std::uint64_t bytes = 0;
    Duration limit{0};
    std::optional<Instant> began;
  };

  [[nodiscard]] Way& way(Transport transport) { return ways_.at(static_cast<std::size_t>(transport)); }
  [[nodiscard]] const Way& way(Transport transport) const { return ways_.at(static_cast<std::size_t>(transport)); }
  [[nodiscard]] bool is_usable(Transport transport, Instant now) const;
  [[nodiscard]] std::optional<Transport> preferred(Instant now) const;
  [[nodiscard]] std::optional<Transport> worth_trying(std::uint64_t left_bytes, Instant now) const;
  void rest(Transport transport, Duration time, Instant now);
  void measure_anew(Instant now);
  void settle(std::uint64_t trial_speed, Instant now);

  Limits limits_;
  std::array<Way, 3> ways_;
  std::optional<Transport> carrier_;  ///< what goes on besides a trial
  std::optional<Transport> chosen_;
  std::uint64_t chosen_speed_ = 0;  ///< when it was chosen
  std::optional<Trial> trial_;
  std::size_t streams_ = 0;
  std::size_t samples_ = 0;  ///< of the stream that is open alone, since it is
  std::uint64_t sample_bytes_ = 0;
  Instant sample_since_ = Instant::min();
};

}  // namespace mesh::asset
