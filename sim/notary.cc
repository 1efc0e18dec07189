#include "sim/notary.h"

#include <algorithm>

#include "base/check.h"

namespace mesh::sim {

Notary::Notary(std::span<const Seed> hosts)
    : validator_(*Seed::from(tagged_hash("meshwork/sim/validator", {}).view())), seeds_(hosts.begin(), hosts.end()) {
  using ledger::Role;
  std::vector<ledger::Founder> founders{{.account = public_key_of(validator_),
                                         .credits = credits,
                                         .bonded = bond,
                                         .power = 1,
                                         .roles = {Role::member, Role::validator, Role::steward}}};
  for (const Seed& seed : seeds_) {
    accounts_.push_back(public_key_of(seed));
    founders.push_back({.account = accounts_.back(),
                        .credits = credits,
                        .bonded = bond,
                        .roles = {Role::member, Role::worker, Role::verifier}});
  }
  std::ranges::sort(founders, {}, &ledger::Founder::account);
  const ledger::Genesis genesis{.time_ms = genesis_ms,
                                .founders = std::move(founders),
                                .parameters = {.answer_ms = 5'000,
                                               .dispute_ms = 10'000,
                                               .notice_ms = 10'000,
                                               .skip_penalty = 0,
                                               .transaction_fee = 0,
                                               .minimum_balance = 1}};
  charter_ = ledger::charter_of("simulated", policy::cid_of({}), genesis);
  Result<ledger::Ledger> founded = ledger::Ledger::found(charter_, genesis, {});
  MESH_CHECK(founded.has_value(), "sim-ledger-is-founded");
  ledger_.emplace(std::move(*founded));
  for (std::uint32_t host = 0; host < seeds_.size(); ++host) {
    ask(host, 0,
        {.id = 0,
         .body = ledger::Attest{
             .account = {}, .memory_mb = 1024, .fuel_per_second = 1'000'000'000'000'000, .verifies = true}});
  }
  const Made made = make_block(genesis_ms);
  MESH_CHECK(made.block && made.block->transactions().size() == seeds_.size(), "sim-hosts-say-what-they-can-run");
}

std::uint64_t Notary::wealth(std::uint32_t host) const {
  const ledger::Account* found = ledger_->account(account(host));
  std::uint64_t sum = found->balance + found->bonded;
  for (const ledger::Unbonding& one : found->unbonding()) sum += one.amount;
  return sum;
}

std::uint64_t Notary::bonded(std::uint32_t host) const { return ledger_->account(account(host))->bonded; }

std::uint32_t Notary::score(std::uint32_t host) const {
  const ledger::State& state = ledger_->state();
  const ledger::Reputation* counters = state.tables.reputation.find(account(host));
  if (counters == nullptr) return 0;
  return reputation::score_of(*counters, reputation::epoch_of(state.frame.time_ms), ledger::active_policy().reputation);
}

const ledger::Escrow* Notary::escrow(const Cid& intent) const {
  return ledger_->state().tables.escrows.find(intent.digest());
}

std::vector<ledger::Work> Notary::works() const {
  std::vector<ledger::Work> all;
  ledger_->state().tables.works.visit([&](const ledger::Work& one) {
    all.push_back(one);
    return true;
  });
  return all;
}

void Notary::ask(std::uint32_t host, std::uint64_t life, node::effect::Transact transact) {
  asked_.push_back({host, life, std::move(transact)});
}

ledger::Opened Notary::signed_by(std::uint32_t host, ledger::Body body, std::uint64_t sequence) const {
  const identity::Signer signer(seeds_[host], federation());
  return std::visit(
      [&](auto& one) {
        one.account = account(host);
        one.sequence = sequence;
        return ledger::sign(one, signer);
      },
      body);
}

ledger::Proposal Notary::propose(std::span<const ledger::Opened> offered, std::uint64_t time_ms) const {
  Result<ledger::Proposal> made =
      ledger_->propose(offered, {.account = public_key_of(validator_), .time_ms = time_ms, .beacon = {}});
  MESH_CHECK(made.has_value(), "sim-notary-proposes");
  return std::move(*made);
}

Notary::Made Notary::make_block(std::uint64_t time_ms) {
  Made made;
  if (asked_.empty() && !ledger_->wants_empty_block(time_ms)) return made;
  const std::uint64_t height = ledger_->height() + 1;
  // One after the other, so that one that is refused leaves no gap in its account's numbers.
  std::map<std::uint32_t, std::uint64_t> taken;
  std::vector<ledger::Opened> offered;
  for (Asked& one : std::exchange(asked_, {})) {
    const std::uint64_t sequence = ledger_->account(account(one.host))->sequence + taken[one.host];
    offered.push_back(signed_by(one.host, std::move(one.transact.body), sequence));
    const ledger::Proposal proposal = propose(offered, time_ms);
    Result<std::uint64_t> answer = height;
    if (proposal.refused.empty()) {
      ++taken[one.host];
    } else {
      const Error& error = proposal.refused.front().error;
      ++refusals_[error.message.substr(0, error.message.find(':'))];
      answer = std::unexpected(error);
      offered.pop_back();
    }
    made.answers.push_back({one.host, one.life, {one.transact.id, std::move(answer)}});
  }
  ledger::Proposal proposal = propose(offered, time_ms);
  if (!proposal.of_use) return made;
  made.touched = node::touched_by(proposal.draft);
  made.block = std::move(proposal.block);
  ledger_->commit(std::move(proposal.draft));
  for (const ledger::Opened& one : made.block->transactions()) {
    if (!one->attachments) continue;
    for (const auto& verification : one->attachments->verifications)
      shown_.insert_or_assign(verification.record.commitment, verification.record);
  }
  return made;
}

}  // namespace mesh::sim
