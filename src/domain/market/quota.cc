#include "domain/market/quota.h"

#include <limits>

namespace mesh::market {

namespace {

constexpr std::size_t max_accounts = 4096;

std::int64_t hour_of(Instant now) { return now.time_since_epoch().count() / 3'600'000'000; }

std::uint64_t add_capped(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

}  // namespace

FreeQuota::Account FreeQuota::at(Instant now, const identity::NodeId& publisher) const {
  const std::int64_t hour = hour_of(now);
  const auto it = accounts_.find(publisher);
  if (it == accounts_.end()) return {.hour = hour};
  Account account = it->second;
  if (account.hour != hour) {
    const std::int64_t passed = std::min<std::int64_t>(63, hour - account.hour);
    account.earned >>= passed;
    account.used = 0;
    account.hour = hour;
  }
  return account;
}

FreeQuota::Account& FreeQuota::account(Instant now, const identity::NodeId& publisher) {
  const Account current = at(now, publisher);
  if (!accounts_.contains(publisher) && accounts_.size() >= max_accounts) {
    auto oldest = accounts_.begin();
    for (auto it = accounts_.begin(); it != accounts_.end(); ++it) {
      if (it->second.hour < oldest->second.hour) oldest = it;
    }
    accounts_.erase(oldest);
  }
  return accounts_[publisher] = current;
}

std::uint64_t FreeQuota::allowance(const Account& account) const {
  const std::uint64_t bonus =
      account.earned / 100 > std::numeric_limits<std::uint64_t>::max() / (std::uint64_t{policy_.served_percentage} + 1)
          ? std::numeric_limits<std::uint64_t>::max()
          : account.earned / 100 * policy_.served_percentage;
  return add_capped(policy_.fuel_per_hour, bonus);
}

Status FreeQuota::check(Instant now, const identity::NodeId& publisher, std::uint64_t fuel) const {
  const Account current = at(now, publisher);
  const std::uint64_t total = allowance(current);
  const std::uint64_t left = total > current.used ? total - current.used : 0;
  if (fuel <= left) return {};
  const std::int64_t minutes = 60 - now.time_since_epoch().count() / 60'000'000 % 60;
  return fail(ErrorCode::exhausted, "free quota used up: " + std::to_string(left) + " fuel left of " +
                                        std::to_string(total) + " this hour, " + std::to_string(fuel) +
                                        " wanted; more in " + std::to_string(minutes) + " min");
}

void FreeQuota::use(Instant now, const identity::NodeId& publisher, std::uint64_t fuel) {
  Account& current = account(now, publisher);
  current.used = add_capped(current.used, fuel);
}

void FreeQuota::earn(Instant now, const identity::NodeId& publisher, std::uint64_t fuel) {
  Account& current = account(now, publisher);
  current.earned = add_capped(current.earned, fuel);
}

}  // namespace mesh::market
