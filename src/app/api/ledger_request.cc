#include "app/api/ledger_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/api/amount.h"
#include "app/api/task_request.h"

namespace mesh::app {
namespace {

constexpr std::uint64_t max_exact = std::uint64_t{1} << 53;

std::unexpected<Error> bad_field(std::string_view name, std::string_view right) {
  return fail(ErrorCode::invalid, fmt::format("bad-field: {} must be {}", name, right));
}
std::unexpected<Error> missing(std::string_view name) {
  return fail(ErrorCode::invalid, fmt::format("missing-field: {} is missing", name));
}

/// The fields of one object; each that is read is known, and the others are refused at the end.
class Fields {
 public:
  explicit Fields(const nlohmann::json& object, std::string where = {}) : object_(object), where_(std::move(where)) {}
  Fields(const nlohmann::json& object, const ledger::AccountId& own, const AccountOf& account_of,
         std::string where = {})
      : object_(object), where_(std::move(where)), own_(own), account_of_(account_of) {}

  Status amount(std::string_view name, std::uint64_t& value) {
    MESH_LET(const nlohmann::json* field, required(name));
    return read_amount(*field, name, value);
  }
  Status number(std::string_view name, std::uint64_t& value) {
    MESH_LET(const nlohmann::json* field, required(name));
    return read_number(*field, name, value);
  }
  Status number(std::string_view name, std::optional<std::uint64_t>& value) {
    const nlohmann::json* field = find(name);
    if (field == nullptr || field->is_null()) return {};
    return read_number(*field, name, value.emplace());
  }
  Status flag(std::string_view name, bool& value) {
    const nlohmann::json* field = find(name);
    if (field == nullptr) return {};
    if (!field->is_boolean()) return bad_field(full(name), "true or false");
    value = field->get<bool>();
    return {};
  }
  /// Left out it is empty; how long it may be is for the ledger to say, which says it by name.
  Status text(std::string_view name, std::string& value) {
    const nlohmann::json* field = find(name);
    if (field == nullptr) return {};
    if (!field->is_string()) return bad_field(full(name), "text");
    value = field->get<std::string>();
    return {};
  }
  Status account(std::string_view name, ledger::AccountId& value) {
    MESH_LET(const nlohmann::json* field, required(name));
    if (!field->is_string()) return bad_field(full(name), "a did");
    auto parsed = parse_account(field->get_ref<const std::string&>(), own_, account_of_);
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    value = *parsed;
    return {};
  }
  Status cid(std::string_view name, Cid& value) {
    MESH_LET(const nlohmann::json* field, required(name));
    auto parsed = field->is_string() ? Cid::from_text(field->get_ref<const std::string&>())
                                     : Result<Cid>(fail(ErrorCode::invalid, ""));
    if (!parsed) return bad_field(full(name), "a CID");
    value = *parsed;
    return {};
  }
  Status roles(std::string_view name, std::vector<ledger::Role>& value) {
    MESH_LET(const nlohmann::json* field, required(name));
    const auto problem = [&](std::string_view text) {
      return fail(ErrorCode::invalid, fmt::format("bad-roles: {} {}: it is a list of member, worker, verifier, "
                                                  "validator and steward, each at most once and at least one",
                                                  full(name), text));
    };
    if (!field->is_array() || field->empty() || field->size() > 5) return problem("is none");
    for (const nlohmann::json& item : *field) {
      const auto names = enum_names(ledger::Role{});
      const auto found = item.is_string() ? std::ranges::find(names, item.get_ref<const std::string&>()) : names.end();
      if (found == names.end()) return problem("has a role that there is not");
      value.push_back(static_cast<ledger::Role>(found - names.begin()));
    }
    // The record has them in this order.
    std::ranges::sort(value);
    if (std::ranges::adjacent_find(value) != value.end()) return problem("has a role twice");
    return {};
  }
  Status seats(std::string_view name, std::vector<ledger::SetValidators::Seat>& value) {
    MESH_LET(const nlohmann::json* field, required(name));
    if (!field->is_array() || field->empty() || field->size() > ledger::max_validators)
      return bad_field(full(name), "a list of 1 to 64 {account, power}");
    for (std::size_t i = 0; i < field->size(); ++i) {
      const nlohmann::json& item = (*field)[i];
      const std::string where = fmt::format("{}[{}]", full(name), i);
      if (!item.is_object()) return bad_field(where, "{account, power}");
      Fields fields(item, own_, account_of_, where);
      ledger::SetValidators::Seat seat;
      MESH_TRY(fields.account("account", seat.account));
      MESH_TRY(fields.amount("power", seat.power));
      MESH_TRY(fields.finish());
      value.push_back(seat);
    }
    std::ranges::sort(value, {}, &ledger::SetValidators::Seat::account);
    return {};
  }
  /// Names the first field that nobody asked for.
  [[nodiscard]] Status finish() const {
    for (const auto& [name, value] : object_.items()) {
      if (std::ranges::find(seen_, name) == seen_.end()) {
        return fail(ErrorCode::invalid, fmt::format("unknown-field: there is no field {} here; see /openapi.json",
                                                    full(name.substr(0, 64))));
      }
    }
    return {};
  }

 private:
  [[nodiscard]] std::string full(std::string_view name) const {
    return where_.empty() ? fmt::format("\"{}\"", name) : fmt::format("{}.{}", where_, name);
  }
  const nlohmann::json* find(std::string_view name) {
    seen_.emplace_back(name);
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  Result<const nlohmann::json*> required(std::string_view name) {
    const nlohmann::json* field = find(name);
    if (field == nullptr) return missing(full(name));
    return field;
  }
  [[nodiscard]] Status read_number(const nlohmann::json& field, std::string_view name, std::uint64_t& value) const {
    if (!field.is_number_unsigned() || field.get<std::uint64_t>() > max_exact)
      return bad_field(full(name), "an integer from 0 to 2^53");
    value = field.get<std::uint64_t>();
    return {};
  }
  [[nodiscard]] Status read_amount(const nlohmann::json& field, std::string_view name, std::uint64_t& value) const {
    if (field.is_string()) {
      auto parsed = parse_micros(field.get_ref<const std::string&>());
      if (!parsed) return std::unexpected(std::move(parsed.error()));
      value = *parsed;
      return {};
    }
    if (!field.is_number_unsigned() || field.get<std::uint64_t>() > max_exact) {
      return fail(ErrorCode::invalid,
                  fmt::format("bad-amount: {} must be whole micro-credits, as decimal text from \"0\" to "
                              "\"18446744073709551615\", or as an integer up to 2^53",
                              full(name)));
    }
    value = field.get<std::uint64_t>();
    return {};
  }

  const nlohmann::json& object_;
  std::string where_;
  ledger::AccountId own_;
  AccountOf account_of_;
  std::vector<std::string> seen_;
};

Result<ledger::Body> parse_body(const std::string& kind, Fields& fields) {
  if (kind == ledger::Transfer::type) {
    ledger::Transfer body;
    MESH_TRY(fields.account("to", body.to));
    MESH_TRY(fields.amount("amount", body.amount));
    MESH_TRY(fields.text("memo", body.memo));
    return body;
  }
  if (kind == ledger::Grant::type) {
    ledger::Grant body;
    MESH_TRY(fields.account("to", body.to));
    MESH_TRY(fields.amount("amount", body.amount));
    MESH_TRY(fields.text("reason", body.reason));
    return body;
  }
  if (kind == ledger::Bond::type) {
    ledger::Bond body;
    MESH_TRY(fields.amount("amount", body.amount));
    return body;
  }
  if (kind == ledger::Unbond::type) {
    ledger::Unbond body;
    MESH_TRY(fields.amount("amount", body.amount));
    return body;
  }
  if (kind == ledger::Admit::type) {
    ledger::Admit body;
    MESH_TRY(fields.account("node", body.node));
    MESH_TRY(fields.roles("roles", body.roles));
    std::string owner;
    MESH_TRY(fields.text("owner", owner));
    if (!owner.empty()) body.owner = owner;
    MESH_TRY(fields.number("expires_height", body.expires_height));
    return body;
  }
  if (kind == ledger::Revoke::type) {
    ledger::Revoke body;
    MESH_TRY(fields.account("node", body.node));
    MESH_TRY(fields.text("reason", body.reason));
    return body;
  }
  if (kind == ledger::Attest::type) {
    ledger::Attest body;
    MESH_TRY(fields.number("memory_mb", body.memory_mb));
    MESH_TRY(fields.number("fuel_per_second", body.fuel_per_second));
    MESH_TRY(fields.flag("verifies", body.verifies));
    return body;
  }
  if (kind == ledger::SetValidators::type) {
    ledger::SetValidators body;
    MESH_TRY(fields.number("from_height", body.from_height));
    MESH_TRY(fields.seats("validators", body.validators));
    return body;
  }
  if (kind == ledger::Refund::type) {
    ledger::Refund body;
    MESH_TRY(fields.cid("intent", body.intent));
    return body;
  }
  if (kind == ledger::Dispute::type) {
    ledger::Dispute body;
    MESH_TRY(fields.cid("commitment", body.commitment));
    MESH_TRY(fields.text("reason", body.reason));
    return body;
  }
  return fail(ErrorCode::invalid,
              fmt::format("bad-kind: \"{}\" cannot be asked for: the kinds are transfer, bond, unbond, grant, "
                          "member, revoke, attest, validators, refund and dispute; another key is "
                          "asked for with POST /api/v1/ledger/rotation; others come as signed envelopes",
                          kind.substr(0, 64)));
}

/// What the ledger would refuse any transaction of this form for, before it takes a number of the account's.
Status check_form(const ledger::Body& body) {
  return std::visit(
      [](const auto& one) -> Status {
        auto read = ledger::decode(record::encode(Envelope{record::encode(one), {}, {}}));
        if (!read) return std::unexpected(std::move(read.error()));
        return {};
      },
      body);
}

}  // namespace

Result<bool> parse_wait(std::string_view text) {
  if (text == "final") return true;
  if (text == "waiting") return false;
  return bad_field("\"wait\"", "final (it is in a block that is certain) or waiting (it waits to be in one)");
}

Result<ledger::AccountId> parse_account(std::string_view text, const ledger::AccountId& own,
                                        const AccountOf& account_of) {
  if (text == "self") return own;
  auto node = identity::parse_node(text);
  if (!node) {
    return fail(ErrorCode::invalid,
                fmt::format("bad-account: \"{}\" is no did:key:z6Mk... of an Ed25519 key, nor its PeerId: {}",
                            text.substr(0, 128), node.error().message));
  }
  return account_of ? account_of(*node) : *node;
}

namespace {

Status read_waiting(Fields& fields, bool& wait_final, milliseconds& timeout) {
  std::string wait = "final";
  std::optional<std::uint64_t> timeout_ms;
  MESH_TRY(fields.text("wait", wait));
  MESH_TRY(fields.number("timeout_ms", timeout_ms));
  MESH_LET(wait_final, parse_wait(wait));
  if (!timeout_ms) return {};
  if (*timeout_ms == 0 || *timeout_ms > max_wait_ms) return bad_field("\"timeout_ms\"", "1 to 120000");
  timeout = milliseconds(*timeout_ms);
  return {};
}

}  // namespace

Result<LedgerRequest> parse_ledger_request(ByteView body, const ledger::AccountId& own, const AccountOf& account_of) {
  MESH_LET(const nlohmann::json json, parse_json(body));
  Fields fields(json, own, account_of);
  std::string kind;
  if (!json.contains("kind")) return missing("\"kind\"");
  MESH_TRY(fields.text("kind", kind));
  LedgerRequest request;
  MESH_TRY(read_waiting(fields, request.wait_final, request.timeout));
  MESH_LET(request.body, parse_body(kind, fields));
  MESH_TRY(fields.finish());
  MESH_TRY(check_form(request.body));
  return request;
}

Result<RotationRequest> parse_rotation_request(ByteView body) {
  MESH_LET(const nlohmann::json json, parse_json(body));
  Fields fields(json);
  RotationRequest request;
  MESH_TRY(read_waiting(fields, request.wait_final, request.timeout));
  MESH_TRY(fields.flag("at_once", request.at_once));
  MESH_TRY(fields.finish());
  return request;
}

}  // namespace mesh::app
