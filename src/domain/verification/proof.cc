#include "domain/verification/proof.h"

#include <algorithm>
#include <set>

#include "codec/utf8.h"

namespace mesh::verification {

namespace {

constexpr std::size_t max_bundle_bytes = std::size_t{512} << 20;

using receipt::Commitment;
using receipt::ExecutionReceipt;
using receipt::VerificationReceipt;

std::unexpected<Error> not_proven(std::string why) {
  return fail(ErrorCode::invalid, "payment: not proven: " + std::move(why));
}

std::string on_shard(std::uint32_t shard) { return "shard " + std::to_string(shard); }

/// Everything that a bundle holds, each record's signature checked, none judged yet.
struct Records {
  std::optional<Signed<task::TaskIntent>> intent;
  std::optional<Signed<market::Roster>> roster;
  std::map<Cid, Signed<market::ComputeOffer>> offers;
  std::map<Cid, Signed<market::Award>> awards;
  std::map<Cid, Signed<Commitment>> commitments;
  std::map<Cid, Signed<RoundOpen>> opens;
  std::map<Cid, Signed<NonceReveal>> reveals;
  std::map<Cid, Signed<Draw>> draws;
  std::multimap<std::pair<Cid, Cid>, Signed<Substitution>> substitutions;  ///< by draw and the worker's commitment
  std::multimap<std::pair<Cid, Cid>, Signed<Extension>> extensions;
  std::map<Cid, Signed<ExecutionReceipt>> receipts;
  std::map<Cid, Signed<VerificationReceipt>> verifications;
  std::vector<Signed<Verdict>> verdicts;
  std::set<Cid> listed;  ///< of the lists above
};

/// `intent` is the task that the bundle says it is about.
Status collect(const Envelope& envelope, const Cid& federation, const Cid& intent, Records& records) {
  MESH_LET(const std::string type, type_of(envelope.body));
  const auto read = [&]<class T>(std::type_identity<T>) -> Result<Signed<T>> {
    MESH_LET(Signed<T> record, open<T>(envelope, federation));
    if constexpr (requires { record.record.intent; }) {
      if (record.record.intent != intent)
        return fail(ErrorCode::invalid, "the bundle has a record of type \"" + type + "\" of another task");
    }
    return record;
  };
  const auto keep_one = [&]<class T>(std::optional<Signed<T>>& slot) -> Status {
    MESH_LET(Signed<T> record, read(std::type_identity<T>()));
    if (slot && slot->cid != record.cid)
      return fail(ErrorCode::invalid, "the bundle has two records of type \"" + type + "\"");
    slot = std::move(record);
    return {};
  };
  const auto keep = [&]<class T>(std::map<Cid, Signed<T>>& map) -> Status {
    MESH_LET(Signed<T> record, read(std::type_identity<T>()));
    const Cid cid = record.cid;
    map.emplace(cid, std::move(record));
    return {};
  };
  const auto once = [&]<class T>(std::type_identity<T> of) -> Result<Signed<T>> {
    MESH_LET(Signed<T> record, read(of));
    if (!records.listed.insert(record.cid).second)
      return fail(ErrorCode::invalid, "the bundle has a record of type \"" + type + "\" twice");
    return record;
  };
  const auto keep_by_draw = [&]<class T>(std::multimap<std::pair<Cid, Cid>, Signed<T>>& map) -> Status {
    MESH_LET(Signed<T> record, once(std::type_identity<T>()));
    const std::pair key{record.record.draw, record.record.commitment};
    map.emplace(key, std::move(record));
    return {};
  };
  if (type == task::TaskIntent::type) return keep_one(records.intent);
  if (type == market::Roster::type) return keep_one(records.roster);
  if (type == market::ComputeOffer::type) return keep(records.offers);
  if (type == market::Award::type) return keep(records.awards);
  if (type == Commitment::type) return keep(records.commitments);
  if (type == RoundOpen::type) return keep(records.opens);
  if (type == NonceReveal::type) return keep(records.reveals);
  if (type == Draw::type) return keep(records.draws);
  if (type == Substitution::type) return keep_by_draw(records.substitutions);
  if (type == Extension::type) return keep_by_draw(records.extensions);
  if (type == ExecutionReceipt::type) return keep(records.receipts);
  if (type == VerificationReceipt::type) return keep(records.verifications);
  if (type == Verdict::type) {
    MESH_LET(Signed<Verdict> verdict, once(std::type_identity<Verdict>()));
    records.verdicts.push_back(std::move(verdict));
    return {};
  }
  return fail(ErrorCode::invalid,
              "the bundle has a record of type \"" + utf8_excerpt(type, 64) + "\", which has no place there");
}

class Checker {
 public:
  /// `paid`: what a ledger decided, where the task pays.
  Checker(const Records& records, const policy::MeshPolicy& policy, const Judged* paid)
      : records_(records), policy_(policy), paid_(paid) {}

  Status prepare() {
    if (!records_.intent) return fail(ErrorCode::invalid, "the bundle has no intent");
    MESH_TRY(task::validate(records_.intent->record, policy_));
    if (records_.verdicts.empty()) return {};
    if (!records_.roster) return fail(ErrorCode::invalid, "the bundle has verdicts but no roster");
    std::vector<Signed<market::ComputeOffer>> offers;
    for (const Cid& cid : records_.roster->record.offers) {
      const auto offer = records_.offers.find(cid);
      if (offer == records_.offers.end()) return fail(ErrorCode::invalid, "an offer of the roster is missing");
      offers.push_back(offer->second);
    }
    MESH_LET(field_, make_field(*records_.intent, *records_.roster, std::move(offers)));
    std::set<std::uint32_t> rounds;
    for (const auto& [cid, open] : records_.opens) {
      if (!rounds.insert(open.record.round).second) {
        return fail(ErrorCode::invalid, "round " + std::to_string(open.record.round) +
                                            " was opened twice: the publisher could have chosen between draws");
      }
    }
    std::set<Cid> drawn;
    for (const auto& [cid, draw] : records_.draws) {
      if (!drawn.insert(draw.record.open).second) {
        return fail(ErrorCode::invalid, "round " + std::to_string(draw.record.round) +
                                            " was drawn twice: the publisher could have chosen between draws");
      }
    }
    return {};
  }

  /// Nobody was kept out of a draw but by a verdict against him. Asked once all verdicts are checked.
  [[nodiscard]] Status check_barred() const {
    for (const auto& [cid, open] : records_.opens) {
      for (const NodeId& node : open.record.barred) {
        if (!guilty_.contains(node)) {
          return fail(ErrorCode::invalid, "round " + std::to_string(open.record.round) + " bars " +
                                              identity::peer_id_of(node) + " without a verdict against it");
        }
      }
    }
    return {};
  }

  /// What the verdict says of each of its shards, all of it checked.
  Result<std::vector<ShardProof>> check(const Signed<Verdict>& verdict) {
    const Verdict& v = verdict.record;
    const task::TaskIntent& intent = records_.intent->record;
    Result<std::vector<std::uint32_t>> expanded = task::expand(v.shards, intent.shards);
    if (!expanded) return wrap("the shards of a verdict", std::move(expanded.error()));
    const std::vector<std::uint32_t>& shards = *expanded;
    if (shards.empty()) return fail(ErrorCode::invalid, "the bundle has a verdict on no shard");
    const auto bad = [&](std::string_view what) {
      return fail(ErrorCode::invalid, on_shard(shards.front()) + ": " + std::string(what));
    };
    if (verdict.signer != records_.intent->signer) return bad("the verdict is not the publisher's on this task");
    const auto receipt = records_.receipts.find(v.receipt);
    if (receipt == records_.receipts.end()) return bad("the worker's receipt is missing");
    const Cid& commitment_cid = receipt->second.record.commitment;
    const JudgedWork* work = nullptr;
    if (paid_ != nullptr) {
      const auto judged = paid_->works.find(commitment_cid);
      if (judged == paid_->works.end())
        return not_proven("work-missing: " + on_shard(shards.front()) +
                          " was decided, and nothing is shown of the ledger's work for it");
      work = &judged->second;
    }
    const auto known = records_.commitments.find(commitment_cid);
    // What was anchored counts, whether it came to the publisher or not.
    if (known == records_.commitments.end() && work == nullptr) return bad("the worker's commitment is missing");
    const Signed<Commitment>& commitment = known == records_.commitments.end() ? work->commitment : known->second;
    const NodeId worker = receipt->second.signer;
    if (commitment.signer != worker) return bad("the receipt and the commitment do not belong together");
    const Result<const receipt::Opened*> found = opened_by(receipt->second, commitment);
    if (!found) return bad(found.error().message);
    const receipt::Opened& opened = **found;
    if (!std::ranges::includes(opened.shards, shards))
      return bad("the worker's receipt does not cover all of its shards");

    const bool self_executed = worker == records_.intent->signer;
    const Cid& award_cid = receipt->second.record.award;
    if (self_executed) {
      if (!field_->offers.empty() || award_cid != field_->roster.cid)
        return bad("the publisher ran it itself although others had offered");
    } else {
      const auto award = records_.awards.find(award_cid);
      if (award == records_.awards.end()) return bad("the award is missing");
      const Signed<market::ComputeOffer>* offer = field_->offer(award->second.record.offer);
      if (award->second.signer != records_.intent->signer || award->second.record.roster != field_->roster.cid ||
          offer == nullptr || offer->signer != worker) {
        return bad("the award is not the publisher's to this worker");
      }
      MESH_LET(const std::vector<std::uint32_t> awarded, task::expand(award->second.record.shards, intent.shards));
      if (!std::ranges::includes(awarded, shards)) return bad("the award does not cover it");
    }
    if (work != nullptr) {
      if (self_executed) return bad("the publisher ran it itself, and a ledger does not pay for that");
      MESH_TRY(check_paid(v, *work, shards));
    }
    if (v.decision == Decision::spot_checked && (!v.draw || !v.verifications.empty() || v.contribution != 0))
      return bad("what was not re-executed has a draw, and no verifications and no contribution score");
    if (!v.draw && work == nullptr) {
      if (v.decision != Decision::unverified || !v.verifications.empty())
        return bad("a decision without a draw can only be \"unverified\"");
      if (intent.verifiers > 0 && field_->offers.size() > intent.verifiers)
        return bad("it is unverified although there were verifiers enough");
      if (v.contribution != 0) return bad("the contribution score is not what the verifications give");
    }
    std::vector<ShardProof> proofs;
    proofs.reserve(shards.size());
    for (const std::uint32_t shard : shards) {
      const auto row = static_cast<std::size_t>(std::ranges::lower_bound(opened.shards, shard) - opened.shards.begin());
      proofs.push_back({.shard = shard,
                        .decision = v.decision,
                        .worker = worker,
                        .finding = opened.findings[row],
                        .summary = receipt->second.record.usage.summary(row, opened.findings[row].fuel),
                        .seats = {},
                        .contribution = v.contribution});
      proofs.back().self_executed = self_executed;
      proofs.back().receipt = v.receipt;
      if (work == nullptr) continue;
      proofs.back().seats = work->shards.at(shard).seats;
      proofs.back().same_owner = work->same_owner;
    }
    if (v.draw) MESH_TRY(check_drawn(v, opened, commitment_cid, proofs));
    return proofs;
  }

  /// Every receipt of which some shards were accepted on a sample: each drawn shard of it was judged, and held. `proofs`
  /// are the last verdicts.
  [[nodiscard]] Status check_samples(const std::map<std::uint32_t, ShardProof>& proofs) const {
    for (const auto& [receipt_and_draw, spared] : spared_) {
      const Cid& receipt = receipt_and_draw.first;
      const auto bad = [&, first = spared.first](std::string_view what) {
        return fail(ErrorCode::invalid, on_shard(first) + ": " + std::string(what));
      };
      if (failed_.contains(receipt) || rejected_.contains(spared.worker))
        return bad("it counts as spot-checked although a drawn shard of its worker did not hold");
      for (const std::uint32_t drawn : spared.drawn) {
        // Done by another worker meanwhile, or judged here: then it held, or `failed_` would name the receipt.
        if (!proofs.contains(drawn))
          return bad(on_shard(drawn) + ", which was drawn to be re-executed, has no verdict");
      }
    }
    return {};
  }

 private:
  /// A verdict of a paid task says what the ledger decided.
  static Status check_paid(const Verdict& v, const JudgedWork& work, const std::vector<std::uint32_t>& shards) {
    if (v.draw || !v.verifications.empty() || v.contribution != 0)
      return not_proven("wrong-verdict: " + on_shard(shards.front()) +
                        " was decided by the ledger, and its verdict names a draw of the publisher's");
    if (work.receipt != v.receipt)
      return not_proven("wrong-verdict: " + on_shard(shards.front()) +
                        " was decided on another receipt than the ledger's");
    for (const std::uint32_t shard : shards) {
      const auto judged = work.shards.find(shard);
      if (judged == work.shards.end() || judged->second.decision != v.decision)
        return not_proven("wrong-verdict: " + on_shard(shard) + " was decided otherwise by the ledger");
    }
    return {};
  }

  /// What a verification reveals.
  struct Revealed {
    std::vector<std::uint32_t> shards;  ///< that its commitment covers
    std::map<std::uint32_t, receipt::Finding> differing;  ///< from the worker's findings
  };
  /// A verification that a verdict names.
  struct Answer {
    const Revealed* revealed = nullptr;
    bool counted = false;  ///< for a seat
  };

  Result<const receipt::Opened*> opened_by(const Signed<ExecutionReceipt>& receipt,
                                           const Signed<Commitment>& commitment) {
    if (const auto known = opened_.find(receipt.cid); known != opened_.end()) return &known->second;
    MESH_LET(receipt::Opened opened,
             receipt::open_execution(commitment, receipt.record, records_.intent->record.shards));
    return &opened_.emplace(receipt.cid, std::move(opened)).first->second;
  }

  Result<Answer> answer_of(const Cid& verification_cid, const Verdict& v, const receipt::Opened& worker,
                           const Cid& commitment) {
    const auto verification = records_.verifications.find(verification_cid);
    if (verification == records_.verifications.end()) return fail(ErrorCode::invalid, "a verification is missing");
    const VerificationReceipt& r = verification->second.record;
    if (r.receipt != v.receipt) return fail(ErrorCode::invalid, "a verification is of another receipt");
    const auto own = records_.commitments.find(r.commitment);
    if (own == records_.commitments.end()) return fail(ErrorCode::invalid, "a verifier's commitment is missing");
    if (own->second.signer != verification->second.signer || own->second.record.basis != *v.draw ||
        own->second.record.worker != commitment) {
      return fail(ErrorCode::invalid, "a verifier's commitment was not made for this draw");
    }
    if (const auto known = revealed_.find(verification_cid); known != revealed_.end())
      return Answer{.revealed = &known->second};
    const std::uint32_t shards = records_.intent->record.shards;
    Revealed revealed;
    MESH_LET(revealed.differing, receipt::open_verification(own->second, r, worker, shards));
    MESH_LET(revealed.shards, receipt::covered(own->second, shards));
    return Answer{.revealed = &revealed_.emplace(verification_cid, std::move(revealed)).first->second};
  }

  /// A verdict under a draw: its shards were re-executed, or others of the same commitment were, as the draw has it.
  Status check_drawn(const Verdict& v, const receipt::Opened& worker, const Cid& commitment,
                     std::vector<ShardProof>& proofs) {
    const std::uint32_t first = proofs.front().shard;
    const auto bad = [](std::uint32_t shard, std::string_view what) {
      return fail(ErrorCode::invalid, on_shard(shard) + ": " + std::string(what));
    };
    MESH_LET(const DrawnRound* round, round_of(*v.draw));
    if (round->seats(commitment) == 0) return bad(first, "the worker's commitment was not fixed before the draw");
    std::vector<std::uint32_t> drawn = round->verified(commitment, worker.shards);
    const bool spared = v.decision == Decision::spot_checked;
    for (const ShardProof& proof : proofs) {
      if (std::ranges::binary_search(drawn, proof.shard) == spared)
        return bad(proof.shard, spared ? "it counts as spot-checked although it was drawn to be re-executed"
                                       : "it was judged although it was not drawn to be re-executed");
    }
    if (!spared) return check_seats(v, *round, worker, commitment, proofs);
    spared_.insert_or_assign({v.receipt, *v.draw},
                             Spared{.first = first, .worker = proofs.front().worker, .drawn = std::move(drawn)});
    return {};
  }

  Status check_seats(const Verdict& v, const DrawnRound& round, const receipt::Opened& worker, const Cid& commitment,
                     std::vector<ShardProof>& proofs) {
    const auto bad = [](std::uint32_t shard, std::string_view what) {
      return fail(ErrorCode::invalid, on_shard(shard) + ": " + std::string(what));
    };
    const std::uint32_t first = proofs.front().shard;
    if (std::ranges::adjacent_find(v.verifications, std::ranges::greater_equal()) != v.verifications.end())
      return bad(first, "the verdict does not name its verifications in ascending order, each once");
    std::multimap<NodeId, Answer> answers;
    for (const Cid& cid : v.verifications) {
      const Result<Answer> answer = answer_of(cid, v, worker, commitment);
      if (!answer) return bad(first, answer.error().message);
      answers.emplace(records_.verifications.at(cid).signer, *answer);
    }
    for (ShardProof& proof : proofs) {
      MESH_LET(const Seats seats, seats_of(round, *v.draw, commitment, proof));
      const std::vector<NodeId> current = seats.current();
      if (current.size() != seats.wanted) return bad(proof.shard, "not every seat has a verification");
      std::vector<receipt::Finding> findings;
      findings.reserve(current.size());
      for (const NodeId& node : current) {
        Answer* given = nullptr;
        const auto [begin, end] = answers.equal_range(node);
        for (auto it = begin; it != end; ++it) {
          if (!std::ranges::binary_search(it->second.revealed->shards, proof.shard)) continue;
          if (given != nullptr) return bad(proof.shard, "it has two verifications by one node");
          given = &it->second;
        }
        if (given == nullptr) return bad(proof.shard, "not every seat has a verification");
        given->counted = true;
        const auto& differing = given->revealed->differing;
        const auto other = differing.find(proof.shard);
        proof.seats.push_back({node, other == differing.end()});
        findings.push_back(other == differing.end() ? proof.finding : other->second);
      }
      const Judgement judgement = judge(proof.finding, findings, policy_.verification_quorum);
      if (judgement.decision != v.decision) return bad(proof.shard, "the verdict is not what the verifications give");
      if (v.timeliness > 1000 || v.contribution != contribution_score(judgement.agreed, seats.wanted, v.timeliness))
        return bad(proof.shard, "the contribution score is not what the verifications give");
      if (v.decision == Decision::rejected) {
        guilty_.insert(proof.worker);
        rejected_.insert(proof.worker);
      }
      if (v.decision == Decision::rejected || v.decision == Decision::disputed) failed_.insert(v.receipt);
      for (std::size_t i = 0; i < current.size(); ++i) {
        if (found_against(v.decision, proof.finding, findings[i])) guilty_.insert(current[i]);
      }
      proof.same_owner = seats.same_owner();
    }
    if (std::ranges::any_of(answers, [](const auto& entry) { return !entry.second.counted; }))
      return bad(first, "the verdict names a verification that is of none of its seats");
    return {};
  }

  Result<Seats> seats_of(const DrawnRound& round, const Cid& draw, const Cid& commitment,
                         const ShardProof& proof) const {
    const auto bad = [&](std::string_view what) {
      return fail(ErrorCode::invalid, on_shard(proof.shard) + ": " + std::string(what));
    };
    Seats seats{
        .order = round.order(commitment, proof.shard, proof.worker), .wanted = round.seats(commitment), .lost = {}};
    const auto [lost, lost_end] = records_.substitutions.equal_range({draw, commitment});
    for (auto it = lost; it != lost_end; ++it) {
      if (!task::covers(it->second.record.shards, proof.shard)) continue;
      if (it->second.signer != records_.intent->signer) return bad("a substitution is not the publisher's");
      seats.lost.push_back(it->second.record.failed);
    }
    const auto [more, more_end] = records_.extensions.equal_range({draw, commitment});
    for (auto it = more; it != more_end; ++it) {
      if (!task::covers(it->second.record.shards, proof.shard)) continue;
      if (it->second.signer != records_.intent->signer) return bad("an extension is not the publisher's");
      seats.wanted = std::max(seats.wanted, it->second.record.seats);
    }
    if (seats.wanted < policy_.verification_quorum.minimum_verifiers ||
        seats.wanted > policy_.verification_quorum.maximum_verifiers) {
      return bad("the number of verifiers is outside the policy's bounds");
    }
    return seats;
  }

  Result<const DrawnRound*> round_of(const Cid& draw_cid) {
    if (const auto known = rounds_.find(draw_cid); known != rounds_.end()) return &known->second;
    const auto draw = records_.draws.find(draw_cid);
    if (draw == records_.draws.end()) return fail(ErrorCode::invalid, "a draw is missing");
    const auto open = records_.opens.find(draw->second.record.open);
    if (open == records_.opens.end()) return fail(ErrorCode::invalid, "a round's opening is missing");
    std::vector<Signed<NonceReveal>> reveals;
    for (const Cid& cid : draw->second.record.reveals) {
      const auto reveal = records_.reveals.find(cid);
      if (reveal == records_.reveals.end()) return fail(ErrorCode::invalid, "a nonce of a draw is missing");
      reveals.push_back(reveal->second);
    }
    MESH_LET(DrawnRound round, make_round(*field_, open->second, reveals, draw->second));
    return &rounds_.emplace(draw_cid, std::move(round)).first->second;
  }

  const Records& records_;
  const policy::MeshPolicy& policy_;
  const Judged* paid_;
  std::optional<Field> field_;
  std::map<Cid, DrawnRound> rounds_;
  std::map<Cid, receipt::Opened> opened_;  ///< by receipt
  std::map<Cid, Revealed> revealed_;  ///< by verification
  /// What was accepted on a sample.
  struct Spared {
    std::uint32_t first = 0;  ///< a shard of it
    NodeId worker;
    std::vector<std::uint32_t> drawn;  ///< of the same commitment, to be re-executed
  };
  std::map<std::pair<Cid, Cid>, Spared> spared_;  ///< by receipt and draw
  std::set<Cid> failed_;  ///< receipts with a shard that was rejected or disputed
  std::set<NodeId> rejected_;  ///< workers, by some verdict
  std::set<NodeId> guilty_;  ///< found against, as a worker or as a verifier
};

}  // namespace

std::uint32_t ProofReport::count(Decision decision) const {
  return static_cast<std::uint32_t>(std::ranges::count(shards, decision, &ShardProof::decision));
}

Bytes build_bundle(const Cid& federation, const policy::MeshPolicy& policy, const Cid& intent,
                   const std::vector<Envelope>& story, const std::vector<car::Block>& contents,
                   const PaidPart* payment) {
  ProofBundle bundle{.federation = federation, .intent = intent, .lists = {}, .payment = {}};
  ProofList list;
  std::vector<car::Block> blocks;
  const auto end_list = [&] {
    Bytes bytes = record::encode(list);
    bundle.lists.push_back(dagcbor::cid_of(bytes));
    blocks.push_back({bundle.lists.back(), std::move(bytes)});
    list = {};
  };
  const auto add = [&](std::vector<Cid> ProofList::* kind, const Cid& cid) {
    if (list.envelopes.size() + list.contents.size() == ProofList::max_listed) end_list();
    (list.*kind).push_back(cid);
  };
  const Bytes policy_bytes = record::encode(policy);
  blocks.push_back({dagcbor::cid_of(policy_bytes), policy_bytes});
  for (const Envelope& envelope : story) {
    Bytes bytes = record::encode(envelope);
    const Cid cid = dagcbor::cid_of(bytes);
    add(&ProofList::envelopes, cid);
    blocks.push_back({cid, std::move(bytes)});
  }
  for (const car::Block& content : contents) {
    add(&ProofList::contents, content.cid);
    blocks.push_back(content);
  }
  end_list();
  if (payment != nullptr) {
    bundle.payment = payment->root;
    blocks.insert(blocks.end(), payment->blocks.begin(), payment->blocks.end());
  }
  const Bytes root = record::encode(bundle);
  const Cid root_cid = dagcbor::cid_of(root);
  Bytes bytes = car::header(std::span(&root_cid, 1));
  append(bytes, car::section(root_cid, root));
  for (const car::Block& block : blocks) append(bytes, car::section(block.cid, block.bytes));
  return bytes;
}

Result<ProofList> read_lists(const ProofBundle& bundle, const std::map<Cid, const Bytes*>& blocks) {
  ProofList all;
  std::set<Cid> seen;
  for (const Cid& cid : bundle.lists) {
    const auto block = blocks.find(cid);
    if (block == blocks.end()) return fail(ErrorCode::invalid, "block " + cid.text() + " is missing from the bundle");
    if (!seen.insert(cid).second) return fail(ErrorCode::invalid, "the bundle names a list twice");
    MESH_LET(const ProofList list, record::decode<ProofList>(*block->second));
    if (list.envelopes.size() + list.contents.size() > ProofList::max_listed)
      return fail(ErrorCode::invalid,
                  "a list of the bundle has more than " + std::to_string(ProofList::max_listed) + " entries");
    all.envelopes.insert(all.envelopes.end(), list.envelopes.begin(), list.envelopes.end());
    all.contents.insert(all.contents.end(), list.contents.begin(), list.contents.end());
  }
  return all;
}

Result<ProofReport> verify_bundle(ByteView bytes, PaymentJudge* judge) {
  if (bytes.size() > max_bundle_bytes) return fail(ErrorCode::exhausted, "a proof bundle has at most 512 MiB");
  MESH_LET(const car::Archive archive, car::read(bytes));  // Checks every block against its hash.
  if (archive.roots.size() != 1) return fail(ErrorCode::invalid, "a proof bundle has exactly one root");
  std::map<Cid, const Bytes*> blocks;
  for (const car::Block& block : archive.blocks) blocks.emplace(block.cid, &block.bytes);
  const auto block = [&](const Cid& cid) -> Result<const Bytes*> {
    const auto it = blocks.find(cid);
    if (it == blocks.end()) return fail(ErrorCode::invalid, "block " + cid.text() + " is missing from the bundle");
    return it->second;
  };
  MESH_LET(const Bytes* root, block(archive.roots.front()));
  MESH_LET(const ProofBundle bundle, record::decode<ProofBundle>(*root));
  MESH_LET(const ProofList listed, read_lists(bundle, blocks));
  std::set<Cid> used{archive.roots.front()};
  used.insert(bundle.lists.begin(), bundle.lists.end());
  Records records;
  for (const Cid& cid : listed.envelopes) {
    MESH_LET(const Bytes* envelope_bytes, block(cid));
    MESH_LET(const Envelope envelope, record::decode<Envelope>(*envelope_bytes));
    MESH_TRY(collect(envelope, bundle.federation, bundle.intent, records));
    if (!used.insert(cid).second)
      return fail(ErrorCode::invalid, "the bundle names the record " + cid.text() + " twice");
  }
  if (!records.intent || records.intent->cid != bundle.intent)
    return fail(ErrorCode::invalid, "the bundle's intent is missing or another");
  MESH_LET(const Bytes* policy_bytes, block(records.intent->record.policy));
  MESH_LET(const policy::MeshPolicy policy, record::decode<policy::MeshPolicy>(*policy_bytes));
  MESH_TRY(policy::validate(policy));
  used.insert(records.intent->record.policy);

  std::optional<Judged> paid;
  if (records.intent->record.fee != 0) {
    if (!bundle.payment)
      return not_proven(
          "payment-missing: the task offers a fee, and the bundle holds nothing of its federation's ledger");
    if (judge == nullptr) return not_proven("payment-unread: nobody here knows the ledger");
    Result<Judged> judged = judge->judge({.federation = bundle.federation,
                                          .intent = *records.intent,
                                          .policy = policy,
                                          .payment = *bundle.payment,
                                          .blocks = blocks});
    if (!judged) return not_proven(std::move(judged.error().message));
    paid = std::move(*judged);
    used.insert(paid->used.begin(), paid->used.end());
  } else if (bundle.payment) {
    return not_proven("payment-of-free-task: the task offers no fee, and the bundle shows a payment");
  }
  Checker checker(records, policy, paid ? &*paid : nullptr);
  MESH_TRY(checker.prepare());
  ProofReport report{
      .federation = bundle.federation, .intent = *records.intent, .shards = {}, .missing = 0, .contents = {}};
  std::map<std::uint32_t, ShardProof> shards;
  for (const Signed<Verdict>& verdict : records.verdicts) {
    MESH_LET(std::vector<ShardProof> proofs, checker.check(verdict));
    for (ShardProof& proof : proofs) {
      const auto earlier = shards.find(proof.shard);
      if (earlier != shards.end()) {
        const Decision before = earlier->second.decision;
        if (before != Decision::rejected && before != Decision::disputed)
          return fail(ErrorCode::invalid, on_shard(proof.shard) + ": it was decided twice");
        proof.rejected_attempts = earlier->second.rejected_attempts + 1;
      }
      shards.insert_or_assign(proof.shard, std::move(proof));
    }
  }
  MESH_TRY(checker.check_barred());
  MESH_TRY(checker.check_samples(shards));
  for (auto& [number, proof] : shards) report.shards.push_back(std::move(proof));
  report.missing = records.intent->record.shards - static_cast<std::uint32_t>(report.shards.size());
  std::set<Cid> named;
  for (const ShardProof& proof : report.shards) {
    named.insert(proof.finding.result);
    named.insert(proof.finding.log);
  }
  for (const Cid& cid : listed.contents) {
    MESH_LET(const Bytes* content, block(cid));
    if (!named.contains(cid)) return fail(ErrorCode::invalid, "the bundle carries a content that no receipt names");
    used.insert(cid);
    report.contents.emplace_back(cid, *content);
  }
  if (used.size() != blocks.size())
    return fail(ErrorCode::invalid, "the bundle carries blocks that nothing in it names");
  return report;
}

}  // namespace mesh::verification
