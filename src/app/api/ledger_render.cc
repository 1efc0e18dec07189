#include "app/api/ledger_render.h"

#include <algorithm>
#include <bit>

#include "codec/multibase.h"
#include "domain/market/pricing.h"
#include "domain/reputation/counters.h"

namespace mesh::app {
namespace {

using identity::did_of;

std::string amount(std::uint64_t micros) { return std::to_string(micros); }

Json dids(const std::vector<NodeId>& nodes) {
  Json list = Json::array();
  for (const NodeId& node : nodes) list.push_back(did_of(node));
  return list;
}

Json roles_json(const std::vector<ledger::Role>& roles) {
  Json list = Json::array();
  for (const ledger::Role role : roles) list.push_back(word(role));
  return list;
}

Json shards_json(const std::vector<task::ShardRange>& ranges) {
  Json list = Json::array();
  for (const task::ShardRange& range : ranges) list.push_back(Json::array({range.first, range.count}));
  return list;
}

/// What a signed record inside of a transaction is.
Json attached_json(ByteView bytes) {
  const auto envelope = record::decode<Envelope>(bytes);
  const auto type = envelope ? type_of(envelope->body) : Result<std::string>(fail(ErrorCode::invalid, ""));
  if (!type) return {{"bytes", bytes.size()}};
  return {{"type", *type}, {"cid", envelope->cid().text()}, {"signer", did_of(envelope->key)}};
}

/// Lists a transaction's own fields.
struct FieldsJson {
  Json json = Json::object();

  template <class T>
  void operator()(std::string_view name, const T& field) {
    if (name == "account" || name == "sequence") return;
    json[std::string(name)] = name == "amount" ? Json(amount_of(field)) : value_of(field);
  }

 private:
  template <class T>
  static Json amount_of(const T& field) {
    if constexpr (std::same_as<T, std::uint64_t>) return amount(field);
    return value_of(field);
  }
  template <class T>
  static Json value_of(const T& field) {
    if constexpr (record::is_optional<T>::value) {
      return field ? value_of(*field) : Json(nullptr);
    } else if constexpr (std::same_as<T, Bytes>) {
      return attached_json(field);
    } else if constexpr (record::is_vector<T>::value) {
      Json list = Json::array();
      for (const auto& item : field) list.push_back(value_of(item));
      return list;
    } else if constexpr (std::same_as<T, Cid>) {
      return field.text();
    } else if constexpr (std::same_as<T, PublicKey>) {
      return did_of(field);
    } else if constexpr (record::FixedByteString<T>) {
      return to_hex(field.view());
    } else if constexpr (record::NamedEnum<T>) {
      return word(field);
    } else if constexpr (std::same_as<T, ledger::SetValidators::Seat>) {
      return {{"account", did_of(field.account)}, {"power", amount(field.power)}};
    } else {
      static_assert(std::integral<T> || std::same_as<T, std::string>);
      return field;
    }
  }
};

Json validators_json(const ledger::ValidatorSet& set, const NodeId& own) {
  Json list = Json::array();
  for (const ledger::Validator& one : set.validators) {
    list.push_back({{"account", did_of(one.account)},
                    {"key", did_of(one.key)},
                    {"power", amount(one.power)},
                    {"stake", amount(one.stake)},
                    {"self", one.account == own}});
  }
  return list;
}

Json draw_json(const ledger::WorkDraw& draw) {
  Json nodes = Json::array();
  for (std::size_t i = 0; i < draw.nodes.size(); ++i)
    nodes.push_back({{"node", did_of(draw.nodes[i])}, {"weight", draw.weights[i]}});
  return {{"height", draw.height},       {"block", draw.block.text()},      {"time", block_time_text(draw.time_ms)},
          {"beacon", draw.beacon.hex()}, {"eligible", draw.eligible.hex()}, {"seats", draw.seats},
          {"width", draw.width},         {"nodes", std::move(nodes)}};
}

Json header_json(const chain::FinalBlock& final, const ledger::Block& block) {
  const ledger::BlockHeader& header = block.header;
  Json parents = Json::array();
  for (const Cid& parent : header.parents) parents.push_back(parent.text());
  const auto certified = chain::read_certificate(final.certificate);
  return {{"height", header.height},
          {"cid", block.cid().text()},
          {"time", block_time_text(header.time_ms)},
          {"proposer", did_of(header.proposer)},
          {"parents", std::move(parents)},
          {"transaction_list", header.transactions.text()},
          {"transaction_count", block.list.transactions.size()},
          {"state_root", header.state_root.hex()},
          {"beacon", header.beacon.hex()},
          {"round", certified ? certified->round : 0},
          {"signers", certified ? dids(certified->signers) : Json::array()},
          {"bytes", final.block.size()}};
}

Json attestation_json(const ledger::Attestation* attestation) {
  if (attestation == nullptr) return nullptr;
  return {{"memory_mb", attestation->memory_mb},
          {"fuel_per_second", attestation->fuel_per_second},
          {"verifies", attestation->verifies},
          {"height", attestation->height}};
}

/// What others have shown that it signed and should not have.
Json conflict_json(const ledger::Conflict* conflict) {
  if (conflict == nullptr) return nullptr;
  return {{"sequence", conflict->sequence},
          {"first", conflict->first.text()},
          {"second", conflict->second.text()},
          {"reporter", did_of(conflict->reporter)},
          {"height", conflict->height}};
}

Json offence_json(const ledger::Offence* offence) {
  if (offence == nullptr) return nullptr;
  return {{"kind", word(offence->kind)},     {"key", did_of(offence->signed_by)},
          {"height", offence->height},       {"until_height", offence->until_height},
          {"taken", amount(offence->taken)}, {"reporter", did_of(offence->reporter)}};
}

Json reputation_json(const ledger::Ledger& ledger, const ledger::AccountId& account, std::uint64_t bonded) {
  const ledger::State& state = ledger.state();
  const ledger::Reputation* entry = state.tables.reputation.find(account);
  const std::uint64_t epoch = reputation::epoch_of(state.frame.time_ms);
  const auto& rules = ledger::active_policy().reputation;
  const std::uint32_t score = entry == nullptr ? 0 : reputation::score_of(*entry, epoch, rules);
  const reputation::Counters counters = entry == nullptr ? reputation::Counters::newcomer(account, epoch)
                                                         : reputation::brought_forward(*entry, epoch, rules);
  return {{"score", score},
          {"draw_weight", reputation::draw_weight(score, bonded)},
          {"execution", amount(counters.execution)},
          {"verification", amount(counters.verification)},
          {"timely", amount(counters.timely)},
          {"missed", amount(counters.missed)}};
}

}  // namespace

std::string block_time_text(std::uint64_t ms) {
  constexpr std::uint64_t year_10000 = 253'402'300'800'000;  // Who votes may call any time its own.
  return rfc3339(static_cast<std::int64_t>(std::min(ms, year_10000 - 1)));
}

Json ledger_json(const ledger::Ledger& ledger, const LedgerStatus& status) {
  const ledger::Frame& frame = ledger.state().frame;
  const ledger::Totals& totals = frame.totals;
  const ledger::Parameters& rules = frame.parameters;
  const ledger::Member* member = ledger.member(status.own);
  const std::uint64_t next = frame.height + 1;
  const bool counts = member != nullptr && !member->roles.empty() && check_role(member, member->roles.front(), next);
  return {{"federation", {{"name", status.name}, {"cid", frame.federation.text()}}},
          {"height", frame.height},
          {"durable_height", status.durable_height},
          {"base_height", status.base},
          {"head", frame.last_block.text()},
          {"state_root", ledger.state_root().hex()},
          {"time", block_time_text(frame.time_ms)},
          {"account", did_of(status.own)},
          {"roles", counts ? roles_json(member->roles) : Json::array()},
          {"signs_from", status.signs_from ? Json(*status.signs_from) : Json(nullptr)},
          {"stopped", status.stopped ? Json(status.stopped->message) : Json(nullptr)},
          {"waiting", status.waiting},
          {"waiting_bytes", status.waiting_bytes},
          {"totals",
           {{"supply", amount(totals.supply)},
            {"granted", amount(totals.granted)},
            {"balances", amount(totals.balances)},
            {"bonded", amount(totals.bonded)},
            {"unbonding", amount(totals.unbonding)},
            {"escrowed", amount(totals.escrowed)},
            {"treasury", amount(totals.treasury)}}},
          {"parameters",
           {{"minimum_bond", amount(rules.minimum_bond)},
            {"lock_ms", rules.lock_ms},
            {"answer_ms", rules.answer_ms},
            {"dispute_ms", rules.dispute_ms},
            {"notice_ms", rules.notice_ms},
            {"skip_penalty", amount(rules.skip_penalty)},
            {"max_time_ahead_ms", rules.max_time_ahead_ms},
            {"transaction_fee", amount(rules.transaction_fee)},
            {"minimum_balance", amount(rules.minimum_balance)},
            {"enrolment", word(rules.enrolment)}}},
          {"accounts", ledger.state().tables.accounts.size()},
          {"members", ledger.state().tables.members.size()},
          {"validators", validators_json(frame.validators_at(next), status.own)}};
}

Json account_json(const ledger::Ledger& ledger, const ledger::AccountId& id, chain::Height durable_height, bool prove) {
  const ledger::State& state = ledger.state();
  const ledger::Account none(id);
  const ledger::Account* found = ledger.account(id);
  const ledger::Account& account = found == nullptr ? none : *found;
  const ledger::Member* member = ledger.member(id);
  Json unbonding = Json::array();
  for (const ledger::Unbonding& one : account.unbonding())
    unbonding.push_back({{"amount", amount(one.amount)}, {"release", block_time_text(one.release_ms)}});
  Json json{{"account", did_of(id)},
            {"peer", identity::peer_id_of(account.signer())},
            {"exists", found != nullptr},
            {"balance", amount(account.balance)},
            {"bonded", amount(account.bonded)},
            {"at_stake", amount(account.at_stake)},
            {"unbonding", std::move(unbonding)},
            {"sequence", account.sequence},
            {"key", did_of(account.signer())},
            {"member", member == nullptr ? Json(nullptr) : member_json(*member, account.signer(), ledger.height() + 1)},
            {"attestation", attestation_json(state.tables.attestations.find(id))},
            {"reputation", reputation_json(ledger, id, account.bonded)},
            {"conflict", conflict_json(state.tables.conflicts.find(id))},
            {"offence", offence_json(state.tables.offences.find(id))},
            {"height", ledger.height()},
            {"durable_height", durable_height},
            {"state_root", ledger.state_root().hex()}};
  if (prove) {
    json["proof"] = {
        {"block", state.frame.last_block.text()},
        {"height", ledger.height()},
        {"state_root", ledger.state_root().hex()},
        {"entry_proof", multibase_encode(Base::base64, record::encode(ledger.prove_account(id))).substr(1)}};
  }
  return json;
}

Json member_json(const ledger::Member& member, const PublicKey& key, std::uint64_t height) {
  const bool in_force = !member.revoked && (!member.expires_height || height < *member.expires_height);
  return {{"account", did_of(member.node)},
          {"peer", identity::peer_id_of(key)},
          {"roles", roles_json(member.roles)},
          {"in_force", in_force},
          {"revoked", member.revoked},
          {"expires_height", member.expires_height ? Json(*member.expires_height) : Json(nullptr)},
          {"issuer", did_of(member.issuer)},
          {"owner", member.owner ? Json(*member.owner) : Json(nullptr)},
          {"weight", member.weight}};
}

Json escrow_json(const ledger::Escrow& escrow) {
  std::uint64_t claimed = 0;
  for (const std::uint8_t byte : escrow.claimed) claimed += static_cast<std::uint64_t>(std::popcount(byte));
  return {{"intent", escrow.intent.text()},
          {"publisher", did_of(escrow.publisher)},
          {"owner", escrow.owner.empty() ? Json(nullptr) : Json(escrow.owner)},
          {"state", escrow.ended    ? "ended"
                    : escrow.closed ? "closed"
                                    : "open"},
          {"shards", escrow.shards},
          {"claimed", claimed},
          {"paid", escrow.paid},
          {"works", escrow.works},
          {"fee", amount(escrow.fee)},
          {"held", amount(escrow.held)},
          {"value", amount(escrow.value)},
          {"verifiers", escrow.verifiers},
          {"fuel", escrow.fuel},
          {"memory_mb", escrow.memory_mb},
          {"run_ms", escrow.run_ms},
          {"spent_awards", escrow.spent.size()},
          {"closes", block_time_text(escrow.closes_ms)},
          {"forgotten", block_time_text(escrow.forget_ms)}};
}

Json work_json(const ledger::Work& work) {
  Json draws = Json::array();
  for (const ledger::WorkDraw& draw : work.draws) draws.push_back(draw_json(draw));
  Json answers = Json::array();
  for (const ledger::Answer& answer : work.answers) {
    answers.push_back({{"node", did_of(answer.node)},
                       {"commitment", answer.commitment.text()},
                       {"draw", answer.round},
                       {"shards", shards_json(answer.shards)},
                       {"revealed", answer.revealed},
                       {"differing", answer.differing}});
  }
  Json passed_over = Json::array();
  for (const ledger::Work::PassedOver& one : work.passed_over)
    passed_over.push_back({{"node", did_of(one.node)}, {"draw", one.round}, {"until", block_time_text(one.until_ms)}});
  Json payouts = Json::array();
  for (const ledger::Payout& payout : work.payouts)
    payouts.push_back(
        {{"account", did_of(payout.account)}, {"amount", amount(payout.amount)}, {"from_bond", payout.from_bond}});
  return {{"commitment", work.commitment.text()},
          {"intent", work.intent.text()},
          {"award", work.award.text()},
          {"worker", did_of(work.worker)},
          {"shards", shards_json(work.shards)},
          {"cost", amount(work.cost)},
          {"timeliness_per_mille", work.timeliness},
          {"anchored_height", work.anchored_height},
          {"phase", word(work.phase)},
          {"due", block_time_text(work.due_ms)},
          {"draws", std::move(draws)},
          {"answers", std::move(answers)},
          {"passed_over", std::move(passed_over)},
          {"receipt", work.receipt ? Json(work.receipt->text()) : Json(nullptr)},
          {"disputed_by", work.disputed_by ? Json(did_of(*work.disputed_by)) : Json(nullptr)},
          {"dispute_stake", amount(work.dispute_stake)},
          {"ending", work.ending ? Json(word(*work.ending)) : Json(nullptr)},
          {"accepted", work.accepted},
          {"rejected", work.rejected},
          {"undecided", work.undecided},
          {"payouts", std::move(payouts)},
          {"to_treasury", amount(work.to_treasury)}};
}

Json transaction_json(ByteView envelope, std::size_t number) {
  const auto transaction = ledger::decode(envelope);
  // None of a block that is final; a stored one that is damaged is still shown for what can be read of it.
  if (!transaction) return {{"number", number}, {"error", transaction.error().message}, {"bytes", envelope.size()}};
  Json json{
      {"number", number},
      {"cid", transaction->cid.text()},
      {"kind", std::visit([](const auto& body) { return std::decay_t<decltype(body)>::type; }, transaction->body)},
      {"account", did_of(transaction->account)},
      {"sequence", transaction->sequence},
      {"signer", did_of(transaction->signer)},
      {"bytes", envelope.size()}};
  FieldsJson fields;
  std::visit([&](const auto& body) { std::decay_t<decltype(body)>::fields(body, fields); }, transaction->body);
  json["fields"] = std::move(fields.json);
  return json;
}

Json price_json(const ledger::Ledger& ledger, std::uint64_t fuel) {
  const market::RecentPrices prices = ledger::recent_prices(ledger.state());
  const std::optional<std::uint64_t> price = prices.median();
  const policy::RewardSettings& rewards = ledger::active_policy().reward_settings;
  return {{"height", ledger.height()},
          {"price", price ? Json(amount(*price)) : Json(nullptr)},
          {"works", prices.count()},
          {"fuel", fuel},
          {"fee", amount(market::propose_fee({.fuel = fuel}, price, rewards))}};
}

Result<Json> block_head_json(const chain::FinalBlock& final) {
  MESH_LET(const ledger::Block block, chain::read_block(final.block));
  return header_json(final, block);
}

Result<Json> block_json(const chain::FinalBlock& final) {
  MESH_LET(const ledger::Block block, chain::read_block(final.block));
  Json json = header_json(final, block);
  json["transactions"] = Json::array();
  for (std::size_t i = 0; i < block.list.transactions.size(); ++i)
    json["transactions"].push_back(transaction_json(block.list.transactions[i], i));
  return json;
}

bool concerns(const ledger::Transaction& transaction, const ledger::AccountId& account) {
  if (transaction.account == account) return true;
  return std::visit(
      [&](const auto& body) {
        if constexpr (requires { body.to; }) return body.to == account;
        if constexpr (requires { body.node; }) return body.node == account;
        return false;
      },
      transaction.body);
}

}  // namespace mesh::app
