// Random operations, valid and invalid, on a ledger and on the model beside it: every verdict, balance, key, set and total must be
// the same. A second ledger, with another seed in its tables, executes what the first proposes and has to come to the same roots,
// though it goes on from a snapshot of itself now and then.
// From a seed; the same seed is the same trial.
#pragma once

#include <random>

#include "domain/ledger/ledger_comparison.h"
#include "domain/ledger/snapshot_testing.h"
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
  /// How often the other ledger went on from a snapshot, and how often the validators had changed by then.
  [[nodiscard]] std::uint64_t restored() const { return restored_; }
  [[nodiscard]] std::size_t hops() const { return hops_.all().size(); }

 private:
  static constexpr std::uint64_t restored_each = 50;
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
        if (chance(150)) return said_twice();
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

  /// Two votes or proposals of somebody's; the ledger is not told whether they are signed.
  Evidence said_twice() {
    std::vector<PublicKey> keys;
    for (const auto& [key, term] : model_.terms) keys.push_back(key);
    const PublicKey key = chance(900) ? keys[below(keys.size())] : anyone();
    std::uint64_t height =
        chance(700) ? model_.height + 1 - std::min(model_.height, below(4)) : below(model_.height + 4);
    height = std::max<std::uint64_t>(height, 1);
    const bool votes = chance(500);
    Evidence evidence{.kind = votes ? EvidenceKind::votes : EvidenceKind::proposals};
    for (Bytes* said : {&evidence.first, &evidence.second}) {
      *said = said_by(evidence.kind, key, height, 3, said == &evidence.first ? Digest{} : sha256(big_endian(done_)));
    }
    return evidence;
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
    const Block& block = proposal.block.block();
    hops_.committing(other_.state(), block.header, *draft, certificate_of(block));
    other_.commit(std::move(*draft));
    if (other_.height() % restored_each == 0) {
      if (std::string wrong = restore(); !wrong.empty()) return wrong;
    }
    ledger_.commit(std::move(proposal.draft));
    if (ledger_.state().frame.last_block != other_.state().frame.last_block)
      return "the two name the block differently";
    if (other_.state_root() != ledger_.state_root()) return "the two come to different roots";
    if (ledger_.state_root() != proposal.block.block().header.state_root) return "another state root after the commit";
    return compare();
  }

  /// The other ledger goes on from a snapshot of itself.
  std::string restore() {
    const std::optional<Snapshot> snapshot = take_snapshot(other_.state(), hops_);
    if (!snapshot) return other_.state().frame.undrawn.empty() ? "there is no snapshot" : "";
    Result<Restored> restored = read_snapshot(*snapshot, genesis_);
    if (!restored) return "a snapshot does not read: " + restored.error().message;
    other_ = Ledger::restored(std::move(restored->state), other_.seed());
    hops_ = std::move(restored->hops);
    ++restored_;
    return "";
  }

  std::string compare() {
    if (std::string difference = comparison_.compare(ledger_); !difference.empty()) return difference;
    return broken_invariant(other_.state());
  }

  std::uint64_t share_of_work_;  ///< per mille of the operations
  bool ends_in_a_flood_;  ///< of credits, after which no more can be granted
  std::mt19937_64 random_;
  Genesis genesis_;
  Ledger ledger_;
  Ledger other_;
  ValidatorHops hops_;
  std::uint64_t restored_ = 0;
  WorkModel model_;
  WorkMaker work_;
  std::vector<AccountId> names_;
  std::uint64_t done_ = 0;
  std::optional<std::uint64_t> jump_;  ///< by how much the next block is later
  std::map<std::string, std::uint64_t> verdicts_;
  Comparison comparison_{model_, verdicts_};
};

}  // namespace mesh::ledger
