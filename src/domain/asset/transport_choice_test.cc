#include "domain/asset/transport_choice.h"

#include <gtest/gtest.h>

namespace mesh::asset {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t much = 1024 * mib;

/// A peer whose transports are as fast as a test says, and somebody who fetches from it as it is decided.
class TransportChoiceTest : public testing::Test {
 protected:
  [[nodiscard]] Instant now() const { return Instant(std::chrono::milliseconds(now_ms)); }

  /// Opens a stream where it is wanted, if that is connected, else over `base`.
  void open(std::uint64_t left = much) {
    const auto wanted = choice.next(left, now());
    on = wanted && *wanted != Transport::other && connected.at(static_cast<std::size_t>(*wanted)) ? *wanted : base;
    choice.opened(wanted, on, now());
  }
  void close(bool broke = false) { choice.closed(on, broke, now()); }

  /// A leaf comes each 10 ms, as large as the transport is fast.
  void fetch(std::int64_t ms) {
    for (; ms > 0; ms -= 10) {
      now_ms += 10;
      choice.arrived(on, speeds.at(static_cast<std::size_t>(on)) / 100, now());
    }
  }

  /// Goes on as LeafFetch does: looks after each leaf whether the next request should go elsewhere.
  void fetch_by_choice(std::int64_t ms, std::uint64_t left = much) {
    for (; ms > 0; ms -= 10) {
      fetch(10);
      if (const auto wanted = choice.next(left, now()); wanted && *wanted != on) {
        close();
        open(left);
        ++moves;
      }
      if (const auto dial = choice.to_dial(left, now())) {
        dials.push_back(*dial);
        const bool works = can_dial.at(static_cast<std::size_t>(*dial));
        if (works) connected.at(static_cast<std::size_t>(*dial)) = true;
        choice.dialed(*dial, works ? TransportChoice::Dialed::connected : refusal, now());
      }
    }
  }

  std::int64_t now_ms = 1000;
  TransportChoice choice;
  Transport base = Transport::tcp, on = Transport::tcp;
  std::array<bool, 3> connected{true, false, true};
  std::array<bool, 3> can_dial{true, true, false};
  std::array<std::uint64_t, 3> speeds{100 * mib, 100 * mib, 50 * mib};
  TransportChoice::Dialed refusal = TransportChoice::Dialed::failed;
  std::vector<Transport> dials;
  int moves = 0;
};

TEST_F(TransportChoiceTest, TcpIsFirstWhereBothAreConnected) {
  EXPECT_EQ(choice.next(much, now()), Transport::tcp);
  EXPECT_EQ(choice.to_dial(much, now()), std::nullopt);  // Nothing is known to be connected.
  connected[1] = true;
  open();
  EXPECT_EQ(on, Transport::tcp);
}

TEST_F(TransportChoiceTest, TheFasterOneCarriesTheRest) {
  speeds = {100 * mib, 150 * mib, 0};
  open();
  fetch_by_choice(3000);
  EXPECT_EQ(dials, (std::vector{Transport::quic}));
  EXPECT_EQ(on, Transport::quic);
  EXPECT_EQ(moves, 1);
  EXPECT_EQ(choice.chosen(), Transport::quic);
  EXPECT_NEAR(static_cast<double>(choice.speed(Transport::quic)), 150.0 * mib, mib);
}

TEST_F(TransportChoiceTest, WhatIsSlowerOrNoMoreThanAsFastIsLeft) {
  for (const std::uint64_t speed : {60 * mib, 100 * mib, 109 * mib}) {
    choice = TransportChoice();
    speeds[1] = speed;
    connected[1] = false;
    on = Transport::tcp;
    moves = 0;
    open();
    fetch_by_choice(3000);
    EXPECT_EQ(on, Transport::tcp) << speed;
    EXPECT_EQ(moves, 2) << speed;
    EXPECT_EQ(choice.chosen(), Transport::tcp) << speed;
    close();
  }
}

TEST_F(TransportChoiceTest, ATrialIsBoundedBothWays) {
  EXPECT_EQ(choice.trial_share(65 * mib), 8 * mib);
  EXPECT_EQ(choice.trial_share(512 * mib), 32 * mib);
  EXPECT_EQ(choice.trial_share(100 * much), 64 * mib);
  // It takes as long as twice its share would have taken, and the grace, and no longer.
  speeds[1] = 1 * mib;
  open();
  fetch_by_choice(500);
  EXPECT_EQ(on, Transport::quic);
  const auto ends = choice.trial_ends();
  ASSERT_TRUE(ends);
  fetch_by_choice(3000);
  EXPECT_EQ(on, Transport::tcp);
  EXPECT_EQ(choice.chosen(), Transport::tcp);
  EXPECT_LE(*ends - Instant(std::chrono::milliseconds(1000)), std::chrono::milliseconds(500 + 2 * 640 + 500));
  EXPECT_EQ(choice.trial_ends(), std::nullopt);
}

TEST_F(TransportChoiceTest, OneThatSendsNothingAtAllHasLost) {
  speeds[1] = 0;
  open();
  fetch_by_choice(500);
  ASSERT_EQ(on, Transport::quic);
  now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(choice.trial_ends()->time_since_epoch()).count() + 1;
  EXPECT_EQ(choice.next(much, now()), Transport::tcp);
  EXPECT_EQ(choice.chosen(), Transport::tcp);
}

TEST_F(TransportChoiceTest, NothingIsTriedForLittle) {
  open(64 * mib);
  fetch_by_choice(5000, 64 * mib);
  EXPECT_TRUE(dials.empty());
  EXPECT_EQ(moves, 0);
  EXPECT_EQ(choice.next(64 * mib, now()), Transport::tcp);
}

TEST_F(TransportChoiceTest, TcpIsTriedBesideQuic) {
  base = Transport::quic;
  connected = {false, true, false};
  open();
  EXPECT_EQ(on, Transport::quic);
  fetch_by_choice(3000);
  EXPECT_EQ(dials, (std::vector{Transport::tcp}));
  EXPECT_EQ(on, Transport::tcp);  // As fast, and cheaper.
  EXPECT_EQ(choice.chosen(), Transport::tcp);
}

TEST_F(TransportChoiceTest, BothAreTriedBesideAWebSocket) {
  base = Transport::other;
  connected = {false, false, true};
  speeds = {100 * mib, 200 * mib, 50 * mib};
  open();
  fetch_by_choice(5000);
  EXPECT_EQ(dials, (std::vector{Transport::tcp, Transport::quic}));
  EXPECT_EQ(on, Transport::quic);
}

TEST_F(TransportChoiceTest, WhatCannotBeDialedIsDialedAgainRarelyAndNotWaitedFor) {
  can_dial[1] = false;
  open();
  fetch_by_choice(60'000);
  EXPECT_EQ(dials.size(), 1U);
  EXPECT_EQ(moves, 0);
  now_ms += std::chrono::milliseconds(std::chrono::minutes(30)).count();
  fetch_by_choice(100);
  EXPECT_EQ(dials.size(), 2U);
}

TEST_F(TransportChoiceTest, WhatAPeerHasNotToldYetIsAskedForAgainSoon) {
  can_dial[1] = false;
  refusal = TransportChoice::Dialed::not_now;
  open();
  fetch_by_choice(10'500);
  EXPECT_EQ(dials.size(), 3U);
  can_dial[1] = true;
  speeds[1] *= 2;
  fetch_by_choice(10'000);
  EXPECT_EQ(on, Transport::quic);
}

TEST_F(TransportChoiceTest, ADialIsAnsweredOnce) {
  open();
  fetch(200);
  EXPECT_EQ(choice.to_dial(much, now()), Transport::quic);
  EXPECT_EQ(choice.to_dial(much, now()), std::nullopt);
}

TEST_F(TransportChoiceTest, WhatBreaksRestsAndTheOtherGoesOn) {
  speeds[1] = 200 * mib;
  open();
  fetch_by_choice(3000);
  ASSERT_EQ(on, Transport::quic);
  close(true);
  open();
  EXPECT_EQ(on, Transport::tcp);
  fetch_by_choice(20'000);
  EXPECT_EQ(on, Transport::tcp);
  fetch_by_choice(20'000);  // Half a minute has passed; it is still known to be the faster.
  EXPECT_EQ(on, Transport::quic);
}

TEST_F(TransportChoiceTest, WhatBreaksInItsTrialIsNotTriedAgainForLong) {
  open();
  fetch_by_choice(300);
  ASSERT_EQ(on, Transport::quic);
  close(true);
  open();
  EXPECT_EQ(on, Transport::tcp);
  fetch_by_choice(60'000);
  EXPECT_EQ(on, Transport::tcp);
  EXPECT_EQ(choice.chosen(), std::nullopt);
}

TEST_F(TransportChoiceTest, WhereBothBreakWhateverThereIsGoesOn) {
  connected[1] = true;
  open();
  fetch_by_choice(3000);
  close(true);
  open();
  close(true);
  EXPECT_EQ(choice.next(much, now()), std::nullopt);
  open();
  EXPECT_EQ(on, base);
  fetch_by_choice(3000);
  EXPECT_EQ(on, base);
}

TEST_F(TransportChoiceTest, AConnectionThatHasGoneIsNoticedAndDialedOnceMore) {
  speeds[1] = 200 * mib;
  open();
  fetch_by_choice(3000);
  ASSERT_EQ(on, Transport::quic);
  close();
  connected[1] = false;  // It idled.
  dials.clear();
  open();
  EXPECT_EQ(on, Transport::tcp);
  fetch_by_choice(25'000);
  EXPECT_TRUE(dials.empty());
  fetch_by_choice(10'000);
  EXPECT_EQ(dials, (std::vector{Transport::quic}));
  EXPECT_EQ(on, Transport::quic);
  EXPECT_EQ(choice.chosen(), Transport::quic);
}

TEST_F(TransportChoiceTest, ItIsTriedAgainAfterLongOrWhenTheSpeedHasFallen) {
  speeds[1] = 200 * mib;
  open();
  fetch_by_choice(3000);
  ASSERT_EQ(on, Transport::quic);
  moves = 0;
  fetch_by_choice(10 * 60'000);
  EXPECT_EQ(moves, 0);
  speeds[1] = 90 * mib;  // By more than a half.
  fetch_by_choice(10'000);
  EXPECT_EQ(on, Transport::tcp);
  EXPECT_EQ(moves, 1);
  speeds[1] = 200 * mib;
  fetch_by_choice(29 * 60'000);
  EXPECT_EQ(on, Transport::tcp);
  fetch_by_choice(2 * 60'000);
  EXPECT_EQ(on, Transport::quic);
}

TEST_F(TransportChoiceTest, SeveralStreamsAtOnceAreNotMeasured) {
  open();
  fetch(300);
  const std::uint64_t before = choice.speed(Transport::tcp);
  choice.opened(std::nullopt, Transport::tcp, now());
  speeds[0] = 10 * mib;
  connected[1] = true;
  fetch_by_choice(5000);
  EXPECT_EQ(choice.speed(Transport::tcp), before);
  EXPECT_EQ(on, Transport::tcp);
  EXPECT_EQ(choice.chosen(), std::nullopt);
  // Alone again, it is.
  close();
  fetch_by_choice(5000);
  EXPECT_LT(choice.speed(Transport::tcp), before);
  EXPECT_EQ(choice.chosen(), Transport::quic);
  // A second stream ends a trial that is under way.
  choice = TransportChoice();
  on = Transport::tcp;
  open();
  fetch_by_choice(300);
  ASSERT_TRUE(choice.trial_ends());
  choice.opened(choice.next(0, now()), Transport::quic, now());
  EXPECT_FALSE(choice.trial_ends());
  EXPECT_EQ(choice.next(much, now()), Transport::tcp);
}

TEST_F(TransportChoiceTest, AStreamThatCannotBeOpenedLeavesTheOther) {
  speeds[1] = 200 * mib;
  open();
  fetch_by_choice(3000);
  close();
  EXPECT_EQ(choice.next(much, now()), Transport::quic);
  choice.not_opened(Transport::quic, now());
  EXPECT_EQ(choice.next(much, now()), Transport::tcp);
  choice.not_opened(Transport::tcp, now());
  EXPECT_EQ(choice.next(much, now()), std::nullopt);
  choice.not_opened(std::nullopt, now());
  EXPECT_EQ(choice.streams(), 0U);
}

TEST_F(TransportChoiceTest, NamesAreTheNetworks) {
  EXPECT_EQ(transport_named("tcp"), Transport::tcp);
  EXPECT_EQ(transport_named("quic"), Transport::quic);
  for (const std::string_view name : {"ws", "wss", "relay", "other", ""})
    EXPECT_EQ(transport_named(name), Transport::other);
  for (const Transport transport : {Transport::tcp, Transport::quic, Transport::other})
    EXPECT_EQ(transport_named(enum_names(transport)[static_cast<std::size_t>(transport)]), transport);
}

}  // namespace
}  // namespace mesh::asset
