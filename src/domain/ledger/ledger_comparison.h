// Whether a ledger knows what its model (ledger_model.h, work_model.h) says: every account, credential, key, set, escrow, work,
// reputation and total, and the sums of all of them. Beside that it watches what happens once: what ended stays as it ended, and a
// shard is paid once.
#pragma once

#include "domain/ledger/ledger_testing.h"
#include "domain/ledger/work_model.h"

namespace mesh::ledger {

class Comparison {
 public:
  /// Begun at height 0. `counts`: how often was seen what is worth counting.
  Comparison(const WorkModel& model, std::map<std::string, std::uint64_t>& counts)
      : model_(model), counts_(counts), first_supply_(model.supply) {}

  /// Empty, or the first difference. The two are at one height, which is above that of the last comparison.
  std::string compare(const Ledger& ledger) {
    for (const auto& [id, purse] : model_.purses) {
      const Account* account = ledger.account(id);
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
      const Member* member = ledger.member(node);
      if (member == nullptr || member->roles != credential.roles || member->revoked != credential.revoked ||
          member->expires_height != credential.expires || member->owner.value_or("") != credential.owner ||
          member->weight != credential.weight)
        return "a credential differs";
    }
    for (const auto& [node, attest] : model_.attested) {
      const Attestation* attestation = ledger.state().tables.attestations.find(node);
      if (attestation == nullptr || attestation->memory_mb != attest.memory_mb ||
          attestation->fuel_per_second != attest.fuel_per_second || attestation->verifies != attest.verifies)
        return "an attestation differs";
    }
    for (const auto& [about, report] : model_.conflicts) {
      const Conflict* conflict = ledger.state().tables.conflicts.find(about);
      if (conflict == nullptr || conflict->sequence != report.sequence || conflict->first != *report.bodies.begin() ||
          conflict->second != *report.bodies.rbegin() || conflict->reporter != report.reporter ||
          conflict->height != report.height)
        return "a conflict differs";
    }
    for (const auto& [key, term] : model_.terms) {
      const Voter* voter = ledger.state().tables.voters.find(key);
      if (voter == nullptr || voter->account != term.account || voter->from_height != term.from ||
          voter->until_height != term.until || (term.until && voter->forget_ms != term.forgotten))
        return "who votes by a key differs";
    }
    for (const auto& [id, conviction] : model_.convicted) {
      const Offence* offence = ledger.state().tables.offences.find(id);
      if (offence == nullptr || offence->height != conviction.height || offence->until_height != conviction.until ||
          offence->taken != conviction.taken || offence->reporter != conviction.reporter)
        return "an offence differs";
    }
    const auto& tables = ledger.state().tables;
    if (tables.voters.size() != model_.terms.size() || tables.offences.size() != model_.convicted.size())
      return "a table about validators has another size";
    if (tables.accounts.size() != model_.purses.size() || tables.members.size() != model_.credentials.size() ||
        tables.attestations.size() != model_.attested.size() || tables.conflicts.size() != model_.conflicts.size())
      return "a table has another size";
    if (std::string difference = compare_work(ledger); !difference.empty()) return difference;
    if (ledger.state().due != model_.all_due()) return "the queue of what is due differs";
    const Frame& frame = ledger.state().frame;
    if (frame.totals.supply != model_.supply || frame.totals.granted != model_.granted ||
        frame.totals.treasury != model_.treasury)
      return "a total differs";
    ++counts_[std::to_string(frame.scheduled.size()) + " sets to come"];
    if (frame.height != model_.height || frame.time_ms != model_.time_ms) return "the frame differs";
    if (!is_same(frame.validators, model_.council)) return "the validators differ";
    const auto same_set = [this](const ValidatorSet& set, const auto& council) {
      return set.from_height == council.first && is_same(set, council.second);
    };
    if (!std::ranges::equal(frame.scheduled, model_.coming, same_set)) return "the validators to come differ";
    return broken_invariant(ledger.state());
  }

 private:
  std::string compare_work(const Ledger& ledger) {
    const auto& tables = ledger.state().tables;
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
    if (ledger.state().frame.beacon != model_.beacon) return "the beacon differs";
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
    const Totals& totals = ledger.state().frame.totals;
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
      ++counts_["a work: " + std::string(enum_names(*work.ending)[static_cast<std::size_t>(*work.ending)]) + ", " +
                how + std::to_string(job.rounds.size()) + " draws"];
    return "";
  }

  [[nodiscard]] bool is_same(const ValidatorSet& set, const Model::Council& council) const {
    return std::ranges::equal(set.validators, council, [&](const Validator& one, const auto& seat) {
      return one == Validator{seat.first, seat.second.key, seat.second.power,
                              seat.second.lost ? 0 : model_.rules.minimum_bond};
    });
  }

  const WorkModel& model_;
  std::map<std::string, std::uint64_t>& counts_;
  std::uint64_t first_supply_;
  std::map<Cid, Digest> ended_works_;
  std::map<Cid, std::uint64_t> accepted_;  ///< shards of an intent, by all works that ended
  std::set<Cid> ended_escrows_;
  std::set<Cid> counted_;
};

}  // namespace mesh::ledger
