// Execution's rules of paid work: a work goes drawing -> drawn -> revealed (-> drawing -> disputed) -> ended, by what the
// parties show and by what is due. escrow.h says what stands in the state, settlement.h what a work comes to.
#include <set>

#include "base/checked.h"
#include "base/planted.h"
#include "domain/ledger/execution.h"
#include "domain/ledger/reveal.h"
#include "domain/ledger/settlement.h"
#include "domain/verification/nonce_chain.h"

namespace mesh::ledger {

namespace {

// An intent is locked while it is fresh, so that nobody has to remember for ever that it was locked before.
constexpr std::uint64_t max_intent_age_ms = 3'600'000;
constexpr std::uint64_t max_intent_ahead_ms = 600'000;
// An ended escrow and its works stay this long, to be shown.
constexpr std::uint64_t keep_ms = 3'600'000;
// On top of what fetching and running may take a worker and its verifiers, one after the other.
constexpr std::uint64_t reveal_slack_ms = 60'000;
// A validator may say where its next chain ends when so few links are left of the one before.
constexpr std::uint64_t min_links_left = 16;

std::unexpected<Error> refuse(ErrorCode code, std::string text) { return fail(code, std::move(text)); }

std::unexpected<Error> no_work() {
  return refuse(ErrorCode::not_found, "unknown-work: no such commitment is anchored");
}

/// Rows of a work, and whether a node is in the order of each of these shards.
Status check_drawn(const Work& work, const WorkDraw& draw, std::size_t node, const std::vector<std::uint32_t>& shards) {
  const std::vector<std::uint32_t> numbers = work.numbers();
  for (const std::uint32_t shard : shards) {
    const auto at = std::ranges::lower_bound(numbers, shard);
    const auto row = static_cast<std::size_t>(at - numbers.begin());
    bool drawn = at != numbers.end() && *at == shard;
    if (drawn) {
      drawn = false;
      for (std::size_t place = 0; place < draw.width && !drawn; ++place) drawn = draw.drawn_at(row, place) == node;
    }
    if (!drawn) {
      return refuse(ErrorCode::denied,
                    "not-drawn: the node was not drawn for shard " + std::to_string(shard) + " of this commitment");
    }
  }
  return {};
}

bool overlap(const std::vector<task::ShardRange>& a, const std::vector<task::ShardRange>& b) {
  return std::ranges::any_of(a, [&](const task::ShardRange& one) {
    return std::ranges::any_of(b, [&](const task::ShardRange& other) {
      return std::uint64_t{one.first} < std::uint64_t{other.first} + other.count &&
             std::uint64_t{other.first} < std::uint64_t{one.first} + one.count;
    });
  });
}

/// What of a bond can be lost by work: all that is not at stake for a seat as a validator.
std::uint64_t bond_beside_validating(const State& state, const Account& account) {
  const WorkStake* staked = state.tables.stakes.find(account.key());
  return account.bonded - account.at_stake + (staked == nullptr ? 0 : staked->stake);
}

std::uint32_t score_in(const State& state, const AccountId& node) {
  const Reputation* entry = state.tables.reputation.find(node);
  if (entry == nullptr) return 0;
  return reputation::score_of(*entry, reputation::epoch_of(state.frame.time_ms), active_policy().reputation);
}

void put_all(ShardSet& set, const std::vector<std::uint32_t>& shards) {
  for (const std::uint32_t shard : shards) set.put(shard);
}

}  // namespace

const policy::MeshPolicy& active_policy() {
  static const policy::MeshPolicy policy;
  return policy;
}

// ---- escrow

std::uint64_t Execution::work_ms(const Escrow& escrow) { return 2 * escrow.run_ms + reveal_slack_ms; }

Status Execution::rule(const Transaction& transaction, const Lock&) {
  MESH_TRY(check_role_of(transaction.account, Role::member));
  const Signed<task::TaskIntent>& intent = *transaction.attachments->intent;
  const task::TaskIntent& asked = intent.record;
  if (intent.signer != transaction.signer)
    return refuse(ErrorCode::denied, "not-the-publisher: the intent is signed by another key than the account's");
  if (Status valid = task::validate(asked, active_policy()); !valid)
    return wrap("bad-intent", std::move(valid.error()));
  if (asked.policy != policy::cid_of(active_policy()))
    return refuse(ErrorCode::denied, "other-policy: the intent is under a policy that is not in force");
  if (asked.fee == 0) return refuse(ErrorCode::invalid, "free-intent: there is no fee to put into escrow");
  if (asked.sample != task::TaskIntent::everything)
    return refuse(ErrorCode::unsupported,
                  "sampled-intent: paying for a task of which a sample is verified is not built");
  if (asked.limits.total_ms > max_escrow_ms || asked.limits.fetch_ms > max_escrow_ms ||
      asked.limits.run_ms > max_escrow_ms)
    return refuse(ErrorCode::invalid, "too-long: a paid task takes at most 7 days");
  if (asked.verifiers > 0 && verifiers_pot(asked.fee, active_policy().reward_settings) < asked.verifiers)
    return refuse(ErrorCode::invalid, "fee-too-small: there is nothing in it for each verifier");
  const std::uint64_t created = asked.created_ms < 0 ? 0 : static_cast<std::uint64_t>(asked.created_ms);
  if (created > frame_.time_ms + max_intent_ahead_ms)
    return refuse(ErrorCode::invalid, "early-intent: the intent is dated too far ahead of the block");
  if (created + max_intent_age_ms < frame_.time_ms)
    return refuse(ErrorCode::invalid, "stale-intent: the intent is older than an hour; publish it anew");
  if (tables_.escrows.find(intent.cid.digest()) != nullptr)
    return refuse(ErrorCode::conflict, "escrow-exists: there is, or was, an escrow for this intent");
  if (tables_.escrows.size() >= max_escrows || frame_.locked_shards + asked.shards > max_locked_shards)
    return refuse(ErrorCode::exhausted, "escrows-full: no more fit in; try when others have ended");
  const std::optional<std::uint64_t> amount = checked_multiply(asked.fee, asked.shards);
  if (!amount) return refuse(ErrorCode::invalid, "overflow: the fee of all shards would be past 2^64-1");
  const std::uint64_t balance = tables_.accounts.find(transaction.account)->balance;
  if (balance < *amount) {
    return refuse(ErrorCode::denied, "overdraft: the balance of " + std::to_string(balance) + " is less than the " +
                                         std::to_string(*amount) + " asked for");
  }
  tables_.accounts.edit(transaction.account).balance -= *amount;
  Escrow escrow{.intent = intent.cid,
                .publisher = transaction.account,
                .signer = intent.signer,
                .owner = owner_of(transaction.account),
                .shards = asked.shards,
                .fee = asked.fee,
                .held = *amount,
                .verifiers = asked.verifiers,
                .value = asked.value,
                .fuel = asked.scope.fuel,
                .memory_mb = asked.scope.memory_mb,
                .run_ms = std::uint64_t{asked.limits.fetch_ms} + asked.limits.run_ms,
                .claimed = ShardSet(asked.shards).bytes()};
  escrow.closes_ms = frame_.time_ms + asked.limits.total_ms;
  escrow.forget_ms = std::max(escrow.closes_ms, created + max_intent_age_ms) + keep_ms;
  frame_.locked_shards += escrow.shards;
  schedule(DueKind::escrow_closing, escrow.key(), escrow.closes_ms);
  schedule(DueKind::escrow_forgotten, escrow.key(), escrow.forget_ms);
  tables_.escrows.put(std::move(escrow));
  return {};
}

Status Execution::rule(const Transaction& transaction, const Refund& refund) {
  const Escrow* escrow = find_escrow(refund.intent);
  if (escrow == nullptr) return refuse(ErrorCode::not_found, "unknown-escrow: nothing is locked for this intent");
  if (escrow->publisher != transaction.account)
    return refuse(ErrorCode::denied, "not-the-publisher: who locked an escrow asks for it back");
  if (escrow->ended) return refuse(ErrorCode::conflict, "escrow-ended: what was left of it went back");
  const std::uint64_t closes = frame_.time_ms + frame_.parameters.notice_ms;
  if (escrow->closed || closes >= escrow->closes_ms)
    return refuse(ErrorCode::conflict, "escrow-closing: it closes no later than that already");
  Escrow& changed = tables_.escrows.edit(escrow->key());
  unschedule(DueKind::escrow_closing, changed.key(), changed.closes_ms);
  changed.closes_ms = closes;
  schedule(DueKind::escrow_closing, changed.key(), closes);
  return {};
}

void Execution::end_escrow(Escrow& escrow) {
  credit(escrow.publisher, escrow.held);
  escrow.held = 0;
  escrow.ended = true;
  escrow.spent.clear();
  frame_.locked_shards -= escrow.shards;
  // Nobody claims any of it again.
  escrow.claimed.clear();
  if (!escrow.closed) unschedule(DueKind::escrow_closing, escrow.key(), escrow.closes_ms);
  escrow.closed = true;
}

void Execution::close_escrow(const Digest& key) {
  Escrow& escrow = tables_.escrows.edit(key);
  escrow.closed = true;
  if (!escrow.ended && escrow.works == 0) end_escrow(escrow);
}

void Execution::forget_escrow(const Digest& key) {
  const Escrow& escrow = *tables_.escrows.find(key);
  if (escrow.ended) return tables_.escrows.erase(key);
  Escrow& changed = tables_.escrows.edit(key);
  changed.forget_ms = frame_.time_ms + keep_ms;
  schedule(DueKind::escrow_forgotten, key, changed.forget_ms);
}

const Escrow* Execution::find_escrow(const Cid& intent) {
  const Escrow* escrow = tables_.escrows.find(intent.digest());
  return escrow == nullptr || escrow->intent != intent ? nullptr : escrow;
}

const Work* Execution::find_work(const Cid& commitment) {
  const Work* work = tables_.works.find(commitment.digest());
  return work == nullptr || work->commitment != commitment ? nullptr : work;
}

std::string Execution::owner_of(const AccountId& account) {
  const Member* member = tables_.members.find(account);
  return member == nullptr ? std::string() : member->owner.value_or("");
}

// ---- anchoring

Status Execution::rule(const Transaction& transaction, const Anchor& anchor) {
  return anchor.award ? anchor_works(transaction) : anchor_answers(transaction);
}

Result<Work> Execution::check_work(const Transaction& transaction, const Signed<receipt::Commitment>& commitment,
                                   const Escrow& escrow, const std::vector<std::uint32_t>& awarded, ShardSet& claimed) {
  const Attachments& shown = *transaction.attachments;
  const receipt::Commitment& committed = commitment.record;
  if (commitment.signer != transaction.signer)
    return refuse(ErrorCode::denied, "commitment-of-another: a node anchors what it committed to itself");
  if (committed.intent != escrow.intent || committed.basis != shown.award->cid || committed.worker)
    return refuse(ErrorCode::invalid, "commitment-of-another: the commitment does not answer the award");
  Result<std::vector<std::uint32_t>> covered = receipt::covered(commitment, escrow.shards);
  if (!covered) return wrap("bad-commitment", std::move(covered.error()));
  if (!std::ranges::includes(awarded, *covered))
    return refuse(ErrorCode::denied, "not-awarded: the commitment covers shards that the award does not");
  if (find_work(commitment.cid) != nullptr)
    return refuse(ErrorCode::conflict, "work-exists: the commitment was anchored before");
  for (const std::uint32_t shard : *covered) {
    if (claimed.has(shard)) {
      return refuse(ErrorCode::conflict,
                    "shard-claimed: shard " + std::to_string(shard) + " is paid or under another commitment");
    }
  }
  put_all(claimed, *covered);
  const market::ComputeOffer& offer = shown.offer->record;
  const std::uint64_t given = *shown.award->record.given_ms;
  const auto position =
      static_cast<std::uint64_t>(std::ranges::lower_bound(awarded, covered->back()) - awarded.begin()) + 1;
  return Work{.commitment = commitment.cid,
              .intent = escrow.intent,
              .award = shown.award->cid,
              .worker = transaction.account,
              .signer = commitment.signer,
              .shards = committed.shards,
              .root = committed.root,
              .cost = offer.cost,
              .timeliness = timeliness_of(offer.eta_ms, offer.capacity, position,
                                          checked_subtract(frame_.time_ms, given).value_or(0)),
              .anchored_height = frame_.height};
}

Status Execution::check_award(const Transaction& transaction, const Escrow& escrow) {
  const Signed<market::ComputeOffer>& offer = *transaction.attachments->offer;
  const Signed<market::Award>& award = *transaction.attachments->award;
  const bool is_over = escrow.closed || is_due(escrow.closes_ms);
  if (is_over && !(planted(Bug::claimed_after_refund) && !escrow.ended))
    return refuse(ErrorCode::denied, "escrow-closed: nothing new is claimed of this escrow");
  if (transaction.account == escrow.publisher)
    return refuse(ErrorCode::denied, "own-work: a publisher is not paid for its own task");
  // By the key that counts now, so that one that was stolen and given up gives nothing away.
  if (award.signer != tables_.accounts.find(escrow.publisher)->signer())
    return refuse(ErrorCode::denied, "not-the-publisher: the award is not signed by the publisher's key");
  if (std::ranges::find(escrow.spent, award.cid) != escrow.spent.end() && !planted(Bug::spent_award_claims))
    return refuse(ErrorCode::denied, "award-spent: a work under this award came to nothing");
  if (offer.record.intent != escrow.intent || award.record.offer != offer.cid || offer.signer != transaction.signer)
    return refuse(ErrorCode::denied, "award-of-another: the award is not on an offer of the account's for this task");
  if (offer.record.cost > escrow.fee) return refuse(ErrorCode::denied, "over-fee: the offer's cost is above the fee");
  if (offer.record.capacity == 0 || offer.record.eta_ms == 0)
    return refuse(ErrorCode::invalid, "bad-offer: the offer's capacity is at least 1, and it promises a time");
  if (!award.record.given_ms)
    return refuse(ErrorCode::invalid, "award-undated: the award does not say when it was given");
  return {};
}

Status Execution::anchor_works(const Transaction& transaction) {
  MESH_TRY(check_role_of(transaction.account, Role::worker));
  const Attachments& shown = *transaction.attachments;
  const Escrow* escrow = find_escrow(shown.award->record.intent);
  if (escrow == nullptr) return refuse(ErrorCode::not_found, "unknown-escrow: nothing is locked for this intent");
  MESH_TRY(check_award(transaction, *escrow));
  Result<std::vector<std::uint32_t>> awarded = task::expand(shown.award->record.shards, escrow->shards);
  if (!awarded) return wrap("bad-award", std::move(awarded.error()));
  ShardSet claimed;
  claimed.bytes() = escrow->claimed;
  std::vector<Work> works;
  std::uint64_t shards = 0;
  for (const Signed<receipt::Commitment>& commitment : shown.commitments) {
    MESH_LET(Work work, check_work(transaction, commitment, *escrow, *awarded, claimed));
    shards += work.count();
    works.push_back(std::move(work));
  }
  if (tables_.works.size() + works.size() > max_works || frame_.open_shards + shards > max_open_shards)
    return refuse(ErrorCode::exhausted, "works-full: no more fit in; try when others have ended");
  const Account& account = *tables_.accounts.find(transaction.account);
  const WorkStake* staked = tables_.stakes.find(transaction.account);
  const std::uint64_t at_risk =
      checked_add(staked == nullptr ? 0 : staked->at_risk, escrow->fee * shards).value_or(~std::uint64_t{0});
  const std::uint64_t free = account.bonded - account.at_stake + (staked == nullptr ? 0 : staked->stake);
  if (const std::uint64_t needed = std::max(at_risk, frame_.parameters.minimum_bond); free < needed) {
    return refuse(ErrorCode::denied, "bond-too-small: of the worker's bond " + std::to_string(free) +
                                         " are free for its works, less than the " + std::to_string(needed) +
                                         " that the fees of all of them come to");
  }

  stake_for(transaction.account, works.size(), escrow->fee * shards);
  Escrow& changed = tables_.escrows.edit(escrow->key());
  changed.claimed = std::move(claimed.bytes());
  changed.works += static_cast<std::uint32_t>(works.size());
  frame_.open_shards += shards;
  for (Work& work : works) {
    frame_.undrawn.push_back(work.key());
    tables_.works.put(std::move(work));
  }
  return {};
}

void Execution::stake_for(const AccountId& worker, std::size_t works, std::uint64_t fees) {
  if (tables_.stakes.find(worker) == nullptr) tables_.stakes.put({.account = worker});
  WorkStake& staked = tables_.stakes.edit(worker);
  staked.works += works;
  staked.at_risk += fees;
  set_stake(staked);
}

void Execution::release_stake(const AccountId& worker, std::uint64_t fees) {
  WorkStake& staked = tables_.stakes.edit(worker);
  --staked.works;
  staked.at_risk -= fees;
  set_stake(staked);
  if (staked.works == 0) tables_.stakes.erase(worker);
}

/// As much as the open works need, as far as it is there.
void Execution::set_stake(WorkStake& staked) {
  Account& account = tables_.accounts.edit(staked.account);
  const std::uint64_t otherwise = account.at_stake - staked.stake;
  const std::uint64_t fees = planted(Bug::fees_not_at_stake) ? 0 : staked.at_risk;
  const std::uint64_t needed = staked.works == 0 ? 0 : std::max(fees, frame_.parameters.minimum_bond);
  staked.stake = std::min(needed, account.bonded - otherwise);
  account.at_stake = otherwise + staked.stake;
}

Result<Answer> Execution::check_answer(const Work& work, const Escrow& escrow,
                                       const Signed<receipt::Commitment>& commitment) {
  if (work.phase == WorkPhase::drawing)
    return refuse(ErrorCode::conflict, "not-drawn-yet: the next block draws who verifies");
  // Also where there was too much for it to end in this block.
  if (is_due(work.due_ms)) return refuse(ErrorCode::conflict, "phase-over: the time for this is over");
  if (work.phase != WorkPhase::drawn && work.phase != WorkPhase::disputed)
    return refuse(ErrorCode::denied, "late-commitment: the worker has revealed");
  const auto round = static_cast<std::uint32_t>(work.draws.size() - 1);
  const WorkDraw& draw = work.draws.back();
  const receipt::Commitment& committed = commitment.record;
  if (committed.intent != work.intent || committed.worker != work.commitment || committed.basis != draw.block)
    return refuse(ErrorCode::invalid, "commitment-of-another: the commitment was not made for this draw");
  Result<std::vector<std::uint32_t>> covered = receipt::covered(commitment, escrow.shards);
  if (!covered) return wrap("bad-commitment", std::move(covered.error()));
  const auto node = std::ranges::find_if(draw.nodes, [&](const NodeId& one) {
    const Account* account = tables_.accounts.find(one);
    return account != nullptr && account->signer() == commitment.signer;
  });
  if (node == draw.nodes.end())
    return refuse(ErrorCode::denied, "not-drawn: who signed the commitment was not drawn for this work");
  MESH_TRY(check_drawn(work, draw, static_cast<std::size_t>(node - draw.nodes.begin()), *covered));
  std::size_t of_node = 0;
  for (const Answer& answer : work.answers) {
    if (answer.round == round && answer.node == *node) ++of_node;
    if (answer.commitment == commitment.cid ||
        (answer.round == round && answer.node == *node && overlap(answer.shards, committed.shards)))
      return refuse(ErrorCode::conflict, "answered-already: the node committed to some of these shards before");
  }
  for (const Work::PassedOver& one : work.passed_over) {
    if (one.round == round && one.node == *node && is_due(one.until_ms))
      return refuse(ErrorCode::denied, "timed-out: the node's seats went to others");
  }
  if (of_node >= max_answers_of_node)
    return refuse(ErrorCode::exhausted, "answers-full: a verifier has at most 4 commitments to a work");
  return Answer{.node = *node,
                .signer = commitment.signer,
                .commitment = commitment.cid,
                .round = round,
                .shards = committed.shards,
                .root = committed.root};
}

Status Execution::anchor_answers(const Transaction& transaction) {
  std::map<Digest, Work> changed;
  for (const Signed<receipt::Commitment>& commitment : transaction.attachments->commitments) {
    if (commitment.signer != transaction.signer)
      return refuse(ErrorCode::denied, "commitment-of-another: a node anchors what it committed to itself");
    if (!commitment.record.worker)
      return refuse(ErrorCode::invalid, "award-missing: a worker anchors with its offer and the award on it");
    const Work* work = find_work(*commitment.record.worker);
    if (work == nullptr) return no_work();
    if (work->phase == WorkPhase::ended) return refuse(ErrorCode::conflict, "work-ended: it is settled");
    Work& now = changed.try_emplace(work->key(), *work).first->second;
    MESH_LET(Answer answer, check_answer(now, *find_escrow(now.intent), commitment));
    now.answers.push_back(std::move(answer));
  }
  for (auto& [key, work] : changed) tables_.works.put(std::move(work));
  return {};
}

// ---- drawing

std::vector<verification::Member> eligible_verifiers(const State& state, const Escrow& escrow) {
  std::vector<verification::Member> members;
  state.tables.attestations.visit([&](const Attestation& attestation) {
    __extension__ using Wide = unsigned __int128;
    if (!attestation.verifies || attestation.memory_mb < escrow.memory_mb ||
        static_cast<Wide>(attestation.fuel_per_second) * escrow.run_ms < static_cast<Wide>(escrow.fuel) * 1000)
      return true;
    const Member* member = state.tables.members.find(attestation.node);
    const Account* account = state.tables.accounts.find(attestation.node);
    if (!check_role(member, Role::verifier, state.frame.height) || account == nullptr ||
        bond_beside_validating(state, *account) < state.frame.parameters.minimum_bond)
      return true;
    const std::uint32_t weight = reputation::draw_weight(score_in(state, attestation.node), account->bonded);
    members.push_back(
        {.node = attestation.node, .owner = member->owner.value_or(""), .weight = std::max(weight, std::uint32_t{1})});
    return true;
  });
  std::ranges::sort(members, {}, &verification::Member::node);
  return members;
}

std::uint32_t Execution::score_before(const AccountId& node) const { return score_in(base_, node); }

void Execution::draw_all(const std::vector<Digest>& undrawn) {
  Eligible eligible;
  std::size_t rows = max_drawn_rows_of_block;
  std::size_t works = max_drawn_works_of_block;
  for (std::size_t i = 0; i < undrawn.size(); ++i) {
    const std::size_t count = tables_.works.find(undrawn[i])->count();
    if (works == 0 || count > rows) {
      // The others in the next block, before those that came in this one.
      frame_.undrawn.insert(frame_.undrawn.begin(), undrawn.begin() + static_cast<std::ptrdiff_t>(i), undrawn.end());
      return;
    }
    --works;
    rows -= count;
    draw(undrawn[i], eligible);
  }
}

void Execution::draw(const Digest& key, Eligible& eligible_by_scope) {
  Work& work = tables_.works.edit(key);
  const Escrow& escrow = *find_escrow(work.intent);
  const policy::VerificationQuorum& quorum = active_policy().verification_quorum;
  const bool again = work.receipt.has_value();
  std::uint32_t wanted = 0;
  std::uint32_t least = 1;
  std::vector<NodeId> without;
  if (again) {
    wanted = std::min(std::max(quorum.maximum_verifiers, work.draws[0].seats), max_paid_seats);
    for (const NodeId& node : work.draws[0].nodes) {
      const auto took_part = [&](const auto& one) { return one.node == node; };
      if (std::ranges::any_of(work.answers, took_part) || std::ranges::any_of(work.passed_over, took_part))
        without.push_back(node);
    }
  } else {
    task::TaskIntent terms;
    terms.verifiers = escrow.verifiers;
    terms.value = escrow.value;
    wanted = verification::seats_for(terms, score_before(work.worker), quorum);
    least = escrow.verifiers;
  }
  const verification::Member worker{.node = work.worker, .owner = owner_of(work.worker)};
  const verification::Member publisher{.node = escrow.publisher, .owner = escrow.owner};
  auto& members = eligible_by_scope[{escrow.memory_mb, escrow.fuel, escrow.run_ms}];
  if (!members) members = eligible_verifiers(base_, escrow);
  const Digest& beacon = planted(Bug::drawn_by_earlier_beacon) ? base_.frame.beacon : frame_.beacon;
  WorkDraw drawn = draw_verifiers(work, *members, worker, publisher, without, beacon, wanted, least);
  drawn.height = frame_.height;
  drawn.block = base_.frame.last_block;
  drawn.time_ms = frame_.time_ms;
  const bool nobody = drawn.seats == 0;
  work.draws.push_back(std::move(drawn));
  work.phase = again ? WorkPhase::disputed : WorkPhase::drawn;
  // Nobody to wait for: it ends with the next block, as it was judged.
  work.due_ms = again && nobody ? frame_.time_ms : frame_.time_ms + work_ms(escrow);
  schedule(DueKind::work_due, key, work.due_ms);
}

// ---- time-outs

Status Execution::rule(const Transaction& transaction, const Timeout& timeout) {
  const Work* work = find_work(timeout.commitment);
  if (work == nullptr) return no_work();
  if (work->phase != WorkPhase::drawn && work->phase != WorkPhase::disputed)
    return refuse(ErrorCode::conflict, "nobody-awaited: no commitments of verifiers are awaited for this work now");
  const Escrow& escrow = *find_escrow(work->intent);
  const auto round = static_cast<std::uint32_t>(work->draws.size() - 1);
  const WorkDraw& draw = work->draws.back();
  if (is_due(work->due_ms)) return refuse(ErrorCode::conflict, "phase-over: the time for this is over");
  if (transaction.account != escrow.publisher && transaction.account != work->worker &&
      !std::ranges::binary_search(draw.nodes, transaction.account))
    return refuse(ErrorCode::denied, "not-a-party: only who takes part in a work says who is missing");
  const std::set<NodeId> open = open_seats(*work, base_.frame.time_ms);
  const std::set<NodeId> first = open_seats(*work, 0);
  for (const NodeId& node : timeout.failed) {
    if (std::ranges::any_of(work->passed_over, [&](const auto& one) { return one.round == round && one.node == node; }))
      return refuse(ErrorCode::conflict, "timed-out: that was said of the node before");
    if (!open.contains(node)) return refuse(ErrorCode::denied, "no-open-seat: nobody waits for who is named");
  }
  Work& changed = tables_.works.edit(work->key());
  for (const NodeId& node : timeout.failed) {
    // Who had a seat from the beginning has the time that the intent gives, who came after others has it from now on.
    const std::uint64_t until = std::max(frame_.time_ms + frame_.parameters.answer_ms,
                                         (first.contains(node) ? draw.time_ms : frame_.time_ms) + escrow.run_ms);
    changed.passed_over.push_back({node, round, until});
  }
  return {};
}

// ---- revealing

Status Execution::reveal(Work& work, const Escrow& escrow, const Attachments& shown) {
  MESH_TRY(reveal_work(work, {.shards = escrow.shards, .fuel = escrow.fuel}, *shown.receipt));
  if (work.draws[0].seats == 0) {
    MESH_TRY(check_acceptance(work, escrow, shown));
  } else {
    MESH_TRY(check_seats(work));
  }
  std::erase_if(work.passed_over, [&](const Work::PassedOver& one) { return !is_due(one.until_ms); });
  return {};
}

/// Whether everybody who has a seat had committed before this block: else who reads the receipt on its way to a block could
/// commit to it, too.
Status Execution::check_seats(const Work& work) const {
  const Work& before = planted(Bug::early_reveal_taken) ? work : *base_.tables.works.find(work.key());
  if (before.draws.empty())
    return refuse(ErrorCode::conflict, "seats-open: this block drew the verifiers, so that nobody can have committed");
  const std::set<NodeId> open = open_seats(before, base_.frame.time_ms);
  if (open.empty()) return {};
  return refuse(ErrorCode::conflict, "seats-open: " + identity::peer_id_of(*open.begin()) + ", and " +
                                         std::to_string(open.size() - 1) +
                                         " others, had no commitment for a seat before this block");
}

/// Whether the publisher accepts it, where nobody was drawn.
Status Execution::check_acceptance(const Work& work, const Escrow& escrow, const Attachments& shown) {
  if (!shown.verdict)
    return refuse(ErrorCode::denied, "verdict-missing: nobody could be drawn, so the publisher has to accept it");
  const verification::Verdict& verdict = shown.verdict->record;
  const bool covers =
      std::ranges::all_of(work.numbers(), [&](std::uint32_t shard) { return task::covers(verdict.shards, shard); });
  if (shown.verdict->signer != tables_.accounts.find(escrow.publisher)->signer() || verdict.intent != escrow.intent ||
      verdict.receipt != shown.receipt->cid || verdict.decision != verification::Decision::unverified || !covers)
    return refuse(ErrorCode::denied, "verdict-of-another: it is not the publisher's acceptance of this receipt");
  return {};
}

Status Execution::rule(const Transaction& transaction, const Settle& settlement) {
  const Work* found = find_work(settlement.commitment);
  if (found == nullptr) return no_work();
  if (found->phase == WorkPhase::ended && !(planted(Bug::settled_after_end) && found->receipt))
    return refuse(ErrorCode::conflict, "work-ended: it is settled");
  if (found->phase == WorkPhase::drawing)
    return refuse(ErrorCode::conflict, "not-drawn-yet: the next block draws who verifies");
  const Escrow& escrow = *find_escrow(found->intent);
  const Attachments& shown = *transaction.attachments;
  if (is_due(found->due_ms)) return refuse(ErrorCode::conflict, "phase-over: the time for this is over");
  // What is here already is passed over: somebody may have shown a part of this before.
  Work work = *found;
  bool news = false;
  for (const Signed<receipt::Commitment>& commitment : shown.commitments) {
    if (std::ranges::find(work.answers, commitment.cid, &Answer::commitment) != work.answers.end()) continue;
    MESH_LET(Answer answer, check_answer(work, escrow, commitment));
    work.answers.push_back(std::move(answer));
    news = true;
  }
  const bool reveals = shown.receipt && !work.receipt;
  if (reveals) {
    MESH_TRY(reveal(work, escrow, shown));
    news = true;
  } else if (shown.receipt && *work.receipt != shown.receipt->cid) {
    return refuse(ErrorCode::conflict, "revealed-already: another receipt of the worker's is here");
  }
  for (const Signed<receipt::VerificationReceipt>& verification : shown.verifications) {
    MESH_LET(const bool added, reveal_answer(work, {.shards = escrow.shards, .fuel = escrow.fuel}, verification));
    news = news || added;
  }
  if (!news) return refuse(ErrorCode::conflict, "revealed-already: all of it is here");

  const Digest key = work.key();
  if (reveals) {
    unschedule(DueKind::work_due, key, work.due_ms);
    work.phase = WorkPhase::revealed;
    work.due_ms = frame_.time_ms + frame_.parameters.dispute_ms;
    if (work.draws[0].seats == 0) {
      tables_.works.put(std::move(work));
      end_work(key, WorkEnding::by_publisher);
      return {};
    }
    schedule(DueKind::work_due, key, work.due_ms);
  }
  tables_.works.put(std::move(work));
  return {};
}

Status Execution::rule(const Transaction& transaction, const Dispute& dispute) {
  MESH_TRY(check_role_of(transaction.account, Role::member));
  const Work* work = find_work(dispute.commitment);
  if (work == nullptr) return no_work();
  if (work->phase != WorkPhase::revealed)
    return refuse(ErrorCode::conflict, "not-disputable: a work can be disputed between its reveal and its settlement");
  if (is_due(work->due_ms)) return refuse(ErrorCode::conflict, "phase-over: the time for this is over");
  if (work->draws.size() > 1) return refuse(ErrorCode::conflict, "disputed-already: a larger draw was made");
  const Escrow& escrow = *find_escrow(work->intent);
  const Account& account = *tables_.accounts.find(transaction.account);
  if (account.bonded < std::max<std::uint64_t>(frame_.parameters.minimum_bond, 1))
    return refuse(ErrorCode::denied, "bond-too-small: only who has a bond may dispute");
  const std::uint64_t stake = verifiers_pot(escrow.fee, active_policy().reward_settings) * work->count();
  if (account.balance < stake) {
    return refuse(ErrorCode::denied, "overdraft: the balance of " + std::to_string(account.balance) +
                                         " is less than the " + std::to_string(stake) + " at stake");
  }
  tables_.accounts.edit(transaction.account).balance -= stake;
  Work& changed = tables_.works.edit(work->key());
  unschedule(DueKind::work_due, changed.key(), changed.due_ms);
  changed.disputed_by = transaction.account;
  changed.dispute_stake = stake;
  draw_again(changed);
  return {};
}

void Execution::draw_again(Work& work) {
  work.phase = WorkPhase::drawing;
  work.due_ms = 0;
  frame_.undrawn.push_back(work.key());
}

// ---- the end of a work

void Execution::work_due(const Digest& key) {
  const Work& work = *tables_.works.find(key);
  if (!work.receipt) return end_work(key, WorkEnding::silent);
  if (work.phase == WorkPhase::revealed) {
    const WorkResult result = settle(work, *find_escrow(work.intent), active_policy(), base_.frame.time_ms);
    const bool disputed =
        std::ranges::find(result.decisions, verification::Decision::disputed) != result.decisions.end();
    // No majority: once, others are asked.
    if (disputed) return draw_again(tables_.works.edit(key));
  }
  end_work(key, WorkEnding::settled);
}

std::uint64_t Execution::take_from_bond(const AccountId& id, std::uint64_t amount) {
  Account& account = tables_.accounts.edit(id);
  const WorkStake* staked = tables_.stakes.find(id);
  const std::uint64_t otherwise = account.at_stake - (staked == nullptr ? 0 : staked->stake);
  const std::uint64_t taken = std::min(amount, account.bonded - otherwise);
  account.bonded -= taken;
  if (account.at_stake > account.bonded) {
    // The stake for work is what went.
    tables_.stakes.edit(id).stake -= account.at_stake - account.bonded;
    account.at_stake = account.bonded;
  }
  if (planted(Bug::withdrawals_spared)) return taken;
  // Who took it out in time pays all the same.
  return taken + account.take_unbonding(amount - taken);
}

void Execution::end_work(const Digest& key, WorkEnding ending) {
  Work& work = tables_.works.edit(key);
  Escrow& escrow = tables_.escrows.edit(work.intent.digest());
  const policy::MeshPolicy& policy = active_policy();
  WorkResult result;
  if (ending == WorkEnding::settled) result = settle(work, escrow, policy, base_.frame.time_ms);
  if (ending == WorkEnding::by_publisher) result = settle_unverified(work, escrow, policy);
  if (ending == WorkEnding::silent) {
    result.undecided = work.count();
    result.decisions.assign(work.count(), verification::Decision::disputed);
    owe_the_waiting(work, escrow, result);
  }
  work.ending = ending;
  work.accepted = result.accepted;
  work.rejected = result.rejected;
  work.undecided = result.undecided;

  // Out of the escrow.
  for (const auto& [account, amount] : result.earned) {
    if (amount == 0) continue;
    credit(account, amount);
    work.payouts.push_back({account, amount, false});
  }
  credit(escrow.publisher, result.publisher);
  frame_.totals.treasury += result.treasury;
  work.to_treasury = result.treasury;
  escrow.held -= escrow.fee * result.accepted;
  escrow.paid += result.accepted;
  collect(work, result);
  return_stake(work, result);
  note_facts(work, escrow, result);

  // What was not accepted can be claimed by others.
  if (!escrow.claimed.empty()) {
    ShardSet claimed;
    claimed.bytes() = std::move(escrow.claimed);
    const std::vector<std::uint32_t> shards = work.numbers();
    for (std::size_t row = 0; row < shards.size(); ++row) {
      const verification::Decision decision = result.decisions[row];
      const bool is_paid =
          decision == verification::Decision::accepted || decision == verification::Decision::unverified;
      if (!is_paid || planted(Bug::shard_paid_twice)) claimed.take(shards[row]);
    }
    escrow.claimed = std::move(claimed.bytes());
  }
  const bool came_to_nothing = result.accepted < work.count();
  if (came_to_nothing && !escrow.ended) spend(escrow, work.award);
  frame_.open_shards -= work.count();
  --escrow.works;
  if (escrow.works == 0 && (escrow.paid == escrow.shards || escrow.closed)) end_escrow(escrow);

  release_stake(work.worker, escrow.fee * work.count());

  work.phase = WorkPhase::ended;
  work.draws.clear();
  work.answers.clear();
  work.passed_over.clear();
  work.findings.clear();
  work.exhausted.clear();
  work.dispute_stake = 0;
  work.due_ms = frame_.time_ms + keep_ms;
  schedule(DueKind::work_forgotten, key, work.due_ms);
}

/// Nothing more is claimed under the award; where too many were spent, nothing of the escrow.
void Execution::spend(Escrow& escrow, const Cid& award) {
  if (std::ranges::find(escrow.spent, award) != escrow.spent.end()) return;
  escrow.spent.push_back(award);
  if (escrow.spent.size() < max_spent_awards || escrow.closed) return;
  unschedule(DueKind::escrow_closing, escrow.key(), escrow.closes_ms);
  escrow.closed = true;
}

/// A worker that does not reveal owes those who waited for it what their seats would have earned.
void Execution::owe_the_waiting(const Work& work, const Escrow& escrow, WorkResult& result) {
  if (work.draws.empty() || work.draws[0].seats == 0) return;
  const std::uint64_t of_a_seat = verifiers_pot(escrow.fee, active_policy().reward_settings) / work.draws[0].seats;
  // Who left one of its seats open kept the worker from revealing.
  const std::set<NodeId> open = open_seats(work, base_.frame.time_ms);
  Seating seating(work, 0, base_.frame.time_ms);
  for (std::size_t row = 0; row < seating.rows(); ++row) {
    for (const std::size_t seat : seating.of(row)) {
      const NodeId& node = work.draws[0].nodes[seat];
      if (!open.contains(node)) result.owed[node] += of_a_seat;
    }
  }
}

/// Out of the bonds of those who lied or were silent: first to those who did their part, the rest to the treasury.
void Execution::collect(Work& work, const WorkResult& result) {
  std::uint64_t owed = 0;
  for (const auto& [account, amount] : result.owed) owed += amount;
  std::uint64_t penalty = owed;
  if (result.rejected > 0) {
    penalty = std::max({owed, frame_.parameters.minimum_bond, find_escrow(work.intent)->fee * result.rejected});
  } else if (work.ending == WorkEnding::silent && work.draws[0].seats > 0) {
    // Else it would be the cheaper way out for who does not like the draw.
    penalty = std::max(owed, find_escrow(work.intent)->fee * work.count());
  }
  const std::uint64_t taken = take_from_bond(work.worker, penalty);
  if (taken > 0) work.payouts.push_back({work.worker, taken, true});
  std::uint64_t left = taken;
  for (const auto& [account, amount] : result.owed) {
    const std::uint64_t share = owed <= taken ? amount : multiply_divide(amount, taken, owed);
    if (share == 0) continue;
    credit(account, share);
    work.payouts.push_back({account, share, false});
    left -= share;
  }
  for (const auto& [account, amount] : result.silent) {
    const std::uint64_t paid = take_from_bond(account, amount);
    if (paid == 0) continue;
    work.payouts.push_back({account, paid, true});
    left += paid;
  }
  frame_.totals.treasury += left;
  work.to_treasury += left;
}

/// Who had a seat in the second drawing on what it revealed; substitutes were not asked.
std::set<NodeId> Execution::asked_in_dispute(const Work& work) const {
  std::set<NodeId> asked;
  Seating seating(work, 1, base_.frame.time_ms);
  for (std::size_t row = 0; row < seating.rows(); ++row) {
    for (const std::size_t seat : seating.of(row)) {
      const NodeId& node = work.draws[1].nodes[seat];
      if (asked.contains(node)) continue;
      if (std::ranges::any_of(work.answers, [&](const Answer& one) {
            return one.round == 1 && one.revealed && one.node == node &&
                   task::covers(one.shards, seating.shards()[row]);
          }))
        asked.insert(node);
    }
  }
  return asked;
}

/// What was at stake for a dispute goes back to who was right, and else to those whom it made work.
void Execution::return_stake(Work& work, const WorkResult& result) {
  if (!work.disputed_by || work.dispute_stake == 0) return;
  std::uint64_t left = work.dispute_stake;
  if (result.overturned || work.draws.size() < 2 || work.draws[1].seats == 0) {
    credit(*work.disputed_by, left);
    return;
  }
  const std::set<NodeId> asked = asked_in_dispute(work);
  const std::uint64_t share = asked.empty() ? 0 : left / asked.size();
  for (const NodeId& node : asked) {
    if (share == 0) break;
    credit(node, share);
    work.payouts.push_back({node, share, false});
    left -= share;
  }
  frame_.totals.treasury += left;
  work.to_treasury += left;
}

// ---- reputation

bool Execution::same_owner(const AccountId& a, const AccountId& b) {
  return verification::same_owner({.node = a, .owner = owner_of(a)}, {.node = b, .owner = owner_of(b)});
}

void Execution::note(FactRule& rule, const reputation::Fact& fact) {
  if (tables_.members.find(fact.node) == nullptr) return;
  const reputation::Counters* held = tables_.reputation.find(fact.node);
  const Digest id = reputation::pair_id(fact.publisher, fact.node);
  const ReputationPair* pair = tables_.pairs.find(id);
  const Result<reputation::Standing> after =
      rule(held == nullptr ? reputation::Counters::newcomer(fact.node, fact.epoch) : *held, pair, fact,
           active_policy().reputation);
  MESH_CHECK(after.has_value(), "ledger-reputation-fact");
  if (after->pair.earned != 0 || after->pair.missed != 0) {
    if (pair == nullptr || pair->epoch != fact.epoch) {
      if (pair != nullptr) unschedule(DueKind::pair_over, id, (pair->epoch + 1) * reputation::epoch_ms);
      schedule(DueKind::pair_over, id, (fact.epoch + 1) * reputation::epoch_ms);
    }
    tables_.pairs.put(ReputationPair(after->pair));
  }
  tables_.reputation.put(Reputation(after->counters));
}

void Execution::note_facts(const Work& work, const Escrow& escrow, const WorkResult& result) {
  using Part = reputation::Fact::Part;
  const auto fact = [&](const AccountId& node, Part part, std::uint64_t to_verifiers, std::uint64_t own_part) {
    return reputation::Fact{.publisher = escrow.publisher,
                            .node = node,
                            .part = part,
                            .epoch = reputation::epoch_of(frame_.time_ms),
                            .to_verifiers = to_verifiers,
                            .own_part = own_part,
                            .timeliness = part == Part::worker ? work.timeliness : reputation::max_score,
                            .same_owner = same_owner(escrow.publisher, node)};
  };
  const std::uint64_t pot = verifiers_pot(escrow.fee, active_policy().reward_settings);
  const std::uint64_t pots = pot * work.count();
  // Verifiers of one of the two sides are no third parties.
  const auto is_third = [&](const AccountId& node) {
    return !same_owner(node, escrow.publisher) && !same_owner(node, work.worker);
  };
  std::uint64_t to_third_parties = 0;
  for (const auto& [node, share] : result.shares) to_third_parties += is_third(node) ? share : 0;
  if (planted(Bug::free_work_counts) && to_third_parties == 0) to_third_parties = escrow.fee * result.accepted;
  if (result.accepted > 0) note(reputation::settled, fact(work.worker, Part::worker, to_third_parties, 0));
  for (const auto& [node, share] : result.shares) {
    if (is_third(node)) note(reputation::verified, fact(node, Part::verifier, to_third_parties, share));
  }
  for (const auto& [node, amount] : result.silent)
    note(reputation::timed_out, fact(node, Part::verifier, std::max(pots, amount), amount));
  if (work.ending == WorkEnding::silent && work.draws[0].seats > 0)
    note(reputation::timed_out, fact(work.worker, Part::worker, pots, 0));
  // A lie counts where something was paid for finding it.
  if (result.rejected > 0 && !planted(Bug::lie_uncounted))
    note(reputation::failed, fact(work.worker, Part::worker, pot, 0));
  for (const auto& [node, shards] : result.against) note(reputation::failed, fact(node, Part::verifier, pot, 0));
}

// ---- the beacon

Status Execution::rule(const Transaction& transaction, const CommitChain& chain) {
  MESH_TRY(check_role_of(transaction.account, Role::validator));
  const BeaconChain* held = tables_.chains.find(transaction.account);
  if (held != nullptr && held->left > min_links_left) {
    return refuse(ErrorCode::conflict, "chain-unfinished: another " + std::to_string(held->left) +
                                           " links of the account's chain are to come first");
  }
  tables_.chains.put({.account = transaction.account,
                      .link = chain.tip,
                      .left = chain.length,
                      .skipped = held == nullptr ? 0 : held->skipped});
  return {};
}

Status Execution::check_link(const State& base, const AccountId& proposer, const Digest& link) {
  const BeaconChain* chain = base.tables.chains.find(proposer);
  if (chain == nullptr || chain->left == 0) {
    if (link == Digest{}) return {};
    return refuse(ErrorCode::invalid, "bad-link: the proposer has no chain of which this could be a link");
  }
  if (verification::chain_leads_to(link, 1, chain->link, 0)) return {};
  return refuse(ErrorCode::invalid, "bad-link: it is not the next link of the proposer's chain");
}

void Execution::take_link(const BlockTerms& block) {
  frame_.beacon = tagged_hash("meshwork/1/beacon", {frame_.beacon.view(), block.link.view()});
  count_skipped(block.proposer);
  const BeaconChain* chain = tables_.chains.find(block.proposer);
  if (chain == nullptr || chain->left == 0) return;
  BeaconChain& changed = tables_.chains.edit(block.proposer);
  changed.link = block.link;
  --changed.left;
}

/// Those whose turn came before the proposer's kept their link back, or were not there.
void Execution::count_skipped(const AccountId& proposer) {
  // In the order of consensus: by key.
  std::vector<Validator> validators = frame_.validators_at(frame_.height).validators;
  std::ranges::sort(validators, {}, &Validator::key);
  for (std::size_t turn = frame_.height % validators.size(); validators[turn].account != proposer;
       turn = (turn + 1) % validators.size()) {
    const AccountId& absent = validators[turn].account;
    if (tables_.chains.find(absent) == nullptr) continue;
    ++tables_.chains.edit(absent).skipped;
    if (frame_.undrawn.empty()) continue;
    // Out of what nothing else is at stake of.
    Account& account = tables_.accounts.edit(absent);
    const std::uint64_t taken = std::min(frame_.parameters.skip_penalty, account.bonded - account.at_stake);
    account.bonded -= taken;
    frame_.totals.treasury += taken;
  }
}

}  // namespace mesh::ledger
