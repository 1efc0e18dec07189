// Random operations, valid and invalid, on a ledger and on the model beside it: every verdict, balance, key, set and total must be
// the same. A second ledger, with another seed in its tables, executes what the first proposes and has to come to the same roots.
// From a seed; the same seed is the same trial.
#pragma once

#include <random>

#include "domain/ledger/work_trial.h"

namespace mesh::ledger {

class Trial {
 public:
  explicit Trial(std::uint64_t seed)
      : share_of_work_(seed % 3 == 0 ? 200 : 700),
        ends_in_a_flood_(seed % 8 == 2),
        random_(seed),
        genesis_(genesis_of(founders(seed), {.minimum_bond = 100,
                                             .lock_ms = seed % 3 == 0   ? 80U
                                                        : seed % 4 == 1 ? 30'000'000U
                                                                        : 4U,
                                             .answer_ms = 10,
                                             .dispute_ms = seed % 4 == 0 ? 200U : 20U,
                                             .notice_ms = 30,
                                             .skip_penalty = 7,
                                             .transaction_fee = seed % 5 == 0 ? 0U : 3U,
                                             .minimum_balance = 20,
                                             .enrolment = seed % 2 == 0 ? Enrolment::open : Enrolment::invitation})),
        ledger_(found_on(genesis_)),
        other_(found_on(genesis_, "town", sha256(as_bytes("other")))),
        model_(genesis_),
        work_(random_, model_, villagers(seed), scale(seed)) {
    for (std::uint64_t i = 0; i < 2; ++i) names_.push_back(person(i).id);
    for (std::uint64_t i = 0; i < 10; ++i) names_.push_back(nobody(i));
  }

  Trial(const Trial&) = delete;  // What makes the work looks at this one's model.
  Trial& operator=(const Trial&) = delete;
  Trial(Trial&&) = delete;
  Trial& operator=(Trial&&) = delete;
  ~Trial() = default;

  /// Runs so many operations. Empty, or the first difference.
  std::string run(std::uint64_t operations) {
    while (done_ < operations) {
      if (std::string difference = block(); !difference.empty())
        return difference + " at height " + std::to_string(model_.height) + ", operation " + std::to_string(done_);
    }
    return "";
  }
  /// The same, begun with more work than the blocks after it can draw for and end.
  std::string run_crowded(std::uint64_t operations) {
    std::string difference;
    const auto step = [&](std::uint64_t later_ms) {
      jump_ = later_ms;
      if (difference.empty()) difference = block();
    };
    work_.plan_a_crowd();
    step(1);
    work_.plan_its_works();
    step(1);
    for (int i = 0; i < 4; ++i) step(1);
    step(61'000);  // Then what all of them waited for is over.
    if (!difference.empty()) return difference + " at height " + std::to_string(model_.height);
    return run(done_ + operations);
  }
  /// How often each verdict came, for a look at whether all of them do.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& verdicts() const { return verdicts_; }

 private:
  /// Eight that work and verify for each other; of some seeds so many that not all of them fit into a panel.
  static std::vector<AccountId> villagers(std::uint64_t seed) {
    std::vector<AccountId> some;
    for (std::uint64_t i = 2; i < (seed % 8 == 7 ? 80U : 10U); ++i) some.push_back(person(i).id);
    return some;
  }
  /// In some of them so much is paid that it makes reputation.
  static std::uint64_t scale(std::uint64_t seed) { return seed % 3 == 1 ? 10'000 : 1; }
  static std::vector<Founder> founders(std::uint64_t seed) {
    std::vector<Founder> all{
        {.account = person(0).id,
         .credits = 5'000,
         .bonded = 1'000,
         .power = 1,
         .roles = {Role::validator, Role::steward}},
        {.account = person(1).id, .credits = 5'000, .bonded = 500, .roles = {Role::worker, Role::validator}}};
    for (const AccountId& one : villagers(seed)) {
      const std::uint64_t n = all.size();
      all.push_back({.account = one,
                     .credits = 100'000 * scale(seed),
                     .bonded = (n % 4 == 1 ? 100 * n : 3'000 * n) * scale(seed),
                     .weight = n % 3 == 0 ? 150 * (n % 7) : 0,
                     .power = n < 5 ? n : 0,
                     .roles = {Role::member, Role::worker, Role::verifier, Role::validator},
                     .owner = n % 4 == 0 ? std::optional<std::string>("did:of:one") : std::nullopt});
    }
    return all;
  }

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
    if (ends_in_a_flood_ && chance(2) && room > 0) grant.amount = room;  // From then on there is no more to be had.
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
        if (chance(300)) admit.expires_height = chance(500) ? in : in + 1'000;
        if (chance(300)) admit.owner = "did:of:one";
        return admit;
      }
      case 7:
        return Revoke{.node = anyone(), .reason = ""};
      case 8:
        return Attest{.memory_mb = 1 + below(9), .fuel_per_second = 1 + below(9), .verifies = chance(500)};
      case 9: {
        SetValidators set{.from_height = model_.height + below(chance(500) ? 4 : 12)};
        std::vector<AccountId> some = names_;
        const bool lasts = chance(800);
        if (chance(600)) std::erase_if(some, [&](const AccountId& one) { return !can_validate(one, lasts); });
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

  bool can_validate(const AccountId& id, bool lasts) const {
    const auto credential = model_.credentials.find(id);
    const auto purse = model_.purses.find(id);
    return credential != model_.credentials.end() && !credential->second.revoked &&
           credential->second.expires.has_value() != lasts &&
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
    AccountId by = chance(250) ? names_[0] : anyone();
    Body next;
    const bool is_planned = work_.has_plans();
    if (is_planned || chance(share_of_work_)) {
      std::tie(by, next) = work_.next();
    } else {
      next = body(by);
    }
    const auto purse = model_.purses.find(by);
    std::uint64_t sequence = purse == model_.purses.end() ? 0 : purse->second.next;
    if (!is_planned && chance(15)) sequence += 1 + below(3);
    if (!is_planned && chance(15) && sequence > 0) sequence -= 1 + below(sequence);
    const PublicKey key = !is_planned && chance(10) ? anyone() : key_of(by);
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
    const std::uint64_t time_ms = model_.time_ms + later();
    const std::set<Due> due = model_.all_due();
    const bool something_due = (!due.empty() && due.begin()->time_ms <= time_ms) || model_.is_draw_awaited();
    if (ledger_.next_due().has_value() == due.empty() || (!due.empty() && *ledger_.next_due() != due.begin()->time_ms))
      return "another time at which something is due";
    // A model is large. So mostly somebody does something, else it is as if there had been nothing.
    std::optional<WorkModel> before;
    if (!something_due && chance(100)) before = model_;
    const bool is_of_use = !something_due && !before;
    const auto& validators = ledger_.state().frame.validators_at(model_.height + 1).validators;
    const AccountId proposer = validators[below(validators.size())].account;
    const Proposer header{.account = proposer, .time_ms = time_ms, .beacon = work_.link_of(proposer)};
    if (chance(20)) {
      Proposer other = header;
      other.beacon.data()[0] ^= 1;
      const Result<Proposal> wrong = ledger_.propose({}, other);
      if (wrong || !wrong.error().message.starts_with("bad-link")) return "another link of a chain is taken";
      ++verdicts_["bad-link"];
    }
    model_.begin_block(time_ms, proposer, header.beacon, ledger_.state().frame.last_block);
    const std::uint64_t count = below(40);
    bool is_used = !is_of_use;
    for (std::uint64_t i = 0; i < count || !is_used || work_.has_plans(); ++i, ++done_) {
      offered.push_back(operation());
      expected.push_back(model_.apply(*offered.back()));
      is_used = is_used || expected.back() == "taken";
      ++verdicts_[expected.back()];
    }
    Result<Proposal> proposal = ledger_.propose(offered, header);
    if (!proposal) return "no proposal: " + proposal.error().message;
    std::vector<std::string> verdicts(offered.size(), "taken");
    for (const Proposal::Refused& one : proposal->refused)
      verdicts[one.index] = one.error.message.substr(0, one.error.message.find(':'));
    for (std::size_t i = 0; i < offered.size(); ++i) {
      if (verdicts[i] == expected[i]) continue;
      return "the ledger says " + verdicts[i] + ", the model " + expected[i] + ", of " + kind_of(*offered[i]);
    }
    const bool of_use = something_due || std::ranges::count(expected, "taken") > 0;
    if (proposal->of_use != of_use) return "the two differ about whether a block is of use";
    if (of_use) return carry_out(*proposal);
    model_ = std::move(*before);
    return execute(ledger_, *proposal, proposal->block.block()) ? "a block without use is taken" : compare();
  }

  /// Mostly little; now and then so much that whatever waits for something gives it up, or all is forgotten.
  std::uint64_t later() {
    if (jump_) return *std::exchange(jump_, std::nullopt);
    const std::uint64_t is = below(1'000);
    if (is < 920) return below(3);
    if (is < 985) return below(200);
    if (is < 993) return 60'000 + below(1'000);
    if (is < 996) return below(4'000'000);
    return is < 999 ? 10'000'000 : 90'000'000;
  }

  static std::string kind_of(const Transaction& one) {
    return std::visit([]<class T>(const T&) { return std::string(T::type); }, one.body);
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
          member->expires_height != credential.expires || member->owner.value_or("") != credential.owner ||
          member->weight != credential.weight)
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
    if (ledger_.state().due != model_.all_due()) return "the queue of what is due differs";
    if (std::string difference = compare_work(); !difference.empty()) return difference;
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

  std::string compare_work() {
    const auto& tables = ledger_.state().tables;
    if (tables.escrows.size() != model_.tasks.size() || tables.works.size() != model_.jobs.size() ||
        tables.stakes.size() != model_.stakes.size() || tables.chains.size() != model_.chains.size())
      return "a table about work has another size";
    const bool looks_back = model_.height % 16 == 0;
    for (const auto& [cid, job] : model_.jobs) {
      const Work* work = tables.works.find(cid.digest());
      if (work == nullptr) return "a work is missing";
      const bool is_first = !ended_works_.contains(cid);
      if (job.phase == WorkPhase::ended && !is_first && !looks_back) continue;
      if (std::string difference = compare_job(*work, job); !difference.empty()) return "of a work " + difference;
      if (work->phase == WorkPhase::ended) {
        // What it came to stands.
        const auto past = ended_works_.emplace(cid, work->digest()).first;
        if (is_first) accepted_[work->intent] += work->accepted;
        if (!is_first && past->second != work->digest()) return "a work that ended goes on";
      }
    }
    for (const auto& [cid, task] : model_.tasks) {
      const Escrow* escrow = tables.escrows.find(cid.digest());
      if (escrow == nullptr) return "an escrow is missing";
      ShardSet claimed(task.intent.record.shards);
      for (const auto& [shard, by] : task.claims) claimed.put(shard);
      for (const std::uint32_t shard : task.paid) claimed.put(shard);
      if (task.ended) claimed.bytes().clear();
      if (escrow->held != task.held || escrow->paid != task.paid.size() || escrow->claimed != claimed.bytes() ||
          escrow->works != model_.open_works_under(cid) || escrow->closed != task.closed ||
          escrow->ended != task.ended || escrow->closes_ms != task.closes || escrow->forget_ms != task.forgotten ||
          escrow->spent != (task.ended ? std::vector<Cid>() : task.spent) || escrow->publisher != task.publisher ||
          escrow->owner != task.owner || escrow->signer != task.intent.signer)
        return "an escrow differs";
      if (escrow->paid != accepted_[cid]) return "a shard is paid otherwise than once";
      if (ended_escrows_.contains(cid) && !escrow->ended) return "an escrow that ended goes on";
      if (escrow->ended) ended_escrows_.insert(cid);
    }
    for (const auto& [id, stake] : model_.stakes) {
      const WorkStake* staked = tables.stakes.find(id);
      if (staked == nullptr || staked->stake != stake || staked->works != model_.open_works_of(id) ||
          staked->at_risk != model_.at_risk(id))
        return "a stake for work differs";
    }
    for (const auto& [id, chain] : model_.chains) {
      const BeaconChain* held = tables.chains.find(id);
      if (held == nullptr || WorkModel::Chain{held->link, held->left, held->skipped} != chain)
        return "a chain of the beacon differs";
    }
    if (ledger_.state().frame.beacon != model_.beacon) return "the beacon differs";
    if (tables.reputation.size() != model_.merits.size() || tables.pairs.size() != model_.pairs.size())
      return "a table about reputation has another size";
    for (const auto& [id, merit] : model_.merits) {
      const Reputation* held = tables.reputation.find(id);
      if (held == nullptr || merit != WorkModel::Merit{held->epoch, held->founding, held->execution, held->verification,
                                                       held->timely, held->missed})
        return "a reputation differs";
    }
    for (const auto& [key, pair] : model_.pairs) {
      const ReputationPair* held = tables.pairs.find(key);
      if (held == nullptr || pair != WorkModel::Pair{held->epoch, held->earned, held->missed})
        return "what somebody earned by a publisher differs";
    }
    const Totals& totals = ledger_.state().frame.totals;
    const std::uint64_t money = totals.balances + totals.bonded + totals.unbonding + totals.escrowed + totals.treasury;
    return money == first_supply_ + model_.granted ? "" : "money came or went";
  }

  std::string compare_job(const Work& work, const WorkModel::Job& job) {
    if (work.phase != job.phase) return "the phase differs";
    if (work.due_ms != job.due && job.phase != WorkPhase::drawing) return "the time differs at which its phase is over";
    if (work.worker != job.worker || work.cost != job.cost || work.timeliness != job.timeliness ||
        work.anchored_height != job.anchored || work.numbers() != job.shards)
      return "what was anchored differs";
    if (work.receipt.has_value() != job.receipt.has_value()) return "the receipt differs";
    if (work.disputed_by != job.disputed_by || work.dispute_stake != job.stake) return "the dispute differs";
    if (job.phase == WorkPhase::ended) return compare_end(work, job);
    if (work.draws.size() != job.rounds.size()) return "the number of draws differs";
    std::size_t votes = 0;
    std::size_t passed = 0;
    for (std::size_t i = 0; i < job.rounds.size(); ++i) {
      const WorkModel::Round& round = job.rounds[i];
      const WorkDraw& draw = work.draws[i];
      if (draw.seats != round.seats || draw.beacon != round.beacon || draw.block != round.block ||
          draw.time_ms != round.drawn_ms)
        return "a draw differs";
      std::map<AccountId, std::uint64_t> weights;
      for (std::size_t n = 0; n < draw.nodes.size(); ++n) weights[draw.nodes[n]] = draw.weights[n];
      if (weights != round.weights) return "who was drawn differs";
      for (std::size_t row = 0; row < job.shards.size(); ++row) {
        const std::vector<AccountId>& order = round.order.at(job.shards[row]);
        if (order.size() != draw.width) return "the width of an order differs";
        for (std::size_t place = 0; place < order.size(); ++place) {
          if (draw.nodes[draw.drawn_at(row, place)] != order[place]) return "an order differs";
        }
      }
      for (const Answer& answer : work.answers) {
        if (answer.round != i) continue;
        const WorkModel::Vote* vote = round.vote(answer.node, answer.shards.at(0).first);
        if (vote == nullptr || vote->commitment.cid != answer.commitment || vote->revealed != answer.revealed)
          return "an answer differs";
        ++votes;
      }
      if (round.votes.size() != static_cast<std::size_t>(std::ranges::count(work.answers, i, &Answer::round)))
        return "the number of answers differs";
      for (const Work::PassedOver& one : work.passed_over) {
        if (one.round != i) continue;
        const auto until = round.passed.find(one.node);
        if (until == round.passed.end() || until->second != one.until_ms) return "who was passed over differs";
        ++passed;
      }
    }
    return votes == work.answers.size() && passed == work.passed_over.size() ? "" : "something is of no round";
  }

  std::string compare_end(const Work& work, const WorkModel::Job& job) {
    if (work.ending != job.ending || work.accepted != job.accepted || work.rejected != job.rejected ||
        work.undecided != job.undecided)
      return "what it came to differs";
    std::map<AccountId, std::uint64_t> got;
    std::map<AccountId, std::uint64_t> lost;
    for (const Payout& one : work.payouts) (one.from_bond ? lost : got)[one.account] += one.amount;
    if (got != job.got || lost != job.lost) return "what it paid differs";
    if (work.to_treasury != job.to_treasury) return "what it brought the treasury differs";
    std::string how = work.disputed_by ? "disputed, " : "";
    if (work.accepted > 0) how += "accepted ";
    if (work.rejected > 0) how += "rejected ";
    if (work.undecided > 0) how += "undecided ";
    if (counted_.insert(work.commitment).second)
      ++verdicts_["a work: " + std::string(enum_names(*work.ending)[static_cast<std::size_t>(*work.ending)]) + ", " +
                  how + std::to_string(job.rounds.size()) + " draws"];
    return "";
  }

  [[nodiscard]] bool is_same(const ValidatorSet& set, const Model::Council& council) const {
    return std::ranges::equal(set.validators, council, [&](const Validator& one, const auto& seat) {
      return one == Validator{seat.first, seat.second.key, seat.second.power, genesis_.parameters.minimum_bond};
    });
  }

  std::uint64_t share_of_work_;  ///< per mille of the operations
  bool ends_in_a_flood_;  ///< of credits, after which no more can be granted
  std::mt19937_64 random_;
  Genesis genesis_;
  Ledger ledger_;
  Ledger other_;
  WorkModel model_;
  WorkMaker work_;
  std::vector<AccountId> names_;
  std::uint64_t done_ = 0;
  std::optional<std::uint64_t> jump_;  ///< by how much the next block is later
  std::uint64_t first_supply_ = model_.supply;
  std::map<Cid, Digest> ended_works_;
  std::map<Cid, std::uint64_t> accepted_;  ///< shards of an intent, by all works that ended
  std::set<Cid> ended_escrows_;
  std::set<Cid> counted_;
  std::map<std::string, std::uint64_t> verdicts_;
};

}  // namespace mesh::ledger
