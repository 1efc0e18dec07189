#include "domain/ledger/payment_check.h"

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "domain/ledger/settlement.h"

namespace mesh::ledger {

namespace {

using verification::Decision;
using verification::Judged;
using verification::JudgedWork;
using verification::PaidPart;
using verification::PaidTask;

std::unexpected<Error> refuse(std::string text) { return fail(ErrorCode::invalid, std::move(text)); }

std::string named(const Cid& commitment) { return "the work " + commitment.text(); }

/// An entry that a certified block shows.
struct Shown {
  ProvenBlock block;
  BlockHeader header;
  std::optional<Bytes> entry;
};

/// Reads the blocks of one proof, and notes which it consists of.
class Reader {
 public:
  explicit Reader(const std::map<Cid, const Bytes*>& blocks) : blocks_(blocks) {}

  Result<const Bytes*> bytes(const Cid& cid) {
    const auto found = blocks_.find(cid);
    if (found == blocks_.end())
      return refuse("payment-cut: block " + cid.text() + " of the payment's proof is not in the bundle");
    used_.insert(cid);
    return found->second;
  }
  template <class T>
  Result<T> get(const Cid& cid, std::string_view what) {
    MESH_LET(const Bytes* found, bytes(cid));
    Result<T> read = record::decode<T>(*found);
    if (!read || cid.codec() != Multicodec::dag_cbor)
      return refuse("bad-payment: " + cid.text() + " is not " + std::string(what) +
                    (read ? std::string() : ": " + read.error().message));
    return read;
  }
  [[nodiscard]] std::set<Cid>& used() { return used_; }

 private:
  const std::map<Cid, const Bytes*>& blocks_;
  std::set<Cid> used_;
};

/// Whether what is read out of a work's entry later lies where it should: what validators signed is read here, too.
Status check_form(const Work& work, std::uint32_t shards, std::uint64_t fee) {
  const auto bad = [&](std::string_view what) {
    return refuse("bad-payment: " + named(work.commitment) + " has " + std::string(what));
  };
  const auto covers = task::expand(work.shards, shards);
  if (!covers || covers->empty() || covers->size() > receipt::max_commitment_shards)
    return bad("shards that the task does not have");
  const std::size_t count = covers->size();
  if (work.cost > fee || work.timeliness > 1000) return bad("a cost above the fee, or more than all of its time");
  if (work.draws.size() > 2) return bad("more drawings than two");
  if (std::uint64_t{work.accepted} + work.rejected + work.undecided > count)
    return bad("more shards decided than it has");
  const bool has_findings = work.receipt && work.phase != WorkPhase::ended;
  if (work.findings.size() != (has_findings ? count * Digest::size : 0) ||
      work.exhausted.size() != (has_findings ? count : 0))
    return bad("another number of findings than of shards");
  for (const Answer& answer : work.answers) {
    const auto answered = task::expand(answer.shards, shards);
    if (answer.round >= work.draws.size() || !answered || !std::ranges::includes(*covers, *answered))
      return bad("an answer on what it has not");
    if (answer.found.size() != answer.differing.size() * Digest::size ||
        answer.exhausted.size() != answer.differing.size() ||
        std::ranges::adjacent_find(answer.differing, std::ranges::greater_equal()) != answer.differing.end())
      return bad("an answer that does not read");
  }
  for (const WorkDraw& draw : work.draws) {
    if (draw.seats > max_paid_seats || draw.width > draw.nodes.size() || draw.weights.size() != draw.nodes.size() ||
        draw.order.size() != (draw.nodes.empty() ? 0 : count * draw.width * 2))
      return bad("a drawing that does not read");
    for (std::size_t at = 0; at < count * draw.width; ++at) {
      if (draw.drawn_at(0, at) >= draw.nodes.size()) return bad("a drawing that does not read");
    }
  }
  return {};
}

class Check {
 public:
  Check(const Certify& certify, const PaidTask& task) : certify_(certify), task_(task), reader_(task.blocks) {}

  Result<Judged> run(PaymentReport& report) {
    MESH_LET(const PaymentProof proof, reader_.get<PaymentProof>(task_.payment, "the proof of a payment"));
    if (proof.works.size() > max_proven_works || proof.hops.size() > max_hops)
      return refuse("bad-payment: the proof has more works or changes of validators than one may have");
    MESH_TRY(begin());
    for (const Cid& hop : proof.hops) MESH_TRY(take_hop(hop));
    MESH_TRY(take_escrow(proof, report));
    for (std::size_t i = 0; i < proof.works.size(); ++i) {
      if (i > 0 && proof.works[i - 1].commitment >= proof.works[i].commitment)
        return refuse("work-twice: the proof does not name its works in ascending order, each once");
      MESH_TRY(take_work(proof.works[i], report));
    }
    MESH_TRY(add_up(report));
    judged_.used = std::move(reader_.used());
    return std::move(judged_);
  }

 private:
  /// The founding.
  Status begin() {
    MESH_LET(const identity::Charter charter,
             reader_.get<identity::Charter>(task_.federation, "the charter of the federation"));
    if (!charter.ledger) return refuse("bad-founding: the federation was founded without a ledger");
    MESH_LET(const Genesis genesis, reader_.get<Genesis>(*charter.ledger, "the federation's genesis"));
    Result<State> state = found(charter, genesis);
    if (!state) return wrap("bad-founding", std::move(state.error()));
    trusted_.emplace(task_.federation, std::move(state->frame.validators), certify_);
    return {};
  }

  /// A header with its certificate and the summary of its state, held against the set of validators that this names.
  Result<Shown> certified(const Cid& header_cid, const Cid& certificate_cid, ByteView summary) {
    MESH_LET(BlockHeader header, reader_.get<BlockHeader>(header_cid, "the header of a block"));
    MESH_LET(const Bytes* certificate, reader_.bytes(certificate_cid));
    MESH_LET(const TrustedSets::Certified shown, trusted_->certified(header_cid, header, *certificate, summary));
    ProvenBlock block{.block = header_cid,
                      .height = header.height,
                      .time_ms = header.time_ms,
                      .signers = shown.certification.signers.size(),
                      .validators = shown.validators->validators.size()};
    for (const Validator& one : shown.validators->validators) {
      block.total_power += one.power;
      if (std::ranges::find(shown.certification.signers, one.key) != shown.certification.signers.end())
        block.power += one.power;
    }
    return Shown{.block = block, .header = std::move(header), .entry = {}};
  }

  Status take_hop(const Cid& cid) {
    MESH_LET(const ValidatorHop hop, reader_.get<ValidatorHop>(cid, "a change of the set of validators"));
    MESH_LET(const BlockHeader header, reader_.get<BlockHeader>(hop.header, "the header of a block"));
    MESH_LET(const Bytes* certificate, reader_.bytes(hop.certificate));
    return trusted_->take(hop, header, *certificate);
  }

  /// An entry by its key, in the state of a certified block.
  Result<Shown> entry(const Cid& cid, std::string_view table, ByteView key) {
    MESH_LET(const CertifiedEntry certified_entry, reader_.get<CertifiedEntry>(cid, "an entry of the ledger"));
    MESH_LET(Shown shown,
             certified(certified_entry.header, certified_entry.certificate, certified_entry.proof.summary));
    MESH_LET(shown.entry, check_entry(shown.header.state_root, table, key, certified_entry.proof));
    return shown;
  }

  Status take_escrow(const PaymentProof& proof, PaymentReport& report) {
    if (!proof.escrow) return refuse("escrow-missing: the proof does not show the task's escrow");
    MESH_LET(const Shown shown, entry(*proof.escrow, Escrow::table, task_.intent.cid.digest().view()));
    if (!shown.entry) return refuse("escrow-missing: nothing was locked for this task");
    Result<Escrow> escrow = record::decode<Escrow>(*shown.entry);
    if (!escrow) return refuse("bad-payment: the escrow's entry does not read: " + escrow.error().message);
    const task::TaskIntent& asked = task_.intent.record;
    if (escrow->intent != task_.intent.cid || escrow->signer != task_.intent.signer || escrow->fee != asked.fee ||
        escrow->shards != asked.shards || escrow->verifiers != asked.verifiers)
      return refuse("escrow-of-another: the escrow is not what the intent offers");
    const std::optional<std::uint64_t> locked = checked_multiply(escrow->fee, std::uint64_t{escrow->shards});
    if (!locked || escrow->held > *locked || escrow->paid > escrow->shards)
      return refuse("bad-payment: the escrow holds more than was locked");
    publisher_ = escrow->publisher;
    owner_ = escrow->owner;
    report.locked = *locked;
    report.escrow = std::move(*escrow);
    report.block = shown.block;
    return {};
  }

  Result<std::pair<Shown, Work>> work_at(const Cid& cid, const Cid& commitment) {
    MESH_LET(Shown shown, entry(cid, Work::table, commitment.digest().view()));
    if (!shown.entry) return refuse("work-missing: " + named(commitment) + " is not in the ledger's state");
    Result<Work> work = record::decode<Work>(*shown.entry);
    if (!work)
      return refuse("bad-payment: the entry of " + named(commitment) + " does not read: " + work.error().message);
    if (work->intent != task_.intent.cid || work->commitment != commitment)
      return refuse("work-of-another: " + named(commitment) + " is of another task");
    MESH_TRY(check_form(*work, task_.intent.record.shards, task_.intent.record.fee));
    return std::pair{std::move(shown), std::move(*work)};
  }

  Status take_work(const WorkLinks& links, PaymentReport& report) {
    const Cid& commitment = links.commitment;
    if (!links.now) return refuse("work-missing: the proof does not show " + named(commitment));
    MESH_LET(auto now, work_at(*links.now, commitment));
    const Shown& shown = now.first;
    ProvenWork proven{.work = std::move(now.second), .block = shown.block};
    const Work& work = proven.work;
    if (work.phase != WorkPhase::ended) {
      if (links.before)
        return refuse("bad-payment: " + named(commitment) + " has not ended, and something is before it");
      if (report.escrow.ended || shown.block.block != report.block.block)
        return refuse("works-open: " + named(commitment) + " is shown as it stood in another block than the escrow");
      MESH_TRY(check_draws(links, work, proven));
      std::vector<Decision> decisions;
      if (work.receipt && work.phase != WorkPhase::drawing)
        decisions = settle(work, report.escrow, task_.policy, shown.block.time_ms).decisions;
      judge(work, work, decisions);
      report.works.push_back(std::move(proven));
      return {};
    }
    if (shown.block.height > report.block.height)
      return refuse("escrow-older: the escrow is shown as it stood before " + named(commitment) + " ended");
    if (!links.before)
      return refuse("before-missing: " + named(commitment) + " ended, and what stood before is not shown");
    MESH_LET(const auto earlier, work_at(*links.before, commitment));
    const Work& before = earlier.second;
    if (before.phase == WorkPhase::ended || shown.header.parents != std::vector{earlier.first.block.block})
      return refuse("not-adjacent: " + named(commitment) + " is not shown as it stood in the block before its end");
    MESH_TRY(check_draws(links, before, proven));
    MESH_LET(const WorkResult result, settled(before, work, report.escrow, earlier.first.block.time_ms));
    for (const auto& [account, amount] : result.earned)
      (account == work.worker ? proven.worker : proven.verifiers) += amount;
    proven.treasury = result.treasury;
    for (const Payout& one : work.payouts) proven.penalties += one.from_bond ? one.amount : 0;
    judge(work, before, result.decisions);
    report.works.push_back(std::move(proven));
    return {};
  }

  /// What the ledger's rules make of a work as it stood, if that is what the entry says of its end.
  Result<WorkResult> settled(const Work& before, const Work& ended, const Escrow& escrow, std::uint64_t time_ms) {
    const auto bad = [&](std::string_view name, std::string_view what) {
      return refuse(std::string(name) + ": " + named(ended.commitment) + " " + std::string(what));
    };
    const bool same = before.award == ended.award && before.worker == ended.worker && before.signer == ended.signer &&
                      before.shards == ended.shards && before.root == ended.root && before.cost == ended.cost &&
                      before.timeliness == ended.timeliness && before.anchored_height == ended.anchored_height;
    if (!same || !ended.ending) return bad("wrong-settlement", "ended as another than it was");
    WorkResult result;
    switch (*ended.ending) {
      case WorkEnding::settled:
        if (!before.receipt || before.draws.empty() || before.receipt != ended.receipt)
          return bad("wrong-settlement", "was settled, and had not been revealed before");
        result = settle(before, escrow, task_.policy, time_ms);
        break;
      case WorkEnding::by_publisher:
        if (!before.draws.empty() && before.draws.front().seats != 0)
          return bad("wrong-settlement", "was accepted by its publisher, and verifiers had been drawn");
        result = settle_unverified(before, escrow, task_.policy);
        break;
      case WorkEnding::silent:
        result.undecided = before.count();
        result.decisions.assign(before.count(), Decision::disputed);
        break;
    }
    if (result.accepted != ended.accepted || result.rejected != ended.rejected || result.undecided != ended.undecided)
      return bad("wrong-settlement", "ended with other decisions than what was revealed leads to");
    std::vector<Payout> earned;
    for (const auto& [account, amount] : result.earned) {
      if (amount != 0) earned.push_back({account, amount, false});
    }
    // What comes after these went out of bonds.
    if (ended.payouts.size() < earned.size() || !std::equal(earned.begin(), earned.end(), ended.payouts.begin()) ||
        ended.to_treasury < result.treasury)
      return bad("wrong-payout", "paid something else than the rules have it");
    return result;
  }

  /// Each drawing made again, from the list of who was eligible and the beacon.
  Status check_draws(const WorkLinks& links, const Work& work, ProvenWork& proven) {
    const std::array bases{links.drawn, links.drawn_again};
    for (std::size_t round = 0; round < bases.size(); ++round) {
      if (bases[round].has_value() != (round < work.draws.size()))
        return refuse("draw-missing: " + named(work.commitment) +
                      (bases[round] ? " was not drawn for so often" : " was drawn for, and it is not shown from what"));
      if (bases[round]) MESH_TRY(check_draw(*bases[round], work, static_cast<std::uint32_t>(round)));
    }
    proven.drawings = static_cast<std::uint32_t>(work.draws.size());
    return {};
  }

  Status check_draw(const Cid& cid, const Work& work, std::uint32_t round) {
    const WorkDraw& draw = work.draws[round];
    const auto bad = [&](std::string_view name, std::string_view what) {
      return refuse(std::string(name) + ": of " + named(work.commitment) + " " + std::string(what));
    };
    MESH_LET(const DrawBasis basis, reader_.get<DrawBasis>(cid, "what a drawing was made from"));
    if (basis.header != draw.block) return bad("wrong-draw", "another block than that before the drawing is shown");
    MESH_LET(const BlockHeader header, reader_.get<BlockHeader>(basis.header, "the header of a block"));
    MESH_LET(const std::optional<Bytes> member_entry,
             check_entry(header.state_root, Member::table, work.worker.view(), basis.worker));
    std::string worker_owner;
    if (member_entry) {
      Result<Member> member = record::decode<Member>(*member_entry);
      if (!member) return bad("bad-payment", "the worker's entry as a member does not read");
      worker_owner = member->owner.value_or("");
    }
    Bytes list;
    for (const Cid& piece : basis.eligible) {
      MESH_LET(const Bytes* bytes, reader_.bytes(piece));
      append(list, *bytes);
    }
    if (tagged_hash("meshwork/1/eligible", {list}) != draw.eligible)
      return bad("wrong-eligible", "the list of who was eligible is another than the one drawn from");
    const auto eligible = read_eligible(list);
    if (!eligible) return bad("wrong-eligible", eligible.error().message);

    const policy::VerificationQuorum& quorum = task_.policy.verification_quorum;
    const std::uint32_t asked = task_.intent.record.verifiers;
    std::uint32_t wanted = 0;
    std::uint32_t least = 1;
    std::vector<NodeId> without;
    if (round == 0) {
      // As many as were drawn: how many above the intent's number goes by the worker's score.
      if (draw.seats != 0 && draw.seats < asked) return bad("wrong-draw", "there are fewer seats than were asked for");
      wanted = draw.seats == 0 ? asked : draw.seats;
      least = asked;
    } else {
      wanted = std::min(std::max(quorum.maximum_verifiers, work.draws[0].seats), max_paid_seats);
      for (const NodeId& node : work.draws[0].nodes) {
        const auto took_part = [&](const auto& one) { return one.node == node && one.round == 0; };
        if (std::ranges::any_of(work.answers, took_part) || std::ranges::any_of(work.passed_over, took_part))
          without.push_back(node);
      }
    }
    WorkDraw again = draw_verifiers(work, *eligible, {.node = work.worker, .owner = worker_owner},
                                    {.node = publisher_, .owner = owner_}, without, draw.beacon, wanted, least);
    again.height = draw.height;
    again.block = draw.block;
    again.time_ms = draw.time_ms;
    if (again != draw) return bad("wrong-draw", "the drawing made again comes to other verifiers");
    for (const verification::Member& one : *eligible) {
      const bool of_a_party = verification::same_owner(one, {.node = work.worker, .owner = worker_owner}) ||
                              verification::same_owner(one, {.node = publisher_, .owner = owner_});
      if (of_a_party && std::ranges::find(work.answers, one.node, &Answer::node) != work.answers.end())
        same_owner_.insert(work.commitment);
    }
    if (draw.height != header.height + 1) return bad("wrong-draw", "the block before the drawing is of another height");
    return {};
  }

  /// For the verdicts: what was decided of each shard, and who had its seats.
  void judge(const Work& work, const Work& stood, const std::vector<Decision>& decisions) {
    JudgedWork judged{.commitment = commitment_of(work),
                      .receipt = work.receipt,
                      .shards = {},
                      .same_owner = same_owner_.contains(work.commitment)};
    const std::vector<std::uint32_t> numbers = work.numbers();
    for (std::size_t row = 0; row < decisions.size(); ++row) {
      verification::JudgedShard& shard = judged.shards[numbers[row]];
      shard.decision = decisions[row];
      for (const Answer& answer : stood.answers) {
        if (answer.revealed && task::covers(answer.shards, numbers[row]))
          shard.seats.push_back({answer.node, !std::ranges::binary_search(answer.differing, numbers[row])});
      }
    }
    judged_.works.emplace(work.commitment, std::move(judged));
  }

  Status add_up(PaymentReport& report) {
    std::uint64_t accepted = 0;
    for (const ProvenWork& one : report.works) {
      if (one.work.phase != WorkPhase::ended) continue;
      accepted += one.work.accepted;
      report.worker += one.worker;
      report.verifiers += one.verifiers;
      report.treasury += one.treasury;
    }
    if (accepted > report.escrow.paid)
      return refuse("escrow-older: the works paid for more shards than the escrow says");
    report.complete = accepted == report.escrow.paid;
    const std::uint64_t gone = report.locked - report.escrow.held;
    const std::uint64_t paid = report.worker + report.verifiers + report.treasury;
    if (paid > gone) return refuse("wrong-payout: more was paid than left the escrow");
    report.refunded = report.complete ? gone - paid : 0;
    report.hops = trusted_->hops();
    report.rewards = task_.policy.reward_settings;
    return {};
  }

  const Certify& certify_;
  const PaidTask& task_;
  Reader reader_;
  std::optional<TrustedSets> trusted_;
  NodeId publisher_;
  std::string owner_;
  std::set<Cid> same_owner_;  ///< works that a node of the worker's or the publisher's owner answered for
  Judged judged_;
};

}  // namespace

Result<Judged> PaymentCheck::judge(const PaidTask& task) {
  PaymentReport report;
  MESH_LET(Judged judged, Check(certify_, task).run(report));
  if (!report_) report_ = std::move(report);
  return judged;
}

Result<PaidPart> PaymentCheck::cut(const PaidTask& task, const std::set<Cid>& commitments) {
  Reader reader(task.blocks);
  MESH_LET(PaymentProof proof, reader.get<PaymentProof>(task.payment, "the proof of a payment"));
  std::erase_if(proof.works, [&](const WorkLinks& work) { return !commitments.contains(work.commitment); });
  PaidPart part;
  Bytes root = record::encode(proof);
  part.root = dagcbor::cid_of(root);
  std::map<Cid, Bytes> fresh{{part.root, root}};
  std::map<Cid, const Bytes*> blocks = task.blocks;
  blocks.insert_or_assign(part.root, &fresh.at(part.root));
  const PaidTask smaller{.federation = task.federation,
                         .intent = task.intent,
                         .policy = task.policy,
                         .payment = part.root,
                         .blocks = blocks};
  PaymentReport report;
  MESH_LET(const Judged judged, Check(certify_, smaller).run(report));
  for (const Cid& cid : judged.used) part.blocks.push_back({cid, *blocks.at(cid)});
  return part;
}

PaidPart paid_part(const PaymentProof& proof, ProofBlocks blocks, const identity::Charter& charter,
                   const Genesis& genesis) {
  // What nothing links to any more, such as the escrow as it stood before, stays behind.
  std::set<Cid> linked;
  std::vector<Cid> unread = proof.hops;
  const auto want = [&](const std::optional<Cid>& cid) {
    if (cid && linked.insert(*cid).second) unread.push_back(*cid);
  };
  for (const Cid& hop : proof.hops) linked.insert(hop);
  want(proof.escrow);
  for (const WorkLinks& work : proof.works) {
    for (const auto& cid : {work.now, work.before, work.drawn, work.drawn_again}) want(cid);
  }
  while (!unread.empty()) {
    const Cid cid = unread.back();
    unread.pop_back();
    const auto found = blocks.find(cid);
    if (found == blocks.end()) continue;
    if (const auto entry = record::decode<CertifiedEntry>(*found->second)) {
      linked.insert(entry->header);
      linked.insert(entry->certificate);
    } else if (const auto basis = record::decode<DrawBasis>(*found->second)) {
      linked.insert(basis->header);
      linked.insert(basis->eligible.begin(), basis->eligible.end());
    } else if (const auto hop = record::decode<ValidatorHop>(*found->second)) {
      linked.insert(hop->header);
      linked.insert(hop->certificate);
    }
  }
  PaidPart part;
  const auto add = [&](Bytes bytes) {
    const Cid cid = dagcbor::cid_of(bytes);
    part.blocks.push_back({cid, std::move(bytes)});
    return cid;
  };
  part.root = add(record::encode(proof));
  add(record::encode(charter));
  add(record::encode(genesis));
  for (const Cid& cid : linked) {
    if (const auto found = blocks.find(cid); found != blocks.end()) part.blocks.push_back({cid, *found->second});
  }
  return part;
}

}  // namespace mesh::ledger
