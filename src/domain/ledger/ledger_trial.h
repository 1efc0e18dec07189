// Random operations, valid and invalid, on a ledger and on the model beside it: every verdict, balance, key, set and total must be
// the same. A second ledger, with another seed in its tables, executes what the first proposes and has to come to the same roots.
// From a seed; the same seed is the same trial.
#pragma once

#include <random>

#include "domain/ledger/ledger_model.h"
#include "domain/ledger/ledger_testing.h"

namespace mesh::ledger {

class Trial {
 public:
  explicit Trial(std::uint64_t seed)
      : random_(seed),
        genesis_(genesis_of(
            {{.account = person(0).id,
              .credits = 5'000,
              .bonded = 1'000,
              .power = 1,
              .roles = {Role::validator, Role::steward}},
             {.account = person(1).id, .credits = 5'000, .bonded = 500, .roles = {Role::worker, Role::validator}}},
            {.minimum_bond = 100,
             .lock_ms = seed % 3 == 0 ? 80U : 4U,
             .transaction_fee = seed % 5 == 0 ? 0U : 3U,
             .minimum_balance = 20,
             .enrolment = seed % 2 == 0 ? Enrolment::open : Enrolment::invitation})),
        ledger_(found_on(genesis_)),
        other_(found_on(genesis_, "town", sha256(as_bytes("other")))),
        model_(genesis_) {
    for (std::uint64_t i = 0; i < 2; ++i) names_.push_back(person(i).id);
    for (std::uint64_t i = 0; i < 10; ++i) names_.push_back(nobody(i));
  }

  /// Runs so many operations. Empty, or the first difference.
  std::string run(std::uint64_t operations) {
    while (done_ < operations) {
      if (std::string difference = block(); !difference.empty())
        return difference + " at height " + std::to_string(model_.height) + ", operation " + std::to_string(done_);
    }
    return "";
  }
  /// How often each verdict came, for a look at whether all of them do.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& verdicts() const { return verdicts_; }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool chance(std::uint64_t per_mille) { return below(1000) < per_mille; }
  const AccountId& anyone() { return names_[below(names_.size())]; }

  std::uint64_t amount() {
    switch (below(12)) {
      case 0:
        return ~std::uint64_t{0} - below(3);
      case 1:
        return ~std::uint64_t{0} - model_.supply / 2 - below(3);
      case 2:
        return 100;
      default:
        return 1 + below(chance(500) ? 50 : 2'000);
    }
  }

  Grant grant() {
    Grant grant{.to = anyone(), .amount = 1 + below(500), .reason = ""};
    const std::uint64_t room = ~std::uint64_t{0} - model_.supply;
    if (chance(50) && room < ~std::uint64_t{0}) grant.amount = room + 1 + below(std::min<std::uint64_t>(~room, 3));
    if (chance(2) && room > 0) grant.amount = room;  // From then on there is no more to be had.
    return grant;
  }

  Body body(const AccountId& by) {
    const std::uint64_t in = model_.height + below(12);
    switch (below(16)) {
      case 0:
        return grant();
      case 1:
      case 2:
        return Bond{.amount = amount()};
      case 3:
      case 4:
        return Unbond{.amount = amount()};
      case 5:
      case 6: {
        Admit admit{.node = anyone()};
        for (const Role role : {Role::member, Role::worker, Role::verifier, Role::validator, Role::steward}) {
          if (chance(role == Role::member ? 900 : 400)) admit.roles.push_back(role);
        }
        if (admit.roles.empty()) admit.roles.push_back(Role::worker);
        if (chance(300)) admit.roles = {Role::member};
        if (chance(300)) admit.expires_height = in;
        return admit;
      }
      case 7:
        return Revoke{.node = anyone(), .reason = ""};
      case 8:
        return Attest{.memory_mb = 1 + below(9), .fuel_per_second = 1 + below(9), .verifies = chance(500)};
      case 9: {
        SetValidators set{.from_height = model_.height + below(chance(500) ? 4 : 12)};
        std::vector<AccountId> some = names_;
        if (chance(600)) std::erase_if(some, [&](const AccountId& one) { return !can_validate(one); });
        if (some.empty()) some = {names_[0]};
        std::ranges::sort(some);
        for (const AccountId& one : some) {
          if (chance(400) || (set.validators.empty() && one == some.back()))
            set.validators.push_back({one, 1 + below(9)});
        }
        return set;
      }
      case 10:
        return Rotate{.key = chance(300) ? key_of(anyone()) : nobody(100 + below(20))};
      case 11: {
        const AccountId& some = anyone();
        const AccountId& about = some == by ? names_[by == names_[0] ? 1 : 0] : some;
        const std::uint64_t sequence = below(9);
        Bytes first = unsigned_envelope(Bond{.account = about, .sequence = sequence, .amount = 1}, some_key_of(about));
        Bytes second =
            unsigned_envelope(Unbond{.account = about, .sequence = sequence, .amount = 1}, some_key_of(about));
        if (chance(500)) std::swap(first, second);
        return Evidence{.first = std::move(first), .second = std::move(second)};
      }
      default:
        return Transfer{.to = chance(100) ? nobody(below(40)) : anyone(), .amount = amount(), .memo = ""};
    }
  }

  bool can_validate(const AccountId& id) const {
    const auto credential = model_.credentials.find(id);
    const auto purse = model_.purses.find(id);
    return credential != model_.credentials.end() && !credential->second.revoked && !credential->second.expires &&
           std::ranges::count(credential->second.roles, Role::validator) > 0 && purse != model_.purses.end() &&
           purse->second.bond >= genesis_.parameters.minimum_bond;
  }

  PublicKey key_of(const AccountId& id) {
    const auto found = model_.purses.find(id);
    return found == model_.purses.end() ? id : found->second.key;
  }

  /// One that it has or had.
  PublicKey some_key_of(const AccountId& id) {
    if (!model_.purses.contains(id) || chance(50)) return anyone();
    const std::vector<PublicKey>& old = model_.purses[id].old_keys;
    return old.empty() || chance(500) ? key_of(id) : old[old.size() - 1 - below(std::min<std::size_t>(old.size(), 6))];
  }

  Opened operation() {
    const AccountId by = chance(250) ? names_[0] : anyone();
    Body next = body(by);
    const auto purse = model_.purses.find(by);
    std::uint64_t sequence = purse == model_.purses.end() ? 0 : purse->second.next;
    if (chance(30)) sequence += 1 + below(3);
    if (chance(30) && sequence > 0) sequence -= 1 + below(sequence);
    const PublicKey key = chance(20) ? anyone() : key_of(by);
    return std::visit(
        [&](auto& one) {
          one.account = by;
          one.sequence = sequence;
          return as_signed(one, key);
        },
        next);
  }

  std::string block() {
    // Each operation is made when those before it are in the model, so that it can build on them.
    std::vector<Opened> offered;
    std::vector<std::string> expected;
    const Model before = model_;
    const std::uint64_t time_ms = model_.time_ms + (chance(50) ? below(200) : below(3));
    const auto due = model_.due();
    const bool something_due = !due.empty() && due.begin()->first <= time_ms;
    if (ledger_.next_due().has_value() == due.empty() || (!due.empty() && *ledger_.next_due() != due.begin()->first))
      return "another time at which something is due";
    model_.begin_block(time_ms);
    for (std::uint64_t count = below(40); count > 0; --count, ++done_) {
      offered.push_back(operation());
      expected.push_back(model_.apply(*offered.back()));
      ++verdicts_[expected.back()];
    }
    const AccountId proposer = ledger_.state().frame.validators_at(model_.height).validators.front().account;
    const Proposer header{.account = proposer, .time_ms = time_ms};
    Result<Proposal> proposal = ledger_.propose(offered, header);
    if (!proposal) return "no proposal: " + proposal.error().message;
    std::vector<std::string> verdicts(offered.size(), "taken");
    for (const Proposal::Refused& one : proposal->refused)
      verdicts[one.index] = one.error.message.substr(0, one.error.message.find(':'));
    for (std::size_t i = 0; i < offered.size(); ++i) {
      if (verdicts[i] != expected[i]) return "the ledger says " + verdicts[i] + ", the model " + expected[i];
    }
    const bool of_use = something_due || std::ranges::count(expected, "taken") > 0;
    if (proposal->of_use != of_use) return "the two differ about whether a block is of use";
    if (of_use) return carry_out(*proposal);
    model_ = before;
    return execute(ledger_, *proposal, proposal->block.block()) ? "a block without use is taken" : compare();
  }

  static Result<Draft> execute(const Ledger& ledger, const Proposal& proposal, Block block) {
    return ledger.execute(*OpenedBlock::join(std::move(block), {proposal.block.transactions().begin(),
                                                                proposal.block.transactions().end()}),
                          std::nullopt);
  }

  /// As others execute it, after they were offered it spoilt.
  std::string carry_out(Proposal& proposal) {
    Block spoilt = proposal.block.block();
    spoilt.header.state_root.data()[below(32)] ^= static_cast<std::uint8_t>(1 + below(255));
    if (execute(other_, proposal, spoilt)) return "a block with another state root is taken";
    Result<Draft> draft = execute(other_, proposal, proposal.block.block());
    if (!draft) return "the proposal is refused: " + draft.error().message;
    other_.commit(std::move(*draft));
    ledger_.commit(std::move(proposal.draft));
    if (ledger_.state().frame.last_block != other_.state().frame.last_block)
      return "the two name the block differently";
    if (other_.state_root() != ledger_.state_root()) return "the two come to different roots";
    if (ledger_.state_root() != proposal.block.block().header.state_root) return "another state root after the commit";
    return compare();
  }

  std::string compare() {
    for (const auto& [id, purse] : model_.purses) {
      const Account* account = ledger_.account(id);
      if (account == nullptr) return "an account is missing";
      bool same = account->balance == purse.balance && account->bonded == purse.bond &&
                  account->at_stake == model_.stake_of(id) && account->sequence == purse.next &&
                  account->signer() == purse.key &&
                  account->record().former.value_or(std::vector<PublicKey>()) == model_.latest_keys(id) &&
                  account->unbonding().size() == purse.leaving.size();
      for (std::size_t i = 0; same && i < purse.leaving.size(); ++i) {
        same = account->unbonding()[i] == purse.leaving[i];
      }
      if (!same) return "an account differs";
    }
    for (const auto& [node, credential] : model_.credentials) {
      const Member* member = ledger_.member(node);
      if (member == nullptr || member->roles != credential.roles || member->revoked != credential.revoked ||
          member->expires_height != credential.expires)
        return "a credential differs";
    }
    for (const auto& [node, attest] : model_.attested) {
      const Attestation* attestation = ledger_.state().tables.attestations.find(node);
      if (attestation == nullptr || attestation->memory_mb != attest.memory_mb ||
          attestation->fuel_per_second != attest.fuel_per_second || attestation->verifies != attest.verifies)
        return "an attestation differs";
    }
    for (const auto& [about, report] : model_.conflicts) {
      const Conflict* conflict = ledger_.state().tables.conflicts.find(about);
      if (conflict == nullptr || conflict->sequence != report.sequence || conflict->first != *report.bodies.begin() ||
          conflict->second != *report.bodies.rbegin() || conflict->reporter != report.reporter ||
          conflict->height != report.height)
        return "a conflict differs";
    }
    const auto& tables = ledger_.state().tables;
    if (tables.accounts.size() != model_.purses.size() || tables.members.size() != model_.credentials.size() ||
        tables.attestations.size() != model_.attested.size() || tables.conflicts.size() != model_.conflicts.size())
      return "a table has another size";
    const auto due = model_.due();
    const auto same_due = [](const Due& a, const auto& b) { return a == due_withdrawal(b.second, b.first); };
    if (!std::ranges::equal(ledger_.state().due, due, same_due)) return "the queue of what is due differs";
    const Frame& frame = ledger_.state().frame;
    if (frame.totals.supply != model_.supply || frame.totals.granted != model_.granted ||
        frame.totals.treasury != model_.treasury)
      return "a total differs";
    ++verdicts_[std::to_string(frame.scheduled.size()) + " sets to come"];
    if (frame.height != model_.height || frame.time_ms != model_.time_ms) return "the frame differs";
    if (!is_same(frame.validators, model_.council)) return "the validators differ";
    const auto same_set = [this](const ValidatorSet& set, const auto& council) {
      return set.from_height == council.first && is_same(set, council.second);
    };
    if (!std::ranges::equal(frame.scheduled, model_.coming, same_set)) return "the validators to come differ";
    std::string broken = broken_invariant(ledger_.state());
    return broken.empty() ? broken_invariant(other_.state()) : broken;
  }

  [[nodiscard]] bool is_same(const ValidatorSet& set, const Model::Council& council) const {
    return std::ranges::equal(set.validators, council, [&](const Validator& one, const auto& seat) {
      return one == Validator{seat.first, seat.second.key, seat.second.power, genesis_.parameters.minimum_bond};
    });
  }

  std::mt19937_64 random_;
  Genesis genesis_;
  Ledger ledger_;
  Ledger other_;
  Model model_;
  std::vector<AccountId> names_;
  std::uint64_t done_ = 0;
  std::map<std::string, std::uint64_t> verdicts_;
};

}  // namespace mesh::ledger
