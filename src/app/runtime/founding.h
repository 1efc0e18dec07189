// What a federation with a ledger was founded by, where a node keeps that, and the token by which others come in.
//
// The charter names the federation and links to the genesis: together they are its height 0. A node keeps both in its home
// (federation.cbor) and is in that federation from then on. Whoever is handed them checks them against the federation's name, so it
// does not matter from whom they came.
//
// A home that comes into another federation leaves its own, where that is at height 0 and this node alone has founded it: then nothing was ever
// done in it. First its chain's storage goes, which has nothing in it, and then the one founding takes the place of the other. So whenever
// that is cut off, one of the two is in force, and never beside a chain of the other's.
//
// Bounds: a file of 1 MiB, a token of 4 KiB, 64 federations that were declined. What can go wrong: the file does not read, or is of another
// federation than the one that is asked for (conflict); a token does not read (invalid).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/ledger/ledger.h"

namespace mesh::app {

using identity::NodeId;

struct Founding {
  static constexpr std::string_view type = "founding";
  static constexpr std::uint64_t version = 1;

  identity::Charter charter;
  ledger::Genesis genesis;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("charter", self.charter);
    v("genesis", self.genesis);
  }
};

/// The federation's name on the wire: the CID of its charter.
[[nodiscard]] Cid federation_of(const Founding& founding);
/// Reads a record and checks that a ledger can begin so. Errors: invalid.
[[nodiscard]] Result<Founding> read_founding(ByteView bytes);

struct FoundingPlan {
  std::string name;
  NodeId founder;  ///< steward, validator and all else
  std::vector<NodeId> others;  ///< who founds it as well, each as the first
  bool open_enrolment = false;
  std::uint64_t credits = 1'000'000'000;  ///< micro-credits in each founder's balance
  std::uint64_t bond = 100'000'000;  ///< on top
  std::uint64_t dispute_ms = ledger::Parameters{}.dispute_ms;  ///< between a reveal and its settlement
  std::uint64_t time_ms = 0;  ///< since 1970
};
/// Errors: invalid (a name, a founder twice, more validators than there may be, amounts that do not fit).
[[nodiscard]] Result<Founding> found(const FoundingPlan& plan);

/// Where a home's node keeps the chain.
[[nodiscard]] inline std::filesystem::path chain_file(const std::filesystem::path& home) { return home / "ledger.db"; }

/// None: this home is in no federation with a ledger. Errors: storage.
[[nodiscard]] Result<std::optional<Founding>> load_founding(const std::filesystem::path& home);
/// Written whole or not at all. The same again is no error. Errors: conflict (the home is in another federation), storage.
[[nodiscard]] Status save_founding(const std::filesystem::path& home, const Founding& founding);

/// Whether `own` could leave the home's federation for another one. Errors: conflict (why not, and what to do), storage.
[[nodiscard]] Status check_leave(const std::filesystem::path& home, const Founding& known, const NodeId& own);
/// As save_founding, but a federation that the home can leave is dropped; which, is the answer. No node runs with the home. Errors: those of
/// check_leave, storage.
[[nodiscard]] Result<std::optional<Founding>> join_federation(const std::filesystem::path& home,
                                                              const Founding& founding, const NodeId& own);
/// Whether `own` has founded it, alone or with others.
[[nodiscard]] bool has_founded(const Founding& founding, const NodeId& own);

/// Federations that a person did not want to join, the latest last. Errors: storage.
[[nodiscard]] Result<std::vector<Cid>> load_declined(const std::filesystem::path& home);
/// Of more than 64 the oldest are forgotten. Errors: storage.
[[nodiscard]] Status decline(const std::filesystem::path& home, const std::vector<Cid>& federations);

inline constexpr std::size_t max_invitation_addresses = 16;

/// What a member hands to who is to come in.
struct Invitation {
  static constexpr std::string_view type = "invitation";
  static constexpr std::uint64_t version = 1;

  Cid federation;
  std::vector<std::string> addresses;  ///< of a member: multiaddrs with /p2p; 1 to 16
  std::optional<Digest> secret;  ///< by which a steward's node knows whom it invited; without one it only shows the way

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("federation", self.federation);
    v("addresses", self.addresses);
    v("secret", self.secret);
  }
};

/// "mesh.z...": the record in base58btc.
[[nodiscard]] std::string token_of(const Invitation& invitation);
[[nodiscard]] bool is_token(std::string_view text);
/// Errors: invalid.
[[nodiscard]] Result<Invitation> read_token(std::string_view text);

}  // namespace mesh::app
