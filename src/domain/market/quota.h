// The quota of free work: what one node grants one publisher for nothing, by the hour, more to those who served it.
//
// Bounds: 4096 publishers are remembered; the one idle longest is forgotten first (and so starts afresh).
#pragma once

#include <map>

#include "base/time.h"
#include "domain/identity/identity.h"
#include "domain/policy/policy.h"

namespace mesh::market {

class FreeQuota {
 public:
  explicit FreeQuota(const policy::FreeQuota& policy) : policy_(policy) {}

  /// Whether `publisher` may have `fuel` more now; the error says what is left and when there is more.
  [[nodiscard]] Status check(Instant now, const identity::NodeId& publisher, std::uint64_t fuel) const;
  /// Books what was really used.
  void use(Instant now, const identity::NodeId& publisher, std::uint64_t fuel);
  /// `publisher` ran or verified work of ours: it may ask for more.
  void earn(Instant now, const identity::NodeId& publisher, std::uint64_t fuel);

 private:
  struct Account {
    std::int64_t hour = 0;
    std::uint64_t used = 0;
    std::uint64_t earned = 0;  ///< does not lapse with the hour, but is halved by it
  };
  Account& account(Instant now, const identity::NodeId& publisher);
  [[nodiscard]] Account at(Instant now, const identity::NodeId& publisher) const;
  [[nodiscard]] std::uint64_t allowance(const Account& account) const;

  policy::FreeQuota policy_;
  std::map<identity::NodeId, Account> accounts_;
};

}  // namespace mesh::market
