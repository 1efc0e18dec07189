#include "domain/asset/transport_choice.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mesh::asset {

namespace {

constexpr std::array dialable = {Transport::tcp, Transport::quic};
constexpr std::uint64_t microseconds_per_second = 1'000'000;
constexpr std::size_t enough_samples = 3;
constexpr std::uint64_t trial_part = 16;  // A trial's share of what is still to come is one of so many parts.

/// By which speeds are compared: of two that are about as fast the cheaper one is taken.
std::uint64_t weight(Transport transport) {
  switch (transport) {
    case Transport::tcp:
      return 11;
    case Transport::quic:
      return 10;
    case Transport::other:
      break;
  }
  return 9;
}

std::uint64_t speed_of(std::uint64_t bytes, Duration time) {
  return bytes * microseconds_per_second / static_cast<std::uint64_t>(std::max<Duration::rep>(time.count(), 1));
}

}  // namespace

std::span<const std::string_view> enum_names(Transport) {
  static constexpr std::array<std::string_view, 3> names{"tcp", "quic", "other"};
  return names;
}

Transport transport_named(std::string_view name) {
  if (name == "tcp") return Transport::tcp;
  return name == "quic" ? Transport::quic : Transport::other;
}

std::uint64_t TransportChoice::trial_share(std::uint64_t left_bytes) const {
  return std::clamp(left_bytes / trial_part, limits_.least_trial_bytes, limits_.most_trial_bytes);
}

bool TransportChoice::is_usable(Transport transport, Instant now) const {
  return way(transport).connected && way(transport).rests_until <= now;
}

void TransportChoice::rest(Transport transport, Duration time, Instant now) {
  way(transport).rests_until = std::max(way(transport).rests_until, now + time);
}

void TransportChoice::measure_anew(Instant now) {
  samples_ = 0;
  sample_bytes_ = 0;
  sample_since_ = now;
}

std::optional<Transport> TransportChoice::preferred(Instant now) const {
  if (chosen_ && is_usable(*chosen_, now)) return chosen_;
  if (!chosen_ && carrier_ && is_usable(*carrier_, now)) return carrier_;
  for (const Transport transport : dialable) {
    if (is_usable(transport, now)) return transport;
  }
  // Nothing is known yet: TCP, if both are there.
  if (!chosen_ && !carrier_) return Transport::tcp;
  return std::nullopt;
}

std::optional<Transport> TransportChoice::worth_trying(std::uint64_t left_bytes, Instant now) const {
  if (left_bytes <= limits_.worth_bytes || !carrier_) return std::nullopt;
  const bool has_fallen = samples_ >= enough_samples && chosen_ == carrier_ && way(*carrier_).speed < chosen_speed_ / 2;
  for (const Transport transport : dialable) {
    const Way& one = way(transport);
    if (transport == *carrier_ || one.rests_until > now) continue;
    if (!one.tried || *one.tried + (has_fallen ? limits_.fallen : limits_.again) <= now) return transport;
  }
  return std::nullopt;
}

std::optional<Transport> TransportChoice::next(std::uint64_t left_bytes, Instant now) {
  if (trial_ && trial_->began && now >= *trial_->began + trial_->limit)
    settle(speed_of(trial_->bytes, now - *trial_->began), now);
  // What is left came from others meanwhile.
  if (trial_ && !trial_->began && left_bytes <= limits_.worth_bytes) trial_.reset();
  if (trial_) return trial_->way;
  if (samples_ >= enough_samples && way(*carrier_).speed > 0 && is_usable(*carrier_, now)) {
    const auto transport = worth_trying(left_bytes, now);
    if (transport && way(*transport).connected) {
      const std::uint64_t share = trial_share(left_bytes);
      const std::uint64_t takes_us = share * microseconds_per_second / way(*carrier_).speed;
      trial_ = Trial{.way = *transport,
                     .share = share,
                     .bytes = 0,
                     .limit = Duration(static_cast<Duration::rep>(2 * takes_us)) + limits_.trial_grace,
                     .began = std::nullopt};
      return transport;
    }
  }
  return preferred(now);
}

std::optional<Transport> TransportChoice::to_dial(std::uint64_t left_bytes, Instant now) {
  const auto is_missing = [&](Transport transport) {
    return !way(transport).connected && !way(transport).dialing && way(transport).rests_until <= now;
  };
  if (left_bytes <= limits_.worth_bytes) return std::nullopt;
  std::optional<Transport> wanted = chosen_;
  if (!wanted || *wanted == Transport::other || !is_missing(*wanted)) wanted = worth_trying(left_bytes, now);
  if (!wanted || !is_missing(*wanted)) return std::nullopt;
  way(*wanted).dialing = true;
  return wanted;
}

void TransportChoice::dialed(Transport transport, Dialed result, Instant now) {
  Way& one = way(transport);
  one.dialing = false;
  switch (result) {
    case Dialed::connected:
      one.connected = true;
      break;
    case Dialed::not_now:
      rest(transport, limits_.not_told, now);
      break;
    case Dialed::failed:
      rest(transport, limits_.again, now);
      break;
  }
}

void TransportChoice::opened(std::optional<Transport> wanted, Transport actual, Instant now) {
  ++streams_;
  if (wanted && *wanted != actual) {
    // Its connection has gone. It is not dialed again and again.
    if (std::exchange(way(*wanted).connected, false)) rest(*wanted, limits_.broken, now);
  }
  way(actual).connected = true;
  measure_anew(now);
  const bool is_tried = trial_ && trial_->way == actual;
  if (!is_tried) carrier_ = actual;
  if (!is_tried || streams_ > 1) trial_.reset();
  if (trial_) trial_->began = now;
}

void TransportChoice::not_opened(std::optional<Transport> wanted, Instant now) {
  const bool in_trial = trial_ && wanted == trial_->way;
  if (in_trial) trial_.reset();
  if (wanted && way(*wanted).connected) rest(*wanted, in_trial ? limits_.again : limits_.broken, now);
}

void TransportChoice::arrived(Transport transport, std::uint64_t bytes, Instant now) {
  if (streams_ != 1) return;
  sample_bytes_ += bytes;
  Way& one = way(transport);
  if (now - sample_since_ >= limits_.sample) {
    const std::uint64_t speed = speed_of(sample_bytes_, now - sample_since_);
    // The first one tells of the request and of the window that opens; what was before, of another time.
    one.speed = samples_ < 2 ? speed : (one.speed + speed) / 2;
    ++samples_;
    sample_bytes_ = 0;
    sample_since_ = now;
  }
  if (!trial_ || !trial_->began || trial_->way != transport) return;
  trial_->bytes += bytes;
  if (trial_->bytes >= trial_->share && samples_ >= enough_samples) settle(one.speed, now);
}

void TransportChoice::closed(Transport transport, bool broke, Instant now) {
  MESH_CHECK(streams_ > 0, "transport-choice-streams");
  --streams_;
  measure_anew(now);
  const bool in_trial = trial_ && trial_->began && trial_->way == transport;
  if (in_trial) trial_.reset();
  if (broke) rest(transport, in_trial ? limits_.again : limits_.broken, now);
}

std::optional<Instant> TransportChoice::trial_ends() const {
  if (!trial_ || !trial_->began) return std::nullopt;
  return *trial_->began + trial_->limit;
}

void TransportChoice::settle(std::uint64_t trial_speed, Instant now) {
  const Transport tried = trial_->way;
  trial_.reset();
  way(tried).speed = trial_speed;
  way(tried).tried = now;
  chosen_ = carrier_;
  if (trial_speed * weight(tried) > way(*carrier_).speed * weight(*carrier_)) chosen_ = tried;
  chosen_speed_ = way(*chosen_).speed;
  if (*chosen_ == tried) {
    // It goes on where it is, and the other one has been measured as well.
    way(*carrier_).tried = now;
    carrier_ = tried;
  }
}

}  // namespace mesh::asset
