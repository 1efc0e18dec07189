// How a ledger begins: the genesis record, to which the federation's charter links, says who has what at height 0.
//
// Bounds: 1,024 founders, 64 of them validators. The numbers of a genesis are refused by name where they do not fit together.
#pragma once

#include "domain/ledger/state.h"

namespace mesh::ledger {

inline constexpr std::size_t max_founders = 1024;

/// A founding member. Its credential has no expiry and is its own.
struct Founder {
  AccountId account;
  std::uint64_t credits = 0;  ///< in the balance
  std::uint64_t bonded = 0;  ///< on top
  std::uint64_t weight = 0;  ///< reputation to begin with, 0 to 1000
  std::uint64_t power = 0;  ///< as a validator; above 0 goes with the role and a bond of the minimum
  std::vector<Role> roles;
  std::optional<std::string> owner;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("account", self.account);
    v("credits", self.credits);
    v("bonded", self.bonded);
    v("weight", self.weight);
    v("power", self.power);
    v("roles", self.roles);
    v("owner", self.owner);
  }
  bool operator==(const Founder&) const = default;
};

struct Genesis {
  static constexpr std::string_view type = "genesis";
  static constexpr std::uint64_t version = 1;
  static constexpr std::uint64_t max_weight = 1000;

  std::uint64_t time_ms = 0;  ///< no block is earlier
  std::vector<Founder> founders;  ///< ascending by account; a steward and a validator among them
  Parameters parameters;
  std::uint64_t treasury = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("time_ms", self.time_ms);
    v("founders", self.founders);
    v("parameters", self.parameters);
    v("treasury", self.treasury);
  }
  bool operator==(const Genesis&) const = default;
};

/// The charter of a federation whose ledger begins so.
[[nodiscard]] identity::Charter charter_of(std::string name, const Cid& policy, const Genesis& genesis);

/// The state at height 0. Refuses a genesis that the charter does not name, and one whose numbers do not fit.
[[nodiscard]] Result<State> found(const identity::Charter& charter, const Genesis& genesis);

}  // namespace mesh::ledger
