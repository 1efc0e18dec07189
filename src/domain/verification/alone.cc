#include "domain/verification/alone.h"

#include <algorithm>

namespace mesh::verification {

namespace {

using receipt::Commitment;
using receipt::ExecutionReceipt;
using receipt::VerificationReceipt;

bool overlap(const std::vector<task::ShardRange>& some, const std::vector<task::ShardRange>& others) {
  return std::ranges::any_of(some, [&](const task::ShardRange& a) {
    return std::ranges::any_of(others, [&](const task::ShardRange& b) {
      return std::uint64_t{a.first} < std::uint64_t{b.first} + b.count &&
             std::uint64_t{b.first} < std::uint64_t{a.first} + a.count;
    });
  });
}

}  // namespace

Result<StoryIndex> StoryIndex::read(std::vector<Envelope> story) {
  StoryIndex index;
  index.story_ = std::move(story);
  index.types_.reserve(index.story_.size());
  bool has_intent = false;
  bool bars = false;
  for (std::size_t at = 0; at < index.story_.size(); ++at) {
    const Bytes& body = index.story_[at].body;
    MESH_LET(std::string type, type_of(body));
    if (type == task::TaskIntent::type) {
      MESH_LET(const task::TaskIntent intent, record::decode<task::TaskIntent>(body));
      if (intent.shards > task::max_shards) return fail(ErrorCode::invalid, "the intent has more shards than any task");
      index.shards_ = intent.shards;
      has_intent = true;
    } else if (type == Verdict::type) {
      MESH_LET(Verdict verdict, record::decode<Verdict>(body));
      std::uint64_t shards = 0;
      for (const task::ShardRange& range : verdict.shards) shards += range.count;
      if (shards > receipt::max_commitment_shards)
        return fail(ErrorCode::invalid, "a verdict has more shards than any commitment");
      index.verdicts_.emplace(at, std::move(verdict));
    } else if (type == Substitution::type) {
      MESH_LET(const Substitution change, record::decode<Substitution>(body));
      index.changes_.emplace(std::pair{change.draw, change.commitment}, SeatChange{at, change.shards, change.failed});
    } else if (type == Extension::type) {
      MESH_LET(const Extension change, record::decode<Extension>(body));
      index.changes_.emplace(std::pair{change.draw, change.commitment}, SeatChange{at, change.shards, {}});
    } else if (type == RoundOpen::type && !bars) {
      MESH_LET(const RoundOpen open, record::decode<RoundOpen>(body));
      bars = !open.barred.empty();
    }
    index.types_.push_back(std::move(type));
    index.by_cid_.emplace(index.story_[at].cid(), at);
  }
  if (!has_intent) return fail(ErrorCode::invalid, "the story has no intent");
  index.by_shard_.resize(index.shards_);
  for (const auto& [at, verdict] : index.verdicts_) {
    MESH_LET(const std::vector<std::uint32_t> shards, task::expand(verdict.shards, index.shards_));
    for (const std::uint32_t shard : shards) index.by_shard_[shard].push_back(at);
  }
  if (bars) MESH_TRY(index.find_guilty());
  return index;
}

std::vector<std::size_t> StoryIndex::verdicts_on(std::uint32_t shard) const {
  if (shard >= by_shard_.size()) return {};
  return by_shard_[shard];
}

Result<std::vector<Envelope>> StoryIndex::resting_on(const std::vector<std::size_t>& verdicts) const {
  std::vector<bool> wanted(story_.size(), false);
  std::vector<std::size_t> unread;
  const auto want = [&](std::size_t at) {
    if (wanted[at]) return;
    wanted[at] = true;
    unread.push_back(at);
  };
  for (std::size_t at = 0; at < story_.size(); ++at) {
    if (types_[at] == task::TaskIntent::type || types_[at] == market::Roster::type) want(at);
  }
  for (const std::size_t at : verdicts) want(at);
  // Not by recursion: how long the chains of a story are is up to those who wrote it.
  while (!unread.empty()) {
    const std::size_t at = unread.back();
    unread.pop_back();
    std::vector<NodeId> barred;
    MESH_LET(const std::vector<Cid> basis, basis_of(at, barred));
    for (const Cid& cid : basis) {
      if (const auto found = by_cid_.find(cid); found != by_cid_.end()) want(found->second);
    }
    // Whoever was barred was so by a verdict, which rests on a draw of its own.
    for (const NodeId& node : barred) {
      if (const auto found = guilty_.find(node); found != guilty_.end()) want(found->second);
    }
    if (const auto verdict = verdicts_.find(at); verdict != verdicts_.end()) {
      MESH_LET(const std::vector<std::size_t> changes, changes_under(verdict->second));
      for (const std::size_t change : changes) want(change);
      MESH_LET(const std::vector<std::uint32_t> beside, vouching_for(verdict->second));
      for (const std::uint32_t shard : beside) {
        for (const std::size_t other : by_shard_[shard]) want(other);
      }
    }
  }
  std::vector<Envelope> kept;
  for (std::size_t at = 0; at < story_.size(); ++at) {
    if (wanted[at]) kept.push_back(story_[at]);
  }
  return kept;
}

template <class T>
Result<std::optional<T>> StoryIndex::find(const Cid& cid) const {
  const auto found = by_cid_.find(cid);
  if (found == by_cid_.end() || types_[found->second] != T::type) return std::nullopt;
  MESH_LET(T read, record::decode<T>(story_[found->second].body));
  return read;
}

Result<std::vector<Cid>> StoryIndex::basis_of(std::size_t at, std::vector<NodeId>& barred) const {
  const Bytes& body = story_[at].body;
  const std::string& type = types_[at];
  if (type == market::Roster::type) {
    MESH_LET(market::Roster read, record::decode<market::Roster>(body));
    return std::move(read.offers);
  }
  if (type == Verdict::type) {
    const Verdict& read = verdicts_.at(at);
    std::vector<Cid> basis = read.verifications;
    basis.push_back(read.receipt);
    if (read.draw) basis.push_back(*read.draw);
    return basis;
  }
  if (type == ExecutionReceipt::type) {
    MESH_LET(const ExecutionReceipt read, record::decode<ExecutionReceipt>(body));
    return std::vector{read.award, read.commitment};
  }
  if (type == VerificationReceipt::type) {
    MESH_LET(const VerificationReceipt read, record::decode<VerificationReceipt>(body));
    return std::vector{read.commitment};
  }
  if (type == Draw::type) {
    MESH_LET(Draw read, record::decode<Draw>(body));
    read.reveals.push_back(read.open);
    return std::move(read.reveals);
  }
  if (type == RoundOpen::type) {
    MESH_LET(RoundOpen read, record::decode<RoundOpen>(body));
    barred = std::move(read.barred);
  }
  return std::vector<Cid>{};
}

Result<std::vector<std::size_t>> StoryIndex::changes_under(const Verdict& verdict) const {
  std::vector<std::size_t> places;
  if (!verdict.draw) return places;
  MESH_LET(const std::optional<ExecutionReceipt> receipt, find<ExecutionReceipt>(verdict.receipt));
  if (!receipt) return places;
  const auto [begin, end] = changes_.equal_range({*verdict.draw, receipt->commitment});
  for (auto it = begin; it != end; ++it) {
    if (overlap(it->second.shards, verdict.shards)) places.push_back(it->second.at);
  }
  return places;
}

Result<std::vector<std::uint32_t>> StoryIndex::vouching_for(const Verdict& verdict) const {
  if (verdict.decision != Decision::spot_checked) return std::vector<std::uint32_t>{};
  MESH_LET(const std::optional<ExecutionReceipt> receipt, find<ExecutionReceipt>(verdict.receipt));
  if (!receipt) return std::vector<std::uint32_t>{};
  MESH_LET(const std::optional<Commitment> commitment, find<Commitment>(receipt->commitment));
  if (!commitment) return std::vector<std::uint32_t>{};
  return task::expand(commitment->shards, shards_);
}

Status StoryIndex::find_guilty() {
  for (const auto& [at, verdict] : verdicts_) {
    if (verdict.draw) MESH_TRY(note_guilty(at));
  }
  return {};
}

Status StoryIndex::note_guilty(std::size_t at) {
  const Verdict& verdict = verdicts_.at(at);
  MESH_LET(const std::optional<ExecutionReceipt> receipt, find<ExecutionReceipt>(verdict.receipt));
  if (!receipt) return {};
  MESH_LET(const std::optional<Commitment> commitment, find<Commitment>(receipt->commitment));
  if (!commitment) return {};
  MESH_LET(const std::vector<std::uint32_t> shards, task::expand(commitment->shards, shards_));
  MESH_LET(const std::vector<receipt::Finding> rows, receipt::rows_of(receipt->findings, shards.size()));
  if (verdict.decision == Decision::rejected) guilty_.try_emplace(story_[by_cid_.at(verdict.receipt)].key, at);
  const auto [changes, changes_end] = changes_.equal_range({*verdict.draw, receipt->commitment});
  for (const Cid& cid : verdict.verifications) {
    MESH_LET(const std::optional<VerificationReceipt> verification, find<VerificationReceipt>(cid));
    if (!verification) continue;
    const NodeId& node = story_[by_cid_.at(cid)].key;
    MESH_LET(const std::optional<Commitment> own, find<Commitment>(verification->commitment));
    if (!own || guilty_.contains(node)) continue;
    MESH_LET(const std::vector<std::uint32_t> differing, task::expand(verification->differing, shards_));
    MESH_LET(const std::vector<receipt::Finding> others, receipt::rows_of(verification->findings, differing.size()));
    for (std::size_t row = 0; row < shards.size(); ++row) {
      const std::uint32_t shard = shards[row];
      if (!task::covers(verdict.shards, shard) || !task::covers(own->shards, shard)) continue;
      const auto other = std::ranges::lower_bound(differing, shard);
      const bool differs = other != differing.end() && *other == shard;
      const receipt::Finding& found = differs ? others[static_cast<std::size_t>(other - differing.begin())] : rows[row];
      if (!found_against(verdict.decision, rows[row], found)) continue;
      // Who had lost the seat is not judged on it.
      const bool lost = std::any_of(changes, changes_end, [&](const auto& change) {
        return change.second.failed == node && task::covers(change.second.shards, shard);
      });
      if (lost) continue;
      guilty_.emplace(node, at);
      break;
    }
  }
  return {};
}

Result<std::vector<Envelope>> story_of_shard(std::vector<Envelope> story, std::uint32_t shard) {
  MESH_LET(const StoryIndex index, StoryIndex::read(std::move(story)));
  const std::vector<std::size_t> verdicts = index.verdicts_on(shard);
  if (verdicts.empty())
    return fail(ErrorCode::not_found, "there is no verdict on shard " + std::to_string(shard) + ": nothing proves it");
  return index.resting_on(verdicts);
}

Result<std::set<Cid>> commitments_of(const std::vector<Envelope>& story) {
  std::set<Cid> commitments;
  for (const Envelope& envelope : story) {
    MESH_LET(const std::string type, type_of(envelope.body));
    if (type != ExecutionReceipt::type) continue;
    MESH_LET(const ExecutionReceipt receipt, record::decode<ExecutionReceipt>(envelope.body));
    commitments.insert(receipt.commitment);
  }
  return commitments;
}

Result<EachShard> verify_each_shard(ByteView car, PaymentJudge* judge) {
  EachShard each;
  MESH_LET(each.whole, verify_bundle(car, judge));
  std::vector<Envelope> story;
  MESH_LET(const car::Archive archive, car::read(car));
  std::map<Cid, const Bytes*> blocks;
  for (const car::Block& block : archive.blocks) blocks.emplace(block.cid, &block.bytes);
  // Each of them is there and reads, or the whole would not have been found good.
  MESH_LET(const ProofBundle bundle, record::decode<ProofBundle>(*blocks.at(archive.roots.front())));
  MESH_LET(const policy::MeshPolicy policy,
           record::decode<policy::MeshPolicy>(*blocks.at(each.whole.intent.record.policy)));
  MESH_LET(const ProofList listed, read_lists(bundle, blocks));
  story.reserve(listed.envelopes.size());
  for (const Cid& cid : listed.envelopes) {
    MESH_LET(Envelope envelope, record::decode<Envelope>(*blocks.at(cid)));
    story.push_back(std::move(envelope));
  }
  MESH_LET(const StoryIndex index, StoryIndex::read(std::move(story)));
  std::map<std::vector<std::size_t>, std::vector<const ShardProof*>> alike;  // By the verdicts on them.
  for (const ShardProof& proof : each.whole.shards) alike[index.verdicts_on(proof.shard)].push_back(&proof);
  for (const auto& [verdicts, proofs] : alike) {
    const auto bad = [&](std::uint32_t shard, std::string_view what) {
      return "shard " + std::to_string(shard) + " does not stand alone: " + std::string(what);
    };
    MESH_LET(const std::vector<Envelope> part, index.resting_on(verdicts));
    std::optional<PaidPart> payment;
    if (bundle.payment) {
      MESH_LET(const std::set<Cid> commitments, commitments_of(part));
      MESH_LET(payment, judge->cut({.federation = bundle.federation,
                                    .intent = each.whole.intent,
                                    .policy = policy,
                                    .payment = *bundle.payment,
                                    .blocks = blocks},
                                   commitments));
    }
    const Bytes one =
        build_bundle(each.whole.federation, policy, each.whole.intent.cid, part, {}, payment ? &*payment : nullptr);
    const Result<ProofReport> alone = verify_bundle(one, judge);
    if (!alone) return fail(ErrorCode::invalid, bad(proofs.front()->shard, alone.error().message));
    for (const ShardProof* proof : proofs) {
      const auto found = std::ranges::lower_bound(alone->shards, proof->shard, {}, &ShardProof::shard);
      if (found == alone->shards.end() || *found != *proof)
        return fail(ErrorCode::invalid, bad(proof->shard, "what proves it alone says something else than the whole"));
    }
    each.shards += static_cast<std::uint32_t>(proofs.size());
    ++each.bundles;
    each.largest_bytes = std::max(each.largest_bytes, one.size());
  }
  return each;
}

}  // namespace mesh::verification
