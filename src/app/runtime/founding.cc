#include "app/runtime/founding.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "adapters/store/chain_store.h"
#include "app/runtime/files.h"
#include "codec/multibase.h"
#include "domain/policy/policy.h"

namespace mesh::app {

namespace {

constexpr std::size_t max_file_bytes = std::size_t{1} << 20;
constexpr std::size_t max_token_bytes = std::size_t{4} << 10;
constexpr std::size_t max_address_bytes = 512;
constexpr std::uint64_t founders_weight = 500;
constexpr std::string_view token_prefix = "mesh.";

constexpr std::size_t max_declined = 64;

std::filesystem::path file_in(const std::filesystem::path& home) { return home / "federation.cbor"; }
std::filesystem::path declined_in(const std::filesystem::path& home) { return home / "declined.cbor"; }

struct Declined {
  static constexpr std::string_view type = "declined-federations";
  static constexpr std::uint64_t version = 1;
  std::vector<Cid> federations;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("federations", self.federations);
  }
};

Error file_error(std::string_view what, const std::filesystem::path& file) {
  return {ErrorCode::storage, fmt::format("{} {} failed: {}", what, file.string(), std::strerror(errno))};
}

Status write_whole(const std::filesystem::path& file, ByteView bytes) {
  const std::filesystem::path temporary = fmt::format("{}.{}.new", file.string(), ::getpid());
  ::unlink(temporary.c_str());
  {
    const FileDescriptor out(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out.is_open()) return std::unexpected(file_error("making", temporary));
    if (::write(out.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
        ::fsync(out.get()) != 0 || ::rename(temporary.c_str(), file.c_str()) != 0) {
      const Error error = file_error("writing", file);
      ::unlink(temporary.c_str());
      return std::unexpected(error);
    }
  }
  const FileDescriptor folder(::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) return std::unexpected(file_error("syncing", file));
  return {};
}

Status make_home(const std::filesystem::path& home) {
  std::error_code error;
  std::filesystem::create_directories(home, error);
  if (!error) return {};
  return fail(ErrorCode::storage, fmt::format("the home {} cannot be made: {}", home.string(), error.message()));
}

/// None: the file is not there.
Result<std::optional<std::string>> read_whole(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return std::nullopt;
  if (std::filesystem::file_size(file, error) > max_file_bytes || error)
    return fail(ErrorCode::storage, fmt::format("{} is none of this program's: it is too large", file.string()));
  std::ifstream stream(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) return std::unexpected(file_error("reading", file));
  return text;
}

Error stays(const Founding& known, std::string_view why) {
  return {
      ErrorCode::conflict,
      fmt::format("this home is in the federation {} ({}) already, and stays in it: {}; a node of another one needs a "
                  "home of its own (--home)",
                  known.charter.name, federation_of(known).text(), why)};
}

}  // namespace

Cid federation_of(const Founding& founding) { return dagcbor::cid_of(record::encode(founding.charter)); }

Result<Founding> read_founding(ByteView bytes) {
  MESH_LET(Founding founding, record::decode<Founding>(bytes));
  if (auto ledger = ledger::found(founding.charter, founding.genesis); !ledger)
    return wrap("the federation's founding", std::move(ledger.error()));
  return founding;
}

Result<Founding> found(const FoundingPlan& plan) {
  MESH_TRY(identity::check_name(plan.name));
  std::vector<NodeId> nodes = plan.others;
  nodes.push_back(plan.founder);
  std::ranges::sort(nodes);
  if (const auto twice = std::ranges::adjacent_find(nodes); twice != nodes.end())
    return fail(ErrorCode::invalid, fmt::format("{} is named twice among the founders", identity::did_of(*twice)));
  ledger::Genesis genesis;
  genesis.time_ms = plan.time_ms;
  genesis.parameters.dispute_ms = plan.dispute_ms;
  if (plan.open_enrolment) genesis.parameters.enrolment = ledger::Enrolment::open;
  for (const NodeId& node : nodes) {
    genesis.founders.push_back({.account = node,
                                .credits = plan.credits,
                                .bonded = plan.bond,
                                .weight = founders_weight,
                                .power = 1,
                                .roles = {ledger::Role::member, ledger::Role::worker, ledger::Role::verifier,
                                          ledger::Role::validator, ledger::Role::steward},
                                .owner = {}});
  }
  Founding founding{.charter = ledger::charter_of(plan.name, policy::cid_of(policy::MeshPolicy{}), genesis),
                    .genesis = std::move(genesis)};
  if (auto ledger = ledger::found(founding.charter, founding.genesis); !ledger)
    return std::unexpected(std::move(ledger.error()));
  return founding;
}

Result<std::optional<Founding>> load_founding(const std::filesystem::path& home) {
  const std::filesystem::path file = file_in(home);
  MESH_LET(const std::optional<std::string> text, read_whole(file));
  if (!text) return std::nullopt;
  auto founding = read_founding(as_bytes(*text));
  if (!founding)
    return fail(ErrorCode::storage,
                fmt::format("{} is damaged ({}): remove it and come in again with a token (mesh up --join TOKEN)",
                            file.string(), founding.error().message));
  return std::move(*founding);
}

Status save_founding(const std::filesystem::path& home, const Founding& founding) {
  MESH_LET(const std::optional<Founding> known, load_founding(home));
  if (known) {
    if (federation_of(*known) == federation_of(founding)) return {};
    return fail(
        ErrorCode::conflict,
        fmt::format("this home is in the federation {} ({}) already: a node of another one needs a home of its own "
                    "(--home)",
                    known->charter.name, federation_of(*known).text()));
  }
  MESH_TRY(make_home(home));
  return write_whole(file_in(home), record::encode(founding));
}

bool has_founded(const Founding& founding, const NodeId& own) {
  return std::ranges::find(founding.genesis.founders, own, &ledger::Founder::account) !=
         founding.genesis.founders.end();
}

Status check_leave(const std::filesystem::path& home, const Founding& known, const NodeId& own) {
  if (!has_founded(known, own)) return std::unexpected(stays(known, "others founded it"));
  if (known.genesis.founders.size() > 1) return std::unexpected(stays(known, "others founded it with this node"));
  std::error_code error;
  if (!std::filesystem::exists(chain_file(home), error)) return {};
  MESH_LET(const auto chain, store::ChainStore::open(chain_file(home), federation_of(known)));
  const Status unused = chain->check_unused();
  if (unused) return {};
  if (unused.error().code != ErrorCode::conflict) return unused;
  return std::unexpected(
      stays(known, unused.error().message + ", and joining chains that have a history is not built"));
}

Result<std::optional<Founding>> join_federation(const std::filesystem::path& home, const Founding& founding,
                                                const NodeId& own) {
  MESH_LET(std::optional<Founding> known, load_founding(home));
  if (!known || federation_of(*known) == federation_of(founding)) {
    MESH_TRY(save_founding(home, founding));
    return std::nullopt;
  }
  MESH_TRY(check_leave(home, *known, own));
  MESH_TRY(store::ChainStore::remove_unused(chain_file(home), federation_of(*known)));
  MESH_TRY(write_whole(file_in(home), record::encode(founding)));
  return known;
}

Result<std::vector<Cid>> load_declined(const std::filesystem::path& home) {
  MESH_LET(const std::optional<std::string> text, read_whole(declined_in(home)));
  if (!text) return std::vector<Cid>();
  auto declined = record::decode<Declined>(as_bytes(*text));
  if (!declined)
    return fail(ErrorCode::storage,
                fmt::format("{} is damaged ({}): remove it, and this node asks again which federations to join",
                            declined_in(home).string(), declined.error().message));
  return std::move(declined->federations);
}

Status decline(const std::filesystem::path& home, const std::vector<Cid>& federations) {
  MESH_LET(std::vector<Cid> all, load_declined(home));
  for (const Cid& one : federations) {
    if (std::ranges::find(all, one) == all.end()) all.push_back(one);
  }
  if (all.size() > max_declined) all.erase(all.begin(), all.end() - max_declined);
  MESH_TRY(make_home(home));
  return write_whole(declined_in(home), record::encode(Declined{.federations = std::move(all)}));
}

std::string token_of(const Invitation& invitation) {
  return std::string(token_prefix) + multibase_encode(Base::base58btc, record::encode(invitation));
}

bool is_token(std::string_view text) { return text.starts_with(token_prefix); }

Result<Invitation> read_token(std::string_view text) {
  const auto problem = [](std::string_view why) {
    return fail(ErrorCode::invalid,
                fmt::format("the token does not read ({}): copy all of what `mesh peers invite` printed", why));
  };
  if (!is_token(text)) return problem("it does not begin with \"mesh.\"");
  if (text.size() > max_token_bytes) return problem("it is too long");
  auto bytes = multibase_decode(text.substr(token_prefix.size()));
  if (!bytes) return problem(bytes.error().message);
  auto invitation = record::decode<Invitation>(*bytes);
  if (!invitation) return problem(invitation.error().message);
  if (invitation->addresses.empty() || invitation->addresses.size() > max_invitation_addresses)
    return problem("it names no address, or too many");
  for (const std::string& address : invitation->addresses) {
    if (address.size() > max_address_bytes || !address.starts_with('/') || address.find("/p2p/") == std::string::npos)
      return problem("an address in it is none");
  }
  return std::move(*invitation);
}

}  // namespace mesh::app
